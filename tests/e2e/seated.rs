//! Workers in environments: they work in that checkout, under the same claims and gates; their results are on
//! its branch and land from there, and nobody's work there is harmed.

use std::fs;
use std::path::{Path, PathBuf};

use kapell::base::failpoint::Point;
use serde_json::{Value, json};

use crate::bench::{Bench, DEADLINE, KAPELL, Plan, Process, task};

/// A bench with the environment `dev1`, in which the worker `seated` works.
struct Place {
    bench: Bench,
}

/// What its configuration has besides.
const SEATED: &str =
    "[workers.free]\nprovider = \"fake\"\n[workers.seated]\nprovider = \"fake\"\nenvironment = \"dev1\"\n";

impl Place {
    fn new(more: &str) -> Self {
        let place = Self { bench: Bench::new() };
        place.configure(more);
        place.ok(&["env", "create", "dev1"]);
        place
    }

    fn configure(&self, more: &str) {
        self.bench
            .configure(&format!("{SEATED}\n[environments]\nbase_port = 23000\nnames = [\"dev1\"]\n{more}\n"));
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> Value {
        let output = self.bench.command(KAPELL).args(words).arg("--json").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{words:?}: {}{text}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&text).unwrap()
    }

    #[track_caller]
    fn refused(&self, words: &[&str]) -> Value {
        let output = self.bench.command(KAPELL).args(words).arg("--json").output().unwrap();
        assert!(!output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stderr).unwrap()
    }

    fn folder(&self) -> PathBuf {
        let title = self.bench.project.file_name().unwrap().to_str().unwrap();
        self.bench.project.with_file_name(format!("{title}-dev1"))
    }

