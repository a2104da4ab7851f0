//! Refs: compare-and-swap, and a trash instead of deletion.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use super::Oid;
use super::queue::Guard;
use super::run::{Git, GitError};
use crate::base::ids::random_tail;

/// All refs of Kapell begin with this.
pub const OWN: &str = "refs/kapell/";

/// The branches on which plans put their work together.
const OWN_BRANCHES: &str = "refs/heads/kapell/";

/// Where refs go instead of being deleted.
pub const TRASH: &str = "refs/kapell/trash/";

/// Where whole snapshots go that changed what was not theirs.
pub const QUARANTINE: &str = "refs/kapell/quarantine/";

/// Where goes what somebody moved a branch of ours to.
const MOVED: &str = "refs/kapell/moved/";

/// How a compare-and-swap ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// The ref holds the new commit.
    Done,
    /// The ref held something else, and still does.
    Moved {
        /// What it holds; `None` if it does not exist.
        now: Option<Oid>,
    },
}

/// What a ref (its full name) holds.
pub fn read(git: &Git, reference: &str) -> Result<Option<Oid>, GitError> {
    if let Some(held) = read_file(git, reference) {
        return Ok(held);
    }
    let call = git.call("rev-parse").args(["--verify", "--quiet", "--end-of-options", reference]);
    let finished = call.accept(&[0, 1]).finish()?;
    Ok(Oid::parse(String::from_utf8_lossy(&finished.stdout).trim_end()))
}

/// [`read`] without starting git, which a conductor does at every step; `None` where only git can tell.
/// A ref is a file, or a line of `packed-refs`; packing writes the line before it removes the file.
fn read_file(git: &Git, reference: &str) -> Option<Option<Oid>> {
    let common_dir = &git.repository().common_dir;
    let is_plain = |segment: &str| !segment.is_empty() && !segment.starts_with('.');
    if !reference.starts_with("refs/")
        || !reference.split('/').all(is_plain)
        || common_dir.join("reftable").exists()
    {
        return None;
    }
    match fs::read_to_string(common_dir.join(reference)) {
        // Something else than a name is a symbolic ref, or damage.
        Ok(text) => return Oid::parse(text.trim_end()).map(Some),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
        // A folder is in its place: there may be a line all the same.
        Err(error) if error.kind() == ErrorKind::IsADirectory => {}
        Err(_) => return None,
    }
    match fs::read(common_dir.join("packed-refs")) {
        Ok(packed) => {
            let mut lines = packed.split(|byte| *byte == b'\n');
            let held = lines.find_map(|line| line.strip_suffix(reference.as_bytes())?.strip_suffix(b" "));
            match held {
                Some(held) => Oid::parse(std::str::from_utf8(held).ok()?).map(Some),
                None => Some(None),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Some(None),
        Err(_) => None,
    }
}

/// How long another git may need the lock of a ref of ours, in milliseconds; one that is there for longer was
/// left by a git that was killed.
const PATIENCE_MILLIS: &str = "3000";

/// Moves a ref from `old` (`None`: it must not exist) to `new`, with a reflog. Doing it twice is done once.
pub fn update(
    git: &Git,
    reference: &str,
    new: &Oid,
    old: Option<&Oid>,
    why: &str,
) -> Result<Update, GitError> {
    update_as(git, None, reference, new, old, why)
}

/// [`update`] of a ref that needs the queue: the lock lasts as long as git runs.
pub(super) fn update_as(
    git: &Git,
    guard: Option<&Guard>,
    reference: &str,
    new: &Oid,
    old: Option<&Oid>,
    why: &str,
) -> Result<Update, GitError> {
    let zero = new.zero();
    let call = || {
        let call = git.call("update-ref").args(["--create-reflog", "-m", one_line(why).as_str()]);
        let call = call.arg(reference).oid(new).oid(old.unwrap_or(&zero));
        match guard {
            Some(guard) => call.holding(guard),
            None => call,
        }
    };
    let settled = |error| -> Result<Settled, GitError> {
        let now = read(git, reference)?;
        Ok(match now {
            _ if now.as_ref() == Some(new) => Settled::Is(Update::Done),
            _ if now.as_ref() != old => Settled::Is(Update::Moved { now }),
            _ => Settled::Not(error),
        })
    };
    let Err(error) = call().run() else { return Ok(Update::Done) };
    // Only a ref of our own is ours to unlock: whoever else writes below it, as git does when it packs refs,
    // needs the lock for a moment.
    let is_ours = reference.starts_with(OWN) || reference.starts_with(OWN_BRANCHES);
    let lock = git.repository().common_dir.join(format!("{reference}.lock"));
    let held = || fs::symlink_metadata(&lock).ok().map(|it| (it.ino(), it.mtime(), it.mtime_nsec()));
    let before = held();
    match settled(error)? {
        Settled::Is(update) => return Ok(update),
        Settled::Not(error) if before.is_none() => return Err(error),
        Settled::Not(_) => {}
    }
    let Err(error) = call().set("core.filesRefLockTimeout", PATIENCE_MILLIS).run() else {
        return Ok(Update::Done);
    };
    match settled(error)? {
        Settled::Is(update) => return Ok(update),
        Settled::Not(error) if !is_ours || held() != before => return Err(error),
        Settled::Not(_) => {}
    }
    // It held the commit that the ref was to be moved to, no more. Below refs/ nothing may be put aside: git
    // takes every name there that does not end in `.lock` for a ref, and refuses to go on with a bad one.
    match fs::remove_file(&lock) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(GitError::io("delete", &lock)(error));
        }
        _ => {}
    }
    tracing::warn!("{} was left by a git that was killed; it is deleted", lock.display());
    call().run()?;
    Ok(Update::Done)
}

