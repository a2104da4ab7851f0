//! Checkouts that a folder is, or that lie below it: who takes the folder away takes what is held in them.
//!
//! Nobody walks through the folder for them: the database knows all in which anything is held.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::committed::is_committed;
use super::naming::files;
use super::place::meant;
use super::{Asked, Editor, Project};
use crate::base::ids::{AttemptId, ClaimId, ProjectId};
use crate::base::sorting;
use crate::domain::claim::{Held, Holder, HolderKind};
use crate::domain::writes::Reach;
use crate::services::{Error, House};
use crate::store::claims::ClaimPage;
use crate::sys::git::worktree;

/// More claims than these are not looked through: a hook has to answer in milliseconds.
const MOST_CLAIMS: usize = 10_000;

/// More files than these are not asked git about one by one.
const MOST_ASKED: usize = 32;

/// A checkout in which somebody else holds something that a command may take away.
#[derive(Debug)]
pub(super) struct Inner {
    /// Whose checkout it is.
    pub project: Project,
    /// Its top.
    pub top: PathBuf,
    /// What of it is written.
    pub reach: Reach,
    /// The claims of the project of whose files nothing lies here that could be lost.
    pub elsewhere: Vec<ClaimId>,
}

/// A folder that is written.
struct Folder {
    path: PathBuf,
    /// What of a checkout there is written.
    reach: Reach,
    /// Also of those below it.
    is_deep: bool,
}

/// The checkouts in which others hold something, at or below the folders that are written.
pub(super) fn checkouts(
    house: &House,
    editor: &Editor,
    own: &Project,
    asked: &Asked<'_>,
) -> Result<Vec<Inner>, Error> {
    let folders = folders(own, asked);
    if folders.is_empty() {
        return Ok(Vec::new());
    }
    // Where the database does not say it: the folder of a submodule, say.
    let tops = folders.iter().filter(|folder| folder.path.join(".git").exists());
    let tops: Vec<Project> = tops.filter_map(|folder| Project::of(&folder.path).ok()).collect();
    let known = house.store()?.read(|tx| tx.projects_with_claims())?;
    let mut found = Vec::<Inner>::new();
    for (id, common_dir, top) in known {
        let named = tops.iter().filter(|project| project.id == id).filter_map(|project| project.top.clone());
        let mut tops: Vec<PathBuf> =
            checkouts_of(Path::new(&common_dir), top.as_deref()).chain(named).collect();
        sorting::sort(&mut tops);
        tops.dedup();
        for top in tops {
            let is_met = |folder: &&Folder| match folder.path == top {
                // The session's own checkout was asked about as such.
                true => own.top.as_ref() != Some(&top),
                false => folder.is_deep && top.starts_with(&folder.path),
            };
            let reaches: Vec<&Reach> = folders.iter().filter(is_met).map(|folder| &folder.reach).collect();
            if reaches.is_empty() {
                continue;
            }
            let project = Project::of(&top).ok().filter(|project| project.id == id);
            let Some(project) = project.filter(|project| project.top.as_ref() == Some(&top)) else {
                continue;
            };
            let held = held_elsewhere(house, editor, &id, &top)?;
            if held.are_all {
                continue;
            }
            let elsewhere = held.claims;
            for reach in reaches {
                if found.iter().all(|inner| inner.top != top || inner.reach != *reach) {
                    let (project, top, elsewhere) = (project.clone(), top.clone(), elsewhere.clone());
                    found.push(Inner { project, top, reach: reach.clone(), elsewhere });
                }
            }
        }
    }
    Ok(found)
}

