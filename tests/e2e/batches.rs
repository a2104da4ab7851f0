//! Work that waits lands together, and what fails is found.

use serde_json::json;

use crate::bench::{AGENT, Bench, Guest, Plan, task};

/// Tasks that each write a file of their own once they are let go.
const TASKS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A project whose test fails where `a.txt` and `d.txt` are together, and meets the test as `hold`
/// where `b.txt` came upon `a.txt` and nothing else did; a plan at whose hold all others wait to land.
fn held() -> (Bench, String, Guest) {
    let bench = Bench::new();
    let check = format!(
        "test -e a.txt && test -e d.txt && exit 1\n\
         if test -e a.txt && test -e b.txt && ! test -e c.txt && test -e {}; then exec {AGENT} do '{}'; fi\n\
         exit 0\n",
        bench.root.join("armed").display(),
        bench.meet_line("hold")
    );
    bench.write("../armed", "");
    bench.write("kapell.toml", "[project]\nmax_workers = 5\n");
    bench.write("check.sh", &check);
    bench.commit("check");
    let tasks = TASKS.map(|name| {
        let file = format!("{name}.txt");
        task(name, &[&file], &[&bench.meet_line(name), &format!("write {file} {name}")])
    });
    let plan = Plan::new(tasks).rule("test", json!("sh check.sh")).rule("max_attempts", json!(1));
    let plan = bench.start(&plan.with("max_parallel", json!(5)));
    let [a, b, others @ ..] = TASKS.map(|name| bench.meet(name));
    a.go();
    bench.task_is(&plan, "a", "done");
    b.go();
    let hold = bench.meet("hold");
    for (worker, name) in others.into_iter().zip(&TASKS[2..]) {
        worker.go();
        bench.task_is(&plan, name, "landing");
    }
    (bench, plan, hold)
}

fn check_settled(bench: &Bench, plan: &str) {
    assert_eq!(bench.at_rest(plan)["state"], "failed");
    let mut landed = bench.landed(plan);
    landed.sort();
    assert_eq!(landed, ["a", "b", "c", "e"], "{}", bench.story());
    let d = bench.task(plan, "d");
    let why = d["reason"].as_str().unwrap();
    assert!(why.contains("together with what landed meanwhile, `sh check.sh` fails"), "{why}");
    assert_eq!(bench.git(["ls-tree", "--name-only", &format!("kapell/{plan}"), "d.txt"]), "");
    assert_eq!(bench.worktrees().len(), 1, "only that of the failed task is kept");
}

#[test]
fn those_who_wait_land_as_one_and_only_the_one_that_fails_goes_back() {
    let (bench, plan, hold) = held();
    hold.go();
    check_settled(&bench, &plan);
    let batches: Vec<String> =
        bench.events(Some(&plan)).into_iter().filter(|it| it.0 == "landing.batch").map(|it| it.1).collect();
    assert_eq!(batches, ["tasks c, d, e land together"]);
    assert_eq!(bench.landed(&plan), ["a", "b", "c", "e"], "in the order in which they came");
}

#[test]
fn a_conductor_that_is_killed_while_others_wait_lands_each_once() {
    let (bench, plan, hold) = held();
    bench.conductor(&plan).kill();
    std::fs::remove_file(bench.root.join("armed")).unwrap();
    bench.dispatch(&plan);
    hold.gone();
    check_settled(&bench, &plan);
}

#[test]
fn a_gate_that_passes_when_run_again_is_flaky_and_says_so() {
    let bench = Bench::new();
    let lint = bench.gate(&[&bench.meet_line("lint")]);
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]).rule("lint", lint));
    drop(bench.meet("lint"));
    bench.meet("lint").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let attempt = bench.task(&plan, "a")["attempts"][0].take();
    let gates = attempt["gates"].as_array().unwrap();
    let lint = gates.iter().find(|gate| gate["name"] == "lint").unwrap();
    assert_eq!(lint["outcome"], "flaky", "{attempt:#}");
    assert!(lint["why"].as_str().unwrap().ends_with("and succeeds when run again"), "{lint}");
    assert_eq!(attempt["verdict"], "approved");
    let told = bench.events(Some(&plan)).into_iter().filter(|it| it.0 == "gate.flaky").count();
    assert_eq!(told, 1, "{}", bench.story());
}

