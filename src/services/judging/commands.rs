//! Running a command on a commit: in a verify worktree, under a shim, within the wall.

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
use crate::sys::git::Oid;
use crate::sys::process::find::find_program;
use crate::sys::shim::client::{self, Ended, Started};
use crate::sys::shim::job::{Cause, Job, Request};
use crate::sys::wall::Mode;

/// How long a gate's command may take unless the rules say otherwise.
const GATE_TIMEOUT_S: u64 = 1800;
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
    let again = on_commit(case, verify, commit, gate, command)?;
    Ok(match again.end {
        End::Passed => Seen {
            end: End::Flaky(how.clone()),
            output: format!("== failed first\n{}\n== passed then\n{}", first.output, again.output),
        },
        End::Failed(_) => again,
        // Whatever kept it from running again, it did fail.
        End::Flaky(_) | End::Unknown(_) => first,
    })
}

/// Runs a command on a commit.
pub fn on_commit(
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
    let house = &case.session.house;
    let name = format!("g-{}-{gate}", case.name);
    let run_dir = house.run_dir(&name);
    // What a judge that was killed left running would work in this very tree.
    if let Some(earlier) = tree.last_run() {
        end_earlier(&earlier);
    }
    end_earlier(&run_dir);
    tree.set(case, commit)?;
    tree.note_run(&run_dir)?;
    let failed = |error| Error::system(format!("cannot prepare gate {gate}"), error);
    match std::fs::remove_dir_all(&run_dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let tmp = run_dir.join("tmp");
    std::fs::create_dir_all(&tmp).map_err(failed)?;
    let mut env = environment(house);
    env.insert("TMPDIR".to_owned(), tmp.to_string_lossy().into_owned());
    env.insert("KAPELL_ATTEMPT".to_owned(), name.clone());
    let program = &command.0[0];
    let path = env.get("PATH").map_or("", String::as_str);
    // A relative program with a slash is one of the tree's own scripts.
    let found = if program.contains('/') && !program.starts_with('/') {
        Some(tree.path.join(program)).filter(|file| file.is_file())
    } else {
        find_program(program, path)
    };
    let Some(found) = found else {
        let end = End::Unknown(format!("there is no program {program}"));
        return Ok(Seen { end, output: String::new() });
    };
    let mut argv: Vec<OsString> = vec![found.into()];
    argv.extend(command.0[1..].iter().map(OsString::from));
    let mut job = Job::new(&name, argv, &tree.path);
    job.env = env.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    job.timeout_ms = Some(case.rules.timeout_s.unwrap_or(GATE_TIMEOUT_S).saturating_mul(1000));
    let ground = Ground {
        wish: case.config.wall,
        folder: &tree.path,
        writes: Writes::All,
        run_dir: &run_dir,
        caches: case.config.caches.as_deref(),
    };
    job.wall = ground.wall(house)?;
    if job.wall.mode != Mode::Off {
        job.wall.writable.push(tmp);
    }
    Point::GatePrepared.reach()?;
    client::start(&house.program, &run_dir, &job)
        .map(Started::leave)
        .map_err(|error| Error::system(format!("cannot start gate {gate}"), std::io::Error::other(error)))?;
    Point::GateStarted.reach()?;
    let ended = client::wait(&run_dir)
        .map_err(|error| Error::system(format!("cannot follow gate {gate}"), std::io::Error::other(error)))?;
    let output = output(&run_dir);
    let end = match ended {
        Ended::Vanished => {
            end_earlier(&run_dir);
            End::Unknown("its shim died".to_owned())
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

/// Ends every command that runs for a judgement of that name.
pub fn end_all(house: &House, name: &str) {
    let prefix = format!("g-{name}-");
    let runs = std::fs::read_dir(house.run_dir("")).into_iter().flatten().flatten();
    for run in runs.filter(|run| run.file_name().to_string_lossy().starts_with(&prefix)) {
        if client::is_alive(&run.path()) {
            // One that has ended meanwhile need not be told.
            let _ = client::send(&run.path(), Request::Stop { grace_ms: None });
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
        .collect();
    env.insert("TERM".to_owned(), "dumb".to_owned());
    env.insert("NO_COLOR".to_owned(), "1".to_owned());
    env.insert("CI".to_owned(), "true".to_owned());
    env
}

fn output(run_dir: &Path) -> String {
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
