//! Claiming again what a stopped plan let go of, before work that is kept is judged and lands.

use super::attempt::Stage;
use super::desk::Desk;
use crate::base::ids::TaskId;
use crate::domain::claim::{self, Decision, Held, HolderKind, Mode};
use crate::domain::task::TaskState;
use crate::services::claiming::leaving;
use crate::services::{Error, approving, owning};
use crate::store::attempts::AttemptRow;
use crate::sys::process::life;

/// Whether an attempt that is to be carried on from there holds what it owns. Where it was let go of it is claimed
/// again, as soon as nobody else has it; until then the task says for whom it waits.
pub fn holds(desk: &Desk, attempt: &AttemptRow, stage: Stage) -> Result<bool, Error> {
    if !matches!(stage, Stage::Judge | Stage::Land) || desk.is_stopping() {
        return Ok(true);
    }
    let (project, id) = (&desk.project, TaskId::text(&attempt.task));
    let holder = owning::holder(attempt);
    let planned = desk.task(&id)?;
    // Their conductors see to what attempts hold; what the others hold ends with them.
    let is_kept = |held: &Held| {
        held.holder.kind == HolderKind::Attempt || held.alive.as_deref().is_some_and(life::holds)
    };
    let (is_due, files, why) = desk.store()?.read(|tx| -> Result<_, Error> {
        let files = owning::task_of(tx, attempt, planned)?.files;
        let row = tx.task(&desk.plan_id, &id)?;
        let is_due = !files.is_empty()
            && row.as_ref().is_some_and(|row| matches!(row.state, TaskState::Judging | TaskState::Approved))
            && tx.claims_of(&project.id, &holder)?.is_empty();
        if !is_due {
            return Ok((false, files, None));
        }
        let near = owning::in_the_way(tx, &project.id, &desk.plan_id, &id, &files)?;
        let decided = claim::decide(&files, Mode::Exclusive, &holder, &near, &|path| project.is_file(path));
        let why = match decided {
            // What the dead hold is looked at below.
            Decision::Refuse(conflicts) if conflicts.iter().all(|it| is_kept(&it.held)) => {
                let first = conflicts.first().map(|it| owning::held_by(tx, &desk.session.house, it));
                let why = first.transpose()?.map(|on| format!("claim: {on}"));
                why.map(|why| (row.and_then(|row| row.reason).as_ref() == Some(&why), why))
            }
            _ => None,
        };
        Ok((true, files, why))
    })?;
    if !is_due {
        return Ok(true);
    }
    if let Some((is_told, why)) = why {
        if !is_told {
            desk.write(|tx| desk.give_reason(tx, &id, &why))?;
        }
        return Ok(false);
    }
    let kept = leaving::keep(&desk.session.house, project, &files)?;
    desk.write(|tx| -> Result<bool, Error> {
        let conflict = approving::hold(tx, project, attempt, &files, &kept, "its plan goes on")?;
        let why = match &conflict {
            Some(conflict) => Some(format!("claim: {}", owning::held_by(tx, &desk.session.house, conflict)?)),
            None => None,
        };
        let before = tx.task(&desk.plan_id, &id)?.and_then(|row| row.reason);
        if why != before && (why.is_some() || before.is_some_and(|why| why.starts_with("claim: "))) {
            match &why {
                Some(why) => desk.give_reason(tx, &id, why)?,
                None => tx.set_task_reason(&desk.plan_id, &id, None)?,
            }
        }
        Ok(conflict.is_none())
    })
}
