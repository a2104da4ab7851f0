//! What the checkout of an environment has that is nowhere else: commits under any ref or none, files that
//! git was told not to look at, repositories inside of it. It is counted before a checkout goes, and brought
//! into the project's repository when it does.

use crate::base::sorting::sort;
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::discover::{Repository, discover};
use super::environment::{Beside, KEPT, plain};
use super::queue::Guard;
use super::run::{Git, GitError, unexpected};
use super::worktree::{Keeper, Worktree, admin_dirs, canonical_even_if_gone};
use super::{Oid, land, read, refs};
use crate::base::ids::random_tail;
use crate::base::paths::RepoPath;

/// Refs that git shows to nobody who fetches.
const PRIVATE: [&str; 3] = ["refs/bisect/", "refs/rewritten/", "refs/worktree/"];

/// The commits of all refs of a repository but Kapell's own.
pub fn tips(git: &Git) -> Result<Vec<Oid>, GitError> {
    let all = all_refs(git)?.into_iter().filter(|(name, _)| !name.starts_with(refs::OWN));
    Ok(all.map(|(_, oid)| oid).collect())
}

fn all_refs(git: &Git) -> Result<Vec<(String, Oid)>, GitError> {
    let printed = git.call("for-each-ref").arg("--format=%(objectname) %(refname)").run()?;
    let text = String::from_utf8_lossy(&printed);
    let line = |line: &str| {
        let (oid, name) = line.split_once(' ')?;
        Some((name.to_owned(), Oid::parse(oid)?))
    };
    Ok(text.lines().filter_map(line).collect())
}

fn oids(printed: &[u8]) -> Vec<Oid> {
    String::from_utf8_lossy(printed).lines().filter_map(Oid::parse).collect()
}

/// Which of its commits are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Those of branches, stash and head.
    Work,
    /// Those of every ref.
    All,
}

impl Beside {
    /// How many commits it has that none of these (commits of the project) has. Of a worktree only its own
    /// head counts: the refs are the project's.
    pub fn outside(&self, main: &Git, tips: &[Oid], head: Option<&Oid>, of: Of) -> Result<u64, GitError> {
        let mut lines: Vec<String> = head.into_iter().map(Oid::to_string).collect();
        if self.is_clone(main) {
            // What is kept of earlier work is no work of its own; it goes to the project when this goes.
            let own = self.own_refs(main)?.into_iter().filter(|(name, _)| {
                let is_work = name.starts_with("refs/heads/") || name == "refs/stash";
                !name.starts_with(KEPT) && (is_work || of == Of::All)
            });
            lines.extend(own.map(|(_, oid)| oid.to_string()));
            lines.extend(self.stashes()?.iter().map(Oid::to_string));
        }
        if lines.is_empty() {
            return Ok(0);
        }
        lines.extend(tips.iter().map(|tip| format!("^{tip}")));
        let call = self.git.call("rev-list").borrowing(&main.repository().common_dir);
        let printed = call.args(["--count", "--stdin"]).stdin(lines.join("\n").into_bytes()).run()?;
        let text = String::from_utf8_lossy(&printed);
        text.trim().parse().map_err(|_| unexpected("rev-list", &printed))
    }

    /// All refs of a clone but what it knows of others', and what the project has under the same name.
    fn own_refs(&self, main: &Git) -> Result<Vec<(String, Oid)>, GitError> {
        let theirs: HashSet<(String, Oid)> = all_refs(main)?.into_iter().collect();
        let mut own = all_refs(&self.git)?;
        own.retain(|it| {
            !it.0.starts_with("refs/remotes/") && (it.0.starts_with("refs/heads/") || !theirs.contains(it))
        });
        Ok(own)
    }

    /// All entries of the stash; a ref holds only the newest.
    fn stashes(&self) -> Result<Vec<Oid>, GitError> {
        if refs::read(&self.git, "refs/stash")?.is_none() {
            return Ok(Vec::new());
        }
        Ok(oids(&self.git.call("log").args(["-g", "--format=%H", "refs/stash", "--"]).run()?))
    }

