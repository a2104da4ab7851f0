//! Conductors whose files were tampered with, who died early, or whose plan was stopped: what the record says decides,
//! and it says all of it.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bench::{Bench, Guest, KAPELL, Plan, task};

/// A conductor looks after its files at each heartbeat, every 10 s.
const A_HEARTBEAT: Duration = Duration::from_secs(25);

/// What a command prints, whatever it ends with.
fn told(bench: &Bench, words: &[&str]) -> String {
    let output = bench.command(KAPELL).args(words).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[track_caller]
fn listed(bench: &Bench, plan: &str) -> Value {
    let list: Value = serde_json::from_str(&told(bench, &["list", "--json"])).unwrap();
    let found = list["conductors"].as_array().unwrap().iter().find(|it| it["plan_id"] == plan).cloned();
    found.unwrap_or_else(|| panic!("{plan} is not in {list:#}"))
}

fn kinds(bench: &Bench, plan: &str) -> Vec<String> {
    bench.events(Some(plan)).into_iter().map(|(kind, _)| kind).collect()
}

fn count(kinds: &[String], kind: &str) -> usize {
    kinds.iter().filter(|it| *it == kind).count()
}

/// A plan whose one task waits for the test.
fn waiting(bench: &Bench) -> (String, Guest) {
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"])]));
    (plan, bench.meet("a"))
}

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "no event tells that somebody listens at a socket")]
fn soon(what: impl Fn() -> bool) {
    let deadline = Instant::now() + A_HEARTBEAT;
    while !what() {
        assert!(Instant::now() < deadline, "not so in time");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_conductor_that_dies_in_its_first_pass_is_known_to_have_begun() {
    let bench = Bench::new();
    let plan = bench.plan(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    let words = ["dispatch", "--plan-id", &plan];
    bench.command(KAPELL).args(words).env("KAPELL_FAILPOINT", "attempt.begun:kill").output().unwrap();
    bench.quiet();
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let kinds = kinds(&bench, &plan);
    let first = |kind: &str| kinds.iter().position(|it| it == kind).unwrap();
    assert!(first("conductor.started") < first("attempt.started"), "{}", bench.story());
    assert_eq!(count(&kinds, "conductor.started"), 2, "{}", bench.story());
    assert_eq!(count(&kinds, "conductor.crashed"), 1, "{}", bench.story());
    let history: Value = serde_json::from_str(&told(&bench, &["history", "--json"])).unwrap();
    assert_eq!(history["runs"][0]["conductors"], 2);
}

#[test]
fn what_the_first_pass_found_is_told_where_nothing_begins() {
    let bench = Bench::new();
    let mut rpc = bench.rpc();
    rpc.ok("claim-files", json!({"paths": ["a.txt"], "holder": "someone", "ttl_s": 600}));
    let plan = bench.plan(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a"]),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
    ]));
    let answer = bench.dispatch(&plan);
    assert_eq!(answer["started"], json!([]), "{answer:#}");
    assert_eq!(answer["waiting"][0]["reason"], "claim", "{answer:#}");
    assert_eq!(answer["waiting"][1]["reason"], "dependency", "{answer:#}");
    rpc.ok("release-files", json!({"paths": ["a.txt"], "holder": "someone"}));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

/// Without its lock a conductor is neither told dead nor left alone with the plan: whoever comes after it has it.
#[test]
fn of_two_conductors_the_newer_has_the_plan_and_the_older_leaves() {
    let bench = Bench::new();
    let (plan, worker) = waiting(&bench);
    bench.settled();
    let older = bench.conductor(&plan);
    older.signal(Signal::STOP);
    fs::remove_file(bench.state().join(format!("life/plan-{plan}"))).unwrap();
    let row = listed(&bench, &plan);
    assert_eq!((&row["state"], &row["fresh"]), (&json!("running"), &json!(false)), "{row:#}");
    let note = row["note"].as_str().unwrap_or_default();
    assert!(
        note.starts_with("the lock file of its conductor (process ") && !note.contains("is gone"),
        "{note}"
    );
    let status = bench.rpc().ok("status", json!({"scope": "plan", "id": plan}));
    assert_eq!(status["reason"], note);
    assert_eq!(status["state"], "running");

    bench.control("resume", &plan);
    let newer = listed(&bench, &plan);
    assert_eq!((&newer["state"], &newer["fresh"]), (&json!("running"), &json!(true)), "{newer:#}");
    assert_ne!(newer["id"], row["id"]);
    bench.settled();
    // The older sees the end of the work first, and has no say in it.
    let pid = i32::try_from(newer["pid"].as_i64().unwrap()).unwrap();
    let newer = bench.processes().into_iter().find(|process| process.pid == pid).unwrap();
    newer.signal(Signal::STOP);
    worker.go();
    older.signal(Signal::CONT);
    assert!(older.ends_before(Instant::now() + Duration::from_secs(20)), "{}", bench.story());
    assert!(bench.state().join(format!("life/plan-{plan}")).exists(), "it took the other's lock with it");
    assert_eq!(bench.task(&plan, "a")["state"], "running");
    newer.signal(Signal::CONT);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a"]);
    let kinds = kinds(&bench, &plan);
    for kind in ["attempt.started", "attempt.finished", "attempt.judged", "claim.granted", "claim.released"] {
        assert_eq!(count(&kinds, kind), 1, "{kind}: {}", bench.story());
    }
    assert_eq!((count(&kinds, "conductor.superseded"), count(&kinds, "conductor.crashed")), (1, 0));
}

#[test]
fn a_conductor_makes_its_lock_and_its_socket_again() {
    let bench = Bench::new();
    let (plan, worker) = waiting(&bench);
    bench.settled();
    let (lock, socket) =
        (bench.state().join(format!("life/plan-{plan}")), bench.state().join(format!("sock/{plan}.sock")));
    let is_served = || UnixStream::connect(&socket).is_ok();
    assert!(is_served());
    fs::remove_file(&lock).unwrap();
    fs::remove_file(&socket).unwrap();
    soon(|| lock.exists() && is_served());
    let row = listed(&bench, &plan);
    assert_eq!((&row["fresh"], row.get("note")), (&json!(true), None), "{row:#}");
    let mode = fs::symlink_metadata(&socket).unwrap();
    assert!(mode.file_type().is_socket());
    let refused = told(&bench, &["dispatch", "--plan-id", &plan]);
    assert!(refused.contains("runs already"), "{refused}");

    // What is no file of its own is left where it is, and said.
    fs::remove_file(&socket).unwrap();
    fs::create_dir(&socket).unwrap();
    let row = listed(&bench, &plan);
    let note = row["note"].as_str().unwrap_or_default();
    assert!(note.starts_with("a folder lies in the place of its socket"), "{row:#}");
    assert_eq!((&row["fresh"], row.get("socket")), (&json!(true), None), "{row:#}");
    fs::remove_dir(&socket).unwrap();
    soon(is_served);
    worker.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert!(!Path::new(&socket).exists());
}

#[test]
fn a_stopped_plan_keeps_no_files_that_others_want_and_claims_them_again() {
    let bench = Bench::new();
    let lint = bench.gate(&[&bench.meet_line("lint")]);
    let first = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]).rule("lint", lint));
    let judge = bench.meet("lint");
    bench.control("stop", &first);
    judge.gone();
    bench.quiet();
    let claims = |bench: &Bench| bench.rpc().ok("status", json!({"scope": "claims"}))["claims"].clone();
    assert_eq!(claims(&bench), json!([]), "{}", bench.story());

    let second = bench.start(&Plan::new([task("b", &["a.txt"], &[&bench.meet_line("b"), "write a.txt b"])]));
    let worker = bench.meet("b");
    bench.control("resume", &first);
    let on = format!("a.txt is held by {second}/b since ");
    bench.until(json!({"scope": "task", "id": format!("{first}/a")}), |task| {
        task["reason"].as_str().is_some_and(|reason| reason.starts_with(&format!("claim: {on}")))
    });
    // One that is held up says what lets it go on.
    bench.control("pause", &second);
    let halted = format!("plan {second} is paused: kapell resume {second} lets it go on");
    bench.until(json!({"scope": "task", "id": format!("{first}/a")}), |task| {
        task["reason"].as_str().is_some_and(|reason| reason.contains(&halted))
    });
    let asked = bench.rpc().ok("claim-files", json!({"paths": ["a.txt"], "holder": "someone"}));
    assert!(asked["note"].as_str().is_some_and(|note| note.contains(&halted)), "{asked:#}");
    bench.control("resume", &second);
    worker.go();
    bench.meet("lint").go();
    let done =
        |plan: &str| bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] == "done");
    done(&second);
    done(&first);
    bench.quiet();
    assert_eq!((bench.landed(&first), bench.landed(&second)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert_eq!(claims(&bench), json!([]), "{}", bench.story());
    assert_eq!(bench.task(&first, "a")["attempts"].as_array().unwrap().len(), 1);
}

/// Its conductor died before: nobody is there any more who would let go of what it holds.
#[test]
fn a_plan_that_is_stopped_without_a_conductor_lets_go_too() {
    let bench = Bench::new();
    let lint = bench.gate(&[&bench.meet_line("lint")]);
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]).rule("lint", lint));
    let judge = bench.meet("lint");
    bench.settled();
    bench.conductor(&plan).kill();
    judge.go();
    bench.quiet();
    let claims = |bench: &Bench| bench.rpc().ok("status", json!({"scope": "claims"}))["claims"].clone();
    assert_eq!(claims(&bench).as_array().unwrap().len(), 1);
    bench.control("stop", &plan);
    assert_eq!(claims(&bench), json!([]), "{}", bench.story());
    bench.control("resume", &plan);
    // What the gate had said to nobody it is asked again.
    bench.meet("lint").go();
    let status = bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] != "running");
    assert_eq!(status["state"], "done", "{}", bench.story());
}

