//! What an agent is told that may not write: who has it, why, and what it can do instead.

use super::naming::Extent;
use super::place::Place;
use super::{Lent, Project};
use crate::base::clock::Time;
use crate::domain::claim::Conflict;
use crate::domain::pattern::Pattern;
use crate::domain::refusal::{Code, Refusal};
use crate::services::claiming::waiting::Before;

/// What is refused for what the other side may have, and not for what is here.
const PULLS: [&str; 3] = ["git pull", "git merge", "git rebase"];

/// What a worker may not write, why, and what it can do instead.
pub(super) fn beyond(project: &Project, place: &Place, claim: &[Pattern]) -> Refusal {
    let mut owned: Vec<&str> = Vec::new();
    for own in claim.iter().map(Pattern::as_str) {
        if !owned.contains(&own) {
            owned.push(own);
        }
    }
    let owned = owned.join(" ");
    let path = &place.path;
    let (what, instead) = match &place.extent {
        _ if !place.is_in(project) => (
            format!("{} lies in another checkout of this repository", place.file.display()),
            "Keep to your own".to_owned(),
        ),
        Extent::Checkout(by) => (
            format!(
                "{by} changes whatever it finds in this checkout, and this task has only these files: {owned}"
            ),
            "Name your own files to a command that takes names, as git restore -- FILE does".to_owned(),
        ),
        _ if path.is_empty() => (
            format!("this writes all of the checkout, and this task has only these files: {owned}"),
            "Name your own files to it".to_owned(),
        ),
        _ => (
            format!("{path} is not among the files of this task: {owned}"),
            match asking(path, None) {
                Ok(how) => format!(
                    "Keep to these files, or ask first: {how}. What changed by accident git show HEAD:FILE > FILE puts \
                     back, and rm takes away what is new"
                ),
                Err(why) => format!("Keep to these files; nobody can ask for this one: {why}"),
            },
        ),
    };
    Refusal::new(Code::NotAllowed, what, format!("nothing else of yours will be landed. {instead}"))
}

/// What a worker lent to a child that is still at work on it.
pub(super) fn lent_out(place: &Place, lent: &Lent) -> Refusal {
    let Lent { task, text, since, .. } = lent;
    let path = if place.path.is_empty() { "part of this checkout" } else { &place.path };
    let mut what = format!("{path} is lent to task {task} since {since}, which is at work on it");
    if !text.is_empty() {
        what.push_str(&format!(": {}", text.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    let hint = format!(
        "what you change there meanwhile will not be landed: do not write it another way. Work on the rest, and leave \
         this to task {task}; it is yours again when that is over (kapell status --scope plan tells)"
    );
    Refusal::new(Code::NotAllowed, what, hint).with("task", task)
}

/// How to ask for a file: with the pattern that owns it, whatever is in its name. The error says why
/// no pattern does.
fn asking(path: &str, wait_s: Option<u32>) -> Result<String, String> {
    let pattern = Pattern::of_path(path).map_err(|bad| bad.reason)?;
    let json = serde_json::Value::from(pattern.as_str());
    let word = crate::sys::agent::quoted(pattern.as_str());
    let (with, option) = match wait_s {
        Some(wait_s) => (format!(" and wait_s {wait_s}"), format!(" --wait-s {wait_s}")),
        None => Default::default(),
    };
    // What begins with a dash is an option to the command line, but for behind two.
    let command = if pattern.as_str().starts_with('-') {
        format!("kapell claim-files{option} -- {word}")
    } else {
        format!("kapell claim-files {word}{option}")
    };
    Ok(format!("the tool claim-files with paths [{json}]{with} ({command})"))
}

/// Who is in the way of a command, since when, why, and how to ask.
pub(super) fn refused(conflicts: &[Conflict], by: Option<&str>) -> Option<Refusal> {
    let conflict = conflicts.first()?;
    let held = &conflict.held;
    let mut text = format!(
        "{} is held by {} ({}) since {}, {} ago",
        shown(&conflict.witness),
        held.holder.name,
        held.task
            .as_ref()
            .map_or_else(|| held.holder.kind.as_str().to_owned(), |task| format!("task {task}")),
        held.since,
        lasting(Time::now().millis_since(held.since)),
    );
    if let Some(reason) = &held.reason {
        text.push_str(&format!(": {}", reason.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    if conflicts.len() > 1 {
        text.push_str(&format!("; {} more are held by others", conflicts.len() - 1));
    }
    if let Some(by) = by {
        text.push_str(&format!("; {by}"));
    }
    let ask = match asking(&conflict.witness, Some(600)) {
        Ok(how) => format!(", or ask for it: {how}"),
        Err(_) => String::new(),
    };
    // Once the commits are there, what they bring can be told.
    let is_pull = by.is_some_and(|by| PULLS.iter().any(|pull| by.starts_with(pull)));
    let alone = if is_pull {
        ". Or git fetch, which changes no file, and then, as a command of its own, git merge: it is refused only for \
         files that it changes"
    } else {
        ""
    };
    let hint = format!(
        "do not write it another way. Work on something else{ask}; kapell status --scope claims shows who holds \
         what{alone}"
    );
    Some(Refusal::new(Code::Conflict, text, hint).with("holder", &held.holder.name))
}

/// What nobody holds, and somebody asked for before.
pub(super) fn awaited(before: &Before) -> Refusal {
    let (path, who) = (shown(&before.witness), &before.holder.name);
    let ask = match asking(&before.witness, Some(600)) {
        Ok(how) => format!(", or wait in line for it: {how}"),
        Err(_) => String::new(),
    };
    Refusal::new(
        Code::Conflict,
        format!("{path} is free, but {who} asked for it before and waits"),
        format!("do not write it another way. Work on something else{ask}"),
    )
    .with("holder", who)
}

/// A path in a sentence of one line.
fn shown(path: &str) -> String {
    if path.contains(char::is_control) { path.escape_debug().to_string() } else { path.to_owned() }
}

/// A length of time in the unit that fits it.
fn lasting(millis: i64) -> String {
    let seconds = (millis / 1000).max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
