//! Money: what may still be spent, what is set aside, what a month will come to.
//!
//! An attempt's money belongs to the day on which it began. What it may cost is set aside when it
//! begins, in the same transaction that takes its seat, so that no two can count on the same dollar.

use std::fmt;
use std::ops::Add;

/// An amount of money, in millionths of a dollar: sums of it are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From dollars, to the nearest millionth. What is no number or less than nothing is nothing; no
    /// amount is more than a billion dollars.
    pub fn from_usd(usd: f64) -> Self {
        // NaN becomes 0 here.
        Self((usd * 1e6).round().clamp(0.0, 1e15) as i64)
    }

    /// From millionths of a dollar.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Millionths of a dollar.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Dollars.
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// What is left when `other` is taken away, nothing at least.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }

    /// This many hundredths of `whole`, cut off; none of nothing.
    pub fn percent_of(self, whole: Self) -> Option<u64> {
        let percent = i128::from(self.0) * 100 / i128::from((whole.0 > 0).then_some(whole.0)?);
        u64::try_from(percent).ok()
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    /// Dollars with cents, rounded; what is less than a cent and not nothing with all its places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (1..5_000).contains(&self.0) {
            return write!(f, "0.{:06}", self.0);
        }
        let cents = (self.0 + 5_000) / 10_000;
        write!(f, "{}.{:02}", cents / 100, cents % 100)
    }
}

/// What was spent and what is set aside besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Told by attempts that ended, or so far by those that run.
    pub spent: Money,
    /// Set aside for attempts that run, beyond what they told so far.
    pub reserved: Money,
    /// Tokens of all kinds, told.
    pub tokens: u64,
    /// Tokens set aside, beyond those told.
    pub reserved_tokens: u64,
}

impl Standing {
    /// Spent or set aside.
    pub fn committed(&self) -> Money {
        self.spent + self.reserved
    }
}

/// What one limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Dollars in a day.
    Day,
    /// Dollars in a calendar month.
    Month,
    /// Tokens in a day.
    DayTokens,
    /// Dollars of a plan, for as long as it lives.
    Plan,
}

impl Measure {
    /// A name for the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "usd_per_day",
            Self::Month => "usd_per_month",
            Self::DayTokens => "tokens_per_day",
            Self::Plan => "plan",
        }
    }

    fn period(self) -> &'static str {
        match self {
            Self::Day | Self::DayTokens => " a day",
            Self::Month => " a month",
            Self::Plan => " in all",
        }
    }

    fn span(self) -> &'static str {
        match self {
            Self::Day | Self::DayTokens => " today",
            Self::Month => " this month",
            Self::Plan => " by its tasks",
        }
    }
}

/// One limit and how it stands. Amounts are millionths of a dollar, or tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What it counts.
    pub measure: Measure,
    /// The most that may be.
    pub limit: u64,
    /// Told so far.
    pub spent: u64,
    /// Set aside besides.
    pub reserved: u64,
}

impl Line {
    /// A limit of dollars.
    pub fn of_money(measure: Measure, limit: Money, standing: &Standing) -> Self {
        let amount = |money: Money| money.micros().unsigned_abs();
        Self {
            measure,
            limit: amount(limit),
            spent: amount(standing.spent),
            reserved: amount(standing.reserved),
        }
    }

    /// A limit of tokens.
    pub fn of_tokens(limit: u64, standing: &Standing) -> Self {
        Self {
            measure: Measure::DayTokens,
            limit,
            spent: standing.tokens,
            reserved: standing.reserved_tokens,
        }
    }

    fn committed(&self) -> u64 {
        self.spent.saturating_add(self.reserved)
    }

    /// What nobody has set aside yet.
    pub fn room(&self) -> u64 {
        self.limit.saturating_sub(self.committed())
    }

    /// What is set aside for something that is expected to take so much: never more than the whole
    /// limit, or nothing could ever begin.
    pub fn reserve(&self, expected: u64) -> u64 {
        expected.min(self.limit)
    }

    /// Why `what` may not begin now that may take `wanted`, if so.
    pub fn refuses(&self, whose: &str, what: &str, wanted: u64) -> Option<String> {
        let is_full = self.committed() >= self.limit;
        if !is_full && wanted <= self.room() {
            return None;
        }
        let how = if self.reserved > 0 { "spent or set aside" } else { "spent" };
        let more =
            if is_full { String::new() } else { format!(", and {what} may take {}", self.amount(wanted)) };
        Some(format!(
            "{whose}: {} of {} {} are {how}{}{more}",
            self.amount(self.committed()),
            self.amount(self.limit),
            self.unit(),
            self.measure.span()
        ))
    }

