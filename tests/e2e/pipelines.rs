//! Pipelines: stages that start one another, from a request to its deployment.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::bench::mcp::Mcp;
use crate::bench::{Bench, DEADLINE, KAPELL};

/// Rules and workers for stages; `stages` are the lines of the pipeline `feature`.
fn bench(stages: &str) -> Bench {
    bench_with(|_| stages.to_owned())
}

fn bench_with(stages: impl FnOnce(&Bench) -> String) -> Bench {
    let bench = Bench::new();
    let stages = stages(&bench);
    bench.configure("[project]\nmax_workers = 4\n");
    let workers = "[workers.dev]\nprovider = \"fake\"\ngroups = [\"development\"]\n\
                   [workers.dev2]\nprovider = \"fake\"\ngroups = [\"development\"]\n\
                   [workers.qa]\nprovider = \"fake\"\ngroups = [\"testing\"]\n\
                   [workers.arch]\nprovider = \"fake\"\n[groups.development]\n[groups.testing]\n\
                   [rules]\ntdd = false\nspec_first = false\nmax_attempts = 1\n";
    bench.write("kapell.toml", &format!("{workers}[pipelines.feature]\nstages = [\n{stages}\n]\n"));
    bench.commit("configure");
    let check = bench.command(KAPELL).args(["config", "check"]).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    bench
}

/// A line with which a tester reports a bug for as long as there is no such file; the bug's text is what
/// whoever mends it does.
fn reports(file: &str) -> String {
    let finding = json!({"kapell": "finding", "text": format!("write {file} mended"), "files": [file],
                         "severity": "high"});
    format!("without {file} say {finding}")
}

fn toml(text: &str) -> String {
    json!(text).to_string()
}

fn pipeline(bench: &Bench, params: Value) -> Value {
    bench.rpc().ok("pipeline", params)
}

#[track_caller]
fn run(bench: &Bench, request: &str) -> String {
    let started = pipeline(bench, json!({"action": "run", "name": "feature", "request": request}));
    started["run"].as_str().unwrap_or_else(|| panic!("{started:#}")).to_owned()
}

fn show(bench: &Bench, run: &str) -> Value {
    pipeline(bench, json!({"action": "show", "run": run}))
}

fn stage<'a>(shown: &'a Value, name: &str) -> &'a Value {
    shown["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap()
}

/// Waits until a stage is in a state, and gives the run.
#[track_caller]
fn stage_is(bench: &Bench, run: &str, name: &str, state: &str) -> Value {
    bench.until(json!({"scope": "events", "id": run, "kind": "stage."}), |_| {
        stage(&show(bench, run), name)["state"] == state
    });
    show(bench, run)
}

/// Waits until a run waits for a person and its conductor is gone.
#[track_caller]
fn asks(bench: &Bench, run: &str) {
    bench.until(json!({"scope": "plan", "id": run}), |status| {
        status["state"] == "paused"
            && status["reason"].as_str().is_some_and(|why| why.starts_with("approval: "))
    });
    bench.quiet();
}

/// The stages of the story: a tester who finds two bugs, a review, and a deployment.
fn story(command: &str, more: &str) -> String {
    let test = toml(&format!("# test\n{}\n{}", reports("a.fix"), reports("b.fix")));
    format!(
        "{{ name = \"build\", target = \"development\", task = \"{{request}}\" }},\n\
         {{ name = \"test\", target = \"testing\", triggers_on = [\"build\"], findings = \"tasks\", task = {test} }},\n\
         {{ name = \"review\", target = \"arch\", triggers_on = [\"test\"], task = \"say fine\" }},\n\
         {{ name = \"deploy\", triggers_on = [\"review\"], approval = true, command = {command}{more} }},"
    )
}

