//! An attempt's verdict as a page for people.

use std::fmt::Write as _;

use crate::services::querying::AttemptView;

/// As much of a gate's evidence stands on the page; `kapell://attempts/ID/evidence/GATE` has more.
const EVIDENCE: usize = 4000;

/// The page, in Markdown.
pub fn page(view: &AttemptView) -> String {
    let row = &view.row;
    let verdict = row.verdict.map_or("not judged yet", |verdict| verdict.as_str());
    let mut page = format!("# Attempt {}: {verdict}\n\n", row.id);
    // Writing to a text does not fail.
    let _ = writeln!(
        page,
        "Task {}/{}, try {}, by {} ({}): {}.",
        row.plan,
        row.task,
        row.number,
        row.worker,
        row.provider,
        view.state.outcome().map_or(view.state.as_str(), |outcome| outcome.as_str())
    );
    if let Some(reason) = &row.reason {
        let _ = writeln!(page, "\n{reason}");
    }
    for (title, json) in [("Changed", &row.changed), ("Outside of its claim", &row.outside_claim)] {
        let paths: Vec<String> =
            json.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        if !paths.is_empty() {
            let _ = writeln!(page, "\n## {title}\n");
            for path in paths {
                let _ = writeln!(page, "- `{path}`");
            }
        }
    }
    if !view.gates.is_empty() {
        page.push_str("\n## Gates\n\n| gate | outcome | ms | why |\n|---|---|---|---|\n");
        for gate in &view.gates {
            let why = gate.why.replace('|', "\\|").replace('\n', " ");
            let _ = writeln!(
                page,
                "| {} | {} | {} | {why} |",
                gate.name,
                gate.outcome.as_str(),
                gate.duration_ms
            );
        }
    }
    for gate in &view.gates {
        let evidence = gate.evidence.as_deref().and_then(|path| super::status::tail_of(path, EVIDENCE));
        if let Some(evidence) = evidence {
            let _ = writeln!(page, "\n## Evidence of {}\n\n{}", gate.name, fenced(&evidence));
        }
    }
    page
}

/// A block of text as it is: its fence is longer than any in it.
fn fenced(text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}\n{text}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_cannot_leave_its_block() {
        assert_eq!(fenced("a"), "```\na\n```");
        assert_eq!(fenced("a\n```\nb"), "````\na\n```\nb\n````");
    }
}
