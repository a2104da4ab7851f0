//! Taking up what an earlier conductor left, from what is recorded and what is there.

use std::path::Path;

use super::attempt::Stage;
use super::desk::Desk;
use crate::base::ids::TaskId;
use crate::domain::attempt::Outcome;
use crate::domain::task::TaskState;
use crate::services::{Error, owning};
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::sys::shim::client;

/// The attempts that somebody was at work on, and where to take each up.
pub fn unfinished(desk: &Desk) -> Result<Vec<(AttemptRow, Stage)>, Error> {
    desk.store()?.read(|tx| -> Result<_, Error> {
        let mut found = Vec::new();
        for task in tx.task_lights(&desk.plan_id)? {
            found.extend(stage_of(tx, desk, &task.id, task.state)?);
        }
        Ok(found)
    })
}

/// The last attempt at a task and where to take it up; `None` if nobody is at work on the task.
pub fn stage(desk: &Desk, task: &TaskId) -> Result<Option<(AttemptRow, Stage)>, Error> {
    desk.store()?.read(|tx| match tx.task(&desk.plan_id, task)? {
        Some(row) => stage_of(tx, desk, task, row.state),
        None => Ok(None),
    })
}

fn stage_of(
    tx: &Tx<'_>,
    desk: &Desk,
    task: &TaskId,
    state: TaskState,
) -> Result<Option<(AttemptRow, Stage)>, Error> {
    let Some(attempt) = tx.attempts_at(&desk.plan_id, task)?.pop() else { return Ok(None) };
    let outcome = attempt.state.outcome();
    // The worker of a task that was called off may live on, with nobody to end it.
    if !state.is_active() && outcome.is_some() {
        return Ok(None);
    }
    let stage = match (state, outcome) {
        (_, None) if !client::was_started(Path::new(&attempt.run_dir)) => Stage::Launch,
        (_, None) => Stage::Follow,
        // Saved, and waiting for what its children do.
        (TaskState::Running, Some(Outcome::Submitted))
            if attempt.snapshot.is_some() && owning::has_open_children(tx, &desk.plan_id, task)? =>
        {
            return Ok(None);
        }
        (TaskState::Running, Some(_)) => Stage::Save,
        (TaskState::Judging, _) => Stage::Judge,
        _ => Stage::Land,
    };
    Ok(Some((attempt, stage)))
}
