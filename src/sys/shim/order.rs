//! What a spare shim waits for: the order to run the job that is in its folder by then.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::files;
use super::main::Signals;
use crate::sys::process::{spawn, words};
use crate::sys::wall::Foundation;

/// The first line to a spare: what can be made ready before the job is known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Ahead {
    /// What the wall will hide; nothing where there will be none.
    #[serde(with = "words::paths")]
    pub(super) hidden: Vec<PathBuf>,
    /// Folders that its starter made in the run folder, the outer first.
    pub(super) folders: Vec<String>,
    /// Files that its starter made there, empty.
    pub(super) files: Vec<String>,
}

impl Ahead {
    /// Takes everything away again that was made in `run_dir`, which is the current folder: as if there had
    /// never been a run. It did not begin, and may yet. The lock goes last; whoever has it next has the rest.
    fn undo(&self, run_dir: &Path) {
        // What cannot be removed is in nobody's way.
        for name in [files::JOB, files::EXIT_ROOM, files::STDOUT, files::STDERR, files::SOCKET, files::LOG] {
            let _ = fs::remove_file(name);
        }
        let is_empty = |name: &&String| fs::metadata(name).is_ok_and(|file| file.len() == 0);
        for name in self.files.iter().filter(is_empty) {
            let _ = fs::remove_file(name);
        }
        for name in self.folders.iter().rev() {
            let _ = fs::remove_dir(name);
        }
        let _ = fs::remove_file(files::LOCK);
        let _ = fs::remove_dir(run_dir);
    }
}

/// What a spare says once it has everything ready.
pub(super) const READY: &[u8] = b".";

/// What a spare has once it is ordered to run its job.
pub(super) struct Ordered {
    /// On which the wall of the run stands.
    pub(super) foundation: Foundation,
    /// Closed behind the lock of the run: who gave the order sees the end of the run by it.
    pub(super) line: UnixStream,
}

/// The line on which the order comes. It ends with whoever holds the other end.
pub(super) struct Order {
    line: UnixStream,
    unread: Vec<u8>,
}

impl Order {
    /// Takes the line, which came as standard error, and puts the log into its place.
    pub(super) fn take() -> io::Result<Self> {
        let line: OwnedFd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
        let log: File = spawn::append_private(Path::new(files::LOG))?;
        rustix::stdio::dup2_stderr(&log)?;
        Ok(Self { line: line.into(), unread: Vec::new() })
    }

    /// Waits for the order, with everything ready. `None`: it will not come, or SIGTERM came instead, and
    /// nothing is left in `run_dir`, the current folder.
    pub(super) fn wait(mut self, signals: &Signals, run_dir: &Path) -> io::Result<Option<Ordered>> {
        let ahead = match self.read_line(signals)? {
            Some(line) => serde_json::from_slice(&line)?,
            None => Ahead::default(),
        };
        let foundation = match ahead.hidden.is_empty() {
            true => Foundation::default(),
            false => Foundation::lay(&ahead.hidden),
        };
        // Nobody may be there to hear it.
        let _ = self.line.write_all(READY);
        let ordered = self.read_line(signals)?;
        if ordered.is_none() {
            ahead.undo(run_dir);
        }
        Ok(ordered.map(|_| Ordered { foundation, line: self.line }))
    }

    /// The next line without its end.
    fn read_line(&mut self, signals: &Signals) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.truncate(end);
                return Ok(Some(line));
            }
            let fds = [signals.fd(), self.line.as_fd()];
            let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let is_there = !fds[1].revents().is_empty();
            signals.drain();
            if signals.take_stop() {
                return Ok(None);
            }
            let mut bytes = [0; 4096];
            match if is_there { self.line.read(&mut bytes) } else { continue } {
                Ok(0) => return Ok(None),
                Ok(read) => self.unread.extend(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The other end went away with something unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}
