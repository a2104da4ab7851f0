//! What can be typed, and what it means to the methods.

use clap::CommandFactory as _;
use serde_json::{Value, json};

use super::args::{ACTIONS, Cli, Command, SCOPES};
use super::*;
use crate::api::table;
use crate::api::wire::{
    Action, ClaimFilesParams, ControlParams, DispatchParams, JudgeParams, ReleaseFilesParams, Scope,
    StatusParams,
};

fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = shell_words::split(&format!("kapell {line}")).unwrap();
    Cli::try_parse_from(words).map(|cli| cli.command)
}

/// The method and the parameters that a line comes to, without what is left at its default.
fn params(line: &str) -> (&'static str, Value) {
    let command = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let value = |params: &dyn erased::ToJson| params.to_json();
    let steer = |action, args| ("control", value(&params::steer(action, args)));
    let (method, mut params) = match command {
        Command::ClaimFiles(args) => ("claim-files", value(&ClaimFilesParams::from(args))),
        Command::ReleaseFiles(args) => ("release-files", value(&ReleaseFilesParams::from(args))),
        Command::Status(args) => ("status", value(&StatusParams::from(args))),
        Command::Dispatch(args) => ("dispatch", value(&DispatchParams::from(args))),
        Command::Send(args) => ("dispatch", value(&DispatchParams::from(args))),
        Command::Judge(args) => ("judge", value(&JudgeParams::from(args))),
        Command::Plan(args) => ("plan", value(&params::plan(args, None))),
        Command::Control(args) => ("control", value(&ControlParams::from(args))),
        Command::Land(args) => ("control", value(&ControlParams::from(args))),
        Command::ShutdownAll(args) => ("control", value(&ControlParams::from(args))),
        Command::Pause(args) => steer(Action::Pause, args),
        Command::Approve(args) => ("control", value(&params::approve(args))),
        other => panic!("{other:?}"),
    };
    if let Some(fields) = params.as_object_mut() {
        let defaults = [json!(false), json!("exclusive"), json!("overview"), json!("queue"), json!("reject")];
        fields.retain(|_, value| !defaults.contains(value));
    }
    (method, params)
}

/// Serialising without naming the type.
mod erased {
    pub trait ToJson {
        fn to_json(&self) -> serde_json::Value;
    }
    impl<T: serde::Serialize> ToJson for T {
        fn to_json(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap()
        }
    }
}

