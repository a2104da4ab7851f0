//! What is going on. Nothing here trusts the last thing that was written: whether a process
//! lives is asked of its lock, at that moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::conductor::stages::WAITS_FOR_APPROVAL;
use super::following::{Follower, Interest};
use super::project::Project;
use super::room::Places;
use super::{Error, House, Session, local, spending};

use crate::base::clock::Time;
use crate::base::ids::{AttemptId, PlanId, TaskId};
use crate::base::sorting;
use crate::domain::attempt::{AttemptState, Outcome};
use crate::domain::budget::Standing;
use crate::domain::claim::Held;
use crate::domain::conducting::PlanState;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::schedule;
use crate::domain::task::TaskState;
use crate::store::Tx;
use crate::store::attempts::{AttemptRow, GateRow};
use crate::store::claims::ClaimPage;
use crate::store::conductors::{ConductorRow, RunRow};
use crate::store::events::EventFilter;
use crate::store::fleet::WaitingRow;
use crate::store::health::Quarantine;
use crate::store::money::Cooldown;
use crate::store::plans::{PlanRow, TaskRow};
use crate::sys::config::Config;
use crate::sys::process::life;
use crate::sys::process::tree::{self, Handle, Identity};
use crate::sys::process::vigil::{self, End, Vigil};
use crate::sys::shim::client;

mod attending;
use attending::{
    at_work, is_in_hand, mark_claimed, mark_halted, mark_unattended, orphaned, recount, suspended,
};
pub use attending::{is_deserted, is_unattended, occupied_by_the_dead, seated, set_aside_for_the_dead};
mod standstill;
use standstill::{Standstill, hanging};

/// A wait is at most this long: clients drop calls of a minute.
pub const LONGEST_WAIT: Duration = Duration::from_millis(45_000);

/// A plan with the counts of its tasks.
#[derive(Debug, Clone)]
pub struct PlanView {
    /// Its row.
    pub row: PlanRow,
    /// Where it really is.
    pub state: PlanState,
    /// Why, where that needs saying.
    pub reason: Option<String>,
    /// What keeps its conductor, which lives, from going on.
    pub trouble: Option<String>,
    /// Its conductor, if one lives.
    pub conductor: Option<ConductorRow>,
    /// How many tasks are in each state.
    pub counts: Vec<(TaskState, u64)>,
}

/// A task with its last attempt.
#[derive(Debug, Clone)]
pub struct TaskView {
    /// Its row.
    pub row: TaskRow,
    /// Attempts so far.
    pub attempts: u32,
    /// The last of them.
    pub last: Option<AttemptRow>,
}

/// An attempt with its gates.
#[derive(Debug, Clone)]
pub struct AttemptView {
    /// Its row.
    pub row: AttemptRow,
    /// Where it really is.
    pub state: AttemptState,
    /// What the judge found.
    pub gates: Vec<GateRow>,
    /// The tmux window that shows it, while it is at work.
    pub window: Option<String>,
}

/// Money and limits of one provider.
#[derive(Debug, Clone)]
pub struct BudgetView {
    /// Which.
    pub provider: String,
    /// This month.
    pub spent: Standing,
    /// Today.
    pub today: Standing,
    /// May be spent this month.
    pub limit_usd: Option<f64>,
    /// May be spent today.
    pub day_limit_usd: Option<f64>,
    /// Tokens that may be used today.
    pub day_limit_tokens: Option<u64>,
    /// How much of the limit that is nearest to its end is spent, in hundredths.
    pub percent: Option<u64>,
    /// Why nothing more may begin, in a sentence.
    pub reason: Option<String>,
    /// When the limit that says so begins anew.
    pub resets_at: Option<Time>,
    /// `ok`, `alert`, `over-budget` or `rate-limited`.
    pub state: &'static str,
    /// Why and until when it is left alone.
    pub cooldown: Option<Cooldown>,
}

/// A seat and what it does.
#[derive(Debug, Clone)]
pub struct WorkerView {
    /// Its name.
    pub worker: String,
    /// Its provider.
    pub provider: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Whether it never gets a task.
    pub protected: bool,
    /// Its state's name.
    pub state: &'static str,
    /// Why and until when it gets nothing, since its last attempts failed at once.
    pub quarantine: Option<Quarantine>,
    /// The model that it would ask now, where that is one of this machine.
    pub model: Option<String>,
    /// Why a model of this machine can do nothing now.
    pub away: Option<String>,
    /// `PLAN/TASK` of what it does.
    pub tasks: Vec<String>,
    /// The environment that it works in.
    pub environment: Option<String>,
    /// What its attempts of today cost.
    pub usd_today: f64,
    /// Its standing session, where it was looked for.
    pub standing: Option<super::standing::Standing>,
}

