//! What can be typed about the methods of the contract: their fields as options.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{dollars, id, object, one_of};
use crate::api::wire::{
    Action, ClaimMode, Complexity, CostBy, Id, Object, OnOverlap, Scope, Severity, WhenFull,
};

/// `plan`.
#[derive(Debug, Args)]
#[command(after_help = "Ends with 1 if the plan has errors; it is not stored then.

Examples:
  kapell plan plan.yaml
  kapell plan plan.json --check-only
  generate-plan | kapell plan - --name nightly
  kapell plan --request 'add sign-in with passkeys'")]
pub struct Plan {
    /// Plan file, JSON or YAML; - reads either from stdin
    #[arg(required_unless_present = "request", conflicts_with = "request")]
    pub file: Option<String>,
    /// Have the planner agent make the plan from this text
    #[arg(long, value_name = "TEXT")]
    pub request: Option<String>,
    /// Name of the plan
    #[arg(long)]
    pub name: Option<String>,
    /// Only check, do not store
    #[arg(long)]
    pub check_only: bool,
    /// What to do about tasks that own the same files with no order between them
    #[arg(long, value_parser = one_of::<OnOverlap>(&["reject", "serialize"]), value_name = "WHAT")]
    pub on_overlap: Option<OnOverlap>,
}

/// `dispatch`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("work").required(true).args(["plan", "plan_id", "task"]))]
#[command(after_help = "Examples:
  kapell dispatch auth-3kq9zx
  kapell dispatch auth-3kq9zx --tasks 1,2 --max-parallel 2
  kapell dispatch auth-3kq9zx --dry-run
  kapell dispatch --task 'fix the typo' --files README.md --target codex2")]
pub struct Dispatch {
    /// The plan to start
    pub plan: Option<String>,
    /// The same, by its name in the contract
    #[arg(long)]
    pub plan_id: Option<String>,
    /// Only these tasks of it
    #[arg(long, value_delimiter = ',', value_parser = id, value_name = "IDS", conflicts_with = "task")]
    pub tasks: Option<Vec<Id>>,
    /// One task without a plan: what is to be done
    #[arg(long, value_name = "TEXT")]
    pub task: Option<String>,
    /// How that task is done
    #[command(flatten)]
    pub single: Single,
    /// Rules for that task, a JSON object as in a plan
    #[arg(long, value_parser = object, value_name = "JSON")]
    pub rules: Option<Object>,
    /// What is the same for `run`
    #[command(flatten)]
    pub start: Start,
    /// Only tell what would start
    #[arg(long)]
    pub dry_run: bool,
}

/// How a plan starts.
#[derive(Debug, Clone, Args)]
pub struct Start {
    /// At most so many attempts at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub max_parallel: Option<u32>,
    /// Begin so many tasks, and the next when all of these have ended
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub batch_size: Option<u32>,
    /// At most so many tries at each task: work, judgement, and again with what was said of it
    #[arg(long, value_name = "N", visible_alias = "iterations", value_parser = clap::value_parser!(u32).range(1..=20), allow_negative_numbers = true)]
    pub max_attempts: Option<u32>,
    /// Seconds that one try may take
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    pub timeout_s: Option<u64>,
    /// Seconds without a sign of life after which a worker is given up
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    pub stuck_after_s: Option<u64>,
    /// Seconds after which the whole run is stopped, its work kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    pub run_timeout_s: Option<u64>,
    /// What to do when everything is in use
    #[arg(long, value_parser = one_of::<WhenFull>(&["queue", "launch", "refuse"]), value_name = "WHAT")]
    pub when_full: Option<WhenFull>,
}

/// `claim-files`.
#[derive(Debug, Args)]
pub struct ClaimFiles {
    /// Patterns relative to the top of the repository: src/db, docs/, 'src/**/*.rs'
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// Who is to hold it; you, unless told
    #[arg(long, value_name = "NAME")]
    pub holder: Option<String>,
    /// The same for people: me, or somebody's name
    #[arg(long = "as", value_name = "WHO", conflicts_with = "holder")]
    pub person: Option<String>,
    /// Whether others may hold the same, as long as nobody writes
    #[arg(long, value_parser = one_of::<ClaimMode>(&["exclusive", "shared"]))]
    pub mode: Option<ClaimMode>,
    /// Seconds until the claim runs out unless renewed [default: 900]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub ttl_s: Option<u64>,
    /// Why, shown to whoever is in the way
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Wait so many seconds for it to become free, in the order of asking
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub wait_s: Option<u64>,
    /// Only tell whether it is free
    #[arg(long)]
    pub check_only: bool,
    /// Take it from whoever holds it; a worker is stopped first, and its work saved
    #[arg(long, requires = "reason", conflicts_with = "check_only")]
    pub take_over: bool,
}

