//! The steps from an empty database to today's. Steps are only ever added.

use rusqlite::{Connection, TransactionBehavior};

use super::connection::APPLICATION_ID;
use super::error::StoreError;
use crate::base::failpoint::Point;
use crate::base::packed;

/// Each is a file of `migrations`, as `build.rs` packed it.
const STEPS: &[&[u8]] = &[
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0001.sql")),
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0002.sql")),
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0003.sql")),
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0004.sql")),
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0005.sql")),
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0006.sql")),
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0007.sql")),
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0008.sql")),
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0009.sql")),
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0010.sql")),
    include_bytes!(concat!(env!("OUT_DIR"), "/migrations/0011.sql")),
];

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
        transaction.execute_batch(&bare(&packed::text(step)))?;
        transaction.pragma_update(None, "user_version", format + 1)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        Point::MigrationWritten.reach()?;
        transaction.commit()?;
        Point::MigrationCommitted.reach()?;
    }
}

/// A step without its comments and its blank space. SQLite keeps what makes a table or a trigger as it was written,
/// and every process reads all of that again when it opens the file.
fn bare(step: &str) -> String {
    let mut bare = String::with_capacity(step.len());
    // What stands in quotes is kept as it is: it begins at each second quote, also where one stands for itself.
    let mut in_quotes = false;
    for line in step.lines() {
        let mut kept = line.len();
        for (at, character) in line.char_indices() {
            match character {
                '\'' => in_quotes = !in_quotes,
                '-' if !in_quotes && line[at..].starts_with("--") => {
                    kept = at;
                    break;
                }
                _ => {}
            }
        }
        let line = line[..kept].trim();
        if !line.is_empty() {
            bare.push_str(line);
            bare.push('\n');
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_bare_of_comments_but_not_of_what_is_in_quotes() {
        let step =
            "-- What it's for.\nCREATE TABLE t (\n    a TEXT, -- not b\n\n    c TEXT DEFAULT '--' -- d\n);\n";
        assert_eq!(bare(step), "CREATE TABLE t (\na TEXT,\nc TEXT DEFAULT '--'\n);\n");
        // A text over several lines would be told by that.
        for step in STEPS {
            let text = bare(&packed::text(step));
            assert!(!text.is_empty());
            for line in text.lines() {
                assert_eq!(line.matches('\'').count() % 2, 0, "{line}");
            }
        }
    }

    #[test]
    fn what_was_spent_before_money_was_exact_is_taken_over() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&packed::text(STEPS[0])).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        let attempt = |id: &str, state: &str, usd: Option<f64>, reserved: f64, tokens: i64| {
            let ended = (state == "finished").then_some(90_000_001);
            connection
                .execute(
                    "INSERT INTO attempts (id, project, plan, task, number, worker, provider, state, outcome, run_dir, usd,
                                           reserved_usd, input_tokens, started_at, ended_at)
                     VALUES (?1, 'p', 'plan', ?1, 1, 'w', 'x', ?2, ?3, '', ?4, ?5, ?6, 90000000, ?7)",
                    rusqlite::params![id, state, ended.map(|_| "submitted"), usd, reserved, tokens, ended],
                )
                .unwrap();
        };
        attempt("told", "finished", Some(0.1 + 0.2), 0.0, 7);
        attempt("untold", "finished", None, 0.0, 0);
        attempt("running", "running", Some(0.25), 1.0, 3);
        attempt("wrong", "finished", Some(-3.0), 0.0, -1);
        attempt("huge", "finished", Some(1e300), 0.0, i64::MAX);
        run(&mut connection).unwrap();
        let sums = connection.query_row("SELECT day, spent, reserved, tokens FROM spent_days", [], |row| {
            Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        });
        let spent = 300_000 + 250_000 + 1_000_000_000_000;
        assert_eq!(sums.unwrap(), [86_400_000, spent, 750_000, 1_000_000_010]);
        let untold: i64 = connection
            .query_row("SELECT count(*) FROM spendings WHERE spent IS NULL", [], |row| row.get(0))
            .unwrap();
        assert_eq!(untold, 1);
    }
}
