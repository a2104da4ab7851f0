//! Nothing that a checkout had is lost: its files as they are now become a commit under a ref before
//! anything is done over them. What git cannot keep is named, and moved aside where the folder goes.

use std::fs;
use std::path::{Path, PathBuf};

use super::furnishing::{SCRIPTS, VARIABLES, has_persons_lines};
use super::{Ground, OWN, databases};
use crate::base::clock::Time;
use crate::base::ids::random_tail;
use crate::base::paths::RepoPath;
use crate::domain::environment::is_made_again;
use crate::services::Error;
use crate::store::environments::EnvironmentRow;
use crate::sys::git::environment::{Beside, KEPT};
use crate::sys::git::snapshot::{self, LARGEST_FILE, Request, Skipped};
use crate::sys::git::{Oid, land, refs};

/// What was kept, where, and what could not be.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// The ref.
    pub reference: String,
    /// The commit.
    pub commit: Oid,
    /// What it does not hold.
    pub left: Vec<Left>,
}

/// Something that a snapshot does not hold.
#[derive(Debug, Clone)]
pub(super) struct Left {
    /// Where.
    pub path: RepoPath,
    /// Why.
    pub why: String,
    /// Whether git would delete it or write it over: it is a file, and git does not ignore it.
    pub is_at_risk: bool,
}

impl Left {
    /// In a line.
    pub(super) fn line(&self) -> String {
        format!("{} ({})", self.path, self.why)
    }
}

/// A moment as part of a ref's and a folder's name.
pub(super) fn stamp() -> String {
    let text: String =
        Time::now().to_string().chars().filter(|c| c.is_ascii_alphanumeric()).take(18).collect();
    format!("{text}-{}", random_tail(4))
}

/// Where the project keeps what an environment had.
pub(super) fn project_prefix(ground: &Ground<'_>, row: &EnvironmentRow) -> Result<String, Error> {
    let prefix = format!("refs/kapell/environments/{}/{}", row.name, stamp());
    // A stamp is of one moment and one process; this is for whoever has set the clock back.
    Ok(match refs::read(&ground.git, &prefix)? {
        Some(_) => format!("{prefix}-{}", random_tail(6)),
        None => prefix,
    })
}

/// A folder for what is needed for a moment; it goes with the value.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(ground: &Ground<'_>) -> Result<Self, Error> {
        let folder = ground.session.house.run_dir(&format!("env-{}", random_tail(8)));
        fs::create_dir_all(&folder)
            .map_err(|error| Error::system(format!("cannot make {}", folder.display()), error))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that stays is swept with those of runs.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Keeps the head and all files, also those that git does not know and does not ignore, as a commit under
/// a ref of the checkout. Where nothing differs from the head, that is kept all the same.
pub(super) fn snapshot(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    beside: &Beside,
    why: &str,
) -> Result<Kept, Error> {
    let name = if row.is_worktree { format!("{}/", row.name) } else { String::new() };
    let reference = format!("{KEPT}{name}{}-{why}", stamp());
    let scratch = Scratch::new(ground)?;
    let head = beside.look()?.head;
    let base = match &head {
        Some(head) => head.clone(),
        None => land::empty_commit(&beside.git)?,
    };
    let message = format!("kapell: {} before it was {why}", row.name);
    let request = Request {
        tree: &beside.tree,
        base: &base,
        reference: &reference,
        expected: None,
        message: &message,
        scratch: &scratch.0,
        keeps_base: true,
        largest: LARGEST_FILE,
        is_exact: true,
    };
    let taken = snapshot::snapshot(&beside.git, &request).map_err(Error::from_git)?;
    let mut left = Vec::new();
    for path in taken.nested {
        if beside.has_work_inside(&path)? {
            left.push(Left { path, why: "a repository of its own".to_owned(), is_at_risk: false });
        }
    }
    let unread = taken.skipped.into_iter().filter(Skipped::has_content);
    left.extend(unread.map(|it| Left { path: it.path, why: it.why.to_string(), is_at_risk: true }));
    left.extend(precious(beside, taken.ignored).into_iter().map(|path| Left {
        path,
        why: "ignored by git".to_owned(),
        is_at_risk: false,
    }));
    // A commit of the same files says nothing that the head does not.
    let is_head = taken.changed.is_empty() && head.is_some();
    let commit = match head {
        Some(head) if is_head => {
            refs::update(&beside.git, &reference, &head, Some(&taken.commit), "kapell env")?;
            head
        }
        _ => taken.commit,
    };
    Ok(Kept { reference, commit, left })
}

/// What git ignores and neither Kapell nor any tool makes again.
pub(super) fn precious(beside: &Beside, ignored: Vec<RepoPath>) -> Vec<RepoPath> {
    let top = &beside.tree.path;
    let is_precious = |path: &RepoPath| {
        let name = path.to_string();
        match name.as_str() {
            VARIABLES => has_persons_lines(&top.join(VARIABLES)),
            // A worktree's own folder hides itself file by file.
            name if Path::new(name) == Path::new(OWN).join(VARIABLES) => has_persons_lines(&top.join(name)),
            name if Path::new(name).starts_with(OWN) => false,
            name if SCRIPTS.iter().any(|(script, _)| *script == name) => false,
            name => !is_made_again(name),
        }
    };
    ignored.into_iter().filter(is_precious).collect()
}

/// A new folder beside an environment for what is left of it.
pub(super) fn left_folder(dest: &Path) -> PathBuf {
    let mut name = dest.file_name().unwrap_or_default().to_owned();
    name.push(format!(".left-{}", stamp()));
    dest.with_file_name(name)
}

/// Moves what git did not keep, and databases that are in no backup, out of a checkout that goes, into a
/// folder beside it; that folder, where there was anything to move.
pub(super) fn move_left(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    left: &[Left],
) -> Result<Option<PathBuf>, Error> {
    let from = Path::new(&row.path);
    let mut paths: Vec<PathBuf> = left.iter().map(|left| left.path.to_path_buf()).collect();
    let own = super::own_folder(row);
    let unkept = if own.is_symlink() { Vec::new() } else { databases::unkept(ground, row) };
    for sub in unkept {
        paths.extend(databases::files(&sub).into_iter().map(|name| Path::new(OWN).join(name)));
    }
    let aside = if own.is_symlink() { Vec::new() } else { databases::unkept_aside(ground, row) };
    for name in aside {
        paths.extend(databases::aside_files(&name).into_iter().map(|name| Path::new(OWN).join(name)));
    }
    paths.retain(|path| fs::symlink_metadata(from.join(path)).is_ok());
    if paths.is_empty() {
        return Ok(None);
    }
    let to = left_folder(from);
    for path in paths {
        let dest = to.join(&path);
        let failed =
            |error| Error::system(format!("cannot move {} aside", from.join(&path).display()), error);
        fs::create_dir_all(dest.parent().unwrap_or(&to)).map_err(failed)?;
        fs::rename(from.join(&path), &dest).map_err(failed)?;
    }
    Ok(Some(to))
}
