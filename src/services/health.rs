//! How everything is: each worker, what it shows of life, and what all of them need.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::diagnosing::{self, Check, Outcome};
use super::planning::rows::stored_plan;
use super::project::Project;
use super::querying::{self, BudgetView, WorkerView};
use super::room::{Lack, Places};
use super::{Error, Session};
use crate::base::clock::Time;
use crate::base::ids::{ProviderName, TaskId, WorkerName};
use crate::domain::attempt::AttemptState;
use crate::domain::conducting;
use crate::domain::health::{Memory, Patience, is_work};
use crate::store::attempts::AttemptRow;
use crate::store::health::{Quarantine, Vitals};
use crate::sys::config::Config;
use crate::sys::config::resolved::Machine;
use crate::sys::memory;
use crate::sys::process::tree::Processes;
use crate::sys::shim::client;
use crate::sys::shim::job::Request;

/// Whoever is silent for this long is told of, though nothing is wrong yet.
const QUIET: Duration = Duration::from_secs(60);

/// What is thought of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works, or could.
    Ok,
    /// It has shown no life for a while.
    Quiet,
    /// It has shown no life for too long.
    Stuck,
    /// Its last attempts failed at once, and it gets none for a while.
    Quarantined,
    /// Its process is gone, and nobody has recorded how.
    Gone,
    /// Its program was not found.
    Unavailable,
    /// Its provider refuses work, or its money is spent.
    Limited,
}

impl Verdict {
    /// The word for scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Quiet => "quiet",
            Self::Stuck => "stuck",
            Self::Quarantined => "quarantined",
            Self::Gone => "gone",
            Self::Unavailable => "unavailable",
            Self::Limited => "limited",
        }
    }

    /// Whether somebody should look.
    pub fn is_wrong(self) -> bool {
        matches!(self, Self::Stuck | Self::Quarantined | Self::Gone | Self::Unavailable)
    }
}

/// A worker, or one of its attempts where it is at some, and how it is.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerHealth {
    /// Its name.
    pub worker: String,
    /// Its provider.
    pub provider: String,
    /// Its state's name.
    pub state: &'static str,
    /// What is thought of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Option<String>,
    /// `PLAN/TASK` of what it does.
    pub task: Option<String>,
    /// The attempt.
    pub attempt: Option<String>,
    /// Since when it does that, or gets nothing.
    pub since: Option<Time>,
    /// Until when it gets nothing.
    pub until: Option<Time>,
    /// When it printed something last.
    pub last_output: Option<Time>,
    /// Processor time of all its processes.
    pub cpu: Option<Duration>,
    /// The tool that it used last, and when.
    pub tool: Option<(String, Option<Time>)>,
    /// When it was nudged in the silence that it is in.
    pub nudged_at: Option<Time>,
}

/// How everything is.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What all workers need.
    pub checks: Vec<Check>,
    /// The workers, those of the configuration first.
    pub workers: Vec<WorkerHealth>,
}

impl Report {
    /// Whether nobody has to look.
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.outcome != Outcome::Fail)
            && self.workers.iter().all(|worker| !worker.verdict.is_wrong())
    }
}

/// When a run printed something last; `None` if it never did.
pub fn last_output(run_dir: &Path) -> Option<Time> {
    let printed = ["stdout", "stderr"].into_iter().filter_map(|name| {
        let file = run_dir.join(name).metadata().ok().filter(|file| file.len() > 0)?;
        let since = file.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok().map(Time::from_millis)
    });
    printed.max()
}

/// Why no worker may start for want of memory, if so.
pub fn short_of_memory(machine: &Machine) -> Option<String> {
    machine.memory().refuses(&memory::read())
}

/// Why no worker may start for want of processors, if so.
pub fn short_of_processors(machine: &Machine) -> Option<String> {
    let (most, load) = (machine.max_load?, memory::load()?);
    (load >= most).then(|| format!("the load of the last minute is {load:.1} (limit {most})"))
}

