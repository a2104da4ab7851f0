//! The commands that are methods: call, show, and what the exit code says about the result.

use std::cell::RefCell;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::{self, Command};
use super::print::Out;
use super::screens::{self, View};
use super::status_file::StatusFile;
use super::{environments, follow, params, staging};
use crate::api::wire::{
    Action, CheckpointParams, CheckpointResult, ClaimFilesParams, ClaimFilesResult, ControlParams,
    ControlResult, CostStatus, DispatchParams, DispatchResult, JudgeResult, PlanResult, ReleaseFilesParams,
    ReleaseFilesResult, ReportParams, ReportResult, RouteStatus, Scope, StatusBody, StatusParams,
    StatusResult,
};
use crate::api::{ApiError, relayed, table};
use crate::base::clock::{Time, Zone};
use crate::domain::refusal::{Code, Refusal};
use crate::services::following::Interest;
use crate::services::{Cancel, Session, querying};

/// The longest that nobody looks while nothing is told.
const LOOK_AGAIN: Duration = Duration::from_secs(45);
/// The same where what is shown changes without being told: files in a checkout, a service.
const LOOK_SOON: Duration = Duration::from_secs(2);

/// The longest page that `status` gives.
const LARGEST_PAGE: u32 = 500;

/// Calls a method of the contract by its name.
pub type Ask<'a> = Box<dyn Fn(&str, Value) -> Result<Value, ApiError> + 'a>;

/// Waits until something that is of interest happened after an event's number, somebody ended who lived when it was
/// looked last, or it is time to look again.
pub type Wait<'a> = Box<dyn Fn(Interest, i64) -> Result<(), ApiError> + 'a>;

/// One command at work: whom to ask, where to write.
pub struct Desk<'a> {
    /// Calls a method.
    pub ask: Ask<'a>,
    /// Waits for news.
    pub wait: Wait<'a>,
    /// The folder that paths of plan files are relative to.
    pub folder: PathBuf,
    /// The folder of the logs of conductors.
    pub logs: PathBuf,
    /// Ends a wait.
    pub cancel: Cancel,
    /// Where results go.
    pub out: &'a mut Out,
    /// The person's time zone.
    pub zone: Zone,
}

impl<'a> Desk<'a> {
    /// A desk that asks the table of methods.
    pub fn new(session: &'a Session, out: &'a mut Out) -> Self {
        let ask = |name: &str, params: Value| match (table::find(name), session.house.shim_socket()) {
            (Some(method), Some(shim)) => relayed::call(shim, method.name, &params),
            (Some(method), None) => method.call(session, params),
            (None, _) => Err(ApiError::unknown_method(name)),
        };
        // Those who lived before the last look. Before the first nobody took note of them, so it is looked again.
        let known = RefCell::new(None);
        let wait = move |interest: Interest, since: i64| {
            if session.house.shim_socket().is_some() {
                return Err(ApiError::from(Refusal::new(
                    Code::Unsupported,
                    "inside a worker's wall nothing is followed",
                    "kapell status --wait-ms 45000 --since-seq N waits for news",
                )));
            }
            let limit = if interest.is_untold { LOOK_SOON } else { LOOK_AGAIN };
            let plan = interest.plan.clone();
            if let Some(known) = known.take() {
                querying::wait_for_news(session, interest, Some(since), limit, known, &mut || Ok(false))?;
            }
            known.replace(Some(querying::living(session, plan.as_deref())?));
            Ok(())
        };
        Self {
            ask: Box::new(ask),
            wait: Box::new(wait),
            folder: session.folder.clone(),
            logs: session.house.root.join("log"),
            cancel: session.cancel.clone(),
            out,
            zone: Zone::System,
        }
    }

    /// From where results are looked at now.
    pub fn view(&mut self) -> View {
        View { look: self.out.look(), now: Time::now(), zone: self.zone.clone() }
    }

    /// A file as the method finds it: it looks from the top of the project, a person from the
    /// current folder.
    pub fn path(&self, file: String) -> String {
        match self.folder.join(&file).to_str() {
            Some(path) if self.folder.join(&file).exists() => path.to_owned(),
            _ => file,
        }
    }

    /// Calls a method.
    pub fn call(&self, method: &str, params: impl Serialize) -> Result<Value, ApiError> {
        let params = serde_json::to_value(params).map_err(|error| bug(method, &error))?;
        (self.ask)(method, params)
    }

