//! Environments in the database: what was made where, its ports, and what was launched last.

use rusqlite::{OptionalExtension as _, Row, params};

use super::connection::Tx;
use super::error::StoreError;
use super::events::NewEvent;
use crate::base::clock::Time;
use crate::base::ids::ProjectId;
use crate::domain::environment::{Care, Stage};

/// A checkout beside the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRow {
    /// Its name.
    pub name: String,
    /// Counts its ports from the first of the project.
    pub position: u32,
    /// Its folder.
    pub path: String,
    /// Its branch, without `refs/heads/`.
    pub branch: String,
    /// The branch of the project that it follows, the same way.
    pub main: String,
    /// Whether it is a worktree of the project's repository instead of a clone.
    pub is_worktree: bool,
    /// How far it is made, or taken away.
    pub stage: Stage,
    /// When it was first asked for.
    pub created_at: Time,
    /// Its sub-environments, in their order.
    pub subs: Vec<SubRow>,
}

/// A sub-environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubRow {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// The run of its last launch.
    pub run: Option<String>,
    /// Whether it was last launched, and not stopped.
    pub is_wanted: bool,
}

impl EnvironmentRow {
    /// One of its sub-environments.
    pub fn sub(&self, name: &str) -> Option<&SubRow> {
        self.subs.iter().find(|sub| sub.name == name)
    }
}

