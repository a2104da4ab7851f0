//! Dispatch: work is marked as wanted, and a conductor sees to it.

mod twice;

use crate::base::sorting::Gather as _;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::admitting::{self, Seats};
use super::conductor::stages::WAITS_FOR_APPROVAL;
use super::planning::{self, rows};
use super::project::Project;
use super::routing::{self, Explanation};
use super::{Error, Session, ground, insisting, querying, walling, windows};
use rustix::process::Signal;

use crate::base::clock::Time;
use crate::base::failpoint::Point;
use crate::base::ids::{PlanId, ProjectId, TaskId, random_tail};
use crate::domain::conducting::{ConductorState, PlanState};
use crate::domain::plan::{Plan, Rules, Task, dag};
use crate::domain::refusal::{Code, Refusal};
use crate::domain::route::Choice;
use crate::domain::task::TaskState;
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::store::conductors::{ConductorRow, RunRow};
use crate::store::events::EventFilter;
use crate::store::plans::{Pace, PlanRow, TaskRow};
use crate::store::watch::Watch;
use crate::sys::config::Config;
use crate::sys::config::resolved::Isolation;
use crate::sys::process::life::{self, Life};
use crate::sys::process::spawn;
use crate::sys::process::tree::{self, Handle};

/// A conductor has this long to enter the registry.
const CONDUCTOR_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether it is one's turn to start a plan.
const TURN: Duration = Duration::from_millis(20);
/// Of so many tasks it is told at once what came of them.
const NEWS: usize = 200;
/// What starts within this time is told at once.
const FIRST_NEWS: Duration = Duration::from_millis(900);

/// What is to be started.
#[derive(Debug)]
pub enum What {
    /// A stored plan, or some of its tasks.
    Plan {
        /// Its id, or its name where that is unique.
        id: String,
        /// Only these.
        tasks: Option<Vec<TaskId>>,
    },
    /// One task without a plan, as a task object without an id.
    AdHoc(serde_json::Map<String, serde_json::Value>),
}

impl What {
    fn is_ad_hoc(&self) -> bool {
        matches!(self, Self::AdHoc(_))
    }
}

/// What to do when all conductors allowed are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Wait for room.
    Queue,
    /// Start all the same.
    Launch,
    /// Say no.
    Refuse,
}

