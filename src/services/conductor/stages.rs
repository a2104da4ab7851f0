//! The stages of a run: what is decided about them is recorded here, in one transaction with the tasks
//! that follow from it, and only then a command is run.

use super::desk::Desk;
use crate::base::ids::{PlanId, random_tail};
use crate::domain::conducting::PlanState;
use crate::domain::pipeline::{self, CommandState, Conclusion, StageState, Step, Why};
use crate::services::pipelines::expanding::{self, Ground};
use crate::services::pipelines::facts::{self, Facts};
use crate::services::{Error, landing};
use crate::store::Tx;
use crate::store::pipelines::{CommandRow, StageRow};

/// A plan paused for this reason goes on when its stage is approved; one that a person paused does not.
pub const WAITS_FOR_APPROVAL: &str = "approval: ";

/// Steps follow from steps; no run of a sound pipeline takes as many at once.
const MOST_STEPS: usize = 1000;

/// The stages of the plan that a conductor runs, if it is a run of a pipeline.
#[derive(Debug, Default)]
pub struct Stages {
    /// Whether it is one.
    pub is_run: bool,
    /// The newest event when nothing was left to be done.
    seen: Option<i64>,
}

impl Stages {
    /// Looks whether the plan is a run.
    pub fn of(desk: &Desk) -> Result<Self, Error> {
        let run = desk.store()?.read(|tx| tx.pipeline_run(&desk.plan_id))?;
        Ok(Self { is_run: run.is_some(), seen: None })
    }

    /// Takes every step that can be taken, and gives the commands that are recorded as running.
    pub fn advance(&mut self, desk: &Desk) -> Result<Vec<CommandRow>, Error> {
        let (newest, is_due) = desk.store()?.read(|tx| -> Result<_, Error> {
            let newest = tx.newest_event()?;
            if self.seen == Some(newest) {
                return Ok((newest, false));
            }
            let facts = known(tx, &desk.plan_id)?;
            Ok((newest, !pipeline::steps(&facts.machine, &facts.now, &facts.seats).is_empty()))
        })?;
        if is_due {
            let landed = landed(desk)?;
            desk.write(|tx| take_steps(tx, desk, &landed, PlanState::Running))?;
        } else {
            self.seen = Some(newest);
        }
        let commands = desk.store()?.read(|tx| tx.stage_commands(&desk.plan_id))?;
        Ok(commands.into_iter().filter(|command| command.state == CommandState::Running).collect())
    }

    /// Ends the stages of a paused run of which nothing else is left; tells whether there was nothing else.
    pub fn end_well(&self, desk: &Desk) -> Result<bool, Error> {
        let facts = desk.store()?.read(|tx| known(tx, &desk.plan_id))?;
        if !pipeline::is_through(&facts.machine, &facts.now, &facts.seats) {
            return Ok(false);
        }
        let landed = landed(desk)?;
        desk.write(|tx| take_steps(tx, desk, &landed, PlanState::Paused))?;
        Ok(true)
    }

    /// What the plan comes to when no task is at work: as its stages say, where it has some. `None`:
    /// something is left to do.
    pub fn conclude(
        &self,
        tx: &Tx<'_>,
        plan: &PlanId,
        of_tasks: PlanState,
    ) -> Result<Option<(PlanState, Option<String>)>, Error> {
        if !self.is_run {
            return Ok(Some((of_tasks, None)));
        }
        let facts = known(tx, plan)?;
        let Some(conclusion) = pipeline::conclusion(&facts.machine, &facts.now, &facts.seats) else {
            return Ok(None);
        };
        let reason = |at: usize| {
            let row = &facts.rows[at];
            let why = row.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            format!("stage {} is {}{why}", row.name, row.state.as_str())
        };
        Ok(Some(match conclusion {
            Conclusion::Done => (PlanState::Done, None),
            // A person wanted it undone.
            Conclusion::Failed(at)
                if facts.rows[at].state == StageState::RolledBack
                    && facts.rows[at].undo_asked_by.is_some() =>
            {
                (PlanState::Stopped, Some(reason(at)))
            }
            Conclusion::Failed(at) => (PlanState::Failed, Some(reason(at))),
            Conclusion::Asks(at) => {
                let name = &facts.rows[at].name;
                let why = format!(
                    "{WAITS_FOR_APPROVAL}stage {name} waits for a person: kapell pipeline approve {plan} {name}"
                );
                (PlanState::Paused, Some(why))
            }
            Conclusion::Left(at) => (of_tasks, (of_tasks != PlanState::Done).then(|| reason(at))),
        }))
    }
}

fn known(tx: &Tx<'_>, plan: &PlanId) -> Result<Facts, Error> {
    facts::of(tx, plan)?.ok_or_else(|| Error::Bug(format!("run {plan} vanished")))
}

/// The commit that the plan has landed so far.
fn landed(desk: &Desk) -> Result<String, Error> {
    let row = desk.row()?;
    let branch = row.integration.clone().unwrap_or_default();
    let landed = landing::tip(&desk.git, &desk.plan_id, &branch)?.map(|oid| oid.to_string()).or(row.base);
    landed.ok_or_else(|| Error::Bug(format!("plan {} has no commit", desk.plan_id)))
}

