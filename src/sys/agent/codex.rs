//! codex 0.169: `codex exec --json`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::event::{Event, Limit, LimitKind, Refused};
use super::launch::{BadCommand, Brief, Launch, Program, SeedHow, text, words};
use super::reader::{Dialect, Seen, one_line, target_of};
use super::{Local, limit, server};
use crate::domain::usage::Usage;

pub(super) fn launch(
    program: &Program<'_>,
    brief: &Brief<'_>,
    mut launch: Launch,
) -> Result<Launch, BadCommand> {
    // Its providers and models are in its configuration, so it needs the person's.
    let persons = brief.persons(program, "CODEX_HOME", ".codex");
    let own = brief.private.join("codex");
    launch.own_folder("CODEX_HOME", &own)?;
    match program.local {
        Some(local) => local.past_the_proxy(&mut launch.env),
        None => {
            launch.seed(SeedHow::Link, persons.join("auth.json"), own.join("auth.json"));
            launch.seed(SeedHow::Copy, persons.join("config.toml"), own.join("config.toml"));
        }
    }
    // It tells the end of a limit as a time of day in its own zone, without naming the zone.
    if !program.set_env.contains_key("TZ") {
        launch.env.insert("TZ".to_owned(), "UTC".to_owned());
    }

    let argv = &mut launch.argv;
    argv.extend(words(["exec", "--json", "--skip-git-repo-check", "--disable", "plugins"]));
    for setting in ["check_for_update_on_startup=false", "analytics.enabled=false", "notify=[]"] {
        argv.extend(words(["-c", setting]));
    }
    for setting in program.local.map(Local::for_codex).iter().flatten() {
        argv.extend(words(["-c", setting]));
    }
    // Its own sandbox cannot be built inside of ours. Without ours, `/tmp` is shared by all and
    // closed; its private $TMPDIR stays open.
    match (brief.walled, brief.answer_schema) {
        (true, _) => argv.extend(words(["-s", "danger-full-access"])),
        (false, Some(_)) => argv.extend(words(["-s", "read-only"])),
        (false, None) => {
            argv.extend(words(["-s", "workspace-write"]));
            argv.extend(words(["-c", "sandbox_workspace_write.exclude_slash_tmp=true"]));
        }
    }
    if let Some(hook) = brief.hook {
        // Without the second it passes over a hook that nobody confirmed, and says nothing.
        argv.extend(words(["-c", &hook_setting(hook), "--dangerously-bypass-hook-trust"]));
    }
    if let Some(server) = server::for_codex(brief)? {
        argv.extend(words(["-c", &server]));
    }
    let model = program.local.map(|local| local.model.as_str()).or_else(|| brief.model(program));
    if let Some(model) = model {
        argv.extend(words(["-m", model]));
    }
    if let Some(schema) = brief.answer_schema {
        let file = brief.private.join("answer-schema.json");
        argv.extend(words(["--output-schema", text(&file)?]));
        launch.files.push((file, schema.to_owned()));
    }
    launch.argv.extend(program.args.iter().cloned());
    if let Some(session) = brief.resume {
        launch.argv.extend(words(["resume", session]));
    }
    launch.argv.push("-".to_owned());
    launch.stdin = Some(brief.prompt_file.to_path_buf());
    Ok(launch)
}

