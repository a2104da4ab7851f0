//! Shell commands: read as a shell would read them, with what well-known programs do to files.

mod carriers;
mod code;
mod editors;
mod expand;
mod find;
mod git;
mod letters;
mod lists;
mod operands;
mod packages;
mod programs;
mod read;
mod run;
mod table;
mod tokens;
mod word;

use super::Write;

/// The name under which [`of_command`] asks for the top of the checkout.
pub const TOP: &str = "git rev-parse --show-toplevel";

/// What [`of_command`] asks for the text of a file by, in front of its path: a list of names, say.
pub const CONTENT: &str = "cat ";

/// What [`of_command`] asks for what a command of git is short for by, in front of its name.
pub const ALIAS: &str = "git alias ";

/// The files that a shell command is about to write, in the order in which they are met.
///
/// Relative paths are relative to the folder in which the command starts: a `cd` on the way is
/// reckoned with. `known` tells the values of variables that the shell has from outside (`HOME`,
/// `PWD` and the like), that of [`TOP`], the texts of files ([`CONTENT`]) and git's aliases ([`ALIAS`]). What only a running
/// shell can know is left out, and globs are left to whoever can list files.
pub fn of_command(text: &str, known: &dyn Fn(&str) -> Option<String>) -> Vec<Write> {
    let mut reading = run::Reading::new(known);
    reading.script(text);
    reading.writes
}
