//! A result as short text, for clients that show a model the text instead of the
//! structured content, and for people.

use serde_json::{Map, Value};

use crate::api::ApiError;

/// Longest text in bytes; the structured content beside it has the rest.
const LONGEST: usize = 8 * 1024;

/// The facts of a result, one a line: `name: value`, and for lists of objects a line
/// each, `- name=value name=value`. What is empty is left out.
pub fn of_result(result: &Value) -> String {
    let mut text = String::new();
    match result {
        Value::Object(fields) => write_fields(&mut text, fields),
        other => text.push_str(&word(other)),
    }
    if text.is_empty() {
        text.push_str("nothing");
    }
    capped(text.trim_end())
}

/// What went wrong and what to do.
pub fn of_error(error: &ApiError) -> String {
    if error.hint.is_empty() {
        return capped(&error.message);
    }
    capped(&format!("{}\n{}", error.message, error.hint))
}

fn write_fields(text: &mut String, fields: &Map<String, Value>) {
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::Array(items) if items.is_empty() => {}
            Value::Array(items) if items.iter().any(Value::is_object) => {
                text.push_str(&format!("{name} ({}):\n", items.len()));
                for item in items {
                    text.push_str(&format!("- {}\n", row(item)));
                }
            }
            // Multi-line text is for reading, so it is not squeezed into one line.
            Value::String(said) => text.push_str(&format!("{name}: {}\n", said.trim_end())),
            other => text.push_str(&format!("{name}: {}\n", row(other))),
        }
    }
}

/// A value on one line: objects as `name=value`, lists with commas.
fn row(value: &Value) -> String {
    let separated = |items: Vec<String>, separator: &str| items.join(separator);
    match value {
        Value::Object(fields) => {
            let shown = fields.iter().filter(|(_, value)| !is_empty(value));
            separated(shown.map(|(name, value)| format!("{name}={}", nested(value))).collect(), " ")
        }
        Value::Array(items) => separated(items.iter().map(nested).collect(), ", "),
        other => word(other),
    }
}

/// A value within a row.
fn nested(value: &Value) -> String {
    match value {
        Value::Object(_) => format!("{{{}}}", row(value)),
        Value::Array(_) => format!("[{}]", row(value)),
        other => word(other),
    }
}

/// A text, number or truth value; quoted where its end would not be seen.
fn word(value: &Value) -> String {
    match value {
        Value::String(text)
            if !text.is_empty()
                && !text.contains(|c: char| {
                    c.is_whitespace()
                        || c.is_control()
                        || matches!(c, '"' | '=' | ',' | '[' | ']' | '{' | '}')
                }) =>
        {
            text.clone()
        }
        other => other.to_string(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The whole lines that fit, and how many did not.
fn capped(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(LONGEST);
    let end = text[..end].rfind('\n').unwrap_or(end);
    let more = text[end..].trim_start_matches('\n').lines().count();
    format!("{}\n… {more} more lines", &text[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_become_short_lines() {
        let table = [
            (json!({}), "nothing"),
            (json!({"granted": true, "claims": [], "note": null}), "granted: true"),
            (
                json!({"granted": false, "conflicts": [
                    {"pattern": "a b", "holder": "ann", "reason": null, "task": "p/1"},
                    {"pattern": "c", "holder": "bob=x", "n": 1.5}]}),
                "granted: false\nconflicts (2):\n- pattern=\"a b\" holder=ann task=p/1\n- pattern=c holder=\"bob=x\" n=1.5",
            ),
            (json!({"waves": [[1, "two"], [3]], "released": [4, 5]}), "waves: [1, two], [3]\nreleased: 4, 5"),
            (
                json!({"workers": {"busy": 1, "idle": 0}, "task": "one\ntwo\n"}),
                "workers: busy=1 idle=0\ntask: one\ntwo",
            ),
            (
                json!({"plans": [{"name": "x", "conductor": {"id": "c", "pid": 1}, "tags": ["a"]}]}),
                "plans (1):\n- name=x conductor={id=c pid=1} tags=[a]",
            ),
            // What a worker or a file name says cannot look like a line of ours.
            (json!({"events": [{"text": "x\ngranted: true"}]}), "events (1):\n- text=\"x\\ngranted: true\""),
        ];
        for (result, expected) in table {
            assert_eq!(of_result(&result), expected);
        }
    }

    #[test]
    fn long_results_are_cut_at_a_line() {
        let rows: Vec<Value> = (0..1000).map(|n| json!({"claim_id": n, "pattern": "é".repeat(20)})).collect();
        let text = of_result(&json!({"claims": rows}));
        assert!(text.len() <= LONGEST + 30);
        let (shown, more) = text.rsplit_once("\n… ").unwrap();
        let shown = shown.lines().count() - 1;
        assert_eq!(more, format!("{} more lines", 1000 - shown));
        assert!(of_result(&json!({"said": "é".repeat(LONGEST)})).ends_with("\n… 1 more lines"));
    }

    #[test]
    fn an_error_says_what_to_do() {
        assert_eq!(of_error(&ApiError::invalid_params("no", "yes")), "no\nyes");
        assert_eq!(of_error(&ApiError::invalid_params("no", "")), "no");
    }
}
