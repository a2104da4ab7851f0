//! The end of an attempt that was saved: it is judged, and what is approved lands.

use std::path::Path;

use super::attempt::{give_up, no_more, tell};
use super::desk::Desk;
use super::saving::Saved;
use crate::base::failpoint::Point;
use crate::base::ids::ClaimId;
use crate::domain::pattern::{Pattern, PatternSet};
use crate::domain::plan::Task;
use crate::domain::task::TaskState;
use crate::domain::verdict::{GateOutcome, Verdict};
use crate::services::claiming::leaving;
use crate::services::environments::working;
use crate::services::judging::{self, Case, Judgement};
use crate::services::landing::{self, Landing, Work};
use crate::services::{Error, approving, owning};
use crate::store::Tx;
use crate::store::attempts::{AttemptRow, GateRow};
use crate::sys::git::change::Change;
use crate::sys::git::{Oid, construct};

/// What stands among the gates where landing itself spoke against a work.
const LANDING: &str = "landing";

/// The commit that may land: the base and the changes within the claim.
pub(crate) fn construct_work(
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    saved: &Saved,
) -> Result<Oid, Error> {
    let owned = PatternSet::new(task.files.clone());
    let keep = |change: &Change| saved.lands(change, &owned);
    let title: String = task.text.lines().next().unwrap_or_default().chars().take(72).collect();
    let message = format!(
        "{title}\n\nKapell-Task: {}/{}\nKapell-Attempt: {}\n",
        attempt.plan, attempt.task, attempt.id
    );
    construct::construct(&desk.git, &saved.snapshot, &keep, &message, Path::new(&attempt.run_dir))
        .map_err(Error::from_git)
}

/// What is judged of an attempt.
pub(crate) fn case<'a>(
    desk: &'a Desk,
    attempt: &AttemptRow,
    task: &Task,
    saved: &'a Saved,
    work: Oid,
    plan: &'a crate::domain::plan::Plan,
) -> Result<Case<'a>, Error> {
    // What its worker claimed besides does not make a task of another kind of it.
    let planned = desk.task(&task.id)?.files;
    let children = desk.store()?.read(|tx| tx.children(&desk.plan_id, &task.id))?;
    let delegated = children.into_iter().filter(|child| child.state == TaskState::Done).map(|child| child.id);
    let is_spec = planned.len() == 1 && plan.specs.iter().any(|spec| planned[0].as_str() == spec.file);
    Ok(Case {
        session: &desk.session,
        project: &desk.project,
        config: &desk.config,
        git: &desk.git,
        ecosystem: &desk.ecosystem,
        name: attempt.id.as_str().to_owned(),
        text: task.text.clone(),
        snapshot: &saved.snapshot,
        outside: &saved.outside,
        ignored: &saved.ignored,
        unowned: &saved.unowned,
        work,
        tests: task.tests.clone().map(PatternSet::new),
        rules: desk.rules(task),
        specs: &plan.specs,
        is_spec,
        is_open: planned.is_empty(),
        delegated: delegated.collect(),
        only: None,
        evidence: Path::new(&attempt.run_dir).join("evidence"),
        of: Some((desk.plan_id.clone(), Some(task.id.clone()))),
        waits: Some(desk),
    })
}

/// Runs the gates and records the verdict; whether it is approved.
pub(super) fn judge(desk: &Desk, attempt: &AttemptRow, task: &Task, saved: &Saved) -> Result<bool, Error> {
    let work = construct_work(desk, attempt, task, saved)?;
    Point::JudgeBuilt.reach()?;
    let plan = desk.plan();
    let case = case(desk, attempt, task, saved, work, &plan)?;
    let judgement = judging::judge(&case)?;
    let state = desk.store()?.read(|tx| tx.task(&desk.plan_id, &task.id))?.map(|row| row.state);
    if desk.is_stopping() || state == Some(TaskState::Cancelled) {
        // Its commands were ended; what they said is nothing to go by.
        return Ok(false);
    }
    // A person did not wait for what the gates say.
    if state == Some(TaskState::Approved) {
        return Ok(true);
    }
    let feedback = judging::feedback(&judgement);
    Point::JudgeConcluded.reach()?;
    let approved = desk.write(|tx| record(tx, desk, attempt, task, &judgement, &feedback))?;
    Point::JudgeRecorded.reach()?;
    Ok(approved)
}

