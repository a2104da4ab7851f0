//! Refusals: expected answers to what cannot be done, with what to do instead.

use std::fmt;

/// The stable code of a refusal; scripts and tests may rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The named plan, task, attempt, claim or file does not exist.
    NotFound,
    /// A path or pattern that cannot be owned.
    BadPath,
    /// Somebody else holds it, or the state does not allow it.
    Conflict,
    /// The plan already runs.
    DuplicatePlan,
    /// The plan has errors.
    PlanInvalid,
    /// The worker never gets a task.
    ProtectedWorker,
    /// The money is spent.
    OverBudget,
    /// The provider is on a cool-down.
    RateLimited,
    /// A worker beyond its own task, or somebody else's claim.
    NotAllowed,
    /// The claim behind the work is no longer the newest.
    StaleClaim,
    /// Everything is in use, and waiting was not wanted.
    Busy,
    /// This cannot be had here.
    Unsupported,
    /// The database was written by a newer Kapell.
    StateNewer,
    /// The database is damaged.
    StoreDamaged,
    /// A parameter of the call is wrong.
    Usage,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 15] = [
        Self::NotFound,
        Self::BadPath,
        Self::Conflict,
        Self::DuplicatePlan,
        Self::PlanInvalid,
        Self::ProtectedWorker,
        Self::OverBudget,
        Self::RateLimited,
        Self::NotAllowed,
        Self::StaleClaim,
        Self::Busy,
        Self::Unsupported,
        Self::StateNewer,
        Self::StoreDamaged,
        Self::Usage,
    ];

    /// The code as scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::BadPath => "bad-path",
            Self::Conflict => "conflict",
            Self::DuplicatePlan => "duplicate-plan",
            Self::PlanInvalid => "plan-invalid",
            Self::ProtectedWorker => "protected-worker",
            Self::OverBudget => "over-budget",
            Self::RateLimited => "rate-limited",
            Self::NotAllowed => "not-allowed",
            Self::StaleClaim => "stale-claim",
            Self::Busy => "busy",
            Self::Unsupported => "unsupported",
            Self::StateNewer => "state-newer",
            Self::StoreDamaged => "store-damaged",
            Self::Usage => "usage",
        }
    }

    /// From the code as scripts see it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Whether the same call may succeed later without being changed.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Conflict | Self::Busy | Self::RateLimited | Self::OverBudget)
    }
}

/// What a program may want to know of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// One thing.
    One(String),
    /// Several of a kind.
    All(Vec<String>),
}

/// An expected "no": a code, a sentence that names the thing, and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What was refused and why, naming the thing.
    pub message: String,
    /// What to do instead.
    pub hint: String,
    /// Facts that a program may want, by name (a holder, a process id).
    pub facts: Vec<(&'static str, Fact)>,
    /// The same call is never done, however long one waits.
    pub is_final: bool,
}

impl Refusal {
    /// A refusal without further facts.
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into(), facts: Vec::new(), is_final: false }
    }

    /// Says that the same call is never done, though others that are refused so may be.
    #[must_use]
    pub fn for_good(mut self) -> Self {
        self.is_final = true;
        self
    }

    /// Whether the same call may succeed later without being changed.
    pub fn is_retryable(&self) -> bool {
        !self.is_final && self.code.is_retryable()
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.facts.push((name, Fact::One(value.to_string())));
        self
    }

    /// Adds a list of them: a name of a file may have any letter in it, also the end of a line.
    #[must_use]
    pub fn with_all(mut self, name: &'static str, values: Vec<String>) -> Self {
        self.facts.push((name, Fact::All(values)));
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Refusal {}
