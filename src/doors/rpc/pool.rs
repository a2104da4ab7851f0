//! Threads for slow calls: as many as are needed, up to a limit; a thread that finds
//! nothing more to do ends.

use crate::base::threads;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// At most so many slow calls run at once.
const MOST_THREADS: usize = 32;
/// At most so many more wait for a thread.
const MOST_WAITING: usize = 1024;

/// Something to do.
pub type Job = Box<dyn FnOnce() + Send>;

/// The threads.
#[derive(Default)]
pub struct Pool(Mutex<State>);

#[derive(Default)]
struct State {
    threads: usize,
    waiting: VecDeque<Job>,
}

impl Pool {
    /// Whether as many jobs wait as may.
    pub fn is_full(&self) -> bool {
        self.state().waiting.len() >= MOST_WAITING
    }

    /// Runs a job on a thread, in the order of asking.
    pub fn run(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        if state.threads == MOST_THREADS {
            state.waiting.push_back(job);
            return;
        }
        state.waiting.push_back(job);
        state.threads += 1;
        drop(state);
        let pool = self.clone();
        let thread = threads::start("kapell-call", Box::new(move || pool.work()));
        if thread.is_err() {
            // The system has no thread left, so the caller's has to do.
            self.work();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut state = self.state();
            let Some(job) = state.waiting.pop_front() else {
                state.threads -= 1;
                return;
            };
            drop(state);
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::RwLock;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn every_job_runs_once_and_too_many_are_seen() {
        let pool = Arc::new(Pool::default());
        let gate = Arc::new(RwLock::new(()));
        let (done, results) = channel();
        let closed = gate.write().unwrap();
        let mut count = 0;
        // The first ones stand at the gate, the others wait for a thread.
        while !pool.is_full() {
            let (gate, done) = (gate.clone(), done.clone());
            pool.run(Box::new(move || {
                let _open = gate.read().unwrap();
                done.send(count).unwrap();
            }));
            count += 1;
        }
        assert!((MOST_WAITING..=MOST_WAITING + MOST_THREADS).contains(&count), "{count}");
        drop((closed, done));
        let mut seen: Vec<usize> = results.iter().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
        assert!(!pool.is_full());
    }
}
