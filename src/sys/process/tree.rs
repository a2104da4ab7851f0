//! Who is whose child: process trees, read from `/proc`.
//!
//! Other systems have no `/proc`: there every list is empty, and ending a tree
//! reaches its process group only.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub start_time: u64,
    /// The boot in which it runs (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
}

/// Whether the process `pid` that started then runs and goes on to. One that is ending does not, though
/// it may hold its files, and with them its locks, a while longer: until the last of its threads has
/// been given the time to close them.
pub fn is_running(pid: i32, start_time: u64) -> bool {
    if (pid, Some(start_time)) == own() {
        return true;
    }
    // Asked before its state: who is killed in between is seen to be.
    let is_killed = fs::read(format!("/proc/{pid}/status")).is_ok_and(|status| is_killed(&status));
    let stat = Stat::of(pid).filter(|stat| stat.start_time == start_time);
    !is_killed && stat.is_some_and(|stat| !stat.is_zombie() && !stat.is_exiting())
}

/// This process and its start: whoever asks about itself runs. A conductor does at each attempt, in a transaction.
fn own() -> (i32, Option<u64>) {
    static START: OnceLock<(i32, Option<u64>)> = OnceLock::new();
    let pid = std::process::id().cast_signed();
    let known = *START.get_or_init(|| (pid, Stat::of(pid).map(|stat| stat.start_time)));
    // One that was forked off has another number.
    if known.0 == pid { known } else { (pid, None) }
}

/// Whether the process `pid` that started then is suspended: it does nothing until it is told to go on.
pub fn is_suspended(pid: i32, start_time: u64) -> bool {
    Stat::of(pid).is_some_and(|stat| stat.start_time == start_time && matches!(stat.state, b'T' | b't'))
}

/// Whether a process, by its `/proc/PID/status`, has yet to take notice of a `SIGKILL`.
fn is_killed(status: &[u8]) -> bool {
    let is_among = |mask: &str| {
        u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << (Signal::KILL.as_raw() - 1)) != 0)
    };
    String::from_utf8_lossy(status)
        .lines()
        .filter_map(|line| line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:")))
        .any(is_among)
}

/// The identity of the process `pid`; `None` when there is no such process.
pub fn identity(pid: i32) -> Option<Identity> {
    let start_time = Stat::of(pid)?.start_time;
    Some(Identity { pid, start_time, boot_id: boot_id()? })
}

/// Programs that stand between an agent and what it starts.
const BETWEEN: [&str; 11] =
    ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "busybox", "env", "timeout", "kapell"];

/// What runs scripts, by which an agent's events may be handed on; in some versions Node.js calls itself a thread.
const SCRIPTED: [&str; 9] = ["python", "node", "MainThread", "npm", "npx", "uv", "bun", "deno", "ruby"];

/// A script that hands on an event was started for it, at most so long before, in ticks of 10 ms.
const JUST_NOW: u64 = 500;

/// The process that this one works for: the nearest above it that is no shell; and its name. Of a script that was
/// started for this call it is the one of these `agents` that is above it, where there is one.
pub fn patron(agents: &[&str]) -> Option<(Identity, String)> {
    let found = nearest(rustix::process::getppid()?.as_raw_nonzero().get(), |name| !BETWEEN.contains(&name))?;
    let (script, name) = &found;
    let is_new = own().1.is_some_and(|start| start.saturating_sub(script.start_time) <= JUST_NOW);
    if is_new && SCRIPTED.iter().any(|it| name.starts_with(it)) {
        return above(agents).or(Some(found));
    }
    Some(found)
}

/// The nearest process above this one whose name begins as one of `names`, however far up; and its name.
pub fn above(names: &[&str]) -> Option<(Identity, String)> {
    at_or_above(rustix::process::getppid()?.as_raw_nonzero().get(), names)
}

/// The same of the process `pid`, which may be the one itself.
pub fn at_or_above(pid: i32, names: &[&str]) -> Option<(Identity, String)> {
    nearest(pid, |name| names.iter().any(|it| name.starts_with(it)))
}

/// The process `pid`, or the nearest above it, whose name is such; and that name. Whoever starts all is nobody's.
fn nearest(mut pid: i32, is_it: impl Fn(&str) -> bool) -> Option<(Identity, String)> {
    while pid > 1 {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let (name, stat) = (name.trim_end(), Stat::of(pid)?);
        if is_it(name) {
            let start_time = stat.start_time;
            return Some((Identity { pid, start_time, boot_id: boot_id()? }, name.to_owned()));
        }
        pid = stat.parent;
    }
    None
}

