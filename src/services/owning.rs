//! What an attempt owns. It begins with its task's files, grows by what its worker claims, and is
//! without what children of its task own for as long as those are at work.

use crate::base::clock::Time;
use crate::base::ids::{HolderName, PlanId, ProjectId, TaskId};
use crate::base::sorting;
use crate::domain::claim::{Conflict, Held, Holder, HolderKind, Mode};
use crate::domain::conducting::PlanState;
use crate::domain::pattern::Pattern;
use crate::domain::plan::Task;
use crate::domain::task::TaskState;
use crate::services::conductor::continuing;
use crate::services::planning::rows;
use crate::services::{Error, House, Session, claiming, querying};
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::store::plans::TaskRow;
use crate::sys::config::resolved::Isolation;

/// Why a claim ended that its own worker let go of: what lies in it is not the attempt's any more.
pub const LET_GO: &str = "its worker let go of it";

/// An attempt's claims run as long as the attempt; this bound, in seconds, only serves those who
/// read the table.
const CLAIM_TTL_S: i64 = 24 * 3600;

/// The attempt as one who holds claims.
pub fn holder(attempt: &AttemptRow) -> Holder {
    Holder { kind: HolderKind::Attempt, name: HolderName::new(attempt.id.as_str()) }
}

/// When a claim that an attempt is granted now runs out.
pub fn expiry() -> Time {
    Time::now().plus_seconds(CLAIM_TTL_S)
}

/// The task with the files that this attempt at it owns, or owned when it ended. An attempt whose
/// successor took its claims over has what the task began with.
pub fn task_of(tx: &Tx<'_>, attempt: &AttemptRow, task: Task) -> Result<Task, Error> {
    let claims = tx.claims_kept_by(&attempt.project, &attempt.id, LET_GO)?;
    let mut files: Vec<Pattern> =
        claims.into_iter().filter(|claim| claim.mode == Mode::Exclusive).map(|claim| claim.pattern).collect();
    if files.is_empty() {
        return Ok(task);
    }
    // The task's own first and in their order, as they are told to the worker.
    sorting::sort_by_key(&mut files, |file| {
        task.files.iter().position(|own| own == file).unwrap_or(usize::MAX)
    });
    files.dedup();
    Ok(Task { files, ..task })
}

/// Lets go of what a plan that was stopped holds, as far as its work is kept under refs: nothing of it can be lost, and
/// others need not wait for a plan that does not go on. What is judged or lands is claimed again before that.
///
/// In a shared folder, and in an environment, the work lies where others would begin theirs: there it stays claimed.
pub fn leave_stopped(
    tx: &Tx<'_>,
    project: &ProjectId,
    plan: &PlanId,
    isolation: Isolation,
) -> Result<(), Error> {
    if isolation != Isolation::Worktree || tx.plan(plan)?.is_none_or(|row| row.state != PlanState::Stopped) {
        return Ok(());
    }
    for task in tx.task_lights(plan)? {
        let last = match task.state {
            // What lands may have moved its branch already.
            TaskState::Judging | TaskState::Approved | TaskState::Rejected | TaskState::Ready => {
                tx.attempts_at(plan, &task.id)?.pop()
            }
            _ => None,
        };
        let is_kept = |attempt: &AttemptRow| {
            attempt.state.outcome().is_some() && attempt.snapshot.is_some() && attempt.environment.is_none()
        };
        if let Some(attempt) = last.filter(is_kept)
            && !continuing::goes_on(isolation, &attempt)
        {
            tx.release_attempt_claims(project, &attempt.id, "its plan was stopped, and its work is kept")?;
        }
    }
    Ok(())
}

/// Who holds what somebody wants, and what lets it go where that is no other task's end.
pub fn held_by(tx: &Tx<'_>, house: &House, conflict: &Conflict) -> Result<String, Error> {
    let held = &conflict.held;
    let who = held.task.clone().unwrap_or_else(|| held.holder.name.to_string());
    let text = format!("{} is held by {who} since {}", conflict.witness, held.since);
    Ok(match (&held.task, &held.reason) {
        (Some(task), _) => match why_it_stays(tx, house, task)? {
            Some(why) => format!("{text}; {why}"),
            None => text,
        },
        (None, Some(reason)) => format!("{text} ({reason}); it begins when {who} lets go of it"),
        (None, None) => format!("{text}; it begins when {who} lets go of it"),
    })
}

