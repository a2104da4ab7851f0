//! Attempts and their gates in the database.

use rusqlite::{OptionalExtension as _, Row, params};

use super::connection::Tx;
use super::error::StoreError;
use super::events::NewEvent;
use super::money::{Opening, Reserve};
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, PlanId, ProjectId, ProviderName, TaskId, WorkerName};
use crate::domain::attempt::{AttemptState, Outcome};
use crate::domain::usage::Usage;
use crate::domain::verdict::{GateOutcome, Verdict};

/// An attempt's row.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Its id.
    pub id: AttemptId,
    /// Its project.
    pub project: ProjectId,
    /// Its plan.
    pub plan: PlanId,
    /// Its task, as text.
    pub task: String,
    /// 1 for the first attempt at the task.
    pub number: u32,
    /// The seat that does it.
    pub worker: WorkerName,
    /// The provider of that seat.
    pub provider: ProviderName,
    /// Where it is.
    pub state: AttemptState,
    /// Why it ended as it did.
    pub reason: Option<String>,
    /// The shim's folder.
    pub run_dir: String,
    /// The folder it works in.
    pub worktree: Option<String>,
    /// The environment whose checkout that is; none: a worktree of its own, or the shared folder.
    pub environment: Option<String>,
    /// The commit it started from.
    pub base: Option<String>,
    /// The ref that keeps its tree.
    pub reference: Option<String>,
    /// The commit under that ref.
    pub snapshot: Option<String>,
    /// The agent's own name for the conversation.
    pub session: Option<String>,
    /// The wall that was really built.
    pub wall: Option<String>,
    /// The agent's final answer.
    pub said: Option<String>,
    /// What it changed, a JSON array of paths.
    pub changed: Option<String>,
    /// What it changed outside its claim, a JSON array of paths.
    pub outside_claim: Option<String>,
    /// What the judge said.
    pub verdict: Option<Verdict>,
    /// The highest claim number it was given.
    pub fencing: i64,
    /// What it used.
    pub usage: Usage,
    /// When it was recorded.
    pub started_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
}

/// An attempt to insert; it begins in state `starting`.
#[derive(Debug)]
pub struct NewAttempt<'a> {
    /// Its id.
    pub id: &'a AttemptId,
    /// Its project.
    pub project: &'a ProjectId,
    /// Its plan.
    pub plan: &'a PlanId,
    /// Its task.
    pub task: &'a TaskId,
    /// 1 for the first attempt at the task.
    pub number: u32,
    /// The seat that does it.
    pub worker: &'a WorkerName,
    /// The provider of that seat.
    pub provider: &'a ProviderName,
    /// The shim's folder.
    pub run_dir: &'a str,
    /// The folder it works in.
    pub worktree: &'a str,
    /// The environment whose checkout that is.
    pub environment: Option<&'a str>,
    /// The group that its task was led to.
    pub for_group: Option<&'a str>,
    /// The commit it starts from.
    pub base: Option<&'a str>,
    /// The highest claim number it was given.
    pub fencing: i64,
    /// What is set aside for it.
    pub reserve: Reserve,
}

/// How an attempt ended, to be recorded in one go.
#[derive(Debug)]
pub struct Ending<'a> {
    /// The outcome.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<&'a str>,
    /// What it used.
    pub usage: Usage,
    /// The agent's final answer.
    pub said: Option<&'a str>,
    /// The agent's own name for the conversation.
    pub session: Option<&'a str>,
    /// The wall that was really built.
    pub wall: Option<&'a str>,
}

/// A gate's row.
#[derive(Debug, Clone, PartialEq)]
pub struct GateRow {
    /// The gate.
    pub name: String,
    /// How it ended.
    pub outcome: GateOutcome,
    /// Why, in a sentence.
    pub why: String,
    /// Where its evidence is kept.
    pub evidence: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
}

const COLUMNS: &str = "id, project, plan, task, number, worker, provider, state, outcome, reason, run_dir, worktree,
    base, reference, snapshot, session, wall, said, changed, outside_claim, verdict, fencing, usd, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, started_at, ended_at, environment";

/// Who is at work in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its worker.
    pub worker: WorkerName,
    /// Its plan.
    pub plan: PlanId,
    /// Its task, as text.
    pub task: String,
}

