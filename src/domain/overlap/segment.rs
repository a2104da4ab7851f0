//! A name that two segments have in common.
//!
//! A search over pairs of their states, and what is known of the name, so that no file is called `..` or
//! `.git`. It looks first where the bytes read and the fewest that must follow are fewest together (A*).

use std::ops::Range;

use crate::domain::overlap::Bits;
use crate::domain::pattern::names::Name;
use crate::domain::pattern::steps::{Automaton, ByteSet, Reads};

/// A segment whose name is as one likes.
pub(super) const ANY: &str = "a";

/// There are more states than are looked at.
pub(super) struct TooBig;

/// Whether two segments can have a name in common by how they begin and end. Where both have a `*` that is all
/// that counts: between begin and end there is room for all that each wants there.
pub(super) fn ends_meet(a: &Automaton, p: &Range<u32>, b: &Automaton, q: &Range<u32>) -> bool {
    let (of_a, of_b) = (|state| a.reads(state), |state| b.reads(state));
    meet(p.clone().map(of_a), q.clone().map(of_b))
        && meet(p.clone().rev().map(of_a), q.clone().rev().map(of_b))
}

/// Whether two begins can be the same, up to the first `*` of either.
fn meet(mut a: impl Iterator<Item = Reads>, mut b: impl Iterator<Item = Reads>) -> bool {
    loop {
        match (a.next(), b.next()) {
            (None, None) | (Some(Reads::Many), _) | (_, Some(Reads::Many)) => return true,
            (Some(Reads::Byte { byte, .. }), Some(Reads::Byte { byte: other, .. })) if byte == other => {}
            (Some(Reads::Byte { byte, .. }), Some(Reads::OneOf(set)))
            | (Some(Reads::OneOf(set)), Some(Reads::Byte { byte, .. }))
                if set.contains(byte) => {}
            (Some(Reads::OneOf(set)), Some(Reads::OneOf(other))) if !set.and(other).is_empty() => {}
            _ => return false,
        }
    }
}

/// A name of a segment: with one byte for each `*` where that is a name, else any.
pub(super) fn example(automaton: &Automaton, segment: &Range<u32>) -> String {
    let (mut bytes, mut name) = (Vec::new(), Some(Name::Empty));
    for state in segment.clone() {
        let (byte, shown) = match automaton.reads(state) {
            Reads::Byte { byte, shown } => (byte, shown),
            Reads::OneOf(set) => {
                let byte = READABLE.iter().copied().find(|&byte| set.contains(byte)).unwrap_or(b'?');
                (byte, byte)
            }
            // The second state of a `*` that the first read for.
            Reads::Many if automaton.least(state) == automaton.least(state + 1) => continue,
            Reads::Many => (b'a', b'a'),
        };
        bytes.push(shown);
        name = name.and_then(|name| name.after(byte));
    }
    if name.is_some_and(Name::may_end) {
        return text(bytes);
    }
    let mut as_many_as_it_takes = usize::MAX;
    let other = common(automaton, segment, automaton, segment, &mut as_many_as_it_takes);
    other.ok().flatten().unwrap_or_else(|| text(bytes))
}

/// A name that both segments have; of `left` states, so many are looked at.
pub(super) fn common(
    a: &Automaton,
    p: &Range<u32>,
    b: &Automaton,
    q: &Range<u32>,
    left: &mut usize,
) -> Result<Option<String>, TooBig> {
    if !ends_meet(a, p, b, q) {
        return Ok(None);
    }
    let states = (p.len() + 1) * (q.len() + 1) * Name::COUNT;
    let nodes = Vec::with_capacity(2 * (p.len() + q.len()));
    let (open, later) = (Vec::with_capacity(32), Vec::new());
    Search { a, b, p, q, reached: Bits::new(states), nodes, open, later }.run(left)
}

/// A pair of states that some begin of a name leads to.
#[derive(Clone, Copy)]
struct Node {
    a: u32,
    b: u32,
    name: Name,
    /// The last byte of the begin, as it is shown.
    shown: u8,
    /// The node that the begin led to before that byte; [`ROOT`] if there was none.
    from: u32,
    /// The next to look at after it, of those that promise a name as long; [`ROOT`] after the last.
    next: u32,
}

