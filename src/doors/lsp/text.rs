//! Places in a text: the protocol counts lines and UTF-16 units (or bytes), we count bytes.

use std::ops::Range as Span;

use super::types::{Position, Range, TextDocumentContentChangeEvent};
use crate::domain::plan::document::Place;

/// What a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Bytes.
    Utf8,
    /// UTF-16 code units, unless another was agreed on.
    #[default]
    Utf16,
}

/// Where the lines of a text begin. A line ends with LF, CR LF, or CR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    /// The lines of a text; even an empty one has a line.
    pub fn of(text: &str) -> Self {
        let mut starts = vec![0];
        scan(text, 0, text.len(), &mut starts);
        Self { starts }
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// The line, from 0, of an offset.
    pub fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset).saturating_sub(1)
    }

    /// The bytes of a line without its end.
    pub fn span(&self, text: &str, line: usize) -> Span<usize> {
        let Some(&start) = self.starts.get(line) else { return text.len()..text.len() };
        let end = self.starts.get(line + 1).copied().unwrap_or(text.len());
        start..start + text[start..end].trim_end_matches(['\n', '\r']).len()
    }

    /// The offset of a position. Past the end of a line is its end, past the last line the end of the text.
    pub fn offset(&self, text: &str, position: Position, encoding: Encoding) -> usize {
        let line = position.line as usize;
        if line >= self.count() {
            return text.len();
        }
        let span = self.span(text, line);
        let column = position.character as usize;
        let within = &text[span.clone()];
        let mut units = 0;
        for (at, c) in within.char_indices() {
            let width = match encoding {
                Encoding::Utf8 => c.len_utf8(),
                Encoding::Utf16 => c.len_utf16(),
            };
            // A position inside of a character is before it.
            if units + width > column {
                return span.start + at;
            }
            units += width;
        }
        span.end
    }

    /// The position of an offset.
    pub fn position(&self, text: &str, offset: usize, encoding: Encoding) -> Position {
        let offset = floor(text, offset.min(text.len()));
        let line = self.line_of(offset);
        let before = &text[self.starts[line]..offset];
        let column = match encoding {
            Encoding::Utf8 => before.len(),
            Encoding::Utf16 if before.is_ascii() => before.len(),
            Encoding::Utf16 => before.chars().map(char::len_utf16).sum(),
        };
        Position::new(number(line), number(column))
    }

    /// The range of a span.
    pub fn range(&self, text: &str, span: &Span<usize>, encoding: Encoding) -> Range {
        Range::new(self.position(text, span.start, encoding), self.position(text, span.end, encoding))
    }

    /// The offset of a place that a checker told: a line and a column in characters, both from 1. A byte
    /// order mark in front of the text was passed over by it.
    pub fn offset_of(&self, text: &str, place: Place) -> usize {
        let line = (place.line as usize).saturating_sub(1);
        if line >= self.count() {
            return text.len();
        }
        let mut span = self.span(text, line);
        if line == 0 && text.starts_with('\u{feff}') {
            span.start += '\u{feff}'.len_utf8();
        }
        let within = &text[span.clone()];
        let column = (place.column as usize).saturating_sub(1);
        within.char_indices().nth(column).map_or(span.end, |(at, _)| span.start + at)
    }

    /// Adjusts to the text `after` in which `length` bytes stand where `removed` was.
    fn splice(&mut self, after: &str, removed: &Span<usize>, length: usize) {
        // A line end before the change may have become a part of another one, so its line is read again.
        let kept = self.starts.partition_point(|&start| start < removed.start.max(1)).max(1);
        let rest = self.starts.partition_point(|&start| start <= removed.end);
        let moved: Vec<usize> = self.starts[rest.max(kept)..]
            .iter()
            .map(|start| start - (removed.end - removed.start) + length)
            .collect();
        self.starts.truncate(kept);
        let from = self.starts.last().copied().unwrap_or(0);
        scan(after, from, removed.start + length, &mut self.starts);
        self.starts.extend(moved);
    }
}

/// Adds where lines begin whose predecessor ends in `from..to`.
fn scan(text: &str, from: usize, to: usize, starts: &mut Vec<usize>) {
    let bytes = text.as_bytes();
    for at in from..to {
        let ends = match bytes[at] {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        if ends {
            starts.push(at + 1);
        }
    }
}

/// Applies a change to a text and its lines.
pub fn apply(
    text: &mut String,
    lines: &mut Lines,
    change: TextDocumentContentChangeEvent,
    encoding: Encoding,
) {
    let Some(range) = change.range else {
        *text = change.text;
        *lines = Lines::of(text);
        return;
    };
    let start = lines.offset(text, range.start, encoding);
    let end = lines.offset(text, range.end, encoding).max(start);
    text.replace_range(start..end, &change.text);
    lines.splice(text, &(start..end), change.text.len());
}

/// What the lines of a text end with, by its first one.
pub fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// The last place at or before an offset where a character begins.
pub fn floor(text: &str, mut offset: usize) -> usize {
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_offsets_are_two_names_of_one_place() {
        let text = "ab\r\nc\u{1F600}d\r\n\né\rx";
        let lines = Lines::of(text);
        assert_eq!(lines.count(), 5);
        // Line, column in UTF-16, column in UTF-8, offset.
        let table = [
            (0, 0, 0, 0),
            (0, 2, 2, 2),
            (1, 0, 0, 4),
            (1, 1, 1, 5),
            (1, 3, 5, 9),
            (1, 4, 6, 10),
            (2, 0, 0, 12),
            (3, 1, 2, 15),
            (4, 0, 0, 16),
            (4, 1, 1, 17),
        ];
        for (line, utf16, utf8, offset) in table {
            for (column, encoding) in [(utf16, Encoding::Utf16), (utf8, Encoding::Utf8)] {
                let position = Position::new(line, column);
                assert_eq!(lines.offset(text, position, encoding), offset, "{position:?} {encoding:?}");
                assert_eq!(lines.position(text, offset, encoding), position, "{offset} {encoding:?}");
            }
        }
        // What lies nowhere is moved to where it could lie.
        for (line, column, offset) in [(0, 99, 2), (1, 2, 5), (99, 0, 17), (2, 7, 12)] {
            assert_eq!(lines.offset(text, Position::new(line, column), Encoding::Utf16), offset);
        }
        assert_eq!(lines.offset_of(text, Place::new(2, 3)), 9);
        assert_eq!(Lines::of("\u{feff}a").offset_of("\u{feff}a", Place::START), 3);
    }

    #[test]
    fn a_changed_text_has_the_lines_of_a_new_one() {
        let pieces = ["", "x", "\n", "\r", "\r\n", "a\nb", "\n\n", "é\r\r\n", "\n\r"];
        for before in ["", "a", "a\r\nb\n", "\r\r\r", "\n\r\n\r", "one\ntwo\r\nthree\rfour"] {
            let lines = Lines::of(before);
            for start in 0..=before.len() {
                for end in start..=before.len() {
                    for piece in pieces {
                        let (mut text, mut changed) = (before.to_owned(), lines.clone());
                        text.replace_range(start..end, piece);
                        changed.splice(&text, &(start..end), piece.len());
                        assert_eq!(changed, Lines::of(&text), "{before:?} {start}..{end} {piece:?}");
                    }
                }
            }
        }
    }
}
