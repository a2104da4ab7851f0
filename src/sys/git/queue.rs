//! The git queue: what git does not serialise itself, one after the other, across processes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::discover::Repository;
use super::run::GitError;
use super::worktree::{admin_dirs, is_ours};
use crate::base::clock::Time;

/// A lock file this old, with no git of ours alive, was left by a git that was killed.
const STALE_AFTER_MILLIS: i64 = 10_000;

/// The queue of one repository: adding and removing worktrees, deleting refs, landing. Not for
/// snapshots, diffs and merges, which may run side by side.
#[derive(Debug)]
pub struct GitQueue;

impl GitQueue {
    /// Waits for the turn. A process or thread that has the guard must not ask again: it would wait for itself.
    ///
    /// Locks that a killed git left behind are moved aside (see [`Guard::recovered`]).
    pub fn lock(repository: &Repository) -> Result<Guard, GitError> {
        let (file, path) = open(repository)?;
        loop {
            match file.lock() {
                Ok(()) => return Ok(Guard::new(file, repository)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(GitError::io("lock", &path)(error)),
            }
        }
    }

    /// The turn, if nobody has it.
    pub fn try_lock(repository: &Repository) -> Result<Option<Guard>, GitError> {
        let (file, path) = open(repository)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Guard::new(file, repository))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(GitError::io("lock", &path)(error)),
        }
    }
}

fn open(repository: &Repository) -> Result<(File, PathBuf), GitError> {
    let path = repository.common_dir.join("kapell.lock");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    Ok((file.map_err(GitError::io("open", &path))?, path))
}

/// The turn in the git queue; it ends with this value and the last git started under it.
#[derive(Debug)]
pub struct Guard {
    file: File,
    recovered: Recovered,
}

/// What was found of killed gits.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Lock files that were in our way and were renamed to `….stale`: their new names.
    pub moved: Vec<PathBuf>,
    /// Old locks of the person's own checkout. They are left alone: a git may be waiting for an editor.
    pub left: Vec<PathBuf>,
}

impl Guard {
    fn new(file: File, repository: &Repository) -> Self {
        let recovered = recover(&repository.common_dir, Time::now());
        Self { file, recovered }
    }

    /// What was found of killed gits when the turn began.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The lock file for a child's stdin. All children started under the guard have it, so whoever has
    /// the lock knows that none of them lives any more.
    pub(super) fn share(&self) -> io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }
}

/// Clears what was killed in the middle, and moves aside what killed gits of ours left: the lock of the packed refs, and the locks in the
/// administrative folders of our worktrees.
fn recover(common_dir: &Path, now: Time) -> Recovered {
    let mut recovered = Recovered::default();
    // Administrative folders that were being made or deleted; nobody else is at that now.
    let halves = fs::read_dir(common_dir.join("kapell")).into_iter().flatten().flatten();
    for half in halves.filter(|entry| is_half(entry.file_name().as_encoded_bytes())) {
        // What stays is tried again next time.
        let _ = fs::remove_dir_all(half.path());
    }
    if let Some(moved) = set_aside(&common_dir.join("packed-refs.lock"), now) {
        recovered.moved.push(moved);
    }
    for admin_dir in admin_dirs(common_dir) {
        let is_ours = is_ours(&admin_dir);
        for name in ["index.lock", "kapell-index.lock", "HEAD.lock"] {
            let lock = admin_dir.join(name);
            if is_ours {
                recovered.moved.extend(set_aside(&lock, now));
            } else if is_stale(&lock, now) {
                recovered.left.push(lock);
            }
        }
    }
    for name in ["index.lock", "HEAD.lock", "config.lock"] {
        let lock = common_dir.join(name);
        if is_stale(&lock, now) {
            recovered.left.push(lock);
        }
    }
    recovered
}

/// Whether a name is of a folder that `worktree` makes aside (`new-…`) or takes away (`old-…`).
fn is_half(name: &[u8]) -> bool {
    name.starts_with(b"new-") || name.starts_with(b"old-")
}

/// Renames a stale lock; its new name. It is not deleted: it may hold the only copy of an index.
fn set_aside(lock: &Path, now: Time) -> Option<PathBuf> {
    if !is_stale(lock, now) {
        return None;
    }
    let mut name = lock.as_os_str().to_owned();
    name.push(".stale");
    fs::rename(lock, &name).ok()?;
    Some(name.into())
}

fn is_stale(lock: &Path, now: Time) -> bool {
    let modified = fs::symlink_metadata(lock).and_then(|metadata| metadata.modified());
    let Ok(age_zero) = modified else { return false };
    let Ok(since_epoch) = age_zero.duration_since(std::time::UNIX_EPOCH) else { return false };
    let modified = Time::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX));
    now.millis_since(modified) >= STALE_AFTER_MILLIS
}
