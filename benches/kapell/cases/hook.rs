//! `kapell hook` from its start to its end, beside `true` started the same way: every edit of an
//! agent waits for it.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::Around;
use crate::figure::{Amount, Figure, Gate};
use crate::place::{KAPELL, Place, file_name};
use crate::rounds::{Rounds, Run, timed};
use crate::server::Server;

const CASE: &str = "hook";
/// What others hold.
const CLAIMS: usize = 1000;
const AT_ONCE: usize = 250;

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (how, is_killed) in [("beside a server", false), ("after kill -9 of all others", true)] {
        let place = Place::new(&around.folder, 3)?;
        let mut server = Server::kapell(&place, "rpc")?;
        occupy(&mut server)?;
        let server = if is_killed { server.signal(Signal::KILL).map(|_| None)? } else { Some(server) };
        let mut edits = 0;
        let mut competitors: [Run<'_>; 3] = [
            Box::new(|| ended(place.command("true", &[]), "")),
            Box::new(|| ended(place.command(KAPELL, &["hook", "claude"]), &edit(&place, "own"))),
            Box::new(|| {
                edits += 1;
                let path = format!("new{edits}");
                ended(place.command(KAPELL, &["hook", "claude"]), &edit(&place, &path))
            }),
        ];
        let rounds = Rounds::take(around.rounds(60), 10, &mut competitors)?;
        drop(competitors);
        if let Some(server) = server {
            server.end()?;
        }
        let floor = Amount::Time(rounds.median(0)?);
        for (at, what, most) in [(1, "a file of one's own", 2.5), (2, "a first claim", 4.0)] {
            let typical = Figure::told(CASE, format!("{what}, {how}"), Amount::Time(rounds.median(at)?));
            let ratio = rounds.ratio_to(at, 0)?;
            figures.push(typical.against("true", floor, Some(ratio), Gate::TimesAtMost(most)));
            let slow = rounds.slow(at);
            let ratio = slow.as_secs_f64() / rounds.median(0)?.as_secs_f64();
            figures.push(
                Figure::told(CASE, format!("{what}, {how}, p99"), Amount::Time(slow))
                    .against("true, p50", floor, Some(ratio), Gate::TimesAtMost(6.0))
                    .noting(format!("p99 of true is {:.1} ms", rounds.slow(0).as_secs_f64() * 1e3)),
            );
        }
    }
    Ok(figures)
}

/// Has somebody else claim files.
fn occupy(server: &mut Server) -> Result<()> {
    for first in (0..CLAIMS).step_by(AT_ONCE) {
        let paths: Vec<String> = (first..first + AT_ONCE).map(file_name).collect();
        let params = json!({"paths": paths, "holder": "somebody-else"});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "claim-files", "params": params});
        let answer = server.ask(&call.to_string())?;
        ensure!(String::from_utf8_lossy(&answer).contains("\"granted\":true"), "they are free");
    }
    Ok(())
}

fn edit(place: &Place, path: &str) -> String {
    let input = json!({"file_path": place.project.join(path), "old_string": "a", "new_string": "b"});
    json!({"session_id": "bench", "hook_event_name": "PreToolUse", "cwd": place.project,
           "tool_name": "Edit", "tool_input": input})
    .to_string()
}

/// How long a process takes that is given the text; it must end well and say nothing.
fn ended(mut command: Command, text: &str) -> Result<Duration> {
    let (output, time) = timed(|| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        // `true` may have ended before it is given anything.
        let _ = child.stdin.take().context("its stdin")?.write_all(text.as_bytes());
        Ok(child.wait_with_output()?)
    })?;
    ensure!(
        output.status.success() && output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(time)
}
