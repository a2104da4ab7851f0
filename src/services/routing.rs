//! Where a task goes: the configuration and the store as routing sees them, and the explanation.

use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet};

use super::planning::surroundings::{absent_program, not_there};
use super::project::Project;
use super::{Error, House, Session, insisting, owning, querying, spending, windows};
use crate::base::clock::Time;
use crate::base::ids::{PlanId, ProjectId, ProviderName, TaskId, WorkerName};
use crate::domain::environment::Stage;
use crate::domain::plan::Task;
use crate::domain::route::{self, Decision, Limit, Need, Now, Placed, Roster, Seat, Shut, Wish};
use crate::domain::share::{self, Pool, Share};
use crate::store::Tx;
use crate::store::attempts::{AttemptRow, Occupant};
use crate::store::environments::EnvironmentRow;
use crate::store::fleet::AtWork;
use crate::sys::config::Config;
use crate::sys::config::resolved::{self, Isolation, Strategy};

/// A conductor that said that it lives within this takes a seat that is left to it; twice between two heartbeats.
const ATTENTIVE_MS: i64 = 20_000;

/// Whom a task would go to now, and why.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The rules that were asked.
    pub placed: Placed,
    /// Who was thought of, and who would get it now.
    pub decision: Decision,
    /// The priority that it would have.
    pub priority: u8,
}

/// Everybody that the configuration knows, and the rules by which tasks find them.
pub fn roster(config: &Config) -> Roster {
    let mut roster = Roster {
        routes: config
            .routes
            .iter()
            .map(|route| route::Route { pattern: route.pattern.clone(), to: route.to.clone() })
            .collect(),
        chain: config.failover.chain.clone(),
        is_chain_said: config.failover.is_said,
        fallback: config.failover.fallback.clone(),
        environments: config.environments.names.iter().cloned().collect(),
        ..Roster::default()
    };
    for (name, worker) in &config.workers {
        if let Some(seat) = seat(config, name, worker) {
            roster.environments.extend(worker.environment.clone());
            roster.seats.insert(name.clone(), seat);
        }
    }
    for (name, group) in &config.groups {
        let strategy = match group.strategy {
            Strategy::RoundRobin => route::Strategy::RoundRobin,
            Strategy::LeastLoaded => route::Strategy::LeastLoaded,
            Strategy::Sequential => route::Strategy::Sequential,
        };
        roster.groups.insert(name.clone(), route::Group { strategy, members: group.members.clone() });
    }
    for (name, provider) in &config.providers {
        roster.providers.insert(
            name.clone(),
            route::Provider {
                name: name.clone(),
                max_parallel: provider.max_parallel,
                capability: provider.capability,
                is_said: provider.is_said,
                lacks: None,
                // What a task sends is about three times what it receives.
                price: provider
                    .prices
                    .as_ref()
                    .map(|prices| prices.input_usd_per_mtok * 0.75 + prices.output_usd_per_mtok * 0.25),
            },
        );
    }
    for role in ["planner", "judge", "oracle", "librarian"] {
        if let Some(player) = config.roles.get(role) {
            roster.roles.insert(role.to_owned(), player.to_owned());
        }
    }
    roster
}

fn seat(config: &Config, name: &WorkerName, worker: &resolved::Worker) -> Option<Seat> {
    let provider = config.providers.get(&worker.provider)?;
    Some(Seat {
        worker: name.clone(),
        provider: worker.provider.clone(),
        slots: worker.slots,
        capability: provider.capability,
        is_protected: worker.protected,
        is_available: provider.is_available,
        lacks: None,
        environment: worker.environment.clone(),
    })
}

/// Passes over workers that cannot work on this machine: their program is not there, or there is no tmux in which
/// they are to be shown.
pub fn look_around(roster: &mut Roster, config: &Config, house: &House) {
    for (name, provider) in &config.providers {
        let Some(program) = absent_program(house, provider) else { continue };
        let lacks = format!("{}; install it, then retry the task", not_there(program));
        let seats = roster.seats.values_mut().filter(|seat| seat.provider == *name);
        seats.for_each(|seat| seat.lacks = Some(lacks.clone()));
        // One whose program was not found has no worker either, unless a file gives it one.
        if let Some(known) = roster.providers.get_mut(name) {
            known.lacks = Some(lacks);
        }
    }
    let Some(lacks) = windows::missing(house, config) else { return };
    for (name, seat) in &mut roster.seats {
        if is_shown(config, name) {
            seat.lacks = Some(lacks.clone());
        }
    }
}

