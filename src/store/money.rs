//! Money and cool-downs, shared by all projects of the machine.

use rusqlite::{OptionalExtension as _, params};

use super::connection::Tx;
use super::error::StoreError;
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, PlanId, ProjectId, ProviderName, TaskId, WorkerName};
use crate::domain::budget::{Measure, Money, Standing};
use crate::domain::usage::Usage;

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

/// What is set aside for an attempt when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserve {
    /// Money.
    pub money: Money,
    /// Tokens.
    pub tokens: u64,
    /// What its program is told that it may cost, where it can be told.
    pub cap: Option<Money>,
}

/// An attempt, or a question to an agent, that begins to spend.
#[derive(Debug)]
pub struct Opening<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its project.
    pub project: &'a ProjectId,
    /// For which plan, and which task of it; of an attempt both are known.
    pub of: Option<(&'a PlanId, Option<&'a TaskId>)>,
    /// Whether it is a question to an agent.
    pub is_question: bool,
    /// Who spends.
    pub worker: &'a WorkerName,
    /// Whose money it is.
    pub provider: &'a ProviderName,
    /// When it began: it is counted on this day, whatever the clock does later.
    pub started_at: Time,
    /// What is set aside for it.
    pub reserve: Reserve,
}

/// By what costs are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// Providers.
    Provider,
    /// Plans.
    Plan,
    /// Tasks, as `PLAN/TASK`.
    Task,
    /// Workers.
    Worker,
    /// Days, UTC.
    Day,
    /// Months, UTC.
    Month,
}

impl GroupBy {
    fn expression(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            // Whoever plans is asked before there is a plan.
            Self::Plan => "coalesce(plan, '(questions)')",
            Self::Task => "coalesce(plan || '/' || task, plan, '(questions)')",
            Self::Worker => "worker",
            Self::Day => "strftime('%Y-%m-%d', day / 1000, 'unixepoch')",
            Self::Month => "strftime('%Y-%m', day / 1000, 'unixepoch')",
        }
    }
}

