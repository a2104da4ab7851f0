//! What a running conductor tells about itself, and to whom it hands that.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::ids::{ConductorId, PlanId};
use crate::domain::conducting::{self, ConductorState, PlanState};
use crate::services::querying::{self, PlanView};
use crate::services::{Error, Session};

/// A conductor as it knows itself while it runs.
#[derive(Debug)]
pub struct Vitals {
    /// Its id.
    pub id: ConductorId,
    /// The plan it runs.
    pub plan: PlanId,
    passes: AtomicU64,
}

/// How a conductor is at one moment.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Where it is.
    pub state: ConductorState,
    /// Whether it lets nothing new start because its plan is paused.
    pub is_paused: bool,
    /// Scheduling passes so far.
    pub passes: u64,
    /// Its plan with the counts of its tasks.
    pub plan: PlanView,
}

/// Where a conductor can be spoken to. Whoever connects is served until this is dropped. It may not be open: something
/// lies in its place.
pub trait Socket {
    /// The socket's path.
    fn path(&self) -> &Path;

    /// Opens it anew where somebody removed its file or put something else in its place.
    fn tend(&mut self);
}

impl Vitals {
    /// A conductor that has made no pass yet.
    pub fn new(id: ConductorId, plan: PlanId) -> Self {
        Self { id, plan, passes: AtomicU64::new(0) }
    }

    /// Counts a scheduling pass.
    pub(super) fn count_pass(&self) {
        self.passes.fetch_add(1, Ordering::Relaxed);
    }

    /// How the conductor is now. Asked within its process, so it does live.
    ///
    /// # Errors
    /// The database fails, or the plan is not in it.
    pub fn condition(&self, session: &Session) -> Result<Condition, Error> {
        let row = session.store()?.read(|tx| tx.conductor(&self.id))?;
        let plan = querying::plan(session, &self.plan)?;
        Ok(Condition {
            // Its socket is there a moment before its row is.
            state: conducting::where_it_is(
                row.map_or(ConductorState::Running, |row| row.state),
                true,
                Some(plan.row.state),
            ),
            is_paused: plan.row.state == PlanState::Paused,
            passes: self.passes.load(Ordering::Relaxed),
            plan,
        })
    }
}
