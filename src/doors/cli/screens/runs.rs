//! Conductors, what was run, and a run once more.

use super::status::{bar, number};
use super::*;
use crate::api::wire::{ConductorStatus, ReplayStep, RunLine};

/// Scope `conductors`.
pub fn conductors(view: &View, conductors: &[ConductorStatus]) -> String {
    view.page(|page| {
        if conductors.is_empty() {
            page.line(&[span(Style::Faint, "nothing runs")]);
            return;
        }
        let mut table = Table::new(
            0,
            [
                Column::new("", Give::Keep),
                Column::new("CONDUCTOR", Give::Keep),
                Column::new("PLAN", Give::Shrink),
                Column::new("STATE", Give::Keep),
                Column::new("", Give::Drop(1)),
                Column::number("DONE", Give::Drop(5)),
                Column::number("PROCESS", Give::Drop(4)),
                Column::new("STARTED", Give::Drop(3)),
                Column::new("HEARD OF", Give::Drop(0)),
                Column::new("PROJECT", Give::Drop(2)),
            ],
        );
        for conductor in conductors {
            let heard = if conductor.fresh { Style::Plain } else { Style::Warn };
            let mark = if conductor.fresh { span(Style::Good, "●") } else { span(Style::Faint, "○") };
            let mut state = vec![word(&conductor.state)];
            if let Some(position) = conductor.position {
                state.push(span(Style::Faint, format!(" #{position}")));
            }
            // That it has ended does not say how its plan has.
            let has_ended = matches!(conductor.state.as_str(), "stopped" | "crashed");
            if let Some(plan) = conductor.plan_state.as_ref().filter(|_| has_ended) {
                state.extend([span(Style::Faint, ", plan "), word(plan)]);
            }
            let (bar, done) = match &conductor.progress {
                Some(progress) => (
                    bar(progress.done, progress.total),
                    plain(format!("{}/{}", progress.done, progress.total)),
                ),
                None => (Cell::new(), Cell::new()),
            };
            table.row([
                vec![mark],
                cell(Style::Strong, &conductor.id),
                plain(&conductor.plan_id),
                state,
                bar,
                done,
                plain(conductor.pid.to_string()),
                plain(view.distance(&conductor.started_at)),
                cell(heard, view.distance(&conductor.heartbeat_at)),
                optional(conductor.project.as_ref()),
            ]);
        }
        page.table(&table);
        for (conductor, note) in conductors.iter().filter_map(|it| Some((it, it.note.as_ref()?))) {
            page.wrapped(&cell(Style::Warn, format!("{}: ", conductor.id)), Style::Plain, note);
        }
    })
}

/// Scope `history`.
pub fn history(view: &View, runs: &[RunLine]) -> String {
    view.page(|page| {
        if runs.is_empty() {
            page.line(&[span(Style::Faint, "nothing was run")]);
            return;
        }
        let mut table = Table::new(
            0,
            [
                Column::new("PLAN", Give::Keep),
                Column::new("STATE", Give::Keep),
                Column::number("DONE", Give::Keep),
                Column::number("TRIES", Give::Drop(3)),
                Column::new("STARTED", Give::Drop(5)),
                Column::number("TOOK", Give::Drop(4)),
                Column::number("COST", Give::Drop(2)),
                Column::number("CONDUCTORS", Give::Drop(0)),
                Column::new("WHY", Give::Shrink),
                Column::new("PROJECT", Give::Drop(1)),
            ],
        );
        for run in runs {
            let ended = run.ended_at.as_deref().and_then(Time::parse);
            let took = ended
                .zip(Time::parse(&run.started_at))
                .map(|(ended, started)| duration(ended.millis_since(started).max(0).unsigned_abs()));
            table.row([
                cell(Style::Strong, &run.plan_id),
                vec![word(&run.state)],
                plain(format!("{}/{}", run.progress.done, run.progress.total)),
                number(Style::Plain, run.attempts),
                plain(view.distance(&run.started_at)),
                optional(took.as_ref()),
                if run.usd > 0.0 { plain(money(run.usd)) } else { Cell::new() },
                if run.conductors > 1 { plain(run.conductors.to_string()) } else { Cell::new() },
                run.reason.as_deref().map(|why| sentence(Style::Plain, why)).unwrap_or_default(),
                optional(run.project.as_ref()),
            ]);
        }
        page.table(&table);
    })
}

/// A step of scope `replay`: what happened, what was known, and why.
pub fn replay_step(view: &View, step: &ReplayStep) -> String {
    view.page(|page| {
        let after = duration(step.after_ms.max(0).unsigned_abs());
        page.wrapped(
            &[
                span(Style::Faint, format!("{:>4}  +{after:8}  ", step.step)),
                span(Style::Faint, format!("{:17}  ", step.kind)),
            ],
            style_of(step.text.rsplit(' ').next().unwrap_or_default()),
            &step.text,
        );
        if let Some(why) = &step.why {
            page.wrapped(&cell(Style::Faint, "        why    "), Style::Plain, why);
        }
        // What is told was worth deciding on; what else was printed changes nothing that is known.
        if step.why.is_some() || step.kind == "plan.state" {
            let known = &step.known;
            let mut facts = format!("plan {}: {} done", known.plan, known.done);
            for (count, what) in
                [(known.at_work, "at work"), (known.waiting, "waiting"), (known.failed, "failed")]
            {
                if count > 0 {
                    facts.push_str(&format!(", {count} {what}"));
                }
            }
            if !known.workers.is_empty() {
                facts.push_str(&format!(" ({})", known.workers.join(", ")));
            }
            page.wrapped(&cell(Style::Faint, "        known  "), Style::Faint, &facts);
        }
    })
}
