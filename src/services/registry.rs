//! The registry of conductors, over all projects of this person: what it tells, and what an id in it means.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::project::Project;
use super::querying::{self, PlanView};
use super::steering::{self, Action, Asked, Done};
use super::{Error, Session, admitting};
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, ConductorId, PlanId, ProjectId, WorkerName};
use crate::domain::conducting::{self, ConductorState};
use crate::domain::refusal::{Code, Refusal};
use crate::store::Tx;
use crate::store::conductors::ConductorRow;
use crate::store::plans::PlanRow;

/// So many that begin alike are named.
const NAMED: usize = 5;
/// A conductor that does not answer within this does not say how far it is.
const ANSWERS_WITHIN: Duration = Duration::from_millis(200);
/// No answer is longer.
const LONGEST_ANSWER: u64 = 64 << 10;
/// So often it is looked whether anything began while others were steered.
const MOST_LOOKS: usize = 20;
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
    /// The working tree that it was started in, where that is another one.
    pub worktree: Option<String>,
    /// Whether it lives and was heard of a short time ago.
    pub is_fresh: bool,
    /// Why it is not fresh though it should live, or what else is odd about it.
    pub note: Option<String>,
    /// Its plan, with the counts of its tasks.
    pub plan: Option<PlanView>,
    /// While it waits for room: its place in its project's queue, from 1.
    pub position: Option<u64>,
    /// What the machine lacks for its next worker; the note says more.
    pub lacks: Option<&'static str>,
}

/// A page of the registry: conductors that have not ended, with `ended` the others too, newest first.
///
/// # Errors
/// The database fails.
pub fn entries(session: &Session, ended: bool, after: usize, limit: usize) -> Result<Vec<Entry>, Error> {
    let rows = querying::conductors(session, None, ended, after.saturating_add(limit))?;
    let entries = rows.into_iter().skip(after).map(|(row, place)| entry(session, row, place));
    let mut entries = entries.collect::<Result<Vec<_>, Error>>()?;
    // One that died, whose plan somebody ended since, has ended too; only that it cannot say so.
    let is_over = |it: &Entry| {
        let is_at_rest = it.plan.as_ref().is_some_and(|plan| plan.row.state.is_at_rest());
        it.state == ConductorState::Crashed && is_at_rest
    };
    entries.retain(|entry| ended || !is_over(entry));
    for entry in &mut entries {
        if entry.state == ConductorState::Queued {
            entry.position = Some(admitting::place_in_queue(session, &entry.row)?);
        }
        if entry.state == ConductorState::Running
            && entry.note.is_none()
            && let Some(plan) = &entry.plan
            && let Some((what, why)) = admitting::kept_back(session, plan)?
        {
            let id = &plan.row.id;
            entry.note = Some(format!("{why}; kapell control launch {id} begins all the same"));
            entry.lacks = Some(what);
        }
    }
    Ok(entries)
}

fn entry(session: &Session, row: ConductorRow, place: Option<String>) -> Result<Entry, Error> {
    let (row, is_alive) = querying::settled_conductor(session, row)?;
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
            let unlocked = querying::is_unlocked(&row).then(|| querying::without_lock(&row));
            let odd = unlocked.or_else(|| conducting::why_stale(silent_ms));
            (odd.is_none(), odd.or_else(|| without_socket(&row)))
        }
        false if row.state.should_live() => {
            (false, Some(format!("its process {} is gone; kapell resume {} goes on", row.pid, row.plan)))
        }
        false => (false, None),
    };
    let worktree =
        if is_alive { folder_of(&row).filter(|folder| Some(folder) != place.as_ref()) } else { None };
    Ok(Entry { row, place, worktree, state, is_fresh, note, plan, position: None, lacks: None })
}

/// The folder that a conductor was started in and stays in, where the system tells.
fn folder_of(row: &ConductorRow) -> Option<String> {
    std::fs::read_link(format!("/proc/{}/cwd", row.pid)).ok()?.into_os_string().into_string().ok()
}

/// Where a conductor can be spoken to, if it can be.
pub fn socket(row: &ConductorRow) -> Option<&str> {
    let is_socket =
        |path: &&str| std::fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket());
    row.socket.as_deref().filter(|_| row.state.should_live()).filter(is_socket)
}

