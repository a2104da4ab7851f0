//! What a worker does from inside its wall: it keeps what it has so far, tells what it found, lets
//! go of what it claimed, and delegates part of its claim. Who asks is told by its shim.

use serde_json::{Map, Value, json};

use super::claiming::Which;
use super::conductor::desk::Desk;
use super::conductor::saving::{self, Saved};
use super::dispatching::{self, Dispatched};
use super::planning::{self, rows};
use super::project::Project;
use super::{Error, Session, admitting, ground, lending, owning};
use crate::base::ids::{AttemptId, ConductorId, HolderName, TaskId, random_tail};
use crate::base::sorting;
use crate::domain::attempt::AttemptState;
use crate::domain::claim::Held;
use crate::domain::delegation::{self, Parent};
use crate::domain::overlap::overlap_of;
use crate::domain::pattern::Pattern;
use crate::domain::plan::Task;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::task::TaskState;
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::store::conductors::RunRow;
use crate::store::events::NewEvent;
use crate::store::plans::NewTask;
use crate::sys::shim::client;
use crate::sys::shim::job::Request;

/// A finding's text, in characters: it goes into the event log, which everybody reads.
pub(super) const LONGEST_FINDING: usize = 2000;
/// Files that a finding may name.
pub(super) const MOST_FILES: usize = 50;

/// The attempt that calls. Everybody else is refused.
pub fn attempt(session: &Session) -> Result<AttemptId, Refusal> {
    session.caller.attempt.as_ref().map(AttemptId::new).ok_or_else(|| {
        Refusal::new(
            Code::NotAllowed,
            "only a worker asks this, from inside its attempt",
            "status, judge and control look at attempts from outside",
        )
    })
}

/// The attempt's row, while its worker is at work: one that has ended owns no more than it did then.
pub fn live(tx: &Tx<'_>, id: &AttemptId) -> Result<AttemptRow, Error> {
    match tx.attempt(id)? {
        Some(row) if !matches!(row.state, AttemptState::Finished(_)) => Ok(row),
        Some(_) => Err(Refusal::new(
            Code::StaleClaim,
            format!("attempt {id} has ended"),
            "what it left is saved; a new attempt at the task goes on from there",
        )
        .into()),
        None => {
            Err(Refusal::new(Code::NotFound, format!("there is no attempt {id}"), "status shows them").into())
        }
    }
}

/// Saves the worker's tree as it is now under its attempt's ref, and tells what of it would not land.
pub fn checkpoint(session: &Session, project: &Project) -> Result<Saved, Error> {
    let id = attempt(session)?;
    let (row, _, saved) = snapshot(session, project, &id)?;
    let paths = |paths: &mut dyn Iterator<Item = String>| json!(paths.collect::<Vec<_>>()).to_string();
    let changed = paths(&mut saved.snapshot.changed.iter().map(|change| change.path.to_string()));
    let outside = paths(&mut saved.outside.iter().map(|(path, _)| path.to_string()));
    session.store()?.write(|tx| -> Result<(), Error> {
        // Its end was recorded meanwhile, with the tree as it was then.
        live(tx, &id)?;
        tx.set_snapshot(
            &id,
            Some(&saved.snapshot.reference),
            saved.snapshot.commit.as_str(),
            &changed,
            &outside,
        )?;
        tell(
            tx,
            &row,
            "attempt.checkpoint",
            format!("task {}: {} paths saved", row.task, saved.snapshot.changed.len()),
            None,
        )
    })?;
    Ok(saved)
}

/// The tree as it is now, with the task as the attempt owns it.
fn snapshot(
    session: &Session,
    project: &Project,
    id: &AttemptId,
) -> Result<(AttemptRow, Task, Saved), Error> {
    let store = session.store()?;
    let row = store.read(|tx| live(tx, id))?;
    let config = session.config_at_work(project)?;
    let git = ground::git(&session.house, project)?;
    let fencing = store.read(|tx| tx.fencing(&row.plan))?;
    let desk = Desk::new(
        session.clone(),
        project.clone(),
        config,
        git,
        row.plan.clone(),
        ConductorId::new("c-worker"),
        fencing,
    )?;
    let task = desk.task(&TaskId::text(&row.task))?;
    let (task, lent) = store.read(|tx| -> Result<_, Error> {
        Ok((owning::task_of(tx, &row, task)?, owning::lent(tx, &row.plan, &TaskId::text(&row.task))?))
    })?;
    let saved = saving::save(&desk, &row, &task, &lent)?.ok_or_else(|| {
        Refusal::new(
            Code::NotFound,
            format!("the working tree of attempt {id} is gone"),
            "end; the next attempt gets a new one",
        )
    })?;
    Ok((row, task, saved))
}

