//! Eight servers on one project, each in a process of its own, each claiming its own paths and some
//! that all want. Nothing acknowledged may be lost, nothing granted twice, and nobody starved.

use std::collections::HashMap;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use kapell::services::querying;
use kapell::store::claims::ClaimPage;
use serde_json::json;

use super::Around;
use crate::figure::{Amount, Figure, Gate};
use crate::place::Place;
use crate::rounds::median;
use crate::server::Door;

const CASE: &str = "crowd";
const SERVERS: usize = 8;
/// Of so many calls one is for a path that all want.
const CONTESTED_EVERY: usize = 5;

/// What one server was told.
struct Told {
    name: String,
    granted: Vec<String>,
    refused: usize,
    times: Vec<Duration>,
}

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let calls = around.rounds(300);
    // One server alone, before and after, so that a machine that slows down meanwhile is seen.
    let before = alone(around, calls)?;
    let place = Place::new(&around.folder, 3)?;
    let (told, wall) = claim_together(&place, SERVERS, calls)?;
    let after = alone(around, calls)?;

    let (lost, doubled) = compare_with_store(&place, &told)?;
    let contested: usize =
        told.iter().flat_map(|told| &told.granted).filter(|path| is_contested(path)).count();
    ensure!(
        contested == calls / CONTESTED_EVERY,
        "{contested} contested paths were granted, not each one once"
    );
    ensure!(told.iter().all(|told| told.granted.len() + told.refused == calls), "calls went unanswered");

    let times: Vec<Duration> = told.iter().flat_map(|told| told.times.iter().copied()).collect();
    let worst = times.iter().max().copied().unwrap_or_default();
    let together = (SERVERS * calls) as f64 / wall.as_secs_f64();
    let single = (before + after) / 2.0;
    let slowest_server =
        told.iter().map(|told| told.times.iter().sum::<Duration>()).max().unwrap_or_default();
    let fastest_server =
        told.iter().map(|told| told.times.iter().sum::<Duration>()).min().unwrap_or_default();
    Ok(vec![
        Figure::told(CASE, "acknowledged claims that are not stored", Amount::Count(lost, "claims"))
            .limited(Amount::Count(0, "claims"))
            .noting(format!("of {} acknowledged", told.iter().map(|told| told.granted.len()).sum::<usize>())),
        Figure::told(CASE, "paths granted to two", Amount::Count(doubled, "paths"))
            .limited(Amount::Count(0, "paths"))
            .noting(format!("of {} that all eight wanted", calls / CONTESTED_EVERY)),
        Figure::told(CASE, "eight servers together", Amount::PerSecond(together)).against(
            "one alone",
            Amount::PerSecond(single),
            None,
            Gate::TimesAtLeast(0.5),
        ),
        Figure::told(CASE, "slowest single wait of eight", Amount::Time(worst))
            .against("the median", Amount::Time(median(&times)?), None, Gate::TimesAtMost(20.0))
            .noting(format!(
                "the servers took {:.2} to {:.2} s for their {calls} claims",
                fastest_server.as_secs_f64(),
                slowest_server.as_secs_f64()
            )),
    ])
}

/// Claims a second of one server.
fn alone(around: &Around, calls: usize) -> Result<f64> {
    let place = Place::new(&around.folder, 3)?;
    let (_, wall) = claim_together(&place, 1, calls)?;
    Ok(calls as f64 / wall.as_secs_f64())
}

/// Has so many servers claim at the same time, and tells how long all of them took.
fn claim_together(place: &Place, servers: usize, calls: usize) -> Result<(Vec<Told>, Duration)> {
    let mut doors = Vec::new();
    for server in 0..servers {
        let name = format!("crowd{server}");
        let mut door = Door::mcp(place, &name)?;
        // Its first call opens the database, which is not what is measured.
        door.call("status", json!({}))?;
        doors.push((name, door));
    }
    // All live until the last has its answers: the end of one would slow down the others.
    let line = Barrier::new(servers + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = doors
            .iter_mut()
            .enumerate()
            .map(|(server, (name, door))| {
                let line = &line;
                scope.spawn(move || {
                    line.wait();
                    claim_all(name, door, server, calls)
                })
            })
            .collect();
        line.wait();
        let began = Instant::now();
        let told = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread died"))?)
            .collect::<Result<Vec<_>>>()?;
        Ok((told, began.elapsed()))
    })
}

fn claim_all(name: &str, door: &mut Door, server: usize, calls: usize) -> Result<Told> {
    let mut told = Told { name: name.to_owned(), granted: Vec::new(), refused: 0, times: Vec::new() };
    let mut contested = 0..calls / CONTESTED_EVERY;
    for call in 0..calls {
        let path = match (call + 1) % CONTESTED_EVERY {
            0 => format!("contested/file{}.rs", contested.next().context("enough contested paths")?),
            _ => format!("src/server{server}/file{call}.rs"),
        };
        let (answer, time) = door.call("claim-files", json!({"paths": [path]}))?;
        told.times.push(time);
        match answer["granted"].as_bool() {
            Some(true) => told.granted.push(path),
            Some(false) => told.refused += 1,
            None => return Err(anyhow!("no answer to a claim: {answer}")),
        }
    }
    Ok(told)
}

fn is_contested(path: &str) -> bool {
    path.starts_with("contested/")
}

/// How many acknowledged claims the database does not have, and how many paths two were granted.
fn compare_with_store(place: &Place, told: &[Told]) -> Result<(u64, u64)> {
    let (session, project) = place.session()?;
    let page = ClaimPage { after: 0, limit: usize::MAX >> 1 };
    let held: HashMap<String, String> = querying::claims(&session, &project, page)?
        .into_iter()
        .map(|(claim, _)| (claim.pattern.as_str().to_owned(), claim.holder.name.as_str().to_owned()))
        .collect();
    let mut owners: HashMap<&str, usize> = HashMap::new();
    let mut lost = 0;
    for told in told {
        for path in &told.granted {
            *owners.entry(path).or_default() += 1;
            let is_stored =
                held.get(path).is_some_and(|holder| holder.starts_with(&format!("{}-", told.name)));
            lost += u64::from(!is_stored);
        }
    }
    Ok((lost, owners.values().filter(|count| **count > 1).count() as u64))
}
