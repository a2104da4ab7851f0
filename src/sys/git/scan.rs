//! Files that make git hang: it opens `.gitignore`, `.gitattributes` and the `HEAD` of a repository
//! inside the tree, and waits for a writer for ever where a worker made a named pipe of that name.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, FileType};
use std::path::{Path, PathBuf};

use crate::base::paths::RepoPath;

/// What stands in git's way below a folder.
#[derive(Debug, Default)]
pub(super) struct Obstacles {
    /// Pipes and devices where git reads rules.
    pub hazards: Vec<RepoPath>,
    /// Folders that cannot be listed.
    pub unreadable: Vec<RepoPath>,
}

/// Walks the whole tree, links not followed. Only done when git stalls or complains.
pub(super) fn scan(top: &Path) -> Obstacles {
    let mut obstacles = Obstacles::default();
    let mut folders = vec![(top.to_path_buf(), false)];
    while let Some((folder, in_git_dir)) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            obstacles.unreadable.push(below(top, &folder));
            continue;
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push((entry.path(), in_git_dir || is_named(&entry, ".git")));
            } else if blocks(kind) && (in_git_dir || is_rules(&entry)) {
                obstacles.hazards.push(below(top, &entry.path()));
            }
        }
    }
    obstacles
}

/// Removes the pipes and devices on which git waits; they have no content. Their paths.
pub(super) fn clear_hazards(top: &Path) -> Vec<RepoPath> {
    let mut hazards = scan(top).hazards;
    hazards.retain(|path| fs::remove_file(top.join(path.to_path_buf())).is_ok());
    hazards
}

fn is_rules(entry: &DirEntry) -> bool {
    [".git", ".gitignore", ".gitattributes", ".gitmodules"].iter().any(|name| is_named(entry, name))
}

fn is_named(entry: &DirEntry, name: &str) -> bool {
    entry.file_name().eq_ignore_ascii_case(OsStr::new(name))
}

#[cfg(unix)]
fn blocks(kind: FileType) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.is_fifo() || kind.is_char_device()
}

#[cfg(not(unix))]
fn blocks(_kind: FileType) -> bool {
    false
}

fn below(top: &Path, path: &Path) -> RepoPath {
    let relative: PathBuf = path.strip_prefix(top).unwrap_or(path).to_path_buf();
    RepoPath::from_bytes(relative.into_os_string().into_encoded_bytes())
}
