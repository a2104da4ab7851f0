//! What is answered: the results of every method.

use super::{CostBy, Id, QueuedStatus, RouteStatus, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// `dependency`, `claim`, `slot`, `budget`, `rate-limit` or `approval`.
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
    /// What keeps it from being used at once.
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
}

/// Result of `status`: `seq`, `scope`, and the scope's own fields beside them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StatusResult {
    /// The newest event's number.
    pub seq: i64,
    /// What it tells about.
    pub scope: Scope,
    /// Present where there is more: pass it as `cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// What was asked about.
    #[serde(flatten)]
    pub body: StatusBody,
}

/// The scope's own fields.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StatusBody {
    /// Scope `overview`.
    Overview(Overview),
    /// Scope `task`.
    Task(TaskStatus),
    /// Scope `plan`.
    Plan(PlanStatus),
    /// A `run_id` of `judge`.
    Judgement(JudgeResult),
    /// Scope `attempt`.
    Attempt(Box<AttemptStatus>),
    /// Scope `claims`.
    Claims {
        /// Who holds what.
        claims: Vec<ClaimStatus>,
    },
    /// Scope `conductors`.
    Conductors {
        /// Running orchestrations.
        conductors: Vec<ConductorStatus>,
    },
    /// Scope `budget`.
    Budget {
        /// Money by provider.
        budget: Vec<BudgetStatus>,
    },
    /// Scope `cost`.
    Cost(Box<CostStatus>),
    /// Scope `workers`.
    Workers {
        /// Seats and what they do.
        workers: Vec<WorkerStatus>,
    },
    /// Scope `queue`.
    Queue {
        /// Landings in their order.
        queue: Vec<LandingStatus>,
        /// Tasks that have not started, in the order in which they will be taken.
        #[serde(default)]
        waiting: Vec<QueuedStatus>,
    },
    /// Scope `events`.
    Events {
        /// What happened.
        events: Vec<EventStatus>,
    },
    /// Scope `environments`.
    Environments {
        /// Isolated checkouts.
        environments: Vec<Value>,
    },
}

/// Everything in a few lines.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Overview {
    /// Plans at work, then the newest.
    pub plans: Vec<PlanLine>,
    /// Seats by what they do.
    pub workers: WorkerCounts,
    /// How many claims are live.
    pub claims: u64,
    /// Money by provider, where some is limited or was spent.
    pub budget: Vec<BudgetStatus>,
    /// What needs somebody's attention.
    pub warnings: Vec<String>,
}

/// A plan in one line.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlanLine {
    /// Its id.
    pub plan_id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Tasks that are done.
    pub done: u64,
    /// Tasks.
    pub total: u64,
    /// Tasks at work.
    pub running: u64,
    /// Tasks that failed or are blocked.
    pub failed: u64,
    /// The conductor, where one lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conductor: Option<String>,
}

/// Seats by what they do.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub struct WorkerCounts {
    /// At work.
    pub busy: u64,
    /// Free.
    pub idle: u64,
    /// Rate-limited, over budget, or broken.
    pub unhealthy: u64,
}

/// A plan with its tasks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlanStatus {
    /// Its id.
    pub plan_id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Why, where it failed or was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The commit it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The branch to land on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The branch that collects its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// The process that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conductor: Option<ConductorRef>,
    /// Tasks that are done.
    pub done: u64,
    /// Tasks.
    pub total: u64,
    /// Tasks at work.
    pub running: u64,
    /// Tasks that failed or are blocked.
    pub failed: u64,
    /// Money so far.
    pub usd: f64,
    /// Its tasks, a page of them.
    pub tasks: Vec<TaskLine>,
}

/// A task in one line.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskLine {
    /// Its id.
    pub id: Id,
    /// Its state.
    pub state: String,
    /// Its text, shortened.
    pub task: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The attempt at work, or the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// The seat of that attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Why it waits, failed or was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The commit that landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// A task with its attempts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskStatus {
    /// `PLAN_ID/TASK_ID`.
    pub task_id: String,
    /// Its state.
    pub state: String,
    /// What is to be done.
    pub task: String,
    /// What it owns.
    pub files: Vec<String>,
    /// What it depends on.
    pub depends_on: Vec<Id>,
    /// Why it waits, failed or was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The commit that landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Tries at it, oldest first.
    pub attempts: Vec<AttemptStatus>,
}

/// One try.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AttemptStatus {
    /// Its id.
    pub attempt: String,
    /// `PLAN_ID/TASK_ID`.
    pub task_id: String,
    /// 1 for the first.
    pub number: u32,
    /// The seat.
    pub worker: String,
    /// Its provider.
    pub provider: String,
    /// Where it is, asked of its process.
    pub state: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The wall that was really built.
    pub wall: Option<String>,
    /// The folder it works or worked in.
    pub worktree: Option<String>,
    /// The ref that keeps its tree.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// What it used.
    pub usage: UsageStatus,
    /// What the judge found.
    pub gates: Vec<GateStatus>,
    /// What the judge says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// What it changed.
    pub changed: Vec<String>,
    /// What it changed outside its claim.
    pub outside_claim: Vec<String>,
    /// The agent's final answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// When it started.
    pub started_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// Tokens and money.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub struct UsageStatus {
    /// Sent, without those answered from a cache.
    pub input_tokens: u64,
    /// Sent and answered from a cache.
    pub cached_tokens: u64,
    /// Received.
    pub output_tokens: u64,
    /// Money, where known.
    pub usd: Option<f64>,
}

