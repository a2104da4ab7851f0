//! What must hold after whatever happened, once nothing runs any more.

use std::collections::BTreeMap;

use kapell::base::ids::PlanId;
use kapell::domain::claim::{Held, excludes};
use kapell::domain::overlap::overlap;
use kapell::domain::task::TaskState;
use kapell::store::attempts::AttemptRow;
use kapell::store::claims::ClaimPage;
use kapell::store::events::{EventFilter, EventRow};
use kapell::store::plans::{PlanRow, TaskRow};
use kapell::store::{Check, Store, StoreError};
use kapell::sys::shim::client;

use crate::bench::Bench;
use crate::replay::State;

/// Everything that is stored of one project.
struct Books {
    plans: Vec<PlanRow>,
    tasks: Vec<(String, TaskRow)>,
    attempts: Vec<AttemptRow>,
    claims: Vec<Held>,
    events: Vec<EventRow>,
    damage: Vec<String>,
}

impl Books {
    fn read(bench: &Bench, plan: &str) -> Result<Self, StoreError> {
        const ALL: usize = 100_000;
        let store = Store::open(&bench.state(), Check::Pages)?;
        let damage = store.integrity()?;
        store.read(|tx| -> Result<_, StoreError> {
            let row = tx.plan(&PlanId::new(plan))?;
            let project = row.ok_or_else(|| StoreError::Row(format!("plan {plan} is gone")))?.project;
            let plans = tx.plans(&project, ALL)?;
            let (mut tasks, mut attempts) = (Vec::new(), Vec::new());
            for plan in &plans {
                for task in tx.tasks(&plan.id, -1, ALL)? {
                    attempts.extend(tx.attempts_at(&plan.id, &task.id)?);
                    tasks.push((plan.id.to_string(), task));
                }
            }
            let claims = tx.live_claims(&project, ClaimPage { after: 0, limit: ALL })?;
            let filter = EventFilter { project: Some(&project), ..EventFilter::default() };
            let events = tx.events_after(0, &filter, ALL)?;
            Ok(Self { plans, tasks, attempts, claims, events, damage })
        })
    }

    /// The stored state, told as the events tell it.
    fn state(&self) -> State {
        let attempt_state = |attempt: &AttemptRow| match attempt.state.outcome() {
            Some(outcome) => format!("finished: {}", outcome.as_str()),
            None => attempt.state.as_str().to_owned(),
        };
        let told = |kind: &str, plan: &str, task: Option<&str>| {
            let is_of =
                |event: &&EventRow| event.plan.as_deref() == Some(plan) && event.task.as_deref() == task;
            self.events.iter().filter(is_of).any(|event| event.kind == kind)
        };
        State {
            plans: self
                .plans
                .iter()
                // One that never moved is as it was made.
                .filter(|plan| plan.state.as_str() != "draft" || told("plan.state", plan.id.as_str(), None))
                .map(|plan| (plan.id.to_string(), plan.state.as_str().to_owned()))
                .collect(),
            tasks: self
                .tasks
                .iter()
                .filter(|(plan, task)| {
                    task.state != TaskState::Waiting || told("task.state", plan, Some(task.id.as_str()))
                })
                .map(|(plan, task)| (format!("{plan}/{}", task.id), task.state.as_str().to_owned()))
                .collect(),
            attempts: self
                .attempts
                .iter()
                .map(|attempt| (attempt.id.to_string(), attempt_state(attempt)))
                .collect(),
            claims: self
                .claims
                .iter()
                .map(|claim| {
                    let words = [
                        claim.holder.kind.as_str(),
                        claim.holder.name.as_str(),
                        claim.mode.as_str(),
                        claim.pattern.as_str(),
                    ];
                    (claim.id.0, words.map(str::to_owned))
                })
                .collect(),
        }
    }
}

/// What is wrong; nothing, if all is sound. The one list of what "never lost" means:
///
/// - the database is whole, and the repository too;
/// - replaying the event log gives the stored state;
/// - every task ended exactly once, and nothing is left at work;
/// - no two live claims exclude each other, and none is held by what has ended;
/// - the tree of every attempt whose worker began is held by its ref;
/// - no process is left, and nothing half made.
pub fn faults(bench: &Bench, plan: &str) -> Vec<String> {
    let books = match Books::read(bench, plan) {
        Ok(books) => books,
        Err(error) => return vec![format!("the database: {error}")],
    };
    let mut wrong = books.damage.clone();
    match State::replayed(&books.events) {
        Ok(told) if told == books.state() => {}
        Ok(told) => wrong.push(format!("told: {told:#?}\nstored: {:#?}", books.state())),
        Err(why) => wrong.push(why),
    }
    wrong.extend(ends(&books, plan));
    wrong.extend(claims(&books));
    wrong.extend(trees(bench, &books));
    wrong.extend(bench.processes().iter().map(|process| format!("{process} lives on")));
    wrong.extend(halves(bench));
    wrong
}

