//! What people decide about a run: that a stage may begin, or not; that it tries again; that what it
//! did is undone. It is recorded; the run's conductor acts.

use super::facts::{self, Facts};
use crate::base::clock::Time;
use crate::base::ids::PlanId;
use crate::domain::conducting::PlanState;
use crate::domain::pipeline::{self, CommandState, StageState};
use crate::domain::refusal::{Code, Refusal};
use crate::domain::task::TaskState;
use crate::services::project::Project;
use crate::services::steering::Done;
use crate::services::{Error, Session, dispatching};
use crate::store::Tx;
use crate::store::pipelines::Decision;

/// What a person decides about a stage that waits for it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The stage; needed where several wait.
    pub stage: Option<&'a str>,
    /// It may not begin.
    pub refuse: bool,
    /// What is said with it.
    pub message: Option<&'a str>,
}

/// What a person is asked before a stage begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The run.
    pub plan: PlanId,
    /// The stage.
    pub stage: String,
    /// The question.
    pub question: String,
}

/// The stage that waits for a person, and what to ask.
pub fn gate(session: &Session, project: &Project, run: &str, stage: Option<&str>) -> Result<Gate, Error> {
    let plan = super::find(session, project, run)?;
    session.store()?.read(|tx| {
        let facts = known(tx, &plan)?;
        let at = waiting(tx, &plan, &facts, stage)?;
        let configured = &facts.stages[at];
        let what = match (&configured.command, configured.has_tasks) {
            (Some(command), _) => format!("It runs `{}` on what has landed.", shell_words::join(command)),
            (None, _) => "Its tasks are then done.".to_owned(),
        };
        let request = facts.run.request.as_ref().map_or_else(String::new, |request| {
            let line: String = request.lines().next().unwrap_or_default().chars().take(120).collect();
            format!(" for: {line}")
        });
        let question = format!(
            "Stage {} of pipeline {} (run {plan}{request}) waits for your approval. {what}",
            configured.name, facts.run.pipeline
        );
        Ok(Gate { plan: plan.clone(), stage: configured.name.clone(), question })
    })
}

fn known(tx: &Tx<'_>, plan: &PlanId) -> Result<Facts, Error> {
    facts::of(tx, plan)?.ok_or_else(|| Error::Bug(format!("run {plan} vanished")))
}

