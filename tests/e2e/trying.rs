//! Tries that are not accepted: what is kept, who is told, who goes on.

use serde_json::json;

use crate::bench::{Bench, Plan, task};

#[test]
fn a_change_outside_of_the_claim_never_lands() {
    let bench = Bench::new();
    let plan = bench.start(
        &Plan::new([
            task("a", &["a.txt"], &["write a.txt mine", "write src/lib.txt stolen", "write b.txt stolen"]),
            task("c", &["c.txt"], &["write c.txt c"]),
            task("d", &["d.txt"], &["write d.txt d"]).after(&["a"]),
        ])
        .rule("max_attempts", json!(2)),
    );
    let status = bench.at_rest(&plan);
    assert_eq!(status["state"], "failed");
    let a = bench.task(&plan, "a");
    assert_eq!(a["state"], "failed");
    for attempt in a["attempts"].as_array().unwrap() {
        assert_eq!(attempt["outcome"], "violation", "{a:#}");
        assert_eq!(attempt["outside_claim"], json!(["b.txt", "src/lib.txt"]));
        assert_eq!(attempt["verdict"], "rejected");
    }
    assert_eq!(a["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(bench.task(&plan, "d")["state"], "blocked");
    assert_eq!(bench.landed(&plan), ["c"]);
    assert_eq!(bench.on_branch(&plan, "src/lib.txt"), "one");
    let kept = bench.refs("refs/kapell/quarantine");
    assert_eq!(kept, [1, 2].map(|number| format!("refs/kapell/quarantine/{plan}/a/{number}")));
    assert_eq!(bench.git(["show", &format!("{}:b.txt", kept[0])]), "stolen");
}

#[test]
fn the_next_try_is_told_what_was_wrong_and_goes_on_from_there() {
    let bench = Bench::new();
    let lines = [
        "first write a.txt half",
        "first write other.txt stolen",
        "again expect other.txt is not owned by the task",
        "again run test ! -e other.txt",
        "again append a.txt whole",
    ];
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &lines)]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "a.txt"), "half\nwhole");
    let a = bench.task(&plan, "a");
    let outcomes: Vec<&str> =
        a["attempts"].as_array().unwrap().iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["violation", "submitted"]);
    assert_eq!(bench.worktrees(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_a_try_left_is_there_for_the_next_also_where_other_work_landed_meanwhile() {
    let bench = Bench::new();
    let first = format!("first {}", bench.meet_line("first"));
    let lines = [
        "first append src/lib.txt two",
        "first write src/new n",
        "first write src/bad x",
        &first,
        "again expect The folder holds what the try before left within your files",
        "again run sh -c 'test -e src/new && test -e lib/z && rm src/bad'",
        "again write src/fix f",
    ];
    let plan = bench.start(
        &Plan::new([task("a", &["src/"], &lines), task("z", &["lib/z"], &["write lib/z z"])])
            .rule("lint", json!(["test", "!", "-e", "src/bad"])),
    );
    let first = bench.meet("first");
    bench.task_is(&plan, "z", "done");
    first.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.task(&plan, "a")["attempts"].as_array().unwrap().len(), 2, "{}", bench.story());
    for (file, text) in [("src/new", "n"), ("src/fix", "f"), ("lib/z", "z"), ("src/lib.txt", "one\ntwo")] {
        assert_eq!(bench.on_branch(&plan, file), text);
    }
}

#[test]
fn retry_gives_a_failed_task_another_try_and_frees_those_behind_it() {
    let bench = Bench::new();
    let plan = bench.start(
        &Plan::new([
            task("a", &["a.txt"], &["first exit 3", "again write a.txt a"]),
            task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
        ])
        .rule("max_attempts", json!(1)),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    assert_eq!(bench.task(&plan, "b")["state"], "blocked");
    bench.control("retry", &format!("{plan}/a"));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a", "b"]);
}

#[test]
fn approve_lands_what_the_judge_refused_but_nothing_outside_of_the_claim() {
    let bench = Bench::new();
    let plan = bench.start(
        &Plan::new([task("a", &["a.txt"], &["write a.txt a", "write b.txt stolen"])])
            .rule("max_attempts", json!(1)),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    bench.control("approve", &format!("{plan}/a"));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a"]);
    let files = bench.git(["ls-tree", "-r", "--name-only", &format!("kapell/{plan}")]);
    assert_eq!(files, "README\na.txt\nsrc/lib.txt");
}

#[test]
fn cancel_calls_a_waiting_task_off_and_blocks_those_behind_it() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"]),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
        task("c", &["c.txt"], &["write c.txt c"]).after(&["b"]),
    ]));
    let a = bench.meet("a");
    bench.control("cancel", &format!("{plan}/b"));
    a.go();
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let states = ["a", "b", "c"].map(|task| bench.task(&plan, task)["state"].as_str().unwrap().to_owned());
    assert_eq!(states, ["done", "cancelled", "blocked"]);
}

