//! Words: as they are written, and what becomes of them.
//!
//! Text is kept with a backslash in front of each special character that is quoted, so that what
//! still counts as a wildcard or a brace can be told when a word has been put together.

use std::rc::Rc;

use super::read::Node;
use super::run::LONGEST;
use crate::domain::writes::as_glob;

/// What a shell may take for more than itself.
const SPECIAL: [char; 9] = ['\\', '*', '?', '[', ']', '{', '}', '~', NUMBER];

/// What stands in a glob for some number.
pub(super) const NUMBER: char = '\u{3}';

/// A number, in the words of a claim's pattern.
const DIGITS: &str = "{[0-9],[0-9][0-9],[0-9][0-9][0-9],[0-9][0-9][0-9][0-9]}";

/// Classes of characters by their names, as ranges.
const CLASSES: [(&str, &str); 7] = [
    ("[:digit:]", "0-9"),
    ("[:alpha:]", "a-zA-Z"),
    ("[:alnum:]", "0-9a-zA-Z"),
    ("[:upper:]", "A-Z"),
    ("[:lower:]", "a-z"),
    ("[:xdigit:]", "0-9a-fA-F"),
    ("[:space:]", " \t\n"),
];

/// How many words the braces of one may make.
const MOST_WORDS: usize = 64;

/// A longer word, in bytes, is not looked at: it is no name of a file.
pub(super) const LONGEST_WORD: usize = 4096;

#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    pub parts: Vec<Part>,
    /// Some of it is quoted: it is no keyword, and a word even if it is empty.
    pub is_quoted: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    Text(String),
    Variable(Variable),
    /// What these commands print.
    Run {
        nodes: Rc<Vec<Node>>,
        is_quoted: bool,
    },
    /// A file that stands for these commands.
    Process(Rc<Vec<Node>>),
    /// What a sum comes to.
    Number,
    Unknown,
}

/// `${name}`, with what follows the name in the braces.
#[derive(Debug, Clone, Default)]
pub(super) struct Variable {
    pub name: String,
    pub then: String,
    /// What of that was no plain text; its commands run.
    pub inner: Vec<Part>,
    pub is_quoted: bool,
}

/// A word of a command as it reaches the program.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Arg {
    Text(String),
    /// The names of all files that match; a quoted character has a backslash.
    Glob(String),
    /// Files with such a name (a glob of [`as_glob`]) below a folder, as `find` tells them.
    Found {
        folder: String,
        name: String,
    },
    /// Only a shell can know it.
    Unknown,
}

impl Arg {
    /// Some number.
    pub fn number() -> Self {
        Self::Glob(NUMBER.to_string())
    }

    /// The text, where it is known.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Word {
    /// A word as it stands.
    pub fn text(text: &str) -> Self {
        Self { parts: vec![Part::Text(text.to_owned())], is_quoted: false }
    }

    /// `"$@"`.
    pub fn all_words() -> Self {
        let all = Variable { name: "@".to_owned(), is_quoted: true, ..Variable::default() };
        Self { parts: vec![Part::Variable(all)], is_quoted: true }
    }

