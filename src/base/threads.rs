//! Threads, begun in one place: all that the library does to begin one would be in the program once for each kind of
//! work otherwise.

use std::io;
use std::thread::{Builder, JoinHandle, scope};

/// Starts one.
///
/// # Errors
/// The system has no thread left.
pub fn start(name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(work)
}

/// Does the same on so many at once, and waits for all.
pub fn side_by_side(count: usize, work: &(dyn Fn() + Sync)) {
    scope(|scope| {
        for _ in 0..count {
            scope.spawn(work);
        }
    });
}