#[test]
fn options_are_the_fields_of_the_methods() {
    for (line, method, expected) in [
        ("claim-files src/db 'a b'", "claim-files", json!({"paths": ["src/db", "a b"]})),
        (
            "claim-files x --holder me --mode shared --ttl-s 60 --reason 'a reason' --wait-s 5 --check-only",
            "claim-files",
            json!({"paths": ["x"], "holder": "me", "mode": "shared", "ttl_s": 60, "reason": "a reason", "wait_s": 5, "check_only": true}),
        ),
        ("claim-files -- -odd", "claim-files", json!({"paths": ["-odd"]})),
        ("release-files --claim-ids 12,13", "release-files", json!({"claim_ids": [12, 13]})),
        ("release-files a b --holder me", "release-files", json!({"paths": ["a", "b"], "holder": "me"})),
        ("release-files --all", "release-files", json!({"all": true})),
        ("status", "status", json!({})),
        (
            "status --scope task --id p/2 --since-seq 7 --wait-ms 9 --limit 3 --cursor c --kind task.",
            "status",
            json!({"scope": "task", "id": "p/2", "since_seq": 7, "wait_ms": 9, "limit": 3, "cursor": "c", "kind": "task."}),
        ),
        ("status --run-id r-1", "status", json!({"run_id": "r-1"})),
        ("status p/2", "status", json!({"id": "p/2"})),
        (
            "status --scope history --all-projects",
            "status",
            json!({"scope": "history", "all_projects": true}),
        ),
        (
            "dispatch --plan-id P --tasks 1,two,007,-3 --max-parallel 2 --when-full refuse --dry-run",
            "dispatch",
            json!({"plan_id": "P", "tasks": [1, "two", "007", -3], "max_parallel": 2, "when_full": "refuse", "dry_run": true}),
        ),
        (
            "dispatch --plan-id P --iterations 2 --batch-size 4 --timeout-s 900 --stuck-after-s 60 --run-timeout-s 7200",
            "dispatch",
            json!({"plan_id": "P", "rules": {"max_attempts": 2, "timeout_s": 900, "stuck_after_s": 60}, "batch_size": 4, "run_timeout_s": 7200}),
        ),
        (
            r#"dispatch --task T --max-attempts 1 --rules '{"tdd":true}'"#,
            "dispatch",
            json!({"task": "T", "rules": {"tdd": true, "max_attempts": 1}}),
        ),
        (
            r#"dispatch --task 'do it' --files a,b --target auto --priority high --rules '{"tdd":true}'"#,
            "dispatch",
            json!({"task": "do it", "files": ["a", "b"], "target": "auto", "priority": "high", "rules": {"tdd": true}}),
        ),
        (
            "send 'do it' --files a --target codex2 --priority 9",
            "dispatch",
            json!({"task": "do it", "files": ["a"], "target": "codex2", "priority": 9}),
        ),
        (
            "judge --plan-id P --task 2 --gates lint,red-green --review claude --no-land",
            "judge",
            json!({"plan_id": "P", "task": 2, "gates": ["lint", "red-green"], "review": "claude"}),
        ),
        (
            "judge --path . --paths a,b --land",
            "judge",
            json!({"path": ".", "paths": ["a", "b"], "land": true}),
        ),
        (
            "plan plan.yaml --check-only --on-overlap serialize",
            "plan",
            json!({"file": "plan.yaml", "check_only": true, "on_overlap": "serialize"}),
        ),
        (
            "plan --request 'add sign-in' --name auth",
            "plan",
            json!({"request": "add sign-in", "name": "auth"}),
        ),
        (
            "control nudge w --message hi --force",
            "control",
            json!({"action": "nudge", "target": "w", "message": "hi", "force": true}),
        ),
        ("pause P --force", "control", json!({"action": "pause", "target": "P", "force": true})),
        ("approve P/2", "control", json!({"action": "approve", "target": "P/2"})),
        (
            "approve a-1 --path a --path 'b c'",
            "control",
            json!({"action": "approve", "target": "a-1", "paths": ["a", "b c"]}),
        ),
        ("land", "control", json!({"action": "land", "target": "all"})),
        ("land P", "control", json!({"action": "land", "target": "P"})),
        (
            "shutdown-all --force",
            "control",
            json!({"action": "stop", "target": "all-projects", "force": true}),
        ),
    ] {
        assert_eq!(params(line), (method, expected), "{line}");
    }
    // `--no-land` is false, and not nothing.
    let Ok(Command::Judge(args)) = parse("judge --path . --no-land") else { panic!("no judge") };
    assert_eq!(JudgeParams::from(args).land, Some(false));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_asked() {
    for line in [
        "claim-files",
        "claim-files a --mode mine",
        "claim-files a --ttl-s -1",
        "release-files",
        "release-files a --all",
        "release-files --claim-ids x",
        "dispatch",
        "dispatch --plan-id P --task T",
        "dispatch --tasks 1 --task T --files a",
        "dispatch --task T --files a --rules 3",
        "judge",
        "judge --task 1",
        "judge --plan-id P --path .",
        "judge --attempt a --paths x",
        "judge --path . --task 1",
        "plan",
        "plan file --request text",
        "plan file --on-overlap ignore",
        "status --scope everything",
        "status --watch --since-seq 3",
        "control dance P",
        "control pause",
        "init --undo --no-agents",
        "init --force",
        "init --dry-run --yes",
        "config",
        "completions tcsh",
        "mcp --port 3",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn every_word_of_the_contract_can_be_typed() {
    let scopes = SCOPES.map(|word| serde_json::from_value::<Scope>(json!(word)).unwrap());
    let actions = ACTIONS.map(|word| serde_json::from_value::<Action>(json!(word)).unwrap());
    // The schema lists what there is.
    fn words(schema: &Value) -> usize {
        let options = schema["oneOf"].as_array().map_or(0, |options| options.iter().map(words).sum());
        options + schema["enum"].as_array().map_or(0, Vec::len) + usize::from(schema.get("const").is_some())
    }
    let definitions = |name: &str| table::find(name).unwrap().params_schema()["$defs"].clone();
    assert_eq!(scopes.len(), words(&definitions("status")["Scope"]));
    assert_eq!(actions.len(), words(&definitions("control")["Action"]));
}

/// A field that is added to a method has to be added to its command too.
#[test]
fn every_field_of_every_method_is_an_option() {
    let cli = Cli::command();
    for method in table::methods() {
        let Some(command) = cli.find_subcommand(method.name) else {
            panic!("{} has no command", method.name);
        };
        let schema = method.params_schema();
        for field in schema["properties"].as_object().into_iter().flat_map(serde_json::Map::keys) {
            // A plan as an object or as text comes on stdin.
            // What is done about a pipeline is a command of its own.
            let is_command = field == "action" && command.has_subcommands();
            let all = std::iter::once(command).chain(command.get_subcommands());
            let mut arguments = all.flat_map(clap::Command::get_arguments);
            // A plan's file and id are told apart by how they look, and so are a run and a pipeline.
            let is_told = match method.name {
                "plan" => field == "text",
                "pipeline" => matches!(field.as_str(), "file" | "plan_id" | "text"),
                // A verb and its arguments are what `env git` is given.
                "environments" => field == "git",
                _ => false,
            };
            let is_there = arguments.any(|argument| argument.get_id() == field.as_str());
            assert!(
                is_there || is_command || is_told || field == "plan",
                "{} has no option for {field}",
                method.name
            );
        }
    }
}

#[test]
fn every_command_has_help_with_examples_that_parse() {
    fn walk(command: &clap::Command, path: &str, examples: &mut usize) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            assert!(sub.get_about().is_some(), "{path} is not explained");
            let after = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, lines) =
                after.split_once("Examples:\n").unwrap_or_else(|| panic!("{path} has no examples"));
            for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                let line = line.rsplit('|').next().unwrap().split(" > ").next().unwrap().trim();
                // `claude mcp add` is another program's line.
                let Some(line) = line.strip_prefix("kapell ") else { continue };
                parse(line).unwrap_or_else(|error| panic!("{path}: {line}: {error}"));
                *examples += 1;
            }
            for argument in sub.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {} is not explained", argument.get_id());
            }
            walk(sub, &path, examples);
        }
    }
    let mut examples = 0;
    Cli::command().debug_assert();
    walk(&Cli::command(), "kapell", &mut examples);
    assert!(examples > 50, "only {examples} examples were found");
}

