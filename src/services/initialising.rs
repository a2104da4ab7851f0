//! Setting up a project: a first `kapell.toml`, and Kapell registered with the agents found.
//!
//! A person's files are changed here, so: nothing is overwritten, an entry is added to the
//! text that is there and the rest stays byte by byte, every file is replaced at once, and
//! what it was before is recorded first, so that [`undo`] can restore it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::diagnosing::{ANSWER_LIMIT, say};
use super::{Error, Session};
use crate::base::ids::random_tail;
use crate::domain::refusal::{Code, Refusal};
use crate::sys::agent::{AgentKind, registration};
use crate::sys::config::{ProviderKind, ecosystem, starter};
use crate::sys::process::find::find_program;
use crate::sys::process::life::Life;
use crate::sys::text;

/// A version of Claude Code that tells its hooks of tools that fail.
const TELLS_FAILURES: [u32; 3] = [2, 0, 60];

/// What a change is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The project's configuration.
    Project,
    /// Claude Code's servers of this project.
    Claude,
    /// Claude Code's hooks in this project.
    ClaudeHooks,
    /// Codex's servers and hooks of this person.
    Codex,
    /// opencode's servers of this project.
    OpenCode,
}

impl What {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Project => "a first kapell.toml",
            Self::Claude => "Kapell as a server of Claude Code",
            Self::ClaudeHooks => "Kapell's hook in Claude Code: it is asked before a file is written",
            Self::Codex => "Kapell as a server of Codex and as its hook (Codex asks you to trust it)",
            Self::OpenCode => "Kapell as a server of opencode",
        }
    }
}

/// A file that is to be made or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What for.
    pub what: What,
    /// The file.
    #[serde(with = "any_path")]
    pub path: PathBuf,
    /// Its text now; none if it does not exist.
    pub before: Option<String>,
    /// Its text then.
    pub after: String,
    /// Its folder is made too.
    #[serde(default)]
    pub new_folder: bool,
}