fn ends(books: &Books, plan: &str) -> Vec<String> {
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for event in books.events.iter().filter(|event| event.kind == "task.landed") {
        *ends.entry(event.task.as_deref().unwrap_or_default()).or_default() += 1;
    }
    let mut wrong = Vec::new();
    for (of, task) in books.tasks.iter().filter(|(of, _)| of == plan) {
        let landed = ends.get(task.id.as_str()).copied().unwrap_or(0);
        let expected = usize::from(task.state == TaskState::Done);
        if landed != expected || !task.state.is_final() || (expected == 1 && task.committed.is_none()) {
            wrong.push(format!("task {of}/{} is {:?} and landed {landed} times", task.id, task.state));
        }
    }
    let at_work = books.attempts.iter().filter(|attempt| attempt.state.outcome().is_none());
    wrong.extend(at_work.map(|attempt| format!("attempt {} never ended: {:?}", attempt.id, attempt.state)));
    wrong
}

fn claims(books: &Books) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, a) in books.claims.iter().enumerate() {
        // Nothing runs any more: an attempt holds nothing.
        wrong.push(format!("{} still holds {}", a.holder.name, a.pattern.as_str()));
        for b in &books.claims[at + 1..] {
            if a.holder != b.holder && excludes(a.mode, b.mode) && overlap(&a.pattern, &b.pattern).is_some() {
                wrong.push(format!("{} and {} overlap", a.pattern.as_str(), b.pattern.as_str()));
            }
        }
    }
    wrong
}

fn trees(bench: &Bench, books: &Books) -> Vec<String> {
    let held: BTreeMap<String, String> = bench
        .git(["for-each-ref", "--format=%(refname) %(objectname)", "refs/kapell"])
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, commit)| (name.to_owned(), commit.to_owned()))
        .collect();
    let mut wrong = Vec::new();
    for attempt in &books.attempts {
        match (&attempt.reference, &attempt.snapshot) {
            (Some(reference), Some(snapshot)) if held.get(reference) == Some(snapshot) => {}
            (None, None) if !client::was_started(attempt.run_dir.as_ref()) => {}
            (reference, snapshot) => wrong.push(format!(
                "attempt {} is saved as {reference:?} {snapshot:?}, held are {held:#?}",
                attempt.id
            )),
        }
    }
    wrong
}

/// What steps that were cut off may leave and the next must clear away.
fn halves(bench: &Bench) -> Vec<String> {
    let names = |folder: std::path::PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect::<Vec<_>>()
    };
    let mut left = names(bench.project.join(".git/kapell"));
    left.retain(|name| name.contains("/new-") || name.contains("/old-"));
    let fsck = bench.git(["fsck", "--connectivity-only", "--no-dangling", "--no-progress"]);
    left.extend(
        fsck.lines().filter(|line| !line.starts_with("notice:")).map(|line| format!("git fsck: {line}")),
    );
    left
}

#[test]
fn books_that_are_tampered_with_do_not_agree() {
    let run = crate::run::Run::under(&[""]);
    run.ends_well();
    let books = rusqlite::Connection::open(run.bench.state().join("kapell.db")).unwrap();
    for (change, back) in [
        ("UPDATE tasks SET state = 'failed' WHERE id = 'a'", "UPDATE tasks SET state = 'done'"),
        ("UPDATE plans SET state = 'failed'", "UPDATE plans SET state = 'done'"),
        ("UPDATE attempts SET outcome = 'stuck'", "UPDATE attempts SET outcome = 'submitted'"),
        ("UPDATE events SET kind = 'x' || kind", "UPDATE events SET kind = substr(kind, 2)"),
        (
            "UPDATE claims SET released_at = NULL, released_why = NULL WHERE id = 1",
            "UPDATE claims SET released_at = 1, released_why = 'x'",
        ),
        (
            "UPDATE attempts SET reference = 'x' || reference",
            "UPDATE attempts SET reference = substr(reference, 2)",
        ),
    ] {
        books.execute_batch(change).unwrap();
        assert_ne!(faults(&run.bench, &run.plan), Vec::<String>::new(), "{change}");
        books.execute_batch(back).unwrap();
        assert_eq!(faults(&run.bench, &run.plan), Vec::<String>::new(), "{back}");
    }
    let reference = run.bench.refs("refs/kapell/tasks").remove(0);
    run.bench.git(["update-ref", "-d", &reference]);
    assert_ne!(faults(&run.bench, &run.plan), Vec::<String>::new(), "{reference}");
}