/// A wish to start work.
#[derive(Debug)]
pub struct Wish {
    /// What.
    pub what: What,
    /// How it is run, where that is said.
    pub pace: Pace,
    /// Seconds after which it is stopped, done or not.
    pub run_timeout_s: Option<u64>,
    /// What to do when full.
    pub when_full: WhenFull,
    /// Only tell.
    pub dry_run: bool,
    /// Not while another plan of the same tasks is at work.
    pub alone: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Dispatched {
    /// Ask about it with this; none for a dry run.
    pub run: Option<String>,
    /// The plan.
    pub plan: PlanId,
    /// The conductor, as far as one was needed.
    pub conductor: Option<ConductorRow>,
    /// Attempts that started, as far as known at once, with what they own.
    pub started: Vec<(AttemptRow, TaskId, Vec<String>)>,
    /// Tasks that wait: the reason and on what.
    pub waiting: Vec<(TaskId, String, String)>,
    /// Of a single task for a dry run: where it would go.
    pub route: Option<Explanation>,
    /// What whoever sends it should know of where it begins.
    pub note: Option<String>,
}

/// Starts work, or tells what would start.
pub fn dispatch(session: &Session, project: &Project, wish: &Wish) -> Result<Dispatched, Error> {
    let config = session.config(project)?;
    project.top()?;
    if config.isolation == Isolation::Worktree {
        project.repository()?;
    }
    let (plan_id, only) = match &wish.what {
        What::Plan { id, tasks } => (find_plan(session, project, id)?.id, tasks.clone()),
        What::AdHoc(task) => {
            let task = ad_hoc(project, &config, task)?;
            let inbox = project.inbox();
            if wish.dry_run {
                let route = Some(routing::explain(session, project, &config, &task)?);
                let (started, waiting) = (Vec::new(), Vec::new());
                let is_suspended =
                    session.store()?.read(|tx| tx.plan(&inbox))?.as_ref().is_some_and(is_suspended);
                let note = is_suspended.then(|| {
                    let (reason, on) = querying::paused(&inbox);
                    format!("what is sent waits: it is {reason}, and {on}")
                });
                return Ok(Dispatched {
                    run: None,
                    plan: inbox,
                    conductor: None,
                    started,
                    waiting,
                    route,
                    note,
                });
            }
            windows::refuse_without(&session.house, &config, task.target.as_deref())?;
            // It would only fail at its start.
            if let Choice::Nobody(why) = routing::explain(session, project, &config, &task)?.decision.choice {
                let hint =
                    "kapell route \"TEXT\" shows who could do it and why not; kapell fleet shows everybody";
                // No task is kept that could be tried again.
                let why = why.replace("then retry the task", "then send it again");
                return Err(Refusal::new(Code::Unsupported, format!("nobody can do it: {why}"), hint).into());
            }
            put_into_inbox(session, project, &inbox, &task)?;
            (inbox, Some(vec![task.id]))
        }
    };
    let turn = match live_conductor(session, &plan_id)? {
        Some(_) => None,
        None => turn_to_start(session, &plan_id)?,
    };
    // A task of the inbox stands for itself, however many others there are.
    let alone = only.as_deref().filter(|_| wish.what.is_ad_hoc());
    let (row, tasks, plan) = load(session, &plan_id, alone)?;
    let wanted = wanted(&row, &tasks, &plan, only.as_deref())?;
    let wants = |task: &&Task| wanted.contains(&task.id);
    windows::refuse_without(
        &session.house,
        &config,
        plan.tasks.iter().filter(wants).filter_map(|task| task.target.as_deref()),
    )?;
    if wish.dry_run {
        return Ok(dry_run(&plan_id, &plan, &tasks, &wanted));
    }
    let is_running = !row.state.is_at_rest();
    let is_new =
        |id: &TaskId| tasks.iter().any(|task| task.id == *id && (!task.wanted || task.state.is_final()));
    if is_running && !wanted.iter().any(is_new) {
        let conductor = await_conductor(session, &plan_id)?;
        if let Some(conductor) = conductor {
            return Err(twice::duplicate(&plan_id, &conductor, row.state).into());
        }
        // It says that it runs, but nobody runs it: the one before died. Take it over.
    }
    let twin =
        |tx: &Tx<'_>| if wish.alone { twice::twin_at_work(session, tx, &row, &tasks) } else { Ok(None) };
    if let Some(twin) = session.store()?.read(twin)? {
        return match twice::is_conducted(session, &twin)? {
            true => twice::refuse(session, &plan_id, &twin),
            false => twice::take_over(session, project, wish, &plan_id, &twin),
        };
    }
    let is_anyway = wish.when_full == WhenFull::Launch;
    if wish.when_full == WhenFull::Refuse {
        admitting::refuse_if_full(session, project, &config, &plan_id)?;
    }
    let mut note = None;
    let mut has_ground = row.base.is_some();
    if has_ground && row.state.is_at_rest() {
        let git = ground::git(&session.house, project)?;
        has_ground = ground::is_there(&git, &row)?;
        if !has_ground && !wish.what.is_ad_hoc() {
            return Err(without_its_base(&row).into());
        }
        if has_ground && wish.what.is_ad_hoc() {
            note = ground::follow_target(&git, &row)?;
        }
    }
    let ground = if has_ground {
        None
    } else {
        let git = ground::git(&session.house, project)?;
        Some(ground::lay(&session.house, &git, &config, &plan_id, &plan, &row)?)
    };
    Point::DispatchGround.reach()?;
    let run = format!("r-{}", random_tail(8));
    let mut other = None;
    let since = session.store()?.write(|tx| -> Result<i64, Error> {
        // Asked again inside the transaction: two dispatches at the same moment are one and a duplicate.
        let now = tx.plan(&plan_id)?.ok_or_else(|| Error::Bug(format!("plan {plan_id} vanished")))?;
        if !is_running && !now.state.is_at_rest() && only.is_none() {
            return Err(Refusal::new(Code::DuplicatePlan, "", "").into());
        }
        other = twin(tx)?;
        if other.is_some() {
            return Err(Refusal::new(Code::DuplicatePlan, "", "").into());
        }
        if let Some(ground) = &ground {
            tx.set_plan_ground(
                &plan_id,
                ground.base.as_str(),
                ground.target.as_deref(),
                &ground.integration,
            )?;
        }
        tx.set_pace(&plan_id, &wish.pace)?;
        if let Some(seconds) = wish.run_timeout_s {
            tx.set_stop_at(&plan_id, Time::now().plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)))?;
        }
        for id in &wanted {
            tx.want_task(&plan_id, id, true)?;
            let state = tx.task(&plan_id, id)?.map(|task| task.state);
            if matches!(state, Some(TaskState::Failed | TaskState::Blocked | TaskState::Cancelled)) {
                again(tx, &project.id, &plan_id, id, "dispatched again")?;
            }
        }
        go_on(tx, &project.id, &plan_id)?;
        if is_anyway && let Some((_, why)) = admitting::why_no_worker(tx, &config, &project.id)? {
            insisting::note(tx, &project.id, &plan_id, &why)?;
        }
        tx.insert_run(
            &project.id,
            &RunRow {
                id: run.clone(),
                kind: "dispatch".to_owned(),
                plan: Some(plan_id.as_str().to_owned()),
                attempt: None,
                state: "running".to_owned(),
                result: None,
                alive: None,
            },
        )?;
        Ok(tx.newest_event()?)
    });
    let since = match since {
        Err(Error::Refused(refusal)) if refusal.code == Code::DuplicatePlan => {
            return twice::refuse(session, &plan_id, other.as_ref().unwrap_or(&row));
        }
        other => other?,
    };
    Point::DispatchRecorded.reach()?;
    let conductor = ensure_conductor(session, project, &plan_id, is_anyway)?;
    drop(turn);
    let all = Seats { project: &project.id, most: config.max_workers };
    Ok(Dispatched { note, ..told(session, plan_id, all, run, conductor, since, &wanted)? })
}

