//! What is true of a plan whose conductor cannot go on: a disk is full, a folder refuses, or it hangs itself.

use std::path::Path;

use super::attending::recount_running;
use crate::base::clock::Time;
use crate::domain::conducting;
use crate::domain::task::TaskState;
use crate::services::conductor::lacking::LACKING;
use crate::services::room::{self, Places};
use crate::services::{Error, House};
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::store::conductors::ConductorRow;
use crate::store::plans::TaskRow;
use crate::sys::shim::client;

/// What keeps a living conductor from going on.
#[derive(Debug)]
pub(super) struct Standstill {
    /// Why, in a sentence with what to do.
    pub why: String,
    /// Whether that is something which is lacking.
    pub is_lack: bool,
    /// Whether it is also true that the end of a worker cannot be recorded.
    is_unrecorded: bool,
    /// Whether nobody goes on at all; else those of whom their conductor said so.
    is_total: bool,
    /// The tasks that wait by their conductor's own word, and where they are by the record.
    waiting: Vec<(String, TaskState)>,
}

impl Standstill {
    /// What keeps this conductor, which lives, from going on with its plan.
    pub(super) fn of(tx: &Tx<'_>, house: &House, conductor: &ConductorRow) -> Result<Option<Self>, Error> {
        let place = tx.project(&conductor.project)?.map(|(place, _)| place);
        let places = Places { root: &house.root, place: place.as_deref().map(Path::new) };
        let now = places.lacking();
        let is_total = now.is_some();
        // Little is too little for some, who then say so.
        if let Some(lack) = now.or_else(|| places.full(room::SHORT)) {
            let waiting = tx.told_last(&conductor.plan, LACKING)?;
            if is_total || !waiting.is_empty() {
                let is_unrecorded = lack.stops == room::UNRECORDED;
                return Ok(Some(Self {
                    why: lack.sentence(),
                    is_lack: true,
                    is_unrecorded,
                    is_total,
                    waiting,
                }));
            }
        }
        let why = hanging(conductor).filter(|_| conducting::is_silent(silence(conductor)));
        let hung =
            |why| Self { why, is_lack: false, is_unrecorded: false, is_total: true, waiting: Vec::new() };
        Ok(why.map(hung))
    }

    /// A task of which the worker has ended does not run, nor is it judged or landed, though its conductor cannot
    /// go on with it.
    pub(super) fn mark(&self, task: &mut TaskRow, last: Option<&AttemptRow>) {
        let is_waiting = self.waiting.iter().any(|(id, _)| id == task.id.as_str());
        let stands =
            task.state.is_active() && (is_waiting || self.is_total && task.state == TaskState::Running);
        let is_over = |attempt: &AttemptRow| !client::is_alive(Path::new(&attempt.run_dir));
        if stands && last.is_some_and(is_over) {
            task.state = TaskState::Waiting;
            let unrecorded = if self.is_unrecorded { ", and that cannot be recorded" } else { "" };
            task.reason = Some(format!("nobody works on it{unrecorded}: {}", self.why));
        }
    }

    /// The same of the counts of a plan's tasks, of which so many have a worker that lives.
    pub(super) fn recount(&self, counts: &mut Vec<(TaskState, u64)>, at_work: u64) {
        let count = |state| self.waiting.iter().filter(|(_, found)| *found == state).count() as u64;
        let running = counts.iter().find(|(state, _)| *state == TaskState::Running).map_or(0, |(_, n)| *n);
        let goes_on = if self.is_total { 0 } else { running.saturating_sub(count(TaskState::Running)) };
        recount_running(counts, at_work.max(goes_on));
        for state in [TaskState::Judging, TaskState::Approved, TaskState::Landing] {
            let Some(at) = counts.iter().position(|(known, _)| *known == state) else { continue };
            let moved = count(state).min(counts[at].1);
            counts[at].1 -= moved;
            match counts.iter_mut().find(|(known, _)| *known == TaskState::Waiting) {
                Some((_, waiting)) => *waiting += moved,
                None => counts.push((TaskState::Waiting, moved)),
            }
        }
    }
}

/// Why a living conductor may not go on by itself: it hangs or is suspended, or a clock was set and nothing is known.
pub(super) fn hanging(conductor: &ConductorRow) -> Option<String> {
    let why = conducting::why_stale(silence(conductor))?;
    let pid = conductor.pid;
    Some(format!("its conductor (process {pid}) may not go on, {why}; kapell stop --force ends it"))
}

fn silence(conductor: &ConductorRow) -> i64 {
    Time::now().millis_since(conductor.heartbeat_at)
}

#[cfg(test)]
mod tests {
    use TaskState::{Done, Judging, Landing, Running, Waiting};

    use super::*;

    fn standstill(is_total: bool, waiting: &[(&str, TaskState)]) -> Standstill {
        let waiting = waiting.iter().map(|(id, state)| ((*id).to_owned(), *state)).collect();
        Standstill { why: "full".to_owned(), is_lack: true, is_unrecorded: false, is_total, waiting }
    }

    #[test]
    fn whoever_waits_is_counted_among_those_that_wait() {
        let counts = [(Running, 3), (Judging, 2), (Landing, 1), (Done, 1)];
        let sorted = |mut counts: Vec<(TaskState, u64)>| {
            counts.retain(|(_, n)| *n > 0);
            counts.sort_by_key(|(state, _)| state.as_str());
            counts
        };
        for (is_total, waiting, at_work, expected) in [
            // Nobody but workers that live goes on.
            (true, &[][..], 1, [(Done, 1), (Judging, 2), (Landing, 1), (Running, 1), (Waiting, 2)].to_vec()),
            (
                true,
                &[("a", Judging), ("b", Landing)],
                3,
                [(Done, 1), (Judging, 1), (Running, 3), (Waiting, 2)].to_vec(),
            ),
            // There is some room, and those of whom it was said wait.
            (
                false,
                &[("a", Running)],
                0,
                [(Done, 1), (Judging, 2), (Landing, 1), (Running, 2), (Waiting, 1)].to_vec(),
            ),
            (
                false,
                &[("a", Judging)],
                0,
                [(Done, 1), (Judging, 1), (Landing, 1), (Running, 3), (Waiting, 1)].to_vec(),
            ),
        ] {
            let mut counted = counts.to_vec();
            standstill(is_total, waiting).recount(&mut counted, at_work);
            assert_eq!(sorted(counted), expected, "{is_total} {waiting:?} {at_work}");
        }
    }
}
