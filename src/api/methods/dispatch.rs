//! `dispatch`.

use serde_json::{Value, json};

use crate::api::ApiError;
use crate::api::wire::{
    CandidateStatus, ConductorRef, DispatchParams, DispatchResult, Id, RouteStatus, RuleStatus, Started,
    Waiting, WhenFull,
};
use crate::base::ids::TaskId;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::route::Choice;
use crate::services::dispatching::{self, Dispatched, What, Wish};
use crate::services::project::Project;
use crate::services::routing::Explanation;
use crate::services::{Session, inside, registry};
use crate::store::conductors::ConductorRow;
use crate::store::plans::Pace;

/// As much as a plan may say too.
const MOST_ATTEMPTS: u64 = 20;
const LONGEST_S: u64 = 366 * 24 * 3600;

/// Answers `dispatch`.
pub fn call(session: &Session, params: DispatchParams) -> Result<DispatchResult, ApiError> {
    let has_own_rules = params.rules.is_some()
        || params.max_parallel.is_some()
        || params.batch_size.is_some()
        || params.run_timeout_s.is_some();
    let pace = pace(&params)?;
    let what = match (&params.plan_id, &params.task) {
        (Some(id), None) => {
            let extra = params.files.is_some() || params.target.is_some();
            if extra || params.priority.is_some() || params.complexity.is_some() {
                return Err(ApiError::invalid_params(
                    "files, target, complexity and priority belong to an ad hoc task, not to a plan",
                    "leave them out, or change the plan",
                ));
            }
            let tasks = params.tasks.map(|tasks| tasks.into_iter().map(TaskId::from).collect::<Vec<_>>());
            if tasks.as_ref().is_some_and(Vec::is_empty) {
                return Err(ApiError::invalid_params(
                    "tasks is empty",
                    "leave it out to start the whole plan",
                ));
            }
            What::Plan { id: id.clone(), tasks }
        }
        (None, Some(text)) => What::AdHoc(ad_hoc(text, &params)),
        _ => {
            return Err(ApiError::invalid_params(
                "dispatch wants either plan_id, or task (with files)",
                "plan_id is what plan answered with",
            ));
        }
    };
    let wish = Wish {
        what,
        pace,
        run_timeout_s: params.run_timeout_s,
        when_full: match params.when_full {
            WhenFull::Queue => dispatching::WhenFull::Queue,
            WhenFull::Launch => dispatching::WhenFull::Launch,
            WhenFull::Refuse => dispatching::WhenFull::Refuse,
        },
        dry_run: params.dry_run,
        alone: params.alone,
    };
    let project = session.project()?;
    if session.caller.attempt.is_some() {
        return delegate(session, &project, &wish, has_own_rules);
    }
    Ok(result(dispatching::dispatch(session, &project, &wish)?))
}

/// A worker's dispatch: part of its own claim to a child task, and nothing else.
fn delegate(
    session: &Session,
    project: &Project,
    wish: &Wish,
    has_own_rules: bool,
) -> Result<DispatchResult, ApiError> {
    let no = |what: &str, hint: &str| ApiError::from(Refusal::new(Code::NotAllowed, what, hint));
    match &wish.what {
        What::Plan { id, .. } => Err(no(
            &format!("a worker starts no plans, so not {id}"),
            "give task and files: part of your own claim goes to a child task",
        )),
        What::AdHoc(_) if has_own_rules => Err(no(
            "a child task has its parent's rules",
            "leave out rules, max_parallel, batch_size and run_timeout_s",
        )),
        What::AdHoc(_) if wish.dry_run => Err(no(
            "a child task starts at once, so there is nothing to tell beforehand",
            "leave out dry_run",
        )),
        What::AdHoc(task) if !task.contains_key("files") => Err(ApiError::invalid_params(
            "a child task needs files: the part of your claim that it gets",
            "for example files: [\"src/api/auth.ts\", \"tests/api/auth.test.ts\"]",
        )),
        What::AdHoc(task) => Ok(result(inside::delegate(session, project, task)?)),
    }
}

