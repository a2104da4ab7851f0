//! Workers' trees: made in one step that others see whole or not at all, reused, and removed only
//! when everything in them is saved.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::discover::{Repository, link_target};
use super::queue::Guard;
use super::run::{Git, GitError};
use super::snapshot::{self, Captured, Skipped, Snapshot, SnapshotError};
use super::{DiscoverError, Oid, change, refs, scan};
use crate::base::failpoint::Point;
use crate::base::ids::random_tail;
use crate::base::paths::RepoPath;

/// The start of the file `locked` in the administrative folder of a worktree of ours. It also keeps
/// `git worktree prune` and `remove` away from it.
const MARK: &[u8] = b"kapell";

/// The index that Kapell keeps of a tree, as it was checked out; the worker's own is beside it.
pub(super) const OWN_INDEX: &str = "kapell-index";

/// The commit that [`OWN_INDEX`] is of. It is written last: a tree that has it is whole.
pub(super) const OWN_BASE: &str = "kapell-base";

/// Whose files a tree holds, which decides whose configuration is used on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keeper {
    /// A worker's: the person's configuration does not apply, filter drivers are off.
    Worker,
    /// A person's own checkout, made with that person's configuration.
    Person,
}

/// A folder with files of a repository, and the administrative folder that really belongs to it
/// (`COMMON_DIR/worktrees/NAME`), whatever its `.git` file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    /// The top folder, canonical.
    pub path: PathBuf,
    /// git's folder for it.
    pub admin_dir: PathBuf,
    /// Whose files they are.
    pub keeper: Keeper,
}

impl Worktree {
    /// A person's own checkout.
    pub fn of_checkout(repository: &Repository) -> Result<Self, DiscoverError> {
        let path = repository.require_top()?.to_path_buf();
        Ok(Self { path, admin_dir: repository.git_dir.clone(), keeper: Keeper::Person })
    }

    /// Finds a worker's tree again by its folder (which may be gone), from our side: its `.git` file is not read.
    pub fn find(git: &Git, path: &Path) -> Option<Self> {
        let path = canonical_even_if_gone(path);
        let entries = fs::read_dir(git.repository().common_dir.join("worktrees")).ok()?;
        let admin_dir = entries.flatten().map(|entry| entry.path()).find(|admin_dir| {
            is_ours(admin_dir)
                && fs::read(admin_dir.join("gitdir")).is_ok_and(|link| link == gitdir_line(&path))
        })?;
        Some(Self { path, admin_dir, keeper: Keeper::Worker })
    }

    /// All workers' trees, also those whose folder is gone.
    pub(super) fn all(git: &Git) -> Vec<Self> {
        let entries = fs::read_dir(git.repository().common_dir.join("worktrees")).into_iter().flatten();
        let admin_dirs = entries.flatten().map(|entry| entry.path()).filter(|admin_dir| is_ours(admin_dir));
        let tree = |admin_dir: PathBuf| {
            let link = fs::read(admin_dir.join("gitdir")).ok()?;
            let path = PathBuf::from(OsStr::from_bytes(link.strip_suffix(b"/.git\n")?));
            Some(Self { path, admin_dir, keeper: Keeper::Worker })
        };
        admin_dirs.filter_map(tree).collect()
    }

    /// The name of its administrative folder, unique in the repository.
    pub fn name(&self) -> String {
        self.admin_dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Gives this user back the rights to folders of its own that a worker closed, those of `paths` and all below
    /// them; git records no folder's rights, so that nothing else changes by it. Only once nobody is at work in the
    /// tree. Whether there were any.
    pub fn open_up<'p>(&self, paths: impl IntoIterator<Item = &'p RepoPath>) -> bool {
        self.keeper == Keeper::Worker && scan::open_up(&self.path, paths)
    }

