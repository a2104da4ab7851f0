//! Codex's patches.

use super::Write;

/// The lines of a patch that name a file, up to its name.
const NAMES: [&str; 4] = ["*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: "];

/// The files that the patches in a text are about.
pub fn of_patch(text: &str) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match line.trim_end() {
            // In a command it may stand behind quotes.
            begin if begin.ends_with("*** Begin Patch") => is_inside = true,
            "*** End Patch" => is_inside = false,
            line if is_inside => {
                let name = NAMES.iter().find_map(|mark| line.strip_prefix(mark)).map(str::trim);
                writes.extend(name.filter(|name| !name.is_empty()).map(Write::at));
            }
            _ => {}
        }
    }
    writes
}
