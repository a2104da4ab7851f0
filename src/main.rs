//! `kapell`: one binary for every door, the conductor and the shim.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    // Before anything else is set up: a shim starts in well under a millisecond.
    if argv.get(1).is_some_and(|word| word == "shim") {
        return kapell::sys::shim::main(&argv);
    }
    if argv.get(1).is_some_and(|word| word == "stand") {
        return kapell::sys::tmux::stand::main(&argv);
    }
    kapell::app::run()
}
