//! Finding a seat for a task: who may do it, and who is free.

use super::desk::Desk;
use crate::base::clock::Time;
use crate::base::ids::{ProviderName, WorkerName};
use crate::domain::plan::Task;
use crate::domain::route::{Choice, Limit, ProviderView, Seat, choose};
use crate::services::{Error, spending};
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::sys::config::resolved::{Config, Strategy};

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
    let mine: Vec<&AttemptRow> = live.iter().filter(|attempt| attempt.project == desk.project.id).collect();
    if mine.len() >= config.max_workers as usize {
        return Ok(Choice::Wait {
            reason: "slot",
            on: format!("{} of {} workers of this project are busy", mine.len(), config.max_workers),
        });
    }
    if let Some(most) = config.machine.max_workers.filter(|most| live.len() >= *most as usize) {
        return Ok(Choice::Wait { reason: "slot", on: format!("{most} workers run on this machine") });
    }
    let seats: Vec<Seat> = candidates(config, task)
        .into_iter()
        .filter_map(|name| {
            let worker = config.workers.get(&name).filter(|worker| !worker.protected)?;
            let provider = config.providers.get(&worker.provider)?;
            let busy = mine.iter().filter(|attempt| attempt.worker == name).count() as u32;
            Some(Seat {
                worker: name,
                provider: worker.provider.clone(),
                slots: worker.slots,
                busy,
                capability: provider.capability,
            })
        })
        .collect();
    let cooldowns = tx.cooldowns(Time::now())?;
    let mut providers = Vec::new();
    for (name, provider) in &config.providers {
        let mut limit = cooldowns.iter().find(|cooldown| cooldown.provider == *name).map(|cooldown| {
            Limit::RateLimited(format!("{name} until {} ({})", cooldown.until, cooldown.reason))
        });
        if limit.is_none() {
            limit = over_budget(tx, desk, name, task)?.map(Limit::OverBudget);
        }
        providers.push(ProviderView {
            name: name.clone(),
            max_parallel: provider.max_parallel,
            busy: live.iter().filter(|attempt| attempt.provider == *name).count() as u32,
            limit,
        });
    }
    Ok(choose(&seats, &providers, task.complexity, avoid))
}

/// The seats that a task may have, the preferred first.
fn candidates(config: &Config, task: &Task) -> Vec<WorkerName> {
    let target = task.target.as_deref().or(task.role.as_deref()).unwrap_or("auto");
    let target = config.roles.get(target).unwrap_or(target);
    let mut names = match target {
        "auto" => {
            let routed = config.routes.iter().find(|route| route.pattern.is_match(&task.text));
            match routed {
                Some(route) => named(config, &route.to),
                None => everybody(config),
            }
        }
        named_target => named(config, named_target),
    };
    // What was asked for comes first; the chain takes over when it is limited.
    if !names.is_empty() {
        let takes_over = config.failover.chain.iter().chain(&config.failover.fallback);
        for provider in takes_over {
            for name in of_provider(config, provider) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    names
}

fn named(config: &Config, target: &str) -> Vec<WorkerName> {
    let worker = WorkerName::new(target);
    if config.workers.contains_key(&worker) {
        return vec![worker];
    }
    if let Some(group) = config.groups.get(target) {
        let mut members = group.members.clone();
        if group.strategy != Strategy::Sequential {
            // The store knows how much each did; ties are broken by the order of the list.
            members.rotate_left(0);
        }
        return members;
    }
    of_provider(config, &ProviderName::new(target))
}

fn of_provider(config: &Config, provider: &ProviderName) -> Vec<WorkerName> {
    config
        .workers
        .iter()
        .filter(|(_, worker)| worker.provider == *provider)
        .map(|(name, _)| name.clone())
        .collect()
}

/// All seats of available providers, in the order of the failover chain, then the cheap first.
fn everybody(config: &Config) -> Vec<WorkerName> {
    let rank = |provider: &ProviderName| {
        config.failover.chain.iter().position(|name| name == provider).unwrap_or(usize::MAX)
    };
    let mut names: Vec<(usize, WorkerName)> = config
        .workers
        .iter()
        .filter(|(_, worker)| {
            config.providers.get(&worker.provider).is_some_and(|provider| provider.is_available)
        })
        .map(|(name, worker)| (rank(&worker.provider), name.clone()))
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

/// Why the budgets of a provider and of the plan do not allow another attempt, if they do not.
fn over_budget(tx: &Tx<'_>, desk: &Desk, name: &ProviderName, task: &Task) -> Result<Option<String>, Error> {
    spending::refusal(tx, &desk.config, &spending::wish(desk, name, task))
}
