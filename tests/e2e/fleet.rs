//! The fleet: routes, strategies, what is protected, and the example with 26 workers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bench::{AGENT, Bench, KAPELL};

const EXAMPLE: &str = include_str!("../../examples/fleet-26/kapell.toml");
const RULES: &str = "\n[rules]\ntdd = false\nspec_first = false\n";

/// The example's own file, with the scripted agent in place of its programs.
fn fleet() -> Bench {
    let bench = Bench::new();
    let agent = format!("kind = \"command\"\ncommand = [\"{AGENT}\"]");
    let mut text = EXAMPLE.to_owned();
    let free = format!("{agent}\nprices = {{ input_usd_per_mtok = 0.0, output_usd_per_mtok = 0.0 }}");
    for (program, player) in [
        ("kind = \"claude\"\ncommand = [\"claude\"]", &agent),
        ("kind = \"codex\"\ncommand = [\"codex\"]", &agent),
        ("kind = \"ollama\"", &free),
    ] {
        assert!(text.contains(program));
        text = text.replace(program, player);
    }
    bench.write("kapell.toml", &(text + RULES));
    bench.commit("configure");
    bench
}

/// Who would get a task now.
fn goes_to(bench: &Bench, text: &str) -> String {
    let answer = bench.rpc().ok("dispatch", json!({"task": text, "dry_run": true}));
    answer["route"]["worker"].as_str().map_or_else(|| answer["route"].to_string(), str::to_owned)
}

/// Sends a task and gives its id.
fn send(bench: &Bench, params: Value) -> String {
    let answer = bench.rpc().ok("dispatch", params);
    let task =
        answer["started"].as_array().unwrap().iter().chain(answer["waiting"].as_array().unwrap()).next();
    let task = task.unwrap_or_else(|| panic!("{answer:#}"))["task"].as_str().unwrap().to_owned();
    format!("{}/{task}", answer["plan_id"].as_str().unwrap())
}

fn worker_of(bench: &Bench, id: &str) -> String {
    let (plan, task) = id.split_once('/').unwrap();
    let task = bench.task(plan, task);
    let last = task["attempts"].as_array().unwrap().last();
    last.unwrap_or_else(|| panic!("{task:#}"))["worker"].as_str().unwrap().to_owned()
}

#[test]
fn the_example_leads_each_task_to_whom_it_says() {
    let bench = fleet();
    let script = |text: &str, name: &str| format!("# {text}\n{}", bench.meet_line(name));
    let dispatch = |text: &str, name: &str| send(&bench, json!({"task": script(text, name)}));

    assert_eq!(goes_to(&bench, "Fix bug in dev1 environment"), "dev1_worker");
    assert_eq!(goes_to(&bench, "Fix bug in dev6 environment"), "dev6_worker");

    // In turn, also by other processes: every call is a process of its own.
    let mut reviews = Vec::new();
    for at in 1..=5 {
        let expected = format!("pr_review{}", (at - 1) % 4 + 1);
        assert_eq!(goes_to(&bench, "Review PR #123"), expected);
        let task = dispatch("Review PR #123", &format!("review{at}"));
        let guest = bench.meet(&format!("review{at}"));
        assert_eq!(worker_of(&bench, &task), expected);
        reviews.push((task, guest));
        if at == 4 {
            // The first is free again before it is its turn.
            let (task, guest) = reviews.remove(0);
            guest.go();
            let (plan, task) = task.split_once('/').unwrap();
            bench.task_is(plan, task, "done");
        }
    }
    for (_, guest) in reviews {
        guest.go();
    }

    // Whoever does least: two are at work, and the third did nothing yet.
    for at in 1..=2 {
        dispatch("Implement it", &format!("implementer{at}"));
    }
    let busy = [bench.meet("implementer1"), bench.meet("implementer2")];
    assert_eq!(goes_to(&bench, "Address PR #123 review comments"), "implementer3");

    // One at a time: the second waits until the work of the first has landed.
    let first = dispatch("Run tests and merge PR #123", "merge1");
    let merging = bench.meet("merge1");
    assert_eq!(worker_of(&bench, &first), "integrator1");
    let second = dispatch("Run tests and merge PR #124", "merge2");
    let queue = bench.rpc().ok("status", json!({"scope": "queue"}));
    assert_eq!(queue["waiting"][0]["task_id"], json!(second), "{queue:#}");
    let on = queue["waiting"][0]["on"].as_str().unwrap();
    assert!(on.contains("does one task at a time") && on.contains(&first), "{on}");
    merging.go();
    bench.meet("merge2").go();
    assert_eq!(worker_of(&bench, &second), "integrator1");
    let (plan, task) = first.split_once('/').unwrap();
    assert_eq!(bench.task(plan, task)["state"], "done");
    busy.into_iter().for_each(crate::bench::Guest::go);
    assert_eq!(bench.at_rest(plan)["state"], "done", "{}", bench.story());
}

