//! Claude Code 2.1: `claude -p` with `stream-json`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::event::{Event, Limit, LimitKind, Refused};
use super::launch::{BadCommand, Brief, Launch, Program, SeedHow, text, words};
use super::reader::{Dialect, Seen, dollars, path_of, shorten, target_of};
use super::registration::CLAUDE_TOOLS;
use super::{REFUSAL_PREFIX, limit, server};
use crate::base::clock::Time;
use crate::domain::usage::Usage;

/// What turns off everything that is not the work itself.
const QUIET: [&str; 4] = [
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "DISABLE_AUTOUPDATER",
    "DISABLE_TELEMETRY",
    "DISABLE_ERROR_REPORTING",
];

/// Variables that sign it in by themselves.
const KEYS: [&str; 3] = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"];

pub(super) fn launch(
    program: &Program<'_>,
    brief: &Brief<'_>,
    mut launch: Launch,
) -> Result<Launch, BadCommand> {
    for name in QUIET {
        launch.default_env(name, "1");
    }
    if brief.is_root {
        // It refuses to skip permissions as root unless it is told that it is in a sandbox.
        launch.default_env("IS_SANDBOX", "1");
    }
    config_folder(program, brief, &mut launch, cfg!(target_os = "macos"))?;

    let argv = &mut launch.argv;
    // The prompt comes from a file on stdin: as an argument it could pass for an option.
    argv.extend(words(["-p", "--output-format", "stream-json", "--verbose"]));
    if let Some(model) = brief.model(program) {
        argv.extend(words(["--model", model]));
    }
    match brief.resume {
        Some(session) => argv.extend(words(["--resume", session])),
        None => argv.extend(words(["--session-id", brief.session])),
    }
    match brief.answer_schema {
        // In this mode only what reads is let through, commands that only read included.
        Some(schema) => {
            argv.extend(words(["--permission-mode", "dontAsk", "--tools", "Read,Glob,Grep,Bash"]));
            argv.extend(words(["--json-schema", schema]));
        }
        None => {
            argv.extend(words(["--dangerously-skip-permissions", "--tools", "Read,Edit,Write,Bash"]));
        }
    }
    argv.extend(words(["--strict-mcp-config", "--setting-sources", "", "--disable-slash-commands"]));
    if let Some(hook) = brief.hook {
        let settings = brief.private.join("claude-settings.json");
        argv.extend(words(["--settings", text(&settings)?]));
        launch.files.push((settings, hook_settings(hook)));
    }
    if let Some(servers) = server::for_claude(brief)? {
        // Else it begins after two seconds without the tools of a server that is slow to start, on a busy machine.
        launch.default_env("MCP_CONNECTION_NONBLOCKING", "0");
        let file = brief.private.join("claude-servers.json");
        launch.argv.extend(words(["--mcp-config", text(&file)?]));
        launch.files.push((file, servers));
    }
    if let Some(usd) = brief.budget_usd {
        launch.argv.extend(words(["--max-budget-usd", &usd.to_string()]));
    }
    launch.argv.extend(program.args.iter().cloned());
    launch.stdin = Some(brief.prompt_file.to_path_buf());
    Ok(launch)
}

/// A configuration folder of its own, with the person's sign-in. Where the sign-in is in the
/// system's keychain it is bound to the person's folder, which then has to be used itself,
/// unless a key is in the environment.
pub(super) fn config_folder(
    program: &Program<'_>,
    brief: &Brief<'_>,
    launch: &mut Launch,
    keychain: bool,
) -> Result<(), BadCommand> {
    let persons = brief.persons(program, "CLAUDE_CONFIG_DIR", ".claude");
    if keychain && !KEYS.iter().any(|key| launch.env.contains_key(*key)) {
        if persons != brief.home.join(".claude") {
            launch.env.insert("CLAUDE_CONFIG_DIR".to_owned(), text(&persons)?.to_owned());
        }
        launch.persons.extend([persons, brief.home.join(".claude.json")]);
        return Ok(());
    }
    let own = brief.private.join("claude");
    launch.own_folder("CLAUDE_CONFIG_DIR", &own)?;
    launch.seed(SeedHow::Link, persons.join(".credentials.json"), own.join(".credentials.json"));
    Ok(())
}

