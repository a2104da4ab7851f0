//! Reviewers cost money, and are not always to be had: what they may cost is set aside, and work waits for them.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bench::{AGENT, Bench, KAPELL, Plan, task};

/// A reviewer of that budget, which meets the test, tells what it cost, and approves.
fn reviewer(bench: &Bench, budget: &str) {
    let usage = r#"say {"kapell":"usage","input_tokens":10,"output_tokens":5,"usd":0.07}"#;
    let verdict = r#"say {"kapell":"result","text":"{\"verdict\":\"approved\",\"reasons\":[]}"}"#;
    let command = json!([AGENT, "do", bench.meet_line("reviewer"), usage, verdict]);
    bench.configure(&format!(
        "[providers.critic]\nkind = \"command\"\ncommand = {command}\nbudget = {{ {budget} }}\n"
    ));
}

fn reviewed(names: &[&str]) -> Plan {
    let one = |name: &&str| {
        let file = format!("{name}.txt");
        task(name, &[&file], &[&format!("write {file} {name}")])
    };
    Plan::new(names.iter().map(one)).rule("review", json!("critic"))
}

/// Waits until a task's review waits, and tells for what.
fn waits(bench: &Bench, plan: &str, name: &str) -> String {
    let params = json!({"scope": "task", "id": format!("{plan}/{name}")});
    let task = bench.until(params, |task| task["state"] == "judging" && task["reason"].is_string());
    task["reason"].as_str().unwrap().to_owned()
}

fn budget_of_critic(bench: &Bench) -> Value {
    let lines = bench.rpc().ok("status", json!({"scope": "budget"}))["budget"].clone();
    let is_critic = |line: &&Value| line["provider"] == "critic";
    lines.as_array().unwrap().iter().find(is_critic).unwrap().clone()
}

#[test]
fn reviews_at_once_do_not_overspend_and_one_that_cannot_be_paid_now_is_waited_for() {
    let bench = Bench::new();
    reviewer(&bench, "usd_per_day = 0.2");
    let plan = bench.start(&reviewed(&["a", "b"]));
    // What the first will cost nobody knows: all that is left is kept for it.
    let first = bench.meet("reviewer");
    let why = "review: critic: 0.20 of 0.20 dollars are spent or set aside today";
    bench.until(json!({"scope": "plan", "id": plan}), |status| status["tasks"].to_string().contains(why));
    first.go();
    bench.meet("reviewer").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());

    let plan = bench.start(&reviewed(&["c"]));
    let why = waits(&bench, &plan, "c");
    assert!(
        why.contains("critic: 0.14 of 0.20 dollars are spent today, and a question may take 0.07"),
        "{why}"
    );
    assert_eq!(budget_of_critic(&bench)["spent_usd"], json!(0.14), "{:#}", budget_of_critic(&bench));
    // Whoever raises it is heard.
    reviewer(&bench, "usd_per_day = 1.0");
    bench.meet("reviewer").go();
    let done = bench.at_rest(&plan);
    assert_eq!(done["state"], "done", "{}", bench.story());
    assert_eq!(bench.task(&plan, "c")["reason"], Value::Null);
}

