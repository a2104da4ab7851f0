//! Faults at random, several in one run, and again while it is taken up.

use kapell::base::failpoint::Point;

use crate::dice::Dice;
use crate::run::{Run, each};

/// As many seeds as an ordinary run of the tests tries; `KAPELL_SEEDS` says otherwise.
const SEEDS: u64 = 40;

impl Dice {
    fn fault(&mut self) -> String {
        const ACTIONS: [&str; 9] =
            ["kill", "kill", "kill", "kill", "error", "enospc", "eacces", "clock+86400", "clock-86400"];
        // Half of all between any two calls of git or changes of the database.
        let often = [Point::GitBefore, Point::GitAfter, Point::StoreChanged, Point::StoreCommitted];
        let points = Point::of_tasks();
        let (point, times) = match self.roll(2) {
            0 => (often[self.roll(often.len())], 1 + self.roll(60)),
            _ => (points[self.roll(points.len())], 1 + self.roll(3)),
        };
        let goes_on = if self.roll(6) == 0 { "+" } else { "" };
        format!("{}:{}@{times}{goes_on}", point.name(), ACTIONS[self.roll(ACTIONS.len())])
    }

    fn faults(&mut self) -> String {
        (0..=self.roll(3)).map(|_| self.fault()).collect::<Vec<_>>().join(",")
    }
}

/// A number that whoever runs the tests gives.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how many")]
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn at_random() {
    let seeds: Vec<u64> = match number("KAPELL_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("KAPELL_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let name = |seed: &u64| format!("KAPELL_SEED={seed}");
    each(&seeds, name, |seed| {
        let mut dice = Dice(*seed);
        let rounds: Vec<String> = (0..=dice.roll(3)).map(|_| dice.faults()).collect();
        let rounds: Vec<&str> = rounds.iter().map(String::as_str).collect();
        Run::under(&rounds).ends_well();
    });
}
