//! What can be typed: every command, its options, its help with examples.
//!
//! The options of a method are the method's own fields; [`Method::call`](super::calls) turns
//! them into its parameters.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::Value;

mod fleet;

pub use fleet::{By, Fleet, Route};

use super::print::Color;
use crate::api::wire::{
    Action, ClaimMode, Complexity, CostBy, Id, Object, OnOverlap, Scope, Severity, WhenFull,
};

/// Many coding agents and people in one repository, without destroying each other's work.
#[derive(Debug, Parser)]
#[command(
    name = "kapell",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = false,
    max_term_width = 100,
    after_help = "Examples:
  kapell init                      set up this project and the agents found
  kapell run plan.yaml             check a plan, start it, follow it to its end
  kapell status                    what is going on
  kapell claim-files src/db        own files before changing them
  kapell send 'fix the typo' --files README.md

Exit codes: 0 ok, 1 refused or rejected, 2 usage, 3 not found, 4 store or system failure."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Work in this project instead of the one around the current folder
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub folder: Option<PathBuf>,
    /// Print the result as one line of JSON, and errors as one line on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Whether to colour: auto, always or never
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto, hide_default_value = true)]
    #[arg(hide_possible_values = true, global = true)]
    pub color: Color,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, check and store a plan of tasks that each own files
    Plan(Plan),
    /// Start a plan, some of its tasks, or one task
    Dispatch(Dispatch),
    /// Own files before changing them
    #[command(after_help = "Asking again renews. Ends with 1 if somebody else holds one of the paths.

Examples:
  kapell claim-files src/db docs/db.md
  kapell claim-files 'src/**/*.sql' --reason 'new index' --ttl-s 3600
  kapell claim-files src/db --wait-s 60
  kapell claim-files src/db/schema.sql --as me --ttl-s 7200
  kapell claim-files src/db/schema.sql --as me --take-over --reason 'mending it by hand'
  kapell claim-files src/db --check-only --json")]
    ClaimFiles(ClaimFiles),
    /// Let go of claimed files
    #[command(after_help = "Examples:
  kapell release-files src/db
  kapell release-files --claim-ids 12,13
  kapell release-files --all")]
    ReleaseFiles(ReleaseFiles),
    /// Save what a worker has done so far; for workers, inside their wall
    #[command(after_help = "Ends with 1 if something was changed that would not land.

Examples:
  kapell checkpoint
  kapell checkpoint --json")]
    Checkpoint,
    /// Tell what a worker found that is not its own to mend; for workers, inside their wall
    #[command(after_help = "Examples:
  kapell report 'the parser takes an empty file for an error' --files src/parse.rs --severity high")]
    Report(Report),
    /// What is going on
    Status(Status),
    /// What was spent, on what, and what the month will come to
    Cost(Cost),
    /// Prove work by gates
    Judge(Judge),
    /// Steer plans, tasks and workers
    #[command(after_help = "Examples:
  kapell control pause all
  kapell control retry auth-3kq9zx/2
  kapell control nudge claude1 --message 'the tests are in tests/api'")]
    Control(Control),
    /// Let nothing new start; with --force suspend what runs
    #[command(after_help = "Examples:
  kapell pause auth-3kq9zx
  kapell pause all --force")]
    Pause(Steer),
    /// Go on
    #[command(after_help = "Examples:
  kapell resume auth-3kq9zx")]
    Resume(Steer),
    /// End what runs, its work kept
    #[command(after_help = "Examples:
  kapell stop auth-3kq9zx
  kapell stop auth-3kq9zx/2 --force")]
    Stop(Steer),
    /// Call a task off
    #[command(after_help = "Examples:
  kapell cancel auth-3kq9zx/2 --message 'no longer wanted'")]
    Cancel(Steer),
    /// Try a task again
    #[command(after_help = "Examples:
  kapell retry auth-3kq9zx/2")]
    Retry(Steer),
    /// Accept work that the judge refused
    #[command(
        after_help = "What lies outside of the claim lands only where --path names it, and if nobody else holds it.
Examples:
  kapell approve auth-3kq9zx/2 --message 'the flaky test is known'
  kapell approve a-6q2m8x1c --path src/lib.rs --path README.md"
    )]
    Approve(Approve),
    /// Bring landed work to its target branch
    #[command(after_help = "Examples:
  kapell land
  kapell land auth-3kq9zx")]
    Land(Land),
    /// Check a plan, start it, and follow it to its end
    Run(Run),
    /// Give one task to a worker, without a plan
    #[command(after_help = "Examples:
  kapell send 'fix the typo in the first line' --files README.md
  kapell send 'speed up the parser' --files src/parse --target codex2 --priority high")]
    Send(Send),
    /// Tell to whom a task would go, and why
    #[command(after_help = "Nothing is started.

