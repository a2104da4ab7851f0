//! What `kapell serve` answers as an OpenAPI 3.1 document, made of the tables that it serves.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::base::packed;

use super::reads::{self, Field, Gives, Read};
use super::{schema, table};

/// The document as text, as `protocol/openapi.json` has it: a test holds it against [`document`]. What makes it
/// is three times as long as the packed text, and so is no part of the program.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| packed::text(include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json"))));
    &TEXT
}

/// The document, made anew.
pub fn document() -> Value {
    let mut shared = Shared::default();
    let mut paths = Map::new();
    for read in reads::all() {
        let operation = read_operation(read, &mut shared);
        paths.insert(read.path.to_owned(), json!({"get": operation}));
        for (number, path) in read.also.iter().enumerate() {
            let mut operation = operation.clone();
            operation["operationId"] = Value::from(format!("{}-{}", name_of(read.path), number + 2));
            operation["description"] = Value::from(format!("The same as {}.", read.path));
            paths.insert((*path).to_owned(), json!({"get": operation}));
        }
    }
    paths.insert("/api/events".to_owned(), json!({"get": events_operation(&mut shared)}));
    paths.insert("/metrics".to_owned(), json!({"get": metrics_operation()}));
    paths.insert("/healthz".to_owned(), json!({"get": healthz_operation()}));
    paths.insert("/openapi.json".to_owned(), json!({"get": document_operation()}));
    paths.insert("/rpc".to_owned(), json!({"post": rpc_operation(&mut shared)}));
    shared.0.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Kapell",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Many coding agents and people in one repository, without destroying each other's work.",
            "description": "Served by `kapell serve`. Every path but /healthz and the board's own files wants the \
                            token that lies in a file of its owner: `Authorization: Bearer TOKEN`; a WebSocket of a \
                            browser, which can set no header, offers the subprotocols `kapell` and \
                            `kapell.bearer.TOKEN`. /rpc is a WebSocket as well, with events.subscribe.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "kapell serve says where it lies."},
            },
            "schemas": shared.0,
        },
    })
}

/// Schemas that several paths share, by name.
#[derive(Default)]
struct Shared(Map<String, Value>);

impl Shared {
    /// Puts a whole schema there under `name`, its definitions beside it, and gives what refers to it. Those of
    /// parameters are called otherwise: what may be left out differs.
    fn put(&mut self, name: &str, mut schema: Value, suffix: &str) -> Value {
        if let Value::Object(fields) = &mut schema {
            fields.remove("$schema");
            fields.remove("title");
            let definitions = fields.remove("$defs");
            for (name, mut definition) in
                definitions.and_then(|it| it.as_object().cloned()).into_iter().flatten()
            {
                refer(&mut definition, suffix);
                self.0.insert(format!("{name}{suffix}"), definition);
            }
        }
        refer(&mut schema, suffix);
        self.0.insert(name.to_owned(), schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

/// Turns what refers to a definition beside it to the shared one.
fn refer(schema: &mut Value, suffix: &str) {
    match schema {
        Value::Object(fields) => {
            let target =
                fields.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix("#/$defs/"));
            if let Some(target) = target.map(|name| format!("#/components/schemas/{name}{suffix}")) {
                fields.insert("$ref".to_owned(), Value::from(target));
            }
            fields.values_mut().for_each(|value| refer(value, suffix));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| refer(value, suffix)),
        _ => {}
    }
}

/// `/api/plans/{id}` is `plans-id`.
fn name_of(path: &str) -> String {
    let words = path.split('/').filter(|part| !part.is_empty() && *part != "api");
    words.map(|part| part.trim_matches(['{', '}'])).collect::<Vec<_>>().join("-")
}

/// `multi-env` is `MultiEnv`.
fn type_name(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split(['-', '.']).filter(|word| !word.is_empty()).map(capital).collect()
}

fn read_operation(read: &Read, shared: &mut Shared) -> Value {
    let result = match &read.gives {
        Gives::Scope(_) => shared.put("StatusResult", schema::of_result("status"), ""),
        Gives::Own { name, .. } => shared.put(&format!("{}Read", type_name(name)), schema::of_read(name), ""),
    };
    let parts = read.parts().map(|name| {
        json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1, "pattern": reads::PLAIN}})
    });
    let parameters: Vec<Value> =
        parts.chain(read.fields.iter().chain([&reads::PROJECT]).map(query)).collect();
    json!({
        "operationId": name_of(read.path),
        "summary": read.title,
        "parameters": parameters,
        "responses": answers(&json!({"application/json": {"schema": result}})),
    })
}

fn query(field: &Field) -> Value {
    json!({"name": field.name, "in": "query", "description": field.description, "schema": field.schema()})
}

/// What is answered: as it should be, or an error.
fn answers(content: &Value) -> Value {
    let error = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
    let refused = |why: &str| json!({"description": why, "content": error});
    json!({
        "200": {"description": "As it is now.", "content": content},
        "400": refused("Something was asked that cannot be."),
        "401": refused("Without the token, or with another."),
        "403": refused("For a foreign Host or from a foreign Origin, or not allowed."),
        "404": refused("There is no such thing."),
        "default": refused("Refused or failed; the code says why."),
    })
}