/// `release-files`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["paths", "claim_ids", "all"]))]
pub struct ReleaseFiles {
    /// Your claims by their patterns
    #[arg(value_name = "PATH")]
    pub paths: Option<Vec<String>>,
    /// Claims by their numbers
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    pub claim_ids: Option<Vec<i64>>,
    /// All of your claims
    #[arg(long)]
    pub all: bool,
    /// Whose claims; yours, unless told
    #[arg(long, value_name = "NAME")]
    pub holder: Option<String>,
    /// The same for people: me, or somebody's name
    #[arg(long = "as", value_name = "WHO", conflicts_with = "holder")]
    pub person: Option<String>,
}

/// `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// What was found
    pub text: String,
    /// Where
    #[arg(long, value_delimiter = ',', value_name = "PATHS")]
    pub files: Option<Vec<String>>,
    /// How bad it is: high, medium or low
    #[arg(long, value_parser = one_of::<Severity>(&["high", "medium", "low"]), value_name = "HOW")]
    pub severity: Option<Severity>,
}

/// The scopes of `status`.
pub const SCOPES: [&str; 15] = [
    "overview",
    "plan",
    "task",
    "attempt",
    "workers",
    "health",
    "claims",
    "conductors",
    "budget",
    "cost",
    "environments",
    "queue",
    "events",
    "history",
    "replay",
];

/// `status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kapell status
  kapell status --watch
  kapell status auth-3kq9zx
  kapell status auth                            # the beginning of an id is enough where it is the only one
  kapell status auth-3kq9zx/2 --watch
  kapell status --scope claims --json")]
pub struct Status {
    /// A plan, a conductor, PLAN_ID/TASK_ID or an attempt: by its id, or by the beginning of a plan's or conductor's
    #[arg(value_name = "ID", conflicts_with_all = ["id", "run_id"])]
    pub what: Option<String>,
    /// What to tell about
    #[arg(long, value_parser = one_of::<Scope>(&SCOPES))]
    pub scope: Option<Scope>,
    /// Of which: PLAN_ID, PLAN_ID/TASK_ID, or an attempt's id
    #[arg(long)]
    pub id: Option<String>,
    /// What came of a dispatch or judge
    #[arg(long)]
    pub run_id: Option<String>,
    /// Only what is newer than this event number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..), allow_negative_numbers = true)]
    pub since_seq: Option<i64>,
    /// Wait so long for something newer, or a final state (at most 45000)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub wait_ms: Option<u64>,
    /// At most so many items
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub limit: Option<u32>,
    /// Where the page before ended
    #[arg(long)]
    pub cursor: Option<String>,
    /// Events whose kind begins so, for scope events
    #[arg(long)]
    pub kind: Option<String>,
    /// What sums are of, for scope cost
    #[arg(long, value_parser = one_of::<CostBy>(&["provider", "plan", "task", "worker", "day", "month"]), value_name = "WHAT")]
    pub by: Option<CostBy>,
    /// From when on, for scope cost: a day, a month, 7d, today, month or all
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Of every project of yours, for scopes history and events
    #[arg(long)]
    pub all_projects: bool,
    /// Show it again whenever something happens, until Ctrl-C
    #[arg(long, conflicts_with_all = ["since_seq", "wait_ms", "cursor"])]
    pub watch: bool,
    /// With --watch, of a plan: keep a small JSON status in this file, for other tools
    #[arg(long, value_name = "FILE", requires = "watch")]
    pub status_file: Option<PathBuf>,
}

/// `cost`.
#[derive(Debug, Args)]
#[command(
    after_help = "Money is what the agents told, or their tokens at the prices configured or listed. Days are UTC.
kapell status --scope budget shows the limits.

Examples:
  kapell cost
  kapell cost --by day --since 2026-11-01
  kapell cost --by task --since 7d --csv > costs.csv
  kapell cost --by month --json"
)]
pub struct Cost {
    /// What sums are of: provider (unless told), plan, task, worker, day or month
    #[arg(long, value_parser = one_of::<CostBy>(&["provider", "plan", "task", "worker", "day", "month"]), value_name = "WHAT")]
    pub by: Option<CostBy>,
    /// From when on: a day, a month, 7d, today, month (unless told) or all
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Print the sums as comma-separated values
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
}

/// `judge`.
#[derive(Debug, Args)]
#[command(after_help = "Waits for the verdict: 0 approved, 1 rejected, 4 could not be judged.

Examples:
  kapell judge --plan-id auth-3kq9zx
  kapell judge --plan-id auth-3kq9zx --task 2 --gates lint,red-green
  kapell judge --path ../fix --paths src/db,tests/db
  kapell judge --attempt a-7k2m9q4x1z --no-wait")]
