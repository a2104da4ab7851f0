//! Two at once: the same plan, or plans that want the same files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::bench::{Bench, Guest, KAPELL, Plan, Rpc, task};

#[test]
fn the_same_plan_runs_once_however_often_it_is_started() {
    let bench = Bench::new();
    let plan = bench.plan(&Plan::new([task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"])]));
    let mut doors = [bench.rpc(), bench.rpc()];
    for door in &mut doors {
        door.send("dispatch", json!({"plan_id": plan}));
    }
    let answers = doors.each_mut().map(|door| door.answer());
    let a = bench.meet("a");
    let conductor = bench.conductor(&plan);
    let (mut ran, mut refused) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(dispatched) => ran.push(dispatched),
            Err(refusal) => refused.push(refusal),
        }
    }
    assert_eq!((ran.len(), refused.len()), (1, 1), "{ran:#?} {refused:#?}");
    assert_eq!(ran[0]["conductor"]["pid"], conductor.pid);
    assert_eq!(refused[0].kind, "duplicate-plan");
    assert_eq!(refused[0].data["pid"], conductor.pid, "{refused:#?}");
    assert_eq!(refused[0].data["conductor"], ran[0]["conductor"]["id"]);
    a.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done");
    assert_eq!(bench.landed(&plan), ["a"]);
}

/// Starts of one plan at one moment, and how often in an ordinary run of the tests; `KAPELL_RACES` says otherwise.
const STARTS: usize = 50;
const RACES: usize = 4;

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how many")]
fn races() -> usize {
    std::env::var("KAPELL_RACES").map_or(RACES, |text| text.parse().unwrap())
}

#[test]
fn of_fifty_who_start_a_plan_at_one_moment_one_does() {
    let bench = Bench::new();
    let mut doors: Vec<Rpc> = (0..STARTS).map(|_| bench.rpc()).collect();
    for round in 0..races() {
        let name = format!("a{round}");
        let write = format!("write {name}.txt a");
        let file = format!("{name}.txt");
        let plan = bench.plan(&Plan::new([task(&name, &[&file], &[&bench.meet_line(&name), &write])]));
        let answers: Vec<_> = match round % 2 {
            // Half of the rounds by commands, which race for more than the last step.
            0 => commands(&bench, &plan),
            _ => {
                doors.iter_mut().for_each(|door| door.send("dispatch", json!({"plan_id": plan})));
                let answer = |door: &mut Rpc| door.answer().map_err(|refusal| (refusal.kind, refusal.data));
                doors.iter_mut().map(answer).collect()
            }
        };
        let worker = bench.meet(&name);
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, STARTS - 1), "round {round}: {won:#?} {lost:#?}");
        let conductor = won[0].as_ref().unwrap()["conductor"].clone();
        assert_eq!(conductor["pid"], bench.conductor(&plan).pid);
        for (kind, data) in lost.into_iter().map(Result::unwrap_err) {
            assert_eq!(kind, "duplicate-plan", "{data:#}");
            assert_eq!((&data["conductor"], &data["pid"]), (&conductor["id"], &conductor["pid"]));
        }
        worker.go();
        assert_eq!(bench.at_rest(&plan)["state"], "done");
        assert_eq!(bench.landed(&plan), [name]);
        let rows = bench.rpc().ok("status", json!({"scope": "conductors", "kind": "all", "limit": 500}));
        let of_plan = |row: &&Value| row["plan_id"] == *plan;
        assert_eq!(rows["conductors"].as_array().unwrap().iter().filter(of_plan).count(), 1, "{rows:#}");
    }
}

