//! Whose turn it is: nobody overtakes what is between two tries, and nobody's wish lifts a pause.

use serde_json::{Value, json};

use crate::bench::{AGENT, Bench};

/// Says that its provider is limited until long after this test, where it is `first`.
const LIMITED: &str = r#"as first say {"kapell":"rate-limited","resets_at":"2999-01-01T00:00:00Z"}"#;

/// Two providers, of which the second may do no hard tasks if that is said, and a worker of each in a group that does
/// one task at a time.
fn merging(max_workers: u32, second: &str, strategy: &str) -> Bench {
    let bench = Bench::new();
    let provider = |name: &str, more: &str| {
        format!(
            "[providers.{name}]\nkind = \"command\"\ncommand = [\"{AGENT}\"]\nset_env = {{ FAKE_NAME = \"{name}\" }}\n{more}\n\
             [workers.{name}1]\nprovider = \"{name}\"\ngroups = [\"merge\"]\n"
        )
    };
    bench.write(
        "kapell.toml",
        &format!(
            "[project]\nmax_workers = {max_workers}\n[rules]\ntdd = false\nspec_first = false\n{}{}\
             [groups.merge]\nstrategy = \"{strategy}\"\nmembers = [\"first1\", \"second1\"]\n\
             [failover]\nchain = [\"first\", \"second\"]\n",
            provider("first", "capability = 3"),
            provider("second", second),
        ),
    );
    bench.commit("configure");
    bench
}

fn send(bench: &Bench, params: Value) -> (String, String) {
    let answer = bench.rpc().ok("dispatch", params);
    let told =
        answer["started"].as_array().unwrap().iter().chain(answer["waiting"].as_array().unwrap()).next();
    let task = told.unwrap_or_else(|| panic!("{answer:#}"))["task"].as_str().unwrap().to_owned();
    (answer["plan_id"].as_str().unwrap().to_owned(), task)
}

/// The tasks in the order in which tries at them began.
fn begun(bench: &Bench, plan: &str) -> Vec<String> {
    let started = bench.events(Some(plan)).into_iter().filter(|(kind, _)| kind == "attempt.started");
    started.map(|(_, text)| text.split([' ', ':']).nth(1).unwrap_or_default().to_owned()).collect()
}

#[test]
fn who_waits_for_a_reset_in_the_middle_of_its_work_keeps_the_turn_of_its_group() {
    let bench = merging(4, "capability = 1", "sequential");
    // Only the first can do it, and is limited; the second could do the next.
    for (a, b, files) in [("a0.txt", "b0.txt", json!(["a0.txt"])), ("a1.txt", "b1.txt", json!([]))] {
        let hard = format!("# hard\nwithout {a} {LIMITED}\nwithout {a} leave {a} 1\nappend {a} done");
        let (plan, hard) =
            send(&bench, json!({"task": hard, "files": files, "target": "merge", "complexity": "complex"}));
        bench.until(json!({"scope": "task", "id": format!("{plan}/{hard}")}), |task| {
            task["state"] == "ready"
                && task["reason"].as_str().is_some_and(|why| why.starts_with("rate-limit: "))
        });
        let (_, easy) = send(
            &bench,
            json!({"task": format!("write {b} x"), "files": [b], "target": "merge", "complexity": "simple",
                   "priority": 10}),
        );
        let waits = bench.until(json!({"scope": "task", "id": format!("{plan}/{easy}")}), |task| {
            task["reason"].is_string() || task["state"] != "ready"
        });
        let why = waits["reason"].as_str().unwrap_or_else(|| panic!("{waits:#}"));
        assert!(why.contains("does one task at a time") && why.contains(&hard), "{why}");
        bench.control("resume", "first");
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
        let begun = begun(&bench, &plan);
        assert_eq!(begun[begun.len() - 3..], [hard.clone(), hard, easy], "{}", bench.story());
    }
}

#[test]
fn the_seat_of_a_limited_try_is_its_next_ones() {
    let bench = merging(1, "capability = 3", "round-robin");
    for round in 0..3 {
        let file = format!("a{round}.txt");
        let lines = format!(
            "# {round}\nas first {}\n{LIMITED}\nas first leave {file} 1\nwrite {file} x",
            bench.meet_line("a")
        );
        let (plan, limited) = send(&bench, json!({"task": lines, "files": [file], "target": "first1"}));
        let guest = bench.meet("a");
        let next = format!("write b{round}.txt x");
        let (_, next) =
            send(&bench, json!({"task": next, "files": [format!("b{round}.txt")], "target": "second1"}));
        guest.go();
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
        let begun = begun(&bench, &plan);
        assert_eq!(begun[begun.len() - 3..], [limited.clone(), limited, next], "{}", bench.story());
        bench.control("resume", "first");
    }
}

#[test]
fn a_pause_is_lifted_by_nobody_who_sends_something() {
    let bench = merging(1, "capability = 3", "round-robin");
    let lines = |name: &str| format!("{}\nwrite {name}.txt x", bench.meet_line(name));
    let (plan, _) = send(&bench, json!({"task": lines("one"), "files": ["one.txt"]}));
    let one = bench.meet("one");
    send(&bench, json!({"task": "write two.txt x", "files": ["two.txt"]}));
    bench.control("pause", &plan);
    let answer = bench.rpc().ok("dispatch", json!({"task": "write three.txt x", "files": ["three.txt"]}));
    let waits = &answer["waiting"][0];
    assert_eq!(waits["reason"], "paused", "{answer:#}");
    assert_eq!(waits["on"], json!(format!("kapell resume {plan} lets it go on")), "{answer:#}");
    let route = bench.rpc().ok("dispatch", json!({"task": "x", "dry_run": true}));
    assert!(route["note"].as_str().is_some_and(|note| note.contains("paused")), "{route:#}");
    one.go();
    bench.until(json!({"scope": "overview"}), |all| all["workers"]["busy"] == 0);
    let queue = bench.rpc().ok("status", json!({"scope": "queue"}));
    assert_eq!(queue["waiting"][1]["reason"], "paused", "{queue:#}");
    assert_eq!(begun(&bench, &plan).len(), 1, "{}", bench.story());
    bench.control("resume", &plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(begun(&bench, &plan).len(), 3, "{}", bench.story());
}

#[test]
fn a_group_that_loses_its_last_worker_in_an_edit_keeps_its_tasks_waiting() {
    let bench = Bench::new();
    let configure = |members: &str| {
        bench.write(
            "kapell.toml",
            &format!(
                "[project]\nmax_workers = 1\n[rules]\ntdd = false\nspec_first = false\n\
                 [workers.w]\nprovider = \"fake\"\n[groups.g]\nmembers = [{members}]\n"
            ),
        );
    };
    configure("\"w\"");
    bench.commit("configure");
    let lines = format!("{}\nwrite one.txt x", bench.meet_line("one"));
    let (plan, _) = send(&bench, json!({"task": lines, "files": ["one.txt"], "target": "g"}));
    let one = bench.meet("one");
    let (_, two) = send(&bench, json!({"task": "write two.txt x", "files": ["two.txt"], "target": "g"}));
    configure("");
    one.go();
    let waits = bench.until(json!({"scope": "task", "id": format!("{plan}/{two}")}), |task| {
        task["reason"].as_str().is_some_and(|why| why.contains("has no worker"))
    });
    assert_eq!(waits["state"], "ready", "{waits:#}");
    configure("\"w\"");
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}
