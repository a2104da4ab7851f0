//! A client of `kapell mcp`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::{Bench, KAPELL};

/// An MCP server at the project, spoken to line by line.
pub struct Mcp {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Mcp {
    /// Opens it in the project.
    pub fn open(bench: &Bench) -> Self {
        let mut child =
            bench.command(KAPELL).arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Value) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    /// The next line.
    pub fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The legacy handshake of a client with these capabilities.
    pub fn greet(&mut self, capabilities: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "test", "version": "1"}}}));
        self.next();
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    /// Calls a tool.
    pub fn call(&mut self, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}));
    }
}

impl Drop for Mcp {
    fn drop(&mut self) {
        // Its input closes, and it ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
