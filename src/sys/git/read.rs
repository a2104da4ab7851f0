//! Questions about commits, trees and `HEAD`. None of them looks at a file that is checked out.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::change::Mode;
use super::run::{Git, GitError, unexpected};
use super::{Oid, refs};
use crate::base::paths::RepoPath;

/// What `HEAD` of a checkout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// On a branch.
    Branch {
        /// The ref's full name, `refs/heads/…`.
        reference: String,
        /// Its commit; `None` before the first.
        commit: Option<Oid>,
    },
    /// On a commit.
    Detached(Oid),
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path from the top.
    pub path: RepoPath,
    /// What it is.
    pub mode: Mode,
    /// Its content.
    pub oid: Oid,
}

/// A patch, perhaps cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// git's patch text; any bytes.
    pub text: Vec<u8>,
    /// Whether there is more.
    pub is_cut: bool,
}

/// `HEAD` of this checkout.
pub fn head(git: &Git) -> Result<Head, GitError> {
    let call = git.head_call("symbolic-ref").args(["--quiet", "HEAD"]);
    let name = call.accept(&[0, 1]).finish()?.stdout;
    let commit = resolve(git, "HEAD")?;
    let reference = String::from_utf8_lossy(&name).trim_end().to_owned();
    match (reference.is_empty(), commit) {
        (false, commit) => Ok(Head::Branch { reference, commit }),
        (true, Some(commit)) => Ok(Head::Detached(commit)),
        (true, None) => Err(unexpected("rev-parse HEAD", b"no commit, no branch")),
    }
}

/// The commit that a revision names (`main`, `HEAD~2`, an object name), as this checkout sees it;
/// `None` if it names none. A text that looks like an option is none.
pub fn resolve(git: &Git, rev: &str) -> Result<Option<Oid>, GitError> {
    if rev.is_empty() || rev.starts_with('-') || rev.contains(['\0', '\n']) {
        return Ok(None);
    }
    let call = git.head_call("rev-parse").args(["--verify", "--quiet", "--end-of-options"]);
    let finished = call.arg(format!("{rev}^{{commit}}")).accept(&[0, 1, 128]).finish()?;
    Ok(Oid::parse(String::from_utf8_lossy(&finished.stdout).trim_end()))
}

/// The commit that a person's word names: as [`resolve`] does, but a branch goes before a tag that is called like it.
/// git by itself takes the tag, and whoever writes `main` means the branch.
pub fn named(git: &Git, rev: &str) -> Result<Option<Oid>, GitError> {
    let name = &rev[..rev.find(['~', '^', ':']).or_else(|| rev.find("@{")).unwrap_or(rev.len())];
    let is_odd = |c: char| c.is_control() || matches!(c, ' ' | '?' | '*' | '[' | '\\');
    let is_plain = |segment: &str| !segment.is_empty() && !segment.starts_with(['.', '-']);
    let may_be_branch = name.split('/').all(is_plain)
        && !name.contains(is_odd)
        && !name.contains("..")
        && !name.contains('@');
    if may_be_branch && Oid::parse(name).is_none() {
        let branch = format!("refs/heads/{name}");
        if refs::read(git, &branch)?.is_some() {
            return resolve(git, &format!("refs/heads/{rev}"));
        }
    }
    resolve(git, rev)
}

/// The tree of a commit.
pub fn tree_of(git: &Git, commit: &Oid) -> Result<Oid, GitError> {
    let call = git.call("rev-parse").args(["--verify", "--end-of-options"]);
    call.arg(format!("{commit}^{{tree}}")).run_for_oid()
}

/// Whether `descendant` is `ancestor` or contains it.
pub fn is_ancestor(git: &Git, ancestor: &Oid, descendant: &Oid) -> Result<bool, GitError> {
    if ancestor == descendant {
        return Ok(true);
    }
    let call = git.call("merge-base").arg("--is-ancestor").oid(ancestor).oid(descendant);
    Ok(call.accept(&[0, 1]).finish()?.code == Some(0))
}

/// The newest commit that both have; the first of them where none is newer than the others.
pub fn merge_base(git: &Git, a: &Oid, b: &Oid) -> Result<Option<Oid>, GitError> {
    let found = git.call("merge-base").oid(a).oid(b).accept(&[0, 1]).finish()?;
    Ok(std::str::from_utf8(&found.stdout).ok().and_then(|text| Oid::parse(text.trim())))
}