impl Tx<'_> {
    /// Inserts an attempt in state `starting`.
    pub fn insert_attempt(&self, new: &NewAttempt<'_>) -> Result<(), StoreError> {
        let now = Time::now();
        self.sql
            .prepare_cached(
                "INSERT INTO attempts (id, project, plan, task, number, worker, provider, state, run_dir, worktree,
                                       base, fencing, started_at, environment, for_group)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'starting', ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                new.id.as_str(),
                new.project.as_str(),
                new.plan.as_str(),
                new.task.as_str(),
                new.number,
                new.worker.as_str(),
                new.provider.as_str(),
                new.run_dir,
                new.worktree,
                new.base,
                new.fencing,
                now.as_millis(),
                new.environment,
                new.for_group,
            ])?;
        self.open_spending(&Opening {
            id: new.id.as_str(),
            project: new.project,
            of: Some((new.plan, Some(new.task))),
            is_question: false,
            worker: new.worker,
            provider: new.provider,
            started_at: now,
            reserve: new.reserve,
        })
    }

    /// One attempt.
    pub fn attempt(&self, id: &AttemptId) -> Result<Option<AttemptRow>, StoreError> {
        Ok(self.attempts_where("id = ?1", &[&id.as_str()])?.pop())
    }

    /// All attempts at a task, oldest first.
    pub fn attempts_at(&self, plan: &PlanId, task: &TaskId) -> Result<Vec<AttemptRow>, StoreError> {
        self.attempts_where("plan = ?1 AND task = ?2 ORDER BY number", &[&plan.as_str(), &task.as_str()])
    }

    /// How many tries there were at a plan's tasks.
    pub fn count_attempts(&self, plan: &PlanId) -> Result<u64, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT count(*) FROM attempts WHERE plan = ?1")?;
        Ok(statement.query_row([plan.as_str()], |row| row.get::<_, i64>(0))?.unsigned_abs())
    }

    /// The attempts of a plan that are not finished.
    pub fn live_attempts(&self, plan: &PlanId) -> Result<Vec<AttemptRow>, StoreError> {
        self.attempts_where("plan = ?1 AND state <> 'finished' ORDER BY started_at, id", &[&plan.as_str()])
    }

    /// The attempts of all plans of all projects that are not finished.
    pub fn all_live_attempts(&self) -> Result<Vec<AttemptRow>, StoreError> {
        self.attempts_where("state <> 'finished' ORDER BY started_at, id", &[])
    }

    /// The attempt that has an environment: it runs there, or what it left there has not landed yet. There is at
    /// most one, since it is taken in the transaction that asks this.
    pub fn attempt_in(&self, project: &ProjectId, environment: &str) -> Result<Option<Occupant>, StoreError> {
        let found = self
            .sql
            .prepare_cached(
                "SELECT a.id, a.worker, a.plan, a.task FROM attempts a JOIN tasks t ON t.plan = a.plan AND t.id = a.task
                 WHERE a.project = ?1 AND a.environment = ?2
                   AND (a.state <> 'finished'
                        OR (t.state IN ('running', 'judging', 'approved', 'landing')
                            AND a.number = (SELECT max(number) FROM attempts WHERE plan = a.plan AND task = a.task)))
                 ORDER BY a.started_at DESC LIMIT 1",
            )?
            .query_row(params![project.as_str(), environment], |row| {
                Ok(Occupant {
                    attempt: AttemptId::new(row.get::<_, String>(0)?),
                    worker: WorkerName::new(row.get::<_, String>(1)?),
                    plan: PlanId::new(row.get::<_, String>(2)?),
                    task: row.get(3)?,
                })
            });
        Ok(found.optional()?)
    }

    /// The attempt that was the last in an environment.
    pub fn last_attempt_in(
        &self,
        project: &ProjectId,
        environment: &str,
    ) -> Result<Option<AttemptRow>, StoreError> {
        let found = "project = ?1 AND environment = ?2 ORDER BY started_at DESC, number DESC LIMIT 1";
        Ok(self.attempts_where(found, &[&project.as_str(), &environment])?.pop())
    }

    /// The attempts of a project that ran at some time between two moments.
    pub fn attempts_between(
        &self,
        project: &ProjectId,
        from: Time,
        to: Time,
    ) -> Result<Vec<AttemptRow>, StoreError> {
        // Asked apart, since no index serves both: few are open, and few ended after that.
        let project = project.as_str();
        let open = "project = ?1 AND started_at < ?2 AND ended_at IS NULL";
        let ended = "project = ?1 AND ended_at > ?2 AND started_at < ?3";
        let mut found = self.attempts_where(open, &[&project, &to.as_millis()])?;
        found.extend(self.attempts_where(ended, &[&project, &from.as_millis(), &to.as_millis()])?);
        Ok(found)
    }

    /// Moves an attempt that is not finished to another unfinished state and records it; does nothing
    /// if it is there.
    pub fn set_attempt_state(&self, id: &AttemptId, state: AttemptState) -> Result<(), StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE attempts SET state = ?2 WHERE id = ?1 AND state <> 'finished' AND state <> ?2",
            )?
            .execute(params![id.as_str(), state.as_str()])?;
        if changed > 0 {
            let data = serde_json::json!({"state": state.as_str()});
            self.tell_attempt(id, "attempt.state", state.as_str(), &data)?;
        }
        Ok(())
    }

    /// Records how an attempt ended; `false` if that was recorded before, and then nothing is changed.
    /// What it was known to have used before is never taken back.
    pub fn finish_attempt(&self, id: &AttemptId, ending: &Ending<'_>) -> Result<bool, StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE attempts SET state = 'finished', outcome = ?2, reason = ?3, said = ?4,
                     session = coalesce(?5, session), wall = coalesce(?6, wall), reserved_usd = 0, ended_at = ?7
                 WHERE id = ?1 AND state <> 'finished'",
            )?
            .execute(params![
                id.as_str(),
                ending.outcome.as_str(),
                ending.reason,
                ending.said,
                ending.session,
                ending.wall,
                Time::now().as_millis(),
            ])?;
        if changed > 0 {
            self.keep_usage(id, ending.usage)?;
            self.close_spending(id.as_str())?;
            self.tell_outcome(id, "attempt.finished", "ended", ending.outcome, ending.reason)?;
        }
        Ok(changed > 0)
    }

    /// Notes the wall that was built around a running attempt.
    pub fn set_wall(&self, id: &AttemptId, wall: &str) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE attempts SET wall = ?2 WHERE id = ?1 AND state <> 'finished'")?
            .execute(params![id.as_str(), wall])?;
        Ok(())
    }

    /// Notes what an attempt used so far. No figure ever falls: its output may be read again from the
    /// start.
    pub fn set_usage(&self, id: &AttemptId, usage: Usage) -> Result<(), StoreError> {
        let is_open: Option<bool> = self
            .sql
            .prepare_cached("SELECT state <> 'finished' FROM attempts WHERE id = ?1")?
            .query_row([id.as_str()], |row| row.get(0))
            .optional()?;
        if is_open == Some(true) { self.keep_usage(id, usage) } else { Ok(()) }
    }

    fn keep_usage(&self, id: &AttemptId, usage: Usage) -> Result<(), StoreError> {
        let usage = usage.plausible();
        self.sql
            .prepare_cached(
                "UPDATE attempts SET usd = coalesce(max(usd, ?2), usd, ?2), input_tokens = max(input_tokens, ?3),
                     cached_tokens = max(cached_tokens, ?4), cache_write_tokens = max(cache_write_tokens, ?5),
                     output_tokens = max(output_tokens, ?6) WHERE id = ?1",
            )?
            .execute(params![
                id.as_str(),
                usage.usd,
                usage.input_tokens as i64,
                usage.cached_tokens as i64,
                usage.cache_write_tokens as i64,
                usage.output_tokens as i64
            ])?;
        self.note_spending(id.as_str(), usage)
    }

    /// Changes the outcome of a finished attempt and records it: what it submitted turned out a violation.
    pub fn set_outcome(
        &self,
        id: &AttemptId,
        outcome: Outcome,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE attempts SET outcome = ?2, reason = ?3 WHERE id = ?1 AND state = 'finished'",
            )?
            .execute(params![id.as_str(), outcome.as_str(), reason])?;
        if changed > 0 {
            self.tell_outcome(id, "attempt.outcome", "turned out", outcome, reason)?;
        }
        Ok(())
    }

    fn tell_outcome(
        &self,
        id: &AttemptId,
        kind: &'static str,
        verb: &str,
        outcome: Outcome,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let why = reason.map(|why| format!(" ({why})")).unwrap_or_default();
        let data = serde_json::json!({"outcome": outcome.as_str()});
        self.tell_attempt(id, kind, &format!("{verb}: {}{why}", outcome.as_str()), &data)
    }

    fn tell_attempt(
        &self,
        id: &AttemptId,
        kind: &'static str,
        what: &str,
        data: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let Some(attempt) = self.attempt(id)? else { return Ok(()) };
        self.append_event(
            &attempt.project,
            &NewEvent {
                kind,
                plan: Some(&attempt.plan),
                task: Some(&TaskId::text(&attempt.task)),
                attempt: Some(id),
                text: format!("task {}: try {} {what}", attempt.task, attempt.number),
                data: Some(data.to_string()),
                ..NewEvent::default()
            },
        )?;
        Ok(())
    }

    /// Notes where an attempt's tree is kept and what it changed.
    pub fn set_snapshot(
        &self,
        id: &AttemptId,
        reference: Option<&str>,
        commit: &str,
        changed: &str,
        outside_claim: &str,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE attempts SET reference = ?2, snapshot = ?3, changed = ?4, outside_claim = ?5 WHERE id = ?1",
            )?
            .execute(params![id.as_str(), reference, commit, changed, outside_claim])?;
        Ok(())
    }

    /// Records the gates and what the judge concluded from them, in place of an earlier judgement.
    pub fn set_verdict(&self, id: &AttemptId, verdict: Verdict, gates: &[GateRow]) -> Result<(), StoreError> {
        self.sql.prepare_cached("DELETE FROM gates WHERE attempt = ?1")?.execute([id.as_str()])?;
        let mut insert = self.sql.prepare_cached(
            "INSERT INTO gates (attempt, ordinal, name, outcome, why, evidence, duration_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for (ordinal, gate) in gates.iter().enumerate() {
            insert.execute(params![
                id.as_str(),
                ordinal as i64,
                gate.name,
                gate.outcome.as_str(),
                gate.why,
                gate.evidence,
                gate.duration_ms as i64
            ])?;
        }
        self.sql
            .prepare_cached("UPDATE attempts SET verdict = ?2 WHERE id = ?1")?
            .execute(params![id.as_str(), verdict.as_str()])?;
        Ok(())
    }

    /// The gates of an attempt's judgement, in the order in which they ran.
    pub fn gates(&self, id: &AttemptId) -> Result<Vec<GateRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT name, outcome, why, evidence, duration_ms FROM gates WHERE attempt = ?1 ORDER BY ordinal",
        )?;
        let mut rows = statement.query([id.as_str()])?;
        let mut gates = Vec::new();
        while let Some(row) = rows.next()? {
            let outcome: String = row.get(1)?;
            gates.push(GateRow {
                name: row.get(0)?,
                outcome: GateOutcome::parse(&outcome)
                    .ok_or_else(|| StoreError::Row(format!("gate outcome {outcome}")))?,
                why: row.get(2)?,
                evidence: row.get(3)?,
                duration_ms: row.get::<_, i64>(4)?.unsigned_abs(),
            });
        }
        Ok(gates)
    }

    fn attempts_where(
        &self,
        condition: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<AttemptRow>, StoreError> {
        let mut statement =
            self.sql.prepare_cached(&format!("SELECT {COLUMNS} FROM attempts WHERE {condition}"))?;
        let mut rows = statement.query(values)?;
        let mut attempts = Vec::new();
        while let Some(row) = rows.next()? {
            attempts.push(attempt_row(row)?);
        }
        Ok(attempts)
    }
}

