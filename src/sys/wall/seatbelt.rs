//! Seatbelt, the wall of macOS: the profile for `sandbox-exec -p`, with the same
//! meaning as the Landlock rules. The last rule that matches an operation wins.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Wall, WallError};

/// The profile text of `wall`. Its paths must be real paths (`/private/tmp`, not
/// `/tmp`), because the kernel compares them with what it resolved.
///
/// # Errors
/// A path is relative, no text, or has a control character: a profile cannot name it.
pub fn profile(wall: &Wall) -> Result<String, WallError> {
    let mut text = String::from(
        "(version 1)\n\
         (allow default)\n\
         (deny file-write*)\n\
         (deny signal)\n\
         (allow signal (target same-sandbox))\n\
         (allow file-write*\n\
         \x20 (literal \"/dev/null\")\n\
         \x20 (literal \"/dev/zero\")\n\
         \x20 (literal \"/dev/tty\")\n\
         \x20 (literal \"/dev/ptmx\")\n\
         \x20 (regex #\"^/dev/ttys[0-9]+$\")\n\
         \x20 (subpath \"/dev/fd\")\n",
    );
    for path in &wall.writable {
        let _ = writeln!(text, "  (subpath {})", quoted(path)?);
    }
    text.push_str(")\n");
    if !wall.files.is_empty() {
        // In place only: creating or removing the name is not among these.
        text.push_str("(allow file-write-data\n");
        for path in &wall.files {
            let _ = writeln!(text, "  (literal {})", quoted(path)?);
        }
        text.push_str(")\n");
    }
    rule(&mut text, "deny file-write*", &wall.read_only)?;
    rule(&mut text, "deny file-read-data", &wall.hidden)?;
    if !wall.hidden.is_empty() {
        for seen in [&wall.readable, &wall.writable, &wall.files] {
            rule(&mut text, "allow file-read-data", seen)?;
        }
    }
    Ok(text)
}

/// A rule about paths and all below them. One without a path would be about everything.
fn rule(text: &mut String, what: &str, paths: &[PathBuf]) -> Result<(), WallError> {
    if !paths.is_empty() {
        let _ = writeln!(text, "({what}");
        for path in paths {
            let _ = writeln!(text, "  (subpath {})", quoted(path)?);
        }
        text.push_str(")\n");
    }
    Ok(())
}

/// The path as a string of the profile language.
fn quoted(path: &Path) -> Result<String, WallError> {
    let bad = |why: &str| WallError::Path { path: path.to_owned(), why: why.to_owned() };
    let text = path.to_str().ok_or_else(|| bad("is no text, so that a profile cannot name it"))?;
    if !path.is_absolute() {
        return Err(bad("is not an absolute path"));
    }
    if text.chars().any(char::is_control) {
        return Err(bad("has a control character, so that a profile cannot name it"));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::wall::Mode;

    fn wall(writable: &[&str], files: &[&str], read_only: &[&str]) -> Wall {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect();
        Wall {
            mode: Mode::Strict,
            best_effort: false,
            writable: paths(writable),
            files: paths(files),
            read_only: paths(read_only),
            ..Wall::off()
        }
    }

    #[test]
    fn everything_is_denied_first_and_parts_are_taken_back_last() {
        let text = profile(&wall(&["/w/a b", "/w/\"q\"\\"], &["/w/f.rs"], &["/w/a b/.git"])).unwrap();
        let rules: Vec<&str> = text.lines().collect();
        let at = |rule: &str| {
            rules.iter().position(|line| line.trim() == rule).unwrap_or_else(|| panic!("{rule} in\n{text}"))
        };
        assert!(at("(deny file-write*)") < at("(subpath \"/w/a b\")"));
        assert!(at("(subpath \"/w/a b\")") < at("(allow file-write-data"));
        assert!(at("(allow file-write-data") < at("(literal \"/w/f.rs\")"));
        assert!(at("(literal \"/w/f.rs\")") < at("(subpath \"/w/a b/.git\")"));
        at(r#"(subpath "/w/\"q\"\\")"#);
        assert_eq!(text.matches('(').count(), text.matches(')').count());
    }

    #[test]
    fn secrets_are_hidden_and_what_a_worker_needs_of_them_is_shown_last() {
        let mut wall = wall(&["/state/worktrees/a"], &["/home/.codex/auth.json"], &[]);
        wall.hidden = ["/state", "/home/.ssh"].map(PathBuf::from).to_vec();
        wall.readable = vec!["/state/run/a".into()];
        let text = profile(&wall).unwrap();
        let from = text.find("(deny file-read-data").unwrap();
        assert_eq!(
            &text[from..],
            "(deny file-read-data\n  (subpath \"/state\")\n  (subpath \"/home/.ssh\")\n)\n\
             (allow file-read-data\n  (subpath \"/state/run/a\")\n)\n\
             (allow file-read-data\n  (subpath \"/state/worktrees/a\")\n)\n\
             (allow file-read-data\n  (subpath \"/home/.codex/auth.json\")\n)\n"
        );
    }

    #[test]
    fn an_empty_list_makes_no_rule() {
        // A rule without a filter would be about every file.
        let text = profile(&wall(&[], &[], &[])).unwrap();
        assert!(!text.contains("file-write-data") && !text.contains("file-read-data"));
        assert_eq!(text.matches("(deny file-write*").count(), 1);
    }

    #[test]
    fn what_a_profile_cannot_name_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;
        for path in ["relative", "/w/new\nline"] {
            assert!(profile(&wall(&[path], &[], &[])).is_err(), "{path:?}");
        }
        let mut bad = wall(&[], &[], &[]);
        bad.files.push(std::ffi::OsString::from_vec(b"/w/\xff".to_vec()).into());
        assert!(profile(&bad).is_err());
    }
}
