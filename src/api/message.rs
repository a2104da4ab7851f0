//! JSON-RPC 2.0 messages: what a line asks, and what is answered. Ids are kept as they
//! were written, so that `1.0` is answered with `1.0`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::ApiError;

/// A batch of more messages than this is refused as a whole.
const MOST_IN_BATCH: usize = 10_000;

/// The parameters of a method that is not in the table.
///
/// # Errors
/// They do not fit it.
pub fn params_of<P: DeserializeOwned>(method: &str, params: &Value) -> Result<P, ApiError> {
    P::deserialize(params).map_err(|error| {
        ApiError::invalid_params(format!("{method}: {error}"), "rpc.discover describes the parameters")
    })
}

/// A result as it is sent.
///
/// # Errors
/// It is no JSON, which is a bug.
pub fn written(result: impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(result).map_err(|error| ApiError::bug(error.to_string()))
}

/// What a line asks.
#[derive(Debug)]
pub enum Line {
    /// One message.
    One(Message),
    /// Several, to be answered together.
    Batch(Vec<Message>),
}

/// A request or notification, or why it is none.
pub type Message = Result<Request, (Id, ApiError)>;

/// A request, or a notification if it has no id.
#[derive(Debug)]
pub struct Request {
    /// Its id; a notification has none and is never answered.
    pub id: Option<Id>,
    /// The method's name.
    pub method: String,
    /// The parameters, an object; or why they are none.
    pub params: Result<Value, ApiError>,
}

/// A request's id as it was written: a JSON string, number, or null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(String);

impl Id {
    /// The id of answers to what has none that can be read.
    pub fn null() -> Self {
        Self("null".to_owned())
    }

    /// The id as a value, for comparing.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a line; nothing if it is blank.
pub fn read(line: &[u8]) -> Option<Line> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return None;
    }
    let unreadable = |why: String| {
        Some(Line::One(Err((
            Id::null(),
            error(-32700, "parse-error", why, "send one JSON message a line, in UTF-8"),
        ))))
    };
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => return unreadable(format!("this is no UTF-8: {error}")),
    };
    if !text.starts_with('[') {
        return match serde_json::from_str::<&RawValue>(text) {
            Ok(message) => Some(Line::One(read_message(message))),
            Err(error) => unreadable(format!("this is no JSON: {error}")),
        };
    }
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(messages) if messages.is_empty() => {
            Some(Line::One(Err(invalid(Id::null(), "the batch is empty"))))
        }
        Ok(messages) if messages.len() > MOST_IN_BATCH => {
            let why = format!("the batch has {} messages, at most {MOST_IN_BATCH} are read", messages.len());
            Some(Line::One(Err(invalid(Id::null(), why))))
        }
        Ok(messages) => Some(Line::Batch(messages.into_iter().map(read_message).collect())),
        Err(error) => unreadable(format!("this is no JSON: {error}")),
    }
}

#[expect(
    clippy::result_large_err,
    reason = "an answer is built for nearly every message, so it is no rare path"
)]
fn read_message(message: &RawValue) -> Message {
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(message.get()) else {
        return Err(invalid(Id::null(), "a message is an object"));
    };
    let id = match fields.get("id").map(|id| id.get()) {
        None => None,
        // The syntax was looked at, and not yet whether it is half a letter or a number beyond all bounds.
        Some(id) => match serde_json::from_str::<Value>(id) {
            Ok(Value::String(_) | Value::Number(_) | Value::Null) => Some(Id(id.to_owned())),
            _ => return Err(invalid(Id::null(), "an id is a string, a number, or null")),
        },
    };
    let answered = || id.clone().unwrap_or_else(Id::null);
    let text = |name: &str| fields.get(name).and_then(|text| serde_json::from_str::<String>(text.get()).ok());
    if text("jsonrpc").as_deref() != Some("2.0") {
        return Err(invalid(answered(), "jsonrpc is not \"2.0\""));
    }
    let Some(method) = text("method") else {
        return Err(invalid(answered(), "the method is no string"));
    };
    let params = match fields.get("params").map(|params| params.get()) {
        None | Some("null") => Ok(Value::Object(serde_json::Map::new())),
        Some(params) if params.starts_with('{') => read_params(params, &method),
        Some(params) if params.starts_with('[') => match serde_json::from_str::<Vec<&RawValue>>(params) {
            Ok(values) if values.is_empty() => Ok(Value::Object(serde_json::Map::new())),
            _ => Err(ApiError::invalid_params(
                format!("{method}: the parameters are a list"),
                "send them by name, in an object",
            )),
        },
        Some(_) => return Err(invalid(answered(), "params is neither an object nor a list")),
    };
    Ok(Request { id, method, params })
}

/// The syntax was looked at; what may be wrong still is a number, an escape, or the depth.
fn read_params(params: &str, method: &str) -> Result<Value, ApiError> {
    serde_json::from_str(params).map_err(|error| {
        ApiError::invalid_params(
            format!("{method}: the parameters cannot be read: {error}"),
            "send plain values, nested no deeper than a hundred levels",
        )
    })
}

fn invalid(id: Id, why: impl Into<String>) -> (Id, ApiError) {
    let hint = r#"send {"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;
    (id, error(-32600, "invalid-request", why.into(), hint))
}

/// The answer to what is empty where a message is to be.
pub fn empty() -> (Id, ApiError) {
    (Id::null(), error(-32700, "parse-error", "there is no message".to_owned(), "send one JSON message"))
}

