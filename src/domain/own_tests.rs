//! Tests that lie in the file which they test, as is the custom in Rust: `#[cfg(test)] mod tests { … }`.

use std::ops::Range;

/// The mark of what is only there for tests.
const MARK: &str = "#[cfg(test)]";

/// `base` with the tests of `work` in place of its own: the tests without the implementation. `None` where `work`
/// has no tests but those of `base`, in any order.
pub fn with_tests_of(base: &str, work: &str) -> Option<String> {
    let (theirs, own) = (items(work), items(base));
    let mut added: Vec<&str> = theirs.iter().map(|item| work[item.clone()].trim_end()).collect();
    let had: Vec<&str> = own.iter().map(|item| base[item.clone()].trim_end()).collect();
    added.retain(|item| !had.contains(item));
    if added.is_empty() {
        return None;
    }
    let mut joined = String::with_capacity(base.len() + work.len());
    let mut at = 0;
    for item in own {
        joined.push_str(&base[at..item.start]);
        at = item.end;
    }
    joined.push_str(&base[at..]);
    for item in theirs {
        if !joined.is_empty() && !joined.ends_with('\n') {
            joined.push('\n');
        }
        joined.push_str(&work[item]);
    }
    Some(joined)
}

/// Whether nothing differs but tests, and blank lines.
pub fn is_same_code(base: &str, work: &str) -> bool {
    let code = |text: &str| -> Vec<String> {
        let (mut code, mut at) = (String::new(), 0);
        for item in items(text) {
            code.push_str(&text[at..item.start]);
            at = item.end;
        }
        code.push_str(&text[at..]);
        code.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    code(base) == code(work)
}

/// Where the items lie that are only there for tests: from the mark, at the beginning of a line, to the end of the
/// item. As formatters write it, a block ends with the first line that closes it as far in as it was opened.
fn items(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut lines = spans(text).peekable();
    while let Some(line) = lines.next() {
        let words = text[line.clone()].trim_end();
        // Only what stands by itself: what lies within an item belongs to its code.
        let Some(rest) = words.strip_prefix(MARK) else { continue };
        let mut end = line.end;
        let mut last = rest.trim();
        // Further attributes and comments stand between the mark and what it marks.
        while last.is_empty() || last.starts_with("#[") && last.ends_with(']') || last.starts_with("//") {
            let Some(next) = lines.next() else { break };
            end = next.end;
            last = text[next].trim();
        }
        let is_whole = last.ends_with(';') || last.ends_with('}');
        if !is_whole {
            for next in lines.by_ref() {
                end = next.end;
                if ["}", "};", ");"].contains(&text[next].trim_end()) {
                    break;
                }
            }
        }
        found.push(line.start..end);
    }
    found
}

/// The lines, each with its end.
fn spans(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        start..at
    })
}

/// Whether a path is called as code is, rather than prose, data or settings.
pub fn is_code_path(path: &str) -> bool {
    const CODE: [&str; 42] = [
        "rs", "ts", "tsx", "js", "jsx", "mjs", "cjs", "py", "go", "java", "kt", "kts", "scala", "c", "h",
        "cc", "cpp", "cxx", "hpp", "hh", "cs", "fs", "rb", "php", "swift", "m", "mm", "zig", "nim", "hs",
        "ml", "ex", "exs", "erl", "clj", "lua", "pl", "r", "dart", "sh", "vue", "svelte",
    ];
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, end)| end);
    extension.is_some_and(|extension| CODE.contains(&extension.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str =
        "pub fn one() -> u8 {\n    0\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn old() {}\n}\n";

    #[test]
    fn the_tests_of_the_work_stand_in_the_code_of_the_base() {
        let work = "pub fn one() -> u8 {\n    1\n}\n\n#[cfg(test)]\n#[expect(clippy::unwrap_used)]\nmod tests {\n    #[test]\n    fn new() {\n        {}\n    }\n}\n\npub fn two() {}\n";
        let red = with_tests_of(BASE, work).unwrap();
        assert_eq!(
            red,
            "pub fn one() -> u8 {\n    0\n}\n\n#[cfg(test)]\n#[expect(clippy::unwrap_used)]\nmod tests {\n    #[test]\n    fn new() {\n        {}\n    }\n}\n"
        );
        // A file that had none, and does not end its last line.
        let red = with_tests_of("fn a() {}", "fn a() {}\n#[cfg(test)] mod tests;\n").unwrap();
        assert_eq!(red, "fn a() {}\n#[cfg(test)] mod tests;\n");
        assert_eq!(
            with_tests_of("", "#[cfg(test)]\nmod tests {\n}\n").unwrap(),
            "#[cfg(test)]\nmod tests {\n}\n"
        );
    }

    #[test]
    fn without_tests_of_its_own_there_is_nothing_to_prove() {
        for work in [
            "",
            "fn a() {}\n",
            BASE,
            "#[cfg(test)]\nmod tests {\n    #[test]\n    fn old() {}\n}\n// moved\n",
        ] {
            assert_eq!(with_tests_of(BASE, work), None, "{work}");
        }
    }

    #[test]
    fn code_is_what_is_no_test() {
        let with = |code: &str, tests: &str| format!("{code}\n\n#[cfg(test)]\nmod tests {{\n{tests}\n}}\n");
        assert!(is_same_code("fn a() {}\n", &with("fn a() {}", "fn b() {}")));
        assert!(is_same_code(&with("fn a() {}", ""), &with("fn a() {}", "fn b() {}")));
        assert!(!is_same_code(&with("fn a() {}", ""), &with("fn a() { }", "")));
    }

    #[test]
    fn items_end_where_they_do() {
        let table = [
            ("#[cfg(test)]\nuse a::b;\nfn c() {}\n", vec!["#[cfg(test)]\nuse a::b;\n"]),
            ("#[cfg(test)]\nuse a::{\n    b,\n};\nfn c() {}\n", vec!["#[cfg(test)]\nuse a::{\n    b,\n};\n"]),
            ("#[cfg(test)]\nfn c() {}\nfn d() {}\n", vec!["#[cfg(test)]\nfn c() {}\n"]),
            ("#[cfg(test)]\nmod tests {", vec!["#[cfg(test)]\nmod tests {"]),
            ("#[cfg(test)]", vec!["#[cfg(test)]"]),
            (
                "#[cfg(test)]\r\nmod tests {\r\n}\r\nfn a() {}\r\n",
                vec!["#[cfg(test)]\r\nmod tests {\r\n}\r\n"],
            ),
            ("mod a {\n    #[cfg(test)]\n    mod tests {\n    }\n}\n", vec![]),
            (
                "#[cfg(test)]\nmod a;\n#[cfg(test)]\nmod b {\n}\n",
                vec!["#[cfg(test)]\nmod a;\n", "#[cfg(test)]\nmod b {\n}\n"],
            ),
        ];
        for (text, expected) in table {
            let found: Vec<&str> = items(text).into_iter().map(|item| &text[item]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(base in "(#\\[cfg\\(test\\)\\]|mod t;|mod t \\{|\\}|fn|\n|é| ){0,40}", work in "(#\\[cfg\\(test\\)\\]|mod t;|mod t \\{|\\}|fn|\n|é| ){0,40}") {
            let _ = with_tests_of(&base, &work);
        }
    }
}
