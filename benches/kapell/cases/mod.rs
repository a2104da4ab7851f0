//! The cases. Each measures some figures, and what they are held against, in one go.

pub mod claiming;
pub mod crowd;
pub mod dispatch;
pub mod environments;
pub mod hook;
pub mod lsp;
pub mod next;
pub mod overlap;
pub mod serve;
pub mod size;
pub mod starting;
pub mod status;
pub mod wall;
pub mod watch;
pub mod worktree;

use std::path::PathBuf;

use anyhow::Result;

use super::figure::Figure;

/// What a case is given.
#[derive(Debug)]
pub struct Around {
    /// The folder, on the disk that is meant, in which it makes its own.
    pub folder: PathBuf,
    /// Fewer rounds, to see whether all works.
    pub quick: bool,
}

impl Around {
    /// `full` rounds, or a fifth of them when it is to be quick.
    pub fn rounds(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(5) } else { full }
    }
}

/// A case.
pub struct Case {
    /// Its name on the command line and in the table.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Measures.
    pub run: fn(&Around) -> Result<Vec<Figure>>,
}

/// All cases, in the order of the table.
pub const CASES: [Case; 15] = [
    Case { name: "start", about: "kapell mcp from its start to its end", run: starting::run },
    Case { name: "claim", about: "one durable claim, through every door", run: claiming::run },
    Case { name: "hook", about: "kapell hook beside true", run: hook::run },
    Case { name: "lsp", about: "kapell lsp as an editor sees it", run: lsp::run },
    Case { name: "crowd", about: "eight servers on one project", run: crowd::run },
    Case { name: "status", about: "status with many tasks and workers", run: status::run },
    Case { name: "overlap", about: "whether two patterns can own one file", run: overlap::run },
    Case { name: "next", about: "the next of very many tasks", run: next::run },
    Case { name: "dispatch", about: "what a worker costs besides its own work", run: dispatch::run },
    Case { name: "wall", about: "what the wall adds to a start", run: wall::run },
    Case { name: "watch", about: "what it costs to look on", run: watch::run },
    Case { name: "worktree", about: "a worktree for a worker", run: worktree::run },
    Case { name: "environments", about: "environments made and looked at", run: environments::run },
    Case { name: "serve", about: "kapell serve under load", run: serve::run },
    Case { name: "size", about: "the program and its list of tools", run: size::run },
];
