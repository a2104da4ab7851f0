//! What `status` answers, scope by scope; money has its own file.

use super::{
    BudgetStatus, ConductorRef, CostStatus, HealthStatus, Id, JudgeResult, Progress, QueuedStatus, Scope,
};
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{EnvironmentStatus, EnvironmentTotals};

/// Result of `status`: `seq`, `scope`, and the scope's own fields beside them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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

impl<'de> Deserialize<'de> for StatusResult {
    /// By the scope that it says. (Left to serde, which tries one after another, it was a quarter of a megabyte.)
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::of(&Value::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl StatusResult {
    fn of(value: &Value) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            seq: i64,
            scope: Scope,
            next_cursor: Option<String>,
        }
        let Head { seq, scope, next_cursor } = Head::deserialize(value)?;
        fn list<T: DeserializeOwned>(value: &Value, name: &'static str) -> serde_json::Result<Vec<T>> {
            Vec::deserialize(value.get(name).ok_or_else(|| serde_json::Error::missing_field(name))?)
        }
        let body = match scope {
            // A run of `judge`, whatever scope it was asked for.
            _ if value.get("run_id").is_some() && value.get("outside_claim").is_some() => {
                StatusBody::Judgement(JudgeResult::deserialize(value)?)
            }
            Scope::Overview => StatusBody::Overview(Overview::deserialize(value)?),
            Scope::Plan => StatusBody::Plan(PlanStatus::deserialize(value)?),
            Scope::Task => StatusBody::Task(TaskStatus::deserialize(value)?),
            Scope::Attempt => StatusBody::Attempt(Box::new(AttemptStatus::deserialize(value)?)),
            Scope::Workers => StatusBody::Workers {
                workers: list(value, "workers")?,
                missed: value.get("missed").map_or(Ok(0), u64::deserialize)?,
                warnings: value.get("warnings").map_or(Ok(Vec::new()), Deserialize::deserialize)?,
            },
            Scope::Health => StatusBody::Health(HealthStatus::deserialize(value)?),
            Scope::Claims => StatusBody::Claims { claims: list(value, "claims")? },
            Scope::Conductors => StatusBody::Conductors { conductors: list(value, "conductors")? },
            Scope::Budget => StatusBody::Budget { budget: list(value, "budget")? },
            Scope::Cost => StatusBody::Cost(Box::new(CostStatus::deserialize(value)?)),
            Scope::Environments => StatusBody::Environments {
                environments: list(value, "environments")?,
                totals: value
                    .get("totals")
                    .map_or(Ok(EnvironmentTotals::default()), Deserialize::deserialize)?,
            },
            Scope::Queue => StatusBody::Queue {
                queue: list(value, "queue")?,
                waiting: value.get("waiting").map_or(Ok(Vec::new()), Deserialize::deserialize)?,
            },
            Scope::Events => StatusBody::Events { events: list(value, "events")? },
            Scope::History => StatusBody::History { runs: list(value, "runs")? },
            Scope::Replay => StatusBody::Replay { steps: list(value, "steps")? },
        };
        Ok(Self { seq, scope, next_cursor, body })
    }
}