/// A path in the record: a text, or its bytes where it is none.
mod any_path {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(to),
            None => path.as_os_str().as_bytes().serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(match Written::deserialize(from)? {
            Written::Text(text) => text.into(),
            Written::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

/// What setting up comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// What is to be changed.
    pub changes: Vec<Change>,
    /// What is as it should be.
    pub in_place: Vec<(What, PathBuf)>,
}

/// What is kept of a set-up, in the state folder.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    changes: Vec<Change>,
}

/// Looks at what there is and says what is to be changed. Changes nothing.
///
/// # Errors
/// A file that cannot be read or understood; nothing is half done then.
pub fn prepare(session: &Session, with_agents: bool) -> Result<Prepared, Error> {
    let project = session.project()?;
    let top = project.top()?;
    let found = session.house.agents_found();
    let mut prepared = Prepared::default();
    let config = top.join("kapell.toml");
    match read(&config)? {
        Some(_) => prepared.in_place.push((What::Project, config)),
        None => prepared.changes.push(Change {
            what: What::Project,
            path: config,
            before: None,
            after: starter(&ecosystem::find(top), &found),
            new_folder: false,
        }),
    }
    if !with_agents {
        return Ok(prepared);
    }
    let environment = &session.house.environment;
    let codex_home = environment
        .get("CODEX_HOME")
        .filter(|home| !home.is_empty())
        .map_or_else(|| session.house.home.join(".codex"), PathBuf::from);
    let opencode = match top.join("opencode.jsonc") {
        with_comments if with_comments.exists() => with_comments,
        _ => top.join("opencode.json"),
    };
    for (what, provider, agent, file) in [
        (What::Claude, ProviderKind::Claude, AgentKind::Claude, top.join(".mcp.json")),
        (What::ClaudeHooks, ProviderKind::Claude, AgentKind::Claude, top.join(".claude/settings.json")),
        (What::Codex, ProviderKind::Codex, AgentKind::Codex, codex_home.join("config.toml")),
        (What::OpenCode, ProviderKind::Opencode, AgentKind::OpenCode, opencode),
    ] {
        if !found.contains(&provider) {
            continue;
        }
        let before = read(&file)?;
        let after = match what {
            What::ClaudeHooks => {
                registration::with_hooks(&file, before.as_deref(), || knows_failures(session, top))?
            }
            _ => registration::with_kapell(agent, &file, before.as_deref())?,
        };
        match after {
            None => prepared.in_place.push((what, file)),
            Some(after) => {
                let new_folder = file.parent().is_some_and(|folder| !folder.exists());
                prepared.changes.push(Change { what, path: file, before, after, new_folder });
            }
        }
    }
    Ok(prepared)
}

/// Whether the Claude Code that is here tells its hooks of tools that fail.
fn knows_failures(session: &Session, top: &Path) -> bool {
    let environment = &session.house.environment;
    let path = environment.get("PATH").map_or("", String::as_str);
    let said = find_program("claude", path)
        .and_then(|program| say(&program, &["--version"], top, environment, ANSWER_LIMIT).ok());
    // As in `2.0.60 (Claude Code)`.
    let version = said.as_deref().and_then(|said| said.split_whitespace().next());
    let parts = version.into_iter().flat_map(|version| version.split('.'));
    let numbers: Option<Vec<u32>> = parts.map(|part| part.parse().ok()).collect();
    numbers.is_some_and(|numbers| numbers.as_slice() >= TELLS_FAILURES.as_slice())
}

/// Makes the changes, each file at once, after recording what each was before.
///
/// # Errors
/// A file that was changed since [`prepare`] looked at it, or that cannot be written. Files
/// before it in the list are changed then, and recorded.
pub fn apply(session: &Session, changes: &[Change]) -> Result<(), Error> {
    let _turn = take_turn(session)?;
    let mut record = load(session)?;
    for change in changes {
        if read(&change.path)? != change.before {
            return Err(changed(&change.path).into());
        }
        remember(&mut record, change);
    }
    save(session, &record)?;
    for (done, change) in changes.iter().enumerate() {
        write(change).map_err(|error| half_way(error, &changes[..done]))?;
    }
    Ok(())
}

fn write(change: &Change) -> Result<(), Error> {
    if change.new_folder
        && let Some(folder) = change.path.parent()
    {
        fs::create_dir_all(folder)
            .map_err(|error| Error::system(format!("making {}", folder.display()), error))?;
    }
    replace(&change.path, &change.after)
}

/// What failed, with what was written before it.
fn half_way(error: Error, done: &[Change]) -> Error {
    if done.is_empty() {
        return error;
    }
    let written: Vec<String> = done.iter().map(|change| change.path.display().to_string()).collect();
    Refusal::new(
        Code::Conflict,
        format!("{error}; written before it: {}", written.join(", ")),
        "mend that and call kapell init again, or take back what was written: kapell init --undo",
    )
    .into()
}

/// Adds a change to the record. A second change of a file that was left alone since the
/// first makes one of both.
fn remember(record: &mut Record, change: &Change) {
    let mut change = change.clone();
    if let Some(at) = record.changes.iter().position(|known| known.path == change.path) {
        let known = record.changes.remove(at);
        if change.before.as_ref() == Some(&known.after) {
            change.before = known.before;
            change.new_folder = known.new_folder;
        }
    }
    record.changes.push(change);
}

/// What [`undo`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undone {
    /// Files that are again as they were before.
    pub restored: Vec<PathBuf>,
    /// Files that somebody changed since, and that were left alone.
    pub left: Vec<PathBuf>,
}