    /// Shows a result: as it is for programs, on a screen for people.
    pub fn show<T: DeserializeOwned>(
        &mut self,
        value: &Value,
        screen: impl FnOnce(&View, &T) -> String,
    ) -> Result<T, ApiError> {
        let result: T = typed(value)?;
        if self.out.is_json() {
            self.out.json(value);
        } else {
            let text = screen(&self.view(), &result);
            self.out.result(&text);
            // What a worker is told that it did not ask for is beside the result in JSON.
            for nudge in value[table::NUDGES].as_array().into_iter().flatten() {
                let text = |key: &str| nudge[key].as_str().unwrap_or_default();
                self.out.note(&format!("{} says: {}", text("who"), text("text")));
            }
        }
        Ok(result)
    }
}

/// A result as its wire type.
pub fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, ApiError> {
    T::deserialize(value).map_err(|error| bug("the result", &error))
}

fn bug(what: &str, error: &serde_json::Error) -> ApiError {
    ApiError::from(crate::services::Error::Bug(format!("{what}: {error}")))
}

/// Runs a command that is a method, or made of methods. Gives the exit code.
pub fn run(desk: &mut Desk<'_>, command: Command) -> Result<u8, ApiError> {
    match command {
        Command::ClaimFiles(args) => {
            let params = ClaimFilesParams::from(args);
            if let Some(wait_s) = params.wait_s.filter(|wait| *wait > 0) {
                desk.out
                    .progress(&format!("waiting up to {}", screens::duration(wait_s.saturating_mul(1000))));
            }
            let value = desk.call("claim-files", params)?;
            let result = desk.show::<ClaimFilesResult>(&value, screens::claim_files)?;
            if !result.granted {
                desk.out.tip("--wait-s 60 waits for it; kapell status --scope claims shows who holds what");
            }
            Ok(u8::from(!result.granted))
        }
        Command::ReleaseFiles(args) => {
            let value = desk.call("release-files", ReleaseFilesParams::from(args))?;
            let result = desk.show::<ReleaseFilesResult>(&value, screens::release_files)?;
            if !result.still_held.is_empty() {
                desk.out.tip(
                    "kapell status --scope claims shows who holds what; only a holder, or a person who knows its \
                     number, lets go of a claim",
                );
            }
            Ok(u8::from(!result.still_held.is_empty()))
        }
        Command::Checkpoint => {
            let value = desk.call("checkpoint", CheckpointParams {})?;
            let result = desk.show::<CheckpointResult>(&value, screens::checkpoint)?;
            Ok(u8::from(!result.outside_claim.is_empty()))
        }
        Command::Report(args) => {
            let value = desk.call("report", ReportParams::from(args))?;
            desk.show::<ReportResult>(&value, screens::report)?;
            Ok(0)
        }
        Command::Plan(args) => plan(desk, args),
        Command::Dispatch(args) => dispatch(desk, args.into()),
        Command::Send(mut args) => {
            if args.text == "-" {
                args.text = stdin_text("the task")?;
            }
            dispatch(desk, args.into())
        }
        Command::Route(mut args) => {
            if args.text == "-" {
                args.text = stdin_text("the task")?;
            }
            let value = desk.call("dispatch", DispatchParams::from(args))?;
            let result = desk.show::<DispatchResult>(&value, screens::route)?;
            let is_nobody = |route: RouteStatus| route.reason.as_deref() == Some("nobody");
            Ok(u8::from(result.route.is_some_and(is_nobody)))
        }
        Command::Fleet(args) => follow::fleet(desk, &args),
        Command::Health(args) => follow::health(desk, args.watch),
        Command::Status(mut args) if args.watch => {
            let file =
                args.status_file.take().map(|file| StatusFile::at(desk.folder.join(file))).transpose()?;
            follow::watch(desk, args.into(), file)
        }
        Command::Status(args) => {
            let value = desk.call("status", StatusParams::from(args))?;
            desk.show::<StatusResult>(&value, screens::status)?;
            Ok(0)
        }
        Command::Cost(args) => cost(desk, args),
        Command::List(args) => list(desk, args.all),
        Command::History(args) => history(desk, &args),
        Command::Replay(args) => replay(desk, args),
        Command::Judge(args) => {
            let no_wait = args.no_wait;
            follow::judge(desk, args.into(), no_wait)
        }
        Command::Control(args) => control(desk, args.into()),
        Command::Pause(args) => control(desk, params::steer(Action::Pause, args)),
        Command::Resume(args) => control(desk, params::resume(args)),
        Command::Stop(args) => control(desk, params::steer(Action::Stop, args)),
        Command::Cancel(args) => control(desk, params::steer(Action::Cancel, args)),
        Command::Retry(args) => control(desk, params::steer(Action::Retry, args)),
        Command::Approve(args) => control(desk, params::approve(args)),
        Command::Land(args) => follow::land(desk, args.into()),
        Command::ShutdownAll(args) => control(desk, args.into()),
        Command::Run(args) => follow::run(desk, &args),
        Command::Pipeline(args) => staging::pipeline(desk, args.what),
        Command::Env(args) => environments::run(desk, args.what),
        other => Err(ApiError::from(crate::services::Error::Bug(format!("{other:?} is no method")))),
    }
}

