//! Approving: a person takes what the judge refused, and of what lies outside of the claim exactly
//! the paths that they name.

use std::path::Path;

use super::claiming::leaving;
use super::conductor::saving::lands_for_nobody;
use super::project::Project;
use super::steering::Done;
use super::{Error, Session, claiming, dispatching, ground, owning};
use crate::base::ids::{ClaimId, HolderName, TaskId};
use crate::base::paths::RepoPath;
use crate::domain::claim::{self, Conflict, Decision, Holder, HolderKind, Mode};
use crate::domain::pattern::Pattern;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::task::TaskState;
use crate::domain::verdict::Verdict;
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::store::claims::NewClaims;
use crate::store::events::NewEvent;
use crate::sys::git::Oid;
use crate::sys::git::change::changed_between;

/// Approves an attempt. Without `paths` what lies within its claim lands, whatever the judge said.
/// With `paths` those are claimed for it and land too, if the gates that are left approve it.
/// `None`: from where its task is now that is no step.
pub fn approve(
    session: &Session,
    project: &Project,
    attempt: &AttemptRow,
    paths: &[String],
    message: Option<&str>,
) -> Result<Option<Done>, Error> {
    let store = session.store()?;
    let (plan, task) = (&attempt.plan, TaskId::text(&attempt.task));
    let outside = outside_of(attempt);
    // Whoever names a path as the system has it means the one that is shown so.
    let as_shown = |path: &String| match outside.contains(path) {
        true => path.clone(),
        false => RepoPath::from(path.as_str()).to_string(),
    };
    let paths = &*paths.iter().map(as_shown).collect::<Vec<_>>();
    let patterns = patterns(attempt, &outside, paths)?;
    refuse_what_is_not_saved(session, project, attempt, paths)?;
    let who = session.caller.holder.name.as_str();
    let next = if paths.is_empty() { TaskState::Approved } else { TaskState::Judging };
    let kept = leaving::keep(&session.house, project, &patterns)?;
    let is_done = store.write(|tx| -> Result<bool, Error> {
        let why = message.map_or_else(|| format!("approved by {who}"), str::to_owned);
        if !tx.move_task(&project.id, plan, &task, next, Some(&why))? {
            return Ok(false);
        }
        if let Some(conflict) = hold(tx, project, attempt, &patterns, &kept, &format!("approved by {who}"))? {
            return Err(held_by_another(&conflict).into());
        }
        for path in paths {
            tx.approve_path(&attempt.id, path, who)?;
        }
        if paths.is_empty() {
            tx.set_verdict(&attempt.id, Verdict::Approved, &tx.gates(&attempt.id)?)?;
        }
        tx.want_task(plan, &task, true)?;
        dispatching::go_on(tx, &project.id, plan)?;
        let what = if paths.is_empty() { String::new() } else { format!(" with {}", paths.join(", ")) };
        tx.append_event(
            &project.id,
            &NewEvent {
                kind: "attempt.approved",
                plan: Some(plan),
                task: Some(&task),
                attempt: Some(&attempt.id),
                holder: Some(who),
                text: format!("task {task}: approved by {who}{what}"),
                data: Some(serde_json::json!({ "paths": paths }).to_string()),
            },
        )?;
        Ok(true)
    })?;
    if !is_done {
        return Ok(None);
    }
    dispatching::ensure_conductor(session, project, plan, false)?;
    let approved = store.read(|tx| tx.approved_paths(&attempt.id))?;
    let left: Vec<&str> =
        outside.iter().map(String::as_str).filter(|path| !approved.iter().any(|it| it == path)).collect();
    let paths = &approved;
    let message = match (next == TaskState::Approved, left.is_empty()) {
        (true, true) => format!("task {task} will be landed"),
        (true, false) => {
            format!("task {task} will be landed without what lies outside of its claim: {}", left.join(", "))
        }
        (false, true) => format!("task {task} will be judged with {}", paths.join(", ")),
        (false, false) => format!(
            "task {task} will be judged with {}, and rejected for what else lies outside of its claim: {}",
            paths.join(", "),
            left.join(", ")
        ),
    };
    Ok(Some(Done { state: next.as_str().to_owned(), message, ..Done::default() }))
}