/// Something that a worker found on its way, for whoever reads the events.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What.
    pub text: String,
    /// Where.
    pub files: Vec<String>,
    /// How bad: `high`, `medium`, `low`.
    pub severity: Option<String>,
}

/// Records a finding and gives the event's number.
pub fn report(session: &Session, finding: &Finding) -> Result<i64, Error> {
    let id = attempt(session)?;
    let text: String = finding.text.trim().chars().take(LONGEST_FINDING).collect();
    if text.is_empty() {
        return Err(
            Refusal::new(Code::Usage, "a finding needs a text", "say what was found, and where").into()
        );
    }
    let files: Vec<&String> = finding.files.iter().take(MOST_FILES).collect();
    let data = json!({"files": files, "severity": finding.severity}).to_string();
    session.store()?.write(|tx| -> Result<i64, Error> {
        let row = live(tx, &id)?;
        tell(tx, &row, "attempt.finding", text, Some(data))?;
        Ok(tx.newest_event()?)
    })
}

fn tell(
    tx: &Tx<'_>,
    row: &AttemptRow,
    kind: &'static str,
    text: String,
    data: Option<String>,
) -> Result<(), Error> {
    tx.append_event(
        &row.project,
        &NewEvent {
            kind,
            plan: Some(&row.plan),
            task: Some(&TaskId::text(&row.task)),
            attempt: Some(&row.id),
            text,
            data,
            ..NewEvent::default()
        },
    )?;
    Ok(())
}

/// Releases claims of the attempt's own. What it changed in them is not its own any more either.
pub fn release(
    session: &Session,
    project: &Project,
    attempt: &str,
    which: &Which,
    holder: Option<&HolderName>,
) -> Result<Vec<Held>, Error> {
    let others = |whose: &str| {
        Refusal::new(
            Code::NotAllowed,
            format!("a worker lets go of its own claims, not of those of {whose}"),
            "status with scope claims shows whose they are; ask their holder, or wait with claim-files and wait_s",
        )
        .with("holder", whose)
    };
    if let Some(holder) = holder.filter(|holder| **holder != session.caller.holder.name) {
        return Err(others(holder.as_str()).into());
    }
    session.store()?.write(|tx| -> Result<Vec<Held>, Error> {
        let row = live(tx, &AttemptId::new(attempt))?;
        let own = tx.claims_of(&project.id, &owning::holder(&row))?;
        let claims: Vec<_> = match which {
            Which::All => own,
            Which::Patterns(patterns) => {
                own.into_iter().filter(|claim| patterns.contains(&claim.pattern)).collect()
            }
            Which::Ids(ids) => {
                for id in ids {
                    if let Some(claim) = tx.claim(&project.id, *id)?
                        && claim.holder != owning::holder(&row)
                    {
                        return Err(others(claim.holder.name.as_str()).into());
                    }
                }
                own.into_iter().filter(|claim| ids.contains(&claim.id)).collect()
            }
        };
        let lent = owning::lent(tx, &row.plan, &TaskId::text(&row.task))?;
        let meets = |a: &Pattern, b: &Pattern| overlap_of(a, b, &|path| project.is_file(path)).is_some();
        let mut released: Vec<Held> = Vec::new();
        for claim in claims {
            let child = lent.iter().find(|(_, files)| files.iter().any(|file| meets(file, &claim.pattern)));
            if let Some((child, _)) = child {
                return Err(Refusal::new(
                    Code::Conflict,
                    format!("part of {} is lent to task {child}", claim.pattern.as_str()),
                    format!("wait until {child} is done"),
                )
                .into());
            }
            if tx.release_claim(&project.id, &claim, owning::LET_GO)? {
                released.push(claim);
            }
        }
        sorting::sort_by_key(&mut released, |claim| claim.id);
        Ok(released)
    })
}

