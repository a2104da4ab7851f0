//! The entry that registers Kapell as a server, added to the text of an agent's configuration.
//! The rest of the text stays as it is, byte by byte.

use std::path::Path;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstRootNode};
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

/// Adds `{section: {"kapell": entry}}`. Only opencode reads comments and trailing commas; for
/// the others the text has to be what every reader of JSON takes.
fn json_entry(
    path: &Path,
    text: &str,
    section: &str,
    entry: CstInputValue,
    comments: bool,
) -> Result<Option<String>, Refusal> {
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
    let wrong = |what: &str| {
        Refusal::new(
            Code::Unsupported,
            format!("{what} in {} is no object", path.display()),
            "make it one, or pass over the agents with --no-agents",
        )
    };
    let object = root.object_value_or_create().ok_or_else(|| wrong("what stands"))?;
    let servers = object.object_value_or_create(section).ok_or_else(|| wrong(section))?;
    if servers.get("kapell").is_some() {
        return Ok(None);
    }
    // On a line of its own, as people read it.
    object.ensure_multiline();
    servers.append("kapell", entry);
    servers.ensure_multiline();
    Ok(Some(format!("{mark}{root}")))
}

/// Adds `[mcp_servers.kapell]` at the end.
fn toml_entry(path: &Path, text: &str) -> Result<Option<String>, Refusal> {
    let parse = |text: &str| text.parse::<toml::Table>();
    let before = parse(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        broken(path, line, column, error.message())
    })?;
    let servers =
        |table: &toml::Table| table.get("mcp_servers").and_then(|servers| servers.as_table()).cloned();
    if servers(&before).is_some_and(|servers| servers.contains_key("kapell")) {
        return Ok(None);
    }
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut after = text.to_owned();
    if !after.is_empty() {
        if !after.ends_with('\n') {
            after.push_str(newline);
        }
        after.push_str(newline);
    }
    for line in ["[mcp_servers.kapell]", "command = \"kapell\"", "args = [\"mcp\"]"] {
        after.push_str(line);
        after.push_str(newline);
    }
    // The text is only trusted if it means what was there before and the entry, nothing else:
    // servers written in one line cannot be added to from below.
    let meant = parse(&after).ok().map(|mut table| {
        if let Some(servers) = table.get_mut("mcp_servers").and_then(|servers| servers.as_table_mut()) {
            servers.remove("kapell");
            if servers.is_empty() && !before.contains_key("mcp_servers") {
                table.remove("mcp_servers");
            }
        }
        table
    });
    if meant.as_ref() != Some(&before) {
        return Err(Refusal::new(
            Code::Unsupported,
            format!("mcp_servers in {} is written so that nothing can be added below it", path.display()),
            "add it by hand: kapell = { command = \"kapell\", args = [\"mcp\"] }",
        ));
    }
    Ok(Some(after))
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
