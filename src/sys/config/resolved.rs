//! The configuration as the program uses it: both files and the defaults in one, every name followed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::check::ConfigProblem;
pub use super::types::{Budget, Findings, Isolation, ProviderKind, Runtime, Strategy, Through, Wall};
use crate::base::ids::{ProviderName, WorkerName};
use crate::domain::health::{CrashRule, MemoryRule};
use crate::domain::pattern::Pattern;
use crate::domain::plan::{CommandLine, Complexity, Priority, Rules};
use crate::domain::usage::Prices;

/// Hundredths of the time in which programs waited for memory, from which on no worker starts.
const MAX_MEMORY_PRESSURE: f64 = 25.0;

/// The configuration of one project on this machine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Branch that approved work lands on. `None`: the one checked out.
    pub target: Option<String>,
    /// How attempts are kept apart.
    pub isolation: Isolation,
    /// How tightly the kernel is to hold a worker.
    pub wall: Wall,
    /// Build caches that may be written, as they are configured. `None`: the usual ones.
    pub caches: Option<Vec<String>>,
    /// Workers of this project at once; at least 1.
    pub max_workers: u32,
    /// Plans of this project that run at once; at least 1.
    pub max_conductors: u32,
    /// Files that are plans besides those that are called so.
    pub plans: Vec<Pattern>,
    /// Files that the integrator makes anew.
    pub integrator: Vec<Integrator>,
    /// How results are proved. Said of everything but `lint`, `test` and `build`, which the
    /// ecosystem fills in, `custom`, and `review`, where `None` means no such gate.
    pub rules: Rules,
    /// Who plays which part.
    pub roles: Roles,
    /// All that are configured, and the agents known by name.
    pub providers: BTreeMap<ProviderName, Provider>,
    /// What happens when a provider is limited.
    pub failover: Failover,
    /// When workers are looked at, and when one gets no more tasks.
    pub health: Health,
    /// The configured ones; those that groups name and place by pattern; and if none is
    /// configured, one for every available provider, called as it is.
    pub workers: BTreeMap<WorkerName, Worker>,
    /// The configured ones, and those that workers name.
    pub groups: BTreeMap<String, Group>,
    /// In the order in which they are tried.
    pub routes: Vec<Route>,
    /// Stages that start one another.
    pub pipelines: BTreeMap<String, Pipeline>,
    /// Checkouts beside the project.
    pub environments: Environments,
    /// Limits of this machine for all projects together.
    pub machine: Machine,
    /// What is probably not as it was meant.
    pub warnings: Vec<ConfigProblem>,
}

/// Files that no task owns, and the command that makes them anew while landing.
#[derive(Debug, Clone)]
pub struct Integrator {
    /// The files.
    pub files: Vec<Pattern>,
    /// Makes them anew.
    pub command: CommandLine,
}

/// Who plays which part: names of providers or workers. `None`: nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    /// Makes plans from requests.
    pub planner: Option<String>,
    /// Judges what commands cannot.
    pub judge: Option<String>,
    /// Advises on stuck tasks.
    pub oracle: Option<String>,
    /// Answers questions about the code base.
    pub librarian: Option<String>,
}

impl Roles {
    /// Who plays the part of that name, as a task names it.
    pub fn get(&self, role: &str) -> Option<&str> {
        match role {
            "planner" => self.planner.as_deref(),
            "judge" => self.judge.as_deref(),
            "oracle" => self.oracle.as_deref(),
            "librarian" => self.librarian.as_deref(),
            _ => None,
        }
    }
}

/// A kind of agent.
#[derive(Debug, Clone)]
pub struct Provider {
    /// How it is driven.
    pub kind: ProviderKind,
    /// Program and first arguments.
    pub command: CommandLine,
    /// The agent that a local model works through; nothing for the other kinds.
    pub through: Option<Through>,
    /// What a standing session of it runs. `None`: the command, where it is not told a single task.
    pub session: Option<CommandLine>,
    /// Model that is asked for. `None`: the agent's own choice.
    pub model: Option<String>,
    /// Further arguments.
    pub args: Vec<String>,
    /// Patterns of variables passed on from the caller, `*` for any letters.
    pub env: Vec<String>,
    /// Variables set for it.
    pub set_env: BTreeMap<String, String>,
    /// Attempts of it at once; at least 1.
    pub max_parallel: u32,
    /// Whether somebody said that; it is the project's number of seats otherwise.
    pub is_bounded: bool,
    /// The hardest task it may get.
    pub capability: Complexity,
    /// What its tokens cost, for where its program tells no money, and for comparisons.
    pub prices: Option<Prices>,
    /// The listed model that these prices are of; `None` where they are configured or not known.
    pub price_model: Option<String>,
    /// What may be spent on it.
    pub budget: Budget,
    /// Whether a file names it or its program was found. A provider that is not
    /// available can be named and still gets no work by itself.
    pub is_available: bool,
    /// Whether a file names it or a worker of it; else at most its program was found.
    pub is_said: bool,
}

