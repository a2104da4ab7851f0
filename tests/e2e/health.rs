//! Health: who shows no life is nudged and then stopped, who only crashes gets nothing, and nobody starts
//! where memory is short.

use std::fs;

use serde_json::{Value, json};

use crate::bench::{Bench, KAPELL, Plan, task};

/// Looks every second, and takes a second of silence for stuck.
fn quick() -> Bench {
    let bench = Bench::new();
    bench.configure("[health]\nlook_s = 1\n");
    bench
}

fn outcomes(task: &Value) -> Vec<&str> {
    let attempts = task["attempts"].as_array().unwrap().iter();
    attempts.map(|attempt| attempt["outcome"].as_str().unwrap_or("-")).collect()
}

fn told(bench: &Bench, kind: &str) -> Vec<String> {
    bench.events(None).into_iter().filter(|event| event.0 == kind).map(|event| event.1).collect()
}

/// What `kapell health --json` says, and how it ends.
fn health(bench: &Bench) -> (Value, i32) {
    let output = bench.command(KAPELL).args(["health", "--json"]).output().unwrap();
    let said = serde_json::from_slice(&output.stdout);
    (said.unwrap_or_else(|error| panic!("{error}: {output:?}")), output.status.code().unwrap())
}

fn worker<'v>(health: &'v Value, name: &str) -> &'v Value {
    let found = health["health"].as_array().unwrap().iter().find(|worker| worker["worker"] == name);
    found.unwrap_or_else(|| panic!("{health:#}"))
}

#[test]
fn who_hangs_is_nudged_once_then_stopped_and_the_next_goes_on_in_its_folder() {
    let bench = quick();
    let lines = [
        "first write a.txt half",
        "first hang",
        "again expect had to stop: no output and no work",
        "again append a.txt whole",
    ];
    let plan = Plan::new([task("a", &["a.txt"], &lines)]).rule("stuck_after_s", json!(1));
    let plan = bench.start(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let a = bench.task(&plan, "a");
    assert_eq!(outcomes(&a), ["stuck", "submitted"], "{}", bench.story());
    let why = a["attempts"][0]["reason"].as_str().unwrap();
    assert!(why.contains("after it was nudged"), "{why}");
    let nudges = told(&bench, "attempt.nudged");
    assert_eq!(nudges.len(), 1, "{}", bench.story());
    assert!(nudges[0].contains("the conductor nudges fake: You have shown no sign of life"), "{nudges:?}");
    assert_eq!(told(&bench, "attempt.told"), [""; 0], "it asked nothing");
    assert_eq!(bench.on_branch(&plan, "a.txt"), "half\nwhole");
    // What it had when it was stopped is kept.
    let kept = a["attempts"][0]["ref"].as_str().unwrap();
    assert_eq!(bench.git(["show", &format!("{kept}:a.txt")]), "half");
}

#[test]
fn who_goes_on_when_nudged_is_not_stopped() {
    let bench = quick();
    let lines = ["when-nudged 'no sign of life'", "write a.txt a"];
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &lines)]).rule("stuck_after_s", json!(2)));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(outcomes(&bench.task(&plan, "a")), ["submitted"]);
    assert_eq!(told(&bench, "attempt.nudged").len(), 1);
}

#[test]
fn who_works_in_silence_lives_also_by_processes_that_left_it() {
    let bench = quick();
    let burn = |line: &str| format!("{line} {} here", bench.socket());
    for (name, line) in [("a", "burn"), ("b", "burn-apart")] {
        let file = format!("{name}.txt");
        let lines = [burn(line), format!("write {file} {name}")];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let plan = bench.start(&Plan::new([task(name, &[&file], &lines)]).rule("stuck_after_s", json!(1)));
        let guest = bench.meet("here");
        // Several looks long.
        let seen = bench.until(json!({"scope": "health"}), |status| {
            worker(status, "fake")["cpu_ms"].as_u64().is_some_and(|cpu| cpu > 4_000)
        });
        let seen = worker(&seen, "fake");
        assert_eq!((&seen["verdict"], &seen["state"]), (&json!("ok"), &json!("busy")), "{seen:#}");
        assert_eq!(told(&bench, "attempt.nudged"), [""; 0]);
        guest.go();
        if line == "burn-apart" {
            bench.meet("here-parent").go();
        }
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
        assert_eq!(outcomes(&bench.task(&plan, name)), ["submitted"]);
    }
}

#[test]
fn a_person_nudges_and_the_worker_hears_it_with_what_it_asks_next() {
    let bench = Bench::new();
    let here = bench.meet_line("here");
    let lines = [
        here.as_str(),
        "kapell 'the tests are in tests/api' status",
        "kapell overview status",
        "write a.txt a",
    ];
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &lines)]));
    let guest = bench.meet("here");
    let mut rpc = bench.rpc();
    let done = rpc.ok(
        "control",
        json!({"action": "nudge", "target": format!("{plan}/a"), "message": "the tests are in tests/api"}),
    );
    assert_eq!(done["state"], "nudged");
    let message = done["message"].as_str().unwrap();
    assert!(message.contains("fake (attempt a-") && message.contains("KAPELL_NUDGES"), "{message}");
    guest.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(told(&bench, "attempt.told").len(), 1);
    assert_eq!(told(&bench, "attempt.nudged").len(), 1);
    // Nobody is there any more who could be told.
    let error = rpc.refused("control", json!({"action": "nudge", "target": plan}));
    assert_eq!(error.kind, "conflict", "{error:?}");
}

