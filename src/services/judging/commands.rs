//! Running a command on a commit: in a verify worktree, under a shim, within the wall.

use crate::base::paths::RepoPath;
use crate::base::sorting::Gather as _;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::Case;
use super::verify::VerifyTree;
use crate::base::failpoint::Point;
use crate::base::ids::AttemptId;
use crate::domain::plan::CommandLine;
use crate::services::walling::{Ground, Writes};
use crate::services::{Error, House};
use crate::sys::config::resolved::Wall as Wish;
use crate::sys::git::Oid;
use crate::sys::process::find::find_program;
use crate::sys::shim::client::{self, Ended, Started};
use crate::sys::shim::job::{Cause, Job, Request};
use crate::sys::wall::Mode;

/// How long a command may take where nothing says otherwise.
pub const COMMAND_TIMEOUT_S: u64 = 1800;
/// As much of a command's output is kept as evidence, from its end.
const KEPT: usize = 256 * 1024;

/// What was seen of a command.
#[derive(Debug)]
pub struct Seen {
    /// How it ended.
    pub end: End,
    /// What it printed, stdout before stderr.
    pub output: String,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With exit code 0.
    Passed,
    /// With exit code 0, after it had failed once on the same commit; how, to stand after the command.
    Flaky(String),
    /// Otherwise; how, to stand after the command in a sentence.
    Failed(String),
    /// It could not be run, or not to its end; that says nothing about the work.
    Unknown(String),
}

/// Runs a command on a commit, and once more if it fails: what then passes is flaky, and that is said.
pub fn on_commit_twice(
    case: &Case<'_>,
    verify: &mut Option<VerifyTree>,
    commit: &Oid,
    gate: &str,
    command: &CommandLine,
) -> Result<Seen, Error> {
    let first = on_commit(case, verify, commit, gate, command)?;
    let End::Failed(how) = &first.end else { return Ok(first) };
    // What an earlier run left is kept, and tests of rights may leave folders that nobody can enter.
    let top = RepoPath::from("");
    let was_closed = verify.as_ref().and_then(VerifyTree::worktree).is_some_and(|tree| tree.open_up([&top]));
    let again = on_commit(case, verify, commit, gate, command)?;
    Ok(match again.end {
        End::Passed if was_closed => Seen {
            end: End::Passed,
            output: format!(
                "== an earlier run had closed folders to itself; they are open\n{}",
                again.output
            ),
        },
        End::Passed => Seen {
            end: End::Flaky(how.clone()),
            output: format!("== failed first\n{}\n== passed then\n{}", first.output, again.output),
        },
        End::Failed(_) => again,
        // Whatever kept it from running again, it did fail.
        End::Flaky(_) | End::Unknown(_) => first,
    })
}

/// Runs a command on a commit; once more where its shim was killed, which says nothing about either.
pub fn on_commit(
    case: &Case<'_>,
    verify: &mut Option<VerifyTree>,
    commit: &Oid,
    gate: &str,
    command: &CommandLine,
) -> Result<Seen, Error> {
    match once_on_commit(case, verify, commit, gate, command)? {
        Seen { end: End::Unknown(why), .. } if why == SHIM_DIED => {
            once_on_commit(case, verify, commit, gate, command)
        }
        seen => Ok(seen),
    }
}

/// Why nothing is known of a command's end that its shim did not live to record.
const SHIM_DIED: &str = "its shim died";

fn once_on_commit(
    case: &Case<'_>,
    verify: &mut Option<VerifyTree>,
    commit: &Oid,
    gate: &str,
    command: &CommandLine,
) -> Result<Seen, Error> {
    let tree = match verify {
        Some(tree) => tree,
        None => verify.insert(VerifyTree::take(case)?),
    };
    let house = &*case.session.house;
    let name = format!("g-{}-{gate}", case.name);
    let run_dir = house.run_dir(&name);
    // What a judge that was killed left running would work in this very tree.
    if let Some(earlier) = tree.last_run() {
        end_earlier(&earlier);
    }
    end_earlier(&run_dir);
    tree.set(case, commit)?;
    tree.note_run(&run_dir)?;
    let launch = Launch {
        house,
        name: &name,
        run_dir: &run_dir,
        folder: &tree.path,
        command,
        timeout_s: case.rules.timeout_s.unwrap_or(COMMAND_TIMEOUT_S),
        wall: case.config.wall,
        caches: case.config.caches.as_deref(),
        env: BTreeMap::new(),
    };
    match std::fs::remove_dir_all(&run_dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::system(format!("cannot prepare gate {gate}"), error));
        }
        _ => {}
    }
    if !launch.start()? {
        let end = End::Unknown(format!("there is no program {}", command.0[0]));
        return Ok(Seen { end, output: String::new() });
    }
    Point::GateStarted.reach()?;
    let ended = client::wait(&run_dir)
        .map_err(|error| Error::system(format!("cannot follow gate {gate}"), std::io::Error::other(error)))?;
    let output = output(&run_dir);
    let end = match ended {
        Ended::Vanished => {
            end_earlier(&run_dir);
            End::Unknown(SHIM_DIED.to_owned())
        }
        Ended::Exit(exit) => match (exit.ended, exit.code, exit.signal) {
            (Cause::Exited, Some(0), _) => End::Passed,
            (Cause::Exited, Some(code), _) => End::Failed(format!("fails with exit code {code}")),
            (Cause::Exited, None, signal) => End::Failed(format!("dies of signal {}", signal.unwrap_or(0))),
            (Cause::NotStarted, ..) => {
                End::Unknown(exit.reason.unwrap_or_else(|| "it did not start".to_owned()))
            }
            (Cause::TimedOut, ..) => End::Unknown("it ran past its time".to_owned()),
            (Cause::OutputLimit, ..) => End::Unknown("it printed more than it may".to_owned()),
            (Cause::OverBudget, ..) => End::Unknown("it cost more than it may".to_owned()),
            (Cause::Stopped | Cause::Killed, ..) => End::Unknown("it was stopped".to_owned()),
        },
    };
    Ok(Seen { end, output })
}