/// Whether the command goes on when it is told to end once.
pub fn goes_on(command: &Command) -> bool {
    matches!(command, Command::Env(args) if environments::goes_on(&args.what))
}

/// Whether the command waits, so that Ctrl-C ends the wait and not the process.
pub fn waits(command: &Command) -> bool {
    match command {
        Command::ClaimFiles(args) => args.wait_s.is_some_and(|wait| wait > 0),
        Command::Status(args) => args.watch || args.wait_ms.is_some(),
        Command::Fleet(args) => args.watch,
        Command::Judge(args) => !args.no_wait,
        Command::Land(_) => true,
        Command::Run(args) => !args.detach,
        Command::Pipeline(args) => staging::waits(&args.what),
        Command::Env(args) => environments::waits(&args.what),
        Command::Events(args) => args.follow,
        _ => false,
    }
}

fn plan(desk: &mut Desk<'_>, mut args: args::Plan) -> Result<u8, ApiError> {
    let read = stdin_plan(args.file.as_deref())?;
    args.file = args.file.map(|file| desk.path(file));
    if args.request.is_some() {
        desk.out.progress("the planner agent is at work");
    }
    let value = desk.call("plan", params::plan(args, read))?;
    let result = desk.show::<PlanResult>(&value, screens::plan)?;
    if let Some(id) = &result.plan_id {
        desk.out.tip(&format!("kapell dispatch --plan-id {id}"));
    }
    Ok(u8::from(has_errors(&result)))
}

/// Whether a plan was refused.
pub fn has_errors(result: &PlanResult) -> bool {
    result.problems.iter().any(|problem| problem.severity == "error")
}

fn dispatch(desk: &mut Desk<'_>, params: DispatchParams) -> Result<u8, ApiError> {
    let value = desk.call("dispatch", params)?;
    let result = desk.show::<DispatchResult>(&value, screens::dispatch)?;
    if result.run_id.is_some() {
        desk.out.tip(&format!("kapell status --scope plan --id {} --watch", result.plan_id));
    }
    Ok(0)
}

fn control(desk: &mut Desk<'_>, params: ControlParams) -> Result<u8, ApiError> {
    let value = desk.call("control", params)?;
    let result = desk.show::<ControlResult>(&value, screens::control)?;
    Ok(u8::from(!result.ack))
}

/// Scope `conductors`; those that ended are of kind `all`.
fn list(desk: &mut Desk<'_>, all: bool) -> Result<u8, ApiError> {
    let kind = all.then(|| "all".to_owned());
    let params = StatusParams { scope: Scope::Conductors, kind, ..StatusParams::default() };
    let value = all_pages(desk, params, "conductors", usize::MAX)?;
    desk.show::<StatusResult>(&value, screens::status)?;
    Ok(0)
}

/// Scope `history`, as much as is wanted of it.
fn history(desk: &mut Desk<'_>, args: &args::History) -> Result<u8, ApiError> {
    let params =
        StatusParams { scope: Scope::History, all_projects: args.all_projects, ..StatusParams::default() };
    let value = all_pages(desk, params, "runs", args.limit as usize)?;
    desk.show::<StatusResult>(&value, screens::status)?;
    Ok(0)
}