    /// The commit it was last checked out at; `None` while that is not complete.
    pub fn base(&self) -> Option<Oid> {
        Oid::parse(fs::read_to_string(self.admin_dir.join(OWN_BASE)).ok()?.trim_end())
    }
}

/// git's administrative folders of all linked worktrees.
pub(super) fn admin_dirs(common_dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(common_dir.join("worktrees")).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The tops of the linked worktrees of a repository, as far as they are there.
pub fn tops(common_dir: &Path) -> impl Iterator<Item = PathBuf> {
    admin_dirs(common_dir).filter_map(|admin_dir| {
        let link = fs::read(admin_dir.join("gitdir")).ok()?;
        let link = Path::new(OsStr::from_bytes(link.trim_ascii_end()));
        // It may be relative to the folder that it stands in.
        admin_dir.join(link).parent()?.canonicalize().ok()
    })
}

/// Whether an administrative folder is of a worktree that Kapell made.
pub(super) fn is_ours(admin_dir: &Path) -> bool {
    fs::read(admin_dir.join("locked")).is_ok_and(|text| text.starts_with(MARK))
}

/// Why a worktree could not be made, reused or removed.
#[derive(Debug, thiserror::Error)]
pub enum WorktreeError {
    /// Something is where the tree should be.
    #[error("{} is not empty", path.display())]
    Occupied {
        /// The destination.
        path: PathBuf,
    },
    /// Files would be lost.
    #[error("{} holds work that is not saved: {}", path.display(), shown(unsaved))]
    Unsaved {
        /// The tree.
        path: PathBuf,
        /// What is not in the snapshot.
        unsaved: Vec<RepoPath>,
    },
    /// The snapshot is not held by its ref, so that git may delete it at any time, or already did.
    #[error("{commit} is not saved: {reference} does not hold it, or objects of it are missing")]
    Unheld {
        /// The snapshot's commit.
        commit: Oid,
        /// The ref that should hold it.
        reference: String,
    },
    /// The tree could not be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// git or the file system failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

fn shown(paths: &[RepoPath]) -> String {
    let mut text: Vec<String> = paths.iter().take(5).map(RepoPath::to_string).collect();
    if paths.len() > 5 {
        text.push(format!("and {} more", paths.len() - 5));
    }
    text.join(", ")
}

/// Makes a worktree at `dest` with `commit` checked out, `HEAD` detached. The queue is let go before
/// the files are written. What a killed call left at `dest` is completed.
///
/// Measured against `git worktree add`: one process and two checkout workers instead of three in a row.
pub fn add(git: &Git, guard: Guard, dest: &Path, commit: &Oid) -> Result<Worktree, WorktreeError> {
    let tree = register(git, &guard, dest, commit)?;
    drop(guard);
    Point::WorktreeRegistered.reach().map_err(GitError::from)?;
    check_out(git, &tree, commit, &tree.admin_dir.join("index"))?;
    Point::WorktreeCheckedOut.reach().map_err(GitError::from)?;
    finish_checkout(&tree, "index", OWN_INDEX, commit)?;
    Ok(tree)
}

fn register(git: &Git, guard: &Guard, dest: &Path, commit: &Oid) -> Result<Worktree, WorktreeError> {
    fs::create_dir_all(dest).map_err(GitError::io("create", dest))?;
    let path = fs::canonicalize(dest).map_err(GitError::io("read", dest))?;
    if let Some(tree) = Worktree::find(git, &path) {
        // A killed `add` of ours; a whole tree may hold somebody's work.
        if tree.base().is_some() {
            return Err(WorktreeError::Occupied { path });
        }
        let _ = fs::remove_file(tree.admin_dir.join("index.lock"));
        restore_link(&tree)?;
        write_whole(&tree.admin_dir.join("HEAD"), &line(commit.as_str().as_bytes()))?;
        return Ok(tree);
    }
    let entries = fs::read_dir(&path).map_err(GitError::io("list", &path))?;
    let mut others = entries.flatten().filter(|entry| match entry.file_name().as_encoded_bytes() {
        b".git" => !is_dead_link(&entry.path()),
        // A link that a killed `add` had not given its name yet.
        name if name.starts_with(b".git.") => fs::remove_file(entry.path()).is_err(),
        _ => true,
    });
    if others.next().is_some() {
        return Err(WorktreeError::Occupied { path });
    }
    let common_dir = &git.repository().common_dir;
    let admin_dir = if common_dir.join("reftable").is_dir() {
        register_by_git(git, guard, &path, commit)?
    } else {
        register_whole(common_dir, &path, commit)?
    };
    Ok(Worktree { path, admin_dir, keeper: Keeper::Worker })
}

/// Builds the administrative folder aside and renames it into place. `git worktree add` builds it in
/// place, where a `git gc` or `prune` of the same moment finds it half made and fails, or deletes it.
fn register_whole(common_dir: &Path, path: &Path, commit: &Oid) -> Result<PathBuf, GitError> {
    let worktrees = common_dir.join("worktrees");
    let aside = common_dir.join("kapell").join(format!("new-{}", random_tail(10)));
    fs::create_dir_all(&aside).map_err(GitError::io("create", &aside))?;
    let admin_dir = free_admin_dir(common_dir, &admin_name(path));
    write_whole(&aside.join("HEAD"), &line(commit.as_str().as_bytes()))?;
    write_whole(&aside.join("commondir"), b"../..\n")?;
    write_whole(&aside.join("gitdir"), &gitdir_line(path))?;
    write_whole(
        &aside.join("locked"),
        b"kapell: a worker's tree, removed by kapell when its work is saved\n",
    )?;
    let mut link = b"gitdir: ".to_vec();
    link.extend_from_slice(&line(admin_dir.as_os_str().as_encoded_bytes()));
    // The tree points back before the folder appears, so that it never looks abandoned.
    write_whole(&path.join(".git"), &link)?;
    let mut tries = 0;
    loop {
        fs::create_dir_all(&worktrees).map_err(GitError::io("create", &worktrees))?;
        match fs::rename(&aside, &admin_dir) {
            Ok(()) => return Ok(admin_dir),
            // A `git worktree prune` of the same moment deletes the folder of worktrees when it is empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < 10 => tries += 1,
            Err(error) => return Err(GitError::io("rename into place", &aside)(error)),
        }
    }
}

/// A place for an administrative folder of that name, or a similar one if there is one already.
pub(super) fn free_admin_dir(common_dir: &Path, name: &str) -> PathBuf {
    let worktrees = common_dir.join("worktrees");
    let mut admin_dir = worktrees.join(name);
    while admin_dir.exists() {
        admin_dir = worktrees.join(format!("{name}-{}", random_tail(6)));
    }
    admin_dir
}

/// Lets git do it, where refs are not files (reftable) and the folder has more in it than we know.
fn register_by_git(git: &Git, guard: &Guard, path: &Path, commit: &Oid) -> Result<PathBuf, GitError> {
    let link = path.join(".git");
    let _ = fs::remove_file(&link);
    let call =
        git.call("worktree").holding(guard).args(["add", "--no-checkout", "--detach", "--end-of-options"]);
    call.arg(path).oid(commit).run()?;
    let admin_dir = path.join(link_target(&link)?);
    let admin_dir = fs::canonicalize(&admin_dir).map_err(GitError::io("read", &admin_dir))?;
    write_whole(
        &admin_dir.join("locked"),
        b"kapell: a worker's tree, removed by kapell when its work is saved\n",
    )?;
    // git made it in an empty folder; ours must be found by the path as we write it.
    write_whole(&admin_dir.join("gitdir"), &gitdir_line(path))?;
    Ok(admin_dir)
}

/// What to do with files that git ignores, such as build caches, when a tree is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// They stay.
    Keep,
    /// They are deleted.
    Delete,
}

/// Checks out another commit in a tree that is used again, much faster than a new one. Everything in it
/// that is not in `commit` is deleted: only for trees whose work is saved, or that nobody worked in.
///
/// When it fails the tree is not to be used: take a new one.
pub fn reset(git: &Git, tree: &Worktree, commit: &Oid, ignored: Ignored) -> Result<(), WorktreeError> {
    snapshot::require_tree(tree)?;
    let base = tree.admin_dir.join(OWN_BASE);
    if let Err(error) = fs::remove_file(&base)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(GitError::io("remove", &base)(error).into());
    }
    restore_link(tree)?;
    let call = git.tree_call(tree, "update-ref").args(["--no-deref", "-m", "kapell: reuse", "HEAD"]);
    call.oid(commit).run()?;
    let index = tree.admin_dir.join(OWN_INDEX);
    // A git that was killed left it; nobody else writes this index.
    let _ = fs::remove_file(tree.admin_dir.join(format!("{OWN_INDEX}.lock")));
    check_out(git, tree, commit, &index)?;
    let flags = match ignored {
        Ignored::Keep => "-ffdq",
        Ignored::Delete => "-ffdqx",
    };
    snapshot::patiently(tree, &mut Vec::new(), || git.tree_call(tree, "clean").arg(flags).index(&index))?;
    finish_checkout(tree, OWN_INDEX, "index", commit)?;
    Ok(())
}

