//! What can go wrong with the database.

use std::path::PathBuf;

use crate::base::failpoint::Fault;

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It was written by a newer Kapell. Nothing was touched.
    #[error("{} has format {found}, this kapell knows formats up to {known}", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// It is damaged, or no database of Kapell's. Nothing was touched.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The folder or a file in it cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Somebody else has the turn to write, and for longer than this process can wait.
    #[error("{who} has had the turn to write {} for {seconds} s; if it hangs, end it", path.display())]
    Busy {
        /// The database file.
        path: PathBuf,
        /// Who has it.
        who: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// SQLite refused.
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row holds what no version of Kapell writes.
    #[error("the database holds an impossible row: {0}")]
    Row(String),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Io { path: "kapell.db".into(), source: fault.into() }
    }
}

impl StoreError {
    /// Whether SQLite says that the file itself is broken.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Row(_) => true,
            Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) => matches!(
                failure.code,
                rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase
            ),
            _ => false,
        }
    }

    /// Whether the disk or the folder's permissions stand in the way.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) => matches!(
                failure.code,
                rusqlite::ErrorCode::DiskFull
                    | rusqlite::ErrorCode::ReadOnly
                    | rusqlite::ErrorCode::CannotOpen
                    | rusqlite::ErrorCode::PermissionDenied
                    | rusqlite::ErrorCode::SystemIoFailure
            ),
            _ => false,
        }
    }
}
