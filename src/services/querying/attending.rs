//! What is true of tasks while nobody attends to them: what was recorded last was said by a conductor that has ended,
//! waits, or cannot write.

use std::path::Path;

use super::{conducts, paused, stopped};
use crate::base::clock::Time;
use crate::base::ids::{PlanId, ProviderName};
use crate::domain::attempt::AttemptState;
use crate::domain::claim::{self, Mode};
use crate::domain::conducting::PlanState;
use crate::domain::task::TaskState;
use crate::services::planning::rows;
use crate::services::project::Project;
use crate::services::{Error, House, claiming, owning};
use crate::store::Tx;
use crate::store::attempts::{AttemptRow, Occupant};
use crate::store::plans::{PlanRow, TaskRow};
use crate::sys::shim::client;

/// How many workers of a plan live.
pub(super) fn at_work(tx: &Tx<'_>, plan: &PlanId) -> Result<u64, Error> {
    let live = tx.live_attempts(plan)?;
    Ok(live.iter().filter(|attempt| client::is_alive(Path::new(&attempt.run_dir))).count() as u64)
}

/// Whether an attempt has neither a shim nor a conductor.
///
/// # Errors
/// The database fails.
pub fn is_unattended(tx: &Tx<'_>, attempt: &AttemptRow) -> Result<bool, Error> {
    if client::is_alive(Path::new(&attempt.run_dir)) {
        return Ok(false);
    }
    Ok(!tx.conductor_of(&attempt.plan)?.is_some_and(|conductor| conducts(&conductor)))
}

/// The attempts of all projects that take a seat. Nobody waits for one whose worker and conductor are both gone: it
/// does nothing, and its plan may never go on.
///
/// # Errors
/// The database fails.
pub fn seated(tx: &Tx<'_>) -> Result<Vec<AttemptRow>, Error> {
    let mut seated = Vec::new();
    for attempt in tx.all_live_attempts()? {
        if !is_unattended(tx, &attempt)? {
            seated.push(attempt);
        }
    }
    Ok(seated)
}

/// Whether a plan that should go on has nobody who conducts it: its conductor died, and it stands as one that was
/// stopped.
///
/// # Errors
/// The database fails.
pub fn is_deserted(tx: &Tx<'_>, plan: &PlanId) -> Result<bool, Error> {
    let is_running = tx.plan(plan)?.is_some_and(|row| row.state == PlanState::Running);
    Ok(is_running && !tx.conductor_of(plan)?.is_some_and(|conductor| conducts(&conductor)))
}

/// What is said where money stays set aside for attempts whose worker and conductor are gone: what they spent is known
/// when somebody takes them up.
///
/// # Errors
/// The database fails.
pub fn set_aside_for_the_dead(
    tx: &Tx<'_>,
    provider: &ProviderName,
    plan: Option<&PlanId>,
) -> Result<Option<String>, Error> {
    for attempt in tx.all_live_attempts()? {
        let is_of_it = attempt.provider == *provider || plan == Some(&attempt.plan);
        if is_of_it && is_unattended(tx, &attempt)? {
            let AttemptRow { plan, task, .. } = attempt;
            return Ok(Some(format!(
                "some is set aside for {plan}/{task}, whose worker and conductor are gone: kapell resume {plan} or \
                 kapell stop {plan} --force settles it"
            )));
        }
    }
    Ok(None)
}

/// What is said where an environment stays taken by an attempt whose worker and conductor are gone, and what frees it:
/// what it did there is saved first, so nothing else may begin in it. None while somebody attends to it.
///
/// # Errors
/// The database fails.
pub fn occupied_by_the_dead(tx: &Tx<'_>, occupant: &Occupant) -> Result<Option<[String; 2]>, Error> {
    let attempt = tx.attempt(&occupant.attempt)?;
    if !attempt.map_or(Ok(false), |attempt| is_unattended(tx, &attempt))? {
        return Ok(None);
    }
    let Occupant { plan, task, .. } = occupant;
    Ok(Some([
        format!("is taken by {plan}/{task}, whose worker and conductor are gone"),
        format!("kapell resume {plan} or kapell cancel {plan}/{task} saves what it did there and frees it"),
    ]))
}

/// How many of those are suspended.
pub(super) fn suspended(tx: &Tx<'_>, plan: &PlanId) -> Result<u64, Error> {
    let live = tx.live_attempts(plan)?;
    let is_suspended = |attempt: &&AttemptRow| {
        attempt.state == AttemptState::Paused && client::is_alive(Path::new(&attempt.run_dir))
    };
    Ok(live.iter().filter(is_suspended).count() as u64)
}

/// What is said of a plan whose conductor died, by how many of its workers live and are suspended.
pub(super) fn orphaned(at_work: u64, suspended: u64) -> String {
    let going = at_work.saturating_sub(suspended);
    let going = match going {
        0 => None,
        1 => Some("1 worker goes on".to_owned()),
        n => Some(format!("{n} workers go on")),
    };
    let suspended = match suspended {
        0 => None,
        1 => Some("1 worker is suspended".to_owned()),
        n => Some(format!("{n} workers are suspended")),
    };
    let workers: Vec<String> = [going, suspended].into_iter().flatten().collect();
    match (workers.is_empty(), at_work) {
        (true, _) => "its conductor died; dispatch it again to go on".to_owned(),
        (_, 1) => format!("its conductor died, {}; dispatch it again to take it up", workers.join(", ")),
        _ => format!("its conductor died, {}; dispatch it again to take them up", workers.join(", ")),
    }
}

