//! From a plan to the target branch.

use std::fs;

use serde_json::{Value, json};

use crate::bench::{Bench, KAPELL, Plan, task};

/// Two tasks side by side and one that needs both.
fn diamond() -> Plan {
    Plan::new([
        task("left", &["left.txt"], &["write left.txt one"]),
        task("right", &["src/right.txt"], &["write src/right.txt two"]),
        task("both", &["both.txt"], &["run test -e left.txt", "write both.txt three"])
            .after(&["left", "right"]),
    ])
}

#[test]
fn a_plan_lands_task_by_task() {
    let bench = Bench::new();
    let main = bench.git(["rev-parse", "main"]);
    let plan = bench.start(&diamond());
    let status = bench.at_rest(&plan);
    assert_eq!(status["state"], "done", "{}", bench.story());
    assert_eq!((&status["done"], &status["total"]), (&json!(3), &json!(3)));

    let landed = bench.landed(&plan);
    assert_eq!(landed.len(), 3, "{landed:?}");
    assert_eq!(landed[2], "both");
    assert_eq!(bench.on_branch(&plan, "both.txt"), "three");
    let kept: Vec<String> =
        ["both", "left", "right"].map(|task| format!("refs/kapell/tasks/{plan}/{task}/1")).into();
    assert_eq!(bench.refs("refs/kapell/tasks"), kept);
    assert_eq!(bench.worktrees(), Vec::<std::path::PathBuf>::new());

    assert_eq!(bench.git(["rev-parse", "main"]), main, "the branch of the person's checkout moved");
    assert_eq!(bench.git(["status", "--porcelain"]), "");
}

#[test]
fn events_tell_it_in_order() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    bench.at_rest(&plan);
    let told: Vec<String> = bench
        .events(Some(&plan))
        .into_iter()
        .map(|(kind, text)| if kind == "task.state" { text } else { kind })
        .collect();
    let expected = [
        "plan.created",
        "plan.state",
        "task a: waiting → ready",
        "claim.granted",
        "task a: ready → running",
        "attempt.started",
        "attempt.finished",
        "task a: running → judging",
        "attempt.judged",
        "task a: judging → approved",
        "task a: approved → landing",
        "task a: landing → done",
        "claim.released",
        "task.landed",
        "plan.state",
    ];
    // That the conductor is there may be told before or after its first deeds.
    let told: Vec<&str> =
        told.iter().map(String::as_str).filter(|told| *told != "conductor.started").collect();
    assert_eq!(told, expected);
}

#[test]
fn land_brings_a_clean_checkout_along() {
    let bench = Bench::new();
    let plan = bench.start(&diamond());
    bench.at_rest(&plan);
    bench.control("land", &plan);
    assert_eq!(fs::read_to_string(bench.project.join("both.txt")).unwrap(), "three\n");
    assert_eq!(bench.git(["status", "--porcelain"]), "");
    assert_eq!(bench.git(["rev-parse", "main"]), bench.git(["rev-parse", &format!("kapell/{plan}")]));
    assert!(bench.control("land", &plan)["message"].as_str().unwrap().contains("already"));
}

