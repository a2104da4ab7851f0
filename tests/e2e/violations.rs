//! What a worker may not do, what a person reads about it, and what they let land after all.

use std::fs;

use serde_json::{Value, json};

use crate::bench::{Bench, Plan, again_without_privileges, task};

/// The only attempt at a task.
#[track_caller]
fn attempt(bench: &Bench, plan: &str, task: &str) -> Value {
    let attempts = bench.task(plan, task)["attempts"].take();
    assert_eq!(attempts.as_array().unwrap().len(), 1, "{attempts:#}");
    attempts[0].clone()
}

#[test]
fn each_kind_is_refused_kept_and_reported_with_its_own_reason() {
    let bench = Bench::new();
    bench.write("own/a.txt", "a file of its own\n");
    bench.commit("more");
    let kinds: [(&str, &str, &[&str], &str, &str); 8] = [
        ("written", "w/", &["write src/lib.txt x"], "src/lib.txt", "is not owned by the task"),
        (
            "mode",
            "m/",
            &["chmod 755 src/lib.txt"],
            "src/lib.txt",
            "is not owned by the task, and whether it can be executed was changed",
        ),
        (
            "link",
            "l/",
            &["symlink ../README l/out"],
            "l/out",
            "is a symbolic link that leaves the claim: ../README",
        ),
        (
            "attributes",
            "a/",
            &["write a/.gitattributes '* -text'"],
            "a/.gitattributes",
            "changes how git treats other files, which a person has to approve",
        ),
        (
            "modules",
            "s/",
            &["write s/.gitmodules x"],
            "s/.gitmodules",
            "changes how git treats other files, which a person has to approve",
        ),
        (
            "twin",
            "t/",
            &[r"write 't/\xc3\xa9' a", r"write 't/e\xcc\x81' b"],
            "t/",
            "but for case or normal form",
        ),
        (
            "out",
            "o/",
            &["run mv src/lib.txt o/lib.txt"],
            "src/lib.txt",
            "is not owned by the task, and was moved to o/lib.txt",
        ),
        (
            "in",
            "own/",
            &["run mv own/a.txt taken.txt"],
            "taken.txt",
            "is not owned by the task, and is own/a.txt moved there",
        ),
    ];
    let tasks = kinds.map(|(name, files, lines, ..)| {
        let mine = format!("write {files}mine.txt mine");
        let lines: Vec<&str> = [mine.as_str()].into_iter().chain(lines.iter().copied()).collect();
        task(name, &[files], &lines)
    });
    let plan = bench.start(&Plan::new(tasks).rule("max_attempts", json!(1)));
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    for (name, _, _, path, why) in kinds {
        let attempt = attempt(&bench, &plan, name);
        assert_eq!(
            (&attempt["outcome"], &attempt["verdict"]),
            (&json!("violation"), &json!("rejected")),
            "{name}: {attempt:#}"
        );
        let outside = attempt["outside_claim"].as_array().unwrap();
        assert_eq!(outside.len(), 1, "{name}: {attempt:#}");
        assert!(outside[0].as_str().unwrap().starts_with(path), "{name}: {attempt:#}");
        let gate = attempt["gates"][0]["why"].as_str().unwrap();
        assert!(gate.starts_with(path) && gate.ends_with(why), "{name}: {gate}");

        let id = attempt["attempt"].as_str().unwrap();
        let quarantine = format!("refs/kapell/quarantine/{plan}/{name}/1");
        assert_eq!(bench.git(["rev-parse", &quarantine]).len(), 40);
        let report = fs::read_to_string(bench.run_dir(id).join("evidence/violation.txt")).unwrap();
        for told in [outside[0].as_str().unwrap(), why, &quarantine, &format!("kapell approve {id} --path ")]
        {
            assert!(report.contains(told), "{name} lacks {told}:\n{report}");
        }
    }
    assert_eq!(bench.landed(&plan), Vec::<String>::new());
}

