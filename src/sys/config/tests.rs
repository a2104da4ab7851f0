//! Both files as a whole: the full example, merging, defaults, and that no text is too much.

use std::path::Path;

use proptest::prelude::*;

use super::resolved::{
    Config, Isolation, NamePattern, Runtime, Strategy as GroupStrategy, Target, TargetKind, Wall,
};
use super::types::ProviderKind;
use super::{ConfigProblem, check, check_files, load, schema};
use crate::base::ids::{ProviderName, WorkerName};
use crate::domain::plan::{CommandLine, Complexity, Priority};

mod problems;
mod starting;

/// The file as its documentation shows it, word for word.
const EXAMPLE: &str = include_str!("tests/example.toml");

/// What the example names and leaves to the reader to define.
const COMPLETION: &str = r#"
[providers.gpt]
kind = "codex"
[providers.comet]
kind = "opencode"
[workers.pr_review3]
provider = "codex"
[groups.development]
match = 'dev\d+'
[workers.testing]
provider = "codex"
[workers.arch_qa]
provider = "claude"
"#;

fn project(text: &str) -> Result<Config, Vec<ConfigProblem>> {
    load(Some((Path::new("kapell.toml"), text)), None, &[])
}

fn both(project: &str, person: &str) -> Result<Config, Vec<ConfigProblem>> {
    load(Some((Path::new("kapell.toml"), project)), Some((Path::new("config.toml"), person)), &[])
}

/// Problems as `line:column key message`.
fn told(problems: &[ConfigProblem]) -> Vec<String> {
    let told = |problem: &ConfigProblem| {
        format!("{}:{} {} {}", problem.line, problem.column, problem.key, problem.message)
    };
    problems.iter().map(told).collect()
}

fn names<T: ToString>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}

#[test]
fn the_example_as_it_stands_lacks_what_it_names() {
    let problems = check(Path::new("kapell.toml"), EXAMPLE);
    let told: Vec<_> =
        problems.iter().map(|p| (p.line, p.column, p.key.as_str(), p.severity.as_str())).collect();
    assert_eq!(
        told,
        [
            (23, 10, "roles.oracle", "error"),
            (44, 29, "failover.chain[2]", "error"),
            (57, 40, "groups.pr_review.members[2]", "error"),
            (68, 31, "pipelines.feature.stages[0].target", "error"),
            (69, 31, "pipelines.feature.stages[1].target", "error"),
            (70, 31, "pipelines.feature.stages[2].target", "error"),
        ]
    );
}

#[test]
fn the_completed_example_is_clean_and_says_what_it_says() {
    let text = format!("{EXAMPLE}{COMPLETION}");
    assert_eq!(told(&check(Path::new("kapell.toml"), &text)), [""; 0]);
    let config = project(&text).unwrap();
    assert_eq!(config.target.as_deref(), Some("main"));
    assert_eq!(
        config.rules.lint,
        Some(CommandLine("cargo clippy -- -D warnings".split(' ').map(Into::into).collect()))
    );
    assert_eq!(config.rules.review.as_deref(), Some("claude"));
    assert_eq!(config.roles.oracle.as_deref(), Some("gpt"));
    let claude = &config.providers[&ProviderName::from("claude")];
    assert_eq!(claude.model.as_deref(), Some("claude-opus-4"));
    assert_eq!(claude.set_env["CLAUDE_CODE_MAX_RETRIES"], "2");
    assert_eq!(claude.budget.tokens_per_day, Some(5_000_000));
    assert_eq!(claude.prices.unwrap().cached_usd_per_mtok, 0.5);
    let local = &config.providers[&ProviderName::from("local")];
    assert_eq!((local.kind, local.capability), (ProviderKind::Command, Complexity::Simple));
    assert_eq!(names(&config.failover.chain), ["claude", "codex", "comet"]);
    // Both are made by the group's pattern; the third is in the completion.
    assert_eq!(config.workers[&WorkerName::from("pr_review2")].provider.as_str(), "claude");
    assert_eq!(names(&config.groups["pr_review"].members), ["pr_review1", "pr_review2", "pr_review3"]);
    // The group that only a worker names is there as well.
    assert_eq!(names(&config.groups["review"].members), ["arch_prod"]);
    assert_eq!(config.workers[&WorkerName::from("arch_prod")].environment.as_deref(), Some("dev1"));
    assert!(config.routes[0].pattern.is_match("please Review the PR"));
    assert_eq!(config.routes[0].priority, Some(Priority(9)));
    assert!(config.pipelines["feature"].stages[3].approval);
    assert_eq!(config.environments.port("dev2", "qa"), Some(8085));
    assert_eq!(config.environments.port("dev2", "x"), None);
    let placement = config.place("pr_review12").unwrap();
    assert_eq!((placement.groups, placement.provider), (vec!["pr_review".to_owned()], None));
    assert_eq!(config.place("my_pr_review1"), None);
}