#[test]
fn land_that_is_killed_at_any_call_of_git_is_finished_by_the_next() {
    let bench = Bench::new();
    let plan = bench.start(&diamond());
    bench.at_rest(&plan);
    let (before, work) =
        (bench.git(["rev-parse", "main"]), bench.git(["rev-parse", &format!("kapell/{plan}")]));
    let lock = bench.project.join(".git/index.lock");
    let mut kills = 0;
    for point in ["git.before", "git.after"] {
        for nth in 1.. {
            let fault = format!("{point}:kill@{nth}");
            let killed = bench.command(KAPELL).arg("land").env("KAPELL_FAILPOINT", &fault).output().unwrap();
            if killed.status.success() {
                break;
            }
            kills += 1;
            // Whoever takes the lock away and commits must not undo what is landed.
            let undone = fs::read(&lock).is_ok().then(|| {
                fs::rename(&lock, lock.with_extension("aside")).unwrap();
                let undone = bench.git(["diff", "--cached", "--name-only", "--diff-filter=D"]);
                fs::rename(lock.with_extension("aside"), &lock).unwrap();
                undone
            });
            assert_eq!(undone.unwrap_or_default(), "", "{fault}");
            let again = bench.command(KAPELL).arg("land").output().unwrap();
            assert!(again.status.success(), "{fault}: {}", String::from_utf8_lossy(&again.stderr));
            assert!(!lock.exists(), "{fault}");
            assert_eq!(bench.git(["status", "--porcelain"]), "", "{fault}");
            assert_eq!(bench.git(["rev-parse", "main"]), work, "{fault}");
            bench.git(["reset", "-q", "--hard", &before]);
        }
        bench.git(["reset", "-q", "--hard", &before]);
    }
    assert!(kills > 8, "{kills}");
}

#[test]
fn a_branch_that_is_deleted_while_its_plan_goes_on_is_made_anew_where_it_was() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a"]),
        task("b", &["b.txt"], &[&bench.meet_line("b"), "write b.txt b"]).after(&["a"]),
    ]));
    let b = bench.meet("b");
    bench.git(["branch", "-q", "-D", &format!("kapell/{plan}")]);
    b.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a", "b"]);
}

#[test]
fn what_landed_stays_landed_where_somebody_moves_the_branch_or_takes_all_its_refs_away() {
    for way in ["back", "aside", "gone"] {
        let bench = Bench::new();
        let plan = bench.start(&Plan::new([
            task("a", &["a.txt"], &["write a.txt a"]),
            task("b", &["b.txt"], &[&bench.meet_line("b"), "write b.txt b"]).after(&["a"]),
        ]));
        let b = bench.meet("b");
        let branch = format!("refs/heads/kapell/{plan}");
        match way {
            "back" => drop(bench.git(["update-ref", &branch, "main"])),
            "aside" => {
                let tree = bench.git(["rev-parse", "main^{tree}"]);
                let theirs = bench.git(["commit-tree", "-p", "main", "-m", "theirs", &tree]);
                bench.git(["update-ref", &branch, &theirs]);
            }
            _ => {
                bench.git(["update-ref", "-d", &branch]);
                bench.git(["update-ref", "-d", &format!("refs/kapell/landed/{plan}")]);
            }
        }
        let moved = bench.git(["for-each-ref", "--format=%(objectname)", &branch]);
        b.go();
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{way}: {}", bench.story());
        assert_eq!(bench.landed(&plan), ["a", "b"], "{way}");
        if way != "gone" {
            assert!(bench.story().contains("is put back where it was"), "{way}: {}", bench.story());
            assert_eq!(bench.git(["rev-parse", &format!("refs/kapell/moved/{plan}")]), moved, "{way}");
        }
        let (branch, anchor) = (bench.git(["rev-parse", &branch]), format!("refs/kapell/landed/{plan}"));
        assert_eq!(bench.git(["rev-parse", &anchor]), branch, "{way}");
        bench.control("land", &plan);
        for name in ["a.txt", "b.txt"] {
            assert!(bench.project.join(name).exists(), "{way}: {name}");
        }
    }
}

#[test]
fn work_lands_upon_a_branch_that_was_rewritten_meanwhile_and_stays() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a"]),
        task("b", &["b.txt"], &[&bench.meet_line("b"), "write b.txt b"]).after(&["a"]),
        task("c", &["c.txt"], &["write c.txt c"]).after(&["b"]),
    ]));
    let b = bench.meet("b");
    let branch = format!("refs/heads/kapell/{plan}");
    let tree = bench.git(["rev-parse", &format!("{branch}^{{tree}}")]);
    let squashed = bench.git(["commit-tree", "-p", "main", "-m", "in my words", &tree]);
    bench.git(["update-ref", &branch, &squashed]);
    b.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert!(!bench.story().contains("is put back"), "{}", bench.story());
    let names = bench.git(["ls-tree", "--name-only", &branch]);
    for name in ["a.txt", "b.txt", "c.txt"] {
        assert!(names.contains(name), "{names}");
    }
}

