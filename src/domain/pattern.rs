//! What a claim owns: a literal path with all below it, a folder, or a glob.
//!
//! | written | owns |
//! |---|---|
//! | `src/db` | the file `src/db`, or everything below the folder `src/db` |
//! | `src/db/`, `src/db/**` | everything below `src/db` |
//! | `src/*.rs`, `{src,lib}/?[a-z]*`, `**/mod.rs` | exactly the files that match |
//!
//! - `*` any bytes of one segment, none included; `?` one byte, as in git; `**`, as
//!   a segment of its own, any number of folders, or at the end everything below.
//! - `[a-z_]` one of these bytes, `[!a-z]` any other byte; never `/`. Bytes of a
//!   bracket are ASCII: a letter of several bytes stands in braces, `{ä,ö}`.
//! - `{a,b}` one of these; braces nest, may hold `/` and nothing (`a{,_test}.rs`),
//!   and make at most [`MAX_ALTERNATIVES`]. They make a glob, also where only names
//!   are in them: `{src,lib}` owns two files, `{src,lib}/` what is below. They may neither
//!   close the pattern with `/` (`{src/,lib/}`) nor put a `**` together (`*{,a}*`).
//! - `[*]`, `[?]`, `[[]`, `[]]`, `[{]`, `[}]` are these characters themselves and no
//!   wildcards: `app/[[]id[]]` is the literal path `app/[id]` ([`Pattern::of_path`]
//!   writes this). There is no backslash.
//! - A leading `./` is dropped; every other `.`, `..` or empty segment is refused.
//! - Blanks and quotes are ordinary. Control characters are refused, the newline
//!   too: git has such names, but a claim is shown on one line and kept in files
//!   of lines; `?` matches them.
//! - No pattern owns a path with a segment that some system takes for `.git`.
//!
//! A bare path of which it is known that it is a file meets nothing below it ([`overlap_of`]).
//!
//! Granting is cautious and permitting is strict: [`overlap`] compares up to case
//! and normal form ([`fold()`]), [`Pattern::contains`] compares bytes.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::base::paths::RepoPath;
use crate::domain::pattern::names::is_ownable;
use crate::domain::pattern::parse::{Piece, Segment, parse};
use crate::domain::pattern::steps::{Automaton, Form};

mod fold;
pub(super) mod names;
mod normal;
mod parse;
mod set;
pub(super) mod steps;

#[cfg(test)]
pub(super) mod tests;

pub use crate::domain::overlap::{IsFile, overlap, overlap_of};
pub use crate::domain::pattern::fold::{fold, twins};
pub(super) use crate::domain::pattern::normal::composed;
pub use crate::domain::pattern::parse::{MAX_ALTERNATIVES, MAX_BYTES};
pub use crate::domain::pattern::set::PatternSet;

/// A pattern that can be owned. Compared, ordered and hashed by its text; cheap to clone.
#[derive(Clone)]
pub struct Pattern {
    parsed: Arc<Parsed>,
}

/// What parsing made of the text, once, so that comparing patterns need not.
struct Parsed {
    text: String,
    /// Unquoted; see [`Pattern::literal_path`].
    literal_path: String,
    key: String,
    lead: String,
    end: String,
    kind: Kind,
    alternatives: Vec<Vec<Segment>>,
    /// For bytes against bytes: containment.
    exact: Automaton,
    /// For overlap; see [`Form`].
    folded: Automaton,
    /// `None` where the text is ASCII: the same as `folded`.
    decomposed: Option<Automaton>,
}

/// The three shapes of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `src/db`: itself and all below.
    Path,
    /// `src/db/`: all below.
    Folder,
    /// Something with wildcards: what matches.
    Glob,
}

