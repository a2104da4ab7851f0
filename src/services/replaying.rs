//! What was: the plans that were run, and one of them again, event by event, with what was known at each and
//! why it was decided so. All of it is read from the log and from the evidence that was kept.

use std::collections::{BTreeMap, BTreeSet};

use super::project::Project;
use super::querying::{self, PlanView};
use super::{Error, Session, planning};
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, PlanId};
use crate::domain::budget::Money;
use crate::domain::task::TaskState;
use crate::store::events::{EventFilter, EventRow};

/// Events read at once.
const BATCH: usize = 500;
/// As much of a gate's sentence is told.
const SENTENCE: usize = 160;

/// A plan that was started, and what came of it.
#[derive(Debug, Clone)]
pub struct Run {
    /// The plan, as it is now.
    pub plan: PlanView,
    /// Its project's folder.
    pub place: Option<String>,
    /// When its first conductor began.
    pub started_at: Time,
    /// How many conductors ran it, one after another.
    pub conductors: u64,
    /// Tries at its tasks.
    pub attempts: u64,
    /// What they cost, as far as known.
    pub spent: Money,
}

/// Plans that were started, newest first: a page of them, of one project or of all.
///
/// # Errors
/// The database fails.
pub fn history(
    session: &Session,
    project: Option<&Project>,
    after: usize,
    limit: usize,
) -> Result<Vec<Run>, Error> {
    let rows = session.store()?.read(|tx| tx.plans_started(project.map(|it| &it.id), after, limit))?;
    let run = |row: crate::store::plans::PlanRow| {
        let plan = querying::plan(session, &row.id)?;
        session.store()?.read(|tx| {
            let conductors = tx.runs_of_plan(&row.id)?;
            let place = tx.project(&row.project)?.map(|(place, top)| top.unwrap_or(place));
            Ok(Run {
                started_at: conductors.first().map_or(row.created_at, |first| first.started_at),
                conductors: conductors.len() as u64,
                attempts: tx.count_attempts(&row.id)?,
                spent: tx.plan_standing(&row.id)?.spent,
                plan,
                place,
            })
        })
    };
    rows.into_iter().map(run).collect()
}

/// What was known at an event, from those before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Where the plan was.
    pub plan: String,
    /// Tasks that waited for others, or for their turn.
    pub waiting: u64,
    /// Tasks that somebody was at work on: a worker, the judge, the landing queue.
    pub at_work: u64,
    /// Tasks that had landed.
    pub done: u64,
    /// Tasks that had failed, or could not be done.
    pub failed: u64,
    /// Who was at work on what: `worker at task`.
    pub workers: Vec<String>,
}

/// An event, with what was known when it was decided on.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which one, from 1.
    pub number: u64,
    /// It.
    pub event: EventRow,
    /// Since the first one, in milliseconds.
    pub after_ms: i64,
    /// What was known before it.
    pub known: Known,
    /// Why it was decided so, where the record tells.
    pub why: Option<String>,
}

/// What the record holds beside the log.
#[derive(Debug, Default)]
struct Facts {
    /// By task: what it depends on.
    depends_on: BTreeMap<String, Vec<String>>,
    /// By attempt: the gates that did not let it pass, or how many did.
    gates: BTreeMap<String, String>,
    /// By attempt: how it ended.
    ends: BTreeMap<String, String>,
}

/// A plan from its first event on: a page of the steps.
///
/// # Errors
/// There is no such plan, or the database fails.
pub fn replay(session: &Session, plan: &PlanId, after: usize, limit: usize) -> Result<Vec<Step>, Error> {
    let (states, facts) = facts(session, plan)?;
    let mut events = Vec::new();
    let filter = EventFilter { plan: Some(plan.as_str()), ..EventFilter::default() };
    let mut seq = 0;
    loop {
        let batch = session.store()?.read(|tx| tx.events_after(seq, &filter, BATCH))?;
        let Some(last) = batch.last() else { break };
        seq = last.seq;
        let is_last = batch.len() < BATCH;
        events.extend(batch);
        if is_last {
            break;
        }
    }
    Ok(walk(states, &facts, events).skip(after).take(limit).collect())
}

