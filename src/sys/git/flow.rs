//! The steps of working with git in an environment, each done whole or not at all.

use std::ffi::OsStr;

use super::environment::{Beside, plain};
use super::land::parse_merge;
use super::queue::Guard;
use super::read;
use super::run::{Git, GitError, unexpected};
use super::{Oid, refs};
use crate::base::ids::random_tail;
use crate::base::paths::RepoPath;

/// A diff is cut after so many bytes.
const LONGEST_DIFF: usize = 1 << 20;

/// How bringing commits in ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// They were there already.
    UpToDate,
    /// They are there now; the new head.
    Done(Oid),
    /// They do not fit; nothing was changed.
    Conflict {
        /// Where.
        paths: Vec<RepoPath>,
        /// What git says of each.
        report: String,
    },
    /// Files that git does not know would be written over; nothing was changed.
    Covers(Vec<RepoPath>),
}

/// Whether a file may be written over although git does not know it, by its path.
pub type Spared<'a> = dyn Fn(&RepoPath) -> bool + 'a;

/// The setting that says which environment made a branch.
fn made_by(branch: &str) -> String {
    format!("branch.{branch}.kapellEnvironment")
}

fn not_spared(mut covered: Vec<RepoPath>, spared: &Spared<'_>) -> Option<Brought> {
    covered.retain(|path| !spared(path));
    (!covered.is_empty()).then_some(Brought::Covers(covered))
}

/// A commit, for a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its name.
    pub commit: String,
    /// Who made it.
    pub author: String,
    /// When, RFC 3339.
    pub at: String,
    /// The first line of its message.
    pub subject: String,
}

/// What a merge would come to.
#[derive(Debug)]
pub enum Tried {
    /// A tree.
    Clean(Oid),
    /// Nothing.
    Conflict(Vec<RepoPath>, String),
}

/// Merges two commits without files, as git would.
pub fn try_merge(git: &Git, ours: &Oid, theirs: &Oid) -> Result<Tried, GitError> {
    let call = git.call("merge-tree").args(["--write-tree", "-z", "--name-only", "--messages"]);
    let finished = call.oid(ours).oid(theirs).accept(&[0, 1]).finish()?;
    let (tree, paths, report) =
        parse_merge(&finished.stdout).ok_or_else(|| unexpected("merge-tree", &finished.stdout))?;
    Ok(if finished.code == Some(1) { Tried::Conflict(paths, report) } else { Tried::Clean(tree) })
}

/// How moving a branch of the project ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It is where it is here.
    Done {
        /// The ref that keeps where it was, if that is not behind it now.
        kept: Option<String>,
    },
    /// It has commits that were never here.
    Rejected,
}

/// A ref of the project that holds a commit for as long as it is looked at.
#[derive(Debug)]
pub struct Lent(String);

/// The start of their names.
const LENT: &str = "refs/kapell/lent/";

fn sweep_lent(git: &Git) -> Result<(), GitError> {
    let printed = git.call("for-each-ref").args(["--format=%(refname)", LENT]).run()?;
    for name in String::from_utf8_lossy(&printed).lines() {
        git.call("update-ref").args(["-d", name]).run()?;
    }
    Ok(())
}

impl Lent {
    /// Deletes the ref.
    pub fn take_back(self, main: &Git) -> Result<(), GitError> {
        main.call("update-ref").args(["-d", &self.0]).run().map(drop)
    }
}

/// The files that are in the way of what git was to do, as it names them.
pub fn in_the_way(stderr: &str) -> Vec<String> {
    let mut lines = stderr.lines().skip_while(|line| !line.contains("would be overwritten by"));
    lines.next();
    lines.take_while(|line| line.starts_with('\t')).map(|line| line.trim().to_owned()).collect()
}

