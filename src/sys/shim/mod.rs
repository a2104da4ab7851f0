//! The shim: one small process per attempt, `kapell shim RUN_DIR`, between whoever
//! started the attempt and the worker's program.
//!
//! It outlives its starter, builds the wall, keeps the limits, ends *all* that the
//! worker started, and records how it ended. It has one thread, no runtime and one
//! `poll` loop. What is in a run folder:
//!
//! | file | written by | meaning |
//! |---|---|---|
//! | `lock` | the starter | locked from the start of the shim to its end, whatever ends it |
//! | `job.json` | the starter | what to run ([`job::Job`]) |
//! | `ctl.sock` | the starter | requests to the shim ([`job::Request`]) |
//! | `stdout`, `stderr` | the worker | all it printed |
//! | `shim.log` | the shim | troubles of the shim itself |
//! | `exit.json` | the shim | how it ended ([`job::Exit`]); whole or absent |
//!
//! A shim takes a moment to start. Where runs are to be expected, some wait for theirs
//! ([`spare::Spares`]): `kapell shim RUN_DIR --spare` has everything ready in the folder of a run that is
//! yet to come. One whose starter ends, or whose run does not come about, takes its files away and ends.
//!
//! A lock that is free and no `exit.json` mean that the shim vanished: killed, or
//! the machine went down. [`client::kill_leftovers`] cleans up after that.

mod agent;
pub mod client;
mod control;
pub mod job;
mod main;
mod order;
pub mod output;
mod record;
pub mod relay;
mod relays;
mod run;
pub mod spare;
mod till;

pub use main::main;

/// Names of the files in a run folder.
pub mod files {
    /// Locked as long as the shim lives.
    pub const LOCK: &str = "lock";
    /// What to run.
    pub const JOB: &str = "job.json";
    /// Where the shim listens.
    pub const SOCKET: &str = "ctl.sock";
    /// All that the worker printed on its standard output.
    pub const STDOUT: &str = "stdout";
    /// All that the worker printed on its standard error.
    pub const STDERR: &str = "stderr";
    /// Troubles of the shim itself.
    pub const LOG: &str = "shim.log";
    /// How it ended.
    pub const EXIT: &str = "exit.json";
    /// The room for [`EXIT`], taken at the start; also the mark of a run that began.
    pub const EXIT_ROOM: &str = "exit.json.tmp";
}

/// The option of a shim that waits for its job.
const SPARE: &str = "--spare";

/// The variable in a worker's environment that holds the identifier of its attempt.
/// The shim always sets it; leftovers of a vanished shim are known by it.
pub const ATTEMPT_VARIABLE: &str = "KAPELL_ATTEMPT";
