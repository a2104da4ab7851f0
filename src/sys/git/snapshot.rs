//! Snapshots: what a tree holds, as a commit under a ref, made without its index or its `.git`.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::change::{Change, changed_between};
use super::exec::Finished;
use super::run::{Call, Git, GitError, unexpected};
use super::unchanged::{Look, Seen};
use super::worktree::{Keeper, Worktree, seed_index};
use super::{Oid, checkout, refs, scan};
use crate::base::failpoint::Point;
use crate::base::ids::random_tail;
use crate::base::paths::RepoPath;

/// Files above this size are not saved unless a request says otherwise.
pub const LARGEST_FILE: u64 = 1 << 30;

/// How long git may take before the tree is searched for files that make it wait for ever.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 2000 });

/// How often a tree that changes meanwhile is read again.
const TRIES: usize = 3;

/// What to save, and where.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The tree.
    pub tree: &'a Worktree,
    /// The commit that its work began from.
    pub base: &'a Oid,
    /// The ref, under `refs/kapell/`.
    pub reference: &'a str,
    /// What the ref holds now, as the caller knows it; `None` if it should not exist.
    pub expected: Option<&'a Oid>,
    /// The commit's message.
    pub message: &'a str,
    /// A folder for a private index.
    pub scratch: &'a Path,
    /// Whether a tree that is as the base has it gets a commit and a ref too. It needs none to be found again.
    pub keeps_base: bool,
    /// Larger files are left out and reported, in bytes; [`LARGEST_FILE`] is usual.
    pub largest: u64,
    /// Whether changed files are saved byte for byte, and not as git would commit them (line ends, encodings).
    pub is_exact: bool,
}

/// A saved state of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit. Its parents are the base and the snapshot that the ref held before, so that no
    /// checkpoint depends on a reflog. The base itself, where nothing else was to be kept.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
    /// The commit that the work began from.
    pub base: Oid,
    /// The ref that holds it.
    pub reference: String,
    /// What differs from the base.
    pub changed: Vec<Change>,
    /// Repositories that somebody made inside the tree, and folders of submodules that hold files.
    /// Nothing in them is saved.
    pub nested: Vec<RepoPath>,
    /// Files that are not saved as they are.
    pub skipped: Vec<Skipped>,
    /// Files that git ignores, not saved; a folder stands for all in it and ends with `/`.
    pub ignored: Vec<RepoPath>,
    /// The size limit it was made with.
    pub largest: u64,
}

impl Snapshot {
    /// The ref that keeps it; none is needed where it is the base.
    pub fn kept(&self) -> Option<&str> {
        (self.commit != self.base).then_some(self.reference.as_str())
    }
}

/// A file that a snapshot does not hold as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Which.
    pub path: RepoPath,
    /// Why.
    pub why: SkipReason,
}

impl Skipped {
    /// Whether something is lost when the file is.
    pub fn has_content(&self) -> bool {
        matches!(
            self.why,
            SkipReason::Unreadable | SkipReason::TooLarge(_) | SkipReason::Name | SkipReason::Before
        )
    }
}

/// Why a file is not saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// A pipe, socket or device.
    #[error("is a pipe, socket or device")]
    Special,
    /// A pipe or device of a name where git reads rules. git would wait for it for ever, so it was removed.
    #[error("was a pipe or device where git reads rules, and was removed")]
    Removed,
    /// Permission is missing.
    #[error("cannot be read")]
    Unreadable,
    /// It has this many bytes.
    #[error("is too large ({0} bytes)")]
    TooLarge(u64),
    /// git takes it for its own folder, here or on some system.
    #[error("has a name that git does not take")]
    Name,
    /// It was not saved when its tree was.
    #[error("could not be read")]
    Before,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The tree is not there any more.
    #[error("the tree {} {why}", path.display())]
    TreeGone {
        /// Where it was.
        path: PathBuf,
        /// What is there instead.
        why: &'static str,
    },
    /// Permission for the tree's own folder is missing.
    #[error("the tree {} gives no permission to look into it", path.display())]
    TreeClosed {
        /// Where it is.
        path: PathBuf,
    },
    /// The ref does not hold what the caller expected: somebody else saved this attempt.
    #[error("{reference} has moved to {}", now.as_ref().map_or("nothing", Oid::as_str))]
    RefMoved {
        /// The ref.
        reference: String,
        /// What it holds.
        now: Option<Oid>,
    },
    /// git or the file system failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Saves everything in the tree that git does not ignore. The tree is not changed; a worker may be alive