/// The refusal of a plan whose first commit is not in the repository any more.
fn without_its_base(row: &PlanRow) -> Refusal {
    let base = row.base.as_deref().unwrap_or_default();
    Refusal::new(
        Code::Conflict,
        format!("plan {} began from {base}, which is not in this repository any more", row.id),
        "its history was rewritten, or it was made anew; plan the work again from what is there now",
    )
}

/// What a run came to as far as it is known at once.
pub(super) fn told(
    session: &Session,
    plan_id: PlanId,
    seats: Seats<'_>,
    run: String,
    conductor: Option<ConductorRow>,
    since: i64,
    wanted: &[TaskId],
) -> Result<Dispatched, Error> {
    let wanted_now = &wanted[..wanted.len().min(NEWS)];
    let is_suspended =
        || Ok::<_, Error>(session.store()?.read(|tx| tx.plan(&plan_id))?.as_ref().is_some_and(is_suspended));
    if !is_suspended()? {
        await_news(session, &plan_id, seats, since, wanted_now)?;
    }
    let (_, _, plan) = load(session, &plan_id, Some(wanted_now))?;
    let (started, mut waiting) = session.store()?.read(|tx| news(tx, &plan_id, &plan, wanted, seats))?;
    if is_suspended()? {
        for (_, reason, on) in &mut waiting {
            (*reason, *on) = querying::paused(&plan_id);
        }
    } else if let Some(place) = admitting::position(session, &querying::plan(session, &plan_id)?)? {
        for (_, _, on) in waiting.iter_mut().filter(|(_, reason, _)| reason == "slot") {
            *on = format!(
                "room for its plan, #{place} in the queue; kapell control launch {plan_id} goes without"
            );
        }
    }
    Ok(Dispatched { run: Some(run), plan: plan_id, conductor, started, waiting, route: None, note: None })
}

