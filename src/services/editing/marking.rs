//! How the tools of a session left its files: what is found so later was nobody else's doing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::naming::files;
use super::place::meant;
use super::touching::{LOOKED_AT, changed_at, since, stamp};
use super::{Asked, Editor, is_of_agent, linked, near, unended};
use crate::base::ids::HolderName;
use crate::domain::pattern::Pattern;
use crate::services::project::Project;
use crate::services::{Error, House, nudging};

/// What tells a file from what it was: its inode and the nanoseconds of its last change; nothing where it is not.
type State = (u64, i64);

fn state(file: &Path) -> State {
    let state = |it: fs::Metadata| (it.ino(), it.ctime().saturating_mul(1_000_000_000) + it.ctime_nsec());
    file.symlink_metadata().map(state).unwrap_or_default()
}

/// The file with what a session's tools left. No stamp has a dot in its name.
fn record(house: &House, holder: &HolderName) -> PathBuf {
    stamp(house, holder).with_extension("left")
}

/// As it stands in the record: a number, a number and the bytes of a path, which ends with a NUL.
fn written(file: &Path, (inode, changed): State) -> Vec<u8> {
    let mut bytes = format!("{inode} {changed} ").into_bytes();
    bytes.extend_from_slice(file.as_os_str().as_bytes());
    bytes.push(0);
    bytes
}

/// From the bytes of a record. What is none of it is left out.
fn read(bytes: &[u8]) -> Vec<(PathBuf, State)> {
    fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }
    let entry = |line: &[u8]| {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let state = (number(parts.next()?)?, number(parts.next()?)?);
        Some((PathBuf::from(std::ffi::OsString::from_vec(parts.next()?.to_vec())), state))
    };
    bytes.split(|byte| *byte == 0).filter_map(entry).collect()
}

/// Notes after a tool how it left what it wrote: of a command, which says little of that, whatever changed while it
/// ran among the files that its session holds.
///
/// # Errors
/// The database or the record fails.
pub fn note(house: &House, editor: &Editor, asked: &Asked<'_>, is_command: bool) -> Result<(), Error> {
    let left: Vec<PathBuf> = match is_command {
        false => asked
            .writes
            .iter()
            .flat_map(|write| files(asked, write).into_iter().map(move |(file, _)| (file, &write.reach)))
            .flat_map(|(file, reach)| meant(&file, reach))
            .collect(),
        true => {
            let Some(began) = since(house, &editor.holder.name) else { return Ok(()) };
            // What is not there was taken from the folder that is.
            let is_since = |file: &PathBuf| {
                let found = file.ancestors().find_map(|it| it.symlink_metadata().ok());
                found.is_some_and(|found| changed_at(&found) >= began)
            };
            own(house, editor, asked.folder)?.into_iter().filter(is_since).collect()
        }
    };
    append(house, editor, &left)
}

/// Adds to the record how files are now.
fn append(house: &House, editor: &Editor, left: &[PathBuf]) -> Result<(), Error> {
    if left.is_empty() || !house.root.is_dir() {
        return Ok(());
    }
    let bytes: Vec<u8> = left.iter().flat_map(|file| written(file, state(file))).collect();
    let path = record(house, &editor.holder.name);
    let append = || {
        fs::create_dir_all(path.parent().unwrap_or(&house.root))?;
        // At once: an agent may use several tools at a time.
        File::options().append(true).create(true).open(&path)?.write_all(&bytes)
    };
    append().map_err(|error| Error::system(format!("cannot write {}", path.display()), error))
}