    /// Commits that a head once was at or a private ref has, and no other ref holds.
    fn strays(&self) -> Result<Vec<Oid>, GitError> {
        let call = self.git.head_call("log").args(["-g", "--format=%H", "HEAD", "--"]);
        // Without a reflog there is nothing to read.
        let mut all = oids(&call.accept(&[0, 128]).run()?);
        let private = all_refs(&self.git)?;
        let private =
            private.into_iter().filter(|(name, _)| PRIVATE.iter().any(|start| name.starts_with(start)));
        all.extend(private.map(|(_, oid)| oid));
        let mut seen = BTreeSet::new();
        all.retain(|oid| seen.insert(oid.to_string()));
        if all.is_empty() {
            return Ok(all);
        }
        let lines: Vec<&str> = all.iter().map(Oid::as_str).collect();
        let call = self.git.call("rev-list").args(["--ignore-missing", "--stdin", "--not"]);
        let call = PRIVATE.iter().fold(call, |call, start| call.arg(format!("--exclude={start}*")));
        let held = oids(&call.arg("--all").stdin(lines.join("\n").into_bytes()).run()?);
        let held: HashSet<Oid> = held.into_iter().collect();
        all.retain(|oid| held.contains(oid));
        Ok(all)
    }

    /// One commit that holds all that no ref of its own does: strays and older entries of the stash.
    fn gathered(&self, main: &Git) -> Result<Option<Oid>, GitError> {
        let mut all = self.strays()?;
        if self.is_clone(main) {
            all.extend(self.stashes()?.into_iter().skip(1));
        }
        let Some(first) = all.first() else { return Ok(None) };
        let tree = read::tree_of(&self.git, first)?;
        let parents: Vec<&Oid> = all.iter().collect();
        let message = "kapell: the parents of this are commits that no branch had";
        land::commit_tree(&self.git, &tree, &parents, message).map(Some)
    }

    /// Brings all that it has into the project's repository, below `prefix`: every ref of its own, its head,
    /// each entry of its stash, commits that no ref had, and those of its submodules. Gives the refs.
    pub fn keep_in(&self, main: &Git, guard: &Guard, prefix: &str) -> Result<Vec<String>, GitError> {
        let strays = self.gathered(main)?;
        let head = read::resolve(&self.git, "HEAD")?;
        if self.is_clone(main) {
            if let Some(strays) = &strays {
                let name = format!("{KEPT}strays-{}", random_tail(6));
                refs::create(&self.git, &name, strays, "kapell env remove")?;
            }
            self.name_heads_of_worktrees()?;
            let own = self.own_refs(main)?.into_iter().map(|(name, _)| name);
            let own = own.filter(|name| !PRIVATE.iter().any(|start| name.starts_with(start)));
            let mut specs: Vec<String> =
                own.map(|name| format!("+{name}:{prefix}/{}", name.trim_start_matches("refs/"))).collect();
            if head.is_some() {
                specs.push(format!("+HEAD:{prefix}/HEAD"));
            }
            fetch_from(main, guard, &self.git.repository().git_dir, &specs)?;
        } else {
            for (name, oid) in [("HEAD", &head), ("strays", &strays)] {
                if let Some(oid) = oid {
                    refs::create(main, &format!("{prefix}/{name}"), oid, "kapell: environment removed")?;
                }
            }
        }
        self.keep_modules(main, guard, prefix)?;
        refs_below(main, prefix)
    }

    /// Gives the heads of other worktrees of a clone's repository names of their own, where no ref has them.
    fn name_heads_of_worktrees(&self) -> Result<(), GitError> {
        let common_dir = &self.git.repository().common_dir;
        for admin_dir in admin_dirs(common_dir) {
            let name = admin_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let repository = Repository { common_dir: common_dir.clone(), git_dir: admin_dir, top: None };
            let other = Git::new(self.git.program(), &repository)?;
            // One that is damaged has nothing that could be named.
            let Ok(Some(head)) = read::resolve(&other, "HEAD") else { continue };
            if !is_held(&self.git, &head) {
                let name = format!("{KEPT}worktree-{}-{}", random_tail(6), safe(&name));
                refs::create(&self.git, &name, &head, "kapell env remove")?;
            }
        }
        Ok(())
    }