/// A command to be run in a checkout, under a shim and within the wall.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Whose program the shim is.
    pub house: &'a House,
    /// The run's name; its processes have it in their environment.
    pub name: &'a str,
    /// The run's folder; it was not used before.
    pub run_dir: &'a Path,
    /// The checkout.
    pub folder: &'a Path,
    /// The command.
    pub command: &'a CommandLine,
    /// How long it may take.
    pub timeout_s: u64,
    /// The wall that is wanted.
    pub wall: Wish,
    /// What it may write besides its checkout.
    pub caches: Option<&'a [String]>,
    /// Its environment beyond [`environment`].
    pub env: BTreeMap<String, String>,
}

impl Launch<'_> {
    /// Starts it. `false`: there is no such program, and nothing was started.
    pub fn start(&self) -> Result<bool, Error> {
        let failed = |error| Error::system(format!("cannot prepare {}", self.name), error);
        let tmp = self.run_dir.join("tmp");
        std::fs::create_dir_all(&tmp).map_err(failed)?;
        let mut env = environment(self.house);
        env.extend(self.env.clone());
        env.insert("TMPDIR".to_owned(), tmp.to_string_lossy().into_owned());
        env.insert("KAPELL_ATTEMPT".to_owned(), self.name.to_owned());
        let program = &self.command.0[0];
        let path = env.get("PATH").map_or("", String::as_str);
        // A relative program with a slash is one of the tree's own scripts.
        let found = if program.contains('/') && !program.starts_with('/') {
            Some(self.folder.join(program)).filter(|file| file.is_file())
        } else {
            find_program(program, path)
        };
        let Some(found) = found else { return Ok(false) };
        let mut argv: Vec<OsString> = vec![found.into()];
        argv.extend(self.command.0[1..].iter().map(OsString::from));
        let mut job = Job::new(self.name, argv, self.folder);
        job.env = env.into_iter().map(|(name, value)| (name.into(), value.into())).gather();
        job.timeout_ms = Some(self.timeout_s.saturating_mul(1000));
        let ground = Ground {
            wish: self.wall,
            folder: self.folder,
            writes: Writes::All,
            run_dir: self.run_dir,
            caches: self.caches,
            kept: &[],
        };
        job.wall = ground.wall(self.house)?;
        if job.wall.mode != Mode::Off {
            job.wall.writable.push(tmp);
        }
        Point::GatePrepared.reach()?;
        client::start(&self.house.program, self.run_dir, &job).map(Started::leave).map_err(|error| {
            Error::system(format!("cannot start {}", self.name), std::io::Error::other(error))
        })?;
        Ok(true)
    }
}

/// Ends what a judge that died left running under the same name.
fn end_earlier(run_dir: &Path) {
    if client::is_alive(run_dir) {
        let _ = client::send(run_dir, Request::Kill);
        let _ = client::wait(run_dir);
    }
    if client::was_started(run_dir) && !client::has_ended(run_dir) {
        let name = run_dir.file_name().unwrap_or_default().to_string_lossy();
        // What does not die hangs in the kernel, where it does no harm.
        let _ = client::kill_leftovers(&AttemptId::new(name));
    }
}

/// Ends every command and every question that runs for a judgement of that name, as the request says.
pub fn end_all(house: &House, name: &str, request: Request) {
    let prefix = format!("g-{name}-");
    let runs = std::fs::read_dir(house.run_dir("")).into_iter().flatten().flatten();
    for run in runs.filter(|run| run.file_name().to_string_lossy().starts_with(&prefix)) {
        if client::is_alive(&run.path()) {
            // One that has ended meanwhile need not be told.
            let _ = client::send(&run.path(), request);
        }
    }
}

/// What a command gets of the caller's environment: what toolchains need, and no secrets.
pub fn environment(house: &House) -> BTreeMap<String, String> {
    const NAMES: [&str; 22] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "TZ",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
        "GOPATH",
        "GOROOT",
        "GOCACHE",
        "JAVA_HOME",
        "VIRTUAL_ENV",
        "PYENV_ROOT",
        "NVM_DIR",
        "PNPM_HOME",
        "NODE_PATH",
        "NODE_OPTIONS",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ];
    let mut env: BTreeMap<String, String> = house
        .environment
        .iter()
        .filter(|(name, _)| {
            NAMES.contains(&name.as_str())
                || name.starts_with("LC_")
                || name.to_ascii_lowercase().ends_with("_proxy")
                || name.to_ascii_lowercase().starts_with("npm_config_")
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .gather();
    env.insert("TERM".to_owned(), "dumb".to_owned());
    env.insert("NO_COLOR".to_owned(), "1".to_owned());
    env.insert("CI".to_owned(), "true".to_owned());
    env
}

/// What a command printed, from its end, stdout before stderr.
pub fn output(run_dir: &Path) -> String {
    let mut text = String::new();
    for name in ["stdout", "stderr"] {
        let bytes = tail(&run_dir.join(name), KEPT).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&bytes));
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// The last `most` bytes of a file.
pub fn tail(path: &Path, most: usize) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most as u64)))?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
