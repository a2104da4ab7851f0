//! Environments: checkouts beside the project, each with sub-environments that have a port, a database, a
//! log and a service.
//!
//! What is in such a checkout besides the project's files is in its folder `.kapell`, and a few files at its
//! top that git is told to take no notice of. What is done to one is done by one process at a time, under a
//! lock of its own; what is done to the project's repository, in the git queue.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::conductor::desk::Desk;
use super::project::Project;
use super::{Error, Session, ground};
use crate::base::sorting;
use crate::base::threads;
use crate::domain::environment::check_name;
use crate::domain::refusal::{Code, Refusal};
use crate::store::environments::EnvironmentRow;
use crate::sys::config::Config;
use crate::sys::git::environment;
use crate::sys::git::{Git, Oid, land, refs};

pub mod backing;
pub mod caring;
pub mod creating;
mod databases;
pub mod ending;
mod furnishing;
pub mod git;
mod guarding;
mod keeping;
mod place;
pub mod removing;
pub mod running;
pub mod viewing;
pub mod working;

/// The folder in a checkout that is Kapell's.
const OWN: &str = ".kapell";

/// What at the top of a checkout is not a worker's to change: git's own, and what people start.
pub const KEPT_FROM_WORKERS: [&str; 6] =
    [".git", ".env.local", "launch.sh", "stop.sh", "status.sh", "sync.sh"];

/// The project that a call about environments means, and what is needed for it.
#[derive(Debug)]
pub struct Ground<'s> {
    /// The call.
    pub session: &'s Session,
    /// The project, also where the call came from within one of its environments.
    pub project: Project,
    /// Its configuration.
    pub config: Config,
    /// git, bound to it.
    pub git: Git,
}

/// Something that could not be done, while other things could.
#[derive(Debug)]
pub struct Failed {
    /// The environment.
    pub name: String,
    /// The sub-environment, where it is about one.
    pub sub: Option<String>,
    /// Why.
    pub error: Box<Error>,
}

impl<'s> Ground<'s> {
    /// Finds the project.
    pub fn of(session: &'s Session) -> Result<Self, Error> {
        Self::with(session, Session::config)
    }

    /// Finds the project for who only looks or stops services, whatever is wrong with its configuration.
    pub fn of_any(session: &'s Session) -> Result<Self, Error> {
        Self::with(session, Session::config_or_usual)
    }

    fn with(
        session: &'s Session,
        config: impl Fn(&Session, &Project) -> Result<Config, Error>,
    ) -> Result<Self, Error> {
        let mut project = session.project()?;
        let marked =
            project.repository.as_ref().and_then(|repository| environment::marked(&repository.git_dir));
        if let Some(main) = marked.as_deref().and_then(|text| text.lines().next()) {
            if !Path::new(main).exists() {
                return Err(Refusal::new(
                    Code::NotFound,
                    format!("this is an environment of {main}, and nothing is there any more"),
                    "move the project back to where it was: its environments are known by that place",
                )
                .into());
            }
            project = Project::of(Path::new(main))?;
        }
        project.repository()?;
        let config = config(session, &project)?;
        let git = ground::git(&session.house, &project)?;
        Ok(Self { session, project, config, git })
    }

    /// The project of a plan that is at work.
    pub fn at(desk: &'s Desk) -> Self {
        let Desk { session, project, config, git, .. } = desk;
        Self { session, project: project.clone(), config: config.clone(), git: git.clone() }
    }

    /// The folder that environments lie beside. That of a submodule's checkout lies elsewhere than its git folder.
    fn top(&self) -> PathBuf {
        let place = &self.project.place;
        match place.parent() {
            Some(parent) if place.ends_with(".git") => parent.to_owned(),
            _ => land::main_top(&self.git).unwrap_or_else(|| place.clone()),
        }
    }

    /// Where the environment of that name lies.
    fn place_of(&self, name: &str) -> PathBuf {
        let top = self.top();
        let title = top.file_name().unwrap_or_default().to_string_lossy().into_owned();
        top.with_file_name(format!("{title}-{name}"))
    }

    /// Its environments.
    pub fn rows(&self) -> Result<Vec<EnvironmentRow>, Error> {
        Ok(self.session.store()?.read(|tx| tx.environments(&self.project.id))?)
    }

