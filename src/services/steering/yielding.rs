//! Ending an attempt whose files a person takes over: its task stays dispatched, and waits for them.

use std::path::Path;

use crate::base::ids::AttemptId;
use crate::domain::attempt::AttemptState;
use crate::services::project::Project;
use crate::services::{Error, Session, dispatching};
use crate::sys::shim::client;
use crate::sys::shim::job::Request;

/// Ends an attempt, with its work saved first. Unlike one that is stopped for its own sake its task goes on as soon
/// as its files are free again: nobody said that it is not wanted any more.
pub(in crate::services) fn make_way(
    session: &Session,
    project: &Project,
    id: &AttemptId,
) -> Result<(), Error> {
    let attempt = session.store()?.write(|tx| -> Result<_, Error> {
        let Some(attempt) = tx.attempt(id)?.filter(|attempt| attempt.state.outcome().is_none()) else {
            // It ended by itself in between.
            return Ok(None);
        };
        tx.set_attempt_state(id, AttemptState::Stopping)?;
        Ok(Some(attempt))
    })?;
    let Some(attempt) = attempt else { return Ok(()) };
    // Sent at once as well: it is the same whether the conductor or this comes first.
    let _ = client::send(Path::new(&attempt.run_dir), Request::Stop { grace_ms: None });
    // Somebody has to save what it did.
    dispatching::ensure_conductor(session, project, &attempt.plan, false)?;
    Ok(())
}
