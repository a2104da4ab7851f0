//! The git queue: what git does not serialise itself, one after the other, across processes.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::run::{Git, GitError};
use super::worktree::{admin_dirs, is_ours};
use crate::base::clock::Time;
use crate::base::threads;

/// A lock file this old, with no git of ours alive, was left by a git that was killed.
const STALE_AFTER_MILLIS: i64 = 10_000;

/// Somebody who waits this long is told of.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the processes of one state folder take their turns, and who is told when somebody waits long.
///
/// The lock does not lie in the repository: workers read that, and whoever can open a file can lock it, which would
/// hold up whatever lands for as long as they like. Of the state folder they see nothing.
pub struct Queue {
    folder: PathBuf,
    told: Box<dyn Fn(&Waited) + Send + Sync>,
}

/// A wait for the turn that takes long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited {
    /// The repository, by its common directory.
    pub common_dir: PathBuf,
    /// How long it has taken so far.
    pub seconds: u64,
    /// The process that took the turn; a git that it started may have outlived it.
    pub holder: Option<i32>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.folder).finish()
    }
}

impl Queue {
    /// Turns are taken by locks in that folder, which nobody else may look into. `told` is called once for each wait
    /// that takes long, in a thread of its own.
    pub fn new(folder: PathBuf, told: impl Fn(&Waited) + Send + Sync + 'static) -> Self {
        Self { folder, told: Box::new(told) }
    }

    fn lock_of(&self, common_dir: &Path) -> Result<PathBuf, GitError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(GitError::io("create", &self.folder))?;
        let digest = Sha256::digest(common_dir.as_os_str().as_encoded_bytes());
        let name: String = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
        Ok(self.folder.join(format!("{name}.lock")))
    }
}

/// The queue of one repository: adding and removing worktrees, deleting refs, landing. Not for
/// snapshots, diffs and merges, which may run side by side.
impl Git {
    /// Waits for the turn in the git queue. A process or thread that has the guard must not ask again: it would wait
    /// for itself.
    ///
    /// Locks that a killed git left behind are moved aside (see [`Guard::recovered`]).
    pub fn turn(&self) -> Result<Guard, GitError> {
        let (file, path) = open(self)?;
        match file.try_lock() {
            Ok(()) => return Ok(Guard::new(file, self)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(GitError::io("lock", &path)(error)),
        }
        let waits = self.program().queue().map(|queue| tell_later(queue, self, &path));
        loop {
            match file.lock() {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(GitError::io("lock", &path)(error)),
            }
        }
        drop(waits);
        Ok(Guard::new(file, self))
    }

    /// The turn, if nobody has it.
    pub fn try_turn(&self) -> Result<Option<Guard>, GitError> {
        let (file, path) = open(self)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Guard::new(file, self))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(GitError::io("lock", &path)(error)),
        }
    }
}

/// Tells of a wait if it is not over before long; it is over as soon as what this gives is dropped.
fn tell_later(queue: &Arc<Queue>, git: &Git, path: &Path) -> Sender<()> {
    let (waits, is_over) = channel();
    let (queue, path) = (Arc::clone(queue), path.to_path_buf());
    let common_dir = git.repository().common_dir.clone();
    let tell = move || {
        if is_over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let holder = text.trim().parse().ok();
            (queue.told)(&Waited { common_dir, seconds: PATIENCE.as_secs(), holder });
        }
    };
    // Not waited for: whoever has the turn by then need not hear of it. Without a thread nobody is told, that is all.
    let _ = threads::start("kapell-queue", Box::new(tell));
    waits
}

fn open(git: &Git) -> Result<(File, PathBuf), GitError> {
    let common_dir = &git.repository().common_dir;
    let path = match git.program().queue() {
        Some(queue) => queue.lock_of(common_dir)?,
        None => common_dir.join("kapell.lock"),
    };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
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
    fn new(file: File, git: &Git) -> Self {
        // For whoever waits; on a full disk they are told less.
        let _ = file.write_all_at(format!("{:<10}\n", std::process::id()).as_bytes(), 0);
        let recovered = recover(&git.repository().common_dir, Time::now());
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
