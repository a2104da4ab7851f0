//! Moving a person's own checkout forward: only where nothing of theirs is in the way, and so that a
//! kill at any moment is repaired by the next call.
//!
//! The person's `index.lock` is held from the first look to the last step, so that no other git changes
//! the index or commits meanwhile. It has a text of ours in it: left behind by a kill, the next call knows
//! it and goes on. The order is files, index, branch; each step can be done twice. The branch is last: whoever
//! removes the lock by hand and commits then commits what was landing, where with an old index it would
//! be its reverse.

use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::change::{Change, ChangeKind, changed_between, index_info};
use super::discover::discover;
use super::queue::Guard;
use super::read::{self, Head};
use super::run::{Call, Git, GitError};
use super::worktree::{Worktree, admin_dirs, copy_index};
use super::{Oid, land, refs};
use crate::base::ids::random_tail;
use crate::base::paths::RepoPath;

/// What the index lock holds while it is ours.
const MARK: &[u8] = b"kapell moves this checkout forward; if it was killed, `kapell land` finishes it\n";

/// The start of the name of our copy of the index.
const OWN_INDEX: &str = "kapell-forward-";

/// Files and folders in a git directory that say that a person is in the middle of something.
const IN_PROGRESS: [(&str, &str); 5] = [
    ("MERGE_HEAD", "a merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase"),
];

/// What a person is in the middle of in a checkout, by its git directory.
pub fn in_progress(git_dir: &Path) -> Option<&'static str> {
    let bisect = ("BISECT_LOG", "a bisect");
    let mut known = IN_PROGRESS.into_iter().chain([bisect]);
    known.find(|(name, _)| git_dir.join(name).exists()).map(|(_, what)| what)
}

/// How moving a checkout ended. All but `Forwarded` leave files, index and branch as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// The checkout is at the new commit, now or already.
    Forwarded,
    /// The branch held something else.
    Moved {
        /// What it holds; `None` if it does not exist.
        now: Option<Oid>,
    },
    /// The new commit does not contain the old one.
    Diverged,
    /// The checkout is on another branch, or on none.
    OtherHead(Head),
    /// Files of the person's are changed, staged, or in the place of new ones.
    Dirty {
        /// Which, sorted.
        paths: Vec<RepoPath>,
    },
    /// The person is in the middle of something.
    InProgress {
        /// Of what: `a merge`.
        what: &'static str,
    },
    /// The branch is checked out in another folder too, which would be left behind.
    Twice {
        /// The other folder.
        other: PathBuf,
    },
    /// Another git works there, or was killed; that lock is not ours to take.
    Locked {
        /// The lock file.
        lock: PathBuf,
    },
}

/// Moves the checkout at `path`, which is on `branch` (`refs/heads/…`), from `old` to `new`.
pub fn fast_forward(
    git: &Git,
    guard: &Guard,
    path: &Path,
    branch: &str,
    old: &Oid,
    new: &Oid,
) -> Result<Forward, GitError> {
    let repository = discover(path)?;
    let tree = Worktree::of_checkout(&repository)?;
    let here = Git::new(git.program(), &repository)?;
    match read::head(&here)? {
        Head::Branch { reference, .. } if reference == branch => {}
        other => return Ok(Forward::OtherHead(other)),
    }
    if !read::is_ancestor(&here, old, new)? {
        return Ok(Forward::Diverged);
    }
    let admin_dir = &tree.admin_dir;
    if let Some((_, what)) = IN_PROGRESS.iter().find(|(name, _)| admin_dir.join(name).exists()) {
        return Ok(Forward::InProgress { what });
    }
    let top = fs::canonicalize(&tree.path).map_err(GitError::io("find", &tree.path))?;
    let is_other = |path: &PathBuf| fs::canonicalize(path).is_ok_and(|path| path != top);
    if let Some(other) = land::checkouts(&here, branch)?.into_iter().find(is_other) {
        return Ok(Forward::Twice { other });
    }
    let Some(_lock) = IndexLock::take(admin_dir)? else {
        return Ok(Forward::Locked { lock: admin_dir.join("index.lock") });
    };
    remove_copies(admin_dir);
    let index = admin_dir.join(format!("{OWN_INDEX}{}", random_tail(10)));
    let mover = Mover { git: &here, guard, tree: &tree, index: &index };
    let now = refs::read(&here, branch)?;
    let result = if now.as_ref() == Some(new) {
        Ok(Forward::Forwarded)
    } else if now.as_ref() == Some(old) {
        mover.forward(branch, old, new)
    } else {
        Ok(Forward::Moved { now })
    };
    remove_copies(admin_dir);
    result
}

