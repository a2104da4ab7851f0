//! The events of Claude Code and Codex, as far as they concern us.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::served;
use crate::base::halves;
use crate::domain::writes::{Write, of_command, of_patch};

/// When in a session an event comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before a tool is used.
    Before,
    /// After it was used.
    After,
    /// At the end of a turn, or of the session.
    Rest,
    /// At the end of a session whose process goes on with another.
    Replaced,
    /// At any other time.
    Other,
}

/// An event.
#[derive(Debug)]
pub(super) struct Event {
    pub moment: Moment,
    /// The session's id.
    pub session: String,
    /// The folder that the agent is in.
    pub cwd: Option<PathBuf>,
    tool: String,
    input: Input,
}

/// As it comes. The content of a file is in it too, and is not read.
#[derive(Deserialize)]
struct Told {
    hook_event_name: String,
    session_id: String,
    #[serde(default)]
    cwd: Option<PathBuf>,
    #[serde(default)]
    tool_name: Option<String>,
    #[serde(default)]
    tool_input: Option<Value>,
    /// Why a session ended.
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Default)]
struct Input {
    path: Option<String>,
    command: Option<String>,
    /// What a tool of an agent's server writes.
    others: Vec<String>,
}

impl Event {
    /// From the text on stdin; the error says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        // A file with something in it that is no character is as much somebody's as any other.
        let told = serde_json::from_slice(bytes).or_else(|_| {
            let text = String::from_utf8_lossy(bytes);
            serde_json::from_str(halves::mended(&text).as_deref().unwrap_or(&text))
        });
        let told: Told = told.map_err(|error| error.to_string())?;
        let session = told.session_id;
        if session.is_empty()
            || session.len() > 200
            || session.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            return Err(format!("{session:?} is no session's id"));
        }
        let moment = match told.hook_event_name.as_str() {
            "PreToolUse" => Moment::Before,
            // The second where the tool failed, which may have written before it did.
            "PostToolUse" | "PostToolUseFailure" => Moment::After,
            // After these another session begins in the same process.
            "SessionEnd" if matches!(told.reason.as_deref(), Some("clear" | "resume")) => Moment::Replaced,
            "Stop" | "SessionEnd" => Moment::Rest,
            _ => Moment::Other,
        };
        let tool = told.tool_name.unwrap_or_default();
        let input = told.tool_input.as_ref().map(|input| Input::of(&tool, input)).unwrap_or_default();
        // Codex may have a command run elsewhere than where it is.
        let elsewhere = told.tool_input.as_ref().and_then(|input| input["workdir"].as_str());
        let cwd = match (told.cwd, elsewhere) {
            (Some(cwd), Some(elsewhere)) => Some(cwd.join(elsewhere)),
            (cwd, _) => cwd,
        };
        Ok(Self { moment, session, cwd, tool, input })
    }

    /// Who sent it, where the command does not say.
    pub fn agent(&self) -> &'static str {
        if self.tool == "apply_patch" { "codex" } else { "claude" }
    }

    /// Whether it runs a command, of which its words do not tell all.
    pub fn is_command(&self) -> bool {
        matches!(self.tool.as_str(), "Bash" | "shell" | "shell_command" | "local_shell" | "exec_command")
    }

    /// What of a tool's input cannot be read, where that is what tells which files it writes.
    pub fn unreadable(&self) -> Option<String> {
        let wanted = match self.tool.as_str() {
            "Edit" | "Write" | "MultiEdit" | "NotebookEdit" if self.input.path.is_none() => {
                "the path of a file"
            }
            "apply_patch" if of_patch(self.input.command.as_deref().unwrap_or_default()).is_empty() => {
                "a patch that names its files"
            }
            _ if self.is_command() && self.input.command.is_none() => "a command",
            _ => return None,
        };
        Some(format!("the input of {} has no text that is {wanted}", self.tool))
    }

    /// The files that the tool writes, as far as its input tells. `known` is what a command's shell has
    /// from outside.
    pub fn writes(&self, known: &dyn Fn(&str) -> Option<String>) -> Vec<Write> {
        let command = self.input.command.as_deref().unwrap_or_default();
        match self.tool.as_str() {
            "Edit" | "Write" | "MultiEdit" | "NotebookEdit" => {
                self.input.path.iter().filter(|path| !path.is_empty()).map(Write::at).collect()
            }
            "apply_patch" => of_patch(command),
            _ if self.is_command() => of_command(command, known),
            _ => self.input.others.iter().map(Write::at).collect(),
        }
    }
}

impl Input {
    fn of(tool: &str, input: &Value) -> Self {
        let text = |names: &[&str]| {
            names.iter().find_map(|name| match &input[*name] {
                Value::String(text) => Some(text.clone()),
                Value::Array(words) => {
                    let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
                    words.map(shell_words::join)
                }
                _ => None,
            })
        };
        Self {
            path: text(&["file_path", "notebook_path", "path"]),
            command: text(&["command", "cmd", "input", "patch"]),
            others: if tool.starts_with("mcp__") { served::writes(tool, input) } else { Vec::new() },
        }
    }
}