impl PlanView {
    /// Tasks in any of these states.
    pub fn count(&self, states: &[TaskState]) -> u64 {
        self.counts.iter().filter(|(state, _)| states.contains(state)).map(|(_, n)| n).sum()
    }

    /// All tasks.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, n)| n).sum()
    }
}

/// The newest event's number.
pub fn newest(session: &Session) -> Result<i64, Error> {
    Ok(session.store()?.read(|tx| tx.newest_event())?)
}

/// Waits for news about `plan` (about anything in the project if `None`) after event `since`, at
/// most `wait`; also for the end of those who [live](living) now, or did when `known` was taken. `is_final` says
/// that there is nothing to wait for.
pub fn wait_for_news(
    session: &Session,
    interest: Interest,
    since: Option<i64>,
    wait: Duration,
    known: Vec<End>,
    is_final: &mut dyn FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    let deadline = Instant::now() + wait.min(LONGEST_WAIT);
    let mut ends = living(session, interest.plan.as_deref())?;
    ends.extend(known);
    let mut follower = Follower::new(session, interest, since)?;
    if is_final()? {
        return Ok(());
    }
    let has_died = Arc::new(AtomicBool::new(false));
    let (is_told, waker) = (Arc::clone(&has_died), follower.waker());
    let _vigil = keep(ends, move || {
        is_told.store(true, Ordering::Release);
        waker.wake();
    });
    follower.next_unless(Some(deadline), &|| has_died.load(Ordering::Acquire))?;
    Ok(())
}

/// Has `told` called once one of these has ended.
pub fn keep(ends: Vec<End>, told: impl FnOnce() + Send + 'static) -> Option<Vigil> {
    // Without it a wait ends by its time.
    vigil::keep(ends, told).unwrap_or_else(|error| {
        tracing::warn!("the end of a process would not be heard: {error}");
        None
    })
}

/// The ends of those of whom it is told that they live, and whose ends no event tells: the conductors, of that plan
/// or of all, and workers to whom none attends. Whoever looks after this misses no end.
///
/// # Errors
/// The database fails.
pub fn living(session: &Session, plan: Option<&str>) -> Result<Vec<End>, Error> {
    let is_meant = |of: &PlanId| plan.is_none_or(|plan| plan == of.as_str());
    session.store()?.read(|tx| {
        let (mut ends, mut attended) = (Vec::new(), Vec::new());
        for row in tx.conductors(None, false, usize::MAX)? {
            // Taken before it is looked whether it is that process.
            let handle = || Handle::open(row.pid.cast_signed()).ok().flatten();
            if is_meant(&row.plan)
                && let Some(handle) = handle().filter(|_| conducts(&row))
            {
                ends.push(End::Process(handle));
                if hanging(&row).is_none() {
                    attended.push(row.plan);
                }
            }
        }
        let mut live = tx.all_live_attempts()?;
        live.retain(|it| is_meant(&it.plan) && !attended.contains(&it.plan));
        ends.extend(live.iter().filter_map(|it| client::end(Path::new(&it.run_dir))));
        Ok(ends)
    })
}

/// The project's plans, those at work first, at most `limit`.
pub fn plans(session: &Session, project: &Project, limit: usize) -> Result<Vec<PlanView>, Error> {
    settled(
        session,
        |tx| {
            tx.plans(&project.id, limit)?.into_iter().map(|row| plan_view(tx, &session.house, row)).collect()
        },
        |views: &Vec<PlanView>| views.iter().any(has_lost_its_conductor),
    )
}

/// One plan.
pub fn plan(session: &Session, id: &PlanId) -> Result<PlanView, Error> {
    settled(
        session,
        |tx| plan_view(tx, &session.house, tx.plan(id)?.ok_or_else(|| no_such("plan", id.as_str()))?),
        has_lost_its_conductor,
    )
}

