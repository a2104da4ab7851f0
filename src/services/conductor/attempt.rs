//! One attempt from its start to where its task goes next. Every step is recorded before the
//! next one acts, so that another conductor can go on from any of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::concluding::{judge, land};
use super::continuing::{self, Left};
use super::desk::Desk;
use super::following::follow;
use super::launching::{self, Tree, kind_of};
use super::prompt::Told;
use super::saving::{self, Saved};
use super::{advising, lacking, recovering, reporting};
use crate::base::failpoint::Point;
use crate::base::ids::{ProviderName, TaskId};
use crate::base::paths::RepoPath;
use crate::domain::attempt::{AttemptState, Outcome};
use crate::domain::budget::Money;
use crate::domain::plan::Task;
use crate::domain::task::TaskState;
use crate::domain::tries;
use crate::services::environments::working;
use crate::services::planning::surroundings::absent_programs;
use crate::services::windows::{self, Place};
use crate::services::{Error, owning};
use crate::store::Tx;
use crate::store::attempts::{AttemptRow, Ending};
use crate::store::events::{EventFilter, NewEvent};
use crate::sys::agent::AgentKind;
use crate::sys::config::resolved::{Isolation, ProviderKind};
use crate::sys::git::refs;
use crate::sys::shim::client::{self, Line};
use crate::sys::shim::job::Request;

/// What an attempt says is recorded at most this often, so that a talkative worker does not
/// make the event log its own.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(2);

/// What a worker could not help does not count as a try; but where so many die in a row, something
/// is wrong that another one will not mend.
const MOST_INTERRUPTIONS: usize = 5;

/// So often in all an attempt is carried on after somebody killed a git at its work.
const MOST_KILLED: usize = 5;

/// How long a task is left alone whose failure cannot be recorded either: the disk is full, say.
const UNRECORDED: Duration = Duration::from_secs(5);

/// Where an attempt is taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is recorded; nothing was done.
    Launch,
    /// Its shim runs, or has ended and nobody has looked.
    Follow,
    /// Its end is recorded; its tree may not be saved.
    Save,
    /// Its tree is saved; the gates are to run.
    Judge,
    /// It is approved.
    Land,
}

/// An attempt whose worker was started just now.
#[derive(Debug)]
pub struct Launched {
    /// Where its end is seen soonest.
    line: Option<Line>,
}

/// Starts a worker at once, where nothing takes time that others would have to wait for: it is the first to try its
/// task, in the project's folder, and a shim waits for it. `None` of any other, which needs a thread of its own.
pub fn launch_at_once(desk: &Desk, attempt: &AttemptRow, task: &Task) -> Option<Result<Launched, Error>> {
    let is_local = || {
        let provider = desk.config.providers.get(&attempt.provider);
        provider.is_none_or(|provider| provider.kind == ProviderKind::Ollama)
    };
    let is_quick = attempt.number == 1
        && attempt.environment.is_none()
        && desk.config.isolation == Isolation::Shared
        && desk.spares.has(attempt.id.as_str())
        && !is_local();
    let launched = || {
        let launched = guarded(attempt, || launch(desk, attempt, task));
        launched?.ok_or_else(|| Error::Bug(format!("attempt {} has no environment to wait for", attempt.id)))
    };
    is_quick.then(launched)
}

/// Carries an attempt on from a stage. What fails around Kapell (a disk that was full for a moment) is tried once
/// more, from what is recorded, as the next conductor would; a git that somebody killed some times. Whatever else
/// fails in Kapell itself is the task's reason to fail, never a silent stop.
pub fn carry(desk: &Arc<Desk>, attempt: &AttemptRow, stage: Stage) {
    see_through(desk, attempt, guarded(attempt, || carry_on(desk, attempt, stage, None)));
}

/// Carries on an attempt that was to be [started at once](launch_at_once), as [`carry`] does.
pub fn carry_launched(desk: &Arc<Desk>, attempt: &AttemptRow, launched: Result<Launched, Error>) {
    let carried = launched
        .and_then(|launched| guarded(attempt, || carry_on(desk, attempt, Stage::Follow, Some(launched))));
    see_through(desk, attempt, carried);
}

/// A panic of Kapell's own is an error like others.
fn guarded<T>(attempt: &AttemptRow, act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|_| Err(Error::Bug(format!("attempt {} ran into a panic", attempt.id))))
}