/// Restores what [`apply`] changed. Files that were changed since are left alone, unless `force`.
///
/// # Errors
/// Nothing is recorded, or a file cannot be written.
pub fn undo(session: &Session, force: bool) -> Result<Undone, Error> {
    let _turn = take_turn(session)?;
    let mut record = load(session)?;
    if record.changes.is_empty() {
        return Err(Refusal::new(
            Code::NotFound,
            "there is nothing to undo: kapell init changed nothing in this project",
            "kapell init --dry-run shows what it would change",
        )
        .into());
    }
    let mut undone = Undone::default();
    let mut left = Vec::new();
    for change in record.changes.drain(..) {
        // A file that is no text any more was changed too.
        let now = read(&change.path);
        let is_ours = now.as_ref().is_ok_and(|now| now.as_ref() == Some(&change.after));
        // Whoever took the file away, or never got it, has nothing to be restored.
        let is_undone = now.as_ref().is_ok_and(|now| now.is_none() || *now == change.before);
        if !is_ours && !is_undone && !force {
            undone.left.push(change.path.clone());
            left.push(change);
            continue;
        }
        if !is_undone {
            restore(&change)?;
            undone.restored.push(change.path);
        }
    }
    record.changes = left;
    save(session, &record)?;
    Ok(undone)
}

fn restore(change: &Change) -> Result<(), Error> {
    if let Some(before) = &change.before {
        return replace(&change.path, before);
    }
    match fs::remove_file(&change.path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::system(format!("removing {}", change.path.display()), error));
        }
        _ => {}
    }
    if change.new_folder
        && let Some(folder) = change.path.parent()
    {
        // Only if nobody put anything else into it.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// A file's text; none if there is no file.
fn read(path: &Path) -> Result<Option<String>, Error> {
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) && !path.exists() {
        return Err(Refusal::new(
            Code::Unsupported,
            format!("{} is a symbolic link to nothing", path.display()),
            "remove it, or make what it points to",
        )
        .into());
    }
    match text::read_bytes(path) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|error| {
            Refusal::new(
                Code::Unsupported,
                format!("{} is no UTF-8 text, at byte {}", path.display(), error.utf8_error().valid_up_to()),
                "convert it to UTF-8, or pass over the agents with --no-agents",
            )
            .into()
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::system(format!("reading {}", path.display()), error)),
    }
}

/// Puts a text in the place of a file's, at once and with the file's permissions. Through a
/// symbolic link the file behind it is replaced, not the link.
fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::system(format!("writing {}", path.display()), error);
    let target = match path.canonicalize() {
        Ok(target) => target,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(failed(error)),
    };
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = target.with_file_name(format!(".{name}.{}", random_tail(8)));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        if let Ok(metadata) = fs::metadata(&target) {
            file.set_permissions(metadata.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &target)
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed(error)
    })
}

fn changed(path: &Path) -> Refusal {
    Refusal::new(
        Code::Conflict,
        format!("{} was changed meanwhile; nothing was written", path.display()),
        "call kapell init again",
    )
}

/// One set-up of a project at a time.
fn take_turn(session: &Session) -> Result<Life, Error> {
    let path = record_path(session)?.with_extension("lock");
    let life =
        Life::take(&path).map_err(|error| Error::system(format!("locking {}", path.display()), error))?;
    life.ok_or_else(|| {
        Refusal::new(
            Code::Busy,
            "another kapell init is at work in this project",
            "try again when it has ended",
        )
        .into()
    })
}

fn record_path(session: &Session) -> Result<PathBuf, Error> {
    let project = session.project()?;
    Ok(session.house.root.join("init").join(format!("{}.json", project.id)))
}

fn load(session: &Session) -> Result<Record, Error> {
    let path = record_path(session)?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Record::default()),
        Err(error) => return Err(Error::system(format!("reading {}", path.display()), error)),
    };
    serde_json::from_str(&text).map_err(|error| {
        Refusal::new(
            Code::StoreDamaged,
            format!("{} is damaged: {error}", path.display()),
            "move it away; kapell init --undo cannot be had then",
        )
        .into()
    })
}

fn save(session: &Session, record: &Record) -> Result<(), Error> {
    let path = record_path(session)?;
    if record.changes.is_empty() {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::system(format!("removing {}", path.display()), error))
            }
            _ => Ok(()),
        };
    }
    let text = serde_json::to_string_pretty(record)
        .map_err(|error| Error::Bug(format!("the record of init is no JSON: {error}")))?;
    // The folder is this person's alone, and so is what their files said.
    replace(&path, &text)
}

#[cfg(test)]
mod tests;
