//! The steps from an empty database to today's. Steps are only ever added.

use rusqlite::{Connection, TransactionBehavior};

use super::connection::APPLICATION_ID;
use super::error::StoreError;
use crate::base::failpoint::Point;

const STEPS: &[&str] = &[include_str!("migrations/0001.sql"), include_str!("migrations/0002.sql")];

/// The newest format this program knows.
pub const NEWEST: i64 = STEPS.len() as i64;

/// Takes every step that is missing, each in a transaction of its own. The caller holds the turn.
pub(super) fn run(connection: &mut Connection) -> Result<(), StoreError> {
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked again inside the transaction: another process may have taken the step meanwhile.
        let format: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let Some(step) = usize::try_from(format).ok().and_then(|format| STEPS.get(format)) else {
            return Ok(());
        };
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", format + 1)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        Point::MigrationWritten.reach()?;
        transaction.commit()?;
        Point::MigrationCommitted.reach()?;
    }
}