#[test]
fn what_a_next_try_takes_over_is_told_of_its_task() {
    let bench = Bench::new();
    let plan = bench.start(
        &Plan::new([task("a", &["a.txt"], &["write a.txt a", "exit 1"])]).rule("max_attempts", json!(2)),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "failed", "{}", bench.story());
    assert_eq!(count(&kinds(&bench, &plan), "claim.handed-over"), 1, "{}", bench.story());
}

#[test]
fn a_plan_that_queues_is_told_so_where_it_begins_and_in_the_overview() {
    let bench = Bench::new();
    bench.write("kapell.toml", "[project]\nmax_conductors = 1\n");
    bench.commit("one at a time");
    let (first, worker) = waiting(&bench);
    let second = bench.plan(&Plan::new([task("b", &["b.txt"], &["write b.txt b"])]));
    let answer = bench.dispatch(&second);
    let on = answer["waiting"][0]["on"].as_str().unwrap_or_default();
    assert!(on.starts_with("room for its plan, #1 in the queue; kapell control launch "), "{answer:#}");
    let overview = bench.rpc().ok("status", json!({}));
    let line = |plan: &str| {
        overview["plans"].as_array().unwrap().iter().find(|it| it["plan_id"] == plan).cloned().unwrap()
    };
    assert_eq!(line(&second)["position"], 1, "{overview:#}");
    assert_eq!(line(&first).get("position"), None);
    assert!(told(&bench, &["status"]).contains("queued #1"));
    worker.go();
    bench.until(json!({"scope": "plan", "id": second}), |status| status["state"] == "done");
    bench.quiet();
}
