//! What `kapell.toml` may say: the shape of the file, and nothing of its meaning.
//!
//! Doc comments become the descriptions of the JSON Schema, so they are written
//! for who edits the file. Limits of single values stand here too: the checker
//! reads them from the schema, so that editor and program cannot disagree.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{CachePath, Command, EnvPattern, Name, PathPattern, PriorityValue, Regex, Url};

/// Configuration of Kapell. Every key has a default.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "kapell.toml")]
pub struct File {
    /// This project: where work lands and how attempts are kept apart.
    pub project: Option<Project>,
    /// How results are proved. Rules of a plan or of a task come before these.
    pub rules: Option<Rules>,
    /// Who plays which part: a provider or a worker.
    pub roles: Option<Roles>,
    /// Kinds of agent, by name. `claude`, `codex`, `opencode` and `ollama` are there without being named.
    pub providers: BTreeMap<String, Provider>,
    /// What happens when a provider is limited or its budget is spent.
    pub failover: Option<Failover>,
    /// When workers are looked at, and when one gets no more tasks.
    pub health: Option<Health>,
    /// Named seats that do attempts. Without any, every provider is a worker of its own name.
    pub workers: BTreeMap<String, Worker>,
    /// Workers that share work.
    pub groups: BTreeMap<String, Group>,
    /// Where tasks for `auto` go: the first match wins. The project's come before the person's.
    pub routes: Vec<Route>,
    /// Stages that start one another.
    pub pipelines: BTreeMap<String, Pipeline>,
    /// Checkouts beside the project, each with its own ports and databases.
    pub environments: Option<Environments>,
    /// Limits of this machine for all projects together; in the person's file only.
    pub machine: Option<Machine>,
}

/// This project: where work lands and how attempts are kept apart.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Project {
    /// Branch that approved work lands on. Default: the one checked out.
    #[schemars(length(min = 1), extend("format" = "branch"))]
    pub target: Option<String>,
    /// Whether every attempt gets a worktree or all work in one folder. Default: worktree.
    pub isolation: Option<Isolation>,
    /// How tightly the kernel holds a worker. Default: auto.
    pub wall: Option<Wall>,
    /// Build caches that workers and gates may write besides their tree: absolute, `~/…`, or, for a strict
    /// wall, relative to the tree. Default: those of cargo, npm, pnpm, go, maven and gradle, and `~/.cache`.
    #[schemars(extend("uniqueItems" = true))]
    pub caches: Option<Vec<CachePath>>,
    /// Workers of this project at once. Default: 4.
    #[schemars(range(min = 1))]
    pub max_workers: Option<u32>,
    /// Plans of this project that run at once. Default: 3.
    #[schemars(range(min = 1))]
    pub max_conductors: Option<u32>,
    /// Files that are plans besides `plan.json`, `*.plan.json` and the same in YAML, for editors. Default: none.
    #[schemars(extend("uniqueItems" = true))]
    pub plans: Option<Vec<PathPattern>>,
    /// Files that no task owns, each with the command that makes them anew while landing.
    pub integrator: Option<Vec<Integrator>>,
}

/// How attempts are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// A git worktree for every attempt.
    #[default]
    Worktree,
    /// All in one folder.
    Shared,
}

/// How tightly the kernel holds a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wall {
    /// As `worktree`; none where the system has no wall, and none in a shared folder.
    #[default]
    Auto,
    /// Only the claim can be written; a task that this cannot be had for does not start.
    Strict,
    /// Only the attempt's worktree can be written; without a wall nothing starts.
    Worktree,
    /// None.
    Off,
}

/// Files that no task owns.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Integrator {
    /// Patterns of the files.
    #[schemars(extend("uniqueItems" = true, "minItems" = 1))]
    pub files: Option<Vec<PathPattern>>,
    /// Makes them anew.
    pub command: Option<Command>,
}

/// How results are proved.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Specs exist before the code. Default: true.
    pub spec_first: Option<bool>,
    /// Tests fail before the change and pass after it. Default: true.
    pub tdd: Option<bool>,
    /// Command of the lint gate. Default: the ecosystem's.
    pub lint: Option<Command>,
    /// Command that runs the tests. Default: the ecosystem's.
    pub test: Option<Command>,
    /// Command of the build gate. Default: the ecosystem's.
    pub build: Option<Command>,
    /// Further commands, each a gate of its own. Default: none.
    pub custom: Option<Vec<Command>>,
    /// Attempts before a task fails. Default: 3.
    #[schemars(range(min = 1))]
    pub max_attempts: Option<u32>,
    /// Provider of the review gate; `none`, as when it is left out: no such gate.
    pub review: Option<Name>,
    /// Seconds that one attempt may take. Default: 1800.
    #[schemars(range(min = 1))]
    pub timeout_s: Option<u64>,
    /// Seconds that an attempt may show no life. Default: 300.
    #[schemars(range(min = 1))]
    pub stuck_after_s: Option<u64>,
}

