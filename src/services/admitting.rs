//! Admission: whether there is room for another plan or another worker, who waits for it, and at which place.

use std::path::Path;

use super::project::Project;
use super::querying::PlanView;
use super::{Error, Session, insisting, querying, routing};
use crate::base::clock::Time;
use crate::base::ids::{PlanId, ProjectId};
use crate::domain::conducting::{self, ConductorState, PlanState};
use crate::domain::refusal::{Code, Refusal};
use crate::domain::task::TaskState;
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::store::conductors::ConductorRow;
use crate::sys::config::Config;
use crate::sys::process::life;

/// No person has more conductors at once.
const ALL: usize = 10_000;

/// The workers of a project who may be at work at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seats<'a> {
    /// The project.
    pub project: &'a ProjectId,
    /// How many they are.
    pub most: u32,
}

impl Seats<'_> {
    /// What is said of it where all of them are busy.
    pub fn taken(self, tx: &Tx<'_>) -> Result<Option<String>, Error> {
        Ok(self.taken_by(&querying::seated(tx)?))
    }

    fn taken_by(self, live: &[AttemptRow]) -> Option<String> {
        let count = live.iter().filter(|attempt| attempt.project == *self.project).count();
        (count >= self.most as usize).then(|| routing::busy(count, self.most))
    }
}

/// Those who are before a conductor: who was let in, and who waits for longer. One whose plan is paused before it was
/// let in keeps nobody back, nor does one that hangs.
struct Before {
    admitted: Vec<ConductorRow>,
    waiting: Vec<ConductorRow>,
}

impl Before {
    /// Of a plan that has this conductor, or would get one now.
    fn of(tx: &Tx<'_>, plan: &PlanId, own: Option<&ConductorRow>) -> Result<Self, Error> {
        let mut live = tx.conductors(None, false, ALL)?;
        live.retain(|row| row.plan != *plan && life::is_held(Path::new(&row.alive)));
        let (mut waiting, admitted): (Vec<_>, Vec<_>) =
            live.into_iter().partition(|row| row.state == ConductorState::Queued);
        if let Some(own) = own {
            waiting.retain(|row| (row.started_at, &row.id) < (own.started_at, &own.id));
        }
        let mut found = Self { admitted, waiting: Vec::new() };
        let now = Time::now();
        for row in waiting {
            if !conducting::is_silent(now.millis_since(row.heartbeat_at))
                && tx.plan(&row.plan)?.is_some_and(|plan| plan.state == PlanState::Running)
            {
                found.waiting.push(row);
            }
        }
        Ok(found)
    }

    /// Why there is no room for a plan of this project's.
    fn why_full(&self, config: &Config, project: &ProjectId) -> Option<String> {
        let here = |rows: &[ConductorRow]| rows.iter().filter(|row| row.project == *project).count();
        let places = [
            (here(&self.admitted), here(&self.waiting), Some(config.max_conductors), "plans of this project"),
            (self.admitted.len(), self.waiting.len(), config.machine.max_conductors, "plans on this machine"),
        ];
        places.into_iter().find_map(|(admitted, waiting, most, whose)| {
            let most = most.filter(|most| admitted + waiting >= *most as usize)?;
            let before = match waiting {
                0 => String::new(),
                1 => ", and 1 waits already".to_owned(),
                n => format!(", and {n} wait already"),
            };
            Some(format!("{admitted} of {most} {whose} run{before}"))
        })
    }
}

/// Why a conductor has to wait for room; nothing where it may begin. Who was let in stays so, whatever the clock says.
///
/// # Errors
/// The database fails.
pub fn why_it_waits(
    tx: &Tx<'_>,
    config: &Config,
    own: (&ProjectId, &PlanId),
    row: Option<&ConductorRow>,
) -> Result<Option<String>, Error> {
    let (project, plan) = own;
    let full = Before::of(tx, plan, row)?.why_full(config, project);
    match full {
        Some(why) if !insisting::is_decided(tx, plan)? => Ok(Some(why)),
        _ => Ok(None),
    }
}

