//! What can be typed in a plan: keys, ids of tasks, names of the configuration, and paths.

use std::collections::HashSet;

use serde_json::Value;

use super::super::desk::Desk;
use super::super::documents::{Document, Kind};
use super::super::schema;
use super::super::types::{CompletionItem, CompletionItemKind, CompletionTextEdit, Position, TextEdit};
use super::checking::tasks;
use super::navigation::{dependencies, id_of};
use super::slot::{self, Slot, What};
use super::surroundings::{entries, folder_of, names, session};
use crate::domain::plan::document::Format;
use crate::domain::plan::outline::{Item, Step};
use crate::services::project::Project;

/// Something that can be typed: what is written, what it is, and a word about it.
struct Choice {
    /// What is written.
    text: String,
    /// Whether it stands in quotes where the format has them.
    quoted: bool,
    kind: CompletionItemKind,
    detail: String,
}

impl Choice {
    fn new(text: impl Into<String>, kind: CompletionItemKind, detail: impl Into<String>) -> Self {
        Self { text: text.into(), quoted: true, kind, detail: detail.into() }
    }
}

/// What can be typed at a position.
pub fn complete(desk: &Desk, document: &Document, position: Position) -> Option<Vec<CompletionItem>> {
    let Kind::Plan(format) = document.kind else { return None };
    let offset = document.offset(position);
    let slot = slot::at(document, offset)?;
    let choices = match slot.what {
        What::Key => keys(document, &slot, offset),
        What::Value => values(desk, document, &slot, offset),
    };
    let range = document.range(&slot.replace);
    let has_colon = document.text[slot.replace.end..].trim_start_matches([' ', '\t']).starts_with(':');
    let items = choices.into_iter().enumerate().map(|(at, choice)| {
        let mut new_text =
            if choice.quoted { quoted(&choice.text, format, slot.what) } else { choice.text.clone() };
        if slot.what == What::Key && !has_colon {
            new_text.push_str(": ");
        }
        CompletionItem {
            label: choice.text,
            kind: Some(choice.kind),
            detail: (!choice.detail.is_empty()).then_some(choice.detail),
            // What is typed so far has its quotes, so what it is held against has them too.
            filter_text: Some(new_text.clone()),
            sort_text: Some(format!("{at:05}")),
            text_edit: Some(CompletionTextEdit::Edit(TextEdit { range, new_text })),
            ..CompletionItem::default()
        }
    });
    Some(items.collect())
}

fn keys(document: &Document, slot: &Slot, offset: usize) -> Vec<Choice> {
    let path: Vec<&str> = slot.path.iter().map(String::as_str).collect();
    let line = document.lines.span(&document.text, document.lines.line_of(offset));
    let is_flow = document.text[line].contains('{');
    // A line of YAML that is not written yet lies in no map of the outline.
    let (map, beside) = if document.kind == Kind::Plan(Format::Yaml) && !is_flow {
        (None, slot::beside_in_yaml(&document.text, offset))
    } else {
        (document.outline().and_then(|root| map_around(root, offset)), Vec::new())
    };
    let is_there = |key: &str| {
        beside.contains(&key)
            || map.is_some_and(|map| {
                map.entries().iter().any(|entry| entry.key == key && entry.key_span != slot.replace)
            })
    };
    schema::keys(&schema::PLAN, &path)
        .into_iter()
        .filter(|(key, _)| !is_there(key))
        .map(|(key, about)| Choice::new(key, CompletionItemKind::PROPERTY, about))
        .collect()
}

/// The innermost map that an offset lies in.
fn map_around(root: &Item, offset: usize) -> Option<&Item> {
    let way = root.way_to(offset);
    let mut at = root;
    let mut map = Some(root).filter(|root| !root.entries().is_empty());
    for step in way.steps {
        at = match step {
            Step::Key(key) => at.get(key)?,
            Step::Item(index) => at.items().get(index)?,
        };
        if !at.entries().is_empty() {
            map = Some(at);
        }
    }
    map
}

