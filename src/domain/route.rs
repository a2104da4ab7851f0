//! Who gets a task: the seats that may, in the order of preference.

use crate::base::ids::{ProviderName, WorkerName};
use crate::domain::plan::Complexity;

/// A seat as routing sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seat {
    /// Its name.
    pub worker: WorkerName,
    /// Its provider.
    pub provider: ProviderName,
    /// Attempts it may do at once.
    pub slots: u32,
    /// Attempts it does now.
    pub busy: u32,
    /// The hardest task its provider may get.
    pub capability: Complexity,
}

/// A provider as routing sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderView {
    /// Its name.
    pub name: ProviderName,
    /// Attempts it may do at once.
    pub max_parallel: u32,
    /// Attempts it does now, for all projects.
    pub busy: u32,
    /// Why it gets nothing now, if so.
    pub limit: Option<Limit>,
}

/// Why a provider gets nothing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// It refused work; until when and why.
    RateLimited(String),
    /// Its money is spent.
    OverBudget(String),
}

/// What became of the wish for a seat.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// This seat.
    Seat(Seat),
    /// None now: `rate-limit`, `budget` or `slot`, and on what.
    Wait {
        /// The reason as status names it.
        reason: &'static str,
        /// For what or whom.
        on: String,
    },
    /// None ever, as things are configured.
    Nobody(String),
}

/// Chooses among `seats`, which are in the order of preference. Seats of providers in
/// `avoid` (those that failed this very task by being limited) are taken last.
pub fn choose(
    seats: &[Seat],
    providers: &[ProviderView],
    complexity: Complexity,
    avoid: &[ProviderName],
) -> Choice {
    let capable: Vec<&Seat> = seats.iter().filter(|seat| seat.capability >= complexity).collect();
    if capable.is_empty() {
        return Choice::Nobody(match seats {
            [] => "no worker is configured or installed for it".to_owned(),
            [seat, ..] => format!("{} may not get tasks that hard (capability)", seat.worker),
        });
    }
    let (mut limited, mut spent, mut full) = (None, None, None);
    let order = capable
        .iter()
        .filter(|seat| !avoid.contains(&seat.provider))
        .chain(capable.iter().filter(|seat| avoid.contains(&seat.provider)));
    for seat in order {
        let provider = providers.iter().find(|provider| provider.name == seat.provider);
        match provider.and_then(|provider| provider.limit.as_ref()) {
            Some(Limit::RateLimited(why)) => limited.get_or_insert_with(|| why.clone()),
            Some(Limit::OverBudget(why)) => spent.get_or_insert_with(|| why.clone()),
            None if seat.busy >= seat.slots => full.get_or_insert_with(|| format!("{} is busy", seat.worker)),
            None if provider.is_some_and(|provider| provider.busy >= provider.max_parallel) => {
                full.get_or_insert_with(|| format!("{} does as much at once as it may", seat.provider))
            }
            None => return Choice::Seat((*seat).clone()),
        };
    }
    // A seat that becomes free comes sooner than a reset or a new month.
    let wait = |reason, on| Choice::Wait { reason, on };
    match (full, limited, spent) {
        (Some(on), _, _) => wait("slot", on),
        (None, Some(on), _) => wait("rate-limit", on),
        (None, None, Some(on)) => wait("budget", on),
        (None, None, None) => Choice::Nobody("no worker may get it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(name: &str, busy: u32, capability: Complexity) -> Seat {
        Seat { worker: name.into(), provider: name.into(), slots: 1, busy, capability }
    }

    fn provider(name: &str, limit: Option<Limit>) -> ProviderView {
        ProviderView { name: name.into(), max_parallel: 2, busy: 0, limit }
    }

    #[test]
    fn the_first_seat_that_can_gets_it() {
        use Complexity::{Complex, Normal, Simple};
        let seats = [seat("a", 1, Complex), seat("b", 0, Normal), seat("c", 0, Complex)];
        let free = [provider("a", None), provider("b", None), provider("c", None)];
        let chosen = |choice: Choice| match choice {
            Choice::Seat(seat) => seat.worker.to_string(),
            Choice::Wait { reason, on } => format!("{reason}: {on}"),
            Choice::Nobody(why) => format!("nobody: {why}"),
        };
        assert_eq!(chosen(choose(&seats, &free, Normal, &[])), "b");
        assert_eq!(chosen(choose(&seats, &free, Complex, &[])), "c");
        assert_eq!(chosen(choose(&seats, &free, Normal, &["b".into()])), "c");
        assert_eq!(chosen(choose(&seats[..1], &free, Normal, &[])), "slot: a is busy");
        assert_eq!(
            chosen(choose(&[], &free, Simple, &[])),
            "nobody: no worker is configured or installed for it"
        );
        let limited = [provider("b", Some(Limit::RateLimited("b until noon".into())))];
        assert_eq!(chosen(choose(&seats[1..2], &limited, Normal, &[])), "rate-limit: b until noon");
        assert_eq!(
            chosen(choose(&seats[1..2], &limited, Complex, &[])),
            "nobody: b may not get tasks that hard (capability)"
        );
    }
}
