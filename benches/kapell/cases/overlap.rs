//! Whether two patterns can own one file: the decision behind every claim.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use kapell::domain::overlap::overlap;
use kapell::domain::pattern::Pattern;

use super::Around;
use crate::figure::{Amount, Figure};
use crate::rounds::median;

const CASE: &str = "overlap";
const LIMIT: Duration = Duration::from_micros(20);

/// Pairs as plans and people write them.
const TYPICAL: [(&str, &str); 10] = [
    ("src/db", "src/api"),
    ("src/db", "src/db/pool.rs"),
    ("src/db/", "src/**/*.rs"),
    ("src/**/*.rs", "src/**/*.md"),
    ("src/**/*.rs", "**/mod.rs"),
    ("docs/**", "docs/guide/*.md"),
    ("{src,tests}/**/*.rs", "tests/common/mod.rs"),
    ("**/*_test.go", "internal/**/*.go"),
    ("packages/*/src/**", "packages/web/**/*.tsx"),
    ("migrations/[0-9]*.sql", "migrations/2024*.sql"),
];

/// Three `**` and seven `*` on each side: more than anybody writes.
const HARD: (&str, &str) = ("**/a*b*c/**/d*e*f/**/g*h*.rs", "**/*a*b/**/*c*d/**/*e*f*.rs");

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let rounds = around.rounds(50);
    let typical =
        TYPICAL.map(|pair| Ok((pair, decide(pair, rounds)?))).into_iter().collect::<Result<Vec<_>>>()?;
    let slowest = typical.iter().max_by_key(|(_, time)| *time).ok_or_else(|| anyhow!("no pairs"))?;
    let ((a, b), time) = *slowest;
    let times: Vec<Duration> = typical.iter().map(|(_, time)| *time).collect();
    Ok(vec![
        Figure::told(CASE, "slowest of ten typical pairs", Amount::Time(time))
            .limited(Amount::Time(LIMIT))
            .noting(format!("{a} and {b}; the middle one of the ten takes {:?}", median(&times)?)),
        Figure::told(CASE, "a hard pair", Amount::Time(decide(HARD, rounds)?))
            .limited(Amount::Time(LIMIT))
            .noting(format!("{} and {}", HARD.0, HARD.1)),
        Figure::told(CASE, "reading a typical pattern", Amount::Time(parse("packages/*/src/**", rounds)?)),
    ])
}

/// How long a decision on two patterns takes that were read before.
fn decide((a, b): (&str, &str), rounds: usize) -> Result<Duration> {
    let (a, b) = (pattern(a)?, pattern(b)?);
    many_times(rounds, || drop(black_box(overlap(black_box(&a), black_box(&b)))))
}

fn parse(text: &str, rounds: usize) -> Result<Duration> {
    pattern(text)?;
    many_times(rounds, || drop(black_box(Pattern::parse(black_box(text)))))
}

fn pattern(text: &str) -> Result<Pattern> {
    Pattern::parse(text).map_err(|bad| anyhow!(bad.reason))
}

/// The median of rounds of a hundred, since one is too short for the clock.
fn many_times(rounds: usize, mut work: impl FnMut()) -> Result<Duration> {
    const EACH: u32 = 100;
    let times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            (0..EACH).for_each(|_| work());
            began.elapsed() / EACH
        })
        .collect();
    median(&times)
}
