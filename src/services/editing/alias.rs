//! What a person's own commands of git are short for.

use std::path::Path;

use crate::services::project::Project;
use crate::services::{House, ground};
use crate::sys::git::checkout;

/// All of them in the checkout around a folder, the newest of a name first.
pub fn all(house: &House, folder: &Path) -> Vec<(String, String)> {
    let told = || {
        let project = Project::of(folder).ok()?;
        let (git, tree) = ground::checkout(house, &project).ok()?;
        checkout::aliases(&git, &tree).ok()
    };
    // A git that does not tell is one whose commands are not known.
    told().unwrap_or_default()
}
