//! Figures for Prometheus, in its text format.

use std::fmt::{Display, Write as _};

use crate::api::methods::reads::Figures;

/// The states that a series has from its beginning: one that comes and goes cannot be drawn.
const TASK_STATES: [&str; 11] = [
    "waiting",
    "ready",
    "running",
    "judging",
    "rejected",
    "approved",
    "landing",
    "done",
    "failed",
    "blocked",
    "cancelled",
];
const CONDUCTOR_STATES: [&str; 6] = ["queued", "running", "paused", "stopping", "stopped", "crashed"];
const WORKER_STATES: [&str; 6] = ["idle", "busy", "rate-limited", "over-budget", "unhealthy", "stopped"];

/// What this process knows of itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Own {
    /// Requests answered so far, by the first digit of their status, from 1.
    pub answered: [u64; 5],
    /// Connections now.
    pub connections: u64,
    /// Who follows the event log now.
    pub followers: u64,
    /// Memory.
    pub resident: Option<u64>,
}

/// The page.
pub fn page(figures: &Figures, own: &Own) -> String {
    let mut page = Page::default();
    let tasks = TASK_STATES.map(|state| (state, figures.tasks.get(state).copied().unwrap_or(0)));
    page.states("kapell_tasks", "Tasks of the project, by state.", &tasks);
    let workers = WORKER_STATES.map(|state| (state, figures.workers.get(state).copied().unwrap_or(0)));
    page.states("kapell_workers", "Workers of the project, by state.", &workers);
    let busy = figures.workers.get("busy").copied().unwrap_or(0);
    page.one("kapell_workers_busy", "gauge", "Workers of the project that are at work.", busy);
    let conductors =
        CONDUCTOR_STATES.map(|state| (state, figures.conductors.get(state).copied().unwrap_or(0)));
    page.states(
        "kapell_conductors",
        "Conductors that have not ended, of all projects, by state.",
        &conductors,
    );
    page.one("kapell_claims", "gauge", "Live claims of the project.", figures.claims);
    page.one(
        "kapell_cost_today_usd",
        "gauge",
        "Dollars spent since midnight UTC, by all projects.",
        figures.usd_today,
    );
    page.one("kapell_events_seq", "counter", "The number of the newest event.", figures.seq);
    page.head("kapell_http_requests_total", "counter", "Requests answered by this process, by status.");
    for (class, count) in (1..).zip(own.answered) {
        page.line("kapell_http_requests_total", &format!("{{status=\"{class}xx\"}}"), count);
    }
    page.one("kapell_http_connections", "gauge", "Connections to this process.", own.connections);
    page.one("kapell_http_followers", "gauge", "Who follows the events over HTTP.", own.followers);
    if let Some(resident) = own.resident {
        page.one("process_resident_memory_bytes", "gauge", "Resident memory of this process.", resident);
    }
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn states(&mut self, name: &str, help: &str, counts: &[(&str, u64)]) {
        self.head(name, "gauge", help);
        for (state, count) in counts {
            self.line(name, &format!("{{state=\"{state}\"}}"), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_figure_is_explained_and_there_from_the_beginning() {
        let figures = Figures {
            tasks: BTreeMap::from([("done", 3)]),
            workers: BTreeMap::from([("busy".to_owned(), 2)]),
            usd_today: 0.25,
            seq: 17,
            ..Figures::default()
        };
        let own = Own { answered: [0, 5, 0, 1, 0], resident: Some(4096), ..Own::default() };
        insta::assert_snapshot!(page(&figures, &own));
    }
}