fn events_operation(shared: &mut Shared) -> Value {
    let event = shared.put("EventStatus", schema::of_event(), "");
    let mut parameters: Vec<Value> =
        [reads::SINCE_SEQ, reads::PLAN, reads::KIND, reads::ALL_PROJECTS, reads::PROJECT]
            .iter()
            .map(query)
            .collect();
    parameters.push(json!({
        "name": "Last-Event-ID", "in": "header",
        "description": "As since_seq, and before it: what a browser sends by itself when it comes back.",
        "schema": {"type": "integer", "minimum": 0},
    }));
    let content = json!({"text/event-stream": {"schema": {
        "type": "string",
        "description": "Each event's `id` is its number and its `data` a EventStatus. `event: open` comes first \
                        and says from where, `event: behind` says that more has happened than was read in time and \
                        that the rest follows. Comments show that the connection lives.",
    }, "x-data": event}});
    json!({
        "operationId": "events",
        "summary": "Everything that happens, as it happens (server-sent events)",
        "parameters": parameters,
        "responses": answers(&content),
    })
}

fn metrics_operation() -> Value {
    json!({
        "operationId": "metrics",
        "summary": "Figures for Prometheus",
        "parameters": [query(&reads::PROJECT)],
        "responses": answers(&json!({"text/plain": {"schema": {"type": "string"}}})),
    })
}

fn healthz_operation() -> Value {
    let body = json!({
        "type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}},
    });
    json!({
        "operationId": "healthz",
        "summary": "Whether it answers, and the database can be read; without a token",
        "security": [],
        "responses": {
            "200": {"description": "It can.", "content": {"application/json": {"schema": body}}},
            "503": {"description": "It cannot.", "content": {"application/json": {"schema": body}}},
            "default": {"description": "Refused.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
        },
    })
}

fn document_operation() -> Value {
    json!({
        "operationId": "openapi",
        "summary": "This document",
        "responses": answers(&json!({"application/json": {"schema": {"type": "object"}}})),
    })
}

fn rpc_operation(shared: &mut Shared) -> Value {
    let id = json!({"type": ["string", "integer", "null"]});
    let requests: Vec<Value> = table::methods()
        .iter()
        .map(|method| {
            let name = format!("{}Params", type_name(method.name));
            let params = shared.put(&name, method.params_schema(), "In");
            shared.put(&format!("{}Result", type_name(method.name)), method.result_schema(), "");
            json!({
                "type": "object",
                "title": method.title,
                "required": ["jsonrpc", "id", "method"],
                "properties": {
                    "jsonrpc": {"const": "2.0"}, "id": id, "method": {"const": method.name}, "params": params,
                },
            })
        })
        .collect();
    shared.0.insert("RpcRequest".to_owned(), json!({"oneOf": requests}));
    let answer = json!({
        "type": "object",
        "required": ["jsonrpc", "id"],
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": id,
            "result": {"description": "As the method says: PlanResult of plan, StatusResult of status, …"},
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string"},
                    "data": {"type": "object", "description": "kind, hint, retryable, and facts."},
                },
            },
        },
    });
    shared.0.insert("RpcAnswer".to_owned(), answer);
    let one_or_many = |name: &str| {
        let one = json!({"$ref": format!("#/components/schemas/{name}")});
        json!({"oneOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    };
    let mut responses = answers(&json!({"application/json": {"schema": one_or_many("RpcAnswer")}}));
    responses["204"] = json!({"description": "Nothing but notifications were sent."});
    json!({
        "operationId": "rpc",
        "summary": "JSON-RPC 2.0: the whole contract",
        "description": "rpc.discover answers with the OpenRPC document. Opened as a WebSocket it has events.subscribe too.",
        "parameters": [query(&reads::PROJECT)],
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": one_or_many("RpcRequest")}},
        },
        "responses": responses,
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["code", "message", "hint"],
        "properties": {
            "code": {"type": "string", "description": "The stable name of what is wrong, such as not-found."},
            "message": {"type": "string", "description": "What and why, naming the thing."},
            "hint": {"type": "string", "description": "The next step."},
            "retryable": {"type": "boolean", "description": "Whether the same may succeed later."},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| refs(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| refs(value, found)),
            _ => {}
        }
    }

    #[test]
    fn whatever_is_referred_to_is_there() {
        let document = document();
        let mut found = Vec::new();
        refs(&document, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let document = document();
        let operations =
            document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
        let mut names: Vec<&str> = operations.map(|(_, it)| it["operationId"].as_str().unwrap()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_definition_means_the_same_wherever_it_is_from() {
        // They share one place, so two that differ under one name would be one of them.
        let mut known: Map<String, Value> = Map::new();
        let own = reads::all().iter().filter_map(|read| match &read.gives {
            Gives::Own { name, .. } => Some(schema::of_read(name)),
            Gives::Scope(_) => None,
        });
        let results = table::methods().iter().map(|method| method.result_schema());
        for schema in own.chain(results).chain([schema::of_event()]) {
            for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
                let before = known.insert(name.clone(), definition.clone());
                assert!(before.is_none_or(|before| before == *definition), "{name}");
            }
        }
    }
}
