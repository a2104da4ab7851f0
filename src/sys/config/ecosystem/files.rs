//! Reading of small files at the top of a project.

use crate::base::sorting;
use std::io::Read;
use std::path::Path;

/// No file that tells about a build is longer; what is beyond is not read.
const LONGEST: u64 = 1 << 20;

/// The text of a file; `None` if there is none. Bytes that are no text are replaced.
pub(super) fn text(top: &Path, name: &str) -> Option<String> {
    // A fifo would never end, a folder cannot be read.
    if !is_file(top, name) {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(top.join(name)).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim_start_matches('\u{feff}').to_owned())
}

/// Whether there is such a file, links followed.
pub(super) fn is_file(top: &Path, name: &str) -> bool {
    top.join(name).is_file()
}

/// The first of these files that is there.
pub(super) fn first(top: &Path, names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|name| is_file(top, name))
}

/// Names of the files in a folder, in order; none if it cannot be read.
pub(super) fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    sorting::sort(&mut names);
    names
}
