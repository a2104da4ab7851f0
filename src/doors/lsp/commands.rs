//! `workspace/executeCommand`: every method of the contract as `kapell.METHOD`, and what editors need
//! besides.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::desk::Desk;
use super::disk::{Difference, Seen, digest_of};
use super::documents::path_of;
use super::outbox::Message;
use super::reading::{aside, folder_of, ownership};
use super::types::{ErrorCode, ExecuteCommandParams, LSPAny, MessageType, RpcError, Uri};
use crate::api::{ApiError, table};
use crate::base::paths::RepoPath;
use crate::base::tasks;
use crate::domain::conducting::PlanState;
use crate::domain::plan::problem::ProblemCode;
use crate::domain::refusal::{Code, Refusal};
use crate::services::project::Project;
use crate::services::{Cancel, planning};
use crate::store::plans::PlanRow;

/// How the commands of the contract begin.
const PREFIX: &str = "kapell.";
/// Asks for a file that somebody else holds, and answers at once.
const ASK: &str = "kapell.ask";
/// Checks a plan file.
const CHECK: &str = "kapell.checkPlan";
/// Stores a plan file and starts it.
const DISPATCH: &str = "kapell.dispatchPlan";
/// So long a file is waited for that was asked for.
const ASKED_FOR_S: u64 = 3600;

/// All commands that are carried out here.
pub fn names() -> Vec<String> {
    let methods = table::methods().iter().map(|method| format!("{PREFIX}{}", method.name));
    methods.chain([ASK, CHECK, DISPATCH].map(str::to_owned)).collect()
}

