//! Landing: merging without files, and moving a branch that nobody has checked out.

use crate::base::sorting::Gather as _;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::change::changed_between;
use super::discover::{Repository, configured, configured_bare, discover};
use super::queue::Guard;
use super::read::Head;
use super::refs::{self, Update};
use super::run::{Git, GitError, unexpected};
use super::worktree::admin_dirs;
use super::{Oid, Version, read};
use crate::base::paths::RepoPath;

/// A report on conflicts ends before it is longer than this, in bytes.
const MOST_REPORTED: usize = 8000;

/// How a merge ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// Both fit.
    Clean {
        /// The merged tree.
        tree: Oid,
    },
    /// They do not.
    Conflict {
        /// Where, sorted.
        paths: Vec<RepoPath>,
        /// What git says of each, and the hunks that conflict, for the worker.
        report: String,
    },
}

/// Merges `work` (a commit on `base`) into `onto`, without files and without moving anything.
///
/// The result changes no path of `onto` that `work` does not change of `base`: where git would follow a
/// rename and change a file under its new name, which the worker does not own, the answer is a conflict.
pub fn merge(git: &Git, onto: &Oid, work: &Oid, base: &Oid) -> Result<Merge, GitError> {
    let call =
        git.call("merge-tree").attributes_of(onto).args(["--write-tree", "-z", "--name-only", "--messages"]);
    let call = if git.version() >= (Version { major: 2, minor: 40 }) {
        call.arg(format!("--merge-base={base}")).oid(onto).oid(work)
    } else {
        // Older gits find the base themselves: these commits leave them only one.
        let root = commit_tree(git, &read::tree_of(git, base)?, &[], "base")?;
        let ours = commit_tree(git, &read::tree_of(git, onto)?, &[&root], "onto")?;
        let theirs = commit_tree(git, &read::tree_of(git, work)?, &[&root], "work")?;
        call.oid(&ours).oid(&theirs)
    };
    let finished = call.accept(&[0, 1]).finish()?;
    let (tree, paths, report) =
        parse_merge(&finished.stdout).ok_or_else(|| unexpected("merge-tree", &finished.stdout))?;
    if finished.code == Some(1) {
        let report = with_hunks(git, &tree, &paths, report)?;
        return Ok(Merge::Conflict { paths, report });
    }
    let asked: BTreeSet<RepoPath> =
        changed_between(git, base, work)?.into_iter().map(|change| change.path).gather();
    let merged = changed_between(git, onto, &tree)?.into_iter().map(|change| change.path);
    let astray: Vec<RepoPath> = merged.filter(|path| !asked.contains(path)).collect();
    if astray.is_empty() {
        return Ok(Merge::Clean { tree });
    }
    let lines = astray.iter().map(|path| {
        format!("CONFLICT (renamed): the work would change {path}, which it did not change on its base\n")
    });
    Ok(Merge::Conflict { report: lines.collect(), paths: astray })
}

/// Adds to a report what conflicts, out of the tree that git made with its marks.
fn with_hunks(git: &Git, tree: &Oid, paths: &[RepoPath], mut report: String) -> Result<String, GitError> {
    for path in paths {
        let content = read::show_file(git, tree, path)?.unwrap_or_default();
        for (line, hunk) in hunks(&String::from_utf8_lossy(&content)) {
            if report.len() + hunk.len() > MOST_REPORTED {
                report.push_str("(and more)\n");
                return Ok(report);
            }
            report.push_str(&format!("{path}, line {line}:\n{hunk}"));
        }
    }
    Ok(report)
}

/// The hunks between git's marks, each with the number of its first line and with marks that say whose
/// side is whose.
fn hunks(content: &str) -> Vec<(usize, String)> {
    let mut hunks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in content.lines().enumerate() {
        match &mut open {
            None if line.starts_with("<<<<<<< ") => open = Some((at + 1, "<<<<<<< landed\n".to_owned())),
            None => {}
            Some((from, hunk)) if line.starts_with(">>>>>>> ") => {
                hunk.push_str(">>>>>>> this try\n");
                hunks.push((*from, std::mem::take(hunk)));
                open = None;
            }
            Some((_, hunk)) if line.starts_with("||||||| ") => hunk.push_str("||||||| before\n"),
            Some((_, hunk)) => {
                hunk.push_str(line);
                hunk.push('\n');
            }
        }
    }
    hunks
}

