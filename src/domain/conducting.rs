//! States of plans and of the conductors that run them.

/// Where a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanState {
    /// Stored, not started.
    Draft,
    /// A conductor works on it, or should.
    Running,
    /// Nothing new starts.
    Paused,
    /// Every task that was wanted is done.
    Done,
    /// A task failed and nothing more can be done without a person.
    Failed,
    /// Somebody stopped it.
    Stopped,
}

/// Where a conductor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConductorState {
    /// It waits for room.
    Queued,
    /// It works.
    Running,
    /// It lets nothing new start.
    Paused,
    /// It ends its attempts.
    Stopping,
    /// It ended.
    Stopped,
    /// It died without saying so.
    Crashed,
}

impl PlanState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Draft, Self::Running, Self::Paused, Self::Done, Self::Failed, Self::Stopped];

    /// The state's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// From its name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// No conductor works on it or should.
    pub fn is_at_rest(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }
}

impl ConductorState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Paused, Self::Stopping, Self::Stopped, Self::Crashed];

    /// The state's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
        }
    }

    /// From its name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Its process should be alive.
    pub fn should_live(self) -> bool {
        !matches!(self, Self::Stopped | Self::Crashed)
    }
}