#[test]
fn a_branch_that_was_rewritten_lands_if_it_holds_the_same_and_is_asked_about_if_not() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "done");
    let branch = format!("refs/heads/kapell/{plan}");
    let landed = bench.git(["rev-parse", &branch]);
    let main = bench.git(["rev-parse", "main"]);
    bench.git(["update-ref", &branch, "main"]);
    let refused = bench.command(KAPELL).args(["land", &plan]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("does not hold what the plan landed"), "{said}");
    assert_eq!(bench.git(["rev-parse", "main"]), main);
    let squashed =
        bench.git(["commit-tree", "-p", "main", "-m", "in my words", &format!("{landed}^{{tree}}")]);
    bench.git(["update-ref", &branch, &squashed]);
    bench.control("land", &plan);
    assert_eq!(bench.git(["rev-parse", "main"]), squashed);
    assert_eq!(bench.control("land", "all")["message"], "nothing is left to land");
}

#[test]
fn what_landed_on_a_branch_that_is_deleted_afterwards_can_still_be_had() {
    let bench = Bench::new();
    let plan = bench.start(&diamond());
    bench.at_rest(&plan);
    bench.git(["branch", "-q", "-D", &format!("kapell/{plan}")]);
    let all = bench.control("land", "all")["message"].as_str().unwrap().to_owned();
    assert!(all.contains("its branch was deleted") && all.contains(&format!("kapell land {plan}")), "{all}");
    bench.control("land", &plan);
    assert_eq!(fs::read_to_string(bench.project.join("both.txt")).unwrap(), "three\n");
    assert_eq!(bench.control("land", "all")["message"], "nothing is left to land");
}

#[test]
fn land_leaves_a_dirty_checkout_alone() {
    let bench = Bench::new();
    let plan = bench.start(&diamond());
    bench.at_rest(&plan);
    bench.write("left.txt", "mine\n");
    let main = bench.git(["rev-parse", "main"]);
    let refusal = bench.rpc().refused("control", json!({"action": "land", "target": plan}));
    assert_eq!(refusal.kind, "conflict");
    assert!(refusal.message.contains("left.txt"), "{refusal:?}");
    assert_eq!(bench.git(["rev-parse", "main"]), main);
    assert_eq!(fs::read_to_string(bench.project.join("left.txt")).unwrap(), "mine\n");
    assert!(!bench.project.join("both.txt").exists());
}

#[test]
fn land_goes_on_past_what_cannot_land_and_tells_it() {
    let bench = Bench::new();
    let made = |file: &str, text: &str| {
        let plan = bench.start(&Plan::new([task("a", &[file], &[&format!("write {file} {text}")])]));
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
        plan
    };
    let plans = [made("a.txt", "a"), made("src/lib.txt", "theirs"), made("c.txt", "c")];
    bench.write("src/lib.txt", "mine\n");
    bench.commit("mine");
    let output = bench.command(KAPELL).arg("land").output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(bench.git(["show", "main:a.txt", "main:c.txt", "main:src/lib.txt"]), "a\nc\nmine", "{said}");
    assert!(plans.iter().all(|plan| said.contains(plan.as_str())) && said.contains("src/lib.txt"), "{said}");
    assert!(!said.contains("nothing was moved"), "{said}");
}

/// Two plans from one commit, each good by itself, that a test refuses together.
fn strangers(bench: &Bench, command: &Value) -> [String; 2] {
    bench.git(["checkout", "-q", "-b", "other"]);
    let plans = ["q1", "q2"].map(|name| {
        let task = task(name, &[name], &[&format!("write {name} x")]);
        bench.plan(&Plan::new([task]).rule("test", command.clone()).with("target", json!("main")))
    });
    bench.git(["checkout", "-q", "main"]);
    for plan in &plans {
        bench.dispatch(plan);
        assert_eq!(bench.at_rest(plan)["state"], "done", "{}", bench.story());
    }
    plans
}

