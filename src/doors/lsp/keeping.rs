//! What the keeper knows: the open files, and the projects that they lie in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::disk::{Difference, Seen, digest_of};
use super::owned::Ownership;
use super::types::Uri;
use crate::base::ids::{ClaimId, ProjectId};
use crate::base::notices::Notices;
use crate::services::Session;
use crate::services::editing::person::Spot;
use crate::services::following::Reader;

/// The list of claims is told at most so often; an editor shows it to a person.
pub const GAP: Duration = Duration::from_millis(50);

/// A file that is open.
#[derive(Debug)]
pub struct Open {
    /// Where it is.
    pub path: PathBuf,
    /// What it is in its project; nothing outside of every repository.
    pub spot: Option<Spot>,
    /// What is known of the file on the disk.
    seen: Seen,
    /// Whether the text is another one than on the disk.
    pub dirty: bool,
    /// What happened to it that was not looked at yet.
    pub news: News,
    /// The claims that this editor took for it.
    pub taken: Vec<ClaimId>,
    /// The person let go of it in spite of unsaved changes: it is not claimed again before these are saved.
    pub let_alone: bool,
    /// Its file was removed or renamed: nothing is shown of it before it is changed again.
    pub gone: bool,
    /// Whom the person was told of.
    pub warned: BTreeSet<(String, String)>,
    /// What is shown of it.
    pub shown: Option<Ownership>,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Nothing.
    #[default]
    None,
    /// It was opened, perhaps with changes that a server before this one knew of.
    Opened,
    /// It was changed.
    Changed,
    /// It was saved.
    Saved,
}

impl Open {
    /// A file that was opened just now.
    pub fn new(path: PathBuf, spot: Option<Spot>) -> Self {
        Self {
            path,
            spot,
            seen: Seen::default(),
            dirty: false,
            news: News::Opened,
            taken: Vec::new(),
            let_alone: false,
            gone: false,
            warned: BTreeSet::new(),
            shown: None,
        }
    }

    /// Whether only the last commit can tell what its file held: it is open and not there, and nobody
    /// saw it while it was.
    pub fn wants_memory(&self) -> bool {
        self.news == News::Opened && !self.gone && self.seen.is_blank(&self.path)
    }

    /// What the last commit has at its place.
    pub fn remember(&mut self, text: &str) {
        self.seen.remember(text);
    }

    /// Finds out whether it has unsaved changes; one that was just opened has none if `opens_clean`. `clean` is
    /// a digest of the text that the editor had without any.
    pub fn compare(&mut self, text: &str, clean: Option<u64>, opens_clean: bool) {
        let news = std::mem::take(&mut self.news);
        if news == News::None || self.gone {
            return;
        }
        let difference = match news {
            News::Saved => Difference::None,
            _ => self.seen.compare(&self.path, text),
        };
        // What is no UTF-8 is another text in the editor than its bytes are: that text can be come back to.
        let is_clean = || clean == Some(digest_of(text));
        let difference = match difference {
            Difference::Unknown if is_clean() => Difference::None,
            other => other,
        };
        let difference = if news == News::Opened && opens_clean { Difference::None } else { difference };
        self.dirty = after(self.dirty, news, difference);
        self.let_alone &= self.dirty;
    }
}

/// Whether a file has unsaved changes after something happened to it.
fn after(dirty: bool, news: News, difference: Difference) -> bool {
    match (news, difference) {
        (News::None, _) => dirty,
        (News::Saved, _) | (_, Difference::None) => false,
        (_, Difference::Some) => true,
        // What is no UTF-8 is changed as soon as somebody types.
        (News::Changed, Difference::Unknown) => true,
        (News::Opened, Difference::Unknown) => false,
    }
}

/// A checkout of a project whose events are told.
#[derive(Debug)]
pub struct Root {
    /// The project.
    pub project: ProjectId,
    /// The top of the checkout.
    pub top: PathBuf,
    /// The same as the editor names it.
    pub uri: Uri,
    /// Its name for people: the folder's.
    pub name: String,
    /// A session there.
    pub session: Session,
    /// The place in the event log.
    pub events: Reader,
    /// Claims changed since they were told.
    pub due: bool,
    /// When they were told.
    pub told_at: Option<Instant>,
    /// What was told.
    pub told: Option<(Value, Option<i64>)>,
    /// Tells of changes of its configuration; nothing where the folder cannot be watched.
    #[expect(dead_code, reason = "held for what its end does")]
    pub config: Option<Notices>,
}

impl Root {
    /// When its claims may be told again, if they are to be.
    pub fn due_at(&self) -> Option<Instant> {
        self.told_at.filter(|_| self.due).map(|at| at + GAP)
    }

    /// Whether its claims are to be told now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due && self.due_at().is_none_or(|at| at <= now)
    }
}

/// Whether `path` is `gone` or lies below it.
pub fn is_within(path: &Path, gone: &Path) -> bool {
    path.starts_with(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_to_a_file_makes_it_changed_or_not() {
        use Difference::{None, Some, Unknown};
        let table = [
            (false, News::Opened, None, false),
            (false, News::Opened, Some, true),
            (false, News::Opened, Unknown, false),
            (false, News::Changed, Some, true),
            (true, News::Changed, None, false),
            (true, News::Changed, Unknown, true),
            (true, News::Saved, Some, false),
            (true, News::Saved, Unknown, false),
            (true, News::None, Some, true),
            (false, News::None, Some, false),
        ];
        for (dirty, news, difference, expected) in table {
            assert_eq!(after(dirty, news, difference), expected, "{dirty} {news:?} {difference:?}");
        }
    }
}
