//! The event log: one append-only, numbered list that explains every state.

use rusqlite::{OptionalExtension, Row, params};

use super::connection::Tx;
use super::error::StoreError;
use super::plans::task_state;
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, PlanId, ProjectId, TaskId};
use crate::domain::task::TaskState;

/// Something that happened, to be recorded with the change that it tells of.
#[derive(Debug, Clone, Default)]
pub struct NewEvent<'a> {
    /// What kind, such as `task.state`.
    pub kind: &'static str,
    /// The plan it belongs to.
    pub plan: Option<&'a PlanId>,
    /// The task it belongs to.
    pub task: Option<&'a TaskId>,
    /// The attempt it belongs to.
    pub attempt: Option<&'a AttemptId>,
    /// Who holds what it tells of.
    pub holder: Option<&'a str>,
    /// One line for people.
    pub text: String,
    /// Facts for programs, a JSON object.
    pub data: Option<String>,
}

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Its number; numbers only grow.
    pub seq: i64,
    /// When it was recorded.
    pub at: Time,
    /// What kind.
    pub kind: String,
    /// The plan it belongs to.
    pub plan: Option<String>,
    /// The task it belongs to.
    pub task: Option<String>,
    /// The attempt it belongs to.
    pub attempt: Option<String>,
    /// Who holds what it tells of.
    pub holder: Option<String>,
    /// One line for people.
    pub text: String,
    /// Facts for programs, a JSON object.
    pub data: Option<String>,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct EventFilter<'a> {
    /// Of this project only.
    pub project: Option<&'a ProjectId>,
    /// Of this plan only.
    pub plan: Option<&'a str>,
    /// Of this attempt only.
    pub attempt: Option<&'a str>,
    /// Of kinds that begin with this text.
    pub kind: Option<&'a str>,
}

impl Tx<'_> {
    /// Appends an event and gives its number.
    pub fn append_event(&self, project: &ProjectId, event: &NewEvent<'_>) -> Result<i64, StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO events (at, kind, project, plan, task, attempt, holder, text, data)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                Time::now().as_millis(),
                event.kind,
                project.as_str(),
                event.plan.map(PlanId::as_str),
                event.task.map(TaskId::as_str),
                event.attempt.map(AttemptId::as_str),
                event.holder,
                event.text,
                event.data,
            ])?;
        Ok(self.sql.last_insert_rowid())
    }

    /// The number of the event by which a plan was last told not to wait for room.
    pub fn newest_launch(&self, plan: &PlanId) -> Result<Option<i64>, StoreError> {
        let newest = "SELECT max(seq) FROM events WHERE kind = 'conductor.launched' AND plan = ?1";
        Ok(self.sql.prepare_cached(newest)?.query_row([plan.as_str()], |row| row.get(0))?)
    }

    /// The newest event's number, 0 in an empty log.
    pub fn newest_event(&self) -> Result<i64, StoreError> {
        let newest = self
            .sql
            .prepare_cached("SELECT seq FROM events ORDER BY seq DESC LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(newest.unwrap_or(0))
    }

    /// The tasks of a plan that somebody is at work on, and of which the newest event is of that kind.
    pub fn told_last(&self, plan: &PlanId, kind: &str) -> Result<Vec<(String, TaskState)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, state FROM tasks
             WHERE plan = ?1 AND state IN ('running', 'judging', 'approved', 'landing')
               AND ?2 = (SELECT kind FROM events WHERE events.plan = tasks.plan AND events.task = tasks.id
                         ORDER BY seq DESC LIMIT 1)
             ORDER BY ordinal",
        )?;
        let rows = statement.query_map(params![plan.as_str(), kind], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        rows.map(|row| {
            let (id, state) = row?;
            Ok((id, task_state(&state)?))
        })
        .collect()
    }

    /// At most `limit` events after number `after`, oldest first.
    pub fn events_after(
        &self,
        after: i64,
        filter: &EventFilter<'_>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT seq, at, kind, plan, task, attempt, holder, text, data FROM events
             WHERE seq > ?1 AND (?2 IS NULL OR project = ?2) AND (?3 IS NULL OR plan = ?3)
               AND (?4 IS NULL OR attempt = ?4) AND (?5 IS NULL OR substr(kind, 1, length(?5)) = ?5)
             ORDER BY seq LIMIT ?6",
        )?;
        let rows = statement.query_map(
            params![
                after,
                filter.project.map(ProjectId::as_str),
                filter.plan,
                filter.attempt,
                filter.kind,
                limit as i64
            ],
            event_row,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest `limit` events, oldest of them first.
    pub fn newest_events(&self, filter: &EventFilter<'_>, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT seq, at, kind, plan, task, attempt, holder, text, data FROM events
             WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR plan = ?2)
               AND (?3 IS NULL OR attempt = ?3) AND (?4 IS NULL OR substr(kind, 1, length(?4)) = ?4)
             ORDER BY seq DESC LIMIT ?5",
        )?;
        let rows = statement.query_map(
            params![
                filter.project.map(ProjectId::as_str),
                filter.plan,
                filter.attempt,
                filter.kind,
                limit as i64
            ],
            event_row,
        )?;
        let mut rows: Vec<EventRow> = rows.collect::<Result<_, _>>()?;
        rows.reverse();
        Ok(rows)
    }
}

fn event_row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        seq: row.get(0)?,
        at: Time::from_millis(row.get(1)?),
        kind: row.get(2)?,
        plan: row.get(3)?,
        task: row.get(4)?,
        attempt: row.get(5)?,
        holder: row.get(6)?,
        text: row.get(7)?,
        data: row.get(8)?,
    })
}
