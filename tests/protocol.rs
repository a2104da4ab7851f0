//! The contract as it is checked in under `protocol/` is the contract that is served, and
//! its examples do what they say. `KAPELL_WRITE_PROTOCOL=1 cargo test --test protocol`
//! writes it anew; what then shows in `git diff` is what clients will notice.

#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kapell::api::{open_api, schema, table};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol")
}

/// Every generated file by its path under `protocol/`.
fn generated() -> BTreeMap<PathBuf, String> {
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap() + "\n";
    let mut files = BTreeMap::from([(PathBuf::from("openrpc.json"), pretty(&schema::open_rpc()))]);
    files.insert(PathBuf::from("openapi.json"), pretty(&open_api::document()));
    files.insert(PathBuf::from("plan.schema.json"), pretty(&schema::plan_document()));
    files.insert(PathBuf::from("config.schema.json"), pretty(&kapell::sys::config::schema()));
    for method in table::methods() {
        let file = |part: &str| PathBuf::from(format!("methods/{}.{part}.schema.json", method.name));
        files.insert(file("params"), pretty(&method.params_schema()));
        files.insert(file("result"), pretty(&method.result_schema()));
    }
    files
}

#[test]
fn what_is_checked_in_is_what_is_served() {
    let (folder, files) = (folder(), generated());
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever changes the contract")]
    if std::env::var_os("KAPELL_WRITE_PROTOCOL").is_some() {
        let _ = std::fs::remove_dir_all(folder.join("methods"));
        std::fs::create_dir_all(folder.join("methods")).unwrap();
        for (path, content) in &files {
            std::fs::write(folder.join(path), content).unwrap();
        }
    }
    for (path, content) in &files {
        let found = std::fs::read_to_string(folder.join(path)).unwrap_or_default();
        assert!(
            found == *content,
            "protocol/{} is not what is served: KAPELL_WRITE_PROTOCOL=1 cargo test --test protocol writes it anew",
            path.display()
        );
    }
    let kept = std::fs::read_dir(folder.join("methods")).unwrap().count();
    assert_eq!(kept, 2 * table::methods().len(), "protocol/methods has files of methods that are gone");
}

/// An example of the README: what is sent, and what is answered, line by line.
struct Example {
    door: &'static str,
    line: usize,
    sent: String,
    answered: Vec<Value>,
}

/// The blocks marked `jsonrpc` (for `kapell rpc`) or `jsonrpc mcp`, each with the block of
/// answers after it.
fn examples(text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut block: Option<(&str, usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(mark)) => block = Some((mark, number + 1, String::new())),
            (Some((_, _, body)), None) => {
                body.push_str(line);
                body.push('\n');
            }
            (Some(_), Some(_)) => {
                let (mark, line, body) = block.take().unwrap();
                match mark {
                    "jsonrpc" | "jsonrpc mcp" => {
                        let door = if mark == "jsonrpc" { "rpc" } else { "mcp" };
                        examples.push(Example { door, line, sent: body, answered: Vec::new() });
                    }
                    "json" => {
                        let answered = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                        examples.last_mut().unwrap().answered = answered;
                    }
                    _ => {}
                }
            }
            (None, None) => {}
        }
    }
    examples
}

/// Whether an answer is what was promised. A promised `"…"` stands for anything, and an
/// object may have more fields than were promised.
fn keeps(promised: &Value, answer: &Value) -> bool {
    match (promised, answer) {
        (Value::String(any), _) if any == "…" => true,
        (Value::String(start), Value::String(text)) if start.ends_with('…') => {
            text.starts_with(start.trim_end_matches('…'))
        }
        (Value::Object(promised), Value::Object(answer)) => {
            promised.iter().all(|(name, value)| answer.get(name).is_some_and(|found| keeps(value, found)))
        }
        (Value::Array(promised), Value::Array(answer)) => {
            promised.len() == answer.len() && promised.iter().zip(answer).all(|(a, b)| keeps(a, b))
        }
        _ => promised == answer,
    }
}

#[test]
fn examples_do_what_they_say() {
    let text = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let examples = examples(&text);
    assert!(examples.len() >= 6);
    for example in examples {
        let folder = tempfile::tempdir().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the environment and the folder are set right here")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_kapell"));
        let mut child = command
            .arg(example.door)
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .env("KAPELL_HOME", folder.path().join("state"))
            .env("TMUX_TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(example.sent.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "README line {}", example.line);
        let mut answers: Vec<Value> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        // Answers may come in any order; each promise is kept by one of its own.
        for promised in &example.answered {
            let at = answers.iter().position(|answer| keeps(promised, answer));
            let at =
                at.unwrap_or_else(|| panic!("README line {}: no {promised} in {answers:#?}", example.line));
            answers.remove(at);
        }
        assert_eq!(answers, Vec::<Value>::new(), "README line {}: more than was promised", example.line);
    }
}

/// Whether a value fits a schema, as far as our schemas go; where it does not, which part.
fn misfit(schema: &Value, value: &Value, root: &Value) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return misfit(root.pointer(reference.trim_start_matches('#')).unwrap(), value, root);
    }
    if let Some(options) = schema["anyOf"].as_array()
        && options.iter().all(|option| misfit(option, value, root).is_some())
    {
        return Some(format!("{value} fits none of {options:?}"));
    }
    let is_of = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::Array(types) => types.iter().any(is_of),
        name => is_of(name),
    };
    if !fits || schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        return Some(format!("{value} is no {schema}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            return Some(format!("{value} has no {name}"));
        }
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    let in_properties = properties.filter_map(|(name, schema)| misfit(schema, value.get(name)?, root)).next();
    in_properties.or_else(|| {
        let items = value.as_array().into_iter().flatten();
        items.filter(|_| schema["items"].is_object()).find_map(|item| misfit(&schema["items"], item, root))
    })
}

#[test]
fn results_fit_their_schemas() {
    use kapell::api::wire::{ClaimFilesResult, JudgeResult, PlanResult, StatusBody, StatusResult};
    use kapell::api::wire::{Overview, Scope};
    let status = StatusResult {
        seq: 1,
        scope: Scope::Overview,
        next_cursor: None,
        body: StatusBody::Overview(Overview::default()),
    };
    let results = [
        // Where a plan has errors, its id and state are null.
        ("plan", serde_json::to_value(PlanResult::default()).unwrap()),
        ("claim-files", serde_json::to_value(ClaimFilesResult::default()).unwrap()),
        ("judge", serde_json::to_value(JudgeResult::default()).unwrap()),
        ("status", serde_json::to_value(status).unwrap()),
    ];
    for (name, result) in results {
        let method = table::find(name).unwrap();
        let whole = method.result_schema();
        assert_eq!(misfit(&whole, &result, &whole), None, "{name}");
        let brief = Value::Object(schema::brief::result(&whole));
        assert_eq!(misfit(&brief, &result, &brief), None, "{name}, as a tool");
        // Clients check the error of a failed call against the tool's schema too.
        let error = serde_json::json!({"code": -32602, "message": "m", "data": {"kind": "k"}});
        assert_eq!(misfit(&brief, &error, &brief), None, "{name}, an error");
        assert_ne!(
            misfit(&whole, &error, &whole),
            None,
            "{name}: the whole schema tells results from errors"
        );
    }
}
