//! The other side of the shim: starting one, waiting for its end, speaking to it,
//! and cleaning up after one that vanished.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Signal;

use super::job::{Exit, Job, Reply, Request};
use super::{ATTEMPT_VARIABLE, files};
use crate::base::failpoint::{self, Fault, Point};
use crate::base::ids::{AttemptId, random_tail};
use crate::sys::process::tree::{self, Processes};
use crate::sys::process::vigil::End;
use crate::sys::process::{life, spawn};

/// How long a shim may take to answer. It answers at once unless the machine is starved.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// How many may wait to be heard by a shim.
const WAITING: i32 = 128;

/// How long a killed process may take to be gone.
const DEATH_TIME: Duration = Duration::from_secs(10);

/// A shim that was started. It goes on without its starter; one that lives on waits
/// for [`Started::shim`] or [leaves](Started::leave) it, so that it does not stay as a zombie.
#[derive(Debug)]
pub struct Started {
    /// The shim's own process. Its exit status is not the worker's.
    pub shim: Child,
    /// How the end of its run is seen soonest, where it waited for this start.
    pub line: Option<Line>,
}

/// A line to a shim, which closes it behind the lock of its run.
#[derive(Debug)]
pub struct Line(pub(super) UnixStream);

impl Line {
    /// Waits until the shim has let go of the run, and tells whether it has; at most so long.
    pub fn is_cut_within(&self, longest: Duration) -> bool {
        // What it may have said before is nothing to wake for.
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        let timeout = Timespec::try_from(longest).ok();
        matches!(rustix::event::poll(&mut fds, timeout.as_ref()), Ok(1..))
    }
}

impl Started {
    /// Leaves the shim to itself. Its process is seen off when another is left, so that those
    /// that have ended do not pile up as zombies of a conductor that runs for days.
    pub fn leave(self) -> Option<Line> {
        static LEFT: Mutex<Vec<Child>> = Mutex::new(Vec::new());
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain_mut(|shim| matches!(shim.try_wait(), Ok(None)));
        left.push(self.shim);
        self.line
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The shim recorded it.
    Exit(Exit),
    /// Nobody recorded it: the shim was killed, the machine went down, or the shim
    /// was never started. What is left of the worker is ended by [`kill_leftovers`].
    Vanished,
}

/// What can go wrong with a shim.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file of the run folder cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The run folder has or had a shim; a run happens once.
    #[error("{} is in use: each attempt needs a run folder of its own", run_dir.display())]
    AlreadyStarted {
        /// The run folder.
        run_dir: PathBuf,
    },
    /// The shim's program does not start.
    #[error(transparent)]
    Spawn(#[from] spawn::SpawnError),
    /// There is no shim to speak to: it has ended, or was never started.
    #[error("no shim is running in {}", run_dir.display())]
    NotRunning {
        /// The run folder.
        run_dir: PathBuf,
    },
    /// A file or a reply is not what a shim writes.
    #[error("{} does not hold what a shim writes: {source}", path.display())]
    Malformed {
        /// The file or socket.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl From<Fault> for ClientError {
    fn from(fault: Fault) -> Self {
        Self::Io { action: "go on at", path: PathBuf::new(), source: fault.into() }
    }
}

/// Starts a shim for `job` in `run_dir`, which is made where it is missing and given
/// to this user alone. `exe` is the `kapell` program.
///
/// The lock is taken here and handed over, so there is no moment at which the run
/// looks dead; the socket is bound here, so a request can be sent at once.
///
/// # Errors
/// The folder has been used for a run, a file cannot be written, or `exe` does not start.
pub fn start(exe: &Path, run_dir: &Path, job: &Job) -> Result<Started, ClientError> {
    let berth = Berth::make(run_dir)?;
    Point::LaunchLocked.reach()?;
    write_job(&berth.folder.join(files::JOB), job)?;
    let log_path = berth.folder.join(files::LOG);
    let log = spawn::append_private(&log_path).map_err(failed("open", &log_path))?;
    Point::LaunchReady.reach()?;
    let shim = berth.spawn(exe, &[], log.into())?;
    Point::LaunchDone.reach()?;
    Ok(Started { shim, line: None })
}

/// A run folder with what its starter makes: the lock, which is held, and the socket.
pub(super) struct Berth {
    /// The folder's absolute path.
    pub(super) folder: PathBuf,
    lock: File,
    listener: UnixListener,
}

impl Berth {
    /// Makes them.
    pub(super) fn make(folder: &Path) -> Result<Self, ClientError> {
        let folder = std::path::absolute(folder).map_err(failed("resolve", folder))?;
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed("create", &folder))?;
        // Looked at first: a change that changes nothing is written to the disk's journal all the same.
        let mode = fs::metadata(&folder).map_err(failed("look at", &folder))?.permissions().mode();
        if mode & 0o777 != 0o700 {
            fs::set_permissions(&folder, Permissions::from_mode(0o700))
                .map_err(failed("protect", &folder))?;
        }
        let lock = create_lock(&folder)?;
        let socket = folder.join(files::SOCKET);
        let listener = listen(&folder).map_err(failed("listen on", &socket))?;
        Ok(Self { folder, lock, listener })
    }

    /// Starts a shim in it, which has the lock and the socket from then on.
    pub(super) fn spawn(self, exe: &Path, options: &[&str], stderr: Stdio) -> Result<Child, ClientError> {
        let mut command = spawn::program(exe, &self.folder);
        command.args([OsStr::new("shim"), self.folder.as_os_str()]).args(options);
        command.stdin(self.lock).stdout(OwnedFd::from(self.listener)).stderr(stderr);
        command.envs(failpoint::environment());
        // The command holds this process's copies of the lock and the socket, and goes with them.
        command.spawn().map_err(|source| {
            spawn::SpawnError::Start { program: exe.into(), cwd: self.folder, source }.into()
        })
    }
}

/// Whether the run has a shim at this moment, or one is just being started.
/// Neither true before the start nor after the end.
pub fn is_alive(run_dir: &Path) -> bool {
    let Ok(lock) = File::open(run_dir.join(files::LOCK)) else { return false };
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

/// What tells that the shim of the run has ended; `None` where there is none.
pub fn end(run_dir: &Path) -> Option<End> {
    let lock = run_dir.join(files::LOCK);
    let line = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).ok()?;
    // One that hangs, and whom many want to hear, keeps nobody waiting.
    rustix::io::ioctl_fionbio(&line, true).ok()?;
    let socket = SocketPath::of(run_dir).ok()?;
    match net::connect(&line, &SocketAddrUnix::new(&socket.path).ok()?) {
        Ok(()) => return Some(End::Holder(line.into(), lock)),
        // It hears nobody any more, and is about to end.
        Err(Errno::CONNREFUSED) => drop(life::wait_for_end(&lock.to_string_lossy())),
        Err(_) => {}
    }
    None
}

/// Waits until the shim of the run has ended, by whatever cause, and tells how it
/// ended. Blocks the thread. At once where there is none.
///
/// # Errors
/// The lock or the record cannot be read.
pub fn wait(run_dir: &Path) -> Result<Ended, ClientError> {
    let path = run_dir.join(files::LOCK);
    match File::open(&path) {
        Ok(lock) => rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, FlockOperation::LockShared))
            .map_err(|errno| failed("wait for", &path)(errno.into()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed("open", &path)(error)),
    }
    Ok(read_exit(run_dir)?.map_or(Ended::Vanished, Ended::Exit))
}

