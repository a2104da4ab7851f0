//! Any other program: told by its command line, heard by lines with a `"kapell"` key.

use std::collections::HashSet;

use serde_json::Value;

use super::answer;
use super::event::{Event, Finding, Limit, LimitKind};
use super::launch::{BadCommand, Brief, Launch, Program, text};
use super::reader::{Dialect, Seen, dollars};
use crate::base::clock::Time;
use crate::domain::usage::{MOST_USD, Usage};

pub(super) fn launch(
    program: &Program<'_>,
    brief: &Brief<'_>,
    mut launch: Launch,
) -> Result<Launch, BadCommand> {
    let (prompt, prompt_file) = answer::asked_in_words(brief, &mut launch);
    let prompt_file = text(&prompt_file)?.to_owned();
    let worktree = text(brief.worktree)?;
    let model = brief.model(program);
    let files = brief.files.join(" ");
    let value = |name: &str| -> Result<Option<&str>, BadCommand> {
        Ok(Some(match name {
            "prompt" => &prompt,
            "prompt_file" => &prompt_file,
            "worktree" => worktree,
            "task" => brief.task,
            "attempt" => brief.attempt,
            "model" => model.ok_or(BadCommand::NoModel)?,
            "files" => &files,
            _ => return Ok(None),
        }))
    };
    let mut argv = Vec::new();
    for word in program.command.iter().chain(program.args) {
        if word == "{files}" {
            argv.extend(brief.files.iter().cloned());
        } else {
            argv.push(filled(word, value)?);
        }
    }
    if argv.first().is_none_or(String::is_empty) {
        return Err(BadCommand::NoProgram(program.kind));
    }
    launch.env.insert("KAPELL_PROMPT_FILE".to_owned(), prompt_file.clone());
    launch.argv = argv;
    Ok(launch)
}

/// A word with its placeholders filled, in one pass: what is filled in is never looked at again.
/// Braces around anything else stay.
fn filled<'a>(
    word: &str,
    value: impl Fn(&str) -> Result<Option<&'a str>, BadCommand>,
) -> Result<String, BadCommand> {
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let found = match after.split_once('}') {
            Some((name, more)) => value(name)?.map(|value| (value, more)),
            None => None,
        };
        rest = match found {
            Some((value, more)) => {
                out.push_str(value);
                more
            }
            None => {
                out.push('{');
                after
            }
        };
    }
    out.push_str(rest);
    Ok(out)
}

/// What such a program prints.
#[derive(Default)]
pub(super) struct Lines {
    used: Usage,
    counted: HashSet<String>,
    /// Whether it was told that a report of what was used makes no sense.
    is_odd_told: bool,
}

/// What of a report of what was used is no number of tokens or dollars, which counts as nothing.
fn nonsense(line: &Value) -> Option<String> {
    let is_count = |value: &Value| value.is_null() || value.is_u64();
    let is_money = |value: &Value| value.is_null() || dollars(value).is_some_and(|usd| usd <= MOST_USD);
    let is_odd = |name: &str| !if name == "usd" { is_money(&line[name]) } else { is_count(&line[name]) };
    let odd = FIGURES.into_iter().filter(|name| is_odd(name));
    let odd: Vec<String> = odd.map(|name| format!("{name} {}", line[name])).collect();
    (!odd.is_empty()).then(|| {
        let odd: String = odd.join(", ").chars().take(200).collect();
        format!("its report of what it used has no number in {odd}: that counts as nothing")
    })
}

/// The figures of a report of what was used.
const FIGURES: [&str; 5] = ["input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "usd"];

impl Dialect for Lines {
    fn object(&mut self, line: &Value, seen: &mut Seen) {
        let words = |name: &str| line[name].as_str().map(str::to_owned);
        match line["kapell"].as_str() {
            Some("progress") => seen.emit(Event::Progress(words("text").unwrap_or_default())),
            Some("usage") => {
                let count = |name: &str| line[name].as_u64().unwrap_or(0);
                // One that says which report it is counts once, however often it comes.
                if let Some(id) = words("id")
                    && !self.counted.insert(id)
                {
                    return;
                }
                if !self.is_odd_told
                    && let Some(what) = nonsense(line)
                {
                    self.is_odd_told = true;
                    seen.emit(Event::Warning(what));
                }
                // Each report is of what came since the one before.
                self.used = self.used.plus(Usage {
                    input_tokens: count("input_tokens"),
                    cached_tokens: count("cached_tokens"),
                    cache_write_tokens: count("cache_write_tokens"),
                    output_tokens: count("output_tokens"),
                    usd: dollars(&line["usd"]),
                });
                seen.used(self.used);
            }
            Some("rate-limited") => seen.emit(Event::Limited(Limit {
                kind: LimitKind::RateLimit,
                resets_at: line["resets_at"].as_str().and_then(Time::parse),
                message: words("text").unwrap_or_else(|| "it reported a rate limit".to_owned()),
            })),
            Some("result") => seen.emit(Event::Text(words("text").unwrap_or_default())),
            Some("finding") => seen.emit(Event::Finding(Finding {
                text: words("text").unwrap_or_default(),
                files: line["files"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|file| file.as_str().map(str::to_owned))
                    .collect(),
                severity: words("severity"),
            })),
            Some(other) => seen.emit(Event::Warning(format!("{other:?} is no report that Kapell knows"))),
            // A line of its log that happens to be JSON.
            None => seen.note(&line.to_string()),
        }
    }

    /// Its exit status is its word: who ends well got past the limit that it reported.
    fn is_done(&self) -> bool {
        true
    }
}
