//! JSON-RPC in the body of a request: it is read as a line of `kapell rpc` is. jsonrpsee takes what has an id
//! that it does not know (-1, 1.5) for a notification, and its own errors have neither kind nor hint; so each
//! request is handed on under its place as id, and is answered under its own.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::ApiError;
use crate::api::message::{self, Id, Line, Message};

/// The messages of a body.
pub struct Posted {
    is_batch: bool,
    places: Vec<Place>,
}

/// What becomes of a message.
enum Place {
    /// It cannot be read, and this is its answer.
    Refused(Id, ApiError),
    /// It is handed on, and its answer belongs to this id.
    Asked(Id),
    /// It is handed on, and not answered.
    Told,
}

impl Posted {
    /// Reads a body. Also what is to be handed on, if anything is.
    pub fn read(body: &[u8]) -> (Self, Option<Vec<u8>>) {
        let (is_batch, messages) = match message::read(body) {
            Some(Line::One(message)) => (false, vec![message]),
            Some(Line::Batch(messages)) => (true, messages),
            None => (false, vec![Err(message::empty())]),
        };
        let mut handed = Vec::new();
        let place = |(at, message): (usize, Message)| {
            let request = match message {
                Ok(request) => request,
                Err((id, error)) => return Place::Refused(id, error),
            };
            let params = match (request.params, &request.id) {
                (Ok(params), _) => params,
                (Err(_), None) => return Place::Told,
                (Err(error), Some(id)) => return Place::Refused(id.clone(), error),
            };
            let mut asked = json!({"jsonrpc": "2.0", "method": request.method, "params": params});
            if request.id.is_some() {
                asked["id"] = json!(at);
            }
            handed.push(asked);
            request.id.map_or(Place::Told, Place::Asked)
        };
        let places = messages.into_iter().enumerate().map(place).collect();
        let handed = match (is_batch, handed.pop()) {
            (_, None) => None,
            (false, Some(one)) => Some(one.to_string().into_bytes()),
            (true, Some(last)) => {
                handed.push(last);
                Some(Value::Array(handed).to_string().into_bytes())
            }
        };
        (Self { is_batch, places }, handed)
    }

    /// The answer, if there is one, with what those answered to whom it was handed.
    pub fn answer(self, given: &[u8]) -> Option<String> {
        let mut given = match Given::read(given) {
            Ok(given) => given,
            // About the batch as a whole, such as that its answer is too long.
            Err(whole) => return Some(whole),
        };
        let answers = self.places.into_iter().enumerate().filter_map(|(at, place)| match place {
            Place::Told => None,
            Place::Refused(id, error) => Some(message::response(&id, &Err(error))),
            Place::Asked(id) => Some(given.take(at, &id)),
        });
        let mut answers: Vec<String> = answers.collect();
        match (self.is_batch, answers.is_empty()) {
            (_, true) => None,
            (false, _) => answers.pop(),
            (true, _) => Some(format!("[{}]", answers.join(","))),
        }
    }
}

/// Answers by the ids under which the requests were handed on: the field, `result` or `error`, and its value.
pub struct Given(HashMap<usize, (&'static str, Box<RawValue>)>);

impl Given {
    /// The answer to a request that was handed on by itself under the id 0, under its own.
    pub fn one(answer: &RawValue, id: &Id) -> String {
        match Self::read(answer.get().as_bytes()) {
            Ok(mut given) => given.take(0, id),
            Err(whole) => whole,
        }
    }

    fn read(given: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(given).unwrap_or_default().trim();
        let all: Vec<Box<RawValue>> = if text.starts_with('[') {
            serde_json::from_str(text).unwrap_or_default()
        } else {
            serde_json::from_str(text).into_iter().collect()
        };
        let mut answers = HashMap::new();
        for answer in &all {
            let Ok(mut fields) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(answer.get()) else {
                continue;
            };
            let Some(at) = fields.get("id").and_then(|id| id.get().parse().ok()) else {
                return Err(answer.get().to_owned());
            };
            for name in ["result", "error"] {
                if let Some(value) = fields.remove(name) {
                    answers.insert(at, (name, value));
                }
            }
        }
        Ok(Self(answers))
    }

    fn take(&mut self, at: usize, id: &Id) -> String {
        match self.0.remove(&at) {
            Some((name, value)) => format!(r#"{{"jsonrpc":"2.0","id":{id},"{name}":{value}}}"#),
            None => message::response(id, &Err(ApiError::bug("a request was not answered"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_under_their_own_ids_in_their_order() {
        let body =
            br#"[{"jsonrpc":"2.0","id":-1,"method":"a"},{"jsonrpc":"2.0","method":"b","params":{"x":1}},7,
            {"jsonrpc":"2.0","id":"s","method":"c","params":[1]},{"jsonrpc":"2.0","id":1.50,"method":"d"}]"#;
        let (posted, handed) = Posted::read(body);
        let handed: Value = serde_json::from_slice(&handed.unwrap()).unwrap();
        assert_eq!(
            handed,
            json!([
                {"jsonrpc": "2.0", "id": 0, "method": "a", "params": {}},
                {"jsonrpc": "2.0", "method": "b", "params": {"x": 1}},
                {"jsonrpc": "2.0", "id": 4, "method": "d", "params": {}},
            ])
        );
        let given =
            br#"[{"jsonrpc":"2.0","id":4,"error":{"code":-32601}},{"jsonrpc":"2.0","id":0,"result":[1, 2]}]"#;
        let answer = posted.answer(given).unwrap();
        assert!(answer.starts_with(
            r#"[{"jsonrpc":"2.0","id":-1,"result":[1, 2]},{"jsonrpc":"2.0","id":null,"error":"#
        ));
        assert!(answer.ends_with(r#"{"jsonrpc":"2.0","id":1.50,"error":{"code":-32601}}]"#), "{answer}");
        assert!(answer.contains(r#""id":"s","error":{"code":-32602"#), "{answer}");
    }

    #[test]
    fn what_has_no_answer_has_none_and_what_is_about_all_is_passed_on() {
        let (posted, handed) = Posted::read(br#"{"jsonrpc":"2.0","method":"a"}"#);
        assert!(handed.is_some());
        assert_eq!(posted.answer(b""), None);
        for (body, code) in [
            ("", -32700),
            ("{", -32700),
            ("null", -32600),
            ("[]", -32600),
            (r#"{"jsonrpc":"2.0","id":{}}"#, -32600),
        ] {
            let (posted, handed) = Posted::read(body.as_bytes());
            assert!(handed.is_none());
            let answer: Value = serde_json::from_str(&posted.answer(b"").unwrap()).unwrap();
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(code)), "{body}");
            assert!(answer["error"]["data"]["hint"].is_string());
        }
        let (posted, _) = Posted::read(br#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#);
        let whole = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32011}}"#;
        assert_eq!(posted.answer(whole.as_bytes()).as_deref(), Some(whole));
    }
}
