//! A plan that is at work already, itself or one of the same tasks: who runs it.

use super::Dispatched;
use crate::base::ids::PlanId;
use crate::domain::conducting::PlanState;
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, Session, planning, querying};
use crate::store::Tx;
use crate::store::conductors::ConductorRow;
use crate::store::plans::{PlanRow, TaskRow};
use crate::sys::process::life;

/// Another plan of the same name and tasks that is at work, or being started.
pub(super) fn twin_at_work(
    session: &Session,
    tx: &Tx<'_>,
    row: &PlanRow,
    tasks: &[TaskRow],
) -> Result<Option<PlanRow>, Error> {
    let own = tasks.iter().filter(|task| task.parent.is_none());
    let own: Vec<&str> = own.map(|task| task.document.as_str()).collect();
    let is_at_work = |twin: &PlanRow| -> Result<bool, Error> {
        if twin.id == row.id || !matches!(twin.state, PlanState::Running | PlanState::Paused) {
            return Ok(false);
        }
        let conductor = tx.conductor_of(&twin.id)?;
        Ok(conductor.is_some_and(|it| querying::is_alive(&it))
            || life::is_held(&querying::starting_file(&session.house, &twin.id)))
    };
    planning::twin_where(tx, &row.project, (&row.name, &row.document, &own), &is_at_work)
}

/// Says of a plan that is at work, itself or with the same tasks, who runs it.
pub(super) fn refuse(session: &Session, plan: &PlanId, other: &PlanRow) -> Result<Dispatched, Error> {
    let id = &other.id;
    let Some(conductor) = super::await_conductor(session, id)? else {
        let what = format!("plan {id} is being started by somebody else at this moment");
        return Err(Refusal::new(Code::DuplicatePlan, what, "ask status about it").into());
    };
    if id == plan {
        return Err(duplicate(id, &conductor, other.state).into());
    }
    let (by, pid) = (&conductor.id, conductor.pid);
    let (does, hint) = match other.state {
        PlanState::Paused => ("is paused", format!("kapell resume {id} lets it go on")),
        _ => ("runs already", format!("kapell status --scope plan --id {id} --watch follows it")),
    };
    let what = format!("plan {id} has the same tasks and {does}, by conductor {by} (process {pid})");
    let refusal = Refusal::new(Code::DuplicatePlan, what, hint).with("plan", id);
    Err(refusal.with("conductor", by).with("pid", pid).into())
}

pub(super) fn duplicate(plan: &PlanId, conductor: &ConductorRow, state: PlanState) -> Refusal {
    let by = format!("conductor {} (process {})", conductor.id, conductor.pid);
    let (what, hint) = match state {
        PlanState::Paused => {
            (format!("plan {plan} is paused, by {by}"), format!("kapell resume {plan} lets it go on"))
        }
        _ => (
            format!("plan {plan} runs already, by {by}"),
            "follow it with status, or stop it first with control".to_owned(),
        ),
    };
    Refusal::new(Code::DuplicatePlan, what, hint).with("conductor", &conductor.id).with("pid", conductor.pid)
}
