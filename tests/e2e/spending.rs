//! Money: what may not be spent is not begun, what costs too much is ended, and a new day is a new day.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use kapell::base::clock::Time;
use serde_json::{Value, json};

use crate::bench::{AGENT, Bench, DEADLINE, KAPELL, Plan, task};

/// The line of an agent that tells what it cost since it told last.
fn costs(usd: f64) -> String {
    format!("say {{\"kapell\":\"usage\",\"input_tokens\":1000,\"output_tokens\":10,\"usd\":{usd}}}")
}

/// A provider `main` with a budget, and `fake` as what takes over.
fn budgeted(budget: &str, fallback: bool) -> Bench {
    let bench = Bench::new();
    let fallback = if fallback { "fallback = \"fake\"\n" } else { "" };
    bench.configure(&format!(
        "[project]\nmax_workers = 8\n[providers.main]\nkind = \"command\"\ncommand = [\"{AGENT}\"]\nset_env = {{ FAKE_NAME = \"main\" }}\nbudget = {{ {budget} }}\n[failover]\nchain = [\"main\"]\n{fallback}"
    ));
    bench
}

/// Which provider did each try at a task, and how it ended.
fn tries(bench: &Bench, plan: &str, task: &str) -> Vec<(String, String)> {
    let status = bench.task(plan, task);
    let text = |attempt: &Value, field: &str| attempt[field].as_str().unwrap_or_default().to_owned();
    let attempts = status["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| (text(attempt, "provider"), text(attempt, "outcome"))).collect()
}

fn told(bench: &Bench, kind: &str) -> Vec<String> {
    bench.events(None).into_iter().filter(|event| event.0 == kind).map(|event| event.1).collect()
}

/// Starts a plan with a conductor whose clock jumps.
fn start_with_clock(bench: &Bench, plan: &Plan, jump: &str) -> String {
    let id = bench.plan(plan);
    let mut dispatch = bench.command(KAPELL);
    dispatch.args(["dispatch", "--plan-id", &id]).env("KAPELL_FAILPOINT", jump);
    assert!(dispatch.output().unwrap().status.success());
    id
}

#[test]
fn a_limit_in_dollars_that_nothing_counts_for_is_told() {
    let bench = budgeted("usd_per_day = 1.0", false);
    let warned = |bench: &Bench| {
        let overview = bench.rpc().ok("status", json!({}));
        overview["warnings"]
            .to_string()
            .contains("main: its limit in dollars holds nothing: 1 try told no dollars")
    };
    assert!(!warned(&bench));
    let tokens = "say {\"kapell\":\"usage\",\"input_tokens\":1000,\"output_tokens\":10}";
    let plan = bench
        .start(&Plan::new([task("a", &["a.txt"], &[tokens, "write a.txt a"]).with("agent", json!("main"))]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert!(warned(&bench), "{:#}", bench.rpc().ok("status", json!({})));
    // A model that no list has, of an agent that tells tokens only, is told before anything is spent.
    bench.write(
        "kapell.toml",
        "[providers.codex]\nmodel = \"gpt-9-unheard-of\"\nbudget = { usd_per_month = 5.0 }\n",
    );
    let check = bench.command(KAPELL).args(["config", "check"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains("usd_per_month") && said.contains("has no price of gpt-9-unheard-of"), "{said}");
}

#[test]
fn parallel_starts_do_not_overspend_the_fallback_takes_over_and_goes_back_the_next_day() {
    let bench = budgeted("usd_per_day = 1.0", true);
    let (meet, spends) = (bench.meet_line("here"), costs(0.5));
    let one = |id: &str| {
        let file = format!("{id}.txt");
        task(id, &[&file], &[&meet, &spends, &format!("write {file} {id}")])
            .with("agent", json!("main"))
            .with("budget_usd", json!(0.5))
    };
    let plan = bench.start(&Plan::new([one("a"), one("b"), one("c")]));
    let guests = [(); 3].map(|()| bench.meet("here"));
    let budget = bench.rpc().ok("status", json!({"scope": "budget"}));
    let main = budget["budget"].as_array().unwrap().iter().find(|it| it["provider"] == "main").unwrap();
    assert_eq!(
        (main["reserved_usd"].as_f64(), main["spent_usd"].as_f64()),
        (Some(1.0), Some(0.0)),
        "{main:#}"
    );
    guests.into_iter().for_each(super::bench::Guest::go);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let mut by: Vec<String> =
        ["a", "b", "c"].iter().flat_map(|id| tries(&bench, &plan, id)).map(|it| it.0).collect();
    by.sort();
    assert_eq!(by, ["fake", "main", "main"], "{}", bench.story());
    // The same person on the next day. While git is at work a clock must not jump: a lock that is held
    // would look like one that a dead git left.
    let next = task("d", &["d.txt"], &[&spends, "write d.txt d"])
        .with("agent", json!("main"))
        .with("budget_usd", json!(0.5));
    let next = start_with_clock(&bench, &Plan::new([next]), "conductor.registered:clock+86400");
    assert_eq!(bench.at_rest(&next)["state"], "done", "{}", bench.story());
    assert_eq!(tries(&bench, &next, "d"), [("main".to_owned(), "submitted".to_owned())]);

    let ask = |by: &str| bench.rpc().ok("status", json!({"scope": "cost", "by": by, "since": "all"}));
    let cost = ask("provider");
    let lines: Vec<(&str, f64)> = (cost["cost"].as_array().unwrap().iter())
        .map(|line| (line["name"].as_str().unwrap(), line["usd"].as_f64().unwrap()))
        .collect();
    assert_eq!(lines, [("main", 1.5), ("fake", 0.5)]);
    assert_eq!(ask("day")["cost"].as_array().unwrap().len(), 2);
    assert_eq!(cost["total"]["usd"], 2.0);
    assert_eq!(cost["total"]["reserved_usd"], 0.0);
}

#[test]
fn what_waits_for_money_says_so_and_goes_on_when_the_day_begins() {
    let bench = budgeted("usd_per_day = 0.5", false);
    let spends = costs(0.5);
    let one = |id: &str| {
        let file = format!("{id}.txt");
        task(id, &[&file], &[&spends, &format!("write {file} {id}")]).with("agent", json!("main"))
    };
    let plan = Plan::new([one("a"), one("b").after(&["a"])]);
    // The day is nearly over when the first has spent what there is.
    let now = Time::now();
    let jump = now.next_day().millis_since(now) / 1000 - 6;
    let plan = start_with_clock(&bench, &plan, &format!("end.recorded:clock{jump:+}"));
    let status = bench.at_rest(&plan);
    assert_eq!(status["state"], "done", "{}", bench.story());
    let day =
        |task: &str| bench.task(&plan, task)["attempts"][0]["started_at"].as_str().unwrap()[..10].to_owned();
    assert!(day("a") < day("b"), "{}", bench.story());
    assert_eq!(tries(&bench, &plan, "b"), [("main".to_owned(), "submitted".to_owned())]);
    // Once in each of the two days.
    assert_eq!(told(&bench, "budget.reached").len(), 2, "{}", bench.story());
    assert_eq!(told(&bench, "budget.alert"), ["main: 0.50 of 0.50 dollars are spent today"; 2]);
}

#[test]
fn an_attempt_that_passes_its_tasks_budget_is_ended_even_with_its_conductor_dead() {
    let bench = Bench::new();
    let lines = ["write a.txt half", &bench.meet_line("here"), &costs(0.3), &costs(0.3), "hang"];
    let plan = bench.start(
        &Plan::new([task("a", &["a.txt"], &lines).with("budget_usd", json!(0.5))])
            .rule("max_attempts", json!(1)),
    );
    let worker = bench.meet("here");
    let attempt = bench.task(&plan, "a")["attempts"][0]["attempt"].as_str().unwrap().to_owned();
    // A spare that became its shim has another name in the process table.
    let shim = bench.processes().into_iter().find(|process| process.pid == worker.parent).unwrap();
    bench.conductor(&plan).kill();
    worker.go();
    assert!(shim.ends_before(Instant::now() + DEADLINE), "{}", bench.story());
    let exit: Value =
        serde_json::from_str(&fs::read_to_string(bench.run_dir(&attempt).join("exit.json")).unwrap())
            .unwrap();
    assert_eq!(exit["ended"], "over-budget");
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let attempt = &bench.task(&plan, "a")["attempts"][0];
    assert_eq!(attempt["outcome"], "failed", "{attempt:#}");
    assert_eq!(attempt["reason"], "budget: it told of 0.60 dollars, and may cost 0.50");
    assert_eq!(attempt["usage"]["usd"], 0.6);
    assert_eq!(bench.git(["show", &format!("refs/kapell/tasks/{plan}/a/1:a.txt")]), "half");
}

#[test]
fn an_attempt_that_spends_more_than_its_provider_may_goes_on_with_the_fallback() {
    let bench = budgeted("usd_per_day = 1.0", true);
    let lines = [
        "as main write a.txt half",
        &format!("as main {}", costs(1.25)),
        "as main hang",
        "append a.txt whole",
        &costs(0.25),
    ];
    let plan = bench.start(
        &Plan::new([task("a", &["a.txt"], &lines).with("agent", json!("main"))])
            .rule("max_attempts", json!(1)),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let pair = |provider: &str, outcome: &str| (provider.to_owned(), outcome.to_owned());
    assert_eq!(tries(&bench, &plan, "a"), [pair("main", "rate-limited"), pair("fake", "submitted")]);
    let first = &bench.task(&plan, "a")["attempts"][0];
    assert_eq!(first["reason"], "budget: main: 1.25 of 1.00 dollars are spent today");
    assert_eq!(bench.on_branch(&plan, "a.txt"), "half\nwhole");
    assert_eq!(told(&bench, "budget.alert"), ["main: 1.25 of 1.00 dollars are spent today"]);
}

#[test]
fn what_an_agent_reports_wrongly_or_twice_is_counted_once_and_breaks_nothing() {
    let bench = budgeted("usd_per_day = 5.0, tokens_per_day = 1_000_000_000_000", true);
    let lines = [
        "say {\"kapell\":\"usage\",\"id\":\"r1\",\"input_tokens\":100,\"usd\":0.25}",
        "say {\"kapell\":\"usage\",\"id\":\"r1\",\"input_tokens\":100,\"usd\":0.25}",
        "say {\"kapell\":\"usage\",\"input_tokens\":-7,\"output_tokens\":1e300,\"usd\":-3}",
        "say {\"kapell\":\"usage\",\"input_tokens\":18446744073709551615}",
        "say {\"kapell\":\"usage\",\"input_tokens\":18446744073709551615}",
        "write a.txt a",
    ];
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &lines).with("agent", json!("main")),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]).with("agent", json!("main")),
    ]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let cost = bench.rpc().ok("status", json!({"scope": "cost", "by": "task"}));
    let a = cost["cost"].as_array().unwrap().iter().find(|it| it["name"] == format!("{plan}/a")).unwrap();
    assert_eq!((a["usd"].as_f64(), a["input_tokens"].as_u64()), (Some(0.25), Some(1_000_000_000)), "{a:#}");
    assert_eq!(cost["total"]["untold"], 1);
}

#[test]
fn claude_is_told_what_it_may_cost_and_whose_budget_ended_it_is_known() {
    let bench = Bench::new();
    // It ends as Claude Code does, with what it was told that it may cost in its last line.
    let claude = bench.root.join("bin/claude-like");
    let line = r#"{"type":"result","subtype":"error_max_budget_usd","is_error":true,"total_cost_usd":0.75,"usage":{},"errors":["Reached maximum budget ($'"$usd"')"]}"#;
    let script = format!(
        "#!/bin/sh\nusd=none\nwhile [ $# -gt 0 ]; do [ \"$1\" = --max-budget-usd ] && usd=$2; shift; done\necho '{line}'\nexit 1\n"
    );
    fs::write(&claude, script).unwrap();
    fs::set_permissions(&claude, fs::Permissions::from_mode(0o755)).unwrap();
    bench.configure(&format!(
        "[providers.main]\nkind = \"claude\"\ncommand = [\"{}\"]\nbudget = {{ usd_per_day = 2.0 }}\n[failover]\nchain = [\"main\"]\nfallback = \"fake\"\n",
        claude.display()
    ));
    let task_of = |id: &str| task(id, &["a.txt"], &["write a.txt a"]).with("agent", json!("main"));
    let own = bench
        .start(&Plan::new([task_of("own").with("budget_usd", json!(0.5))]).rule("max_attempts", json!(1)));
    assert_eq!(bench.at_rest(&own)["state"], "failed", "{}", bench.story());
    let attempt = &bench.task(&own, "own")["attempts"][0];
    assert_eq!(attempt["outcome"], "failed", "{attempt:#}");
    let reason = attempt["reason"].as_str().unwrap();
    assert!(reason.starts_with("budget: its task's budget of 0.50 dollars is spent"), "{reason}");
    assert!(reason.contains("($0.5)"), "{reason}");
    // Without a budget of its own it is told what its provider has left: 2.00 less 0.75.
    let rest = bench.start(&Plan::new([task_of("rest")]).rule("max_attempts", json!(1)));
    assert_eq!(bench.at_rest(&rest)["state"], "done", "{}", bench.story());
    let attempt = &bench.task(&rest, "rest")["attempts"][0];
    let reason = attempt["reason"].as_str().unwrap();
    assert_eq!(attempt["outcome"], "rate-limited", "{attempt:#}");
    assert!(
        reason.starts_with("budget: what its provider may still cost of 1.25 dollars is spent"),
        "{reason}"
    );
    assert_eq!(tries(&bench, &rest, "rest")[1], ("fake".to_owned(), "submitted".to_owned()));
}

#[test]
fn a_task_whose_own_money_is_spent_ends_after_its_tries_whatever_its_program_tells() {
    let bench = Bench::new();
    // The first try costs most of it and fails; the others end at what is left, and tell of no cost.
    let claude = bench.root.join("bin/claude-like");
    let line = |subtype: &str, usd: f64| {
        format!(
            r#"{{"type":"result","subtype":"{subtype}","is_error":true,"total_cost_usd":{usd:?},"usage":{{}},"errors":["no"]}}"#
        )
    };
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *'--max-budget-usd 0.5'*) echo '{}';; *) echo '{}';; esac\nexit 1\n",
        line("error_during_execution", 0.4),
        line("error_max_budget_usd", 0.0),
    );
    fs::write(&claude, script).unwrap();
    fs::set_permissions(&claude, fs::Permissions::from_mode(0o755)).unwrap();
    bench.configure(&format!(
        "[providers.main]\nkind = \"claude\"\ncommand = [\"{}\"]\n[failover]\nchain = [\"main\"]\nfallback = \"none\"\n",
        claude.display()
    ));
    let one = task("a", &["a.txt"], &["write a.txt a"]).with("agent", json!("main"));
    let plan = bench.start(&Plan::new([one.with("budget_usd", json!(0.5))]).rule("max_attempts", json!(2)));
    assert_eq!(bench.at_rest(&plan)["state"], "failed", "{}", bench.story());
    let failed = ("main".to_owned(), "failed".to_owned());
    assert_eq!(tries(&bench, &plan, "a"), [failed.clone(), failed], "{}", bench.story());
    let reason = bench.task(&plan, "a")["attempts"][1]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("budget: its task's budget of 0.10 dollars is spent"), "{reason}");
}