/// The files that a session holds, or the server that works for its agent.
fn own(house: &House, editor: &Editor, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let project = Project::of(folder)?;
    let (edits, claims) = house.store()?.read(|tx| -> Result<_, Error> {
        let all: Vec<Pattern> = Pattern::parse("**").into_iter().collect();
        Ok((tx.edits_of(&editor.holder)?, near(tx, &project.id, &all)?))
    })?;
    let mut own: Vec<PathBuf> = edits.into_iter().map(|edit| edit.path).collect();
    if let Some(top) = &project.top {
        let mut left = LOOKED_AT;
        let is_own = |claim: &&super::Held| {
            claim.holder == editor.holder || is_of_agent(claim, editor.alive.as_deref())
        };
        for claim in claims.iter().filter(is_own) {
            let owned = linked::owned(top, &claim.pattern, &mut left).into_iter();
            own.extend(owned.map(|(path, _)| top.join(path.to_path_buf())));
        }
    }
    Ok(own)
}

/// Forgets at the end of a turn what was left of files that are not held any more.
pub(super) fn forget(house: &House, editor: &Editor) -> Result<(), Error> {
    let path = record(house, &editor.holder.name);
    let Ok(bytes) = fs::read(&path) else { return Ok(()) };
    let held = house.store()?.read(|tx| tx.edits_of(&editor.holder))?;
    let mut kept = read(&bytes);
    kept.retain(|(file, _)| held.iter().any(|edit| edit.path == *file));
    let kept: Vec<u8> = kept.iter().flat_map(|(file, state)| written(file, *state)).collect();
    // A tool that ends at this moment is forgotten with the rest: then its work may be told of somebody else.
    let done = if kept.is_empty() { fs::remove_file(&path) } else { fs::write(&path, kept) };
    done.map_err(|error| Error::system(format!("cannot write {}", path.display()), error))
}

/// Those of the files, which are as they were before a session's work on them, that none of its tools left so:
/// somebody put them back, or aside. The session is told of that; where it is still so the next time, it knows.
///
/// # Errors
/// It cannot be told, or noted.
pub(super) fn put_back<'a>(
    house: &House,
    editor: &Editor,
    files: impl Iterator<Item = &'a Path>,
) -> Result<Vec<PathBuf>, Error> {
    let doings = Doings::of(house, &editor.holder.name);
    let is_put_back = |file: &&Path| doings.left.contains_key(*file) && !doings.explain(file);
    let found: Vec<PathBuf> = files.filter(is_put_back).map(Path::to_owned).collect();
    let Some(first) = found.first() else { return Ok(found) };
    let more = if found.len() > 1 { format!(" and {} more", found.len() - 1) } else { String::new() };
    let text = format!(
        "{}{more} is as it was before your work on it, and none of your tools did that; you hold it until the end of \
         your next turn",
        first.display()
    );
    nudging::say(house, &editor.holder.name, &HolderName::new("kapell"), &text)?;
    append(house, editor, &found)?;
    Ok(found)
}

/// What one session did, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Doings {
    left: BTreeMap<PathBuf, Vec<State>>,
    /// Since when a command of it runs that has not ended.
    runs_since: Option<SystemTime>,
}

impl Doings {
    /// Reads it.
    pub fn of(house: &House, holder: &HolderName) -> Self {
        let mut left = BTreeMap::<PathBuf, Vec<State>>::new();
        for (file, state) in read(&fs::read(record(house, holder)).unwrap_or_default()) {
            left.entry(file).or_default().push(state);
        }
        let runs_since = if unended::runs(house, holder) { since(house, holder) } else { None };
        Self { left, runs_since }
    }

    /// Whether it left the file as it is, or may have done so by a command that still runs.
    pub fn explain(&self, file: &Path) -> bool {
        let now = state(file);
        // Of what is not there nothing tells one time from another.
        let is_it = |left: &Vec<State>| match now {
            (0, 0) => left.last() == Some(&now),
            _ => left.contains(&now),
        };
        let is_left = self.left.get(file).is_some_and(is_it);
        let may_be = || {
            let found = file.ancestors().find_map(|it| it.symlink_metadata().ok());
            self.runs_since.is_some_and(|since| found.is_some_and(|it| changed_at(&it) >= since))
        };
        is_left || may_be()
    }
}
