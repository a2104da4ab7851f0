//! A person takes over what a running attempt holds; and an editor beside a running plan.

use serde_json::{Value, json};

use crate::bench::{Bench, KAPELL, Plan, task};
use crate::client::{Editor, uri};

fn editor(bench: &Bench) -> Editor {
    let mut command = bench.command(env!("CARGO_BIN_EXE_kapell"));
    command.arg("lsp").env("USER", "ann");
    let mut editor = Editor::start(command);
    let root = uri(&bench.project.canonicalize().unwrap());
    editor.initialize(json!({
        "rootUri": root, "workspaceFolders": [{"uri": root, "name": "p"}],
        "capabilities": {"window": {"workDoneProgress": true}},
    }));
    editor.told("kapell/claims", |_| true);
    editor
}

#[test]
fn an_attempt_is_stopped_and_saved_before_a_person_has_its_files() {
    let bench = Bench::new();
    let mut editor = editor(&bench);
    let plan =
        bench.start(&Plan::new([task("a", &["a.txt"], &["append a.txt more", &bench.meet_line("a")])]));
    let worker = bench.meet("a");
    let path = bench.project.canonicalize().unwrap().join("a.txt");
    editor.open(&path, "mine\n");
    let shown = editor.diagnostics(&path, |shown| shown.iter().any(|it| it["code"] == "meeting"));
    let data = &shown[0]["data"];
    assert_eq!((&data["holder_kind"], &data["attempt"]), (&json!("attempt"), &json!(worker.attempt)));
    assert_eq!(data["task"], format!("{plan}/a"));
    let id = editor.ask(
        "workspace/executeCommand",
        json!({"command": "kapell.claim-files", "arguments": [{"paths": ["a.txt"], "take_over": true, "reason": "by hand"}]}),
    );
    worker.gone();
    let answer = editor.answer(id);
    assert_eq!(answer["result"]["granted"], true, "{answer}\n{}", bench.story());
    let event = editor.told("kapell/event", |event| event["kind"] == "claim.taken");
    assert_eq!((&event["data"]["by"], &event["data"]["from_kind"]), (&json!("ann"), &json!("attempt")));
    editor.diagnostics(&path, <[Value]>::is_empty);
    // Nobody asks any more for what was granted.
    let reason = bench.task(&plan, "a")["reason"].as_str().unwrap_or_default().to_owned();
    assert!(!reason.contains("was asked for by"), "{reason}");
    // Its tree is saved, and its task waits for its files, and says so.
    assert_eq!(bench.refs("refs/kapell/tasks"), [format!("refs/kapell/tasks/{plan}/a/1")]);
    let waits = bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |task| {
        task["reason"].as_str().is_some_and(|reason| reason.starts_with("claim: a.txt is held by ann since "))
    });
    assert_eq!(waits["state"], "ready");
    assert!(waits["reason"].as_str().unwrap().ends_with("it begins when ann lets go of it"), "{waits}");
    editor.finish();
    // As soon as nobody holds them it goes on, and the plan comes to its end.
    let released =
        bench.command(KAPELL).args(["release-files", "--all", "--holder", "ann"]).output().unwrap();
    assert!(released.status.success(), "{released:?}");
    bench.meet("a").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn a_task_whose_files_were_taken_over_can_be_called_off_and_the_plan_ends() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a", &bench.meet_line("a")]),
        task("b", &["b.txt"], &["write b.txt b"]),
    ]));
    let worker = bench.meet("a");
    let taking = ["claim-files", "a.txt", "--as", "me", "--take-over", "--reason", "by hand"];
    let taken = bench.command(KAPELL).args(taking).output().unwrap();
    assert!(taken.status.success(), "{taken:?}\n{}", bench.story());
    worker.gone();
    bench.task_is(&plan, "b", "done");
    let waits = bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |task| {
        task["reason"].as_str().is_some_and(|reason| reason.contains("(by hand); it begins when "))
    });
    assert_eq!(waits["state"], "ready");
    bench.control("cancel", &format!("{plan}/a"));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["b"]);
}

#[test]
fn a_task_that_was_stopped_says_what_is_needed_and_the_plan_ends_without_it() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a", &bench.meet_line("a")]),
        task("b", &["b.txt"], &["write b.txt b"]),
    ]));
    let worker = bench.meet("a");
    bench.control("stop", &worker.attempt);
    worker.gone();
    assert_eq!(bench.at_rest(&plan)["state"], "stopped", "{}", bench.story());
    let stopped = bench.task(&plan, "a");
    let next = format!("stopped; kapell retry {plan}/a goes on with it, kapell cancel {plan}/a calls it off");
    assert_eq!((&stopped["state"], &stopped["reason"]), (&json!("ready"), &json!(next)));
    bench.control("cancel", &format!("{plan}/a"));
    bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] == "done");
    bench.at_rest(&plan);
}

