//! The text of a first `kapell.toml`.

use std::fmt::Write;

use super::ecosystem::Ecosystem;
use super::types::ProviderKind;
use crate::domain::plan::CommandLine;

/// A `kapell.toml` in which everything is a comment: it changes nothing until a line is opened.
///
/// Every key of a project's file stands there with its default, or an example
/// where it has none. Lines that begin with `#` and no blank are TOML; opening
/// one, or all, gives a configuration without a problem.
pub fn starter(ecosystem: &Ecosystem, agents_found: &[ProviderKind]) -> String {
    let mut agents: Vec<ProviderKind> = Vec::new();
    for &agent in agents_found {
        if !agents.contains(&agent) && !matches!(agent, ProviderKind::Command | ProviderKind::Ollama) {
            agents.push(agent);
        }
    }
    let has_ollama = agents_found.contains(&ProviderKind::Ollama);
    let head = head(ecosystem, &agents, has_ollama);
    // Examples need an agent to name, found or not.
    if agents.is_empty() {
        agents.push(ProviderKind::Claude);
    }
    let main = agents[0];
    let second = agents.get(1).copied().unwrap_or(main);
    let chain = agents.iter().map(|agent| agent.as_str());
    let fallback = match has_ollama {
        true => "\"ollama\" ## the model of this machine",
        false => "\"local\" ## example",
    };
    let filled = TEMPLATE
        .replace("@HEAD@", &head)
        .replace("@LINT@", &array(ecosystem.lint.as_ref(), &["make", "lint"]))
        .replace("@TEST@", &array(ecosystem.test.as_ref(), &["make", "test"]))
        .replace("@BUILD@", &array(ecosystem.build.as_ref(), &["make"]))
        .replace("@OTHERS@", &others(&agents))
        .replace("@CHAIN@", &written(chain))
        .replace("@FALLBACK@", fallback)
        .replace("@MAIN@", main.as_str())
        .replace("@SECOND@", second.as_str());
    aligned(&filled)
}

fn head(ecosystem: &Ecosystem, agents_found: &[ProviderKind], has_ollama: bool) -> String {
    let found = match &ecosystem.evidence {
        Some(file) => format!("{} ({file})", ecosystem.kind.as_str()),
        None => "no build tool: name the commands under [rules]".to_owned(),
    };
    let mut names: Vec<&str> = agents_found.iter().map(|agent| agent.as_str()).collect();
    names.extend(has_ollama.then_some("ollama"));
    let agents = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
    format!("# Found here: {found}. Agents found: {agents}.")
}

/// A command as TOML, and where it is from; the example where there is none.
fn array(command: Option<&CommandLine>, example: &[&str]) -> String {
    match command {
        Some(CommandLine(words)) => {
            format!("{} ## left out: found by itself", written(words.iter().map(String::as_str)))
        }
        None => format!("{} ## example; none was found here", written(example.iter().copied())),
    }
}

/// Strings as a TOML array on one line, without what the template marks places with.
fn written<'w>(words: impl Iterator<Item = &'w str>) -> String {
    // A JSON string is a TOML string but for one character.
    let string = |word: &str| serde_json::Value::from(word).to_string().replace('\u{7f}', r"\u007f");
    let words: Vec<String> =
        words.map(|word| string(word).replace('#', r"\u0023").replace('@', r"\u0040")).collect();
    format!("[{}]", words.join(", "))
}

/// The agents after the first, which has all keys.
fn others(agents: &[ProviderKind]) -> String {
    let mut text = String::new();
    for agent in agents.iter().skip(1) {
        let name = agent.as_str();
        // Writing to a string cannot fail.
        let _ = write!(text, "\n#[providers.{name}]\n#kind = \"{name}\" ## its name already says so\n");
    }
    text
}

/// Puts the comment after each value, marked `##` in the template, into one column.
fn aligned(text: &str) -> String {
    const COLUMN: usize = 48;
    let mut aligned = String::with_capacity(text.len() + 2048);
    for line in text.lines() {
        match line.split_once(" ## ") {
            Some((value, why)) => {
                let _ = writeln!(aligned, "{value:<COLUMN$} # {why}");
            }
            None => {
                let _ = writeln!(aligned, "{line}");
            }
        }
    }
    aligned
}

const TEMPLATE: &str = r##"# Kapell's configuration of this project. Everything has a default: an empty file works.
@HEAD@
#
# Lines that begin with # and no blank are settings: take the # away (and that of the
# [heading] above). Each stands at its default; "example" marks those that have none.
# A command is an array, or a string split like a shell would; no shell ever runs it.
# The same keys in $XDG_CONFIG_HOME/kapell/config.toml are yours for all projects, as are
# the limits of your machine under [machine]. `kapell config check` explains every mistake.

#[project]
#target = "main" ## example; branch that approved work lands on, else the one checked out
#isolation = "worktree" ## worktree: one for each attempt; shared: all in one folder
#wall = "auto" ## auto, strict, worktree, off: how tightly the kernel holds a worker
#caches = ["~/.cargo/registry", "target"] ## example; may be written besides the work, else those of usual tools
#max_workers = 4 ## of this project at once
#max_conductors = 3 ## plans of this project at once
#plans = ["plans/*.json"] ## example; plans for editors besides plan.json and *.plan.json
# Files that no task owns, each with what makes it anew while landing (example):
#integrator = [{ files = ["Cargo.lock"], command = ["cargo", "generate-lockfile"] }]