/// What the commands answer: the result, or the kind of the error and its data.
fn commands(bench: &Bench, plan: &str) -> Vec<Result<Value, (String, Value)>> {
    let start = |_| {
        let mut command = bench.command(KAPELL);
        command.args(["dispatch", "--plan-id", plan, "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let started: Vec<_> = (0..STARTS).map(start).collect();
    let answer = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        let said = if output.status.success() { &output.stdout } else { &output.stderr };
        let told: Value = serde_json::from_slice(said).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        match output.status.success() {
            true => Ok(told),
            false => {
                let data = told["data"].clone();
                Err((data["kind"].as_str().unwrap_or_default().to_owned(), data))
            }
        }
    };
    started.into_iter().map(answer).collect()
}

#[test]
fn a_plan_that_is_stored_again_names_the_one_that_is_not_over() {
    let bench = Bench::new();
    let plan = Plan::new([task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"])]);
    let twin_told = || {
        let planned = bench.rpc().ok("plan", plan.params());
        let problems = planned["problems"].as_array().unwrap().clone();
        problems.into_iter().find(|problem| problem["code"] == "same-plan")
    };
    let first = bench.plan(&plan);
    let told = twin_told().expect("the draft is told");
    assert_eq!(told["severity"], "warning", "{told:#}");
    assert!(told["hint"].as_str().unwrap().contains("dispatch --plan-id"), "{told:#}");
    bench.dispatch(&first);
    let a = bench.meet("a");
    let other = Plan::new([task("a", &["a.txt"], &["write a.txt b"])]);
    let planned = bench.rpc().ok("plan", other.params());
    assert!(
        planned["problems"].as_array().unwrap().iter().all(|it| it["code"] != "same-plan"),
        "{planned:#}"
    );
    // Drafts are made by the way: they are told as what they are, whatever runs.
    assert!(twin_told().is_some());
    a.go();
    assert_eq!(bench.at_rest(&first)["state"], "done");
}

#[test]
fn of_two_plans_that_own_the_same_the_second_waits_for_the_claim() {
    let bench = Bench::new();
    let one =
        bench.start(&Plan::new([task("a", &["src/**"], &[&bench.meet_line("one"), "write src/one.txt 1"])]));
    let first = bench.meet("one");
    let two = bench.plan(&Plan::new([task(
        "b",
        &["src/two.txt"],
        &[&bench.meet_line("two"), "write src/two.txt 2"],
    )]));
    let dispatched = bench.dispatch(&two);
    assert_eq!(dispatched["waiting"][0]["reason"], "claim", "{dispatched:#}");
    assert!(dispatched["waiting"][0]["on"].as_str().unwrap().contains("src/two.txt"), "{dispatched:#}");
    assert_eq!(bench.task(&two, "b")["state"], "ready");
    first.go();
    assert_eq!(bench.until(json!({"scope": "plan", "id": one}), |plan| plan["state"] == "done")["done"], 1);
    bench.meet("two").go();
    assert_eq!(bench.at_rest(&two)["state"], "done");
    assert_eq!(bench.landed(&two), ["b"]);
}

#[test]
fn plans_beyond_the_limit_queue_or_are_refused() {
    let bench = Bench::new();
    bench.configure("[project]\nmax_conductors = 1\n");
    let plan = |id: &str| {
        let file = format!("{id}.txt");
        bench.plan(&Plan::new([task(id, &[&file], &[&bench.meet_line(id), &format!("write {file} x")])]))
    };
    let (one, two) = (plan("one"), plan("two"));
    bench.dispatch(&one);
    let first = bench.meet("one");
    let refusal = bench.rpc().refused("dispatch", json!({"plan_id": two, "when_full": "refuse"}));
    assert_eq!(refusal.kind, "busy", "{refusal:?}");
    bench.dispatch(&two);
    let is_queued = |status: &Value| {
        let conductors = status["conductors"].as_array().unwrap();
        conductors.iter().any(|it| it["plan_id"] == two.as_str() && it["state"] == "queued")
    };
    bench.until(json!({"scope": "conductors"}), is_queued);
    assert_eq!(bench.task(&two, "two")["attempts"], json!([]));
    first.go();
    bench.meet("two").go();
    assert_eq!(bench.at_rest(&two)["state"], "done");
    assert_eq!(bench.at_rest(&one)["state"], "done");
}

#[test]
fn work_that_is_asked_for_at_the_moment_a_plan_ends_is_done() {
    let bench = Bench::new();
    // That its worker fails again and again is how this goes.
    bench.configure("[health]\ncrashes = 100\n");
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["exit 1"])]).rule("max_attempts", json!(1)));
    for tries in 1..=6 {
        // Its conductor is about to end, and may still live.
        bench.until(json!({"scope": "plan", "id": plan}), |plan| plan["state"] == "failed");
        assert_eq!(bench.task(&plan, "a")["attempts"].as_array().unwrap().len(), tries);
        bench.control("retry", &plan);
    }
    bench.at_rest(&plan);
}