/// Who plays which part: a provider or a worker.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// Makes plans from requests. Default: the first agent found.
    pub planner: Option<Name>,
    /// Judges what commands cannot. Default: the first agent found.
    pub judge: Option<Name>,
    /// Advisor that a stuck worker's task is shown to. Default: none.
    pub oracle: Option<Name>,
    /// Answers questions about the code base. Default: none.
    pub librarian: Option<Name>,
}

/// A kind of agent with its command, prices and limits.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// How it is driven. Default: by its name, where that is claude, codex, opencode or ollama.
    pub kind: Option<ProviderKind>,
    /// Program and first arguments. Default: the kind's own; needed for kind command.
    pub command: Option<Command>,
    /// Agent that a model of kind ollama works through: codex or opencode. Default: the one that is found, codex first.
    pub through: Option<Through>,
    /// What a standing session of it runs, for people to talk to. Default: the command with its model and
    /// arguments; none where they are told a single task.
    pub session: Option<Command>,
    /// Model that is asked for. Default: the agent's own choice; for kind ollama the first that the server lists.
    #[schemars(length(min = 1))]
    pub model: Option<String>,
    /// Further arguments. Default: none.
    pub args: Option<Vec<String>>,
    /// Variables passed on from the caller, `*` for any letters, besides a small safe set. Default: the kind's own.
    #[schemars(extend("uniqueItems" = true))]
    pub env: Option<Vec<EnvPattern>>,
    /// Variables set for it. Default: none.
    pub set_env: BTreeMap<String, String>,
    /// Attempts of it at once. Default: as many as the project's workers.
    #[schemars(range(min = 1))]
    pub max_parallel: Option<u32>,
    /// The hardest task it may get: 1 simple, 2 normal, 3 complex. Default: 3; 2 for kinds command and ollama.
    #[schemars(range(min = 1, max = 3))]
    pub capability: Option<u8>,
    /// Prices, only where its program tells no money. Default: those listed for its model.
    pub prices: Option<Prices>,
    /// What may be spent on it. Default: no limit.
    pub budget: Option<Budget>,
}

/// How an agent is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// OpenCode.
    Opencode,
    /// A model of this machine, served by Ollama, through Codex or OpenCode.
    Ollama,
    /// Any other program.
    Command,
}

/// The agent that a local model works through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Through {
    /// Codex.
    Codex,
    /// OpenCode.
    Opencode,
}

impl Through {
    /// The agent's name, in the file and as a program.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::Opencode => "opencode",
        }
    }
}

impl ProviderKind {
    /// The agents known by name, in the order in which they are preferred.
    pub const KNOWN: [Self; 4] = [Self::Claude, Self::Codex, Self::Opencode, Self::Ollama];

    /// The kind's name in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Opencode => "opencode",
            Self::Ollama => "ollama",
            Self::Command => "command",
        }
    }

    /// The known agent of that name. Other names say nothing about the kind.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::KNOWN.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Prices in dollars for a million tokens.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// For tokens sent.
    #[schemars(range(min = 0))]
    pub input_usd_per_mtok: Option<f64>,
    /// For tokens received.
    #[schemars(range(min = 0))]
    pub output_usd_per_mtok: Option<f64>,
    /// For tokens sent that a cache answered. Default: as other tokens sent.
    #[schemars(range(min = 0))]
    pub cached_usd_per_mtok: Option<f64>,
    /// For tokens sent that were written to a cache. Default: as other tokens sent.
    #[schemars(range(min = 0))]
    pub cache_write_usd_per_mtok: Option<f64>,
}

/// What may be spent on a provider. What is left out has no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Dollars in a calendar month.
    #[schemars(range(min = 0))]
    pub usd_per_month: Option<f64>,
    /// Dollars in a day.
    #[schemars(range(min = 0))]
    pub usd_per_day: Option<f64>,
    /// Tokens in a day. For an attempt the mean of the last 20 are set aside; before there are any 100000; of
    /// fewer in a day all.
    pub tokens_per_day: Option<u64>,
    /// Dollars set aside for an attempt whose task has no budget. Default: the mean of the last 20, 1 before there are any.
    #[schemars(range(min = 0))]
    pub usd_per_attempt: Option<f64>,
}

