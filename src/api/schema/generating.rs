//! The schemas are made of the types, and checked in. Only a test needs that: whoever runs Kapell reads
//! what was checked in, which is faster, and the program is half a megabyte smaller without the rest.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::api::methods::conducting;
use crate::api::reads::{self, Gives};
use crate::api::table;
use crate::api::wire::{
    CancelParams, CancelResult, DiscoverParams, EventStatus, PlanDocument, PlanResult, SubscribeParams,
    SubscribeResult, UnsubscribeParams, UnsubscribeResult,
};

/// Makes the schema of a type.
pub type Make = fn() -> Value;

/// The schema of what is read as a `T`.
pub fn of_params<T: JsonSchema>() -> Value {
    schema_of::<T>(SchemaSettings::draft2020_12().for_deserialize().into_generator())
}

/// The schema of what is written from a `T`.
pub fn of_result<T: JsonSchema>() -> Value {
    schema_of::<T>(SchemaSettings::draft2020_12().for_serialize().into_generator())
}

fn schema_of<T: JsonSchema>(generator: SchemaGenerator) -> Value {
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    simplify(&mut schema);
    schema
}

/// Takes out what some clients stumble over: integer formats that JSON Schema does not
/// know (`uint64`), null beside the type of a property that may be left out as well, and
/// choices that are written as schemas of one constant each.
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
            let required = fields.get("required").cloned().unwrap_or_default();
            let is_required = |name: &str| {
                required.as_array().is_some_and(|names| names.iter().any(|required| required == name))
            };
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                for (name, property) in properties {
                    if !is_required(name) {
                        without_null(property);
                    }
                }
            }
            list_constants(fields);
            if let Some(Value::Array(options)) = fields.get_mut("anyOf") {
                // "An integer." beside integer says nothing.
                for option in options.iter_mut().filter_map(Value::as_object_mut) {
                    if option.len() == 2 && option.contains_key("type") {
                        option.remove("description");
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

/// Takes null out of a schema's types.
fn without_null(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
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
}

/// Writes a choice between described constants as one `enum`, their descriptions as one text.
fn list_constants(fields: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = fields.get("oneOf") else { return };
    let constants: Option<Vec<Value>> = options
        .iter()
        .map(|option| (option.get("type")? == "string").then(|| option.get("const").cloned())?)
        .collect();
    let Some(constants) = constants else { return };
    let meanings: Vec<String> = options
        .iter()
        .filter_map(|option| {
            let meaning = option.get("description")?.as_str()?;
            Some(format!("{}: {meaning}", option.get("const")?.as_str()?))
        })
        .collect();
    fields.remove("oneOf");
    fields.insert("type".to_owned(), Value::from("string"));
    fields.insert("enum".to_owned(), Value::Array(constants));
    if !meanings.is_empty() {
        let whole = fields.get("description").and_then(Value::as_str).unwrap_or_default();
        let text = format!("{whole} {}", meanings.join(" "));
        fields.insert("description".to_owned(), Value::from(text.trim()));
    }
}

/// All that is checked in, one method a line.
fn all() -> String {
    let session: [(&str, Make, Make); 4] = [
        ("rpc.cancel", of_params::<CancelParams>, of_result::<CancelResult>),
        ("events.subscribe", of_params::<SubscribeParams>, of_result::<SubscribeResult>),
        ("events.unsubscribe", of_params::<UnsubscribeParams>, of_result::<UnsubscribeResult>),
        ("rpc.discover", of_params::<DiscoverParams>, || json!({"type": "object"})),
    ];
    let table = table::methods().iter().map(|method| (method.name, method.types.0, method.types.1));
    let conductor = conducting::methods().map(|method| (method.name, method.types.0, method.types.1));
    let mut lines: Vec<String> = table
        .chain(conductor)
        .chain(session)
        .map(|(name, params, result)| {
            format!("{}: {}", json!(name), json!({"params": params(), "result": result()}))
        })
        .collect();
    let own = reads::all().iter().filter_map(|read| match &read.gives {
        Gives::Own { name, schema, .. } => Some((name, schema)),
        Gives::Scope(_) => None,
    });
    let own = own.map(|(name, schema)| format!("{}: {}", json!(format!("read {name}")), schema()));
    lines.extend(own);
    lines.push(format!("\"an event\": {}", of_result::<EventStatus>()));
    let plan = schema_of::<PlanDocument>(SchemaSettings::draft2020_12().into_generator());
    lines.push(format!("{}: {plan}", json!(super::PLAN)));
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

#[test]
fn what_is_checked_in_is_what_the_types_say() {
    let text = all();
    if text != crate::base::packed::text(super::PACKED) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/schema/all.json");
        std::fs::write(file, text).unwrap();
        panic!("{file} was written anew: look at what changed for clients, then commit it");
    }
}

#[test]
fn schemas_are_simplified() {
    let table = [
        (json!({"type": "integer", "format": "uint64"}), json!({"type": "integer"})),
        (json!({"type": "string", "format": "uri"}), json!({"type": "string", "format": "uri"})),
        (
            json!({"properties": {"a": {"type": ["string", "null"]}, "b": {"type": ["string", "null"]}}, "required": ["b"]}),
            json!({"properties": {"a": {"type": "string"}, "b": {"type": ["string", "null"]}}, "required": ["b"]}),
        ),
        (
            json!({"properties": {"a": {"description": "A", "anyOf": [{"$ref": "#/$defs/X"}, {"type": "null"}]}}}),
            json!({"properties": {"a": {"description": "A", "$ref": "#/$defs/X"}}}),
        ),
        (
            json!({"description": "Which.", "oneOf": [{"type": "string", "const": "a", "description": "One."},
                   {"type": "string", "const": "b", "description": "Two."}]}),
            json!({"description": "Which. a: One. b: Two.", "type": "string", "enum": ["a", "b"]}),
        ),
        // A property called like a keyword is a property.
        (
            json!({"properties": {"format": {"type": "string"}}}),
            json!({"properties": {"format": {"type": "string"}}}),
        ),
    ];
    for (mut given, expected) in table {
        simplify(&mut given);
        assert_eq!(given, expected);
    }
}

#[test]
fn what_may_be_null_in_a_result_may_be_null_in_its_schema() {
    let schema = of_result::<PlanResult>();
    assert_eq!(schema["properties"]["plan_id"]["type"], json!(["string", "null"]));
    let problem = &schema["$defs"]["Problem"];
    assert_eq!(problem["properties"]["path"]["type"], "string");
    assert!(!problem["required"].as_array().unwrap().contains(&json!("path")));
}
