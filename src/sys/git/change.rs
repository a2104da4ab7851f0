//! What differs between two trees.

use super::Oid;
use super::run::{Git, GitError, unexpected};
use crate::base::paths::RepoPath;

/// What a path is in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Nothing is there.
    Absent,
    /// A file (100644).
    File,
    /// A file that can be executed (100755).
    Executable,
    /// A symbolic link (120000).
    Symlink,
    /// A commit of another repository: a submodule (160000).
    Gitlink,
    /// A folder (040000); only where folders are listed.
    Folder,
}

impl Mode {
    /// From git's octal digits.
    pub fn parse(digits: &str) -> Option<Self> {
        Some(match digits {
            "000000" => Self::Absent,
            // Old gits wrote group-writable files.
            "100644" | "100664" => Self::File,
            "100755" => Self::Executable,
            "120000" => Self::Symlink,
            "160000" => Self::Gitlink,
            "040000" => Self::Folder,
            _ => return None,
        })
    }

    /// Git's octal digits.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "000000",
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
            Self::Gitlink => "160000",
            Self::Folder => "040000",
        }
    }
}

/// How a path changed. A rename is the old path deleted and the new one added: both need an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its content or its executable bit changed.
    Modified,
    /// It is gone.
    Deleted,
    /// A file became a link, or the like.
    TypeChanged,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which path.
    pub path: RepoPath,
    /// How it changed.
    pub kind: ChangeKind,
    /// What it was.
    pub old_mode: Mode,
    /// What it is.
    pub new_mode: Mode,
    /// Its old content; zero when it is new.
    pub old_oid: Oid,
    /// Its new content; zero when it is deleted.
    pub new_oid: Oid,
}

/// What differs from `old` to `new` (commits or trees), in git's order of paths, renames not followed.
pub fn changed_between(git: &Git, old: &Oid, new: &Oid) -> Result<Vec<Change>, GitError> {
    if old == new {
        return Ok(Vec::new());
    }
    let printed = git
        .call("diff-tree")
        .args(["-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--ignore-submodules=none"])
        .args(["--no-commit-id", "--end-of-options"])
        .oid(old)
        .oid(new)
        .run()?;
    parse_raw(&printed).ok_or_else(|| unexpected("diff-tree", &printed))
}

/// The input of `update-index -z --index-info` that makes these changes. What goes comes first: it makes
/// place for what comes, as when a file becomes a folder.
pub(super) fn index_info<'c>(changes: impl Iterator<Item = &'c Change>) -> Vec<u8> {
    let (gone, come): (Vec<_>, Vec<_>) = changes.partition(|change| change.kind == ChangeKind::Deleted);
    let mut input = Vec::new();
    for change in gone.into_iter().chain(come) {
        let mode = if change.kind == ChangeKind::Deleted { "0" } else { change.new_mode.as_str() };
        input.extend_from_slice(format!("{mode} {}\t", change.new_oid).as_bytes());
        input.extend_from_slice(change.path.as_bytes());
        input.push(0);
    }
    input
}

/// Reads `:OLDMODE NEWMODE OLDOID NEWOID STATUS\0PATH\0`….
pub(super) fn parse_raw(printed: &[u8]) -> Option<Vec<Change>> {
    let mut fields = printed.split(|byte| *byte == 0);
    let mut changes = Vec::new();
    while let Some(header) = fields.next() {
        if header.is_empty() {
            continue;
        }
        let header = std::str::from_utf8(header).ok()?.strip_prefix(':')?;
        let path = RepoPath::from_bytes(fields.next()?);
        let mut words = header.split(' ');
        let old_mode = Mode::parse(words.next()?)?;
        let new_mode = Mode::parse(words.next()?)?;
        let old_oid = Oid::parse(words.next()?)?;
        let new_oid = Oid::parse(words.next()?)?;
        let kind = match words.next()? {
            "A" => ChangeKind::Added,
            "M" => ChangeKind::Modified,
            "D" => ChangeKind::Deleted,
            "T" => ChangeKind::TypeChanged,
            _ => return None,
        };
        changes.push(Change { path, kind, old_mode, new_mode, old_oid, new_oid });
    }
    Some(changes)
}