struct Mover<'a> {
    git: &'a Git,
    guard: &'a Guard,
    tree: &'a Worktree,
    /// Our copy of the index, renamed over the person's at the end.
    index: &'a Path,
}

impl Mover<'_> {
    fn forward(&self, branch: &str, old: &Oid, new: &Oid) -> Result<Forward, GitError> {
        self.copy_index()?;
        let mut dirty = self.staged(old)?;
        // A killed call had come as far as the index: what was edited since is simply an edit.
        if !dirty.is_empty() && self.staged(new)?.is_empty() {
            return self.move_branch(branch, old, new);
        }
        let changes = changed_between(self.git, old, new)?;
        let changes: BTreeMap<&RepoPath, &Change> =
            changes.iter().map(|change| (&change.path, change)).gather();
        let modified =
            self.call("diff-files").args(["--name-only", "-z", "--ignore-submodules=all"]).run()?;
        let mut suspects = paths(&modified);
        suspects.extend(self.overlooked(&changes)?);
        suspects.extend(self.in_the_way(&changes));
        // What a killed call wrote already is as the new commit has it, and no work of the person's.
        let arrived = self.arrived(&suspects, &changes)?;
        dirty.extend(suspects.into_iter().filter(|path| !arrived.contains_key(path)));
        if !dirty.is_empty() {
            return Ok(Forward::Dirty { paths: dirty.into_iter().collect() });
        }
        if !arrived.is_empty() {
            self.set_entries(self.index, arrived.values().copied())?;
            self.refresh(self.index)?;
        }
        self.try_filters(&changes, new)?;
        if let Err(error) = self.read_trees(&["-m", "-u"], old, new) {
            self.take_back(&changes);
            return Err(error);
        }
        self.install()?;
        self.move_branch(branch, old, new)
    }

    /// Has each filter that the new files pass through do one of them, before anything is touched: git removes a
    /// file before it finds that it cannot write it anew, and then nobody can.
    fn try_filters(&self, changes: &BTreeMap<&RepoPath, &Change>, new: &Oid) -> Result<(), GitError> {
        let mut written = Vec::new();
        for (path, _) in changes.iter().filter(|(_, change)| change.kind != ChangeKind::Deleted) {
            written.extend_from_slice(path.as_bytes());
            written.push(0);
        }
        if written.is_empty() {
            return Ok(());
        }
        let said = self.call("check-attr").args(["-z", "--stdin", "filter"]).stdin(written).run()?;
        let said: Vec<&[u8]> = said.split(|byte| *byte == 0).collect();
        let mut tried = BTreeSet::new();
        for fields in said.chunks_exact(3) {
            let [path, _, filter] = fields else { continue };
            if matches!(*filter, b"unspecified" | b"unset" | b"set") || !tried.insert(*filter) {
                continue;
            }
            let file = [new.as_str().as_bytes(), b":", path].concat();
            self.call("cat-file").arg("--filters").arg(OsStr::from_bytes(&file)).limit(1).run()?;
        }
        Ok(())
    }

    /// Undoes what git wrote before it failed, on a full disk say: all of these files were as the person's
    /// index has them. What cannot be undone stays, and is in the way of the next call.
    fn take_back(&self, changes: &BTreeMap<&RepoPath, &Change>) {
        let mut before = Vec::new();
        for (path, change) in changes {
            if change.kind == ChangeKind::Added {
                let _ = fs::remove_file(self.tree.path.join(path.to_path_buf()));
            } else {
                before.extend_from_slice(path.as_bytes());
                before.push(0);
            }
        }
        let call = self.call("checkout-index").args(["-f", "-q", "-z", "--stdin"]).stdin(before);
        if let Err(error) = self.copy_index().and_then(|()| call.run().map(drop)) {
            tracing::warn!("{} may be half moved: {error}", self.tree.path.display());
        }
    }

    /// Files and index are there; the branch follows, or they go back.
    fn move_branch(&self, branch: &str, old: &Oid, new: &Oid) -> Result<Forward, GitError> {
        let call = self.git.head_call("update-ref").args(["-m", "kapell land: fast-forward", branch]);
        if let Err(error) = call.oid(new).oid(old).holding(self.guard).run() {
            let now = refs::read(self.git, branch)?;
            // It may have moved all the same, before git was killed.
            if now.as_ref() != Some(new) {
                self.copy_index()?;
                self.read_trees(&["-m", "-u"], new, old)?;
                self.install()?;
                return if now.as_ref() == Some(old) { Err(error) } else { Ok(Forward::Moved { now }) };
            }
        }
        Ok(Forward::Forwarded)
    }

    /// What the index has otherwise than a commit.
    fn staged(&self, commit: &Oid) -> Result<BTreeSet<RepoPath>, GitError> {
        let call = self.call("diff-index").args(["--cached", "--name-only", "-z", "--no-renames"]);
        Ok(paths(&call.oid(commit).run()?))
    }

    fn call(&self, command: &str) -> Call<'_> {
        self.git.tree_call(self.tree, command).index(self.index)
    }

    fn copy_index(&self) -> Result<(), GitError> {
        let index = self.tree.admin_dir.join("index");
        if index.exists() {
            copy_index(&index, self.index)?;
            self.refresh(self.index)?;
        }
        Ok(())
    }

    /// Files among the changes that differ, though the index says not to look at them (assume-unchanged,
    /// skip-worktree).
    fn overlooked(&self, changes: &BTreeMap<&RepoPath, &Change>) -> Result<BTreeSet<RepoPath>, GitError> {
        let listed = self.call("ls-files").args(["-v", "-z"]).run()?;
        let flagged = flagged(self.tree, &listed, |path| changes.contains_key(path));
        differing(self.git, self.tree, self.index, &flagged)
    }

    fn refresh(&self, index: &Path) -> Result<(), GitError> {
        refresh(self.git, self.tree, index)
    }

    fn read_trees(&self, flags: &[&str], from: &Oid, to: &Oid) -> Result<(), GitError> {
        self.call("read-tree").args(flags).oid(from).oid(to).holding(self.guard).run()?;
        Ok(())
    }

    fn install(&self) -> Result<(), GitError> {
        self.refresh(self.index)?;
        let index = self.tree.admin_dir.join("index");
        fs::rename(self.index, &index).map_err(GitError::io("replace", &index))
    }

    /// Untracked files, ignored ones too, where new ones would come. git itself overwrites ignored files.
    fn in_the_way(&self, changes: &BTreeMap<&RepoPath, &Change>) -> BTreeSet<RepoPath> {
        let leaves = |path: &RepoPath| {
            changes.get(path).is_some_and(|change| {
                matches!(change.kind, ChangeKind::Deleted | ChangeKind::TypeChanged | ChangeKind::Modified)
            })
        };
        let mut found = BTreeSet::new();
        for (path, _) in changes.iter().filter(|(_, change)| change.kind == ChangeKind::Added) {
            for above in parents(path) {
                let metadata = fs::symlink_metadata(self.tree.path.join(above.to_path_buf()));
                if metadata.is_ok_and(|metadata| !metadata.is_dir()) && !leaves(&above) {
                    found.insert(above);
                }
            }
            let file = self.tree.path.join(path.to_path_buf());
            match fs::symlink_metadata(&file) {
                // A file in a folder that is a link elsewhere is reported above, by that link.
                Err(_) => {}
                Ok(metadata) if metadata.is_dir() => {
                    found.extend(files_below(&file, path).into_iter().filter(|path| !leaves(path)));
                }
                Ok(_) => {
                    found.insert((*path).clone());
                }
            }
        }
        found
    }

    /// Those of the suspects that are on disk as the new commit has them.
    fn arrived<'c>(
        &self,
        suspects: &BTreeSet<RepoPath>,
        changes: &BTreeMap<&RepoPath, &'c Change>,
    ) -> Result<BTreeMap<RepoPath, &'c Change>, GitError> {
        let mut arrived = BTreeMap::new();
        let mut present = Vec::new();
        for path in suspects {
            let Some(change) = changes.get(path) else { continue };
            let metadata = fs::symlink_metadata(self.tree.path.join(path.to_path_buf()));
            // A folder in its place is one that the new commit has; what is in it was looked at by itself.
            let is_there = metadata.is_ok_and(|metadata| !metadata.is_dir());
            match (change.kind == ChangeKind::Deleted, is_there) {
                (true, false) => drop(arrived.insert(path.clone(), *change)),
                (false, true) => present.push(*change),
                _ => {}
            }
        }
        if present.is_empty() {
            return Ok(arrived);
        }
        // An index of just these files tells which of them differ from the new commit.
        let index = self.tree.admin_dir.join(format!("{OWN_INDEX}{}", random_tail(10)));
        self.set_entries(&index, present.iter().copied())?;
        self.refresh(&index)?;
        let call = self.git.tree_call(self.tree, "diff-files").index(&index);
        let differing = paths(&call.args(["--name-only", "-z", "--ignore-submodules=all"]).run()?);
        let same = present.into_iter().filter(|change| !differing.contains(&change.path));
        arrived.extend(same.map(|change| (change.path.clone(), change)));
        Ok(arrived)
    }

    /// Sets entries of an index as the changes have them.
    fn set_entries<'c>(
        &self,
        index: &Path,
        changes: impl Iterator<Item = &'c Change>,
    ) -> Result<(), GitError> {
        let call = self.git.tree_call(self.tree, "update-index").index(index);
        call.args(["-z", "--index-info"]).stdin(index_info(changes)).run()?;
        Ok(())
    }
}