/// What happens when a provider is limited or its budget is spent.
#[derive(Debug, Clone, PartialEq)]
pub struct Failover {
    /// Providers in the order in which they take over.
    pub chain: Vec<ProviderName>,
    /// Whether somebody wrote it; else it is of the agents that were found, which take over from the limited and
    /// get nothing that another was refused.
    pub is_said: bool,
    /// For when all of the chain are limited. `None`: work waits.
    pub fallback: Option<ProviderName>,
    /// Part of a budget at which an alert is given, 0 to 1.
    pub alert_at: f64,
}

/// When workers are looked at, and when one gets no more tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The longest between two looks at a worker.
    pub look: Duration,
    /// When a worker is taken for one that only crashes.
    pub crashes: CrashRule,
}

/// A named seat that does attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its provider.
    pub provider: ProviderName,
    /// Groups it belongs to, by its own word or theirs.
    pub groups: BTreeSet<String>,
    /// Whether it never gets a task.
    pub protected: bool,
    /// Where its attempts run.
    pub runtime: Runtime,
    /// Environment whose checkout it works in.
    pub environment: Option<String>,
    /// Attempts it does at once: 1, and `max_parallel` for one that stands for its whole provider.
    pub slots: u32,
}

/// Workers that share work.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Which member gets the next task.
    pub strategy: Strategy,
    /// Its workers: as listed, then the others by name.
    pub members: Vec<WorkerName>,
    /// Standing sessions with such names belong here too.
    pub pattern: Option<NamePattern>,
    /// Providers of workers that name none: the first match wins.
    pub provider_by_name: Vec<(NamePattern, ProviderName)>,
}

/// A regular expression that a whole name must match.
#[derive(Debug, Clone)]
pub struct NamePattern(regex::Regex);

impl NamePattern {
    /// Compiles it.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        let whole = regex::Regex::new(&format!(r"\A(?:{pattern})\z"));
        // In extended mode a comment at the end would swallow the closing bracket.
        whole.or_else(|_| regex::Regex::new(&format!("\\A(?:{pattern}\n)\\z"))).map(Self)
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// Where tasks for `auto` go when their text matches.
#[derive(Debug, Clone)]
pub struct Route {
    /// Found anywhere in the task's text.
    pub pattern: regex::Regex,
    /// Worker, group or provider.
    pub to: String,
    /// Priority of such tasks, where the task has none.
    pub priority: Option<Priority>,
}

/// Stages that start one another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pipeline {
    /// The stages, as written. They wait for each other without a circle.
    pub stages: Vec<Stage>,
}

/// One stage of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stage {
    /// Its name in the pipeline.
    pub name: String,
    /// Worker, group or provider; `None` is `auto`.
    pub target: Option<String>,
    /// The task's text, with its placeholders. `None`: the request, or none where there is a command.
    pub task: Option<String>,
    /// What its tasks own. None: what they change.
    pub files: Vec<Pattern>,
    /// Stages of this pipeline, else workers, else groups, that must all have finished.
    pub triggers_on: Vec<String>,
    /// The same, one of which is enough.
    pub triggers_on_any: Vec<String>,
    /// Whether it is done once for each task of the stages that triggered it.
    pub fan_out: bool,
    /// What becomes of what it finds.
    pub findings: Findings,
    /// The stage whose target mends that. `None`: the nearest before it that has tasks.
    pub findings_to: Option<String>,
    /// So often it is done at most.
    pub max_rounds: u32,
    /// Whether a person must approve before it starts.
    pub approval: bool,
    /// Command that is run instead of, or after, the task.
    pub command: Option<CommandLine>,
    /// Variables that its command gets of the caller's.
    pub env: Vec<String>,
    /// Whether its commands run without the wall around workers.
    pub unwalled: bool,
    /// What undoes it.
    pub rollback: Option<CommandLine>,
    /// Whether that is run when the command fails.
    pub rolls_back: bool,
    /// How long an attempt and a command may take.
    pub timeout_s: Option<u64>,
}

impl Stage {
    /// Whether workers do something for it.
    pub fn has_tasks(&self) -> bool {
        self.task.is_some() || self.command.is_none()
    }
}

