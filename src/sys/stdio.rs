//! Standard input and output of a process that speaks a protocol of lines.
//!
//! One thread reads, any thread may send, and nobody blocks on a peer that does not
//! read: what cannot be written at once is kept and written when the peer reads on.
//! While too much is kept, nothing more is read, so a peer that only asks cannot make
//! this process grow.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The longest line that is read, without its end.
pub const LONGEST_LINE: usize = 16 * 1024 * 1024;
/// With more than this many bytes unwritten nothing is read.
const MOST_UNWRITTEN: usize = 4 * 1024 * 1024;
/// A pipe that polls as writable takes this much without blocking: a page on Linux, `PIPE_BUF` elsewhere.
const STEP: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };
/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// What comes in.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// A line without its `\n`. The last one may have ended without.
    Line(Vec<u8>),
    /// A line longer than [`LONGEST_LINE`]; the rest of it is skipped.
    TooLong,
    /// Nothing more will come.
    End(End),
}

/// Why nothing more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer closed our input.
    Closed,
    /// SIGINT or SIGTERM.
    Signalled,
    /// Nobody reads our output any more.
    Broken,
}

/// The reading end; its thread also writes what could not be written at once.
#[derive(Debug)]
pub struct Lines<'fd> {
    input: BorrowedFd<'fd>,
    shared: Arc<Shared<'fd>>,
    bell: UnixStream,
    /// What was read last.
    chunk: Vec<u8>,
    buffer: Vec<u8>,
    /// Where the first line that was not handed over begins.
    start: usize,
    /// Up to where no line end was found.
    scanned: usize,
    /// The rest of a line that is too long is being skipped.
    skipping: bool,
    closed: bool,
}

/// The sending end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outlet<'fd>(Arc<Shared<'fd>>);

#[derive(Debug)]
struct Shared<'fd> {
    output: BorrowedFd<'fd>,
    unwritten: Mutex<Unwritten>,
    /// Somebody waits for room in `unwritten`.
    room: Condvar,
    /// A byte in it wakes the reading thread.
    bell: UnixStream,
    signalled: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Unwritten {
    lines: VecDeque<Vec<u8>>,
    /// How much of the first line is written.
    written: usize,
    bytes: usize,
    /// Writing failed; nobody reads any more.
    broken: bool,
}

/// Opens this process's standard input and output, and listens to SIGINT and SIGTERM.
pub fn open() -> io::Result<(Lines<'static>, Outlet<'static>)> {
    let (lines, outlet) = over(rustix::stdio::stdin(), rustix::stdio::stdout())?;
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: whoever is woken finds the flag set.
        signal_hook::flag::register(signal, outlet.0.signalled.clone())?;
        signal_hook::low_level::pipe::register(signal, outlet.0.bell.try_clone()?)?;
    }
    Ok((lines, outlet))
}

/// The same over any two descriptors.
fn over<'fd>(input: BorrowedFd<'fd>, output: BorrowedFd<'fd>) -> io::Result<(Lines<'fd>, Outlet<'fd>)> {
    let (bell, rings) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    rings.set_nonblocking(true)?;
    let shared = Arc::new(Shared {
        output,
        unwritten: Mutex::default(),
        room: Condvar::new(),
        bell: rings,
        signalled: Arc::default(),
    });
    let lines = Lines {
        input,
        shared: shared.clone(),
        bell,
        chunk: vec![0; CHUNK],
        buffer: Vec::new(),
        start: 0,
        scanned: 0,
        skipping: false,
        closed: false,
    };
    Ok((lines, Outlet(shared)))
}

