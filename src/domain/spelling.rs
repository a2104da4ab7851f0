//! Names and commands as people write them.

/// Whether git takes it as a branch's name (git-check-ref-format, and no dash before): short, or in full
/// below `refs/heads/`.
pub fn is_branch_name(name: &str) -> bool {
    let is_bad = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let short = name.strip_prefix("refs/heads/").unwrap_or(name);
    !matches!(short, "@" | "HEAD")
        && !short.starts_with("refs/")
        && !short.starts_with('-')
        && !short.ends_with('.')
        && !short.contains("..")
        && !short.contains("@{")
        && !short.contains(is_bad)
        && short.split('/').all(is_part)
}

/// The first sign in a command line that only a shell would understand; nothing runs one, so it would
/// be an argument. What is quoted or escaped is meant as an argument.
pub fn shell_sign(line: &str) -> Option<&'static str> {
    let (mut quote, mut rest) = (None, line);
    while let Some(c) = rest.chars().next() {
        let is_open = quote.is_none();
        match (quote, c) {
            (None | Some('"'), '\\') => {
                let escaped = rest.chars().nth(1).map_or(0, char::len_utf8);
                rest = &rest[1 + escaped..];
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        let signs = ["&&", "||", "|", ";", ">", "<", "$(", "`"];
        if let Some(sign) = signs.into_iter().find(|sign| is_open && rest.starts_with(sign)) {
            return Some(sign);
        }
        if is_open && rest == "&" {
            return Some("&");
        }
        rest = &rest[c.len_utf8()..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches() {
        for name in ["main", "release/1.2", "env/dev-1", "a@b", "é", "refs/heads/x", "HEADS", "Main"] {
            assert!(is_branch_name(name), "{name}");
        }
        let bad = [
            "",
            "a..b",
            "-x",
            "a b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.",
            "@",
            "a@{b",
            "a~1",
            "HEAD",
            "refs/tags/v1",
            "refs/stash",
            "refs/remotes/origin/main",
            "refs/heads/HEAD",
            "a\nb",
        ];
        for name in bad {
            assert!(!is_branch_name(name), "{name:?}");
        }
    }

    #[test]
    fn signs_of_a_shell() {
        for (line, sign) in [
            ("true && false", Some("&&")),
            ("a||b", Some("||")),
            ("a | b", Some("|")),
            ("cd x; make", Some(";")),
            ("make > log", Some(">")),
            ("sort < log", Some("<")),
            ("echo $(date)", Some("$(")),
            ("echo `date`", Some("`")),
            ("serve &", Some("&")),
            ("cargo test -- --test-threads=1", None),
            ("sh -c 'true && false'", None),
            ("grep \"a|b\" file", None),
            ("find . -exec rm {} \\;", None),
            ("go test -run Foo$", None),
            ("curl http://h/?a=1&b=2", None),
            ("echo \"it's; fine\"", None),
            ("echo 'a\\' ; b", Some(";")),
            ("echo \"a\\\" ; b\"", None),
            ("", None),
            ("é\\", None),
        ] {
            assert_eq!(shell_sign(line), sign, "{line}");
        }
    }
}
