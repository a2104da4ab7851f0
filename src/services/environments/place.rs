//! Whose the folder of an environment is. Nothing is done in a folder that is not surely its checkout: git
//! would go up into whatever repository lies above, a link leads elsewhere, and a person may have put
//! something of their own there.

use std::fs;
use std::path::Path;

use super::{Ground, gone};
use crate::domain::refusal::{Code, Refusal};
use crate::services::Error;
use crate::store::environments::EnvironmentRow;
use crate::sys::git::environment::{self, Beside};

/// What lies where an environment should be.
#[derive(Debug)]
pub(super) enum Place {
    /// Nothing.
    Nothing,
    /// Its checkout.
    Ours(Box<Beside>),
    /// A worktree of it that whoever made it did not finish.
    Half,
    /// Something else; why that is known.
    Foreign(String),
}

impl Ground<'_> {
    /// What marks a git directory as that of an environment.
    pub(super) fn mark(&self, row: &EnvironmentRow) -> String {
        format!("{}\n{}\n{}\n", self.top().display(), row.name, self.project.id)
    }

    /// What lies where an environment should be.
    pub(super) fn place(&self, row: &EnvironmentRow) -> Result<Place, Error> {
        let dest = Path::new(&row.path);
        let kind = match fs::symlink_metadata(dest) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Place::Nothing),
            Err(error) => return Err(Error::system(format!("cannot look at {}", row.path), error)),
        };
        let foreign = |why: &str| Ok(Place::Foreign(why.to_owned()));
        if kind.is_symlink() {
            return foreign("it is a symbolic link");
        }
        if !kind.is_dir() {
            return foreign("it is a file");
        }
        if row.is_worktree && environment::is_half_made(&self.git, dest, &row.name) {
            return Ok(Place::Half);
        }
        if fs::symlink_metadata(dest.join(".git")).is_err() {
            return foreign("it has no .git");
        }
        let beside = match Beside::open(&self.git, dest) {
            Ok(beside) => beside,
            Err(error) => return Ok(Place::Foreign(error.to_string())),
        };
        // A `.git` that is none leads git to whatever lies above.
        if beside.tree.path != dest {
            return foreign(&format!("it belongs to the repository {}", beside.tree.path.display()));
        }
        if beside.is_clone(&self.git) == row.is_worktree {
            return foreign("its .git leads to another repository");
        }
        // Its first line is the way home, which may be another by now; the others say whose it is.
        let whose = |mark: &str| mark.split_once('\n').map(|(_, whose)| whose.to_owned());
        match environment::marked(&beside.tree.admin_dir) {
            Some(found) if whose(&found) == whose(&self.mark(row)) => Ok(Place::Ours(Box::new(beside))),
            Some(_) => foreign("it is the checkout of another environment"),
            None => foreign("it is a repository that Kapell did not make"),
        }
    }

    /// Its checkout, for git; refused where something else lies there.
    pub fn open(&self, row: &EnvironmentRow) -> Result<Beside, Error> {
        match self.place(row)? {
            Place::Ours(beside) => Ok(*beside),
            Place::Nothing => Err(gone(row).into()),
            Place::Half => Err(foreign(row, "it is not made whole").into()),
            Place::Foreign(why) => Err(foreign(row, &why).into()),
        }
    }
}

/// Refuses to touch what is not its checkout.
pub(super) fn foreign(row: &EnvironmentRow, why: &str) -> Refusal {
    Refusal::new(
        Code::Conflict,
        format!("{} is not the checkout of {}: {why}; nothing was done there", row.path, row.name),
        format!(
            "move it away, then kapell env create {0} makes {0} again (kapell env restore {0} brings a backup back)",
            row.name
        ),
    )
}
