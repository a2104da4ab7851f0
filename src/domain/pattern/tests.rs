use globset::{GlobBuilder, GlobMatcher};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::*;

pub(in crate::domain) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|bad| panic!("{} ({})", bad.reason, bad.hint))
}

/// A part of a name, and what it may match.
type Part = (&'static str, &'static [&'static str]);

const ASCII: &[Part] = &[
    ("a", &["a"]),
    ("b", &["b"]),
    ("A", &["A"]),
    (".", &["."]),
    (".gi", &[".gi"]),
    ("t", &["t"]),
    (" ", &[" "]),
    ("*", &["", "a", "b.a", "é", "\n"]),
    ("?", &["a", "B", ".", "t"]),
    ("[ab]", &["a", "b"]),
    ("[A-C]", &["A", "B"]),
    ("[!a]", &["b", "A", "t", "."]),
    ("[+-9]", &["+", ".", "9"]),
    ("[!+-9]", &["a", "B", "!"]),
    ("[]!^-]", &["]", "!", "^", "-"]),
    ("[!]!^-]", &["a", "["]),
    ("[*]", &["*"]),
    ("[]]", &["]"]),
    ("{a,b}", &["a", "b"]),
    ("{,a{b,.}a}", &["", "aba", "a.a"]),
    ("{a/b,b}", &["a/b", "b"]),
    ("{[,],*b}", &[",", "ab"]),
];

const BEYOND: &[Part] = &[
    ("é", &["é"]),
    ("e\u{301}", &["e\u{301}"]),
    ("É", &["É"]),
    ("\u{323}", &["\u{323}"]),
    ("ß", &["ß"]),
    ("ſ", &["ſ"]),
    ("\u{212a}", &["\u{212a}"]),
    ("ガ", &["ガ"]),
    ("e", &["e"]),
    ("??", &["é", "ſ", "ab", "\u{301}"]),
    ("???", &["\u{212a}", "ガ", "éa"]),
    ("*", &["", "\u{301}", "a", "é"]),
    ("?*", &["é", "a\u{301}"]),
    ("[!a][!b]", &["é", "xy"]),
    ("{é,ガ}*", &["é", "ガ\u{323}"]),
];

/// Patterns of these parts, each with a path that it matches by its wildcards.
fn matched_by(parts: &'static [Part]) -> impl Strategy<Value = (Pattern, String)> {
    let part = (0..parts.len(), any::<prop::sample::Index>())
        .prop_map(move |(n, choice)| (parts[n].0.to_owned(), (*choice.get(parts[n].1)).to_owned()));
    let name =
        prop::collection::vec(part, 1..4).prop_map(|parts| parts.into_iter().unzip::<_, _, String, String>());
    let folders = prop::sample::select(vec![("**", ""), ("**", "a/"), ("**", "b/.a/")])
        .prop_map(|(text, path)| (text.to_owned(), path.to_owned()));
    let folder = prop_oneof![3 => name.clone().prop_map(|(text, path)| (text, path + "/")), 1 => folders];
    let end = prop_oneof![
        6 => name,
        1 => Just(("**".to_owned(), "b/a".to_owned())),
        1 => Just((String::new(), "a".to_owned())),
    ];
    (prop::collection::vec(folder, 0..3), end).prop_filter_map("a pattern", |(folders, end)| {
        let text: String = folders.iter().map(|(text, _)| format!("{text}/")).collect();
        let path: String = folders.iter().map(|(_, path)| path.as_str()).collect();
        Some((Pattern::parse(&(text + &end.0)).ok()?, path + &end.1))
    })
}

pub(in crate::domain) fn ascii() -> impl Strategy<Value = (Pattern, String)> {
    matched_by(ASCII)
}

pub(in crate::domain) fn beyond_ascii() -> impl Strategy<Value = (Pattern, String)> {
    matched_by(BEYOND)
}

/// What a pattern owns in the words of globset, straight from its text.
pub(in crate::domain) struct Oracle(Vec<GlobMatcher>);

impl Oracle {
    pub(in crate::domain) fn new(pattern: &Pattern) -> Self {
        let text = pattern
            .as_str()
            .replace("[!a]", "[!a/]")
            .replace("[!b]", "[!b/]")
            .replace("[!+-9]", "[!+-9/]")
            .replace("[!]!^-]", "[!]!^/-]")
            .replace("[+-9]", "{[+-.],[0-9]}");
        let texts = match text.strip_suffix('/') {
            Some(folder) => vec![format!("{folder}/**")],
            None if pattern.is_literal() => vec![format!("{text}/**"), text],
            None => vec![text],
        };
        let glob = |text: &String| {
            let mut builder = GlobBuilder::new(text);
            builder.literal_separator(true).empty_alternates(true).build().unwrap().compile_matcher()
        };
        Self(texts.iter().map(glob).collect())
    }

    pub(in crate::domain) fn contains(&self, path: &RepoPath) -> bool {
        let text = String::from_utf8_lossy(path.as_bytes()).to_lowercase();
        let is_path = text.split('/').all(|name| {
            let bare = name.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
            !matches!(name, "" | "." | "..") && bare != ".git" && bare != "git~1"
        });
        is_path && self.0.iter().any(|glob| glob.is_match(path.to_path_buf()))
    }
}

/// Paths near what the patterns above match, text or not.
fn near_path() -> impl Strategy<Value = RepoPath> {
    let part = prop::sample::select(vec![
        &b"a"[..],
        b"b",
        b"A",
        b".",
        b".git",
        b"t",
        b"/",
        b"/",
        b"9",
        b"!",
        b"]",
        b"\xff",
        b"\xc3\xa9",
        b"\n",
        b" ",
    ]);
    prop::collection::vec(part, 1..8).prop_map(|parts| RepoPath::from_bytes(parts.concat()))
}

#[test]
fn owns_what_the_table_says() {
    for (text, owned, not_owned) in [
        (
            "src/db",
            &["src/db", "src/db/a.rs", "src/db/x/y"][..],
            &["src", "src/dbx", "src/db.rs", "SRC/db"][..],
        ),
        ("src/db/", &["src/db/a.rs", "src/db/x/y"], &["src/db", "src/dbx"]),
        ("src/**", &["src/a", "src/a/b"], &["src", "srca", "a/src/b"]),
        ("./src/**/", &["src/a", "src/a/b"], &["src"]),
        (
            "**",
            &["a", "a/b", ".github/x", ".gitignore"],
            &[".git", "a/.GIT/b", "git~1", ".git. /x", ".g\u{200c}it/x"],
        ),
        ("*", &["a", ".a"], &["a/b", ".git"]),
        (".gi?", &[".gib"], &[".git", ".gi", ".gi/"]),
        ("*.rs", &["a.rs", ".rs", "é.rs"], &["a/b.rs", "a.rs/b", "a.RS"]),
        ("**/*.rs", &["a.rs", "a/b.rs", "a/b/c.rs"], &["a.rs/b"]),
        ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a/xb", "ab", "a/b/c"]),
        ("a/**/**/b", &["a/b", "a/x/b"], &["ab"]),
        ("src/{a,b{c,d/e}}.rs", &["src/a.rs", "src/bc.rs", "src/bd/e.rs"], &["src/b.rs", "src/a.rs/x"]),
        ("{src,lib}", &["src", "lib"], &["src/a"]),
        ("{src,lib}/", &["src/a", "lib/b/c"], &["src"]),
        ("{**/,}mod.rs", &["mod.rs", "a/mod.rs"], &["amod.rs"]),
        ("src[!a]x", &["srcbx"], &["src/x", "srcax"]),
        ("a[+-9]b", &["a.b", "a0b"], &["a/b"]),
        ("a?b", &["a.b"], &["a/b", "ab", "aéb"]),
        ("a??b", &["aéb"], &["a/xb"]),
        ("app/[[]id[]]", &["app/[id]", "app/[id]/page.tsx"], &["app/i", "app/id"]),
        ("app/[id]", &["app/i"], &["app/[id]", "app/i/x"]),
        ("a b/\"c\"'d", &["a b/\"c\"'d", "a b/\"c\"'d/e"], &[]),
        ("[]-a]", &["]", "^", "a"], &["-", "b"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("a,b", &["a,b"], &["a"]),
        ("*/", &["a/b"], &["a"]),
        ("a{,_test}.rs", &["a.rs", "a_test.rs"], &["a_.rs"]),
    ] {
        let one = pattern(text);
        let set = PatternSet::new([one.clone()]);
        for (paths, expected) in [(owned, true), (not_owned, false)] {
            for &path in paths {
                assert_eq!(one.contains(&path.into()), expected, "{text} and {path}");
                assert_eq!(set.contains(&path.into()), expected, "set of {text} and {path}");
            }
        }
        for path in
            ["", "src/", "/src", "src//db", "src/./db", "src/../db", "src/db/..", "src/db/.git/config"]
        {
            assert!(!one.contains(&path.into()), "{text} and {path}");
            assert!(!set.contains(&path.into()), "set of {text} and {path}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_matched() {
    let path = RepoPath::from_bytes(*b"src/\xff\xfe.rs");
    for (text, owned) in
        [("src", true), ("src/", true), ("src/??.rs", true), ("src/[!a]*", true), ("src/?.rs", false)]
    {
        assert_eq!(pattern(text).contains(&path), owned, "{text}");
        assert_eq!(PatternSet::new([pattern(text)]).contains(&path), owned, "set of {text}");
    }
}

#[test]
fn refuses_with_a_reason_and_a_hint() {
    let long = "a/".repeat(2049);
    let many = "{a,b}".repeat(7);
    let nested = "{a,".repeat(70) + &"}".repeat(70);
    for (text, reason) in [
        ("", "empty"),
        ("/etc", "absolute"),
        ("/", "absolute"),
        ("C:\\x", "absolute"),
        ("c:/x", "absolute"),
        ("~", "absolute"),
        ("~/x", "absolute"),
        ("{/etc,a}", "absolute"),
        ("{C,a}:/x", "absolute"),
        ("..", "`..`"),
        ("a/../b", "`..`"),
        ("a/{..,b}/c", "`..`"),
        (".", "`.` segment"),
        ("./", "`.` segment"),
        ("././a", "`.` segment"),
        ("a/./b", "`.` segment"),
        ("a//b", "empty segment"),
        ("a//", "empty segment"),
        ("a/{,b}/c", "empty segment"),
        ("{,a}", "empty"),
        ("src/{,a}", "ends the pattern"),
        ("{src/,lib/}", "ends the pattern"),
        ("a\0", "control"),
        ("a\nb", "control"),
        ("a\tb", "control"),
        ("a\u{85}", "control"),
        ("a\\b", "backslash"),
        ("!a", "negation"),
        ("a ", "blank or a dot"),
        ("a./b", "blank or a dot"),
        ("*.", "blank or a dot"),
        ("...", "blank or a dot"),
        (".git", "git's own folder"),
        ("a/.GiT/b", "git's own folder"),
        ("GIT~1", "git's own folder"),
        (".git::$DATA", "git's own folder"),
        (".g\u{200c}it", "git's own folder"),
        (".{git,x}", "git's own folder"),
        (".gi[tT]", "git's own folder"),
        ("[.]git", "git's own folder"),
        (".git:*", "git's own folder"),
        ("[.]", "git's own folder"),
        ("[.]{.,a}", "blank or a dot"),
        ("a{b", "`{` without"),
        ("a}b", "`}` without"),
        ("{a,{b}", "`{` without"),
        ("a[b", "`[` without"),
        ("[]", "`[` without"),
        ("[!]", "`[` without"),
        ("{[}", "`[` without"),
        ("a]b", "`]` without"),
        ("a[/]b", "`/` in brackets"),
        ("[z-a]", "range"),
        ("[é]", "several bytes"),
        ("a**", "whole segment"),
        ("**.rs", "whole segment"),
        ("***", "whole segment"),
        ("a/{b,c}**", "whole segment"),
        ("*{,a}*", "braces that put"),
        ("{*,a}*", "braces that put"),
        ("a/{*}{*}/b", "braces that put"),
        ("*{,a}{,b}*", "braces that put"),
        ("{**,a}*", "braces that put"),
        (&long, "4098 bytes"),
        (&many, "more than 64"),
        (&nested, "more than 64"),
    ] {
        let bad = Pattern::parse(text).expect_err(text);
        assert!(bad.reason.contains(reason), "{text}: {}", bad.reason);
        assert!(!bad.hint.is_empty() && bad.reason.starts_with('"') && bad.reason.len() < 500, "{bad:?}");
    }
}

#[test]
fn accepts_the_largest() {
    let six = "{a,b}".repeat(6);
    let twice = "{a,a}".repeat(6);
    for text in [&six, &twice, &"a".repeat(MAX_BYTES), &("{".repeat(2000) + "a" + &"}".repeat(2000))] {
        assert!(Pattern::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn literal_path_and_key() {
    for (text, literal, path, key) in [
        ("src/Db", true, "src/Db", "src/db/"),
        ("./src/Db/", true, "src/Db", "src/db/"),
        ("src/db/*.rs", false, "src/db", "src/db/"),
        ("src/**", false, "src", "src/"),
        ("src/**/", false, "src", "src/"),
        ("**/", false, "", ""),
        ("*.rs", false, "", ""),
        ("src/{a,b}", false, "src", "src/"),
        ("src/{a/b,a/c}/d", false, "src/a", "src/a/"),
        ("{src}", false, "", ""),
        ("app/[[]id[]]/x", true, "app/[id]/x", "app/[id]/x/"),
        ("E\u{301}/Straße", true, "E\u{301}/Straße", "é/strasse/"),
    ] {
        let pattern = pattern(text);
        let shown = (pattern.is_literal(), pattern.literal_path(), pattern.key());
        assert_eq!(shown, (literal, path, key.to_owned()), "{text}");
    }
    assert!(pattern("src/").is_folder() && !pattern("src").is_folder() && !pattern("src/**").is_folder());
}

#[test]
fn key_ancestors_are_prefixes() {
    assert_eq!(key_ancestors(""), [""]);
    assert_eq!(key_ancestors("src/db/"), ["", "src/", "src/db/"]);
    assert_eq!(key_ancestors("é/"), ["", "é/"]);
}

#[test]
fn a_path_with_wildcards_in_its_name_can_be_owned() {
    for path in ["app/[id]/page.tsx", "a*?{b}", "[[...slug]]", "plain", "a,b", "é"] {
        let pattern = Pattern::of_path(path).unwrap();
        assert!(pattern.is_literal() && pattern.literal_path() == path, "{pattern:?}");
        assert!(pattern.contains(&path.into()) && pattern.contains(&RepoPath::from(&*format!("{path}/x"))));
    }
    assert!(Pattern::of_path("a\\b").is_err());
}

#[test]
fn the_first_owner_is_named() {
    let set: PatternSet = ["src/db", "src/*/a.rs", "src", "{docs,src}/**"].map(pattern).into_iter().collect();
    for (path, owner) in [
        ("src/db/a.rs", Some("src/db")),
        ("src/x/a.rs", Some("src/*/a.rs")),
        ("src/x/b.rs", Some("src")),
        ("docs/x", Some("{docs,src}/**")),
        ("docs", None),
        ("src/.git/a.rs", None),
    ] {
        assert_eq!(set.owner_of(&path.into()).map(Pattern::as_str), owner, "{path}");
    }
    assert!(
        !PatternSet::default().contains(&"a".into()) && PatternSet::new([]).owner_of(&"a".into()).is_none()
    );
}

#[test]
fn folds_case_and_normal_form() {
    for (a, b) in [
        ("README", "readme"),
        ("É", "e\u{301}"),
        ("STRASSE", "straße"),
        ("\u{212a}", "k"),
        ("ſ", "S"),
        ("ﬃ", "FFI"),
        ("ΐ", "\u{390}"),
        ("ς", "Σ"),
        ("a\u{301}\u{323}", "a\u{323}\u{301}"),
    ] {
        assert_eq!(fold(a), fold(b), "{a} and {b}");
    }
    assert_ne!(fold("e"), fold("é"));
    assert_ne!(fold("か"), fold("が"));
}

#[test]
fn twins_are_found_in_folders_and_bytes() {
    let paths = |list: &[&[u8]]| list.iter().map(|path| RepoPath::from_bytes(*path)).collect::<Vec<_>>();
    for (tree, expected) in [
        (&[&b"a"[..], b"b", b"a.b"][..], &[][..]),
        (&[b"A", b"a"], &[(&b"A"[..], &b"a"[..])][..]),
        (&[b"Src/a", b"src/b"], &[(b"Src", b"src")]),
        (&[b"Src/a", b"src/b", b"Src/c", b"src/d"], &[(b"Src", b"src")]),
        (&[b"a/x", b"A"], &[(b"a", b"A")]),
        (&["é".as_bytes(), "e\u{301}".as_bytes()], &[("é".as_bytes(), "e\u{301}".as_bytes())]),
        (&[b"\xffA", b"\xffa"], &[(b"\xffA", b"\xffa")]),
        (&[b"\xffa", b"\xfea"], &[]),
        (&[b"abc", b"aBc", b"ABC"], &[(b"abc", b"ABC"), (b"abc", b"aBc")]),
    ] {
        let found = twins(&paths(tree));
        let expected: Vec<_> =
            expected.iter().map(|&(a, b)| (RepoPath::from_bytes(a), RepoPath::from_bytes(b))).collect();
        assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parse_never_panics_and_shows_what_it_read(
        text in prop_oneof![any::<String>(), "[-*?{}!^,/.a\\[\\]]{0,16}", "[.gGiItT~1*?/\\[\\]{}, :]{0,10}"]
    ) {
        if let Ok(parsed) = Pattern::parse(&text) {
            let shown = parsed.to_string();
            let again = pattern(&shown);
            prop_assert_eq!(again.as_str(), &shown);
            prop_assert_eq!(again.key(), parsed.key());
            prop_assert_eq!(again.is_literal(), parsed.is_literal());
            // Whatever was accepted owns something, and globset reads it.
            prop_assert!(PatternSet::compiled(vec![parsed.clone()]).is_compiled());
            prop_assert!(overlap(&parsed, &parsed).is_some());
        }
    }

    #[test]
    fn of_path_owns_the_path(path in "[-a*?{}!,/.\\[\\]]{1,12}") {
        if let Ok(pattern) = Pattern::of_path(&path) {
            // A leading `./` is dropped and a closing `/` asks for a folder.
            let bare = path.strip_prefix("./").unwrap_or(&path).trim_end_matches('/');
            prop_assert!(pattern.is_literal());
            prop_assert_eq!(pattern.literal_path(), bare);
        }
    }

    #[test]
    fn contains_agrees_with_globset((pattern, sample) in ascii(), paths in prop::collection::vec(near_path(), 40)) {
        let oracle = Oracle::new(&pattern);
        let set = PatternSet::compiled(vec![pattern.clone()]);
        prop_assert!(set.is_compiled());
        for path in paths.iter().chain([&RepoPath::from(&*sample)]) {
            prop_assert_eq!(pattern.contains(path), oracle.contains(path), "{:?} and {:?}", pattern, path);
            prop_assert_eq!(set.contains(path), oracle.contains(path), "set of {:?} and {:?}", pattern, path);
        }
    }

    #[test]
    fn a_set_names_the_first_owner(
        patterns in prop::collection::vec(prop_oneof![ascii(), beyond_ascii()], 1..12),
        near in prop::collection::vec(near_path(), 10),
    ) {
        let (patterns, samples): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let set = PatternSet::new(patterns.clone());
        for path in samples.iter().map(|path| RepoPath::from(path.as_str())).chain(near) {
            let owner = patterns.iter().find(|pattern| pattern.contains(&path));
            prop_assert_eq!(set.owner_of(&path), owner, "{:?}", path);
            prop_assert_eq!(set.contains(&path), owner.is_some());
        }
    }

    #[test]
    fn folding_is_idempotent_and_blind_to_case_and_form(text in any::<String>()) {
        let folded = fold(&text);
        prop_assert_eq!(&fold(&folded), &folded);
        prop_assert_eq!(&fold(&text.nfc().collect::<String>()), &folded);
        prop_assert_eq!(&fold(&text.nfd().collect::<String>()), &folded);
        prop_assert_eq!(&fold(&text.to_ascii_uppercase()), &folded);
    }

    #[test]
    fn every_ownership_is_found_by_its_key((pattern, sample) in prop_oneof![ascii(), beyond_ascii()]) {
        prop_assume!(pattern.contains(&RepoPath::from(&*sample)));
        let below = fold(&sample) + "/";
        prop_assert!(key_ancestors(&below).contains(&pattern.key().as_str()), "{:?} and {:?}", pattern, sample);
    }
}

#[test]
fn whatever_a_file_is_called_something_owns_it() {
    for (path, expected) in [
        ("src/a.rs", Some("src/a.rs")),
        ("app/[id]", Some("app/[[]id[]]")),
        ("!x", Some("?x")),
        ("a\u{85}", Some("a??")),
        ("src/!x", Some("src/!x")),
        (" a", Some(" a")),
        ("a ", Some("a?")),
        ("a./b", Some("a?/b")),
        ("a\\b", Some("a?b")),
        ("a\tb\nc", Some("a?b?c")),
        ("[\t*", Some("[[]?[*]")),
        (".git/config", None),
        ("a/../b", None),
        ("/a", None),
        ("", None),
    ] {
        let pattern = Pattern::around_path(path).ok();
        assert_eq!(Pattern::around_shown(&RepoPath::from(path).to_string()).ok(), pattern, "{path:?}");
        assert_eq!(pattern.as_ref().map(Pattern::as_str), expected, "{path:?}");
        assert!(pattern.is_none_or(|pattern| pattern.contains(&RepoPath::from(path))), "{path:?}");
    }
}