impl Beside {
    /// Fetches a branch of the project, where this is a clone: `refs/remotes/origin/BRANCH`.
    pub fn fetch(&self, main: &Git, branch: &str) -> Result<(), GitError> {
        if !self.is_clone(main) {
            return Ok(());
        }
        let call = self.call("fetch").args(["--quiet", "--no-tags", "--no-write-fetch-head"]);
        let call = call.args(["--no-recurse-submodules", "--"]).arg(&main.repository().common_dir);
        call.arg(format!("+refs/heads/{branch}:refs/remotes/origin/{branch}")).run()?;
        Ok(())
    }

    /// Brings a commit that is here into the checked-out branch: forward where that is enough, else by a
    /// merge, and that only where it has no conflicts. Of the files that would be written over, `spared` are
    /// nobody's loss.
    pub fn bring_in(
        &self,
        head: &Oid,
        theirs: &Oid,
        message: &str,
        spared: &Spared<'_>,
    ) -> Result<Brought, GitError> {
        if read::is_ancestor(&self.git, theirs, head)? {
            return Ok(Brought::UpToDate);
        }
        if read::is_ancestor(&self.git, head, theirs)? {
            let covered = self.covered(theirs)?;
            if let Some(in_the_way) = not_spared(covered, spared) {
                return Ok(in_the_way);
            }
            self.call("merge").args(["--quiet", "--ff-only"]).oid(theirs).run()?;
            return Ok(Brought::Done(theirs.clone()));
        }
        let covered = match try_merge(&self.git, head, theirs)? {
            Tried::Conflict(paths, report) => return Ok(Brought::Conflict { paths, report }),
            Tried::Clean(tree) => self.covered(&tree)?,
        };
        if let Some(in_the_way) = not_spared(covered, spared) {
            return Ok(in_the_way);
        }
        let merged =
            self.commits("merge")?.args(["--quiet", "--no-ff", "--no-edit", "-m", message]).oid(theirs).run();
        if let Err(error) = merged {
            // Only what this began is taken back: whoever asks has seen that nothing was under way.
            if self.tree.admin_dir.join("MERGE_HEAD").exists() {
                let _ = self.call("merge").arg("--abort").run();
            }
            return Err(error);
        }
        self.new_head()
    }

    fn new_head(&self) -> Result<Brought, GitError> {
        let head = read::resolve(&self.git, "HEAD")?;
        head.map(Brought::Done).ok_or_else(|| unexpected("rev-parse HEAD", b""))
    }

