//! Environments: checkouts of a project beside it, clones or worktrees, that people and agents work in.
//!
//! Such a checkout is handled as a person's own is: with that person's configuration, less hooks.

use crate::base::sorting::Gather as _;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::discover::{discover, link_target};
use super::exec::{Finished, Input, execute};
use super::queue::Guard;
use super::run::{Call, Git, GitError, shown, unexpected};
use super::worktree::{Worktree, admin_dirs, delete_folder};
use super::{Oid, Program, land, refs};
use crate::base::failpoint::Point;
use crate::base::ids::random_tail;

/// The file in the git directory of an environment that says whose it is.
const MARK: &str = "kapell-environment";

/// The begin of our lines in `info/exclude`.
const EXCLUDES: &str = "# kapell env:";

/// An environment's checkout.
#[derive(Debug, Clone)]
pub struct Beside {
    /// git, bound to it.
    pub git: Git,
    /// Its files.
    pub tree: Worktree,
}

/// How a checkout is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// The commit; `None` before the first.
    pub head: Option<Oid>,
    /// The branch, without `refs/heads/`; `None` on a detached head.
    pub branch: Option<String>,
    /// Files that are not as the commit has them.
    pub changed: Vec<Changed>,
}

/// A file that is not as the commit has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// `staged`, `changed`, `new` or `conflict`; `hidden` where git was told not to look.
    pub how: &'static str,
    /// Which; an unknown folder ends with `/`.
    pub path: String,
}

/// Runs git as a person would, in a folder, less hooks.
pub(super) fn plain(
    program: &Program,
    folder: &Path,
    args: &[&OsStr],
    guard: Option<&Guard>,
) -> Result<Finished, GitError> {
    const SETTINGS: [(&str, &str); 4] = [
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
    ];
    let mut environment = program.environment().to_vec();
    let mut add = |name: String, value: &str| environment.push((name.into(), value.into()));
    add("GIT_TERMINAL_PROMPT".to_owned(), "0");
    add("GIT_CONFIG_COUNT".to_owned(), &SETTINGS.len().to_string());
    for (at, (name, value)) in SETTINGS.iter().enumerate() {
        add(format!("GIT_CONFIG_KEY_{at}"), name);
        add(format!("GIT_CONFIG_VALUE_{at}"), value);
    }
    let args: Vec<OsString> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let input = guard.map_or(Input::Nothing, Input::Lock);
    Point::GitBefore.reach()?;
    let finished = execute(program.path(), &args, &environment, folder, input)?;
    Point::GitAfter.reach()?;
    if finished.code == Some(0) {
        return Ok(finished);
    }
    let Finished { status, stderr, .. } = finished;
    Err(GitError::Failed { args: shown(&args), status, stderr: stderr.trim_end().to_owned() })
}

/// Clones the project into `part`, which must not exist, with `branch` checked out at `base`.
pub fn clone(main: &Git, part: &Path, branch: &str, base: &Oid) -> Result<(), GitError> {
    // As a person names it: the addresses of submodules may be relative to that. Of a bare one there is no other name.
    let from = land::main_top(main).unwrap_or_else(|| main.repository().common_dir.clone());
    let words = ["clone", "--quiet", "--local", "--no-checkout", "--template=", "--"].map(OsStr::new);
    let args: Vec<&OsStr> = words.into_iter().chain([from.as_os_str(), part.as_os_str()]).collect();
    plain(main.program(), Path::new("/"), &args, None)?;
    for (name, ours) in identity(main, &main.repository().common_dir)? {
        if !identity(main, part)?.contains(&(name, ours.clone())) {
            let args = ["config", name].map(OsStr::new).into_iter().chain([OsStr::new(&ours)]);
            plain(main.program(), part, &args.collect::<Vec<_>>(), None)?;
        }
    }
    let args = ["checkout", "--quiet", "--no-track", "-b", branch, base.as_str()].map(OsStr::new);
    plain(main.program(), part, &args, None)?;
    Ok(())
}

