//! What is lacking around a conductor for a while: room on a disk, a folder that can be written, or the repository
//! itself. Whatever fails for want of it is no fault of a task's, and is tried again until it is there.

use std::time::Duration;

use super::desk::Desk;
use crate::services::Error;
use crate::services::room::{self, Lack, Places};
use crate::store::StoreError;
use crate::store::attempts::AttemptRow;
use crate::store::events::NewEvent;
use crate::sys::disk;

/// The kind of the event by which a conductor says that an attempt waits for that.
pub const LACKING: &str = "attempt.lacking";

/// How long it is before it is tried again: neither room nor a folder that comes back is told by an event.
pub const AGAIN: Duration = Duration::from_secs(2);

/// What is lacking where something failed; `None` if it failed for another reason.
pub fn what(desk: &Desk, error: &Error) -> Option<Lack> {
    let place = &desk.project.place;
    if !place.exists() {
        let what = format!("the repository is not there: {} is gone or not mounted", place.display());
        return Some(Lack { what, stops: "nothing begins", next: "it goes on when it is there" });
    }
    let is_database = matches!(error, Error::Store(StoreError::Sqlite(_) | StoreError::Io { .. }));
    let place = if is_database { None } else { Some(place.as_path()) };
    let places = Places { root: &desk.session.house.root, place };
    let least = if disk::says_full(&error.to_string()) { room::SHORT } else { room::NONE };
    places.full(least).or_else(|| places.lacking())
}

/// What was told of already, so that it is told once.
#[derive(Debug, Default)]
pub struct Teller(Option<String>);

impl Teller {
    /// Says in the log, and among the events where that can be written, what is lacking: to whom it concerns, which
    /// is one attempt or the whole plan.
    pub fn tell(&mut self, desk: &Desk, attempt: Option<&AttemptRow>, lacking: &Lack, error: &Error) {
        if self.0.as_ref() == Some(&lacking.what) {
            return;
        }
        self.0 = Some(lacking.what.clone());
        tracing::warn!("{lacking}; tried again every {} s: {error}", AGAIN.as_secs());
        let next = lacking.next;
        let text = match attempt {
            Some(attempt) => format!("task {}: {lacking}; its work is kept: {next}", attempt.task),
            None => format!("{lacking}; {next}"),
        };
        let told = desk.store().and_then(|store| {
            store.write(|tx| -> Result<(), Error> {
                match attempt {
                    Some(attempt) => tx.tell_of_attempt(attempt, LACKING, text, None)?,
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
