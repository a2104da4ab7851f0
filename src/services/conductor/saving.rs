//! Saving what an attempt left: its tree goes under a ref before anything else is decided.

use std::collections::BTreeSet;
use std::path::Path;

use super::desk::Desk;
use super::launching::LINKED;
use crate::base::clock::Time;
use crate::base::ids::TaskId;
use crate::base::paths::RepoPath;
use crate::domain::pattern::{Pattern, PatternSet, twins};
use crate::domain::plan::Task;
use crate::services::{Error, owning, walling};
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::sys::config::resolved::Isolation;
use crate::sys::git::change::{Change, Mode};
use crate::sys::git::land::{self, Merge};
use crate::sys::git::{Oid, Snapshot, SnapshotError, Worktree, construct, read, refs, snapshot};

/// An attempt's tree, saved, and what of it lies outside of the claim.
#[derive(Debug)]
pub struct Saved {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What was changed without being owned, each with the reason.
    pub outside: Vec<(RepoPath, String)>,
}

/// The ref that keeps an attempt's tree.
pub fn reference(attempt: &AttemptRow) -> String {
    format!("refs/kapell/tasks/{}/{}/{}", attempt.plan, attempt.task, attempt.number)
}

/// Saves the tree of an attempt, and compares it with the claim: `task` has what the attempt owns,
/// `lent` is what of it belongs to children. Doing it again gives the same answer once the worker
/// has ended. `None`: the tree is gone.
pub fn save(
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    lent: &[(TaskId, Vec<Pattern>)],
) -> Result<Option<Saved>, Error> {
    let git = &desk.git;
    let path = Path::new(attempt.worktree.as_deref().unwrap_or_default());
    let is_shared = desk.config.isolation == Isolation::Shared;
    let tree = if is_shared {
        Worktree::of_checkout(git.repository()).map_err(Error::from_git)?
    } else {
        match Worktree::find(git, path) {
            Some(tree) => tree,
            None => return Ok(None),
        }
    };
    let Some(base) = attempt.base.as_deref().and_then(Oid::parse) else { return Ok(None) };
    if !is_shared {
        walling::drop_placeholders(path, &task.files);
    }
    let reference = reference(attempt);
    let expected = refs::read(git, &reference)?;
    let scratch = Path::new(&attempt.run_dir);
    let request = snapshot::Request {
        tree: &tree,
        base: &base,
        reference: &reference,
        expected: expected.as_ref(),
        message: &format!(
            "kapell: {}/{} try {} as its worker left it",
            attempt.plan, attempt.task, attempt.number
        ),
        scratch,
        largest: snapshot::LARGEST_FILE,
    };
    let mut snapshot = match snapshot::snapshot(git, &request) {
        Ok(snapshot) => snapshot,
        Err(SnapshotError::TreeGone { .. }) => return Ok(None),
        Err(error) => return Err(Error::from_git(error)),
    };
    // Folders that Kapell itself linked into the tree are no work of the worker's.
    snapshot.changed.retain(|change| {
        !(change.new_mode == Mode::Symlink
            && LINKED.iter().any(|name| change.path.as_bytes() == name.as_bytes()))
    });
    let owned = PatternSet::new(task.files.clone());
    let mut outside = outside(desk, &base, &snapshot, &owned)?;
    let borrower = |path: &RepoPath| {
        lent.iter().find(|(_, files)| files.iter().any(|file| file.contains(path))).map(|(child, _)| child)
    };
    if is_shared {
        // In one folder it was the child that changed it.
        snapshot.changed.retain(|change| borrower(&change.path).is_none());
    } else {
        let theirs =
            snapshot.changed.iter().filter_map(|change| Some((&change.path, borrower(&change.path)?)));
        outside.extend(theirs.map(|(path, child)| (path.clone(), format!("is lent to task {child}"))));
    }
    if is_shared {
        forget_others(desk, attempt, &mut snapshot, &mut outside, &owned)?;
    }
    Ok(Some(Saved { snapshot, outside }))
}

