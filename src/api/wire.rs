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
#[serde(untagged, expecting = "an id is a whole number or a string")]
pub enum Id {
    /// An integer.
    Number(i64),
    /// A string.
    Text(String),
}

/// Reads a priority, which is an [`Id`] by its kind, so that whoever wrote another is told of which field that is.
fn priority<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Id>, D::Error> {
    use serde::de::Error as _;
    let value = Option::<Value>::deserialize(from)?.filter(|value| !value.is_null());
    let read = |value| Id::deserialize(&value).map_err(|_| value);
    value.map(read).transpose().map_err(|value| {
        D::Error::custom(format!(
            "priority is {value}; it is a whole number from 0 to 10, or high, medium or low"
        ))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_of_another_kind_is_told_with_its_name() {
        for (priority, is_one) in
            [("7", true), ("\"high\"", true), ("null", true), ("7.5", false), ("true", false)]
        {
            let text = format!("{{\"task\": \"t\", \"priority\": {priority}}}");
            let read = serde_json::from_str::<DispatchParams>(&text).map_err(|error| error.to_string());
            let expected =
                format!("priority is {priority}; it is a whole number from 0 to 10, or high, medium or low");
            assert_eq!(read.is_ok(), is_one, "{read:?}");
            assert!(read.is_ok() || read.is_err_and(|why| why.starts_with(&expected)), "{priority}");
        }
    }
}
