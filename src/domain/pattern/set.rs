//! Many patterns at once, for many paths.

use std::fmt::Write as _;

use globset::{Candidate, Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::base::paths::RepoPath;
use crate::domain::pattern::Pattern;
use crate::domain::pattern::names::is_ownable;
use crate::domain::pattern::parse::{Piece, Segment};
use crate::domain::pattern::steps::ByteSet;

/// Patterns compiled together. Answers as [`Pattern::contains`] of each would, in one pass over the path;
/// compiling costs more than asking for a single path, so it pays for many paths. A few plain paths, which
/// is what most tasks own, are compared as they are.
#[derive(Debug, Clone, Default)]
pub struct PatternSet {
    patterns: Vec<Pattern>,
    globs: Option<Globs>,
}

#[derive(Debug, Clone)]
struct Globs {
    set: GlobSet,
    /// Which pattern a glob of the set is from.
    pattern_of: Vec<usize>,
}

/// So many plain paths are compared faster one by one than compiled.
const FEW: usize = 8;

impl PatternSet {
    /// Compiles patterns; their order decides who is named as owner.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let patterns: Vec<Pattern> = patterns.into_iter().collect();
        if patterns.len() <= FEW && patterns.iter().all(Pattern::is_literal) {
            return Self { patterns, globs: None };
        }
        Self::compiled(patterns)
    }

    /// Compiles also what is few and plain.
    pub(super) fn compiled(patterns: Vec<Pattern>) -> Self {
        let globs = Globs::compile(&patterns).ok();
        Self { patterns, globs }
    }

    /// The patterns, in their order.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether globset took all patterns.
    #[cfg(test)]
    pub(super) fn is_compiled(&self) -> bool {
        self.globs.is_some()
    }

    /// Whether one of the patterns owns exactly this path, byte by byte.
    pub fn contains(&self, path: &RepoPath) -> bool {
        match &self.globs {
            Some(globs) => {
                globs.set.is_match_candidate(&Candidate::from_bytes(path.as_bytes()))
                    && is_ownable(path.as_bytes())
            }
            None => self.owner_of(path).is_some(),
        }
    }

    /// The first of the patterns that owns exactly this path.
    pub fn owner_of(&self, path: &RepoPath) -> Option<&Pattern> {
        let Some(globs) = &self.globs else {
            // So few, or so many or so large that they cannot be compiled together.
            return self.patterns.iter().find(|pattern| pattern.contains(path));
        };
        let matches = globs.set.matches_candidate(&Candidate::from_bytes(path.as_bytes()));
        let first = matches.into_iter().next().filter(|_| is_ownable(path.as_bytes()))?;
        self.patterns.get(*globs.pattern_of.get(first)?)
    }
}

impl FromIterator<Pattern> for PatternSet {
    fn from_iter<I: IntoIterator<Item = Pattern>>(patterns: I) -> Self {
        Self::new(patterns)
    }
}

impl Globs {
    fn compile(patterns: &[Pattern]) -> Result<Self, globset::Error> {
        let mut builder = GlobSetBuilder::new();
        let mut pattern_of = Vec::new();
        for (n, pattern) in patterns.iter().enumerate() {
            for alternative in pattern.alternatives() {
                let text = glob_text(alternative);
                if pattern.is_literal() && !pattern.is_folder() {
                    builder.add(glob(&format!("{text}/**"))?);
                    pattern_of.push(n);
                }
                builder.add(glob(&text)?);
                pattern_of.push(n);
            }
        }
        Ok(Self { set: builder.build()?, pattern_of })
    }
}

fn glob(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build()
}

/// The alternative as globset writes it. Its brackets match `/` when they are negated or a range
/// runs over it, and ours never do, so they are written anew.
fn glob_text(alternative: &[Segment]) -> String {
    let mut text = String::new();
    for (n, segment) in alternative.iter().enumerate() {
        if n > 0 {
            text.push('/');
        }
        let Segment::Name(pieces) = segment else {
            text.push_str("**");
            continue;
        };
        for piece in pieces {
            match piece {
                Piece::Text(name) => name.chars().for_each(|c| push_quoted(&mut text, c)),
                Piece::Star => text.push('*'),
                Piece::OneOf(ByteSet::ANY) => text.push('?'),
                Piece::OneOf(set) if set.has_beyond() => push_all_but(&mut text, set.others()),
                Piece::OneOf(set) => push_one_of(&mut text, *set),
            }
        }
    }
    text
}

fn push_quoted(text: &mut String, c: char) {
    if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | ',') {
        text.extend(['[', c, ']']);
    } else {
        text.push(c);
    }
}

/// `{a,b}` and not `[ab]`: there, `!` and `^` in the first place would negate.
fn push_one_of(text: &mut String, set: ByteSet) {
    let mut open = '{';
    for byte in set.iter() {
        text.push(open);
        push_quoted(text, char::from(byte));
        open = ',';
    }
    text.push('}');
}

/// `[!]/ab-]`: `]` is itself in the first place only, `-` in the last.
fn push_all_but(text: &mut String, set: ByteSet) {
    text.push_str(if set.contains(b']') { "[!]/" } else { "[!/" });
    for byte in set.iter().filter(|byte| !matches!(byte, b']' | b'-')) {
        let _ = write!(text, "{}", char::from(byte));
    }
    text.push_str(if set.contains(b'-') { "-]" } else { "]" });
}
