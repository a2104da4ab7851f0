//! `pipeline`.

mod mermaid;

use serde::Deserialize as _;

use crate::api::ApiError;
use crate::api::wire::{
    Action, ControlParams, Id, PipelineAction, PipelineCommand, PipelineFinding, PipelineLine,
    PipelineParams, PipelineResult, PipelineRunLine, PipelineStage, PipelineTask,
};
use crate::domain::pipeline::{self as machine, CommandState, StageState};
use crate::services::pipelines::deciding::{self, Asked, Gate};
use crate::services::pipelines::viewing::{self, StageView};
use crate::services::pipelines::{self, For, Run, stages};
use crate::services::planning::{Source, rows};
use crate::services::project::Project;
use crate::services::{Session, steering};
use crate::sys::config::APPROVAL;

/// So many runs are listed.
const LISTED: usize = 50;
/// Characters of a request in a list.
const SHORT: usize = 80;

/// Answers `pipeline`.
pub fn call(session: &Session, params: PipelineParams) -> Result<PipelineResult, ApiError> {
    let project = session.project()?;
    let draws = params.mermaid;
    let mut result = match params.action {
        PipelineAction::List => list(session, &project)?,
        PipelineAction::Run => run(session, &project, params)?,
        PipelineAction::Show => show(session, &project, params)?,
        PipelineAction::Approve => {
            let run = of_run(&params)?;
            let (stage, message) = (params.stage.as_deref(), params.message.as_deref());
            let asked = Asked { stage, refuse: params.refuse, message };
            let done = deciding::decide(session, &project, run, &asked)?;
            told(session, &project, run, done.message)?
        }
        PipelineAction::Stop => {
            let run = of_run(&params)?;
            let plan = pipelines::find(session, &project, run)?;
            let asked = steering::Asked { message: params.message.as_deref(), ..steering::Asked::default() };
            let done = steering::control(session, &project, steering::Action::Stop, plan.as_str(), &asked)?;
            told(session, &project, run, done.message)?
        }
        PipelineAction::Rollback => {
            let run = of_run(&params)?;
            let done = deciding::roll_back(session, &project, run, params.stage.as_deref())?;
            told(session, &project, run, done.message)?
        }
    };
    result.mermaid = (draws && !result.stages.is_empty()).then(|| mermaid::drawn(&result.stages));
    Ok(result)
}

/// The gate that a call would decide on in a person's place: such a person is to be asked first,
/// where the caller is none.
pub fn asks(session: &Session, method: &str, params: &serde_json::Value) -> Result<Option<Gate>, ApiError> {
    let text = |name: &str| params.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let (run, stage) = match method {
        "pipeline" if text("action").as_deref() == Some("approve") => match (text("run"), text("stage")) {
            (Some(run), stage) => (run, stage),
            // The method itself says what is missing.
            (None, _) => return Ok(None),
        },
        "control" => {
            let Ok(ControlParams { action: Action::Approve, target, .. }) =
                ControlParams::deserialize(params)
            else {
                return Ok(None);
            };
            let (run, stage) = match target.split_once('/') {
                Some((run, stage)) => (run.to_owned(), Some(stage.to_owned())),
                None => (target, None),
            };
            let project = session.project()?;
            // What is no stage that waits is none of its business.
            return Ok(deciding::gate(session, &project, &run, stage.as_deref()).ok());
        }
        _ => return Ok(None),
    };
    let project = session.project()?;
    Ok(Some(deciding::gate(session, &project, &run, stage.as_deref())?))
}

fn of_run(params: &PipelineParams) -> Result<&str, ApiError> {
    params.run.as_deref().ok_or_else(|| {
        ApiError::invalid_params(
            "pipeline wants a run for that",
            "kapell pipeline list, or action list, shows the runs",
        )
    })
}

