//! What a conductor keeps in mind of its plan, so that a look at ten thousand tasks reads only those
//! that changed: where every task is, whom the rules lead it to, and what was tried in vain.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::seating;
use crate::base::clock::Time;
use crate::base::ids::TaskId;
use crate::domain::plan::{Complexity, Task};
use crate::domain::route::{self, Choice, Limit, Need, Pick, Roster};
use crate::domain::schedule::{self, TaskView};
use crate::domain::share::Pool;
use crate::services::{Error, querying, routing, spending};
use crate::store::events::EventFilter;
use crate::store::plans::TaskLight;

/// What could not get its files is tried again at least this often: a dead holder tells nobody.
const TRY_CLAIMS_AGAIN: Duration = Duration::from_secs(5);

/// The tasks of a plan as the conductor knows them.
#[derive(Debug, Default)]
pub struct Agenda {
    /// As they are stored, in their order.
    pub lights: Vec<TaskLight>,
    /// As the schedule sees them.
    pub views: Vec<TaskView>,
    position: HashMap<TaskId, usize>,
    /// The highest number of a change that was read.
    touched: i64,
    /// Everybody, with the standing workers that tasks name.
    roster: Roster,
    /// Whom the rules lead to, and how hard the tasks are; few, as most tasks share theirs.
    lanes: Vec<(Pick, Complexity)>,
    lane_of: Vec<usize>,
    /// Tasks that were tried in vain, as long as nothing changed for them.
    in_vain: HashMap<usize, Instant>,
    /// The newest event at which claims were known to stand as they stood.
    claims_seen: i64,
    /// The seats that were all taken at the last look.
    taken: Option<Pool>,
    /// Tasks between two tries whose groups wait for them, and why they may not go on themselves, as a lane is closed.
    turns: HashMap<usize, Closed>,
    /// Tasks whom nobody is configured for any more since the configuration was changed, perhaps in the middle of an
    /// edit, and why: they wait for the next change.
    stranded: HashMap<usize, Closed>,
}