/// Sees to it that an attempt goes on where that failed, or that its task does.
fn see_through(desk: &Arc<Desk>, attempt: &AttemptRow, carried: Result<(), Error>) {
    let caught = |stage| guarded(attempt, || carry_on(desk, attempt, stage, None));
    let again = |error: Error| {
        // A run that did not come about has no shim: nobody must wait for it.
        desk.spares.dismiss(attempt.id.as_str());
        let (Error::System { .. } | Error::Store(_)) = error else { return Err(error) };
        tracing::warn!(attempt = %attempt.id, "tried again: {error}");
        match recovering::stage(desk, &task_id(desk, attempt))? {
            Some((last, stage)) if last.id == attempt.id => caught(stage),
            _ => Ok(()),
        }
    };
    let mut carried = carried.or_else(again);
    for _ in 1..MOST_KILLED {
        match carried {
            Err(error) if error.is_of_killed_git() && !desk.is_stopping() => carried = again(error),
            other => {
                carried = other;
                break;
            }
        }
    }
    let carried = outlast(desk, attempt, carried, caught);
    if let Err(error) = carried {
        tracing::error!(attempt = %attempt.id, "{error}");
        if desk.is_stopping() {
            // It is as if this conductor had died here.
            return;
        }
        let why = match &error {
            Error::Refused(refusal) => format!("{}; {}", refusal.message, refusal.hint),
            other => other.to_string(),
        };
        let recorded = desk.write(|tx| -> Result<(), Error> {
            let ending = Ending {
                outcome: Outcome::Failed,
                reason: Some(&why),
                usage: attempt.usage,
                said: None,
                session: None,
                wall: None,
            };
            tx.finish_attempt(&attempt.id, &ending)?;
            give_up(tx, desk, attempt, &task_id(desk, attempt), &why)
        });
        if let Err(error) = recorded {
            tracing::error!(attempt = %attempt.id, "cannot record the failure: {error}");
            // The task is taken up again as soon as this is over.
            thread::park_timeout(UNRECORDED);
        }
    }
    if attempt.environment.is_some()
        && !desk.is_stopping()
        && let Err(error) = leave(desk, attempt)
    {
        tracing::warn!(attempt = %attempt.id, "its environment stays as it is: {error}");
    }
}

/// Puts the environment of an attempt back, unless its task goes on there or its work landed.
fn leave(desk: &Desk, attempt: &AttemptRow) -> Result<(), Error> {
    let state =
        desk.store()?.read(|tx| tx.task(&desk.plan_id, &task_id(desk, attempt)))?.map(|row| row.state);
    if state.is_some_and(|state| state.is_active() || state == TaskState::Done) {
        return Ok(());
    }
    working::leave(desk, &reread(desk, attempt)?)
}

/// Goes on with an attempt that failed for want of room or of the repository, until that is there.
fn outlast(
    desk: &Arc<Desk>,
    attempt: &AttemptRow,
    mut carried: Result<(), Error>,
    caught: impl Fn(Stage) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut teller = lacking::Teller::default();
    loop {
        let Err(error) = carried else { return Ok(()) };
        let Some(what) = lacking::what(desk, &error).filter(|_| !desk.is_stopping()) else {
            return Err(error);
        };
        teller.tell(desk, Some(attempt), &what, &error);
        thread::park_timeout(lacking::AGAIN);
        carried = match recovering::stage(desk, &task_id(desk, attempt)) {
            Ok(Some((last, stage))) if last.id == attempt.id => caught(stage),
            Ok(_) => return Ok(()),
            Err(error) => Err(error),
        };
    }
}

