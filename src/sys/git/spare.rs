//! Spare trees: those that workers are done with, cleaned and kept for the next. To take one is a few renames,
//! and as much of a checkout as the commits differ; to make one anew is to write every file.
//!
//! A spare is a folder `spare-…` beside the workers' trees, with an administrative folder like theirs. Each
//! step leaves what [`sweep`], or the next [`take_or_add`] of the same place, can tell and finish.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Oid;
use super::queue::Guard;
use super::run::{Git, GitError};
use super::worktree::{
    self, Ignored, OWN_BASE, OWN_INDEX, Saved, Worktree, WorktreeError, admin_name, free_admin_dir,
    gitdir_line, line, restore_link, write_whole,
};
use crate::base::clock::Time;
use crate::base::failpoint::Point;
use crate::base::ids::random_tail;

/// How the names of spares begin.
const PREFIX: &str = "spare-";

/// How the names of trees begin that are just being made spares.
const ASIDE: &str = "aside-";

/// All that the administrative folder of a spare holds; reflogs and the like tell of the worker before.
const KEPT: [&str; 7] = ["HEAD", "commondir", "gitdir", "locked", "index", OWN_INDEX, OWN_BASE];

/// Makes a spare of a saved tree, in the folder it lies in, checked out at `commit`. Not if there are `most`
/// spares already, if something of its worker would stay, or if git keeps refs elsewhere than in files: then
/// the tree is given back, to be [removed](worktree::remove). Nothing may be alive in it.
pub fn park(git: &Git, mut saved: Saved, commit: &Oid, most: usize) -> Result<Option<Saved>, WorktreeError> {
    let parent = saved.tree.path.parent().map(Path::to_path_buf);
    let Some(folder) = parent.filter(|_| saved.tree.path.exists() && !has_reftable(git)) else {
        return Ok(Some(saved));
    };
    let guard = git.turn()?;
    worktree::keep_head(git, &guard, &saved)?;
    if spares(git, &folder).len() >= most {
        return Ok(Some(saved));
    }
    // Out of its worker's place first: a tree there that is half cleaned would look like unsaved work.
    move_to(&mut saved.tree, &folder, ASIDE)?;
    drop(guard);
    Point::SpareAside.reach().map_err(GitError::from)?;
    if worktree::reset(git, &saved.tree, commit, Ignored::Delete).is_err() || !is_pristine(&saved.tree) {
        return Ok(Some(saved));
    }
    let admin_dir = &saved.tree.admin_dir;
    for entry in fs::read_dir(admin_dir).map_err(GitError::io("list", admin_dir))?.flatten() {
        if !KEPT.iter().any(|kept| entry.file_name() == *kept) {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(GitError::io("remove", &path))?;
        }
    }
    Point::SpareCleaned.reach().map_err(GitError::from)?;
    let guard = git.turn()?;
    move_to(&mut saved.tree, &folder, PREFIX)?;
    drop(guard);
    Ok(None)
}

/// Gives a tree a new name that begins with `prefix`. Killed in between, it is a folder that no tree is known by.
fn move_to(tree: &mut Worktree, folder: &Path, prefix: &str) -> Result<(), GitError> {
    let to = folder.join(format!("{prefix}{}", random_tail(10)));
    fs::rename(&tree.path, &to).map_err(GitError::io("rename", &tree.path))?;
    Point::SpareMoved.reach().map_err(GitError::from)?;
    write_whole(&tree.admin_dir.join("gitdir"), &gitdir_line(&to))?;
    tree.path = to;
    Ok(())
}

