//! What a conductor has before it: the project, the plan, the rules.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::launching::{PRIVATE, PRIVATE_TMP, PROMPT};
use super::starting::new_attempt;
use crate::base::clock::Time;
use crate::base::ids::{ConductorId, PlanId, TaskId};
use crate::base::shared::Shared;
use crate::domain::plan::{CommandLine, Plan, Rules, Task};
use crate::domain::refusal::{Code, Refusal};
use crate::services::planning::rows::stored_plan;
use crate::services::project::Project;
use crate::services::{Error, Session, landing, walling};
use crate::store::events::NewEvent;
use crate::store::plans::{Pace, PlanRow};
use crate::store::{Store, Tx};
use crate::sys::config::{Config, Ecosystem};
use crate::sys::git::Git;
use crate::sys::shim::spare::{MadeAhead, Spares};

/// As many shims wait for an attempt at most: two may be started while one is being replaced.
const MOST_SPARES: usize = 2;

/// Everything about one running plan that does not change while it runs, and the plan itself.
#[derive(Debug)]
pub struct Desk {
    /// The conductor's own calls.
    pub session: Session,
    /// The project.
    pub project: Project,
    /// Its configuration, as it was when this desk was laid out: what is at work keeps it to its end.
    pub config: Config,
    /// Its git.
    pub git: Git,
    /// What the ecosystem offers where no command is configured.
    pub ecosystem: Ecosystem,
    /// The plan.
    pub plan_id: PlanId,
    /// The conductor.
    pub conductor: ConductorId,
    /// Its fencing number: when the plan has a greater one, somebody else has taken it over.
    pub fencing: i64,
    /// The work that waits to land.
    pub landings: Arc<landing::Queue>,
    /// Shims that wait for an attempt.
    pub spares: Arc<Spares>,
    plan: Arc<Shared<Arc<Plan>>>,
    pace: Arc<Shared<Pace>>,
    /// The waits that were told, by their tasks.
    waits: Arc<Shared<BTreeSet<String>>>,
    /// The tasks whose reviews the plan's own money does not pay for, and why.
    unpaid: Arc<Shared<Vec<(String, String)>>>,
    is_stopping: Arc<AtomicBool>,
}

impl Desk {
    /// Lays out a plan.
    pub fn new(
        session: Session,
        project: Project,
        config: Config,
        git: Git,
        plan_id: PlanId,
        conductor: ConductorId,
        fencing: i64,
    ) -> Result<Self, Error> {
        let ecosystem = crate::sys::config::ecosystem::find(project.top()?);
        let hidden = if walling::is_walled(&config) { walling::secrets(&session.house) } else { Vec::new() };
        let spares = Spares::new(
            &session.house.program,
            &session.house.run_dir(""),
            MadeAhead { hidden, folders: &[PRIVATE, PRIVATE_TMP], files: &[PROMPT] },
            MOST_SPARES.min(config.max_workers as usize),
            || new_attempt().as_str().to_owned(),
        );
        let desk = Self {
            session,
            project,
            config,
            git,
            ecosystem,
            plan_id,
            conductor,
            fencing,
            landings: Arc::default(),
            spares: Arc::new(spares),
            plan: Arc::default(),
            pace: Arc::default(),
            waits: Arc::default(),
            unpaid: Arc::default(),
            is_stopping: Arc::default(),
        };
        desk.take_in_the_new()?;
        desk.take_in_the_pace(desk.row()?.pace);
        Ok(desk)
    }

