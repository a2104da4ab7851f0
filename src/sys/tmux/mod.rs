//! tmux, where it is there and wanted: listing sessions, making windows, typing into panes.
//!
//! It is called without a shell, with one argument for each word. What exists is meant by its number
//! (`$1`, `@2`, `%3`), which cannot be misread as a pattern or a beginning of another name. The server is
//! the one that `tmux` alone means, so that `tmux attach -t NAME` finds what Kapell made; it is never one
//! that merely surrounds this process, since another process would not find that again.

use crate::base::sorting::Gather as _;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::find::find_program;
use super::process::spawn::{self, End, Limits, SpawnError};
use crate::domain::standing::Listed;

mod paste;
mod pasting;
pub mod stand;

pub use paste::Pasted;

/// tmux answers within milliseconds; who takes so long hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a session of Kapell's is known by: its project, its worker, the pane that was started.
const PROJECT: &str = "@kapell_project";
const WORKER: &str = "@kapell_worker";
const PANE: &str = "@kapell_pane";
/// What a window of Kapell's shows.
const ATTEMPT: &str = "@kapell_attempt";

/// Variables of the caller's that tmux gets. A server that is started by it keeps them for all of its
/// sessions, so there is no secret among them.
const PASSED: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TERM",
    "COLORTERM",
    "TZ",
    "TMPDIR",
    "TMUX_TMPDIR",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "SSH_AUTH_SOCK",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "DBUS_SESSION_BUS_ADDRESS",
    "ZDOTDIR",
];

/// Why tmux did not do it.
#[derive(Debug, thiserror::Error)]
pub enum TmuxError {
    /// It is not there.
    #[error("there is no tmux on the PATH")]
    Absent,
    /// It could not be started, or followed.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It does not answer.
    #[error("tmux did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// There is a session of that name.
    #[error("there is a session of that name already")]
    Taken,
    /// No server runs, or not what was meant.
    #[error("tmux: {0}")]
    Gone(String),
    /// It said no.
    #[error("tmux: {0}")]
    Failed(String),
    /// Somebody was killed between a paste and its Enter.
    #[error(
        "the text of a send that was cut off may stand in its prompt, and would be entered as one with this"
    )]
    CutOff,
}

/// The tmux of this machine and its usual server.
#[derive(Debug, Clone)]
pub struct Tmux {
    program: PathBuf,
    env: BTreeMap<OsString, OsString>,
    folder: PathBuf,
}

/// A session that is to be made.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// Its name.
    pub name: &'a str,
    /// The name of its first window.
    pub window: &'a str,
    /// The project it is marked with.
    pub project: &'a str,
    /// The worker it is marked with.
    pub worker: Option<&'a str>,
    /// What runs in it; not a shell's line.
    pub argv: &'a [String],
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The session's number.
    pub session: String,
    /// The window's number.
    pub window: String,
    /// The pane's number.
    pub pane: String,
    /// The process in it.
    pub pid: i32,
}

/// A window of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its number.
    pub id: String,
    /// The attempt that Kapell shows in it.
    pub attempt: Option<String>,
    /// Whether somebody looks at it.
    pub is_seen: bool,
    /// Its name.
    pub name: String,
}

/// A pane as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pane {
    /// Its number.
    pub id: String,
    /// The process that was started in it.
    pub pid: i32,
    /// Whether that has ended.
    pub is_dead: bool,
    /// Whether somebody has switched off that anything can be typed into it.
    pub is_off: bool,
    /// Whether its program asked for pastes in brackets, where this tmux tells.
    pub brackets: Option<bool>,
    /// Its terminal.
    pub tty: PathBuf,
}

impl Tmux {
    /// The tmux that is found by the caller's `PATH`. `home` is the folder its server starts in, if it is
    /// not running.
    ///
    /// # Errors
    /// There is none.
    pub fn find(environment: &BTreeMap<String, String>, home: &Path) -> Result<Self, TmuxError> {
        let path = environment.get("PATH").map_or("", String::as_str);
        let program = find_program("tmux", path).ok_or(TmuxError::Absent)?;
        let passes =
            |name: &str| PASSED.contains(&name) || name.starts_with("LC_") || name.starts_with("XDG_");
        let env = environment.iter().filter(|(name, _)| passes(name));
        let env = env.map(|(name, value)| (name.into(), value.into())).gather();
        let folder = if home.is_dir() { home.to_owned() } else { PathBuf::from("/") };
        Ok(Self { program, env, folder })
    }

