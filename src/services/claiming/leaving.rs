//! What holders leave that are gone: it is saved under a ref before their claims are free, since the
//! next holder writes over it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{is_gone, near};
use crate::base::clock::Time;
use crate::base::ids::ClaimId;
use crate::domain::claim::Held;
use crate::domain::pattern::Pattern;
use crate::services::project::Project;
use crate::services::{Error, House, ground};
use crate::store::Tx;
use crate::store::events::NewEvent;
use crate::sys::git::{Snapshot, SnapshotError, Worktree, checkout, read, refs, snapshot};

/// The claims in the way of `patterns` whose holders are gone and whose work is safe: their numbers are what
/// [`super::free_the_dead`] may release. What differs from the last commit in a file of theirs is in the
/// commit under `refs/kapell/left/CLAIM`, with all else that the checkout held then.
///
/// # Errors
/// The work cannot be saved; then nothing is free.
pub fn keep(house: &House, project: &Project, patterns: &[Pattern]) -> Result<Vec<ClaimId>, Error> {
    let gone = house.store()?.read(|tx| gone(tx, project, patterns))?;
    save(house, project, &gone)
}

/// A claim whose holder is gone, and the files that it was made for, where those are known.
#[derive(Debug)]
pub(in crate::services) struct Gone {
    claim: Held,
    files: Vec<PathBuf>,
}

/// The claims near the patterns whose holders are gone.
pub(in crate::services) fn gone(
    tx: &Tx<'_>,
    project: &Project,
    patterns: &[Pattern],
) -> Result<Vec<Gone>, Error> {
    let now = Time::now();
    let mut gone = Vec::new();
    for claim in near(tx, &project.id, patterns)? {
        if is_gone(&claim, now) {
            let edits = tx.edits_of(&claim.holder)?.into_iter();
            let files = edits.filter(|edit| edit.claim == claim.id).map(|edit| edit.path).collect();
            gone.push(Gone { claim, files });
        }
    }
    Ok(gone)
}

/// Saves what they left, as [`keep`] says.
pub(in crate::services) fn save(
    house: &House,
    project: &Project,
    gone: &[Gone],
) -> Result<Vec<ClaimId>, Error> {
    for gone in gone {
        // A session may have edited in another checkout of the project than who comes after it.
        let edited = gone.files.iter().filter_map(|file| {
            let folder = file.ancestors().skip(1).find(|folder| folder.is_dir())?;
            Project::of(folder).ok()
        });
        let mut seen = BTreeSet::new();
        let places: Vec<Project> =
            edited.filter(|place| place.id == project.id && seen.insert(place.top.clone())).collect();
        let places = if places.is_empty() { std::slice::from_ref(project) } else { &places };
        for place in places {
            if let Some(left) = saved(house, place, &gone.claim)? {
                tell(house, project, &gone.claim, &left)?;
            }
        }
    }
    Ok(gone.iter().map(|gone| gone.claim.id).collect())
}

/// Saves what a checkout holds of a claim, if that is not committed.
fn saved(house: &House, place: &Project, claim: &Held) -> Result<Option<Snapshot>, Error> {
    // A plain folder has no commit that its files could differ from.
    let (Some(repository), Some(top)) = (&place.repository, &place.top) else { return Ok(None) };
    let git = ground::git(house, place)?;
    let Some(base) = read::resolve(&git, "HEAD")? else { return Ok(None) };
    let tree = Worktree::of_checkout(repository).map_err(Error::from_git)?;
    // Most who are gone left nothing: that is seen without a ref for it.
    let path = Some(claim.pattern.literal_path()).filter(|path| !path.is_empty()).unwrap_or(".");
    if checkout::is_committed(&git, &tree, Path::new(path))? {
        return Ok(None);
    }
    let reference = format!("refs/kapell/left/{}", claim.id);
    let expected = refs::read(&git, &reference)?;
    let message =
        format!("kapell: {} as {} left it in {}", claim.pattern.as_str(), claim.holder.name, top.display());
    let request = snapshot::Request {
        tree: &tree,
        base: &base,
        reference: &reference,
        expected: expected.as_ref(),
        message: &message,
        scratch: &scratch(house),
        keeps_base: false,
        largest: snapshot::LARGEST_FILE,
        is_exact: false,
    };
    let snapshot = match snapshot::snapshot(&git, &request) {
        Ok(snapshot) => snapshot,
        // Somebody else who wants its files saved the same.
        Err(SnapshotError::RefMoved { now: Some(_), .. } | SnapshotError::TreeGone { .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::from_git(error)),
    };
    let is_its = snapshot.changed.iter().any(|change| claim.pattern.contains(&change.path));
    Ok((is_its && snapshot.kept().is_some()).then_some(snapshot))
}

fn scratch(house: &House) -> PathBuf {
    house.root.join("tmp")
}

fn tell(house: &House, project: &Project, claim: &Held, left: &Snapshot) -> Result<(), Error> {
    let (name, pattern, reference) = (&claim.holder.name, claim.pattern.as_str(), &left.reference);
    let event = NewEvent {
        kind: "claim.left",
        holder: Some(name.as_str()),
        text: format!("{name} is gone; what it left in {pattern} and did not commit is kept in {reference}"),
        data: Some(
            serde_json::json!({"claim": claim.id.0, "pattern": pattern, "ref": reference}).to_string(),
        ),
        ..NewEvent::default()
    };
    house.store()?.write(|tx| -> Result<(), Error> {
        tx.append_event(&project.id, &event)?;
        Ok(())
    })
}
