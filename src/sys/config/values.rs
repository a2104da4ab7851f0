//! Values that the file writes as plain text or numbers and that mean more.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::domain::plan::{CommandLine, Priority};
use crate::domain::spelling::shell_sign;

/// 0 to 10, 10 first, or a name: high is 9, medium 5, low 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PriorityValue {
    /// By name.
    Name(PriorityName),
    /// By number.
    Number(#[schemars(range(min = 0, max = 10))] u8),
}

/// Names for priorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PriorityName {
    /// 9.
    High,
    /// 5.
    Medium,
    /// 2.
    Low,
}

impl PriorityValue {
    /// As the scheduler counts it.
    pub fn priority(self) -> Priority {
        Priority(match self {
            Self::Name(PriorityName::High) => 9,
            Self::Name(PriorityName::Medium) => 5,
            Self::Name(PriorityName::Low) => 2,
            Self::Number(number) => number,
        })
    }
}

/// A program and its arguments: an array, or a string that is split as a shell would, and never run by one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Command {
    /// To be split.
    Line(String),
    /// As it is.
    Words(Vec<String>),
}

impl Command {
    /// The program and its arguments, or what is wrong with them.
    pub fn parse(&self) -> Result<CommandLine, String> {
        if let Self::Line(line) = self
            && let Some(sign) = shell_sign(line)
        {
            return Err(format!("has `{sign}` in it, which only a shell understands, and none reads it"));
        }
        let words = match self {
            Self::Line(line) => shell_words::split(line).map_err(|_| "has a quote that is not closed")?,
            Self::Words(words) => words.clone(),
        };
        match words.first() {
            None => Err("is an empty command".to_owned()),
            Some(program) if program.trim().is_empty() => Err("names no program".to_owned()),
            Some(_) if words.iter().any(|word| word.contains('\0')) => Err("contains a NUL".to_owned()),
            Some(_) => Ok(CommandLine(words)),
        }
    }
}

impl JsonSchema for Command {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Command".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A program and its arguments: an array, or a string that is split as a shell would, and never run by one.",
            "format": "command",
            "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 }
            ]
        })
    }
}

/// Declares a string with a format of its own, which the checker looks into.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident $format:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 1, "format": $format })
            }
        }
    };
}

text_type! {
    /// A name of something else in the file, or a new one.
    Name "name"
}
text_type! {
    /// A regular expression.
    Regex "regex"
}
text_type! {
    /// A pattern of paths that can be owned.
    PathPattern "path-pattern"
}
text_type! {
    /// A variable's name, `*` for any letters.
    EnvPattern "env-pattern"
}
text_type! {
    /// A folder or file, absolute, below `~/`, or relative to the tree that is worked in.
    CachePath "cache-path"
}
text_type! {
    /// An address of http, https or tcp; braces stand for what is filled in.
    Url "url"
}
