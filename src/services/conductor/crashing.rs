//! Workers that only crash: what the end of an attempt means for whoever did it.

use std::time::Duration;

use super::desk::Desk;
use crate::base::clock::Time;
use crate::base::ids::WorkerName;
use crate::domain::attempt::Outcome;
use crate::domain::health::Verdict;
use crate::services::Error;
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::store::health::Quarantine;

/// How an attempt went, as far as its worker is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it lived; by the clock, where that was not recorded.
    pub lived: Option<Duration>,
    /// A budget ended it.
    pub was_money: bool,
}

/// Records what the end of an attempt means for its worker. One that crashes again and again gets
/// nothing more for a while.
pub fn weigh(tx: &Tx<'_>, desk: &Desk, attempt: &AttemptRow, passed: &Passed) -> Result<(), Error> {
    let (project, worker) = (&desk.project.id, &attempt.worker);
    let rule = desk.config.health.crashes;
    let now = Time::now();
    let by_clock = Duration::from_millis(now.millis_since(attempt.started_at).unsigned_abs());
    let before = tx.crash_record(project, worker)?;
    if tx.quarantines(project, now)?.iter().any(|other| other.worker == *worker) {
        // What began before ends after. If it went well, whatever was wrong is over; else all is said.
        if passed.outcome == Outcome::Submitted {
            tx.release_worker(project, worker, "it did a task meanwhile", true)?;
        }
        return Ok(());
    }
    match rule.weigh(before, passed.outcome, passed.lived.unwrap_or(by_clock), passed.was_money) {
        Verdict::Same => {}
        Verdict::Remember(record) => tx.set_crash_record(project, worker, record)?,
        Verdict::Quarantine(record, rest) => {
            tx.set_crash_record(project, worker, record)?;
            let last = tx.attempt(&attempt.id)?.and_then(|row| row.reason);
            let last = last.unwrap_or_else(|| passed.outcome.as_str().to_owned());
            let last: String = last.lines().next().unwrap_or_default().chars().take(200).collect();
            let within = rule.within.as_secs();
            tx.quarantine(
                project,
                &Quarantine {
                    worker: worker.clone(),
                    since: now,
                    until: now.plus_seconds(i64::try_from(rest.as_secs()).unwrap_or(i64::MAX)),
                    reason: match (before.quarantines, rule.crashes) {
                        (0, 2..) => format!(
                            "{} attempts in a row failed within {within} s, the last: {last}",
                            rule.crashes
                        ),
                        (0, _) => format!("its attempt failed within {within} s: {last}"),
                        _ => format!("it got a task again, which failed within {within} s: {last}"),
                    },
                },
            )?;
        }
    }
    Ok(())
}

/// Notes that a worker whose quarantine is over gets something again.
pub fn try_again(tx: &Tx<'_>, desk: &Desk, worker: &WorkerName) -> Result<(), Error> {
    tx.release_worker(&desk.project.id, worker, "its time is over", false)?;
    Ok(())
}
