//! Taking environments away: not what is nowhere else, unless told; and even then its commits are kept
//! under refs of the project.

use std::fs;
use std::path::Path;

use super::keeping::Left;
use super::place::Place;
use super::{Ground, each, keeping, running, viewing, working};
use crate::base::failpoint::Point;
use crate::domain::environment::Stage;
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, Session};
use crate::store::environments::EnvironmentRow;
use crate::sys::disk;
use crate::sys::git::environment::{self, Beside, Container};
use crate::sys::git::refs;

/// What became of one that was removed.
#[derive(Debug, Clone)]
pub struct Removed {
    /// Its name.
    pub name: String,
    /// Its folder, which is gone.
    pub path: String,
    /// Its branch.
    pub branch: String,
    /// The refs of the project that keep what it had, and the folder with what git cannot keep.
    pub kept: Vec<String>,
}

/// Removes one. `force`: also where something would be lost.
pub fn remove(session: &Session, name: &str, force: bool) -> Result<Removed, Error> {
    let ground = Ground::of(session)?;
    let _hold = ground.hold(name)?;
    let row = ground.row(name)?;
    let place = ground.place(&row)?;
    if let Place::Foreign(why) = &place
        && row.stage == Stage::Ready
    {
        return Err(Refusal::new(
            Code::Conflict,
            format!("{} is not the checkout of {name}, and is not deleted: {why}", row.path),
            "move it away, and call remove again",
        )
        .into());
    }
    // What is only to be finished has been asked about before.
    let is_on_its_way = row.stage == Stage::Removing && !matches!(place, Place::Ours(_));
    if !force && !is_on_its_way {
        let lines = match viewing::losses(&ground, &row, &place) {
            Ok(losses) => losses.lines(),
            Err(Error::System { what, source }) => {
                vec![format!("what cannot be looked at ({what}: {source})")]
            }
            Err(error) => return Err(error),
        };
        if !lines.is_empty() {
            return Err(Refusal::new(
                Code::Conflict,
                format!("{name} is not removed, because this would be lost: {}", lines.join("; ")),
                format!("commit, push, back up and stop first, or kapell env remove {name} --force (commits are kept under refs/kapell/environments, other files are moved aside)"),
            )
            .with_all("losses", lines)
            .into());
        }
    }
    // Force ends no worker.
    working::nobody_at_work(&ground, name, "remove")?;
    each(&row.subs, row.subs.len(), |sub| running::stop_one(&ground, &row, sub))
        .into_iter()
        .collect::<Result<Vec<()>, _>>()?;
    let kept_in_project = match &place {
        Place::Ours(beside) => keep(&ground, &row, beside).map(Some),
        _ => Ok(None),
    };
    let kept_in_project = match kept_in_project {
        // What cannot be read there is neither lost for it, nor there for ever.
        Err(Error::System { what, source }) if force && !is_full(&source) => {
            return put_by(&ground, &row, &format!("{what}: {source}"));
        }
        kept => kept?,
    };
    Point::EnvironmentKept.reach()?;
    // Only now, when all of it is kept, is there no way back.
    ground.session.store()?.write(|tx| -> Result<(), Error> {
        working::is_free(tx, &ground.project.id, name, "remove")?;
        let text = format!("environment {name} is being removed");
        Ok(tx.set_environment_stage(&ground.project.id, name, Stage::Removing, text)?)
    })?;
    let (mut kept, left) = kept_in_project.unwrap_or_default();
    if matches!(place, Place::Ours(_)) {
        let moved = keeping::move_left(&ground, &row, &left)?;
        kept.extend(moved.map(|folder| folder.to_string_lossy().into_owned()));
    }
    kept.extend(take_away(&ground, &row, &place)?);
    Point::EnvironmentGone.reach()?;
    for run in row.subs.iter().filter_map(|sub| sub.run.as_ref()) {
        // What stays of it is of no harm.
        let _ = fs::remove_dir_all(session.house.run_dir(run));
    }
    ground.session.store()?.write(|tx| {
        let kept = if kept.is_empty() { String::new() } else { format!("; kept: {}", kept.join(", ")) };
        tx.delete_environment(&ground.project.id, name, format!("environment {name} is removed{kept}"))
    })?;
    if row.is_worktree && !ground.rows()?.iter().any(|row| row.is_worktree) {
        environment::unhide(&ground.git)?;
    }
    Ok(Removed { name: row.name, path: row.path, branch: row.branch, kept })
}

