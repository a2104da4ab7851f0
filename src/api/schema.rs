//! Schemas as the clients of today read them, and the OpenRPC document.

use serde_json::{Value, json};

use super::table;

/// Takes out what some clients stumble over: integer formats that JSON Schema does not
/// know (`uint64`), null beside the type of an optional field, and the titles and
/// defaults that only cost a model's context.
pub fn simplify(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("format").and_then(Value::as_str).is_some_and(|format| {
                format.starts_with("uint")
                    || format.starts_with("int")
                    || format == "double"
                    || format == "float"
            }) {
                fields.remove("format");
            }
            if fields.get("default").is_some_and(Value::is_null) {
                fields.remove("default");
            }
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(options)) = fields.get_mut("anyOf") {
                options.retain(|option| option.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(only)] = options.as_slice() {
                    let only = only.clone();
                    fields.remove("anyOf");
                    for (name, value) in only {
                        fields.entry(name).or_insert(value);
                    }
                }
            }
            for (name, value) in fields.iter_mut() {
                // A property may be called like a keyword; only schemas are simplified.
                if name != "enum" && name != "const" && name != "default" {
                    simplify(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(simplify),
        _ => {}
    }
}

/// The contract as an OpenRPC 1.3 document.
pub fn open_rpc() -> Value {
    let methods: Vec<Value> = table::methods()
        .iter()
        .map(|method| {
            let params = method.params_schema();
            let required: Vec<&str> = params
                .get("required")
                .and_then(Value::as_array)
                .map(|names| names.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default();
            let definitions = params.get("$defs").cloned();
            let params: Vec<Value> = params
                .get("properties")
                .and_then(Value::as_object)
                .map(|properties| {
                    properties
                        .iter()
                        .map(|(name, schema)| {
                            let mut schema = schema.clone();
                            if let (Value::Object(fields), Some(definitions)) = (&mut schema, &definitions) {
                                fields.insert("$defs".to_owned(), definitions.clone());
                            }
                            json!({"name": name, "required": required.contains(&name.as_str()), "schema": schema})
                        })
                        .collect()
                })
                .unwrap_or_default();
            json!({
                "name": method.name,
                "summary": method.title,
                "description": method.description,
                "paramStructure": "by-name",
                "params": params,
                "result": {"name": "result", "schema": method.result_schema()},
            })
        })
        .collect();
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
