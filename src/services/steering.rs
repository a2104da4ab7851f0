//! Steering: what a person or an orchestrator decides about plans, tasks and attempts. It is
//! recorded; the conductor sees it and acts. Where no conductor lives, this does.

use std::path::Path;

use super::conductor::launching::kind_of_run;
use super::pipelines::deciding;
use super::project::Project;
use super::{
    Error, Session, admitting, approving, dispatching, insisting, nudging, owning, querying, spending,
};
use crate::base::ids::{AttemptId, ConductorId, PlanId, TaskId, WorkerName};
use crate::domain::attempt::AttemptState;
use crate::domain::conducting::{ConductorState, PlanState};
use crate::domain::pipeline::StageState;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::task::TaskState;
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::store::events::NewEvent;
use crate::store::pipelines::StageRow;
use crate::store::plans::PlanRow;
use crate::sys::config::resolved::Isolation;
use crate::sys::shim::client;
use crate::sys::shim::job::Request;

mod bringing;
mod ending;
mod releasing;
mod resuming;
mod yielding;
pub(super) use bringing::tell_landed;
use bringing::{land, land_all};
pub use ending::kill_workers;
use ending::{being_judged, end_by_force, forced, judged};
pub(in crate::services) use ending::{is_stopping, is_through};
use releasing::{nobody, release};
pub(in crate::services) use yielding::make_way;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Let nothing new start; with force suspend what runs.
    Pause,
    /// Go on.
    Resume,
    /// Snapshot and end what runs.
    Stop,
    /// Call a task off.
    Cancel,
    /// Try a task again.
    Retry,
    /// End the attempt and begin another.
    Restart,
    /// Accept work that the judge refused.
    Approve,
    /// Bring landed work to the target branch.
    Land,
    /// Tell a worker something.
    Nudge,
    /// Start what waits for room.
    Launch,
}

/// What a target's id means.
#[derive(Debug)]
enum Target {
    All,
    Plan(Box<PlanRow>),
    Task(Box<PlanRow>, TaskId),
    Stage(Box<PlanRow>, String),
    Attempt(Box<AttemptRow>),
    /// All that a worker does, where that is several.
    Worker(Vec<AttemptRow>),
}

/// How it is to be done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// At once, without grace.
    pub force: bool,
    /// Why, or what to tell.
    pub message: Option<&'a str>,
    /// With approve: the paths outside of the claim that land too.
    pub paths: &'a [String],
    /// With resume: what the plan may cost from now on.
    pub budget_usd: Option<f64>,
}

/// What was done: the state of the target now, and a sentence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Done {
    /// The state.
    pub state: String,
    /// The sentence.
    pub message: String,
    /// The runs that have yet to prove it.
    pub runs: Vec<String>,
}

