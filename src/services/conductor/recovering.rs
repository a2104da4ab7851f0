//! Taking up what an earlier conductor left, from what is recorded and what is there.

use std::path::Path;

use super::attempt::Stage;
use super::desk::Desk;
use crate::domain::task::TaskState;
use crate::services::Error;
use crate::store::attempts::AttemptRow;
use crate::sys::shim::client;

/// The attempts that somebody was at work on, and where to take each up.
pub fn unfinished(desk: &Desk) -> Result<Vec<(AttemptRow, Stage)>, Error> {
    desk.store()?.read(|tx| -> Result<_, Error> {
        let mut found = Vec::new();
        for task in tx.tasks(&desk.plan_id, -1, usize::MAX >> 1)? {
            if !task.state.is_active() {
                continue;
            }
            let Some(attempt) = tx.attempts_at(&desk.plan_id, &task.id)?.pop() else { continue };
            let stage = match (task.state, attempt.state.outcome()) {
                (TaskState::Running, None) if !client::was_started(Path::new(&attempt.run_dir)) => {
                    Stage::Launch
                }
                (TaskState::Running, None) => Stage::Follow,
                (TaskState::Running, Some(_)) => Stage::Save,
                (TaskState::Judging, _) => Stage::Judge,
                _ => Stage::Land,
            };
            found.push((attempt, stage));
        }
        Ok(found)
    })
}
