//! Both files and the defaults made into one [`Config`].

use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::check::{ConfigProblem, Severity, Source, check_documents, documents, sorted};
use super::code::ConfigCode;
use super::document::Document;
use super::resolved::{
    Config, Environments, Failover, Group, Health, Integrator, Machine, NamePattern, Pipeline, Provider,
    Roles, Route, Stage, Worker,
};
use super::types::{self, File, ProviderKind, Through};
use super::values::{Command, Name};
use crate::base::ids::{ProviderName, WorkerName};
use crate::domain::health::CrashRule;
use crate::domain::pattern::Pattern;
use crate::domain::plan::{CommandLine, Complexity, Rules};
use crate::domain::prices::listed;
use crate::domain::usage::Prices;

/// Workers of a project at once, where it says nothing.
pub const MAX_WORKERS: u32 = 4;
/// Plans of a project that run at once, where it says nothing.
pub const MAX_CONDUCTORS: u32 = 3;
/// Attempts before a task fails.
pub const MAX_ATTEMPTS: u32 = 3;
/// Seconds that one attempt may take.
pub const TIMEOUT_S: u64 = 1800;
/// Seconds that an attempt may show no life.
pub const STUCK_AFTER_S: u64 = 300;
/// Seconds between two looks at a worker.
pub const LOOK_S: u64 = 300;
/// Attempts in a row that fail at once before their worker rests.
pub const CRASHES: u32 = 3;
/// Seconds within which an attempt fails at once.
pub const CRASH_S: u64 = 10;
/// Seconds that a worker rests the first time.
pub const QUARANTINE_S: u64 = 60;
/// So often a stage is done at most that finds something each time.
const MAX_ROUNDS: u32 = 3;
/// Part of a budget at which an alert is given.
pub const ALERT_AT: f64 = 0.8;
/// Port of the first sub-environment.
pub const BASE_PORT: u16 = 8081;
/// Sub-environments of each environment.
pub const SUBS: [&str; 3] = ["dev", "qa", "staging"];

/// The project's file over the person's, over defaults.
///
/// Tables are merged key by key, arrays replaced; the project's routes come
/// before the person's. `agents_found` are the known agents whose programs are
/// there, the preferred first: without any configuration they do the work.
///
/// # Errors
///
/// All problems of both files, warnings too, if any of them is an error.
pub fn load(
    project: Option<Source<'_>>,
    person: Option<Source<'_>>,
    agents_found: &[ProviderKind],
) -> Result<Config, Vec<ConfigProblem>> {
    let mut documents = documents(project, person);
    let problems = sorted(check_documents(&mut documents));
    if problems.iter().any(ConfigProblem::is_error) {
        return Err(problems);
    }
    match merged(&documents).and_then(|file| resolve(&file, agents_found)) {
        Ok(config) => Ok(Config { warnings: problems, ..config }),
        // The check has looked at everything; this is for what it may yet have missed.
        Err(message) => Err(vec![ConfigProblem {
            severity: Severity::Error,
            code: ConfigCode::Internal,
            file: project.or(person).map(|(path, _)| path.to_owned()).unwrap_or_default(),
            line: 1,
            column: 1,
            end_line: 1,
            end_column: 1,
            key: String::new(),
            message,
            hint: "run `kapell config check`".to_owned(),
        }]),
    }
}

/// What fits of all documents, the first over the others.
pub(super) fn merged(documents: &[Document<'_>]) -> Result<File, String> {
    let mut whole = Value::Object(Map::new());
    for document in documents {
        lay_under(&mut whole, &document.value);
    }
    let routes = documents.iter().filter_map(|document| document.value.get("routes")?.as_array()).flatten();
    let routes: Vec<Value> = routes.cloned().collect();
    if let Some(map) = whole.as_object_mut() {
        map.insert("routes".to_owned(), Value::Array(routes));
    }
    File::deserialize(&whole).map_err(|error| error.to_string())
}

/// Adds what `over` does not say.
fn lay_under(over: &mut Value, under: &Value) {
    if let (Value::Object(over), Value::Object(under)) = (over, under) {
        for (key, value) in under {
            match over.get_mut(key) {
                Some(said) => lay_under(said, value),
                None => drop(over.insert(key.clone(), value.clone())),
            }
        }
    }
}

/// Providers that groups give to names, in the order of the groups' names.
pub(super) struct Placing(Vec<(NamePattern, String)>);

impl Placing {
    pub(super) fn of(file: &File) -> Self {
        let rules = file.groups.values().flat_map(|group| group.provider_by_name.iter().flatten());
        Self(
            rules
                .filter_map(|rule| {
                    let pattern = NamePattern::new(rule.r#match.as_ref()?.as_str()).ok()?;
                    Some((pattern, rule.provider.as_ref()?.0.clone()))
                })
                .collect(),
        )
    }

    /// The provider of the first pattern that the whole name matches.
    pub(super) fn provider(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(pattern, _)| pattern.matches(name)).map(|(_, provider)| provider.as_str())
    }
}

/// The provider of a configured worker: its own word, else a group's, else by its name (`codex2`: codex).
pub(super) fn provider_of<'f>(
    name: &'f str,
    worker: &'f types::Worker,
    placing: &'f Placing,
    is_provider: impl Fn(&str) -> bool,
) -> Option<&'f str> {
    let own = worker.provider.as_ref().map(Name::as_str);
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    own.or_else(|| placing.provider(name)).or_else(|| [name, stem].into_iter().find(|name| is_provider(name)))
}

