//! Schemas as the clients of today read them, and the OpenRPC document.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::methods::conducting;
use super::table;
use crate::base::packed;

pub mod brief;
#[cfg(test)]
pub mod generating;

/// Every schema, as `generating` makes them of the types; its test writes the file anew when the types say
/// something else.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/all.json"));

/// Under this name the file holds the plan object.
const PLAN: &str = "a plan";

static ALL: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(&packed::text(PACKED)).unwrap_or_else(|error| {
        tracing::error!("bug: schema/all.json: {error}");
        Value::Null
    })
});

/// The schema of a method's parameters, an object.
pub fn of_params(method: &str) -> Value {
    ALL[method]["params"].clone()
}

/// The schema of a method's result, an object.
pub fn of_result(method: &str) -> Value {
    ALL[method]["result"].clone()
}

/// The schema of what is read under a name of [`super::reads`].
pub fn of_read(name: &str) -> Value {
    ALL[format!("read {name}")].clone()
}

/// The schema of an event.
pub fn of_event() -> Value {
    ALL["an event"].clone()
}

/// JSON Schema of the plan object, for those who write plans.
pub fn plan_document() -> Value {
    ALL[PLAN].clone()
}

/// The contract as an OpenRPC 1.3 document, with what plain JSON-RPC has beside the table.
pub fn open_rpc() -> Value {
    let mut methods = with_events();
    methods.push(entry(
        "rpc.cancel",
        "End a call that waits",
        "The call is still answered, with what it knows.",
    ));
    document(methods)
}

/// The same over HTTP and WebSocket: without `rpc.cancel`, for there a call ends with its connection, and on a
/// conductor's socket with the conductor's own methods.
pub fn open_rpc_over_http(is_conductors: bool) -> Value {
    let mut methods = with_events();
    if is_conductors {
        methods.extend(
            conducting::methods().iter().map(|method| entry(method.name, method.title, method.description)),
        );
    }
    document(methods)
}

/// The table, and how to follow events.
fn with_events() -> Vec<Value> {
    let mut methods: Vec<Value> =
        table::methods().iter().map(|method| entry(method.name, method.title, method.description)).collect();
    methods.push(entry(
        "events.subscribe",
        "Hear of everything that happens",
        "Events come as notifications events.event with {subscription, event}, from after since_seq if given.",
    ));
    methods.push(entry("events.unsubscribe", "End a subscription", "No event of it comes after the answer."));
    methods
}

fn document(mut methods: Vec<Value>) -> Value {
    methods.push(entry("rpc.discover", "This document", "Answers with the OpenRPC document of all methods."));
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "Kapell",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Many coding agents and people in one repository, without destroying each other's work.",
            "license": {"name": "Apache-2.0"},
        },
        "methods": methods,
    })
}

/// One method of the OpenRPC document.
fn entry(name: &str, title: &str, description: &str) -> Value {
    let (params, result) = (of_params(name), of_result(name));
    let required = params.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let definitions = params.get("$defs");
    let properties = params.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let params: Vec<Value> = properties
        .into_iter()
        .map(|(name, mut schema)| {
            // Each parameter's schema stands alone, so it brings the definitions that it needs.
            if let (Value::Object(fields), Some(definitions)) = (&mut schema, definitions) {
                fields.insert("$defs".to_owned(), definitions.clone());
            }
            brief::inline(&mut schema);
            let required = required.contains(&Value::from(name.clone()));
            json!({"name": name, "required": required, "schema": schema})
        })
        .collect();
    json!({
        "name": name,
        "summary": title,
        "description": description,
        "paramStructure": "by-name",
        "params": params,
        "result": {"name": "result", "schema": result},
    })
}
