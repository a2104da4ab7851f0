//! What was spent.

use super::*;
use crate::api::wire::{CostBy, CostLine, CostStatus, SavingStatus};

/// Columns of a bar.
const BAR: u64 = 16;

/// Scope `cost`.
pub fn cost(view: &View, costs: &CostStatus) -> String {
    view.page(|page| {
        let day = costs.since.split('T').next().unwrap_or_default();
        let since = if day == "1970-01-01" { "of all times".to_owned() } else { format!("since {day}") };
        if costs.cost.is_empty() {
            page.line(&[span(Style::Faint, format!("nothing was spent {since}"))]);
            return;
        }
        page.table(&table(view, costs));
        page.gap();
        let total = &costs.total;
        fact(
            page,
            8,
            "total",
            &format!("{} {since}, {}", money(total.usd), counted(total.attempts, "attempt")),
        );
        if total.untold > 0 {
            let these = counted(total.untold, "attempt");
            fact(page, 8, "", &format!("{these} ended without telling what they cost: not in these sums"));
        }
        let month = &costs.forecast;
        fact(
            page,
            8,
            "month",
            &format!("{} so far, {} at its end", money(month.spent_usd), money(month.total_usd)),
        );
        if month.per_day_usd > 0.0 {
            fact(page, 8, "", &format!("{}: {} a day", month.how, money(month.per_day_usd)));
        }
        // What came without tokens is in the sum above, and can be compared with nothing.
        let compared = |saving: &SavingStatus| ((saving.would_usd - saving.saved_usd) * 1e6).round() / 1e6;
        let apart = |saving: &SavingStatus| costs.total.usd - compared(saving);
        for (at, saving) in costs.savings.iter().enumerate() {
            let priced = match &saving.model {
                Some(model) => format!("{model} as of {}", costs.prices_as_of),
                None => "as configured".to_owned(),
            };
            let more = match saving.saved_usd {
                saved if saved > 0.0 => format!("{} saved", money(saved)),
                saved if saved < 0.0 => format!("{} less than was spent", money(-saved)),
                _ => "the same".to_owned(),
            };
            let name = if at == 0 { "instead" } else { "" };
            let instead = match apart(saving) >= A_CENT / 2.0 {
                true => format!(" instead of {}", money(compared(saving))),
                false => String::new(),
            };
            let would = money(saving.would_usd);
            fact(page, 8, name, &format!("all by {}: {would}{instead}, {more} ({priced})", saving.provider));
        }
        if let Some(apart) = costs.savings.first().map(apart).filter(|apart| *apart >= A_CENT / 2.0) {
            fact(page, 8, "", &format!("{} came without tokens, and is not compared", money(apart)));
        }
    })
}

const A_CENT: f64 = 0.01;

fn table(view: &View, costs: &CostStatus) -> Table {
    let has_limits = costs.cost.iter().any(|line| limit(line).is_some());
    let has_reserves = costs.total.reserved_usd > 0.0;
    // Nobody looks at a bar in a file.
    let is_seen = view.look.width.is_some();
    let mut columns = vec![Column::new(heading(costs), Give::Shrink)];
    columns.extend(is_seen.then(|| Column::new("", Give::Drop(6))));
    columns.push(Column::number("SPENT", Give::Keep));
    columns.extend(has_reserves.then(|| Column::number("RESERVED", Give::Drop(4))));
    if has_limits {
        columns.push(Column::number("LIMIT", Give::Drop(7)));
        columns.push(Column::number("%", Give::Drop(8)));
    }
    columns.push(Column::number("IN", Give::Drop(2)));
    columns.push(Column::number("CACHED", Give::Drop(1)));
    columns.push(Column::number("OUT", Give::Drop(3)));
    columns.push(Column::number("ATTEMPTS", Give::Drop(5)));
    let most = costs.cost.iter().map(|line| line.usd).fold(0.0, f64::max);
    let mut table = Table::new(0, columns);
    for line in &costs.cost {
        let mut cells = vec![plain(&line.name)];
        cells.extend(is_seen.then(|| bar(line, has_limits, most)));
        cells.push(plain(money(line.usd)));
        let reserved = || if line.reserved_usd > 0.0 { plain(money(line.reserved_usd)) } else { Cell::new() };
        cells.extend(has_reserves.then(reserved));
        if has_limits {
            cells.push(limit(line).map(plain).unwrap_or_default());
            cells
                .push(line.percent.map(|percent| cell(style(line), percent.to_string())).unwrap_or_default());
        }
        cells.push(plain(count(line.input_tokens)));
        cells.push(plain(count(line.cached_tokens)));
        cells.push(plain(count(line.output_tokens)));
        cells.push(plain(line.attempts.to_string()));
        table.row(cells);
    }
    table
}

/// What may be spent in the month; where only a day has a limit, that.
fn limit(line: &CostLine) -> Option<String> {
    let a_day = || line.day_limit_usd.map(|limit| format!("{} a day", money(limit)));
    line.limit_usd.map(money).or_else(a_day)
}

fn heading(costs: &CostStatus) -> &'static str {
    match costs.by {
        CostBy::Provider => "PROVIDER",
        CostBy::Plan => "PLAN",
        CostBy::Task => "TASK",
        CostBy::Worker => "WORKER",
        CostBy::Day => "DAY",
        CostBy::Month => "MONTH",
    }
}

fn style(line: &CostLine) -> Style {
    match line.percent {
        Some(100..) => Style::Bad,
        Some(80..) => Style::Warn,
        _ => Style::Good,
    }
}

/// How much of its limit is spent where it has one, else how much beside the others.
fn bar(line: &CostLine, has_limits: bool, most: f64) -> Cell {
    let part = match (line.percent, has_limits) {
        (Some(percent), _) => percent as f64 / 100.0,
        (None, true) => return Cell::new(),
        (None, false) if most > 0.0 => line.usd / most,
        (None, false) => 0.0,
    };
    // Full only when all is spent, and something where anything is.
    let full = ((part.clamp(0.0, 1.0) * BAR as f64) as usize).max(usize::from(line.usd > 0.0));
    let rest = (BAR as usize).saturating_sub(full);
    vec![span(style(line), "━".repeat(full)), span(Style::Faint, "─".repeat(rest))]
}

/// The sums as comma-separated values (RFC 4180, with plain newlines).
pub fn csv(costs: &CostStatus) -> String {
    let mut text = format!(
        "{},usd,reserved_usd,input_tokens,cached_tokens,output_tokens,attempts,untold,limit_usd,percent,day_limit_usd,today_usd\n",
        costs.by.as_str()
    );
    for line in &costs.cost {
        let name = match line.name.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", line.name.replace('"', "\"\"")),
            false => line.name.clone(),
        };
        let told = |usd: Option<f64>| usd.map(|usd| usd.to_string()).unwrap_or_default();
        let (limit, day_limit, today) =
            (told(line.limit_usd), told(line.day_limit_usd), told(line.today_usd));
        let percent = line.percent.map(|percent| percent.to_string()).unwrap_or_default();
        let CostLine {
            usd, reserved_usd, input_tokens, cached_tokens, output_tokens, attempts, untold, ..
        } = line;
        text.push_str(&format!(
            "{name},{usd},{reserved_usd},{input_tokens},{cached_tokens},{output_tokens},{attempts},{untold},{limit},{percent},{day_limit},{today}\n"
        ));
    }
    text
}