/// How the plan is run, where that is said. An ad hoc task has its rules as its own.
fn pace(params: &DispatchParams) -> Result<Pace, ApiError> {
    let mut pace =
        Pace { max_parallel: params.max_parallel, batch_size: params.batch_size, ..Pace::default() };
    let none = [("max_parallel", params.max_parallel), ("batch_size", params.batch_size)];
    if let Some((name, _)) = none.iter().find(|(_, value)| *value == Some(0)) {
        return Err(ApiError::invalid_params(
            format!("{name} is 0, so nothing would start"),
            "give 1 or more",
        ));
    }
    if params.run_timeout_s.is_some_and(|seconds| !(1..=LONGEST_S).contains(&seconds)) {
        return Err(ApiError::invalid_params(
            format!("run_timeout_s must be from 1 to {LONGEST_S}"),
            "leave it out for a run without an end",
        ));
    }
    if params.task.is_some() && (params.batch_size.is_some() || params.run_timeout_s.is_some()) {
        return Err(ApiError::invalid_params(
            "batch_size and run_timeout_s belong to a plan, not to one task",
            "rules {\"timeout_s\": …} says how long a try at a task may take",
        ));
    }
    let Some(rules) = params.rules.as_ref().filter(|_| params.plan_id.is_some()) else { return Ok(pace) };
    for (name, value) in rules {
        let most = if name == "max_attempts" { MOST_ATTEMPTS } else { LONGEST_S };
        let number = value.as_u64().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
            ApiError::invalid_params(
                format!("rules.{name} must be a whole number from 1 to {most}, but is {value}"),
                "leave it out for what the plan says",
            )
        });
        match name.as_str() {
            "max_attempts" => pace.max_attempts = Some(u32::try_from(number?).unwrap_or(u32::MAX)),
            "timeout_s" => pace.timeout_s = Some(number?),
            "stuck_after_s" => pace.stuck_after_s = Some(number?),
            _ => {
                return Err(ApiError::invalid_params(
                    format!("the rule {name} of a plan is not changed by starting it"),
                    "max_attempts, timeout_s and stuck_after_s can be given; change the plan for the others",
                ));
            }
        }
    }
    Ok(pace)
}

/// The task object of an ad hoc task.
fn ad_hoc(text: &str, params: &DispatchParams) -> serde_json::Map<String, Value> {
    let mut task = serde_json::Map::new();
    task.insert("task".to_owned(), json!(text));
    if let Some(files) = params.files.as_ref().filter(|files| !files.is_empty()) {
        task.insert("files".to_owned(), json!(files));
    }
    if let Some(complexity) = &params.complexity {
        task.insert("complexity".to_owned(), json!(complexity));
    }
    if let Some(target) = &params.target {
        task.insert("target".to_owned(), json!(target));
    }
    match &params.priority {
        Some(Id::Number(number)) => drop(task.insert("priority".to_owned(), json!(number))),
        // A command line gives every number as text.
        Some(Id::Text(text)) => {
            let value = text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
            task.insert("priority".to_owned(), value);
        }
        None => {}
    }
    if let Some(rules) = &params.rules {
        task.insert("rules".to_owned(), Value::Object(rules.clone()));
    }
    task
}

fn result(dispatched: Dispatched) -> DispatchResult {
    DispatchResult {
        run_id: dispatched.run,
        plan_id: dispatched.plan.as_str().to_owned(),
        conductor: dispatched.conductor.as_ref().map(conductor_ref),
        started: dispatched
            .started
            .into_iter()
            .map(|(attempt, task, claims)| Started {
                task: Id::from(&task),
                attempt: attempt.id.as_str().to_owned(),
                worker: attempt.worker.as_str().to_owned(),
                provider: attempt.provider.as_str().to_owned(),
                worktree: attempt.worktree,
                claims,
            })
            .collect(),
        waiting: dispatched
            .waiting
            .into_iter()
            .map(|(task, reason, on)| Waiting { task: Id::from(&task), reason, on })
            .collect(),
        route: dispatched.route.as_ref().map(route),
        note: dispatched.note,
    }
}

/// Where a task would go.
fn route(explanation: &Explanation) -> RouteStatus {
    let Explanation { placed, decision, priority } = explanation;
    let (mut worker, mut provider, mut reason, mut on) = (None, None, None, None);
    match &decision.choice {
        Choice::Seat(seat) => {
            worker = Some(seat.worker.to_string());
            provider = Some(seat.provider.to_string());
        }
        Choice::Wait { reason: why, on: whom } => {
            (reason, on) = (Some((*why).to_owned()), Some(whom.clone()));
        }
        Choice::Nobody(why) => (reason, on) = (Some("nobody".to_owned()), Some(why.clone())),
    }
    RouteStatus {
        rules: placed
            .asked
            .iter()
            .map(|asked| RuleStatus {
                rule: asked.rule.as_str().to_owned(),
                taken: asked.is_taken,
                found: asked.found.clone(),
            })
            .collect(),
        candidates: decision
            .candidates
            .iter()
            .map(|candidate| CandidateStatus {
                worker: candidate.worker.to_string(),
                provider: candidate.provider.to_string(),
                takes_over: candidate.takes_over,
                why_not: candidate.why_not.as_ref().map(|why| why.text().to_owned()),
            })
            .collect(),
        worker,
        provider,
        reason,
        on,
        priority: *priority,
    }
}

/// A conductor as other answers name it.
pub(super) fn conductor_ref(row: &ConductorRow) -> ConductorRef {
    ConductorRef {
        id: row.id.as_str().to_owned(),
        pid: row.pid,
        socket: registry::socket(row).map(str::to_owned),
    }
}
