//! All in one folder: `isolation = "shared"`, with git and without.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::bench::{Bench, Plan, again_without_privileges, task};

const SHARED: &str = "[project]\nisolation = \"shared\"\n";

#[test]
fn work_in_a_shared_folder_stays_there_and_nothing_else_moves() {
    let bench = Bench::new();
    bench.configure(SHARED);
    bench.write("mine.txt", "mine\n");
    let main = bench.git(["rev-parse", "main"]);
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"]),
        task("b", &["b.txt"], &[&bench.meet_line("b"), "write b.txt b"]),
        task("c", &["c.txt"], &["run test -e a.txt", "write c.txt c"]).after(&["a"]),
    ]));
    let (a, b) = (bench.meet("a"), bench.meet("b"));
    a.go();
    bench.task_is(&plan, "a", "done");
    b.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    for (file, text) in [("a.txt", "a\n"), ("b.txt", "b\n"), ("c.txt", "c\n"), ("mine.txt", "mine\n")] {
        assert_eq!(fs::read_to_string(bench.project.join(file)).unwrap(), text);
    }
    assert_eq!(bench.git(["rev-parse", "main"]), main);
    assert_eq!(bench.task(&plan, "a")["attempts"][0]["changed"], json!(["a.txt"]));
}

#[test]
fn in_a_shared_folder_tasks_without_files_work_one_after_the_other_and_once() {
    let bench = Bench::new();
    bench.configure(&format!("{SHARED}max_workers = 4\n"));
    let send = |text: &str| bench.rpc().ok("dispatch", json!({"task": text}));
    let plan =
        send(&format!("{}\nwrite a.txt a", bench.meet_line("a")))["plan_id"].as_str().unwrap().to_owned();
    let a = bench.meet("a");
    send(&format!("{}\nwrite b.txt b", bench.meet_line("b")));
    let owner = json!({"task": format!("{}\nwrite c.txt c", bench.meet_line("c")), "files": ["c.txt"]});
    let waiting = bench.rpc().ok("dispatch", owner)["waiting"].clone();
    assert!(waiting[0]["on"].as_str().unwrap().contains("works in the folder"), "{waiting}");
    a.go();
    bench.meet("b").go();
    bench.meet("c").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    for file in ["a.txt", "b.txt", "c.txt"] {
        let found = fs::read_to_string(bench.project.join(file)).unwrap();
        assert_eq!(found, format!("{}\n", &file[..1]));
    }
    let status = bench.rpc().ok("status", json!({"scope": "plan", "id": plan}));
    for task in status["tasks"].as_array().unwrap() {
        assert_eq!(task["attempts"], 1, "{task}: {}", bench.story());
    }
}

#[test]
fn in_a_shared_folder_a_change_of_what_somebody_else_owns_is_seen() {
    let bench = Bench::new();
    bench.configure(SHARED);
    let plan = bench.start(
        &Plan::new([task("a", &["a.txt"], &["write a.txt a", "write src/lib.txt stolen"])])
            .rule("max_attempts", json!(1)),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    assert_eq!(bench.task(&plan, "a")["attempts"][0]["outside_claim"], json!(["src/lib.txt"]));
}

#[test]
fn in_a_shared_folder_what_nobody_owns_is_told_where_it_may_be_anybodys() {
    let bench = Bench::new();
    bench.configure(SHARED);
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a", "write src/stray.txt x"]),
        task("b", &["b.txt"], &[&bench.meet_line("b"), "write b.txt b"]),
    ]));
    let (a, b) = (bench.meet("a"), bench.meet("b"));
    a.go();
    bench.task_is(&plan, "a", "done");
    let attempt = bench.task(&plan, "a")["attempts"][0]["attempt"].clone();
    let told = bench.rpc().ok("status", json!({"scope": "attempt", "id": attempt}));
    let why = told["gates"].as_array().unwrap().iter().find(|gate| gate["name"] == "ownership").unwrap();
    assert!(why["why"].as_str().unwrap().contains("src/stray.txt changed, which nobody owns"), "{why}");
    b.go();
    bench.at_rest(&plan);
}

