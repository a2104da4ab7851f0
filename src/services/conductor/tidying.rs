//! Putting worktrees away once their work is saved. Nothing here may fail a task.

use std::path::Path;

use super::desk::Desk;
use super::saving;
use crate::base::clock::Time;
use crate::base::failpoint::Point;
use crate::base::ids::{AttemptId, TaskId};
use crate::domain::task::TaskState;
use crate::services::{Error, landing};
use crate::store::attempts::AttemptRow;
use crate::sys::config::resolved::Isolation;
use crate::sys::git::worktree::Ignored;
use crate::sys::git::{Oid, Snapshot, Worktree, read, snapshot, spare, worktree};
use crate::sys::shim::client;

/// A spare worktree that nobody took for so long goes, in seconds.
const SPARE_FOR_S: i64 = 24 * 3600;

/// No project keeps more spare worktrees than this, nor more than it has workers.
const MOST_SPARES: usize = 8;

/// Takes away the worktree of an attempt that is over: it is cleaned and kept as a spare for the next, or
/// removed. It is left where it is if it holds anything that is not saved.
pub fn put_away(desk: &Desk, attempt: &AttemptRow) {
    if desk.config.isolation == Isolation::Shared {
        return;
    }
    let attempt = &match last_in(desk, attempt) {
        Ok(last) => last,
        Err(why) => return tracing::warn!(attempt = %attempt.id, "its worktree stays: {why}"),
    };
    if let Err(why) = clear(desk, attempt) {
        tracing::warn!(attempt = %attempt.id, "its worktree stays: {why}");
    }
}

/// The last attempt that worked in the same folder: what is in it is that one's.
fn last_in(desk: &Desk, attempt: &AttemptRow) -> Result<AttemptRow, Error> {
    let tried = desk.store()?.read(|tx| tx.attempts_at(&attempt.plan, &TaskId::text(&attempt.task)))?;
    let last = tried.into_iter().rev().find(|other| other.worktree == attempt.worktree);
    Ok(last.unwrap_or_else(|| attempt.clone()))
}

/// Brings spare worktrees to what has just landed.
pub fn follow(desk: &Desk, landed: &Oid) {
    let folder = desk.project.worktrees(&desk.session.house);
    if desk.config.isolation == Isolation::Worktree
        && let Err(why) = spare::follow(&desk.git, &folder, landed)
    {
        tracing::info!("a spare worktree is of no use any more: {why}");
    }
}

/// Puts away what conductors that died on the way left of tasks that are done, whichever plan's,
/// spares that are old, and empties the trash.
pub fn sweep(desk: &Desk) {
    let folder = desk.project.worktrees(&desk.session.house);
    let before = Time::now().plus_seconds(-SPARE_FOR_S);
    if let Err(why) = spare::sweep(&desk.git, &folder, &folder.join("trash"), before) {
        tracing::warn!("old spare worktrees stay: {why}");
    }
    for trashed in std::fs::read_dir(folder.join("trash")).into_iter().flatten().flatten() {
        // Somebody else may be deleting it; what stays is tried again next time.
        let _ = worktree::delete_folder(&trashed.path());
    }
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("d-") {
            if let Err(why) = super::deploying::sweep(desk, &name) {
                tracing::warn!(command = name, "its checkout stays: {why}");
            }
            continue;
        }
        let id = AttemptId::new(name);
        let done = desk.store().and_then(|store| {
            store.read(|tx| -> Result<_, Error> {
                let Some(attempt) = tx.attempt(&id)? else { return Ok(None) };
                let task = tx.task(&attempt.plan, &TaskId::text(&attempt.task))?;
                Ok(task.filter(|task| task.state == TaskState::Done).map(|_| attempt))
            })
        });
        match done {
            // The folder may have been gone on with by others since the attempt that it is called after.
            Ok(Some(attempt)) => put_away(desk, &attempt),
            Ok(None) => {}
            Err(why) => tracing::warn!(attempt = %id, "its worktree stays: {why}"),
        }
    }
}