/// Lets go of the locks of checkouts that killed calls of ours left after their work was done, and tells which.
pub fn mend(git: &Git, _guard: &Guard) -> Vec<PathBuf> {
    let common = &git.repository().common_dir;
    let mut mended = Vec::new();
    for admin_dir in std::iter::once(common.clone()).chain(admin_dirs(common)) {
        if is_ours(&admin_dir.join("index.lock")) {
            drop(IndexLock { path: admin_dir.join("index.lock") });
            remove_copies(&admin_dir);
            mended.push(admin_dir);
        }
    }
    mended
}

/// What commands are short for in the person's configuration, each by its name in small letters, as git tells it.
pub fn aliases(git: &Git, tree: &Worktree) -> Result<Vec<(String, String)>, GitError> {
    let call = git.tree_call(tree, "config").by_person().args(["-z", "--get-regexp", "^alias[.]"]);
    let told = String::from_utf8_lossy(&call.accept(&[0, 1]).run()?).into_owned();
    // The newest of a name comes last.
    let alias = |entry: &str| {
        let (name, text) = entry.split_once('\n')?;
        Some((name.strip_prefix("alias.")?.to_owned(), text.to_owned()))
    };
    Ok(told.rsplit('\0').filter_map(alias).collect())
}

/// Whether a lock of an index is one of ours; under the queue's guard its holder was killed.
fn is_ours(lock: &Path) -> bool {
    fs::read(lock).is_ok_and(|text| text == MARK)
}

