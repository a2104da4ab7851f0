//! Putting the files of an environment where a worker's attempt wants them, and back: only over what is saved.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::change::{Change, changed_between};
use super::environment::{Beside, plain};
use super::queue::Guard;
use super::run::{Git, GitError};
use super::snapshot::{self, LARGEST_FILE, Skipped, SnapshotError};
use super::{Oid, refs};
use crate::base::paths::RepoPath;

/// What was brought from the project last, so that its objects stay as long as they are needed.
pub const BROUGHT: &str = "refs/kapell/brought";

impl Beside {
    /// Brings what a ref of the project holds here, under [`BROUGHT`].
    pub fn bring_here(&self, main: &Git, reference: &str) -> Result<(), GitError> {
        if !self.is_clone(main) {
            return Ok(());
        }
        let call = self.call("fetch").args(["--quiet", "--no-tags", "--no-write-fetch-head"]);
        let call = call.args(["--no-recurse-submodules", "--"]).arg(&main.repository().common_dir);
        call.arg(format!("+{reference}:{BROUGHT}")).run()?;
        Ok(())
    }

    /// Brings what a ref of this repository holds into the project, under a ref there.
    pub fn bring_home(&self, main: &Git, guard: &Guard, from: &str, to: &str) -> Result<(), GitError> {
        if !self.is_clone(main) {
            if let Some(commit) = refs::read(&self.git, from)?
                && from != to
            {
                let before = refs::read(main, to)?;
                refs::update_as(main, Some(guard), to, &commit, before.as_ref(), "kapell env")?;
            }
            return Ok(());
        }
        let spec = format!("+{from}:{to}");
        let words =
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--"];
        let mut args: Vec<&OsStr> = words.map(OsStr::new).to_vec();
        args.extend([self.git.repository().git_dir.as_os_str(), OsStr::new(&spec)]);
        plain(main.program(), &main.repository().common_dir, &args, Some(guard))?;
        Ok(())
    }

    /// What the files differ from a commit; `None` where something in them could not be saved as it is.
    pub fn changes_since(&self, base: &Oid, scratch: &Path) -> Result<Option<Vec<Change>>, SnapshotError> {
        let now = snapshot::capture(&self.git, &self.tree, base, scratch, LARGEST_FILE, false)?;
        if now.skipped.iter().any(Skipped::has_content) {
            return Ok(None);
        }
        Ok(Some(if now.is_base { Vec::new() } else { changed_between(&self.git, base, &now.tree)? }))
    }

    /// Deletes files. They are in the tree as it is, so no link is on their way.
    pub fn delete_files<'p>(&self, paths: impl IntoIterator<Item = &'p RepoPath>) -> Result<(), GitError> {
        for path in paths {
            let file = self.tree.path.join(path.to_path_buf());
            match fs::remove_file(&file) {
                Err(error) if !is_gone(&error) => return Err(GitError::io("remove", &file)(error)),
                _ => {}
            }
            let folders = file.ancestors().skip(1).take_while(|folder| *folder != self.tree.path);
            // The first that holds something ends it.
            let _ = folders.map(fs::remove_dir).take_while(Result::is_ok).count();
        }
        Ok(())
    }

    /// Writes files as a commit has them, and leaves all others.
    pub fn restore_files<'p>(
        &self,
        of: &Oid,
        paths: impl IntoIterator<Item = &'p RepoPath>,
    ) -> Result<(), GitError> {
        self.index_as(of)?;
        let mut input = Vec::new();
        for path in paths {
            input.extend_from_slice(path.as_bytes());
            input.push(0);
        }
        if !input.is_empty() {
            self.call("checkout-index").args(["-f", "-u", "-z", "--stdin"]).stdin(input).run()?;
        }
        Ok(())
    }

    /// Makes the files those of a commit, while the branch stays where it is.
    pub fn lay_files(&self, of: &Oid, head: &Oid) -> Result<(), GitError> {
        self.call("read-tree").args(["--reset", "-u"]).oid(of).run()?;
        self.index_as(head)
    }

    /// Moves the branch that is checked out to a commit, and no file.
    pub fn move_branch(&self, from: &Oid, to: &Oid) -> Result<(), GitError> {
        self.call("update-ref").args(["-m", "kapell: a worker's result", "HEAD"]).oid(to).oid(from).run()?;
        self.index_as(to)
    }

    fn index_as(&self, commit: &Oid) -> Result<(), GitError> {
        self.call("read-tree").oid(commit).run()?;
        self.call("update-index").args(["-q", "--refresh"]).accept(&[0, 1]).finish()?;
        Ok(())
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}
