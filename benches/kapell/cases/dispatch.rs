//! What a worker costs besides its own work: the agent is `true`, which ends at once.

mod pueue;

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kapell::base::ids::PlanId;
use kapell::domain::conducting::PlanState;
use kapell::services::conductor;
use kapell::services::conductor::vitals::Socket;
use kapell::services::ground;
use kapell::store::StoreError;
use kapell::store::events::EventFilter;
use kapell::store::plans::Pace;
use kapell::sys::git::{Oid, read};
use kapell::sys::process::spawn;
use rustix::fs::{CWD, FileType};
use serde_json::{Value, json};

use super::Around;
use super::claiming::BareStore;
use crate::figure::{Amount, Figure, Gate};
use crate::marks::{self, Mark};
use crate::place::{Place, search_path};
use crate::rounds::{Rounds, median};
use crate::server::Door;

const CASE: &str = "dispatch";
/// Tasks of one plan whose attempts are timed one after the other.
const BATCH: usize = 20;
/// Ad hoc tasks that are run through two slots.
const DRAINED: usize = 1000;
/// As many do for pueue, which notices an end three times a second.
const PUEUED: usize = 40;

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let mut figures = one_by_one(around)?;
    figures.extend(drain(around)?);
    Ok(figures)
}

fn configuration(slots: usize) -> String {
    format!(
        "[project]\nisolation = \"shared\"\nmax_workers = {slots}\n\
         [rules]\nspec_first = false\ntdd = false\nmax_attempts = 1\n\
         [providers.quick]\nkind = \"command\"\ncommand = [\"true\"]\n"
    )
}

/// A plan in which all tasks can start at once, each for files of its own.
fn plan(tasks: usize) -> Value {
    let tasks: Vec<Value> = (0..tasks)
        .map(|number| json!({"id": number, "task": "Do nothing", "files": [format!("out/file{number}.txt")]}))
        .collect();
    json!({"name": "bench", "tasks": tasks})
}

fn one_by_one(around: &Around) -> Result<Vec<Figure>> {
    let place = Place::new(&around.folder, 20)?;
    place.configure(&configuration(1))?;
    let bare = BareStore::open(&place.project.with_file_name("bare.db"))?;
    // The first plan makes the database.
    conduct(&place)?;
    let mut timed: VecDeque<Duration> = VecDeque::new();
    let mut phases: Vec<[Duration; 3]> = Vec::new();
    let attempt = || -> Result<Duration> {
        if timed.is_empty() {
            for took in conduct(&place)? {
                timed.push_back(took.iter().sum());
                phases.push(took);
            }
        }
        timed.pop_front().context("a plan has tasks")
    };
    let rounds = Rounds::take(
        around.rounds(10),
        BATCH,
        &mut [Box::new(attempt), Box::new(|| spawn_and_wait(&place.project)), Box::new(|| bare.commit())],
    )?;
    let allowed = |of: &dyn Fn(usize) -> Duration| 3 * of(1) + 2 * of(2);
    let peer = 3 * rounds.median(1)? + 2 * rounds.median(2)?;
    let ratio = rounds.ratio(0, allowed)?;
    let phase = |at: usize| -> Result<Duration> {
        median(&phases.iter().map(|phases| phases[at]).collect::<Vec<_>>())
    };
    Ok(vec![
        Figure::told(CASE, "spawn and wait of true", Amount::Time(rounds.median(1)?)),
        Figure::told(CASE, "from the decision to the recorded end", Amount::Time(rounds.median(0)?))
            .against("3 spawns + 2 commits", Amount::Time(peer), Some(ratio), Gate::TimesAtMost(1.0))
            .noting(format!(
                "of it {:.2} ms until the attempt is recorded and its shim started, {:.2} ms until its end is \
                 known, {:.2} ms until that is recorded",
                phase(0)?.as_secs_f64() * 1e3,
                phase(1)?.as_secs_f64() * 1e3,
                phase(2)?.as_secs_f64() * 1e3
            )),
    ])
}

/// The bench asks nobody.
struct NoSocket;

impl Socket for NoSocket {
    fn path(&self) -> &Path {
        Path::new("")
    }

    fn tend(&mut self) {}
}

/// Conducts a plan in this process, one task at a time, and tells for each how long its start, its
/// run and the record of its end took.
fn conduct(place: &Place) -> Result<Vec<[Duration; 3]>> {
    let (session, project) = place.session()?;
    let (stored, _) = Door::Inside(place.client()).call("plan", json!({"plan": plan(BATCH)}))?;
    let id =
        PlanId::new(stored["plan_id"].as_str().with_context(|| format!("the plan is refused: {stored}"))?);
    let git = ground::git(&session.house, &project)?;
    let head = read::resolve(&git, "HEAD")?.context("HEAD is a commit")?;
    session.store()?.write(|tx| want_all(tx, &project.id, &id, &head))?;
    marks::take();
    ensure!(
        conductor::conduct(&session, &id, true, |_| None::<NoSocket>)?,
        "the plan is conducted by somebody else"
    );
    let marks = marks::take();
    let mut found = Vec::new();
    for of_task in marks.chunks_exact(4) {
        let [decided, started, ended, recorded] = [&of_task[0], &of_task[1], &of_task[2], &of_task[3]];
        let names: Vec<&str> = of_task.iter().map(|mark| mark.what.as_str()).collect();
        ensure!(names == Mark::OF_AN_ATTEMPT, "the attempts were not one after the other: {names:?}");
        found.push([started.at - decided.at, ended.at - started.at, recorded.at - ended.at]);
    }
    ensure!(found.len() == BATCH, "{} of {BATCH} attempts were seen", found.len());
    Ok(found)
}

