//! What dashboards read beside the methods: lists and sums for one page, and what attempts left.

use crate::base::sorting::Gather as _;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::status::{self, views};
use crate::api::ApiError;
use crate::api::wire::{
    DiffRead, DirectoriesRead, DirectoryCounts, EnvironmentStatus, EvidenceRead, GroupRead, GroupsRead,
    LogRead, MultiEnvRead, Overview, PlansRead, ProjectLine, ProjectsRead, Scope, ServiceCounts, ServiceRead,
    ServicesRead, StatusBody, StatusParams, WorkerCounts, WorkerStatus,
};
use crate::base::clock::Time;
use crate::base::sorting;
use crate::services::{Error, Session, querying, reading, registry};
use crate::sys::config::resolved::Strategy;

/// An answer for a page has at most so many bytes.
pub const MOST_BYTES: usize = 1 << 20;
/// As much of a diff is shown on a page.
const MOST_DIFF: usize = 1 << 20;
/// Plans that are listed unless told.
const PLANS: u32 = 50;
/// Items of a page at most.
const LARGEST_PAGE: u32 = 500;

/// The plans of a project.
pub fn plans(session: &Session, limit: Option<u32>) -> Result<PlansRead, ApiError> {
    let limit = limit.unwrap_or(PLANS).clamp(1, LARGEST_PAGE) as usize;
    let views = querying::plans(session, &session.project()?, limit)?;
    let plans = views.iter().map(|view| views::placed_line(session, view)).collect::<Result<Vec<_>, _>>()?;
    Ok(PlansRead { seq: querying::newest(session)?, plans })
}

/// The projects of this person.
pub fn projects(session: &Session) -> Result<ProjectsRead, ApiError> {
    let current = session.project()?;
    let known = session.store()?.read(|tx| tx.projects()).map_err(Error::from)?;
    let mut projects: Vec<ProjectLine> = known
        .into_iter()
        .map(|(id, place, top)| ProjectLine { id: id.to_string(), folder: top.unwrap_or(place) })
        .collect();
    let current = current.id.to_string();
    if projects.iter().all(|project| project.id != current) {
        let folder = session.folder.to_string_lossy().into_owned();
        projects.insert(0, ProjectLine { id: current.clone(), folder });
    }
    Ok(ProjectsRead { current, projects })
}

/// A part of an attempt's log, waiting for more where that is wanted.
pub fn log(session: &Session, id: &str, offset: u64, wait_ms: u64) -> Result<LogRead, ApiError> {
    let wait = Duration::from_millis(wait_ms).min(querying::LONGEST_WAIT);
    // As far as a file reaches.
    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
    let part = reading::attempt_log_after(session, id, offset, Instant::now() + wait)?;
    Ok(LogRead { attempt: id.to_owned(), text: part.text, next: part.next, ended: part.ended })
}

/// What an attempt changed.
pub fn diff(session: &Session, id: &str) -> Result<DiffRead, ApiError> {
    let diff = reading::attempt_diff_up_to(session, id, MOST_DIFF)?;
    Ok(DiffRead { attempt: id.to_owned(), diff })
}

/// What a gate saw.
pub fn evidence(session: &Session, id: &str, gate: &str) -> Result<EvidenceRead, ApiError> {
    let evidence = reading::evidence(session, id, gate)?;
    Ok(EvidenceRead { attempt: id.to_owned(), gate: gate.to_owned(), evidence })
}

/// All environments in a few numbers.
pub fn multi_env(session: &Session) -> Result<MultiEnvRead, ApiError> {
    let project = session.project()?;
    let all = super::environments::all(session)?;
    let params = StatusParams { scope: Scope::Overview, ..StatusParams::default() };
    let answer = status::answer(session, &params, MOST_BYTES)?;
    let StatusBody::Overview(Overview { workers, claims, warnings, .. }) = answer.body else {
        return Err(ApiError::bug("the overview is something else"));
    };
    // A broken configuration is among the warnings already.
    let sessions = seats(session).unwrap_or_default().iter().filter(|seat| seat.session.is_some()).count();
    let (directories, environments) = counted(&all);
    Ok(MultiEnvRead {
        seq: answer.seq,
        project: project.id.to_string(),
        folder: session.folder.to_string_lossy().into_owned(),
        directories,
        environments,
        sessions: sessions as u64,
        workers,
        claims,
        warnings,
    })
}

fn counted(all: &[EnvironmentStatus]) -> (DirectoryCounts, ServiceCounts) {
    let mut directories = DirectoryCounts::default();
    let mut services = ServiceCounts::default();
    for environment in all {
        directories.total += 1;
        directories.dirty += u64::from(environment.dirty);
        match environment.state.as_str() {
            "ready" => directories.ready += 1,
            _ => directories.other += 1,
        }
        for sub in &environment.subs {
            services.total += 1;
            match sub.state.as_str() {
                "running" => services.running += 1,
                "crashed" => services.crashed += 1,
                _ => services.stopped += 1,
            }
        }
    }
    (directories, services)
}

/// The checkouts.
pub fn directories(session: &Session) -> Result<DirectoriesRead, ApiError> {
    Ok(DirectoriesRead { directories: super::environments::all(session)? })
}