impl Identity {
    /// Whether that very process is still there, be it only as a zombie.
    pub fn is_same(&self) -> bool {
        identity(self.pid).as_ref() == Some(self)
    }
}

/// Sends `signal` to that very process; `false` when it is gone.
///
/// # Errors
/// The system's, when the process may not be signalled.
pub fn signal(process: &Identity, signal: Signal) -> io::Result<bool> {
    // The handle is taken first: once it is open, an equal identity means that it is this process's.
    let Some(handle) = Handle::open(process.pid)? else { return Ok(false) };
    if !process.is_same() {
        return Ok(false);
    }
    handle.signal(signal)
}

/// Every process that was there at one moment.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    by_pid: HashMap<i32, Stat>,
    children: HashMap<i32, Vec<i32>>,
}

impl Processes {
    /// Reads `/proc` once. A process that starts or ends meanwhile may or may not be there.
    pub fn read() -> Self {
        let mut processes = Self::default();
        for pid in pids() {
            if let Some(stat) = Stat::of(pid) {
                processes.children.entry(stat.parent).or_default().push(pid);
                processes.by_pid.insert(pid, stat);
            }
        }
        processes
    }

    /// All below `root`, without it and without zombies, parents before their children.
    pub fn descendants(&self, root: i32) -> Vec<Process> {
        self.descendants_but(root, &[])
    }

    /// The same without `spared` and what is below those.
    pub fn descendants_but(&self, root: i32, spared: &[i32]) -> Vec<Process> {
        self.below(root, spared)
            .filter(|(_, stat)| !stat.is_zombie())
            .map(|(pid, stat)| Process { pid, start_time: stat.start_time })
            .collect()
    }

    /// Whether there is a process `pid`.
    pub fn contains(&self, pid: i32) -> bool {
        self.by_pid.contains_key(&pid)
    }

    /// Whether `pid` is `root` or below it.
    pub fn is_within(&self, pid: i32, root: i32) -> bool {
        let mut seen = HashSet::new();
        let mut at = pid;
        // A table read while it changes may have a circle.
        while at != root {
            match self.by_pid.get(&at) {
                Some(stat) if seen.insert(at) => at = stat.parent,
                _ => return false,
            }
        }
        true
    }

    /// Processor time, user and system, of `root`, all below it, and all that they
    /// waited for. It only grows while `root` lives, except for orphans that end.
    pub fn cpu_time(&self, root: i32) -> Duration {
        let ticks: u64 = self.with_root(root).map(|stat| stat.cpu_ticks).sum();
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Duration::from_millis(ticks.saturating_mul(1000) / per_second)
    }

    /// Resident memory of `root` and all below it, in bytes. Shared pages count for each.
    pub fn memory(&self, root: i32) -> u64 {
        let pages: u64 = self.with_root(root).map(|stat| stat.resident_pages).sum();
        pages.saturating_mul(rustix::param::page_size() as u64)
    }

    fn with_root(&self, root: i32) -> impl Iterator<Item = &Stat> {
        self.by_pid.get(&root).into_iter().chain(self.below(root, &[]).map(|(_, stat)| stat))
    }

    fn below(&self, root: i32, spared: &[i32]) -> impl Iterator<Item = (i32, &Stat)> {
        let mut found = vec![root];
        let mut seen: HashSet<i32> = found.iter().chain(spared).copied().collect();
        let mut next = 0;
        while let Some(&parent) = found.get(next) {
            let children = self.children.get(&parent).into_iter().flatten();
            found.extend(children.filter(|pid| seen.insert(**pid)));
            next += 1;
        }
        found.into_iter().skip(1).filter_map(|pid| Some((pid, self.by_pid.get(&pid)?)))
    }
}

/// A process within one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

impl Process {
    /// Takes hold of that very process; `None` when it is gone.
    pub fn handle(self) -> Option<Handle> {
        // Once the handle is open, an equal start means that it is this process's.
        let handle = Handle::open(self.pid).ok()??;
        (Stat::of(self.pid)?.start_time == self.start_time).then_some(handle)
    }

    /// Sends `signal` to that very process; `false` when it is gone or may not be signalled.
    pub fn signal(self, signal: Signal) -> bool {
        self.handle().is_some_and(|handle| handle.signal(signal).unwrap_or(false))
    }
}

/// All below the process `root`, without it and without zombies.
pub fn descendants(root: i32) -> Vec<Process> {
    Processes::read().descendants(root)
}