#[test]
fn nothing_at_all_works_with_the_agents_found() {
    for (project, person) in [(None, None), (Some(""), None), (None, Some("")), (Some("# x\n"), Some("\n\n"))]
    {
        let source = |text: Option<&'static str>, name| text.map(|text| (Path::new(name), text));
        let found = [ProviderKind::Codex, ProviderKind::Claude];
        let config = load(source(project, "kapell.toml"), source(person, "c.toml"), &found).unwrap();
        assert_eq!((config.isolation, config.wall), (Isolation::Worktree, Wall::Auto));
        assert_eq!((config.max_workers, config.max_conductors, config.target), (4, 3, None));
        let rules = config.rules;
        assert_eq!((rules.spec_first, rules.tdd, rules.max_attempts), (Some(true), Some(true), Some(3)));
        assert_eq!((rules.timeout_s, rules.stuck_after_s), (Some(1800), Some(300)));
        assert_eq!(
            (rules.lint, rules.test, rules.build, rules.custom, rules.review),
            (None, None, None, None, None)
        );
        assert_eq!(names(config.providers.keys()), ["claude", "codex", "ollama", "opencode"]);
        assert_eq!(names(config.workers.keys()), ["claude", "codex"]);
        assert_eq!(config.workers[&WorkerName::from("codex")].slots, 4);
        assert_eq!(names(&config.failover.chain), ["codex", "claude"]);
        assert_eq!((config.failover.alert_at, config.failover.fallback), (0.8, None));
        assert_eq!((config.roles.planner.as_deref(), config.roles.oracle), (Some("codex"), None));
        assert_eq!(config.environments.subs, ["dev", "qa", "staging"]);
        assert_eq!((config.environments.base_port, config.environments.names.len()), (8081, 0));
        assert_eq!(config.warnings, []);
    }
    // With no agent either, everything can still be named.
    let config = load(None, None, &[]).unwrap();
    assert_eq!(
        (config.workers.len(), config.failover.chain.len(), config.roles.planner.clone()),
        (0, 0, None)
    );
    assert_eq!(config.targets().len(), 4);
}

#[test]
fn the_project_lies_over_the_person_key_by_key() {
    let config = both(
        r#"
        [project]
        max_workers = 2
        [providers.claude]
        args = ["--project"]
        set_env = { A = "project" }
        [[routes]]
        match = "one"
        to = "claude"
        [rules]
        review = "none"
        "#,
        r#"
        [project]
        max_workers = 9
        max_conductors = 7
        [providers.claude]
        model = "m"
        args = ["--person", "x"]
        set_env = { A = "person", B = "person" }
        [providers.mine]
        kind = "command"
        command = "mine --go 'a b'"
        [[routes]]
        match = "two"
        to = "mine"
        [rules]
        review = "codex"
        max_attempts = 5
        [machine]
        max_workers = 6
        min_free_memory_mb = 512
        "#,
    )
    .unwrap();
    assert_eq!((config.max_workers, config.max_conductors), (2, 7));
    let claude = &config.providers[&ProviderName::from("claude")];
    assert_eq!((claude.model.as_deref(), claude.args.as_slice()), (Some("m"), &["--project".to_owned()][..]));
    assert_eq!((claude.set_env["A"].as_str(), claude.set_env["B"].as_str()), ("project", "person"));
    assert_eq!(claude.max_parallel, 2);
    assert_eq!(config.providers[&ProviderName::from("mine")].command.0, ["mine", "--go", "a b"]);
    let routes: Vec<_> =
        config.routes.iter().map(|route| (route.pattern.as_str(), route.to.as_str())).collect();
    assert_eq!(routes, [("one", "claude"), ("two", "mine")]);
    assert_eq!((config.rules.review, config.rules.max_attempts), (None, Some(5)));
    assert_eq!((config.machine.max_workers, config.machine.min_free_memory_mb), (Some(6), Some(512)));
}

