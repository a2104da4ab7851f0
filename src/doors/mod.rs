//! The ways in. Each serves the one table of methods in its own protocol; none knows another.
pub mod cli;