/// Where each task began as far as no event tells, and what else is recorded.
fn facts(session: &Session, plan: &PlanId) -> Result<(BTreeMap<String, TaskState>, Facts), Error> {
    let (mut states, mut facts) = (BTreeMap::new(), Facts::default());
    // Asked for its refusal too: there may be no such plan.
    querying::plan(session, plan)?;
    let rows = session.store()?.read(|tx| tx.tasks(plan, -1, usize::MAX >> 1))?;
    for row in &rows {
        let id = row.id.to_string();
        states.insert(id.clone(), row.state);
        let parsed = planning::stored_task(session, plan, row)?;
        facts.depends_on.insert(id, parsed.depends_on.iter().map(ToString::to_string).collect());
        for attempt in session.store()?.read(|tx| tx.attempts_at(plan, &row.id))? {
            if let Some(outcome) = attempt.state.outcome() {
                let why = attempt.reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                facts.ends.insert(attempt.id.to_string(), format!("{}{why}", outcome.as_str()));
            }
            if let Some(told) = told_of_gates(session, &attempt.id)? {
                facts.gates.insert(attempt.id.to_string(), told);
            }
        }
    }
    Ok((states, facts))
}

/// What the gates said of an attempt, those that failed by name; `None` where it was not judged.
fn told_of_gates(session: &Session, attempt: &AttemptId) -> Result<Option<String>, Error> {
    let gates = session.store()?.read(|tx| tx.gates(attempt))?;
    let is_good = |outcome: &str| matches!(outcome, "pass" | "flaky" | "skipped");
    let bad: Vec<String> = gates
        .iter()
        .filter(|gate| !is_good(gate.outcome.as_str()))
        .map(|gate| {
            let why: String = gate.why.chars().take(SENTENCE).collect();
            format!("{} {}: {why}", gate.name, gate.outcome.as_str())
        })
        .collect();
    let passed: Vec<&str> =
        gates.iter().filter(|gate| gate.outcome.as_str() == "pass").map(|gate| gate.name.as_str()).collect();
    Ok(match (bad.is_empty(), gates.is_empty()) {
        (_, true) => None,
        (true, false) => Some(format!("gates passed: {}", passed.join(", "))),
        (false, false) => Some(bad.join("; ")),
    })
}

/// The steps of a plan, from where its tasks began.
fn walk(
    mut states: BTreeMap<String, TaskState>,
    facts: &Facts,
    events: Vec<EventRow>,
) -> impl Iterator<Item = Step> {
    // A task began where its first step leads from; without one it is where it was.
    let mut seen = BTreeSet::new();
    for event in events.iter().filter(|event| event.kind == "task.state") {
        if let (Some(task), Some(from)) = (&event.task, field(event, "from"))
            && seen.insert(task.clone())
            && let Some(from) = state(&from)
        {
            states.insert(task.clone(), from);
        }
    }
    let first = events.first().map_or(Time::from_millis(0), |event| event.at);
    let mut fold = Fold { states, plan: "draft".to_owned(), ..Fold::default() };
    events.into_iter().enumerate().map(move |(at, event)| {
        let known = fold.known();
        let why = fold.why(facts, &event);
        fold.take(&event);
        let after_ms = event.at.millis_since(first);
        Step { number: at as u64 + 1, after_ms, known, why, event }
    })
}

/// Everything that the events so far add up to.
#[derive(Debug, Default)]
struct Fold {
    plan: String,
    states: BTreeMap<String, TaskState>,
    /// By attempt: its worker and its task.
    at_work: BTreeMap<String, (String, String)>,
    /// The attempts of those that are suspended.
    suspended: BTreeSet<String>,
    /// By task: its last attempt.
    last: BTreeMap<String, String>,
}

