//! Runs of pipelines: their stages, which tasks are whose, and what their commands came to.

use rusqlite::{Row, params};

use super::connection::Tx;
use super::error::StoreError;
use super::events::NewEvent;
use super::plans::task_id;
use crate::base::clock::Time;
use crate::base::ids::{PlanId, ProjectId, TaskId};
use crate::domain::pipeline::{CommandState, StageState};
use crate::domain::task::TaskState;

/// A run's row. What becomes of it says its plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineRow {
    /// The plan that it is.
    pub plan: PlanId,
    /// The pipeline's name.
    pub pipeline: String,
    /// What was asked of it; none where the plan's own tasks are the first stage's.
    pub request: Option<String>,
    /// The stages as they were configured, JSON.
    pub document: String,
    /// When it was made.
    pub created_at: Time,
}

/// A stage's row.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRow {
    /// Its place in the pipeline, from 0.
    pub ordinal: i64,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub state: StageState,
    /// Rounds that were begun.
    pub round: u32,
    /// Those up to this one do not count any more.
    pub counted_from: u32,
    /// Only its command is left.
    pub is_worked: bool,
    /// Why it is where it is.
    pub reason: Option<String>,
    /// What a person decided.
    pub decision: Option<Decision>,
    /// The run of its command since it was last approved.
    pub command: Option<String>,
    /// The run of what undoes it.
    pub rollback: Option<String>,
    /// Who had it rolled back.
    pub undo_asked_by: Option<String>,
    /// Since when it is there.
    pub changed_at: Time,
}

/// What a person said to a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Whether it may begin.
    pub is_approved: bool,
    /// Who.
    pub by: String,
    /// When.
    pub at: Time,
    /// What was said with it.
    pub message: Option<String>,
}

/// A task of a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTask {
    /// The task.
    pub task: TaskId,
    /// The stage's place.
    pub stage: i64,
    /// In which round.
    pub round: u32,
    /// Whether it mends what the round found.
    pub is_fix: bool,
    /// The task that it is done for, or the attempt that found what it mends.
    pub origin: Option<String>,
    /// Where the task is.
    pub state: TaskState,
    /// Why it is there.
    pub reason: Option<String>,
}

/// One run of a stage's command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRow {
    /// Its id, and the name of its run folder.
    pub id: String,
    /// The stage's place.
    pub stage: i64,
    /// Whether it undoes.
    pub is_rollback: bool,
    /// Where it is.
    pub state: CommandState,
    /// The commit whose checkout it runs in.
    pub commit: String,
    /// How it ended.
    pub reason: Option<String>,
    /// Where its log is kept.
    pub log: Option<String>,
    /// When it was recorded.
    pub began_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
}

const RUN: &str = "plan, pipeline, request, document, created_at";
const STAGE: &str =
    "ordinal, name, state, round, counted_from, is_worked, reason, approved, decided_by, decided_at,
                     message, command, rollback, undo_asked_by, changed_at";
const COMMAND: &str = "id, stage, is_rollback, state, commit_id, reason, log, began_at, ended_at";

