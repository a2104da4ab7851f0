//! One try at a task by one worker.

/// Where an attempt is. The outcome exists only once it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptState {
    /// Recorded; its worktree and process are being made.
    Starting,
    /// Its process lives.
    Running,
    /// Its process is suspended.
    Paused,
    /// It was told to stop.
    Stopping,
    /// It ended.
    Finished(Outcome),
}

/// How an attempt ended. A worker that fails is an outcome, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The worker says it is done; the judge has the word now.
    Submitted,
    /// It changed something outside its claim.
    Violation,
    /// The worker says it failed, or ended without a result.
    Failed,
    /// The provider refused: rate limit, overload, quota.
    RateLimited,
    /// It ran past its time.
    TimedOut,
    /// It showed no life for too long.
    Stuck,
    /// Somebody ended it.
    Killed,
    /// Its shim or machine died under it.
    Interrupted,
}

impl AttemptState {
    /// The state's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Finished(_) => "finished",
        }
    }

    /// The outcome, once there is one.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Finished(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// From the two columns of the database; `None` for a combination that cannot be.
    pub fn from_parts(state: &str, outcome: Option<&str>) -> Option<Self> {
        Some(match (state, outcome) {
            ("starting", None) => Self::Starting,
            ("running", None) => Self::Running,
            ("paused", None) => Self::Paused,
            ("stopping", None) => Self::Stopping,
            ("finished", Some(outcome)) => Self::Finished(Outcome::parse(outcome)?),
            _ => return None,
        })
    }
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 8] = [
        Self::Submitted,
        Self::Violation,
        Self::Failed,
        Self::RateLimited,
        Self::TimedOut,
        Self::Stuck,
        Self::Killed,
        Self::Interrupted,
    ];

    /// The outcome's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Violation => "violation",
            Self::Failed => "failed",
            Self::RateLimited => "rate-limited",
            Self::TimedOut => "timed-out",
            Self::Stuck => "stuck",
            Self::Killed => "killed",
            Self::Interrupted => "interrupted",
        }
    }

    /// From its name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}
