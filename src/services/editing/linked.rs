//! Hard links: who writes to one name of a file writes to all of them, and claims are of names.

use std::os::unix::fs::MetadataExt as _;

use super::place::Place;
use super::{House, Project};
use crate::domain::pattern::Pattern;
use crate::services::Error;
use crate::store::claims::ClaimPage;

/// More claims than these are not looked through: a hook has to answer in milliseconds.
const MOST_CLAIMS: usize = 10_000;

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

/// The other names of these files that somebody holds, whoever it is. Files with one name, as nearly all have,
/// cost nothing.
pub(super) fn held(
    house: &House,
    project: &Project,
    wanted: &[(Place, Pattern)],
) -> Result<Vec<Link>, Error> {
    let inode = |file: &std::path::Path| {
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
    let mut links = Vec::new();
    for claim in claims.iter().filter(|claim| claim.pattern.is_literal() && !claim.pattern.is_folder()) {
        let path = claim.pattern.literal_path();
        for (place, own, inode_of_it) in &several {
            let other = place.beside(path);
            let is_known = |pattern: &Pattern| wanted.iter().any(|(_, known)| known == pattern);
            if **own != claim.pattern && !is_known(&claim.pattern) && inode(&other.file) == Some(*inode_of_it)
            {
                links.push(Link { named: place.path.clone(), other, pattern: claim.pattern.clone() });
            }
        }
    }
    Ok(links)
}
