//! Codex's patches, and the diffs of git and of everybody else.

use super::Write;

/// The lines of a patch that name a file, up to its name.
const NAMES: [&str; 4] = ["*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: "];

/// The lines of a diff that name a file, besides its `---` and `+++`.
const RENAMES: [&str; 4] = ["rename from ", "rename to ", "copy to ", "Binary files "];

/// The files that the patches in a text are about.
pub fn of_patch(text: &str) -> Vec<Write> {
    let mut writes = Vec::new();
    let (mut is_inside, mut is_update) = (false, false);
    for line in text.lines() {
        let line = line.trim_end();
        // Codex takes an indented header too; within an update only what begins with stars is one, and
        // the rest is the file's.
        let header = if is_update { line } else { line.trim_start() };
        // In a command it may stand behind quotes.
        if line.ends_with("*** Begin Patch") {
            (is_inside, is_update) = (true, false);
        } else if header == "*** End Patch" {
            is_inside = false;
        } else if is_inside && let Some((mark, name)) = split(header, &NAMES) {
            is_update = matches!(mark, "*** Update File: " | "*** Move to: ");
            if !name.is_empty() {
                writes.push(Write::at(name));
            }
        }
    }
    writes
}

/// The files that a diff changes, less so many leading segments of their names; [`usize::MAX`] leaves
/// the last one. With each whether git made the diff: its names start from the top of the checkout.
pub fn of_diff(text: &str, strip: usize) -> Vec<(Write, bool)> {
    let mut writes: Vec<(Write, bool)> = Vec::new();
    let mut add = |name: &str, strip: usize, is_gits: bool| {
        let name = unquoted(name.split('\t').next().unwrap_or_default().trim());
        let mut name = name.as_str();
        if name == "/dev/null" {
            return;
        }
        for _ in 0..strip {
            match name.split_once('/') {
                Some((_, rest)) => name = rest,
                None if strip == usize::MAX => break,
                None => return,
            }
        }
        let found = (Write::at(name), is_gits);
        if !name.is_empty() && writes.last().is_none_or(|last| *last != found) {
            writes.push(found);
        }
    };
    let mut lines = text.lines().peekable();
    let mut is_gits = false;
    while let Some(line) = lines.next() {
        if let Some(names) = line.strip_prefix("diff ") {
            // All that tells of new rights, of an empty file, of one that is no text.
            let names = names.strip_prefix("--git ");
            is_gits = names.is_some();
            if let Some(name) = names.and_then(twice) {
                add(name, strip, true);
            }
        } else if let Some(name) = line.strip_prefix("--- ")
            && let Some(other) = lines.peek().and_then(|line| line.strip_prefix("+++ "))
        {
            add(name, strip, is_gits);
            add(other, strip, is_gits);
        } else if let Some((mark, name)) = split(line, &RENAMES) {
            match name.strip_suffix(" differ").and_then(|names| names.split_once(" and ")) {
                Some((one, other)) => {
                    add(one, strip, is_gits);
                    add(other, strip, is_gits);
                }
                None if !mark.starts_with('B') => add(name, strip.saturating_sub(1), is_gits),
                None => {}
            }
        }
    }
    writes
}

/// The name in `a/NAME b/NAME`, with what is in front of it.
fn twice(names: &str) -> Option<&str> {
    let after = |text: &str| text.trim_matches('"').split_once('/').map(|(_, name)| name.to_owned());
    let (one, other) = names.split_at_checked(names.len() / 2)?;
    let other = other.strip_prefix(' ')?;
    (after(one)? == after(other)?).then_some(one)
}

/// A name without the quotes and backslashes in which git puts what is not plain.
fn unquoted(name: &str) -> String {
    let Some(name) = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) else {
        return name.trim_matches('"').to_owned();
    };
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(first @ b'0'..=b'3') => {
                let octal = rest.by_ref().take(2).fold(first - b'0', |value, digit| {
                    value.wrapping_mul(8).wrapping_add(digit.wrapping_sub(b'0'))
                });
                bytes.push(octal);
            }
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Which of the marks a line begins with, and what stands behind it.
fn split<'a>(line: &'a str, marks: &[&'static str]) -> Option<(&'static str, &'a str)> {
    marks.iter().find_map(|mark| Some((*mark, line.strip_prefix(mark)?.trim())))
}
