//! SQLite files that are not ours: the databases of environments. Made, looked at, and copied whole while
//! somebody uses them.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

/// How long somebody who writes is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pages copied before others get a turn.
const AT_ONCE: i32 = 4096;

/// Makes an empty database.
///
/// # Errors
/// SQLite's words.
pub fn create(path: &Path) -> Result<(), String> {
    let connection = Connection::open(path).map_err(|error| error.to_string())?;
    // Nothing is written before something is; this makes it a database that every tool knows as one.
    connection
        .execute_batch("BEGIN IMMEDIATE; PRAGMA user_version = 0; COMMIT; VACUUM")
        .map_err(|error| error.to_string())
}

/// What is wrong with a database, by SQLite's own check; `Ok` if nothing is.
///
/// # Errors
/// What is wrong, in a line.
pub fn check(path: &Path) -> Result<(), String> {
    let connection = open(path)?;
    let mut statement = connection.prepare("PRAGMA integrity_check(3)").map_err(|error| error.to_string())?;
    let found = statement.query_map([], |row| row.get::<_, String>(0)).map_err(|error| error.to_string())?;
    let found: Vec<String> = found.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    match found.as_slice() {
        [one] if one == "ok" => Ok(()),
        all => Err(all.join("; ")),
    }
}

/// Copies a database as it is at one moment, whoever writes it meanwhile, into a new file.
///
/// # Errors
/// SQLite's words.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let source = open(from)?;
    let mut target = Connection::open(to).map_err(|error| error.to_string())?;
    {
        let backup = Backup::new(&source, &mut target).map_err(|error| error.to_string())?;
        backup
            .run_to_completion(AT_ONCE, Duration::from_millis(5), None)
            .map_err(|error| error.to_string())?;
    }
    // The copy is one file, whatever the original was.
    target.pragma_update(None, "journal_mode", "DELETE").map_err(|error| error.to_string())?;
    target.close().map_err(|(_, error)| error.to_string())
}

fn open(path: &Path) -> Result<Connection, String> {
    if !path.is_file() {
        return Err("the file is gone".to_owned());
    }
    // Not only for reading: a write-ahead log that its writer left behind has to be read with it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| error.to_string())?;
    connection.busy_timeout(PATIENCE).map_err(|error| error.to_string())?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_while_somebody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        create(&from).unwrap();
        assert_eq!(check(&from), Ok(()));
        let writer = Connection::open(&from).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n); INSERT INTO t VALUES (1)")
            .unwrap();
        writer.execute_batch("BEGIN; INSERT INTO t VALUES (2)").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(check(&to), Ok(()));
        let rows: i64 =
            Connection::open(&to).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1);
        assert!(!folder.path().join("to-wal").exists());
    }

    #[test]
    fn damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d");
        assert_eq!(check(&path), Err("the file is gone".to_owned()));
        std::fs::write(&path, "this is no database at all, and long enough to be looked into").unwrap();
        assert!(check(&path).unwrap_err().contains("not a database"));
    }
}
