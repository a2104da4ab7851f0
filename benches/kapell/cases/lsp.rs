//! `kapell lsp`: what an editor waits for.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Around;
use crate::figure::{Amount, Figure};
use crate::place::{KAPELL, Place, file_name};
use crate::rounds::{Rounds, timed};
use crate::server::Door;

const CASE: &str = "lsp";
/// Tasks of the plan that is checked.
const TASKS: usize = 500;

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let place = Place::new(&around.folder, 3)?;
    let folders = plan(around, &place, "", |number| {
        [format!("src/m{number}/a.rs"), format!("src/m{number}/b.rs"), format!("tests/m{number}.rs")].into()
    })?;
    // Each of them could meet each other one, as far as their folder tells.
    let globs = plan(around, &place, ", with wildcards in one folder,", |number| {
        vec![format!("tests/t{number}_*.rs")]
    })?;
    Ok(vec![start(around, &place)?, claim(around, &place)?, typing(around, &place)?, folders, globs])
}

fn start(around: &Around, place: &Place) -> Result<Figure> {
    let once = || -> Result<Duration> {
        let (editor, time) = timed(|| Editor::start(place))?;
        editor.end()?;
        Ok(time)
    };
    // The first start reads the program from the disk.
    once()?;
    let rounds = Rounds::take(around.rounds(20), 3, &mut [Box::new(once)])?;
    Ok(Figure::told(CASE, "kapell lsp, spawn to initialize answered", Amount::Time(rounds.median(0)?))
        .limited(Amount::Time(Duration::from_millis(15)))
        .noting(format!("the slowest took {:.1} ms", rounds.worst(0).as_secs_f64() * 1e3)))
}

/// From the moment another process is told of its claim to the moment the editor has it on the screen.
fn claim(around: &Around, place: &Place) -> Result<Figure> {
    let path = place.project.join(file_name(0));
    let mut editor = Editor::start(place)?;
    editor.ready()?;
    editor.open(&path, &std::fs::read_to_string(&path)?)?;
    let mut other = Door::rpc(place)?;
    let once = || -> Result<Duration> {
        let params = json!({"paths": [file_name(0)], "holder": "somebody-else"});
        let began = Instant::now();
        other.call("claim-files", params)?;
        editor.diagnostics(&path, |shown| !shown.is_empty())?;
        let time = began.elapsed();
        other.call("release-files", json!({"all": true, "holder": "somebody-else"}))?;
        editor.diagnostics(&path, <[Value]>::is_empty)?;
        Ok(time)
    };
    let rounds = Rounds::take(around.rounds(20), 5, &mut [Box::new(once)])?;
    Ok(Figure::told(CASE, "a claim by another process, asked for to shown", Amount::Time(rounds.median(0)?))
        .limited(Amount::Time(Duration::from_millis(150)))
        .noting(format!("the slowest took {:.1} ms", rounds.worst(0).as_secs_f64() * 1e3)))
}

/// A key press and a question behind it: the question is answered once the change is taken.
fn typing(around: &Around, place: &Place) -> Result<Figure> {
    let path = place.project.join(file_name(1));
    let mut editor = Editor::start(place)?;
    editor.ready()?;
    let text = std::fs::read_to_string(&path)?;
    editor.open(&path, &text)?;
    let mut version = 1;
    let once = || -> Result<Duration> {
        version += 1;
        let at = json!({"line": 3, "character": 0});
        let began = Instant::now();
        editor.notify(
            "textDocument/didChange",
            &json!({"textDocument": {"uri": uri(&path), "version": version},
                "contentChanges": [{"range": {"start": at, "end": at}, "text": "x"}]}),
        )?;
        editor.ask("textDocument/documentSymbol", &json!({"textDocument": {"uri": uri(&path)}}))?;
        Ok(began.elapsed())
    };
    let rounds = Rounds::take(around.rounds(20), 20, &mut [Box::new(once)])?;
    Ok(Figure::told(CASE, "a key press, and an answer after it", Amount::Time(rounds.median(0)?))
        .limited(Amount::Time(Duration::from_millis(2)))
        .noting(format!("99 of 100 took at most {:.2} ms", rounds.slow(0).as_secs_f64() * 1e3)))
}