fn resolve(file: &File, agents_found: &[ProviderKind]) -> Result<Config, String> {
    let project = file.project.clone().unwrap_or_default();
    let max_workers = project.max_workers.unwrap_or(MAX_WORKERS);
    let providers = providers(file, max_workers, agents_found)?;
    // The agents found come first, as they are preferred; then those that only a file names.
    let known = agents_found.iter().chain(&ProviderKind::KNOWN).map(|kind| ProviderName::from(kind.as_str()));
    let mut chain: Vec<ProviderName> = Vec::new();
    for name in known.chain(providers.keys().cloned()) {
        let takes_over = |provider: &Provider| {
            provider.is_available && !matches!(provider.kind, ProviderKind::Command | ProviderKind::Ollama)
        };
        if !chain.contains(&name) && providers.get(&name).is_some_and(takes_over) {
            chain.push(name);
        }
    }
    let any = || providers.iter().find(|(_, provider)| provider.is_available).map(|(name, _)| name);
    let first = chain.first().or_else(any).map(ToString::to_string);
    let failover = file.failover.clone().unwrap_or_default();
    if let Some(names) = &failover.chain {
        chain = names.iter().map(|name| ProviderName::from(name.as_str())).collect();
    }
    // A model of this machine comes after all others, where it was found: it costs nothing, and can less.
    let local = agents_found.contains(&ProviderKind::Ollama).then(|| ProviderName::from("ollama"));
    let roles = file.roles.clone().unwrap_or_default();
    let (workers, groups) = fleet(file, &providers)?;
    Ok(Config {
        target: project.target,
        isolation: project.isolation.unwrap_or_default(),
        wall: project.wall.unwrap_or_default(),
        caches: project.caches.map(|paths| paths.into_iter().map(|path| path.0).collect()),
        max_workers,
        max_conductors: project.max_conductors.unwrap_or(MAX_CONDUCTORS),
        plans: all(project.plans.unwrap_or_default(), |pattern| {
            Pattern::parse(pattern.as_str()).map_err(|bad| bad.reason)
        })?,
        integrator: all(project.integrator.unwrap_or_default(), |entry| {
            let files = all(entry.files.unwrap_or_default(), |file| {
                Pattern::parse(file.as_str()).map_err(|bad| bad.reason)
            })?;
            Ok(Integrator {
                files,
                command: command(entry.command.as_ref())?.ok_or("integrator without a command")?,
            })
        })?,
        rules: rules(&file.rules.clone().unwrap_or_default())?,
        roles: Roles {
            planner: roles.planner.map(|name| name.0).or_else(|| first.clone()),
            judge: roles.judge.map(|name| name.0).or(first),
            oracle: roles.oracle.map(|name| name.0),
            librarian: roles.librarian.map(|name| name.0),
        },
        failover: Failover {
            fallback: match failover.fallback {
                Some(name) => Some(ProviderName::new(name.0)).filter(|name| name.as_str() != "none"),
                None => local.filter(|local| !chain.contains(local)),
            },
            chain,
            is_said: failover.chain.is_some(),
            alert_at: failover.alert_at.unwrap_or(ALERT_AT),
        },
        health: health(file.health.unwrap_or_default()),
        providers,
        workers,
        groups,
        routes: all(file.routes.clone(), |route| {
            let pattern = route.r#match.ok_or("route without a pattern")?;
            Ok(Route {
                pattern: regex::Regex::new(pattern.as_str()).map_err(|error| error.to_string())?,
                to: route.to.ok_or("route without a target")?.0,
                priority: route.priority.map(|priority| priority.priority()),
            })
        })?,
        pipelines: file
            .pipelines
            .iter()
            .map(|(name, pipeline)| {
                let stages = all(pipeline.stages.clone().unwrap_or_default(), stage)?;
                Ok((name.clone(), Pipeline { stages }))
            })
            .collect::<Result<Vec<_>, String>>()?
            .into_iter()
            .gather(),
        environments: environments(file.environments.clone().unwrap_or_default())?,
        machine: file.machine.map_or_else(Machine::default, |machine| Machine {
            max_workers: machine.max_workers,
            max_conductors: machine.max_conductors,
            min_free_memory_mb: machine.min_free_memory_mb,
            max_memory_pressure: machine.max_memory_pressure,
            max_load: machine.max_load,
        }),
        warnings: Vec::new(),
    })
}

