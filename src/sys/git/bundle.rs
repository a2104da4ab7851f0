//! Backups as bundles: one compressed file that any git can read, of a checkout's commits and files, or of
//! files that are no git's.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::environment::{Beside, plain};
use super::queue::Guard;
use super::run::{Git, GitError};
use super::{Oid, read, refs};

/// The branch under which plain files are kept.
const FILES: &str = "files";

/// Where git lists the commits of which it does not have the parents.
const SHALLOW: &str = "shallow";

/// Settings with which bytes stay as they are, and commits need nobody's name.
const SETTINGS: [&str; 12] = [
    "-c",
    "core.autocrlf=false",
    "-c",
    "user.name=kapell",
    "-c",
    "user.email=kapell@localhost",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "core.attributesFile=/dev/null",
    "-c",
    "core.excludesFile=/dev/null",
];

fn run(git: &Git, folder: &Path, args: &[&OsStr]) -> Result<(), GitError> {
    let all: Vec<&OsStr> = SETTINGS.iter().map(OsStr::new).chain(args.iter().copied()).collect();
    plain(git.program(), folder, &all, None).map(drop)
}

/// Writes the branches of a clone, or the one that a worktree is on, and a ref that keeps its files.
pub fn write_tree(
    main: &Git,
    beside: &Beside,
    branch: Option<&str>,
    kept: &str,
    to: &Path,
) -> Result<(), GitError> {
    let call = beside.git.call("bundle").args(["create", "--quiet"]).arg(to);
    let call = match (beside.is_clone(main), branch) {
        (true, _) => call.arg("--branches"),
        (false, Some(branch)) => call.arg(format!("refs/heads/{branch}")),
        (false, None) => call,
    };
    call.arg(kept).run()?;
    Ok(())
}

/// Proves such a bundle: brings it into an empty repository, and its files onto the disk. `commit` is what it
/// keeps, `shallow` the commits whose parents it lacks.
pub fn prove_tree(
    main: &Git,
    bundle: &Path,
    kept: &str,
    commit: &Oid,
    shallow: &[Oid],
    scratch: &Path,
) -> Result<(), GitError> {
    let (repository, files) = (scratch.join("repository"), scratch.join("files"));
    fs::create_dir_all(&files).map_err(GitError::io("create", &files))?;
    let format = if commit.as_str().len() == 64 { "sha256" } else { "sha1" };
    let format = format!("--object-format={format}");
    let words = ["init", "--quiet", "--bare", "--template=", &format].map(OsStr::new);
    run(main, scratch, &[words.as_slice(), &[repository.as_os_str()]].concat())?;
    write_shallow(&repository, shallow)?;
    // What is in it is written as it is.
    let info = repository.join("info");
    fs::create_dir_all(&info).map_err(GitError::io("create", &info))?;
    let rules = b"* -text -ident !filter !working-tree-encoding\n";
    super::worktree::write_whole(&info.join("attributes"), rules)?;
    let spec = format!("{kept}:refs/heads/{FILES}");
    let fetch = [OsStr::new("fetch"), OsStr::new("--quiet"), bundle.as_os_str(), OsStr::new(&spec)];
    run(main, &repository, &fetch)?;
    let git_dir = format!("--git-dir={}", repository.display());
    let work_tree = format!("--work-tree={}", files.display());
    let at = [git_dir.as_str(), work_tree.as_str(), "-c", "core.bare=false"];
    let on = |words: &[&str]| {
        let args: Vec<&OsStr> = at.iter().chain(words).map(OsStr::new).collect();
        run(main, &files, &args)
    };
    on(&["read-tree", FILES])?;
    on(&["checkout-index", "--quiet", "--all", "--force"])?;
    on(&["update-index", "-q", "--refresh"])?;
    on(&["diff-files", "--quiet"])
}

/// Writes all files of a folder.
pub fn write_files(main: &Git, folder: &Path, to: &Path, scratch: &Path) -> Result<(), GitError> {
    let repository = scratch.join("writing");
    let words =
        ["init", "--quiet", "--template=", "--object-format=sha1", "--initial-branch", FILES, "--bare"];
    let words = words.map(OsStr::new);
    run(main, scratch, &[words.as_slice(), &[repository.as_os_str()]].concat())?;
    let git_dir = format!("--git-dir={}", repository.display());
    let work_tree = format!("--work-tree={}", folder.display());
    let at = [git_dir.as_str(), work_tree.as_str(), "-c", "core.bare=false"];
    let on = |words: &[&OsStr]| {
        let args: Vec<&OsStr> = at.iter().map(OsStr::new).chain(words.iter().copied()).collect();
        run(main, folder, &args)
    };
    on(&["add", "-A", "-f", "."].map(OsStr::new))?;
    on(&["commit", "--quiet", "--allow-empty", "-m", "kapell: databases"].map(OsStr::new))?;
    on(&[
        OsStr::new("bundle"),
        OsStr::new("create"),
        OsStr::new("--quiet"),
        to.as_os_str(),
        OsStr::new(FILES),
    ])
}

/// Brings such files back into a folder that does not exist yet.
pub fn read_files(main: &Git, bundle: &Path, to: &Path) -> Result<(), GitError> {
    let words = ["clone", "--quiet", "--template=", "--branch", FILES, "--"].map(OsStr::new);
    run(main, Path::new("/"), &[words.as_slice(), &[bundle.as_os_str(), to.as_os_str()]].concat())
}

/// The commits of which a repository does not have the parents.
pub fn shallow(git: &Git) -> Vec<Oid> {
    let text = fs::read_to_string(git.repository().common_dir.join(SHALLOW)).unwrap_or_default();
    text.lines().filter_map(Oid::parse).collect()
}

