//! Waiting for claims: who came before, and who waits for whom in a circle.

use std::path::Path;

use super::{Wish, near};
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, HolderName, ProjectId, TaskId};
use crate::domain::claim::{self, Decision, Holder, HolderKind, Mode};
use crate::domain::deadlock::WaitsFor;
use crate::domain::overlap::overlap_of;
use crate::domain::pattern::Pattern;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Error;
use crate::services::project::Project;
use crate::store::Tx;
use crate::store::claims::ClaimWait;
use crate::sys::process::life;

/// Those who wait, in the order of asking. Whoever was killed while it waited is forgotten, and
/// what it left with it.
pub fn queue(tx: &Tx<'_>, project: &ProjectId) -> Result<Vec<ClaimWait>, Error> {
    let mut queue = Vec::new();
    for wait in tx.claim_queue(project, Time::now())? {
        match wait.alive.as_deref().map(Path::new) {
            Some(file) if !life::is_held(file) => {
                tx.leave_claim_queue(wait.place)?;
                // Nobody else has that name: it was made for this wait.
                let _ = std::fs::remove_file(file);
            }
            _ => queue.push(wait),
        }
    }
    Ok(queue)
}

/// Whether `wait`, which came before, is to be served before `wish`.
pub fn is_before(project: &Project, wait: &ClaimWait, wish: &Wish) -> bool {
    excludes(project, wait, wish.mode, &wish.patterns)
}

/// Whether a wish that may wait has its place behind others, also where all of it is free: who waits for that and
/// for more would else wait for ever. Who holds something already goes on, or both would wait for each other.
pub fn is_behind(tx: &Tx<'_>, project: &Project, wish: &Wish) -> Result<bool, Error> {
    if wish.wait_s == 0 || wish.take_over || !tx.claims_of(&project.id, &wish.holder)?.is_empty() {
        return Ok(false);
    }
    Ok(queue(tx, &project.id)?.iter().any(|wait| is_before(project, wait, wish)))
}

/// Who waits for what overlaps these patterns, and so is to have it before a task that comes now: what it is and
/// whose wish. A person who takes files over waits until their worker has ended.
pub(in crate::services) fn asked_first(
    tx: &Tx<'_>,
    project: &Project,
    patterns: &[Pattern],
) -> Result<Option<(String, HolderName)>, Error> {
    for wait in queue(tx, &project.id)? {
        if !claim::excludes(Mode::Exclusive, wait.mode) {
            continue;
        }
        let mut pairs = patterns.iter().flat_map(|a| wait.patterns.iter().map(move |b| (a, b)));
        if let Some(witness) = pairs.find_map(|(a, b)| meet(project, a, b)) {
            return Ok(Some((witness, wait.holder.name)));
        }
    }
    Ok(None)
}

fn excludes(project: &Project, wait: &ClaimWait, mode: Mode, patterns: &[Pattern]) -> bool {
    claim::excludes(mode, wait.mode)
        && patterns.iter().any(|a| wait.patterns.iter().any(|b| meet(project, a, b).is_some()))
}

fn meet(project: &Project, a: &Pattern, b: &Pattern) -> Option<String> {
    overlap_of(a, b, &|path| project.is_file(path))
}

/// Refuses a wait that can never end, because those whom it waits for wait for it: to whoever looks
/// first, so that the others get on.
pub fn refuse_deadlock(
    tx: &Tx<'_>,
    project: &Project,
    queue: &[ClaimWait],
    holder: &Holder,
) -> Result<(), Error> {
    let graph = waits(tx, project, queue)?;
    let Some(cycle) = graph.cycle(holder) else { return Ok(()) };
    let mut circle = String::new();
    for (at, one) in cycle.iter().enumerate() {
        let next = &cycle[(at + 1) % cycle.len()];
        let joint = if at == 0 { "" } else { ", " };
        circle.push_str(&format!("{joint}{} waits for {}", name(tx, one)?, name(tx, next)?));
    }
    Err(Refusal::new(
        Code::Conflict,
        format!("this wait would never end: {circle}"),
        "let go of what the others wait for (release-files), or do without these files and say so in your answer",
    )
    .with("cycle", cycle.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(" "))
    .for_good()
    .into())
}

/// Who waits for whom: for those who hold what is wished for, for those who came before, and a
/// task's worker for its children, since its claims end after theirs.
fn waits(tx: &Tx<'_>, project: &Project, queue: &[ClaimWait]) -> Result<WaitsFor<Holder>, Error> {
    let mut graph = WaitsFor::default();
    let mut attempts: Vec<Holder> = Vec::new();
    for (at, wait) in queue.iter().enumerate() {
        let held = near(tx, &project.id, &wait.patterns)?;
        let is_file = |path: &str| project.is_file(path);
        let decision = claim::decide(&wait.patterns, wait.mode, &wait.holder, &held, &is_file);
        if let Decision::Refuse(conflicts) = decision {
            for conflict in conflicts {
                graph.add(&wait.holder, &conflict.held.holder);
                attempts.push(conflict.held.holder);
            }
        }
        for before in queue[..at].iter().filter(|before| excludes(project, before, wait.mode, &wait.patterns))
        {
            graph.add(&wait.holder, &before.holder);
        }
    }
    attempts.retain(|holder| holder.kind == HolderKind::Attempt);
    let mut seen = std::collections::HashSet::new();
    while let Some(parent) = attempts.pop() {
        if !seen.insert(parent.clone()) {
            continue;
        }
        for child in children(tx, &parent)? {
            graph.add(&parent, &child);
            attempts.push(child);
        }
    }
    Ok(graph)
}

/// The attempts that work at what this attempt's worker delegated.
fn children(tx: &Tx<'_>, parent: &Holder) -> Result<Vec<Holder>, Error> {
    let Some(row) = tx.attempt(&AttemptId::new(parent.name.as_str()))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for child in tx.children(&row.plan, &TaskId::text(&row.task))? {
        let last = tx.attempts_at(&row.plan, &child.id)?.pop().filter(|_| !child.state.is_final());
        found.extend(
            last.map(|attempt| Holder {
                kind: HolderKind::Attempt,
                name: HolderName::new(attempt.id.as_str()),
            }),
        );
    }
    Ok(found)
}

/// A holder as people know it: a worker by its task.
fn name(tx: &Tx<'_>, holder: &Holder) -> Result<String, Error> {
    let attempt = match holder.kind {
        HolderKind::Attempt => tx.attempt(&AttemptId::new(holder.name.as_str()))?,
        HolderKind::Agent | HolderKind::Person => None,
    };
    Ok(match attempt {
        Some(row) => format!("{} (task {}/{})", holder.name, row.plan, row.task),
        None => holder.name.to_string(),
    })
}
