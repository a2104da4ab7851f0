//! Saving what an attempt left: its tree goes under a ref before anything else is decided.

use crate::base::sorting::Gather as _;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::desk::Desk;
use super::launching::{LINKED, PROMPT};
use crate::base::clock::Time;
use crate::base::ids::TaskId;
use crate::base::paths::RepoPath;
use crate::base::sorting;
use crate::domain::attempt::Outcome;
use crate::domain::pattern::{Pattern, PatternSet, twins};
use crate::domain::plan::Task;
use crate::domain::violation::{Changed, Kind, Lead, Objection, end_of, objection};
use crate::services::claiming::leaving::{self, BUILDS};
use crate::services::editing::beside;
use crate::services::environments::working;
use crate::services::{Error, approving, owning, walling};
use crate::store::Tx;
use crate::store::attempts::AttemptRow;
use crate::sys::config::resolved::Isolation;
use crate::sys::git::change::{Change, ChangeKind, Mode, changed_between};
use crate::sys::git::inner::{self, Became};
use crate::sys::git::land::{self, Merge};
use crate::sys::git::snapshot::{SkipReason, Skipped};
use crate::sys::git::{Git, Oid, Snapshot, SnapshotError, Worktree, construct, read, refs, snapshot};

/// An attempt's tree, saved, and what of it lies outside of the claim.
#[derive(Debug)]
pub struct Saved {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What was changed and may not land, each with the reason.
    pub outside: Vec<(RepoPath, String)>,
    /// What a person lets land although it is not owned.
    pub approved: Vec<RepoPath>,
    /// What was changed and belongs to the integrator, who makes it anew: it is passed over.
    pub dropped: Vec<RepoPath>,
    /// In a shared folder: what changed that nobody owns while others worked there too. It is somebody's, and
    /// nobody knows whose. There and in an environment: what changed in repositories that lay in it before.
    pub unowned: Vec<RepoPath>,
    /// In a shared folder: what changed that somebody else holds.
    pub others: Vec<RepoPath>,
    /// Files within the claim that git ignores. They do not land; once the worker has ended, copies of them
    /// lie in the run's folder `ignored`.
    pub ignored: Vec<RepoPath>,
}

impl Saved {
    /// Whether a change lands with the work.
    pub fn lands(&self, change: &Change, owned: &PatternSet) -> bool {
        (owned.contains(&change.path) || self.approved.contains(&change.path))
            && !self.outside.iter().any(|(path, _)| *path == change.path)
    }
}

/// The ref that keeps an attempt's tree.
pub fn reference(attempt: &AttemptRow) -> String {
    format!("refs/kapell/tasks/{}/{}/{}", attempt.plan, attempt.task, attempt.number)
}

