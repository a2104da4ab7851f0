//! What is shown of who holds a file: diagnostics, code lenses, inlay hints and code actions.

use serde_json::{Value, json};

use super::documents::Document;
use super::types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CodeLens, Command, Diagnostic, DiagnosticSeverity,
    InlayHint, InlayHintLabel, NumberOrString, Range,
};
use crate::api::methods::claims::ClaimView;
use crate::base::clock::{Time, Zone};
use crate::base::paths::RepoPath;

/// Who we are, beside every diagnostic.
pub const SOURCE: &str = "kapell";

/// What is known of a file's claims.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ownership {
    /// Its path in the project.
    pub path: Option<String>,
    /// What is asked for to own it: the path, with what would be a wildcard in quotes.
    pub pattern: Option<String>,
    /// Claims in the person's way.
    pub others: Vec<ClaimView>,
    /// The person's own.
    pub own: Vec<ClaimView>,
    /// Whether the person asked for it and waits.
    pub asked: bool,
}

/// Diagnostics for what others hold; warnings where the person edits it at the same time.
pub fn diagnostics(document: &Document, ownership: &Ownership, meets: bool) -> Vec<Diagnostic> {
    let path = name(ownership);
    let diagnostic = |claim: &ClaimView| {
        let mut message = format!("{path} is held by {}", holder(claim));
        if Some(&claim.status.pattern) != ownership.pattern.as_ref() {
            message.push_str(&format!(" as {}", claim.status.pattern));
        }
        message.push_str(&since(claim));
        if let Some(reason) = &claim.status.reason {
            message.push_str(&format!(": {}", one_line(reason)));
        }
        if meets {
            message
                .push_str("\nYou are editing it too, and one of you will lose work: take it over, or undo.");
        }
        Diagnostic {
            range: first_line(document),
            severity: Some(if meets { DiagnosticSeverity::WARNING } else { DiagnosticSeverity::INFORMATION }),
            code: Some(NumberOrString::String(if meets { "meeting" } else { "held" }.to_owned())),
            source: Some(SOURCE.to_owned()),
            message,
            data: serde_json::to_value(claim).ok(),
            ..Diagnostic::default()
        }
    };
    ownership.others.iter().map(diagnostic).collect()
}

/// The sentence that is shown once when person and agent meet.
pub fn meeting(ownership: &Ownership) -> Option<String> {
    let claim = ownership.others.first()?;
    Some(format!(
        "{} is held by {}{}. Your changes and theirs will meet: take it over, ask for it, or undo.",
        name(ownership),
        holder(claim),
        since(claim),
    ))
}

/// The file as it is called in a sentence, on one line.
fn name(ownership: &Ownership) -> String {
    RepoPath::from(ownership.path.as_deref().unwrap_or_default()).to_string()
}

/// One lens above the first line.
pub fn lenses(document: &Document, ownership: &Ownership) -> Vec<CodeLens> {
    let title = match (ownership.others.first(), ownership.own.first()) {
        (Some(claim), _) => {
            format!("held by {}{}{}", holder(claim), since(claim), more(ownership.others.len()))
        }
        (None, Some(claim)) => format!("yours{}", since(claim)),
        (None, None) => return Vec::new(),
    };
    let command = Command {
        title,
        command: "kapell.ui.owner".to_owned(),
        arguments: Some(vec![argument(document, ownership)]),
    };
    vec![CodeLens { range: start(document), command: Some(command), data: None }]
}

/// One hint behind the first line, for what others hold.
pub fn hints(document: &Document, ownership: &Ownership) -> Vec<InlayHint> {
    let Some(claim) = ownership.others.first() else { return Vec::new() };
    let label = format!("{}{}{}", holder(claim), since(claim), more(ownership.others.len()));
    vec![InlayHint {
        position: first_line(document).end,
        label: InlayHintLabel::String(label),
        kind: None,
        text_edits: None,
        tooltip: None,
        padding_left: Some(true),
        padding_right: None,
        data: None,
    }]
}