/// Whether one worker could not work on this machine. To look for one is a fraction of [`look_around`].
pub fn lacks_something(roster: &Roster, config: &Config, house: &House, worker: &WorkerName) -> bool {
    let provider = roster.seats.get(worker).and_then(|seat| config.providers.get(&seat.provider));
    provider.is_some_and(|it| absent_program(house, it).is_some())
        || is_shown(config, worker) && windows::missing(house, config).is_some()
}

fn is_shown(config: &Config, worker: &WorkerName) -> bool {
    config.workers.get(worker).is_some_and(|worker| worker.runtime == resolved::Runtime::Tmux)
}

/// Makes room for a worker that no file has, where the groups' patterns place its name.
pub fn admit(roster: &mut Roster, config: &Config, name: &str) {
    let worker = WorkerName::new(name);
    let is_known = roster.seats.contains_key(&worker)
        || roster.groups.contains_key(name)
        || roster.providers.contains_key(&ProviderName::new(name));
    if is_known {
        return;
    }
    let Some(placement) = config.place(name) else { return };
    let Some(provider) = placement.provider else { return };
    let Some(facts) = config.providers.get(&provider) else { return };
    let seat = Seat {
        worker: worker.clone(),
        provider,
        slots: 1,
        capability: facts.capability,
        is_protected: placement.protected,
        is_available: facts.is_available,
        lacks: None,
        environment: None,
    };
    roster.seats.insert(worker.clone(), seat);
    for group in placement.groups {
        if let Some(group) = roster.groups.get_mut(&group) {
            group.members.push(worker.clone());
        }
    }
}

/// A task as the rules look at it.
pub fn wish(task: &Task) -> Wish<'_> {
    Wish {
        text: &task.text,
        target: task.target.as_deref(),
        role: task.role.as_deref(),
        environment: task.environment.as_deref(),
        complexity: task.complexity,
        is_open: task.files.is_empty(),
    }
}

/// What everybody does at this moment, as it is for a plan of that project, or for nobody's task. `live` are the
/// unfinished attempts of all projects, `limits` the providers that get nothing now.
pub fn now(
    tx: &Tx<'_>,
    config: &Config,
    (project, plan): (&ProjectId, Option<&PlanId>),
    live: &[AttemptRow],
    limits: BTreeMap<ProviderName, Limit>,
) -> Result<Now, Error> {
    let mut now = Now { limits, ..Now::default() };
    let is_launched = plan.map(|plan| insisting::is_decided(tx, plan)).transpose()? == Some(true);
    // Who is not to wait for room begins as if others had left theirs, but for what somebody set a limit to: a
    // provider, or a worker who is not a whole provider.
    let stands_aside = |attempt: &AttemptRow| {
        is_launched
            && plan != Some(&attempt.plan)
            && config.providers.get(&attempt.provider).is_some_and(|provider| !provider.is_bounded)
            && attempt.worker.as_str() == attempt.provider.as_str()
    };
    let mine = || live.iter().filter(|attempt| attempt.project == *project);
    for attempt in mine().filter(|attempt| !stands_aside(attempt)) {
        now.loads.entry(attempt.worker.clone()).or_default().busy += 1;
    }
    for attempt in live.iter().filter(|attempt| !stands_aside(attempt)) {
        *now.providers.entry(attempt.provider.clone()).or_default() += 1;
        if attempt.project != *project {
            *now.elsewhere.entry(attempt.provider.clone()).or_default() += 1;
        }
    }
    for turn in tx.turns(project, Time::now())? {
        let load = now.loads.entry(turn.worker).or_default();
        (load.turn, load.today) = (turn.turn, turn.today);
    }
    let sequential: Vec<_> =
        config.groups.iter().filter(|(_, group)| group.strategy == Strategy::Sequential).collect();
    if !sequential.is_empty() {
        // Also what is called off and has not ended yet.
        let ends = mine().map(|it| AtWork {
            plan: it.plan.clone(),
            task: TaskId::text(&it.task),
            worker: it.worker.clone(),
            for_group: None,
            is_between: false,
        });
        let mut held = Vec::new();
        for task in tx.tasks_at_work(project)? {
            let is_own = || plan == Some(&task.plan);
            let has_worker =
                || live.iter().any(|it| it.plan == task.plan && task.task == TaskId::text(&it.task));
            if is_own() || has_worker() || !querying::is_deserted(tx, &task.plan)? {
                held.push(task);
            }
        }
        let (between, at_work): (Vec<_>, Vec<_>) = held.into_iter().partition(|it| it.is_between);
        for AtWork { plan, task, worker, for_group, is_between } in
            at_work.into_iter().chain(ends).chain(between)
        {
            for (name, group) in &sequential {
                // Whoever takes over for its members does the group's task all the same.
                let is_its = for_group.as_ref() == Some(*name)
                    || group.members.contains(&worker)
                    || config.place(worker.as_str()).is_some_and(|it| it.groups.contains(name));
                if is_its {
                    now.taken.entry((*name).clone()).or_insert_with(|| format!("{plan}/{task}"));
                    if is_between {
                        now.between.insert(format!("{plan}/{task}"));
                    }
                }
            }
        }
    }
    for quarantine in tx.quarantines(project, Time::now())? {
        let why = format!("{} until {}: {}", quarantine.worker, quarantine.until, quarantine.reason);
        now.quarantined.insert(quarantine.worker, why);
    }
    let bound: BTreeSet<&str> =
        config.workers.values().filter_map(|worker| worker.environment.as_deref()).gather();
    if !bound.is_empty() {
        let rows = tx.environments(project)?;
        for name in bound {
            note_environment(tx, config, project, &rows, &mut now, (name, Asks::Worker))?;
        }
    }
    let seats = seats_left(tx, config, (project, plan), live, is_launched)?;
    (now.full, now.taken_seats) = match seats {
        Some((pool, why)) => (Some(("slot", why)), Some(pool)),
        None => match insisting::lacking(&config.machine) {
            Some(why) => ((!is_launched).then_some(why), None),
            None => (None, None),
        },
    };
    Ok(now)
}

