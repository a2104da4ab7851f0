//! Typing a text into standing sessions.

use std::path::Path;

use serde_json::json;

use super::{Standing, called, found_by, nobody, refuse_inside, tmux};
use crate::base::ids::WorkerName;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::standing::Typed;
use crate::services::project::Project;
use crate::services::{Error, Session};
use crate::store::events::NewEvent;
use crate::sys::config::Config;
use crate::sys::tmux::{Pasted, Tmux, TmuxError};

/// What became of a text for one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The worker.
    pub worker: String,
    /// The session's name.
    pub session: String,
    /// Characters that were typed, without Enter.
    pub characters: usize,
    /// Whether its lines were made one.
    pub is_joined: bool,
    /// Control characters that were left out.
    pub left_out: usize,
    /// Why it was not sent.
    pub why_not: Option<WhyNot>,
}

/// Why a text was not sent to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyNot {
    /// The code of it; none where the system failed.
    pub code: Option<Code>,
    /// In a sentence.
    pub reason: String,
    /// What to do, where there is a way.
    pub hint: Option<String>,
}

/// Types a text into a session, or into those of a group, and presses Enter once in each. A protected
/// worker is only typed to where it is named itself. With `is_cleared` nothing stands there that a send left
/// which was cut off.
pub fn send(
    session: &Session,
    project: &Project,
    config: &Config,
    name: &str,
    text: &str,
    is_cleared: bool,
) -> Result<Vec<Sent>, Error> {
    refuse_inside(&session.house)?;
    let typed = Typed::of(text);
    if typed.is_blank() {
        let message = "there is nothing to type";
        return Err(Refusal::new(Code::Usage, message, "kapell fleet send NAME TEXT").into());
    }
    let tmux = tmux(&session.house)?;
    let standing = found_by(&tmux, project, config)?;
    let to = addressed(config, &standing, name)?;
    let turns = session.house.root.join("panes");
    let sent: Vec<Sent> =
        to.iter().map(|standing| one(&tmux, standing, &typed, (&turns, is_cleared))).collect();
    for (standing, sent) in to.iter().zip(&sent).filter(|(_, sent)| sent.why_not.is_none()) {
        tell(session, project, standing, sent)?;
    }
    Ok(sent)
}

/// Whose sessions a name means.
fn addressed<'s>(
    config: &Config,
    standing: &'s [Standing],
    name: &str,
) -> Result<Vec<&'s Standing>, Refusal> {
    if let Some(one) = called(standing, config, name) {
        return Ok(vec![one]);
    }
    let Some(group) = config.groups.get(name) else {
        let is_known = config.workers.contains_key(&WorkerName::new(name)) || config.place(name).is_some();
        return Err(if is_known { not_up(name) } else { nobody_up(config, standing, name) });
    };
    let is_protected = |worker: &WorkerName| config.workers.get(worker).is_some_and(|it| it.protected);
    let is_member = |it: &&Standing| {
        group.members.contains(&it.worker)
            || group.pattern.as_ref().is_some_and(|pattern| pattern.matches(it.worker.as_str()))
    };
    let mut members: Vec<&Standing> = standing.iter().filter(is_member).collect();
    let all = members.len();
    members.retain(|it| !is_protected(&it.worker));
    if members.is_empty() {
        return Err(match all {
            0 => not_up(name),
            _ => Refusal::new(
                Code::ProtectedWorker,
                format!("all sessions of group {name} are protected"),
                "name one: kapell fleet send WORKER TEXT",
            ),
        });
    }
    Ok(members)
}

fn not_up(name: &str) -> Refusal {
    Refusal::new(
        Code::NotFound,
        format!("{name} has no standing session"),
        format!(
            "kapell fleet up {name} starts it; kapell send gives a task, kapell control nudge talks to an attempt"
        ),
    )
}

fn nobody_up(config: &Config, standing: &[Standing], name: &str) -> Refusal {
    let up: Vec<&str> = standing.iter().map(|it| it.worker.as_str()).take(12).collect();
    match up.is_empty() {
        true => nobody(config, name),
        false => Refusal::new(
            Code::NotFound,
            format!("no standing session of the fleet is called {name}"),
            format!("up are {}", up.join(", ")),
        ),
    }
}

fn one(tmux: &Tmux, standing: &Standing, typed: &Typed, (turns, is_cleared): (&Path, bool)) -> Sent {
    let (pasted, why_not) = match tmux.type_into(&standing.pane(), typed, turns, is_cleared) {
        Ok(pasted) => (pasted, None),
        Err(error) => (Pasted { characters: 0, is_joined: false }, Some(why(&error, standing))),
    };
    Sent {
        worker: standing.worker.to_string(),
        session: standing.session.name.clone(),
        characters: pasted.characters,
        is_joined: pasted.is_joined,
        left_out: typed.left_out,
        why_not,
    }
}

fn why(error: &TmuxError, standing: &Standing) -> WhyNot {
    let (code, hint) = match error {
        TmuxError::CutOff => {
            let worker = &standing.worker;
            let hint = format!(
                "kapell fleet attach {worker} shows it: clear it or enter it there, then \
                 kapell fleet send --cleared {worker} TEXT"
            );
            (Some(Code::Conflict), Some(hint))
        }
        TmuxError::Gone(_) => {
            (Some(Code::NotFound), Some(format!("kapell fleet up {} starts it", standing.worker)))
        }
        TmuxError::Absent => (Some(Code::Unsupported), None),
        TmuxError::Failed(_) | TmuxError::Taken => (Some(Code::Conflict), None),
        TmuxError::Spawn(_) | TmuxError::Silent => (None, None),
    };
    let reason = match error {
        TmuxError::Failed(why) | TmuxError::Gone(why) => why.clone(),
        other => other.to_string(),
    };
    WhyNot { code, reason, hint }
}

/// How much was typed, and not what: it may hold a secret.
fn tell(session: &Session, project: &Project, standing: &Standing, sent: &Sent) -> Result<(), Error> {
    let who = session.caller.holder.name.as_str();
    session.store()?.write(|tx| -> Result<(), Error> {
        project.ensure(tx)?;
        tx.append_event(
            &project.id,
            &NewEvent {
                kind: "session.typed",
                holder: Some(who),
                text: format!("{who} typed {} characters into {}", sent.characters, standing.session.name),
                data: Some(
                    json!({"worker": sent.worker, "session": sent.session, "characters": sent.characters})
                        .to_string(),
                ),
                ..NewEvent::default()
            },
        )?;
        Ok(())
    })
}