/// A sum of costs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CostRow {
    /// Of what.
    pub name: String,
    /// Money that was told or priced.
    pub spent: Money,
    /// Money that is set aside besides, for what runs.
    pub reserved: Money,
    /// Tokens; no money.
    pub used: Usage,
    /// Attempts and questions.
    pub count: u64,
    /// Those of them that ended and of which no cost is known.
    pub untold: u64,
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

    /// When a provider's last cool-down began and ends or ended.
    pub fn last_cooldown(&self, provider: &ProviderName) -> Result<Option<(Time, Time)>, StoreError> {
        Ok(self
            .sql
            .prepare_cached("SELECT at, until FROM cooldowns WHERE provider = ?1")?
            .query_row([provider.as_str()], |row| {
                Ok((Time::from_millis(row.get(0)?), Time::from_millis(row.get(1)?)))
            })
            .optional()?)
    }

    /// Forgets that a provider is to be left alone; whether it was.
    pub fn lift_cooldown(&self, provider: &ProviderName) -> Result<bool, StoreError> {
        let now = Time::now().as_millis();
        let mut statement =
            self.sql.prepare_cached("DELETE FROM cooldowns WHERE provider = ?1 AND until > ?2")?;
        Ok(statement.execute(params![provider.as_str(), now])? > 0)
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

    /// Sets aside what something may cost that begins.
    pub fn open_spending(&self, opening: &Opening<'_>) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO spendings (id, project, plan, task, worker, provider, started_at, day, is_open, cap,
                                        reserved, reserved_tokens, is_question)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                opening.id,
                opening.project.as_str(),
                opening.of.map(|(plan, _)| plan.as_str()),
                opening.of.and_then(|(_, task)| task).map(|task| task.as_str()),
                opening.worker.as_str(),
                opening.provider.as_str(),
                opening.started_at.as_millis(),
                opening.started_at.start_of_day().as_millis(),
                opening.reserve.cap.map(Money::micros),
                opening.reserve.money.micros(),
                i64::try_from(opening.reserve.tokens).unwrap_or(i64::MAX),
                opening.is_question,
            ])?;
        Ok(())
    }

    /// Notes what was spent so far. No figure ever falls, so what is told twice counts once.
    pub fn note_spending(&self, id: &str, usage: Usage) -> Result<(), StoreError> {
        let usage = usage.plausible();
        self.sql
            .prepare_cached(
                "UPDATE spendings SET spent = coalesce(max(spent, ?2), spent, ?2),
                     input_tokens = max(input_tokens, ?3), cached_tokens = max(cached_tokens, ?4),
                     cache_write_tokens = max(cache_write_tokens, ?5), output_tokens = max(output_tokens, ?6)
                 WHERE id = ?1",
            )?
            .execute(params![
                id,
                usage.usd.map(|usd| Money::from_usd(usd).micros()),
                usage.input_tokens as i64,
                usage.cached_tokens as i64,
                usage.cache_write_tokens as i64,
                usage.output_tokens as i64
            ])?;
        Ok(())
    }

    /// What was set aside and not spent is free again.
    pub fn close_spending(&self, id: &str) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("UPDATE spendings SET is_open = 0 WHERE id = ?1 AND is_open = 1")?
            .execute([id])?;
        Ok(())
    }

    /// What began since then and is still open: its id, and whether it is a question. An older Kapell that still runs
    /// knows a question by its having no plan.
    pub fn open_spendings(&self, since: Time) -> Result<Vec<(String, bool)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, is_question OR plan IS NULL FROM spendings WHERE started_at >= ?1 AND is_open = 1",
        )?;
        let rows = statement.query_map([since.as_millis()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What an attempt's program is to be told that it may cost.
    pub fn cap(&self, id: &AttemptId) -> Result<Option<Money>, StoreError> {
        let cap: Option<Option<i64>> = self
            .sql
            .prepare_cached("SELECT cap FROM spendings WHERE id = ?1")?
            .query_row([id.as_str()], |row| row.get(0))
            .optional()?;
        Ok(cap.flatten().map(Money::from_micros))
    }

    /// How a provider stands with all that began on the days from `from` to before `to`.
    pub fn standing(&self, provider: &ProviderName, from: Time, to: Time) -> Result<Standing, StoreError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT coalesce(sum(spent), 0), coalesce(sum(reserved), 0), coalesce(sum(tokens), 0),
                        coalesce(sum(reserved_tokens), 0)
                 FROM spent_days WHERE provider = ?1 AND day >= ?2 AND day < ?3",
            )?
            .query_row(params![provider.as_str(), from.as_millis(), to.as_millis()], |row| {
                Ok(Standing {
                    spent: Money::from_micros(row.get(0)?),
                    reserved: Money::from_micros(row.get(1)?),
                    tokens: row.get::<_, i64>(2)?.unsigned_abs(),
                    reserved_tokens: row.get::<_, i64>(3)?.unsigned_abs(),
                })
            })?)
    }

    /// What all tries at a task have cost.
    pub fn task_spent(&self, plan: &PlanId, task: &TaskId) -> Result<Money, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT coalesce(sum(spent), 0) FROM spendings WHERE plan = ?1 AND task = ?2 AND is_question = 0",
        )?;
        let spent = statement.query_row(params![plan.as_str(), task.as_str()], |row| row.get(0))?;
        Ok(Money::from_micros(spent))
    }

    /// What the other tries at an attempt's task have cost, all of which are before it while it is the last.
    pub fn spent_before(&self, attempt: &AttemptId) -> Result<Money, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT coalesce(sum(other.spent), 0) FROM spendings AS own
             JOIN spendings AS other ON other.plan = own.plan AND other.task = own.task AND other.id <> own.id
               AND other.is_question = 0
             WHERE own.id = ?1",
        )?;
        let spent = statement.query_row([attempt.as_str()], |row| row.get(0))?;
        Ok(Money::from_micros(spent))
    }

    /// How a plan stands with all its attempts, and what was asked for it.
    pub fn plan_standing(&self, plan: &PlanId) -> Result<Standing, StoreError> {
        Ok(self
            .sql
            .prepare_cached(
                "SELECT coalesce(sum(spent), 0),
                        coalesce(sum(is_open * max(reserved - coalesce(spent, 0), 0)), 0)
                 FROM spendings WHERE plan = ?1",
            )?
            .query_row([plan.as_str()], |row| {
                Ok(Standing {
                    spent: Money::from_micros(row.get(0)?),
                    reserved: Money::from_micros(row.get(1)?),
                    ..Standing::default()
                })
            })?)
    }

    /// Money and tokens of a provider's last attempts, or of the last questions to it, that ended and told their
    /// cost, at most `most`.
    pub fn last_costs(
        &self,
        provider: &ProviderName,
        of_questions: bool,
        most: usize,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        // As a part of the text: an index of the attempts alone is found by it.
        let whose = if of_questions { "is_question = 1" } else { "is_question = 0" };
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT coalesce(spent, 0), input_tokens + cached_tokens + cache_write_tokens + output_tokens
             FROM spendings
             WHERE provider = ?1 AND is_open = 0 AND {whose}
               AND (spent IS NOT NULL OR input_tokens + output_tokens > 0)
             ORDER BY started_at DESC LIMIT ?2",
        ))?;
        let rows = statement.query_map(params![provider.as_str(), most as i64], |row| {
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many attempts of a provider have ended, whatever they told; more than ten are ten.
    pub fn ended_attempts(&self, provider: &ProviderName) -> Result<u64, StoreError> {
        const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM spendings
             WHERE provider = ?1 AND is_open = 0 AND is_question = 0 LIMIT 10)";
        let count: i64 = self.sql.prepare_cached(COUNT)?.query_row([provider.as_str()], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Notes that something was said of a budget in a period; `false` if it was before.
    pub fn say_of_budget(
        &self,
        whose: &str,
        measure: Measure,
        limit: u64,
        period: Time,
        word: &str,
    ) -> Result<bool, StoreError> {
        let added = self
            .sql
            .prepare_cached(
                "INSERT INTO budget_words (budget, period, word, at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                format!("{whose} {} {limit}", measure.as_str()),
                period.as_millis(),
                word,
                Time::now().as_millis()
            ])?;
        Ok(added > 0)
    }

    /// The costs of all that began from `from` to before `to`, summed; those that cost most first, days
    /// and months in their order.
    pub fn costs(&self, by: GroupBy, from: Time, to: Time) -> Result<Vec<CostRow>, StoreError> {
        let order = match by {
            GroupBy::Day | GroupBy::Month => "1",
            _ => "2 DESC, 1",
        };
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {}, coalesce(sum(spent), 0), coalesce(sum(is_open * max(reserved - coalesce(spent, 0), 0)), 0),
                    sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens),
                    count(*), sum(is_open = 0 AND spent IS NULL)
             FROM spendings WHERE started_at >= ?1 AND started_at < ?2 GROUP BY 1 ORDER BY {order}",
            by.expression()
        ))?;
        let rows = statement.query_map([from.as_millis(), to.as_millis()], |row| {
            let number = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
            Ok(CostRow {
                name: row.get(0)?,
                spent: Money::from_micros(row.get(1)?),
                reserved: Money::from_micros(row.get(2)?),
                used: Usage {
                    input_tokens: number(3)?,
                    cached_tokens: number(4)?,
                    cache_write_tokens: number(5)?,
                    output_tokens: number(6)?,
                    usd: None,
                },
                count: number(7)?,
                untold: number(8)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Money and tokens of each that began from `from` to before `to` and told its tokens.
    pub fn told(&self, from: Time, to: Time) -> Result<Vec<(ProviderName, Money, Usage)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT provider, coalesce(sum(spent), 0), sum(input_tokens), sum(cached_tokens),
                    sum(cache_write_tokens), sum(output_tokens)
             FROM spendings
             WHERE started_at >= ?1 AND started_at < ?2
               AND spent IS NOT NULL AND input_tokens + cached_tokens + cache_write_tokens + output_tokens > 0
             GROUP BY provider",
        )?;
        let rows = statement.query_map([from.as_millis(), to.as_millis()], |row| {
            let number = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
            Ok((
                ProviderName::new(row.get::<_, String>(0)?),
                Money::from_micros(row.get(1)?),
                Usage {
                    input_tokens: number(2)?,
                    cached_tokens: number(3)?,
                    cache_write_tokens: number(4)?,
                    output_tokens: number(5)?,
                    usd: None,
                },
            ))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The sums of the newest days before `before` on which anything was spent, newest first.
    pub fn active_days(&self, before: Time, most: usize) -> Result<Vec<Money>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT sum(spent) FROM spent_days WHERE day < ?1
             GROUP BY day HAVING sum(spent) > 0 ORDER BY day DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![before.as_millis(), most as i64], |row| {
            row.get::<_, i64>(0).map(Money::from_micros)
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All that was spent on the days from `from` to before `to`.
    pub fn spent_between(&self, from: Time, to: Time) -> Result<Money, StoreError> {
        Ok(self
            .sql
            .prepare_cached("SELECT coalesce(sum(spent), 0) FROM spent_days WHERE day >= ?1 AND day < ?2")?
            .query_row([from.as_millis(), to.as_millis()], |row| row.get(0).map(Money::from_micros))?)
    }

    /// The providers that ever did an attempt.
    pub fn providers_used(&self) -> Result<Vec<ProviderName>, StoreError> {
        let mut statement =
            self.sql.prepare_cached("SELECT DISTINCT provider FROM spent_days ORDER BY provider")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0).map(ProviderName::new))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
