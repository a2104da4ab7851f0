//! Files that git does not know, where it is about to write others. It asks before it does so over a file that
//! is new; one that it ignores it takes for worthless, and writes over without a word.

use crate::base::sorting::sort;
use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::Oid;
use super::change::Mode;
use super::checkout::files_below;
use super::environment::Beside;
use super::read;
use super::run::GitError;
use crate::base::paths::RepoPath;

/// A larger file is not compared with what would take its place.
const LARGEST_COMPARED: u64 = 64 << 20;

impl Beside {
    /// Files of the checkout that git does not know, in the place of what a commit or a tree has, in the order
    /// of their names. One that has the same content is in nobody's way.
    pub fn covered(&self, to: &Oid) -> Result<Vec<RepoPath>, GitError> {
        let call =
            self.call("diff-index").args(["--cached", "--no-renames", "--raw", "--diff-filter=D", "-z"]);
        let printed = call.oid(to).run()?;
        // A line for how it was and is, and one for where. A submodule is put beside what is in its folder.
        let lines: Vec<&[u8]> = printed.split(|byte| *byte == 0).collect();
        let added = lines.chunks_exact(2).filter(|pair| !pair[0].starts_with(b":160000"));
        let there = self.there(added.map(|pair| RepoPath::from_bytes(pair[1])).collect())?;
        if there.is_empty() {
            return Ok(there);
        }
        let entries = read::ls_tree(&self.git, to, &there)?;
        let mut covered = Vec::with_capacity(there.len());
        for path in there {
            let same = entries.iter().find(|entry| entry.path == path);
            let is_same = match same {
                Some(entry) => self.has_content(to, &path, entry.mode)?,
                None => false,
            };
            if !is_same {
                covered.push(path);
            }
        }
        Ok(covered)
    }

    /// The same of all that the commits of `head` which `onto` does not have ever added: a rebase lays them
    /// out one after the other.
    pub(super) fn covered_between(&self, onto: &Oid, head: &Oid) -> Result<Vec<RepoPath>, GitError> {
        let call = self.call("log").args(["-z", "--name-only", "--no-renames", "--diff-filter=A"]);
        let call =
            call.args(["--format=", "--no-ext-diff", "--no-show-signature"]).arg(format!("{onto}..{head}"));
        let printed = call.arg("--").run()?;
        let tracked = self.tracked()?;
        let mut added = split(&printed);
        added.retain(|path| !tracked.contains(path));
        self.there(added)
    }

    fn tracked(&self) -> Result<HashSet<RepoPath>, GitError> {
        Ok(split(&self.call("ls-files").args(["-z", "--full-name"]).run()?).into_iter().collect())
    }

    /// The files that lie at these paths, of which git knows none, below them, or in the place of a folder of them.
    fn there(&self, paths: Vec<RepoPath>) -> Result<Vec<RepoPath>, GitError> {
        let top = &self.tree.path;
        let mut found = HashSet::new();
        let mut seen = HashSet::new();
        for path in paths {
            let bytes = path.as_bytes();
            let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let parents = slashes.map(|(at, _)| RepoPath::from_bytes(&bytes[..at]));
            for parent in parents {
                if !seen.insert(parent.clone()) {
                    continue;
                }
                let kind = fs::symlink_metadata(top.join(parent.to_path_buf())).map(|it| it.is_dir());
                if kind.is_ok_and(|is_folder| !is_folder) {
                    found.insert(parent);
                }
            }
            let file = top.join(path.to_path_buf());
            match fs::symlink_metadata(&file) {
                Ok(it) if it.is_dir() => found.extend(files_below(&file, &path)),
                // A link on the way is told already, and what lies behind it is elsewhere.
                Ok(_) if !leads_elsewhere(top, &path) => drop(found.insert(path)),
                _ => {}
            }
        }
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let tracked = self.tracked()?;
        let mut found: Vec<RepoPath> = found.into_iter().filter(|path| !tracked.contains(path)).collect();
        sort(&mut found);
        Ok(found)
    }

    /// Whether a file is as a commit or tree has it.
    fn has_content(&self, of: &Oid, path: &RepoPath, mode: Mode) -> Result<bool, GitError> {
        let file = self.tree.path.join(path.to_path_buf());
        let Ok(metadata) = fs::symlink_metadata(&file) else { return Ok(false) };
        let here = match mode {
            Mode::Symlink if metadata.is_symlink() => {
                fs::read_link(&file).map(|to| to.as_os_str().as_bytes().to_vec())
            }
            Mode::Gitlink | Mode::Symlink => return Ok(false),
            _ if !metadata.is_file() || metadata.len() > LARGEST_COMPARED => return Ok(false),
            _ => fs::read(&file),
        };
        let Ok(here) = here else { return Ok(false) };
        Ok(read::show_file(&self.git, of, path)? == Some(here))
    }

    /// What of these a snapshot does not hold.
    pub fn not_in(&self, snapshot: &Oid, mut paths: Vec<RepoPath>) -> Result<Vec<RepoPath>, GitError> {
        if paths.is_empty() {
            return Ok(paths);
        }
        let held = read::ls_tree(&self.git, snapshot, &paths)?;
        let held: HashSet<RepoPath> = held.into_iter().map(|entry| entry.path).collect();
        paths.retain(|path| !held.contains(path));
        Ok(paths)
    }
}

fn split(printed: &[u8]) -> Vec<RepoPath> {
    let names = printed.split(|byte| *byte == 0).map(|name| name.strip_prefix(b"\n").unwrap_or(name));
    names.filter(|name| !name.is_empty()).map(RepoPath::from_bytes).collect()
}

/// Whether a folder on the way to a path is a symbolic link.
fn leads_elsewhere(top: &Path, path: &RepoPath) -> bool {
    let whole = path.to_path_buf();
    let above = whole.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty());
    above.into_iter().any(|folder| top.join(folder).is_symlink())
}