#[test]
fn a_merge_with_what_the_target_gained_is_proved_before_it_lands() {
    let bench = Bench::new();
    let [one, two] = strangers(&bench, &json!(["sh", "-c", "! test -e q1 || ! test -e q2"]));
    bench.control("land", &one);
    let main = bench.git(["rev-parse", "main"]);
    let output = bench.command(KAPELL).args(["land", &two]).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("main has moved on") && said.contains("landing"), "{said}");
    assert_eq!(bench.git(["rev-parse", "main"]), main, "{said}");
    assert!(bench.project.join("q1").exists() && !bench.project.join("q2").exists());
}

#[test]
fn a_merge_that_is_good_lands_once_it_is_proved() {
    let bench = Bench::new();
    let [one, two] = strangers(&bench, &json!(["test", "-e", "README"]));
    bench.control("land", &one);
    let done = bench.control("land", &two);
    assert_eq!(done["state"], "proving", "{done:#}");
    let run = done["run_ids"][0].as_str().unwrap();
    let told = bench.until(json!({"run_id": run}), |run| run["state"] != "running");
    assert_eq!(told["verdict"], "approved", "{told:#}");
    assert!(bench.project.join("q1").exists() && bench.project.join("q2").exists());
    assert_eq!(bench.git(["status", "--porcelain"]), "");
    assert_eq!(bench.control("land", "all")["message"], "nothing is left to land");
}

#[test]
fn a_merge_is_proved_anew_where_its_target_moves_meanwhile() {
    let bench = Bench::new();
    // Only a tree with the work of both waits for the test.
    let line = shell_words::join(["if-both", "q1", "q2", &bench.socket(), "merge"]);
    let [one, two] = strangers(&bench, &bench.gate(&[&line]));
    bench.control("land", &one);
    let run = bench.control("land", &two)["run_ids"][0].as_str().unwrap().to_owned();
    let first = bench.meet("merge");
    bench.write("late.txt", "late\n");
    bench.commit("late");
    first.go();
    bench.meet("merge").go();
    let told = bench.until(json!({"run_id": run}), |run| run["state"] != "running");
    assert_eq!(told["verdict"], "approved", "{told:#}");
    for file in ["q1", "q2", "late.txt"] {
        assert!(bench.project.join(file).exists(), "{file}");
    }
    assert_eq!(bench.git(["status", "--porcelain"]), "");
}