impl Tx<'_> {
    /// Makes a plan a run of a pipeline, with its stages in their order.
    pub fn insert_pipeline(
        &self,
        project: &ProjectId,
        plan: &PlanId,
        pipeline: &str,
        request: Option<&str>,
        document: &str,
        stages: &[&str],
    ) -> Result<(), StoreError> {
        let now = Time::now().as_millis();
        self.sql
            .prepare_cached(
                "INSERT INTO pipeline_runs (plan, project, pipeline, request, document, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![plan.as_str(), project.as_str(), pipeline, request, document, now])?;
        for (ordinal, name) in stages.iter().enumerate() {
            self.sql
                .prepare_cached(
                    "INSERT INTO pipeline_stages (plan, ordinal, name, state, changed_at)
                     VALUES (?1, ?2, ?3, 'waiting', ?4)",
                )?
                .execute(params![plan.as_str(), ordinal as i64, name, now])?;
        }
        Ok(())
    }

    /// The run that a plan is, if it is one.
    pub fn pipeline_run(&self, plan: &PlanId) -> Result<Option<PipelineRow>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {RUN} FROM pipeline_runs WHERE plan = ?1"))?;
        let mut rows = statement.query([plan.as_str()])?;
        Ok(rows.next()?.map(run_row).transpose()?)
    }

    /// The project's runs, the newest first, at most `limit`.
    pub fn pipeline_runs(&self, project: &ProjectId, limit: usize) -> Result<Vec<PipelineRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {RUN} FROM pipeline_runs WHERE project = ?1 ORDER BY created_at DESC, plan LIMIT ?2"
        ))?;
        let rows = statement.query_map(params![project.as_str(), limit as i64], run_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The stages of a run in their order; none where the plan is none.
    pub fn pipeline_stages(&self, plan: &PlanId) -> Result<Vec<StageRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {STAGE} FROM pipeline_stages WHERE plan = ?1 ORDER BY ordinal"
        ))?;
        let mut rows = statement.query([plan.as_str()])?;
        let mut stages = Vec::new();
        while let Some(row) = rows.next()? {
            stages.push(stage_row(row)?);
        }
        Ok(stages)
    }

    /// Moves a stage and tells why.
    pub fn set_stage(
        &self,
        project: &ProjectId,
        plan: &PlanId,
        stage: &StageRow,
        next: StageState,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE pipeline_stages SET state = ?3, reason = ?4, changed_at = ?5 WHERE plan = ?1 AND ordinal = ?2",
            )?
            .execute(params![plan.as_str(), stage.ordinal, next.as_str(), reason, Time::now().as_millis()])?;
        let step = match stage.state == next {
            true => format!("stage {}: {}", stage.name, next.as_str()),
            false => format!("stage {}: {} → {}", stage.name, stage.state.as_str(), next.as_str()),
        };
        let text = reason.map_or_else(|| step.clone(), |reason| format!("{step} ({reason})"));
        let data = serde_json::json!({
            "stage": stage.name, "from": stage.state.as_str(), "to": next.as_str(),
        });
        self.tell_of_stage(project, plan, "stage.state", None, text, &data)
    }

    fn tell_of_stage(
        &self,
        project: &ProjectId,
        plan: &PlanId,
        kind: &'static str,
        who: Option<&str>,
        text: String,
        data: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let data = Some(data.to_string());
        let event = NewEvent { kind, plan: Some(plan), holder: who, text, data, ..NewEvent::default() };
        self.append_event(project, &event).map(|_| ())
    }

    /// Counts another round of a stage.
    pub fn begin_round(&self, plan: &PlanId, stage: i64) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE pipeline_stages SET round = round + 1, is_worked = 0 WHERE plan = ?1 AND ordinal = ?2",
            )?
            .execute(params![plan.as_str(), stage])?;
        Ok(())
    }

    /// Records what a person said to a stage, if nobody did before; `false` if somebody had.
    pub fn decide_stage(
        &self,
        project: &ProjectId,
        plan: &PlanId,
        stage: &StageRow,
        decision: &Decision,
    ) -> Result<bool, StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE pipeline_stages SET approved = ?3, decided_by = ?4, decided_at = ?5, message = ?6
                 WHERE plan = ?1 AND ordinal = ?2 AND approved IS NULL",
            )?
            .execute(params![
                plan.as_str(),
                stage.ordinal,
                decision.is_approved,
                decision.by,
                decision.at.as_millis(),
                decision.message
            ])?;
        if changed == 0 {
            return Ok(false);
        }
        let (kind, what) = match decision.is_approved {
            true => ("stage.approved", "approved"),
            false => ("stage.refused", "refused"),
        };
        let said = decision.message.as_ref().map_or_else(String::new, |said| format!(": {said}"));
        let text = format!("stage {}: {what} by {}{said}", stage.name, decision.by);
        let data = serde_json::json!({"stage": stage.name, "message": decision.message});
        self.tell_of_stage(project, plan, kind, Some(&decision.by), text, &data)?;
        Ok(true)
    }

    /// Lets a stage be decided on, and its command run, once more. `keeps_work`: its tasks need not be
    /// done again; else its rounds are counted anew.
    pub fn renew_stage(&self, plan: &PlanId, stage: i64, keeps_work: bool) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE pipeline_stages SET approved = NULL, decided_by = NULL, decided_at = NULL, message = NULL,
                    command = NULL, rollback = NULL, undo_asked_by = NULL, is_worked = ?3, counted_from = round
                 WHERE plan = ?1 AND ordinal = ?2",
            )?
            .execute(params![plan.as_str(), stage, keeps_work])?;
        Ok(())
    }

    /// Notes that somebody has the stage rolled back.
    pub fn ask_for_rollback(&self, plan: &PlanId, stage: i64, who: &str) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE pipeline_stages SET rollback = NULL, undo_asked_by = ?3 WHERE plan = ?1 AND ordinal = ?2",
            )?
            .execute(params![plan.as_str(), stage, who])?;
        Ok(())
    }

    /// Says of a task that it is a stage's.
    pub fn insert_stage_task(
        &self,
        plan: &PlanId,
        task: &TaskId,
        stage: i64,
        round: u32,
        is_fix: bool,
        origin: Option<&str>,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO pipeline_tasks (plan, task, stage, round, is_fix, origin) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![plan.as_str(), task.as_str(), stage, round, is_fix, origin])?;
        Ok(())
    }

    /// The tasks of all stages, in the order in which they were made.
    pub fn stage_tasks(&self, plan: &PlanId) -> Result<Vec<StageTask>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT t.id, t.is_number, s.stage, s.round, s.is_fix, s.origin, t.state, t.reason
             FROM pipeline_tasks s JOIN tasks t ON t.plan = s.plan AND t.id = s.task
             WHERE s.plan = ?1 ORDER BY t.ordinal",
        )?;
        let mut rows = statement.query([plan.as_str()])?;
        let mut tasks = Vec::new();
        while let Some(row) = rows.next()? {
            tasks.push(StageTask {
                task: task_id(row.get(0)?, row.get(1)?),
                stage: row.get(2)?,
                round: row.get(3)?,
                is_fix: row.get(4)?,
                origin: row.get(5)?,
                state: known_task(&row.get::<_, String>(6)?)?,
                reason: row.get(7)?,
            });
        }
        Ok(tasks)
    }

    /// How many tasks of each stage's round are in each state: stage, whether they mend, state, number.
    pub fn stage_counts(&self, plan: &PlanId) -> Result<Vec<(i64, bool, TaskState, usize)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT s.stage, s.is_fix, t.state, count(*) FROM pipeline_tasks s
             JOIN tasks t ON t.plan = s.plan AND t.id = s.task
             JOIN pipeline_stages p ON p.plan = s.plan AND p.ordinal = s.stage AND p.round = s.round
             WHERE s.plan = ?1 GROUP BY s.stage, s.is_fix, t.state",
        )?;
        let mut rows = statement.query([plan.as_str()])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            let count: i64 = row.get(3)?;
            counts.push((
                row.get(0)?,
                row.get(1)?,
                known_task(&row.get::<_, String>(2)?)?,
                count.unsigned_abs() as usize,
            ));
        }
        Ok(counts)
    }

    /// Of every task of a plan who tried it last, else whom it is for, and where it is; with numbers.
    pub fn seat_counts(&self, plan: &PlanId) -> Result<Vec<(String, TaskState, usize)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT coalesce((SELECT worker FROM attempts a WHERE a.plan = t.plan AND a.task = t.id
                              ORDER BY number DESC LIMIT 1), json_extract(t.document, '$.target'), '') AS who,
                    t.state, count(*)
             FROM tasks t WHERE t.plan = ?1 GROUP BY who, t.state",
        )?;
        let mut rows = statement.query([plan.as_str()])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            let count: i64 = row.get(2)?;
            counts.push((row.get(0)?, known_task(&row.get::<_, String>(1)?)?, count.unsigned_abs() as usize));
        }
        Ok(counts)
    }

    /// Records that a command of a stage is about to be run, before anything of it is done.
    pub fn begin_command(
        &self,
        project: &ProjectId,
        plan: &PlanId,
        stage: &StageRow,
        id: &str,
        is_rollback: bool,
        commit: &str,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO pipeline_commands (id, plan, stage, is_rollback, state, commit_id, began_at)
                 VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6)",
            )?
            .execute(params![
                id,
                plan.as_str(),
                stage.ordinal,
                is_rollback,
                commit,
                Time::now().as_millis()
            ])?;
        let column = if is_rollback { "rollback" } else { "command" };
        self.sql
            .prepare_cached(&format!(
                "UPDATE pipeline_stages SET {column} = ?3 WHERE plan = ?1 AND ordinal = ?2"
            ))?
            .execute(params![plan.as_str(), stage.ordinal, id])?;
        let short = &commit[..12.min(commit.len())];
        let text = format!("stage {}: its {} is run on {short}", stage.name, named(is_rollback));
        let data = serde_json::json!({"stage": stage.name, "command": id, "commit": commit});
        self.tell_of_stage(project, plan, "stage.command", None, text, &data)
    }

    /// Records how a command ended, once; `false` if that was recorded before.
    pub fn end_command(
        &self,
        project: &ProjectId,
        plan: &PlanId,
        id: &str,
        state: CommandState,
        reason: &str,
        log: Option<&str>,
    ) -> Result<bool, StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE pipeline_commands SET state = ?2, reason = ?3, log = ?4, ended_at = ?5
                 WHERE id = ?1 AND state = 'running'",
            )?
            .execute(params![id, state.as_str(), reason, log, Time::now().as_millis()])?;
        if changed == 0 {
            return Ok(false);
        }
        let command = self.stage_commands(plan)?.into_iter().find(|command| command.id == id);
        let stages = self.pipeline_stages(plan)?;
        let stage = command.and_then(|command| {
            let stage = stages.into_iter().find(|stage| stage.ordinal == command.stage)?;
            Some((stage.name, command.is_rollback))
        });
        if let Some((stage, is_rollback)) = stage {
            let text = format!("stage {stage}: its {} {reason}", named(is_rollback));
            let data = serde_json::json!({
                "stage": stage, "command": id, "state": state.as_str(), "log": log,
            });
            self.tell_of_stage(project, plan, "stage.command", None, text, &data)?;
        }
        Ok(true)
    }

    /// Every run of a command of a run's stages, the oldest first.
    pub fn stage_commands(&self, plan: &PlanId) -> Result<Vec<CommandRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COMMAND} FROM pipeline_commands WHERE plan = ?1 ORDER BY began_at, id"
        ))?;
        let mut rows = statement.query([plan.as_str()])?;
        let mut commands = Vec::new();
        while let Some(row) = rows.next()? {
            commands.push(command_row(row)?);
        }
        Ok(commands)
    }

    /// One run of a command.
    pub fn stage_command(&self, id: &str) -> Result<Option<CommandRow>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {COMMAND} FROM pipeline_commands WHERE id = ?1"))?;
        let mut rows = statement.query([id])?;
        rows.next()?.map(command_row).transpose()
    }

    /// The runs of a project that wait for a person: plan and stage.
    pub fn stages_to_approve(&self, project: &ProjectId) -> Result<Vec<(PlanId, String)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT s.plan, s.name FROM pipeline_stages s
             JOIN pipeline_runs r ON r.plan = s.plan JOIN plans p ON p.id = s.plan
             WHERE r.project = ?1 AND s.state = 'approval' AND s.approved IS NULL
               AND p.state IN ('running', 'paused')
             ORDER BY s.changed_at, s.plan, s.ordinal",
        )?;
        let rows = statement
            .query_map([project.as_str()], |row| Ok((PlanId::new(row.get::<_, String>(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes a draft's plan object anew.
    pub fn set_plan_document(&self, plan: &PlanId, document: &str) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE plans SET document = ?2 WHERE id = ?1 AND state = 'draft'")?
            .execute([plan.as_str(), document])?;
        Ok(())
    }

    /// Writes a draft's task object anew.
    pub fn set_task_document(&self, plan: &PlanId, task: &TaskId, document: &str) -> Result<(), StoreError> {
        self.sql.prepare_cached("UPDATE tasks SET document = ?3 WHERE plan = ?1 AND id = ?2")?.execute([
            plan.as_str(),
            task.as_str(),
            document,
        ])?;
        Ok(())
    }
}

fn named(is_rollback: bool) -> &'static str {
    if is_rollback { "rollback" } else { "command" }
}

fn known_task(text: &str) -> Result<TaskState, StoreError> {
    TaskState::parse(text).ok_or_else(|| StoreError::Row(format!("task state {text}")))
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<PipelineRow> {
    Ok(PipelineRow {
        plan: PlanId::new(row.get::<_, String>(0)?),
        pipeline: row.get(1)?,
        request: row.get(2)?,
        document: row.get(3)?,
        created_at: Time::from_millis(row.get(4)?),
    })
}

fn stage_row(row: &Row<'_>) -> Result<StageRow, StoreError> {
    let state: String = row.get(2)?;
    let decision = match (row.get(7)?, row.get(8)?, row.get::<_, Option<i64>>(9)?) {
        (Some(is_approved), Some(by), Some(at)) => {
            Some(Decision { is_approved, by, at: Time::from_millis(at), message: row.get(10)? })
        }
        _ => None,
    };
    Ok(StageRow {
        ordinal: row.get(0)?,
        name: row.get(1)?,
        state: StageState::parse(&state).ok_or_else(|| StoreError::Row(format!("stage state {state}")))?,
        round: row.get(3)?,
        counted_from: row.get(4)?,
        is_worked: row.get(5)?,
        reason: row.get(6)?,
        decision,
        command: row.get(11)?,
        rollback: row.get(12)?,
        undo_asked_by: row.get(13)?,
        changed_at: Time::from_millis(row.get(14)?),
    })
}

fn command_row(row: &Row<'_>) -> Result<CommandRow, StoreError> {
    let state: String = row.get(3)?;
    Ok(CommandRow {
        id: row.get(0)?,
        stage: row.get(1)?,
        is_rollback: row.get(2)?,
        state: CommandState::parse(&state)
            .ok_or_else(|| StoreError::Row(format!("state of a command {state}")))?,
        commit: row.get(4)?,
        reason: row.get(5)?,
        log: row.get(6)?,
        began_at: Time::from_millis(row.get(7)?),
        ended_at: row.get::<_, Option<i64>>(8)?.map(Time::from_millis),
    })
}
