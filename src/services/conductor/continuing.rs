//! Going on where another worker had to stop: in its folder, under its claim, told what it did.

use std::path::Path;

use super::concluding::construct_work;
use super::desk::Desk;
use super::saving;
use crate::domain::attempt::Outcome;
use crate::domain::plan::Task;
use crate::services::{Error, reading};
use crate::store::attempts::AttemptRow;
use crate::store::events::EventFilter;
use crate::sys::config::resolved::Isolation;
use crate::sys::git::Oid;
use crate::sys::git::land::{self, Merge};
use crate::sys::shim::client;

/// As much of what the worker before changed is told, in bytes; the folder has all of it.
const MOST_DIFF: usize = 12 << 10;

/// As many of the last things that it said or did.
const LAST_LINES: usize = 12;

/// What the worker before left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legacy {
    /// Its name.
    pub worker: String,
    /// Why it had to stop.
    pub why: String,
    /// What it said and did last, a line each.
    pub last: Vec<String>,
    /// What it changed, as a unified diff; empty if nothing.
    pub diff: String,
}

/// Where the next worker finds what the try before left within the task's files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Left {
    /// It left nothing.
    #[default]
    Nothing,
    /// In its folder.
    Here,
    /// In this commit alone: what landed meanwhile does not fit with it.
    Aside(String),
}

/// What the folder of an attempt begins with besides its base: the newest work before it at the task, put upon what
/// landed meanwhile. The commit of that, where something is to be laid out.
pub fn seed(
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    earlier: &[AttemptRow],
) -> Result<(Option<Oid>, Left), Error> {
    if desk.config.isolation == Isolation::Shared {
        // Everybody's folder, and nobody cleans it.
        return Ok((None, if earlier.is_empty() { Left::Nothing } else { Left::Here }));
    }
    let Some(before) = earlier.iter().rev().find(|other| other.snapshot.is_some()) else {
        return Ok((None, Left::Nothing));
    };
    let Some(saved) = saving::saved_again(desk, before, task)? else { return Ok((None, Left::Nothing)) };
    let base = attempt.base.as_deref().and_then(Oid::parse);
    let (work, left) = (construct_work(desk, before, task, &saved)?, saved.snapshot.base);
    match base {
        Some(base) if base != left => {
            let merged = land::merge(&desk.git, &base, &work, &left).map_err(Error::from_git)?;
            let Merge::Clean { tree } = merged else {
                return Ok((None, Left::Aside(saved.snapshot.commit.to_string())));
            };
            let message = "kapell: what the try before left, upon what landed meanwhile";
            let work = land::commit_tree(&desk.git, &tree, &[&base], message).map_err(Error::from_git)?;
            Ok((Some(work), Left::Here))
        }
        _ => Ok((Some(work), Left::Here)),
    }
}

/// Whether the next attempt works in the folder of `before`, as that left it. All of it is saved, and the shim
/// proves that no process of the worker is left to write in it.
pub fn goes_on(isolation: Isolation, before: &AttemptRow) -> bool {
    isolation == Isolation::Worktree
        // Its checkout is put back, and may be another's by then.
        && before.environment.is_none()
        && matches!(before.state.outcome(), Some(Outcome::RateLimited | Outcome::Stuck))
        && before.snapshot.is_some()
        && before.base.is_some()
        && client::has_ended(Path::new(&before.run_dir))
        && before.worktree.as_deref().is_some_and(|tree| Path::new(tree).is_dir())
}

/// What the worker of `before` left, if it was stopped in the middle of its work by no fault of that.
pub fn legacy(desk: &Desk, before: &AttemptRow) -> Result<Option<Legacy>, Error> {
    let stopped =
        matches!(before.state.outcome(), Some(Outcome::RateLimited | Outcome::Stuck | Outcome::Interrupted));
    if !stopped || before.snapshot.is_none() {
        return Ok(None);
    }
    let filter = EventFilter { attempt: Some(before.id.as_str()), ..EventFilter::default() };
    let events = desk.store()?.read(|tx| tx.newest_events(&filter, 100))?;
    let mut last: Vec<String> = (events.into_iter().rev())
        .filter(|event| matches!(event.kind.as_str(), "attempt.said" | "attempt.tool" | "attempt.finding"))
        .map(|event| event.text.trim().to_owned())
        .take(LAST_LINES)
        .collect();
    last.reverse();
    Ok(Some(Legacy {
        worker: before.worker.to_string(),
        why: before.reason.clone().unwrap_or_else(|| "it was stopped".to_owned()),
        last,
        diff: reading::attempt_diff_up_to(&desk.session, before.id.as_str(), MOST_DIFF)?,
    }))
}
