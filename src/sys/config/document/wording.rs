//! What the schema says, in words, and what was probably meant instead.

use serde_json::{Map, Value};
use toml::de::DeValue;

use crate::sys::config::schema::SCHEMA;

/// The key of `name` in the table `path`, as TOML would write it.
pub(in crate::sys::config) fn join(path: &str, name: &str) -> String {
    let is_bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let name = if is_bare { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// A text for a message: on one line, and not longer than can be read.
pub(in crate::sys::config) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown = String::new();
    for c in text.chars().take(MOST) {
        if c.is_control() { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// "`a`, `b` or `c`".
pub(in crate::sys::config) fn listed(names: &[&str], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", shown(name))).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [most @ .., end] => format!("{} {last} {end}", most.join(", ")),
    }
}

/// The name that was probably meant, if one is near enough.
pub(in crate::sys::config) fn closest<'n>(
    wrong: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    const LONGEST: usize = 64;
    if wrong.len() > LONGEST {
        return None;
    }
    let folded = |name: &str| name.to_lowercase().replace('-', "_");
    let wrong = folded(wrong);
    let near = |name: &&str| (strsim::damerau_levenshtein(&wrong, &folded(name)), name.len());
    let allowed = (wrong.chars().count() / 3).max(1);
    names.into_iter().min_by_key(near).filter(|name| near(name).0 <= allowed)
}

/// "did you mean `x`?", if something is near enough.
pub(in crate::sys::config) fn suggestion<'n>(
    wrong: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<String> {
    closest(wrong, names).map(|name| format!("did you mean `{name}`?"))
}

/// Message and hint for a key that the table does not have.
pub(super) fn unknown_key(schema: &Value, path: &str, name: &str) -> (String, String) {
    let keys = |schema: &'_ Value| -> Vec<String> {
        let properties = schema.get("properties").and_then(Value::as_object);
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
    };
    let known = keys(schema);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    // A key that is right elsewhere was put in the wrong table.
    let has = |table: &Value| table.get("properties").is_some_and(|keys| keys.get(name).is_some());
    let tables = SCHEMA.get("properties").and_then(Value::as_object).into_iter().flatten();
    let elsewhere: Vec<String> = tables
        .filter_map(|(table, schema)| match schema {
            schema if has(schema) => Some(format!("[{table}]")),
            schema if schema.get("additionalProperties").is_some_and(has) => Some(format!("[{table}.NAME]")),
            schema if schema.get("items").is_some_and(has) => Some(format!("[[{table}]]")),
            _ => None,
        })
        .collect();
    let hint = match suggestion(name, known.iter().copied()) {
        Some(suggestion) => suggestion,
        None if !elsewhere.is_empty() => format!("`{name}` belongs in {}", elsewhere.join(" or ")),
        None => format!("known here: {}", listed(&known, "and")),
    };
    (format!("unknown key `{}`", shown(path)), hint)
}

/// The names that the schema allows, if it is a choice of names.
pub(super) fn names(schema: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    let alternatives = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    for alternative in std::iter::once(schema).chain(alternatives) {
        let listed = alternative.get("enum").and_then(Value::as_array).into_iter().flatten();
        names.extend(listed.chain(alternative.get("const")).filter_map(Value::as_str));
    }
    names
}

/// The alternative of the schema that has the value's type.
pub(super) fn fitting<'s>(schema: &'s Value, value: &DeValue<'_>) -> Option<&'s Value> {
    if let Some(alternatives) = schema.get("anyOf").and_then(Value::as_array) {
        return alternatives.iter().find_map(|alternative| fitting(alternative, value));
    }
    let wanted =
        if names(schema).is_empty() { schema.get("type").and_then(Value::as_str) } else { Some("string") };
    let fits = match value {
        DeValue::String(_) => wanted == Some("string"),
        DeValue::Integer(_) => matches!(wanted, Some("integer" | "number")),
        DeValue::Float(_) => wanted == Some("number"),
        DeValue::Boolean(_) => wanted == Some("boolean"),
        DeValue::Array(_) => wanted == Some("array"),
        DeValue::Table(_) => wanted == Some("object"),
        DeValue::Datetime(_) => false,
    };
    fits.then_some(schema)
}

/// Message and hint for a value of another type.
pub(super) fn wrong_type(schema: &Value, value: &DeValue<'_>, path: &str) -> (String, String) {
    let expected = expected(schema);
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let (found, hint) = match value {
        DeValue::String(text) => {
            let hint = match kind {
                "integer" if text.parse::<i64>().is_ok() => format!("write {text} without quotes"),
                "number" if text.parse::<f64>().is_ok() => format!("write {text} without quotes"),
                "boolean" if matches!(text.as_ref(), "true" | "false") => {
                    format!("write {text} without quotes")
                }
                "array" => format!("write [\"{}\"]", shown(text)),
                _ => String::new(),
            };
            (format!("the string \"{}\"", shown(text)), hint)
        }
        DeValue::Integer(number) => {
            let hint = if kind == "string" { format!("write \"{number}\"") } else { String::new() };
            (format!("the number {number}"), hint)
        }
        DeValue::Float(number) => (format!("the number {}", number.as_str()), String::new()),
        DeValue::Boolean(flag) => (flag.to_string(), String::new()),
        DeValue::Datetime(time) => (format!("the time {time}"), "write it as a string, in quotes".to_owned()),
        DeValue::Array(_) => ("an array".to_owned(), String::new()),
        DeValue::Table(_) => ("a table".to_owned(), String::new()),
    };
    let hint = match kind {
        "object" if hint.is_empty() => format!("write a table: [{}]", shown(path)),
        _ => hint,
    };
    (format!("`{path}` must be {expected}; found {found}"), hint)
}

/// What the schema wants, in words.
fn expected(schema: &Value) -> String {
    if schema.get("format").is_some_and(|format| format == "command") {
        return "a command (an array of strings, or a string)".to_owned();
    }
    if let Some(alternatives) = schema.get("anyOf").and_then(Value::as_array) {
        return alternatives.iter().map(expected).collect::<Vec<_>>().join(" or ");
    }
    let names = names(schema);
    if !names.is_empty() {
        return listed(&names, "or");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => "a string".to_owned(),
        Some("integer") => "a whole number".to_owned(),
        Some("number") => "a number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("object") => "a table".to_owned(),
        Some("array") => match schema.pointer("/items/type").and_then(Value::as_str) {
            Some("string") => "an array of strings".to_owned(),
            Some("object") => "an array of tables".to_owned(),
            _ => "an array".to_owned(),
        },
        _ => "something else".to_owned(),
    }
}

/// Stands for an element that does not fit.
pub(super) fn empty(schema: &Value) -> Value {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => Value::Object(Map::new()),
        _ => Value::String(String::new()),
    }
}

/// The least and the greatest number that the schema allows.
pub(super) fn range(schema: &Value) -> (Option<f64>, Option<f64>) {
    let limit = |name| schema.get(name).and_then(Value::as_f64);
    let of_type = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => Some(f64::from(u8::MAX)),
        Some("uint16") => Some(f64::from(u16::MAX)),
        Some("uint32") => Some(f64::from(u32::MAX)),
        _ => None,
    };
    (limit("minimum"), limit("maximum").or(of_type))
}

/// A range in words.
pub(super) fn range_words(least: Option<f64>, most: Option<f64>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!("between {least} and {most}"),
        (Some(least), None) => format!("{least} or more"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => "a number that can be counted with".to_owned(),
    }
}
