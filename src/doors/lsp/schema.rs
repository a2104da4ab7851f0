//! What may stand where, from the JSON Schema of plans and of the configuration.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// The schema of a plan.
pub static PLAN: LazyLock<Value> = LazyLock::new(crate::api::schema::plan_document);
/// The schema of `kapell.toml`.
pub static CONFIG: LazyLock<Value> = LazyLock::new(crate::services::configuring::schema);

/// The schema of what stands at the end of a way of keys; lists are entered without a step.
pub fn at<'s>(root: &'s Value, steps: &[&str]) -> Option<&'s Value> {
    let mut schema = resolved(root, root)?;
    for step in steps {
        schema = item(root, schema);
        let own = schema.get("properties").and_then(|properties| properties.get(*step));
        let any = || schema.get("additionalProperties").filter(|rest| rest.is_object());
        schema = resolved(root, own.or_else(any)?)?;
    }
    Some(schema)
}

/// The keys that a map may have there, with what they mean.
pub fn keys<'s>(root: &'s Value, steps: &[&str]) -> Vec<(&'s str, &'s str)> {
    let schema = at(root, steps).map(|schema| item(root, schema));
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let describe = |(name, schema): (&'s String, &'s Value)| (name.as_str(), description(schema));
    properties.map(|properties| properties.iter().map(describe).collect()).unwrap_or_default()
}

/// The words that a value may be there, with what they mean.
pub fn words<'s>(root: &'s Value, steps: &[&str]) -> Vec<(&'s str, &'s str)> {
    let Some(schema) = at(root, steps).map(|schema| item(root, schema)) else { return Vec::new() };
    let mut words = Vec::new();
    collect_words(schema, &mut words);
    words
}

fn collect_words<'s>(schema: &'s Value, words: &mut Vec<(&'s str, &'s str)>) {
    let list = |name: &str| schema.get(name).and_then(Value::as_array).into_iter().flatten();
    words.extend(schema.get("const").and_then(Value::as_str).map(|word| (word, description(schema))));
    words.extend(list("enum").filter_map(Value::as_str).map(|word| (word, "")));
    if schema.get("type").is_some_and(|kind| kind == "boolean") {
        words.extend([("true", ""), ("false", "")]);
    }
    for option in list("oneOf").chain(list("anyOf")) {
        collect_words(option, words);
    }
}

/// What a schema says of itself.
pub fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// Whether tables or maps are meant, and not a value.
pub fn is_map(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
}

/// The schema of a list's items, or the schema itself.
fn item<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let items = schema.get("items").and_then(|items| resolved(root, items));
    items.unwrap_or(schema)
}

/// Follows a reference, and takes the one choice that is a map or list.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> Option<&'s Value> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return root.pointer(reference.trim_start_matches('#'));
    }
    let options = schema.get("anyOf").and_then(Value::as_array);
    let entered = options.into_iter().flatten().find_map(|option: &Value| {
        let option: &Map<String, Value> = option.as_object()?;
        let reference = option.get("$ref")?.as_str()?;
        root.pointer(reference.trim_start_matches('#')).filter(|target| is_map(target))
    });
    Some(entered.unwrap_or(schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: Vec<(&str, &str)>) -> Vec<String> {
        list.into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn keys_and_words_come_from_the_schemas() {
        assert!(names(keys(&PLAN, &[])).contains(&"tasks".to_owned()));
        assert!(names(keys(&PLAN, &["tasks"])).contains(&"depends_on".to_owned()));
        assert!(names(keys(&PLAN, &["specs"])).contains(&"file".to_owned()));
        assert!(names(keys(&PLAN, &["tasks", "rules"])).contains(&"tdd".to_owned()));
        assert!(keys(&PLAN, &["nothing"]).is_empty());
        assert!(names(keys(&CONFIG, &["providers", "any"])).contains(&"kind".to_owned()));
        assert!(names(keys(&CONFIG, &["pipelines", "any", "stages"])).contains(&"approval".to_owned()));
        assert!(names(words(&CONFIG, &["project", "isolation"])).contains(&"shared".to_owned()));
        assert!(names(words(&CONFIG, &["rules", "tdd"])).contains(&"true".to_owned()));
        assert!(!description(at(&PLAN, &["tasks", "files"]).unwrap()).is_empty());
    }
}
