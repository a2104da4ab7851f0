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
