//! The fleet in the database: whose turn it is, what waits, and what each worker did today.

use rusqlite::params;

use super::connection::Tx;
use super::error::StoreError;
use super::plans::task_id;
use crate::base::clock::Time;
use crate::base::ids::{PlanId, ProjectId, TaskId, WorkerName};
use crate::domain::task::TaskState;

/// When a worker began something last, and how much it began on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The worker.
    pub worker: WorkerName,
    /// Grows with each attempt that anybody of the project begins.
    pub turn: i64,
    /// Attempts that it began on the day of the question.
    pub today: u32,
}

/// What a worker did since a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Did {
    /// The worker.
    pub worker: WorkerName,
    /// Attempts that it began.
    pub attempts: u64,
    /// What they cost, as far as known.
    pub usd: f64,
}

/// A task that waits to be started.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingRow {
    /// Its plan.
    pub plan: PlanId,
    /// Its id.
    pub id: TaskId,
    /// Its place in the plan.
    pub ordinal: i64,
    /// Where it is: waiting, ready or rejected.
    pub state: TaskState,
    /// Why it waits, as far as somebody has looked.
    pub reason: Option<String>,
    /// 0 to 10, 10 first.
    pub priority: u8,
    /// Since when it is there.
    pub since: Time,
    /// What is to be done.
    pub text: String,
    /// Whether other tasks go before it.
    pub depends: bool,
    /// Whether its plan is paused, and it waits for no other task.
    pub is_paused: bool,
}

/// A task that somebody's work is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtWork {
    /// Its plan.
    pub plan: PlanId,
    /// Its id.
    pub task: TaskId,
    /// Whose work it is.
    pub worker: WorkerName,
    /// The group that the task was led to.
    pub for_group: Option<String>,
    /// Nobody is at it at this moment: its last try ended, and the next goes on with what that left.
    pub is_between: bool,
}

const DAY_MS: i64 = 24 * 3600 * 1000;

