//! Resuming what would only come to the same end again, and what is said of that and of a pause.

use super::{are, refuse};
use crate::domain::attempt::AttemptState;
use crate::domain::conducting::PlanState;
use crate::domain::pipeline::{self, Conclusion};
use crate::domain::refusal::Code;
use crate::domain::task::TaskState;
use crate::services::conductor::stages::WAITS_FOR_APPROVAL;
use crate::services::pipelines::facts;
use crate::services::{Error, Session};
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::store::plans::{PlanRow, TaskLight};

/// Refuses to have a plan go on of which nothing is open: a conductor would only find again how it ended. What
/// failed or was refused is tried again when somebody says so.
pub(super) fn refuse_in_vain(session: &Session, plan: &PlanRow) -> Result<(), Error> {
    let found = match plan.state {
        PlanState::Failed => session.store()?.read(|tx| lost(tx, plan))?,
        _ => None,
    };
    let Some((why, retry)) = found else { return Ok(()) };
    let id = &plan.id;
    Err(refuse(Code::Conflict, format!("nothing of plan {id} is open: {why}"), retry))
}

/// What is said of a plan that is resumed.
pub(super) fn told(plan: &PlanRow) -> String {
    let asks = plan.reason.as_ref().and_then(|why| why.strip_prefix(WAITS_FOR_APPROVAL));
    match asks.filter(|_| plan.state == PlanState::Paused) {
        // A person's word is what it waits for, and this is not that.
        Some(what) => format!("it asks again: {what}"),
        None => "it goes on".to_owned(),
    }
}

/// What of a plan that failed came to no good end, if nothing else of it can go on, and what tries it again.
fn lost(tx: &Tx<'_>, plan: &PlanRow) -> Result<Option<(String, String)>, Error> {
    let id = &plan.id;
    let tasks = tx.task_lights(id)?;
    let is_lost = |task: &&TaskLight| matches!(task.state, TaskState::Failed | TaskState::Blocked);
    let is_open = |task: &TaskLight| !is_lost(&task) && !task.state.is_final();
    if tasks.iter().any(|task| task.wanted && is_open(task)) {
        return Ok(None);
    }
    if let Some(facts) = facts::of(tx, id)? {
        let conclusion = pipeline::conclusion(&facts.machine, &facts.now, &facts.seats);
        let Some(Conclusion::Failed(at)) = conclusion else { return Ok(None) };
        let stage = &facts.rows[at];
        let why = stage.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        let why = format!("stage {} is {}{why}", stage.name, stage.state.as_str());
        return Ok(Some((why, format!("kapell retry {id}/{} has it begin or ask again", stage.name))));
    }
    // What was only held up by another explains less.
    let failed = tasks.iter().filter(|task| task.wanted).filter(is_lost);
    let first = failed.min_by_key(|task| task.state != TaskState::Failed);
    Ok(first.map(|task| {
        let why = task.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        let why = format!("task {} is {}{why}", task.id, task.state.as_str());
        (why, format!("kapell retry {id} tries again what failed"))
    }))
}

/// What is said of workers at a pause: with force all are suspended, else who was before goes on being so.
pub(super) fn paused(live: &[AttemptRow], force: bool) -> String {
    let suspended = live.iter().filter(|attempt| force || attempt.state == AttemptState::Paused).count();
    let going = match live.len() - suspended {
        1 => ", 1 worker finishes what it does".to_owned(),
        0 if force || suspended > 0 => String::new(),
        going => format!(", {going} workers finish what they do"),
    };
    let suspended =
        if force || suspended > 0 { format!(", {} suspended", are(suspended)) } else { String::new() };
    format!("nothing new starts{going}{suspended}")
}