fn all<T, U>(values: Vec<T>, each: impl FnMut(T) -> Result<U, String>) -> Result<Vec<U>, String> {
    values.into_iter().map(each).collect()
}

fn texts(names: Option<Vec<Name>>) -> Vec<String> {
    names.unwrap_or_default().into_iter().map(|name| name.0).collect()
}

fn command(command: Option<&Command>) -> Result<Option<CommandLine>, String> {
    command.map(Command::parse).transpose()
}

fn rules(rules: &types::Rules) -> Result<Rules, String> {
    Ok(Rules {
        spec_first: Some(rules.spec_first.unwrap_or(true)),
        tdd: Some(rules.tdd.unwrap_or(true)),
        lint: command(rules.lint.as_ref())?,
        test: command(rules.test.as_ref())?,
        build: command(rules.build.as_ref())?,
        custom: rules.custom.clone().map(|commands| all(commands, |command| command.parse())).transpose()?,
        max_attempts: Some(rules.max_attempts.unwrap_or(MAX_ATTEMPTS)),
        review: rules.review.as_ref().map(|name| name.0.clone()).filter(|name| name != "none"),
        timeout_s: Some(rules.timeout_s.unwrap_or(TIMEOUT_S)),
        stuck_after_s: Some(rules.stuck_after_s.unwrap_or(STUCK_AFTER_S)),
    })
}

fn health(said: types::Health) -> Health {
    Health {
        look: Duration::from_secs(said.look_s.unwrap_or(LOOK_S)),
        crashes: CrashRule {
            crashes: said.crashes.unwrap_or(CRASHES),
            within: Duration::from_secs(said.crash_s.unwrap_or(CRASH_S)),
            rest: Duration::from_secs(said.quarantine_s.unwrap_or(QUARANTINE_S)),
        },
    }
}

fn providers(
    file: &File,
    max_workers: u32,
    agents_found: &[ProviderKind],
) -> Result<BTreeMap<ProviderName, Provider>, String> {
    let known = ProviderKind::KNOWN.map(|kind| kind.as_str().to_owned());
    let names: BTreeSet<String> = known.into_iter().chain(file.providers.keys().cloned()).gather();
    let mut providers = BTreeMap::new();
    let takes_over = |name: &str| {
        let failover = file.failover.as_ref();
        let chain = failover.and_then(|failover| failover.chain.as_ref()).into_iter().flatten();
        chain.chain(failover.and_then(|failover| failover.fallback.as_ref())).any(|it| it.as_str() == name)
    };
    for name in names {
        let configured = file.providers.get(&name);
        let said = configured.cloned().unwrap_or_default();
        let kind = said.kind.or_else(|| ProviderKind::of_name(&name));
        let kind = kind.ok_or_else(|| format!("provider `{name}` has no kind"))?;
        let named = command(said.command.as_ref())?;
        let through = (kind == ProviderKind::Ollama)
            .then(|| said.through.unwrap_or_else(|| through(named.as_ref(), agents_found)));
        let program = match named {
            Some(program) => program,
            None if kind == ProviderKind::Command => return Err(format!("provider `{name}` has no command")),
            None => CommandLine(vec![through.map_or(kind.as_str(), Through::as_str).to_owned()]),
        };
        let env: &[&str] = match kind {
            ProviderKind::Claude => &["ANTHROPIC_*", "CLAUDE_*"],
            ProviderKind::Codex => &["OPENAI_*", "CODEX_*"],
            ProviderKind::Opencode => &["OPENCODE_*", "ANTHROPIC_*", "OPENAI_*"],
            ProviderKind::Ollama => &["OLLAMA_*"],
            ProviderKind::Command => &[],
        };
        let provider = Provider {
            kind,
            command: program,
            through,
            session: command(said.session.as_ref())?,
            args: said.args.unwrap_or_default(),
            env: match said.env {
                Some(patterns) => patterns.into_iter().map(|pattern| pattern.0).collect(),
                None => env.iter().map(|&pattern| pattern.to_owned()).collect(),
            },
            set_env: said.set_env,
            max_parallel: said.max_parallel.unwrap_or(max_workers),
            is_bounded: said.max_parallel.is_some(),
            capability: match said.capability {
                Some(1) => Complexity::Simple,
                Some(2) => Complexity::Normal,
                None if matches!(kind, ProviderKind::Command | ProviderKind::Ollama) => Complexity::Normal,
                _ => Complexity::Complex,
            },
            prices: prices(kind, said.prices, said.model.as_deref()),
            price_model: price_model(kind, said.prices.is_some(), said.model.as_deref()),
            model: said.model,
            budget: said.budget.unwrap_or_default(),
            // Where no file has workers each provider is one, also in groups.
            is_said: configured.is_some()
                || takes_over(&name)
                || !file.workers.is_empty()
                || file.groups.values().flat_map(|group| texts(group.members.clone())).any(|it| it == name),
            is_available: configured.is_some()
                || agents_found.contains(&kind)
                || kind == ProviderKind::Ollama && takes_over(&name),
        };
        providers.insert(ProviderName::new(name), provider);
    }
    Ok(providers)
}