/// Whether everything of a commit that `base` does not have is in the object store. A `git gc --prune=now`
/// of somebody's deletes objects between their writing and the ref that holds them.
pub fn is_whole(git: &Git, commit: &Oid, base: &Oid) -> Result<bool, GitError> {
    let call = git.call("rev-list").args(["--objects", "--quiet"]).oid(commit).arg(format!("^{base}"));
    Ok(call.accept(&[0, 1, 128]).finish()?.code == Some(0))
}

/// The content of a file (of a symbolic link: where it leads) in a commit or tree; `None` if no file has
/// this path there.
pub fn show_file(git: &Git, commit: &Oid, path: &RepoPath) -> Result<Option<Vec<u8>>, GitError> {
    let mut question = format!("{commit}:").into_bytes();
    question.extend_from_slice(path.as_bytes());
    question.push(0);
    let printed = git.call("cat-file").args(["--batch", "-z"]).stdin(question).run()?;
    let answer = || -> Option<Option<Vec<u8>>> {
        if printed.ends_with(b" missing\n") {
            return Some(None);
        }
        let end = printed.iter().position(|byte| *byte == b'\n')?;
        let header = std::str::from_utf8(&printed[..end]).ok()?;
        let mut words = header.split(' ').skip(1);
        let kind = words.next()?;
        let size: usize = words.next()?.parse().ok()?;
        let content = printed.get(end + 1..end + 1 + size)?;
        Some((kind == "blob").then(|| content.to_vec()))
    };
    answer().ok_or_else(|| unexpected("cat-file --batch", &printed))
}

/// The entries at or below `paths` (none: all) in a commit or tree, folders entered.
pub fn ls_tree(git: &Git, commit: &Oid, paths: &[RepoPath]) -> Result<Vec<Entry>, GitError> {
    let call = git.call("ls-tree").args(["-r", "-z", "--full-tree", "--end-of-options"]).oid(commit);
    let printed = call.args(paths.iter().map(RepoPath::to_path_buf)).run()?;
    let entries = printed.split(|byte| *byte == 0).filter(|record| !record.is_empty()).map(parse_entry);
    entries.collect::<Option<Vec<Entry>>>().ok_or_else(|| unexpected("ls-tree", &printed))
}

/// Reads `MODE KIND OID\tPATH`.
fn parse_entry(record: &[u8]) -> Option<Entry> {
    let tab = record.iter().position(|byte| *byte == b'\t')?;
    let mut words = std::str::from_utf8(&record[..tab]).ok()?.split(' ');
    let mode = Mode::parse(words.next()?)?;
    let oid = Oid::parse(words.nth(1)?)?;
    Some(Entry { path: RepoPath::from_bytes(&record[tab + 1..]), mode, oid })
}

/// Paths of a commit through which no path can be owned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Barriers {
    /// Submodules.
    pub gitlinks: BTreeSet<RepoPath>,
    /// Symbolic links.
    pub symlinks: BTreeSet<RepoPath>,
    /// The commit's tree, once somebody asked.
    tree: OnceLock<Oid>,
}

/// The tree of a commit, remembered together with its barriers.
pub(super) fn remembered_tree(git: &Git, commit: &Oid) -> Result<Oid, GitError> {
    let barriers = barriers(git, commit)?;
    if let Some(tree) = barriers.tree.get() {
        return Ok(tree.clone());
    }
    let tree = tree_of(git, commit)?;
    Ok(barriers.tree.get_or_init(|| tree).clone())
}

/// The submodules and symbolic links of a commit. Remembered for the commits asked last.
pub fn barriers(git: &Git, commit: &Oid) -> Result<std::sync::Arc<Barriers>, GitError> {
    git.remember_barriers(commit, || {
        let mut barriers = Barriers::default();
        for entry in ls_tree(git, commit, &[])? {
            match entry.mode {
                Mode::Gitlink => barriers.gitlinks.insert(entry.path),
                Mode::Symlink => barriers.symlinks.insert(entry.path),
                _ => false,
            };
        }
        Ok(barriers)
    })
}

/// The patch from `old` to `new` at or below `paths` (none: all), at most `limit` bytes of it.
pub fn diff_text(
    git: &Git,
    old: &Oid,
    new: &Oid,
    paths: &[RepoPath],
    limit: usize,
) -> Result<Diff, GitError> {
    let call = git.call("diff-tree").attributes_of(new).args([
        "-r",
        "-p",
        "--no-commit-id",
        "--no-renames",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--end-of-options",
    ]);
    let call = call.oid(old).oid(new).arg("--").args(paths.iter().map(RepoPath::to_path_buf));
    let finished = call.limit(limit).finish()?;
    Ok(Diff { text: finished.stdout, is_cut: finished.is_cut })
}
