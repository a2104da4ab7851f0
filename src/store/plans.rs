//! Plans and their tasks in the database.

use rusqlite::{OptionalExtension, Row, params};

use super::connection::Tx;
use super::error::StoreError;
use super::events::NewEvent;
use crate::base::clock::Time;
use crate::base::ids::{PlanId, ProjectId, TaskId};
use crate::domain::conducting::PlanState;
use crate::domain::task::TaskState;

/// A plan's row.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRow {
    /// Its id.
    pub id: PlanId,
    /// Its project.
    pub project: ProjectId,
    /// Its name for people.
    pub name: String,
    /// Where it is.
    pub state: PlanState,
    /// The plan object without its tasks, JSON.
    pub document: String,
    /// The commit that attempts start from, once dispatched.
    pub base: Option<String>,
    /// The branch to land on, once dispatched.
    pub target: Option<String>,
    /// The ref that collects landed work.
    pub integration: Option<String>,
    /// How it is run, as whoever started it said.
    pub pace: Pace,
    /// When it is stopped, done or not.
    pub stop_at: Option<Time>,
    /// Why it failed or was stopped.
    pub reason: Option<String>,
    /// When it was stored.
    pub created_at: Time,
    /// When it came to rest.
    pub ended_at: Option<Time>,
}

/// How a plan is run, where whoever started it said so: that goes before the plan's and its tasks' own rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// At most so many attempts at once.
    pub max_parallel: Option<u32>,
    /// So many tasks are begun, and the next when all of them have ended.
    pub batch_size: Option<u32>,
    /// Tries at each task.
    pub max_attempts: Option<u32>,
    /// Seconds that one try may take.
    pub timeout_s: Option<u64>,
    /// Seconds without a sign of life after which a try is given up.
    pub stuck_after_s: Option<u64>,
}

/// A task's row.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Its place in the plan, from 0.
    pub ordinal: i64,
    /// Its id.
    pub id: TaskId,
    /// The task object, JSON.
    pub document: String,
    /// Where it is.
    pub state: TaskState,
    /// Whether it was dispatched.
    pub wanted: bool,
    /// Why it waits, failed or was rejected.
    pub reason: Option<String>,
    /// What the next attempt is told.
    pub feedback: Option<String>,
    /// The commit that landed.
    pub committed: Option<String>,
    /// The task whose worker delegated it.
    pub parent: Option<TaskId>,
}

/// A task to insert.
#[derive(Debug)]
pub struct NewTask<'a> {
    /// Its id.
    pub id: &'a TaskId,
    /// The task object, JSON.
    pub document: &'a str,
    /// Where it begins.
    pub state: TaskState,
    /// Whether it is dispatched at once.
    pub wanted: bool,
    /// The task whose worker delegates it.
    pub parent: Option<&'a TaskId>,
}

const PLAN: &str = "id, project, name, state, document, base, target, integration, max_parallel, reason,
                    created_at, ended_at, batch_size, max_attempts, timeout_s, stuck_after_s, stop_at";
const TASK: &str = "ordinal, id, is_number, document, state, wanted, reason, feedback, committed, parent";

