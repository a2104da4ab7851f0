//! `judge`.

use crate::api::ApiError;
use crate::api::wire::{JudgeParams, JudgeResult};
use crate::base::ids::TaskId;
use crate::services::Session;
use crate::services::judging::runs::{self, Question};

/// Answers `judge`: at once, with the run to ask about.
pub fn call(session: &Session, params: JudgeParams) -> Result<JudgeResult, ApiError> {
    let project = session.project()?;
    runs::check_gates(params.gates.as_deref()).map_err(ApiError::from)?;
    let mut question = Question {
        gates: params.gates,
        review: params.review,
        land: params.land.unwrap_or(true),
        ..Question::default()
    };
    let mut plan = None;
    match (&params.plan_id, &params.attempt, &params.path) {
        (Some(_), None, None) | (None, Some(_), None) => {
            let task = params.task.map(TaskId::from);
            let attempts = runs::attempts_of(
                session,
                &project,
                params.plan_id.as_deref(),
                task.as_ref(),
                params.attempt.as_deref(),
            )?;
            plan = attempts.first().map(|attempt| attempt.plan.clone());
            question.attempts = attempts.into_iter().map(|attempt| attempt.id.as_str().to_owned()).collect();
        }
        (None, None, Some(_)) if params.land == Some(true) => {
            return Err(ApiError::invalid_params(
                "only what a task of a plan submitted can land, not what lies in a folder",
                "leave out land; what was approved there you commit yourself",
            ));
        }
        (None, None, Some(path)) => {
            let path = session.folder.join(path);
            if !path.is_dir() {
                return Err(ApiError::from(crate::domain::refusal::Refusal::new(
                    crate::domain::refusal::Code::NotFound,
                    format!("there is no folder {}", path.display()),
                    "give the path of a working tree",
                )));
            }
            question.path = Some(path.into());
            question.paths = params.paths;
        }
        _ => {
            return Err(ApiError::invalid_params(
                "judge wants exactly one of plan_id (with task), attempt, path",
                "status with scope plan shows what was submitted",
            ));
        }
    }
    let run_id = runs::start(session, &project, &question, plan.as_ref())?;
    Ok(JudgeResult { run_id, state: "running".to_owned(), ..JudgeResult::default() })
}