fn refuse(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Error {
    Refusal::new(code, message, hint).into()
}

/// A stage by its name.
fn place(plan: &PlanId, facts: &Facts, name: &str) -> Result<usize, Error> {
    facts.rows.iter().position(|row| row.name == name).ok_or_else(|| {
        let known: Vec<&str> = facts.rows.iter().map(|row| row.name.as_str()).collect();
        refuse(
            Code::NotFound,
            format!("run {plan} has no stage {name}"),
            format!("its stages are {}", known.join(", ")),
        )
    })
}

/// The stage that a person may decide on: the one named, or the only one that waits.
fn waiting(tx: &Tx<'_>, plan: &PlanId, facts: &Facts, stage: Option<&str>) -> Result<usize, Error> {
    let show = format!("kapell pipeline show {plan} tells how far it is");
    let asks = |at: &usize| pipeline::asks(&facts.machine[*at], &facts.now[*at]);
    if let Some(row) = tx.plan(plan)?
        && row.state.is_at_rest()
    {
        let is = format!("run {plan} is {}, so nothing in it waits for approval", row.state.as_str());
        let hint = match row.state {
            PlanState::Draft => format!("kapell dispatch --plan-id {plan} starts it"),
            PlanState::Done => show,
            PlanState::Stopped => format!("kapell resume {plan} has it go on"),
            _ => format!("kapell retry {plan} has it go on; then it asks again"),
        };
        return Err(refuse(Code::Conflict, is, hint));
    }
    if let Some(name) = stage {
        let at = place(plan, facts, name)?;
        let row = &facts.rows[at];
        return match &row.decision {
            _ if asks(&at) => Ok(at),
            Some(decision) => {
                let what = if decision.is_approved { "approved" } else { "refused" };
                let is =
                    format!("stage {name} of run {plan} was {what} by {} at {}", decision.by, decision.at);
                Err(Refusal::new(Code::Conflict, is, show).with("by", &decision.by).into())
            }
            None => {
                let is = format!(
                    "stage {name} of run {plan} is {}, and waits for no approval",
                    row.state.as_str()
                );
                Err(refuse(Code::Conflict, is, show))
            }
        };
    }
    let mut all = (0..facts.rows.len()).filter(asks);
    match (all.next(), all.next()) {
        (Some(at), None) => Ok(at),
        (Some(first), Some(second)) => {
            let names = [first, second].into_iter().chain(all).map(|at| facts.rows[at].name.clone());
            let names: Vec<String> = names.collect();
            Err(refuse(
                Code::Conflict,
                format!("several stages of run {plan} wait for approval: {}", names.join(", ")),
                format!("name one: kapell pipeline approve {plan} {}", names[0]),
            ))
        }
        (None, _) => Err(refuse(Code::Conflict, format!("nothing in run {plan} waits for approval"), show)),
    }
}

/// Approves or refuses a stage that waits for it; whoever comes second is told of the first.
pub fn decide(session: &Session, project: &Project, run: &str, asked: &Asked<'_>) -> Result<Done, Error> {
    let plan = super::find(session, project, run)?;
    let by = session.caller.holder.name.as_str();
    let (stage, is_paused) = session.store()?.write(|tx| -> Result<(String, bool), Error> {
        let facts = known(tx, &plan)?;
        let at = waiting(tx, &plan, &facts, asked.stage)?;
        let row = &facts.rows[at];
        let decision = Decision {
            is_approved: !asked.refuse,
            by: by.to_owned(),
            at: Time::now(),
            message: asked.message.map(str::trim).filter(|said| !said.is_empty()).map(str::to_owned),
        };
        if !tx.decide_stage(&project.id, &plan, row, &decision)? {
            return Err(Error::Bug(format!("stage {} of run {plan} was decided on", row.name)));
        }
        if asked.refuse {
            let said = decision.message.as_ref().map_or_else(String::new, |said| format!(": {said}"));
            let why = format!("refused by {by}{said}");
            tx.set_stage(&project.id, &plan, row, StageState::Refused, Some(&why))?;
        }
        let is_paused = !dispatching::go_on(tx, &project.id, &plan)?;
        Ok((row.name.clone(), is_paused))
    })?;
    if !is_paused {
        dispatching::ensure_conductor(session, project, &plan, false)?;
    }
    let message = match (asked.refuse, is_paused) {
        (true, _) => format!("stage {stage} is refused, and not begun"),
        (false, false) => format!("stage {stage} begins"),
        (false, true) => format!("stage {stage} begins when the run goes on: kapell resume {plan}"),
    };
    let state = if asked.refuse { StageState::Refused.as_str() } else { "approved" };
    Ok(Done { state: state.to_owned(), message, ..Done::default() })
}

/// Lets stages that came to no good end try again: those whose command or approval stood in the way ask
/// again, those that never stopped finding things get as many rounds again. How many.
pub fn again(tx: &Tx<'_>, project: &Project, plan: &PlanId, only: Option<&str>) -> Result<usize, Error> {
    let Some(facts) = facts::of(tx, plan)? else { return Ok(0) };
    let only = only.map(|name| place(plan, &facts, name)).transpose()?;
    let mut count = 0;
    for (at, row) in facts.rows.iter().enumerate() {
        let now = &facts.now[at];
        let is_meant = only.is_none_or(|only| only == at);
        let is_over = matches!(
            row.state,
            StageState::Failed | StageState::Refused | StageState::Unknown | StageState::RolledBack
        );
        // Its tasks are tried again, and it with them.
        let has_lost = now.tasks.lost + now.fixes.lost > 0;
        if !is_meant || !is_over || (has_lost && row.command.is_none()) {
            continue;
        }
        let keeps_work = row.command.is_some() && facts.stages[at].has_tasks;
        tx.renew_stage(plan, row.ordinal, keeps_work)?;
        tx.set_stage(&project.id, plan, row, StageState::Waiting, Some("tried again"))?;
        count += 1;
    }
    Ok(count)
}

/// What is said of something that is tried again, now or when its paused plan goes on.
pub fn again_or_paused(plan: &PlanId, goes_on: bool, what: String) -> Done {
    let (state, message) = match goes_on {
        true => ("running", what),
        false => ("paused", format!("{what} when the plan goes on: kapell resume {plan}")),
    };
    Done { state: state.to_owned(), message, ..Done::default() }
}

/// Tries a stage again, with its tasks that came to no good end.
pub fn retry(session: &Session, project: &Project, plan: &PlanId, stage: &str) -> Result<Done, Error> {
    let goes_on = session.store()?.write(|tx| -> Result<bool, Error> {
        let facts = known(tx, plan)?;
        let at = place(plan, &facts, stage)? as i64;
        let round = facts.rows.get(at as usize).map_or(0, |row| row.round);
        let mut count = 0;
        for task in tx.stage_tasks(plan)? {
            let is_lost = matches!(task.state, TaskState::Failed | TaskState::Blocked | TaskState::Cancelled);
            if task.stage == at && task.round == round && is_lost {
                tx.want_task(plan, &task.task, true)?;
                count += usize::from(dispatching::again(tx, &project.id, plan, &task.task, "tried again")?);
            }
        }
        count += again(tx, project, plan, Some(stage))?;
        if count == 0 {
            let state = facts.rows[at as usize].state.as_str();
            return Err(refuse(
                Code::Conflict,
                format!("stage {stage} of run {plan} is {state}, so there is nothing to try again"),
                format!("kapell pipeline show {plan} tells how far it is"),
            ));
        }
        dispatching::go_on(tx, &project.id, plan)
    })?;
    dispatching::ensure_conductor(session, project, plan, false)?;
    Ok(again_or_paused(plan, goes_on, format!("stage {stage} is tried again")))
}

/// Has what a stage's command did undone.
pub fn roll_back(
    session: &Session,
    project: &Project,
    run: &str,
    stage: Option<&str>,
) -> Result<Done, Error> {
    let plan = super::find(session, project, run)?;
    let who = session.caller.holder.name.as_str();
    let name = session.store()?.write(|tx| -> Result<String, Error> {
        let facts = known(tx, &plan)?;
        let is_stopped = tx.plan(&plan)?.is_some_and(|row| row.state == PlanState::Stopped);
        let at = to_undo(&plan, &facts, stage, is_stopped)?;
        let row = &facts.rows[at];
        tx.ask_for_rollback(&plan, row.ordinal, who)?;
        let why = format!("asked for by {who}");
        tx.set_stage(&project.id, &plan, row, StageState::RollingBack, Some(&why))?;
        tx.set_plan_state(&project.id, &plan, PlanState::Running, None)?;
        Ok(row.name.clone())
    })?;
    dispatching::ensure_conductor(session, project, &plan, false)?;
    Ok(Done {
        state: StageState::RollingBack.as_str().to_owned(),
        message: format!("what stage {name} did is being rolled back"),
        ..Done::default()
    })
}

/// The stage whose command can be undone: the one named, or the last that can.
fn to_undo(plan: &PlanId, facts: &Facts, stage: Option<&str>, is_stopped: bool) -> Result<usize, Error> {
    let why_not = |at: usize| -> Option<String> {
        let (row, now) = (&facts.rows[at], &facts.now[at]);
        let name = &row.name;
        match (facts.stages[at].rollback.is_some(), now.command) {
            (false, _) => Some(format!("stage {name} has no rollback command")),
            (true, None) => Some(format!("the command of stage {name} was not run")),
            (true, Some(CommandState::Running)) => {
                Some(format!("the command of stage {name} runs, or its end is not recorded"))
            }
            (true, Some(_)) => match row.state {
                StageState::RolledBack => Some(format!("what stage {name} did was rolled back")),
                StageState::RollingBack => Some(format!("what stage {name} did is being rolled back")),
                StageState::Done | StageState::Failed | StageState::Unknown => None,
                other if is_stopped && other.is_active() => {
                    Some(format!("stage {name} was stopped in the midst of it"))
                }
                other => Some(format!("stage {name} is {}", other.as_str())),
            },
        }
    };
    // Nobody concludes a stage of a run that was stopped in the midst of it.
    let hint = |at: Option<usize>| match is_stopped && at.is_some_and(|at| facts.now[at].state.is_active()) {
        true => format!(
            "the run was stopped: kapell resume {plan} sees to what its command left, and rolls back what it began"
        ),
        false => format!("kapell pipeline show {plan} tells how far it is"),
    };
    if let Some(name) = stage {
        let at = place(plan, facts, name)?;
        return match why_not(at) {
            None => Ok(at),
            Some(why) => Err(refuse(Code::Conflict, format!("run {plan}: {why}"), hint(Some(at)))),
        };
    }
    let able = (0..facts.rows.len()).rev().find(|&at| why_not(at).is_none());
    able.ok_or_else(|| {
        let first = (0..facts.rows.len()).rev().find(|&at| facts.stages[at].rollback.is_some());
        let why = first.and_then(why_not).unwrap_or_else(|| "no stage has a rollback command".to_owned());
        refuse(Code::Conflict, format!("run {plan}: {why}"), hint(first))
    })
}
