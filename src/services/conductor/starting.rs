//! Starting an attempt: everything it needs is taken in one transaction, or nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::attempt;
use super::desk::Desk;
use super::seating::Tried;
use super::{continuing, crashing, seating};
use crate::base::ids::{AttemptId, HolderName, ProviderName, random_tail};
use crate::domain::attempt::Outcome;
use crate::domain::claim::{self, Decision, Holder, HolderKind, Mode};
use crate::domain::plan::Task;
use crate::domain::route::{Choice, Shut};
use crate::domain::task::TaskState;
use crate::services::environments::working::{self, Entered};
use crate::services::spending::{self, Spent};
use crate::services::{Error, asking, claiming, local, owning, querying, routing};
use crate::store::Tx;
use crate::store::attempts::{AttemptRow, NewAttempt};
use crate::store::claims::NewClaims;
use crate::store::events::NewEvent;
use crate::sys::config::resolved::{Isolation, ProviderKind};

/// What came of the wish to start a task.
#[derive(Debug)]
pub enum Begun {
    /// It is recorded and may be acted on.
    Attempt(Box<AttemptRow>),
    /// Something is in the way: the reason and on what.
    Waits(&'static str, String),
    /// The plan's own money does not do for it, and no more will come.
    Unpaid(Spent),
    /// The task moved meanwhile.
    Not,
}

/// Records a new attempt at a task with its claims, its seat and its money.
pub fn begin(desk: &Desk, task: &Task, base: Option<&str>) -> Result<Begun, Error> {
    // A name that has a shim already, where there is one.
    let reserved = desk.spares.reserve();
    let id = reserved.as_ref().map_or_else(new_attempt, AttemptId::new);
    let mut seen = Seen::default();
    let begun = loop {
        let looked = match record(desk, task, base, &id, &seen) {
            Ok(Step::Begun(begun)) => break Ok(begun),
            Ok(Step::Look(provider)) => look(desk, &provider).map(|()| seen.providers.push(provider)),
            Ok(Step::Enter(name)) => {
                working::enter(desk, &name, base).map(|entered| drop(seen.environments.insert(name, entered)))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = looked {
            break Err(error);
        }
    };
    if let Some(name) = reserved.filter(|_| !matches!(begun, Ok(Begun::Attempt(_)))) {
        desk.spares.give_back(&name);
    }
    begun
}

/// A name for an attempt that nobody has yet.
pub fn new_attempt() -> AttemptId {
    AttemptId::new(format!("a-{}", random_tail(10)))
}

/// What came of trying to record an attempt.
enum Step {
    Begun(Begun),
    /// A model of this machine would get it, and nobody has looked whether it is there.
    Look(ProviderName),
    /// It would begin in an environment, and nobody has looked how that is.
    Enter(String),
}

/// What was looked at outside of any transaction.
#[derive(Default)]
struct Seen {
    /// The models of this machine.
    providers: Vec<ProviderName>,
    /// The environments, by the name as it was asked for.
    environments: BTreeMap<String, Result<Entered, Shut>>,
}

impl Seen {
    /// The environments in which nothing can begin.
    fn shut(&self) -> impl Iterator<Item = (&str, &Shut)> {
        self.environments.iter().filter_map(|(name, entered)| Some((name.as_str(), entered.as_ref().err()?)))
    }
}

/// Looks whether a model of this machine is there; if not, it gets nothing for a while, and the next of
/// the chain gets the task. No transaction waits for that.
fn look(desk: &Desk, name: &ProviderName) -> Result<(), Error> {
    let provider = desk.config.providers.get(name);
    if let Some(why) = provider.and_then(|provider| local::why_not(&desk.session.house, provider)) {
        asking::cool_down(&desk.session, &desk.project, name, &asking::away(&why))?;
    }
    Ok(())
}

fn record(desk: &Desk, task: &Task, base: Option<&str>, id: &AttemptId, seen: &Seen) -> Result<Step, Error> {
    let is_local = |name: &ProviderName| {
        desk.config.providers.get(name).is_some_and(|provider| provider.kind == ProviderKind::Ollama)
    };
    let kept = claiming::leaving::keep(&desk.session.house, &desk.project, &task.files)?;
    desk.store()?.write(|tx| -> Result<Step, Error> {
        if tx.fencing(&desk.plan_id)? != desk.fencing {
            return Ok(Step::Begun(Begun::Not));
        }
        let state = tx.task(&desk.plan_id, &task.id)?.map(|row| row.state);
        if !matches!(state, Some(TaskState::Ready | TaskState::Rejected)) {
            return Ok(Step::Begun(Begun::Not));
        }
        let earlier = tx.attempts_at(&desk.plan_id, &task.id)?;
        let task = spending::with_what_is_left(tx, desk, task)?;
        let task = &*task;
        let live = querying::seated(tx)?;
        let avoid: Vec<ProviderName> = earlier
            .iter()
            .filter(|attempt| attempt.state.outcome() == Some(Outcome::RateLimited))
            .map(|attempt| attempt.provider.clone())
            .collect();
        let had_theirs = attempt::goes_on(desk, task, &attempt::counted(&earlier)).unwrap_or_default();
        let tried = Tried { avoid: &avoid, out: &had_theirs };
        let seated = seating::seat(tx, desk, task, &live, tried, seen.shut())?;
        let (choice, why, for_group, able) = (seated.choice, seated.why, seated.for_group, seated.able);
        let seat = match choice {
            Choice::Seat(seat) if is_local(&seat.provider) && !seen.providers.contains(&seat.provider) => {
                return Ok(Step::Look(seat.provider));
            }
            Choice::Seat(seat) => seat,
            Choice::Wait { reason, on } => {
                let is_money = reason == "budget";
                let spent = if is_money { spending::plan_is_spent(tx, desk, task, &able)? } else { None };
                let begun = waits(tx, desk, task, reason, on)?;
                return Ok(Step::Begun(spent.map_or(begun, Begun::Unpaid)));
            }
            Choice::Nobody(why) => {
                tx.move_task(&desk.project.id, &desk.plan_id, &task.id, TaskState::Failed, Some(&why))?;
                return Ok(Step::Begun(Begun::Not));
            }
        };
        if let Some(on) = in_the_same_folder(tx, desk, task)? {
            return Ok(Step::Begun(waits(tx, desk, task, "claim", on)?));
        }
        crashing::try_again(tx, desk, &seat.worker)?;
        let run_dir = desk.session.house.run_dir(id.as_str());
        let alive = run_dir.join("lock").to_string_lossy().into_owned();
        let holder = Holder { kind: HolderKind::Attempt, name: HolderName::new(id.as_str()) };
        claiming::free_the_dead(tx, &desk.project.id, &task.files, &kept)?;
        let mut held = owning::in_the_way(tx, &desk.project.id, &desk.plan_id, &task.id, &task.files)?;
        // What the attempt before held is this one's; nobody could come between.
        let is_before = |held: &Holder| {
            held.kind == HolderKind::Attempt
                && earlier.last().is_some_and(|before| before.id.as_str() == held.name.as_str())
        };
        for claim in held.iter_mut().filter(|claim| is_before(&claim.holder)) {
            claim.holder = holder.clone();
        }
        let is_file = |path: &str| desk.project.is_file(path);
        let (mut fencing, insert) = match claim::decide(&task.files, Mode::Exclusive, &holder, &held, &is_file) {
            Decision::Grant { renew, insert, .. } => {
                // Who holds something of it already goes on, or both would wait for each other.
                let first = match renew.is_empty() {
                    true => claiming::waiting::asked_first(tx, &desk.project, &task.files)?,
                    false => None,
                };
                if let Some((witness, who)) = first {
                    let on = format!("{witness} was asked for by {who} before");
                    return Ok(Step::Begun(waits(tx, desk, task, "claim", on)?));
                }
                (renew.iter().map(|id| id.0).max().unwrap_or(0), insert)
            }
            Decision::Refuse(conflicts) => {
                let on = match conflicts.first() {
                    Some(conflict) => owning::held_by(tx, &desk.session.house, conflict)?,
                    None => String::new(),
                };
                return Ok(Step::Begun(waits(tx, desk, task, "claim", on)?));
            }
        };
        let environment = routing::environment_of(tx, &desk.config, &desk.project.id, task, &seat)?;
        let entered = match environment.map(|name| (seen.environments.get(&name), name)) {
            Some((None, name)) => return Ok(Step::Enter(name)),
            Some((Some(Err(_)), name)) => return Err(Error::Bug(format!("{name} is shut, and was chosen"))),
            Some((Some(Ok(entered)), _)) => Some(entered),
            None => None,
        };
        if let Some(before) = earlier.last() {
            let own = (&desk.plan_id, &task.id);
            tx.hand_over_claims(&desk.project.id, own, &before.id, id, &alive)?;
        }
        let new = NewClaims {
            holder: &holder,
            mode: Mode::Exclusive,
            task: Some((&desk.plan_id, &task.id)),
            reason: None,
            alive: Some(&alive),
            expires_at: owning::expiry(),
        };
        for pattern in &insert {
            fencing = fencing.max(tx.insert_claim(&desk.project.id, pattern, &new)?.0);
        }
        let number = earlier.last().map_or(1, |before| before.number + 1);
        let isolation = desk.config.isolation;
        let before = earlier.last().filter(|before| entered.is_none() && continuing::goes_on(isolation, before));
        let base = before.map_or(base, |before| before.base.as_deref());
        let base = entered.map_or(base, |entered| Some(entered.base.as_str()));
        let worktree = match (isolation, before.and_then(|before| before.worktree.as_deref())) {
            _ if let Some(entered) = entered => entered.path.clone(),
            (Isolation::Shared, _) => desk.project.top()?.to_owned(),
            (Isolation::Worktree, Some(folder)) => PathBuf::from(folder),
            (Isolation::Worktree, None) => desk.project.worktrees(&desk.session.house).join(id.as_str()),
        };
        tx.insert_attempt(&NewAttempt {
            id,
            project: &desk.project.id,
            plan: &desk.plan_id,
            task: &task.id,
            number,
            worker: &seat.worker,
            provider: &seat.provider,
            run_dir: &run_dir.to_string_lossy(),
            worktree: &worktree.to_string_lossy(),
            environment: entered.map(|entered| entered.name.as_str()),
            for_group: for_group.as_deref(),
            base,
            fencing,
            reserve: spending::reserve(tx, &desk.config, &spending::wish(desk, &seat.provider, task))?,
        })?;
        // A task that was rejected is ready first; both steps are one change to the world.
        tx.move_task(&desk.project.id, &desk.plan_id, &task.id, TaskState::Ready, None)?;
        if !tx.move_task(&desk.project.id, &desk.plan_id, &task.id, TaskState::Running, None)? {
            return Err(Error::Bug(format!("task {} could not start", task.id)));
        }
        tx.renew_seat_wait(&desk.plan_id)?;
        let place = match (entered, &seat.environment) {
            (Some(entered), _) => format!(" in {}", entered.name),
            (None, Some(own)) => format!(", outside of {own}, which nobody has made"),
            (None, None) => String::new(),
        };
        tx.append_event(
            &desk.project.id,
            &NewEvent {
                kind: "attempt.started",
                plan: Some(&desk.plan_id),
                task: Some(&task.id),
                attempt: Some(id),
                text: format!("task {}: try {number} by {}{place}", task.id, seat.worker),
                data: Some(
                    serde_json::json!({"worker": seat.worker.as_str(), "provider": seat.provider.as_str(), "why": why})
                        .to_string(),
                ),
                ..NewEvent::default()
            },
        )?;
        let row = tx.attempt(id)?.ok_or_else(|| Error::Bug(format!("attempt {id} vanished")))?;
        Ok(Step::Begun(Begun::Attempt(Box::new(row))))
    })
}

/// Who keeps a task from beginning where all work in one folder. A task without files owns what it changes; as long
/// as it works nobody else does, since whose a change is could not be told.
fn in_the_same_folder(tx: &Tx<'_>, desk: &Desk, task: &Task) -> Result<Option<String>, Error> {
    if desk.config.isolation != Isolation::Shared {
        return Ok(None);
    }
    let is_open = task.files.is_empty();
    let at_work = tx.tasks_unsaved(&desk.project.id)?.into_iter();
    let mut others = at_work.filter(|(plan, id, _)| (plan, id) != (&desk.plan_id, &task.id));
    let other = others.find(|(_, _, owns)| is_open || !owns);
    Ok(other.map(|(plan, id, owns)| {
        if owns {
            format!("{plan}/{id} works in the folder, and what this one will change nobody knows yet")
        } else {
            format!("{plan}/{id} works in the folder, and owns whatever it changes there")
        }
    }))
}

fn waits(tx: &Tx<'_>, desk: &Desk, task: &Task, reason: &'static str, on: String) -> Result<Begun, Error> {
    desk.give_reason(tx, &task.id, &format!("{reason}: {on}"))?;
    Ok(Begun::Waits(reason, on))
}
