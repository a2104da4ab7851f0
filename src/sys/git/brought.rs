//! What commits would bring into a checkout.

use super::read::resolve;
use super::run::{Call, Git, GitError};
use crate::base::paths::RepoPath;
use crate::base::sorting::sort;
use crate::domain::writes::Brought;

/// More of git's answer is not read: nobody asks about so many files one by one.
const LONGEST: usize = 1 << 20;

/// The paths that these revisions bring into this checkout; nothing where they are too many. One that names
/// no commit brings nothing: git refuses it too.
pub fn brought(git: &Git, what: Brought, revisions: &[String]) -> Result<Option<Vec<RepoPath>>, GitError> {
    let log = || git.head_call("log").args(["--format=", "--name-only", "--no-renames", "-z"]);
    if what == Brought::Each {
        // A merge is taken for what it brought to the branch that it is on.
        let call = log().args(["--no-walk", "--diff-merges=first-parent", "--end-of-options"]);
        return listed(call.args(revisions).arg("--").accept(&[0, 128]));
    }
    if what == Brought::Staged {
        let call =
            git.head_call("diff").args(["--cached", "--name-only", "--no-renames", "-z", "--end-of-options"]);
        return listed(call.args(revisions).arg("--"));
    }
    let mut paths = Vec::new();
    for revision in revisions {
        let commit = match resolve(git, revision)? {
            None => resolve(git, &format!("origin/{revision}"))?,
            found => found,
        };
        let Some(commit) = commit else { continue };
        let call = match what {
            Brought::Both => log().arg(format!("HEAD...{commit}")),
            Brought::Since => differing(git).arg(format!("HEAD...{commit}")),
            _ => differing(git).arg("HEAD").oid(&commit),
        };
        match listed(call.arg("--"))? {
            Some(listed) => paths.extend(listed),
            None => return Ok(None),
        }
    }
    Ok(Some(paths))
}

fn differing(git: &Git) -> Call<'_> {
    git.head_call("diff").args(["--name-only", "--no-renames", "--no-ext-diff", "-z"])
}

fn listed(call: Call<'_>) -> Result<Option<Vec<RepoPath>>, GitError> {
    let finished = call.limit(LONGEST).finish()?;
    let names = finished.stdout.split(|byte| *byte == 0).map(|name| name.strip_prefix(b"\n").unwrap_or(name));
    let mut paths: Vec<RepoPath> = names.filter(|name| !name.is_empty()).map(RepoPath::from_bytes).collect();
    sort(&mut paths);
    paths.dedup();
    Ok((!finished.is_cut).then_some(paths))
}