/// Lets a task that failed, was blocked or called off begin anew; `false` if it is none of these. One
/// whose work was about to move its branch goes on with that: it may be there already, and another
/// try would find nothing left to do.
pub(super) fn again(
    tx: &Tx<'_>,
    project: &ProjectId,
    plan: &PlanId,
    task: &TaskId,
    why: &str,
) -> Result<bool, Error> {
    let last = tx.attempts_at(plan, task)?.pop();
    let landing = last.map(|attempt| tx.landing_of(&attempt.id)).transpose()?.flatten();
    let was_landing = landing.is_some_and(|landing| landing.merged.is_some());
    let next = if was_landing { TaskState::Approved } else { TaskState::Waiting };
    Ok(tx.move_task(project, plan, task, next, Some(why))?)
}

/// Has a plan go on; whether it does. One that somebody paused stays so until somebody resumes it; one that waited
/// for a decision goes on with that.
pub(super) fn go_on(tx: &Tx<'_>, project: &ProjectId, plan: &PlanId) -> Result<bool, Error> {
    let row = tx.plan(plan)?.ok_or_else(|| Error::Bug(format!("plan {plan} vanished")))?;
    if is_suspended(&row) {
        return Ok(false);
    }
    tx.set_plan_state(project, plan, PlanState::Running, None)?;
    Ok(true)
}

/// Whether a plan is paused, and not for want of a decision.
fn is_suspended(plan: &PlanRow) -> bool {
    let is_waiting = plan.reason.as_ref().is_some_and(|why| why.starts_with(WAITS_FOR_APPROVAL));
    plan.state == PlanState::Paused && !is_waiting
}

/// The plan that an id or a unique name means.
pub fn find_plan(session: &Session, project: &Project, text: &str) -> Result<PlanRow, Error> {
    if text.trim().is_empty() {
        return Err(Refusal::new(
            Code::NotFound,
            "no plan is named",
            "status shows the plans of this project",
        )
        .into());
    }
    let mut found = session.store()?.read(|tx| tx.plans_called(&project.id, text))?;
    let by_id = found.iter().position(|row| row.id.as_str() == text);
    match (by_id, found.len()) {
        (Some(at), _) => Ok(found.swap_remove(at)),
        (None, 1) => Ok(found.swap_remove(0)),
        (None, 0) => Err(Refusal::new(
            Code::NotFound,
            format!("there is no plan {text} in this project"),
            "status shows the plans; plan makes one",
        )
        .into()),
        (None, count) => {
            let ids: Vec<&str> = found.iter().take(5).map(|row| row.id.as_str()).collect();
            Err(Refusal::new(
                Code::NotFound,
                format!("{count} plans are called {text}: {}", ids.join(", ")),
                "name one by its id",
            )
            .into())
        }
    }
}

/// A plan with its tasks, or with some of them.
pub(super) fn load(
    session: &Session,
    id: &PlanId,
    only: Option<&[TaskId]>,
) -> Result<(PlanRow, Vec<TaskRow>, Plan), Error> {
    session.store()?.read(|tx| -> Result<_, Error> {
        let row = tx.plan(id)?.ok_or_else(|| Error::Bug(format!("plan {id} vanished")))?;
        let tasks = match only {
            None => tx.tasks(id, -1, usize::MAX >> 1)?,
            Some(only) => {
                let rows: Result<Vec<_>, _> = only.iter().map(|task| tx.task(id, task)).collect();
                rows?.into_iter().flatten().collect()
            }
        };
        let plan = rows::stored_plan(&row, &tasks)?;
        Ok((row, tasks, plan))
    })
}