/// A tree at `dest` with `commit` checked out: a spare that lies beside it, or a [new one](worktree::add). The
/// queue is let go before files are written.
pub fn take_or_add(git: &Git, guard: Guard, dest: &Path, commit: &Oid) -> Result<Worktree, WorktreeError> {
    let left = Worktree::find(git, dest).filter(|tree| tree.base().is_none());
    let is_begun = dest.symlink_metadata().is_ok();
    match left {
        // A used tree that was handed over to `dest`, or was on its way there: some files are still those of the
        // commit before.
        Some(tree) if is_begun && has_index(&tree) => {
            restore_link(&tree)?;
            drop(guard);
            worktree::reset(git, &tree, commit, Ignored::Delete)?;
            return Ok(tree);
        }
        // One whose folder has not come yet; that is swept away.
        Some(tree) if !is_begun => worktree::forget(git, &guard, &tree)?,
        _ => {}
    }
    // Nothing is put upon what a killed call left there.
    if is_begun {
        return worktree::add(git, guard, dest, commit);
    }
    let spare = dest.parent().and_then(|folder| {
        let mut spares = if has_reftable(git) { Vec::new() } else { spares(git, folder) };
        let fitting = spares.iter().position(|(_, base)| base == commit);
        spares.truncate(fitting.map_or(usize::MAX, |at| at + 1));
        spares.pop()
    });
    let Some((spare, base)) = spare else { return worktree::add(git, guard, dest, commit) };
    let tree = hand_over(git, &spare, dest, commit)?;
    drop(guard);
    if base == *commit {
        write_whole(&tree.admin_dir.join(OWN_BASE), &line(commit.as_str().as_bytes()))?;
    } else {
        worktree::check_out(git, &tree, commit, &tree.admin_dir.join(OWN_INDEX))?;
        worktree::finish_checkout(&tree, OWN_INDEX, "index", commit)?;
    }
    Ok(tree)
}

/// Whether a tree was a whole one before: a new one gets its index with its last file.
fn has_index(tree: &Worktree) -> bool {
    [OWN_INDEX, "index"].iter().any(|name| tree.admin_dir.join(name).is_file())
}

/// Gives a spare another place and name. From the first step on it is what a killed `add` leaves at `dest`.
fn hand_over(git: &Git, spare: &Worktree, dest: &Path, commit: &Oid) -> Result<Worktree, WorktreeError> {
    let path = worktree::canonical_even_if_gone(dest);
    unmark(spare)?;
    Point::SpareUnmarked.reach().map_err(GitError::from)?;
    write_whole(&spare.admin_dir.join("gitdir"), &gitdir_line(&path))?;
    match fs::rename(&spare.path, &path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            return Err(WorktreeError::Occupied { path });
        }
        renamed => renamed.map_err(GitError::io("rename", &spare.path))?,
    }
    Point::SpareHandedOver.reach().map_err(GitError::from)?;
    let admin_dir = free_admin_dir(&git.repository().common_dir, &admin_name(&path));
    fs::rename(&spare.admin_dir, &admin_dir).map_err(GitError::io("rename", &spare.admin_dir))?;
    let tree = Worktree { path, admin_dir, keeper: spare.keeper };
    restore_link(&tree)?;
    write_whole(&tree.admin_dir.join("HEAD"), &line(commit.as_str().as_bytes()))?;
    Ok(tree)
}

/// Brings the spares of `folder` to `commit`, where the next attempt probably begins: then taking one writes no file.
/// One that is being brought there cannot be taken; one that this fails for is left to [`sweep`].
pub fn follow(git: &Git, folder: &Path, commit: &Oid) -> Result<(), WorktreeError> {
    let guard = git.turn()?;
    let mut behind = spares(git, folder);
    behind.retain(|(_, base)| base != commit);
    for (spare, _) in &behind {
        unmark(spare)?;
    }
    drop(guard);
    for (spare, _) in &behind {
        worktree::reset(git, spare, commit, Ignored::Delete)?;
    }
    Ok(())
}

/// Makes a spare one that nobody takes.
fn unmark(spare: &Worktree) -> Result<(), GitError> {
    let mark = spare.admin_dir.join(OWN_BASE);
    fs::remove_file(&mark).map_err(GitError::io("remove", &mark))
}

