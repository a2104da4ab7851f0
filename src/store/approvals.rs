//! What a person lets land of an attempt although the attempt's task does not own it.

use rusqlite::params;

use super::connection::Tx;
use super::error::StoreError;
use crate::base::clock::Time;
use crate::base::ids::AttemptId;

impl Tx<'_> {
    /// Records that `who` approves a path of what an attempt left. The first who does is kept.
    pub fn approve_path(&self, attempt: &AttemptId, path: &str, who: &str) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT OR IGNORE INTO approvals (attempt, path, who, at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![attempt.as_str(), path, who, Time::now().as_millis()])?;
        Ok(())
    }

    /// The paths of an attempt that were approved, as they are shown, sorted.
    pub fn approved_paths(&self, attempt: &AttemptId) -> Result<Vec<String>, StoreError> {
        let mut statement =
            self.sql.prepare_cached("SELECT path FROM approvals WHERE attempt = ?1 ORDER BY path")?;
        let paths = statement.query_map([attempt.as_str()], |row| row.get(0))?;
        Ok(paths.collect::<Result<_, _>>()?)
    }
}