/// What can be done about who holds a file.
pub fn actions(document: &Document, ownership: &Ownership, shown: &[Diagnostic]) -> Vec<CodeActionOrCommand> {
    let mut actions = Vec::new();
    let about = |action: CodeAction| {
        let ours = shown.iter().filter(|shown| is_about_holders(shown)).cloned().collect::<Vec<_>>();
        CodeActionOrCommand::CodeAction(CodeAction {
            diagnostics: (!ours.is_empty()).then_some(ours),
            kind: Some(CodeActionKind::QUICKFIX),
            ..action
        })
    };
    let action = |title: String, command: &str, argument: Value| CodeAction {
        command: Some(Command {
            title: title.clone(),
            command: command.to_owned(),
            // The second one says which project is meant.
            arguments: Some(vec![argument, json!({"uri": document.uri})]),
        }),
        title,
        ..CodeAction::default()
    };
    if let Some(claim) = ownership.others.first() {
        let name = holder(claim);
        let whole = argument(document, ownership);
        actions.push(about(match &ownership.pattern {
            Some(pattern) if ownership.asked => {
                action("Stop waiting for it".to_owned(), "kapell.release-files", json!({"paths": [pattern]}))
            }
            _ => action(
                format!("Ask for it: claim it once {name} lets go"),
                "kapell.ask",
                json!({"uri": document.uri}),
            ),
        }));
        actions.push(about(action(format!("Take it over from {name}…"), "kapell.ui.takeOver", whole)));
    }
    for claim in &ownership.others {
        let Some(attempt) = &claim.attempt else { continue };
        let uri = |what: &str| format!("kapell://attempts/{attempt}/{what}");
        actions.push(about(action(
            format!("Show what {} changed so far", holder(claim)),
            "kapell.ui.openDocument",
            json!({"uri": uri("diff"), "title": format!("{attempt} diff")}),
        )));
        actions.push(about(action(
            format!("Open the log of {}", holder(claim)),
            "kapell.ui.followLog",
            json!({"uri": uri("log"), "attempt": attempt, "title": format!("{attempt} log")}),
        )));
    }
    if !ownership.own.is_empty() {
        let ids: Vec<i64> = ownership.own.iter().map(|claim| claim.status.claim_id).collect();
        let patterns: Vec<&str> = ownership.own.iter().map(|claim| claim.status.pattern.as_str()).collect();
        actions.push(about(action(
            format!("Release {}", patterns.join(", ")),
            "kapell.release-files",
            json!({"claim_ids": ids}),
        )));
    }
    actions
}

fn is_about_holders(diagnostic: &Diagnostic) -> bool {
    let is = |name: &str| diagnostic.code == Some(NumberOrString::String(name.to_owned()));
    diagnostic.source.as_deref() == Some(SOURCE) && (is("held") || is("meeting"))
}

/// A holder as people know it: a worker by its seat and its task.
pub fn holder(claim: &ClaimView) -> String {
    let name = claim.worker.as_ref().unwrap_or(&claim.status.holder);
    match &claim.status.task {
        Some(task) => format!("{name} (task {task})"),
        None if claim.status.holder_kind == "person" => name.clone(),
        None => format!("{name} ({})", claim.status.holder_kind),
    }
}

fn since(claim: &ClaimView) -> String {
    let Some(time) = Time::parse(&claim.status.since) else { return String::new() };
    format!(" since {}", Zone::System.show(time, Time::now()))
}

fn more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What commands about a file are given.
fn argument(document: &Document, ownership: &Ownership) -> Value {
    json!({
        "uri": document.uri,
        "path": ownership.path,
        "pattern": ownership.pattern,
        "claims": ownership.others,
        "own": ownership.own,
        "asked": ownership.asked,
    })
}

fn first_line(document: &Document) -> Range {
    document.range(&document.lines.span(&document.text, 0))
}

fn start(document: &Document) -> Range {
    document.range(&(0..0))
}
