//! What a run shows while it goes on, and what is left of it at its end.

use crate::base::clock::Time;
use crate::domain::usage::Usage;

/// One thing that an agent's output said. All texts are the agent's: data, never instructions.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The session's id, to resume it with.
    Session(String),
    /// The agent said something.
    Text(String),
    /// It used a tool.
    Tool {
        /// As the agent names it.
        name: String,
        /// What on: a path, a command, a pattern; one line.
        target: Option<String>,
    },
    /// A tool was refused to it.
    ToolRefused(Refused),
    /// All that this run used so far. No figure ever falls.
    Usage(Usage),
    /// The provider refuses work.
    Limited(Limit),
    /// The agent asks its provider again.
    Retrying {
        /// Which try this is, from 1; where the agent does not count, how many were seen.
        attempt: u32,
        /// How many it makes at most.
        of: Option<u32>,
        /// What went wrong.
        why: String,
        /// Which limit it is, if it is one.
        limit: Option<LimitKind>,
        /// No further try can help: somebody must sign in or pay.
        hopeless: bool,
    },
    /// It found something wrong, apart from its task.
    Finding(Finding),
    /// It is getting on.
    Progress(String),
    /// Something a person may want to know; the run goes on.
    Warning(String),
}

/// A tool that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// As the agent names it.
    pub tool: String,
    /// The path it was for, as the agent wrote it.
    pub path: Option<String>,
    /// Why, as the agent was told.
    pub reason: String,
}

/// Something that an agent found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub text: String,
    /// Where.
    pub files: Vec<String>,
    /// How bad, in the agent's word; usually `high`, `medium` or `low`.
    pub severity: Option<String>,
}

/// Why and how long a provider refuses work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Which limit.
    pub kind: LimitKind,
    /// When it is over, as the provider told.
    pub resets_at: Option<Time>,
    /// The provider's words.
    pub message: String,
}

/// The limits that make another provider worth trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// Too much in too short a time; it passes.
    RateLimit,
    /// The provider is at capacity; it passes.
    Overload,
    /// The money or the plan is used up; somebody must pay.
    Quota,
    /// Not signed in, or the key is wrong; somebody must sign in.
    Auth,
    /// Nothing answers: its server is away, or the network is; it passes.
    Unreachable,
}

impl LimitKind {
    /// The kind's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate-limit",
            Self::Overload => "overload",
            Self::Quota => "quota",
            Self::Auth => "auth",
            Self::Unreachable => "unreachable",
        }
    }

    /// Whether waiting cannot help.
    pub fn is_hopeless(self) -> bool {
        matches!(self, Self::Quota | Self::Auth)
    }
}

/// How a process ended, as its supervisor saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// Its exit status, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// We told it to stop. Then its exit status means nothing: Claude Code answers SIGINT with 0.
    pub stopped_by_us: bool,
    /// It ran past its time.
    pub timed_out: bool,
}

/// What is left of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// What this run used. Of a Claude Code run that was stopped nothing is known: it tells only at its end.
    pub usage: Usage,
    /// What the whole session used, where the agent counts so: what a resumed run is to subtract.
    pub session_usage: Usage,
    /// The session, to resume it with.
    pub session: Option<String>,
    /// The last thing it said: its answer.
    pub text: Option<String>,
    /// The answer as a JSON object, where one was asked for and came. Not checked against the schema.
    pub structured: Option<serde_json::Value>,
    /// The tools that were refused to it, the first hundred.
    pub refusals: Vec<Refused>,
    /// What it found, the first thousand.
    pub findings: Vec<Finding>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The agent says it is done.
    Submitted,
    /// It failed, or ended without a result.
    Failed {
        /// What was seen last.
        reason: String,
    },
    /// Its provider refused; another may not.
    Limited(Limit),
    /// We stopped it, and no limit was in its way.
    Killed,
}