Examples:
  kapell route 'Review PR #123'
  kapell route 'fix the typo' --complexity simple --json")]
    Route(Route),
    /// Workers by group, and what they do
    #[command(after_help = "Examples:
  kapell fleet
  kapell fleet --by provider
  kapell fleet --watch")]
    Fleet(Fleet),
    /// List running orchestrations
    #[command(after_help = "Examples:
  kapell list
  kapell list --all --json")]
    List(List),
    /// Stop everything that runs, its work kept
    #[command(after_help = "Examples:
  kapell shutdown-all
  kapell shutdown-all --force")]
    ShutdownAll(ShutdownAll),
    /// What happened, as it happens
    #[command(after_help = "Examples:
  kapell events
  kapell events --follow --kind task.
  kapell events --since 120 --plan auth-3kq9zx --json")]
    Events(Events),
    /// Set up this project and register with the agents found
    #[command(
        after_help = "Every change is shown and asked about first. What was changed is kept, so that --undo can restore it.

Examples:
  kapell init
  kapell init --yes --no-agents
  kapell init --dry-run
  kapell init --undo"
    )]
    Init(Init),
    /// Look for what stands in the way, by trying it
    #[command(after_help = "Ends with 1 if a check fails.

Examples:
  kapell doctor
  kapell doctor --json")]
    Doctor,
    /// The configuration: kapell.toml over the person's own
    #[command(after_help = "Examples:
  kapell config check
  kapell config show --json
  kapell config schema")]
    Config(Config),
    /// Completions for a shell, from the same definition as this help
    #[command(after_help = "Examples:
  kapell completions bash > ~/.local/share/bash-completion/completions/kapell
  kapell completions zsh > ~/.zfunc/_kapell
  kapell completions fish > ~/.config/fish/completions/kapell.fish")]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Serve agents over MCP on stdin and stdout
    #[command(after_help = "Examples:
  claude mcp add kapell -- kapell mcp")]
    Mcp,
    /// Serve scripts: JSON-RPC 2.0 on stdin and stdout, a line each
    #[command(after_help = r#"Examples:
  echo '{"jsonrpc":"2.0","id":1,"method":"status"}' | kapell rpc"#)]
    Rpc,
    /// Serve an editor: the Language Server Protocol on stdin and stdout
    #[command(
        after_help = "Who holds a file shows where it is open, and what you change is yours until it is saved.
Plans and kapell.toml are checked and completed as they are typed.

Examples:
  kapell lsp
  vim.lsp.config('kapell', { cmd = { 'kapell', 'lsp' }, root_markers = { '.git' } })   # Neovim"
    )]
    Lsp {
        /// Speak on stdin and stdout; there is no other way, but some editors say so
        #[arg(long)]
        stdio: bool,
    },
    /// Answer an agent's hook: an event on stdin, a refusal or nothing on stdout
    #[command(
        after_help = r#"An agent calls it before each use of a tool that writes; kapell init and the plugin register it.
It always ends with 0; what went wrong stands in hook.log in the state folder.

Examples:
  cat event.json | kapell hook codex
  echo '{"hook_event_name":"PreToolUse","session_id":"s","cwd":".","tool_name":"Edit","tool_input":{"file_path":"a"}}' | kapell hook"#
    )]
    Hook {
        /// Whose events these are: claude (also where nothing is said) or codex
        agent: Option<String>,
    },
    /// The process that runs one plan
    #[command(hide = true)]
    Conduct(Inside),
    /// The process around one worker
    #[command(hide = true)]
    Shim(Inside),
}