#[test]
fn many_start_at_once_while_git_tidies_up() {
    let bench = Bench::new();
    bench.configure("[project]\nmax_workers = 12\n");
    let names: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
    let plan = bench.start(&Plan::new(names.iter().map(|name| {
        let file = format!("{name}.txt");
        task(name, &[&file], &[&format!("write {file} {name}")])
    })));
    for _ in 0..3 {
        bench.git(["gc", "-q"]);
        bench.git(["worktree", "prune"]);
    }
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let mut landed = bench.landed(&plan);
    landed.sort();
    let mut expected = names;
    expected.sort();
    assert_eq!(landed, expected);
    assert_eq!(bench.git(["fsck", "--connectivity-only", "--no-dangling"]), "");
}

#[test]
fn what_a_session_claimed_is_waited_for() {
    let bench = Bench::new();
    let mut session = bench.rpc();
    session.ok("claim-files", json!({"paths": ["a.txt"], "holder": "me", "reason": "editing"}));
    let plan = bench.plan(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    let waiting = bench.dispatch(&plan)["waiting"][0].take();
    assert_eq!(waiting["reason"], "claim");
    assert!(waiting["on"].as_str().unwrap().contains("a.txt is held by me"), "{waiting:#}");
    session.ok("release-files", json!({"all": true, "holder": "me"}));
    assert_eq!(bench.at_rest(&plan)["state"], "done");

    let plan = bench.start(&Plan::new([task("b", &["b.txt"], &[&bench.meet_line("b"), "write b.txt b"])]));
    let b = bench.meet("b");
    let asked = session.ok("claim-files", json!({"paths": ["b*"], "holder": "me"}));
    assert_eq!(asked["granted"], false);
    assert_eq!(asked["conflicts"][0]["witness"], "b.txt");
    assert_eq!(asked["conflicts"][0]["holder_kind"], "attempt");
    b.go();
    bench.at_rest(&plan);
    assert_eq!(session.ok("claim-files", json!({"paths": ["b*"], "holder": "me"}))["granted"], true);
}

/// Tasks that meet the test one after the other, each with a file of its own.
fn several(bench: &Bench, name: &str, count: usize) -> String {
    let tasks: Vec<_> = (0..count)
        .map(|at| {
            let file = format!("{name}{at}.txt");
            task(&format!("{name}{at}"), &[&file], &[&bench.meet_line(name), &format!("write {file} x")])
        })
        .collect();
    bench.start(&Plan::new(tasks).with("name", json!(name)))
}

/// Waits until so many tasks of a plan are at work; what has ended is still being judged and landed.
#[track_caller]
fn works_at(bench: &Bench, plan: &str, count: u64) {
    bench.until(json!({"scope": "plan", "id": plan}), |plan| plan["running"] == count);
}

#[test]
fn plans_side_by_side_share_the_seats_alike() {
    for config in ["[project]\nmax_workers = 4\n", "[machine]\nmax_workers = 4\n"] {
        let bench = Bench::new();
        bench.configure(config);
        let greedy = several(&bench, "greedy", 12);
        let mut at_work: Vec<_> = (0..4).map(|_| bench.meet("greedy")).collect();
        let late = several(&bench, "late", 3);
        let waits = bench.until(json!({"scope": "task", "id": format!("{late}/late0")}), |task| {
            task["reason"].as_str().is_some_and(|why| why.starts_with("slot: "))
        });
        assert_eq!(waits["state"], "ready");
        // Each seat that becomes free goes to whoever has fewer.
        let mut late_workers = Vec::new();
        for _ in 0..2 {
            at_work.remove(0).go();
            late_workers.push(bench.meet("late"));
        }
        works_at(&bench, &greedy, 2);
        works_at(&bench, &late, 2);
        // As many as the other: whoever waits for longer is next, and it is not whoever just ended one.
        late_workers.remove(0).go();
        late_workers.push(bench.meet("late"));
        // Nobody else waits any more, so all seats are the first one's again.
        late_workers.drain(..).for_each(Guest::go);
        bench.until(json!({"scope": "plan", "id": late}), |plan| plan["state"] == "done");
        at_work.extend([bench.meet("greedy"), bench.meet("greedy")]);
        works_at(&bench, &greedy, 4);
        at_work.drain(..).for_each(Guest::go);
        for _ in 0..6 {
            bench.meet("greedy").go();
        }
        assert_eq!(bench.at_rest(&greedy)["state"], "done", "{}", bench.story());
        assert_eq!(bench.landed(&greedy).len(), 12);
    }
}

#[test]
fn a_plan_that_hangs_is_left_no_seat() {
    let bench = Bench::new();
    bench.configure("[project]\nmax_workers = 1\n");
    let greedy = several(&bench, "greedy", 2);
    let first = bench.meet("greedy");
    let late = several(&bench, "late", 1);
    bench.until(json!({"scope": "task", "id": format!("{late}/late0")}), |task| {
        task["reason"].as_str().is_some_and(|why| why.starts_with("slot: "))
    });
    bench.settled();
    // Killed while it waits: the seat is the other's at once.
    bench.conductor(&late).kill();
    first.go();
    bench.meet("greedy").go();
    assert_eq!(bench.at_rest(&greedy)["state"], "done", "{}", bench.story());
    bench.dispatch(&late);
    bench.meet("late").go();
    assert_eq!(bench.at_rest(&late)["state"], "done");
}

#[test]
fn how_a_plan_is_run_is_said_when_it_starts() {
    let bench = Bench::new();
    // Batches of two: the third begins when both before it have ended.
    let tasks: Vec<_> = (0..3)
        .map(|at| {
            let file = format!("{at}.txt");
            task(&at.to_string(), &[&file], &[&bench.meet_line("b"), &format!("write {file} x")])
        })
        .collect();
    let plan = bench.plan(&Plan::new(tasks));
    bench.rpc().ok("dispatch", json!({"plan_id": plan, "batch_size": 2}));
    let (one, two) = (bench.meet("b"), bench.meet("b"));
    one.go();
    bench.until(json!({"scope": "plan", "id": plan}), |plan| plan["done"] == 1);
    bench.settled();
    works_at(&bench, &plan, 1);
    two.go();
    bench.meet("b").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done");

    // Two tries, and a time for each of them, whatever the plan says.
    let failing = Plan::new([task("f", &["f.txt"], &["exit 1"])]).rule("max_attempts", json!(5));
    let failing = bench.plan(&failing);
    bench.rpc().ok("dispatch", json!({"plan_id": failing, "rules": {"max_attempts": 2}}));
    assert_eq!(bench.at_rest(&failing)["state"], "failed");
    assert_eq!(bench.task(&failing, "f")["attempts"].as_array().unwrap().len(), 2);
    let slow = Plan::new([task("s", &["s.txt"], &["hang"]).with("timeout_s", json!(500))]);
    let slow = bench.plan(&slow);
    bench.rpc().ok("dispatch", json!({"plan_id": slow, "rules": {"max_attempts": 1, "timeout_s": 1}}));
    assert_eq!(bench.at_rest(&slow)["state"], "failed");
    assert_eq!(bench.task(&slow, "s")["attempts"][0]["outcome"], "timed-out");

    // The time of the whole run.
    let long = bench.plan(&Plan::new([task("l", &["l.txt"], &[&bench.meet_line("l"), "write l.txt l"])]));
    bench.rpc().ok("dispatch", json!({"plan_id": long, "run_timeout_s": 1}));
    let stopped = bench.at_rest(&long);
    assert_eq!(stopped["state"], "stopped", "{stopped:#}");
    assert!(stopped["reason"].as_str().unwrap().contains("its time is up"), "{stopped:#}");
    bench.meet("l").gone();
    // It belongs to that run.
    bench.control("resume", &long);
    bench.meet("l").go();
    assert_eq!(bench.at_rest(&long)["state"], "done");

    // Whoever runs one in the foreground is told when its workers have ended, not before.
    let file = Plan::new([task("m", &["m.txt"], &[&bench.meet_line("m"), "write m.txt m"])]);
    bench.write("long.json", &file.params()["plan"].to_string());
    let mut run = bench.command(KAPELL);
    let run = run.args(["run", "long.json", "--run-timeout-s", "2", "--json"]);
    let run = run.stdout(Stdio::piped()).spawn().unwrap();
    let m = bench.meet("m");
    let told = run.wait_with_output().unwrap();
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["state"], &told["running"]), (&json!("stopped"), &json!(0)), "{told:#}");
    assert_eq!(told["tasks"][0]["state"], "ready", "{told:#}");
    m.gone();

    for (wrong, says) in [
        (json!({"plan_id": long, "batch_size": 0}), "batch_size"),
        (json!({"plan_id": long, "run_timeout_s": 0}), "run_timeout_s"),
        (json!({"plan_id": long, "rules": {"max_attempts": 0}}), "max_attempts"),
        (json!({"plan_id": long, "rules": {"max_attempts": 21}}), "from 1 to 20"),
        (json!({"plan_id": long, "rules": {"tdd": false}}), "tdd"),
        (json!({"task": "x", "run_timeout_s": 5}), "belong to a plan"),
    ] {
        let refusal = bench.rpc().refused("dispatch", wrong.clone());
        assert!(refusal.message.contains(says), "{wrong}: {refusal:#?}");
    }
}

