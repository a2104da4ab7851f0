//! Whether two patterns can own one file, decided exactly, with a file that both own.
//!
//! Each pattern is an automaton over the bytes of a path. A search over pairs of their states (and
//! what is known of the segment's name, so that no file is called `..` or `.git`) finds a path that
//! both read to the end, or that there is none. It looks first where the bytes read and the fewest
//! that must follow are fewest together (A*), which finds a short path early.
//!
//! Granting is cautious: paths are compared folded, and a search that grows too big says that the
//! patterns overlap. What the folded comparison cannot see is that a `?` or a bracket may match a
//! letter whose folded form has other bytes (`??` matches `ſ`, which folds to `s`), and marks written
//! out of their canonical order; landing refuses such [twins](crate::domain::pattern::twins).
//!
//! Measured in the release build: 12 ns for two patterns whose keys differ, 0.8 to 2.2 µs for two
//! typical ones that need the search, 15 µs for three `**` and seven `*` on each side. What runs for
//! every state of a search is inlined by hand, as the program is built for size.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;

use crate::domain::pattern::names::Name;
use crate::domain::pattern::steps::{Automaton, Form, Reads};
use crate::domain::pattern::{Pattern, fold};

#[cfg(test)]
mod tests;

/// How many states a search may reach before it gives up and says "overlap": 50 ms, far
/// beyond what patterns that people write need (some hundreds of states).
const MAX_STATES: usize = 200_000;

/// Up to how many bits the states reached are kept as bits (512 KiB) rather than in a hash set.
const MAX_BITS: usize = 1 << 22;

/// A path that both patterns own, up to case and normal form; `None` if there is none.
///
/// The path is short and readable, in the words of the patterns where they have any
/// (`src/db/a.rs`). Should the search grow too big, it is the longer literal path of the two.
pub fn overlap(a: &Pattern, b: &Pattern) -> Option<String> {
    let (longer, shorter) = if a.key_str().len() >= b.key_str().len() { (a, b) } else { (b, a) };
    if !longer.key_str().starts_with(shorter.key_str()) {
        return None;
    }
    if a.is_literal() && b.is_literal() {
        // `src` and `src/` share what is below; a path below `src` is shared as it is.
        let is_below = longer.is_folder() || shorter.is_folder() && longer.key_str() == shorter.key_str();
        return Some(format!("{}{}", longer.literal_path(), if is_below { "/a" } else { "" }));
    }
    let forms: &[Form] = if a.is_ascii() && b.is_ascii() {
        &[Form::Folded]
    } else {
        &[Form::Exact, Form::Folded, Form::Decomposed]
    };
    forms.iter().find_map(|&form| match Search::run(a.automaton(form), b.automaton(form)) {
        Answer::Path(path) if form == Form::Decomposed => Some(path.nfc().collect()),
        Answer::Path(path) => Some(path),
        Answer::None => None,
        Answer::TooBig if longer.literal_path().is_empty() => Some(longer.as_str().to_owned()),
        Answer::TooBig => Some(longer.literal_path().to_owned()),
    })
}

/// Whether a path is that of a file, and not of a folder or of nothing at all.
pub type IsFile<'a> = dyn Fn(&str) -> bool + 'a;

/// [`overlap`] where it is known which paths are files. A bare path (`README.md`) owns itself and, should it be a
/// folder, all below it; as long as it is a file there is nothing below it, and nobody but its owner may make a
/// folder of it: whoever else does so changes what is not theirs, and that does not land. `is_file` is asked only
/// about a bare path below which the two meet.
pub fn overlap_of(a: &Pattern, b: &Pattern, is_file: &IsFile<'_>) -> Option<String> {
    let witness = overlap(a, b)?;
    let alone = |pattern: &Pattern| {
        let is_below = pattern.is_bare() && fold(&witness) != fold(pattern.literal_path());
        (is_below && is_file(pattern.literal_path())).then(|| pattern.alone())
    };
    match (alone(a), alone(b)) {
        (None, None) => Some(witness),
        (own, other) => overlap(own.as_ref().unwrap_or(a), other.as_ref().unwrap_or(b)),
    }
}

/// What a search found.
enum Answer {
    Path(String),
    None,
    TooBig,
}

/// A pair of states that some path leads to.
#[derive(Clone, Copy)]
struct Node {
    a: u32,
    b: u32,
    name: Name,
    /// The last byte of the path, as it is shown.
    shown: u8,
    /// The node that the path led to before that byte; [`ROOT`] if there was none.
    from: u32,
    /// The next to look at after it, of those that promise a path as long; [`ROOT`] after the last.
    next: u32,
}

const ROOT: u32 = u32::MAX;

struct Search<'a> {
    a: &'a Automaton,
    b: &'a Automaton,
    reached: Reached,
    /// All nodes reached.
    nodes: Vec<Node>,
    /// The first node to look at, by how long a path through it is at least.
    open: Vec<u32>,
    /// Nodes that an empty `*` leads to. They come last, because `a.rs` says more than `.rs`.
    later: Vec<(Node, u32)>,
}