#[test]
fn a_program_that_ends_at_what_its_provider_may_cost_has_spent_it_whatever_it_tells() {
    let bench = Bench::new();
    let claude = bench.root.join("bin/claude-like");
    let line = r#"{"type":"result","subtype":"error_max_budget_usd","is_error":true,"total_cost_usd":0.0,"usage":{},"errors":["no"]}"#;
    fs::write(&claude, format!("#!/bin/sh\necho '{line}'\nexit 1\n")).unwrap();
    fs::set_permissions(&claude, fs::Permissions::from_mode(0o755)).unwrap();
    bench.configure(&format!(
        "[providers.main]\nkind = \"claude\"\ncommand = [\"{}\"]\nbudget = {{ usd_per_day = 0.5 }}\n[failover]\nchain = [\"main\"]\nfallback = \"fake\"\n",
        claude.display()
    ));
    let one = task("a", &["a.txt"], &["write a.txt a"]).with("agent", json!("main"));
    let plan = bench.start(&Plan::new([one]).rule("max_attempts", json!(1)));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let pair = |provider: &str, outcome: &str| (provider.to_owned(), outcome.to_owned());
    assert_eq!(tries(&bench, &plan, "a"), [pair("main", "rate-limited"), pair("fake", "submitted")]);
    assert_eq!(told(&bench, "budget.reached"), ["main: 0.50 of 0.50 dollars are spent today"]);
}

