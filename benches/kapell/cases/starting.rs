//! `kapell mcp` from its start to its end: what an agent's session pays before its first call, while
//! it does nothing, and when it goes away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::Around;
use crate::figure::{Amount, Figure, Gate};
use crate::place::Place;
use crate::rounds::{Rounds, Run, timed};
use crate::server::Server;

const CASE: &str = "start";
const LIST_TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let place = Place::new(&around.folder, 3)?;
    let mut figures = vec![start(around, &place)?];
    figures.extend(memory_and_rest(&place)?);
    for (how, signal) in [("EOF", None), ("SIGINT", Some(Signal::INT)), ("SIGTERM", Some(Signal::TERM))] {
        figures.push(stop(around, &place, how, signal)?);
    }
    Ok(figures)
}

/// A server that has answered `tools/list`.
fn ready(mut server: Server) -> Result<Server> {
    server.begin_mcp("bench")?;
    server.ask(LIST_TOOLS)?;
    Ok(server)
}

/// The floor's server sends back every line, also the one that `kapell mcp` does not answer.
fn ready_floor(mut server: Server) -> Result<Server> {
    server.begin_mcp("bench")?;
    server.ask(LIST_TOOLS)?;
    server.ask(LIST_TOOLS)?;
    Ok(server)
}

fn start(around: &Around, place: &Place) -> Result<Figure> {
    let kapell = || -> Result<Duration> {
        let (server, time) = timed(|| ready(Server::kapell(place, "mcp")?))?;
        server.end()?;
        Ok(time)
    };
    let floor = || -> Result<Duration> {
        let (server, time) = timed(|| ready_floor(Server::floor(place)?))?;
        server.end()?;
        Ok(time)
    };
    // The first start reads the program from the disk.
    kapell()?;
    floor()?;
    let mut competitors: [Run<'_>; 2] = [Box::new(kapell), Box::new(floor)];
    let rounds = Rounds::take(around.rounds(40), 3, &mut competitors)?;
    Ok(Figure::told(CASE, "kapell mcp, spawn to tools/list answered", Amount::Time(rounds.median(0)?))
        .against(
            "blocking echo server",
            Amount::Time(rounds.median(1)?),
            Some(rounds.ratio_to(0, 1)?),
            Gate::TimesAtMost(5.0),
        ))
}

fn memory_and_rest(place: &Place) -> Result<Vec<Figure>> {
    if !cfg!(target_os = "linux") {
        return Ok(Vec::new());
    }
    let server = ready(Server::kapell(place, "mcp")?)?;
    let (rss, private) = (kib_of(&server, "smaps_rollup", "Rss:")?, private_kib(&server)?);
    let before = ticks(&server)?;
    server.rest(Duration::from_secs(1))?;
    let used = ticks(&server)? - before;
    server.end()?;
    Ok(vec![
        Figure::told(CASE, "resident memory after tools/list", Amount::Bytes(rss << 10))
            .limited(Amount::Bytes(12 << 20))
            .noting(format!(
                "{private} KiB of it are its own; the rest is the program's file, shared by all"
            )),
        Figure::told(CASE, "processor time in an idle second", Amount::Count(used, "ticks"))
            .limited(Amount::Count(1, "ticks")),
    ])
}

fn stop(around: &Around, place: &Place, how: &str, signal: Option<Signal>) -> Result<Figure> {
    let once = || -> Result<Duration> {
        let server = ready(Server::kapell(place, "mcp")?)?;
        match signal {
            None => server.end(),
            Some(signal) => server.signal(signal),
        }
    };
    let rounds = Rounds::take(around.rounds(10), 1, &mut [Box::new(once)])?;
    Ok(Figure::told(CASE, format!("kapell mcp ends after {how}"), Amount::Time(rounds.median(0)?))
        .limited(Amount::Time(Duration::from_millis(20)))
        .noting(format!("the slowest took {:.1} ms", rounds.worst(0).as_secs_f64() * 1e3)))
}

fn proc_file(server: &Server, name: &str) -> Result<String> {
    Ok(std::fs::read_to_string(format!("/proc/{}/{name}", server.pid()))?)
}

fn kib_of(server: &Server, file: &str, field: &str) -> Result<u64> {
    let text = proc_file(server, file)?;
    let line = text.lines().find(|line| line.starts_with(field));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(word.with_context(|| format!("{file} has no {field}"))?.parse()?)
}

fn private_kib(server: &Server) -> Result<u64> {
    Ok(kib_of(server, "smaps_rollup", "Private_Clean:")? + kib_of(server, "smaps_rollup", "Private_Dirty:")?)
}

/// User and system time of a process, in the kernel's ticks of 10 ms.
fn ticks(server: &Server) -> Result<u64> {
    let stat = proc_file(server, "stat")?;
    // The name in parentheses may hold blanks; the fields behind it are numbered from 3.
    let (_, fields) = stat.rsplit_once(')').context("the name ends")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    ensure!(fields.len() > 12, "/proc/PID/stat is short");
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}
