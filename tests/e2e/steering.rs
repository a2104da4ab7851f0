//! What a person says while work goes on.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::bench::processes::state_of;
use crate::bench::{Bench, Guest, KAPELL, Plan, task};

/// Two tasks side by side that leave something, meet the test, and end.
fn two(bench: &Bench) -> Plan {
    Plan::new([
        task("a", &["a.txt"], &["append a.txt more", &bench.meet_line("a")]),
        task("b", &["b.txt"], &["append b.txt more", &bench.meet_line("b")]),
    ])
}

#[test]
fn stop_saves_what_is_there_and_dispatch_goes_on_from_it() {
    let bench = Bench::new();
    let plan = bench.start(&two(&bench));
    let workers = [bench.meet("a"), bench.meet("b")];
    bench.control("stop", &plan);
    workers.into_iter().for_each(Guest::gone);
    assert_eq!(bench.at_rest(&plan)["state"], "stopped");
    let kept = ["a", "b"].map(|task| format!("refs/kapell/tasks/{plan}/{task}/1"));
    assert_eq!(bench.refs("refs/kapell/tasks"), kept);
    assert_eq!(bench.git(["show", &format!("{}:a.txt", kept[0])]), "more");
    assert_eq!(bench.task(&plan, "a")["attempts"][0]["outcome"], "killed");
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    assert_eq!(claims["claims"], json!([]));

    bench.dispatch(&plan);
    bench.meet("a").go();
    bench.meet("b").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "a.txt"), "more\nmore");
}

#[test]
fn stop_of_one_attempt_leaves_the_others_at_work() {
    let bench = Bench::new();
    let plan = bench.start(&two(&bench));
    let (a, b) = (bench.meet("a"), bench.meet("b"));
    bench.control("stop", &a.attempt);
    a.gone();
    b.go();
    assert_eq!(bench.at_rest(&plan)["state"], "stopped");
    assert_eq!(bench.task(&plan, "a")["state"], "ready");
    assert_eq!(bench.landed(&plan), ["b"]);
}

#[test]
fn a_worker_that_does_several_tasks_is_steered_in_all_of_them() {
    let bench = Bench::new();
    let plan = bench.start(&two(&bench));
    let (a, b) = (bench.meet("a"), bench.meet("b"));
    let worker = bench.task(&plan, "a")["attempts"][0]["worker"].as_str().unwrap().to_owned();
    assert_eq!(bench.task(&plan, "b")["attempts"][0]["worker"], worker.as_str());
    bench.control("pause", &worker);
    assert_eq!([state_of(a.pid), state_of(b.pid)], ['T', 'T']);
    bench.control("stop", &worker);
    a.gone();
    b.gone();
    let status = bench.at_rest(&plan);
    assert_eq!((&status["state"], &status["running"]), (&json!("stopped"), &json!(0)), "{status:#}");
}

#[test]
fn a_paused_plan_starts_nothing_new() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"]),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
    ]));
    let a = bench.meet("a");
    bench.control("pause", &plan);
    a.go();
    bench.task_is(&plan, "a", "done");
    assert_eq!(bench.rpc().ok("status", json!({"scope": "plan", "id": plan}))["state"], "paused");
    assert_eq!(bench.task(&plan, "b")["attempts"], json!([]));
    bench.control("resume", &plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done");
}

#[test]
fn a_paused_plan_that_has_nothing_left_is_done() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"])]));
    let a = bench.meet("a");
    bench.control("pause", &plan);
    a.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "a.txt"), "a");
}

#[test]
fn a_paused_inbox_stays_paused_for_what_is_sent_later() {
    let bench = Bench::new();
    let send = |name: &str| {
        let text = format!("{}\nwrite {name} x", bench.meet_line(name));
        bench.rpc().ok("dispatch", json!({"task": text, "files": [name], "target": "fake"}))
    };
    let inbox = send("a.txt")["plan_id"].as_str().unwrap().to_owned();
    let a = bench.meet("a.txt");
    bench.control("pause", &inbox);
    a.go();
    bench.until(json!({"scope": "plan", "id": inbox}), |status| status["done"] == 1);
    let sent = send("b.txt");
    assert_eq!(sent["waiting"][0]["reason"], "paused", "{sent:#}");
    bench.control("resume", &inbox);
    bench.meet("b.txt").go();
    assert_eq!(bench.at_rest(&inbox)["state"], "done", "{}", bench.story());
}

