//! Files that only a checkout has, and that git would write over or delete without a word: those that it
//! ignores, and those that no snapshot can hold. Nothing is done before they are out of the way.

use std::path::Path;

use super::keeping::Kept;
use super::{OWN, furnishing};
use crate::base::paths::RepoPath;
use crate::domain::environment::some_of;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Error;
use crate::store::environments::EnvironmentRow;
use crate::sys::git::Oid;
use crate::sys::git::environment::Beside;

/// Whether a file at the top is Kapell's own and nothing of a person's is in it, so that one of the project may
/// take its place.
pub(super) fn spared(row: &EnvironmentRow) -> impl Fn(&RepoPath) -> bool {
    move |path| path.as_str().is_some_and(|name| furnishing::is_ours(row, name))
}

/// Refuses a verb that would write over these.
pub(super) fn covers(row: &EnvironmentRow, verb: &str, paths: &[RepoPath]) -> Refusal {
    let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
    let name = &row.name;
    let is_own = names.iter().any(|path| Path::new(path).starts_with(OWN));
    let hint = match is_own {
        true => format!(
            "what is in {OWN} is Kapell's, and no project's: have the project not track it, then {verb} again"
        ),
        false => format!(
            "move it away, or kapell env git {name} commit 'MESSAGE' where git does not ignore it, then {verb} again"
        ),
    };
    let message =
        format!("in {name}, {} would be written over by {verb}; nothing was changed", some_of(&names));
    Refusal::new(Code::Conflict, message, hint).with_all("paths", names)
}

/// Refuses to make a checkout that of another commit where that would cost a file which its snapshot does not
/// hold. `clears`: files that git neither knows nor ignores go too.
pub(super) fn nothing_lost(
    row: &EnvironmentRow,
    verb: &str,
    beside: &Beside,
    kept: &Kept,
    to: &Oid,
    clears: bool,
) -> Result<(), Error> {
    let mut lost = beside.not_in(&kept.commit, beside.covered(to)?)?;
    let spared = spared(row);
    lost.retain(|path| !spared(path));
    if !lost.is_empty() {
        return Err(covers(row, verb, &lost).into());
    }
    let mut unsaved = Vec::new();
    for left in kept.left.iter().filter(|left| left.is_at_risk) {
        if clears || beside.is_tracked(&left.path.to_string())? {
            unsaved.push(left.line());
        }
    }
    if unsaved.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        Code::Conflict,
        format!(
            "in {}, {verb} would cost what cannot be kept: {}; nothing was changed",
            row.name,
            some_of(&unsaved)
        ),
        format!("move it out of {}, then {verb} again", row.path),
    )
    .with_all("paths", unsaved)
    .into())
}
