//! Starting the worker's program: its streams, its wall, its bond to the shim.

use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::io::FdFlags;
use rustix::process::Pid;

use super::ATTEMPT_VARIABLE;
use super::job::Job;
use crate::sys::process::spawn;
use crate::sys::wall::Foundation;

/// A worker's program that runs.
pub(super) struct Agent {
    /// Its process, which leads a group of its own.
    pub(super) pid: Pid,
    /// The wall that it really has.
    pub(super) wall: String,
}

/// What may fail between fork and exec. The child can tell its parent one number,
/// so a step is told as a multiple of [`Step::WEIGHT`] on top of the system's error.
#[derive(Clone, Copy)]
enum Step {
    Bond = 1,
    Wall = 2,
}

impl Step {
    /// More than any error number of the system.
    const WEIGHT: i32 = 10_000;

    fn failed(self, error: &io::Error) -> io::Error {
        io::Error::from_raw_os_error(self as i32 * Self::WEIGHT + error.raw_os_error().unwrap_or(0))
    }
}

/// Starts the job's program, behind a wall on `foundation`. The error is a sentence for the record.
pub(super) fn start(
    job: &Job,
    foundation: Foundation,
    stdout: &File,
    stderr: &File,
) -> Result<Agent, String> {
    let stdin = open_input(job)?;
    let wall = job.wall.prepare_on(foundation, &[stdout, stderr]);
    let mut wall = wall.map_err(|error| error.to_string())?;
    let description = wall.description().to_owned();
    let argv = wall.wrap(&job.argv);
    let Some((program, arguments)) = argv.split_first() else {
        return Err("the job names no program".to_owned());
    };
    let copy = |file: &File| file.try_clone().map_err(|error| format!("output: {error}"));

    let mut command = spawn::program(program, &job.cwd);
    command.args(arguments).envs(&job.env).env(ATTEMPT_VARIABLE, &job.attempt);
    command.stdin(stdin).stdout(copy(stdout)?).stderr(copy(stderr)?).process_group(0);
    let shim = rustix::process::getpid();
    before_exec(&mut command, move || {
        bond_to(shim).map_err(|error| Step::Bond.failed(&error))?;
        wall.enter().map_err(|error| Step::Wall.failed(&error))
    });
    match command.spawn() {
        // Its end is noticed together with that of all other descendants, by `wait`.
        Ok(child) => Ok(Agent { pid: Pid::from_child(&child), wall: description }),
        Err(error) => Err(explain(&error, Path::new(program), &job.cwd)),
    }
}

/// Has `action` run in the child between fork and exec.
#[expect(unsafe_code, reason = "what is done to a child before exec has no safe form in std")]
pub(super) fn before_exec(
    command: &mut Command,
    action: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: After a fork only what is safe in a signal handler may be done, because other
    // threads may have held locks; the shim has one thread, and makes system calls here on
    // what was prepared before the fork.
    unsafe {
        command.pre_exec(action);
    }
}

/// Has this process hand on nothing but the three streams to what it starts: whoever started the
/// shim may have left it a descriptor, such as somebody's lock, that a worker would then hold.
/// What a shim opens itself is never handed on.
#[expect(unsafe_code, reason = "a descriptor that nobody here knows of has no owner to be borrowed from")]
pub(super) fn keep_descriptors() -> io::Result<()> {
    for entry in fs::read_dir("/dev/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(fd) = number.filter(|fd| *fd > 2) {
            // SAFETY: It is borrowed for a flag only; one that was closed meanwhile is refused by the system.
            let _ = rustix::io::fcntl_setfd(unsafe { BorrowedFd::borrow_raw(fd) }, FdFlags::CLOEXEC);
        }
    }
    Ok(())
}

/// Ends this process together with its parent, which must still be `shim`.
#[cfg(target_os = "linux")]
pub(super) fn bond_to(shim: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // A parent that ended before the call sends nothing any more.
    if rustix::process::getppid() == Some(shim) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
}

/// There is no such bond here.
#[cfg(not(target_os = "linux"))]
pub(super) fn bond_to(_shim: Pid) -> io::Result<()> {
    Ok(())
}

fn open_input(job: &Job) -> Result<File, String> {
    let path = job.stdin.as_deref().unwrap_or(Path::new("/dev/null"));
    let failed = |error: io::Error| format!("input {}: {error}", path.display());
    // Looked at before it is opened: to open a pipe would wait for its writer.
    if job.stdin.is_some() && !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("input {}: is not a plain file", path.display()));
    }
    File::open(path).map_err(failed)
}

fn explain(error: &io::Error, program: &Path, cwd: &Path) -> String {
    let (step, number) = match error.raw_os_error() {
        Some(number) => (number / Step::WEIGHT, number % Step::WEIGHT),
        None => (0, 0),
    };
    let inner = io::Error::from_raw_os_error(number);
    if step == Step::Bond as i32 {
        return format!("the program cannot be bound to its shim: {inner}");
    }
    if step == Step::Wall as i32 {
        return format!("the wall cannot be entered: {inner}");
    }
    match fs::metadata(cwd) {
        Ok(folder) if !folder.is_dir() => format!("the folder {} to run in is not a folder", cwd.display()),
        Err(error) => format!("the folder {} to run in cannot be used: {error}", cwd.display()),
        Ok(_) if error.kind() == io::ErrorKind::NotFound => {
            format!("program `{}`, or the interpreter that it names, not found", program.display())
        }
        Ok(_) => format!("program `{}` cannot be started: {error}", program.display()),
    }
}
