//! The wall around a worker: a kernel rule, inherited by everything the worker
//! starts, that lets it write only where it may, and read everything but secrets.
//!
//! Linux has Landlock (`landlock.rs`), macOS has seatbelt (`seatbelt.rs`). What
//! was really built is told in a short text (`landlock 7, strict`), because a
//! wall that is silently weaker than asked for is worse than none.
//!
//! What no backend here holds: `chmod`, `utime` and extended attributes of
//! foreign files (Landlock does not govern them), the names in folders whose files
//! are hidden, sockets that have a path (whoever serves one looks
//! who asks), and the network.

#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod limits;
mod reading;
pub mod seatbelt;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sys::process::words;

/// How narrow the wall is. The paths say what may be written; the mode says
/// what they mean, and whether there is a wall at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// No wall.
    Off,
    /// Around the whole worktree.
    Worktree,
    /// Around the claim itself.
    Strict,
}

impl Mode {
    /// The mode's name on the wire and in [`Prepared::description`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Worktree => "worktree",
            Self::Strict => "strict",
        }
    }
}

/// The wall that a worker is to get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    /// How narrow it is meant to be.
    pub mode: Mode,
    /// Whether the worker may start behind a weaker wall, or none, where the
    /// system cannot build this one. `false` refuses to start.
    pub best_effort: bool,
    /// Folders in which everything may be written, recursively. They exist and
    /// are named by their real path: a link on the way is refused, since an
    /// earlier attempt may have put it there.
    #[serde(with = "words::paths")]
    pub writable: Vec<PathBuf>,
    /// Existing plain files that may be written in place and truncated, and
    /// neither replaced nor removed. The same care about links.
    #[serde(with = "words::paths")]
    pub files: Vec<PathBuf>,
    /// Paths inside of `writable` that stay read-only where the system can say so: seatbelt
    /// can, Landlock cannot subtract. So nothing may rely on it; it spares a worker mistakes.
    #[serde(with = "words::paths")]
    pub read_only: Vec<PathBuf>,
    /// Files, and folders with all in them, whose content cannot be read unless it can be written
    /// or is `readable`. They need not exist. Empty: everything can be read.
    #[serde(with = "words::paths")]
    pub hidden: Vec<PathBuf>,
    /// Parts of `hidden` that can be read after all, as far as they exist; links are followed.
    #[serde(with = "words::paths")]
    pub readable: Vec<PathBuf>,
}

/// What lies in a folder beside secrets, in the fewest folders and files. Links are none of them.
pub fn beside(folder: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    reading::beside(folder, hidden)
}

impl Wall {
    /// No wall.
    pub fn off() -> Self {
        Self {
            mode: Mode::Off,
            best_effort: false,
            writable: Vec::new(),
            files: Vec::new(),
            read_only: Vec::new(),
            hidden: Vec::new(),
            readable: Vec::new(),
        }
    }

    /// Lets what a person keeps be written too, as far as it exists: folders with all that is in
    /// them, plain files in place. Links are followed: nobody but the person could make them.
    pub fn grant_persons<'a>(&mut self, paths: impl IntoIterator<Item = &'a PathBuf>) {
        for path in paths {
            // What cannot be found cannot be written either, with or without a wall.
            let Ok(real) = path.canonicalize() else { continue };
            if real.is_dir() {
                self.writable.push(real);
            } else if real.is_file() {
                self.files.push(real);
            }
        }
    }

    /// Gets everything ready that needs files or memory, so that [`Prepared::enter`]
    /// makes system calls only. The files of `appendable` are the worker's own
    /// standard streams: it may open them again through `/dev/stderr`, not truncate them.
    ///
    /// # Errors
    /// A path of the wall is missing, a link or of the wrong kind; or the system
    /// cannot build this wall and the wall is not [`Wall::best_effort`].
    pub fn prepare(&self, appendable: &[&File]) -> Result<Prepared, WallError> {
        self.prepare_on(Foundation::default(), appendable)
    }

    /// [`Wall::prepare`], with what was laid ahead as far as it is still good for this wall.
    ///
    /// # Errors
    /// Those of [`Wall::prepare`].
    pub fn prepare_on(&self, foundation: Foundation, appendable: &[&File]) -> Result<Prepared, WallError> {
        if self.mode == Mode::Off {
            return Ok(Prepared::open("off".to_owned()));
        }
        match self.build(foundation, appendable) {
            Err(WallError::Unavailable { why }) if self.best_effort => {
                Ok(Prepared::open(format!("off ({why})")))
            }
            other => other,
        }
    }

    #[cfg(target_os = "linux")]
    fn build(&self, foundation: Foundation, appendable: &[&File]) -> Result<Prepared, WallError> {
        let (ruleset, description) = landlock::ruleset(self, appendable, foundation.0)?;
        Ok(Prepared { description, prefix: Vec::new(), ruleset: Some(ruleset), limits: limits::filter() })
    }

    #[cfg(target_os = "macos")]
    fn build(&self, _foundation: Foundation, _appendable: &[&File]) -> Result<Prepared, WallError> {
        let real = Self { hidden: reading::real(&self.hidden), ..self.clone() };
        let profile = seatbelt::profile(&real)?;
        let prefix = vec!["/usr/bin/sandbox-exec".into(), "-p".into(), profile.into(), "--".into()];
        Ok(Prepared { description: format!("seatbelt, {}", self.mode.as_str()), prefix })
    }

    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    fn build(&self, _foundation: Foundation, _appendable: &[&File]) -> Result<Prepared, WallError> {
        Err(WallError::Unavailable { why: "this system has neither Landlock nor seatbelt".to_owned() })
    }
}

