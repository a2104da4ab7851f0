//! Insisting on a start though there is no room: what is lacking, who decided so, and how long that holds.

use super::{Error, health};
use crate::base::ids::{PlanId, ProjectId};
use crate::store::Tx;
use crate::store::events::{EventFilter, NewEvent};
use crate::sys::config::resolved::Machine;

/// The kind of the event by which a plan that waits for room is told not to.
const LAUNCHED: &str = "conductor.launched";

/// What this machine lacks for another worker, if anything: the reason and its figures.
pub fn lacking(machine: &Machine) -> Option<(&'static str, String)> {
    let memory = || health::short_of_memory(machine).map(|why| ("memory", why));
    let load = || health::short_of_processors(machine).map(|why| ("load", why));
    memory().or_else(load)
}

/// Notes that a plan is not to wait for room.
pub fn note(tx: &Tx<'_>, project: &ProjectId, plan: &PlanId, why: &str) -> Result<(), Error> {
    let text = format!("plan {plan} begins although {why}");
    let event = NewEvent { kind: LAUNCHED, plan: Some(plan), text, ..NewEvent::default() };
    tx.append_event(project, &event)?;
    Ok(())
}

/// Whether somebody decided so since the plan began or went on last.
pub fn is_decided(tx: &Tx<'_>, plan: &PlanId) -> Result<bool, Error> {
    let Some(decided) = tx.newest_launch(plan)? else { return Ok(false) };
    let filter =
        EventFilter { plan: Some(plan.as_str()), kind: Some("plan.state"), ..EventFilter::default() };
    let began = tx.newest_events(&filter, 1)?.first().map(|event| event.seq);
    Ok(began.is_none_or(|began| decided > began))
}
