//! The commands that stay: watching a status, waiting for a verdict, following a run and the log.
//! All are woken by events and by the ends of processes; none looks again because time has passed.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;

use super::args;
use super::calls::{self, Desk, typed};
use super::layout::{Style, cell};
use super::params;
use super::screens;
use super::status_file::StatusFile;
use crate::api::ApiError;
use crate::api::wire::{
    ControlParams, ControlResult, DispatchResult, EventStatus, HealthStatus, JudgeParams, JudgeResult,
    PlanResult, PlanStatus, Scope, StatusBody, StatusParams, StatusResult, TaskLine, WorkerStatus,
};
use crate::domain::refusal::{Code, Refusal};
use crate::services::following::{Follower, Interest, newest};
use crate::services::{Error, Session, dispatching, registry};
use crate::store::events::EventRow;

mod leaving;
use leaving::Left;

/// Tasks asked for at once while a run is followed.
const PAGE: u32 = 500;
/// `status` waits no longer than this.
const LONGEST_WAIT_MS: u64 = 45_000;
/// What a process ends with that was interrupted, as shells have it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// `status --watch`: shows it again whenever it changed, until Ctrl-C or a final state.
pub fn watch(
    desk: &mut Desk<'_>,
    mut params: StatusParams,
    mut file: Option<StatusFile>,
) -> Result<u8, ApiError> {
    let is_log = params.scope == Scope::Events && params.run_id.is_none();
    let mut last = Value::Null;
    loop {
        let value = desk.call("status", &params)?;
        let status: StatusResult = typed(&value)?;
        match (&mut file, &status.body) {
            (Some(file), StatusBody::Plan(plan)) => file.write(desk.out, plan),
            (Some(_), _) => {
                return Err(ApiError::invalid_params(
                    "--status-file is for the status of a plan",
                    "kapell status PLAN_ID --watch --status-file FILE",
                ));
            }
            (None, _) => {}
        }
        let mut body = value.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.remove("seq");
        }
        let is_news = match &status.body {
            StatusBody::Events { events } => !events.is_empty(),
            _ => body != last,
        };
        if is_news {
            if desk.out.is_json() {
                desk.out.json(&value);
            } else {
                let text = screens::status(&desk.view(), &status);
                // News of the log come below the old, everything else in its place.
                if is_log { desk.out.result(&text) } else { desk.out.redraw(&text) }
            }
        }
        last = body;
        if is_final(&status.body) || desk.out.is_closed() {
            return Ok(0);
        }
        if desk.cancel.is_cancelled() {
            return Ok(left(desk, file.as_mut(), &status.body));
        }
        if is_log {
            params.since_seq = Some(status.seq);
        }
        // All that happens may change what is shown: another project's task takes the last seat.
        let is_untold = params.scope == Scope::Environments;
        (desk.wait)(Interest { all_projects: true, is_untold, ..Interest::default() }, status.seq)?;
        if desk.cancel.is_cancelled() {
            return Ok(left(desk, file.as_mut(), &status.body));
        }
    }
}

/// Nobody watches any more, which the file says.
fn left(desk: &mut Desk<'_>, file: Option<&mut StatusFile>, body: &StatusBody) -> u8 {
    if let (Some(file), StatusBody::Plan(plan)) = (file, body) {
        file.leave(desk.out, plan);
    }
    0
}

/// `fleet`: the workers, once or whenever something happened.
pub fn fleet(desk: &mut Desk<'_>, args: &args::Fleet) -> Result<u8, ApiError> {
    let by = match args.by {
        args::By::Group => screens::By::Group,
        args::By::Provider => screens::By::Provider,
        args::By::Environment => screens::By::Environment,
    };
    let mut last = None;
    loop {
        let (mut value, seq, all) = all_workers(desk)?;
        let environments = match by {
            screens::By::Environment => Some(environments(desk)?),
            _ => None,
        };
        let now = Some((all, environments));
        if let Some((all, environments)) = now.as_ref().filter(|_| last != now) {
            if desk.out.is_json() {
                if let (Some(fields), Some(all)) = (value.as_object_mut(), environments) {
                    fields.insert("totals".to_owned(), serde_json::json!(all.totals));
                }
                desk.out.json(&value);
            } else {
                let text = screens::fleet(&desk.view(), all, by, environments.as_ref());
                if args.watch { desk.out.redraw(&text) } else { desk.out.result(&text) }
            }
        }
        let is_untold = by == screens::By::Environment;
        last = now;
        if !args.watch || desk.cancel.is_cancelled() || desk.out.is_closed() {
            return Ok(0);
        }
        (desk.wait)(Interest { all_projects: true, is_untold, ..Interest::default() }, seq)?;
        if desk.cancel.is_cancelled() {
            return Ok(0);
        }
    }
}

