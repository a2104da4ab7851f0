//! Whether files are as the last commit has them.

use std::path::{Path, PathBuf};

use crate::services::project::Project;
use crate::services::{Error, House, ground};
use crate::sys::git::checkout;

/// Git is asked about so many at a time: what a command can be told has an end.
const AT_ONCE: usize = 500;

/// Which of these files the checkouts that they lie in have as their last commits do. One that was removed is asked
/// about by its folder's checkout; of what cannot be told it is not said.
pub(super) fn committed(house: &House, files: &[&Path]) -> Vec<bool> {
    let mut are = vec![false; files.len()];
    // Files of one folder are of one checkout, and all of one checkout are asked about together.
    let mut folders: Vec<(PathBuf, Option<PathBuf>)> = Vec::new();
    let mut tops: Vec<(PathBuf, Vec<usize>)> = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let Some(folder) = file.ancestors().skip(1).find(|folder| folder.is_dir()) else { continue };
        let known = folders.iter().rev().find(|(known, _)| known == folder).map(|(_, top)| top.clone());
        let top = known.unwrap_or_else(|| {
            let top = Project::of(folder).ok().and_then(|project| project.top);
            folders.push((folder.to_owned(), top.clone()));
            top
        });
        let Some(top) = top else { continue };
        match tops.iter_mut().find(|(known, _)| *known == top) {
            Some((_, those)) => those.push(at),
            None => tops.push((top, vec![at])),
        }
    }
    for (top, those) in tops {
        for those in those.chunks(AT_ONCE) {
            let named: Vec<&Path> = those.iter().map(|at| files[*at]).collect();
            if let Ok(found) = of_checkout(house, &top, &named) {
                for (at, is_so) in those.iter().zip(found) {
                    are[*at] = is_so;
                }
            }
        }
    }
    are
}

/// The same of one file.
pub(super) fn is_committed(house: &House, file: &Path) -> bool {
    committed(house, &[file]) == [true]
}

/// Whether the checkout that a file lies in has it otherwise than its last commit does.
pub(super) fn is_changed(house: &House, file: &Path) -> bool {
    let Some(folder) = file.ancestors().skip(1).find(|folder| folder.is_dir()) else { return false };
    of_checkout(house, folder, &[file]).is_ok_and(|found| found == [false])
}

/// The same of files in the checkout around a folder.
fn of_checkout(house: &House, folder: &Path, files: &[&Path]) -> Result<Vec<bool>, Error> {
    let (git, tree) = ground::checkout(house, &Project::of(folder)?)?;
    let within: Vec<Option<&Path>> = files.iter().map(|file| file.strip_prefix(&tree.path).ok()).collect();
    let named: Vec<&Path> = within.iter().flatten().copied().collect();
    let found = checkout::committed(&git, &tree, &named)?;
    let mut found = found.into_iter();
    Ok(within.iter().map(|path| path.is_some() && found.next() == Some(true)).collect())
}
