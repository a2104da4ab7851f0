//! Bringing what a plan landed to the person's own branch, on the person's word.

use std::path::Path;

use super::{full_name, integration_branch, tip};
use crate::domain::refusal::{Code, Refusal};
use crate::services::Error;
use crate::store::plans::PlanRow;
use crate::sys::git::land::{self, Advance, Merge};
use crate::sys::git::{Git, GitQueue, Oid, checkout, read, refs};

/// What bringing a plan's work to its target did.
#[derive(Debug)]
pub struct Brought {
    /// The target's commit now.
    pub commit: Oid,
    /// The target, without `refs/heads/`.
    pub branch: String,
    /// How many commits it gained.
    pub is_new: bool,
}

/// Brings what a plan landed onto its target branch, on a person's word: a clean checkout of it is
/// moved along, a dirty one is left alone.
pub fn bring(git: &Git, plan: &PlanRow) -> Result<Brought, Error> {
    let refuse = |message: String, hint: &str| Error::from(Refusal::new(Code::Conflict, message, hint));
    let branch = plan.integration.clone().unwrap_or_else(|| integration_branch(&plan.id));
    let Some(work) = tip(git, &plan.id, &branch)? else {
        return Err(refuse(format!("plan {} has landed nothing yet", plan.id), "dispatch it first"));
    };
    if branch.starts_with("refs/kapell/shared/") {
        return Err(refuse(
            format!("plan {} worked in the shared folder: what was accepted lies there already", plan.id),
            "look at it with git status, and commit it yourself",
        ));
    }
    let Some(target) = plan.target.as_deref() else {
        return Err(refuse(
            format!("plan {} has no target branch: the repository was on no branch when it started", plan.id),
            "merge it yourself: git merge the branch that status shows as integration",
        ));
    };
    let reference = full_name(target);
    let guard = GitQueue::lock(git.repository())?;
    let old = refs::read(git, &reference)?;
    let Some(old) = old else {
        return match land::advance(git, &guard, &reference, &work, None)? {
            Advance::Advanced => Ok(Brought { commit: work, branch: target.to_owned(), is_new: true }),
            other => Err(refuse(
                format!("the branch {target} could not be made: {other:?}"),
                "look at git branch -a",
            )),
        };
    };
    if read::is_ancestor(git, &work, &old)? {
        return Ok(Brought { commit: old, branch: target.to_owned(), is_new: false });
    }
    let new = if read::is_ancestor(git, &old, &work)? {
        work
    } else {
        merge_with_target(git, plan, &old, &work, target)?
    };
    let moved = |path: &Path| -> Result<Brought, Error> {
        match checkout::fast_forward(git, &guard, path, &reference, &old, &new)? {
            checkout::Forward::Forwarded => {
                Ok(Brought { commit: new.clone(), branch: target.to_owned(), is_new: true })
            }
            checkout::Forward::Dirty { paths } => {
                let names: Vec<String> = paths.iter().take(10).map(ToString::to_string).collect();
                Err(refuse(
                    format!("{} has changes in the way: {}", path.display(), names.join(", ")),
                    "commit or set them aside there, then land again; its work stays where it is",
                ))
            }
            checkout::Forward::InProgress { what } => Err(refuse(
                format!("{} is in the middle of {what}", path.display()),
                "finish or abort it, then land again; its work stays where it is",
            )),
            checkout::Forward::Locked { lock } => Err(refuse(
                format!("another git works in {} ({} exists)", path.display(), lock.display()),
                "let it finish, then land again; its work stays where it is",
            )),
            other => Err(refuse(
                format!("{target} changed while landing ({other:?})"),
                "land again; its work stays where it is",
            )),
        }
    };
    match land::advance(git, &guard, &reference, &new, Some(&old))? {
        Advance::Advanced => Ok(Brought { commit: new, branch: target.to_owned(), is_new: true }),
        Advance::CheckedOut { path } => moved(&path),
        Advance::Moved { .. } => {
            Err(refuse(format!("{target} moved while landing"), "land again; its work stays where it is"))
        }
    }
}

fn merge_with_target(git: &Git, plan: &PlanRow, old: &Oid, work: &Oid, target: &str) -> Result<Oid, Error> {
    let base = plan.base.as_deref().and_then(Oid::parse).unwrap_or_else(|| old.clone());
    match land::merge(git, old, work, &base)? {
        Merge::Clean { tree } => {
            let message = format!("Merge plan {} into {target}\n", plan.id);
            Ok(land::commit_tree(git, &tree, &[old, work], &message)?)
        }
        Merge::Conflict { paths, .. } => {
            let names: Vec<String> = paths.iter().take(10).map(ToString::to_string).collect();
            Err(Refusal::new(
                Code::Conflict,
                format!("{target} has changes of its own that conflict in {}", names.join(", ")),
                format!(
                    "merge it yourself: git merge {}; its work stays where it is",
                    plan.integration.as_deref().unwrap_or_default().trim_start_matches("refs/heads/")
                ),
            )
            .into())
        }
    }
}
