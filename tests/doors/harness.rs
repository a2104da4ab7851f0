//! A house and a project of its own, and servers that are spoken to line by line.
//!
//! Nothing sleeps: whoever waits, waits for a line or an exit, with a deadline that only
//! a fault reaches.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Only a fault takes so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// A state folder and a project folder, removed in the end.
pub struct World {
    folder: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("project")).unwrap();
        Self { folder }
    }

    pub fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// `kapell DOOR` in the project, with nothing in the environment but these.
    pub fn command(&self, door: &str, environment: &[(&str, &Path)]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the environment and the folder are set right here")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_kapell"));
        command.arg(door).current_dir(self.project()).env_clear();
        command.env("HOME", self.folder.path()).env("KAPELL_HOME", self.state());
        command.env("TMUX_TMPDIR", self.folder.path()).envs(environment.iter().copied());
        command
    }

    pub fn start(&self, door: &str) -> Server {
        Server::start(self.command(door, &[]))
    }

    pub fn rpc(&self) -> Server {
        self.start("rpc")
    }

    /// An MCP server after the legacy handshake with a client of that name.
    pub fn mcp(&self, name: &str) -> Server {
        let mut server = self.start("mcp");
        server.initialize(name);
        server
    }
}

/// A running server. Dropped, it is killed.
pub struct Server {
    input: Option<Box<dyn Write + Send>>,
    lines: Receiver<Value>,
    exit: Receiver<(ExitStatus, String)>,
    pid: Pid,
    next_id: i64,
    ended: bool,
}

impl Server {
    /// Over pipes.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let input: ChildStdin = child.stdin.take().unwrap();
        let output = child.stdout.take().unwrap();
        Self::over(child, Box::new(input), output)
    }

    /// Over socket pairs, as Node starts its children.
    pub fn start_over_sockets(mut command: Command) -> Self {
        let (ours_in, theirs_in) = UnixStream::pair().unwrap();
        let (ours_out, theirs_out) = UnixStream::pair().unwrap();
        let child = command
            .stdin(OwnedFd::from(theirs_in))
            .stdout(OwnedFd::from(theirs_out))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(command);
        Self::over(child, Box::new(ours_in), ours_out)
    }

    fn over(
        mut child: std::process::Child,
        input: Box<dyn Write + Send>,
        output: impl Read + Send + 'static,
    ) -> Self {
        let pid = Pid::from_child(&child);
        let mut stderr = child.stderr.take().unwrap();
        let (line_sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n') {
                let Ok(line) = line else { return };
                let value = serde_json::from_slice(&line).unwrap_or_else(|error| {
                    panic!("stdout is the protocol: {error}: {}", String::from_utf8_lossy(&line))
                });
                if line_sender.send(value).is_err() {
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
        Self { input: Some(input), lines, exit, pid, next_id: 100, ended: false }
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub fn send(&mut self, message: &Value) {
        self.send_bytes(format!("{message}\n").as_bytes());
    }

    /// Sends a request and gives its id.
    pub fn ask(&mut self, method: &str, params: &Value) -> i64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    pub fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// The next line.
    pub fn next(&self) -> Value {
        self.lines.recv_timeout(DEADLINE).expect("a line")
    }

    /// The next line, while something is stirred again and again until there is one.
    pub fn next_while(&self, mut stir: impl FnMut(u32)) -> Value {
        let begun = Instant::now();
        for number in 0.. {
            stir(number);
            match self.lines.try_recv() {
                Ok(line) => return line,
                Err(_) => assert!(begun.elapsed() < DEADLINE, "no line"),
            }
        }
        unreachable!("it counts for ever")
    }

    /// The next answer to that request; everything else before it is given to `other`.
    pub fn answer_among(&self, id: i64, mut other: impl FnMut(Value)) -> Value {
        loop {
            let line = self.next();
            if line["id"] == id {
                return line;
            }
            other(line);
        }
    }

    /// Asks, and gives the answer, which must be the next line.
    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.ask(method, params);
        self.answer_among(id, |line| panic!("unexpected: {line}"))
    }

    /// The result of a call that must succeed.
    pub fn result(&mut self, method: &str, params: &Value) -> Value {
        let mut answer = self.call(method, params);
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].take()
    }

    /// What a tool answers with, a refusal or not.
    pub fn tool(&mut self, name: &str, arguments: &Value) -> Value {
        let mut result = self.result("tools/call", &json!({"name": name, "arguments": arguments}));
        result["structuredContent"].take()
    }

    /// The legacy handshake.
    pub fn initialize(&mut self, name: &str) -> Value {
        let result = self.result(
            "initialize",
            &json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": name, "version": "1"}}),
        );
        self.notify("notifications/initialized", &json!({}));
        result
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Kills it and waits for its end.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        let (status, _) = self.exit.recv_timeout(DEADLINE).expect("an exit");
        self.ended = true;
        assert_eq!(status.code(), None, "{status}");
    }

    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits for the end, which must be a good one, and gives the lines that were not read yet.
    pub fn end(mut self) -> Vec<Value> {
        let (status, said) = self.exit.recv_timeout(DEADLINE).expect("an exit");
        self.ended = true;
        assert_eq!(status.code(), Some(0), "{status}: {said}");
        assert_eq!(said, "", "nothing to complain about");
        self.lines.iter().collect()
    }

    /// Closes its input and waits for a good end with nothing unread.
    pub fn finish(mut self) {
        self.close_input();
        assert_eq!(self.end(), Vec::<Value>::new());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.ended {
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}
