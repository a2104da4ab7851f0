//! Where a task is, and which steps lead from there.

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskState {
    /// Something it depends on is not done.
    Waiting,
    /// It may start as soon as there is room.
    Ready,
    /// An attempt works on it.
    Running,
    /// An attempt was submitted; the gates run.
    Judging,
    /// The judge said no; another attempt follows.
    Rejected,
    /// The judge said yes; it waits to be landed.
    Approved,
    /// It is being landed.
    Landing,
    /// It landed.
    Done,
    /// It used up its attempts.
    Failed,
    /// Something it depends on failed.
    Blocked,
    /// Somebody called it off.
    Cancelled,
}

impl TaskState {
    /// All states, in the order in which a task passes them.
    pub const ALL: [Self; 11] = [
        Self::Waiting,
        Self::Ready,
        Self::Running,
        Self::Judging,
        Self::Rejected,
        Self::Approved,
        Self::Landing,
        Self::Done,
        Self::Failed,
        Self::Blocked,
        Self::Cancelled,
    ];

    /// The state's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Judging => "judging",
            Self::Rejected => "rejected",
            Self::Approved => "approved",
            Self::Landing => "landing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Cancelled => "cancelled",
        }
    }

    /// From its name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Nothing more will happen to it by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Blocked | Self::Cancelled)
    }

    /// An attempt, the judge or the landing is at work on it.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Judging | Self::Approved | Self::Landing)
    }

    /// Whether a task may step from this state to `next`.
    pub fn may_become(self, next: Self) -> bool {
        use TaskState::*;
        match (self, next) {
            // Called off at any time before its work is being put onto the branch.
            (from, Cancelled) => !matches!(from, Landing | Done | Cancelled),
            (Waiting, Ready | Blocked) => true,
            (Ready, Running | Waiting | Blocked | Failed) => true,
            // An attempt ends: judged, tried again, or given up.
            (Running, Judging | Ready | Rejected | Failed) => true,
            (Judging, Approved | Rejected | Failed | Ready) => true,
            (Rejected, Ready | Failed | Approved) => true,
            (Approved, Landing | Ready | Failed) => true,
            // The target moved and the merge conflicts: back to the worker.
            (Landing, Done | Rejected | Approved | Failed) => true,
            // A person asks for another try, or lands it after all.
            (Failed | Blocked | Cancelled, Ready | Waiting | Approved) => true,
            // A person takes more of what it left; the gates look at that anew.
            (Rejected | Failed | Blocked | Cancelled, Judging) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_works_on_can_fail() {
        // Whoever cannot go on has to be able to say so, or is asked to go on for ever.
        for state in TaskState::ALL.into_iter().filter(|state| state.is_active()) {
            assert!(state.may_become(TaskState::Failed), "{state:?}");
        }
    }
}