fn list(session: &Session, project: &Project) -> Result<PipelineResult, ApiError> {
    let all = viewing::all(session, project)?;
    let mut runs = Vec::new();
    for (run, plan, rows) in viewing::runs(session, project, LISTED)? {
        let machine = stages::machine(&stages::stored(&run)?);
        let waits = |row: &&crate::store::pipelines::StageRow| {
            let now = machine::Now {
                state: row.state,
                approved: row.decision.as_ref().map(|decision| decision.is_approved),
                ..machine::Now::default()
            };
            let stage = usize::try_from(row.ordinal).ok().and_then(|at| machine.get(at));
            !plan.row.state.is_at_rest() && stage.is_some_and(|stage| machine::asks(stage, &now))
        };
        runs.push(PipelineRunLine {
            run: run.plan.as_str().to_owned(),
            name: run.pipeline.clone(),
            state: plan.state.as_str().to_owned(),
            done: rows.iter().filter(|row| row.state == StageState::Done).count() as u64,
            total: rows.len() as u64,
            to_approve: rows.iter().filter(waits).map(|row| row.name.clone()).collect(),
            request: run.request.as_deref().map(short),
            created_at: run.created_at.to_string(),
        });
    }
    let pipelines = all.into_iter().map(|(name, stages)| PipelineLine { name, stages }).collect();
    Ok(PipelineResult { pipelines, runs, ..PipelineResult::default() })
}

fn short(request: &str) -> String {
    let line = request.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(SHORT).collect();
    if cut.len() < request.len() { format!("{cut}…") } else { cut }
}

fn run(session: &Session, project: &Project, params: PipelineParams) -> Result<PipelineResult, ApiError> {
    let wanted = |what: &str| {
        ApiError::invalid_params(
            format!("pipeline run wants {what}"),
            "for example {\"action\": \"run\", \"name\": \"feature\", \"request\": \"add sign-in\"}",
        )
    };
    let name = params.name.ok_or_else(|| wanted("the name of a pipeline"))?;
    let what = match (params.request, params.plan, params.text, params.file, params.plan_id) {
        (Some(request), None, None, None, None) => For::Request(request),
        (None, Some(plan), None, None, None) => {
            For::Plan(Source::Document(rows::to_node(&serde_json::Value::Object(plan))))
        }
        (None, None, Some(text), None, None) => For::Plan(Source::Text(text)),
        (None, None, None, Some(file), None) => For::Plan(Source::File(file)),
        (None, None, None, None, Some(plan)) => For::Stored(plan),
        _ => return Err(wanted("exactly one of request, plan, text, file, plan_id")),
    };
    match pipelines::run(session, project, &name, what)? {
        Run::Started(plan) => told(session, project, plan.as_str(), "it runs".to_owned()),
        Run::Faulty(planned) => Ok(PipelineResult {
            name: Some(name),
            problems: planned.problems.iter().map(super::plan::problem).collect(),
            message: Some("the plan has errors, and nothing was started".to_owned()),
            ..PipelineResult::default()
        }),
    }
}

/// A run by its id or name, else a configured pipeline.
fn show(session: &Session, project: &Project, params: PipelineParams) -> Result<PipelineResult, ApiError> {
    let Some(what) = params.run.or(params.name) else {
        return Err(ApiError::invalid_params(
            "pipeline show wants a run or the name of a pipeline",
            "kapell pipeline list, or action list, shows both",
        ));
    };
    // A pipeline's name is that of its runs too: then the configured one is meant.
    let is_configured = viewing::all(session, project)?.iter().any(|(name, _)| *name == what);
    if !is_configured {
        return told(session, project, &what, String::new());
    }
    let stages = viewing::configured(session, project, &what)?;
    let names: Vec<String> = stages.iter().map(|view| view.stage.name.clone()).collect();
    let stages = stages.into_iter().map(|view| stage(view, &names, None)).collect();
    Ok(PipelineResult { name: Some(what), stages, ..PipelineResult::default() })
}

