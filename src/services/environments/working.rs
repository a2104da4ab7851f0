//! Workers in environments: an attempt works in the checkout itself, and its result becomes a commit on the
//! branch there before it lands.
//!
//! Nothing that a person left there is touched: an attempt begins only where everything is committed, and
//! what is put back or moved on afterwards is what the attempt's snapshot holds. The checkout may be a clone,
//! so what is saved there is brought into the project's repository at once.

use std::path::{Path, PathBuf};

use super::{Ground, gone, guarding};
use crate::base::failpoint::Point;
use crate::base::ids::{PlanId, ProjectId, TaskId};
use crate::base::paths::RepoPath;
use crate::domain::plan::Task;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::route::Shut;
use crate::services::conductor::desk::Desk;
use crate::services::conductor::saving::Saved;
use crate::services::{Error, querying, walling};
use crate::store::Tx;
use crate::store::attempts::{AttemptRow, Occupant};
use crate::store::environments::EnvironmentRow;
use crate::sys::git::change::{Change, ChangeKind, changed_between};
use crate::sys::git::environment::{Beside, Look};
use crate::sys::git::flow::Brought;
use crate::sys::git::{Oid, checkout, land, read, refs, settle};

/// So many paths are named.
const NAMED: usize = 5;

/// An environment in which an attempt can begin.
#[derive(Debug, Clone)]
pub struct Entered {
    /// Its name.
    pub name: String,
    /// Its folder, by its real path.
    pub path: PathBuf,
    /// The commit that the attempt begins from.
    pub base: Oid,
}

/// Gets an environment ready for an attempt of a plan: everything in it is committed, it is on its own
/// branch, and has what the plan landed, which is at `tip`. Or why nothing can begin there.
pub fn enter(desk: &Desk, name: &str, tip: Option<&str>) -> Result<Result<Entered, Shut>, Error> {
    let ground = Ground::at(desk);
    let rows = ground.rows()?;
    let Some(known) = rows.iter().find(|row| row.name.eq_ignore_ascii_case(name)) else {
        let why =
            format!("there is no environment {name}; kapell env create {name} makes it, then retry the task");
        return Ok(Err(Shut::ForEver(why)));
    };
    let Some(_hold) = ground.try_hold(&known.name)? else {
        return Ok(Err(Shut::ForNow(format!("another call of kapell env is changing {name}"))));
    };
    let told = |error: &Error| match error {
        Error::Refused(refusal) => format!("{}; {}", refusal.message, refusal.hint),
        other => format!("{name} cannot be worked in: {other}; kapell env monitor {name} tells more"),
    };
    // It may have gone while nobody held it.
    let entered = ground.row(&known.name).and_then(|row| ready(desk, &ground, &row, tip));
    match entered {
        Ok(entered) => Ok(entered),
        Err(Error::Refused(refusal)) if refusal.code == Code::NotFound => {
            Ok(Err(Shut::ForEver(told(&Error::Refused(refusal)))))
        }
        Err(Error::Store(error)) => Err(Error::Store(error)),
        Err(error) => Ok(Err(Shut::ForNow(told(&error)))),
    }
}

