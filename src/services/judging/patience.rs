//! Work is no worse for a reviewer that cannot be asked now: its money is spent or set aside, or its provider is
//! limited. A conductor waits until it can be, so that no night's plan fails for it.

use std::time::Instant;

use super::Case;
use crate::base::ids::{ProviderName, TaskId};
use crate::domain::refusal::{Code, Refusal};
use crate::domain::task::TaskState;
use crate::services::Error;
use crate::services::conductor::desk::Desk;
use crate::services::project::Files;
use crate::services::spending::questions::{self, NotYet};
use crate::store::Tx;
use crate::store::watch::Watch;
use crate::sys::config::Config;

/// Waits until a provider may be asked that refused; the configuration by which it may be. `None` where nobody waits
/// for that, or the task is not judged any more.
pub(super) fn wait(
    case: &Case<'_>,
    provider: &ProviderName,
    refusal: &Refusal,
) -> Result<Option<Config>, Error> {
    let (Some(desk), Some((plan, Some(task)))) = (case.waits, case.of()) else { return Ok(None) };
    if !matches!(refusal.code, Code::OverBudget | Code::RateLimited) {
        return Ok(None);
    }
    let session = &desk.session;
    let watch = Watch::new(&session.house.root)?;
    let mut files = Files::of(session, case.project);
    let mut config = session.config_at_work(case.project)?;
    let mut told = None;
    loop {
        // Looked at first: mostly nothing is to be recorded.
        let look = |tx: &Tx<'_>| -> Result<_, Error> {
            let state = tx.task(plan, task)?.map(|row| row.state);
            Ok((state, questions::not_yet(tx, &config, case.project, provider, case.of())?))
        };
        let (state, not_yet) = desk.store()?.read(look)?;
        let unpaid = not_yet.as_ref().and_then(|it| it.unpaid.as_deref());
        let goes_on = !desk.is_stopping() && state == Some(TaskState::Judging);
        desk.note_unpaid(task, unpaid.filter(|_| goes_on));
        if !goes_on {
            return Ok(None);
        }
        let Some(not_yet) = not_yet else {
            desk.write(|tx| tx.set_task_reason(plan, task, None))?;
            return Ok(Some(config));
        };
        let at = not_yet.until;
        if told.as_ref() != Some(&not_yet) {
            desk.write(|tx| tell(tx, desk, task, &not_yet))?;
            told = Some(not_yet);
        }
        // Whatever is settled, stopped or called off is recorded, and wakes this; so does the conductor's heartbeat,
        // after which also a clock that was set is seen.
        watch.wait(Some(Instant::now() + at.from_now()));
        let now = Files::of(session, case.project);
        if now != files {
            files = now;
            config = session.config_at_work(case.project)?;
        }
    }
}

/// Says for what a review waits.
fn tell(tx: &Tx<'_>, desk: &Desk, task: &TaskId, not_yet: &NotYet) -> Result<(), Error> {
    let plan = &desk.plan_id;
    if tx.task(plan, task)?.is_none_or(|row| row.state != TaskState::Judging) {
        return Ok(());
    }
    desk.give_reason(tx, task, &format!("review: {}", not_yet.why))
}
