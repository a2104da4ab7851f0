//! Pure decisions on plain data: no I/O, no clock, no serialisation.

pub mod advice;
pub mod attempt;
pub mod budget;
pub mod claim;
pub mod conducting;
pub mod deadlock;
pub mod delegation;
pub mod environment;
pub mod halving;
pub mod health;
pub mod overlap;
pub mod pattern;
pub mod pipeline;
pub mod plan;
pub mod prices;
pub mod refusal;
pub mod route;
pub mod schedule;
pub mod spelling;
pub mod standing;
pub mod task;
pub mod usage;
pub mod verdict;
pub mod violation;
pub mod writes;
