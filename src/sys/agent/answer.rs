//! Answers that are to be one JSON object.

use std::path::PathBuf;

use serde_json::Value;

use super::launch::{Brief, Launch};

/// The JSON schema of a reviewer's verdict. Strict enough for every provider's structured
/// output: all members required, no others allowed.
pub fn verdict_schema() -> &'static str {
    r#"{"type":"object","properties":{"approve":{"type":"boolean","description":"Whether the work may land as it is."},"summary":{"type":"string","description":"Why, in a few sentences."},"findings":{"type":"array","items":{"type":"object","properties":{"text":{"type":"string"},"files":{"type":"array","items":{"type":"string"}},"severity":{"type":"string","enum":["high","medium","low"]}},"required":["text","files","severity"],"additionalProperties":false}}},"required":["approve","summary","findings"],"additionalProperties":false}"#
}

/// The prompt for agents that cannot be given a schema otherwise: it asks for the object in
/// words. Returns the text and the file of it, which is the brief's own where no answer is asked for.
pub(super) fn asked_in_words(brief: &Brief<'_>, launch: &mut Launch) -> (String, PathBuf) {
    let Some(schema) = brief.answer_schema else {
        return (brief.prompt.to_owned(), brief.prompt_file.to_path_buf());
    };
    let prompt = format!(
        "{}\n\nChange no file. End with one JSON object and nothing after it; it must fit this JSON schema:\n{schema}\n",
        brief.prompt.trim_end()
    );
    let file = brief.private.join("prompt-with-schema.md");
    launch.files.push((file.clone(), prompt.clone()));
    (prompt, file)
}

/// The last JSON object in a text, whether it is the whole of it, in a fence, or among words.
pub(super) fn last_object(text: &str) -> Option<Value> {
    // A text full of braces is no answer; this bounds the work on it.
    const MAX_TRIES: usize = 10_000;
    let mut found = None;
    let mut at = 0;
    for _ in 0..MAX_TRIES {
        let Some(brace) = text[at..].find('{') else { break };
        at += brace;
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(object)) => {
                at += values.byte_offset();
                found = Some(object);
            }
            _ => at += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_object_counts() {
        for (text, expected) in [
            (r#"{"a":1}"#, Some(r#"{"a":1}"#)),
            ("Here:\n```json\n{\"a\": {\"b\": \"}\"}}\n```\nDone.", Some(r#"{"a":{"b":"}"}}"#)),
            (r#"{"a":1} and then {"a":2}"#, Some(r#"{"a":2}"#)),
            (r#"{"a":1} {"b": unfinished"#, Some(r#"{"a":1}"#)),
            (r#"fn main() {} "#, Some("{}")),
            ("[1, 2]", None),
            ("ä{ö", None),
            ("", None),
        ] {
            assert_eq!(last_object(text).map(|object| object.to_string()).as_deref(), expected, "{text}");
        }
        assert_eq!(last_object(&"{".repeat(1 << 20)), None);
        assert_eq!(last_object(&"{\"a\":".repeat(1 << 18)), None);
    }

    #[test]
    fn the_verdict_is_strict_all_the_way_down() {
        fn check(schema: &Value) {
            if let Some(members) = schema["properties"].as_object() {
                assert_eq!(schema["additionalProperties"], false);
                let names: Vec<&str> = members.keys().map(String::as_str).collect();
                assert_eq!(schema["required"], Value::from(names));
                members.values().for_each(check);
            }
            if schema["items"].is_object() {
                check(&schema["items"]);
            }
        }
        let schema: Value = serde_json::from_str(verdict_schema()).expect("JSON");
        assert_eq!(schema["required"], serde_json::json!(["approve", "summary", "findings"]));
        check(&schema);
    }
}