/// Who asks for an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// A task that is to be done in it, and nowhere else.
    Task,
    /// A worker that is bound to it. As long as there is none it works as others do.
    Worker,
}

/// Notes in `now` why nothing can begin in an environment, as far as the record tells.
pub fn look_at_environment(
    tx: &Tx<'_>,
    config: &Config,
    project: &ProjectId,
    now: &mut Now,
    asked: (&str, Asks),
) -> Result<(), Error> {
    note_environment(tx, config, project, &tx.environments(project)?, now, asked)
}

fn note_environment(
    tx: &Tx<'_>,
    config: &Config,
    project: &ProjectId,
    rows: &[EnvironmentRow],
    now: &mut Now,
    (name, asks): (&str, Asks),
) -> Result<(), Error> {
    let found = rows.iter().find(|row| row.name.eq_ignore_ascii_case(name));
    let why = match found {
        _ if asks == Asks::Worker && (found.is_none() || config.isolation == Isolation::Shared) => None,
        _ if config.isolation == Isolation::Shared => Some(Shut::ForEver(format!(
            "nothing lands from environment {name} while workers share the project's folder; set isolation = \"worktree\" under [project]"
        ))),
        None => Some(Shut::ForEver(format!(
            "there is no environment {name}; kapell env create {name} makes it, then retry the task"
        ))),
        Some(row) if row.stage != Stage::Ready => {
            let doing = if row.stage == Stage::Creating { "made" } else { "removed" };
            Some(Shut::ForNow(format!(
                "{name} is being {doing}; kapell env status {name} tells how far that is"
            )))
        }
        Some(row) => match tx.attempt_in(project, &row.name)? {
            None => None,
            Some(other) => Some(Shut::ForNow(match querying::occupied_by_the_dead(tx, &other)? {
                Some([dead, next]) => format!("{name} {dead}: {next}"),
                None => {
                    let Occupant { worker, plan, task, .. } = other;
                    format!("{worker} works in {name}, at {plan}/{task}")
                }
            })),
        },
    };
    if let Some(why) = why {
        now.shut(name, why);
    }
    Ok(())
}

/// The environment that a task would be done in by a worker.
pub fn environment_of(
    tx: &Tx<'_>,
    config: &Config,
    project: &ProjectId,
    task: &Task,
    seat: &Seat,
) -> Result<Option<String>, Error> {
    if task.environment.is_some() || config.isolation == Isolation::Shared {
        return Ok(task.environment.clone());
    }
    let Some(own) = &seat.environment else { return Ok(None) };
    let rows = tx.environments(project)?;
    Ok(rows.into_iter().map(|row| row.name).find(|name| name.eq_ignore_ascii_case(own)))
}