fn take_steps(tx: &Tx<'_>, desk: &Desk, landed: &str, state: PlanState) -> Result<(), Error> {
    let plan = &desk.plan_id;
    // Somebody else has it by now, or called it off.
    let is_on = tx.plan(plan)?.is_some_and(|row| row.state == state);
    if tx.fencing(plan)? != desk.fencing || !is_on {
        return Ok(());
    }
    for _ in 0..MOST_STEPS {
        let facts = known(tx, plan)?;
        let steps = pipeline::steps(&facts.machine, &facts.now, &facts.seats);
        // One after the other: what the first brings about may change the next.
        let Some(step) = steps.first() else { return Ok(()) };
        take(tx, desk, &facts, step, landed)?;
    }
    Err(Error::Bug(format!("the stages of run {plan} come to no rest")))
}

fn take(tx: &Tx<'_>, desk: &Desk, facts: &Facts, step: &Step, landed: &str) -> Result<(), Error> {
    let plan = &desk.plan_id;
    let at = step.stage();
    let row = &facts.rows[at];
    let ground = Ground { plan, top: desk.project.top()?, config: &desk.config };
    let reason = match step {
        Step::Ask(_) => Some(format!("kapell pipeline approve {plan} {}", row.name)),
        Step::Begin(_) => {
            expanding::begin(tx, &ground, facts, at)?;
            tx.begin_round(plan, row.ordinal)?;
            (row.round > 0).then(|| format!("round {}", row.round + 1))
        }
        Step::Fix(_) => {
            let found = expanding::fix(tx, &ground, facts, at)?;
            let fixer = facts.stages[at].fixer.and_then(|fixer| facts.stages.get(fixer));
            let to = fixer.map_or_else(|| "auto".to_owned(), |fixer| fixer.name.clone());
            Some(format!("round {} found {}, for {to} to mend", row.round, things(found)))
        }
        Step::Command(_) | Step::Rollback(_) => {
            let is_rollback = matches!(step, Step::Rollback(_));
            // What was done is undone from the same files.
            let done = row.command.as_deref().map(|id| tx.stage_command(id)).transpose()?.flatten();
            let commit = match &done {
                Some(done) if is_rollback => done.commit.as_str(),
                _ => landed,
            };
            let id = format!("d-{}", random_tail(10));
            tx.begin_command(&desk.project.id, plan, row, &id, is_rollback, commit)?;
            done.filter(|_| is_rollback).and_then(|done| done.reason).map(|how| format!("its command {how}"))
        }
        Step::End(_, _, why) => why_text(tx, plan, facts, at, why)?,
        Step::Reopen(_) | Step::Wait(_) => None,
    };
    let next = step.leads_to(&facts.now[at]);
    if next != row.state || row.reason != reason {
        tx.set_stage(&desk.project.id, plan, row, next, reason.as_deref())?;
    }
    Ok(())
}

fn things(count: usize) -> String {
    if count == 1 { "1 thing".to_owned() } else { format!("{count} things") }
}

/// Why a stage ends, for people.
fn why_text(
    tx: &Tx<'_>,
    plan: &PlanId,
    facts: &Facts,
    at: usize,
    why: &Why,
) -> Result<Option<String>, Error> {
    let row = &facts.rows[at];
    let how = |id: &Option<String>| -> Result<String, Error> {
        let command = id.as_deref().map(|id| tx.stage_command(id)).transpose()?.flatten();
        Ok(command.and_then(|command| command.reason).unwrap_or_default())
    };
    Ok(match why {
        Why::Finished => None,
        Why::Tasks => Some(lost(tx, plan, row, false)?),
        Why::Fixes => Some(lost(tx, plan, row, true)?),
        Why::CalledOff => Some("all of its tasks were called off".to_owned()),
        Why::Rounds => {
            // Those before it was tried again as well.
            let rounds = row.round;
            let found = facts::findings(tx, plan, row.ordinal, row.round)?;
            let first = found.first().and_then(|finding| finding.text.lines().next()).unwrap_or_default();
            let after = if rounds == 1 { "1 round".to_owned() } else { format!("{rounds} rounds") };
            Some(format!(
                "after {after}, as many as allowed, it still found {}: {first}",
                things(found.len())
            ))
        }
        Why::Command => Some(format!("its command {}", how(&row.command)?)),
        Why::Undone => {
            let command = how(&row.command)?;
            let who = row.undo_asked_by.as_ref().map_or_else(String::new, |who| format!(" for {who}"));
            Some(format!("its command {command}; what it did was rolled back{who}"))
        }
        Why::Rollback => {
            Some(format!("its command {}; its rollback {}", how(&row.command)?, how(&row.rollback)?))
        }
        Why::Unknown => Some(format!(
            "its command {}; look at its log, then kapell retry {plan}/{name} runs it again, kapell pipeline rollback {plan} undoes it",
            how(&row.command)?,
            name = row.name
        )),
        Why::Stage(on) => {
            let on = &facts.rows[*on];
            Some(format!("stage {} is {}", on.name, on.state.as_str()))
        }
        Why::NoneOf => Some("none of those that it waited for came to a good end".to_owned()),
        Why::Idle(name) => Some(format!("{name} did nothing in this run that it could wait for")),
    })
}

/// The first task of a stage's round that came to no good end.
fn lost(tx: &Tx<'_>, plan: &PlanId, row: &StageRow, is_fix: bool) -> Result<String, Error> {
    use crate::domain::task::TaskState;
    let tasks = tx.stage_tasks(plan)?;
    let lost = tasks.into_iter().find(|task| {
        task.stage == row.ordinal
            && task.round == row.round
            && task.is_fix == is_fix
            && matches!(task.state, TaskState::Failed | TaskState::Blocked)
    });
    Ok(lost.map_or_else(String::new, |task| {
        let why = task.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        format!("task {} is {}{why}", task.task, task.state.as_str())
    }))
}