impl Lines<'_> {
    /// The next line, waiting for it.
    pub fn read(&mut self) -> Input {
        loop {
            if self.shared.signalled.load(Ordering::SeqCst) {
                return Input::End(End::Signalled);
            }
            if let Some(input) = self.buffered() {
                return input;
            }
            if self.closed {
                return Input::End(End::Closed);
            }
            let (unwritten, broken) = {
                let unwritten = self.shared.unwritten();
                (unwritten.bytes, unwritten.broken)
            };
            if broken {
                return Input::End(End::Broken);
            }
            let readable = self.wait(unwritten <= MOST_UNWRITTEN, unwritten > 0, None);
            if readable && let Err(error) = self.fill() {
                tracing::warn!("standard input: {error}");
                self.closed = true;
            }
        }
    }

    /// Reads nothing, only writes what could not be written at once, until `is_enough` (told
    /// whether all is written) or the deadline. Whoever changes what `is_enough` tells rings
    /// with [`Outlet::wake`].
    pub fn write_until(&mut self, deadline: Option<Instant>, is_enough: impl Fn(bool) -> bool) {
        loop {
            let (unwritten, broken) = {
                let unwritten = self.shared.unwritten();
                (unwritten.bytes, unwritten.broken)
            };
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if is_enough(unwritten == 0 || broken) || left.is_some_and(|left| left.is_zero()) {
                return;
            }
            self.wait(false, unwritten > 0, left);
        }
    }

    /// A line that is there already.
    fn buffered(&mut self) -> Option<Input> {
        while let Some(found) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let end = self.scanned + found;
            let line = self.buffer[self.start..end].to_vec();
            (self.start, self.scanned) = (end + 1, end + 1);
            if !std::mem::take(&mut self.skipping) {
                return Some(Input::Line(line));
            }
        }
        self.scanned = self.buffer.len();
        let length = self.scanned - self.start;
        if self.skipping || length > LONGEST_LINE {
            let is_first = !std::mem::replace(&mut self.skipping, true);
            self.forget(self.scanned);
            return is_first.then_some(Input::TooLong);
        }
        if self.closed && length > 0 {
            let line = self.buffer[self.start..].to_vec();
            self.forget(self.scanned);
            return Some(Input::Line(line));
        }
        self.forget(self.start);
        None
    }

    /// Drops the first `count` bytes of the buffer.
    fn forget(&mut self, count: usize) {
        self.buffer.drain(..count);
        self.start = 0;
        self.scanned = self.buffer.len();
        if self.buffer.is_empty() {
            // One huge line should not be remembered in memory for ever.
            self.buffer.shrink_to(CHUNK);
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let read = loop {
            match rustix::io::read(self.input, &mut self.chunk[..]) {
                Err(Errno::INTR) => {}
                read => break read,
            }
        };
        match read {
            Ok(0) => self.closed = true,
            Ok(count) => self.buffer.extend_from_slice(&self.chunk[..count]),
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Waits for the bell, for input if `reading`, and for room in the output if `writing`,
    /// which is used at once. Tells whether there is input.
    fn wait(&mut self, reading: bool, writing: bool, timeout: Option<Duration>) -> bool {
        let timeout =
            timeout.map(|timeout| Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 }));
        let mut waits = vec![PollFd::new(&self.bell, PollFlags::IN)];
        // What is not looked for is left out altogether: the end of an input would end every wait.
        if reading {
            waits.push(PollFd::new(&self.input, PollFlags::IN));
        }
        if writing {
            waits.push(PollFd::new(&self.shared.output, PollFlags::OUT));
        }
        if poll(&mut waits, timeout.as_ref()).is_err() {
            // A signal came in between; the caller looks again.
            return false;
        }
        let ready = |at: usize| !waits[at].revents().is_empty();
        let (rung, readable, writable) = (ready(0), reading && ready(1), writing && ready(waits.len() - 1));
        if rung {
            let mut rings = [0; 64];
            while rustix::io::read(&self.bell, &mut rings).is_ok_and(|read| read == rings.len()) {}
        }
        if writable {
            self.shared.write_on(&mut self.shared.unwritten());
        }
        readable
    }
}

impl Outlet<'_> {
    /// Sends a line; its end is added. Never blocks.
    pub fn send(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        let mut unwritten = self.0.unwritten();
        if unwritten.broken {
            return;
        }
        unwritten.bytes += line.len();
        unwritten.lines.push_back(line);
        // What others left unwritten is written by the reading thread, which knows already.
        if unwritten.lines.len() == 1 {
            self.0.write_on(&mut unwritten);
            if unwritten.bytes > 0 || unwritten.broken {
                self.0.ring();
            }
        }
    }

    /// Waits until there is room for more, or `give_up` says so; tells whether there is.
    /// Whoever changes what `give_up` tells calls [`Self::wake`].
    pub fn wait_for_room(&self, give_up: impl Fn() -> bool) -> bool {
        let mut unwritten = self.0.unwritten();
        while unwritten.bytes > MOST_UNWRITTEN && !unwritten.broken && !give_up() {
            unwritten = self.0.room.wait(unwritten).unwrap_or_else(PoisonError::into_inner);
        }
        !unwritten.broken && unwritten.bytes <= MOST_UNWRITTEN
    }

    /// Whether no further input will be read: a signal came, or nobody reads the output.
    pub fn is_over(&self) -> bool {
        self.0.signalled.load(Ordering::SeqCst) || self.0.unwritten().broken
    }

    /// Wakes whoever waits, to look again.
    pub fn wake(&self) {
        self.0.ring();
        // Under the lock, so that nobody is between looking and waiting.
        let _unwritten = self.0.unwritten();
        self.0.room.notify_all();
    }
}

impl Shared<'_> {
    /// Wakes the reading thread.
    fn ring(&self) {
        // A full bell rings already.
        let _ = rustix::io::write(&self.bell, &[1]);
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes as much as can be written without blocking.
    fn write_on(&self, unwritten: &mut Unwritten) {
        while let Some(line) = unwritten.lines.front() {
            if !is_writable(self.output) {
                break;
            }
            let rest = &line[unwritten.written..];
            match rustix::io::write(self.output, &rest[..rest.len().min(STEP)]) {
                Ok(count) => {
                    unwritten.written += count;
                    unwritten.bytes -= count;
                    if unwritten.written == line.len() {
                        unwritten.lines.pop_front();
                        unwritten.written = 0;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => {
                    tracing::info!("standard output: {errno}");
                    *unwritten = Unwritten { broken: true, ..Unwritten::default() };
                }
            }
        }
        if unwritten.bytes <= MOST_UNWRITTEN {
            self.room.notify_all();
        }
    }
}

fn is_writable(output: BorrowedFd<'_>) -> bool {
    let mut wait = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::OUT)];
    // An error shows when writing.
    poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests;