#[test]
fn who_is_gone_with_all_around_it_is_told_with_what_to_do() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &[&bench.meet_line("in")])]));
    let guest = bench.meet("in");
    let attempt = bench.task(&plan, "a")["attempts"][0]["attempt"].as_str().unwrap().to_owned();
    let shim = bench.shim(&attempt);
    bench.conductor(&plan).kill();
    shim.kill();
    guest.gone();
    let (sick, code) = health(&bench);
    let worker = worker(&sick, "fake");
    assert_eq!((&worker["verdict"], code), (&json!("gone"), 1), "{sick:#}");
    let next = format!("kapell dispatch --plan-id {plan} goes on");
    assert!(worker["reason"].as_str().unwrap().ends_with(&next), "{worker:#}");
}

#[test]
fn claude_code_hears_a_nudge_before_its_next_tool_and_only_once() {
    let bench = Bench::new();
    let doors = ["first-use", "second-use"].map(|name| bench.door_line(name, "hook claude"));
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &[&doors[0], &doors[1], "write a.txt a"])]));
    let first = bench.meet("first-use");
    bench
        .rpc()
        .ok("control", json!({"action": "nudge", "target": "fake", "message": "look at \"tests/api\""}));
    let event = json!({"session_id": "s", "hook_event_name": "PreToolUse", "cwd": "/", "tool_name": "Bash",
        "tool_input": {"command": "ls"}});
    let answer: Value = serde_json::from_str(&first.ask(&event.to_string())).unwrap();
    let told = answer["hookSpecificOutput"]["additionalContext"].as_str().unwrap();
    assert!(told.starts_with("kapell: ") && told.ends_with("says: look at \"tests/api\""), "{told}");
    assert_eq!(answer["hookSpecificOutput"]["permissionDecision"], json!(null), "it decides nothing");
    assert_eq!(bench.meet("second-use").ask(&event.to_string()), "");
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(told_kinds(&bench), ["attempt.nudged", "attempt.told"]);
}

fn told_kinds(bench: &Bench) -> Vec<String> {
    let kinds = bench.events(None).into_iter().map(|event| event.0);
    kinds.filter(|kind| kind == "attempt.nudged" || kind == "attempt.told").collect()
}

#[test]
fn the_next_conductor_knows_who_was_nudged() {
    let bench = quick();
    let lines = ["first write a.txt half", "first hang", "again append a.txt whole"];
    let plan = Plan::new([task("a", &["a.txt"], &lines)]).rule("stuck_after_s", json!(2));
    let plan = bench.start(&plan);
    bench.until(json!({"scope": "events", "kind": "attempt.nudged"}), |page| {
        !page["events"].as_array().unwrap().is_empty()
    });
    // That it was told, and that this is known, are two records.
    bench.until(json!({"scope": "health"}), |health| health["health"].to_string().contains("; nudged "));
    bench.conductor(&plan).kill();
    bench.until(json!({"scope": "plan", "id": plan}), |status| status["conductor"].is_null());
    let (sick, code) = health(&bench);
    assert_eq!(code, 1);
    assert_eq!(worker(&sick, "fake")["verdict"], "stuck", "{sick:#}");
    let conductors = sick["checks"].as_array().unwrap().iter().find(|check| check["name"] == "conductors");
    assert_eq!(conductors.unwrap()["outcome"], "fail", "{sick:#}");
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(outcomes(&bench.task(&plan, "a")), ["stuck", "submitted"]);
    assert_eq!(told(&bench, "attempt.nudged").len(), 1, "{}", bench.story());
}

/// A worker that ends at once, and one that works, in one group.
fn with_a_crasher(more: &str) -> Bench {
    let bench = Bench::new();
    bench.configure(&format!(
        "[providers.bad]\nkind = \"command\"\ncommand = [\"/bin/false\"]\n\
         [workers.bad1]\nprovider = \"bad\"\ngroups = [\"pool\"]\n\
         [workers.good1]\nprovider = \"fake\"\ngroups = [\"pool\"]\n\
         [groups.pool]\nstrategy = \"round-robin\"\nmembers = [\"bad1\", \"good1\"]\n{more}"
    ));
    bench
}