/// A task that owns `a.txt` and wrote three files more, and its attempt.
fn greedy(bench: &Bench, lint: Value) -> (String, String) {
    let lines = ["write a.txt a", "write b.txt b", "write src/lib.txt c", "write 'd [1].txt' d"];
    let plan = Plan::new([task("a", &["a.txt"], &lines)]).rule("max_attempts", json!(1)).rule("lint", lint);
    let plan = bench.start(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let attempt = attempt(bench, &plan, "a")["attempt"].as_str().unwrap().to_owned();
    (plan, attempt)
}

#[test]
fn a_repository_inside_the_tree_is_in_no_commit_and_can_be_approved_by_nobody() {
    let bench = Bench::new();
    let lines = ["write a.txt a", "write b.txt b", "run git init -q nest", "write nest/x x"];
    let plan = Plan::new([task("a", &["a.txt"], &lines)]).rule("max_attempts", json!(1));
    let plan = bench.start(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "failed", "{}", bench.story());
    let id = attempt(&bench, &plan, "a")["attempt"].as_str().unwrap().to_owned();
    let report = fs::read_to_string(bench.run_dir(&id).join("evidence/violation.txt")).unwrap();
    let told = ["nest is a repository of its own", "--path b.txt", "nobody can approve it:\n  nest\n"];
    assert!(told.iter().all(|told| report.contains(told)), "{report}");
    let asked = json!({"action": "approve", "target": id, "paths": ["b.txt", "nest"]});
    let refusal = bench.rpc().refused("control", asked);
    assert!(refusal.message.starts_with("nest cannot be approved"), "{refusal:?}");
    let done = approve(&bench, &id, &["b.txt"]);
    assert!(done["message"].as_str().unwrap().ends_with("lies outside of its claim: nest"), "{done}");
    bench.at_rest(&plan);
    let done = approve(&bench, &id, &[]);
    assert!(done["message"].as_str().unwrap().contains("nest"), "{done}");
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "b.txt"), "b");
}

fn approve(bench: &Bench, attempt: &str, paths: &[&str]) -> Value {
    bench.rpc().ok("control", json!({"action": "approve", "target": attempt, "paths": paths}))
}

#[test]
fn a_person_approves_path_by_path() {
    let bench = Bench::new();
    let (plan, attempt) = greedy(&bench, json!("true"));
    let answer = approve(&bench, &attempt, &["b.txt"]);
    assert!(answer["message"].as_str().unwrap().contains("d [1].txt, src/lib.txt"), "{answer}");
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let why = bench.task(&plan, "a")["reason"].take();
    assert!(why.as_str().unwrap().contains("ownership: d [1].txt is not owned"), "{why}");
    assert_eq!(bench.landed(&plan), Vec::<String>::new());
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    assert_eq!(claims["claims"], json!([]), "claims of a failed task are kept");

    approve(&bench, &attempt, &["d [1].txt", "src/lib.txt"]);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let files = bench.git(["ls-tree", "-r", "--name-only", &format!("kapell/{plan}")]);
    assert_eq!(files, "README\na.txt\nb.txt\nd [1].txt\nsrc/lib.txt");
    assert_eq!(bench.on_branch(&plan, "src/lib.txt"), "c");
    let told: Vec<String> = bench
        .events(Some(&plan))
        .into_iter()
        .filter(|it| it.0 == "attempt.approved")
        .map(|it| it.1)
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].ends_with(" with b.txt") && told[0].contains("approved by "), "{told:?}");
    assert!(told[1].ends_with(" with d [1].txt, src/lib.txt"), "{told:?}");
}

#[test]
fn a_path_that_is_no_text_is_approved_as_it_is_shown_or_as_it_is() {
    let bench = Bench::new();
    let lines = ["write a.txt a", r"write 'b\x0ab' b", r"write 'c\xff' c"];
    let plan = Plan::new([task("a", &["a.txt"], &lines)]).rule("max_attempts", json!(1));
    let plan = bench.start(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "failed", "{}", bench.story());
    let id = attempt(&bench, &plan, "a")["attempt"].as_str().unwrap().to_owned();
    let asked = json!({"action": "approve", "target": id, "paths": ["d\nd"]});
    let refusal = bench.rpc().refused("control", asked);
    assert!(refusal.message.starts_with(r"d\x0ad is not among"), "{refusal:?}");
    approve(&bench, &id, &["b\nb", r"c\xff"]);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let landed = bench.git(["ls-tree", "-r", "--name-only", "-z", &format!("kapell/{plan}")]);
    assert!(landed.contains("b\nb\0c"), "{landed:?}");
}

#[test]
fn what_was_approved_before_is_not_said_to_be_left_out() {
    let bench = Bench::new();
    let (plan, attempt) = greedy(&bench, json!("true"));
    approve(&bench, &attempt, &["b.txt"]);
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let answer = bench.control("approve", &attempt);
    let said = answer["message"].as_str().unwrap();
    assert!(said.contains("without") && said.contains("src/lib.txt") && !said.contains(" b.txt"), "{said}");
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "src/lib.txt"), "one");
    assert!(bench.git(["ls-tree", "-r", "--name-only", &format!("kapell/{plan}")]).contains("b.txt"));
}

