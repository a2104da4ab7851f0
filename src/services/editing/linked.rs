//! Links: who writes to one name of a file writes to all of them, and claims are of names.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::place::Place;
use super::{Editor, House, Project};
use crate::base::paths::RepoPath;
use crate::domain::claim::HolderKind;
use crate::domain::pattern::Pattern;
use crate::services::Error;
use crate::store::claims::ClaimPage;

/// More claims than these are not looked through: a hook has to answer in milliseconds.
const MOST_CLAIMS: usize = 10_000;

/// So many entries of folders are looked through for the other names of a file.
const MOST_ENTRIES: usize = 20_000;

/// So many links are followed, one to another, as the system does.
const MOST_LINKS: usize = 40;

/// Where a symbolic link leads, also where nothing is there yet: who writes to the link makes it.
pub(super) fn goal(link: &Path) -> Option<PathBuf> {
    if let Ok(goal) = link.canonicalize() {
        return Some(goal);
    }
    let mut goal = link.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(next) = goal.read_link() else { return Some(goal) };
        let next = goal.parent()?.join(next);
        // What is there of the way to it has a real path.
        let real = |folder: &Path| Some(folder.canonicalize().ok()?.join(next.strip_prefix(folder).ok()?));
        goal = next.ancestors().skip(1).find_map(real)?;
    }
    None
}

/// Another name of a file that is to be written, which somebody holds.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// The name that was asked about.
    pub named: String,
    /// The other one.
    pub other: Place,
    /// What owns that.
    pub pattern: Pattern,
}

/// The other names of these files that somebody holds, whoever it is; by a pattern of several files, somebody
/// else. Files with one name, as nearly all have, cost nothing.
pub(super) fn held(
    house: &House,
    project: &Project,
    editor: &Editor,
    wanted: &[(Place, Pattern)],
) -> Result<Vec<Link>, Error> {
    let inode = |file: &Path| {
        let found = file.symlink_metadata().ok().filter(|it| it.is_file() && it.nlink() > 1)?;
        Some((found.dev(), found.ino()))
    };
    let several: Vec<_> =
        wanted.iter().filter_map(|(place, pattern)| Some((place, pattern, inode(&place.file)?))).collect();
    if several.is_empty() {
        return Ok(Vec::new());
    }
    let page = ClaimPage { after: 0, limit: MOST_CLAIMS };
    let claims = house.store()?.read(|tx| tx.live_claims(&project.id, page))?;
    let is_known = |pattern: &Pattern| wanted.iter().any(|(_, known)| known == pattern);
    let mut links = Vec::new();
    let mut left = MOST_ENTRIES;
    for claim in &claims {
        let path = claim.pattern.literal_path();
        for (place, own, inode_of_it) in &several {
            let is_it = |file: &Path| inode(file) == Some(*inode_of_it);
            let other = place.beside(path);
            if claim.pattern.is_literal() && !other.file.is_dir() {
                if **own != claim.pattern && !is_known(&claim.pattern) && is_it(&other.file) {
                    links.push(Link { named: place.path.clone(), other, pattern: claim.pattern.clone() });
                }
                continue;
            }
            // Attempts work in checkouts of their own, which hold no names of this one's files.
            if claim.holder == editor.holder || claim.holder.kind == HolderKind::Attempt {
                continue;
            }
            let top = place.top();
            let is_meant = |name: &str, file: &Path| {
                *name != place.path && claim.pattern.contains(&RepoPath::from(name)) && is_it(file)
            };
            walk(&other.file, &mut left, &mut |file, _, ino| {
                let name = file.strip_prefix(top).ok().and_then(Path::to_str);
                let Some(name) = name.filter(|name| ino == inode_of_it.1 && is_meant(name, file)) else {
                    return true;
                };
                if let Ok(pattern) = Pattern::of_path(name)
                    && !is_known(&pattern)
                {
                    links.push(Link { named: place.path.clone(), other: place.beside(name), pattern });
                }
                // One is enough to be refused for.
                false
            });
        }
    }
    Ok(links)
}

/// The files that a claim owns and that are there, each with its inode, among up to so many entries.
pub(super) fn owned(top: &Path, pattern: &Pattern, left: &mut usize) -> Vec<(RepoPath, u64)> {
    let start = top.join(pattern.literal_path());
    if pattern.is_literal()
        && let Ok(found) = start.symlink_metadata()
        && !found.is_dir()
    {
        return vec![(RepoPath::from(pattern.literal_path()), found.ino())];
    }
    let mut owned = Vec::new();
    walk(&start, left, &mut |file, is_folder, inode| {
        if !is_folder && let Some(path) = path_in(top, file).filter(|path| pattern.contains(path)) {
            owned.push((path, inode));
        }
        true
    });
    owned
}

/// What a file is called in a checkout.
fn path_in(top: &Path, file: &Path) -> Option<RepoPath> {
    Some(RepoPath::from_bytes(file.strip_prefix(top).ok()?.as_os_str().as_bytes()))
}

/// Goes through what lies below a folder, each with whether it is one itself and its inode, until one says that it
/// is enough. Git's own folder, and repositories within, are none of theirs.
fn walk(folder: &Path, left: &mut usize, each: &mut dyn FnMut(&Path, bool, u64) -> bool) {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if *left == 0 {
                return;
            }
            *left -= 1;
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() {
                if entry.file_name() == ".git" || path.join(".git").exists() {
                    continue;
                }
                folders.push(path.clone());
            }
            if !each(&path, kind.is_dir(), entry.ino()) {
                return;
            }
        }
    }
}