#[test]
fn a_name_may_be_defined_in_the_other_file_and_problems_stand_where_they_are_said() {
    assert!(both("[roles]\noracle = \"gpt\"", "[providers.gpt]\nkind = \"codex\"").is_ok());
    // One file gives the kind, the other the rest.
    assert!(both("[providers.a]\ncommand = \"a\"", "[providers.a]\nkind = \"command\"").is_ok());
    let problems = both("[rules]\nreview = \"x\"", "[roles]\n\njudge = \"y\"").unwrap_err();
    let places: Vec<_> =
        problems.iter().map(|p| (p.file.to_str().unwrap(), p.line, p.column, p.key.as_str())).collect();
    assert_eq!(places, [("kapell.toml", 2, 10, "rules.review"), ("config.toml", 3, 9, "roles.judge")]);
    let machine = both("\n[machine]\nmax_workers = 99", "").unwrap_err();
    assert_eq!(told(&machine), ["2:2 machine the limits of the machine cannot be set by a project"]);
    assert_eq!(
        machine[0].to_string().split(';').next(),
        Some("kapell.toml:2:2: error: the limits of the machine cannot be set by a project")
    );
}

#[test]
fn workers_groups_and_targets() {
    let config = project(
        r#"
        [workers.codex2]
        groups = ["b"]
        runtime = "tmux"
        [workers.boss]
        provider = "claude"
        protected = true
        [workers.r1]
        [groups.a]
        strategy = "least-loaded"
        members = ["r9", "boss"]
        match = 'r\d|codex\d'
        provider_by_name = [{ match = 'r1', provider = "opencode" }, { match = 'r.', provider = "codex" }]
        [groups.top]
        members = ["boss"]
        "#,
    )
    .unwrap();
    let provider = |name: &str| config.workers[&WorkerName::from(name)].provider.to_string();
    assert_eq!(
        [provider("codex2"), provider("boss"), provider("r1"), provider("r9")],
        ["codex", "claude", "opencode", "codex"]
    );
    assert_eq!(names(&config.groups["a"].members), ["r9", "boss", "codex2", "r1"]);
    assert_eq!(config.groups["a"].strategy, GroupStrategy::LeastLoaded);
    let codex2 = &config.workers[&WorkerName::from("codex2")];
    assert_eq!((names(&codex2.groups), codex2.runtime, codex2.slots), (names(["a", "b"]), Runtime::Tmux, 1));
    let targets: Vec<_> = config
        .targets()
        .into_iter()
        .map(|Target { name, kind, protected }| (name, kind, protected))
        .collect();
    let expected = [
        ("boss", TargetKind::Worker, true),
        ("codex2", TargetKind::Worker, false),
        ("r1", TargetKind::Worker, false),
        ("r9", TargetKind::Worker, false),
        ("a", TargetKind::Group, false),
        ("b", TargetKind::Group, false),
        ("top", TargetKind::Group, true),
        ("claude", TargetKind::Provider, true),
        ("codex", TargetKind::Provider, false),
        ("ollama", TargetKind::Provider, false),
        ("opencode", TargetKind::Provider, false),
    ];
    assert_eq!(targets, expected.map(|(name, kind, protected)| (name.to_owned(), kind, protected)));
}

#[test]
fn names_match_as_a_whole() {
    let matches = |pattern: &str, name: &str| NamePattern::new(pattern).unwrap().matches(name);
    assert!(matches("a|ab", "ab") && matches("(?i)A", "a") && matches("(?x) a # comment", "a"));
    assert!(!matches("a", "ab") && !matches("a", "ba") && !matches("a", "a\n") && !matches("a|b", "ab"));
}

#[test]
fn the_schema_is_for_toml() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let text = schema.to_string();
    assert!(!text.contains("null") && !text.contains("$ref") && !text.contains("\"default\""));
    let command = &schema["properties"]["rules"]["properties"]["test"];
    assert_eq!(command["anyOf"][0]["type"], "string");
    assert_eq!(command["anyOf"][1]["type"], "array");
    assert_eq!(command["description"], "Command that runs the tests. Default: the ecosystem's.");
    let provider = &schema["properties"]["providers"]["additionalProperties"];
    assert_eq!(provider["additionalProperties"], false);
    assert_eq!(
        (&provider["properties"]["capability"]["minimum"], &provider["properties"]["capability"]["maximum"]),
        (&1.into(), &3.into())
    );
    assert_eq!(provider["properties"]["budget"]["properties"]["usd_per_day"]["minimum"], 0);
}