    /// The same desk for what begins from now on, with another configuration. Where work is done,
    /// behind which wall, and where it lands was settled when the plan started.
    #[must_use]
    pub fn with_config(&self, config: Config) -> Self {
        let Config { isolation, wall, target, .. } = &self.config;
        Self {
            session: self.session.clone(),
            project: self.project.clone(),
            config: Config { isolation: *isolation, wall: *wall, target: target.clone(), ..config },
            git: self.git.clone(),
            ecosystem: self.ecosystem.clone(),
            plan_id: self.plan_id.clone(),
            conductor: self.conductor.clone(),
            fencing: self.fencing,
            landings: Arc::clone(&self.landings),
            spares: Arc::clone(&self.spares),
            plan: Arc::clone(&self.plan),
            pace: Arc::clone(&self.pace),
            waits: Arc::clone(&self.waits),
            unpaid: Arc::clone(&self.unpaid),
            is_stopping: Arc::clone(&self.is_stopping),
        }
    }

    /// The database.
    pub fn store(&self) -> Result<&Store, Error> {
        self.session.store()
    }

    /// Records something as the plan's conductor. Once another has the plan, what becomes of it is the other's to
    /// say: nothing is recorded, and this one leaves.
    ///
    /// # Errors
    /// The database fails, the change is refused, or another conductor has the plan.
    pub fn write<T, E: Into<Error>>(&self, change: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, Error> {
        self.store()?.write(|tx| {
            self.still_has_it(tx)?;
            change(tx).map_err(Into::into)
        })
    }

    fn still_has_it(&self, tx: &Tx<'_>) -> Result<(), Error> {
        if tx.fencing(&self.plan_id)? == self.fencing {
            return Ok(());
        }
        self.set_stopping(true);
        Err(self.superseded().into())
    }

    /// Says why a task stands where it stands, and tells it once: of a claim whenever another has it, of anything
    /// else the first time, since its figures change.
    ///
    /// # Errors
    /// The database fails.
    pub fn give_reason(&self, tx: &Tx<'_>, task: &TaskId, reason: &str) -> Result<(), Error> {
        tx.set_task_reason(&self.plan_id, task, Some(reason))?;
        let kind = reason.split(": ").next().unwrap_or(reason);
        let what = if kind == "claim" { reason } else { kind };
        if self.waits.change(|told| told.insert(format!("{task} {what}"))) {
            let (plan, text) = (Some(&self.plan_id), format!("task {task} waits: {reason}"));
            let event = NewEvent { kind: "task.waits", plan, task: Some(task), text, ..NewEvent::default() };
            tx.append_event(&self.project.id, &event)?;
        }
        Ok(())
    }

    /// Notes that the plan's own money does not pay for the review of a task, and why; or that this is over.
    pub fn note_unpaid(&self, task: &TaskId, why: Option<&str>) {
        self.unpaid.change(|unpaid| {
            unpaid.retain(|(other, _)| other != task.as_str());
            unpaid.extend(why.map(|why| (task.as_str().to_owned(), why.to_owned())));
        });
    }

    /// The tasks whose reviews it does not pay for, and why.
    pub fn unpaid(&self) -> Vec<(String, String)> {
        self.unpaid.get()
    }

    /// Whether another conductor has taken the plan over.
    pub fn is_superseded(&self) -> Result<bool, Error> {
        Ok(self.store()?.read(|tx| tx.fencing(&self.plan_id))? != self.fencing)
    }

    fn superseded(&self) -> Refusal {
        Refusal::new(
            Code::Conflict,
            format!("another conductor has taken plan {} over", self.plan_id),
            "kapell list shows it; nothing was changed",
        )
    }

    /// Says whether everything is being left, to be gone on with by the next conductor.
    pub fn set_stopping(&self, is_stopping: bool) {
        self.is_stopping.store(is_stopping, Ordering::SeqCst);
    }

    /// Whether what is not begun is to be left.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// The plan, as it was read last.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.get()
    }

