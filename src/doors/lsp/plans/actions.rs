//! Mending a plan: the fixes for what is wrong with it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range as Span;

use serde_json::Value;

use super::super::desk::Desk;
use super::super::documents::{Document, Kind};
use super::super::owned::SOURCE;
use super::super::types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, Diagnostic, NumberOrString, TextEdit, WorkspaceEdit,
};
use super::checking::tasks;
use super::completion::quoted;
use super::hover::matching;
use super::navigation::id_of;
use super::slot::What;
use super::surroundings::session;
use crate::base::paths::RepoPath;
use crate::base::sorting;
use crate::domain::pattern::{Pattern, overlap_of};
use crate::domain::plan::document::Format;
use crate::domain::plan::outline::{Entry, Item};
use crate::sys::tree;

/// A pattern is split into so many files at most.
const MOST_PARTS: usize = 40;

/// The fixes for the problems among `shown`.
pub fn actions(desk: &Desk, document: &Document, shown: &[Diagnostic]) -> Vec<CodeActionOrCommand> {
    let Kind::Plan(format) = document.kind else { return Vec::new() };
    let Some(root) = document.outline() else { return Vec::new() };
    let plan = Mending { desk, document, format, root };
    let ours = shown.iter().filter(|shown| shown.source.as_deref() == Some(SOURCE));
    ours.flat_map(|problem| plan.fixes(problem)).collect()
}

/// What takes the place of which bytes.
type Edit = (Span<usize>, String);
/// A fix: what it is called, and what it writes.
type Fix = (String, Vec<Edit>);

/// A plan that is being mended.
struct Mending<'p> {
    desk: &'p Desk,
    document: &'p Document,
    format: Format,
    root: &'p Item,
}

