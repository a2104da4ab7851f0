//! What is wrong with a plan, each problem at the very text that it is about.

use std::borrow::Cow;
use std::ops::Range as Span;

use serde_json::{Value, json};

use super::super::checker::shown_of;
use super::super::desk::Desk;
use super::super::documents::Document;
use super::super::owned::SOURCE;
use super::super::text::{Lines, floor};
use super::super::types::{
    Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, Location, NumberOrString, Uri,
};
use super::surroundings::session;
use crate::domain::plan::document::{Format, Place};
use crate::domain::plan::outline::{Item, Shape};
use crate::domain::plan::problem::{Problem, ProblemCode, Severity};
use crate::domain::plan::read::Patterns;
use crate::services::configuring::Files;
use crate::services::planning::{self, Findings};
use crate::services::{Error, Session};

/// A cycle may lead through all tasks of a plan; whoever mends it sees the rest.
const MOST_ENDS: usize = 200;
/// As many other places of a problem are named with each.
const MOST_RELATED: usize = 20;
/// And as many with all of them, or little more.
const ALL_RELATED: usize = 1000;
/// A message that stands at several places is told to its end at the first of them, and to here at the others.
const LONGEST_REPEATED: usize = 300;

/// The diagnostics of a plan.
pub fn diagnostics(
    desk: &Desk,
    document: &Document,
    format: Format,
    patterns: &mut Patterns,
) -> Vec<Diagnostic> {
    let session = session(desk, document);
    match planning::problems_of(&session, &document.text, format, patterns) {
        Ok(Findings { problems, unused }) => {
            let unused = unused.map(|error| without_config(desk, document, &session, &error));
            let total = problems.iter().map(ends).sum::<usize>();
            let most_related = (ALL_RELATED / total.max(1)).clamp(1, MOST_RELATED);
            let found = problems.iter().flat_map(|problem| shown(document, problem, most_related));
            let all = usize::from(unused.is_some()) + total;
            shown_of(unused.into_iter().chain(found), all)
        }
        Err(error) => vec![unchecked(document, &format!("this plan cannot be checked: {error}"), HINT, None)],
    }
}

const HINT: &str = "kapell doctor tells what is wrong with the project around it";

/// The configuration cannot be used, so the plan was not held against it. Leads to the first mistake there.
fn without_config(desk: &Desk, document: &Document, session: &Session, error: &Error) -> Diagnostic {
    let found = || {
        let files = Files::read(&session.house, &session.project().ok()?).ok()?;
        let problem = files.first_error()?;
        // Columns count as in any other document.
        let text = files.text(&problem.file)?;
        let lines = Lines::of(text);
        let offset = |line, column| lines.offset_of(text, Place::new(line, column));
        let (start, end) =
            (offset(problem.line, problem.column), offset(problem.end_line, problem.end_column));
        let range = lines.range(text, &(start..end.max(start)), desk.settings().encoding);
        let location = Location::new(Uri::from_file_path(&problem.file)?, range);
        Some(DiagnosticRelatedInformation { location, message: problem.message })
    };
    let message = format!("who does it, and what the rules want, was not checked: {error}");
    unchecked(document, &message, "mend the configuration; kapell config check explains it", found())
}

/// Not all of the plan, or nothing, could be held against its project.
fn unchecked(
    document: &Document,
    message: &str,
    hint: &str,
    leads_to: Option<DiagnosticRelatedInformation>,
) -> Diagnostic {
    Diagnostic {
        range: document.range(&document.lines.span(&document.text, 0)),
        severity: Some(DiagnosticSeverity::WARNING),
        code: Some(NumberOrString::String("unchecked".to_owned())),
        source: Some(SOURCE.to_owned()),
        message: format!("{message}\n{hint}"),
        related_information: leads_to.map(|place| vec![place]),
        data: Some(json!({"hint": hint})),
        ..Diagnostic::default()
    }
}

/// At how many places a problem is shown: an overlap at both patterns, a cycle at every edge.
fn ends(problem: &Problem) -> usize {
    let has_many_ends = matches!(problem.code, ProblemCode::Overlap | ProblemCode::Cycle);
    if has_many_ends { (1 + problem.related.len()).min(MOST_ENDS) } else { 1 }
}