/// Reads `TREE\0` (`PATH\0`)* and, after an empty field, (`COUNT\0` (`PATH\0`)^COUNT `KIND\0` `MESSAGE\0`)*.
pub(super) fn parse_merge(printed: &[u8]) -> Option<(Oid, Vec<RepoPath>, String)> {
    let mut fields = printed.split(|byte| *byte == 0);
    let tree = Oid::parse(std::str::from_utf8(fields.next()?).ok()?)?;
    let mut paths = BTreeSet::new();
    for path in fields.by_ref().take_while(|field| !field.is_empty()) {
        paths.insert(RepoPath::from_bytes(path));
    }
    let mut report = String::new();
    while let Some(count) = fields.next().filter(|field| !field.is_empty()) {
        let count: usize = std::str::from_utf8(count).ok()?.parse().ok()?;
        let about: Vec<RepoPath> = fields.by_ref().take(count).map(RepoPath::from_bytes).collect();
        let kind = fields.next()?;
        let message = fields.next()?;
        if kind.starts_with(b"CONFLICT") {
            // Some conflicts, such as a rename of a folder, list no path above.
            paths.extend(about);
            report.push_str(String::from_utf8_lossy(message).trim_end());
            report.push('\n');
        }
    }
    Some((tree, paths.into_iter().collect(), report))
}

/// Writes a commit. The author is Kapell.
pub fn commit_tree(git: &Git, tree: &Oid, parents: &[&Oid], message: &str) -> Result<Oid, GitError> {
    let mut call = git.call("commit-tree").oid(tree);
    for (i, parent) in parents.iter().enumerate() {
        if !parents[..i].contains(parent) {
            call = call.arg("-p").oid(parent);
        }
    }
    call.args(["-F", "-"]).stdin(message.replace('\0', "\u{fffd}").into_bytes()).run_for_oid()
}

/// A commit without files, to compare with where there is nothing earlier.
pub fn empty_commit(git: &Git) -> Result<Oid, GitError> {
    let tree = git.call("hash-object").args(["-t", "tree", "-w", "--stdin"]).run_for_oid()?;
    commit_tree(git, &tree, &[], "kapell: nothing")
}

/// How moving a branch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// The branch holds the new commit, now or already.
    Advanced,
    /// It held something else: merge again onto that.
    Moved {
        /// What it holds; `None` if it does not exist.
        now: Option<Oid>,
    },
    /// Somebody has it checked out there; see [`super::checkout::fast_forward`].
    CheckedOut {
        /// The checkout.
        path: PathBuf,
    },
    /// A person is about to move it: it is being rebased, or looked through for a fault.
    InProgress {
        /// Where.
        path: PathBuf,
        /// What: `a rebase`.
        what: &'static str,
    },
}

/// Moves a branch (`refs/heads/…`) from `old` (`None`: it does not exist) to `new`, unless it is checked out.
pub fn advance(
    git: &Git,
    guard: &Guard,
    branch: &str,
    new: &Oid,
    old: Option<&Oid>,
) -> Result<Advance, GitError> {
    if refs::read(git, branch)?.as_ref() == Some(new) {
        return Ok(Advance::Advanced);
    }
    if let Some(path) = checked_out(git, branch)? {
        return Ok(Advance::CheckedOut { path });
    }
    if let Some((path, what)) = in_progress(git, branch) {
        return Ok(Advance::InProgress { path, what });
    }
    Ok(match refs::update_as(git, Some(guard), branch, new, old, "kapell: land")? {
        Update::Done => Advance::Advanced,
        Update::Moved { now } => Advance::Moved { now },
    })
}

/// The checkout whose `HEAD` is on this branch (`refs/heads/…`).
pub fn checked_out(git: &Git, branch: &str) -> Result<Option<PathBuf>, GitError> {
    Ok(checkouts(git, branch)?.into_iter().next())
}

