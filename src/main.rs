//! `kapell`: one binary for every door, the conductor and the shim.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
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