/// What lies outside of an attempt's claim, as it is shown.
fn outside_of(attempt: &AttemptRow) -> Vec<String> {
    let json = attempt.outside_claim.as_deref();
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

fn patterns(attempt: &AttemptRow, outside: &[String], paths: &[String]) -> Result<Vec<Pattern>, Refusal> {
    let mut patterns = Vec::new();
    for path in paths {
        if !outside.contains(path) {
            let message = format!("{path} is not among what attempt {} did outside of its claim", attempt.id);
            let hint = if outside.is_empty() {
                "approve it without paths: everything that it did lies within its claim".to_owned()
            } else {
                format!("name some of these: {}", outside.join(", "))
            };
            return Err(Refusal::new(Code::BadPath, message, hint).with("path", path));
        }
        let pattern = Pattern::around_shown(path)
            .map_err(|bad| Refusal::new(Code::BadPath, bad.reason, bad.hint).with("path", path))?;
        patterns.push(pattern);
    }
    Ok(patterns)
}

/// What is no file of the tree that was saved lands for nobody, whoever approves it.
fn refuse_what_is_not_saved(
    session: &Session,
    project: &Project,
    attempt: &AttemptRow,
    paths: &[String],
) -> Result<(), Error> {
    let oid = |text: &Option<String>| text.as_deref().and_then(Oid::parse);
    let (Some(base), Some(commit)) = (oid(&attempt.base), oid(&attempt.snapshot)) else { return Ok(()) };
    if paths.is_empty() {
        return Ok(());
    }
    let git = ground::git(&session.house, project)?;
    let changed = changed_between(&git, &base, &commit).map_err(Error::from_git)?;
    for path in paths {
        let Some(objection) = lands_for_nobody(&changed, path) else { continue };
        let message = format!("{path} cannot be approved: it {objection}, and no commit can hold its files");
        let hint = format!(
            "approve it without that path; what you want of {path} is at the place where its worker left it, \
             as long as that is kept, and is to be added as files or as a submodule by hand"
        );
        return Err(Refusal::new(Code::BadPath, message, hint).with("path", path).into());
    }
    Ok(())
}

/// Takes claims for work that is to land, beside those it holds. Who is in the way, if somebody is;
/// then nothing was taken.
pub(in crate::services) fn hold(
    tx: &Tx<'_>,
    project: &Project,
    attempt: &AttemptRow,
    patterns: &[Pattern],
    kept: &[ClaimId],
    reason: &str,
) -> Result<Option<Conflict>, Error> {
    let holder = Holder { kind: HolderKind::Attempt, name: HolderName::new(attempt.id.as_str()) };
    claiming::free_the_dead(tx, &project.id, patterns, kept)?;
    let task = TaskId::text(&attempt.task);
    let is_file = |path: &str| project.is_file(path);
    let near = owning::in_the_way(tx, &project.id, &attempt.plan, &task, patterns)?;
    let insert = match claim::decide(patterns, Mode::Exclusive, &holder, &near, &is_file) {
        Decision::Grant { insert, .. } => insert,
        Decision::Refuse(conflicts) => return Ok(conflicts.into_iter().next()),
    };
    let alive = Path::new(&attempt.run_dir).join("lock");
    let new = NewClaims {
        holder: &holder,
        mode: Mode::Exclusive,
        task: Some((&attempt.plan, &task)),
        reason: Some(reason),
        alive: alive.to_str(),
        expires_at: owning::expiry(),
    };
    for pattern in &insert {
        tx.insert_claim(&project.id, pattern, &new)?;
    }
    Ok(None)
}

fn held_by_another(conflict: &Conflict) -> Refusal {
    let held = &conflict.held;
    let who = held.task.clone().unwrap_or_else(|| held.holder.name.to_string());
    Refusal::new(
        Code::Conflict,
        format!("{} is held by {who}", conflict.witness),
        "wait until it is free, or have its holder release it, then approve again; nothing was changed",
    )
    .with("holder", held.holder.name.as_str())
}
