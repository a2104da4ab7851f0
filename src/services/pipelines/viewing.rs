//! Looking at pipelines: what is configured, which runs there are, and how far one is.

use std::path::Path;

use super::facts::{self, Finding};
use super::stages::{self, Stage};
use crate::base::ids::PlanId;
use crate::domain::pipeline::{CommandState, StageState};
use crate::services::project::Project;
use crate::services::querying::{self, PlanView};
use crate::services::{Error, Session};
use crate::store::attempts::AttemptRow;
use crate::store::events::EventFilter;
use crate::store::pipelines::{CommandRow, PipelineRow, StageRow, StageTask};
use crate::sys::shim::client;

/// Of so many findings of a run it is told.
const MOST_FINDINGS: usize = 500;

/// A run as it is now.
#[derive(Debug)]
pub struct RunView {
    /// The run.
    pub run: PipelineRow,
    /// The plan that it is, as it really is.
    pub plan: PlanView,
    /// Its stages.
    pub stages: Vec<StageView>,
    /// Whether a conductor is being started for it.
    pub is_being_started: bool,
}

impl RunView {
    /// What is told of a stage that was being done when its run came to rest, or when its conductor died, and why.
    pub fn held_up(&self, view: &StageView) -> Option<(&'static str, String)> {
        let state = view.row.as_ref()?.state;
        let is_conducted = self.plan.conductor.is_some();
        let told = state.held_up(is_conducted)?;
        let (was, run) = (state.as_str(), &self.run.plan);
        let goes_on = match view.failed_command().filter(|_| state == StageState::Running) {
            Some(command)
                if view.stage.rollback.is_some() && view.stage.rolls_back && command.log.is_some() =>
            {
                "rolls back what its command began, and the run ends as failed"
            }
            Some(_) => "ends it as failed",
            None => "goes on with it",
        };
        if self.plan.row.state.is_at_rest() {
            let why = match is_conducted {
                true => format!("it was {was}; what runs for it is being ended"),
                false => {
                    format!("it was {was} when the run came to rest; kapell resume {run} {goes_on}")
                }
            };
            return Some((told, why));
        }
        // Where one lives, or is being started, what is recorded holds.
        if is_conducted || self.is_being_started {
            return None;
        }
        Some(match view.is_at_work {
            true => (was, format!("its conductor died, and it goes on; kapell resume {run} takes it up")),
            false => (told, format!("it was {was} when its conductor died; kapell resume {run} {goes_on}")),
        })
    }
}

/// A stage as it is now.
#[derive(Debug)]
pub struct StageView {
    /// As it was configured.
    pub stage: Stage,
    /// Where it is; none for a stage that is only configured.
    pub row: Option<StageRow>,
    /// Its tasks.
    pub tasks: Vec<StageTask>,
    /// Every run of its command.
    pub commands: Vec<CommandRow>,
    /// What its tasks found.
    pub findings: Vec<Finding>,
    /// Whether its command runs, or one of its workers works.
    pub is_at_work: bool,
}

impl StageView {
    /// Its command, if that was recorded as failed.
    fn failed_command(&self) -> Option<&CommandRow> {
        let id = self.row.as_ref()?.command.as_ref()?;
        self.commands.iter().find(|it| it.id == *id && it.state == CommandState::Failed)
    }
}

/// The stages of a configured pipeline.
pub fn configured(session: &Session, project: &Project, name: &str) -> Result<Vec<StageView>, Error> {
    let config = session.config_at_work(project)?;
    let frozen = stages::frozen(&config, super::named(&config, name)?);
    let view = |stage| StageView {
        stage,
        row: None,
        tasks: Vec::new(),
        commands: Vec::new(),
        findings: Vec::new(),
        is_at_work: false,
    };
    Ok(frozen.into_iter().map(view).collect())
}

/// The configured pipelines by name, each with the names of its stages.
pub fn all(session: &Session, project: &Project) -> Result<Vec<(String, Vec<String>)>, Error> {
    let config = session.config_at_work(project)?;
    let names = |pipeline: &crate::sys::config::resolved::Pipeline| {
        pipeline.stages.iter().map(|stage| stage.name.clone()).collect()
    };
    Ok(config.pipelines.iter().map(|(name, pipeline)| (name.clone(), names(pipeline))).collect())
}

/// The project's runs, the newest first.
pub fn runs(
    session: &Session,
    project: &Project,
    limit: usize,
) -> Result<Vec<(PipelineRow, PlanView, Vec<StageRow>)>, Error> {
    let store = session.store()?;
    let runs = store.read(|tx| tx.pipeline_runs(&project.id, limit))?;
    let whole = |run: PipelineRow| {
        let plan = querying::plan(session, &run.plan)?;
        let stages = store.read(|tx| tx.pipeline_stages(&run.plan))?;
        Ok((run, plan, stages))
    };
    runs.into_iter().map(whole).collect()
}

/// One run.
pub fn view(session: &Session, plan: &PlanId) -> Result<RunView, Error> {
    let house = &session.house;
    let is_being_started = querying::is_being_started(house, plan);
    // Before its stages: who ends meanwhile has recorded what became of them.
    let seen = querying::plan(session, plan)?;
    session.store()?.read(|tx| {
        let gone = || Error::Bug(format!("run {plan} vanished"));
        let run = tx.pipeline_run(plan)?.ok_or_else(gone)?;
        let live = tx.live_attempts(plan)?;
        let tasks = tx.stage_tasks(plan)?;
        let commands = tx.stage_commands(plan)?;
        let filter = EventFilter {
            plan: Some(plan.as_str()),
            kind: Some("attempt.finding"),
            ..EventFilter::default()
        };
        let found: Vec<Finding> =
            tx.newest_events(&filter, MOST_FINDINGS)?.iter().map(facts::finding).collect();
        let mut rows = tx.pipeline_stages(plan)?;
        rows.reverse();
        let mut views = Vec::new();
        for (at, stage) in stages::stored(&run)?.into_iter().enumerate() {
            let own: Vec<StageTask> = tasks.iter().filter(|task| task.stage == at as i64).cloned().collect();
            let finds = |finding: &&Finding| {
                own.iter().any(|task| !task.is_fix && task.task.as_str() == finding.task)
            };
            let commands: Vec<CommandRow> =
                commands.iter().filter(|command| command.stage == at as i64).cloned().collect();
            let runs = |command: &CommandRow| client::is_alive(&house.run_dir(&command.id));
            let works = |attempt: &AttemptRow| {
                own.iter().any(|task| task.task.as_str() == attempt.task)
                    && client::is_alive(Path::new(&attempt.run_dir))
            };
            views.push(StageView {
                row: rows.pop(),
                is_at_work: commands.iter().any(runs) || live.iter().any(works),
                commands,
                findings: found.iter().filter(finds).cloned().collect(),
                tasks: own,
                stage,
            });
        }
        Ok(RunView { run, plan: seen, stages: views, is_being_started })
    })
}
