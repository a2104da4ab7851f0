//! Starting programs: the one place that does.

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::tree::{self, Handle, Process};
use crate::base::threads;

/// A command for `name` in the folder `cwd`, with an empty environment: whoever
/// starts a program says what it may see. `name` is looked up in the `PATH` that
/// is set on the command.
#[expect(clippy::disallowed_methods, reason = "this is the place where programs start")]
pub fn program(name: impl AsRef<OsStr>, cwd: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(cwd).env_clear();
    command
}

/// What a program may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest it may run.
    pub timeout: Option<Duration>,
    /// How long after its time it may still take to clean up, before it is killed.
    pub grace: Duration,
    /// The most bytes kept of each stream: the first half and the last.
    pub max_output: usize,
}

impl Default for Limits {
    /// No time limit, two seconds of grace (git removes its lock files meanwhile), 16 MiB.
    fn default() -> Self {
        Self { timeout: None, grace: Duration::from_secs(2), max_output: 16 << 20 }
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit status.
    Exited(i32),
    /// By this signal, which was not ours.
    Signaled(i32),
    /// It ran past its time and was ended.
    TimedOut,
}

impl End {
    /// Whether it ended by itself with status 0.
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

/// What became of a program.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub end: End,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
    /// How long it took.
    pub duration: Duration,
}

/// The beginning and the end of a stream.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
    keep: usize,
}

impl Captured {
    fn new(keep: usize) -> Self {
        Self { keep, ..Self::default() }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let head_room = (self.keep / 2).saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(head_room);
        self.head.extend_from_slice(head);
        let tail_size = self.keep - self.keep / 2;
        let rest = &rest[rest.len().saturating_sub(tail_size)..];
        let surplus = (self.tail.len() + rest.len()).saturating_sub(tail_size);
        self.tail.drain(..surplus);
        self.tail.extend(rest);
    }

    /// How many bytes came.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many of them, between the beginning and the end, were not kept. What
    /// must be whole (git's answers) is good only when this is 0.
    pub fn omitted(&self) -> u64 {
        self.total - self.head.len() as u64 - self.tail.len() as u64
    }

    /// The bytes kept, the beginning and the end side by side.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.head;
        bytes.extend(self.tail);
        bytes
    }

    /// For people: as text, with a line in place of what was not kept.
    pub fn to_text(&self) -> String {
        let mut bytes = self.head.clone();
        if self.omitted() > 0 {
            bytes.extend_from_slice(format!("\n[... {} bytes omitted ...]\n", self.omitted()).as_bytes());
        }
        bytes.extend(&self.tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Why a program could not be run.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// It did not start.
    #[error("cannot start `{}` in {}: {source}", program.display(), cwd.display())]
    Start {
        /// The program.
        program: OsString,
        /// The folder it was to start in.
        cwd: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It started, and could not be followed; it was killed.
    #[error("lost track of `{}`: {source}", program.display())]
    Follow {
        /// The program.
        program: OsString,
        /// The system's reason.
        source: io::Error,
    },
}

/// Runs `command` to its end, feeds it `stdin` and keeps what it prints. It gets a
/// process group of its own; whatever of that group is left when the program ends is
/// killed, and past its time all that it started is. Blocks; not for async code.
///
/// Processes that left the group stay behind when the program ends in time: only a
/// shim, which adopts orphans, catches those.
///
/// # Errors
/// The program cannot be started, or the system fails while it runs.
pub fn run(command: &mut Command, stdin: &[u8], limits: &Limits) -> Result<Output, SpawnError> {
    let began = Instant::now();
    command.stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn();
    let mut child = spawned.map_err(|source| SpawnError::Start {
        program: command.get_program().to_owned(),
        cwd: command.get_current_dir().unwrap_or(Path::new(".")).to_owned(),
        source,
    })?;
    let group = Pid::from_child(&child);
    let mut followed = Followed::new(&mut child, stdin, limits.max_output);
    let timed_out = followed.until_end(group, began, limits);

    // The ended child is not reaped yet, so the number is still its group's alone.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    let finished = timed_out.and_then(|timed_out| {
        followed.read_rest()?;
        Ok((timed_out, child.wait()?))
    });
    let (timed_out, status) = finished.map_err(|source| {
        // It was killed above.
        let _ = child.wait();
        SpawnError::Follow { program: command.get_program().to_owned(), source }
    })?;
    use std::os::unix::process::ExitStatusExt as _;
    let end = match (timed_out, status.code(), status.signal()) {
        (true, ..) => End::TimedOut,
        (_, Some(code), _) => End::Exited(code),
        (_, _, signal) => End::Signaled(signal.unwrap_or(0)),
    };
    let Followed { stdout, stderr, .. } = followed;
    Ok(Output { end, stdout: stdout.captured, stderr: stderr.captured, duration: began.elapsed() })
}