/// What of a wall can be made before it is known what is to be written: the greater part on Linux, where
/// everything that is not hidden is granted one by one; nothing elsewhere.
#[derive(Default)]
pub struct Foundation(#[cfg(target_os = "linux")] Option<landlock::Foundation>);

impl Foundation {
    /// Lays what walls that hide the same stand on. What cannot be laid now is tried again, and
    /// told, when a wall is prepared.
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "nothing can be laid there"))]
    pub fn lay(hidden: &[PathBuf]) -> Self {
        Self(
            #[cfg(target_os = "linux")]
            landlock::Foundation::lay_ahead(hidden).ok(),
        )
    }
}

/// A wall that is ready to be entered once.
pub struct Prepared {
    description: String,
    /// Comes before the worker's command where a program builds the wall.
    prefix: Vec<OsString>,
    #[cfg(target_os = "linux")]
    ruleset: Option<::landlock::RulesetCreated>,
    #[cfg(target_os = "linux")]
    limits: seccompiler::BpfProgram,
}

impl Prepared {
    fn open(description: String) -> Self {
        Self {
            description,
            prefix: Vec::new(),
            #[cfg(target_os = "linux")]
            ruleset: None,
            #[cfg(target_os = "linux")]
            limits: limits::filter(),
        }
    }

    /// What was really built: `landlock 7, worktree`, `seatbelt, strict`, `off`,
    /// `landlock 4, worktree (signals pass)`, `off (Landlock is not enabled)`.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The command that runs `argv` behind this wall.
    pub fn wrap(&self, argv: &[OsString]) -> Vec<OsString> {
        self.prefix.iter().chain(argv).cloned().collect()
    }

    /// Puts the calling thread, and all it starts from now on, behind the wall.
    /// Without a wall too it gives up gaining privileges: a set-user-id program
    /// could outlive every signal of ours.
    ///
    /// # Errors
    /// The system's, when a call is refused. The thread must not go on then.
    #[cfg(target_os = "linux")]
    pub fn enter(&mut self) -> std::io::Result<()> {
        rustix::thread::set_no_new_privs(true)?;
        let Some(ruleset) = self.ruleset.take() else {
            // Where nothing was promised, what the system has not is no reason not to start.
            let _ = limits::enter(&self.limits);
            return Ok(());
        };
        landlock::enter(ruleset)?;
        limits::enter(&self.limits)
    }

