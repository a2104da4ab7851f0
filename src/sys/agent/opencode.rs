//! opencode 1.18: `opencode run --format json`.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::answer;
use super::event::{Event, Limit, LimitKind, Refused};
use super::launch::{BadCommand, Brief, Launch, Program, SeedHow, words};
use super::reader::{Dialect, Seen, dollars, path_of, target_of};
use super::{Local, limit, server};
use crate::base::clock::Time;
use crate::domain::usage::Usage;

pub(super) fn launch(
    program: &Program<'_>,
    brief: &Brief<'_>,
    mut launch: Launch,
) -> Result<Launch, BadCommand> {
    for name in ["AUTOUPDATE", "SHARE", "LSP_DOWNLOAD", "PROJECT_CONFIG"] {
        // The last: what the repository configures could undo the permissions below.
        launch.default_env(&format!("OPENCODE_DISABLE_{name}"), "1");
    }
    let data = brief.persons(program, "XDG_DATA_HOME", ".local/share").join("opencode");
    let cache = brief.persons(program, "XDG_CACHE_HOME", ".cache").join("opencode");
    // The person's configuration is only read, and stays where it is: providers are in it.
    let config = brief.persons(program, "XDG_CONFIG_HOME", ".config");
    if config != brief.home.join(".config") {
        launch.default_env("XDG_CONFIG_HOME", super::launch::text(&config)?);
    }
    for (variable, folder) in
        [("XDG_DATA_HOME", "data"), ("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache")]
    {
        launch.own_folder(variable, &brief.private.join(folder))?;
    }
    for folder in ["data/opencode", "cache/opencode"] {
        launch.folders.push(brief.private.join(folder));
    }
    let own = |file: &str| brief.private.join(file);
    match program.local {
        Some(local) => local.past_the_proxy(&mut launch.env),
        None => launch.seed(SeedHow::Link, data.join("auth.json"), own("data/opencode/auth.json")),
    }
    launch.seed(SeedHow::Copy, cache.join("models.json"), own("cache/opencode/models.json"));
    let inline = inline_config(launch.env.get("OPENCODE_CONFIG_CONTENT"), program.local, brief)?;
    launch.env.insert("OPENCODE_CONFIG_CONTENT".to_owned(), inline);

    let argv = &mut launch.argv;
    // The log tells of refused requests at once, which the events do only when it gives up, if
    // ever. `--auto` lets through what is neither allowed nor denied: a question would end the run.
    argv.extend(words(["run", "--format", "json", "--print-logs", "--log-level", "ERROR", "--auto"]));
    match brief.resume {
        Some(session) => argv.extend(words(["-s", session])),
        // A title of ours spares the request for one.
        None => argv.extend(words(["--title", &format!("kapell {}", brief.attempt)])),
    }
    let local = program.local.map(|local| format!("{}/{}", super::local::NAME, local.model));
    if let Some(model) = local.as_deref().or_else(|| brief.model(program)) {
        argv.extend(words(["-m", model]));
    }
    argv.extend(program.args.iter().cloned());
    // On stdin: it wraps an argument with blanks in quotes.
    let (_, prompt_file) = answer::asked_in_words(brief, &mut launch);
    launch.stdin = Some(prompt_file);
    Ok(launch)
}