/// Ends a call whose request was cancelled: then this is dropped before it is done.
pub struct CancelOnDrop(pub Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Carries out a command.
pub async fn execute(desk: &Arc<Desk>, params: ExecuteCommandParams) -> Result<Value, ApiError> {
    let mut arguments = params.arguments.into_iter();
    let argument = arguments.next().unwrap_or_else(|| Value::Object(Map::new()));
    let root = arguments.next().filter(|second| !second.is_null()).map(|it| meant(&it)).transpose()?;
    if params.command == ASK {
        return ask(desk, &argument).await;
    }
    if params.command == CHECK || params.command == DISPATCH {
        let is_check = params.command == CHECK;
        return aside(desk, move |desk| of_file(desk, &argument, is_check)).await?;
    }
    let name = params.command.strip_prefix(PREFIX).unwrap_or(&params.command);
    let method = table::find(name).ok_or_else(|| ApiError::unknown_method(&params.command))?;
    let folder = folder_of(desk, root.as_ref());
    if method.name == "claim-files" {
        in_project(root.as_ref(), &folder)?;
    }
    let call = desk.client.begin().in_folder(folder);
    let _cancel = CancelOnDrop(call.cancel().clone());
    let turn = if (method.slow)(&argument) { desk.turn().await } else { None };
    aside(desk, move |_| {
        let _turn = turn;
        call.run(method, argument)
    })
    .await?
}

/// The file or folder of the project that is meant, as a second argument names it.
fn meant(second: &Value) -> Result<Uri, ApiError> {
    let uri = second.as_str().or_else(|| second.get("uri")?.as_str()).and_then(|uri| uri.parse::<Uri>().ok());
    uri.filter(|uri| path_of(uri).is_some()).ok_or_else(|| {
        ApiError::invalid_params(
            format!("the second argument names a file or folder of the project, and {second} is none"),
            "give the URI of one, as in {\"uri\": \"file:///…\"}, or leave it out for the first folder",
        )
    })
}

/// Whether there is a project around what was named, in whose folder nobody would heed a claim otherwise: a
/// repository, or a folder with a configuration.
fn in_project(named: Option<&Uri>, folder: &Path) -> Result<(), ApiError> {
    let project = Project::of(folder)?;
    let is_one = project.repository.is_some()
        || project.top.as_deref().is_some_and(|top| top.join("kapell.toml").is_file());
    if is_one {
        return Ok(());
    }
    let named = named.map_or_else(|| folder.display().to_string(), |named| named.as_str().to_owned());
    Err(Refusal::new(
        Code::NotFound,
        format!("{named} lies in no project"),
        "name a file or folder of a repository, or of a folder with kapell.toml",
    )
    .into())
}

/// Checks the plan that a file holds, or stores and starts it: `{plan, dispatch?}`.
fn of_file(desk: &Desk, argument: &Value, is_check: bool) -> Result<Value, ApiError> {
    let uri = argument.get("uri").and_then(Value::as_str).and_then(|uri| uri.parse::<Uri>().ok());
    let Some((uri, path)) = uri.and_then(|uri| path_of(&uri).map(|path| (uri, path))) else {
        return Err(ApiError::invalid_params(
            "this command wants the uri of a plan file",
            "give it {\"uri\": \"file:///…/plan.json\"}",
        ));
    };
    let is_unsaved = desk.documents.get(&uri).is_some_and(|document| {
        Seen::default().compare(&path, digest_of(&document.text)) == Difference::Some
    });
    if is_unsaved && !is_check {
        return Err(Refusal::new(
            Code::Conflict,
            format!("{} has unsaved changes", path.display()),
            "save it first: what is stored is what lies on the disk",
        )
        .into());
    }
    let folder = folder_of(desk, Some(&uri));
    let run = |name: &str, params: Value| {
        let method = table::find(name).ok_or_else(|| ApiError::unknown_method(name))?;
        desk.client.begin().in_folder(folder.clone()).run(method, params)
    };
    let project = Project::of(&folder)?;
    let top = project.top().map_err(ApiError::from)?;
    // An absolute path stays what it is when it is joined to the top.
    let file = path.canonicalize().unwrap_or(path);
    let file = file.strip_prefix(top).unwrap_or(&file).to_string_lossy().into_owned();
    let _beginning = (!is_check).then(|| desk.beginning.lock().unwrap_or_else(PoisonError::into_inner));
    let twin = if is_check { None } else { twin(desk, &folder, &top.join(&file))? };
    if let Some(twin) = &twin
        && twin.state != PlanState::Draft
    {
        return Err(begun(twin).into());
    }
    let mut plan = run("plan", json!({"file": file, "check_only": is_check || twin.is_some()}))?;
    if let Some(twin) = &twin {
        // That one is begun, and no copy of it.
        plan["plan_id"] = json!(twin.id.as_str());
        if let Some(problems) = plan["problems"].as_array_mut() {
            problems.retain(|problem| problem["code"] != ProblemCode::SamePlan.as_str());
        }
    }
    let dispatched = match plan["plan_id"].as_str() {
        Some(id) if !is_check => Some(run("dispatch", json!({"plan_id": id}))?),
        _ => None,
    };
    Ok(match dispatched {
        Some(dispatched) => json!({"plan": plan, "dispatch": dispatched}),
        None => json!({"plan": plan}),
    })
}

/// The stored plan that is what a file holds and is not over, or was stopped and can be resumed.
fn twin(desk: &Desk, folder: &Path, file: &Path) -> Result<Option<PlanRow>, ApiError> {
    // What cannot be read is told by whoever stores it.
    let Ok(text) = std::fs::read_to_string(file) else { return Ok(None) };
    let format = planning::format_of(&file.to_string_lossy());
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    Ok(planning::twin_to_steer(&desk.session(folder), &text, format, stem)?)
}

/// Why a plan is not begun that is begun already.
fn begun(twin: &PlanRow) -> Refusal {
    let id = &twin.id;
    let (how, hint) = match twin.state {
        PlanState::Paused => ("is paused", format!("resume it instead: kapell resume {id}")),
        PlanState::Stopped => ("was stopped", format!("resume it instead: kapell resume {id}")),
        _ => ("runs", format!("follow it, or stop it first: kapell stop {id}")),
    };
    Refusal::new(Code::DuplicatePlan, format!("plan {id} has the same tasks and {how}"), hint)
}

/// Claims a file as soon as it is free, and says so then.
async fn ask(desk: &Arc<Desk>, argument: &Value) -> Result<Value, ApiError> {
    let uri = argument.get("uri").and_then(Value::as_str).and_then(|uri| uri.parse::<Uri>().ok());
    let Some(path) = uri.as_ref().and_then(path_of) else {
        return Err(ApiError::invalid_params(
            "kapell.ask wants the uri of a file",
            "give it {\"uri\": \"file:///…\"}",
        ));
    };
    let asked = path.clone();
    let found = aside(desk, move |desk| ownership(desk, &asked)).await??.unwrap_or_default();
    let (Some(path_in_project), Some(pattern)) = (found.path, found.pattern) else {
        return Err(Refusal::new(
            Code::NotFound,
            format!("{} lies in no repository", path.display()),
            "only what lies in a repository is held by anybody",
        )
        .into());
    };
    let method = table::find("claim-files").ok_or_else(|| ApiError::unknown_method("claim-files"))?;
    let told = |waiting: bool| json!({"waiting": waiting, "path": path_in_project});
    let name = RepoPath::from(path_in_project.as_str()).to_string();
    let yours = |sentence: String| desk.outbox.leave(Message::Show(MessageType::INFO, sentence));
    if found.others.is_empty() && !found.own.is_empty() {
        yours(format!("{name} is yours already."));
        return Ok(told(false));
    }
    let begin = || desk.client.begin().in_folder(folder_of(desk, uri.as_ref()));
    let reason = argument.get("reason").and_then(Value::as_str).unwrap_or("asked for in an editor");
    let since = Instant::now();
    let mut wish = json!({"paths": [pattern], "reason": reason});
    if found.others.is_empty() {
        let (call, at_once) = (begin(), wish.clone());
        if aside(desk, move |_| call.run(method, at_once)).await??["granted"] == true {
            yours(format!("{name} is yours now."));
            return Ok(told(false));
        }
    }
    // Who asks once more does not wait twice.
    if !desk.ask_for(&path) {
        return Ok(told(true));
    }
    wish["wait_s"] = json!(ASKED_FOR_S);
    let call = begin();
    let answered = told(true);
    let desk = desk.clone();
    tasks::start(async move {
        let turn = desk.turn().await;
        tasks::block(move || {
            let _turn = turn;
            let cancel = call.cancel().clone();
            let answer = call.run(method, wish);
            desk.asked_for(&path);
            let is_over = since.elapsed().as_secs() >= ASKED_FOR_S;
            told_of_wait(&desk, &name, answer, &cancel, is_over);
        });
    });
    Ok(answered)
}

/// Says what became of a file that was asked for.
fn told_of_wait(desk: &Desk, path: &str, answer: Result<Value, ApiError>, cancel: &Cancel, is_over: bool) {
    let sentence = match answer {
        Ok(result) if result["granted"] == true => (MessageType::INFO, format!("{path} is yours now.")),
        // The editor is being closed.
        _ if cancel.is_cancelled() => return,
        Ok(_) if is_over => (MessageType::WARNING, format!("{path} did not become free in an hour.")),
        Ok(_) => (MessageType::INFO, format!("You do not wait for {path} any more.")),
        Err(error) => (MessageType::WARNING, format!("{path}: {}; {}", error.message, error.hint)),
    };
    desk.outbox.leave(Message::Show(sentence.0, sentence.1));
}

/// An error of the contract as one of this protocol, with the same number and the same data.
pub fn protocol_error(error: ApiError) -> RpcError {
    RpcError {
        code: ErrorCode::from(error.code),
        data: Some(LSPAny::from(error.data())),
        message: error.message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_protocol() {
        let written = include_str!("../../../protocol/lsp.md");
        for name in names() {
            assert!(written.contains(&format!("`{name}`")), "{name}");
        }
    }
}
