//! What files were when sessions that Kapell did not start claimed them.

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, params};

use super::connection::Tx;
use super::error::StoreError;
use crate::base::clock::Time;
use crate::base::ids::{ClaimId, ProjectId};
use crate::domain::claim::Holder;

/// A file that a session holds for its edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditRow {
    /// Where it is.
    pub project: ProjectId,
    /// The claim.
    pub claim: ClaimId,
    /// The file, absolute.
    pub path: PathBuf,
    /// What it was: a digest of its content.
    pub before: String,
    /// What proves that the session lives, as the claim says.
    pub alive: Option<String>,
}

impl Tx<'_> {
    /// Records what a file was when it was claimed.
    pub fn insert_edit(&self, claim: ClaimId, path: &Path, before: &str) -> Result<(), StoreError> {
        self.sql
            .prepare_cached("INSERT INTO edits (claim, path, before) VALUES (?1, ?2, ?3)")?
            .execute(params![claim.0, path.to_string_lossy(), before])?;
        Ok(())
    }

    /// The file for which a claim was made, absolute; none where it was not made for an edit.
    pub fn edited_for(&self, claim: ClaimId) -> Result<Option<PathBuf>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT path FROM edits WHERE claim = ?1")?;
        Ok(statement.query_row([claim.0], |row| row.get::<_, String>(0)).optional()?.map(PathBuf::from))
    }

    /// The files that a session holds for its edits, in whatever projects.
    pub fn edits_of(&self, holder: &Holder) -> Result<Vec<EditRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            // From the few projects on, whose claims have an index by holder.
            "SELECT claims.id, edits.path, before, project, alive
             FROM projects CROSS JOIN claims ON project = projects.id JOIN edits ON claim = claims.id
             WHERE released_at IS NULL AND holder = ?1 AND holder_kind = ?2 ORDER BY claims.id",
        )?;
        let rows = statement.query_map(params![holder.name.as_str(), holder.kind.as_str()], |row| {
            Ok(EditRow {
                project: ProjectId::new(row.get::<_, String>(3)?),
                claim: ClaimId(row.get(0)?),
                path: PathBuf::from(row.get::<_, String>(1)?),
                before: row.get(2)?,
                alive: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// By whose lives the claims of a session live, if the newest is not of this one; each once. A session
    /// moves all of its dead ones together, so the newest tells of them.
    pub fn earlier_lives(
        &self,
        project: &ProjectId,
        holder: &Holder,
        alive: Option<&str>,
    ) -> Result<Vec<Option<String>>, StoreError> {
        let who = params![project.as_str(), holder.name.as_str(), holder.kind.as_str()];
        let newest: Option<Option<String>> = self
            .sql
            .prepare_cached(
                "SELECT alive FROM claims WHERE project = ?1 AND holder = ?2 AND holder_kind = ?3
                 AND released_at IS NULL ORDER BY id DESC LIMIT 1",
            )?
            .query_row(who, |row| row.get(0))
            .optional()?;
        if newest.is_none_or(|newest| newest.is_some() && newest.as_deref() == alive) {
            return Ok(Vec::new());
        }
        let mut statement = self.sql.prepare_cached(
            "SELECT DISTINCT alive FROM claims WHERE project = ?1 AND holder = ?2 AND holder_kind = ?3
             AND released_at IS NULL",
        )?;
        let lives = statement.query_map(who, |row| row.get(0))?;
        Ok(lives.collect::<Result<_, _>>()?)
    }

    /// Moves what a session holds by one life to the process that goes on with it.
    pub fn resume_claims(
        &self,
        project: &ProjectId,
        holder: &Holder,
        from: Option<&str>,
        alive: Option<&str>,
        expires_at: Time,
    ) -> Result<(), StoreError> {
        let (project, name, kind) = (project.as_str(), holder.name.as_str(), holder.kind.as_str());
        self.sql
            .prepare_cached(
                "UPDATE claims SET alive = ?5, expires_at = ?6 WHERE project = ?1 AND holder = ?2
                 AND holder_kind = ?3 AND alive IS ?4 AND released_at IS NULL",
            )?
            .execute(params![project, name, kind, from, alive, expires_at.as_millis()])?;
        Ok(())
    }
}