/// Checkouts beside the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environments {
    /// Their names.
    pub names: Vec<String>,
    /// Port of the first sub-environment of the first environment; the others follow without a gap.
    pub base_port: u16,
    /// Sub-environments of each.
    pub subs: Vec<String>,
    /// Starts one; `{port}` and `{database}` are filled in.
    pub launch: Option<CommandLine>,
    /// Address that answers when it is well.
    pub health: Option<String>,
    /// Program that ends with 0 when it is well.
    pub health_command: Option<CommandLine>,
    /// Whether the certificate at that address may be anybody's.
    pub insecure_tls: bool,
    /// Makes an empty database.
    pub init: Option<CommandLine>,
    /// Whether they are worktrees of the project's repository instead of clones.
    pub worktree: bool,
    /// Seconds in which one that was started must be well.
    pub launch_timeout_s: u64,
    /// Seconds that one has to end by itself.
    pub grace_s: u64,
    /// Backups that are kept of each.
    pub backups: u32,
}

impl Environments {
    /// The port of a sub-environment; `None` if there is no such one.
    pub fn port(&self, name: &str, sub: &str) -> Option<u16> {
        let name = self.names.iter().position(|other| other == name)?;
        let sub = self.subs.iter().position(|other| other == sub)?;
        let offset = name.checked_mul(self.subs.len())?.checked_add(sub)?;
        self.base_port.checked_add(u16::try_from(offset).ok()?)
    }
}

/// Limits of this machine for all projects together. `None`: no limit but the projects' own.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Machine {
    /// Workers at once.
    pub max_workers: Option<u32>,
    /// Plans that run at once.
    pub max_conductors: Option<u32>,
    /// Mebibytes that must be free before another worker starts.
    pub min_free_memory_mb: Option<u64>,
    /// Hundredths of the time in which programs waited for memory, from which on no worker starts.
    pub max_memory_pressure: Option<f64>,
    /// Load of the last minute from which on no worker starts.
    pub max_load: Option<f64>,
}

impl Machine {
    /// How much memory there must be before another worker starts.
    pub fn memory(&self) -> MemoryRule {
        MemoryRule {
            most_pressure: self.max_memory_pressure.unwrap_or(MAX_MEMORY_PRESSURE),
            least_free: self.min_free_memory_mb.map(|mebibytes| mebibytes.saturating_mul(1 << 20)),
        }
    }
}

/// Something that a task may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TargetKind,
    /// Whether it never gets a task: a protected worker, or a group or provider with no other.
    pub protected: bool,
}

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// One worker.
    Worker,
    /// Any worker of a group.
    Group,
    /// Any worker of a provider.
    Provider,
}

/// Where a name that no file has belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Groups whose pattern matches.
    pub groups: Vec<String>,
    /// Its provider, if a group tells.
    pub provider: Option<ProviderName>,
    /// Whether it never gets a task: one of its groups has protected workers only.
    pub protected: bool,
}

impl Config {
    /// Every name that a task may name besides `auto`, each once: a worker before a group before a
    /// provider so called; ordered by kind and name.
    pub fn targets(&self) -> Vec<Target> {
        let all_protected = |workers: &mut dyn Iterator<Item = &Worker>| {
            let mut workers = workers.peekable();
            workers.peek().is_some() && workers.all(|worker| worker.protected)
        };
        let workers = self.workers.iter().map(|(name, worker)| Target {
            name: name.to_string(),
            kind: TargetKind::Worker,
            protected: worker.protected,
        });
        let groups = self.groups.iter().map(|(name, group)| Target {
            name: name.clone(),
            kind: TargetKind::Group,
            protected: all_protected(&mut group.members.iter().filter_map(|member| self.workers.get(member))),
        });
        let providers = self.providers.keys().map(|name| Target {
            name: name.to_string(),
            kind: TargetKind::Provider,
            protected: all_protected(&mut self.workers.values().filter(|worker| worker.provider == *name)),
        });
        let mut seen = BTreeSet::new();
        workers.chain(groups).chain(providers).filter(|target| seen.insert(target.name.clone())).collect()
    }

    /// Groups and provider of a standing session that no file has, by the groups' patterns. `None` if none matches.
    pub fn place(&self, name: &str) -> Option<Placement> {
        let groups = self.groups.iter();
        let groups: Vec<String> = groups
            .filter(|(_, group)| group.pattern.as_ref().is_some_and(|pattern| pattern.matches(name)))
            .map(|(group, _)| group.clone())
            .collect();
        let by_name = self.groups.values().flat_map(|group| &group.provider_by_name);
        let provider =
            by_name.filter(|(pattern, _)| pattern.matches(name)).map(|(_, provider)| provider.clone()).next();
        let protected = groups.iter().filter_map(|group| self.groups.get(group)).any(|group| {
            let mut members = group.members.iter().filter_map(|member| self.workers.get(member)).peekable();
            members.peek().is_some() && members.all(|member| member.protected)
        });
        (!groups.is_empty() || provider.is_some()).then_some(Placement { groups, provider, protected })
    }
}
