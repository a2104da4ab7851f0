//! Killed at every moment. Whatever dies, the next dispatch goes on: every task ends exactly once,
//! no ref is lost, and nothing of ours is left behind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::{Bench, KAPELL, Plan, When, task};

/// A plan that is interrupted once, when one of its processes meets the test as `here`.
struct Case {
    bench: Bench,
    plan: String,
}

impl Case {
    /// Everything went as if nothing had happened: the plan is done, each task landed once.
    #[track_caller]
    fn ends_well(&self) -> Value {
        let status = self.bench.at_rest(&self.plan);
        assert_eq!(status["state"], "done", "{}", self.bench.story());
        assert_eq!(self.bench.landed(&self.plan), ["a", "b"], "{}", self.bench.story());
        assert_eq!(self.bench.on_branch(&self.plan, "a.txt"), "a");
        assert_eq!(self.bench.on_branch(&self.plan, "b.txt"), "b");
        for task in ["a", "b"] {
            let attempts = self.bench.task(&self.plan, task)["attempts"].take();
            for attempt in attempts.as_array().unwrap() {
                // Whatever a try left is under its ref.
                let Some(reference) = attempt["ref"].as_str() else { continue };
                assert_eq!(self.bench.refs(reference), [reference]);
            }
        }
        assert_eq!(self.bench.worktrees(), Vec::<std::path::PathBuf>::new(), "{}", self.bench.story());
        self.bench.task(&self.plan, "a")
    }

    /// Kills every process at once.
    fn all_die(&self) {
        let processes = self.bench.processes();
        for process in &processes {
            process.signal(rustix::process::Signal::KILL);
        }
        self.bench.quiet();
    }

    fn again(&self) {
        self.bench.dispatch(&self.plan);
    }
}

/// A plan of two tasks, one after the other; the first meets the test while it works.
fn working() -> Case {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt half", &bench.meet_line("here"), "write a.txt a"]),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
    ]));
    Case { bench, plan }
}

/// The same, where the first task is held up in git instead.
fn in_git(when: When, pattern: &str) -> Case {
    let bench = Bench::new();
    bench.watch_git(when, pattern, "here");
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a"]),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
    ]));
    Case { bench, plan }
}

fn outcomes(task: &Value) -> Vec<&str> {
    task["attempts"].as_array().unwrap().iter().map(|it| it["outcome"].as_str().unwrap_or("none")).collect()
}

#[test]
fn a_gate_whose_shim_is_killed_is_run_once_more() {
    let bench = Bench::new();
    let gate = bench.gate(&[&bench.meet_line("gate")]);
    let one = task("a", &["a.txt"], &["write a.txt a"]);
    let plan = bench.start(&Plan::new([one]).rule("lint", gate).rule("max_attempts", json!(1)));
    let first = bench.meet("gate");
    let attempt = bench.task(&plan, "a")["attempts"][0]["attempt"].as_str().unwrap().to_owned();
    bench.shim(&format!("g-{attempt}-lint")).kill();
    first.gone();
    bench.meet("gate").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a"]);
}

#[test]
fn a_worker_lives_on_without_its_conductor_and_is_taken_up_again() {
    let case = working();
    let worker = case.bench.meet("here");
    let shim = case.bench.shim(&worker.attempt);
    case.bench.conductor(&case.plan).kill();
    let status = case.bench.rpc().ok("status", json!({"scope": "plan", "id": case.plan}));
    assert!(status["reason"].as_str().unwrap().contains("1 worker goes on"), "{status:#}");
    case.again();
    assert_eq!(case.bench.shim(&worker.attempt).pid, shim.pid, "another shim runs");
    worker.go();
    let a = case.ends_well();
    assert_eq!(outcomes(&a), ["submitted"]);
}

/// What a person called off, or what had all its tries, has its end; only its name brings it back.
#[test]
fn what_was_cancelled_or_failed_stays_so_when_the_plan_is_taken_up_again() {
    let bench = Bench::new();
    let plan = bench.start(
        &Plan::new([
            task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"]),
            task("b", &["b.txt"], &["exit 1"]),
            task("c", &["c.txt"], &[&bench.meet_line("c"), "write c.txt c"]),
        ])
        .rule("max_attempts", json!(1)),
    );
    let (a, c) = (bench.meet("a"), bench.meet("c"));
    bench.until(json!({"scope": "task", "id": format!("{plan}/b")}), |task| task["state"] == "failed");
    bench.control("cancel", &format!("{plan}/a"));
    a.gone();
    bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |task| task["state"] == "cancelled");
    bench.conductor(&plan).kill();
    bench.dispatch(&plan);
    c.go();
    assert_eq!(bench.at_rest(&plan)["state"], "failed", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["c"]);
    for (id, state) in [("a", "cancelled"), ("b", "failed"), ("c", "done")] {
        let task = bench.task(&plan, id);
        assert_eq!((&task["state"], task["attempts"].as_array().unwrap().len()), (&json!(state), 1), "{id}");
    }
}

