//! What git cannot be asked about below a folder: it hangs on pipes where it reads rules, and says nothing of
//! what it neither tracks nor could save.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, FileType};
use std::io;
use std::path::{Path, PathBuf};

use super::snapshot::{SkipReason, Skipped};
use crate::base::paths::RepoPath;

/// What below a folder cannot be in a snapshot, and is in no answer of git's: folders into which nobody can
/// look, pipes and sockets that are new, and whatever is called `.git`. It ends at links, at `known` (repositories,
/// and folders of which git told already), and at the folder's own `.git`.
///
/// git complains about some of this, in words that name it well enough for a reader only; and it looks at no file
/// of a folder that it may list and not enter.
pub(super) fn survey(top: &Path, known: impl Fn(&RepoPath) -> bool) -> Vec<Skipped> {
    let mut found = Vec::new();
    let mut folders = vec![RepoPath::from("")];
    while let Some(folder) = folders.pop() {
        let place = place(top, &folder);
        match look(&place, &folder, &known, &mut folders) {
            Ok(skipped) => found.extend(skipped),
            Err(error) if is_gone(&error) => {}
            Err(_) => found.push(Skipped { path: folder, why: SkipReason::Unreadable }),
        }
    }
    found
}

/// What lies in one folder, links not followed. Its own folders are put on the list.
fn look(
    place: &Path,
    folder: &RepoPath,
    known: &impl Fn(&RepoPath) -> bool,
    folders: &mut Vec<RepoPath>,
) -> io::Result<Vec<Skipped>> {
    let mut found = Vec::new();
    let mut inner = Vec::new();
    let entries = fs::read_dir(place)?;
    // Whoever may not enter it gets its names, and nothing that is called so.
    fs::symlink_metadata(place.join("."))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let path = match folder.as_bytes() {
            b"" => RepoPath::from_bytes(name.as_encoded_bytes()),
            above => RepoPath::from_bytes([above, b"/", name.as_encoded_bytes()].concat()),
        };
        if name == ".git" {
            if !folder.as_bytes().is_empty() {
                found.push(Skipped { path, why: SkipReason::Name });
            }
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                if !known(&path) {
                    inner.push(path);
                }
            }
            Ok(kind) if kind.is_file() || kind.is_symlink() => {}
            Ok(_) => found.push(Skipped { path, why: SkipReason::Special }),
            Err(error) if is_gone(&error) => {}
            Err(_) => found.push(Skipped { path, why: SkipReason::Unreadable }),
        }
    }
    folders.append(&mut inner);
    Ok(found)
}

/// Where a path lies. A slash at its end would lead through a link.
fn place(top: &Path, path: &RepoPath) -> PathBuf {
    if path.as_bytes().is_empty() { top.to_path_buf() } else { top.join(path.to_path_buf()) }
}

/// Whether an error says that something is not there, and not only that it cannot be looked at.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// How git's complaints end that a file or folder could not be looked at.
const COMPLAINTS: [&str; 7] = [
    "Permission denied",
    "Operation not permitted",
    "File name too long",
    "Input/output error",
    "Too many open files",
    "Too many open files in system",
    "Cannot allocate memory",
];

/// Whether git complains about something in the tree that is none of `named`. What lies elsewhere, such as a
/// person's configuration, it names by its whole path.
pub(super) fn is_unexplained<'p>(complaints: &str, named: impl Iterator<Item = &'p RepoPath>) -> bool {
    let is_about_tree =
        |line: &&str| COMPLAINTS.iter().any(|end| line.ends_with(end)) && !line.contains("'/");
    let mut lines: Vec<&str> = complaints.lines().filter(is_about_tree).collect();
    if lines.is_empty() {
        return false;
    }
    for name in named.map(as_complained) {
        lines.retain(|line| !line.contains(&name));
    }
    !lines.is_empty()
}

/// A path as git puts it into a complaint.
fn as_complained(path: &RepoPath) -> String {
    let visible = |byte: &u8| if byte.is_ascii_control() { b'?' } else { *byte };
    let bytes: Vec<u8> = path.as_bytes().iter().map(visible).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Gives this user back the rights to folders of its own that it closed to itself: those of `paths`, and all below
/// them. Links are not followed, and what is no folder stays as it is: only for a tree in which nobody is at work any more.
/// Whether any was opened.
pub(super) fn open_up<'p>(top: &Path, paths: impl IntoIterator<Item = &'p RepoPath>) -> bool {
    let mut is_opened = false;
    let mut folders: Vec<PathBuf> = paths.into_iter().map(|path| place(top, path)).collect();
    while let Some(folder) = folders.pop() {
        is_opened |= open(&folder);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    is_opened
}

/// Opens one folder; whether that was needed and possible.
#[cfg(unix)]
fn open(folder: &Path) -> bool {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let Ok(metadata) = fs::symlink_metadata(folder) else { return false };
    let mode = metadata.mode();
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !is_own || mode & 0o700 == 0o700 {
        return false;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(mode & 0o7777 | 0o700)).is_ok()
}

#[cfg(not(unix))]
fn open(_folder: &Path) -> bool {
    false
}

/// Pipes and devices where git reads rules: it opens `.gitignore`, `.gitattributes` and the `HEAD` of a repository
/// inside the tree, and waits for a writer for ever. Walks the whole tree, links not followed.
fn hazards(top: &Path) -> Vec<RepoPath> {
    let mut hazards = Vec::new();
    let mut folders = vec![(top.to_path_buf(), false)];
    while let Some((folder, in_git_dir)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push((entry.path(), in_git_dir || is_named(&entry, ".git")));
            } else if blocks(kind) && (in_git_dir || is_rules(&entry)) {
                hazards.push(below(top, &entry.path()));
            }
        }
    }
    hazards
}

/// Removes the pipes and devices on which git waits; they have no content. Their paths.
pub(super) fn clear_hazards(top: &Path) -> Vec<RepoPath> {
    let mut hazards = hazards(top);
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

pub(super) fn below(top: &Path, path: &Path) -> RepoPath {
    let relative: PathBuf = path.strip_prefix(top).unwrap_or(path).to_path_buf();
    RepoPath::from_bytes(relative.into_os_string().into_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_that_nobody_explains_is_known_for_one() {
        let named = ["src", "d\u{1}e"].map(RepoPath::from);
        let check = |complaint: &str, expected| {
            assert_eq!(is_unexplained(complaint, named.iter()), expected, "{complaint}");
        };
        check("", false);
        check("warning: could not open directory 'src/': Permission denied\n", false);
        check("warning: could not open directory 'd?e/': Permission denied\n", false);
        check("other/o.rs: Permission denied\n", true);
        check("src/a.rs: Permission denied\nother: Input/output error\n", true);
        check("warning: could not open directory 'zz/zz': File name too long\n", true);
        // What a person configured, a filter's words, and a link in the place of rules lose nothing.
        check("warning: unable to access '/home/p/.config/git/attributes': Permission denied\n", false);
        check("Encountered 1 file that should have been a pointer, but wasn't\n", false);
        check("warning: unable to access 'x/.gitignore': Too many levels of symbolic links\n", false);
    }
}
