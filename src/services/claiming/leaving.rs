//! What holders leave that are gone: it is saved under a ref before their claims are free, since the
//! next holder writes over it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{is_gone, near};
use crate::base::clock::Time;
use crate::base::ids::ClaimId;
use crate::base::paths::RepoPath;
use crate::base::sorting;
use crate::domain::claim::{Held, Holder};
use crate::domain::pattern::Pattern;
use crate::services::editing::digest;
use crate::services::project::Project;
use crate::services::{Error, House, ground};
use crate::store::Tx;
use crate::store::events::NewEvent;
use crate::sys::git::snapshot::Skipped;
use crate::sys::git::{SnapshotError, Worktree, checkout, land, read, refs, snapshot};

/// As many bytes of files that git ignores are kept of a claim, or of an attempt.
const MOST_IGNORED: u64 = 64 << 20;

/// Milliseconds by which the time of a file may lie before the clock's at its change: Linux stamps files with the time
/// of its last tick, of which the slowest kernel has 100 a second.
const TICK: i64 = 10;

/// As many of one folder.
const MOST_FILES: usize = 2000;

/// Folders in which builds put what they make.
pub(in crate::services) const BUILDS: [&str; 11] = [
    "target",
    "node_modules",
    "dist",
    "build",
    "out",
    "coverage",
    "__pycache__",
    ".pytest_cache",
    ".venv",
    ".next",
    ".tox",
];

/// The claims in the way of `patterns` whose holders are gone and whose work is safe: their numbers are what
/// [`super::free_the_dead`] may release. What differs from the last commit in a file of theirs is in the
/// commit under `refs/kapell/left/CLAIM`, with all else that the checkout held then; copies of what git ignores lie
/// in the folder `left/CLAIM` of the state. What cannot be kept stays claimed, as it does at the end of a turn.
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
    /// Each file, absolute, and a digest of what it was.
    edits: Vec<(PathBuf, String)>,
}

impl Gone {
    /// Who is gone.
    pub fn holder(&self) -> &Holder {
        &self.claim.holder
    }

    /// Whether the holder may have changed a file of the claim, as far as the file tells.
    fn may_have_changed(&self, path: &RepoPath, file: &Path) -> bool {
        if !self.claim.pattern.contains(path) {
            return false;
        }
        if let Some((_, before)) = self.edits.iter().find(|(edited, _)| edited == file) {
            return digest(file) != *before;
        }
        // The one time of a file that nobody sets.
        let changed_at = |it: Metadata| Time::from_millis(it.ctime() * 1000 + it.ctime_nsec() / 1_000_000);
        let is_since = |it| self.claim.since.millis_since(changed_at(it)) <= TICK;
        file.symlink_metadata().map_or(true, is_since)
    }
}

/// What a holder left in one checkout.
#[derive(Debug, Default)]
struct Left {
    /// The ref that has it.
    reference: Option<String>,
    /// The folder of copies of what git ignores.
    folder: Option<PathBuf>,
    /// What could not be kept.
    lost: Vec<RepoPath>,
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
            let edits = edits.filter(|edit| edit.claim == claim.id);
            let edits = edits.map(|edit| (edit.path, edit.before)).collect();
            gone.push(Gone { claim, edits });
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
    let mut free = Vec::with_capacity(gone.len());
    for gone in gone {
        // A session may have edited in another checkout of the project than who comes after it.
        let edited = gone.edits.iter().filter_map(|(file, _)| {
            let folder = file.ancestors().skip(1).find(|folder| folder.is_dir())?;
            Project::of(folder).ok()
        });
        let mut seen = BTreeSet::new();
        let places: Vec<Project> =
            edited.filter(|place| place.id == project.id && seen.insert(place.top.clone())).collect();
        let places = if places.is_empty() { std::slice::from_ref(project) } else { &places };
        let left = places.iter().map(|place| left(house, place, gone)).collect::<Result<Vec<_>, _>>()?;
        let lost: Vec<String> = left.iter().flat_map(|left| &left.lost).map(RepoPath::to_string).collect();
        if !lost.is_empty() {
            tracing::warn!(claim = gone.claim.id.0, "it stays claimed, since this cannot be kept: {lost:?}");
            continue;
        }
        for left in left.iter().filter(|left| left.reference.is_some() || left.folder.is_some()) {
            tell(house, project, &gone.claim, left)?;
        }
        free.push(gone.claim.id);
    }
    Ok(free)
}

