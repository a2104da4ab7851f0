//! A pattern as a nondeterministic automaton over the bytes of a path.

use std::ops::Range;

use crate::domain::pattern::fold::{fold, fold_decomposed};
use crate::domain::pattern::parse::{Piece, Segment};

/// Which spelling of paths an automaton reads.
///
/// Wildcards count bytes, and folding changes how many bytes a letter has. So a pair with a
/// text beyond ASCII is compared three times, and any hit is an overlap: `Exact` misses no path
/// that both contain, the other two find paths that differ in case and in normal form.
/// ASCII texts need `Folded` only: where a path that both contain has a byte beyond ASCII, both
/// have a wildcard that takes an ASCII byte as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain) enum Form {
    /// The bytes as they are.
    Exact,
    /// As [`fold`] writes it.
    Folded,
    /// As [`fold`], letters apart from their marks.
    Decomposed,
}

/// Bytes that may stand in one place of a name: some of ASCII, and all beyond or none.
/// Never `/` nor NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain) struct ByteSet {
    ascii: u128,
    beyond: bool,
}

impl ByteSet {
    /// No byte.
    pub(in crate::domain) const EMPTY: Self = Self { ascii: 0, beyond: false };

    /// Every byte that a name may have.
    pub(in crate::domain) const ANY: Self = Self { ascii: !(1 | 1 << b'/'), beyond: true };

    /// Adds a byte of ASCII; `/`, NUL and others are not taken.
    pub(in crate::domain) fn insert(&mut self, byte: u8) {
        self.ascii |= 1_u128.checked_shl(byte.into()).unwrap_or(0) & Self::ANY.ascii;
    }

    /// The bytes of names that are not in it.
    pub(in crate::domain) fn others(self) -> Self {
        Self { ascii: Self::ANY.ascii & !self.ascii, beyond: !self.beyond }
    }

    /// The bytes in both.
    #[inline(always)]
    pub(in crate::domain) fn and(self, other: Self) -> Self {
        Self { ascii: self.ascii & other.ascii, beyond: self.beyond && other.beyond }
    }

    /// Whether a byte is in it.
    #[inline(always)]
    pub(in crate::domain) fn contains(self, byte: u8) -> bool {
        1_u128.checked_shl(byte.into()).map_or(self.beyond, |bit| self.ascii & bit != 0)
    }

    /// Whether no byte is in it.
    #[inline(always)]
    pub(in crate::domain) fn is_empty(self) -> bool {
        self.ascii == 0 && !self.beyond
    }

    /// Whether bytes beyond ASCII are in it.
    pub(in crate::domain) fn has_beyond(self) -> bool {
        self.beyond
    }

    /// Its bytes of ASCII, from the lowest.
    pub(in crate::domain) fn iter(self) -> impl Iterator<Item = u8> {
        (0..128).filter(move |&byte| self.contains(byte))
    }

    /// Its bytes in lower case.
    fn folded(self) -> Self {
        const UPPER: u128 = ((1 << 26) - 1) << b'A';
        let upper = self.ascii & UPPER;
        Self { ascii: self.ascii & !UPPER | upper << (b'a' - b'A'), ..self }
    }
}

/// One state; most read a byte and go to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Reads this byte. `shown` is how the pattern writes it.
    Byte { byte: u8, shown: u8 },
    /// Reads a byte of the set with this number.
    OneOf(u32),
    /// A `*` that read nothing yet; always before `StarMore`.
    Star,
    /// A `*` that read something.
    StarMore,
    /// A `**/` at the begin of a segment; always before `DirsMore`.
    Dirs,
    /// A `**/` within a segment.
    DirsMore,
    /// A last `**` that read nothing yet; always before `RestMore`.
    Rest,
    /// A last `**` that read something: may end, and reads anything.
    RestMore,
    /// The end of a literal path: may end, or goes on below.
    Below,
    /// The end.
    End,
}