    /// git in the environment, as a person.
    #[track_caller]
    fn git(&self, args: &[&str]) -> String {
        let mut command = self.bench.command("/usr/bin/git");
        command.arg("-C").arg(self.folder()).args(["-c", "user.name=P", "-c", "user.email=p@e"]).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn holds(&self, path: &str) -> String {
        fs::read_to_string(self.folder().join(path)).unwrap_or_default().trim_end().to_owned()
    }

    /// The checkout is at its branch, with nothing that is not committed.
    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "env/dev1");
        assert_eq!(self.git(&["status", "--porcelain"]), "", "{}", self.bench.story());
    }

    /// The tasks whose results its branch has.
    fn results(&self) -> Vec<String> {
        let format = "--format=%(trailers:key=Kapell-Task,valueonly,separator=%x2C)";
        let log = self.git(&["log", "--reverse", format, "env/dev1"]);
        let mut tasks: Vec<String> = log
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| line.rsplit('/').next().unwrap().to_owned())
            .collect();
        // Where its branch has commits of its own, what landed is another commit, which it gets too.
        tasks.dedup();
        tasks
    }

    fn waits(&self, plan: &str, name: &str) -> String {
        let status = self.bench.until(json!({"scope": "task", "id": format!("{plan}/{name}")}), |status| {
            status["reason"].as_str().is_some_and(|reason| reason.starts_with("environment: "))
        });
        status["reason"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn done(&self, plan: &str) {
        let status = self.bench.at_rest(plan);
        assert_eq!(status["state"], "done", "{}", self.bench.story());
    }
}

/// A task for the worker of the environment.
fn seated(id: &str, files: &[&str], lines: &[&str]) -> crate::bench::plan::Task {
    task(id, files, lines).with("agent", json!("seated"))
}

#[test]
fn a_bound_worker_works_in_its_checkout_and_its_result_lands_from_there() {
    for more in ["", "worktree = true"] {
        let place = Place::new(more);
        let bench = &place.bench;
        let plan = bench.start(&Plan::new([
            seated("a", &["a.txt", "src/"], &["append src/lib.txt two", "write a.txt a", "say in its place"]),
            task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
            seated("c", &["c.txt"], &["append c.txt c", "append c.txt c"]).after(&["b"]),
        ]));
        place.done(&plan);
        let attempt = bench.task(&plan, "a")["attempts"][0].take();
        assert_eq!(Path::new(attempt["worktree"].as_str().unwrap()), place.folder(), "{attempt:#}");
        assert_eq!(attempt["environment"], "dev1", "{attempt:#}");
        let other = bench.task(&plan, "b")["attempts"][0].take();
        assert!(other["environment"].is_null() && other["worktree"] != attempt["worktree"], "{other:#}");
        assert_eq!(bench.landed(&plan).len(), 3, "{}", bench.story());
        // It began from all that had landed, and the two branches are one.
        assert_eq!(
            place.git(&["rev-parse", "env/dev1"]),
            bench.git(["rev-parse", &format!("kapell/{plan}")])
        );
        for (path, holds) in [("a.txt", "a"), ("src/lib.txt", "one\ntwo"), ("b.txt", "b"), ("c.txt", "c\nc")]
        {
            assert_eq!(place.holds(path), holds, "{path}");
            assert_eq!(bench.on_branch(&plan, path), holds, "{path}");
        }
        place.is_clean();
        // What its worker left is kept in the project, also where the checkout is a clone.
        let reference = attempt["ref"].as_str().unwrap();
        assert_eq!(bench.git(["show", &format!("{reference}:a.txt")]), "a");
        // The person's own checkout is as it was.
        assert_eq!(bench.git(["status", "--porcelain"]), "");
        assert!(!bench.project.join("a.txt").exists());
        bench.control("land", &plan);
        place.ok(&["env", "remove", "dev1"]);
        // Without it its worker works as others do.
        let plan = bench.start(&Plan::new([seated("d", &["d.txt"], &["write d.txt d"])]));
        place.done(&plan);
        let attempt = bench.task(&plan, "d")["attempts"][0].take();
        assert!(attempt["environment"].is_null(), "{attempt:#}");
        assert!(bench.story().contains("by seated, outside of dev1, which nobody has made"));
    }
}

#[test]
fn its_git_folder_is_behind_the_wall() {
    let place = Place::new("");
    let bench = &place.bench;
    fs::write(bench.project.join(".gitignore"), "/target\nlogs/\n").unwrap();
    bench.commit("ignored");
    let plan = bench.start(&Plan::new([seated(
        "a",
        &["a.txt", "new/"],
        &[
            "denied append .git/config [core]",
            "denied write .git/hooks/post-checkout x",
            "denied write launch.sh x",
            "denied append .git/HEAD x",
            "write a.txt a",
            "write new/deep/file x",
            "write target/built x",
            "write logs/built x",
            "write .kapell/seen x",
            "append src/lib.txt x",
            "write src/lib.txt one",
        ],
    )]));
    let status = bench.at_rest(&plan);
    let attempt = bench.task(&plan, "a")["attempts"][0].take();
    if !attempt["wall"].as_str().unwrap_or_default().starts_with("landlock") {
        println!("this system builds no wall");
        return;
    }
    assert_eq!(status["state"], "done", "{}", bench.story());
    assert_eq!((place.holds("a.txt").as_str(), place.holds("new/deep/file").as_str()), ("a", "x"));
    place.is_clean();
}

#[test]
fn a_task_is_done_in_the_environment_that_it_names_and_takes_nothing_of_its_branch_along() {
    let place = Place::new("");
    let bench = &place.bench;
    fs::write(place.folder().join("own.txt"), "of the environment\n").unwrap();
    place.git(&["add", "own.txt"]);
    place.git(&["commit", "-q", "-m", "its own"]);
    let planned = bench.rpc().ok(
        "plan",
        Plan::new([
            // For a provider none of whose workers works there: any of them does it.
            task("a", &["a.txt"], &["write a.txt a"]).with("environment", json!("dev1")),
            // For nobody: whoever works there does it.
            task("b", &["b.txt"], &["write b.txt b"])
                .with("environment", json!("DEV1"))
                .with("agent", json!("auto"))
                .after(&["a"]),
        ])
        .params(),
    );
    assert_eq!(planned["problems"], json!([]), "{planned:#}");
    let plan = planned["plan_id"].as_str().unwrap();
    bench.dispatch(plan);
    place.done(plan);
    let attempt = |name: &str| bench.task(plan, name)["attempts"][0].take();
    assert_eq!(attempt("b")["worker"], "seated");
    for name in ["a", "b"] {
        assert_eq!(Path::new(attempt(name)["worktree"].as_str().unwrap()), place.folder());
    }
    assert_eq!(place.results(), ["a", "b"]);
    place.is_clean();
    assert_eq!(place.holds("own.txt"), "of the environment");
    let landed = bench.git(["ls-tree", "--name-only", &format!("kapell/{plan}")]);
    assert!(landed.contains("a.txt") && landed.contains("b.txt") && !landed.contains("own.txt"), "{landed}");
}

#[test]
fn one_attempt_works_in_an_environment_at_once() {
    let place = Place::new("");
    let bench = &place.bench;
    let there = |id: &str| {
        task(id, &[&format!("{id}.txt")], &[&bench.meet_line(id), &format!("write {id}.txt {id}")])
            .with("environment", json!("dev1"))
            .with("agent", json!(if id == "a" { "seated" } else { "free" }))
            .with("priority", json!(if id == "a" { 9 } else { 1 }))
    };
    let plan = bench.start(&Plan::new([there("a"), there("b")]));
    let a = bench.meet("a");
    assert!(place.waits(&plan, "b").contains("works in dev1"), "{}", place.waits(&plan, "b"));
    // Nobody pulls the ground from under its feet.
    for words in [
        &["env", "remove", "dev1", "--force"][..],
        &["env", "reset", "dev1", "--force"],
        &["env", "git", "dev1", "sync"],
        &["env", "git", "dev1", "commit", "x"],
    ] {
        let no = place.refused(words);
        assert!(no["message"].as_str().unwrap().contains("is at work in dev1"), "{no:#}");
        assert_eq!(no["data"]["kind"], "busy", "{no:#}");
    }
    let no = place.refused(&["env", "remove", "dev1"]);
    assert!(no["data"]["losses"].to_string().contains("at work: "), "{no:#}");
    a.go();
    bench.meet("b").go();
    place.done(&plan);
    assert_eq!(place.results(), ["a", "b"]);
    place.is_clean();
}

#[test]
fn what_a_person_has_not_committed_is_waited_for_and_stays() {
    let place = Place::new("");
    let bench = &place.bench;
    fs::write(place.folder().join("src/lib.txt"), "a person's\n").unwrap();
    fs::write(place.folder().join("notes.txt"), "a person's\n").unwrap();
    let plan = bench.start(&Plan::new([seated("a", &["a.txt"], &["write a.txt a"])]));
    let reason = place.waits(&plan, "a");
    assert!(reason.contains("not committed: src/lib.txt, notes.txt; kapell env git dev1 commit"), "{reason}");
    assert_eq!(
        (place.holds("src/lib.txt").as_str(), place.holds("notes.txt").as_str()),
        ("a person's", "a person's")
    );
    place.git(&["switch", "-q", "-c", "feature/x"]);
    place.ok(&["env", "git", "dev1", "commit", "a person's"]);
    let on = bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |status| {
        status["reason"].as_str().is_some_and(|reason| reason.contains("is on feature/x"))
    });
    assert!(on["reason"].as_str().unwrap().contains("switch env/dev1"), "{on:#}");
    place.git(&["switch", "-q", "env/dev1"]);
    place.done(&plan);
    assert_eq!(place.results(), ["a"]);
    assert_eq!(place.git(&["show", "feature/x:notes.txt"]), "a person's");
    place.is_clean();
}