/// What `fleet` shows of environments.
fn environments(desk: &Desk<'_>) -> Result<screens::Places, ApiError> {
    let params = StatusParams { scope: Scope::Environments, ..StatusParams::default() };
    let status: StatusResult = typed(&desk.call("status", &params)?)?;
    let StatusBody::Environments { environments, totals } = status.body else {
        return Err(Error::Bug("the environments are something else".to_owned()).into());
    };
    Ok(screens::Places { names: environments.into_iter().map(|it| it.name).collect(), totals })
}

/// `health`: how everything is, once or whenever something happened. Ends with 1 if somebody should look.
pub fn health(desk: &mut Desk<'_>, watch: bool) -> Result<u8, ApiError> {
    let mut last = Value::Null;
    loop {
        let (value, seq, status) = whole_health(desk)?;
        if !desk.out.is_json() {
            let text = screens::health(&desk.view(), &status);
            if watch { desk.out.redraw(&text) } else { desk.out.result(&text) }
        } else if value != last {
            desk.out.json(&value);
        }
        last = value;
        let code = u8::from(!status.healthy);
        if !watch || desk.cancel.is_cancelled() || desk.out.is_closed() {
            return Ok(code);
        }
        (desk.wait)(Interest { all_projects: true, ..Interest::default() }, seq)?;
        if desk.cancel.is_cancelled() {
            return Ok(code);
        }
    }
}

/// The health of all workers, page by page.
fn whole_health(desk: &Desk<'_>) -> Result<(Value, i64, HealthStatus), ApiError> {
    let mut params = StatusParams { scope: Scope::Health, limit: Some(PAGE), ..StatusParams::default() };
    let mut all = Vec::new();
    loop {
        let mut status: StatusResult = typed(&desk.call("status", &params)?)?;
        let StatusBody::Health(health) = &mut status.body else {
            return Err(Error::Bug("the health is something else".to_owned()).into());
        };
        all.append(&mut health.health);
        params.cursor = status.next_cursor.take();
        if params.cursor.is_none() {
            health.health = all;
            let whole = health.clone();
            let value = serde_json::to_value(&status)
                .map_err(|error| Error::Bug(format!("the status is no JSON: {error}")))?;
            return Ok((value, status.seq, whole));
        }
    }
}

/// All workers of the project, page by page.
fn all_workers(desk: &Desk<'_>) -> Result<(Value, i64, screens::Fleet), ApiError> {
    let mut params = StatusParams { scope: Scope::Workers, limit: Some(PAGE), ..StatusParams::default() };
    let mut all: Vec<WorkerStatus> = Vec::new();
    loop {
        let mut status: StatusResult = typed(&desk.call("status", &params)?)?;
        let StatusBody::Workers { workers, missed, warnings } = &mut status.body else {
            return Err(Error::Bug("the workers are something else".to_owned()).into());
        };
        all.append(workers);
        let (missed, warnings) = (*missed, std::mem::take(warnings));
        params.cursor.clone_from(&status.next_cursor);
        if params.cursor.is_none() {
            let seq = status.seq;
            let fleet = screens::Fleet { workers: all, missed, warnings };
            let screens::Fleet { workers, missed, warnings } = fleet.clone();
            status.body = StatusBody::Workers { workers, missed, warnings };
            let value = serde_json::to_value(&status)
                .map_err(|error| Error::Bug(format!("the status is no JSON: {error}")))?;
            return Ok((value, seq, fleet));
        }
    }
}

/// Whether nothing more will happen to what was asked about; `status` does not wait then.
fn is_final(body: &StatusBody) -> bool {
    match body {
        StatusBody::Plan(plan) => is_over(plan),
        StatusBody::Task(task) => matches!(task.state.as_str(), "done" | "failed" | "cancelled"),
        StatusBody::Attempt(attempt) => attempt.state == "finished",
        StatusBody::Judgement(judgement) => judgement.state != "running",
        _ => false,
    }
}

