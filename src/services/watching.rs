//! What a person sees of an attempt while they watch it: its output, line by line, as text that no
//! terminal obeys.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::conductor::launching::kind_of_run;
use super::{Error, Session, querying};
use crate::base::clock::Time;
use crate::base::ids::AttemptId;
use crate::sys::agent::{AgentKind, Event, Reader};
use crate::sys::shim::client::Ended;
use crate::sys::shim::files;
use crate::sys::shim::job::{Cause, Exit};

/// Of what was printed before anybody looked, only the end is shown.
const BACKLOG: u64 = 256 << 10;
/// What is longer is cut: as long as the longest line that a reader takes.
const LONGEST: usize = 1 << 20;
/// Read at once.
const CHUNK: u64 = 1 << 20;

/// A line for the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How it is to look.
    pub style: LineStyle,
    /// Its text; no control characters.
    pub text: String,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineStyle {
    /// What the worker says.
    Said,
    /// What it does.
    Done,
    /// What goes wrong, or is beside the matter: its standard error.
    Aside,
}

/// What an attempt of the session's project prints, from near its end on; the folder in which it grows; and
/// whether nothing more will come.
///
/// # Errors
/// There is no such attempt in this project.
pub fn of_attempt(session: &Session, id: &str) -> Result<(Watched, PathBuf, bool), Error> {
    let row = querying::attempt_here(session, &AttemptId::new(id))?.row;
    let config = session.config_at_work(&session.project()?)?;
    let folder = PathBuf::from(&row.run_dir);
    let kind = kind_of_run(config.providers.get(&row.provider), &folder);
    Ok((Watched::new(&folder, kind), folder, row.state.outcome().is_some()))
}

/// Reads the files of a run as they grow.
pub struct Watched {
    stdout: Tail,
    stderr: Tail,
    kind: AgentKind,
    reader: Reader,
}

impl Watched {
    /// From the end of what is there.
    pub fn new(run_dir: &Path, kind: AgentKind) -> Self {
        Self {
            stdout: Tail::of(run_dir.join(files::STDOUT)),
            stderr: Tail::of(run_dir.join(files::STDERR)),
            kind,
            reader: Reader::new(kind, Time::now()),
        }
    }

    /// What came since the last call. `is_over`: nothing more will, so a line without an end is one.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn news(&mut self, is_over: bool) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for line in self.stdout.lines(is_over)? {
            self.said(&line, &mut lines);
        }
        for line in self.stderr.lines(is_over)? {
            push(&mut lines, LineStyle::Aside, &String::from_utf8_lossy(&line));
        }
        Ok(lines)
    }

    /// A line of an agent's own protocol becomes what it means; any other is shown as it is.
    fn said(&mut self, line: &[u8], lines: &mut Vec<Line>) {
        let object = serde_json::from_slice::<Value>(line).ok().filter(Value::is_object);
        let is_told =
            object.is_some_and(|object| self.kind != AgentKind::Command || object.get("kapell").is_some());
        if !is_told {
            return push(lines, LineStyle::Said, &String::from_utf8_lossy(line));
        }
        for event in self.reader.stdout(line, false) {
            match event {
                Event::Text(text) => push(lines, LineStyle::Said, &text),
                Event::Progress(text) => push(lines, LineStyle::Done, &text),
                Event::Tool { name, target } => {
                    push(lines, LineStyle::Done, &format!("{name} {}", target.unwrap_or_default()));
                }
                Event::ToolRefused(refused) => {
                    let path = refused.path.unwrap_or_default();
                    push(
                        lines,
                        LineStyle::Aside,
                        &format!("refused: {} {path}: {}", refused.tool, refused.reason),
                    );
                }
                Event::Finding(finding) => push(lines, LineStyle::Aside, &format!("found: {}", finding.text)),
                Event::Limited(limit) => {
                    push(lines, LineStyle::Aside, &format!("limited: {}", limit.message));
                }
                Event::Retrying { why, .. } => push(lines, LineStyle::Aside, &format!("tries again: {why}")),
                Event::Warning(text) => push(lines, LineStyle::Aside, &text),
                Event::Session(_) | Event::Usage(_) => {}
            }
        }
    }
}

/// How it ended, for people.
pub fn ended(ended: &Ended) -> String {
    let Ended::Exit(Exit { code, signal, ended, reason, started_at, ended_at, .. }) = ended else {
        return "its shim is gone and recorded no end; the conductor sees to it".to_owned();
    };
    let how = match (ended, code, signal) {
        (Cause::TimedOut, ..) => "ran past its time".to_owned(),
        (Cause::Stopped, ..) => "was stopped".to_owned(),
        (Cause::Killed, ..) => "was killed".to_owned(),
        (Cause::OutputLimit, ..) => "printed more than it may".to_owned(),
        (Cause::OverBudget, ..) => "cost more than it may".to_owned(),
        (Cause::NotStarted, ..) => "could not be started".to_owned(),
        (Cause::Exited, Some(code), _) => format!("ended with exit code {code}"),
        (Cause::Exited, None, signal) => format!("was ended by signal {}", signal.unwrap_or(0)),
    };
    let seconds = ended_at.millis_since(*started_at).max(0) / 1000;
    let why = reason.as_ref().map(|why| format!(": {}", harmless(why))).unwrap_or_default();
    format!("{how} after {seconds} s{why}")
}

