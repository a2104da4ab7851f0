//! Reading what was kept: the newest events, what an attempt wrote and changed, what its
//! gates saw.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Error, House, Session};
use crate::base::ids::AttemptId;
use crate::base::notices::Notices;
use crate::base::paths::RepoPath;
use crate::domain::refusal::{Code, Refusal};
use crate::store::attempts::AttemptRow;
use crate::store::events::{EventFilter, EventRow};
use crate::store::watch::{Watch, Woken};
use crate::sys::git::environment::Beside;
use crate::sys::git::{Git, Oid, SnapshotError, Worktree, read, snapshot};

/// The end of a file is what tells how it went. With two files an answer stays below the
/// 16 KB that any answer may have.
const TAIL: u64 = 7 * 1024;
/// As much of a diff is shown.
const DIFF: usize = 15 * 1024;
/// Of an attempt that runs, larger files are not looked into.
const LARGEST_SHOWN: u64 = 16 << 20;
/// Longest part of a log that is handed over at once to whoever follows it.
const PART: u64 = 256 * 1024;

/// The newest `limit` events of the project, oldest of them first.
pub fn newest_events(session: &Session, limit: usize) -> Result<Vec<EventRow>, Error> {
    let project = session.project()?.id;
    let filter = EventFilter { project: Some(&project), ..EventFilter::default() };
    session.store()?.read(|tx| Ok(tx.newest_events(&filter, limit)?))
}

/// The end of what an attempt's agent wrote on its standard output and error.
pub fn attempt_log(session: &Session, id: &str) -> Result<String, Error> {
    let attempt = attempt(session, id)?;
    let folder = Path::new(&attempt.run_dir);
    let mut log = String::new();
    for name in ["stdout", "stderr"] {
        match tail(&folder.join(name)) {
            Ok(text) if text.is_empty() => {}
            Ok(text) => {
                log.push_str(&format!("== {name}\n{text}"));
                if !log.ends_with('\n') {
                    log.push('\n');
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Error::system(format!("cannot read {}", folder.join(name).display()), error));
            }
        }
    }
    Ok(log)
}

/// A part of a log, for whoever follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What stands there; bytes that are no text are replaced.
    pub text: String,
    /// Where the next part begins.
    pub next: u64,
    /// Whether nothing more will come.
    pub ended: bool,
    /// How many bytes there are by now.
    pub size: u64,
}

/// What an attempt's agent wrote on its standard output from `offset` on, in whole lines as far as
/// there are any. Past the end there is nothing yet; an offset below 0 is from the end, and the line that it
/// falls into is left out.
pub fn attempt_log_from(session: &Session, id: &str, offset: i64) -> Result<Part, Error> {
    let attempt = attempt(session, id)?;
    // Asked before the file is read: what it wrote until then is in it.
    let is_over = attempt.state.outcome().is_some();
    let path = Path::new(&attempt.run_dir).join("stdout");
    match part(&path, offset, is_over) {
        Ok(part) => Ok(part),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Part {
            text: String::new(),
            next: u64::try_from(offset).unwrap_or(0),
            ended: is_over,
            size: 0,
        }),
        Err(error) => Err(Error::system(format!("cannot read {}", path.display()), error)),
    }
}

/// The same, waiting until the deadline where nothing new is there yet. Woken by the file and by the end
/// of the attempt; ended by the session's cancel.
pub fn attempt_log_after(session: &Session, id: &str, offset: i64, deadline: Instant) -> Result<Part, Error> {
    let is_enough = |part: &Part| !part.text.is_empty() || part.ended;
    let found = attempt_log_from(session, id, offset)?;
    if is_enough(&found) {
        return Ok(found);
    }
    // The end is told by the database.
    let watch = Watch::new(&session.house.root)?;
    session.cancel.on_cancel(watch.waker().on_call());
    let folder = PathBuf::from(attempt(session, id)?.run_dir);
    let mut grows = None;
    loop {
        // An attempt that was not started has no folder; its start is told by the database as well.
        if grows.is_none() && folder.is_dir() {
            let waker = watch.waker();
            let tell = move |paths: &[PathBuf]| {
                if paths.is_empty() || paths.iter().any(|path| path.file_name() == Some("stdout".as_ref())) {
                    waker.wake();
                }
            };
            let watched = Notices::of(&folder, tell);
            grows = Some(
                watched
                    .map_err(|error| Error::system(format!("cannot watch {}", folder.display()), error))?,
            );
        }
        let found = attempt_log_from(session, id, offset)?;
        if is_enough(&found) || session.cancel.is_cancelled() || watch.wait(Some(deadline)) == Woken::Deadline
        {
            return Ok(found);
        }
    }
}