/// The tasks that are wanted now: those named, or all that are not done. Of a plan that runs, perhaps without a
/// conductor since its own died, what failed or was cancelled has its end: it begins anew only where it is named,
/// or when the plan is at rest. Each task that one of those named depends on must be done, wanted already, or
/// among them.
fn wanted(
    row: &PlanRow,
    tasks: &[TaskRow],
    plan: &Plan,
    only: Option<&[TaskId]>,
) -> Result<Vec<TaskId>, Error> {
    let Some(only) = only else {
        let is_open = |task: &&TaskRow| match row.state.is_at_rest() {
            // One that was called off by itself, and not with its plan, is still wanted; it is named, or left out.
            true => task.state != TaskState::Done && !(task.state == TaskState::Cancelled && task.wanted),
            false => !task.state.is_final(),
        };
        let open: Vec<TaskId> = tasks.iter().filter(is_open).map(|task| task.id.clone()).collect();
        // Where all is done and nobody has said so of the plan, its conductor died in its last steps.
        if open.is_empty() && row.state == PlanState::Done {
            let is_off = |task: &TaskRow| task.state == TaskState::Cancelled;
            let hint = match tasks.iter().find(|task| is_off(task)) {
                Some(off) => format!("kapell retry {}/{} begins what was called off", row.id, off.id),
                None => "make a new plan, or land this one".to_owned(),
            };
            let what = format!("plan {} is done", row.id);
            return Err(Refusal::new(Code::Conflict, what, hint).for_good().into());
        }
        return Ok(open);
    };
    let named: BTreeSet<&str> = only.iter().map(TaskId::as_str).gather();
    for id in only {
        let (Some(task), Some(state)) = (
            plan.tasks.iter().find(|task| task.id == *id),
            tasks.iter().find(|task| task.id == *id).map(|task| task.state),
        ) else {
            return Err(Refusal::new(
                Code::NotFound,
                format!("plan {} has no task {id}", row.id),
                "status with scope plan lists its tasks",
            )
            .into());
        };
        if state == TaskState::Done {
            return Err(Refusal::new(
                Code::Conflict,
                format!("task {id} of plan {} is done", row.id),
                "leave it out",
            )
            .for_good()
            .into());
        }
        let missing = task.depends_on.iter().find(|on| {
            !named.contains(on.as_str())
                && !tasks
                    .iter()
                    .any(|other| other.id == **on && (other.state == TaskState::Done || other.wanted))
        });
        if let Some(missing) = missing {
            return Err(Refusal::new(
                Code::Conflict,
                format!("task {id} depends on task {missing}, which is neither done nor dispatched"),
                format!("dispatch {missing} too"),
            )
            .into());
        }
    }
    Ok(tasks.iter().filter(|task| named.contains(task.id.as_str())).map(|task| task.id.clone()).collect())
}

/// For what a task waits that would begin with the plan.
const ANY_SLOT: &str = "a free worker, and nothing else";

fn dry_run(id: &PlanId, plan: &Plan, tasks: &[TaskRow], wanted: &[TaskId]) -> Dispatched {
    let state = |id: &TaskId| tasks.iter().find(|task| task.id == *id).map(|task| task.state);
    let mut waiting = Vec::new();
    for wave in dag::waves(plan).unwrap_or_default() {
        for task in wave.iter().filter(|task| wanted.contains(task)) {
            let open = plan
                .tasks
                .iter()
                .find(|other| other.id == *task)
                .and_then(|task| task.depends_on.iter().find(|on| state(on) != Some(TaskState::Done)));
            match open {
                Some(on) => waiting.push((task.clone(), "dependency".to_owned(), format!("task {on}"))),
                None => waiting.push((task.clone(), "slot".to_owned(), ANY_SLOT.to_owned())),
            }
        }
    }
    Dispatched {
        run: None,
        plan: id.clone(),
        conductor: None,
        started: Vec::new(),
        waiting,
        route: None,
        note: None,
    }
}