impl Tx<'_> {
    /// The workers of a project that ever began an attempt, with how many they began on the day of `now`.
    pub fn turns(&self, project: &ProjectId, now: Time) -> Result<Vec<Turn>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT worker, turn, CASE WHEN day = ?2 THEN today ELSE 0 END FROM worker_turns WHERE project = ?1",
        )?;
        let rows = statement.query_map(params![project.as_str(), now.as_millis() / DAY_MS], |row| {
            Ok(Turn {
                worker: WorkerName::new(row.get::<_, String>(0)?),
                turn: row.get(1)?,
                today: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The tasks of running plans that somebody's work is at, from its start until it has landed, also between two
    /// tries; those that somebody is at right now come first.
    pub fn tasks_at_work(&self, project: &ProjectId) -> Result<Vec<AtWork>, StoreError> {
        // What a task owns is let go of when it is given up, and kept from try to try. One without files owns nothing.
        let mut statement = self.sql.prepare_cached(
            "SELECT t.plan, t.id, t.is_number, a.worker, a.for_group, 0 FROM plans p
             JOIN tasks t ON t.plan = p.id AND t.state IN ('running', 'judging', 'approved', 'landing')
             JOIN attempts a ON a.plan = t.plan AND a.task = t.id
              AND a.number = (SELECT max(number) FROM attempts WHERE plan = t.plan AND task = t.id)
             WHERE p.project = ?1 AND p.state IN ('running', 'paused')
             UNION ALL
             SELECT t.plan, t.id, t.is_number, a.worker, a.for_group, 1 FROM plans p
             CROSS JOIN tasks t ON t.plan = p.id AND t.wanted = 1 AND t.state IN ('waiting', 'ready', 'rejected')
              AND t.state <> 'waiting'
             CROSS JOIN attempts a ON a.plan = t.plan AND a.task = t.id
              AND a.number = (SELECT max(number) FROM attempts WHERE plan = t.plan AND task = t.id)
             WHERE p.project = ?1 AND p.state IN ('running', 'paused')
               AND a.state = 'finished' AND a.outcome <> 'killed'
               AND (coalesce(json_array_length(t.document, '$.files'), 0) = 0
                    OR EXISTS (SELECT 1 FROM claims c WHERE c.project = p.project AND c.holder = a.id
                               AND c.holder_kind = 'attempt' AND c.released_at IS NULL))
             ORDER BY 6",
        )?;
        let rows = statement.query_map([project.as_str()], |row| {
            Ok(AtWork {
                plan: PlanId::new(row.get::<_, String>(0)?),
                task: task_id(row.get(1)?, row.get(2)?),
                worker: WorkerName::new(row.get::<_, String>(3)?),
                for_group: row.get(4)?,
                is_between: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many tasks of a plan ran into a limit at this moment: their work is being saved, and others go on with it.
    pub fn just_limited(&self, plan: &PlanId) -> Result<usize, StoreError> {
        let count: i64 = self
            .sql
            .prepare_cached(
                "SELECT count(*) FROM tasks t INDEXED BY tasks_at_work
                 CROSS JOIN attempts a ON a.plan = t.plan AND a.task = t.id
                  AND a.number = (SELECT max(number) FROM attempts WHERE plan = t.plan AND task = t.id)
                 WHERE t.plan = ?1 AND t.state IN ('running', 'judging', 'approved', 'landing')
                   AND t.state = 'running' AND a.state = 'finished' AND a.outcome = 'rate-limited'",
            )?
            .query_row([plan.as_str()], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// The tasks of a project that somebody works at whose work is not saved yet, and whether each owns something.
    pub fn tasks_unsaved(&self, project: &ProjectId) -> Result<Vec<(PlanId, TaskId, bool)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT t.plan, t.id, t.is_number,
                    EXISTS (SELECT 1 FROM claims c WHERE c.project = p.project AND c.holder = a.id
                            AND c.holder_kind = 'attempt' AND c.released_at IS NULL)
             FROM plans p
             CROSS JOIN tasks t INDEXED BY tasks_at_work
               ON t.plan = p.id AND t.state IN ('running', 'judging', 'approved', 'landing') AND t.state = 'running'
             CROSS JOIN attempts a ON a.plan = t.plan AND a.task = t.id
              AND a.number = (SELECT max(number) FROM attempts WHERE plan = t.plan AND task = t.id)
             WHERE p.project = ?1",
        )?;
        let rows = statement.query_map([project.as_str()], |row| {
            Ok((PlanId::new(row.get::<_, String>(0)?), task_id(row.get(1)?, row.get(2)?), row.get(3)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What each worker of a project did in attempts that began at or after `since`, and cost with what it was asked.
    pub fn done_since(&self, project: &ProjectId, since: Time) -> Result<Vec<Did>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT worker, sum(1 - is_question), coalesce(sum(spent), 0) / 1e6 FROM spendings
             WHERE project = ?1 AND started_at >= ?2 GROUP BY worker",
        )?;
        let rows = statement.query_map(params![project.as_str(), since.as_millis()], |row| {
            Ok(Did {
                worker: WorkerName::new(row.get::<_, String>(0)?),
                attempts: row.get::<_, i64>(1)?.unsigned_abs(),
                usd: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The tasks of running plans that were dispatched and have not started, in the order in which
    /// they will be taken, a page of them: the higher priority first, which grows by one for each
    /// `ageing_ms` of waiting; then as they stand in their plans. What depends on something comes last.
    pub fn queue(
        &self,
        project: &ProjectId,
        now: Time,
        ageing_ms: i64,
        after: usize,
        limit: usize,
    ) -> Result<Vec<WaitingRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT t.plan, t.id, t.is_number, t.ordinal, t.state, t.reason, t.priority, t.changed_at,
                    substr(json_extract(t.document, '$.task'), 1, 200),
                    coalesce(json_array_length(t.document, '$.depends_on'), 0) > 0,
                    p.state = 'paused' AND (t.state <> 'waiting'
                                            OR coalesce(json_array_length(t.document, '$.depends_on'), 0) = 0)
             FROM plans p JOIN tasks t ON t.plan = p.id AND t.wanted = 1
                                      AND t.state IN ('waiting', 'ready', 'rejected')
             WHERE p.project = ?1 AND p.state IN ('running', 'paused')
             ORDER BY t.state = 'waiting', t.priority + max(?2 - t.changed_at, 0) / ?3 DESC, p.created_at,
                      t.plan, t.ordinal
             LIMIT ?5 OFFSET ?4",
        )?;
        let mut rows = statement.query(params![
            project.as_str(),
            now.as_millis(),
            ageing_ms,
            after as i64,
            limit as i64
        ])?;
        let mut waiting = Vec::new();
        while let Some(row) = rows.next()? {
            let state: String = row.get(4)?;
            waiting.push(WaitingRow {
                plan: PlanId::new(row.get::<_, String>(0)?),
                id: task_id(row.get(1)?, row.get(2)?),
                ordinal: row.get(3)?,
                state: TaskState::parse(&state)
                    .ok_or_else(|| StoreError::Row(format!("task state {state}")))?,
                reason: row.get(5)?,
                priority: row.get(6)?,
                since: Time::from_millis(row.get(7)?),
                text: row.get::<_, Option<String>>(8)?.unwrap_or_default(),
                depends: row.get(9)?,
                is_paused: row.get(10)?,
            });
        }
        Ok(waiting)
    }

    /// Tasks that go on once a person has done something in an environment, and what; at most `most`. Who waits
    /// for somebody that is at work is told no next step.
    pub fn needing_a_person(&self, project: &ProjectId, most: u32) -> Result<Vec<String>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT p.id || '/' || t.id || ' waits: ' || substr(t.reason, 14)
             FROM plans p JOIN tasks t ON t.plan = p.id AND t.wanted = 1
                AND t.state IN ('waiting', 'ready', 'rejected') AND t.state <> 'waiting'
             WHERE p.project = ?1 AND p.state IN ('running', 'paused') AND t.reason LIKE 'environment: %; %'
             ORDER BY p.id, t.ordinal LIMIT ?2",
        )?;
        let rows = statement.query_map(params![project.as_str(), most], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many tasks that may start have waited past their deadline, and the foremost of them.
    /// `classes`: from which priority on, and after how long.
    pub fn count_missed(
        &self,
        project: &ProjectId,
        now: Time,
        classes: &[(u8, i64)],
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut below = 11_u8;
        for (from, after_ms) in classes {
            let found: i64 = self
                .sql
                .prepare_cached(
                    "SELECT count(*) FROM plans p JOIN tasks t ON t.plan = p.id AND t.wanted = 1
                        AND t.state IN ('waiting', 'ready', 'rejected') AND t.state <> 'waiting'
                     WHERE p.project = ?1 AND p.state IN ('running', 'paused')
                       AND t.priority >= ?2 AND t.priority < ?3 AND t.changed_at < ?4",
                )?
                .query_row(
                    params![project.as_str(), from, below, now.as_millis().saturating_sub(*after_ms)],
                    |row| row.get(0),
                )?;
            count += found.unsigned_abs();
            below = *from;
        }
        Ok(count)
    }

    /// Notes that a task missed its deadline; `false` if that was noted before.
    pub fn set_missed(&self, plan: &PlanId, id: &TaskId) -> Result<bool, StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE tasks SET missed_at = ?3 WHERE plan = ?1 AND id = ?2 AND missed_at IS NULL",
            )?
            .execute(params![plan.as_str(), id.as_str(), Time::now().as_millis()])?;
        Ok(changed > 0)
    }
}
