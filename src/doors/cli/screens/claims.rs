//! Who owns what.

use super::*;
use crate::api::wire::{ClaimConflict, ClaimFilesResult, ClaimStatus, ReleaseFilesResult};

/// Result of `claim-files`.
pub fn claim_files(view: &View, result: &ClaimFilesResult) -> String {
    view.page(|page| {
        if !result.granted {
            page.line(&[span(Style::Bad, "not granted")]);
            if result.conflicts.is_empty() {
                page.wrapped(&plain("  "), Style::Plain, "nobody holds it, but somebody asked first");
            }
            result.conflicts.iter().for_each(|conflict| in_the_way(view, page, conflict));
            if let Some(note) = &result.note {
                page.wrapped(&[], Style::Warn, note);
            }
            return;
        }
        if result.claims.is_empty() {
            page.line(&[span(Style::Good, "free")]);
            return;
        }
        let mut table = Table::new(
            0,
            [
                Column::number("CLAIM", Give::Keep),
                Column::new("PATH", Give::Shrink),
                Column::new("MODE", Give::Drop(2)),
                Column::new("RUNS OUT", Give::Drop(1)),
            ],
        );
        for claim in &result.claims {
            table.row([
                plain(claim.claim_id.to_string()),
                cell(Style::Good, &claim.pattern),
                plain(&claim.mode),
                plain(view.distance(&claim.expires_at)),
            ]);
        }
        page.table(&table);
        if let Some(note) = &result.note {
            page.wrapped(&[], Style::Warn, note);
        }
    })
}

/// A claim in the way, and whose it is.
fn in_the_way(view: &View, page: &mut Page, conflict: &ClaimConflict) {
    let held = view.length_since(&conflict.since);
    let expires = view.distance(&conflict.expires_at);
    let who = match &conflict.task {
        Some(task) => format!("{} ({}, task {task})", conflict.holder, conflict.holder_kind),
        None => format!("{} ({})", conflict.holder, conflict.holder_kind),
    };
    page.line(&[span(Style::Plain, "  "), span(Style::Strong, &conflict.pattern)]);
    let through = if conflict.held_pattern == conflict.pattern {
        String::new()
    } else {
        format!(" through {}", conflict.held_pattern)
    };
    page.wrapped(
        &plain("    "),
        Style::Plain,
        &format!("held {held} by {who}{through}; runs out {expires} unless renewed"),
    );
    if conflict.witness != conflict.pattern {
        page.wrapped(&plain("    "), Style::Plain, &format!("both own {}", conflict.witness));
    }
    if let Some(reason) = &conflict.reason {
        page.wrapped(&cell(Style::Faint, "    why: "), Style::Plain, reason);
    }
}

/// Result of `release-files`.
pub fn release_files(view: &View, result: &ReleaseFilesResult) -> String {
    view.page(|page| {
        if !result.withdrawn.is_empty() {
            let patterns = result.withdrawn.join(", ");
            page.wrapped(&[], Style::Plain, &format!("no longer waited for: {patterns}"));
        }
        match result.released.as_slice() {
            [] if !result.withdrawn.is_empty() && result.still_held.is_empty() => {}
            [] if result.still_held.is_empty() => {
                page.line(&[span(Style::Faint, "nothing of that was held")]);
            }
            [] => page.line(&[span(Style::Bad, "nothing was released")]),
            ids => {
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                let noun = if ids.len() == 1 { "released claim" } else { "released claims" };
                page.wrapped(&[], Style::Plain, &format!("{noun} {}", ids.join(", ")));
            }
        }
        if !result.still_held.is_empty() {
            page.line(&[span(Style::Warn, "still held")]);
            result.still_held.iter().for_each(|conflict| in_the_way(view, page, conflict));
        }
    })
}

/// Scope `claims`.
pub fn claims(view: &View, claims: &[ClaimStatus]) -> String {
    view.page(|page| {
        if claims.is_empty() {
            page.line(&[span(Style::Faint, "nobody holds anything")]);
            return;
        }
        let mut table = Table::new(
            0,
            [
                Column::number("CLAIM", Give::Drop(4)),
                Column::new("PATH", Give::Shrink),
                Column::new("HOLDER", Give::Shrink),
                Column::new("KIND", Give::Drop(3)),
                Column::new("MODE", Give::Drop(2)),
                Column::new("SINCE", Give::Drop(5)),
                Column::new("RUNS OUT", Give::Drop(6)),
                Column::new("WHY", Give::Drop(1)),
            ],
        );
        for claim in claims {
            // A holder that is proved dead no longer protects anything.
            let holder = if claim.alive == Some(false) {
                vec![span(Style::Plain, &claim.holder), span(Style::Warn, " (gone)")]
            } else {
                plain(&claim.holder)
            };
            let why = claim.reason.as_ref().or(claim.task.as_ref());
            table.row([
                plain(claim.claim_id.to_string()),
                cell(Style::Strong, &claim.pattern),
                holder,
                plain(&claim.holder_kind),
                plain(&claim.mode),
                plain(view.distance(&claim.since)),
                plain(view.distance(&claim.expires_at)),
                why.map(|why| sentence(Style::Plain, why)).unwrap_or_default(),
            ]);
        }
        page.table(&table);
    })
}