/// Settings that ask the hook before each edit, and before each command: what a command writes by a
/// redirection or a well-known program can be told from its words.
fn hook_settings(hook: &[String]) -> String {
    let command = shell_words::join(hook);
    json!({"hooks": {"PreToolUse": [{
        "matcher": CLAUDE_TOOLS,
        "hooks": [{"type": "command", "command": command, "timeout": 10}],
    }]}})
    .to_string()
}

/// What Claude Code prints.
#[derive(Default)]
pub(super) struct Lines {
    /// Uses of tools whose result is not here yet, or was an error: name, path, error.
    calls: BTreeMap<String, Call>,
    /// Uses of tools that were told as refused.
    refused: BTreeSet<String>,
    /// The kind of error that the last message was.
    error: Option<String>,
    /// Messages whose beginning was counted, and what was sent for them.
    messages: BTreeSet<String>,
    sent: Usage,
    done: bool,
}

struct Call {
    tool: String,
    path: Option<String>,
    error: String,
}

/// More open uses of tools than this are forgotten: only the reason of a refusal would be lost.
const MAX_CALLS: usize = 1000;

impl Dialect for Lines {
    fn object(&mut self, line: &Value, seen: &mut Seen) {
        seen.session(line["session_id"].as_str());
        match line["type"].as_str() {
            Some("system") => system(line, seen),
            Some("assistant") => self.assistant(line, seen),
            Some("user") => self.tool_results(line, seen),
            Some("rate_limit_event") => rate_limit(&line["rate_limit_info"], seen),
            Some("result") => self.result(line, seen),
            _ => {}
        }
    }

