//! The entry that registers Kapell as a server, added to the text of an agent's configuration.
//! The rest of the text stays as it is, byte by byte.

use std::path::Path;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use jsonc_parser::json;

use super::AgentKind;
use crate::domain::refusal::{Code, Refusal};

/// The text with Kapell registered; `None` if it is already, however the person wrote it.
/// `path` is for the messages.
///
/// # Errors
/// The text is not in the format that the agent reads, or has something else in that place.
pub fn with_kapell(agent: AgentKind, path: &Path, text: Option<&str>) -> Result<Option<String>, Refusal> {
    let text = text.filter(|text| !text.trim().is_empty());
    match agent {
        AgentKind::Command => Ok(None),
        AgentKind::Codex => toml_entry(path, text.unwrap_or_default()),
        AgentKind::Claude => {
            let entry = json!({ "type": "stdio", "command": "kapell", "args": ["mcp"] });
            json_entry(path, text.unwrap_or("{}\n"), "mcpServers", entry, false)
        }
        AgentKind::OpenCode => {
            let entry = json!({ "type": "local", "command": ["kapell", "mcp"], "enabled": true });
            let fresh = "{\n  \"$schema\": \"https://opencode.ai/config.json\"\n}\n";
            json_entry(path, text.unwrap_or(fresh), "mcp", entry, true)
        }
    }
}

/// The tools of Claude Code that write, and those of other servers that are called so.
pub(super) const CLAUDE_TOOLS: &str = "^(Write|Edit|MultiEdit|NotebookEdit|Bash|mcp__.+__.*([wW]rite|[eE]dit|[cC]reate|\
     [mM]ove|[dD]elete|[rR]ename|[aA]ppend|[rR]eplace|[iI]nsert|[uU]pdate|[pP]atch|[sS]ave|[cC]opy).*)$";

/// When a session that Kapell did not start asks or tells, about which tools, and the seconds that it
/// may take: at the end of a session Codex allows no more.
fn moments(tools: &'static str) -> [(&'static str, Option<&'static str>, u32); 4] {
    [
        ("PreToolUse", Some(tools), 10),
        ("PostToolUse", Some(tools), 10),
        ("Stop", None, 10),
        ("SessionEnd", None, 3),
    ]
}

/// The settings of Claude Code with Kapell's hooks; `None` if it has them already, however the
/// person wrote them. `path` is for the messages. `knows_failures` tells whether it knows the event of a tool that
/// failed: until 2.1.101 settings with an event that it does not know were left unread as a whole.
///
/// # Errors
/// The text is no JSON, or has something else in that place.
pub fn with_hooks(
    path: &Path,
    text: Option<&str>,
    knows_failures: impl FnOnce() -> bool,
) -> Result<Option<String>, Refusal> {
    let text = text.filter(|text| !text.trim().is_empty()).unwrap_or("{}\n");
    if text.contains("kapell hook") {
        return Ok(None);
    }
    let (mark, root, object) = json_object(path, text, false)?;
    let hooks = object.object_value_or_create("hooks").ok_or_else(|| no_object(path, "hooks"))?;
    let failures = knows_failures().then_some(("PostToolUseFailure", Some(CLAUDE_TOOLS), 10));
    for (moment, tools, seconds) in moments(CLAUDE_TOOLS).into_iter().chain(failures) {
        let list = hooks.array_value_or_create(moment).ok_or_else(|| no_list(path, moment))?;
        let command = json!([{ "type": "command", "command": "kapell hook claude", "timeout": seconds }]);
        list.append(match tools {
            Some(tools) => json!({ "matcher": tools, "hooks": command }),
            None => json!({ "hooks": command }),
        });
        list.ensure_multiline();
    }
    object.ensure_multiline();
    hooks.ensure_multiline();
    Ok(Some(format!("{mark}{root}")))
}

/// Adds `{section: {"kapell": entry}}`.
fn json_entry(
    path: &Path,
    text: &str,
    section: &str,
    entry: CstInputValue,
    comments: bool,
) -> Result<Option<String>, Refusal> {
    let (mark, root, object) = json_object(path, text, comments)?;
    let servers = object.object_value_or_create(section).ok_or_else(|| no_object(path, section))?;
    if servers.get("kapell").is_some() {
        return Ok(None);
    }
    // On a line of its own, as people read it.
    object.ensure_multiline();
    servers.append("kapell", entry);
    servers.ensure_multiline();
    Ok(Some(format!("{mark}{root}")))
}

