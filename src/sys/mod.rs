//! The world outside the database: processes, the wall, git, agents' programs, configuration files.

pub mod agent;
pub mod git;
pub mod probe;
pub mod process;
pub mod shim;
pub mod wall;
