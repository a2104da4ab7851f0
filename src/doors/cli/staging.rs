//! `pipeline`: the commands about stages and their runs.

use std::path::Path;

use serde_json::Value;

use super::args::{PipelineCommand, PipelineRun};
use super::calls::{self, Desk, typed};
use super::screens;
use crate::api::ApiError;
use crate::api::wire::{PipelineAction, PipelineParams, PipelineResult};
use crate::services::following::Interest;

/// Whether the command waits.
pub fn waits(command: &PipelineCommand) -> bool {
    match command {
        PipelineCommand::Run(args) => args.follow,
        PipelineCommand::Show { follow, .. } => *follow,
        _ => false,
    }
}

/// Carries a command out. Gives the exit code.
pub fn pipeline(desk: &mut Desk<'_>, command: PipelineCommand) -> Result<u8, ApiError> {
    let of = |action, run| PipelineParams { action, run: Some(run), ..PipelineParams::default() };
    match command {
        PipelineCommand::List => {
            let value = desk.call("pipeline", PipelineParams::default())?;
            desk.show::<PipelineResult>(&value, screens::pipelines)?;
            Ok(0)
        }
        PipelineCommand::Run(args) => run(desk, args),
        PipelineCommand::Show { what, mermaid, follow } => {
            let params = PipelineParams { mermaid, ..of(PipelineAction::Show, what) };
            if follow {
                return watch(desk, &params);
            }
            let value = desk.call("pipeline", params)?;
            let drawn = typed::<PipelineResult>(&value)?.mermaid;
            match drawn.filter(|_| mermaid && !desk.out.is_json()) {
                Some(drawn) => desk.out.result(&drawn),
                None => drop(desk.show::<PipelineResult>(&value, screens::pipeline)?),
            }
            Ok(0)
        }
        PipelineCommand::Approve { run, stage, refuse, message } => {
            one(desk, PipelineParams { stage, refuse, message, ..of(PipelineAction::Approve, run) })
        }
        PipelineCommand::Stop { run, message } => {
            one(desk, PipelineParams { message, ..of(PipelineAction::Stop, run) })
        }
        PipelineCommand::Rollback { run, stage } => {
            one(desk, PipelineParams { stage, ..of(PipelineAction::Rollback, run) })
        }
    }
}

fn one(desk: &mut Desk<'_>, params: PipelineParams) -> Result<u8, ApiError> {
    let value = desk.call("pipeline", params)?;
    let result = desk.show::<PipelineResult>(&value, screens::pipeline)?;
    if let Some(run) = result.run {
        desk.out.tip(&format!("kapell pipeline show {run} --follow"));
    }
    Ok(0)
}

fn run(desk: &mut Desk<'_>, args: PipelineRun) -> Result<u8, ApiError> {
    let mut params =
        PipelineParams { action: PipelineAction::Run, name: Some(args.name), ..PipelineParams::default() };
    params.request = match args.request {
        Some(request) if request == "-" => Some(calls::stdin_text("the request")?),
        other => other,
    };
    if let Some(plan) = args.plan {
        let file = desk.path(plan.clone());
        let is_file = desk.folder.join(&plan).is_file()
            || Path::new(&plan)
                .extension()
                .is_some_and(|ending| ["json", "yaml", "yml"].iter().any(|it| ending == *it));
        match (calls::stdin_plan(Some(&plan))?, is_file) {
            (Some(read), _) => params.text = Some(read),
            (None, true) => params.file = Some(file),
            (None, false) => params.plan_id = Some(plan),
        }
    }
    let value = desk.call("pipeline", params)?;
    let result: PipelineResult = typed(&value)?;
    let Some(run) = result.run.filter(|_| result.problems.is_empty()) else {
        desk.show::<PipelineResult>(&value, screens::pipeline)?;
        return Ok(1);
    };
    if args.follow {
        let params =
            PipelineParams { action: PipelineAction::Show, run: Some(run), ..PipelineParams::default() };
        return watch(desk, &params);
    }
    desk.show::<PipelineResult>(&value, screens::pipeline)?;
    desk.out.tip(&format!("kapell pipeline show {run} --follow"));
    Ok(0)
}

/// Shows a run whenever it changed, until it ends or waits for a person. 0: it is done or waits.
fn watch(desk: &mut Desk<'_>, params: &PipelineParams) -> Result<u8, ApiError> {
    let mut last = Value::Null;
    loop {
        // Asked before, so that nothing that happens meanwhile is missed.
        let seq = calls::newest(desk)?;
        let value = desk.call("pipeline", params)?;
        let result: PipelineResult = typed(&value)?;
        if value != last {
            if desk.out.is_json() {
                desk.out.json(&value);
            } else {
                let text = screens::pipeline(&desk.view(), &result);
                desk.out.redraw(&text);
            }
        }
        last = value;
        let state = result.state.as_deref().unwrap_or("done");
        let asks = result.stages.iter().any(|stage| stage.state.as_deref() == Some("approval"));
        if asks && state == "paused" {
            let run = result.run.clone().unwrap_or_default();
            desk.out.tip(&format!("kapell pipeline approve {run}"));
            return Ok(0);
        }
        if matches!(state, "done" | "failed" | "stopped" | "draft") {
            return Ok(u8::from(state != "done"));
        }
        if desk.cancel.is_cancelled() || desk.out.is_closed() {
            return Ok(0);
        }
        (desk.wait)(Interest { plan: result.run.clone(), ..Interest::default() }, seq)?;
        if desk.cancel.is_cancelled() {
            return Ok(0);
        }
    }
}
