//! Waiting for claims: who came before, and who waits for whom in a circle.

use std::path::Path;

use super::near;
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
use crate::store::events::EventFilter;
use crate::sys::process::life;

/// Somebody who asked before for what is free, and waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// A path that both want.
    pub witness: String,
    /// Who.
    pub holder: Holder,
}

/// Those who wait, in the order of asking. Whoever was killed while it waited is forgotten, and
/// what it left with it.
pub(super) fn queue(tx: &Tx<'_>, project: &ProjectId) -> Result<Vec<ClaimWait>, Error> {
    let (queue, dead): (Vec<_>, Vec<_>) =
        tx.claim_queue(project, Time::now())?.into_iter().partition(waits_on);
    for wait in dead {
        tx.leave_claim_queue(wait.place)?;
        // Nobody else has that name: it was made for this wait.
        let _ = wait.alive.map(std::fs::remove_file);
    }
    Ok(queue)
}

/// The same, where nothing may be written: who is gone is left where it is.
pub(super) fn living(tx: &Tx<'_>, project: &ProjectId) -> Result<Vec<ClaimWait>, Error> {
    let mut queue = tx.claim_queue(project, Time::now())?;
    queue.retain(waits_on);
    Ok(queue)
}

/// Whether a wait that is in the queue no more was withdrawn since it began; a clock that jumps ends none.
pub(super) fn is_withdrawn(tx: &Tx<'_>, project: &ProjectId, since: i64, place: i64) -> Result<bool, Error> {
    let filter =
        EventFilter { project: Some(project), kind: Some("claim.withdrawn"), ..EventFilter::default() };
    let told = tx.events_after(since, &filter, usize::from(u16::MAX))?;
    let place = serde_json::json!(place);
    let is_it = |data: &String| {
        serde_json::from_str::<serde_json::Value>(data).is_ok_and(|data| data["place"] == place)
    };
    Ok(told.iter().any(|event| event.data.as_ref().is_some_and(is_it)))
}

/// Whether a holder waits for one of these patterns.
pub(in crate::services) fn is_asked(
    tx: &Tx<'_>,
    project: &ProjectId,
    holder: &Holder,
    patterns: &[Pattern],
) -> Result<bool, Error> {
    let waits = living(tx, project)?;
    let mut own = waits.iter().filter(|wait| wait.holder == *holder);
    Ok(own.any(|wait| wait.patterns.iter().any(|pattern| patterns.contains(pattern))))
}

/// Whether the process that waits is there.
fn waits_on(wait: &ClaimWait) -> bool {
    wait.alive.as_deref().is_none_or(|file| life::is_held(Path::new(file)))
}

/// The first of those who wait that a wish for these patterns comes after.
pub(super) fn first<'w>(
    project: &Project,
    queue: impl IntoIterator<Item = &'w ClaimWait>,
    mode: Mode,
    patterns: &[Pattern],
) -> Option<Before> {
    queue.into_iter().find_map(|wait| {
        let witness = excludes(project, wait, mode, patterns)?;
        Some(Before { witness, holder: wait.holder.clone() })
    })
}

/// Who is to have something of these patterns before a holder who asks now, also where all of it is free. A holder
/// does not come after itself, nor after who waits for it: both would wait for each other.
pub(in crate::services) fn before(
    tx: &Tx<'_>,
    project: &Project,
    holder: &Holder,
    mode: Mode,
    patterns: &[Pattern],
) -> Result<Option<Before>, Error> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let queue = living(tx, &project.id)?;
    let others = queue.iter().filter(|wait| wait.holder != *holder);
    let Some(before) = first(project, others, mode, patterns) else { return Ok(None) };
    let mut graph = waits(tx, project, &queue)?;
    graph.add(holder, &before.holder);
    Ok(graph.cycle(holder).is_none().then_some(before))
}

/// Who waits for what overlaps these patterns, and so is to have it before a task that comes now: what it is and
/// whose wish. A person who takes files over waits until their worker has ended.
pub(in crate::services) fn asked_first(
    tx: &Tx<'_>,
    project: &Project,
    patterns: &[Pattern],
) -> Result<Option<(String, HolderName)>, Error> {
    let before = first(project, &queue(tx, &project.id)?, Mode::Exclusive, patterns);
    Ok(before.map(|before| (before.witness, before.holder.name)))
}

/// A path that a wait keeps from whoever comes later.
fn excludes(project: &Project, wait: &ClaimWait, mode: Mode, patterns: &[Pattern]) -> Option<String> {
    if !claim::excludes(mode, wait.mode) {
        return None;
    }
    let mut pairs = patterns.iter().flat_map(|a| wait.patterns.iter().map(move |b| (a, b)));
    pairs.find_map(|(a, b)| meet(project, a, b))
}

fn meet(project: &Project, a: &Pattern, b: &Pattern) -> Option<String> {
    overlap_of(a, b, &|path| project.is_file(path))
}

/// Refuses a wait that can never end, because those whom it waits for wait for it: to whoever looks
/// first, so that the others get on.
pub(super) fn refuse_deadlock(
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
        let before = queue[..at].iter();
        for before in before.filter(|it| excludes(project, it, wait.mode, &wait.patterns).is_some()) {
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
