//! Following a running attempt: what it says, whether it lives, how it ends.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::base::clock::Time;
use crate::base::notices::Notices;
use crate::base::threads;
use crate::domain::attempt::Outcome;
use crate::domain::health::{Next, Patience, is_work};
use crate::domain::usage::Usage;
use crate::services::Error;
use crate::sys::agent::{AgentKind, End, Ending, Event, Limit, MAX_LINE, Reader, Report};
use crate::sys::process::tree::Processes;
use crate::sys::shim::client::{self, Ended, Line};
use crate::sys::shim::job::{Cause, PhaseName, Request};
use crate::sys::shim::output::Lines;

/// A limited agent that goes on retrying is ended after this long; CLIS.md measured retry
/// storms of minutes (Claude Code, 10 retries) and without end (opencode).
const RETRY_PATIENCE: Duration = Duration::from_secs(45);
/// An agent that does not count its tries itself has this many in a row. opencode asks again for
/// ever, several times a second, when an answer breaks off, and every request costs.
const MOST_RETRIES: u32 = 10;
/// Who lives for so long lives on. Watching what a run prints, and what is only to be shown of it, waits for that:
/// most of what ends before is a program that had nothing to do, of which the end tells all.
const SETTLED: Duration = Duration::from_millis(100);
/// What was printed is read this often at least, should the system tell of no change.
const LOOK: Duration = Duration::from_secs(60);

/// What is to be followed.
#[derive(Debug)]
pub struct Watched<'a> {
    /// The attempt.
    pub name: &'a str,
    /// The shim's folder.
    pub run_dir: &'a Path,
    /// Which reader understands its output.
    pub kind: AgentKind,
    /// Whether its answer is to be a JSON object.
    pub wants_answer: bool,
    /// How long it may show no life.
    pub patience: Option<Patience>,
    /// Whether it has just been started.
    pub is_new: bool,
    /// Where the end of one that was just started is seen soonest.
    pub line: Option<&'a Line>,
}

/// What a look at a run saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Without a sign of life for so long.
    pub silent: Duration,
    /// The processor time of all its processes so far.
    pub cpu: Duration,
    /// How long ago it was nudged in this silence, if it was.
    pub nudged: Option<Duration>,
}

/// Whoever is with a run while it goes on. A closure only hears what it says.
pub trait Attendant {
    /// Hears every event as it is read, from the first line on, also when an earlier conductor read it before.
    fn hear(&mut self, event: &Event);

    /// Hears once of a run that lives on after its start.
    fn settled(&mut self) {}

    /// What an earlier conductor knew of it: whether it was nudged and silent since.
    fn was_nudged(&mut self) -> bool {
        false
    }

    /// A number that grows with each thing it did that its output need not show.
    fn deeds(&mut self) -> u64 {
        0
    }

    /// Takes note of a look.
    fn note(&mut self, _seen: Sight) {}

    /// Asks it for a sign of life; `None` of one that cannot be asked, and the time goes on otherwise.
    fn nudge(&mut self, _silent: Duration) -> Option<()> {
        None
    }
}

