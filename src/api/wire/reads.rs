//! What dashboards read over HTTP beside the scopes of `status`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvironmentStatus, PlanLine, SubEnvironmentStatus, WorkerCounts, WorkerStatus};

/// The plans of a project.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlansRead {
    /// The newest event's number.
    pub seq: i64,
    /// Those at work, then the newest.
    pub plans: Vec<PlanLine>,
}

/// The projects that Kapell knows on this machine.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProjectsRead {
    /// The one that is told of unless `project` names another.
    pub current: String,
    /// All of them.
    pub projects: Vec<ProjectLine>,
}

/// A project.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProjectLine {
    /// Its id, for `project`.
    pub id: String,
    /// Its folder.
    pub folder: String,
}

/// A part of an attempt's log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LogRead {
    /// The attempt.
    pub attempt: String,
    /// What stands there, in whole lines as far as there are any; bytes that are no text are replaced.
    pub text: String,
    /// Where the next part begins: the next `offset`.
    pub next: u64,
    /// Whether nothing more will come.
    pub ended: bool,
}

/// What an attempt changed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DiffRead {
    /// The attempt.
    pub attempt: String,
    /// A unified diff.
    pub diff: String,
}

/// What a gate saw.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceRead {
    /// The attempt.
    pub attempt: String,
    /// The gate.
    pub gate: String,
    /// The end of what its command printed.
    pub evidence: String,
}

/// All environments in a few numbers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MultiEnvRead {
    /// The newest event's number.
    pub seq: i64,
    /// The project.
    pub project: String,
    /// Its folder.
    pub folder: String,
    /// Checkouts.
    pub directories: DirectoryCounts,
    /// Their sub-environments, by what their services do.
    pub environments: ServiceCounts,
    /// Standing sessions.
    pub sessions: u64,
    /// Seats by what they do.
    pub workers: WorkerCounts,
    /// How many claims are live.
    pub claims: u64,
    /// What needs somebody's attention.
    pub warnings: Vec<String>,
}

/// Checkouts by how they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DirectoryCounts {
    /// All.
    pub total: u64,
    /// Whole.
    pub ready: u64,
    /// With something that is not committed.
    pub dirty: u64,
    /// Being made or removed, missing or broken.
    pub other: u64,
}

/// Services by how they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceCounts {
    /// All.
    pub total: u64,
    /// At work.
    pub running: u64,
    /// At rest.
    pub stopped: u64,
    /// Ended by themselves.
    pub crashed: u64,
}

/// The checkouts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DirectoriesRead {
    /// As `environments` tells of them.
    pub directories: Vec<EnvironmentStatus>,
}

/// The sub-environments of all checkouts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServicesRead {
    /// One after another.
    pub environments: Vec<ServiceRead>,
}

/// A sub-environment, and whose it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRead {
    /// The checkout that it belongs to.
    pub directory: String,
    /// The branch that is checked out there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The worker that is bound to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// How it is.
    #[serde(flatten)]
    pub service: SubEnvironmentStatus,
}

/// The groups of workers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GroupsRead {
    /// By name.
    pub groups: Vec<GroupRead>,
}

/// A group of workers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GroupRead {
    /// Its name.
    pub name: String,
    /// Who of it gets the next task: `round-robin`, `least-loaded` or `sequential`; none where only workers name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Whether it reviews: a member has the role, or its name says so.
    pub reviews: bool,
    /// Its providers.
    pub providers: Vec<String>,
    /// Members by what they do.
    pub counts: WorkerCounts,
    /// Its members.
    pub workers: Vec<WorkerStatus>,
}