#[test]
fn the_place_in_the_queue_is_that_of_the_machine() {
    let bench = Bench::new();
    bench.configure("[machine]\nmax_conductors = 1\n");
    let first = several(&bench, "first", 1);
    let worker = bench.meet("first");
    let other = another_repository(&bench);
    let second = several(&bench, "second", 1);
    let queued = |plan: &str| {
        bench.until(json!({"scope": "plan", "id": plan}), |plan| plan["position"].is_u64())["position"].take()
    };
    assert_eq!(queued(&second), 1);
    let file = bench.root.join("third.json");
    let third = Plan::new([task("t", &["t.txt"], &[&bench.meet_line("third"), "write t.txt t"])]);
    std::fs::write(&file, third.with("name", json!("third")).params()["plan"].to_string()).unwrap();
    let run = |more: &[&str]| {
        let mut command = bench.command(KAPELL);
        command.current_dir(&other).args(["run", file.to_str().unwrap(), "--detach"]).args(more);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (went, told) = run(&["--when-full", "refuse"]);
    assert!(!went && told.contains("1 of 1 plans on this machine run, and 1 waits already"), "{told}");
    let (went, told) = run(&[]);
    assert!(went, "{told}");
    let place = |name: &str| {
        let is_it =
            |row: &Value| row["plan_id"].as_str().unwrap().starts_with(name) && row["position"].is_u64();
        let list = bench.until(json!({"scope": "conductors"}), |status| {
            status["conductors"].as_array().unwrap().iter().any(is_it)
        });
        list["conductors"].as_array().unwrap().iter().find(|row| is_it(row)).unwrap()["position"].clone()
    };
    // In the other project it is the first, on the machine the second.
    assert_eq!(place("third"), 2);
    worker.go();
    bench.meet("second").go();
    bench.meet("third").go();
    bench.quiet();
    assert_eq!(bench.at_rest(&first)["state"], "done");
}

/// A repository beside the bench's own.
fn another_repository(bench: &Bench) -> PathBuf {
    let other = bench.root.join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("README"), "x\n").unwrap();
    for words in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "first"]] {
        let identity = ["-c", "user.name=P", "-c", "user.email=p@example.com"];
        let done = bench.command("/usr/bin/git").current_dir(&other).args(identity).args(words).output();
        assert!(done.unwrap().status.success());
    }
    other
}