/// The scope's own fields.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
    /// Scope `health`.
    Health(HealthStatus),
    /// Scope `workers`.
    Workers {
        /// Seats and what they do.
        workers: Vec<WorkerStatus>,
        /// Tasks of the project that wait past their deadline.
        #[serde(default, skip_serializing_if = "is_none")]
        missed: u64,
        /// Why what is told may not be what the files of the configuration say.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
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
    /// Scope `history`.
    History {
        /// Plans that were started.
        runs: Vec<RunLine>,
    },
    /// Scope `replay`.
    Replay {
        /// What happened, step by step.
        steps: Vec<ReplayStep>,
    },
    /// Scope `environments`.
    Environments {
        /// Isolated checkouts.
        environments: Vec<EnvironmentStatus>,
        /// The same in figures.
        #[serde(default)]
        totals: EnvironmentTotals,
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
    /// The first stages of pipelines that wait for a person; a warning tells of more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_approve: Vec<ToApprove>,
}

/// A stage that waits for a person.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ToApprove {
    /// The run.
    pub run: String,
    /// The stage.
    pub stage: String,
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
    /// Those of them that are blocked.
    #[serde(default, skip_serializing_if = "is_none")]
    pub blocked: u64,
    /// The conductor, where one lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conductor: Option<String>,
    /// Its conductor's place in the queue, from 1, while that waits for room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
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
    /// Its conductor's place in the queue, from 1, while that waits for room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Tasks that are done.
    pub done: u64,
    /// Tasks.
    pub total: u64,
    /// Tasks at work.
    pub running: u64,
    /// Tasks that failed or are blocked.
    pub failed: u64,
    /// Those of them that are blocked.
    #[serde(default, skip_serializing_if = "is_none")]
    pub blocked: u64,
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
    /// Whether its worker is held up until somebody resumes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Why it waits, failed or was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The commit that landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Id>,
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
    /// The folder it works or worked in, as long as that is there.
    pub worktree: Option<String>,
    /// The environment whose checkout that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The tmux window that shows it while it works: `SESSION:WINDOW`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
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
    /// The working tree that it was started in, where that is another folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<String>,
    /// Its state, asked of its lock.
    pub state: String,
    /// Its JSON-RPC socket, while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// When it started.
    pub started_at: String,
    /// When it last said that it lives.
    pub heartbeat_at: String,
    /// Whether it lives, and that was less than 60 s ago.
    pub fresh: bool,
    /// What is odd: that it died, hangs, or that a clock was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where its plan's tasks are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Its place in the queue, from 1, while it waits for room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// What the machine lacks for its next worker: `memory` or `load`; `note` says more, and `control launch` begins
    /// all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// Where its plan is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_state: Option<String>,
}

/// A plan that was started, in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunLine {
    /// The plan.
    pub plan_id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Why, where it failed or was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its project's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// When its first conductor began.
    pub started_at: String,
    /// When it came to rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Where its tasks are.
    pub progress: Progress,
    /// Tries at its tasks.
    pub attempts: u64,
    /// Conductors that ran it, one after another.
    pub conductors: u64,
    /// Money, as far as known.
    pub usd: f64,
}

/// An event of a plan, with what was known when it was decided on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayStep {
    /// Which one, from 1.
    pub step: u64,
    /// The event's number.
    pub seq: i64,
    /// When.
    pub at: String,
    /// Since the first one.
    pub after_ms: i64,
    /// What kind.
    pub kind: String,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// One line for people.
    pub text: String,
    /// Why it was decided so, where the record tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What was known before it.
    pub known: KnownThen,
}

/// What was known at an event of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KnownThen {
    /// Where the plan was.
    pub plan: String,
    /// Tasks that waited for others, or for their turn.
    pub waiting: u64,
    /// Tasks that somebody was at work on.
    pub at_work: u64,
    /// Tasks that had landed.
    pub done: u64,
    /// Tasks that would not be done.
    pub failed: u64,
    /// Who was at work on what: `worker at task`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<String>,
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
    /// Why it gets nothing, where its last attempts failed at once, or its model of this machine is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The model that it would ask now, where that is one of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Until when, unless `control resume` lets it go on before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// `PLAN_ID/TASK_ID` of what it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<String>,
    /// The environment that it works in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What its attempts of today (UTC) cost, as far as known.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub usd_today: f64,
    /// Its standing session in tmux, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionStatus>,
}

/// A standing session that people talk to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionStatus {
    /// Its name in tmux.
    pub name: String,
    /// Whether Kapell started it; only then is it ended by `kapell fleet down`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub started_by_kapell: bool,
    /// Whether somebody looks at it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attached: bool,
}

fn is_none(count: &u64) -> bool {
    *count == 0
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
