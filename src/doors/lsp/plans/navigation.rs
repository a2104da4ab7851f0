//! Going from a dependency to its task and back; the outline of a plan; what can be folded.

use std::ops::Range as Span;

use super::super::documents::Document;
use super::super::types::{DocumentSymbol, FoldingRange, FoldingRangeKind, Location, Position, SymbolKind};
use super::checking::tasks;
use crate::base::sorting;
use crate::domain::plan::outline::{Item, Shape};

/// The id of a task.
pub fn id_of(task: &Item) -> Option<&Item> {
    task.get("id").filter(|id| id.text().is_some_and(|text| !text.is_empty()))
}

/// The ids that a task depends on.
pub fn dependencies(task: &Item) -> impl Iterator<Item = &Item> {
    task.get("depends_on").map(Item::items).unwrap_or_default().iter().filter(|id| id.text().is_some())
}

/// The id, of a task or of one that it waits for, that stands at a place.
pub fn id_at(root: &Item, offset: usize) -> Option<&Item> {
    let touches = |item: &&Item| item.span.start <= offset && offset <= item.span.end;
    let task = tasks(root).into_iter().find(touches)?;
    id_of(task).into_iter().chain(dependencies(task)).find(touches)
}

/// Where the task is defined whose id stands at a position.
pub fn definition(document: &Document, position: Position) -> Option<Location> {
    let root = document.outline()?;
    let id = id_at(root, document.offset(position))?.text()?;
    let found = tasks(root).into_iter().filter_map(id_of).find(|own| own.text() == Some(id))?;
    Some(Location::new(document.uri.clone(), document.range(&found.span)))
}

/// Where tasks wait for the one whose id stands at a position.
pub fn references(document: &Document, position: Position, with_definition: bool) -> Option<Vec<Location>> {
    let root = document.outline()?;
    let id = id_at(root, document.offset(position))?.text()?;
    let mut found: Vec<&Span<usize>> = Vec::new();
    for task in tasks(root) {
        let own = id_of(task).filter(|own| with_definition && own.text() == Some(id));
        let waits = dependencies(task).filter(|other| other.text() == Some(id));
        found.extend(own.into_iter().chain(waits).map(|item| &item.span));
    }
    Some(found.into_iter().map(|span| Location::new(document.uri.clone(), document.range(span))).collect())
}

/// Specs and tasks, as a list of symbols.
pub fn symbols(document: &Document) -> Option<Vec<DocumentSymbol>> {
    let root = document.outline()?;
    let mut symbols = Vec::new();
    for spec in root.get("specs").map(Item::items).unwrap_or_default() {
        let Some(file) = spec.get("file").filter(|file| file.text().is_some()) else { continue };
        let detail = spec.get("description").and_then(Item::text);
        symbols.push(symbol(document, file.text()?, detail, SymbolKind::FILE, spec, file));
    }
    for task in tasks(root) {
        let text = task.get("task").and_then(Item::text).and_then(|text| text.lines().next());
        let name = match id_of(task) {
            Some(id) => format!("task {}", id.text()?),
            None => "task without an id".to_owned(),
        };
        let name_at = id_of(task).unwrap_or(task);
        symbols.push(symbol(document, &name, text, SymbolKind::EVENT, task, name_at));
    }
    Some(symbols)
}

fn symbol(
    document: &Document,
    name: &str,
    detail: Option<&str>,
    kind: SymbolKind,
    whole: &Item,
    named: &Item,
) -> DocumentSymbol {
    #[expect(deprecated, reason = "a field that is not used any more has to be named all the same")]
    DocumentSymbol {
        name: if name.is_empty() { "…".to_owned() } else { name.to_owned() },
        detail: detail.map(str::to_owned),
        kind,
        tags: None,
        deprecated: None,
        range: document.range(&whole.span),
        selection_range: document.range(&named.span),
        children: None,
    }
}

/// Every list and map of several lines.
pub fn folds(document: &Document) -> Option<Vec<FoldingRange>> {
    let mut folds = Vec::new();
    let mut open = vec![document.outline()?];
    while let Some(item) = open.pop() {
        match &item.shape {
            Shape::Scalar(_) => {}
            Shape::List(items) => open.extend(items),
            Shape::Map(entries) => open.extend(entries.iter().filter_map(|entry| entry.value.as_ref())),
        }
        let is_block = !document.text[item.span.start..].starts_with(['[', '{']);
        let mut first = document.lines.line_of(item.span.start);
        let mut last = document.lines.line_of(item.span.end.saturating_sub(1).max(item.span.start));
        if is_block {
            // The key above stays to be seen; the first line of an item does anyway.
            let line = document.lines.span(&document.text, first);
            let before = document.text[line.start..item.span.start].trim();
            if before.is_empty() && first > 0 && !matches!(item.shape, Shape::Scalar(_)) {
                first -= 1;
            }
        } else {
            // The closing bracket does too.
            last = last.saturating_sub(1);
        }
        if last > first && !matches!(item.shape, Shape::Scalar(_)) {
            folds.push(FoldingRange {
                start_line: u32::try_from(first).ok()?,
                end_line: u32::try_from(last).ok()?,
                kind: Some(FoldingRangeKind::Region),
                ..FoldingRange::default()
            });
        }
    }
    sorting::sort_by_key(&mut folds, |fold| (fold.start_line, fold.end_line));
    folds.dedup();
    Some(folds)
}
