//! Reads one run of an agent, line by line.

use std::collections::VecDeque;

use serde_json::Value;

use super::event::{End, Ending, Event, Finding, Limit, Refused, Report};
use super::launch::is_session;
use super::{AgentKind, answer, claude, codex, command, opencode};
use crate::base::clock::Time;
use crate::base::halves;
use crate::domain::usage::Usage;

/// The longest line that is looked at, in bytes. A longer one is to be cut by whoever feeds it.
pub const MAX_LINE: usize = 1 << 20;

/// Reads one run of an agent. Whatever bytes it is fed, it does not panic; what it does not
/// know, it passes over.
pub struct Reader {
    dialect: Box<dyn Dialect + Send>,
    seen: Seen,
    wants_answer: bool,
}

/// How one kind of agent speaks.
pub(super) trait Dialect {
    /// A JSON object on stdout.
    fn object(&mut self, object: &Value, seen: &mut Seen);
    /// A line on stderr, without colours and blanks at its ends.
    fn stderr(&mut self, line: &str, seen: &mut Seen) {
        seen.note(line);
    }
    /// The output is over.
    fn over(&mut self, _seen: &mut Seen) {}
    /// Whether the agent said that it is done; its exit status is looked at besides.
    fn is_done(&self) -> bool;
}

impl Reader {
    /// A reader for a run that starts at `now`; see [`Self::now_is`].
    pub fn new(kind: AgentKind, now: Time) -> Self {
        let dialect: Box<dyn Dialect + Send> = match kind {
            AgentKind::Claude => Box::<claude::Lines>::default(),
            AgentKind::Codex => Box::<codex::Lines>::default(),
            AgentKind::OpenCode => Box::<opencode::Lines>::default(),
            AgentKind::Command => Box::<command::Lines>::default(),
        };
        Self { dialect, seen: Seen::new(now), wants_answer: false }
    }

    /// For a run whose answer is to be a JSON object: without this, none is looked for in the text.
    #[must_use]
    pub fn wanting_answer(mut self) -> Self {
        self.wants_answer = true;
        self
    }

    /// For a run that resumes a session: `used` is the [`Report::session_usage`] of the run before.
    #[must_use]
    pub fn resuming(mut self, used: Usage) -> Self {
        self.seen.used_before = used;
        self
    }

    /// Tells the reader what time it is, before lines that came later. The end of a limit is
    /// often told as `in 5m` or `at 1:04 AM`, which says nothing without it.
    pub fn now_is(&mut self, now: Time) {
        self.seen.now = now;
    }

    /// Takes a line of stdout without its newline. `truncated`: the line was longer and was cut.
    pub fn stdout(&mut self, line: &[u8], truncated: bool) -> Vec<Event> {
        if truncated || line.len() > MAX_LINE {
            let kib = MAX_LINE / 1024;
            self.seen
                .emit(Event::Warning(format!("a line of output of more than {kib} KiB was passed over")));
        } else {
            let object = serde_json::from_slice::<Value>(line).ok();
            // Agents are written in JavaScript, and what they print may be cut in the middle of a character.
            let mended = || serde_json::from_str(&halves::mended(std::str::from_utf8(line).ok()?)?).ok();
            let object = object.or_else(mended);
            match object {
                Some(object) if object.is_object() => self.dialect.object(&object, &mut self.seen),
                _ => self.seen.note(&plain(line)),
            }
        }
        self.seen.take()
    }

    /// Takes a line of stderr without its newline; a long one is cut.
    pub fn stderr(&mut self, line: &[u8]) -> Vec<Event> {
        let line = &line[..line.len().min(MAX_LINE)];
        self.dialect.stderr(&plain(line), &mut self.seen);
        self.seen.take()
    }

    /// Whether the agent has said by now that it is done.
    pub fn is_done(&self) -> bool {
        self.dialect.is_done()
    }

    /// What is left of the run, now that its process ended as told.
    pub fn finish(mut self, end: &End) -> Report {
        self.dialect.over(&mut self.seen);
        let ending = self.ending(end);
        let seen = self.seen;
        let structured = match seen.structured {
            None if self.wants_answer => seen.text.as_deref().and_then(answer::last_object),
            structured => structured,
        };
        Report {
            ending,
            usage: seen.usage,
            session_usage: seen.used_before.plus(seen.usage),
            session: seen.session,
            text: seen.text,
            structured,
            refusals: seen.refusals,
            findings: seen.findings,
        }
    }

    /// Success needs three: the agent says so, its exit status says so, and we did not stop it.
    /// A run that we stopped while its provider refused is limited, not killed: another provider
    /// may do it, and that is usually why it was stopped.
    fn ending(&self, end: &End) -> Ending {
        let stopped = end.stopped_by_us || end.timed_out;
        if self.dialect.is_done() && end.code == Some(0) && end.signal.is_none() && !stopped {
            return Ending::Submitted;
        }
        if let Some(limit) = &self.seen.limit {
            return Ending::Limited(limit.clone());
        }
        if stopped {
            return Ending::Killed;
        }
        let how = match (end.signal, end.code) {
            (Some(signal), _) => format!("killed by signal {signal}"),
            (None, Some(0)) => "ended without a result".to_owned(),
            (None, Some(code)) => format!("exit status {code}"),
            (None, None) => "ended in an unknown way".to_owned(),
        };
        Ending::Failed { reason: format!("{how}: {}", self.seen.last_words()) }
    }
}