/// Whether a plan has ended. One that was stopped is told with its conductor for as long as that ends what runs.
fn is_over(plan: &PlanStatus) -> bool {
    matches!(plan.state.as_str(), "done" | "failed" | "stopped") && plan.conductor.is_none()
}

/// `judge`: starts it and, unless told otherwise, waits for the verdict.
pub fn judge(desk: &mut Desk<'_>, params: JudgeParams, no_wait: bool) -> Result<u8, ApiError> {
    let started = desk.call("judge", params)?;
    let (result, shown) = match judged(desk, started, no_wait)? {
        Ok(judged) => judged,
        Err(code) => return Ok(code),
    };
    desk.show::<JudgeResult>(&shown, screens::judge)?;
    Ok(calls::judgement_code(&result))
}

/// What to do about a merge that its gates refused.
const MEND_THE_MERGE: &str =
    "the branch is as it was; mend it there, or send a task that does, then kapell land again";

/// `land`: what has to be proved first is waited for.
pub fn land(desk: &mut Desk<'_>, params: ControlParams) -> Result<u8, ApiError> {
    let mut value = desk.call("control", params)?;
    let result: ControlResult = typed(&value)?;
    let is_json = desk.out.is_json();
    if !is_json {
        desk.show::<ControlResult>(&value, screens::control)?;
    }
    let mut code = u8::from(!result.ack);
    let mut runs = Vec::new();
    for run_id in result.run_ids {
        let run = JudgeResult { run_id, state: "running".to_owned(), ..JudgeResult::default() };
        let run = serde_json::to_value(run).map_err(|error| Error::Bug(error.to_string()))?;
        let (result, shown) = match judged(desk, run, false)? {
            Ok(judged) => judged,
            Err(code) => return Ok(code),
        };
        let refused = calls::judgement_code(&result);
        code = code.max(refused);
        if !is_json {
            desk.show::<JudgeResult>(&shown, screens::judge)?;
            if refused != 0 {
                desk.out.tip(MEND_THE_MERGE);
            }
        }
        runs.push(shown);
    }
    if is_json {
        // One line: what was done, and what came of the runs.
        if !runs.is_empty() {
            value["runs"] = runs.into();
        }
        desk.show::<ControlResult>(&value, screens::control)?;
    }
    Ok(code)
}

/// Waits, unless told otherwise, for what came of a judging run; or the exit code where the wait was given up.
fn judged(
    desk: &mut Desk<'_>,
    started: Value,
    no_wait: bool,
) -> Result<Result<(JudgeResult, Value), u8>, ApiError> {
    let mut result: JudgeResult = typed(&started)?;
    let mut shown = started;
    let mut seen = None;
    while !no_wait && result.state == "running" {
        let gates = result.gates.iter().map(|gate| format!("{} {}", gate.name, gate.outcome));
        desk.out.progress(&[vec!["judging".to_owned()], gates.collect()].concat().join(" · "));
        if let Some(seen) = seen {
            (desk.wait)(Interest { kind: Some("run.".to_owned()), ..Interest::default() }, seen)?;
        }
        if desk.cancel.is_cancelled() {
            return Ok(Err(left_running(desk, &result)));
        }
        let params = StatusParams { run_id: Some(result.run_id.clone()), ..StatusParams::default() };
        let status: StatusResult = typed(&desk.call("status", params)?)?;
        seen = Some(status.seq);
        let StatusBody::Judgement(judgement) = status.body else {
            return Err(Error::Bug(format!("{} is no judgement", result.run_id)).into());
        };
        result = judgement;
        shown = serde_json::to_value(&result)
            .map_err(|error| Error::Bug(format!("the judgement is no JSON: {error}")))?;
    }
    Ok(Ok((result, shown)))
}

fn left_running(desk: &mut Desk<'_>, result: &JudgeResult) -> u8 {
    let run_id = result.run_id.clone();
    desk.out.aside(|page| {
        page.wrapped(&[], Style::Plain, "interrupted before the verdict");
        page.wrapped(
            &cell(Style::Faint, "  next: "),
            Style::Plain,
            &format!("kapell status --run-id {run_id}"),
        );
    });
    INTERRUPTED
}

