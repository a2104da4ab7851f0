//! One durable claim of one path: through `kapell mcp`, through `kapell rpc` and within this process,
//! with few and with many other claims.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::Around;
use crate::figure::{Amount, Figure, Gate};
use crate::place::{Place, file_name};
use crate::rounds::{Rounds, Run};
use crate::server::Door;

const CASE: &str = "claim";
const FEW: usize = 10;
const MANY: usize = 10_000;
/// A call takes so many paths at most here; a claim of thousands at once is another matter.
const AT_ONCE: usize = 500;

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let (few, many) = (Place::new(&around.folder, 3)?, Place::new(&around.folder, 3)?);
    for (place, count) in [(&few, FEW), (&many, MANY)] {
        occupy(place, count)?;
    }
    let doors = |place: &Place| -> Result<[Claims; 3]> {
        let doors = [Door::Inside(place.client()), Door::mcp(place, "bench")?, Door::rpc(place)?];
        Ok(doors.map(Claims::new))
    };
    let [mut inside, mut mcp, mut rpc] = doors(&few)?;
    let [mut inside_many, mut mcp_many, mut rpc_many] = doors(&many)?;
    let bare = BareStore::open(&few.project.join("bare.db"))?;
    let mut competitors: [Run<'_>; 7] = [
        Box::new(|| bare.commit()),
        Box::new(|| inside.once()),
        Box::new(|| inside_many.once()),
        Box::new(|| mcp.once()),
        Box::new(|| mcp_many.once()),
        Box::new(|| rpc.once()),
        Box::new(|| rpc_many.once()),
    ];
    for competitor in &mut competitors {
        // The first call opens the database and prepares its statements.
        for _ in 0..3 {
            competitor()?;
        }
    }
    let rounds = Rounds::take(around.rounds(30), 15, &mut competitors)?;
    drop(competitors);

    let mut figures =
        vec![Figure::told(CASE, "one bare commit, WAL and FULL", Amount::Time(rounds.median(0)?))];
    for (at, door) in [(1, "in process"), (3, "kapell mcp"), (5, "kapell rpc")] {
        let time = Amount::Time(rounds.median(at)?);
        figures.push(Figure::told(CASE, format!("claim of one path, {door}"), time).against(
            "bare commit",
            Amount::Time(rounds.median(0)?),
            Some(rounds.ratio_to(at, 0)?),
            Gate::TimesAtMost(3.0),
        ));
    }
    for (at, door) in [(1, "in process"), (3, "kapell mcp"), (5, "kapell rpc")] {
        let time = Amount::Time(rounds.median(at + 1)?);
        figures.push(Figure::told(CASE, format!("with {MANY} claims, {door}"), time).against(
            format!("with {FEW}"),
            Amount::Time(rounds.median(at)?),
            Some(rounds.ratio_to(at + 1, at)?),
            Gate::TimesAtMost(1.5),
        ));
    }
    Ok(figures)
}

/// Has somebody else claim so many files.
fn occupy(place: &Place, count: usize) -> Result<()> {
    let mut door = Door::Inside(place.client());
    for first in (0..count).step_by(AT_ONCE) {
        let paths: Vec<String> = (first..count.min(first + AT_ONCE)).map(file_name).collect();
        let (answer, _) = door.call("claim-files", json!({"paths": paths, "holder": "somebody-else"}))?;
        ensure!(answer["granted"] == true, "{answer}");
    }
    Ok(())
}

/// Claims of paths that are free, each released before the next.
struct Claims {
    door: Door,
    made: usize,
}

impl Claims {
    fn new(door: Door) -> Self {
        Self { door, made: 0 }
    }

    /// Claims one path and lets it go; only the claim is timed.
    fn once(&mut self) -> Result<Duration> {
        self.made += 1;
        // Beside the files that others hold, as it is when several work on one tree.
        let path = format!("src/part{:03}/new{}.rs", self.made % (MANY / 20), self.made);
        let (answer, time) = self.door.call("claim-files", json!({"paths": [path]}))?;
        ensure!(answer["granted"] == true, "{answer}");
        let ids: Vec<&Value> =
            answer["claims"].as_array().context("claims")?.iter().map(|claim| &claim["claim_id"]).collect();
        let (released, _) = self.door.call("release-files", json!({"claim_ids": ids}))?;
        ensure!(released["released"].as_array().is_some_and(|ids| ids.len() == 1), "{released}");
        Ok(time)
    }
}

/// What any durable change costs on this disk: one row in one table.
pub struct BareStore(Connection);

impl BareStore {
    /// Makes the database.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE rows (id INTEGER PRIMARY KEY, at INTEGER, text TEXT)",
        )?;
        Ok(Self(connection))
    }

    /// How long a commit of one row takes.
    pub fn commit(&self) -> Result<Duration> {
        let began = Instant::now();
        self.0
            .prepare_cached("INSERT INTO rows (at, text) VALUES (?1, ?2)")?
            .execute((1, "a row of about the size that an event has, so that it is no empty one"))?;
        Ok(began.elapsed())
    }
}
