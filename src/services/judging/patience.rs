//! Work is no worse for a reviewer that cannot be asked now: its money is spent or set aside, or its provider is
//! limited. A conductor waits until it can be, so that no night's plan fails for it.

use std::time::Instant;

use super::Case;
use crate::base::ids::ProviderName;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::task::TaskState;
use crate::services::Error;
use crate::services::project::Files;
use crate::services::spending::questions;
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
    desk.write(|tx| desk.give_reason(tx, task, &format!("review: {}", refusal.message)))?;
    let mut files = Files::of(session, case.project);
    let mut config = session.config_at_work(case.project)?;
    loop {
        let (state, at) = desk.store()?.read(|tx| -> Result<_, Error> {
            let state = tx.task(plan, task)?.map(|row| row.state);
            Ok((state, questions::asked_again_at(tx, &config, case.project, provider, case.of())?))
        })?;
        if desk.is_stopping() || state != Some(TaskState::Judging) {
            return Ok(None);
        }
        let Some(at) = at else {
            desk.write(|tx| tx.set_task_reason(plan, task, None))?;
            return Ok(Some(config));
        };
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