/// What the tokens of a model cost that runs on this machine.
const FREE: Prices = Prices {
    input_usd_per_mtok: 0.0,
    output_usd_per_mtok: 0.0,
    cached_usd_per_mtok: 0.0,
    cache_write_usd_per_mtok: 0.0,
};

/// What a provider's tokens cost: as configured, else as listed for its model.
fn prices(kind: ProviderKind, said: Option<types::Prices>, model: Option<&str>) -> Option<Prices> {
    let Some(said) = said else {
        if kind == ProviderKind::Ollama {
            return Some(FREE);
        }
        return listed(priced_as(kind, model)?).map(|listed| listed.prices);
    };
    let input = said.input_usd_per_mtok?;
    Some(Prices {
        input_usd_per_mtok: input,
        output_usd_per_mtok: said.output_usd_per_mtok?,
        cached_usd_per_mtok: said.cached_usd_per_mtok.unwrap_or(input),
        cache_write_usd_per_mtok: said.cache_write_usd_per_mtok.unwrap_or(input),
    })
}

/// The listed model whose prices are used, if they are.
fn price_model(kind: ProviderKind, is_configured: bool, model: Option<&str>) -> Option<String> {
    if is_configured || kind == ProviderKind::Ollama {
        return None;
    }
    listed(priced_as(kind, model)?).map(|listed| listed.model.to_owned())
}

/// A model that is not named is taken for the one that its agent is likely to choose: a limit in
/// dollars would hold nothing without a price.
fn priced_as(kind: ProviderKind, model: Option<&str>) -> Option<&str> {
    model.or(match kind {
        ProviderKind::Codex => Some("gpt-5.5"),
        ProviderKind::Claude => Some("claude-opus-5-5"),
        ProviderKind::Opencode | ProviderKind::Ollama | ProviderKind::Command => None,
    })
}

/// The agent for a local model: the one whose program is named, else one that is found.
fn through(named: Option<&CommandLine>, agents_found: &[ProviderKind]) -> Through {
    let program = named.and_then(|CommandLine(words)| words.first()).map(Path::new);
    match program.and_then(|program| program.file_stem()?.to_str()) {
        Some("opencode") => Through::Opencode,
        Some("codex") => Through::Codex,
        _ if agents_found.contains(&ProviderKind::Codex) => Through::Codex,
        _ if agents_found.contains(&ProviderKind::Opencode) => Through::Opencode,
        _ => Through::Codex,
    }
}

type Fleet = (BTreeMap<WorkerName, Worker>, BTreeMap<String, Group>);

