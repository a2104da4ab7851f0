//! Nothing that a checkout had is lost: its files as they are now become a commit under a ref before
//! anything is done over them.

use std::fs;
use std::path::Path;

use super::Ground;
use crate::base::clock::Time;
use crate::base::ids::random_tail;
use crate::services::Error;
use crate::store::environments::EnvironmentRow;
use crate::sys::git::environment::{Beside, KEPT};
use crate::sys::git::snapshot::{self, LARGEST_FILE, Request};
use crate::sys::git::{Oid, land, refs};

/// A moment as part of a ref's and a folder's name.
pub(super) fn stamp() -> String {
    let text: String =
        Time::now().to_string().chars().filter(|c| c.is_ascii_alphanumeric()).take(18).collect();
    format!("{text}-{}", random_tail(4))
}

/// Where the project keeps what an environment had.
pub(super) fn project_prefix(ground: &Ground<'_>, row: &EnvironmentRow) -> Result<String, Error> {
    let prefix = format!("refs/kapell/environments/{}/{}", row.name, stamp());
    // A stamp is of one moment and one process; this is for whoever has set the clock back.
    Ok(match refs::read(&ground.git, &prefix)? {
        Some(_) => format!("{prefix}-{}", random_tail(6)),
        None => prefix,
    })
}

/// Keeps the head and all files, also those that git does not know and does not ignore, as a commit under
/// a ref of the checkout; the ref and the commit. `None` where nothing differs from the head, which is
/// kept all the same.
pub(super) fn snapshot(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    beside: &Beside,
    why: &str,
) -> Result<(String, Oid), Error> {
    let name = if row.is_worktree { format!("{}/", row.name) } else { String::new() };
    let reference = format!("{KEPT}{name}{}-{why}", stamp());
    let look = beside.look()?;
    let base = match look.head {
        Some(head) if look.changed.is_empty() => {
            refs::update(&beside.git, &reference, &head, None, "kapell env")?;
            return Ok((reference, head));
        }
        Some(head) => head,
        None => land::empty_commit(&beside.git)?,
    };
    let scratch = ground.session.house.run_dir(&format!("env-{}", random_tail(8)));
    fs::create_dir_all(&scratch)
        .map_err(|error| Error::system(format!("cannot make {}", scratch.display()), error))?;
    let saved =
        save(beside, &base, &reference, &format!("kapell: {} before it was {why}", row.name), &scratch);
    // A folder that stays is swept with those of runs.
    let _ = fs::remove_dir_all(&scratch);
    let commit = saved?;
    Ok((reference, commit))
}

fn save(beside: &Beside, base: &Oid, reference: &str, message: &str, scratch: &Path) -> Result<Oid, Error> {
    let request = Request {
        tree: &beside.tree,
        base,
        reference,
        expected: None,
        message,
        scratch,
        keeps_base: true,
        largest: LARGEST_FILE,
    };
    Ok(snapshot::snapshot(&beside.git, &request).map_err(Error::from_git)?.commit)
}
