//! What does not start yet: why, since when, and what is told of it.

use super::Conductor;
use crate::base::clock::Time;
use crate::domain::conducting::PlanState;
use crate::domain::schedule;
use crate::domain::share::Pool;
use crate::domain::task::TaskState;
use crate::services::conductor::agenda::Closed;
use crate::services::conductor::desk::Desk;
use crate::services::spending::pause_unpaid;
use crate::services::{Error, health};
use crate::store::events::NewEvent;

/// Of so many tasks that wait it is said why.
const TOLD_WHY: usize = 16;
/// Of so many it is recorded at once that they wait too long; the others follow.
const MISSED_AT_ONCE: usize = 100;

/// When the first of the limits that providers told of ends, or of the quarantines.
pub(super) fn first_end(desk: &Desk) -> Result<Option<Time>, Error> {
    let now = Time::now();
    desk.store()?.read(|tx| -> Result<_, Error> {
        let limits = tx.cooldowns(now)?.into_iter().map(|it| it.until);
        let quarantines = tx.quarantines(&desk.project.id, now)?.into_iter().map(|it| it.until);
        Ok(limits.chain(quarantines).min())
    })
}

impl Conductor<'_> {
    /// Pauses a plan whose own money is spent: no waiting brings more, and somebody has to decide. Reviews that it
    /// does not pay for are no work that could bring any back; `may_more`: beside them something may begin.
    pub(super) fn pause_where_unpaid(&self, desk: &Desk, may_more: bool) -> Result<(), Error> {
        let reviews = desk.unpaid();
        if !self.at_work.keys().all(|name| reviews.iter().any(|(task, _)| task == name)) {
            return Ok(());
        }
        let (agenda, unpaid) = (&self.agenda, &self.unpaid);
        let open = (agenda.views.iter().zip(&agenda.lights)).filter(|(view, _)| schedule::may_start(view));
        let mut open = open.map(|(_, light)| unpaid.get(&light.id)).peekable();
        if open.peek().is_none() && reviews.is_empty() {
            return Ok(());
        }
        let (mut are_all, mut first) = (true, reviews.first().map(|(_, why)| why.as_str()));
        for spent in open.take_while(|_| may_more || reviews.is_empty()) {
            are_all &= spent.is_some();
            first = first.or(spent.map(|spent| spent.why.as_str()));
            if let Some(spent) = spent.filter(|spent| spent.wholly) {
                (are_all, first) = (true, Some(spent.why.as_str()));
                break;
            }
        }
        let Some(why) = first.filter(|_| are_all) else { return Ok(()) };
        desk.write(|tx| pause_unpaid(tx, &desk.project.id, &desk.plan_id, why))
    }

    /// Notes that the plan could begin something if there were a seat, or that it does not wait for one: others
    /// who have more leave it the next.
    pub(super) fn note_seat_wait(&mut self, desk: &Desk, pool: Option<Pool>) -> Result<(), Error> {
        if self.awaits != pool {
            desk.write(|tx| tx.set_seat_wait(&desk.project.id, &desk.plan_id, pool))?;
            self.awaits = pool;
        }
        Ok(())
    }

    /// Tells once that no worker starts for want of memory, and once that one may again.
    pub(super) fn note_memory(&mut self, desk: &Desk, closed: &[Closed]) -> Result<(), Error> {
        let why = closed.iter().flatten().find(|(reason, _)| *reason == "memory").map(|(_, on)| on);
        if why.is_some() == self.is_short_of_memory {
            return Ok(());
        }
        self.is_short_of_memory = why.is_some();
        let (kind, text) = match why {
            Some(why) => ("memory.short", format!("no worker starts: {why}")),
            // Whoever let it begin all the same made no memory.
            None => match health::short_of_memory(&desk.config.machine) {
                Some(why) => ("memory.passed", format!("workers start all the same: {why}")),
                None => ("memory.enough", "there is memory again, and workers start".to_owned()),
            },
        };
        desk.write(|tx| -> Result<(), Error> {
            let event = NewEvent { kind, plan: Some(&desk.plan_id), text, ..NewEvent::default() };
            tx.append_event(&desk.project.id, &event)?;
            Ok(())
        })
    }

    /// Brings a paused plan to its end all of whose tasks are done: nothing is left to be held up. The inbox stays
    /// paused, for what is sent later; and a run of a pipeline of which a stage would begin, or ask somebody.
    pub(super) fn is_through(&self) -> Result<bool, Error> {
        let desk = &self.desk;
        let is_done = schedule::conclusion(&self.agenda.views) == Some(PlanState::Done);
        if !is_done || desk.plan_id == desk.project.inbox() {
            return Ok(false);
        }
        if self.stages.is_run && !self.stages.end_well(desk)? {
            return Ok(false);
        }
        self.rest()
    }

    /// Says of those that are next why they wait. Whoever stands behind them waits for them.
    pub(super) fn tell_why(&self, desk: &Desk, closed: &[Closed]) -> Result<(), Error> {
        let agenda = &self.agenda;
        let is_silent = |at: usize| agenda.why_closed(at, closed).is_some();
        let mut told = Vec::new();
        for at in schedule::foremost(&agenda.views, TOLD_WHY, is_silent) {
            if let Some((reason, on)) = agenda.why_closed(at, closed) {
                let why = format!("{reason}: {on}");
                let before = agenda.lights[at].reason.as_deref();
                // Figures that change at each look would make a change of each.
                let is_figure = matches!(*reason, "memory" | "load");
                let is_same = before == Some(&why)
                    || is_figure && before.is_some_and(|before| before.split(':').next() == Some(*reason));
                if !is_same {
                    told.push((&agenda.lights[at].id, why));
                }
            }
        }
        if told.is_empty() {
            return Ok(());
        }
        desk.write(|tx| -> Result<(), Error> {
            for (task, why) in &told {
                // It may have moved since, and then it has another reason.
                if tx.task(&desk.plan_id, task)?.is_some_and(|row| row.state == TaskState::Ready) {
                    desk.give_reason(tx, task, why)?;
                }
            }
            Ok(())
        })
    }

    /// Records once of each task that it waits past its deadline.
    pub(super) fn note_missed(&mut self, desk: &Desk) -> Result<(), Error> {
        let agenda = &self.agenda;
        let is_late = |at: &usize| {
            let (view, light) = (&agenda.views[*at], &agenda.lights[*at]);
            schedule::may_start(view)
                && !light.is_missed
                && view.waited_ms > schedule::patience_ms(view.priority)
        };
        let late: Vec<usize> = (0..agenda.views.len()).filter(is_late).take(MISSED_AT_ONCE).collect();
        if late.is_empty() {
            return Ok(());
        }
        desk.write(|tx| -> Result<(), Error> {
            for &at in &late {
                let light = &agenda.lights[at];
                if tx.set_missed(&desk.plan_id, &light.id)? {
                    let priority = agenda.views[at].priority;
                    let since = light.changed_at;
                    let text = format!(
                        "task {}: not started in time (priority {priority}, it waits since {since})",
                        light.id
                    );
                    tx.append_event(
                        &desk.project.id,
                        &NewEvent {
                            kind: "task.missed",
                            plan: Some(&desk.plan_id),
                            task: Some(&light.id),
                            text,
                            ..NewEvent::default()
                        },
                    )?;
                }
            }
            Ok(())
        })?;
        for at in late {
            self.agenda.lights[at].is_missed = true;
        }
        Ok(())
    }
}