/// Looks at everything.
pub fn report(session: &Session, project: &Project, config: &Config) -> Result<Report, Error> {
    let budget = querying::budget(session, config)?;
    let seats = querying::workers(session, project, config, &budget)?;
    Ok(Report {
        checks: checks(session, project, config)?,
        workers: workers(session, project, config, &seats, &budget)?,
    })
}

fn checks(session: &Session, project: &Project, config: &Config) -> Result<Vec<Check>, Error> {
    let store = session.store()?;
    let faults = store.soundness()?;
    let mut checks = vec![match faults.is_empty() {
        true => Check::ok("store", format!("{} is sound", store.path().display())),
        false => Check::fail(
            "store",
            format!("{} is damaged: {}", store.path().display(), faults.join("; ")),
            "move the file away and put a backup in its place; nothing was changed",
        ),
    }];
    checks.push(diagnosing::space("state disk", &session.house.root));
    if let Some(top) = &project.top {
        checks.push(diagnosing::space("project disk", top));
    }
    checks.push(memory_check(config, &memory::read()));
    checks.push(conductors(session, project)?);
    Ok(checks)
}

fn memory_check(config: &Config, memory: &Memory) -> Check {
    const NAME: &str = "memory";
    if let Some(why) = config.machine.memory().refuses(memory) {
        let next = "no worker starts until this is over; what runs goes on. [machine] in the person's file has the limits";
        return Check::fail(NAME, why, next);
    }
    let mebibytes = |bytes: u64| bytes >> 20;
    let mut found = Vec::new();
    found.extend(
        memory.machine.map(|room| format!("{} of {} MiB are free", mebibytes(room.free), mebibytes(room.of))),
    );
    found.extend(memory.group.map(|room| {
        format!("{} of {} MiB of the control group's limit", mebibytes(room.free), mebibytes(room.of))
    }));
    found.extend(memory.pressure.map(|pressure| format!("programs wait for it {pressure:.0} % of the time")));
    Check::ok(
        NAME,
        if found.is_empty() { "the system tells nothing of it".to_owned() } else { found.join(", ") },
    )
}

fn conductors(session: &Session, project: &Project) -> Result<Check, Error> {
    const NAME: &str = "conductors";
    let now = Time::now();
    let (mut running, mut stale, mut dead) = (0, Vec::new(), Vec::new());
    for (row, _) in querying::conductors(session, Some(project), false, 1000)? {
        let (row, is_alive) = querying::settled_conductor(session, row)?;
        if row.state.should_live() && !is_alive {
            dead.push(row.plan.to_string());
        } else if !is_alive {
            // It ended by itself since it was listed.
        } else if now.millis_since(row.heartbeat_at) >= conducting::STALE_MS {
            stale.push(format!("{} (plan {}), not heard of since {}", row.id, row.plan, row.heartbeat_at));
        } else {
            running += 1;
        }
    }
    if !dead.is_empty() {
        let found = format!("the conductor of {} died", dead.join(", "));
        return Ok(Check::fail(NAME, found, format!("kapell dispatch --plan-id {} goes on", dead[0])));
    }
    if !stale.is_empty() {
        return Ok(Check::warn(
            NAME,
            stale.join("; "),
            "the machine was suspended or is overloaded, else kapell stop ends it",
        ));
    }
    Ok(Check::ok(
        NAME,
        match running {
            0 => "none runs".to_owned(),
            1 => "1 runs, and says so every 10 s".to_owned(),
            n => format!("{n} run, and say so every 10 s"),
        },
    ))
}

/// What is recorded of an attempt, besides its row.
struct Recorded {
    row: AttemptRow,
    vitals: Option<Vitals>,
    patience: Patience,
}

