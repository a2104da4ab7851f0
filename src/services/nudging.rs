//! Telling a worker something while it works. None of the agents can be spoken to headless, so it waits
//! for the next thing that the worker asks; and a program of any other kind may read it in a file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::conductor::launching::kind_of_run;
use super::project::Project;
use super::{Error, House, Session};
use crate::base::ids::{AttemptId, HolderName};
use crate::domain::attempt::AttemptState;
use crate::domain::claim::{Held, Holder, HolderKind};
use crate::domain::refusal::{Code, Refusal};
use crate::store::attempts::AttemptRow;
use crate::store::health::Nudge;
use crate::sys::agent::{AgentKind, NUDGES};

/// The folder with what sessions of agents are asked for, in the state folder.
const ASKED: &str = "asked";

/// A session is told of so many at once.
const MOST_ASKED: usize = 20;

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
    append(&run_dir.join(NUDGES), &line)
        .map_err(|error| Error::system(format!("cannot write {} in {}", NUDGES, run_dir.display()), error))?;
    Ok(how)
}

/// Tells those who hold what somebody asks for that it is asked for, so far as they can be told: a worker as by
/// [`nudge`], a session of an agent's with the answer to the next thing that it asks. An editor follows the events.
pub fn ask(
    session: &Session,
    project: &Project,
    held: &[Held],
    by: &Holder,
    reason: Option<&str>,
) -> Result<(), Error> {
    let config = session.config_at_work(project)?;
    let mut told = BTreeSet::new();
    for claim in held.iter().filter(|claim| told.insert(claim.holder.name.as_str())) {
        let text = wish_for(held, &claim.holder, reason);
        match claim.holder.kind {
            HolderKind::Attempt => {
                let row =
                    session.store()?.read(|tx| tx.attempt(&AttemptId::new(claim.holder.name.as_str())))?;
                let Some(row) = row.filter(|row| row.state.outcome().is_none()) else { continue };
                let kind = kind_of_run(config.providers.get(&row.provider), Path::new(&row.run_dir));
                match nudge(session, &row, kind, by.name.as_str(), &text) {
                    // It ended at this moment.
                    Ok(_) | Err(Error::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            HolderKind::Agent => say(&session.house, &claim.holder.name, &by.name, &text)?,
            HolderKind::Person => {}
        }
    }
    Ok(())
}

/// Leaves something to be told to a session of an agent's with the answer to the next thing that it asks.
///
/// # Errors
/// It cannot be written.
pub fn say(house: &House, to: &HolderName, by: &HolderName, text: &str) -> Result<(), Error> {
    let file = asked_file(house, to);
    let failed = |error| Error::system(format!("cannot write {}", file.display()), error);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    append(&file, &json!({"who": by.as_str(), "text": text}).to_string()).map_err(failed)
}

/// What a holder is told that somebody waits for what it holds.
fn wish_for(held: &[Held], holder: &Holder, reason: Option<&str>) -> String {
    let theirs = held.iter().filter(|claim| claim.holder == *holder);
    let patterns: Vec<&str> = theirs.map(|claim| claim.pattern.as_str()).collect();
    let why = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let patterns = patterns.join(", ");
    let text = format!(
        "I wait for {patterns}{why}; let go of it with release-files as soon as you can do without it"
    );
    text.trim().chars().take(LONGEST).collect()
}

/// Takes back what [`ask`] left to be told, where it was not told yet: the wait is over, however it ended.
pub fn unask(session: &Session, held: &[Held], by: &Holder, reason: Option<&str>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for claim in held.iter().filter(|claim| seen.insert(claim.holder.name.as_str())) {
        let text = wish_for(held, &claim.holder, reason);
        match claim.holder.kind {
            HolderKind::Attempt => {
                let id = AttemptId::new(claim.holder.name.as_str());
                let is_this = |nudge: &Nudge| nudge.who == by.name.as_str() && nudge.text == text;
                let store = session.store()?;
                if store.read(|tx| tx.nudges_to_tell(&id))?.iter().any(is_this) {
                    store.write(|tx| -> Result<(), Error> {
                        for nudge in tx.nudges_to_tell(&id)?.iter().filter(|nudge| is_this(nudge)) {
                            tx.drop_nudge(nudge.id)?;
                        }
                        Ok(())
                    })?;
                }
            }
            HolderKind::Agent => {
                let file = asked_file(&session.house, &claim.holder.name);
                // Behind what it takes back: whoever else asks meanwhile loses nothing.
                if file.exists() {
                    let line = json!({"who": by.name.as_str(), "text": text, "over": true}).to_string();
                    append(&file, &line)
                        .map_err(|error| Error::system(format!("cannot write {}", file.display()), error))?;
                }
            }
            HolderKind::Person => {}
        }
    }
    Ok(())
}

/// What a session of an agent's was asked for since it was told last: by whom, and in what words.
pub fn asked(house: &House, holder: &HolderName) -> Vec<(String, String)> {
    let file = asked_file(house, holder);
    // Mostly there is none, and each edit of an agent's asks.
    let Ok(told) = std::fs::read_to_string(&file) else { return Vec::new() };
    if std::fs::remove_file(&file).is_err() {
        // Somebody else tells it.
        return Vec::new();
    }
    let mut asked: Vec<(String, String)> = Vec::new();
    for line in told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let (Some(who), Some(text)) = (line["who"].as_str(), line["text"].as_str()) else { continue };
        let wish = (who.to_owned(), text.to_owned());
        if line["over"] != true {
            asked.push(wish);
        } else if let Some(at) = asked.iter().position(|other| *other == wish) {
            asked.remove(at);
        }
    }
    asked.truncate(MOST_ASKED);
    asked
}

/// A name may have any letters, and a file may not.
fn asked_file(house: &House, holder: &HolderName) -> PathBuf {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(holder.as_str().as_bytes());
    let name: String = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    house.root.join(ASKED).join(name)
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
fn append(file: &Path, line: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let no_tricks = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut file = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(no_tricks.bits() as i32)
        .open(file)?;
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