/// The person's index lock, held by us; let go when dropped.
struct IndexLock {
    path: PathBuf,
}

impl IndexLock {
    /// Takes it; `None` if another git has it. Under the queue's guard: a lock with our mark has no living holder.
    fn take(admin_dir: &Path) -> Result<Option<Self>, GitError> {
        let path = admin_dir.join("index.lock");
        let aside = admin_dir.join(format!("{OWN_INDEX}{}", random_tail(10)));
        super::worktree::write_whole(&aside, MARK)?;
        // A link appears with its text, so a kill never leaves an empty lock that nobody knows.
        let linked = fs::hard_link(&aside, &path);
        let _ = fs::remove_file(&aside);
        match linked {
            Ok(()) => Ok(Some(Self { path })),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Not `then_some`: a value made and dropped would delete the lock.
                Ok(is_ours(&path).then(|| Self { path }))
            }
            Err(error) => Err(GitError::io("create", &path)(error)),
        }
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        // If this fails, the next call takes the lock over.
        let _ = fs::remove_file(&self.path);
    }
}

/// Deletes copies of the index, this call's and those of killed ones.
fn remove_copies(admin_dir: &Path) {
    for entry in fs::read_dir(admin_dir).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(OWN_INDEX.as_bytes()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn paths(printed: &[u8]) -> BTreeSet<RepoPath> {
    let names = printed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(RepoPath::from_bytes).gather()
}

/// The folders above a path, the top one first.
fn parents(path: &RepoPath) -> Vec<RepoPath> {
    let bytes = path.as_bytes();
    let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| RepoPath::from_bytes(&bytes[..at])).collect()
}

/// Every file below a folder, links not followed; `path` is the folder's.
pub(super) fn files_below(folder: &Path, path: &RepoPath) -> Vec<RepoPath> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = [path.as_bytes(), b"/", entry.file_name().as_encoded_bytes()].concat();
        let below = RepoPath::from_bytes(name);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(files_below(&entry.path(), &below));
        } else {
            files.push(below);
        }
    }
    files
}

