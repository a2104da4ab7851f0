//! `kapell.toml` as it is written in an editor: what is wrong, what can be written, what it means.

use std::collections::HashMap;
use std::ops::Range as Span;

use super::checker::shown_of;
use super::desk::Desk;
use super::documents::Document;
use super::owned::SOURCE;
use super::plans::actions::meant;
use super::schema;
use super::types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CompletionItem, CompletionItemKind, CompletionTextEdit,
    Diagnostic, DiagnosticSeverity, DocumentSymbol, FoldingRange, Hover, HoverContents, Location,
    MarkupContent, MarkupKind, NumberOrString, Position, SymbolKind, TextEdit, WorkspaceEdit,
};
use crate::domain::plan::document::Place;
use crate::services::configuring;
use crate::sys::config::Severity;

/// The diagnostics of a configuration, from the text in the editor.
pub fn diagnostics(desk: &Desk, document: &Document) -> Vec<Diagnostic> {
    let Some(path) = document.path.as_deref() else { return Vec::new() };
    let problems = configuring::check_text(desk.client.house(), path, &document.text);
    let ours: Vec<_> = problems.into_iter().filter(|problem| problem.file == path).collect();
    let total = ours.len();
    let shown = ours.into_iter().map(|problem| {
        let offset = |line, column| document.lines.offset_of(&document.text, Place::new(line, column));
        let (start, end) =
            (offset(problem.line, problem.column), offset(problem.end_line, problem.end_column));
        // What is missing has a place and no extent: what stands there instead is shown.
        let span = if end > start { start..end } else { token(&document.text, start) };
        let hint = if problem.hint.is_empty() { String::new() } else { format!("\n{}", problem.hint) };
        Diagnostic {
            range: document.range(&span),
            severity: Some(match problem.severity {
                Severity::Error => DiagnosticSeverity::ERROR,
                Severity::Warning => DiagnosticSeverity::WARNING,
            }),
            code: Some(NumberOrString::String(problem.code.as_str().to_owned())),
            source: Some(SOURCE.to_owned()),
            message: format!("{}{hint}", problem.message),
            data: Some(serde_json::json!({"key": problem.key, "hint": problem.hint})),
            ..Diagnostic::default()
        }
    });
    shown_of(shown, total)
}

/// What was meant instead of what was mistyped, for the problems among `shown`.
pub fn actions(document: &Document, shown: &[Diagnostic]) -> Vec<CodeActionOrCommand> {
    let action = |problem: &Diagnostic| {
        let meant = meant(problem.data.as_ref()?.get("hint")?.as_str()?)?;
        let span = document.offset(problem.range.start)..document.offset(problem.range.end);
        let written = document.text.get(span)?;
        let quote = written.chars().next().filter(|first| matches!(first, '"' | '\''));
        // The hint is about one word, and so must be what it takes the place of.
        let word = quote.map_or(written, |quote| written.trim_matches(quote));
        if word.is_empty() || word.contains(|c: char| c.is_whitespace() || "=[]{}\"'".contains(c)) {
            return None;
        }
        let quote = quote.map(String::from).unwrap_or_default();
        let edit = TextEdit { range: problem.range, new_text: format!("{quote}{meant}{quote}") };
        Some(CodeActionOrCommand::CodeAction(CodeAction {
            title: format!("Write {meant} instead"),
            kind: Some(CodeActionKind::QUICKFIX),
            diagnostics: Some(vec![problem.clone()]),
            edit: Some(WorkspaceEdit {
                changes: Some(HashMap::from([(document.uri.clone(), vec![edit])])),
                ..WorkspaceEdit::default()
            }),
            ..CodeAction::default()
        }))
    };
    shown.iter().filter(|shown| shown.source.as_deref() == Some(SOURCE)).filter_map(action).collect()
}

/// The key or value that begins somewhere.
fn token(text: &str, start: usize) -> Span<usize> {
    let rest = &text[start..];
    let line = rest.find(['\n', '\r']).map_or(rest, |end| &rest[..end]);
    let length = match line.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let mut escaped = false;
            let end = line[1..].find(|c: char| {
                let ends = c == quote && !escaped;
                escaped = quote == '"' && c == '\\' && !escaped;
                ends
            });
            end.map_or(line.len(), |end| end + 2)
        }
        Some('[' | '{') => line.trim_end().len(),
        _ => line.find(|c: char| c.is_whitespace() || "=,]}#".contains(c)).unwrap_or(line.len()),
    };
    start..start + length
}

/// A line, as far as it is a heading or begins with a key.
struct Written<'t> {
    /// The keys of the heading it stands under.
    heading: Vec<String>,
    /// Its own key, and where that stands.
    key: Option<(&'t str, Span<usize>)>,
    /// Where its value begins.
    value: Option<usize>,
    /// Whether it is a heading itself.
    is_heading: bool,
}