/// What happens when a provider is limited or its budget is spent.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Failover {
    /// Providers in the order in which they take over. Default: the agents found.
    #[schemars(extend("uniqueItems" = true))]
    pub chain: Option<Vec<Name>>,
    /// Provider for when all of the chain are limited or over budget; `none`: work waits. Default: ollama, where a
    /// server answers on this machine, else none.
    pub fallback: Option<Name>,
    /// Part of a budget at which an alert is given. Default: 0.8.
    #[schemars(range(min = 0, max = 1))]
    pub alert_at: Option<f64>,
}

/// When workers are looked at, and when one gets no more tasks.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// Seconds between two looks at a worker at most, and from its nudge until it is stopped; `rules.stuck_after_s`,
    /// where that is less. Default: 300.
    #[schemars(range(min = 1))]
    pub look_s: Option<u64>,
    /// Attempts in a row that fail at once before their worker gets no tasks for a while. Default: 3.
    #[schemars(range(min = 1))]
    pub crashes: Option<u32>,
    /// Seconds within which an attempt that fails failed at once. Default: 10.
    #[schemars(range(min = 1))]
    pub crash_s: Option<u64>,
    /// Seconds that such a worker gets no tasks; twice as long each time after, up to an hour. Default: 60.
    #[schemars(range(min = 1, max = 604_800))]
    pub quarantine_s: Option<u64>,
}

/// A named seat that does attempts, one at a time.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// Its provider. Default: by its name: a group's `provider_by_name`, else the provider so called (`codex2`: codex).
    pub provider: Option<Name>,
    /// Groups it belongs to; they need no table of their own. Default: none.
    #[schemars(extend("uniqueItems" = true))]
    pub groups: Option<Vec<Name>>,
    /// Whether it never gets a task. Default: false.
    pub protected: Option<bool>,
    /// Where its attempts run. Default: process.
    pub runtime: Option<Runtime>,
    /// Environment whose checkout it works in. Default: none, a worktree of its own.
    pub environment: Option<Name>,
}

/// Where attempts of a worker run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// In the background.
    #[default]
    Process,
    /// In a tmux window that a person can watch.
    Tmux,
}

/// Workers that share work.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// Which member gets the next task. Default: round-robin.
    pub strategy: Option<Strategy>,
    /// Its workers. Default: those that name the group themselves.
    #[schemars(extend("uniqueItems" = true))]
    pub members: Option<Vec<Name>>,
    /// Workers and standing sessions whose whole name matches belong here too. Default: none.
    pub r#match: Option<Regex>,
    /// Provider of workers that do not name one, by their whole name: the first match wins. Default: none.
    pub provider_by_name: Option<Vec<ProviderByName>>,
}

/// Which member of a group gets the next task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the least to do.
    LeastLoaded,
    /// One task of the group at a time.
    Sequential,
}

/// A provider for names that match.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderByName {
    /// Matches the whole name.
    pub r#match: Option<Regex>,
    /// The provider.
    pub provider: Option<Name>,
}

/// Where tasks for `auto` go when their text matches.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Found anywhere in the task's text.
    pub r#match: Option<Regex>,
    /// Worker, group or provider.
    pub to: Option<Name>,
    /// Priority of such tasks, where the task has none. Default: medium.
    pub priority: Option<PriorityValue>,
}

/// Stages that start one another.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pipeline {
    /// The stages. Those that nothing triggers start first.
    pub stages: Option<Vec<Stage>>,
}

