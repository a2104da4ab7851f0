//! Submodules of an environment: what is brought into its checkout moves them too. git itself leaves their
//! folders as they were, so that the next commit of all changes would move them back.

use std::fs;
use std::path::Path;

use super::Oid;
use super::change::{Change, Mode, changed_between};
use super::discover::discover;
use super::environment::Beside;
use super::read;
use super::run::{Git, GitError};
use super::worktree::Worktree;
use crate::base::paths::RepoPath;

impl Beside {
    /// Has the submodules that are checked out follow the checkout from one commit to another: those that were
    /// at their commit, and with what the project's own submodules have. Gives those that stay behind.
    pub fn follow(&self, main: &Git, before: &Oid, after: &Oid) -> Result<Vec<RepoPath>, GitError> {
        let mut behind = Vec::new();
        for change in changed_between(&self.git, before, after)? {
            if (change.old_mode, change.new_mode) != (Mode::Gitlink, Mode::Gitlink) {
                continue;
            }
            // One that is not checked out has nothing that could be behind.
            if let Some(inner) = self.module(&change.path)?
                && !inner.follows(self, main, &change)?
            {
                behind.push(change.path);
            }
        }
        Ok(behind)
    }

    /// The submodules of the project that nobody has fetched here: their folders are empty.
    pub fn unfetched(&self) -> Result<Vec<RepoPath>, GitError> {
        let list = self.tree.path.join(".gitmodules");
        if !fs::symlink_metadata(&list).is_ok_and(|metadata| metadata.is_file()) {
            return Ok(Vec::new());
        }
        let call = self.call("config").args(["-z", "--get-regexp", "--file"]).arg(&list);
        // None is named, or somebody is in the middle of writing it: then there is nothing to fetch.
        let named = call.arg(r"^submodule\..*\.path$").accept(&[0, 1, 3, 128]).run()?;
        let named: Vec<RepoPath> = (named.split(|byte| *byte == 0))
            .filter_map(|entry| Some(RepoPath::from_bytes(entry.splitn(2, |byte| *byte == b'\n').nth(1)?)))
            .filter(|path| {
                let folder = self.tree.path.join(path.to_path_buf());
                fs::symlink_metadata(folder.join(".git")).is_err()
            })
            .collect();
        if named.is_empty() {
            return Ok(named);
        }
        let call = self.call("ls-files").args(["--stage", "-z", "--"]);
        let printed = call.args(named.iter().map(RepoPath::to_path_buf)).run()?;
        let entries = printed.split(|byte| *byte == 0).filter(|entry| entry.starts_with(b"160000 "));
        let path = |entry: &[u8]| Some(RepoPath::from_bytes(entry.splitn(2, |byte| *byte == b'\t').nth(1)?));
        Ok(entries.filter_map(path).collect())
    }

    /// A submodule that is checked out.
    fn module(&self, path: &RepoPath) -> Result<Option<Self>, GitError> {
        let folder = self.tree.path.join(path.to_path_buf());
        if fs::symlink_metadata(folder.join(".git")).is_err() {
            return Ok(None);
        }
        let repository = match discover(&folder) {
            Ok(repository) if repository.top.as_deref() == Some(&folder) => repository,
            _ => return Ok(None),
        };
        let tree = Worktree::of_checkout(&repository)?;
        Ok(Some(Self { git: Git::new(self.git.program(), &repository)?, tree }))
    }

    /// Moves this submodule on, if nothing of anybody's is in the way; whether it is there now.
    fn follows(&self, outer: &Self, main: &Git, change: &Change) -> Result<bool, GitError> {
        let look = self.look()?;
        if look.head.as_ref() == Some(&change.new_oid) {
            return Ok(true);
        }
        if look.head.as_ref() != Some(&change.old_oid) || !look.changed.is_empty() {
            return Ok(false);
        }
        if !self.has(&change.new_oid)? {
            let own = &self.git.repository().git_dir;
            let Ok(name) = own.strip_prefix(outer.git.repository().git_dir.join("modules")) else {
                return Ok(false);
            };
            let theirs = main.repository().common_dir.join("modules").join(name);
            if !self.fetch_module(&theirs)? || !self.has(&change.new_oid)? {
                return Ok(false);
            }
        }
        if !self.covered(&change.new_oid)?.is_empty() {
            return Ok(false);
        }
        self.call("checkout").args(["--quiet", "--detach"]).oid(&change.new_oid).run()?;
        Ok(true)
    }

    fn has(&self, commit: &Oid) -> Result<bool, GitError> {
        let call = self.git.call("cat-file").arg("-e").arg(format!("{commit}^{{commit}}"));
        Ok(call.accept(&[0, 1, 128]).finish()?.code == Some(0))
    }

    /// Fetches what the project has of this submodule, as of another remote; whether it has any.
    fn fetch_module(&self, theirs: &Path) -> Result<bool, GitError> {
        if !theirs.join("HEAD").is_file() {
            return Ok(false);
        }
        let call = self.call("fetch").args(["--quiet", "--no-tags", "--no-write-fetch-head"]);
        let call = call.args(["--no-recurse-submodules", "--"]).arg(theirs);
        let fetched =
            call.args(["+refs/heads/*:refs/remotes/project/*", "+HEAD:refs/remotes/project/at-work"]).run();
        match fetched {
            Ok(_) => Ok(true),
            Err(GitError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes submodules that would go back to an earlier commit, or from one that they have not even got, out of
    /// what is to be committed. Gives them.
    pub(super) fn hold_back(&self) -> Result<Vec<RepoPath>, GitError> {
        let printed = self
            .call("diff")
            .args(["--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--ignore-submodules=none"])
            .args(["--diff-filter=M", "--no-ext-diff"])
            .run()?;
        let lines: Vec<&[u8]> = printed.split(|byte| *byte == 0).collect();
        let mut held = Vec::new();
        for pair in lines.chunks_exact(2).filter(|pair| pair[0].starts_with(b":160000 160000 ")) {
            let text = String::from_utf8_lossy(pair[0]);
            let mut words = text.split(' ').skip(2);
            let oid = |word: Option<&str>| word.and_then(Oid::parse);
            let (Some(old), Some(new)) = (oid(words.next()), oid(words.next())) else { continue };
            let path = RepoPath::from_bytes(pair[1]);
            let Some(inner) = self.module(&path)? else { continue };
            if !inner.has(&old)? || read::is_ancestor(&inner.git, &new, &old)? {
                held.push(path);
            }
        }
        if !held.is_empty() {
            let call = self.call("reset").args(["--quiet", "--"]);
            call.args(held.iter().map(RepoPath::to_path_buf)).run()?;
        }
        Ok(held)
    }
}