/// The job that the shim was given.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read_job(run_dir: &Path) -> Result<Job, ClientError> {
    let path = run_dir.join(files::JOB);
    let text = fs::read(&path).map_err(failed("read", &path))?;
    serde_json::from_slice(&text).map_err(|source| ClientError::Malformed { path, source })
}

/// The record of the end, where there is one. It may be there a moment before the
/// shim itself has ended.
///
/// # Errors
/// It cannot be read, or is not one.
pub fn read_exit(run_dir: &Path) -> Result<Option<Exit>, ClientError> {
    let path = run_dir.join(files::EXIT);
    match fs::read(&path) {
        // What a power failure leaves: the room was written, the record was not.
        Ok(text) if text.iter().all(|byte| matches!(byte, b' ' | 0)) => Ok(None),
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(exit) => Ok(Some(exit)),
            Err(source) => Err(ClientError::Malformed { path, source }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

/// Sends one request to the shim of the run and returns its reply, which may be a refusal.
///
/// # Errors
/// There is no shim, or it does not answer.
pub fn send(run_dir: &Path, request: Request) -> Result<Reply, ClientError> {
    let path = run_dir.join(files::SOCKET);
    let malformed = |source| ClientError::Malformed { path: path.clone(), source };
    let mut line = serde_json::to_vec(&request).map_err(malformed)?;
    line.push(b'\n');
    let reply = exchange(run_dir, &line).map_err(|error| match error.kind() {
        // Gone before, or with the question unanswered.
        ErrorKind::NotFound
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => ClientError::NotRunning { run_dir: run_dir.to_owned() },
        _ => failed("ask", &path)(error),
    })?;
    serde_json::from_str(&reply).map_err(malformed)
}

/// Whether any process of this user has the attempt in its environment.
pub fn has_leftovers(attempt: &AttemptId) -> bool {
    !tree::with_environment(format!("{ATTEMPT_VARIABLE}={attempt}").as_bytes()).is_empty()
}

/// Kills what a vanished shim left behind: every process of this user that has the
/// attempt in its environment, and all below those. Returns how many, when they are gone.
///
/// Found by the environment with which a process was started, so a process that left
/// its parents and was given another environment is not found.
///
/// # Errors
/// A process may not be killed, or does not go.
pub fn kill_leftovers(attempt: &AttemptId) -> io::Result<usize> {
    let entry = format!("{ATTEMPT_VARIABLE}={attempt}");
    let mut killed = 0;
    loop {
        let mut found: HashMap<_, _> = tree::with_environment(entry.as_bytes()).into_iter().collect();
        if found.is_empty() {
            return Ok(killed);
        }
        // Those below are looked for while there is an above.
        let processes = Processes::read();
        let roots: Vec<i32> = found.keys().copied().collect();
        for process in roots.iter().flat_map(|root| processes.descendants(*root)) {
            if !found.contains_key(&process.pid)
                && let Some(handle) = process.handle()
            {
                found.insert(process.pid, handle);
            }
        }
        for handle in found.values() {
            killed += usize::from(handle.signal(Signal::KILL)?);
        }
        for (pid, handle) in &found {
            if !handle.wait_for_end(DEATH_TIME)? {
                let why = format!("process {pid} of {attempt} does not die");
                return Err(io::Error::new(ErrorKind::TimedOut, why));
            }
        }
    }
}

/// Creates the lock of the run, locked: it gets its name only when it is.
fn create_lock(run_dir: &Path) -> Result<File, ClientError> {
    let path = run_dir.join(files::LOCK);
    let unnamed = run_dir.join(format!("{}.{}", files::LOCK, random_tail(8)));
    let lock = File::options().read(true).write(true).create_new(true).mode(0o600).open(&unnamed);
    let lock = lock.map_err(failed("create", &unnamed))?;
    let named = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(io::Error::from)
        .and_then(|()| fs::hard_link(&unnamed, &path));
    // Under its first name it is of no use to anybody.
    let _ = fs::remove_file(&unnamed);
    match named {
        Ok(()) => Ok(lock),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(ClientError::AlreadyStarted { run_dir: run_dir.to_owned() })
        }
        Err(error) => Err(failed("lock", &path)(error)),
    }
}

/// Writes the job. Only the shim reads it, which is started when it is whole.
pub(super) fn write_job(path: &Path, job: &Job) -> Result<(), ClientError> {
    let text =
        serde_json::to_vec(job).map_err(|source| ClientError::Malformed { path: path.to_owned(), source })?;
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&text))
        .map_err(failed("write", path))
}