#[test]
fn a_wall_in_a_shared_folder_keeps_the_persons_git_out() {
    let bench = Bench::new();
    bench.configure("[project]\nisolation = \"shared\"\nwall = \"worktree\"\n");
    let plan = bench.start(
        &Plan::new([task(
            "a",
            &["a.txt", "new/b.txt", "src/"],
            &[
                "write a.txt a",
                "write new/b.txt b",
                "write src/c.txt c",
                "run sh -c '! touch .git/hooks/post-commit'",
                "run sh -c '! echo x >> .git/config'",
                "run sh -c '! mv .git away'",
                "run sh -c '! cp .git/refs/heads/main .git/refs/heads/evil'",
                "run git status",
            ],
        )])
        .rule("max_attempts", json!(1)),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let attempt = &bench.task(&plan, "a")["attempts"][0];
    assert!(attempt["wall"].as_str().unwrap().ends_with(", worktree"), "{attempt}");
    assert_eq!(attempt["changed"], json!(["a.txt", "new/b.txt", "src/c.txt"]));
    assert_eq!(bench.git(["branch", "--format=%(refname:short)"]), "main");
}

#[test]
fn in_a_shared_folder_what_cannot_be_saved_is_told_within_the_claim() {
    if again_without_privileges("shared::in_a_shared_folder_what_cannot_be_saved_is_told_within_the_claim") {
        return;
    }
    let bench = Bench::new();
    bench.configure(SHARED);
    bench.write("a/file", "a");
    for (id, files, lines, expected) in [
        (
            "closed",
            "src/lib.txt",
            &["write src/lib.txt two", "run chmod 644 src"][..],
            Some("src cannot be read"),
        ),
        ("pipe", "own/", &["write own/n n", "run mkfifo own/pipe"], Some("own/pipe is a pipe")),
        // What lies elsewhere may be anybody's.
        ("elsewhere", "b.txt", &["write b.txt b", "run mkfifo a/pipe"], None),
    ] {
        let plan = bench.start(&Plan::new([task(id, &[files], lines)]).rule("max_attempts", json!(1)));
        let state = if expected.is_some() { "failed" } else { "done" };
        assert_eq!(bench.at_rest(&plan)["state"], state, "{id}: {}", bench.story());
        let told = bench.task(&plan, id).to_string();
        assert!(expected.is_none_or(|expected| told.contains(expected)), "{id}: {told}");
        // Nobody but its owner opens a folder that is not a worker's alone.
        let mode = fs::metadata(bench.project.join("src")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode == 0o644, id == "closed");
        fs::set_permissions(bench.project.join("src"), fs::Permissions::from_mode(0o755)).unwrap();
        bench.git(["checkout", "-q", "--", "src"]);
        let _ = fs::remove_dir_all(bench.project.join("own"));
    }
}

#[test]
fn a_strict_wall_keeps_a_worker_of_a_shared_folder_to_its_claim() {
    let bench = Bench::new();
    bench.configure("[project]\nisolation = \"shared\"\nwall = \"strict\"\n");
    bench.write("empty.txt", "");
    let plan = bench.start(
        &Plan::new([task(
            "a",
            &["a.txt", "new/b.txt", "never.txt", "empty.txt"],
            &[
                "write a.txt a",
                "write new/b.txt b",
                "run sh -c '! touch other.txt'",
                "run sh -c '! touch .git/hooks/post-commit'",
                "run sh -c '! echo stolen > src/lib.txt'",
            ],
        )])
        .rule("max_attempts", json!(1)),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let attempt = &bench.task(&plan, "a")["attempts"][0];
    assert!(attempt["wall"].as_str().unwrap().ends_with(", strict"), "{attempt}");
    assert_eq!(attempt["changed"], json!(["a.txt", "new/b.txt"]));
    // What was only there to be written is gone, and what was there before is not.
    assert!(!bench.project.join("never.txt").exists() && bench.project.join("empty.txt").exists());
    // Without files there is nothing that it could be kept to.
    let planned = bench.rpc().ok("plan", Plan::new([task("b", &[], &[])]).params());
    let codes: Vec<&str> =
        planned["problems"].as_array().unwrap().iter().filter_map(|it| it["code"].as_str()).collect();
    assert!(planned["plan_id"].is_null() && codes.contains(&"no-files"), "{planned:#}");
    let refusal = bench.rpc().refused("dispatch", json!({"task": "do something"}));
    assert!(refusal.message.contains("names no files"), "{refusal:?}");
}

#[test]
fn a_plain_folder_is_a_project_too() {
    let bench = Bench::bare_machine();
    bench.configure(SHARED);
    bench.write("mine.txt", "mine\n");
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(fs::read_to_string(bench.project.join("a.txt")).unwrap(), "a\n");
    assert_eq!(fs::read_to_string(bench.project.join("mine.txt")).unwrap(), "mine\n");
}
