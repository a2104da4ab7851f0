//! Which files a tool's call is about to write: read from a shell command or from a patch.
//!
//! What cannot be told is left out: a hook asks early and kindly, while the wall and the landing
//! hold what it did not see.

mod patch;
mod shell;
#[cfg(test)]
mod tests;

pub use patch::{of_diff, of_patch};
pub use shell::{ALIAS, CONTENT, TOP, of_command};

/// A file that is to be written, made, moved or removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Write {
    /// The path as it was named: absolute, or relative to the folder of the call. `.` is all of that folder.
    pub path: String,
    /// Should `path` be a folder, the name in it that is meant: `cp a.rs src` writes `src/a.rs`.
    pub inside: Option<String>,
    /// What of it is written.
    pub reach: Reach,
}

/// What a write means by its path.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// That path, and all below it should it be a folder.
    #[default]
    Path,
    /// The same, but for what a link of that name leads to: the name goes.
    Name,
    /// The same, where nobody makes a file of it: should there be nothing yet, a folder may come of it.
    Tree,
    /// That path, where it becomes what this one is: a folder, should that be one.
    Like(String),
    /// The same, where nothing stays behind.
    Moved(String),
    /// That path, and all below it but for other repositories: git leaves those alone.
    Own,
    /// The same, if there is something of that name: `git checkout NAME` may mean a branch.
    IfThere,
    /// Each path that matches this glob, in the words of [`as_glob`].
    Glob,
    /// `inside` is a glob: below the folder `path`, the last names of what matches it.
    Names,
    /// Below the folder `path` whatever has such a name (a glob) and is found by the program: some
    /// of these files, nobody knows which. Should `path` be a file, that file.
    Below(String),
    /// Whatever git finds to change in the checkout around `path`, on behalf of this command.
    Checkout(String),
    /// The checkouts of whatever repositories that `path` is, or that lie below it, on behalf of this command; what
    /// lies around them stays.
    Repositories(String),
    /// `path` is a diff, whose names are relative to `inside`.
    Diff(Diff),
    /// What commits bring into the checkout around `path`.
    Commits(Commits),
}

/// How a diff is applied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diff {
    /// So many leading segments are stripped from its names.
    pub strip: usize,
    /// git applies it: the names of its own diffs start from the top of the checkout.
    pub is_gits: bool,
    /// Its path is a glob, in the words of [`as_glob`].
    pub is_glob: bool,
    /// The command.
    pub by: String,
}

/// Commits that a command brings into a checkout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Commits {
    /// What of them.
    pub what: Brought,
    /// Revisions, as git reads them.
    pub revisions: Vec<String>,
    /// The command.
    pub by: String,
}

/// What of commits comes into a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Brought {
    /// What each of them changed, or each of a range of them.
    Each,
    /// What they have since they and the checkout parted.
    Since,
    /// What either side has since they parted.
    Both,
    /// All in which they differ from the checkout.
    Unlike,
    /// All in which what is staged, or not merged yet, differs from them: what is thrown away with it.
    Staged,
}

impl Write {
    /// A write of exactly this path.
    pub fn at(path: impl Into<String>) -> Self {
        Self { path: path.into(), inside: None, reach: Reach::Path }
    }
}

/// A literal text as a glob in the words of a claim's pattern, which has no backslash.
pub fn as_glob(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}') {
            glob.extend(['[', c, ']']);
        } else {
            glob.push(c);
        }
    }
    glob
}
