//! Waking up when the database changes, whichever process changed it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Instant;

use super::connection::BELL;
use super::error::StoreError;
use crate::base::notices::Notices;

/// Wakes its owner when the database may have changed. Waking without a change is
/// possible, missing a change is not: one that comes between two waits ends the next
/// wait at once.
#[derive(Debug)]
pub struct Watch {
    changed: Receiver<Woken>,
    waker: SyncSender<Woken>,
    notices: Notices,
}

/// Ends a wait from another thread.
#[derive(Debug, Clone)]
pub struct Waker(SyncSender<Woken>);

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The database may have changed.
    Changed,
    /// A [`Waker`] was used.
    Called,
    /// Nothing happened until the deadline.
    Deadline,
}

impl Watch {
    /// Watches the database `kapell.db` in `folder`. Look at the database after this and before waiting.
    pub fn new(folder: &Path) -> Result<Self, StoreError> {
        // The bell alone, where it is there: the log beside it is written to page by page, and whoever
        // watches the folder is woken for each.
        let bell = folder.join(BELL);
        let folder = if bell.is_file() { bell.as_path() } else { folder };
        // One notice is as good as many: the channel holds a single one, further ones are dropped.
        let (notice, changed) = sync_channel::<Woken>(1);
        let waker = notice.clone();
        let failed = |source| StoreError::Io { path: folder.to_owned(), source };
        let notices = Notices::of(folder, move |paths| {
            // Opening, locking and closing the file is no news; only a commit writes to it.
            let is_bell = |path: &PathBuf| path.file_name().is_some_and(|name| name == BELL);
            if paths.is_empty() || paths.iter().any(is_bell) {
                let _ = notice.try_send(Woken::Changed);
            }
        })
        .map_err(failed)?;
        Ok(Self { changed, waker, notices })
    }

    /// Whether the system tells of changes at once; if not, they are found a moment later.
    pub fn is_told(&self) -> bool {
        self.notices.is_told()
    }

    /// Something that ends this watch's waits from another thread.
    pub fn waker(&self) -> Waker {
        Waker(self.waker.clone())
    }

    /// Waits until the database may have changed, a waker is used, or the deadline is past.
    pub fn wait(&self, deadline: Option<Instant>) -> Woken {
        match deadline {
            None => self.changed.recv().unwrap_or(Woken::Called),
            Some(deadline) => {
                match self.changed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(woken) => woken,
                    Err(RecvTimeoutError::Timeout) => Woken::Deadline,
                    Err(RecvTimeoutError::Disconnected) => Woken::Called,
                }
            }
        }
    }
}

impl Waker {
    /// Ends the wait that is under way, or the next one.
    pub fn wake(&self) {
        let _ = self.0.try_send(Woken::Called);
    }

    /// What wakes, for whoever calls a function when it is time.
    pub fn on_call(self) -> impl Fn() + Send + 'static {
        move || self.wake()
    }
}
