//! The git workflow of an environment: each verb is done whole or not at all, and what it does over is kept.
//! What touches the project's repository is done in its git queue.

use super::{Ground, at_once, each, guarding, keeping, working};
use crate::domain::environment::some_of;
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, Session};
use crate::store::environments::EnvironmentRow;
use crate::sys::disk;
use crate::sys::git::checkout::{self, Forward};
use crate::sys::git::environment::{Beside, Changed, Look};
use crate::sys::git::flow::{self, Brought, Logged, Pushed, Tried};
use crate::sys::git::land::{self, Advance};
use crate::sys::git::run::GitError;
use crate::sys::git::{Oid, read, refs};

/// The verbs.
pub const VERBS: [&str; 12] = [
    "status", "sync", "feature", "commit", "push", "pull", "log", "diff", "rebase", "reset", "clean", "merge",
];

/// Commits of a log, unless told.
const LOGGED: u32 = 10;

/// What a verb gave.
#[derive(Debug, Clone, Default)]
pub struct Gave {
    /// The environment.
    pub name: String,
    /// The verb.
    pub verb: String,
    /// In a sentence.
    pub message: String,
    /// How the checkout is after it.
    pub look: Look,
    /// Files that are not as the commit has them, where that was asked.
    pub files: Vec<Changed>,
    /// The ref that keeps what was there before.
    pub kept: Option<String>,
    /// Commits, where they were asked for.
    pub commits: Vec<Logged>,
    /// Branches that went.
    pub branches: Vec<String>,
    /// The diff.
    pub diff: Option<String>,
}

/// A verb at work.
struct Work<'a> {
    ground: &'a Ground<'a>,
    row: &'a EnvironmentRow,
    beside: Beside,
    look: Look,
}

/// Does a verb in one environment.
pub fn git(session: &Session, name: &str, verb: &str, args: &[String]) -> Result<Gave, Error> {
    if !VERBS.contains(&verb) {
        let message = format!("`{}` is no verb of kapell env git", verb.escape_debug());
        return Err(Refusal::new(Code::Usage, message, format!("there are {}", VERBS.join(", "))).into());
    }
    let ground = Ground::of(session)?;
    // Who only looks waits for nobody.
    let _hold = match verb {
        "status" | "log" => None,
        _ => Some(ground.hold(name)?),
    };
    let row = ground.row(name)?;
    done(&ground, &row, verb, args)
}

/// Brings the main branch into one or all.
pub fn sync(session: &Session, name: Option<&str>) -> Result<(Vec<Gave>, Vec<super::Failed>), Error> {
    let ground = Ground::of(session)?;
    let rows = ground.meant(name)?;
    let outcomes = each(&rows, at_once(), |row| {
        let synced = ground.hold(&row.name).and_then(|_hold| done(&ground, row, "sync", &[]));
        synced.map_err(|error| super::Failed { name: row.name.clone(), sub: None, error: Box::new(error) })
    });
    let (mut gave, mut failed) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(one) => gave.push(one),
            Err(one) => failed.push(one),
        }
    }
    Ok((gave, super::or_all_failed(rows.len(), failed)?))
}