/// Notes where an attempt's tree is kept and what it changed.
pub fn record(tx: &Tx<'_>, attempt: &AttemptRow, saved: &Saved) -> Result<(), Error> {
    let json = |paths: Vec<String>| serde_json::json!(paths).to_string();
    let changed = json(saved.snapshot.changed.iter().map(|change| change.path.to_string()).collect());
    let outside = json(saved.outside.iter().map(|(path, _)| path.to_string()).collect());
    let commit = saved.snapshot.commit.as_str();
    Ok(tx.set_snapshot(&attempt.id, &saved.snapshot.reference, commit, &changed, &outside)?)
}

/// [`save`], where nothing more is to come of it than that it is not lost.
pub fn save_and_record(desk: &Desk, attempt: &AttemptRow, task: &Task) -> Result<(), Error> {
    let store = desk.store()?;
    let lent = store.read(|tx| owning::lent(tx, &desk.plan_id, &task.id))?;
    match save(desk, attempt, task, &lent)? {
        Some(saved) => store.write(|tx| record(tx, attempt, &saved)),
        None => Ok(()),
    }
}

/// A saved tree, found again by its commit.
pub fn saved_again(desk: &Desk, attempt: &AttemptRow, task: &Task) -> Result<Option<Saved>, Error> {
    let git = &desk.git;
    let (Some(base), Some(commit)) =
        (attempt.base.as_deref().and_then(Oid::parse), attempt.snapshot.as_deref().and_then(Oid::parse))
    else {
        return Ok(None);
    };
    let mut changed = crate::sys::git::change::changed_between(git, &base, &commit)?;
    changed.retain(|change| {
        !(change.new_mode == Mode::Symlink
            && LINKED.iter().any(|name| change.path.as_bytes() == name.as_bytes()))
    });
    let mut snapshot = Snapshot {
        tree: read::tree_of(git, &commit)?,
        commit,
        base: base.clone(),
        reference: reference(attempt),
        changed,
        nested: Vec::new(),
        skipped: Vec::new(),
        ignored: Vec::new(),
        largest: snapshot::LARGEST_FILE,
    };
    let owned = PatternSet::new(task.files.clone());
    let mut outside = outside(desk, &base, &snapshot, &owned)?;
    if desk.config.isolation == Isolation::Shared {
        forget_others(desk, attempt, &mut snapshot, &mut outside, &owned)?;
    }
    Ok(Some(Saved { snapshot, outside }))
}

/// What was changed without being owned, or in a way that nobody may.
fn outside(
    desk: &Desk,
    base: &Oid,
    snapshot: &Snapshot,
    owned: &PatternSet,
) -> Result<Vec<(RepoPath, String)>, Error> {
    let git = &desk.git;
    let mut outside = Vec::new();
    for change in &snapshot.changed {
        if let Some(why) = objection(git, snapshot, change, owned)? {
            outside.push((change.path.clone(), why));
        }
    }
    for nested in &snapshot.nested {
        outside.push((nested.clone(), "is a repository of its own inside the tree".to_owned()));
    }
    // Two new names that differ only in case cannot both be checked out everywhere.
    let added: BTreeSet<&RepoPath> = snapshot
        .changed
        .iter()
        .filter(|change| change.old_mode == Mode::Absent)
        .map(|change| &change.path)
        .collect();
    if !added.is_empty() {
        let entries = read::ls_tree(git, &snapshot.tree, &[])?;
        let _ = base;
        for (a, b) in twins(entries.iter().map(|entry| &entry.path)) {
            let new = [&a, &b].into_iter().find(|path| added.contains(path)).cloned();
            if let Some(new) = new {
                let other = if new == a { &b } else { &a };
                outside.push((
                    new.clone(),
                    format!("has the same name as {other}, but for case or normal form"),
                ));
            }
        }
    }
    outside.sort();
    outside.dedup_by(|a, b| a.0 == b.0);
    Ok(outside)
}

fn objection(
    git: &crate::sys::git::Git,
    snapshot: &Snapshot,
    change: &Change,
    owned: &PatternSet,
) -> Result<Option<String>, Error> {
    if !owned.contains(&change.path) {
        return Ok(Some("is not owned by the task".to_owned()));
    }
    if change.new_mode == Mode::Gitlink && change.old_mode != Mode::Gitlink {
        return Ok(Some("is a link to a commit of another repository".to_owned()));
    }
    if change.new_mode == Mode::Symlink {
        let target = read::show_file(git, &snapshot.commit, &change.path)?.unwrap_or_default();
        if !link_stays_within(&change.path, &target, owned) {
            return Ok(Some(format!(
                "is a symbolic link that leaves the claim: {}",
                RepoPath::from_bytes(target)
            )));
        }
    }
    Ok(None)
}

