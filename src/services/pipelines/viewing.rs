//! Looking at pipelines: what is configured, which runs there are, and how far one is.

use super::facts::{self, Finding};
use super::stages::{self, Stage};
use crate::base::ids::PlanId;
use crate::services::project::Project;
use crate::services::{Error, Session, querying};
use crate::store::events::EventFilter;
use crate::store::pipelines::{CommandRow, PipelineRow, StageRow, StageTask};
use crate::store::plans::PlanRow;

/// Of so many findings of a run it is told.
const MOST_FINDINGS: usize = 500;

/// A run as it is now.
#[derive(Debug)]
pub struct RunView {
    /// The run.
    pub run: PipelineRow,
    /// The plan that it is.
    pub plan: PlanRow,
    /// Its stages.
    pub stages: Vec<StageView>,
    /// Whether somebody conducts it.
    pub is_conducted: bool,
}

impl RunView {
    /// What is told of the stages of a run at rest that were being done when it came to that, and why.
    pub fn held_up(&self, stage: &StageRow) -> Option<(&'static str, String)> {
        let told = self.plan.state.is_at_rest().then(|| stage.state.held_up(self.is_conducted)).flatten()?;
        let (was, run) = (stage.state.as_str(), &self.run.plan);
        let why = match self.is_conducted {
            true => format!("it was {was}; what runs for it is being ended"),
            false => format!("it was {was} when the run came to rest; kapell resume {run} goes on with it"),
        };
        Some((told, why))
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
}

/// The stages of a configured pipeline.
pub fn configured(session: &Session, project: &Project, name: &str) -> Result<Vec<StageView>, Error> {
    let config = session.config_at_work(project)?;
    let frozen = stages::frozen(&config, super::named(&config, name)?);
    let view =
        |stage| StageView { stage, row: None, tasks: Vec::new(), commands: Vec::new(), findings: Vec::new() };
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
) -> Result<Vec<(PipelineRow, PlanRow, Vec<StageRow>)>, Error> {
    session.store()?.read(|tx| {
        let mut runs = Vec::new();
        for run in tx.pipeline_runs(&project.id, limit)? {
            let plan = tx.plan(&run.plan)?.ok_or_else(|| Error::Bug(format!("no plan {}", run.plan)))?;
            let stages = tx.pipeline_stages(&run.plan)?;
            runs.push((run, plan, stages));
        }
        Ok(runs)
    })
}

/// One run.
pub fn view(session: &Session, plan: &PlanId) -> Result<RunView, Error> {
    session.store()?.read(|tx| {
        let gone = || Error::Bug(format!("run {plan} vanished"));
        let run = tx.pipeline_run(plan)?.ok_or_else(gone)?;
        let row = tx.plan(plan)?.ok_or_else(gone)?;
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
            views.push(StageView {
                row: rows.pop(),
                commands: commands.iter().filter(|command| command.stage == at as i64).cloned().collect(),
                findings: found.iter().filter(finds).cloned().collect(),
                tasks: own,
                stage,
            });
        }
        let is_conducted = tx.conductor_of(plan)?.is_some_and(|conductor| querying::conducts(&conductor));
        Ok(RunView { run, plan: row, stages: views, is_conducted })
    })
}