/// Reads, and once more where a process was gone that should live by the record: one that ends notes it before
/// it lets go of its lock, so the second reading tells an end from a death.
fn settled<T>(
    session: &Session,
    read: impl Fn(&Tx<'_>) -> Result<T, Error>,
    is_doubtful: impl Fn(&T) -> bool,
) -> Result<T, Error> {
    let found = session.store()?.read(&read)?;
    if is_doubtful(&found) { session.store()?.read(&read) } else { Ok(found) }
}

/// A conductor as it is noted, and whether it lives. One that is gone and did not say so is looked up once more.
///
/// # Errors
/// The database fails.
pub fn settled_conductor(session: &Session, row: ConductorRow) -> Result<(ConductorRow, bool), Error> {
    if conducts(&row) {
        return Ok((row, true));
    }
    let now = match row.state.should_live() {
        true => session.store()?.read(|tx| tx.conductor(&row.id))?,
        false => None,
    };
    Ok((now.unwrap_or(row), false))
}

fn has_lost_its_conductor(view: &PlanView) -> bool {
    view.conductor.is_none() && !view.row.state.is_at_rest()
}

/// The file whose lock tells that a conductor of the plan is being started.
pub(super) fn starting_file(house: &House, plan: &PlanId) -> PathBuf {
    house.life_file(&format!("starting-{plan}"))
}

/// Whether a conductor is being started for a plan.
pub fn is_being_started(house: &House, plan: &PlanId) -> bool {
    life::is_held(&starting_file(house, plan))
}

fn plan_view(tx: &Tx<'_>, house: &House, row: PlanRow) -> Result<PlanView, Error> {
    let mut counts = tx.task_counts(&row.id)?;
    if row.state.is_at_rest() {
        // What it was stopped in the midst of does not go on; while it is being saved, it does.
        let is_open = counts.iter().any(|(state, n)| *n > 0 && is_in_hand(*state));
        let ends_it = if is_open { tx.conductor_of(&row.id)?.filter(conducts) } else { None };
        if is_open && ends_it.is_none() {
            recount(&mut counts, at_work(tx, &row.id)?);
        }
        return Ok(PlanView {
            state: row.state,
            reason: row.reason.clone(),
            trouble: None,
            conductor: ends_it,
            counts,
            row,
        });
    }
    let conductor = tx.conductor_of(&row.id)?.filter(conducts);
    let standstill = conductor.as_ref().map(|it| Standstill::of(tx, house, it)).transpose()?.flatten();
    if let Some(standstill) = &standstill {
        // Whoever ended since then is still recorded as being at work.
        standstill.recount(&mut counts, at_work(tx, &row.id)?);
    }
    let trouble = standstill.as_ref().map(|it| it.why.clone());
    if standstill.is_some_and(|it| it.is_lack) {
        let reason = trouble.clone();
        return Ok(PlanView { state: row.state, reason, trouble, conductor, counts, row });
    }
    // A run in which a person is to approve needs nobody until then.
    let is_asking = row.state == PlanState::Paused
        && row.reason.as_ref().is_some_and(|why| why.starts_with(WAITS_FOR_APPROVAL));
    let (state, reason) = match &conductor {
        None if is_asking => (row.state, row.reason.clone()),
        Some(conductor) => {
            let odd = || match is_unlocked(conductor) {
                true => Some(without_lock(conductor)),
                false => hanging(conductor),
            };
            (row.state, row.reason.clone().or_else(odd))
        }
        None if is_being_started(house, &row.id) => {
            (row.state, Some("its conductor is being started".to_owned()))
        }
        None => {
            let at_work = at_work(tx, &row.id)?;
            recount(&mut counts, at_work);
            let reason = orphaned(at_work, suspended(tx, &row.id)?);
            (if at_work == 0 { PlanState::Stopped } else { row.state }, Some(reason))
        }
    };
    Ok(PlanView { state, reason, trouble, conductor, counts, row })
}

/// Whether a conductor lives: its lock is asked, not its row. The locks of a killed process are let go by the
/// last of its threads, a moment after it has become a zombie.
pub fn is_alive(row: &ConductorRow) -> bool {
    row.state.should_live() && life::is_held(Path::new(&row.alive)) && has_process(row)
}

/// Whether a conductor's very process lives although nobody holds its lock: the lock's file was removed. It conducts
/// until another takes the plan over, or makes the file again.
pub fn is_unlocked(row: &ConductorRow) -> bool {
    row.state.should_live() && !life::is_held(Path::new(&row.alive)) && is_itself(row)
}

/// Whether a conductor's process is surely that one, and runs.
pub(super) fn is_itself(row: &ConductorRow) -> bool {
    let (pid, start_time) = (row.pid.cast_signed(), row.start_time);
    let process = Identity { pid, start_time, boot_id: row.boot_id.clone() };
    start_time != 0 && has_process(row) && process.is_same()
}

/// Whether somebody conducts: with the plan's lock, or without where that was removed.
pub fn conducts(row: &ConductorRow) -> bool {
    is_alive(row) || is_unlocked(row)
}

/// What is said of a conductor whose lock's file was removed.
pub fn without_lock(row: &ConductorRow) -> String {
    format!(
        "the lock file of its conductor (process {}) was removed: it makes it again within 10 s; kapell resume {} has \
         another take over at once",
        row.pid, row.plan
    )
}

/// Whether a conductor's process runs, by its number and its start. Where processes cannot be identified the
/// lock alone has the word.
pub(super) fn has_process(row: &ConductorRow) -> bool {
    row.start_time == 0 || tree::is_running(row.pid.cast_signed(), row.start_time)
}

/// Where an attempt really is.
pub fn attempt_state(row: &AttemptRow) -> AttemptState {
    let run_dir = Path::new(&row.run_dir);
    match row.state {
        AttemptState::Finished(_) => row.state,
        state if client::is_alive(run_dir) => match state {
            AttemptState::Starting => AttemptState::Running,
            other => other,
        },
        _ if !client::was_started(run_dir) => AttemptState::Starting,
        // It has ended; its conductor has yet to record how.
        _ if client::has_ended(run_dir) => AttemptState::Stopping,
        _ => AttemptState::Finished(Outcome::Interrupted),
    }
}

/// A page of a plan's tasks, from `after` (exclusive) in their order.
pub fn tasks(session: &Session, plan: &PlanId, after: i64, limit: usize) -> Result<Vec<TaskView>, Error> {
    let project = session.project()?;
    session.store()?.read(|tx| {
        let conductor = tx.conductor_of(plan)?.filter(conducts);
        let is_conducted = conductor.is_some();
        let standstill = conductor.map(|it| Standstill::of(tx, &session.house, &it)).transpose()?.flatten();
        let of = tx.plan(plan)?;
        tx.tasks(plan, after, limit)?
            .into_iter()
            .map(|mut row| {
                if let Some(of) = &of {
                    mark_halted(&mut row, of, is_conducted);
                }
                mark_claimed(tx, (&session.house, &project), plan, &mut row)?;
                let mut attempts = tx.attempts_at(plan, &row.id)?;
                let (count, last) = (attempts.len() as u32, attempts.pop());
                match &standstill {
                    _ if !is_conducted => mark_unattended(&mut row, last.as_ref()),
                    Some(standstill) => standstill.mark(&mut row, last.as_ref()),
                    None => {}
                }
                Ok(TaskView { attempts: count, last, row })
            })
            .collect()
    })
}

/// One task with all its attempts.
pub fn task(session: &Session, plan: &PlanId, id: &TaskId) -> Result<(TaskRow, Vec<AttemptView>), Error> {
    let project = session.project()?;
    session.store()?.read(|tx| {
        let mut row = tx.task(plan, id)?.ok_or_else(|| no_such("task", &format!("{plan}/{id}")))?;
        let attempts = tx.attempts_at(plan, id)?;
        let conductor = tx.conductor_of(plan)?.filter(conducts);
        if let Some(of) = tx.plan(plan)? {
            mark_halted(&mut row, &of, conductor.is_some());
        }
        mark_claimed(tx, (&session.house, &project), plan, &mut row)?;
        match conductor {
            None => mark_unattended(&mut row, attempts.last()),
            Some(conductor) => {
                if let Some(standstill) = Standstill::of(tx, &session.house, &conductor)? {
                    standstill.mark(&mut row, attempts.last());
                }
            }
        }
        let attempts = attempts.into_iter().map(|row| attempt_view(tx, row));
        Ok((row, attempts.collect::<Result<_, Error>>()?))
    })
}

/// One attempt.
pub fn attempt(session: &Session, id: &AttemptId) -> Result<AttemptView, Error> {
    session.store()?.read(|tx| {
        let row = tx.attempt(id)?.ok_or_else(|| no_such("attempt", id.as_str()))?;
        attempt_view(tx, row)
    })
}

/// One attempt of this project.
pub fn attempt_here(session: &Session, id: &AttemptId) -> Result<AttemptView, Error> {
    let project = session.project()?.id;
    let view = attempt(session, id)?;
    if view.row.project == project { Ok(view) } else { Err(no_such("attempt", id.as_str())) }
}

fn attempt_view(tx: &Tx<'_>, row: AttemptRow) -> Result<AttemptView, Error> {
    Ok(AttemptView { state: attempt_state(&row), gates: tx.gates(&row.id)?, window: None, row })
}

/// A page of the project's live claims, with whether each holder is proved to live.
pub fn claims(
    session: &Session,
    project: &Project,
    page: ClaimPage,
) -> Result<Vec<(Held, Option<bool>)>, Error> {
    let now = Time::now();
    let mut found = Vec::new();
    let mut after = page.after;
    loop {
        let rest = ClaimPage { after, limit: page.limit - found.len() };
        let held = session.store()?.read(|tx| tx.live_claims(&project.id, rest))?;
        let is_last = held.len() < rest.limit;
        after = held.last().map_or(after, |claim| claim.id.0);
        for claim in held {
            let alive = claim.alive.as_deref().map(life::holds);
            // What ran out and has no living holder is free, though nobody has needed it since.
            if claim.expires_at > now || alive == Some(true) {
                found.push((claim, alive));
            }
        }
        if is_last || found.len() >= page.limit {
            return Ok(found);
        }
    }
}

/// How many claims of the project are live.
pub fn count_claims(session: &Session, project: &Project) -> Result<u64, Error> {
    let (all, over) = session.store()?.read(|tx| -> Result<_, Error> {
        Ok((tx.count_claims(&project.id)?, tx.expired_lives(&project.id, Time::now())?))
    })?;
    let free = over.iter().filter(|alive| !alive.as_deref().is_some_and(life::holds)).count();
    Ok(all.saturating_sub(free as u64))
}

/// The number of the newest event about claims of the project: it grows with each change of them.
pub fn newest_claim_event(session: &Session, project: &Project) -> Result<i64, Error> {
    let filter = EventFilter { project: Some(&project.id), kind: Some("claim."), ..EventFilter::default() };
    let newest = session.store()?.read(|tx| tx.newest_events(&filter, 1))?;
    Ok(newest.first().map_or(0, |event| event.seq))
}

/// The registry: conductors that have not ended, with `ended` the newest others too.
pub fn conductors(
    session: &Session,
    project: Option<&Project>,
    ended: bool,
    limit: usize,
) -> Result<Vec<(ConductorRow, Option<String>)>, Error> {
    session.store()?.read(|tx| {
        tx.conductors(project.map(|project| &project.id), ended, limit)?
            .into_iter()
            .map(|row| {
                let place = tx.project(&row.project)?.map(|(place, top)| top.unwrap_or(place));
                Ok((row, place))
            })
            .collect()
    })
}

/// Money and limits of the providers that are limited in any way or were ever used.
pub fn budget(session: &Session, config: &Config) -> Result<Vec<BudgetView>, Error> {
    let now = Time::now();
    session.store()?.read(|tx| {
        let cooldowns = tx.cooldowns(now)?;
        let mut names = tx.providers_used()?;
        names.extend(
            config
                .providers
                .iter()
                .filter(|(_, provider)| {
                    let budget = &provider.budget;
                    budget.usd_per_month.is_some()
                        || budget.usd_per_day.is_some()
                        || budget.tokens_per_day.is_some()
                })
                .map(|(name, _)| name.clone()),
        );
        names.extend(cooldowns.iter().map(|cooldown| cooldown.provider.clone()));
        sorting::sort(&mut names);
        names.dedup();
        let mut views = Vec::new();
        for name in names {
            let budget = config.providers.get(&name).map(|provider| provider.budget).unwrap_or_default();
            let stands = spending::stands(tx, config, &name, now)?;
            let full = spending::full(tx, config, &name, &stands)?;
            let cooldown = cooldowns.iter().find(|cooldown| cooldown.provider == name).cloned();
            let state = match full {
                _ if cooldown.is_some() => "rate-limited",
                Some(_) => "over-budget",
                None if stands.iter().any(|stand| stand.line.is_alarming(config.failover.alert_at)) => {
                    "alert"
                }
                None => "ok",
            };
            let percents =
                stands.iter().map(|stand| stand.line.spent.saturating_mul(100) / stand.line.limit.max(1));
            let (reason, resets_at) = full.unzip();
            views.push(BudgetView {
                spent: tx.standing(&name, now.start_of_month(), now.next_month())?,
                today: tx.standing(&name, now.start_of_day(), now.next_day())?,
                limit_usd: budget.usd_per_month,
                day_limit_usd: budget.usd_per_day,
                day_limit_tokens: budget.tokens_per_day,
                percent: percents.max(),
                reason,
                resets_at: resets_at.flatten(),
                provider: name.to_string(),
                state,
                cooldown,
            });
        }
        Ok(views)
    })
}

/// The seats of the project and what they do.
pub fn workers(
    session: &Session,
    project: &Project,
    config: &Config,
    budget: &[BudgetView],
) -> Result<Vec<WorkerView>, Error> {
    let now = Time::now();
    let lack = Places { root: &session.house.root, place: Some(&project.place) }.lacking();
    let (live, did, quarantines) = session.store()?.read(|tx| -> Result<_, Error> {
        let did = tx.done_since(&project.id, now.start_of_day())?;
        let mut live = Vec::new();
        for attempt in tx.all_live_attempts()?.into_iter().filter(|attempt| attempt.project == project.id) {
            let state = match attempt_state(&attempt) {
                // How it ended will be recorded by nobody.
                AttemptState::Stopping if is_unattended(tx, &attempt)? => {
                    AttemptState::Finished(Outcome::Interrupted)
                }
                // Nor can it be recorded, or begin, where there is no room.
                AttemptState::Stopping | AttemptState::Starting
                    if lack.is_some() && !client::is_alive(Path::new(&attempt.run_dir)) =>
                {
                    AttemptState::Finished(Outcome::Interrupted)
                }
                state => state,
            };
            live.push((attempt, state));
        }
        Ok((live, did, tx.quarantines(&project.id, now)?))
    })?;
    Ok(config
        .workers
        .iter()
        .map(|(name, worker)| {
            let mine = || live.iter().filter(|(attempt, _)| attempt.worker == *name);
            let tasks: Vec<String> =
                mine().map(|(attempt, _)| format!("{}/{}", attempt.plan, attempt.task)).collect();
            let states: Vec<AttemptState> = mine().map(|(_, state)| *state).collect();
            let are_all = |is: fn(&AttemptState) -> bool| !states.is_empty() && states.iter().all(is);
            let quarantine = quarantines.iter().find(|it| it.worker == *name).cloned();
            let money =
                budget.iter().find(|view| view.provider == worker.provider.as_str()).map(|view| view.state);
            let facts = config.providers.get(&worker.provider);
            let is_there = facts.is_some_and(|provider| provider.is_available);
            // A model of this machine is there while its server is.
            let local = facts.and_then(|provider| local::glimpse(&session.house, provider));
            let (model, away) = match local {
                Some(Ok(model)) => (model, None),
                Some(Err(why)) => (None, Some(why)),
                None => (None, None),
            };
            let are_over = are_all(|state| matches!(state, AttemptState::Finished(_)));
            let away = match &lack {
                Some(lack) if are_over => Some(format!("nobody works on its task: {lack}; {}", lack.next)),
                _ => away,
            };
            let state = match money {
                _ if are_all(|state| *state == AttemptState::Paused) => "stopped",
                // Its process is gone, and nobody has recorded how.
                _ if are_over => "unhealthy",
                _ if quarantine.is_some() => "unhealthy",
                _ if !tasks.is_empty() => "busy",
                Some(limited @ ("rate-limited" | "over-budget")) => limited,
                _ if !is_there || away.is_some() => "unhealthy",
                _ => "idle",
            };
            WorkerView {
                worker: name.to_string(),
                provider: worker.provider.to_string(),
                groups: worker.groups.iter().cloned().collect(),
                protected: worker.protected,
                state,
                quarantine,
                model,
                away,
                tasks,
                environment: worker.environment.clone(),
                usd_today: did.iter().find(|did| did.worker == *name).map_or(0.0, |did| did.usd),
                standing: None,
            }
        })
        .collect())
}

/// A task that waits to be started.
#[derive(Debug, Clone)]
pub struct QueuedView {
    /// Its row.
    pub row: WaitingRow,
    /// Why: `dependency`, `claim`, `slot`, …
    pub reason: String,
    /// For what or whom.
    pub on: String,
    /// When it should have started at the latest; none for what waits for other tasks.
    pub deadline: Option<Time>,
}

impl QueuedView {
    /// Whether its deadline is past.
    pub fn is_missed(&self, now: Time) -> bool {
        self.deadline.is_some_and(|deadline| deadline < now)
    }
}

/// The reason of what waits in a paused plan, and what to do about it.
pub fn paused(plan: &PlanId) -> (String, String) {
    ("paused".to_owned(), format!("kapell resume {plan} lets it go on"))
}

/// The same of a plan whose conductor died.
fn stopped(plan: &PlanId) -> (String, String) {
    ("stopped".to_owned(), format!("kapell resume {plan} goes on"))
}

/// What waits to be started, in the order in which it will be taken: a page of it.
pub fn queue(
    session: &Session,
    project: &Project,
    after: usize,
    limit: usize,
) -> Result<Vec<QueuedView>, Error> {
    let now = Time::now();
    let (rows, deserted) = session.store()?.read(|tx| -> Result<_, Error> {
        let rows = tx.queue(&project.id, now, schedule::AGEING_MS, after, limit)?;
        let (mut seen, mut deserted) = (Vec::new(), Vec::new());
        for row in &rows {
            if !seen.contains(&row.plan) {
                seen.push(row.plan.clone());
                if is_deserted(tx, &row.plan)? && !is_being_started(&session.house, &row.plan) {
                    deserted.push(row.plan.clone());
                }
            }
        }
        Ok((rows, deserted))
    })?;
    let view = |row: WaitingRow| {
        let said = row.reason.as_deref().and_then(|reason| reason.split_once(": "));
        let owned = |(reason, on): (&str, &str)| (reason.to_owned(), on.to_owned());
        let (reason, on) = match (row.state, said) {
            (TaskState::Ready, Some(said @ ("budget", _))) => owned(said),
            _ if row.is_paused => paused(&row.plan),
            _ if deserted.contains(&row.plan) => stopped(&row.plan),
            (TaskState::Waiting, _) if row.depends => owned(("dependency", "what it depends on")),
            (TaskState::Ready, Some(said)) => owned(said),
            (TaskState::Rejected, _) => owned(("slot", "its next try")),
            _ => owned(("slot", "its turn")),
        };
        let patience = schedule::patience_ms(row.priority);
        let deadline = Time::from_millis(row.since.as_millis().saturating_add(patience));
        QueuedView { reason, on, deadline: (row.state != TaskState::Waiting).then_some(deadline), row }
    };
    Ok(rows.into_iter().map(view).collect())
}

/// How many tasks wait past their deadline.
pub fn count_missed(session: &Session, project: &Project) -> Result<u64, Error> {
    let missed =
        session.store()?.read(|tx| tx.count_missed(&project.id, Time::now(), &schedule::DEADLINES))?;
    Ok(missed)
}

/// Tasks that go on once a person has done something in an environment, and what; at most `most`.
pub fn needing_a_person(session: &Session, project: &Project, most: u32) -> Result<Vec<String>, Error> {
    Ok(session.store()?.read(|tx| tx.needing_a_person(&project.id, most))?)
}

/// A run, as `dispatch` or `judge` answered with it.
pub fn run(session: &Session, id: &str) -> Result<RunRow, Error> {
    session.store()?.read(|tx| tx.run(id))?.ok_or_else(|| no_such("run", id))
}

/// When it began, and when it ended, where it has.
pub fn run_times(session: &Session, id: &str) -> Result<(Time, Option<Time>), Error> {
    session.store()?.read(|tx| tx.run_times(id))?.ok_or_else(|| no_such("run", id))
}

/// That there is nothing of that kind with that id.
pub(super) fn no_such(what: &str, id: &str) -> Error {
    Refusal::new(
        Code::NotFound,
        format!("there is no {what} {id}"),
        "status without an id shows what there is",
    )
    .into()
}

/// Whether a process holds the lock of that file.
pub fn is_held(file: &str) -> bool {
    life::is_held(Path::new(file))
}
