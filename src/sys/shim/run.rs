//! A worker from its start to the end of the last process that it started.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use super::agent::Agent;
use super::control::{Asker, Control};
use super::files;
use super::job::{Cause, Door, FirstSignal, Job, PhaseName, Reply, Request, State};
use super::main::{Signals, log};
use super::relays::Relays;
use super::till::Till;
use crate::base::clock::Time;
use crate::sys::process::tree::{self, Handle, Process, Processes};
use crate::sys::process::{life, pages, peer, spawn};

/// How often what is left is killed again: it may have started something meanwhile.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// When killing is given up: a process that hangs in the kernel dies only when that lets go.
const GIVE_UP: Duration = Duration::from_secs(30);

/// How often an asker is looked for where the system does not tell of its end.
const ASKER_LOOK: Duration = Duration::from_secs(1);

/// A run that lives this long may live for hours.
const SETTLED: Duration = Duration::from_secs(2);

/// How a run ended.
pub(super) struct Ended {
    pub(super) cause: Cause,
    /// What the system says of the worker's program.
    pub(super) status: Option<WaitStatus>,
    pub(super) reason: Option<String>,
    pub(super) wall: String,
    /// Processes killed, the worker's program not counted.
    pub(super) leftovers: u64,
}

impl Ended {
    pub(super) fn not_started(reason: String) -> Self {
        let wall = "off".to_owned();
        Self { cause: Cause::NotStarted, status: None, reason: Some(reason), wall, leftovers: 0 }
    }
}

/// Where a run is. Times are of the monotonic clock, which stands still in a
/// suspended machine and does not jump.
#[derive(Clone, Copy)]
enum Phase {
    Running { limit: Option<Instant> },
    Paused { left: Option<Duration> },
    Ending { term_at: Option<Instant>, kill_at: Instant },
    Killing { give_up_at: Instant },
}

/// A worker that was started.
pub(super) struct Run {
    job: Job,
    agent: Agent,
    outputs: Outputs,
    /// What it costs, where that is limited.
    till: Option<Till>,
    started_at: Time,
    shim: i32,
    relays: Relays,
    /// Whom the run ends with; gone once that was seen.
    asker: Option<Handle>,
    phase: Phase,
    /// What made it end, known from the first thing that did.
    cause: Option<Cause>,
    /// Known once the worker's program has ended.
    status: Option<WaitStatus>,
    /// Whether what outlived the program, in a run that is made to end, was told so.
    rest_is_told: bool,
    killed: HashSet<Process>,
    reason: Option<String>,
    /// When what was needed to start is let go of; a run that ends before was too short for it.
    settles_at: Option<Instant>,
}

impl Run {
    pub(super) fn new(job: Job, agent: Agent, outputs: Outputs, started_at: Time) -> Self {
        let limit = job.timeout_ms.map(|timeout| after(Instant::now(), timeout));
        let till = job.allowance.as_ref().and_then(Till::new);
        Self {
            asker: job.asker.as_deref().and_then(|proof| life::hold(proof).ok().flatten()),
            job,
            agent,
            outputs,
            till,
            started_at,
            shim: rustix::process::getpid().as_raw_nonzero().get(),
            relays: Relays::default(),
            phase: Phase::Running { limit },
            cause: None,
            status: None,
            rest_is_told: false,
            killed: HashSet::new(),
            reason: None,
            settles_at: Some(Instant::now() + SETTLED),
        }
    }

    /// Supervises the worker until none of its processes is left.
    pub(super) fn until_end(&mut self, signals: &Signals, control: &mut Control) -> Ended {
        while !self.reap() {
            let now = Instant::now();
            if signals.take_stop() {
                self.make_it_end(Cause::Stopped, self.job.grace_ms, now);
            }
            if self.job.asker.as_ref().is_some_and(|asker| !self.is_ending() && !life::holds(asker)) {
                self.asker = None;
                self.reason = Some("whoever asked is gone".to_owned());
                self.make_it_end(Cause::Stopped, self.job.grace_ms, now);
            }
            if self.outputs.look(now) {
                self.count_costs(now);
            }
            if self.settles_at.take_if(|at| *at <= now).is_some() {
                pages::let_go_of_code();
            }
            if self.advance(now).is_none() {
                break;
            }
            self.wait(now, signals, control);
            signals.drain();
            control.serve(|request, asker| self.answer(request, asker));
        }
        let program = self.agent.pid.as_raw_nonzero().get();
        Ended {
            cause: self.cause.unwrap_or(Cause::Exited),
            status: self.status,
            reason: self.reason.take(),
            wall: self.agent.wall.clone(),
            leftovers: self.killed.iter().filter(|process| process.pid != program).count() as u64,
        }
    }

