use proptest::prelude::*;

use super::*;
use crate::base::paths::RepoPath;
use crate::domain::pattern::tests::{Oracle, ascii, beyond_ascii, pattern};

#[test]
fn witnesses_of_the_table() {
    for (a, b, witness) in [
        ("src", "src", Some("src")),
        ("src", "src/", Some("src/a")),
        ("src/", "src/", Some("src/a")),
        ("src/db", "src", Some("src/db")),
        ("src/db/", "src/", Some("src/db/a")),
        ("src/db", "src/", Some("src/db")),
        ("src", "SRC", Some("src")),
        ("src", "srcs", None),
        ("src/db", "src/api", None),
        ("é.md", "e\u{301}.md", Some("é.md")),
        ("src", "src/*.rs", Some("src/a.rs")),
        ("src/main.rs", "src/*.rs", Some("src/main.rs")),
        ("src/Main.rs", "SRC/*.RS", Some("src/Main.rs")),
        ("src/db/", "src/db/*.rs", Some("src/db/a.rs")),
        ("src/main.rs/", "src/*.rs", None),
        ("src/db/**", "**/a.rs", Some("src/db/a.rs")),
        ("**/*.rs", "**/*.md", None),
        ("**/*.rs", "src/db/*", Some("src/db/a.rs")),
        ("**", "**", Some("a")),
        ("*", "*", Some("a")),
        ("*", "**/b", Some("b")),
        ("*", "*/", None),
        ("*.rs", ".rs", Some(".rs")),
        ("a*", "*b", Some("ab")),
        ("a*b*c", "*bb*", Some("abbac")),
        ("{a,b}/x", "{b,c}/*", Some("b/x")),
        ("{a,b}/x", "{c,d}/*", None),
        ("[a-m]*", "[n-z]*", None),
        ("[a-m]*", "[M-Z]*", Some("ma")),
        ("[!a]", "a", Some("a")),
        ("[!aA]", "a", None),
        ("a?c", "abbc", None),
        ("?", "[!a-z]", Some("a")),
        ("?", "[!a-zA-Z]", Some("0")),
        // Not `.git`, which nobody owns.
        (".gi?", ".git*", None),
        (".git?", ".git*", Some(".gita")),
        (".?", "[.]*", Some(".a")),
        ("?", "[.]*", None),
        (".gi[st]/x", "**/x", Some(".gis/x")),
        // A letter of two bytes, whole or as letter and mark.
        ("??.md", "é.md", Some("é.md")),
        ("e*.md", "é.md", Some("é.md")),
        ("???.md", "é.md", Some("é.md")),
        ("É*", "*é", Some("Éé")),
        ("?.md", "é.md", None),
        ("*/か.md", "*/が.md", None),
        ("*/STRASSE", "*/straße", Some("a/STRASSE")),
        // Segment by segment.
        ("**/*.rs", "**/*.md/**", Some("a.md/a.rs")),
        ("a/**/b/**", "**/c/d", Some("a/b/c/d")),
        ("a/**/b", "a/b", Some("a/b")),
        ("a/*/b", "a/**/b/c", None),
        ("**/x/**/*.{ts,tsx}", "**/y/**/*.{js,ts}", Some("x/y/a.ts")),
        ("**/.gi?/**", "**/x", Some(".gia/x")),
        (".git*/x", "**/x", Some(".gita/x")),
    ] {
        let (a, b) = (pattern(a), pattern(b));
        assert_eq!(overlap(&a, &b).as_deref(), witness, "{a} and {b}");
        assert_eq!(overlap(&b, &a).is_some(), witness.is_some(), "{b} and {a}");
    }
}

#[test]
fn too_big_is_an_overlap() {
    // No path is in both (nothing in the first is a `d`), but to know it takes half a million states.
    let (long, starred) = ("[!d]".repeat(1000), "*a".repeat(900));
    let a = pattern(&format!("src/{long}x"));
    let b = pattern(&format!("src/{starred}*d*x"));
    assert_eq!(overlap(&a, &b).as_deref(), Some("src"));
    assert!(overlap(&pattern(&format!("{long}x")), &pattern(&format!("{starred}*d*x"))).is_some());
    // Where the ends tell, nothing is searched.
    let a = pattern(&format!("src/{}x", "*a?".repeat(1000)));
    let b = pattern(&format!("src/{}y", "*?a".repeat(1000)));
    assert_eq!(overlap(&a, &b), None);
}

/// All spellings of an ASCII path in upper and lower case.
fn spellings(path: &str) -> Vec<RepoPath> {
    path.chars()
        .fold(vec![String::new()], |spellings, c| {
            let mut cases = vec![c.to_ascii_lowercase(), c.to_ascii_uppercase()];
            cases.dedup();
            spellings.iter().flat_map(|before| cases.iter().map(move |c| format!("{before}{c}"))).collect()
        })
        .iter()
        .map(|path| RepoPath::from(path.as_str()))
        .collect()
}

