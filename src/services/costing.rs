//! What was spent, on what, and what the month will come to.

use std::collections::BTreeMap;

use super::{Error, Session};
use crate::base::clock::Time;
use crate::domain::budget::{FORECAST_DAYS, Forecast, Money, forecast};
use crate::domain::usage::Usage;
use crate::store::Tx;
use crate::store::money::{CostRow, GroupBy};
use crate::sys::config::Config;

/// What the same work would have cost somewhere else.
#[derive(Debug, Clone, PartialEq)]
pub struct Saving {
    /// The provider that would have done all of it.
    pub provider: String,
    /// The model whose listed prices are used; `None` where prices are configured.
    pub model: Option<String>,
    /// What that would have cost.
    pub would: Money,
    /// What it did cost: all that told its tokens.
    pub did: Money,
}

/// Costs, summed.
#[derive(Debug, Clone)]
pub struct CostView {
    /// From when on.
    pub since: Time,
    /// The sums.
    pub rows: Vec<CostRow>,
    /// The sum of the sums.
    pub total: CostRow,
    /// The month.
    pub month: Forecast,
    /// What one provider alone would have cost, for each that has a price.
    pub savings: Vec<Saving>,
}

/// Where a report begins: a moment, a day (`2026-11-01`), a month (`2026-11`), `today`, `month`, `all`,
/// or so many days back with today (`7d`).
pub fn since(text: &str, now: Time) -> Option<Time> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
        let back = i64::from(days.checked_sub(1)?);
        return Some(now.start_of_day().plus_seconds(-back * 24 * 3600));
    }
    match text {
        "today" => Some(now.start_of_day()),
        "month" => Some(now.start_of_month()),
        "all" => Some(Time::from_millis(0)),
        _ => Time::parse(text)
            .or_else(|| Time::parse(&format!("{text}T00:00:00Z")))
            .or_else(|| Time::parse(&format!("{text}-01T00:00:00Z"))),
    }
}

/// What a provider may spend in the time that a report is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// In the month, where the report is of it.
    pub month_usd: Option<f64>,
    /// In a day.
    pub day_usd: Option<f64>,
    /// What is spent of that today.
    pub today: Money,
}

/// The limits of the providers that have some, as far as they belong beside sums of the month or of today.
pub fn limits(
    tx: &Tx<'_>,
    config: &Config,
    since: Time,
    now: Time,
) -> Result<BTreeMap<String, Limits>, Error> {
    let is_month = since == now.start_of_month();
    let mut limits = BTreeMap::new();
    for (name, provider) in &config.providers {
        let month_usd = provider.budget.usd_per_month.filter(|_| is_month);
        let day_usd = provider.budget.usd_per_day.filter(|_| is_month || since == now.start_of_day());
        if month_usd.is_some() || day_usd.is_some() {
            let (from, until) = (now.start_of_day(), now.next_day());
            let today = tx.standing(name, from, until)?.spent;
            limits.insert(name.to_string(), Limits { month_usd, day_usd, today });
        }
    }
    Ok(limits)
}

/// All that was spent since then, in all projects: providers and their budgets are the machine's.
pub fn costs(
    session: &Session,
    config: &Config,
    by: GroupBy,
    since: Time,
    now: Time,
) -> Result<CostView, Error> {
    session.store()?.read(|tx| view(tx, config, by, since, now))
}

/// The same within a transaction.
pub fn view(tx: &Tx<'_>, config: &Config, by: GroupBy, since: Time, now: Time) -> Result<CostView, Error> {
    // What a clock that ran ahead dated later is not left out.
    let until = Time::from_millis(i64::MAX);
    let rows = tx.costs(by, since, until)?;
    let mut total = CostRow { name: "total".to_owned(), ..CostRow::default() };
    for row in &rows {
        total.spent = total.spent + row.spent;
        total.reserved = total.reserved + row.reserved;
        total.used = total.used.plus(row.used);
        total.count += row.count;
        total.untold += row.untold;
    }
    let told = tx.told(since, until)?;
    let did: Money = told.iter().map(|(_, spent, _)| *spent).sum();
    let used = told.iter().fold(Usage::default(), |sum, (_, _, used)| sum.plus(*used));
    let savings = config.providers.iter().filter(|(name, provider)| {
        provider.is_available || name.as_str() == "claude" || told.iter().any(|(used, ..)| used == *name)
    });
    let savings = savings
        .filter_map(|(name, provider)| {
            Some(Saving {
                provider: name.to_string(),
                model: provider.price_model.clone(),
                would: provider.prices?.of(&used),
                did,
            })
        })
        .filter(|_| used.total_tokens() > 0)
        .collect();
    Ok(CostView { since, rows, total, month: month(tx, now)?, savings })
}

/// What this month will come to.
pub fn month(tx: &Tx<'_>, now: Time) -> Result<Forecast, Error> {
    let spent = tx.spent_between(now.start_of_month(), now.next_month())?;
    let mut active = tx.active_days(now.start_of_day(), FORECAST_DAYS)?;
    if active.is_empty() {
        let today = tx.spent_between(now.start_of_day(), now.next_day())?;
        active.extend((today > Money::ZERO).then_some(today));
    }
    Ok(forecast(spent, &active, now.days_left()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_begins_where_it_is_told_to() {
        let now = Time::parse("2026-03-15T10:30:00Z").unwrap();
        for (text, expected) in [
            ("today", Some("2026-03-15T00:00:00.000Z")),
            ("1d", Some("2026-03-15T00:00:00.000Z")),
            ("15d", Some("2026-03-01T00:00:00.000Z")),
            ("16d", Some("2026-02-28T00:00:00.000Z")),
            ("month", Some("2026-03-01T00:00:00.000Z")),
            ("2026-02-28", Some("2026-02-28T00:00:00.000Z")),
            ("2026-02", Some("2026-02-01T00:00:00.000Z")),
            ("2026-02-28T12:00:00Z", Some("2026-02-28T12:00:00.000Z")),
            ("all", Some("1970-01-01T00:00:00.000Z")),
            ("0d", None),
            ("-3d", None),
            ("2026-02-30", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(since(text, now).map(|time| time.to_string()).as_deref(), expected, "{text:?}");
        }
    }
}