fn carry_on(
    desk: &Arc<Desk>,
    attempt: &AttemptRow,
    mut stage: Stage,
    mut launched: Option<Launched>,
) -> Result<(), Error> {
    let planned = desk.task(&task_id(desk, attempt))?;
    // What is to be launched was recorded just now; its worker should not wait for another look.
    let is_new = stage == Stage::Launch || launched.is_some();
    let mut attempt = if is_new { attempt.clone() } else { reread(desk, attempt)? };
    let mut saved = None;
    loop {
        // Asked at every stage: the worker may have claimed more meanwhile, or let go of something.
        let task = desk.store()?.read(|tx| owning::task_of(tx, &attempt, planned.clone()))?;
        stage = match stage {
            Stage::Judge | Stage::Land if desk.is_stopping() => return Ok(()),
            Stage::Launch => {
                launched = launch(desk, &attempt, &task)?;
                if launched.is_none() {
                    return Ok(());
                }
                Stage::Follow
            }
            Stage::Follow => {
                if is_new || client::is_alive(Path::new(&attempt.run_dir)) {
                    // Also of one that is not new: the conductor before may have died before it came to that.
                    show(desk, &attempt);
                }
                let line = launched.take().and_then(|launched| launched.line);
                follow(desk, &attempt, &task, is_new, line.as_ref())?;
                if !desk.is_stopping() {
                    // Now, while nobody waits for a worker.
                    desk.spares.refill();
                    desk.store()?.fold_aside();
                }
                attempt = reread(desk, &attempt)?;
                Stage::Save
            }
            Stage::Save => match save(desk, &attempt, &task)? {
                Some(tree) => {
                    saved = Some(tree);
                    attempt = reread(desk, &attempt)?;
                    Stage::Judge
                }
                None => return Ok(()),
            },
            Stage::Judge => {
                let tree = match saved.take() {
                    Some(tree) => tree,
                    None => match saving::saved_again(desk, &attempt, &task)? {
                        Some(tree) => tree,
                        None => return Err(Error::Bug(format!("the tree of {} is gone", attempt.id))),
                    },
                };
                let approved = judge(desk, &attempt, &task, &tree)?;
                saved = Some(tree);
                match approved {
                    true => Stage::Land,
                    false => return Ok(()),
                }
            }
            Stage::Land => {
                let tree = match saved.take() {
                    Some(tree) => tree,
                    None => match saving::saved_again(desk, &attempt, &task)? {
                        Some(tree) => tree,
                        None => return Err(Error::Bug(format!("the tree of {} is gone", attempt.id))),
                    },
                };
                return land(desk, &attempt, &task, tree);
            }
        };
    }
}

fn task_id(desk: &Desk, attempt: &AttemptRow) -> TaskId {
    let plan = desk.plan();
    let found = plan.tasks.iter().find(|task| task.id.as_str() == attempt.task).map(|task| task.id.clone());
    found.unwrap_or_else(|| TaskId::text(&attempt.task))
}

fn reread(desk: &Desk, attempt: &AttemptRow) -> Result<AttemptRow, Error> {
    desk.store()?
        .read(|tx| tx.attempt(&attempt.id))?
        .ok_or_else(|| Error::Bug(format!("attempt {} vanished", attempt.id)))
}

/// Shows a new attempt in a window, where that is wanted. It goes on all the same if it cannot be.
fn show(desk: &Desk, attempt: &AttemptRow) {
    if !windows::are_wanted(&desk.config, attempt) {
        return;
    }
    let provider = desk.config.providers.get(&attempt.provider);
    let kind = launching::kind_of_run(provider, Path::new(&attempt.run_dir));
    let (event, text, data) = match windows::open(&desk.session, &desk.project, kind, attempt) {
        Ok(place) if !place.is_new => return,
        Ok(Place { session, window, .. }) => (
            "attempt.window",
            format!("window {window} of tmux session {session}; kapell fleet attach {} shows it", attempt.id),
            serde_json::json!({"session": session, "window": window}),
        ),
        Err(error) => {
            ("attempt.unwatched", format!("no window, and goes on without: {error}"), serde_json::Value::Null)
        }
    };
    let text = format!("task {}: try {} is in {text}", attempt.task, attempt.number);
    let data = (!data.is_null()).then(|| data.to_string());
    let told =
        desk.store().and_then(|store| Ok(store.write(|tx| tx.tell_of_attempt(attempt, event, text, data))?));
    if let Err(error) = told {
        tracing::warn!(attempt = %attempt.id, "{error}");
    }
}