/// Who a person said they are, as git sees it from a folder: the project may say that itself.
fn identity(main: &Git, folder: &Path) -> Result<Vec<(&'static str, OsString)>, GitError> {
    let mut found = Vec::new();
    for name in ["user.name", "user.email"] {
        match plain(main.program(), folder, &["config", "--get", name].map(OsStr::new), None) {
            Ok(finished) => found.push((name, OsStr::from_bytes(finished.stdout.trim_ascii()).to_owned())),
            // Nobody said it.
            Err(GitError::Failed { stderr, .. }) if stderr.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Makes a worktree of the project's own repository, on `branch`, which is made at `base` where it is missing.
/// Until [`unlock`] it is locked in the environment's name, by which one that is half-made is known.
pub fn add_worktree(
    main: &Git,
    guard: &Guard,
    dest: &Path,
    branch: &str,
    base: &Oid,
    name: &str,
) -> Result<(), GitError> {
    let folder = &main.repository().common_dir;
    let reference = format!("refs/heads/{branch}");
    let tip = refs::read(main, &reference)?;
    let reason = lock_of(name);
    if let Some(tip) = tip.as_ref().filter(|_| has_namesake(main, branch)) {
        // `worktree add` takes no full name of a branch, and looks a short one up among the tags first. `switch`
        // means branches only.
        let args = [
            "worktree",
            "add",
            "--quiet",
            "--lock",
            "--reason",
            reason.as_str(),
            "--no-checkout",
            "--detach",
        ];
        let args: Vec<&OsStr> =
            args.map(OsStr::new).into_iter().chain([dest.as_os_str(), OsStr::new(tip.as_str())]).collect();
        plain(main.program(), folder, &args, Some(guard))?;
        let args = ["switch", "--quiet", "--discard-changes", "--no-guess", branch].map(OsStr::new);
        plain(main.program(), dest, &args, Some(guard))?;
        return Ok(());
    }
    let mut args: Vec<&OsStr> =
        ["worktree", "add", "--quiet", "--lock", "--reason", reason.as_str(), "--no-track"]
            .map(OsStr::new)
            .to_vec();
    if tip.is_some() {
        args.pop();
        args.extend([dest.as_os_str(), OsStr::new(branch)]);
    } else {
        args.extend(["-b", branch].map(OsStr::new));
        args.extend([dest.as_os_str(), OsStr::new(base.as_str())]);
    }
    plain(main.program(), folder, &args, Some(guard))?;
    Ok(())
}

/// Whether a short name of a branch is that of a tag too.
fn has_namesake(main: &Git, branch: &str) -> bool {
    refs::read(main, &format!("refs/tags/{branch}")).is_ok_and(|tag| tag.is_some())
}

/// What a worktree of an environment is locked with while it is made.
fn lock_of(name: &str) -> String {
    format!("the environment {name} is being made by kapell")
}

fn has_lock(admin_dir: &Path, name: &str) -> bool {
    fs::read_to_string(admin_dir.join("locked")).is_ok_and(|text| text.trim_end() == lock_of(name))
}

/// Unlocks a worktree that is made.
pub fn unlock(admin_dir: &Path, name: &str) -> Result<(), GitError> {
    let path = admin_dir.join("locked");
    match has_lock(admin_dir, name) {
        true => fs::remove_file(&path).map_err(GitError::io("delete", &path)),
        false => Ok(()),
    }
}

/// Whether a folder is a worktree that was begun by [`add_worktree`], and never got its mark.
pub fn is_half_made(main: &Git, dest: &Path, name: &str) -> bool {
    let leads_to = link_target(&dest.join(".git")).ok();
    let is_empty = || fs::read_dir(dest).is_ok_and(|mut entries| entries.next().is_none());
    admin_dirs(&main.repository().common_dir).any(|admin_dir| {
        has_lock(&admin_dir, name)
            && marked(&admin_dir).is_none()
            && match &leads_to {
                Some(target) => fs::canonicalize(dest.join(target)).is_ok_and(|it| it == admin_dir),
                None => is_empty(),
            }
    })
}

/// Has git forget a worktree of the project whose folder is gone. What only its record held is kept first, under
/// refs below `prefix`, which are given.
pub fn prune_worktree(main: &Git, guard: &Guard, dest: &Path, prefix: &str) -> Result<Vec<String>, GitError> {
    let kept = super::holdings::keep_gone(main, guard, dest, prefix)?;
    let args = ["worktree", "remove", "--force", "--force"].map(OsStr::new);
    let args: Vec<&OsStr> = args.into_iter().chain([dest.as_os_str()]).collect();
    match plain(main.program(), &main.repository().common_dir, &args, Some(guard)) {
        Err(GitError::Failed { stderr, .. }) if stderr.contains("is not a working tree") => Ok(kept),
        other => other.map(|_| kept),
    }
}

/// Takes our lines out of what the project's repository takes no notice of: earlier versions of Kapell wrote
/// them there for worktrees.
pub fn unhide(main: &Git) -> Result<(), GitError> {
    let path = main.repository().common_dir.join("info/exclude");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let mut is_ours = false;
    let rest = text.split_inclusive('\n').filter(|line| {
        let line = line.trim_end();
        is_ours = line == EXCLUDES || is_ours && line.starts_with('/');
        !is_ours
    });
    let rest: String = rest.collect();
    if rest == text { Ok(()) } else { super::worktree::write_whole(&path, rest.as_bytes()) }
}

/// Whose environment a git directory is of: what [`Beside::mark`] wrote.
pub fn marked(git_dir: &Path) -> Option<String> {
    fs::read_to_string(git_dir.join(MARK)).ok()
}

impl Beside {
    /// Opens one.
    pub fn open(main: &Git, path: &Path) -> Result<Self, GitError> {
        let repository = discover(path)?;
        let tree = Worktree::of_checkout(&repository)?;
        Ok(Self { git: Git::new(main.program(), &repository)?, tree })
    }

    /// Writes into its git directory whose environment it is.
    pub fn mark(&self, text: &str) -> Result<(), GitError> {
        super::worktree::write_whole(&self.tree.admin_dir.join(MARK), text.as_bytes())
    }

    /// Has git take no notice of files at its top, by its own list and not by the project's `.gitignore`.
    pub fn exclude(&self, names: &[&str]) -> Result<(), GitError> {
        let folder = self.git.repository().common_dir.join("info");
        let path = folder.join("exclude");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let missing: Vec<&&str> = names
            .iter()
            .filter(|name| !text.lines().any(|line| line.strip_prefix('/') == Some(**name)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut more = String::new();
        if !text.is_empty() && !text.ends_with('\n') {
            more.push('\n');
        }
        more.push_str(EXCLUDES);
        more.push('\n');
        missing.iter().for_each(|name| more.push_str(&format!("/{name}\n")));
        fs::create_dir_all(&folder).map_err(GitError::io("create", &folder))?;
        let file = fs::File::options().append(true).create(true).open(&path);
        file.and_then(|mut file| file.write_all(more.as_bytes())).map_err(GitError::io("write", &path))
    }

    /// A call on its files, in the person's own name.
    pub(super) fn call(&self, command: &str) -> Call<'_> {
        self.git.tree_call(&self.tree, command).by_person()
    }

    /// Whether the person said who they are; without that, commits are Kapell's.
    pub(super) fn has_identity(&self) -> Result<bool, GitError> {
        let call = self.call("config").args(["--get", "user.email"]).accept(&[0, 1]);
        Ok(!call.run()?.trim_ascii().is_empty())
    }

    /// Whether git has this path at its top as a file of the project.
    pub fn is_tracked(&self, name: &str) -> Result<bool, GitError> {
        Ok(!self.call("ls-files").args(["-z", "--", name]).run()?.is_empty())
    }

    /// Those of the names at its top that are files of the project, or folders with some.
    pub fn tracked_tops(&self, names: &[&str]) -> Result<BTreeSet<String>, GitError> {
        let printed = self.call("ls-files").args(["-z", "--"]).args(names.iter().copied()).run()?;
        let paths = printed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        let tops = paths.filter_map(|path| path.split(|byte| *byte == b'/').next());
        Ok(tops.map(|top| String::from_utf8_lossy(top).into_owned()).gather())
    }

    /// How it is.
    pub fn look(&self) -> Result<Look, GitError> {
        // Whatever a person's configuration keeps out of sight is there all the same.
        let args = [
            "--porcelain=v2",
            "--branch",
            "--no-ahead-behind",
            "--no-renames",
            "--untracked-files=normal",
            "--ignore-submodules=none",
            "-z",
        ];
        // A service or a worker may have made a pipe of a name where git reads rules.
        let mut removed = Vec::new();
        let call = || self.call("status").args(args);
        let printed = super::snapshot::patiently(&self.tree, &mut removed, call)?.stdout;
        parse_status(&printed).ok_or_else(|| unexpected("status", &printed))
    }

    /// How many commits `ours` has that `theirs` (a commit of the project) has not, and the reverse.
    pub fn apart(&self, main: &Git, ours: &Oid, theirs: &Oid) -> Result<(u64, u64), GitError> {
        if ours == theirs {
            return Ok((0, 0));
        }
        let call = self.git.call("rev-list").borrowing(&main.repository().common_dir);
        let printed = call.args(["--left-right", "--count"]).arg(format!("{ours}...{theirs}")).run()?;
        let text = String::from_utf8_lossy(&printed);
        let mut numbers = text.split_ascii_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(ahead)), Some(Ok(behind))) => Ok((ahead, behind)),
            _ => Err(unexpected("rev-list", &printed)),
        }
    }

    /// The folders of other worktrees of a clone's repository.
    pub fn other_worktrees(&self, main: &Git) -> Vec<String> {
        if !self.is_clone(main) {
            return Vec::new();
        }
        // The file names the `.git` in each.
        let links = admin_dirs(&self.git.repository().common_dir);
        let links = links.filter_map(|admin_dir| fs::read_to_string(admin_dir.join("gitdir")).ok());
        let folders = links.map(|text| text.trim_end().trim_end_matches("/.git").to_owned());
        folders.filter(|folder| Path::new(folder).is_dir()).collect()
    }

    /// Whether it has a repository of its own.
    pub fn is_clone(&self, main: &Git) -> bool {
        self.git.repository().common_dir != main.repository().common_dir
    }
}

/// Where a checkout keeps what is reset, rebased or restored over.
pub const KEPT: &str = "refs/kapell/kept/";

/// A folder beside an environment for what is on its way to be it, or was it. A file in it says whose it is,
/// so that a person's folder of that name is not taken for it.
#[derive(Debug)]
pub struct Container {
    folder: PathBuf,
}

/// That file.
const OWNER: &str = "kapell";

impl Container {
    /// The one with that ending.
    pub fn of(dest: &Path, ending: &str) -> Self {
        let mut name = OsString::from(".");
        name.push(dest.file_name().unwrap_or_default());
        name.push(ending);
        Self { folder: dest.with_file_name(name) }
    }

    /// What it contains.
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Makes it, empty.
    ///
    /// # Errors
    /// Also where somebody else has a folder of that name.
    pub fn make(&self) -> io::Result<()> {
        self.delete()?;
        fs::create_dir(&self.folder)?;
        fs::write(self.folder.join(OWNER), "this folder is deleted by kapell env\n")
    }

    /// Deletes it with all in it.
    ///
    /// # Errors
    /// Also where somebody else has a folder of that name.
    pub fn delete(&self) -> io::Result<()> {
        self.sweep();
        let is_empty = || fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_none());
        match fs::symlink_metadata(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(metadata) if metadata.is_dir() && (self.folder.join(OWNER).is_file() || is_empty()) => {
                // Away first: the git of a killed process may still write to where it began.
                let mut aside = self.folder.clone().into_os_string();
                aside.push(format!("{ASIDE}{}", random_tail(6)));
                let aside = PathBuf::from(aside);
                fs::rename(&self.folder, &aside)?;
                match delete_container(&aside) {
                    // It writes there, too, and what it leaves is swept the next time.
                    Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                    Err(error) => {
                        // Whoever tries again is told the same.
                        let _ = fs::rename(&aside, &self.folder);
                        Err(error)
                    }
                    Ok(()) => Ok(()),
                }
            }
            Ok(_) => {
                Err(io::Error::other(format!("{} is none of Kapell's: move it away", self.folder.display())))
            }
        }
    }

    /// Deletes what earlier deletions left.
    fn sweep(&self) {
        let (Some(name), Some(parent)) = (self.folder.file_name(), self.folder.parent()) else { return };
        let start = [name.as_encoded_bytes(), ASIDE.as_bytes()].concat();
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(&start) && entry.path().join(OWNER).is_file()
            {
                // One that stays is looked at again the next time.
                let _ = delete_container(&entry.path());
            }
        }
    }
}

