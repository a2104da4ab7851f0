//! git, by its program: explicit directories, own index, no hooks.
//!
//! # What holds here
//!
//! - **No discovery in a worker's tree.** A worker can replace its tree's `.git` file by one whose
//!   configuration names a program; git run there by discovery executes it. Every call names its git
//!   directory, and a tree travels as a [`Worktree`] that knows the administrative folder that *we* made.
//! - **A worker's index is never read.** It can hide changes (`assume-unchanged`). Snapshots start from an
//!   index that Kapell keeps for itself.
//! - **No program that a repository names is run on a worker's files**: no hooks, no fsmonitor, no text
//!   conversion, no filter drivers (their commands may be scripts *of the tree*, which the worker wrote).
//!   A file under Git LFS is therefore its pointer in a worker's tree, and one that a worker replaces by
//!   content is stored as content: such paths are no work for a worker.
//! - **Submodules are not initialised.** A link to one stays as the base has it, unless the worker's tree
//!   has no folder for it any more; a repository that a worker makes inside its tree is reported, is not
//!   saved, and keeps the tree from being removed.
//! - **Trees are full**, also where the person's checkout is sparse.
//! - A person's own checkout ([`checkout`]) is handled with that person's configuration, less hooks.
//!
//! The git queue ([`Git::turn`]) serialises what git itself does not: adding and removing worktrees, deleting refs, landing.

pub mod brought;
pub mod bundle;
pub mod change;
pub mod checkout;
pub mod construct;
mod covered;
pub mod discover;
pub mod environment;
mod exec;
pub mod flow;
pub mod holdings;
pub mod inner;
pub mod land;
mod modules;
pub mod program;
pub mod queue;
pub mod read;
pub mod refs;
pub mod run;
mod scan;
pub mod settle;
pub mod shadow;
pub mod snapshot;
pub mod spare;
mod unchanged;
pub mod worktree;

#[cfg(test)]
mod tests;

pub use change::{Change, ChangeKind, Mode};
pub use discover::{DiscoverError, Repository, discover};
pub use program::{Program, Version};
pub use queue::{Guard, Queue, Waited};
pub use run::{Git, GitError};
pub use snapshot::{Snapshot, SnapshotError};
pub use worktree::Worktree;

use std::fmt;

/// The name of an object: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(String);

impl Oid {
    /// Takes a full object name; `None` for anything else, abbreviations too.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (matches!(text.len(), 40 | 64) && is_hex).then(|| Self(text.to_owned()))
    }

    /// The name that stands for "no object", of the same length as this one.
    #[must_use]
    pub fn zero(&self) -> Self {
        Self("0".repeat(self.0.len()))
    }

    /// The name of the tree that has nothing in it, which git knows without being told, of the same length.
    #[must_use]
    pub fn empty_tree(&self) -> Self {
        Self(
            match self.0.len() {
                64 => "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
                _ => "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            }
            .to_owned(),
        )
    }

    /// Whether this stands for "no object".
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'0')
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
