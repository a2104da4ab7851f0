//! Whether what is in a database is anywhere else: as it was made, or in a backup.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{Ground, backing, database, own_folder};
use crate::store::environments::EnvironmentRow;
use crate::store::foreign;

/// What SQLite may have beside a database, by the ending of its name.
pub(super) const PARTS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The files of a database, by their names in the folder.
pub(super) fn files(sub: &str) -> Vec<String> {
    PARTS.iter().map(|part| format!("{sub}.sqlite{part}")).collect()
}

/// What changes when somebody writes into a database: the size and time of its files.
pub(super) fn stamp(path: &Path) -> Option<String> {
    let of = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        let time = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some((metadata.len(), time.as_nanos()))
    };
    let (length, time) = of(path)?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Some(match of(Path::new(&log)) {
        Some((more, later)) if more > 0 => format!("{length} {time} {more} {later}"),
        _ => format!("{length} {time}"),
    })
}

fn made_file(row: &EnvironmentRow, sub: &str) -> PathBuf {
    own_folder(row).join(format!("{sub}.made"))
}

/// Remembers how a database is that was just made, before it gets its name.
pub(super) fn remember(row: &EnvironmentRow, sub: &str, path: &Path) -> std::io::Result<()> {
    fs::write(made_file(row, sub), stamp(path).unwrap_or_default())
}

/// Whether a database is as it was made. Of one that nobody remembers that is not known.
fn is_as_made(row: &EnvironmentRow, sub: &str) -> bool {
    let now = stamp(&database(row, sub));
    now.is_some() && fs::read_to_string(made_file(row, sub)).ok() == now
}

/// Whether somebody emptied the file, which `init` made with something in it.
pub(super) fn is_emptied(row: &EnvironmentRow, sub: &str) -> bool {
    fs::metadata(database(row, sub)).is_ok_and(|file| file.is_file() && file.len() == 0)
        && !is_as_made(row, sub)
}

/// The sub-environments whose database has what is neither as it was made nor in a backup.
pub(super) fn unkept(ground: &Ground<'_>, row: &EnvironmentRow) -> Vec<String> {
    let backed = backing::stamps(ground, &row.name);
    let is_kept = |sub: &str| {
        let path = database(row, sub);
        if fs::metadata(&path).map_or(true, |file| file.len() == 0) || is_as_made(row, sub) {
            return true;
        }
        // What a writer left in its log belongs into the file.
        let _ = foreign::settle(&path);
        stamp(&path).is_some_and(|now| backed.contains(&(sub.to_owned(), now)))
    };
    row.subs.iter().map(|sub| sub.name.clone()).filter(|sub| !is_kept(sub)).collect()
}
