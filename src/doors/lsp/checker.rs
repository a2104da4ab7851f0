//! The thread that checks plans and configurations as they are typed. It takes the newest text of a
//! document and never an older one. A key press is checked at once; while checks take long, the thread
//! rests as long between two of them, so that whoever goes on typing leaves it half of the time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::documents::{Document, Kind};
use super::types::{Diagnostic, Uri};
use super::{config, plans};
use crate::api::client::guard;
use crate::base::threads;
use crate::domain::plan::read::Patterns;

/// The longest rest between two checks.
const REST: Duration = Duration::from_millis(300);
/// A check that takes no longer is followed by no rest.
const AT_ONCE: Duration = Duration::from_millis(50);

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
}

impl Checker {
    /// A document is to be checked.
    pub fn touch(&self, uri: &Uri) {
        let mut state = self.state();
        state.touched.insert(uri.clone());
        drop(state);
        self.news.notify_all();
    }

    /// Every document is to be checked, since what it is held against is another.
    pub fn touch_all(&self) {
        let mut state = self.state();
        state.all = true;
        drop(state);
        self.news.notify_all();
    }

    /// What is to be checked, waiting for it, and for that moment.
    fn next(&self, not_before: Instant) -> (BTreeSet<Uri>, bool) {
        let mut state = self.state();
        loop {
            if state.touched.is_empty() && !state.all {
                state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = not_before.saturating_duration_since(Instant::now());
            if left.is_zero() {
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

/// So many problems of a document are shown. Whoever mends these sees the rest, and an editor shows more slowly
/// than anybody types.
const MOST_SHOWN: usize = 500;

/// As many of `total` problems as are shown; the last one of them tells of the others.
pub fn shown_of(problems: impl Iterator<Item = Diagnostic>, total: usize) -> Vec<Diagnostic> {
    let mut shown: Vec<Diagnostic> = problems.take(MOST_SHOWN).collect();
    if let Some(last) = shown.last_mut().filter(|_| total > MOST_SHOWN) {
        last.message.push_str(&format!("\n{} further problems are not shown", total - MOST_SHOWN));
    }
    shown
}

/// Starts the thread.
pub fn start(desk: &Arc<Desk>) -> std::io::Result<()> {
    let desk = desk.clone();
    threads::start(
        "kapell-checker",
        Box::new(move || {
            let mut not_before = Instant::now();
            // What was read a moment ago of those that are open.
            let mut patterns: HashMap<Uri, Patterns> = HashMap::new();
            loop {
                let (touched, all) = desk.checker.next(not_before);
                let documents: Vec<Document> = if all {
                    desk.documents.list()
                } else {
                    touched.iter().filter_map(|uri| desk.documents.get(uri)).collect()
                };
                let begun = Instant::now();
                for document in documents.iter().filter(|document| document.kind != Kind::Other) {
                    check(&desk, document, patterns.entry(document.uri.clone()).or_default());
                }
                not_before = Instant::now() + rest_after(begun.elapsed());
                patterns.retain(|uri, _| desk.documents.get(uri).is_some());
            }
        }),
    )?;
    Ok(())
}

/// How long nothing is checked after a check that took so long.
fn rest_after(took: Duration) -> Duration {
    if took <= AT_ONCE { Duration::ZERO } else { took.min(REST) }
}

fn check(desk: &Desk, document: &Document, patterns: &mut Patterns) {
    let checked = guard("checking", || {
        Ok(match document.kind {
            Kind::Plan(format) => plans::checking::diagnostics(desk, document, format, patterns),
            Kind::Config => config::diagnostics(desk, document),
            Kind::Other => Vec::new(),
        })
    });
    match checked {
        Ok(problems) => desk.board.show_problems(&document.uri, document.version, problems),
        Err(error) => tracing::error!("{}: {}", document.uri.as_str(), error.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_checks_are_rested_after_and_never_long() {
        let table = [(0, 0), (50, 0), (51, 51), (200, 200), (5000, 300)];
        for (took, rest) in table {
            assert_eq!(rest_after(Duration::from_millis(took)), Duration::from_millis(rest), "{took}");
        }
    }

    #[test]
    fn of_too_many_problems_the_last_that_is_shown_tells_of_the_others() {
        let problems = |count| std::iter::repeat_n(Diagnostic::default(), count);
        assert_eq!(shown_of(problems(MOST_SHOWN), MOST_SHOWN), vec![Diagnostic::default(); MOST_SHOWN]);
        let shown = shown_of(problems(MOST_SHOWN + 2), MOST_SHOWN + 2);
        assert_eq!(shown.len(), MOST_SHOWN);
        assert_eq!(shown[MOST_SHOWN - 1].message, "\n2 further problems are not shown");
        assert_eq!(shown_of(problems(0), 0), Vec::new());
    }

    #[test]
    fn a_key_press_after_a_rest_is_taken_at_once() {
        let checker = Checker::default();
        let uri: Uri = "file:///a".parse().unwrap();
        checker.touch(&uri);
        // A rest that is over keeps nothing waiting, however long the check before it took.
        let asked = Instant::now();
        assert_eq!(checker.next(asked), (BTreeSet::from([uri.clone()]), false));
        assert!(asked.elapsed() < Duration::from_secs(5));
        checker.touch(&uri);
        checker.touch_all();
        let end = Instant::now() + Duration::from_millis(20);
        assert_eq!(checker.next(end), (BTreeSet::from([uri]), true));
        assert!(Instant::now() >= end);
    }
}
