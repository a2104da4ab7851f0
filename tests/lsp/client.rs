//! An editor: it speaks to `kapell lsp` in frames, and waits for messages with deadlines that only a
//! fault reaches.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Only a fault takes so long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The URI of a file.
pub fn uri(path: &Path) -> String {
    let mut text = "file://".to_owned();
    for byte in path.to_str().unwrap().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// An editor with its server. Dropped, the server is killed.
pub struct Editor {
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    exit: Receiver<(ExitStatus, String)>,
    pid: Pid,
    next_id: i64,
    /// What came and was not asked for yet.
    unread: VecDeque<Value>,
    ended: bool,
    /// What `initialize` was answered with.
    pub capabilities: Value,
}

impl Editor {
    /// Starts a server without a word to it.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let input = child.stdin.take();
        let (output, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = frame(&mut output) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let (exit_sender, exit) = channel();
        std::thread::spawn(move || {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).unwrap();
            let status = child.wait().unwrap();
            let _ = exit_sender.send((status, String::from_utf8_lossy(&said).into_owned()));
        });
        Self {
            input,
            messages,
            exit,
            pid,
            next_id: 0,
            unread: VecDeque::new(),
            ended: false,
            capabilities: Value::Null,
        }
    }

    /// The handshake.
    pub fn initialize(&mut self, params: Value) {
        let result = self.result("initialize", params);
        self.capabilities = result["capabilities"].clone();
        self.notify("initialized", json!({}));
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub fn send(&mut self, message: &Value) {
        let text = message.to_string();
        self.send_bytes(format!("Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Sends a request and gives its id.
    pub fn ask(&mut self, method: &str, params: Value) -> i64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// The answer to a request.
    pub fn answer(&mut self, id: i64) -> Value {
        self.wait_for(&format!("the answer to {id}"), |message| {
            message["id"] == id && message.get("method").is_none()
        })
    }

    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        self.answer(id)
    }

    /// The result of a request that must succeed.
    pub fn result(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.call(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// A command of the contract.
    pub fn command(&mut self, name: &str, argument: Value) -> Value {
        self.result("workspace/executeCommand", json!({"command": name, "arguments": [argument]}))
    }

    /// The first message that fits, whether it came before or comes yet. Requests of the server are answered
    /// on the way; what does not fit is kept.
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.unread.iter().position(&fits) {
            return self.unread.remove(at).unwrap();
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self
                .messages
                .recv_timeout(left)
                .unwrap_or_else(|error| panic!("{what}: {error}; there were {:#?}", self.unread));
            if message.get("method").is_some() && message.get("id").is_some() {
                self.send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": null}));
            }
            if fits(&message) {
                return message;
            }
            self.unread.push_back(message);
        }
    }

    /// The next notification of that method for which the parameters fit.
    pub fn told(&mut self, method: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(method, |message| message["method"] == method && fits(&message["params"]))["params"]
            .take()
    }

    /// The next diagnostics of a file that fit.
    pub fn diagnostics(&mut self, path: &Path, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let uri = uri(path);
        let told = self.told("textDocument/publishDiagnostics", |params| {
            params["uri"] == uri.as_str() && fits(params["diagnostics"].as_array().unwrap())
        });
        told["diagnostics"].as_array().unwrap().clone()
    }

    /// What came and was not asked for.
    pub fn unread(&self) -> impl Iterator<Item = &Value> {
        self.unread.iter()
    }

    pub fn open(&mut self, path: &Path, text: &str) {
        self.notify(
            "textDocument/didOpen",
            json!({"textDocument": {"uri": uri(path), "languageId": "x", "version": 1, "text": text}}),
        );
    }

    /// Replaces the whole text.
    pub fn change(&mut self, path: &Path, version: i32, text: &str) {
        self.notify(
            "textDocument/didChange",
            json!({"textDocument": {"uri": uri(path), "version": version}, "contentChanges": [{"text": text}]}),
        );
    }

    pub fn save(&mut self, path: &Path) {
        self.notify("textDocument/didSave", json!({"textDocument": {"uri": uri(path)}}));
    }

    pub fn close(&mut self, path: &Path) {
        self.notify("textDocument/didClose", json!({"textDocument": {"uri": uri(path)}}));
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Kills the server and waits until it is dead.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.exit.recv_timeout(DEADLINE).expect("an exit");
        self.ended = true;
    }

    /// Says good-bye as an editor does, and waits for a good end.
    pub fn finish(mut self) {
        self.result("shutdown", Value::Null);
        self.notify("exit", Value::Null);
        self.end();
    }

    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits for its end and gives its code.
    pub fn ended_with(mut self) -> Option<i32> {
        let (status, _) = self.exit.recv_timeout(DEADLINE).expect("an exit");
        self.ended = true;
        status.code()
    }

    /// Waits for a good end.
    pub fn end(mut self) -> String {
        let (status, said) = self.exit.recv_timeout(DEADLINE).expect("an exit");
        self.ended = true;
        assert_eq!(status.code(), Some(0), "{status}: {said}");
        said
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        if !self.ended {
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

/// The next message; nothing at the end of the output.
fn frame(output: &mut impl BufRead) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) =
            line.split_once(": ").unwrap_or_else(|| panic!("stdout is the protocol: {line:?}"));
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().unwrap());
        }
    }
    let mut body = vec![0; length.expect("a length")];
    output.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}