fn record(
    tx: &Tx<'_>,
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    judgement: &Judgement,
    feedback: &str,
) -> Result<bool, Error> {
    tx.set_verdict(&attempt.id, judgement.verdict, &judgement.gates)?;
    for gate in judgement.gates.iter().filter(|gate| gate.outcome == GateOutcome::Flaky) {
        tell(
            tx,
            desk,
            attempt,
            "gate.flaky",
            &format!("task {}: {}: {}", attempt.task, gate.name, gate.why),
        )?;
    }
    let first = judgement.gates.iter().find(|gate| !gate.outcome.is_good());
    let why = first
        .map_or_else(|| "no gate proved anything".to_owned(), |gate| format!("{}: {}", gate.name, gate.why));
    let text = match judgement.verdict {
        Verdict::Approved => {
            let but = judging::unproved(&judgement.gates).map(|but| format!("; {but}")).unwrap_or_default();
            format!("task {}: try {} approved{but}", attempt.task, attempt.number)
        }
        other => format!("task {}: try {} {} ({why})", attempt.task, attempt.number, other.as_str()),
    };
    tell(tx, desk, attempt, "attempt.judged", &text)?;
    let id = &task.id;
    match judgement.verdict {
        Verdict::Approved => {
            let project = &desk.project.id;
            let but = judging::unproved(&judgement.gates);
            Ok(tx.step_task(project, &desk.plan_id, id, &[TaskState::Judging], TaskState::Approved, but)?)
        }
        Verdict::Error => {
            give_up(tx, desk, attempt, id, &format!("it could not be judged: {why}"))?;
            Ok(false)
        }
        Verdict::Rejected => {
            tx.set_feedback(&desk.plan_id, id, Some(feedback))?;
            let project = &desk.project.id;
            if tx.step_task(
                project,
                &desk.plan_id,
                id,
                &[TaskState::Judging],
                TaskState::Rejected,
                Some(&why),
            )? {
                reject(tx, desk, attempt, task, &why)?;
            }
            Ok(false)
        }
    }
}

/// A rejected task is tried again, or given up after its last try.
fn reject(tx: &Tx<'_>, desk: &Desk, attempt: &AttemptRow, task: &Task, why: &str) -> Result<(), Error> {
    let tries = tx.attempts_at(&desk.plan_id, &task.id)?;
    if let Some(why) = no_more(tx, desk, task, &tries, why)? {
        give_up(tx, desk, attempt, &task.id, &why)?;
    }
    Ok(())
}

/// Whether the work may land now: the attempt holds what it changed. Claims that were let go (the task had failed, and a person approved it after all) are
/// taken again; if somebody else has them by now, the task fails and tells so.
fn may_land(
    tx: &Tx<'_>,
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    patterns: &[Pattern],
    kept: &[ClaimId],
) -> Result<bool, Error> {
    let (project, plan, id) = (&desk.project.id, &desk.plan_id, &task.id);
    let state = tx.task(plan, id)?.map(|row| row.state);
    if !matches!(state, Some(TaskState::Approved | TaskState::Landing)) {
        return Ok(false);
    }
    if let Some(conflict) =
        approving::hold(tx, &desk.project, attempt, patterns, kept, "approved work lands")?
    {
        let held = &conflict.held;
        let who = held.task.clone().unwrap_or_else(|| held.holder.name.to_string());
        let why = format!("{} is held by {who} by now; approve it again when that is free", conflict.witness);
        tx.move_task(project, plan, id, TaskState::Ready, None)?;
        tx.move_task(project, plan, id, TaskState::Failed, Some(&why))?;
        return Ok(false);
    }
    if state == Some(TaskState::Approved) {
        tx.move_task(project, plan, id, TaskState::Landing, None)?;
    }
    Ok(true)
}