/// The hook as a setting in TOML. It is asked about every tool, since a patch may come by way of a shell command.
fn hook_setting(hook: &[String]) -> String {
    let command = toml::Value::String(shell_words::join(hook));
    format!(r#"hooks.PreToolUse=[{{matcher=".*",hooks=[{{type="command",command={command},timeout=10}}]}}]"#)
}

/// What codex prints.
#[derive(Default)]
pub(super) struct Lines {
    /// Items told at their start, so that they are not told again at their end.
    started: BTreeSet<String>,
    /// A patch that a hook refused and whose paths are on the lines to come.
    patch: Option<Patch>,
    /// The last error, which comes twice: by itself and as that of the turn.
    error: String,
    done: bool,
}

struct Patch {
    reason: String,
    is_told: bool,
}

/// More items at once than this are told twice.
const MAX_STARTED: usize = 1000;

impl Dialect for Lines {
    fn object(&mut self, line: &Value, seen: &mut Seen) {
        match line["type"].as_str() {
            Some("thread.started") => seen.session(line["thread_id"].as_str()),
            Some(kind @ ("item.started" | "item.completed")) => {
                self.item(&line["item"], kind == "item.completed", seen);
            }
            Some("turn.completed") => {
                self.done = true;
                seen.got_past();
                used(&line["usage"], seen);
            }
            Some("error") => self.failed(&line["message"], seen),
            Some("turn.failed") => self.failed(&line["error"]["message"], seen),
            _ => {}
        }
    }

    /// Refused patches are told here alone, and the run is a success for all that.
    fn stderr(&mut self, line: &str, seen: &mut Seen) {
        const PATCHED: [&str; 3] = ["*** Add File: ", "*** Update File: ", "*** Delete File: "];
        if let Some((_, error)) = line.split_once("ERROR codex_core::tools::router: error=") {
            self.over(seen);
            self.refused(error, seen);
            seen.note(line);
        } else if let Some(patch) = &mut self.patch {
            if let Some(path) = PATCHED.iter().find_map(|mark| line.strip_prefix(mark)) {
                patch.is_told = true;
                seen.emit(refusal("apply_patch", Some(path), &patch.reason));
            } else if line == "*** End Patch" {
                self.over(seen);
            }
        } else if line != "Reading additional input from stdin..." {
            seen.note(line);
        }
    }

    fn over(&mut self, seen: &mut Seen) {
        if let Some(patch) = self.patch.take().filter(|patch| !patch.is_told) {
            seen.emit(refusal("apply_patch", None, &patch.reason));
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Lines {
    fn refused(&mut self, error: &str, seen: &mut Seen) {
        if let Some(blocked) = error.strip_prefix("Command blocked by PreToolUse hook: ") {
            let (reason, command) = blocked.split_once(". Command: ").unwrap_or((blocked, ""));
            if command.contains("apply_patch") || command.contains("*** Begin Patch") {
                self.patch = Some(Patch { reason: reason.to_owned(), is_told: false });
            } else {
                seen.emit(refusal("shell", None, reason));
            }
        } else if error.starts_with("patch rejected: ") {
            seen.emit(refusal("apply_patch", None, error));
        }
    }

    fn item(&mut self, item: &Value, is_completed: bool, seen: &mut Seen) {
        let kind = item["type"].as_str().unwrap_or_default();
        let words = |name: &str| item[name].as_str().unwrap_or_default();
        // Only what runs for a while has a start.
        let is_news = match item["id"].as_str() {
            Some(id) if is_completed => !self.started.remove(id),
            Some(id) if self.started.len() < MAX_STARTED => self.started.insert(id.to_owned()),
            _ => true,
        };
        let mut tool = |name: &str, target: Option<String>| {
            seen.got_past();
            if is_news {
                seen.emit(Event::Tool { name: name.to_owned(), target });
            }
        };
        match kind {
            "command_execution" => {
                tool("shell", Some(one_line(words("command"))));
                if is_completed {
                    read_only(words("aggregated_output"), seen);
                }
            }
            "file_change" => {
                for change in item["changes"].as_array().into_iter().flatten() {
                    tool("apply_patch", change["path"].as_str().map(str::to_owned));
                }
            }
            "mcp_tool_call" => {
                tool(&format!("{}.{}", words("server"), words("tool")), target_of(&item["arguments"]));
            }
            "web_search" => tool("web_search", Some(one_line(words("query")))),
            "agent_message" if is_completed => {
                seen.got_past();
                seen.emit(Event::Text(words("text").to_owned()));
            }
            // An item of this type is no failure, however bad it sounds.
            "error" if is_completed => seen.emit(Event::Warning(words("message").to_owned())),
            _ => {}
        }
    }

    fn failed(&mut self, message: &Value, seen: &mut Seen) {
        let message = message.as_str().unwrap_or_default();
        if let Some((attempt, of, why)) = reconnecting(message) {
            let limit = limit::of_message(why);
            let hopeless = limit.is_some_and(LimitKind::is_hopeless);
            seen.emit(Event::Retrying { attempt, of, why: why.to_owned(), limit, hopeless });
            return;
        }
        if self.error == message {
            return;
        }
        self.error = message.to_owned();
        self.done = false;
        seen.got_past();
        match limit::of_message(message) {
            Some(kind) => {
                let resets_at = limit::reset_in(message, seen.now);
                seen.emit(Event::Limited(Limit { kind, resets_at, message: message.to_owned() }));
            }
            None => seen.error = Some(message.to_owned()),
        }
    }
}

fn refusal(tool: &str, path: Option<&str>, reason: &str) -> Event {
    Event::ToolRefused(Refused {
        tool: tool.to_owned(),
        path: path.map(str::to_owned),
        reason: reason.to_owned(),
    })
}

/// `Reconnecting... 1/5 (why)`; or `Reconnecting... waiting for network (why)`, which it says again and again
/// for as long as nothing answers, and does not count.
fn reconnecting(message: &str) -> Option<(u32, Option<u32>, &str)> {
    let said = message.strip_prefix("Reconnecting... ")?;
    if let Some(why) = said.strip_prefix("waiting for network") {
        return Some((1, None, in_brackets(why.trim())));
    }
    let (count, why) = said.split_once(' ').unwrap_or_default();
    let (attempt, of) = count.split_once('/')?;
    Some((attempt.parse().ok()?, Some(of.parse().ok()?), in_brackets(why)))
}

fn in_brackets(text: &str) -> &str {
    text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text)
}

/// What a command could not write because of the sandbox; the command itself may still succeed.
fn read_only(output: &str, seen: &mut Seen) {
    for line in output.lines() {
        let Some(rest) = line.strip_suffix(": Read-only file system") else { continue };
        // `bash: line 1: PATH`, or `fatal: Unable to create 'PATH'`.
        let last = rest.rsplit(": ").next().unwrap_or(rest);
        let path = last.split(['\'', '"', '‘', '’']).nth(1).unwrap_or(last);
        seen.emit(refusal("shell", Some(path), &one_line(line)));
    }
}

/// The figures are those of the whole session, and its input has the cached part in it.
fn used(usage: &Value, seen: &mut Seen) {
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let (cached, written) = (count("cached_input_tokens"), count("cache_write_input_tokens"));
    let before = seen.used_before;
    seen.used(Usage {
        input_tokens: count("input_tokens")
            .saturating_sub(cached)
            .saturating_sub(written)
            .saturating_sub(before.input_tokens),
        cached_tokens: cached.saturating_sub(before.cached_tokens),
        cache_write_tokens: written.saturating_sub(before.cache_write_tokens),
        output_tokens: count("output_tokens").saturating_sub(before.output_tokens),
        usd: None,
    });
}
