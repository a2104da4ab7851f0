//! What a conductor answers on its own socket, beside the table: how it is, and to pause, to go
//! on, or to end. The same as `control` on its plan, without having to name it.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::status::AT_WORK;
use crate::api::wire::{ConductorCondition, ConductorParams, ControlResult, Progress, ShutdownParams};
use crate::api::{ApiError, schema};
use crate::domain::task::TaskState;
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
    /// JSON Schema of the parameters, an object.
    pub params: fn() -> Value,
    /// JSON Schema of the result, an object.
    pub result: fn() -> Value,
    /// Calls it. Parameters are an object.
    pub call: fn(&Session, &Vitals, Value) -> Result<Value, ApiError>,
}

/// All of them.
pub fn methods() -> [ConductorMethod; 4] {
    [
        ConductorMethod {
            name: "conductor.status",
            title: "How this conductor is",
            description: "Its state, the scheduling passes so far, and how far its plan is.",
            params: schema::of_params::<ConductorParams>,
            result: schema::of_result::<ConductorCondition>,
            call: |session, vitals, params| {
                let ConductorParams {} = read("conductor.status", params)?;
                written(condition(session, vitals)?)
            },
        },
        ConductorMethod {
            name: "conductor.pause",
            title: "Let nothing new start",
            description: "Workers finish what they do. control suspends them too, with force.",
            params: schema::of_params::<ConductorParams>,
            result: schema::of_result::<ControlResult>,
            call: |session, vitals, params| {
                let ConductorParams {} = read("conductor.pause", params)?;
                steer(session, vitals, Action::Pause, false)
            },
        },
        ConductorMethod {
            name: "conductor.resume",
            title: "Go on",
            description: "Tasks start again, and suspended workers go on.",
            params: schema::of_params::<ConductorParams>,
            result: schema::of_result::<ControlResult>,
            call: |session, vitals, params| {
                let ConductorParams {} = read("conductor.resume", params)?;
                steer(session, vitals, Action::Resume, false)
            },
        },
        ConductorMethod {
            name: "conductor.shutdown",
            title: "Stop the plan and end",
            description: "Workers are ended, their work is saved, the plan is stopped, and the conductor ends; \
                          its socket goes with it. dispatch goes on with the plan.",
            params: schema::of_params::<ShutdownParams>,
            result: schema::of_result::<ControlResult>,
            call: |session, vitals, params| {
                let ShutdownParams { force } = read("conductor.shutdown", params)?;
                steer(session, vitals, Action::Stop, force)
            },
        },
    ]
}

fn condition(session: &Session, vitals: &Vitals) -> Result<ConductorCondition, Error> {
    let condition = vitals.condition(session)?;
    let plan = &condition.plan;
    Ok(ConductorCondition {
        id: vitals.id.as_str().to_owned(),
        plan_id: vitals.plan.as_str().to_owned(),
        state: condition.state.as_str().to_owned(),
        paused: condition.is_paused,
        iteration: condition.passes,
        progress: Progress {
            done: plan.count(&[TaskState::Done]),
            total: plan.total(),
            running: plan.count(&AT_WORK),
            failed: plan.count(&[TaskState::Failed, TaskState::Blocked]),
        },
    })
}

fn steer(session: &Session, vitals: &Vitals, action: Action, force: bool) -> Result<Value, ApiError> {
    let project = session.project()?;
    let asked = Asked { force, ..Asked::default() };
    let done = steering::control(session, &project, action, vitals.plan.as_str(), &asked)?;
    written(ControlResult { ack: true, state: done.state, message: done.message })
}

fn read<P: DeserializeOwned + JsonSchema>(name: &str, params: Value) -> Result<P, ApiError> {
    serde_json::from_value(params).map_err(|error| {
        ApiError::invalid_params(format!("{name}: {error}"), "rpc.discover describes the parameters")
    })
}

fn written(result: impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(result).map_err(|error| ApiError::bug(error.to_string()))
}