fn workers(
    session: &Session,
    project: &Project,
    config: &Config,
    seats: &[WorkerView],
    budget: &[BudgetView],
) -> Result<Vec<WorkerHealth>, Error> {
    let now = Time::now();
    let (recorded, quarantines) = session.store()?.read(|tx| -> Result<_, Error> {
        let mut recorded: BTreeMap<WorkerName, Vec<Recorded>> = BTreeMap::new();
        for row in tx.all_live_attempts()?.into_iter().filter(|row| row.project == project.id) {
            let vitals = tx.vitals(&row.id)?;
            let plan = tx.plan(&row.plan)?;
            let task = tx.task(&row.plan, &TaskId::text(&row.task))?;
            // Rules of the task come before those of the plan, and those before the configuration's.
            let said = match (&plan, task) {
                (Some(plan), Some(task)) => {
                    let pace = plan.pace;
                    let plan = stored_plan(plan, &[task])?;
                    let own = plan.tasks.first().and_then(|task| task.rules.stuck_after_s);
                    pace.stuck_after_s.or(own).or(plan.rules.stuck_after_s)
                }
                _ => None,
            };
            let stuck_after = said.or(config.rules.stuck_after_s).map_or(Duration::MAX, Duration::from_secs);
            let patience = Patience { stuck_after, look: config.health.look };
            recorded.entry(row.worker.clone()).or_default().push(Recorded { row, vitals, patience });
        }
        Ok((recorded, tx.quarantines(&project.id, now)?))
    })?;
    let mut recorded = recorded;
    // Read once for all of them.
    let processes = if recorded.is_empty() { Processes::default() } else { Processes::read() };
    let lack = Places { root: &session.house.root, place: Some(&project.place) }.lacking();
    let mut all = Vec::new();
    for seat in seats {
        let attempts = recorded.remove(&WorkerName::new(seat.worker.clone())).unwrap_or_default();
        let quarantine = quarantines.iter().find(|it| it.worker.as_str() == seat.worker);
        if attempts.is_empty() {
            all.push(idle(seat, quarantine, budget));
        }
        all.extend(attempts.iter().map(|it| at_work(it, quarantine, lack.as_ref(), &processes, now)));
    }
    // Standing workers that no file names.
    for attempt in recorded.values().flatten() {
        let quarantine = quarantines.iter().find(|it| it.worker == attempt.row.worker);
        all.push(at_work(attempt, quarantine, lack.as_ref(), &processes, now));
    }
    let is_seen = |worker: &WorkerName| all.iter().any(|seen: &WorkerHealth| seen.worker == worker.as_str());
    let unseen: Vec<&Quarantine> = quarantines.iter().filter(|it| !is_seen(&it.worker)).collect();
    for quarantine in unseen {
        let worker = quarantine.worker.as_str();
        let provider = config.place(worker).and_then(|place| place.provider);
        let provider = provider.as_ref().map_or("", ProviderName::as_str).to_owned();
        let nobody = WorkerHealth { provider, ..blank(worker, "", "unhealthy") };
        all.push(quarantined(nobody, quarantine));
    }
    Ok(all)
}

fn blank(worker: &str, provider: &str, state: &'static str) -> WorkerHealth {
    WorkerHealth {
        worker: worker.to_owned(),
        provider: provider.to_owned(),
        state,
        verdict: Verdict::Ok,
        reason: None,
        task: None,
        attempt: None,
        since: None,
        until: None,
        last_output: None,
        cpu: None,
        tool: None,
        nudged_at: None,
    }
}

fn quarantined(health: WorkerHealth, quarantine: &Quarantine) -> WorkerHealth {
    WorkerHealth {
        verdict: Verdict::Quarantined,
        reason: Some(quarantine.reason.clone()),
        since: Some(quarantine.since),
        until: Some(quarantine.until),
        ..health
    }
}