/// in it. When nothing changed since the snapshot that the ref holds, that one is the answer.
pub fn snapshot(git: &Git, request: &Request<'_>) -> Result<Snapshot, SnapshotError> {
    let mut expected = request.expected.cloned();
    for _ in 1..TRIES {
        match attempt(git, request, expected.as_ref()) {
            // git writes no ref to a commit that is not there, and there is nothing new but the commit.
            Ok((taken, true)) => return Ok(taken),
            Ok((taken, _)) if super::read::is_whole(git, &taken.commit, request.base)? => return Ok(taken),
            // A `gc` of somebody's deleted objects before the ref held them: write them again.
            Ok((taken, _)) => expected = Some(taken.commit),
            Err(SnapshotError::Git(GitError::Failed { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    attempt(git, request, expected.as_ref()).map(|(taken, _)| taken)
}

/// Takes a snapshot, and tells whether it is the base's tree under a new commit.
fn attempt(
    git: &Git,
    request: &Request<'_>,
    expected: Option<&Oid>,
) -> Result<(Snapshot, bool), SnapshotError> {
    let Request { tree, base, reference, message, scratch, largest, is_exact, .. } = *request;
    let moved = |now| SnapshotError::RefMoved { reference: reference.to_owned(), now };
    let captured = capture(git, tree, base, scratch, largest, is_exact)?;
    let Captured { tree: saved, is_base, nested, skipped, ignored } = captured;
    let now = refs::read(git, reference)?;
    if now.as_ref() != expected {
        return Err(moved(now));
    }
    // A snapshot that lost objects would make this one incomplete too.
    let previous = match expected {
        Some(previous) if super::read::is_whole(git, previous, base)? => Some(previous),
        _ => None,
    };
    let commit = match previous {
        None if is_base && expected.is_none() && !request.keeps_base => base.clone(),
        Some(previous) if super::read::tree_of(git, previous)? == saved => previous.clone(),
        _ => {
            let parents: Vec<&Oid> = [Some(base), previous].into_iter().flatten().collect();
            Point::SnapshotCaptured.reach().map_err(GitError::from)?;
            let commit = super::land::commit_tree(git, &saved, &parents, message)?;
            Point::SnapshotCommitted.reach().map_err(GitError::from)?;
            match refs::update(git, reference, &commit, expected, message)? {
                refs::Update::Done => commit,
                refs::Update::Moved { now } => return Err(moved(now)),
            }
        }
    };
    let changed = if is_base { Vec::new() } else { changed_between(git, base, &saved)? };
    let (base, reference) = (base.clone(), reference.to_owned());
    let snapshot =
        Snapshot { commit, tree: saved, base, reference, changed, nested, skipped, ignored, largest };
    Ok((snapshot, is_base && previous.is_none()))
}

/// What a tree holds now, as a tree among git's objects, for whoever looks at it while its worker is at it:
/// without a commit and a ref, so that nobody's snapshot knows of it. Larger files are as the base has them.
pub fn present(
    git: &Git,
    tree: &Worktree,
    base: &Oid,
    scratch: &Path,
    largest: u64,
) -> Result<Oid, SnapshotError> {
    Ok(capture(git, tree, base, scratch, largest, false)?.tree)
}

/// What a tree holds now.
pub(super) struct Captured {
    pub tree: Oid,
    /// Whether that is surely the base's tree: git was not asked for what differs, since nothing does.
    pub is_base: bool,
    pub nested: Vec<RepoPath>,
    pub skipped: Vec<Skipped>,
    pub ignored: Vec<RepoPath>,
}

/// Writes what the tree holds into the object store, with an index of its own.
pub(super) fn capture(
    git: &Git,
    tree: &Worktree,
    base: &Oid,
    scratch: &Path,
    largest: u64,
    is_exact: bool,
) -> Result<Captured, SnapshotError> {
    require_tree(tree)?;
    // A worker's own tree is looked at once, and mostly changed.
    let look = if tree.keeper == Keeper::Person { Look::at(git, tree) } else { None };
    let ignored = look.as_ref().and_then(|look| git.seen().as_ref()?.ignored(look, tree, base));
    if let Some(ignored) = ignored {
        let saved = super::read::remembered_tree(git, base)?;
        let (nested, skipped) = (Vec::new(), Vec::new());
        return Ok(Captured { tree: saved, is_base: true, nested, skipped, ignored });
    }
    fs::create_dir_all(scratch).map_err(GitError::io("create", scratch))?;
    let index = OwnIndex(scratch.join(format!("index-{}", random_tail(10))));
    let mut removed = Vec::new();
    let mut tries = 0;
    let mut is_base;
    let status = loop {
        tries += 1;
        let is_sure = seed_index(git, tree, base, &index.0)?;
        let status = read_status(git, tree, &index, &mut removed)?;
        let (gone, kept, skipped) = sort_out(tree, &status.changed, largest);
        is_base = is_sure && gone.is_empty() && kept.is_empty();
        let updated = match is_exact {
            true => add_exactly(git, tree, &index, kept),
            false => Ok(kept),
        };
        let kept = match updated {
            Ok(kept) => kept,
            Err(GitError::Failed { .. }) if tries < TRIES => {
                index.remove();
                continue;
            }
            Err(error) => return Err(missing_or(tree, error)),
        };
        match update(git, tree, base, &index, &gone, &kept, &mut removed) {
            Ok(refused) => {
                break Status { skipped: [skipped, refused].concat(), ..status };
            }
            // A file changed or went away between looking and reading.
            Err(GitError::Failed { .. }) if tries < TRIES => index.remove(),
            Err(error) => return Err(missing_or(tree, error)),
        }
    };
    let barriers = super::read::barriers(git, base)?;
    let unsaid = unsaid(git, tree, &index, &status, &barriers.gitlinks)?;
    let mut nested = status.nested;
    // git shows nothing of what lies in the folder of a submodule.
    for path in &barriers.gitlinks {
        let folder = tree.path.join(path.to_path_buf());
        if fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) && !is_empty(&folder) {
            nested.push(path.clone());
        }
    }
    let saved = match is_base {
        true => super::read::remembered_tree(git, base)?,
        false => git.tree_call(tree, "write-tree").index(&index.0).run_for_oid()?,
    };
    let mut skipped = [status.skipped, unsaid].concat();
    skipped.extend(removed.into_iter().map(|path| Skipped { path, why: SkipReason::Removed }));
    if let Some(look) = look.filter(|_| is_base && nested.is_empty() && skipped.is_empty()) {
        *git.seen() = Some(Seen::new(look, tree, base, status.ignored.clone()));
    }
    Ok(Captured { tree: saved, is_base, nested, skipped, ignored: status.ignored })
}

/// Refuses a tree that went away. An empty folder is one too: a worker's tree has at least its `.git`.
pub(super) fn require_tree(tree: &Worktree) -> Result<(), SnapshotError> {
    let gone = |why| Err(SnapshotError::TreeGone { path: tree.path.clone(), why });
    match fs::symlink_metadata(&tree.path) {
        Ok(metadata) if metadata.is_symlink() => gone("is a symbolic link now"),
        Ok(metadata) if !metadata.is_dir() => gone("is a file now"),
        Ok(_) if tree.keeper == Keeper::Worker && is_empty(&tree.path) => gone("is empty"),
        Ok(_) if is_closed(&tree.path) => Err(SnapshotError::TreeClosed { path: tree.path.clone() }),
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            gone("does not exist any more")
        }
        Err(error) => Err(GitError::io("read", &tree.path)(error).into()),
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Whether nobody may list a folder, or enter it.
fn is_closed(folder: &Path) -> bool {
    let looked = fs::read_dir(folder).and_then(|_| fs::symlink_metadata(folder.join(".")));
    looked.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// The cause of a failure: the tree that went away meanwhile, or what git says.
fn missing_or(tree: &Worktree, error: GitError) -> SnapshotError {
    require_tree(tree).err().unwrap_or(SnapshotError::Git(error))
}

/// A private index file, deleted when it is not needed any more.
struct OwnIndex(PathBuf);

impl OwnIndex {
    fn remove(&self) {
        let mut lock = self.0.as_os_str().to_owned();
        lock.push(".lock");
        for path in [self.0.as_path(), Path::new(&lock)] {
            // Whatever stays is in a scratch folder.
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for OwnIndex {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Runs git on a worker's files. When it takes long, pipes and devices on which it would wait for ever are
/// removed from the tree, and it is run again.
pub(super) fn patiently<'a>(
    tree: &Worktree,
    removed: &mut Vec<RepoPath>,
    call: impl Fn() -> Call<'a>,
) -> Result<Finished, GitError> {
    for _ in 0..TRIES {
        let mut hazards = Vec::new();
        let mut stalled = || {
            hazards = scan::clear_hazards(&tree.path);
            !hazards.is_empty()
        };
        let result = call().finish_watched(PATIENCE, &mut stalled);
        if hazards.is_empty() {
            return result;
        }
        removed.append(&mut hazards);
    }
    call().finish()
}

/// What `git status` found.
#[derive(Default)]
struct Status {
    /// Path and the letter of its change in the tree; `?` for a new one.
    changed: Vec<(RepoPath, u8)>,
    nested: Vec<RepoPath>,
    ignored: Vec<RepoPath>,
    skipped: Vec<Skipped>,
    /// What it complained about.
    complaints: String,
}

fn read_status(
    git: &Git,
    tree: &Worktree,
    index: &OwnIndex,
    removed: &mut Vec<RepoPath>,
) -> Result<Status, SnapshotError> {
    let finished = patiently(tree, removed, || {
        git.tree_call(tree, "status").index(&index.0).args([
            "--porcelain=v2",
            "-z",
            "--untracked-files=all",
            "--ignored=matching",
            "--no-renames",
            // Looking into a submodule starts a git there, by discovery.
            "--ignore-submodules=all",
        ])
    });
    let finished = finished.map_err(|error| missing_or(tree, error))?;
    let mut status = parse_status(&finished.stdout).ok_or_else(|| unexpected("status", &finished.stdout))?;
    status.complaints = finished.stderr;
    Ok(status)
}

/// What git says nothing of, or only complains about, and what is not in its answers otherwise. What it ignores is
/// not missed.
fn unsaid(
    git: &Git,
    tree: &Worktree,
    index: &OwnIndex,
    status: &Status,
    gitlinks: &BTreeSet<RepoPath>,
) -> Result<Vec<Skipped>, GitError> {
    let ignored = status.ignored.iter().filter_map(|path| path.as_bytes().strip_suffix(b"/"));
    let known: HashSet<&[u8]> =
        ignored.chain(status.nested.iter().chain(gitlinks).map(RepoPath::as_bytes)).collect();
    let mut found = scan::survey(&tree.path, |path| known.contains(path.as_bytes()));
    let told: HashSet<&RepoPath> = status.skipped.iter().map(|skipped| &skipped.path).collect();
    found.retain(|skipped| !told.contains(&skipped.path));
    let is_unreadable = |skipped: &&Skipped| skipped.why == SkipReason::Unreadable;
    let unreadable = found.iter().chain(&status.skipped).filter(is_unreadable).map(|skipped| &skipped.path);
    let is_unexplained = scan::is_unexplained(&status.complaints, unreadable.chain(&status.ignored));
    if !found.is_empty() {
        let paths: Vec<RepoPath> = found.iter().map(|skipped| skipped.path.clone()).collect();
        let call = git.tree_call(tree, "check-ignore").index(&index.0);
        let ignored = checkout::ignored_by(call, &paths)?;
        found.retain(|skipped| !ignored.contains(&skipped.path));
    }
    // Whatever it is, it is not saved, and nothing that is told of the tree says so.
    if is_unexplained && !found.iter().chain(&status.skipped).any(|skipped| is_unreadable(&skipped)) {
        found.push(Skipped { path: RepoPath::from("."), why: SkipReason::Unreadable });
    }
    Ok(found)
}

/// Reads porcelain v2: `1 XY SUB mH mI mW hH hI PATH`, `? PATH`, `! PATH`, each ended by NUL.
fn parse_status(printed: &[u8]) -> Option<Status> {
    let mut status = Status::default();
    for record in printed.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let (kind, rest) = (record[0], record.get(2..)?);
        match kind {
            // New, with all in it: a repository inside the tree is listed as a folder.
            b'?' if rest.ends_with(b"/") => status.nested.push(RepoPath::from_bytes(&rest[..rest.len() - 1])),
            b'?' => status.changed.push((RepoPath::from_bytes(rest), b'?')),
            b'!' => status.ignored.push(RepoPath::from_bytes(rest)),
            b'1' | b'u' => {
                let letter = *rest.get(1)?;
                let words_before_path = if kind == b'1' { 7 } else { 9 };
                let path = rest.splitn(words_before_path + 1, |byte| *byte == b' ').nth(words_before_path)?;
                if letter != b'.' {
                    status.changed.push((RepoPath::from_bytes(path), letter));
                }
            }
            _ => return None,
        }
    }
    Some(status)
}

/// Divides changed paths into those that are gone, those to read, and those that cannot be read.
fn sort_out(
    tree: &Worktree,
    changed: &[(RepoPath, u8)],
    largest: u64,
) -> (Vec<RepoPath>, Vec<RepoPath>, Vec<Skipped>) {
    let (mut gone, mut kept, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for (path, letter) in changed {
        if *letter == b'D' {
            gone.push(path.clone());
            continue;
        }
        let file = tree.path.join(path.to_path_buf());
        let metadata = match fs::symlink_metadata(&file) {
            Ok(metadata) => metadata,
            Err(error) if scan::is_gone(&error) => {
                gone.push(path.clone());
                continue;
            }
            Err(_) => {
                skipped.push(Skipped { path: path.clone(), why: SkipReason::Unreadable });
                continue;
            }
        };
        let why = if metadata.is_symlink() {
            None
        } else if metadata.is_dir() {
            // Files are in the place of a file now; they are listed by themselves.
            gone.push(path.clone());
            continue;
        } else if !metadata.is_file() {
            Some(SkipReason::Special)
        } else if metadata.len() > largest {
            Some(SkipReason::TooLarge(metadata.len()))
        } else if !can_read(&file) {
            Some(SkipReason::Unreadable)
        } else {
            None
        };
        match why {
            None => kept.push(path.clone()),
            Some(why) => skipped.push(Skipped { path: path.clone(), why }),
        }
    }
    (gone, kept, skipped)
}

/// Whether a file opens for reading, without waiting if it has become a pipe.
#[cfg(unix)]
fn can_read(file: &Path) -> bool {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(file, flags, Mode::empty()).is_ok()
}

#[cfg(not(unix))]
fn can_read(file: &Path) -> bool {
    fs::File::open(file).is_ok()
}

/// Adds plain files to an index as they are. Gives those that git has to add itself: links, and names that
/// its list cannot have.
fn add_exactly(
    git: &Git,
    tree: &Worktree,
    index: &OwnIndex,
    kept: Vec<RepoPath>,
) -> Result<Vec<RepoPath>, GitError> {
    let mut plain = Vec::new();
    let mut rest = Vec::new();
    for path in kept {
        let metadata = fs::symlink_metadata(tree.path.join(path.to_path_buf()));
        let is_listable = !path.as_bytes().contains(&b'\n') && !path.as_bytes().starts_with(b"\"");
        match metadata {
            Ok(metadata) if metadata.is_file() && is_listable => plain.push((path, is_executable(&metadata))),
            _ => rest.push(path),
        }
    }
    if plain.is_empty() {
        return Ok(rest);
    }
    let names: Vec<u8> = plain.iter().flat_map(|(path, _)| [path.as_bytes(), b"\n"].concat()).collect();
    let call = git.tree_call(tree, "hash-object").args(["-w", "--no-filters", "--stdin-paths"]);
    let printed = call.stdin(names).run()?;
    let text = String::from_utf8_lossy(&printed);
    let oids: Vec<Oid> = text.lines().filter_map(Oid::parse).collect();
    if oids.len() != plain.len() {
        return Err(unexpected("hash-object", &printed));
    }
    let mut input = Vec::new();
    for ((path, is_executable), oid) in plain.iter().zip(oids) {
        let mode = if *is_executable { "100755" } else { "100644" };
        input.extend_from_slice(format!("{mode} {oid}\t").as_bytes());
        input.extend_from_slice(path.as_bytes());
        input.push(0);
    }
    git.tree_call(tree, "update-index").index(&index.0).args(["-z", "--index-info"]).stdin(input).run()?;
    Ok(rest)
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &fs::Metadata) -> bool {
    false
}

/// Takes paths out of an index, and others in; gives those that git does not take.
fn update(
    git: &Git,
    tree: &Worktree,
    base: &Oid,
    index: &OwnIndex,
    gone: &[RepoPath],
    kept: &[RepoPath],
    removed: &mut Vec<RepoPath>,
) -> Result<Vec<Skipped>, GitError> {
    let call = || git.tree_call(tree, "update-index").index(&index.0).arg("-z");
    if !gone.is_empty() {
        let zero = base.zero();
        let mut input = Vec::new();
        for path in gone {
            input.extend_from_slice(format!("0 {zero}\t").as_bytes());
            input.extend_from_slice(path.as_bytes());
            input.push(0);
        }
        call().arg("--index-info").stdin(input).run()?;
    }
    if !kept.is_empty() {
        let mut input = Vec::new();
        for path in kept {
            input.extend_from_slice(path.as_bytes());
            input.push(0);
        }
        let updated = patiently(tree, removed, || {
            // The lock of a run that was stopped; nobody else knows this index.
            let mut lock = index.0.as_os_str().to_owned();
            lock.push(".lock");
            let _ = fs::remove_file(lock);
            call().args(["--add", "--remove", "--replace", "--stdin"]).stdin(input.clone())
        })?;
        // It says so, and ends well (`update_one` in `builtin/update-index.c`).
        let is_refused = |path: &RepoPath| {
            let name = String::from_utf8_lossy(path.as_bytes());
            updated.stderr.contains(&format!("Ignoring path {name}\n"))
        };
        if !updated.stderr.is_empty() {
            let refused = kept.iter().filter(|path| is_refused(path));
            return Ok(refused.map(|path| Skipped { path: path.clone(), why: SkipReason::Name }).collect());
        }
    }
    Ok(Vec::new())
}
