//! What is known of what stands in a plan: files that a pattern matches and who holds them, how far a
//! task is, what a key means.

use super::super::desk::Desk;
use super::super::documents::{Document, Kind};
use super::super::owned;
use super::super::schema;
use super::super::types::{Hover, HoverContents, MarkupContent, MarkupKind, Position};
use super::navigation::id_at;
use super::stored::{self, Stored};
use super::surroundings::{names, session};
use crate::api::methods::claims;
use crate::base::paths::RepoPath;
use crate::base::sorting;
use crate::domain::overlap::overlap_of;
use crate::domain::pattern::Pattern;
use crate::domain::plan::outline::{End, Item, Shape, Step};
use crate::services::Session;
use crate::services::project::Project;
use crate::sys::tree;

/// As many files are named.
const SHOWN: usize = 15;
/// As many claims are looked at.
const CLAIMS: usize = 2000;

/// What is known of what stands at a position.
pub fn hover(desk: &Desk, document: &Document, position: Position) -> Option<Hover> {
    let Kind::Plan(_) = document.kind else { return None };
    let offset = document.offset(position);
    let root = document.outline()?;
    let way = root.way_to(offset);
    let mut path: Vec<&str> = way
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(*key),
            Step::Item(_) => None,
        })
        .collect();
    let (text, span) = match way.end {
        End::Key(_, entry) => {
            path.push(&entry.key);
            let about = schema::description(schema::at(&schema::PLAN, &path)?);
            (format!("`{}`: {about}", entry.key), entry.key_span.clone())
        }
        End::Value(item @ Item { shape: Shape::Scalar(text), span }) => {
            let session = session(desk, document);
            let known = match path.as_slice() {
                ["tasks", "files" | "tests" | "reads"] | ["specs", "file"] => of_pattern(&session, text),
                ["tasks", "id" | "depends_on"] => {
                    of_task(&session, document, root, id_at(root, offset)?.text()?)
                }
                ["tasks", "agent" | "target" | "role"] | [.., "rules", "review"] => of_name(&session, text),
                _ => None,
            };
            let _ = item;
            (known?, span.clone())
        }
        End::Value(_) => return None,
    };
    Some(Hover {
        contents: HoverContents::Markup(MarkupContent { kind: MarkupKind::Markdown, value: text }),
        range: Some(document.range(&span)),
    })
}

fn of_pattern(session: &Session, text: &str) -> Option<String> {
    let pattern = match Pattern::parse(text) {
        Ok(pattern) => pattern,
        Err(bad) => return Some(format!("`{text}` cannot be owned: {}. {}", bad.reason, bad.hint)),
    };
    let project = session.project().ok()?;
    let mut files: Vec<RepoPath> = matching(&project, &pattern)?;
    sorting::sort_by(&mut files, |a, b| a.as_bytes().cmp(b.as_bytes()));
    let mut page = match files.len() {
        0 => format!("`{text}` matches no file yet."),
        1 => format!("`{text}` matches one file:"),
        count => format!("`{text}` matches {count} files:"),
    };
    page.push('\n');
    for file in files.iter().take(SHOWN) {
        page.push_str(&format!("\n- `{}`", file.as_str().unwrap_or("?")));
    }
    if files.len() > SHOWN {
        page.push_str(&format!("\n- … and {} more", files.len() - SHOWN));
    }
    page.push('\n');
    if project.repository.is_some() {
        page.push_str(&holders(session, &project, &pattern).unwrap_or_default());
    }
    Some(page)
}

/// The files of a project that a pattern owns now.
pub fn matching(project: &Project, pattern: &Pattern) -> Option<Vec<RepoPath>> {
    let top = project.top.as_deref()?;
    let files = if pattern.is_literal() && !top.join(pattern.literal_path()).is_dir() {
        let is_there = top.join(pattern.literal_path()).symlink_metadata().is_ok();
        Some(RepoPath::from(pattern.literal_path())).filter(|_| is_there).into_iter().collect()
    } else {
        tree::files(top)
    };
    Some(files.into_iter().filter(|file| pattern.contains(file)).collect())
}

fn holders(session: &Session, project: &Project, pattern: &Pattern) -> Option<String> {
    let (claims, _) = claims::all(session, CLAIMS).ok()?;
    let mut lines = String::new();
    for claim in claims {
        let Ok(held) = Pattern::parse(&claim.status.pattern) else { continue };
        let Some(witness) = overlap_of(pattern, &held, &|path| project.is_file(path)) else { continue };
        let whose = if claim.own { "you".to_owned() } else { owned::holder(&claim) };
        lines.push_str(&format!("\n- {whose} as `{}` (`{witness}`)", claim.status.pattern));
    }
    Some(if lines.is_empty() {
        "\nNobody holds any of it.".to_owned()
    } else {
        format!("\nHeld by:\n{lines}")
    })
}

fn of_task(session: &Session, document: &Document, root: &Item, id: &str) -> Option<String> {
    let task = super::checking::tasks(root)
        .into_iter()
        .find(|task| super::navigation::id_of(task).is_some_and(|own| own.text() == Some(id)));
    let Some(task) = task else { return Some(format!("This plan has no task {id}.")) };
    let text = task.get("task").and_then(Item::text).unwrap_or_default();
    let mut page = format!("**Task {id}** {text}\n");
    let Some(Stored { view, tasks }) = stored::of(session, document) else {
        page.push_str("\nThis plan was not stored yet.");
        return Some(page);
    };
    match tasks.iter().find(|task| task.row.id.as_str() == id) {
        None => page.push_str(&format!("\nPlan `{}` has no such task.", view.row.id)),
        Some(task) => {
            page.push_str(&format!("\nIn plan `{}`: **{}**", view.row.id, task.row.state.as_str()));
            if let Some(reason) = &task.row.reason {
                page.push_str(&format!(", {reason}"));
            }
            if let Some(last) = &task.last {
                let outcome = last.state.outcome().map_or(last.state.as_str(), |outcome| outcome.as_str());
                let verdict =
                    last.verdict.map(|verdict| format!(", {}", verdict.as_str())).unwrap_or_default();
                page.push_str(&format!(
                    "\n\nTry {} by {}: {outcome}{verdict} (`{}`)",
                    last.number, last.worker, last.id
                ));
                if let Some(said) = &last.said {
                    page.push_str(&format!(
                        "\n\n> {}",
                        said.chars().take(500).collect::<String>().replace('\n', "\n> ")
                    ));
                }
            }
            if let Some(commit) = &task.row.committed {
                page.push_str(&format!("\n\nLanded as `{commit}`."));
            }
        }
    }
    Some(page)
}

fn of_name(session: &Session, name: &str) -> Option<String> {
    let names = names(session);
    let known = names.targets.iter().chain(&names.roles).find(|(known, _)| known == name);
    let (name, what) = known?;
    Some(format!("`{name}`: {what}"))
}
