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
        format!("denied write {project}/src/lib.txt stolen"),
        format!("denied write {project}/.git/refs/heads/stolen x"),
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
