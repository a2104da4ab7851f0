//! What is known of a run at this moment.

use serde_json::Value;

use super::stages::{self, Stage};
use crate::base::ids::{PlanId, TaskId};
use crate::domain::pipeline::{self, CommandState, Now, Seats, StageState, Tally, Trigger};
use crate::domain::task::TaskState;
use crate::services::Error;
use crate::store::Tx;
use crate::store::events::{EventFilter, EventRow};
use crate::store::pipelines::{PipelineRow, StageRow};

/// As many findings of one round are looked at.
pub const MOST_FINDINGS: usize = 100;

/// Everything about a run.
#[derive(Debug)]
pub struct Facts {
    /// Its row.
    pub run: PipelineRow,
    /// Its stages as they were configured.
    pub stages: Vec<Stage>,
    /// The same as they are decided upon.
    pub machine: Vec<pipeline::Stage>,
    /// Their rows.
    pub rows: Vec<StageRow>,
    /// Where they are.
    pub now: Vec<Now>,
    /// Who did what.
    pub seats: Seats,
}

/// Something that a stage's task found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub text: String,
    /// Where.
    pub files: Vec<String>,
    /// How bad.
    pub severity: Option<String>,
    /// The task whose worker found it.
    pub task: String,
    /// The attempt.
    pub attempt: String,
}

/// The facts of a run; `None` where the plan is none.
pub fn of(tx: &Tx<'_>, plan: &PlanId) -> Result<Option<Facts>, Error> {
    let Some(run) = tx.pipeline_run(plan)? else { return Ok(None) };
    let stages = stages::stored(&run)?;
    let machine = stages::machine(&stages);
    let rows = tx.pipeline_stages(plan)?;
    if rows.len() != stages.len() {
        return Err(Error::Bug(format!("run {plan} has {} of {} stages", rows.len(), stages.len())));
    }
    let commands = tx.stage_commands(plan)?;
    let state_of = |id: &Option<String>| -> Option<CommandState> {
        let id = id.as_deref()?;
        commands.iter().find(|command| command.id == id).map(|command| command.state)
    };
    // Of what began there is a log.
    let is_unbegun = |id: &Option<String>| {
        let command = commands.iter().find(|command| Some(&command.id) == id.as_ref());
        command.is_some_and(|command| command.state == CommandState::Failed && command.log.is_none())
    };
    let mut now: Vec<Now> = rows
        .iter()
        .map(|row| Now {
            state: row.state,
            round: row.round,
            counted_from: row.counted_from,
            approved: row.decision.as_ref().map(|decision| decision.is_approved),
            is_worked: row.is_worked,
            command: state_of(&row.command),
            is_unbegun: is_unbegun(&row.command),
            rollback: state_of(&row.rollback),
            ..Now::default()
        })
        .collect();
    for (stage, is_fix, state, count) in tx.stage_counts(plan)? {
        let Some(now) = usize::try_from(stage).ok().and_then(|at| now.get_mut(at)) else { continue };
        add(if is_fix { &mut now.fixes } else { &mut now.tasks }, state, count);
    }
    for (at, now) in now.iter_mut().enumerate() {
        let is_through = now.state == StageState::Running && now.tasks.open == 0 && now.tasks.lost == 0;
        if stages[at].takes_findings && is_through {
            now.findings = findings(tx, plan, at as i64, now.round)?.len();
        }
    }
    let seats = seats(tx, plan, &machine)?;
    Ok(Some(Facts { run, stages, machine, rows, now, seats }))
}

fn add(tally: &mut Tally, state: TaskState, count: usize) {
    match state {
        TaskState::Done => tally.done += count,
        TaskState::Failed | TaskState::Blocked => tally.lost += count,
        // Somebody wanted it so; it keeps nobody waiting.
        TaskState::Cancelled => {}
        _ => tally.open += count,
    }
}

/// Who did what, where some stage waits for workers.
fn seats(tx: &Tx<'_>, plan: &PlanId, machine: &[pipeline::Stage]) -> Result<Seats, Error> {
    let mut seats = Seats::new();
    let triggers = || machine.iter().flat_map(|stage| stage.all_of.iter().chain(&stage.any_of));
    let groups: Vec<(&String, &Vec<String>)> = triggers()
        .filter_map(|trigger| match trigger {
            Trigger::Workers(name, workers) => Some((name, workers)),
            Trigger::Stage(_) | Trigger::Approval => None,
        })
        .collect();
    if groups.is_empty() {
        return Ok(seats);
    }
    for (who, state, count) in tx.seat_counts(plan)? {
        // What is for a group, and nobody's yet, may become any member's.
        let members = groups.iter().find(|(name, _)| **name == who).map(|(_, workers)| workers.as_slice());
        for worker in members.unwrap_or(std::slice::from_ref(&who)) {
            add(seats.entry(worker.clone()).or_default(), state, count);
        }
    }
    Ok(seats)
}

/// What the tasks of a stage's round found, and the tasks that they delegated: of each the try that
/// counts, each finding once.
pub fn findings(tx: &Tx<'_>, plan: &PlanId, stage: i64, round: u32) -> Result<Vec<Finding>, Error> {
    let tasks = tx.stage_tasks(plan)?;
    let own = tasks.into_iter().filter(|task| task.stage == stage && task.round == round && !task.is_fix);
    let mut open: Vec<TaskId> = own.map(|task| task.task).collect();
    open.reverse();
    let mut found: Vec<Finding> = Vec::new();
    while let Some(task) = open.pop() {
        open.extend(tx.children(plan, &task)?.into_iter().map(|child| child.id));
        let Some(attempt) = tx.attempts_at(plan, &task)?.pop() else { continue };
        let filter = EventFilter {
            attempt: Some(attempt.id.as_str()),
            kind: Some("attempt.finding"),
            ..EventFilter::default()
        };
        for event in tx.events_after(0, &filter, MOST_FINDINGS)? {
            let finding = finding(&event);
            let is_known = |other: &Finding| other.text == finding.text && other.files == finding.files;
            if !found.iter().any(is_known) && found.len() < MOST_FINDINGS {
                found.push(finding);
            }
        }
    }
    Ok(found)
}

/// A finding as the event log has it.
pub fn finding(event: &EventRow) -> Finding {
    let data: Value =
        event.data.as_deref().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    let files = data["files"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Finding {
        text: event.text.clone(),
        files: files.map(str::to_owned).collect(),
        severity: data["severity"].as_str().map(str::to_owned),
        task: event.task.clone().unwrap_or_default(),
        attempt: event.attempt.clone().unwrap_or_default(),
    }
}
