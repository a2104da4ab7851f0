//! The registry of conductors, and the runs that callers ask about.

use rusqlite::{OptionalExtension as _, Row, params};

use super::connection::Tx;
use super::error::StoreError;
use crate::base::clock::Time;
use crate::base::ids::{ConductorId, PlanId, ProjectId};
use crate::domain::conducting::ConductorState;
use crate::domain::share::Pool;

/// A conductor's row.
#[derive(Debug, Clone, PartialEq)]
pub struct ConductorRow {
    /// Its id.
    pub id: ConductorId,
    /// Its project.
    pub project: ProjectId,
    /// The plan it runs.
    pub plan: PlanId,
    /// Where it says it is; whether its process lives is asked of its lock.
    pub state: ConductorState,
    /// Its process.
    pub pid: u32,
    /// When that process started, in clock ticks after boot.
    pub start_time: u64,
    /// Which boot that was.
    pub boot_id: String,
    /// Its JSON-RPC socket.
    pub socket: Option<String>,
    /// The file whose lock it holds.
    pub alive: String,
    /// Its fencing number; a greater one has taken the plan over.
    pub fencing: i64,
    /// When it started.
    pub started_at: Time,
    /// When it last said that it lives.
    pub heartbeat_at: Time,
}

/// A plan that waits for a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatWait {
    /// Which one.
    pub plan: PlanId,
    /// Since when.
    pub since: Time,
}

/// What a run was asked for and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// `dispatch` or `judge`.
    pub kind: String,
    /// The plan.
    pub plan: Option<String>,
    /// The attempt.
    pub attempt: Option<String>,
    /// `running`, `done` or `failed`.
    pub state: String,
    /// JSON, once done.
    pub result: Option<String>,
    /// The file whose lock proves that it is being worked on.
    pub alive: Option<String>,
}

const COLUMNS: &str =
    "id, project, plan, state, pid, start_time, boot_id, socket, alive, fencing, started_at, heartbeat_at";