/// Starts it; `None` where it cannot begin after all, which is recorded.
fn launch(desk: &Desk, attempt: &AttemptRow, task: &Task) -> Result<Option<Launched>, Error> {
    Point::AttemptBegun.reach()?;
    let (feedback, mut earlier) = desk.store()?.read(|tx| -> Result<_, Error> {
        let feedback = tx.task(&desk.plan_id, &task.id)?.and_then(|row| row.feedback);
        Ok((feedback, tx.attempts_at(&desk.plan_id, &task.id)?))
    })?;
    earlier.retain(|other| other.number < attempt.number);
    let legacy = match earlier.last() {
        Some(before) => continuing::legacy(desk, before)?,
        None => None,
    };
    let advice = advising::advice(desk, attempt, task, &earlier, feedback.as_deref(), legacy.as_ref())?;
    let goes_on = earlier.last().is_some_and(|before| {
        attempt.environment.is_none()
            && before.worktree == attempt.worktree
            && attempt.worktree.as_ref().is_some_and(|tree| Path::new(tree).is_dir())
    });
    let (seed, left) = match goes_on {
        true => (None, Left::Here),
        false => continuing::seed(desk, attempt, task, &earlier)?,
    };
    let seed = seed.map(|commit| commit.to_string());
    let tree = if goes_on { Tree::AsItIs } else { Tree::From(seed.as_deref()) };
    let told =
        Told { feedback: feedback.as_deref(), left: &left, legacy: legacy.as_ref(), advice: advice.as_ref() };
    if attempt.environment.is_some()
        && let Err(why) = working::begin(desk, attempt, task, seed.as_deref())?
    {
        not_begun(desk, attempt, task, &why)?;
        return Ok(None);
    }
    let line = launching::launch(desk, attempt, task, tree, told)?;
    tracing::info!(attempt = %attempt.id, "its shim is started");
    // Whoever stopped it while it had no shim yet was not heard, also not by force. It has done nothing, and needs
    // no time to end.
    if reread(desk, attempt)?.state == AttemptState::Stopping {
        let _ = client::send(Path::new(&attempt.run_dir), Request::Kill);
    }
    Ok(Some(Launched { line }))
}

/// Records that an attempt came to nothing before it began: the environment that it was to work in is not as it
/// was when it was taken. Its task waits for that again.
fn not_begun(desk: &Desk, attempt: &AttemptRow, task: &Task, why: &str) -> Result<(), Error> {
    desk.spares.dismiss(attempt.id.as_str());
    desk.write(|tx| -> Result<(), Error> {
        let ending = Ending {
            outcome: Outcome::Interrupted,
            reason: Some(why),
            usage: attempt.usage,
            said: None,
            session: None,
            wall: None,
        };
        tx.finish_attempt(&attempt.id, &ending)?;
        try_again(tx, desk, attempt, task, Outcome::Interrupted, why)
    })
}

pub(super) fn tell(
    tx: &Tx<'_>,
    desk: &Desk,
    attempt: &AttemptRow,
    kind: &'static str,
    text: &str,
) -> Result<(), Error> {
    tell_with(tx, desk, attempt, kind, text, None)
}

/// [`tell`], with facts for programs.
pub(super) fn tell_with(
    tx: &Tx<'_>,
    desk: &Desk,
    attempt: &AttemptRow,
    kind: &'static str,
    text: &str,
    data: Option<String>,
) -> Result<(), Error> {
    tx.append_event(
        &desk.project.id,
        &NewEvent {
            kind,
            plan: Some(&desk.plan_id),
            task: Some(&task_id(desk, attempt)),
            attempt: Some(&attempt.id),
            text: text.to_owned(),
            data,
            ..NewEvent::default()
        },
    )?;
    Ok(())
}

