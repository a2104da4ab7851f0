//! SQLite files that are not ours: the databases of environments. Made, looked at, and copied whole while
//! somebody uses them.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// How long somebody who writes is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long when it is only looked at.
const LOOKING: Duration = Duration::from_secs(2);
/// Pages copied before others get a turn.
const AT_ONCE: i32 = 4096;

/// Makes an empty database.
///
/// # Errors
/// SQLite's words.
pub fn create(path: &Path) -> Result<(), String> {
    let connection = Connection::open(path).map_err(|error| error.to_string())?;
    // Nothing is written before something is; this makes it a database that every tool knows as one. There
    // is nothing in it that a power cut could take, and an empty file is an empty database too: to wait for
    // the disk would be to wait for all that was checked out just before.
    connection
        .execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; \
             BEGIN IMMEDIATE; PRAGMA user_version = 0; COMMIT; VACUUM",
        )
        .map_err(|error| error.to_string())
}

/// Why a database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// There is no file.
    #[error("the file is gone")]
    Gone,
    /// Somebody holds it; nothing is known of how it is.
    #[error("somebody holds it locked")]
    Busy,
    /// It is no database, or not a whole one.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl From<rusqlite::Error> for Unsound {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Damaged(error.to_string()),
        }
    }
}

/// What is wrong with a database, by SQLite's own check; `Ok` if nothing is.
///
/// # Errors
/// What is wrong.
pub fn check(path: &Path) -> Result<(), Unsound> {
    let connection = open(path)?;
    connection.busy_timeout(LOOKING)?;
    let mut statement = connection.prepare("PRAGMA integrity_check(3)")?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?;
    let found: Vec<String> = found.collect::<Result<_, _>>()?;
    match found.as_slice() {
        [one] if one == "ok" => Ok(()),
        all => Err(Unsound::Damaged(all.join("; "))),
    }
}

/// Whether a file may be a database: SQLite's own, or an empty one, which becomes one.
pub fn is_one(path: &Path) -> bool {
    use std::io::Read as _;
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    read.is_ok() && (start.is_empty() || start == b"SQLite format 3\0")
}

/// Brings what a writer that is gone left in its log into the file.
///
/// # Errors
/// As [`check`].
pub fn settle(path: &Path) -> Result<(), Unsound> {
    let connection = open(path)?;
    connection.busy_timeout(LOOKING)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    connection.close().map_err(|(_, error)| error.into())
}

/// Copies a database as it is at one moment, whoever writes it meanwhile, into a new file.
///
/// # Errors
/// As [`check`].
pub fn copy(from: &Path, to: &Path) -> Result<(), Unsound> {
    let source = open(from)?;
    let mut target = Connection::open(to)?;
    Backup::new(&source, &mut target)?.run_to_completion(AT_ONCE, Duration::from_millis(5), None)?;
    // The copy is one file, whatever the original was.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    target.close().map_err(|(_, error)| error.into())
}

fn open(path: &Path) -> Result<Connection, Unsound> {
    if !path.is_file() {
        return Err(Unsound::Gone);
    }
    // Not only for reading: a write-ahead log that its writer left behind has to be read with it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
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
        assert_eq!(check(&path), Err(Unsound::Gone));
        std::fs::write(&path, "this is no database at all, and long enough to be looked into").unwrap();
        assert!(check(&path).unwrap_err().to_string().contains("not a database"));
    }

    #[test]
    fn one_that_is_in_use_is_not_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d");
        create(&path).unwrap();
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
        assert_eq!(check(&path), Err(Unsound::Busy));
    }
}