fn idle(seat: &WorkerView, quarantine: Option<&Quarantine>, budget: &[BudgetView]) -> WorkerHealth {
    let health = blank(&seat.worker, &seat.provider, seat.state);
    if let Some(quarantine) = quarantine {
        return quarantined(health, quarantine);
    }
    match seat.state {
        "rate-limited" | "over-budget" => {
            let money = budget.iter().find(|view| view.provider == seat.provider);
            let cooldown = money.and_then(|view| view.cooldown.as_ref());
            WorkerHealth {
                verdict: Verdict::Limited,
                reason: cooldown
                    .map(|it| it.reason.clone())
                    .or_else(|| money.and_then(|view| view.reason.clone())),
                until: cooldown.map(|it| it.until).or_else(|| money.and_then(|view| view.resets_at)),
                ..health
            }
        }
        "unhealthy" => WorkerHealth {
            verdict: Verdict::Unavailable,
            reason: seat
                .away
                .clone()
                .or_else(|| Some(format!("the program of {} was not found", seat.provider))),
            ..health
        },
        _ => health,
    }
}

/// One attempt, asked of its processes and files now.
fn at_work(
    recorded: &Recorded,
    quarantine: Option<&Quarantine>,
    lack: Option<&Lack>,
    processes: &Processes,
    now: Time,
) -> WorkerHealth {
    let row = &recorded.row;
    let run_dir = Path::new(&row.run_dir);
    let state = querying::attempt_state(row);
    let shim =
        client::send(run_dir, Request::State).ok().and_then(|reply| reply.state).map(|state| state.shim);
    let cpu = shim.filter(|shim| processes.contains(*shim)).map(|shim| processes.cpu_time(shim));
    let vitals = recorded.vitals.as_ref();
    let health = WorkerHealth {
        task: Some(format!("{}/{}", row.plan, row.task)),
        attempt: Some(row.id.to_string()),
        since: Some(row.started_at),
        last_output: last_output(run_dir),
        cpu,
        tool: vitals.and_then(|vitals| Some((vitals.tool.clone()?, vitals.tool_at))),
        nudged_at: vitals.and_then(|vitals| vitals.nudged_at),
        ..blank(row.worker.as_str(), row.provider.as_str(), "busy")
    };
    let lack = match state {
        AttemptState::Starting | AttemptState::Stopping if !client::is_alive(run_dir) => lack,
        _ => None,
    };
    if let Some(lack) = lack {
        let reason = Some(format!("nobody works on its task: {lack}; {}", lack.next));
        return WorkerHealth { state: "unhealthy", verdict: Verdict::Gone, reason, ..health };
    }
    match state {
        AttemptState::Finished(_) => {
            return WorkerHealth {
                state: "unhealthy",
                verdict: Verdict::Gone,
                reason: Some(format!(
                    "its process is gone, and nobody has recorded how; kapell dispatch --plan-id {} goes on",
                    row.plan
                )),
                ..health
            };
        }
        AttemptState::Paused => {
            return WorkerHealth { state: "stopped", reason: Some("it is suspended".to_owned()), ..health };
        }
        AttemptState::Starting | AttemptState::Stopping | AttemptState::Running => {}
    }
    let (verdict, reason) = alive(&health, vitals, recorded.patience, now);
    let health = WorkerHealth { verdict, reason, ..health };
    match quarantine {
        // What it began before goes on.
        Some(quarantine) if !verdict.is_wrong() => quarantined(health, quarantine),
        _ => health,
    }
}