/// What is told of an environment.
fn event(name: &str, sub: Option<&str>, kind: &'static str, text: String) -> NewEvent<'static> {
    let data = match sub {
        Some(sub) => serde_json::json!({"environment": name, "sub": sub}),
        None => serde_json::json!({"environment": name}),
    };
    NewEvent { kind, text, data: Some(data.to_string()), ..NewEvent::default() }
}

impl Tx<'_> {
    /// The environments of a project, in the order of their ports.
    pub fn environments(&self, project: &ProjectId) -> Result<Vec<EnvironmentRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT name, position, path, branch, main, is_worktree, state, created_at FROM environments
             WHERE project = ?1 ORDER BY position",
        )?;
        let mut rows = statement
            .query_map([project.as_str()], environment_row)?
            .collect::<Result<Vec<EnvironmentRow>, _>>()?;
        let mut statement = self.sql.prepare_cached(
            "SELECT environment, name, port, run, is_wanted FROM environment_subs
             WHERE project = ?1 ORDER BY environment, position",
        )?;
        let subs = statement.query_map([project.as_str()], |row| {
            let sub =
                SubRow { name: row.get(1)?, port: row.get(2)?, run: row.get(3)?, is_wanted: row.get(4)? };
            Ok((row.get::<_, String>(0)?, sub))
        })?;
        for sub in subs {
            let (environment, sub) = sub?;
            if let Some(row) = rows.iter_mut().find(|row| row.name == environment) {
                row.subs.push(sub);
            }
        }
        Ok(rows)
    }

    /// The environment that has this folder, of whichever project: the project, and its name.
    pub fn environment_at(&self, path: &str) -> Result<Option<(ProjectId, String)>, StoreError> {
        let found = self
            .sql
            .prepare_cached("SELECT project, name FROM environments WHERE path = ?1")?
            .query_row([path], |row| Ok((ProjectId::new(row.get::<_, String>(0)?), row.get(1)?)));
        Ok(found.optional()?)
    }

    /// Every port of every environment of this machine.
    pub fn environment_ports(&self) -> Result<Vec<u16>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT port FROM environment_subs")?;
        let ports = statement.query_map([], |row| row.get(0))?;
        Ok(ports.collect::<Result<_, _>>()?)
    }

    /// Records an environment that is about to be made, with its sub-environments.
    pub fn insert_environment(&self, project: &ProjectId, row: &EnvironmentRow) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO environments (project, name, position, path, branch, main, is_worktree, state, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                project.as_str(),
                row.name,
                row.position,
                row.path,
                row.branch,
                row.main,
                row.is_worktree,
                row.stage.as_str(),
                row.created_at.as_millis()
            ])?;
        for sub in &row.subs {
            self.insert_sub(project, &row.name, sub)?;
        }
        Ok(())
    }

    /// Records a further sub-environment.
    pub fn insert_sub(&self, project: &ProjectId, name: &str, sub: &SubRow) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO environment_subs (project, environment, name, position, port)
                 VALUES (?1, ?2, ?3, (SELECT count(*) FROM environment_subs WHERE project = ?1 AND environment = ?2), ?4)",
            )?
            .execute(params![project.as_str(), name, sub.name, sub.port])?;
        Ok(())
    }

    /// Records how far an environment is made or taken away, and tells it.
    pub fn set_environment_stage(
        &self,
        project: &ProjectId,
        name: &str,
        stage: Stage,
        text: String,
    ) -> Result<(), StoreError> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE environments SET state = ?3 WHERE project = ?1 AND name = ?2 AND state <> ?3",
            )?
            .execute(params![project.as_str(), name, stage.as_str()])?;
        if changed > 0 {
            let kind = match stage {
                Stage::Creating => "environment.creating",
                Stage::Ready => "environment.created",
                Stage::Removing => "environment.removing",
            };
            self.append_event(project, &event(name, None, kind, text))?;
        }
        Ok(())
    }

    /// Forgets an environment that is gone, and tells it.
    pub fn delete_environment(
        &self,
        project: &ProjectId,
        name: &str,
        text: String,
    ) -> Result<(), StoreError> {
        let changed = self
            .sql
            .prepare_cached("DELETE FROM environments WHERE project = ?1 AND name = ?2")?
            .execute(params![project.as_str(), name])?;
        if changed > 0 {
            self.append_event(project, &event(name, None, "environment.removed", text))?;
        }
        Ok(())
    }

    /// Records another port of a sub-environment, and tells it.
    pub fn set_sub_port(
        &self,
        project: &ProjectId,
        name: &str,
        sub: &str,
        port: u16,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE environment_subs SET port = ?4 WHERE project = ?1 AND environment = ?2 AND name = ?3",
            )?
            .execute(params![project.as_str(), name, sub, port])?;
        let text = format!("{name}/{sub} has port {port} from now on");
        self.append_event(project, &event(name, Some(sub), "environment.port", text))?;
        Ok(())
    }

    /// Records that a sub-environment is launched, as that run, or stopped, and tells it.
    pub fn set_sub_run(
        &self,
        project: &ProjectId,
        name: &str,
        sub: &str,
        launched: Option<&str>,
    ) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "UPDATE environment_subs SET run = coalesce(?4, run), is_wanted = (?4 IS NOT NULL)
                 WHERE project = ?1 AND environment = ?2 AND name = ?3",
            )?
            .execute(params![project.as_str(), name, sub, launched])?;
        let (kind, text) = match launched {
            Some(_) => ("environment.launched", format!("{name}/{sub} is launched")),
            None => ("environment.stopped", format!("{name}/{sub} is stopped")),
        };
        self.append_event(project, &event(name, Some(sub), kind, text))?;
        Ok(())
    }

    /// Tells that a service ended though nobody stopped it; not where that is told already, or where it is
    /// stopped or launched anew by now.
    pub fn tell_of_crash(
        &self,
        project: &ProjectId,
        name: &str,
        sub: &str,
        run: &str,
        text: String,
        data: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let is_wanted = self
            .sql
            .prepare_cached(
                "SELECT 1 FROM environment_subs
                 WHERE project = ?1 AND environment = ?2 AND name = ?3 AND run = ?4 AND is_wanted",
            )?
            .exists(params![project.as_str(), name, sub, run])?;
        // From the newest on: its launch is not far.
        let newest: Option<String> = self
            .sql
            .prepare_cached(
                "SELECT kind FROM events
                 WHERE kind IN ('environment.launched', 'environment.crashed') AND project = ?1
                   AND json_extract(data, '$.environment') = ?2 AND json_extract(data, '$.sub') = ?3
                 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row(params![project.as_str(), name, sub], |row| row.get(0))
            .optional()?;
        if is_wanted && newest.as_deref() != Some("environment.crashed") {
            let data = Some(data.to_string());
            let event = NewEvent { kind: "environment.crashed", text, data, ..NewEvent::default() };
            self.append_event(project, &event)?;
        }
        Ok(())
    }

    /// Tells something about an environment.
    pub fn tell_of_environment(
        &self,
        project: &ProjectId,
        name: &str,
        sub: Option<&str>,
        kind: &'static str,
        text: String,
    ) -> Result<(), StoreError> {
        self.append_event(project, &event(name, sub, kind, text))?;
        Ok(())
    }

    /// When something that is done at intervals was done last.
    pub fn cared_at(&self, project: &ProjectId, kind: Care) -> Result<Option<Time>, StoreError> {
        let found = self
            .sql
            .prepare_cached("SELECT at FROM environment_care WHERE project = ?1 AND kind = ?2")?
            .query_row([project.as_str(), kind.as_str()], |row| row.get(0));
        Ok(found.optional()?.map(Time::from_millis))
    }

    /// Records that it is done now.
    pub fn set_cared(&self, project: &ProjectId, kind: Care) -> Result<(), StoreError> {
        self.sql
            .prepare_cached(
                "INSERT INTO environment_care (project, kind, at) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET at = excluded.at",
            )?
            .execute(params![project.as_str(), kind.as_str(), Time::now().as_millis()])?;
        Ok(())
    }
}

fn environment_row(row: &Row<'_>) -> rusqlite::Result<EnvironmentRow> {
    let stage: String = row.get(6)?;
    let stage = Stage::parse(&stage).ok_or(rusqlite::Error::InvalidQuery)?;
    Ok(EnvironmentRow {
        name: row.get(0)?,
        position: row.get(1)?,
        path: row.get(2)?,
        branch: row.get(3)?,
        main: row.get(4)?,
        is_worktree: row.get(5)?,
        stage,
        created_at: Time::from_millis(row.get(7)?),
        subs: Vec::new(),
    })
}
