//! What was left by processes that died, all at once or the conductor alone: nobody waits for it, nothing of it is lost,
//! and nothing is told of it that is not so.

use rustix::process::Signal;
use serde_json::json;

use crate::bench::{Bench, Plan, task};

/// Kills every process at once, as the power does.
fn all_die(bench: &Bench) {
    for process in bench.processes() {
        process.signal(Signal::KILL);
    }
    bench.quiet();
}

#[test]
fn the_work_of_a_task_that_is_called_off_after_its_conductor_died_is_saved_and_nothing_stays_taken() {
    for whole in [false, true] {
        let bench = Bench::new();
        bench.configure("[workers.w1]\nprovider = \"fake\"\n");
        let lines = ["write t.txt half", &bench.meet_line("here"), "first hang"];
        let plan = bench.start(&Plan::new([task("t", &["t.txt"], &lines).with("agent", json!("w1"))]));
        let worker = bench.meet("here");
        bench.conductor(&plan).kill();
        let target = if whole { plan.clone() } else { format!("{plan}/t") };
        bench.control("cancel", &target);
        worker.gone();
        let status = bench.until(json!({"scope": "task", "id": format!("{plan}/t")}), |status| {
            status["attempts"][0]["outcome"].is_string()
        });
        bench.at_rest(&plan);
        let kept = status["attempts"][0]["ref"].as_str().map(str::to_owned);
        let kept = kept.or_else(|| bench.task(&plan, "t")["attempts"][0]["ref"].as_str().map(str::to_owned));
        let kept = kept.unwrap_or_else(|| panic!("{status:#}\n{}", bench.story()));
        assert_eq!(bench.git(["show", &format!("{kept}:t.txt")]), "half");
        let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
        assert_eq!(claims["claims"], json!([]), "{claims:#}");
        // Its worker is free for others.
        let next =
            bench.start(&Plan::new([task("v", &["v.txt"], &["write v.txt x"]).with("agent", json!("w1"))]));
        assert_eq!(bench.at_rest(&next)["state"], "done", "{}", bench.story());
    }
}

#[test]
fn nobody_waits_for_workers_that_died_with_their_conductor() {
    let limits = [
        "[project]\nmax_workers = 1\n[workers.w1]\nprovider = \"fake\"\n",
        "[workers.w1]\nprovider = \"fake\"\n",
        "[workers.w1]\nprovider = \"fake\"\n[workers.w2]\nprovider = \"fake\"\n\
         [groups.g]\nmembers = [\"w1\", \"w2\"]\nstrategy = \"sequential\"\n",
    ];
    for (limit, target) in limits.into_iter().zip(["w1", "w1", "g"]) {
        let bench = Bench::new();
        bench.configure(limit);
        let of = |name: &str, lines: &[&str]| {
            let file = format!("{name}.txt");
            Plan::new([task(name, &[&file], lines).with("agent", json!(target))])
        };
        let dead = bench.start(&of("dead", &[&bench.meet_line("dead"), "write dead.txt x"]));
        let _worker = bench.meet("dead");
        all_die(&bench);
        let plan = bench.start(&of("next", &["write next.txt x"]));
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{limit}\n{}", bench.story());
        // And the other goes on when it is told to.
        bench.dispatch(&dead);
        bench.meet("dead").go();
        assert_eq!(bench.at_rest(&dead)["state"], "done", "{limit}\n{}", bench.story());
    }
}

#[test]
fn who_waits_for_money_that_is_set_aside_for_the_dead_is_told_of_them() {
    let bench = Bench::new();
    bench.configure(
        "[providers.paid]\nkind = \"command\"\ncommand = [\"/bin/sleep\", \"1000\"]\n\
         [providers.paid.budget]\nusd_per_day = 1.0\nusd_per_attempt = 1.0\n",
    );
    let of = |name: &str| {
        let file = format!("{name}.txt");
        Plan::new([task(name, &[&file], &["write x.txt x"]).with("agent", json!("paid"))])
    };
    let dead = bench.start(&of("dead"));
    bench.task_is(&dead, "dead", "running");
    bench.until(json!({"scope": "workers"}), |status| status["workers"].to_string().contains("busy"));
    all_die(&bench);
    let plan = bench.start(&of("next"));
    let waits = bench
        .until(json!({"scope": "task", "id": format!("{plan}/next")}), |status| status["reason"].is_string());
    let why = waits["reason"].as_str().unwrap();
    assert!(why.starts_with("budget: "), "{why}");
    assert!(
        why.contains(&format!("set aside for {dead}/dead, whose worker and conductor are gone")),
        "{why}"
    );
    assert!(why.contains(&format!("kapell stop {dead} --force settles it")), "{why}");
    bench.rpc().ok("control", json!({"action": "stop", "target": plan}));
    bench.rpc().ok("control", json!({"action": "stop", "target": dead, "force": true}));
}

#[test]
fn a_stage_whose_command_died_with_its_conductor_is_not_said_to_run() {
    let bench = Bench::new();
    let deploy = bench.gate(&[&bench.meet_line("deploy")]);
    bench
        .configure(&format!("[pipelines.feature]\nstages = [{{ name = \"deploy\", command = {deploy} }}]\n"));
    let pipeline = |params| bench.rpc().ok("pipeline", params);
    let started = pipeline(json!({"action": "run", "name": "feature", "request": "x"}));
    let run = started["run"].as_str().unwrap().to_owned();
    let show = || pipeline(json!({"action": "show", "run": run}));
    let guest = bench.meet("deploy");
    assert_eq!(show()["state"], "running");
    let shim = bench.shim(&guest.attempt);
    bench.conductor(&run).kill();
    // The command goes on alone.
    let shown = show();
    assert_eq!(shown["stages"][0]["state"], "running", "{shown:#}");
    assert!(shown["stages"][0]["reason"].to_string().contains("its conductor died"), "{shown:#}");
    assert_eq!(shown["stages"][0]["commands"][0]["state"], "running", "{shown:#}");
    shim.kill();
    bench.quiet();
    let shown = show();
    assert_eq!(
        (&shown["state"], &shown["stages"][0]["state"]),
        (&json!("stopped"), &json!("stopped")),
        "{shown:#}"
    );
    assert_eq!(shown["stages"][0]["commands"][0]["state"], "unknown", "{shown:#}");
    let listed = pipeline(json!({"action": "list"}));
    assert_eq!(listed["runs"][0]["state"], "stopped", "{listed:#}");
}
