//! `environments`.

use std::path::PathBuf;

use crate::api::ApiError;
use crate::api::wire::{
    AtWork, BackupStatus, EnvironmentFailure, EnvironmentStatus, EnvironmentTotals, EnvironmentsAction,
    EnvironmentsParams, EnvironmentsResult, GitCommit, GitFile, GitOutcome, SubEnvironmentStatus,
};
use crate::services::Session;
use crate::services::environments::backing::{self, Backup};
use crate::services::environments::caring::{self, Anew, Checked};
use crate::services::environments::git::Gave;
use crate::services::environments::viewing::{self, SubView, View};
use crate::services::environments::{Failed, creating, git, removing, running};

/// Lines of a log, unless told.
const LINES: u32 = 50;

/// Answers `environments`.
pub fn call(session: &Session, params: EnvironmentsParams) -> Result<EnvironmentsResult, ApiError> {
    let EnvironmentsParams { action, name, sub, count, names, git: command, which, force } = params;
    let (name, sub) = (name.as_deref(), sub.as_deref());
    Ok(match action {
        EnvironmentsAction::List | EnvironmentsAction::Status => {
            let mut views = viewing::list(session, name)?;
            if let Some(sub) = sub {
                if let (Some(_), [only]) = (name, views.as_slice()) {
                    running::known_sub(&only.row, sub)?;
                }
                views.iter_mut().for_each(|view| view.subs.retain(|it| it.name == sub));
            }
            EnvironmentsResult { environments: views.iter().map(status).collect(), ..empty() }
        }
        EnvironmentsAction::Create => {
            let mut all: Vec<String> = name.map(str::to_owned).into_iter().collect();
            all.extend(names);
            let (views, failed) = creating::create(session, &all, count)?;
            told(&views, failed)
        }
        EnvironmentsAction::Launch | EnvironmentsAction::Restart => {
            let anew = action == EnvironmentsAction::Restart;
            let (views, failed) = running::launch(session, name, sub, anew, force)?;
            told(&views, failed)
        }
        EnvironmentsAction::Stop => {
            let (views, failed) = running::stop(session, name, sub)?;
            told(&views, failed)
        }
        EnvironmentsAction::Logs => {
            let lines = usize::try_from(count.unwrap_or(LINES)).unwrap_or(usize::MAX);
            let (view, log) = running::logs(session, needed(name)?, sub, lines)?;
            EnvironmentsResult { environments: vec![status(&view)], log: Some(log), ..empty() }
        }
        EnvironmentsAction::Remove => {
            let removed = removing::remove(session, needed(name)?, force)?;
            EnvironmentsResult {
                message: Some(format!("{} is removed", removed.name)),
                kept: removed.kept,
                ..empty()
            }
        }
        EnvironmentsAction::Export => {
            EnvironmentsResult { export: Some(creating::export(session)?), ..empty() }
        }
        EnvironmentsAction::Git => {
            let command = command.ok_or_else(|| {
                let hint = format!("git: {{verb, args}} with a verb of {}", git::VERBS.join(", "));
                ApiError::invalid_params("no verb of git is given", hint)
            })?;
            let gave = git::git(session, needed(name)?, &command.verb, &command.args)?;
            EnvironmentsResult { git: vec![outcome(gave)], ..empty() }
        }
        EnvironmentsAction::Sync => {
            let (gave, failed) = git::sync(session, name)?;
            EnvironmentsResult {
                git: gave.into_iter().map(outcome).collect(),
                failed: failed.into_iter().map(failure).collect(),
                ..empty()
            }
        }
        EnvironmentsAction::Health => monitored(&caring::monitor(session, name)?),
        EnvironmentsAction::Maintain => {
            let maintained = caring::maintain(session, which.as_deref())?;
            EnvironmentsResult {
                message: Some(maintained.done.join("\n")),
                failed: maintained.failed.into_iter().map(failure).collect(),
                ..match maintained.checked.as_slice() {
                    // Nobody looked, so nobody can say that all is well.
                    [] => empty(),
                    checked => monitored(checked),
                }
            }
        }
        EnvironmentsAction::Backup if which.as_deref() == Some("list") => {
            let backups: Vec<BackupStatus> = backing::list(session, name)?.into_iter().map(backup).collect();
            let message = backups.is_empty().then(|| match name {
                Some(name) => format!("{name} has no backup"),
                None => "there is no backup".to_owned(),
            });
            EnvironmentsResult { backups, message, ..empty() }
        }
        EnvironmentsAction::Backup => {
            if let Some(which) = &which {
                let message = format!("backup makes one, and takes no `{}`", which.escape_debug());
                return Err(ApiError::invalid_params(message, "which: list shows those that there are"));
            }
            let (made, failed) = backing::backup(session, name)?;
            EnvironmentsResult {
                backups: made.into_iter().map(backup).collect(),
                failed: failed.into_iter().map(failure).collect(),
                ..empty()
            }
        }
        EnvironmentsAction::Restore => {
            let restored = backing::restore(session, needed(name)?, which.as_deref(), force)?;
            let used = restored.backup;
            let message = format!("{} is restored from {}", used.name, used.backup);
            EnvironmentsResult {
                message: Some(with_stopped(message, &used.name, &restored.stopped)),
                stopped: restored.stopped,
                backups: vec![backup(used)],
                kept: with_files(restored.kept, &restored.aside),
                ..empty()
            }
        }
        EnvironmentsAction::Reset => {
            let Anew { view, kept, aside, stopped } = caring::reset(session, needed(name)?, force)?;
            let message = format!("{} begins anew", view.row.name);
            EnvironmentsResult {
                environments: vec![status(&view)],
                message: Some(with_stopped(message, &view.row.name, &stopped)),
                stopped,
                kept: with_files(kept, &aside),
                ..empty()
            }
        }
    })
}

