//! A plan as it was checked, and as it starts.

use super::*;
use crate::api::wire::{DispatchResult, PlanResult, Problem};

/// Result of `plan`.
pub fn plan(view: &View, result: &PlanResult) -> String {
    view.page(|page| {
        let tasks: usize = result.waves.iter().map(Vec::len).sum();
        let mut title = match &result.plan_id {
            Some(id) => vec![span(Style::Strong, id)],
            None if crate::doors::cli::calls::has_errors(result) => {
                vec![span(Style::Strong, &result.name), span(Style::Bad, "  not stored")]
            }
            None => vec![
                span(Style::Strong, &result.name),
                span(Style::Good, "  checked"),
                span(Style::Plain, ", not stored"),
            ],
        };
        if let Some(state) = &result.state {
            title.extend([span(Style::Plain, "  "), word(state)]);
        }
        if tasks > 0 {
            let shape = format!(
                "  {} in {}",
                counted(tasks as u64, "task"),
                counted(result.waves.len() as u64, "wave")
            );
            title.push(span(Style::Plain, shape));
        }
        page.line(&title);
        if !result.problems.is_empty() {
            page.gap();
            for problem in &result.problems {
                show_problem(page, problem);
            }
        }
        if !result.waves.is_empty() {
            page.gap();
            waves(page, result);
        }
        if !result.specs.is_empty() {
            page.heading("specs");
            let mut table = Table::new(2, [Column::new("", Give::Shrink), Column::new("", Give::Keep)]);
            for spec in &result.specs {
                let state = if spec.exists {
                    cell(Style::Good, "exists")
                } else {
                    cell(Style::Warn, "to be written")
                };
                table.row([plain(&spec.file), state]);
            }
            page.table(&table);
        }
        if !result.ownership.is_empty() {
            page.heading("ownership");
            let mut table = Table::new(
                2,
                [
                    Column::new("TASK", Give::Shrink),
                    Column::number("FILES", Give::Drop(0)),
                    Column::new("OWNS", Give::Shrink),
                ],
            );
            for owned in &result.ownership {
                table.row([
                    plain(id_text(&owned.task)),
                    plain(owned.existing_files.to_string()),
                    plain(owned.patterns.join(" ")),
                ]);
            }
            page.table(&table);
        }
    })
}

/// The waves, each a branch of one stem; the critical path stands out.
fn waves(page: &mut Page, result: &PlanResult) {
    let last = result.waves.len() - 1;
    for (at, wave) in result.waves.iter().enumerate() {
        let knot = match (at, last) {
            (0, 0) => "──",
            (0, _) => "┬─",
            (at, last) if at == last => "└─",
            _ => "├─",
        };
        let mut line = vec![span(Style::Plain, "  "), span(Style::Faint, format!("{knot} "))];
        for (place, task) in wave.iter().enumerate() {
            if place > 0 {
                line.push(span(Style::Plain, "  "));
            }
            if result.critical_path.contains(task) {
                line.extend([span(Style::Strong, id_text(task)), span(Style::Faint, "*")]);
            } else {
                line.push(span(Style::Plain, id_text(task)));
            }
        }
        page.line(&line);
    }
    if result.critical_path.len() > 1 {
        let path: Vec<String> = result.critical_path.iter().map(id_text).collect();
        page.wrapped(&cell(Style::Faint, "  * longest chain: "), Style::Plain, &path.join(" → "));
    }
}

/// One problem of a plan.
pub(super) fn show_problem(page: &mut Page, problem: &Problem) {
    let mut line = vec![word(&problem.severity), span(Style::Plain, format!("  {}", problem.code))];
    if let Some(task) = &problem.task {
        line.push(span(Style::Plain, format!("  task {}", id_text(task))));
    }
    if let Some(path) = &problem.path {
        line.push(span(Style::Plain, format!("  {path}")));
    }
    match (problem.line, problem.column) {
        (Some(row), Some(column)) => line.push(span(Style::Faint, format!("  line {row}, column {column}"))),
        (Some(row), None) => line.push(span(Style::Faint, format!("  line {row}"))),
        _ => {}
    }
    page.line(&line);
    page.wrapped(&plain("  "), Style::Plain, &problem.message);
    if !problem.hint.is_empty() {
        page.wrapped(&cell(Style::Faint, "  next: "), Style::Plain, &problem.hint);
    }
}

/// Result of `dispatch`.
pub fn dispatch(view: &View, result: &DispatchResult) -> String {
    view.page(|page| {
        let mut title = vec![span(Style::Strong, &result.plan_id)];
        if let Some(conductor) = &result.conductor {
            title
                .push(span(Style::Faint, format!("  conductor {}, process {}", conductor.id, conductor.pid)));
        }
        if let Some(run) = &result.run_id {
            title.push(span(Style::Faint, format!("  run {run}")));
        }
        page.line(&title);
        let mut table = Table::new(
            2,
            [
                Column::new("TASK", Give::Shrink),
                Column::new("STATE", Give::Keep),
                Column::new("WORKER", Give::Shrink),
                Column::new("ON", Give::Shrink),
                Column::new("ATTEMPT", Give::Drop(1)),
            ],
        );
        for started in &result.started {
            table.row([
                plain(id_text(&started.task)),
                vec![word("running")],
                plain(&started.worker),
                plain(started.claims.join(" ")),
                plain(&started.attempt),
            ]);
        }
        for waiting in &result.waiting {
            table.row([
                plain(id_text(&waiting.task)),
                vec![word("waiting")],
                Cell::new(),
                plain(format!("{}: {}", waiting.reason, waiting.on)),
            ]);
        }
        page.table(&table);
        if let Some(note) = &result.note {
            page.wrapped(&cell(Style::Faint, "note  "), Style::Plain, note);
        }
    })
}
