//! Hard links: who writes to one name of a file writes to all of them, and claims are of names.

use std::fs::Metadata;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::place::Place;
use super::{Editor, House, Project, owns_below};
use crate::base::paths::RepoPath;
use crate::domain::claim::HolderKind;
use crate::domain::pattern::Pattern;
use crate::services::Error;
use crate::store::claims::ClaimPage;

/// More claims than these are not looked through: a hook has to answer in milliseconds.
const MOST_CLAIMS: usize = 10_000;

/// So many entries of folders are looked through for the other names of a file.
const MOST_ENTRIES: usize = 20_000;

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
            walk(&other.file, top, &mut left, &mut |name, file, ino| {
                if ino != inode_of_it.1 || !is_meant(name, file) {
                    return true;
                }
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

/// The files below a folder that a claim of several owns and that fulfil something, up to so many entries; and the
/// folders that do while nothing in them does: something was taken out of these.
pub(super) fn below(
    top: &Path,
    pattern: &Pattern,
    left: &mut usize,
    is_it: impl Fn(&Metadata) -> bool,
) -> Vec<String> {
    let (mut found, mut folders) = (Vec::<String>::new(), Vec::new());
    let is_it = |file: &Path| file.symlink_metadata().is_ok_and(|file| is_it(&file));
    let literal = pattern.literal_path();
    let start = top.join(literal);
    if start.is_dir() && owns_below(pattern, literal) && is_it(&start) {
        folders.push(format!("{literal}/"));
    }
    walk(&start, top, left, &mut |name, file, _| {
        let is_folder = file.is_dir() && !file.is_symlink();
        if is_folder && owns_below(pattern, name) && is_it(file) {
            folders.push(format!("{name}/"));
        } else if !is_folder && pattern.contains(&RepoPath::from(name)) && is_it(file) {
            found.push(name.to_owned());
        }
        true
    });
    let is_in = |name: &String, folder: &String| {
        name != folder
            && name
                .strip_prefix(folder.as_str())
                .is_some_and(|rest| !rest.trim_end_matches('/').contains('/'))
    };
    let lost = |folder: &&String| !found.iter().chain(&folders).any(|name| is_in(name, folder));
    let lost: Vec<String> = folders.iter().filter(lost).cloned().collect();
    found.extend(lost);
    found
}

/// Goes through what lies below a folder, each with its path from `top` and its inode, until one says that it
/// is enough. Git's own folder, and repositories within, are none of theirs.
fn walk(folder: &Path, top: &Path, left: &mut usize, each: &mut dyn FnMut(&str, &Path, u64) -> bool) {
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
            if let Some(name) = path.strip_prefix(top).ok().and_then(Path::to_str)
                && !each(name, &path, entry.ino())
            {
                return;
            }
        }
    }
}