/// What a state of a name reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain) enum Reads {
    /// One byte, which the pattern writes as `shown`.
    Byte { byte: u8, shown: u8 },
    /// Any of these.
    OneOf(ByteSet),
    /// Any bytes: it is a `*`.
    Many,
}

/// One segment of an alternative, or any number of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::domain) enum Part {
    /// A segment whose name these states read; behind the last of them it ends.
    Name(Range<u32>),
    /// Any one segment.
    Any,
    /// Any number of segments, none included.
    Dirs,
}

/// A pattern over one spelling of paths. States are numbered; a state reads at most one way.
pub(in crate::domain) struct Automaton {
    steps: Vec<Step>,
    sets: Vec<ByteSet>,
    starts: Vec<u32>,
    /// For each state the fewest bytes to the end of its name, with no `*` left empty.
    least: Vec<u32>,
    /// The alternatives, segment by segment.
    alternatives: Vec<Vec<Part>>,
}

impl Automaton {
    /// The automaton of a pattern's alternatives; `owns_below` for a literal path.
    pub(super) fn new(alternatives: &[Vec<Segment>], owns_below: bool, form: Form) -> Self {
        let mut automaton = Self {
            steps: Vec::new(),
            sets: Vec::new(),
            starts: Vec::new(),
            least: Vec::new(),
            alternatives: Vec::with_capacity(alternatives.len()),
        };
        for alternative in alternatives {
            automaton.starts.push(number(automaton.steps.len()));
            let end: &[Step] =
                if owns_below { &[Step::Below, Step::Rest, Step::RestMore] } else { &[Step::End] };
            let mut parts = automaton.add(alternative, end, form);
            parts.extend(owns_below.then_some(Part::Dirs));
            automaton.alternatives.push(parts);
        }
        automaton.steps.shrink_to_fit();
        automaton.least = automaton.fewest();
        automaton
    }

    fn add(&mut self, alternative: &[Segment], end: &[Step], form: Form) -> Vec<Part> {
        let mut parts = Vec::with_capacity(alternative.len() + 1);
        for (n, segment) in alternative.iter().enumerate() {
            let is_last = n + 1 == alternative.len();
            match segment {
                Segment::Globstar if is_last => {
                    self.steps.extend([Step::Rest, Step::RestMore]);
                    parts.extend([Part::Any, Part::Dirs]);
                    return parts;
                }
                Segment::Globstar => {
                    self.steps.extend([Step::Dirs, Step::DirsMore]);
                    parts.push(Part::Dirs);
                }
                Segment::Name(pieces) => {
                    let start = number(self.steps.len());
                    pieces.iter().for_each(|piece| self.add_piece(piece, form));
                    parts.push(Part::Name(start..number(self.steps.len())));
                    if !is_last {
                        self.steps.push(Step::Byte { byte: b'/', shown: b'/' });
                    }
                }
            }
        }
        self.steps.extend_from_slice(end);
        parts
    }

    fn add_piece(&mut self, piece: &Piece, form: Form) {
        match piece {
            Piece::Star => self.steps.extend([Step::Star, Step::StarMore]),
            Piece::OneOf(set) => {
                self.steps.push(Step::OneOf(number(self.sets.len())));
                self.sets.push(if form == Form::Exact { *set } else { set.folded() });
            }
            Piece::Text(text) => {
                let spelled = match form {
                    Form::Exact => text.clone(),
                    Form::Folded => fold(text),
                    Form::Decomposed => fold_decomposed(text),
                };
                // Only ASCII keeps its places when it is folded.
                let shown = if text.is_ascii() { text } else { &spelled };
                let bytes = spelled.bytes().zip(shown.bytes());
                self.steps.extend(bytes.map(|(byte, shown)| Step::Byte { byte, shown }));
            }
        }
    }

