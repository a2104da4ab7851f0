//! Kapell lets many coding agents and people work in one repository at once
//! without destroying each other's work.
//!
//! # Layout
//!
//! The floors, from the top; imports point down only (`tests/tidy.rs` holds it):
//!
//! - [`app`]: wiring: which door was asked for, with which surroundings.
//! - [`doors`]: the ways in (MCP, JSON-RPC, command line). They format, they decide nothing.
//! - [`api`]: the contract: one table of methods, wire types, errors.
//! - [`services`]: what the methods do: planning, claiming, dispatching, judging, landing, and the conductor.
//! - [`store`] and [`sys`]: the database; processes, git and agents. They never meet.
//! - [`domain`]: pure decisions on plain data.
//! - [`base`]: ids, clock, paths.

pub mod api;
pub mod app;
pub mod base;
pub mod domain;
pub mod doors;
pub mod services;
pub mod store;
pub mod sys;
