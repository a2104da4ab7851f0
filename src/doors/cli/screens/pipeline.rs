//! Pipelines: those there are, and how far a run is.

use super::*;
use crate::api::wire::{PipelineCommand, PipelineFinding, PipelineResult, PipelineStage};

/// Tasks of a stage that are shown one by one.
const MOST_TASKS: usize = 12;
/// Findings of a stage that are shown.
const MOST_FINDINGS: usize = 8;
/// Stages further down the line are not indented further.
const DEEPEST: usize = 4;

/// `kapell pipeline list`.
pub fn pipelines(view: &View, result: &PipelineResult) -> String {
    view.page(|page| {
        if result.pipelines.is_empty() && result.runs.is_empty() {
            page.line(&[span(Style::Faint, "no pipelines: kapell.toml defines them under [pipelines.NAME]")]);
            return;
        }
        let wide = result.pipelines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        for line in &result.pipelines {
            let lead = [span(Style::Strong, format!("{:wide$}", line.name)), span(Style::Plain, "  ")];
            page.wrapped(&lead, Style::Plain, &line.stages.join(" → "));
        }
        if result.runs.is_empty() {
            return;
        }
        page.heading("runs");
        let mut table = Table::new(
            2,
            [
                Column::new("RUN", Give::Shrink),
                Column::new("STATE", Give::Keep),
                Column::number("STAGES", Give::Drop(0)),
                Column::new("BEGUN", Give::Drop(1)),
                Column::new("WAITS FOR YOU", Give::Shrink),
                Column::new("REQUEST", Give::Shrink),
            ],
        );
        for run in &result.runs {
            table.row([
                plain(&run.run),
                vec![word(&run.state)],
                plain(format!("{}/{}", run.done, run.total)),
                plain(view.distance(&run.created_at)),
                cell(Style::Warn, run.to_approve.join(" ")),
                optional(run.request.as_ref()),
            ]);
        }
        page.table(&table);
    })
}

/// One run, or one pipeline.
pub fn pipeline(view: &View, result: &PipelineResult) -> String {
    view.page(|page| {
        if let Some(message) = &result.message {
            page.wrapped(&[], Style::Plain, message);
            page.gap();
        }
        for problem in &result.problems {
            plan::show_problem(page, problem);
        }
        let name = result.name.as_deref().unwrap_or_default();
        let mut title = vec![span(Style::Strong, result.run.as_deref().unwrap_or(name))];
        if let Some(state) = &result.state {
            title.extend([span(Style::Plain, "  "), word(state)]);
        }
        if result.run.is_some() {
            title.push(span(Style::Faint, format!("  pipeline {name}")));
        }
        page.line(&title);
        if let Some(request) = &result.request {
            page.wrapped(&cell(Style::Faint, "  for: "), Style::Plain, request);
        }
        if let Some(reason) = &result.reason {
            page.wrapped(&cell(Style::Faint, "  why: "), Style::Plain, reason);
        }
        if !result.stages.is_empty() {
            page.gap();
            let mut tree = Vec::new();
            place(&result.stages, None, 0, &mut tree);
            for (stage, depth) in tree {
                if depth == 1 && before(&result.stages, stage).is_none() {
                    page.line(&[span(Style::Faint, format!("  {}", triggers(stage).join(" ")))]);
                }
                show_stage(view, page, stage, depth.min(DEEPEST));
            }
        }
    })
}

/// What a stage waits for.
fn triggers(stage: &PipelineStage) -> Vec<&str> {
    stage.triggers_on.iter().chain(&stage.triggers_on_any).map(String::as_str).collect()
}

/// The last stage of those that start this one.
fn before(stages: &[PipelineStage], stage: &PipelineStage) -> Option<usize> {
    let on = triggers(stage);
    stages.iter().rposition(|other| other.stage != stage.stage && on.contains(&other.stage.as_str()))
}

/// The stages that this one starts, each with its own below it, and how deep each stands. What a worker or a
/// group starts stands below that.
fn place<'s>(
    stages: &'s [PipelineStage],
    of: Option<usize>,
    depth: usize,
    tree: &mut Vec<(&'s PipelineStage, usize)>,
) {
    for (at, stage) in stages.iter().enumerate().filter(|(_, stage)| before(stages, stage) == of) {
        let depth = depth + usize::from(of.is_none() && !triggers(stage).is_empty());
        tree.push((stage, depth));
        place(stages, Some(at), depth + 1, tree);
    }
}

/// The sign of a state, and what it means.
fn mark(state: Option<&str>) -> (Style, &'static str) {
    match state {
        Some("done") => (Style::Good, "✓"),
        Some("running" | "fixing" | "rolling-back") => (Style::Strong, "▶"),
        Some("approval") => (Style::Warn, "?"),
        Some("failed" | "refused" | "unknown" | "rolled-back") => (Style::Bad, "✗"),
        Some("blocked") => (Style::Bad, "–"),
        Some("stopping" | "stopped") => (Style::Warn, "■"),
        _ => (Style::Faint, "○"),
    }
}

