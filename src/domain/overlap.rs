//! Whether two patterns can own one file, decided exactly, with a file that both own.
//!
//! Two alternatives are walked through together, segment by segment: where one has `**` the other goes on alone,
//! and two names must have one in common (`segment`), which is searched for only where their begins and ends
//! can be the same. The path found has as few segments as can be.
//!
//! Granting is cautious: paths are compared folded, and a search that grows too big says that the
//! patterns overlap. What the folded comparison cannot see is that a `?` or a bracket may match a
//! letter whose folded form has other bytes (`??` matches `ſ`, which folds to `s`), and marks written
//! out of their canonical order; landing refuses such [twins](crate::domain::pattern::twins).
//!
//! Measured in the release build: 12 ns for two patterns whose keys differ, 40 ns for two whose last names do,
//! 1 to 3 µs for two that meet, three `**` and seven `*` on each side among them. What runs for every state of a
//! search is inlined by hand, as the program is built for size.

use crate::domain::overlap::segment::TooBig;
use crate::domain::pattern::steps::{Automaton, Form, Part};
use crate::domain::pattern::{Pattern, composed, fold};

mod segment;

#[cfg(test)]
mod tests;

/// How many states and steps a search may reach before it gives up and says "overlap": 50 ms, far
/// beyond what patterns that people write need (some dozens).
const MAX_STATES: usize = 200_000;

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
    forms.iter().find_map(|&form| match search(a.automaton(form), b.automaton(form)) {
        Answer::Path(path) if form == Form::Decomposed => Some(composed(path.chars())),
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

/// Looks for a path in both, of as few segments as can be.
fn search(a: &Automaton, b: &Automaton) -> Answer {
    let mut left = MAX_STATES;
    for of_a in a.alternatives() {
        for of_b in b.alternatives() {
            match (Walk { a, b, of_a, of_b, steps: Vec::new(), names: Vec::new() }.run(&mut left)) {
                Answer::None => {}
                found => return found,
            }
        }
    }
    Answer::None
}

/// What the last segment before a step is called.
#[derive(Clone, Copy)]
enum Named {
    /// As the one pattern has it, in its part with this number.
    ByA(u32),
    /// As the other has it.
    ByB(u32),
    /// As both have it: a name that was found.
    ByBoth(u32),
    /// As one likes.
    Anyhow,
}

/// Where two alternatives stand after the same segments.
#[derive(Clone, Copy)]
struct Step {
    a: u32,
    b: u32,
    /// The step before the last segment; [`START`] if there was none.
    from: u32,
    named: Named,
}

const START: u32 = u32::MAX;

/// A walk through two alternatives, segment by segment.
struct Walk<'a> {
    a: &'a Automaton,
    b: &'a Automaton,
    of_a: &'a [Part],
    of_b: &'a [Part],
    /// All that were reached, in order: the first that is at the end has the fewest segments.
    steps: Vec<Step>,
    /// The names that were found for both.
    names: Vec<String>,
}

impl Walk<'_> {
    fn run(mut self, left: &mut usize) -> Answer {
        // Most that are apart are so by their last names.
        if let (Some(Part::Name(p)), Some(Part::Name(q))) = (self.of_a.last(), self.of_b.last())
            && !segment::ends_meet(self.a, p, self.b, q)
        {
            return Answer::None;
        }
        let mut reached = Bits::new((self.of_a.len() + 1) * (self.of_b.len() + 1));
        if let Some(last) = self.reach(&mut reached, Step { a: 0, b: 0, from: START, named: Named::Anyhow }) {
            return Answer::Path(self.path_to(last));
        }
        let mut number = 0;
        while let Some(&step) = self.steps.get(number) {
            let Some(rest) = left.checked_sub(1) else { return Answer::TooBig };
            *left = rest;
            match self.follow(step, number as u32, left) {
                Some(Ok(next)) => {
                    if let Some(last) = self.reach(&mut reached, next) {
                        return Answer::Path(self.path_to(last));
                    }
                }
                Some(Err(TooBig)) => return Answer::TooBig,
                None => {}
            }
            number += 1;
        }
        Answer::None
    }

    /// Notes a step, and those that are had from it without a segment; the one that is at the end of both.
    fn reach(&mut self, reached: &mut Bits, step: Step) -> Option<Step> {
        let (a, b) = (step.a as usize, step.b as usize);
        if !reached.insert(a * (self.of_b.len() + 1) + b) {
            return None;
        }
        if (a, b) == (self.of_a.len(), self.of_b.len()) {
            return Some(step);
        }
        self.steps.push(step);
        let skips = |parts: &[Part], at: usize| parts.get(at) == Some(&Part::Dirs);
        let by_a = skips(self.of_a, a).then_some(Step { a: step.a + 1, ..step });
        let by_b = skips(self.of_b, b).then_some(Step { b: step.b + 1, ..step });
        by_a.into_iter().chain(by_b).find_map(|step| self.reach(reached, step))
    }

    /// The step one segment on, where there is one.
    fn follow(&mut self, step: Step, from: u32, left: &mut usize) -> Option<Result<Step, TooBig>> {
        let (of_a, of_b) = (self.of_a.get(step.a as usize)?, self.of_b.get(step.b as usize)?);
        let named = match (of_a, of_b) {
            (Part::Name(p), Part::Name(q)) => match segment::common(self.a, p, self.b, q, left) {
                Ok(Some(name)) => {
                    self.names.push(name);
                    Named::ByBoth(self.names.len() as u32 - 1)
                }
                Ok(None) => return None,
                Err(too_big) => return Some(Err(too_big)),
            },
            (Part::Name(_), _) => Named::ByA(step.a),
            (_, Part::Name(_)) => Named::ByB(step.b),
            // Both have it already without this segment.
            (Part::Dirs, Part::Dirs) => return None,
            _ => Named::Anyhow,
        };
        let stays = |part: &Part| *part == Part::Dirs;
        let (a, b) = (step.a + u32::from(!stays(of_a)), step.b + u32::from(!stays(of_b)));
        Some(Ok(Step { a, b, from, named }))
    }

    fn path_to(&self, last: Step) -> String {
        let mut names = Vec::new();
        let mut step = Some(&last);
        while let Some(Step { from, named, .. }) = step.filter(|step| step.from != START) {
            let of = |automaton, parts: &[Part], at: u32| match parts.get(at as usize) {
                Some(Part::Name(range)) => segment::example(automaton, range),
                _ => segment::ANY.to_owned(),
            };
            names.push(match *named {
                Named::ByA(at) => of(self.a, self.of_a, at),
                Named::ByB(at) => of(self.b, self.of_b, at),
                Named::ByBoth(at) => self.names[at as usize].clone(),
                Named::Anyhow => segment::ANY.to_owned(),
            });
            step = self.steps.get(*from as usize);
        }
        names.reverse();
        names.join("/")
    }
}

/// States, as bits.
struct Bits(Vec<u64>);

impl Bits {
    fn new(states: usize) -> Self {
        Self(vec![0; states.div_ceil(64)])
    }

    /// Whether the state was not there yet.
    #[inline(always)]
    fn insert(&mut self, state: usize) -> bool {
        let (word, bit) = (&mut self.0[state / 64], 1 << (state % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}
