//! The agents Kapell drives: an attempt becomes a command line, a line of output becomes events.
//!
//! Nothing here does I/O: [`launch()`] says what is to be written, linked and started, and a
//! [`Reader`] is fed the lines that came out. What the programs really print is kept in
//! `tests/data/recordings`; every rule below was read off one of those runs.

mod answer;
mod claude;
mod codex;
mod command;
mod environment;
mod event;
mod launch;
mod limit;
mod local;
mod opencode;
mod reader;
pub mod registration;
mod server;
mod standing;
#[cfg(test)]
mod tests;

pub use answer::verdict_schema;
pub use environment::passed;
pub use event::{End, Ending, Event, Finding, Limit, LimitKind, Refused, Report};
pub use launch::{BadCommand, Brief, Launch, Program, Seed, SeedHow};
pub use local::Local;
pub use reader::{MAX_LINE, Reader};
pub use standing::{standing_command, standing_environment};

/// How the reason of a refusal starts that Kapell's own hook gave; a [`Reader`] tells it from
/// a tool that merely failed by this.
pub const REFUSAL_PREFIX: &str = "kapell: ";

/// The file in the run folder that has a line of JSON for each thing that the worker is to be told while
/// it works; `KAPELL_NUDGES` leads to it. It is made with the first.
pub const NUDGES: &str = "nudges.jsonl";

/// A word as a person would have to type it in a shell.
pub fn quoted(word: &str) -> String {
    shell_words::quote(word).into_owned()
}

/// The kinds of agent there are adapters for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentKind {
    /// Claude Code.
    Claude,
    /// OpenAI's codex.
    Codex,
    /// opencode.
    OpenCode,
    /// Any other program, told by its command line alone.
    Command,
}

impl AgentKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Claude, Self::Codex, Self::OpenCode, Self::Command];

    /// The kind's name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::OpenCode => "opencode",
            Self::Command => "command",
        }
    }

    /// From its name in the configuration.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Names of the caller's environment variables that pass to an agent of this kind when the
    /// configuration says nothing: globs.
    pub fn default_env(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &["ANTHROPIC_*", "CLAUDE_*"],
            Self::Codex => &["OPENAI_*", "CODEX_*"],
            Self::OpenCode => &["OPENCODE_*", "*_API_KEY"],
            Self::Command => &[],
        }
    }
}

/// The command line of an attempt with all that must be in place before it starts.
///
/// # Errors
/// When the program or the attempt cannot be put into a command line; the caller has started nothing yet.
pub fn launch(program: &Program<'_>, brief: &Brief<'_>) -> Result<Launch, BadCommand> {
    let base = Launch::base(program, brief)?;
    let launch = match program.kind {
        AgentKind::Claude => claude::launch(program, brief, base)?,
        AgentKind::Codex => codex::launch(program, brief, base)?,
        AgentKind::OpenCode => opencode::launch(program, brief, base)?,
        AgentKind::Command => command::launch(program, brief, base)?,
    };
    launch.checked()
}
