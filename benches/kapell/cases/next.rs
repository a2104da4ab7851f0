//! The fleet: what it costs to choose the next of very many tasks, among very many workers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kapell::base::clock::Time;
use kapell::base::ids::{ConductorId, PlanId, TaskId};
use kapell::domain::conducting::ConductorState;
use kapell::domain::plan::Task;
use kapell::domain::route::Choice;
use kapell::domain::schedule;
use kapell::domain::task::TaskState;
use kapell::services::conductor::agenda::Agenda;
use kapell::services::conductor::desk::Desk;
use kapell::services::conductor::seating::{self, Tried};
use kapell::services::conductor::starting::{self, Begun};
use kapell::services::{Error, ground, querying};
use kapell::store::StoreError;
use kapell::store::conductors::ConductorRow;
use kapell::store::plans::NewTask;
use kapell::sys::git::read;
use kapell::sys::process::life::Life;
use kapell::sys::process::tree;
use serde_json::json;

use super::Around;
use crate::figure::{Amount, Figure};
use crate::place::{Place, file_name};
use crate::rounds::{median, timed};

const CASE: &str = "next";
const TASKS: usize = 10_000;
/// So many are taken at the end; there are more seats than that.
const TAKEN: usize = 10;
const EXAMPLE: &str = include_str!("../../../examples/fleet-26/kapell.toml");
const PLAN: &str = "queued-000001";

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let mut place = Place::new(&around.folder, 3)?;
    place.stand_in(&["claude", "codex", "opencode", "ollama"])?;
    let desk = furnish(&place)?;
    let _life = attend(&place, &desk)?;
    let mut agenda = Agenda::new(&desk);
    let (_, first_look) = timed(|| Ok(agenda.refresh(&desk)?))?;
    ensure!(agenda.lights.len() == TASKS, "{} of {TASKS} tasks are known", agenda.lights.len());
    let (mut choices, mut looks) = (Vec::new(), Vec::new());
    for number in 0..around.rounds(200) {
        // Something happened to one of them since.
        let touched = TaskId::number((number * 37 % TASKS) as i64);
        desk.store()?
            .write(|tx| tx.set_task_reason(&desk.plan_id, &touched, Some(&format!("slot: {number}"))))?;
        choices.push(timed(|| choose(&mut agenda, &desk).map(drop))?.1);
        // And then nothing, as after another plan's event.
        looks.push(timed(|| Ok(agenda.refresh(&desk)?))?.1);
    }
    // Then it is taken, as long as there are seats: each is one durable transaction more.
    let base = read::resolve(&desk.git, "HEAD")?.context("HEAD is a commit")?.to_string();
    let mut taken = Vec::new();
    for _ in 0..TAKEN {
        taken.push(
            timed(|| {
                let task = choose(&mut agenda, &desk)?;
                let begun = starting::begin(&desk, &task, Some(&base))?;
                ensure!(matches!(begun, Begun::Attempt(_)), "{begun:?}");
                Ok(())
            })?
            .1,
        );
    }
    let limit = Amount::Time(Duration::from_millis(2));
    Ok(vec![
        Figure::told(CASE, format!("the next of {TASKS} queued tasks, 26 workers"), Amount::Time(median(&choices)?))
            .limited(limit)
            .noting("what changed is read, the foremost task found, and its seat by the rules, with the store's facts"),
        Figure::told(CASE, "the same, and the transaction that takes claim, seat and money", Amount::Time(median(&taken)?)),
        Figure::told(CASE, "a look after which nothing is to be done", Amount::Time(median(&looks)?)).limited(limit),
        Figure::told(CASE, "the first look of a conductor", Amount::Time(first_look)),
    ])
}

/// What a conductor does to find the next task and who gets it, up to the transaction that takes it.
fn choose(agenda: &mut Agenda, desk: &Desk) -> Result<Task> {
    agenda.refresh(desk)?;
    agenda.look_at_the_clock();
    let closed = agenda.closed_lanes(desk)?;
    let next = schedule::first(&agenda.views, |at| agenda.may_be_tried(at, &closed));
    let at = next.context("nothing may start")?;
    let task = desk.task(&agenda.lights[at].id)?;
    let choice = desk.store()?.read(|tx| -> Result<Choice, Error> {
        let live = querying::seated(tx)?;
        Ok(seating::seat(tx, desk, &task, &live, Tried { avoid: &[], out: &[] }, std::iter::empty())?.choice)
    })?;
    ensure!(matches!(choice, Choice::Seat(_)), "{choice:?}");
    Ok(task)
}

/// Enters this process as the plan's conductor, as which it is as long as the answer is kept: an attempt that nobody
/// attends to takes no seat.
fn attend(place: &Place, desk: &Desk) -> Result<Life> {
    let life = Life::take(&place.state.join("conductor.lock"))?.context("the lock is free")?;
    let identity = tree::identity(std::process::id().cast_signed()).context("this process is there")?;
    let now = Time::now();
    desk.store()?.write(|tx| -> Result<(), StoreError> {
        tx.insert_conductor(&ConductorRow {
            id: desk.conductor.clone(),
            project: desk.project.id.clone(),
            plan: desk.plan_id.clone(),
            state: ConductorState::Running,
            pid: std::process::id(),
            start_time: identity.start_time,
            boot_id: identity.boot_id,
            socket: None,
            alive: life.path().to_string_lossy().into_owned(),
            fencing: desk.fencing,
            started_at: now,
            heartbeat_at: now,
        })
    })?;
    Ok(life)
}

/// A plan of very many tasks that are ready, in the fleet of the example.
fn furnish(place: &Place) -> Result<Desk> {
    place.configure(EXAMPLE)?;
    let (session, project) = place.session()?;
    let plan = PlanId::new(PLAN);
    let texts = [
        "Review PR #",
        "Address review comments of PR #",
        "Run tests and merge PR #",
        "Fix dev1, bug ",
        "Tidy ",
    ];
    session.store()?.write(|tx| -> Result<(), StoreError> {
        tx.ensure_project(&project.id, &project.place.to_string_lossy(), None)?;
        tx.insert_plan(&project.id, &plan, "queued", "{\"name\":\"queued\"}")?;
        for number in 0..TASKS {
            let document = json!({"id": number, "task": format!("{}{number}", texts[number % texts.len()]),
                "files": [file_name(number)], "priority": number % 11});
            tx.insert_task(
                &plan,
                &NewTask {
                    id: &TaskId::number(number as i64),
                    document: &document.to_string(),
                    state: TaskState::Ready,
                    wanted: true,
                    parent: None,
                },
            )?;
        }
        Ok(())
    })?;
    let config = session.config(&project)?;
    let git = ground::git(&session.house, &project)?;
    Ok(Desk::new(session, project, config, git, plan, ConductorId::new("c-bench"), 0)?)
}
