//! Hearing of the ends of processes while waiting for something else.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::life;
use super::tree::Handle;
use crate::base::threads;

/// What tells of an end.
#[derive(Debug)]
pub enum End {
    /// Of a process.
    Process(Handle),
    /// Of whoever holds the lock of a file: a line to it, which it closes a moment before it lets go of that.
    Holder(UnixStream, PathBuf),
}

impl End {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Process(process) => process.end(),
            Self::Holder(line, _) => Some(line.as_fd()),
        }
    }
}

/// As long as it is kept, somebody hears of the end of a process.
#[derive(Debug)]
pub struct Vigil {
    _kept: OwnedFd,
}

/// Has `told` called once when one of these has ended, unless the vigil was dropped before. `None` where there is
/// nothing to wait on.
///
/// # Errors
/// The system has no thread or no descriptor left.
pub fn keep(mut ends: Vec<End>, told: impl FnOnce() + Send + 'static) -> io::Result<Option<Vigil>> {
    ends.retain(|end| end.fd().is_some());
    if ends.is_empty() {
        return Ok(None);
    }
    let (dropped, kept) = pipe_with(PipeFlags::CLOEXEC)?;
    let wait = move || {
        let fds = ends.iter().filter_map(End::fd).chain([dropped.as_fd()]);
        let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        while let Err(errno) = poll(&mut fds, None) {
            if errno != rustix::io::Errno::INTR {
                return;
            }
        }
        // The other end is dropped, or the system fails: then the look that comes anyway must do.
        let Some(ended) = ends.iter().zip(&fds).find(|(_, fd)| !fd.revents().is_empty()) else { return };
        if let End::Holder(_, lock) = ended.0 {
            life::wait_for_end(&lock.to_string_lossy());
        }
        told();
    };
    threads::start("kapell-vigil", Box::new(wait))?;
    Ok(Some(Vigil { _kept: kept }))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;
    use std::process::Stdio;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_end_of_a_process_is_told_to_whoever_still_waits() {
        let program = |path: &str| {
            let folder = Path::new("/");
            crate::sys::process::spawn::program(Path::new(path), folder)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let mut child = program("/bin/cat");
        let ends = || vec![End::Process(Handle::open(child.id().cast_signed()).unwrap().unwrap())];
        let (tell, told) = mpsc::channel();
        let again = tell.clone();
        let vigil = keep(ends(), move || tell.send("kept").unwrap()).unwrap();
        drop(keep(ends(), move || again.send("dropped").unwrap()).unwrap());
        // The thread of the second ends, and with it its end of the channel; the first is not called yet.
        assert!(told.recv_timeout(Duration::from_millis(20)).is_err());
        child.kill().unwrap();
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok("kept"));
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Err(mpsc::RecvTimeoutError::Disconnected));
        child.wait().unwrap();
        drop(vigil);
    }
}
