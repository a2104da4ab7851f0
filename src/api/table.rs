//! The one list of methods. Every door serves this table and nothing beside it.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use super::methods;
use super::schema;
use crate::services::Session;

type Handler = Box<dyn Fn(&Session, Value) -> Result<Value, ApiError> + Send + Sync>;

/// A method of the contract.
pub struct Method {
    /// Its name at every door.
    pub name: &'static str,
    /// For people, a few words.
    pub title: &'static str,
    /// For a model or a person, what it does and when to use it.
    pub description: &'static str,
    /// It changes nothing, so clients may run several at once.
    pub read_only: bool,
    /// It may take long or wait; doors run it beside others.
    pub slow: fn(&Value) -> bool,
    params: fn() -> Value,
    result: fn() -> Value,
    call: Handler,
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Method").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Method {
    /// JSON Schema of the parameters, an object.
    pub fn params_schema(&self) -> Value {
        (self.params)()
    }

    /// JSON Schema of the result, an object.
    pub fn result_schema(&self) -> Value {
        (self.result)()
    }

    /// Calls it. Parameters are an object; nothing or null means an empty one.
    pub fn call(&self, session: &Session, params: Value) -> Result<Value, ApiError> {
        (self.call)(session, params)
    }
}

/// All methods, in the order in which they are shown.
pub fn methods() -> &'static [Method] {
    static TABLE: LazyLock<Vec<Method>> = LazyLock::new(|| {
        let never = |_: &Value| false;
        let waits = |params: &Value| params.get("wait_ms").is_some_and(|wait| wait.as_u64() != Some(0));
        vec![
            method(
                "plan",
                "Make, check and store a plan",
                "Check and store a plan of tasks that each own files, or have the planner agent make one from a \
                 request. Specs first: a spec that does not exist becomes a task before all code. Returns the \
                 waves that can run together and every problem with its place; with any error nothing is stored. \
                 Then call dispatch with the plan_id.",
                false,
                |params| params.get("request").is_some_and(|request| !request.is_null()),
                methods::plan::call,
            ),
            method(
                "dispatch",
                "Start a plan, some of its tasks, or one task",
                "Start work: a plan by plan_id (all of it or only tasks), or one ad hoc task with the files it owns. \
                 Answers at once with a run_id; workers run in the background, each in its own worktree, and what \
                 the gates prove is landed. Follow with status(run_id, wait_ms, since_seq).",
                false,
                |_| true,
                methods::dispatch::call,
            ),
            method(
                "claim-files",
                "Own files before changing them",
                "Claim paths or globs so that nobody else changes them meanwhile. All or nothing. granted:false \
                 names who holds what and is no error. Asking again renews. check_only only looks.",
                false,
                |params| params.get("wait_s").is_some_and(|wait| wait.as_u64() != Some(0)),
                methods::claims::claim_files,
            ),
            method(
                "release-files",
                "Let go of claimed files",
                "Release claims by claim_ids, by paths, or all of one's own.",
                false,
                never,
                methods::claims::release_files,
            ),
            method(
                "status",
                "What is going on",
                "Overview, or one scope: plan, task, attempt, workers, claims, conductors, budget, queue, events. \
                 With run_id the result of dispatch or judge. wait_ms (at most 45000) with since_seq waits for news \
                 or a final state.",
                true,
                waits,
                methods::status::call,
            ),
            method(
                "judge",
                "Prove work by gates",
                "Run the gates (ownership, specs, tests-exist, red-green, lint, build, custom, review) on a submitted \
                 attempt, a task, a whole plan, or any working tree by path. Answers with a run_id; the verdict and \
                 its evidence come through status(run_id, wait_ms).",
                false,
                |_| true,
                methods::judge::call,
            ),
            method(
                "control",
                "Steer plans, tasks and workers",
                "pause, resume, stop, cancel, retry, restart, approve, land, nudge or launch a plan, a task \
                 (PLAN_ID/TASK_ID), an attempt, a worker or a conductor.",
                false,
                |_| true,
                methods::control::call,
            ),
        ]
    });
    &TABLE
}

/// The method of that name. Underscores are taken for hyphens, as some clients allow no hyphen.
pub fn find(name: &str) -> Option<&'static Method> {
    methods().iter().find(|method| method.name == name || method.name.replace('-', "_") == name)
}

fn method<P, R>(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    read_only: bool,
    slow: fn(&Value) -> bool,
    handler: fn(&Session, P) -> Result<R, ApiError>,
) -> Method
where
    P: DeserializeOwned + JsonSchema + 'static,
    R: Serialize + JsonSchema + 'static,
{
    let call = move |session: &Session, params: Value| {
        let params = if params.is_null() { Value::Object(serde_json::Map::new()) } else { params };
        let params: P = serde_json::from_value(params).map_err(|error| {
            ApiError::invalid_params(
                format!("{name}: {error}"),
                format!("the schema of {name} (tools/list, rpc.discover) names its parameters"),
            )
        })?;
        let result = handler(session, params)?;
        serde_json::to_value(result).map_err(|error| {
            ApiError::from(crate::services::Error::Bug(format!("the result of {name} is no JSON: {error}")))
        })
    };
    Method {
        name,
        title,
        description,
        read_only,
        slow,
        params: schema::of_params::<P>,
        result: schema::of_result::<R>,
        call: Box::new(call),
    }
}