fn ready(
    desk: &Desk,
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    tip: Option<&str>,
) -> Result<Result<Entered, Shut>, Error> {
    let name = &row.name;
    let wait = |why: String| Ok(Err(Shut::ForNow(why)));
    let path = Path::new(&row.path);
    let beside = ground.open(row)?;
    let mut look = beside.look()?;
    if look.branch.as_deref() != Some(row.branch.as_str()) {
        let is_on = look.branch.as_deref().unwrap_or("no branch");
        let path = shell_words::quote(&row.path);
        return wait(format!(
            "{name} is on {is_on}, not on {}; it goes on after git -C {path} switch {}",
            row.branch, row.branch
        ));
    }
    if let Some(what) = checkout::in_progress(&beside.tree.admin_dir) {
        return wait(format!("{name} is in the middle of {what}; finish or abort it in {}", row.path));
    }
    if !look.changed.is_empty() {
        let last = ground.session.store()?.read(|tx| tx.last_attempt_in(&desk.project.id, name))?;
        if let Some(last) = &last
            && put_back(ground, &beside, &look, last)?
        {
            // A conductor was killed before it did that.
            look = beside.look()?;
        }
        if !look.changed.is_empty() {
            return wait(not_clean(row, &look, last.as_ref()));
        }
    }
    let Some(head) = look.head else {
        return wait(format!(
            "{name} has no commit; kapell env git {name} sync brings what {} has",
            row.main
        ));
    };
    let tip = tip.and_then(Oid::parse);
    let base = match &tip {
        None => head,
        Some(tip) => match bring_in(desk, row, &beside, &head, tip)? {
            Brought::UpToDate => head,
            Brought::Done(now) => {
                let behind = beside.follow(&desk.git, &head, &now)?;
                if !behind.is_empty() {
                    return wait(format!(
                        "in {name} a submodule is not at its commit: {}; git -C {} submodule update",
                        named(&behind),
                        shell_words::quote(&row.path)
                    ));
                }
                now
            }
            Brought::Covers(paths) => {
                return wait(format!(
                    "what plan {} landed would be written over {}, which git ignores in {name}; move it out of {}",
                    desk.plan_id,
                    named(&paths),
                    row.path
                ));
            }
            Brought::Conflict { paths, .. } => {
                return wait(format!(
                    "{} conflicts with what plan {} landed, in {}; settle it by hand in {}: git merge {}, edit, commit",
                    row.branch,
                    desk.plan_id,
                    named(&paths),
                    row.path,
                    if beside.is_clone(&desk.git) { settle::BROUGHT } else { tip.as_str() },
                ));
            }
        },
    };
    Point::EnvironmentEntered.reach()?;
    // What only this branch has must stay as long as the attempt is compared with it.
    if tip.as_ref() != Some(&base) {
        let guard = desk.git.turn()?;
        let kept = format!("refs/kapell/environments/{name}/at-work");
        beside.bring_home(&desk.git, &guard, &format!("refs/heads/{}", row.branch), &kept)?;
    }
    let path = path.canonicalize().map_err(|_| gone(row))?;
    Ok(Ok(Entered { name: name.clone(), path, base }))
}

/// Brings what the plan landed into the branch of an environment.
fn bring_in(
    desk: &Desk,
    row: &EnvironmentRow,
    beside: &Beside,
    head: &Oid,
    tip: &Oid,
) -> Result<Brought, Error> {
    if head == tip {
        return Ok(Brought::UpToDate);
    }
    // A ref, since git fetches no bare commit.
    let reference = format!("refs/kapell/entering/{}", desk.plan_id);
    if beside.is_clone(&desk.git) {
        let before = refs::read(&desk.git, &reference)?;
        if before.as_ref() != Some(tip) {
            refs::update(
                &desk.git,
                &reference,
                tip,
                before.as_ref(),
                "kapell: a worker enters an environment",
            )?;
        }
        beside.bring_here(&desk.git, &reference)?;
        // The environment holds it now.
        refs::forget(&desk.git, &reference)?;
    }
    let message = format!("Merge what plan {} landed", desk.plan_id);
    Ok(beside.bring_in(head, tip, &message, &guarding::spared(row))?)
}

