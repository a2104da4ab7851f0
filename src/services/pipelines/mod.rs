//! Pipelines: a run is a plan whose tasks are made by its stages as they begin. What is decided here
//! is recorded; the conductor of that plan takes the steps (`conductor/stages`).

pub mod deciding;
pub mod expanding;
pub mod facts;
pub mod stages;
pub mod viewing;

use super::planning::{self, rows};
use super::project::Project;
use super::{Error, Session, dispatching};
use crate::base::ids::PlanId;
use crate::domain::conducting::PlanState;
use crate::domain::pipeline as machine;
use crate::domain::plan::Plan;
use crate::domain::plan::check::OnOverlap;
use crate::domain::refusal::{Code, Refusal};
use crate::services::planning::{Planned, Source};
use crate::store::Tx;
use crate::store::events::NewEvent;
use crate::store::plans::Pace;
use crate::sys::config::Config;
use crate::sys::config::resolved::Pipeline;
use stages::Stage;

/// A request in characters, at most: it becomes part of the text of tasks.
const LONGEST_REQUEST: usize = 100_000;

/// What a pipeline is run for.
#[derive(Debug)]
pub enum For {
    /// A text.
    Request(String),
    /// A plan that is not stored yet: its tasks are the first stage's.
    Plan(Source),
    /// A stored plan that was not started.
    Stored(String),
}

/// What came of the wish to run a pipeline.
#[derive(Debug)]
pub enum Run {
    /// It runs.
    Started(PlanId),
    /// The plan has errors.
    Faulty(Box<Planned>),
}

/// A configured pipeline by its name.
pub fn named<'c>(config: &'c Config, name: &str) -> Result<&'c Pipeline, Error> {
    config.pipelines.get(name).ok_or_else(|| {
        let known: Vec<&str> = config.pipelines.keys().map(String::as_str).collect();
        let hint = match known.is_empty() {
            true => "define it in kapell.toml: [pipelines.NAME]".to_owned(),
            false => format!("the configuration has {}", known.join(", ")),
        };
        Refusal::new(Code::NotFound, format!("there is no pipeline {name}"), hint).into()
    })
}

/// Makes a run of a pipeline and starts it.
pub fn run(session: &Session, project: &Project, name: &str, what: For) -> Result<Run, Error> {
    let config = session.config(project)?;
    let pipeline = named(&config, name)?;
    let plan = match what {
        For::Request(request) => for_request(session, project, &config, name, pipeline, &request)?,
        For::Plan(source) => {
            let on_overlap = OnOverlap::Reject;
            let wish = planning::Wish {
                source,
                name: None,
                check_only: false,
                on_overlap,
                pipeline: Some(name.to_owned()),
            };
            let planned = planning::plan(session, project, &wish)?;
            match &planned.id {
                Some(id) => id.clone(),
                None => return Ok(Run::Faulty(Box::new(planned))),
            }
        }
        For::Stored(plan) => for_stored(session, project, &config, name, pipeline, &plan)?,
    };
    let wish = dispatching::Wish {
        what: dispatching::What::Plan { id: plan.as_str().to_owned(), tasks: None },
        pace: Pace::default(),
        run_timeout_s: None,
        when_full: dispatching::WhenFull::Queue,
        dry_run: false,
        alone: false,
    };
    dispatching::dispatch(session, project, &wish)?;
    Ok(Run::Started(plan))
}

fn for_request(
    session: &Session,
    project: &Project,
    config: &Config,
    name: &str,
    pipeline: &Pipeline,
    request: &str,
) -> Result<PlanId, Error> {
    let request = request.trim();
    if request.is_empty() || request.chars().count() > LONGEST_REQUEST {
        let what = format!("a request is a text of 1 to {LONGEST_REQUEST} characters");
        return Err(
            Refusal::new(Code::Usage, what, "say what is to be done: request, or --request TEXT").into()
        );
    }
    let plan = Plan { name: Some(name.to_owned()), pipeline: Some(name.to_owned()), ..Plan::default() };
    let id = planning::new_id(name);
    session.store()?.write(|tx| -> Result<(), Error> {
        project.ensure(tx)?;
        tx.insert_plan(&project.id, &id, name, &rows::plan_document(&plan).to_string())?;
        enter(tx, project, config, &id, name, pipeline, Some(request))
    })?;
    Ok(id)
}