/// Writes the tree's `.git` file again if a worker changed it.
pub(super) fn restore_link(tree: &Worktree) -> Result<(), GitError> {
    let link = tree.path.join(".git");
    let mut expected = b"gitdir: ".to_vec();
    expected.extend_from_slice(&line(tree.admin_dir.as_os_str().as_encoded_bytes()));
    let is_file = fs::symlink_metadata(&link).is_ok_and(|metadata| metadata.is_file());
    if is_file && fs::read(&link).is_ok_and(|content| content == expected) {
        return Ok(());
    }
    if fs::symlink_metadata(&link).is_ok_and(|metadata| metadata.is_dir()) {
        delete_folder(&link).map_err(GitError::io("delete", &link))?;
    }
    write_whole(&link, &expected)
}

pub(super) fn check_out(git: &Git, tree: &Worktree, commit: &Oid, index: &Path) -> Result<(), WorktreeError> {
    snapshot::patiently(tree, &mut Vec::new(), || {
        let call = git.tree_call(tree, "read-tree").set("checkout.workers", "2").index(index);
        call.args(["--reset", "-u"]).oid(commit)
    })?;
    Ok(())
}

/// Puts the index of a finished checkout in the other place too, and records that the tree is whole.
pub(super) fn finish_checkout(tree: &Worktree, from: &str, to: &str, commit: &Oid) -> Result<(), GitError> {
    let aside = tree.admin_dir.join("kapell-index.new");
    let to = tree.admin_dir.join(to);
    copy_index(&tree.admin_dir.join(from), &aside)?;
    fs::rename(&aside, &to).map_err(GitError::io("rename into place", &aside))?;
    write_whole(&tree.admin_dir.join(OWN_BASE), &line(commit.as_str().as_bytes()))
}

