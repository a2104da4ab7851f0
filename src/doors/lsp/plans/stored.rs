//! The stored plan that a file became: the newest of its name.

use super::super::documents::Document;
use crate::domain::plan::outline::Item;
use crate::services::Session;
use crate::services::querying::{self, PlanView, TaskView};

/// As many plans are looked through.
const PLANS: usize = 200;
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

/// The newest stored plan of a document's name.
pub fn of(session: &Session, document: &Document) -> Option<Stored> {
    let stem = document.path.as_ref()?.file_stem()?.to_str()?.to_owned();
    let said = document.outline().and_then(|root| root.get("name")).and_then(Item::text).map(str::trim);
    let name = said.filter(|name| !name.is_empty()).map_or(stem, str::to_owned);
    let project = session.project().ok()?;
    let view =
        querying::plans(session, &project, PLANS).ok()?.into_iter().find(|view| view.row.name == name)?;
    let tasks = querying::tasks(session, &view.row.id, -1, TASKS).ok()?;
    Some(Stored { view, tasks })
}
