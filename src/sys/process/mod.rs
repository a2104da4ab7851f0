//! Programs of others: starting them, bounding them, and ending all that they started.

pub mod spawn;
pub mod tree;
pub mod words;