#[test]
fn a_plan_that_failed_is_not_said_to_go_on() {
    let bench = Bench::new();
    let plan = Plan::new([
        task("a", &["a.txt"], &["exit 3"]),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
    ]);
    let plan = bench.start(&plan.rule("max_attempts", json!(1)));
    assert_eq!(bench.at_rest(&plan)["state"], "failed", "{}", bench.story());
    let vain = bench.rpc().refused("control", json!({"action": "resume", "target": plan}));
    assert_eq!(vain.kind, "conflict", "{vain:?}");
    assert!(vain.message.contains("task a is failed"), "{vain:?}");
    assert!(vain.data["hint"].as_str().unwrap().contains(&format!("kapell retry {plan}")), "{vain:?}");
    // What is only blocked is told apart.
    for status in [
        bench.rpc().ok("status", json!({"scope": "plan", "id": plan})),
        bench.rpc().ok("status", json!({}))["plans"][0].take(),
    ] {
        assert_eq!((&status["failed"], &status["blocked"]), (&json!(2), &json!(1)), "{status:#}");
    }
}

#[test]
fn pause_with_force_suspends_workers_and_resume_wakes_them() {
    let bench = Bench::new();
    let plan = bench.start(&two(&bench));
    let (a, b) = (bench.meet("a"), bench.meet("b"));
    bench.rpc().ok("control", json!({"action": "pause", "target": plan, "force": true}));
    assert_eq!([state_of(a.pid), state_of(b.pid)], ['T', 'T']);
    // Whoever had it go on has it suspended again, and what is suspended is not said to finish.
    kill_process(Pid::from_raw(a.pid).unwrap(), Signal::CONT).unwrap();
    assert_ne!(state_of(a.pid), 'T');
    let told = bench.rpc().ok("control", json!({"action": "pause", "target": plan, "force": true}));
    assert_eq!([state_of(a.pid), state_of(b.pid)], ['T', 'T'], "{told}");
    let told = bench.control("pause", &plan);
    assert_eq!(told["message"], "nothing new starts, 2 workers are suspended");
    assert_eq!(bench.task(&plan, "a")["attempts"][0]["state"], "paused");
    let lines = |bench: &Bench| {
        let status = bench.rpc().ok("status", json!({"scope": "plan", "id": plan}));
        [status["tasks"][0]["paused"] == true, status["tasks"][1]["paused"] == true]
    };
    assert_eq!(lines(&bench), [true, true]);
    bench.control("resume", &a.attempt);
    assert_eq!(lines(&bench), [false, true]);
    assert_eq!((state_of(a.pid) == 'T', state_of(b.pid)), (false, 'T'));
    bench.control("resume", &plan);
    assert_ne!(state_of(b.pid), 'T');
    a.go();
    b.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done");
}

#[test]
fn a_suspended_worker_can_be_stopped() {
    let bench = Bench::new();
    let plan = bench.start(&two(&bench));
    let (a, b) = (bench.meet("a"), bench.meet("b"));
    bench.control("pause", &a.attempt);
    assert_eq!(state_of(a.pid), 'T');
    bench.control("stop", &a.attempt);
    a.gone();
    b.go();
    assert_eq!(bench.at_rest(&plan)["state"], "stopped");
}