    /// The socket of the server, as tmux finds it.
    pub fn socket(&self) -> PathBuf {
        let named = self.env.get(std::ffi::OsStr::new("TMUX_TMPDIR")).filter(|folder| !folder.is_empty());
        let folder = named.and_then(|folder| Path::new(folder).canonicalize().ok());
        let user = rustix::process::getuid().as_raw();
        folder.unwrap_or_else(|| "/tmp".into()).join(format!("tmux-{user}")).join("default")
    }

    /// What it says of its version, such as `tmux 3.3a`.
    ///
    /// # Errors
    /// It does not run.
    pub fn version(&self) -> Result<String, TmuxError> {
        Ok(self.call(&[&["-V"]], b"")?.trim().to_owned())
    }

    /// Every session of the server; none where no server runs.
    ///
    /// # Errors
    /// tmux cannot be asked.
    pub fn sessions(&self) -> Result<Vec<Listed>, TmuxError> {
        // To ask costs a process; without its socket there is no server.
        if !self.socket().exists() {
            return Ok(Vec::new());
        }
        // Names come last, since they may hold blanks; nothing else does.
        let format = format!(
            "#{{session_id}} #{{session_attached}} p=#{{{PROJECT}}} w=#{{{WORKER}}} t=#{{{PANE}}} #{{session_name}}"
        );
        let panes = ["list-panes", "-a", "-F", "#{pane_id} #{pane_dead}"];
        match self.call(&[&["list-sessions", "-F", &format], &panes], b"") {
            Ok(lines) => Ok(lines.lines().filter_map(|line| listed(line, &lines)).collect()),
            Err(TmuxError::Gone(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Makes a session that nobody looks at, marked as Kapell's in the same breath.
    ///
    /// # Errors
    /// [`TmuxError::Taken`] where there is one of that name; else tmux cannot make it.
    pub fn new_session(&self, new: &NewSession<'_>) -> Result<Opened, TmuxError> {
        let target = format!("={}:", new.name);
        let mut make = vec!["new-session", "-d", "-s", new.name, "-n", new.window, "-x", "200", "-y", "50"];
        make.extend(["-P", "-F", OPENED, "--"]);
        make.extend(new.argv.iter().map(String::as_str));
        let mut commands: Vec<Vec<&str>> = vec![
            make,
            vec!["set-option", "-t", &target, PROJECT, new.project],
            vec!["set-option", "-F", "-t", &target, PANE, "#{pane_id}"],
            // A person may want theirs to end when nobody looks; this one is made so that somebody can.
            vec!["set-option", "-t", &target, "destroy-unattached", "off"],
        ];
        if let Some(worker) = new.worker {
            commands.push(vec!["set-option", "-t", &target, WORKER, worker]);
        }
        let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
        opened(&self.call(&commands, b"")?)
    }

    /// Makes a window at the end of a session, without showing it to who looks there.
    ///
    /// # Errors
    /// [`TmuxError::Gone`] where the session has ended; else tmux cannot make it.
    pub fn new_window(&self, session: &str, name: &str, argv: &[String]) -> Result<Opened, TmuxError> {
        let target = format!("{session}:");
        let mut make = vec!["new-window", "-d", "-t", &target, "-n", name, "-P", "-F", OPENED, "--"];
        make.extend(argv.iter().map(String::as_str));
        opened(&self.call(&[&make], b"")?)
    }

    /// Marks a window with the attempt that it shows.
    ///
    /// # Errors
    /// The window has ended.
    pub fn mark_window(&self, window: &str, attempt: &str) -> Result<(), TmuxError> {
        self.call(&[&["set-option", "-w", "-t", window, ATTEMPT, attempt]], b"").map(drop)
    }

    /// The windows of a session.
    ///
    /// # Errors
    /// The session has ended, or tmux cannot be asked.
    pub fn windows(&self, session: &str) -> Result<Vec<Window>, TmuxError> {
        let format = format!("#{{window_id}} #{{window_active_clients}} a=#{{{ATTEMPT}}} #{{window_name}}");
        let lines = self.call(&[&["list-windows", "-t", &format!("{session}:"), "-F", &format]], b"")?;
        Ok(lines.lines().filter_map(window).collect())
    }

    /// The panes of all windows of a session.
    ///
    /// # Errors
    /// The session has ended, or tmux cannot be asked.
    pub fn panes(&self, session: &str) -> Result<Vec<String>, TmuxError> {
        let lines =
            self.call(&[&["list-panes", "-s", "-t", &format!("{session}:"), "-F", "#{pane_id}"]], b"")?;
        Ok(lines.lines().map(str::to_owned).collect())
    }

    /// A pane, or the one that is in front in a session (`$1:`).
    ///
    /// # Errors
    /// It has ended.
    pub fn pane(&self, target: &str) -> Result<Pane, TmuxError> {
        let format =
            "#{pane_id} #{pane_pid} #{pane_dead} #{pane_input_off} b=#{bracket_paste_flag} #{pane_tty}";
        let line = self.call(&[&["display-message", "-p", "-t", target, format]], b"")?;
        pane(line.trim_end()).ok_or_else(|| TmuxError::Gone(format!("no pane {target}")))
    }

    /// Whether somebody looks at the window of a pane.
    ///
    /// # Errors
    /// It has ended.
    pub fn is_seen(&self, pane: &str) -> Result<bool, TmuxError> {
        let clients =
            self.call(&[&["display-message", "-p", "-t", pane, "#{window_active_clients}"]], b"")?;
        Ok(!matches!(clients.trim(), "" | "0"))
    }

    /// Closes a window with all that runs in it.
    ///
    /// # Errors
    /// It has ended before.
    pub fn kill_window(&self, window: &str) -> Result<(), TmuxError> {
        self.call(&[&["kill-window", "-t", window]], b"").map(drop)
    }

    /// Closes a pane; its program is told by SIGHUP.
    ///
    /// # Errors
    /// It has ended before.
    pub fn kill_pane(&self, pane: &str) -> Result<(), TmuxError> {
        self.call(&[&["kill-pane", "-t", pane]], b"").map(drop)
    }

    /// The command with which a person comes to see `target` (`$1:@2`). `surrounding` is the `TMUX` of a
    /// person who is inside of tmux: there another session of the same server is switched to.
    pub fn attach_argv(&self, target: &str, surrounding: Option<&str>) -> Vec<String> {
        let socket = surrounding.and_then(|tmux| tmux.split(',').next()).map(Path::new);
        let is_inside =
            socket.and_then(|socket| socket.canonicalize().ok()) == self.socket().canonicalize().ok();
        let verb = if socket.is_some() && is_inside { "switch-client" } else { "attach-session" };
        let program = self.program.to_string_lossy().into_owned();
        [program.as_str(), "-u", verb, "-t", target].map(str::to_owned).to_vec()
    }

    /// Becomes that command; only returns where it cannot. A person's own terminal and variables are its.
    pub fn attach(&self, argv: &[String], environment: &BTreeMap<String, String>) -> io::Error {
        let mut command = spawn::program(&self.program, &self.folder);
        command.args(argv.iter().skip(1)).envs(environment);
        if argv.iter().any(|word| word == "attach-session") {
            command.env_remove("TMUX");
        }
        command.exec()
    }

    /// Carries out commands, one after the other, as one: nobody comes between.
    fn call(&self, commands: &[&[&str]], stdin: &[u8]) -> Result<String, TmuxError> {
        let mut command: Command = spawn::program(&self.program, &self.folder);
        // Without it, what is no ASCII comes back as `_` where no locale says otherwise.
        command.arg("-u").envs(&self.env);
        for (at, words) in commands.iter().enumerate() {
            if at > 0 {
                command.arg(";");
            }
            command.args(words.iter().map(|word| escaped(word)));
        }
        let limits = Limits { timeout: Some(PATIENCE), ..Limits::default() };
        let output = spawn::run(&mut command, stdin, &limits)?;
        match output.end {
            End::Exited(0) => Ok(String::from_utf8_lossy(&output.stdout.into_bytes()).into_owned()),
            End::TimedOut => Err(TmuxError::Silent),
            _ => Err(refused(output.stderr.to_text().trim())),
        }
    }
}

/// What is printed of what was made.
const OPENED: &str = "#{session_id} #{window_id} #{pane_id} #{pane_pid}";

/// A word as tmux reads it back: a `;` at its end would part two commands.
fn escaped(word: &str) -> String {
    match word.strip_suffix(';') {
        Some(rest) => format!("{rest}\\;"),
        None => word.to_owned(),
    }
}

/// What tmux means by its words.
fn refused(said: &str) -> TmuxError {
    let begins = |starts: &[&str]| starts.iter().any(|start| said.starts_with(start));
    if begins(&["duplicate session"]) {
        TmuxError::Taken
    } else if begins(&[
        "no server running",
        "error connecting to",
        "can't find",
        "lost server",
        "server exited",
        "no current",
        "no sessions",
    ]) {
        TmuxError::Gone(said.to_owned())
    } else {
        TmuxError::Failed(if said.is_empty() {
            "it failed without a word".to_owned()
        } else {
            said.to_owned()
        })
    }
}

fn opened(line: &str) -> Result<Opened, TmuxError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [session, window, pane, pid] => match pid.parse() {
            Ok(pid) => Ok(Opened {
                session: session.to_owned(),
                window: window.to_owned(),
                pane: pane.to_owned(),
                pid,
            }),
            Err(_) => Err(TmuxError::Failed(format!("it printed {line:?}"))),
        },
        _ => Err(TmuxError::Failed(format!("it printed {line:?}"))),
    }
}

/// The value behind `x=`, if there is one.
fn marked<'a>(word: Option<&'a str>, key: &str) -> Option<Option<&'a str>> {
    let value = word?.strip_prefix(key)?;
    Some((!value.is_empty()).then_some(value))
}