#[test]
fn what_is_approved_still_has_to_pass_the_gates() {
    let bench = Bench::new();
    let (plan, attempt) = greedy(&bench, json!("false"));
    approve(&bench, &attempt, &["b.txt", "d [1].txt", "src/lib.txt"]);
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let why = bench.task(&plan, "a")["reason"].take();
    assert!(why.as_str().unwrap().contains("lint: `false` fails"), "{why}");
    assert_eq!(bench.landed(&plan), Vec::<String>::new());
}

#[test]
fn approve_is_refused_where_somebody_holds_the_path_or_nothing_was_done_there() {
    let bench = Bench::new();
    let (plan, attempt) = greedy(&bench, json!("true"));
    let mut other = bench.rpc();
    other.ok("claim-files", json!({"paths": ["b.txt"], "reason": "I am at it"}));
    let refuse = |paths: &[&str]| {
        bench.rpc().refused("control", json!({"action": "approve", "target": attempt, "paths": paths}))
    };
    let refusal = refuse(&["b.txt", "src/lib.txt"]);
    assert_eq!(refusal.kind, "conflict");
    assert!(refusal.message.starts_with("b.txt is held by "), "{refusal:?}");
    for path in ["README", "a.txt", ""] {
        let refusal = refuse(&["src/lib.txt", path]);
        assert_eq!(refusal.kind, "bad-path", "{refusal:?}");
        assert!(refusal.message.starts_with(&format!("{path} is not among")), "{refusal:?}");
    }
    let refusal =
        bench.rpc().refused("control", json!({"action": "retry", "target": attempt, "paths": ["b.txt"]}));
    assert_eq!(refusal.message, "paths are for approve alone");
    assert_eq!(bench.task(&plan, "a")["state"], "failed");
    let held = other.ok("status", json!({"scope": "claims"}))["claims"].take();
    assert_eq!(held.as_array().unwrap().len(), 1, "a refused approval took claims: {held:#}");
}

#[test]
fn an_attempt_that_was_followed_by_another_is_not_approved_in_its_place() {
    let bench = Bench::new();
    let plan = bench.start(
        &Plan::new([task("a", &["a.txt"], &["write a.txt a", "write b.txt stolen"])])
            .rule("max_attempts", json!(2)),
    );
    bench.at_rest(&plan);
    let attempts = bench.task(&plan, "a")["attempts"].take();
    let refusal = bench.rpc().refused(
        "control",
        json!({"action": "approve", "target": attempts[0]["attempt"], "paths": ["b.txt"]}),
    );
    assert!(refusal.message.contains("was followed by try 2"), "{refusal:?}");
    assert_eq!(bench.landed(&plan), Vec::<String>::new());
}

