//! Landing: approved work becomes part of the plan's integration branch, and from there of the target.

use std::path::Path;

use super::judging::Case;
use super::project::Project;
use super::{Error, Session};
use crate::base::failpoint::Point;
use crate::base::ids::{AttemptId, PlanId};
use crate::domain::refusal::{Code, Refusal};
use crate::store::landings::LandingState;
use crate::store::plans::PlanRow;
use crate::sys::git::land::{self, Advance, Merge};
use crate::sys::git::{Git, GitQueue, Oid, checkout, read, refs};

/// What became of a landing.
#[derive(Debug)]
pub enum Landing {
    /// It is part of the branch.
    Landed {
        /// The commit on the branch.
        commit: Oid,
        /// The branch, `refs/heads/…`.
        branch: String,
    },
    /// It does not merge, or not without breaking what the gates prove; what the worker is told.
    Rejected(String),
}

/// What lands.
#[derive(Debug)]
pub struct Work<'a> {
    /// The plan.
    pub plan: &'a PlanRow,
    /// The task, as text.
    pub task: &'a str,
    /// The attempt.
    pub attempt: &'a AttemptId,
    /// The commit that the work began from.
    pub base: &'a Oid,
    /// The constructed commit.
    pub work: &'a Oid,
    /// The message of the commit that lands.
    pub message: &'a str,
}

/// The branch that collects a plan's work.
pub fn integration_branch(plan: &PlanId) -> String {
    format!("refs/heads/kapell/{plan}")
}

/// Puts work onto the plan's integration branch, and onto the target where nobody has that checked
/// out. `prove` is asked about a merge with what others landed meanwhile. May be called again
/// after a crash at any point: the journal tells what was about to be done.
pub fn land(
    session: &Session,
    project: &Project,
    git: &Git,
    work: &Work<'_>,
    prove: &mut dyn FnMut(&Oid) -> Result<Option<String>, Error>,
) -> Result<Landing, Error> {
    let store = session.store()?;
    let branch = work.plan.integration.clone().unwrap_or_else(|| integration_branch(&work.plan.id));
    let id = store.write(|tx| {
        tx.queue_landing(&project.id, &work.plan.id, work.task, work.attempt, &branch, work.work.as_str())
    })?;
    Point::LandingQueued.reach()?;
    let mut proved: Option<Oid> = None;
    loop {
        let journal = store.read(|tx| tx.landing_of(work.attempt))?;
        if let Some(merged) = journal.and_then(|row| row.merged).as_deref().and_then(Oid::parse) {
            // A step before us was about to move the branch to this commit. Did it?
            let now = refs::read(git, &branch)?;
            if let Some(now) = now
                && read::is_ancestor(git, &merged, &now)?
            {
                return finish(session, project, git, work, id, merged, branch);
            }
        }
        let Some(onto) = refs::read(git, &branch)? else {
            return Err(Refusal::new(
                Code::Conflict,
                format!("the branch {branch} of plan {} is gone", work.plan.id),
                "dispatch the plan again to begin a new one",
            )
            .into());
        };
        let tree = match land::merge(git, &onto, work.work, work.base)? {
            Merge::Clean { tree } => tree,
            Merge::Conflict { paths, report } => {
                let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
                let why = format!("what landed meanwhile conflicts in {}:\n{report}", names.join(", "));
                store.write(|tx| {
                    tx.step_landing(id, LandingState::Conflict, Some(onto.as_str()), None, Some(&why))
                })?;
                return Ok(Landing::Rejected(why));
            }
        };
        Point::LandingMerged.reach()?;
        let merged = land::commit_tree(git, &tree, &[&onto], work.message)?;
        Point::LandingCommitted.reach()?;
        // The gates saw the work on its own base; with other work beside it, it is proved anew.
        if onto != *work.base && proved.as_ref() != Some(&tree) {
            if let Some(why) = prove(&merged)? {
                store.write(|tx| {
                    tx.step_landing(id, LandingState::Conflict, Some(onto.as_str()), None, Some(&why))
                })?;
                return Ok(Landing::Rejected(why));
            }
            proved = Some(tree);
        }
        store.write(|tx| {
            tx.step_landing(id, LandingState::Merged, Some(onto.as_str()), Some(merged.as_str()), None)
        })?;
        Point::LandingJournaled.reach()?;
        let guard = GitQueue::lock(git.repository())?;
        Point::LandingTurn.reach()?;
        match land::advance(git, &guard, &branch, &merged, Some(&onto))? {
            Advance::Advanced => {
                drop(guard);
                Point::LandingMoved.reach()?;
                return finish(session, project, git, work, id, merged, branch);
            }
            // Somebody landed between: merge again onto that.
            Advance::Moved { .. } => {}
            Advance::CheckedOut { path } => {
                return Err(Refusal::new(
                    Code::Conflict,
                    format!("the branch {branch} is checked out in {}", path.display()),
                    "check out another branch there, then control approve lands it",
                )
                .into());
            }
        }
    }
}