/// Suspends all below `root` but `spared` and what is below those, and with it what they start
/// meanwhile. Returns them when they stand still.
pub fn suspend_descendants(root: i32, spared: &[i32]) -> Vec<Process> {
    // A signal is sent in an instant, and obeyed when its receiver has a processor next. The
    // bound is for one that may not be signalled.
    const MOST_LOOKS: usize = 1000;
    for _ in 1..MOST_LOOKS {
        let processes = Processes::read();
        let mut all_stand_still = true;
        for (pid, stat) in processes.below(root, spared).filter(|(_, stat)| stat.may_run()) {
            all_stand_still = false;
            Process { pid, start_time: stat.start_time }.signal(Signal::STOP);
        }
        if all_stand_still {
            return processes.descendants_but(root, spared);
        }
        std::thread::yield_now();
    }
    Processes::read().descendants_but(root, spared)
}

/// A process with the environment entry `entry` (`NAME=value`), of this user.
///
/// The handle is opened before the environment is read, so a signal through it
/// reaches the process that was looked at, or nobody.
#[cfg(target_os = "linux")]
pub fn with_environment(entry: &[u8]) -> Vec<(i32, Handle)> {
    use std::os::unix::fs::MetadataExt as _;

    let user = rustix::process::getuid().as_raw();
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let is_ours = |pid: i32| {
        pid != me
            && fs::metadata(format!("/proc/{pid}")).is_ok_and(|folder| folder.uid() == user)
            && fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|found| found == entry))
    };
    pids().filter_map(|pid| Some((pid, Handle::open(pid).ok()??))).filter(|(pid, _)| is_ours(*pid)).collect()
}

/// No environment of another process can be read here.
#[cfg(not(target_os = "linux"))]
pub fn with_environment(_entry: &[u8]) -> Vec<(i32, Handle)> {
    Vec::new()
}

/// A hold on one process: a pidfd.
#[derive(Debug)]
pub struct Handle {
    #[cfg(target_os = "linux")]
    fd: std::os::fd::OwnedFd,
    #[cfg(not(target_os = "linux"))]
    pid: Pid,
}

impl Handle {
    /// Takes hold of the process `pid`; `None` when there is none.
    ///
    /// # Errors
    /// The system's, when it has no handle to give.
    pub fn open(pid: i32) -> io::Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else { return Ok(None) };
        #[cfg(target_os = "linux")]
        match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self { fd })),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Some(Self { pid }))
    }

    /// What can be read once the process has ended, where the system has such a thing.
    pub fn end(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        #[cfg(target_os = "linux")]
        return Some(std::os::fd::AsFd::as_fd(&self.fd));
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Sends `signal`; `false` when the process is gone.
    ///
    /// # Errors
    /// The system's, when the process may not be signalled.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        #[cfg(target_os = "linux")]
        let sent = rustix::process::pidfd_send_signal(&self.fd, signal);
        #[cfg(not(target_os = "linux"))]
        let sent = rustix::process::kill_process(self.pid, signal);
        match sent {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until the process has ended (as a zombie, too), at most `limit`;
    /// `false` when it has not by then.
    ///
    /// # Errors
    /// The system's.
    #[cfg(target_os = "linux")]
    pub fn wait_for_end(&self, limit: Duration) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags};
        // A limit beyond what the clock can count is none.
        let deadline = std::time::Instant::now().checked_add(limit);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(std::time::Instant::now()));
            let timeout = left.and_then(|left| rustix::event::Timespec::try_from(left).ok());
            match rustix::event::poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], timeout.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// There is nothing to wait on here: the process counts as ended.
    ///
    /// # Errors
    /// Never.
    #[cfg(not(target_os = "linux"))]
    pub fn wait_for_end(&self, _limit: Duration) -> io::Result<bool> {
        Ok(true)
    }
}

