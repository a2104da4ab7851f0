//! Following an attempt from outside: what its worker says, until its shim has ended.

use std::path::Path;
use std::time::{Duration, Instant};

use super::attempt::{TELL_EVERY, tell_with};
use super::crashing::{self, Passed};
use super::desk::Desk;
use super::launching::kind_of_run;
use super::listening::{Attendant, Sight, Watched, listen};
use crate::base::clock::Time;
use crate::base::failpoint::Point;
use crate::domain::attempt::Outcome;
use crate::domain::health::Patience;
use crate::domain::plan::Task;
use crate::services::{Error, asking, health, inside, nudging, spending, walling};
use crate::store::Tx;
use crate::store::attempts::{AttemptRow, Ending};
use crate::store::events::EventFilter;
use crate::store::health::Vitals;
use crate::sys::agent::{AgentKind, Event, Finding};
use crate::sys::shim::client::{self, Line};
use crate::sys::shim::job::Request;

pub(super) fn follow(
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    is_new: bool,
    line: Option<&Line>,
) -> Result<(), Error> {
    let provider = desk.config.providers.get(&attempt.provider);
    let stuck_after = desk.rules(task).stuck_after_s.map(Duration::from_secs);
    let look = desk.config.health.look;
    let watched = Watched {
        name: attempt.id.as_str(),
        run_dir: Path::new(&attempt.run_dir),
        kind: kind_of_run(provider, Path::new(&attempt.run_dir)),
        wants_answer: false,
        patience: stuck_after.map(|stuck_after| Patience { stuck_after, look }),
        is_new,
        line,
    };
    // Its output is read from the start; what an earlier conductor recorded of it is not told twice.
    let told = || {
        desk.store()?.read(|tx| -> Result<Vec<(String, String)>, Error> {
            let filter = EventFilter { attempt: Some(attempt.id.as_str()), ..EventFilter::default() };
            let events = tx.events_after(0, &filter, usize::MAX >> 1)?;
            Ok(events.into_iter().map(|event| (event.kind, event.text)).collect())
        })
    };
    let mut companion = Companion {
        desk,
        attempt,
        kind: watched.kind,
        meter: spending::Meter::new(desk, attempt),
        last_told: None,
        told_before: if is_new { Vec::new() } else { told()? },
    };
    let heard = listen(&watched, &mut companion)?;
    let meter = companion.meter;
    tracing::info!(attempt = %attempt.id, "its end is known");
    Point::EndSeen.reach()?;
    if heard.outcome == Outcome::Interrupted {
        client::kill_leftovers(&attempt.id)
            .map_err(|error| Error::system("cannot end what is left of it", error))?;
    }
    if let Some(limit) = &heard.limit {
        asking::cool_down(&desk.session, &desk.project, &attempt.provider, limit)?;
    }
    let heard = meter.judged(heard, task);
    let usage = heard.report.usage.priced(provider.and_then(|it| it.prices));
    desk.write(|tx| -> Result<(), Error> {
        // A stop that somebody asked for is recorded as such, whatever the worker made of it.
        let asked = tx
            .attempt(&attempt.id)?
            .is_some_and(|row| row.state == crate::domain::attempt::AttemptState::Stopping);
        let outcome = match heard.outcome {
            Outcome::Submitted => Outcome::Submitted,
            _ if asked => Outcome::Killed,
            // Ended so that another begins: control restart.
            Outcome::Killed => Outcome::Interrupted,
            other => other,
        };
        let ending = Ending {
            outcome,
            reason: heard.reason.as_deref(),
            usage,
            said: heard.report.text.as_deref(),
            session: heard.report.session.as_deref(),
            wall: heard.wall.as_deref(),
        };
        if tx.finish_attempt(&attempt.id, &ending)? {
            spending::settled(tx, desk, attempt)?;
            let was_money = heard.reason.as_deref().is_some_and(|why| why.starts_with("budget: "));
            crashing::weigh(tx, desk, attempt, &Passed { outcome, lived: heard.lived, was_money })?;
        }
        Ok(())
    })?;
    tracing::info!(attempt = %attempt.id, "its end is recorded");
    Point::EndRecorded.reach()?;
    Ok(())
}

/// Who is with a worker while it works: records what it says, what it costs, and whether it lives.
struct Companion<'a> {
    desk: &'a Desk,
    attempt: &'a AttemptRow,
    kind: AgentKind,
    meter: spending::Meter<'a>,
    last_told: Option<Instant>,
    told_before: Vec<(String, String)>,
}

impl Companion<'_> {
    /// Records something, which the work does not depend on.
    fn record(&self, what: impl FnOnce(&Tx<'_>) -> Result<(), Error>) {
        if let Err(error) = self.desk.write(what) {
            tracing::warn!(attempt = %self.attempt.id, "{error}");
        }
    }

    fn vitals(&self) -> Option<Vitals> {
        self.desk.store().and_then(|store| Ok(store.read(|tx| tx.vitals(&self.attempt.id))?)).ok()?
    }
}

