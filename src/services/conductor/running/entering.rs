//! How a conductor enters: it takes its plan, is registered, and is let in where there is room.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Conductor;
use crate::base::clock::Time;
use crate::base::ids::{ConductorId, PlanId, ProjectId};
use crate::domain::conducting::ConductorState;
use crate::services::{Error, Session, admitting, querying};
use crate::store::Tx;
use crate::store::conductors::ConductorRow;
use crate::store::events::NewEvent;
use crate::store::watch::Watch;
use crate::sys::config::Config;
use crate::sys::process::life::Life;
use crate::sys::process::tree;

/// How often it is looked whether a conductor that ends has ended.
const LAST_STEPS: Duration = Duration::from_millis(20);

/// The lock of the plan; `None` if a conductor has it that will see what is to be done. One that has
/// recorded its end will not, so its last steps are waited for.
pub(super) fn take_plan(session: &Session, plan: &PlanId, life_file: &Path) -> Result<Option<Life>, Error> {
    let watch = Watch::new(&session.house.root)?;
    loop {
        let taken = Life::take(life_file).map_err(|error| Error::system("cannot lock the plan", error))?;
        let holder = session.store()?.read(|tx| tx.conductor_of(plan))?;
        let will_see = |holder: ConductorRow| holder.state.should_live() && querying::has_process(&holder);
        if taken.is_some() || holder.is_some_and(will_see) {
            return Ok(taken);
        }
        // The end of a process is told by no change of the database.
        watch.wait(Some(Instant::now() + LAST_STEPS));
    }
}

pub(super) fn register(
    session: &Session,
    project: &ProjectId,
    plan: &PlanId,
    id: &ConductorId,
    life: &Life,
    socket: Option<PathBuf>,
    admission: (&Config, bool),
) -> Result<i64, Error> {
    let pid = std::process::id();
    let identity = tree::identity(pid as i32);
    session.store()?.write(|tx| -> Result<i64, Error> {
        let tell = |kind, text| {
            tx.append_event(project, &NewEvent { kind, plan: Some(plan), text, ..NewEvent::default() })
        };
        // Whoever had the plan before is dead: its lock was free. Or somebody removed the lock's file, and it leaves
        // as soon as it finds the plan taken.
        if let Some(before) = tx.conductor_of(plan)?.filter(|before| before.state.should_live()) {
            let who = format!("conductor {} (process {}) of plan {plan}", before.id, before.pid);
            if querying::is_itself(&before) {
                tx.set_conductor_state(&before.id, ConductorState::Stopped)?;
                let text = format!("{who} has lost its lock file, and leaves the plan to another");
                tell("conductor.superseded", text)?;
            } else {
                tx.set_conductor_state(&before.id, ConductorState::Crashed)?;
                let text = format!("{who} died; it was last heard of at {}", before.heartbeat_at);
                tell("conductor.crashed", text)?;
            }
        }
        let (config, launch_anyway) = admission;
        let own = (project, plan);
        let why = match launch_anyway {
            true => None,
            false => admitting::why_it_waits(tx, config, own, None)?,
        };
        tx.set_seat_wait(project, plan, None)?;
        let fencing = tx.next_fencing(plan)?;
        let now = Time::now();
        tx.insert_conductor(&ConductorRow {
            id: id.clone(),
            project: project.clone(),
            plan: plan.clone(),
            state: ConductorState::Running,
            pid,
            start_time: identity.as_ref().map_or(0, |identity| identity.start_time),
            boot_id: identity.map(|identity| identity.boot_id).unwrap_or_default(),
            socket: socket.map(|path| path.to_string_lossy().into_owned()),
            alive: life.path().to_string_lossy().into_owned(),
            fencing,
            started_at: now,
            heartbeat_at: now,
        })?;
        // In one with its row: whatever becomes of it, who began its attempts is known.
        tell("conductor.started", format!("conductor {id} (process {pid}) runs plan {plan}"))?;
        if why.is_some() {
            admit(tx, own, id, why.as_deref())?;
        }
        Ok(fencing)
    })
}

/// Records that a conductor waits for room, or that it waits no more.
fn admit(
    tx: &Tx<'_>,
    (project, plan): (&ProjectId, &PlanId),
    conductor: &ConductorId,
    why: Option<&str>,
) -> Result<(), Error> {
    let (state, kind, text) = match why {
        Some(why) => {
            (ConductorState::Queued, "conductor.queued", format!("plan {plan} waits for room: {why}"))
        }
        None => (ConductorState::Running, "conductor.admitted", format!("there is room for plan {plan}")),
    };
    tx.set_conductor_state(conductor, state)?;
    tx.append_event(project, &NewEvent { kind, plan: Some(plan), text, ..NewEvent::default() })?;
    Ok(())
}

impl Conductor<'_> {
    /// Whether there is room for this conductor; those who wait for longer go first.
    pub(super) fn admitted(&mut self) -> Result<bool, Error> {
        if self.is_admitted {
            return Ok(true);
        }
        let desk = &self.desk;
        let (config, own) = (&desk.config, (&desk.project.id, &desk.plan_id));
        let look = |tx: &Tx<'_>| -> Result<_, Error> {
            let row = tx.conductor(&desk.conductor)?;
            let why = match self.launch_anyway {
                true => None,
                false => admitting::why_it_waits(tx, config, own, row.as_ref())?,
            };
            Ok((row, why))
        };
        let (row, mut why) = desk.store()?.read(look)?;
        let is_queued = row.is_some_and(|row| row.state == ConductorState::Queued);
        if why.is_some() != is_queued {
            // Decided and recorded at once: of two who see the same room one gets it.
            why = desk.write(|tx| -> Result<_, Error> {
                let (_, why) = look(tx)?;
                admit(tx, own, &desk.conductor, why.as_deref())?;
                Ok(why)
            })?;
        }
        self.is_admitted = why.is_none();
        Ok(self.is_admitted)
    }
}
