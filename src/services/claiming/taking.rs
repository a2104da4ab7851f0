//! Taking over: a person claims what others hold, and says why.
//!
//! What agents and persons hold is released in the transaction that grants it, so that no two claims
//! ever overlap. An attempt is stopped, which saves its work first, and then waited for like any holder; its task
//! waits for its files in turn, and goes on when they are free.

use super::{Answer, Wish};
use crate::base::ids::{AttemptId, PlanId};
use crate::base::sorting;
use crate::domain::attempt::AttemptState;
use crate::domain::claim::{Conflict, Held, HolderKind};
use crate::domain::refusal::{Code, Refusal};
use crate::services::project::Project;
use crate::services::{Error, Session, dispatching, steering};
use crate::store::Tx;

/// Seconds that a take-over waits for an attempt to be saved, unless told.
pub const STOPPING_S: u64 = 60;

/// Who may take over, and what they have to say.
pub fn check(wish: &Wish) -> Result<(), Refusal> {
    if !wish.take_over {
        return Ok(());
    }
    if wish.holder.kind != HolderKind::Person {
        return Err(Refusal::new(
            Code::NotAllowed,
            format!("{} is no person, and only a person takes over what others hold", wish.holder.name),
            "wait for it with wait_s, or ask the person, who takes it over in a terminal of their own",
        ));
    }
    if wish.reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
        return Err(Refusal::new(
            Code::Usage,
            "a take-over wants a reason",
            "say why in reason: whoever held it is told so",
        ));
    }
    Ok(())
}

/// Tries to get what is wished for, with `attempt`; what stands in the way and can be released is.
pub fn granted(
    tx: &Tx<'_>,
    project: &Project,
    wish: &Wish,
    attempt: impl Fn(&Tx<'_>) -> Result<Answer, Error>,
) -> Result<Answer, Error> {
    let conflicts = match attempt(tx)? {
        Answer::Refused(conflicts) if wish.take_over && !wish.check_only => conflicts,
        answer => return Ok(answer),
    };
    // All or nothing: as long as an attempt is in the way, nobody loses anything.
    if conflicts.is_empty() || conflicts.iter().any(|conflict| is_attempts(&conflict.held)) {
        return Ok(Answer::Refused(conflicts));
    }
    let reason = wish.reason.as_deref().unwrap_or_default();
    for held in each_once(&conflicts) {
        tx.take_claim(&project.id, held, &wish.holder.name, reason)?;
    }
    attempt(tx)
}

/// Stops the attempts that are in the way; tells whether there were any to be waited for.
pub fn stop_attempts(
    session: &Session,
    project: &Project,
    wish: &Wish,
    conflicts: &[Conflict],
) -> Result<bool, Error> {
    let reason = wish.reason.as_deref().unwrap_or_default();
    let held: Vec<&Held> = each_once(conflicts).into_iter().filter(|held| is_attempts(held)).collect();
    let mut ids: Vec<AttemptId> = held.iter().map(|held| AttemptId::new(held.holder.name.as_str())).collect();
    sorting::sort(&mut ids);
    ids.dedup();
    let mut running = Vec::new();
    for id in ids {
        let row = session.store()?.read(|tx| tx.attempt(&id))?;
        match row.map(|row| row.state) {
            Some(AttemptState::Stopping) => {}
            Some(state) if state.outcome().is_none() => running.push(id),
            _ if wish.wait_s > 0 => {}
            _ => return Err(has_ended(&held, &id).into()),
        }
    }
    for held in &held {
        let Some(plan) = held.task.as_deref().and_then(|task| task.split('/').next()) else { continue };
        let conductor = dispatching::live_conductor(session, &PlanId::new(plan))?;
        if let Some((what, hint)) = conductor.as_ref().and_then(dispatching::suspended) {
            let message = format!("{} is held by a task of plan {plan}, and {what}", held.pattern);
            return Err(Refusal::new(Code::Busy, message, hint).into());
        }
    }
    if !running.is_empty() {
        session.store()?.write(|tx| -> Result<(), Error> {
            for held in
                held.iter().filter(|held| running.iter().any(|id| id.as_str() == held.holder.name.as_str()))
            {
                tx.tell_taken(&project.id, held, &wish.holder.name, reason)?;
            }
            Ok(())
        })?;
    }
    for id in &running {
        steering::make_way(session, project, id)?;
    }
    Ok(!held.is_empty())
}

fn has_ended(held: &[&Held], id: &AttemptId) -> Refusal {
    let claim = held.iter().find(|held| id.as_str() == held.holder.name.as_str());
    let (pattern, task) = claim.map_or(("", None), |claim| (claim.pattern.as_str(), claim.task.as_deref()));
    let task = task.unwrap_or_default();
    Refusal::new(
        Code::Conflict,
        format!("{pattern} is held by attempt {id} of task {task}, which has ended: its work is judged, lands, or waits for a decision"),
        format!("wait for it with wait_s; control cancel with target {task} calls the task off and frees its files"),
    )
    .with("holder", id)
}

fn is_attempts(held: &Held) -> bool {
    held.holder.kind == HolderKind::Attempt
}

/// The claims in the way, each once.
pub(super) fn each_once(conflicts: &[Conflict]) -> Vec<&Held> {
    let mut held: Vec<&Held> = conflicts.iter().map(|conflict| &conflict.held).collect();
    sorting::sort_by_key(&mut held, |held| held.id);
    held.dedup_by_key(|held| held.id);
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::claim::{Holder, Mode};

    #[test]
    fn a_person_takes_over_and_says_why() {
        let table = [
            (false, HolderKind::Agent, None, None),
            (true, HolderKind::Person, Some("by hand"), None),
            (true, HolderKind::Person, Some("  "), Some(Code::Usage)),
            (true, HolderKind::Person, None, Some(Code::Usage)),
            (true, HolderKind::Agent, Some("x"), Some(Code::NotAllowed)),
            (true, HolderKind::Attempt, Some("x"), Some(Code::NotAllowed)),
        ];
        for (take_over, kind, reason, refused) in table {
            let wish = Wish {
                patterns: Vec::new(),
                mode: Mode::Exclusive,
                holder: Holder { kind, name: "ann".into() },
                ttl_s: 1,
                reason: reason.map(str::to_owned),
                wait_s: 0,
                check_only: false,
                take_over,
            };
            assert_eq!(check(&wish).err().map(|refusal| refusal.code), refused, "{kind:?} {reason:?}");
        }
    }
}