# How results are proved; rules of a plan or a task come before these.
#[rules]
#spec_first = true ## specs exist before the code
#tdd = true ## tests fail before the change and pass after it
#lint = @LINT@
#test = @TEST@
#build = @BUILD@
#custom = [] ## further commands, each a gate of its own
#max_attempts = 3 ## before a task fails
#review = "none" ## provider of the review gate
#timeout_s = 1800 ## for one attempt
#stuck_after_s = 300 ## without a sign of life

# Who plays which part: a provider or a worker.
#[roles]
#planner = "@MAIN@" ## makes plans from requests; the first agent found
#judge = "@MAIN@" ## judges what commands cannot; the first agent found
#oracle = "@SECOND@" ## example; advises on stuck tasks
#librarian = "@SECOND@" ## example; answers questions about the code base

# Agents. Those on your PATH work without being named here.
#[providers.@MAIN@]
#kind = "@MAIN@" ## claude, codex, opencode, ollama or command; left out: by its name
#command = ["@MAIN@"] ## program and first arguments
#session = ["claude"] ## example; what its standing sessions run, left out: command with model and args
#model = "a-model" ## example; left out: the agent's own choice
#args = [] ## further arguments
#env = ["ANTHROPIC_*"] ## example; passed on from the caller, besides a small safe set
#set_env = { NO_COLOR = "1" } ## example; set for it
#max_parallel = 4 ## attempts at once; as many as the project's workers
#capability = 3 ## the hardest task it may get: 1 simple, 2 normal, 3 complex
# Dollars for a million tokens, where its program tells no money; left out: those listed for its model (example):
#prices = { input_usd_per_mtok = 5.0, output_usd_per_mtok = 25.0, cached_usd_per_mtok = 0.5, cache_write_usd_per_mtok = 6.25 }
# What may be spent on it; left out: no limit (example):
#budget = { usd_per_month = 300.0, usd_per_day = 20.0, tokens_per_day = 5_000_000, usd_per_attempt = 1.0 }
@OTHERS@
# A model that Ollama serves on this machine needs no key; left out, it is found by its port (example):
#[providers.ollama]
#model = "qwen3-coder" ## left out: the first that the server lists
#through = "codex" ## or opencode; left out: the one that is found, codex first

# Any other program is a provider of kind command (example):
#[providers.local]
#kind = "command"
#command = ["my-agent", "--prompt-file", "{prompt_file}"]
#capability = 1

# When a provider is limited or over its budget.
#[failover]
#chain = @CHAIN@ ## who takes over, in this order; the agents found
#fallback = @FALLBACK@; when all of the chain are limited; "none": work waits
#alert_at = 0.8 ## part of a budget at which an alert is given

# When workers are looked at, and when one gets no more tasks.
#[health]
#look_s = 300 ## between two looks, and from a nudge until it is stopped
#crashes = 3 ## attempts in a row that fail at once before their worker rests
#crash_s = 10 ## sooner than this is at once
#quarantine_s = 60 ## how long it rests, twice as long each time after

# Named seats (example). Without any, every provider is a worker of its own name.
#[workers.reviewer1]
#provider = "@MAIN@" ## left out: by the worker's name
#groups = ["review"]
#protected = false ## true: never gets a task
#runtime = "process" ## process, or tmux to watch it
#environment = "dev1" ## example; works in that checkout

# Workers that share work (example).
#[groups.review]
#strategy = "round-robin" ## round-robin, least-loaded, sequential
#members = ["reviewer1"]
#match = 'reviewer\d*' ## standing sessions with such names belong here too
#provider_by_name = [{ match = 'reviewer[12]', provider = "@MAIN@" }]

# Where tasks for "auto" go: the first match wins (example).
#[[routes]]
#match = '(?i)\breview\b'
#to = "review" ## worker, group or provider
#priority = "medium" ## high, medium, low, or 0 to 10

# Stages that start one another (example).
#[pipelines.feature]
#stages = [
#{ name = "build", target = "auto", task = "{request}", timeout_s = 1800 },
#{ name = "docs", task = "Describe {task}", triggers_on = ["build"], fan_out = true, files = ["docs/"] },
#{ name = "review", target = "review", task = "Report bugs", triggers_on = ["build"], findings = "tasks",
#findings_to = "build", max_rounds = 3 }, ## it looks at most so often, those of build mend what it finds
#{ name = "deploy", triggers_on = ["review"], triggers_on_any = ["docs"], approval = true, command = ["./deploy.sh"],
#env = ["DEPLOY_*"], rollback = ["./undo.sh"], rollback_on = "failure", unwalled = false },
#]

# Checkouts beside the project, each with its own ports and databases.
#[environments]
#names = ["dev1"] ## example; left out: none
#base_port = 8081 ## the first port; the others follow
#subs = ["dev", "qa", "staging"] ## of each
#launch = ["./serve", "--port", "{port}", "--db", "{database}"] ## example
#health = "http://127.0.0.1:{port}/health" ## example
#health_command = ["./well", "{port}"] ## example; besides or instead
#insecure_tls = false ## whether the certificate at an https address may be anybody's
#init = ["sqlite3", "{database}", ".read schema.sql"] ## example
#worktree = false ## worktrees of this repository instead of clones
#launch_timeout_s = 30 ## it must be well by then
#grace_s = 10 ## it has so long to end
#backups = 7 ## kept of each
"##;
