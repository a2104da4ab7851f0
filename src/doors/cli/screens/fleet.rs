//! Workers and what they do, and where a task would go.

use super::*;
use crate::api::wire::{DispatchResult, EnvironmentTotals, RouteStatus, WorkerStatus};
use crate::base::sorting;

/// By what workers are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Their groups.
    Group,
    /// Their providers.
    Provider,
    /// Their environments.
    Environment,
}

/// The environments of the project, where workers are sorted by them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Their names.
    pub names: Vec<String>,
    /// All of them in figures.
    pub totals: EnvironmentTotals,
}

/// The workers of a project.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    /// All of them.
    pub workers: Vec<WorkerStatus>,
    /// Tasks that wait past their deadline.
    pub missed: u64,
    /// Why what is told may not be what the files of the configuration say.
    pub warnings: Vec<String>,
}

/// `kapell fleet`: the workers, those apart that never get a task.
pub fn fleet(view: &View, fleet: &Fleet, by: By, places: Option<&Places>) -> String {
    let Fleet { workers, missed, warnings } = fleet;
    let missed = *missed;
    view.page(|page| {
        warn(page, warnings);
        if workers.is_empty() {
            page.line(&[span(Style::Faint, "no workers")]);
            return;
        }
        let of = |worker: &WorkerStatus| -> Vec<String> {
            match by {
                By::Group => worker.groups.clone(),
                By::Provider => vec![worker.provider.clone()],
                By::Environment => worker.environment.iter().cloned().collect(),
            }
        };
        let without = match by {
            By::Group => "in no group",
            By::Provider => "without a provider",
            By::Environment => "in no environment",
        };
        let (protected, free): (Vec<&WorkerStatus>, Vec<&WorkerStatus>) =
            workers.iter().partition(|worker| worker.protected);
        let mut names: Vec<String> = free.iter().flat_map(|worker| of(worker)).collect();
        sorting::sort(&mut names);
        names.dedup();
        for name in names {
            let members: Vec<&WorkerStatus> =
                free.iter().copied().filter(|worker| of(worker).contains(&name)).collect();
            section(page, &name, &members, by);
        }
        let others: Vec<&WorkerStatus> =
            free.iter().copied().filter(|worker| of(worker).is_empty()).collect();
        section(page, without, &others, by);
        let bound = |name: &String| {
            let own = workers.iter().filter_map(|worker| worker.environment.as_ref());
            own.into_iter().any(|own| own.eq_ignore_ascii_case(name))
        };
        let free: Vec<&str> = places
            .iter()
            .flat_map(|places| &places.names)
            .filter(|name| !bound(name))
            .map(String::as_str)
            .collect();
        if !free.is_empty() {
            page.gap();
            page.line(&[span(Style::Faint, format!("without a worker of its own: {}", free.join(", ")))]);
        }
        section(page, "protected: never get a task", &protected, By::Group);
        let spent: f64 = workers.iter().map(|worker| worker.usd_today).sum();
        let busy = workers.iter().filter(|worker| worker.state == "busy").count();
        let mut line = format!("{}, {busy} busy", counted(workers.len() as u64, "worker"));
        let sessions = workers.iter().filter(|worker| worker.session.is_some()).count() as u64;
        if sessions > 0 {
            line.push_str(&format!(", {}", counted(sessions, "session")));
        }
        if spent > 0.0 {
            line.push_str(&format!(", {} today", money(spent)));
        }
        if let Some(Places { totals, .. }) = places {
            line.push_str(&format!(
                "; {}, {} ({} running)",
                environments::directories(totals.directories),
                counted(totals.environments, "environment"),
                totals.running
            ));
        }
        page.gap();
        page.line(&[span(Style::Faint, line)]);
        if missed > 0 {
            let what =
                if missed == 1 { "task waits past its deadline" } else { "tasks wait past their deadlines" };
            page.line(&[span(Style::Bad, format!("{missed} {what}: kapell status --scope queue"))]);
        }
    })
}

