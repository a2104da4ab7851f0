//! Following the event log: by number, woken by the database, never by a timer.

use std::time::Instant;

use super::{Error, Session};
use crate::base::ids::{PlanId, ProjectId};
use crate::domain::refusal::{Code, Refusal};
use crate::store::events::{EventFilter, EventRow};
use crate::store::watch::{Waker, Watch, Woken};

/// Most events handed over at once; who lags simply asks again from its number.
pub const BATCH: usize = 200;

/// What a follower wants to see.
#[derive(Debug, Clone, Default)]
pub struct Interest {
    /// Events of every project of this person, not only of the session's.
    pub all_projects: bool,
    /// Of this plan only.
    pub plan: Option<String>,
    /// Of this attempt only.
    pub attempt: Option<String>,
    /// Of kinds that begin with this text.
    pub kind: Option<String>,
    /// What is asked for changes without an event too: files, services. A wait does not last long.
    pub is_untold: bool,
}

impl Interest {
    fn filter<'a>(&'a self, project: &'a ProjectId) -> EventFilter<'a> {
        EventFilter {
            project: (!self.all_projects).then_some(project),
            plan: self.plan.as_deref(),
            attempt: self.attempt.as_deref(),
            kind: self.kind.as_deref(),
        }
    }
}

/// The newest `most` events, oldest of them first, and the number from which to follow on.
pub fn newest(session: &Session, interest: &Interest, most: usize) -> Result<(Vec<EventRow>, i64), Error> {
    let project = session.project()?.id;
    session.store()?.read(|tx| Ok((tx.newest_events(&interest.filter(&project), most)?, tx.newest_event()?)))
}

/// Looks whether something can come of following: whether the plan is there, and events up to `since` are.
/// Gives the newest event's number.
///
/// # Errors
/// Those two.
pub fn check(session: &Session, interest: &Interest, since: Option<i64>) -> Result<i64, Error> {
    let plan = interest.plan.as_deref().map(PlanId::new);
    let (is_known, newest) = session.store()?.read(|tx| -> Result<_, Error> {
        let is_known = match &plan {
            Some(plan) => tx.plan(plan)?.is_some(),
            None => true,
        };
        Ok((is_known, tx.newest_event()?))
    })?;
    if let Some(plan) = plan.filter(|_| !is_known) {
        let message = format!("there is no plan {plan}");
        return Err(
            Refusal::new(Code::NotFound, message, "status with scope overview shows the plans").into()
        );
    }
    if let Some(since) = since.filter(|since| *since > newest) {
        let message = format!("since_seq is {since}, and the newest event is {newest}");
        return Err(Refusal::new(Code::Usage, message, "leave it out to begin with what comes next").into());
    }
    Ok(newest)
}

/// A place in the event log from which it is read.
#[derive(Debug)]
pub struct Reader {
    session: Session,
    project: ProjectId,
    interest: Interest,
    /// The number of the newest event that was looked at.
    seq: i64,
}

impl Reader {
    /// Reads from after `since`; from the newest event on when that is `None`.
    pub fn new(session: &Session, interest: Interest, since: Option<i64>) -> Result<Self, Error> {
        let project = session.project()?.id;
        let seq = match since {
            Some(seq) => seq,
            None => session.store()?.read(|tx| tx.newest_event())?,
        };
        Ok(Self { session: session.clone(), project, interest, seq })
    }

    /// The number of the newest event that was looked at.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// The next events that are there already.
    pub fn look(&mut self) -> Result<Vec<EventRow>, Error> {
        let filter = self.interest.filter(&self.project);
        let (events, newest) = self.session.store()?.read(|tx| -> Result<_, Error> {
            Ok((tx.events_after(self.seq, &filter, BATCH)?, tx.newest_event()?))
        })?;
        // Past what others did too, unless there is more to hand over first.
        self.seq = match events.last() {
            Some(last) if events.len() == BATCH => last.seq,
            _ => newest,
        };
        Ok(events)
    }
}

/// A reader of the event log that can wait for more.
#[derive(Debug)]
pub struct Follower {
    reader: Reader,
    watch: Watch,
}

impl Follower {
    /// Follows for somebody who subscribes, and would wait for ever for a plan that is not there, or for what
    /// comes after a number that no event has yet.
    ///
    /// # Errors
    /// Those two.
    pub fn subscribed(session: &Session, interest: Interest, since: Option<i64>) -> Result<Self, Error> {
        check(session, &interest, since)?;
        Self::new(session, interest, since)
    }

    /// Follows from after `since`; from the newest event on when that is `None`.
    pub fn new(session: &Session, interest: Interest, since: Option<i64>) -> Result<Self, Error> {
        session.store()?;
        // It watches before it looks, so that nothing is missed in between.
        let watch = Watch::new(&session.house.root)?;
        session.cancel.on_cancel(watch.waker().on_call());
        Ok(Self { reader: Reader::new(session, interest, since)?, watch })
    }

    /// Ends the wait from elsewhere.
    pub fn waker(&self) -> Waker {
        self.watch.waker()
    }

    /// The number of the newest event that was looked at.
    pub fn seq(&self) -> i64 {
        self.reader.seq
    }

    /// The next events that are there already.
    pub fn look(&mut self) -> Result<Vec<EventRow>, Error> {
        self.reader.look()
    }

    /// The next events, waiting for them until the deadline (for ever without one).
    /// Nothing when the deadline passed or the session's call was cancelled.
    pub fn next(&mut self, deadline: Option<Instant>) -> Result<Vec<EventRow>, Error> {
        self.next_unless(deadline, &|| false)
    }

    /// The same, but nothing as soon as the wait is woken and `is_over`.
    pub fn next_unless(
        &mut self,
        deadline: Option<Instant>,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Vec<EventRow>, Error> {
        loop {
            let events = self.reader.look()?;
            if !events.is_empty() || self.reader.session.cancel.is_cancelled() || is_over() {
                return Ok(events);
            }
            if self.watch.wait(deadline) == Woken::Deadline {
                return Ok(Vec::new());
            }
        }
    }
}
