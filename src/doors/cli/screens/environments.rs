//! Environments.

use super::*;
use crate::api::wire::{EnvironmentStatus, EnvironmentTotals, EnvironmentsResult, GitOutcome};

/// Any answer of `environments`.
pub fn environments(view: &View, result: &EnvironmentsResult) -> String {
    view.page(|page| {
        for outcome in &result.git {
            git(page, view, outcome);
        }
        for line in result.message.iter().flat_map(|message| message.lines()) {
            page.wrapped(&[], Style::Plain, line);
        }
        let is_told = !result.git.is_empty() || !result.backups.is_empty() || result.message.is_some();
        if !is_told || !result.environments.is_empty() {
            table(page, view, &result.environments, None);
        }
        if !result.backups.is_empty() {
            let mut table = Table::new(
                0,
                [
                    Column::new("NAME", Give::Keep),
                    Column::new("BACKUP", Give::Keep),
                    Column::number("BYTES", Give::Drop(2)),
                    Column::new("PATH", Give::Drop(1)),
                ],
            );
            for backup in &result.backups {
                table.row([
                    plain(&backup.name),
                    plain(&backup.backup),
                    plain(backup.bytes.to_string()),
                    plain(&backup.path),
                ]);
            }
            page.table(&table);
            for backup in &result.backups {
                for left in &backup.left_out {
                    page.line(&[span(Style::Warn, "not in it  "), span(Style::Plain, left)]);
                }
            }
        }
        for reference in &result.kept {
            page.line(&[span(Style::Faint, "kept  "), span(Style::Plain, reference)]);
        }
        for failed in &result.failed {
            page.gap();
            let of = match &failed.sub {
                Some(sub) => format!("{}/{}: ", failed.name, sub),
                None => format!("{}: ", failed.name),
            };
            for (at, line) in failed.message.lines().enumerate() {
                let lead = if at == 0 { of.as_str() } else { "  " };
                page.wrapped(&[span(Style::Bad, lead)], Style::Plain, line);
            }
            if let Some(hint) = &failed.hint {
                page.wrapped(&[span(Style::Faint, "  ")], Style::Faint, hint);
            }
        }
    })
}

fn git(page: &mut Page, view: &View, outcome: &GitOutcome) {
    page.wrapped(&[span(Style::Strong, format!("{}  ", outcome.name))], Style::Plain, &outcome.message);
    for file in &outcome.files {
        let style = if file.state == "conflict" { Style::Bad } else { Style::Warn };
        page.line(&[span(style, format!("  {:9} ", file.state)), span(Style::Plain, &file.path)]);
    }
    for commit in &outcome.commits {
        let short: String = commit.commit.chars().take(10).collect();
        page.line(&[
            span(Style::Faint, format!("  {short}  {}  ", view.moment(&commit.at))),
            span(Style::Plain, &commit.subject),
            span(Style::Faint, format!("  {}", commit.author)),
        ]);
    }
    for branch in &outcome.branches {
        page.line(&[span(Style::Plain, format!("  {branch}"))]);
    }
    if let Some(kept) = &outcome.kept {
        page.line(&[span(Style::Faint, "  kept  "), span(Style::Plain, kept)]);
    }
    for line in outcome.diff.iter().flat_map(|diff| diff.lines()) {
        let style = match line.as_bytes().first() {
            Some(b'+') => Style::Good,
            Some(b'-') => Style::Bad,
            Some(b'@') => Style::Faint,
            _ => Style::Plain,
        };
        page.line(&[span(style, line)]);
    }
}

