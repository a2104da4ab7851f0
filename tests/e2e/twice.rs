//! Two at once: the same plan, or plans that want the same files.

use serde_json::json;

use crate::bench::{Bench, Plan, task};

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
    let is_queued = |status: &serde_json::Value| {
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
