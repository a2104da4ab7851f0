//! The outline of a plan as it is being written: every value with the bytes that it takes.
//!
//! [`document`](super::document) reads what is to be believed, and stops at the first mistake. This reads
//! what an editor shows: whatever can be made out of a text that is half typed.

mod json;
mod yaml;

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::domain::plan::document::{Format, MAX_BYTES};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub shape: Shape,
    /// Its bytes, with quotes and brackets.
    pub span: Range<usize>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A text, a number, or a word.
    Scalar(String),
    /// Values in order.
    List(Vec<Item>),
    /// Named values in order.
    Map(Vec<Entry>),
}

/// A named value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub key: String,
    /// The bytes of the name, with quotes.
    pub key_span: Range<usize>,
    /// The value, unless it is not written yet.
    pub value: Option<Item>,
}

/// The outline of a text; nothing where nothing can be made out.
pub fn read(text: &str, format: Format) -> Option<Item> {
    if text.len() > MAX_BYTES {
        return None;
    }
    match format {
        Format::Json => json::read(text),
        Format::Yaml => yaml::read(text),
    }
}

impl Item {
    /// The value of that name, if it is a map that has one.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key)?.value.as_ref()
    }

    /// The entry of that name, if it is a map that has one.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Its entries, if it is a map.
    pub fn entries(&self) -> &[Entry] {
        match &self.shape {
            Shape::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Its items, if it is a list.
    pub fn items(&self) -> &[Self] {
        match &self.shape {
            Shape::List(items) => items,
            _ => &[],
        }
    }

    /// Its text, if it is no list and no map.
    pub fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The scalar, key, list or map that begins at an offset, the innermost of several: a key before the
    /// map that it begins.
    pub fn starting_at(&self, offset: usize) -> Option<Range<usize>> {
        let mut at = self;
        loop {
            let within = |span: &Range<usize>| span.start <= offset && offset < span.end.max(span.start + 1);
            let inner = match &at.shape {
                Shape::Scalar(_) => None,
                Shape::List(items) => {
                    let after = items.partition_point(|item| item.span.start <= offset);
                    items[..after].last().filter(|item| within(&item.span))
                }
                Shape::Map(entries) => {
                    let after = entries.partition_point(|entry| entry.key_span.start <= offset);
                    let entry = entries[..after].last();
                    if let Some(entry) = entry.filter(|entry| entry.key_span.start == offset) {
                        return Some(entry.key_span.clone());
                    }
                    entry.and_then(|entry| entry.value.as_ref()).filter(|value| within(&value.span))
                }
            };
            match inner {
                Some(inner) => at = inner,
                None => return (at.span.start == offset).then(|| at.span.clone()),
            }
        }
    }

    /// The way from the root to an offset: keys and numbers, and what stands at its end.
    pub fn way_to(&self, offset: usize) -> Way<'_> {
        let mut steps = Vec::new();
        let mut at = self;
        loop {
            let touches = |span: &Range<usize>| span.start <= offset && offset <= span.end;
            match &at.shape {
                Shape::Scalar(_) => return Way { steps, end: End::Value(at) },
                Shape::List(items) => match items.iter().position(|item| touches(&item.span)) {
                    Some(index) => {
                        steps.push(Step::Item(index));
                        at = &items[index];
                    }
                    None => return Way { steps, end: End::Value(at) },
                },
                Shape::Map(entries) => {
                    let on_key = entries.iter().find(|entry| touches(&entry.key_span));
                    if let Some(entry) = on_key {
                        return Way { steps, end: End::Key(at, entry) };
                    }
                    let in_value = entries.iter().find_map(|entry| {
                        entry.value.as_ref().filter(|value| touches(&value.span)).map(|value| (entry, value))
                    });
                    match in_value {
                        Some((entry, value)) => {
                            steps.push(Step::Key(&entry.key));
                            at = value;
                        }
                        None => return Way { steps, end: End::Value(at) },
                    }
                }
            }
        }
    }
}

/// The way to a place in an outline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way<'i> {
    /// Keys and numbers, from the root.
    pub steps: Vec<Step<'i>>,
    /// What is there.
    pub end: End<'i>,
}

/// A step of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'i> {
    /// Into the value of that name.
    Key(&'i str),
    /// Into the item of that number, from 0.
    Item(usize),
}

/// What is at the end of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End<'i> {
    /// A name in a map.
    Key(&'i Item, &'i Entry),
    /// A value; a list or map where the place is between its parts.
    Value(&'i Item),
}
