//! Disks without room and folders that refuse: what that keeps from going on is told, waits, and goes on by itself.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::bench::{AGENT, Bench, DEADLINE, KAPELL, Plan, task};

/// A small disk of its own under a folder, for as long as this lives.
struct Disk<'a> {
    bench: &'a Bench,
    folder: std::path::PathBuf,
}

impl<'a> Disk<'a> {
    /// `None` where this user may mount nothing.
    fn mount(bench: &'a Bench, folder: std::path::PathBuf) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let mut mount = bench.command("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=16m", "none"]).arg(&folder).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then(|| Self { bench, folder })
    }

    /// Writes it full.
    fn fill(&self) {
        let mut file = fs::File::create(self.folder.join("fill")).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    }

    /// Makes room again.
    fn empty(&self) {
        fs::remove_file(self.folder.join("fill")).unwrap();
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = self.bench.command("umount").arg("--lazy").arg(&self.folder).status();
    }
}

#[test]
fn nobody_is_shown_at_work_whose_end_cannot_be_recorded_for_want_of_room() {
    let bench = Bench::new();
    let Some(disk) = Disk::mount(&bench, bench.state()) else {
        eprintln!("NOT TESTED: a small disk cannot be mounted here");
        return;
    };
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a", &bench.meet_line("a")])]));
    let worker = bench.meet("a");
    bench.settled();
    disk.fill();
    // What the log has room for by itself is used up too.
    let mut claims = bench.rpc();
    let taken =
        (0..10_000).find(|at| claims.call("claim-files", json!({"paths": [format!("x/{at}")]})).is_err());
    assert!(taken.is_some(), "the disk is not full");
    worker.go();
    let overview = bench.until(json!({}), |status| status["workers"]["busy"] == 0);
    assert_eq!(overview["workers"]["unhealthy"], 1, "{overview:#}");
    assert_eq!(overview["plans"][0]["running"], 0, "{overview:#}");
    let full = format!("the disk of {} is full", bench.state().display());
    assert!(overview["warnings"][0].as_str().unwrap().starts_with(&full), "{overview:#}");
    let mut rpc = bench.rpc();
    let status = rpc.ok("status", json!({"scope": "plan", "id": plan}));
    assert_eq!((&status["running"], &status["tasks"][0]["state"]), (&json!(0), &json!("waiting")));
    for reason in [&status["reason"], &status["tasks"][0]["reason"], &bench.task(&plan, "a")["reason"]] {
        assert!(reason.as_str().unwrap().contains(&full), "{status:#}");
    }
    for scope in ["workers", "health"] {
        let shown = rpc.ok("status", json!({"scope": scope}));
        // Both list their workers under their own name.
        let worker = &shown[scope][0];
        assert_eq!(worker["state"], "unhealthy", "{shown:#}");
        assert!(worker["reason"].as_str().unwrap().contains(&full), "{shown:#}");
    }
    disk.empty();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn a_repository_whose_disk_is_full_is_told_where_its_work_is() {
    let bench = Bench::bare_machine();
    // Apart from the state folder.
    let Some(disk) = Disk::mount(&bench, bench.project.clone()) else {
        eprintln!("NOT TESTED: a small disk cannot be mounted here");
        return;
    };
    bench.init();
    // After this it lets pass whatever is shown to it.
    let (free, meet) = (bench.root.join("free"), bench.meet_line("gate"));
    let gate = json!(["sh", "-c", format!("test -e {} || exec {AGENT} do '{meet}'", free.display())]);
    let plan = bench.start(
        &Plan::new([
            task("a", &["a.txt"], &["write a.txt a", &bench.meet_line("a")]),
            task("b", &["b.txt"], &["write b.txt b"]),
        ])
        .rule("lint", gate),
    );
    let (a, judging) = (bench.meet("a"), bench.meet("gate"));
    bench.task_is(&plan, "b", "judging");
    bench.settled();
    disk.fill();
    a.go();
    judging.go();
    let full = format!("the disk of {} is full", bench.project.join(".git").display());
    let said =
        |value: &Value| value.as_str().is_some_and(|text| text.contains(&full) && text.contains("make room"));
    // One can be neither saved, the other neither judged further nor landed.
    let status = bench.until(json!({"scope": "plan", "id": plan}), |status| {
        let tasks = status["tasks"].as_array().unwrap();
        tasks.iter().all(|task| task["state"] == "waiting" && said(&task["reason"]))
    });
    assert!(said(&status["reason"]) && status["running"] == 0, "{status:#}");
    for id in ["a", "b"] {
        let task = bench.task(&plan, id);
        assert!(task["state"] == "waiting" && said(&task["reason"]), "{task:#}");
    }
    let mut rpc = bench.rpc();
    let overview = rpc.ok("status", json!({}));
    assert!(overview["warnings"].as_array().unwrap().iter().any(said), "{overview:#}");
    // Who wants more to begin is told that, and not what git says of it.
    let another = bench.plan(&Plan::new([task("c", &["c.txt"], &["write c.txt c"])]));
    let refusal = rpc.refused("dispatch", json!({"plan_id": another}));
    assert_eq!((refusal.message, refusal.kind), (full, "system".to_owned()));
    assert_eq!(refusal.data["hint"], "free space there, then the same again");
    assert!(refusal.data["cause"].as_str().unwrap().starts_with("git"), "{:#}", refusal.data);
    fs::write(&free, "").unwrap();
    disk.empty();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    for id in ["a", "b"] {
        assert_eq!(bench.task(&plan, id)["attempts"].as_array().unwrap().len(), 1);
    }
}

/// Has a folder and those in it refuse whatever is new, as long as that lives: by a mount of itself that can only be
/// read, since no rights hold root. What is open goes on. `None` where this user may mount nothing.
fn refusing(bench: &Bench, folder: std::path::PathBuf) -> Option<Disk<'_>> {
    let mount = |words: &[&str]| {
        let mounted = bench.command("mount").args(words).arg(&folder).output();
        mounted.is_ok_and(|mounted| mounted.status.success())
    };
    if !mount(&["--bind", folder.to_str()?]) {
        return None;
    }
    let is_refusing = mount(&["-o", "remount,bind,ro"]);
    Some(Disk { bench, folder }).filter(|_| is_refusing)
}