/// Saves the tree and decides whether it is to be judged. `None`: the task went elsewhere.
fn save(desk: &Desk, attempt: &AttemptRow, task: &Task) -> Result<Option<Saved>, Error> {
    let outcome = attempt.state.outcome().unwrap_or(Outcome::Interrupted);
    let store = desk.store()?;
    // Asked first: what a child gives back while the tree is saved was not the task's to change.
    let lent = store.read(|tx| owning::lent(tx, &desk.plan_id, &task.id))?;
    let saved = saving::save(desk, attempt, task, &lent)?;
    Point::SnapshotHeld.reach()?;
    let id = &task.id;
    let Some(saved) = saved else {
        desk.write(|tx| try_again(tx, desk, attempt, task, outcome, "its working tree is gone"))?;
        return Ok(None);
    };
    let widened = match outcome {
        Outcome::Submitted => saving::own_what_it_changed(desk, attempt, task, &saved)?,
        _ => None,
    };
    let saved = match widened {
        Some(widened) => saving::save(desk, attempt, &widened, &lent)?.unwrap_or(saved),
        None => saved,
    };
    if desk.config.isolation == Isolation::Shared && !saved.outside.is_empty() {
        saving::absorb(desk, attempt, &saved)?;
    }
    let beside = saving::tell_others(desk, attempt, &saved)?;
    let is_violation = !saved.outside.is_empty() && outcome == Outcome::Submitted;
    let report = if saved.outside.is_empty() {
        None
    } else {
        let name = format!("{}/{}/{}", attempt.plan, attempt.task, attempt.number);
        let quarantine = refs::quarantine(&desk.git, &name, &saved.snapshot.commit)?;
        Some(reporting::report(attempt, &saved, &quarantine)?)
    };
    let goes_on = desk.write(|tx| -> Result<bool, Error> {
        saving::record(tx, attempt, &saved)?;
        if let Some(text) = &beside {
            tell(tx, desk, attempt, "attempt.beside", text)?;
        }
        if !saved.dropped.is_empty() {
            let names: Vec<String> = saved.dropped.iter().map(ToString::to_string).collect();
            let text = format!("{}: passed over, the integrator makes it anew", names.join(", "));
            tell(tx, desk, attempt, "attempt.dropped", &text)?;
        }
        if let Some(report) = report.as_deref().filter(|_| is_violation) {
            let mut why = format!("{}; read {}", violation(&saved.outside), report.display());
            if let Some(missed) = missed_by_the_hook(tx, desk, attempt, &saved.outside)? {
                why = format!("{why}; {missed}");
                tell(tx, desk, attempt, "hook.missed", &missed)?;
            }
            tx.set_outcome(&attempt.id, Outcome::Violation, Some(&why))?;
        }
        if outcome != Outcome::Submitted {
            let why = attempt.reason.clone().unwrap_or_else(|| outcome.as_str().to_owned());
            try_again(tx, desk, attempt, task, outcome, &why)?;
            return Ok(false);
        }
        if !is_violation && owning::has_open_children(tx, &desk.plan_id, id)? {
            // Their work lands first. It is saved again and goes on when they are done.
            desk.give_reason(tx, id, "child: its children are at work")?;
            return Ok(false);
        }
        let is_on = tx.step_task(
            &desk.project.id,
            &desk.plan_id,
            id,
            &[TaskState::Running],
            TaskState::Judging,
            None,
        )?;
        if !is_on {
            tx.release_attempt_claims(&desk.project.id, &attempt.id, "its task was called off")?;
        }
        Ok(is_on)
    })?;
    Point::SaveRecorded.reach()?;
    Ok(goes_on.then_some(saved))
}

/// What was written outside of the claim although the agent has a hook that refuses it; none where
/// the hook refused each of the paths and the worker wrote them all the same.
fn missed_by_the_hook(
    tx: &Tx<'_>,
    desk: &Desk,
    attempt: &AttemptRow,
    outside: &[(RepoPath, String)],
) -> Result<Option<String>, Error> {
    let provider = desk.config.providers.get(&attempt.provider);
    if !provider.is_some_and(|it| matches!(kind_of(it), AgentKind::Claude | AgentKind::Codex)) {
        return Ok(None);
    }
    let filter = EventFilter {
        attempt: Some(attempt.id.as_str()),
        kind: Some("attempt.refused"),
        ..EventFilter::default()
    };
    let refused = tx.events_after(0, &filter, 1000)?;
    let missed: Vec<String> = outside
        .iter()
        .map(|(path, _)| path.to_string())
        .filter(|path| !refused.iter().any(|event| event.text.contains(path)))
        .take(5)
        .collect();
    Ok((!missed.is_empty()).then(|| {
        format!(
            "its hook did not refuse {}: it was not called, failed, or could not see it",
            missed.join(", ")
        )
    }))
}

fn violation(outside: &[(RepoPath, String)]) -> String {
    let named: Vec<String> = outside.iter().take(5).map(|(path, why)| format!("{path} {why}")).collect();
    let more = outside.len().saturating_sub(5);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("changed outside of its claim: {}{more}", named.join("; "))
}