#[test]
fn a_plan_file_whose_plan_runs_is_not_begun_a_second_time() {
    let bench = Bench::new();
    let mut editor = editor(&bench);
    let plan = Plan::new([task("a", &["a.txt"], &["write a.txt a", &bench.meet_line("a")])]);
    let text = plan.params()["plan"].to_string();
    bench.write("one.plan.json", &text);
    bench.commit("a plan");
    let path = bench.project.canonicalize().unwrap().join("one.plan.json");
    editor.open(&path, &text);
    let titles = |editor: &mut Editor| -> Vec<String> {
        let lenses = editor.result("textDocument/codeLens", json!({"textDocument": {"uri": uri(&path)}}));
        let title = |lens: &Value| lens["command"]["title"].as_str().unwrap().to_owned();
        lenses.as_array().unwrap().iter().map(title).collect()
    };
    let dispatch = |editor: &mut Editor| {
        let command = json!({"command": "kapell.dispatchPlan", "arguments": [{"uri": uri(&path)}]});
        editor.call("workspace/executeCommand", command)
    };
    // One that is stored and waits is begun, and no copy of it.
    let stored = bench.command(KAPELL).args(["plan", "one.plan.json", "--json"]).output().unwrap();
    let stored: Value = serde_json::from_slice(&stored.stdout).unwrap();
    let id = stored["plan_id"].as_str().unwrap_or_else(|| panic!("{stored}")).to_owned();
    assert_eq!(titles(&mut editor)[..2], ["Check", "Dispatch"]);
    let begun = dispatch(&mut editor);
    assert_eq!(begun["result"]["plan"]["plan_id"], json!(id), "{begun}");
    let worker = bench.meet("a");
    let shown = titles(&mut editor);
    assert_eq!(shown[..3], ["Check", "Pause", "Stop"], "{shown:?}");
    assert!(shown.contains(&format!("{id}: running")), "{shown:?}");
    let again = dispatch(&mut editor);
    assert_eq!(again["error"]["data"]["kind"], "duplicate-plan", "{again}");
    let hint = again["error"]["data"]["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("kapell stop {id}")), "{again}");
    // Another text is another plan, whatever its name.
    editor.change(&path, 2, &text.replace("# a", "# a b"));
    assert!(titles(&mut editor).contains(&"Dispatch".to_owned()));
    editor.finish();
    worker.go();
    assert_eq!(bench.at_rest(&id)["state"], "done", "{}", bench.story());
}

#[test]
fn a_plan_file_whose_plan_was_stopped_is_resumed_and_not_begun_anew() {
    let bench = Bench::new();
    let mut editor = editor(&bench);
    let plan = Plan::new([task("a", &["a.txt"], &["write a.txt a", &bench.meet_line("a")])]);
    let text = plan.params()["plan"].to_string();
    bench.write("one.plan.json", &text);
    bench.commit("a plan");
    let path = bench.project.canonicalize().unwrap().join("one.plan.json");
    editor.open(&path, &text);
    let dispatch = |editor: &mut Editor| {
        let command = json!({"command": "kapell.dispatchPlan", "arguments": [{"uri": uri(&path)}]});
        editor.call("workspace/executeCommand", command)
    };
    let begun = dispatch(&mut editor);
    let id = begun["result"]["plan"]["plan_id"].as_str().unwrap_or_else(|| panic!("{begun}")).to_owned();
    let worker = bench.meet("a");
    bench.control("stop", &id);
    worker.gone();
    bench.until(json!({"scope": "plan", "id": id}), |status| status["state"] == "stopped");
    let lenses = editor.result("textDocument/codeLens", json!({"textDocument": {"uri": uri(&path)}}));
    let lenses = lenses.as_array().unwrap().iter();
    let shown: Vec<&str> = lenses.map(|lens| lens["command"]["title"].as_str().unwrap()).collect();
    assert_eq!(shown[..2], ["Check", "Resume"], "{shown:?}");
    assert!(!shown.contains(&"Dispatch"), "{shown:?}");
    let again = dispatch(&mut editor);
    assert_eq!(again["error"]["data"]["kind"], "duplicate-plan", "{again}");
    let hint = again["error"]["data"]["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("kapell resume {id}")), "{again}");
    editor.finish();
    assert_eq!(bench.at_rest(&id)["state"], "stopped", "{}", bench.story());
}

#[test]
fn only_a_person_with_a_reason_takes_over() {
    let bench = Bench::new();
    let wish = json!({"paths": ["a.txt"], "take_over": true, "reason": "x"});
    let refusal = bench.rpc().refused("claim-files", wish);
    assert_eq!(refusal.kind, "not-allowed");
}

#[test]
fn a_running_plan_is_a_progress_that_can_be_cancelled_and_an_attempt_can_be_read() {
    let bench = Bench::new();
    let mut editor = editor(&bench);
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a", "say something", &bench.meet_line("a"), "say more"]),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
    ]));
    let a = bench.meet("a");
    let begins = format!("kapell/plan/{plan}/");
    let made = |editor: &mut Editor| {
        let message = editor.wait_for("a request for a progress", |message| {
            message["method"] == "window/workDoneProgress/create"
        });
        message["params"]["token"].as_str().unwrap().to_owned()
    };
    let token = made(&mut editor);
    assert!(token.starts_with(&begins), "{token}");
    let begun = editor.told("$/progress", |params| params["value"]["kind"] == "begin");
    assert_eq!((&begun["token"], &begun["value"]["cancellable"]), (&json!(token), &json!(true)));
    let read = |editor: &mut Editor, what: &str, offset: Option<u64>| {
        let uri = format!("kapell://attempts/{}/{what}", a.attempt);
        editor.result("kapell/read", json!({"uri": uri, "offset": offset}))
    };
    let log = read(&mut editor, "log", Some(0));
    assert_eq!((&log["text"], &log["ended"]), (&json!("something\n"), &json!(false)));
    let next = log["next_offset"].as_u64();
    assert_eq!(read(&mut editor, "log", next)["text"], "");
    // More is waited for; whoever gives up is answered at once, and a wait that is over says nothing new.
    let log_uri = format!("kapell://attempts/{}/log", a.attempt);
    let wish = |wait_ms: u64| json!({"uri": log_uri, "offset": next, "wait_ms": wait_ms});
    assert_eq!(editor.result("kapell/read", wish(20))["text"], "");
    let given_up = editor.ask("kapell/read", wish(45_000));
    editor.notify("$/cancelRequest", json!({"id": given_up}));
    assert_eq!(editor.answer(given_up)["error"]["code"], -32800);
    let more = editor.ask("kapell/read", wish(45_000));
    // What it did so far is shown before anything of it was saved, and nothing is left of the look.
    let refs = bench.refs("refs/kapell");
    let diff = read(&mut editor, "diff", None);
    assert!(diff["text"].as_str().unwrap().contains("+a"), "{diff}");
    assert_eq!(read(&mut editor, "files/a.txt", None)["text"], "a\n");
    assert_eq!(bench.refs("refs/kapell"), refs);
    let verdict = read(&mut editor, "verdict", None);
    assert_eq!(verdict["mime_type"], "text/markdown");
    assert!(verdict["text"].as_str().unwrap().contains("not judged yet"), "{verdict}");
    editor.notify("window/workDoneProgress/cancel", json!({"token": token}));
    let ended = editor.told("$/progress", |params| params["value"]["kind"] == "end");
    assert!(ended["value"]["message"].as_str().unwrap().starts_with("paused: 0 of 2 done"), "{ended}");
    let attempt = a.attempt.clone();
    a.go();
    let more = editor.answer(more)["result"].take();
    // It may have ended with its last word, by the time that is read.
    assert_eq!(more["text"], "more\n", "{more}");
    let next = more["next_offset"].as_u64();
    let end = editor.result("kapell/read", json!({"uri": log_uri, "offset": next, "wait_ms": 45_000}));
    assert_eq!((&end["text"], &end["ended"]), (&json!(""), &json!(true)), "{end}");
    bench.task_is(&plan, "a", "done");
    let read = |editor: &mut Editor, what: &str| {
        editor.result("kapell/read", json!({"uri": format!("kapell://attempts/{attempt}/{what}")}))
    };
    let diff = read(&mut editor, "diff");
    assert!(diff["text"].as_str().unwrap().contains("+a"), "{diff}");
    assert_eq!(read(&mut editor, "files/a.txt")["text"], "a\n");
    assert!(read(&mut editor, "verdict")["text"].as_str().unwrap().contains("approved"));
    let log = editor
        .result("kapell/read", json!({"uri": format!("kapell://attempts/{attempt}/log"), "offset": next}));
    assert_eq!(log["ended"], true, "{log}");
    // The end of a log, and how much of it there is.
    let whole = editor.result("kapell/read", json!({"uri": log_uri, "offset": 0}));
    let size = whole["size"].as_u64().unwrap();
    assert_eq!(whole["next_offset"].as_u64(), Some(size), "{whole}");
    let end = editor.result("kapell/read", json!({"uri": log_uri, "offset": -5}));
    assert_eq!((&end["text"], &end["size"]), (&json!("more\n"), &json!(size)), "{end}");
    // What lies outside of the repository was never part of it.
    for path in ["../secret", "a/../../b", "./a.txt", "a/./b"] {
        for side in ["files", "base"] {
            let uri = format!("kapell://attempts/{attempt}/{side}/{path}");
            let refused = editor.call("kapell/read", json!({"uri": uri}));
            assert_eq!(refused["error"]["data"]["kind"], "bad-path", "{refused}");
        }
    }
    let nothing = editor.call("kapell/read", json!({"uri": "kapell://nothing"}));
    assert_eq!(nothing["error"]["data"]["kind"], "not-found");
    bench.control("resume", &plan);
    // A token is good for one progress, also to cancel it.
    let another = made(&mut editor);
    assert!(another.starts_with(&begins) && another != token, "{another}");
    editor.notify("window/workDoneProgress/cancel", json!({"token": token}));
    let begun = editor.told("$/progress", |params| params["value"]["kind"] == "begin");
    assert_eq!(begun["token"], json!(another));
    let ended = editor.told("$/progress", |params| params["value"]["kind"] == "end");
    assert!(ended["value"]["message"].as_str().unwrap().starts_with("done: 2 of 2 done"), "{ended}");
    editor.finish();
}