/// Does it.
pub fn control(
    session: &Session,
    project: &Project,
    action: Action,
    target: &str,
    asked: &Asked<'_>,
) -> Result<Done, Error> {
    let Asked { force, message, paths, budget_usd } = *asked;
    if !paths.is_empty() && action != Action::Approve {
        return Err(refuse(
            Code::Usage,
            "paths are for approve alone",
            "leave them out, or approve with them what an attempt did outside of its claim",
        ));
    }
    if budget_usd.is_some() && action != Action::Resume {
        return Err(refuse(
            Code::Usage,
            "a budget is for resume alone",
            "leave it out, or resume the plan with what it may cost from now on",
        ));
    }
    if action == Action::Resume
        && budget_usd.is_none()
        && let Some(done) = release(session, project, target)?
    {
        return Ok(done);
    }
    let found = find(session, project, target)?;
    let of = match &found {
        _ if matches!(action, Action::Pause | Action::Stop) => None,
        Target::All | Target::Worker(_) => None,
        Target::Plan(plan) | Target::Task(plan, _) | Target::Stage(plan, _) => Some(&plan.id),
        Target::Attempt(attempt) => Some(&attempt.plan),
    };
    let _starting = of.and_then(|plan| dispatching::starting(session, plan));
    if let Some(usd) = budget_usd {
        let Target::Plan(plan) = found else {
            return Err(refuse(
                Code::Usage,
                "a budget is a plan's",
                "name one plan, not all, a task, an attempt or a worker",
            ));
        };
        if matches!(plan.state, PlanState::Draft | PlanState::Done) {
            // It is said why not.
            return on_plan(session, project, action, &plan, force, message);
        }
        let money = spending::allow(session, project, &plan, usd)?;
        let done = on_plan(session, project, action, &plan, force, message)?;
        return Ok(Done { message: format!("{}; it may cost {money} dollars", done.message), ..done });
    }
    match (action, found) {
        (Action::Pause | Action::Resume | Action::Stop | Action::Launch, Target::All) => {
            let plans = querying::plans(session, project, 10_000)?;
            let mut done = 0;
            for plan in plans {
                if plan.row.state.is_at_rest()
                    && !(action == Action::Stop && is_stopping(session, &plan.row)?)
                {
                    continue;
                }
                match on_plan(session, project, action, &plan.row, force, message) {
                    Ok(_) => done += 1,
                    Err(_) if is_through(session, action, &plan.row.id)? => {}
                    Err(error) => return Err(error),
                }
            }
            let told = match action {
                Action::Pause => "paused",
                Action::Resume => "resumed",
                Action::Launch => "launched",
                _ => "stopped",
            };
            let plans = match done {
                0 => "no plan is at work".to_owned(),
                1 => "1 plan".to_owned(),
                done => format!("{done} plans"),
            };
            Ok(Done { state: told.to_owned(), message: plans, ..Done::default() })
        }
        (Action::Land, Target::All) => land_all(session, project),
        (_, Target::All) => Err(refuse(
            Code::Usage,
            "all can be paused, resumed, stopped, launched or landed, and nothing else",
            "name one plan, task or attempt",
        )),
        (Action::Cancel, Target::Plan(plan)) => cancel_plan(session, project, &plan, message),
        (Action::Land, Target::Plan(plan)) => land(session, project, &plan),
        (Action::Retry | Action::Restart, Target::Plan(plan)) => retry_plan(session, project, &plan),
        (Action::Approve, Target::Plan(plan)) if is_run(session, &plan.id)? => {
            decide(session, project, &plan.id, None, message)
        }
        (Action::Approve, Target::Plan(plan)) => Err(refuse(
            Code::Usage,
            format!("a plan is not approved as a whole: {}", plan.id),
            "approve its rejected tasks one by one: PLAN_ID/TASK_ID",
        )),
        (Action::Nudge, Target::Plan(plan)) => {
            let live = session.store()?.read(|tx| tx.live_attempts(&plan.id))?;
            nudge(session, project, &live, &format!("plan {}", plan.id), message)
        }
        (Action::Nudge, Target::Task(plan, task)) => {
            let tried = session.store()?.read(|tx| tx.attempts_at(&plan.id, &task))?;
            let live: Vec<_> = tried.into_iter().filter(|it| it.state.outcome().is_none()).collect();
            nudge(session, project, &live, &format!("task {}/{task}", plan.id), message)
        }
        (Action::Nudge, Target::Attempt(attempt)) => {
            let live = [*attempt].into_iter().filter(|it| it.state.outcome().is_none());
            nudge(session, project, &live.collect::<Vec<_>>(), target, message)
        }
        (Action::Nudge, Target::Worker(live)) => nudge(session, project, &live, target, message),
        (Action::Pause | Action::Resume | Action::Stop | Action::Restart, Target::Worker(live)) => {
            let (mut state, mut told, mut refused) = (String::new(), Vec::new(), None);
            for attempt in live {
                match control(session, project, action, attempt.id.as_str(), asked) {
                    Ok(done) => {
                        state = done.state;
                        told.push(done.message);
                    }
                    // It may have ended meanwhile.
                    Err(error) => refused = Some(error),
                }
            }
            match refused.filter(|_| told.is_empty()) {
                Some(error) => Err(error),
                None => Ok(Done { state, message: told.join(", "), ..Done::default() }),
            }
        }
        (_, Target::Worker(live)) => {
            let tasks: Vec<_> = live.iter().map(|it| format!("{}/{}", it.plan, it.task)).collect();
            Err(refuse(
                Code::Usage,
                format!("worker {target} is at work on several tasks"),
                format!("name one of them: {}", tasks.join(", ")),
            ))
        }
        (Action::Approve, Target::Stage(plan, stage)) => {
            decide(session, project, &plan.id, Some(&stage), message)
        }
        (Action::Retry | Action::Restart, Target::Stage(plan, stage)) => {
            deciding::retry(session, project, &plan.id, &stage)
        }
        (_, Target::Stage(plan, stage)) => Err(refuse(
            Code::Usage,
            format!("a stage can be approved or tried again, and nothing else: {}/{stage}", plan.id),
            "name the run, or one of its tasks",
        )),
        (action, Target::Plan(plan)) => on_plan(session, project, action, &plan, force, message),
        (action, Target::Task(plan, task)) => on_task(session, project, action, &plan, &task, asked),
        (action, Target::Attempt(attempt)) => {
            let plan = dispatching::find_plan(session, project, attempt.plan.as_str())?;
            let task = TaskId::text(&attempt.task);
            match action {
                Action::Pause | Action::Resume | Action::Stop | Action::Restart => {
                    on_attempt(session, project, action, &attempt, &task, asked)
                }
                Action::Approve => approve_attempt(session, project, &plan, &task, &attempt, asked),
                other => on_task(session, project, other, &plan, &task, asked),
            }
        }
    }
}

