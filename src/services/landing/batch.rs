//! A batch: work that is merged onto one another and proved once. Where that fails it is halved,
//! until what lands has landed and what does not goes back to its worker.

use std::cell::RefCell;
use std::collections::HashMap;

use super::queue::{Landing, Waiting};
use super::{follow, follow_with_target, hold, integrating, proving, tip};
use crate::base::failpoint::Point;
use crate::domain::halving::settle;
use crate::domain::plan::Plan;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Error;
use crate::services::conductor::concluding;
use crate::services::conductor::desk::Desk;
use crate::services::judging::Case;
use crate::store::events::NewEvent;
use crate::store::landings::LandingState;
use crate::sys::git::land::{self, Advance, Merge};
use crate::sys::git::{Oid, read, refs};

/// Lands what waits, in its order, and answers each.
pub(super) fn land(desk: &Desk, branch: &str, waiting: &[Waiting]) -> Result<(), Error> {
    let batch = Batch { desk, branch, plan: &desk.plan(), proved: RefCell::default() };
    if let [_, _, ..] = waiting {
        let tasks: Vec<&str> = waiting.iter().map(|it| it.work.attempt.task.as_str()).collect();
        batch.tell(format!("tasks {} land together", tasks.join(", ")))?;
    }
    settle(waiting, &mut |some| batch.try_together(some), &mut |alone, why| batch.give_back(alone, why))
}

/// Notes that commits are on the branch, which moved from `onto` if that is known, and lets the target follow.
pub(super) fn finish(
    desk: &Desk,
    branch: &str,
    landed: &[(i64, Oid)],
    onto: Option<&Oid>,
) -> Result<(), Error> {
    desk.write(|tx| -> Result<(), Error> {
        for (id, commit) in landed {
            tx.step_landing(*id, LandingState::Landed, None, Some(commit.as_str()), None)?;
        }
        Ok(())
    })?;
    if let Err(why) = hold(&desk.git, &desk.plan_id, branch, onto) {
        tracing::warn!(plan = %desk.plan_id, "what landed is held by {branch} alone: {why}");
    }
    // The work has landed, whatever becomes of this: a person can do it with `kapell land`.
    if let Some(target) = desk.row()?.target
        && let Err(why) = follow_with_target(&desk.git, &target, branch)
    {
        tracing::warn!(plan = %desk.plan_id, "{target} does not follow: {why}");
    }
    Ok(())
}

struct Batch<'a> {
    desk: &'a Desk,
    branch: &'a str,
    plan: &'a Plan,
    /// What was found out about trees: `None` if nothing is wrong with one. The halves of a batch may
    /// come to a tree that was tried already.
    proved: RefCell<HashMap<Oid, Option<String>>>,
}