    /// Nothing is left to do here: the wall is built by the command itself.
    ///
    /// # Errors
    /// Never.
    #[cfg(not(target_os = "linux"))]
    pub fn enter(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What this system can do, found by trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WallSupport {
    /// A wall was built and held.
    Holds {
        /// Its name and level, such as `landlock 7`.
        name: String,
        /// Why [`Mode::Strict`] cannot be had.
        not_strict: Option<String>,
    },
    /// There is none, and why.
    Absent(String),
}

/// Builds a wall around one folder inside of `scratch` (which exists and is
/// writable), tries to write on both sides of it, to read what it hides, and to signal who is
/// outside. On Linux in a thread of its own: Landlock binds the thread and ends with it. No
/// version table is asked.
pub fn probe(scratch: &Path) -> WallSupport {
    let trial = scratch.join(format!("wall-probe-{}", crate::base::ids::random_tail(8)));
    let tried = try_wall(&trial, Mode::Strict).map(|name| (name, None));
    let tried = tried.or_else(|not_strict| {
        // What is left of a trial is in the caller's own scratch folder.
        let _ = std::fs::remove_dir_all(&trial);
        try_wall(&trial, Mode::Worktree).map(|name| (name, Some(not_strict)))
    });
    let _ = std::fs::remove_dir_all(&trial);
    match tried {
        Ok((name, not_strict)) => WallSupport::Holds { name, not_strict },
        Err(why) => WallSupport::Absent(why),
    }
}

/// The folders and files of a trial.
#[cfg(any(target_os = "linux", target_os = "macos"))]
struct Trial {
    /// May be written.
    inside: PathBuf,
    /// May be read.
    foreign: PathBuf,
    /// May not be read.
    secret: PathBuf,
    wall: Wall,
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
impl Trial {
    fn make(folder: &Path, mode: Mode) -> Result<Self, String> {
        make(folder)?;
        let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
        let path = |name: &str| folder.join(name);
        let (inside, foreign, secret) = (path("inside"), path("foreign"), path("secret"));
        make(&inside)?;
        for file in [&foreign, &secret] {
            std::fs::write(file, "kept").map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let wall = Wall { mode, writable: vec![inside.clone()], hidden: vec![secret.clone()], ..Wall::off() };
        Ok(Self { inside, foreign, secret, wall })
    }
}

#[cfg(target_os = "linux")]
fn try_wall(folder: &Path, mode: Mode) -> Result<String, String> {
    let Trial { inside, foreign, secret, wall } = Trial::make(folder, mode)?;
    // Writing to this one is granted, so that only the right to truncate is in question.
    let stream = foreign.with_file_name("stream");
    let file = File::create_new(&stream).map_err(|error| format!("{}: {error}", stream.display()))?;
    let mut prepared = wall.prepare(&[&file]).map_err(|error| error.to_string())?;
    let name = prepared.description().split(',').next().unwrap_or_default().to_owned();
    let walled = std::thread::spawn(move || -> Result<(), String> {
        prepared.enter().map_err(|error| format!("the wall could not be entered: {error}"))?;
        std::fs::write(inside.join("new"), "x").map_err(|error| format!("own folder: {error}"))?;
        File::options().append(true).open(&stream).map_err(|error| format!("own stream: {error}"))?;
        std::fs::read(&foreign).map_err(|error| format!("foreign file: {error}"))?;
        let signal = match rustix::process::getppid() {
            Some(parent) if mode == Mode::Strict => rustix::process::test_kill_process(parent).err(),
            _ => Some(rustix::io::Errno::PERM),
        };
        let escapes = [
            ("create a foreign file", File::create_new(foreign.with_file_name("new")).err()),
            ("write to a foreign file", File::options().append(true).open(&foreign).err()),
            ("truncate a foreign file", File::create(&stream).err()),
            ("read a secret", File::open(&secret).err()),
            ("signal a foreign process", signal.map(Into::into)),
        ];
        for (what, refused) in escapes {
            if refused.is_none_or(|error| error.kind() != std::io::ErrorKind::PermissionDenied) {
                return Err(format!("the wall was built, and one behind it could {what}"));
            }
        }
        Ok(())
    });
    walled.join().map_err(|_| "the trial failed".to_owned())??;
    Ok(name)
}

#[cfg(target_os = "macos")]
fn try_wall(folder: &Path, mode: Mode) -> Result<String, String> {
    let Trial { inside, foreign, secret, wall } = Trial::make(folder, mode)?;
    let prepared = wall.prepare(&[]).map_err(|error| error.to_string())?;
    let can = |program: &str, path: PathBuf| {
        let argv = prepared.wrap(&[program.into(), path.into_os_string()]);
        let mut command = crate::sys::process::spawn::program(&argv[0], folder);
        let output = command.args(&argv[1..]).output().map_err(|error| format!("sandbox-exec: {error}"))?;
        Ok::<bool, String>(output.status.success())
    };
    let works = can("/usr/bin/touch", inside.join("new"))? && can("/bin/cat", foreign.clone())?;
    let holds = !can("/usr/bin/touch", foreign.with_file_name("new"))? && !can("/bin/cat", secret)?;
    if works && holds {
        Ok("seatbelt".to_owned())
    } else {
        Err("sandbox-exec ran, and its wall did not hold".to_owned())
    }
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn make(folder: &Path) -> Result<(), String> {
    std::fs::create_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn try_wall(_folder: &Path, _mode: Mode) -> Result<String, String> {
    Err("this system has neither Landlock nor seatbelt".to_owned())
}

/// Why a wall cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum WallError {
    /// The system has no wall, or not one that holds what this one promises.
    #[error("no wall can be built: {why}")]
    Unavailable {
        /// What is missing.
        why: String,
    },
    /// A path of the wall cannot be used.
    #[error("{}: {why}", path.display())]
    Path {
        /// The path as it was given.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system has a wall and refused to build this one.
    #[error("the wall was refused: {why}")]
    Refused {
        /// The system's words.
        why: String,
    },
}

#[cfg(test)]
mod tests;
