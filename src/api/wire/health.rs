//! What `status` with scope `health` answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How everything is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct HealthStatus {
    /// Whether nobody has to look.
    pub healthy: bool,
    /// What all workers need: the store, the disks, memory, conductors.
    pub checks: Vec<HealthCheck>,
    /// The workers, one for each attempt where they do several.
    pub health: Vec<WorkerHealthStatus>,
    /// Why what is told may not be what the files of the configuration say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Something that all workers need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheck {
    /// What.
    pub name: String,
    /// `ok`, `warn` or `fail`.
    pub outcome: String,
    /// What was found.
    pub found: String,
    /// The next step, where there is one to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A worker, or one of its attempts, and what it shows of life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerHealthStatus {
    /// Its name.
    pub worker: String,
    /// Its provider.
    pub provider: String,
    /// Its state, as scope `workers` has it.
    pub state: String,
    /// `ok`, `quiet`, `stuck`, `quarantined`, `gone`, `unavailable` or `limited`.
    pub verdict: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `PLAN_ID/TASK_ID` of what it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// Since when it does that, or gets nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Until when it gets nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// When it printed something last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_output_at: Option<String>,
    /// Processor time that all its processes used so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// The tool that it used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_at: Option<String>,
    /// When it was nudged in the silence that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nudged_at: Option<String>,
}
