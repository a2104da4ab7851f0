//! What each worker shows of life, and what all of them need.

use super::*;
use crate::api::wire::{HealthStatus, WorkerHealthStatus};

/// Scope `health`, and `kapell health`.
pub fn health(view: &View, status: &HealthStatus) -> String {
    view.page(|page| {
        warn(page, &status.warnings);
        if status.health.is_empty() {
            page.line(&[span(Style::Faint, "no workers")]);
        } else {
            page.table(&workers(view, &status.health));
        }
        let told = status.health.iter().filter_map(|worker| Some((worker, worker.reason.as_ref()?)));
        for (at, (worker, reason)) in told.enumerate() {
            if at == 0 {
                page.gap();
            }
            let lead = [
                span(style_of(&worker.verdict), &worker.verdict),
                span(Style::Plain, format!("  {}: ", worker.worker)),
            ];
            page.wrapped(&lead, Style::Plain, &until(view, worker, reason));
        }
        page.gap();
        for check in &status.checks {
            let lead = [
                span(style_of(&check.outcome), format!("{:4}", check.outcome)),
                span(Style::Faint, format!("  {:12}  ", check.name)),
            ];
            page.wrapped(&lead, Style::Plain, &check.found);
            if let Some(next) = &check.next {
                page.wrapped(&cell(Style::Faint, "      → "), Style::Plain, next);
            }
        }
    })
}

fn workers(view: &View, workers: &[WorkerHealthStatus]) -> Table {
    let mut table = Table::new(
        0,
        [
            Column::new("WORKER", Give::Shrink),
            Column::new("STATE", Give::Keep),
            Column::new("HEALTH", Give::Keep),
            Column::new("SINCE", Give::Drop(1)),
            Column::new("OUTPUT", Give::Drop(3)),
            Column::number("CPU", Give::Drop(2)),
            Column::new("TOOL", Give::Shrink),
            Column::new("TASK", Give::Shrink),
        ],
    );
    for worker in workers {
        let distance =
            |time: &Option<String>| optional(time.as_ref().map(|time| view.distance(time)).as_ref());
        table.row([
            cell(Style::Strong, &worker.worker),
            vec![word(&worker.state)],
            vec![word(&worker.verdict)],
            distance(&worker.since),
            distance(&worker.last_output_at),
            worker.cpu_ms.map(|cpu| plain(duration(cpu))).unwrap_or_default(),
            optional(worker.tool.as_ref()),
            optional(worker.task.as_ref()),
        ]);
    }
    table
}

/// Why, with times as distances where there is one to wait for.
fn until(view: &View, worker: &WorkerHealthStatus, reason: &str) -> String {
    match (&worker.until, worker.verdict.as_str()) {
        (Some(until), "quarantined") => format!(
            "{reason}; it gets tasks again {}, or at once by kapell control resume {}",
            view.distance(until),
            worker.worker
        ),
        (Some(until), _) => format!("{reason}; until {}", view.moment(until)),
        (None, _) => reason.to_owned(),
    }
}