/// What Kapell's own processes are given; their doors read it.
#[derive(Debug, Args)]
pub struct Inside {
    /// As the process was started
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// `plan`.
#[derive(Debug, Args)]
#[command(after_help = "Ends with 1 if the plan has errors; it is not stored then.

Examples:
  kapell plan plan.yaml
  kapell plan plan.json --check-only
  generate-plan | kapell plan - --name nightly
  kapell plan --request 'add sign-in with passkeys'")]
pub struct Plan {
    /// Plan file, JSON or YAML; - reads JSON from stdin
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
#[command(after_help = "Examples:
  kapell dispatch --plan-id auth-3kq9zx
  kapell dispatch --plan-id auth-3kq9zx --tasks 1,2 --max-parallel 2
  kapell dispatch --plan-id auth-3kq9zx --dry-run
  kapell dispatch --task 'fix the typo' --files README.md --target codex2")]
pub struct Dispatch {
    /// The plan to start
    #[arg(long, required_unless_present = "task", conflicts_with = "task")]
    pub plan_id: Option<String>,
    /// Only these tasks of it
    #[arg(long, value_delimiter = ',', value_parser = id, value_name = "IDS")]
    #[arg(requires = "plan_id", conflicts_with = "task")]
    pub tasks: Option<Vec<Id>>,
    /// One task without a plan: what is to be done
    #[arg(long, value_name = "TEXT")]
    pub task: Option<String>,
    /// What that task alone may change; without it, what it changes and nobody else owns
    #[arg(long, value_delimiter = ',', value_name = "PATHS")]
    pub files: Option<Vec<String>>,
    /// Worker, group, provider, or auto
    #[arg(long)]
    pub target: Option<String>,
    /// How hard it is: simple, normal or complex
    #[arg(long, value_parser = one_of::<Complexity>(&COMPLEXITIES), value_name = "HOW")]
    pub complexity: Option<Complexity>,
    /// 0 to 10 (10 first), or high, medium, low
    #[arg(long, value_parser = id)]
    pub priority: Option<Id>,
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
    #[arg(long, value_name = "N")]
    pub max_parallel: Option<u32>,
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
    #[arg(long, value_name = "N")]
    pub ttl_s: Option<u64>,
    /// Why, shown to whoever is in the way
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Wait so many seconds for it to become free, in the order of asking
    #[arg(long, value_name = "N")]
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
pub const SCOPES: [&str; 12] = [
    "overview",
    "plan",
    "task",
    "attempt",
    "workers",
    "claims",
    "conductors",
    "budget",
    "cost",
    "environments",
    "queue",
    "events",
];

/// `status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kapell status
  kapell status --watch
  kapell status --scope plan --id auth-3kq9zx
  kapell status --scope task --id auth-3kq9zx/2
  kapell status --scope claims --json")]
pub struct Status {
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
    #[arg(long, value_name = "N")]
    pub since_seq: Option<i64>,
    /// Wait so long for something newer, or a final state (at most 45000)
    #[arg(long, value_name = "N")]
    pub wait_ms: Option<u64>,
    /// At most so many items
    #[arg(long, value_name = "N")]
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
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Show it again whenever something happens, until Ctrl-C
    #[arg(long, conflicts_with_all = ["since_seq", "wait_ms", "cursor"])]
    pub watch: bool,
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
    #[arg(long, value_name = "WHEN")]
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
}

/// What a short form of `control` takes.
#[derive(Debug, Args)]
pub struct Steer {
    /// A plan, PLAN_ID/TASK_ID, an attempt, a worker, a conductor, or all
    #[arg(value_name = "ID")]
    pub target: String,
    /// At once, without grace
    #[arg(long)]
    pub force: bool,
    /// Why, or what to tell
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
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
    /// Even where a person's checkout stands in the way
    #[arg(long)]
    pub force: bool,
}

/// `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 only if the whole plan is done, with 130 after Ctrl-C; the work goes on then.

Examples:
  kapell run plan.yaml
  kapell run plan.yaml --detach
  generate-plan | kapell run - --max-parallel 2"
)]
pub struct Run {
    /// Plan file, JSON or YAML; - reads JSON from stdin
    pub file: String,
    /// Start it and do not follow
    #[arg(long)]
    pub detach: bool,
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
    #[arg(long, value_parser = id)]
    pub priority: Option<Id>,
}

/// The classes of `--complexity`.
const COMPLEXITIES: [&str; 3] = ["simple", "normal", "complex"];

/// `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Those that ended too
    #[arg(long)]
    pub all: bool,
}

/// `shutdown-all`.
#[derive(Debug, Args)]
pub struct ShutdownAll {
    /// At once, without grace
    #[arg(long)]
    pub force: bool,
}

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Go on until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// Only what is newer than this event number; without it the last 50, or with --follow only what is new
    #[arg(long, value_name = "N")]
    pub since: Option<i64>,
    /// Of this plan only
    #[arg(long, value_name = "ID")]
    pub plan: Option<String>,
    /// Of kinds that begin so
    #[arg(long)]
    pub kind: Option<String>,
    /// Of every project of yours
    #[arg(long)]
    pub all_projects: bool,
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Make every change without asking
    #[arg(long, short)]
    pub yes: bool,
    /// Only kapell.toml, no agent's configuration
    #[arg(long)]
    pub no_agents: bool,
    /// Only show what would change
    #[arg(long, conflicts_with_all = ["yes", "undo"])]
    pub dry_run: bool,
    /// Restore what init changed, where nobody changed it since
    #[arg(long, conflicts_with = "no_agents")]
    pub undo: bool,
    /// With --undo: also what was changed since
    #[arg(long, requires = "undo")]
    pub force: bool,
}

/// `config`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Config {
    /// What about it
    #[command(subcommand)]
    pub what: ConfigCommand,
}

/// What can be asked about the configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Explain every error with its place
    #[command(after_help = "Ends with 1 if there is an error.

Examples:
  kapell config check
  kapell config check --json")]
    Check,
    /// What both files say together, without the defaults
    #[command(after_help = "Examples:
  kapell config show
  kapell config show --json")]
    Show,
    /// JSON Schema of kapell.toml, for editors
    #[command(after_help = "Examples:
  kapell config schema > kapell.schema.json")]
    Schema,
}

/// One of the words that the contract knows, as its type.
fn one_of<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + std::marker::Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| serde_json::from_value::<T>(Value::String(word)))
}

/// An id as a plan may write it. Infallible, but clap wants to know.
fn id(text: &str) -> Result<Id, std::convert::Infallible> {
    Ok(match text.parse::<i64>() {
        // `007` is a name.
        Ok(number) if number.to_string() == text => Id::Number(number),
        _ => Id::Text(text.to_owned()),
    })
}

fn object(text: &str) -> Result<Object, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON object: {error}"))
}