impl<F: FnMut(&Event)> Attendant for F {
    fn hear(&mut self, event: &Event) {
        self(event);
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Heard {
    /// The outcome.
    pub outcome: Outcome,
    /// Why, in a sentence, where it is not plain success.
    pub reason: Option<String>,
    /// What the agent reported.
    pub report: Report,
    /// The limit it ran into, if that is why it ended.
    pub limit: Option<Limit>,
    /// The wall that was really built.
    pub wall: Option<String>,
    /// How long it lived, where that was recorded.
    pub lived: Option<Duration>,
}

enum Notice {
    Grew,
    Ended(Ended),
}

/// Follows a run to its end.
pub fn listen(watched: &Watched<'_>, by: &mut dyn Attendant) -> Result<Heard, Error> {
    let mut ear = Ear::new(watched, by);
    // Most that end at once are not worth a thread that waits for them.
    let ended = match watched.line.is_some_and(|line| line.is_cut_within(SETTLED)) {
        true => wait(watched.run_dir),
        false => follow(watched, &mut ear, by)?,
    };
    Ok(ear.conclude(watched, ended, by))
}

/// A run that cannot even be asked about has nobody who minds it.
fn wait(run_dir: &Path) -> Ended {
    client::wait(run_dir).unwrap_or(Ended::Vanished)
}

fn follow(watched: &Watched<'_>, ear: &mut Ear, by: &mut dyn Attendant) -> Result<Ended, Error> {
    let (sender, notices) = channel();
    let grew = sender.clone();
    let run_dir: PathBuf = watched.run_dir.to_owned();
    threads::start(
        "kapell-wait",
        Box::new(move || {
            let _ = sender.send(Notice::Ended(wait(&run_dir)));
        }),
    )
    .map_err(|error| Error::system("cannot start a thread", error))?;
    Ok(ear.until_end(watched, &notices, &grew, by))
}

struct Ear {
    reader: Reader,
    stdout: Lines,
    stderr: Lines,
    pulse: Pulse,
    /// When it has lived for a while, and is watched from then on; nothing once it is.
    settles_at: Option<Instant>,
    /// The limit that the agent runs into, and since when; nothing once it has got past it.
    limited: Option<(Instant, Limit)>,
    /// What we ended it for.
    cut: Option<(Outcome, String)>,
}

/// The signs of life that were seen.
struct Pulse {
    last_life: Instant,
    looked: Instant,
    look_at: Instant,
    cpu: Duration,
    deeds: u64,
    nudged: Option<Instant>,
}

impl Ear {
    fn new(watched: &Watched<'_>, by: &mut dyn Attendant) -> Self {
        let reader = Reader::new(watched.kind, Time::now());
        let now = Instant::now();
        let mut pulse = Pulse {
            last_life: now,
            looked: now,
            look_at: now + watched.patience.map_or(LOOK, Patience::between_looks),
            cpu: Duration::ZERO,
            deeds: 0,
            nudged: None,
        };
        if !watched.is_new {
            // From here on, life is what comes besides.
            pulse.cpu = state_of(watched).map(|(_, cpu)| cpu).unwrap_or_default();
            pulse.deeds = by.deeds();
            if by.was_nudged()
                && let Some(patience) = watched.patience
                && let Some(before) = now.checked_sub(patience.stuck_after)
            {
                (pulse.last_life, pulse.nudged) = (before, Some(now));
            }
        }
        Self {
            reader: if watched.wants_answer { reader.wanting_answer() } else { reader },
            stdout: Lines::new(&watched.run_dir.join("stdout"), MAX_LINE),
            stderr: Lines::new(&watched.run_dir.join("stderr"), MAX_LINE),
            pulse,
            settles_at: Some(if watched.is_new { now + SETTLED } else { now }),
            limited: None,
            cut: None,
        }
    }

    fn until_end(
        &mut self,
        watched: &Watched<'_>,
        notices: &Receiver<Notice>,
        grew: &Sender<Notice>,
        by: &mut dyn Attendant,
    ) -> Ended {
        let mut watches = Vec::new();
        loop {
            if self.settles_at.take_if(|at| *at <= Instant::now()).is_some() {
                // It watches before it reads, so that nothing is missed in between.
                watches.extend(watch(watched.run_dir, grew.clone()));
                // What was printed before anybody listened is no life now.
                let before = self.pulse.last_life;
                self.read(watched, by);
                if !watched.is_new {
                    self.pulse.last_life = before;
                }
                by.settled();
            }
            let deadline = self.deadline(watched);
            match notices.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Notice::Ended(ended)) => return ended,
                Ok(Notice::Grew) => self.read(watched, by),
                Err(RecvTimeoutError::Timeout) => {
                    self.read(watched, by);
                    self.look(watched, by);
                }
                Err(RecvTimeoutError::Disconnected) => return Ended::Vanished,
            }
        }
    }

    fn deadline(&self, watched: &Watched<'_>) -> Instant {
        let mut deadline = Instant::now() + LOOK;
        if let Some(settles_at) = self.settles_at {
            deadline = deadline.min(settles_at);
        }
        if self.cut.is_none() {
            if watched.patience.is_some() {
                deadline = deadline.min(self.pulse.look_at);
            }
            if let Some((since, _)) = &self.limited {
                deadline = deadline.min(*since + RETRY_PATIENCE);
            }
        }
        deadline
    }

