//! What the keeper knows: the open files, and the projects that they lie in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::disk::{Difference, Seen, Stamp, digest_of};
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
    /// A digest of the text that the editor has without unsaved changes, as far as that is known.
    clean: Option<u64>,
    /// A digest of what it says to have saved, if that was not looked at yet.
    saved: Option<u64>,
    /// The file, when the text had no unsaved changes for the last time.
    settled: Option<Stamp>,
    /// It was not compared yet.
    is_new: bool,
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
    /// The editor says that it was saved.
    Saved,
}

impl Open {
    /// A file that was opened just now, with a text of that digest.
    pub fn new(path: PathBuf, spot: Option<Spot>, text: u64) -> Self {
        Self {
            path,
            spot,
            seen: Seen::default(),
            clean: Some(text),
            saved: None,
            settled: None,
            is_new: true,
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

    /// The editor says that it opened it with unsaved changes.
    pub fn opened_unsaved(&mut self) {
        self.clean = None;
    }

    /// The editor says that it saved a text of that digest.
    pub fn said_to_be_saved(&mut self, text: u64) {
        self.saved = Some(text);
    }

    /// It was open already, as `before`: what is held for it stays held.
    pub fn follow(&mut self, before: Self) {
        self.taken = before.taken;
        self.let_alone = before.let_alone;
        self.warned = before.warned;
        self.shown = before.shown;
    }

    /// Finds out whether it has unsaved changes; one that was just opened has none if `opens_clean`.
    pub fn compare(&mut self, text: &str, opens_clean: bool) {
        let news = std::mem::take(&mut self.news);
        let saved = self.saved.take();
        if news == News::None || self.gone {
            return;
        }
        let text = digest_of(text);
        let is_first = std::mem::take(&mut self.is_new);
        if let Some(clean) = self.clean.filter(|_| is_first && !opens_clean)
            && self.seen.compare(&self.path, clean) == Difference::Some
        {
            // It was opened as something else than the file: with changes, as far as can be told.
            self.clean = None;
        }
        if let Some(saved) = saved.filter(|saved| self.is_written(*saved, is_first)) {
            self.clean = Some(saved);
        }
        let on_disk = self.seen.compare(&self.path, text);
        if on_disk == Difference::None {
            self.clean = Some(text);
        }
        // What is no UTF-8 is another text in the editor than its bytes are, and a file may be written by
        // others: in both cases the text without unsaved changes can be come back to.
        let is_clean = self.clean == Some(text) || news == News::Opened && opens_clean;
        self.dirty = after(self.dirty, news, if is_clean { Difference::None } else { on_disk });
        self.let_alone &= self.dirty;
        if !self.dirty || is_first {
            self.settled = self.seen.stamp();
        }
    }

    /// Whether what the editor says to have saved lies on the disk. An editor says so also of a text that it wrote
    /// into another file, and then this one is as unsaved as before.
    fn is_written(&mut self, saved: u64, is_first: bool) -> bool {
        match self.seen.compare(&self.path, saved) {
            Difference::None => true,
            Difference::Some => false,
            // Nobody but the editor can tell that text by its bytes: that there are others has to do.
            Difference::Unknown => is_first || self.seen.stamp() != self.settled,
        }
    }
}

/// Whether a file has unsaved changes after something happened to it.
fn after(dirty: bool, news: News, difference: Difference) -> bool {
    match (news, difference) {
        (News::None, _) => dirty,
        (_, Difference::None) => false,
        // It was not saved into its own file.
        (News::Saved, Difference::Unknown) => dirty,
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
            (true, News::Saved, None, false),
            (true, News::Saved, Some, true),
            (true, News::Saved, Unknown, true),
            (false, News::Saved, Unknown, false),
            (true, News::None, Some, true),
            (false, News::None, Some, false),
        ];
        for (dirty, news, difference, expected) in table {
            assert_eq!(after(dirty, news, difference), expected, "{dirty} {news:?} {difference:?}");
        }
    }
}