impl Fold {
    fn known(&self) -> Known {
        let count =
            |states: &[TaskState]| self.states.values().filter(|state| states.contains(state)).count() as u64;
        Known {
            plan: self.plan.clone(),
            waiting: count(&[TaskState::Waiting, TaskState::Ready, TaskState::Rejected]),
            at_work: count(&[
                TaskState::Running,
                TaskState::Judging,
                TaskState::Approved,
                TaskState::Landing,
            ]),
            done: count(&[TaskState::Done]),
            failed: count(&[TaskState::Failed, TaskState::Blocked, TaskState::Cancelled]),
            workers: self.at_work.values().map(|(worker, task)| format!("{worker} at {task}")).collect(),
        }
    }

    fn take(&mut self, event: &EventRow) {
        match (event.kind.as_str(), &event.task, &event.attempt) {
            ("plan.state", ..) => self.plan = field(event, "state").unwrap_or_default(),
            ("task.state", Some(task), _) => {
                if let Some(to) = field(event, "to").and_then(|to| state(&to)) {
                    self.states.insert(task.clone(), to);
                }
            }
            ("task.delegated", Some(task), _) => {
                self.states.entry(task.clone()).or_insert(TaskState::Waiting);
            }
            ("attempt.started", Some(task), Some(attempt)) => {
                let worker = field(event, "worker").unwrap_or_else(|| "a worker".to_owned());
                self.at_work.insert(attempt.clone(), (worker, task.clone()));
                self.last.insert(task.clone(), attempt.clone());
            }
            ("attempt.state", _, Some(attempt)) => {
                match field(event, "state").as_deref() {
                    Some("paused") => self.suspended.insert(attempt.clone()),
                    _ => self.suspended.remove(attempt),
                };
            }
            ("attempt.finished", _, Some(attempt)) => {
                self.at_work.remove(attempt);
                self.suspended.remove(attempt);
            }
            _ => {}
        }
    }

    /// Why it was decided so, by what was known before it.
    fn why(&self, facts: &Facts, event: &EventRow) -> Option<String> {
        match event.kind.as_str() {
            "task.state" => self.why_moved(facts, event),
            "attempt.started" => self.why_started(facts, event),
            "plan.state" => self.why_plan(event),
            "attempt.judged" => facts.gates.get(event.attempt.as_ref()?).cloned(),
            _ => None,
        }
    }

    fn why_moved(&self, facts: &Facts, event: &EventRow) -> Option<String> {
        let task = event.task.as_ref()?;
        let before = self.last.get(task);
        match (state(&field(event, "from")?)?, state(&field(event, "to")?)?) {
            (TaskState::Waiting, TaskState::Ready) => {
                let on = facts.depends_on.get(task).filter(|on| !on.is_empty());
                Some(match on {
                    None => "it depends on nothing".to_owned(),
                    Some(on) => format!("what it depends on is done: {}", on.join(", ")),
                })
            }
            (_, TaskState::Judging) => Some(format!("its worker ended: {}", facts.ends.get(before?)?)),
            (TaskState::Judging, TaskState::Approved | TaskState::Rejected | TaskState::Failed) => {
                facts.gates.get(before?).cloned()
            }
            (TaskState::Running, TaskState::Rejected | TaskState::Failed | TaskState::Ready) => {
                Some(format!("its worker ended: {}", facts.ends.get(before?)?))
            }
            (_, TaskState::Blocked) => {
                let on = facts.depends_on.get(task)?;
                let is_lost = |on: &&String| {
                    matches!(
                        self.states.get(*on),
                        Some(TaskState::Failed | TaskState::Blocked | TaskState::Cancelled)
                    )
                };
                let lost: Vec<&str> = on.iter().filter(is_lost).map(String::as_str).collect();
                (!lost.is_empty())
                    .then(|| format!("it depends on what will not be done: {}", lost.join(", ")))
            }
            _ => None,
        }
    }

