//! A figure, the limit or peer that it is held against, and how it is shown.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

/// A quantity with its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// A span of time.
    Time(Duration),
    /// A size in bytes.
    Bytes(u64),
    /// Events a second.
    PerSecond(f64),
    /// Something that is counted, and what.
    Count(u64, &'static str),
}

/// What a figure must keep to.
#[derive(Debug, Clone, Copy)]
pub enum Gate {
    /// At most so many times the peer.
    TimesAtMost(f64),
    /// At least so many times the peer.
    TimesAtLeast(f64),
    /// At most the limit, which stands where the peer stands elsewhere.
    Limit,
    /// It is only told.
    None,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The case that measured it.
    pub case: &'static str,
    /// What was measured.
    pub name: String,
    /// How much it is.
    pub value: Amount,
    /// What it is held against, and how much that is.
    pub against: Option<(String, Amount)>,
    /// The value as a multiple of the peer. Where rounds were taken it is the median of the rounds'
    /// ratios, not the ratio of the medians.
    pub ratio: Option<f64>,
    /// What it must keep to.
    pub gate: Gate,
    /// What else there is to know, in a few words.
    pub note: String,
}

impl Amount {
    /// The bare number: seconds, bytes, or how many.
    pub fn number(self) -> f64 {
        match self {
            Self::Time(time) => time.as_secs_f64(),
            Self::Bytes(count) | Self::Count(count, _) => count as f64,
            Self::PerSecond(rate) => rate,
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Time(_) => "s",
            Self::Bytes(_) => "bytes",
            Self::PerSecond(_) => "1/s",
            Self::Count(_, what) => what,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::Time(time) => {
                let micros = time.as_secs_f64() * 1e6;
                match micros {
                    _ if micros >= 10_000.0 => format!("{:.1} ms", micros / 1000.0),
                    _ if micros >= 1000.0 => format!("{:.2} ms", micros / 1000.0),
                    _ if micros >= 100.0 => format!("{micros:.0} µs"),
                    _ if micros >= 1.0 => format!("{micros:.1} µs"),
                    _ => format!("{:.0} ns", micros * 1000.0),
                }
            }
            Self::Bytes(count) if count >= 10 << 20 => format!("{:.1} MiB", count as f64 / 1048576.0),
            Self::Bytes(count) if count >= 1 << 20 => format!("{:.2} MiB", count as f64 / 1048576.0),
            Self::Bytes(count) if count >= 10 << 10 => format!("{:.1} KiB", count as f64 / 1024.0),
            Self::Bytes(count) => format!("{count} B"),
            Self::PerSecond(rate) if rate >= 100.0 => format!("{rate:.0}/s"),
            Self::PerSecond(rate) => format!("{rate:.1}/s"),
            Self::Count(count, what) => format!("{count} {what}"),
        }
    }
}

impl Figure {
    /// A figure held against nothing.
    pub fn told(case: &'static str, name: impl Into<String>, value: Amount) -> Self {
        Self {
            case,
            name: name.into(),
            value,
            against: None,
            ratio: None,
            gate: Gate::None,
            note: String::new(),
        }
    }

    /// The same figure held against a limit.
    #[must_use]
    pub fn limited(self, limit: Amount) -> Self {
        let ratio = (limit.number() > 0.0).then(|| self.value.number() / limit.number());
        Self { against: Some(("limit".to_owned(), limit)), ratio, gate: Gate::Limit, ..self }
    }

    /// The same figure held against a peer of the same run. `ratio` is the rounds' where there were some.
    #[must_use]
    pub fn against(self, peer: impl Into<String>, amount: Amount, ratio: Option<f64>, gate: Gate) -> Self {
        let plain = self.value.number() / amount.number();
        Self { against: Some((peer.into(), amount)), ratio: Some(ratio.unwrap_or(plain)), gate, ..self }
    }

