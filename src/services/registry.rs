//! The registry of conductors, over all projects of this person: what it tells, and what an id in it means.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::project::Project;
use super::querying::{self, PlanView};
use super::steering::{self, Action, Asked, Done};
use super::{Error, Session};
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, ConductorId, PlanId, ProjectId, WorkerName};
use crate::domain::conducting::{self, ConductorState};
use crate::domain::refusal::{Code, Refusal};
use crate::store::Tx;
use crate::store::conductors::ConductorRow;

/// So many that begin alike are named.
const NAMED: usize = 5;
/// What means the plans of all projects.
pub const EVERYWHERE: &str = "all-projects";

/// A conductor with what is known of it now.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its row.
    pub row: ConductorRow,
    /// Its project's folder.
    pub place: Option<String>,
    /// Where it really is.
    pub state: ConductorState,
    /// Whether it lives and was heard of a short time ago.
    pub is_fresh: bool,
    /// Why it is not fresh though it should live, or what else is odd about it.
    pub note: Option<String>,
    /// Its plan, with the counts of its tasks.
    pub plan: Option<PlanView>,
    /// While it waits for room: its place in its project's queue, from 1.
    pub position: Option<u64>,
}

/// A page of the registry: conductors that have not ended, with `ended` the others too, newest first.
///
/// # Errors
/// The database fails.
pub fn entries(session: &Session, ended: bool, after: usize, limit: usize) -> Result<Vec<Entry>, Error> {
    let rows = querying::conductors(session, None, ended, after.saturating_add(limit))?;
    let entries = rows.into_iter().skip(after).map(|(row, place)| entry(session, row, place));
    let mut entries = entries.collect::<Result<Vec<_>, Error>>()?;
    for at in 0..entries.len() {
        if entries[at].state == ConductorState::Queued {
            entries[at].position = Some(place_in_queue(session, &entries[at].row)?);
        }
    }
    Ok(entries)
}

/// Who came first begins first.
fn place_in_queue(session: &Session, row: &ConductorRow) -> Result<u64, Error> {
    let live = session.store()?.read(|tx| tx.conductors(Some(&row.project), false, 10_000))?;
    let is_before = |other: &&ConductorRow| {
        other.state == ConductorState::Queued
            && (other.started_at, &other.id) < (row.started_at, &row.id)
            && querying::is_alive(other)
    };
    Ok(live.iter().filter(is_before).count() as u64 + 1)
}

fn entry(session: &Session, row: ConductorRow, place: Option<String>) -> Result<Entry, Error> {
    let is_alive = querying::is_alive(&row);
    let plan = match querying::plan(session, &row.plan) {
        Ok(plan) => Some(plan),
        Err(Error::Refused(_)) => None,
        Err(error) => return Err(error),
    };
    // Asked before the row would be looked at again: what it says of itself is as old as it.
    let state = conducting::where_it_is(row.state, is_alive, plan.as_ref().map(|plan| plan.row.state));
    let silent_ms = Time::now().millis_since(row.heartbeat_at);
    let (is_fresh, note) = match is_alive {
        true => {
            let odd = conducting::why_stale(silent_ms);
            (odd.is_none(), odd)
        }
        false if row.state.should_live() => {
            (false, Some(format!("its process {} is gone; kapell resume {} goes on", row.pid, row.plan)))
        }
        false => (false, None),
    };
    Ok(Entry { row, place, state, is_fresh, note, plan, position: None })
}

/// What an id means, and whose it is.
#[derive(Debug, Clone)]
pub struct Meant {
    /// A session in its project.
    pub session: Session,
    /// That project.
    pub project: Project,
    /// Its whole id.
    pub id: String,
}

/// What `text` means: the id of a plan, task, attempt or conductor, or the beginning of that of one plan or
/// conductor; of this project, or else of another of this person's. A conductor means its plan. What is not
/// known is given back as it is, and whoever wants it says so.
///
/// # Errors
/// Several begin so, or the folder of its project is gone.
pub fn meant(session: &Session, project: &Project, text: &str) -> Result<Meant, Error> {
    let here = || Meant { session: session.clone(), project: project.clone(), id: text.to_owned() };
    // A worker sees no other project, and knows the ids of its own.
    if session.caller.attempt.is_some() || matches!(text, "" | "all" | EVERYWHERE) {
        return Ok(here());
    }
    let (head, task) = match text.split_once('/') {
        Some((head, task)) => (head, Some(task)),
        None => (text, None),
    };
    let found = session.store()?.read(|tx| look_up(tx, &project.id, head, task.is_some()))?;
    let Some((owner, id)) = found else { return Ok(here()) };
    let id = match task {
        Some(task) => format!("{id}/{task}"),
        None => id,
    };
    let (session, project) = inside(session, project, &owner)?;
    Ok(Meant { session, project, id })
}

