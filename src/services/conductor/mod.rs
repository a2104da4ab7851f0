//! The conductor: the process that runs one plan. It decides from what is recorded, records
//! what it decided, and then acts; killed at any point, the next one goes on.

pub mod advising;
pub mod agenda;
pub mod attempt;
pub mod concluding;
pub mod continuing;
mod crashing;
pub mod deploying;
pub mod desk;
mod following;
pub mod lacking;
pub mod launching;
pub mod listening;
pub mod prompt;
mod reclaiming;
pub mod recovering;
mod reporting;
pub mod running;
pub mod saving;
pub mod seating;
pub mod stages;
pub mod starting;
pub mod tidying;
pub mod vitals;

pub use running::conduct;
pub use vitals::{Socket, Vitals};
