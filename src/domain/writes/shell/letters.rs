//! Words, letter by letter: quotes, and what begins with a dollar.

use std::rc::Rc;

use super::read::{DEEPEST, Reader, read};
use super::word::{Part, Variable, Word};

/// How far the end of a sum, or of a pattern in parentheses, is looked for.
const LONGEST_SUM: usize = 1000;

impl Reader<'_> {
    /// A sum in parentheses, so many of them; `None`, and nothing read, where it is none.
    pub fn sum(&mut self, parens: usize) -> Option<&str> {
        let mut depth = 0usize;
        for (at, c) in self.rest.char_indices().take(LONGEST_SUM) {
            match c {
                '(' => depth += 1,
                ')' if depth == parens => {
                    if !self.rest[at + 1..].starts_with(')') {
                        return None;
                    }
                    let (sum, rest) = self.rest.split_at(at + parens);
                    self.rest = rest;
                    return sum.get(parens..at);
                }
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }

    /// A word; empty where there is none.
    pub fn word(&mut self) -> Word {
        let mut word = Word::default();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | ')' => break,
                '<' | '>' => {
                    if !word.parts.is_empty() || !self.rest[1..].starts_with('(') {
                        break;
                    }
                    self.rest = &self.rest[2..];
                    let (nodes, _) = self.nested(&[")"]);
                    word.parts.push(Part::Process(Rc::new(nodes)));
                }
                '(' => {
                    // `!(a|b)` and its like are patterns.
                    if !word.ends_with(&['?', '*', '+', '@', '!']) || !self.extended() {
                        break;
                    }
                    word.parts.push(Part::Unknown);
                }
                '\'' => {
                    let _ = self.next();
                    word.is_quoted = true;
                    let end = self.rest.find('\'').unwrap_or(self.rest.len());
                    word.push_quoted(&self.rest[..end]);
                    self.rest = self.rest.get(end + 1..).unwrap_or_default();
                }
                '"' => {
                    let _ = self.next();
                    self.double(&mut word, true);
                }
                '\\' => {
                    let _ = self.next();
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c) => {
                            word.is_quoted = true;
                            word.push_quoted(c.encode_utf8(&mut [0; 4]));
                        }
                    }
                }
                '$' => {
                    let _ = self.next();
                    self.dollar(&mut word, false);
                }
                '`' => {
                    let _ = self.next();
                    self.backticks(&mut word, false);
                }
                c => {
                    let _ = self.next();
                    word.push(c);
                }
            }
        }
        word
    }

    /// The parentheses of a pattern; `false`, and nothing read, where they do not close soon.
    fn extended(&mut self) -> bool {
        let mut depth = 0usize;
        for (at, c) in self.rest.char_indices().take(LONGEST_SUM) {
            match c {
                '(' => depth += 1,
                ')' if depth == 1 => {
                    self.rest = &self.rest[at + 1..];
                    return true;
                }
                ')' => depth = depth.saturating_sub(1),
                '\n' => return false,
                _ => {}
            }
        }
        false
    }

    /// Between two `"`, or all of a here document, in which they are nothing.
    pub fn double(&mut self, word: &mut Word, is_string: bool) {
        word.is_quoted = true;
        word.push_quoted("");
        while let Some(c) = self.next() {
            match c {
                '"' if is_string => return,
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(c @ ('"' | '\\' | '$' | '`')) => word.push_quoted(c.encode_utf8(&mut [0; 4])),
                    Some(c) => {
                        word.push_quoted("\\");
                        word.push_quoted(c.encode_utf8(&mut [0; 4]));
                    }
                },
                '$' => self.dollar(word, true),
                '`' => self.backticks(word, true),
                c => word.push_quoted(c.encode_utf8(&mut [0; 4])),
            }
        }
    }

    /// Behind a `$`.
    fn dollar(&mut self, word: &mut Word, is_quoted: bool) {
        let Some(c) = self.peek() else { return word.push('$') };
        match c {
            '(' => {
                if self.rest.starts_with("((") && self.sum(2).is_some() {
                    word.parts.push(Part::Number);
                    return;
                }
                let _ = self.next();
                let nodes = Rc::new(self.nested(&[")"]).0);
                word.parts.push(Part::Run { nodes, is_quoted });
            }
            '{' => {
                let _ = self.next();
                self.braced(word, is_quoted);
            }
            '\'' if !is_quoted => {
                let _ = self.next();
                word.is_quoted = true;
                self.escaped(word);
            }
            '"' if !is_quoted => {
                let _ = self.next();
                self.double(word, true);
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
                let name = self.rest[..self.rest.len() - rest.len()].to_owned();
                self.rest = rest;
                word.parts.push(Part::Variable(Variable { name, is_quoted, ..Variable::default() }));
            }
            c if c.is_ascii_digit() || "@*#?$!-".contains(c) => {
                let _ = self.next();
                let name = c.to_string();
                word.parts.push(Part::Variable(Variable { name, is_quoted, ..Variable::default() }));
            }
            _ if is_quoted => word.push_quoted("$"),
            _ => word.push('$'),
        }
    }

    /// Behind a `${`.
    fn braced(&mut self, word: &mut Word, is_quoted: bool) {
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_@*".contains(c));
        let name = self.rest[..self.rest.len() - rest.len()].to_owned();
        self.rest = rest;
        let mut then = String::new();
        let mut inner = Word::default();
        if self.depth >= DEEPEST {
            self.rest = "";
        }
        self.depth += 1;
        while let Some(c) = self.next() {
            match c {
                '}' => break,
                '\\' => {
                    let _ = self.next();
                    inner.parts.push(Part::Unknown);
                }
                '\'' if !is_quoted => {
                    let end = self.rest.find('\'').unwrap_or(self.rest.len());
                    inner.push_quoted(&self.rest[..end]);
                    self.rest = self.rest.get(end + 1..).unwrap_or_default();
                }
                '"' => self.double(&mut inner, true),
                '$' => self.dollar(&mut inner, is_quoted),
                '`' => self.backticks(&mut inner, is_quoted),
                c => then.push(c),
            }
        }
        self.depth -= 1;
        word.parts.push(Part::Variable(Variable { name, then, inner: inner.parts, is_quoted }));
    }

    /// Behind a `$'`.
    fn escaped(&mut self, word: &mut Word) {
        word.push_quoted("");
        while let Some(c) = self.next() {
            let c = match c {
                '\'' => return,
                '\\' => match self.next() {
                    None => return,
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some('e' | 'E') => '\u{1b}',
                    Some('x') => self.coded(16, 2),
                    Some('u') => self.coded(16, 4),
                    Some('U') => self.coded(16, 8),
                    Some(c) if c.is_digit(8) => {
                        // The first digit is one of the three.
                        let first = c.to_digit(8).unwrap_or_default();
                        let more: String = self.rest.chars().take(2).take_while(|c| c.is_digit(8)).collect();
                        self.rest = &self.rest[more.len()..];
                        let value =
                            more.chars().filter_map(|c| c.to_digit(8)).fold(first, |sum, d| sum * 8 + d);
                        char::from_u32(value).unwrap_or('?')
                    }
                    Some(c) => c,
                },
                c => c,
            };
            word.push_quoted(c.encode_utf8(&mut [0; 4]));
        }
    }

    /// So many digits as a letter.
    fn coded(&mut self, base: u32, most: usize) -> char {
        let digits: String = self.rest.chars().take(most).take_while(|c| c.is_digit(base)).collect();
        self.rest = &self.rest[digits.len()..];
        u32::from_str_radix(&digits, base).ok().and_then(char::from_u32).unwrap_or('?')
    }

    /// Behind a backtick.
    fn backticks(&mut self, word: &mut Word, is_quoted: bool) {
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                '`' => break,
                '\\' => match self.next() {
                    Some(c @ ('`' | '\\' | '$')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => {}
                },
                c => text.push(c),
            }
        }
        let nodes = if self.depth < DEEPEST { read(&text, self.depth + 1) } else { Vec::new() };
        word.parts.push(Part::Run { nodes: Rc::new(nodes), is_quoted });
    }
}