/// Takes away spares of `folder` that were parked `before` and nobody took, and what a kill left on the way of one. The
/// answer are folders in `trash` to be [deleted](worktree::delete_folder).
pub fn sweep(git: &Git, folder: &Path, trash: &Path, before: Time) -> Result<Vec<PathBuf>, WorktreeError> {
    let guard = git.turn()?;
    for tree in trees_in(git, folder) {
        let is_old = || {
            let mark = fs::metadata(tree.admin_dir.join(OWN_BASE));
            mark.is_ok_and(|mark| Time::from_seconds(mark.mtime()) < before)
        };
        let is_left = is_aside(&tree.path) || is_spare(&tree.path) && (tree.base().is_none() || is_old());
        if is_left || !tree.path.exists() {
            worktree::forget(git, &guard, &tree)?;
        }
    }
    let known: Vec<PathBuf> = trees_in(git, folder).into_iter().map(|tree| tree.path).collect();
    let mut trashed = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = worktree::canonical_even_if_gone(&entry.path());
        if (is_spare(&path) || is_aside(&path)) && !known.contains(&path) {
            trashed.push(worktree::throw_away(&path, trash)?);
        }
    }
    Ok(trashed)
}

/// The whole spares of a folder, with the commits they are at.
fn spares(git: &Git, folder: &Path) -> Vec<(Worktree, Oid)> {
    let trees = trees_in(git, folder).into_iter().filter(|tree| is_spare(&tree.path) && tree.path.is_dir());
    trees.filter_map(|tree| tree.base().map(|base| (tree, base))).collect()
}

/// The trees of ours that lie in a folder, or lay there.
fn trees_in(git: &Git, folder: &Path) -> Vec<Worktree> {
    let folder = worktree::canonical_even_if_gone(folder);
    Worktree::all(git).into_iter().filter(|tree| tree.path.parent() == Some(&folder)).collect()
}

fn is_spare(path: &Path) -> bool {
    is_called(path, PREFIX)
}

/// Whether a tree is on its way to become a spare. Whoever sweeps it away under its conductor's hands takes a
/// spare, and nothing else: what was in it is saved.
fn is_aside(path: &Path) -> bool {
    is_called(path, ASIDE)
}

fn is_called(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
}

fn has_reftable(git: &Git) -> bool {
    git.repository().common_dir.join("reftable").is_dir()
}

/// Whether a tree that was just reset is as a new one would be also in what git does not look at: modes, further
/// names of its files, extended attributes.
pub(super) fn is_pristine(tree: &Worktree) -> bool {
    // The mark was written a moment ago, as every new file is.
    let Ok(mark) = fs::metadata(tree.admin_dir.join(OWN_BASE)) else { return false };
    let plain = mode(&mark.permissions());
    let open = plain | (plain & 0o444) >> 2;
    let mut folders = vec![tree.path.clone()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { return false };
        let looked = fs::symlink_metadata(&folder);
        if !looked.is_ok_and(|found| mode(&found.permissions()) == open) || has_attributes(&folder) {
            return false;
        }
        for entry in entries {
            let Ok(entry) = entry else { return false };
            let (Ok(found), path) = (entry.metadata(), entry.path()) else { return false };
            if found.is_dir() {
                folders.push(path);
                continue;
            }
            let is_usual = found.is_symlink() || [plain, open].contains(&mode(&found.permissions()));
            if !is_usual || found.nlink() > 1 || has_attributes(&path) {
                return false;
            }
        }
    }
    true
}

fn mode(permissions: &Permissions) -> u32 {
    permissions.mode() & 0o7777
}

/// Whether somebody gave a file attributes or an access list; what the system itself gives does not count.
fn has_attributes(path: &Path) -> bool {
    let mut names = [0u8; 1024];
    match rustix::fs::llistxattr(path, &mut names) {
        Ok(length) => names[..length]
            .split(|byte| *byte == 0)
            .any(|name| name.starts_with(b"user.") || name.starts_with(b"system.")),
        // Where there are none nobody can have given any.
        Err(error) => error != rustix::io::Errno::NOTSUP,
    }
}