fn section(page: &mut Page, name: &str, workers: &[&WorkerStatus], by: By) {
    if workers.is_empty() {
        return;
    }
    page.gap();
    page.line(&[span(Style::Strong, name)]);
    let mut table = Table::new(
        2,
        [
            Column::new("WORKER", Give::Shrink),
            Column::new("STATE", Give::Keep),
            Column::new(if by == By::Provider { "GROUPS" } else { "PROVIDER" }, Give::Drop(1)),
            Column::new("ENVIRONMENT", Give::Drop(3)),
            Column::new("SESSION", Give::Drop(4)),
            Column::number("TODAY", Give::Drop(2)),
            Column::new("TASK", Give::Shrink),
        ],
    );
    for worker in workers {
        table.row([
            plain(&worker.worker),
            vec![word(&worker.state)],
            plain(match &worker.model {
                _ if by == By::Provider => worker.groups.join(" "),
                Some(model) => format!("{} ({model})", worker.provider),
                None => worker.provider.clone(),
            }),
            optional(worker.environment.as_ref()),
            standing(worker),
            if worker.usd_today > 0.0 { plain(money(worker.usd_today)) } else { Cell::new() },
            tasks(worker),
        ]);
    }
    page.table(&table);
}

/// The worker's standing session, where it has one: its name where that is another, and whether it is
/// somebody's own.
fn standing(worker: &WorkerStatus) -> Cell {
    let Some(session) = &worker.session else { return Cell::new() };
    let name = if session.name == worker.worker { "up" } else { &session.name };
    let attached = if session.attached { ", attached" } else { "" };
    match session.started_by_kapell {
        true => plain(format!("{name}{attached}")),
        false => plain(format!("{name}{attached}, not Kapell's")),
    }
}

/// What a worker does, or why it gets nothing.
pub(super) fn tasks(worker: &WorkerStatus) -> Cell {
    match &worker.reason {
        Some(reason) => sentence(Style::Bad, reason),
        None => plain(worker.tasks.join(" ")),
    }
}

/// `kapell route`: rule by rule, and who would get it now.
pub fn route(view: &View, result: &DispatchResult) -> String {
    view.page(|page| {
        let Some(route) = &result.route else { return };
        for rule in &route.rules {
            let style = if rule.taken { Style::Good } else { Style::Faint };
            let mark = if rule.taken { "→" } else { " " };
            let lead = [span(style, format!("{mark} {:11}  ", rule.rule))];
            page.wrapped(&lead, if rule.taken { Style::Plain } else { Style::Faint }, &rule.found);
        }
        if !route.candidates.is_empty() {
            page.gap();
            page.table(&candidates(route));
        }
        page.gap();
        let priority = format!(" (priority {})", route.priority);
        match (&route.worker, &route.provider, &route.on) {
            (Some(worker), Some(provider), _) => page.line(&[
                span(Style::Strong, worker),
                span(Style::Plain, format!(" would get it now, from {provider}")),
                span(Style::Faint, priority),
            ]),
            (_, _, on) => {
                let nobody = route.reason.as_deref() == Some("nobody");
                let (style, lead) =
                    if nobody { (Style::Bad, "nobody gets it: ") } else { (Style::Warn, "it would wait: ") };
                page.wrapped(&cell(style, lead), Style::Plain, on.as_deref().unwrap_or_default());
            }
        }
        if let Some(note) = &result.note {
            page.wrapped(&cell(Style::Warn, "but  "), Style::Plain, note);
        }
    })
}

fn candidates(route: &RouteStatus) -> Table {
    /// Beyond these nobody wants to know.
    const SHOWN: usize = 12;
    let mut table = Table::new(
        2,
        [
            Column::new("WORKER", Give::Shrink),
            Column::new("PROVIDER", Give::Drop(1)),
            Column::new("", Give::Keep),
            Column::new("WHY NOT", Give::Shrink),
        ],
    );
    for candidate in route.candidates.iter().take(SHOWN) {
        table.row([
            plain(&candidate.worker),
            plain(&candidate.provider),
            cell(Style::Faint, if candidate.takes_over { "takes over" } else { "" }),
            optional(candidate.why_not.as_ref()),
        ]);
    }
    let more = route.candidates.len().saturating_sub(SHOWN);
    if more > 0 {
        table.row([cell(Style::Faint, format!("… and {more} more"))]);
    }
    table
}
