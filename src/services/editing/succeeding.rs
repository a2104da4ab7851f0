//! A session that ends while its agent's process goes on, as by `/clear`: the process's next session has what it
//! held. Nobody else would let go of it before the process ends, and its own next edit would be refused. And one that
//! goes on in another process: it lives by that one.

use std::fs;
use std::path::PathBuf;

use super::touching::stamp;
use super::{Editor, SESSION_LEASE_S, is_twins};
use crate::base::clock::Time;
use crate::base::ids::{HolderName, ProjectId};
use crate::services::{Error, House};
use crate::store::Tx;

/// Where it is noted which session of a process ended.
fn note(house: &House, alive: &str) -> PathBuf {
    stamp(house, &HolderName::new(format!("ended-{alive}")))
}

/// Notes that a session ended and its process goes on.
///
/// # Errors
/// The note cannot be written.
pub fn end(house: &House, editor: &Editor) -> Result<(), Error> {
    let Some(alive) = &editor.alive else { return Ok(()) };
    let note = note(house, alive);
    let write = || {
        fs::create_dir_all(note.parent().unwrap_or(&house.root))?;
        fs::write(&note, editor.holder.name.as_str())
    };
    write().map_err(|error| Error::system(format!("cannot write {}", note.display()), error))
}

/// Gives a session what the one before it in its process held. At each event: where nothing is noted it costs a
/// look for a file.
///
/// # Errors
/// The database fails.
pub fn succeed(house: &House, editor: &Editor) -> Result<(), Error> {
    let Some(alive) = &editor.alive else { return Ok(()) };
    let note = note(house, alive);
    let Ok(before) = fs::read_to_string(&note) else { return Ok(()) };
    // One that goes on after all has what it had.
    if before != editor.holder.name.as_str() {
        let from = HolderName::new(before);
        house.store()?.write(|tx| tx.hand_over_session(&from, &editor.holder, alive))?;
    }
    // Where it stays the next event finds nothing to hand over.
    let _ = fs::remove_file(&note);
    Ok(())
}

/// Has what a session held by earlier processes live by the one in which it goes on, before somebody takes it for
/// gone. Whoever claims something has asked that by itself.
///
/// # Errors
/// The database fails.
pub fn go_on(house: &House, editor: &Editor) -> Result<(), Error> {
    let Some(alive) = &editor.alive else { return Ok(()) };
    let store = house.store()?;
    let edits = store.read(|tx| tx.edits_of(&editor.holder))?;
    let is_earlier = |it: &Option<String>| it.as_ref() != Some(alive) && !is_twins(it.as_deref(), editor);
    let mut projects: Vec<ProjectId> =
        edits.into_iter().filter(|edit| is_earlier(&edit.alive)).map(|edit| edit.project).collect();
    projects.dedup();
    if projects.is_empty() {
        return Ok(());
    }
    let expires_at = Time::now().plus_seconds(SESSION_LEASE_S);
    store.write(|tx| projects.iter().try_for_each(|project| resume(tx, project, editor, expires_at)))
}

/// The same of one project.
pub(super) fn resume(
    tx: &Tx<'_>,
    project: &ProjectId,
    editor: &Editor,
    expires_at: Time,
) -> Result<(), Error> {
    let alive = editor.alive.as_deref();
    for life in tx.earlier_lives(project, &editor.holder, alive)? {
        if !is_twins(life.as_deref(), editor) {
            tx.resume_claims(project, &editor.holder, life.as_deref(), alive, expires_at)?;
        }
    }
    Ok(())
}