    /// Reads the tasks that were added to the plan: the inbox grows while it runs. Tasks are stored
    /// one behind the other and never taken out.
    pub fn take_in_the_new(&self) -> Result<(), Error> {
        let known = self.plan().tasks.len();
        let added = self.store()?.read(|tx| -> Result<Plan, Error> {
            let row =
                tx.plan(&self.plan_id)?.ok_or_else(|| Error::Bug(format!("no plan {}", self.plan_id)))?;
            stored_plan(&row, &tx.tasks(&self.plan_id, known as i64 - 1, usize::MAX >> 1)?)
        })?;
        self.plan.change(|plan| {
            // Somebody else may have read them at the same time.
            let new = plan.tasks.len() - known;
            if plan.tasks.is_empty() {
                *plan = Arc::new(added);
            } else if new < added.tasks.len() {
                Arc::make_mut(plan).tasks.extend(added.tasks.into_iter().skip(new));
            }
        });
        Ok(())
    }

    /// Takes up what the plan may cost from now on; whether that is another figure than before.
    pub fn take_in_the_budget(&self, row: &PlanRow) -> Result<bool, Error> {
        let budget_usd = stored_plan(row, &[])?.budget_usd;
        Ok(self.plan.change(|plan| {
            let is_new = plan.budget_usd != budget_usd;
            if is_new {
                Arc::make_mut(plan).budget_usd = budget_usd;
            }
            is_new
        }))
    }

    /// Takes up how the plan is run from now on.
    pub fn take_in_the_pace(&self, pace: Pace) {
        self.pace.change(|known| *known = pace);
    }

    /// How the plan is run, as whoever started it said.
    fn pace(&self) -> Pace {
        self.pace.get()
    }

    /// The plan's row as it is now.
    pub fn row(&self) -> Result<PlanRow, Error> {
        self.store()?
            .read(|tx| tx.plan(&self.plan_id))?
            .ok_or_else(|| Error::Bug(format!("no plan {}", self.plan_id)))
    }

    /// A task of the plan.
    pub fn task(&self, id: &TaskId) -> Result<Task, Error> {
        let plan = self.plan();
        let found = plan.tasks.iter().find(|task| task.id == *id).cloned();
        found.ok_or_else(|| Error::Bug(format!("no task {id} in plan {}", self.plan_id)))
    }

    /// The rules of a task: what whoever started the plan said, then its own, then the plan's, then the
    /// configuration's, then what the ecosystem offers.
    pub fn rules(&self, task: &Task) -> Rules {
        let Pace { max_attempts, timeout_s, stuck_after_s, .. } = self.pace();
        // A task may have its time beside its rules.
        let timeout_s = timeout_s.or(task.timeout_s);
        let said = Rules { max_attempts, timeout_s, stuck_after_s, ..Rules::default() };
        effective_rules(&[&said, &task.rules, &self.plan().rules, &self.config.rules], &self.ecosystem)
    }

    /// Milliseconds since that time, never negative: the clock may have jumped.
    pub fn millis_since(time: Time) -> i64 {
        Time::now().millis_since(time).max(0)
    }
}

/// Rules laid over each other, the nearer first; commands come from the ecosystem where none says.
pub fn effective_rules(layers: &[&Rules], ecosystem: &Ecosystem) -> Rules {
    fn first<T: Clone>(layers: &[&Rules], field: impl Fn(&Rules) -> Option<T>) -> Option<T> {
        layers.iter().find_map(|rules| field(rules))
    }
    let command = |field: fn(&Rules) -> Option<CommandLine>, found: &Option<CommandLine>| {
        first(layers, field).or_else(|| found.clone())
    };
    Rules {
        spec_first: first(layers, |rules| rules.spec_first),
        tdd: first(layers, |rules| rules.tdd),
        lint: command(|rules| rules.lint.clone(), &ecosystem.lint),
        test: command(|rules| rules.test.clone(), &ecosystem.test),
        build: command(|rules| rules.build.clone(), &ecosystem.build),
        custom: first(layers, |rules| rules.custom.clone()),
        max_attempts: first(layers, |rules| rules.max_attempts),
        review: first(layers, |rules| rules.review.clone()),
        timeout_s: first(layers, |rules| rules.timeout_s),
        stuck_after_s: first(layers, |rules| rules.stuck_after_s),
    }
}