/// Saves what attempts at this plan left that ended while nothing could be saved: a full disk, say.
/// Their tasks have gone on or failed since.
pub fn save_the_rest(desk: &Desk) {
    let rest = desk.store().and_then(|store| {
        store.read(|tx| -> Result<_, Error> {
            let mut rest = Vec::new();
            for task in tx.task_lights(&desk.plan_id)? {
                let mut tried = tx.attempts_at(&desk.plan_id, &task.id)?;
                if task.state.is_active() {
                    // Whoever takes the task up saves its last.
                    tried.pop();
                }
                rest.extend(tried.into_iter().map(|attempt| (task.id.clone(), attempt)));
            }
            Ok(rest)
        })
    });
    let rest = rest.unwrap_or_else(|why| {
        tracing::warn!("what was not saved stays so: {why}");
        Vec::new()
    });
    let is_unsaved = |attempt: &AttemptRow| {
        attempt.state.outcome().is_some()
            && attempt.snapshot.is_none()
            && client::was_started(Path::new(&attempt.run_dir))
    };
    for (task, attempt) in rest.iter().filter(|(_, attempt)| is_unsaved(attempt)) {
        let saved = desk.task(task).and_then(|task| saving::save_and_record(desk, attempt, &task));
        if let Err(why) = saved {
            tracing::warn!(attempt = %attempt.id, "it is not saved yet: {why}");
        }
    }
}

fn clear(desk: &Desk, attempt: &AttemptRow) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    Point::TaskDone.reach().map_err(|fault| text(&fault))?;
    let git = &desk.git;
    let path = Path::new(attempt.worktree.as_deref().unwrap_or_default());
    let Some(tree) = Worktree::find(git, path) else { return Ok(()) };
    for name in super::launching::LINKED {
        let link = path.join(name);
        if link.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
            std::fs::remove_file(&link).map_err(|error| text(&error))?;
        }
    }
    let oid = |commit: &Option<String>| commit.as_deref().and_then(Oid::parse);
    let base = oid(&attempt.base).ok_or("it has no base")?;
    let snapshot = oid(&attempt.snapshot).or_else(|| save_now(desk, attempt));
    let (commit, reference) = match snapshot {
        Some(commit) => (commit, saving::reference(attempt)),
        // Nobody worked in it: once it is as it was to be, it is saved where its base is.
        None if !client::was_started(Path::new(&attempt.run_dir)) => {
            if path.exists() {
                worktree::reset(git, &tree, &base, Ignored::Keep).map_err(|error| text(&error))?;
            }
            let plan = desk.store().and_then(|store| Ok(store.read(|tx| tx.plan(&attempt.plan))?));
            let branch = plan.map_err(|error| text(&error))?.and_then(|plan| plan.integration);
            (base.clone(), branch.unwrap_or_default())
        }
        None => return Err("it was never saved".to_owned()),
    };
    let saved = Snapshot {
        tree: read::tree_of(git, &commit).map_err(|error| text(&error))?,
        commit,
        base,
        reference,
        changed: Vec::new(),
        nested: Vec::new(),
        skipped: Vec::new(),
        ignored: Vec::new(),
        largest: snapshot::LARGEST_FILE,
    };
    let scratch = Path::new(&attempt.run_dir);
    let checked = worktree::check_saved(git, &tree, &saved, scratch).map_err(|error| text(&error))?;
    let left = match next_base(desk) {
        // Only the shim proves that no process of the worker is left to write in it.
        Some(next) if client::has_ended(scratch) => {
            spare::park(git, checked, &next, MOST_SPARES.min(desk.config.max_workers as usize))
                .map_err(|error| text(&error))?
        }
        _ => Some(checked),
    };
    let Some(left) = left else { return Ok(()) };
    let trash = desk.project.worktrees(&desk.session.house).join("trash");
    let guard = git.turn().map_err(|error| text(&error))?;
    let trashed = worktree::remove(git, &guard, left, &trash).map_err(|error| text(&error))?;
    drop(guard);
    if let Some(folder) = trashed {
        worktree::delete_folder(&folder).map_err(|error| text(&error))?;
    }
    Ok(())
}

/// Saves what an attempt at this plan left that could not be saved when it ended, nor since.
fn save_now(desk: &Desk, attempt: &AttemptRow) -> Option<Oid> {
    if attempt.plan != desk.plan_id || attempt.state.outcome().is_none() {
        return None;
    }
    let task = desk.task(&TaskId::text(&attempt.task)).ok()?;
    saving::save_and_record(desk, attempt, &task).ok()?;
    let row = desk.store().ok()?.read(|tx| tx.attempt(&attempt.id)).ok()??;
    Oid::parse(row.snapshot.as_deref()?)
}

/// The commit that the plan's next attempt probably begins from.
fn next_base(desk: &Desk) -> Option<Oid> {
    let row = desk.row().ok()?;
    let landed = landing::tip(&desk.git, &desk.plan_id, row.integration.as_deref()?).ok()?;
    landed.or_else(|| Oid::parse(row.base.as_deref()?))
}