/// A session; which panes there are, and whether they are dead, is told by further lines of `all`.
fn listed(line: &str, all: &str) -> Option<Listed> {
    let mut words = line.splitn(6, ' ');
    let mut listed = Listed {
        id: words.next().filter(|id| id.starts_with('$'))?.to_owned(),
        is_attached: words.next()? != "0",
        project: marked(words.next(), "p=")?.map(str::to_owned),
        worker: marked(words.next(), "w=")?.map(str::to_owned),
        pane: None,
        is_up: false,
        name: String::new(),
    };
    if let Some(pane) = marked(words.next(), "t=")?
        && let Some((pane, dead)) =
            all.lines().filter_map(|line| line.split_once(' ')).find(|(id, _)| *id == pane)
    {
        listed.pane = Some(pane.to_owned());
        listed.is_up = dead != "1";
    }
    listed.name = words.next()?.to_owned();
    Some(listed)
}

fn window(line: &str) -> Option<Window> {
    let mut words = line.splitn(4, ' ');
    Some(Window {
        id: words.next().filter(|id| id.starts_with('@'))?.to_owned(),
        is_seen: !matches!(words.next()?, "0" | ""),
        attempt: marked(words.next(), "a=")?.map(str::to_owned),
        name: words.next()?.to_owned(),
    })
}

