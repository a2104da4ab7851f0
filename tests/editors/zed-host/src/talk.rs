//! A server that was started, and what is said with it: JSON-RPC as editors frame it, or a line each.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::zed::{Command, Env};

/// Until then whatever is waited for must have come.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
pub enum Framing {
    /// `Content-Length: N`, an empty line, N bytes.
    Lsp,
    /// A line each.
    Mcp,
}

pub struct Talk {
    child: Child,
    stdin: Option<ChildStdin>,
    messages: Receiver<Value>,
    framing: Framing,
    last_id: i64,
    /// What a server may ask for by `workspace/configuration`.
    pub configuration: Value,
    /// The newest diagnostics of each file.
    diagnostics: HashMap<String, Vec<Value>>,
    /// Everything else that was told, in order.
    pub told: Vec<Value>,
}

impl Talk {
    /// Starts a command in a folder, with `around` for what is inherited.
    pub fn start(command: &Command, folder: &Path, around: &Env, framing: Framing) -> Result<Self> {
        let mut child = std::process::Command::new(&command.command)
            .args(&command.args)
            .current_dir(folder)
            .env_clear()
            .envs(around.iter().cloned())
            .envs(command.env.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.command))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let stdin = child.stdin.take();
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            // The end of the output ends the channel, which is how the other side learns of it.
            while let Ok(Some(message)) = read(&mut stdout, framing) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            stdin,
            messages,
            framing,
            last_id: 0,
            configuration: json!({}),
            diagnostics: HashMap::new(),
            told: Vec::new(),
        })
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        let text = message.to_string();
        let stdin = self.stdin.as_mut().context("it was ended")?;
        match self.framing {
            Framing::Lsp => write!(stdin, "Content-Length: {}\r\n\r\n{text}", text.len())?,
            Framing::Mcp => writeln!(stdin, "{text}")?,
        }
        Ok(stdin.flush()?)
    }

    pub fn notify(&mut self, method: &str, params: Value) -> Result<()> {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }

    pub fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.next(end).with_context(|| format!("no answer to {method}"))?;
            if let Some(answer) = answer
                && answer["id"] == id
            {
                ensure!(answer.get("error").is_none(), "{method} is refused: {answer}");
                return Ok(answer["result"].clone());
            }
        }
    }

    /// Waits until what came is as wanted.
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !wanted(self) {
            self.next(end).with_context(|| format!("waited in vain for {what}; told was {:?}", self.told))?;
        }
        Ok(())
    }

    /// Waits until the diagnostics of a file are as wanted.
    pub fn diagnostics(
        &mut self,
        uri: &str,
        what: &str,
        wanted: impl Fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let now = self.diagnostics.get(uri);
            if let Some(now) = now.filter(|now| wanted(now)) {
                return Ok(now.clone());
            }
            let is = format!("{now:?}");
            self.next(end).with_context(|| format!("waited in vain for {what}; there is {is}"))?;
        }
    }

    /// The next answer, or nothing where it was something else, which is kept or answered here.
    fn next(&mut self, end: Instant) -> Result<Option<Value>> {
        let message = match self.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => bail!("nothing more comes"),
            Err(RecvTimeoutError::Disconnected) => bail!("the server ended"),
        };
        let Some(method) = message["method"].as_str() else { return Ok(Some(message)) };
        if let Some(id) = message.get("id") {
            let answer = match (method, message["params"]["items"].as_array()) {
                ("workspace/configuration", Some(items)) => {
                    items.iter().map(|item| self.section(item)).collect()
                }
                _ => Value::Null,
            };
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": answer});
            self.send(&answer)?;
        } else if method == "textDocument/publishDiagnostics" {
            let uri = message["params"]["uri"].as_str().unwrap_or_default().to_owned();
            let all = message["params"]["diagnostics"].as_array().cloned().unwrap_or_default();
            self.diagnostics.insert(uri, all);
        } else {
            self.told.push(message);
        }
        Ok(None)
    }

    fn section(&self, item: &Value) -> Value {
        match item["section"].as_str() {
            Some(section) => self.configuration[section].clone(),
            None => self.configuration.clone(),
        }
    }

    /// Closes its input, after a goodbye in the language servers' way, and waits for its end.
    pub fn end(mut self) -> Result<()> {
        if matches!(self.framing, Framing::Lsp) {
            self.request("shutdown", Value::Null)?;
            self.notify("exit", Value::Null)?;
        }
        self.stdin = None;
        let end = Instant::now() + PATIENCE;
        loop {
            match self.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("it does not end"),
            }
        }
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Of one that has ended already there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(from: &mut BufReader<ChildStdout>, framing: Framing) -> Result<Option<Value>> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        match (framing, line.strip_prefix("Content-Length: ")) {
            (Framing::Mcp, _) => return Ok(Some(serde_json::from_str(line)?)),
            (Framing::Lsp, Some(number)) => length = Some(number.parse::<usize>()?),
            (Framing::Lsp, None) if line.is_empty() => break,
            (Framing::Lsp, None) => {}
        }
    }
    let mut body = vec![0; length.context("a message without a length")?];
    from.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}
