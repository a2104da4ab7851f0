//! What a conductor answers on its own socket, beside the table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of `conductor.status`, `conductor.pause` and `conductor.resume`: none.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConductorParams {}

/// Parameters of `conductor.shutdown`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShutdownParams {
    /// Workers are killed, without time to end by themselves. Their work is saved all the same.
    #[serde(default)]
    pub force: bool,
}

/// Result of `conductor.status`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ConductorCondition {
    /// The conductor.
    pub id: String,
    /// The plan it runs.
    pub plan_id: String,
    /// `queued`, `running`, `paused`, `stopping` or `stopped`.
    pub state: String,
    /// Nothing new starts, because the plan is paused.
    pub paused: bool,
    /// Scheduling passes so far.
    pub iteration: u64,
    /// Where the plan's tasks are.
    pub progress: Progress,
}

/// How many tasks of a plan are where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Landed.
    pub done: u64,
    /// All.
    pub total: u64,
    /// Somebody is at work on them: a worker, the judge, or the landing queue.
    pub running: u64,
    /// Failed, or blocked by one that did.
    pub failed: u64,
}