pub(super) fn done(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    verb: &str,
    args: &[String],
) -> Result<Gave, Error> {
    if !matches!(verb, "status" | "push" | "log" | "diff" | "clean") {
        working::nobody_at_work(ground, &row.name, verb)?;
    }
    let beside = ground.open(row)?;
    let look = beside.look()?;
    let work = Work { ground, row, beside, look };
    let arg = match (verb, args) {
        ("feature" | "commit", [arg]) => arg.as_str(),
        // Back to its own branch.
        ("feature", []) => row.branch.as_str(),
        ("feature" | "commit", _) => {
            let message = format!("{verb} wants one argument, and got {}", args.len());
            let hint = format!(
                "kapell env git {} {verb} {}",
                row.name,
                if verb == "commit" { "'MESSAGE'" } else { "NAME" }
            );
            return Err(Refusal::new(Code::Usage, message, hint).into());
        }
        ("log" | "reset", [] | [_]) | (_, []) => args.first().map_or("", String::as_str),
        ("log" | "reset", [_, other, ..]) | (_, [other, ..]) => {
            let message = format!("{verb} takes no `{}`", other.escape_debug());
            let hint = format!("kapell env git {} {verb}", row.name);
            return Err(Refusal::new(Code::Usage, message, hint).into());
        }
    };
    if matches!(verb, "sync" | "pull" | "merge" | "rebase" | "feature" | "reset") {
        work.nothing_under_way(verb)?;
    }
    let gave = match verb {
        "status" => work.status(),
        "sync" => work.sync(),
        "feature" => work.feature(arg),
        "commit" => work.commit(arg),
        "push" => work.push(),
        "pull" => work.pull(),
        "log" => work.log(arg),
        "diff" => work.diff(),
        "rebase" => work.rebase(),
        "reset" => work.reset(arg),
        "clean" => work.clean(),
        _ => work.merge(),
    };
    let mut gave = gave.map_err(|error| explained(row, verb, error))?;
    gave.name.clone_from(&row.name);
    verb.clone_into(&mut gave.verb);
    gave.look = work.beside.look()?;
    if !matches!(verb, "status" | "log" | "diff") {
        ground.session.store()?.write(|tx| {
            let text = format!("{}: {verb}: {}", row.name, gave.message);
            tx.tell_of_environment(&ground.project.id, &row.name, None, "environment.git", text)
        })?;
    }
    Ok(gave)
}

/// What git did not do, in words: it names files that are in the way, and says what it does not like.
fn explained(row: &EnvironmentRow, verb: &str, error: Error) -> Error {
    let inner = match &error {
        Error::System { source, .. } => source.get_ref().and_then(|inner| inner.downcast_ref::<GitError>()),
        _ => None,
    };
    let Some(GitError::Failed { stderr, .. }) = inner else { return error };
    let name = &row.name;
    let files = flow::in_the_way(stderr);
    if !files.is_empty() {
        return Refusal::new(
            Code::Conflict,
            format!("in {name}, {} would be written over by {verb}; nothing was changed", some_of(&files)),
            format!("move it away, or kapell env git {name} commit 'MESSAGE', then {verb} again"),
        )
        .with_all("paths", files)
        .into();
    }
    let lines = stderr.lines().map(|line| {
        let line = line.trim();
        ["fatal: ", "error: "].iter().find_map(|start| line.strip_prefix(start)).unwrap_or(line)
    });
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with("hint: ")).collect();
    if lines.is_empty() || disk::says_full(stderr) {
        return error;
    }
    let message = format!("git does not {verb} {name}: {}", lines.join("; "));
    if let Some(lock) = locked(stderr) {
        let message = format!("git does not {verb} {name}: {lock} is there");
        let hint = format!("another git is at work there; where none is, one was killed over it: rm {lock}");
        return Refusal::new(Code::Busy, message, hint).into();
    }
    Refusal::new(Code::Conflict, message, format!("git status in {} says more", row.path)).into()
}

/// The lock of another git that is in the way, as git names it.
fn locked(stderr: &str) -> Option<String> {
    let line =
        stderr.lines().find(|line| line.contains("Unable to create '") && line.contains("File exists"))?;
    let path = line.split('\'').nth(1).filter(|path| path.ends_with(".lock"))?;
    Some(shell_words::quote(path).into_owned())
}

fn said(message: impl Into<String>) -> Gave {
    Gave { message: message.into(), ..Gave::default() }
}

/// What is told of submodules that are not at their commits.
fn behind_text(row: &EnvironmentRow, behind: &[crate::base::paths::RepoPath]) -> String {
    if behind.is_empty() {
        return String::new();
    }
    let names: Vec<String> = behind.iter().map(ToString::to_string).collect();
    let path = shell_words::quote(&row.path);
    format!("; not at its commit: {} (git -C {path} submodule update)", some_of(&names))
}

fn short(oid: &Oid) -> &str {
    oid.as_str().get(..10).unwrap_or_else(|| oid.as_str())
}

