//! Threads that nobody waits for.

use std::io;
use std::thread::Builder;

/// Starts one. Whatever it does is passed by a box, since all that the library does to begin a thread would be in the
/// program once for each kind of work otherwise.
///
/// # Errors
/// The system has no thread left.
pub fn start(name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    Builder::new().name(name.to_owned()).spawn(work).map(drop)
}
