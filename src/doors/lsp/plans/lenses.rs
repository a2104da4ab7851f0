//! What can be done with a plan, above its first line; how far its tasks are, above each.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::desk::Desk;
use super::super::documents::{Document, Kind};
use super::super::types::{CodeLens, Command};
use super::checking::tasks;
use super::navigation::id_of;
use super::stored::{self, Stored};
use super::surroundings::session;
use crate::domain::conducting::PlanState;
use crate::services::querying::TaskView;

/// The lenses of a plan.
pub fn lenses(desk: &Desk, document: &Document) -> Vec<CodeLens> {
    let Kind::Plan(_) = document.kind else { return Vec::new() };
    let session = session(desk, document);
    let stored = stored::same_or_newest(&session, document);
    let top = document.range(&(0..0));
    let lens = |range, title: String, command: &str, argument: Value| CodeLens {
        range,
        command: Some(Command {
            title,
            command: command.to_owned(),
            arguments: Some(vec![argument, json!({"uri": document.uri})]),
        }),
        data: None,
    };
    let about = json!({"uri": document.uri});
    let mut lenses = vec![lens(top, "Check".to_owned(), "kapell.checkPlan", about.clone())];
    // What is begun is not begun a second time: its work would be done and paid for twice.
    let is_begun = |(stored, is_same): &(Stored, bool)| *is_same && stored.view.state != PlanState::Draft;
    if !stored.as_ref().is_some_and(is_begun) {
        lenses.push(lens(top, "Dispatch".to_owned(), "kapell.dispatchPlan", about));
    }
    let Some((Stored { view, tasks: known }, _)) = stored else { return lenses };
    let id = view.row.id.as_str();
    let control = |action: &str| json!({"action": action, "target": id});
    match view.state {
        PlanState::Running => {
            lenses.push(lens(top, "Pause".to_owned(), "kapell.control", control("pause")));
            lenses.push(lens(top, "Stop".to_owned(), "kapell.control", control("stop")));
        }
        PlanState::Paused | PlanState::Stopped => {
            lenses.push(lens(top, "Resume".to_owned(), "kapell.control", control("resume")));
        }
        PlanState::Draft | PlanState::Done | PlanState::Failed => {}
    }
    if view.state != PlanState::Draft {
        lenses.push(lens(top, "Judge".to_owned(), "kapell.judge", json!({"plan_id": id})));
        lenses.push(lens(top, "Land".to_owned(), "kapell.control", control("land")));
    }
    let title = format!("{}: {}", view.row.id, view.state.as_str());
    lenses.push(lens(top, title, "kapell.ui.openPlan", json!({"plan_id": id})));
    let Some(root) = document.outline() else { return lenses };
    let known: HashMap<&str, &TaskView> = known.iter().map(|known| (known.row.id.as_str(), known)).collect();
    for task in tasks(root) {
        let Some(text) = id_of(task).and_then(|id| id.text()) else { continue };
        let Some(known) = known.get(text) else { continue };
        let by = known.last.as_ref().map(|last| format!(" by {}", last.worker)).unwrap_or_default();
        let title = format!("{}{by}", known.row.state.as_str());
        let attempt = known.last.as_ref().map(|last| last.id.as_str());
        let argument = json!({"plan_id": id, "task": text, "attempt": attempt});
        let at = document.range(&(task.span.start..task.span.start));
        lenses.push(lens(at, title, "kapell.ui.openTask", argument));
    }
    lenses
}