/// Scope `replay`. The steps are told one by one: of a long run the first is read while the last is looked for.
fn replay(desk: &mut Desk<'_>, args: args::Replay) -> Result<u8, ApiError> {
    let mut params = StatusParams {
        scope: Scope::Replay,
        id: Some(args.plan),
        limit: Some(LARGEST_PAGE),
        ..StatusParams::default()
    };
    let mut is_known = args.task.is_none();
    loop {
        let value = desk.call("status", &params)?;
        let status: StatusResult = typed(&value)?;
        let StatusBody::Replay { steps } = status.body else {
            return Err(crate::services::Error::Bug("the replay is something else".to_owned()).into());
        };
        for step in steps {
            let of_task = args.task.as_ref().is_none_or(|task| step.task.as_ref() == Some(task));
            is_known |= of_task;
            if !of_task || args.kind.as_ref().is_some_and(|kind| !step.kind.starts_with(kind.as_str())) {
                continue;
            }
            if desk.out.is_json() {
                let value = serde_json::to_value(&step).map_err(|error| bug("a step", &error))?;
                desk.out.json(&value);
            } else {
                let text = screens::replay_step(&desk.view(), &step);
                desk.out.result(&text);
            }
        }
        if status.next_cursor.is_none() && !is_known {
            let why = format!("nothing is recorded of task {}", args.task.unwrap_or_default());
            return Err(Refusal::new(Code::NotFound, why, "without --task all is told").into());
        }
        if status.next_cursor.is_none() || desk.out.is_closed() {
            return Ok(0);
        }
        params.cursor = status.next_cursor;
    }
}

/// Scope `cost`, all pages of it.
fn cost(desk: &mut Desk<'_>, args: args::Cost) -> Result<u8, ApiError> {
    let params =
        StatusParams { scope: Scope::Cost, by: args.by, since: args.since, ..StatusParams::default() };
    let all = all_pages(desk, params, "cost", usize::MAX)?;
    if args.csv {
        let text = screens::csv(&typed::<CostStatus>(&all)?);
        desk.out.result(&text);
    } else {
        desk.show::<StatusResult>(&all, screens::status)?;
    }
    Ok(0)
}

/// All pages of an answer as one, its `list` at most `most` long.
fn all_pages(desk: &Desk<'_>, mut params: StatusParams, list: &str, most: usize) -> Result<Value, ApiError> {
    let next = |answer: &mut Value| answer.as_object_mut().and_then(|fields| fields.remove("next_cursor"));
    let length = |answer: &Value| answer[list].as_array().map_or(0, Vec::len);
    params.limit = Some(LARGEST_PAGE.min(u32::try_from(most).unwrap_or(LARGEST_PAGE)));
    let mut all = desk.call("status", &params)?;
    while let Some(cursor) = next(&mut all) {
        if length(&all) >= most {
            break;
        }
        params.cursor = cursor.as_str().map(str::to_owned);
        let mut more = desk.call("status", &params)?;
        let after = next(&mut more);
        if let (Some(lines), Some(more)) = (all[list].as_array_mut(), more[list].as_array_mut()) {
            lines.append(more);
        }
        if let (Some(fields), Some(after)) = (all.as_object_mut(), after) {
            fields.insert("next_cursor".to_owned(), after);
        }
    }
    if let Some(lines) = all[list].as_array_mut() {
        lines.truncate(most);
    }
    Ok(all)
}

/// The number of the newest event.
pub fn newest(desk: &Desk<'_>) -> Result<i64, ApiError> {
    let params = StatusParams { scope: Scope::Conductors, limit: Some(1), ..StatusParams::default() };
    Ok(typed::<StatusResult>(&desk.call("status", params)?)?.seq)
}

/// What a judgement ends with: 0 approved or still running, 1 rejected, 4 could not be judged.
pub fn judgement_code(result: &JudgeResult) -> u8 {
    match result.verdict.as_deref() {
        Some("approved") => 0,
        Some("rejected") => 1,
        Some(_) => 4,
        None if result.state == "running" => 0,
        None => 4,
    }
}

/// The plan on stdin if the file is called `-`. It stays text, so that what is wrong with it has its place.
pub fn stdin_plan(file: Option<&str>) -> Result<Option<String>, ApiError> {
    (file == Some("-")).then(|| stdin_text("the plan")).transpose()
}

/// No plan and no task is longer; whatever is, was sent by mistake.
const LONGEST_INPUT: u64 = 16 << 20;

/// Text on stdin.
pub fn stdin_text(what: &str) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST_INPUT + 1).read_to_end(&mut bytes);
    read.map_err(|error| crate::services::Error::system(format!("reading {what} from stdin"), error))?;
    if bytes.len() as u64 > LONGEST_INPUT {
        return Err(ApiError::invalid_params(format!("{what} on stdin is longer than 16 MiB"), "send less"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        ApiError::invalid_params(
            format!("{what} on stdin is no UTF-8 text, at byte {at}"),
            "convert it to UTF-8",
        )
    })
}