/// Looks again, just before the worker starts, and lays out what an earlier try left (`seed`). Why it cannot
/// begin, where somebody came between.
pub fn begin(
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    seed: Option<&str>,
) -> Result<Result<(), String>, Error> {
    let ground = Ground::at(desk);
    let Some((row, beside, _hold)) = open(&ground, attempt)? else {
        return Ok(Err("its environment is gone".to_owned()));
    };
    walling::drop_placeholders(Path::new(&row.path), &task.files);
    let look = beside.look()?;
    let base = attempt.base.as_deref().and_then(Oid::parse);
    let base = base.ok_or_else(|| Error::Bug(format!("attempt {} has no base", attempt.id)))?;
    if look.branch.as_deref() != Some(row.branch.as_str()) || look.head.as_ref() != Some(&base) {
        return Ok(Err(format!("somebody moved {} to another commit before it began", row.name)));
    }
    let seed = seed.and_then(Oid::parse);
    let mut left = Vec::new();
    if !look.changed.is_empty() {
        // A conductor that was killed had laid out the seed already, or a part of it.
        let seeded = match &seed {
            Some(seed) => changed_between(&desk.git, &base, seed)?,
            None => Vec::new(),
        };
        let now = beside.changes_since(&base, &scratch(&ground)).map_err(Error::from_git)?;
        match now {
            Some(now) if now.iter().all(|change| seeded.contains(change)) => left = now,
            _ => {
                return Ok(Err(format!(
                    "somebody changed {} in {} before it began",
                    changed(&look),
                    row.name
                )));
            }
        }
    }
    if let Some(seed) = seed.filter(|seed| *seed != base) {
        if beside.is_clone(&desk.git) {
            let reference = format!("refs/kapell/placed/{}/{}/seed", attempt.plan, attempt.task);
            let before = refs::read(&desk.git, &reference)?;
            refs::update(&desk.git, &reference, &seed, before.as_ref(), "kapell: what the try before left")?;
            beside.bring_here(&desk.git, &reference)?;
        }
        beside.delete_files(added(&left))?;
        beside.lay_files(&seed, &base)?;
    }
    Ok(Ok(()))
}

