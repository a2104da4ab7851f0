//! Tools: the table of methods as MCP shows it, and their results.

use std::borrow::Cow;
use std::sync::LazyLock;

use rmcp::model::{CallToolResult, ContentBlock, Tool, ToolAnnotations};
use serde_json::Value;

use super::{fitting, text};
use crate::api::schema::brief;
use crate::api::{ApiError, table};
use crate::base::packed;

/// The tools as [`made`] makes them, which takes 2 ms and every session would wait for. A test
/// writes the file anew when the table says something else.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tools.json"));

/// Parameters that only a person may give, or a program that has the text of a plan and no object, and so nobody who
/// reads a list of tools. Whoever gives one all the same is answered like anywhere.
const OF_PERSONS: [(&str, &str); 8] = [
    ("plan", "text"),
    ("pipeline", "text"),
    ("claim-files", "take_over"),
    ("dispatch", "batch_size"),
    ("dispatch", "run_timeout_s"),
    ("pipeline", "mermaid"),
    ("environments", "names"),
    ("environments", "which"),
];

/// Results of which only these fields are told; the others explain themselves when they come.
const MAIN_RESULTS: [(&str, &[&str]); 4] = [
    ("pipeline", &["run", "state", "stages"]),
    ("environments", &["environments"]),
    (
        "status",
        &[
            "seq",
            "scope",
            "next_cursor",
            "plans",
            "workers",
            "claims",
            "budget",
            "warnings",
            "task_id",
            "state",
            "task",
            "files",
            "depends_on",
            "reason",
            "attempts",
            "plan_id",
            "name",
            "target",
            "integration",
            "conductor",
            "done",
            "total",
            "running",
            "failed",
            "usd",
            "tasks",
            "run_id",
            "verdict",
            "gates",
            "changed",
            "outside_claim",
            "landed",
            "attempt",
            "worker",
            "provider",
            "outcome",
            "wall",
            "worktree",
            "ref",
            "usage",
            "conductors",
            "cost",
            "checks",
            "queue",
            "events",
            "environments",
        ],
    ),
    ("release-files", &["released"]),
];

/// Every method of the table as a tool, but for those of workers only.
fn tools() -> &'static [Tool] {
    static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
        serde_json::from_str(&packed::text(PACKED)).unwrap_or_else(|error| {
            tracing::error!("bug: tools.json: {error}");
            made(false)
        })
    });
    &TOOLS
}

/// The tools of a worker, or of everybody else.
pub fn of(is_worker: bool) -> &'static [Tool] {
    static OF_WORKER: LazyLock<Vec<Tool>> = LazyLock::new(|| made(true));
    if is_worker { &OF_WORKER } else { tools() }
}

/// The tools, made of the table.
fn made(is_worker: bool) -> Vec<Tool> {
    let methods = table::methods().iter().filter(|method| method.is_for(is_worker));
    methods.map(|method| tool(method, method.description_for(is_worker))).collect()
}

fn tool(method: &'static table::Method, description: &'static str) -> Tool {
    let annotations = ToolAnnotations::from_raw(
        None,
        Some(method.read_only),
        (!method.read_only).then_some(false),
        None,
        Some(false),
    );
    let mut params = brief::params(&method.params_schema());
    for (_, field) in OF_PERSONS.iter().filter(|(name, _)| *name == method.name) {
        if let Some(Value::Object(fields)) = params.get_mut("properties") {
            fields.remove(*field);
        }
    }
    let mut result = brief::result(&method.result_schema());
    for (_, main) in MAIN_RESULTS.iter().filter(|(name, _)| *name == method.name) {
        if let Some(Value::Object(fields)) = result.get_mut("properties") {
            fields.retain(|field, _| main.contains(&field.as_str()));
        }
    }
    // Whose parameters they are is plain here.
    let opening = format!("Parameters of `{}`", method.name);
    let said = params.get("description").and_then(Value::as_str);
    let rest = said
        .and_then(|said| said.strip_prefix(&opening))
        .map(|rest| rest.trim_start_matches([':', ' ', '.']));
    match rest.map(str::to_owned) {
        Some(rest) if rest.is_empty() => drop(params.remove("description")),
        Some(rest) => drop(params.insert("description".to_owned(), rest.into())),
        None => {}
    }
    Tool::new_with_raw(method.name, Some(Cow::Borrowed(description)), params)
        .with_title(method.title)
        .with_raw_output_schema(result.into())
        .with_annotations(annotations)
}

