//! What goes in and out of `pipeline`.

use super::{Id, Object, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of `pipeline`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineParams {
    /// What to do.
    #[serde(default)]
    pub action: PipelineAction,
    /// The pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// With run: what is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// With run: a plan whose tasks are the first stage's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Object>,
    /// The same as JSON or YAML text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The same as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The same, stored and not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The stage, where several could be meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// With approve: say no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refuse: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Drawn as Mermaid too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mermaid: bool,
}

/// What to do about pipelines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PipelineAction {
    /// The pipelines and their runs.
    #[default]
    List,
    /// Start one.
    Run,
    /// One run, or one pipeline.
    Show,
    /// Let a stage begin that waits for a person, or not.
    Approve,
    /// End a run.
    Stop,
    /// Undo what a stage's command did.
    Rollback,
}

/// What `pipeline` answers. Of list: `pipelines` and `runs`; else one run, or one pipeline.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct PipelineResult {
    /// The configured pipelines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pipelines: Vec<PipelineLine>,
    /// Runs, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<PipelineRunLine>,
    /// The pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The run's id, which is that of its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The same, for `status` and `control`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// The run's state, as a plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was done, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What was asked of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Its stages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<PipelineStage>,
    /// What is wrong with the plan it was to be run for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Drawn, where that was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mermaid: Option<String>,
}

/// A pipeline in one line.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineLine {
    /// Its name.
    pub name: String,
    /// Its stages by name.
    pub stages: Vec<String>,
}

/// A run in one line.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineRunLine {
    /// Its id.
    pub run: String,
    /// The pipeline.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Stages that are done.
    pub done: u64,
    /// Stages.
    pub total: u64,
    /// The stages that wait for a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_approve: Vec<String>,
    /// What was asked of it, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// When it was made.
    pub created_at: String,
}

/// A stage: as it was configured, and how far it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct PipelineStage {
    /// Its name.
    pub stage: String,
    /// Where it is: `waiting`, `approval`, `running`, `fixing`, `done`, `failed`, `refused`, `blocked`, `unknown`,
    /// `rolling-back` or `rolled-back`; of a run at rest `stopping` or `stopped` what was being done; none for a
    /// pipeline that does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What it waits for, all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers_on: Vec<String>,
    /// What it waits for, one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers_on_any: Vec<String>,
    /// Whether it is done for each task before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fan_out: bool,
    /// Whether what it finds becomes tasks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub findings_become_tasks: bool,
    /// The stage that mends what it finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings_to: Option<String>,
    /// The round it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// Rounds it has at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rounds: Option<u32>,
    /// Whether a person must approve it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval: bool,
    /// What a person said: `approved` or `refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// What was said with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// What undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Vec<String>>,
    /// Its tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<PipelineTask>,
    /// What they found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<PipelineFinding>,
    /// Every run of its command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<PipelineCommand>,
}

/// A task of a stage.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineTask {
    /// Its id in the plan.
    pub task: Id,
    /// Its state.
    pub state: String,
    /// The round.
    pub round: u32,
    /// Whether it mends what the round found.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fix: bool,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that a stage's task found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineFinding {
    /// What.
    pub text: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// How bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// The task whose worker found it.
    pub task: String,
}

/// One run of a stage's command.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineCommand {
    /// `command` or `rollback`.
    pub kind: String,
    /// `running`, `passed`, `failed` or `unknown`.
    pub state: String,
    /// The commit in whose checkout it ran.
    pub commit: String,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where its log is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// When it began.
    pub began_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}