    fn read(&mut self, watched: &Watched<'_>, by: &mut dyn Attendant) {
        let mut events = Vec::new();
        self.reader.now_is(Time::now());
        let reader = &mut self.reader;
        // A file that cannot be read now may be read later; the end is told by the lock in any case.
        let out = self.stdout.read(&mut |line, cut| events.extend(reader.stdout(line, cut))).unwrap_or(0);
        let err = self.stderr.read(&mut |line, _| events.extend(reader.stderr(line))).unwrap_or(0);
        if out + err > 0 {
            self.pulse.last_life = Instant::now();
        }
        for event in &events {
            self.weigh(watched, event);
            by.hear(event);
        }
    }

    /// Ends an agent that can only lose time.
    fn weigh(&mut self, watched: &Watched<'_>, event: &Event) {
        match event {
            Event::Retrying { limit: Some(kind), why, hopeless, .. } => {
                let resets_at = self.limited.as_ref().and_then(|(_, limit)| limit.resets_at);
                self.meet(Limit { kind: *kind, resets_at, message: why.clone() });
                if *hopeless {
                    self.end(watched, Outcome::RateLimited, format!("retrying cannot help: {why}"));
                }
            }
            Event::Retrying { attempt, of: None, why, .. } if *attempt >= MOST_RETRIES => {
                self.end(watched, Outcome::Failed, format!("{why}, {attempt} times in a row"));
            }
            Event::Limited(limit) => self.meet(limit.clone()),
            // What it prints while it ends is no sign that it got past the limit.
            Event::Text(_) | Event::Tool { .. } if self.cut.is_none() => self.limited = None,
            _ => {}
        }
    }

    fn meet(&mut self, limit: Limit) {
        let since = self.limited.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        self.limited = Some((since, limit));
    }

    fn look(&mut self, watched: &Watched<'_>, by: &mut dyn Attendant) {
        if self.cut.is_some() {
            return;
        }
        if self.limited.as_ref().is_some_and(|(since, _)| since.elapsed() >= RETRY_PATIENCE) {
            return self.end(
                watched,
                Outcome::RateLimited,
                "its provider refuses and it only retries".to_owned(),
            );
        }
        let Some(patience) = watched.patience.filter(|_| self.pulse.look_at <= Instant::now()) else {
            return;
        };
        self.pulse.feel(watched, by);
        let now = Instant::now();
        let nudged = |pulse: &Pulse| pulse.nudged.map(|at| now.duration_since(at));
        let silent = now.duration_since(self.pulse.last_life);
        let mut next = patience.next(silent, nudged(&self.pulse), true);
        if next == Next::Nudge {
            next = match by.nudge(silent) {
                Some(()) => {
                    self.pulse.nudged = Some(now);
                    Next::LookIn(patience.between_looks())
                }
                None => patience.next(silent, None, false),
            };
        }
        by.note(Sight { silent, cpu: self.pulse.cpu, nudged: nudged(&self.pulse) });
        match next {
            Next::LookIn(rest) => self.pulse.look_at = now + rest,
            Next::Nudge | Next::Stop => {
                let mut why = format!("no output and no work for {} s", silent.as_secs());
                if let Some(ago) = nudged(&self.pulse) {
                    why.push_str(&format!(", also not in the {} s after it was nudged", ago.as_secs()));
                }
                self.end(watched, Outcome::Stuck, why);
            }
        }
    }

    fn end(&mut self, watched: &Watched<'_>, outcome: Outcome, why: String) {
        if self.cut.is_none() {
            self.cut = Some((outcome, why));
            // Should the shim be gone already, the wait tells so.
            let _ = client::send(watched.run_dir, Request::Stop { grace_ms: None });
        }
    }

