//! Programs: finding and starting them, bounding them, and ending all that they started.

pub mod begin;
pub mod find;
pub mod life;
pub mod pages;
pub mod peer;
pub mod port;
pub mod signals;
pub mod spawn;
pub mod tree;
pub mod vigil;
pub mod words;