fn finish(
    session: &Session,
    project: &Project,
    git: &Git,
    work: &Work<'_>,
    id: i64,
    merged: Oid,
    branch: String,
) -> Result<Landing, Error> {
    let _ = project;
    session
        .store()?
        .write(|tx| tx.step_landing(id, LandingState::Landed, None, Some(merged.as_str()), None))?;
    // The work has landed, whatever becomes of this: a person can do it with `kapell land`.
    if let Some(target) = &work.plan.target
        && let Err(why) = follow_with_target(git, target, &branch)
    {
        tracing::warn!(attempt = %work.attempt, "{target} does not follow: {why}");
    }
    Ok(Landing::Landed { commit: merged, branch })
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
        let guard = GitQueue::lock(git.repository())?;
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

/// Whether a plan has landed work that its target does not hold yet.
pub fn is_ahead(git: &Git, plan: &PlanRow) -> Result<bool, Error> {
    let (Some(branch), Some(target)) = (&plan.integration, &plan.target) else { return Ok(false) };
    let Some(work) = refs::read(git, branch)? else { return Ok(false) };
    Ok(match refs::read(git, &full_name(target))? {
        Some(target) => !read::is_ancestor(git, &work, &target)?,
        None => true,
    })
}

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
    let Some(work) = refs::read(git, &branch)? else {
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
                    "commit or set them aside there, then land again; nothing was moved",
                ))
            }
            checkout::Forward::InProgress { what } => Err(refuse(
                format!("{} is in the middle of {what}", path.display()),
                "finish or abort it, then land again; nothing was moved",
            )),
            checkout::Forward::Locked { lock } => Err(refuse(
                format!("another git works in {} ({} exists)", path.display(), lock.display()),
                "let it finish, then land again; nothing was moved",
            )),
            other => Err(refuse(
                format!("{target} changed while landing ({other:?})"),
                "land again; nothing was moved",
            )),
        }
    };
    match land::advance(git, &guard, &reference, &new, Some(&old))? {
        Advance::Advanced => Ok(Brought { commit: new, branch: target.to_owned(), is_new: true }),
        Advance::CheckedOut { path } => moved(&path),
        Advance::Moved { .. } => {
            Err(refuse(format!("{target} moved while landing"), "land again; nothing was moved"))
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
                    "merge it yourself: git merge {}; nothing was moved",
                    plan.integration.as_deref().unwrap_or_default().trim_start_matches("refs/heads/")
                ),
            )
            .into())
        }
    }
}

/// Whether a merge with what others landed still passes what can be run: the tests and the build.
pub fn prove_merge(case: &Case<'_>, merged: &Oid) -> Result<Option<String>, Error> {
    use super::judging::commands::{End, on_commit};
    use super::judging::is_from_ecosystem;
    let mut verify = None;
    for (gate, command) in [("landing-test", &case.rules.test), ("landing-build", &case.rules.build)] {
        let Some(command) = command else { continue };
        let seen = on_commit(case, &mut verify, merged, gate, command)?;
        let shown = shell_words::join(&command.0);
        match seen.end {
            End::Passed => {}
            End::Failed(how) => {
                let from = seen.output.len().saturating_sub(6000);
                let from =
                    (from..seen.output.len()).find(|&at| seen.output.is_char_boundary(at)).unwrap_or(0);
                return Ok(Some(format!(
                    "together with what landed meanwhile, `{shown}` {how}:\n{}",
                    &seen.output[from..]
                )));
            }
            // The gates passed over it for the same reason.
            End::Unknown(_) if is_from_ecosystem(case, command) => {}
            End::Unknown(why) => {
                return Err(Refusal::new(
                    Code::Conflict,
                    format!("`{shown}` cannot be run together with what landed meanwhile: {why}"),
                    "control approve tries it again",
                )
                .into());
            }
        }
    }
    Ok(None)
}