#[test]
fn tries_at_once_take_no_more_than_a_days_tokens_and_a_word_brings_no_more() {
    let bench = budgeted("tokens_per_day = 4000", false);
    let one = |id: &str| {
        let file = format!("{id}.txt");
        let used = r#"say {"kapell":"usage","input_tokens":2000}"#;
        task(id, &[&file], &[&bench.meet_line(id), used, &format!("write {file} {id}")])
            .with("agent", json!("main"))
    };
    let plan = bench.start(&Plan::new([one("a"), one("b"), one("c").after(&["a", "b"])]));
    // Nothing is known of it yet: the first may take all of it, and the second waits until that is known.
    let waits = |id: &str| {
        bench.until(json!({"scope": "task", "id": format!("{plan}/{id}")}), |status| {
            status["reason"].as_str().is_some_and(|why| why.starts_with("budget"))
        });
    };
    let first = bench.meet("a");
    waits("b");
    first.go();
    bench.meet("b").go();
    waits("c");
    let vain = bench.rpc().refused("control", json!({"action": "resume", "target": "main"}));
    assert_eq!(vain.kind, "over-budget", "{vain:?}");
    assert!(vain.message.contains("4000 of 4000 tokens"), "{vain:?}");
    assert!(vain.data["hint"].as_str().unwrap().contains("[providers.main.budget]"), "{vain:?}");
}