/// All of them: by force, git checks a branch out more than once. One that cannot be found, since its `.git` is a
/// file and nothing tells of it, is told as its git folder.
pub(super) fn checkouts(git: &Git, branch: &str) -> Result<Vec<PathBuf>, GitError> {
    let printed = git.call("worktree").args(["list", "--porcelain", "-z"]).run()?;
    let mut found = Vec::new();
    let mut path = None;
    let mut is_bare = false;
    let mut is_main_bare = false;
    for line in printed.split(|byte| *byte == 0) {
        if let Some(bytes) = line.strip_prefix(b"worktree ") {
            let told = RepoPath::from_bytes(bytes).to_path_buf();
            // Of a main checkout whose `.git` is a file git knows the git folder only.
            let is_git_dir = told == git.repository().common_dir;
            path = Some(if is_git_dir { main_top(git).unwrap_or(told) } else { told });
            is_bare = false;
        } else if line == b"bare" {
            is_bare = true;
            is_main_bare = true;
        } else if line.strip_prefix(b"branch ") == Some(branch.as_bytes()) && !is_bare {
            found.extend(path.take());
        }
    }
    // Where the configuration does not say `core.bare`, git takes the main checkout for bare in a call
    // that is about no files.
    if is_main_bare
        && let Some(top) = main_top(git)
        && let Head::Branch { reference, .. } = read::head(&Git::new(git.program(), &discover(&top)?)?)?
        && reference == branch
    {
        found.insert(0, top);
    }
    Ok(found)
}

/// The top of the main checkout, wherever its git folder lies. That may be in no folder's `.git`: of a submodule the
/// configuration tells, of others (`git init --separate-git-dir`) whoever called from there.
pub fn main_top(git: &Git) -> Option<PathBuf> {
    let Repository { common_dir, top, .. } = git.repository();
    if configured_bare(common_dir) {
        return None;
    }
    let told = || {
        let mut files = ["config.worktree", "config"].map(|name| common_dir.join(name)).into_iter();
        files.find_map(|file| configured(&file, "worktree")).map(|top| common_dir.join(top))
    };
    let is_main = |folder: PathBuf| {
        let found = discover(&folder).ok().filter(|found| found.git_dir == *common_dir)?;
        found.top
    };
    let beside = common_dir.parent().map(Path::to_path_buf);
    top.clone().and_then(is_main).or_else(|| beside.and_then(is_main)).or_else(|| told().and_then(is_main))
}

/// Where a branch that is checked out nowhere is being worked on all the same: during a rebase `HEAD` is
/// on no branch, and the branch is moved at its end. As git itself sees it (`branch_checked_out`).
fn in_progress(git: &Git, branch: &str) -> Option<(PathBuf, &'static str)> {
    let common = &git.repository().common_dir;
    let says =
        |file: PathBuf, name: &str| fs::read(file).is_ok_and(|text| text.trim_ascii() == name.as_bytes());
    let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    for admin_dir in std::iter::once(common.clone()).chain(admin_dirs(common)) {
        let what = match () {
            () if says(admin_dir.join("rebase-merge/head-name"), branch) => "a rebase",
            () if says(admin_dir.join("rebase-apply/head-name"), branch) => "a rebase",
            () if says(admin_dir.join("BISECT_START"), short) => "a bisect",
            () => continue,
        };
        let link = fs::read(admin_dir.join("gitdir")).ok();
        let link = link.map(|link| RepoPath::from_bytes(link.trim_ascii_end()).to_path_buf());
        let top = match link {
            Some(link) => link.parent().map(Path::to_path_buf),
            None => main_top(git),
        };
        return Some((top.unwrap_or_else(|| common.clone()), what));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks_are_told_with_their_lines_and_sides() {
        let marked = "one\n<<<<<<< 0a1\ntheirs\n||||||| 0b2\nold\n=======\nmine\n>>>>>>> 0c3\ntwo\n";
        let told = "<<<<<<< landed\ntheirs\n||||||| before\nold\n=======\nmine\n>>>>>>> this try\n";
        assert_eq!(hunks(marked), [(2, told.to_owned())]);
        assert_eq!(
            hunks(&format!("{marked}{marked}")).iter().map(|hunk| hunk.0).collect::<Vec<_>>(),
            [2, 11]
        );
        for nothing in ["", "<<<<<<<\n", "=======\n", "<<<<<<< never closed\nx\n", ">>>>>>> x\n"] {
            assert_eq!(hunks(nothing), [], "{nothing:?}");
        }
    }
}