/// The checkout of an attempt, for its snapshot; `None` where it is gone.
pub fn checkout_of(desk: &Desk, attempt: &AttemptRow) -> Result<Option<Beside>, Error> {
    let ground = Ground::at(desk);
    let name = attempt.environment.as_deref().unwrap_or_default();
    match ground.row(name).and_then(|row| ground.open(&row)) {
        Ok(beside) => Ok(Some(beside)),
        Err(Error::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Brings a snapshot that was taken in an environment into the project's repository.
pub fn bring_home(desk: &Desk, beside: &Beside, reference: &str) -> Result<(), Error> {
    let guard = desk.git.turn()?;
    Ok(beside.bring_home(&desk.git, &guard, reference, reference)?)
}

/// Makes the result a commit on the branch of its environment: the commit, which lands next. `work` is the
/// attempt's base and the changes within its claim.
///
/// Whatever of a person's is in the way there stays as it is, is told, and does not keep the work from landing.
pub fn place(
    desk: &Desk,
    attempt: &AttemptRow,
    saved: &Saved,
    work: Oid,
    message: &str,
) -> Result<Oid, Error> {
    let git = &desk.git;
    let base = &saved.snapshot.base;
    if work == *base {
        return Ok(work);
    }
    let reference = placed(attempt);
    let before = refs::read(git, &reference)?;
    let tree = read::tree_of(git, &work)?;
    let commit = match &before {
        Some(before) if read::tree_of(git, before)? == tree => before.clone(),
        _ => {
            let commit = land::commit_tree(git, &tree, &[base], message)?;
            refs::update(git, &reference, &commit, before.as_ref(), "kapell: the result of a worker")?;
            commit
        }
    };
    Point::EnvironmentSettling.reach()?;
    let ground = Ground::at(desk);
    let name = attempt.environment.as_deref().unwrap_or_default();
    let (kind, text) = match settle(&ground, attempt, saved, base, &commit) {
        Ok(Some(text)) => ("environment.placed", text),
        Ok(None) => return Ok(commit),
        Err(Error::Refused(no)) => {
            ("environment.left", format!("{name} stays as it is: {}; {}", no.message, no.hint))
        }
        Err(error) => return Err(error),
    };
    let text = format!("task {}: {text}", attempt.task);
    ground.session.store()?.write(|tx| tx.tell_of_environment(&desk.project.id, name, None, kind, text))?;
    Point::EnvironmentSettled.reach()?;
    Ok(commit)
}

/// The ref that holds the commit of an attempt's result.
fn placed(attempt: &AttemptRow) -> String {
    format!("refs/kapell/placed/{}/{}/{}", attempt.plan, attempt.task, attempt.number)
}

/// Puts a commit onto the branch; what is told of it, or `None` where that was done before.
fn settle(
    ground: &Ground<'_>,
    attempt: &AttemptRow,
    saved: &Saved,
    base: &Oid,
    commit: &Oid,
) -> Result<Option<String>, Error> {
    let refuse = |message: String, hint: String| -> Result<Option<String>, Error> {
        Err(Refusal::new(Code::Conflict, message, hint).into())
    };
    let sync =
        |name: &str| format!("its work lands all the same; kapell env git {name} sync brings it there");
    let Some((row, beside, _hold)) = open(ground, attempt)? else {
        return refuse("its environment is gone".to_owned(), "its work lands all the same".to_owned());
    };
    beside.bring_here(&ground.git, &placed(attempt))?;
    let look = beside.look()?;
    let name = &row.name;
    if look.branch.as_deref() != Some(row.branch.as_str()) {
        let is_on = look.branch.as_deref().unwrap_or("no branch").to_owned();
        return refuse(format!("it is on {is_on}, not on {}", row.branch), sync(name));
    }
    let Some(head) = &look.head else { return refuse("it has no commit".to_owned(), sync(name)) };
    let is_there = read::is_ancestor(&beside.git, commit, head)?;
    if is_there && (head != commit || look.changed.is_empty()) {
        return Ok(None);
    }
    let said = format!("its result is on {} as {}", row.branch, short(commit));
    if head == base || head == commit {
        let left = beside.changes_since(base, &scratch(ground)).map_err(Error::from_git)?;
        if head == base {
            beside.move_branch(base, commit)?;
        }
        if let Some(left) = left {
            let held = changed_between(&ground.git, base, &saved.snapshot.commit)?;
            let lands = changed_between(&ground.git, base, commit)?;
            let due = Due::between(&left, &lands, &held, &outside(attempt));
            beside.delete_files(due.goes)?;
            beside.restore_files(commit, due.comes)?;
        }
        let now = beside.look()?;
        return Ok(Some(match now.changed.is_empty() {
            true => said,
            false => format!("{said}; changes of somebody else stay there: {}", changed(&now)),
        }));
    }
    if !look.changed.is_empty() {
        return refuse(
            format!("somebody committed there since it began, and left changes: {}", changed(&look)),
            sync(name),
        );
    }
    let message = format!("Merge the result of task {}", attempt.task);
    match beside.bring_in(head, commit, &message, &guarding::spared(&row))? {
        Brought::UpToDate | Brought::Done(_) => Ok(Some(said)),
        Brought::Covers(paths) => {
            refuse(format!("{} lies in its way there, which git ignores", named(&paths)), sync(name))
        }
        Brought::Conflict { paths, .. } => refuse(
            format!("somebody committed there since it began, which conflicts in {}", named(&paths)),
            sync(name),
        ),
    }
}

/// What is missing in a checkout so that it is as a commit that landed, less what is somebody else's.
struct Due<'c> {
    /// What is to be deleted.
    goes: Vec<&'c RepoPath>,
    /// What is to be written as the commit has it.
    comes: Vec<&'c RepoPath>,
}

impl<'c> Due<'c> {
    /// What is due where `left` is in the checkout and `lands` is in the commit, both against the same base.
    /// Of what the attempt's snapshot held, that goes which was within its claim and does not land; what lay
    /// outside of it may be a person's.
    fn between(left: &'c [Change], lands: &'c [Change], held: &[Change], outside: &[String]) -> Self {
        let mut due = Self { goes: Vec::new(), comes: Vec::new() };
        let mut stays = Vec::new();
        for change in left.iter().filter(|change| !lands.contains(change)) {
            let is_theirs = !held.contains(change) || outside.contains(&change.path.to_string());
            if is_theirs || lands.iter().any(|landing| landing.path == change.path) {
                stays.push(&change.path);
            } else if change.kind == ChangeKind::Added {
                due.goes.push(&change.path);
            } else {
                due.comes.push(&change.path);
            }
        }
        // A file of somebody else may lie where a folder is to be, and the other way round.
        let is_in_the_way = |path: &RepoPath| {
            let path = path.to_path_buf();
            stays
                .iter()
                .map(|other| other.to_path_buf())
                .any(|it| it.starts_with(&path) || path.starts_with(&it))
        };
        for landing in lands.iter().filter(|landing| !left.contains(landing)) {
            if is_in_the_way(&landing.path) {
                continue;
            }
            match landing.kind {
                ChangeKind::Deleted => due.goes.push(&landing.path),
                _ => due.comes.push(&landing.path),
            }
        }
        due
    }
}

/// What a snapshot of the attempt held outside of its claim.
fn outside(attempt: &AttemptRow) -> Vec<String> {
    attempt.outside_claim.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// Takes a result off the branch of its environment again, since it did not land: its task is tried again from
/// where it began. Where somebody built on it meanwhile it stays, and that is told.
pub fn take_back(desk: &Desk, attempt: &AttemptRow, base: &Oid, commit: &Oid) -> Result<(), Error> {
    let ground = Ground::at(desk);
    let Some((row, beside, _hold)) = open(&ground, attempt)? else { return Ok(()) };
    let look = beside.look()?;
    if look.branch.as_deref() == Some(row.branch.as_str()) && look.changed.is_empty() {
        match &look.head {
            Some(head) if head == commit => return Ok(beside.reset(base)?),
            Some(head) if head == base => return Ok(()),
            _ => {}
        }
    }
    let text = format!(
        "task {}: its result did not land, and stays in {}, where somebody worked on: {}",
        attempt.task,
        row.name,
        short(commit)
    );
    ground
        .session
        .store()?
        .write(|tx| tx.tell_of_environment(&desk.project.id, &row.name, None, "environment.left", text))?;
    Ok(())
}

/// Puts the checkout back to where an attempt began whose work is not to stay there; all of it is saved. What
/// is not the attempt's stays, and the next waits for it.
pub fn leave(desk: &Desk, attempt: &AttemptRow) -> Result<(), Error> {
    let ground = Ground::at(desk);
    let Some((row, beside, _hold)) = open(&ground, attempt)? else { return Ok(()) };
    // Somebody else may be at work there by now.
    let (last, by) = ground.session.store()?.read(|tx| -> Result<_, Error> {
        Ok((tx.last_attempt_in(&desk.project.id, &row.name)?, tx.attempt_in(&desk.project.id, &row.name)?))
    })?;
    if by.is_some() || last.is_none_or(|last| last.id != attempt.id) {
        return Ok(());
    }
    put_back(&ground, &beside, &beside.look()?, attempt)?;
    Ok(())
}

/// Undoes what an attempt left in its checkout, if all of that is in its snapshot; whether it did. What lies outside
/// of its claim stays: a person may have changed that meanwhile, and nobody knows.
fn put_back(ground: &Ground<'_>, beside: &Beside, look: &Look, attempt: &AttemptRow) -> Result<bool, Error> {
    let oid = |text: &Option<String>| text.as_deref().and_then(Oid::parse);
    let (Some(base), Some(snapshot)) = (oid(&attempt.base), oid(&attempt.snapshot)) else { return Ok(false) };
    if look.changed.is_empty() || look.head.as_ref() != Some(&base) {
        return Ok(false);
    }
    let saved = changed_between(&ground.git, &base, &snapshot)?;
    let now = beside.changes_since(&base, &scratch(ground)).map_err(Error::from_git)?;
    let Some(now) = now.filter(|now| now.iter().all(|change| saved.contains(change))) else {
        return Ok(false);
    };
    let outside = outside(attempt);
    let (stays, goes): (Vec<Change>, Vec<Change>) =
        now.into_iter().partition(|change| outside.contains(&change.path.to_string()));
    beside.delete_files(added(&goes))?;
    if stays.is_empty() {
        beside.reset(&base)?;
    } else {
        let was_there = goes.iter().filter(|change| change.kind != ChangeKind::Added);
        beside.restore_files(&base, was_there.map(|change| &change.path))?;
    }
    Ok(true)
}

/// The environment of an attempt, held; `None` where it is gone.
fn open<'g>(
    ground: &Ground<'g>,
    attempt: &AttemptRow,
) -> Result<Option<(EnvironmentRow, Beside, super::Hold)>, Error> {
    let name = attempt.environment.as_deref().unwrap_or_default();
    let found = ground.hold(name).and_then(|hold| {
        let row = ground.row(name)?;
        let beside = ground.open(&row)?;
        Ok((row, beside, hold))
    });
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses to change an environment in which a worker is at work.
pub(super) fn nobody_at_work(ground: &Ground<'_>, name: &str, doing: &str) -> Result<(), Error> {
    ground.session.store()?.read(|tx| is_free(tx, &ground.project.id, name, doing))
}

/// [`nobody_at_work`], within a transaction.
pub(super) fn is_free(tx: &Tx<'_>, project: &ProjectId, name: &str, doing: &str) -> Result<(), Error> {
    let Some(occupant) = tx.attempt_in(project, name)? else { return Ok(()) };
    if let Some([dead, next]) = querying::occupied_by_the_dead(tx, &occupant)? {
        return Err(Refusal::new(
            Code::Busy,
            format!("{name} {dead}"),
            format!("{next}; then {doing} again"),
        )
        .into());
    }
    let Occupant { attempt, worker, plan, task } = occupant;
    Err(Refusal::new(
        Code::Busy,
        format!("{worker} is at work in {name}, at task {task} of plan {plan}"),
        format!("wait until its work has landed, or kapell stop {attempt}; then {doing} again"),
    )
    .into())
}

/// Whether the task that has an environment is above this one, so that to wait for it would be to wait for ever.
pub fn is_above(
    tx: &Tx<'_>,
    project: &ProjectId,
    plan: &PlanId,
    name: &str,
    above: &[TaskId],
) -> Result<Option<Occupant>, Error> {
    let rows = tx.environments(project)?;
    let Some(row) = rows.iter().find(|row| row.name.eq_ignore_ascii_case(name)) else { return Ok(None) };
    let by = tx.attempt_in(project, &row.name)?;
    Ok(by.filter(|by| by.plan == *plan && above.iter().any(|task| task.as_str() == by.task)))
}

fn added<'c>(changes: impl IntoIterator<Item = &'c Change>) -> impl Iterator<Item = &'c RepoPath> {
    changes.into_iter().filter(|change| change.kind == ChangeKind::Added).map(|change| &change.path)
}

fn scratch(ground: &Ground<'_>) -> PathBuf {
    ground.session.house.root.join("tmp")
}

fn short(oid: &Oid) -> &str {
    oid.as_str().get(..10).unwrap_or_else(|| oid.as_str())
}

fn changed(look: &Look) -> String {
    let names: Vec<&str> = look.changed.iter().map(|file| file.path.as_str()).collect();
    listed(&names)
}

/// What keeps the next try from an environment. What lay outside of the claim of the last one may be its, which no
/// gate accepted, or a person's: to commit all of it is no advice then.
fn not_clean(row: &EnvironmentRow, look: &Look, last: Option<&AttemptRow>) -> String {
    let name = &row.name;
    let outside = last.map(outside).unwrap_or_default();
    // A folder of which git knows nothing is told as a whole.
    let lay_outside =
        |path: &&str| outside.iter().any(|it| it == path || path.ends_with('/') && it.starts_with(path));
    let all: Vec<&str> = look.changed.iter().map(|file| file.path.as_str()).collect();
    let strays: Vec<&str> = all.iter().copied().filter(lay_outside).collect();
    let has = format!("{name} has changes that are not committed: {}", listed(&all));
    let commit = format!("kapell env git {name} commit 'MESSAGE'");
    let (Some(last), false) = (last, strays.is_empty()) else {
        return format!("{has}; {commit}, or put them away");
    };
    let they = if strays.len() == all.len() { "they".to_owned() } else { listed(&strays) };
    format!(
        "{has}; {they} lay outside of the claim when try {} at task {}/{} ended, and no gate accepted that: take away \
         what a worker left (git -C {} stash push --include-untracked -- {}), and commit only what is a person's ({commit})",
        last.number,
        last.plan,
        last.task,
        shell_words::quote(&row.path),
        shell_words::join(&strays)
    )
}

fn named(paths: &[RepoPath]) -> String {
    let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
    listed(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn listed(names: &[&str]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names[..names.len().min(NAMED)].join(", "))
}
