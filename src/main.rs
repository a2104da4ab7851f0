//! `kapell`: one binary for every door, the conductor and the shim.

#![no_main]

use std::ffi::{OsString, c_char, c_int};
use std::panic::catch_unwind;

use kapell::sys::process::begin;

/// What the C library calls. Rust's own beginning is gone round: for its message about a stack that overflows it
/// has the system print all that this process has mapped, which takes a thirtieth of the time of a hook that an
/// edit waits for. What else it does is done here.
#[expect(unsafe_code, reason = "the C library finds it by its name")]
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _words: *const *const c_char) -> c_int {
    begin::begin();
    // A panic has told of itself.
    let status = catch_unwind(run).unwrap_or(begin::PANICKED);
    // Also prints what is not printed yet.
    std::process::exit(status.into())
}

fn run() -> u8 {
    let argv: Vec<OsString> = std::env::args_os().collect();
    // Before anything else is set up: a shim starts in well under a millisecond. Who asks for help is given it
    // by the command line.
    let is = |verb| {
        argv.get(1).is_some_and(|word| word == verb)
            && argv.get(2).is_some_and(|folder| !folder.as_encoded_bytes().starts_with(b"-"))
    };
    if is("shim") {
        return kapell::sys::shim::main(&argv);
    }
    if is("stand") {
        return kapell::sys::tmux::stand::main(&argv);
    }
    kapell::app::run()
}