/// Tells workers something while they work, as far as they can be told.
fn nudge(
    session: &Session,
    project: &Project,
    live: &[AttemptRow],
    what: &str,
    message: Option<&str>,
) -> Result<Done, Error> {
    if live.is_empty() {
        return Err(refuse(
            Code::Conflict,
            format!("nobody is at work on {what}, so nobody can be told"),
            "control retry with a message tells the next one",
        ));
    }
    let config = session.config_at_work(project)?;
    let text = message
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .unwrap_or("Somebody asks how you are getting on. Go on, and say so; or end with what you have.");
    let who = session.caller.holder.name.to_string();
    let mut heard = Vec::new();
    for attempt in live {
        let kind = kind_of_run(config.providers.get(&attempt.provider), Path::new(&attempt.run_dir));
        let how = nudging::nudge(session, attempt, kind, &who, text)?;
        heard.push(format!("{} (attempt {}) hears it {how}", attempt.worker, attempt.id));
    }
    Ok(Done { state: "nudged".to_owned(), message: heard.join("; "), ..Done::default() })
}

/// Whether what there is to decide of a stage is its own, and not of the task that is called like it.
fn asks_itself(stage: &StageRow, is_task_done: bool) -> bool {
    match stage.state {
        StageState::Approval | StageState::Refused | StageState::Unknown | StageState::RolledBack => true,
        StageState::Failed => is_task_done || stage.command.is_some(),
        _ => false,
    }
}

/// The stage of a pipeline's run whose command runs, if one does.
fn command_at_work(session: &Session, plan: &PlanId) -> Result<Option<String>, Error> {
    let stages = session.store()?.read(|tx| tx.pipeline_stages(plan))?;
    let is_at_work = |it: &StageRow| {
        it.command.is_some() && matches!(it.state, StageState::Running | StageState::RollingBack)
    };
    Ok(stages.into_iter().find(is_at_work).map(|stage| stage.name))
}

/// Whether a plan is a run of a pipeline.
fn is_run(session: &Session, plan: &PlanId) -> Result<bool, Error> {
    Ok(session.store()?.read(|tx| tx.pipeline_run(plan))?.is_some())
}

fn decide(
    session: &Session,
    project: &Project,
    plan: &PlanId,
    stage: Option<&str>,
    message: Option<&str>,
) -> Result<Done, Error> {
    let asked = deciding::Asked { stage, refuse: false, message };
    deciding::decide(session, project, plan.as_str(), &asked)
}

