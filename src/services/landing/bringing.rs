//! Bringing what a plan landed to the person's own branch, on the person's word.

use std::path::Path;

use super::{anchor, branch_of, full_name, is_shared, short_name, tip};
use crate::base::paths::RepoPath;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Error;
use crate::store::plans::PlanRow;
use crate::sys::git::land::{self, Advance, Merge};
use crate::sys::git::{Git, Oid, checkout, read, refs};

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
///
/// `None`: the target moved meanwhile. What is on it by now may want the merge to be proved first.
pub fn bring(git: &Git, plan: &PlanRow) -> Result<Option<Brought>, Error> {
    let refuse = |message: String, hint: &str| Error::from(Refusal::new(Code::Conflict, message, hint));
    let branch = branch_of(plan);
    let Some(work) = tip(git, &plan.id, &branch)? else {
        return Err(refuse(format!("plan {} has landed nothing yet", plan.id), "dispatch it first"));
    };
    if is_shared(&branch) {
        return Err(refuse(
            format!("plan {} worked in the shared folder: what was accepted lies there already", plan.id),
            "look at it with git status, and commit it yourself",
        ));
    }
    let Some(target) = plan.target.as_deref() else {
        return Err(refuse(
            format!("plan {} has no target branch: the repository was on no branch when it started", plan.id),
            &format!("merge it yourself, on the branch it is for: git merge {}", short_name(&branch)),
        ));
    };
    let reference = full_name(target);
    refuse_moved(git, plan, &work)?;
    let guard = git.turn()?;
    let old = refs::read(git, &reference)?;
    let Some(old) = old else {
        return match land::advance(git, &guard, &reference, &work, None)? {
            Advance::Advanced => Ok(Some(Brought { commit: work, branch: target.to_owned(), is_new: true })),
            Advance::Moved { .. } => Ok(None),
            other => Err(refuse(
                format!("the branch {target} could not be made: {other:?}"),
                "look at git branch -a",
            )),
        };
    };
    if read::is_ancestor(git, &work, &old)? {
        return Ok(Some(Brought { commit: old, branch: target.to_owned(), is_new: false }));
    }
    let new = if read::is_ancestor(git, &old, &work)? {
        work
    } else {
        merge_with_target(git, plan, &old, &work, &work)?
    };
    drop(guard);
    place(git, plan, &old, &new)
}

/// Refuses where somebody moved the plan's branch to what does not hold what it landed, which is `work`: what is meant
/// to be brought is that one's to say.
pub(super) fn refuse_moved(git: &Git, plan: &PlanRow, work: &Oid) -> Result<(), Error> {
    let branch = branch_of(plan);
    let Some(at) = refs::read(git, &branch)?.filter(|at| at != work) else { return Ok(()) };
    let short = short_name(&branch);
    Err(Refusal::new(
        Code::Conflict,
        format!("the branch {short} was moved to {at}, which does not hold what the plan landed ({work})"),
        format!(
            "put it back (git branch -f {short} {}) and land again, or bring what you want by hand: git merge",
            anchor(&plan.id)
        ),
    )
    .into())
}

/// Moves the target from `old` to `new`, with the checkout that has it; `None`: it is no longer at `old`.
pub(super) fn place(git: &Git, plan: &PlanRow, old: &Oid, new: &Oid) -> Result<Option<Brought>, Error> {
    let refuse = |message: String, hint: &str| Error::from(Refusal::new(Code::Conflict, message, hint));
    let target = plan.target.as_deref().unwrap_or_default();
    let reference = full_name(target);
    let brought = || Brought { commit: new.clone(), branch: target.to_owned(), is_new: true };
    let guard = git.turn()?;
    let moved = |path: &Path| -> Result<Option<Brought>, Error> {
        let forward = checkout::fast_forward(git, &guard, path, &reference, old, new);
        let forward = forward.map_err(|error| match error.failed_filter() {
            Some(said) => refuse(
                format!("git cannot write or compare files in {}: {said}", path.display()),
                "make its program work there, or install it (git lfs install, for one), then land again; its work \
                 stays where it is",
            ),
            None => Error::from(error),
        })?;
        match forward {
            checkout::Forward::Forwarded => Ok(Some(brought())),
            checkout::Forward::Moved { .. } => Ok(None),
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
            checkout::Forward::Twice { other } => Err(refuse(
                format!("{target} is checked out twice: in {} and in {}", path.display(), other.display()),
                "check out another branch in one of them, then land again; its work stays where it is",
            )),
            checkout::Forward::Locked { lock } => Err(refuse(
                format!("another git works in {} ({} exists)", path.display(), lock.display()),
                "let it finish, then land again; if no git runs there, remove that file; its work stays where it is",
            )),
            other => Err(refuse(
                format!("{target} changed while landing ({other:?})"),
                "land again; its work stays where it is",
            )),
        }
    };
    match land::advance(git, &guard, &reference, new, Some(old))? {
        Advance::Advanced => Ok(Some(brought())),
        Advance::CheckedOut { path } if path == git.repository().common_dir => Err(refuse(
            format!("{target} is checked out where nothing tells of; its git folder is {}", path.display()),
            "land again from within that checkout; its work stays where it is",
        )),
        Advance::CheckedOut { path } => moved(&path),
        Advance::InProgress { path, what } => Err(refuse(
            format!("{target} is in the middle of {what} in {}", path.display()),
            "finish or abort it, then land again; its work stays where it is",
        )),
        Advance::Moved { .. } => Ok(None),
    }
}

/// The merge of what a plan landed with its target; `side` is what of `work` is merged.
///
/// # Errors
/// The two conflict.
pub(super) fn merge_with_target(
    git: &Git,
    plan: &PlanRow,
    old: &Oid,
    work: &Oid,
    side: &Oid,
) -> Result<Oid, Error> {
    match land::merge(git, old, side, &base_of(git, plan, old, work)?)? {
        Merge::Clean { tree } => {
            let target = plan.target.as_deref().unwrap_or_default();
            let message = format!("Merge plan {} into {target}\n", plan.id);
            Ok(land::commit_tree(git, &tree, &[old, work], &message)?)
        }
        Merge::Conflict { paths, .. } => Err(conflict(plan, &paths)),
    }
}

/// The newest commit that a plan's work and its target share. Not the one that it began from: what it landed before
/// is part of both since, and whoever changed that on the target has the last word.
pub(super) fn base_of(git: &Git, plan: &PlanRow, old: &Oid, work: &Oid) -> Result<Oid, Error> {
    let shared = read::merge_base(git, old, work)?;
    let begun = || plan.base.as_deref().and_then(Oid::parse);
    Ok(shared.or_else(begun).unwrap_or_else(|| old.clone()))
}

/// The target and the plan changed the same.
fn conflict(plan: &PlanRow, paths: &[RepoPath]) -> Error {
    let names: Vec<String> = paths.iter().take(10).map(ToString::to_string).collect();
    let target = plan.target.as_deref().unwrap_or_default();
    let branch = plan.integration.as_deref().unwrap_or_default().trim_start_matches("refs/heads/");
    Refusal::new(
        Code::Conflict,
        format!("{target} has changes of its own that conflict in {}", names.join(", ")),
        format!("merge it yourself: git merge {branch}; its work stays where it is"),
    )
    .into()
}