impl Tx<'_> {
    /// Makes the project known; does nothing if it is.
    pub fn ensure_project(
        &self,
        project: &ProjectId,
        common_dir: &str,
        top: Option<&str>,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO projects (id, common_dir, top, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            )?
            .execute(params![project.as_str(), common_dir, top, Time::now().as_millis()])?;
        Ok(())
    }

    /// Where a project lies: git common directory and working tree.
    pub fn project(&self, project: &ProjectId) -> Result<Option<(String, Option<String>)>, StoreError> {
        Ok(self
            .sql
            .prepare_cached("SELECT common_dir, top FROM projects WHERE id = ?1")?
            .query_row([project.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?)
    }

    /// All projects, by their ids, and where they lie.
    pub fn projects(&self) -> Result<Vec<(ProjectId, String, Option<String>)>, StoreError> {
        let mut statement =
            self.sql.prepare_cached("SELECT id, common_dir, top FROM projects ORDER BY id")?;
        let rows = statement
            .query_map([], |row| Ok((ProjectId::new(row.get::<_, String>(0)?), row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The projects in which anything is held, by their ids, and where they lie.
    pub fn projects_with_claims(&self) -> Result<Vec<(ProjectId, String, Option<String>)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, common_dir, top FROM projects
             WHERE EXISTS (SELECT 1 FROM claims WHERE project = projects.id AND released_at IS NULL) ORDER BY id",
        )?;
        let rows = statement
            .query_map([], |row| Ok((ProjectId::new(row.get::<_, String>(0)?), row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many tasks of a project are in each state; states without a task are left out.
    pub fn task_counts_of_project(&self, project: &ProjectId) -> Result<Vec<(TaskState, u64)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT task_counts.state, SUM(n) FROM task_counts JOIN plans ON plans.id = task_counts.plan
             WHERE plans.project = ?1 AND n > 0 GROUP BY task_counts.state",
        )?;
        let mut rows = statement.query([project.as_str()])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            counts.push((task_state(&row.get::<_, String>(0)?)?, row.get::<_, i64>(1)?.unsigned_abs()));
        }
        Ok(counts)
    }

    /// Inserts a plan as a draft.
    pub fn insert_plan(
        &self,
        project: &ProjectId,
        id: &PlanId,
        name: &str,
        document: &str,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO plans (id, project, name, state, document, created_at)
                 VALUES (?1, ?2, ?3, 'draft', ?4, ?5)",
            )?
            .execute(params![id.as_str(), project.as_str(), name, document, Time::now().as_millis()])?;
        Ok(())
    }

    /// Sets what a plan may cost.
    pub fn set_plan_budget(&self, id: &PlanId, usd: f64) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE plans SET document = json_set(document, '$.budget_usd', ?2) WHERE id = ?1",
            )?
            .execute(params![id.as_str(), usd])?;
        Ok(())
    }

    /// Appends a task to a plan.
    pub fn insert_task(&self, plan: &PlanId, task: &NewTask<'_>) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO tasks (plan, ordinal, id, is_number, document, state, wanted, parent, changed_at)
                 VALUES (?1, (SELECT coalesce(max(ordinal) + 1, 0) FROM tasks WHERE plan = ?1),
                         ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                plan.as_str(),
                task.id.as_str(),
                task.id.is_number(),
                task.document,
                task.state.as_str(),
                task.wanted,
                task.parent.map(TaskId::as_str),
                Time::now().as_millis(),
            ])?;
        Ok(())
    }

    /// The tasks that the worker of a task delegated, in their order, those that are over too.
    pub fn children(&self, plan: &PlanId, parent: &TaskId) -> Result<Vec<TaskRow>, StoreError> {
        // Left to itself SQLite reads all tasks of the plan in their order, for every end of an attempt.
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {TASK} FROM tasks INDEXED BY tasks_of_parent WHERE plan = ?1 AND parent = ?2 ORDER BY ordinal"
        ))?;
        let mut rows = statement.query([plan.as_str(), parent.as_str()])?;
        let mut tasks = Vec::new();
        while let Some(row) = rows.next()? {
            tasks.push(task_row(row)?);
        }
        Ok(tasks)
    }

    /// One plan.
    pub fn plan(&self, id: &PlanId) -> Result<Option<PlanRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!("SELECT {PLAN} FROM plans WHERE id = ?1"))?;
        let mut rows = statement.query([id.as_str()])?;
        rows.next()?.map(plan_row).transpose()
    }

    /// The project's plans, those at work first, then the newest, at most `limit`.
    pub fn plans(&self, project: &ProjectId, limit: usize) -> Result<Vec<PlanRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {PLAN} FROM plans WHERE project = ?1
             ORDER BY state IN ('running', 'paused') DESC, created_at DESC, id LIMIT ?2"
        ))?;
        let mut rows = statement.query(params![project.as_str(), limit as i64])?;
        let mut plans = Vec::new();
        while let Some(row) = rows.next()? {
            plans.push(plan_row(row)?);
        }
        Ok(plans)
    }

    /// Plans whose id or name is `text`, newest first.
    pub fn plans_called(&self, project: &ProjectId, text: &str) -> Result<Vec<PlanRow>, StoreError> {
        self.plans_where(
            "project = ?1 AND (id = ?2 OR name = ?2) ORDER BY created_at DESC",
            params![project.as_str(), text],
        )
    }

    /// Plans whose id begins with `text`, of one project or of all, at most `limit`.
    pub fn plans_beginning(
        &self,
        project: Option<&ProjectId>,
        text: &str,
        limit: usize,
    ) -> Result<Vec<PlanRow>, StoreError> {
        self.plans_where(
            "id >= ?2 AND substr(id, 1, length(?2)) = ?2 AND (?1 IS NULL OR project = ?1) ORDER BY id LIMIT ?3",
            params![project.map(ProjectId::as_str), text, limit as i64],
        )
    }

    /// The plans of all projects that a conductor works on, or should.
    pub fn plans_at_work(&self) -> Result<Vec<PlanRow>, StoreError> {
        self.plans_where("state IN ('running', 'paused') ORDER BY created_at, id", [])
    }

    /// Plans that were started, the newest first, of one project or of all: a page of them.
    pub fn plans_started(
        &self,
        project: Option<&ProjectId>,
        after: usize,
        limit: usize,
    ) -> Result<Vec<PlanRow>, StoreError> {
        self.plans_where(
            "state <> 'draft' AND (?1 IS NULL OR project = ?1) ORDER BY created_at DESC, id LIMIT ?3 OFFSET ?2",
            params![project.map(ProjectId::as_str), after as i64, limit as i64],
        )
    }

    fn plans_where(
        &self,
        condition: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<PlanRow>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {PLAN} FROM plans WHERE {condition}"))?;
        let mut rows = statement.query(values)?;
        let mut plans = Vec::new();
        while let Some(row) = rows.next()? {
            plans.push(plan_row(row)?);
        }
        Ok(plans)
    }

    /// How many tasks of a plan are in each state; states without a task are left out.
    pub fn task_counts(&self, plan: &PlanId) -> Result<Vec<(TaskState, u64)>, StoreError> {
        let mut statement =
            self.sql.prepare_cached("SELECT state, n FROM task_counts WHERE plan = ?1 AND n > 0")?;
        let mut rows = statement.query([plan.as_str()])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            counts.push((task_state(&row.get::<_, String>(0)?)?, row.get::<_, i64>(1)?.unsigned_abs()));
        }
        Ok(counts)
    }

    /// One task.
    pub fn task(&self, plan: &PlanId, id: &TaskId) -> Result<Option<TaskRow>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {TASK} FROM tasks WHERE plan = ?1 AND id = ?2"))?;
        let mut rows = statement.query([plan.as_str(), id.as_str()])?;
        rows.next()?.map(task_row).transpose()
    }

    /// A plan's tasks in their order, from `after` (exclusive, -1 for the first), at most `limit`.
    pub fn tasks(&self, plan: &PlanId, after: i64, limit: usize) -> Result<Vec<TaskRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {TASK} FROM tasks WHERE plan = ?1 AND ordinal > ?2 ORDER BY ordinal LIMIT ?3"
        ))?;
        let mut rows = statement.query(params![plan.as_str(), after, limit as i64])?;
        let mut tasks = Vec::new();
        while let Some(row) = rows.next()? {
            tasks.push(task_row(row)?);
        }
        Ok(tasks)
    }

    /// Moves a task to its next state and records why; `false` when it is no step from where the
    /// task is now (somebody else moved it meanwhile), and then nothing is changed.
    pub fn move_task(
        &self,
        project: &ProjectId,
        plan: &PlanId,
        id: &TaskId,
        next: TaskState,
        reason: Option<&str>,
    ) -> Result<bool, StoreError> {
        let Some(task) = self.task(plan, id)? else { return Ok(false) };
        if !task.state.may_become(next) {
            return Ok(false);
        }
        self.sql
            .prepare_cached(
                "UPDATE tasks SET state = ?3, reason = ?4, changed_at = ?5 WHERE plan = ?1 AND id = ?2",
            )?
            .execute(params![plan.as_str(), id.as_str(), next.as_str(), reason, Time::now().as_millis()])?;
        let text = match reason {
            Some(reason) => format!("task {id}: {} → {} ({reason})", task.state.as_str(), next.as_str()),
            None => format!("task {id}: {} → {}", task.state.as_str(), next.as_str()),
        };
        let data = serde_json::json!({"from": task.state.as_str(), "to": next.as_str()}).to_string();
        self.append_event(
            project,
            &NewEvent {
                kind: "task.state",
                plan: Some(plan),
                task: Some(id),
                text,
                data: Some(data),
                ..NewEvent::default()
            },
        )?;
        Ok(true)
    }

    /// [`Self::move_task`], if the task is in one of the states `from`: a person may have called it
    /// off, or approved it, while somebody worked on it.
    pub fn step_task(
        &self,
        project: &ProjectId,
        plan: &PlanId,
        id: &TaskId,
        from: &[TaskState],
        next: TaskState,
        reason: Option<&str>,
    ) -> Result<bool, StoreError> {
        let is_there = self.task(plan, id)?.is_some_and(|task| from.contains(&task.state));
        if is_there { self.move_task(project, plan, id, next, reason) } else { Ok(false) }
    }

    /// Marks a task as dispatched, or takes that back.
    pub fn want_task(&self, plan: &PlanId, id: &TaskId, wanted: bool) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE tasks SET wanted = ?3 WHERE plan = ?1 AND id = ?2")?
            .execute(params![plan.as_str(), id.as_str(), wanted])?;
        Ok(())
    }

    /// Sets what the next attempt is told.
    pub fn set_feedback(&self, plan: &PlanId, id: &TaskId, feedback: Option<&str>) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE tasks SET feedback = ?3 WHERE plan = ?1 AND id = ?2")?
            .execute(params![plan.as_str(), id.as_str(), feedback])?;
        Ok(())
    }

    /// Says why a task stands where it stands, without moving it.
    pub fn set_task_reason(
        &self,
        plan: &PlanId,
        id: &TaskId,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE tasks SET reason = ?3 WHERE plan = ?1 AND id = ?2 AND reason IS NOT ?3")?
            .execute(params![plan.as_str(), id.as_str(), reason])?;
        Ok(())
    }

    /// Notes the commit that landed for a task.
    pub fn set_committed(&self, plan: &PlanId, id: &TaskId, commit: &str) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE tasks SET committed = ?3 WHERE plan = ?1 AND id = ?2")?
            .execute(params![plan.as_str(), id.as_str(), commit])?;
        Ok(())
    }

    /// Moves a plan to another state and records it; does nothing if it is there.
    pub fn set_plan_state(
        &self,
        project: &ProjectId,
        id: &PlanId,
        state: PlanState,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let ended = state.is_at_rest().then(|| Time::now().as_millis());
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE plans SET state = ?2, reason = ?3, ended_at = ?4, stop_at = iif(?4 IS NULL, stop_at, NULL)
                 WHERE id = ?1 AND state <> ?2",
            )?
            .execute(params![id.as_str(), state.as_str(), reason, ended])?;
        if changed > 0 {
            let text = match reason {
                Some(reason) => format!("plan {id}: {} ({reason})", state.as_str()),
                None => format!("plan {id}: {}", state.as_str()),
            };
            let data = serde_json::json!({"state": state.as_str()}).to_string();
            self.append_event(
                project,
                &NewEvent {
                    kind: "plan.state",
                    plan: Some(id),
                    text,
                    data: Some(data),
                    ..NewEvent::default()
                },
            )?;
        }
        Ok(())
    }

    /// Notes where a plan starts from and lands, decided when it is dispatched first.
    pub fn set_plan_ground(
        &self,
        id: &PlanId,
        base: &str,
        target: Option<&str>,
        integration: &str,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE plans SET base = ?2, target = ?3, integration = ?4 WHERE id = ?1")?
            .execute(params![id.as_str(), base, target, integration])?;
        Ok(())
    }

    /// Notes how a plan is run from now on; what is not said stays.
    pub fn set_pace(&self, id: &PlanId, pace: &Pace) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE plans SET max_parallel = coalesce(?2, max_parallel), batch_size = coalesce(?3, batch_size),
                                  max_attempts = coalesce(?4, max_attempts), timeout_s = coalesce(?5, timeout_s),
                                  stuck_after_s = coalesce(?6, stuck_after_s)
                 WHERE id = ?1",
            )?
            .execute(params![
                id.as_str(),
                pace.max_parallel,
                pace.batch_size,
                pace.max_attempts,
                pace.timeout_s.map(u64::cast_signed),
                pace.stuck_after_s.map(u64::cast_signed),
            ])?;
        Ok(())
    }

    /// Notes when a plan is to be stopped, unless it comes to rest before.
    pub fn set_stop_at(&self, id: &PlanId, at: Time) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE plans SET stop_at = ?2 WHERE id = ?1")?
            .execute(params![id.as_str(), at.as_millis()])?;
        Ok(())
    }

    /// The next fencing number of a plan, for the conductor that takes it.
    pub fn next_fencing(&self, id: &PlanId) -> Result<i64, StoreError> {
        Ok(self
            .sql
            .prepare_cached("UPDATE plans SET fencing = fencing + 1 WHERE id = ?1 RETURNING fencing")?
            .query_row([id.as_str()], |row| row.get(0))?)
    }

    /// The fencing number of the newest conductor that took the plan.
    pub fn fencing(&self, id: &PlanId) -> Result<i64, StoreError> {
        Ok(self
            .sql
            .prepare_cached("SELECT fencing FROM plans WHERE id = ?1")?
            .query_row([id.as_str()], |row| row.get(0))?)
    }
}

