//! The one writer of this door: results to stdout, everything else to stderr.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};

use serde_json::Value;

use super::layout::{Look, Page, Style, cell, clean, is_treacherous, span};
use crate::api::ApiError;

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

impl Color {
    /// Decides for one stream. `NO_COLOR` (no-color.org) beats `CLICOLOR_FORCE` (bixense.com/clicolors),
    /// which beats what the terminal is.
    pub fn is_wanted(self, environment: &BTreeMap<String, String>, is_terminal: bool) -> bool {
        let set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
        let zero = |name: &str| environment.get(name).is_some_and(|value| value == "0");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if set("NO_COLOR") => false,
            Self::Auto if set("CLICOLOR_FORCE") && !zero("CLICOLOR_FORCE") => true,
            Self::Auto => {
                is_terminal
                    && !zero("CLICOLOR")
                    && environment.get("TERM").is_none_or(|term| term != "dumb" && !term.is_empty())
            }
        }
    }
}

/// A stream and how to write on it.
struct Stream {
    sink: Box<dyn Write + Send>,
    look: Look,
    is_terminal: bool,
}

/// Both streams of this process.
pub struct Out {
    stdout: Stream,
    stderr: Stream,
    /// Results and errors as JSON.
    json: bool,
    /// Whether a passing line stands on stderr.
    passing: bool,
    /// Lines on the terminal that the next [`Self::redraw`] replaces.
    drawn: usize,
    /// Nobody reads stdout any more.
    closed: bool,
    failed: Option<io::Error>,
}

impl Out {
    /// The streams of this process.
    pub fn of_process(color: Color, json: bool, environment: &BTreeMap<String, String>) -> Self {
        let stdout = io::stdout();
        let stderr = io::stderr();
        let width = |is_terminal: bool, size: rustix::io::Result<rustix::termios::Winsize>| {
            // Where no terminal breaks the lines, nothing is cut: a program or a file reads them.
            is_terminal.then(|| match size {
                Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
                _ => environment.get("COLUMNS").and_then(|text| text.parse().ok()).unwrap_or(80),
            })
        };
        let look = |is_terminal, size| Look {
            width: width(is_terminal, size),
            color: color.is_wanted(environment, is_terminal),
        };
        let (out_terminal, err_terminal) = (stdout.is_terminal(), stderr.is_terminal());
        let out_look = look(out_terminal, rustix::termios::tcgetwinsize(&stdout));
        let err_look = look(err_terminal, rustix::termios::tcgetwinsize(&stderr));
        Self {
            stdout: Stream { sink: Box::new(stdout), look: out_look, is_terminal: out_terminal },
            stderr: Stream { sink: Box::new(stderr), look: err_look, is_terminal: err_terminal },
            json,
            passing: false,
            drawn: 0,
            closed: false,
            failed: None,
        }
    }

    /// Streams of a test.
    #[cfg(test)]
    pub fn of_sinks(
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
        json: bool,
        is_terminal: bool,
    ) -> Self {
        let look = Look { width: is_terminal.then_some(80), color: false };
        Self {
            stdout: Stream { sink: stdout, look, is_terminal },
            stderr: Stream { sink: stderr, look, is_terminal },
            json,
            passing: false,
            drawn: 0,
            closed: false,
            failed: None,
        }
    }

    /// Whether results are wanted as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether somebody can be asked: stderr is a terminal.
    pub fn can_ask(&self) -> bool {
        self.stderr.is_terminal
    }

    /// Whether whoever read the results went away (`kapell events | head`).
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// How results may look. Asked anew each time: a window may have been resized.
    pub fn look(&mut self) -> Look {
        if self.stdout.is_terminal
            && let Ok(size) = rustix::termios::tcgetwinsize(io::stdout())
            && size.ws_col > 0
        {
            self.stdout.look.width = Some(usize::from(size.ws_col));
        }
        self.stdout.look
    }

    /// A result for people, already laid out.
    pub fn result(&mut self, text: &str) {
        self.clear_passing();
        self.write_result(text.as_bytes());
    }