fn show_stage(view: &View, page: &mut Page, stage: &PipelineStage, depth: usize) {
    let (style, sign) = mark(stage.state.as_deref());
    let branch = if depth == 0 { String::new() } else { format!("{}└─▶ ", "    ".repeat(depth - 1)) };
    let mut lead = vec![span(Style::Faint, format!("  {branch}")), span(style, format!("{sign} "))];
    lead.push(span(Style::Strong, &stage.stage));
    if let Some(state) = &stage.state {
        lead.extend([span(Style::Plain, "  "), span(style, state)]);
    }
    lead.push(span(Style::Plain, "  "));
    page.wrapped(&lead, Style::Faint, &facts(stage));
    let inner = format!("{}    ", " ".repeat(2 + 4 * depth));
    let say = |page: &mut Page, style: Style, label: &str, text: &str| {
        page.wrapped(&[span(Style::Plain, &inner), span(Style::Faint, label)], style, text);
    };
    // Who refused it, and why, is told with when.
    let is_told = stage.state.as_deref() == Some("refused") && stage.decision.is_some();
    if let Some(reason) = stage.reason.as_ref().filter(|_| !is_told) {
        say(
            page,
            Style::Plain,
            if stage.state.as_deref() == Some("approval") { "next: " } else { "" },
            reason,
        );
    }
    if let (Some(decision), Some(by)) = (&stage.decision, &stage.decided_by) {
        let when = stage.decided_at.as_ref().map_or_else(String::new, |at| format!(" {}", view.distance(at)));
        let said = stage.message.as_ref().map_or_else(String::new, |said| format!(": {said}"));
        say(page, Style::Plain, "", &format!("{decision} by {by}{when}{said}"));
    }
    for task in stage.tasks.iter().take(MOST_TASKS) {
        let why = task.reason.as_ref().map_or_else(String::new, |why| format!("  {why}"));
        let kind = if task.fix { "fix " } else { "" };
        let line = [
            span(Style::Plain, &inner),
            span(Style::Faint, kind),
            word(&task.state),
            span(Style::Plain, "  "),
        ];
        page.wrapped(&line, Style::Plain, &format!("{}{why}", id_text(&task.task)));
    }
    more(page, &inner, stage.tasks.len(), MOST_TASKS, "task");
    let round = |finding: &PipelineFinding| {
        let found = stage.tasks.iter().find(|task| finding.task == id_text(&task.task));
        found.map(|task| task.round)
    };
    let first = stage.findings.first().and_then(round);
    let are_of_many = stage.findings.iter().any(|finding| round(finding) != first);
    for finding in stage.findings.iter().take(MOST_FINDINGS) {
        let found = match round(finding) {
            Some(round) if are_of_many => format!("found in round {round}: "),
            _ => "found: ".to_owned(),
        };
        let severity = finding.severity.as_ref().map_or_else(String::new, |how| format!(" ({how})"));
        let first = finding.text.lines().next().unwrap_or_default();
        say(page, Style::Plain, &found, &format!("{first}{severity} {}", finding.files.join(" ")));
    }
    more(page, &inner, stage.findings.len(), MOST_FINDINGS, "finding");
    for command in &stage.commands {
        show_command(page, &inner, command);
    }
}

fn more(page: &mut Page, inner: &str, count: usize, shown: usize, noun: &str) {
    if count > shown {
        let text = format!("{inner}… and {} more", counted((count - shown) as u64, noun));
        page.line(&[span(Style::Faint, text)]);
    }
}

/// What it waits for and who does it, in a few words.
fn facts(stage: &PipelineStage) -> String {
    let mut facts = Vec::new();
    if !stage.triggers_on.is_empty() {
        facts.push(format!("after {}", stage.triggers_on.join(" and ")));
    }
    if !stage.triggers_on_any.is_empty() {
        facts.push(format!("after {}", stage.triggers_on_any.join(" or ")));
    }
    if stage.approval && stage.decision.is_none() {
        facts.push("wants approval".to_owned());
    }
    if let Some(target) = &stage.target {
        facts.push(format!("by {target}"));
    }
    if stage.fan_out {
        facts.push("for each task".to_owned());
    }
    if let Some(command) = &stage.command {
        facts.push(format!("`{}`", command.join(" ")));
    }
    if let (Some(to), Some(most)) = (&stage.findings_to, stage.max_rounds) {
        facts.push(match stage.round {
            Some(round) => format!("findings go to {to}, round {round} of {most}"),
            None => format!("findings go to {to}, at most {most} rounds"),
        });
    }
    facts.join(" · ")
}

fn show_command(page: &mut Page, inner: &str, command: &PipelineCommand) {
    let how = command.reason.as_deref().unwrap_or(match command.state.as_str() {
        "running" => "runs",
        _ => "does not run any more, and how it ended is not recorded",
    });
    let style = match command.state.as_str() {
        "passed" => Style::Good,
        "running" => Style::Strong,
        _ => Style::Bad,
    };
    let short: String = command.commit.chars().take(12).collect();
    let lead = [span(Style::Plain, inner), span(style, &command.kind), span(Style::Plain, " ")];
    page.wrapped(&lead, Style::Plain, &format!("{how}, on {short}"));
    if let Some(log) = &command.log {
        page.wrapped(&[span(Style::Plain, inner), span(Style::Faint, "log: ")], Style::Plain, log);
    }
}
