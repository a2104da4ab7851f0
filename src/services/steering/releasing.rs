//! Letting workers and providers go on that get no tasks: a quarantine, or a limit that was told of.

use super::{Done, refuse};
use crate::base::clock::Time;
use crate::base::ids::{ProviderName, WorkerName};
use crate::domain::refusal::Code;
use crate::services::project::Project;
use crate::services::{Error, Session, querying};
use crate::store::events::NewEvent;

/// Lets a worker go on that is in quarantine, and forgets what it was there for; or a provider, by its name or by
/// that of a worker, that is left alone because of a limit. `None` if neither is so.
pub(super) fn release(session: &Session, project: &Project, target: &str) -> Result<Option<Done>, Error> {
    let worker = WorkerName::new(target);
    let who = session.caller.holder.name.to_string();
    let provider = provider_of(session, project, target);
    let (released, lifted) = session.store()?.write(|tx| -> Result<_, Error> {
        let quarantines = tx.quarantines(&project.id, Time::now())?;
        let released = quarantines.iter().any(|it| it.worker == worker)
            && tx.release_worker(&project.id, &worker, &format!("{who} lets it go on"), true)?;
        let lifted = tx.lift_cooldown(&provider)?;
        if lifted {
            project.ensure(tx)?;
            let text = format!("{provider} is asked again: {who} lets it go on");
            tx.append_event(
                &project.id,
                &NewEvent { kind: "provider.released", text, ..NewEvent::default() },
            )?;
        }
        Ok((released, lifted))
    })?;
    if !released && !lifted {
        return Ok(None);
    }
    let mut told = Vec::new();
    if released {
        told.push(format!("worker {worker} may get tasks again; what it failed at before is forgotten"));
    }
    if lifted {
        told.push(format!("provider {provider} is asked again, whatever limit it told of"));
    }
    // Its money is another matter.
    let unpaid = unpaid(session, project, &provider);
    let state = if unpaid.is_some() { "over-budget" } else { "idle" };
    told.extend(unpaid.map(|(why, next)| format!("it gets none yet, {why}: {next}")));
    Ok(Some(Done { state: state.to_owned(), message: told.join("; "), ..Done::default() }))
}

/// Why a provider gets nothing though it would do it, if its money is spent, and what changes that.
fn unpaid(session: &Session, project: &Project, provider: &ProviderName) -> Option<(String, String)> {
    let config = session.config_at_work(project).ok()?;
    let all = querying::budget(session, &config).ok()?;
    let view = all.into_iter().find(|view| view.provider == provider.as_str())?;
    let why = view.reason?;
    let anew = view.resets_at.map_or_else(String::new, |at| format!(", or wait until {at}"));
    Some((why, format!("raise its limit in [providers.{provider}.budget]{anew}")))
}

/// The provider that a name means: itself, or that of a worker. A configuration that cannot be read names none.
fn provider_of(session: &Session, project: &Project, target: &str) -> ProviderName {
    let config = session.config_at_work(project).ok();
    let worker = config.as_ref().and_then(|config| config.workers.get(&WorkerName::new(target)));
    worker.map_or_else(|| ProviderName::new(target), |worker| worker.provider.clone())
}

/// Why a name that is no plan's means nobody at work, where it is that of a worker or provider.
pub(super) fn nobody(session: &Session, project: &Project, target: &str) -> Option<Error> {
    let config = session.config_at_work(project).ok()?;
    let provider = provider_of(session, project, target);
    let what = if config.workers.contains_key(&WorkerName::new(target)) {
        "worker"
    } else if config.providers.contains_key(&ProviderName::new(target)) {
        "provider"
    } else {
        return None;
    };
    if let Some((why, next)) = unpaid(session, project, &provider) {
        let what = format!("{what} {target} gets no tasks, and a word does not change that: {why}");
        return Some(refuse(Code::OverBudget, what, next));
    }
    let mut seats = config.workers.iter().filter(|(name, worker)| {
        name.as_str() == target || what == "provider" && worker.provider.as_str() == target
    });
    if let Some((_, first)) = seats.next()
        && first.protected
        && seats.all(|(_, worker)| worker.protected)
    {
        return Some(refuse(
            Code::ProtectedWorker,
            format!("{what} {target} is protected: it never gets a task, and is at work on nothing"),
            "its line in kapell.toml says protected = true; kapell fleet shows who gets tasks",
        ));
    }
    Some(refuse(
        Code::Conflict,
        format!("{what} {target} is at work on nothing, and nothing keeps it from getting tasks"),
        "kapell fleet shows who is at work on what; a plan, task or attempt can be named too",
    ))
}
