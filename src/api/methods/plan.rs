//! `plan`.

use crate::api::ApiError;
use crate::api::wire::{Id, OnOverlap, Ownership, PlanParams, PlanResult, Problem, SpecState};
use crate::domain::pattern::Pattern;
use crate::domain::plan::check;
use crate::domain::plan::problem;
use crate::services::Session;
use crate::services::planning::{self, Planned, Source, Wish, rows};

/// Answers `plan`.
pub fn call(session: &Session, params: PlanParams) -> Result<PlanResult, ApiError> {
    let source = match (params.plan, params.text, params.file, params.request) {
        (Some(plan), None, None, None) => Source::Document(rows::to_node(&serde_json::Value::Object(plan))),
        (None, Some(text), None, None) => Source::Text(text),
        (None, None, Some(file), None) => Source::File(file),
        (None, None, None, Some(request)) if !request.trim().is_empty() => Source::Request(request),
        _ => {
            return Err(ApiError::invalid_params(
                "plan wants exactly one of plan (an object), text (the same as JSON or YAML), file (a path), request (a wish)",
                "for example {\"plan\": {\"tasks\": [{\"id\": 1, \"task\": \"…\", \"files\": [\"src/a.rs\"]}]}}",
            ));
        }
    };
    let wish = Wish {
        source,
        name: params.name,
        check_only: params.check_only,
        on_overlap: match params.on_overlap {
            OnOverlap::Reject => check::OnOverlap::Reject,
            OnOverlap::Serialize => check::OnOverlap::Serialize,
        },
        pipeline: None,
    };
    let project = session.project()?;
    Ok(result(planning::plan(session, &project, &wish)?))
}

/// What is wrong with a plan, or what it is, as the wire has it.
pub(super) fn result(planned: Planned) -> PlanResult {
    PlanResult {
        state: planned.id.as_ref().map(|_| "draft".to_owned()),
        plan_id: planned.id.map(|id| id.as_str().to_owned()),
        name: planned.name,
        waves: planned.waves.iter().map(|wave| wave.iter().map(Id::from).collect()).collect(),
        critical_path: planned.critical_path.iter().map(Id::from).collect(),
        ownership: planned
            .ownership
            .iter()
            .map(|(task, patterns, existing_files)| Ownership {
                task: Id::from(task),
                patterns: patterns.iter().map(Pattern::as_str).map(str::to_owned).collect(),
                existing_files: *existing_files,
            })
            .collect(),
        specs: planned.specs.into_iter().map(|(file, exists)| SpecState { file, exists }).collect(),
        problems: planned.problems.iter().map(problem).collect(),
    }
}

pub(super) fn problem(problem: &problem::Problem) -> Problem {
    Problem {
        severity: problem.severity.as_str().to_owned(),
        code: problem.code.as_str().to_owned(),
        message: problem.message.clone(),
        hint: problem.hint.clone(),
        task: problem.task.as_ref().map(Id::from),
        path: problem.path.clone(),
        line: problem.place.map(|place| place.line),
        column: problem.place.map(|place| place.column),
    }
}