/// What a run has shown so far. Whatever is in the report comes from an event.
pub(super) struct Seen {
    /// When the line that is read was printed, as well as that is known.
    pub now: Time,
    /// What its session had used before.
    pub used_before: Usage,
    /// All that it used so far.
    pub usage: Usage,
    /// Its final answer, else the last thing it said.
    pub text: Option<String>,
    /// An answer that came as an object.
    pub structured: Option<Value>,
    /// The limit in its way, until something shows that it got past it.
    pub limit: Option<Limit>,
    /// The last error that is no limit.
    pub error: Option<String>,
    session: Option<String>,
    refusals: Vec<Refused>,
    findings: Vec<Finding>,
    tail: VecDeque<String>,
    events: Vec<Event>,
}

impl Seen {
    fn new(now: Time) -> Self {
        Self {
            now,
            used_before: Usage::default(),
            usage: Usage::default(),
            text: None,
            structured: None,
            limit: None,
            error: None,
            session: None,
            refusals: Vec::new(),
            findings: Vec::new(),
            tail: VecDeque::new(),
            events: Vec::new(),
        }
    }

    /// Tells an event, and keeps what the report will need of it.
    pub fn emit(&mut self, event: Event) {
        const MAX_REFUSALS: usize = 100;
        const MAX_FINDINGS: usize = 1000;
        match &event {
            Event::Text(text) => self.text = Some(text.clone()),
            Event::ToolRefused(refused) if self.refusals.len() < MAX_REFUSALS => {
                self.refusals.push(refused.clone());
            }
            Event::Finding(finding) if self.findings.len() < MAX_FINDINGS => {
                self.findings.push(finding.clone());
            }
            Event::Limited(limit) => self.limit = Some(limit.clone()),
            Event::Retrying { limit: Some(kind), why, .. } => {
                let resets_at = self.limit.as_ref().and_then(|limit| limit.resets_at);
                self.limit = Some(Limit { kind: *kind, resets_at, message: why.clone() });
            }
            _ => {}
        }
        self.events.push(event);
    }

    /// The session's id, told once. Anything that cannot be one is passed over.
    pub fn session(&mut self, id: Option<&str>) {
        let Some(id) = id.filter(|id| is_session(id)) else { return };
        if self.session.as_deref() != Some(id) {
            self.session = Some(id.to_owned());
            self.emit(Event::Session(id.to_owned()));
        }
    }

    /// What the run used so far. Figures that are smaller than those before are a fault of the
    /// agent's and do not count.
    pub fn used(&mut self, now: Usage) {
        let old = self.usage;
        let usage = Usage {
            input_tokens: old.input_tokens.max(now.input_tokens),
            cached_tokens: old.cached_tokens.max(now.cached_tokens),
            cache_write_tokens: old.cache_write_tokens.max(now.cache_write_tokens),
            output_tokens: old.output_tokens.max(now.output_tokens),
            usd: match (old.usd, now.usd) {
                (Some(old), Some(now)) => Some(old.max(now)),
                (old, now) => old.or(now),
            },
        };
        if usage != old {
            self.usage = usage;
            self.emit(Event::Usage(usage));
        }
    }

    /// The provider works again: what was in the way is not.
    pub fn got_past(&mut self) {
        self.limit = None;
        self.error = None;
    }

    /// Keeps a line for the reason of a failure.
    pub fn note(&mut self, line: &str) {
        const LINES: usize = 8;
        const LINE: usize = 300;
        if line.is_empty() {
            return;
        }
        if self.tail.len() == LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(shorten(line, LINE));
    }

    fn last_words(&self) -> String {
        const WORDS: usize = 2000;
        match &self.error {
            Some(error) => shorten(error.trim(), WORDS),
            None if self.tail.is_empty() => "it printed nothing that tells why".to_owned(),
            None => self.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n"),
        }
    }

    fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// A money figure, where it is one.
pub(super) fn dollars(value: &Value) -> Option<f64> {
    value.as_f64().filter(|usd| usd.is_finite() && *usd >= 0.0)
}

/// What a tool is used on: the first member of its input that says so, on one line.
pub(super) fn target_of(input: &Value) -> Option<String> {
    const TELLING: [&str; 9] = [
        "file_path",
        "filePath",
        "path",
        "notebook_path",
        "command",
        "pattern",
        "query",
        "url",
        "description",
    ];
    let target = TELLING.iter().find_map(|name| input[name].as_str())?;
    Some(one_line(target))
}

/// The path that a tool is used on, if it is used on one.
pub(super) fn path_of(input: &Value) -> Option<String> {
    ["file_path", "filePath", "path", "notebook_path"]
        .iter()
        .find_map(|name| input[name].as_str())
        .map(str::to_owned)
}

/// A text on one line of two hundred characters.
pub(super) fn one_line(text: &str) -> String {
    shorten(&text.split_whitespace().collect::<Vec<_>>().join(" "), 200)
}

/// At most so many characters, with a mark where some are left out.
pub(super) fn shorten(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A line as text, without terminal colours and blanks at its ends.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some((before, escape)) = rest.split_once("\u{1b}[") {
        out.push_str(before);
        let end = escape.find(|c: char| ('@'..='~').contains(&c));
        rest = end.map_or("", |end| &escape[end + 1..]);
    }
    out.push_str(rest);
    out.trim().to_owned()
}
