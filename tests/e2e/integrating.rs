//! Files that belong to the integrator.

use serde_json::json;

use crate::bench::{Bench, Plan, task};

/// A project whose `index.txt` lists the folder `parts`.
fn indexed(command: &str) -> Bench {
    let bench = Bench::new();
    bench.write("index.txt", "nothing\n");
    bench.write(
        "kapell.toml",
        &format!("[project]\nintegrator = [{{ files = [\"index.txt\"], command = [\"sh\", \"-c\", '{command}'] }}]\n"),
    );
    bench.commit("index");
    bench
}

fn parts() -> Plan {
    let part = |name: &str| {
        let file = format!("parts/{name}.txt");
        task(name, &[&file], &[&format!("write {file} {name}"), &format!("write index.txt 'only {name}'")])
    };
    Plan::new([part("a"), part("b")]).rule("max_attempts", json!(1))
}

#[test]
fn they_are_made_anew_while_landing_and_what_workers_did_to_them_is_dropped() {
    let bench = indexed("ls parts > index.txt; echo stray > stray.txt; echo changed >> README");
    let plan = bench.start(&parts());
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "index.txt"), "a.txt\nb.txt");
    assert_eq!(bench.on_branch(&plan, "README"), "a project");
    let files = bench.git(["ls-tree", "-r", "--name-only", &format!("kapell/{plan}")]);
    assert_eq!(files, "README\nindex.txt\nkapell.toml\nparts/a.txt\nparts/b.txt\nsrc/lib.txt");
    for name in ["a", "b"] {
        let attempt = bench.task(&plan, name)["attempts"][0].take();
        assert_eq!(attempt["outcome"], "submitted", "{attempt:#}");
        assert_eq!(attempt["outside_claim"], json!([]));
    }
    let dropped = bench.events(Some(&plan)).into_iter().filter(|it| it.0 == "attempt.dropped");
    assert_eq!(dropped.count(), 2, "{}", bench.story());
}

#[test]
fn two_plans_that_made_them_anew_merge_and_they_are_made_of_both() {
    let bench = indexed("ls parts > index.txt");
    let plans = ["a", "b"].map(|name| {
        let file = format!("parts/{name}.txt");
        let plan = Plan::new([task(name, &[&file], &[&format!("write {file} {name}")])]);
        let plan = bench.start(&plan);
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
        assert_eq!(bench.on_branch(&plan, "index.txt"), format!("{name}.txt"));
        plan
    });
    bench.control("land", &plans[0]);
    let done = bench.control("land", &plans[1]);
    let run = done["run_ids"][0].as_str().unwrap_or_else(|| panic!("{done:#}")).to_owned();
    let told = bench.until(json!({"run_id": run}), |run| run["state"] != "running");
    assert_eq!(told["verdict"], "approved", "{told:#}");
    assert_eq!(bench.git(["show", "main:index.txt"]), "a.txt\nb.txt");
    assert_eq!(bench.git(["status", "--porcelain"]), "");
}

#[test]
fn no_task_owns_them() {
    let bench = indexed("true");
    let plan = Plan::new([task("a", &["index.txt"], &["write index.txt x"])]);
    let planned = bench.rpc().ok("plan", plan.params());
    assert_eq!(planned["plan_id"], json!(null), "{planned:#}");
    let problem = planned["problems"][0]["message"].as_str().unwrap();
    assert!(problem.contains("belongs to the integrator"), "{problem}");
}

#[test]
fn work_with_which_they_cannot_be_made_goes_back() {
    let bench = indexed("ls parts > index.txt; test ! -e parts/b.txt");
    let plan = bench.start(&parts());
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    assert_eq!(bench.landed(&plan), ["a"], "{}", bench.story());
    let why = bench.task(&plan, "b")["reason"].take();
    assert!(why.as_str().unwrap().contains("making index.txt anew, `sh -c"), "{why}");
    assert_eq!(bench.on_branch(&plan, "index.txt"), "a.txt");
}
