//! Starts one git and talks with it. The only place here where a process begins.

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

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
    // Ctrl-C in a terminal is for whoever was started there. A git that ends by it in the middle of a checkout
    // leaves half of the files; in a group of its own it comes to its end, whatever becomes of this process.
    command.process_group(0);
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

/// Feeds stdin and reads stdout and stderr at the same time, until both are closed. In one thread: a
/// snapshot is ten gits, and starting three threads for each costs as much as the gits' own work.
fn talk(
    child: &mut Child,
    input: Input<'_>,
    limits: Limits<'_>,
    args: &[OsString],
) -> Result<(Vec<u8>, bool, Vec<u8>), GitError> {
    let failed = |source| GitError::Io { action: "talk with", path: "git".into(), source };
    let bytes = if let Input::Bytes(bytes) = input { bytes } else { Vec::new() };
    let mut stdin = Feed { pipe: child.stdin.take(), unwritten: &bytes };
    let mut stdout = Stream::new(child.stdout.take(), limits.stdout.unwrap_or(usize::MAX));
    let mut stderr = Stream::new(child.stderr.take(), STDERR_KEPT);
    for pipe in [stdin.fd(), stdout.fd(), stderr.fd()].into_iter().flatten() {
        rustix::io::ioctl_fionbio(pipe, true).map_err(|errno| failed(errno.into()))?;
    }
    let started = Instant::now();
    let mut watch = limits.watch;
    while stdout.pipe.is_some() || stderr.pipe.is_some() {
        let until = watch.as_ref().map_or(DEADLINE, |(patience, _)| *patience);
        let left = until.saturating_sub(started.elapsed());
        if left.is_zero() {
            let goes_on = watch.take().is_some_and(|(_, stalled)| !stalled());
            if goes_on {
                continue;
            }
            return Err(GitError::TimedOut { args: shown(args), after: started.elapsed() });
        }
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(3);
        fds.extend(stdin.fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
        fds.extend(
            [stdout.fd(), stderr.fd()]
                .into_iter()
                .flatten()
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
        match rustix::event::poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
        stdin.write();
        stdout.read();
        if stdout.is_full() {
            // Whoever writes on is told so by a broken pipe.
            stdout.pipe = None;
        }
        stderr.read();
    }
    let is_cut = stdout.is_full();
    Ok((stdout.kept(), is_cut, stderr.kept()))
}

/// What git reads.
struct Feed<'a> {
    pipe: Option<ChildStdin>,
    unwritten: &'a [u8],
}

impl Feed<'_> {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Writes as much as fits, and closes behind the last.
    fn write(&mut self) {
        while let Some(pipe) = self.pipe.as_mut().filter(|_| !self.unwritten.is_empty()) {
            match pipe.write(self.unwritten) {
                Ok(written) => self.unwritten = &self.unwritten[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A git that ends before it read everything says why on stderr.
                Err(_) => break,
            }
        }
        self.pipe = None;
    }
}

/// What git prints.
struct Stream<R> {
    pipe: Option<R>,
    bytes: Vec<u8>,
    keep: usize,
}

impl<R: Read + AsFd> Stream<R> {
    fn new(pipe: Option<R>, keep: usize) -> Self {
        Self { pipe, bytes: Vec::new(), keep }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Whether more came than is kept.
    fn is_full(&self) -> bool {
        self.bytes.len() > self.keep
    }

    /// Reads what is there; of what is too much, one byte is kept as a sign.
    fn read(&mut self) {
        let mut chunk = [0; 16 * 1024];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut chunk) {
                Ok(read) if read > 0 => {
                    let room = self.keep.saturating_add(1).saturating_sub(self.bytes.len());
                    self.bytes.extend_from_slice(&chunk[..read.min(room)]);
                    if self.is_full() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.pipe = None,
            }
        }
    }

    fn kept(mut self) -> Vec<u8> {
        self.bytes.truncate(self.keep);
        self.bytes
    }
}