/// Whether somebody is to be at work on a task in that state: its worker, or its conductor.
pub(super) fn is_in_hand(state: TaskState) -> bool {
    matches!(state, TaskState::Running | TaskState::Judging | TaskState::Landing)
}

/// A task whose worker has ended while nobody conducts its plan neither runs nor is judged, whatever was
/// recorded last.
pub(super) fn mark_unattended(task: &mut TaskRow, last: Option<&AttemptRow>) {
    let is_dead = |attempt: &AttemptRow| !client::is_alive(Path::new(&attempt.run_dir));
    let why = match task.state {
        TaskState::Running => "its worker has ended and its conductor died",
        TaskState::Judging => "nobody judges it, its conductor has ended",
        TaskState::Landing => "nobody lands it, its conductor has ended",
        _ => return,
    };
    if last.is_some_and(is_dead) {
        task.state = TaskState::Waiting;
        task.reason = Some(format!("{why}: dispatch the plan again to go on"));
    }
}

/// What a conductor noted of why a task does not begin, which nobody looks at again while it conducts nothing.
const NOTED: [&str; 6] = ["slot: ", "claim: ", "memory: ", "load: ", "rate-limit: ", "unhealthy: "];

/// A task of a plan that does not go on waits for nothing but that, whatever it waited for when it still did.
pub(super) fn mark_halted(task: &mut TaskRow, plan: &PlanRow, is_conducted: bool) {
    let is_noted = |why: &String| NOTED.iter().any(|noted| why.starts_with(noted));
    let is_open = matches!(task.state, TaskState::Waiting | TaskState::Ready | TaskState::Rejected);
    if !is_open || !task.reason.as_ref().is_some_and(is_noted) {
        return;
    }
    let halted = match plan.state {
        PlanState::Paused => Some(paused(&plan.id)),
        _ if !is_conducted => Some(stopped(&plan.id)),
        _ => None,
    };
    if let Some((reason, on)) = halted {
        task.reason = Some(format!("{reason}: {on}"));
    }
}

/// A task that waits for files says who holds them now: who held them, or asked for them first, when its conductor
/// looked may have lost them to somebody else since.
pub(super) fn mark_claimed(
    tx: &Tx<'_>,
    (house, project): (&House, &Project),
    plan: &PlanId,
    task: &mut TaskRow,
) -> Result<(), Error> {
    let is_claimed = task.reason.as_ref().is_some_and(|why| why.starts_with("claim: "));
    if !is_claimed || !matches!(task.state, TaskState::Ready | TaskState::Rejected) {
        return Ok(());
    }
    let files = rows::stored_files(task)?;
    let mut held = owning::in_the_way(tx, &project.id, plan, &task.id, &files)?;
    let own = format!("{plan}/{}", task.id);
    let now = Time::now();
    held.retain(|claim| claim.task.as_ref() != Some(&own) && !claiming::is_gone(claim, now));
    let meets = claim::touching(&files, &held, &|path| project.is_file(path));
    if let Some(conflict) = meets.iter().find(|it| claim::excludes(Mode::Exclusive, it.held.mode)) {
        task.reason = Some(format!("claim: {}", owning::held_by(tx, house, conflict)?));
    }
    Ok(())
}

/// As many tasks run as there are workers; the others wait.
pub(super) fn recount_running(counts: &mut Vec<(TaskState, u64)>, at_work: u64) {
    let find = |counts: &[(TaskState, u64)], state| counts.iter().position(|(known, _)| *known == state);
    let Some(running) = find(counts, TaskState::Running) else { return };
    let unattended = counts[running].1.saturating_sub(at_work);
    counts[running].1 -= unattended;
    match find(counts, TaskState::Waiting) {
        Some(waiting) => counts[waiting].1 += unattended,
        None => counts.push((TaskState::Waiting, unattended)),
    }
}

/// The same, and none is judged or lands.
pub(super) fn recount(counts: &mut Vec<(TaskState, u64)>, at_work: u64) {
    let mut count = |state: TaskState| match counts.iter().position(|(known, _)| *known == state) {
        Some(at) => at,
        None => {
            counts.push((state, 0));
            counts.len() - 1
        }
    };
    let [judging, landing, waiting] =
        [TaskState::Judging, TaskState::Landing, TaskState::Waiting].map(&mut count);
    let unlooked = std::mem::take(&mut counts[judging].1) + std::mem::take(&mut counts[landing].1);
    counts[waiting].1 += unlooked;
    recount_running(counts, at_work);
}

#[cfg(test)]
mod tests {
    use super::orphaned;

    #[test]
    fn workers_that_are_suspended_do_not_go_on() {
        for (at_work, suspended, says) in [
            (0, 0, "its conductor died; dispatch it again to go on"),
            (1, 0, "its conductor died, 1 worker goes on; dispatch it again to take it up"),
            (1, 1, "its conductor died, 1 worker is suspended; dispatch it again to take it up"),
            (
                3,
                1,
                "its conductor died, 2 workers go on, 1 worker is suspended; dispatch it again to take them up",
            ),
            (2, 2, "its conductor died, 2 workers are suspended; dispatch it again to take them up"),
        ] {
            assert_eq!(orphaned(at_work, suspended), says);
        }
    }
}
