//! Whether git does what Kapell needs of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{Check, say};
use crate::services::Session;
use crate::services::project::Project;
use crate::sys::process::find::find_program;

/// The first git whose `merge-tree --write-tree` merges without a working tree.
const OLDEST: (u32, u32) = (2, 38);
/// A tiny repository on a busy machine takes far less.
const LIMIT: Duration = Duration::from_secs(30);

/// Whether there is a git, new enough, that merges.
pub fn program(session: &Session, scratch: &Path) -> Check {
    const NAME: &str = "git";
    let install = "install git 2.38 or newer from git-scm.com";
    let path = session.house.environment.get("PATH").map(String::as_str).unwrap_or_default();
    let Some(git) = find_program("git", path) else {
        return Check::fail(NAME, "not found on PATH", install);
    };
    let git = Git { program: &git, environment: environment(path, scratch), folder: scratch };
    let version = match git.say(&["--version"]) {
        Ok(version) => version,
        Err(error) => return Check::fail(NAME, error, install),
    };
    let version = version.trim_start_matches("git version ").to_owned();
    match parse(&version) {
        Some(found) if found < OLDEST => {
            return Check::fail(
                NAME,
                format!("{} is version {version}, too old", git.program.display()),
                install,
            );
        }
        Some(_) => {}
        None => {
            return Check::fail(
                NAME,
                format!("{} says {version:?}, which is no version", git.program.display()),
                install,
            );
        }
    }
    match git.merge() {
        Ok(()) => Check::ok(NAME, format!("{version} at {}, and it merges", git.program.display())),
        Err(error) => Check::fail(NAME, format!("{version}: {error}"), install),
    }
}

/// Only what git needs: a person's aliases, hooks and `GIT_DIR` would try something else.
fn environment(path: &str, home: &Path) -> BTreeMap<String, String> {
    [
        ("PATH", path),
        ("HOME", &home.to_string_lossy()),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("LC_ALL", "C"),
        ("GIT_AUTHOR_NAME", "kapell doctor"),
        ("GIT_AUTHOR_EMAIL", "doctor@localhost"),
        ("GIT_COMMITTER_NAME", "kapell doctor"),
        ("GIT_COMMITTER_EMAIL", "doctor@localhost"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Major and minor of `2.43.0`, `2.39.5 (Apple Git-154)`, `2.47.0.windows.1`.
pub(super) fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', ' ', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

struct Git<'a> {
    program: &'a Path,
    environment: BTreeMap<String, String>,
    folder: &'a Path,
}

impl Git<'_> {
    /// What git says on one line, or what went wrong.
    fn say(&self, args: &[&str]) -> Result<String, String> {
        say(self.program, args, self.folder, &self.environment, LIMIT)
            .map_err(|error| format!("git {}: {error}", args.first().copied().unwrap_or_default()))
    }

    /// Merges two commits that each add a file, as landing does it.
    fn merge(&self) -> Result<(), String> {
        self.say(&["init", "--quiet", "."])?;
        let empty = self.say(&["mktree", "--missing"])?;
        let base = self.say(&["commit-tree", &empty, "-m", "base"])?;
        let mut sides = Vec::new();
        for name in ["ours", "theirs"] {
            let file = self.folder.join(name);
            std::fs::write(&file, name).map_err(|error| format!("{}: {error}", file.display()))?;
            let blob = self.say(&["hash-object", "-w", name])?;
            self.say(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{name}")])?;
            let tree = self.say(&["write-tree"])?;
            self.say(&["read-tree", "--empty"])?;
            sides.push(self.say(&["commit-tree", &tree, "-p", &base, "-m", name])?);
        }
        let tree = self.say(&["merge-tree", "--write-tree", &sides[0], &sides[1]])?;
        let merged = self.say(&["ls-tree", "--name-only", &tree])?;
        if merged == "ours\ntheirs" { Ok(()) } else { Err(format!("its merge gave {merged:?}")) }
    }
}

/// Whether the folder is a repository that workers can get worktrees of.
pub fn repository(session: &Session, project: &Project) -> Check {
    const NAME: &str = "project";
    let Some(repository) = &project.repository else {
        return Check::warn(
            NAME,
            format!("{} is no git repository", project.place.display()),
            "git init and a first commit; workers then get worktrees of their own",
        );
    };
    let Some(top) = &repository.top else {
        return Check::warn(
            NAME,
            format!("{} is a bare repository", repository.common_dir.display()),
            "start kapell in a clone of it",
        );
    };
    let path = session.house.environment.get("PATH").map(String::as_str).unwrap_or_default();
    // That there is no git was told already.
    let Some(git) = find_program("git", path) else { return Check::ok(NAME, top.display().to_string()) };
    let git = Git { program: &git, environment: environment(path, &session.house.home), folder: top };
    match git.say(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]) {
        Ok(commit) => {
            Check::ok(NAME, format!("{} at {}", top.display(), commit.get(..10).unwrap_or(&commit)))
        }
        Err(_) => Check::warn(
            NAME,
            format!("{} has no commit that git can read", top.display()),
            "make a first commit; if there is one, git status says what is wrong",
        ),
    }
}