/// Why there is no seat for a plan: all are taken, or those that are free are left to plans with fewer workers.
fn seats_left(
    tx: &Tx<'_>,
    config: &Config,
    (project, plan): (&ProjectId, Option<&PlanId>),
    live: &[AttemptRow],
    is_launched: bool,
) -> Result<Option<(Pool, String)>, Error> {
    let count = live.iter().filter(|attempt| attempt.project == *project).count();
    // The seat of one that was limited just now is for whoever goes on with it.
    let count = count + plan.map_or(Ok(0), |plan| tx.just_limited(plan))?;
    let pools = [
        (Pool::Project, count, Some(config.max_workers)),
        (Pool::Machine, live.len(), config.machine.max_workers),
    ];
    let working = |plan: &PlanId| live.iter().filter(|attempt| attempt.plan == *plan).count();
    for (pool, taken, most) in pools.into_iter().filter_map(|(pool, taken, most)| Some((pool, taken, most?)))
    {
        // Who is not to wait for room begins as if there were no others.
        if is_launched && plan.is_some_and(|plan| working(plan) < most as usize) {
            continue;
        }
        let free = (most as usize).saturating_sub(taken);
        if free == 0 {
            return Ok(Some(match pool {
                Pool::Project => (pool, busy(taken, most)),
                Pool::Machine => (pool, busy_machine(most)),
            }));
        }
        let Some(plan) = plan else { continue };
        let waits = tx.seat_waits(pool, project)?;
        let own = Share {
            plan: plan.clone(),
            working: working(plan),
            since: waits.iter().find(|wait| wait.plan == *plan).map(|wait| wait.since),
        };
        let mut waiting = Vec::new();
        for wait in waits {
            // One that hangs or died takes no seat.
            let conductor = tx.conductor_of(&wait.plan)?.filter(querying::is_alive);
            if conductor.is_some_and(|it| Time::now().millis_since(it.heartbeat_at) < ATTENTIVE_MS) {
                waiting.push(Share {
                    working: working(&wait.plan),
                    since: Some(wait.since),
                    plan: wait.plan,
                });
            }
        }
        if let Some(other) = share::goes_first(&own, free, &waiting) {
            let why = format!("plan {} waits too, has {} at work, and goes first", other.plan, other.working);
            return Ok(Some((pool, why)));
        }
    }
    Ok(None)
}

/// What is said where a machine has no seat left.
pub fn busy_machine(most: u32) -> String {
    format!("{most} workers run on this machine")
}

/// What is said where a project has no seat left.
pub fn busy(count: usize, most: u32) -> String {
    format!("{count} of {most} workers of this project are busy")
}

/// Lets a task pass whose own turn it is in its group, and one that a task at work in a group lent its files to: that
/// one waits for it.
pub fn let_its_own_pass(tx: &Tx<'_>, now: &mut Now, plan: &PlanId, task: &TaskId) -> Result<(), Error> {
    if now.taken.is_empty() {
        return Ok(());
    }
    now.go_on(&format!("{plan}/{task}"));
    let above: BTreeSet<String> =
        owning::ancestors(tx, plan, task)?.iter().map(|above| format!("{plan}/{above}")).gather();
    now.taken.retain(|_, at| !above.contains(at));
    Ok(())
}

/// Gives a task for `auto` that says no priority that of the route which matches it.
pub fn prioritise(config: &Config, task: &mut Task) {
    if task.target.as_deref().is_none_or(|target| target == "auto") {
        let route = || config.routes.iter().find(|route| route.pattern.is_match(&task.text));
        task.priority = task.priority.or_else(|| route()?.priority);
    }
}

/// Where a task that nobody dispatched would go now.
pub fn explain(
    session: &Session,
    project: &Project,
    config: &Config,
    task: &Task,
) -> Result<Explanation, Error> {
    let mut roster = roster(config);
    if let Some(target) = &task.target {
        admit(&mut roster, config, target);
    }
    look_around(&mut roster, config, &session.house);
    let placed = route::place(&roster, &wish(task));
    let now = session.store()?.read(|tx| -> Result<Now, Error> {
        let live = querying::seated(tx)?;
        let limits = super::conductor::seating::limits(tx, config, |provider| {
            Ok(spending::spent(tx, config, &project.id, provider, task.budget_usd)?.map(Limit::OverBudget))
        })?;
        now(tx, config, (&project.id, None), &live, limits)
    })?;
    let environment = task.environment.as_deref();
    let need = Need { complexity: task.complexity, avoid: &[], out: &[], environment };
    let decision = route::decide(&roster, &now, &placed.pick, need);
    Ok(Explanation { placed, decision, priority: task.priority.unwrap_or_default().0 })
}