#[test]
fn all_of_the_example_work_at_once_except_the_protected() {
    let bench = fleet();
    let status = bench.rpc().ok("status", json!({"scope": "workers", "limit": 100}));
    let workers = status["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 26);
    let (protected, free): (Vec<&Value>, Vec<&Value>) =
        workers.iter().partition(|worker| worker["protected"] == true);
    assert_eq!(protected.len(), 3);
    let name = |worker: &Value| worker["worker"].as_str().unwrap().to_owned();
    // Of a group that works at one task at a time only one is at work.
    let free: Vec<String> = free
        .into_iter()
        .map(name)
        .filter(|name| !matches!(name.as_str(), "integrator2" | "integrator3"))
        .collect();
    let tasks: Vec<Value> = free
        .iter()
        .enumerate()
        .map(|(at, worker)| {
            let file = format!("out/{worker}.txt");
            let complexity =
                if matches!(worker.as_str(), "general4" | "general5") { "simple" } else { "normal" };
            json!({"id": at + 1, "agent": worker, "files": [file], "complexity": complexity,
                   "task": format!("{}\nwrite {file} {worker}", bench.meet_line(worker))})
        })
        .collect();
    let planned = bench.rpc().ok("plan", json!({"plan": {"name": "all", "tasks": tasks}}));
    let plan = planned["plan_id"].as_str().unwrap_or_else(|| panic!("{planned:#}")).to_owned();
    bench.dispatch(&plan);
    let guests: Vec<_> = free.iter().map(|worker| bench.meet(worker)).collect();
    let status = bench.rpc().ok("status", json!({"scope": "workers", "limit": 100}));
    let busy: BTreeSet<String> = status["workers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|worker| worker["state"] == "busy")
        .map(name)
        .collect();
    assert_eq!(busy, free.iter().cloned().collect(), "{status:#}");
    assert!(status.to_string().len() < 6000, "{}", status.to_string().len());
    for guest in guests {
        guest.go();
    }
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.landed(&plan).len(), free.len());
}

#[test]
fn a_protected_worker_is_refused_at_every_door() {
    let bench = fleet();
    let mut rpc = bench.rpc();
    for target in ["architect", "high-level"] {
        for dry_run in [false, true] {
            let refusal =
                rpc.call("dispatch", json!({"task": "x", "target": target, "dry_run": dry_run})).unwrap_err();
            assert_eq!(refusal.kind, "protected-worker", "{refusal:?}");
        }
        let plan =
            json!({"tasks": [{"id": 1, "agent": target, "task": "x", "files": ["a"], "depends_on": []}]});
        let planned = rpc.ok("plan", json!({"plan": plan}));
        assert_eq!(planned["plan_id"], Value::Null);
        assert_eq!(planned["problems"][0]["code"], "protected-worker", "{planned:#}");
    }
    let route = bench.command(KAPELL).args(["route", "x", "--target", "orchestrator"]).output().unwrap();
    assert_eq!(route.status.code(), Some(1));
}

#[test]
fn what_is_said_of_a_protected_worker_at_rest_says_so() {
    let bench = Bench::new();
    bench.write("kapell.toml", &format!(
        "[workers.kept]\nprovider = \"fake\"\nprotected = true\n[workers.two]\nprovider = \"fake\"\n{RULES}"
    ));
    let said = |target: &str| bench.rpc().refused("control", json!({"action": "resume", "target": target}));
    let kept = said("kept");
    assert_eq!(kept.kind, "protected-worker", "{kept:?}");
    assert!(kept.message.contains("worker kept is protected: it never gets a task"), "{kept:?}");
    for open in ["two", "fake"] {
        assert!(said(open).message.contains("nothing keeps it from getting tasks"), "{open}");
    }
}

#[test]
fn one_who_becomes_protected_while_a_plan_runs_gets_nothing_more() {
    let bench = Bench::new();
    let config = |protected: bool| {
        format!("[workers.one]\nprovider = \"fake\"\nprotected = {protected}\n[workers.two]\nprovider = \"fake\"\n{RULES}")
            .replace("[rules]", "[rules]\nmax_attempts = 1")
    };
    bench.write("kapell.toml", &config(false));
    bench.commit("configure");
    let first = format!("{}\nwrite a.txt a", bench.meet_line("a"));
    let task = |id: &str, text: &str, after: Value| json!({"id": id, "agent": "one", "task": text, "files": [format!("{id}.txt")], "depends_on": after});
    let tasks = [task("a", &first, json!([])), task("b", "write b.txt b", json!(["a"]))];
    let planned = bench.rpc().ok("plan", json!({"plan": {"tasks": tasks}}));
    let plan = planned["plan_id"].as_str().unwrap().to_owned();
    bench.dispatch(&plan);
    let a = bench.meet("a");
    // A broken file changes nothing; a whole one does, between tasks.
    bench.write("kapell.toml", "[workers.one]\nprovider = \"fak\"\n");
    bench.until(json!({"scope": "events", "kind": "config.broken"}), |status| {
        !status["events"].as_array().unwrap().is_empty()
    });
    // Whoever looks sees what is at work.
    let looked = bench.rpc().ok("status", json!({"scope": "workers"}));
    let busy = |it: &&Value| it["worker"] == "one" && it["state"] == "busy";
    assert_eq!(looked["workers"].as_array().unwrap().iter().filter(busy).count(), 1, "{looked:#}");
    assert_eq!(bench.rpc().ok("status", json!({}))["workers"]["busy"], 1);
    bench.rpc().ok("status", json!({"scope": "health"}));
    // And is told that it may not be what the file says.
    for scope in ["overview", "workers", "health"] {
        let warnings = bench.rpc().ok("status", json!({"scope": scope}))["warnings"].to_string();
        assert!(warnings.contains("kapell.toml:2:") && warnings.contains("is used"), "{scope}: {warnings}");
    }
    for command in ["status", "fleet", "health"] {
        let out = bench.command(KAPELL).arg(command).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(text.contains("warning: ") && text.contains("kapell.toml:2:"), "{command}: {text}");
    }
    bench.write("kapell.toml", &config(true));
    bench.until(json!({"scope": "events", "kind": "config.changed"}), |status| {
        !status["events"].as_array().unwrap().is_empty()
    });
    a.go();
    // Its task waits, as for one that is taken out of the file.
    bench.until(json!({"scope": "task", "id": format!("{plan}/b")}), |b| {
        b["reason"].as_str().is_some_and(|why| why.contains("protected") && why.contains("was changed"))
    });
    assert_eq!(bench.task(&plan, "a")["state"], "done");
    let b = bench.task(&plan, "b");
    assert_eq!((&b["state"], &b["attempts"]), (&json!("ready"), &json!([])), "{b:#}");
    bench.write("kapell.toml", &config(false));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn a_task_without_files_owns_what_it_changed_and_nobody_else_holds() {
    let bench = Bench::new();
    bench.configure("[project]\nmax_workers = 4\n");
    bench.write("kapell.toml", "[rules]\ntdd = false\nspec_first = false\nmax_attempts = 1\n");
    bench.commit("configure");
    let open = send(&bench, json!({"task": "write new/a.txt a\nappend README more"}));
    let (plan, task) = open.split_once('/').unwrap();
    bench.task_is(plan, task, "done");
    assert_eq!(bench.on_branch(plan, "new/a.txt"), "a");
    // One that only answers is done as well.
    let answer = send(&bench, json!({"task": "say all is well"}));
    bench.task_is(plan, answer.split_once('/').unwrap().1, "done");
    // What somebody else holds stays out, with all of the try.
    let holder = format!("{}\nwrite b.txt mine", bench.meet_line("holder"));
    let held = send(&bench, json!({"task": holder, "files": ["b.txt"]}));
    let guest = bench.meet("holder");
    let thief = send(&bench, json!({"task": "write c.txt c\nwrite b.txt stolen"}));
    let thief = bench.task_is(plan, thief.split_once('/').unwrap().1, "failed");
    assert_eq!(thief["attempts"][0]["outcome"], "violation", "{thief:#}");
    assert_eq!(thief["attempts"][0]["outside_claim"], json!(["b.txt"]), "{thief:#}");
    guest.go();
    bench.task_is(plan, held.split_once('/').unwrap().1, "done");
    bench.at_rest(plan);
    assert_eq!(bench.on_branch(plan, "b.txt"), "mine");
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    assert_eq!(claims["claims"], json!([]));
}

#[test]
fn the_queue_is_told_in_its_order_and_with_deadlines() {
    let bench = Bench::new();
    bench.configure("[project]\nmax_workers = 1\n");
    bench.write("kapell.toml", "[rules]\ntdd = false\nspec_first = false\n");
    bench.commit("configure");
    let first =
        send(&bench, json!({"task": format!("{}\nwrite a a", bench.meet_line("first")), "files": ["a"]}));
    let guest = bench.meet("first");
    let low = send(&bench, json!({"task": "# low", "priority": "low"}));
    let usual = send(&bench, json!({"task": "# usual"}));
    let high = send(&bench, json!({"task": "# high", "priority": 9}));
    let queue = bench.until(json!({"scope": "queue"}), |queue| queue["waiting"][0]["missed"] == true);
    let waiting = queue["waiting"].as_array().unwrap();
    let order: Vec<&str> = waiting.iter().map(|task| task["task_id"].as_str().unwrap()).collect();
    assert_eq!(order, [&high, &usual, &low], "{queue:#}");
    assert_eq!(waiting[1]["missed"], Value::Null, "{queue:#}");
    let overview = bench.rpc().ok("status", json!({}));
    assert!(overview["warnings"].to_string().contains("past its deadline"), "{overview:#}");
    let fleet = bench.command(KAPELL).arg("fleet").output().unwrap();
    let fleet = String::from_utf8_lossy(&fleet.stdout);
    assert!(fleet.contains("1 task waits past its deadline"), "{fleet}");
    let plan = first.split_once('/').unwrap().0;
    bench.until(json!({"scope": "events", "kind": "task.missed"}), |status| {
        !status["events"].as_array().unwrap().is_empty()
    });
    guest.go();
    bench.at_rest(plan);
    let missed = bench.events(Some(plan)).into_iter().filter(|(kind, _)| kind == "task.missed").count();
    assert_eq!(missed, 1, "{}", bench.story());
    let began: Vec<String> = bench
        .events(Some(plan))
        .into_iter()
        .filter(|(kind, _)| kind == "attempt.started")
        .map(|(_, text)| text)
        .collect();
    let name = |id: &str| format!("task {}: try 1 by fake", id.split_once('/').unwrap().1);
    assert_eq!(began, [&first, &high, &usual, &low].map(|id| name(id)), "{}", bench.story());
}

#[test]
fn a_busy_group_keeps_nobody_else_back() {
    let bench = Bench::new();
    let config = "[workers.one]\nprovider = \"fake\"\n[workers.two]\nprovider = \"fake\"\n\
                  [rules]\ntdd = false\nspec_first = false\n";
    bench.write("kapell.toml", config);
    bench.commit("configure");
    send(&bench, json!({"task": bench.meet_line("first"), "target": "one"}));
    let guest = bench.meet("first");
    for number in 0..20 {
        let task = json!({"task": "# waits", "target": "one", "files": [format!("{number}")], "priority": 9});
        send(&bench, task);
    }
    let other = send(&bench, json!({"task": "write o.txt o", "target": "two", "priority": 0}));
    let (plan, task) = other.split_once('/').unwrap();
    bench.task_is(plan, task, "done");
    guest.go();
    let said = bench.command(KAPELL).args(["fleet", "--json"]).output().unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said["workers"].as_array().unwrap().len(), 2);
    bench.control("stop", plan);
    bench.at_rest(plan);
}

#[test]
fn a_route_gives_the_tasks_of_a_plan_their_priority_unless_they_have_one() {
    let bench = Bench::new();
    let config = "[project]\nmax_workers = 1\n[rules]\ntdd = false\nspec_first = false\n\
                  [[routes]]\nmatch = 'urgent'\nto = \"fake\"\npriority = \"high\"\n";
    bench.write("kapell.toml", config);
    bench.commit("configure");
    let task =
        |id: &str, text: &str| json!({"id": id, "task": format!("{text}\nwrite {id} x"), "files": [id]});
    let mut own = task("own", "# urgent, they say");
    own["priority"] = json!("low");
    let mut meant = task("meant", "# urgent, and for somebody");
    meant["agent"] = json!("fake");
    let tasks = [task("usual", "# usual"), own, meant, task("routed", "# urgent")];
    let planned = bench.rpc().ok("plan", json!({"plan": {"name": "p", "tasks": tasks}}));
    let plan = planned["plan_id"].as_str().unwrap_or_else(|| panic!("{planned:#}")).to_owned();
    bench.dispatch(&plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let began = bench.events(Some(&plan)).into_iter().filter(|(kind, _)| kind == "attempt.started");
    let began: Vec<String> = began.map(|(_, text)| text).collect();
    let name = |id: &str| format!("task {id}: try 1 by fake");
    assert_eq!(began, ["routed", "usual", "meant", "own"].map(name), "{}", bench.story());
}

#[test]
fn whoever_sends_while_all_are_busy_is_told_so_at_once() {
    let bench = Bench::new();
    bench.write("kapell.toml", "[project]\nmax_workers = 1\n[rules]\ntdd = false\nspec_first = false\n");
    bench.commit("configure");
    let first = send(&bench, json!({"task": bench.meet_line("first"), "files": ["a"]}));
    let guest = bench.meet("first");
    let mut rpc = bench.rpc();
    let began = std::time::Instant::now();
    for number in 0..40 {
        let answer = rpc.ok("dispatch", json!({"task": "# waits", "files": [format!("b{number}")]}));
        let waits = &answer["waiting"][0];
        assert_eq!(waits["reason"], "slot", "{answer:#}");
        assert_eq!(waits["on"], "1 of 1 workers of this project are busy", "{answer:#}");
    }
    // It was 0.9 s for each.
    assert!(began.elapsed() < std::time::Duration::from_secs(18), "{:?}", began.elapsed());
    let plan = first.split_once('/').unwrap().0;
    bench.control("stop", plan);
    guest.go();
    bench.at_rest(plan);
}
#[test]
fn strategies_go_on_where_they_were_when_conductors_are_killed() {
    let bench = Bench::new();
    let mut config = "[project]\nmax_workers = 9\n[rules]\ntdd = false\nspec_first = false\n".to_owned();
    for (group, strategy) in [("turns", "round-robin"), ("loads", "least-loaded"), ("ones", "sequential")] {
        config += &format!("[groups.{group}]\nstrategy = \"{strategy}\"\n");
        for number in 1..=3 {
            config += &format!("[workers.{group}{number}]\nprovider = \"fake\"\ngroups = [\"{group}\"]\n");
        }
    }
    bench.write("kapell.toml", &config);
    bench.commit("configure");
    let meets = |group: &str, name: &str| {
        let lines = format!("{}\nwrite {name} x", bench.meet_line(name));
        send(&bench, json!({"task": lines, "target": group, "files": [name]}))
    };
    let first = meets("turns", "t0");
    let plan = first.split_once('/').unwrap().0.to_owned();
    let kill = || bench.conductor(&plan).kill();
    let mut turns = vec![first];
    let mut guests = vec![bench.meet("t0")];
    // Each in its turn, also where another conductor gives out the next.
    for name in ["t1", "t2"] {
        kill();
        turns.push(meets("turns", name));
        guests.push(bench.meet(name));
    }
    // One who is at work is passed over, by whomever; of a sequential group one task is at work.
    let mut loads = vec![meets("loads", "l0")];
    guests.push(bench.meet("l0"));
    kill();
    loads.push(meets("loads", "l1"));
    guests.push(bench.meet("l1"));
    let one = meets("ones", "o0");
    let only = bench.meet("o0");
    kill();
    let next = meets("ones", "o1");
    let (_, task) = next.split_once('/').unwrap();
    let waits = bench.until(json!({"scope": "task", "id": next}), |status| status["reason"].is_string());
    assert_eq!(
        (&waits["state"], waits["attempts"].as_array().unwrap().len()),
        (&json!("ready"), 0),
        "{waits:#}"
    );
    kill();
    bench.control("resume", &plan);
    only.go();
    let after = bench.meet("o1");
    assert_eq!(bench.task(&plan, one.split_once('/').unwrap().1)["state"], "done", "{}", bench.story());
    after.go();
    bench.task_is(&plan, task, "done");
    for guest in guests {
        guest.go();
    }
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let workers = |ids: &[String]| ids.iter().map(|id| worker_of(&bench, id)).collect::<Vec<_>>();
    assert_eq!(workers(&turns), ["turns1", "turns2", "turns3"]);
    let loads: BTreeSet<String> = workers(&loads).into_iter().collect();
    assert_eq!(loads.len(), 2, "{loads:?}");
    // The turn goes round.
    let again = send(&bench, json!({"task": "write t3 x", "target": "turns", "files": ["t3"]}));
    bench.at_rest(&plan);
    assert_eq!(worker_of(&bench, &again), "turns1");
}