/// A tree that is not found is gone, unless the whole repository is away: then nothing is known of it.
fn gone(desk: &Desk) -> Result<Option<Saved>, Error> {
    let place = &desk.project.place;
    match place.metadata() {
        Ok(_) => Ok(None),
        Err(error) => Err(Error::system(format!("looking at the repository {}", place.display()), error)),
    }
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
    // An environment may be a clone: it is saved there, and brought here.
    let beside = match attempt.environment {
        Some(_) => match working::checkout_of(desk, attempt)? {
            Some(beside) => Some(beside),
            None => return Ok(None),
        },
        None => None,
    };
    let git = beside.as_ref().map_or(git, |beside| &beside.git);
    let tree = match &beside {
        Some(beside) => beside.tree.clone(),
        None if is_shared => Worktree::of_checkout(git.repository()).map_err(Error::from_git)?,
        None => match Worktree::find(git, path) {
            Some(tree) => tree,
            None => return gone(desk),
        },
    };
    let Some(base) = attempt.base.as_deref().and_then(Oid::parse) else { return Ok(None) };
    let reference = reference(attempt);
    let scratch = Path::new(&attempt.run_dir);
    let request = snapshot::Request {
        tree: &tree,
        base: &base,
        reference: &reference,
        expected: None,
        message: &format!(
            "kapell: {}/{} try {} as its worker left it",
            attempt.plan, attempt.task, attempt.number
        ),
        scratch,
        // A worker that is alive asked for it, and is told where it is kept.
        keeps_base: !is_shared || attempt.ended_at.is_none(),
        largest: snapshot::LARGEST_FILE,
        is_exact: false,
    };
    // A worker's own tree, in which nobody is at work any more.
    let may_open = attempt.ended_at.is_some() && !is_shared && beside.is_none();
    let sweep = || {
        if walling::is_walled(&desk.config) {
            walling::drop_placeholders(path, &task.files);
        }
    };
    let mut snapshot = match taken(git, &request, may_open, sweep) {
        Ok(snapshot) => snapshot,
        Err(SnapshotError::TreeGone { .. }) => return gone(desk),
        Err(error) => return Err(Error::from_git(error)),
    };
    if let Some(beside) = &beside {
        working::bring_home(desk, beside, &reference)?;
    }
    // Somebody else's folder had repositories before.
    let touched = match is_shared || beside.is_some() {
        true => leave_out_of_before(desk, attempt, task, (git, &tree), &mut snapshot.nested)?,
        false => Vec::new(),
    };
    let mut saved = compared(desk, attempt, task, snapshot)?;
    saved.unowned.extend(touched);
    if attempt.ended_at.is_some() && !is_shared {
        // Links are made anew by what made them; what is too much or nobody can read is told all the same.
        let is_link = |name: &&RepoPath| path.join(name.to_path_buf()).is_symlink();
        let files = saved.ignored.iter().filter(|name| !is_link(name)).cloned().collect();
        leaving::copy(path, &scratch.join("ignored"), files, &mut Vec::new())
            .map_err(|error| Error::system("cannot keep what git ignores", error))?;
    }
    let borrower = |path: &RepoPath| {
        lent.iter().find(|(_, files)| files.iter().any(|file| file.contains(path))).map(|(child, _)| child)
    };
    if is_shared {
        // In one folder it was the child that changed it.
        saved.snapshot.changed.retain(|change| borrower(&change.path).is_none());
    } else {
        let changed = saved.snapshot.changed.iter();
        let theirs = changed.filter_map(|change| Some((&change.path, borrower(&change.path)?)));
        saved.outside.extend(theirs.map(|(path, child)| (path.clone(), format!("is lent to task {child}"))));
    }
    Ok(Some(saved))
}

/// Takes the snapshot. Where the worker took from itself the right to enter its folders, as `chmod -R 644` does,
/// they are opened, so that what lies in them is saved and judged as it is. What stays closed is told in the snapshot.
fn taken(
    git: &Git,
    request: &snapshot::Request<'_>,
    may_open: bool,
    sweep: impl Fn(),
) -> Result<Snapshot, SnapshotError> {
    let take = || {
        sweep();
        let expected = refs::read(git, request.reference)?;
        snapshot::snapshot(git, &snapshot::Request { expected: expected.as_ref(), ..request.clone() })
    };
    let top = RepoPath::from("");
    let first = match take() {
        Err(SnapshotError::TreeClosed { .. }) if may_open && request.tree.open_up([&top]) => take()?,
        first => first?,
    };
    let is_closed = |skipped: &&Skipped| skipped.why == SkipReason::Unreadable;
    let closed = first.skipped.iter().filter(is_closed).map(|skipped| &skipped.path);
    if may_open && request.tree.open_up(closed) { take() } else { Ok(first) }
}

/// Leaves out of the repositories in a tree those that lay there before the attempt as they are now. What changed in one
/// that is not its own lands nowhere and stays where it is; a path of each such one, to be told.
fn leave_out_of_before(
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    (git, tree): (&Git, &Worktree),
    nested: &mut Vec<RepoPath>,
) -> Result<Vec<RepoPath>, Error> {
    if nested.is_empty() {
        return Ok(Vec::new());
    }
    let tries = desk.store()?.read(|tx| tx.attempts_at(&desk.plan_id, &task.id))?;
    let mut since = inner::Stamp::default();
    for it in tries.iter().rev().filter(|it| it.number <= attempt.number) {
        let is_judged = matches!(it.state.outcome(), Some(Outcome::Submitted | Outcome::Violation));
        if is_judged && it.id != attempt.id {
            break;
        }
        // What one left that could not end was not looked at then. A prompt is written last before its worker begins,
        // and after all that made the folder ready.
        if let Ok(found) = Path::new(&it.run_dir).join(PROMPT).symlink_metadata() {
            since = inner::stamp(&found);
        }
    }
    let owned = PatternSet::new(task.files.clone());
    let mut touched = Vec::new();
    for path in std::mem::take(nested) {
        match inner::became(git, &tree.path, &path, since, &BUILDS) {
            Became::Same => {}
            Became::Touched(file) if !concerns(&owned, &path) => touched.push(file),
            _ => nested.push(path),
        }
    }
    Ok(touched)
}