#[test]
fn who_only_crashes_gets_nothing_the_others_go_on_and_a_person_lets_it_go_on() {
    let bench = with_a_crasher("");
    let tasks = ["a", "b", "c", "d", "e"].map(|name| {
        task(name, &[&format!("{name}.txt")], &[&format!("write {name}.txt {name}")])
            .with("agent", json!("pool"))
    });
    let plan = bench.start(&Plan::new(tasks).rule("max_attempts", json!(9)));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let quarantined = told(&bench, "worker.quarantined");
    assert_eq!(quarantined.len(), 1, "{}", bench.story());
    assert!(
        quarantined[0].contains("bad1") && quarantined[0].contains("3 attempts in a row"),
        "{quarantined:?}"
    );

    let mut rpc = bench.rpc();
    let workers = rpc.ok("status", json!({"scope": "workers"}));
    let bad =
        workers["workers"].as_array().unwrap().iter().find(|it| it["worker"] == "bad1").unwrap().clone();
    assert_eq!(bad["state"], "unhealthy");
    assert!(bad["reason"].as_str().unwrap().contains("exit status 1"), "{bad:#}");
    let overview = rpc.ok("status", json!({}));
    assert_eq!(overview["workers"]["unhealthy"], 1);
    let warning = overview["warnings"][0].as_str().unwrap();
    assert!(warning.contains("control resume bad1"), "{warning}");
    let (sick, code) = health(&bench);
    assert_eq!((code, &sick["healthy"]), (1, &json!(false)));
    assert_eq!(worker(&sick, "bad1")["verdict"], "quarantined");
    assert_eq!(worker(&sick, "good1")["verdict"], "ok");

    // Who is asked for by name is waited for, with the reason.
    let sent = rpc.ok("dispatch", json!({"task": "x", "files": ["x.txt"], "target": "bad1"}));
    let inbox = sent["plan_id"].as_str().unwrap();
    let queue = bench.until(json!({"scope": "queue"}), |queue| queue["waiting"][0]["reason"] == "unhealthy");
    assert!(queue["waiting"][0]["on"].as_str().unwrap().starts_with("bad1 until "), "{queue:#}");
    bench.control("cancel", &format!("{inbox}/{}", sent["waiting"][0]["task"].as_str().unwrap()));

    let done = bench.control("resume", "bad1");
    assert_eq!(done["state"], "idle", "{done:#}");
    assert_eq!(told(&bench, "worker.released").len(), 1);
    let (well, code) = health(&bench);
    assert_eq!((code, &well["healthy"]), (0, &json!(true)), "{well:#}");
}

#[test]
fn a_quarantine_ends_by_itself_and_the_next_one_is_longer() {
    let bench = with_a_crasher("[health]\nquarantine_s = 1\n");
    let one = task("a", &["a.txt"], &["write a.txt a"]).with("agent", json!("bad1"));
    let plan = bench.start(&Plan::new([one]).rule("max_attempts", json!(4)));
    let status = bench.at_rest(&plan);
    assert_eq!(status["state"], "failed", "{}", bench.story());
    assert_eq!(outcomes(&bench.task(&plan, "a")), ["failed"; 4]);
    assert_eq!(told(&bench, "worker.quarantined").len(), 2, "{}", bench.story());
    assert_eq!(told(&bench, "worker.released"), ["worker bad1 may get tasks again: its time is over"]);
    let (sick, _) = health(&bench);
    let bad = worker(&sick, "bad1");
    let time = |key: &str| kapell::base::clock::Time::parse(bad[key].as_str().unwrap()).unwrap();
    assert_eq!(time("until").millis_since(time("since")), 2_000, "{bad:#}");
}

#[test]
fn no_worker_starts_while_memory_is_short() {
    let bench = Bench::new();
    let memory = bench.root.join("memory");
    fs::create_dir_all(memory.join("proc/pressure")).unwrap();
    let pressure = |percent: &str| {
        let text = format!("some avg10={percent} avg60=0.00 avg300=0.00 total=0\n");
        fs::write(memory.join("proc/pressure/memory"), text).unwrap();
    };
    pressure("80.00");
    let plan = bench.plan(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    let kapell = |args: &[&str]| {
        bench.command(KAPELL).args(args).env("KAPELL_FAILPOINT_MEMORY", &memory).output().unwrap()
    };
    assert!(kapell(&["dispatch", "--plan-id", &plan]).status.success());
    let queue = bench.until(json!({"scope": "queue"}), |queue| queue["waiting"][0]["reason"] == "memory");
    let on = queue["waiting"][0]["on"].as_str().unwrap();
    assert!(on.contains("80 %") && on.contains("25 %"), "{on}");
    let looked = kapell(&["health"]);
    assert_eq!(looked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&looked.stdout).contains("fail  memory"), "{looked:?}");
    assert_eq!(told(&bench, "memory.short").len(), 1);
    pressure("1.00");
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(told(&bench, "memory.enough").len(), 1);
    assert_eq!(outcomes(&bench.task(&plan, "a")), ["submitted"]);
    // Whoever has work begin all the same made no memory.
    pressure("80.00");
    let plan = bench.plan(&Plan::new([task("b", &["b.txt"], &["write b.txt b"])]));
    assert!(kapell(&["dispatch", "--plan-id", &plan]).status.success());
    bench.until(json!({"scope": "queue"}), |queue| queue["waiting"][0]["reason"] == "memory");
    assert!(kapell(&["control", "launch", &plan]).status.success());
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!((told(&bench, "memory.enough").len(), told(&bench, "memory.passed").len()), (1, 1));
}
