//! The end of a service that nobody stopped: its shim knows of it first, and becomes the process that records it.

use std::ffi::OsString;

use serde_json::json;

use super::{Ground, log, running};
use crate::base::ids::ProjectId;
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, House};
use crate::store::environments::{EnvironmentRow, SubRow};
use crate::sys::shim::client;
use crate::sys::shim::job::Errand;

/// The word on the command line that this is asked for with.
pub const WORD: &str = "ended";

/// What the shim of a service becomes at its end: `kapell ended PROJECT ENVIRONMENT SUB RUN`.
pub(super) fn errand(ground: &Ground<'_>, row: &EnvironmentRow, sub: &SubRow, run: &str) -> Errand {
    let house = &ground.session.house;
    let words = [WORD, ground.project.id.as_str(), &row.name, &sub.name, run];
    let argv = std::iter::once(house.program.clone().into()).chain(words.map(OsString::from)).collect();
    // Its checkout may be gone by then.
    Errand { argv, env: house.for_kapell(), cwd: house.root.clone() }
}

/// Records that a service has crashed, once: not where somebody stopped it, or has launched it anew.
pub fn tell(house: &House, words: &[String]) -> Result<(), Error> {
    let [project, name, sub, run] = words else {
        let hint = "it is what a service's process becomes when that ends";
        return Err(Refusal::new(
            Code::Usage,
            "ended wants a project, an environment, a sub and a run",
            hint,
        )
        .into());
    };
    let project = ProjectId::new(project.as_str());
    let row = house.store()?.read(|tx| tx.environments(&project))?.into_iter().find(|row| row.name == *name);
    let run_dir = house.run_dir(run);
    let exit = client::read_exit(&run_dir)
        .map_err(|error| Error::system("how it ended cannot be read", std::io::Error::other(error)))?;
    // Who is not there any more, or runs still, has not crashed.
    let (Some(row), Some(exit)) = (row, exit) else { return Ok(()) };
    let why = running::why_ended(&run_dir, &exit);
    let last_line = running::last_lines(&log(&row, sub), running::log_from(&run_dir)).pop();
    let said = last_line.as_ref().map(|line| format!("; the last it said: {line}")).unwrap_or_default();
    let text = format!("{name}/{sub} crashed: {why}{said}");
    let data = json!({
        "environment": name, "sub": sub, "run": run, "reason": why, "code": exit.code, "signal": exit.signal,
        "last_line": last_line,
    });
    Ok(house.store()?.write(|tx| tx.tell_of_crash(&project, name, sub, run, text, &data))?)
}