/// `run`: plan, dispatch, then a line for every change of a task, and a summary.
pub fn run(desk: &mut Desk<'_>, args: &args::Run) -> Result<u8, ApiError> {
    let began = Instant::now();
    let mut file =
        args.status_file.as_ref().map(|file| StatusFile::at(desk.folder.join(file))).transpose()?;
    let read = calls::stdin_plan(Some(&args.file))?;
    let planned = desk.call("plan", params::plan_of_run(args, desk.path(args.file.clone()), read))?;
    let plan: PlanResult = typed(&planned)?;
    let plan_id = match plan.plan_id.clone().filter(|_| !calls::has_errors(&plan)) {
        Some(id) => id,
        None => {
            desk.show::<PlanResult>(&planned, screens::plan)?;
            return Ok(1);
        }
    };
    let started = desk.call("dispatch", params::dispatch_of_run(args, plan_id.clone()));
    let started = started.map_err(|error| with_what_is_kept(desk, error, &plan_id))?;
    // Another one where that has the same tasks and its conductor had died.
    let plan_id = typed::<DispatchResult>(&started)?.plan_id;
    let mut waits = Vec::new();
    if args.detach {
        let result = desk.show::<DispatchResult>(&started, screens::dispatch)?;
        let log = desk.logs.join(format!("{}.log", result.plan_id));
        desk.out.note(&format!("what goes wrong with it is in {}", log.display()));
        desk.out.tip(&format!("kapell status --scope plan --id {} --watch", result.plan_id));
        return Ok(0);
    }
    if !desk.out.is_json() {
        // Warnings are shown too; the plan itself was just written by whoever runs it.
        if !plan.problems.is_empty() {
            let text = screens::plan(&desk.view(), &plan);
            desk.out.result(&text);
        }
        let started: DispatchResult = typed(&started)?;
        waits = started.waiting.iter().map(|it| what_for(&format!("{}: {}", it.reason, it.on))).collect();
        let text = screens::dispatch(&desk.view(), &started);
        desk.out.result(&text);
    }
    let mut goes_on = true;
    let ended = match follow_plan(desk, &plan_id, file.as_mut(), waits)? {
        Some(ended) => Ok(ended),
        None => {
            let left = leaving::what_now(desk, &plan_id)?;
            let status = match left {
                Err(Left::Stopped) => Some(leaving::until_stopped(desk, &plan_id, file.as_mut())?),
                _ if file.is_some() => Some(whole_plan(desk, &plan_id)?.2),
                _ => None,
            };
            if let (Some(file), Some(status)) = (&mut file, &status) {
                file.leave(desk.out, status);
            }
            goes_on = !status.is_some_and(|status| is_over(&status));
            left
        }
    };
    match ended {
        Ok((value, status)) => {
            if desk.out.is_json() {
                desk.out.json(&value);
            } else {
                let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let text = screens::run_summary(&desk.view(), &status, took);
                desk.out.result(&text);
                desk.out.tip(match status.state.as_str() {
                    "done" => "kapell land brings it to its target branch",
                    _ => "kapell status --scope task --id PLAN_ID/TASK_ID shows why",
                });
            }
            Ok(u8::from(status.state != "done"))
        }
        Err(state) => {
            let told = match state {
                Left::Runs => format!("{plan_id} goes on in the background"),
                Left::Paused => format!("{plan_id} is paused: kapell resume {plan_id} goes on"),
                Left::Stopped if goes_on => format!("{plan_id} is to stop, and has not yet"),
                Left::Stopped => {
                    format!("{plan_id} is stopped, its work kept: kapell resume {plan_id} goes on")
                }
            };
            desk.out.aside(|page| {
                page.wrapped(&[], Style::Plain, &told);
                if !goes_on {
                    return;
                }
                let force = if state == Left::Stopped { " --force" } else { "" };
                for (name, command) in [
                    (" watch: ", format!("kapell status --scope plan --id {plan_id} --watch")),
                    ("  stop: ", format!("kapell stop {plan_id}{force}")),
                ] {
                    page.wrapped(&cell(Style::Faint, name), Style::Plain, &command);
                }
            });
            Ok(INTERRUPTED)
        }
    }
}

/// A refusal to start a plan, and that the plan is stored where it is a draft: what was made of the file is not lost.
fn with_what_is_kept(desk: &Desk<'_>, error: ApiError, plan_id: &str) -> ApiError {
    let is_draft = whole_plan(desk, plan_id).is_ok_and(|(_, _, plan)| plan.state == "draft");
    if !is_draft {
        return error;
    }
    let kept =
        format!("the plan is kept as the draft {plan_id}: kapell dispatch --plan-id {plan_id} starts it");
    let hint = if error.hint.is_empty() { kept } else { format!("{}; {kept}", error.hint) };
    ApiError { hint, ..error }
}

