//! Starts one git and talks with it. The only place here where a process begins.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::queue::Guard;
use super::run::{GitError, shown};

/// How long one git may run. Nothing legitimate takes this long on a local repository; a hung
/// network drive does.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// How much of stderr is kept; the rest is read and dropped.
const STDERR_KEPT: usize = 64 * 1024;

/// What git reads on stdin.
pub(super) enum Input<'a> {
    /// Nothing.
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing; but the child has the queue's lock file open, so the lock lasts until the child ends,
    /// even if this process is killed meanwhile.
    Lock(&'a Guard),
}

/// What a finished git left.
pub(super) struct Finished {
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// `None` when it was ended by a signal.
    pub code: Option<i32>,
    pub status: String,
    /// Whether stdout was cut at the limit.
    pub is_cut: bool,
}

/// Asked once, when git still runs after the duration, whether to stop it.
pub(super) type Watch<'a> = (Duration, &'a mut dyn FnMut() -> bool);

/// Bounds of one run.
#[derive(Default)]
pub(super) struct Limits<'a> {
    /// Cuts stdout after so many bytes.
    pub stdout: Option<usize>,
    /// Asks whether to stop.
    pub watch: Option<Watch<'a>>,
}

/// Runs a program with exactly this environment, whatever its exit code.
pub(super) fn execute(
    program: &Path,
    args: &[OsString],
    environment: &[(OsString, OsString)],
    folder: &Path,
    input: Input<'_>,
) -> Result<Finished, GitError> {
    execute_within(program, args, environment, folder, input, Limits::default())
}

#[expect(
    clippy::disallowed_methods,
    reason = "folder and environment are named here, once for all git calls"
)]
pub(super) fn execute_within(
    program: &Path,
    args: &[OsString],
    environment: &[(OsString, OsString)],
    folder: &Path,
    input: Input<'_>,
    limits: Limits<'_>,
) -> Result<Finished, GitError> {
    let cannot_start = |source| GitError::Start { program: program.to_path_buf(), source };
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    match &input {
        Input::Nothing => command.stdin(Stdio::null()),
        Input::Bytes(_) => command.stdin(Stdio::piped()),
        Input::Lock(guard) => command.stdin(guard.share().map_err(cannot_start)?),
    };
    let mut child = command.spawn().map_err(cannot_start)?;
    let read = talk(&mut child, input, limits, args);
    if read.is_err() {
        // A failed kill means that it is gone already.
        let _ = child.kill();
    }
    let status = child.wait().map_err(cannot_start)?;
    let (stdout, is_cut, stderr) = read?;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    Ok(Finished { stdout, stderr, code: status.code(), status: status.to_string(), is_cut })
}

enum Part {
    Stdout(Vec<u8>, bool),
    Stderr(Vec<u8>),
}

/// Feeds stdin and reads stdout and stderr at the same time, until both are closed.
fn talk(
    child: &mut Child,
    input: Input<'_>,
    limits: Limits<'_>,
    args: &[OsString],
) -> Result<(Vec<u8>, bool, Vec<u8>), GitError> {
    if let (Input::Bytes(bytes), Some(mut stdin)) = (input, child.stdin.take()) {
        // A git that ends before it read everything says why on stderr.
        std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    }
    let (sender, parts) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        let (sender, limit) = (sender.clone(), limits.stdout.unwrap_or(usize::MAX));
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.take(limit.saturating_add(1) as u64).read_to_end(&mut bytes);
            let is_cut = bytes.len() > limit;
            bytes.truncate(limit);
            let _ = sender.send(Part::Stdout(bytes, is_cut));
        });
    }
    if let Some(mut stderr) = child.stderr.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = (&mut stderr).take(STDERR_KEPT as u64).read_to_end(&mut bytes);
            let _ = io::copy(&mut stderr, &mut io::sink());
            let _ = sender.send(Part::Stderr(bytes));
        });
    }
    let started = Instant::now();
    let mut watch = limits.watch;
    let (mut stdout, mut is_cut, mut stderr) = (Vec::new(), false, Vec::new());
    loop {
        let until = watch.as_ref().map_or(DEADLINE, |(patience, _)| *patience);
        match parts.recv_timeout(until.saturating_sub(started.elapsed())) {
            Ok(Part::Stdout(bytes, cut)) => (stdout, is_cut) = (bytes, cut),
            Ok(Part::Stderr(bytes)) => stderr = bytes,
            Err(RecvTimeoutError::Disconnected) => return Ok((stdout, is_cut, stderr)),
            Err(RecvTimeoutError::Timeout) => {
                let goes_on = watch.take().is_some_and(|(_, stalled)| !stalled());
                if !goes_on {
                    return Err(GitError::TimedOut { args: shown(args), after: started.elapsed() });
                }
            }
        }
    }
}
