//! Whether what is in a database is anywhere else: as it was made, or in a backup.

use crate::base::sorting::sort_by;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{Ground, backing, database, own_folder};
use crate::store::environments::EnvironmentRow;
use crate::store::foreign;
use crate::sys::plain;

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

/// How a database was when it got its name, and where it came from.
struct Made {
    /// Its stamp at that moment.
    stamp: String,
    /// The backup that it is of; `None`: nothing but `init` made it.
    backup: Option<String>,
}

impl Made {
    fn read(path: &Path) -> Option<Self> {
        let text = plain::read_to_string(path).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        Some(Self { stamp: lines.next()?, backup: lines.next() })
    }
}

/// The ending of the file that says how a database was made.
const MADE: &str = ".made";

pub(super) fn made_file(row: &EnvironmentRow, sub: &str) -> PathBuf {
    own_folder(row).join(format!("{sub}{MADE}"))
}

/// Remembers how a database is that was just made, or brought back from a backup, before it gets its name.
pub(super) fn remember(
    row: &EnvironmentRow,
    sub: &str,
    path: &Path,
    backup: Option<&str>,
) -> std::io::Result<()> {
    let from = backup.map(|backup| format!("\n{backup}")).unwrap_or_default();
    fs::write(made_file(row, sub), format!("{}{from}", stamp(path).unwrap_or_default()))
}

/// The file that says what was found to be wrong with a database, until that is mended.
fn damage_file(row: &EnvironmentRow, sub: &str) -> PathBuf {
    own_folder(row).join(format!("{sub}.damaged"))
}

/// Notes what is wrong with a database for whoever looks without reading through it, or that nothing is.
pub(super) fn note_damage(row: &EnvironmentRow, sub: &str, why: Option<&str>) {
    let path = damage_file(row, sub);
    // Without the note only warnings are fewer.
    let _ = match why {
        Some(why) => fs::write(&path, why),
        None => fs::remove_file(&path),
    };
}

/// What was found to be wrong with a database when somebody last looked into it.
pub(super) fn noted_damage(row: &EnvironmentRow, sub: &str) -> Option<String> {
    plain::read_to_string(&damage_file(row, sub)).ok()
}

/// Whether a database was made once, and is gone.
pub(super) fn is_gone(row: &EnvironmentRow, sub: &str) -> bool {
    !database(row, sub).exists() && made_file(row, sub).exists()
}

/// Whether somebody emptied the file, which `init` made with something in it.
pub(super) fn is_emptied(row: &EnvironmentRow, sub: &str) -> bool {
    let path = database(row, sub);
    let is_as_made = || Made::read(&made_file(row, sub)).map(|made| made.stamp) == stamp(&path);
    fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() == 0) && !is_as_made()
}

/// Whether what is in a database is somewhere else too: as `init` makes it, or in a backup. Of one that nobody
/// remembers that is not known.
fn is_kept(ground: &Ground<'_>, row: &EnvironmentRow, sub: &str, path: &Path, made: &Path) -> bool {
    if fs::metadata(path).map_or(true, |file| file.len() == 0) {
        return true;
    }
    let is_as_made = || {
        let Some(made) = Made::read(made) else { return false };
        let is_there = |backup: &str| backing::is_in(ground, &row.name, sub, backing::Which::Named(backup));
        stamp(path).is_some_and(|now| now == made.stamp) && made.backup.as_deref().is_none_or(is_there)
    };
    if is_as_made() {
        return true;
    }
    // What a writer left in its log belongs into the file.
    let _ = foreign::settle(path);
    stamp(path).is_some_and(|now| backing::is_in(ground, &row.name, sub, backing::Which::Stamped(&now)))
}

/// The sub-environments whose database has what is neither as it was made nor in a backup.
pub(super) fn unkept(ground: &Ground<'_>, row: &EnvironmentRow) -> Vec<String> {
    let subs = row.subs.iter().map(|sub| sub.name.clone());
    subs.filter(|sub| !is_kept(ground, row, sub, &database(row, sub), &made_file(row, sub))).collect()
}

/// The start of the names of databases that were put aside.
fn aside_start(sub: &str) -> String {
    format!("{sub}.sqlite.before-")
}

/// Where a database is put aside, by what is about to be done and when.
pub(super) fn aside_name(sub: &str, why: &str, stamp: &str) -> String {
    format!("{}{why}-{stamp}", aside_start(sub))
}

/// The databases of a sub-environment that were put aside, by their names in the folder, the newest first.
pub(super) fn put_aside(row: &EnvironmentRow, sub: &str) -> Vec<String> {
    let start = aside_start(sub);
    let names = fs::read_dir(own_folder(row)).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let is_whole = |name: &String| !PARTS[1..].iter().chain([&MADE]).any(|part| name.ends_with(part));
    let mut found: Vec<String> = names.filter(|name| name.starts_with(&start) && is_whole(name)).collect();
    // By the moment, which stands behind the next hyphen.
    fn moment<'n>(name: &'n str, start: &str) -> &'n str {
        let rest = name.strip_prefix(start).unwrap_or(name);
        rest.split_once('-').map_or("", |(_, moment)| moment)
    }
    sort_by(&mut found, |one, other| moment(other, &start).cmp(moment(one, &start)));
    found
}

/// The files of a database that was put aside, with what says how it was made.
pub(super) fn aside_files(name: &str) -> Vec<String> {
    PARTS.iter().chain([&MADE]).map(|part| format!("{name}{part}")).collect()
}

/// Whether one that was put aside has nothing that is not somewhere else too.
pub(super) fn is_aside_kept(ground: &Ground<'_>, row: &EnvironmentRow, sub: &str, name: &str) -> bool {
    let own = own_folder(row);
    is_kept(ground, row, sub, &own.join(name), &own.join(format!("{name}{MADE}")))
}

/// Those that were put aside and have what is nowhere else.
pub(super) fn unkept_aside(ground: &Ground<'_>, row: &EnvironmentRow) -> Vec<String> {
    let of = |sub: &str| {
        put_aside(row, sub)
            .into_iter()
            .filter(|name| !is_aside_kept(ground, row, sub, name))
            .collect::<Vec<_>>()
    };
    row.subs.iter().flat_map(|sub| of(&sub.name)).collect()
}