fn plan_row(row: &Row<'_>) -> Result<PlanRow, StoreError> {
    let state: String = row.get(3)?;
    Ok(PlanRow {
        id: PlanId::new(row.get::<_, String>(0)?),
        project: ProjectId::new(row.get::<_, String>(1)?),
        name: row.get(2)?,
        state: PlanState::parse(&state).ok_or_else(|| StoreError::Row(format!("plan state {state}")))?,
        document: row.get(4)?,
        base: row.get(5)?,
        target: row.get(6)?,
        integration: row.get(7)?,
        pace: Pace {
            max_parallel: row.get(8)?,
            batch_size: row.get(12)?,
            max_attempts: row.get(13)?,
            timeout_s: row.get::<_, Option<i64>>(14)?.map(i64::cast_unsigned),
            stuck_after_s: row.get::<_, Option<i64>>(15)?.map(i64::cast_unsigned),
        },
        stop_at: row.get::<_, Option<i64>>(16)?.map(Time::from_millis),
        reason: row.get(9)?,
        created_at: Time::from_millis(row.get(10)?),
        ended_at: row.get::<_, Option<i64>>(11)?.map(Time::from_millis),
    })
}

fn task_row(row: &Row<'_>) -> Result<TaskRow, StoreError> {
    let id = task_id(row.get(1)?, row.get(2)?);
    Ok(TaskRow {
        ordinal: row.get(0)?,
        id,
        document: row.get(3)?,
        state: task_state(&row.get::<_, String>(4)?)?,
        wanted: row.get(5)?,
        reason: row.get(6)?,
        feedback: row.get(7)?,
        committed: row.get(8)?,
        parent: row.get::<_, Option<String>>(9)?.map(TaskId::text),
    })
}