    /// Takes note of all that ended; `true` when nobody is left. Orphans become children
    /// of this process, so without children there are no descendants.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.agent.pid => {
                    self.status = Some(status);
                    // Where orphans go to init, the group is all that can be reached of them.
                    #[cfg(not(target_os = "linux"))]
                    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                }
                Ok(Some((pid, _))) => self.relays.forget(pid),
                Err(Errno::INTR) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Does what is due; `None` when all was tried and the run is given up.
    fn advance(&mut self, now: Instant) -> Option<()> {
        if self.status.is_some() {
            self.program_has_ended(now);
        }
        let printed = self.outputs.largest();
        if printed > self.job.output_limit {
            if !self.is_ending() {
                self.make_it_end(Cause::OutputLimit, self.job.grace_ms, now);
            } else if printed > self.job.output_limit.saturating_add(self.job.output_limit / 4) {
                // It uses its grace to print on.
                self.kill(now);
            }
        }
        if let Phase::Running { limit: Some(limit) } = self.phase
            && limit <= now
        {
            self.make_it_end(Cause::TimedOut, self.job.grace_ms, now);
        }
        if let Phase::Ending { term_at, kill_at } = &mut self.phase {
            if term_at.take_if(|at| *at <= now).is_some() {
                signal_group(self.agent.pid, Signal::TERM);
            }
            if *kill_at <= now {
                self.kill(now);
            }
        }
        if let Phase::Killing { give_up_at } = self.phase {
            let left = self.kill_all(now);
            if give_up_at <= now {
                self.reason = Some(match left {
                    0 => "processes of it are left, and cannot be read".to_owned(),
                    left => format!("{left} processes could not be killed"),
                });
                return None;
            }
        }
        Some(())
    }

    /// Ends a worker that costs more than it may.
    fn count_costs(&mut self, now: Instant) {
        if self.is_ending() {
            return;
        }
        if let Some(why) = self.till.as_mut().and_then(Till::count) {
            self.reason = Some(why);
            self.make_it_end(Cause::OverBudget, self.job.grace_ms, now);
        }
    }

    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. } | Phase::Killing { .. })
    }

    /// The program has ended; there may be others of its tree.
    fn program_has_ended(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Running { .. } | Phase::Paused { .. } => {
                self.cause = Some(Cause::Exited);
                let kill_at = after(now, self.job.keep_leftovers_ms);
                self.phase = Phase::Ending { term_at: None, kill_at };
            }
            // The signals went to the program's group. Who left it (the tools of Claude Code do)
            // is told now, and has the rest of the grace like everybody else.
            Phase::Ending { term_at, .. } if self.cause != Some(Cause::Exited) && !self.rest_is_told => {
                self.rest_is_told = true;
                *term_at = None;
                for process in self.workers() {
                    process.signal(Signal::TERM);
                    process.signal(Signal::CONT);
                }
            }
            Phase::Ending { .. } | Phase::Killing { .. } => {}
        }
    }

    /// Tells the worker to end, and when it will be killed.
    fn make_it_end(&mut self, cause: Cause, grace_ms: u64, now: Instant) {
        let kill_at = after(now, grace_ms);
        match &mut self.phase {
            Phase::Running { .. } | Phase::Paused { .. } => {
                let (signal, term_at) = match self.job.first_signal {
                    FirstSignal::Term => (Signal::TERM, None),
                    FirstSignal::Int => (Signal::INT, Some(after(now, grace_ms / 2))),
                };
                signal_group(self.agent.pid, signal);
                if matches!(self.phase, Phase::Paused { .. }) {
                    self.go_on();
                }
                self.cause = Some(cause);
                self.phase = Phase::Ending { term_at, kill_at };
            }
            Phase::Ending { kill_at: planned, .. } => *planned = kill_at.min(*planned),
            Phase::Killing { .. } => {}
        }
    }

    fn kill(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Killing { .. }) {
            self.phase = Phase::Killing { give_up_at: now + GIVE_UP };
        }
    }

    fn kill_all(&mut self, now: Instant) -> usize {
        if self.status.is_none() {
            signal_group(self.agent.pid, Signal::KILL);
        }
        let left = self.workers();
        self.killed.extend(left.iter().filter(|process| process.signal(Signal::KILL)));
        if left.is_empty() {
            self.relays.see_off(now);
        }
        left.len()
    }

    /// The processes of the worker: all below the shim but its relays, and what those run.
    fn workers(&self) -> Vec<Process> {
        Processes::read().descendants_but(self.shim, &self.relays.pids())
    }

    fn go_on(&self) {
        for process in self.workers() {
            process.signal(Signal::CONT);
        }
    }

    fn answer(&mut self, request: Request, asker: &Asker<'_>) -> Reply {
        let now = Instant::now();
        if let Request::Relay { door } = request {
            return match self.relay(door, asker) {
                Ok(()) => Reply { ok: true, error: None, state: Some(self.state(now)) },
                Err(why) => Reply::refused(why),
            };
        }
        if request != Request::State && asker.peer.is_some_and(|peer| self.is_worker(peer)) {
            return Reply::refused("a worker has no say over a shim; ask the conductor");
        }
        let done = match (request, &mut self.phase) {
            (Request::State, _) => Ok(()),
            (Request::Stop { grace_ms }, _) => {
                self.make_it_end(Cause::Stopped, grace_ms.unwrap_or(self.job.grace_ms), now);
                Ok(())
            }
            (Request::Kill, _) => {
                self.cause.get_or_insert(Cause::Killed);
                self.kill(now);
                Ok(())
            }
            (Request::Pause, Phase::Running { limit }) => {
                let left = limit.map(|limit| limit.saturating_duration_since(now));
                // Not the relays: one might hold the turn of all who write.
                tree::suspend_descendants(self.shim, &self.relays.pids());
                self.phase = Phase::Paused { left };
                Ok(())
            }
            (Request::Resume, Phase::Paused { left }) => {
                let limit = left.map(|left| after(now, left.as_millis() as u64));
                self.go_on();
                self.phase = Phase::Running { limit };
                Ok(())
            }
            (Request::Extend { timeout_ms }, Phase::Running { limit }) => {
                *limit = Some(after(now, timeout_ms));
                Ok(())
            }
            (Request::Extend { timeout_ms }, Phase::Paused { left }) => {
                *left = Some(Duration::from_millis(timeout_ms));
                Ok(())
            }
            (Request::Pause, Phase::Paused { .. }) => {
                // Somebody else may have had it go on.
                tree::suspend_descendants(self.shim, &self.relays.pids());
                Ok(())
            }
            (Request::Resume, Phase::Running { .. }) => Ok(()),
            (Request::Pause | Request::Resume | Request::Extend { .. } | Request::Relay { .. }, _) => {
                Err("the worker is already ending".to_owned())
            }
        };
        Reply { ok: done.is_ok(), error: done.err(), state: Some(self.state(now)) }
    }

    /// Has a door outside of the wall answer the worker from now on.
    fn relay(&mut self, door: Door, asker: &Asker<'_>) -> Result<(), String> {
        let Some(relay) = &self.job.relay else {
            return Err("nothing is relayed for this process: it is no attempt at a task".to_owned());
        };
        // Whoever is outside of this wall, behind another's perhaps, is somebody else.
        let is_own = |peer| {
            Processes::read()
                .descendants_but(self.shim, &self.relays.pids())
                .iter()
                .any(|own| own.pid == peer)
        };
        if !asker.peer.is_none_or(is_own) {
            return Err(format!("only processes of attempt {} speak for it", self.job.attempt));
        }
        if asker.is_ahead {
            return Err("wait for this reply before anything else is sent".to_owned());
        }
        if matches!(self.phase, Phase::Killing { .. }) {
            return Err("the worker is already ending".to_owned());
        }
        self.relays.start(relay, door, &self.job.attempt, asker.stream)
    }

    /// Whether `peer` is one of the worker's processes, or of another's: or gone, so that nobody can tell.
    fn is_worker(&self, peer: i32) -> bool {
        let processes = Processes::read();
        let is_another = || {
            let here = std::env::current_dir();
            here.is_ok_and(|here| {
                here.parent().is_none_or(|runs| peer::is_worker(peer, runs).unwrap_or(true))
            })
        };
        processes.is_within(peer, self.shim) || !processes.contains(peer) || is_another()
    }

    fn state(&self, now: Instant) -> State {
        let [stdout_bytes, stderr_bytes] = self.outputs.sizes();
        let (phase, time_left) = match self.phase {
            Phase::Running { limit } => {
                (PhaseName::Running, limit.map(|limit| limit.saturating_duration_since(now)))
            }
            Phase::Paused { left } => (PhaseName::Paused, left),
            Phase::Ending { kill_at, .. } => {
                (PhaseName::Ending, Some(kill_at.saturating_duration_since(now)))
            }
            Phase::Killing { .. } => (PhaseName::Killing, None),
        };
        State {
            attempt: self.job.attempt.clone(),
            phase,
            pid: self.agent.pid.as_raw_nonzero().get(),
            shim: self.shim,
            time_left_ms: time_left.map(|left| left.as_millis() as u64),
            stdout_bytes,
            stderr_bytes,
            wall: self.agent.wall.clone(),
            started_at: self.started_at,
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, now: Instant, signals: &Signals, control: &Control) {
        let due = match self.phase {
            Phase::Running { limit } => limit,
            Phase::Paused { .. } => None,
            Phase::Ending { term_at, kill_at } => Some(term_at.map_or(kill_at, |at| at.min(kill_at))),
            Phase::Killing { .. } => Some(now + KILL_AGAIN),
        };
        let asker = self.asker.as_ref().filter(|_| !self.is_ending());
        let look_for_asker = asker.filter(|asker| asker.end().is_none()).map(|_| now + ASKER_LOOK);
        let due =
            due.into_iter().chain(self.outputs.look_at).chain(look_for_asker).chain(self.settles_at).min();
        let timeout = due.and_then(|due| Timespec::try_from(due.saturating_duration_since(now)).ok());
        let readable = std::iter::once(signals.fd()).chain(control.fds()).chain(self.outputs.fd());
        let readable = readable.chain(asker.and_then(Handle::end));
        let mut fds: Vec<_> = readable.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => {
                // Without being able to wait nothing can be supervised.
                let error = io::Error::from(errno);
                log(&format!("poll: {error}"));
                self.reason = Some(format!("the shim failed: {error}"));
                self.cause.get_or_insert(Cause::Killed);
                self.kill(now);
            }
        }
    }
}

