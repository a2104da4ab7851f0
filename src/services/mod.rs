//! What the methods do. A service decides with `domain`, records in `store`, and only
//! then acts through `sys`.

pub mod admitting;
pub mod approving;
pub mod asking;
pub mod claiming;
pub mod conductor;
pub mod configuring;
pub mod costing;
pub mod diagnosing;
pub mod dispatching;
pub mod editing;
pub mod environments;
pub mod following;
pub mod ground;
pub mod health;
pub mod house;
pub mod initialising;
pub mod inside;
pub mod insisting;
pub mod judging;
pub mod landing;
pub mod lending;
pub mod local;
pub mod nudging;
pub mod owning;
pub mod pipelines;
pub mod planning;
pub mod project;
pub mod querying;
pub mod reading;
pub mod registry;
pub mod replaying;
pub mod room;
pub mod routing;
pub mod spending;
pub mod standing;
pub mod steering;
pub mod walling;
pub mod watching;
pub mod windows;

pub use house::{Caller, Cancel, House, Session};

use crate::base::failpoint::Fault;
use crate::domain::refusal::{Code, Refusal};
use crate::store::StoreError;

/// Why a service did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An expected no.
    #[error("{0}")]
    Refused(Refusal),
    /// The database failed.
    #[error("{0}")]
    Store(StoreError),
    /// The system failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried, naming the thing.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A programming fault.
    #[error("bug: {0}")]
    Bug(String),
}

impl Error {
    /// A failure of the system while doing `what`.
    pub fn system(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::System { what: what.into(), source }
    }
}

impl Error {
    /// A failure of git, or of what is built on it.
    pub fn from_git(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::System { what: "git".to_owned(), source: std::io::Error::other(error) }
    }

    /// Whether it is that somebody killed a git: that says nothing of what it was to do, which can be done again.
    pub fn is_of_killed_git(&self) -> bool {
        matches!(self, Self::System { what, source } if what == "git" && source.to_string().contains(" failed (signal: "))
    }
}

impl From<crate::sys::git::GitError> for Error {
    fn from(error: crate::sys::git::GitError) -> Self {
        Self::from_git(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::system("cannot go on", fault.into())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Newer { .. } => Self::Refused(Refusal::new(
                Code::StateNewer,
                error.to_string(),
                "install the newer kapell, or point KAPELL_HOME at another folder",
            )),
            damaged if damaged.is_damage() => Self::Refused(Refusal::new(
                Code::StoreDamaged,
                error.to_string(),
                "nothing was changed; move the file away and put a backup in its place, or start anew with another KAPELL_HOME: every attempt's tree is still under refs/kapell in its repository",
            )),
            _ => Self::Store(error),
        }
    }
}
