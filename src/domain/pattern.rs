//! What a claim owns: a literal path with all below it, a folder, or a glob.

use crate::base::paths::RepoPath;

/// A pattern that can be owned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: String,
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
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        Ok(Self { text: text.to_owned() })
    }

    /// The pattern as it was written, less redundant slashes.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names one path (and all below it) rather than a glob.
    pub fn is_literal(&self) -> bool {
        true
    }

    /// The leading segments without wildcards, as written: `src/db` of `src/db/*.rs`; empty if the first has one.
    pub fn literal_path(&self) -> &str {
        &self.text
    }

    /// [`Self::literal_path`] folded and closed with `/` (empty stays empty): the key of the claim index.
    /// Two patterns can overlap only if one's key is a prefix of the other's.
    pub fn key(&self) -> String {
        self.text.clone()
    }

    /// Whether the pattern owns exactly this path, byte by byte.
    pub fn contains(&self, _path: &RepoPath) -> bool {
        false
    }
}

/// A path that both patterns own, up to case and normal form; `None` if there is none.
pub fn overlap(_a: &Pattern, _b: &Pattern) -> Option<String> {
    None
}

/// The empty key and every prefix of `key` that ends with `/`, `key` itself included.
pub fn key_ancestors(key: &str) -> Vec<&str> {
    vec![key]
}
