//! What people see of each result. Pure: a result and a [`View`] in, text out.

use super::layout::{Cell, Column, Give, Look, Page, Span, Style, Table, cell, sentence, span};
use crate::api::wire::{Id, StatusBody, StatusResult};
use crate::base::clock::{Time, Zone};

mod claims;
mod cost;
mod environments;
mod fleet;
mod health;
mod inside;
mod pipeline;
mod plan;
mod runs;
mod status;
mod work;

pub use claims::{claim_files, release_files};
pub use cost::csv;
pub use environments::environments;
pub use fleet::{By, Fleet, Places, fleet, route};
pub use health::health;
pub use inside::{checkpoint, report};
pub use pipeline::{pipeline, pipelines};
pub use plan::{dispatch, plan};
pub use runs::replay_step;
pub use status::{events_line, run_summary, task_change};
pub use work::{control, judge};

/// From where a result is looked at.
#[derive(Debug, Clone)]
pub struct View {
    /// How it may look.
    pub look: Look,
    /// The moment, for times told as distances.
    pub now: Time,
    /// The time zone of the person.
    pub zone: Zone,
}

impl View {
    /// Fills a page.
    pub fn page(&self, fill: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::new(self.look);
        fill(&mut page);
        page.into_text()
    }

    /// How long ago, or until when: `3 min ago`, `in 12 min`.
    fn distance(&self, text: &str) -> String {
        let Some(time) = Time::parse(text) else { return text.to_owned() };
        let millis = self.now.millis_since(time);
        let length = duration(millis.unsigned_abs());
        if millis.unsigned_abs() < 1000 {
            "now".to_owned()
        } else if millis > 0 {
            format!("{length} ago")
        } else {
            format!("in {length}")
        }
    }

    /// For how long by now: `for 3 min`.
    fn length_since(&self, text: &str) -> String {
        match Time::parse(text) {
            Some(time) if self.now.millis_since(time) < 1000 => "since now".to_owned(),
            Some(time) => format!("for {}", duration(self.now.millis_since(time).unsigned_abs())),
            None => format!("since {text}"),
        }
    }

    /// The moment in the person's time zone.
    fn moment(&self, text: &str) -> String {
        Time::parse(text).map_or_else(|| text.to_owned(), |time| self.zone.show(time, self.now))
    }
}

/// Any answer of `status`.
pub fn status(view: &View, result: &StatusResult) -> String {
    match &result.body {
        StatusBody::Overview(overview) => status::overview(view, overview),
        StatusBody::Task(task) => work::task(view, task),
        StatusBody::Plan(plan) => status::plan(view, plan, result.next_cursor.as_deref()),
        StatusBody::Judgement(judgement) => judge(view, judgement),
        StatusBody::Attempt(attempt) => work::attempt(view, attempt),
        StatusBody::Claims { claims } => claims::claims(view, claims),
        StatusBody::Conductors { conductors } => runs::conductors(view, conductors),
        StatusBody::Budget { budget } => status::budget(view, budget),
        StatusBody::Cost(costs) => cost::cost(view, costs),
        StatusBody::Health(health) => health::health(view, health),
        StatusBody::Workers { workers, warnings, .. } => status::workers(view, workers, warnings),
        StatusBody::Queue { queue, waiting } => {
            status::queue(view, queue, waiting, result.next_cursor.as_deref())
        }
        StatusBody::Events { events } => status::events(view, events),
        StatusBody::History { runs } => runs::history(view, runs),
        StatusBody::Replay { steps } => steps.iter().map(|step| replay_step(view, step)).collect(),
        StatusBody::Environments { environments, totals } => {
            view.page(|page| environments::table(page, view, environments, Some(totals)))
        }
    }
}

/// An id as it was written.
pub fn id_text(id: &Id) -> String {
    match id {
        Id::Number(number) => number.to_string(),
        Id::Text(text) => text.clone(),
    }
}

fn ids_text(ids: &[Id]) -> String {
    ids.iter().map(id_text).collect::<Vec<_>>().join(", ")
}

/// What a state, outcome or verdict means for whoever reads it.
fn style_of(word: &str) -> Style {
    match word {
        "done" | "approved" | "pass" | "ok" | "submitted" => Style::Good,
        "running" | "busy" | "judging" | "landing" | "starting" => Style::Strong,
        "failed" | "blocked" | "rejected" | "fail" | "error" | "crashed" | "violation" | "unhealthy"
        | "over-budget" | "killed" | "stuck" | "timed-out" | "quarantined" | "gone" | "unavailable" => {
            Style::Bad
        }
        "paused" | "warn" | "quiet" | "limited" | "rate-limited" | "alert" | "stopping" | "interrupted"
        | "queued" | "warning" => Style::Warn,
        "waiting" | "idle" | "draft" | "skipped" | "stopped" | "cancelled" => Style::Faint,
        _ => Style::Plain,
    }
}

/// What needs somebody's attention, above all else.
fn warn(page: &mut Page, warnings: &[String]) {
    for warning in warnings {
        page.wrapped(&cell(Style::Warn, "warning: "), Style::Plain, warning);
    }
    page.gap();
}

/// A state, outcome or verdict in its colour.
fn word(text: &str) -> Span {
    span(style_of(text), text)
}

/// A name and its value on one line, names padded to `wide`.
fn fact(page: &mut Page, wide: usize, name: &str, value: &str) {
    page.wrapped(&[span(Style::Faint, format!("{name:wide$}  "))], Style::Plain, value);
}

fn plain(text: impl AsRef<str>) -> Cell {
    cell(Style::Plain, text)
}

fn optional(text: Option<&String>) -> Cell {
    text.map(plain).unwrap_or_default()
}

fn money(usd: f64) -> String {
    if usd > 0.0 && usd < 0.01 { "<$0.01".to_owned() } else { format!("${usd:.2}") }
}

/// A length of time in at most two units.
pub fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, millis % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", (seconds + 30) / 60),
        3600..86_400 => match seconds % 3600 / 60 {
            0 => format!("{} h", seconds / 3600),
            minutes => format!("{} h {minutes} min", seconds / 3600),
        },
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A large number in three digits.
fn count(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        1000..1_000_000 => format!("{}.{}k", number / 1000, number % 1000 / 100),
        _ => format!("{}.{}M", number / 1_000_000, number % 1_000_000 / 100_000),
    }
}

/// `1 task`, `2 tasks`.
fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests;
