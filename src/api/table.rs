//! The one list of methods. Every door serves this table and nothing beside it.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::{ApiError, SYSTEM};
use super::methods;
use super::schema;
use crate::domain::claim::HolderKind;
use crate::domain::refusal::{Code, Refusal};
use crate::services::room::Places;
use crate::services::{Session, nudging};

/// The field of every result that tells a worker what it was not asked for: what it is nudged to do.
pub const NUDGES: &str = "nudges";

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Whoever is outside of every wall. A worker is refused, and told what to do instead.
    Outside {
        /// The next step for a worker.
        instead: &'static str,
    },
    /// A worker too, with what is its own.
    Everybody {
        /// What it does for a worker.
        for_worker: &'static str,
    },
    /// Workers only.
    Workers,
}

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
    /// Who may call it.
    pub audience: Audience,
    call: Handler,
    /// What the schemas of its parameters and its result are made of.
    #[cfg(test)]
    pub(super) types: (schema::generating::Make, schema::generating::Make),
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Method").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A failure with what is lacking where the call writes, which git and the database name only by their own words.
fn in_its_place(session: &Session, error: ApiError) -> ApiError {
    if error.kind != SYSTEM {
        return error;
    }
    let project = session.project().ok();
    let place = project.as_ref().map(|project| project.place.as_path());
    error.for_want_of_room(Places { root: &session.house.root, place })
}

impl Method {
    /// JSON Schema of the parameters, an object.
    pub fn params_schema(&self) -> Value {
        schema::of_params(self.name)
    }

    /// JSON Schema of the result, an object.
    pub fn result_schema(&self) -> Value {
        schema::of_result(self.name)
    }

    /// Calls it. Parameters are an object; nothing or null means an empty one.
    pub fn call(&self, session: &Session, params: Value) -> Result<Value, ApiError> {
        if session.caller.attempt.is_some()
            && let Audience::Outside { instead } = self.audience
        {
            let what = format!("a worker may not call {}", self.name);
            return Err(Refusal::new(Code::NotAllowed, what, instead).into());
        }
        let mut result = (self.call)(session, params).map_err(|error| in_its_place(session, error))?;
        if session.caller.attempt.is_some()
            && let Some(fields) = result.as_object_mut()
        {
            let nudges = nudging::tell(session)?;
            if !nudges.is_empty() {
                let told =
                    nudges.iter().map(|it| json!({"who": it.who, "text": it.text, "at": it.at.to_string()}));
                fields.insert(NUDGES.to_owned(), told.collect());
            }
        }
        // A session of an agent's is told what others wait for that it holds.
        if session.caller.attempt.is_none()
            && session.caller.holder.kind == HolderKind::Agent
            && let Some(fields) = result.as_object_mut()
        {
            let asked = nudging::asked(&session.house, &session.caller.holder.name);
            if !asked.is_empty() {
                let told = asked.into_iter().map(|(who, text)| json!({"who": who, "text": text}));
                fields.insert(NUDGES.to_owned(), told.collect());
            }
        }
        Ok(result)
    }

    /// What it does, as its caller is told.
    pub fn description_for(&self, is_worker: bool) -> &'static str {
        match self.audience {
            Audience::Everybody { for_worker } if is_worker => for_worker,
            _ => self.description,
        }
    }

    /// Whether it is of use to a worker, or to somebody else.
    pub fn is_for(&self, is_worker: bool) -> bool {
        match self.audience {
            Audience::Outside { .. } => !is_worker,
            Audience::Everybody { .. } => true,
            Audience::Workers => is_worker,
        }
    }
}

