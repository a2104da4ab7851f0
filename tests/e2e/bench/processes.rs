//! The processes that a bench caused, found in `/proc` by the bench's folder.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Bench, DEADLINE};

/// A process.
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub words: Vec<OsString>,
    handle: OwnedFd,
}

impl Bench {
    /// Every process that names the bench's folder in its command line or its environment.
    pub fn processes(&self) -> Vec<Process> {
        let root = self.root.as_os_str().as_bytes();
        let names_root = |bytes: &[u8]| bytes.windows(root.len()).any(|window| window == root);
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            // Opened first: if it is another process by then, it is not read as the one before.
            let Ok(handle) = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()) else { continue };
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let command = read("cmdline");
            if pid == std::process::id() as i32 || !(names_root(&command) || names_root(&read("environ"))) {
                continue;
            }
            let words =
                command.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
            found.push(Process { pid, words, handle });
        }
        found
    }

    /// Waits until nothing that was started for the project lives any more, but for open doors.
    #[track_caller]
    pub fn quiet(&self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let busy = self.processes().into_iter().filter(|process| !process.is_door());
            let Some(process) = busy.into_iter().next() else { return };
            if !process.ends_before(deadline) {
                panic!("{process} lives on\n{}", self.story());
            }
        }
    }
}

impl Process {
    /// Kills it.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        assert!(self.ends_before(Instant::now() + DEADLINE), "{self} does not die");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = pidfd_send_signal(&self.handle, signal);
    }

    /// Waits for its end.
    pub fn ends_before(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, Some(&left))).unwrap() > 0
    }

    /// `T` for a process that is suspended, `S` for one that waits, as in `/proc`.
    pub fn state(&self) -> char {
        state_of(self.pid)
    }

    /// Whether it leads a session of its own, as conductors and shims do. What one of them is just
    /// starting looks like itself, until it has become the other program.
    pub fn is_leader(&self) -> bool {
        // Not by getsid(2): it says 0 of a leader outside of the pid namespace, which no `Pid` can hold.
        stat_of(self.pid).get(3).is_some_and(|session| *session == self.pid.to_string())
    }

    fn is_door(&self) -> bool {
        self.words.get(1).is_some_and(|word| word == "rpc")
    }
}

/// The state of a process, as in `/proc`.
pub fn state_of(pid: i32) -> char {
    stat_of(pid).first().and_then(|state| state.chars().next()).unwrap_or('?')
}

/// What `/proc/PID/stat` says after the program's name: state, parent, group, session and more (proc(5)).
fn stat_of(pid: i32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split_ascii_whitespace().map(str::to_owned).collect()
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({}):", self.pid, self.state())?;
        self.words.iter().take(12).try_for_each(|word| write!(f, " {}", word.display()))
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What is killed may be just starting something: again, until nothing is found.
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            let left: Vec<Process> = self.processes();
            if left.is_empty() {
                return;
            }
            for process in &left {
                process.signal(Signal::KILL);
            }
            for process in &left {
                process.ends_before(deadline);
            }
        }
    }
}