/// What is waited for, of a reason whose figures change.
fn what_for(reason: &str) -> String {
    let kind = reason.split(": ").next().unwrap_or(reason);
    if kind == "claim" { reason } else { kind }.to_owned()
}

/// Follows a plan to its end and gives its last status; nothing if it was interrupted. For what is waited is told
/// once; `waits` was told already.
fn follow_plan(
    desk: &mut Desk<'_>,
    plan_id: &str,
    mut file: Option<&mut StatusFile>,
    mut waits: Vec<String>,
) -> Result<Option<(Value, PlanStatus)>, ApiError> {
    let mut known: HashMap<String, (String, Option<String>)> = HashMap::new();
    let mut reason = None;
    loop {
        let (value, seq, status) = whole_plan(desk, plan_id)?;
        if let Some(file) = &mut file {
            file.write(desk.out, &status);
        }
        for task in &status.tasks {
            let now = (task.state.clone(), task.attempt.clone());
            let before = known.insert(screens::id_text(&task.id), now.clone());
            let wait = task.reason.as_deref().filter(|_| task.state == "ready").map(what_for);
            let is_new_wait = wait.is_some_and(|wait| {
                let is_new = !waits.contains(&wait);
                if is_new {
                    waits.push(wait);
                }
                is_new
            });
            if !desk.out.is_json() && (is_new_wait || is_news(before.as_ref(), &now)) {
                let line = screens::task_change(&desk.view(), task);
                desk.out.result(&line);
            }
        }
        if is_over(&status) {
            return Ok(Some((value, status)));
        }
        let PlanStatus { done, total, running, .. } = &status;
        let state = if status.state == "stopped" { "stopping" } else { &status.state };
        // Such as that nobody runs it any more.
        if status.reason != reason {
            reason.clone_from(&status.reason);
            if let Some(reason) = &reason {
                desk.out.note(&format!("{plan_id}: {reason}"));
            }
        }
        let queued =
            status.position.map(|place| format!(", #{place} in the queue for room")).unwrap_or_default();
        desk.out.progress(&format!("{state}: {done}/{total} done, {running} running{queued}"));
        if !desk.cancel.is_cancelled() {
            (desk.wait)(Interest { plan: Some(plan_id.to_owned()), ..Interest::default() }, seq)?;
        }
        if desk.cancel.is_cancelled() {
            return Ok(None);
        }
    }
}

/// Whether a task's state is worth a line. That a task waits is worth one only after it did something.
fn is_news(before: Option<&(String, Option<String>)>, now: &(String, Option<String>)) -> bool {
    match (before, now.0.as_str()) {
        (_, "ready") => false,
        (None, "waiting") => false,
        (Some((state, _)), "waiting") => state != "ready" && state != "waiting",
        (Some(before), _) => before != now,
        (None, _) => true,
    }
}

/// The plan with all its tasks.
fn whole_plan(desk: &Desk<'_>, plan_id: &str) -> Result<(Value, i64, PlanStatus), ApiError> {
    let mut params = StatusParams {
        scope: Scope::Plan,
        id: Some(plan_id.to_owned()),
        limit: Some(PAGE),
        ..StatusParams::default()
    };
    let mut first: Option<StatusResult> = None;
    let mut tasks: Vec<TaskLine> = Vec::new();
    loop {
        let status: StatusResult = typed(&desk.call("status", &params)?)?;
        let StatusBody::Plan(plan) = &status.body else {
            return Err(Error::Bug(format!("{plan_id} is no plan")).into());
        };
        tasks.extend(plan.tasks.iter().cloned());
        params.cursor.clone_from(&status.next_cursor);
        first.get_or_insert(status);
        if params.cursor.is_none() {
            break;
        }
    }
    let Some(mut status) = first else { return Err(Error::Bug("no status".to_owned()).into()) };
    status.next_cursor = None;
    let seq = status.seq;
    if let StatusBody::Plan(plan) = &mut status.body {
        plan.tasks = tasks;
    }
    let value = serde_json::to_value(&status)
        .map_err(|error| Error::Bug(format!("the status is no JSON: {error}")))?;
    match status.body {
        StatusBody::Plan(plan) => Ok((value, seq, plan)),
        _ => Err(Error::Bug(format!("{plan_id} is no plan")).into()),
    }
}