/// A problem at every place that it has.
fn shown<'d>(
    document: &'d Document,
    problem: &'d Problem,
    most_related: usize,
) -> impl Iterator<Item = Diagnostic> + 'd {
    let main = problem.place.unwrap_or(Place::START);
    let places: Vec<Place> = std::iter::once(main).chain(problem.related.iter().copied()).collect();
    (0..ends(problem)).map(move |at| {
        // The next ones first: a cycle is followed.
        let others = places.iter().cycle().skip(at + 1).take(places.len() - 1);
        let others = others.take(most_related).copied().collect();
        let message = if at == 0 { Cow::Borrowed(problem.message.as_str()) } else { begun(&problem.message) };
        diagnostic(document, problem, &message, places[at], others)
    })
}

/// A message that was told elsewhere, as far as it is repeated.
fn begun(message: &str) -> Cow<'_, str> {
    match message.char_indices().nth(LONGEST_REPEATED) {
        Some((end, _)) => Cow::Owned(format!("{} …", &message[..end])),
        None => Cow::Borrowed(message),
    }
}

fn diagnostic(
    document: &Document,
    problem: &Problem,
    message: &str,
    at: Place,
    others: Vec<Place>,
) -> Diagnostic {
    let related = others.iter().copied().map(|place| DiagnosticRelatedInformation {
        location: Location::new(document.uri.clone(), document.range(&span(document, place))),
        message: match problem.code {
            ProblemCode::Overlap => "the other task owns it here".to_owned(),
            ProblemCode::Cycle => "the cycle goes on here".to_owned(),
            ProblemCode::DuplicateId => "the id was given here first".to_owned(),
            _ => "this belongs to it".to_owned(),
        },
    });
    let related: Vec<_> = related.collect();
    let mut data = json!({"hint": problem.hint});
    let tasks: Vec<String> = std::iter::once(at)
        .chain(others)
        .filter_map(|place| task_at(document, document.lines.offset_of(&document.text, place)))
        .collect();
    if let Value::Object(data) = &mut data {
        if matches!(problem.code, ProblemCode::Overlap | ProblemCode::Cycle) {
            data.insert("tasks".to_owned(), json!(tasks));
        }
        data.extend(problem.task.as_ref().map(|task| ("task".to_owned(), json!(task.as_str()))));
        data.extend(problem.path.as_ref().map(|path| ("path".to_owned(), json!(path))));
    }
    Diagnostic {
        range: document.range(&span(document, at)),
        severity: Some(match problem.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
        }),
        code: Some(NumberOrString::String(problem.code.as_str().to_owned())),
        source: Some(SOURCE.to_owned()),
        message: format!("{message}\n{}", problem.hint),
        related_information: (!related.is_empty()).then_some(related),
        data: Some(data),
        ..Diagnostic::default()
    }
}

/// The text that begins at a place: a value or a key. Of a map or list that takes several lines the first.
pub fn span(document: &Document, place: Place) -> Span<usize> {
    let text = &document.text;
    let mut start = document.lines.offset_of(text, place);
    let known = document.outline().and_then(|root| root.starting_at(start));
    let line_end = document.lines.span(text, document.lines.line_of(start)).end;
    let end = match known {
        Some(known) if !known.is_empty() => known.end.min(line_end.max(start)),
        // A mistake in the syntax stands at no value: what follows up to a blank is meant.
        _ => {
            let rest = &text[start..line_end.max(start)];
            let blanks = rest.len() - rest.trim_start().len();
            if blanks > 0 && blanks < rest.len() {
                start += blanks;
            }
            let rest = &text[start..line_end.max(start)];
            let length = rest.find(char::is_whitespace).filter(|length| *length > 0);
            start + length.unwrap_or(rest.len())
        }
    };
    if end > start {
        return start..end;
    }
    // At the end of a line what stands before it is what can be seen.
    let before = floor(text, start.saturating_sub(1));
    let is_line_end = text[before..start].chars().all(|c| c != '\n' && c != '\r');
    if is_line_end { before..start } else { start..start }
}

/// The id of the task that an offset lies in.
fn task_at(document: &Document, offset: usize) -> Option<String> {
    let all = document.outline()?.get("tasks")?.items();
    // In order, and asked for often in a long plan.
    let before = all.partition_point(|task| task.span.start <= offset);
    let task = all[..before].last().filter(|task| offset < task.span.end)?;
    task.get("id")?.text().map(str::to_owned)
}

/// The tasks of a plan that are maps, in order.
pub fn tasks(root: &Item) -> Vec<&Item> {
    let tasks = root.get("tasks").map(Item::items).unwrap_or_default();
    tasks.iter().filter(|task| matches!(task.shape, Shape::Map(_))).collect()
}