/// A gate with its evidence.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GateStatus {
    /// The gate.
    pub name: String,
    /// `pass`, `flaky` (passed when run again), `fail`, `skipped` or `error`.
    pub outcome: String,
    /// Why, in a sentence.
    pub why: String,
    /// What was seen: the tail of the command's output; the whole is a resource.
    pub evidence: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
}

/// Who holds what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimStatus {
    /// Its number.
    pub claim_id: i64,
    /// What it owns.
    pub pattern: String,
    /// `exclusive` or `shared`.
    pub mode: String,
    /// Who.
    pub holder: String,
    /// `attempt`, `agent` or `person`.
    pub holder_kind: String,
    /// `PLAN_ID/TASK_ID`, where an attempt holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: String,
    /// Until when, unless renewed.
    pub expires_at: String,
    /// Whether its holder is proved to live; absent where nothing can prove it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<bool>,
}

/// A conductor in the registry.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ConductorStatus {
    /// Its id.
    pub id: String,
    /// Its process.
    pub pid: u32,
    /// Its plan.
    pub plan_id: String,
    /// Its project's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Its state, asked of its lock.
    pub state: String,
    /// Its JSON-RPC socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// When it started.
    pub started_at: String,
    /// When it last said that it lives.
    pub heartbeat_at: String,
    /// Whether that was less than 60 s ago.
    pub fresh: bool,
}

/// Money of one provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BudgetStatus {
    /// Which.
    pub provider: String,
    /// Spent this month.
    pub spent_usd: f64,
    /// Set aside for what runs.
    pub reserved_usd: f64,
    /// May be spent this month.
    pub limit_usd: Option<f64>,
    /// Spent today, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub today_usd: Option<f64>,
    /// May be spent in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_limit_usd: Option<f64>,
    /// Tokens used today, where they are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub today_tokens: Option<u64>,
    /// Tokens that may be used in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_limit_tokens: Option<u64>,
    /// How much of the limit that is nearest to its end is spent, in hundredths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
    /// Why nothing more begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When that limit begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<String>,
    /// `ok`, `alert`, `over-budget` or `rate-limited`.
    pub state: String,
    /// Until when it is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// What was spent, in all projects: providers and their budgets are the machine's.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CostStatus {
    /// What the sums are of.
    pub by: CostBy,
    /// From when on. An attempt is counted when it began.
    pub since: String,
    /// All of it.
    pub total: CostLine,
    /// The sums: what cost most first, days and months in their order.
    pub cost: Vec<CostLine>,
    /// What this month will come to.
    pub forecast: ForecastStatus,
    /// What the same tokens would have cost with one provider alone, for each whose prices are known.
    pub savings: Vec<SavingStatus>,
    /// Of which day the listed prices are.
    pub prices_as_of: String,
}

/// A sum of costs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CostLine {
    /// Of what.
    pub name: String,
    /// Told by the agents, or priced by their tokens.
    pub usd: f64,
    /// Set aside for what runs.
    pub reserved_usd: f64,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Tokens sent that a cache answered.
    pub cached_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// Attempts and questions to agents.
    pub attempts: u64,
    /// Those of them whose cost nobody knows: they ended without telling it.
    pub untold: u64,
    /// May be spent this month, where the sum is a provider's of this month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_usd: Option<f64>,
    /// How much of that is spent, in hundredths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
}

/// What a month will come to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ForecastStatus {
    /// Spent so far.
    pub spent_usd: f64,
    /// The mean of the last days that cost something.
    pub per_day_usd: f64,
    /// Days after today.
    pub days_left: u32,
    /// What it will come to.
    pub total_usd: f64,
    /// How that was reckoned.
    pub how: String,
}

/// What one provider alone would have cost.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SavingStatus {
    /// Which.
    pub provider: String,
    /// The model whose listed prices are used; absent where prices are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it would have cost.
    pub would_usd: f64,
    /// How much more that is than was spent for the same tokens; negative where it is less.
    pub saved_usd: f64,
}

/// A seat and what it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerStatus {
    /// Its name.
    pub worker: String,
    /// Its provider.
    pub provider: String,
    /// Its groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Whether it never gets a task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// `idle`, `busy`, `rate-limited`, `over-budget`, `unhealthy` or `stopped`.
    pub state: String,
    /// `PLAN_ID/TASK_ID` of what it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<String>,
    /// The environment that it works in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What its attempts of today (UTC) cost, as far as known.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub usd_today: f64,
}

fn is_nothing(usd: &f64) -> bool {
    *usd == 0.0
}

/// A landing in the queue.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LandingStatus {
    /// `PLAN_ID/TASK_ID`.
    pub task_id: String,
    /// The attempt.
    pub attempt: String,
    /// The branch it lands on.
    pub branch: String,
    /// `queued` or `merged`.
    pub state: String,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventStatus {
    /// Its number; numbers only grow.
    pub seq: i64,
    /// When.
    pub at: String,
    /// What kind, such as `task.state`.
    pub kind: String,
    /// The plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// Who holds what it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// One line for people.
    pub text: String,
    /// Facts for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
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
}
