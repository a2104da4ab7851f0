//! Builds the commit that may land: the base plus exactly the changes that are kept.

use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::change::{Change, ChangeKind, Mode, changed_between, index_info};
use super::run::{Git, GitError};
use super::snapshot::Snapshot;
use super::{Oid, land};
use crate::base::ids::random_tail;
use crate::base::paths::RepoPath;

/// Why there is no such commit.
#[derive(Debug, thiserror::Error)]
pub enum ConstructError {
    /// A kept file needs the place of one that stays: a file of the base would be a folder, or the reverse.
    #[error("{path} of the base would be lost: a kept change needs its place")]
    Clash {
        /// The path that would be lost.
        path: RepoPath,
    },
    /// The tree built is not the base plus the kept changes. A fault of this program or of git; nothing landed.
    #[error("the tree built differs from what was asked at {path}")]
    Differs {
        /// The first path that differs.
        path: RepoPath,
    },
    /// git or the file system failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// A commit on `base` with the changes of the snapshot for which `keep` holds, and nothing else; the base
/// itself where none is kept. Links to commits of other repositories that the base does not have are never
/// kept. `scratch` is a folder for a private index.
pub fn construct(
    git: &Git,
    snapshot: &Snapshot,
    keep: &dyn Fn(&Change) -> bool,
    message: &str,
    scratch: &Path,
) -> Result<Oid, ConstructError> {
    let base = &snapshot.base;
    let kept: Vec<Change> = snapshot
        .changed
        .iter()
        .filter(|change| change.new_mode != Mode::Gitlink || change.old_mode == Mode::Gitlink)
        .filter(|change| keep(change))
        .cloned()
        .collect();
    if kept.is_empty() {
        return Ok(base.clone());
    }
    // Mostly all of the snapshot is kept. That its tree is exactly the base plus what is kept is seen
    // by the same comparison that a tree built anew has to pass, with three gits less.
    let mut tree = snapshot.tree.clone();
    let mut built = changed_between(git, base, &tree)?;
    if built != kept {
        tree = build_tree(git, base, &kept, scratch)?;
        built = changed_between(git, base, &tree)?;
    }
    let by_path: BTreeMap<&RepoPath, &Change> = kept.iter().map(|change| (&change.path, change)).gather();
    if let Some(extra) = built.iter().find(|change| by_path.get(&change.path) != Some(change)) {
        let path = extra.path.clone();
        let is_lost = extra.kind == ChangeKind::Deleted;
        return Err(if is_lost { ConstructError::Clash { path } } else { ConstructError::Differs { path } });
    }
    let built: BTreeSet<&RepoPath> = built.iter().map(|change| &change.path).gather();
    if let Some(missing) = kept.iter().find(|change| !built.contains(&change.path)) {
        return Err(ConstructError::Differs { path: missing.path.clone() });
    }
    Ok(land::commit_tree(git, &tree, &[base], message)?)
}

/// The snapshot as if these files that it changed held something else.
pub fn standing_in(
    git: &Git,
    snapshot: &Snapshot,
    contents: impl IntoIterator<Item = (RepoPath, Vec<u8>)>,
) -> Result<Snapshot, GitError> {
    let mut snapshot = snapshot.clone();
    for (path, content) in contents {
        let Some(change) = snapshot.changed.iter_mut().find(|change| change.path == path) else { continue };
        // As git stores it: no filter of the repository looks at it.
        change.new_oid = git.call("hash-object").args(["-w", "--stdin"]).stdin(content).run_for_oid()?;
    }
    Ok(snapshot)
}

fn build_tree(git: &Git, base: &Oid, kept: &[Change], scratch: &Path) -> Result<Oid, GitError> {
    fs::create_dir_all(scratch).map_err(GitError::io("create", scratch))?;
    let index = Scratch(scratch.join(format!("construct-{}", random_tail(10))));
    git.call("read-tree").index(&index.0).oid(base).run()?;
    let input = index_info(kept.iter());
    if !input.is_empty() {
        let call = git.call("update-index").index(&index.0).args(["-z", "--index-info"]);
        call.stdin(input).run()?;
    }
    git.call("write-tree").index(&index.0).run_for_oid()
}

/// A private index that is deleted at the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in a scratch folder.
        let _ = fs::remove_file(&self.0);
    }
}