/// Copies an index with its time: git compares it with the times of files to find those that changed
/// in the same moment.
pub(super) fn copy_index(from: &Path, to: &Path) -> Result<(), GitError> {
    let copy = || {
        fs::copy(from, to)?;
        File::options().write(true).open(to)?.set_modified(fs::metadata(from)?.modified()?)
    };
    copy().map_err(GitError::io("copy", from))
}

/// Starts an index at `to` as `base` has it, with what is known of the tree's files. Whether it is as git reads it
/// from the commit, so that it cannot be anything else.
pub(super) fn seed_index(git: &Git, tree: &Worktree, base: &Oid, to: &Path) -> Result<bool, GitError> {
    let own = tree.admin_dir.join(OWN_INDEX);
    let known = if own.is_file() { tree.base() } else { None };
    if known.is_some() {
        copy_index(&own, to)?;
    }
    if known.as_ref() == Some(base) {
        return Ok(false);
    }
    let call = git.tree_call(tree, "read-tree").index(to);
    if known.is_none() {
        git.remember_index(base, to, || call.oid(base).run().map(drop))?;
        return Ok(true);
    }
    // `-i -m` keeps what is known of files that are the same in both commits.
    call.args(["-i", "-m"]).oid(base).run()?;
    Ok(false)
}

