//! `kapell`: one binary for every door, the conductor and the shim.

use std::process::ExitCode;

fn main() -> ExitCode {
    kapell::app::run()
}