#[test]
fn a_plan_whose_own_money_is_spent_is_paused_and_says_what_to_do() {
    let bench = Bench::new();
    let spends = costs(1.0);
    let one = |id: &str| {
        let file = format!("{id}.txt");
        task(id, &[&file], &[&spends, &format!("write {file} {id}")])
    };
    let plan = Plan::new([one("a"), one("b").after(&["a"])]).with("budget_usd", json!(1.0));
    let plan = bench.start(&plan);
    let status = bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] == "paused");
    let why = status["reason"].as_str().unwrap();
    assert!(why.contains("1.00 of 1.00 dollars are spent") && why.contains("kapell cancel"), "{why}");
    assert_eq!(bench.task(&plan, "a")["state"], "done");
    assert_eq!(bench.task(&plan, "b")["attempts"].as_array().unwrap().len(), 0);
    let overview = bench.rpc().ok("status", json!({}));
    let warnings = overview["warnings"].as_array().unwrap();
    assert!(
        warnings.iter().any(|text| text.as_str().unwrap().contains("is paused: budget: ")),
        "{overview:#}"
    );
    // Going on as it is leads nowhere else; calling it off ends it.
    bench.control("resume", &plan);
    bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] == "paused");
    bench.control("cancel", &plan);
    assert_eq!(bench.at_rest(&plan)["state"], "stopped", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a"]);
}