#[test]
fn a_gate_that_is_flaky_while_landing_is_run_once_more_and_that_is_told() {
    let bench = Bench::new();
    // Only a tree with the work of both waits for the test.
    let line = shell_words::join(["if-both", "a.txt", "b.txt", &bench.socket(), "merge"]);
    let tasks = ["a", "b"].map(|name| {
        let file = format!("{name}.txt");
        task(name, &[&file], &[&bench.meet_line(name), &format!("write {file} {name}")])
    });
    let plan =
        bench.start(&Plan::new(tasks).rule("test", bench.gate(&[&line])).with("max_parallel", json!(2)));
    let [a, b] = ["a", "b"].map(|name| bench.meet(name));
    a.go();
    bench.task_is(&plan, "a", "done");
    b.go();
    drop(bench.meet("merge"));
    bench.meet("merge").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a", "b"]);
    let told = bench.events(Some(&plan)).into_iter().filter(|it| it.0 == "gate.flaky");
    let told: Vec<String> = told.map(|it| it.1).collect();
    assert_eq!(told.len(), 1, "{}", bench.story());
    assert!(told[0].starts_with("landing-test: ") && told[0].ends_with("when run again"), "{told:?}");
    assert_eq!(bench.task(&plan, "b")["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_conflict_goes_back_with_its_hunks_and_is_tried_on_the_new_base() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task(
        "a",
        &["src/lib.txt"],
        &[
            &bench.meet_line("a"),
            "first write src/lib.txt mine",
            "again expect src/lib.txt, line 1:",
            "again expect <<<<<<< landed",
            "again expect theirs",
            "again run grep -qx theirs src/lib.txt",
            "again append src/lib.txt mine",
        ],
    )]));
    let a = bench.meet("a");
    // Somebody else's work comes onto the plan's branch meanwhile.
    bench.write("src/lib.txt", "theirs\n");
    bench.git(["add", "."]);
    let tree = bench.git(["write-tree"]);
    let branch = format!("refs/heads/kapell/{plan}");
    let commit = bench.git(["commit-tree", &tree, "-p", &branch, "-m", "theirs"]);
    bench.git(["update-ref", &branch, &commit]);
    bench.git(["reset", "-q", "--hard"]);
    a.go();
    bench.meet("a").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "src/lib.txt"), "theirs\nmine");
    let attempts = bench.task(&plan, "a")["attempts"].take();
    assert_eq!(attempts.as_array().unwrap().len(), 2);
    // Whoever asks later reads what the worker was told.
    assert_eq!(attempts[0]["verdict"], "rejected", "{attempts:#}");
    let landing = attempts[0]["gates"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&landing["name"], &landing["outcome"]), (&json!("landing"), &json!("fail")));
    assert_eq!(landing["why"], "what landed meanwhile conflicts in src/lib.txt");
    assert!(landing["evidence"].as_str().unwrap().contains("<<<<<<< landed"), "{landing}");
    assert_eq!(attempts[1]["verdict"], "approved");
    assert!(attempts[1]["gates"].as_array().unwrap().iter().all(|gate| gate["name"] != "landing"));
}

#[test]
fn every_command_of_the_rules_is_run_on_what_comes_of_two_works() {
    for gate in ["lint", "build", "custom"] {
        let bench = Bench::new();
        let line = shell_words::join(["if-both", "a.txt", "b.txt", &bench.socket(), "merge"]);
        let tasks = ["a", "b"].map(|name| {
            let file = format!("{name}.txt");
            task(name, &[&file], &[&bench.meet_line(name), &format!("write {file} {name}")])
        });
        let command = bench.gate(&[&line]);
        let command = if gate == "custom" { json!([command]) } else { command };
        let plan = Plan::new(tasks).rule(gate, command).rule("max_attempts", json!(1));
        let plan = bench.start(&plan.with("max_parallel", json!(2)));
        let [a, b] = ["a", "b"].map(|name| bench.meet(name));
        a.go();
        bench.task_is(&plan, "a", "done");
        b.go();
        // It fails, and does again.
        drop(bench.meet("merge"));
        drop(bench.meet("merge"));
        assert_eq!(bench.at_rest(&plan)["state"], "failed", "{gate}: {}", bench.story());
        assert_eq!(bench.landed(&plan), ["a"], "{gate}");
        let attempt = bench.task(&plan, "b")["attempts"][0].take();
        let landing = attempt["gates"].as_array().unwrap().last().unwrap();
        assert_eq!(landing["name"], "landing", "{gate}: {attempt:#}");
        let why = landing["why"].as_str().unwrap();
        assert!(why.starts_with("together with what landed meanwhile"), "{gate}: {why}");
    }
}

#[test]
fn a_plan_of_a_detached_checkout_is_merged_by_the_person() {
    let bench = Bench::new();
    bench.git(["checkout", "-q", "--detach"]);
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "done");
    let refusal = bench.rpc().refused("control", json!({"action": "land", "target": plan}));
    assert!(refusal.message.contains("has no target branch"), "{refusal:?}");
    assert_eq!(bench.landed_on("main"), Vec::<String>::new());
    bench.git(["merge", "-q", "--ff-only", &format!("kapell/{plan}")]);
    assert_eq!(bench.git(["status", "--porcelain"]), "");
}