/// The configuration that goes over the person's: what the caller gave this way, and ours over it.
fn inline_config(
    callers: Option<&String>,
    local: Option<&Local>,
    brief: &Brief<'_>,
) -> Result<String, BadCommand> {
    let mut config: Map<String, Value> = match callers {
        Some(text) if !text.trim().is_empty() => {
            serde_json::from_str(text).map_err(|error| BadCommand::BadInlineConfig(error.to_string()))?
        }
        _ => Map::new(),
    };
    for (name, value) in local.map(Local::for_opencode).into_iter().flatten() {
        config.insert(name.to_owned(), value);
    }
    config.insert("autoupdate".to_owned(), json!(false));
    config.insert("share".to_owned(), json!("disabled"));
    // Snapshots of the worktree are Kapell's.
    config.insert("snapshot".to_owned(), json!(false));
    let mut permission = config
        .remove("permission")
        .and_then(|rules| match rules {
            Value::Object(rules) => Some(rules),
            _ => None,
        })
        .unwrap_or_default();
    permission.insert("external_directory".to_owned(), json!("deny"));
    if brief.answer_schema.is_some() {
        permission.insert("edit".to_owned(), json!("deny"));
        permission.insert("bash".to_owned(), json!("deny"));
    } else {
        permission.insert("edit".to_owned(), edit_rules(brief.files));
    }
    config.insert("permission".to_owned(), Value::Object(permission));
    if let Some((name, server)) = server::for_opencode(brief)? {
        // Beside the person's own servers.
        match config.entry("mcp").or_insert_with(|| json!({})) {
            Value::Object(servers) => drop(servers.insert(name, server)),
            other => *other = json!({name: server}),
        }
    }
    Ok(Value::Object(config).to_string())
}

/// Rules that allow the edits of what the attempt owns. The last one that matches counts.
fn edit_rules(files: &[String]) -> Value {
    let mut rules = Map::new();
    rules.insert("*".to_owned(), json!("deny"));
    for pattern in files {
        let wide = widened(pattern.trim_end_matches('/'));
        // A rule with a wildcard at its end reaches into folders already.
        let reaches = wide.ends_with('*');
        if !reaches {
            rules.insert(format!("{wide}/*"), json!("allow"));
        }
        if reaches || !pattern.ends_with('/') {
            rules.insert(wide, json!("allow"));
        }
    }
    Value::Object(rules)
}

/// A pattern in opencode's language, where `*` is any text with slashes and there is little else:
/// never narrower than ours. What it lets through beyond the claim, the landing holds.
fn widened(pattern: &str) -> String {
    let mut wide = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let piece = match c {
            '{' => {
                let mut depth = 1;
                while depth > 0 {
                    match chars.next() {
                        Some('{') => depth += 1,
                        Some('}') => depth -= 1,
                        Some(_) => {}
                        None => depth = 0,
                    }
                }
                '*'
            }
            '[' => {
                // A `]` that comes first is of the class.
                let _ = chars.next_if_eq(&'!').or_else(|| chars.next_if_eq(&'^'));
                let _ = chars.next_if_eq(&']');
                let _ = chars.by_ref().find(|c| *c == ']');
                '?'
            }
            '*' if chars.next_if_eq(&'*').is_some() => {
                // `**/` is also nothing at all.
                let _ = chars.next_if_eq(&'/');
                '*'
            }
            c => c,
        };
        if piece != '*' || !wide.ends_with('*') {
            wide.push(piece);
        }
    }
    wide
}

/// What opencode prints.
#[derive(Default)]
pub(super) struct Lines {
    /// The steps so far.
    used: Usage,
    /// Which those are.
    counted: HashSet<String>,
    /// How the last step ended; `None` while one runs.
    reason: Option<String>,
    is_in_step: bool,
    /// What was said since the last step began.
    text: String,
    /// Requests in a row that came to nothing.
    retries: u32,
    /// The last refusal of a request, and when that was, in milliseconds.
    refused: Option<(i64, Event)>,
    failed: bool,
}

impl Dialect for Lines {
    fn object(&mut self, line: &Value, seen: &mut Seen) {
        seen.session(line["sessionID"].as_str());
        let part = &line["part"];
        match line["type"].as_str() {
            Some("step_start") => {
                if self.is_in_step {
                    let _ = self.again("the answer broke off", None, seen);
                }
                self.is_in_step = true;
                self.reason = None;
                self.say(seen);
            }
            Some("text") => {
                if let Some(text) = part["text"].as_str() {
                    let refused = self.still_refused(&part["time"], seen);
                    self.text.push_str(text);
                    seen.emit(Event::Text(text.to_owned()));
                    refused.into_iter().for_each(|event| seen.emit(event));
                }
            }
            Some("tool_use") => {
                let refused = self.still_refused(&part["state"]["time"], seen);
                tool_use(part, seen);
                refused.into_iter().for_each(|event| seen.emit(event));
            }
            Some("step_finish") => self.step_finish(part, seen),
            Some("error") => self.error(&line["error"], line["timestamp"].as_i64(), seen),
            _ => {}
        }
    }

