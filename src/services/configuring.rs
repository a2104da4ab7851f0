//! What a person asks about the configuration: what is wrong with it, what both files say
//! together, and what may stand in them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::project::{Project, read_config};
use super::{Error, House};
use crate::sys::config::{self, ConfigProblem, Shown};
use crate::sys::text;

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
        let read = |path: PathBuf| Ok::<_, Error>(read_config(&path)?.map(|text| (path, text)));
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

    /// The first problem for which they cannot be used.
    pub fn first_error(&self) -> Option<ConfigProblem> {
        self.check().into_iter().find(ConfigProblem::is_error)
    }

    /// The text of one of them.
    pub fn text(&self, path: &Path) -> Option<&str> {
        let files = [&self.project, &self.person].into_iter().flatten();
        files.filter(|(own, _)| own == path).map(|(_, text)| text.as_str()).next()
    }

    /// What both files say together, without the defaults.
    ///
    /// # Errors
    /// All problems, if any is an error.
    pub fn show(&self) -> Result<Shown, Vec<ConfigProblem>> {
        config::shown(source(&self.project), source(&self.person))
    }
}

/// Every problem of a configuration that is being written, be it the project's or the person's own; its
/// text stands for the file, and the other file is the one on the disk.
pub fn check_text(house: &House, path: &Path, text: &str) -> Vec<ConfigProblem> {
    let own = Some((path, text));
    // A file that cannot be read is no help and no hindrance.
    let read = |path: &Path| text::read(path).ok();
    if path == house.person_config {
        return config::check_files(None, own);
    }
    let person = read(&house.person_config);
    config::check_files(own, person.as_deref().map(|text| (house.person_config.as_path(), text)))
}

/// JSON Schema of both files.
pub fn schema() -> Value {
    config::schema()
}

fn source(file: &Option<(PathBuf, String)>) -> Option<(&Path, &str)> {
    file.as_ref().map(|(path, text)| (path.as_path(), text.as_str()))
}