#[test]
fn first_attempts_do_not_pass_a_small_limit_together() {
    let bench = budgeted("usd_per_day = 5.0", true);
    let spends = costs(3.0);
    let one = |id: &str| {
        let file = format!("{id}.txt");
        let lines = [&bench.meet_line(id), &spends, &format!("write {file} {id}")];
        task(id, &[&file], &lines.map(String::as_str)).with("agent", json!("main"))
    };
    let plan = bench.start(&Plan::new([one("a"), one("b")]));
    let a = bench.meet("a");
    // Nobody takes over for who is only to show first what one takes.
    let status = bench.until(json!({"scope": "plan", "id": plan}), |status| {
        status["tasks"][1]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("is known when its first one has ended"))
    });
    assert_eq!(status["tasks"][1]["state"], "ready", "{status:#}");
    a.go();
    bench.meet("b").go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(tries(&bench, &plan, "b"), [("fake".to_owned(), "submitted".to_owned())]);
}

#[test]
fn a_plan_is_paused_where_its_money_does_not_do_for_those_who_could_do_its_task() {
    let bench = budgeted("usd_per_day = 20.0", false);
    let spends = costs(0.7);
    let one = |id: &str| {
        let file = format!("{id}.txt");
        task(id, &[&file], &[&spends, &format!("write {file} {id}")]).with("agent", json!("main"))
    };
    // What the other provider, `fake`, takes is not known; but none of the tasks is for it.
    let plan = Plan::new([one("a"), one("b").after(&["a"])]).with("budget_usd", json!(1.0));
    let plan = bench.start(&plan);
    let status = bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] == "paused");
    let why = status["reason"].as_str().unwrap();
    assert!(why.contains("0.70 of 1.00 dollars are spent"), "{why}");
}