/// What dispatching records, without the process that it starts.
fn want_all(
    tx: &kapell::store::Tx<'_>,
    project: &kapell::base::ids::ProjectId,
    plan: &PlanId,
    head: &Oid,
) -> Result<(), StoreError> {
    for task in tx.tasks(plan, -1, BATCH)? {
        tx.want_task(plan, &task.id, true)?;
    }
    tx.set_plan_ground(plan, head.as_str(), Some("main"), "refs/heads/kapell/bench")?;
    tx.set_pace(plan, &Pace { max_parallel: Some(1), ..Pace::default() })?;
    tx.set_plan_state(project, plan, PlanState::Running, None)
}

/// The least that a worker can cost.
fn spawn_and_wait(folder: &Path) -> Result<Duration> {
    let mut command = spawn::program("true", folder);
    command.env("PATH", search_path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let status = command.status()?;
    let time = began.elapsed();
    ensure!(status.success(), "true failed");
    Ok(time)
}

/// Sends very many ad hoc tasks while two others hold both slots, lets go of these, and tells how many
/// a second went through the slots then.
fn drain(around: &Around) -> Result<Vec<Figure>> {
    let place = Place::new(&around.folder, 20)?;
    let gate = place.project.with_file_name("gate");
    rustix::fs::mknodat(CWD, &gate, FileType::Fifo, 0o600.into(), 0)?;
    let gate_program = serde_json::to_string(&gate)?;
    place.configure(&format!(
        "{}[providers.holds]\nkind = \"command\"\ncommand = [\"cat\", {gate_program}]\n",
        configuration(2)
    ))?;
    let (session, project) = place.session()?;
    let mut door = Door::mcp(&place, "bench")?;
    for number in 0..2 {
        let holds = json!({"task": "Hold a slot", "files": [format!("held{number}")], "target": "holds"});
        door.call("dispatch", holds)?;
    }
    let tasks = around.rounds(DRAINED);
    let began = Instant::now();
    let mut run = Value::Null;
    for number in 0..tasks {
        let file = format!("out/file{number}.txt");
        let (sent, _) =
            door.call("dispatch", json!({"task": "Do nothing", "files": [file], "target": "quick"}))?;
        run = sent["run_id"].clone();
    }
    let sent = began.elapsed();
    // Both that wait for somebody who writes are let go of.
    drop(std::fs::OpenOptions::new().write(true).open(&gate)?);
    // Woken by what becomes of the run as a whole, as by `pueue wait`.
    loop {
        let waits = json!({"run_id": run, "kind": "plan.", "wait_ms": 20_000, "limit": 1});
        let (status, _) = door.call("status", waits)?;
        if matches!(status["state"].as_str(), Some("done" | "failed" | "stopped")) {
            break;
        }
    }
    let events = |kind| -> Result<Vec<_>> {
        let filter = EventFilter { project: Some(&project.id), kind: Some(kind), ..EventFilter::default() };
        Ok(session.store()?.read(|tx| tx.events_after(0, &filter, 1_000_000))?.into_iter().skip(2).collect())
    };
    let (started, judged) = (events("attempt.started")?, events("attempt.judged")?);
    ensure!(judged.len() == tasks, "{} of {tasks} attempts were judged", judged.len());
    let first = started.first().context("an attempt started")?.at;
    let last = judged.last().context("an attempt was judged")?.at;
    let rate = tasks as f64 / (last.millis_since(first) as f64 / 1e3);
    let figure = Figure::told(CASE, format!("{tasks} ad hoc tasks through 2 slots"), Amount::PerSecond(rate));
    let compared = match pueue::drain(&place, around.rounds(PUEUED))? {
        Some(peer) => figure
            .against("pueue", Amount::PerSecond(peer), Some(rate / peer), Gate::TimesAtLeast(20.0))
            .noting(
                "from the first start to the last verdict; each attempt's tree is looked through and judged, \
                 which pueue does not do",
            ),
        None => {
            let why =
                "pueue is NOT INSTALLED, so there is NO RATIO: cargo install pueue, and have it on the PATH";
            let _ = writeln!(std::io::stderr(), "*** {CASE}: {why} ***");
            figure.noting(why)
        }
    };
    let sends = Amount::PerSecond(tasks as f64 / sent.as_secs_f64());
    Ok(vec![compared, Figure::told(CASE, "sending them, one after the other, with both slots taken", sends)])
}