/// The proof that a tree can go: everything in it is in a commit that a ref holds.
#[derive(Debug)]
pub struct Saved {
    pub(super) tree: Worktree,
    commit: Oid,
    /// Files that git ignores; they go with the tree. A folder stands for all in it and ends with `/`.
    pub ignored: Vec<RepoPath>,
}

/// Checks that `saved` is held by its ref and equals the tree as it is now. No worker may be alive in it.
/// `scratch` is a folder for a private index.
pub fn check_saved(
    git: &Git,
    tree: &Worktree,
    saved: &Snapshot,
    scratch: &Path,
) -> Result<Saved, WorktreeError> {
    let held = refs::read(git, &saved.reference)?;
    let is_held = match &held {
        _ if saved.kept().is_none() => true,
        Some(held) => *held == saved.commit || super::read::is_ancestor(git, &saved.commit, held)?,
        None => false,
    };
    if !is_held || !super::read::is_whole(git, &saved.commit, &saved.base)? {
        return Err(WorktreeError::Unheld {
            commit: saved.commit.clone(),
            reference: saved.reference.clone(),
        });
    }
    if fs::symlink_metadata(&tree.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(Saved { tree: tree.clone(), commit: saved.commit.clone(), ignored: Vec::new() });
    }
    let Captured { tree: now, nested, skipped, ignored, .. } =
        snapshot::capture(git, tree, &saved.base, scratch, saved.largest, false)?;
    let mut unsaved = nested;
    unsaved.extend(skipped.into_iter().filter(Skipped::has_content).map(|skipped| skipped.path));
    if now != saved.tree {
        let changes = change::changed_between(git, &saved.tree, &now)?;
        unsaved.extend(changes.into_iter().map(|change| change.path));
    }
    if !unsaved.is_empty() {
        return Err(WorktreeError::Unsaved { path: tree.path.clone(), unsaved });
    }
    Ok(Saved { tree: tree.clone(), commit: saved.commit.clone(), ignored })
}

/// Takes a saved tree away: it is renamed into the folder `trash` (on the same file system) and git
/// forgets it. The answer is where it lies now; [`delete_folder`] it in the background. A commit that the
/// worker made itself stays under `refs/kapell/trash/heads/`. Called again after a kill, it finishes.
pub fn remove(
    git: &Git,
    guard: &Guard,
    saved: Saved,
    trash: &Path,
) -> Result<Option<PathBuf>, WorktreeError> {
    keep_head(git, guard, &saved)?;
    let Saved { tree, .. } = saved;
    let trashed = if tree.path.exists() { Some(throw_away(&tree.path, trash)?) } else { None };
    Point::WorktreeTrashed.reach().map_err(GitError::from)?;
    forget(git, guard, &tree)?;
    Point::WorktreeForgotten.reach().map_err(GitError::from)?;
    Ok(trashed)
}

/// Takes away a tree in which nobody worked: what a command left in it is of no use. The answer is where
/// it lies now, to be [deleted](delete_folder). Called again after a kill, it finishes.
pub fn discard(
    git: &Git,
    guard: &Guard,
    tree: &Worktree,
    trash: &Path,
) -> Result<Option<PathBuf>, WorktreeError> {
    let trashed = if tree.path.exists() { Some(throw_away(&tree.path, trash)?) } else { None };
    forget(git, guard, tree)?;
    Ok(trashed)
}