#[test]
fn an_answer_without_a_change_is_no_commit() {
    let bench = Bench::new();
    let before = bench.git(["rev-list", "--all", "--count"]);
    let text = "say {\"kapell\":\"result\",\"text\":\"it is well\"}";
    let sent = bench.rpc().ok("dispatch", json!({"task": text, "target": "fake"}));
    let plan = sent["plan_id"].as_str().unwrap();
    assert_eq!(bench.at_rest(plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(plan), Vec::<String>::new());
    assert_eq!(bench.git(["rev-list", "--branches", "--count"]), before);
}

#[test]
fn a_target_that_nobody_has_checked_out_follows_by_itself() {
    let bench = Bench::new();
    bench.git(["branch", "release"]);
    let plan = bench.start(&diamond().with("target", json!("release")));
    bench.at_rest(&plan);
    assert_eq!(bench.landed_on("release").len(), 3);
    assert_eq!(bench.landed_on("main").len(), 0);
}

#[test]
fn what_the_person_committed_meanwhile_is_merged_or_left_alone() {
    let bench = Bench::new();
    let plan = bench.start(&diamond());
    bench.at_rest(&plan);
    bench.write("mine.txt", "mine\n");
    bench.commit("mine");
    bench.control("land", &plan);
    assert_eq!(bench.git(["log", "-1", "--format=%s"]), format!("Merge plan {plan} into main"));
    for (file, text) in [("mine.txt", "mine\n"), ("both.txt", "three\n")] {
        assert_eq!(fs::read_to_string(bench.project.join(file)).unwrap(), text);
    }
    assert_eq!(bench.git(["status", "--porcelain"]), "");

    let plan = bench.start(&Plan::new([task("a", &["mine.txt"], &["write mine.txt theirs"])]));
    bench.at_rest(&plan);
    bench.write("mine.txt", "mine again\n");
    bench.commit("mine again");
    let main = bench.git(["rev-parse", "main"]);
    let refusal = bench.rpc().refused("control", json!({"action": "land", "target": plan}));
    assert!(refusal.message.contains("conflict in mine.txt"), "{refusal:?}");
    assert_eq!(bench.git(["rev-parse", "main"]), main);
    assert_eq!(bench.git(["status", "--porcelain"]), "");
}

#[test]
fn a_branch_that_a_person_has_checked_out_is_never_moved() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"])]));
    let a = bench.meet("a");
    bench.git(["checkout", "-q", &format!("kapell/{plan}")]);
    a.go();
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let reason = bench.task(&plan, "a")["reason"].take();
    assert!(reason.as_str().unwrap().contains("is checked out in"), "{reason}");
    assert!(!bench.project.join("a.txt").exists());
    bench.git(["checkout", "-q", "main"]);
    bench.control("approve", &format!("{plan}/a"));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a"]);
}

#[test]
fn whoever_subscribes_hears_everything_once_and_in_order() {
    let bench = Bench::new();
    let mut rpc = bench.rpc();
    rpc.ok("events.subscribe", json!({"since_seq": 0}));
    let plan = bench.start(&diamond());
    let heard = rpc.events_until(|event| event["kind"] == "plan.state" && event["data"]["state"] == "done");
    let heard: Vec<(i64, &str)> =
        heard.iter().map(|event| (event["seq"].as_i64().unwrap(), event["text"].as_str().unwrap())).collect();
    assert!(heard.is_sorted_by(|a, b| a.0 < b.0), "{heard:#?}");
    let texts: Vec<&str> = heard.iter().map(|(_, text)| *text).collect();
    let kept = bench.events(Some(&plan));
    assert_eq!(texts, kept.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>());
}

#[test]
fn who_can_read_the_repository_does_not_hold_up_what_lands() {
    let bench = Bench::new();
    // As a worker within its wall could: whoever can open a file can lock it.
    let lock = fs::File::create(bench.project.join(".git/kapell.lock")).unwrap();
    lock.lock().unwrap();
    let plan = bench.start(&diamond());
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.control("land", &plan)["state"], "landed");
    drop(lock);
}

#[test]
fn a_long_wait_for_the_git_queue_is_told() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let locks: Vec<_> = fs::read_dir(bench.state().join("queue")).unwrap().flatten().collect();
    assert_eq!(locks.len(), 1, "one lock for each repository: {locks:?}");
    let lock = fs::File::options().write(true).open(locks[0].path()).unwrap();
    lock.lock().unwrap();
    let mut rpc = bench.rpc();
    rpc.send("control", json!({"action": "land", "target": plan}));
    let told = bench.until(json!({"scope": "events", "kind": "git.waiting"}), |status| {
        status["events"].as_array().is_some_and(|events| !events.is_empty())
    });
    let text = told["events"][0]["text"].as_str().unwrap();
    let common = bench.project.join(".git");
    assert!(text.starts_with(&format!("waiting for the git queue of {} since ", common.display())), "{text}");
    assert!(text.contains("process ") && text.contains(" has the turn"), "{text}");
    drop(lock);
    assert_eq!(rpc.answer().unwrap()["state"], "landed");
}