/// Those of the paths that git ignores in a checkout; what it tracks it does not ignore.
pub fn ignored(git: &Git, tree: &Worktree, paths: &[RepoPath]) -> Result<BTreeSet<RepoPath>, GitError> {
    ignored_by(git.tree_call(tree, "check-ignore"), paths)
}

/// [`ignored`], by a call of `check-ignore` that is put together so far.
pub(super) fn ignored_by(call: Call<'_>, paths: &[RepoPath]) -> Result<BTreeSet<RepoPath>, GitError> {
    let mut input = Vec::new();
    for path in paths {
        // A colon at the beginning would mean something.
        input.extend_from_slice(b"./");
        input.extend_from_slice(path.as_bytes());
        input.push(0);
    }
    let call = call.args(["-z", "--stdin"]).stdin(input);
    // 128: one of them lies behind a link, of which git tells nothing.
    let printed = call.accept(&[0, 1, 128]).run()?;
    let named = printed.split(|byte| *byte == 0).filter_map(|name| name.strip_prefix(b"./"));
    Ok(named.map(RepoPath::from_bytes).gather())
}

/// Whether git knows this path of a checkout, or anything below it.
pub fn has_known(git: &Git, tree: &Worktree, path: &str) -> Result<bool, GitError> {
    Ok(!git.tree_call(tree, "ls-files").args(["-z", "--"]).arg(path).run()?.is_empty())
}

/// Whether a checkout has the path, or all below it, as its last commit has it: nothing changed,
/// staged, or unknown to git, nor changed where the index says not to look.
pub fn is_committed(git: &Git, tree: &Worktree, path: &Path) -> Result<bool, GitError> {
    Ok(committed(git, tree, &[path])? == [true])
}