#[test]
fn links_are_followed_by_way_of_other_links() {
    let bench = Bench::new();
    bench.write("out/x/way", "");
    fs::remove_file(bench.project.join("out/x/way")).unwrap();
    std::os::unix::fs::symlink("../../src", bench.project.join("out/x/way")).unwrap();
    bench.commit("a link that leads elsewhere");
    for (task_id, files, script, expected) in [
        (
            "made",
            "k/",
            &["write k/q/m/n k", "symlink .. k/q/m/d", "symlink q/m/d/../../src/lib.txt k/l"][..],
            "k/l is a symbolic link that leaves the claim: q/m/d/../../src/lib.txt",
        ),
        (
            "there",
            "out/x",
            &["symlink way/lib.txt out/x/l"],
            "out/x/l is a symbolic link that leaves the claim: way/lib.txt",
        ),
    ] {
        let plan = bench.start(&Plan::new([task(task_id, &[files], script)]));
        bench.at_rest(&plan);
        let report = bench.story();
        let attempts = bench.task(&plan, task_id);
        assert!(attempts.to_string().contains(expected), "{attempts:#}\n{report}");
    }
    let plan = bench.start(&Plan::new([task(
        "fine",
        &["f/"],
        &["write f/q/m/n k", "symlink .. f/q/m/d", "symlink q/m/d/m/n f/l"],
    )]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn what_cannot_be_saved_is_told_and_does_not_pass_for_done() {
    let bench = Bench::new();
    for (id, files, script, expected) in [
        ("large", "l/", &["write l/n x", "run truncate -s 1100M l/big"][..], "l/big is too large"),
        (
            "named",
            "g/",
            &["write g/.Git/config x", "write g/n x"],
            "g/.Git/config has a name that git does not take",
        ),
        (
            "pipe",
            "src/lib.txt",
            &["run rm src/lib.txt", "run mkfifo src/lib.txt"],
            "src/lib.txt is a pipe, socket or device",
        ),
        ("new-pipe", "p/", &["write p/n x", "run mkfifo p/new"], "p/new is a pipe, socket or device"),
        (
            "odd",
            "o/",
            &["write o/g/y y", "write o/g/.git 'gitdir: /nowhere'"],
            "o/g/.git has a name that git does not take",
        ),
        (
            "deep",
            "d/",
            &[
                "write d/n x",
                "run sh -c 'cd d; n=$(printf %0250d 0); for i in $(seq 20); do mkdir $n; cd $n; done; echo f > f'",
            ],
            " cannot be read",
        ),
    ] {
        let plan = bench.start(&Plan::new([task(id, &[files], script)]));
        assert_ne!(bench.at_rest(&plan)["state"], "done", "{id}: {}", bench.story());
        let task = bench.task(&plan, id).to_string();
        assert!(task.contains(expected) && task.contains("\"violation\""), "{id}: {task}");
        assert_eq!(bench.landed(&plan), Vec::<String>::new(), "{id}");
        // It is nowhere else.
        let worktree = bench.task(&plan, id)["attempts"][0]["worktree"].as_str().unwrap().to_owned();
        assert!(id.ends_with("pipe") || fs::exists(&worktree).unwrap(), "{id}: {worktree}");
    }
}

#[test]
fn folders_that_a_worker_closed_to_itself_hide_and_lose_nothing() {
    if again_without_privileges("violations::folders_that_a_worker_closed_to_itself_hide_and_lose_nothing") {
        return;
    }
    let bench = Bench::new();
    bench.write("foreign/kept.txt", "kept\n");
    bench.commit("more");
    let work = ["write src/lib.txt work", "write src/new/n new", "write own.txt own"];
    for (id, closing) in [
        ("files", "run chmod -R 644 src"),
        ("listed", "run chmod 400 src src/new"),
        ("shut", "run chmod 000 src/new src"),
        ("entered", "run chmod 300 src"),
        ("top", "run chmod 000 ."),
        ("top-listed", "run chmod 600 ."),
    ] {
        let lines: Vec<&str> = work.into_iter().chain([closing]).collect();
        let plan = bench.start(&Plan::new([task(id, &["src/", "own.txt"], &lines)]));
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{id}: {}", bench.story());
        let landed = bench.git(["diff", "--name-only", "main", &format!("kapell/{plan}")]);
        assert_eq!(landed, "own.txt\nsrc/lib.txt\nsrc/new/n", "{id}");
        assert_eq!(bench.on_branch(&plan, "src/lib.txt"), "work", "{id}");
    }
    for (id, lines, expected) in [
        ("new", &["write evil/mod.rs w", "run chmod 644 evil"][..], "evil/mod.rs is not owned"),
        ("gone", &["run rm foreign/kept.txt", "run chmod 600 foreign"], "foreign/kept.txt is not owned"),
        ("odd", &[r"write 'e\x01d/w' w", "run sh -c 'chmod 000 e*d'"], "is not owned"),
        // No folder's rights are a file's: nobody may say that it was to be read.
        ("unread", &["write own.txt o", "write z w", "run chmod 000 z"], "z cannot be read"),
    ] {
        let lines: Vec<&str> = ["write own.txt own"].into_iter().chain(lines.iter().copied()).collect();
        let plan = bench.start(&Plan::new([task(id, &["own.txt"], &lines)]).rule("max_attempts", json!(1)));
        assert_eq!(bench.at_rest(&plan)["state"], "failed", "{id}: {}", bench.story());
        let attempt = attempt(&bench, &plan, id);
        assert_eq!(attempt["outcome"], "violation", "{id}: {attempt:#}");
        assert!(attempt["gates"][0]["why"].as_str().unwrap().contains(expected), "{id}: {attempt:#}");
        let quarantine = format!("refs/kapell/quarantine/{plan}/{id}/1");
        assert_eq!(bench.git(["rev-parse", &quarantine]).len(), 40);
        assert_eq!(bench.landed(&plan), Vec::<String>::new(), "{id}");
        assert!(fs::exists(attempt["worktree"].as_str().unwrap()).unwrap(), "{id}");
    }
}
