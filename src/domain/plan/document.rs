//! A plan document as it was written: a tree of values that know their place.
//!
//! Both formats become the same tree, so that everything after this file speaks
//! of lines and columns without knowing which format they are in.

mod json;
mod yaml;

#[cfg(test)]
mod tests;

use crate::domain::plan::problem::{Problem, ProblemCode, quoted};

/// The deepest nesting that is read. A plan needs six levels; the limit keeps
/// a hostile document from exhausting the stack of whoever walks the tree.
pub const MAX_DEPTH: usize = 128;

/// The longest document that is read, in bytes: 10,000 tasks with a page of text each.
pub const MAX_BYTES: usize = 8 << 20;

/// A place in a document; the first character of a document is line 1, column 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line, from 1. Lines end with LF, CR LF or CR.
    pub line: u32,
    /// The column in characters (not bytes), from 1.
    pub column: u32,
}

impl Place {
    /// Where every document begins.
    pub const START: Self = Self { line: 1, column: 1 };

    /// A place; both from 1.
    pub fn new(line: u32, column: u32) -> Self {
        Self { line, column }
    }
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON; comments and trailing commas are accepted.
    Json,
    /// YAML 1.2, one document, without anchors, aliases, tags and merge keys.
    Yaml,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where it starts; `None` for a value that came from no text.
    pub place: Option<Place>,
}

/// What JSON and YAML have in common.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, or nothing at all in YAML.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number, including whole ones that an `i64` cannot hold.
    Float(f64),
    /// A string.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Named values in the order written. A reader of text never lets a name occur twice.
    Map(Vec<(Key, Node)>),
}

/// The name of a value in a map, and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name.
    pub text: String,
    /// Where it starts; `None` for a name that came from no text.
    pub place: Option<Place>,
}

impl Node {
    /// A value written at `place`.
    pub fn at(value: Value, place: Place) -> Self {
        Self { value, place: Some(place) }
    }

    /// A value that came from no text, such as a parameter of a call.
    pub fn bare(value: Value) -> Self {
        Self { value, place: None }
    }

    /// What it is, for a sentence that says what was found: `the number 3`, `a list`.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(number) => format!("the number {number}"),
            Value::Float(number) => format!("the number {number}"),
            Value::Text(text) => format!("the text {}", quoted(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

impl Key {
    /// A name written at `place`.
    pub fn at(text: impl Into<String>, place: Place) -> Self {
        Self { text: text.into(), place: Some(place) }
    }

    /// A name that came from no text.
    pub fn bare(text: impl Into<String>) -> Self {
        Self { text: text.into(), place: None }
    }
}

/// Why a text is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
    /// Where it is wrong; `None` if the document as a whole is.
    pub place: Option<Place>,
}

impl SyntaxError {
    fn new(message: impl Into<String>, hint: impl Into<String>, place: Place) -> Self {
        Self { message: message.into(), hint: hint.into(), place: Some(place) }
    }

    fn too_deep(place: Place) -> Self {
        Self::new(
            format!("the document is nested more than {MAX_DEPTH} levels deep"),
            "a plan needs six levels; look for brackets that are never closed",
            place,
        )
    }

    fn empty() -> Self {
        Self::new(
            "the document is empty",
            "write a plan: {\"tasks\": [{\"id\": 1, \"task\": \"…\", \"files\": [\"…\"]}]}",
            Place::START,
        )
    }

    /// `name` occurs at `place` although it already stands in line `first`.
    fn duplicate_key(name: &str, first: Option<Place>, place: Place) -> Self {
        let before = first.map_or_else(String::new, |first| format!(" (first in line {})", first.line));
        Self::new(
            format!("the key {} occurs twice in one map{before}", quoted(name)),
            "keep one of them; which one counts is not guessed",
            place,
        )
    }
}

impl From<SyntaxError> for Problem {
    fn from(error: SyntaxError) -> Self {
        Self::error(ProblemCode::Syntax, error.message, error.hint).at(error.place)
    }
}

/// Reads `text`. A byte order mark in front of it is passed over.
///
/// # Errors
/// If `text` is longer than [`MAX_BYTES`], empty, not in `format`, nested deeper
/// than [`MAX_DEPTH`], or names a key twice in one map.
pub fn read(text: &str, format: Format) -> Result<Node, SyntaxError> {
    if text.len() > MAX_BYTES {
        return Err(SyntaxError {
            message: format!(
                "the document has {} bytes, and {MAX_BYTES} is the most that is read",
                text.len()
            ),
            hint: "split it into several plans".to_owned(),
            place: None,
        });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Json => json::read(text),
        Format::Yaml => yaml::read(text),
    }
}