/// The folders among what is written, without links.
fn folders(own: &Project, asked: &Asked<'_>) -> Vec<Folder> {
    let mut folders = Vec::new();
    for write in asked.writes {
        let (reach, is_deep) = match &write.reach {
            Reach::Path
            | Reach::Name
            | Reach::Tree
            | Reach::Like(_)
            | Reach::Moved(_)
            | Reach::Glob
            | Reach::Names => (Reach::Path, true),
            Reach::Below(name) => (Reach::Below(name.clone()), true),
            Reach::Own | Reach::IfThere => (Reach::Path, false),
            Reach::Repositories(by) => (Reach::Checkout(by.clone()), true),
            // They are about the checkout around them.
            Reach::Checkout(_) | Reach::Diff(_) | Reach::Commits(_) => continue,
        };
        let named: Vec<PathBuf> = match &write.reach {
            Reach::Repositories(_) => {
                let path = asked.cwd.join(&write.path);
                let by_end =
                    || checkouts_of(&own.place, None).filter(|top| top.ends_with(&write.path)).collect();
                // A worktree may be called by the end of its path.
                if path.is_dir() { vec![path] } else { by_end() }
            }
            _ => files(asked, write).into_iter().map(|(file, _)| file).collect(),
        };
        for path in named.iter().flat_map(|file| meant(file, &write.reach)).filter(|file| file.is_dir()) {
            folders.push(Folder { path, reach: reach.clone(), is_deep });
        }
    }
    folders
}

/// The tops of a project's checkouts, as far as they are there: of a repository the one beside its git directory,
/// the one from which it was first known, and its worktrees.
fn checkouts_of<'a>(place: &'a Path, top: Option<&'a str>) -> impl Iterator<Item = PathBuf> + use<'a> {
    let beside = place.parent().filter(|_| place.ends_with(".git")).map(Path::to_owned);
    let first = top.map(PathBuf::from);
    beside.into_iter().chain(first).chain(worktree::tops(place)).filter(|top| top.is_dir())
}

/// The claims of others that are about no file of a checkout.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    pub claims: Vec<ClaimId>,
    /// Whether there are no others.
    pub are_all: bool,
}

/// The claims of others that are about no file of this checkout, all claims of a project being of paths in whichever
/// of its checkouts.
pub(super) fn held_elsewhere(
    house: &House,
    editor: &Editor,
    project: &ProjectId,
    top: &Path,
) -> Result<Elsewhere, Error> {
    let (claims, apart, edits) = house.store()?.read(|tx| -> Result<_, Error> {
        let mut claims = tx.live_claims(project, ClaimPage { after: 0, limit: MOST_CLAIMS })?;
        claims.retain(|claim| claim.holder != editor.holder);
        let mut holders: Vec<Holder> = claims.iter().map(|claim| claim.holder.clone()).collect();
        holders.dedup();
        let (mut apart, mut edits) = (Vec::new(), BTreeMap::new());
        for holder in holders {
            if holder.kind == HolderKind::Attempt {
                let attempt = tx.attempt(&AttemptId::new(holder.name.as_str()))?;
                let folder = attempt.and_then(|attempt| attempt.worktree).map(PathBuf::from);
                if folder.is_some_and(|folder| !folder.starts_with(top) && !top.starts_with(&folder)) {
                    apart.push(holder);
                }
            } else {
                edits.extend(tx.edits_of(&holder)?.into_iter().map(|edit| (edit.claim, edit.path)));
            }
        }
        Ok((claims, apart, edits))
    })?;
    let mut left = MOST_ASKED;
    // A file that was claimed in another checkout may have been changed here too, which git knows.
    let mut is_unchanged_here = |claim: &Held| {
        let is_asked = left > 0
            && claim.pattern.is_literal()
            && edits.get(&claim.id).is_some_and(|it| *it != top.join(claim.pattern.literal_path()));
        left -= usize::from(is_asked);
        is_asked && is_committed(house, &top.join(claim.pattern.literal_path()))
    };
    let elsewhere = claims.iter().filter(|it| apart.contains(&it.holder) || is_unchanged_here(it));
    let elsewhere: Vec<ClaimId> = elsewhere.map(|claim| claim.id).collect();
    Ok(Elsewhere { are_all: elsewhere.len() == claims.len(), claims: elsewhere })
}
