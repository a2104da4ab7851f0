//! Workers that call Kapell from inside their walls.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::bench::meeting::Talk;
use crate::bench::{Bench, Plan, Process, task};

/// What the worker of a task's last try printed, and with it what Kapell answered it.
fn printed(bench: &Bench, plan: &str, name: &str) -> String {
    let status = bench.task(plan, name);
    let attempt = status["attempts"].as_array().unwrap().last().unwrap()["attempt"].clone();
    fs::read_to_string(bench.run_dir(attempt.as_str().unwrap()).join("stdout")).unwrap()
}

/// One task that opens a door of its own, and the door.
fn one_door(bench: &Bench, lines: &[&str]) -> (String, Talk) {
    let door = bench.door_line("door", "rpc");
    let all: Vec<&str> = std::iter::once(door.as_str()).chain(lines.iter().copied()).collect();
    let plan = bench.start(&Plan::new([task("a", &["src"], &all)]));
    let talk = bench.meet("door").talk();
    (plan, talk)
}

/// The relays that run: doors whose parent is a shim.
fn relays(bench: &Bench) -> Vec<Process> {
    let mut doors = bench.processes();
    doors.retain(|process| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)).unwrap_or_default();
        let above = fs::read(format!("/proc/{parent}/cmdline")).unwrap_or_default();
        process.words.get(1).is_some_and(|word| word == "rpc")
            && above.split(|byte| *byte == 0).nth(1) == Some(b"shim")
    });
    doors
}

#[test]
fn what_a_worker_claims_besides_lands_with_its_work() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task(
        "a",
        &["a.txt"],
        &[
            "kapell b.txt claim-files b.txt --reason 'a needs it'",
            "kapell b.txt status --scope claims",
            "write a.txt a",
            "write b.txt b",
            "kapell refs/kapell/tasks/ checkpoint",
            "kapell seq report 'c.txt is missing' --files c.txt --severity low",
        ],
    )]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}\n{}", bench.story(), printed(&bench, &plan, "a"));
    assert_eq!(bench.on_branch(&plan, "b.txt"), "b");
    let printed = printed(&bench, &plan, "a");
    assert!(printed.contains(r#""outside_claim":[]"#), "{printed}");
    let claimed = bench.rpc().ok("status", json!({"scope": "claims"}));
    assert_eq!(claimed["claims"], json!([]));
    let events = bench.events(Some(&plan));
    for (kind, text) in
        [("attempt.finding", "c.txt is missing"), ("attempt.checkpoint", "task a: 2 paths saved")]
    {
        assert!(events.iter().any(|event| event.0 == kind && event.1 == text), "{events:#?}");
    }
}

#[test]
fn a_checkpoint_keeps_what_is_lost_afterwards_and_tells_what_would_not_land() {
    let bench = Bench::new();
    let meet = bench.meet_line("a");
    let lines =
        ["write src/a.txt kept", "write foreign.txt mine", "kapell foreign.txt checkpoint", &meet, "hang"];
    let plan = bench.start(&Plan::new([task("a", &["src"], &lines)]));
    let a = bench.meet("a");
    let reference = format!("refs/kapell/tasks/{plan}/a/1");
    assert_eq!(bench.git(["show", &format!("{reference}:src/a.txt")]), "kept");
    bench.control("stop", &plan);
    a.gone();
    bench.at_rest(&plan);
    assert!(printed(&bench, &plan, "a").contains("is not owned by the task"));
}

#[test]
fn a_widened_claim_outlives_its_conductor() {
    let bench = Bench::new();
    let meet = bench.meet_line("a");
    let lines = ["kapell true claim-files b.txt", &meet, "write b.txt b", "write a.txt a"];
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &lines)]));
    let a = bench.meet("a");
    bench.conductor(&plan).kill();
    a.go();
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "b.txt"), "b");
}

