//! Waiting no longer: whoever asked for files and can do without them says so, from any door.

use super::waiting;
use crate::base::ids::HolderName;
use crate::domain::claim::{Held, HolderKind};
use crate::domain::pattern::Pattern;
use crate::services::project::Project;
use crate::services::{Error, Session};

/// Ends the waits of the caller, or of `holder`, for any of these patterns that was not let go of just now, and
/// gives the patterns. Whoever waits in the call that asked is answered at once.
pub fn withdraw(
    session: &Session,
    project: &Project,
    asked: &[Pattern],
    released: &[Held],
    holder: Option<&HolderName>,
) -> Result<Vec<Pattern>, Error> {
    let caller = &session.caller.holder;
    let name = holder.unwrap_or(&caller.name);
    // A person waits no longer only by their own word; for a script, which nothing proves, anybody speaks.
    let is_own = |kind: HolderKind| {
        kind == caller.kind || kind == HolderKind::Agent && caller.kind == HolderKind::Person
    };
    let is_meant = |pattern: &Pattern| {
        asked.contains(pattern) && released.iter().all(|released| released.pattern != *pattern)
    };
    // Mostly nobody waits, and nobody's turn to write is taken for that.
    let waits = session.store()?.read(|tx| waiting::living(tx, &project.id))?;
    let mut ended = waits.into_iter().filter(|wait| {
        wait.holder.name == *name && is_own(wait.holder.kind) && wait.patterns.iter().any(is_meant)
    });
    let Some(first) = ended.next() else { return Ok(Vec::new()) };
    let ended: Vec<_> = std::iter::once(first).chain(ended).collect();
    session.store()?.write(|tx| -> Result<(), Error> {
        for wait in &ended {
            tx.withdraw_wait(&project.id, wait)?;
        }
        Ok(())
    })?;
    let mut patterns: Vec<Pattern> =
        ended.into_iter().flat_map(|wait| wait.patterns).filter(is_meant).collect();
    patterns.dedup();
    Ok(patterns)
}