/// The same of each of these.
pub fn committed(git: &Git, tree: &Worktree, of: &[&Path]) -> Result<Vec<bool>, GitError> {
    if of.is_empty() {
        return Ok(Vec::new());
    }
    let call = git.tree_call(tree, "status").args(["--porcelain", "-z", "--untracked-files=all"]);
    let told = call.args(["--ignored", "--no-renames", "--"]).args(of.iter()).run()?;
    let entries = told.split(|byte| *byte == 0).filter_map(|entry| entry.get(3..));
    let mut changed: Vec<RepoPath> = entries.map(RepoPath::from_bytes).collect();
    let listed = git.tree_call(tree, "ls-files").args(["-v", "-z", "--"]).args(of.iter()).run()?;
    let flagged = flagged(tree, &listed, |_| true);
    changed.extend(differing(git, tree, &tree.admin_dir.join("index"), &flagged)?);
    // What is told lies below one of them, or is the folder around it, whose name ends with a slash.
    let is_within = |inner: &[u8], outer: &[u8]| {
        let outer = outer.strip_suffix(b"/").unwrap_or(outer);
        inner.strip_prefix(outer).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
    };
    let is_met = |path: &&Path| {
        let path = path.as_os_str().as_encoded_bytes();
        let is_of = |it: &RepoPath| is_within(it.as_bytes(), path) || is_within(path, it.as_bytes());
        path.is_empty() && !changed.is_empty() || changed.iter().any(is_of)
    };
    Ok(of.iter().map(|path| !is_met(path)).collect())
}

/// Of what `ls-files -v -z` lists those that are there, and at which the index says not to look (assume-unchanged,
/// skip-worktree).
fn flagged(tree: &Worktree, listed: &[u8], is_meant: impl Fn(&RepoPath) -> bool) -> Vec<u8> {
    let is_flagged = |mark: u8| mark.is_ascii_lowercase() || mark == b'S';
    let mut flagged = Vec::new();
    for entry in listed.split(|byte| *byte == 0) {
        let [mark, b' ', path @ ..] = entry else { continue };
        let path = RepoPath::from_bytes(path);
        let is_there = || fs::symlink_metadata(tree.path.join(path.to_path_buf())).is_ok();
        if is_flagged(*mark) && is_meant(&path) && is_there() {
            flagged.extend_from_slice(path.as_bytes());
            flagged.push(0);
        }
    }
    flagged
}

/// Files that differ from the index, looked at by a copy of it that says to look at those that are named.
fn differing(
    git: &Git,
    tree: &Worktree,
    index: &Path,
    flagged: &[u8],
) -> Result<BTreeSet<RepoPath>, GitError> {
    if flagged.is_empty() {
        return Ok(BTreeSet::new());
    }
    let own = tree.admin_dir.join(format!("{OWN_INDEX}{}", random_tail(10)));
    copy_index(index, &own)?;
    let looked = || -> Result<BTreeSet<RepoPath>, GitError> {
        for mark in ["--no-assume-unchanged", "--no-skip-worktree"] {
            let call = git.tree_call(tree, "update-index").index(&own);
            call.args([mark, "-z", "--stdin"]).stdin(flagged.to_vec()).run()?;
        }
        refresh(git, tree, &own)?;
        let call = git.tree_call(tree, "diff-files").index(&own);
        Ok(paths(&call.args(["--name-only", "-z", "--ignore-submodules=all"]).run()?))
    };
    let found = looked();
    // One that stays is swept with those of who was killed.
    let _ = fs::remove_file(&own);
    found
}

fn refresh(git: &Git, tree: &Worktree, index: &Path) -> Result<(), GitError> {
    let call = git.tree_call(tree, "update-index").index(index);
    call.args(["-q", "--refresh"]).accept(&[0, 1]).run()?;
    Ok(())
}
