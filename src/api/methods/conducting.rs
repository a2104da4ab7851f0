//! What a conductor answers on its own socket, beside the table: how it is, and to pause, to go
//! on, or to end. The same as `control` on its plan, without having to name it.

use serde_json::Value;

use super::status::views::progress;
use crate::api::ApiError;
use crate::api::message::{params_of, written};
#[cfg(test)]
use crate::api::schema::generating;
use crate::api::wire::{ConductorCondition, ConductorParams, ControlResult, ShutdownParams};
use crate::services::conductor::Vitals;
use crate::services::steering::{self, Action, Asked};
use crate::services::{Error, Session};

/// A method of one conductor.
#[derive(Debug)]
pub struct ConductorMethod {
    /// Its name.
    pub name: &'static str,
    /// For people, a few words.
    pub title: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Calls it. Parameters are an object.
    pub call: fn(&Session, &Vitals, Value) -> Result<Value, ApiError>,
    /// What the schemas of its parameters and its result are made of.
    #[cfg(test)]
    pub types: (generating::Make, generating::Make),
}

/// All of them.
pub fn methods() -> [ConductorMethod; 4] {
    [
        ConductorMethod {
            name: "conductor.status",
            title: "How this conductor is",
            description: "Its state, the scheduling passes so far, and how far its plan is.",
            call: |session, vitals, params| {
                let ConductorParams {} = params_of("conductor.status", &params)?;
                written(condition(session, vitals)?)
            },
            #[cfg(test)]
            types: (generating::of_params::<ConductorParams>, generating::of_result::<ConductorCondition>),
        },
        ConductorMethod {
            name: "conductor.pause",
            title: "Let nothing new start",
            description: "Workers finish what they do. control suspends them too, with force.",
            call: |session, vitals, params| {
                let ConductorParams {} = params_of("conductor.pause", &params)?;
                steer(session, vitals, Action::Pause, false)
            },
            #[cfg(test)]
            types: (generating::of_params::<ConductorParams>, generating::of_result::<ControlResult>),
        },
        ConductorMethod {
            name: "conductor.resume",
            title: "Go on",
            description: "Tasks start again, and suspended workers go on.",
            call: |session, vitals, params| {
                let ConductorParams {} = params_of("conductor.resume", &params)?;
                steer(session, vitals, Action::Resume, false)
            },
            #[cfg(test)]
            types: (generating::of_params::<ConductorParams>, generating::of_result::<ControlResult>),
        },
        ConductorMethod {
            name: "conductor.shutdown",
            title: "Stop the plan and end",
            description: "Workers are ended, their work is saved, the plan is stopped, and the conductor ends; \
                          its socket goes with it. dispatch goes on with the plan.",
            call: |session, vitals, params| {
                let ShutdownParams { force } = params_of("conductor.shutdown", &params)?;
                steer(session, vitals, Action::Stop, force)
            },
            #[cfg(test)]
            types: (generating::of_params::<ShutdownParams>, generating::of_result::<ControlResult>),
        },
    ]
}

fn condition(session: &Session, vitals: &Vitals) -> Result<ConductorCondition, Error> {
    let condition = vitals.condition(session)?;
    Ok(ConductorCondition {
        id: vitals.id.as_str().to_owned(),
        plan_id: vitals.plan.as_str().to_owned(),
        state: condition.state.as_str().to_owned(),
        paused: condition.is_paused,
        iteration: condition.passes,
        progress: progress(&condition.plan),
    })
}

fn steer(session: &Session, vitals: &Vitals, action: Action, force: bool) -> Result<Value, ApiError> {
    let project = session.project()?;
    let asked = Asked { force, ..Asked::default() };
    let done = steering::control(session, &project, action, vitals.plan.as_str(), &asked)?;
    written(ControlResult { ack: true, state: done.state, message: done.message, run_ids: done.runs })
}
