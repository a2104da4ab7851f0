//! JSON as far as it is written.

use std::ops::Range;

use super::{Entry, Item, Shape};
use crate::domain::plan::document::MAX_DEPTH;

pub(super) fn read(text: &str) -> Option<Item> {
    let mut reader = Reader { text, at: 0 };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    reader.blank();
    reader.value(0)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes over blanks and comments.
    fn blank(&mut self) {
        loop {
            match self.peek() {
                Some(byte) if byte.is_ascii_whitespace() => self.at += 1,
                Some(b'/') => {
                    let rest = &self.text[self.at..];
                    let length = if rest.starts_with("//") {
                        rest.find('\n').unwrap_or(rest.len())
                    } else if let Some(comment) = rest.strip_prefix("/*") {
                        comment.find("*/").map_or(rest.len(), |end| end + 4)
                    } else {
                        return;
                    };
                    self.at += length;
                }
                _ => return,
            }
        }
    }

    /// The value that begins here, if one does.
    fn value(&mut self, depth: usize) -> Option<Item> {
        let start = self.at;
        let shape = match self.peek()? {
            b'{' | b'[' if depth >= MAX_DEPTH => {
                // Whoever nests like this is not being helped by an outline.
                self.at = self.text.len();
                return None;
            }
            b'{' => self.map(depth),
            b'[' => self.list(depth),
            b'"' => Shape::Scalar(self.string()),
            b',' | b':' | b'}' | b']' => return None,
            _ => Shape::Scalar(self.word().to_owned()),
        };
        Some(Item { shape, span: start..self.at })
    }

    fn list(&mut self, depth: usize) -> Shape {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.blank();
            match self.peek() {
                None => break,
                Some(b']') => {
                    self.at += 1;
                    break;
                }
                // The bracket was forgotten: this one closes what is around it.
                Some(b'}') => break,
                Some(b',' | b':') => self.at += 1,
                Some(_) => items.extend(self.value(depth + 1)),
            }
        }
        Shape::List(items)
    }

    fn map(&mut self, depth: usize) -> Shape {
        self.at += 1;
        let mut entries = Vec::new();
        loop {
            self.blank();
            match self.peek() {
                None => break,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(b']') => break,
                Some(b',' | b':') => self.at += 1,
                Some(b'{' | b'[') => drop(self.value(depth + 1)),
                Some(first) => {
                    let start = self.at;
                    let key = if first == b'"' { self.string() } else { self.word().to_owned() };
                    let key_span: Range<usize> = start..self.at;
                    self.blank();
                    let mut value = None;
                    if self.peek() == Some(b':') {
                        self.at += 1;
                        self.blank();
                        value = self.value(depth + 1);
                    }
                    entries.push(Entry { key, key_span, value });
                }
            }
        }
        Shape::Map(entries)
    }

    /// A text in quotes; one without an end ends with its line.
    fn string(&mut self) -> String {
        self.at += 1;
        let mut text = String::new();
        let mut chars = self.text[self.at..].char_indices();
        let mut end = self.text.len() - self.at;
        let mut after = end;
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    (end, after) = (at, at + 1);
                    break;
                }
                '\n' | '\r' => {
                    (end, after) = (at, at);
                    break;
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('b') => text.push('\u{8}'),
                    Some('f') => text.push('\u{c}'),
                    Some('u') => {
                        let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                        text.push(code.unwrap_or('\u{fffd}'));
                    }
                    Some(c) => text.push(c),
                    None => {}
                },
                c => text.push(c),
            }
        }
        debug_assert!(end <= after);
        self.at += after;
        text
    }

    /// A number, a word, or what is none yet.
    fn word(&mut self) -> &str {
        let rest = &self.text[self.at..];
        let is_end = |c: char| c.is_whitespace() || ",:{}[]\"".contains(c);
        let length = rest.find(is_end).unwrap_or(rest.len());
        // Something is always taken, so that a reader gets on.
        let length = length.max(rest.chars().next().map_or(0, char::len_utf8));
        self.at += length;
        &rest[..length]
    }
}
