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
    // Files of one folder are of one checkout.
    let mut folders: Vec<(PathBuf, Vec<usize>)> = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let Some(folder) = file.ancestors().skip(1).find(|folder| folder.is_dir()) else { continue };
        match folders.iter_mut().find(|(known, _)| known == folder) {
            Some((_, those)) => those.push(at),
            None => folders.push((folder.to_owned(), vec![at])),
        }
    }
    for (folder, those) in folders {
        for those in those.chunks(AT_ONCE) {
            let named: Vec<&Path> = those.iter().map(|at| files[*at]).collect();
            if let Ok(found) = of_folder(house, &folder, &named) {
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
    of_folder(house, folder, &[file]).is_ok_and(|found| found == [false])
}

/// The same of files in one folder, or that would lie in it.
fn of_folder(house: &House, folder: &Path, files: &[&Path]) -> Result<Vec<bool>, Error> {
    let (git, tree) = ground::checkout(house, &Project::of(folder)?)?;
    let within: Vec<Option<&Path>> = files.iter().map(|file| file.strip_prefix(&tree.path).ok()).collect();
    let named: Vec<&Path> = within.iter().flatten().copied().collect();
    let found = checkout::committed(&git, &tree, &named)?;
    let mut found = found.into_iter();
    Ok(within.iter().map(|path| path.is_some() && found.next() == Some(true)).collect())
}