/// One stage of a pipeline.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stage {
    /// Its name in the pipeline.
    pub name: Option<Name>,
    /// Worker, group or provider that does it. Default: auto.
    pub target: Option<Name>,
    /// The task's text; `{request}` stands for what was asked of the pipeline, with fan_out `{task}` and `{files}` for
    /// the task that it is done for. Default: the request; none where there is a command.
    #[schemars(length(min = 1))]
    pub task: Option<String>,
    /// Files that its tasks own. Default: what they change and nobody else holds.
    #[schemars(extend("uniqueItems" = true))]
    pub files: Option<Vec<PathPattern>>,
    /// Stages, workers or groups that must all have finished; `approval` is a person's. Default: none.
    #[schemars(extend("uniqueItems" = true))]
    pub triggers_on: Option<Vec<Name>>,
    /// The same, one of which is enough, besides all of triggers_on. Default: none.
    #[schemars(extend("uniqueItems" = true))]
    pub triggers_on_any: Option<Vec<Name>>,
    /// Whether it is done once for each task of the stages that triggered it, instead of once for all. Default: false.
    pub fan_out: Option<bool>,
    /// What becomes of what it finds. Default: none.
    pub findings: Option<Findings>,
    /// Stage whose target mends what it finds. Default: the nearest before it that has tasks.
    pub findings_to: Option<Name>,
    /// So often it is done at most, where it finds something each time. Default: 3.
    #[schemars(range(min = 1, max = 100))]
    pub max_rounds: Option<u32>,
    /// Whether a person must approve before it starts. Default: false.
    pub approval: Option<bool>,
    /// Command that Kapell runs in a clean checkout of what has landed, instead of the task, or after it where both are
    /// there. Default: none.
    pub command: Option<Command>,
    /// Variables passed on from the caller to its command, `*` for any letters, besides a small safe set. Default: none.
    #[schemars(extend("uniqueItems" = true))]
    pub env: Option<Vec<EnvPattern>>,
    /// Whether its commands run without the wall around workers, as what delivers to elsewhere on this machine or
    /// signs in with your keys must. It runs what has landed: let a person approve it. Default: false.
    pub unwalled: Option<bool>,
    /// Command that undoes what the command did, at the same commit. Default: none.
    pub rollback: Option<Command>,
    /// When it is run without being asked for. Default: failure.
    pub rollback_on: Option<RollbackOn>,
    /// Seconds that each attempt and each command of it may take. Default: as the rules say for attempts, 1800 for commands.
    #[schemars(range(min = 1))]
    pub timeout_s: Option<u64>,
}

/// When what a command did is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackOn {
    /// When it fails, and when a person asks for it.
    #[default]
    Failure,
    /// When a person asks for it.
    Demand,
}

/// What becomes of what a stage finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Findings {
    /// They are recorded.
    #[default]
    None,
    /// Each becomes a task.
    Tasks,
}

/// Checkouts beside the project.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Environments {
    /// Their names. Default: none.
    #[schemars(extend("uniqueItems" = true))]
    pub names: Option<Vec<Name>>,
    /// Port of the first sub-environment; the others follow. Default: 8081.
    #[schemars(range(min = 1024, max = 65535))]
    pub base_port: Option<u16>,
    /// Sub-environments of each. Default: dev, qa, staging.
    #[schemars(extend("uniqueItems" = true, "minItems" = 1))]
    pub subs: Option<Vec<Name>>,
    /// Starts one; `{port}` and `{database}` are filled in. Default: none, it cannot be started.
    pub launch: Option<Command>,
    /// Address that answers when it is well: http, https, or tcp. Default: none.
    pub health: Option<Url>,
    /// Program that ends with 0 when it is well, besides or instead of an address. Default: none.
    pub health_command: Option<Command>,
    /// Whether the certificate at the health address may be anybody's. Default: false.
    pub insecure_tls: Option<bool>,
    /// Makes an empty database. Default: none, it is an empty SQLite file.
    pub init: Option<Command>,
    /// Whether they are worktrees of the project's repository. Default: false, each is a clone of its own.
    pub worktree: Option<bool>,
    /// Seconds in which one that was started must be well. Default: 30.
    #[schemars(range(min = 1, max = 3600))]
    pub launch_timeout_s: Option<u64>,
    /// Seconds that one has to end by itself when it is stopped. Default: 10.
    #[schemars(range(max = 3600))]
    pub grace_s: Option<u64>,
    /// Backups that are kept of each. Default: 7.
    #[schemars(range(min = 1, max = 1000))]
    pub backups: Option<u32>,
}

/// Limits of this machine for all projects together.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Machine {
    /// Workers at once. Default: no limit but the projects' own.
    #[schemars(range(min = 1))]
    pub max_workers: Option<u32>,
    /// Plans that run at once. Default: no limit but the projects' own.
    #[schemars(range(min = 1))]
    pub max_conductors: Option<u32>,
    /// Mebibytes that must be free before another worker starts. Default: a twentieth, at most 256, where the
    /// system tells of no memory pressure and within a control group's limit; else none.
    pub min_free_memory_mb: Option<u64>,
    /// Hundredths of the last ten seconds in which programs waited for memory, from which on no worker starts. Default: 25.
    #[schemars(range(min = 1, max = 100))]
    pub max_memory_pressure: Option<f64>,
    /// Load of the last minute (as `uptime` tells it) from which on no worker starts. Default: no limit.
    #[schemars(range(min = 0))]
    pub max_load: Option<f64>,
}
