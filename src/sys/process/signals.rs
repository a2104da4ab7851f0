//! Being told to end, by a signal.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::pipe;

/// What a shell calls the end by SIGINT.
const INTERRUPTED: i32 = 130;

/// What tells a program to end.
const END: [i32; 2] = [SIGINT, SIGTERM];

/// The same for one that has taken over a terminal, which must be given back however it ends.
const END_OF_SCREEN: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// Calls `first` on a thread of its own at the first SIGINT or SIGTERM, so that the process can
/// come to a good end. At the second the process ends at once, whatever it does.
///
/// # Errors
/// The system has no descriptor or thread left.
pub fn on_first(first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    listen(&END, vec![Box::new(first)])
}

/// The same, and what is done at the second; the process ends at the third.
///
/// # Errors
/// The system has no descriptor or thread left.
pub fn on_first_and_second(
    first: impl FnOnce() + Send + 'static,
    second: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    listen(&END, vec![Box::new(first), Box::new(second)])
}

/// [`on_first`], also where the terminal goes away (SIGHUP) or its person insists (SIGQUIT).
///
/// # Errors
/// The system has no descriptor or thread left.
pub fn on_end_of_screen(first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    listen(&END_OF_SCREEN, vec![Box::new(first)])
}

fn listen(signals: &[i32], acts: Vec<Box<dyn FnOnce() + Send>>) -> io::Result<()> {
    let (mut rings, bell) = UnixStream::pair()?;
    for signal in signals {
        pipe::register(*signal, bell.try_clone()?)?;
    }
    std::thread::Builder::new().name("kapell-signals".to_owned()).spawn(move || {
        let mut ring = [0];
        for act in acts {
            if rings.read_exact(&mut ring).is_err() {
                return;
            }
            act();
        }
        if rings.read_exact(&mut ring).is_ok() {
            std::process::exit(INTERRUPTED);
        }
    })?;
    Ok(())
}
