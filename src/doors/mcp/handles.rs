//! Runs as tasks of MCP's extension `io.modelcontextprotocol/tasks` (SEP-2663): a client that declares it gets
//! a handle for what it dispatches or has judged, and asks by it. The store has all of it: a handle is the
//! run's id, and outlives this connection and this process.

use rmcp::ErrorData;
use rmcp::model::{
    CreateTaskResult, DetailedTask, GetTaskResult, JsonObject, MetaObject, Task, TaskPayload, TaskStatus,
};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{resources, text, tools};
use crate::api::{ApiError, Client, table};
use crate::base::clock::Time;
use crate::services::querying;

/// How often a client is to ask, in milliseconds.
const POLL_MILLIS: u64 = 1000;

/// The handle of what an answer began; none where it began nothing. The answer goes along.
pub fn handle(method: &str, answer: &Value) -> Option<CreateTaskResult> {
    if !matches!(method, "dispatch" | "judge") {
        return None;
    }
    let run = answer.get("run_id")?.as_str()?;
    let now = Time::now().to_string();
    let task = Task::new(run, TaskStatus::Working, now.as_str(), now.as_str())
        .with_status_message(text::of_result(answer))
        .with_poll_interval_ms(POLL_MILLIS);
    let mut meta = MetaObject::new();
    meta.insert("kapell/answer".to_owned(), answer.clone());
    Some(CreateTaskResult::new(task).with_meta(meta))
}

/// How a run stands now; of one that is over, what `status` answers of it is its result.
pub fn state(client: &Arc<Client>, run: &str) -> Result<GetTaskResult, ErrorData> {
    let refused = |error: ApiError| resources::protocol_error(&error);
    let times = querying::run_times(&client.begin().session(), run);
    let (began, ended) = times.map_err(|error| refused(error.into()))?;
    let answer = status(client, run).map_err(refused)?;
    let payload = match answer.get("state").and_then(Value::as_str) {
        Some("stopped") => TaskPayload::Cancelled,
        Some("done" | "failed") => TaskPayload::Completed { result: result(answer.clone())? },
        _ => TaskPayload::Working,
    };
    let changed = ended.unwrap_or_else(Time::now).to_string();
    let mut task =
        Task::new(run, payload.status(), began.to_string(), changed).with_poll_interval_ms(POLL_MILLIS);
    if let Some(reason) = answer.get("reason").and_then(Value::as_str) {
        task = task.with_status_message(reason);
    }
    Ok(GetTaskResult::new(DetailedTask::new(task, payload)))
}

/// Stops the plan that was dispatched: what is at work is ended and saved. A judgement goes on to its end, as
/// the extension allows.
pub fn cancel(client: &Arc<Client>, run: &str) -> Result<(), ErrorData> {
    let refused = |error: ApiError| resources::protocol_error(&error);
    let row = querying::run(&client.begin().session(), run).map_err(|error| refused(error.into()))?;
    let Some(plan) = row.plan.filter(|_| row.kind == "dispatch") else { return Ok(()) };
    if plan.starts_with("inbox-") {
        return Err(ErrorData::invalid_params(
            format!(
                "{run} is one of the tasks of {plan}, which has others; control with action cancel and target {plan}/TASK calls it off"
            ),
            None,
        ));
    }
    let control = table::find("control").ok_or_else(|| refused(ApiError::unknown_method("control")))?;
    client
        .begin()
        .run(control, json!({"action": "stop", "target": plan, "message": "cancelled by the client"}))
        .map(drop)
        .map_err(refused)
}

fn status(client: &Arc<Client>, run: &str) -> Result<Value, ApiError> {
    let status = table::find("status").ok_or_else(|| ApiError::unknown_method("status"))?;
    client.begin().run(status, json!({"run_id": run}))
}

fn result(answer: Value) -> Result<JsonObject, ErrorData> {
    match serde_json::to_value(tools::result(Ok(answer))) {
        Ok(Value::Object(result)) => Ok(result),
        other => Err(ErrorData::internal_error(format!("a result is no object: {other:?}"), None)),
    }
}
