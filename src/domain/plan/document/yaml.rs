//! YAML 1.2 with the core schema, less what can repeat or disguise a value:
//! anchors, aliases, tags and merge keys.
//!
//! The tree is built from the parser's events on a stack of its own, so neither
//! deep nesting nor a bomb of aliases costs more than the text itself.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use super::{Key, MAX_DEPTH, Node, Place, SyntaxError, Value};

pub(super) fn read(text: &str) -> Result<Node, SyntaxError> {
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| refuse(&error))?;
        builder.take(event, place_of(&span.start))?;
    }
    match builder.root {
        Some(Node { value: Value::Null, .. }) | None => Err(SyntaxError::empty()),
        Some(root) => Ok(root),
    }
}

/// The parser counts lines from 1 and columns, in characters, from 0.
fn place_of(marker: &Marker) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place::new(number(marker.line().max(1)), number(marker.col() + 1))
}

fn refuse(error: &ScanError) -> SyntaxError {
    let info = error.info();
    let hint = if info.contains("tab") {
        "indent with spaces; YAML does not allow tabs there"
    } else if info.contains("unknown anchor") {
        return no_alias(place_of(error.marker()));
    } else {
        "look at the indentation and the quotes here; a text with `: `, ` #` or a leading `*`, `&`, `!`, `[`, `{` must stand in quotes"
    };
    SyntaxError::new(format!("not YAML: {info}"), hint, place_of(error.marker()))
}

fn no_alias(place: Place) -> SyntaxError {
    SyntaxError::new(
        "anchors (`&`) and aliases (`*`) are not read in a plan",
        "write the value out; put quotes around a text or a pattern that starts with `*` or `&`",
        place,
    )
}

/// What is being built: the open lists and maps, outermost first.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    documents: usize,
    root: Option<Node>,
}

enum Open {
    List { items: Vec<Node>, place: Place },
    Map { entries: Vec<(Key, Node)>, seen: HashMap<String, Place>, key: Option<Key>, place: Place },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), SyntaxError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(SyntaxError::new(
                        "there is a second document in the file",
                        "a plan is one document; remove the `---` or put the rest into a file of its own",
                        place,
                    ));
                }
                Ok(())
            }
            Event::Alias(_) => Err(no_alias(place)),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_properties(anchor, tag.is_some(), place)?;
                if self.awaits_key() {
                    self.name(&text, style, place)
                } else {
                    self.add(Node::at(scalar(&text, style), place))
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Open::List { items: Vec::new(), place }, anchor, tag.is_some(), place)
            }
            Event::MappingStart(anchor, tag) => {
                let map = Open::Map { entries: Vec::new(), seen: HashMap::new(), key: None, place };
                self.open(map, anchor, tag.is_some(), place)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { items, place }) => self.add(Node::at(Value::List(items), place)),
                Some(Open::Map { entries, place, .. }) => self.add(Node::at(Value::Map(entries), place)),
                None => Ok(()),
            },
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: None, .. }))
    }

    fn open(&mut self, open: Open, anchor: usize, tagged: bool, place: Place) -> Result<(), SyntaxError> {
        refuse_properties(anchor, tagged, place)?;
        if self.awaits_key() {
            return Err(SyntaxError::new(
                "a key must be a plain text, not a list or a map",
                "put quotes around a key that contains brackets",
                place,
            ));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(SyntaxError::too_deep(place));
        }
        self.open.push(open);
        Ok(())
    }

    /// The name of the next value of the innermost map.
    fn name(&mut self, text: &str, style: ScalarStyle, place: Place) -> Result<(), SyntaxError> {
        if text == "<<" && style == ScalarStyle::Plain {
            return Err(SyntaxError::new(
                "merge keys (`<<`) are not read in a plan",
                "write the keys out where they apply; rules of the whole plan go under `rules`",
                place,
            ));
        }
        if let Some(Open::Map { seen, key, .. }) = self.open.last_mut() {
            if let Some(first) = seen.insert(text.to_owned(), place) {
                return Err(SyntaxError::duplicate_key(text, Some(first), place));
            }
            *key = Some(Key::at(text, place));
        }
        Ok(())
    }

    /// Adds a finished value to whatever is open.
    fn add(&mut self, node: Node) -> Result<(), SyntaxError> {
        match self.open.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => entries.extend(key.take().map(|key| (key, node))),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

fn refuse_properties(anchor: usize, tagged: bool, place: Place) -> Result<(), SyntaxError> {
    if tagged {
        return Err(SyntaxError::new(
            "tags (`!`) are not read in a plan",
            "remove the tag; put quotes around a text or a pattern that starts with `!`",
            place,
        ));
    }
    // The parser numbers anchors from 1; 0 is none.
    if anchor > 0 { Err(no_alias(place)) } else { Ok(()) }
}

/// A scalar by YAML's core schema; whatever is quoted or a block is text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    let radix = |digits: &str, radix| {
        // `from_str_radix` would accept a second sign here.
        let is_digits = digits.chars().all(|c| c.is_digit(radix));
        is_digits.then(|| i64::from_str_radix(digits, radix).ok()).flatten().map(Value::Int)
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    // Rust reads more than YAML does (`inf`, `infinity`), but nothing of digits and these signs.
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && text.bytes().any(|b| b.is_ascii_digit());
    if !is_number {
        return None;
    }
    text.parse().map(Value::Int).ok().or_else(|| text.parse().map(Value::Float).ok())
}
