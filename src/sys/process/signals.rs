//! Being told to end: SIGINT and SIGTERM.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// What a shell calls the end by SIGINT.
const INTERRUPTED: i32 = 130;

/// Calls `first` on a thread of its own at the first SIGINT or SIGTERM, so that the process can
/// come to a good end. At the second the process ends at once, whatever it does.
///
/// # Errors
/// The system has no descriptor or thread left.
pub fn on_first(first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let (mut rings, bell) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, bell.try_clone()?)?;
    }
    std::thread::Builder::new().name("kapell-signals".to_owned()).spawn(move || {
        let mut ring = [0];
        if rings.read_exact(&mut ring).is_ok() {
            first();
        }
        if rings.read_exact(&mut ring).is_ok() {
            std::process::exit(INTERRUPTED);
        }
    })?;
    Ok(())
}