impl Tx<'_> {
    /// Enters a conductor into the registry.
    pub fn insert_conductor(&self, row: &ConductorRow) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO conductors (id, project, plan, state, pid, start_time, boot_id, socket, alive, fencing,
                                         started_at, heartbeat_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                row.id.as_str(),
                row.project.as_str(),
                row.plan.as_str(),
                row.state.as_str(),
                row.pid,
                row.start_time as i64,
                row.boot_id,
                row.socket,
                row.alive,
                row.fencing,
                row.started_at.as_millis(),
                row.heartbeat_at.as_millis(),
            ])?;
        Ok(())
    }

    /// Notes a conductor's state; one that ended does not come back.
    pub fn set_conductor_state(&self, id: &ConductorId, state: ConductorState) -> Result<bool, StoreError> {
        let ended = (!state.should_live()).then(|| Time::now().as_millis());
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE conductors SET state = ?2, ended_at = ?3 WHERE id = ?1 AND ended_at IS NULL",
            )?
            .execute(params![id.as_str(), state.as_str(), ended])?;
        Ok(changed > 0)
    }

    /// Notes that a conductor lives.
    pub fn heartbeat(&self, id: &ConductorId) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE conductors SET heartbeat_at = ?2 WHERE id = ?1 AND ended_at IS NULL")?
            .execute(params![id.as_str(), Time::now().as_millis()])?;
        Ok(())
    }

    /// The newest conductor of a plan.
    pub fn conductor_of(&self, plan: &PlanId) -> Result<Option<ConductorRow>, StoreError> {
        Ok(self.conductors_where("plan = ?1 ORDER BY fencing DESC LIMIT 1", &[&plan.as_str()])?.pop())
    }

    /// One conductor.
    pub fn conductor(&self, id: &ConductorId) -> Result<Option<ConductorRow>, StoreError> {
        Ok(self.conductors_where("id = ?1", &[&id.as_str()])?.pop())
    }

    /// Conductors that have not ended, of all projects or of one; with `ended` the newest ended ones too.
    pub fn conductors(
        &self,
        project: Option<&ProjectId>,
        ended: bool,
        limit: usize,
    ) -> Result<Vec<ConductorRow>, StoreError> {
        self.conductors_where(
            "(?1 IS NULL OR project = ?1) AND (?2 OR ended_at IS NULL) ORDER BY started_at DESC LIMIT ?3",
            &[&project.map(ProjectId::as_str), &ended, &(limit as i64)],
        )
    }

    /// Conductors whose id begins with `text`, of one project or of all, at most `limit`.
    pub fn conductors_beginning(
        &self,
        project: Option<&ProjectId>,
        text: &str,
        limit: usize,
    ) -> Result<Vec<ConductorRow>, StoreError> {
        self.conductors_where(
            "id >= ?2 AND substr(id, 1, length(?2)) = ?2 AND (?1 IS NULL OR project = ?1) ORDER BY id LIMIT ?3",
            &[&project.map(ProjectId::as_str), &text, &(limit as i64)],
        )
    }

    /// When a plan was run, by each of its conductors, oldest first.
    pub fn runs_of_plan(&self, plan: &PlanId) -> Result<Vec<ConductorRow>, StoreError> {
        self.conductors_where("plan = ?1 ORDER BY fencing", &[&plan.as_str()])
    }

    fn conductors_where(
        &self,
        condition: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<ConductorRow>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {COLUMNS} FROM conductors WHERE {condition}"))?;
        let mut rows = statement.query(values)?;
        let mut conductors = Vec::new();
        while let Some(row) = rows.next()? {
            conductors.push(conductor_row(row)?);
        }
        Ok(conductors)
    }

    /// Notes that a plan waits for one of these seats, or that it does not; since when stays as it is.
    pub fn set_seat_wait(
        &self,
        project: &ProjectId,
        plan: &PlanId,
        pool: Option<Pool>,
    ) -> Result<(), StoreError> {
        match pool {
            Some(pool) => self
                .sql
                .prepare_cached(
                    "INSERT INTO seat_waits (plan, project, pool, since) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (plan) DO UPDATE SET pool = excluded.pool",
                )?
                .execute(params![plan.as_str(), project.as_str(), pool.as_str(), Time::now().as_millis()])?,
            None => {
                self.sql.prepare_cached("DELETE FROM seat_waits WHERE plan = ?1")?.execute([plan.as_str()])?
            }
        };
        Ok(())
    }

    /// Notes that a plan which waits for a seat got one: from now on it waits for the next.
    pub fn renew_seat_wait(&self, plan: &PlanId) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE seat_waits SET since = ?2 WHERE plan = ?1")?
            .execute(params![plan.as_str(), Time::now().as_millis()])?;
        Ok(())
    }

    /// The plans that run and wait for one of these seats: of the project, or of all.
    pub fn seat_waits(&self, pool: Pool, project: &ProjectId) -> Result<Vec<SeatWait>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT plan, since FROM seat_waits WHERE pool = ?1 AND (pool = 'machine' OR project = ?2)
             AND (SELECT state FROM plans WHERE id = plan) = 'running'",
        )?;
        let rows = statement.query_map([pool.as_str(), project.as_str()], |row| {
            Ok(SeatWait {
                plan: PlanId::new(row.get::<_, String>(0)?),
                since: Time::from_millis(row.get(1)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes a run that a caller may ask about.
    pub fn insert_run(&self, project: &ProjectId, run: &RunRow) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO runs (id, project, kind, plan, attempt, state, result, alive, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                run.id,
                project.as_str(),
                run.kind,
                run.plan,
                run.attempt,
                run.state,
                run.result,
                run.alive,
                Time::now().as_millis()
            ])?;
        Ok(())
    }

    /// Notes what came of a run; the first ending counts.
    pub fn finish_run(&self, id: &str, state: &str, result: &str) -> Result<bool, StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE runs SET state = ?2, result = ?3, ended_at = ?4 WHERE id = ?1 AND state = 'running'",
            )?
            .execute(params![id, state, result, Time::now().as_millis()])?;
        Ok(changed > 0)
    }

    /// One run.
    pub fn run(&self, id: &str) -> Result<Option<RunRow>, StoreError> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT id, kind, plan, attempt, state, result, alive FROM runs WHERE id = ?1")?;
        let mut rows = statement.query([id])?;
        Ok(match rows.next()? {
            Some(row) => Some(RunRow {
                id: row.get(0)?,
                kind: row.get(1)?,
                plan: row.get(2)?,
                attempt: row.get(3)?,
                state: row.get(4)?,
                result: row.get(5)?,
                alive: row.get(6)?,
            }),
            None => None,
        })
    }

    /// When a run began, and when it ended, where it has.
    pub fn run_times(&self, id: &str) -> Result<Option<(Time, Option<Time>)>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT created_at, ended_at FROM runs WHERE id = ?1")?;
        let times = statement.query_row([id], |row| {
            Ok((Time::from_millis(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(Time::from_millis)))
        });
        Ok(times.optional()?)
    }
}

fn conductor_row(row: &Row<'_>) -> Result<ConductorRow, StoreError> {
    let state: String = row.get(3)?;
    Ok(ConductorRow {
        id: ConductorId::new(row.get::<_, String>(0)?),
        project: ProjectId::new(row.get::<_, String>(1)?),
        plan: PlanId::new(row.get::<_, String>(2)?),
        state: ConductorState::parse(&state)
            .ok_or_else(|| StoreError::Row(format!("conductor state {state}")))?,
        pid: row.get(4)?,
        start_time: row.get::<_, i64>(5)?.unsigned_abs(),
        boot_id: row.get(6)?,
        socket: row.get(7)?,
        alive: row.get(8)?,
        fencing: row.get(9)?,
        started_at: Time::from_millis(row.get(10)?),
        heartbeat_at: Time::from_millis(row.get(11)?),
    })
}
