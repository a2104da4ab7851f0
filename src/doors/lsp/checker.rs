//! The thread that checks plans and configurations as they are typed. It takes the newest text of a
//! document and never an older one; while a check takes long, it waits until the typing rests.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::documents::{Document, Kind};
use super::types::Uri;
use super::{config, plans};
use crate::api::client::guard;

/// The typing is waited for so long at most; a check that is quicker waits as long as it takes itself.
const REST: Duration = Duration::from_millis(300);
/// What is checked in this time is checked at once.
const AT_ONCE: Duration = Duration::from_millis(30);

/// What is to be checked.
#[derive(Debug, Default)]
pub struct Checker {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    touched: BTreeSet<Uri>,
    /// All open documents are to be checked.
    all: bool,
    /// When the last of it was asked for.
    at: Option<Instant>,
}

impl Checker {
    /// A document is to be checked.
    pub fn touch(&self, uri: &Uri) {
        let mut state = self.state();
        state.touched.insert(uri.clone());
        state.at = Some(Instant::now());
        drop(state);
        self.news.notify_all();
    }

    /// Every document is to be checked, since what it is held against is another.
    pub fn touch_all(&self) {
        let mut state = self.state();
        state.all = true;
        state.at = Some(Instant::now());
        drop(state);
        self.news.notify_all();
    }

    /// What is to be checked, waiting for it, and then until the typing rests for so long.
    fn next(&self, rest: Duration) -> (BTreeSet<Uri>, bool) {
        let mut state = self.state();
        loop {
            let Some(at) = state.at else {
                state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = (at + rest).saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.at = None;
                return (std::mem::take(&mut state.touched), std::mem::take(&mut state.all));
            }
            let waited = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread.
pub fn start(desk: &Arc<Desk>) -> std::io::Result<()> {
    let desk = desk.clone();
    std::thread::Builder::new().name("kapell-checker".to_owned()).spawn(move || {
        let mut rest = Duration::ZERO;
        loop {
            let (touched, all) = desk.checker.next(rest);
            let documents: Vec<Document> = if all {
                desk.documents.list()
            } else {
                touched.iter().filter_map(|uri| desk.documents.get(uri)).collect()
            };
            let begun = Instant::now();
            for document in documents.iter().filter(|document| document.kind != Kind::Other) {
                check(&desk, document);
            }
            let took = begun.elapsed();
            rest = if took <= AT_ONCE { Duration::ZERO } else { took.min(REST) };
        }
    })?;
    Ok(())
}

fn check(desk: &Desk, document: &Document) {
    let checked = guard("checking", || {
        Ok(match document.kind {
            Kind::Plan(format) => plans::checking::diagnostics(desk, document, format),
            Kind::Config => config::diagnostics(desk, document),
            Kind::Other => Vec::new(),
        })
    });
    match checked {
        Ok(problems) => desk.board.show_problems(&document.uri, document.version, problems),
        Err(error) => tracing::error!("{}: {}", document.uri.as_str(), error.message),
    }
}
