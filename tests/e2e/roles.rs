//! Who plays which part: the oracle is shown what is stuck, the librarian answers who only asks.

use std::fs;

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
fn an_oracle_that_answers_in_plain_text_is_heard() {
    let bench = Bench::new();
    bench.configure(&format!("{}[roles]\noracle = \"sage\"\n", answering("sage", "turn it round")));
    let lines = [
        "without a.txt leave a.txt 1",
        "without b.txt leave b.txt 1",
        "expect turn it round",
        "write c.txt done",
    ];
    let plan = bench.start(&Plan::new([task("a", &["a.txt", "b.txt", "c.txt"], &lines)]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(
        (count(&bench, "oracle.advised"), count(&bench, "oracle.silent")),
        (1, 0),
        "{}",
        bench.story()
    );
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

#[test]
fn a_planner_that_answers_in_words_is_asked_again() {
    let bench = Bench::new();
    // Whoever answers may write nothing of the project; a cache stays.
    let cache = bench.project.with_file_name("cache");
    fs::create_dir(&cache).unwrap();
    let asked = cache.join("asked");
    let asked = asked.to_str().unwrap();
    let answer = |text: &str| format!("say {}", json!({"kapell": "result", "text": text}));
    let plan = json!({"name": "texts", "specs": [],
        "tasks": [{"id": 1, "task": "do it", "files": ["a.txt"], "depends_on": []}]});
    let command = json!([
        AGENT,
        "do",
        format!("without {asked} {}", answer("I would begin with a.txt.")),
        format!("without {asked} leave {asked} 0"),
        answer(&plan.to_string()),
    ]);
    bench.configure(&format!(
        "[project]\ncaches = [{cache:?}]\n[providers.sage]\nkind = \"command\"\ncommand = {command}\n\
         [roles]\nplanner = \"sage\"\n"
    ));
    let made = bench.rpc().ok("plan", json!({"request": "a text"}));
    assert_eq!(made["waves"], json!([[1]]), "{made:#}");
    let runs =
        fs::read_dir(bench.state().join("run")).unwrap().map(|run| run.unwrap().path().join("prompt.md"));
    let prompts: Vec<String> = runs.map(|prompt| fs::read_to_string(prompt).unwrap()).collect();
    let said = |text: &str| prompts.iter().filter(|prompt| prompt.contains(text)).count();
    assert_eq!((prompts.len(), said("but not with a JSON object: I would begin with a.txt.")), (2, 1));
    // Who has nothing but words is asked three times, and then that is said.
    bench
        .configure(&format!("{}[roles]\nplanner = \"chatter\"\n", answering("chatter", "It is a fine day.")));
    let refusal = bench.rpc().refused("plan", json!({"request": "a text"}));
    assert!(refusal.message.contains("not with a JSON object: It is a fine day."), "{refusal:?}");
}

#[test]
fn a_reviewer_that_nobody_knows_is_refused_before_anything_is_judged() {
    let bench = Bench::new();
    let refusal = bench.rpc().refused("judge", json!({"path": bench.project, "review": "nobody"}));
    assert_eq!(refusal.kind, "not-found", "{refusal:?}");
    assert!(refusal.message.contains("there is no provider or worker nobody"), "{refusal:?}");
}
