//! Processes: starting them, and ending whole trees of them.

pub mod life;
