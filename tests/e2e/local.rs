//! A model of this machine as a provider: asked for what it serves, passed over while it is away.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::bench::{AGENT, Bench, Plan, task};

/// A server that lists these models, as long as it is not asked to stop; gives where it is.
fn serve(models: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let models: Vec<Value> = models.iter().map(|name| json!({"name": name})).collect();
    let body = json!({"models": models}).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 1000];
            let read = stream.read(&mut asked).unwrap_or_default();
            let answer = match String::from_utf8_lossy(&asked[..read]).starts_with("GET /api/tags ") {
                true => format!("HTTP/1.0 200 OK\r\n\r\n{body}"),
                false => "HTTP/1.0 404 Not Found\r\n\r\n{}".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// A place where nothing answers, and its owner, who can open it.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A provider of kind `ollama` at that place, played by the scripted agent.
fn local(name: &str, host: &str, more: &str) -> String {
    format!(
        "[providers.{name}]\nkind = \"ollama\"\ncommand = [\"{AGENT}\"]\nset_env = {{ FAKE_NAME = \"{name}\", OLLAMA_HOST = \"{host}\" }}\n{more}\n"
    )
}

/// What codex prints at the end of its work.
const DONE: &str = r#"say {"type":"turn.completed","usage":{"input_tokens":1000,"output_tokens":50}}"#;

fn tries(bench: &Bench, plan: &str, id: &str) -> Vec<(String, String)> {
    let task = bench.task(plan, id);
    let text = |it: &Value, field: &str| it[field].as_str().unwrap_or_default().to_owned();
    let attempts = task["attempts"].as_array().unwrap();
    attempts.iter().map(|it| (text(it, "provider"), text(it, "outcome"))).collect()
}

fn pair(provider: &str, outcome: &str) -> (String, String) {
    (provider.to_owned(), outcome.to_owned())
}

#[test]
fn a_chain_ends_with_the_model_of_this_machine_and_that_costs_nothing() {
    let bench = Bench::new();
    let first = format!(
        "[providers.first]\nkind = \"command\"\ncommand = [\"{AGENT}\"]\nset_env = {{ FAKE_NAME = \"first\" }}\n"
    );
    let away = local("away", &nowhere(), "");
    let here = local("here", &serve(&["nomic-embed-text:latest", "qwen3:8b"]), "");
    bench.configure(&format!(
        "{first}{away}{here}[failover]\nchain = [\"first\", \"away\"]\nfallback = \"here\"\n"
    ));
    let limited = r#"as first say {"kapell":"rate-limited","resets_at":"2999-01-01T00:00:00Z"}"#;
    let lines =
        ["append a.txt x", limited, "as first exit 1", "expect first worked at this before you", DONE];
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &lines).with("agent", json!("first"))]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    // Who is away was not even tried.
    assert_eq!(tries(&bench, &plan, "a"), [pair("first", "rate-limited"), pair("here", "submitted")]);
    let usage = bench.task(&plan, "a")["attempts"][1]["usage"].clone();
    assert_eq!((usage["output_tokens"].as_u64(), usage["usd"].as_f64()), (Some(50), Some(0.0)), "{usage:#}");
    let limits: Vec<String> = bench
        .events(None)
        .into_iter()
        .filter(|event| event.0 == "provider.limited")
        .map(|event| event.1)
        .collect();
    assert!(
        limits.iter().any(|it| it.starts_with("away refuses work") && it.contains("nothing answers at")),
        "{limits:?}"
    );
    let workers = bench.rpc().ok("status", json!({"scope": "workers"}));
    let of = |name: &str| {
        workers["workers"].as_array().unwrap().iter().find(|it| it["worker"] == name).unwrap().clone()
    };
    assert_eq!(
        (of("here")["state"].as_str(), of("here")["model"].as_str()),
        (Some("idle"), Some("qwen3:8b"))
    );
    assert!(of("away")["reason"].as_str().unwrap().contains("connection refused"), "{:#}", of("away"));
}

#[test]
fn a_task_waits_for_a_model_that_is_away_and_says_why() {
    let bench = Bench::new();
    let missing = local("here", &serve(&["qwen3:8b"]), "model = \"gpt-oss:20b\"");
    bench.configure(&format!("{missing}[failover]\nchain = [\"here\"]\n"));
    let plan = bench
        .start(&Plan::new([task("a", &["a.txt"], &["write a.txt x", DONE]).with("agent", json!("here"))]));
    let waits = bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |task| {
        task["reason"].as_str().is_some_and(|reason| reason.starts_with("rate-limit"))
    });
    assert!(waits["reason"].as_str().unwrap().contains("ollama pull gpt-oss:20b"), "{waits:#}");
    assert_eq!(tries(&bench, &plan, "a"), []);
    bench.control("stop", &plan);
    assert_eq!(bench.at_rest(&plan)["state"], "stopped");
}