#[test]
fn a_conductor_that_hangs_is_ended_by_force_and_nothing_is_lost() {
    let bench = Bench::new();
    let plan = bench.start(&two(&bench));
    let workers = [bench.meet("a"), bench.meet("b")];
    bench.settled();
    let hung = bench.conductor(&plan);
    hung.signal(Signal::STOP);
    // Who wants a worker's file is told who keeps it from being ended, and does not wait in vain.
    let taking = ["claim-files", "a.txt", "--as", "me", "--take-over", "--reason", "mine"];
    let refused = bench.command(KAPELL).args(taking).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(&format!("(process {}) is suspended", hung.pid)), "{said}");
    let said = bench.control("stop", &plan)["message"].as_str().unwrap().to_owned();
    assert!(said.contains("is suspended and does nothing") && said.contains("--force"), "{said}");
    // Nothing is ended yet, and it can be asked for again.
    let forced = bench.rpc().ok("control", json!({"action": "stop", "target": plan, "force": true}));
    let said = forced["message"].as_str().unwrap();
    assert!(said.contains(&hung.pid.to_string()) && said.contains("what they did is saved"), "{said}");
    workers.into_iter().for_each(Guest::gone);
    assert_eq!(bench.at_rest(&plan)["state"], "stopped");
    let kept = ["a", "b"].map(|task| format!("refs/kapell/tasks/{plan}/{task}/1"));
    assert_eq!(bench.refs("refs/kapell/tasks"), kept);

    bench.dispatch(&plan);
    bench.meet("a").go();
    bench.meet("b").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn cancel_ends_a_running_task_for_good_and_keeps_what_it_left() {
    let bench = Bench::new();
    let plan = bench.start(&two(&bench));
    let (a, b) = (bench.meet("a"), bench.meet("b"));
    bench.control("cancel", &format!("{plan}/a"));
    a.gone();
    b.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.task(&plan, "a")["state"], "cancelled");
    assert_eq!(bench.landed(&plan), ["b"]);
    assert_eq!(bench.git(["show", &format!("refs/kapell/tasks/{plan}/a/1:a.txt")]), "more");
}

#[test]
fn what_was_called_off_by_itself_stays_so_when_its_plan_is_dispatched() {
    let bench = Bench::new();
    let one = |id: &str| task(id, &[&format!("{id}.txt")], &[&format!("write {id}.txt {id}")]);
    let plan = bench.plan(&Plan::new([one("a"), one("b")]));
    bench.control("cancel", &format!("{plan}/a"));
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(
        (&bench.task(&plan, "a")["state"], bench.landed(&plan)),
        (&json!("cancelled"), vec!["b".to_owned()])
    );
    let refused = bench.rpc().refused("dispatch", json!({"plan_id": plan}));
    assert!(
        refused.data["hint"].as_str().unwrap().contains(&format!("kapell retry {plan}/a")),
        "{refused:?}"
    );
    // Named, it begins anew; and so does all that was called off with its whole plan.
    bench.rpc().ok("dispatch", json!({"plan_id": plan, "tasks": ["a"]}));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan).len(), 2);
    let plan = bench.plan(&Plan::new([one("c")]));
    bench.control("cancel", &plan);
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["c"]);
}

#[test]
fn a_task_that_is_called_off_while_it_is_judged_does_not_land() {
    let bench = Bench::new();
    let gate = bench.gate(&[&bench.meet_line("gate")]);
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]).rule("lint", gate));
    let gate = bench.meet("gate");
    bench.control("cancel", &format!("{plan}/a"));
    // Nobody wants to know what it would say.
    gate.gone();
    bench.at_rest(&plan);
    assert_eq!(bench.task(&plan, "a")["state"], "cancelled");
    assert_eq!(bench.landed(&plan), Vec::<String>::new());
}

#[test]
fn restart_ends_a_try_and_tells_the_next_one_why() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task(
        "a",
        &["a.txt"],
        &[&format!("first {}", bench.meet_line("a")), "again expect use tabs", "write a.txt a"],
    )]));
    let a = bench.meet("a");
    bench.rpc().ok("control", json!({"action": "restart", "target": a.attempt, "message": "use tabs"}));
    a.gone();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.task(&plan, "a")["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_decided_without_a_conductor_is_done_all_the_same() {
    let bench = Bench::new();
    let plan = bench.start(&two(&bench));
    let (a, b) = (bench.meet("a"), bench.meet("b"));
    bench.conductor(&plan).kill();
    bench.control("cancel", &format!("{plan}/a"));
    a.gone();
    b.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.task(&plan, "a")["state"], "cancelled");
    assert_eq!(bench.landed(&plan), ["b"]);

    let plan = bench.start(&two(&bench));
    let workers = [bench.meet("a"), bench.meet("b")];
    bench.conductor(&plan).kill();
    bench.control("stop", &plan);
    workers.into_iter().for_each(Guest::gone);
    assert_eq!(bench.at_rest(&plan)["state"], "stopped");
}

