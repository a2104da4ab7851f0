//! Which files a tool's call is about to write: read from a shell command or from a patch.
//!
//! What cannot be told is left out: a hook asks early and kindly, while the wall and the landing
//! hold what it did not see.

mod patch;
mod shell;
#[cfg(test)]
mod tests;

pub use patch::of_patch;
pub use shell::of_command;

/// A file that is to be written, made, moved or removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Write {
    /// The path as it was named: absolute, or relative to the folder of the call. `.` is all of that folder.
    pub path: String,
    /// Should `path` be a folder, the name in it that is meant: `cp a.rs src` writes `src/a.rs`.
    pub inside: Option<String>,
}

impl Write {
    /// A write of exactly this path.
    pub fn at(path: impl Into<String>) -> Self {
        Self { path: path.into(), inside: None }
    }
}
