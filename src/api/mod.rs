//! The contract: one table of methods, its wire types, and errors. Doors serve it, they
//! add nothing; [`methods`] convert between wire and services.

pub mod client;
pub mod error;
pub mod message;
pub mod methods;
pub mod open_api;
pub mod reads;
pub mod relayed;
pub mod resources;
pub mod schema;
pub mod table;
pub mod wire;

pub use client::Client;
pub use error::ApiError;