    /// One of them.
    pub fn row(&self, name: &str) -> Result<EnvironmentRow, Error> {
        let rows = self.rows()?;
        let known: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let has_backups = check_name(name).is_ok() && backing::has_any(self, name);
        let hint = match known.as_slice() {
            _ if has_backups => {
                format!(
                    "kapell env create {name} makes it again, and then kapell env restore {name} brings its last backup back"
                )
            }
            [] => format!("kapell env create {name} makes it"),
            known => format!("there are {}; kapell env create makes others", known.join(", ")),
        };
        let found = rows.iter().find(|row| row.name == name).cloned();
        Ok(found.ok_or_else(|| {
            let shown = name.escape_debug();
            Refusal::new(Code::NotFound, format!("there is no environment `{shown}`"), hint)
        })?)
    }

    /// Those that are meant: one, or all.
    pub fn meant(&self, name: Option<&str>) -> Result<Vec<EnvironmentRow>, Error> {
        if let Some(name) = name {
            return Ok(vec![self.row(name)?]);
        }
        let rows = self.rows()?;
        if rows.is_empty() {
            let message = "this project has no environments";
            return Err(
                Refusal::new(Code::NotFound, message, "kapell env create --count 2 makes some").into()
            );
        }
        Ok(rows)
    }

    /// Takes hold of an environment that is recorded: nobody else changes it meanwhile.
    pub fn hold(&self, name: &str) -> Result<Hold, Error> {
        let (path, file) = self.lock_file(name)?;
        file.lock().map_err(|error| Error::system(format!("cannot lock {}", path.display()), error))?;
        Ok(Hold { _file: file })
    }

    /// [`Self::hold`] where nobody has it.
    pub fn try_hold(&self, name: &str) -> Result<Option<Hold>, Error> {
        let (path, file) = self.lock_file(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Hold { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(Error::system(format!("cannot lock {}", path.display()), error))
            }
        }
    }

    fn lock_file(&self, name: &str) -> Result<(PathBuf, File), Error> {
        // Its name becomes that of a file: none is made for what anybody may say.
        self.row(name)?;
        check_name(name)?;
        let folder = self.session.house.root.join("environments").join(self.project.id.as_str());
        let path = folder.join(format!("{name}.lock"));
        let failed = |error| Error::system(format!("cannot lock {}", path.display()), error);
        fs::create_dir_all(&folder).map_err(failed)?;
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        Ok((path, file))
    }

    /// The commit that the branch which an environment follows has in the project.
    pub fn main_tip(&self, row: &EnvironmentRow) -> Result<Oid, Error> {
        let tip = refs::read(&self.git, &format!("refs/heads/{}", row.main))?;
        Ok(tip.ok_or_else(|| {
            Refusal::new(
                Code::NotFound,
                format!("the branch {}, which {} follows, is gone from the project", row.main, row.name),
                "make it again, or remove the environment and create it anew",
            )
        })?)
    }
}

/// Whoever has it is alone with an environment.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

fn gone(row: &EnvironmentRow) -> Refusal {
    Refusal::new(
        Code::NotFound,
        format!("the folder of {} is gone: {}", row.name, row.path),
        format!("kapell env create {0} makes it again, kapell env remove {0} forgets it", row.name),
    )
}

/// The folder of an environment that is Kapell's.
fn own_folder(row: &EnvironmentRow) -> PathBuf {
    Path::new(&row.path).join(OWN)
}

/// The database of a sub-environment.
pub fn database(row: &EnvironmentRow, sub: &str) -> PathBuf {
    own_folder(row).join(format!("{sub}.sqlite"))
}

/// The log of a sub-environment.
pub fn log(row: &EnvironmentRow, sub: &str) -> PathBuf {
    own_folder(row).join(format!("{sub}.log"))
}

/// Does something for each of many, several at once, and keeps their order.
fn each<T: Sync, R: Send>(all: &[T], most: usize, act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    use std::sync::Mutex;
    use std::sync::PoisonError;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(all.len()));
    threads::side_by_side(most.min(all.len()), &|| {
        while let Some((at, one)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            all.get(at).map(|one| (at, one))
        } {
            let result = act(one);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    sorting::sort_by_key(&mut done, |(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// So many processors, and threads that mostly wait for git.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8)
}

/// What failed of so many; where all of it did, the first is the answer.
fn or_all_failed(all: usize, mut failed: Vec<Failed>) -> Result<Vec<Failed>, Error> {
    if failed.len() == all && !failed.is_empty() {
        return Err(*failed.swap_remove(0).error);
    }
    Ok(failed)
}