#[test]
fn a_worker_cannot_write_outside_of_its_folder_nor_move_refs_nor_run_code_in_kapell() {
    let bench = Bench::new();
    let project = bench.project.display().to_string();
    let mark = bench.root.join("mark").display().to_string();
    let lines = [
        format!("denied write '{project}/src/lib.txt' stolen"),
        format!("denied write '{project}/.git/refs/heads/stolen' x"),
        format!("denied write {mark} x"),
        "write a.txt a".to_owned(),
        "run git add -A".to_owned(),
        "run git commit -m stolen".to_owned(),
        format!("git-swap {mark}"),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &lines)]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert!(bench.task(&plan, "a")["attempts"][0]["wall"].as_str().unwrap().starts_with("landlock"));
    assert!(!bench.root.join("mark").exists(), "the worker's configuration was used");
    assert_eq!(bench.landed(&plan), ["a"]);
    assert_eq!(bench.git(["log", "--all", "--format=%s", "--grep", "stolen"]), "");
    assert_eq!(bench.refs("refs/heads"), [format!("refs/heads/kapell/{plan}"), "refs/heads/main".to_owned()]);
}

#[test]
fn a_worker_has_only_so_much_time_and_must_show_life() {
    let bench = Bench::new();
    let plan = bench.start(
        &Plan::new([
            task("long", &["a.txt"], &["write a.txt a", "hang"]).with("timeout_s", json!(1)),
            task("stuck", &["b.txt"], &["write b.txt b", "hang"])
                .with("rules", json!({"stuck_after_s": 1, "max_attempts": 1})),
        ])
        .rule("max_attempts", json!(1)),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    for (task, file, outcome) in [("long", "a.txt", "timed-out"), ("stuck", "b.txt", "stuck")] {
        let status = bench.task(&plan, task);
        assert_eq!(status["attempts"][0]["outcome"], outcome, "{status:#}");
        // What it had done is kept all the same.
        bench.git(["show", &format!("refs/kapell/tasks/{plan}/{task}/1:{file}")]);
    }
}

#[test]
fn some_tasks_of_a_plan_are_started_now_and_the_others_later() {
    let bench = Bench::new();
    let plan = bench.plan(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a"]),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
        task("c", &["c.txt"], &["write c.txt c"]),
    ]));
    let mut rpc = bench.rpc();
    let refusal = rpc.refused("dispatch", json!({"plan_id": plan, "tasks": ["b"]}));
    assert!(refusal.message.contains("task b depends on task a"), "{refusal:?}");
    let dry = rpc.ok("dispatch", json!({"plan_id": plan, "dry_run": true}));
    assert_eq!((dry["waiting"].as_array().unwrap().len(), &dry["run_id"]), (3, &json!(null)), "{dry:#}");
    let waits = |at: usize| (dry["waiting"][at]["reason"].clone(), dry["waiting"][at]["on"].clone());
    assert_eq!(waits(0), (json!("slot"), json!("a free worker, and nothing else")), "{dry:#}");
    assert_eq!(waits(2), (json!("dependency"), json!("task a")), "{dry:#}");
    rpc.ok("dispatch", json!({"plan_id": plan, "tasks": ["a"]}));
    assert_eq!(bench.at_rest(&plan)["state"], "stopped");
    assert_eq!(bench.landed(&plan), ["a"]);
    rpc.ok("dispatch", json!({"plan_id": plan, "tasks": ["b"]}));
    assert_eq!(bench.at_rest(&plan)["state"], "stopped");
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done");
    assert_eq!(bench.landed(&plan), ["a", "b", "c"]);
    assert_eq!(rpc.refused("dispatch", json!({"plan_id": plan})).kind, "conflict");
}

#[test]
fn single_tasks_are_done_without_a_plan_also_while_others_run() {
    let bench = Bench::new();
    let mut rpc = bench.rpc();
    let rules = json!({"spec_first": false, "tdd": false});
    let mut send = |file: &str, line: &str| {
        rpc.ok(
            "dispatch",
            json!({"task": format!("# {file}\n{line}\nwrite {file} x"), "files": [file], "rules": rules}),
        )
    };
    let first = send("a.txt", &bench.meet_line("a"));
    let inbox = first["plan_id"].as_str().unwrap().to_owned();
    let a = bench.meet("a");
    assert_eq!(send("b.txt", &bench.meet_line("b"))["plan_id"], inbox.as_str());
    let b = bench.meet("b");
    a.go();
    b.go();
    assert_eq!(bench.at_rest(&inbox)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&inbox).len(), 2);
    send("c.txt", "# nothing to wait for");
    bench.at_rest(&inbox);
    assert_eq!(bench.landed(&inbox).len(), 3);
}

#[test]
fn a_branch_in_the_way_of_a_plans_own_is_named() {
    let bench = Bench::new();
    bench.git(["branch", "kapell"]);
    let plan = bench.plan(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    let refused = bench.rpc().refused("dispatch", json!({"plan_id": plan}));
    assert_eq!(refused.kind, "conflict");
    let told = format!("the branch kapell is in the way of the plan's own, kapell/{plan}");
    assert!(refused.message.contains(&told), "{refused:?}");
    bench.git(["branch", "-m", "kapell", "other"]);
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}
