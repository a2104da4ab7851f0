//! The queue of one conductor: who waits, and whose turn it is. What several conductors of one
//! project do meets only where a branch is moved, in the git queue.

use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{batch, integration_branch};
use crate::base::failpoint::Point;
use crate::base::sorting;
use crate::domain::plan::Task;
use crate::services::Error;
use crate::services::conductor::desk::Desk;
use crate::services::conductor::saving::Saved;
use crate::store::attempts::AttemptRow;
use crate::sys::git::{Oid, read, refs};

/// What became of a landing.
#[derive(Debug)]
pub enum Landing {
    /// It is part of the branch.
    Landed {
        /// The commit on the branch.
        commit: Oid,
        /// The branch, `refs/heads/…`.
        branch: String,
    },
    /// It does not merge, or not without breaking what the gates prove; what the worker is told.
    Rejected(String),
    /// It is left to the next conductor.
    Left,
}

/// What lands.
#[derive(Debug)]
pub struct Work {
    /// The attempt.
    pub attempt: AttemptRow,
    /// Its task.
    pub task: Task,
    /// Its tree, compared with its claim.
    pub saved: Saved,
    /// The constructed commit.
    pub commit: Oid,
    /// The message of the commit that lands.
    pub message: String,
}

/// Who waits to land.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<Vec<Waiting>>,
    turn: Mutex<()>,
}

/// Work that waits, and where to say what became of it.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its place in the journal, which is its place in the order.
    pub id: i64,
    /// The work.
    pub work: Arc<Work>,
    answer: Sender<Landing>,
}

impl Waiting {
    /// Says what became of it.
    pub fn answer(&self, landing: Landing) {
        // Who has gone meanwhile finds it in the journal.
        let _ = self.answer.send(landing);
    }
}

/// Puts work onto the plan's integration branch, and onto the target where nobody has that checked
/// out. May be called again after a crash at any point: the journal tells what was about to be done.
///
/// Whoever comes while another's work is being proved waits, and then one of those lands all that
/// wait together.
pub fn land(desk: &Desk, work: Work) -> Result<Landing, Error> {
    let store = desk.store()?;
    let attempt = &work.attempt;
    let branch = desk.row()?.integration.unwrap_or_else(|| integration_branch(&desk.plan_id));
    let id = desk.write(|tx| {
        let commit = work.commit.as_str();
        tx.queue_landing(&desk.project.id, &desk.plan_id, &attempt.task, &attempt.id, &branch, commit)
    })?;
    Point::LandingQueued.reach()?;
    let journal = store.read(|tx| tx.landing_of(&attempt.id))?;
    if let Some(merged) = journal.and_then(|row| row.merged).as_deref().and_then(Oid::parse)
        && let Some(now) = refs::read(&desk.git, &branch)?
        && read::is_ancestor(&desk.git, &merged, &now)?
    {
        // A step before us was about to move the branch to this commit, and did.
        batch::finish(desk, &branch, &[(id, merged.clone())], None)?;
        return Ok(Landing::Landed { commit: merged, branch });
    }
    let work = Arc::new(work);
    let queue = &desk.landings;
    loop {
        if desk.is_stopping() {
            return Ok(Landing::Left);
        }
        let (answer, told) = channel();
        lock(&queue.waiting).push(Waiting { id, work: Arc::clone(&work), answer });
        let turn = lock(&queue.turn);
        match told.try_recv() {
            // Whoever had the turn before landed it with its own,
            Ok(landing) => return Ok(landing),
            // or failed with all it had taken.
            Err(TryRecvError::Disconnected) => continue,
            Err(TryRecvError::Empty) => {}
        }
        let mut taken = std::mem::take(&mut *lock(&queue.waiting));
        sorting::sort_by_key(&mut taken, |waiting| waiting.id);
        batch::land(desk, &branch, &taken)?;
        drop(turn);
        return told.try_recv().map_err(|_| Error::Bug(format!("landing {id} was forgotten")));
    }
}

/// A thread that panicked did so before or after it changed the list, never within.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
