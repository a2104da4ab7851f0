//! What every floor may name: identifiers, time, paths.

pub mod clock;
pub mod failpoint;
pub mod ids;
pub mod paths;
