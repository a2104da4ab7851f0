//! Done is proved, not said.

use serde_json::{Value, json};

use crate::bench::{Bench, Plan, task};

/// A test of `add.sh` that is one.
const TEST: &str = r#"write tests/add.t 'test "$(sh add.sh 2 3)" = 5'"#;
/// What makes it pass.
const WORK: &str = "write add.sh 'echo $(($1 + $2))'";

/// A project whose tests are the scripts in `tests`, all run by `check.sh`.
fn project() -> Bench {
    let bench = Bench::new();
    bench.write("check.sh", "for test in tests/*.t; do sh \"$test\" || exit 1; done\n");
    bench.write("tests/first.t", "true\n");
    bench.commit("tests");
    bench
}

/// A plan of one task that owns `add.sh` and its test.
fn adding(lines: &[&str]) -> Plan {
    Plan::new([task("add", &["add.sh", "tests/add.t"], lines).with("tests", json!(["tests/add.t"]))])
        .rule("tdd", json!(true))
        .rule("test", json!("sh check.sh"))
}

#[track_caller]
fn gate<'a>(attempt: &'a Value, name: &str) -> &'a Value {
    let gates = attempt["gates"].as_array().unwrap();
    gates.iter().find(|gate| gate["name"] == name).unwrap_or_else(|| panic!("no gate {name}: {attempt:#}"))
}