    /// The same figure with a remark.
    #[must_use]
    pub fn noting(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Whether it keeps to its gate; nothing where it has none.
    pub fn is_kept(&self) -> Option<bool> {
        let limit = || self.against.as_ref().is_some_and(|(_, limit)| self.value.number() <= limit.number());
        match self.gate {
            Gate::TimesAtMost(most) => Some(self.ratio.is_some_and(|ratio| ratio <= most)),
            Gate::TimesAtLeast(least) => Some(self.ratio.is_some_and(|ratio| ratio >= least)),
            Gate::Limit => Some(limit()),
            Gate::None => None,
        }
    }

    fn cells(&self) -> [String; 7] {
        let against = self.against.as_ref();
        let gate = match self.gate {
            Gate::TimesAtMost(most) => format!("≤ {most}x"),
            Gate::TimesAtLeast(least) => format!("≥ {least}x"),
            Gate::Limit => format!("≤ {}", against.map(|(_, limit)| limit.shown()).unwrap_or_default()),
            Gate::None => String::new(),
        };
        [
            self.case.to_owned(),
            self.name.clone(),
            self.value.shown(),
            match (against, self.gate) {
                (Some((peer, amount)), Gate::TimesAtMost(_) | Gate::TimesAtLeast(_) | Gate::None) => {
                    format!("{} {peer}", amount.shown())
                }
                _ => String::new(),
            },
            match (self.ratio, self.gate) {
                (Some(ratio), Gate::TimesAtMost(_) | Gate::TimesAtLeast(_) | Gate::None) => {
                    format!("{ratio:.2}x")
                }
                _ => String::new(),
            },
            gate,
            match self.is_kept() {
                Some(true) => "ok".to_owned(),
                Some(false) => "OVER".to_owned(),
                None => String::new(),
            },
        ]
    }

    fn json(&self) -> Value {
        let against = self.against.as_ref();
        let (gate, bound) = match self.gate {
            Gate::TimesAtMost(most) => (Some("ratio-at-most"), Some(most)),
            Gate::TimesAtLeast(least) => (Some("ratio-at-least"), Some(least)),
            Gate::Limit => (Some("at-most"), against.map(|(_, limit)| limit.number())),
            Gate::None => (None, None),
        };
        json!({
            "case": self.case,
            "figure": self.name,
            "value": self.value.number(),
            "unit": self.value.unit(),
            "against": against.map(|(peer, amount)| json!({"peer": peer, "value": amount.number()})),
            "ratio": self.ratio,
            "gate": gate,
            "bound": bound,
            "kept": self.is_kept(),
            "note": self.note,
        })
    }
}

/// Writes the table, with the remarks below it.
pub fn write_table(out: &mut impl Write, figures: &[Figure]) -> Result<()> {
    const HEADS: [&str; 7] = ["case", "figure", "measured", "peer, same run", "ratio", "gate", ""];
    let rows: Vec<[String; 7]> =
        std::iter::once(HEADS.map(str::to_owned)).chain(figures.iter().map(Figure::cells)).collect();
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for (at, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            // Numbers are read from the right.
            if matches!(column, 2 | 4) {
                line.push_str(&format!("{padding}{cell}  "));
            } else {
                line.push_str(&format!("{cell}{padding}  "));
            }
        }
        writeln!(out, "{}", line.trim_end())?;
        if at == 0 {
            writeln!(out, "{}", "-".repeat(widths.iter().sum::<usize>() + 12))?;
        }
    }
    let noted: Vec<&Figure> = figures.iter().filter(|figure| !figure.note.is_empty()).collect();
    if !noted.is_empty() {
        writeln!(out)?;
    }
    for figure in noted {
        writeln!(out, "{} / {}: {}", figure.case, figure.name, figure.note)?;
    }
    let over = figures.iter().filter(|figure| figure.is_kept() == Some(false)).count();
    let gated = figures.iter().filter(|figure| figure.is_kept().is_some()).count();
    writeln!(out, "\n{} of {gated} figures keep to their gate, {over} OVER", gated - over)?;
    Ok(())
}

/// Writes the figures as one JSON array.
pub fn write_json(out: &mut impl Write, figures: &[Figure]) -> Result<()> {
    let figures: Vec<Value> = figures.iter().map(Figure::json).collect();
    serde_json::to_writer_pretty(&mut *out, &figures)?;
    writeln!(out)?;
    Ok(())
}
