//! Finding a seat for a task: who may do it, and who is free.

use std::collections::BTreeMap;

use super::desk::Desk;
use crate::base::clock::Time;
use crate::base::ids::{ProviderName, TaskId};
use crate::domain::plan::Task;
use crate::domain::route::{self, Candidate, Choice, Limit, Need, Now, Pick, Shut, WhyNot};
use crate::services::environments::working;
use crate::services::routing::Asks;
use crate::services::{Error, owning, querying, routing, spending};
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::sys::config::Config;

/// The providers that tried a task before.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// They were limited, and are taken last.
    pub avoid: &'a [ProviderName],
    /// They had their tries.
    pub out: &'a [ProviderName],
}

/// What became of the wish for a seat.
#[derive(Debug)]
pub struct Seated {
    /// The seat, or why there is none.
    pub choice: Choice,
    /// Why it is this seat, in words.
    pub why: String,
    /// The group that the rules led to.
    pub for_group: Option<String>,
    /// The providers that can do it, now or later.
    pub able: Vec<ProviderName>,
}

/// A seat for the task, or why there is none. `live` are the unfinished attempts of all
/// projects, `shut` the environments in which nothing can begin, as was just seen.
pub fn seat<'s>(
    tx: &Tx<'_>,
    desk: &Desk,
    task: &Task,
    live: &[AttemptRow],
    tried: Tried<'_>,
    shut: impl Iterator<Item = (&'s str, &'s Shut)>,
) -> Result<Seated, Error> {
    let config = &desk.config;
    let mut roster = routing::roster(config);
    if let Some(target) = &task.target {
        routing::admit(&mut roster, config, target);
    }
    let mut placed = route::place(&roster, &routing::wish(task));
    let limits =
        limits(tx, config, |provider| spending::limit(tx, config, &spending::wish(desk, provider, task)))?;
    let mut now = routing::now(tx, config, (&desk.project.id, Some(&desk.plan_id)), live, limits)?;
    routing::let_its_own_pass(tx, &mut now, &desk.plan_id, &task.id)?;
    let above = owning::ancestors(tx, &desk.plan_id, &task.id)?;
    wait_for_the_first(tx, desk, (task, &above), live, &mut now)?;
    look_at_environments(tx, desk, (task, &above), &mut now)?;
    shut.for_each(|(name, why)| now.shut(name, why.clone()));
    let environment = task.environment.as_deref();
    let need = Need { complexity: task.complexity, avoid: tried.avoid, out: tried.out, environment };
    let house = &desk.session.house;
    let mut decision = route::decide(&roster, &now, &placed.pick, need);
    // To look for every program takes longer than to decide, and mostly the one that is chosen is there.
    if !matches!(&decision.choice, Choice::Seat(seat) if !routing::lacks_something(&roster, config, house, &seat.worker))
    {
        routing::look_around(&mut roster, config, house);
        // By the same rules; of somebody without a worker it is known now why.
        placed = route::place(&roster, &routing::wish(task));
        decision = route::decide(&roster, &now, &placed.pick, need);
    }
    let why = match &decision.choice {
        Choice::Seat(seat) => route::why(&placed, &decision, &seat.worker),
        Choice::Wait { .. } | Choice::Nobody(_) => String::new(),
    };
    let for_group = match &placed.pick {
        Pick::Group(name) => Some(name.clone()),
        _ => None,
    };
    let is_able = |it: &Candidate| !it.why_not.as_ref().is_some_and(WhyNot::is_for_ever);
    let able = decision.candidates.into_iter().filter(is_able).map(|it| it.provider).collect();
    Ok(Seated { choice: decision.choice, why, for_group, able })
}

/// Notes providers whose first attempt is at work and has to show first what one takes. What a task delegated does
/// not wait for it.
fn wait_for_the_first(
    tx: &Tx<'_>,
    desk: &Desk,
    (task, above): (&Task, &[TaskId]),
    live: &[AttemptRow],
    now: &mut Now,
) -> Result<(), Error> {
    // Each provider is asked about once, however many work for it.
    let mut others: Vec<&ProviderName> = Vec::new();
    let is_above =
        |it: &AttemptRow| it.plan == desk.plan_id && above.iter().any(|above| above.as_str() == it.task);
    for attempt in live.iter().filter(|it| !is_above(it)) {
        let provider = &attempt.provider;
        if now.first.contains(provider) || others.contains(&provider) {
            continue;
        }
        if !spending::is_tried_first(tx, &desk.config, &spending::wish(desk, provider, task))? {
            others.push(provider);
        } else if !querying::is_unattended(tx, attempt)? {
            // One that nobody follows shows nothing.
            now.first.push(provider.clone());
        }
    }
    Ok(())
}

/// Notes what of environments a task cannot work in: its own, where it names one, and those that the tasks above
/// it have, which wait for it.
fn look_at_environments(
    tx: &Tx<'_>,
    desk: &Desk,
    (task, above): (&Task, &[TaskId]),
    now: &mut Now,
) -> Result<(), Error> {
    let (config, project) = (&desk.config, &desk.project.id);
    if let Some(name) = &task.environment {
        routing::look_at_environment(tx, config, project, now, (name, Asks::Task))?;
    }
    if above.is_empty() {
        return Ok(());
    }
    let bound = config.workers.values().filter_map(|worker| worker.environment.as_deref());
    for name in bound.chain(task.environment.as_deref()) {
        if let Some(by) = working::is_above(tx, project, &desk.plan_id, name, above)? {
            let why = format!(
                "task {} works in {name} and waits for this one; delegate it to a worker outside of {name}",
                by.task
            );
            now.shut(name, Shut::ForEver(why));
        }
    }
    Ok(())
}

/// The providers that get nothing now, and why. `over_budget` is asked of those that would get something.
pub fn limits(
    tx: &Tx<'_>,
    config: &Config,
    over_budget: impl Fn(&ProviderName) -> Result<Option<Limit>, Error>,
) -> Result<BTreeMap<ProviderName, Limit>, Error> {
    let cooldowns = tx.cooldowns(Time::now())?;
    let mut limits = BTreeMap::new();
    for name in config.providers.keys() {
        let cooldown = cooldowns.iter().find(|cooldown| cooldown.provider == *name).map(|cooldown| {
            let why = format!("{name} until {} ({})", cooldown.until, cooldown.reason);
            Limit::RateLimited(cooldown.until, why)
        });
        let limit = match cooldown {
            Some(limit) => Some(limit),
            None => over_budget(name)?,
        };
        limits.extend(limit.map(|limit| (name.clone(), limit)));
    }
    Ok(limits)
}