    fn tail(&mut self) -> Option<&mut String> {
        if !matches!(self.parts.last(), Some(Part::Text(_))) {
            self.parts.push(Part::Text(String::new()));
        }
        match self.parts.last_mut() {
            Some(Part::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Adds a character that is not quoted.
    pub fn push(&mut self, c: char) {
        if let Some(text) = self.tail() {
            text.push(c);
        }
    }

    /// Adds quoted text.
    pub fn push_quoted(&mut self, text: &str) {
        if let Some(tail) = self.tail() {
            push_escaped(tail, text);
        }
    }

    /// Whether it ends with one of these, unquoted.
    pub fn ends_with(&self, ends: &[char]) -> bool {
        match self.parts.last() {
            Some(Part::Text(text)) => text.ends_with(ends) && !text[..text.len() - 1].ends_with('\\'),
            _ => false,
        }
    }

    /// The word if it is plain text without quotes.
    pub fn keyword(&self) -> Option<String> {
        match &*self.parts {
            [Part::Text(text)] if !self.is_quoted => Some(text.clone()),
            _ => None,
        }
    }

    /// Its text without quotes, where it is only compared.
    pub fn raw(&self) -> String {
        let texts = self.parts.iter().map(|part| match part {
            Part::Text(text) => unescaped(text),
            _ => String::new(),
        });
        texts.collect()
    }

    /// The name of the list that begins here: `NAME=` before a `(`.
    pub fn list_name(&self) -> Option<String> {
        let [Part::Text(text)] = &*self.parts else { return None };
        let name = text.strip_suffix('=')?;
        is_name(name.strip_suffix('+').unwrap_or(name)).then(|| name.to_owned())
    }

    /// `NAME=…`: the name, and the word behind it.
    pub fn assignment(&self) -> Option<(String, Self)> {
        let Some(Part::Text(text)) = self.parts.first() else { return None };
        let (name, rest) = text.split_once('=')?;
        if !is_name(name.strip_suffix('+').unwrap_or(name)) {
            return None;
        }
        let mut word = self.clone();
        word.parts[0] = Part::Text(rest.to_owned());
        Some((name.to_owned(), word))
    }
}

/// Whether a variable can be called so.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Adds a text so that no character of it is special.
pub(super) fn push_escaped(to: &mut String, text: &str) {
    for c in text.chars() {
        if SPECIAL.contains(&c) {
            to.push('\\');
        }
        to.push(c);
    }
}

/// The text without its backslashes.
pub(super) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    plain
}

/// A glob with backslashes in the words of a claim's pattern.
pub(super) fn glob_of(text: &str) -> String {
    if let Some((name, range)) = CLASSES.iter().find(|(name, _)| text.contains(name)) {
        return glob_of(&text.replace(name, range));
    }
    // Of another class any character may be.
    if let Some((before, rest)) = text.split_once("[:")
        && let Some((before, _)) = before.rsplit_once('[')
        && let Some((_, after)) = rest.split_once(":]").and_then(|(_, rest)| rest.split_once(']'))
    {
        return glob_of(&format!("{before}?{after}"));
    }
    let mut glob = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut is_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let quoted = chars.next().map(String::from).unwrap_or_default();
                glob.push_str(&as_glob(&quoted));
            }
            // The first one belongs to the class.
            ']' if is_class && !glob.ends_with("[!") && !glob.ends_with('[') => {
                is_class = false;
                glob.push(c);
            }
            '^' if is_class && glob.ends_with('[') => glob.push('!'),
            c if is_class => glob.push(c),
            '[' if chars.clone().skip(1).any(|c| c == ']') => {
                is_class = true;
                glob.push(c);
            }
            // Alone between slashes it may stand for any depth.
            '*' if glob.is_empty() || glob.ends_with('/') => {
                let mut ahead = chars.clone();
                let is_deep = ahead.next() == Some('*') && matches!(ahead.next(), None | Some('/'));
                glob.push_str(if is_deep { "**" } else { "*" });
            }
            '*' if glob.ends_with('*') => {}
            '*' | '?' => glob.push(c),
            NUMBER => glob.push_str(DIGITS),
            c => glob.push_str(&as_glob(c.encode_utf8(&mut [0; 4]))),
        }
    }
    glob
}

/// The words that a word with braces stands for, each with its wildcards and without its braces.
pub(super) fn args_of(text: &str) -> Vec<Arg> {
    let mut words = vec![text.to_owned()];
    let mut done = Vec::new();
    while let Some(word) = words.pop() {
        if words.len() + done.len() > MOST_WORDS || word.len() > LONGEST_WORD {
            return vec![Arg::Unknown];
        }
        match braced(&word) {
            Some((before, inner, after)) => {
                words.extend(inner.iter().rev().map(|inner| format!("{before}{inner}{after}")));
            }
            None => done.push(word),
        }
    }
    done.iter().map(|word| arg_of(word)).collect()
}

fn arg_of(text: &str) -> Arg {
    // An address is no file.
    if text.contains("://") {
        return Arg::Text(unescaped(text));
    }
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '*' | '?' | NUMBER => return Arg::Glob(text.to_owned()),
            // Something in a bracket that closes.
            '[' if chars.as_str().find(']').is_some_and(|end| end > 0) => return Arg::Glob(text.to_owned()),
            _ => {}
        }
    }
    Arg::Text(unescaped(text))
}