/// Keeps a commit that the worker made itself, which only the tree's `HEAD` holds.
pub(super) fn keep_head(git: &Git, guard: &Guard, saved: &Saved) -> Result<(), WorktreeError> {
    let Saved { tree, commit, .. } = saved;
    let head = git.tree_call(tree, "rev-parse").args(["--verify", "--quiet", "HEAD"]).holding(guard);
    let head = head.accept(&[0, 1, 128]).finish()?;
    if let Some(head) = Oid::parse(String::from_utf8_lossy(&head.stdout).trim_end())
        && !super::read::is_ancestor(git, &head, commit)?
    {
        let name = format!("refs/kapell/trash/heads/{}-{}", tree.name(), random_tail(6));
        refs::create(git, &name, &head, "kapell: head of a removed tree")?;
    }
    Ok(())
}

/// Moves a tree's folder into the folder `trash` and gives its place there.
pub(super) fn throw_away(folder: &Path, trash: &Path) -> Result<PathBuf, GitError> {
    fs::create_dir_all(trash).map_err(GitError::io("create", trash))?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let trashed = trash.join(format!("{name}-{}", random_tail(6)));
    make_writable(folder);
    fs::rename(folder, &trashed).map_err(GitError::io("move to the trash", folder))?;
    Ok(trashed)
}

/// Takes a tree's administrative folder away.
pub(super) fn forget(git: &Git, _guard: &Guard, tree: &Worktree) -> Result<(), GitError> {
    let aside = git.repository().common_dir.join("kapell");
    fs::create_dir_all(&aside).map_err(GitError::io("create", &aside))?;
    let aside = aside.join(format!("old-{}-{}", tree.name(), random_tail(6)));
    match fs::rename(&tree.admin_dir, &aside) {
        Ok(()) => fs::remove_dir_all(&aside).map_err(GitError::io("delete", &aside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(GitError::io("rename", &tree.admin_dir)(error)),
    }
}

/// Deletes a folder with everything in it, folders without write permission too; links are not followed.
pub fn delete_folder(folder: &Path) -> io::Result<()> {
    if fs::remove_dir_all(folder).is_ok() {
        return Ok(());
    }
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        make_writable(&next);
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(folder)
}

#[cfg(unix)]
fn make_writable(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir());
    if is_folder {
        // Where this fails the deletion or renaming after it fails, and says so.
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    }
}

#[cfg(not(unix))]
fn make_writable(_folder: &Path) {}

/// Whether a `.git` file leads nowhere, as a killed [`add`] leaves it.
fn is_dead_link(file: &Path) -> bool {
    let is_file = fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_file());
    is_file && link_target(file).is_ok_and(|target| !target.exists())
}

/// A name for the administrative folder that git accepts too, after the tree's own.
pub(super) fn admin_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "tree".to_owned() } else { name.to_owned() }
}

pub(super) fn gitdir_line(path: &Path) -> Vec<u8> {
    line(path.join(".git").as_os_str().as_encoded_bytes())
}

pub(super) fn line(bytes: &[u8]) -> Vec<u8> {
    [bytes, b"\n"].concat()
}

pub(super) fn canonical_even_if_gone(path: &Path) -> PathBuf {
    let whole = fs::canonicalize(path);
    whole
        .or_else(|_| match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => fs::canonicalize(parent).map(|parent| parent.join(name)),
            _ => Ok(path.to_path_buf()),
        })
        .unwrap_or_else(|_: io::Error| path.to_path_buf())
}

/// Writes a file that others see whole or not at all.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), GitError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", random_tail(6)));
    let aside = PathBuf::from(aside);
    let write = || {
        let mut file = File::create_new(&aside)?;
        file.write_all(content)?;
        fs::rename(&aside, path)
    };
    write().map_err(GitError::io("write", path))
}
