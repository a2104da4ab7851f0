//! The landing queue's journal. Each step names what it is about to do, so that
//! whoever comes after a crash can find out whether it was done.

use rusqlite::{Row, params};

use super::connection::Tx;
use super::error::StoreError;
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, PlanId, ProjectId};

/// How far a landing came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LandingState {
    /// Its turn has not come.
    Queued,
    /// The merge is made and is about to become the branch.
    Merged,
    /// The branch is there.
    Landed,
    /// It does not merge; it went back to the worker.
    Conflict,
    /// It was given up.
    Failed,
}

/// A landing's row.
#[derive(Debug, Clone, PartialEq)]
pub struct LandingRow {
    /// Its number, which is its place in the queue.
    pub id: i64,
    /// The plan.
    pub plan: PlanId,
    /// The task, as text.
    pub task: String,
    /// The attempt whose work it is.
    pub attempt: AttemptId,
    /// How far it came.
    pub state: LandingState,
    /// The ref it lands on.
    pub branch: String,
    /// The constructed commit.
    pub work: String,
    /// Where the branch was.
    pub onto: Option<String>,
    /// The merge that is to become the branch.
    pub merged: Option<String>,
    /// Why it stopped.
    pub reason: Option<String>,
}

const COLUMNS: &str = "id, plan, task, attempt, state, branch, work, onto, merged, reason";

impl LandingState {
    /// The state's name in the database and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Merged => "merged",
            Self::Landed => "landed",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Queued, Self::Merged, Self::Landed, Self::Conflict, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

impl Tx<'_> {
    /// Puts approved work into the queue, once for each attempt.
    pub fn queue_landing(
        &self,
        project: &ProjectId,
        plan: &PlanId,
        task: &str,
        attempt: &AttemptId,
        branch: &str,
        work: &str,
    ) -> Result<i64, StoreError> {
        if let Some(open) = self.landing_of(attempt)? {
            return Ok(open.id);
        }
        self.sql
            .prepare_cached(
                "INSERT INTO landings (project, plan, task, attempt, state, branch, work, at)
                 VALUES (?1, ?2, ?3, ?4, 'queued', ?5, ?6, ?7)",
            )?
            .execute(params![
                project.as_str(),
                plan.as_str(),
                task,
                attempt.as_str(),
                branch,
                work,
                Time::now().as_millis()
            ])?;
        Ok(self.sql.last_insert_rowid())
    }

    /// Notes the next step of a landing.
    pub fn step_landing(
        &self,
        id: i64,
        state: LandingState,
        onto: Option<&str>,
        merged: Option<&str>,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE landings SET state = ?2, onto = ?3, merged = ?4, reason = ?5, at = ?6 WHERE id = ?1",
            )?
            .execute(params![id, state.as_str(), onto, merged, reason, Time::now().as_millis()])?;
        Ok(())
    }

    /// The landing of an attempt that is not given up.
    pub fn landing_of(&self, attempt: &AttemptId) -> Result<Option<LandingRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM landings
             WHERE attempt = ?1 AND state IN ('queued', 'merged', 'landed') ORDER BY id DESC LIMIT 1"
        ))?;
        let mut rows = statement.query([attempt.as_str()])?;
        rows.next()?.map(landing_row).transpose()
    }

    /// The newest commit that a plan landed, as it was recorded.
    pub fn last_landed(&self, plan: &PlanId) -> Result<Option<String>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT merged FROM landings WHERE plan = ?1 AND state = 'landed' AND merged IS NOT NULL
             ORDER BY id DESC LIMIT 1",
        )?;
        let mut rows = statement.query([plan.as_str()])?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
    }

    /// The open landings of a project in their order.
    pub fn open_landings(&self, project: &ProjectId) -> Result<Vec<LandingRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM landings WHERE project = ?1 AND state IN ('queued', 'merged') ORDER BY id"
        ))?;
        let mut rows = statement.query([project.as_str()])?;
        let mut landings = Vec::new();
        while let Some(row) = rows.next()? {
            landings.push(landing_row(row)?);
        }
        Ok(landings)
    }
}

fn landing_row(row: &Row<'_>) -> Result<LandingRow, StoreError> {
    let state: String = row.get(4)?;
    Ok(LandingRow {
        id: row.get(0)?,
        plan: PlanId::new(row.get::<_, String>(1)?),
        task: row.get(2)?,
        attempt: AttemptId::new(row.get::<_, String>(3)?),
        state: LandingState::parse(&state)
            .ok_or_else(|| StoreError::Row(format!("landing state {state}")))?,
        branch: row.get(5)?,
        work: row.get(6)?,
        onto: row.get(7)?,
        merged: row.get(8)?,
        reason: row.get(9)?,
    })
}
