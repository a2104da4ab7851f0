//! A value that threads share, under a lock that nobody can wait for long: while one changes it, it waits for
//! nothing else. A conductor that held its plan while it waited for the database, whose holder waited for the plan,
//! stood still for ever, and everybody else's writes with it.

use std::sync::{Mutex, PoisonError};

/// A shared value.
#[derive(Debug, Default)]
pub struct Shared<T>(Mutex<T>);

impl<T> Shared<T> {
    /// One that holds `value`.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Changes it. Whatever is to be waited for is waited for before.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        // A panic while it is changed leaves a whole value, the old one or the new.
        let mut value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _held = held::Held::begin();
        change(&mut value)
    }

    /// A copy of it as it is now.
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Called before what may take long to come: fails in a debug build where this thread is changing a shared value.
pub fn assert_none_is_held() {
    debug_assert!(!held::is_any(), "a shared value is held while something else is waited for");
}

#[cfg(debug_assertions)]
mod held {
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(0) };
    }

    pub(super) struct Held;

    impl Held {
        pub(super) fn begin() -> Self {
            COUNT.with(|count| count.set(count.get() + 1));
            Self
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            COUNT.with(|count| count.set(count.get() - 1));
        }
    }

    pub(super) fn is_any() -> bool {
        COUNT.with(Cell::get) > 0
    }
}

#[cfg(not(debug_assertions))]
mod held {
    pub(super) struct Held;

    impl Held {
        pub(super) fn begin() -> Self {
            Self
        }
    }

    pub(super) fn is_any() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_by_all_and_survives_a_panic() {
        let shared = Shared::new(1);
        shared.change(|value| *value += 1);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            shared.change(|_| panic!("in the middle"));
        }));
        assert!(panicked.is_err());
        assert_none_is_held();
        assert_eq!(shared.change(|value| *value), 2);
        assert_eq!(shared.get(), 2);
    }

    #[test]
    #[should_panic(expected = "a shared value is held")]
    fn who_changes_it_waits_for_nothing_else() {
        Shared::new(1).change(|_| assert_none_is_held());
    }
}
