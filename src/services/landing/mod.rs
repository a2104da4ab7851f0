//! Landing: approved work becomes part of the plan's integration branch, and from there of the target.
//!
//! Whoever has work to land waits in the queue; whose turn it is lands all that wait, as one batch
//! that is proved once.

mod batch;
mod bringing;
mod integrating;
mod merging;
mod proving;
mod queue;

pub use bringing::{Brought, bring};
pub use merging::{TRIES, moved_too_often, needs_proof, prove_and_bring};
pub use queue::{Landing, Queue, Work, land};

use super::Error;
use crate::base::failpoint::Point;
use crate::base::ids::PlanId;
use crate::store::plans::PlanRow;
use crate::sys::git::{Git, GitError, Oid, checkout, land, read, refs};

/// The branch that collects a plan's work.
pub fn integration_branch(plan: &PlanId) -> String {
    format!("refs/heads/kapell/{plan}")
}

/// The full name of the branch that collects this plan's work.
pub fn branch_of(plan: &PlanRow) -> String {
    plan.integration.clone().unwrap_or_else(|| integration_branch(&plan.id))
}

/// Whether the plan worked in the shared folder, and has no branch.
pub fn is_shared(branch: &str) -> bool {
    branch.starts_with("refs/kapell/shared/")
}

/// The ref that holds what a plan landed even where somebody deleted its branch.
fn anchor(plan: &PlanId) -> String {
    format!("refs/kapell/landed/{plan}")
}

/// The newest commit that a plan landed; `None` before the first. Where somebody moved its branch to what does not
/// hold that, it has landed all the same; a branch that was rewritten to the same files is as good.
pub fn tip(git: &Git, plan: &PlanId, branch: &str) -> Result<Option<Oid>, GitError> {
    let (at, landed) = (refs::read(git, branch)?, refs::read(git, &anchor(plan))?);
    let (Some(at), Some(landed)) = (&at, &landed) else { return Ok(at.or(landed)) };
    let holds = at == landed
        || read::is_ancestor(git, landed, at)?
        || read::tree_of(git, at)? == read::tree_of(git, landed)?;
    Ok(Some(if holds { at.clone() } else { landed.clone() }))
}

/// Has the anchor of a plan be at a commit that is as good, once there is one.
fn follow(git: &Git, plan: &PlanId, at: &Oid) -> Result<(), GitError> {
    let anchor = anchor(plan);
    if let Some(before) = refs::read(git, &anchor)?.filter(|before| before != at) {
        refs::update(git, &anchor, at, Some(&before), "kapell: its branch was rewritten")?;
    }
    Ok(())
}

/// Keeps the anchor of a plan with its branch, which moved from `onto`. Where that is not known the branch may have
/// been moved since by somebody else.
fn hold(git: &Git, plan: &PlanId, branch: &str, onto: Option<&Oid>) -> Result<(), GitError> {
    let (Some(tip), anchor) = (refs::read(git, branch)?, anchor(plan)) else { return Ok(()) };
    let before = refs::read(git, &anchor)?;
    if let Some(before) = before.as_ref().filter(|before| Some(*before) != onto)
        && !read::is_ancestor(git, before, &tip)?
    {
        return Ok(());
    }
    if before.as_ref() != Some(&tip) {
        // Should somebody have moved it meanwhile, that one knew of a newer landing.
        refs::update(git, &anchor, &tip, before.as_ref(), "kapell: landed")?;
    }
    Ok(())
}

/// Moves the target to where the integration branch is, if that only adds to it and nobody has it
/// checked out. Otherwise a person does it with `kapell land`.
fn follow_with_target(git: &Git, target: &str, branch: &str) -> Result<(), Error> {
    Point::LandingRecorded.reach()?;
    let reference = full_name(target);
    let (Some(old), Some(new)) = (refs::read(git, &reference)?, refs::read(git, branch)?) else {
        return Ok(());
    };
    if read::is_ancestor(git, &old, &new)? {
        let guard = git.turn()?;
        // Whatever is in the way stays as it is; the work is safe on its own branch.
        let _ = land::advance(git, &guard, &reference, &new, Some(&old))?;
    }
    Point::LandingFollowed.reach()?;
    Ok(())
}

/// A branch's full name.
pub fn full_name(branch: &str) -> String {
    if branch.starts_with("refs/") { branch.to_owned() } else { format!("refs/heads/{branch}") }
}

/// A branch's name as people write it.
pub fn short_name(branch: &str) -> &str {
    branch.strip_prefix("refs/heads/").unwrap_or(branch)
}

/// Whether `kapell land` has something to do or to say of a plan: what was accepted is not on its target, or
/// there is no target to bring it to.
pub fn is_left(git: &Git, plan: &PlanRow) -> Result<bool, Error> {
    let Some(branch) = plan.integration.as_deref().filter(|it| !is_shared(it)) else {
        return Ok(false);
    };
    if plan.target.is_some() {
        return is_ahead(git, plan);
    }
    let Some(work) = tip(git, &plan.id, branch)? else { return Ok(false) };
    // On no branch when it started, and merged by hand since.
    let Some(head) = read::resolve(git, "HEAD")? else { return Ok(true) };
    Ok(!read::is_ancestor(git, &work, &head)?)
}

/// Whether the branch is there that collected a plan's work.
pub fn has_branch(git: &Git, plan: &PlanRow) -> Result<bool, Error> {
    let branch = branch_of(plan);
    Ok(refs::read(git, &branch)?.is_some())
}

/// Frees the checkouts that a killed `kapell land` left locked.
pub fn mend(git: &Git) -> Result<(), Error> {
    let guard = git.turn()?;
    for folder in checkout::mend(git, &guard) {
        tracing::warn!("a killed `kapell land` had left {} locked", folder.display());
    }
    Ok(())
}

/// Whether a plan has landed work that its target does not hold yet.
pub fn is_ahead(git: &Git, plan: &PlanRow) -> Result<bool, Error> {
    let (Some(branch), Some(target)) = (&plan.integration, &plan.target) else { return Ok(false) };
    let Some(work) = tip(git, &plan.id, branch)? else { return Ok(false) };
    Ok(match refs::read(git, &full_name(target))? {
        Some(target) => !read::is_ancestor(git, &work, &target)?,
        None => true,
    })
}