/// A task that was sent without files comes to own what its worker changed, as far as nobody else
/// holds it. The task as it owns more now, if it does.
pub fn own_what_it_changed(
    desk: &Desk,
    attempt: &AttemptRow,
    task: &Task,
    saved: &Saved,
) -> Result<Option<Task>, Error> {
    let planned = desk.task(&task.id)?;
    if !planned.files.is_empty() || saved.outside.is_empty() {
        return Ok(None);
    }
    let paths = saved.outside.iter().filter_map(|(path, _)| Pattern::of_path(&path.to_string()).ok());
    let paths: Vec<Pattern> = paths.collect();
    let kept = leaving::keep(&desk.session.house, &desk.project, &paths)?;
    desk.write(|tx| -> Result<Option<Task>, Error> {
        for path in &paths {
            // Whoever holds one of them has it; it stays outside, and the others do not suffer for it.
            let path = std::slice::from_ref(path);
            approving::hold(tx, &desk.project, attempt, path, &kept, "it was changed")?;
        }
        let owning = owning::task_of(tx, attempt, planned.clone())?;
        Ok((owning.files != task.files).then_some(owning))
    })
}

/// Notes where an attempt's tree is kept and what it changed.
pub fn record(tx: &Tx<'_>, attempt: &AttemptRow, saved: &Saved) -> Result<(), Error> {
    let json = |paths: Vec<String>| serde_json::json!(paths).to_string();
    let changed = json(saved.snapshot.changed.iter().map(|change| change.path.to_string()).collect());
    let outside = json(saved.outside.iter().map(|(path, _)| path.to_string()).collect());
    let commit = saved.snapshot.commit.as_str();
    Ok(tx.set_snapshot(&attempt.id, saved.snapshot.kept(), commit, &changed, &outside)?)
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
    let changed = changed_between(git, &base, &commit)?;
    // What could not be saved is in no commit; that it was there is recorded.
    let recorded: Vec<String> =
        attempt.outside_claim.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let is_change = |name: &String| changed.iter().any(|change| change.path.to_string() == *name);
    let unsaved = recorded.iter().filter(|name| !is_change(name)).map(|name| RepoPath::from(name.as_str()));
    let is_repository = |path: &RepoPath| {
        let place = attempt.worktree.as_deref().map(|tree| Path::new(tree).join(path.to_path_buf()));
        place.is_none_or(|place| place.symlink_metadata().is_err() || place.join(".git").exists())
    };
    let (nested, other): (Vec<_>, Vec<_>) = unsaved.partition(is_repository);
    let skipped = other.into_iter().map(|path| Skipped { path, why: SkipReason::Before }).collect();
    let snapshot = Snapshot {
        tree: read::tree_of(git, &commit)?,
        changed,
        commit,
        base,
        reference: reference(attempt),
        nested,
        skipped,
        ignored: Vec::new(),
        largest: snapshot::LARGEST_FILE,
    };
    compared(desk, attempt, task, snapshot).map(Some)
}