    fn stderr(&mut self, line: &str, seen: &mut Seen) {
        if line.contains("level=INFO") || line.contains("level=DEBUG") {
            return;
        }
        seen.note(line);
        if let Some((_, asked)) = line.split_once("permission requested: ") {
            seen.emit(Event::Warning(format!("it asked for a permission, which ends the run: {asked}")));
        } else if line.contains(r#"message="stream error""#) {
            let error = line.split_once("error.error=").map_or(line, |(_, error)| error);
            let error = error.trim_matches('"');
            let error = error.strip_prefix("AI_APICallError: ").unwrap_or(error);
            let limit = limit::of_message(error);
            let again = self.again(error, limit, seen);
            let printed =
                line.split_once("timestamp=").and_then(|(_, rest)| Time::parse(rest.split(' ').next()?));
            self.refused = printed.filter(|_| limit.is_some()).map(|at| (at.as_millis(), again));
            let resets_at = limit::reset_in(error, printed.unwrap_or(seen.now));
            if let (Some(at), Some(limit)) = (resets_at, seen.limit.as_mut()) {
                limit.resets_at = Some(at);
            }
        }
    }

    fn over(&mut self, seen: &mut Seen) {
        self.say(seen);
    }

    fn is_done(&self) -> bool {
        !self.failed && self.reason.as_deref() == Some("stop")
    }
}

impl Lines {
    /// What was said since the last step began is its answer, all of it.
    fn say(&mut self, seen: &mut Seen) {
        if !self.text.is_empty() {
            seen.text = Some(std::mem::take(&mut self.text));
        }
    }

    fn works(&mut self, seen: &mut Seen) {
        self.retries = 0;
        self.refused = None;
        seen.got_past();
    }

    /// The refusal that still holds, though something was said or done: it logs a refused request at once, and
    /// prints only then what came before it. After that it may be silent for an hour.
    fn still_refused(&mut self, time: &Value, seen: &mut Seen) -> Option<Event> {
        match (&self.refused, time["end"].as_i64()) {
            (Some((at, again)), Some(end)) if end <= *at => Some(again.clone()),
            _ => {
                self.works(seen);
                None
            }
        }
    }

    /// It asks again by itself, in the worst case for ever and many times a second.
    fn again(&mut self, why: &str, limit: Option<LimitKind>, seen: &mut Seen) -> Event {
        self.retries = self.retries.saturating_add(1);
        let again = Event::Retrying {
            attempt: self.retries,
            of: None,
            why: why.to_owned(),
            limit,
            hopeless: limit.is_some_and(LimitKind::is_hopeless),
        };
        seen.emit(again.clone());
        again
    }

    /// The figures are those of one step; its input is without the cached part, its output
    /// without the reasoning.
    fn step_finish(&mut self, part: &Value, seen: &mut Seen) {
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        let tokens = &part["tokens"];
        // A step that is told again was paid for once.
        let is_new = part["id"].as_str().is_none_or(|id| self.counted.insert(id.to_owned()));
        let step = Usage {
            input_tokens: count(&tokens["input"]),
            cached_tokens: count(&tokens["cache"]["read"]),
            cache_write_tokens: count(&tokens["cache"]["write"]),
            output_tokens: count(&tokens["output"]).saturating_add(count(&tokens["reasoning"])),
            // It says 0 where it knows no price; then the configured prices are to count.
            usd: dollars(&part["cost"]).filter(|usd| *usd > 0.0),
        };
        if is_new {
            self.used = self.used.plus(step);
        }
        seen.used(self.used);
        self.is_in_step = false;
        let reason = part["reason"].as_str().unwrap_or("unknown");
        match reason {
            "unknown" => drop(self.again("the answer broke off", None, seen)),
            "stop" => self.works(seen),
            "tool-calls" => {}
            other => seen.error = Some(format!("the last step ended with {other:?}")),
        }
        self.reason = Some(reason.to_owned());
    }

