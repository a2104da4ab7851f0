//! Events on the wire.

use crate::api::wire::EventStatus;
use crate::store::events::EventRow;

/// An event's text is one line for people; more of it than this is in its data.
const LONGEST_TEXT: usize = 400;

/// An event as every door shows it.
pub fn event(row: &EventRow) -> EventStatus {
    EventStatus {
        seq: row.seq,
        at: row.at.to_string(),
        kind: row.kind.clone(),
        plan_id: row.plan.clone(),
        task: row.task.clone(),
        attempt: row.attempt.clone(),
        holder: row.holder.clone(),
        text: row.text.chars().take(LONGEST_TEXT).collect(),
        data: row.data.as_deref().and_then(|data| serde_json::from_str(data).ok()),
    }
}
