//! A fair share of the seats between plans that run side by side: whoever has fewer workers goes first, and of
//! those who have as many whoever waits for longer.

use crate::base::clock::Time;
use crate::base::ids::PlanId;

/// Which seats are all taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Those of one project.
    Project,
    /// Those of the machine.
    Machine,
}

/// A plan that has a share of the seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Which one.
    pub plan: PlanId,
    /// Its workers now.
    pub working: usize,
    /// Since when it waits for a seat, if it does.
    pub since: Option<Time>,
}

impl Pool {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Project, Self::Machine];

    /// Its name in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Machine => "machine",
        }
    }

    /// From its name in the record.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pool| pool.as_str() == text)
    }
}

impl Share {
    /// Who does not wait comes after those who do.
    fn rank(&self) -> (usize, bool, Option<Time>) {
        (self.working, self.since.is_none(), self.since)
    }
}

/// To whom a plan leaves the `free` seats, of those who wait for one of them; `None` if one is left for it.
pub fn goes_first<'w>(own: &Share, free: usize, waiting: &'w [Share]) -> Option<&'w Share> {
    let before = || waiting.iter().filter(|other| other.plan != own.plan && other.rank() < own.rank());
    if before().count() < free {
        return None;
    }
    before().min_by_key(|other| other.rank())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(plan: &str, working: usize, since: i64) -> Share {
        Share { plan: PlanId::new(plan), working, since: (since > 0).then(|| Time::from_millis(since)) }
    }

    #[test]
    fn who_has_fewer_goes_first_and_then_who_waits_longer() {
        let first = |own: Share, free: usize, waiting: &[Share]| {
            goes_first(&own, free, waiting).map(|share| share.plan.to_string())
        };
        let b = |working, since| share("b", working, since);
        for (own, free, waiting, expected) in [
            // Nobody else waits.
            (share("a", 9, 0), 1, vec![], None),
            (share("a", 9, 5), 1, vec![share("a", 9, 5)], None),
            // One seat, and somebody with fewer.
            (share("a", 3, 0), 1, vec![b(2, 7)], Some("b")),
            (share("a", 3, 1), 1, vec![b(2, 7)], Some("b")),
            // There is one for each of them.
            (share("a", 3, 0), 2, vec![b(2, 7)], None),
            // As many: who waits goes before who just had one, and then who waits longer.
            (share("a", 2, 0), 1, vec![b(2, 7)], Some("b")),
            (share("a", 2, 6), 1, vec![b(2, 7)], None),
            (share("a", 2, 8), 1, vec![b(2, 7)], Some("b")),
            // More.
            (share("a", 1, 0), 1, vec![b(2, 7)], None),
            // The next of several.
            (share("a", 5, 0), 2, vec![b(2, 7), share("c", 0, 9)], Some("c")),
            (share("a", 5, 0), 3, vec![b(2, 7), share("c", 0, 9)], None),
        ] {
            assert_eq!(first(own.clone(), free, &waiting).as_deref(), expected, "{own:?} {free} {waiting:?}");
        }
    }

    #[test]
    fn a_machine_full_of_plans_is_shared_alike() {
        // Four plans that want everything, ten seats; whoever ends one asks for it again at once.
        let names = ["a", "b", "c", "d"];
        let mut shares: Vec<Share> = names.iter().map(|name| share(name, 0, 1)).collect();
        shares[0].working = 10;
        let mut clock = 2;
        for step in 0..200 {
            // One of the plan that has most ends.
            let most = (0..4).max_by_key(|at| shares[*at].working).unwrap();
            shares[most].working -= 1;
            // Whoever asks first, from the greedy one on, gets it if it need not give way.
            let taker =
                (0..4).map(|at| (most + at) % 4).find(|at| goes_first(&shares[*at], 1, &shares).is_none());
            let taker = taker.unwrap_or_else(|| panic!("nobody takes the seat at {step}: {shares:?}"));
            clock += 1;
            shares[taker].working += 1;
            shares[taker].since = Some(Time::from_millis(clock));
        }
        assert!(shares.iter().all(|share| (2..=3).contains(&share.working)), "{shares:?}");
    }
}