/// Why a text is no pattern that can be owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPattern {
    /// Which rule it breaks, naming the text.
    pub reason: String,
    /// What to write instead.
    pub hint: String,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A text that could own nothing, too much to name, or something outside the
    /// repository; with the reason and what to write instead.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let text = text.strip_prefix("./").filter(|rest| !rest.is_empty()).unwrap_or(text);
        let (alternatives, has_braces) = parse(text)?;
        let is_closed = text.ends_with('/') && !text.ends_with("**/");
        let kind = match alternatives.as_slice() {
            _ if has_braces => Kind::Glob,
            [only] if only.iter().all(Segment::is_literal) => Kind::Path,
            [only] if is_closed && only.iter().rev().skip(1).all(Segment::is_literal) => Kind::Folder,
            _ => Kind::Glob,
        };
        Ok(Self { parsed: Arc::new(parsed(text, alternatives, kind)) })
    }

    /// The pattern that owns this one path (and, if it is a folder, all below it), whatever
    /// characters its name has: wildcards in it are quoted.
    ///
    /// # Errors
    /// As [`Self::parse`]; a backslash or a control character cannot be quoted.
    pub fn of_path(path: &str) -> Result<Self, BadPattern> {
        let mut text = String::with_capacity(path.len());
        for c in path.chars() {
            if parse::QUOTABLE.contains(&c) {
                text.extend(['[', c, ']']);
            } else {
                text.push(c);
            }
        }
        Self::parse(&text)
    }

    /// The same for any name that a file can have: what no pattern can say of it is one character like any
    /// other, so that files which differ only there are owned with it.
    ///
    /// # Errors
    /// As [`Self::parse`], of a path that may not be owned whatever its characters are.
    pub fn around_path(path: &str) -> Result<Self, BadPattern> {
        Self::of_path(path).or_else(|bad| {
            let segments: Vec<String> =
                path.split('/').enumerate().map(|(at, it)| parse::sayable(it, at == 0)).collect();
            let text = segments.join("/");
            // Nothing of it was odd.
            if segments.iter().all(|segment| !segment.contains('?')) { Err(bad) } else { Self::parse(&text) }
        })
    }

    /// The same for a path as it is shown, with `\xNN` for each byte that is no text ([`RepoPath`]).
    ///
    /// # Errors
    /// As [`Self::parse`], of a path that may not be owned whatever its bytes are.
    pub fn around_shown(shown: &str) -> Result<Self, BadPattern> {
        let mut parts = shown.split("\\x");
        let mut path = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            // Two digits; any one byte that cannot be said stands for them.
            path.push('\u{1}');
            path.push_str(part.get(2..).unwrap_or_default());
        }
        Self::around_path(&path)
    }

    /// The pattern as it was written, less a leading `./`. Parses to an equal pattern.
    pub fn as_str(&self) -> &str {
        &self.parsed.text
    }

    /// Whether it names one path (and all below it) rather than a glob. `src/db/` does too.
    pub fn is_literal(&self) -> bool {
        self.parsed.kind != Kind::Glob
    }

    /// Whether it names one folder (`src/db/`): all below it is owned, a file of that name is not.
    pub fn is_folder(&self) -> bool {
        self.parsed.kind == Kind::Folder
    }

    /// Whether it is a path by itself (`src/db`), which owns that file, or that folder and all below it.
    pub fn is_bare(&self) -> bool {
        self.parsed.kind == Kind::Path
    }

    /// The same path without anything below it, to compare with others where it is known to be a file.
    pub(super) fn alone(&self) -> Self {
        Self { parsed: Arc::new(parsed(self.as_str(), self.parsed.alternatives.clone(), Kind::Glob)) }
    }

    /// The leading segments without wildcards, unquoted: `src/db` of `src/db/*.rs` and of `src/db/`;
    /// the whole path of a literal; empty if the first segment has a wildcard.
    pub fn literal_path(&self) -> &str {
        &self.parsed.literal_path
    }

    /// Whether a strict wall can go around it: around a folder or a file that it names, or around all.
    pub fn can_be_walled(&self) -> bool {
        !self.literal_path().is_empty() || self.as_str() == "**"
    }

    /// [`Self::literal_path`] folded and closed with `/` (empty stays empty): the key of the claim index.
    /// Two patterns can overlap only if one's key is a prefix of the other's.
    pub fn key(&self) -> String {
        self.parsed.key.clone()
    }

    /// [`Self::key`] without a copy.
    pub(super) fn key_str(&self) -> &str {
        &self.parsed.key
    }

    /// What everything it owns begins with, folded, as far as that is ASCII: `src/m_` of `src/m_*.rs`, `src/db/`
    /// of `src/db`. Two patterns can overlap only if one's is a prefix of the other's. It may end within a
    /// name, which a [`Self::key`] does not.
    pub fn lead(&self) -> &str {
        &self.parsed.lead
    }

    /// Whether nothing that one of them owns can be owned by the other, as far as that is told by how paths
    /// begin and end: cheap, and never wrong about it.
    pub fn is_surely_apart(&self, other: &Self) -> bool {
        let (a, b) = (&self.parsed, &other.parsed);
        let begin = a.key.starts_with(&b.key) || b.key.starts_with(&a.key);
        let lead = a.lead.starts_with(&b.lead) || b.lead.starts_with(&a.lead);
        let end = a.end.ends_with(&b.end) || b.end.ends_with(&a.end);
        !(begin && lead && end)
    }

    /// Whether the pattern owns exactly this path, byte by byte. Never a path that git
    /// would not store: with an empty, `.`, `..` or `.git` segment.
    pub fn contains(&self, path: &RepoPath) -> bool {
        let path = path.as_bytes();
        let Some(rest) = path.strip_prefix(self.parsed.literal_path.as_bytes()) else { return false };
        let owned = match self.parsed.kind {
            Kind::Path => rest.is_empty() || rest.starts_with(b"/"),
            Kind::Folder => rest.starts_with(b"/"),
            Kind::Glob => self.parsed.exact.accepts(path),
        };
        owned && is_ownable(path)
    }

    /// What was parsed, with braces written out.
    fn alternatives(&self) -> &[Vec<Segment>] {
        &self.parsed.alternatives
    }

    /// Whether [`Form::Folded`] says everything about it.
    pub(super) fn is_ascii(&self) -> bool {
        self.parsed.decomposed.is_none()
    }

    /// The pattern as steps over bytes.
    pub(super) fn automaton(&self, form: Form) -> &Automaton {
        match form {
            Form::Exact => &self.parsed.exact,
            Form::Folded => &self.parsed.folded,
            Form::Decomposed => self.parsed.decomposed.as_ref().unwrap_or(&self.parsed.folded),
        }
    }
}