    fn conclude(mut self, watched: &Watched<'_>, ended: Ended, by: &mut dyn Attendant) -> Heard {
        self.read(watched, by);
        let mut events = Vec::new();
        let reader = &mut self.reader;
        let _ = self.stdout.finish(&mut |line, cut| events.extend(reader.stdout(line, cut)));
        let _ = self.stderr.finish(&mut |line, _| events.extend(reader.stderr(line)));
        events.iter().for_each(|event| by.hear(event));
        let exit = match ended {
            Ended::Exit(exit) => exit,
            Ended::Vanished => {
                let report = self.reader.finish(&End { stopped_by_us: true, ..End::default() });
                let reason = Some("its shim died under it".to_owned());
                let outcome = Outcome::Interrupted;
                return Heard { outcome, reason, report, limit: None, wall: None, lived: None };
            }
        };
        let stopped = matches!(exit.ended, Cause::Stopped | Cause::Killed);
        let report = self.reader.finish(&End {
            code: exit.code,
            signal: exit.signal,
            stopped_by_us: stopped || matches!(exit.ended, Cause::OutputLimit | Cause::OverBudget),
            timed_out: exit.ended == Cause::TimedOut,
        });
        let limit = match (&report.ending, &self.cut, self.limited) {
            (Ending::Limited(limit), _, _) if exit.ended != Cause::OverBudget => Some(limit.clone()),
            // Claude Code's last line, once we interrupt it, is about the interruption.
            (_, Some((Outcome::RateLimited, _)), Some((_, limit))) => Some(limit),
            _ => None,
        };
        let (outcome, reason) = match (&exit.ended, &self.cut, &report.ending) {
            (Cause::NotStarted, _, _) => (
                Outcome::Failed,
                Some(exit.reason.clone().unwrap_or_else(|| "it could not be started".to_owned())),
            ),
            (Cause::OverBudget, _, _) => (
                Outcome::Failed,
                Some(exit.reason.clone().unwrap_or_else(|| "budget: it cost more than it may".to_owned())),
            ),
            (_, _, Ending::Limited(limit)) => (Outcome::RateLimited, Some(limit.message.clone())),
            (Cause::Exited, _, Ending::Submitted) => (Outcome::Submitted, None),
            (Cause::TimedOut, _, _) => (Outcome::TimedOut, Some("it ran past its time".to_owned())),
            (Cause::OutputLimit, _, _) => (Outcome::Failed, Some("it printed more than it may".to_owned())),
            (_, Some((outcome, why)), _) => (*outcome, Some(why.clone())),
            (Cause::Stopped | Cause::Killed, None, _) => (Outcome::Killed, Some("it was stopped".to_owned())),
            (Cause::Exited, None, Ending::Failed { reason }) => (Outcome::Failed, Some(reason.clone())),
            (Cause::Exited, None, Ending::Killed) => {
                (Outcome::Failed, Some("somebody else ended it".to_owned()))
            }
        };
        let lived = u64::try_from(exit.ended_at.millis_since(exit.started_at)).unwrap_or(0);
        let lived = Some(Duration::from_millis(lived));
        Heard { outcome, reason, report, limit, wall: Some(exit.wall), lived }
    }
}

impl Pulse {
    /// Looks for signs of life that its output does not show.
    fn feel(&mut self, watched: &Watched<'_>, by: &mut dyn Attendant) {
        let now = Instant::now();
        let mut is_alive = false;
        if let Some((phase, cpu)) = state_of(watched) {
            // Whoever is suspended cannot show any.
            is_alive |= phase == PhaseName::Paused;
            is_alive |= is_work(cpu.saturating_sub(self.cpu), now.duration_since(self.looked));
            self.cpu = cpu;
        }
        let deeds = by.deeds();
        is_alive |= deeds > std::mem::replace(&mut self.deeds, deeds);
        self.looked = now;
        if is_alive {
            self.last_life = now;
        }
        // What it was nudged for is over.
        self.nudged = self.nudged.filter(|nudged| *nudged >= self.last_life);
    }
}

/// Where a run is, and the processor time that all its processes used. Where processes cannot be looked
/// at (outside of Linux), output alone tells.
fn state_of(watched: &Watched<'_>) -> Option<(PhaseName, Duration)> {
    let state = client::send(watched.run_dir, Request::State).ok()?.state?;
    // The shim has adopted those that left their parents.
    let root = if state.shim > 0 { state.shim } else { state.pid };
    Some((state.phase, Processes::read().cpu_time(root)))
}

/// Tells when files of the run folder change. Where even looking for that fails, the end is still
/// told by the lock, and the looks read what came meanwhile.
fn watch(run_dir: &Path, sender: Sender<Notice>) -> Option<Notices> {
    Notices::of(run_dir, move |_| drop(sender.send(Notice::Grew))).ok()
}

/// What a run used, priced where the agent told no money.
pub fn priced(usage: Usage, prices: Option<crate::domain::usage::Prices>) -> Usage {
    usage.priced(prices)
}
