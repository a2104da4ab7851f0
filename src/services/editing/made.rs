//! What is nobody's: what git ignores in a worker's own checkout, and the folders of builds, which make anew what
//! they need.

use std::collections::BTreeSet;

use super::naming::Extent;
use super::place::Place;
use super::{Editor, near};
use crate::base::paths::RepoPath;
use crate::domain::overlap::overlap;
use crate::domain::pattern::Pattern;
use crate::services::claiming::leaving::is_of_builds;
use crate::services::project::Project;
use crate::services::{Error, House, ground};
use crate::sys::git::checkout;

/// Leaves out the folders of builds that a command takes away or makes as a whole: they cannot land, no glob means
/// them, and whoever builds beside it makes them too. One that others name in a claim stays.
pub(super) fn let_go(
    house: &House,
    project: &Project,
    editor: &Editor,
    wanted: &mut Vec<(Place, Pattern)>,
) -> Result<(), Error> {
    let is_made = |place: &Place| {
        (place.extent == Extent::Tree || place.file.is_dir())
            && place.file.ancestors().take_while(|it| *it != place.top()).any(is_of_builds)
            && is_ignored(Some(house), project, place)
    };
    let made: Vec<Pattern> =
        wanted.iter().filter(|(place, _)| is_made(place)).map(|(_, pattern)| pattern.clone()).collect();
    if made.is_empty() {
        return Ok(());
    }
    let held = house.store()?.read(|tx| near(tx, &project.id, &made))?;
    let is_named = |pattern: &Pattern| {
        let mut others = held.iter().filter(|claim| claim.holder != editor.holder);
        others.any(|claim| names(&claim.pattern, pattern) && overlap(&claim.pattern, pattern).is_some())
    };
    wanted.retain(|(_, pattern)| !made.contains(pattern) || is_named(pattern));
    Ok(())
}

/// Whether a claim is about files of a certain place rather than about all of a kind, wherever they are.
fn names(held: &Pattern, pattern: &Pattern) -> bool {
    is_of_a_place(held) || held.contains(&RepoPath::from(pattern.literal_path()))
}

/// Whether a claim means a file that builds make, if they do.
pub(super) fn means(held: &Pattern, made: &BTreeSet<RepoPath>, path: &RepoPath) -> bool {
    is_of_a_place(held) || !made.contains(path)
}

fn is_of_a_place(held: &Pattern) -> bool {
    !held.as_str().starts_with('*')
}

/// Whether git ignores a place, and knows of nothing in it.
pub(super) fn is_ignored(house: Option<&House>, project: &Project, place: &Place) -> bool {
    let Some(house) = house else { return false };
    let is_whole = matches!(place.extent, Extent::Whole | Extent::Tree | Extent::Moved);
    if !is_whole || place.path.is_empty() || !place.is_in(project) {
        return false;
    }
    // By a name that ends so git knows a folder that is not there.
    let folder = if matches!(place.extent, Extent::Tree | Extent::Moved) { "/" } else { "" };
    let path = RepoPath::from(&*format!("{}{folder}", place.path));
    let ask = || -> Result<bool, Error> {
        let (git, tree) = ground::checkout(house, project)?;
        let is_ignored = !checkout::ignored(&git, &tree, &[path])?.is_empty();
        Ok(is_ignored && !checkout::has_known(&git, &tree, &place.path)?)
    };
    // What cannot be told is not.
    ask().unwrap_or(false)
}

/// What git ignores of these files that lie in folders of builds, in the session's checkout.
///
/// # Errors
/// Git fails.
pub(super) fn of_builds(
    house: &House,
    project: &Project,
    files: &[RepoPath],
) -> Result<BTreeSet<RepoPath>, Error> {
    let is_in_builds = |file: &&RepoPath| file.to_path_buf().ancestors().skip(1).any(is_of_builds);
    let files: Vec<RepoPath> = files.iter().filter(is_in_builds).cloned().collect();
    if files.is_empty() || project.repository.is_none() {
        return Ok(BTreeSet::new());
    }
    let (git, tree) = ground::checkout(house, project)?;
    Ok(checkout::ignored(&git, &tree, &files)?)
}