fn is_full(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::StorageFull || disk::says_full(&error.to_string())
}

/// Forgets an environment whose repository cannot be read, and leaves its folder under another name.
fn put_by(ground: &Ground<'_>, row: &EnvironmentRow, why: &str) -> Result<Removed, Error> {
    let dest = Path::new(&row.path);
    let aside = keeping::left_folder(dest);
    fs::rename(dest, &aside)
        .map_err(|error| Error::system(format!("cannot move {} away", row.path), error))?;
    let mut kept = match row.is_worktree {
        true => prune(ground, row)?,
        false => Vec::new(),
    };
    let folder = aside.to_string_lossy().into_owned();
    ground.session.store()?.write(|tx| {
        let text = format!(
            "environment {} is removed; its folder is {folder}, since its repository cannot be read: {why}",
            row.name
        );
        tx.delete_environment(&ground.project.id, &row.name, text)
    })?;
    let (name, path, branch) = (row.name.clone(), row.path.clone(), row.branch.clone());
    kept.push(folder);
    Ok(Removed { name, path, branch, kept })
}

/// Keeps what it has in the project; the refs, and what git cannot keep.
fn keep(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    beside: &Beside,
) -> Result<(Vec<String>, Vec<Left>), Error> {
    let snapshot = keeping::snapshot(ground, row, beside, "removed")?;
    let guard = ground.git.turn()?;
    let prefix = keeping::project_prefix(ground, row)?;
    let mut kept = beside.keep_in(&ground.git, &guard, &prefix)?;
    if row.is_worktree {
        // Its refs are the project's own: its files lie there already, and get the name that all has.
        let files = format!("{prefix}/{}", snapshot.reference.trim_start_matches("refs/"));
        refs::update(&ground.git, &files, &snapshot.commit, None, "kapell: environment removed")?;
        refs::forget(&ground.git, &snapshot.reference)?;
        kept.push(files);
    }
    Ok((kept, snapshot.left))
}

/// Deletes its folder, and what was on the way to be it. Each step may have been done before. What somebody
/// else put there stays. Gives the refs that keep what only git's record of it had.
fn take_away(ground: &Ground<'_>, row: &EnvironmentRow, place: &Place) -> Result<Vec<String>, Error> {
    let dest = Path::new(&row.path);
    let aside = Container::of(dest, ".removed");
    if matches!(place, Place::Ours(_) | Place::Half) {
        let away = |error| Error::system(format!("cannot move {} away", row.path), error);
        aside.make().map_err(away)?;
        fs::rename(dest, aside.tree()).map_err(away)?;
    }
    Point::EnvironmentAside.reach()?;
    for container in [&aside, &Container::of(dest, ".part")] {
        container
            .delete()
            .map_err(|error| Error::system(format!("cannot delete what is left of {}", row.name), error))?;
    }
    if row.is_worktree && !matches!(place, Place::Foreign(_)) {
        return prune(ground, row);
    }
    Ok(Vec::new())
}

/// Has git forget a worktree whose folder is gone; the refs that keep what only its record had.
fn prune(ground: &Ground<'_>, row: &EnvironmentRow) -> Result<Vec<String>, Error> {
    let guard = ground.git.turn()?;
    let prefix = keeping::project_prefix(ground, row)?;
    Ok(environment::prune_worktree(&ground.git, &guard, Path::new(&row.path), &prefix)?)
}
