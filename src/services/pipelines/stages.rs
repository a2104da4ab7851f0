//! Stages as they lie in the database: as they were configured when their run was made, with what
//! they name resolved, so that a configuration that changes meanwhile changes no run.

use serde::{Deserialize, Serialize};

use crate::domain::pipeline::{self, Trigger};
use crate::domain::plan::CommandLine;
use crate::services::Error;
use crate::store::pipelines::PipelineRow;
use crate::sys::config::resolved::{self, Findings};
use crate::sys::config::{APPROVAL, Config};

/// A stage of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Worker, group or provider; `None` is `auto`.
    pub target: Option<String>,
    /// The text of its tasks, with placeholders; `None`: the request.
    pub task: Option<String>,
    /// Whether workers do something for it.
    pub has_tasks: bool,
    /// Patterns of what its tasks own; none: what they change.
    pub files: Vec<String>,
    /// What it waits for, as it was written.
    pub triggers_on: Vec<String>,
    /// The same, one of which is enough.
    pub triggers_on_any: Vec<String>,
    /// The workers of each of these that is a worker or a group.
    pub seats: Vec<(String, Vec<String>)>,
    /// Whether it is done once for each task of the stages that triggered it.
    pub fan_out: bool,
    /// Whether what it finds becomes tasks.
    pub takes_findings: bool,
    /// The stage whose target mends that, by its place.
    pub fixer: Option<usize>,
    /// So often it is done at most.
    pub max_rounds: u32,
    /// Whether a person must approve before it begins.
    pub approval: bool,
    /// Its command.
    pub command: Option<Vec<String>>,
    /// Variables that its command gets of the caller's.
    pub env: Vec<String>,
    /// Whether its commands run without the wall around workers.
    #[serde(default)]
    pub unwalled: bool,
    /// What undoes it.
    pub rollback: Option<Vec<String>>,
    /// Whether that is run when the command fails.
    pub rolls_back: bool,
    /// How long an attempt and a command may take.
    pub timeout_s: Option<u64>,
}

impl Stage {
    /// Its command, or what undoes it.
    pub fn command_line(&self, is_rollback: bool) -> Option<CommandLine> {
        let words = if is_rollback { &self.rollback } else { &self.command };
        words.clone().map(CommandLine)
    }
}

/// A configured pipeline, made ready for a run.
pub fn frozen(config: &Config, pipeline: &resolved::Pipeline) -> Vec<Stage> {
    let place = |name: &str| pipeline.stages.iter().position(|stage| stage.name == name);
    let mut stages: Vec<Stage> = pipeline.stages.iter().map(|stage| one(config, stage, &place)).collect();
    let machine = machine(&stages);
    for (at, stage) in stages.iter_mut().enumerate().filter(|(_, stage)| stage.takes_findings) {
        let nearest = || pipeline::upstream(&machine, at).into_iter().find(|&on| machine[on].has_tasks);
        stage.fixer = pipeline.stages[at].findings_to.as_deref().and_then(place).or_else(nearest);
    }
    stages
}

fn one(config: &Config, stage: &resolved::Stage, place: &dyn Fn(&str) -> Option<usize>) -> Stage {
    let words = |command: &Option<CommandLine>| command.as_ref().map(|command| command.0.clone());
    let named = stage.triggers_on.iter().chain(&stage.triggers_on_any);
    let seats = named.filter(|name| place(name).is_none() && *name != APPROVAL);
    let seats = seats.map(|name| {
        let group = config.groups.get(name.as_str());
        let is_worker = config.workers.contains_key(&name.as_str().into());
        let members = group.filter(|_| !is_worker).map(|group| &group.members);
        let workers = members.map(|members| members.iter().map(ToString::to_string).collect());
        (name.clone(), workers.unwrap_or_else(|| vec![name.clone()]))
    });
    Stage {
        name: stage.name.clone(),
        target: stage.target.clone(),
        task: stage.task.clone(),
        has_tasks: stage.has_tasks(),
        files: stage.files.iter().map(|file| file.as_str().to_owned()).collect(),
        triggers_on: stage.triggers_on.clone(),
        triggers_on_any: stage.triggers_on_any.clone(),
        seats: seats.collect(),
        fan_out: stage.fan_out,
        takes_findings: stage.findings == Findings::Tasks,
        fixer: None,
        max_rounds: stage.max_rounds,
        approval: stage.approval,
        command: words(&stage.command),
        env: stage.env.clone(),
        unwalled: stage.unwalled,
        rollback: words(&stage.rollback),
        rolls_back: stage.rolls_back,
        timeout_s: stage.timeout_s,
    }
}

/// The stages as they are decided upon.
pub fn machine(stages: &[Stage]) -> Vec<pipeline::Stage> {
    let trigger = |stage: &Stage, name: &String| {
        if let Some(at) = stages.iter().position(|other| other.name == *name) {
            return Trigger::Stage(at);
        }
        match stage.seats.iter().find(|(seat, _)| seat == name) {
            Some((_, workers)) => Trigger::Workers(name.clone(), workers.clone()),
            None => Trigger::Approval,
        }
    };
    let one = |stage: &Stage| {
        let mut all_of: Vec<Trigger> = stage.triggers_on.iter().map(|name| trigger(stage, name)).collect();
        // A person among those who must all have finished is asked when the others have.
        let with_person = all_of.len();
        all_of.retain(|trigger| *trigger != Trigger::Approval);
        pipeline::Stage {
            name: stage.name.clone(),
            needs_approval: stage.approval || all_of.len() < with_person,
            all_of,
            any_of: stage.triggers_on_any.iter().map(|name| trigger(stage, name)).collect(),
            has_tasks: stage.has_tasks,
            has_command: stage.command.is_some(),
            takes_findings: stage.takes_findings,
            max_rounds: stage.max_rounds,
            rolls_back: stage.rollback.is_some() && stage.rolls_back,
        }
    };
    stages.iter().map(one).collect()
}

/// The stages as the run's row has them.
pub fn stored(run: &PipelineRow) -> Result<Vec<Stage>, Error> {
    serde_json::from_str(&run.document)
        .map_err(|error| Error::Bug(format!("stored stages of run {}: {error}", run.plan)))
}

/// The row's text.
pub fn document(stages: &[Stage]) -> Result<String, Error> {
    serde_json::to_string(stages).map_err(|error| Error::Bug(format!("stages are no JSON: {error}")))
}
