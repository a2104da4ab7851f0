//! `kapell shim RUN_DIR`, from its start to its end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::control::Control;
use super::job::{Errand, Exit, Job};
use super::order::Order;
use super::record::Record;
use super::run::{Ended, Outputs, Run};
use super::{SPARE, agent, files};
use crate::base::clock::Time;
use crate::base::failpoint::Point;
use crate::sys::process::spawn;
use crate::sys::wall::Foundation;

/// The shim failed and could not record it; see its log.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// This run has its shim, or had it.
const ALREADY: u8 = 3;

/// Runs a shim to its end. `argv` is the whole command line, `kapell shim RUN_DIR`, or with `--spare`
/// behind it for one that waits for its job.
///
/// Exit status: 0 when the end of the worker is recorded or a spare was not needed, 1 when
/// something failed before it could be, 2 for a wrong command line, 3 when this run has begun
/// before (and nothing was touched).
#[inline(never)]
pub fn main(argv: &[OsString]) -> u8 {
    let (run_dir, is_spare) = match argv.get(2..) {
        Some([run_dir]) => (run_dir, false),
        Some([run_dir, spare]) if spare == SPARE => (run_dir, true),
        _ => {
            log("usage: kapell shim RUN_DIR [--spare]");
            return USAGE;
        }
    };
    // From here on all files have short names, however long the folder's is: the
    // name of a socket must fit into 108 bytes.
    let outcome = std::env::set_current_dir(run_dir).and_then(|()| shim(run_dir.as_ref(), is_spare));
    outcome.unwrap_or_else(|error| {
        log(&format!("{}: {error}", run_dir.display()));
        FAILED
    })
}

/// Does everything, in the run folder as the current one. `run_dir` is its name.
fn shim(run_dir: &Path, is_spare: bool) -> io::Result<u8> {
    let mut started_at = Time::now();
    let order = if is_spare { Some(Order::take()?) } else { None };
    if Record::is_taken() {
        return Ok(ALREADY);
    }
    let Some(lock) = lock()? else { return Ok(ALREADY) };
    let Some(record) = Record::take()? else { return Ok(ALREADY) };
    Point::ShimTaken.reach()?;
    spawn::become_session_leader();
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let signals = Signals::catch()?;
    let listener = listen()?;
    release_standard_streams()?;
    agent::keep_descriptors()?;
    let outputs = Outputs::open();
    let mut foundation = Foundation::default();
    // Whoever gave the order may wait at its other end.
    let mut line = None;
    if let Some(order) = order {
        match order.wait(&signals, run_dir)? {
            Some(ordered) => (foundation, line) = (ordered.foundation, Some(ordered.line)),
            None => return Ok(0),
        }
        started_at = Time::now();
    }

    let mut control = Control::new(listener)?;
    let job = read_job();
    let errand = job.as_ref().ok().and_then(|job| job.errand.clone());
    let mut run = job.and_then(|job| begin(job, started_at, foundation, outputs?));
    Point::ShimBegun.reach()?;
    let ended = match &mut run {
        Ok(run) => run.until_end(&signals, &mut control),
        Err(reason) => Ended::not_started(std::mem::take(reason)),
    };
    // Whoever still asks is told that nobody is here, with or without the name.
    drop(control);
    Point::ShimEnded.reach()?;
    record.write(exit(started_at, ended))?;
    Point::ShimRecorded.reach()?;
    // Everybody waits for this. What the run has open is closed after it: the kernel
    // takes 5 to 20 ms to let go of a watch on files.
    drop(lock);
    drop(line);
    drop(run);
    let _ = fs::remove_file(files::SOCKET);
    errand.as_ref().map_or(Ok(0), become_errand)
}

/// Becomes another program: nothing of this one is left that would have to wait for it.
fn become_errand(errand: &Errand) -> io::Result<u8> {
    let Some((program, words)) = errand.argv.split_first() else { return Ok(0) };
    Err(spawn::program(program, &errand.cwd).args(words).envs(&errand.env).exec())
}

/// What to run. The error is a sentence for the record.
fn read_job() -> Result<Job, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", files::JOB);
    let text = fs::read(files::JOB).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&error))
}

/// Starts the worker's program. The error is a sentence for the record.
fn begin(job: Job, started_at: Time, foundation: Foundation, outputs: Outputs) -> Result<Run, String> {
    let [stdout, stderr] = outputs.files();
    let agent = agent::start(&job, foundation, stdout, stderr)?;
    Ok(Run::new(job, agent, outputs.watched(), started_at))
}

