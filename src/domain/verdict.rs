//! What the judge concludes from the gates.

/// How one gate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GateOutcome {
    /// It is proved.
    Pass,
    /// It is proved, after the same command failed once on the same commit.
    Flaky,
    /// The opposite is proved.
    Fail,
    /// It does not apply here.
    Skipped,
    /// It could not be found out.
    Error,
}

/// What the judge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It may land.
    Approved,
    /// It goes back to the worker.
    Rejected,
    /// The gates could not be run; that says nothing about the work.
    Error,
}

/// Concludes from the gates' outcomes. A failed gate rejects; else a gate that could not be
/// run is an error; and where no gate ran nothing is proved, so that is not approved either.
pub fn conclude(gates: impl IntoIterator<Item = GateOutcome>) -> Verdict {
    let (mut passed, mut failed, mut unknown) = (0_usize, 0_usize, 0_usize);
    for gate in gates {
        match gate {
            GateOutcome::Pass | GateOutcome::Flaky => passed += 1,
            GateOutcome::Fail => failed += 1,
            GateOutcome::Error => unknown += 1,
            GateOutcome::Skipped => {}
        }
    }
    match (passed, failed, unknown) {
        (_, 1.., _) => Verdict::Rejected,
        (_, 0, 1..) => Verdict::Error,
        (0, 0, 0) => Verdict::Rejected,
        (1.., 0, 0) => Verdict::Approved,
    }
}

impl GateOutcome {
    /// All outcomes.
    pub const ALL: [Self; 5] = [Self::Pass, Self::Flaky, Self::Fail, Self::Skipped, Self::Error];

    /// Whether it speaks for the work, or at least not against it.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Pass | Self::Flaky | Self::Skipped)
    }

    /// The outcome's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Flaky => "flaky",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
            Self::Error => "error",
        }
    }

    /// From its name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 3] = [Self::Approved, Self::Rejected, Self::Error];

    /// The verdict's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Error => "error",
        }
    }

    /// From its name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GateOutcome::{Error, Fail, Flaky, Pass, Skipped};

    #[test]
    fn nothing_is_approved_unless_a_gate_proved_it() {
        let table: &[(&[GateOutcome], Verdict)] = &[
            (&[], Verdict::Rejected),
            (&[Skipped, Skipped], Verdict::Rejected),
            (&[Pass, Skipped], Verdict::Approved),
            (&[Flaky], Verdict::Approved),
            (&[Flaky, Fail], Verdict::Rejected),
            (&[Pass, Error], Verdict::Error),
            (&[Pass, Error, Fail], Verdict::Rejected),
            (&[Fail], Verdict::Rejected),
        ];
        for (gates, expected) in table {
            assert_eq!(conclude(gates.iter().copied()), *expected, "{gates:?}");
        }
    }
}
