//! Taking environments away: not what is nowhere else, unless told; and even then its commits are kept
//! under refs of the project.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Ground, each, keeping, running, viewing, working};
use crate::base::failpoint::Point;
use crate::domain::environment::Stage;
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, Session};
use crate::store::environments::EnvironmentRow;
use crate::sys::git::environment::{self, Beside};
use crate::sys::git::{GitQueue, worktree};

/// What became of one that was removed.
#[derive(Debug, Clone)]
pub struct Removed {
    /// Its name.
    pub name: String,
    /// Its folder, which is gone.
    pub path: String,
    /// Its branch.
    pub branch: String,
    /// The refs of the project that keep what it had.
    pub kept: Vec<String>,
}

/// Removes one. `force`: also where something would be lost.
pub fn remove(session: &Session, name: &str, force: bool) -> Result<Removed, Error> {
    let ground = Ground::of(session)?;
    let _hold = ground.hold(name)?;
    let row = ground.row(name)?;
    let is_begun = row.stage == Stage::Removing;
    if !force && !is_begun {
        let lines = viewing::losses(&ground, &row)?.lines();
        if !lines.is_empty() {
            return Err(Refusal::new(
                Code::Conflict,
                format!("{name} is not removed, because this would be lost: {}", lines.join("; ")),
                format!("commit, push and stop first, or kapell env remove {name} --force (commits are kept under refs/kapell/environments)"),
            )
            .with("losses", lines.join("\n"))
            .into());
        }
    }
    // Nobody begins there any more once that is recorded, and force ends no worker.
    ground.session.store()?.write(|tx| -> Result<(), Error> {
        working::is_free(tx, &ground.project.id, name, "remove")?;
        let text = format!("environment {name} is being removed");
        Ok(tx.set_environment_stage(&ground.project.id, name, Stage::Removing, text)?)
    })?;
    each(&row.subs, row.subs.len(), |sub| running::stop_one(&ground, &row, sub))
        .into_iter()
        .collect::<Result<Vec<()>, _>>()?;
    let kept = take_away(&ground, &row)?;
    Point::EnvironmentGone.reach()?;
    for run in row.subs.iter().filter_map(|sub| sub.run.as_ref()) {
        // What stays of it is of no harm.
        let _ = fs::remove_dir_all(session.house.run_dir(run));
    }
    ground.session.store()?.write(|tx| {
        let kept = if kept.is_empty() { String::new() } else { format!("; kept: {}", kept.join(", ")) };
        tx.delete_environment(&ground.project.id, name, format!("environment {name} is removed{kept}"))
    })?;
    Ok(Removed { name: row.name, path: row.path, branch: row.branch, kept })
}

/// Keeps what it has, then deletes its folder. Each step may have been done before.
fn take_away(ground: &Ground<'_>, row: &EnvironmentRow) -> Result<Vec<String>, Error> {
    let dest = Path::new(&row.path);
    let aside = environment::part_of(dest, ".removed");
    let part = environment::part_of(dest, ".part");
    let mut kept = Vec::new();
    if dest.exists() {
        let beside = Beside::open(&ground.git, dest)?;
        if environment::marked(&beside.tree.admin_dir).is_none() && row.stage != Stage::Creating {
            return Err(Refusal::new(
                Code::Conflict,
                format!("{} is no environment any more, and is not deleted", row.path),
                "move it away, and call remove again",
            )
            .into());
        }
        keeping::snapshot(ground, row, &beside, "removed")?;
        let guard = GitQueue::lock(ground.git.repository())?;
        let prefix = keeping::project_prefix(ground, row)?;
        kept = beside.keep_in(&ground.git, &guard, &prefix)?;
        drop(guard);
        Point::EnvironmentKept.reach()?;
        fs::rename(dest, &aside)
            .map_err(|error| Error::system(format!("cannot move {} away", row.path), error))?;
    }
    Point::EnvironmentAside.reach()?;
    for folder in [&aside, &part] {
        match worktree::delete_folder(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::system(format!("cannot delete {}", folder.display()), error));
            }
            _ => {}
        }
    }
    if row.is_worktree {
        let guard = GitQueue::lock(ground.git.repository())?;
        environment::prune_worktree(&ground.git, &guard, dest)?;
    }
    Ok(kept)
}
