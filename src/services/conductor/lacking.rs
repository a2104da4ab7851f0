//! What is lacking around a conductor for a while: room on a disk, or the repository itself. Whatever fails
//! for want of it is no fault of a task's, and is tried again until it is there.

use std::path::Path;
use std::time::Duration;

use super::desk::Desk;
use crate::services::{Error, room};
use crate::store::StoreError;
use crate::store::attempts::AttemptRow;
use crate::store::events::NewEvent;
use crate::sys::disk;

/// How long it is before it is tried again: neither room nor a folder that comes back is told by an event.
pub const AGAIN: Duration = Duration::from_secs(2);

/// With less than this a disk is taken at its word where a program says that it is full.
const SHORT: u64 = 256 << 20;

/// What is lacking where something failed; `None` if it failed for another reason.
pub fn what(desk: &Desk, error: &Error) -> Option<String> {
    let place = &desk.project.place;
    if !place.exists() {
        return Some(format!("the repository is not there: {} is gone or not mounted", place.display()));
    }
    let root = &desk.session.house.root;
    // Whatever is written was too large for what is left; elsewhere there may be room.
    let least = if disk::says_full(&error.to_string()) { SHORT } else { room::NONE };
    let is_database = matches!(error, Error::Store(StoreError::Sqlite(_) | StoreError::Io { .. }));
    let places = [root, place].into_iter().take(if is_database { 1 } else { 2 });
    places.into_iter().find(|place| has_less(place, least)).map(|place| room::full(place))
}

fn has_less(place: &Path, least: u64) -> bool {
    disk::room(place).is_ok_and(|(bytes, _)| bytes < least)
}

/// What was told of already, so that it is told once.
#[derive(Debug, Default)]
pub struct Teller(Option<String>);

impl Teller {
    /// Says in the log, and among the events where that can be written, what is lacking: to whom it concerns, which
    /// is one attempt or the whole plan.
    pub fn tell(&mut self, desk: &Desk, attempt: Option<&AttemptRow>, lacking: &str, error: &Error) {
        if self.0.as_deref() == Some(lacking) {
            return;
        }
        self.0 = Some(lacking.to_owned());
        tracing::warn!("{lacking}; tried again every {} s: {error}", AGAIN.as_secs());
        let text = match attempt {
            Some(attempt) => {
                format!("task {}: {lacking}; its work is kept, and goes on when it is there", attempt.task)
            }
            None => format!("{lacking}; the plan goes on when it is there"),
        };
        let told = desk.store().and_then(|store| {
            store.write(|tx| -> Result<(), Error> {
                match attempt {
                    Some(attempt) => tx.tell_of_attempt(attempt, "attempt.lacking", text, None)?,
                    None => {
                        let plan = Some(&desk.plan_id);
                        let event = NewEvent { kind: "plan.lacking", plan, text, ..NewEvent::default() };
                        tx.append_event(&desk.project.id, &event)?;
                    }
                }
                Ok(())
            })
        });
        if let Err(error) = told {
            // Said again when it can be.
            self.0 = None;
            tracing::warn!("that cannot be recorded: {error}");
        }
    }
}
