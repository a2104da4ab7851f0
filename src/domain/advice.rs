//! Whether somebody should be asked before a task is tried again: pure, on what its tries came to.

use super::attempt::Outcome;
use super::verdict::Verdict;

/// So many tries in a row whose work was not good make a task stuck.
const IN_VAIN: usize = 2;

/// Whether a task is stuck, by its tries from the first to the last: its last worker showed no life or ran out of
/// its time, or the last two did what was not good. What a worker could not help says nothing.
pub fn is_stuck(tries: &[(Outcome, Option<Verdict>)]) -> bool {
    let mut own_fault = tries.iter().rev().filter(|(outcome, _)| {
        !matches!(outcome, Outcome::RateLimited | Outcome::Interrupted | Outcome::Killed)
    });
    let Some((last, _)) = own_fault.clone().next() else { return false };
    if matches!(last, Outcome::Stuck | Outcome::TimedOut) {
        return true;
    }
    let in_vain = own_fault.by_ref().take(IN_VAIN).filter(|(outcome, verdict)| match outcome {
        Outcome::Submitted => *verdict == Some(Verdict::Rejected),
        _ => true,
    });
    in_vain.count() == IN_VAIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_stuck_by_what_its_workers_did_and_nothing_else() {
        use Outcome::{Failed, Interrupted, Killed, RateLimited, Stuck, Submitted, TimedOut, Violation};
        let rejected = (Submitted, Some(Verdict::Rejected));
        let of = |outcome| (outcome, None);
        for (tries, expected) in [
            (vec![], false),
            (vec![of(Stuck)], true),
            (vec![of(TimedOut)], true),
            (vec![rejected], false),
            (vec![of(Failed)], false),
            (vec![rejected, rejected], true),
            (vec![of(Failed), rejected], true),
            (vec![of(Violation), of(Failed)], true),
            // Approved, and the landing failed: that is no fault of its own.
            (vec![rejected, (Submitted, Some(Verdict::Approved))], false),
            (vec![of(RateLimited), of(Interrupted), of(Killed)], false),
            (vec![rejected, of(RateLimited), rejected], true),
            (vec![of(Stuck), of(RateLimited)], true),
            (vec![of(Stuck), rejected], true),
            (vec![of(RateLimited), rejected], false),
        ] {
            assert_eq!(is_stuck(&tries), expected, "{tries:?}");
        }
    }
}