/// What a failed update came to.
enum Settled {
    /// Somebody did it, or something else.
    Is(Update),
    /// The ref is as it was.
    Not(GitError),
}

/// Makes a ref that must not exist yet, or holds this commit already.
pub(super) fn create(git: &Git, reference: &str, commit: &Oid, why: &str) -> Result<(), GitError> {
    match update(git, reference, commit, None, why)? {
        Update::Done => Ok(()),
        Update::Moved { now } => Err(GitError::Unexpected {
            args: format!("update-ref {reference} {commit}"),
            printed: format!("it holds {} already", now.as_ref().map_or("nothing", Oid::as_str)),
        }),
    }
}

/// Deletes a ref of Kapell's own whose commit is held elsewhere by now.
pub fn forget(git: &Git, reference: &str) -> Result<(), GitError> {
    git.call("update-ref").args(["-d", reference]).run()?;
    Ok(())
}

/// Keeps a commit that must not land, under `refs/kapell/quarantine/NAME`; the ref's name.
pub fn quarantine(git: &Git, name: &str, commit: &Oid) -> Result<String, GitError> {
    keep(git, format!("{QUARANTINE}{name}"), commit)
}

/// Keeps what somebody moved a branch of ours to, under `refs/kapell/moved/NAME`; the ref's name.
pub fn set_aside(git: &Git, name: &str, commit: &Oid) -> Result<String, GitError> {
    keep(git, format!("{MOVED}{name}"), commit)
}

fn keep(git: &Git, reference: String, commit: &Oid) -> Result<String, GitError> {
    if read(git, &reference)?.is_some_and(|held| held != *commit) {
        let other = format!("{reference}-{}", random_tail(6));
        create(git, &other, commit, "kapell: kept")?;
        return Ok(other);
    }
    create(git, &reference, commit, "kapell: kept")?;
    Ok(reference)
}

/// Moves a ref below [`TRASH`], both in one transaction; its new name, or `None` if there is no such ref.
/// A ref's reflog dies with it, so only what its commit reaches is kept.
pub fn trash(git: &Git, _guard: &Guard, reference: &str) -> Result<Option<String>, GitError> {
    let Some(held) = read(git, reference)? else { return Ok(None) };
    let rest = reference.strip_prefix(OWN).or_else(|| reference.strip_prefix("refs/")).unwrap_or(reference);
    let mut trashed = format!("{TRASH}{rest}");
    if read(git, &trashed)?.is_some() {
        trashed = format!("{trashed}-{}", random_tail(6));
    }
    let commands = format!("create {trashed}\0{held}\0delete {reference}\0{held}\0");
    let call = git.call("update-ref").args(["--create-reflog", "-m", "kapell: trash", "-z", "--stdin"]);
    call.stdin(commands.into_bytes()).run()?;
    Ok(Some(trashed))
}

/// The first line of a message: a reflog has one line an entry.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
