//! What a person's own commands of git are short for.

use std::path::Path;

use crate::services::project::Project;
use crate::services::{House, ground};
use crate::sys::git::checkout;

/// What this command stands for in the checkout around a folder, if it is an alias there.
pub fn of(house: &House, folder: &Path, name: &str) -> Option<String> {
    let project = Project::of(folder).ok()?;
    let (git, tree) = ground::checkout(house, &project).ok()?;
    // A git that does not tell is one whose command is not known.
    checkout::alias(&git, &tree, name).ok().flatten()
}