#[test]
fn work_waits_for_a_state_folder_that_can_be_written_again() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a", &bench.meet_line("a")])]));
    let worker = bench.meet("a");
    // Nobody opens the state while it refuses; who did before sees.
    let mut rpc = bench.rpc();
    let mut seq = rpc.ok("status", json!({}))["seq"].clone();
    bench.settled();
    let Some(refusing) = refusing(&bench, bench.state()) else {
        eprintln!("NOT TESTED: a folder cannot be made to refuse here");
        return;
    };
    worker.go();
    let refuses = format!("{} cannot be written, its disk is read-only", bench.state().display());
    let said = |value: &Value| {
        value.as_str().is_some_and(|text| text.contains(&refuses) && text.contains("make it writable"))
    };
    let of_task = json!({"scope": "task", "id": format!("{plan}/a")});
    let until = Instant::now() + DEADLINE;
    loop {
        let told = rpc.ok("status", json!({"scope": "events", "kind": "attempt.lacking"}));
        if told["events"].as_array().unwrap().iter().any(|event| said(&event["text"])) {
            break;
        }
        assert!(Instant::now() < until, "{:#}", rpc.ok("status", of_task));
        seq = rpc.ok("status", json!({"since_seq": seq, "wait_ms": 2000}))["seq"].clone();
    }
    let task = rpc.ok("status", of_task);
    assert!(task["state"] == "waiting" && said(&task["reason"]), "{task:#}");
    let overview = rpc.ok("status", json!({}));
    assert!(overview["warnings"].as_array().unwrap().iter().any(said), "{overview:#}");
    drop(refusing);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.task(&plan, "a")["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_plan_that_is_not_there_is_conducted_by_nobody() {
    let bench = Bench::new();
    let conducted = bench.command(KAPELL).args(["conduct", "nope"]).output().unwrap();
    let told = String::from_utf8_lossy(&conducted.stderr);
    assert_eq!(conducted.status.code(), Some(3), "{told}");
    assert_eq!(told, "kapell: there is no plan nope; status without an id shows what there is\n");
    assert!(!bench.state().join("life/plan-nope").exists(), "a lock of nothing is left");
}