#[test]
fn tests_that_fail_without_the_work_and_pass_with_it_prove_it() {
    let bench = project();
    let plan = bench.start(&adding(&[TEST, WORK]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let attempt = bench.task(&plan, "add")["attempts"][0].take();
    assert_eq!(gate(&attempt, "tests-exist")["outcome"], "pass");
    let proof = gate(&attempt, "red-green");
    assert_eq!(proof["outcome"], "pass");
    assert_eq!(proof["why"], "`sh check.sh` fails without the implementation and passes with it");
}

#[test]
fn a_test_that_passes_without_the_work_proves_nothing() {
    let bench = project();
    let plan = bench.start(&adding(&["write tests/add.t true", WORK]).rule("max_attempts", json!(1)));
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let task = bench.task(&plan, "add");
    assert!(task["reason"].as_str().unwrap().contains("passes without the implementation"), "{task:#}");
    assert_eq!(task["attempts"][0]["verdict"], "rejected");
    assert_eq!(bench.landed(&plan), Vec::<String>::new());
}

#[test]
fn work_that_fails_its_tests_or_has_none_is_sent_back() {
    let bench = project();
    let told = "again again expect fails with exit code 1 with the implementation";
    let plan = bench.start(&adding(&[
        "first write add.sh 'echo 7'",
        &format!("first {TEST}"),
        told,
        &format!("again {WORK}"),
    ]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let attempts = bench.task(&plan, "add")["attempts"].take();
    assert_eq!([&attempts[0]["verdict"], &attempts[1]["verdict"]], ["rejected", "approved"]);

    let plan = bench.start(&adding(&[WORK]).rule("max_attempts", json!(1)));
    bench.at_rest(&plan);
    assert_eq!(
        bench.task(&plan, "add")["reason"],
        "its one try: tests-exist: add.sh was changed without any test"
    );
}

/// The tests in a file are what it expects, its code is what it is: `lib.rs` is tested by itself.
#[test]
fn tests_in_the_file_that_they_test_are_tests() {
    let bench = Bench::new();
    let check =
        "want=$(sed -n 's/^ *expects //p' lib.rs); test -z \"$want\" || grep -q \"^is $want\" lib.rs\n";
    bench.write("check.sh", check);
    bench.write("lib.rs", "is 1\n");
    bench.commit("a library");
    let text = |code: &str, test: &str| {
        format!(r"write lib.rs 'is {code}\n\n#[cfg(test)]\nmod tests {{\n    expects {test}\n}}'")
    };
    let plan = |line: String| {
        Plan::new([task("lib", &["lib.rs"], &[line.as_str()])])
            .rule("tdd", json!(true))
            .rule("test", json!("sh check.sh"))
            .rule("max_attempts", json!(1))
    };
    let id = bench.start(&plan(text("2", "2")));
    assert_eq!(bench.at_rest(&id)["state"], "done", "{}", bench.story());
    let attempt = bench.task(&id, "lib")["attempts"][0].take();
    let why = |name: &str| gate(&attempt, name)["why"].as_str().unwrap().to_owned();
    assert_eq!(why("tests-exist"), "lib.rs has tests of its own, which changed with it");
    assert_eq!(why("red-green"), "`sh check.sh` fails without the implementation and passes with it");

    for (line, expected) in [
        (text("11", "1"), "passes without the implementation"),
        (text("2", "3"), "with the implementation"),
        (r"write lib.rs 'is 3'".to_owned(), "lib.rs was changed without any test"),
    ] {
        let id = bench.start(&plan(line));
        bench.at_rest(&id);
        let reason = bench.task(&id, "lib")["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
}

#[test]
fn a_test_that_is_deleted_is_told() {
    let bench = project();
    let files = ["add.sh", "tests/add.t", "tests/first.t"];
    let plan = bench.start(
        &Plan::new([task("add", &files, &[TEST, WORK, "delete tests/first.t"])])
            .rule("tdd", json!(true))
            .rule("test", json!("sh check.sh")),
    );
    bench.at_rest(&plan);
    let attempt = bench.task(&plan, "add")["attempts"][0].take();
    let why = gate(&attempt, "tests-exist")["why"].clone();
    assert!(why.as_str().unwrap().ends_with("; deleted: tests/first.t"), "{why}");
}

#[test]
fn what_lies_in_a_folder_does_not_land() {
    let bench = project();
    let refusal = bench.rpc().refused("judge", json!({"path": ".", "land": true}));
    assert!(refusal.message.starts_with("only what a task of a plan submitted can land"), "{refusal:?}");
}

#[test]
fn lint_sends_work_back_with_what_it_printed() {
    let bench = project();
    let plan = bench.start(
        &Plan::new([task(
            "a",
            &["a.txt"],
            &["first write a.txt TODO", "again expect TODO in a.txt", "again write a.txt done"],
        )])
        .rule("lint", json!(["sh", "-c", "if grep -q TODO a.txt; then echo TODO in a.txt; exit 1; fi"])),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "a.txt"), "done");
    let attempts = bench.task(&plan, "a")["attempts"].take();
    assert_eq!(gate(&attempts[0], "lint")["outcome"], "fail");
    assert_eq!(gate(&attempts[1], "lint")["outcome"], "pass");
}

#[test]
fn a_command_that_cannot_be_run_is_no_verdict_on_the_work() {
    let bench = project();
    let plan = bench.start(
        &Plan::new([task("a", &["a.txt"], &["write a.txt a"])]).rule("lint", json!(["no-such-linter"])),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let task = bench.task(&plan, "a");
    assert_eq!(task["attempts"][0]["verdict"], "error");
    assert!(task["reason"].as_str().unwrap().contains("there is no program no-such-linter"), "{task:#}");
}

#[test]
fn what_landed_meanwhile_is_tried_together() {
    let bench = project();
    // Each passes by itself; both files together do not.
    let check = json!(["sh", "-c", "! { test -e a.txt && test -e b.txt; }"]);
    let plan = bench.start(
        &Plan::new([
            task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"]),
            task("b", &["b.txt"], &[&bench.meet_line("b"), "write b.txt b"]),
        ])
        .rule("test", check)
        .rule("max_attempts", json!(1)),
    );
    let (a, b) = (bench.meet("a"), bench.meet("b"));
    a.go();
    bench.task_is(&plan, "a", "done");
    b.go();
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    assert!(
        bench.task(&plan, "b")["reason"].as_str().unwrap().contains("together with what landed meanwhile")
    );
    assert_eq!(bench.landed(&plan), ["a"]);
}

#[test]
fn a_missing_spec_is_written_first_and_the_code_waits_for_it() {
    let bench = project();
    let plan = Plan::new([task(
        "code",
        &["a.txt"],
        &["expect specified in: specs/api.md", "run test -s specs/api.md", "write a.txt a"],
    )])
    .rule("spec_first", json!(true))
    .with("specs", json!([{"file": "specs/api.md", "description": "the interface"}]));
    let planned = bench.rpc().ok("plan", plan.params());
    assert_eq!(planned["specs"], json!([{"file": "specs/api.md", "exists": false}]));
    let waves = planned["waves"].as_array().unwrap();
    assert_eq!(waves.len(), 2, "{planned:#}");
    assert_eq!(waves[1], json!(["code"]));
    let spec = waves[0][0].as_str().unwrap();

    let plan = planned["plan_id"].as_str().unwrap();
    bench.dispatch(plan);
    assert_eq!(bench.at_rest(plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(plan), [spec, "code"]);
    assert_eq!(bench.on_branch(plan, "specs/api.md"), "specified");
    let attempt = bench.task(plan, "code")["attempts"][0].take();
    assert_eq!(gate(&attempt, "specs")["why"], "specs/api.md came before the code");
}

#[test]
fn an_empty_spec_is_none() {
    let bench = Bench::new();
    let plan = Plan::new([task("a", &["a.txt"], &["write a.txt a"])])
        .rule("spec_first", json!(true))
        .rule("max_attempts", json!(1))
        .with("specs", json!([{"file": "specs/api.md", "description": "leave it empty"}]));
    let plan = bench.start(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "failed", "{}", bench.story());
    let spec = &bench.rpc().ok("status", json!({"scope": "plan", "id": plan}))["tasks"][1];
    let why = spec["reason"].as_str().unwrap();
    assert!(spec["state"] == "failed" && why.contains("specs/api.md is empty"), "{spec}");
    // Nobody was paid to work after it.
    assert_eq!(bench.task(&plan, "a")["attempts"], json!([]));
}

#[test]
fn a_working_tree_is_judged_without_being_touched() {
    let bench = project();
    bench.write("a.txt", "mine\n");
    bench.write("b.txt", "mine\n");
    let before = bench.git(["status", "--porcelain"]);
    let mut rpc = bench.rpc();
    let run =
        rpc.ok("judge", json!({"path": ".", "paths": ["a.txt"], "gates": ["ownership"]}))["run_id"].take();
    let verdict = bench.until(json!({"scope": "plan", "run_id": run}), |status| status["state"] != "running");
    assert_eq!(verdict["verdict"], "rejected", "{verdict:#}");
    assert_eq!(verdict["outside_claim"], json!(["b.txt"]), "{verdict:#}");
    assert_eq!(bench.git(["status", "--porcelain"]), before);
}

#[test]
fn work_that_is_judged_again_and_found_good_lands() {
    let bench = project();
    let ready = bench.root.join("ready");
    let plan = bench.start(
        &Plan::new([task("a", &["a.txt"], &["write a.txt a"])])
            .rule("lint", json!(["test", "-e", ready.to_str().unwrap()]))
            .rule("max_attempts", json!(1)),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    std::fs::write(ready, "").unwrap();
    let run = bench.rpc().ok("judge", json!({"plan_id": plan, "task": "a"}))["run_id"].take();
    let verdict = bench.until(json!({"run_id": run}), |status| status["state"] != "running");
    assert_eq!(verdict["verdict"], "approved", "{verdict:#}");
    bench.task_is(&plan, "a", "done");
    assert_eq!(bench.at_rest(&plan)["state"], "done");
    assert_eq!(bench.landed(&plan), ["a"]);
}

#[test]
fn a_repository_that_is_cloned_anew_at_its_place_is_judged_as_before() {
    let bench = project();
    let plan = bench.start(&adding(&[TEST, WORK]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let (old, new) = (bench.project.with_file_name("old"), bench.project.with_file_name("new"));
    bench.git(["clone", "-q", ".", new.to_str().unwrap()]);
    std::fs::rename(&bench.project, &old).unwrap();
    std::fs::rename(&new, &bench.project).unwrap();
    let plan = bench.start(&adding(&[TEST, WORK]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

/// Code that nothing ran is not known to be any good, whoever lacks the program.
#[test]
fn code_that_no_program_here_can_test_is_not_approved_and_prose_is() {
    let bench = Bench::new();
    bench.write("package.json", r#"{"scripts": {"test": "bun test"}}"#);
    bench.write("bun.lock", "{}\n");
    bench.commit("a project of a program that is not here");
    let plan = |file: &str, line: &str| Plan::new([task("a", &[file], &[line])]);
    let code = plan("a.js", "write a.js nonsense");
    let planned = bench.rpc().ok("plan", code.params());
    let told = &planned["problems"][0];
    assert_eq!((&told["code"], &told["severity"]), (&json!("no-tests"), &json!("warning")), "{planned:#}");
    assert!(told["message"].as_str().unwrap().contains("there is no program bun"), "{planned:#}");

    let id = bench.start(&code);
    assert_eq!(bench.at_rest(&id)["state"], "failed", "{}", bench.story());
    let attempt = bench.task(&id, "a")["attempts"][0].take();
    assert_eq!(
        (&attempt["verdict"], &gate(&attempt, "red-green")["outcome"]),
        (&json!("error"), &json!("error"))
    );
    assert!(gate(&attempt, "red-green")["why"].as_str().unwrap().contains("set rules.test"), "{attempt:#}");
    assert_eq!(bench.landed(&id), Vec::<String>::new());

    let prose = plan("guide.md", "write guide.md words");
    assert_eq!(bench.rpc().ok("plan", prose.params())["problems"], json!([]));
    let id = bench.start(&prose);
    assert_eq!(bench.at_rest(&id)["state"], "done", "{}", bench.story());
}

#[test]
fn a_spec_that_no_worker_would_see_is_refused_before_it_costs_anything() {
    let bench = Bench::new();
    bench.write("specs/api.md", "the interface\n");
    let plan = Plan::new([task("a", &["a.txt"], &["write a.txt a"])])
        .rule("spec_first", json!(true))
        .with("specs", json!([{"file": "specs/api.md"}]));
    let planned = bench.rpc().ok("plan", plan.params());
    let problem = &planned["problems"][0];
    assert_eq!((&planned["plan_id"], &problem["code"]), (&Value::Null, &json!("no-specs")), "{planned:#}");
    assert!(problem["message"].as_str().unwrap().contains("not in the commit"), "{problem}");
    bench.commit("the spec");
    let id = bench.start(&plan);
    assert_eq!(bench.at_rest(&id)["state"], "done", "{}", bench.story());
}

/// A reviewer costs money: whoever ends the work ends it too, and is told what was at work.
#[test]
fn a_reviewer_is_ended_with_the_work_that_it_reviews() {
    let bench = Bench::new();
    let line = bench.meet_line("reviewer");
    bench.configure(&format!(
        "[providers.critic]\nkind = \"command\"\ncommand = {}\n",
        json!([crate::bench::AGENT, "do", line])
    ));
    let reviewed = || {
        let plan = Plan::new([task("a", &["a.txt"], &["write a.txt a"])]).rule("review", json!("critic"));
        let plan = bench.start(&plan);
        (bench.meet("reviewer"), plan)
    };
    let (reviewer, plan) = reviewed();
    bench.control("cancel", &plan);
    reviewer.gone();
    assert_eq!(bench.at_rest(&plan)["state"], "stopped", "{}", bench.story());

    let (reviewer, plan) = reviewed();
    let said = bench.rpc().ok("control", json!({"action": "stop", "target": plan, "force": true}));
    let said = said["message"].as_str().unwrap();
    assert!(said.contains("1 task was being judged") && said.contains("has ended"), "{said}");
    reviewer.gone();
    let refused = bench.rpc().refused("control", json!({"action": "stop", "target": plan}));
    assert!(refused.message.contains("nothing to stop"), "{refused:?}");

    // What is judged goes on to be judged.
    bench.dispatch(&plan);
    let reviewer = bench.meet("reviewer");
    bench.rpc().ok("control", json!({"action": "stop", "target": "all-projects"}));
    reviewer.gone();
    assert_eq!(bench.at_rest(&plan)["state"], "stopped", "{}", bench.story());
}

/// A worker that may change what the test command runs could make it run nothing.
#[test]
fn a_test_command_that_the_work_itself_made_pass_proves_nothing() {
    let bench = project();
    let files = ["add.sh", "tests/add.t", "check.sh"];
    let plan = |check: &str, test: &str| {
        let lines = [test, WORK, check];
        Plan::new([task("add", &files, &lines).with("tests", json!(["tests/add.t"]))])
            .rule("tdd", json!(true))
            .rule("test", json!("sh check.sh"))
            .rule("max_attempts", json!(1))
    };
    let id = bench.start(&plan("write check.sh true", "write tests/add.t false"));
    assert_eq!(bench.at_rest(&id)["state"], "failed", "{}", bench.story());
    let why = bench.task(&id, "add")["reason"].as_str().unwrap().to_owned();
    assert!(why.contains("passes without the implementation as soon as check.sh is changed"), "{why}");
    // One that still runs the tests does prove it, and that it was changed is said.
    let check = r#"write check.sh 'for test in tests/*.t; do echo "$test"; sh "$test" || exit 1; done'"#;
    let id = bench.start(&plan(check, TEST));
    assert_eq!(bench.at_rest(&id)["state"], "done", "{}", bench.story());
    let attempt = bench.task(&id, "add")["attempts"][0].take();
    let why = gate(&attempt, "red-green")["why"].as_str().unwrap();
    assert!(why.ends_with("; check.sh, which says what it runs, was changed too"), "{why}");
}

#[test]
fn a_project_whose_name_is_no_text_is_judged_too() {
    use std::os::unix::ffi::OsStrExt as _;
    let bench = Bench::new();
    let odd = bench.root.join(std::ffi::OsStr::from_bytes(b"nu\xff\xfe"));
    std::fs::rename(&bench.project, &odd).unwrap();
    std::fs::write(odd.join("a.txt"), "mine\n").unwrap();
    let words = ["judge", "--path", ".", "--gates", "ownership"];
    let judged = bench.command(crate::bench::KAPELL).args(words).current_dir(&odd).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&judged.stdout), String::from_utf8_lossy(&judged.stderr));
    assert!(judged.status.success() && said.contains("1 changed file"), "{said}");
}

#[test]
fn a_tree_in_no_repository_and_paths_outside_of_it_are_refused_at_once() {
    let bench = Bench::new();
    let refused = bench.rpc().refused("judge", json!({"path": bench.project, "paths": ["../x"]}));
    assert_eq!(refused.kind, "bad-path", "{refused:?}");
    let refused = bench.rpc().refused("judge", json!({"path": "/"}));
    assert_eq!(refused.kind, "unsupported", "{refused:?}");
}

#[test]
fn of_code_that_no_test_was_run_for_it_is_said_so() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["src/a.py"], &["write src/a.py 1"]),
        task("b", &["notes.md"], &["write notes.md words"]),
    ]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let why = "no test proved this work: no test command is known; set rules.test in kapell.toml";
    let mut code = bench.task(&plan, "a");
    assert_eq!((&code["state"], &code["reason"]), (&json!("done"), &json!(why)));
    let attempt = code["attempts"][0].take();
    let proof = gate(&attempt, "red-green");
    assert_eq!((&proof["outcome"], &proof["why"]), (&json!("skipped"), &json!(why)));
    // Of prose nothing is to be run.
    assert_eq!(bench.task(&plan, "b")["reason"], Value::Null);
    let judged = format!("task a: try 1 approved; {why}");
    assert!(bench.events(Some(&plan)).contains(&("attempt.judged".to_owned(), judged)), "{}", bench.story());
    let landed = bench.control("land", &plan)["message"].as_str().unwrap().to_owned();
    assert!(landed.ends_with("; no test proved task a, since no test command is known"), "{landed}");
    let run =
        bench.rpc().ok("judge", json!({"attempt": attempt["attempt"], "land": false}))["run_id"].clone();
    let judged = bench.until(json!({"run_id": run}), |status| status["state"] != "running");
    assert_eq!(judged["verdict"], "approved", "{judged:#}");
    assert_eq!(gate(&judged, "red-green")["why"], why);
}

#[test]
fn folders_that_a_test_closed_to_itself_are_opened_for_the_next() {
    if crate::bench::again_without_privileges(
        "judging::folders_that_a_test_closed_to_itself_are_opened_for_the_next",
    ) {
        return;
    }
    let bench = Bench::new();
    bench.write(".gitignore", "cached/\n");
    bench.write("check.sh", "mkdir -p cached && touch cached/x && chmod 000 cached\n");
    bench.commit("tests of rights");
    let plan = |name: &str| {
        let file = format!("{name}.txt");
        let lines = [format!("write {file} x")];
        Plan::new([task(name, &[&file], &[&lines[0]])])
            .rule("test", json!("sh check.sh"))
            .rule("max_attempts", json!(1))
    };
    for name in ["a", "b", "c"] {
        let id = bench.start(&plan(name));
        assert_eq!(bench.at_rest(&id)["state"], "done", "{name}: {}", bench.story());
    }
}
