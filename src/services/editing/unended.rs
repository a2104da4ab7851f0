//! Commands of whose end nothing was heard: the person stopped them, or the agent does not tell of those that fail.

use std::fs;
use std::path::PathBuf;

use super::Editor;
use super::touching::stamp;
use crate::base::ids::HolderName;
use crate::services::House;

/// The file that is there while a command runs, for all that is known. No stamp has a dot in its name.
fn mark(house: &House, holder: &HolderName) -> PathBuf {
    stamp(house, holder).with_extension("runs")
}

/// A command is about to run.
pub fn begin(house: &House, editor: &Editor) -> std::io::Result<()> {
    fs::write(mark(house, &editor.holder.name), "")
}

/// Nothing runs any more, or what does is asked about by now; whether something did.
pub fn end(house: &House, editor: &Editor) -> bool {
    fs::remove_file(mark(house, &editor.holder.name)).is_ok()
}

/// Whether a command of a session runs, for all that is known.
pub(super) fn runs(house: &House, holder: &HolderName) -> bool {
    mark(house, holder).exists()
}