impl Work<'_> {
    fn head(&self) -> Result<Oid, Error> {
        Ok(self.look.head.clone().ok_or_else(|| {
            Refusal::new(
                Code::Unsupported,
                format!("{} has no commit", self.row.name),
                format!("kapell env git {} commit 'MESSAGE' makes one", self.row.name),
            )
        })?)
    }

    fn branch(&self) -> Result<&str, Refusal> {
        self.look.branch.as_deref().ok_or_else(|| {
            let message = format!("{} is on no branch", self.row.name);
            Refusal::new(
                Code::Conflict,
                message,
                format!("git switch {} in {}", self.row.branch, self.row.path),
            )
        })
    }

    /// Refuses while a person is in the middle of something.
    fn nothing_under_way(&self, verb: &str) -> Result<(), Refusal> {
        let Some(what) = checkout::in_progress(&self.beside.tree.admin_dir) else { return Ok(()) };
        Err(Refusal::new(
            Code::Conflict,
            format!("{what} is under way in {}", self.row.path),
            format!("finish or abort it there, then {verb} again"),
        ))
    }

    /// Refuses where something is not committed that the verb would have to do over.
    fn clean_tree(&self, verb: &str) -> Result<(), Refusal> {
        let known: Vec<&str> = self
            .look
            .changed
            .iter()
            .filter(|file| file.how != "new")
            .map(|file| file.path.as_str())
            .collect();
        if known.is_empty() {
            return Ok(());
        }
        let named: Vec<&str> = known.iter().take(5).copied().collect();
        let more = known.len().saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let name = &self.row.name;
        Err(Refusal::new(
            Code::Conflict,
            format!("{name} has changes that are not committed: {}{more}", named.join(", ")),
            format!("kapell env git {name} commit 'MESSAGE', then {verb} again"),
        ))
    }

    /// The main branch's commit, brought here.
    fn main(&self) -> Result<Oid, Error> {
        let tip = self.ground.main_tip(self.row)?;
        self.beside.fetch(&self.ground.git, &self.row.main)?;
        Ok(tip)
    }

    fn conflict(
        &self,
        verb: &str,
        with: &str,
        paths: &[crate::base::paths::RepoPath],
        report: &str,
    ) -> Error {
        let named: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let report =
            if report.trim().is_empty() { String::new() } else { format!("\n{}", report.trim_end()) };
        Refusal::new(
            Code::Conflict,
            format!(
                "{} conflicts with {with} in {}; nothing was changed{report}",
                self.row.name,
                named.join(", ")
            ),
            format!(
                "settle it by hand in {}: git merge {with}, edit, commit; then {verb} again",
                self.row.path
            ),
        )
        .with_all("paths", named)
        .into()
    }

    /// What the main branch is called from here.
    fn main_here(&self) -> String {
        match self.beside.is_clone(&self.ground.git) {
            true => format!("origin/{}", self.row.main),
            false => self.row.main.clone(),
        }
    }

    fn status(&self) -> Result<Gave, Error> {
        let mut files = self.look.changed.clone();
        let scratch = keeping::Scratch::new(self.ground)?;
        files.extend(self.beside.hidden(&scratch.0)?.into_iter().map(|path| Changed { how: "hidden", path }));
        let message = match files.len() {
            0 => "everything is committed".to_owned(),
            1 => "1 file is not committed".to_owned(),
            count => format!("{count} files are not committed"),
        };
        Ok(Gave { files, ..said(message) })
    }

    fn sync(&self) -> Result<Gave, Error> {
        self.clean_tree("sync")?;
        self.branch()?;
        let (head, main) = (self.head()?, self.main()?);
        let with = self.main_here();
        let message = format!("Merge {} into {}", self.row.main, self.branch()?);
        match self.beside.bring_in(&head, &main, &message, &guarding::spared(self.row))? {
            Brought::UpToDate => Ok(said(format!("has all of {}", self.row.main))),
            Brought::Done(now) => {
                let behind = self.follow(&head, &now)?;
                Ok(said(format!("has all of {} now, at {}{behind}", self.row.main, short(&now))))
            }
            Brought::Conflict { paths, report } => Err(self.conflict("sync", &with, &paths, &report)),
            Brought::Covers(paths) => Err(guarding::covers(self.row, "sync", &paths).into()),
        }
    }

    fn feature(&self, name: &str) -> Result<Gave, Error> {
        let branch = match name {
            name if name == self.row.branch || name.starts_with("feature/") => name.to_owned(),
            name => format!("feature/{name}"),
        };
        if !self.beside.is_branch_name(&branch)? {
            let message = format!("`{}` cannot be the name of a branch", name.escape_debug());
            return Err(Refusal::new(Code::BadPath, message, "use letters, digits and hyphens").into());
        }
        self.room_for(&branch, "feature")?;
        let is_here = refs::read(&self.beside.git, &format!("refs/heads/{branch}"))?.is_some();
        let theirs = if is_here { None } else { self.branch_of_project(&branch)? };
        if let Some(theirs) = theirs.filter(|_| branch != self.row.branch) {
            return self.take_up(&branch, &theirs);
        }
        let is_new = self.beside.switch(&branch)?;
        if is_new && branch != self.row.branch {
            self.beside.claim_branch(&branch, &self.row.name)?;
        }
        Ok(said(format!("{} {branch}", if is_new { "is on a new branch," } else { "is on" })))
    }

    /// A branch of that name is in the project, from another environment perhaps: this one begins where that is,
    /// so that both can be pushed.
    fn take_up(&self, branch: &str, theirs: &Oid) -> Result<Gave, Error> {
        let mut covered = self.beside.covered(theirs)?;
        let spared = guarding::spared(self.row);
        covered.retain(|path| !spared(path));
        if !covered.is_empty() {
            return Err(guarding::covers(self.row, "feature", &covered).into());
        }
        let before = self.head()?;
        self.beside.switch_to_new(branch, theirs)?;
        self.beside.claim_branch(branch, &self.row.name)?;
        let behind = self.follow(&before, theirs)?;
        Ok(said(format!("is on {branch}, which begins where the project's is, at {}{behind}", short(theirs))))
    }

    /// Has submodules follow; what is told of those that do not.
    fn follow(&self, before: &Oid, after: &Oid) -> Result<String, Error> {
        let behind = self.beside.follow(&self.ground.git, before, after)?;
        Ok(behind_text(self.row, &behind))
    }

    /// Refuses to check out a branch whose files would take the place of what git ignores here.
    fn room_for(&self, branch: &str, verb: &str) -> Result<(), Error> {
        let Some(tip) = refs::read(&self.beside.git, &format!("refs/heads/{branch}"))? else { return Ok(()) };
        let mut covered = self.beside.covered(&tip)?;
        let spared = guarding::spared(self.row);
        covered.retain(|path| !spared(path));
        if covered.is_empty() { Ok(()) } else { Err(guarding::covers(self.row, verb, &covered).into()) }
    }

    fn commit(&self, message: &str) -> Result<Gave, Error> {
        if message.trim().is_empty() {
            let hint = "say in a line what was changed";
            return Err(Refusal::new(Code::Usage, "a commit wants a message", hint).into());
        }
        if let Some(file) = self.look.changed.iter().find(|file| file.how == "conflict") {
            let message = format!("{} has a conflict in {}", self.row.name, file.path);
            let hint = format!("settle it in {}, git add it, then commit again", self.row.path);
            return Err(Refusal::new(Code::Conflict, message, hint).into());
        }
        let (commit, behind) = self.beside.commit_all(message)?;
        let behind = behind_text(self.row, &behind);
        match commit {
            Some(commit) if self.look.branch.is_none() => Ok(said(format!(
                "committed {0}, which no branch has: kapell env git {1} feature NAME makes one{behind}",
                short(&commit),
                self.row.name
            ))),
            Some(commit) => Ok(said(format!("committed {}{behind}", short(&commit)))),
            None => {
                let message = format!("{} has nothing to commit{behind}", self.row.name);
                let hint = if behind.is_empty() { "change something first" } else { "update the submodule" };
                Err(Refusal::new(Code::Conflict, message, hint).into())
            }
        }
    }

    fn push(&self) -> Result<Gave, Error> {
        let branch = self.branch()?;
        let kept = self.push_branch(branch, "push")?;
        Ok(Gave { kept, ..said(format!("the project has {branch} at {}", short(&self.head()?))) })
    }

    /// Gives the ref of the project that keeps where the branch was, if that is not behind it now.
    fn push_branch(&self, branch: &str, verb: &str) -> Result<Option<String>, Error> {
        let main = &self.ground.git;
        let guard = main.turn()?;
        if self.beside.is_clone(main)
            && let Some(path) = land::checked_out(main, &format!("refs/heads/{branch}"))?
        {
            let message = format!("{branch} is checked out in {}", path.display());
            return Err(Refusal::new(Code::Conflict, message, "check something else out there").into());
        }
        let prefix = keeping::project_prefix(self.ground, self.row)?;
        match self.beside.push(main, &guard, branch, &prefix)? {
            Pushed::Done { kept } => Ok(kept),
            Pushed::Rejected => Err(Refusal::new(
                Code::Conflict,
                format!("the project's {branch} has commits that {} never had", self.row.name),
                format!("kapell env git {} pull, then {verb} again", self.row.name),
            )
            .into()),
        }
    }

    fn pull(&self) -> Result<Gave, Error> {
        self.clean_tree("pull")?;
        let branch = self.branch()?;
        let Some(theirs) = refs::read(&self.ground.git, &format!("refs/heads/{branch}"))? else {
            let message = format!("the project has no branch {branch}");
            let hint = format!("kapell env git {} push makes it", self.row.name);
            return Err(Refusal::new(Code::NotFound, message, hint).into());
        };
        self.beside.fetch(&self.ground.git, branch)?;
        let message = format!("Merge the project's {branch}");
        let head = self.head()?;
        match self.beside.bring_in(&head, &theirs, &message, &guarding::spared(self.row))? {
            Brought::UpToDate => Ok(said(format!("has all of the project's {branch}"))),
            Brought::Done(now) => {
                let behind = self.follow(&head, &now)?;
                Ok(said(format!("has all of the project's {branch} now, at {}{behind}", short(&now))))
            }
            Brought::Conflict { paths, report } => {
                Err(self.conflict("pull", &format!("origin/{branch}"), &paths, &report))
            }
            Brought::Covers(paths) => Err(guarding::covers(self.row, "pull", &paths).into()),
        }
    }

    fn log(&self, count: &str) -> Result<Gave, Error> {
        let count = match count {
            "" => LOGGED,
            text => text.parse().ok().filter(|count| (1..=1000).contains(count)).ok_or_else(|| {
                let message = format!("`{}` is no number of commits", text.escape_debug());
                Refusal::new(Code::Usage, message, "1 to 1000")
            })?,
        };
        self.head()?;
        let commits = self.beside.log(count)?;
        Ok(Gave {
            commits,
            ..said(format!("the last commits of {}", self.look.branch.as_deref().unwrap_or("no branch")))
        })
    }

    fn diff(&self) -> Result<Gave, Error> {
        let main = self.main()?;
        let (diff, is_cut) = self.beside.diff(&self.head()?, &main)?;
        let unknown = self.look.changed.iter().filter(|file| file.how == "new").count();
        let new = if unknown > 0 {
            format!("; {unknown} new files or folders are not shown")
        } else {
            String::new()
        };
        let cut = match is_cut {
            true => format!(
                "; the diff is cut after {} bytes, and no patch: git -C {} diff shows all",
                diff.len(),
                shell_words::quote(&self.row.path)
            ),
            false => String::new(),
        };
        let what = if diff.is_empty() { "does not differ from" } else { "differs from" };
        Ok(Gave { diff: Some(diff), ..said(format!("{what} {}{new}{cut}", self.row.main)) })
    }

    fn rebase(&self) -> Result<Gave, Error> {
        self.clean_tree("rebase")?;
        self.branch()?;
        let (head, main) = (self.head()?, self.main()?);
        let with = self.main_here();
        if read::is_ancestor(&self.beside.git, &main, &head)? {
            return Ok(said(format!("is on {} already", self.row.main)));
        }
        let kept = keeping::snapshot(self.ground, self.row, &self.beside, "rebased")?.reference;
        match self.beside.rebase(&head, &main, &guarding::spared(self.row))? {
            Brought::UpToDate => Ok(said(format!("is on {} already", self.row.main))),
            Brought::Done(now) => {
                let behind = self.follow(&head, &now)?;
                Ok(Gave {
                    kept: Some(kept),
                    ..said(format!("is on {} now, at {}{behind}", self.row.main, short(&now)))
                })
            }
            Brought::Conflict { paths, report } => Err(self.conflict("rebase", &with, &paths, &report)),
            Brought::Covers(paths) => {
                self.beside.forget(&kept)?;
                Err(guarding::covers(self.row, "rebase", &paths).into())
            }
        }
    }

    fn reset(&self, to: &str) -> Result<Gave, Error> {
        let main = self.main()?;
        let to = match to {
            "" => main,
            // Its own branch of that name is where the main branch was when it was made.
            rev if rev == self.row.main => main,
            rev => match (read::named(&self.beside.git, rev)?, self.branch_of_project(rev)?) {
                (Some(commit), _) | (None, Some(commit)) => commit,
                (None, None) => {
                    let message = format!("`{}` names no commit in {}", rev.escape_debug(), self.row.name);
                    return Err(Refusal::new(Code::NotFound, message, "name a branch, tag or commit").into());
                }
            },
        };
        let kept = keeping::snapshot(self.ground, self.row, &self.beside, "reset")?;
        if let Err(no) = guarding::nothing_lost(self.row, "reset", &self.beside, &kept, &to, false) {
            self.beside.forget(&kept.reference)?;
            return Err(no);
        }
        self.beside.reset(&to)?;
        let behind = match &self.look.head {
            Some(head) => self.follow(head, &to)?,
            None => String::new(),
        };
        Ok(Gave { kept: Some(kept.reference), ..said(format!("is at {}{behind}", short(&to))) })
    }

    /// The commit of a branch of the project, brought here.
    fn branch_of_project(&self, name: &str) -> Result<Option<Oid>, Error> {
        if !self.beside.is_branch_name(name)? {
            return Ok(None);
        }
        let tip = refs::read(&self.ground.git, &format!("refs/heads/{name}"))?;
        if tip.is_some() {
            self.beside.fetch(&self.ground.git, name)?;
        }
        Ok(tip)
    }

    fn clean(&self) -> Result<Gave, Error> {
        let main = self.main()?;
        // Branches of a worktree are the project's; only those that this environment made are ours.
        let is_clone = self.beside.is_clone(&self.ground.git);
        let stays = |branch: &str| {
            branch == self.row.branch
                || branch == self.row.main
                || self.look.branch.as_deref() == Some(branch)
        };
        let merged = self.beside.merged_branches(&main)?;
        let mut branches = Vec::new();
        let guard = self.ground.git.turn()?;
        for branch in merged.into_iter().filter(|branch| !stays(branch)) {
            let is_ours = is_clone || self.beside.branch_maker(&branch)?.as_ref() == Some(&self.row.name);
            if is_ours && land::checked_out(&self.beside.git, &format!("refs/heads/{branch}"))?.is_none() {
                self.beside.delete_branch(&guard, &branch)?;
                branches.push(branch);
            }
        }
        let message = match branches.len() {
            0 => "no branch is merged and left over".to_owned(),
            1 => "1 merged branch is deleted".to_owned(),
            count => format!("{count} merged branches are deleted"),
        };
        Ok(Gave { branches, ..said(message) })
    }

    fn merge(&self) -> Result<Gave, Error> {
        self.clean_tree("merge")?;
        let branch = self.branch()?.to_owned();
        let head = self.head()?;
        if branch == self.row.branch {
            return self.merge_into_main(&head);
        }
        self.room_for(&self.row.branch, "merge")?;
        self.beside.switch(&self.row.branch)?;
        let own = self.beside.look()?.head.unwrap_or_else(|| head.clone());
        let message = format!("Merge {branch} into {}", self.row.branch);
        match self.beside.bring_in(&own, &head, &message, &guarding::spared(self.row)) {
            Ok(Brought::UpToDate) => {
                Ok(said(format!("{} has all of {branch}, and is checked out now", self.row.branch)))
            }
            Ok(Brought::Done(now)) => Ok(said(format!(
                "{} has all of {branch} now, at {}, and is checked out now",
                self.row.branch,
                short(&now)
            ))),
            Ok(Brought::Conflict { paths, report }) => {
                self.beside.switch(&branch)?;
                Err(self.conflict("merge", &self.row.branch, &paths, &report))
            }
            Ok(Brought::Covers(paths)) => {
                self.beside.switch(&branch)?;
                Err(guarding::covers(self.row, "merge", &paths).into())
            }
            Err(error) => {
                self.beside.switch(&branch)?;
                Err(error.into())
            }
        }
    }

    /// Puts the environment's branch into the project's main branch; a checkout of that follows where
    /// nothing of a person's is in the way.
    fn merge_into_main(&self, head: &Oid) -> Result<Gave, Error> {
        let git = &self.ground.git;
        let main = &self.row.main;
        {
            let guard = git.turn()?;
            let lent = self.beside.lend(git, &guard, head)?;
            let tried =
                self.ground.main_tip(self.row).and_then(|onto| Ok(flow::try_merge(git, &onto, head)?));
            lent.take_back(git)?;
            if let Tried::Conflict(paths, report) = tried? {
                return Err(self.conflict("merge", &self.main_here(), &paths, &report));
            }
        }
        self.push_branch(&self.row.branch, "merge")?;
        let reference = format!("refs/heads/{main}");
        let guard = git.turn()?;
        let onto = self.ground.main_tip(self.row)?;
        if read::is_ancestor(git, head, &onto)? {
            return Ok(said(format!("{main} has all of {}", self.row.branch)));
        }
        let new = if read::is_ancestor(git, &onto, head)? {
            head.clone()
        } else {
            match flow::try_merge(git, &onto, head)? {
                Tried::Clean(tree) => {
                    let message = format!("Merge {} into {main}\n", self.row.branch);
                    land::commit_tree(git, &tree, &[&onto, head], &message)?
                }
                Tried::Conflict(paths, report) => {
                    return Err(self.conflict("merge", &self.main_here(), &paths, &report));
                }
            }
        };
        let refused = |what: String, hint: &str| -> Result<Gave, Error> {
            Err(Refusal::new(Code::Conflict, format!("{main} was not moved: {what}"), hint).into())
        };
        let again = "look at it there, then merge again";
        match land::advance(git, &guard, &reference, &new, Some(&onto))? {
            Advance::Advanced => {}
            Advance::Moved { .. } => return refused("somebody moved it meanwhile".to_owned(), "merge again"),
            Advance::InProgress { path, what } => {
                return refused(format!("{what} of it is going on in {}", path.display()), again);
            }
            Advance::CheckedOut { path } => {
                match checkout::fast_forward(git, &guard, &path, &reference, &onto, &new)? {
                    Forward::Forwarded => {}
                    Forward::Dirty { paths } => {
                        let named: Vec<String> = paths.iter().take(5).map(ToString::to_string).collect();
                        let what =
                            format!("in {} are changes in the way: {}", path.display(), named.join(", "));
                        return refused(what, "commit or put them away, then merge again");
                    }
                    Forward::InProgress { what } => {
                        return refused(format!("{what} is going on in {}", path.display()), again);
                    }
                    Forward::Twice { other } => {
                        return refused(format!("it is checked out in {} too", other.display()), again);
                    }
                    Forward::Locked { lock } => {
                        return refused(format!("another git has {}", lock.display()), again);
                    }
                    Forward::Moved { .. } | Forward::Diverged | Forward::OtherHead(_) => {
                        return refused("somebody moved it meanwhile".to_owned(), "merge again");
                    }
                }
            }
        }
        Ok(said(format!("{main} has all of {} now, at {}", self.row.branch, short(&new))))
    }
}