/// A snapshot compared with the claim, with what a person approved, and with what is the integrator's.
fn compared(desk: &Desk, attempt: &AttemptRow, task: &Task, mut snapshot: Snapshot) -> Result<Saved, Error> {
    // Folders that Kapell itself linked into the tree are no work of the worker's.
    snapshot.changed.retain(|change| {
        !(change.new_mode == Mode::Symlink
            && LINKED.iter().any(|name| change.path.as_bytes() == name.as_bytes()))
    });
    let integrator = PatternSet::new(desk.config.integrator.iter().flat_map(|it| it.files.clone()));
    let dropped: Vec<RepoPath> = snapshot
        .changed
        .extract_if(.., |change| integrator.contains(&change.path))
        .map(|change| change.path)
        .collect();
    let owned = PatternSet::new(task.files.clone());
    let mut objections = objections(desk, &snapshot, &owned)?;
    let names = desk.store()?.read(|tx| tx.approved_paths(&attempt.id))?;
    let approved = objections
        .extract_if(.., |(path, objection)| {
            objection.may_be_approved() && names.iter().any(|name| *name == path.to_string())
        })
        .map(|(path, _)| path)
        .collect();
    let outside = objections.into_iter().map(|(path, objection)| (path, objection.to_string())).collect();
    let is_shared = desk.config.isolation == Isolation::Shared;
    // In a shared folder they stay where they are, and may be anybody's.
    let mut ignored = match (is_shared, &attempt.worktree) {
        (false, Some(tree)) => leaving::unfold(Path::new(tree), snapshot.ignored.clone()),
        _ => Vec::new(),
    };
    ignored.retain(|path| owned.contains(path));
    let mut saved =
        Saved { snapshot, outside, approved, dropped, unowned: Vec::new(), others: Vec::new(), ignored };
    if is_shared {
        forget_others(desk, attempt, &mut saved, &owned)?;
    }
    Ok(saved)
}

/// Why a path that is no file of a saved tree cannot land, whoever approves it.
pub fn lands_for_nobody(changed: &[Change], path: &str) -> Option<Objection> {
    match changed.iter().find(|change| change.path.to_string() == path) {
        None => Some(Objection::NotSaved("is a repository of its own, or could not be read".to_owned())),
        Some(change) if change.new_mode == Mode::Gitlink => Some(Objection::ForeignCommit),
        Some(_) => None,
    }
}

/// What was changed without being owned, or in a way that nobody may; each path once.
fn objections(
    desk: &Desk,
    snapshot: &Snapshot,
    owned: &PatternSet,
) -> Result<Vec<(RepoPath, Objection)>, Error> {
    let git = &desk.git;
    let moves = moves(&snapshot.changed);
    let mut links = Links::new(git, snapshot);
    let mut found = Vec::new();
    for change in &snapshot.changed {
        let target = match change.new_mode {
            Mode::Symlink => links.at(&change.path)?,
            _ => None,
        };
        let end = match &target {
            Some(target) => end_of(&change.path, target, |path| links.at(path))?,
            None => None,
        };
        let changed = Changed {
            path: &change.path,
            was: kind(change.old_mode),
            is: kind(change.new_mode),
            is_same_content: change.old_oid == change.new_oid,
            leads_to: target.as_deref().map(|target| Lead { target, end: end.as_ref() }),
            moved: moves.get(&change.path).copied(),
        };
        found.extend(objection(&changed, owned).map(|objection| (change.path.clone(), objection)));
    }
    found.extend(snapshot.nested.iter().map(|nested| (nested.clone(), Objection::NestedRepository)));
    let is_shared = desk.config.isolation == Isolation::Shared;
    for skipped in &snapshot.skipped {
        // What lies elsewhere in a shared folder is hardly the worker's.
        if !is_shared || concerns(owned, &skipped.path) {
            found.push((skipped.path.clone(), Objection::NotSaved(skipped.why.to_string())));
        }
    }
    // Two new names that differ only in case cannot both be checked out everywhere.
    let added: BTreeSet<&RepoPath> = snapshot
        .changed
        .iter()
        .filter(|change| change.old_mode == Mode::Absent)
        .map(|change| &change.path)
        .gather();
    if !added.is_empty() {
        let entries = read::ls_tree(git, &snapshot.tree, &[])?;
        for (a, b) in twins(entries.iter().map(|entry| &entry.path)) {
            // A folder's twin is told by the files in it.
            let is_new = |path: &RepoPath| added.contains(path);
            let (new, other) = if is_new(&a) { (a, b) } else { (b, a) };
            if is_new(&new) {
                found.push((new, Objection::Twin(other)));
            }
        }
    }
    sorting::sort(&mut found);
    found.dedup_by(|a, b| a.0 == b.0);
    Ok(found)
}