fn write_shallow(git_dir: &Path, shallow: &[Oid]) -> Result<(), GitError> {
    if shallow.is_empty() {
        return Ok(());
    }
    let text: String = shallow.iter().map(|oid| format!("{oid}\n")).collect();
    super::worktree::write_whole(&git_dir.join(SHALLOW), text.as_bytes())
}

/// What came out of a bundle.
#[derive(Debug)]
pub struct Unpacked {
    /// The ref that holds it until its files are laid out.
    pub reference: String,
    /// The commit of its files.
    pub commit: Oid,
}

impl Beside {
    /// Brings what a bundle has into the repository, under a ref of its own, and changes no file.
    /// `lacking` are the commits of it whose parents it does not have.
    pub fn unpack(&self, bundle: &Path, kept: &str, lacking: &[Oid]) -> Result<Unpacked, GitError> {
        let mut all = shallow(&self.git);
        let before = all.len();
        for oid in lacking {
            // One that is here has its parents here, or is known.
            if !all.contains(oid) && read::resolve(&self.git, oid.as_str())?.is_none() {
                all.push(oid.clone());
            }
        }
        if all.len() > before {
            write_shallow(&self.git.repository().common_dir, &all)?;
        }
        let call = self.call("fetch").args(["--quiet", "--no-tags", "--no-write-fetch-head"]);
        let reference =
            format!("{}restored-{}", super::environment::KEPT, kept.rsplit('/').next().unwrap_or(kept));
        call.arg(bundle).arg(format!("+{kept}:{reference}")).run()?;
        let commit = refs::read(&self.git, &reference)?;
        let commit = commit.ok_or_else(|| super::run::unexpected("fetch", reference.as_bytes()))?;
        Ok(Unpacked { reference, commit })
    }

    /// Brings files and branch back: the branch at its commit, or without any, and the files as they were,
    /// whether they were committed or not. What is there now must be kept already.
    pub fn restore(
        &self,
        guard: &Guard,
        files: &Unpacked,
        branch: Option<&str>,
        head: Option<&Oid>,
    ) -> Result<(), GitError> {
        self.call("reset").args(["--quiet", "--hard"]).holding(guard).run()?;
        self.delete_unknown()?;
        let Some(head) = head else {
            return self.restore_unborn(guard, files, branch);
        };
        let call = self.call("checkout").args(["--quiet", "--force"]);
        let call = match branch {
            Some(branch) => call.args(["--no-track", "-B", branch]),
            None => call.arg("--detach"),
        };
        call.oid(head).holding(guard).run()?;
        if files.commit != *head {
            // What is not committed was kept byte for byte, and comes back so. Without the rules a file that was
            // just checked out by them looks changed: there is nothing to lose in it.
            let call = self.call("read-tree").set("core.autocrlf", "false");
            let call = call.set("core.attributesFile", "/dev/null").attributes_of(&head.empty_tree());
            call.args(["--reset", "-u"]).oid(head).oid(&files.commit).run()?;
            self.call("reset").arg("--quiet").run()?;
        }
        self.forget(&files.reference)
    }

    /// The same of a branch that had no commit: git knew none of the files.
    fn restore_unborn(&self, guard: &Guard, files: &Unpacked, branch: Option<&str>) -> Result<(), GitError> {
        let call = self.call("read-tree").set("core.autocrlf", "false");
        let call = call.set("core.attributesFile", "/dev/null");
        call.args(["--reset", "-u"]).oid(&files.commit).run()?;
        if let Some(branch) = branch {
            let reference = format!("refs/heads/{branch}");
            self.call("symbolic-ref").args(["HEAD", &reference]).run()?;
            if refs::read(&self.git, &reference)?.is_some() {
                self.git.call("update-ref").args(["-d", &reference]).holding(guard).run()?;
            }
        }
        self.call("read-tree").arg("--empty").run()?;
        self.forget(&files.reference)
    }

    /// Deletes a ref below [`super::environment::KEPT`] whose content is elsewhere by now.
    pub fn forget(&self, reference: &str) -> Result<(), GitError> {
        self.git.call("update-ref").args(["-d", reference]).run()?;
        Ok(())
    }

    /// Ends what a person is in the middle of, and leaves files and branches as they are.
    pub fn quit_operation(&self) -> Result<(), GitError> {
        let at = &self.tree.admin_dir;
        for (mark, command) in [
            ("rebase-merge", "rebase"),
            ("rebase-apply", "rebase"),
            ("MERGE_HEAD", "merge"),
            ("CHERRY_PICK_HEAD", "cherry-pick"),
            ("REVERT_HEAD", "revert"),
        ] {
            if !at.join(mark).exists() {
                continue;
            }
            let quit = self.call(command).arg("--quit").run();
            // `git am` has the folder of a rebase too, and quits by itself.
            match quit {
                Err(_) if mark == "rebase-apply" => drop(self.call("am").arg("--quit").run()?),
                other => drop(other?),
            }
        }
        if at.join("BISECT_LOG").exists() {
            self.call("bisect").args(["reset", "HEAD"]).run()?;
        }
        Ok(())
    }

    /// Makes the branch that of a commit, whatever was checked out, and deletes files that git neither
    /// knows nor ignores. What is there now must be kept already.
    pub fn begin_anew(&self, branch: &str, at: &Oid) -> Result<(), GitError> {
        self.call("checkout").args(["--quiet", "--force", "--no-track", "-B", branch]).oid(at).run()?;
        self.delete_unknown()
    }
}
