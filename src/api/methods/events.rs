//! Events on the wire.

use crate::api::wire::EventStatus;
use crate::store::events::EventRow;

/// An event as every door shows it.
pub fn event(row: EventRow) -> EventStatus {
    EventStatus {
        seq: row.seq,
        at: row.at.to_string(),
        kind: row.kind,
        plan_id: row.plan,
        task: row.task,
        attempt: row.attempt,
        holder: row.holder,
        text: row.text,
        data: row.data.and_then(|data| serde_json::from_str(&data).ok()),
    }
}