/// A task without a plan, checked, with a name of its own. Its priority is that of the route that
/// matches it, unless it has one.
fn ad_hoc(
    project: &Project,
    config: &Config,
    task: &serde_json::Map<String, serde_json::Value>,
) -> Result<Task, Error> {
    let mut object = task.clone();
    object.insert("id".to_owned(), format!("t-{}", random_tail(6)).into());
    let mut task = planning::single(project, config, object)?;
    // It would only fail at its start.
    walling::wish(config, &task)?;
    routing::prioritise(config, &mut task);
    Ok(task)
}

/// Puts it into the project's inbox.
fn put_into_inbox(session: &Session, project: &Project, inbox: &PlanId, task: &Task) -> Result<(), Error> {
    session.store()?.write(|tx| -> Result<(), Error> {
        project.ensure(tx)?;
        if tx.plan(inbox)?.is_none() {
            // An inbox has no specs to go first.
            let rules = Rules { spec_first: Some(false), ..Rules::default() };
            let empty = Plan { name: Some("inbox".to_owned()), rules, ..Plan::default() };
            tx.insert_plan(&project.id, inbox, "inbox", &rows::plan_document(&empty).to_string())?;
        }
        planning::insert_task(tx, inbox, task, false)
    })
}

/// Tells, as long as it is held, that a plan's conductor is being started: recorded as running, the plan
/// has none for a moment, and that is not one that died.
pub fn starting(session: &Session, plan: &PlanId) -> Option<Life> {
    Life::take(&querying::starting_file(&session.house, plan)).ok().flatten()
}

/// The conductor of a plan, if one lives: its lock is asked, not its row.
pub fn live_conductor(session: &Session, plan: &PlanId) -> Result<Option<ConductorRow>, Error> {
    let row = session.store()?.read(|tx| tx.conductor_of(plan))?;
    Ok(row.filter(querying::is_alive))
}

/// What keeps a plan's conductor from doing what it is asked to, and what to do about it; `None` where
/// nothing does.
pub fn suspended(conductor: &ConductorRow) -> Option<(String, String)> {
    tree::is_suspended(conductor.pid.cast_signed(), conductor.start_time).then(|| {
        let ConductorRow { pid, plan, .. } = conductor;
        (
            format!("its conductor (process {pid}) is suspended and does nothing"),
            format!("kill -CONT {pid} lets it go on; kapell stop {plan} --force ends it and its workers"),
        )
    })
}

/// Kills a conductor that does not do its work; what it recorded is taken up by the next.
pub fn end_hung(conductor: &ConductorRow) -> Result<(), Error> {
    let failed = |error| Error::system(format!("cannot end process {}", conductor.pid), error);
    let Some(process) = Handle::open(conductor.pid.cast_signed()).map_err(failed)? else { return Ok(()) };
    // Held first, then looked at, so that no other process of that number is meant.
    if querying::is_alive(conductor) {
        process.signal(Signal::KILL).map_err(failed)?;
        process.wait_for_end(CONDUCTOR_PATIENCE).map_err(failed)?;
    }
    Ok(())
}

/// The turn to start a plan, until its conductor is in the registry: of many who start it at one moment one does,
/// and the others find who runs it. Without it, since somebody has it for too long, what is recorded decides.
fn turn_to_start(session: &Session, plan: &PlanId) -> Result<Option<Life>, Error> {
    let watch = Watch::new(&session.house.root)?;
    let file = querying::starting_file(&session.house, plan);
    let deadline = Instant::now() + CONDUCTOR_PATIENCE;
    loop {
        let turn =
            Life::take(&file).map_err(|error| Error::system("cannot lock the start of the plan", error))?;
        if turn.is_some() || Instant::now() >= deadline {
            return Ok(turn);
        }
        // Whoever has it lets go of it without a word to the database.
        watch.wait(Some(Instant::now() + TURN));
    }
}

