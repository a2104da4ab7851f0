//! Resources: what can be read and watched by its URI, at every door that reads documents.

use serde_json::{Value, json};

use super::client::{Call, guard};
use super::methods::{events, verdict};
use super::{ApiError, table};
use crate::base::ids::AttemptId;
use crate::services::reading::Side;
use crate::services::{querying, reading};
use crate::store::events::EventRow;

/// How many events are told, unless they are longer than [`LONGEST`].
const EVENTS: usize = 50;
/// Longest list of events in bytes.
const LONGEST: usize = 15 * 1024;

/// What a URI names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// `kapell://overview`
    Overview,
    /// `kapell://claims`
    Claims,
    /// `kapell://events`
    Events,
    /// `kapell://plans/{id}`
    Plan(String),
    /// `kapell://tasks/{plan}/{task}`
    Task(String, String),
    /// `kapell://attempts/{id}/log`
    Log(String),
    /// `kapell://attempts/{id}/diff`
    Diff(String),
    /// `kapell://attempts/{id}/evidence/{gate}`
    Evidence(String, String),
    /// `kapell://attempts/{id}/verdict`
    Verdict(String),
    /// `kapell://attempts/{id}/files/{path}`: a file as the attempt left it.
    After(String, String),
    /// `kapell://attempts/{id}/base/{path}`: the same file where the attempt began.
    Before(String, String),
}

/// What stands at a URI now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its type.
    pub mime_type: &'static str,
    /// The text.
    pub text: String,
}

impl Named {
    /// The attempt that it is about.
    pub fn attempt(&self) -> Option<&str> {
        match self {
            Self::Log(id)
            | Self::Diff(id)
            | Self::Evidence(id, _)
            | Self::Verdict(id)
            | Self::After(id, _)
            | Self::Before(id, _) => Some(id),
            Self::Overview | Self::Claims | Self::Events | Self::Plan(_) | Self::Task(..) => None,
        }
    }

    /// From a URI; `None` for one that is not ours.
    pub fn parse(uri: &str) -> Option<Self> {
        let path = uri.strip_prefix("kapell://")?;
        let parts: Option<Vec<String>> = path.split('/').map(decoded).collect();
        let parts = parts?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        Some(match parts.as_slice() {
            ["overview"] => Self::Overview,
            ["claims"] => Self::Claims,
            ["events"] => Self::Events,
            ["plans", id] => Self::Plan((*id).to_owned()),
            ["tasks", plan, task] => Self::Task((*plan).to_owned(), (*task).to_owned()),
            ["attempts", id, "log"] => Self::Log((*id).to_owned()),
            ["attempts", id, "diff"] => Self::Diff((*id).to_owned()),
            ["attempts", id, "verdict"] => Self::Verdict((*id).to_owned()),
            ["attempts", id, "files", path @ ..] if !path.is_empty() => {
                Self::After((*id).to_owned(), path.join("/"))
            }
            ["attempts", id, "base", path @ ..] if !path.is_empty() => {
                Self::Before((*id).to_owned(), path.join("/"))
            }
            ["attempts", id, "evidence", gate] => Self::Evidence((*id).to_owned(), (*gate).to_owned()),
            _ => return None,
        })
    }

    /// Whether an event may have changed it.
    pub fn is_touched_by(&self, event: &EventRow) -> bool {
        match self {
            Self::Overview | Self::Events => true,
            Self::Claims => event.kind.starts_with("claim."),
            Self::Plan(id) => event.plan.as_ref() == Some(id),
            Self::Task(plan, task) => event.plan.as_ref() == Some(plan) && event.task.as_ref() == Some(task),
            Self::Log(id)
            | Self::Diff(id)
            | Self::Evidence(id, _)
            | Self::Verdict(id)
            | Self::After(id, _)
            | Self::Before(id, _) => event.attempt.as_ref() == Some(id),
        }
    }