    /// A call that makes commits: the person's, or Kapell's where nobody said who they are.
    fn commits(&self, command: &str) -> Result<super::run::Call<'_>, GitError> {
        Ok(if self.has_identity()? { self.call(command) } else { self.git.tree_call(&self.tree, command) })
    }

    /// Whether a text can be a branch's name.
    pub fn is_branch_name(&self, name: &str) -> Result<bool, GitError> {
        if name.starts_with('-') || name.contains('\0') {
            return Ok(false);
        }
        let call = self.git.call("check-ref-format").arg(format!("refs/heads/{name}"));
        Ok(call.accept(&[0, 1]).finish()?.code == Some(0))
    }

    /// Checks a branch out, made where it is missing; whether it was. Changes that are not committed go along.
    pub fn switch(&self, branch: &str) -> Result<bool, GitError> {
        let is_new = refs::read(&self.git, &format!("refs/heads/{branch}"))?.is_none();
        let call = self.call("switch").arg("--quiet");
        let call = if is_new { call.args(["--no-track", "-c"]) } else { call };
        call.arg(branch).run()?;
        Ok(is_new)
    }

    /// Makes a branch at a commit, and checks it out. Changes that are not committed go along.
    pub fn switch_to_new(&self, branch: &str, at: &Oid) -> Result<(), GitError> {
        self.call("switch").args(["--quiet", "--no-track", "-c", branch]).oid(at).run()?;
        Ok(())
    }

    /// Writes down which environment made a branch; git forgets it with the branch.
    pub fn claim_branch(&self, branch: &str, name: &str) -> Result<(), GitError> {
        self.call("config").args([&made_by(branch), name]).run()?;
        Ok(())
    }

    /// Which environment made a branch, where one did.
    pub fn branch_maker(&self, branch: &str) -> Result<Option<String>, GitError> {
        let printed = self.call("config").args(["--get", &made_by(branch)]).accept(&[0, 1]).run()?;
        let text = String::from_utf8_lossy(&printed).trim().to_owned();
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Commits all changes; `None` where there are none. Gives besides the submodules that are behind, and
    /// stay as they were recorded.
    pub fn commit_all(&self, message: &str) -> Result<(Option<Oid>, Vec<RepoPath>), GitError> {
        self.call("add").args(["-A", "--", "."]).run()?;
        let behind = self.hold_back()?;
        let staged = self.call("diff").args(["--cached", "--quiet"]).accept(&[0, 1]).finish()?;
        if staged.code == Some(0) {
            return Ok((None, behind));
        }
        let text = message.replace('\0', "\u{fffd}");
        self.commits("commit")?.args(["--quiet", "-F", "-"]).stdin(text.into_bytes()).run()?;
        Ok((read::resolve(&self.git, "HEAD")?, behind))
    }

    /// Moves a branch of the project to where it is here: forward; or away from commits that were here before,
    /// which are kept under `prefix` then.
    pub fn push(&self, main: &Git, guard: &Guard, branch: &str, prefix: &str) -> Result<Pushed, GitError> {
        let reference = format!("refs/heads/{branch}");
        let here = refs::read(&self.git, &reference)?;
        let (true, Some(here)) = (self.is_clone(main), here) else { return Ok(Pushed::Done { kept: None }) };
        let lent = self.lend(main, guard, &here)?;
        let pushed = self.push_lent(main, guard, &reference, &here, prefix);
        lent.take_back(main)?;
        pushed
    }

    fn push_lent(
        &self,
        main: &Git,
        guard: &Guard,
        reference: &str,
        here: &Oid,
        prefix: &str,
    ) -> Result<Pushed, GitError> {
        let there = refs::read(main, reference)?;
        let mut kept = None;
        if let Some(there) = &there
            && !read::is_ancestor(main, there, here)?
        {
            // What was here once, and was rebased or reset since, is not somebody else's.
            let call = self.git.call("for-each-ref").args(["--count=1", "--contains", there.as_str()]);
            let call = call.args(["--format=%(refname)", "refs/heads/", super::environment::KEPT]);
            if call.accept(&[0, 129]).run()?.is_empty() {
                return Ok(Pushed::Rejected);
            }
            let name = format!("{prefix}/pushed-over");
            refs::create(main, &name, there, "kapell env git push")?;
            kept = Some(name);
        }
        match refs::update_as(main, Some(guard), reference, here, there.as_ref(), "kapell env git push")? {
            refs::Update::Done => Ok(Pushed::Done { kept }),
            refs::Update::Moved { .. } => Ok(Pushed::Rejected),
        }
    }

    /// Brings a commit into the project's repository, without any branch there.
    pub fn lend(&self, main: &Git, guard: &Guard, oid: &Oid) -> Result<Lent, GitError> {
        // Nobody else is at it under the guard: those that there are were left by killed calls.
        sweep_lent(main)?;
        let name = format!("{LENT}{}", random_tail(10));
        if self.is_clone(main) {
            sweep_lent(&self.git)?;
            // By a name of this side, which is asked for before that of any commit may be.
            refs::create(&self.git, &name, oid, "kapell env git")?;
            let words =
                ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--"];
            let spec = format!("{name}:{name}");
            let mut args: Vec<&OsStr> = words.map(OsStr::new).to_vec();
            args.extend([self.git.repository().git_dir.as_os_str(), OsStr::new(&spec)]);
            let fetched = plain(main.program(), &main.repository().common_dir, &args, Some(guard));
            self.forget(&name)?;
            fetched?;
        } else {
            refs::create(main, &name, oid, "kapell env git")?;
        }
        Ok(Lent(name))
    }

    /// The last commits, the newest first.
    pub fn log(&self, count: u32) -> Result<Vec<Logged>, GitError> {
        let call = self.call("log").args(["-z", "--format=%H%x1f%an%x1f%cI%x1f%s", "--max-count"]);
        let printed = call.arg(count.to_string()).run()?;
        let text = String::from_utf8_lossy(&printed);
        let commits = text.split('\0').filter(|line| !line.is_empty()).map(|line| {
            let mut fields = line.trim_start_matches('\n').splitn(4, '\u{1f}').map(str::to_owned);
            let [commit, author, at, subject] = std::array::from_fn(|_| fields.next().unwrap_or_default());
            Logged { commit, author, at, subject }
        });
        Ok(commits.collect())
    }

    /// What the files differ from where the branch left another commit, in whole lines, and whether there is
    /// more of it.
    pub fn diff(&self, head: &Oid, theirs: &Oid) -> Result<(String, bool), GitError> {
        let call = self.git.call("merge-base").oid(head).oid(theirs).accept(&[0, 1]);
        let base = Oid::parse(String::from_utf8_lossy(&call.run()?).trim_end());
        let call = self.call("diff").args(["--no-color", "--no-ext-diff", "--no-textconv"]);
        let finished = call.oid(base.as_ref().unwrap_or(head)).limit(LONGEST_DIFF).finish()?;
        let mut printed = finished.stdout;
        if finished.is_cut {
            let end = printed.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            printed.truncate(end);
        }
        Ok((String::from_utf8_lossy(&printed).into_owned(), finished.is_cut))
    }

    /// Puts the branch's own commits onto another commit, or leaves everything as it was.
    pub fn rebase(&self, head: &Oid, onto: &Oid, spared: &Spared<'_>) -> Result<Brought, GitError> {
        if read::is_ancestor(&self.git, onto, head)? {
            return Ok(Brought::UpToDate);
        }
        let mut covered = self.covered(onto)?;
        covered.extend(self.covered_between(onto, head)?);
        if let Some(in_the_way) = not_spared(covered, spared) {
            return Ok(in_the_way);
        }
        let Err(error) = self.commits("rebase")?.arg("--quiet").oid(onto).run() else {
            return self.new_head();
        };
        let printed = self.call("diff").args(["--name-only", "--diff-filter=U", "-z"]).run()?;
        let names = printed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let paths: Vec<RepoPath> = names.map(RepoPath::from_bytes).collect();
        // Where none had begun there is nothing to take back.
        let _ = self.call("rebase").arg("--abort").run();
        match paths.is_empty() {
            true => Err(error),
            false => Ok(Brought::Conflict { paths, report: String::new() }),
        }
    }

    /// Makes branch and files those of a commit. Files that git does not know stay.
    pub fn reset(&self, to: &Oid) -> Result<(), GitError> {
        self.call("reset").args(["--quiet", "--hard"]).oid(to).run()?;
        Ok(())
    }

    /// Deletes files that git neither knows nor ignores.
    pub fn delete_unknown(&self) -> Result<(), GitError> {
        self.call("clean").args(["--quiet", "-fd"]).run()?;
        Ok(())
    }

    /// Its branches whose commits are all in another commit.
    pub fn merged_branches(&self, into: &Oid) -> Result<Vec<String>, GitError> {
        let call = self.git.call("for-each-ref").args(["--format=%(refname)", &format!("--merged={into}")]);
        let printed = call.arg("refs/heads/").run()?;
        let text = String::from_utf8_lossy(&printed);
        Ok(text.lines().filter_map(|name| name.strip_prefix("refs/heads/")).map(str::to_owned).collect())
    }

    /// Deletes a branch that is not checked out. Whoever asks has seen that its commits are elsewhere.
    pub fn delete_branch(&self, guard: &Guard, branch: &str) -> Result<(), GitError> {
        self.git.call("branch").args(["--quiet", "-D", "--", branch]).holding(guard).run()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_read_from_what_git_says() {
        let said = "error: The following untracked working tree files would be overwritten by merge:\n\ta b.txt\n\tc/d\nPlease move or remove them before you merge.\nAborting";
        assert_eq!(in_the_way(said), ["a b.txt", "c/d"]);
        assert_eq!(in_the_way("fatal: a branch named 'x' already exists"), [""; 0]);
    }
}
