//! One repository, known by its git common directory; all its worktrees are one project.
//! A plain folder is a project too, known by its own path.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, House, Session, local};
use crate::base::ids::{PlanId, ProjectId, random_tail};
use crate::domain::refusal::{Code, Refusal};
use crate::store::Tx;
use crate::sys::config::{self, Config, ProviderKind};
use crate::sys::git::discover::{DiscoverError, Repository, discover};
use crate::sys::process::find::find_program;
use crate::sys::text;

/// A project: its id and where it lies.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Its repository; a plain folder has none.
    pub repository: Option<Repository>,
    /// The top of the working tree that the call is about; a bare repository has none.
    pub top: Option<PathBuf>,
    /// What it is known by: the git common directory, or the plain folder.
    pub place: PathBuf,
}

impl Project {
    /// The project of a folder.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        match discover(folder) {
            Ok(repository) => {
                let place = repository.common_dir.clone();
                Ok(Self {
                    id: id_of(&place),
                    top: repository.top.clone(),
                    repository: Some(repository),
                    place,
                })
            }
            Err(DiscoverError::NotARepository { .. }) => {
                let place = folder.canonicalize().map_err(|error| {
                    Refusal::new(
                        Code::NotFound,
                        format!("the folder {} cannot be read: {error}", folder.display()),
                        "start kapell in a folder that exists",
                    )
                })?;
                Ok(Self { id: id_of(&place), repository: None, top: Some(place.clone()), place })
            }
            Err(error) => Err(Refusal::new(
                Code::Unsupported,
                error.to_string(),
                "repair the repository (git fsck says more), or start kapell in another folder",
            )
            .into()),
        }
    }

    /// The repository, for what needs git.
    pub fn repository(&self) -> Result<&Repository, Refusal> {
        self.repository.as_ref().ok_or_else(|| {
            Refusal::new(
                Code::Unsupported,
                format!("{} is no git repository", self.place.display()),
                "make it one (git init and a first commit), or let workers share the folder: isolation = \"shared\" under [project] in kapell.toml",
            )
        })
    }

    /// The working tree, for what needs files.
    pub fn top(&self) -> Result<&Path, Refusal> {
        self.top.as_deref().ok_or_else(|| {
            Refusal::new(
                Code::Unsupported,
                format!("{} is a bare repository: it has no working tree", self.place.display()),
                "start kapell in a clone of it",
            )
        })
    }

    /// Whether a path of it is that of a file now, below which nothing can lie.
    pub fn is_file(&self, path: &str) -> bool {
        let found = self.top.as_ref().and_then(|top| top.join(path).symlink_metadata().ok());
        found.is_some_and(|metadata| !metadata.is_dir())
    }

    /// Its name for people: that of its folder, which all of its worktrees share.
    pub fn title(&self) -> String {
        named(&self.place)
            .file_name()
            .map_or_else(|| self.id.to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// The plan that its tasks belong to which came without one.
    pub fn inbox(&self) -> PlanId {
        PlanId::new(format!("inbox-{}", self.id))
    }

    /// Makes the project known to the database.
    pub fn ensure(&self, tx: &Tx<'_>) -> Result<(), Error> {
        let top = self.top.as_ref().map(|top| top.to_string_lossy());
        Ok(tx.ensure_project(&self.id, &self.place.to_string_lossy(), top.as_deref())?)
    }

    /// The folder of its worktrees in the state folder.
    pub fn worktrees(&self, house: &House) -> PathBuf {
        house.root.join("worktrees").join(self.id.as_str())
    }
}

impl Session {
    /// The project that the call is about.
    pub fn project(&self) -> Result<Project, Error> {
        Project::of(&self.folder)
    }
}

/// The folder's name, for people, and a digest of its path, which makes it unique.
fn id_of(place: &Path) -> ProjectId {
    let name: String = named(place)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(24)
        .collect();
    let digest = Sha256::digest(place.as_os_str().as_encoded_bytes());
    let tail: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let name = name.trim_matches('-');
    ProjectId::new(if name.is_empty() { tail } else { format!("{name}-{tail}") })
}

/// The folder that a project is called by.
fn named(place: &Path) -> &Path {
    match place.parent() {
        Some(parent) if place.ends_with(".git") => parent,
        _ => place,
    }
}

/// The files of a configuration, as far as it can be seen whether somebody wrote to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files(Vec<Option<(u64, SystemTime)>>);

impl Files {
    /// Whether the project has a file of its own.
    pub fn has_own(&self) -> bool {
        self.0.first().is_some_and(Option::is_some)
    }

    /// As they are now.
    pub fn of(session: &Session, project: &Project) -> Self {
        let look = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.len(), metadata.modified().ok()?))
        };
        let own = project.top.as_ref().map(|top| top.join("kapell.toml"));
        Self(vec![own.as_deref().and_then(look), look(&session.house.person_config)])
    }
}

impl Session {
    /// The configuration of a project: its `kapell.toml` over the person's file, over defaults.
    ///
    /// # Errors
    /// A file cannot be read, or what it says cannot be used; its first problem with its place.
    pub fn config(&self, project: &Project) -> Result<Config, Error> {
        Texts::read(self, project)?.load(self, project)
    }