/// Lines that are right, nearly right, or wrong, so that their mixtures reach deep.
fn line() -> impl Strategy<Value = String> {
    let headings = "\\[\\[?(project|rules|providers\\.(a|claude)|workers\\.\"?[a ]\"?|groups\\.g|routes|pipelines\\.p|environments|x)\\]\\]?";
    let settings = concat!(
        "(match|to|stages|members|provider|kind|command|base_port|names|lint|prices|groups|alert_at|chain)",
        " = (\"[a(é]{0,2}|'.{0,3}'|\\[|\\]|-?[0-9]{1,25}|nan|1e999|\\{ ?name = \"a\", triggers_on = \\[\"a\"\\]|true|\"\"\"|1979-05-27)",
    );
    prop_oneof![headings, settings, ".{0,12}"]
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in ".{0,200}") {
        check(Path::new("kapell.toml"), &text);
    }

    #[test]
    fn lines_mixed_are_checked_and_loaded_alike(lines in prop::collection::vec(line(), 0..12)) {
        let text = lines.join("\n");
        let source = Some((Path::new("kapell.toml"), text.as_str()));
        let problems = check_files(source, None);
        // Every problem stands in the text.
        for problem in &problems {
            let line = text.split('\n').nth(problem.line as usize - 1);
            prop_assert!(line.is_some_and(|line| problem.column as usize <= line.chars().count() + 1), "{}", problem);
        }
        // What the check lets through can be used, and nothing else can.
        match load(source, None, &[ProviderKind::Claude]) {
            Ok(config) => prop_assert_eq!(config.warnings, problems),
            Err(told) => {
                prop_assert_eq!(&told, &problems);
                prop_assert!(problems.iter().any(ConfigProblem::is_error));
            }
        }
    }
}

#[test]
fn a_model_of_this_machine_needs_nothing_but_its_name() {
    use super::resolved::Through;
    let of = |text: &str, found: &[ProviderKind]| {
        load(Some((Path::new("kapell.toml"), text)), None, found).unwrap()
    };
    let ollama = |config: &Config| config.providers[&"ollama".into()].clone();
    // Nobody has it: it is known by name and gets nothing.
    let config = of("", &[ProviderKind::Claude]);
    assert!(!ollama(&config).is_available);
    assert_eq!(config.failover.fallback, None);
    assert!(!config.workers.contains_key(&"ollama".into()));
    // Its port was found: it takes over when all others are limited.
    let found = [ProviderKind::Claude, ProviderKind::Opencode, ProviderKind::Ollama];
    let config = of("", &found);
    assert!(ollama(&config).is_available);
    assert_eq!(config.failover.fallback, Some("ollama".into()));
    assert_eq!(config.failover.chain, ["claude".into(), "opencode".into()]);
    assert_eq!(ollama(&config).through, Some(Through::Opencode));
    assert_eq!(ollama(&config).command.0, ["opencode"]);
    assert_eq!(ollama(&config).capability, Complexity::Normal);
    assert_eq!(ollama(&config).prices.map(|prices| prices.input_usd_per_mtok), Some(0.0));
    assert_eq!(of("[failover]\nfallback = 'none'", &found).failover.fallback, None);
    assert_eq!(of("[failover]\nchain = ['claude', 'ollama']", &found).failover.fallback, None);
    // Named in the chain it is waited for, though its server is away now.
    let config = of("[failover]\nchain = ['claude', 'ollama']", &[ProviderKind::Claude, ProviderKind::Codex]);
    assert!(ollama(&config).is_available && config.workers.contains_key(&"ollama".into()));
    assert_eq!(ollama(&config).through, Some(Through::Codex));
    // Another name, a program of one's own, and what is said of it.
    let text = "[providers.small]\nkind = 'ollama'\ncommand = '/opt/opencode'\nmodel = 'gpt-oss:20b'\ncapability = 1";
    let small = of(text, &[ProviderKind::Codex]).providers[&"small".into()].clone();
    assert_eq!((small.through, small.capability), (Some(Through::Opencode), Complexity::Simple));
    assert_eq!((small.price_model, small.env), (None, vec!["OLLAMA_*".to_owned()]));
    let text = "[providers.x]\nkind = 'command'\ncommand = 'x'\nthrough = 'codex'";
    let warned = check(Path::new("kapell.toml"), text);
    assert!(warned[0].message.contains("`providers.x.through` says nothing"), "{warned:?}");
}