/// `millis` after `now`; ten years stand for all that is longer, which no clock could hold.
fn after(now: Instant, millis: u64) -> Instant {
    const TEN_YEARS: u64 = 10 * 365 * 24 * 3600 * 1000;
    now + Duration::from_millis(millis.min(TEN_YEARS))
}

/// The group of a program that has ended may be gone.
fn signal_group(leader: Pid, signal: Signal) {
    let _ = rustix::process::kill_process_group(leader, signal);
}

/// The files that the worker prints to, and how large they are.
pub(super) struct Outputs {
    files: [File; 2],
    sizes: [u64; 2],
    /// Tells when they grow; without it they are looked at once a second.
    watch: Option<OwnedFd>,
    /// When to look next; `None` is when `watch` tells.
    look_at: Option<Instant>,
}

impl Outputs {
    /// A busy worker makes a change every microsecond; this often is enough to look.
    const REST: Duration = Duration::from_millis(50);

    /// Opens them, in the current folder. The error is a sentence for the record.
    pub(super) fn open() -> Result<Self, String> {
        let open =
            |name: &str| spawn::append_private(name.as_ref()).map_err(|error| format!("{name}: {error}"));
        let files = [open(files::STDOUT)?, open(files::STDERR)?];
        Ok(Self { files, sizes: [0, 0], watch: None, look_at: None })
    }

