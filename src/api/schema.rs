//! Schemas as the clients of today read them, and the OpenRPC document.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::methods::conducting;
use super::table;
use super::wire::{
    CancelParams, CancelResult, DiscoverParams, SubscribeParams, SubscribeResult, UnsubscribeParams,
    UnsubscribeResult,
};

/// Definitions up to this many bytes are written out wherever they are used.
const SHORT: usize = 80;

/// In a result's schema longer than this many bytes the objects within are told only as objects:
/// a list of tools is paid for in every conversation.
const LONG: usize = 900;

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

/// JSON Schema of the plan object, for those who write plans.
pub fn plan_document() -> Value {
    schema_of::<crate::api::wire::PlanDocument>(SchemaSettings::draft2020_12().into_generator())
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

/// A schema of parameters for a model: definitions that are short or used once stand where
/// they are used, and what says nothing to a model is left out.
pub fn brief_params(schema: &Value) -> Map<String, Value> {
    let mut schema = schema.clone();
    strip(&mut schema, &["$schema", "title", "minimum"]);
    inline(&mut schema);
    object(schema)
}

/// A schema of a result for a model, which reads results without a description. Nothing is
/// required: clients check the error object of a failed call against this schema too.
pub fn brief_result(schema: &Value) -> Map<String, Value> {
    let mut schema = schema.clone();
    strip(&mut schema, &["$schema", "title", "minimum", "description", "default", "required", "enum"]);
    inline(&mut schema);
    if schema.to_string().len() > LONG {
        let whole = schema.clone();
        flatten(&mut schema, &whole);
        drop_unused(&mut schema);
        inline(&mut schema);
    }
    if schema.to_string().len() > LONG {
        merge_options(&mut schema);
    }
    object(schema)
}

/// Tells a choice between objects as one that may have the fields of any of them. Nothing is required, so
/// it holds for each; a field that is not the same everywhere may be anything.
fn merge_options(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    let Some(Value::Array(options)) = fields.get("anyOf").cloned() else { return };
    let definitions = fields.get("$defs").cloned().unwrap_or_default();
    let meant = |option: &Value| match option.get("$ref").and_then(Value::as_str) {
        Some(reference) => definitions.get(reference.trim_start_matches("#/$defs/")).cloned(),
        None => Some(option.clone()),
    };
    let options: Option<Vec<Map<String, Value>>> = options
        .iter()
        .map(|option| match meant(option)?.get("properties") {
            Some(Value::Object(properties)) => Some(properties.clone()),
            _ => None,
        })
        .collect();
    let Some(options) = options else { return };
    fields.remove("anyOf");
    let properties = fields.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(properties) = properties else { return };
    for (name, field) in options.into_iter().flatten() {
        match properties.get_mut(&name) {
            Some(known) if *known != field => *known = Value::Object(Map::new()),
            Some(_) => {}
            None => drop(properties.insert(name, field)),
        }
    }
    drop_unused(schema);
    inline(schema);
    if let Value::Object(fields) = schema
        && fields.get("$defs").and_then(Value::as_object).is_some_and(Map::is_empty)
    {
        fields.remove("$defs");
    }
}

/// Tells objects within properties and lists only as objects.
fn flatten(schema: &mut Value, whole: &Value) {
    let flat = |schema: &mut Value| {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let meant = reference.and_then(|reference| whole.pointer(reference.trim_start_matches('#')));
        if meant.unwrap_or(schema).get("properties").is_some() {
            *schema = json!({"type": "object"});
        }
    };
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                properties.values_mut().for_each(flat);
            }
            if let Some(items) = fields.get_mut("items") {
                flat(items);
            }
            fields.values_mut().for_each(|value| flatten(value, whole));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| flatten(value, whole)),
        _ => {}
    }
}

/// Drops definitions that nothing refers to.
fn drop_unused(schema: &mut Value) {
    while let Some(definitions) = schema.get("$defs").and_then(Value::as_object) {
        let unused = definitions
            .keys()
            .find(|name| count_references(schema, &format!("#/$defs/{name}")) == 0)
            .cloned();
        let (Some(name), Some(Value::Object(definitions))) = (unused, schema.get_mut("$defs")) else {
            return;
        };
        definitions.remove(&name);
    }
}

fn object(schema: Value) -> Map<String, Value> {
    match schema {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Takes keywords out of a schema and all schemas within, but not properties of these names.
fn strip(schema: &mut Value, keywords: &[&str]) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, _| !keywords.contains(&name.as_str()));
            for (name, value) in fields.iter_mut() {
                match name.as_str() {
                    "properties" | "$defs" => {
                        if let Value::Object(named) = value {
                            named.values_mut().for_each(|schema| strip(schema, keywords));
                        }
                    }
                    "enum" | "const" | "default" => {}
                    _ => strip(value, keywords),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| strip(value, keywords)),
        _ => {}
    }
}

