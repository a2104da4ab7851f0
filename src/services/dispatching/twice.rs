//! A plan that is at work already, itself or one of the same tasks: who runs it.

use super::{Dispatched, What, Wish};
use crate::base::ids::PlanId;
use crate::domain::conducting::PlanState;
use crate::domain::refusal::{Code, Refusal};
use crate::services::project::Project;
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
        Ok(match twin.state {
            _ if twin.id == row.id => false,
            // Also where its conductor died: its workers may live, and hold what this one wants.
            PlanState::Running => true,
            PlanState::Paused => is_conducted_by(session, twin, tx.conductor_of(&twin.id)?),
            _ => false,
        })
    };
    planning::twin_where(tx, &row.project, (&row.name, &row.document, &own), &is_at_work)
}

/// Whether a plan's conductor lives, or is being started.
pub(super) fn is_conducted(session: &Session, plan: &PlanRow) -> Result<bool, Error> {
    let conductor = session.store()?.read(|tx| tx.conductor_of(&plan.id))?;
    Ok(is_conducted_by(session, plan, conductor))
}

fn is_conducted_by(session: &Session, plan: &PlanRow, conductor: Option<ConductorRow>) -> bool {
    conductor.is_some_and(|it| querying::is_alive(&it))
        || life::is_held(&querying::starting_file(&session.house, &plan.id))
}

/// Goes on with a plan of the same tasks whose conductor died, in place of the draft that was to be started.
pub(super) fn take_over(
    session: &Session,
    project: &Project,
    wish: &Wish,
    draft: &PlanId,
    dead: &PlanRow,
) -> Result<Dispatched, Error> {
    let what = What::Plan { id: dead.id.to_string(), tasks: None };
    let taken = super::dispatch(session, project, &Wish { what, pace: wish.pace, alone: false, ..*wish })?;
    let why = format!("plan {} has the same tasks, and its conductor had died: it goes on", dead.id);
    session.store()?.write(|tx| tx.set_plan_state(&project.id, draft, PlanState::Stopped, Some(&why)))?;
    Ok(Dispatched { note: Some(why), ..taken })
}

/// Says of a plan that is at work, itself or with the same tasks, who runs it.
pub(super) fn refuse(session: &Session, plan: &PlanId, other: &PlanRow) -> Result<Dispatched, Error> {
    let id = &other.id;
    let Some(conductor) = super::await_conductor(session, id)? else {
        let what = format!(
            "plan {id} has the same tasks, and its conductor died or is being started at this moment"
        );
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
