//! What is answered: the results of every method.

use super::{GateStatus, Id, RouteStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Result of `plan`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct PlanResult {
    /// The stored plan; null where it was not stored.
    pub plan_id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its state; `draft` once stored, null where it was not.
    pub state: Option<String>,
    /// What can run together, wave by wave.
    pub waves: Vec<Vec<Id>>,
    /// The longest chain of tasks.
    pub critical_path: Vec<Id>,
    /// What each task owns.
    pub ownership: Vec<Ownership>,
    /// The specs and whether they exist.
    pub specs: Vec<SpecState>,
    /// What is wrong with it; any error means that it was not stored.
    pub problems: Vec<Problem>,
}

/// What a task owns.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Ownership {
    /// The task.
    pub task: Id,
    /// Its patterns.
    pub patterns: Vec<String>,
    /// How many files they match now.
    pub existing_files: u64,
}

/// A spec and whether it exists.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SpecState {
    /// Its path.
    pub file: String,
    /// Whether it exists and is not empty.
    pub exists: bool,
}

/// Something wrong with a plan.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `error` or `warning`.
    pub severity: String,
    /// Its stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Id>,
    /// The path or pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Line in the plan file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in that line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

/// Result of `dispatch`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct DispatchResult {
    /// Ask `status` with it.
    pub run_id: Option<String>,
    /// The plan that runs; ad hoc tasks run in the project's inbox.
    pub plan_id: String,
    /// The process that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conductor: Option<ConductorRef>,
    /// What started, as far as known at once.
    pub started: Vec<Started>,
    /// What waits, and for what.
    pub waiting: Vec<Waiting>,
    /// With `dry_run` and `task`: to whom it would go, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteStatus>,
    /// What one should know of where it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A conductor process.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ConductorRef {
    /// Its id.
    pub id: String,
    /// Its process.
    pub pid: u32,
    /// Its JSON-RPC socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
}

/// An attempt that started.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// The task.
    pub task: Id,
    /// The attempt.
    pub attempt: String,
    /// The seat that does it.
    pub worker: String,
    /// The provider of that seat.
    pub provider: String,
    /// The folder it works in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<String>,
    /// What it alone may change.
    pub claims: Vec<String>,
}

/// A task that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// The task.
    pub task: Id,
    /// `dependency`, `claim`, `slot`, `budget`, `rate-limit`, `environment`, `paused` or `approval`.
    pub reason: String,
    /// For what or whom.
    pub on: String,
}

/// Result of `claim-files`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ClaimFilesResult {
    /// All or nothing.
    pub granted: bool,
    /// What the holder has now.
    pub claims: Vec<GrantedClaim>,
    /// Who is in the way.
    pub conflicts: Vec<ClaimConflict>,
    /// What is not as it was asked, or keeps it from being used at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Result of `checkpoint`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointResult {
    /// The ref that keeps the tree.
    pub reference: String,
    /// The commit under it.
    pub commit: String,
    /// What was changed so far.
    pub changed: Vec<String>,
    /// What of that would not land, each with the reason.
    pub outside_claim: Vec<OutsideClaim>,
}

/// A changed path that the attempt does not own, or may not leave like that.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OutsideClaim {
    /// The path.
    pub path: String,
    /// Why it would not land.
    pub why: String,
}

/// Result of `report`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReportResult {
    /// The number of the event that tells it.
    pub seq: i64,
}

/// A claim that was granted or renewed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GrantedClaim {
    /// Its number, for `release-files`.
    pub claim_id: i64,
    /// What it owns.
    pub pattern: String,
    /// `exclusive` or `shared`.
    pub mode: String,
    /// Grows with every claim; checked again when landing.
    pub fencing: i64,
    /// When it runs out unless renewed.
    pub expires_at: String,
}

/// A claim in the way.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ClaimConflict {
    /// What was asked for.
    pub pattern: String,
    /// What is held.
    pub held_pattern: String,
    /// A path that both own.
    pub witness: String,
    /// Who holds it.
    pub holder: String,
    /// `attempt`, `agent` or `person`.
    pub holder_kind: String,
    /// The task, where an attempt holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Why they hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: String,
    /// Until when, unless renewed.
    pub expires_at: String,
}

/// Result of `release-files`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseFilesResult {
    /// The numbers of the claims that are free now.
    pub released: Vec<i64>,
    /// What of `paths` was waited for, and is no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<String>,
    /// Who still holds something of `paths`: others, or the caller by another pattern.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub still_held: Vec<ClaimConflict>,
}

/// Result of `judge`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct JudgeResult {
    /// Ask `status` with it.
    pub run_id: String,
    /// `running`, `done` or `failed`.
    pub state: String,
    /// `approved`, `rejected` or `error`, once done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// What the gates found.
    #[serde(default)]
    pub gates: Vec<GateStatus>,
    /// What was changed.
    #[serde(default)]
    pub changed: Vec<String>,
    /// What was changed outside the claim.
    #[serde(default)]
    pub outside_claim: Vec<String>,
    /// Where it landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landed: Option<Landed>,
    /// Why nothing could be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where work landed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Landed {
    /// The commit.
    pub commit: String,
    /// The branch.
    pub branch: String,
}

/// Result of `control`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ControlResult {
    /// Whether it was done, or will be.
    pub ack: bool,
    /// The state of the target now.
    pub state: String,
    /// What was done, for people.
    pub message: String,
    /// Runs that prove first what is to land: `status` with one of them tells what came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run_ids: Vec<String>,
}
