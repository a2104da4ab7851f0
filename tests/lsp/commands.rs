//! The contract through `workspace/executeCommand`, the connection, and its end.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Editor, uri};
use crate::world::World;

#[test]
fn every_method_is_a_command_with_the_same_results_and_errors() {
    let world = World::new(&[]);
    let mut editor = world.editor();
    let names = editor.capabilities["executeCommandProvider"]["commands"].clone();
    for name in ["plan", "dispatch", "claim-files", "release-files", "status", "judge", "control"] {
        assert!(names.as_array().unwrap().contains(&json!(format!("kapell.{name}"))), "{name}");
    }
    let claimed = editor.command("kapell.claim-files", json!({"paths": ["src"]}));
    assert_eq!(claimed["granted"], true);
    let status = editor.command("kapell.status", json!({"scope": "claims"}));
    assert_eq!(
        (&status["claims"][0]["holder"], &status["claims"][0]["holder_kind"]),
        (&json!("ann"), &json!("person"))
    );
    // Without an argument it is asked with none.
    let overview = editor.result("workspace/executeCommand", json!({"command": "kapell.status"}));
    assert_eq!(overview["scope"], "overview");
    let errors = [
        ("kapell.claim-files", json!({"paths": ["../x"]}), -32011, "bad-path"),
        ("kapell.status", json!({"scope": "plan", "id": "nope"}), -32010, "not-found"),
        ("kapell.status", json!({"scope": "nope"}), -32602, "invalid-params"),
        ("kapell.dance", json!({}), -32601, "unknown-method"),
    ];
    for (command, argument, code, kind) in errors {
        let answer =
            editor.call("workspace/executeCommand", json!({"command": command, "arguments": [argument]}));
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert_eq!(answer["error"]["data"]["kind"], kind, "{answer}");
        assert!(answer["error"]["data"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{answer}");
    }
    editor.finish();
}

#[test]
fn a_second_argument_names_the_project() {
    let world = World::new(&[]);
    let other = World::new(&[]);
    let mut editor = world.editor();
    editor.result(
        "workspace/executeCommand",
        json!({"command": "kapell.claim-files", "arguments": [{"paths": ["x"]}, {"uri": uri(&other.path("some/file"))}]}),
    );
    assert_eq!(world.claims(), []);
    let status = editor.result(
        "workspace/executeCommand",
        json!({"command": "kapell.status", "arguments": [{"scope": "claims"}, uri(&other.project())]}),
    );
    assert_eq!(status["claims"].as_array().unwrap().len(), 1);
    editor.finish();
}

#[test]
fn a_second_argument_that_names_no_project_is_refused() {
    let world = World::new(&[]);
    let plain = world.root().join("plain");
    std::fs::create_dir(&plain).unwrap();
    let mut editor = world.editor();
    let claim = |editor: &mut Editor, second: Value| {
        let arguments = json!([{"paths": ["x"]}, second]);
        editor.call(
            "workspace/executeCommand",
            json!({"command": "kapell.claim-files", "arguments": arguments}),
        )
    };
    let foreign = json!({"uri": "untitled:Untitled-1"});
    for second in [json!(5), json!("junk"), json!({"x": 1}), json!(["file:///"]), foreign] {
        let answer = claim(&mut editor, second.clone());
        assert_eq!(answer["error"]["data"]["kind"], "invalid-params", "{second}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("second argument"), "{answer}");
    }
    for second in [json!("file:///nowhere/x"), json!("file:///"), json!({"uri": uri(&plain.join("x"))})] {
        let answer = claim(&mut editor, second.clone());
        assert_eq!(answer["error"]["data"]["kind"], "not-found", "{second}: {answer}");
    }
    assert_eq!(world.claims(), []);
    // Nothing is no project of its own, and a folder is one by its configuration.
    assert_eq!(claim(&mut editor, Value::Null)["result"]["granted"], true);
    assert_eq!(world.claims().len(), 1);
    std::fs::write(plain.join("kapell.toml"), "[project]\nisolation = \"shared\"\n").unwrap();
    assert_eq!(claim(&mut editor, json!({"uri": uri(&plain)}))["result"]["granted"], true);
    editor.finish();
}

#[test]
fn a_message_that_is_too_long_to_be_read_is_told_of_and_the_server_lives_on() {
    let world = World::new(&[("huge.txt", ""), ("small.txt", "one\n")]);
    let (huge, small) = (world.path("huge.txt"), world.path("small.txt"));
    let mut editor = world.editor();
    let text = "x".repeat((64 << 20) + 1);
    editor.open(&huge, &text);
    let answer = editor.wait_for("an error", |message| message["error"]["code"] == -32700);
    let said = editor.told("window/showMessage", |_| true);
    let sentence = said["message"].as_str().unwrap();
    let begin = format!("kapell: what the editor sent about {} has 65 MiB", huge.display());
    assert!(sentence.starts_with(&begin) && sentence.contains("claim-files --as me"), "{sentence}");
    assert_eq!((&said["type"], &answer["error"]["message"]), (&json!(2), &said["message"]));
    // The person is told once; everything else goes on.
    editor.change(&huge, 2, &text);
    editor.wait_for("an error", |message| message["error"]["code"] == -32700);
    editor.open(&small, "two\n");
    editor.told("kapell/claims", |params| params["total"] == 1);
    assert!(!editor.unread().any(|message| message["method"] == "window/showMessage"));
    editor.finish();
}

#[test]
fn what_waits_blocks_nobody_and_can_be_given_up() {
    let world = World::new(&[]);
    let mut editor = world.editor();
    world.claim("robot", "a");
    let wait = json!({"command": "kapell.claim-files", "arguments": [{"paths": ["a"], "wait_s": 600}]});
    let waiting: Vec<i64> = (0..8).map(|_| editor.ask("workspace/executeCommand", wait.clone())).collect();
    let status = editor.command("kapell.status", json!({"scope": "claims"}));
    assert_eq!(status["claims"].as_array().unwrap().len(), 1);
    for id in &waiting {
        editor.notify("$/cancelRequest", json!({"id": id}));
    }
    for id in waiting {
        assert_eq!(editor.answer(id)["error"]["code"], -32800);
    }
    world.release("robot");
    // Nobody waits any more who could get it.
    world.claim("other", "a");
    editor.finish();
}

#[test]
fn whatever_waits_leaves_room_for_what_does_not() {
    let world = World::new(&[]);
    let path = world.write("a", "one\n");
    let mut editor = world.editor();
    let claim = world.claim("robot", "a");
    editor.open(&path, "one\n");
    // More than there are threads; whoever asks for a file twice waits once.
    let wait = json!({"command": "kapell.claim-files", "arguments": [{"paths": ["a"], "wait_s": 600}]});
    for _ in 0..200 {
        editor.ask("workspace/executeCommand", wait.clone());
    }
    for _ in 0..3 {
        assert_eq!(editor.command("kapell.ask", json!({"uri": uri(&path)}))["waiting"], true);
    }
    let owner = editor.result("kapell/owner", json!({"uri": uri(&path)}));
    assert_eq!(owner["claims"][0]["claim_id"], claim);
    let status = editor.command("kapell.status", json!({"scope": "claims"}));
    assert_eq!(status["claims"].as_array().unwrap().len(), 1);
    editor.finish();
}

#[test]
fn who_comes_after_a_first_server_that_was_killed_at_once_finds_the_store() {
    for _ in 0..5 {
        let world = World::new(&[]);
        let mut first = world.kapell();
        let mut first = first.arg("status").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // While the database is being made there is a journal beside it.
        let journal = world.root().join("state/kapell.db-journal");
        while first.try_wait().unwrap().is_none() && !journal.exists() {
            std::hint::spin_loop();
        }
        first.kill().unwrap();
        first.wait().unwrap();
        let claim = |name: &str| {
            let mut command = world.kapell();
            command.args(["claim-files", name, "--holder", name, "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let all: Vec<_> = ["a", "b", "c", "d"].map(claim).into_iter().collect();
        for one in all {
            let output = one.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        assert_eq!(world.claims().len(), 4);
    }
}

#[test]
fn the_end_ends_every_wait_and_lets_go() {
    for end in [None, Some(Signal::INT), Some(Signal::TERM)] {
        let world = World::new(&[("a", "one\n")]);
        let mut editor = world.editor();
        editor.open(&world.path("a"), "two\n");
        editor.told("kapell/claims", |params| params["total"] == 1);
        world.claim("robot", "b");
        editor.ask(
            "workspace/executeCommand",
            json!({"command": "kapell.claim-files", "arguments": [{"paths": ["b"], "wait_s": 600}]}),
        );
        match end {
            None => editor.close_input(),
            Some(signal) => editor.signal(signal),
        }
        assert_eq!(editor.end(), "", "{end:?}");
        assert_eq!(world.claims(), [("robot".to_owned(), "agent".to_owned(), "b".to_owned())]);
    }
}

#[test]
fn an_exit_that_nobody_asked_for_before_is_no_good_end() {
    let world = World::new(&[("a", "one\n")]);
    let mut editor = world.editor();
    editor.open(&world.path("a"), "two\n");
    editor.told("kapell/claims", |params| params["total"] == 1);
    editor.notify("exit", Value::Null);
    assert_eq!(editor.ended_with(), Some(1));
    // What it held is free all the same.
    assert_eq!(world.claims(), []);
    // Before the handshake too.
    let mut command = world.kapell();
    command.arg("lsp");
    let mut editor = Editor::start(command);
    editor.notify("exit", Value::Null);
    assert_eq!(editor.ended_with(), Some(1));
}

#[test]
fn it_serves_in_a_folder_that_is_no_repository() {
    let world = World::new(&[]);
    let folder = world.root().join("plain");
    std::fs::create_dir(&folder).unwrap();
    let mut command = world.kapell();
    command.current_dir(&folder).args(["lsp", "--stdio", "--clientProcessId=1"]);
    let mut editor = Editor::start(command);
    editor.initialize(json!({"capabilities": {}, "rootUri": null}));
    assert_eq!(editor.capabilities["positionEncoding"], "utf-16");
    // Nobody would heed a claim there.
    let wish = json!({"command": "kapell.claim-files", "arguments": [{"paths": ["x"]}]});
    let claimed = editor.call("workspace/executeCommand", wish);
    assert_eq!(claimed["error"]["data"]["kind"], "not-found", "{claimed}");
    assert_eq!(editor.command("kapell.status", json!({}))["claims"], 0);
    editor.finish();
}

#[test]
fn bytes_are_counted_where_the_editor_offers_it() {
    let world = World::new(&[("a", "é\u{1F600}x\n")]);
    let path = world.path("a");
    for (offered, encoding, column) in [
        (json!(["utf-16", "utf-8"]), "utf-8", 7),
        (json!(["utf-16"]), "utf-16", 4),
        (Value::Null, "utf-16", 4),
    ] {
        let mut hello = world.hello();
        hello["capabilities"]["general"] = json!({"positionEncodings": offered});
        let mut editor = world.quiet_editor(hello);
        assert_eq!(editor.capabilities["positionEncoding"], encoding);
        editor.open(&path, "é\u{1F600}x\n");
        // A change in the middle of the line is put where it was meant: this undoes itself.
        let at = json!({"line": 0, "character": column - 1});
        let uri = uri(&path);
        editor.notify(
            "textDocument/didChange",
            json!({"textDocument": {"uri": uri, "version": 2}, "contentChanges": [
                {"range": {"start": at, "end": at}, "text": "yy"},
                {"range": {"start": at, "end": {"line": 0, "character": column + 1}}, "text": ""},
            ]}),
        );
        assert_eq!(editor.result("kapell/owner", json!({"uri": uri}))["own"], false);
        world.claim("robot", "a");
        let shown = editor.diagnostics(&path, |diagnostics| !diagnostics.is_empty());
        assert_eq!(shown[0]["code"], "held");
        assert_eq!(shown[0]["range"]["end"]["character"], column, "{encoding}");
        editor.finish();
        world.release("robot");
    }
}

#[test]
fn a_request_of_the_protocol_itself_that_nobody_knows_is_answered() {
    let world = World::new(&[]);
    let mut editor = world.editor();
    let answer = editor.call("$/dance", json!({}));
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    editor.notify("$/dance", json!({}));
    editor.finish();
}

#[test]
fn what_is_no_message_is_answered_or_passed_over() {
    let world = World::new(&[("a", "")]);
    let mut editor = world.editor();
    let broken = "{\"jsonrpc\": \"2.0\", ";
    editor.send_bytes(format!("Content-Length: {}\r\n\r\n{broken}", broken.len()).as_bytes());
    let answer = editor.wait_for("an error", |message| message["error"]["code"] == -32700);
    assert_eq!(answer["id"], Value::Null);
    for params in [json!({}), json!(null), json!({"textDocument": 1})] {
        for method in ["textDocument/didOpen", "textDocument/didChange", "textDocument/didClose"] {
            editor.notify(method, params.clone());
        }
    }
    // Changes of what is not open, and a change that lies nowhere.
    editor.change(&world.path("never"), 2, "x");
    editor.open(&world.path("a"), "");
    let far = json!({"line": 1_000_000, "character": 1_000_000});
    editor.notify(
        "textDocument/didChange",
        json!({"textDocument": {"uri": uri(&world.path("a")), "version": 2},
            "contentChanges": [{"range": {"start": far, "end": {"line": 0, "character": 0}}, "text": "x"}]}),
    );
    assert_eq!(editor.call("textDocument/nothing", json!({}))["error"]["code"], -32601);
    editor.told("kapell/claims", |params| params["total"] == 1);
    editor.finish();
}

/// A second repository beside the project, with a plan of that name stored in it.
fn neighbour(world: &World, name: &str) -> std::path::PathBuf {
    let folder = world.root().join(name);
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::write(folder.join("src/b.rs"), "b").unwrap();
    let git = world.program("git").args(["init", "-q"]).arg(&folder).output().unwrap();
    assert!(git.status.success(), "{git:?}");
    folder
}

#[test]
fn several_folders_are_several_projects_that_come_and_go() {
    let world = World::new(&[("src/a.rs", "a"), ("sub/c.rs", "c")]);
    let other = neighbour(&world, "other");
    let outside = world.root().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let folder = |path: &std::path::Path| json!({"uri": uri(path), "name": "x"});
    let mut hello = world.hello();
    hello["workspaceFolders"] = json!([folder(&world.path("sub")), folder(&other), folder(&outside)]);
    let mut editor = world.quiet_editor(hello);
    let told = editor.told("kapell/projects", |_| true);
    let of = |told: &Value| -> Vec<(String, Value)> {
        let projects = told["projects"].as_array().unwrap();
        projects.iter().map(|it| (it["name"].as_str().unwrap().to_owned(), it["folders"].clone())).collect()
    };
    // A folder below the top belongs to the checkout it lies in.
    let (sub, near) =
        (json!([{"uri": uri(&world.path("sub")), "path": "sub"}]), json!([{"uri": uri(&other), "path": ""}]));
    assert_eq!(
        of(&told),
        [("project".to_owned(), sub.clone()), ("other".to_owned(), near.clone())],
        "{told}"
    );
    assert_eq!(told["projects"][0]["root"], uri(&world.project()));
    assert_eq!(told["outside"], json!([uri(&outside)]));
    // Claims and events are told of each, with their own root.
    for path in [&world.project(), &other] {
        editor.told("kapell/claims", |params| params["root"] == uri(path));
    }
    let claim = |path: &std::path::Path, what: &str| {
        let mut command = world.kapell();
        let output =
            command.current_dir(path).args(["claim-files", what, "--holder", "robot"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    claim(&other, "src/b.rs");
    editor.told("kapell/claims", |params| params["root"] == uri(&other) && params["total"] == 1);
    editor.told("kapell/event", |params| params["root"] == uri(&other) && params["kind"] == "claim.granted");
    // What names no project is about the first folder, whichever that is by now.
    let total = |editor: &mut Editor| {
        editor.command("kapell.status", json!({"scope": "claims"}))["claims"].as_array().unwrap().len()
    };
    assert_eq!(total(&mut editor), 0);
    let change = |added: Value, removed: Value| json!({"event": {"added": added, "removed": removed}});
    editor.notify(
        "workspace/didChangeWorkspaceFolders",
        change(json!([]), json!([folder(&world.path("sub"))])),
    );
    let told = editor.told("kapell/projects", |_| true);
    assert_eq!(of(&told), [("other".to_owned(), near.clone())]);
    assert_eq!(total(&mut editor), 1);
    // Of what is gone nothing is told any more; an open file brings it back as long as it is open.
    claim(&world.project(), "src/a.rs");
    claim(&other, "src/c.rs");
    editor.told("kapell/claims", |params| params["total"] == 2);
    assert!(!editor.unread().any(|message| message["params"]["root"] == uri(&world.project()).as_str()
        && message["method"] == "kapell/event"));
    let path = world.path("src/a.rs");
    editor.open(&path, "a");
    let told = editor.told("kapell/projects", |_| true);
    assert_eq!(of(&told), [("other".to_owned(), near.clone()), ("project".to_owned(), json!([]))]);
    editor.told("kapell/claims", |params| params["root"] == uri(&world.project()) && params["total"] == 1);
    editor.diagnostics(&path, |shown| shown.len() == 1);
    editor.close(&path);
    assert_eq!(of(&editor.told("kapell/projects", |_| true)), [("other".to_owned(), near)]);
    editor.notify(
        "workspace/didChangeWorkspaceFolders",
        change(json!([folder(&world.path("sub"))]), json!([folder(&other)])),
    );
    assert_eq!(of(&editor.told("kapell/projects", |_| true)), [("project".to_owned(), sub)]);
    editor.told("kapell/claims", |params| params["root"] == uri(&world.project()) && params["total"] == 1);
    editor.finish();
}

#[test]
fn a_plain_folder_is_a_project_by_its_configuration() {
    let world = World::new(&[]);
    let plain = world.root().join("plain");
    std::fs::create_dir(&plain).unwrap();
    let mut hello = world.hello();
    hello["workspaceFolders"] = json!([{"uri": uri(&plain), "name": "plain"}]);
    let mut editor = world.quiet_editor(hello);
    editor.told("kapell/projects", |params| *params == json!({"projects": [], "outside": [uri(&plain)]}));
    // Until then nobody would heed a claim there, and the first folder is no exception.
    for second in [json!({"uri": uri(&plain)}), Value::Null] {
        let arguments = json!([{"paths": ["x"]}, second]);
        let answer = editor.call(
            "workspace/executeCommand",
            json!({"command": "kapell.claim-files", "arguments": arguments}),
        );
        assert_eq!(answer["error"]["data"]["kind"], "not-found", "{second}: {answer}");
    }
    let config = plain.join("kapell.toml");
    std::fs::write(&config, "[project]\nisolation = \"shared\"\n").unwrap();
    let change = json!({"changes": [{"uri": uri(&config), "type": 1}]});
    editor.notify("workspace/didChangeWatchedFiles", change);
    editor.told("kapell/projects", |params| params["projects"][0]["root"] == uri(&plain));
    editor.told("kapell/claims", |params| params["root"] == uri(&plain));
    // And a repository once it is made one.
    let bare = neighbour(&world, "plain/below");
    let added = json!({"added": [{"uri": uri(&bare), "name": "below"}], "removed": []});
    std::fs::rename(bare.join(".git"), bare.join("git")).unwrap();
    editor.notify("workspace/didChangeWorkspaceFolders", json!({"event": added}));
    editor.told("kapell/projects", |params| params["outside"] == json!([uri(&bare)]));
    std::fs::rename(bare.join("git"), bare.join(".git")).unwrap();
    let head = uri(&bare.join(".git/HEAD"));
    editor.notify("workspace/didChangeWatchedFiles", json!({"changes": [{"uri": head, "type": 1}]}));
    editor.told("kapell/projects", |params| params["projects"][1]["root"] == uri(&bare));
    editor.finish();
}

#[test]
fn who_takes_the_last_folder_away_sees_nothing_of_it() {
    let world = World::new(&[]);
    let mut editor = world.editor();
    let folders =
        json!({"event": {"added": [], "removed": [{"uri": uri(&world.project()), "name": "project"}]}});
    editor.told("kapell/projects", |params| params["projects"][0]["name"] == "project");
    editor.notify("workspace/didChangeWorkspaceFolders", folders);
    editor.told("kapell/projects", |params| *params == json!({"projects": [], "outside": []}));
    editor.finish();
}

#[test]
fn a_change_among_claims_that_are_not_told_is_told() {
    let world = World::new(&[]);
    let mut editor = world.editor();
    let names = |first: usize| (first..first + 200).map(|at| format!("f{at}")).collect::<Vec<_>>();
    for first in [0, 200, 400] {
        let output = world.output(
            &[
                &["claim-files", "--holder", "robot"][..],
                &names(first).iter().map(String::as_str).collect::<Vec<_>>(),
            ]
            .concat(),
        );
        assert!(output.status.success(), "{output:?}");
    }
    let told = editor.told("kapell/claims", |params| params["total"] == 600);
    assert_eq!(told["claims"].as_array().unwrap().len(), 500);
    let output = world.output(&["claim-files", "f560", "--as", "me", "--take-over", "--reason", "mine"]);
    assert!(output.status.success(), "{output:?}");
    // As many as before, and the first of them are the same.
    let again = editor.told("kapell/claims", |params| params["total"] == 600);
    assert_eq!(again["claims"], told["claims"]);
    editor.finish();
}
