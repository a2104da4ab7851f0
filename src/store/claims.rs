//! Claims in the database: the one ownership table.

use std::collections::BTreeMap;

use rusqlite::{Row, params};

use super::connection::Tx;
use super::error::StoreError;
use super::events::NewEvent;
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, ClaimId, HolderName, PlanId, ProjectId, TaskId};
use crate::base::sorting;
use crate::domain::claim::{Held, Holder, HolderKind, Mode};
use crate::domain::pattern::{Pattern, key_ancestors};

/// Claims to insert, all of one holder.
#[derive(Debug)]
pub struct NewClaims<'a> {
    /// Who is to hold them.
    pub holder: &'a Holder,
    /// Whether others may hold the same.
    pub mode: Mode,
    /// The task, where an attempt holds them.
    pub task: Option<(&'a PlanId, &'a TaskId)>,
    /// Why, as the holder said.
    pub reason: Option<&'a str>,
    /// The file whose lock proves that the holder lives.
    pub alive: Option<&'a str>,
    /// When they run out unless renewed.
    pub expires_at: Time,
}

/// One page of claims.
#[derive(Debug, Clone, Copy)]
pub struct ClaimPage {
    /// Claims with greater numbers only.
    pub after: i64,
    /// At most so many.
    pub limit: usize,
}

const COLUMNS: &str = "id, pattern, mode, holder, holder_kind, plan, task, reason, since, expires_at, alive";

