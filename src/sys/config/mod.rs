//! `kapell.toml`: the project's file over the person's, over defaults.
//!
//! The way of a file: [`check()`] reads it with the place of every value, holds it
//! against the [`schema()`] made from [`types`], and follows every name to what it
//! names; [`load()`] does the same to both files, lays one over the other and
//! fills in defaults, which gives the [`Config`] that the program uses.
//!
//! [`ecosystem`] finds the commands that a project does not configure, and
//! [`starter()`] writes a first file.

pub mod check;
mod code;
mod document;
pub mod ecosystem;
pub mod load;
mod references;
pub mod resolved;
mod schema;
mod shown;
pub mod starter;
pub mod types;
pub mod values;

pub use check::{ConfigProblem, Severity, check, check_files};
pub use code::ConfigCode;
pub use ecosystem::Ecosystem;
pub use load::load;
pub use references::APPROVAL;
pub use resolved::Config;
pub use schema::schema;
pub use shown::{Shown, shown};
pub use starter::starter;
pub use types::ProviderKind;

#[cfg(test)]
mod tests;