/// Sends approved work back that could not land, and keeps for whoever asks what spoke against it: it is one more
/// gate, of which all is evidence.
fn give_back(desk: &Desk, attempt: &AttemptRow, task: &Task, why: &str) -> Result<(), Error> {
    let line = why.lines().next().unwrap_or_default().trim_end_matches(':');
    let folder = Path::new(&attempt.run_dir).join("evidence");
    let evidence = folder.join("landing.txt");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&evidence, format!("{}\n", why.trim_end())))
        .map_err(|error| Error::system(format!("cannot write {}", evidence.display()), error))?;
    let gate = GateRow {
        name: LANDING.to_owned(),
        outcome: GateOutcome::Fail,
        why: line.to_owned(),
        evidence: Some(evidence.to_string_lossy().into_owned()),
        duration_ms: 0,
    };
    desk.write(|tx| -> Result<(), Error> {
        let mut gates = tx.gates(&attempt.id)?;
        gates.retain(|gate| gate.name != LANDING);
        gates.push(gate);
        tx.set_verdict(&attempt.id, Verdict::Rejected, &gates)?;
        tx.set_feedback(&desk.plan_id, &task.id, Some(why))?;
        let text = format!("task {}: try {} does not land: {line}", attempt.task, attempt.number);
        tell(tx, desk, attempt, "landing.rejected", &text)?;
        tx.move_task(&desk.project.id, &desk.plan_id, &task.id, TaskState::Rejected, Some(line))?;
        reject(tx, desk, attempt, task, line)
    })
}

pub(super) fn land(desk: &Desk, attempt: &AttemptRow, task: &Task, saved: Saved) -> Result<(), Error> {
    let id = &task.id;
    let store = desk.store()?;
    let commit = construct_work(desk, attempt, task, &saved)?;
    let mut patterns = task.files.clone();
    let approved = store.read(|tx| tx.approved_paths(&attempt.id))?;
    patterns.extend(approved.iter().filter_map(|path| Pattern::around_shown(path).ok()));
    let kept = leaving::keep(&desk.session.house, &desk.project, &patterns)?;
    let may_land = desk.write(|tx| may_land(tx, desk, attempt, task, &patterns, &kept))?;
    if !may_land {
        return Ok(());
    }
    Point::LandingAllowed.reach()?;
    let title: String = task.text.lines().next().unwrap_or_default().chars().take(72).collect();
    let message = format!(
        "{title}\n\nKapell-Plan: {}\nKapell-Task: {}\nKapell-Attempt: {}\n",
        attempt.plan, attempt.task, attempt.id
    );
    let base = saved.snapshot.base.clone();
    let commit = match attempt.environment {
        Some(_) => working::place(desk, attempt, &saved, commit, &message)?,
        None => commit,
    };
    let work = Work { attempt: attempt.clone(), task: task.clone(), saved, commit: commit.clone(), message };
    let landed = landing::land(desk, work)?;
    let (commit, branch) = match landed {
        Landing::Landed { commit, branch } => (commit, branch),
        Landing::Left => return Ok(()),
        Landing::Rejected(why) => {
            if attempt.environment.is_some() {
                working::take_back(desk, attempt, &base, &commit)?;
            }
            return give_back(desk, attempt, task, &why);
        }
    };
    desk.write(|tx| -> Result<(), Error> {
        tx.set_committed(&desk.plan_id, id, commit.as_str())?;
        let mut gates = tx.gates(&attempt.id)?;
        if gates.iter().any(|gate| gate.name == LANDING) {
            // It did not land before, and does since somebody approved it again.
            gates.retain(|gate| gate.name != LANDING);
            tx.set_verdict(&attempt.id, Verdict::Approved, &gates)?;
        }
        let but = judging::unproved(&gates);
        if tx.move_task(&desk.project.id, &desk.plan_id, id, TaskState::Done, but)? {
            tx.release_attempt_claims(&desk.project.id, &attempt.id, "its work landed")?;
            owning::do_without(tx, &desk.project.id, &desk.plan_id, id)?;
            let short = &commit.as_str()[..12.min(commit.as_str().len())];
            let text = match branch.strip_prefix("refs/heads/") {
                Some(on) => format!("task {id}: landed as {short} on {on}"),
                None => format!("task {id}: accepted in the shared folder"),
            };
            tell(tx, desk, attempt, "task.landed", &text)?;
        }
        Ok(())
    })?;
    for tried in store.read(|tx| tx.attempts_at(&desk.plan_id, id))? {
        super::tidying::put_away(desk, &tried);
    }
    super::tidying::follow(desk, &commit);
    Ok(())
}
