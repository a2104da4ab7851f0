//! What every floor may name: identifiers, time, paths, news of files.

pub mod clock;
pub mod failpoint;
pub mod halves;
pub mod ids;
pub mod notices;
pub mod packed;
pub mod paths;
pub mod shared;
pub mod sorting;
pub mod tasks;
pub mod threads;