fn for_stored(
    session: &Session,
    project: &Project,
    config: &Config,
    name: &str,
    pipeline: &Pipeline,
    plan: &str,
) -> Result<PlanId, Error> {
    let id = dispatching::find_plan(session, project, plan)?.id;
    session.store()?.write(|tx| -> Result<(), Error> {
        let row = tx.plan(&id)?.ok_or_else(|| Error::Bug(format!("plan {id} vanished")))?;
        let run = tx.pipeline_run(&id)?;
        if row.state != PlanState::Draft || run.as_ref().is_some_and(|run| run.pipeline != name) {
            let is = match &run {
                Some(run) => format!("plan {id} is a run of pipeline {} already", run.pipeline),
                None => format!(
                    "plan {id} is {}, and only one that was not started can be given to a pipeline",
                    row.state.as_str()
                ),
            };
            return Err(Refusal::new(Code::Conflict, is, "run the pipeline for a new plan").into());
        }
        if run.is_some() {
            return Ok(());
        }
        let tasks = tx.tasks(&id, -1, usize::MAX >> 1)?;
        let mut plan = rows::stored_plan(&row, &tasks)?;
        plan.pipeline = Some(name.to_owned());
        refuse_without_first(pipeline, name)?;
        settle(&mut plan, pipeline);
        tx.set_plan_document(&id, &rows::plan_document(&plan).to_string())?;
        for task in &plan.tasks {
            tx.set_task_document(&id, &task.id, &rows::task_document(task).to_string())?;
        }
        enter(tx, project, config, &id, name, pipeline, None)?;
        adopt(tx, &id, &plan)
    })?;
    Ok(id)
}

/// The stage whose tasks a plan's own are.
fn first_stage(pipeline: &Pipeline) -> Option<&crate::sys::config::resolved::Stage> {
    let starts = |stage: &&crate::sys::config::resolved::Stage| {
        stage.triggers_on.is_empty() && stage.triggers_on_any.is_empty()
    };
    pipeline.stages.iter().find(starts)
}

/// Why a plan's tasks have no place in a pipeline, if they have none.
pub fn unfit(pipeline: &Pipeline, name: &str) -> Option<String> {
    match first_stage(pipeline) {
        Some(stage) if stage.has_tasks() => None,
        Some(stage) => Some(format!(
            "the first stage of pipeline {name}, {}, is a command, so the tasks of a plan have no place in it",
            stage.name
        )),
        None => Some(format!("pipeline {name} has no stage that starts by itself")),
    }
}

fn refuse_without_first(pipeline: &Pipeline, name: &str) -> Result<(), Error> {
    match unfit(pipeline, name) {
        None => Ok(()),
        Some(why) => Err(Refusal::new(Code::Unsupported, why, "run it for a request instead").into()),
    }
}

/// Gives the tasks that name nobody to the first stage's target.
pub fn settle(plan: &mut Plan, pipeline: &Pipeline) {
    let Some(stage) = first_stage(pipeline) else { return };
    for task in &mut plan.tasks {
        if task.target.is_none() && task.role.is_none() {
            task.target.clone_from(&stage.target);
        }
        task.timeout_s = task.timeout_s.or(stage.timeout_s);
    }
}

/// Makes a stored plan a run of a pipeline.
pub fn enter(
    tx: &Tx<'_>,
    project: &Project,
    config: &Config,
    plan: &PlanId,
    name: &str,
    pipeline: &Pipeline,
    request: Option<&str>,
) -> Result<(), Error> {
    let stages: Vec<Stage> = stages::frozen(config, pipeline);
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    tx.insert_pipeline(&project.id, plan, name, request, &stages::document(&stages)?, &names)?;
    let text = format!("run {plan} of pipeline {name}: {}", names.join(", "));
    let data = serde_json::json!({"pipeline": name, "request": request}).to_string();
    tx.append_event(
        &project.id,
        &NewEvent {
            kind: "pipeline.created",
            plan: Some(plan),
            text,
            data: Some(data),
            ..NewEvent::default()
        },
    )?;
    Ok(())
}

/// Makes the plan's own tasks those of the first stage's first round.
pub fn adopt(tx: &Tx<'_>, id: &PlanId, plan: &Plan) -> Result<(), Error> {
    let run = tx.pipeline_run(id)?.ok_or_else(|| Error::Bug(format!("plan {id} is no run")))?;
    let Some(first) = machine::first(&stages::machine(&stages::stored(&run)?)) else { return Ok(()) };
    for task in &plan.tasks {
        tx.insert_stage_task(id, &task.id, first as i64, 1, false, None)?;
    }
    Ok(())
}

/// The run that an id, or a name that only one has, means.
pub fn find(session: &Session, project: &Project, text: &str) -> Result<PlanId, Error> {
    let plan = dispatching::find_plan(session, project, text)?;
    match session.store()?.read(|tx| tx.pipeline_run(&plan.id))? {
        Some(run) => Ok(run.plan),
        None => Err(Refusal::new(
            Code::NotFound,
            format!("plan {} is no run of a pipeline", plan.id),
            "kapell pipeline list shows the runs",
        )
        .into()),
    }
}
