//! Being told to end, by a signal.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

use crate::base::threads;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
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
    let mut first = Some(first);
    listen(&END, Box::new(move || first.take().map_or_else(end, |act| act())))
}

/// The same, and what is done at the second; the process ends at the third.
///
/// # Errors
/// The system has no descriptor or thread left.
pub fn on_first_and_second(
    first: impl FnOnce() + Send + 'static,
    second: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let (mut first, mut second) = (Some(first), Some(second));
    let act = move || match first.take() {
        Some(act) => act(),
        None => second.take().map_or_else(end, |act| act()),
    };
    listen(&END, Box::new(act))
}

/// [`on_first`], also where the terminal goes away (SIGHUP) or its person insists (SIGQUIT).
///
/// # Errors
/// The system has no descriptor or thread left.
pub fn on_end_of_screen(first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut first = Some(first);
    listen(&END_OF_SCREEN, Box::new(move || first.take().map_or_else(end, |act| act())))
}

/// Calls `act` whenever the process goes on after it was stopped.
///
/// # Errors
/// The system has no descriptor or thread left.
pub fn on_continue(act: impl Fn() + Send + 'static) -> io::Result<()> {
    listen(&[SIGCONT], Box::new(act))
}

fn end() {
    std::process::exit(INTERRUPTED);
}

fn listen(signals: &[i32], mut act: Box<dyn FnMut() + Send>) -> io::Result<()> {
    let (mut rings, bell) = UnixStream::pair()?;
    for signal in signals {
        pipe::register(*signal, bell.try_clone()?)?;
    }
    threads::start(
        "kapell-signals",
        Box::new(move || {
            while rings.read_exact(&mut [0]).is_ok() {
                act();
            }
        }),
    )?;
    Ok(())
}
