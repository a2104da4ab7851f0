//! Health in the database: what was seen of attempts, what they were told, and who is in quarantine.

use rusqlite::{OptionalExtension as _, Row, params};

use super::connection::Tx;
use super::error::StoreError;
use super::events::NewEvent;
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, ProjectId, TaskId, WorkerName};
use crate::domain::health::Record;

/// What was seen of an attempt when it was looked at last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// The attempt.
    pub attempt: AttemptId,
    /// When it was looked at.
    pub looked_at: Time,
    /// Its last sign of life, as far as known then.
    pub alive_at: Time,
    /// The processor time of its processes then, in milliseconds.
    pub cpu_ms: u64,
    /// The tool that it used last.
    pub tool: Option<String>,
    /// When.
    pub tool_at: Option<Time>,
    /// When it was nudged in the silence that it is in.
    pub nudged_at: Option<Time>,
}

/// Something that a worker is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nudge {
    /// Its number.
    pub id: i64,
    /// When it was said.
    pub at: Time,
    /// By whom.
    pub who: String,
    /// What.
    pub text: String,
}

/// A worker that gets nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Which.
    pub worker: WorkerName,
    /// Since when.
    pub since: Time,
    /// Until when, unless somebody lets it go on before.
    pub until: Time,
    /// Why.
    pub reason: String,
}

