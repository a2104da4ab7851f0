//! Money and cool-downs, shared by all projects of the machine.

use rusqlite::params;

use super::connection::Tx;
use super::error::StoreError;
use crate::base::clock::Time;
use crate::base::ids::ProviderName;

/// A provider that is to be left alone for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Cooldown {
    /// Which.
    pub provider: ProviderName,
    /// Why, in a word: `rate-limit`, `overload`, `auth`, `quota`.
    pub kind: String,
    /// Until when.
    pub until: Time,
    /// What the provider said.
    pub reason: String,
}

/// What a provider's attempts cost, settled and reserved.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spent {
    /// Told by attempts that ended, or so far by those that run.
    pub usd: f64,
    /// Set aside for attempts that run.
    pub reserved_usd: f64,
    /// Tokens of all kinds.
    pub tokens: u64,
}

impl Tx<'_> {
    /// Leaves a provider alone until then; a longer cool-down that stands is kept.
    pub fn cool_down(&self, cooldown: &Cooldown) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO cooldowns (provider, kind, until, reason, at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET kind = ?2, until = ?3, reason = ?4, at = ?5 WHERE until < ?3",
            )?
            .execute(params![
                cooldown.provider.as_str(),
                cooldown.kind,
                cooldown.until.as_millis(),
                cooldown.reason,
                Time::now().as_millis()
            ])?;
        Ok(())
    }

    /// The cool-downs that have not run out.
    pub fn cooldowns(&self, now: Time) -> Result<Vec<Cooldown>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT provider, kind, until, reason FROM cooldowns WHERE until > ?1 ORDER BY provider",
        )?;
        let rows = statement.query_map([now.as_millis()], |row| {
            Ok(Cooldown {
                provider: ProviderName::new(row.get::<_, String>(0)?),
                kind: row.get(1)?,
                until: Time::from_millis(row.get(2)?),
                reason: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What a provider's attempts that started at or after `since` cost.
    pub fn spent(&self, provider: &ProviderName, since: Time) -> Result<Spent, StoreError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT coalesce(sum(usd), 0.0),
                        coalesce(sum(CASE WHEN state <> 'finished' THEN max(reserved_usd - coalesce(usd, 0.0), 0.0) END), 0.0),
                        coalesce(sum(input_tokens + cached_tokens + cache_write_tokens + output_tokens), 0)
                 FROM attempts WHERE provider = ?1 AND started_at >= ?2",
            )?
            .query_row(params![provider.as_str(), since.as_millis()], |row| {
                Ok(Spent {
                    usd: row.get(0)?,
                    reserved_usd: row.get(1)?,
                    tokens: row.get::<_, i64>(2)?.unsigned_abs(),
                })
            })?)
    }

    /// What a plan's attempts cost so far.
    pub fn plan_usd(&self, plan: &crate::base::ids::PlanId) -> Result<f64, StoreError> {
        Ok(self
            .sql
            .prepare_cached("SELECT coalesce(sum(usd), 0.0) FROM attempts WHERE plan = ?1")?
            .query_row([plan.as_str()], |row| row.get(0))?)
    }

    /// The providers that ever did an attempt.
    pub fn providers_used(&self) -> Result<Vec<ProviderName>, StoreError> {
        let mut statement =
            self.sql.prepare_cached("SELECT DISTINCT provider FROM attempts ORDER BY provider")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0).map(ProviderName::new))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