/// What `/proc/PID/stat` says that is of use here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stat {
    state: u8,
    parent: i32,
    flags: u32,
    cpu_ticks: u64,
    start_time: u64,
    resident_pages: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name (field 2) is the program's own choice, with blanks and brackets as it
    /// likes; the fields after it begin behind the last bracket.
    fn parse(line: &[u8]) -> Option<Self> {
        let after_name = line.iter().rposition(|byte| *byte == b')')? + 1;
        let fields: Vec<&str> =
            std::str::from_utf8(&line[after_name..]).ok()?.split_ascii_whitespace().collect();
        // Numbered as in proc(5), where the first of these is field 3.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |at: usize| field(at)?.parse::<i64>().ok();
        Some(Self {
            state: *field(3)?.as_bytes().first()?,
            parent: field(4)?.parse().ok()?,
            flags: number(9)?.try_into().ok()?,
            cpu_ticks: (14..=17).map(number).sum::<Option<i64>>()?.try_into().ok()?,
            start_time: number(22)?.try_into().ok()?,
            resident_pages: number(24)?.try_into().unwrap_or(0),
        })
    }

    fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Whether it is on its way out (`PF_EXITING` of the kernel's `sched.h`).
    fn is_exiting(&self) -> bool {
        self.flags & 0x4 != 0
    }

    /// Whether it might do anything of its own before it takes notice of a signal. Who is in
    /// the kernel uninterruptibly (D; the parent of a vfork, too) does not.
    fn may_run(&self) -> bool {
        !self.is_zombie() && !matches!(self.state, b'T' | b't' | b'D')
    }
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn boot_id() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, state: char, parent: i32) -> Vec<u8> {
        format!("7 ({name}) {state} {parent} 1 1 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 999 4096 5 18446744073709551615 1")
            .into_bytes()
    }

    #[test]
    fn a_name_cannot_forge_the_fields_behind_it() {
        for name in ["sh", "a b", "x) Z 1 (", "", "((", "\u{e9}\n"] {
            let stat = Stat::parse(&line(name, 'S', 42)).unwrap();
            let expected = Stat {
                state: b'S',
                parent: 42,
                flags: 0x40_0100,
                cpu_ticks: 100,
                start_time: 999,
                resident_pages: 5,
            };
            assert_eq!(stat, expected, "{name:?}");
        }
        assert_eq!(Stat::parse(b"7 (sh) S"), None);
        assert_eq!(Stat::parse(b""), None);
        let mut no_text = line("sh", 'S', 42);
        no_text[3] = 0xff;
        assert!(Stat::parse(&no_text).is_some());
    }

    fn table(rows: &[(i32, i32, char)]) -> Processes {
        let mut processes = Processes::default();
        for (pid, parent, state) in rows {
            processes.children.entry(*parent).or_default().push(*pid);
            processes.by_pid.insert(*pid, Stat::parse(&line("x", *state, *parent)).unwrap());
        }
        processes
    }

    #[test]
    fn descendants_are_all_generations_without_the_root() {
        let processes =
            table(&[(1, 0, 'S'), (2, 1, 'S'), (3, 2, 'Z'), (4, 3, 'S'), (5, 2, 'T'), (6, 1, 'S')]);
        let pids = |root| processes.descendants(root).into_iter().map(|p| p.pid).collect::<Vec<_>>();
        assert_eq!(pids(2), [5, 4]);
        assert_eq!(pids(6), [0; 0]);
        assert_eq!(pids(99), [0; 0]);
        assert!(processes.is_within(4, 2) && processes.is_within(2, 2));
        assert!(!processes.is_within(6, 2) && !processes.is_within(99, 2));
        assert_eq!(processes.memory(2), 4 * 5 * rustix::param::page_size() as u64);
    }

    #[test]
    fn a_circle_in_a_torn_table_ends() {
        let processes = table(&[(2, 3, 'S'), (3, 2, 'S')]);
        assert_eq!(processes.descendants(2).len(), 1);
        assert!(!processes.is_within(2, 1));
    }

    #[test]
    fn a_pending_kill_is_told_from_other_signals() {
        let status = |own: &str, shared: &str| {
            format!("Name:\tsh\nSigQ:\t0/9\nSigPnd:\t{own}\nShdPnd:\t{shared}\nSigBlk:\t0000000000000100\n")
        };
        let none = "0000000000000000";
        let kill = "0000000000000100";
        assert!(is_killed(status(kill, none).as_bytes()) && is_killed(status(none, kill).as_bytes()));
        assert!(!is_killed(status(none, "0000000000004000").as_bytes()));
        assert!(!is_killed(b"") && !is_killed(b"SigPnd:\n\xff"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_killed_does_not_run_from_that_moment_on() {
        for _ in 0..100 {
            let mut command = crate::sys::process::spawn::program("/bin/cat", std::path::Path::new("/"));
            let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
            let who = identity(child.id() as i32).unwrap();
            assert!(is_running(who.pid, who.start_time));
            child.kill().unwrap();
            assert!(!is_running(who.pid, who.start_time));
            child.wait().unwrap();
            assert!(!is_running(who.pid, who.start_time));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_identity_is_of_one_process() {
        let me = identity(std::process::id() as i32).unwrap();
        assert!(me.is_same());
        let later = Identity { start_time: me.start_time + 1, ..me.clone() };
        let other_boot = Identity { boot_id: "another".into(), ..me };
        for stranger in [later, other_boot] {
            assert!(!stranger.is_same());
            // It would end this test if it were sent.
            assert!(!signal(&stranger, Signal::KILL).unwrap());
        }
        assert_eq!(identity(0), None);
        assert_eq!(identity(i32::MAX), None);
    }
}
