//! `kapell hook`: an agent asks before it uses a tool, and tells of the end of its turns.
//!
//! One event as JSON on stdin, in the form that Claude Code and Codex share. A refusal is answered
//! with the decision `deny`; otherwise nothing is said, which leaves the decision to whom it belongs.

use std::cell::OnceCell;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::api::{relayed, table};
use crate::base::clock::Time;
use crate::base::ids::HolderName;
use crate::domain::claim::{Holder, HolderKind};
use crate::domain::pattern::Pattern;
use crate::domain::refusal::Refusal;
use crate::domain::task::TaskState;
use crate::domain::writes::{ALIAS, CONTENT, TOP};
use crate::services::editing::{self, Asked, Editor, Worker, marking, succeeding, touching, unended};
use crate::services::lending::{self, Lent};
use crate::services::project::Project;
use crate::services::{Error, House, nudging};
use crate::sys::agent::REFUSAL_PREFIX;
use crate::sys::process::{life, tree};

mod event;
mod served;
#[cfg(test)]
mod tests;

use event::{Event, Moment};

/// More than this is no event: a tool's input is a file at most.
const LARGEST_EVENT: u64 = 64 << 20;

/// A longer list of names is not read.
const LARGEST_LIST: u64 = 64 << 10;

/// So many claims of a project are asked for at a time, to find a worker's own.
const PAGE: usize = 500;

/// So often at most.
const MOST_PAGES: usize = 40;

/// The log starts anew when it has grown to this.
const LARGEST_LOG: u64 = 1 << 20;

/// Variables that a shell sets by itself: its commands do not have them as this process has.
const SHELLS_OWN: [&str; 9] =
    ["_", "OLDPWD", "SHLVL", "RANDOM", "LINENO", "SECONDS", "PPID", "UID", "BASHPID"];

/// The agents whose events are known.
const AGENTS: [&str; 2] = ["claude", "codex"];

/// Reads an event and answers it. What goes wrong stands in `hook.log` in the state folder; that a
/// tool could not be asked about is also told to the person.
pub fn answer(house: &House, agent: Option<&str>, input: &mut dyn Read, output: &mut dyn Write) {
    let mut bytes = Vec::new();
    let event = match input.take(LARGEST_EVENT).read_to_end(&mut bytes) {
        Ok(_) => Event::read(&bytes).map_err(|error| format!("what was asked is no event: {error}")),
        Err(error) => Err(format!("stdin cannot be read: {error}")),
    };
    let event = match event {
        Ok(event) => event,
        Err(why) => return log(house, &why),
    };
    if let Some(why) = event.unreadable().filter(|_| matches!(event.moment, Moment::Before | Moment::After)) {
        log(house, &why);
    }
    let known = agent.filter(|agent| AGENTS.contains(agent));
    if let (Some(agent), None) = (agent, known) {
        log(house, &format!("kapell hook knows the events of {}, not of {agent}", AGENTS.join(" and ")));
    }
    let agent = known;
    let done = catch_unwind(AssertUnwindSafe(|| decide(house, agent, &event)));
    let answer = match done {
        Ok(Ok(Decision { refusal: Some(mut refusal), late })) => {
            if let Some(late) = late {
                refusal.hint = format!("{}. Besides: {}", refusal.hint, sentences(&late));
            }
            Some(refused(event.moment, &refusal))
        }
        Ok(Ok(Decision { late: Some(late), .. })) => Some(told_late(agent, event.moment, &late)),
        Ok(Ok(Decision { .. })) => nudged(house, agent, &event),
        Ok(Err(error)) => failed(house, &event, &error.to_string()),
        Err(_) => failed(house, &event, "bug: it panicked"),
    };
    if let Some(answer) = answer {
        // With nobody to read it the agent has ended.
        let _ = writeln!(output, "{answer}").and_then(|()| output.flush());
    }
}

/// What is answered to an event.
#[derive(Default)]
struct Decision {
    refusal: Option<Refusal>,
    /// What a command did of whose end nothing was heard.
    late: Option<Refusal>,
}

impl From<Option<Refusal>> for Decision {
    fn from(refusal: Option<Refusal>) -> Self {
        Self { refusal, late: None }
    }
}