/// A git that is killed while it moves a ref leaves its lock there.
#[test]
fn a_lock_that_a_killed_git_left_holds_up_neither_saving_nor_landing() {
    for (pattern, lock) in [
        ("*update-ref*refs/kapell/tasks/*", "refs/kapell/tasks/$plan/a/1.lock"),
        ("*update-ref*land*refs/heads/kapell/*", "refs/heads/kapell/$plan.lock"),
    ] {
        let case = in_git(When::Before, pattern);
        let git = case.bench.meet("here");
        let lock = case.bench.project.join(".git").join(lock.replace("$plan", &case.plan));
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        fs::write(&lock, "").unwrap();
        git.go();
        let a = case.ends_well();
        assert_eq!(outcomes(&a), ["submitted"], "{pattern}");
        assert!(!lock.exists());
    }
}

#[test]
fn whoever_follows_hears_at_once_that_a_conductor_died_and_that_its_workers_ended() {
    let case = working();
    let worker = case.bench.meet("here");
    let task = format!("{}/a", case.plan);
    let died = "its conductor died, 1 worker goes on";
    let ended = "its conductor died; dispatch it again";
    let gone = "is gone; kapell resume";
    let waits = "its worker has ended and its conductor died";
    let followers = [
        (&["status", "--scope", "plan", "--id", &case.plan][..], died, ended),
        (&["status"], died, ended),
        (&["status", "--scope", "conductors"], gone, "\"running\":0"),
        (&["status", &task], "", waits),
    ];
    let mut followers = followers.map(|(words, dies, ends)| {
        let mut follows = case.bench.command(KAPELL);
        let mut follows =
            follows.args(words).args(["--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(follows.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(!first.contains("died") && !first.contains("gone"), "{first}");
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || lines.for_each(|line| drop(tell.send(line.unwrap()))));
        // Without a word it would look again after 45 s.
        let hears = move |what: &str| {
            let soon = Instant::now() + Duration::from_secs(20);
            let next = || told.recv_timeout(soon.saturating_duration_since(Instant::now()));
            while !next().unwrap_or_else(|_| panic!("not heard: {what}")).contains(what) {}
        };
        (follows, hears, dies, ends)
    });
    case.bench.conductor(&case.plan).kill();
    for (_, hears, dies, _) in followers.iter().filter(|(.., dies, _)| !dies.is_empty()) {
        hears(dies);
    }
    worker.go();
    for (follows, hears, _, ends) in &mut followers {
        hears(ends);
        follows.kill().unwrap();
        follows.wait().unwrap();
    }
    case.again();
    case.ends_well();
}

#[test]
fn status_tells_what_lives_when_all_that_worked_was_killed() {
    let case = working();
    let worker = case.bench.meet("here");
    let lock = case.bench.run_dir(&worker.attempt).join("lock");
    // First, so that it records nothing of the others' end.
    case.bench.conductor(&case.plan).kill();
    case.all_die();
    // The last thread of a killed process lets go of its locks a moment after it is a zombie.
    rustix::fs::flock(fs::File::open(lock).unwrap(), rustix::fs::FlockOperation::LockShared).unwrap();
    let status = case.bench.rpc().ok("status", json!({"scope": "plan", "id": case.plan}));
    assert_eq!(
        (&status["state"], &status["running"]),
        (&json!("stopped"), &json!(0)),
        "{}\n{:#}",
        case.bench.story(),
        case.bench.task(&case.plan, "a")
    );
    assert_eq!(status["tasks"][0]["state"], "waiting", "{status:#}");
    let task = case.bench.task(&case.plan, "a");
    assert_eq!(task["state"], "waiting", "{task:#}");
    assert!(task["reason"].as_str().unwrap().contains("dispatch"), "{task:#}");
    let overview = case.bench.rpc().ok("status", json!({}));
    assert_eq!(
        (&overview["plans"][0]["running"], &overview["workers"]["busy"]),
        (&json!(0), &json!(0)),
        "{overview:#}"
    );
    case.again();
    case.bench.meet("here").go();
    case.ends_well();
}

#[test]
fn what_a_worker_said_is_told_once_however_often_it_is_read() {
    let bench = Bench::new();
    let finding = r#"say {"kapell":"finding","text":"a leak","severity":"high"}"#;
    let plan = bench.start(&Plan::new([task(
        "a",
        &["a.txt"],
        &[finding, &bench.meet_line("a"), finding, "write a.txt a"],
    )]));
    let a = bench.meet("a");
    let is_told = |status: &Value| {
        status["events"].as_array().unwrap().iter().any(|event| event["kind"] == "attempt.finding")
    };
    bench.until(json!({"scope": "events", "id": plan, "limit": 500, "cursor": "0"}), is_told);
    bench.conductor(&plan).kill();
    bench.dispatch(&plan);
    a.go();
    bench.at_rest(&plan);
    let told = bench.events(Some(&plan)).into_iter().filter(|(kind, _)| kind == "attempt.finding");
    assert_eq!(told.map(|(_, text)| text).collect::<Vec<_>>(), ["a leak", "a leak"]);
}

#[test]
fn a_worker_that_ended_while_nobody_looked_is_found_again() {
    let case = working();
    let worker = case.bench.meet("here");
    let shim = case.bench.shim(&worker.attempt);
    case.bench.conductor(&case.plan).kill();
    worker.go();
    assert!(shim.ends_before(Instant::now() + crate::bench::DEADLINE));
    case.again();
    let a = case.ends_well();
    assert_eq!(outcomes(&a), ["submitted"]);
}

#[test]
fn a_shim_that_is_killed_takes_its_worker_along_and_the_task_is_tried_again() {
    let case = working();
    let worker = case.bench.meet("here");
    case.bench.shim(&worker.attempt).kill();
    worker.gone();
    case.bench.meet("here").go();
    let a = case.ends_well();
    assert_eq!(outcomes(&a), ["interrupted", "submitted"]);
    let kept = format!("refs/kapell/tasks/{}/a/1:a.txt", case.plan);
    assert_eq!(case.bench.git(["show", &kept]), "half", "what the killed worker had done is lost");
}

#[test]
fn conductor_and_shim_are_killed_together() {
    let case = working();
    let worker = case.bench.meet("here");
    case.bench.conductor(&case.plan).kill();
    case.bench.shim(&worker.attempt).kill();
    case.again();
    worker.gone();
    case.bench.meet("here").go();
    let a = case.ends_well();
    assert_eq!(outcomes(&a), ["interrupted", "submitted"]);
}

#[test]
fn a_worker_that_is_killed_is_tried_again() {
    let case = working();
    let worker = case.bench.meet("here");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(worker.pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    worker.gone();
    case.bench.meet("here").go();
    let a = case.ends_well();
    assert_eq!(outcomes(&a), ["failed", "submitted"]);
}

#[test]
fn what_a_worker_left_running_ends_with_it() {
    let bench = Bench::new();
    let daemon = format!("daemon {} daemon", bench.socket());
    let plan =
        bench.start(&Plan::new([task("a", &["a.txt"], &[&daemon, &bench.meet_line("a"), "write a.txt a"])]));
    let daemon = bench.meet("daemon");
    bench.meet("a").go();
    daemon.gone();
    assert_eq!(bench.at_rest(&plan)["state"], "done");
}

#[test]
fn work_goes_on_without_the_door_that_started_it() {
    let bench = Bench::new();
    let plan = bench.plan(&Plan::new([task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"])]));
    let mut door = bench.rpc();
    door.ok("dispatch", json!({"plan_id": plan}));
    door.kill();
    bench.meet("a").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done");
    assert_eq!(bench.landed(&plan), ["a"]);
}

#[test]
fn a_judge_that_is_killed_judges_again() {
    let bench = Bench::new();
    // The gate leaves its mark before it meets the test, and must not find an earlier one's.
    let gate = bench.gate(&["run test ! -e dirt", "write dirt x", &bench.meet_line("here")]);
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a"]).with("rules", json!({"lint": gate})),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
    ]));
    let case = Case { bench, plan };
    let gate = case.bench.meet("here");
    case.bench.conductor(&case.plan).kill();
    // Its judge is gone, and so nobody judges it.
    assert_eq!(case.bench.task(&case.plan, "a")["state"], "waiting");
    case.again();
    gate.gone();
    case.bench.meet("here").go();
    let a = case.ends_well();
    assert_eq!(outcomes(&a), ["submitted"]);
}

#[test]
fn the_machine_goes_down_twice() {
    let bench = Bench::new();
    let gate = bench.gate(&[&bench.meet_line("judging")]);
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt half", &bench.meet_line("working"), "write a.txt a"])
            .with("rules", json!({"lint": gate})),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
    ]));
    let case = Case { bench, plan };
    let worker = case.bench.meet("working");
    case.all_die();
    worker.gone();
    case.again();
    case.bench.meet("working").go();
    let gate = case.bench.meet("judging");
    case.all_die();
    gate.gone();
    case.again();
    case.bench.meet("judging").go();
    let a = case.ends_well();
    assert_eq!(outcomes(&a), ["interrupted", "submitted"]);
}