/// Sends a task back after a try that submitted nothing, or gives it up.
fn try_again(
    tx: &Tx<'_>,
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    outcome: Outcome,
    why: &str,
) -> Result<(), Error> {
    let id = &task.id;
    let step = |tx: &Tx<'_>, next, reason| {
        tx.step_task(&desk.project.id, &desk.plan_id, id, &[TaskState::Running], next, reason)
    };
    if outcome == Outcome::Killed {
        tx.release_attempt_claims(&desk.project.id, &attempt.id, "its attempt was stopped")?;
        // Whether it goes on was settled by whoever asked for the stop, or for the work anew since.
        let is_wanted = tx.task(&desk.plan_id, id)?.is_some_and(|row| row.wanted);
        let plan = &desk.plan_id;
        let why = match is_wanted {
            true => "stopped".to_owned(),
            false => format!(
                "stopped; kapell retry {plan}/{id} goes on with it, kapell cancel {plan}/{id} calls it off"
            ),
        };
        step(tx, TaskState::Ready, Some(&why))?;
        return Ok(());
    }
    // What the worker could not help is nothing to tell the next one.
    if !matches!(outcome, Outcome::RateLimited | Outcome::Interrupted) {
        tx.set_feedback(&desk.plan_id, id, Some(&format!("It ended as {}: {why}", outcome.as_str())))?;
    }
    let tries = tx.attempts_at(&desk.plan_id, id)?;
    let in_a_row =
        tries.iter().rev().take_while(|other| other.state.outcome() == Some(Outcome::Interrupted)).count();
    if in_a_row >= MOST_INTERRUPTIONS {
        return give_up(tx, desk, attempt, id, &format!("{in_a_row} tries in a row died: {why}"));
    }
    if let Some(why) = no_more(tx, desk, task, &tries, why)? {
        return give_up(tx, desk, attempt, id, &why);
    }
    if !step(tx, TaskState::Ready, Some(why))? {
        tx.release_attempt_claims(&desk.project.id, &attempt.id, "its task was called off")?;
    }
    Ok(())
}

/// The providers of the tries that count, in order: what the worker could not help is none.
pub(super) fn counted(tries: &[AttemptRow]) -> Vec<ProviderName> {
    let is_counted = |it: &&AttemptRow| {
        let outcome = it.state.outcome();
        !matches!(outcome, None | Some(Outcome::RateLimited | Outcome::Interrupted | Outcome::Killed))
    };
    tries.iter().filter(is_counted).map(|it| it.provider.clone()).collect()
}

/// Whether there is another try after those that count, and the providers that had theirs; see [`tries::next`].
pub(super) fn goes_on(desk: &Desk, task: &Task, counted: &[ProviderName]) -> Option<Vec<ProviderName>> {
    let config = &desk.config;
    let is_able = |name: &&ProviderName| {
        config.providers.get(*name).is_some_and(|it| it.capability >= task.complexity)
            && absent_programs(&desk.session.house, config, name.as_str()).is_none()
    };
    let others = config.failover.chain.iter().filter(|_| config.failover.is_said);
    let able: Vec<ProviderName> = others.filter(is_able).cloned().collect();
    let most = desk.rules(task).max_attempts.unwrap_or(3) as usize;
    tries::next(counted, most, &able)
}

/// Why there is no other try at a task after these, the last of which ended so: it had as many as it may have,
/// or has spent what it may.
pub(super) fn no_more(
    tx: &Tx<'_>,
    desk: &Desk,
    task: &Task,
    tries: &[AttemptRow],
    why: &str,
) -> Result<Option<String>, Error> {
    let counted = counted(tries);
    if goes_on(desk, task, &counted).is_none() {
        return Ok(Some(after(counted.len(), why)));
    }
    let Some(allowed) = task.budget_usd.map(Money::from_usd) else { return Ok(None) };
    let spent = tx.task_spent(&desk.plan_id, &task.id)?;
    let is_spent = spent >= allowed;
    Ok(is_spent.then(|| {
        format!("it has cost {spent} of the {allowed} dollars that it may; {}", after(counted.len(), why))
    }))
}

/// Why a task fails after so many tries, the last of which ended so.
fn after(tries: usize, why: &str) -> String {
    match tries {
        1 => format!("its one try: {why}"),
        tries => format!("{tries} tries, the last: {why}"),
    }
}

pub(super) fn give_up(
    tx: &Tx<'_>,
    desk: &Desk,
    attempt: &AttemptRow,
    id: &TaskId,
    why: &str,
) -> Result<(), Error> {
    tx.release_attempt_claims(&desk.project.id, &attempt.id, "its task failed")?;
    tx.move_task(&desk.project.id, &desk.plan_id, id, TaskState::Failed, Some(why))?;
    Ok(())
}