impl Mending<'_> {
    fn fixes(&self, problem: &Diagnostic) -> Vec<CodeActionOrCommand> {
        let Some(NumberOrString::String(code)) = &problem.code else { return Vec::new() };
        let data = problem.data.as_ref();
        let fact = |name: &str| data.and_then(|data| data.get(name)).and_then(Value::as_str);
        let mut fixes: Vec<Fix> = Vec::new();
        match code.as_str() {
            "overlap" => {
                let ids = data.and_then(|data| data.get("tasks")).and_then(Value::as_array);
                let ids: Vec<&str> = ids.into_iter().flatten().filter_map(Value::as_str).collect();
                if let [second, first] = ids[..] {
                    fixes.extend(self.ordered(first, second));
                    fixes.extend(self.ordered(second, first));
                    fixes.extend(self.split(problem, &ids));
                }
            }
            "no-specs" => fixes.extend(self.with_spec()),
            "duplicate-id" => fixes.extend(self.another_id(problem)),
            "no-files" => fixes.extend(self.with_files(problem)),
            _ => {}
        }
        // What was probably meant stands in the hint.
        if let Some(meant) = fact("hint").and_then(meant) {
            let span = self.span(problem);
            fixes.push((
                format!("Write {meant} instead"),
                vec![(span.clone(), self.as_written(&span, meant))],
            ));
        }
        fixes.into_iter().map(|(title, edits)| self.action(title, edits, problem)).collect()
    }

    fn action(&self, title: String, edits: Vec<Edit>, problem: &Diagnostic) -> CodeActionOrCommand {
        let edits = edits
            .into_iter()
            .map(|(span, new_text)| TextEdit { range: self.document.range(&span), new_text })
            .collect();
        let changes = HashMap::from([(self.document.uri.clone(), edits)]);
        CodeActionOrCommand::CodeAction(CodeAction {
            title,
            kind: Some(CodeActionKind::QUICKFIX),
            diagnostics: Some(vec![problem.clone()]),
            edit: Some(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() }),
            ..CodeAction::default()
        })
    }

    fn span(&self, problem: &Diagnostic) -> Span<usize> {
        self.document.offset(problem.range.start)..self.document.offset(problem.range.end)
    }

    fn task(&self, id: &str) -> Option<&Item> {
        tasks(self.root).into_iter().find(|task| id_of(task).is_some_and(|own| own.text() == Some(id)))
    }

    /// A text in the place of another one, in quotes where that one has them.
    fn as_written(&self, span: &Span<usize>, text: &str) -> String {
        let before = self.document.text.get(span.clone()).unwrap_or_default();
        if before.starts_with('\'') {
            return format!("'{}'", text.replace('\'', "''"));
        }
        let is_text = self.format == Format::Json && text.parse::<i64>().is_err();
        if is_text || before.starts_with('"') { Value::from(text).to_string() } else { text.to_owned() }
    }

    /// Lets `second` wait for `first`.
    fn ordered(&self, first: &str, second: &str) -> Option<Fix> {
        let id = &self.document.text[id_of(self.task(first)?)?.span.clone()];
        let task = self.task(second)?;
        let edits = match task.entry("depends_on") {
            Some(entry) => match &entry.value {
                Some(list) => vec![self.appended(list, id)?],
                None => vec![self.filled(entry, &format!("[{id}]"))],
            },
            None => self.with_entry(task, "depends_on", &format!("[{id}]"))?,
        };
        Some((format!("Let task {second} wait for task {first}"), edits))
    }

    /// The end of the colon of a key; nothing where it has none yet.
    fn colon(&self, entry: &Entry) -> Option<usize> {
        let behind = &self.document.text[entry.key_span.end..];
        let blanks = behind.len() - behind.trim_start_matches([' ', '\t']).len();
        behind[blanks..].starts_with(':').then_some(entry.key_span.end + blanks + 1)
    }

    /// A value for a key that has none.
    fn filled(&self, entry: &Entry, value: &str) -> Edit {
        match self.colon(entry) {
            Some(colon) => (colon..colon, format!(" {value}")),
            None => (entry.key_span.end..entry.key_span.end, format!(": {value}")),
        }
    }

    /// Where an entry ends: one that has no value yet ends with its colon.
    fn end_of(&self, entry: &Entry) -> usize {
        let written = || self.colon(entry).unwrap_or(entry.key_span.end);
        entry.value.as_ref().map_or_else(written, |value| value.span.end)
    }

    /// Whether a map stands in braces.
    fn is_flow(&self, map: &Item) -> bool {
        self.document.text[map.span.start..].starts_with('{')
    }

    /// A list with one more item.
    fn appended(&self, list: &Item, item: &str) -> Option<Edit> {
        let text = &self.document.text;
        if text[list.span.start..].starts_with('[') {
            let at = match list.items().last() {
                Some(last) => last.span.end,
                None => list.span.start + 1,
            };
            let comma = if list.items().is_empty() { "" } else { ", " };
            return Some((at..at, format!("{comma}{item}")));
        }
        let last = list.items().last()?;
        let line = self.document.lines.line_of(last.span.start);
        let span = self.document.lines.span(text, line);
        let indent = &text[span.start..last.span.start];
        let end = self.behind_comment(last.span.end);
        Some((end..end, format!("{}{indent}{item}", self.document.line_end())))
    }

    /// The end of a line of which there is no more behind an offset than a comment, which stays with what
    /// it is about; else that offset.
    fn behind_comment(&self, offset: usize) -> usize {
        let (text, lines) = (&self.document.text, &self.document.lines);
        let end = lines.span(text, lines.line_of(offset)).end;
        let mark = if self.format == Format::Json { "//" } else { "#" };
        let is_comment = end > offset && text[offset..end].trim_start().starts_with(mark);
        if is_comment { end } else { offset }
    }

    /// A map with one more entry, behind its last one.
    fn with_entry(&self, map: &Item, key: &str, value: &str) -> Option<Vec<Edit>> {
        let text = &self.document.text;
        let first = map.entries().first()?;
        let last = map.entries().last()?;
        let end = self.end_of(last);
        let is_flow = self.is_flow(map);
        let key = quoted(key, self.format, What::Key);
        // Each on a line of its own where they are.
        let line_of = |offset| self.document.lines.line_of(offset);
        let is_spread = line_of(first.key_span.start) != line_of(end) || !is_flow;
        let start = self.document.lines.span(text, line_of(first.key_span.start)).start;
        let indent: String =
            text[start..first.key_span.start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let comma = if is_flow { "," } else { "" };
        if !is_spread {
            return Some(vec![(end..end, format!("{comma} {key}: {value}"))]);
        }
        let entry = format!("{}{indent}{key}: {value}", self.document.line_end());
        let behind = self.behind_comment(end);
        if behind == end || comma.is_empty() {
            return Some(vec![(behind..behind, format!("{comma}{entry}"))]);
        }
        Some(vec![(end..end, comma.to_owned()), (behind..behind, entry)])
    }

    /// Gives the files of a folder or wildcard one by one, without those of the other task.
    fn split(&self, problem: &Diagnostic, ids: &[&str]) -> Option<Fix> {
        let span = self.span(problem);
        let own = self.owner(&span)?;
        let id = id_of(own)?.text()?;
        let other = self.task(ids.iter().find(|other| **other != id)?)?;
        let item = own.get("files")?.items().iter().find(|item| item.span.start == span.start)?;
        let pattern = Pattern::parse(item.text()?).ok()?;
        let project = session(self.desk, self.document).project().ok()?;
        let theirs: Vec<Pattern> =
            other.get("files")?.items().iter().filter_map(|item| Pattern::parse(item.text()?).ok()).collect();
        let mut files: Vec<RepoPath> = matching(&project, &pattern)?;
        let before = files.len();
        files.retain(|file| !theirs.iter().any(|theirs| theirs.contains(file)));
        sorting::sort_by(&mut files, |a, b| a.as_bytes().cmp(b.as_bytes()));
        if files.is_empty() || files.len() == before && before <= 1 || files.len() > MOST_PARTS {
            return None;
        }
        let paths: Vec<&str> = files.iter().filter_map(RepoPath::as_str).collect();
        let parts: Vec<Pattern> = paths.iter().filter_map(|path| Pattern::of_path(path).ok()).collect();
        // What would still meet the other task's is no way out.
        let is_file = |path: &str| project.is_file(path);
        let meets = |part: &Pattern| theirs.iter().any(|it| overlap_of(part, it, &is_file).is_some());
        if parts.len() != files.len() || parts.iter().any(meets) {
            return None;
        }
        let texts: Vec<String> =
            parts.iter().map(|part| quoted(part.as_str(), self.format, What::Value)).collect();
        let is_flow = self.document.text[own.get("files")?.span.start..].starts_with('[');
        let line = self.document.lines.line_of(item.span.start);
        let start = self.document.lines.span(&self.document.text, line).start;
        let gap = if is_flow {
            ", ".to_owned()
        } else {
            format!("{}{}", self.document.line_end(), &self.document.text[start..item.span.start])
        };
        let pattern = pattern.as_str();
        let title = match paths[..] {
            [only] => {
                format!("Narrow {pattern} of task {id} down to {only}, which the other task does not own")
            }
            _ => format!(
                "Split {pattern} of task {id} into {} files, without those of the other task",
                files.len()
            ),
        };
        Some((title, vec![(item.span.clone(), texts.join(&gap))]))
    }

    /// The task that a span lies in.
    fn owner(&self, span: &Span<usize>) -> Option<&Item> {
        tasks(self.root).into_iter().find(|task| task.span.start <= span.start && span.end <= task.span.end)
    }

    fn with_spec(&self) -> Option<Fix> {
        let stem = self.document.path.as_ref()?.file_stem()?.to_str()?;
        let name = stem.trim_end_matches(".plan");
        let file = quoted(&format!("specs/{name}.md"), self.format, What::Value);
        let (file_key, about_key) =
            (quoted("file", self.format, What::Key), quoted("description", self.format, What::Key));
        let about = quoted("What is to be built", self.format, What::Value);
        let spec = format!("{{{file_key}: {file}, {about_key}: {about}}}");
        let title = format!("Name a spec: specs/{name}.md");
        if let Some(entry) = self.root.entry("specs") {
            let specs = format!("[{spec}]");
            let edit = match &entry.value {
                Some(list) if list.items().is_empty() => (list.span.clone(), specs),
                Some(_) => return None,
                None => self.filled(entry, &specs),
            };
            return Some((title, vec![edit]));
        }
        let first = self.root.entries().first()?;
        let line = self.document.lines.line_of(first.key_span.start);
        let start = self.document.lines.span(&self.document.text, line).start;
        let before = &self.document.text[start..first.key_span.start];
        let line_end = self.document.line_end();
        let is_flow = self.is_flow(self.root);
        let before = before.trim_start_matches('\u{feff}');
        let gap = match before.trim().is_empty() {
            true => format!("{line_end}{before}"),
            false if is_flow => " ".to_owned(),
            false => return None,
        };
        let comma = if is_flow { "," } else { "" };
        let key = quoted("specs", self.format, What::Key);
        let at = first.key_span.start;
        Some((title, vec![(at..at, format!("{key}: [{spec}]{comma}{gap}"))]))
    }

    fn with_files(&self, problem: &Diagnostic) -> Option<Fix> {
        // By its place: another task may have the same id.
        let start = self.span(problem).start;
        let task = self.owner(&(start..start))?;
        let id = id_of(task)?.text()?;
        let folder = self.free_folder()?;
        let path = quoted(&folder, self.format, What::Value);
        let edits = match task.entry("files") {
            Some(entry) => match &entry.value {
                Some(list) => vec![(list.span.clone(), format!("[{path}]"))],
                None => vec![self.filled(entry, &format!("[{path}]"))],
            },
            None => self.with_entry(task, "files", &format!("[{path}]"))?,
        };
        Some((format!("Give task {id} files of its own: {folder}"), edits))
    }

    /// A folder of the project that no task owns anything of: the sources, else the one with the most files.
    fn free_folder(&self) -> Option<String> {
        let project = session(self.desk, self.document).project().ok()?;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for file in tree::files(project.top.as_deref()?) {
            let folder = file.as_str().and_then(|path| path.split_once('/')).map(|(folder, _)| folder);
            // Folders with a dot are tools' own.
            if let Some(folder) = folder.filter(|folder| !folder.starts_with('.')) {
                *counts.entry(folder.to_owned()).or_default() += 1;
            }
        }
        let items = tasks(self.root).into_iter().filter_map(|task| task.get("files")).flat_map(Item::items);
        let owned: Vec<Pattern> = items.filter_map(|item| Pattern::parse(item.text()?).ok()).collect();
        let is_file = |path: &str| project.is_file(path);
        let free = counts.into_iter().filter_map(|(folder, count)| {
            let whole = Pattern::of_path(&format!("{folder}/")).ok()?;
            let is_met = owned.iter().any(|it| overlap_of(&whole, it, &is_file).is_some());
            (!is_met).then(|| ((folder == "src", count, Reverse(folder)), whole))
        });
        free.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, whole)| whole.as_str().to_owned())
    }

    /// The next number that is free.
    fn another_id(&self, problem: &Diagnostic) -> Option<Fix> {
        let ids: Vec<&str> = tasks(self.root).into_iter().filter_map(|task| id_of(task)?.text()).collect();
        let span = self.span(problem);
        let written = self.document.text.get(span.clone())?.trim_matches(['"', '\'']);
        let free = match written.parse::<i64>() {
            Ok(_) => ids.iter().filter_map(|id| id.parse::<i64>().ok()).max()?.checked_add(1)?.to_string(),
            Err(_) => {
                (2..).map(|number| format!("{written}-{number}")).find(|id| !ids.contains(&id.as_str()))?
            }
        };
        Some((format!("Call it {free}"), vec![(span.clone(), self.as_written(&span, &free))]))
    }
}

/// What a hint of the form "did you mean x?" suggests.
pub fn meant(hint: &str) -> Option<&str> {
    let rest = hint.strip_prefix("did you mean ")?;
    let end = rest.find('?')?;
    Some(rest[..end].trim_matches('`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_read_from_the_hint() {
        let table = [
            ("did you mean claude? Known are claude, codex", Some("claude")),
            ("did you mean `files`? As it is, the key is ignored", Some("files")),
            ("the plan has the tasks 1, 2", None),
        ];
        for (hint, expected) in table {
            assert_eq!(meant(hint), expected, "{hint}");
        }
    }
}