/// Why a worker of a plan's cannot begin now for want of seats or of the machine's: the reason and its figures.
///
/// # Errors
/// The database fails.
pub fn why_no_worker(
    tx: &Tx<'_>,
    config: &Config,
    project: &ProjectId,
) -> Result<Option<(&'static str, String)>, Error> {
    let live = querying::seated(tx)?;
    if let Some(busy) = (Seats { project, most: config.max_workers }).taken_by(&live) {
        return Ok(Some(("slot", busy)));
    }
    let of_machine = config.machine.max_workers;
    if let Some(most) = of_machine
        && live.len() >= most as usize
    {
        return Ok(Some(("slot", routing::busy_machine(most))));
    }
    Ok(insisting::lacking(&config.machine))
}

/// Why nothing more of a running plan begins on this machine, though something could: what lacks, and that in words.
///
/// # Errors
/// The database fails.
pub fn kept_back(session: &Session, plan: &PlanView) -> Result<Option<(&'static str, String)>, Error> {
    if plan.state != PlanState::Running || plan.count(&[TaskState::Ready, TaskState::Rejected]) == 0 {
        return Ok(None);
    }
    // The limits of the machine are the person's, whichever project is asked.
    let Ok(config) = session.project().and_then(|project| session.config_at_work(&project)) else {
        return Ok(None);
    };
    let Some(lacking) = insisting::lacking(&config.machine) else { return Ok(None) };
    let is_decided = session.store()?.read(|tx| insisting::is_decided(tx, &plan.row.id))?;
    let (what, why) = lacking;
    Ok((!is_decided).then(|| (what, format!("no worker starts: {why}"))))
}

/// Refuses to start a plan where it would have to wait.
pub fn refuse_if_full(
    session: &Session,
    project: &Project,
    config: &Config,
    plan: &PlanId,
) -> Result<(), Error> {
    let why = session.store()?.read(|tx| -> Result<_, Error> {
        if let Some(full) = Before::of(tx, plan, None)?.why_full(config, &project.id) {
            return Ok(Some(full));
        }
        let no_worker = why_no_worker(tx, config, &project.id)?;
        Ok(no_worker.map(|(_, why)| format!("nothing would begin: {why}")))
    })?;
    let Some(why) = why else { return Ok(()) };
    let next = "wait for that to end, or dispatch with when_full queue or launch";
    Err(Refusal::new(Code::Busy, why, next).into())
}

/// The place in the queue of a plan that is to run and waits for room.
///
/// # Errors
/// The database fails.
pub fn position(session: &Session, plan: &PlanView) -> Result<Option<u64>, Error> {
    let is_queued =
        |row: &&ConductorRow| row.state == ConductorState::Queued && plan.row.state == PlanState::Running;
    plan.conductor.as_ref().filter(is_queued).map(|row| place_in_queue(session, row)).transpose()
}

/// The place of a conductor that waits for room, from 1: who came first begins first. Where the machine has as many
/// as it may, it stands among those of all projects, else among those of its own.
///
/// # Errors
/// The database fails.
pub fn place_in_queue(session: &Session, row: &ConductorRow) -> Result<u64, Error> {
    let before = session.store()?.read(|tx| Before::of(tx, &row.plan, Some(row)))?;
    // The limits of the machine are the person's, whichever project is asked.
    let config = session.project().and_then(|project| session.config_at_work(&project)).ok();
    let most = config.and_then(|it| it.machine.max_conductors);
    let is_of_machine = most.is_some_and(|most| before.admitted.len() >= most as usize);
    let is_before =
        |other: &&ConductorRow| querying::is_alive(other) && (is_of_machine || other.project == row.project);
    Ok(before.waiting.iter().filter(is_before).count() as u64 + 1)
}