fn attempt_row(row: &Row<'_>) -> Result<AttemptRow, StoreError> {
    let state: String = row.get(7)?;
    let outcome: Option<String> = row.get(8)?;
    let verdict: Option<String> = row.get(20)?;
    let tokens = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
    Ok(AttemptRow {
        id: AttemptId::new(row.get::<_, String>(0)?),
        project: ProjectId::new(row.get::<_, String>(1)?),
        plan: PlanId::new(row.get::<_, String>(2)?),
        task: row.get(3)?,
        number: row.get(4)?,
        worker: WorkerName::new(row.get::<_, String>(5)?),
        provider: ProviderName::new(row.get::<_, String>(6)?),
        state: AttemptState::from_parts(&state, outcome.as_deref())
            .ok_or_else(|| StoreError::Row(format!("attempt state {state} with outcome {outcome:?}")))?,
        reason: row.get(9)?,
        run_dir: row.get(10)?,
        worktree: row.get(11)?,
        base: row.get(12)?,
        reference: row.get(13)?,
        snapshot: row.get(14)?,
        session: row.get(15)?,
        wall: row.get(16)?,
        said: row.get(17)?,
        changed: row.get(18)?,
        outside_claim: row.get(19)?,
        verdict: verdict.as_deref().and_then(Verdict::parse),
        fencing: row.get(21)?,
        usage: Usage {
            usd: row.get(22)?,
            input_tokens: tokens(23)?,
            cached_tokens: tokens(24)?,
            cache_write_tokens: tokens(25)?,
            output_tokens: tokens(26)?,
        },
        started_at: Time::from_millis(row.get(27)?),
        ended_at: row.get::<_, Option<i64>>(28)?.map(Time::from_millis),
        environment: row.get(29)?,
    })
}
