//! `control`.

use std::path::PathBuf;

use crate::api::ApiError;
use crate::api::wire::{Action, ControlParams, ControlResult};
use crate::domain::claim::HolderKind;
use crate::domain::refusal::{Code, Refusal};
use crate::services::project::Project;
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
            if meant.project.id != project.id && is_one(&project) && decides_for_a_repository(params.action) {
                refuse_stranger(session, &meant)?;
            }
            steering::control(&meant.session, &meant.project, action, &meant.id, &asked)?
        }
    };
    Ok(ControlResult { ack: true, state: done.state, message: done.message, run_ids: done.runs })
}

/// Whether a door was opened for a project: a script that stands in none may name the plan of any.
fn is_one(project: &Project) -> bool {
    let is_configured = |top: &PathBuf| top.join("kapell.toml").exists();
    project.repository.is_some() || project.top.as_ref().is_some_and(is_configured)
}

/// What changes a repository or gives work up, and not only how fast it goes.
fn decides_for_a_repository(action: Action) -> bool {
    match action {
        Action::Cancel | Action::Retry | Action::Restart | Action::Approve | Action::Land => true,
        Action::Pause | Action::Resume | Action::Stop | Action::Nudge | Action::Launch => false,
    }
}

/// An agent or a script that stands in one project does not decide for another one, whose id it may have by
/// mistake. A person sees all projects on one screen.
fn refuse_stranger(session: &Session, meant: &registry::Meant) -> Result<(), Refusal> {
    let holder = &session.caller.holder;
    if holder.kind == HolderKind::Person {
        return Ok(());
    }
    let folder = meant.session.folder.display();
    let typed = shell_words::join([&*meant.session.folder.to_string_lossy(), "control"]);
    Err(Refusal::new(
        Code::NotAllowed,
        format!(
            "{} belongs to another project, {folder}, and {} was started for this one",
            meant.id, holder.name
        ),
        format!("start kapell mcp or kapell rpc in {folder}; or a person decides: kapell -C {typed}"),
    )
    .with("project", folder))
}
