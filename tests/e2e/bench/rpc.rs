//! `kapell rpc` as a client sees it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::{Bench, DEADLINE, KAPELL};

/// A door that is open.
pub struct Rpc {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    last: u64,
}

/// An error that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Its kind, such as `not-found`.
    pub kind: String,
    /// The sentence.
    pub message: String,
    /// Everything else.
    pub data: Value,
}

impl Rpc {
    /// Opens a door in the project.
    pub fn open(bench: &Bench) -> Self {
        let log =
            std::fs::File::options().create(true).append(true).open(bench.root.join("rpc.log")).unwrap();
        let mut child = bench
            .command(KAPELL)
            .arg("rpc")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(line) = line else { return };
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines, last: 0 }
    }

    /// Sends a call without waiting for its answer.
    #[expect(clippy::needless_pass_by_value, reason = "it is made for the call")]
    pub fn send(&mut self, method: &str, params: Value) {
        self.last += 1;
        let call = json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        writeln!(self.stdin.as_mut().unwrap(), "{call}").unwrap();
    }

    /// The answer to the last call.
    #[track_caller]
    pub fn answer(&mut self) -> Result<Value, Refusal> {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let mut line = line.unwrap_or_else(|error| panic!("no answer to call {}: {error}", self.last));
            if line["id"] != self.last {
                continue;
            }
            if line["error"].is_null() {
                return Ok(line["result"].take());
            }
            let mut error = line["error"].take();
            return Err(Refusal {
                kind: error["data"]["kind"].as_str().unwrap_or_default().to_owned(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                data: error["data"].take(),
            });
        }
    }

    /// Calls and waits for the answer.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, Refusal> {
        self.send(method, params);
        self.answer()
    }

    /// Calls what must succeed.
    #[track_caller]
    pub fn ok(&mut self, method: &str, params: Value) -> Value {
        let shown = params.to_string();
        self.call(method, params).unwrap_or_else(|refusal| panic!("{method} {shown}: {refusal:#?}"))
    }

    /// Calls what must be refused.
    #[track_caller]
    pub fn refused(&mut self, method: &str, params: Value) -> Refusal {
        match self.call(method, params) {
            Ok(result) => panic!("{method} was not refused: {result:#}"),
            Err(refusal) => refusal,
        }
    }

    /// The events of the subscription, up to the first that is as wanted.
    #[track_caller]
    pub fn events_until(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        while !events.last().is_some_and(&is_last) {
            let line = self.lines.recv_timeout(DEADLINE);
            let mut line = line.unwrap_or_else(|error| panic!("{error} after {events:#?}"));
            if line["method"] == "events.event" {
                events.push(line["params"]["event"].take());
            }
        }
        events
    }

    /// Kills it as the kernel would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.stdin.take());
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