/// What stands around an offset.
fn written<'t>(document: &'t Document, offset: usize) -> Written<'t> {
    let text = document.text.as_str();
    let line = document.lines.line_of(offset);
    let mut heading = Vec::new();
    for above in (0..=line).rev() {
        let span = document.lines.span(text, above);
        if let Some(keys) = heading_of(&text[span]) {
            heading = keys;
            break;
        }
    }
    let span = document.lines.span(text, line);
    let content = &text[span.clone()];
    if heading_of(content).is_some() || content.trim_start().starts_with('[') && !content.contains('=') {
        return Written { heading, key: None, value: None, is_heading: true };
    }
    let lead = content.len() - content.trim_start().len();
    let length =
        content[lead..].find(|c: char| c.is_whitespace() || c == '=').unwrap_or(content.len() - lead);
    let start = span.start + lead;
    let value = content.find('=').map(|at| span.start + at + 1);
    let key = &content[lead..lead + length];
    let key = (!key.starts_with('#')).then_some((key, start..start + length));
    Written { heading, key, value, is_heading: false }
}

/// The keys of a heading: `[providers.claude]` or `[[routes]]`.
fn heading_of(line: &str) -> Option<Vec<String>> {
    let line = line.split('#').next()?.trim();
    let inner = line.strip_prefix('[')?.strip_suffix(']')?;
    let inner = inner.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(inner);
    let keys: Vec<String> =
        inner.split('.').map(|key| key.trim().trim_matches(['"', '\'']).to_owned()).collect();
    let is_heading = !inner.contains([',', '"', ' ']) && keys.iter().all(|key| !key.is_empty());
    is_heading.then_some(keys)
}

/// What can be typed at a position.
pub fn complete(document: &Document, position: Position) -> Option<Vec<CompletionItem>> {
    let offset = document.offset(position);
    let written = written(document, offset);
    let mut path: Vec<&str> = written.heading.iter().map(String::as_str).collect();
    let item = |label: String, new_text: String, kind, about: &str, span: &Span<usize>| CompletionItem {
        label,
        kind: Some(kind),
        detail: (!about.is_empty()).then(|| about.to_owned()),
        filter_text: Some(new_text.clone()),
        text_edit: Some(CompletionTextEdit::Edit(TextEdit { range: document.range(span), new_text })),
        ..CompletionItem::default()
    };
    let text = document.text.as_str();
    if written.is_heading {
        let line = document.lines.span(text, document.lines.line_of(offset));
        let start =
            line.start + text[line.clone()].len() - text[line.clone()].trim_start_matches(['[', ' ']).len();
        let end = start + text[start..line.end].find(']').unwrap_or(line.end - start);
        let span = start..end.max(start);
        let tables = schema::keys(&schema::CONFIG, &[]).into_iter().filter(|(name, _)| is_table(name));
        let items = tables.map(|(name, about)| {
            item(name.to_owned(), name.to_owned(), CompletionItemKind::MODULE, about, &span)
        });
        return Some(items.collect());
    }
    if let (Some((key, _)), Some(value)) = (&written.key, written.value.filter(|value| *value <= offset)) {
        path.extend(key.split('.'));
        let line = document.lines.span(text, document.lines.line_of(offset));
        let typed = &text[value..offset];
        let begun = typed.rfind([' ', ',', '[', '=']).map_or(value, |at| value + at + 1);
        let rest = text[offset..line.end].find([' ', ',', ']', '#']).unwrap_or(line.end - offset);
        let span = begun..offset + rest;
        let words =
            schema::words(&schema::CONFIG, &path).into_iter().map(|(word, about)| (word.to_owned(), about));
        let names = names_for(document, &path).into_iter().map(|name| (name, ""));
        let items = words.chain(names).map(|(word, about)| {
            let is_bare = word == "true" || word == "false";
            let new_text = if is_bare { word.clone() } else { format!("\"{word}\"") };
            item(word, new_text, CompletionItemKind::VALUE, about, &span)
        });
        return Some(items.collect());
    }
    let span = written.key.map_or(offset..offset, |(_, span)| span);
    let has_value = written.value.is_some();
    let items = schema::keys(&schema::CONFIG, &path).into_iter().map(|(key, about)| {
        let new_text = if has_value { key.to_owned() } else { format!("{key} = ") };
        item(key.to_owned(), new_text, CompletionItemKind::PROPERTY, about, &span)
    });
    Some(items.collect())
}

/// Whether a key of the file is a table.
fn is_table(name: &str) -> bool {
    schema::at(&schema::CONFIG, &[name])
        .is_some_and(|schema| schema::is_map(schema) || schema.get("items").is_some_and(schema::is_map))
}

/// Which tables a key names one of, where it names any.
fn named_by(path: &[&str]) -> &'static [&'static str] {
    match path {
        ["rules", "review"] | ["workers", _, "provider"] | ["failover", "chain" | "fallback"] => {
            &["providers"]
        }
        ["groups", _, "provider_by_name", "provider"] => &["providers"],
        ["roles", _] => &["providers", "workers"],
        ["groups", _, "members"] => &["workers"],
        ["workers", _, "groups"] => &["groups"],
        ["routes", "to"] | ["pipelines", _, "stages", "target"] => &["workers", "groups", "providers"],
        ["workers", _, "environment"] => &[],
        _ => &[],
    }
}