#[test]
fn the_progress_of_a_plan_goes_and_comes_with_its_folder() {
    let bench = Bench::new();
    let mut editor = editor(&bench);
    let plan =
        bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a", "say it", &bench.meet_line("a")])]));
    let a = bench.meet("a");
    editor.told("$/progress", |params| params["value"]["kind"] == "begin");
    let folder = json!({"uri": uri(&bench.project.canonicalize().unwrap()), "name": "p"});
    let change = |added: Value, removed: Value| json!({"event": {"added": added, "removed": removed}});
    editor.notify("workspace/didChangeWorkspaceFolders", change(json!([]), json!([folder])));
    let ended = editor.told("$/progress", |params| params["value"]["kind"] == "end");
    assert_eq!(ended["value"]["message"], "its folder was closed");
    // What an attempt wrote is found in its own project all the same.
    let uri = format!("kapell://attempts/{}/log", a.attempt);
    assert_eq!(editor.result("kapell/read", json!({"uri": uri, "offset": 0}))["text"], "it\n");
    editor.notify("workspace/didChangeWorkspaceFolders", change(json!([folder]), json!([])));
    editor.told("$/progress", |params| params["value"]["kind"] == "begin");
    a.go();
    let ended = editor.told("$/progress", |params| params["value"]["kind"] == "end");
    assert!(ended["value"]["message"].as_str().unwrap().starts_with("done: 1 of 1 done"), "{ended}");
    bench.task_is(&plan, "a", "done");
    editor.finish();
}