/// Waits a little for a conductor that somebody else may be starting.
fn await_conductor(session: &Session, plan: &PlanId) -> Result<Option<ConductorRow>, Error> {
    let watch = Watch::new(&session.house.root)?;
    let life_file = session.house.life_file(&format!("plan-{plan}"));
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let last = session.store()?.read(|tx| tx.conductor_of(plan))?;
        if let Some(last) = last.filter(|last| last.state.should_live()) {
            // One that ends records it before it lets go of its lock, so without the lock it died.
            return Ok(querying::is_alive(&last).then_some(last));
        }
        if Instant::now() >= deadline && !life::is_held(&life_file) {
            return Ok(None);
        }
        if Instant::now() >= deadline + CONDUCTOR_PATIENCE {
            return Ok(None);
        }
        watch.wait(Some(deadline.max(Instant::now() + Duration::from_millis(100))));
    }
}

/// Starts a conductor unless one lives, and waits until it is in the registry.
pub fn ensure_conductor(
    session: &Session,
    project: &Project,
    plan: &PlanId,
    launch_anyway: bool,
) -> Result<Option<ConductorRow>, Error> {
    let house = &session.house;
    if let Some(conductor) = live_conductor(session, plan)? {
        return Ok(Some(conductor));
    }
    let _starting = starting(session, plan);
    let watch = Watch::new(&house.root)?;
    let before = session.store()?.read(|tx| tx.conductor_of(plan))?.map_or(0, |row| row.fencing);
    let log = house.root.join("log").join(format!("{plan}.log"));
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::system(format!("cannot make {}", folder.display()), error))?;
    }
    let mut args: Vec<std::ffi::OsString> = vec!["conduct".into(), plan.as_str().into()];
    if launch_anyway {
        args.push("--launch".into());
    }
    let folder = project.top().unwrap_or(&project.place).to_owned();
    let environment: Vec<(std::ffi::OsString, std::ffi::OsString)> = house
        .environment
        .iter()
        .filter(|(name, _)| !is_of_a_session(name))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let (has_ended, waker) = (Arc::new(AtomicBool::new(false)), watch.waker());
    let ends = Arc::clone(&has_ended);
    let on_end = move || {
        ends.store(true, Ordering::SeqCst);
        waker.wake();
    };
    spawn::detach(&house.program, &args, &folder, environment, &log, on_end)
        .map_err(|error| Error::system("cannot start the conductor", std::io::Error::other(error)))?;
    Point::DispatchStarted.reach()?;
    let deadline = Instant::now() + CONDUCTOR_PATIENCE;
    loop {
        // A short plan's conductor may have ended again by now. Asked first: what it recorded is seen.
        let is_over = has_ended.load(Ordering::SeqCst);
        let row = session.store()?.read(|tx| tx.conductor_of(plan))?;
        if let Some(row) = row.filter(|row| row.fencing > before && row.state != ConductorState::Crashed) {
            return Ok(Some(row));
        }
        if is_over && let Some(other) = live_conductor(session, plan)? {
            // Somebody else's was quicker.
            return Ok(Some(other));
        }
        if is_over || Instant::now() >= deadline {
            let how = match is_over {
                true => "ended before it began".to_owned(),
                false => format!("did not start within {} s", CONDUCTOR_PATIENCE.as_secs()),
            };
            return Err(Refusal::new(
                Code::Busy,
                format!("the conductor of plan {plan} {how}"),
                format!("its log is {}", log.display()),
            )
            .into());
        }
        watch.wait(Some(deadline));
    }
}

