//! Repositories inside a tree that somebody else works in: the project's own folder, an environment. By files alone:
//! a git that is run in one of them does what its configuration says, and whoever works there may have written that.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::discover::{configured, discover, link_target};
use super::run::Git;
use super::{scan, worktree};
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
/// Folders of the names `passed` are builds'. Another worktree of the same repository has
/// its own sessions, whose claims and commits are looked at for themselves.
pub fn became(git: &Git, top: &Path, path: &RepoPath, since: Stamp, passed: &[&str]) -> Became {
    let times = Times { since };
    let folder = top.join(path.to_path_buf());
    if folder.ancestors().take_while(|folder| *folder != top).any(|folder| times.is_new(folder)) {
        return Became::Other;
    }
    let link = folder.join(".git");
    let is_repository = fs::symlink_metadata(&link).is_ok();
    if is_repository {
        match times.state(&link) {
            Some(state) if state.is_worktree_of(git) => {
                return if state.is_same { Became::Same } else { Became::Touched(path.clone()) };
            }
            Some(state) if state.is_same => {}
            _ => return Became::Other,
        }
    }
    match times.newest_file(&folder, passed) {
        // The folder of a submodule that is no repository, and was one perhaps.
        found if !is_repository && (found.is_some() || times.is_touched(&folder)) => Became::Other,
        None => Became::Same,
        Some(file) => Became::Touched(scan::below(top, &file)),
    }
}

/// The git directory of a repository, that of which it may be a worktree, and whether it is at the commit at which it
/// was.
struct State {
    own: PathBuf,
    common: PathBuf,
    is_same: bool,
}

impl State {
    fn is_worktree_of(&self, git: &Git) -> bool {
        let common = self.common.canonicalize();
        self.own != self.common && common.is_ok_and(|common| common == git.repository().common_dir)
    }
}

/// The times of files, beside one moment.
struct Times {
    since: Stamp,
}

impl Times {
    fn is_since(&self, found: &Metadata) -> bool {
        stamp(found) >= self.since
    }

    fn is_touched(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| self.is_since(&found))
    }

    /// Whether something changed since then, or can no longer be looked at; a folder only if it was moved, as who makes
    /// or removes a file in it changes both its times.
    fn is_new(&self, path: &Path) -> bool {
        let is_moved = |it: &Metadata| (it.mtime(), it.mtime_nsec()) != stamp(it);
        match fs::symlink_metadata(path) {
            Ok(found) => self.is_since(&found) && (!found.is_dir() || is_moved(&found)),
            Err(error) => !scan::is_gone(&error),
        }
    }

    /// What the repository of that `.git` is, if it is the one that it was.
    fn state(&self, link: &Path) -> Option<State> {
        // What is missing was missing before, or is no repository to git either.
        let read = |path: &Path| (!self.is_new(path)).then(|| text::read_bytes(path).unwrap_or_default());
        let place = |bytes: &[u8]| RepoPath::from_bytes(bytes.trim_ascii()).to_path_buf();
        if self.is_new(link) {
            return None;
        }
        let own = match fs::metadata(link).ok()?.is_dir() {
            true => link.to_owned(),
            false => link.parent()?.join(link_target(link).ok()?),
        };
        let common = own.join(place(&read(&own.join("commondir"))?));
        let is_same = read(&own.join("HEAD")).is_some_and(|head| {
            let branch = head.strip_prefix(b"ref:").map(|name| common.join(place(name)));
            let beside = ["", "config", "reftable/tables.list"].map(|name| own.join(name));
            !beside.iter().chain(&branch).any(|path| self.is_new(path))
        });
        Some(State { own, common, is_same })
    }

    /// A file below a folder that changed since then; what is called `.git` has been looked at.
    fn newest_file(&self, folder: &Path, passed: &[&str]) -> Option<PathBuf> {
        let mut left = MOST;
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                left = left.checked_sub(1)?;
                let name = entry.file_name();
                let Ok(found) = entry.metadata() else { continue };
                if !found.is_dir() {
                    if self.is_since(&found) && name != ".git" {
                        return Some(entry.path());
                    }
                } else if name != ".git" && !passed.iter().any(|passed| name == *passed) {
                    folders.push(entry.path());
                }
            }
        }
        None
    }
}

/// What in a checkout is other checkouts': the `.git` of submodules that are checked out (those of `gitlinks`, and
/// those that the repository knows), of repositories at its top, and other worktrees as wholes. Whoever writes there
/// has the next git that a person runs do something. Nothing is walked for that, so that a repository deeper in it of
/// which no git knows is not found.
pub fn of_others(top: &Path, gitlinks: &BTreeSet<RepoPath>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = folders_in(top);
    found.extend(gitlinks.iter().map(|path| top.join(path.to_path_buf())));
    found.iter_mut().for_each(|folder| folder.push(".git"));
    if let Ok(repository) = discover(top) {
        let mut folders =
            [&repository.git_dir, &repository.common_dir].map(|folder| folder.join("modules")).to_vec();
        while let Some(folder) = folders.pop() {
            for module in folders_in(&folder) {
                if !module.join("HEAD").is_file() {
                    folders.push(module);
                    continue;
                }
                let told = configured(&module.join("config"), "worktree");
                let folder = told.and_then(|folder| module.join(folder).canonicalize().ok());
                found.extend(folder.map(|folder| folder.join(".git")));
                folders.push(module.join("modules"));
            }
        }
        found.extend(worktree::tops(&repository.common_dir));
    }
    found.retain(|path| path.starts_with(top) && path != top && path.symlink_metadata().is_ok());
    found
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}
