//! Landing on a person's word.

use super::Done;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::task::TaskState;
use crate::services::judging;
use crate::services::judging::runs::{self, Question};
use crate::services::project::Project;
use crate::services::{Error, Session, ground, landing, querying};
use crate::store::Tx;
use crate::store::events::NewEvent;
use crate::store::plans::{PlanRow, TaskLight};
use crate::sys::git::Git;

/// Brings everything that was accepted to its target, the oldest plan first. What cannot be brought is
/// told, and keeps nothing else back.
pub(super) fn land_all(session: &Session, project: &Project) -> Result<Done, Error> {
    let git = ground::git(&session.house, project)?;
    landing::mend(&git)?;
    let plans = querying::plans(session, project, 10_000)?;
    let (mut landed, mut refused, mut left) = (Vec::new(), Vec::new(), Vec::new());
    let mut runs = Vec::new();
    for plan in plans.iter().rev().map(|view| &view.row) {
        if !landing::is_left(&git, plan)? {
            continue;
        }
        // Whoever deleted it may not want it; whoever names the plan does.
        if !landing::has_branch(&git, plan)? {
            let id = &plan.id;
            left.push(format!(
                "{id} is left out, its branch was deleted: kapell land {id} lands it all the same"
            ));
            continue;
        }
        // It began where no branch was checked out, and says so at each land.
        let branch = landing::branch_of(plan);
        if plan.target.is_none() && !landing::is_shared(&branch) {
            let (id, branch) = (&plan.id, landing::short_name(&branch));
            left.push(format!(
                "{id} is left out, it has no target branch: git merge {branch}, where it is wanted"
            ));
            continue;
        }
        match land(session, project, plan) {
            Ok(done) => {
                landed.push(format!("{}: {}", plan.id, done.message));
                runs.extend(done.runs);
            }
            Err(Error::Refused(refusal)) => refused.push((&plan.id, refusal)),
            Err(error) => return Err(error),
        }
    }
    let Some((plan, first)) = refused.first() else {
        let nothing = || "nothing is left to land".to_owned();
        if landed.is_empty() && left.is_empty() {
            landed.push(nothing());
        }
        landed.append(&mut left);
        let message = landed.join("; ");
        let state = if runs.is_empty() { "landed" } else { "proving" };
        return Ok(Done { state: state.to_owned(), message, runs });
    };
    let told = refused.iter().map(|(plan, refusal)| format!("{plan} did not land: {}", refusal.message));
    let told: Vec<String> = told.chain(landed.iter().map(|landed| format!("landed {landed}"))).collect();
    let hint = match refused.len() {
        1 => first.hint.clone(),
        _ => format!("for {plan}: {}; kapell land PLAN says it for each", first.hint),
    };
    Err(Refusal::new(first.code, told.join("; "), hint).into())
}

/// Brings one plan's work to its target, or has the merge proved first.
pub(super) fn land(session: &Session, project: &Project, plan: &PlanRow) -> Result<Done, Error> {
    let git = ground::git(&session.house, project)?;
    landing::mend(&git)?;
    // Others land too: whoever comes second lands on what the first made of the target.
    for _ in 0..landing::TRIES {
        if let Some(done) = land_once(session, project, &git, plan)? {
            return Ok(done);
        }
    }
    Err(landing::moved_too_often(plan))
}

/// The same, on the target as it is now; `None` if it moved meanwhile.
fn land_once(session: &Session, project: &Project, git: &Git, plan: &PlanRow) -> Result<Option<Done>, Error> {
    if landing::needs_proof(session, project, git, plan)? {
        let question = Question { merge: Some(plan.id.to_string()), ..Question::default() };
        let run = runs::start(session, project, &question, Some(&plan.id))?;
        let target = plan.target.as_deref().unwrap_or_default();
        let message = format!(
            "{target} has moved on: the merge is proved first, and lands if it is good (kapell status --run-id {run})"
        );
        return Ok(Some(Done { state: "proving".to_owned(), message, runs: vec![run] }));
    }
    let Some(brought) = landing::bring(git, plan)? else { return Ok(None) };
    let has_landed = |tx: &Tx<'_>| -> Result<bool, Error> {
        let is_done = |task: &TaskLight| task.state == TaskState::Done;
        Ok(tx.task_lights(&plan.id)?.iter().any(is_done) || tx.pipeline_run(&plan.id)?.is_some())
    };
    if !brought.is_new && !session.store()?.read(has_landed)? {
        let message = format!("no task of plan {} is done, so there is nothing to land", plan.id);
        return Err(Refusal::new(Code::Conflict, message, "status with scope plan tells why").into());
    }
    tell_landed(session, project, plan, &brought).map(Some)
}

/// Records that a plan's work is on its target, and says it.
pub(in crate::services) fn tell_landed(
    session: &Session,
    project: &Project,
    plan: &PlanRow,
    brought: &landing::Brought,
) -> Result<Done, Error> {
    let short = &brought.commit.as_str()[..12.min(brought.commit.as_str().len())];
    let message = if brought.is_new {
        session.store()?.write(|tx| -> Result<(), Error> {
            tx.append_event(
                &project.id,
                &NewEvent {
                    kind: "plan.landed",
                    plan: Some(&plan.id),
                    text: format!("plan {} is on {} as {short}", plan.id, brought.branch),
                    ..NewEvent::default()
                },
            )?;
            Ok(())
        })?;
        format!("{} is at {short}", brought.branch)
    } else {
        format!("{} holds all of it already", brought.branch)
    };
    let message = match unproved(session, plan)? {
        Some(but) => format!("{message}; {but}"),
        None => message,
    };
    Ok(Done { state: "landed".to_owned(), message, ..Done::default() })
}

/// The tasks of a plan that no test proved, in a sentence.
fn unproved(session: &Session, plan: &PlanRow) -> Result<Option<String>, Error> {
    /// So many are named.
    const NAMED: usize = 5;
    let tasks = session.store()?.read(|tx| tx.task_lights(&plan.id))?;
    let is_it = |task: &&TaskLight| {
        task.state == TaskState::Done
            && task.reason.as_deref().is_some_and(|reason| reason.starts_with(judging::UNPROVED))
    };
    let ids: Vec<&str> = tasks.iter().filter(is_it).map(|task| task.id.as_str()).collect();
    let named = ids.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    Ok(match ids.len() {
        0 => None,
        1 => Some(format!("no test proved task {named}, since no test command is known")),
        n if n > NAMED => {
            Some(format!("no test proved {n} tasks ({named}, …), since no test command is known"))
        }
        _ => Some(format!("no test proved tasks {named}, since no test command is known")),
    })
}
