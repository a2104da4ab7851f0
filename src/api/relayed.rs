//! A call made inside a worker's wall: asked through its shim, answered outside.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::path::Path;

use serde_json::{Value, json};

use super::error::ApiError;
use crate::domain::refusal::{Code, Refusal};
use crate::sys::shim::job::Door;
use crate::sys::shim::relay;

/// Calls a method of the table by way of the shim that listens on `socket`.
pub fn call(socket: &Path, method: &str, params: &Value) -> Result<Value, ApiError> {
    let mut answer = ask(socket, method, params).map_err(|error| unreachable(socket, &error))?;
    if answer["error"].is_null() { Ok(answer["result"].take()) } else { Err(error_of(&answer["error"])) }
}

fn ask(socket: &Path, method: &str, params: &Value) -> io::Result<Value> {
    let mut stream = relay::connect(socket, Door::Rpc)?;
    let mut line = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    // Kept open until the answer is here: the end of its input ends what a call waits for.
    if BufReader::new(&stream).read_line(&mut answer)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let _ = stream.shutdown(Shutdown::Both);
    Ok(serde_json::from_str(&answer)?)
}

fn unreachable(socket: &Path, error: &io::Error) -> ApiError {
    Refusal::new(
        Code::Busy,
        format!("the way out of the wall by {} is closed: {error}", socket.display()),
        "finish what is begun; what this attempt changes is collected when it ends",
    )
    .into()
}

/// The error as the other side meant it.
fn error_of(error: &Value) -> ApiError {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (message, hint) = (text(&error["message"]), text(&error["data"]["hint"]));
    let kind = error["data"]["kind"].as_str().unwrap_or_default();
    match Code::parse(kind) {
        Some(code) => Refusal::new(code, message, hint).into(),
        None if kind == "invalid-params" => ApiError::invalid_params(message, hint),
        None if kind == "system" => {
            ApiError { kind: "system", hint, retryable: true, ..ApiError::bug(message) }
        }
        None => ApiError { hint, ..ApiError::bug(message) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_same_on_both_sides() {
        let errors = [
            ApiError::from(Refusal::new(Code::NotAllowed, "no", "ask")),
            ApiError::from(Refusal::new(Code::Usage, "no", "ask")),
            ApiError::from(Refusal::new(Code::StoreDamaged, "no", "ask")),
            ApiError::bug("broken"),
        ];
        for error in errors {
            assert_eq!(error_of(&error.to_json()), error);
        }
    }
}