pub(super) fn task_state(text: &str) -> Result<TaskState, StoreError> {
    TaskState::parse(text).ok_or_else(|| StoreError::Row(format!("task state {text}")))
}

/// As much of a task as a schedule needs.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskLight {
    /// Its id.
    pub id: TaskId,
    /// Where it is.
    pub state: TaskState,
    /// Whether it was dispatched.
    pub wanted: bool,
    /// Since when it is there.
    pub changed_at: Time,
    /// Its place in the plan.
    pub ordinal: i64,
    /// Grows with every change of a task of this plan.
    pub touched: i64,
    /// Why it stands where it stands.
    pub reason: Option<String>,
    /// Whether it was recorded that it missed its deadline.
    pub is_missed: bool,
}

impl Tx<'_> {
    /// All tasks of a plan in their order, without their documents.
    pub fn task_lights(&self, plan: &PlanId) -> Result<Vec<TaskLight>, StoreError> {
        self.lights_where("plan = ?1 ORDER BY ordinal", &[&plan.as_str()])
    }

    /// The tasks of a plan that were added or changed since `touched`, in the order of their places.
    pub fn task_lights_since(&self, plan: &PlanId, touched: i64) -> Result<Vec<TaskLight>, StoreError> {
        self.lights_where("plan = ?1 AND touched > ?2 ORDER BY ordinal", &[&plan.as_str(), &touched])
    }

    fn lights_where(
        &self,
        condition: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<TaskLight>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT id, is_number, state, wanted, changed_at, ordinal, touched, reason, missed_at IS NOT NULL
             FROM tasks WHERE {condition}"
        ))?;
        let mut rows = statement.query(values)?;
        let mut tasks = Vec::new();
        while let Some(row) = rows.next()? {
            tasks.push(TaskLight {
                id: task_id(row.get(0)?, row.get(1)?),
                state: task_state(&row.get::<_, String>(2)?)?,
                wanted: row.get(3)?,
                changed_at: Time::from_millis(row.get(4)?),
                ordinal: row.get(5)?,
                touched: row.get(6)?,
                reason: row.get(7)?,
                is_missed: row.get(8)?,
            });
        }
        Ok(tasks)
    }
}

pub(super) fn task_id(text: String, is_number: bool) -> TaskId {
    match text.parse() {
        Ok(number) if is_number => TaskId::number(number),
        _ => TaskId::text(text),
    }
}
