//! Answers: JSON, and errors as `{code, message, hint}`.

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use crate::api::ApiError;

/// What browsers are told with every answer: to guess no types, to tell nobody where a link came from, to let no
/// other page show or load it.
const ALWAYS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];

/// A value as an answer.
pub fn json(status: StatusCode, value: &Value) -> Response {
    text(status, "application/json", value.to_string())
}

/// A text as an answer; what is true now is not kept.
pub fn text(status: StatusCode, kind: &'static str, text: String) -> Response {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Adds what every answer has.
pub fn finish(mut answer: Response) -> Response {
    for (name, value) in ALWAYS {
        let name = HeaderName::from_static(name);
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
}

/// A refusal of this door's own.
pub fn refused(status: StatusCode, code: &str, message: &str, hint: &str) -> Response {
    json(status, &json!({"code": code, "message": message, "hint": hint, "retryable": false}))
}

/// A method that the path does not have.
pub fn no_such_method(method: &str, allowed: &'static str, hint: &str) -> Response {
    let message = format!("{method} is not for this path");
    let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", &message, hint);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Without the token.
pub fn unknown(message: &str) -> Response {
    let hint = "kapell serve printed where the token lies: send it as Authorization: Bearer TOKEN";
    let mut answer = refused(StatusCode::UNAUTHORIZED, "unauthorized", message, hint);
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kapell\""));
    answer
}

/// An error of the contract.
pub fn error(error: &ApiError) -> Response {
    let mut told = json!({"code": error.kind, "message": error.message, "hint": error.hint, "retryable": error.retryable});
    if let (Value::Object(told), Value::Object(data)) = (&mut told, error.data()) {
        for (name, fact) in data {
            if name != "kind" {
                told.entry(name).or_insert(fact);
            }
        }
    }
    let mut answer = json(status_of(error.kind), &told);
    if error.kind == "busy" {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// The status of an error of that kind.
fn status_of(kind: &str) -> StatusCode {
    match kind {
        "not-found" | "unknown-method" => StatusCode::NOT_FOUND,
        "invalid-params" | "bad-path" | "plan-invalid" => StatusCode::BAD_REQUEST,
        "not-allowed" => StatusCode::FORBIDDEN,
        "rate-limited" => StatusCode::TOO_MANY_REQUESTS,
        "busy" => StatusCode::SERVICE_UNAVAILABLE,
        "conflict" | "duplicate-plan" | "protected-worker" | "over-budget" | "stale-claim"
        | "unsupported" => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::refusal::{Code, Refusal};

    #[test]
    fn every_refusal_has_a_status_of_its_own_fault() {
        for code in Code::ALL {
            let error = ApiError::from(Refusal::new(code, "no", "do otherwise"));
            let status = status_of(error.kind);
            let is_ours = matches!(code, Code::StateNewer | Code::StoreDamaged);
            assert_eq!(status.is_server_error(), is_ours || code == Code::Busy, "{} {status}", error.kind);
        }
        assert_eq!(status_of(ApiError::bug("x").kind), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
