//! Tasks, attempts and verdicts.

use super::*;
use crate::api::wire::{AttemptStatus, ControlResult, GateStatus, JudgeResult, TaskStatus};

/// Lines of a gate's evidence that are shown; the whole is in its log.
const EVIDENCE_LINES: usize = 12;
/// Paths that are shown; `--json` has them all.
const PATHS: usize = 12;

/// Scope `task`.
pub fn task(view: &View, task: &TaskStatus) -> String {
    view.page(|page| {
        page.line(&[span(Style::Strong, &task.task_id), span(Style::Plain, "  "), word(&task.state)]);
        page.wrapped(&plain("  "), Style::Plain, &task.task);
        if let Some(reason) = &task.reason {
            page.wrapped(&plain("  "), style_of(&task.state), reason);
        }
        page.gap();
        fact(page, 7, "owns", &task.files.join(" "));
        if !task.depends_on.is_empty() {
            fact(page, 7, "after", &ids_text(&task.depends_on));
        }
        if let Some(commit) = &task.commit {
            fact(page, 7, "landed", commit);
        }
        for attempt in &task.attempts {
            page.gap();
            show_attempt(view, page, attempt);
        }
    })
}

/// Scope `attempt`.
pub fn attempt(view: &View, attempt: &AttemptStatus) -> String {
    view.page(|page| {
        page.line(&[span(Style::Strong, &attempt.task_id)]);
        show_attempt(view, page, attempt);
    })
}

fn show_attempt(view: &View, page: &mut Page, attempt: &AttemptStatus) {
    let end = attempt.outcome.as_deref().unwrap_or(&attempt.state);
    let mut title = vec![
        span(Style::Strong, format!("attempt {}", attempt.number)),
        span(Style::Plain, "  "),
        word(end),
        span(Style::Plain, format!("  {}", attempt.worker)),
    ];
    if attempt.provider != attempt.worker {
        title.push(span(Style::Faint, format!(" ({})", attempt.provider)));
    }
    title.push(span(Style::Faint, format!("  {}", attempt.attempt)));
    page.line(&title);
    if let Some(reason) = &attempt.reason {
        page.wrapped(&plain("  "), style_of(end), reason);
    }
    let mut facts: Vec<(&str, String)> = Vec::new();
    let began = view.distance(&attempt.started_at);
    facts.push((
        "began",
        match attempt.ended_at.as_deref().and_then(Time::parse).zip(Time::parse(&attempt.started_at)) {
            Some((end, start)) => {
                format!("{began}, took {}", duration(end.millis_since(start).max(0).unsigned_abs()))
            }
            None => began,
        },
    ));
    let usage = &attempt.usage;
    let mut used = format!("{} in, {} out", count(usage.input_tokens), count(usage.output_tokens));
    if usage.cached_tokens > 0 {
        used.push_str(&format!(", {} cached", count(usage.cached_tokens)));
    }
    if let Some(usd) = usage.usd {
        used.push_str(&format!(", {}", money(usd)));
    }
    facts.push(("used", used));
    for (name, value) in [
        ("wall", &attempt.wall),
        ("environment", &attempt.environment),
        ("in", &attempt.worktree),
        ("shown in", &attempt.window),
        ("kept as", &attempt.reference),
        ("said", &attempt.said),
    ] {
        if let Some(value) = value {
            facts.push((name, value.clone()));
        }
    }
    for (name, value) in facts {
        page.wrapped(&[span(Style::Faint, format!("  {name:7}  "))], Style::Plain, &value);
    }
    paths(page, "changed", Style::Plain, &attempt.changed);
    paths(page, "outside its claim", Style::Bad, &attempt.outside_claim);
    gates(page, attempt.verdict.as_deref(), &attempt.gates);
}

/// The verdict and its gates.
fn gates(page: &mut Page, verdict: Option<&str>, gates: &[GateStatus]) {
    if let Some(verdict) = verdict {
        page.line(&[span(Style::Faint, "  verdict  "), word(verdict)]);
    }
    let wide = gates.iter().map(|gate| gate.name.chars().count()).max().unwrap_or(0);
    for gate in gates {
        let lead = [
            span(Style::Plain, "  "),
            span(style_of(&gate.outcome), format!("{:7}", gate.outcome)),
            span(Style::Plain, format!("  {:wide$}  ", gate.name)),
        ];
        let took = if gate.outcome == "skipped" {
            String::new()
        } else {
            format!(" ({})", duration(gate.duration_ms))
        };
        page.wrapped(&lead, Style::Plain, &format!("{}{took}", gate.why));
        // What passed needs no proof on the screen.
        if let Some(evidence) = gate.evidence.as_deref().filter(|_| gate.outcome != "pass") {
            page.quoted(5, evidence, EVIDENCE_LINES);
        }
    }
}

fn paths(page: &mut Page, name: &str, style: Style, paths: &[String]) {
    if paths.is_empty() {
        return;
    }
    page.line(&[
        span(Style::Faint, format!("  {name}")),
        span(Style::Plain, format!("  {}", counted(paths.len() as u64, "file"))),
    ]);
    for path in paths.iter().take(PATHS) {
        page.line(&[span(Style::Plain, "    "), span(style, path)]);
    }
    if paths.len() > PATHS {
        page.line(&[span(Style::Faint, format!("    … {} more", paths.len() - PATHS))]);
    }
}

/// Result of `judge`.
pub fn judge(view: &View, result: &JudgeResult) -> String {
    view.page(|page| {
        let verdict = result.verdict.as_deref().unwrap_or(&result.state);
        page.line(&[word(verdict), span(Style::Faint, format!("  run {}", result.run_id))]);
        if let Some(reason) = &result.reason {
            page.wrapped(&plain("  "), style_of(verdict), reason);
        }
        gates(page, None, &result.gates);
        paths(page, "changed", Style::Plain, &result.changed);
        paths(page, "outside the claim", Style::Bad, &result.outside_claim);
        if let Some(landed) = &result.landed {
            page.line(&[
                span(Style::Good, "  landed"),
                span(Style::Plain, format!("  {} on {}", landed.commit, landed.branch)),
            ]);
        }
    })
}

/// Result of `control`.
pub fn control(view: &View, result: &ControlResult) -> String {
    view.page(|page| {
        let lead = if result.ack { vec![word(&result.state)] } else { vec![span(Style::Bad, "not done")] };
        page.wrapped(&[lead, plain("  ")].concat(), Style::Plain, &result.message);
    })
}