/// Whether a path is owned or something below it is: a folder that nobody may enter hides what is claimed in it.
fn concerns(owned: &PatternSet, path: &RepoPath) -> bool {
    let is_below = |folder: Pattern| owned.patterns().iter().any(|own| own.key().starts_with(&folder.key()));
    owned.contains(path)
        || path.as_bytes() == b"."
        || Pattern::around_shown(&path.to_string()).is_ok_and(is_below)
}

/// The symbolic links of a saved tree; looked for at the first that is asked about.
struct Links<'a> {
    git: &'a Git,
    snapshot: &'a Snapshot,
    found: Option<BTreeSet<RepoPath>>,
}

impl<'a> Links<'a> {
    fn new(git: &'a Git, snapshot: &'a Snapshot) -> Self {
        Self { git, snapshot, found: None }
    }

    /// Where a path leads, if it is a link.
    fn at(&mut self, path: &RepoPath) -> Result<Option<Vec<u8>>, Error> {
        if self.found.is_none() {
            let entries = read::ls_tree(self.git, &self.snapshot.tree, &[])?.into_iter();
            let links = entries.filter(|entry| entry.mode == Mode::Symlink).map(|entry| entry.path);
            self.found = Some(links.gather());
        }
        if !self.found.as_ref().is_some_and(|links| links.contains(path)) {
            return Ok(None);
        }
        Ok(read::show_file(self.git, &self.snapshot.commit, path)?)
    }
}

/// Both ends of each file that was moved as it was; only where there is no doubt which went where.
fn moves(changed: &[Change]) -> HashMap<&RepoPath, &RepoPath> {
    let mut ends: HashMap<&Oid, (Vec<&RepoPath>, Vec<&RepoPath>)> = HashMap::new();
    for change in changed {
        match change.kind {
            ChangeKind::Deleted => ends.entry(&change.old_oid).or_default().0.push(&change.path),
            ChangeKind::Added => ends.entry(&change.new_oid).or_default().1.push(&change.path),
            ChangeKind::Modified | ChangeKind::TypeChanged => {}
        }
    }
    let pairs = ends.into_values().filter_map(|(from, to)| match (&from[..], &to[..]) {
        ([from], [to]) => Some((*from, *to)),
        _ => None,
    });
    pairs.flat_map(|(from, to)| [(from, to), (to, from)]).collect()
}

fn kind(mode: Mode) -> Kind {
    match mode {
        Mode::Absent | Mode::Folder => Kind::Absent,
        Mode::File => Kind::File,
        Mode::Executable => Kind::Executable,
        Mode::Symlink => Kind::Link,
        Mode::Gitlink => Kind::Commit,
    }
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

/// Tells those who hold files of a shared folder that changed while an attempt ran there; what is to be recorded.
pub fn tell_others(desk: &Desk, attempt: &AttemptRow, saved: &Saved) -> Result<Option<String>, Error> {
    let Some(top) = attempt.worktree.as_deref().filter(|_| !saved.others.is_empty()) else { return Ok(None) };
    let Ok(all) = Pattern::parse("**") else { return Ok(None) };
    let held = desk.store()?.read(|tx| tx.claims_near(&desk.project.id, &all))?;
    beside::tell(&desk.session.house, Path::new(top), attempt, &saved.others, &held)
}

/// In a shared folder others work too: what they own is theirs, and what nobody owns cannot
/// be laid to this worker's door where another ran at the same time.
fn forget_others(
    desk: &Desk,
    attempt: &AttemptRow,
    saved: &mut Saved,
    owned: &PatternSet,
) -> Result<(), Error> {
    let Saved { snapshot, outside, approved, unowned, others: theirs, .. } = saved;
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
    let foreign =
        outside.extract_if(.., |(path, _)| !concerns(owned, path) && (!is_alone || others.contains(path)));
    for (path, _) in foreign {
        if others.contains(&path) { theirs.push(path) } else { unowned.push(path) }
    }
    snapshot.changed.retain(|change| {
        owned.contains(&change.path)
            || approved.contains(&change.path)
            || outside.iter().any(|(path, _)| *path == change.path)
    });
    Ok(())
}
