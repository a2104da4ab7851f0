//! A server that is spoken to by lines: the floor's, `kapell mcp`, `kapell rpc`, or the same methods
//! called within this process.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kapell::api::{Client, table};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::place::{FLOOR, KAPELL, Place};

/// A server that does not answer for so long is broken, which is no matter of speed.
const PATIENCE: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// A process that answers lines by lines.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    unread: Vec<u8>,
}

impl Server {
    /// Starts `kapell DOOR` in the place.
    pub fn kapell(place: &Place, door: &str) -> Result<Self> {
        Self::start(place, KAPELL, &[door])
    }

    /// Starts the server that only sends back.
    pub fn floor(place: &Place) -> Result<Self> {
        Self::start(place, FLOOR, &[])
    }

    fn start(place: &Place, program: &str, args: &[&str]) -> Result<Self> {
        let mut command = place.command(program, args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("the server has a standard output")?;
        Ok(Self { child, stdin, stdout, unread: Vec::new() })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line that is not answered.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("the server's input was closed")?;
        Ok(stdin.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Sends a line and waits for the line that answers it.
    pub fn ask(&mut self, line: &str) -> Result<Vec<u8>> {
        self.tell(line)?;
        let mut chunk = [0; 64 * 1024];
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.unread, rest));
            }
            let mut wait = [PollFd::new(&self.stdout, PollFlags::IN)];
            ensure!(poll(&mut wait, Some(&PATIENCE))? > 0, "the server does not answer {line}");
            let read = self.stdout.read(&mut chunk)?;
            ensure!(read > 0, "the server ended instead of answering {line}");
            self.unread.extend_from_slice(&chunk[..read]);
        }
    }

    /// Begins an MCP session as `name`; the answer to `initialize`.
    pub fn begin_mcp(&mut self, name: &str) -> Result<Vec<u8>> {
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": name, "version": "1"},
        }});
        let answer = self.ask(&hello.to_string())?;
        self.tell(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)?;
        Ok(answer)
    }

    /// Closes its input, and tells how long it takes to end.
    pub fn end(mut self) -> Result<Duration> {
        let began = Instant::now();
        drop(self.stdin.take());
        self.child.wait()?;
        Ok(began.elapsed())
    }

    /// Sends a signal, and tells how long it takes to end.
    pub fn signal(mut self, signal: Signal) -> Result<Duration> {
        let began = Instant::now();
        kill_process(Pid::from_child(&self.child), signal)?;
        self.child.wait()?;
        Ok(began.elapsed())
    }

    /// Waits that long without doing anything; an answer that comes meanwhile is a fault.
    pub fn rest(&self, time: Duration) -> Result<()> {
        let mut wait = [PollFd::new(&self.stdout, PollFlags::IN)];
        ensure!(
            poll(&mut wait, Some(&Timespec::try_from(time)?))? == 0,
            "the server speaks unasked, or ended"
        );
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; a bench that fails leaves nobody behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A way to call methods.
pub enum Door {
    /// Through `kapell mcp`.
    Mcp(Server),
    /// Through `kapell rpc`.
    Rpc(Server),
    /// Within this process.
    Inside(Arc<Client>),
}

impl Door {
    /// Through `kapell mcp`, the session begun as `name`.
    pub fn mcp(place: &Place, name: &str) -> Result<Self> {
        let mut server = Server::kapell(place, "mcp")?;
        server.begin_mcp(name)?;
        Ok(Self::Mcp(server))
    }

    /// Through `kapell rpc`.
    pub fn rpc(place: &Place) -> Result<Self> {
        Ok(Self::Rpc(Server::kapell(place, "rpc")?))
    }

    /// Calls a method; the result and how long it took until the answer was there.
    pub fn call(&mut self, method: &str, params: Value) -> Result<(Value, Duration)> {
        let (answer, time) = match self {
            Self::Inside(client) => {
                let known = table::find(method).with_context(|| format!("no method {method}"))?;
                let call = client.begin();
                let began = Instant::now();
                let result = call.run(known, params);
                let time = began.elapsed();
                match result {
                    Ok(result) => return Ok((result, time)),
                    Err(error) => bail!("{method}: {}", error.to_json()),
                }
            }
            Self::Mcp(server) => {
                let question = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                    "params": {"name": method, "arguments": params}});
                ask(server, &question)?
            }
            Self::Rpc(server) => {
                let question = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
                ask(server, &question)?
            }
        };
        let mut answer: Value = serde_json::from_slice(&answer)?;
        let result = match self {
            Self::Mcp(_) => &mut answer["result"]["structuredContent"],
            _ => &mut answer["result"],
        };
        let result = result.take();
        ensure!(result.is_object() && answer["result"]["isError"] != true, "{method}: {answer} {result}");
        Ok((result, time))
    }
}

fn ask(server: &mut Server, question: &Value) -> Result<(Vec<u8>, Duration)> {
    let question = question.to_string();
    let began = Instant::now();
    let answer = server.ask(&question)?;
    Ok((answer, began.elapsed()))
}