    /// Brings the commits of its submodules into the project's repository. Gives the refs.
    fn keep_modules(&self, main: &Git, guard: &Guard, prefix: &str) -> Result<Vec<String>, GitError> {
        for (at, module) in modules(&self.tree.admin_dir).iter().enumerate() {
            let to = format!("{prefix}/modules/{at}");
            let specs = [format!("+refs/heads/*:{to}/heads/*"), format!("+refs/tags/*:{to}/tags/*")];
            fetch_from(main, guard, module, &specs)?;
            // The commit that is checked out may be on no branch; a submodule that has none yet has nothing.
            match fetch_from(main, guard, module, &[format!("+HEAD:{to}/HEAD")]) {
                Err(GitError::Failed { .. }) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        refs_below(main, &format!("{prefix}/modules"))
    }

    /// A commit of what its index has and its head has not, where that can be one.
    fn staged(&self, head: Option<&Oid>) -> Result<Option<Oid>, GitError> {
        let index = self.tree.admin_dir.join("index");
        let Some(head) = head.filter(|_| index.is_file()) else { return Ok(None) };
        // One with conflicts is no tree, and what is in it came from commits.
        let call = self.git.call("write-tree").index(&index).accept(&[0, 128]);
        let Some(tree) = Oid::parse(String::from_utf8_lossy(&call.run()?).trim_end()) else {
            return Ok(None);
        };
        if tree == read::tree_of(&self.git, head)? {
            return Ok(None);
        }
        land::commit_tree(&self.git, &tree, &[head], "kapell: what was staged").map(Some)
    }

    /// Files that git was told to take for unchanged (`--assume-unchanged`, `--skip-worktree`), and are not.
    /// `scratch` is a folder for an index of our own.
    pub fn hidden(&self, scratch: &Path) -> Result<Vec<String>, GitError> {
        let listed = self.call("ls-files").args(["-v", "-z"]).run()?;
        let hidden = listed.split(|byte| *byte == 0).filter_map(|entry| {
            let (tag, path) = (*entry.first()?, entry.get(2..)?);
            (tag.is_ascii_lowercase() || tag == b'S').then(|| RepoPath::from_bytes(path))
        });
        // What a sparse checkout leaves out is not there, and not gone.
        let hidden: Vec<RepoPath> = hidden
            .filter(|path| fs::symlink_metadata(self.tree.path.join(path.to_path_buf())).is_ok())
            .collect();
        if hidden.is_empty() {
            return Ok(Vec::new());
        }
        fs::create_dir_all(scratch).map_err(GitError::io("create", scratch))?;
        let (own, index) = (self.tree.admin_dir.join("index"), scratch.join("hidden"));
        fs::copy(&own, &index).map_err(GitError::io("copy", &own))?;
        let names: Vec<u8> = hidden.iter().flat_map(|path| [path.as_bytes(), b"\0"].concat()).collect();
        for seen in ["--no-assume-unchanged", "--no-skip-worktree"] {
            let call = self.call("update-index").index(&index).args([seen, "-z", "--stdin"]);
            call.stdin(names.clone()).run()?;
        }
        self.call("update-index").index(&index).args(["-q", "--refresh"]).accept(&[0, 1]).run()?;
        let changed = self.call("diff-files").index(&index).args(["--name-only", "-z"]).run()?;
        let changed: HashSet<&[u8]> = changed.split(|byte| *byte == 0).collect();
        let changed = hidden.iter().filter(|path| changed.contains(path.as_bytes()));
        Ok(changed.map(ToString::to_string).collect())
    }

    /// What git ignores of it; a folder stands for all in it and ends with `/`.
    pub fn ignored(&self) -> Result<Vec<RepoPath>, GitError> {
        let args = ["-o", "-i", "--exclude-standard", "--directory", "--no-empty-directory", "-z"];
        let printed = self.call("ls-files").args(args).run()?;
        let paths = printed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok(paths.map(RepoPath::from_bytes).collect())
    }

    /// The folders of its submodules that have work that is nowhere else.
    pub fn modules_at_work(&self, head: &Oid) -> Result<Vec<RepoPath>, GitError> {
        let mut found = Vec::new();
        for path in &read::barriers(&self.git, head)?.gitlinks {
            if self.has_work_inside(path)? {
                found.push(path.clone());
            }
        }
        Ok(found)
    }

    /// Whether a folder that is a repository of its own, or was to be one, has what is nowhere else.
    pub fn has_work_inside(&self, path: &RepoPath) -> Result<bool, GitError> {
        let folder = self.tree.path.join(path.to_path_buf());
        let is_empty = fs::read_dir(&folder).map_or(true, |mut entries| entries.next().is_none());
        if is_empty {
            return Ok(false);
        }
        let repository = match discover(&folder) {
            Ok(repository) if repository.top.as_deref() == Some(&folder) => repository,
            // Plain files, where a repository was to be.
            _ => return Ok(true),
        };
        if !repository.git_dir.starts_with(self.git.repository().git_dir.join("modules")) {
            return Ok(true);
        }
        let tree = Worktree::of_checkout(&repository)?;
        let inner = Self { git: Git::new(self.git.program(), &repository)?, tree };
        if !inner.look()?.changed.is_empty() {
            return Ok(true);
        }
        let call = inner.git.call("rev-list").args(["--count", "--max-count=1", "HEAD", "--branches"]);
        let printed =
            call.args(["--tags", "--glob=refs/stash", "--not", "--remotes"]).accept(&[0, 128]).run()?;
        Ok(printed.trim_ascii() != b"0")
    }
}

/// Keeps what of a worktree whose folder is gone only git's record of it holds: its head where it was on no
/// branch, commits that it was at before, what was staged there. Gives the refs, which are below `prefix`.
pub fn keep_gone(main: &Git, guard: &Guard, dest: &Path, prefix: &str) -> Result<Vec<String>, GitError> {
    let common_dir = &main.repository().common_dir;
    let leads_there = |admin_dir: &PathBuf| {
        let Ok(link) = fs::read_to_string(admin_dir.join("gitdir")) else { return false };
        let link = admin_dir.join(link.trim_end());
        link.parent().is_some_and(|folder| canonical_even_if_gone(folder) == canonical_even_if_gone(dest))
    };
    let mut kept = Vec::new();
    for admin_dir in admin_dirs(common_dir).filter(leads_there) {
        let repository = Repository { common_dir: common_dir.clone(), git_dir: admin_dir.clone(), top: None };
        let git = Git::new(main.program(), &repository)?;
        let tree = Worktree { path: dest.to_path_buf(), admin_dir, keeper: Keeper::Person };
        let gone = Beside { git, tree };
        let mut found = Vec::new();
        // What a branch has, or was kept already, needs no further name.
        let head = read::resolve(&gone.git, "HEAD")?;
        if let Some(head) = head.as_ref().filter(|head| !is_held(main, head)) {
            found.push(("HEAD", head.clone()));
        }
        found.extend(gone.gathered(main)?.map(|strays| ("strays", strays)));
        found.extend(gone.staged(head.as_ref())?.map(|staged| ("staged", staged)));
        for (name, oid) in found {
            let name = format!("{prefix}/{name}");
            refs::create(main, &name, &oid, "kapell: a worktree whose folder is gone")?;
            kept.push(name);
        }
        kept.extend(gone.keep_modules(main, guard, prefix)?);
    }
    Ok(kept)
}

/// A folder's name as part of a ref's.
fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn refs_below(main: &Git, prefix: &str) -> Result<Vec<String>, GitError> {
    let printed = main.call("for-each-ref").args(["--format=%(refname)", &format!("{prefix}/")]).run()?;
    Ok(String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect())
}

/// Whether a ref of the repository has the commit.
fn is_held(main: &Git, oid: &Oid) -> bool {
    let call = main.call("for-each-ref").args(["--count=1", "--format=%(refname)", "--contains"]);
    call.oid(oid).run().is_ok_and(|printed| !printed.trim_ascii().is_empty())
}

fn fetch_from(main: &Git, guard: &Guard, git_dir: &Path, specs: &[String]) -> Result<(), GitError> {
    let words = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--"];
    let mut args: Vec<&OsStr> = words.map(OsStr::new).to_vec();
    args.push(git_dir.as_os_str());
    args.extend(specs.iter().map(OsStr::new));
    plain(main.program(), &main.repository().common_dir, &args, Some(guard)).map(drop)
}

/// The git directories of the submodules of a checkout, below its own.
pub(super) fn modules(git_dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![git_dir.join("modules")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.join("HEAD").is_file() && path.join("objects").is_dir() {
                folders.push(path.join("modules"));
                found.push(path);
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            }
        }
    }
    sort(&mut found);
    found
}
