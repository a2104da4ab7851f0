//! The world outside the database: processes, the wall, git, agents' programs, configuration files.

pub mod agent;
pub mod config;
pub mod disk;
pub mod git;
pub mod memory;
pub mod ollama;
pub mod plain;
pub mod probe;
pub mod process;
pub mod shim;
pub mod stdio;
pub mod text;
pub mod tmux;
pub mod tree;
pub mod wall;