    fn error(&mut self, error: &Value, timestamp: Option<i64>, seen: &mut Seen) {
        self.failed = true;
        let data = &error["data"];
        let name = error["name"].as_str().unwrap_or("error");
        let message = data["message"].as_str().unwrap_or(name);
        let body = data["responseBody"].as_str().unwrap_or_default();
        let kind = match data["statusCode"].as_u64() {
            // An account without money answers as one with too many requests.
            Some(429) if limit::of_message(body) == Some(LimitKind::Quota) => Some(LimitKind::Quota),
            Some(status) => limit::of_status(status),
            None if name == "ProviderAuthError" => Some(LimitKind::Auth),
            None => limit::of_message(message),
        };
        seen.got_past();
        let Some(kind) = kind else {
            seen.error = Some(format!("{name}: {message}"));
            return;
        };
        let now = timestamp.map_or(seen.now, Time::from_millis);
        let headers = &data["responseHeaders"];
        let resets_at = headers["retry-after-ms"]
            .as_str()
            .and_then(|millis| limit::later(now, millis.parse::<f64>().ok()? / 1000.0))
            .or_else(|| limit::retry_after(headers["retry-after"].as_str()?, now))
            .or_else(|| limit::reset_in(message, now));
        seen.emit(Event::Limited(Limit { kind, resets_at, message: message.to_owned() }));
    }
}

fn tool_use(part: &Value, seen: &mut Seen) {
    let name = part["tool"].as_str().unwrap_or("unknown");
    let state = &part["state"];
    let input = &state["input"];
    let refuse = |tool: &str, reason: &str| {
        // The rules that follow are ours, and long.
        let reason = reason.split(" Here are some of the relevant rules").next().unwrap_or(reason);
        Event::ToolRefused(Refused { tool: tool.to_owned(), path: path_of(input), reason: reason.to_owned() })
    };
    let error = state["error"].as_str().unwrap_or_default();
    if name == "invalid" {
        // A tool that a rule took away altogether.
        let tool = input["tool"].as_str().unwrap_or("unknown");
        seen.emit(refuse(tool, input["error"].as_str().unwrap_or_default()));
    } else {
        seen.emit(Event::Tool { name: name.to_owned(), target: target_of(input) });
        if error.contains("has specified a rule which prevents you") || error.contains("rejected permission")
        {
            seen.emit(refuse(name, error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_widened_never_narrowed() {
        for (pattern, wide) in [
            ("src/a.rs", "src/a.rs"),
            ("src/*.rs", "src/*.rs"),
            ("src/**", "src/*"),
            ("**/*.md", "*.md"),
            ("src/**/x.rs", "src/*x.rs"),
            ("src/{a,{b,c}}.rs", "src/*.rs"),
            ("src/[!]ab]?.rs", "src/??.rs"),
            ("src/{a", "src/*"),
            ("src/[a", "src/?"),
        ] {
            assert_eq!(widened(pattern), wide, "{pattern}");
        }
    }

    #[test]
    fn rules_deny_first_and_allow_what_is_owned() {
        let files = ["src/db".to_owned(), "docs/".to_owned(), "a b.txt".to_owned(), "x/**".to_owned()];
        let expected = r#"{"*":"deny","src/db/*":"allow","src/db":"allow","docs/*":"allow","a b.txt/*":"allow","a b.txt":"allow","x/*":"allow"}"#;
        assert_eq!(edit_rules(&files).to_string(), expected);
        assert_eq!(edit_rules(&[]).to_string(), r#"{"*":"deny"}"#);
        assert_eq!(edit_rules(&["src/*/".to_owned()]).to_string(), r#"{"*":"deny","src/*":"allow"}"#);
        assert_eq!(edit_rules(&["**".to_owned()]).to_string(), r#"{"*":"allow"}"#);
    }
}