    fn why_started(&self, facts: &Facts, event: &EventRow) -> Option<String> {
        let task = event.task.as_ref()?;
        let busy = self.at_work.len();
        let of = match (field(event, "worker"), field(event, "provider")) {
            (Some(worker), Some(provider)) if worker != provider => format!("{worker} ({provider}) was free"),
            (Some(worker), _) => format!("{worker} was free"),
            _ => "a seat was free".to_owned(),
        };
        let of = match field(event, "why").filter(|why| !why.is_empty()) {
            Some(why) => format!("{of} ({why})"),
            None => of,
        };
        let again = match self.last.get(task).and_then(|before| {
            // What the judge said of the try before, or else how that ended.
            facts
                .gates
                .get(before)
                .filter(|told| !told.starts_with("gates passed"))
                .or(facts.ends.get(before))
        }) {
            Some(before) => format!("; the try before: {before}"),
            None => String::new(),
        };
        let beside = match busy {
            0 => "nobody else at work".to_owned(),
            1 => "1 other at work".to_owned(),
            n => format!("{n} others at work"),
        };
        Some(format!("it was ready, its files were unclaimed, {of}, {beside}{again}"))
    }

    fn why_plan(&self, event: &EventRow) -> Option<String> {
        let Known { waiting, at_work, done, failed, .. } = self.known();
        let total = waiting + at_work + done + failed;
        Some(match field(event, "state")?.as_str() {
            "done" if done == total => format!("all {total} tasks are done"),
            "done" => format!("{done} of {total} tasks are done, and no other was wanted"),
            "failed" => {
                format!("{done} of {total} tasks are done, {failed} will not be, and nothing else can start")
            }
            "stopped" => format!("{done} of {total} tasks were done, {at_work} at work were ended"),
            "paused" => {
                let suspended = self.suspended.len() as u64;
                let may_finish = at_work.saturating_sub(suspended);
                let at_work = match (suspended, may_finish) {
                    (0, _) => format!("{at_work} at work may finish"),
                    (_, 0) => format!("{suspended} at work are suspended"),
                    _ => format!("{suspended} at work are suspended, {may_finish} may finish"),
                };
                format!("{at_work}, {waiting} wait")
            }
            _ => return None,
        })
    }
}

fn state(text: &str) -> Option<TaskState> {
    TaskState::ALL.into_iter().find(|state| state.as_str() == text)
}

