//! One file for each method: what comes in, the service it asks, what goes out.

pub mod claims;
pub mod conducting;
pub mod control;
pub mod dispatch;
pub mod environments;
pub mod events;
pub mod inside;
pub mod judge;
pub mod pipeline;
pub mod plan;
pub mod reads;
pub mod status;
pub mod verdict;