/// A running child and its three streams.
struct Followed<'a> {
    stdin: Option<std::process::ChildStdin>,
    unwritten: &'a [u8],
    stdout: Stream<std::process::ChildStdout>,
    stderr: Stream<std::process::ChildStderr>,
}

struct Stream<R> {
    pipe: Option<R>,
    captured: Captured,
}

impl<'a> Followed<'a> {
    fn new(child: &mut Child, stdin: &'a [u8], max_output: usize) -> Self {
        Self {
            stdin: child.stdin.take(),
            unwritten: stdin,
            stdout: Stream { pipe: child.stdout.take(), captured: Captured::new(max_output) },
            stderr: Stream { pipe: child.stderr.take(), captured: Captured::new(max_output) },
        }
    }

    /// Serves the streams until the child has ended, and tells whether it was made to.
    fn until_end(&mut self, child: Pid, began: Instant, limits: &Limits) -> io::Result<bool> {
        for pipe in [
            self.stdin.as_ref().map(AsFd::as_fd),
            self.stdout.pipe.as_ref().map(AsFd::as_fd),
            self.stderr.pipe.as_ref().map(AsFd::as_fd),
        ] {
            pipe.map_or(Ok(()), |pipe| rustix::io::ioctl_fionbio(pipe, true))?;
        }
        let watch = EndWatch::new(child)?;
        let mut deadline = limits.timeout.map(|timeout| began + timeout);
        // All that were seen to be the child's, once its time is up: what SIGTERM
        // orphans is no longer found below it.
        let mut seen: Option<HashSet<Process>> = None;
        loop {
            if watch.has_ended(child)? {
                kill_all(seen.iter().flatten());
                return Ok(seen.is_some());
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                if let Some(seen) = &mut seen {
                    // Nobody of them starts anything new between being found and being killed.
                    rustix::process::kill_process_group(child, Signal::STOP)?;
                    seen.extend(tree::suspend_descendants(child.as_raw_nonzero().get(), &[]));
                    kill_all(&*seen);
                    rustix::process::kill_process_group(child, Signal::KILL)?;
                    deadline = None;
                } else {
                    let descendants = tree::descendants(child.as_raw_nonzero().get());
                    seen = Some(descendants.into_iter().collect());
                    rustix::process::kill_process_group(child, Signal::TERM)?;
                    deadline = Some(Instant::now() + limits.grace);
                }
                continue;
            }
            self.wait(&watch, deadline)?;
            self.write()?;
            self.stdout.read(1)?;
            self.stderr.read(1)?;
        }
    }

