//! What runs for a plan besides its workers when it is told to stop: the commands of gates, and reviewers.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Action, are, cancel};
use crate::base::ids::{AttemptId, PlanId, TaskId};
use crate::domain::conducting::PlanState;
use crate::domain::task::TaskState;
use crate::services::judging::commands;
use crate::services::project::Project;
use crate::services::{Error, Session, dispatching};
use crate::store::Tx;
use crate::store::plans::{PlanRow, TaskLight};
use crate::store::watch::Watch;
use crate::sys::shim::client;
use crate::sys::shim::job::Request;

/// How long a conductor may take to save what a forced stop ended before it is taken for hung.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether a conductor that ends has ended.
const LAST_STEPS: Duration = Duration::from_millis(20);

/// Whether a plan was told to stop and has not come to it: somebody may want it done by force.
pub(in crate::services) fn is_stopping(session: &Session, plan: &PlanRow) -> Result<bool, Error> {
    Ok(plan.state == PlanState::Stopped && dispatching::live_conductor(session, &plan.id)?.is_some())
}

/// Whether a plan that was to be stopped or paused came to its end before that, so that nothing is left to do.
pub(in crate::services) fn is_through(
    session: &Session,
    action: Action,
    plan: &PlanId,
) -> Result<bool, Error> {
    let row = session.store()?.read(|tx| tx.plan(plan))?;
    let Some(row) = row.filter(|row| row.state.is_at_rest()) else { return Ok(false) };
    Ok(match action {
        Action::Stop => !is_stopping(session, &row)?,
        _ => action == Action::Pause,
    })
}

/// The attempts of a plan that are judged or land: commands and reviewers run for them.
pub(super) fn judged(session: &Session, plan: &PlanId) -> Result<Vec<AttemptId>, Error> {
    session.store()?.read(|tx| -> Result<_, Error> {
        let mut judged = Vec::new();
        for task in tx.task_lights(plan)? {
            if matches!(task.state, TaskState::Judging | TaskState::Approved | TaskState::Landing) {
                judged.extend(tx.attempts_at(plan, &task.id)?.pop().map(|attempt| attempt.id));
            }
        }
        Ok(judged)
    })
}

/// What is said of a plan that is stopped while its work is judged; with force the end of that is waited for.
pub(super) fn being_judged(
    session: &Session,
    id: &PlanId,
    tasks: usize,
    force: bool,
) -> Result<String, Error> {
    let watch = Watch::new(&session.house.root)?;
    let deadline = Instant::now() + PATIENCE;
    let mut is_over = false;
    while force && !is_over && Instant::now() < deadline {
        is_over = dispatching::live_conductor(session, id)?.is_none();
        if !is_over {
            // The end of a process is told by no change of the database.
            watch.wait(Some(deadline.min(Instant::now() + LAST_STEPS)));
        }
    }
    let what = if tasks == 1 {
        "1 task was being judged".to_owned()
    } else {
        format!("{tasks} tasks were being judged")
    };
    let ended = if is_over { "has ended" } else { "is being ended" };
    Ok(format!("{what}: what runs for that {ended}, and they are judged again when the plan goes on"))
}

/// Waits until the killed workers of a stopped plan are saved, and says what came of it. A conductor that
/// does not get to it in its time hangs: it is ended, and another takes up what it left.
pub(super) fn forced(
    session: &Session,
    project: &Project,
    id: &PlanId,
    workers: usize,
) -> Result<String, Error> {
    let watch = Watch::new(&session.house.root)?;
    let ended = |patience: Duration| -> Result<bool, Error> {
        let deadline = Instant::now() + patience;
        loop {
            // An attempt has ended before it is saved; its task says when it is.
            let is_over = session.store()?.read(|tx| -> Result<bool, Error> {
                let is_at_work = |task: &TaskLight| task.state == TaskState::Running;
                Ok(tx.live_attempts(id)?.is_empty() && !tx.task_lights(id)?.iter().any(is_at_work))
            })?;
            if is_over {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            watch.wait(Some(deadline));
        }
    };
    if ended(PATIENCE)? {
        return Ok(format!("{} ended, what they did is saved", are(workers)));
    }
    let Some(conductor) = dispatching::live_conductor(session, id)? else {
        dispatching::ensure_conductor(session, project, id, false)?;
        return Ok(format!("{} ended, and what they did is being saved", are(workers)));
    };
    dispatching::end_hung(&conductor)?;
    dispatching::ensure_conductor(session, project, id, false)?;
    let saved = if ended(PATIENCE)? { "is saved" } else { "is being saved" };
    Ok(format!(
        "its conductor (process {}) did not answer and was ended; {} ended, what they did {saved}",
        conductor.pid,
        are(workers)
    ))
}

/// Leaves the workers of a plan no time to end by themselves.
pub fn kill_workers(session: &Session, plan: &PlanId) {
    let live = session.store().and_then(|store| Ok(store.read(|tx| tx.live_attempts(plan))?));
    match live {
        Ok(live) => live.iter().for_each(|attempt| {
            // Whose shim does not answer has ended.
            let _ = client::send(Path::new(&attempt.run_dir), Request::Kill);
        }),
        Err(error) => tracing::warn!("the workers of {plan} are not killed: {error}"),
    }
}

/// Kills what judges these attempts.
pub(super) fn end_by_force(session: &Session, attempts: &[AttemptId]) {
    for attempt in attempts {
        commands::end_all(&session.house, attempt.as_str(), Request::Kill);
    }
}

/// Calls off one task, whether or not it was stopped by itself before; `None` if it cannot be. Tells whether its
/// plan, which is at rest, has nothing open any more and so may come to its end.
pub(super) fn cancel_one(
    tx: &Tx<'_>,
    project: &Project,
    plan: &PlanRow,
    task: &TaskId,
    message: Option<&str>,
) -> Result<Option<bool>, Error> {
    if !cancel(tx, project, &plan.id, task, message)? {
        return Ok(None);
    }
    // A plan whose tasks were called off one by one is done without them.
    tx.want_task(&plan.id, task, true)?;
    let is_at_rest = matches!(plan.state, PlanState::Stopped | PlanState::Failed);
    if !is_at_rest || tx.pipeline_run(&plan.id)?.is_some() {
        return Ok(Some(false));
    }
    let tasks = tx.task_lights(&plan.id)?;
    let is_done = |it: &TaskLight| it.state == TaskState::Done;
    let is_off = |it: &TaskLight| it.state == TaskState::Cancelled && it.wanted;
    let is_over = tasks.iter().any(is_done) && tasks.iter().all(|it| is_done(it) || is_off(it));
    Ok(Some(is_over && dispatching::go_on(tx, &project.id, &plan.id)?))
}