/// The sub-environments of all checkouts.
pub fn services(session: &Session) -> Result<ServicesRead, ApiError> {
    let mut environments = Vec::new();
    for EnvironmentStatus { name, branch, worker, subs, .. } in super::environments::all(session)? {
        environments.extend(subs.into_iter().map(|service| ServiceRead {
            directory: name.clone(),
            branch: branch.clone(),
            worker: worker.clone(),
            service,
        }));
    }
    Ok(ServicesRead { environments })
}

/// The groups of workers, those that review first.
pub fn groups(session: &Session) -> Result<GroupsRead, ApiError> {
    let config = session.config_at_work(&session.project()?)?;
    let mut members: BTreeMap<String, Vec<WorkerStatus>> =
        config.groups.keys().map(|name| (name.clone(), Vec::new())).gather();
    for seat in seats(session)? {
        for group in &seat.groups {
            members.entry(group.clone()).or_default().push(seat.clone());
        }
    }
    let mut groups: Vec<GroupRead> = members
        .into_iter()
        .map(|(name, workers)| {
            let is_of =
                |text: &str| text.contains("review") || text.starts_with("pr_") || text.starts_with("pr-");
            let mut providers: Vec<String> = workers.iter().map(|seat| seat.provider.clone()).collect();
            sorting::sort(&mut providers);
            providers.dedup();
            GroupRead {
                strategy: config.groups.get(&name).map(|group| strategy(group.strategy).to_owned()),
                reviews: is_of(&name) || workers.iter().any(|seat| is_of(&seat.worker)),
                providers,
                counts: by_state(&workers),
                name,
                workers,
            }
        })
        .collect();
    sorting::sort_by(&mut groups, |a, b| (!a.reviews, &a.name).cmp(&(!b.reviews, &b.name)));
    Ok(GroupsRead { groups })
}

fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::RoundRobin => "round-robin",
        Strategy::LeastLoaded => "least-loaded",
        Strategy::Sequential => "sequential",
    }
}

fn by_state(workers: &[WorkerStatus]) -> WorkerCounts {
    let count = |is: &dyn Fn(&str) -> bool| workers.iter().filter(|seat| is(&seat.state)).count() as u64;
    WorkerCounts {
        busy: count(&|state| state == "busy"),
        idle: count(&|state| state == "idle"),
        unhealthy: count(&|state| matches!(state, "unhealthy" | "rate-limited" | "over-budget")),
    }
}

/// All seats, page after page.
fn seats(session: &Session) -> Result<Vec<WorkerStatus>, ApiError> {
    let mut params =
        StatusParams { scope: Scope::Workers, limit: Some(LARGEST_PAGE), ..StatusParams::default() };
    let mut all = Vec::new();
    loop {
        let answer = status::answer(session, &params, MOST_BYTES)?;
        let StatusBody::Workers { workers, .. } = answer.body else {
            return Err(ApiError::bug("the workers are something else"));
        };
        all.extend(workers);
        match answer.next_cursor {
            Some(cursor) => params.cursor = Some(cursor),
            None => return Ok(all),
        }
    }
}

/// A few honest figures, for whoever draws curves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Conductors that have not ended, of all projects, by state.
    pub conductors: BTreeMap<String, u64>,
    /// Tasks of the project by state.
    pub tasks: BTreeMap<&'static str, u64>,
    /// Workers of the project by state.
    pub workers: BTreeMap<String, u64>,
    /// Live claims of the project.
    pub claims: u64,
    /// Spent today (UTC), by all projects of this person.
    pub usd_today: f64,
    /// The newest event's number.
    pub seq: i64,
}

/// Conductors that are counted at most.
const MOST_CONDUCTORS: usize = 1000;

/// The figures of now.
pub fn figures(session: &Session) -> Result<Figures, ApiError> {
    let project = session.project()?;
    let now = Time::now();
    let (tasks, today, seq) = session.store()?.read(|tx| -> Result<_, Error> {
        let today = tx.spent_between(now.start_of_day(), now.next_day())?;
        Ok((tx.task_counts_of_project(&project.id)?, today, tx.newest_event()?))
    })?;
    let mut figures = Figures {
        tasks: tasks.into_iter().map(|(state, n)| (state.as_str(), n)).gather(),
        claims: querying::count_claims(session, &project)?,
        usd_today: today.usd(),
        seq,
        ..Figures::default()
    };
    for entry in registry::entries(session, false, 0, MOST_CONDUCTORS)? {
        *figures.conductors.entry(entry.state.as_str().to_owned()).or_default() += 1;
    }
    // A broken configuration hides its workers, and nothing else.
    for seat in seats(session).unwrap_or_default() {
        *figures.workers.entry(seat.state).or_default() += 1;
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::SubEnvironmentStatus;

    #[test]
    fn checkouts_and_services_are_counted_by_how_they_are() {
        let service = |state: &str| SubEnvironmentStatus { state: state.to_owned(), ..Default::default() };
        let of = |state: &str, dirty, subs: &[&str]| EnvironmentStatus {
            state: state.to_owned(),
            dirty,
            subs: subs.iter().map(|state| service(state)).collect(),
            ..Default::default()
        };
        let all = [
            of("ready", false, &["running", "stopped"]),
            of("ready", true, &["crashed"]),
            of("missing", false, &[]),
        ];
        let (directories, services) = counted(&all);
        assert_eq!(directories, DirectoryCounts { total: 3, ready: 2, dirty: 1, other: 1 });
        assert_eq!(services, ServiceCounts { total: 3, running: 1, stopped: 1, crashed: 1 });
    }
}
