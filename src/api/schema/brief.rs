//! Schemas cut down to what a model needs: a list of tools is paid for in every conversation.

use serde_json::{Map, Value, json};

/// Definitions up to this many bytes are written out wherever they are used.
const SHORT: usize = 80;

/// In a result's schema longer than this many bytes the objects within are told only as objects:
/// a list of tools is paid for in every conversation.
const LONG: usize = 900;

/// A schema of parameters for a model: definitions that are short or used once stand where
/// they are used, and what says nothing to a model is left out.
pub fn params(schema: &Value) -> Map<String, Value> {
    let mut schema = schema.clone();
    strip(&mut schema, &["$schema", "title", "minimum"]);
    inline(&mut schema);
    object(schema)
}

/// A schema of a result for a model, which reads results without a description. Nothing is
/// required: clients check the error object of a failed call against this schema too.
pub fn result(schema: &Value) -> Map<String, Value> {
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
pub(super) fn inline(schema: &mut Value) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let brief = Value::Object(result(&schema));
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
}