fn exit(started_at: Time, ended: Ended) -> Exit {
    // All descendants are reaped by now, so all are in these figures.
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN);
    let (max_rss_kb, cpu_ms) = usage.map_or((0, 0), |usage| {
        let unit = if cfg!(target_os = "macos") { 1024 } else { 1 };
        let millis = |time: nix::sys::time::TimeVal| time.tv_sec() * 1000 + time.tv_usec() / 1000;
        (usage.max_rss() / unit, millis(usage.user_time()) + millis(usage.system_time()))
    });
    Exit {
        code: ended.status.and_then(|status| status.exit_status()),
        signal: ended.status.and_then(|status| status.terminating_signal()),
        ended: ended.cause,
        reason: ended.reason,
        started_at,
        ended_at: Time::now(),
        wall: ended.wall,
        max_rss_kb: max_rss_kb.try_into().unwrap_or(0),
        cpu_ms: cpu_ms.try_into().unwrap_or(0),
        leftovers: ended.leftovers,
    }
}

/// Takes the lock of the run, or takes over the one that the starter already holds
/// and gave as standard input; `None` when somebody else has it.
fn lock() -> io::Result<Option<OwnedFd>> {
    let stdin = rustix::stdio::stdin();
    let place = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let is_handed = match (rustix::fs::fstat(stdin), rustix::fs::lstat(files::LOCK)) {
        (Ok(handed), Ok(lock)) => place(handed) == place(lock),
        _ => false,
    };
    let lock = if is_handed {
        rustix::io::fcntl_dupfd_cloexec(stdin, 3)?
    } else {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        rustix::fs::open(files::LOCK, flags, Mode::RUSR | Mode::WUSR)?
    };
    // A lock belongs to the open file, so the starter's is ours already.
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(lock)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The socket that the starter listens on for us and gave as standard output, so that
/// a request can be sent as soon as the start is done; or one of our own.
fn listen() -> io::Result<UnixListener> {
    let stdout = rustix::stdio::stdout();
    let address = rustix::net::getsockname(stdout).ok().and_then(|any| SocketAddrUnix::try_from(any).ok());
    let is_ours = |name: &[u8]| name.ends_with(files::SOCKET.as_bytes());
    if address.is_some_and(|address| address.path_bytes().is_some_and(is_ours)) {
        return Ok(rustix::io::fcntl_dupfd_cloexec(stdout, 3)?.into());
    }
    let mask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(files::SOCKET);
    rustix::process::umask(mask);
    bound
}

/// Lets go of what came as standard streams, so that no process of the worker can have it.
fn release_standard_streams() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// Signals to the shim, as something to poll for.
pub(super) struct Signals {
    wake: UnixStream,
    stop: Arc<AtomicBool>,
}

impl Signals {
    /// SIGTERM is a request to stop, SIGCHLD only wakes. SIGHUP and SIGINT are caught and
    /// forgotten; ignored ones would stay ignored in the worker, which is told to end by one.
    fn catch() -> io::Result<Self> {
        let (wake, ring) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        // The flag first: who wakes sees it.
        signal_hook::flag::register(SIGTERM, Arc::clone(&stop))?;
        signal_hook::low_level::pipe::register(SIGTERM, ring.try_clone()?)?;
        signal_hook::low_level::pipe::register(SIGCHLD, ring)?;
        for forgotten in [SIGHUP, SIGINT] {
            signal_hook::flag::register(forgotten, Arc::new(AtomicBool::new(false)))?;
        }
        Ok(Self { wake, stop })
    }

    /// Becomes readable when a signal came.
    pub(super) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Forgets what was there to read.
    pub(super) fn drain(&self) {
        let mut bytes = [0; 64];
        while io::Read::read(&mut &self.wake, &mut bytes).is_ok_and(|read| read > 0) {}
    }

    /// Whether a stop was asked for since the last call.
    pub(super) fn take_stop(&self) -> bool {
        self.stop.swap(false, Ordering::SeqCst)
    }
}

/// A line for `shim.log`, which is the shim's standard error.
pub(super) fn log(line: &str) {
    // A log that cannot be written must not end the shim.
    let _ = writeln!(io::stderr(), "{} {line}", Time::now());
}