impl<'a> Search<'a> {
    fn run(a: &'a Automaton, b: &'a Automaton) -> Answer {
        let reached = Reached::new(a.len() * b.len() * Name::COUNT);
        let nodes = Vec::with_capacity(a.len() + b.len());
        let mut search = Self { a, b, reached, nodes, open: Vec::new(), later: Vec::new() };
        for &a in a.starts() {
            for &b in b.starts() {
                search.reach(Node { a, b, name: Name::Empty, shown: 0, from: ROOT, next: ROOT }, 0);
            }
        }
        let mut length = 0;
        loop {
            while let Some(first) = search.open.get_mut(length) {
                // Of those that promise the same, the one that was reached last came furthest.
                let number = *first;
                let Some(&node) = search.nodes.get(number as usize) else {
                    length += 1;
                    continue;
                };
                *first = node.next;
                if node.name.may_end() && a.may_end(node.a) && b.may_end(node.b) {
                    return Answer::Path(search.path_to(number));
                }
                if search.nodes.len() > MAX_STATES {
                    return Answer::TooBig;
                }
                let read = length as u32 - search.least(&node);
                search.follow(node, number, read + 1);
            }
            if search.later.is_empty() {
                return Answer::None;
            }
            length = 0;
            for (node, read) in std::mem::take(&mut search.later) {
                search.reach(node, read);
            }
        }
    }

    /// How many bytes are at least between a node and the end of a path, with no `*` left empty.
    #[inline(always)]
    fn least(&self, node: &Node) -> u32 {
        self.a.least(node.a).max(self.b.least(node.b))
    }

    /// Notes a node, and those that are had from it without reading.
    fn reach(&mut self, node: Node, read: u32) {
        let state = (node.a as usize * self.b.len() + node.b as usize) * Name::COUNT + node.name as usize;
        if !self.reached.insert(state) {
            return;
        }
        let length = (read + self.least(&node)) as usize;
        if self.open.len() <= length {
            self.open.resize(length + 1, ROOT);
        }
        let next = std::mem::replace(&mut self.open[length], self.nodes.len() as u32);
        self.nodes.push(Node { next, ..node });
        if let Some((a, is_empty)) = self.a.skip(node.a) {
            self.pass(Node { a, ..node }, read, is_empty);
        }
        if let Some((b, is_empty)) = self.b.skip(node.b) {
            self.pass(Node { b, ..node }, read, is_empty);
        }
    }

    #[inline(always)]
    fn pass(&mut self, node: Node, read: u32, is_empty: bool) {
        if is_empty {
            self.later.push((node, read));
        } else {
            self.reach(node, read);
        }
    }

    /// Reaches the nodes one byte after `node`.
    fn follow(&mut self, node: Node, from: u32, read: u32) {
        if node.name.may_end() {
            self.read(node, from, read, b'/', b'/');
        }
        match (self.a.reads(node.a), self.b.reads(node.b)) {
            (Reads::Nothing, _) | (_, Reads::Nothing) => {}
            (Reads::Byte { byte, shown }, _) | (_, Reads::Byte { byte, shown }) => {
                self.read(node, from, read, byte, shown);
            }
            (Reads::OneOf(a), Reads::OneOf(b)) => {
                let both = a.and(b);
                // After a byte that makes the name plain, all is possible that any other allows.
                let is_plain = |byte| both.contains(byte) && node.name.after(byte) == Some(Name::Plain);
                match READABLE.iter().copied().find(|&byte| is_plain(byte)) {
                    Some(byte) => self.read(node, from, read, byte, byte),
                    None => both.iter().for_each(|byte| self.read(node, from, read, byte, byte)),
                }
            }
        }
    }

    #[inline(always)]
    fn read(&mut self, node: Node, from: u32, read: u32, byte: u8, shown: u8) {
        let name = if byte == b'/' { Some(Name::Empty) } else { node.name.after(byte) };
        if let (Some(a), Some(b), Some(name)) = (self.a.after(node.a, byte), self.b.after(node.b, byte), name)
        {
            self.reach(Node { a, b, name, shown, from, next: ROOT }, read);
        }
    }

    fn path_to(&self, last: u32) -> String {
        let mut bytes = Vec::new();
        let mut node = self.nodes.get(last as usize);
        while let Some(Node { shown, from, .. }) = node.filter(|node| node.from != ROOT) {
            bytes.push(*shown);
            node = self.nodes.get(*from as usize);
        }
        bytes.reverse();
        // Letters are whole: a byte is from a letter of a pattern's text, or ASCII.
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The bytes of ASCII but NUL, those first that one would call a file.
static READABLE: [u8; 127] = {
    let (mut bytes, mut count, mut seen) = ([0; 127], 0, [false; 128]);
    let ranges =
        [(b'a', b'z'), (b'0', b'9'), (b'_', b'_'), (b'-', b'-'), (b'A', b'Z'), (b' ', b'~'), (1, 127)];
    let mut at = 0;
    while at < ranges.len() {
        let (mut byte, last) = ranges[at];
        while byte <= last {
            if !seen[byte as usize] {
                seen[byte as usize] = true;
                bytes[count] = byte;
                count += 1;
            }
            byte += 1;
        }
        at += 1;
    }
    bytes
};

/// States that were reached.
enum Reached {
    Bits(Vec<u64>),
    Hashed(HashSet<usize>),
}

impl Reached {
    fn new(states: usize) -> Self {
        if states <= MAX_BITS {
            Self::Bits(vec![0; states.div_ceil(64)])
        } else {
            Self::Hashed(HashSet::new())
        }
    }

    /// Whether the state is new.
    #[inline(always)]
    fn insert(&mut self, state: usize) -> bool {
        match self {
            Self::Bits(bits) => {
                let (word, bit) = (&mut bits[state / 64], 1 << (state % 64));
                let is_new = *word & bit == 0;
                *word |= bit;
                is_new
            }
            Self::Hashed(states) => states.insert(state),
        }
    }
}