#[test]
fn what_is_not_there_is_said_and_what_goes_meanwhile_costs_nothing() {
    let place = Place::new("");
    let bench = &place.bench;
    let planned = bench
        .rpc()
        .ok("plan", Plan::new([task("a", &["a.txt"], &[]).with("environment", json!("dev7"))]).params());
    let problem = &planned["problems"][0];
    assert_eq!(problem["severity"], "warning", "{planned:#}");
    assert!(problem["hint"].as_str().unwrap().contains("kapell env create dev7"), "{planned:#}");
    // So is a worker that works elsewhere than its task is for; not where another of its group could do it.
    let elsewhere = |target: &str| {
        let task = task("a", &["a.txt"], &[]).with("environment", json!("dev7")).with("agent", json!(target));
        bench.rpc().ok("plan", Plan::new([task]).params())["problems"].to_string()
    };
    let says = "task a: seated works in dev1, and the task is for dev7";
    assert!(elsewhere("seated").contains(says), "{}", elsewhere("seated"));
    assert!(!elsewhere("free").contains("works in dev1") && !elsewhere("fake").contains("works in dev1"));
    let plan = planned["plan_id"].as_str().unwrap();
    bench.dispatch(plan);
    let failed = bench.task_is(plan, "a", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("no environment dev7; kapell env create dev7 makes it"), "{reason}");
    bench.at_rest(plan);

    // It is deleted under its worker: the task fails with a sentence, and goes on once it is made again.
    let plan = bench.start(&Plan::new([seated(
        "b",
        &["b.txt"],
        &[&bench.meet_line("here"), "first exit 0", "write b.txt b"],
    )]));
    let worker = bench.meet("here");
    fs::remove_dir_all(place.folder()).unwrap();
    worker.go();
    let failed = bench.task_is(&plan, "b", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.contains("the folder of dev1 is gone") && reason.contains("kapell env create dev1"),
        "{reason}"
    );
    bench.at_rest(&plan);
    place.ok(&["env", "create", "dev1"]);
    bench.control("retry", &format!("{plan}/b"));
    bench.meet("here").go();
    place.done(&plan);
    assert_eq!(place.holds("b.txt"), "b");
    place.is_clean();
}

