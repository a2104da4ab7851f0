//! What a person asks about the configuration: what is wrong with it, what both files say
//! together, and what may stand in them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::project::Project;
use super::{Error, House};
use crate::sys::config::{self, ConfigProblem};

/// The files of a project's configuration that exist, with their texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// `kapell.toml` of the project.
    pub project: Option<(PathBuf, String)>,
    /// The person's own.
    pub person: Option<(PathBuf, String)>,
}

impl Files {
    /// Reads what there is.
    ///
    /// # Errors
    /// A file that is there and cannot be read as text.
    pub fn read(house: &House, project: &Project) -> Result<Self, Error> {
        let read = |path: PathBuf| match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::system(format!("reading {}", path.display()), error)),
        };
        let in_project = project.top.as_ref().map(|top| read(top.join("kapell.toml"))).transpose()?.flatten();
        Ok(Self { project: in_project, person: read(house.person_config.clone())? })
    }

    /// The files by name, the project's first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.project, &self.person].into_iter().flatten().map(|(path, _)| path.as_path())
    }

    /// Every problem with its place.
    pub fn check(&self) -> Vec<ConfigProblem> {
        config::check_files(source(&self.project), source(&self.person))
    }

    /// What both files say together, without the defaults: tables key by key, the project's
    /// routes before the person's, everything else from the project where both say it.
    ///
    /// # Errors
    /// All problems, if any is an error.
    pub fn show(&self) -> Result<toml::Table, Vec<ConfigProblem>> {
        let problems = self.check();
        if problems.iter().any(ConfigProblem::is_error) {
            return Err(problems);
        }
        let mut whole = toml::Table::new();
        for (_, text) in [&self.project, &self.person].into_iter().flatten() {
            // The check has parsed it already.
            if let Ok(table) = text.parse::<toml::Table>() {
                lay_under(&mut whole, table, true);
            }
        }
        Ok(whole)
    }
}

/// JSON Schema of both files.
pub fn schema() -> Value {
    config::schema()
}

fn source(file: &Option<(PathBuf, String)>) -> Option<(&Path, &str)> {
    file.as_ref().map(|(path, text)| (path.as_path(), text.as_str()))
}

fn lay_under(upper: &mut toml::Table, lower: toml::Table, is_top: bool) {
    for (key, value) in lower {
        match (upper.get_mut(&key), value) {
            (Some(toml::Value::Table(upper)), toml::Value::Table(lower)) => lay_under(upper, lower, false),
            (Some(toml::Value::Array(upper)), toml::Value::Array(lower)) if is_top && key == "routes" => {
                upper.extend(lower);
            }
            (Some(_), _) => {}
            (None, value) => {
                upper.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(project: &str, person: &str) -> Files {
        Files {
            project: Some(("kapell.toml".into(), project.to_owned())),
            person: Some(("config.toml".into(), person.to_owned())),
        }
    }

    #[test]
    fn the_project_lies_over_the_person() {
        let shown = files(
            "[rules]\nlint = 'a'\n[[routes]]\nmatch = 'x'\nto = 'claude'\n",
            "[rules]\nlint = 'b'\ntest = 'c'\n[[routes]]\nmatch = 'y'\nto = 'claude'\n",
        );
        let expected = "[rules]\nlint = 'a'\ntest = 'c'\n[[routes]]\nmatch = 'x'\nto = 'claude'\n[[routes]]\nmatch = 'y'\nto = 'claude'\n";
        assert_eq!(shown.show().unwrap(), expected.parse::<toml::Table>().unwrap());
        assert_eq!(Files::default().show().unwrap(), toml::Table::new());
    }

    #[test]
    fn a_fault_is_told_and_nothing_is_shown() {
        let broken = files("[rules]\nlint = 'grün\n", "");
        let places: Vec<_> = broken.check().iter().map(|problem| (problem.line, problem.column)).collect();
        assert_eq!(places, [(2, 13)]);
        assert_eq!(broken.show().unwrap_err(), broken.check());
    }
}