/// What is said of a conductor at whose socket nobody can speak to it.
fn without_socket(row: &ConductorRow) -> Option<String> {
    let socket = row.socket.as_deref()?;
    let what = match std::fs::symlink_metadata(socket) {
        Ok(there) if there.file_type().is_socket() => return None,
        Ok(there) if there.is_dir() => "a folder lies in the place of its socket",
        Ok(_) => "something else lies in the place of its socket",
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Some(format!("its socket {socket} was removed; it makes it again within 10 s"));
        }
        Err(_) => return None,
    };
    Some(format!("{what}, {socket}: move it away, and the socket is there within 10 s"))
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
    if text.starts_with('/') {
        let next = "PLAN_ID/TASK_ID names a task; kapell list shows the plans";
        return Err(Refusal::new(Code::Usage, "no plan is named before the /", next).into());
    }
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
        let cooled = tx.cooldowns(Time::now())?.into_iter().any(|it| it.provider.as_str() == text);
        Ok(quarantined
            || cooled
            || tx.all_live_attempts()?.iter().any(|it| it.worker == worker && it.project == *here))
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
    // To stop some takes as long as others need to begin: it is looked again until nothing new is at work.
    let looks = if matches!(action, Action::Stop | Action::Pause) { MOST_LOOKS } else { 1 };
    let (mut done, mut refused, mut late) = (Vec::new(), Vec::new(), 0);
    let mut seen = BTreeSet::new();
    for look in 0..looks {
        let mut plans = at_work(session, action)?;
        plans.retain(|plan| seen.insert(plan.id.to_string()));
        if plans.is_empty() {
            break;
        }
        for plan in plans {
            let steered = inside(session, project, &plan.project).and_then(|(session, project)| {
                steering::control(&session, &project, action, plan.id.as_str(), asked)
            });
            match steered {
                Ok(_) => {
                    late += usize::from(look > 0);
                    done.push(plan.id.to_string());
                }
                Err(_) if steering::is_through(session, action, &plan.id)? => {}
                Err(error) => refused.push((plan.id.to_string(), error)),
            }
        }
    }
    let noun = if done.len() == 1 { "plan" } else { "plans" };
    let begun = if late == 0 { String::new() } else { format!(", {late} of them begun meanwhile") };
    let names = if done.is_empty() { String::new() } else { format!(": {}", done.join(", ")) };
    let message = format!("{} {noun}{begun}{names}", done.len());
    if refused.is_empty() {
        return Ok(Done { state: "done".to_owned(), message, ..Done::default() });
    }
    let told: Vec<String> = refused.iter().map(|(plan, error)| format!("{plan}: {error}")).collect();
    Err(Refusal::new(
        Code::Conflict,
        format!("not done for {}; done for {message}", told.join("; ")),
        "kapell list shows what still runs",
    )
    .into())
}

/// The plans that an action on all is about now.
fn at_work(session: &Session, action: Action) -> Result<Vec<PlanRow>, Error> {
    let mut plans = session.store()?.read(|tx| -> Result<_, Error> {
        let mut plans = Vec::new();
        for plan in tx.plans_at_work()? {
            if !is_left_behind(tx, &plan)? {
                plans.push(plan);
            }
        }
        Ok(plans)
    })?;
    if action == Action::Stop {
        for conductor in session.store()?.read(|tx| tx.conductors(None, false, 10_000))? {
            if let Some(plan) = session.store()?.read(|tx| tx.plan(&conductor.plan))?
                && steering::is_stopping(session, &plan)?
            {
                plans.push(plan);
            }
        }
    }
    Ok(plans)
}

/// Whether nothing of a plan lives, and its project is not there: nobody can steer it, and it does nothing.
fn is_left_behind(tx: &Tx<'_>, plan: &PlanRow) -> Result<bool, Error> {
    let place = tx.project(&plan.project)?;
    if place.is_none_or(|(place, _)| Path::new(&place).exists())
        || tx.conductor_of(&plan.id)?.is_some_and(|it| querying::is_alive(&it))
    {
        return Ok(false);
    }
    for attempt in tx.live_attempts(&plan.id)? {
        if !querying::is_unattended(tx, &attempt)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How many scheduling passes a conductor has made, asked at its socket; `None` where it does not answer at
/// once, or somebody else does.
pub fn passes(socket: &Path) -> Option<u64> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN)).ok()?;
    stream.set_write_timeout(Some(ANSWERS_WITHIN)).ok()?;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"conductor.status"}"#;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (_, json) = answer.split_once("\r\n\r\n")?;
    let answer: serde_json::Value = serde_json::from_str(json).ok()?;
    answer.get("result")?.get("iteration")?.as_u64()
}