#[test]
fn an_agent_of_one_project_does_not_decide_for_another() {
    let bench = Bench::new();
    let plan = bench.plan(&Plan::new([task("t", &["t.txt"], &["write t.txt t"])]));
    let other = another_repository(&bench);
    let call = |folder: &Path, method: &str, params: Value| {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut command = bench.command(KAPELL);
        let mut child = command
            .arg("rpc")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{request}").unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let ask =
        |action: &str, target: &str| call(&other, "control", json!({"action": action, "target": target}));
    for (action, target) in
        [("cancel", format!("{plan}/t")), ("land", plan.clone()), ("approve", plan.clone())]
    {
        let answer = ask(action, &target);
        assert!(answer.contains("belongs to another project"), "{action}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["error"]["data"]["project"], bench.project.to_str().unwrap());
    }
    assert_eq!(bench.task(&plan, "t")["state"], "waiting");
    // A person who stands there may, and whoever watches over the machine may stop it.
    assert!(!ask("pause", &plan).contains("belongs to another project"));
    let words = ["control", "cancel", &format!("{plan}/t")];
    let output = bench.command(KAPELL).args(words).current_dir(&other).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bench.task(&plan, "t")["state"], "cancelled");
    // A script that stands in no project may name any plan.
    let answer = call(&bench.root.join("home"), "control", json!({"action": "land", "target": plan}));
    assert!(answer.contains("landed nothing") && !answer.contains("another project"), "{answer}");
    // What was tried in one project is not judged, nor landed, in another.
    let plan = bench.start(&Plan::new([task("u", &["u.txt"], &["write u.txt u"])]));
    bench.at_rest(&plan);
    let attempt = bench.task(&plan, "u")["attempts"][0]["attempt"].clone();
    let answer = call(&other, "judge", json!({"attempt": attempt}));
    assert!(answer.contains("belongs to another project") && answer.contains("not-allowed"), "{answer}");
}