/// The environments, each with its sub-environments below it, and the totals; `totals` where sessions were counted.
pub fn table(
    page: &mut Page,
    view: &View,
    environments: &[EnvironmentStatus],
    totals: Option<&EnvironmentTotals>,
) {
    if environments.is_empty() {
        page.line(&[span(Style::Faint, "no environments")]);
        return;
    }
    let mut running = 0;
    let mut subs = 0;
    for environment in environments {
        page.gap();
        page.line(&title(environment));
        if let Some(reason) = environment.problem.as_ref().or(environment.reason.as_ref()) {
            let style =
                if environment.verdict.as_deref() == Some("attention") { Style::Warn } else { Style::Bad };
            page.wrapped(&[span(style, "  ")], Style::Plain, reason);
        }
        // A verdict names them itself.
        if let Some(hint) = environment.hint.as_ref().filter(|_| environment.verdict.is_none()) {
            page.wrapped(&[span(Style::Warn, "  ")], Style::Plain, hint);
        }
        let mut table = Table::new(
            2,
            [
                Column::new("SUB", Give::Keep),
                Column::new("STATE", Give::Keep),
                Column::number("PORT", Give::Keep),
                Column::number("PID", Give::Drop(2)),
                Column::new("HEALTH", Give::Shrink),
                Column::number("BYTES", Give::Drop(3)),
                Column::new("SINCE", Give::Drop(1)),
            ],
        );
        for sub in &environment.subs {
            subs += 1;
            running += usize::from(sub.state == "running");
            let health = match (&sub.reason, &sub.health) {
                (Some(reason), _) => sentence(Style::Bad, reason),
                (None, Some(health)) if health == "ok" => vec![word("ok")],
                (None, Some(health)) => sentence(Style::Bad, health),
                (None, None) => Cell::new(),
            };
            let is_sound = sub.integrity.as_ref().is_none_or(|integrity| integrity == "ok");
            let database = cell(if is_sound { Style::Plain } else { Style::Bad }, sub.bytes.to_string());
            table.row([
                plain(&sub.name),
                vec![word(&sub.state)],
                plain(sub.port.to_string()),
                plain(sub.pid.map(|pid| pid.to_string()).unwrap_or_default()),
                health,
                database,
                plain(sub.since.as_ref().map(|since| view.distance(since)).unwrap_or_default()),
            ]);
        }
        page.table(&table);
        for sub in environment.subs.iter().filter(|sub| !sub.last_lines.is_empty()) {
            page.line(&[span(Style::Faint, format!("  {} said last:", sub.name))]);
            for line in &sub.last_lines {
                page.line(&[span(Style::Faint, "    "), span(Style::Plain, line)]);
            }
        }
    }
    page.gap();
    let bound = environments.iter().filter(|environment| environment.worker.is_some()).count();
    let mut line = format!(
        "{}, {} ({running} running), {} bound",
        directories(environments.iter().filter(|environment| environment.state != "missing").count() as u64),
        counted(subs, "environment"),
        counted(bound as u64, "worker"),
    );
    if let Some(totals) = totals {
        line.push_str(&format!(", {}", counted(totals.sessions, "session")));
    }
    page.line(&[span(Style::Faint, line)]);
}

/// So many directories.
pub(super) fn directories(count: u64) -> String {
    if count == 1 { "1 directory".to_owned() } else { format!("{count} directories") }
}

fn title(environment: &EnvironmentStatus) -> Vec<Span> {
    let mut line = vec![span(Style::Strong, &environment.name)];
    if let Some(verdict) = &environment.verdict {
        let style = match verdict.as_str() {
            "ok" => Style::Good,
            "attention" => Style::Warn,
            _ => Style::Bad,
        };
        line.push(span(style, format!("  {verdict}")));
    }
    match environment.state.as_str() {
        "ready" => {}
        state => line.push(span(Style::Bad, format!("  {state}"))),
    }
    line.push(span(Style::Plain, format!("  {}", environment.branch.as_deref().unwrap_or("no branch"))));
    let mut apart = Vec::new();
    if environment.ahead > 0 {
        apart.push(format!("{} ahead", environment.ahead));
    }
    if environment.behind > 0 {
        apart.push(format!("{} behind", environment.behind));
    }
    if !apart.is_empty() {
        line.push(span(Style::Plain, format!("  {}", apart.join(", "))));
    }
    if environment.dirty {
        line.push(span(Style::Warn, "  changed"));
    }
    if let Some(worker) = &environment.worker {
        line.push(span(Style::Plain, format!("  {worker}")));
        if let Some(state) = &environment.worker_state {
            line.push(span(Style::Plain, " "));
            line.push(word(state));
        }
    }
    if let Some(by) = &environment.at_work {
        let who = if environment.worker.as_ref() == Some(&by.worker) { "" } else { &by.worker };
        let gap = if who.is_empty() { "" } else { "  " };
        line.push(span(Style::Plain, format!("{gap}{who} at {}/{}", by.plan_id, by.task)));
    }
    line.push(span(Style::Faint, format!("  {}", environment.path)));
    line
}