impl Batch<'_> {
    /// Lands some together, or says why that does not go and leaves everything as it was.
    fn try_together(&self, some: &[Waiting]) -> Result<Result<(), String>, Error> {
        let git = &self.desk.git;
        loop {
            let onto = match refs::read(git, self.branch)? {
                Some(at) => match self.put_back(at)? {
                    Some(onto) => onto,
                    None => continue,
                },
                None => self.revived()?,
            };
            let commits = match self.stacked(&onto, some)? {
                Ok(commits) => commits,
                Err(why) => return Ok(Err(why)),
            };
            let Some((_, top)) = commits.last() else { return Ok(Ok(())) };
            let new = match self.proved(&onto, some, top)? {
                Ok(new) => new,
                Err(why) => return Ok(Err(why)),
            };
            if !self.record(&onto, &commits)? {
                some.iter().for_each(|waiting| waiting.answer(Landing::Left));
                return Ok(Ok(()));
            }
            Point::LandingJournaled.reach()?;
            let guard = git.turn()?;
            Point::LandingTurn.reach()?;
            match land::advance(git, &guard, self.branch, &new, Some(&onto))? {
                Advance::Advanced => {
                    drop(guard);
                    Point::LandingMoved.reach()?;
                    finish(self.desk, self.branch, &commits, Some(&onto))?;
                    for (waiting, (_, commit)) in some.iter().zip(commits) {
                        waiting.answer(Landing::Landed { commit, branch: self.branch.to_owned() });
                    }
                    return Ok(Ok(()));
                }
                // Somebody landed between: merge again onto that.
                Advance::Moved { .. } => {}
                other => return Err(self.in_the_way(&other).into()),
            }
        }
    }

    /// Why the branch cannot be moved.
    fn in_the_way(&self, found: &Advance) -> Refusal {
        let (state, hint) = match found {
            Advance::InProgress { path, what } => (
                format!("is in the middle of {what} in {}", path.display()),
                "finish or abort it there, then control approve lands it",
            ),
            Advance::CheckedOut { path } => (
                format!("is checked out in {}", path.display()),
                "check out another branch there, then control approve lands it",
            ),
            Advance::Advanced | Advance::Moved { .. } => {
                ("moves all the time".to_owned(), "see what moves it, then control approve lands it")
            }
        };
        Refusal::new(Code::Conflict, format!("the branch {} {state}", self.branch), hint)
    }

    /// Puts the branch back where it was, if somebody moved it to what does not hold what the plan landed; what it
    /// was moved to is kept. `None`: it has moved again meanwhile.
    fn put_back(&self, at: Oid) -> Result<Option<Oid>, Error> {
        let (git, plan) = (&self.desk.git, &self.desk.plan_id);
        let Some(landed) = tip(git, plan, self.branch)?.filter(|landed| *landed != at) else {
            // What lands upon a branch that was rewritten holds nothing of what the anchor is at.
            follow(git, plan, &at)?;
            return Ok(Some(at));
        };
        let kept = refs::set_aside(git, plan.as_str(), &at)?;
        let guard = git.turn()?;
        match land::advance(git, &guard, self.branch, &landed, Some(&at))? {
            Advance::Advanced => drop(guard),
            Advance::Moved { .. } => return Ok(None),
            other => return Err(self.in_the_way(&other).into()),
        }
        self.tell(format!(
            "the branch {} was moved to what does not hold what the plan landed, and is put back where it was; what it was moved to is kept under {kept}",
            self.branch
        ))?;
        Ok(Some(landed))
    }

    /// Makes the branch anew that somebody deleted, where it was.
    fn revived(&self) -> Result<Oid, Error> {
        let git = &self.desk.git;
        let started =
            || -> Result<Option<Oid>, Error> { Ok(self.desk.row()?.base.as_deref().and_then(Oid::parse)) };
        let recorded = || -> Result<Option<Oid>, Error> {
            let landed = self.desk.store()?.read(|tx| tx.last_landed(&self.desk.plan_id))?;
            Ok(landed.map(|commit| read::resolve(git, &commit)).transpose()?.flatten())
        };
        // Its other ref may be gone too.
        let was = match tip(git, &self.desk.plan_id, self.branch)? {
            Some(tip) => Some(tip),
            None => recorded()?.map_or_else(started, |landed| Ok(Some(landed)))?,
        };
        let was = was.ok_or_else(|| Error::Bug(format!("plan {} has no commit", self.desk.plan_id)))?;
        refs::update(git, self.branch, &was, None, "kapell: the branch was deleted while its plan goes on")?;
        self.tell(format!("the branch {} was deleted, and is made anew where it was", self.branch))?;
        Ok(was)
    }

    /// A commit for each, one upon the other; or which conflicts with what.
    fn stacked(&self, onto: &Oid, some: &[Waiting]) -> Result<Result<Vec<(i64, Oid)>, String>, Error> {
        let git = &self.desk.git;
        let mut tip = onto.clone();
        let mut commits = Vec::new();
        for waiting in some {
            let work = &waiting.work;
            let base = &work.saved.snapshot.base;
            // An answer without a change is no commit.
            if work.saved.snapshot.changed.is_empty() {
                commits.push((waiting.id, tip.clone()));
                continue;
            }
            // On the branch of its environment it is a commit already, and stays the same one.
            if work.attempt.environment.is_some() && *base == tip {
                tip = work.commit.clone();
                commits.push((waiting.id, tip.clone()));
                continue;
            }
            match land::merge(git, &tip, &work.commit, base)? {
                Merge::Clean { tree } => {
                    Point::LandingMerged.reach()?;
                    tip = land::commit_tree(git, &tree, &[&tip], &work.message)?;
                    Point::LandingCommitted.reach()?;
                }
                Merge::Conflict { paths, report } => {
                    let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
                    let report = report.trim_end();
                    let report = if report.is_empty() { String::new() } else { format!(":\n{report}") };
                    // An environment's branch may have what no plan landed on this one yet.
                    let why = match &work.attempt.environment {
                        Some(name) if !read::is_ancestor(git, base, onto)? => format!(
                            "it builds on commits of {name} that the plan does not have, and conflicts without them in {}; \
                             bring them in first (kapell land the plan that made them, or kapell env git {name} merge), \
                             then plan it anew{report}",
                            names.join(", ")
                        ),
                        _ => format!("what landed meanwhile conflicts in {}{report}", names.join(", ")),
                    };
                    return Ok(Err(why));
                }
            }
            commits.push((waiting.id, tip.clone()));
        }
        Ok(Ok(commits))
    }

    /// What the branch is to become: the top of the stack, with what the integrator makes anew; or
    /// what is wrong with it.
    fn proved(&self, onto: &Oid, some: &[Waiting], top: &Oid) -> Result<Result<Oid, String>, Error> {
        let git = &self.desk.git;
        let cases = some
            .iter()
            .map(|waiting| {
                let work = &waiting.work;
                let commit = work.commit.clone();
                concluding::case(self.desk, &work.attempt, &work.task, &work.saved, commit, self.plan)
            })
            .collect::<Result<Vec<Case<'_>>, Error>>()?;
        let mut verify = None;
        let new = match integrating::integrate(self.desk, &cases, &mut verify, top)? {
            Ok(new) => new,
            Err(why) => return Ok(Err(why)),
        };
        // The gates saw a work on its own base; with other work beside it, it is proved anew.
        let is_as_judged = some.len() == 1 && some[0].work.saved.snapshot.base == *onto && new == *top;
        if is_as_judged {
            return Ok(Ok(new));
        }
        let tree = read::tree_of(git, &new)?;
        let before = self.proved.borrow().get(&tree).cloned();
        let wrong = match before {
            Some(wrong) => wrong,
            None => proving::prove(self.desk, &cases, &mut verify, &new)?,
        };
        self.proved.borrow_mut().insert(tree, wrong.clone());
        Ok(wrong.map_or(Ok(new), Err))
    }

    /// Notes what is about to become of the branch; `false` if the plan is another conductor's by now.
    fn record(&self, onto: &Oid, commits: &[(i64, Oid)]) -> Result<bool, Error> {
        self.desk.store()?.write(|tx| {
            if tx.fencing(&self.desk.plan_id)? != self.desk.fencing {
                return Ok(false);
            }
            for (id, commit) in commits {
                let (onto, commit) = (Some(onto.as_str()), Some(commit.as_str()));
                tx.step_landing(*id, LandingState::Merged, onto, commit, None)?;
            }
            Ok(true)
        })
    }

    fn give_back(&self, alone: &Waiting, why: String) -> Result<(), Error> {
        self.desk.write(|tx| tx.step_landing(alone.id, LandingState::Conflict, None, None, Some(&why)))?;
        alone.answer(Landing::Rejected(why));
        Ok(())
    }

    fn tell(&self, text: String) -> Result<(), Error> {
        self.desk.write(|tx| -> Result<(), Error> {
            let plan = Some(&self.desk.plan_id);
            let event = NewEvent { kind: "landing.batch", plan, text, ..NewEvent::default() };
            tx.append_event(&self.desk.project.id, &event)?;
            Ok(())
        })
    }
}
