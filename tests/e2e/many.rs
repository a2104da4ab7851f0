//! Many at once: who looks waits for nobody, who waits says for what, and what runs twice is said to.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::bench::{Bench, DEADLINE, KAPELL, Plan, task};

/// A command, ended where it takes longer than anything here may.
fn run_in(bench: &Bench, folder: &Path, words: &[&str]) -> Output {
    bench.command("timeout").current_dir(folder).args(["10", KAPELL]).args(words).output().unwrap()
}

#[track_caller]
fn ok(bench: &Bench, words: &[&str]) -> String {
    let output = run_in(bench, &bench.project, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn begun(bench: &Bench, words: &[&str]) -> Child {
    let mut command = bench.command(KAPELL);
    command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// The file of a plan whose one task owns `a.txt` and meets the test.
fn file_of(bench: &Bench, name: &str) -> String {
    let plan = Plan::new([task("a", &["a.txt"], &[&bench.meet_line(name), "write a.txt a"])]);
    let path = bench.root.join(format!("{name}.json"));
    fs::write(&path, plan.params()["plan"].to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The lock on which writers queue.
fn turn(bench: &Bench) -> File {
    File::options().write(true).open(bench.state().join("kapell.lock")).unwrap()
}

/// Waits until a process waits for a lock. Nobody tells of that.
fn waits_for_a_lock(pid: u32) {
    let deadline = Instant::now() + DEADLINE;
    let waits =
        |line: &str| line.contains("->") && line.split_whitespace().any(|word| word == pid.to_string());
    while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
        assert!(Instant::now() < deadline, "{pid} waits for no lock");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn who_looks_waits_for_no_writer_and_who_writes_says_for_whom_it_waits() {
    let bench = Bench::new();
    let file = file_of(&bench, "one");
    let plan: Value = serde_json::from_str(&ok(&bench, &["run", &file, "--detach", "--json"])).unwrap();
    let id = plan["plan_id"].as_str().unwrap();
    let worker = bench.meet("one");
    // As a writer that was suspended in the middle.
    let lock = turn(&bench);
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    for words in [&["list"][..], &["status"], &["status", id], &["events"], &["replay", id], &["history"]] {
        let shown = ok(&bench, words);
        assert!(shown.contains(id), "{words:?}: {shown}");
    }
    let mut writer = begun(&bench, &["claim-files", "b.txt"]);
    let told = BufReader::new(writer.stderr.take().unwrap()).lines().map_while(Result::ok);
    let told = told.into_iter().find(|line| line.contains("waiting to write")).unwrap();
    assert!(told.contains(&format!("process {} has the turn", std::process::id())), "{told}");
    flock(&lock, FlockOperation::Unlock).unwrap();
    assert!(writer.wait().unwrap().success());
    worker.go();
    assert_eq!(bench.at_rest(id)["state"], "done", "{}", bench.story());
}

#[test]
fn what_begins_while_all_is_shut_down_is_shut_down_too() {
    let bench = Bench::new();
    let plan =
        |name: &str| Plan::new([task("a", &[name], &[&bench.meet_line(name)])]).with("name", json!(name));
    let (first, late) = (bench.start(&plan("first")), bench.plan(&plan("late")));
    let worker = bench.meet("first");
    let lock = turn(&bench);
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let shutdown = begun(&bench, &["shutdown-all", "--force"]);
    // It knows by now what it is to stop.
    waits_for_a_lock(shutdown.id());
    let store = rusqlite::Connection::open(bench.state().join("kapell.db")).unwrap();
    store.busy_timeout(DEADLINE).unwrap();
    store.execute("UPDATE plans SET state = 'running' WHERE id = ?1", [&late]).unwrap();
    flock(&lock, FlockOperation::Unlock).unwrap();
    let output = shutdown.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("2 plans, 1 of them begun meanwhile"), "{told}");
    worker.gone();
    for id in [first, late] {
        assert_eq!(bench.at_rest(&id)["state"], "stopped");
    }
}

#[test]
fn of_one_file_that_is_run_often_at_once_one_plan_runs() {
    let bench = Bench::new();
    let file = file_of(&bench, "one");
    let words = ["run", &file, "--detach", "--json"];
    let all: Vec<Child> = (0..4).map(|_| begun(&bench, &words)).collect();
    let all: Vec<Output> = all.into_iter().map(|it| it.wait_with_output().unwrap()).collect();
    let (won, lost): (Vec<Output>, Vec<Output>) = all.into_iter().partition(|it| it.status.success());
    assert_eq!(won.len(), 1, "{lost:?}");
    let plan: Value = serde_json::from_slice(&won[0].stdout).unwrap();
    let id = plan["plan_id"].as_str().unwrap();
    let (conductor, pid) = (plan["conductor"]["id"].as_str().unwrap(), bench.conductor(id).pid);
    let worker = bench.meet("one");
    for output in lost.into_iter().chain([run_in(&bench, &bench.project, &words)]) {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said.contains("duplicate-plan") && said.contains(id) && said.contains(conductor), "{said}");
        assert!(said.contains(&pid.to_string()) && said.contains(&format!("--id {id} --watch")), "{said}");
        assert!(said.contains("kept as the draft"), "{said}");
    }
    let other = run_in(&bench, &bench.project, &["run", &file, "--detach"]);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(said.contains(&format!("plan {id} has the same tasks and runs already, by conductor")), "{said}");
    worker.go();
    assert_eq!(bench.at_rest(id)["state"], "done", "{}", bench.story());
    // One that is over keeps nobody from doing it once more.
    let again = run_in(&bench, &bench.project, &["run", &file, "--detach"]);
    assert!(again.status.success(), "{again:?}");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("/state/log/one-") && said.contains(".log"), "{said}");
    bench.meet("one").go();
}

#[test]
fn a_file_whose_plan_lost_its_conductor_goes_on_when_it_is_run_again() {
    let bench = Bench::new();
    let file = file_of(&bench, "one");
    let words = ["run", &file, "--detach", "--json"];
    let first = run_in(&bench, &bench.project, &words);
    let plan: Value = serde_json::from_slice(&first.stdout).unwrap();
    let id = plan["plan_id"].as_str().unwrap();
    let worker = bench.meet("one");
    bench.conductor(id).kill();
    let again = run_in(&bench, &bench.project, &words);
    assert!(again.status.success(), "{again:?}");
    let taken: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(taken["plan_id"], id, "{taken}");
    let note = taken["note"].as_str().unwrap();
    assert!(note.contains(id) && note.contains("its conductor had died"), "{note}");
    worker.go();
    let done = bench.at_rest(id);
    assert_eq!((&done["state"], &done["tasks"][0]["attempts"]), (&json!("done"), &json!(1)), "{done}");
    // What it would have been is not left as work that waits.
    let overview = run_in(&bench, &bench.project, &["status", "--json"]);
    let overview: Value = serde_json::from_slice(&overview.stdout).unwrap();
    let drafts = overview["plans"].as_array().unwrap().iter().filter(|it| it["state"] == "draft").count();
    assert_eq!(drafts, 0);
}

#[test]
fn for_what_a_run_waits_is_said_once_there_and_in_its_replay() {
    let bench = Bench::new();
    let file = file_of(&bench, "one");
    ok(&bench, &["claim-files", "a.txt", "--ttl-s", "600", "--holder", "somebody"]);
    let mut run = begun(&bench, &["run", &file]);
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.find(|line| line.contains("claim: a.txt is held by somebody")).unwrap();
    assert!(told.contains(" a "), "{told}");
    // A heartbeat of its conductor is another look at it.
    let plans = bench.rpc().ok("status", json!({}));
    let id = plans["plans"][0]["plan_id"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + Duration::from_secs(11);
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    ok(&bench, &["release-files", "--all", "--holder", "somebody"]);
    bench.meet("one").go();
    let rest: Vec<String> = lines.collect();
    assert!(!rest.iter().any(|line| line.contains("is held by")), "{rest:#?}");
    assert!(run.wait().unwrap().success());
    let replay = ok(&bench, &["replay", &id]);
    let waits = replay.lines().filter(|line| line.contains("waits: claim: a.txt is held by somebody"));
    assert_eq!(waits.count(), 1, "{replay}");
}

#[test]
fn a_plan_that_is_run_from_another_working_tree_says_so() {
    let bench = Bench::new();
    let file = file_of(&bench, "one");
    let other: PathBuf = bench.root.join("other tree");
    ok(&bench, &["plan", &file, "--check-only"]);
    bench.git(["worktree", "add", "-q", "--detach", other.to_str().unwrap()]);
    let (here, there) =
        (bench.start(&Plan::new([task("b", &["b.txt"], &[&bench.meet_line("here")])])), &other);
    let output = run_in(&bench, there, &["run", &file, "--detach", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let guests = [bench.meet("here"), bench.meet("one")];
    let list: Value = serde_json::from_str(&ok(&bench, &["list", "--json"])).unwrap();
    for row in list["conductors"].as_array().unwrap() {
        assert_eq!(row["project"], bench.project.to_str().unwrap());
        match row["plan_id"] == here.as_str() {
            true => assert_eq!(row.get("worktree"), None, "{row:#}"),
            false => assert_eq!(row["worktree"], other.to_str().unwrap(), "{row:#}"),
        }
    }
    ok(&bench, &["shutdown-all", "--force"]);
    guests.into_iter().for_each(crate::bench::Guest::gone);
    let all = ok(&bench, &["list", "--all"]);
    assert!(all.contains("stopped, plan stopped"), "{all}");
}

#[test]
fn what_died_and_was_ended_or_lost_its_project_is_in_nobodys_way() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &[&bench.meet_line("one")])]));
    let worker = bench.meet("one");
    let conductor = bench.conductor(&plan);
    let kill = |what: &crate::bench::Process| {
        what.kill();
        assert!(what.ends_before(Instant::now() + DEADLINE));
    };
    kill(&conductor);
    assert!(ok(&bench, &["list"]).contains("crashed"));
    kill(&bench.shim(&worker.attempt));
    worker.gone();
    // Nobody can steer it where its project is gone, and it does nothing.
    let away = bench.root.join("away");
    fs::rename(&bench.project, &away).unwrap();
    let elsewhere = bench.root.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let output = run_in(&bench, &elsewhere, &["shutdown-all"]);
    assert!(output.status.success(), "{output:?}");
    fs::rename(&away, &bench.project).unwrap();
    ok(&bench, &["stop", &plan, "--force"]);
    let listed = ok(&bench, &["list"]);
    assert!(!listed.contains("crashed"), "{listed}");
    assert!(ok(&bench, &["list", "--all"]).contains(&plan));
}
