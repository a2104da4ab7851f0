//! What a process does before anything else, as Rust's runtime does it where that begins a program.

use std::fs::File;
use std::os::fd::{BorrowedFd, IntoRawFd as _};

use nix::libc::{SIG_IGN, SIGPIPE, signal};

/// The exit status of a program that ran into a fault of its own, as Rust's runtime gives it.
pub const PANICKED: u8 = 101;

/// Makes sure of the three standard streams, and that a stream nobody reads is an error instead of the end.
#[expect(unsafe_code, reason = "what a signal does, and descriptors by their numbers, have no safe form")]
pub fn begin() {
    for number in 0..=2 {
        // SAFETY: It is borrowed for a question, which a closed one answers.
        let stream = unsafe { BorrowedFd::borrow_raw(number) };
        // Else the database might be opened under the number of an error stream, and errors be written into it.
        if rustix::io::fcntl_getfd(stream) == Err(rustix::io::Errno::BADF) {
            let null = File::options().read(true).write(true).open("/dev/null");
            if null.map(File::into_raw_fd).ok() != Some(number) {
                // Whoever closed them and took the null device away gets nothing.
                std::process::abort();
            }
        }
    }
    // SAFETY: No handler is set; the signal is passed over.
    unsafe { signal(SIGPIPE, SIG_IGN) };
}
