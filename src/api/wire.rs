//! The wire types of the contract: what comes in and goes out at every door.
//!
//! Field names are fixed; fields may be added. Every optional field is left out where
//! it has no value, so that small models read small answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod answers;
mod conducting;
mod environments;
mod following;
mod health;
mod money;
mod pipeline;
mod plan;
mod questions;
mod reads;
mod routing;
mod status;

pub use answers::*;
pub use conducting::*;
pub use environments::*;
pub use following::*;
pub use health::*;
pub use money::*;
pub use pipeline::*;
pub use plan::*;
pub use questions::*;
pub use reads::*;
pub use routing::*;
pub use status::*;

/// A task's id: an integer or a string, as the plan wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Id {
    /// An integer.
    Number(i64),
    /// A string.
    Text(String),
}

impl From<&crate::base::ids::TaskId> for Id {
    fn from(id: &crate::base::ids::TaskId) -> Self {
        match id.as_str().parse() {
            Ok(number) if id.is_number() => Self::Number(number),
            _ => Self::Text(id.as_str().to_owned()),
        }
    }
}

impl From<Id> for crate::base::ids::TaskId {
    fn from(id: Id) -> Self {
        match id {
            Id::Number(number) => Self::number(number),
            Id::Text(text) => Self::text(text),
        }
    }
}

/// One value or a list of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// A list.
    Many(Vec<T>),
    /// A single value.
    One(T),
}

impl<T> OneOrMany<T> {
    /// The values as a list.
    pub fn into_vec(self) -> Vec<T> {
        match self {
            Self::Many(values) => values,
            Self::One(value) => vec![value],
        }
    }
}

/// A JSON object of any shape.
pub type Object = serde_json::Map<String, Value>;