impl Tx<'_> {
    /// The live claims that may overlap `pattern`: those whose key is a prefix of its key, or the reverse.
    pub fn claims_near(&self, project: &ProjectId, pattern: &Pattern) -> Result<Vec<Held>, StoreError> {
        let key = pattern.key();
        let mut found = Vec::new();
        let mut exact = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM claims WHERE released_at IS NULL AND project = ?1 AND key = ?2"
        ))?;
        for ancestor in key_ancestors(&key) {
            if ancestor != key {
                collect(&mut found, exact.query(params![project.as_str(), ancestor])?)?;
            }
        }
        // All keys that begin with this one; no key contains a character above U+10FFFF.
        let mut below = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM claims WHERE released_at IS NULL AND project = ?1 AND key >= ?2 AND key < ?3"
        ))?;
        collect(&mut found, below.query(params![project.as_str(), key, format!("{key}\u{10FFFF}")])?)?;
        Ok(found)
    }

    /// The live claims of one holder.
    pub fn claims_of(&self, project: &ProjectId, holder: &Holder) -> Result<Vec<Held>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM claims
             WHERE released_at IS NULL AND project = ?1 AND holder = ?2 AND holder_kind = ?3 ORDER BY id"
        ))?;
        let mut found = Vec::new();
        let rows = statement.query(params![project.as_str(), holder.name.as_str(), holder.kind.as_str()])?;
        collect(&mut found, rows)?;
        Ok(found)
    }

    /// What an attempt holds, and what it held until something else ended it than its own wish,
    /// whose word in the record is `let_go`. A successor that took the claims over has them now.
    pub fn claims_kept_by(
        &self,
        project: &ProjectId,
        attempt: &AttemptId,
        let_go: &str,
    ) -> Result<Vec<Held>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM claims WHERE project = ?1 AND holder = ?2 AND holder_kind = 'attempt'
             AND (released_at IS NULL OR released_why <> ?3) ORDER BY id"
        ))?;
        let mut found = Vec::new();
        collect(&mut found, statement.query(params![project.as_str(), attempt.as_str(), let_go])?)?;
        Ok(found)
    }

    /// Live claims of the process that `proof` names, and of whoever works on its behalf.
    pub fn claims_living_by(&self, project: &ProjectId, proof: &str) -> Result<Vec<Held>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM claims WHERE released_at IS NULL AND project = ?1 AND substr(alive, -length(?2)) = ?2
             ORDER BY id"
        ))?;
        let mut found = Vec::new();
        collect(&mut found, statement.query(params![project.as_str(), proof])?)?;
        Ok(found)
    }

    /// Live claims of the project, a page of them.
    pub fn live_claims(&self, project: &ProjectId, page: ClaimPage) -> Result<Vec<Held>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM claims WHERE released_at IS NULL AND project = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        ))?;
        let mut found = Vec::new();
        collect(&mut found, statement.query(params![project.as_str(), page.after, page.limit as i64])?)?;
        Ok(found)
    }

    /// The claims that were live at some time between two moments, also those released since.
    pub fn claims_between(&self, project: &ProjectId, from: Time, to: Time) -> Result<Vec<Held>, StoreError> {
        // Asked apart, since no index serves both: few are live, and few were let go of after that.
        let mut found = Vec::new();
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM claims WHERE project = ?1 AND since <= ?2 AND released_at IS NULL"
        ))?;
        collect(&mut found, statement.query(params![project.as_str(), to.as_millis()])?)?;
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM claims WHERE project = ?1 AND released_at >= ?2 AND since <= ?3"
        ))?;
        let rows = statement.query(params![project.as_str(), from.as_millis(), to.as_millis()])?;
        collect(&mut found, rows)?;
        sorting::sort_by_key(&mut found, |held| held.id);
        Ok(found)
    }

    /// How many claims are live.
    pub fn count_claims(&self, project: &ProjectId) -> Result<u64, StoreError> {
        Ok(self
            .sql
            .prepare_cached("SELECT count(*) FROM claims WHERE released_at IS NULL AND project = ?1")?
            .query_row([project.as_str()], |row| row.get::<_, i64>(0).map(i64::unsigned_abs))?)
    }

    /// By whose lives those claims live that ran out and are not let go of yet.
    pub fn expired_lives(&self, project: &ProjectId, now: Time) -> Result<Vec<Option<String>>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT alive FROM claims WHERE released_at IS NULL AND project = ?1 AND expires_at <= ?2",
        )?;
        let rows = statement.query_map(params![project.as_str(), now.as_millis()], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One live claim by its number.
    pub fn claim(&self, project: &ProjectId, id: ClaimId) -> Result<Option<Held>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM claims WHERE released_at IS NULL AND project = ?1 AND id = ?2"
        ))?;
        let mut found = Vec::new();
        collect(&mut found, statement.query(params![project.as_str(), id.0])?)?;
        Ok(found.pop())
    }

    /// Inserts a claim and records it; that nobody is in the way was decided in this same transaction.
    pub fn insert_claim(
        &self,
        project: &ProjectId,
        pattern: &Pattern,
        new: &NewClaims<'_>,
    ) -> Result<ClaimId, StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO claims (project, pattern, key, mode, holder, holder_kind, plan, task, reason, alive,
                                     since, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                project.as_str(),
                pattern.as_str(),
                pattern.key(),
                new.mode.as_str(),
                new.holder.name.as_str(),
                new.holder.kind.as_str(),
                new.task.map(|(plan, _)| plan.as_str()),
                new.task.map(|(_, task)| task.as_str()),
                new.reason,
                new.alive,
                Time::now().as_millis(),
                new.expires_at.as_millis(),
            ])?;
        let id = self.sql.last_insert_rowid();
        let data = serde_json::json!({"claim": id, "pattern": pattern.as_str(), "mode": new.mode.as_str(),
            "kind": new.holder.kind.as_str()});
        let attempt = attempt_of(new.holder);
        self.append_event(
            project,
            &NewEvent {
                kind: "claim.granted",
                plan: new.task.map(|(plan, _)| plan),
                task: new.task.map(|(_, task)| task),
                attempt: attempt.as_ref(),
                holder: Some(new.holder.name.as_str()),
                text: format!("{} claims {}", new.holder.name, pattern.as_str()),
                data: Some(data.to_string()),
            },
        )?;
        Ok(ClaimId(id))
    }

    /// Moves a live claim's end; it is held for another reason now where one is given.
    pub fn renew_claim(&self, id: ClaimId, expires_at: Time, reason: Option<&str>) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE claims SET expires_at = ?2, reason = coalesce(?3, reason)
                 WHERE id = ?1 AND released_at IS NULL",
            )?
            .execute(params![id.0, expires_at.as_millis(), reason])?;
        Ok(())
    }

    /// Releases a claim and records it; `false` if it was released before.
    pub fn release_claim(&self, project: &ProjectId, claim: &Held, why: &str) -> Result<bool, StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE claims SET released_at = ?2, released_why = ?3 WHERE id = ?1 AND released_at IS NULL",
            )?
            .execute(params![claim.id.0, Time::now().as_millis(), why])?;
        if changed == 0 {
            return Ok(false);
        }
        let task = claim.task.as_deref().and_then(|task| task.split_once('/'));
        let task = task.map(|(plan, task)| (PlanId::new(plan), TaskId::text(task)));
        let attempt = attempt_of(&claim.holder);
        self.append_event(
            project,
            &NewEvent {
                kind: "claim.released",
                plan: task.as_ref().map(|(plan, _)| plan),
                task: task.as_ref().map(|(_, task)| task),
                attempt: attempt.as_ref(),
                holder: Some(claim.holder.name.as_str()),
                text: format!("{} lets go of {} ({why})", claim.holder.name, claim.pattern.as_str()),
                data: Some(serde_json::json!({"claim": claim.id.0}).to_string()),
            },
        )?;
        Ok(true)
    }

    /// Releases a claim because `by` takes over what it owns, and records who took what from whom, and why.
    pub fn take_claim(
        &self,
        project: &ProjectId,
        claim: &Held,
        by: &HolderName,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let is_new = self.release_claim(project, claim, &format!("taken over by {by}"))?;
        if is_new {
            self.tell_taken(project, claim, by, reason)?;
        }
        Ok(is_new)
    }

    /// Records that `by` takes over what a claim owns; an attempt lets go of it once it is saved.
    pub fn tell_taken(
        &self,
        project: &ProjectId,
        claim: &Held,
        by: &HolderName,
        reason: &str,
    ) -> Result<(), StoreError> {
        let task = claim.task.as_deref().and_then(|task| task.split_once('/'));
        let task = task.map(|(plan, task)| (PlanId::new(plan), TaskId::text(task)));
        let attempt = attempt_of(&claim.holder);
        let (from, pattern) = (claim.holder.name.as_str(), claim.pattern.as_str());
        let data = serde_json::json!({"claim": claim.id.0, "pattern": pattern, "by": by.as_str(), "from": from,
            "from_kind": claim.holder.kind.as_str(), "reason": reason});
        self.append_event(
            project,
            &NewEvent {
                kind: "claim.taken",
                plan: task.as_ref().map(|(plan, _)| plan),
                task: task.as_ref().map(|(_, task)| task),
                attempt: attempt.as_ref(),
                holder: Some(by.as_str()),
                text: format!("{by} takes over {pattern} from {from}: {reason}"),
                data: Some(data.to_string()),
            },
        )?;
        Ok(())
    }

    /// Records that somebody asks for what others hold, and waits for it.
    pub fn tell_asked(
        &self,
        project: &ProjectId,
        by: &Holder,
        patterns: &[Pattern],
        held: &[&Held],
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let patterns: Vec<&str> = patterns.iter().map(Pattern::as_str).collect();
        let mut from: Vec<&str> = held.iter().map(|claim| claim.holder.name.as_str()).collect();
        from.dedup();
        let mut kinds: Vec<&str> = held.iter().map(|claim| claim.holder.kind.as_str()).collect();
        kinds.dedup();
        let whose = if from.is_empty() { String::new() } else { format!(" from {}", from.join(", ")) };
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let claims: Vec<i64> = held.iter().map(|claim| claim.id.0).collect();
        let data = serde_json::json!({"patterns": patterns, "by": by.name.as_str(), "kind": by.kind.as_str(),
            "from": from, "from_kinds": kinds, "claims": claims, "reason": reason});
        let attempt = attempt_of(by);
        self.append_event(
            project,
            &NewEvent {
                kind: "claim.asked",
                attempt: attempt.as_ref(),
                holder: Some(by.name.as_str()),
                text: format!("{} asks for {}{whose}{why}", by.name, patterns.join(", ")),
                data: Some(data.to_string()),
                ..NewEvent::default()
            },
        )?;
        Ok(())
    }

    /// Releases all that an attempt holds and gives the numbers.
    pub fn release_attempt_claims(
        &self,
        project: &ProjectId,
        attempt: &AttemptId,
        why: &str,
    ) -> Result<Vec<ClaimId>, StoreError> {
        let holder = Holder { kind: HolderKind::Attempt, name: HolderName::new(attempt.as_str()) };
        let held = self.claims_of(project, &holder)?;
        for claim in &held {
            self.release_claim(project, claim, why)?;
        }
        Ok(held.into_iter().map(|claim| claim.id).collect())
    }

    /// Hands an attempt's claims over to its successor at the same task and records it; the numbers stay.
    pub fn hand_over_claims(
        &self,
        project: &ProjectId,
        (plan, task): (&PlanId, &TaskId),
        from: &AttemptId,
        to: &AttemptId,
        alive: &str,
    ) -> Result<usize, StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE claims SET holder = ?3, alive = ?4
                 WHERE project = ?1 AND holder = ?2 AND holder_kind = 'attempt' AND released_at IS NULL",
            )?
            .execute(params![project.as_str(), from.as_str(), to.as_str(), alive])?;
        if changed > 0 {
            let data = serde_json::json!({"from": from.as_str(), "to": to.as_str()});
            self.append_event(
                project,
                &NewEvent {
                    kind: "claim.handed-over",
                    plan: Some(plan),
                    task: Some(task),
                    attempt: Some(to),
                    holder: Some(to.as_str()),
                    text: format!("{to} takes over what {from} claimed"),
                    data: Some(data.to_string()),
                },
            )?;
        }
        Ok(changed)
    }

    /// Hands what a session of a process held over to the process's next one, and records it in each project.
    pub fn hand_over_session(&self, from: &HolderName, to: &Holder, alive: &str) -> Result<(), StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT project, claims.id FROM projects CROSS JOIN claims ON project = projects.id
             WHERE holder = ?1 AND holder_kind = ?2 AND alive = ?3 AND released_at IS NULL ORDER BY claims.id",
        )?;
        let mut claims = BTreeMap::<String, Vec<i64>>::new();
        let mut rows = statement.query(params![from.as_str(), to.kind.as_str(), alive])?;
        while let Some(row) = rows.next()? {
            claims.entry(row.get(0)?).or_default().push(row.get(1)?);
        }
        for (project, claims) in claims {
            for claim in &claims {
                self.sql
                    .prepare_cached("UPDATE claims SET holder = ?2 WHERE id = ?1")?
                    .execute(params![claim, to.name.as_str()])?;
            }
            let data = serde_json::json!({"from": from.as_str(), "to": to.name.as_str(), "claims": claims});
            self.append_event(
                &ProjectId::new(project),
                &NewEvent {
                    kind: "claim.handed-over",
                    holder: Some(to.name.as_str()),
                    text: format!(
                        "{} takes over what {from} claimed, which ended in the same process",
                        to.name
                    ),
                    data: Some(data.to_string()),
                    ..NewEvent::default()
                },
            )?;
        }
        Ok(())
    }
}

