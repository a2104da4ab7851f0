//! The stored plan that a file became: the newest of its name.

use std::collections::HashMap;

use serde_json::Value;

use super::super::documents::{Document, Kind};
use super::checking::tasks;
use super::navigation::id_of;
use crate::base::ids::PlanId;
use crate::domain::conducting::PlanState;
use crate::domain::plan::outline::Item;
use crate::services::querying::{self, PlanView, TaskView};
use crate::services::{Session, planning};

/// As many plans are looked through.
const PLANS: usize = 200;
/// As many of one name are looked into.
const MOST_TRIED: usize = 8;
/// As many tasks are known.
const TASKS: usize = 20_000;

/// A stored plan with its tasks.
#[derive(Debug)]
pub struct Stored {
    /// The plan.
    pub view: PlanView,
    /// Its tasks.
    pub tasks: Vec<TaskView>,
}

/// The newest stored plan that a document became: of its name, with a task that is still in it. Files in two
/// folders may have one name, and the plan of the other one is not to be steered from here.
pub fn of(session: &Session, document: &Document) -> Option<Stored> {
    let root = document.outline()?;
    let tasks = tasks(root);
    let written: HashMap<&str, &str> = tasks
        .iter()
        .filter_map(|task| Some((id_of(task)?.text()?, task.get("task")?.text()?.trim())))
        .collect();
    let is_written = |task: &TaskView| {
        let document: Value = serde_json::from_str(&task.row.document).unwrap_or_default();
        let text = document["task"].as_str().map(str::trim);
        text.is_some() && text == written.get(task.row.id.as_str()).copied()
    };
    named(session, document)?.into_iter().take(MOST_TRIED).find_map(|view| {
        let stored = with_tasks(session, view)?;
        stored.tasks.iter().any(is_written).then_some(stored)
    })
}

/// The plan that came of the very text and is not over, or was stopped and can be resumed, and whether there is one; else that of [`of`].
pub fn same_or_newest(session: &Session, document: &Document) -> Option<(Stored, bool)> {
    let mut named = named(session, document)?;
    let is_meant = |view: &PlanView| !matches!(view.state, PlanState::Done | PlanState::Failed);
    // Only where there could be one it is looked for: the whole plan is read for that.
    let same = if named.iter().any(is_meant) { same(session, document) } else { None };
    match same.and_then(|id| named.iter().position(|view| view.row.id == id)) {
        Some(at) => Some((with_tasks(session, named.swap_remove(at))?, true)),
        None => Some((of(session, document)?, false)),
    }
}

/// The plan that came of the very text of a document and is not over, or was stopped and can be resumed.
fn same(session: &Session, document: &Document) -> Option<PlanId> {
    let Kind::Plan(format) = document.kind else { return None };
    let stem = document.path.as_ref()?.file_stem()?.to_str();
    Some(planning::twin_to_steer(session, &document.text, format, stem).ok()??.id)
}

/// The plans of a document's name, the newest first.
fn named(session: &Session, document: &Document) -> Option<Vec<PlanView>> {
    let stem = document.path.as_ref()?.file_stem()?.to_str()?.to_owned();
    let said = document.outline().and_then(|root| root.get("name")).and_then(Item::text).map(str::trim);
    let name = said.filter(|name| !name.is_empty()).map_or(stem, str::to_owned);
    let project = session.project().ok()?;
    let all = querying::plans(session, &project, PLANS).ok()?;
    Some(all.into_iter().filter(|view| view.row.name == name).collect())
}

fn with_tasks(session: &Session, view: PlanView) -> Option<Stored> {
    let tasks = querying::tasks(session, &view.row.id, -1, TASKS).ok()?;
    Some(Stored { view, tasks })
}