impl Attendant for Companion<'_> {
    fn settled(&mut self) {
        if walling::is_walled(&self.desk.config)
            && let Ok(reply) = client::send(Path::new(&self.attempt.run_dir), Request::State)
            && let Some(state) = reply.state
        {
            self.record(|tx| Ok(tx.set_wall(&self.attempt.id, &state.wall)?));
        }
        if !self.desk.is_stopping() {
            self.desk.spares.refill();
        }
    }

    fn hear(&mut self, event: &Event) {
        if let Event::Usage(usage) = event {
            return self.meter.note(*usage);
        }
        let Some((kind, text, data)) = worth_telling(event, &mut self.last_told) else { return };
        if let Some(at) = self.told_before.iter().position(|told| told.0 == kind && told.1 == text) {
            self.told_before.swap_remove(at);
            return;
        }
        let (desk, attempt) = (self.desk, self.attempt);
        self.record(|tx| {
            if kind == "attempt.tool" {
                tx.set_tool(&attempt.id, text.trim_end())?;
            }
            tell_with(tx, desk, attempt, kind, &text, data)
        });
    }

    fn was_nudged(&mut self) -> bool {
        let nudged = self.vitals().and_then(|vitals| vitals.nudged_at);
        let printed = health::last_output(Path::new(&self.attempt.run_dir));
        nudged.is_some_and(|nudged| printed.is_none_or(|printed| printed < nudged))
    }

    fn deeds(&mut self) -> u64 {
        let told = self.desk.store().and_then(|store| Ok(store.read(|tx| tx.count_told(&self.attempt.id))?));
        told.unwrap_or_default()
    }

    fn note(&mut self, seen: Sight) {
        let ago = |length: Duration| {
            let millis = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
            Time::from_millis(Time::now().as_millis().saturating_sub(millis))
        };
        let cpu_ms = u64::try_from(seen.cpu.as_millis()).unwrap_or(u64::MAX);
        let attempt = &self.attempt.id;
        self.record(|tx| Ok(tx.set_vitals(attempt, ago(seen.silent), cpu_ms, seen.nudged.map(ago))?));
    }

    fn nudge(&mut self, silent: Duration) -> Option<()> {
        let text = format!(
            "You have shown no sign of life for {} s. Go on, or end with what you have; else you are stopped and another goes on from your folder.",
            silent.as_secs()
        );
        let nudged = nudging::nudge(&self.desk.session, self.attempt, self.kind, "the conductor", &text);
        // Should it not be told, it is stopped as it would be anyway.
        nudged.map_err(|error| tracing::warn!(attempt = %self.attempt.id, "{error}")).ok().map(drop)
    }
}

/// Which events of a worker are recorded, and as what.
fn worth_telling(event: &Event, last_told: &mut Option<Instant>) -> Option<Told> {
    let (kind, text, always) = match event {
        Event::Text(text) | Event::Progress(text) => ("attempt.said", text.clone(), false),
        Event::Tool { name, target } => {
            ("attempt.tool", format!("{name} {}", target.as_deref().unwrap_or_default()), false)
        }
        Event::ToolRefused(refused) => (
            "attempt.refused",
            format!("{} {}: {}", refused.tool, refused.path.as_deref().unwrap_or_default(), refused.reason),
            true,
        ),
        Event::Limited(limit) => ("attempt.limited", limit.message.clone(), true),
        // It may become a task, so it is kept as a whole.
        Event::Finding(finding) => return Some(of_finding(finding)),
        Event::Warning(text) => ("attempt.warning", text.clone(), true),
        Event::Retrying { why, .. } => ("attempt.retrying", why.clone(), false),
        Event::Usage(_) | Event::Session(_) => return None,
    };
    let now = Instant::now();
    if !always && last_told.is_some_and(|told| now.duration_since(told) < TELL_EVERY) {
        return None;
    }
    *last_told = Some(now);
    let line: String = text.lines().next().unwrap_or_default().chars().take(300).collect();
    Some((kind, line, None))
}

/// Kind, text and facts of an event.
type Told = (&'static str, String, Option<String>);

fn of_finding(finding: &Finding) -> Told {
    let mut text: String = finding.text.trim().chars().take(inside::LONGEST_FINDING).collect();
    if text.is_empty() {
        "it found something, and did not say what".clone_into(&mut text);
    }
    let files: Vec<&String> = finding.files.iter().take(inside::MOST_FILES).collect();
    let data = serde_json::json!({"files": files, "severity": finding.severity});
    ("attempt.finding", text, Some(data.to_string()))
}