/// A part of a file. While it still grows, a last line without an end is left for the next part.
fn part(path: &Path, offset: i64, is_over: bool) -> std::io::Result<Part> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    let size = file.metadata()?.len();
    let offset = match u64::try_from(offset) {
        Ok(offset) => offset,
        Err(_) => line_after(&mut file, size.saturating_sub(offset.unsigned_abs()))?,
    };
    // Past the end there is nothing yet, and far past it not even a place.
    if offset < size {
        file.seek(SeekFrom::Start(offset))?;
        file.take(PART).read_to_end(&mut bytes)?;
    }
    let is_full = bytes.len() as u64 == PART;
    if !is_over || is_full {
        match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => bytes.truncate(at + 1),
            // A line that fills all of it is handed over as it is.
            None if is_full => {}
            None => bytes.clear(),
        }
    }
    Ok(Part {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        next: offset + bytes.len() as u64,
        ended: is_over && !is_full,
        size,
    })
}

/// Where the first line begins at a place or after it; the place itself where none does near it.
fn line_after(file: &mut File, place: u64) -> std::io::Result<u64> {
    let Some(before) = place.checked_sub(1) else { return Ok(0) };
    file.seek(SeekFrom::Start(before))?;
    let mut bytes = Vec::new();
    (&mut *file).take(PART).read_to_end(&mut bytes)?;
    let end = bytes.iter().position(|byte| *byte == b'\n');
    Ok(end.map_or(place, |end| before + end as u64 + 1))
}

/// Which state of a file is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where the attempt began.
    Before,
    /// As the attempt left it; while it runs, as it is now.
    After,
}

/// A file before or after an attempt; nothing where it did not exist.
pub fn attempt_file(session: &Session, id: &str, path: &str, side: Side) -> Result<String, Error> {
    let attempt = attempt(session, id)?;
    refuse_outside(path)?;
    let (git, tree) = match side {
        Side::Before => {
            let base = attempt.base.as_deref().and_then(Oid::parse).ok_or_else(|| not_saved(id))?;
            (super::ground::git(&session.house, &session.project()?)?, base)
        }
        Side::After => {
            let Ends { git, after, .. } = ends(session, &attempt)?;
            (git, after)
        }
    };
    let content = read::show_file(&git, &tree, &RepoPath::from(path))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// What lies in no repository was never part of an attempt.
fn refuse_outside(path: &str) -> Result<(), Refusal> {
    let is_name = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    if path.split('/').all(is_name) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::BadPath,
        format!("{path:?} is no path of a file in the repository"),
        "give it from the top of the repository, without . and .., as in src/db/a.rs",
    )
    .with("path", path))
}

/// What an attempt is compared by.
struct Ends {
    /// Where both are found.
    git: Git,
    /// The commit that it began from.
    before: Oid,
    /// What it made of that.
    after: Oid,
}

/// The two ends of an attempt: of one that runs, its files as they are now; else what was saved of it.
fn ends(session: &Session, attempt: &AttemptRow) -> Result<Ends, Error> {
    let id = attempt.id.as_str();
    let project = session.project()?;
    let git = super::ground::git(&session.house, &project)?;
    let before = attempt.base.as_deref().and_then(Oid::parse).ok_or_else(|| not_saved(id))?;
    if attempt.ended_at.is_none()
        && let Some(Beside { git, tree }) = checkout(&git, attempt)
    {
        let scratch = session.house.root.join("tmp");
        match snapshot::present(&git, &tree, &before, &scratch, LARGEST_SHOWN) {
            Ok(after) => return Ok(Ends { git, before, after }),
            // It was saved, and its tree is gone by now.
            Err(SnapshotError::TreeGone { .. }) => {}
            Err(error) => return Err(Error::from_git(error)),
        }
    }
    let after = attempt.snapshot.as_deref().and_then(Oid::parse).ok_or_else(|| not_saved(id))?;
    Ok(Ends { git, before, after })
}

/// Where an attempt works: in a worktree of its own, in an environment, or in the folder of all.
fn checkout(git: &Git, attempt: &AttemptRow) -> Option<Beside> {
    let path = Path::new(attempt.worktree.as_deref()?);
    if attempt.environment.is_some() {
        return Beside::open(git, path).ok();
    }
    let shared = || Worktree::of_checkout(git.repository()).ok().filter(|tree| tree.path == path);
    let tree = Worktree::find(git, path).or_else(shared)?;
    Some(Beside { git: git.clone(), tree })
}

fn not_saved(id: &str) -> Refusal {
    Refusal::new(
        Code::Conflict,
        format!("attempt {id} has not been saved yet, so there is nothing to compare"),
        "its working tree is named by status with scope attempt",
    )
}

/// What an attempt changed, or did so far, as a unified diff, short enough for any answer.
pub fn attempt_diff(session: &Session, id: &str) -> Result<String, Error> {
    attempt_diff_up_to(session, id, DIFF)
}

/// The same, at most `most` bytes of it.
pub fn attempt_diff_up_to(session: &Session, id: &str, most: usize) -> Result<String, Error> {
    let Ends { git, before, after } = ends(session, &attempt(session, id)?)?;
    let diff = read::diff_text(&git, &before, &after, &[], most)?;
    let cut = if diff.is_cut {
        "\n… (the rest is cut off; the ref that status names holds all of it)\n"
    } else {
        ""
    };
    Ok(format!("{}{cut}", String::from_utf8_lossy(&diff.text)))
}