/// The first braces of a text that stand for several words: what is before them, what they hold, what
/// is after.
fn braced(text: &str) -> Option<(&str, Vec<String>, &str)> {
    let mut opened: Option<usize> = None;
    let (mut depth, mut commas) = (0usize, Vec::new());
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '{' => {
                if depth == 0 {
                    (opened, commas) = (Some(at), Vec::new());
                }
                depth += 1;
            }
            ',' if depth == 1 => commas.push(at),
            '}' if depth > 0 => {
                depth -= 1;
                let Some(open) = opened.filter(|_| depth == 0) else { continue };
                let inner = match &*commas {
                    [] => range(&text[open + 1..at]),
                    commas => {
                        let starts = std::iter::once(open).chain(commas.iter().copied());
                        let ends = commas.iter().copied().chain([at]);
                        Some(starts.zip(ends).map(|(start, end)| text[start + 1..end].to_owned()).collect())
                    }
                };
                if let Some(inner) = inner {
                    return Some((&text[..open], inner, &text[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

/// `1..9`, `a..z`, `1..9..2`.
fn range(text: &str) -> Option<Vec<String>> {
    let (from, to) = text.split_once("..")?;
    let (to, step) = to.split_once("..").unwrap_or((to, "1"));
    let step = usize::try_from(step.parse::<i32>().ok()?.unsigned_abs()).ok()?.max(1);
    let letter = |text: &str| match text.as_bytes() {
        &[c] if c.is_ascii_alphabetic() => Some(i32::from(c)),
        _ => None,
    };
    let ends = letter(from).zip(letter(to));
    let (low, high) = ends.or_else(|| from.parse::<i32>().ok().zip(to.parse::<i32>().ok()))?;
    let many = low.abs_diff(high) as usize / step;
    // Of more than can be told one by one any is meant.
    if many >= MOST_WORDS {
        return Some(vec![NUMBER.to_string()]);
    }
    let sign = if low <= high { step as i64 } else { -(step as i64) };
    let one = |at: usize| i64::from(low) + sign * at as i64;
    let shown = |n: i64| match u8::try_from(n).ok().filter(|_| ends.is_some()) {
        Some(c) => char::from(c).to_string(),
        None => n.to_string(),
    };
    Some((0..=many).map(|at| shown(one(at))).collect())
}

/// `${name%then}` and its like for a value that is known; nothing where only a shell can tell.
pub(super) fn changed(value: &str, then: &str) -> Option<String> {
    if let Some(rest) = then.strip_prefix('/') {
        let (is_all, rest) = rest.strip_prefix('/').map_or((false, rest), |rest| (true, rest));
        let (from, to) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = !from.is_empty() && !from.contains(SPECIAL) && !from.starts_with(['#', '%']);
        return match is_all {
            _ if !is_plain => None,
            true => replaced(value, from, to),
            false => Some(value.replacen(from, to, 1)),
        };
    }
    let (sign, pattern) =
        ["%%", "%", "##", "#"].iter().find_map(|sign| Some((*sign, then.strip_prefix(*sign)?)))?;
    let is_plain = |text: &str| !text.contains(SPECIAL);
    let changed = match sign {
        "%" | "%%" => match pattern.strip_suffix('*') {
            Some(mark) if is_plain(mark) && !mark.is_empty() => {
                let at = if sign == "%" { value.rfind(mark) } else { value.find(mark) };
                at.map_or(value, |at| &value[..at])
            }
            None if is_plain(pattern) => value.strip_suffix(pattern).unwrap_or(value),
            _ => return None,
        },
        _ => match pattern.strip_prefix('*') {
            Some(mark) if is_plain(mark) && !mark.is_empty() => {
                let at = if sign == "#" { value.find(mark) } else { value.rfind(mark) };
                at.map_or(value, |at| &value[at + mark.len()..])
            }
            None if is_plain(pattern) => value.strip_prefix(pattern).unwrap_or(value),
            _ => return None,
        },
    };
    Some(changed.to_owned())
}

/// The text with something else in each place of a mark; nothing where that is too long to be followed.
pub(super) fn replaced(text: &str, mark: &str, by: &str) -> Option<String> {
    let more = text.matches(mark).count().saturating_mul(by.len());
    (text.len().saturating_add(more) <= LONGEST).then(|| text.replace(mark, by))
}

/// An argument as text with backslashes, to be a part of another.
pub(super) fn arg_text(arg: &Arg) -> Option<String> {
    match arg {
        Arg::Text(text) => {
            let mut escaped = String::with_capacity(text.len());
            push_escaped(&mut escaped, text);
            Some(escaped)
        }
        Arg::Glob(glob) => Some(glob.clone()),
        Arg::Found { .. } | Arg::Unknown => None,
    }
}

/// A text whose wildcards count, and nothing else of it.
pub(super) fn globbed(text: &str) -> Arg {
    if !text.contains(['*', '?', '[']) {
        return Arg::Text(text.to_owned());
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '{' | '}' | '~') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    arg_of(&escaped)
}
