//! What a command changed that nobody could tell from its words: files of others, found out afterwards.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Editor, Held, HolderKind, is_committed, is_of_agent, linked, near, tell};
use crate::base::ids::HolderName;
use crate::domain::pattern::Pattern;
use crate::domain::refusal::{Code, Refusal};
use crate::services::project::Project;
use crate::services::{Error, House};
use crate::store::events::EventFilter;
use crate::sys::process::life;

/// So many files in folders that others hold are looked at: a hook has to answer in milliseconds.
const LOOKED_AT: usize = 5000;

/// So many of the newest events are looked through for what was told already.
const LOOKED_BACK: i64 = 10_000;

/// So many are named.
const NAMED: usize = 5;

/// The file whose time tells when a session used its last tool.
fn stamp(house: &House, holder: &HolderName) -> PathBuf {
    let name: String = holder
        .as_str()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    house.root.join("hook").join(name)
}

/// Notes that a session is about to use a tool.
pub fn note(house: &House, editor: &Editor) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = stamp(house, &editor.holder.name);
    let noted = fs::write(&path, "now");
    if noted.is_ok() || !house.root.is_dir() {
        return noted;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(house.root.join("hook"))?;
    fs::write(&path, "now")
}

/// Forgets it at the end of a turn.
pub fn forget(house: &House, editor: &Editor) {
    // One that used no tool left none.
    let _ = fs::remove_file(stamp(house, &editor.holder.name));
}

/// Tells of the files of others that changed since the session was about to use its tool.
pub fn touched(house: &House, editor: &Editor, folder: &Path) -> Result<Option<Refusal>, Error> {
    let project = Project::of(folder)?;
    let since =
        |holder: &HolderName| fs::metadata(stamp(house, holder)).and_then(|stamp| stamp.modified()).ok();
    let (Some(began), Some(top)) = (since(&editor.holder.name), &project.top) else { return Ok(None) };
    let Ok(all) = Pattern::parse("**") else { return Ok(None) };
    let held = house.store()?.read(|tx| near(tx, &project.id, &[all]))?;
    let is_others = |claim: &&Held| {
        // Attempts work in checkouts of their own, and a server's claims are its agent's.
        claim.holder.kind != HolderKind::Attempt
            && claim.holder != editor.holder
            && (claim.alive.as_deref().is_some_and(life::is_of_process)
                || !is_of_agent(claim, editor.alive.as_deref()))
            // Whoever used a tool meanwhile did it rather than this one.
            && since(&claim.holder.name).is_none_or(|theirs| theirs < began)
    };
    let has_changed = |found: &fs::Metadata| changed_at(found) >= began;
    let mut left = LOOKED_AT;
    let mut changed: Vec<(String, &Held)> = Vec::new();
    for claim in held.iter().filter(is_others) {
        let file = top.join(claim.pattern.literal_path());
        match fs::symlink_metadata(&file) {
            Ok(found) if claim.pattern.is_literal() && !found.is_dir() => {
                if has_changed(&found) {
                    changed.push((claim.pattern.literal_path().to_owned(), claim));
                }
            }
            Err(_) if claim.pattern.is_literal() => {
                let folder = file.ancestors().skip(1).find_map(|folder| fs::symlink_metadata(folder).ok());
                if folder.is_some_and(|folder| has_changed(&folder))
                    && is_taken_away(house, &project, claim, &file)?
                {
                    changed.push((claim.pattern.literal_path().to_owned(), claim));
                }
            }
            _ => {
                let found = linked::below(top, &claim.pattern, &mut left, has_changed);
                changed.extend(found.into_iter().map(|path| (path, claim)));
            }
        }
    }
    let Some((_, first)) = changed.first() else { return Ok(None) };
    let names: Vec<String> = changed
        .iter()
        .take(NAMED)
        .map(|(path, claim)| format!("{path} (held by {})", claim.holder.name))
        .collect();
    let more = changed.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!("{}{more} changed while this command of {} ran", names.join(", "), editor.holder.name);
    house.store()?.write(|tx| tell(tx, &project, editor, "hook.touched", text.clone()))?;
    let hint = format!(
        "if the command did it, put back what was there, and ask {} first; if not, go on",
        first.holder.name
    );
    Ok(Some(Refusal::new(Code::Conflict, text, hint)))
}

/// Whether a file that is held and not there was there, and nobody was told yet that it is gone: its holder may have
/// removed it long ago.
fn is_taken_away(house: &House, project: &Project, claim: &Held, file: &Path) -> Result<bool, Error> {
    let name = claim.pattern.literal_path();
    let (is_edited, is_told) = house.store()?.read(|tx| -> Result<_, Error> {
        let mut edits = tx.edits_of(&claim.holder)?.into_iter();
        let filter =
            EventFilter { project: Some(&project.id), kind: Some("hook.touched"), ..EventFilter::default() };
        let told = tx.events_after(tx.newest_event()? - LOOKED_BACK, &filter, usize::from(u16::MAX))?;
        let is_told = told.iter().any(|event| event.at >= claim.since && event.text.contains(name));
        Ok((edits.any(|edit| edit.claim == claim.id), is_told))
    })?;
    Ok(!is_told && (is_edited || project.repository.is_some() && !is_committed(house, file)))
}

/// When a file was last changed, its name and rights too: what is unpacked brings its own time with it.
fn changed_at(found: &fs::Metadata) -> SystemTime {
    let seconds = std::time::Duration::from_secs(u64::try_from(found.ctime()).unwrap_or(0));
    let nanos = std::time::Duration::from_nanos(u64::try_from(found.ctime_nsec()).unwrap_or(0));
    SystemTime::UNIX_EPOCH + seconds + nanos
}