#[test]
fn what_reviews_cost_is_that_of_their_task_and_plan() {
    let bench = Bench::new();
    reviewer(&bench, "usd_per_day = 5.0");
    let one = |name: &str| {
        let file = format!("{name}.txt");
        task(name, &[&file], &[&format!("write {file} {name}")])
    };
    let plan = Plan::new([one("a"), one("b").after(&["a"])]).rule("review", json!("critic"));
    let plan = bench.start(&plan.with("budget_usd", json!(0.1)));
    bench.meet("reviewer").go();
    let why = waits(&bench, &plan, "b");
    let told = format!(
        "review: plan {plan}: 0.07 of 0.10 dollars are spent by its tasks, and a question may take 0.07; resumed"
    );
    assert!(why.starts_with(&told), "{why}");
    let paused = bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] == "paused");
    let way = format!("kapell resume {plan} --budget-usd USD goes on with more");
    assert!(paused["reason"].as_str().unwrap().contains(&way), "{paused:#}");
    let short = bench.events(Some(&plan)).into_iter().filter(|(kind, _)| kind == "budget.short").count();
    assert_eq!(short, 1, "{}", bench.story());
    // What is no more, or too little, does not pay for it either.
    for more in [json!({}), json!({"budget_usd": 0.12})] {
        let mut resume = json!({"action": "resume", "target": plan});
        resume.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let since = bench.rpc().ok("control", resume)["seq"].clone();
        let again = json!({"scope": "plan", "id": plan, "since_seq": since});
        bench.until(again, |status| status["state"] == "paused");
    }
    bench.rpc().ok("control", json!({"action": "resume", "target": plan, "budget_usd": 0.5}));
    bench.meet("reviewer").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let paused = |it: &(String, String)| it.0 == "plan.state" && it.1.contains("paused");
    assert_eq!(bench.events(Some(&plan)).iter().filter(|it| paused(it)).count(), 3, "{}", bench.story());
    for (by, names) in
        [("plan", vec![plan.clone()]), ("task", vec![format!("{plan}/a"), format!("{plan}/b")])]
    {
        let told = bench.command(KAPELL).args(["cost", "--by", by, "--json"]).output().unwrap();
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        let usd = 0.14 / names.len() as f64;
        let rows = told["cost"].as_array().unwrap();
        let of = |name: &String| rows.iter().find(|row| row["name"] == *name).map(|row| row["usd"].clone());
        assert!(names.iter().all(|name| of(name) == Some(json!(usd))), "{told:#}");
        assert!(!told.to_string().contains("(questions)"), "{told:#}");
    }
    let asked = bench.rpc().ok("status", json!({"scope": "events", "id": plan}))["events"].clone();
    let asked = asked.as_array().unwrap().iter().filter(|it| it["kind"] == "question.answered");
    assert_eq!(asked.map(|it| it["task"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn what_a_person_approves_lands_whatever_becomes_of_its_review() {
    let bench = Bench::new();
    reviewer(&bench, "usd_per_day = 0.0");
    let plan = bench.start(&reviewed(&["a"]));
    waits(&bench, &plan, "a");
    bench.control("approve", &format!("{plan}/a"));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a"]);
    // Also one whose reviewer fails after that.
    let command = json!([AGENT, "do", bench.meet_line("failing"), "exit 3"]);
    bench.configure(&format!("[providers.critic]\nkind = \"command\"\ncommand = {command}\n"));
    let plan = bench.start(&reviewed(&["b"]));
    let failing = bench.meet("failing");
    bench.control("approve", &format!("{plan}/b"));
    failing.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["b"]);
}

#[test]
fn a_reviewer_whose_process_is_killed_is_asked_again() {
    let bench = Bench::new();
    reviewer(&bench, "usd_per_day = 5.0");
    let plan = bench.start(&reviewed(&["a"]));
    let first = bench.meet("reviewer");
    let processes = bench.processes();
    processes.iter().find(|it| it.pid == first.parent).unwrap().kill();
    first.gone();
    bench.meet("reviewer").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

/// Claude Code ends by itself at what it was told that it may cost.
#[test]
fn a_review_that_ends_at_what_is_left_waits_for_more() {
    let bench = Bench::new();
    let line = |what: &str| {
        format!(
            r#"{{"type":"result","subtype":"{what}","is_error":false,"total_cost_usd":0.12,"usage":{{}},"result":"{{\"verdict\":\"approved\",\"reasons\":[]}}"}}"#
        )
    };
    let fails = r#"{"type":"result","subtype":"error_max_budget_usd","is_error":true,"total_cost_usd":0.06,"usage":{},"errors":["Reached maximum budget"]}"#;
    let script = format!(
        "case \"$*\" in *'--max-budget-usd 0.06'*) printf '%s\\n' '{fails}'; exit 1;; *) printf '%s\\n' '{}';; esac",
        line("success").replace('\'', "")
    );
    let program = bench.root.join("claude");
    std::fs::write(&program, format!("#!/bin/sh\ncat > /dev/null\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bench.configure(&format!(
        "[providers.critic]\nkind = \"claude\"\ncommand = [\"{}\"]\n",
        program.display()
    ));
    let plan = bench.start(&reviewed(&["a"]).with("budget_usd", json!(0.06)));
    let why = waits(&bench, &plan, "a");
    assert!(why.contains("0.06 of 0.06 dollars are spent by its tasks"), "{why}");
    bench.rpc().ok("control", json!({"action": "resume", "target": plan, "budget_usd": 5.0}));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn a_review_that_waits_for_money_is_ended_with_its_plan() {
    let bench = Bench::new();
    reviewer(&bench, "usd_per_day = 0.0");
    let plan = bench.start(&reviewed(&["a"]));
    waits(&bench, &plan, "a");
    // Whoever has it judged meanwhile is told at once.
    let judged = bench.command(KAPELL).args(["judge", "--plan-id", &plan, "--task", "a"]).output().unwrap();
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert!(said.contains("review") && said.contains("critic: 0.00 of 0.00 dollars are spent"), "{judged:?}");
    bench.control("cancel", &format!("{plan}/a"));
    bench.task_is(&plan, "a", "cancelled");
    bench.at_rest(&plan);

    let plan = bench.start(&reviewed(&["b"]));
    waits(&bench, &plan, "b");
    bench.rpc().ok("control", json!({"action": "stop", "target": plan}));
    assert_eq!(bench.at_rest(&plan)["state"], "stopped", "{}", bench.story());
    // What it was stopped at is judged when it goes on.
    reviewer(&bench, "usd_per_day = 1.0");
    bench.dispatch(&plan);
    bench.meet("reviewer").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn money_for_a_question_that_nobody_asks_any_more_is_free_again() {
    let bench = Bench::new();
    reviewer(&bench, "usd_per_day = 0.2");
    let dead = bench.start(&reviewed(&["a"]));
    let _reviewer = bench.meet("reviewer");
    for process in bench.processes() {
        process.signal(Signal::KILL);
    }
    bench.quiet();
    assert_eq!(budget_of_critic(&bench)["reserved_usd"], json!(0.2));
    let plan = bench.start(&reviewed(&["b"]));
    bench.meet("reviewer").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    bench.rpc().ok("control", json!({"action": "stop", "target": dead, "force": true}));
}

#[test]
fn money_set_aside_in_a_project_that_is_gone_is_free_again() {
    let mut bench = Bench::new();
    bench.configure(&format!(
        "[providers.paid]\nkind = \"command\"\ncommand = [\"{AGENT}\"]\n\
         budget = {{ usd_per_day = 1.0, usd_per_attempt = 1.0 }}\n"
    ));
    let of = |name: &str, lines: &[&str]| {
        let file = format!("{name}.txt");
        Plan::new([task(name, &[&file], lines).with("agent", json!("paid"))])
    };
    bench.start(&of("dead", &[&bench.meet_line("here"), "write dead.txt x"]));
    let _worker = bench.meet("here");
    for process in bench.processes() {
        process.signal(Signal::KILL);
    }
    bench.quiet();
    std::fs::remove_dir_all(&bench.project).unwrap();
    bench.project = bench.project.with_file_name("other");
    std::fs::create_dir(&bench.project).unwrap();
    bench.init();
    let plan = bench.start(&of("next", &["write next.txt x"]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn where_a_task_would_wait_for_money_its_route_says_so() {
    let bench = Bench::new();
    bench.configure(&format!(
        "[providers.paid]\nkind = \"command\"\ncommand = [\"{AGENT}\"]\n\
         budget = {{ usd_per_day = 1.0, usd_per_attempt = 0.6 }}\n"
    ));
    let lines = [&bench.meet_line("here"), "write a.txt x"].map(ToString::to_string);
    let lines = lines.iter().map(String::as_str).collect::<Vec<_>>();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &lines).with("agent", json!("paid"))]));
    let worker = bench.meet("here");
    let routed = bench.command(KAPELL).args(["route", "x", "--target", "paid"]).output().unwrap();
    let routed = String::from_utf8_lossy(&routed.stdout).into_owned();
    assert!(routed.contains("0.60 of 1.00 dollars are spent or set aside today"), "{routed}");
    worker.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}