#[test]
fn a_try_that_is_not_accepted_leaves_the_checkout_as_it_was() {
    let place = Place::new("");
    let bench = &place.bench;
    let head = place.git(&["rev-parse", "HEAD"]);
    // It fails after files and folders changed their kind.
    let plan = bench.start(
        &Plan::new([seated(
            "bad",
            &["a.txt", "src/"],
            &[
                "write a.txt a",
                "delete src/lib.txt",
                "write src/lib.txt/x x",
                "write src/other/deep x",
                "exit 1",
            ],
        )])
        .rule("max_attempts", json!(1)),
    );
    bench.at_rest(&plan);
    let attempt = bench.task(&plan, "bad")["attempts"][0].take();
    assert_eq!(attempt["outcome"], "failed", "{attempt:#}");
    assert_eq!(bench.git(["show", &format!("{}:src/other/deep", attempt["ref"].as_str().unwrap())]), "x");
    assert_eq!(place.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(place.holds("src/lib.txt"), "one");
    assert!(!place.folder().join("src/other").exists() && !place.folder().join("a.txt").exists());
    place.is_clean();

    // Rejected by a gate: the next try begins with what the first had, and only the whole is committed.
    let plan = bench.start(
        &Plan::new([seated(
            "b",
            &["b.txt", "c.txt"],
            &["first write c.txt c", "again append c.txt more", "again write b.txt b"],
        )])
        .rule("custom", json!([["test", "-e", "b.txt"]])),
    );
    place.done(&plan);
    assert_eq!(bench.task(&plan, "b")["attempts"].as_array().unwrap().len(), 2, "{}", bench.story());
    assert_eq!(place.holds("c.txt"), "c\nmore");
    assert_eq!(place.results(), ["b"]);
    place.is_clean();
}

#[test]
fn what_lies_outside_of_a_claim_may_be_a_persons_and_stays() {
    let place = Place::new("");
    let bench = &place.bench;
    let plan = bench.start(
        &Plan::new([seated(
            "a",
            &["a.txt", "src/b.txt"],
            &["write a.txt a", "write src/b.txt b", &bench.meet_line("here")],
        )])
        .rule("max_attempts", json!(1)),
    );
    let worker = bench.meet("here");
    fs::write(place.folder().join("README"), "a person's\n").unwrap();
    worker.go();
    bench.at_rest(&plan);
    let attempt = bench.task(&plan, "a")["attempts"][0].take();
    assert_eq!((&attempt["outcome"], &attempt["outside_claim"]), (&json!("violation"), &json!(["README"])));
    // What was the worker's is put back, and what may be a person's is not.
    assert_eq!(place.git(&["status", "--porcelain"]), " M README", "{}", bench.story());
    assert_eq!(place.holds("README"), "a person's");
    let plan = bench.start(&Plan::new([seated("b", &["b.txt"], &["write b.txt b"])]));
    let waits = place.waits(&plan, "b");
    assert!(
        waits.contains("not committed: README; they lay outside of the claim when try 1 at task"),
        "{waits}"
    );
    let away = format!("git -C '{}' stash push --include-untracked -- README", place.folder().display());
    assert!(waits.contains(&away) && waits.contains("commit only what is a person's"), "{waits}");
    let overview = bench.rpc().ok("status", json!({"scope": "overview"}));
    let warning = format!("task {plan}/b waits: dev1 has changes that are not committed: README; ");
    assert!(overview["warnings"].to_string().contains(&warning), "{overview:#}");
    place.ok(&["env", "git", "dev1", "commit", "a person's"]);
    place.done(&plan);
    assert_eq!(place.results(), ["b"]);
    place.is_clean();
}

#[test]
fn what_is_approved_lies_there_beside_what_is_a_persons() {
    // The person leaves it, or goes on with it.
    for more in ["", "more\n"] {
        let place = Place::new("");
        let bench = &place.bench;
        let lines =
            ["write a.txt a", "append src/lib.txt two", "append src/b.txt b", &bench.meet_line("here")];
        let files = ["a.txt", "src/lib.txt", "src/b.txt"];
        let plan = bench.start(&Plan::new([seated("a", &files, &lines)]).rule("max_attempts", json!(1)));
        let worker = bench.meet("here");
        fs::write(place.folder().join("README"), "a person's\n").unwrap();
        fs::write(place.folder().join("mine.txt"), "mine\n").unwrap();
        worker.go();
        bench.at_rest(&plan);
        let readme = format!("a person's\n{more}");
        fs::write(place.folder().join("README"), &readme).unwrap();
        bench.control("approve", &format!("{plan}/a"));
        place.done(&plan);
        assert_eq!(place.results(), ["a"], "{}", bench.story());
        assert_eq!(place.git(&["status", "--porcelain"]), " M README\n?? mine.txt", "{}", bench.story());
        assert_eq!(fs::read_to_string(place.folder().join("README")).unwrap(), readme);
        assert_eq!((place.holds("mine.txt").as_str(), place.holds("a.txt").as_str()), ("mine", "a"));
        assert_eq!(
            (place.holds("src/lib.txt").as_str(), place.holds("src/b.txt").as_str()),
            ("one\ntwo", "b")
        );
        assert!(bench.story().contains("changes of somebody else stay there: "), "{}", bench.story());
    }
}

#[test]
fn what_does_not_land_is_taken_off_the_branch_again() {
    let place = Place::new("");
    let bench = &place.bench;
    // Each alone is good; both together are not.
    let gate = json!(["sh", "-c", "! { test -e a.txt && test -e b.txt; }"]);
    let plan = bench.start(
        &Plan::new([
            seated("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"]),
            task("b", &["b.txt"], &["write b.txt b"]),
        ])
        .rule("test", gate)
        .rule("max_attempts", json!(1)),
    );
    let a = bench.meet("a");
    bench.task_is(&plan, "b", "done");
    let head = place.git(&["rev-parse", "HEAD"]);
    a.go();
    bench.at_rest(&plan);
    assert_eq!(bench.task(&plan, "a")["state"], "failed");
    assert!(bench.story().contains("task a: its result is on env/dev1"), "{}", bench.story());
    assert_eq!(place.git(&["rev-parse", "HEAD"]), head, "{}", bench.story());
    assert!(!place.folder().join("a.txt").exists());
    place.is_clean();
}