    /// Standard output and standard error.
    pub(super) fn files(&self) -> [&File; 2] {
        self.files.each_ref()
    }

    /// Watches them from now on. A person has few watches, so none is taken before it is needed.
    pub(super) fn watched(mut self) -> Self {
        self.watch = watch(&[files::STDOUT, files::STDERR]);
        self.look_at = self.watch.is_none().then(Instant::now);
        self
    }

    fn largest(&self) -> u64 {
        self.sizes[0].max(self.sizes[1])
    }

    /// The sizes at this moment.
    fn sizes(&self) -> [u64; 2] {
        self.files.each_ref().map(|file| file.metadata().map_or(0, |file| file.len()))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        if self.look_at.is_some() { None } else { Some(self.watch.as_ref()?.as_fd()) }
    }

    /// Whether anything may have been printed since the last look.
    fn look(&mut self, now: Instant) -> bool {
        if self.look_at.is_some_and(|at| at > now) {
            return false;
        }
        let (changed, rest) = match &self.watch {
            Some(watch) => (drain(watch), Self::REST),
            None => (true, Duration::from_secs(1)),
        };
        self.look_at = changed.then(|| now + rest);
        if changed {
            self.sizes = self.sizes();
        }
        changed
    }
}

#[cfg(target_os = "linux")]
fn watch(names: &[&str]) -> Option<OwnedFd> {
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
    for name in names {
        inotify::add_watch(&watch, *name, WatchFlags::MODIFY).ok()?;
    }
    Some(watch)
}

#[cfg(not(target_os = "linux"))]
fn watch(_names: &[&str]) -> Option<OwnedFd> {
    None
}

/// Whether there was something to read.
fn drain(watch: &OwnedFd) -> bool {
    let mut buffer = [0; 1024];
    let mut any = false;
    while rustix::io::read(watch, &mut buffer).is_ok_and(|read| read > 0) {
        any = true;
    }
    any
}