/// The attempt that a holder is, for its events.
fn attempt_of(holder: &Holder) -> Option<AttemptId> {
    (holder.kind == HolderKind::Attempt).then(|| AttemptId::new(holder.name.as_str()))
}

fn collect(found: &mut Vec<Held>, mut rows: rusqlite::Rows<'_>) -> Result<(), StoreError> {
    while let Some(row) = rows.next()? {
        found.push(held(row)?);
    }
    Ok(())
}

fn held(row: &Row<'_>) -> Result<Held, StoreError> {
    let impossible = |what: &str| StoreError::Row(format!("claim with {what}"));
    let text: String = row.get(1)?;
    let pattern = Pattern::parse(&text).map_err(|bad| impossible(&bad.reason))?;
    let (mode, kind): (String, String) = (row.get(2)?, row.get(4)?);
    let plan: Option<String> = row.get(5)?;
    let task: Option<String> = row.get(6)?;
    Ok(Held {
        id: ClaimId(row.get(0)?),
        pattern,
        mode: Mode::parse(&mode).ok_or_else(|| impossible(&mode))?,
        holder: Holder {
            kind: HolderKind::parse(&kind).ok_or_else(|| impossible(&kind))?,
            name: HolderName::new(row.get::<_, String>(3)?),
        },
        task: plan.zip(task).map(|(plan, task)| format!("{plan}/{task}")),
        reason: row.get(7)?,
        since: Time::from_millis(row.get(8)?),
        expires_at: Time::from_millis(row.get(9)?),
        alive: row.get(10)?,
    })
}