#[test]
fn a_person_who_works_there_meanwhile_loses_nothing() {
    let place = Place::new("");
    let bench = &place.bench;
    // While the gates look, somebody edits: the branch moves on under the edit, and no file does.
    let gate = json!([[crate::bench::AGENT, "do", bench.meet_line("gate")]]);
    let plan = bench.start(&Plan::new([seated("a", &["a.txt"], &["write a.txt a"])]).rule("custom", gate));
    let gate = bench.meet("gate");
    fs::write(place.folder().join("src/lib.txt"), "a person's\n").unwrap();
    gate.go();
    place.done(&plan);
    assert_eq!(place.results(), ["a"], "{}", bench.story());
    assert_eq!((place.holds("src/lib.txt").as_str(), place.holds("a.txt").as_str()), ("a person's", "a"));
    assert_eq!(place.git(&["status", "--porcelain"]), " M src/lib.txt");
    assert!(bench.story().contains("changes of somebody else stay there: src/lib.txt"), "{}", bench.story());
}

#[test]
fn killed_at_any_moment_the_next_conductor_goes_on() {
    for more in ["", "worktree = true"] {
        for point in [
            Point::EnvironmentEntered,
            Point::AttemptBegun,
            Point::SnapshotHeld,
            Point::SaveRecorded,
            Point::EnvironmentSettling,
            Point::EnvironmentSettled,
            Point::LandingMoved,
        ] {
            let place = Place::new(more);
            let bench = &place.bench;
            let plan = bench.plan(&Plan::new([
                seated("a", &["a.txt"], &["write a.txt a"]),
                seated("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
            ]));
            let log = bench.root.join("fired");
            let mut command = bench.command(KAPELL);
            command.args(["dispatch", "--plan-id", &plan]);
            command.env("KAPELL_FAILPOINT", format!("{}:kill", point.name()));
            command.env("KAPELL_FAILPOINT_LOG", &log).output().unwrap();
            bench.quiet();
            assert!(fs::read_to_string(&log).unwrap_or_default().contains(point.name()), "{}", point.name());
            bench.dispatch(&plan);
            place.done(&plan);
            assert_eq!(bench.landed(&plan).len(), 2, "{}: {}", point.name(), bench.story());
            assert_eq!(place.results(), ["a", "b"], "{}: {}", point.name(), bench.story());
            place.is_clean();
        }
    }
}

#[test]
fn a_worker_outlives_its_conductor_in_its_environment() {
    let place = Place::new("");
    let bench = &place.bench;
    let plan = bench.start(&Plan::new([seated(
        "a",
        &["a.txt"],
        &["write a.txt half", &bench.meet_line("here"), "write a.txt a"],
    )]));
    let worker = bench.meet("here");
    let conductor: Process = bench.conductor(&plan);
    conductor.kill();
    assert!(conductor.ends_before(std::time::Instant::now() + DEADLINE));
    bench.dispatch(&plan);
    worker.go();
    place.done(&plan);
    assert_eq!(bench.task(&plan, "a")["attempts"].as_array().unwrap().len(), 1);
    assert_eq!((place.holds("a.txt").as_str(), place.results()), ("a", vec!["a".to_owned()]));
    place.is_clean();
}

#[test]
fn a_machine_that_stops_leaves_nothing_in_the_way() {
    let place = Place::new("");
    let bench = &place.bench;
    let plan = bench.start(&Plan::new([seated(
        "a",
        &["a.txt"],
        &["write a.txt half", &bench.meet_line("here"), "write a.txt a"],
    )]));
    let _worker = bench.meet("here");
    for process in bench.processes() {
        process.signal(rustix::process::Signal::KILL);
    }
    bench.quiet();
    bench.dispatch(&plan);
    bench.meet("here").go();
    place.done(&plan);
    assert_eq!((place.holds("a.txt").as_str(), place.results()), ("a", vec!["a".to_owned()]));
    place.is_clean();
}

#[test]
fn who_waits_for_an_environment_that_the_dead_hold_is_told_of_them_and_what_frees_it() {
    let place = Place::new("");
    let bench = &place.bench;
    let lines = ["write a.txt half", &bench.meet_line("here"), "first hang"];
    let dead = bench.start(&Plan::new([seated("a", &["a.txt"], &lines)]));
    let _worker = bench.meet("here");
    for process in bench.processes() {
        process.signal(rustix::process::Signal::KILL);
    }
    bench.quiet();
    let next = bench.start(&Plan::new([seated("b", &["b.txt"], &["write b.txt b"])]));
    let frees =
        format!("kapell resume {dead} or kapell cancel {dead}/a saves what it did there and frees it");
    assert_eq!(
        place.waits(&next, "b"),
        format!("environment: dev1 is taken by {dead}/a, whose worker and conductor are gone: {frees}")
    );
    let refused = place.refused(&["env", "remove", "dev1"]);
    assert!(refused.to_string().contains(&format!("{dead}/a")), "{refused:#}");
    place.ok(&["cancel", &format!("{dead}/a")]);
    place.done(&next);
    bench.at_rest(&dead);
    let kept = bench.task(&dead, "a")["attempts"][0]["ref"].as_str().unwrap().to_owned();
    assert_eq!(bench.git(["show", &format!("{kept}:a.txt")]), "half");
}
