//! What may be asked: the parameters of every method.

use super::{Id, Object, OneOrMany};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of `plan`: exactly one of `plan`, `file`, `request`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanParams {
    /// The plan: {"specs":[{"file","description"}],"tasks":[{"id","agent","task","files","depends_on"}]}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Object>,
    /// In place of plan: the same as JSON or YAML text, whose problems say where they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Path of a plan file in the project, JSON or YAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What is wanted, for the planner agent to make a plan of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// A name for the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only check, do not store.
    #[serde(default)]
    pub check_only: bool,
    /// What to do about tasks that own the same files with no order between them.
    #[serde(default)]
    pub on_overlap: OnOverlap,
}

/// What to do about tasks that own the same files with no order between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnOverlap {
    /// Refuse the plan.
    #[default]
    Reject,
    /// Put them in order.
    Serialize,
}

/// Parameters of `dispatch`: `plan_id`, or `task`, mostly with `files`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DispatchParams {
    /// The plan to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// Only these tasks of it; what they depend on is done or among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<Id>>,
    /// One task without a plan: what is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What that task alone may change. Without it, it owns what it changes and nobody else does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<String>>,
    /// Worker, group, provider, or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How hard it is: `simple` goes to the cheapest, `complex` to the most capable only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complexity: Option<Complexity>,
    /// 0 to 10 (10 first), or high, medium, low.
    #[serde(default, deserialize_with = "super::priority", skip_serializing_if = "Option::is_none")]
    pub priority: Option<Id>,
    /// Rules as in a plan; of a plan, limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Object>,
    /// At most so many attempts at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Begin so many tasks, and the next when all of these have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u32>,
    /// Stop the plan after so many seconds, its work kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_timeout_s: Option<u64>,
    /// When all conductors are in use.
    #[serde(default)]
    pub when_full: WhenFull,
    /// Only tell what would start, or to whom the task would go.
    #[serde(default)]
    pub dry_run: bool,
    /// Refuse the plan while another of the same tasks is at work: how `kapell run FILE` asks, and no part of the
    /// contract.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(skip)]
    pub alone: bool,
}

/// How hard a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Complexity {
    /// Any model will do.
    Simple,
    /// The usual.
    Normal,
    /// For the most capable only.
    Complex,
}

/// What to do when everything is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// Wait for room.
    #[default]
    Queue,
    /// Start all the same.
    Launch,
    /// Say no.
    Refuse,
}

/// Whether others may hold the same paths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimMode {
    /// Nobody else.
    #[default]
    Exclusive,
    /// Others too, as long as nobody writes.
    Shared,
}

/// Parameters of `claim-files`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimFilesParams {
    /// Patterns relative to the top of the repository: `src/db`, `docs/`, `src/**/*.rs`.
    pub paths: Vec<String>,
    /// Whether others may hold the same.
    #[serde(default)]
    pub mode: ClaimMode,
    /// Seconds until the claim runs out unless renewed; 900 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
    /// Why, shown to whoever is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Wait so many seconds for it to become free, in the order of asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_s: Option<u64>,
    /// Only tell whether it is free.
    #[serde(default)]
    pub check_only: bool,
    /// For persons: take it from whoever holds it, with a reason. A worker is stopped first, and its work saved.
    #[serde(default)]
    pub take_over: bool,
    /// Who is to hold it, where the door cannot know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// Parameters of `release-files`: one of `claim_ids`, `paths`, `all`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFilesParams {
    /// Claims by their numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_ids: Option<Vec<i64>>,
    /// One's own claims by their patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// All of one's own claims.
    #[serde(default)]
    pub all: bool,
    /// Whose claims, where the door cannot know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// Parameters of `checkpoint`: none.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointParams {}

/// Parameters of `report`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportParams {
    /// What was found.
    pub text: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<String>>,
    /// How bad it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It must be seen to.
    High,
    /// It should be.
    Medium,
    /// Good to know.
    Low,
}

impl Severity {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// What `status` is asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything in a few lines.
    #[default]
    Overview,
    /// One plan with its tasks.
    Plan,
    /// One task with its attempts.
    Task,
    /// One attempt.
    Attempt,
    /// Workers and what they do.
    Workers,
    /// What each worker shows of life, and what all of them need.
    Health,
    /// Who holds what.
    Claims,
    /// Running orchestrations.
    Conductors,
    /// Money by provider, against its limits.
    Budget,
    /// What was spent, on what, and what the month will come to.
    Cost,
    /// Isolated environments.
    Environments,
    /// What waits to start, and the landing queue.
    Queue,
    /// What happened.
    Events,
    /// Plans that were started, newest first.
    History,
    /// A plan from its first event on, with what was known at each and why it was decided so.
    Replay,
}

/// Parameters of `status`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusParams {
    /// What to tell about.
    #[serde(default)]
    pub scope: Scope,
    /// Of which: a plan's or conductor's id or its beginning, `PLAN_ID/TASK_ID`, an attempt's id; without a scope, whatever it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The run that `dispatch` or `judge` answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Only what is newer than this event number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_seq: Option<i64>,
    /// Wait so long (at most 45000) for something newer than `since_seq`, or a final state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// At most so many items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Events of these kinds only, for scope `events`: the beginning of the kind's name. `all` for `conductors`: the ended too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For scope `cost`: what sums are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<CostBy>,
    /// For scope `cost`: from when on (`2026-11-01`, `2026-11`, `7d`, `today`, `month`, `all`); this month unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// For scopes `history` and `events`: of every project of this person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_projects: bool,
}

/// What costs are summed by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CostBy {
    /// Providers.
    #[default]
    Provider,
    /// Plans.
    Plan,
    /// Tasks.
    Task,
    /// Workers.
    Worker,
    /// Days, UTC.
    Day,
    /// Months, UTC.
    Month,
}

impl CostBy {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Plan => "plan",
            Self::Task => "task",
            Self::Worker => "worker",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// Parameters of `judge`: `plan_id` (with `task`), `attempt`, or `path`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeParams {
    /// All submitted tasks of this plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// One task of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Id>,
    /// One attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// A working tree that Kapell did not make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What may have changed in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Only these gates: ownership, specs, tests-exist, red-green, lint, build, custom, review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<String>>,
    /// Provider of the review gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    /// Land it when approved; inside a plan that is the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub land: Option<bool>,
}

/// What `control` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Let nothing new start; with force suspend what runs.
    Pause,
    /// Go on.
    Resume,
    /// Snapshot and end what runs.
    Stop,
    /// Call a task off.
    Cancel,
    /// Try a task again.
    Retry,
    /// End the attempt and begin another.
    Restart,
    /// Accept work that the judge refused.
    Approve,
    /// Bring landed work to the target branch.
    Land,
    /// Tell a worker something.
    Nudge,
    /// Start what waits for room.
    Launch,
}

/// Parameters of `control`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlParams {
    /// What to do.
    pub action: Action,
    /// A plan's or conductor's id or its unique beginning, `PLAN_ID/TASK_ID`, an attempt's or worker's id; `all`: the plans of this project, `all-projects`: of every one.
    pub target: String,
    /// At once, without grace.
    #[serde(default)]
    pub force: bool,
    /// Why, or what to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// With approve: these paths outside the claim land too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// With resume: what the plan may cost from now on, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
}

/// A command line in the contract: an array, or a string split like shell words.
pub type Command = OneOrMany<String>;