/// Workers and groups, each knowing of the other.
fn fleet(file: &File, providers: &BTreeMap<ProviderName, Provider>) -> Result<Fleet, String> {
    let placing = Placing::of(file);
    let is_provider = |name: &str| providers.contains_key(&ProviderName::from(name));
    let seat = |provider: &str, slots: u32| Worker {
        provider: ProviderName::from(provider),
        groups: BTreeSet::new(),
        protected: false,
        runtime: types::Runtime::default(),
        environment: None,
        slots,
    };
    let mut workers: BTreeMap<WorkerName, Worker> = BTreeMap::new();
    for (name, said) in &file.workers {
        let provider = provider_of(name, said, &placing, is_provider);
        let provider = provider.ok_or_else(|| format!("worker `{name}` has no provider"))?;
        let worker = Worker {
            groups: texts(said.groups.clone()).into_iter().collect(),
            protected: said.protected.unwrap_or(false),
            runtime: said.runtime.unwrap_or_default(),
            environment: said.environment.as_ref().map(|name| name.0.clone()),
            ..seat(provider, 1)
        };
        workers.insert(WorkerName::from(name.as_str()), worker);
    }
    let listed = |group: &types::Group| texts(group.members.clone());
    if file.workers.is_empty() {
        let members: BTreeSet<String> = file.groups.values().flat_map(listed).gather();
        for (name, provider) in providers {
            if provider.is_available || members.contains(name.as_str()) {
                workers.insert(WorkerName::from(name.as_str()), seat(name.as_str(), provider.max_parallel));
            }
        }
    }
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (name, said) in &file.groups {
        let pattern = said.r#match.as_ref().map(|pattern| NamePattern::new(pattern.as_str()));
        let by_name = said.provider_by_name.clone().unwrap_or_default();
        let mut group = Group {
            strategy: said.strategy.unwrap_or_default(),
            members: Vec::new(),
            pattern: pattern.transpose().map_err(|error| error.to_string())?,
            provider_by_name: all(by_name, |rule| {
                let pattern = rule.r#match.ok_or("provider_by_name without a pattern")?;
                let pattern = NamePattern::new(pattern.as_str()).map_err(|error| error.to_string())?;
                Ok((
                    pattern,
                    ProviderName::new(rule.provider.ok_or("provider_by_name without a provider")?.0),
                ))
            })?,
        };
        for member in listed(said) {
            let name = WorkerName::new(member);
            if let (false, Some(provider)) = (workers.contains_key(&name), placing.provider(name.as_str())) {
                workers.insert(name.clone(), seat(provider, 1));
            }
            group.members.push(name);
        }
        groups.insert(name.clone(), group);
    }
    // Membership may be said on either side, or by a pattern; from here on both sides say it.
    for (worker, seat) in &mut workers {
        for group in seat.groups.clone() {
            groups.entry(group).or_default();
        }
        for (name, group) in &mut groups {
            let is_listed = group.members.contains(worker);
            let matches = || group.pattern.as_ref().is_some_and(|pattern| pattern.matches(worker.as_str()));
            if is_listed || seat.groups.contains(name) || matches() {
                seat.groups.insert(name.clone());
                if !is_listed {
                    group.members.push(worker.clone());
                }
            }
        }
    }
    Ok((workers, groups))
}

fn stage(said: types::Stage) -> Result<Stage, String> {
    Ok(Stage {
        name: said.name.ok_or("stage without a name")?.0,
        target: said.target.map(|name| name.0).filter(|name| name != "auto"),
        task: said.task,
        files: all(said.files.unwrap_or_default(), |file| {
            Pattern::parse(file.as_str()).map_err(|bad| bad.reason)
        })?,
        triggers_on: texts(said.triggers_on),
        triggers_on_any: texts(said.triggers_on_any),
        fan_out: said.fan_out.unwrap_or(false),
        findings: said.findings.unwrap_or_default(),
        findings_to: said.findings_to.map(|name| name.0),
        max_rounds: said.max_rounds.unwrap_or(MAX_ROUNDS),
        approval: said.approval.unwrap_or(false),
        command: command(said.command.as_ref())?,
        env: said.env.unwrap_or_default().into_iter().map(|pattern| pattern.0).collect(),
        unwalled: said.unwalled.unwrap_or(false),
        rollback: command(said.rollback.as_ref())?,
        rolls_back: said.rollback_on.unwrap_or_default() == types::RollbackOn::Failure,
        timeout_s: said.timeout_s,
    })
}

fn environments(said: types::Environments) -> Result<Environments, String> {
    Ok(Environments {
        names: texts(said.names),
        base_port: said.base_port.unwrap_or(BASE_PORT),
        subs: match said.subs {
            Some(subs) => texts(Some(subs)),
            None => SUBS.map(str::to_owned).to_vec(),
        },
        launch: command(said.launch.as_ref())?,
        health: said.health.map(|url| url.0),
        health_command: command(said.health_command.as_ref())?,
        insecure_tls: said.insecure_tls.unwrap_or(false),
        init: command(said.init.as_ref())?,
        worktree: said.worktree.unwrap_or(false),
        launch_timeout_s: said.launch_timeout_s.unwrap_or(30),
        grace_s: said.grace_s.unwrap_or(10),
        backups: said.backups.unwrap_or(7),
    })
}
