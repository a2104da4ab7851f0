//! A session that ends while its agent's process goes on, as by `/clear`: the process's next session has what it
//! held. Nobody else would let go of it before the process ends, and its own next edit would be refused.

use std::fs;
use std::path::PathBuf;

use super::Editor;
use super::touching::stamp;
use crate::base::ids::HolderName;
use crate::services::{Error, House};

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