/// The object that a text is, with the mark that stands before it. Only opencode reads comments and
/// trailing commas; for the others the text has to be what every reader of JSON takes.
fn json_object(
    path: &Path,
    text: &str,
    comments: bool,
) -> Result<(&'static str, CstRootNode, CstObject), Refusal> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    // Windows' editors put a mark before the text; it stays there.
    let (mark, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    if !comments && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        return Err(broken(path, error.line(), error.column(), what));
    }
    let root = CstRootNode::parse(text, &options).map_err(|error| {
        let kind = error.kind().to_string();
        broken(path, error.line_display(), error.column_display(), &kind)
    })?;
    let object = root.object_value_or_create().ok_or_else(|| no_object(path, "what stands"))?;
    Ok((mark, root, object))
}

fn no_object(path: &Path, what: &str) -> Refusal {
    Refusal::new(
        Code::Unsupported,
        format!("{what} in {} is no object", path.display()),
        "make it one, or pass over the agents with --no-agents",
    )
}

fn no_list(path: &Path, what: &str) -> Refusal {
    Refusal::new(
        Code::Unsupported,
        format!("{what} in {} is no list", path.display()),
        "make it one, or pass over the agents with --no-agents",
    )
}

/// Adds `[mcp_servers.kapell]` and the hooks at the end.
fn toml_entry(path: &Path, text: &str) -> Result<Option<String>, Refusal> {
    let parse = |text: &str| text.parse::<toml::Table>();
    let before = parse(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        broken(path, line, column, error.message())
    })?;
    let entries =
        ["[mcp_servers.kapell]\ncommand = \"kapell\"\nargs = [\"mcp\"]\n".to_owned(), hook_tables()];
    let is_there = [
        before.get("mcp_servers").and_then(|servers| servers.get("kapell")).is_some(),
        before.get("hooks").is_some_and(|hooks| hooks.to_string().contains("kapell hook")),
    ];
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut after = text.to_owned();
    for (entry, _) in entries.iter().zip(is_there).filter(|(_, is_there)| !is_there) {
        if !after.is_empty() {
            if !after.ends_with('\n') {
                after.push_str(newline);
            }
            after.push_str(newline);
        }
        after.push_str(&entry.replace('\n', newline));
    }
    if is_there == [true, true] {
        return Ok(None);
    }
    // The text is only trusted if it means what was there before and the entries, nothing else:
    // tables written in one line cannot be added to from below.
    let meant = parse(&after).ok().map(|mut table| {
        if !is_there[0]
            && let Some(servers) = table.get_mut("mcp_servers").and_then(toml::Value::as_table_mut)
        {
            servers.remove("kapell");
        }
        if !is_there[1]
            && let Some(hooks) = table.get_mut("hooks").and_then(toml::Value::as_table_mut)
        {
            for (moment, ..) in moments("") {
                let list = hooks.get_mut(moment).and_then(toml::Value::as_array_mut);
                let is_empty = list.is_some_and(|list| list.pop().is_some() && list.is_empty());
                if is_empty && before.get("hooks").and_then(|hooks| hooks.get(moment)).is_none() {
                    hooks.remove(moment);
                }
            }
        }
        for name in ["mcp_servers", "hooks"] {
            let is_empty = table.get(name).and_then(toml::Value::as_table).is_some_and(toml::Table::is_empty);
            if is_empty && !before.contains_key(name) {
                table.remove(name);
            }
        }
        table
    });
    if meant.as_ref() != Some(&before) {
        return Err(Refusal::new(
            Code::Unsupported,
            format!(
                "mcp_servers or hooks in {} is written so that nothing can be added below it",
                path.display()
            ),
            "add it by hand: kapell = { command = \"kapell\", args = [\"mcp\"] }; hooks call `kapell hook codex`",
        ));
    }
    Ok(Some(after))
}

/// The hooks of Codex as tables. It is asked about every tool: a patch may come by way of a command.
fn hook_tables() -> String {
    let mut text = String::new();
    for (moment, tools, seconds) in moments(".*") {
        let matcher = tools.map(|tools| format!("matcher = \"{tools}\"\n")).unwrap_or_default();
        text.push_str(&format!(
            "[[hooks.{moment}]]\n{matcher}[[hooks.{moment}.hooks]]\ntype = \"command\"\ncommand = \"kapell hook codex\"\ntimeout = {seconds}\n"
        ));
    }
    text
}

/// Line and column in characters, from 1, of a byte.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

fn broken(path: &Path, line: usize, column: usize, what: &str) -> Refusal {
    let what = what.trim_end_matches('.');
    Refusal::new(
        Code::Unsupported,
        format!("{}:{line}:{column}: {}", path.display(), what.to_lowercase()),
        "repair the file, or pass over the agents with --no-agents",
    )
    .with("line", line)
    .with("column", column)
}
