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
/// the last one.
pub fn of_diff(text: &str, strip: usize) -> Vec<Write> {
    let mut writes: Vec<Write> = Vec::new();
    let mut add = |name: &str, strip: usize| {
        let name = name.split('\t').next().unwrap_or_default().trim().trim_matches('"');
        if name == "/dev/null" {
            return;
        }
        let mut name = name;
        for _ in 0..strip {
            match name.split_once('/') {
                Some((_, rest)) => name = rest,
                None if strip == usize::MAX => break,
                None => return,
            }
        }
        if !name.is_empty() && writes.last().is_none_or(|last| last.path != name) {
            writes.push(Write::at(name));
        }
    };
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("--- ")
            && let Some(other) = lines.peek().and_then(|line| line.strip_prefix("+++ "))
        {
            add(name, strip);
            add(other, strip);
        } else if let Some((mark, name)) = split(line, &RENAMES) {
            match name.strip_suffix(" differ").and_then(|names| names.split_once(" and ")) {
                Some((one, other)) => {
                    add(one, strip);
                    add(other, strip);
                }
                None if !mark.starts_with('B') => add(name, strip.saturating_sub(1)),
                None => {}
            }
        }
    }
    writes
}

/// Which of the marks a line begins with, and what stands behind it.
fn split<'a>(line: &'a str, marks: &[&'static str]) -> Option<(&'static str, &'a str)> {
    marks.iter().find_map(|mark| Some((*mark, line.strip_prefix(mark)?.trim())))
}
