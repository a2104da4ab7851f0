//! Finding a seat for a task: who may do it, and who is free.

use std::collections::BTreeMap;

use super::desk::Desk;
use crate::base::clock::Time;
use crate::base::ids::ProviderName;
use crate::domain::plan::Task;
use crate::domain::route::{self, Choice, Limit, Need};
use crate::services::{Error, routing};
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::sys::config::Config;

/// A seat for the task, or why there is none. `live` are the unfinished attempts of all
/// projects, `avoid` the providers that were limited when they tried this task.
pub fn seat(
    tx: &Tx<'_>,
    desk: &Desk,
    task: &Task,
    live: &[AttemptRow],
    avoid: &[ProviderName],
) -> Result<Choice, Error> {
    let config = &desk.config;
    let mut roster = routing::roster(config);
    if let Some(target) = &task.target {
        routing::admit(&mut roster, config, target);
    }
    let placed = route::place(&roster, &routing::wish(task));
    let limits = limits(tx, config, task.budget_usd.unwrap_or(0.0))?;
    let mut now = routing::now(tx, config, &desk.project.id, live, limits)?;
    routing::let_children_pass(tx, &mut now, &desk.plan_id, &task.id)?;
    let need = Need { complexity: task.complexity, avoid };
    Ok(route::decide(&roster, &now, &placed.pick, need).choice)
}

/// The providers that get nothing now, and why.
pub fn limits(tx: &Tx<'_>, config: &Config, wanted_usd: f64) -> Result<BTreeMap<ProviderName, Limit>, Error> {
    let cooldowns = tx.cooldowns(Time::now())?;
    let mut limits = BTreeMap::new();
    for (name, provider) in &config.providers {
        let cooldown = cooldowns.iter().find(|cooldown| cooldown.provider == *name).map(|cooldown| {
            Limit::RateLimited(format!("{name} until {} ({})", cooldown.until, cooldown.reason))
        });
        let limit = match cooldown {
            Some(limit) => Some(limit),
            None => over_budget(tx, name, &provider.budget, wanted_usd)?.map(Limit::OverBudget),
        };
        limits.extend(limit.map(|limit| (name.clone(), limit)));
    }
    Ok(limits)
}

/// Why a provider's budget does not allow another attempt, if it does not.
fn over_budget(
    tx: &Tx<'_>,
    provider: &ProviderName,
    budget: &crate::sys::config::resolved::Budget,
    wanted_usd: f64,
) -> Result<Option<String>, Error> {
    let now = Time::now();
    for (limit, since, span) in [
        (budget.usd_per_day, now.start_of_day(), "today"),
        (budget.usd_per_month, now.start_of_month(), "this month"),
    ] {
        let Some(limit) = limit else { continue };
        let spent = tx.spent(provider, since)?;
        let committed = spent.usd + spent.reserved_usd;
        if committed >= limit || committed + wanted_usd > limit {
            return Ok(Some(format!("{provider}: {committed:.2} of {limit:.2} dollars are spent {span}")));
        }
    }
    if let Some(limit) = budget.tokens_per_day {
        let spent = tx.spent(provider, now.start_of_day())?;
        if spent.tokens >= limit {
            return Ok(Some(format!("{provider}: {} of {limit} tokens are spent today", spent.tokens)));
        }
    }
    Ok(None)
}