    fn wait(&self, watch: &EndWatch, deadline: Option<Instant>) -> io::Result<()> {
        let mut fds = Vec::with_capacity(4);
        fds.extend(self.stdin.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        fds.extend(self.stdout.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(self.stderr.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = watch.join(&mut fds, left).and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while let Some(pipe) = &mut self.stdin {
            match pipe.write(self.unwritten) {
                Ok(written) => self.unwritten = &self.unwritten[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It does not want to read on, which is its own affair.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.unwritten = &[],
                Err(error) => return Err(error),
            }
            if self.unwritten.is_empty() {
                self.stdin = None;
            }
        }
        Ok(())
    }

    /// Reads what is still in the pipes. Somebody who left the group may hold them
    /// open and go on, so this is bounded by far more than a pipe can hold.
    fn read_rest(&mut self) -> io::Result<()> {
        self.stdout.read(64)?;
        self.stderr.read(64)
    }
}

impl<R: Read> Stream<R> {
    /// Reads what is there, at most `times` 64 KiB.
    fn read(&mut self, times: usize) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        let mut buffer = [0; 64 << 10];
        for _ in 0..times {
            match pipe.read(&mut buffer) {
                Ok(0) => {
                    self.pipe = None;
                    return Ok(());
                }
                Ok(read) => self.captured.push(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn kill_all<'a>(processes: impl IntoIterator<Item = &'a Process>) {
    for process in processes {
        process.signal(Signal::KILL);
    }
}

/// Notices the end of a child without reaping it.
struct EndWatch(Option<Handle>);

impl EndWatch {
    fn new(child: Pid) -> io::Result<Self> {
        Ok(Self(Handle::open(child.as_raw_nonzero().get())?))
    }

    /// Adds itself to what is waited for; returns how long to wait at most.
    fn join<'a>(&'a self, fds: &mut Vec<PollFd<'a>>, left: Option<Duration>) -> Option<Duration> {
        if let Some(end) = self.0.as_ref().and_then(Handle::end) {
            fds.push(PollFd::from_borrowed_fd(end, PollFlags::IN));
            return left;
        }
        // Nothing wakes this loop when the child ends with its pipes held open.
        let look = Duration::from_millis(20);
        Some(left.map_or(look, |left| left.min(look)))
    }

    fn has_ended(&self, child: Pid) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(child), options))?;
        Ok(ended.is_some())
    }
}

/// Starts `exe`, a program of ours that goes on without us, and returns its number.
/// Its output is appended to `log`. It calls [`become_session_leader`] first of all,
/// and belongs to init from the start: some who started this process (OpenCode, for its
/// MCP servers) end all its descendants when they are done. `on_end` is called when it
/// has ended.
///
/// # Errors
/// The log cannot be opened or the program not be started.
pub fn detach(
    exe: &Path,
    args: &[OsString],
    cwd: &Path,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    log: &Path,
    on_end: impl FnOnce() + Send + 'static,
) -> Result<u32, SpawnError> {
    let failed = |source| SpawnError::Start { program: exe.into(), cwd: cwd.to_owned(), source };
    let log = append_private(log).map_err(|source| {
        failed(io::Error::new(source.kind(), format!("its log {}: {source}", log.display())))
    })?;
    let stderr = log.try_clone().map_err(failed)?;
    let mut command = program(exe, cwd);
    command.args(args).envs(env).stdin(Stdio::null()).stdout(log).stderr(stderr);
    let (pid, wait) = start_for_init(command).map_err(failed)?;
    // Without the thread its end is not told, which does no harm.
    let _ = threads::start(
        "reaper",
        Box::new(move || {
            wait();
            on_end();
        }),
    );
    Ok(pid)
}

/// Starts `command` through a process that ends at once, and returns its number and what
/// waits for its end.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a second fork before exec has no safe form")]
fn start_for_init(mut command: Command) -> io::Result<(u32, impl FnOnce() + Send + 'static)> {
    use nix::unistd::ForkResult;
    let (number, told) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: Between fork and exec only system calls are made, on what was prepared before: no
    // lock of another thread is waited for, and the process between leaves by `_exit`, which runs
    // nothing of this program.
    unsafe {
        command.pre_exec(move || match nix::unistd::fork()? {
            ForkResult::Parent { .. } => nix::libc::_exit(0),
            ForkResult::Child => {
                let pid = rustix::process::getpid().as_raw_nonzero().get();
                rustix::io::write(&told, &pid.to_ne_bytes())?;
                Ok(())
            }
        });
    }
    // The process between: where the program itself cannot start, the reason comes through it.
    command.spawn()?.wait()?;
    drop(command);
    let mut bytes = [0; size_of::<i32>()];
    File::from(number).read_exact(&mut bytes)?;
    let pid = i32::from_ne_bytes(bytes);
    // One that has ended by now has no handle, and is not waited for.
    let handle = Handle::open(pid)?;
    let wait = move || {
        if let Some(handle) = handle {
            let _ = handle.wait_for_end(Duration::MAX);
        }
    };
    Ok((pid.unsigned_abs(), wait))
}

/// Starts `command` as a child, which belongs to init once this process ends.
#[cfg(not(target_os = "linux"))]
fn start_for_init(mut command: Command) -> io::Result<(u32, impl FnOnce() + Send + 'static)> {
    let mut child = command.spawn()?;
    let pid = child.id();
    Ok((pid, move || {
        let _ = child.wait();
    }))
}

/// Leaves the terminal and the session of whoever started this process. A process
/// that already leads a group cannot, and stays as it is.
pub fn become_session_leader() {
    let _ = rustix::process::setsid();
}

/// Opens a file of this user alone for appending, and makes it where it is missing.
pub(in crate::sys) fn append_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests;