/// A fact of an event, as text.
fn field(event: &EventRow, name: &str) -> Option<String> {
    let data: serde_json::Value = serde_json::from_str(event.data.as_deref()?).ok()?;
    Some(data.get(name)?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: i64, kind: &str, task: Option<&str>, attempt: Option<&str>, data: &str) -> EventRow {
        EventRow {
            seq,
            at: Time::from_millis(seq * 100),
            kind: kind.to_owned(),
            plan: Some("p".to_owned()),
            task: task.map(str::to_owned),
            attempt: attempt.map(str::to_owned),
            holder: None,
            text: String::new(),
            data: Some(data.to_owned()),
        }
    }

    fn moved(seq: i64, task: &str, from: &str, to: &str) -> EventRow {
        event(seq, "task.state", Some(task), None, &format!(r#"{{"from":"{from}","to":"{to}"}}"#))
    }

    fn started(seq: i64, task: &str, attempt: &str) -> EventRow {
        event(seq, "attempt.started", Some(task), Some(attempt), r#"{"worker":"w1","provider":"fake"}"#)
    }

    /// Two tasks, the second after the first, which is rejected once.
    fn run() -> (BTreeMap<String, TaskState>, Facts, Vec<EventRow>) {
        let both = |state| BTreeMap::from([("1".to_owned(), state), ("2".to_owned(), state)]);
        let facts = Facts {
            depends_on: BTreeMap::from([("1".to_owned(), vec![]), ("2".to_owned(), vec!["1".to_owned()])]),
            gates: BTreeMap::from([
                ("a1".to_owned(), "lint fail: two spaces".to_owned()),
                ("a2".to_owned(), "gates passed: lint".to_owned()),
            ]),
            ends: BTreeMap::from([("a1".to_owned(), "submitted".to_owned())]),
        };
        let events = vec![
            event(1, "plan.created", None, None, "{}"),
            event(2, "plan.state", None, None, r#"{"state":"running"}"#),
            moved(3, "1", "waiting", "ready"),
            moved(4, "1", "ready", "running"),
            started(5, "1", "a1"),
            event(6, "attempt.finished", Some("1"), Some("a1"), r#"{"outcome":"submitted"}"#),
            moved(7, "1", "running", "judging"),
            moved(8, "1", "judging", "rejected"),
            started(9, "1", "a2"),
            moved(10, "1", "landing", "done"),
            moved(11, "2", "waiting", "ready"),
            moved(12, "2", "landing", "done"),
            event(13, "plan.state", None, None, r#"{"state":"done"}"#),
        ];
        (both(TaskState::Done), facts, events)
    }

    #[test]
    fn every_step_tells_what_was_known_before_it_and_why() {
        let (states, facts, events) = run();
        let steps: Vec<Step> = walk(states, &facts, events).collect();
        let why = |seq: usize| steps[seq - 1].why.as_deref().unwrap_or_default();
        let known = |seq: usize| {
            let Known { waiting, at_work, done, failed, .. } = &steps[seq - 1].known;
            [*waiting, *at_work, *done, *failed]
        };
        // Nothing had begun, though all of it is done now.
        assert_eq!((known(1), steps[0].known.plan.as_str()), ([2, 0, 0, 0], "draft"));
        assert_eq!(why(3), "it depends on nothing");
        assert_eq!(why(5), "it was ready, its files were unclaimed, w1 (fake) was free, nobody else at work");
        assert_eq!((known(6), &steps[5].known.workers), ([1, 1, 0, 0], &vec!["w1 at 1".to_owned()]));
        assert_eq!(why(7), "its worker ended: submitted");
        assert_eq!(why(8), "lint fail: two spaces");
        assert!(why(9).ends_with("nobody else at work; the try before: lint fail: two spaces"), "{}", why(9));
        assert_eq!(why(11), "what it depends on is done: 1");
        assert_eq!((known(13), why(13)), ([0, 0, 2, 0], "all 2 tasks are done"));
        assert_eq!((steps[12].number, steps[12].after_ms), (13, 1200));
    }

    #[test]
    fn who_was_suspended_by_a_pause_does_not_finish() {
        let states = BTreeMap::from([
            ("1".to_owned(), TaskState::Done),
            ("2".to_owned(), TaskState::Done),
            ("3".to_owned(), TaskState::Waiting),
        ]);
        let paused = |seq| event(seq, "plan.state", None, None, r#"{"state":"paused"}"#);
        let turned = |seq, attempt, to: &str| {
            event(seq, "attempt.state", None, Some(attempt), &format!(r#"{{"state":"{to}"}}"#))
        };
        let events = vec![
            moved(1, "1", "ready", "running"),
            started(2, "1", "a1"),
            moved(3, "2", "ready", "running"),
            started(4, "2", "a2"),
            paused(5),
            turned(6, "a1", "paused"),
            paused(7),
            turned(8, "a2", "paused"),
            paused(9),
            turned(10, "a1", "running"),
            event(11, "attempt.finished", Some("2"), Some("a2"), "{}"),
            paused(12),
        ];
        let steps: Vec<Step> = walk(states, &Facts::default(), events).collect();
        let why = |seq: usize| steps[seq - 1].why.as_deref().unwrap_or_default();
        assert_eq!(why(5), "2 at work may finish, 1 wait");
        assert_eq!(why(7), "1 at work are suspended, 1 may finish, 1 wait");
        assert_eq!(why(9), "2 at work are suspended, 1 wait");
        assert_eq!(why(12), "2 at work may finish, 1 wait");
    }

    #[test]
    fn events_that_say_nothing_are_walked_past() {
        let odd = vec![
            event(1, "task.state", Some("1"), None, "no json"),
            event(2, "task.state", None, None, r#"{"from":"ready","to":"nonsense"}"#),
            event(3, "attempt.started", None, None, "{}"),
            event(4, "plan.state", None, None, r#"{"state":7}"#),
        ];
        let steps: Vec<Step> = walk(BTreeMap::new(), &Facts::default(), odd).collect();
        assert_eq!(steps.len(), 4);
        assert!(steps.iter().all(|step| step.why.is_none() && step.known.at_work == 0));
    }
}
