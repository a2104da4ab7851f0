//! Programs that keep files of their own names: package managers and builders. Their options may stand before
//! the word that says what they do, and name the folder or the packages that are meant.

use super::operands::{Operands, is_one};
use super::run::Reading;
use super::table::Row;
use super::word::Arg;
use crate::domain::writes::Reach;

/// Options that stand before a program's first operand and take a value: short ones, and the long ones.
const BEFORE: [(&str, &str, &str); 9] = [
    ("npm", "C:w:", "prefix workspace loglevel userconfig registry"),
    ("pnpm", "C:F:", "dir filter filter-prod loglevel"),
    ("yarn", "", "cwd"),
    ("bun", "", "cwd config"),
    ("cargo", "Z:C:", "color config manifest-path"),
    ("go", "C:", ""),
    ("uv", "", "directory project config-file color cache-dir"),
    ("poetry", "C:P:", "directory project"),
    ("composer", "d:", "working-dir"),
];

/// The folder that is meant, in the words of all of these.
pub(super) const FOLDERS: &str = "C prefix dir cwd directory project d working-dir";
/// Packages below the folder are meant, not its own alone.
const WORKSPACES: &str = "workspace workspaces ws F filter filter-prod recursive all-packages";

/// The words with the options that stand before the first operand put behind it, so that this is the first.
pub(super) fn in_order(name: &str, words: &[Arg]) -> Vec<Arg> {
    let mut words = words.to_vec();
    // One of the many toolchains.
    if name == "cargo" && words.first().and_then(Arg::text).is_some_and(|word| word.starts_with('+')) {
        words.remove(0);
    }
    if let Some((_, short, long)) = BEFORE.iter().find(|(program, ..)| *program == name) {
        let before = words.len() - Operands::leading(&words, short, long).paths.len();
        if before < words.len() {
            words[..=before].rotate_right(1);
        }
    }
    // `yarn workspace NAME add …`.
    if name == "yarn" && words.len() > 2 && words[0].text() == Some("workspace") {
        let package = words.remove(1);
        words[0] = words.remove(1);
        words.splice(1..1, [Arg::Text("--workspace".to_owned()), package]);
    }
    words
}

impl Reading<'_> {
    /// What such a program writes, if it was given at least so many operands and none of what switches it off.
    pub(super) fn own(&mut self, name: &str, operands: &Operands, (least, off, names): (usize, &str, &str)) {
        let is_off = operands.paths.first().and_then(Arg::text).is_some_and(|word| is_one(word, off));
        if operands.paths.len() < least || operands.has(off) || is_off {
            return;
        }
        // Of these the package's own file is one that lies somewhere below.
        let has_packages = operands.has(WORKSPACES) || name == "npm" && operands.has("w");
        let folder = operands.value(FOLDERS).cloned().or_else(|| folder_of(operands.value("manifest-path")?));
        self.within(folder.as_ref(), |here| {
            for name in names.split(' ') {
                here.add(name, None, Reach::IfThere);
            }
            if let Some(first) = names.split(' ').next().filter(|_| has_packages) {
                here.add(".", None, Reach::Below(first.to_owned()));
            }
        });
    }
}

/// The options with values that a row of the table and those before the first operand are.
pub(super) fn options(name: &str, (_, short, long, _): &Row) -> (String, String) {
    let (_, shorts, longs) = BEFORE.iter().find(|(program, ..)| *program == name).unwrap_or(&("", "", ""));
    (format!("{short}{shorts}"), format!("{long} {longs}"))
}

/// Where a file lies.
fn folder_of(file: &Arg) -> Option<Arg> {
    let (folder, _) = file.text()?.rsplit_once('/')?;
    Some(Arg::Text(if folder.is_empty() { "/" } else { folder }.to_owned()))
}