/// All paths of up to five of these characters.
fn short_paths() -> Vec<RepoPath> {
    let mut paths = vec![String::new()];
    let mut from = 0;
    for _ in 0..5 {
        let until = paths.len();
        for n in from..until {
            paths.extend("ab./".chars().map(|c| format!("{}{c}", paths[n])).collect::<Vec<_>>());
        }
        from = until;
    }
    paths.iter().map(|path| RepoPath::from(path.as_str())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_witness_is_owned_by_both((a, in_a) in ascii(), (b, in_b) in ascii()) {
        let (owns_a, owns_b) = (Oracle::new(&a), Oracle::new(&b));
        match overlap(&a, &b) {
            Some(witness) => {
                prop_assume!(witness.chars().filter(char::is_ascii_alphabetic).count() <= 10);
                let spellings = spellings(&witness);
                prop_assert!(spellings.iter().any(|path| owns_a.contains(path)), "{a} and {b}: {witness}");
                prop_assert!(spellings.iter().any(|path| owns_b.contains(path)), "{a} and {b}: {witness}");
            }
            None => {
                for path in short_paths().iter().chain([&RepoPath::from(&*in_a), &RepoPath::from(&*in_b)]) {
                    prop_assert!(!(owns_a.contains(path) && owns_b.contains(path)), "{a} and {b}: {path}");
                }
            }
        }
    }

    #[test]
    fn what_both_own_is_an_overlap(
        (a, in_a) in beyond_ascii(),
        (b, in_b) in prop_oneof![2 => beyond_ascii(), 1 => ascii()],
    ) {
        for path in [in_a, in_b] {
            let path = RepoPath::from(&*path);
            if a.contains(&path) && b.contains(&path) {
                prop_assert!(overlap(&a, &b).is_some(), "{a} and {b}: {path}");
            }
        }
    }

    #[test]
    fn twins_are_an_overlap((a, in_a) in ascii(), (b, in_b) in ascii()) {
        for path in [in_a, in_b] {
            let [lower, upper] = [path.to_ascii_lowercase(), path.to_ascii_uppercase()];
            let spellings = [&path, &lower, &upper].map(|path| RepoPath::from(path.as_str()));
            let owned = |pattern: &Pattern| spellings.iter().any(|path| pattern.contains(path));
            if owned(&a) && owned(&b) {
                prop_assert!(overlap(&a, &b).is_some(), "{a} and {b}: {path}");
            }
        }
    }

    #[test]
    fn is_symmetric_and_reflexive(
        (a, _) in prop_oneof![ascii(), beyond_ascii()],
        (b, _) in prop_oneof![ascii(), beyond_ascii()],
    ) {
        prop_assert_eq!(overlap(&a, &b).is_some(), overlap(&b, &a).is_some(), "{} and {}", a, b);
        prop_assert!(overlap(&a, &a).is_some(), "{}", a);
    }

    #[test]
    fn what_is_surely_apart_has_no_overlap(
        (a, _) in prop_oneof![ascii(), beyond_ascii()],
        (b, _) in prop_oneof![ascii(), beyond_ascii()],
    ) {
        if overlap(&a, &b).is_some() {
            prop_assert!(!a.is_surely_apart(&b) && !b.is_surely_apart(&a), "{} and {}", a, b);
            let (a, b) = (a.lead(), b.lead());
            prop_assert!(a.starts_with(b) || b.starts_with(a), "{} and {}", a, b);
        }
    }

    #[test]
    fn a_pattern_overlaps_each_path_that_it_owns((a, path) in prop_oneof![ascii(), beyond_ascii()]) {
        if let (true, Ok(literal)) = (a.contains(&RepoPath::from(&*path)), Pattern::of_path(&path)) {
            let witness = overlap(&a, &literal);
            prop_assert!(witness.is_some(), "{} and {}", a, path);
            // Of a path that is matched exactly, the witness is that path, up to folding.
            if a.is_ascii() && !a.is_literal() && !path.ends_with('/') {
                let witness = fold(&witness.unwrap_or_default());
                prop_assert!(witness.starts_with(&fold(&path)), "{} and {}: {}", a, path, witness);
            }
        }
    }
}

#[test]
fn a_file_has_nothing_below_it() {
    let files = ["README.md", "src/a.rs", "docs/é.md"];
    let is_file = |path: &str| files.contains(&path);
    let table = [
        ("README.md", "**/*.rs", None),
        ("README.md", "README.md/x.rs", None),
        ("README.md", "**/*.md", Some("README.md")),
        ("README.md", "README.md", Some("README.md")),
        ("README.md", "**", Some("README.md")),
        ("README.md", "README.md/", None),
        ("readme.md", "**/*.rs", Some("readme.md/a.rs")),
        ("docs/é.md", "docs/**/*.rs", None),
        ("docs/é.md", "docs/*.md", Some("docs/é.md")),
        ("src/a.rs", "{src,lib}/*.rs", Some("src/a.rs")),
        // What is not there yet may become a folder.
        ("NEW.md", "**/*.rs", Some("NEW.md/a.rs")),
        ("src", "src/a.rs", Some("src/a.rs")),
    ];
    for (a, b, expected) in table {
        let (a, b) = (Pattern::parse(a).unwrap(), Pattern::parse(b).unwrap());
        assert_eq!(overlap_of(&a, &b, &is_file).as_deref(), expected, "{a} and {b}");
        assert_eq!(overlap_of(&b, &a, &is_file).as_deref(), expected, "{b} and {a}");
        // Without that knowledge they may meet.
        assert!(overlap(&a, &b).is_some(), "{a} and {b}");
    }
}
