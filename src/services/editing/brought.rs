//! What commits bring into a checkout: git is asked, before it is done.

use std::path::{Path, PathBuf};

use super::naming::Extent;
use super::{Asked, Project};
use crate::base::paths::RepoPath;
use crate::domain::writes::Commits;
use crate::services::{Error, ground};
use crate::sys::git::brought::brought;

/// More files than these are not asked about one by one.
const MOST_FILES: usize = 1000;

/// The files that these commits change in the checkout around a folder.
pub(super) fn files(asked: &Asked<'_>, folder: &Path, commits: &Commits) -> Vec<(PathBuf, Extent)> {
    let listed = || -> Result<Option<Vec<(PathBuf, Extent)>>, Error> {
        let Some(house) = asked.house else { return Ok(Some(Vec::new())) };
        let project = Project::of(folder)?;
        if project.repository.is_none() {
            return Ok(Some(Vec::new()));
        }
        let git = ground::git(house, &project)?;
        let Some(paths) = brought(&git, commits.what, &commits.revisions)? else { return Ok(None) };
        let top = project.top()?;
        let place = |path: &RepoPath| (top.join(path.to_path_buf()), Extent::Brought(commits.by.clone()));
        Ok((paths.len() <= MOST_FILES).then(|| paths.iter().map(place).collect()))
    };
    // What cannot be told may be any.
    let whole = || vec![(folder.to_owned(), Extent::Checkout(commits.by.clone()))];
    listed().ok().flatten().unwrap_or_else(whole)
}