#[command(group = ArgGroup::new("what").required(true).args(["plan_id", "attempt", "path"]))]
pub struct Judge {
    /// All submitted tasks of this plan
    #[arg(long)]
    pub plan_id: Option<String>,
    /// One task of it
    #[arg(long, value_parser = id, requires = "plan_id", conflicts_with_all = ["attempt", "path"])]
    pub task: Option<Id>,
    /// One attempt
    #[arg(long)]
    pub attempt: Option<String>,
    /// A working tree that Kapell did not make
    #[arg(long, value_name = "DIR")]
    pub path: Option<String>,
    /// What may have changed in it
    #[arg(long, value_delimiter = ',', requires = "path", conflicts_with_all = ["plan_id", "attempt"])]
    pub paths: Option<Vec<String>>,
    /// Only these gates
    #[arg(long, value_delimiter = ',', value_name = "GATES")]
    pub gates: Option<Vec<String>>,
    /// Provider of the review gate
    #[arg(long, value_name = "PROVIDER")]
    pub review: Option<String>,
    /// Land it when approved
    #[arg(long, overrides_with = "no_land")]
    pub land: bool,
    /// Do not land it
    #[arg(long)]
    pub no_land: bool,
    /// Do not wait for the verdict
    #[arg(long)]
    pub no_wait: bool,
}

/// The actions of `control`.
pub const ACTIONS: [&str; 10] =
    ["pause", "resume", "stop", "cancel", "retry", "restart", "approve", "land", "nudge", "launch"];

/// `control`.
#[derive(Debug, Args)]
pub struct Control {
    /// What to do
    #[arg(value_parser = one_of::<Action>(&ACTIONS))]
    pub action: Action,
    /// The target and how
    #[command(flatten)]
    pub approve: Approve,
    /// With resume: what the plan may cost from now on, all in all
    #[arg(long, value_name = "USD", value_parser = dollars, allow_negative_numbers = true)]
    pub budget_usd: Option<f64>,
}

/// What a short form of `control` takes.
#[derive(Debug, Args)]
pub struct Steer {
    /// A plan, PLAN_ID/TASK_ID, an attempt, a worker, a conductor, all, or all-projects; the beginning of a plan's or conductor's id is enough where it is the only one
    #[arg(value_name = "ID")]
    pub target: String,
    /// At once, without grace
    #[arg(long)]
    pub force: bool,
    /// Why, or what to tell
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// The target and how
    #[command(flatten)]
    pub steer: Steer,
    /// What the plan may cost from now on, all in all
    #[arg(long, value_name = "USD", value_parser = dollars, allow_negative_numbers = true)]
    pub budget_usd: Option<f64>,
}

/// `approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// The target and how
    #[command(flatten)]
    pub steer: Steer,
    /// With approve: a changed path outside of the claim that is to land too; the other gates still decide
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
}

/// `land`.
#[derive(Debug, Args)]
pub struct Land {
    /// Which plan; all that are done, unless told
    #[arg(default_value = "all", hide_default_value = true)]
    pub plan: String,
}

/// `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 only if the whole plan is done, with 130 after Ctrl-C. On a terminal Ctrl-C asks whether the work \
goes on in the background, is paused or stopped; a second one leaves at once, and it goes on.
The file of --status-file is one JSON object: plan_id, name, state, reason, done, total, running, failed, usd, followed, \
conductor, updated_at. It is replaced as a whole. `followed` is false where nobody keeps it any more, as after Ctrl-C; \
of a plan in the background it is kept by
kapell status ID --watch --status-file FILE.

Examples:
  kapell run plan.yaml
  kapell run plan.yaml --detach
  kapell run plan.yaml --status-file /run/user/1000/auth.json
  kapell run plan.yaml --iterations 2 --batch-size 4 --timeout-s 900 --run-timeout-s 7200
  generate-plan | kapell run - --max-parallel 2"
)]
pub struct Run {
    /// Plan file, JSON or YAML; - reads either from stdin
    pub file: String,
    /// Start it and do not follow
    #[arg(long)]
    pub detach: bool,
    /// Keep a small JSON status in this file, for other tools
    #[arg(long, value_name = "FILE", conflicts_with = "detach")]
    pub status_file: Option<PathBuf>,
    /// Name of the plan
    #[arg(long)]
    pub name: Option<String>,
    /// What to do about tasks that own the same files with no order between them
    #[arg(long, value_parser = one_of::<OnOverlap>(&["reject", "serialize"]), value_name = "WHAT")]
    pub on_overlap: Option<OnOverlap>,
    /// How it starts
    #[command(flatten)]
    pub start: Start,
}

/// `send`.
#[derive(Debug, Args)]
pub struct Send {
    /// What is to be done; - reads it from stdin
    pub text: String,
    /// How that task is done
    #[command(flatten)]
    pub single: Single,
}

/// A task without a plan.
#[derive(Debug, Args)]
pub struct Single {
    /// What the task alone may change; without it, what it changes and nobody else owns
    #[arg(long, value_delimiter = ',', value_name = "PATHS")]
    pub files: Option<Vec<String>>,
    /// Worker, group, provider, or auto
    #[arg(long)]
    pub target: Option<String>,
    /// How hard it is: simple, normal or complex
    #[arg(long, value_parser = one_of::<Complexity>(&COMPLEXITIES), value_name = "HOW")]
    pub complexity: Option<Complexity>,
    /// 0 to 10 (10 first), or high, medium, low
    #[arg(long, value_parser = id, allow_negative_numbers = true)]
    pub priority: Option<Id>,
}

/// The classes of `--complexity`.
pub(super) const COMPLEXITIES: [&str; 3] = ["simple", "normal", "complex"];