#[test]
fn a_tag_that_is_called_like_the_target_misleads_nobody() {
    let bench = Bench::new();
    bench.git(["tag", "main"]);
    let first = bench.git(["rev-parse", "refs/tags/main"]);
    bench.write("two.txt", "two\n");
    bench.commit("second");
    let second = bench.git(["rev-parse", "refs/heads/main"]);
    let plan = Plan::new([task("a", &["a.txt"], &["run test -e two.txt", "write a.txt a"])]);
    let plan = bench.start(&plan.with("base", json!("main")).with("target", json!("main")));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.git(["rev-parse", &format!("refs/heads/kapell/{plan}~1")]), second);
    assert_eq!(bench.control("land", &plan)["state"], "landed");
    assert_eq!(bench.git(["show", "refs/heads/main:a.txt"]), "a");
    assert_eq!(bench.git(["show", "refs/heads/main:two.txt"]), "two");
    assert_eq!(bench.git(["rev-parse", "refs/tags/main"]), first);
    assert_eq!(bench.git(["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(bench.git(["status", "--porcelain"]), "");
}

#[test]
fn tasks_of_a_file_and_of_files_of_another_kind_run_side_by_side() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["README"], &["write README a", &bench.meet_line("a")]),
        task("b", &["**/*.rs"], &["write src/b.rs b", &bench.meet_line("b")]),
    ]));
    let (a, b) = (bench.meet("a"), bench.meet("b"));
    // So it is for whoever claims files by hand, and what both could own stays one holder's.
    let claim = |paths: &[&str], holder: &str| {
        bench.rpc().ok("claim-files", json!({"paths": paths, "holder": holder}))["granted"].clone()
    };
    assert_eq!(claim(&["src/lib.txt"], "ann"), true);
    assert_eq!(claim(&["**/*.md"], "eve"), true);
    assert_eq!(claim(&["**/*.txt"], "eve"), false);
    a.go();
    b.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn a_plan_whose_dispatch_was_killed_takes_nothing_from_its_target() {
    let bench = Bench::new();
    let plan = bench.plan(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    let killed = bench
        .command(KAPELL)
        .args(["dispatch", &plan])
        .env("KAPELL_FAILPOINT", "dispatch.ground:kill")
        .output()
        .unwrap();
    assert!(killed.status.code().is_none(), "{killed:?}");
    // Its branch is there, and nobody recorded where it begins.
    assert_eq!(bench.refs("refs/heads/kapell"), [format!("refs/heads/kapell/{plan}")]);
    bench.write("others.txt", "somebody else's work\n");
    bench.commit("others");
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    bench.control("land", &plan);
    assert_eq!(bench.git(["show", "main:others.txt"]), "somebody else's work");
    assert_eq!(bench.git(["show", "main:a.txt"]), "a");
}

#[test]
fn what_a_person_took_back_is_not_landed_again_with_what_came_later() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &["write a.txt a"]),
        task("b", &["b.txt"], &[&bench.meet_line("b"), "write b.txt b"]).after(&["a"]),
    ]));
    let worker = bench.meet("b");
    bench.control("land", &plan);
    assert_eq!(bench.git(["show", "main:a.txt"]), "a");
    bench.git(["checkout", "-q", "main"]);
    bench.write("a.txt", "as the person has it\n");
    bench.commit("not like that");
    worker.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    bench.control("land", &plan);
    assert_eq!(bench.git(["show", "main:a.txt"]), "as the person has it");
    assert_eq!(bench.git(["show", "main:b.txt"]), "b");
}

#[test]
fn work_lands_in_a_checkout_whose_git_is_a_file() {
    let bench = Bench::new();
    let git_dir = bench.root.join("gd");
    bench.git(["init", "-q", "--separate-git-dir", git_dir.to_str().unwrap()]);
    assert!(bench.project.join(".git").is_file());
    let plan = bench.start(&Plan::new([task("a", &["src/"], &["write src/a.txt a"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let output = bench.command(KAPELL).args(["land", &plan]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(bench.project.join("src/a.txt")).unwrap(), "a\n");
    assert_eq!(bench.git(["status", "--porcelain"]), "");
}