/// The names that a value may be, from the headings of the file.
fn names_for(document: &Document, path: &[&str]) -> Vec<String> {
    let tables = named_by(path);
    let mut names: Vec<String> = headings(document)
        .filter(|(keys, _)| keys.len() > 1 && tables.contains(&keys[0].as_str()))
        .map(|(keys, _)| keys[1].clone())
        .collect();
    if tables.contains(&"providers") {
        names.extend(["claude", "codex", "opencode", "ollama"].map(str::to_owned));
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The headings with the bytes of their lines.
fn headings(document: &Document) -> impl Iterator<Item = (Vec<String>, Span<usize>)> {
    let text = document.text.as_str();
    (0..document.lines.count()).filter_map(move |line| {
        let span = document.lines.span(text, line);
        Some((heading_of(&text[span.clone()])?, span))
    })
}

/// What a key means.
pub fn hover(document: &Document, position: Position) -> Option<Hover> {
    let offset = document.offset(position);
    let written = written(document, offset);
    let mut path: Vec<&str> = written.heading.iter().map(String::as_str).collect();
    let span = match &written.key {
        Some((key, span)) if span.start <= offset && offset <= span.end => {
            path.extend(key.split('.'));
            span.clone()
        }
        None if written.is_heading => document.lines.span(&document.text, document.lines.line_of(offset)),
        _ => return None,
    };
    let about = schema::description(schema::at(&schema::CONFIG, &path)?);
    (!about.is_empty()).then(|| Hover {
        contents: HoverContents::Markup(MarkupContent {
            kind: MarkupKind::Markdown,
            value: format!("`{}`: {about}", path.join(".")),
        }),
        range: Some(document.range(&span)),
    })
}

/// Where the provider, worker or group is defined that a value names.
pub fn definition(document: &Document, position: Position) -> Option<Location> {
    let offset = document.offset(position);
    let written = written(document, offset);
    let mut path: Vec<&str> = written.heading.iter().map(String::as_str).collect();
    path.extend(written.key.as_ref()?.0.split('.'));
    let text = document.text.as_str();
    let value = written.value.filter(|value| *value <= offset)?;
    let is_end = |c: char| "\"'[], ".contains(c);
    let start = value + text[value..offset].rfind(is_end).map_or(0, |at| at + 1);
    let end = offset + text[offset..].find(|c: char| is_end(c) || c == '\n' || c == '\r').unwrap_or(0);
    let name = &text[start..end];
    let tables = named_by(&path);
    let (_, span) = headings(document)
        .find(|(keys, _)| keys.len() > 1 && tables.contains(&keys[0].as_str()) && keys[1] == name)?;
    Some(Location::new(document.uri.clone(), document.range(&span)))
}

/// The tables.
pub fn symbols(document: &Document) -> Vec<DocumentSymbol> {
    sections(document)
        .into_iter()
        .map(|(keys, heading, whole)| {
            #[expect(deprecated, reason = "a field that is not used any more has to be named all the same")]
            DocumentSymbol {
                name: keys.join("."),
                detail: None,
                kind: SymbolKind::NAMESPACE,
                tags: None,
                deprecated: None,
                range: document.range(&whole),
                selection_range: document.range(&heading),
                children: None,
            }
        })
        .collect()
}

/// Every table from its heading to its last line.
pub fn folds(document: &Document) -> Vec<FoldingRange> {
    let line = |offset| u32::try_from(document.lines.line_of(offset)).unwrap_or(u32::MAX);
    sections(document)
        .into_iter()
        .map(|(_, heading, whole)| (line(heading.start), line(whole.end)))
        .filter(|(first, last)| last > first)
        .map(|(start_line, end_line)| FoldingRange { start_line, end_line, ..FoldingRange::default() })
        .collect()
}

type Section = (Vec<String>, Span<usize>, Span<usize>);

fn sections(document: &Document) -> Vec<Section> {
    let headings: Vec<_> = headings(document).collect();
    let text = document.text.as_str();
    headings
        .iter()
        .enumerate()
        .map(|(at, (keys, span))| {
            let next = headings.get(at + 1).map_or(text.len(), |(_, next)| next.start);
            let end = span.start + text[span.start..next].trim_end().len();
            (keys.clone(), span.clone(), span.start..end)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_takes_the_bytes_of_its_token() {
        let table = [
            ("key = 1", 0, "key"),
            ("key = \"a \\\" b\" # x", 6, "\"a \\\" b\""),
            ("key = [1,\n2]", 6, "[1,"),
            ("key = true, x", 6, "true"),
            ("[table]\n", 0, "[table]"),
            ("", 0, ""),
        ];
        for (text, start, expected) in table {
            assert_eq!(&text[token(text, start)], expected, "{text}");
        }
    }

    #[test]
    fn headings_are_known() {
        let table = [
            ("[project]", Some("project")),
            ("[[ routes ]]", None),
            ("[[routes]] # x", Some("routes")),
            ("[providers.claude]", Some("providers/claude")),
            ("files = [a]", None),
            ("[1, 2]", None),
            ("[]", None),
        ];
        for (line, expected) in table {
            assert_eq!(heading_of(line).map(|keys| keys.join("/")).as_deref(), expected, "{line}");
        }
    }
}