fn refuse(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Error {
    Refusal::new(code, message, hint).into()
}

fn find(session: &Session, project: &Project, text: &str) -> Result<Target, Error> {
    if text == "all" {
        return Ok(Target::All);
    }
    if let Some((plan, task)) = text.split_once('/') {
        let plan = dispatching::find_plan(session, project, plan)?;
        let id = TaskId::text(task);
        let row = session.store()?.read(|tx| tx.task(&plan.id, &id))?;
        let stages = session.store()?.read(|tx| tx.pipeline_stages(&plan.id))?;
        // The task of a stage that is done once for all is called like it; what there is to decide is the stage's.
        let is_done = row.as_ref().is_none_or(|row| row.state == TaskState::Done);
        let is_stage =
            |stage: &StageRow| stage.name == task && (row.is_none() || asks_itself(stage, is_done));
        let stage = stages.into_iter().find(is_stage);
        if let Some(stage) = stage {
            return Ok(Target::Stage(Box::new(plan), stage.name));
        }
        let row = row.ok_or_else(|| {
            refuse(
                Code::NotFound,
                format!("plan {} has no task {task}", plan.id),
                "status with scope plan lists its tasks",
            )
        })?;
        return Ok(Target::Task(Box::new(plan), row.id));
    }
    let store = session.store()?;
    if let Some(attempt) = store.read(|tx| tx.attempt(&AttemptId::new(text)))? {
        return Ok(Target::Attempt(Box::new(attempt)));
    }
    if let Some(conductor) = store.read(|tx| tx.conductor(&ConductorId::new(text)))? {
        let plan = store.read(|tx| tx.plan(&conductor.plan))?;
        if let Some(plan) = plan {
            return Ok(Target::Plan(Box::new(plan)));
        }
    }
    let worker = WorkerName::new(text);
    let mut of_worker = store.read(|tx| tx.all_live_attempts())?;
    of_worker.retain(|it| it.worker == worker && it.project == project.id);
    if of_worker.len() > 1 {
        return Ok(Target::Worker(of_worker));
    }
    if let Some(attempt) = of_worker.pop() {
        return Ok(Target::Attempt(Box::new(attempt)));
    }
    match dispatching::find_plan(session, project, text) {
        Ok(plan) => Ok(Target::Plan(Box::new(plan))),
        Err(error) => Err(nobody(session, project, text).unwrap_or(error)),
    }
}

fn on_plan(
    session: &Session,
    project: &Project,
    action: Action,
    plan: &PlanRow,
    force: bool,
    message: Option<&str>,
) -> Result<Done, Error> {
    let store = session.store()?;
    let id = &plan.id;
    let state = match action {
        Action::Pause => PlanState::Paused,
        Action::Stop => PlanState::Stopped,
        _ => PlanState::Running,
    };
    // What was stopped may still have workers whose conductor hangs, or gates that take their time to end.
    let conductor = dispatching::live_conductor(session, id)?;
    let is_ending = state == PlanState::Stopped
        && (!store.read(|tx| tx.live_attempts(id))?.is_empty()
            || plan.state == PlanState::Stopped && conductor.is_some());
    if plan.state.is_at_rest() && state != PlanState::Running && !is_ending {
        let message = format!(
            "plan {id} is {}, so there is nothing to {}",
            plan.state.as_str(),
            if state == PlanState::Paused { "pause" } else { "stop" }
        );
        return Err(Refusal::new(Code::Conflict, message, "status shows the plans at work")
            .for_good()
            .into());
    }
    if matches!(plan.state, PlanState::Draft | PlanState::Done) && state == PlanState::Running {
        return Err(refuse(
            Code::Conflict,
            format!("plan {id} is {}", plan.state.as_str()),
            "dispatch starts a plan",
        ));
    }
    if state == PlanState::Running {
        resuming::refuse_in_vain(session, plan)?;
    }
    let is_queued = conductor.as_ref().is_some_and(|row| row.state == ConductorState::Queued);
    let lacking = match action {
        Action::Launch if is_queued => Some("there is no room".to_owned()),
        Action::Launch => {
            let config = session.config_at_work(project)?;
            let no_worker = store.read(|tx| admitting::why_no_worker(tx, &config, &project.id))?;
            no_worker.map(|(_, why)| why)
        }
        _ => None,
    };
    // Where it is not known everything stays as it is.
    let isolation = session.config_at_work(project).map_or(Isolation::Shared, |config| config.isolation);
    let live = store.write(|tx| -> Result<Vec<AttemptRow>, Error> {
        let live = tx.live_attempts(id)?;
        for attempt in &live {
            let next = match state {
                PlanState::Stopped => AttemptState::Stopping,
                PlanState::Paused if force => AttemptState::Paused,
                PlanState::Running if attempt.state == AttemptState::Paused => AttemptState::Running,
                _ => continue,
            };
            tx.set_attempt_state(&attempt.id, next)?;
        }
        // After its attempts', so that the record tells at this one what became of them.
        tx.set_plan_state(&project.id, id, state, message)?;
        if let Some(why) = &lacking {
            // It waits for room, and finds this when it looks again.
            insisting::note(tx, &project.id, id, why)?;
        }
        if live.is_empty() && conductor.is_none() {
            // Nobody comes to do it who would have to save something first.
            owning::leave_stopped(tx, &project.id, id, isolation)?;
        }
        Ok(live)
    })?;
    // Done at once as well, so that it is so when it is answered; the conductor sees to what this misses.
    let request = match state {
        PlanState::Stopped if force => Some(Request::Kill),
        PlanState::Paused if force => Some(Request::Pause),
        PlanState::Running => Some(Request::Resume),
        _ => None,
    };
    if let Some(request) = request {
        for attempt in &live {
            let _ = client::send(Path::new(&attempt.run_dir), request);
        }
    }
    let judged =
        if action == Action::Stop && conductor.is_some() { judged(session, id)? } else { Vec::new() };
    if force {
        end_by_force(session, &judged);
    }
    // Without a conductor nobody would do it: one is started to end, or to go on with, what is left.
    let needs_one = state == PlanState::Running || !live.is_empty();
    if conductor.is_none() && needs_one {
        dispatching::ensure_conductor(session, project, id, action == Action::Launch)?;
    }
    let n = live.len();
    let message = match (action, n) {
        (Action::Pause, _) => resuming::paused(&live, force),
        (Action::Stop, 0) => match command_at_work(session, id)? {
            Some(stage) => format!(
                "the command of stage {stage} is being ended; kapell resume {id} sees to what it leaves, and rolls back what it began"
            ),
            None if judged.is_empty() => "nobody is at work on it".to_owned(),
            None => being_judged(session, id, judged.len(), force)?,
        },
        (Action::Stop, _) if force => forced(session, project, id, n)?,
        (Action::Stop, _) => match conductor.as_ref().and_then(dispatching::suspended) {
            Some((what, hint)) => format!("it is to stop, but {what}: {hint}"),
            None => format!("{} being ended, what they did is saved first", are(n)),
        },
        _ => match &lacking {
            Some(why) => format!("it begins, although {why}"),
            None => resuming::told(plan),
        },
    };
    Ok(Done { state: state.as_str().to_owned(), message, ..Done::default() })
}

fn are(workers: usize) -> String {
    if workers == 1 { "1 worker is".to_owned() } else { format!("{workers} workers are") }
}

fn cancel_plan(
    session: &Session,
    project: &Project,
    plan: &PlanRow,
    message: Option<&str>,
) -> Result<Done, Error> {
    let is_draft = plan.state == PlanState::Draft;
    let is_run = !plan.state.is_at_rest() && session.store()?.read(|tx| tx.pipeline_run(&plan.id))?.is_some();
    let called_off = session.store()?.write(|tx| -> Result<usize, Error> {
        let mut called_off = 0;
        for task in tx.task_lights(&plan.id)? {
            // What came to its end tells why.
            if matches!(task.state, TaskState::Failed | TaskState::Blocked) {
                continue;
            }
            if cancel(tx, project, &plan.id, &task.id, message)? {
                called_off += 1;
            }
            // A plan whose tasks were called off one by one is done without them; one called off as a whole is not.
            if tx.task(&plan.id, &task.id)?.is_some_and(|row| row.state == TaskState::Cancelled) {
                tx.want_task(&plan.id, &task.id, false)?;
            }
        }
        if is_draft || is_run {
            // The stages of a pipeline that have commands have no tasks.
            tx.set_plan_state(&project.id, &plan.id, PlanState::Stopped, message)?;
        } else if plan.state == PlanState::Paused {
            // Nothing of it is left to be held up; so it comes to its rest.
            tx.set_plan_state(&project.id, &plan.id, PlanState::Running, message)?;
        }
        Ok(called_off)
    })?;
    if called_off == 0 && plan.state.is_at_rest() && !is_draft {
        let message = format!("plan {} is {}, and nothing of it is open", plan.id, plan.state.as_str());
        let hint = "status with scope plan lists its tasks";
        return Err(Refusal::new(Code::Conflict, message, hint).for_good().into());
    }
    if !plan.state.is_at_rest() {
        dispatching::ensure_conductor(session, project, &plan.id, false)?;
    }
    Ok(Done {
        state: "cancelled".to_owned(),
        message: match is_run {
            true => {
                "its open tasks are called off, and no further stage begins; what landed stays".to_owned()
            }
            false => "its open tasks are called off; what landed stays".to_owned(),
        },
        ..Done::default()
    })
}

fn cancel(
    tx: &Tx<'_>,
    project: &Project,
    plan: &PlanId,
    task: &TaskId,
    message: Option<&str>,
) -> Result<bool, Error> {
    let moved =
        tx.move_task(&project.id, plan, task, TaskState::Cancelled, message.or(Some("called off")))?;
    if moved {
        for attempt in tx.attempts_at(plan, task)? {
            if attempt.state.outcome().is_none() {
                tx.set_attempt_state(&attempt.id, AttemptState::Stopping)?;
            } else {
                tx.release_attempt_claims(&project.id, &attempt.id, "its task was called off")?;
            }
        }
        // What it delegated was part of it.
        for child in tx.children(plan, task)? {
            cancel(
                tx,
                project,
                plan,
                &child.id,
                Some(&format!("task {task}, which delegated it, was called off")),
            )?;
        }
    }
    Ok(moved)
}

fn retry_plan(session: &Session, project: &Project, plan: &PlanRow) -> Result<Done, Error> {
    let (tasks, stages, goes_on) = session.store()?.write(|tx| -> Result<(usize, usize, bool), Error> {
        let mut again = 0;
        for task in tx.task_lights(&plan.id)? {
            if matches!(task.state, TaskState::Failed | TaskState::Blocked | TaskState::Cancelled) {
                tx.want_task(&plan.id, &task.id, true)?;
                dispatching::again(tx, &project.id, &plan.id, &task.id, "tried again")?;
                again += 1;
            }
        }
        let stages = deciding::again(tx, project, &plan.id, None)?;
        let goes_on = again + stages > 0 && dispatching::go_on(tx, &project.id, &plan.id)?;
        Ok((again, stages, goes_on))
    })?;
    if tasks + stages == 0 {
        return Err(refuse(
            Code::Conflict,
            format!("no task of plan {} failed", plan.id),
            "dispatch starts tasks that have not run",
        ));
    }
    dispatching::ensure_conductor(session, project, &plan.id, false)?;
    let counted = |count: usize, noun: &str| match count {
        0 => None,
        1 => Some(format!("1 {noun}")),
        _ => Some(format!("{count} {noun}s")),
    };
    let what: Vec<String> =
        [counted(tasks, "task"), counted(stages, "stage")].into_iter().flatten().collect();
    let verb = if tasks + stages == 1 { "is" } else { "are" };
    let message = format!("{} {verb} tried again", what.join(" and "));
    Ok(deciding::again_or_paused(&plan.id, goes_on, message))
}

fn on_task(
    session: &Session,
    project: &Project,
    action: Action,
    plan: &PlanRow,
    task: &TaskId,
    asked: &Asked<'_>,
) -> Result<Done, Error> {
    let Asked { force, message, .. } = *asked;
    let store = session.store()?;
    let last = store.read(|tx| tx.attempts_at(&plan.id, task))?.pop();
    let state = store.read(|tx| tx.task(&plan.id, task))?.map(|row| row.state);
    let state =
        state.ok_or_else(|| refuse(Code::NotFound, format!("no task {task}"), "status lists the tasks"))?;
    let wrong = |what: &str| -> Error {
        let refusal = Refusal::new(
            Code::Conflict,
            format!("task {}/{task} is {}, so it cannot be {what}", plan.id, state.as_str()),
            "status with scope task tells more",
        );
        // What is over stays as it is, however long one waits.
        if state == TaskState::Done { refusal.for_good().into() } else { refusal.into() }
    };
    match action {
        Action::Cancel => {
            let cancelled = store.write(|tx| ending::cancel_one(tx, project, plan, task, message))?;
            let Some(is_over) = cancelled else { return Err(wrong("called off")) };
            if let Some(attempt) = last.filter(|attempt| attempt.state.outcome().is_none()) {
                if force {
                    let _ = client::send(Path::new(&attempt.run_dir), Request::Kill);
                }
                dispatching::ensure_conductor(session, project, &plan.id, false)?;
            } else if is_over {
                // Nothing else of it is open: a conductor brings it to its end, as it would have at its work.
                dispatching::ensure_conductor(session, project, &plan.id, false)?;
            }
            Ok(Done {
                state: "cancelled".to_owned(),
                message: format!("task {task} is called off"),
                ..Done::default()
            })
        }
        Action::Retry => {
            let done = store.write(|tx| -> Result<Option<bool>, Error> {
                tx.want_task(&plan.id, task, true)?;
                if let Some(message) = message {
                    tx.set_feedback(&plan.id, task, Some(message))?;
                }
                let moved = dispatching::again(tx, &project.id, &plan.id, task, "tried again")?;
                moved.then(|| dispatching::go_on(tx, &project.id, &plan.id)).transpose()
            })?;
            let Some(goes_on) = done else { return Err(wrong("tried again")) };
            dispatching::ensure_conductor(session, project, &plan.id, false)?;
            let done = deciding::again_or_paused(&plan.id, goes_on, format!("task {task} is tried again"));
            Ok(Done { state: "waiting".to_owned(), ..done })
        }
        Action::Approve => approve(session, project, last, asked, &wrong),
        Action::Land => land(session, project, plan),
        Action::Pause | Action::Resume | Action::Stop | Action::Restart => match last {
            Some(attempt) if attempt.state.outcome().is_none() => {
                on_attempt(session, project, action, &attempt, task, asked)
            }
            _ => Err(wrong("paused, resumed, stopped or restarted: no attempt runs")),
        },
        Action::Nudge | Action::Launch => Err(wrong("told or launched by itself")),
    }
}

/// Approves an attempt that was named itself, which must be the newest at its task.
fn approve_attempt(
    session: &Session,
    project: &Project,
    plan: &PlanRow,
    task: &TaskId,
    attempt: &AttemptRow,
    asked: &Asked<'_>,
) -> Result<Done, Error> {
    let last = session.store()?.read(|tx| tx.attempts_at(&plan.id, task))?.pop();
    if let Some(last) = last.filter(|last| last.id != attempt.id) {
        return Err(Refusal::new(
            Code::Conflict,
            format!("attempt {} was followed by try {} at task {task}", attempt.id, last.number),
            format!("only the newest can be approved: {}", last.id),
        )
        .for_good()
        .into());
    }
    on_task(session, project, Action::Approve, plan, task, asked)
}

/// A person accepts work that the judge refused: the last attempt at the task.
fn approve(
    session: &Session,
    project: &Project,
    last: Option<AttemptRow>,
    asked: &Asked<'_>,
    wrong: &dyn Fn(&str) -> Error,
) -> Result<Done, Error> {
    let Some(attempt) = last.filter(|attempt| attempt.snapshot.is_some()) else {
        return Err(wrong("approved: no attempt left anything"));
    };
    approving::approve(session, project, &attempt, asked.paths, asked.message)?
        .ok_or_else(|| wrong("approved"))
}

fn on_attempt(
    session: &Session,
    project: &Project,
    action: Action,
    attempt: &AttemptRow,
    task: &TaskId,
    asked: &Asked<'_>,
) -> Result<Done, Error> {
    let Asked { force, message, .. } = *asked;
    if attempt.state.outcome().is_some() {
        return Err(Refusal::new(
            Code::Conflict,
            format!("attempt {} has ended", attempt.id),
            "control retry begins another",
        )
        .for_good()
        .into());
    }
    let (next, request) = match action {
        Action::Pause => (AttemptState::Paused, Request::Pause),
        Action::Resume => (AttemptState::Running, Request::Resume),
        _ if force => (AttemptState::Stopping, Request::Kill),
        _ => (AttemptState::Stopping, Request::Stop { grace_ms: None }),
    };
    session.store()?.write(|tx| -> Result<(), Error> {
        if action == Action::Stop {
            // Stopped by itself it waits to be dispatched again; with its whole plan it goes on when that does.
            tx.want_task(&attempt.plan, task, false)?;
        }
        if action == Action::Restart {
            // Its end is then its own, and the task is tried again as after any failure.
            tx.set_feedback(&attempt.plan, task, message)?;
            tx.append_event(
                &project.id,
                &NewEvent {
                    kind: "attempt.restarting",
                    plan: Some(&attempt.plan),
                    task: Some(task),
                    attempt: Some(&attempt.id),
                    text: format!("task {task}: try {} is ended for another", attempt.number),
                    ..NewEvent::default()
                },
            )?;
        } else {
            tx.set_attempt_state(&attempt.id, next)?;
        }
        Ok(())
    })?;
    // Sent at once as well: it is the same whether the conductor or this comes first.
    let _ = client::send(Path::new(&attempt.run_dir), request);
    // Somebody has to record what comes of it.
    dispatching::ensure_conductor(session, project, &attempt.plan, false)?;
    Ok(Done {
        state: next.as_str().to_owned(),
        message: format!("attempt {} of task {task}", attempt.id),
        ..Done::default()
    })
}