#[test]
fn a_plan_whose_own_money_is_spent_goes_on_when_it_may_cost_more() {
    let bench = Bench::new();
    let spends = costs(1.0);
    let one = |id: &str| {
        let file = format!("{id}.txt");
        task(id, &[&file], &[&spends, &format!("write {file} {id}")])
    };
    let plan = Plan::new([one("a"), one("b").after(&["a"])]).with("budget_usd", json!(1.0));
    let plan = bench.start(&plan);
    let paused = |status: &Value| status["state"] == "paused";
    let status = bench.until(json!({"scope": "plan", "id": plan}), paused);
    let why = status["reason"].as_str().unwrap();
    assert!(why.contains(&format!("kapell resume {plan} --budget-usd USD")), "{why}");
    // As much as it has cost already would bring it nowhere, and nothing is no budget.
    let resume = |target: &str, usd: f64| json!({"action": "resume", "target": target, "budget_usd": usd});
    for (usd, kind) in [(1.0, "over-budget"), (0.0, "invalid-params"), (-3.0, "invalid-params")] {
        let refused = bench.rpc().refused("control", resume(&plan, usd));
        assert_eq!(refused.kind, kind, "{refused:?}");
    }
    for (target, action) in [("all", "resume"), (plan.as_str(), "pause")] {
        let asked = json!({"action": action, "target": target, "budget_usd": 5.0});
        assert_eq!(bench.rpc().refused("control", asked).kind, "invalid-params");
    }
    bench.until(json!({"scope": "plan", "id": plan}), paused);
    // The next conductor knows of it too.
    bench.conductor(&plan).kill();
    let mut resume = bench.command(KAPELL);
    let out = resume.args(["resume", &plan, "--budget-usd", "2.5"]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains("2.50 dollars"), "{text} {out:?}");
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan), ["a", "b"]);
    let by = told(&bench, "budget.changed");
    assert!(by.len() == 1 && by[0].contains("it may cost 2.50 dollars"), "{by:?}");
}