/// The project and the whole id; `None` for what is to be looked up as it is, or is not known.
fn look_up(
    tx: &Tx<'_>,
    here: &ProjectId,
    text: &str,
    is_plan: bool,
) -> Result<Option<(ProjectId, String)>, Error> {
    if !is_plan {
        if let Some(attempt) = tx.attempt(&AttemptId::new(text))? {
            return Ok(Some((attempt.project, text.to_owned())));
        }
        if let Some(conductor) = tx.conductor(&ConductorId::new(text))? {
            return Ok(Some((conductor.project, conductor.plan.to_string())));
        }
    }
    if let Some(plan) = tx.plan(&PlanId::new(text))? {
        return Ok(Some((plan.project, text.to_owned())));
    }
    // A name of this project's own goes before any beginning.
    let worker = WorkerName::new(text);
    let is_worker = || -> Result<bool, Error> {
        let quarantined = tx.quarantines(here, Time::now())?.into_iter().any(|it| it.worker == worker);
        Ok(quarantined || tx.all_live_attempts()?.iter().any(|it| it.worker == worker && it.project == *here))
    };
    if !tx.plans_called(here, text)?.is_empty() || is_worker()? {
        return Ok(None);
    }
    for project in [Some(here), None] {
        let mut plans: BTreeMap<String, ProjectId> = BTreeMap::new();
        for plan in tx.plans_beginning(project, text, NAMED + 1)? {
            plans.insert(plan.id.to_string(), plan.project);
        }
        for conductor in tx.conductors_beginning(project, text, NAMED + 1)? {
            plans.insert(conductor.plan.to_string(), conductor.project);
        }
        if plans.len() > 1 {
            let more = if plans.len() > NAMED { ", …" } else { "" };
            let names: Vec<&str> = plans.keys().take(NAMED).map(String::as_str).collect();
            return Err(Refusal::new(
                Code::NotFound,
                format!("{text} is the beginning of more than one: {}{more}", names.join(", ")),
                "type more of it",
            )
            .into());
        }
        if let Some((plan, owner)) = plans.into_iter().next() {
            return Ok(Some((owner, plan)));
        }
    }
    Ok(None)
}

/// A session in another project of this person's.
fn inside(session: &Session, project: &Project, owner: &ProjectId) -> Result<(Session, Project), Error> {
    if *owner == project.id {
        return Ok((session.clone(), project.clone()));
    }
    let place = session.store()?.read(|tx| tx.project(owner))?;
    let folder = place.map(|(place, top)| PathBuf::from(top.unwrap_or(place))).unwrap_or_default();
    let other = match folder.is_dir() {
        true => Some(Project::of(&folder)?).filter(|other| other.id == *owner),
        false => None,
    };
    let Some(other) = other else {
        return Err(Refusal::new(
            Code::NotFound,
            format!("it belongs to the project {owner}, which is not at {} any more", folder.display()),
            "move the project back; its work is kept under refs/kapell in its repository",
        )
        .into());
    };
    Ok((Session { folder, ..session.clone() }, other))
}

/// Steers the plans at work of all projects of this person. What cannot be done for one keeps back no other.
///
/// # Errors
/// It was refused or failed for one of them; the others were steered.
pub fn everywhere(
    session: &Session,
    project: &Project,
    action: Action,
    asked: &Asked<'_>,
) -> Result<Done, Error> {
    if !matches!(action, Action::Pause | Action::Resume | Action::Stop | Action::Launch) {
        return Err(Refusal::new(
            Code::Usage,
            "the plans of all projects can be paused, resumed, stopped or launched, and nothing else",
            "name one plan, task or attempt",
        )
        .into());
    }
    let plans = session.store()?.read(|tx| tx.plans_at_work())?;
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for plan in plans {
        let steered = inside(session, project, &plan.project).and_then(|(session, project)| {
            steering::control(&session, &project, action, plan.id.as_str(), asked)
        });
        match steered {
            Ok(_) => done.push(plan.id.to_string()),
            Err(error) => refused.push((plan.id.to_string(), error)),
        }
    }
    let noun = if done.len() == 1 { "plan" } else { "plans" };
    let names = if done.is_empty() { String::new() } else { format!(": {}", done.join(", ")) };
    let message = format!("{} {noun}{names}", done.len());
    if refused.is_empty() {
        return Ok(Done { state: "done".to_owned(), message });
    }
    let told: Vec<String> = refused.iter().map(|(plan, error)| format!("{plan}: {error}")).collect();
    Err(Refusal::new(
        Code::Conflict,
        format!("not done for {}; done for {message}", told.join("; ")),
        "kapell list shows what still runs",
    )
    .into())
}