    /// Reads it.
    pub fn read(&self, call: &Call) -> Result<Content, ApiError> {
        let (mime_type, text) = match self {
            Self::Overview => ("application/json", status(call, json!({"scope": "overview"}))?),
            Self::Claims => ("application/json", status(call, json!({"scope": "claims"}))?),
            Self::Events => ("application/json", newest_events(call)?),
            Self::Plan(id) => ("application/json", status(call, json!({"scope": "plan", "id": id}))?),
            Self::Task(plan, task) => {
                let id = format!("{plan}/{task}");
                ("application/json", status(call, json!({"scope": "task", "id": id}))?)
            }
            Self::Log(id) => ("text/plain", asked(|| reading::attempt_log(&call.session(), id))?),
            Self::Diff(id) => ("text/x-diff", asked(|| reading::attempt_diff(&call.session(), id))?),
            Self::Verdict(id) => {
                let id = AttemptId::new(id);
                let view = asked(|| querying::attempt_here(&call.session(), &id))?;
                ("text/markdown", verdict::page(&view))
            }
            Self::After(id, path) => {
                ("text/plain", asked(|| reading::attempt_file(&call.session(), id, path, Side::After))?)
            }
            Self::Before(id, path) => {
                ("text/plain", asked(|| reading::attempt_file(&call.session(), id, path, Side::Before))?)
            }
            Self::Evidence(id, gate) => {
                ("text/plain", asked(|| reading::evidence(&call.session(), id, gate))?)
            }
        };
        Ok(Content { mime_type, text })
    }
}

fn asked<T>(read: impl FnOnce() -> Result<T, crate::services::Error>) -> Result<T, ApiError> {
    guard("resources/read", || Ok(read()?))
}

fn status(call: &Call, params: Value) -> Result<String, ApiError> {
    let method = table::find("status").ok_or_else(|| ApiError::unknown_method("status"))?;
    Ok(call.run(method, params)?.to_string())
}

fn newest_events(call: &Call) -> Result<String, ApiError> {
    let rows = guard("resources/read", || Ok(reading::newest_events(&call.session(), EVENTS)?))?;
    let mut shown: Vec<String> = Vec::new();
    let mut length = 0;
    for row in rows.into_iter().rev() {
        let Ok(event) = serde_json::to_string(&events::event(&row)) else { continue };
        length += event.len() + 1;
        if length > LONGEST {
            break;
        }
        shown.push(event);
    }
    shown.reverse();
    Ok(format!("{{\"events\":[{}]}}", shown.join(",")))
}

/// A segment with its `%XX` resolved; `None` where that is no text.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_resources() {
        let of = str::to_owned;
        let table = [
            ("kapell://overview", Some(Named::Overview)),
            ("kapell://plans/p-1", Some(Named::Plan(of("p-1")))),
            ("kapell://tasks/p-1/a%2Fb%20c", Some(Named::Task(of("p-1"), of("a/b c")))),
            ("kapell://attempts/a-1/log", Some(Named::Log(of("a-1")))),
            ("kapell://attempts/a-1/diff", Some(Named::Diff(of("a-1")))),
            ("kapell://attempts/a-1/verdict", Some(Named::Verdict(of("a-1")))),
            ("kapell://attempts/a-1/files/src/a%20b.rs", Some(Named::After(of("a-1"), of("src/a b.rs")))),
            ("kapell://attempts/a-1/base/a.rs", Some(Named::Before(of("a-1"), of("a.rs")))),
            ("kapell://attempts/a-1/base", None),
            ("kapell://attempts/a-1/evidence/lint", Some(Named::Evidence(of("a-1"), of("lint")))),
            ("kapell://plans/", None),
            ("kapell://plans/%", None),
            ("kapell://plans/%zz", None),
            ("kapell://plans/%ff", None),
            ("kapell://plans/%é", None),
            ("kapell://nothing", None),
            ("file:///etc/passwd", None),
            ("", None),
        ];
        for (uri, expected) in table {
            assert_eq!(Named::parse(uri), expected, "{uri}");
        }
    }

    #[test]
    fn an_event_touches_what_it_tells_of() {
        let event = EventRow {
            seq: 1,
            at: crate::base::clock::Time::from_millis(0),
            kind: "task.state".to_owned(),
            plan: Some("p".to_owned()),
            task: Some("1".to_owned()),
            attempt: None,
            holder: None,
            text: String::new(),
            data: None,
        };
        let table = [
            ("kapell://overview", true),
            ("kapell://events", true),
            ("kapell://claims", false),
            ("kapell://plans/p", true),
            ("kapell://plans/q", false),
            ("kapell://tasks/p/1", true),
            ("kapell://tasks/p/2", false),
            ("kapell://attempts/a/log", false),
        ];
        for (uri, expected) in table {
            assert_eq!(Named::parse(uri).unwrap().is_touched_by(&event), expected, "{uri}");
        }
    }
}