/// Scope `environments` of `status`.
pub fn all(session: &Session) -> Result<Vec<EnvironmentStatus>, ApiError> {
    // A plain folder has none, and that is no refusal here.
    if session.project()?.repository.is_none() {
        return Ok(Vec::new());
    }
    Ok(viewing::list(session, None)?.iter().map(status).collect())
}

/// The same in figures.
pub fn totals(environments: &[EnvironmentStatus], sessions: usize) -> EnvironmentTotals {
    let count =
        |is: &dyn Fn(&EnvironmentStatus) -> bool| environments.iter().filter(|it| is(it)).count() as u64;
    let subs = || environments.iter().flat_map(|environment| &environment.subs);
    EnvironmentTotals {
        directories: count(&|it| it.state != "missing"),
        environments: subs().count() as u64,
        running: subs().filter(|sub| sub.state == "running").count() as u64,
        workers: count(&|it| it.worker.is_some()),
        at_work: count(&|it| it.at_work.is_some()),
        sessions: sessions as u64,
    }
}

fn empty() -> EnvironmentsResult {
    EnvironmentsResult::default()
}

/// The ref first, then files.
fn with_files(kept: String, files: &[PathBuf]) -> Vec<String> {
    std::iter::once(kept).chain(files.iter().map(|file| file.to_string_lossy().into_owned())).collect()
}

/// What was done, and which services are to be launched again after it.
fn with_stopped(message: String, name: &str, stopped: &[String]) -> String {
    if stopped.is_empty() {
        return message;
    }
    let launch: Vec<String> = stopped.iter().map(|sub| format!("kapell env launch {name} {sub}")).collect();
    format!("{message}\nstopped for that: {}; to start again: {}", stopped.join(", "), launch.join(", "))
}

fn needed(name: Option<&str>) -> Result<&str, ApiError> {
    name.ok_or_else(|| {
        ApiError::invalid_params("no environment is named", "kapell env status shows which there are")
    })
}

fn told(views: &[View], failed: Vec<Failed>) -> EnvironmentsResult {
    EnvironmentsResult {
        environments: views.iter().map(status).collect(),
        failed: failed.into_iter().map(failure).collect(),
        ..empty()
    }
}

fn failure(failed: Failed) -> EnvironmentFailure {
    let Failed { name, sub, error } = failed;
    let ApiError { message, hint, .. } = ApiError::from(*error);
    EnvironmentFailure { name, sub, message, hint: Some(hint) }
}

fn monitored(checked: &[Checked]) -> EnvironmentsResult {
    let environments = checked.iter().map(|one| {
        let mut environment = status(&one.view);
        environment.verdict = Some(one.verdict.to_owned());
        environment.reason.clone_from(&one.reason);
        for (sub, integrity) in environment.subs.iter_mut().zip(&one.integrity) {
            sub.integrity = Some(integrity.clone());
        }
        environment
    });
    EnvironmentsResult {
        environments: environments.collect(),
        healthy: Some(checked.iter().all(|one| one.verdict != "bad")),
        ..empty()
    }
}

fn backup(backup: Backup) -> BackupStatus {
    BackupStatus {
        name: backup.name,
        backup: backup.backup,
        path: backup.path.to_string_lossy().into_owned(),
        bytes: backup.bytes,
        left_out: backup.left_out,
    }
}

fn outcome(gave: Gave) -> GitOutcome {
    GitOutcome {
        name: gave.name,
        verb: gave.verb,
        message: gave.message,
        branch: gave.look.branch,
        commit: gave.look.head.map(|head| head.to_string()),
        kept: gave.kept,
        files: gave
            .files
            .into_iter()
            .map(|file| GitFile { path: file.path, state: file.how.to_owned() })
            .collect(),
        commits: gave
            .commits
            .into_iter()
            .map(|it| GitCommit { commit: it.commit, author: it.author, at: it.at, subject: it.subject })
            .collect(),
        branches: gave.branches,
        diff: gave.diff,
    }
}

fn status(view: &View) -> EnvironmentStatus {
    let look = view.look.as_ref();
    EnvironmentStatus {
        name: view.row.name.clone(),
        path: view.row.path.clone(),
        branch: match look {
            Some(look) => look.branch.clone(),
            None => Some(view.row.branch.clone()),
        },
        ahead: view.ahead,
        behind: view.behind,
        dirty: look.is_some_and(|look| !look.changed.is_empty()),
        state: view.state().to_owned(),
        unfetched: view.unfetched.clone(),
        hint: view.unfetched_text(),
        problem: view.problem.clone(),
        subs: view.subs.iter().map(sub_status).collect(),
        worker: view.worker.clone(),
        worker_state: view.worker_state.map(str::to_owned),
        at_work: view.at_work.as_ref().map(|by| AtWork {
            attempt: by.attempt.to_string(),
            worker: by.worker.to_string(),
            plan_id: by.plan.to_string(),
            task: by.task.clone(),
        }),
        verdict: None,
        reason: None,
    }
}

fn sub_status(view: &SubView) -> SubEnvironmentStatus {
    SubEnvironmentStatus {
        name: view.name.clone(),
        port: view.port,
        state: view.state.to_owned(),
        pid: view.pid,
        since: view.since.map(|since| since.to_string()),
        health: view.health.clone(),
        reason: view.reason.clone(),
        last_lines: view.last_lines.clone(),
        database: view.database.to_string_lossy().into_owned(),
        bytes: view.bytes,
        integrity: None,
        log: Some(view.log.to_string_lossy().into_owned()),
    }
}