    /// One that was stopped, or died, did not tell what it used: what was sent is known all the same, and counts.
    fn over(&mut self, seen: &mut Seen) {
        if seen.usage == Usage::default() {
            seen.used(self.sent);
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

fn system(line: &Value, seen: &mut Seen) {
    let words = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    match line["subtype"].as_str() {
        Some("init") => {
            for server in line["mcp_servers"].as_array().into_iter().flatten() {
                if server["status"] == "failed" {
                    let name = server["name"].as_str().unwrap_or_default();
                    seen.emit(Event::Warning(format!("the MCP server {name:?} did not start")));
                }
            }
        }
        Some("api_retry") => {
            let limit = limit_of(line["error"].as_str(), line["error_status"].as_u64(), "");
            let count = |name: &str| line[name].as_u64().and_then(|count| u32::try_from(count).ok());
            let status = line["error_status"].as_u64().map(|status| format!(" ({status})"));
            seen.emit(Event::Retrying {
                attempt: count("attempt").unwrap_or(1),
                of: count("max_retries"),
                why: format!("{}{}", words("error").replace('_', " "), status.unwrap_or_default()),
                limit,
                hopeless: limit.is_some_and(LimitKind::is_hopeless),
            });
        }
        Some("model_fallback") => {
            let told = line["content"].as_str().map(str::to_owned);
            seen.emit(Event::Warning(told.unwrap_or_else(|| {
                format!("{} is used instead of {}", words("fallback_model"), words("original_model"))
            })));
        }
        Some("task_started" | "task_progress") => {
            if let Some(description) = line["description"].as_str() {
                seen.emit(Event::Progress(description.to_owned()));
            }
        }
        _ => {}
    }
}

fn rate_limit(info: &Value, seen: &mut Seen) {
    let window = info["rateLimitType"].as_str().unwrap_or("rate").replace('_', " ");
    // Seconds; in the year 5138 such a number will be no more of milliseconds.
    let is_millis = |at: &i64| *at > 100_000_000_000;
    let at = info["resetsAt"].as_i64();
    let resets_at = at.map(|at| if is_millis(&at) { Time::from_millis(at) } else { Time::from_seconds(at) });
    let until = resets_at.map(|at| format!(", resets at {at}")).unwrap_or_default();
    match info["status"].as_str() {
        Some("rejected") if info["isUsingOverage"] != true => seen.emit(Event::Limited(Limit {
            kind: LimitKind::RateLimit,
            resets_at,
            message: format!("the {window} limit is reached{until}"),
        })),
        Some("rejected" | "allowed_warning") => {
            let share = info["utilization"].as_f64().map(|share| format!(" at {:.0} %", share * 100.0));
            seen.emit(Event::Warning(format!(
                "the {window} limit is{}{until}",
                share.unwrap_or_else(|| " near".into())
            )));
        }
        _ => {}
    }
}

impl Lines {
    /// Each line is one block of a message. Its usage is that of the message's start: what was sent, once for all of
    /// its lines, and nothing of what came back.
    fn assistant(&mut self, line: &Value, seen: &mut Seen) {
        if let Some(error) = line["error"].as_str() {
            self.error = Some(error.to_owned());
            return;
        }
        if let Some(id) = line["message"]["id"].as_str().filter(|_| self.messages.len() < MAX_CALLS)
            && self.messages.insert(id.to_owned())
        {
            self.sent = self.sent.plus(Usage { output_tokens: 0, ..counted(&line["message"]["usage"]) });
        }
        let is_subagent = line["parent_tool_use_id"].is_string();
        for block in line["message"]["content"].as_array().into_iter().flatten() {
            match (block["type"].as_str(), block["text"].as_str(), block["name"].as_str()) {
                (Some("text"), Some(text), _) => {
                    seen.got_past();
                    let text = text.to_owned();
                    seen.emit(if is_subagent { Event::Progress(text) } else { Event::Text(text) });
                }
                (Some("tool_use"), _, Some(name)) => {
                    seen.got_past();
                    let input = &block["input"];
                    seen.emit(Event::Tool { name: name.to_owned(), target: target_of(input) });
                    if let Some(id) = block["id"].as_str().filter(|_| self.calls.len() < MAX_CALLS) {
                        let call = Call { tool: name.to_owned(), path: path_of(input), error: String::new() };
                        self.calls.insert(id.to_owned(), call);
                    }
                }
                _ => {}
            }
        }
    }

    fn tool_results(&mut self, line: &Value, seen: &mut Seen) {
        for block in line["message"]["content"].as_array().into_iter().flatten() {
            let Some(id) = block["tool_use_id"].as_str() else { continue };
            if block["is_error"] != true {
                self.calls.remove(id);
                continue;
            }
            let content = &block["content"];
            let error = content.as_str().or_else(|| content[0]["text"].as_str()).unwrap_or_default();
            let error = shorten(error.trim(), 1000);
            if is_refusal(&error) {
                self.refuse(id, &Value::Null, Some(error), seen);
            } else if let Some(call) = self.calls.get_mut(id) {
                call.error = error;
            }
        }
    }

    /// Tells a refused use of a tool, once. `denial` is what the result says of it, if it does.
    fn refuse(&mut self, id: &str, denial: &Value, reason: Option<String>, seen: &mut Seen) {
        if !self.refused.insert(id.to_owned()) {
            return;
        }
        let call = self.calls.remove(id);
        let told = call.as_ref().map(|call| call.error.clone()).filter(|error| !error.is_empty());
        let refused = Refused {
            tool: match (&call, denial["tool_name"].as_str()) {
                (Some(call), _) => call.tool.clone(),
                (None, told) => told.unwrap_or("unknown").to_owned(),
            },
            path: call.and_then(|call| call.path).or_else(|| path_of(&denial["tool_input"])),
            reason: reason.or(told).unwrap_or_else(|| "permission denied".to_owned()),
        };
        seen.emit(Event::ToolRefused(refused));
    }

    fn result(&mut self, line: &Value, seen: &mut Seen) {
        seen.used(usage(line));
        for denial in line["permission_denials"].as_array().into_iter().flatten() {
            if let Some(id) = denial["tool_use_id"].as_str() {
                self.refuse(id, denial, None, seen);
            }
        }
        let text = line["result"].as_str();
        // Neither of the two alone is enough: a refused request is "success" with an error.
        self.done = line["subtype"] == "success" && line["is_error"] == false;
        if self.done {
            seen.got_past();
            if let Some(text) = text {
                seen.text = Some(text.to_owned());
            }
            seen.structured = line.get("structured_output").filter(|answer| answer.is_object()).cloned();
            return;
        }
        let errors = line["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let errors = errors.collect::<Vec<_>>().join("; ");
        let subtype = line["subtype"].as_str().unwrap_or("error");
        let message = match text {
            Some(text) => text.to_owned(),
            None if errors.is_empty() => subtype.to_owned(),
            None => format!("{subtype}: {errors}"),
        };
        match limit_of(self.error.as_deref(), line["api_error_status"].as_u64(), text.unwrap_or_default()) {
            Some(kind) => {
                let told = seen.limit.as_ref().and_then(|limit| limit.resets_at);
                let resets_at = told.or_else(|| limit::reset_in(&message, seen.now));
                seen.emit(Event::Limited(Limit { kind, resets_at, message }));
            }
            None => {
                seen.got_past();
                seen.error = Some(message);
            }
        }
    }
}

/// The limit that an error is: by its kind, its status, and only without both by its text.
fn limit_of(error: Option<&str>, status: Option<u64>, text: &str) -> Option<LimitKind> {
    match (error, status) {
        (Some("billing_error"), _) => Some(LimitKind::Quota),
        (Some("authentication_failed"), _) => Some(LimitKind::Auth),
        (Some("rate_limit"), _) => Some(LimitKind::RateLimit),
        (Some("overloaded"), _) => Some(LimitKind::Overload),
        (_, Some(status)) => limit::of_status(status),
        (_, None) => limit::of_message(text),
    }
}

/// Whether the error of a tool says that it was not allowed, rather than that it failed. A refusal
/// by someone else's hook cannot be told here; the result lists it at the end.
fn is_refusal(error: &str) -> bool {
    const SIGNS: [&str; 6] = [
        "Claude requested permissions to ",
        "Permission to use ",
        " hook error: ",
        " was blocked. For security, ",
        "denied by your permission settings",
        "exists but is not enabled in this context",
    ];
    error.starts_with(REFUSAL_PREFIX) || SIGNS.iter().any(|sign| error.contains(sign))
}

/// What the run used. Only the figures for each model have subagents and other models in them.
fn usage(result: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let mut sum = Usage::default();
    match result["modelUsage"].as_object().filter(|models| !models.is_empty()) {
        Some(models) => {
            for used in models.values() {
                sum = sum.plus(Usage {
                    input_tokens: count(&used["inputTokens"]),
                    cached_tokens: count(&used["cacheReadInputTokens"]),
                    cache_write_tokens: count(&used["cacheCreationInputTokens"]),
                    output_tokens: count(&used["outputTokens"]),
                    usd: None,
                });
            }
        }
        None => {
            sum = counted(&result["usage"]);
        }
    }
    Usage { usd: dollars(&result["total_cost_usd"]), ..sum }
}

/// Tokens as the API counts them.
fn counted(used: &Value) -> Usage {
    let count = |name: &str| used[name].as_u64().unwrap_or(0);
    Usage {
        input_tokens: count("input_tokens"),
        cached_tokens: count("cache_read_input_tokens"),
        cache_write_tokens: count("cache_creation_input_tokens"),
        output_tokens: count("output_tokens"),
        usd: None,
    }
}