/// What stands between a container's name and a random end while it is deleted.
const ASIDE: &str = "-";

/// Deletes the folder of a container; the file that says whose it is goes last, whatever ends this.
fn delete_container(folder: &Path) -> io::Result<()> {
    let tree = folder.join("tree");
    if tree.exists() {
        delete_folder(&tree)?;
    }
    delete_folder(folder)
}

fn parse_status(printed: &[u8]) -> Option<Look> {
    let mut look = Look::default();
    for line in printed.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let line = String::from_utf8_lossy(line);
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "#" => match rest.split_once(' ') {
                Some(("branch.oid", oid)) => look.head = Oid::parse(oid),
                Some(("branch.head", name)) => look.branch = (name != "(detached)").then(|| name.to_owned()),
                _ => {}
            },
            "?" => look.changed.push(Changed { how: "new", path: rest.to_owned() }),
            "1" => {
                let path = rest.splitn(8, ' ').nth(7)?.to_owned();
                let how = if rest.as_bytes().get(1) == Some(&b'.') { "staged" } else { "changed" };
                look.changed.push(Changed { how, path });
            }
            "u" => {
                let path = rest.splitn(10, ' ').nth(9)?.to_owned();
                look.changed.push(Changed { how: "conflict", path });
            }
            _ => {}
        }
    }
    Some(look)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let oid = "1".repeat(40);
        let entry = format!("N... 100644 100644 100644 {oid} {oid}");
        let printed = format!(
            "# branch.oid {oid}\0# branch.head env/dev1\01 M. {entry} a b\01 .M {entry} c\0u UU N... 1 2 3 4 {oid} {oid} {oid} d\0? new/\0"
        );
        let look = parse_status(printed.as_bytes()).unwrap();
        assert_eq!(look.branch.as_deref(), Some("env/dev1"));
        assert_eq!(look.head.map(|head| head.to_string()), Some(oid));
        let changed: Vec<(&str, &str)> = look.changed.iter().map(|it| (it.how, it.path.as_str())).collect();
        assert_eq!(changed, [("staged", "a b"), ("changed", "c"), ("conflict", "d"), ("new", "new/")]);
        let detached = parse_status(b"# branch.oid (initial)\0# branch.head (detached)\0").unwrap();
        assert_eq!((detached.head, detached.branch), (None, None));
    }
}
