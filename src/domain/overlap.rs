//! x
pub use super::pattern::overlap;
