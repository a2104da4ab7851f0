//! The canonical normal forms of the Unicode Standard (section 3.11, D108 to D118).
//!
//! The library's iterators do the same, and bring the tables of the compatible forms along: 62 KB of the program that
//! nothing asks for. Its functions for single characters do not.

use unicode_normalization::char::{canonical_combining_class, compose, decompose_canonical};

use crate::base::sorting;

/// NFD: letters apart from their marks, and these in one order.
pub fn decomposed(text: impl IntoIterator<Item = char>) -> Vec<char> {
    let mut decomposed = Vec::new();
    for letter in text {
        decompose_canonical(letter, |part| decomposed.push(part));
    }
    for marks in decomposed.split_mut(|part| canonical_combining_class(*part) == 0) {
        sorting::sort_by_key(marks, |mark| canonical_combining_class(*mark));
    }
    decomposed
}

/// NFC: letters with their marks, as far as there are characters for that.
pub fn composed(text: impl IntoIterator<Item = char>) -> String {
    let mut composed: Vec<char> = Vec::new();
    // What marks belong to, and the class of the mark that was left behind it.
    let (mut letter, mut left) = (None, None);
    for part in decomposed(text) {
        let class = canonical_combining_class(part);
        // A mark of the same class, or a higher one, is in between, or one is between two letters.
        let is_blocked = left.is_some_and(|left| left >= class);
        if let Some(at) = letter.filter(|_| !is_blocked)
            && let Some(joined) = composed.get(at).and_then(|letter| compose(*letter, part))
        {
            composed[at] = joined;
            continue;
        }
        (letter, left) = if class == 0 { (Some(composed.len()), None) } else { (letter, Some(class)) };
        composed.push(part);
    }
    composed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    use super::*;

    fn is_as_the_library_says(text: &str) {
        let is: String = decomposed(text.chars()).into_iter().collect();
        assert_eq!(is, text.nfd().collect::<String>(), "{text:?}");
        assert_eq!(composed(text.chars()), text.nfc().collect::<String>(), "{text:?}");
    }

    #[test]
    fn every_character_alone_and_between_marks() {
        // Above there are none that have a normal form of their own.
        for letter in '\0'..='\u{30000}' {
            is_as_the_library_says(&letter.to_string());
            is_as_the_library_says(&format!("\u{323}{letter}\u{307}\u{323}e{letter}\u{301}"));
        }
    }

    proptest! {
        #[test]
        fn any_text(text in "\\PC*") {
            is_as_the_library_says(&text);
        }

        #[test]
        fn letters_and_many_marks(text in "[aeqxöǭ각각\u{300}-\u{345}\u{591}-\u{5bd}\u{9be}\u{1133e}]{0,12}") {
            is_as_the_library_says(&text);
        }
    }
}
