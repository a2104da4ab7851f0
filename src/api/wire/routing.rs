//! Where tasks go, and what waits: part of what `dispatch` and `status` answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// To whom a task would go, and why.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct RouteStatus {
    /// The rules that were asked, up to the one that decided.
    pub rules: Vec<RuleStatus>,
    /// Those it led to, the preferred first, and those that take over.
    pub candidates: Vec<CandidateStatus>,
    /// Who would get it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The provider of that worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Why nobody gets it now: `slot`, `rate-limit`, `budget`, or `nobody` where nobody ever will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For what or whom it would wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// The priority that it would have.
    pub priority: u8,
}

/// A rule that was asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RuleStatus {
    /// `target`, `environment`, `route`, `role`, `complexity` or `chain`.
    pub rule: String,
    /// Whether it decided.
    pub taken: bool,
    /// What it found, or why it was passed over.
    pub found: String,
}

/// A worker that was thought of.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CandidateStatus {
    /// The worker.
    pub worker: String,
    /// Its provider.
    pub provider: String,
    /// It was not asked for: it takes over for those who are limited.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_over: bool,
    /// Why it does not get it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// A task that waits to be started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueuedStatus {
    /// `PLAN_ID/TASK_ID`.
    pub task_id: String,
    /// Its text, shortened.
    pub task: String,
    /// 0 to 10, 10 first; it grows while the task waits.
    pub priority: u8,
    /// `dependency`, `claim`, `slot`, `budget`, `rate-limit`, `environment`, `paused`.
    pub reason: String,
    /// For what or whom.
    pub on: String,
    /// Since when.
    pub since: String,
    /// When it should have started at the latest; none for what waits for other tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Whether that is past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missed: bool,
}
