//! `status`: what it costs with many tasks, and how many words it takes with many workers.

use anyhow::{Context, Result, ensure};
use kapell::base::ids::{AttemptId, PlanId, TaskId, WorkerName};
use kapell::domain::task::TaskState;
use kapell::store::StoreError;
use kapell::store::attempts::NewAttempt;
use kapell::store::money::Reserve;
use kapell::store::plans::NewTask;
use serde_json::{Value, json};

use super::Around;
use crate::figure::{Amount, Figure, Gate};
use crate::place::{Place, file_name};
use crate::rounds::{Rounds, Run};
use crate::server::{Door, Server};

const CASE: &str = "status";
const WORKERS: usize = 26;
const FEW: usize = 100;
const MANY: usize = 10_000;

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let (few, many) = (Place::new(&around.folder, 3)?, Place::new(&around.folder, 3)?);
    let mut figures = Vec::new();
    for (place, count) in [(&few, FEW), (&many, MANY)] {
        furnish(place, count)?;
    }
    let mut doors = [
        Door::Inside(few.client()),
        Door::Inside(many.client()),
        Door::mcp(&few, "bench")?,
        Door::mcp(&many, "bench")?,
    ];
    for door in &mut doors {
        door.call("status", json!({}))?;
    }
    let mut competitors: Vec<Run<'_>> = Vec::new();
    for door in &mut doors {
        competitors.push(Box::new(move || Ok(door.call("status", json!({}))?.1)));
    }
    let rounds = Rounds::take(around.rounds(30), 10, &mut competitors)?;
    drop(competitors);
    for (at, door) in [(0, "in process"), (2, "kapell mcp")] {
        let time = Amount::Time(rounds.median(at + 1)?);
        figures.push(Figure::told(CASE, format!("overview with {MANY} tasks, {door}"), time).against(
            format!("with {FEW}"),
            Amount::Time(rounds.median(at)?),
            Some(rounds.ratio_to(at + 1, at)?),
            Gate::TimesAtMost(2.0),
        ));
    }
    let mut server = Server::kapell(&many, "mcp")?;
    server.begin_mcp("bench")?;
    for (name, params) in [
        ("overview", json!({})),
        ("the plan", json!({"scope": "plan", "id": "many"})),
        ("500 claims", json!({"scope": "claims", "limit": 500})),
        ("500 events", json!({"scope": "events", "limit": 500})),
    ] {
        let bytes = said(&mut server, &params)?.structured;
        let figure = Figure::told(CASE, format!("answer with {MANY} tasks: {name}"), Amount::Bytes(bytes));
        figures.push(figure.limited(Amount::Bytes(16 << 10)));
    }
    let said = said(&mut server, &json!({"scope": "workers"}))?;
    let tokens = said.text.max(said.structured) / 4;
    figures.push(
        Figure::told(CASE, format!("status of {WORKERS} workers"), Amount::Count(tokens, "tokens"))
            .limited(Amount::Count(1500, "tokens"))
            .noting(format!(
                "at four bytes a token, the longer of {} bytes as text and {} as JSON; half of them busy",
                said.text, said.structured
            )),
    );
    Ok(figures)
}

/// How many bytes a model may have to read, in the two forms in which an answer comes.
struct Said {
    text: u64,
    structured: u64,
}

fn said(server: &mut Server, params: &Value) -> Result<Said> {
    let question = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "status", "arguments": params}});
    let answer: Value = serde_json::from_slice(&server.ask(&question.to_string())?)?;
    let result = &answer["result"];
    ensure!(result["isError"] != true, "{answer}");
    let text = result["content"][0]["text"].as_str().context("an answer has text")?;
    Ok(Said { text: text.len() as u64, structured: result["structuredContent"].to_string().len() as u64 })
}

/// A project with a plan of so many tasks, 500 claims, and 26 workers of whom half are at work.
fn furnish(place: &Place, tasks: usize) -> Result<()> {
    let mut config = String::from("[providers.quick]\nkind = \"command\"\ncommand = [\"true\"]\n");
    for worker in 0..WORKERS {
        config.push_str(&format!(
            "[workers.development_worker{worker:02}]\nprovider = \"quick\"\ngroups = [\"development\"]\n"
        ));
    }
    place.configure(&config)?;
    let (session, project) = place.session()?;
    let plan = PlanId::new("many-000001");
    session.store()?.write(|tx| -> Result<(), StoreError> {
        tx.ensure_project(&project.id, &project.place.to_string_lossy(), None)?;
        tx.insert_plan(&project.id, &plan, "many", "{\"name\":\"many\"}")?;
        for number in 0..tasks {
            let document = json!({"id": number, "task": "Make the tests of this file pass again",
                "files": [file_name(number)]});
            tx.insert_task(
                &plan,
                &NewTask {
                    id: &TaskId::number(number as i64),
                    document: &document.to_string(),
                    state: TaskState::Waiting,
                    wanted: true,
                    parent: None,
                },
            )?;
        }
        for number in 0..WORKERS / 2 {
            let id = AttemptId::new(format!("a-{number:010}"));
            let run_dir = session.house.run_dir(id.as_str());
            tx.insert_attempt(&NewAttempt {
                id: &id,
                project: &project.id,
                plan: &plan,
                task: &TaskId::number(number as i64),
                number: 1,
                worker: &WorkerName::new(format!("development_worker{:02}", number * 2)),
                provider: &"quick".into(),
                run_dir: &run_dir.to_string_lossy(),
                worktree: "",
                environment: None,
                for_group: None,
                base: None,
                fencing: 0,
                reserve: Reserve::default(),
            })?;
        }
        Ok(())
    })?;
    let mut door = Door::Inside(place.client());
    for number in 0..500 {
        door.call("claim-files", json!({"paths": [format!("docs/chapter{number}.md")]}))?;
    }
    Ok(())
}