#[test]
fn a_number_below_nothing_is_a_value_and_no_option() {
    for line in [
        "send x --priority -1",
        "cost --since -1d",
        "resume auth-3kq9zx --budget-usd -1",
        "control resume auth-3kq9zx --budget-usd -2.5",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
    for (line, said) in [
        ("history --limit -1", "invalid value '-1' for '--limit <N>'"),
        ("events --since -1", "invalid value '-1' for '--since <N>'"),
        ("dispatch --plan-id x --max-parallel -1", "invalid value '-1' for '--max-parallel <N>'"),
    ] {
        let error = parse(line).unwrap_err().to_string();
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn wrong_words_are_told_in_two_lines() {
    for (line, message, hint) in [
        (
            "claim-fils x",
            "unrecognized subcommand 'claim-fils'",
            "a similar subcommand exists: 'claim-files'; kapell --help",
        ),
        (
            "claim-files",
            "the following required arguments were not provided: <PATH>...",
            "kapell claim-files --help",
        ),
        (
            "status --scop plan",
            "unexpected argument '--scop' found",
            "a similar argument exists: '--scope'; kapell status --help",
        ),
        ("stnd", "unrecognized subcommand 'stnd'", "a similar subcommand exists: 'send'; kapell --help"),
        (
            "config chek",
            "unrecognized subcommand 'chek'",
            "some similar subcommands exist: 'schema', 'check'; kapell config --help",
        ),
        (
            "completions tcsh",
            "invalid value 'tcsh' for '<SHELL>' [possible values: bash, elvish, fish, powershell, zsh]",
            "a similar value exists: 'zsh'; kapell completions --help",
        ),
    ] {
        let words = shell_words::split(&format!("kapell {line}")).unwrap();
        let argv: Vec<OsString> = words.iter().map(OsString::from).collect();
        let error = Cli::try_parse_from(&argv).unwrap_err();
        let told = usage_error(error, &argv);
        assert_eq!((told.message.as_str(), told.hint.as_str()), (message, hint));
        assert_eq!((told.exit_code, told.kind), (2, "invalid-params"));
    }
}

#[test]
fn what_is_no_number_is_no_budget() {
    for (text, is_one) in [("2.5", true), ("nan", false), ("inf", false), ("-inf", false), ("x", false)] {
        let budget = format!("--budget-usd={text}");
        for words in
            [["kapell", "resume", "p", &budget].as_slice(), &["kapell", "control", "resume", "p", &budget]]
        {
            assert_eq!(Cli::try_parse_from(words).is_ok(), is_one, "{words:?}");
        }
    }
}
