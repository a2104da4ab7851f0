//! Following an attempt from outside: what its worker says, until its shim has ended.

use std::path::Path;
use std::time::{Duration, Instant};

use super::attempt::{TELL_EVERY, tell_with};
use super::desk::Desk;
use super::launching::kind_of;
use super::listening::{Watched, listen};
use crate::base::failpoint::Point;
use crate::domain::attempt::Outcome;
use crate::domain::plan::Task;
use crate::services::{Error, asking, inside, spending};
use crate::store::attempts::{AttemptRow, Ending};
use crate::store::events::EventFilter;
use crate::sys::agent::{Event, Finding};
use crate::sys::config::resolved::ProviderKind;
use crate::sys::shim::client;

pub(super) fn follow(desk: &Desk, attempt: &AttemptRow, task: &Task, is_new: bool) -> Result<(), Error> {
    let provider = desk.config.providers.get(&attempt.provider);
    let rules = desk.rules(task);
    let watched = Watched {
        name: attempt.id.as_str(),
        run_dir: Path::new(&attempt.run_dir),
        kind: kind_of(provider.map_or(ProviderKind::Command, |provider| provider.kind)),
        wants_answer: false,
        stuck_after: rules.stuck_after_s.map(Duration::from_secs),
    };
    let mut last_told: Option<Instant> = None;
    // Its output is read from the start; what an earlier conductor recorded of it is not told twice.
    let told = || {
        desk.store()?.read(|tx| -> Result<Vec<(String, String)>, Error> {
            let filter = EventFilter { attempt: Some(attempt.id.as_str()), ..EventFilter::default() };
            let events = tx.events_after(0, &filter, usize::MAX >> 1)?;
            Ok(events.into_iter().map(|event| (event.kind, event.text)).collect())
        })
    };
    let mut told_before = if is_new { Vec::new() } else { told()? };
    let mut meter = spending::Meter::new(desk, attempt);
    let heard = listen(&watched, &mut |event| {
        if let Event::Usage(usage) = event {
            meter.note(*usage);
            return;
        }
        if let Some((kind, text, data)) = worth_telling(event, &mut last_told) {
            if let Some(at) = told_before.iter().position(|told| told.0 == kind && told.1 == text) {
                told_before.swap_remove(at);
                return;
            }
            let told = desk.store().and_then(|store| {
                store.write(|tx| -> Result<(), Error> { tell_with(tx, desk, attempt, kind, &text, data) })
            });
            if let Err(error) = told {
                tracing::warn!(attempt = %attempt.id, "{error}");
            }
        }
    })?;
    tracing::debug!(attempt = %attempt.id, "its end is known");
    Point::EndSeen.reach()?;
    if heard.outcome == Outcome::Interrupted {
        client::kill_leftovers(&attempt.id)
            .map_err(|error| Error::system("cannot end what is left of it", error))?;
    }
    if let Some(limit) = &heard.limit {
        asking::cool_down(&desk.session, &desk.project, &attempt.provider, limit)?;
    }
    let usage = heard.report.usage.priced(provider.and_then(|it| it.prices));
    let heard = meter.judged(heard, task);
    desk.store()?.write(|tx| -> Result<(), Error> {
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
        }
        Ok(())
    })?;
    tracing::debug!(attempt = %attempt.id, "its end is recorded");
    Point::EndRecorded.reach()?;
    Ok(())
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