const ROOT: u32 = u32::MAX;

struct Search<'a> {
    a: &'a Automaton,
    b: &'a Automaton,
    p: &'a Range<u32>,
    q: &'a Range<u32>,
    reached: Bits,
    /// All nodes reached.
    nodes: Vec<Node>,
    /// The first node to look at, by how long a name through it is at least.
    open: Vec<u32>,
    /// Nodes that an empty `*` leads to. They come last, because `a.rs` says more than `.rs`.
    later: Vec<(Node, u32)>,
}

impl Search<'_> {
    fn run(mut self, left: &mut usize) -> Result<Option<String>, TooBig> {
        let (a, b) = (self.p.start, self.q.start);
        self.reach(Node { a, b, name: Name::Empty, shown: 0, from: ROOT, next: ROOT }, 0);
        let mut length = 0;
        loop {
            while let Some(first) = self.open.get_mut(length) {
                // Of those that promise the same, the one that was reached last came furthest.
                let number = *first;
                let Some(&node) = self.nodes.get(number as usize) else {
                    length += 1;
                    continue;
                };
                *first = node.next;
                if node.a == self.p.end && node.b == self.q.end {
                    if node.name.may_end() {
                        return Ok(Some(self.name_to(number)));
                    }
                    continue;
                }
                if self.nodes.len() > *left {
                    return Err(TooBig);
                }
                let read = length as u32 - self.least(&node);
                self.follow(node, number, read + 1);
            }
            if self.later.is_empty() {
                *left -= self.nodes.len().min(*left);
                return Ok(None);
            }
            length = 0;
            for (node, read) in std::mem::take(&mut self.later) {
                self.reach(node, read);
            }
        }
    }

    /// How many bytes are at least between a node and the end of a name, with no `*` left empty.
    #[inline(always)]
    fn least(&self, node: &Node) -> u32 {
        self.a.least(node.a).max(self.b.least(node.b))
    }

    /// Notes a node, and those that are had from it without reading.
    fn reach(&mut self, node: Node, read: u32) {
        let (a, b) = ((node.a - self.p.start) as usize, (node.b - self.q.start) as usize);
        if !self.reached.insert((a * (self.q.len() + 1) + b) * Name::COUNT + node.name as usize) {
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
        if node.a == self.p.end || node.b == self.q.end {
            return;
        }
        let both = match (self.a.reads(node.a), self.b.reads(node.b)) {
            (Reads::Byte { byte, shown }, _) | (_, Reads::Byte { byte, shown }) => {
                return self.read(node, from, read, byte, shown);
            }
            (Reads::OneOf(a), Reads::OneOf(b)) => a.and(b),
            (Reads::OneOf(set), Reads::Many) | (Reads::Many, Reads::OneOf(set)) => set,
            (Reads::Many, Reads::Many) => ByteSet::ANY,
        };
        // After a byte that makes the name plain, all is possible that any other allows.
        let is_plain = |byte| both.contains(byte) && node.name.after(byte) == Some(Name::Plain);
        match READABLE.iter().copied().find(|&byte| is_plain(byte)) {
            Some(byte) => self.read(node, from, read, byte, byte),
            None => both.iter().for_each(|byte| self.read(node, from, read, byte, byte)),
        }
    }

    #[inline(always)]
    fn read(&mut self, node: Node, from: u32, read: u32, byte: u8, shown: u8) {
        if let (Some(a), Some(b), Some(name)) =
            (self.a.after(node.a, byte), self.b.after(node.b, byte), node.name.after(byte))
        {
            self.reach(Node { a, b, name, shown, from, next: ROOT }, read);
        }
    }

    fn name_to(&self, last: u32) -> String {
        let mut bytes = Vec::new();
        let mut node = self.nodes.get(last as usize);
        while let Some(Node { shown, from, .. }) = node.filter(|node| node.from != ROOT) {
            bytes.push(*shown);
            node = self.nodes.get(*from as usize);
        }
        bytes.reverse();
        text(bytes)
    }
}

/// Letters are whole: a byte is from a letter of a pattern's text, or ASCII.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
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
