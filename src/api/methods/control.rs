//! `control`.

use crate::api::ApiError;
use crate::api::wire::{Action, ControlParams, ControlResult};
use crate::services::steering::{self, Asked};
use crate::services::{Session, registry};

/// Answers `control`.
#[expect(clippy::needless_pass_by_value, reason = "the table hands over the parameters of every method")]
pub fn call(session: &Session, params: ControlParams) -> Result<ControlResult, ApiError> {
    let project = session.project()?;
    let action = match params.action {
        Action::Pause => steering::Action::Pause,
        Action::Resume => steering::Action::Resume,
        Action::Stop => steering::Action::Stop,
        Action::Cancel => steering::Action::Cancel,
        Action::Retry => steering::Action::Retry,
        Action::Restart => steering::Action::Restart,
        Action::Approve => steering::Action::Approve,
        Action::Land => steering::Action::Land,
        Action::Nudge => steering::Action::Nudge,
        Action::Launch => steering::Action::Launch,
    };
    let asked = Asked {
        force: params.force,
        message: params.message.as_deref(),
        paths: &params.paths,
        budget_usd: params.budget_usd,
    };
    let done = match params.target.as_str() {
        registry::EVERYWHERE => registry::everywhere(session, &project, action, &asked)?,
        target => {
            let meant = registry::meant(session, &project, target)?;
            steering::control(&meant.session, &meant.project, action, &meant.id, &asked)?
        }
    };
    Ok(ControlResult { ack: true, state: done.state, message: done.message, run_ids: done.runs })
}