/// What keeps those from letting go who hold what somebody asked for, each once; nothing of those who are at work.
///
/// # Errors
/// The database fails.
pub fn why_they_stay(session: &Session, conflicts: &[Conflict]) -> Result<Vec<String>, Error> {
    session.store()?.read(|tx| {
        let mut found: Vec<String> = Vec::new();
        for task in conflicts.iter().filter_map(|conflict| conflict.held.task.as_deref()) {
            found.extend(why_it_stays(tx, &session.house, task)?.filter(|why| !found.contains(why)));
        }
        Ok(found)
    })
}

/// Why a task's claim is not let go of by itself, and what to do about it: its plan does not go on.
fn why_it_stays(tx: &Tx<'_>, house: &House, task: &str) -> Result<Option<String>, Error> {
    let plan = PlanId::new(task.split_once('/').map_or(task, |(plan, _)| plan));
    let Some(row) = tx.plan(&plan)? else { return Ok(None) };
    let gives_up = format!("kapell cancel {plan} gives it up");
    Ok(match row.state {
        PlanState::Stopped => {
            Some(format!("plan {plan} is stopped: kapell resume {plan} goes on with it, {gives_up}"))
        }
        PlanState::Paused => {
            Some(format!("plan {plan} is paused: kapell resume {plan} lets it go on, {gives_up}"))
        }
        PlanState::Running => {
            let is_conducted = tx.conductor_of(&plan)?.is_some_and(|row| querying::conducts(&row))
                || querying::is_being_started(house, &plan);
            (!is_conducted).then(|| {
                format!("the conductor of plan {plan} died: kapell resume {plan} goes on with it, {gives_up}")
            })
        }
        PlanState::Draft | PlanState::Done | PlanState::Failed => None,
    })
}

/// What children of a task own that are at work, or will be.
pub fn lent(tx: &Tx<'_>, plan: &PlanId, task: &TaskId) -> Result<Vec<(TaskId, Vec<Pattern>)>, Error> {
    let open = open_below(tx, plan, task)?;
    open.into_iter().map(|child| Ok((child.id.clone(), rows::stored_files(&child)?))).collect()
}

/// The tasks at work that a task delegated; where one of these is over, what it delegated itself: a worker that
/// failed leaves its own children behind, and what they do is still the task's.
fn open_below(tx: &Tx<'_>, plan: &PlanId, task: &TaskId) -> Result<Vec<TaskRow>, Error> {
    let mut open = Vec::new();
    for child in tx.children(plan, task)? {
        if is_open(&child) {
            open.push(child);
        } else {
            open.extend(open_below(tx, plan, &child.id)?);
        }
    }
    Ok(open)
}

/// Calls off what was delegated below a task and did not get done: it is done without it.
pub fn do_without(tx: &Tx<'_>, project: &ProjectId, plan: &PlanId, task: &TaskId) -> Result<(), Error> {
    for child in tx.children(plan, task)? {
        do_without(tx, project, plan, &child.id)?;
        if matches!(child.state, TaskState::Failed | TaskState::Blocked) {
            let why = format!("task {task}, which delegated it, landed without it");
            tx.move_task(project, plan, &child.id, TaskState::Cancelled, Some(&why))?;
        }
    }
    Ok(())
}

/// Whether a task is at work or will be.
fn is_open(task: &TaskRow) -> bool {
    task.wanted && !task.state.is_final()
}

/// Whether children of the task are at work: its own work waits for theirs.
pub fn has_open_children(tx: &Tx<'_>, plan: &PlanId, task: &TaskId) -> Result<bool, Error> {
    Ok(!open_below(tx, plan, task)?.is_empty())
}

/// The tasks whose workers delegated this one, the nearest first.
pub fn ancestors(tx: &Tx<'_>, plan: &PlanId, task: &TaskId) -> Result<Vec<TaskId>, Error> {
    let mut found: Vec<TaskId> = Vec::new();
    let mut at = task.clone();
    while let Some(parent) = tx.task(plan, &at)?.and_then(|row| row.parent) {
        found.push(parent.clone());
        at = parent;
    }
    Ok(found)
}

/// The live claims that are in a task's way, as far as they may touch `patterns`: not those of the
/// tasks above it, which lend it what it owns.
pub fn in_the_way(
    tx: &Tx<'_>,
    project: &ProjectId,
    plan: &PlanId,
    task: &TaskId,
    patterns: &[Pattern],
) -> Result<Vec<Held>, Error> {
    let mut held = claiming::near(tx, project, patterns)?;
    let lenders: Vec<String> =
        ancestors(tx, plan, task)?.iter().map(|above| format!("{plan}/{above}")).collect();
    held.retain(|claim| claim.task.as_ref().is_none_or(|task| !lenders.contains(task)));
    Ok(held)
}