/// The evidence that a gate of an attempt's judgement kept.
pub fn evidence(session: &Session, id: &str, gate: &str) -> Result<String, Error> {
    let attempt = attempt(session, id)?;
    let gates = session.store()?.read(|tx| tx.gates(&attempt.id))?;
    let names: Vec<&str> = gates.iter().map(|row| row.name.as_str()).collect();
    let Some(row) = gates.iter().find(|row| row.name == gate) else {
        return Err(Refusal::new(
            Code::NotFound,
            format!("no gate {gate:?} judged attempt {id}"),
            if names.is_empty() {
                "it was not judged yet".to_owned()
            } else {
                format!("these did: {}", names.join(", "))
            },
        )
        .into());
    };
    let Some(file) = &row.evidence else {
        return Ok(format!("{}: {} (no output was kept)\n", row.name, row.why));
    };
    tail(Path::new(file)).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::from(Refusal::new(
            Code::NotFound,
            format!("the evidence of gate {gate} is gone: {file}"),
            "judge the attempt again",
        )),
        _ => Error::system(format!("cannot read {file}"), error),
    })
}

/// A folder of the project that an attempt belongs to, if both are still there.
pub fn home_of(house: &House, id: &str) -> Result<Option<PathBuf>, Error> {
    let found = house.store()?.read(|tx| {
        let attempt = tx.attempt(&AttemptId::new(id))?;
        attempt.map(|attempt| tx.project(&attempt.project)).transpose()
    })?;
    let folders = found.flatten().map(|(common_dir, top)| top.unwrap_or(common_dir));
    Ok(folders.map(PathBuf::from).filter(|folder| folder.is_dir()))
}

/// An attempt of this project.
fn attempt(session: &Session, id: &str) -> Result<AttemptRow, Error> {
    let project = session.project()?.id;
    let attempt = session.store()?.read(|tx| tx.attempt(&AttemptId::new(id)))?;
    attempt.filter(|attempt| attempt.project == project).ok_or_else(|| {
        Refusal::new(
            Code::NotFound,
            format!("there is no attempt {id:?} in this project"),
            "status with scope task lists a task's attempts",
        )
        .into()
    })
}

/// The last whole lines of a file, at most [`TAIL`] bytes; bytes that are no text are replaced.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    if skipped == 0 {
        return Ok(text.into_owned());
    }
    let (cut, whole) = match text.split_once('\n') {
        Some((cut, whole)) if !whole.is_empty() => (cut.len() + 1, whole),
        _ => (0, text.as_ref()),
    };
    Ok(format!("… {} bytes before\n{whole}", skipped + cut as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_followed_in_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let whole = "x".repeat(PART as usize);
        let table: [(&str, i64, bool, &str, u64, bool); 13] = [
            ("", 0, false, "", 0, false),
            ("one\ntw", 0, false, "one\n", 4, false),
            ("one\ntwo\n", 4, false, "two\n", 8, false),
            ("one\ntw", 4, false, "", 4, false),
            ("one\ntw", 4, true, "tw", 6, true),
            ("one\n", 9, true, "", 9, true),
            ("one\n", i64::MAX, false, "", i64::MAX as u64, false),
            // From the end, in whole lines.
            ("one\ntwo\n", -4, true, "two\n", 8, true),
            ("one\ntwo\n", -5, true, "two\n", 8, true),
            ("one\ntwo\nthr", -5, false, "", 8, false),
            ("one\ntwo\n", -99, true, "one\ntwo\n", 8, true),
            ("", i64::MIN, false, "", 0, false),
            (&whole, 0, true, &whole, PART, false),
        ];
        for (content, offset, is_over, text, next, ended) in table {
            std::fs::write(&path, content).unwrap();
            let size = content.len() as u64;
            let expected = Part { text: text.to_owned(), next, ended, size };
            assert_eq!(part(&path, offset, is_over).unwrap(), expected, "{} {offset}", content.len());
        }
    }

    #[test]
    fn a_tail_begins_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let table = [
            (String::new(), String::new()),
            ("one\ntwo".to_owned(), "one\ntwo".to_owned()),
            (
                "x".repeat(10) + "\n" + &"y".repeat(TAIL as usize - 2) + "\n",
                format!("… 11 bytes before\n{}\n", "y".repeat(TAIL as usize - 2)),
            ),
            ("z".repeat(TAIL as usize + 5), format!("… 5 bytes before\n{}", "z".repeat(TAIL as usize))),
        ];
        for (content, expected) in table {
            std::fs::write(&path, &content).unwrap();
            assert_eq!(tail(&path).unwrap(), expected, "{}", content.len());
        }
        std::fs::write(&path, b"caf\xe9\n").unwrap();
        assert_eq!(tail(&path).unwrap(), "caf\u{fffd}\n");
    }
}