fn pane(line: &str) -> Option<Pane> {
    let mut words = line.splitn(6, ' ');
    Some(Pane {
        id: words.next().filter(|id| id.starts_with('%'))?.to_owned(),
        pid: words.next()?.parse().ok()?,
        is_dead: words.next()? == "1",
        is_off: words.next()? == "1",
        brackets: marked(words.next(), "b=")?.map(|flag| flag == "1"),
        tty: words.next()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_read_whatever_a_session_is_called() {
        let line = "$3 1 p=api-1 w=a.b t=%4 my = session p=x";
        let read = listed(line, "%4 0").unwrap();
        assert_eq!((read.pane.as_deref(), read.is_up), (Some("%4"), true));
        assert_eq!((read.id.as_str(), read.name.as_str()), ("$3", "my = session p=x"));
        assert_eq!((read.project.as_deref(), read.worker.as_deref()), (Some("api-1"), Some("a.b")));
        assert!(read.is_attached);
        for (panes, pane) in [("%3 0\n%4 1", Some("%4")), ("%41 0\n%3 0", None), ("", None)] {
            let read = listed(line, panes).unwrap();
            assert_eq!((read.pane.as_deref(), read.is_up), (pane, false), "{panes}");
        }
        let read = listed("$0 0 p= w= t= -x", "").unwrap();
        assert_eq!((read.project, read.worker, read.pane, read.name.as_str()), (None, None, None, "-x"));
        assert_eq!(listed("what is this", ""), None);
        assert_eq!(
            window("@5 0 a=a-1 w").unwrap(),
            Window { id: "@5".into(), is_seen: false, attempt: Some("a-1".into()), name: "w".into() }
        );
        let read = pane("%7 123 0 1 b= /dev/pts/4").unwrap();
        assert_eq!((read.pid, read.is_dead, read.is_off, read.brackets), (123, false, true, None));
        assert_eq!(pane("%7 123 0 0 b=0 /dev/pts/4").unwrap().brackets, Some(false));
    }

    #[test]
    fn no_word_ends_a_command() {
        for (word, typed) in [(";", "\\;"), ("a;", "a\\;"), ("a\\;", "a\\\\;"), ("a;b", "a;b"), ("", "")] {
            assert_eq!(escaped(word), typed);
        }
    }

    #[test]
    fn what_tmux_says_is_understood() {
        assert!(matches!(refused("duplicate session: x"), TmuxError::Taken));
        assert!(matches!(refused("can't find pane: %4"), TmuxError::Gone(_)));
        assert!(matches!(refused("no server running on /tmp/x"), TmuxError::Gone(_)));
        assert!(matches!(refused("need UTF-8 locale"), TmuxError::Failed(_)));
    }
}