impl Tx<'_> {
    /// Notes what a look at an attempt saw.
    pub fn set_vitals(
        &self,
        attempt: &AttemptId,
        alive_at: Time,
        cpu_ms: u64,
        nudged_at: Option<Time>,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO vitals (attempt, looked_at, alive_at, cpu_ms, nudged_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET looked_at = excluded.looked_at, alive_at = excluded.alive_at,
                     cpu_ms = excluded.cpu_ms, nudged_at = excluded.nudged_at",
            )?
            .execute(params![
                attempt.as_str(),
                Time::now().as_millis(),
                alive_at.as_millis(),
                i64::try_from(cpu_ms).unwrap_or(i64::MAX),
                nudged_at.map(Time::as_millis)
            ])?;
        Ok(())
    }

    /// Notes which tool an attempt uses.
    pub fn set_tool(&self, attempt: &AttemptId, tool: &str) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO vitals (attempt, looked_at, alive_at, tool, tool_at) VALUES (?1, ?2, ?2, ?3, ?2)
                 ON CONFLICT DO UPDATE SET alive_at = excluded.alive_at, tool = excluded.tool,
                     tool_at = excluded.tool_at",
            )?
            .execute(params![attempt.as_str(), Time::now().as_millis(), tool])?;
        Ok(())
    }

    /// What was seen of an attempt; `None` where it was not looked at yet.
    pub fn vitals(&self, attempt: &AttemptId) -> Result<Option<Vitals>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT attempt, looked_at, alive_at, cpu_ms, tool, tool_at, nudged_at FROM vitals WHERE attempt = ?1",
        )?;
        let time = |row: &Row<'_>, at: usize| -> rusqlite::Result<Option<Time>> {
            Ok(row.get::<_, Option<i64>>(at)?.map(Time::from_millis))
        };
        let found = statement.query_row([attempt.as_str()], |row| {
            Ok(Vitals {
                attempt: AttemptId::new(row.get::<_, String>(0)?),
                looked_at: Time::from_millis(row.get(1)?),
                alive_at: Time::from_millis(row.get(2)?),
                cpu_ms: row.get::<_, i64>(3)?.unsigned_abs(),
                tool: row.get(4)?,
                tool_at: time(row, 5)?,
                nudged_at: time(row, 6)?,
            })
        });
        Ok(found.optional()?)
    }

    /// Records that a worker is to be told something with the next thing that it asks.
    pub fn insert_nudge(&self, attempt: &AttemptId, who: &str, text: &str) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("INSERT INTO nudges (attempt, at, who, text) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![attempt.as_str(), Time::now().as_millis(), who, text])?;
        Ok(())
    }

    /// What a worker was not told yet, the oldest first.
    pub fn nudges_to_tell(&self, attempt: &AttemptId) -> Result<Vec<Nudge>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, at, who, text FROM nudges WHERE attempt = ?1 AND told_at IS NULL ORDER BY id",
        )?;
        let rows = statement.query_map([attempt.as_str()], |row| {
            Ok(Nudge {
                id: row.get(0)?,
                at: Time::from_millis(row.get(1)?),
                who: row.get(2)?,
                text: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets what a worker was not told yet.
    pub fn drop_nudge(&self, nudge: i64) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("DELETE FROM nudges WHERE id = ?1 AND told_at IS NULL")?
            .execute(params![nudge])?;
        Ok(())
    }

    /// Records that a worker is told something now; `false` if it was told before.
    pub fn set_told(&self, nudge: i64) -> Result<bool, StoreError> {
        let changed = self
            .sql
            .prepare_cached("UPDATE nudges SET told_at = ?2 WHERE id = ?1 AND told_at IS NULL")?
            .execute(params![nudge, Time::now().as_millis()])?;
        Ok(changed > 0)
    }

    /// How many things a worker was told: each is a sign that it asked something.
    pub fn count_told(&self, attempt: &AttemptId) -> Result<u64, StoreError> {
        let count: i64 = self
            .sql
            .prepare_cached("SELECT count(*) FROM nudges WHERE attempt = ?1 AND told_at IS NOT NULL")?
            .query_row([attempt.as_str()], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// What is remembered of a worker's crashes.
    pub fn crash_record(&self, project: &ProjectId, worker: &WorkerName) -> Result<Record, StoreError> {
        let found = self
            .sql
            .prepare_cached(
                "SELECT crashes, quarantines FROM worker_health WHERE project = ?1 AND worker = ?2",
            )?
            .query_row([project.as_str(), worker.as_str()], |row| {
                Ok(Record { crashes: row.get(0)?, quarantines: row.get(1)? })
            });
        Ok(found.optional()?.unwrap_or_default())
    }

    /// Remembers a worker's crashes. A quarantine that it is in stays.
    pub fn set_crash_record(
        &self,
        project: &ProjectId,
        worker: &WorkerName,
        record: Record,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO worker_health (project, worker, crashes, quarantines) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET crashes = excluded.crashes, quarantines = excluded.quarantines",
            )?
            .execute(params![project.as_str(), worker.as_str(), record.crashes, record.quarantines])?;
        Ok(())
    }

    /// Puts a worker into quarantine and records it.
    pub fn quarantine(&self, project: &ProjectId, quarantine: &Quarantine) -> Result<(), StoreError> {
        let Quarantine { worker, since, until, reason } = quarantine;
        self.sql
            .prepare_cached(
                "UPDATE worker_health SET since = ?3, until = ?4, reason = ?5 WHERE project = ?1 AND worker = ?2",
            )?
            .execute(params![
                project.as_str(),
                worker.as_str(),
                since.as_millis(),
                until.as_millis(),
                reason
            ])?;
        let data =
            serde_json::json!({"worker": worker.as_str(), "until": until.to_string(), "reason": reason});
        let text = format!(
            "worker {worker} gets no tasks until {until}, or until kapell control resume {worker}: {reason}"
        );
        self.append_event(
            project,
            &NewEvent {
                kind: "worker.quarantined",
                text,
                data: Some(data.to_string()),
                ..NewEvent::default()
            },
        )?;
        Ok(())
    }

    /// Ends a worker's quarantine, and records why; `false` if it was in none. `forget` what it did before.
    pub fn release_worker(
        &self,
        project: &ProjectId,
        worker: &WorkerName,
        why: &str,
        forget: bool,
    ) -> Result<bool, StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE worker_health SET since = NULL, until = NULL, reason = NULL,
                     crashes = iif(?3, 0, crashes), quarantines = iif(?3, 0, quarantines)
                 WHERE project = ?1 AND worker = ?2 AND until IS NOT NULL",
            )?
            .execute(params![project.as_str(), worker.as_str(), forget])?;
        if changed > 0 {
            let data = serde_json::json!({"worker": worker.as_str()}).to_string();
            let text = format!("worker {worker} may get tasks again: {why}");
            self.append_event(
                project,
                &NewEvent { kind: "worker.released", text, data: Some(data), ..NewEvent::default() },
            )?;
        }
        Ok(changed > 0)
    }

    /// The workers of a project that get nothing at that moment.
    pub fn quarantines(&self, project: &ProjectId, now: Time) -> Result<Vec<Quarantine>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT worker, since, until, reason FROM worker_health
             WHERE project = ?1 AND until > ?2 AND since IS NOT NULL ORDER BY worker",
        )?;
        let rows = statement.query_map(params![project.as_str(), now.as_millis()], |row| {
            Ok(Quarantine {
                worker: WorkerName::new(row.get::<_, String>(0)?),
                since: Time::from_millis(row.get(1)?),
                until: Time::from_millis(row.get(2)?),
                reason: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Tells something about an attempt.
    pub fn tell_of_attempt(
        &self,
        attempt: &super::attempts::AttemptRow,
        kind: &'static str,
        text: String,
        data: Option<String>,
    ) -> Result<(), StoreError> {
        self.append_event(
            &attempt.project,
            &NewEvent {
                kind,
                plan: Some(&attempt.plan),
                task: Some(&TaskId::text(&attempt.task)),
                attempt: Some(&attempt.id),
                text,
                data,
                ..NewEvent::default()
            },
        )?;
        Ok(())
    }
}