    /// The fewest bytes from each state to the end of its name.
    fn fewest(&self) -> Vec<u32> {
        let mut least = vec![0; self.len()];
        for (state, step) in self.steps.iter().enumerate().rev() {
            least[state] = match step {
                Step::Byte { byte: b'/', .. } => 0,
                Step::Byte { .. } | Step::OneOf(_) | Step::Star => 1 + least[state + 1],
                Step::StarMore => least[state + 1],
                _ => 0,
            };
        }
        least
    }

    /// The fewest bytes from a state to the end of its name, with no `*` left empty.
    #[inline(always)]
    pub(in crate::domain) fn least(&self, state: u32) -> u32 {
        self.least[state as usize]
    }

    /// The alternatives, segment by segment.
    pub(in crate::domain) fn alternatives(&self) -> &[Vec<Part>] {
        &self.alternatives
    }

    /// How many states there are.
    fn len(&self) -> usize {
        self.steps.len()
    }

    /// What a state of a name reads.
    #[inline(always)]
    pub(in crate::domain) fn reads(&self, state: u32) -> Reads {
        match self.steps[state as usize] {
            Step::Byte { byte, shown } => Reads::Byte { byte, shown },
            Step::OneOf(set) => Reads::OneOf(self.sets[set as usize]),
            _ => Reads::Many,
        }
    }

    /// The state after reading `byte`.
    #[inline(always)]
    pub(in crate::domain) fn after(&self, state: u32, byte: u8) -> Option<u32> {
        let is_slash = byte == b'/';
        match self.steps[state as usize] {
            Step::Byte { byte: wanted, .. } => (byte == wanted).then_some(state + 1),
            Step::OneOf(set) => self.sets[set as usize].contains(byte).then_some(state + 1),
            Step::Star | Step::Dirs | Step::Rest => (!is_slash).then_some(state + 1),
            Step::StarMore => (!is_slash).then_some(state),
            Step::DirsMore => Some(if is_slash { state - 1 } else { state }),
            Step::RestMore => Some(state),
            Step::Below => is_slash.then_some(state + 1),
            Step::End => None,
        }
    }

    /// The state that may be had without reading, and whether a `*` stays empty by it.
    #[inline(always)]
    pub(in crate::domain) fn skip(&self, state: u32) -> Option<(u32, bool)> {
        match self.steps[state as usize] {
            Step::Star => Some((state + 2, true)),
            Step::StarMore => Some((state + 1, false)),
            Step::Dirs => Some((state + 2, false)),
            _ => None,
        }
    }

    /// Whether a path may end here.
    fn may_end(&self, state: u32) -> bool {
        matches!(self.steps[state as usize], Step::RestMore | Step::Below | Step::End)
    }

    /// Whether it reads the whole path.
    pub(super) fn accepts(&self, path: &[u8]) -> bool {
        // The round in which a state was last entered, so that it is entered once a byte.
        let mut entered = vec![0; self.len()];
        let (mut now, mut next) = (Vec::new(), Vec::new());
        for &start in &self.starts {
            self.enter(start, 1, &mut entered, &mut now);
        }
        for (&byte, round) in path.iter().zip(2..) {
            for &state in &now {
                if let Some(state) = self.after(state, byte) {
                    self.enter(state, round, &mut entered, &mut next);
                }
            }
            std::mem::swap(&mut now, &mut next);
            next.clear();
            if now.is_empty() {
                return false;
            }
        }
        now.into_iter().any(|state| self.may_end(state))
    }

    fn enter(&self, state: u32, round: usize, entered: &mut [usize], states: &mut Vec<u32>) {
        if std::mem::replace(&mut entered[state as usize], round) == round {
            return;
        }
        states.push(state);
        if let Some((state, _)) = self.skip(state) {
            self.enter(state, round, entered, states);
        }
    }
}

/// A number of a state or a set. There are at most 64 alternatives of 3 * 4096 steps (folding
/// makes a text up to three times as long), so nothing is cut.
fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