    /// Why what may take `wanted` can never begin, if so: more is wanted than all that may be.
    pub fn is_too_little_for(&self, whose: &str, wanted: u64) -> Option<String> {
        (wanted > self.limit).then(|| {
            format!(
                "budget: the task may take {} {}, and {whose} no more than {}{}; lower its budget_usd, or raise that limit",
                self.amount(wanted),
                self.unit(),
                self.amount(self.limit),
                self.measure.period()
            )
        })
    }

    /// Why what runs must end, if so: more is spent than may be.
    pub fn is_overspent(&self, whose: &str) -> Option<String> {
        (self.spent > self.limit).then(|| self.tell(whose))
    }

    /// How it stands, in a sentence.
    pub fn tell(&self, whose: &str) -> String {
        format!(
            "{whose}: {} of {} {} are spent{}",
            self.amount(self.spent),
            self.amount(self.limit),
            self.unit(),
            self.measure.span()
        )
    }

    /// Whether an alert is due: this part of the limit is spent. A limit of nothing is only reached.
    pub fn is_alarming(&self, alert_at: f64) -> bool {
        self.limit > 0 && self.spent as f64 >= self.limit as f64 * alert_at
    }

    /// Whether all of it is spent.
    pub fn is_reached(&self) -> bool {
        self.spent >= self.limit
    }

    fn unit(&self) -> &'static str {
        if self.measure == Measure::DayTokens { "tokens" } else { "dollars" }
    }

    fn amount(&self, amount: u64) -> String {
        match self.measure {
            Measure::DayTokens => amount.to_string(),
            _ => Money::from_micros(i64::try_from(amount).unwrap_or(i64::MAX)).to_string(),
        }
    }
}

/// What an attempt is expected to cost whose task says nothing, in millionths of a dollar or tokens:
/// the mean of what the last ones did, rounded up; `first` before there are any.
pub fn expected(last: &[u64], first: u64) -> u64 {
    match last.len() as u64 {
        0 => first,
        n => last.iter().fold(0u64, |sum, one| sum.saturating_add(*one)).div_ceil(n),
    }
}

/// What a month will come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Spent so far.
    pub spent: Money,
    /// The mean of the days that were looked at.
    pub per_day: Money,
    /// How many those were.
    pub days: u32,
    /// Days that are left after today.
    pub days_left: u32,
    /// What it will come to.
    pub total: Money,
}

/// As many days that cost something are looked at for a forecast.
pub const FORECAST_DAYS: usize = 7;