fn push(lines: &mut Vec<Line>, style: LineStyle, text: &str) {
    lines.extend(text.lines().map(|line| Line { style, text: harmless(line) }));
}

/// A line without what a terminal obeys. A worker's colours go with it, and nothing else of worth.
pub fn harmless(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' if rest.next_if_eq(&'[').is_some() => {
                // To the letter that ends it.
                while rest.next_if(|c| matches!(c, ' '..='?')).is_some() {}
                rest.next_if(|c| matches!(c, '@'..='~'));
            }
            // The title of a window, or what is to be put into the clipboard.
            '\u{1b}' if rest.next_if_eq(&']').is_some() => {
                while rest.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\u{9c}')).is_some() {}
            }
            '\t' => shown.push_str("    "),
            c if c.is_control() => {}
            // What turns the direction of a text or hides it.
            '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {}
            c => shown.push(c),
        }
    }
    shown
}

/// A file that grows.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    begun: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    fn of(path: PathBuf) -> Self {
        Self { path, file: None, begun: Vec::new(), is_cut: false }
    }

    /// The lines that are whole, without their ends.
    fn lines(&mut self, is_over: bool) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        if self.file.is_none() {
            let mut file = match File::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(lines),
                Err(error) => return Err(error),
            };
            let length = file.metadata()?.len();
            if length > BACKLOG {
                file.seek(SeekFrom::Start(length - BACKLOG))?;
                // Its first line is a part of one.
                self.is_cut = true;
            }
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Ok(lines) };
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            if file.take(CHUNK).read_to_end(&mut chunk)? == 0 {
                break;
            }
            for part in chunk.split_inclusive(|byte| *byte == b'\n') {
                let (text, is_whole) = match part.strip_suffix(b"\n") {
                    Some(text) => (text, true),
                    None => (part, false),
                };
                // An agent's protocol has longer lines than anybody reads; they have to be whole.
                let room = LONGEST.saturating_sub(self.begun.len());
                self.begun.extend_from_slice(&text[..text.len().min(room)]);
                if is_whole {
                    let line = std::mem::take(&mut self.begun);
                    if !std::mem::take(&mut self.is_cut) {
                        lines.push(line);
                    }
                }
            }
        }
        if is_over && !self.begun.is_empty() {
            lines.push(std::mem::take(&mut self.begun));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn texts(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        for (line, shown) in [
            ("plain größe", "plain größe"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]52;c;aGk=\u{7}x", "x"),
            ("\u{1b}]0;title\u{1b}\\x", "\\x"),
            ("a\tb\rc", "a    bc"),
            ("\u{9b}2J\u{202e}abc", "2Jabc"),
            ("end\u{1b}[", "end"),
        ] {
            assert_eq!(harmless(line), shown, "{line:?}");
        }
    }

    #[test]
    fn lines_are_shown_when_they_are_whole_and_protocols_as_what_they_mean() {
        let folder = tempfile::tempdir().unwrap();
        let mut stdout = File::create(folder.path().join(files::STDOUT)).unwrap();
        let mut watched = Watched::new(folder.path(), AgentKind::Command);
        assert_eq!(watched.news(false).unwrap(), []);
        stdout.write_all(b"one\ntw").unwrap();
        assert_eq!(texts(watched.news(false).unwrap()), ["one"]);
        stdout.write_all(b"o\n{\"kapell\":\"progress\",\"text\":\"half\"}\n{\"a\":1}\n").unwrap();
        assert_eq!(texts(watched.news(false).unwrap()), ["two", "half", "{\"a\":1}"]);
        stdout.write_all(b"rest").unwrap();
        fs::write(folder.path().join(files::STDERR), "oh\n").unwrap();
        assert_eq!(texts(watched.news(true).unwrap()), ["rest", "oh"]);
    }

    #[test]
    fn of_much_that_was_printed_before_the_end_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let all: String = (0..60_000).map(|number| format!("line {number}\n")).collect();
        fs::write(folder.path().join(files::STDOUT), &all).unwrap();
        let lines = texts(Watched::new(folder.path(), AgentKind::Claude).news(false).unwrap());
        assert_eq!(lines.last().map(String::as_str), Some("line 59999"));
        assert!(lines.len() < 30_000 && lines.iter().all(|line| line.starts_with("line ")));
    }
}