    /// A result that is somebody else's, byte by byte.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.clear_passing();
        self.write_result(bytes);
    }

    /// Whether results go to a terminal.
    pub fn is_terminal(&self) -> bool {
        self.stdout.is_terminal
    }

    /// A result for programs: one line of JSON.
    pub fn json(&mut self, value: &Value) {
        self.clear_passing();
        let mut line = json_line(value);
        line.push('\n');
        self.write_result(line.as_bytes());
    }

    /// Shows a result in place of the one shown by the last call, on a terminal.
    pub fn redraw(&mut self, text: &str) {
        if !self.stdout.is_terminal {
            return self.result(text);
        }
        self.clear_passing();
        let rows =
            rustix::termios::tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row).max(2));
        let mut lines: Vec<&str> = text.lines().collect();
        // What scrolled away cannot be drawn over.
        let rest = lines.len().saturating_sub(rows - 1);
        let more = format!("… {} more lines", rest + 1);
        if rest > 0 {
            lines.truncate(rows - 2);
            lines.push(&more);
        }
        let up = match std::mem::replace(&mut self.drawn, lines.len()) {
            0 => "\r".to_owned(),
            drawn => format!("\r\x1b[{drawn}A"),
        };
        self.write_result(format!("{up}{}\x1b[K\n\x1b[J", lines.join("\x1b[K\n")).as_bytes());
    }

    /// A note beside the result.
    pub fn note(&mut self, text: &str) {
        let mut page = Page::new(self.stderr.look);
        page.wrapped(&[], Style::Plain, text);
        self.write_error(&page.into_text());
    }

    /// The next step, for a person only.
    pub fn tip(&mut self, text: &str) {
        if self.stderr.is_terminal && !self.json {
            let mut page = Page::new(self.stderr.look);
            page.wrapped(&cell(Style::Faint, "  next: "), Style::Plain, text);
            self.write_error(&page.into_text());
        }
    }

    /// How far long work is: one line that passes, on a terminal only.
    pub fn progress(&mut self, text: &str) {
        if !self.stderr.is_terminal || self.json {
            return;
        }
        let mut page = Page::new(Look {
            width: self.stderr.look.width.map(|width| width.saturating_sub(1)),
            ..self.stderr.look
        });
        page.line(&cell(Style::Faint, text));
        let line = page.into_text();
        let _ = write!(self.stderr.sink, "\r\x1b[K{}", line.trim_end_matches('\n'));
        let _ = self.stderr.sink.flush();
        self.passing = true;
    }

    /// A question on stderr; the answer is read elsewhere.
    pub fn ask(&mut self, text: &str) {
        self.clear_passing();
        let _ = write!(self.stderr.sink, "{} ", clean(text));
        let _ = self.stderr.sink.flush();
    }

    /// Text for stderr, already laid out.
    pub fn aside(&mut self, fill: impl FnOnce(&mut Page)) {
        let mut page = Page::new(self.stderr.look);
        fill(&mut page);
        self.write_error(&page.into_text());
    }

    /// An error: what and why, then the next step.
    pub fn error(&mut self, error: &ApiError) {
        if self.json {
            let mut line = json_line(&error.to_json());
            line.push('\n');
            self.write_error(&line);
            return;
        }
        self.aside(|page| {
            let (first, more) = error.message.split_once('\n').unwrap_or((&error.message, ""));
            page.wrapped(&cell(Style::Bad, "error: "), Style::Plain, first);
            for line in more.lines() {
                page.line(&[span(Style::Plain, "  "), span(Style::Plain, line)]);
            }
            if !error.hint.is_empty() {
                page.wrapped(&cell(Style::Faint, "  next: "), Style::Plain, &error.hint);
            }
        });
    }

    /// Flushes; gives the exit code, which is 4 where results could not be written.
    pub fn finish(mut self, code: u8) -> u8 {
        self.clear_passing();
        if !self.closed
            && let Err(error) = self.stdout.sink.flush()
        {
            self.stop(error);
        }
        let Some(error) = self.failed.take() else { return code };
        self.error(&ApiError {
            code: -32603,
            kind: "system",
            message: format!("the result could not be written: {error}"),
            hint: "what was asked for is done; kapell status shows it".to_owned(),
            retryable: true,
            facts: Vec::new(),
            exit_code: 4,
        });
        4
    }

    fn write_result(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        if let Err(error) = self.stdout.sink.write_all(bytes).and_then(|()| self.stdout.sink.flush()) {
            self.stop(error);
        }
    }

    /// No more results: quietly if the reader has gone.
    fn stop(&mut self, error: io::Error) {
        self.closed = true;
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.failed = Some(error);
        }
    }

    fn write_error(&mut self, text: &str) {
        self.clear_passing();
        // Where stderr is gone, there is nobody left to tell.
        let _ = self.stderr.sink.write_all(text.as_bytes());
        let _ = self.stderr.sink.flush();
    }

    fn clear_passing(&mut self) {
        if std::mem::take(&mut self.passing) {
            let _ = self.stderr.sink.write_all(b"\r\x1b[K");
        }
    }
}

/// The value on one line. What JSON lets through but a terminal obeys is written as `\uXXXX`.
pub fn json_line(value: &Value) -> String {
    let plain = value.to_string();
    if !plain.chars().any(is_treacherous) {
        return plain;
    }
    let mut line = String::with_capacity(plain.len());
    for c in plain.chars() {
        // Outside of strings JSON has none of these.
        if is_treacherous(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn colours_follow_the_customs() {
        let environment = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        for (color, pairs, is_terminal, wanted) in [
            (Color::Auto, &[][..], true, true),
            (Color::Auto, &[], false, false),
            (Color::Auto, &[("NO_COLOR", "1")], true, false),
            (Color::Auto, &[("NO_COLOR", "")], true, true),
            (Color::Auto, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true, false),
            (Color::Auto, &[("CLICOLOR_FORCE", "1")], false, true),
            (Color::Auto, &[("CLICOLOR_FORCE", "0")], false, false),
            (Color::Auto, &[("CLICOLOR", "0")], true, false),
            (Color::Auto, &[("TERM", "dumb")], true, false),
            (Color::Auto, &[("TERM", "xterm-256color")], true, true),
            (Color::Always, &[("NO_COLOR", "1"), ("TERM", "dumb")], false, true),
            (Color::Never, &[("CLICOLOR_FORCE", "1")], true, false),
        ] {
            assert_eq!(color.is_wanted(&environment(pairs), is_terminal), wanted, "{color:?} {pairs:?}");
        }
    }

    #[test]
    fn json_stays_the_same_value_and_harmless() {
        let value = json!({"text": "\u{9b}2J \u{1b}[0m \u{202e}x \u{e0041} \u{7f} grüße"});
        let line = json_line(&value);
        assert!(!line.chars().any(is_treacherous), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }

    /// A reader that went away, or a full disk.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_gone_reader_is_no_error_but_a_full_disk_is() {
        for (kind, code) in [(io::ErrorKind::BrokenPipe, 1), (io::ErrorKind::StorageFull, 4)] {
            let mut out = Out::of_sinks(Box::new(Broken(kind)), Box::new(io::sink()), false, false);
            out.result("text\n");
            assert!(out.is_closed());
            assert_eq!(out.finish(1), code);
        }
    }
}