/// The answer to a line that was too long to be read.
pub fn too_long() -> (Id, ApiError) {
    invalid(Id::null(), "the line is longer than 16 MiB")
}

/// The answer to a batch whose answers are longer than `most` bytes together.
pub fn answer_too_long(most: u32) -> ApiError {
    let why = format!("the answers to this batch are longer than {most} bytes together");
    error(-32011, "too-long", why, "ask less at once")
}

fn error(code: i64, kind: &'static str, message: String, hint: &str) -> ApiError {
    ApiError { code, kind, message, hint: hint.to_owned(), retryable: false, facts: Vec::new(), exit_code: 2 }
}

/// An answer as JSON text.
pub fn response(id: &Id, outcome: &Result<Value, ApiError>) -> String {
    match outcome {
        Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
        Err(error) => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{}}}"#, error.to_json()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message in short: `id method params`, or `id code`.
    fn short(message: &Message) -> String {
        match message {
            Ok(request) => {
                let id = request.id.as_ref().map_or_else(|| "-".to_owned(), Id::to_string);
                let params = match &request.params {
                    Ok(params) => params.to_string(),
                    Err(error) => error.code.to_string(),
                };
                format!("{id} {} {params}", request.method)
            }
            Err((id, error)) => format!("{id} {}", error.code),
        }
    }

    fn shown(line: &[u8]) -> String {
        match read(line) {
            None => "nothing".to_owned(),
            Some(Line::One(message)) => short(&message),
            Some(Line::Batch(messages)) => messages.iter().map(short).collect::<Vec<_>>().join("; "),
        }
    }

    #[test]
    fn lines_are_read_as_the_standard_says() {
        let table: &[(&str, &str)] = &[
            ("", "nothing"),
            (" \t\r", "nothing"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#, "1 m {}"),
            ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}\r", "1 m {}"),
            ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}", "1 m {}"),
            // Ids come back as they were.
            (r#"{"jsonrpc":"2.0","id":1.50,"method":"m"}"#, "1.50 m {}"),
            (r#"{"jsonrpc":"2.0","id":-7,"method":"m"}"#, "-7 m {}"),
            (r#"{"jsonrpc":"2.0","id":1e3,"method":"m"}"#, "1e3 m {}"),
            (
                r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"m"}"#,
                "123456789012345678901234567890 m {}",
            ),
            (r#"{"jsonrpc":"2.0","id":"a\u0062","method":"m"}"#, r#""a\u0062" m {}"#),
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, "null m {}"),
            (r#"{"jsonrpc":"2.0","method":"m"}"#, "- m {}"),
            // Ids that are none.
            (r#"{"jsonrpc":"2.0","id":true,"method":"m"}"#, "null -32600"),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"m"}"#, "null -32600"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#, "null -32600"),
            (r#"{"jsonrpc":"2.0","id":"\ud800","method":"m"}"#, "null -32600"),
            (r#"{"jsonrpc":"2.0","id":1e999,"method":"m"}"#, "null -32600"),
            // Messages that are none.
            (r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#, "null -32600"),
            (r#"{"jsonrpc":"2.0","id":"x","method":1}"#, "\"x\" -32600"),
            (r#"{"id":4,"method":"m"}"#, "4 -32600"),
            (r#"{"jsonrpc":"1.0","id":4,"method":"m"}"#, "4 -32600"),
            (r#"{"jsonrpc":2.0,"id":4,"method":"m"}"#, "4 -32600"),
            (r#"{"jsonrpc":"2.0","id":4,"result":{}}"#, "4 -32600"),
            (r#"{"jsonrpc":"2.0","id":4,"method":"m","params":"bar"}"#, "4 -32600"),
            ("{}", "null -32600"),
            ("1", "null -32600"),
            ("null", "null -32600"),
            (r#""text""#, "null -32600"),
            // No JSON.
            (r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#, "null -32700"),
            ("{", "null -32700"),
            ("{} {}", "null -32700"),
            ("nan", "null -32700"),
            ("Content-Length: 10", "null -32700"),
            // Parameters.
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1}}"#, r#"1 m {"a":1}"#),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#, "1 m {}"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#, "1 m {}"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#, "1 m -32602"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1e999}}"#, "1 m -32602"),
            // Batches.
            ("[]", "null -32600"),
            ("[1,2]", "null -32600; null -32600"),
            ("[1,", "null -32700"),
            (
                r#" [{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"b"},{}]"#,
                "1 a {}; - b {}; null -32600",
            ),
        ];
        for (line, expected) in table {
            assert_eq!(&shown(line.as_bytes()), expected, "{line}");
        }
        assert_eq!(shown(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}"), "null -32700");
    }

    #[test]
    fn depth_and_number_have_a_limit() {
        let deep = |open: &str, close: &str| open.repeat(1_000_000) + &close.repeat(1_000_000);
        assert_eq!(shown(deep("[", "]").as_bytes()), "null -32600");
        assert_eq!(shown("[".repeat(1_000_000).as_bytes()), "null -32700");
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":{}}}}}"#, deep("[", "]"));
        assert_eq!(shown(line.as_bytes()), "1 m -32602");
        let many = format!("[{}]", vec!["1"; MOST_IN_BATCH + 1].join(","));
        assert_eq!(shown(many.as_bytes()), "null -32600");
    }
}
