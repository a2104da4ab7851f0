//! Telling a worker something while it works. None of the agents can be spoken to headless, so it waits
//! for the next thing that the worker asks; and a program of any other kind may read it in a file.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;

use super::{Error, Session};
use crate::base::ids::AttemptId;
use crate::domain::attempt::AttemptState;
use crate::domain::refusal::{Code, Refusal};
use crate::store::attempts::AttemptRow;
use crate::store::health::Nudge;
use crate::sys::agent::{AgentKind, NUDGES};

/// A worker is told no more at once than this, in characters.
const LONGEST: usize = 2000;

/// Records that a worker is to be told something, and does what can be done at once so that it is. Gives
/// how the worker will hear of it.
pub fn nudge(
    session: &Session,
    attempt: &AttemptRow,
    kind: AgentKind,
    who: &str,
    text: &str,
) -> Result<&'static str, Error> {
    let text: String = text.trim().chars().take(LONGEST).collect();
    let how = how_it_hears(kind);
    let run_dir = Path::new(&attempt.run_dir);
    session.store()?.write(|tx| -> Result<(), Error> {
        match tx.attempt(&attempt.id)? {
            Some(row) if !matches!(row.state, AttemptState::Finished(_)) => {}
            _ => {
                return Err(Refusal::new(
                    Code::Conflict,
                    format!("attempt {} has ended", attempt.id),
                    "control retry with a message tells the next one",
                )
                .into());
            }
        }
        tx.insert_nudge(&attempt.id, who, &text)?;
        let told = format!("task {}: {who} nudges {}: {text} ({how})", attempt.task, attempt.worker);
        let data = json!({"worker": attempt.worker.as_str(), "who": who, "text": text, "how": how});
        Ok(tx.tell_of_attempt(attempt, "attempt.nudged", told, Some(data.to_string()))?)
    })?;
    let line = json!({"kapell": "nudge", "who": who, "text": text}).to_string();
    append(run_dir, &line)
        .map_err(|error| Error::system(format!("cannot write {} in {}", NUDGES, run_dir.display()), error))?;
    Ok(how)
}

/// How a worker of that kind hears of what it is told.
fn how_it_hears(kind: AgentKind) -> &'static str {
    match kind {
        AgentKind::Command => "a line in its KAPELL_NUDGES now, and with its next call of kapell",
        AgentKind::Claude => "with its next edit or command, and with its next call of kapell",
        AgentKind::Codex | AgentKind::OpenCode => {
            "with its next call of kapell; until then it cannot be told anything"
        }
    }
}

/// The folder is not the worker's to change behind a wall; without one it may have put anything there.
fn append(run_dir: &Path, line: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let no_tricks = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut file = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(no_tricks.bits() as i32)
        .open(run_dir.join(NUDGES))?;
    file.write_all(format!("{line}\n").as_bytes())
}

/// What a worker is told with the answer to something that it asked; nothing, mostly. Recorded as told.
pub fn tell(session: &Session) -> Result<Vec<Nudge>, Error> {
    let Some(id) = session.caller.attempt.as_ref().map(AttemptId::new) else { return Ok(Vec::new()) };
    let store = session.store()?;
    // Nobody has to wait for the turn to write who is told nothing.
    if store.read(|tx| tx.nudges_to_tell(&id))?.is_empty() {
        return Ok(Vec::new());
    }
    let told = store.write(|tx| -> Result<Vec<Nudge>, Error> {
        let mut told = tx.nudges_to_tell(&id)?;
        let mut is_first = Vec::new();
        for nudge in &told {
            is_first.push(tx.set_told(nudge.id)?);
        }
        let mut firsts = is_first.into_iter();
        told.retain(|_| firsts.next().unwrap_or(false));
        if let (Some(row), false) = (tx.attempt(&id)?, told.is_empty()) {
            let text = format!("task {}: {} was told what it was nudged for", row.task, row.worker);
            tx.tell_of_attempt(&row, "attempt.told", text, None)?;
        }
        Ok(told)
    })?;
    // A hook that finds it asks again; a line more would be told with the next call all the same.
    let _ = std::fs::remove_file(session.house.run_dir(id.as_str()).join(NUDGES));
    Ok(told)
}
