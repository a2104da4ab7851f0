//! Repositories inside a tree that somebody else works in: the project's own folder, an environment. By files alone:
//! a git that is run in one of them does what its configuration says, and whoever works there may have written that.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::discover::{configured, discover};
use super::run::Git;
use super::{holdings, scan, worktree};
use crate::base::paths::RepoPath;
use crate::sys::text;

/// As many files and folders of one are looked at.
const MOST: usize = 100_000;

/// What became of a repository since a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Became {
    /// It lay there before, and nothing in it has changed.
    Same,
    /// It did, at the same commit. This file in it changed.
    Touched(RepoPath),
    /// It was made, moved here, or moved to another commit.
    Other,
}

/// When something changed last, as its file system stamps it, in seconds and nanoseconds: the ticks of the kernel, which
/// lie up to 10 ms before the clock.
pub type Stamp = (i64, i64);

/// When a file changed last; nobody sets that at will.
pub fn stamp(found: &Metadata) -> Stamp {
    (found.ctime(), found.ctime_nsec())
}

/// What became of the repository at `path` since a moment: by the times of the last change of what says where it is.
/// Folders of the names `passed` are builds'. Another worktree of the same repository has its own sessions, whose claims
/// and commits are looked at for themselves.
pub fn became(git: &Git, top: &Path, path: &RepoPath, since: Stamp, passed: &[&str]) -> Became {
    let folder = top.join(path.to_path_buf());
    let mut places = vec![folder.join(".git")];
    let is_repository = places[0].symlink_metadata().is_ok();
    let mut is_worktree = false;
    if let Ok(found) = discover(&folder)
        && found.top.as_ref() == Some(&folder)
    {
        let (own, common) = (found.git_dir, found.common_dir);
        for name in ["HEAD", "config", "commondir", "reftable/tables.list"] {
            places.push(own.join(name));
        }
        if let Ok(head) = text::read(&places[1])
            && let Some(branch) = head.strip_prefix("ref:")
        {
            places.push(common.join(branch.trim()));
        }
        is_worktree = own != common && common == git.repository().common_dir;
        places.push(own);
    }
    // Where it was moved with all in it, only its folder or one above it tells.
    let mut above = folder.as_path();
    while above != top
        && let Some(next) = above.parent()
    {
        if is_new(above, since) {
            return Became::Other;
        }
        above = next;
    }
    for (at, place) in places.iter().enumerate() {
        if is_new(place, since) {
            return if is_worktree && at > 0 { Became::Touched(path.clone()) } else { Became::Other };
        }
    }
    if is_worktree {
        return Became::Same;
    }
    match newest_file(&folder, since, passed) {
        Some(file) if is_repository => Became::Touched(scan::below(top, &file)),
        None if is_repository || !is_since(&folder, since) => Became::Same,
        // The folder of a submodule that is no repository, and was one perhaps.
        _ => Became::Other,
    }
}

fn is_since(path: &Path, since: Stamp) -> bool {
    path.symlink_metadata().is_ok_and(|found| stamp(&found) >= since)
}

/// Whether something changed since then, or can no longer be looked at; a folder only if it was moved, as who makes or
/// removes a file in it changes both its times.
fn is_new(path: &Path, since: Stamp) -> bool {
    match path.symlink_metadata() {
        Ok(found) => {
            let is_moved = (found.mtime(), found.mtime_nsec()) != stamp(&found);
            stamp(&found) >= since && (!found.is_dir() || is_moved)
        }
        Err(error) => !scan::is_gone(&error),
    }
}

/// A file below a folder that changed since then; what is called `.git` has been looked at.
fn newest_file(folder: &Path, since: Stamp, passed: &[&str]) -> Option<PathBuf> {
    let mut left = MOST;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            left = left.checked_sub(1)?;
            let (name, path) = (entry.file_name(), entry.path());
            if name == ".git" || passed.iter().any(|passed| name == *passed) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if is_since(&path, since) {
                return Some(path);
            }
        }
    }
    None
}

/// What in a checkout is other checkouts': the `.git` of submodules that are checked out (those of `gitlinks`, and
/// those that the repository knows), of repositories at its top, and other worktrees as wholes. Whoever writes there
/// has the next git that a person runs do something. Nothing is walked for that, so that a repository deeper in it of
/// which no git knows is not found.
pub fn of_others(top: &Path, gitlinks: &BTreeSet<RepoPath>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        found.push(entry.path().join(".git"));
    }
    for path in gitlinks {
        found.push(top.join(path.to_path_buf()).join(".git"));
    }
    if let Ok(repository) = discover(top) {
        for folder in [&repository.git_dir, &repository.common_dir] {
            for module in holdings::modules(folder) {
                if let Some(told) = configured(&module.join("config"), "worktree")
                    && let Ok(folder) = module.join(told).canonicalize()
                {
                    found.push(folder.join(".git"));
                }
            }
        }
        for folder in worktree::tops(&repository.common_dir) {
            found.push(folder);
        }
    }
    found.retain(|path| path.starts_with(top) && path != top && path.symlink_metadata().is_ok());
    found
}