/// Extends a month: today as it stands, and each day after it as the mean of the last
/// [`FORECAST_DAYS`] days that cost something. `active` are those days' sums, today's not among them
/// unless it is the only one.
pub fn forecast(spent: Money, active: &[Money], days_left: u32) -> Forecast {
    let looked_at = &active[..active.len().min(FORECAST_DAYS)];
    let sum: Money = looked_at.iter().copied().sum();
    let days = looked_at.len() as i64;
    let rounded = |amount: i128| {
        let days = i128::from(days.max(1));
        Money(i64::try_from((amount + days / 2) / days).unwrap_or(i64::MAX))
    };
    Forecast {
        spent,
        per_day: rounded(i128::from(sum.0)),
        days: looked_at.len() as u32,
        days_left,
        total: spent + rounded(i128::from(sum.0) * i128::from(days_left)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(limit: u64, spent: u64, reserved: u64) -> Line {
        Line { measure: Measure::Day, limit, spent, reserved }
    }

    #[test]
    fn money_is_what_was_said_to_the_millionth() {
        for (usd, micros) in [
            (0.1 + 0.2, 300_000),
            (1e-7, 0),
            (0.000_000_5, 1),
            (-3.0, 0),
            (f64::NAN, 0),
            (f64::INFINITY, 1_000_000_000_000_000),
            (f64::NEG_INFINITY, 0),
        ] {
            assert_eq!(Money::from_usd(usd).micros(), micros, "{usd}");
        }
        for (micros, shown) in [
            (0, "0.00"),
            (1, "0.000001"),
            (4_999, "0.004999"),
            (5_000, "0.01"),
            (1_995_000, "2.00"),
            (20_000_000, "20.00"),
        ] {
            assert_eq!(Money(micros).to_string(), shown);
        }
    }

    #[test]
    fn what_is_set_aside_counts_as_spent_and_a_limit_says_why() {
        let refused = |line: Line, wanted| line.refuses("claude", "a task", wanted);
        assert_eq!(refused(line(1_000_000, 0, 0), 1_000_000), None);
        assert_eq!(refused(line(1_000_000, 400_000, 300_000), 300_000), None);
        assert_eq!(
            refused(line(1_000_000, 400_000, 300_000), 300_001).unwrap(),
            "claude: 0.70 of 1.00 dollars are spent or set aside today, and a task may take 0.30"
        );
        assert_eq!(
            refused(line(1_000_000, 1_000_000, 0), 0).unwrap(),
            "claude: 1.00 of 1.00 dollars are spent today"
        );
        // Nothing may be spent, so not even what is expected to cost nothing begins.
        assert_eq!(refused(line(0, 0, 0), 0).unwrap(), "claude: 0.00 of 0.00 dollars are spent today");
        let tokens = Line { measure: Measure::DayTokens, ..line(500, 501, 0) };
        assert_eq!(refused(tokens, 0).unwrap(), "claude: 501 of 500 tokens are spent today");
        assert_eq!(tokens.is_overspent("claude"), refused(tokens, 0));
        assert_eq!(line(500, 500, 9).is_overspent("claude"), None);
    }

    #[test]
    fn more_than_all_there_may_be_never_begins() {
        assert_eq!(line(1_000_000, 0, 0).is_too_little_for("claude", 1_000_000), None);
        assert_eq!(
            line(1_000_000, 0, 0).is_too_little_for("claude", 1_010_000).unwrap(),
            "budget: the task may take 1.01 dollars, and claude no more than 1.00 a day; lower its budget_usd, or raise that limit"
        );
    }

    #[test]
    fn an_alert_is_due_at_its_part_exactly() {
        assert!(!line(10_000_000, 7_999_999, 9_000_000).is_alarming(0.8));
        assert!(line(10_000_000, 8_000_000, 0).is_alarming(0.8));
        assert!(!line(0, 0, 0).is_alarming(0.8));
        assert!(line(0, 0, 0).is_reached());
    }

    #[test]
    fn a_month_goes_on_as_its_last_days_went() {
        let cents = |amounts: &[i64]| amounts.iter().map(|cents| Money(cents * 10_000)).collect::<Vec<_>>();
        // Ten days of a dollar, 20 to come.
        let even = forecast(Money(10_000_000), &cents(&[100; 9]), 20);
        assert_eq!((even.total.micros(), even.days, even.per_day.micros()), (30_000_000, 7, 1_000_000));
        // Thirds of a cent are rounded once, at the end.
        let uneven = forecast(Money(500_000), &cents(&[10, 10, 5]), 2);
        assert_eq!((uneven.total.micros(), uneven.per_day.micros()), (666_667, 83_333));
        assert_eq!(forecast(Money(70), &[], 30).total, Money(70));
        assert_eq!(forecast(Money(70), &cents(&[1]), 0).total, Money(70));
    }

    #[test]
    fn what_is_expected_is_the_mean_rounded_up() {
        assert_eq!((expected(&[], 5), expected(&[0], 5), expected(&[1, 2], 5)), (5, 0, 2));
        assert_eq!(expected(&[u64::MAX, u64::MAX], 5), u64::MAX / 2 + 1);
    }

    proptest! {
        /// Whatever is begun in whatever order: as long as nobody takes more than was set aside for it,
        /// the limit holds.
        #[test]
        fn no_order_of_starts_overspends(limit in 0u64..5_000, wishes in prop::collection::vec((0u64..2_000, any::<bool>(), 0u64..=100), 0..60)) {
            let mut now = line(limit, 0, 0);
            let mut running: Vec<u64> = Vec::new();
            for (wish, ends, percent) in wishes {
                let wanted = now.reserve(wish);
                if now.refuses("x", "a task", wanted).is_none() {
                    now.reserved += wanted;
                    running.push(wanted);
                }
                if ends && let Some(reserved) = running.pop() {
                    now.reserved -= reserved;
                    now.spent += reserved * percent / 100;
                }
                prop_assert!(now.spent + now.reserved <= limit);
            }
        }
    }
}
