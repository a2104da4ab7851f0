//! What a worker costs, by its own words, while it runs.

use std::path::Path;

use super::files;
use super::job::Allowance;
use super::output::Lines;
use crate::base::clock::Time;
use crate::domain::budget::Money;
use crate::domain::usage::Prices;
use crate::sys::agent::{AgentKind, Event, MAX_LINE, Reader};

/// Counts what a worker costs and says when it is too much.
pub(super) struct Till {
    most: Money,
    kind: AgentKind,
    prices: Option<Prices>,
    lines: Lines,
    reader: Reader,
}

impl Till {
    /// For the run in the current folder; `None` for a kind of agent that this program does not know.
    pub(super) fn new(allowance: &Allowance) -> Option<Self> {
        let kind = AgentKind::parse(&allowance.kind)?;
        Some(Self {
            most: Money::from_micros(allowance.micros),
            kind,
            prices: allowance.prices.map(Into::into),
            lines: Lines::new(Path::new(files::STDOUT), MAX_LINE),
            reader: Reader::new(kind, Time::now()),
        })
    }

    /// Reads what was printed since; a sentence when it is too much.
    pub(super) fn count(&mut self) -> Option<String> {
        let (most, prices, reader) = (self.most, self.prices, &mut self.reader);
        let mut spent = Money::ZERO;
        // What cannot be read now may be read at the next look.
        let _ = self.lines.read(&mut |line, is_cut| {
            for event in reader.stdout(line, is_cut) {
                if let Event::Usage(usage) = event {
                    let usd = usage.plausible().priced(prices).usd.unwrap_or_default();
                    spent = spent.max(Money::from_usd(usd));
                }
            }
        });
        // One that says with its last figures that it is done only loses its work by being ended. The
        // word of any other program is its exit status, which comes later.
        let is_done = self.kind != AgentKind::Command && self.reader.is_done();
        (spent > most && !is_done).then(|| format!("budget: it told of {spent} dollars, and may cost {most}"))
    }
}