#[test]
fn stop_ends_a_gate_too_and_dispatch_judges_again() {
    let bench = Bench::new();
    let gate = bench.gate(&[&bench.meet_line("gate")]);
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]).rule("lint", gate));
    let gate = bench.meet("gate");
    bench.control("stop", &plan);
    gate.gone();
    assert_eq!(bench.at_rest(&plan)["state"], "stopped");
    // What nobody judges is not shown as being judged.
    assert_eq!(bench.task(&plan, "a")["state"], "waiting", "{}", bench.story());
    let told = bench.rpc().ok("status", json!({"scope": "plan", "id": plan}));
    assert_eq!(told["running"], 0, "{told:#}");
    assert_eq!(bench.landed(&plan), Vec::<String>::new());
    bench.dispatch(&plan);
    bench.meet("gate").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.task(&plan, "a")["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn whoever_watches_a_plan_begin_never_hears_that_its_conductor_died() {
    let bench = Bench::new();
    let plan = bench.plan(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    let mut door = bench.rpc();
    let newest = door.ok("status", json!({}))["seq"].take();
    let watch = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let (mut seen, mut since) = (Vec::new(), newest);
            loop {
                let asked = json!({"scope": "plan", "id": plan, "since_seq": since, "wait_ms": 20_000});
                let told = door.ok("status", asked);
                let state = told["state"].as_str().unwrap().to_owned();
                since = told["seq"].clone();
                let is_over = matches!(state.as_str(), "done" | "failed" | "stopped");
                seen.push(state);
                if is_over {
                    return seen;
                }
            }
        });
        bench.dispatch(&plan);
        watching.join().unwrap()
    });
    assert_eq!(watch.last().map(String::as_str), Some("done"), "{watch:?}");
}

/// The person's last word holds: who dispatches while a stop goes on wants the work done.
#[test]
fn a_dispatch_during_a_stop_is_done_after_it() {
    let bench = Bench::new();
    let lines = ["without ready write ready x", &bench.meet_line("a"), "write a.txt a"];
    let plan = bench.start(&Plan::new([task("a", &["a.txt", "ready"], &lines)]));
    let worker = bench.meet("a");
    bench.settled();
    // The conductor sees the stop only after the dispatch.
    let conductor = bench.conductor(&plan);
    conductor.signal(Signal::STOP);
    bench.control("stop", &plan);
    bench.dispatch(&plan);
    conductor.signal(Signal::CONT);
    worker.gone();
    bench.meet("a").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn a_plan_that_is_called_off_is_not_done_and_what_failed_tells_why() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a"]),
        task("b", &["b.txt"], &[&bench.meet_line("b"), "write b.txt b"]).after(&["a"]),
    ]));
    let worker = bench.meet("b");
    bench.control("cancel", &plan);
    worker.gone();
    assert_eq!(bench.at_rest(&plan)["state"], "stopped", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a"]);
    let refused = bench.rpc().refused("control", json!({"action": "cancel", "target": plan}));
    assert!(refused.message.contains("nothing of it is open"), "{refused:?}");

    let failing = Plan::new([
        task("bad", &["a.txt"], &["exit 1"]),
        task("good", &["b.txt"], &[&bench.meet_line("good"), "write b.txt b"]),
    ]);
    let plan = bench.start(&failing.rule("max_attempts", json!(1)));
    let worker = bench.meet("good");
    let why = bench.task_is(&plan, "bad", "failed")["reason"].clone();
    bench.control("cancel", &plan);
    worker.gone();
    assert_eq!(bench.at_rest(&plan)["state"], "failed", "{}", bench.story());
    let bad = bench.task(&plan, "bad");
    assert_eq!((&bad["state"], &bad["reason"]), (&json!("failed"), &why));
}
