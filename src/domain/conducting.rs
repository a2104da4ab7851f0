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

/// A conductor that said nothing for this long is stale.
pub const STALE_MS: i64 = 60_000;
/// Clocks of one machine do not run apart by more than this, unless somebody sets them.
const SLACK_MS: i64 = 5_000;

/// Where a conductor is, by what it noted, whether it lives, and what is wanted of its plan.
pub fn where_it_is(noted: ConductorState, is_alive: bool, plan: Option<PlanState>) -> ConductorState {
    match (noted, plan) {
        (noted, _) if noted.should_live() && !is_alive => ConductorState::Crashed,
        (ConductorState::Running | ConductorState::Queued, Some(PlanState::Stopped)) => {
            ConductorState::Stopping
        }
        (ConductorState::Running | ConductorState::Queued, Some(PlanState::Paused)) => ConductorState::Paused,
        (noted, _) => noted,
    }
}

/// Whether a conductor has said nothing for so long that it hangs or is suspended, if no clock was set.
pub fn is_silent(silent_ms: i64) -> bool {
    silent_ms >= STALE_MS
}

/// Why a conductor that lives is not fresh, by how long ago it said so: it hangs or is suspended, or a clock
/// was set and nothing is known.
pub fn why_stale(silent_ms: i64) -> Option<String> {
    if silent_ms < -SLACK_MS {
        let ahead = -silent_ms / 1000;
        return Some(format!("its last heartbeat is {ahead} s in the future: the clock was set back"));
    }
    let seconds = silent_ms / 1000;
    is_silent(silent_ms).then(|| {
        format!("no heartbeat for {seconds} s: it hangs or is suspended, or the clock was set forward")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_conductor_noted_is_not_believed_of_a_dead_one() {
        use ConductorState as C;
        use PlanState as P;
        for (noted, is_alive, plan, state) in [
            (C::Running, true, Some(P::Running), C::Running),
            (C::Running, true, Some(P::Paused), C::Paused),
            (C::Running, true, Some(P::Stopped), C::Stopping),
            (C::Queued, true, Some(P::Running), C::Queued),
            (C::Queued, true, Some(P::Paused), C::Paused),
            (C::Queued, true, Some(P::Stopped), C::Stopping),
            (C::Stopping, true, Some(P::Stopped), C::Stopping),
            (C::Running, true, None, C::Running),
            (C::Running, false, Some(P::Running), C::Crashed),
            (C::Queued, false, Some(P::Paused), C::Crashed),
            (C::Stopping, false, Some(P::Stopped), C::Crashed),
            (C::Stopped, false, Some(P::Done), C::Stopped),
            (C::Crashed, false, Some(P::Running), C::Crashed),
        ] {
            assert_eq!(where_it_is(noted, is_alive, plan), state, "{noted:?} {is_alive} {plan:?}");
        }
    }

    #[test]
    fn silence_and_a_heartbeat_from_the_future_are_told() {
        for (silent_ms, says) in [
            (0, None),
            (59_999, None),
            (-5_000, None),
            (60_000, Some("no heartbeat for 60 s")),
            (-3_600_000, Some("3600 s in the future")),
            (i64::MAX, Some("no heartbeat")),
            // What is known is when it said so, and by which clock is not.
            (18_000_000, Some("or the clock was set forward")),
        ] {
            let why = why_stale(silent_ms);
            assert_eq!(why.is_some(), says.is_some(), "{silent_ms}");
            assert!(says.is_none_or(|says| why.unwrap().contains(says)), "{silent_ms}");
        }
    }
}