fn listen(run_dir: &Path) -> io::Result<UnixListener> {
    let name = SocketPath::of(run_dir)?;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Its name is made with these rights, so there is no moment at which others may use it.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    net::bind(&socket, &SocketAddrUnix::new(&name.path)?)?;
    net::listen(&socket, WAITING)?;
    Ok(socket.into())
}

fn exchange(run_dir: &Path, line: &[u8]) -> io::Result<String> {
    let socket = SocketPath::of(run_dir)?;
    let mut stream = UnixStream::connect(&socket.path)?;
    stream.set_read_timeout(Some(ANSWER_TIME))?;
    stream.set_write_timeout(Some(ANSWER_TIME))?;
    stream.write_all(line)?;
    let mut reply = String::new();
    if BufReader::new(stream).read_line(&mut reply)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(reply)
}

/// A name for the socket of a run that fits into a socket's address (108 bytes on
/// Linux, 104 on macOS), valid as long as this lives.
struct SocketPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl SocketPath {
    const LONGEST: usize = 100;

    fn of(run_dir: &Path) -> io::Result<Self> {
        let path = run_dir.join(files::SOCKET);
        if path.as_os_str().len() <= Self::LONGEST || !cfg!(target_os = "linux") {
            return Ok(Self { path, _folder: None });
        }
        use std::os::fd::AsRawFd as _;
        let folder = File::open(run_dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(files::SOCKET);
        Ok(Self { path, _folder: Some(folder) })
    }
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClientError {
    let path = path.to_owned();
    move |source| ClientError::Io { action, path, source }
}

/// Whether somebody began this run, however it went on.
pub fn was_started(run_dir: &Path) -> bool {
    run_dir.join(files::LOCK).exists()
}

/// Whether the shim recorded the end of this run.
pub fn has_ended(run_dir: &Path) -> bool {
    matches!(read_exit(run_dir), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_record_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_exit(folder.path()).unwrap(), None);
        for blank in ["", "    ", "\0\0\0"] {
            fs::write(folder.path().join(files::EXIT), blank).unwrap();
            assert_eq!(read_exit(folder.path()).unwrap(), None);
        }
        fs::write(folder.path().join(files::EXIT), "{}").unwrap();
        assert!(matches!(read_exit(folder.path()), Err(ClientError::Malformed { .. })));
    }
}
