//! The command line of the built binary: exit codes, streams, JSON, pipes and Ctrl-C.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails, in its helpers too"
)]

mod desk;

use std::io::Write as _;
use std::process::Stdio;

use desk::Desk;
use serde_json::{Value, json};

#[test]
fn exit_codes_say_what_happened() {
    let desk = Desk::new();
    for (words, code) in [
        (&["claim-files", "src/db"][..], 0),
        (&["claim-files", "src/db/a.rs", "--holder", "bob"], 1),
        (&["claim-files", "../up"], 1),
        (&["claim-files"], 2),
        (&["no-such-command"], 2),
        (&[], 2),
        (&["release-files", "--all", "--claim-ids", "1"], 2),
        (&["-C", "/no/such/folder", "status"], 3),
        (&["stop", "nothing-000000"], 3),
        (&["status", "--scope", "plan", "--id", "nothing"], 3),
        (&["plan", "no-such-file.json"], 3),
        (&["release-files", "--all"], 0),
        (&["--version"], 0),
        (&["help", "judge"], 0),
    ] {
        let said = desk.run(words);
        assert_eq!(said.code, Some(code), "{words:?}: {said:?}");
        // A screen of a refusal is a result; everything else about failing is not.
        assert_eq!(said.stdout.is_empty(), code > 1 || words.contains(&"../up"), "{words:?}: {said:?}");
    }
}