/// A change in a long plan, from the key press to the diagnostics of that text. `files` are those of a task.
fn plan(around: &Around, place: &Place, what: &str, files: impl Fn(usize) -> Vec<String>) -> Result<Figure> {
    let path = place.project.join("bench.plan.json");
    let tasks: Vec<Value> = (0..TASKS)
        .map(|number| {
            let before: Vec<usize> = number.checked_sub(1).into_iter().collect();
            // Without an order between the tasks all of them are held against one another.
            let before = if what.is_empty() { before } else { Vec::new() };
            json!({"id": number, "task": format!("Do part {number}"), "depends_on": before,
                "files": files(number)})
        })
        .collect();
    let text = serde_json::to_string_pretty(&json!({"rules": {"spec_first": false}, "tasks": tasks}))?;
    let at = text.find("Do part 250").context("it is there")?;
    let line = text[..at].matches('\n').count();
    let mut editor = Editor::start(place)?;
    editor.ready()?;
    editor.open(&path, &text)?;
    editor.version(&path, 1)?;
    let mut version = 1;
    let once = || -> Result<Duration> {
        version += 1;
        let position = json!({"line": line, "character": 20});
        let began = Instant::now();
        editor.notify(
            "textDocument/didChange",
            &json!({"textDocument": {"uri": uri(&path), "version": version},
                "contentChanges": [{"range": {"start": position, "end": position}, "text": "x"}]}),
        )?;
        editor.version(&path, version)?;
        Ok(began.elapsed())
    };
    let rounds = Rounds::take(around.rounds(10), 5, &mut [Box::new(once)])?;
    let name = format!("a key press in a plan of {TASKS} tasks{what} to its diagnostics");
    Ok(Figure::told(CASE, name, Amount::Time(rounds.median(0)?))
        .limited(Amount::Time(Duration::from_millis(50)))
        .noting(format!("the slowest took {:.1} ms", rounds.worst(0).as_secs_f64() * 1e3)))
}

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// An editor with its server.
struct Editor {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    next: i64,
}

impl Editor {
    /// Starts a server, and waits until it has answered `initialize`.
    fn start(place: &Place) -> Result<Self> {
        let mut command = place.command(KAPELL, &["lsp"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("the server has a standard output")?);
        let mut editor = Self { child, input, output, next: 0 };
        let root = uri(&place.project);
        let hello = json!({"processId": null, "rootUri": root, "capabilities": {},
            "workspaceFolders": [{"uri": root, "name": "bench"}]});
        editor.ask("initialize", &hello)?;
        Ok(editor)
    }

    /// Waits until it was told of claims for the first time: then the store is open.
    fn ready(&mut self) -> Result<()> {
        self.notify("initialized", &json!({}))?;
        while self.read()?["method"] != "kapell/claims" {}
        Ok(())
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        let text = message.to_string();
        let input = self.input.as_mut().context("the server's input was closed")?;
        Ok(write!(input, "Content-Length: {}\r\n\r\n{text}", text.len())?)
    }

    fn notify(&mut self, method: &str, params: &Value) -> Result<()> {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }

    fn ask(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        loop {
            let message = self.read()?;
            if message["id"] == id {
                ensure!(message.get("error").is_none(), "{method}: {message}");
                return Ok(message);
            }
        }
    }

    fn open(&mut self, path: &Path, text: &str) -> Result<()> {
        self.notify(
            "textDocument/didOpen",
            &json!({"textDocument": {"uri": uri(path), "languageId": "x", "version": 1, "text": text}}),
        )
    }

    /// Waits for diagnostics of a file that fit.
    fn diagnostics(&mut self, path: &Path, fits: impl Fn(&[Value]) -> bool) -> Result<()> {
        loop {
            let message = self.read()?;
            let shown = message["params"]["diagnostics"].as_array();
            if message["params"]["uri"] == uri(path).as_str() && shown.is_some_and(|shown| fits(shown)) {
                return Ok(());
            }
        }
    }

    /// Waits for the diagnostics of a version of a file.
    fn version(&mut self, path: &Path, version: i64) -> Result<()> {
        loop {
            let message = self.read()?;
            let is_of = message["params"]["uri"] == uri(path).as_str();
            if is_of && message["params"]["version"] == version && message["params"]["diagnostics"].is_array()
            {
                return Ok(());
            }
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                bail!("the server ended");
            }
            match line.trim_end().split_once(": ") {
                Some((_, value)) => length = value.parse()?,
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }

    fn end(mut self) -> Result<()> {
        drop(self.input.take());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        // It may have ended; a bench that fails leaves nobody behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
