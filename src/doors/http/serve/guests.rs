//! Connections over which nobody has shown the token yet. Where there is no room for more they make it: whoever only
//! opens connections shuts nobody out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// When so many are remembered, those that are gone or known are forgotten.
const SWEEP: usize = 1024;

/// Those who are not known yet, the oldest first.
#[derive(Debug, Default)]
pub struct Guests(Mutex<VecDeque<Weak<Guest>>>);

/// A connection, as far as it is known.
#[derive(Debug, Default)]
pub struct Guest {
    is_known: AtomicBool,
    asked_out: Notify,
}

impl Guests {
    /// Somebody comes.
    pub fn enter(&self) -> Arc<Guest> {
        let guest = Arc::new(Guest::default());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SWEEP {
            all.retain(|guest| guest.upgrade().is_some_and(|guest| !guest.is_known()));
        }
        all.push_back(Arc::downgrade(&guest));
        guest
    }

    /// Asks the one out who is here longest and not known yet; whether there is one.
    pub fn ask_one_out(&self) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(guest) = all.pop_front() {
            if let Some(guest) = guest.upgrade().filter(|guest| !guest.is_known()) {
                guest.asked_out.notify_one();
                return true;
            }
        }
        false
    }
}

impl Guest {
    /// It has shown the token.
    pub fn know(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// Waits until it is asked out.
    pub async fn asked_out(&self) {
        self.asked_out.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_who_is_not_known_makes_room() {
        let guests = Guests::default();
        let all = [guests.enter(), guests.enter(), guests.enter(), guests.enter()];
        all[0].know();
        let [_, gone, oldest, other] = all;
        drop(gone);
        assert!(guests.ask_one_out());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(oldest.asked_out());
        other.know();
        assert!(!guests.ask_one_out());
    }
}