#[test]
fn a_widened_claim_goes_on_to_the_next_try_and_one_that_was_let_go_does_not_land() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task(
            "a",
            &["a.txt"],
            &["first kapell true claim-files b.txt", "first exit 1", "write b.txt b", "write a.txt a"],
        ),
        task(
            "c",
            &["c.txt"],
            &[
                "kapell true claim-files d.txt",
                "write c.txt c",
                "write d.txt d",
                "kapell released release-files d.txt",
            ],
        )
        .with("rules", json!({"max_attempts": 1})),
    ]));
    bench.at_rest(&plan);
    assert_eq!(bench.landed(&plan), ["a"], "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "b.txt"), "b");
    let c = bench.task(&plan, "c");
    assert_eq!(c["attempts"][0]["outside_claim"], json!(["d.txt"]), "{c:#}");
}

#[test]
fn what_is_held_is_refused_with_its_holder_or_waited_for() {
    let bench = Bench::new();
    let meet = bench.meet_line("b");
    let plan = bench.start(&Plan::new([
        task("b", &["b.txt"], &[&meet, "write b.txt b"]),
        task(
            "a",
            &["a.txt"],
            &[
                "write a.txt a",
                &bench.meet_line("a"),
                "kapell false claim-files b.txt",
                "kapell true claim-files b.txt --wait-s 60",
            ],
        ),
    ]));
    let (b, a) = (bench.meet("b"), bench.meet("a"));
    a.go();
    bench.until(json!({"scope": "claims"}), |_| waits(&bench).len() == 1);
    b.go();
    bench.at_rest(&plan);
    let printed = printed(&bench, &plan, "a");
    let refusal: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(refusal["conflicts"][0]["task"], format!("{plan}/b"), "{printed}");
    assert!(printed.lines().nth(1).unwrap().contains(r#""granted":true"#), "{printed}");
    assert!(waits(&bench).is_empty());
}

/// Who waits for claims, dead or alive.
fn waits(bench: &Bench) -> Vec<String> {
    let database = rusqlite::Connection::open(bench.state().join("kapell.db")).unwrap();
    let mut waits = database.prepare("SELECT holder FROM claim_waits ORDER BY id").unwrap();
    waits.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn who_waits_is_served_in_the_order_of_asking_also_where_something_is_free() {
    let bench = Bench::new();
    let [mut first, mut second, mut third] = [bench.rpc(), bench.rpc(), bench.rpc()];
    let claim = |paths: &[&str], holder: &str| json!({"paths": paths, "holder": holder, "wait_s": 600});
    let held = first.ok("claim-files", claim(&["src/q"], "first"));
    second.send("claim-files", claim(&["src/q", "src/r"], "second"));
    bench.until(json!({"scope": "claims"}), |_| waits(&bench) == ["second"]);
    third.send("claim-files", claim(&["src/r"], "third"));
    bench.until(json!({"scope": "claims"}), |_| waits(&bench) == ["second", "third"]);
    // Who holds something goes on: the second would wait for it, and it for the second.
    assert_eq!(first.ok("claim-files", claim(&["src/r/x"], "first"))["granted"], true);
    first.ok("release-files", json!({"all": true, "holder": "first"}));
    assert_eq!(held["granted"], true);
    assert_eq!(second.answer().unwrap()["granted"], true);
    assert_eq!(waits(&bench), ["third"]);
    second.ok("release-files", json!({"all": true, "holder": "second"}));
    assert_eq!(third.answer().unwrap()["granted"], true);
}

#[test]
fn workers_that_wait_for_each_other_are_not_left_waiting() {
    let bench = Bench::new();
    let names = ["a", "b", "c"];
    let wish = |name: &str, other: &str| {
        let lines = [
            bench.meet_line(name),
            format!("kapell '' claim-files {other}.txt --wait-s 80"),
            format!("write {name}.txt {name}"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        task(name, &[&format!("{name}.txt")], &lines)
    };
    let plan = bench.start(&Plan::new([wish("a", "b"), wish("b", "c"), wish("c", "a")]));
    let guests = names.map(|name| bench.meet(name));
    guests.into_iter().for_each(|guest| guest.go());
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let said = names.map(|name| printed(&bench, &plan, name));
    let refused: Vec<&String> = said.iter().filter(|said| said.contains("never end")).collect();
    assert_eq!(refused.len(), 1, "{said:#?}");
    for name in names {
        assert!(refused[0].contains(&format!("task {plan}/{name})")), "{refused:#?}");
    }
    assert_eq!(said.iter().filter(|said| said.contains(r#""granted":true"#)).count(), 2, "{said:#?}");
}

#[test]
fn a_person_in_the_circle_is_named_too() {
    let bench = Bench::new();
    let (plan, mut talk) = one_door(&bench, &[]);
    let mut person = bench.rpc();
    person.ok("claim-files", json!({"paths": ["docs"]}));
    person.send("claim-files", json!({"paths": ["src/a.txt"], "wait_s": 80}));
    bench.until(json!({"scope": "claims"}), |_| waits(&bench).len() == 1);
    let (kind, message) = talk.refused("claim-files", json!({"paths": ["docs/x"], "wait_s": 80}));
    assert_eq!(kind, "conflict");
    assert!(message.contains("waits for rpc-") && message.contains(&format!("(task {plan}/a)")), "{message}");
    talk.ok("release-files", json!({"all": true}));
    assert_eq!(person.answer().unwrap()["granted"], true);
    bench.control("stop", &plan);
    talk.closes();
    bench.at_rest(&plan);
}

#[test]
fn a_worker_reaches_its_own_and_nothing_of_others() {
    let bench = Bench::new();
    let (plan, mut talk) = one_door(&bench, &["write src/a.txt a"]);
    let foreign = bench.rpc().ok("claim-files", json!({"paths": ["docs"], "holder": "ann"}));
    let foreign = foreign["claims"][0]["claim_id"].clone();
    let methods: Value = talk.ok("rpc.discover", json!({}));
    let mut left: Vec<String> = (methods["methods"].as_array().unwrap().iter())
        .map(|method| method["name"].as_str().unwrap().to_owned())
        .filter(|name| !name.contains('.'))
        .collect();
    let table = [
        ("plan", json!({"plan": {"tasks": []}}), "not-allowed"),
        ("plan", json!({"file": "/etc/passwd", "check_only": true}), "not-allowed"),
        ("dispatch", json!({"plan_id": plan}), "not-allowed"),
        ("dispatch", json!({"task": "x", "files": ["src/b"], "rules": {"test": "true"}}), "not-allowed"),
        ("dispatch", json!({"task": "x", "files": ["docs/b"]}), "not-allowed"),
        ("dispatch", json!({"task": "x", "files": ["src/../b"]}), "plan-invalid"),
        ("claim-files", json!({"paths": ["b"], "holder": "ann"}), "not-allowed"),
        ("claim-files", json!({"paths": ["../b"]}), "bad-path"),
        ("release-files", json!({"all": true, "holder": "ann"}), "not-allowed"),
        ("release-files", json!({"claim_ids": [foreign]}), "not-allowed"),
        ("judge", json!({"plan_id": plan}), "not-allowed"),
        ("judge", json!({"path": "/"}), "not-allowed"),
        ("control", json!({"action": "stop", "target": "all"}), "not-allowed"),
        ("control", json!({"action": "land", "target": plan}), "not-allowed"),
        ("control", json!({"action": "approve", "target": format!("{plan}/a")}), "not-allowed"),
        ("pipeline", json!({"action": "approve", "run": plan}), "not-allowed"),
        ("pipeline", json!({}), "not-allowed"),
        ("environments", json!({"action": "list"}), "not-allowed"),
        ("environments", json!({"action": "remove", "name": "dev1"}), "not-allowed"),
        ("report", json!({"text": " "}), "invalid-params"),
    ];
    for (method, params, kind) in table {
        let (found, message) = talk.refused(method, params.clone());
        assert_eq!(found, kind, "{method} {params}: {message}");
        left.retain(|name| name != method);
    }
    for method in ["status", "checkpoint"] {
        talk.ok(method, json!({}));
        left.retain(|name| name != method);
    }
    assert!(left.is_empty(), "no test says what a worker gets of {left:?}");
    // And what is a worker's is nobody else's.
    for (method, params) in [("checkpoint", json!({})), ("report", json!({"text": "x"}))] {
        assert_eq!(bench.rpc().refused(method, params).kind, "not-allowed");
    }
    drop(talk);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    assert_eq!(claims["claims"].as_array().unwrap().len(), 1, "{claims:#}");
}

#[test]
fn a_worker_reads_the_log_and_is_told_what_it_cannot_look_at() {
    let bench = Bench::new();
    let lines = [
        "kapell task.state events",
        "kapell conductor.started events --since 0",
        "kapell attempt.started events --kind attempt.",
        "kapell 'its own project only' events --all-projects",
        "kapell 'kapell status' doctor",
        "kapell 'kapell status' init",
        "kapell '\"mode\":\"exclusive\"' claim-files src --mode shared",
        "kapell 'it is what this attempt owns' claim-files src --mode shared",
        "kapell '\"still_held\"' release-files src/x",
        "write src/a.txt a",
    ];
    let plan = bench.start(&Plan::new([task("a", &["src"], &lines)]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}\n{}", bench.story(), printed(&bench, &plan, "a"));
    let printed = printed(&bench, &plan, "a");
    let events = printed.lines().filter(|line| line.contains("\"kind\":\"conductor.started\"")).count();
    assert_eq!(events, 2, "{printed}");
}

#[test]
fn who_a_worker_is_is_told_by_its_shim() {
    let bench = Bench::new();
    let meet = bench.meet_line("b");
    let victim = bench.start(&Plan::new([task("b", &["b"], &[&meet, "write b b"])]));
    let b = bench.meet("b");
    let socket = bench.run_dir(&b.attempt).join("ctl.sock");
    // Another name in its environment makes nobody another worker.
    let other = format!("KAPELL_ATTEMPT={} rpc", b.attempt);
    let lines = [
        bench.door_line("liar", &other),
        format!("kapell 'only processes of attempt' KAPELL_SOCKET={} status", socket.display()),
        // There is no way around: the state is not to be written inside of the wall.
        "kapell '' KAPELL_SOCKET= claim-files z".to_owned(),
        bench.meet_line("asked"),
        "write a a".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let plan = bench.start(&Plan::new([task("a", &["a"], &lines)]));
    let liar = bench.meet("liar");
    let own = liar.attempt.clone();
    let mut talk = liar.talk();
    talk.ok("claim-files", json!({"paths": ["c"]}));
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    let c = claims["claims"].as_array().unwrap().iter().find(|claim| claim["pattern"] == "c").unwrap();
    assert_eq!(c["holder"], own.as_str());
    drop(talk);
    // Nor is anybody from outside one of its processes.
    let mut stream = UnixStream::connect(&socket).unwrap();
    writeln!(stream, r#"{{"op":"relay","door":"rpc"}}"#).unwrap();
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply).unwrap();
    assert!(reply.contains("only processes of attempt"), "{reply}");
    // Both shims live until all has been tried.
    bench.meet("asked").go();
    b.go();
    bench.at_rest(&victim);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}\n{}", bench.story(), printed(&bench, &plan, "a"));
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    assert!(!claims.to_string().contains(r#""z""#), "{claims:#}");
}

#[test]
fn an_agent_speaks_mcp_from_inside() {
    let bench = Bench::new();
    let door = bench.door_line("door", "mcp");
    let plan = bench.start(&Plan::new([task("a", &["src"], &[&door, "write src/a.txt a", "write b.txt b"])]));
    let mut talk = bench.meet("door").talk();
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let info = talk.ok("initialize", hello);
    assert!(info["instructions"].as_str().unwrap().contains("one of several workers"), "{info:#}");
    let tools = talk.ok("tools/list", json!({}));
    let names: Vec<&str> =
        tools["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["dispatch", "claim-files", "release-files", "status", "checkpoint", "report"]);
    let claimed = talk.ok("tools/call", json!({"name": "claim-files", "arguments": {"paths": ["b.txt"]}}));
    assert_eq!(claimed["structuredContent"]["granted"], true, "{claimed:#}");
    let refused =
        talk.ok("tools/call", json!({"name": "control", "arguments": {"action": "stop", "target": "all"}}));
    assert_eq!(
        (&refused["isError"], &refused["structuredContent"]["data"]["kind"]),
        (&json!(true), &json!("not-allowed"))
    );
    let overview = talk.ok("resources/read", json!({"uri": "kapell://overview"}));
    assert!(overview.to_string().contains(&plan), "{overview:#}");
    drop(talk);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "b.txt"), "b");
}

#[test]
fn a_child_does_part_of_the_work_and_lands_before_its_parent() {
    let bench = Bench::new();
    let meet = bench.meet_line("child");
    let (plan, mut talk) = one_door(&bench, &["write src/own.txt own"]);
    talk.ok("status", json!({}));
    let script = format!("# part\n{meet}\nwrite src/part.txt part");
    let told = talk.ok("dispatch", json!({"task": script, "files": ["src/part.txt"], "target": "fake"}));
    let child = bench.meet("child");
    assert_eq!(told["plan_id"], plan.as_str(), "{told:#}");
    let again = talk.refused("dispatch", json!({"task": "x", "files": ["src/part.txt"]}));
    assert_eq!(again, ("conflict".to_owned(), "src/part.txt is lent to task a.1 already".to_owned()));
    assert_eq!(talk.refused("release-files", json!({"all": true})).0, "conflict");
    let asked = talk.ok("claim-files", json!({"paths": ["src/part.txt"]}));
    assert_eq!(asked["conflicts"][0]["task"], format!("{plan}/a.1"), "{asked:#}");
    // The parent is done first, and waits; a conductor that dies meanwhile changes nothing of it.
    drop(talk);
    bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |a| {
        a["reason"].as_str().is_some_and(|reason| reason.contains("children"))
    });
    bench.conductor(&plan).kill();
    bench.dispatch(&plan);
    child.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a.1", "a"]);
    assert_eq!(bench.on_branch(&plan, "src/part.txt"), "part");
    assert_eq!(bench.on_branch(&plan, "src/own.txt"), "own");
}

#[test]
fn a_parent_that_gave_away_all_of_its_work_is_done_with_its_children() {
    let bench = Bench::new();
    let (plan, mut talk) = one_door(&bench, &[]);
    let script = "# part\nwrite src/part.txt part";
    talk.ok("dispatch", json!({"task": script, "files": ["src/part.txt"], "target": "fake"}));
    drop(talk);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "src/part.txt"), "part");
    let parent = bench.task(&plan, "a");
    assert_eq!(parent["attempts"].as_array().unwrap().len(), 1, "{parent:#}");
    assert_eq!(parent["attempts"][0]["gates"][0]["why"], "all of it was done by a.1", "{parent:#}");
}

#[test]
fn who_calls_a_task_off_calls_off_what_it_delegated() {
    let bench = Bench::new();
    let meet = bench.meet_line("child");
    let (plan, mut talk) = one_door(&bench, &[]);
    let script = format!("# part\n{meet}\nwrite src/part.txt part");
    talk.ok("dispatch", json!({"task": script, "files": ["src/part.txt"], "target": "fake"}));
    let _child = bench.meet("child");
    bench.control("cancel", &format!("{plan}/a"));
    talk.closes();
    bench.at_rest(&plan);
    for task in ["a", "a.1"] {
        assert_eq!(bench.task(&plan, task)["state"], "cancelled", "{}", bench.story());
    }
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    assert_eq!(claims["claims"], json!([]), "{claims:#}");
}

#[test]
fn what_is_lent_is_not_the_parents_to_change() {
    let bench = Bench::new();
    let meet = bench.meet_line("child");
    let door = bench.door_line("door", "rpc");
    let lines =
        ["first write src/mine.txt mine", &format!("first {door}"), "first write src/part.txt stolen"];
    let plan = bench.start(&Plan::new([task("a", &["src"], &lines)]));
    let mut talk = bench.meet("door").talk();
    let (kind, message) = talk.refused("dispatch", json!({"task": "x", "files": ["src/mine.txt"]}));
    assert_eq!(kind, "conflict");
    assert!(message.contains("src/mine.txt was changed by task a itself"), "{message}");
    let script = format!("# part\n{meet}\nwrite src/part.txt part");
    talk.ok("dispatch", json!({"task": script, "files": ["src/part.txt"], "target": "fake"}));
    let child = bench.meet("child");
    drop(talk);
    let a = bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |a| {
        a["attempts"][0]["outcome"] == "violation"
    });
    assert_eq!(a["attempts"][0]["outside_claim"], json!(["src/part.txt"]));
    child.go();
    bench.at_rest(&plan);
    assert_eq!(bench.on_branch(&plan, "src/part.txt"), "part");
}

/// What the hook of a worker answers to an edit, or to a command, asked from within its wall.
fn hook_line(event: &Value, answer: &str) -> String {
    let event = event.to_string();
    let script = format!(
        "printf %s {} | \"{}\" hook claude > {answer}",
        shell_words::quote(&event),
        crate::bench::KAPELL
    );
    format!("run sh -c {}", shell_words::quote(&script))
}

#[test]
fn the_hook_of_a_parent_refuses_what_it_lent_for_as_long_as_the_child_works() {
    let bench = Bench::new();
    let ask = |tool: &str, input: Value, answer: &str| {
        let event = json!({"session_id": "s", "hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": input});
        hook_line(&event, answer)
    };
    let edit = |path: &str, answer: &str| ask("Write", json!({"file_path": path}), answer);
    let bash = |command: &str, answer: &str| ask("Bash", json!({"command": command}), answer);
    let lines = [
        "mkdir src/said".to_owned(),
        edit("src/part/x.txt", "src/said/before"),
        bench.door_line("door", "rpc"),
        edit("src/part/x.txt", "src/said/edit"),
        bash("echo x > src/part/y", "src/said/shell"),
        bash("rm -r src", "src/said/all"),
        edit("src/own.txt", "src/said/own"),
        bash("git stash", "src/said/stash"),
        bench.meet_line("asked"),
        edit("src/part/x.txt", "src/said/after"),
        "write src/own.txt own".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let plan = bench.start(&Plan::new([task("a", &["src"], &lines)]));
    let mut talk = bench.meet("door").talk();
    let script = format!("# the part\n{}\nwrite src/part/x.txt part", bench.meet_line("child"));
    talk.ok("dispatch", json!({"task": script, "files": ["src/part/"], "target": "fake"}));
    let child = bench.meet("child");
    drop(talk);
    let parent = bench.meet("asked");
    child.go();
    bench.task_is(&plan, "a.1", "done");
    parent.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let said = |name: &str| bench.on_branch(&plan, &format!("src/said/{name}"));
    for name in ["edit", "shell", "all"] {
        let said = said(name);
        for part in [
            "\"permissionDecision\":\"deny\"",
            "is lent to task a.1 since 2",
            "which is at work on it: # the part",
        ] {
            assert!(said.contains(part), "{name}: {said}");
        }
    }
    for name in ["before", "own", "after"] {
        assert_eq!(said(name), "", "{name}");
    }
    assert!(!said("stash").contains("lent"), "{}", said("stash"));
}

#[test]
fn what_parent_and_child_both_made_is_told_and_neither_is_lost() {
    let bench = Bench::new();
    let lines = [
        format!("first {}", bench.door_line("door", "rpc")),
        "first write src/part.txt parents".to_owned(),
        format!("first {}", bench.meet_line("made")),
        "again expect src/part.txt".to_owned(),
        "again write src/own.txt own".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let plan = bench.start(&Plan::new([task("a", &["src"], &lines)]));
    let mut talk = bench.meet("door").talk();
    let script = "# part\nwrite src/part.txt childs";
    talk.ok("dispatch", json!({"task": script, "files": ["src/part.txt"], "target": "fake"}));
    drop(talk);
    let parent = bench.meet("made");
    bench.task_is(&plan, "a.1", "done");
    parent.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a.1", "a"]);
    assert_eq!(bench.on_branch(&plan, "src/part.txt"), "childs");
    let tried = format!("refs/kapell/tasks/{plan}/a/1:src/part.txt");
    assert_eq!(bench.git(["show", &tried]), "parents");
    assert!(bench.story().contains("conflicts in src/part.txt"), "{}", bench.story());
}

#[test]
fn a_parent_lands_without_what_its_child_failed_to_do() {
    let bench = Bench::new();
    let lines = [
        "kapell run_id dispatch --task '# no\\nexit 1' --files src/part.txt --target fake",
        "write src/own.txt own",
    ];
    let plan = Plan::new([task("a", &["src"], &lines)]).rule("max_attempts", json!(1));
    let plan = bench.start(&plan.with("name", json!("x")));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}\n{}", bench.story(), printed(&bench, &plan, "a"));
    assert_eq!(bench.task(&plan, "a.1")["state"], "cancelled");
    assert_eq!(bench.landed(&plan), ["a"]);
}

#[test]
fn a_task_waits_for_what_a_child_that_failed_had_delegated() {
    let bench = Bench::new();
    let lines = [&bench.door_line("door", "rpc"), "write src/a.txt a"];
    let plan = bench.start(&Plan::new([task("a", &["src"], &lines)]).rule("max_attempts", json!(1)));
    let mut talk = bench.meet("door").talk();
    let script = format!("# child\n{}\nexit 3", bench.door_line("child", "rpc"));
    talk.ok("dispatch", json!({"task": script, "files": ["src/x"], "target": "fake"}));
    let mut child = bench.meet("child").talk();
    let script = format!("# grandchild\n{}\nwrite src/x/y.txt y", bench.meet_line("grandchild"));
    child.ok("dispatch", json!({"task": script, "files": ["src/x/y.txt"], "target": "fake"}));
    let grandchild = bench.meet("grandchild");
    drop(child);
    bench.task_is(&plan, "a.1", "failed");
    drop(talk);
    bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |status| {
        status["reason"].as_str().is_some_and(|why| why.contains("children are at work"))
    });
    grandchild.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.task(&plan, "a.1")["state"], "cancelled");
    assert_eq!(bench.landed(&plan), ["a.1.1", "a"]);
}

#[test]
fn children_of_children_end_somewhere() {
    let bench = Bench::new();
    let (plan, mut talk) = one_door(&bench, &["write src/a.txt a"]);
    let mut talks = Vec::new();
    for (name, folder) in [("child", "src/x"), ("grandchild", "src/x/x")] {
        let script = format!("# {name}\n{}\nwrite {folder}/a.txt a", bench.door_line(name, "rpc"));
        talk.ok("dispatch", json!({"task": script, "files": [folder], "target": "fake"}));
        let next = bench.meet(name).talk();
        talks.push(std::mem::replace(&mut talk, next));
    }
    let (kind, message) = talk.refused("dispatch", json!({"task": "x", "files": ["src/x/x/x"]}));
    assert_eq!(kind, "not-allowed");
    assert!(message.contains("task a.1.1 is itself delegated"), "{message}");
    // What is another's above is not to be had from below, and to wait for it would be for ever.
    let (_, message) = talk.refused("claim-files", json!({"paths": ["src/y"], "wait_s": 60}));
    assert!(message.contains("never end"), "{message}");
    talks.push(talk);
    drop(talks);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a.1.1", "a.1", "a"]);
}

#[test]
fn whatever_is_killed_nothing_stays_behind_and_nobody_waits_for_the_dead() {
    for victim in ["relay", "shim", "worker"] {
        let bench = Bench::new();
        let door = bench.door_line("door", "rpc");
        let meet = bench.meet_line("next");
        let lines = [&format!("first {door}"), "first exit 1", "again write src/a.txt a", &meet];
        let plan = bench.start(&Plan::new([task("a", &["src"], &lines)]));
        let guest = bench.meet("door");
        let (worker, attempt) = (guest.pid, guest.attempt.clone());
        let mut talk = guest.talk();
        talk.ok("status", json!({}));
        let mut person = bench.rpc();
        let held = person.ok("claim-files", json!({"paths": ["docs"]}));
        talk.send("claim-files", json!({"paths": ["docs"], "wait_s": 600}));
        bench.until(json!({"scope": "claims"}), |_| waits(&bench).len() == 1);
        let relay = relays(&bench).pop().expect("a relay");
        match victim {
            "relay" => relay.kill(),
            "shim" => bench.shim(&attempt).kill(),
            _ => rustix::process::kill_process(
                rustix::process::Pid::from_raw(worker).unwrap(),
                rustix::process::Signal::KILL,
            )
            .unwrap(),
        }
        assert!(relay.ends_before(std::time::Instant::now() + crate::bench::DEADLINE), "{victim}: {relay}");
        talk.closes();
        if victim == "shim" {
            // Whoever comes after an interrupted try is told nothing of it, and does the same again.
            drop(bench.meet("door").talk());
        }
        bench.meet("next").go();
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{victim}: {}", bench.story());
        assert!(relays(&bench).is_empty(), "{victim}");
        // Somebody who asks later is not kept waiting by who is dead.
        let mut other = bench.rpc();
        other.send("claim-files", json!({"paths": ["docs"], "wait_s": 60}));
        bench.until(json!({"scope": "claims"}), |_| waits(&bench).last() != Some(&attempt));
        person.ok("release-files", json!({"claim_ids": [held["claims"][0]["claim_id"]]}));
        assert_eq!(other.answer().unwrap()["granted"], true, "{victim}");
        assert!(waits(&bench).is_empty(), "{victim}");
        let left = fs::read_dir(bench.state().join("life")).unwrap().flatten();
        let left: Vec<_> = left
            .map(|entry| entry.file_name())
            .filter(|name| name.as_encoded_bytes().starts_with(b"wait-"))
            .collect();
        assert!(left.is_empty(), "{victim}: {left:?}");
    }
}

#[test]
fn who_holds_what_others_wait_for_is_told() {
    let bench = Bench::new();
    let (plan, mut talk) = one_door(&bench, &[]);
    let mut person = bench.rpc();
    person.send("claim-files", json!({"paths": ["src/a.txt"], "wait_s": 80, "reason": "to try it"}));
    bench.until(json!({"scope": "claims"}), |_| waits(&bench).len() == 1);
    bench.until(json!({"scope": "events", "kind": "attempt.nudged"}), |told| {
        told["events"].as_array().is_some_and(|events| !events.is_empty())
    });
    let answer = talk.ok("status", json!({"scope": "claims"}));
    let text = answer["nudges"][0]["text"].as_str().unwrap_or_default();
    assert!(text.starts_with("I wait for ") && text.contains("(to try it); let go of it"), "{answer:#}");
    talk.ok("release-files", json!({"all": true}));
    assert_eq!(person.answer().unwrap()["granted"], true);
    bench.control("stop", &plan);
    talk.closes();
    bench.at_rest(&plan);
}