    /// [`Self::config`], or where that cannot be used the one by which conductors go on: for whoever looks at what
    /// is at work, or goes on with it.
    ///
    /// # Errors
    /// There is neither.
    pub fn config_at_work(&self, project: &Project) -> Result<Config, Error> {
        self.config(project).or_else(|error| {
            let kept = std::fs::read(kept_at(self, project)).ok();
            let texts: Option<Texts> = kept.and_then(|kept| serde_json::from_slice(&kept).ok());
            texts.and_then(|texts| texts.load(self, project).ok()).ok_or(error)
        })
    }

    /// What is wrong with the files of the configuration where [`Self::config_at_work`] gives the kept one, in a
    /// sentence that says so.
    pub fn why_kept(&self, project: &Project) -> Option<String> {
        let broken = self.config(project).err()?;
        self.config_at_work(project).is_ok().then(|| {
            format!("{broken}; until that is mended what was configured before is used (kapell config check)")
        })
    }

    /// [`Self::config`], and keeps it as the one by which conductors go on.
    ///
    /// # Errors
    /// As there. One that cannot be kept is used all the same.
    pub fn take_up_config(&self, project: &Project) -> Result<Config, Error> {
        let texts = Texts::read(self, project)?;
        let config = texts.load(self, project)?;
        if let Err(error) = texts.keep(&kept_at(self, project)) {
            tracing::warn!("the configuration of {} is not kept: {error}", project.id);
        }
        Ok(config)
    }
}

/// The text of a file of the configuration, where there is one.
///
/// # Errors
/// It cannot be read, is no text, or is a link to nothing.
pub fn read_config(path: &Path) -> Result<Option<String>, Error> {
    let refused = |what: String, hint| Refusal::new(Code::Usage, what, hint).into();
    match text::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match path.is_symlink() {
            true => Err(refused(
                format!("{} is a link to a file that is not there", path.display()),
                "let it lead to one, or remove it",
            )),
            false => Ok(None),
        },
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            // In the form of a problem, with which editors find the place.
            let place = text::no_text(&error)
                .map_or_else(String::new, |place| format!(":{}:{}", place.line, place.column));
            Err(refused(format!("{}{place}: {error}", path.display()), "save it as UTF-8, as an editor can"))
        }
        Err(error) => Err(Error::system(format!("cannot read {}", path.display()), error)),
    }
}

/// What the files of a configuration say.
#[derive(Debug, Serialize, Deserialize)]
struct Texts {
    /// `kapell.toml` of the project.
    project: Option<String>,
    /// The person's own.
    person: Option<String>,
}

impl Texts {
    fn read(session: &Session, project: &Project) -> Result<Self, Error> {
        let own =
            project.top.as_ref().map(|top| read_config(&top.join("kapell.toml"))).transpose()?.flatten();
        Ok(Self { project: own, person: read_config(&session.house.person_config)? })
    }

    fn load(&self, session: &Session, project: &Project) -> Result<Config, Error> {
        let project_path = project.top.as_ref().map(|top| top.join("kapell.toml"));
        let project_source = project_path.as_deref().zip(self.project.as_deref());
        let person_source = self.person.as_deref().map(|text| (session.house.person_config.as_path(), text));
        config::load(project_source, person_source, &session.house.agents_found()).map_err(|problems| {
            let first = problems.iter().find(|problem| problem.is_error()).or(problems.first());
            let message = match first {
                Some(problem) => format!(
                    "{}:{}:{}: {}",
                    problem.file.display(),
                    problem.line,
                    problem.column,
                    problem.message
                ),
                None => "the configuration cannot be used".to_owned(),
            };
            Refusal::new(Code::Usage, message, "kapell config check explains every problem with its place")
                .into()
        })
    }

    /// Puts it there as a whole.
    fn keep(&self, path: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self)?;
        if std::fs::read(path).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(path);
        std::fs::create_dir_all(folder)?;
        let beside = path.with_extension(random_tail(8));
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, path)
    }
}

/// Where the configuration lies by which conductors go on.
fn kept_at(session: &Session, project: &Project) -> PathBuf {
    session.house.root.join("config").join(format!("{}.json", project.id))
}

impl Session {
    /// [`Self::config_at_work`], or what holds without any: for what must work all the same.
    pub fn config_or_usual(&self, project: &Project) -> Result<Config, Error> {
        self.config_at_work(project)
            .or_else(|error| config::load(None, None, &self.house.agents_found()).map_err(|_| error))
    }
}

impl House {
    /// The agents whose programs are on the caller's PATH, the preferred first, and a model of this machine.
    pub fn agents_found(&self) -> Vec<ProviderKind> {
        let path = self.environment.get("PATH").map_or("", String::as_str);
        let mut found: Vec<ProviderKind> = [
            (ProviderKind::Claude, "claude"),
            (ProviderKind::Codex, "codex"),
            (ProviderKind::Opencode, "opencode"),
        ]
        .into_iter()
        .filter(|(_, program)| find_program(program, path).is_some())
        .map(|(kind, _)| kind)
        .collect();
        // A model alone cannot work: it needs an agent to work through.
        let has_agent = found.iter().any(|kind| matches!(kind, ProviderKind::Codex | ProviderKind::Opencode));
        if has_agent && local::is_found(self) {
            found.push(ProviderKind::Ollama);
        }
        found
    }
}
