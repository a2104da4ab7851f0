//! Measuring on a machine that others use too: short rounds that take turns, and medians.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long each of several competitors took, round by round.
#[derive(Debug)]
pub struct Rounds {
    /// For each competitor its median in every round.
    medians: Vec<Vec<Duration>>,
    /// For each competitor every single time.
    all: Vec<Vec<Duration>>,
}

/// Something to be timed; it tells how long it took, so that what surrounds it does not count.
pub type Run<'a> = Box<dyn FnMut() -> Result<Duration> + 'a>;

impl Rounds {
    /// Lets the competitors take turns: `count` rounds of `calls` calls each.
    pub fn take(count: usize, calls: usize, competitors: &mut [Run<'_>]) -> Result<Self> {
        let mut rounds =
            Self { medians: vec![Vec::new(); competitors.len()], all: vec![Vec::new(); competitors.len()] };
        for _ in 0..count {
            for (at, competitor) in competitors.iter_mut().enumerate() {
                let times = (0..calls).map(|_| competitor()).collect::<Result<Vec<_>>>()?;
                rounds.medians[at].push(median(&times)?);
                rounds.all[at].extend(times);
            }
        }
        Ok(rounds)
    }

    /// The median of a competitor's medians.
    pub fn median(&self, competitor: usize) -> Result<Duration> {
        median(&self.medians[competitor])
    }

    /// The longest that a competitor took.
    pub fn worst(&self, competitor: usize) -> Duration {
        self.all[competitor].iter().max().copied().unwrap_or_default()
    }

    /// What 99 of 100 of a competitor's calls took at most.
    pub fn slow(&self, competitor: usize) -> Duration {
        let mut times = self.all[competitor].clone();
        times.sort_unstable();
        times.get(times.len() * 99 / 100).copied().unwrap_or_default()
    }

    /// How many times as long one took as what `peer` makes of the same round's medians: the
    /// median over the rounds, which a burst of foreign work in some of them does not move.
    pub fn ratio(
        &self,
        competitor: usize,
        peer: impl Fn(&dyn Fn(usize) -> Duration) -> Duration,
    ) -> Result<f64> {
        let ratios = (0..self.medians[competitor].len()).map(|round| {
            let of_round = |other: usize| self.medians[other][round];
            self.medians[competitor][round].as_secs_f64() / peer(&of_round).as_secs_f64()
        });
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().context("no rounds were taken")
    }

    /// The same against one other competitor.
    pub fn ratio_to(&self, competitor: usize, other: usize) -> Result<f64> {
        self.ratio(competitor, |of_round| of_round(other))
    }
}

/// The middle one of the times.
pub fn median(times: &[Duration]) -> Result<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("nothing was measured")
}

/// How long something takes.
pub fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let began = Instant::now();
    let done = work()?;
    Ok((done, began.elapsed()))
}
