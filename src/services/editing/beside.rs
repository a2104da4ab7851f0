//! What changed in a shared folder of files that others hold while a worker was at work there: it may have been the
//! worker, and whoever holds them has to know.

use std::fs::Metadata;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::marking::Doings;
use super::touching::changed_at;
use crate::base::ids::HolderName;
use crate::base::paths::RepoPath;
use crate::domain::claim::{Held, HolderKind};
use crate::services::{Error, House, nudging};
use crate::store::attempts::AttemptRow;

/// So many are named.
const NAMED: usize = 5;

/// Those of the changed files that agents hold whose own tools did not leave them so, and those of persons, of whose
/// doings nothing is known. Each with whose it is, and whether that is an agent.
fn unexplained<'a>(
    house: &House,
    top: &Path,
    attempt: &AttemptRow,
    changed: &'a [RepoPath],
    held: &'a [Held],
) -> Vec<(&'a HolderName, bool, Vec<&'a RepoPath>)> {
    let began = Duration::from_millis(attempt.started_at.as_millis().unsigned_abs());
    let began = SystemTime::UNIX_EPOCH + began;
    let mut found = Vec::<(&HolderName, bool, Vec<&RepoPath>)>::new();
    for claim in held.iter().filter(|claim| claim.holder.kind != HolderKind::Attempt) {
        let (holder, is_agent) = (&claim.holder.name, claim.holder.kind == HolderKind::Agent);
        let doings = Doings::of(house, holder);
        let is_unexplained = |path: &&RepoPath| {
            let file = top.join(path.to_path_buf());
            let is_since = |it: Metadata| changed_at(&it) >= began;
            let is_meanwhile = file.symlink_metadata().map_or(true, is_since);
            claim.pattern.contains(path) && is_meanwhile && !doings.explain(&file)
        };
        let paths: Vec<&RepoPath> = changed.iter().filter(is_unexplained).collect();
        match found.iter_mut().find(|it| (it.0, it.1) == (holder, is_agent)) {
            _ if paths.is_empty() => {}
            Some((.., known)) => known.extend(paths),
            None => found.push((holder, is_agent, paths)),
        }
    }
    found
}

/// Tells those who hold files that changed while an attempt ran in the same folder; what is to be recorded of it.
///
/// # Errors
/// They cannot be told.
pub fn tell(
    house: &House,
    top: &Path,
    attempt: &AttemptRow,
    changed: &[RepoPath],
    held: &[Held],
) -> Result<Option<String>, Error> {
    let mut told = Vec::new();
    for (holder, is_agent, paths) in unexplained(house, top, attempt, changed, held) {
        let names: Vec<String> = paths.iter().take(NAMED).map(ToString::to_string).collect();
        let more = paths.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = format!("{}{more}", names.join(", "));
        let text = format!(
            "{names} changed while my task {} ran in this folder, and none of your tools did that; look at it before \
             you go on",
            attempt.task
        );
        if is_agent {
            nudging::say(house, holder, &HolderName::new(attempt.id.as_str()), &text)?;
        }
        told.push(format!("{names} (held by {holder})"));
    }
    let text = || {
        format!(
            "{} changed while task {} ran in the same folder, and it may have been its worker",
            told.join(", "),
            attempt.task
        )
    };
    Ok((!told.is_empty()).then(text))
}
