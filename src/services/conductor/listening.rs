//! Following a running attempt: what it says, whether it lives, how it ends.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::clock::Time;
use crate::base::notices::Notices;
use crate::domain::attempt::Outcome;
use crate::domain::usage::Usage;
use crate::services::Error;
use crate::sys::agent::{AgentKind, End, Ending, Event, Limit, MAX_LINE, Reader, Report};
use crate::sys::process::tree::Processes;
use crate::sys::shim::client::{self, Ended};
use crate::sys::shim::job::{Cause, Request};
use crate::sys::shim::output::Lines;

/// A limited agent that goes on retrying is ended after this long; CLIS.md measured retry
/// storms of minutes (Claude Code, 10 retries) and without end (opencode).
const RETRY_PATIENCE: Duration = Duration::from_secs(45);
/// An agent that does not count its tries itself has this many in a row. opencode asks again for
/// ever, several times a second, when an answer breaks off, and every request costs.
const MOST_RETRIES: u32 = 10;
/// Less processor time than this between two looks is no sign of life.
const LIFE_CPU: Duration = Duration::from_millis(200);
/// An attempt whose life is not limited is still looked at this often.
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
    pub stuck_after: Option<Duration>,
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
}

enum Notice {
    Grew,
    Ended(Ended),
}

/// Follows a run to its end. `tell` gets every event as it is read, from the first line on
/// also when an earlier conductor read it before.
pub fn listen(watched: &Watched<'_>, tell: &mut dyn FnMut(&Event)) -> Result<Heard, Error> {
    let (sender, notices) = channel();
    let _notices = watch(watched.run_dir, sender.clone());
    let run_dir: PathBuf = watched.run_dir.to_owned();
    thread::Builder::new()
        .name("kapell-wait".to_owned())
        .spawn(move || {
            // A run that cannot even be asked about has nobody who minds it.
            let ended = client::wait(&run_dir).unwrap_or(Ended::Vanished);
            let _ = sender.send(Notice::Ended(ended));
        })
        .map_err(|error| Error::system("cannot start a thread", error))?;
    let mut ear = Ear::new(watched);
    let ended = ear.until_end(watched, &notices, tell);
    Ok(ear.conclude(watched, ended, tell))
}

struct Ear {
    reader: Reader,
    stdout: Lines,
    stderr: Lines,
    last_life: Instant,
    last_cpu: Duration,
    /// The limit that the agent runs into, and since when; nothing once it has got past it.
    limited: Option<(Instant, Limit)>,
    /// What we ended it for.
    cut: Option<(Outcome, String)>,
}

impl Ear {
    fn new(watched: &Watched<'_>) -> Self {
        let reader = Reader::new(watched.kind, Time::now());
        Self {
            reader: if watched.wants_answer { reader.wanting_answer() } else { reader },
            stdout: Lines::new(&watched.run_dir.join("stdout"), MAX_LINE),
            stderr: Lines::new(&watched.run_dir.join("stderr"), MAX_LINE),
            last_life: Instant::now(),
            last_cpu: Duration::ZERO,
            limited: None,
            cut: None,
        }
    }

    fn until_end(
        &mut self,
        watched: &Watched<'_>,
        notices: &Receiver<Notice>,
        tell: &mut dyn FnMut(&Event),
    ) -> Ended {
        loop {
            self.read(watched, tell);
            let deadline = self.deadline(watched);
            match notices.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Notice::Ended(ended)) => return ended,
                Ok(Notice::Grew) => {}
                Err(RecvTimeoutError::Timeout) => self.look(watched),
                Err(RecvTimeoutError::Disconnected) => return Ended::Vanished,
            }
        }
    }

    fn deadline(&self, watched: &Watched<'_>) -> Instant {
        let mut deadline = Instant::now() + LOOK;
        if self.cut.is_none() {
            if let Some(stuck_after) = watched.stuck_after {
                deadline = deadline.min(self.last_life + stuck_after);
            }
            if let Some((since, _)) = &self.limited {
                deadline = deadline.min(*since + RETRY_PATIENCE);
            }
        }
        deadline
    }

    fn read(&mut self, watched: &Watched<'_>, tell: &mut dyn FnMut(&Event)) {
        let mut events = Vec::new();
        self.reader.now_is(Time::now());
        let reader = &mut self.reader;
        // A file that cannot be read now may be read later; the end is told by the lock in any case.
        let out = self.stdout.read(&mut |line, cut| events.extend(reader.stdout(line, cut))).unwrap_or(0);
        let err = self.stderr.read(&mut |line, _| events.extend(reader.stderr(line))).unwrap_or(0);
        if out + err > 0 {
            self.last_life = Instant::now();
        }
        for event in &events {
            self.weigh(watched, event);
            tell(event);
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

    fn look(&mut self, watched: &Watched<'_>) {
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
        let Some(stuck_after) = watched.stuck_after else { return };
        let state = client::send(watched.run_dir, Request::State).ok().and_then(|reply| reply.state);
        if let Some(state) = state {
            let cpu = Processes::read().cpu_time(state.pid);
            let is_paused = state.phase == crate::sys::shim::job::PhaseName::Paused;
            if is_paused || cpu.saturating_sub(self.last_cpu) >= LIFE_CPU {
                self.last_life = Instant::now();
            }
            self.last_cpu = cpu;
        }
        if self.last_life.elapsed() >= stuck_after {
            let seconds = stuck_after.as_secs();
            self.end(watched, Outcome::Stuck, format!("no output and no work for {seconds} s"));
        }
    }

    fn end(&mut self, watched: &Watched<'_>, outcome: Outcome, why: String) {
        if self.cut.is_none() {
            self.cut = Some((outcome, why));
            // Should the shim be gone already, the wait tells so.
            let _ = client::send(watched.run_dir, Request::Stop { grace_ms: None });
        }
    }

    fn conclude(mut self, watched: &Watched<'_>, ended: Ended, tell: &mut dyn FnMut(&Event)) -> Heard {
        self.read(watched, tell);
        let mut events = Vec::new();
        let reader = &mut self.reader;
        let _ = self.stdout.finish(&mut |line, cut| events.extend(reader.stdout(line, cut)));
        let _ = self.stderr.finish(&mut |line, _| events.extend(reader.stderr(line)));
        events.iter().for_each(tell);
        let exit = match ended {
            Ended::Exit(exit) => exit,
            Ended::Vanished => {
                let report = self.reader.finish(&End { stopped_by_us: true, ..End::default() });
                let reason = Some("its shim died under it".to_owned());
                return Heard { outcome: Outcome::Interrupted, reason, report, limit: None, wall: None };
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
        Heard { outcome, reason, report, limit, wall: Some(exit.wall) }
    }
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