fn decide(house: &House, agent: Option<&str>, event: &Event) -> Result<Decision, Error> {
    let variable = |name: &str| house.environment.get(name).filter(|value| !value.is_empty());
    let own = || std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let cwd = event.cwd.clone().filter(|cwd| cwd.is_absolute()).unwrap_or_else(own);
    let top = || Project::of(&cwd).ok()?.top?.to_str().map(str::to_owned);
    let aliases = OnceCell::new();
    let known = |name: &str| match name {
        "PWD" => cwd.to_str().map(str::to_owned),
        TOP => top(),
        name if name.starts_with(ALIAS) => {
            let all = aliases.get_or_init(|| editing::alias::all(house, &cwd));
            let wanted = name[ALIAS.len()..].to_lowercase();
            all.iter().find(|(name, _)| *name == wanted).map(|(_, text)| text.clone())
        }
        name if name.starts_with(CONTENT) => text_of(&cwd.join(&name[CONTENT.len()..])),
        name if SHELLS_OWN.contains(&name) => None,
        // An agent's commands and its hooks are its children alike.
        name => house.environment.get(name).cloned(),
    };
    let writes = event.writes(&known);
    if let Some(attempt) = variable("KAPELL_ATTEMPT") {
        if event.moment != Moment::Before || writes.is_empty() {
            return Ok(Decision::default());
        }
        let files = variable("KAPELL_FILES").and_then(|files| serde_json::from_str(files).ok());
        let worker = Worker {
            attempt: attempt.clone(),
            files: files.unwrap_or_default(),
            worktree: variable("KAPELL_WORKTREE").map(PathBuf::from),
            lent: house.shim_socket().and_then(|it| it.parent()).map(lending::noted).unwrap_or_default(),
            by_command: event.is_command(),
        };
        let asked = Asked { house: Some(house), folder: &cwd, cwd: &cwd, writes: &writes };
        let plan = variable("KAPELL_PLAN").map_or("", String::as_str);
        let refusal =
            editing::by_worker(&worker, &asked, || held(house, attempt), |it| is_open(house, plan, it))?;
        return Ok(refusal.into());
    }
    // A session keeps to its project wherever its shell has gone.
    let folder = variable("CLAUDE_PROJECT_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    let folder = folder.unwrap_or_else(|| cwd.clone());
    if event.moment == Moment::Other {
        return Ok(Decision::default());
    }
    let name = session_name(agent, event);
    let alive = tree::patron(&AGENTS).map(|(patron, _)| life::proof_of(&patron));
    let editor = Editor { holder: Holder { kind: HolderKind::Agent, name }, alive };
    let editor = &editor;
    let asked = Asked { house: Some(house), folder: &folder, cwd: &cwd, writes: &writes };
    succeeding::succeed(house, editor)?;
    // Before what the stamp says is forgotten.
    let late = || match unended::end(house, editor) {
        true => touching::touched(house, editor, &folder, "the last command").unwrap_or_else(|error| {
            log(house, &error.to_string());
            None
        }),
        false => None,
    };
    match event.moment {
        Moment::Before => {
            let late = late();
            if writes.is_empty() {
                succeeding::go_on(house, editor)?;
            }
            if event.is_command() {
                // Without these only what the command does beside its words goes unseen.
                let _ = touching::note(house, editor, &folder);
                let _ = unended::begin(house, editor);
            }
            let refusal = if writes.is_empty() { None } else { editing::by_session(house, editor, &asked)? };
            if refusal.is_some() {
                // It will not run.
                unended::end(house, editor);
            }
            Ok(Decision { refusal, late })
        }
        Moment::After => {
            if event.is_command() {
                unended::end(house, editor);
            }
            if event.is_command() || !writes.is_empty() {
                marking::note(house, editor, &asked, event.is_command())?;
            }
            let told = match writes.is_empty() {
                true => None,
                false => editing::written_by_session(house, editor, &asked, event.is_command())?,
            };
            let refusal = match told {
                None if event.is_command() => touching::touched(house, editor, &folder, "this command")?,
                told => told,
            };
            Ok(refusal.into())
        }
        Moment::Rest | Moment::Replaced => {
            let late = late();
            touching::forget(house, editor);
            // First: without it what stays held is nobody's who goes on.
            if event.moment == Moment::Replaced {
                succeeding::end(house, editor)?;
            }
            editing::rest(house, editor)?;
            Ok(Decision { refusal: None, late })
        }
        Moment::Other => Ok(Decision::default()),
    }
}

/// The name under which a session holds what it edits.
fn session_name(agent: Option<&str>, event: &Event) -> HolderName {
    HolderName::new(format!("{}-{}", agent.unwrap_or(event.agent()), event.session))
}

/// The text of a small file, such as a list of names.
fn text_of(file: &Path) -> Option<String> {
    let is_small = std::fs::metadata(file).is_ok_and(|it| it.is_file() && it.len() <= LARGEST_LIST);
    is_small.then(|| std::fs::read_to_string(file).ok()).flatten()
}

/// What an attempt holds by now. Within its wall only its shim can tell.
fn held(house: &House, attempt: &str) -> Vec<Pattern> {
    let Some(socket) = house.shim_socket() else { return Vec::new() };
    let mut held = Vec::new();
    let mut asked = json!({"scope": "claims", "limit": PAGE});
    for _ in 0..MOST_PAGES {
        let answer = match relayed::call(socket, "status", &asked) {
            Ok(answer) => answer,
            Err(error) => {
                log(house, &error.message);
                break;
            }
        };
        let claims = answer["claims"].as_array().map(Vec::as_slice).unwrap_or_default();
        let own = claims.iter().filter(|claim| claim["holder"] == attempt);
        held.extend(own.filter_map(|claim| Pattern::parse(claim["pattern"].as_str()?).ok()));
        match answer.get("next_cursor") {
            Some(next) => asked["cursor"] = next.clone(),
            None => break,
        }
    }
    held
}

/// Whether a child is still at work on what it was lent. What its shim cannot tell is taken for so.
fn is_open(house: &House, plan: &str, lent: &Lent) -> bool {
    let Some(socket) = house.shim_socket() else { return true };
    let asked = json!({"scope": "task", "id": format!("{plan}/{}", lent.task)});
    match relayed::call(socket, "status", &asked) {
        Ok(answer) => !answer["state"].as_str().and_then(TaskState::parse).is_some_and(TaskState::is_final),
        Err(error) => {
            log(house, &error.message);
            true
        }
    }
}

/// What a worker is told besides that it may use the tool. Only Claude Code is known to hand that on.
fn nudged(house: &House, agent: Option<&str>, event: &Event) -> Option<Value> {
    if event.moment != Moment::Before || agent != Some("claude") {
        return None;
    }
    if !house.environment.contains_key("KAPELL_ATTEMPT") {
        let asked = nudging::asked(house, &session_name(agent, event));
        let told: Vec<String> = asked.iter().map(|(who, text)| format!("{who} says: {text}")).collect();
        return (!told.is_empty()).then(|| besides(&told.join("\n")));
    }
    let nudges = house.environment.get("KAPELL_NUDGES")?;
    if !std::fs::metadata(nudges).is_ok_and(|file| file.len() > 0) {
        return None;
    }
    // Any answer tells it; the one that costs least.
    let asked = json!({"scope": "claims", "limit": 1});
    let answer = relayed::call(house.shim_socket()?, "status", &asked);
    let answer = answer.map_err(|error| log(house, &error.message)).ok()?;
    let told = answer[table::NUDGES].as_array()?.iter();
    let told: Vec<String> = told
        .filter_map(|nudge| Some(format!("{} says: {}", nudge["who"].as_str()?, nudge["text"].as_str()?)))
        .collect();
    (!told.is_empty()).then(|| besides(&told.join("\n")))
}

/// What an agent is told with the leave to use its tool.
fn besides(told: &str) -> Value {
    json!({"hookSpecificOutput": {
        "hookEventName": "PreToolUse",
        "additionalContext": format!("{REFUSAL_PREFIX}{told}"),
    }})
}

/// What a command did of whose end nothing was heard: told with the leave to use the next tool, and at the end of a
/// turn to the person.
fn told_late(agent: Option<&str>, moment: Moment, late: &Refusal) -> Value {
    match (agent, moment) {
        (Some("claude"), Moment::Before) => besides(&sentences(late)),
        _ => json!({"systemMessage": format!("{REFUSAL_PREFIX}{}", sentences(late))}),
    }
}

fn sentences(refusal: &Refusal) -> String {
    format!("{}. {}", refusal.message, capitalised(&refusal.hint))
}

/// The answer that keeps the tool from being used, or tells what it should not have done.
fn refused(moment: Moment, refusal: &Refusal) -> Value {
    let reason = format!("{REFUSAL_PREFIX}{}", sentences(refusal));
    match moment {
        Moment::After => json!({"decision": "block", "reason": reason}),
        _ => json!({"hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": reason,
        }}),
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Tells that nothing can be asked here at all: there is no state folder, nor a log in it.
pub fn unanswered(why: &str, input: &mut dyn Read, output: &mut dyn Write) {
    // Read all the same: who writes it may take a closed pipe amiss.
    let _ = std::io::copy(&mut input.take(LARGEST_EVENT), &mut std::io::sink());
    let text = format!("{REFUSAL_PREFIX}could not look whether others hold these files: {why}");
    // With nobody to read it the agent has ended.
    let _ = writeln!(output, "{}", json!({ "systemMessage": text }));
}

/// The tool is let through: the wall and the landing hold what this could not. But not in silence.
fn failed(house: &House, event: &Event, why: &str) -> Option<Value> {
    log(house, why);
    let text = format!("{REFUSAL_PREFIX}could not look whether others hold these files: {why}");
    (event.moment == Moment::Before).then(|| json!({"systemMessage": text}))
}

/// A line in the log of the state folder. Within a worker's wall there is none.
fn log(house: &House, what: &str) {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let path = house.root.join("hook.log");
    let written = (|| {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&house.root)?;
        let is_full = std::fs::metadata(&path).is_ok_and(|log| log.len() > LARGEST_LOG);
        let mut options = std::fs::OpenOptions::new();
        let file =
            options.create(true).mode(0o600).write(true).append(!is_full).truncate(is_full).open(&path);
        let line = what.split_whitespace().collect::<Vec<_>>().join(" ");
        file?.write_all(format!("{} {line}\n", Time::now()).as_bytes())
    })();
    // There is nobody else to tell.
    let _ = written;
}