fn values(desk: &Desk, document: &Document, slot: &Slot, offset: usize) -> Vec<Choice> {
    let path: Vec<&str> = slot.path.iter().map(String::as_str).collect();
    let typed = document.text[slot.replace.start..offset.max(slot.replace.start)].trim_matches(['"', '\'']);
    let named = |list: Vec<(String, String)>, kind: CompletionItemKind| -> Vec<Choice> {
        list.into_iter().map(|(name, what)| Choice::new(name, kind, what)).collect()
    };
    let names = || names(&session(desk, document));
    match path.as_slice() {
        ["tasks", "depends_on"] => ids(document, offset, slot),
        ["tasks", "agent" | "target"] => named(names().targets, CompletionItemKind::VALUE),
        ["tasks", "role"] => named(names().roles, CompletionItemKind::VALUE),
        [.., "rules", "review"] => named(names().providers, CompletionItemKind::VALUE),
        ["tasks", "environment"] => named(names().environments, CompletionItemKind::VALUE),
        ["pipeline"] => named(names().pipelines, CompletionItemKind::VALUE),
        ["tasks", "files" | "tests" | "reads"] | ["specs", "file"] => {
            let Ok(project) = Project::of(&folder_of(desk, document)) else { return Vec::new() };
            let top = project.top.as_deref().map(|top| entries(top, typed)).unwrap_or_default();
            let kind = |path: &str| {
                if path.ends_with('/') { CompletionItemKind::FOLDER } else { CompletionItemKind::FILE }
            };
            top.into_iter().map(|path| Choice::new(path.clone(), kind(&path), "")).collect()
        }
        ["tasks", "priority"] => {
            let words = [("high", "9"), ("medium", "5"), ("low", "2")];
            words.map(|(word, figure)| Choice::new(word, CompletionItemKind::ENUM_MEMBER, figure)).into()
        }
        ["tasks", "complexity"] => {
            let words = ["simple", "normal", "complex"];
            words.map(|word| Choice::new(word, CompletionItemKind::ENUM_MEMBER, "")).into()
        }
        path => schema::words(&schema::PLAN, path)
            .into_iter()
            .map(|(word, about)| Choice {
                quoted: !matches!(word, "true" | "false"),
                ..Choice::new(word, CompletionItemKind::ENUM_MEMBER, about)
            })
            .collect(),
    }
}

/// The ids of the other tasks, but for those that are named already.
fn ids(document: &Document, offset: usize, slot: &Slot) -> Vec<Choice> {
    let Some(root) = document.outline() else { return Vec::new() };
    let tasks = tasks(root);
    let own = tasks.iter().rev().find(|task| task.span.start <= offset);
    let is_named = |id: &str| {
        own.is_some_and(|own| {
            let is_own = id_of(own).is_some_and(|own| own.text() == Some(id));
            is_own || dependencies(own).any(|other| other.text() == Some(id) && other.span != slot.replace)
        })
    };
    let mut seen = HashSet::new();
    tasks
        .iter()
        .filter_map(|task| Some((id_of(task)?.text()?, task.get("task").and_then(Item::text), id_of(task)?)))
        .filter(|(id, ..)| !is_named(id) && seen.insert(*id))
        .map(|(id, text, item)| Choice {
            quoted: document.text[item.span.clone()].starts_with(['"', '\'']) || id.parse::<i64>().is_err(),
            ..Choice::new(
                id,
                CompletionItemKind::REFERENCE,
                text.and_then(|text| text.lines().next()).unwrap_or_default(),
            )
        })
        .collect()
}

/// A text as it stands in the format.
pub fn quoted(text: &str, format: Format, what: What) -> String {
    match format {
        Format::Json => Value::from(text).to_string(),
        Format::Yaml if what == What::Key || is_plain(text) => text.to_owned(),
        Format::Yaml => format!("'{}'", text.replace('\'', "''")),
    }
}

/// Whether YAML takes a text for what it says without quotes.
fn is_plain(text: &str) -> bool {
    let first = text.chars().next().unwrap_or('-');
    let is_safe = |c: char| c.is_alphanumeric() || "_-./*".contains(c);
    (first.is_alphanumeric() || first == '.' || first == '_')
        && text.chars().all(is_safe)
        && text.parse::<f64>().is_err()
        && !matches!(text, "true" | "false" | "null" | "yes" | "no")
}