/// What an attempt's signs of life come to.
fn alive(
    health: &WorkerHealth,
    vitals: Option<&Vitals>,
    patience: Patience,
    now: Time,
) -> (Verdict, Option<String>) {
    let length = |from: Time| Duration::from_millis(now.millis_since(from).max(0).unsigned_abs());
    if let (Some(vitals), Some(cpu)) = (vitals, health.cpu) {
        let since = cpu.saturating_sub(Duration::from_millis(vitals.cpu_ms));
        if vitals.cpu_ms > 0 && is_work(since, length(vitals.looked_at)) {
            return (Verdict::Ok, None);
        }
    }
    let seen = [health.since, health.last_output, vitals.map(|vitals| vitals.alive_at)];
    let last = seen.into_iter().flatten().max().unwrap_or(now);
    if health.cpu.is_some_and(|cpu| vitals.is_none() && is_work(cpu, length(last))) {
        return (Verdict::Ok, None);
    }
    let silent = length(last);
    let why = format!("no output and no work for {} s", silent.as_secs());
    if let Some(nudged) = health.nudged_at.filter(|nudged| *nudged >= last) {
        let (ago, look) = (length(nudged), patience.between_looks());
        let when = match look.saturating_sub(ago).as_secs() {
            0 => "at the next look".to_owned(),
            left => format!("in {left} s"),
        };
        let why = format!("{why}; nudged {} s ago, and stopped {when} unless it shows life", ago.as_secs());
        return (Verdict::Stuck, Some(why));
    }
    if silent >= patience.stuck_after {
        return (Verdict::Stuck, Some(why));
    }
    if silent >= QUIET.min(patience.stuck_after / 2) {
        return (Verdict::Quiet, Some(why));
    }
    (Verdict::Ok, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::AttemptId;

    #[test]
    fn a_silent_worker_is_quiet_then_stuck() {
        let at = |seconds: i64| Time::from_seconds(1_000_000 + seconds);
        let patience = Patience { stuck_after: Duration::from_secs(300), look: Duration::from_secs(100) };
        let vitals = |alive: i64, cpu_ms: u64, nudged: Option<i64>| Vitals {
            attempt: AttemptId::new("a"),
            looked_at: at(0),
            alive_at: at(alive),
            cpu_ms,
            tool: None,
            tool_at: None,
            nudged_at: nudged.map(at),
        };
        let s = Duration::from_secs;
        // Now, output at, cpu in seconds, what was recorded.
        let table = [
            (10, None, None, None, Verdict::Ok),
            (59, None, None, None, Verdict::Ok),
            (60, None, None, None, Verdict::Quiet),
            (200, Some(150), None, None, Verdict::Ok),
            (300, None, None, None, Verdict::Stuck),
            (300, None, Some(6), None, Verdict::Ok),
            (300, None, Some(5), None, Verdict::Stuck),
            (300, None, None, Some(vitals(290, 0, None)), Verdict::Ok),
            (300, None, Some(9), Some(vitals(0, 2_000, None)), Verdict::Ok),
            (300, None, Some(7), Some(vitals(0, 2_000, None)), Verdict::Stuck),
            (330, None, None, Some(vitals(0, 0, Some(300))), Verdict::Stuck),
            (400, None, None, Some(vitals(0, 0, Some(300))), Verdict::Stuck),
            (330, Some(320), None, Some(vitals(0, 0, Some(300))), Verdict::Ok),
        ];
        for (now, output, cpu, vitals, expected) in table {
            let nudged = vitals.as_ref().and_then(|vitals| vitals.nudged_at);
            let health = WorkerHealth {
                since: Some(at(0)),
                last_output: output.map(at),
                cpu: cpu.map(s),
                nudged_at: nudged,
                ..blank("w", "p", "busy")
            };
            let (verdict, why) = alive(&health, vitals.as_ref(), patience, at(now));
            assert_eq!(verdict, expected, "{now} {output:?} {cpu:?} {vitals:?}: {why:?}");
            assert_eq!(why.is_some(), verdict != Verdict::Ok);
            // Whoever is due is not stopped "in 0 s" at every look.
            if nudged.is_some() && verdict == Verdict::Stuck {
                let when = if now < 400 { "in 70 s" } else { "at the next look" };
                let why = why.unwrap();
                assert!(why.ends_with(&format!("and stopped {when} unless it shows life")), "{why}");
            }
        }
    }
}