#[test]
fn a_damaged_store_is_a_failure_of_the_system() {
    let desk = Desk::new();
    std::fs::create_dir(desk.state()).unwrap();
    std::fs::write(desk.state().join("kapell.db"), "no database at all").unwrap();
    let said = desk.run(&["claim-files", "a"]);
    assert_eq!(said.code, Some(4));
    assert!(said.stderr.contains("kapell.db is damaged"), "{said:?}");
    let said = desk.run(&["doctor", "--json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let checks = said.json()["checks"].as_array().unwrap().clone();
    let store = checks.iter().find(|check| check["name"] == "store").unwrap();
    assert_eq!(store["outcome"], "fail");
    assert!(store["next"].as_str().unwrap().contains("nothing was changed"));
}

#[test]
fn errors_are_two_lines_or_one_of_json() {
    let desk = Desk::new();
    let said = desk.run(&["stop", "nothing-000000"]);
    let lines: Vec<&str> = said.stderr.lines().collect();
    assert!(
        matches!(lines[..], [error, next] if error.starts_with("error: ") && next.starts_with("  next: ")),
        "{said:?}"
    );
    for words in
        [&["stop", "nothing-000000", "--json"][..], &["claim-files", "--json"], &["nonsense", "--json"]]
    {
        let said = desk.run(words);
        assert_eq!((said.stdout.as_str(), said.stderr.lines().count()), ("", 1), "{said:?}");
        let error: Value = serde_json::from_str(&said.stderr).unwrap();
        assert!(error["code"].is_i64() && error["message"].is_string(), "{error}");
        assert!(error["data"]["kind"].is_string() && error["data"]["hint"].is_string(), "{error}");
    }
}

#[test]
fn json_is_the_result_of_the_method() {
    let desk = Desk::new();
    let said = desk.run(&["claim-files", "a", "b", "--holder", "me", "--reason", "mine", "--json"]);
    let granted = said.json();
    assert_eq!(granted["granted"], true);
    assert_eq!(granted["claims"].as_array().unwrap().len(), 2);
    let refused = desk.run(&["claim-files", "a", "--holder", "bob", "--json"]);
    assert_eq!(refused.code, Some(1));
    let conflict = &refused.json()["conflicts"][0];
    assert_eq!(
        (&conflict["holder"], &conflict["holder_kind"], &conflict["reason"]),
        (&json!("me"), &json!("person"), &json!("mine"))
    );
    let free = desk.run(&["claim-files", "c", "--check-only", "--json"]).json();
    assert_eq!(free, json!({"granted": true, "claims": [], "conflicts": []}));
    let claims = desk.run(&["status", "--scope", "claims", "--json"]).json();
    assert_eq!((&claims["scope"], claims["claims"].as_array().unwrap().len()), (&json!("claims"), 2));
    let released = desk.run(&["release-files", "--all", "--holder", "me", "--json"]).json();
    assert_eq!(released["released"].as_array().unwrap().len(), 2);
}

#[test]
fn claims_are_the_persons_own() {
    let desk = Desk::new();
    for (environment, holder) in
        [(&[("USER", "ada")][..], "ada"), (&[("LOGNAME", "bob")], "bob"), (&[("USER", "")], "me")]
    {
        let mut command = desk.command(&["claim-files", holder, "--json"]);
        command.envs(environment.iter().copied());
        assert_eq!(Desk::end(command).code, Some(0));
    }
    let claims = desk.run(&["status", "--scope", "claims", "--json"]).json();
    let holders: Vec<&Value> =
        claims["claims"].as_array().unwrap().iter().map(|claim| &claim["holder"]).collect();
    assert_eq!(holders, ["ada", "bob", "me"]);
}

#[test]
fn what_somebody_wrote_cannot_command_the_terminal() {
    let desk = Desk::new();
    desk.run(&["claim-files", "a", "--reason", "\u{1b}[2J\u{9b}31m\u{202e}gone\u{7}"]);
    let person = desk.run(&["status", "--scope", "claims"]);
    assert!(person.stdout.contains("\\u{1b}[2J"), "{person:?}");
    let program = desk.run(&["status", "--scope", "claims", "--json"]);
    for text in [&person.stdout, &program.stdout] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{text:?}");
    }
    assert_eq!(program.json()["claims"][0]["reason"], "\u{1b}[2J\u{9b}31m\u{202e}gone\u{7}");
}

#[test]
fn colours_are_for_terminals_and_those_who_insist() {
    let desk = Desk::new();
    desk.run(&["claim-files", "a"]);
    let colored = |words: &[&str], environment: &[(&str, &str)]| {
        let mut command = desk.command(words);
        command.envs(environment.iter().copied());
        Desk::end(command).stdout.contains('\u{1b}')
    };
    let status = &["status", "--scope", "claims"][..];
    assert!(!colored(status, &[]));
    assert!(colored(status, &[("CLICOLOR_FORCE", "1")]));
    assert!(!colored(status, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(colored(&["status", "--scope", "claims", "--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!colored(&["status", "--scope", "claims", "--color", "always", "--json"], &[]));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let desk = Desk::new();
    desk.run(&["claim-files", "a"]);
    for words in
        [&["completions", "bash"][..], &["status"], &["events", "--follow", "--since", "0"], &["--help"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = desk.command(words);
        command.stdout(writer).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}

#[test]
fn a_full_disk_is_told() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let desk = Desk::new();
    let mut command = desk.command(&["status"]);
    command.stdout(full).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("could not be written"));
}

#[test]
fn events_are_followed_until_ctrl_c() {
    let desk = Desk::new();
    desk.run(&["claim-files", "first"]);
    let mut follow = desk.start(&["events", "--follow", "--json"]);
    assert_eq!(follow.line()["text"], "me claims first");
    desk.run(&["claim-files", "second"]);
    assert_eq!(follow.line()["text"], "me claims second");
    assert_eq!(follow.interrupt(), Some(0));
}

#[test]
fn a_watch_shows_each_change_until_ctrl_c() {
    let desk = Desk::new();
    let mut watch = desk.start(&["status", "--watch", "--json"]);
    assert_eq!(watch.line()["claims"], 0);
    desk.run(&["claim-files", "a"]);
    assert_eq!(watch.line()["claims"], 1);
    desk.run(&["release-files", "--all"]);
    assert_eq!(watch.line()["claims"], 0);
    assert_eq!(watch.interrupt(), Some(0));
}

#[test]
fn a_claim_that_waits_is_granted_when_the_other_lets_go() {
    let desk = Desk::new();
    desk.run(&["claim-files", "src", "--holder", "bob"]);
    let mut waiting = desk.start(&["claim-files", "src/db", "--wait-s", "60", "--json"]);
    // It may be granted at once or after its wait began: both are right.
    desk.run(&["release-files", "--all", "--holder", "bob"]);
    assert_eq!(waiting.line()["granted"], true);
    assert_eq!(waiting.end(), Some(0));
}

#[test]
fn a_plan_comes_from_stdin_or_from_the_current_folder() {
    let desk = Desk::with_project();
    let plan = json!({"name": "demo", "rules": {"spec_first": false, "tdd": false},
                      "tasks": [{"id": 1, "agent": "local", "task": "make a", "files": ["a.txt"]}]});
    let said = desk.run_with(&["plan", "-", "--check-only", "--json"], plan.to_string().as_bytes());
    assert_eq!((said.code, &said.json()["waves"]), (Some(0), &json!([[1]])), "{said:?}");
    let said = desk.run_with(&["plan", "-"], b"{\n  \"tasks\": ]");
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("line 2, column 12") && said.stdout.contains("not JSON"), "{said:?}");
    let yaml = b"name: demo\nrules: {spec_first: false, tdd: false}\ntasks:\n  - id: 1\n    agent: local\n    task: make a\n    files: [a.txt]\n";
    let said = desk.run_with(&["plan", "-", "--check-only", "--json"], yaml);
    assert_eq!((said.code, &said.json()["waves"]), (Some(0), &json!([[1]])), "{said:?}");
    assert_eq!(said.json()["name"], "demo");
    let said = desk.run_with(&["plan", "-"], b"tasks:\n  - id: [");
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("not YAML"), "{said:?}");
    let said = desk.run_with(&["run", "-"], b"one word");
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("syntax"), "{said:?}");
    let said = desk.run_with(&["plan", "-"], b"\xff");
    assert!(said.stderr.contains("no UTF-8 text, at byte 0"), "{said:?}");

    let folder = desk.project().join("deep/er");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("plan.json"), plan.to_string()).unwrap();
    let mut command = desk.command(&["plan", "plan.json", "--check-only", "--json"]);
    command.current_dir(&folder);
    assert_eq!(Desk::end(command).json()["name"], "demo");
    let said = desk.run(&["-C", "deep/er", "plan", "plan.json", "--check-only", "--json"]);
    assert_eq!(said.json()["name"], "demo");

    let twice =
        json!({"tasks": [{"id": 1, "task": "x", "files": ["a"]}, {"id": 1, "task": "y", "files": ["b"]}]});
    let said = desk.run_with(&["plan", "-"], twice.to_string().as_bytes());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stdout.contains("duplicate-id"), "{said:?}");
    // It has its place as in a file.
    let lines = b"tasks:\n  - {id: 1, task: x, files: [a]}\n  - {id: 1, task: y, files: [b]}\n";
    std::fs::write(desk.project().join("twice.yaml"), lines).unwrap();
    let place = |said: &desk::Said| {
        let problems = said.json()["problems"].as_array().cloned().unwrap_or_default();
        let twice = problems.into_iter().find(|problem| problem["code"] == "duplicate-id");
        twice.map(|problem| (problem["line"].clone(), problem["column"].clone()))
    };
    for command in ["plan", "run"] {
        let read = desk.run_with(&[command, "-", "--json"], lines);
        let written = desk.run(&[command, "twice.yaml", "--json"]);
        assert_eq!(place(&read), Some((json!(3), json!(10))), "{read:?}");
        assert_eq!(place(&read), place(&written), "{command}");
    }
}

#[test]
fn a_run_is_followed_to_its_end() {
    let desk = Desk::with_project();
    let task = |id: u32, text: &str, file: &str| json!({"id": id, "agent": "local", "task": text, "files": [file], "depends_on": if id > 1 { vec![1] } else { vec![] }});
    let plan = json!({"name": "demo", "rules": {"spec_first": false, "tdd": false, "test": "true", "max_attempts": 1},
                      "tasks": [task(1, "make a", "a.txt"), task(2, "make b", "b.txt")]});
    let said = desk.run_with(&["run", "-"], plan.to_string().as_bytes());
    assert_eq!(said.code, Some(0), "{said:?}");
    let done: Vec<&str> = said.stdout.lines().filter(|line| line.starts_with("done ")).collect();
    assert_eq!(done.len(), 2, "{said:?}");
    assert!(said.stdout.contains("done  2/2 done"), "{said:?}");
    assert_eq!(said.stderr, "", "{said:?}");

    let fails = json!({"name": "fails", "rules": {"spec_first": false, "tdd": false, "test": "false", "max_attempts": 1},
                       "tasks": [task(1, "make c", "c.txt")]});
    let said = desk.run_with(&["run", "-", "--json"], fails.to_string().as_bytes());
    assert_eq!((said.code, &said.json()["state"]), (Some(1), &json!("failed")), "{said:?}");
}

#[test]
fn init_asks_first_and_can_be_undone() {
    let desk = Desk::with_project();
    std::fs::remove_file(desk.project().join("kapell.toml")).unwrap();
    desk.program("claude", "#!/bin/sh\necho 1.0\n");
    let said = desk.run(&["init"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stdout.contains("+ {") && said.stderr.contains("nobody to ask"), "{said:?}");
    assert_eq!(desk.run(&["init", "--dry-run"]).code, Some(0));
    assert!(!desk.project().join(".mcp.json").exists() && !desk.project().join("kapell.toml").exists());
    let said = desk.run(&["init", "--yes", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.json()["files"].as_array().unwrap().iter().all(|file| file["state"] == "done"));
    let servers: Value =
        serde_json::from_slice(&std::fs::read(desk.project().join(".mcp.json")).unwrap()).unwrap();
    assert_eq!(
        servers["mcpServers"]["kapell"],
        json!({"type": "stdio", "command": "kapell", "args": ["mcp"]})
    );
    assert_eq!(desk.run(&["config", "check"]).code, Some(0));
    let again = desk.run(&["init", "--json"]);
    assert_eq!(again.code, Some(0), "nothing is left to ask about: {again:?}");
    assert!(again.json()["files"].as_array().unwrap().iter().all(|file| file["state"] == "in-place"));

    std::fs::write(desk.project().join("kapell.toml"), "[rules]\n").unwrap();
    let said = desk.run(&["init", "--undo"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("kapell.toml") && !desk.project().join(".mcp.json").exists());
    assert_eq!(desk.run(&["init", "--undo", "--force"]).code, Some(0));
    assert_eq!(desk.run(&["init", "--undo"]).code, Some(3));
}

#[test]
fn the_configuration_is_explained() {
    let desk = Desk::with_project();
    std::fs::write(desk.project().join("kapell.toml"), "[rules]\nlnt = \"x\"\n").unwrap();
    let said = desk.run(&["config", "check"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("kapell.toml:2:1"), "{said:?}");
    let said = desk.run(&["config", "check", "--json"]);
    let problem = said.json()["problems"][0].take();
    assert_eq!((said.code, &problem["line"], &problem["code"]), (Some(1), &json!(2), &json!("unknown-key")));
    assert_eq!((&problem["end_line"], &problem["end_column"]), (&json!(2), &json!(4)));
    assert_eq!(desk.run(&["config", "show"]).code, Some(1));
    std::fs::write(desk.project().join("kapell.toml"), b"[rules]\n# \xc3\xa9\xff\n").unwrap();
    let said = desk.run(&["config", "check"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("kapell.toml:2:4: it is no UTF-8 text"), "{said:?}");
    std::fs::remove_file(desk.project().join("kapell.toml")).unwrap();
    let schema: Value = serde_json::from_str(&desk.run(&["config", "schema"]).stdout).unwrap();
    assert!(schema["properties"]["rules"].is_object());
}

#[test]
fn help_is_for_stdout_and_has_examples() {
    let desk = Desk::new();
    for words in [
        &["--help"][..],
        &["claim-files", "--help"],
        &["help", "run"],
        &["mcp", "--help"],
        &["config", "check", "-h"],
    ] {
        let said = desk.run(words);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{words:?}");
        assert!(said.stdout.contains("Examples:"), "{words:?}");
    }
    let bare = desk.run(&[]);
    assert!(bare.stdout.is_empty() && bare.stderr.contains("Usage: kapell"), "{bare:?}");
}

#[test]
fn a_number_below_nothing_is_refused_as_the_value_that_it_is() {
    let desk = Desk::with_project();
    for (words, said_of_it) in [
        (&["send", "x", "--priority", "-1"][..], "priority"),
        (&["cost", "--since", "-1d"], "-1d"),
        (&["resume", "nobody", "--budget-usd", "-1"], "nobody"),
        (&["history", "--limit", "-1"], "'--limit <N>'"),
    ] {
        let said = desk.run(words);
        assert!(said.code != Some(0) && !said.stderr.contains("unexpected argument"), "{words:?}: {said:?}");
        assert!(said.stderr.contains(said_of_it), "{words:?}: {said:?}");
    }
}

#[test]
fn other_doors_are_not_opened_halfway() {
    let desk = Desk::new();
    let said = desk.run(&["--json", "mcp"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    let mut rpc = desk.command(&["rpc"]);
    rpc.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = rpc.spawn().unwrap();
    server
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n")
        .unwrap();
    let output = server.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["result"], desk.run(&["status", "--json"]).json());
}

#[test]
fn a_state_folder_that_is_no_text_is_refused_and_nothing_is_written() {
    use std::os::unix::ffi::OsStrExt as _;
    let desk = Desk::with_project();
    let before = std::fs::read_dir(desk.project().parent().unwrap()).unwrap().count();
    let name = std::ffi::OsStr::from_bytes(b"st\xffate");
    let root = desk.project().parent().unwrap().join(name);
    let doors: [&[&str]; 6] = [&["status"], &["claim-files", "a"], &["doctor"], &["mcp"], &["rpc"], &["lsp"]];
    for words in doors {
        let mut command = desk.command(words);
        command.env("KAPELL_HOME", &root);
        let said = Desk::end(command);
        assert_eq!(said.code, Some(4), "{words:?}: {said:?}");
        assert!(said.stderr.contains("no UTF-8 text"), "{words:?}: {said:?}");
        assert!(said.stderr.contains("KAPELL_HOME"), "{words:?}: {said:?}");
    }
    assert!(!root.exists());
    assert_eq!(std::fs::read_dir(desk.project().parent().unwrap()).unwrap().count(), before);
}