/// All methods, in the order in which they are shown.
pub fn methods() -> &'static [Method] {
    static TABLE: LazyLock<Vec<Method>> = LazyLock::new(|| {
        let never = |_: &Value| false;
        let waits = |params: &Value| {
            let is_health = params.get("scope").is_some_and(|scope| scope == "health");
            is_health || params.get("wait_ms").is_some_and(|wait| wait.as_u64() != Some(0))
        };
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
                Audience::Outside {
                    instead: "dispatch with task and files gives part of your claim to a child task; a plan is its orchestrator's",
                },
            ),
            method(
                "dispatch",
                "Start a plan, some of its tasks, or one task",
                "Start work: a plan by plan_id (all of it or only tasks), or one ad hoc task, mostly with the files it owns; \
                 dry_run with task tells whom it would go to and why. \
                 Answers at once with a run_id; workers run in the background, each in its own worktree, and what \
                 the gates prove is landed. Follow with status(run_id, wait_ms, since_seq).",
                false,
                |_| true,
                methods::dispatch::call,
                Audience::Everybody {
                    for_worker: "Give part of your own claim to a child task: task (text) with files that you own and \
                                 have not changed. The child has its own worker and worktree, lands before you, and \
                                 gives the files back; until then you may not change them. Follow it with \
                                 status(scope task, id PLAN/CHILD). Your own work waits for it; you need not.",
                },
            ),
            method(
                "claim-files",
                "Own files before changing them",
                "Claim paths or globs so that nobody else changes them meanwhile. All or nothing. granted:false \
                 names who holds what and is no error. Asking again renews. check_only only looks.",
                false,
                |params| {
                    let waits = params.get("wait_s").is_some_and(|wait| wait.as_u64() != Some(0));
                    waits || params.get("take_over").is_some_and(|take| take.as_bool() != Some(false))
                },
                methods::claims::claim_files,
                Audience::Everybody {
                    for_worker: "Own more files for your task. Granted at once where they are free, and what you change \
                                 in them lands with your work. granted:false names who holds what; wait_s waits for it. \
                                 check_only only looks.",
                },
            ),
            method(
                "release-files",
                "Let go of claimed files",
                "Release claims by claim_ids, by paths, or all of one's own.",
                false,
                never,
                methods::claims::release_files,
                Audience::Everybody {
                    for_worker: "Let go of claims of your own. What you changed there does not land.",
                },
            ),
            method(
                "status",
                "What is going on",
                "Overview, or one scope. With run_id the result of dispatch or judge. wait_ms (at most 45000) with since_seq waits for news \
                 or a final state.",
                true,
                waits,
                methods::status::call,
                Audience::Everybody {
                    for_worker: "What is going on: overview, or one scope: plan, task (id PLAN/TASK), attempt, workers, \
                                 claims, events. wait_ms (at most 45000) with since_seq waits for news.",
                },
            ),
            method(
                "judge",
                "Prove work by gates",
                "Run the gates (ownership, specs, tests-exist, red-green, lint, build, custom, review) on an \
                 attempt, a task, a plan, or any working tree by path. Answers with a run_id; the verdict and \
                 its evidence come through status(run_id, wait_ms).",
                false,
                |_| true,
                methods::judge::call,
                Audience::Outside {
                    instead: "end, and your work is judged; the tests of the project can be run without it",
                },
            ),
            method(
                "control",
                "Steer plans, tasks and workers",
                "Steer a plan, task (PLAN_ID/TASK_ID), attempt, worker or conductor. nudge tells a worker \
                 message; resume also frees one in quarantine.",
                false,
                |_| true,
                methods::control::call,
                Audience::Outside {
                    instead: "tell what you found with report; steering is for whoever dispatched you",
                },
            ),
            method(
                "pipeline",
                "Run stages that start one another",
                "list, run (name with request, or with a plan for the first stage), show, approve (a person is asked), \
                 stop, rollback. A run is a plan: status and control work on it.",
                false,
                |params| params.get("action").is_some_and(|action| action != "list" && action != "show"),
                methods::pipeline::call,
                Audience::Outside {
                    instead: "tell what you found with report; stages are started by whoever dispatched you",
                },
            ),
            method(
                "environments",
                "Checkouts with services",
                "Checkouts beside the project with ports, databases, services and a git workflow. What would be lost \
                 is refused unless forced.",
                false,
                |_| true,
                methods::environments::call,
                Audience::Outside {
                    instead: "work in your own worktree; environments are for whoever dispatched you",
                },
            ),
            method(
                "checkpoint",
                "Save what is done so far",
                "Save your tree as it is now, so that nothing is lost whatever happens, and see what of it would not \
                 land because you do not own it.",
                false,
                |_| true,
                methods::inside::checkpoint,
                Audience::Workers,
            ),
            method(
                "report",
                "Tell what was found",
                "Tell whoever follows the plan of something that is not yours to mend: a bug, a missing spec, a file \
                 that somebody else should change.",
                false,
                never,
                methods::inside::report,
                Audience::Workers,
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
    audience: Audience,
) -> Method
where
    P: DeserializeOwned + JsonSchema + 'static,
    R: Serialize + JsonSchema + 'static,
{
    let call = move |session: &Session, params: Value| {
        let params = if params.is_null() { Value::Object(serde_json::Map::new()) } else { params };
        let params: P = P::deserialize(&params).map_err(|error| {
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
        audience,
        call: Box::new(call),
        #[cfg(test)]
        types: (schema::generating::of_params::<P>, schema::generating::of_result::<R>),
    }
}
