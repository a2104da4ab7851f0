//! Who plays which part: the oracle is shown what is stuck, the librarian answers who only asks.

use serde_json::json;

use crate::bench::{AGENT, Bench, Plan, task};

/// A provider that gives one answer to whatever it is asked.
fn answering(name: &str, answer: &str) -> String {
    let line = format!("say {}", json!({"kapell": "result", "text": answer}));
    format!("[providers.{name}]\nkind = \"command\"\ncommand = {}\n", json!([AGENT, "do", line]))
}

fn count(bench: &Bench, kind: &str) -> usize {
    bench.events(None).iter().filter(|event| event.0 == kind).count()
}

#[test]
fn a_stuck_task_is_shown_to_the_oracle_and_the_next_worker_is_told() {
    let bench = Bench::new();
    let sage = answering("sage", r#"{"cause": "it runs in a circle", "advice": "turn it round"}"#);
    bench.configure(&format!("{sage}[roles]\noracle = \"sage\"\n"));
    // The first two tries fail; what they left tells the next which try it is.
    let lines = [
        "without a.txt leave a.txt 1",
        "without b.txt leave b.txt 1",
        "expect sage was asked for advice",
        "expect it runs in a circle",
        "expect turn it round",
        "write c.txt done",
    ];
    let plan = bench.start(&Plan::new([task("a", &["a.txt", "b.txt", "c.txt"], &lines)]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(count(&bench, "oracle.advised"), 1, "one failure is no reason to ask: {}", bench.story());
    assert_eq!(bench.task(&plan, "a")["attempts"].as_array().unwrap().len(), 3);
}

#[test]
fn an_oracle_that_says_nothing_keeps_nobody_from_work() {
    let bench = Bench::new();
    let sage =
        format!("[providers.sage]\nkind = \"command\"\ncommand = {}\n", json!([AGENT, "do", "exit 1"]));
    bench.configure(&format!("{sage}[roles]\noracle = \"sage\"\n"));
    let lines = ["without a.txt leave a.txt 1", "without b.txt leave b.txt 1", "write c.txt done"];
    let plan = bench.start(&Plan::new([task("a", &["a.txt", "b.txt", "c.txt"], &lines)]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(
        (count(&bench, "oracle.advised"), count(&bench, "oracle.silent")),
        (0, 1),
        "{}",
        bench.story()
    );
}

#[test]
fn a_question_about_the_code_base_goes_to_the_librarian() {
    let bench = Bench::new();
    let books = answering("books", "it begins in src/lib.txt");
    bench.configure(&format!("{books}[roles]\nlibrarian = \"books\"\n"));
    let question = "Where does it begin?";
    let would = bench.rpc().ok("dispatch", json!({"task": question, "dry_run": true}));
    assert_eq!(would["route"]["worker"], "books", "{would:#}");
    let sent = bench.rpc().ok("dispatch", json!({"task": question}));
    let plan = sent["plan_id"].as_str().unwrap().to_owned();
    bench.at_rest(&plan);
    let id = bench.rpc().ok("status", json!({"scope": "plan", "id": plan}))["tasks"][0]["id"].to_string();
    let done = bench.task(&plan, id.trim_matches('"'));
    assert_eq!(
        (done["state"].as_str(), done["attempts"][0]["provider"].as_str()),
        (Some("done"), Some("books"))
    );
    assert_eq!(done["attempts"][0]["said"].as_str(), Some("it begins in src/lib.txt"), "{done:#}");
    // Who is to do something, or owns files, is no reader.
    let would = bench.rpc().ok("dispatch", json!({"task": "Can you mend it?", "dry_run": true}));
    assert!(!would.to_string().contains("it asks and owns nothing"), "{would:#}");
}
