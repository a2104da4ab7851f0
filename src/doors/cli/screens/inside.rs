//! What a worker sees of its own calls.

use super::*;
use crate::api::wire::{CheckpointResult, ReportResult};

/// Result of `checkpoint`.
pub fn checkpoint(view: &View, result: &CheckpointResult) -> String {
    view.page(|page| {
        let count = result.changed.len();
        let noun = if count == 1 { "changed path" } else { "changed paths" };
        page.wrapped(&[], Style::Plain, &format!("saved {count} {noun} under {}", result.reference));
        for outside in &result.outside_claim {
            let line = format!("{} {}", outside.path, outside.why);
            page.wrapped(&[span(Style::Bad, "would not land: ")], Style::Plain, &line);
        }
    })
}

/// Result of `report`.
pub fn report(view: &View, result: &ReportResult) -> String {
    view.page(|page| page.wrapped(&[], Style::Plain, &format!("told as event {}", result.seq)))
}
