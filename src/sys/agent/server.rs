//! Telling an agent of the server by which it reaches Kapell from inside its wall.
//!
//! The variables are named for each agent, though Claude Code and opencode hand their whole
//! environment on: codex gives a server none but a few of its own choice.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::launch::{BadCommand, Brief, text};

/// The name under which the agent knows the server; a part of its tools' names.
const NAME: &str = "kapell";

/// For Claude Code's `--mcp-config`.
pub(super) fn for_claude(brief: &Brief<'_>) -> Result<Option<String>, BadCommand> {
    let Some((program, arguments)) = brief.server.and_then(<[String]>::split_first) else { return Ok(None) };
    let server = json!({"type": "stdio", "command": program, "args": arguments, "env": variables(brief)?});
    Ok(Some(json!({"mcpServers": {NAME: server}}).to_string()))
}

/// For codex's `-c`, in TOML.
pub(super) fn for_codex(brief: &Brief<'_>) -> Result<Option<String>, BadCommand> {
    let Some((program, arguments)) = brief.server.and_then(<[String]>::split_first) else { return Ok(None) };
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let arguments: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
    let env: Vec<String> =
        variables(brief)?.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    Ok(Some(format!(
        "mcp_servers.{NAME}={{command={},args=[{}],env={{{}}}}}",
        quoted(program),
        arguments.join(","),
        env.join(",")
    )))
}

/// For opencode's configuration, under `mcp`.
pub(super) fn for_opencode(brief: &Brief<'_>) -> Result<Option<(String, Value)>, BadCommand> {
    let Some(command) = brief.server else { return Ok(None) };
    let environment = variables(brief)?;
    let server = json!({"type": "local", "command": command, "environment": environment, "enabled": true});
    Ok(Some((NAME.to_owned(), server)))
}

/// What the server needs to find its way out.
fn variables(brief: &Brief<'_>) -> Result<BTreeMap<&'static str, String>, BadCommand> {
    let mut variables = BTreeMap::new();
    variables.insert("KAPELL_ATTEMPT", brief.attempt.to_owned());
    if let Some(socket) = brief.socket {
        variables.insert("KAPELL_SOCKET", text(socket)?.to_owned());
    }
    Ok(variables)
}