/// Whether a symbolic link leads to a path that the same claim owns.
fn link_stays_within(link: &RepoPath, target: &[u8], owned: &PatternSet) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return false;
    }
    let mut segments: Vec<&[u8]> = link.as_bytes().split(|&byte| byte == b'/').collect();
    segments.pop();
    for segment in target.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                if segments.pop().is_none() {
                    return false;
                }
            }
            name => segments.push(name),
        }
    }
    owned.contains(&RepoPath::from_bytes(segments.join(&b'/')))
}

/// In a shared folder what a worker did outside of its claim cannot be taken away again: it may be
/// somebody else's. It becomes part of what the next attempts start from, so that it is not laid
/// to their doors. The whole is kept under the quarantine ref.
pub fn absorb(desk: &Desk, attempt: &AttemptRow, saved: &Saved) -> Result<(), Error> {
    let git = &desk.git;
    let row = desk.row()?;
    let Some(reference) = row.integration.as_deref() else { return Ok(()) };
    let strays = |change: &Change| saved.outside.iter().any(|(path, _)| *path == change.path);
    let scratch = Path::new(&attempt.run_dir);
    let stray =
        construct::construct(git, &saved.snapshot, &strays, "kapell: left outside of a claim", scratch)
            .map_err(Error::from_git)?;
    let Some(onto) = refs::read(git, reference)? else { return Ok(()) };
    if let Merge::Clean { tree } = land::merge(git, &onto, &stray, &saved.snapshot.base)? {
        let commit = land::commit_tree(git, &tree, &[&onto], "kapell: left outside of a claim")?;
        // Should another task have been accepted at this moment, the strays wait for the next time.
        refs::update(git, reference, &commit, Some(&onto), "kapell: left outside of a claim")?;
    }
    Ok(())
}

/// In a shared folder others work too: what they own is theirs, and what nobody owns cannot
/// be laid to this worker's door where another ran at the same time.
fn forget_others(
    desk: &Desk,
    attempt: &AttemptRow,
    snapshot: &mut Snapshot,
    outside: &mut Vec<(RepoPath, String)>,
    owned: &PatternSet,
) -> Result<(), Error> {
    // Told by what was then, so that it stays the same when it is asked again later.
    let (from, to) = (attempt.started_at, attempt.ended_at.unwrap_or_else(Time::now));
    let (claims, ran) = desk.store()?.read(|tx| -> Result<_, Error> {
        let project = &desk.project.id;
        Ok((tx.claims_between(project, from, to)?, tx.attempts_between(project, from, to)?))
    })?;
    let others = PatternSet::new(
        claims
            .into_iter()
            .filter(|claim| claim.holder.name.as_str() != attempt.id.as_str())
            .map(|claim| claim.pattern)
            .collect::<Vec<_>>(),
    );
    let is_alone = ran.iter().all(|other| other.id == attempt.id);
    outside.retain(|(path, _)| owned.contains(path) || (is_alone && !others.contains(path)));
    snapshot.changed.retain(|change| {
        owned.contains(&change.path) || outside.iter().any(|(path, _)| *path == change.path)
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_must_lead_to_what_is_owned() {
        let owned = PatternSet::new(vec![Pattern::parse("src/a").unwrap()]);
        for (link, target, stays) in [
            ("src/a/link", "b.rs", true),
            ("src/a/link", "./sub/../b.rs", true),
            ("src/a/deep/link", "../b.rs", true),
            ("src/a/link", "../b/c.rs", false),
            ("src/a/link", "/etc/passwd", false),
            ("src/a/link", "../../../x", false),
            ("src/a/link", "../../.git/config", false),
        ] {
            assert_eq!(
                link_stays_within(&link.into(), target.as_bytes(), &owned),
                stays,
                "{link} -> {target}"
            );
        }
    }
}