fn parsed(text: &str, alternatives: Vec<Vec<Segment>>, kind: Kind) -> Parsed {
    let literal_path = literal_path(&alternatives, kind);
    let key = if literal_path.is_empty() { String::new() } else { fold(&literal_path) + "/" };
    let owns_below = kind == Kind::Path;
    let (lead, end) = match kind {
        Kind::Glob => (shared_start(&alternatives), shared_end(&alternatives)),
        // What is below ends as it likes.
        Kind::Path | Kind::Folder => {
            let ascii = key.bytes().take_while(u8::is_ascii).count();
            (key[..ascii].to_owned(), String::new())
        }
    };
    let automaton = |form| Automaton::new(&alternatives, owns_below, form);
    Parsed {
        text: text.to_owned(),
        literal_path,
        key,
        lead,
        end,
        kind,
        exact: automaton(Form::Exact),
        folded: automaton(Form::Folded),
        decomposed: (!text.is_ascii()).then(|| automaton(Form::Decomposed)),
        alternatives,
    }
}

/// The characters of an alternative with slashes between its segments; `None` for a wildcard, and for what is
/// not ASCII: marks and other cases of that are for the automata.
fn characters(alternative: &[Segment]) -> impl DoubleEndedIterator<Item = Option<u8>> {
    let of_segment = |segment: &Segment| -> Vec<Option<u8>> {
        let Segment::Name(pieces) = segment else { return vec![None] };
        let of_piece = |piece: &Piece| match piece {
            Piece::Text(text) => {
                text.bytes().map(|byte| byte.is_ascii().then(|| byte.to_ascii_lowercase())).collect()
            }
            Piece::OneOf(_) | Piece::Star => vec![None],
        };
        pieces.iter().flat_map(of_piece).collect()
    };
    let segments: Vec<Vec<Option<u8>>> = alternative.iter().map(of_segment).collect();
    segments.join(&Some(b'/')).into_iter()
}

/// What all alternatives begin with.
fn shared_start(alternatives: &[Vec<Segment>]) -> String {
    let starts = alternatives.iter().map(|it| characters(it).map_while(|c| c).collect::<Vec<u8>>());
    let shared = starts.reduce(|mut shared, other| {
        let same = shared.iter().zip(&other).take_while(|(a, b)| a == b).count();
        shared.truncate(same);
        shared
    });
    shared.unwrap_or_default().into_iter().map(char::from).collect()
}

/// What all alternatives end with. Below a `**` at the end anything may be.
fn shared_end(alternatives: &[Vec<Segment>]) -> String {
    let ends = alternatives.iter().map(|it| characters(it).rev().map_while(|c| c).collect::<Vec<u8>>());
    let shared = ends.reduce(|mut shared, other| {
        let same = shared.iter().zip(&other).take_while(|(a, b)| a == b).count();
        shared.truncate(same);
        shared
    });
    shared.unwrap_or_default().into_iter().rev().map(char::from).collect()
}

/// The leading literal segments that all alternatives share; of a glob, never its file name.
fn literal_path(alternatives: &[Vec<Segment>], kind: Kind) -> String {
    let leading = |alternative: &[Segment]| -> Vec<String> {
        let folders = alternative.len() - usize::from(kind == Kind::Glob);
        alternative[..folders].iter().map_while(Segment::literal).collect()
    };
    let mut alternatives = alternatives.iter().map(|alternative| leading(alternative));
    let mut shared = alternatives.next().unwrap_or_default();
    for other in alternatives {
        let same = shared.iter().zip(&other).take_while(|(a, b)| a == b).count();
        shared.truncate(same);
    }
    shared.join("/")
}

/// The empty key and every prefix of `key` that ends with `/`, `key` itself among them: the keys of
/// all patterns that could own what is below it. Ask the claim index for these, and for keys that
/// begin with `key`.
pub fn key_ancestors(key: &str) -> Vec<&str> {
    let mut ancestors = vec![""];
    ancestors.extend(key.match_indices('/').map(|(at, _)| &key[..=at]));
    ancestors
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for BadPattern {}