/// A run as it is, with what was done to it.
fn told(
    session: &Session,
    project: &Project,
    run: &str,
    message: String,
) -> Result<PipelineResult, ApiError> {
    let plan = pipelines::find(session, project, run)?;
    let mut view = viewing::view(session, &plan)?;
    let names: Vec<String> = view.stages.iter().map(|view| view.stage.name.clone()).collect();
    let mut stages = Vec::new();
    for one in std::mem::take(&mut view.stages) {
        let held_up = view.held_up(&one);
        stages.push(stage(one, &names, held_up));
    }
    Ok(PipelineResult {
        name: Some(view.run.pipeline),
        run: Some(plan.as_str().to_owned()),
        plan_id: Some(plan.as_str().to_owned()),
        state: Some(view.plan.state.as_str().to_owned()),
        reason: view.plan.reason,
        message: Some(message).filter(|message| !message.is_empty()),
        request: view.run.request,
        stages,
        ..PipelineResult::default()
    })
}

/// `held_up`: what is told of it in place of what was recorded last, and why.
fn stage(view: StageView, names: &[String], held_up: Option<(&'static str, String)>) -> PipelineStage {
    let StageView { stage, row, tasks, commands, findings, is_at_work } = view;
    // Nobody is there who could record how a command ended.
    let is_lost = held_up.is_some() && !is_at_work;
    let seen = |state| if is_lost && state == CommandState::Running { CommandState::Unknown } else { state };
    let (state, why) = held_up.map_or((None, None), |(state, why)| (Some(state.to_owned()), Some(why)));
    let decision = row.as_ref().and_then(|row| row.decision.clone());
    let said = |is_approved| if is_approved { "approved" } else { "refused" };
    // Until its conductor sees that it was decided on, what was recorded last is whom to ask.
    let is_decided = decision.is_some();
    let recorded = row.as_ref().filter(|row| !(is_decided && row.state == StageState::Approval));
    let reason = why.or_else(|| recorded.and_then(|row| row.reason.clone()));
    PipelineStage {
        state: state.or_else(|| row.as_ref().map(|row| row.state.as_str().to_owned())),
        reason,
        round: row.as_ref().map(|row| row.round).filter(|round| *round > 0),
        // Whom a person has try again gets as many more.
        max_rounds: stage
            .takes_findings
            .then(|| stage.max_rounds + row.as_ref().map_or(0, |row| row.counted_from)),
        findings_to: stage.fixer.and_then(|fixer| names.get(fixer).cloned()),
        approval: stage.approval || stage.triggers_on.iter().any(|name| name == APPROVAL),
        decision: decision.as_ref().map(|decision| said(decision.is_approved).to_owned()),
        decided_at: decision.as_ref().map(|decision| decision.at.to_string()),
        decided_by: decision.as_ref().map(|decision| decision.by.clone()),
        message: decision.and_then(|decision| decision.message),
        tasks: tasks
            .iter()
            .map(|task| PipelineTask {
                task: Id::from(&task.task),
                state: task.state.as_str().to_owned(),
                round: task.round,
                fix: task.is_fix,
                reason: task.reason.clone(),
            })
            .collect(),
        findings: findings
            .into_iter()
            .map(|finding| PipelineFinding {
                text: finding.text,
                files: finding.files,
                severity: finding.severity,
                task: finding.task,
            })
            .collect(),
        commands: commands
            .into_iter()
            .map(|command| PipelineCommand {
                kind: if command.is_rollback { "rollback" } else { "command" }.to_owned(),
                state: seen(command.state).as_str().to_owned(),
                commit: command.commit,
                reason: command.reason,
                log: command.log,
                began_at: command.began_at.to_string(),
                ended_at: command.ended_at.map(|at| at.to_string()),
            })
            .collect(),
        stage: stage.name,
        target: stage.target,
        triggers_on: stage.triggers_on,
        triggers_on_any: stage.triggers_on_any,
        fan_out: stage.fan_out,
        findings_become_tasks: stage.takes_findings,
        command: stage.command,
        rollback: stage.rollback,
    }
}