#[test]
fn who_wants_to_take_over_what_is_being_judged_is_told_so() {
    let bench = Bench::new();
    let mut editor = editor(&bench);
    let plan = bench.start(
        &Plan::new([task("a", &["a.txt"], &["write a.txt a"])])
            .rule("lint", bench.gate(&[&bench.meet_line("gate")])),
    );
    let gate = bench.meet("gate");
    let mut wish = json!({"paths": ["a.txt"], "take_over": true, "reason": "by hand"});
    let take = |editor: &mut Editor, wish: &Value| {
        editor.ask("workspace/executeCommand", json!({"command": "kapell.claim-files", "arguments": [wish]}))
    };
    let asked = take(&mut editor, &wish);
    let refused = editor.answer(asked);
    let sentence = refused["error"]["message"].as_str().unwrap();
    assert!(
        sentence.starts_with("a.txt is held by attempt ")
            && sentence.ends_with(&format!(
                "of task {plan}/a, which has ended: its work is judged, lands, or waits for a decision"
            )),
        "{refused}"
    );
    assert!(refused["error"]["data"]["hint"].as_str().unwrap().contains("wait_s"), "{refused}");
    // Whoever waits gets it once the work has landed; nothing of it is lost.
    wish["wait_s"] = json!(600);
    let asked = take(&mut editor, &wish);
    gate.go();
    assert_eq!(editor.answer(asked)["result"]["granted"], true, "{}", bench.story());
    editor.finish();
    assert_eq!(bench.at_rest(&plan)["state"], "done");
}
