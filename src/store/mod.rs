//! The database: one SQLite file for all projects of a person. Current rows and the
//! events that explain them change in one transaction.
//!
//! **Invariant:** no SQL outside this folder, and nothing in it knows processes or git.

pub mod approvals;
pub mod attempts;
pub mod claims;
pub mod conductors;
pub mod connection;
pub mod edits;
pub mod environments;
pub mod error;
pub mod events;
pub mod fleet;
pub mod foreign;
pub mod health;
pub mod landings;
mod migrate;
pub mod money;
pub mod pipelines;
pub mod plans;
pub mod watch;

pub use connection::{Check, Store, Tx};
pub use error::StoreError;
