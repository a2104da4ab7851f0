//! Hearing of the end of a process while waiting for something else.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::tree::Handle;
use crate::base::threads;

/// As long as it is kept, somebody hears of the end of a process.
#[derive(Debug)]
pub struct Vigil {
    _kept: OwnedFd,
}

/// Has `told` called once when the process has ended, unless the vigil was dropped before. `None` where the
/// system has nothing to wait on.
///
/// # Errors
/// The system has no thread or no descriptor left.
pub fn keep(process: Handle, told: impl FnOnce() + Send + 'static) -> io::Result<Option<Vigil>> {
    if process.end().is_none() {
        return Ok(None);
    }
    let (dropped, kept) = pipe_with(PipeFlags::CLOEXEC)?;
    let wait = move || {
        let Some(end) = process.end() else { return };
        loop {
            let mut ends =
                [PollFd::from_borrowed_fd(end, PollFlags::IN), PollFd::new(&dropped, PollFlags::IN)];
            match poll(&mut ends, None) {
                Err(rustix::io::Errno::INTR) => {}
                // The other end is dropped, or the system fails: then the look that comes anyway must do.
                Ok(_) if ends[0].revents().is_empty() => return,
                Ok(_) => return told(),
                Err(_) => return,
            }
        }
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
        let handle = || Handle::open(child.id().cast_signed()).unwrap().unwrap();
        let (tell, told) = mpsc::channel();
        let again = tell.clone();
        let vigil = keep(handle(), move || tell.send("kept").unwrap()).unwrap();
        drop(keep(handle(), move || again.send("dropped").unwrap()).unwrap());
        // The thread of the second ends, and with it its end of the channel; the first is not called yet.
        assert!(told.recv_timeout(Duration::from_millis(20)).is_err());
        child.kill().unwrap();
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok("kept"));
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Err(mpsc::RecvTimeoutError::Disconnected));
        child.wait().unwrap();
        drop(vigil);
    }
}