/// Puts definitions that are short, or used once, where they are used.
fn inline(schema: &mut Value) {
    loop {
        let Some(definitions) = schema.get("$defs").and_then(Value::as_object) else { return };
        let worth = definitions.iter().find(|(name, definition)| {
            let reference = format!("#/$defs/{name}");
            // A definition that needs itself has to stay.
            count_references(definition, &reference) == 0
                && (definition.to_string().len() <= SHORT || count_references(schema, &reference) <= 1)
        });
        let Some((name, definition)) =
            worth.map(|(name, definition)| (name.clone(), object(definition.clone())))
        else {
            return;
        };
        if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
            definitions.remove(&name);
        }
        replace(schema, &format!("#/$defs/{name}"), &definition);
        if schema.get("$defs").and_then(Value::as_object).is_some_and(Map::is_empty)
            && let Value::Object(fields) = schema
        {
            fields.remove("$defs");
        }
    }
}

fn count_references(schema: &Value, reference: &str) -> usize {
    match schema {
        Value::Object(fields) => {
            usize::from(fields.get("$ref").is_some_and(|goal| goal == reference))
                + fields.values().map(|value| count_references(value, reference)).sum::<usize>()
        }
        Value::Array(values) => values.iter().map(|value| count_references(value, reference)).sum(),
        _ => 0,
    }
}

fn replace(schema: &mut Value, reference: &str, definition: &Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            if fields.get("$ref").is_some_and(|goal| goal == reference) {
                fields.remove("$ref");
                for (name, value) in definition {
                    // What is said where it is used is nearer to the point.
                    fields.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
            fields.values_mut().for_each(|value| replace(value, reference, definition));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, reference, definition)),
        _ => {}
    }
}

/// The contract as an OpenRPC 1.3 document, with what plain JSON-RPC has beside the table.
pub fn open_rpc() -> Value {
    let mut methods = with_events();
    methods.push(entry(
        "rpc.cancel",
        "End a call that waits",
        "The call is still answered, with what it knows.",
        &of_params::<CancelParams>(),
        &of_result::<CancelResult>(),
    ));
    document(methods)
}

/// The same for a conductor's socket: with the conductor's own methods, and without
/// `rpc.cancel`, for there a call ends with its connection.
pub fn open_rpc_of_conductor() -> Value {
    let mut methods = with_events();
    methods.extend(conducting::methods().iter().map(|method| {
        entry(method.name, method.title, method.description, &(method.params)(), &(method.result)())
    }));
    document(methods)
}

/// The table, and how to follow events.
fn with_events() -> Vec<Value> {
    let mut methods: Vec<Value> = table::methods()
        .iter()
        .map(|method| {
            entry(
                method.name,
                method.title,
                method.description,
                &method.params_schema(),
                &method.result_schema(),
            )
        })
        .collect();
    methods.push(entry(
        "events.subscribe",
        "Hear of everything that happens",
        "Events come as notifications events.event with {subscription, event}, from after since_seq if given.",
        &of_params::<SubscribeParams>(),
        &of_result::<SubscribeResult>(),
    ));
    methods.push(entry(
        "events.unsubscribe",
        "End a subscription",
        "No event of it comes after the answer.",
        &of_params::<UnsubscribeParams>(),
        &of_result::<UnsubscribeResult>(),
    ));
    methods
}

fn document(mut methods: Vec<Value>) -> Value {
    methods.push(entry(
        "rpc.discover",
        "This document",
        "Answers with the OpenRPC document of all methods.",
        &of_params::<DiscoverParams>(),
        &json!({"type": "object"}),
    ));
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
fn entry(name: &str, title: &str, description: &str, params: &Value, result: &Value) -> Value {
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
            inline(&mut schema);
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn short_and_lonely_definitions_stand_where_they_are_used() {
        let long = json!({"type": "object", "properties": {"description": {"type": "string"}, "title": {"type": "string"},
                          "more": {"$ref": "#/$defs/Short"}}});
        let schema = json!({
            "title": "T", "$schema": "s",
            "properties": {"a": {"$ref": "#/$defs/Once"}, "b": {"$ref": "#/$defs/Twice"}, "c": {"$ref": "#/$defs/Twice"},
                           "d": {"$ref": "#/$defs/Tree"}},
            "$defs": {"Once": long, "Twice": long, "Short": {"type": "integer", "title": "S"},
                      "Tree": {"properties": {"child": {"$ref": "#/$defs/Tree"}}}},
        });
        let brief = Value::Object(brief_result(&schema));
        let long = json!({"type": "object", "properties": {"description": {"type": "string"}, "title": {"type": "string"},
                          "more": {"type": "integer"}}});
        assert_eq!(
            brief,
            json!({
                "properties": {"a": long, "b": {"$ref": "#/$defs/Twice"}, "c": {"$ref": "#/$defs/Twice"},
                               "d": {"$ref": "#/$defs/Tree"}},
                "$defs": {"Twice": long, "Tree": {"properties": {"child": {"$ref": "#/$defs/Tree"}}}},
            })
        );
    }

    #[test]
    fn what_may_be_null_in_a_result_may_be_null_in_its_schema() {
        let schema = of_result::<crate::api::wire::PlanResult>();
        assert_eq!(schema["properties"]["plan_id"]["type"], json!(["string", "null"]));
        let problem = &schema["$defs"]["Problem"];
        assert_eq!(problem["properties"]["path"]["type"], "string");
        assert!(!problem["required"].as_array().unwrap().contains(&json!("path")));
    }
}
