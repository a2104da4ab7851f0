//! Whether a tree is still as git last saw it: by what the file system tells of each file and folder, for much less
//! than git's own start costs. Attempts in a person's folder of which many change nothing (they answer, test,
//! review) are looked at so, one after the other.
//!
//! What is trusted is what git itself trusts of an index: place, size, mode and the time of the last change, which
//! nobody sets at will. One thing more than git: nothing may have changed so shortly before a look that a second change
//! would bear the same time.

use std::fs;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::Oid;
use super::run::Git;
use super::worktree::Worktree;
use crate::base::clock::Time;
use crate::base::paths::RepoPath;

/// More files and folders than these are git's to look at.
const MOST: usize = 4096;

/// What was seen is good for this long: whatever else decides what git ignores, as a file that its configuration
/// includes, is read again by then.
const FRESH: Duration = Duration::from_secs(10);

/// As long ago the last change must be. Clocks of file systems step by up to 10 ms.
const SETTLED: Duration = Duration::from_millis(100);

/// Files of git's that say what is ignored, beside the tree.
const RULES: [&str; 4] = ["config", "config.worktree", "info/exclude", "info/attributes"];

/// A tree that was as its base has it, but for what git ignores.
#[derive(Debug)]
pub(super) struct Seen {
    look: Look,
    base: Oid,
    path: PathBuf,
    at: Instant,
    ignored: Vec<RepoPath>,
}

impl Seen {
    /// That git found nothing in a tree but what it ignores, after a `look` that was taken before.
    pub(super) fn new(look: Look, tree: &Worktree, base: &Oid, ignored: Vec<RepoPath>) -> Self {
        Self { look, base: base.clone(), path: tree.path.clone(), at: Instant::now(), ignored }
    }

    /// What git ignores in it, where it is the same tree on the same base and nothing was touched since.
    pub(super) fn ignored(&self, look: &Look, tree: &Worktree, base: &Oid) -> Option<Vec<RepoPath>> {
        let is_it =
            self.look == *look && self.base == *base && self.path == tree.path && self.at.elapsed() < FRESH;
        is_it.then(|| self.ignored.clone())
    }
}

/// A tree at one moment. Two equal ones are of the same content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look(u64);

impl Look {
    /// Looks at a tree; `None` of one that is large, cannot be seen whole, or changes just now.
    pub(super) fn at(git: &Git, tree: &Worktree) -> Option<Self> {
        Self::as_of(git, tree, Time::now())
    }

    /// The same, at a moment that tests choose.
    pub(super) fn as_of(git: &Git, tree: &Worktree, now: Time) -> Option<Self> {
        static SEED: OnceLock<RandomState> = OnceLock::new();
        let mut looking = Looking {
            // Seeded at random, so that nobody can make two trees that look the same.
            hasher: SEED.get_or_init(RandomState::new).build_hasher(),
            latest: Duration::ZERO,
            left: MOST,
        };
        let now = Duration::from_millis(u64::try_from(now.as_millis()).ok()?);
        looking.folder(&tree.path, true)?;
        let repository = git.repository();
        for folder in [&repository.common_dir, &repository.git_dir] {
            RULES.iter().for_each(|name| looking.rules(&folder.join(name)));
        }
        git.program().rules().for_each(|path| looking.rules(&path));
        (looking.latest + SETTLED < now).then(|| Self(looking.hasher.finish()))
    }
}

struct Looking {
    hasher: std::hash::DefaultHasher,
    /// The time of the latest change, since the epoch.
    latest: Duration,
    left: usize,
}

impl Looking {
    fn folder(&mut self, folder: &Path, is_top: bool) -> Option<()> {
        self.take(&fs::symlink_metadata(folder).ok()?)?;
        for entry in fs::read_dir(folder).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name();
            if is_top && name == ".git" {
                continue;
            }
            name.as_bytes().hash(&mut self.hasher);
            let found = entry.metadata().ok()?;
            match found.is_dir() {
                true => self.folder(&entry.path(), false)?,
                false => self.take(&found)?,
            }
        }
        // The end of a folder, so that what follows is not in it.
        0_u8.hash(&mut self.hasher);
        Some(())
    }

    fn take(&mut self, found: &fs::Metadata) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        let place = (found.dev(), found.ino(), found.mode(), found.size());
        let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
        (place, times).hash(&mut self.hasher);
        let nanos = u32::try_from(found.ctime_nsec()).ok()?;
        self.latest = self.latest.max(Duration::new(u64::try_from(found.ctime()).ok()?, nanos));
        Some(())
    }

    /// A file that may not be there.
    fn rules(&mut self, path: &Path) {
        match fs::metadata(path) {
            // Of these there are few.
            Ok(found) => drop(self.take(&found)),
            Err(_) => 1_u8.hash(&mut self.hasher),
        }
    }
}