#[test]
fn a_door_that_dies_in_the_middle_of_dispatch_leaves_a_plan_that_can_be_dispatched() {
    let bench = Bench::new();
    let plan = bench.plan(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    let mut door = bench.rpc();
    door.send("dispatch", json!({"plan_id": plan}));
    door.kill();
    // It may have come so far that the plan runs, or ran.
    let _ = bench.rpc().call("dispatch", json!({"plan_id": plan}));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a"]);
}

/// The conductor dies while git is at that call, and git goes on to its end without it.
fn conductor_killed_in_git(when: When, pattern: &str) {
    let case = in_git(when, pattern);
    let git = case.bench.meet("here");
    case.bench.conductor(&case.plan).kill();
    git.go();
    case.again();
    let a = case.ends_well();
    assert_eq!(outcomes(&a), ["submitted"]);
}

/// The conductor and git die together.
fn both_killed_in_git(when: When, pattern: &str) {
    let case = in_git(when, pattern);
    let git = case.bench.meet("here");
    case.bench.conductor(&case.plan).kill();
    for process in
        case.bench.processes().iter().filter(|process| process.pid == git.parent || process.pid == git.pid)
    {
        process.kill();
    }
    git.gone();
    case.again();
    let a = case.ends_well();
    assert_eq!(outcomes(&a), ["submitted"]);
}

/// Only git dies, as if the system had been short of memory.
fn git_killed(when: When, pattern: &str) {
    let case = in_git(when, pattern);
    let git = case.bench.meet("here");
    for process in
        case.bench.processes().iter().filter(|process| process.pid == git.parent || process.pid == git.pid)
    {
        process.kill();
    }
    git.gone();
    case.ends_well();
}

#[test]
fn what_a_conductor_did_not_come_to_tidy_up_the_next_one_does() {
    let case = in_git(When::Before, "*rev-parse*--quiet?HEAD");
    let git = case.bench.meet("here");
    let a = case.bench.task(&case.plan, "a");
    assert_eq!(a["state"], "done");
    case.bench.conductor(&case.plan).kill();
    git.go();
    assert!(Path::new(a["attempts"][0]["worktree"].as_str().unwrap()).exists());
    case.again();
    case.ends_well();
}

macro_rules! at_every_call {
    ($($name:ident: $pattern:expr;)*) => {$(
        mod $name {
            use super::{When, both_killed_in_git, conductor_killed_in_git, git_killed};

            #[test]
            fn conductor_before() {
                conductor_killed_in_git(When::Before, $pattern);
            }
            #[test]
            fn conductor_after() {
                conductor_killed_in_git(When::After, $pattern);
            }
            #[test]
            fn both_before() {
                both_killed_in_git(When::Before, $pattern);
            }
            #[test]
            fn both_after() {
                both_killed_in_git(When::After, $pattern);
            }
            #[test]
            fn git_before() {
                git_killed(When::Before, $pattern);
            }
            #[test]
            fn git_after() {
                git_killed(When::After, $pattern);
            }
        }
    )*};
}

at_every_call! {
    checking_out: "*read-tree*--reset*";
    saving: "*update-ref*refs/kapell/tasks/*";
    merging: "*merge-tree*";
    landing: "*update-ref*land*refs/heads/kapell/*";
}

/// What a killed git was to do can be done again: it says nothing of the work.
#[test]
fn a_git_that_is_killed_again_and_again_costs_no_try() {
    let bench = Bench::new();
    let count = bench.root.join("count");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *commit-tree*|*merge-tree*) if [ \"$(wc -c <{0} 2>/dev/null || echo 0)\" -lt 3 ]; then printf x >>{0}; kill -9 $$; fi ;; esac\nexec /usr/bin/git \"$@\"\n",
        count.display()
    );
    let git = bench.root.join("bin/git");
    fs::write(&git, script).unwrap();
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).unwrap();
    let plan =
        bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]).rule("max_attempts", json!(1)));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(outcomes(&bench.task(&plan, "a")), ["submitted"]);
    assert_eq!(fs::read(count).unwrap().len(), 3);
}