/// Gives part of the attempt's claim to a child task of the same plan: a task object without an id.
/// The child lands before its parent, which owns the files again when the child is over.
pub fn delegate(
    session: &Session,
    project: &Project,
    task: &Map<String, Value>,
) -> Result<Dispatched, Error> {
    let id = attempt(session)?;
    let config = session.config_at_work(project)?;
    let mut object = task.clone();
    object.insert("id".to_owned(), json!("child"));
    let mut child = planning::single(project, &config, object)?;
    let store = session.store()?;
    let plan = store.read(|tx| live(tx, &id))?.plan;
    let conductor = dispatching::live_conductor(session, &plan)?.ok_or_else(|| {
        Refusal::new(
            Code::Busy,
            format!("nobody conducts plan {plan} at this moment, so nobody would start the child"),
            "do this part yourself, or ask again later",
        )
    })?;
    // What the worker has changed is looked at before, and kept in any case.
    let (_, _, saved) = snapshot(session, project, &id)?;
    let changed: Vec<_> = saved.snapshot.changed.iter().map(|change| change.path.clone()).collect();
    let run = format!("r-{}", random_tail(8));
    let since = store.write(|tx| -> Result<i64, Error> {
        let row = live(tx, &id)?;
        let parent = tx.task(&plan, &TaskId::text(&row.task))?;
        let is_on = tx.plan(&plan)?.is_some_and(|row| !row.state.is_at_rest());
        let Some(parent) = parent.filter(|task| is_on && task.state == TaskState::Running) else {
            let what = format!("task {}/{} is being stopped", plan, row.task);
            return Err(Refusal::new(Code::Conflict, what, "end what is begun").into());
        };
        let children = tx.children(&plan, &parent.id)?.len();
        let planned = stored(tx, &row, &parent)?;
        let owned = owning::task_of(tx, &row, planned.clone())?.files;
        let asked = Parent {
            task: &parent.id,
            depth: owning::ancestors(tx, &plan, &parent.id)?.len(),
            owned: &owned,
            children,
            lent: &owning::lent(tx, &plan, &parent.id)?,
            changed: &changed,
        };
        delegation::decide(&asked, &child.files, &|path| project.is_file(path))?;
        let mut number = children + 1;
        while tx.task(&plan, &TaskId::text(format!("{}.{number}", parent.id)))?.is_some() {
            number += 1;
        }
        child.id = TaskId::text(format!("{}.{number}", parent.id));
        // It is measured as its parent is, and goes before others as its parent does.
        child.rules = planned.rules;
        child.priority = planned.priority;
        tx.insert_task(
            &plan,
            &NewTask {
                id: &child.id,
                document: &rows::task_document(&child).to_string(),
                state: TaskState::Waiting,
                wanted: true,
                parent: Some(&parent.id),
            },
        )?;
        tx.insert_run(
            &project.id,
            &RunRow {
                id: run.clone(),
                kind: "dispatch".to_owned(),
                plan: Some(plan.as_str().to_owned()),
                attempt: None,
                state: "running".to_owned(),
                result: None,
                alive: None,
            },
        )?;
        let files: Vec<&str> = child.files.iter().map(|file| file.as_str()).collect();
        let since = tx.newest_event()?;
        tell(
            tx,
            &row,
            "task.delegated",
            format!("task {} lends {} to task {}", parent.id, files.join(" "), child.id),
            None,
        )?;
        Ok(since)
    })?;
    // The parent hears of its child only after this. What is not noted the landing holds all the same.
    if let Err(error) =
        lending::note(&session.house.run_dir(id.as_str()), &child.id.to_string(), &child.text, &child.files)
    {
        tracing::warn!(attempt = %id, "its hook is not told what it lends to {}: {error}", child.id);
    }
    let all = admitting::Seats { project: &project.id, most: config.max_workers };
    dispatching::told(session, plan, all, run, Some(conductor), since, &[child.id])
}

fn stored(tx: &Tx<'_>, row: &AttemptRow, task: &crate::store::plans::TaskRow) -> Result<Task, Error> {
    let plan = tx.plan(&row.plan)?.ok_or_else(|| Error::Bug(format!("plan {} vanished", row.plan)))?;
    let plan = rows::stored_plan(&plan, std::slice::from_ref(task))?;
    plan.tasks.into_iter().next().ok_or_else(|| Error::Bug(format!("task {} vanished", task.id)))
}

/// Why the attempt cannot write in some of what it was granted just now, though it owns it: a strict wall
/// was built around what it owned at its start, and the kernel widens none.
pub fn strictness(session: &Session, granted: &[Held]) -> Option<String> {
    let id = session.caller.attempt.as_ref()?;
    let run_dir = session.house.run_dir(id);
    let wall = client::send(&run_dir, Request::State).ok()?.state?.wall;
    if !wall.contains("strict") {
        return None;
    }
    let job = client::read_job(&run_dir).ok()?;
    let is_within = |pattern: &Pattern| {
        let path = job.cwd.join(pattern.literal_path());
        job.wall.files.contains(&path) || job.wall.writable.iter().any(|folder| path.starts_with(folder))
    };
    let beyond: Vec<&str> =
        granted.iter().map(|claim| &claim.pattern).filter(|it| !is_within(it)).map(Pattern::as_str).collect();
    (!beyond.is_empty()).then(|| {
        format!(
            "the wall of this attempt ({wall}) stays as it was built: {} can be written from the next attempt on, \
             which holds it from its start",
            beyond.join(", ")
        )
    })
}