/// Events shown when none in particular were asked for.
const LAST: usize = 50;
/// As `tail -f` does, before what is new.
const LAST_BEFORE_NEW: usize = 10;

/// `events`.
pub fn events(desk: &mut Desk<'_>, session: &Session, args: args::Events) -> Result<u8, ApiError> {
    let mut interest = Interest { all_projects: args.all_projects, kind: args.kind, ..Interest::default() };
    if let Some(plan) = &args.plan {
        // A plan of another project is followed as well; one that nobody knows would be waited for in vain.
        let meant = registry::meant(session, &session.project()?, plan)?;
        let row = dispatching::find_plan(&meant.session, &meant.project, &meant.id)?;
        interest = Interest { all_projects: true, plan: Some(row.id.to_string()), ..interest };
    }
    let since = match args.since {
        Some(since) => since,
        None => {
            let last = if args.follow { LAST_BEFORE_NEW } else { LAST };
            let (rows, seq) = newest(session, &interest, last)?;
            print_events(desk, rows)?;
            seq
        }
    };
    if args.since.is_none() && !args.follow {
        return Ok(0);
    }
    let mut follower = Follower::new(session, interest, Some(since))?;
    while !desk.out.is_closed() {
        let rows = if args.follow { follower.next(None)? } else { follower.look()? };
        if rows.is_empty() {
            break;
        }
        print_events(desk, rows)?;
    }
    Ok(0)
}

/// `events` from inside a worker's wall: the log is asked for by way of its shim, which tells of the worker's
/// own project.
pub fn events_inside(desk: &mut Desk<'_>, args: args::Events) -> Result<u8, ApiError> {
    if args.all_projects {
        return Err(Refusal::new(
            Code::NotAllowed,
            "a worker is told of its own project only",
            "leave --all-projects out",
        )
        .into());
    }
    let mut params = StatusParams {
        scope: Scope::Events,
        id: args.plan,
        kind: args.kind,
        since_seq: args.since,
        limit: Some(if args.follow { LAST_BEFORE_NEW } else { LAST } as u32),
        ..StatusParams::default()
    };
    let is_whole = args.since.is_some() || args.follow;
    loop {
        let value = desk.call("status", &params)?;
        let status: StatusResult = typed(&value)?;
        let StatusBody::Events { events } = status.body else {
            return Err(Error::Bug("the log is something else".to_owned()).into());
        };
        // The next page begins after the last that was told; where all were, after the newest there is.
        let last = events.last().map(|event| event.seq);
        let is_last = status.next_cursor.is_none();
        print_told(desk, events)?;
        if !is_whole || desk.out.is_closed() || desk.cancel.is_cancelled() || is_last && !args.follow {
            return Ok(0);
        }
        let after = if is_last { Some(status.seq).max(last) } else { last };
        params = StatusParams {
            since_seq: after.max(params.since_seq),
            limit: Some(PAGE),
            wait_ms: (is_last && args.follow).then_some(LONGEST_WAIT_MS),
            ..params
        };
    }
}

fn print_events(desk: &mut Desk<'_>, rows: Vec<EventRow>) -> Result<(), ApiError> {
    print_told(desk, rows.into_iter().map(told).collect())
}

fn print_told(desk: &mut Desk<'_>, events: Vec<EventStatus>) -> Result<(), ApiError> {
    for event in events {
        if desk.out.is_json() {
            let value = serde_json::to_value(&event)
                .map_err(|error| Error::Bug(format!("an event is no JSON: {error}")))?;
            desk.out.json(&value);
        } else {
            let line = screens::events_line(&desk.view(), &event);
            desk.out.result(&line);
        }
    }
    Ok(())
}

/// An event as `status` tells it.
fn told(row: EventRow) -> EventStatus {
    EventStatus {
        seq: row.seq,
        at: row.at.to_string(),
        kind: row.kind,
        plan_id: row.plan,
        task: row.task,
        attempt: row.attempt,
        holder: row.holder,
        text: row.text,
        data: row.data.and_then(|data| serde_json::from_str(&data).ok()),
    }
}

#[cfg(test)]
mod tests;