/// Why nobody of a lane may begin anything: the reason as status names it, and for what or whom.
pub type Closed = Option<(&'static str, String)>;

impl Agenda {
    /// Nothing is known of the plan yet.
    pub fn new(desk: &Desk) -> Self {
        Self { roster: routing::roster(&desk.config), ..Self::default() }
    }

    /// Reads what changed. Tells whether there is anything new.
    pub fn refresh(&mut self, desk: &Desk) -> Result<bool, Error> {
        let changed = desk.store()?.read(|tx| tx.task_lights_since(&desk.plan_id, self.touched_before()))?;
        if changed.is_empty() {
            return Ok(false);
        }
        if changed.iter().any(|light| !self.position.contains_key(&light.id)) {
            desk.take_in_the_new()?;
        }
        let plan = desk.plan();
        for light in changed {
            self.touched = self.touched.max(light.touched);
            match self.position.get(&light.id) {
                Some(&at) => {
                    let view = &mut self.views[at];
                    if view.state != light.state || view.is_wanted != light.wanted {
                        self.in_vain.remove(&at);
                    }
                    (view.state, view.is_wanted) = (light.state, light.wanted);
                    self.lights[at] = light;
                }
                None => {
                    let at = self.lights.len();
                    let Some(task) = plan.tasks.get(at).filter(|task| task.id == light.id) else {
                        return Err(Error::Bug(format!("task {} is not where it was stored", light.id)));
                    };
                    self.position.insert(light.id.clone(), at);
                    self.views.push(TaskView {
                        state: light.state,
                        is_wanted: light.wanted,
                        depends_on: Vec::new(),
                        priority: task.priority.unwrap_or_default().0,
                        waited_ms: 0,
                    });
                    self.lights.push(light);
                    let lane = self.lane(desk, task);
                    self.lane_of.push(lane);
                }
            }
        }
        // A task may depend on one that stands behind it.
        for (at, task) in plan.tasks.iter().enumerate().take(self.views.len()) {
            if self.views[at].depends_on.len() != task.depends_on.len() {
                self.views[at].depends_on =
                    task.depends_on.iter().filter_map(|on| self.position.get(on).copied()).collect();
            }
        }
        Ok(true)
    }

    fn touched_before(&self) -> i64 {
        if self.lights.is_empty() { -1 } else { self.touched }
    }

    /// Asks the rules again for every task: the configuration changed.
    pub fn forget_lanes(&mut self, desk: &Desk) {
        self.roster = routing::roster(&desk.config);
        let before = std::mem::take(&mut self.lanes);
        let had_somebody: Vec<bool> = (self.lane_of.iter().enumerate())
            .map(|(at, lane)| {
                self.stranded.contains_key(&at) || !matches!(before.get(*lane), Some((Pick::Nobody(_), _)))
            })
            .collect();
        self.turns.clear();
        self.in_vain.clear();
        self.stranded.clear();
        let plan = desk.plan();
        self.lane_of = plan.tasks.iter().take(self.lights.len()).map(|task| self.lane(desk, task)).collect();
        for (at, had_somebody) in had_somebody.into_iter().enumerate() {
            let lane = self.lane_of.get(at).and_then(|lane| self.lanes.get(*lane));
            if let (true, Some((Pick::Nobody(why), _))) = (had_somebody, lane) {
                let (what, next) =
                    why.split_once("; ").unwrap_or((why, "take that back, or plan the task for another"));
                let why = format!("{what} since kapell.toml was changed; {next}");
                self.stranded.insert(at, Some(("slot", why)));
            }
        }
    }

    fn lane(&mut self, desk: &Desk, task: &Task) -> usize {
        if let Some(target) = &task.target {
            routing::admit(&mut self.roster, &desk.config, target);
        }
        let pick = route::place(&self.roster, &routing::wish(task)).pick;
        let lane = (pick, task.complexity);
        self.lanes.iter().position(|other| *other == lane).unwrap_or_else(|| {
            self.lanes.push(lane);
            self.lanes.len() - 1
        })
    }

    /// How long each task has waited by now.
    pub fn look_at_the_clock(&mut self) {
        let now = Time::now();
        for (view, light) in self.views.iter_mut().zip(&self.lights) {
            view.waited_ms = now.millis_since(light.changed_at).max(0);
        }
    }

    /// For each lane why nobody of it may begin anything now; none where somebody may, or where
    /// nobody ever will and the task has to be told so.
    pub fn closed_lanes(&mut self, desk: &Desk) -> Result<Vec<Closed>, Error> {
        let now = desk.store()?.read(|tx| -> Result<route::Now, Error> {
            let live = querying::seated(tx)?;
            // What a task may cost is looked at when it is its turn.
            let limits = seating::limits(tx, &desk.config, |provider| {
                let spent = spending::spent(tx, &desk.config, &desk.project.id, provider, Some(0.0))?;
                Ok(spent.map(Limit::OverBudget))
            })?;
            let mut now =
                routing::now(tx, &desk.config, (&desk.project.id, Some(&desk.plan_id)), &live, limits)?;
            // Which task may pass a group at work is looked at then as well.
            let prefix = format!("{}/", desk.plan_id);
            now.taken.retain(|_, at| {
                !at.strip_prefix(&prefix).is_some_and(|task| {
                    tx.children(&desk.plan_id, &TaskId::text(task)).is_ok_and(|children| !children.is_empty())
                })
            });
            Ok(now)
        })?;
        self.taken = now.taken_seats;
        let decided = |now: &route::Now, (pick, complexity): &(Pick, Complexity)| -> Closed {
            // The environment that a task names is looked at when it is its turn.
            let need = Need { complexity: *complexity, avoid: &[], out: &[], environment: None };
            match route::decide(&self.roster, now, pick, need).choice {
                Choice::Wait { reason, on } => Some((reason, on)),
                Choice::Seat(_) | Choice::Nobody(_) => None,
            }
        };
        let prefix = format!("{}/", desk.plan_id);
        let own = now.between.iter().filter_map(|between| {
            let at = *self.position.get(&TaskId::text(between.strip_prefix(&prefix)?))?;
            let mut own = now.clone();
            own.go_on(between);
            Some((at, decided(&own, self.lanes.get(*self.lane_of.get(at)?)?)))
        });
        let turns = own.collect();
        let closed = self.lanes.iter().map(|lane| decided(&now, lane)).collect();
        self.turns = turns;
        Ok(closed)
    }

    /// Whether a task's lane is open, and it was not tried in vain since anything changed for it.
    pub fn may_be_tried(&self, at: usize, closed: &[Closed]) -> bool {
        !self.in_vain.contains_key(&at) && self.why_closed(at, closed).is_none()
    }

    /// The seats of which one would let a task begin that may.
    pub fn awaits(&self, closed: &[Closed]) -> Option<Pool> {
        let waits = |at: usize| self.why_closed(at, closed).is_some_and(|(reason, _)| *reason == "slot");
        self.taken.filter(|_| schedule::first(&self.views, waits).is_some())
    }

    /// Why a task's lane is closed.
    pub fn why_closed<'c>(&'c self, at: usize, closed: &'c [Closed]) -> Option<&'c (&'static str, String)> {
        let own = self.stranded.get(&at).or_else(|| self.turns.get(&at));
        own.or_else(|| closed.get(*self.lane_of.get(at)?))?.as_ref()
    }

    /// Notes that a task got nothing.
    pub fn was_in_vain(&mut self, at: usize) {
        self.in_vain.insert(at, Instant::now());
    }

    /// Has tried again what was tried in vain before a claim changed, or long enough ago; or all of it.
    pub fn try_again(&mut self, desk: &Desk, all: bool) -> Result<(), Error> {
        if all {
            self.in_vain.clear();
        }
        if self.in_vain.is_empty() {
            self.claims_seen = desk.store()?.read(|tx| tx.newest_event())?;
            return Ok(());
        }
        let has_news = desk.store()?.read(|tx| -> Result<bool, Error> {
            let newest = tx.newest_event()?;
            let mut has_news = false;
            for kind in ["claim.released", "claim.taken", "claim.withdrawn"] {
                let filter = EventFilter {
                    project: Some(&desk.project.id),
                    kind: Some(kind),
                    ..EventFilter::default()
                };
                has_news |= !tx.events_after(self.claims_seen, &filter, 1)?.is_empty();
            }
            self.claims_seen = newest;
            Ok(has_news)
        })?;
        if has_news {
            self.in_vain.clear();
        } else {
            self.in_vain.retain(|_, since| since.elapsed() < TRY_CLAIMS_AGAIN);
        }
        Ok(())
    }
}