#[test]
fn a_budget_is_raised_while_the_conductor_of_the_plan_lives() {
    let bench = Bench::new();
    let spends = costs(1.0);
    let one = |id: &str| {
        let file = format!("{id}.txt");
        task(id, &[&file], &[&spends, &format!("write {file} {id}")])
    };
    let plan = Plan::new([one("a"), one("b").after(&["a"])]).with("budget_usd", json!(1.0));
    let plan = bench.start(&plan);
    bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] == "paused");
    bench.rpc().ok("control", json!({"action": "resume", "target": plan, "budget_usd": 2.5}));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn a_task_that_wants_more_than_its_provider_may_ever_spend_fails_at_once() {
    let bench = budgeted("usd_per_day = 1.0", false);
    let dear =
        task("a", &["a.txt"], &["write a.txt a"]).with("agent", json!("main")).with("budget_usd", json!(5.0));
    let plan = bench.start(&Plan::new([dear]));
    assert_eq!(bench.at_rest(&plan)["state"], "failed", "{}", bench.story());
    let a = bench.task(&plan, "a");
    let why = a["reason"].as_str().unwrap();
    assert!(why.contains("5.00 dollars") && why.contains("main no more than 1.00 a day"), "{why}");
    assert_eq!(a["attempts"].as_array().unwrap().len(), 0);
}

#[test]
fn a_budget_of_nothing_is_refused_with_its_place_and_sums_are_told_to_the_millionth() {
    let bench = Bench::new();
    let nothing = task("a", &["a.txt"], &["write a.txt a"]).with("budget_usd", json!(0));
    let planned = bench.rpc().ok("plan", Plan::new([nothing]).params());
    assert_eq!(planned["plan_id"], json!(null));
    assert!(planned["problems"][0]["message"].as_str().unwrap().contains("`budget_usd` is 0"), "{planned:#}");
    bench.write("x.plan.yaml", "tasks:\n  - {id: 1, task: x, files: [a.txt],\n     budget_usd: 0}\n");
    let planned = bench.rpc().ok("plan", json!({"file": "x.plan.yaml", "check_only": true}));
    let problem = &planned["problems"][0];
    assert_eq!((&problem["line"], &problem["task"]), (&json!(3), &json!(1)), "{planned:#}");

    let third = costs(0.3);
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &[&third, &third, &third, "write a.txt a"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.task(&plan, "a")["attempts"][0]["usage"]["usd"].to_string(), "0.9");
    let workers = bench.rpc().ok("status", json!({"scope": "workers"}));
    assert_eq!(workers["workers"][0]["usd_today"].to_string(), "0.9", "{workers:#}");
}

#[test]
fn what_a_question_cost_keeps_no_first_work_from_what_is_left() {
    let bench = budgeted("usd_per_day = 1.0", false);
    let spent = costs(0.3);
    let one =
        |id: &str, lines: &[&str]| task(id, &[&format!("{id}.txt")], lines).with("agent", json!("main"));
    // What is left of the day is less than the dollar that is set aside for what nobody knows.
    let ask = bench.start(&Plan::new([one("a", &[&spent, "write a.txt a"])]));
    assert_eq!(bench.at_rest(&ask)["state"], "done", "{}", bench.story());
    let database = bench.state().join("kapell.db");
    let made = rusqlite::Connection::open(database).unwrap();
    made.execute("UPDATE spendings SET plan = NULL, task = NULL", []).unwrap();
    let plan = bench.start(&Plan::new([one("b", &["write b.txt b"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}