/// Saves what a checkout holds of a claim, if that is not committed.
fn left(house: &House, place: &Project, gone: &Gone) -> Result<Left, Error> {
    let claim = &gone.claim;
    // A plain folder has no commit that its files could differ from.
    let (Some(repository), Some(top)) = (&place.repository, &place.top) else { return Ok(Left::default()) };
    let git = ground::git(house, place)?;
    let tree = Worktree::of_checkout(repository).map_err(Error::from_git)?;
    // Most who are gone left nothing: that is seen without a ref for it.
    let path = Some(claim.pattern.literal_path()).filter(|path| !path.is_empty()).unwrap_or(".");
    if checkout::is_committed(&git, &tree, Path::new(path))? {
        return Ok(Left::default());
    }
    let base = match read::resolve(&git, "HEAD")? {
        Some(base) => base,
        None => land::empty_commit(&git)?,
    };
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
            return Ok(Left::default());
        }
        Err(error) => return Err(Error::from_git(error)),
    };
    let is_its = snapshot.changed.iter().any(|change| claim.pattern.contains(&change.path));
    let reference = snapshot.kept().filter(|_| is_its).map(str::to_owned);
    let is_left = |path: &RepoPath| gone.may_have_changed(path, &tree.path.join(path.to_path_buf()));
    let unsaved = snapshot.skipped.into_iter().filter(Skipped::has_content).map(|skipped| skipped.path);
    let mut lost: Vec<RepoPath> = unsaved.filter(is_left).collect();
    let mut ignored = snapshot.ignored;
    // git tells of an ignored folder, and of nothing in it.
    let edited = gone.edits.iter().filter_map(|(file, _)| file.strip_prefix(&tree.path).ok());
    let edited = edited.map(|path| RepoPath::from_bytes(path.as_os_str().as_encoded_bytes()));
    let named = claim.pattern.is_literal().then(|| RepoPath::from(claim.pattern.literal_path()));
    let named: Vec<RepoPath> = edited.chain(named).collect();
    ignored.extend(checkout::ignored(&git, &tree, &named)?);
    let mut ignored = unfold(&tree.path, ignored);
    ignored.retain(is_left);
    sorting::sort(&mut ignored);
    ignored.dedup();
    let folder = house.root.join("left").join(claim.id.to_string());
    let is_copied = copy(&tree.path, &folder, ignored, &mut lost)
        .map_err(|error| Error::system("cannot keep what git ignores", error))?;
    Ok(Left { reference, folder: is_copied.then_some(folder), lost })
}

/// What lies in the folders among these paths in their place: git tells of an ignored folder, and of nothing in it.
/// Those in which builds make what they can make again are left out, and one with very much in it is told as itself.
pub fn unfold(top: &Path, paths: Vec<RepoPath>) -> Vec<RepoPath> {
    let mut files = Vec::new();
    for path in paths {
        let folder = top.join(path.to_path_buf());
        if !folder.symlink_metadata().is_ok_and(|it| it.is_dir()) {
            files.push(path);
        } else if !is_of_builds(&folder) {
            let mut below = Vec::new();
            match add_below(top, &folder, &mut below) {
                true => files.extend(below),
                false => files.push(RepoPath::from_bytes(
                    path.as_bytes().strip_suffix(b"/").unwrap_or(path.as_bytes()),
                )),
            }
        }
    }
    files
}

/// Whether a folder is one of those in which builds put what they make: by its tag, or by its usual name.
pub(in crate::services) fn is_of_builds(folder: &Path) -> bool {
    let is_usual = |name: &OsStr| BUILDS.iter().any(|usual| name == *usual);
    folder.file_name().is_some_and(is_usual) || folder.join("CACHEDIR.TAG").is_file()
}

/// Adds every file and link below a folder, by its path in the checkout; `false` where these are too many.
fn add_below(top: &Path, folder: &Path, files: &mut Vec<RepoPath>) -> bool {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && is_of_builds(&path) {
            continue;
        }
        if is_folder {
            if !add_below(top, &path, files) {
                return false;
            }
        } else if let Ok(path) = path.strip_prefix(top) {
            files.push(RepoPath::from_bytes(path.as_os_str().as_encoded_bytes()));
        }
        if files.len() > MOST_FILES {
            return false;
        }
    }
    true
}

/// Copies what git ignores, files and links, out of a checkout; whether there was any. What is too much or cannot be
/// read is lost.
///
/// # Errors
/// The system's.
pub fn copy(top: &Path, folder: &Path, paths: Vec<RepoPath>, lost: &mut Vec<RepoPath>) -> io::Result<bool> {
    let (mut room, mut is_copied) = (MOST_IGNORED, false);
    for path in paths {
        let (from, to) = (top.join(path.to_path_buf()), folder.join(path.to_path_buf()));
        let Ok(metadata) = from.symlink_metadata() else { continue };
        if !metadata.is_symlink() && (!metadata.is_file() || metadata.len() > room) {
            lost.push(path);
            continue;
        }
        if let Some(above) = to.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(above)?;
        }
        // Another who wants the same files was here.
        let _ = fs::remove_file(&to);
        let copied = match metadata.is_symlink() {
            true => fs::read_link(&from).and_then(|target| symlink(target, &to)),
            false => fs::copy(&from, &to).map(|length| room = room.saturating_sub(length)),
        };
        match copied {
            Ok(()) => is_copied = true,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => lost.push(path),
            Err(error) => return Err(error),
        }
    }
    Ok(is_copied)
}

fn scratch(house: &House) -> PathBuf {
    house.root.join("tmp")
}

fn tell(house: &House, project: &Project, claim: &Held, left: &Left) -> Result<(), Error> {
    let (name, pattern) = (&claim.holder.name, claim.pattern.as_str());
    let places: Vec<String> = [
        left.folder.as_ref().map(|folder| format!("in {} as far as git ignores it", folder.display())),
        left.reference.as_ref().map(|reference| format!("in {reference}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let event = NewEvent {
        kind: "claim.left",
        holder: Some(name.as_str()),
        text: format!(
            "{name} is gone; what it left in {pattern} and did not commit is kept {}",
            places.join(" and ")
        ),
        data: Some(
            serde_json::json!({
                "claim": claim.id.0,
                "pattern": pattern,
                "ref": left.reference,
                "folder": left.folder,
            })
            .to_string(),
        ),
        ..NewEvent::default()
    };
    house.store()?.write(|tx| -> Result<(), Error> {
        tx.append_event(&project.id, &event)?;
        Ok(())
    })
}