#[test]
fn two_bugs_are_found_mended_tested_again_reviewed_approved_and_deployed() {
    let bench = bench(&story(
        r#"["sh", "-c", "echo deploying $KAPELL_STAGE; cat feature.txt a.fix b.fix; git status --porcelain --ignored"]"#,
        "",
    ));
    let run = run(&bench, "write feature.txt new");
    asks(&bench, &run);
    let shown = show(&bench, &run);
    let states: Vec<&Value> =
        shown["stages"].as_array().unwrap().iter().map(|stage| &stage["state"]).collect();
    assert_eq!(states, ["done", "done", "done", "approval"], "{shown:#}");
    let tasks: Vec<&str> = stage(&shown, "test")["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["task"].as_str().unwrap())
        .collect();
    assert_eq!(tasks, ["test", "test-fix-1-1", "test-fix-1-2", "test-r2"], "{shown:#}");
    let found = stage(&shown, "test")["findings"].as_array().unwrap();
    assert_eq!(
        (found.len(), &found[0]["files"], &found[0]["severity"]),
        (2, &json!(["a.fix"]), &json!("high"))
    );
    // Those who build mend it.
    let fix = bench.task(&run, "test-fix-1-1");
    assert!(fix["attempts"][0]["worker"].as_str().unwrap().starts_with("dev"), "{fix:#}");
    assert_eq!(bench.on_branch(&run, "b.fix"), "mended");
    let overview = bench.rpc().ok("status", json!({}));
    assert!(
        overview["warnings"].to_string().contains(&format!("kapell pipeline approve {run} deploy")),
        "{overview:#}"
    );
    let listed = pipeline(&bench, json!({"action": "list"}));
    assert_eq!(listed["runs"][0]["to_approve"], json!(["deploy"]), "{listed:#}");
    assert_eq!(overview["to_approve"], json!([{"run": run, "stage": "deploy"}]), "{overview:#}");

    // Two at once: one is heard, the other is told of it.
    let mut children: Vec<_> = (0..2)
        .map(|_| {
            let mut command = bench.command(KAPELL);
            command.args(["pipeline", "approve", &run, "deploy", "--message", "go", "--json"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let codes: Vec<_> = children.iter_mut().map(|child| child.wait().unwrap().code().unwrap()).collect();
    assert_eq!(codes.iter().sum::<i32>(), 1, "{codes:?}");
    let plan = bench.at_rest(&run);
    assert_eq!(plan["state"], "done", "{}", bench.story());
    let shown = show(&bench, &run);
    let deploy = stage(&shown, "deploy");
    assert_eq!((&deploy["decision"], &deploy["message"]), (&json!("approved"), &json!("go")), "{deploy:#}");
    let commands = deploy["commands"].as_array().unwrap();
    assert_eq!((commands.len(), &commands[0]["state"]), (1, &json!("passed")), "{deploy:#}");
    assert_eq!(commands[0]["commit"], bench.git(["rev-parse", &format!("kapell/{run}")]));
    let log = fs::read_to_string(commands[0]["log"].as_str().unwrap()).unwrap();
    // The checkout holds what has landed and nothing else.
    assert!(log.ends_with("deploying deploy\nnew\nmended\nmended\n\n"), "{log}");
    let left = fs::read_dir(bench.state().join("worktrees")).unwrap().flatten();
    let left = left.flat_map(|project| fs::read_dir(project.path()).unwrap().flatten());
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("d-")));

    // What is over waits for nobody.
    let refused = bench.rpc().call("pipeline", json!({"action": "approve", "run": run})).unwrap_err();
    assert_eq!(refused.kind, "conflict", "{refused:?}");
    let mermaid = bench.command(KAPELL).args(["pipeline", "show", &run, "--mermaid"]).output().unwrap();
    assert!(String::from_utf8_lossy(&mermaid.stdout).starts_with("flowchart LR\n    s0[\"build<br/>done\"]"));
}

#[test]
fn what_is_refused_is_not_begun_until_it_is_asked_again() {
    let bench = bench(&story(r#"["true"]"#, ""));
    let run = run(&bench, "write a.fix done\nwrite b.fix done");
    asks(&bench, &run);
    let early =
        bench.rpc().call("pipeline", json!({"action": "approve", "run": run, "stage": "test"})).unwrap_err();
    assert_eq!(early.kind, "conflict", "{early:?}");
    let no = json!({"action": "approve", "run": run, "refuse": true, "message": "not on a Friday"});
    let answer = pipeline(&bench, no);
    assert_eq!(stage(&answer, "deploy")["decision"], "refused", "{answer:#}");
    let plan = bench.at_rest(&run);
    assert_eq!(plan["state"], "failed");
    assert!(plan["reason"].as_str().unwrap().contains("not on a Friday"), "{plan:#}");
    assert_eq!(stage(&show(&bench, &run), "deploy")["commands"], Value::Null);
    let events = bench.events(Some(&run));
    assert!(events.iter().any(|(kind, text)| kind == "stage.refused" && text.contains("not on a Friday")));
    // Nothing of it is open: resume would find that again, and says so.
    let vain = bench.rpc().refused("control", json!({"action": "resume", "target": run}));
    assert_eq!(vain.kind, "conflict", "{vain:?}");
    assert!(vain.message.contains("stage deploy is refused"), "{vain:?}");
    assert!(vain.data["hint"].as_str().unwrap().contains(&format!("kapell retry {run}/deploy")), "{vain:?}");
    assert_eq!(bench.rpc().ok("status", json!({"scope": "plan", "id": run}))["state"], "failed");
    // Asked again, by `control` as well as by `pipeline`.
    bench.control("retry", &run);
    asks(&bench, &run);
    let told = bench.control("resume", &run)["message"].clone();
    assert!(told.as_str().unwrap().contains(&format!("kapell pipeline approve {run} deploy")), "{told}");
    asks(&bench, &run);
    bench.control("approve", &format!("{run}/deploy"));
    assert_eq!(bench.at_rest(&run)["state"], "done", "{}", bench.story());
}

#[test]
fn a_deployment_that_fails_is_rolled_back_and_another_on_demand() {
    let undo = r#", rollback = ["sh", "-c", "echo undone $KAPELL_COMMIT"]"#;
    let bench = bench(&story(r#"["sh", "-c", "echo half; test -f README.gone"]"#, undo));
    let first = run(&bench, "write a.fix done\nwrite b.fix done");
    asks(&bench, &first);
    let answer = pipeline(&bench, json!({"action": "approve", "run": first}));
    let reason = stage(&answer, "deploy")["reason"].to_string();
    assert!(!reason.contains("pipeline approve"), "that is done: {reason}");
    let plan = bench.at_rest(&first);
    assert_eq!(plan["state"], "failed", "{}", bench.story());
    let shown = show(&bench, &first);
    let deploy = stage(&shown, "deploy");
    assert_eq!(deploy["state"], "rolled-back", "{deploy:#}");
    let kinds: Vec<(&Value, &Value)> =
        deploy["commands"].as_array().unwrap().iter().map(|run| (&run["kind"], &run["state"])).collect();
    assert_eq!(kinds, [(&json!("command"), &json!("failed")), (&json!("rollback"), &json!("passed"))]);
    let commit = deploy["commands"][0]["commit"].as_str().unwrap();
    let log = fs::read_to_string(deploy["commands"][1]["log"].as_str().unwrap()).unwrap();
    assert!(log.contains(&format!("undone {commit}")), "{log}");
    let again = bench.rpc().call("pipeline", json!({"action": "rollback", "run": first})).unwrap_err();
    assert_eq!(again.kind, "conflict", "{again:?}");

    // One that went well is undone because somebody wants it so.
    let second = run(&bench, "write a.fix done\nwrite b.fix done\nwrite README.gone x");
    asks(&bench, &second);
    let early = bench.rpc().call("pipeline", json!({"action": "rollback", "run": second})).unwrap_err();
    assert_eq!(early.kind, "conflict", "{early:?}");
    bench.control("approve", &second);
    assert_eq!(bench.at_rest(&second)["state"], "done", "{}", bench.story());
    let answer = bench.command(KAPELL).args(["pipeline", "rollback", &second, "--json"]).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let plan = bench.at_rest(&second);
    assert_eq!(plan["state"], "stopped", "{plan:#}");
    assert_eq!(stage(&show(&bench, &second), "deploy")["state"], "rolled-back");
    let again = bench.rpc().refused("pipeline", json!({"action": "rollback", "run": second}));
    assert!(again.message.contains("what stage deploy did was rolled back"), "{again:?}");
    let hint = again.data["hint"].as_str().unwrap();
    assert!(hint.contains("pipeline show"), "nothing is left to be seen to: {hint}");
}

#[test]
fn nothing_is_undone_of_what_never_began() {
    let bench = bench_with(|bench| {
        bench.write("no-program", "not executable");
        let undo = json!(["sh", "-c", format!("touch {}", bench.root.join("undone").display())]);
        format!("{{ name = \"deploy\", command = [\"no-such-program-zz\"], rollback = {undo} }},")
    });
    let first = run(&bench, "go");
    assert_eq!(bench.at_rest(&first)["state"], "failed", "{}", bench.story());
    let shown = show(&bench, &first);
    assert_eq!(stage(&shown, "deploy")["state"], "failed", "{shown:#}");
    let commands = stage(&shown, "deploy")["commands"].as_array().unwrap();
    assert_eq!(commands.len(), 1, "{shown:#}");
    assert!(!bench.root.join("undone").exists());
}

#[test]
fn a_run_that_is_cancelled_goes_no_further() {
    let bench = bench_with(|bench| {
        let gate = bench.meet_line("one");
        let one = json!([crate::bench::AGENT, "do", gate]);
        format!(
            "{{ name = \"one\", command = {one} }},\n\
             {{ name = \"two\", triggers_on = [\"one\"], command = [\"true\"] }},"
        )
    });
    let run = run(&bench, "go");
    let one = bench.meet("one");
    bench.control("cancel", &run);
    one.go();
    assert_eq!(bench.at_rest(&run)["state"], "stopped", "{}", bench.story());
    let shown = show(&bench, &run);
    let commands = stage(&shown, "two")["commands"].as_array();
    assert!(commands.is_none_or(Vec::is_empty), "{shown:#}");
    bench.quiet();
}

#[test]
fn the_stages_of_a_run_that_was_stopped_do_not_say_that_they_run() {
    let bench = watched();
    let run = run(&bench, &format!("{}\nwrite a.txt a", bench.meet_line("build")));
    let build = bench.meet("build");
    assert_eq!(stage(&show(&bench, &run), "build")["state"], "running");
    let stopped = pipeline(&bench, json!({"action": "stop", "run": run}));
    assert_ne!(stage(&stopped, "build")["state"], "running", "{stopped:#}");
    build.gone();
    assert_eq!(bench.at_rest(&run)["state"], "stopped", "{}", bench.story());
    let shown = show(&bench, &run);
    let build = stage(&shown, "build");
    assert_eq!(build["state"], "stopped", "{shown:#}");
    assert!(build["reason"].as_str().unwrap().contains(&format!("kapell resume {run} goes on")), "{shown:#}");
    assert_eq!(stage(&shown, "deploy")["state"], "waiting", "{shown:#}");
    bench.control("resume", &run);
    let build = bench.meet("build");
    assert_eq!(stage(&show(&bench, &run), "build")["state"], "running");
    build.go();
    asks(&bench, &run);
}

#[test]
fn findings_that_never_end_end_the_run_and_say_so() {
    let test = toml(&format!("# test\nsay {}", json!({"kapell": "finding", "text": "append log.txt x"})));
    let stages = format!(
        "{{ name = \"build\", task = \"{{request}}\" }},\n\
         {{ name = \"test\", triggers_on = [\"build\"], findings = \"tasks\", max_rounds = 2, task = {test} }},\n\
         {{ name = \"after\", triggers_on = [\"test\"], task = \"say never\" }},"
    );
    let bench = bench(&stages);
    let run = run(&bench, "write log.txt 0");
    let plan = bench.at_rest(&run);
    assert_eq!(plan["state"], "failed", "{}", bench.story());
    let why = plan["reason"].as_str().unwrap();
    assert!(
        why.contains("after 2 rounds, as many as allowed, it still found 1 thing: append log.txt x"),
        "{why}"
    );
    let shown = show(&bench, &run);
    assert_eq!(stage(&shown, "test")["tasks"].as_array().unwrap().len(), 3, "{shown:#}");
    assert_eq!(stage(&shown, "after")["state"], "blocked");
    assert_eq!(bench.on_branch(&run, "log.txt"), "0\nx");
    // A person gives it as many rounds again.
    bench.control("retry", &format!("{run}/test"));
    let plan = bench.at_rest(&run);
    assert_eq!(bench.on_branch(&run, "log.txt"), "0\nx\nx");
    assert!(plan["reason"].as_str().unwrap().contains("after 4 rounds, as many as allowed"), "{plan:#}");
    assert!(told(&bench, &run).contains("round 4 of 4"), "{}", told(&bench, &run));
}

/// What `kapell pipeline show` tells a person of a run.
fn told(bench: &Bench, run: &str) -> String {
    let output = bench.command(KAPELL).args(["pipeline", "show", run]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_said_of_a_stopped_command_is_what_happens_to_it() {
    let bench = watched();
    let run = run(&bench, "write a.txt a");
    asks(&bench, &run);
    pipeline(&bench, json!({"action": "approve", "run": run}));
    let deploy = bench.meet("deploy");
    pipeline(&bench, json!({"action": "stop", "run": run}));
    deploy.gone();
    assert_eq!(bench.at_rest(&run)["state"], "stopped", "{}", bench.story());
    bench.quiet();
    let says = format!("kapell resume {run} rolls back what its command began, and the run ends as failed");
    assert!(told(&bench, &run).replace("\n          ", " ").contains(&says), "{}", told(&bench, &run));
    let refused = bench.rpc().refused("pipeline", json!({"action": "rollback", "run": run}));
    assert!(refused.message.contains("stage deploy was stopped in the midst of it"), "{refused:?}");
    let hint = refused.data["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("kapell resume {run}")) && hint.contains("rolls back"), "{hint}");
    bench.control("resume", &run);
    assert_eq!(bench.at_rest(&run)["state"], "failed", "{}", bench.story());
    assert_eq!(stage(&show(&bench, &run), "deploy")["state"], "rolled-back");
}

#[test]
fn a_command_that_ended_with_nobody_there_does_not_run_any_more() {
    let bench = watched();
    let run = run(&bench, "write a.txt a");
    asks(&bench, &run);
    pipeline(&bench, json!({"action": "approve", "run": run}));
    let deploy = bench.meet("deploy");
    let shim = bench.shim(&deploy.attempt);
    bench.conductor(&run).kill();
    assert!(told(&bench, &run).contains("command runs, on "), "{}", told(&bench, &run));
    deploy.go();
    assert!(shim.ends_before(Instant::now() + DEADLINE), "{}", bench.story());
    let told = told(&bench, &run);
    assert!(told.contains("command does not run any more, and how it ended is not recorded, on "), "{told}");
    bench.control("resume", &run);
    assert_eq!(bench.at_rest(&run)["state"], "done", "{}", bench.story());
}

/// A stage that is built while the test looks, and one whose command meets it.
fn watched() -> Bench {
    bench_with(|bench| {
        let deploy = bench.gate(&["say begun", &bench.meet_line("deploy"), "say through"]);
        format!(
            "{{ name = \"build\", target = \"development\", task = \"{{request}}\" }},\n\
             {{ name = \"deploy\", triggers_on = [\"build\"], approval = true, command = {deploy}, rollback = [\"true\"] }},"
        )
    })
}

#[test]
fn a_killed_conductor_is_followed_by_one_that_goes_on_and_nothing_runs_twice() {
    let bench = watched();
    let run = run(&bench, &format!("{}\nwrite a.txt a", bench.meet_line("build")));
    let build = bench.meet("build");
    bench.conductor(&run).kill();
    build.go();
    bench.dispatch(&run);
    asks(&bench, &run);
    pipeline(&bench, json!({"action": "approve", "run": run}));
    let deploy = bench.meet("deploy");
    bench.conductor(&run).kill();
    // The command goes on without anybody who watches, and is found again.
    deploy.go();
    bench.dispatch(&run);
    assert_eq!(bench.at_rest(&run)["state"], "done", "{}", bench.story());
    let shown = show(&bench, &run);
    let commands = stage(&shown, "deploy")["commands"].as_array().unwrap();
    assert_eq!((commands.len(), &commands[0]["state"]), (1, &json!("passed")), "{shown:#}");
    let log = fs::read_to_string(commands[0]["log"].as_str().unwrap()).unwrap();
    assert_eq!(log.matches("begun\n").count(), 1, "{log}");
    assert_eq!(bench.task(&run, "build")["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_command_of_which_nobody_knows_how_it_ended_is_not_run_again_unasked() {
    let bench = watched();
    let run = run(&bench, "write a.txt a");
    asks(&bench, &run);
    pipeline(&bench, json!({"action": "approve", "run": run}));
    let deploy = bench.meet("deploy");
    let shim = bench.shim(&deploy.attempt);
    bench.conductor(&run).kill();
    shim.kill();
    bench.dispatch(&run);
    deploy.gone();
    let plan = bench.at_rest(&run);
    assert_eq!(plan["state"], "failed", "{}", bench.story());
    let shown = show(&bench, &run);
    assert_eq!(stage(&shown, "deploy")["state"], "unknown", "{shown:#}");
    assert!(plan["reason"].as_str().unwrap().contains("unknown"), "{plan:#}");
    // Nor does it run because the plan is started again; a person is asked first.
    bench.dispatch(&run);
    bench.at_rest(&run);
    assert_eq!(stage(&show(&bench, &run), "deploy")["commands"].as_array().unwrap().len(), 1);
    bench.control("retry", &format!("{run}/deploy"));
    asks(&bench, &run);
    pipeline(&bench, json!({"action": "approve", "run": run}));
    bench.meet("deploy").go();
    assert_eq!(bench.at_rest(&run)["state"], "done", "{}", bench.story());
}

#[test]
fn killed_between_any_two_steps_it_goes_on_where_it_was() {
    let bench = bench(&story(r#"["echo", "once"]"#, ""));
    for nth in [6, 10, 14, 18, 22, 26, 30, 36, 42, 50] {
        let log = bench.root.join(format!("faults-{nth}"));
        let mut command = bench.command(KAPELL);
        command
            .env("KAPELL_FAILPOINT", format!("store.committed:kill@{nth}"))
            .env("KAPELL_FAILPOINT_LOG", &log);
        command.args(["pipeline", "run", "feature", "--request", &format!("write {nth}.txt x")]);
        let _ = command.output().unwrap();
        bench.quiet();
        let listed = pipeline(&bench, json!({"action": "list"}));
        let run = listed["runs"][0]["run"].as_str().unwrap().to_owned();
        if show(&bench, &run)["state"] != "paused" {
            bench.dispatch(&run);
        }
        asks(&bench, &run);
        pipeline(&bench, json!({"action": "approve", "run": run}));
        assert_eq!(bench.at_rest(&run)["state"], "done", "{nth}: {}", bench.story());
        let shown = show(&bench, &run);
        // Every stage did once what it had to do.
        let mut landed = bench.landed(&run);
        landed.sort();
        landed.dedup();
        assert_eq!(landed.len(), bench.landed(&run).len(), "{nth}");
        assert_eq!(stage(&shown, "deploy")["commands"].as_array().unwrap().len(), 1, "{nth}");
        assert_eq!(stage(&shown, "review")["tasks"].as_array().unwrap().len(), 1, "{nth}");
        assert_eq!(bench.on_branch(&run, &format!("{nth}.txt")), "x");
        assert_eq!(bench.on_branch(&run, "b.fix"), "mended", "{nth}");
    }
}

#[test]
fn a_plan_that_names_a_pipeline_goes_through_its_stages() {
    let stages = "{ name = \"build\", target = \"development\", task = \"{request}\" },\n\
                  { name = \"check\", triggers_on = [\"build\"], task = \"say fine\" },";
    let bench = bench(stages);
    let tasks = json!([{"id": 1, "task": "write a.txt a", "files": ["a.txt"], "agent": "arch"},
                       {"id": 2, "task": "write b.txt b", "files": ["b.txt"]}]);
    let planned = bench.rpc().ok("plan", json!({"plan": {"tasks": tasks, "pipeline": "feature"}}));
    let plan = planned["plan_id"].as_str().unwrap_or_else(|| panic!("{planned:#}")).to_owned();
    assert_eq!(show(&bench, &plan)["state"], "draft");
    // Some of its tasks are not all of the first stage.
    bench.rpc().ok("dispatch", json!({"plan_id": plan, "tasks": [1]}));
    assert_eq!(bench.at_rest(&plan)["state"], "stopped", "{}", bench.story());
    assert_eq!(stage(&show(&bench, &plan), "check")["state"], "waiting");
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let worker = |task: &str| bench.task(&plan, task)["attempts"][0]["worker"].clone();
    assert_eq!(worker("1"), "arch");
    assert!(worker("2").as_str().unwrap().starts_with("dev"));
    assert_eq!(stage(&show(&bench, &plan), "check")["state"], "done");
}

#[test]
fn fan_out_groups_and_any_of() {
    let stages = "{ name = \"build\", target = \"development\", task = \"{request}\" },\n\
         { name = \"check\", target = \"testing\", triggers_on = [\"build\"], fan_out = true, task = \"say {files}\" },\n\
         { name = \"slow\", triggers_on_any = [\"approval\"], task = \"say slow\" },\n\
         { name = \"either\", triggers_on_any = [\"slow\", \"check\"], task = \"write either.txt x\" },\n\
         { name = \"crew\", triggers_on = [\"testing\", \"qa\"], task = \"write crew.txt x\" },";
    let bench = bench(stages);
    let tasks = json!([{"id": 1, "task": "write one.txt 1", "files": ["one.txt"]},
                       {"id": "two", "task": "write two.txt 2", "files": ["two.txt"], "depends_on": [1]}]);
    let started = pipeline(&bench, json!({"action": "run", "name": "feature", "plan": {"tasks": tasks}}));
    let run = started["run"].as_str().unwrap_or_else(|| panic!("{started:#}")).to_owned();
    asks(&bench, &run);
    let shown = show(&bench, &run);
    let names = |name: &str| -> Vec<Value> {
        stage(&shown, name)["tasks"].as_array().unwrap().iter().map(|task| task["task"].clone()).collect()
    };
    assert_eq!(names("build"), [json!(1), json!("two")]);
    assert_eq!(names("check"), ["check-1", "check-two"]);
    assert_eq!(stage(&shown, "slow")["state"], "waiting");
    for name in ["check", "either", "crew"] {
        assert_eq!(stage(&shown, name)["state"], "done", "{shown:#}");
    }
    // The first stage's target did the plan's own tasks.
    assert!(bench.task(&run, "1")["attempts"][0]["worker"].as_str().unwrap().starts_with("dev"));
    pipeline(&bench, json!({"action": "approve", "run": run, "stage": "slow"}));
    assert_eq!(bench.at_rest(&run)["state"], "done", "{}", bench.story());
}

#[test]
fn a_paused_run_is_done_when_nothing_of_it_is_left() {
    let last = "{ name = \"build\", target = \"development\", task = \"{request}\" },";
    let one_more = format!(
        "{last}\n{{ name = \"check\", target = \"testing\", triggers_on = [\"build\"], task = \"say ok\" }},"
    );
    for (stages, at_rest) in [(last.to_owned(), true), (one_more, false)] {
        let bench = bench(&stages);
        let run = run(&bench, &format!("{}\nwrite a.txt a", bench.meet_line("a")));
        let worker = bench.meet("a");
        bench.control("pause", &run);
        worker.go();
        if at_rest {
            assert_eq!(bench.at_rest(&run)["state"], "done", "{}", bench.story());
            assert_eq!(stage(&show(&bench, &run), "build")["state"], "done");
            continue;
        }
        let status = bench.until(json!({"scope": "plan", "id": run}), |status| status["done"] == 1);
        assert_eq!(status["state"], "paused", "{status:#}");
        bench.control("resume", &run);
        assert_eq!(bench.at_rest(&run)["state"], "done", "{}", bench.story());
    }
}

#[test]
fn bad_input_is_refused_with_what_to_do() {
    let bench = bench("{ name = \"ship\", command = [\"true\"] },");
    let mut rpc = bench.rpc();
    let mut refused = |params: Value, kind: &str| {
        let found = rpc.refused("pipeline", params.clone());
        assert_eq!(found.kind, kind, "{params} {found:?}");
    };
    refused(json!({"action": "run", "name": "nope", "request": "x"}), "not-found");
    refused(json!({"action": "run", "name": "feature", "request": " "}), "invalid-params");
    refused(json!({"action": "run", "name": "feature"}), "invalid-params");
    refused(json!({"action": "run", "name": "feature", "request": "x", "file": "y"}), "invalid-params");
    refused(json!({"action": "show", "run": "nope"}), "not-found");
    refused(json!({"action": "approve"}), "invalid-params");
    refused(json!({"action": "approve", "run": "nope"}), "not-found");
    let plan = json!({"tasks": [{"id": 1, "task": "x", "files": ["x"]}]});
    let faulty = pipeline(&bench, json!({"action": "run", "name": "feature", "plan": plan}));
    assert_eq!(faulty["problems"][0]["code"], "unknown-pipeline", "{faulty:#}");
    assert_eq!(faulty["run"], Value::Null);
    let mut named = plan.clone();
    named["pipeline"] = json!("nope");
    let planned = bench.rpc().ok("plan", json!({"plan": named}));
    assert_eq!(
        (&planned["plan_id"], &planned["problems"][0]["code"]),
        (&Value::Null, &json!("unknown-pipeline"))
    );
    // A plan that is no run is none to approve.
    let stored = bench.rpc().ok("plan", json!({"plan": plan}));
    let stored = stored["plan_id"].as_str().unwrap();
    let mut rpc = bench.rpc();
    assert_eq!(rpc.refused("pipeline", json!({"action": "show", "run": stored})).kind, "not-found");
    assert_eq!(
        rpc.refused("pipeline", json!({"action": "run", "name": "feature", "plan_id": stored})).kind,
        "unsupported"
    );
    let shown = bench.command(KAPELL).args(["pipeline", "show", "feature"]).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("ship"));
    assert_eq!(
        bench.command(KAPELL).args(["pipeline", "show", "nope"]).output().unwrap().status.code(),
        Some(3)
    );
    // A pipeline of a command alone runs for a request.
    let run = run(&bench, "anything");
    assert_eq!(bench.at_rest(&run)["state"], "done", "{}", bench.story());
}

#[test]
fn an_agent_has_the_person_asked_and_cannot_approve_by_itself() {
    let bench = bench("{ name = \"ship\", approval = true, command = [\"true\"] },");
    let approve = |run: &str| json!({"name": "pipeline", "arguments": {"action": "approve", "run": run}});
    let first = run(&bench, "one");
    asks(&bench, &first);
    // Without anybody to ask it is refused, by the other way in too.
    let mut mcp = Mcp::open(&bench);
    mcp.greet(&json!({}));
    for params in
        [approve(&first), json!({"name": "control", "arguments": {"action": "approve", "target": first}})]
    {
        mcp.call(&params);
        let answer = mcp.next();
        assert_eq!(answer["result"]["structuredContent"]["data"]["kind"], "not-allowed", "{answer:#}");
    }
    assert_eq!(stage(&show(&bench, &first), "ship")["state"], "approval");
    drop(mcp);
    // A client of the legacy era is sent the question.
    let mut mcp = Mcp::open(&bench);
    mcp.greet(&json!({"elicitation": {}}));
    for (answer, state) in [
        (json!({"action": "cancel"}), "approval"),
        (json!({"action": "accept", "content": {"approve": true, "message": "go"}}), "done"),
    ] {
        mcp.call(&approve(&first));
        let asked = mcp.next();
        assert_eq!(asked["method"], "elicitation/create", "{asked:#}");
        assert!(asked["params"]["message"].as_str().unwrap().contains("Stage ship"), "{asked:#}");
        mcp.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": answer}));
        let answer = mcp.next();
        assert_eq!(answer["result"]["isError"] == true, state == "approval", "{answer:#}");
        if state == "done" {
            stage_is(&bench, &first, "ship", "done");
        }
        assert_eq!(stage(&show(&bench, &first), "ship")["state"], state);
    }
    assert_eq!(stage(&show(&bench, &first), "ship")["message"], "go (asked over MCP)");
    drop(mcp);
    // One of the modern era gets it as its answer, and calls again with what the person said.
    let second = run(&bench, "two");
    asks(&bench, &second);
    let mut mcp = Mcp::open(&bench);
    let mut call = approve(&second);
    call["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
        "io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "1"},
    });
    mcp.call(&call);
    let asked = mcp.next();
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked:#}");
    call["requestState"] = asked["result"]["requestState"].clone();
    call["inputResponses"] = json!({"approval": {"action": "decline"}});
    mcp.call(&call);
    let answer = mcp.next();
    // Its conductor may have ended it by now, or is yet to.
    let told = &answer["result"]["structuredContent"];
    assert_eq!(told["message"], "stage ship is refused, and not begun", "{answer:#}");
    assert_eq!(told["stages"][0]["decision"], "refused", "{answer:#}");
    let shown = stage_is(&bench, &second, "ship", "refused");
    assert_eq!(stage(&shown, "ship")["decision"], "refused");
    drop(mcp);
    assert_eq!(bench.at_rest(&second)["state"], "failed");
}

#[test]
fn the_example_does_what_it_says() {
    let bench = Bench::bare_machine();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/pipeline/run.sh");
    let output = bench.command("sh").args([script, KAPELL]).env("TMPDIR", &bench.root).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.trim_end().ends_with(": Hello World"), "{said}");
    bench.quiet();
}

#[test]
fn more_stages_than_are_named_wait_for_a_person_and_a_warning_says_so() {
    let gates: Vec<String> = (0..7)
        .map(|number| format!("{{ name = \"g{number}\", approval = true, command = [\"true\"] }}"))
        .collect();
    let bench = bench(&gates.join(",\n"));
    let run = run(&bench, "seven gates");
    asks(&bench, &run);
    let overview = bench.rpc().ok("status", json!({}));
    assert_eq!(overview["to_approve"].as_array().unwrap().len(), 5, "{overview:#}");
    let warnings = overview["warnings"].to_string();
    assert!(
        warnings.contains("2 more stages wait for a person: kapell pipeline list has all"),
        "{overview:#}"
    );
    let listed = pipeline(&bench, json!({"action": "list"}));
    assert_eq!(listed["runs"][0]["to_approve"].as_array().unwrap().len(), 7, "{listed:#}");
}
