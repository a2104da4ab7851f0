//! YAML as far as it is written.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{Entry, Item, Shape};
use crate::domain::plan::document::MAX_DEPTH;

/// A text that is longer than this is read up to its mistake, and not beyond.
const LONGEST_MENDED: usize = 1 << 20;
/// So many lines are left out, to read what comes after them.
const MOST_MENDED: usize = 3;

pub(super) fn read(text: &str) -> Option<Item> {
    let (mut root, mut stop) = read_once(text);
    let mut mended: Option<String> = None;
    for _ in 0..MOST_MENDED {
        let Some(at) = stop.filter(|_| text.len() <= LONGEST_MENDED) else { break };
        let now = mended.as_deref().unwrap_or(text);
        // The line that cannot be read is the one that is named or the one before, which has only begun.
        let best = lines_before(now, at)
            .into_iter()
            .map(|line| {
                let without = blanked(now, &line);
                let (root, stop) = read_once(&without);
                (stop.unwrap_or(usize::MAX), root, stop, without)
            })
            .max_by_key(|(reach, ..)| *reach);
        match best {
            Some((reach, found, next, without)) if reach > at => {
                (root, stop) = (found, next);
                mended = Some(without);
            }
            _ => break,
        }
    }
    root
}

/// The line of an offset, and the last one before it that is not blank.
fn lines_before(text: &str, at: usize) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut end = text[at..].find('\n').map_or(text.len(), |length| at + length);
    while lines.len() < 2 {
        let start = text[..end].rfind('\n').map_or(0, |at| at + 1);
        if !text[start..end].trim().is_empty() {
            lines.push(start..end);
        }
        if start == 0 {
            break;
        }
        end = start - 1;
    }
    lines
}

/// The text with blanks in place of a line, so that everything else keeps its place.
fn blanked(text: &str, line: &Range<usize>) -> String {
    let mut without = text.to_owned();
    without.replace_range(line.clone(), &" ".repeat(line.len()));
    without
}

/// What is read until the first mistake, and where that is.
fn read_once(text: &str) -> (Option<Item>, Option<usize>) {
    let mut builder = Builder { open: Vec::new(), root: None };
    let mut cursor = Cursor { text, chars: 0, bytes: 0 };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                let start = cursor.offset(span.start.index());
                let end = cursor.offset(span.end.index());
                if builder.take(event, start..end, text).is_none() {
                    return (builder.finish(), None);
                }
            }
            Err(error) => {
                let at = cursor.offset(error.marker().index());
                return (builder.finish(), Some(at));
            }
        }
    }
    (builder.finish(), None)
}

/// The name of a value that is yet to come.
type Name = (String, Range<usize>);

struct Builder {
    open: Vec<(Item, Option<Name>)>,
    root: Option<Item>,
}

impl Builder {
    /// Takes an event; nothing where it is time to stop.
    fn take(&mut self, event: Event<'_>, span: Range<usize>, text: &str) -> Option<()> {
        match event {
            Event::Scalar(scalar, style, ..) => {
                let span = written(text, span, style);
                if self.awaits_key() {
                    let (_, key) = self.open.last_mut()?;
                    *key = Some((scalar.into_owned(), span));
                } else {
                    self.add(Item { shape: Shape::Scalar(scalar.into_owned()), span });
                }
            }
            Event::Alias(_) if self.awaits_key() => {
                let (_, key) = self.open.last_mut()?;
                *key = Some((String::new(), span));
            }
            Event::Alias(_) => {
                let shape = Shape::Scalar(text.get(span.clone())?.to_owned());
                self.add(Item { shape, span });
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                let is_list = matches!(event, Event::SequenceStart(..));
                // A list or a map is no name; nor does anybody nest so deep.
                if self.awaits_key() || self.open.len() >= MAX_DEPTH {
                    return None;
                }
                let shape = if is_list { Shape::List(Vec::new()) } else { Shape::Map(Vec::new()) };
                self.open.push((Item { shape, span: span.start..span.start }, None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (mut item, key) = self.open.pop()?;
                close(&mut item, key);
                // Only brackets are written where it ends.
                if text[item.span.start..].starts_with(['[', '{']) {
                    // The parser counts a comment behind the bracket to it.
                    let closes = text[span.start..].starts_with([']', '}']);
                    item.span.end = item.span.end.max(if closes { span.start + 1 } else { span.end });
                }
                self.add(item);
            }
            Event::DocumentStart(_) if self.root.is_some() => return None,
            _ => {}
        }
        Some(())
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some((Item { shape: Shape::Map(_), .. }, None)))
    }

    fn add(&mut self, value: Item) {
        let Some((parent, key)) = self.open.last_mut() else {
            self.root = Some(value);
            return;
        };
        parent.span.end = parent.span.end.max(value.span.end);
        match (&mut parent.shape, key.take()) {
            (Shape::List(items), _) => items.push(value),
            (Shape::Map(entries), Some((key, key_span))) => {
                parent.span.start = parent.span.start.min(key_span.start);
                parent.span.end = parent.span.end.max(key_span.end);
                // Nothing after the colon is a value that is not written yet.
                let value = Some(value).filter(|value| !value.span.is_empty());
                entries.push(Entry { key, key_span, value });
            }
            _ => {}
        }
    }

    /// Closes whatever is open.
    fn finish(mut self) -> Option<Item> {
        while let Some((mut item, key)) = self.open.pop() {
            close(&mut item, key);
            self.add(item);
        }
        self.root
    }
}

/// A name without a value is an entry all the same.
fn close(item: &mut Item, key: Option<Name>) {
    if let (Shape::Map(entries), Some((key, key_span))) = (&mut item.shape, key) {
        item.span.end = item.span.end.max(key_span.end);
        entries.push(Entry { key, key_span, value: None });
    }
}

/// What is written of a scalar: the parser counts blanks and lines behind it to it, and a comment behind
/// a quote.
fn written(text: &str, span: Range<usize>, style: ScalarStyle) -> Range<usize> {
    let Some(all) = text.get(span.clone()) else { return span };
    let quoted = match style {
        ScalarStyle::SingleQuoted => quoted_length(all, '\''),
        ScalarStyle::DoubleQuoted => quoted_length(all, '"'),
        _ => None,
    };
    span.start..span.start + quoted.unwrap_or(all.trim_end().len())
}

/// How long a text in quotes is that stands at the beginning, with its quotes.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut rest = text.char_indices().peekable();
    rest.next().filter(|(_, first)| *first == quote)?;
    while let Some((at, c)) = rest.next() {
        if c == '\\' && quote == '"' {
            rest.next();
        } else if c == quote {
            // Two single quotes are one of the text.
            let is_double = quote == '\'' && rest.next_if(|(_, next)| *next == quote).is_some();
            if !is_double {
                return Some(at + 1);
            }
        }
    }
    None
}

/// Turns numbers of characters, which mostly grow, into offsets.
struct Cursor<'t> {
    text: &'t str,
    chars: usize,
    bytes: usize,
}

impl Cursor<'_> {
    fn offset(&mut self, chars: usize) -> usize {
        if chars < self.chars {
            (self.chars, self.bytes) = (0, 0);
        }
        let rest = &self.text[self.bytes..];
        let step = chars - self.chars;
        let length = rest.char_indices().nth(step).map_or(rest.len(), |(at, _)| at);
        (self.chars, self.bytes) = (chars, self.bytes + length);
        self.bytes
    }
}