/// Variables that belong to one agent's session or attempt, not to whoever started it.
fn is_of_a_session(name: &str) -> bool {
    matches!(
        name,
        "CLAUDECODE"
            | "CLAUDE_CODE_SESSION_ID"
            | "CLAUDE_CODE_ENTRYPOINT"
            | "CLAUDE_PROJECT_DIR"
            | "AI_AGENT"
            | "KAPELL_ATTEMPT"
            | "KAPELL_PLAN"
            | "KAPELL_TASK"
            | "KAPELL_FILES"
            | "KAPELL_PROMPT_FILE"
            | "KAPELL_SOCKET"
    )
}

/// Waits until the conductor has looked at the plan once, or a little while; not where nothing of what
/// is wanted can begin now.
fn await_news(
    session: &Session,
    plan: &PlanId,
    seats: Seats<'_>,
    since: i64,
    wanted: &[TaskId],
) -> Result<(), Error> {
    let deadline = Instant::now() + FIRST_NEWS;
    let has_news = || {
        session
            .store()?
            .read(|tx| Ok::<_, Error>(seats.taken(tx)?.is_some() || has_news(tx, plan, since, wanted)?))
    };
    if has_news()? {
        return Ok(());
    }
    let watch = Watch::new(&session.house.root)?;
    while !has_news()? && Instant::now() < deadline {
        watch.wait(Some(deadline));
    }
    Ok(())
}

/// Whether anything was begun, or all that is wanted waits for a reason that is known.
fn has_news(tx: &Tx<'_>, plan: &PlanId, since: i64, wanted: &[TaskId]) -> Result<bool, Error> {
    let is_told = |kind| -> Result<bool, Error> {
        let filter = EventFilter { plan: Some(plan.as_str()), kind: Some(kind), ..EventFilter::default() };
        Ok(!tx.events_after(since, &filter, 1)?.is_empty())
    };
    if is_told("attempt.started")? || is_told("conductor.queued")? {
        return Ok(true);
    }
    // One that came to rest has nothing left to begin.
    if tx.plan(plan)?.is_none_or(|row| row.state.is_at_rest()) {
        return Ok(true);
    }
    // A conductor that began nothing in its first pass says that it lives at the end of it.
    let has_passed = |row: ConductorRow| row.heartbeat_at != row.started_at;
    if is_told("conductor.started")? && tx.conductor_of(plan)?.is_some_and(has_passed) {
        return Ok(true);
    }
    for task in wanted {
        if tx.task(plan, task)?.is_none_or(|row| row.reason.is_none()) {
            return Ok(false);
        }
    }
    Ok(true)
}

type News = (Vec<(AttemptRow, TaskId, Vec<String>)>, Vec<(TaskId, String, String)>);

fn news(tx: &Tx<'_>, id: &PlanId, plan: &Plan, wanted: &[TaskId], seats: Seats<'_>) -> Result<News, Error> {
    let (mut started, mut waiting) = (Vec::new(), Vec::new());
    let behind = seats.taken(tx)?.unwrap_or_else(|| "its turn, in a moment".to_owned());
    for task in wanted.iter().take(NEWS) {
        let Some(row) = tx.task(id, task)? else { continue };
        let parsed = plan.tasks.iter().find(|other| other.id == *task);
        match row.state {
            TaskState::Waiting => {
                let (reason, on) = match parsed.and_then(|task| task.depends_on.first()) {
                    Some(on) => ("dependency", format!("task {on}")),
                    None => ("slot", behind.clone()),
                };
                waiting.push((task.clone(), reason.to_owned(), on));
            }
            TaskState::Ready => {
                let reason = row.reason.as_deref().and_then(|reason| reason.split_once(": "));
                let (reason, on) = reason.unwrap_or(("slot", &behind));
                waiting.push((task.clone(), reason.to_owned(), on.to_owned()));
            }
            _ => {
                if let Some(attempt) = tx.attempts_at(id, task)?.pop() {
                    let claims = parsed
                        .map(|task| task.files.iter().map(|pattern| pattern.as_str().to_owned()).collect())
                        .unwrap_or_default();
                    started.push((attempt, task.clone(), claims));
                }
            }
        }
    }
    Ok((started, waiting))
}