/// Somebody who waits for claims.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimWait {
    /// The place in the queue: who came before has a smaller one.
    pub place: i64,
    /// Who.
    pub holder: Holder,
    /// Whether others may hold the same.
    pub mode: Mode,
    /// What for.
    pub patterns: Vec<Pattern>,
    /// The file whose lock proves that they still wait.
    pub alive: Option<String>,
}

impl Tx<'_> {
    /// Enters the queue for claims and gives the place in it.
    pub fn join_claim_queue(
        &self,
        project: &ProjectId,
        holder: &Holder,
        mode: Mode,
        patterns: &[Pattern],
        alive: Option<&str>,
        wait_s: u64,
    ) -> Result<i64, StoreError> {
        let now = Time::now();
        // Who gave up without leaving (killed, say) is past its time.
        self.sql.prepare_cached("DELETE FROM claim_waits WHERE until < ?1")?.execute([now.as_millis()])?;
        let texts: Vec<&str> = patterns.iter().map(Pattern::as_str).collect();
        self.sql
            .prepare_cached(
                "INSERT INTO claim_waits (project, holder, holder_kind, mode, patterns, alive, since, until)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                project.as_str(),
                holder.name.as_str(),
                holder.kind.as_str(),
                mode.as_str(),
                serde_json::json!(texts).to_string(),
                alive,
                now.as_millis(),
                now.plus_seconds(wait_s.min(86_400) as i64).as_millis(),
            ])?;
        Ok(self.sql.last_insert_rowid())
    }

    /// Leaves the queue.
    pub fn leave_claim_queue(&self, place: i64) -> Result<(), StoreError> {
        self.sql.prepare_cached("DELETE FROM claim_waits WHERE id = ?1")?.execute([place])?;
        Ok(())
    }

    /// Ends a wait because whoever waits wants it no longer, and records it.
    pub fn withdraw_wait(&self, project: &ProjectId, wait: &ClaimWait) -> Result<(), StoreError> {
        self.leave_claim_queue(wait.place)?;
        let patterns: Vec<&str> = wait.patterns.iter().map(Pattern::as_str).collect();
        let data = serde_json::json!({"patterns": patterns, "by": wait.holder.name.as_str(),
            "kind": wait.holder.kind.as_str(), "place": wait.place});
        let attempt = attempt_of(&wait.holder);
        self.append_event(
            project,
            &NewEvent {
                kind: "claim.withdrawn",
                attempt: attempt.as_ref(),
                holder: Some(wait.holder.name.as_str()),
                text: format!("{} does not wait for {} any more", wait.holder.name, patterns.join(", ")),
                data: Some(data.to_string()),
                ..NewEvent::default()
            },
        )?;
        Ok(())
    }

    /// The queue: all who wait, in the order of asking.
    pub fn claim_queue(&self, project: &ProjectId, now: Time) -> Result<Vec<ClaimWait>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT holder, holder_kind, mode, patterns, alive, id FROM claim_waits
             WHERE project = ?1 AND until > ?2 ORDER BY id",
        )?;
        let mut rows = statement.query(params![project.as_str(), now.as_millis()])?;
        let mut waits = Vec::new();
        while let Some(row) = rows.next()? {
            let (kind, mode, patterns): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let impossible = || StoreError::Row(format!("wait of {kind} in {mode} for {patterns}"));
            let texts: Vec<String> = serde_json::from_str(&patterns).map_err(|_| impossible())?;
            waits.push(ClaimWait {
                place: row.get(5)?,
                holder: Holder {
                    kind: HolderKind::parse(&kind).ok_or_else(impossible)?,
                    name: HolderName::new(row.get::<_, String>(0)?),
                },
                mode: Mode::parse(&mode).ok_or_else(impossible)?,
                patterns: texts
                    .iter()
                    .map(|text| Pattern::parse(text))
                    .collect::<Result<_, _>>()
                    .map_err(|_| impossible())?,
                alive: row.get(4)?,
            });
        }
        Ok(waits)
    }
}