/// What a call came to. A refusal is a result too, so that a model can mend its call.
pub fn result(outcome: Result<Value, ApiError>) -> CallToolResult {
    let (content, structured, is_error) = match outcome {
        Ok(mut result) => {
            fitting::fit(&mut result);
            (text::of_result(&result), result, false)
        }
        Err(error) => (text::of_error(&error), error.to_json(), true),
    };
    let mut result = if is_error {
        CallToolResult::structured_error(structured)
    } else {
        CallToolResult::structured(structured)
    };
    // The SDK puts the whole JSON there once more.
    result.content = vec![ContentBlock::text(content)];
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_what_the_table_says() {
        let mut text = serde_json::to_string_pretty(&made(false)).unwrap();
        text.push('\n');
        if text != packed::text(PACKED) {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/doors/mcp/tools.json");
            std::fs::write(file, text).unwrap();
            panic!("{file} was written anew: look at what changed for clients, then commit it");
        }
        assert_eq!(serde_json::to_value(tools()).unwrap(), serde_json::to_value(made(false)).unwrap());
    }

    #[test]
    fn the_list_of_tools_stays_small() {
        let list = serde_json::to_string(tools()).unwrap();
        assert!(list.len() <= 16 * 1024 - 256, "tools/list is {} bytes", list.len());
        for tool in tools() {
            assert!(tool.description.as_ref().is_some_and(|text| text.len() <= 2048), "{}", tool.name);
            for schema in [&tool.input_schema, tool.output_schema.as_ref().unwrap()] {
                assert_eq!(schema.get("type").and_then(Value::as_str), Some("object"), "{}", tool.name);
            }
        }
    }

    #[test]
    fn a_worker_sees_what_it_may_call() {
        let names = |is_worker| of(is_worker).iter().map(|tool| tool.name.to_string()).collect::<Vec<_>>();
        assert_eq!(
            names(true),
            ["dispatch", "claim-files", "release-files", "status", "checkpoint", "report"]
        );
        assert!(!names(false).contains(&"checkpoint".to_owned()));
        let said = |is_worker| {
            of(is_worker).iter().find(|tool| tool.name == "dispatch").unwrap().description.clone()
        };
        assert_ne!(said(true), said(false));
        for tool in of(true) {
            let description = tool.description.as_ref().unwrap();
            assert!(!description.contains("plan_id"), "{description}");
        }
    }

    #[test]
    fn what_only_persons_may_is_not_offered() {
        for (name, field) in OF_PERSONS {
            let method = table::find(name).unwrap();
            assert!(method.params_schema()["properties"].get(field).is_some(), "{name} {field}");
            for is_worker in [false, true] {
                let tool = of(is_worker).iter().find(|tool| tool.name == name);
                assert_eq!(tool.is_some(), method.is_for(is_worker));
                let Some(tool) = tool else { continue };
                assert_eq!(tool.input_schema["properties"].get(field), None, "{name} {field}");
            }
        }
    }

    #[test]
    fn an_error_fits_every_output_schema() {
        // Some clients check it against the tool's output schema, in which nothing may be required.
        for tool in tools() {
            let schema = serde_json::to_string(tool.output_schema.as_ref().unwrap()).unwrap();
            assert!(!schema.contains("\"required\"") && !schema.contains("additionalProperties\":false"));
        }
    }
}
