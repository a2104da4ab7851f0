//! JSON, with comments and trailing commas.

use std::collections::HashMap;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::{Key, MAX_DEPTH, Node, Place, SyntaxError, Value};

/// A map of so few names needs no index of them.
const FEW: usize = 24;

pub(super) fn read(text: &str) -> Result<Node, SyntaxError> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed =
        parse_to_ast(text, &CollectOptions::default(), &options).map_err(|error| refuse(&error, text))?;
    let root = parsed.value.ok_or_else(SyntaxError::empty)?;
    Reader { cursor: Cursor::new(text) }.node(root, 0)
}

fn refuse(error: &ParseError, text: &str) -> SyntaxError {
    let place = Cursor::new(text).place(error.range().start);
    let hint = match error.kind() {
        ParseErrorKind::NestingDepthExceeded => return SyntaxError::too_deep(place),
        ParseErrorKind::UnterminatedArray | ParseErrorKind::UnterminatedObject => {
            "this bracket is never closed; the document may have been cut off"
        }
        ParseErrorKind::ExpectedComma => "put a comma between the two values",
        ParseErrorKind::SingleQuotedStringsNotAllowed
        | ParseErrorKind::ExpectedStringObjectProperty
        | ParseErrorKind::UnexpectedWord => "names and texts stand in double quotes",
        ParseErrorKind::MultipleRootJsonValues => "a plan is one JSON object; remove what follows it",
        ParseErrorKind::String(_) => {
            "a text ends with a double quote in the line where it begins; write \\n for a new line, \\\\ for a backslash"
        }
        _ => "the document must be JSON; comments and trailing commas are accepted",
    };
    SyntaxError::new(format!("not JSON: {}", lower_first(&error.kind().to_string())), hint, place)
}

/// The parser's sentences start with a capital; here they stand after a colon.
fn lower_first(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

struct Reader<'t> {
    cursor: Cursor<'t>,
}

impl Reader<'_> {
    fn node(&mut self, value: ast::Value<'_>, depth: usize) -> Result<Node, SyntaxError> {
        let place = self.cursor.place(value.range().start);
        if depth >= MAX_DEPTH && matches!(value, ast::Value::Array(_) | ast::Value::Object(_)) {
            return Err(SyntaxError::too_deep(place));
        }
        let value = match value {
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
            ast::Value::NumberLit(literal) => number(literal.value),
            ast::Value::StringLit(literal) => Value::Text(literal.value.into_owned()),
            ast::Value::Array(array) => {
                let items = array.elements.into_iter().map(|item| self.node(item, depth + 1));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            ast::Value::Object(object) => self.map(object, depth)?,
        };
        Ok(Node::at(value, place))
    }

    fn map(&mut self, object: ast::Object<'_>, depth: usize) -> Result<Value, SyntaxError> {
        // Few names are looked through faster than they are digested.
        let is_small = object.properties.len() <= FEW;
        let mut seen = HashMap::with_capacity(if is_small { 0 } else { object.properties.len() });
        let mut entries: Vec<(Key, Node)> = Vec::with_capacity(object.properties.len());
        for property in object.properties {
            let place = self.cursor.place(property.range.start);
            let key = Key::at(property.name.into_string(), place);
            let first = if is_small {
                entries.iter().find(|(known, _)| known.text == key.text).and_then(|(known, _)| known.place)
            } else {
                seen.insert(key.text.clone(), place)
            };
            if first.is_some() {
                return Err(SyntaxError::duplicate_key(&key.text, first, place));
            }
            entries.push((key, self.node(property.value, depth + 1)?));
        }
        Ok(Value::Map(entries))
    }
}

fn number(text: &str) -> Value {
    // The parser let only numbers through, so the last step always succeeds.
    text.parse().map(Value::Int).unwrap_or_else(|_| Value::Float(text.parse().unwrap_or(f64::NAN)))
}

/// Turns byte offsets into places. Offsets that only grow cost one pass over the
/// text in all, however long its lines are.
struct Cursor<'t> {
    text: &'t str,
    offset: usize,
    place: Place,
}

impl<'t> Cursor<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, offset: 0, place: Place::START }
    }

    fn place(&mut self, offset: usize) -> Place {
        if offset < self.offset {
            *self = Self::new(self.text);
        }
        let rest = &self.text[self.offset..];
        let mut chars = rest.char_indices().peekable();
        let start = self.offset;
        while let Some((at, c)) = chars.next_if(|(at, _)| start + at < offset) {
            let ends_line = c == '\n' || c == '\r' && chars.peek().is_none_or(|(_, next)| *next != '\n');
            if ends_line {
                self.place = Place::new(self.place.line.saturating_add(1), 1);
            } else {
                self.place.column = self.place.column.saturating_add(1);
            }
            self.offset = start + at + c.len_utf8();
        }
        self.place
    }
}
