//! Names that differ only in case or normal form are one name on some systems.

use crate::base::sorting::sort;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use caseless::Caseless;

use super::normal::{composed, decomposed};
use crate::base::paths::RepoPath;

/// The text without case and in one normal form: canonical caseless matching of the Unicode
/// Standard (section 3.13, D145), in NFC. Two texts that a system
/// without case or normal form takes for one fold to the same. Folding twice changes nothing.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    composed(decomposed(text.chars()).into_iter().default_case_fold())
}

/// [`fold`] in NFD: letters apart from their marks.
pub(super) fn fold_decomposed(text: &str) -> String {
    decomposed(decomposed(text.chars()).into_iter().default_case_fold()).into_iter().collect()
}

/// [`fold`] of a path; bytes that are no text stay as they are.
fn fold_bytes(path: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        folded.extend_from_slice(fold(chunk.valid()).as_bytes());
        folded.extend_from_slice(chunk.invalid());
    }
    folded
}

/// Pairs of different paths of one tree that fold to the same name, folders included (`Src` and
/// `src` of `Src/a` and `src/b`): a checkout on a system without case would lose one of them.
/// Sorted; of three twins, each later one is paired with the one that came first.
///
/// Paths in git's order are cheapest: a folder is then looked at once.
pub fn twins<'a>(paths: impl IntoIterator<Item = &'a RepoPath>) -> Vec<(RepoPath, RepoPath)> {
    let mut first: HashMap<Vec<u8>, &'a [u8]> = HashMap::new();
    let mut pairs = Vec::new();
    let mut previous: &[u8] = b"";
    for path in paths {
        let path = path.as_bytes();
        let slashes = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at);
        let folders = slashes.filter(|&end| previous.get(..=end) != path.get(..=end));
        for end in folders.chain([path.len()]) {
            let name = &path[..end];
            match first.entry(fold_bytes(name)) {
                Entry::Vacant(free) => {
                    free.insert(name);
                }
                Entry::Occupied(taken) if *taken.get() != name => {
                    pairs.push((RepoPath::from_bytes(*taken.get()), RepoPath::from_bytes(name)));
                }
                Entry::Occupied(_) => {}
            }
        }
        previous = path;
    }
    sort(&mut pairs);
    pairs.dedup();
    pairs
}
