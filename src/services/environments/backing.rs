//! Backups: a consistent copy of databases and files, compressed, proved by restoring it elsewhere before it
//! gets its name, and rotated. Restoring keeps what is there now.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::place::Place;
use super::{
    Ground, creating, database, databases, each, furnishing, guarding, keeping, own_folder, running, viewing,
    working,
};
use crate::base::failpoint::Point;
use crate::base::sorting;
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, Session};
use crate::store::environments::EnvironmentRow;
use crate::store::foreign;
use crate::sys::git::environment::{Beside, KEPT};
use crate::sys::git::{Oid, bundle, checkout, land, refs, worktree};

const TREE: &str = "tree.bundle";
const DATABASES: &str = "databases.bundle";
const MANIFEST: &str = "manifest.json";

/// A backup.
#[derive(Debug, Clone)]
pub struct Backup {
    /// The environment.
    pub name: String,
    /// Its own name.
    pub backup: String,
    /// Its folder.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What of the checkout is not in it, each with the reason.
    pub left_out: Vec<String>,
}

/// Backs up one environment or all.
pub fn backup(session: &Session, name: Option<&str>) -> Result<(Vec<Backup>, Vec<super::Failed>), Error> {
    let ground = Ground::of(session)?;
    let rows = ground.meant(name)?;
    let (mut made, mut failed) = (Vec::new(), Vec::new());
    for outcome in each(&rows, 2, |row| {
        let made = ground.hold(&row.name).and_then(|_hold| make(&ground, row));
        made.map_err(|error| super::Failed { name: row.name.clone(), sub: None, error: Box::new(error) })
    }) {
        match outcome {
            Ok(one) => made.push(one),
            Err(one) => failed.push(one),
        }
    }
    Ok((made, super::or_all_failed(rows.len(), failed)?))
}

/// The backups that there are, the newest first.
pub fn list(session: &Session, name: Option<&str>) -> Result<Vec<Backup>, Error> {
    let ground = Ground::of(session)?;
    let rows = ground.meant(name)?;
    let all = rows.iter().flat_map(|row| found(&ground, &row.name));
    Ok(all.map(|backup| Backup { left_out: spoilt(&backup), ..backup }).collect())
}

fn folder_of(ground: &Ground<'_>, name: &str) -> PathBuf {
    ground.session.house.root.join("backups").join(ground.project.id.as_str()).join(name)
}

fn found(ground: &Ground<'_>, name: &str) -> Vec<Backup> {
    let entries = fs::read_dir(folder_of(ground, name)).into_iter().flatten().flatten();
    let mut found: Vec<Backup> = entries
        // One gets its name when it is whole: where its manifest is gone by now, it is a damaged one.
        .filter(|entry| entry.path().is_dir())
        .map(|entry| Backup {
            name: name.to_owned(),
            backup: entry.file_name().to_string_lossy().into_owned(),
            bytes: [TREE, DATABASES]
                .iter()
                .filter_map(|file| Some(fs::metadata(entry.path().join(file)).ok()?.len()))
                .sum(),
            left_out: Vec::new(),
            path: entry.path(),
        })
        .filter(|backup| !backup.backup.starts_with('.'))
        .collect();
    // By their numbers: a clock that was wrong once would make an old one the newest for ever.
    sorting::sort_by_key(&mut found, |backup| std::cmp::Reverse((number(backup), backup.backup.clone())));
    found
}

/// The number of a backup among those of its environment. Earlier versions of Kapell gave none.
fn number(backup: &Backup) -> u64 {
    manifest(backup).and_then(|manifest| manifest["number"].as_u64()).unwrap_or(0)
}

/// Whether there are backups of that name, also of one that is removed.
pub(super) fn has_any(ground: &Ground<'_>, name: &str) -> bool {
    !found(ground, name).is_empty()
}

/// How the backups of an environment are, by their content: the newest that is as it was written, and how many
/// newer ones are not.
pub(super) struct Soundness {
    /// Its name; `None` where there is none.
    pub newest: Option<String>,
    /// Those that are newer and damaged.
    pub damaged: Vec<String>,
}

/// Looks at the backups of an environment until one is found that is as it was written.
pub(super) fn soundness(ground: &Ground<'_>, name: &str) -> Soundness {
    let mut soundness = Soundness { newest: None, damaged: Vec::new() };
    let all = found(ground, name);
    for backup in &all {
        if proved(backup).is_ok() {
            soundness.newest = Some(backup.backup.clone());
            break;
        }
        soundness.damaged.push(backup.backup.clone());
    }
    // The number of one cannot be read, but its name says when it was made.
    let is_newer = |it: &&Backup| soundness.newest.as_ref().is_some_and(|newest| it.backup > *newest);
    let unread = all.iter().filter(|it| manifest(it).is_none()).filter(is_newer);
    let unread: Vec<String> = unread.map(|it| it.backup.clone()).collect();
    soundness.damaged.extend(unread);
    soundness
}

/// Which copy of a database is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    /// One that was made while the database had this stamp.
    Stamped(&'a str),
    /// The one in the backup of that name.
    Named(&'a str),
}

/// Whether a database is in a backup that is as it was written.
pub(super) fn is_in(ground: &Ground<'_>, name: &str, sub: &str, which: Which<'_>) -> bool {
    found(ground, name).iter().any(|backup| {
        let Some(manifest) = manifest(backup) else { return false };
        let is_meant = |copy: &Value| {
            copy["name"] == sub
                && match which {
                    Which::Stamped(stamp) => copy["stamp"] == stamp,
                    Which::Named(name) => backup.backup == name,
                }
        };
        manifest["databases"].as_array().is_some_and(|all| all.iter().any(is_meant))
            && is_as_written(backup, &manifest, DATABASES)
    })
}

/// Which of its files are surely not as they were written, by their lengths, each in a line.
fn spoilt(backup: &Backup) -> Vec<String> {
    let Some(manifest) = manifest(backup) else { return vec![format!("{MANIFEST} (it cannot be read)")] };
    let is_spoilt = |file: &&str| {
        let length = fs::metadata(backup.path.join(file)).ok().map(|it| it.len());
        length.is_none() || manifest["lengths"][file].as_u64().is_some_and(|it| Some(it) != length)
    };
    let spoilt = [TREE, DATABASES].into_iter().filter(is_spoilt);
    spoilt.map(|file| format!("{file} (it is not as it was written, and cannot be restored)")).collect()
}

fn is_as_written(backup: &Backup, manifest: &Value, file: &str) -> bool {
    digest(&backup.path.join(file)).is_ok_and(|it| Some(it.as_str()) == manifest["files"][file].as_str())
}

fn manifest(backup: &Backup) -> Option<Value> {
    let read: Value = serde_json::from_str(&fs::read_to_string(backup.path.join(MANIFEST)).ok()?).ok()?;
    // Without these it is none.
    read["files"].is_object().then_some(read)
}

/// For `map_err` on files of a backup.
fn cannot(what: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::system(format!("the backup cannot be written: {}", what.display()), error)
}

fn make(ground: &Ground<'_>, row: &EnvironmentRow) -> Result<Backup, Error> {
    let beside = ground.open(row)?;
    furnishing::require_own(row, &beside)?;
    let folder = folder_of(ground, &row.name);
    let name = keeping::stamp();
    let part = folder.join(format!(".part-{name}"));
    fs::create_dir_all(&folder).map_err(cannot(&folder))?;
    // What killed processes left; nobody else is at it now.
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b".part-") {
            let _ = worktree::delete_folder(&entry.path());
        }
    }
    let number = found(ground, &row.name).iter().map(number).max().unwrap_or(0) + 1;
    let made = write(ground, row, &beside, &part, number).and_then(|left_out| {
        Point::BackupProved.reach()?;
        let path = folder.join(&name);
        fs::rename(&part, &path).map_err(cannot(&path))?;
        Ok((path, left_out))
    });
    let (path, left_out) = match made {
        Ok(made) => made,
        Err(error) => {
            // Those that there were are as they were, and the disk is no fuller.
            let _ = worktree::delete_folder(&part);
            return Err(error);
        }
    };
    let all = found(ground, &row.name);
    let most = usize::try_from(ground.config.environments.backups).unwrap_or(usize::MAX);
    for old in all.iter().skip(most.max(1)).filter(|old| old.path != path) {
        // One that stays is looked at again the next time.
        let _ = worktree::delete_folder(&old.path);
    }
    ground.session.store()?.write(|tx| {
        let text = format!("{} is backed up: {name}", row.name);
        tx.tell_of_environment(&ground.project.id, &row.name, None, "environment.backup", text)
    })?;
    all.into_iter()
        .find(|backup| backup.path == path)
        .map(|backup| Backup { left_out, ..backup })
        .ok_or_else(|| Error::Bug(format!("backup {name} vanished")))
}

/// Writes all parts, and proves them by restoring them beside. Gives what is not in them.
fn write(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    beside: &Beside,
    part: &Path,
    number: u64,
) -> Result<Vec<String>, Error> {
    let scratch = part.join("scratch");
    let copies = scratch.join("copies");
    fs::create_dir_all(&copies).map_err(cannot(part))?;
    // One without a database would take the place of an earlier one that has it.
    for sub in &row.subs {
        if !database(row, &sub.name).exists() {
            return Err(unsound(row, &sub.name, "the file is gone"));
        }
        if databases::is_emptied(row, &sub.name) {
            return Err(unsound(row, &sub.name, "somebody emptied the file"));
        }
    }
    let keeping::Kept { reference: kept, commit: snapshot, left } =
        keeping::snapshot(ground, row, beside, "backup")?;
    let look = beside.look()?;
    let (tree, databases) = (part.join(TREE), part.join(DATABASES));
    // A branch without a commit is no ref.
    let branch = look.branch.as_deref().filter(|_| look.head.is_some());
    let written = bundle::write_tree(&ground.git, beside, branch, &kept, &tree);
    // The bundle has it from now on, or there is none.
    beside.forget(&kept)?;
    written?;
    Point::BackupWritten.reach()?;
    let mut subs = Vec::new();
    for sub in &row.subs {
        let (from, to) = (database(row, &sub.name), copies.join(&sub.name));
        let failed = |why: foreign::Unsound| match why {
            foreign::Unsound::Busy => in_use(row, &sub.name),
            why => unsound(row, &sub.name, &why.to_string()),
        };
        // Whoever looks later whether it has changed since sees it as it is before the copy begins.
        foreign::settle(&from).map_err(failed)?;
        let stamp = databases::stamp(&from);
        foreign::copy(&from, &to).map_err(failed)?;
        foreign::check(&to).map_err(failed)?;
        subs.push(json!({
            "name": sub.name, "sha256": digest(&to)?, "bytes": fs::metadata(&to).map_or(0, |it| it.len()),
            "stamp": stamp,
        }));
    }
    bundle::write_files(&ground.git, &copies, &databases, &scratch)?;
    Point::BackupWritten.reach()?;
    let shallow = bundle::shallow(&beside.git);
    bundle::prove_tree(&ground.git, &tree, &kept, &snapshot, &shallow, &scratch)?;
    let back = scratch.join("back");
    bundle::read_files(&ground.git, &databases, &back)?;
    for sub in &subs {
        let name = sub["name"].as_str().unwrap_or_default();
        let file = back.join(name);
        if digest(&file)? != sub["sha256"].as_str().unwrap_or_default() {
            return Err(Error::Bug(format!("the copy of the database {name} did not come back as it was")));
        }
    }
    let length = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
    let left_out: Vec<String> = left.iter().map(keeping::Left::line).collect();
    let manifest = json!({
        "number": number, "environment": row.name, "branch": look.branch, "head": look.head.as_ref().map(Oid::as_str),
        "kept": kept, "snapshot": snapshot.as_str(), "databases": subs, "left_out": left_out,
        "shallow": shallow.iter().map(Oid::as_str).collect::<Vec<_>>(),
        "lengths": {TREE: length(&tree), DATABASES: length(&databases)},
        "files": {TREE: digest(&tree)?, DATABASES: digest(&databases)?},
    });
    worktree::delete_folder(&scratch).map_err(cannot(&scratch))?;
    let path = part.join(MANIFEST);
    let text = format!("{manifest:#}\n");
    fs::write(&path, text).map_err(cannot(&path))?;
    for file in [&tree, &databases, &path] {
        fs::File::open(file).and_then(|file| file.sync_all()).map_err(cannot(file))?;
    }
    Ok(left_out)
}

fn in_use(row: &EnvironmentRow, sub: &str) -> Error {
    let message =
        format!("the database of {}/{sub} cannot be backed up: {}", row.name, foreign::Unsound::Busy);
    let hint = format!(
        "wait until whoever holds it lets go, or end that (kapell env stop {0}); then kapell env backup {0}",
        row.name
    );
    Refusal::new(Code::Busy, message, hint).into()
}

fn unsound(row: &EnvironmentRow, sub: &str, why: &str) -> Error {
    let message = format!("the database of {}/{sub} cannot be backed up: {why}", row.name);
    let hint = format!(
        "kapell env restore {0} brings an earlier one back; without the file, kapell env create {0} makes a new one",
        row.name
    );
    Refusal::new(Code::Conflict, message, hint).into()
}

fn digest(path: &Path) -> Result<String, Error> {
    let failed = |error| Error::system(format!("cannot read {}", path.display()), error);
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => break,
            read => digest.update(&piece[..read]),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What restoring did.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The backup.
    pub backup: Backup,
    /// The ref that keeps the files that were there.
    pub kept: String,
    /// The databases that were there.
    pub aside: Vec<PathBuf>,
    /// The sub-environments whose services were stopped for it.
    pub stopped: Vec<String>,
}

/// Brings a backup back, the newest unless told. Services must be stopped, or are with `force`.
pub fn restore(session: &Session, name: &str, which: Option<&str>, force: bool) -> Result<Restored, Error> {
    let ground = Ground::of(session)?;
    let _hold = ground.hold(name)?;
    let row = ground.row(name)?;
    working::nobody_at_work(&ground, name, "restore")?;
    let all = found(&ground, name);
    let chosen = match which {
        Some(which) => all.iter().find(|backup| backup.backup == which),
        None => all.first(),
    };
    if which.is_none()
        && let Some(unread) = all.iter().find(|it| manifest(it).is_none())
        && chosen.is_none_or(|chosen| unread.backup > chosen.backup)
    {
        // Its number cannot be read, but its name says when it was made.
        let older = chosen.filter(|chosen| manifest(chosen).is_some());
        let hint = match older {
            Some(older) => format!("kapell env restore {name} {} takes the one before it", older.backup),
            None => format!("kapell env backup {name} --list shows those that there are"),
        };
        let message =
            format!("the newest backup of {name}, {}, has no {MANIFEST} that can be read", unread.backup);
        return Err(Refusal::new(Code::Conflict, message, hint).into());
    }
    let chosen = chosen.cloned().ok_or_else(|| {
        let shown = which.map(|which| format!(" `{}`", which.escape_debug())).unwrap_or_default();
        let hint = match all.is_empty() {
            true => format!("kapell env backup {name} makes one"),
            false => format!("kapell env backup {name} --list shows those that there are"),
        };
        Refusal::new(Code::NotFound, format!("{name} has no backup{shown}"), hint)
    })?;
    let manifest = proved(&chosen)?;
    if matches!(ground.place(&row)?, Place::Nothing) {
        creating::make(&ground, &row)?;
    }
    let beside = ground.open(&row)?;
    furnishing::require_own(&row, &beside)?;
    free_of_operation(&row, &beside, force, "restore")?;
    branch_is_free(&row, &beside, manifest["branch"].as_str())?;
    let stopped = stop_or_refuse(&ground, &row, force, "restore")?;
    let text = |key: &str| manifest[key].as_str();
    let head = text("head").and_then(Oid::parse);
    let Some(kept) = text("kept").filter(|_| head.is_some() || manifest["head"].is_null()) else {
        return Err(damaged(&chosen, "its manifest is not whole").into());
    };
    let shallow = manifest["shallow"].as_array().into_iter().flatten();
    let shallow: Vec<Oid> = shallow.filter_map(|oid| Oid::parse(oid.as_str()?)).collect();
    let files = beside.unpack(&chosen.path.join(TREE), kept, &shallow)?;
    let now = keeping::snapshot(&ground, &row, &beside, "restored")?;
    let guarded = guarding::nothing_lost(&row, "restore", &beside, &now, &files.commit, true).and_then(
        |()| match &head {
            Some(head) => guarding::nothing_lost(&row, "restore", &beside, &now, head, true),
            None => Ok(()),
        },
    );
    if let Err(no) = guarded {
        beside.forget(&now.reference)?;
        beside.forget(&files.reference)?;
        return Err(no);
    }
    let now_kept = now.reference;
    keep_branch(&beside, text("branch"), &now_kept)?;
    Point::RestoreKept.reach()?;
    beside.quit_operation()?;
    {
        let guard = ground.git.turn()?;
        beside.restore(&guard, &files, text("branch"), head.as_ref())?;
    }
    Point::RestoreTree.reach()?;
    let aside = restore_databases(&ground, &row, &chosen)?;
    furnishing::furnish(&ground, &row, &beside)?;
    ground.session.store()?.write(|tx| {
        let text = format!("{name} is restored from {}", chosen.backup);
        tx.tell_of_environment(&ground.project.id, name, None, "environment.restored", text)
    })?;
    let left_out = manifest["left_out"].as_array().into_iter().flatten();
    let left_out = left_out.filter_map(|line| line.as_str().map(str::to_owned)).collect();
    Ok(Restored { backup: Backup { left_out, ..chosen }, kept: now_kept, aside, stopped })
}

/// Refuses where another worktree has the branch that is to be checked out.
pub(super) fn branch_is_free(
    row: &EnvironmentRow,
    beside: &Beside,
    branch: Option<&str>,
) -> Result<(), Error> {
    let Some(branch) = branch else { return Ok(()) };
    match land::checked_out(&beside.git, &format!("refs/heads/{branch}"))? {
        Some(path) if path != Path::new(&row.path) => Err(Refusal::new(
            Code::Conflict,
            format!("{branch} is checked out in {}; nothing was changed", path.display()),
            "check something else out there",
        )
        .into()),
        _ => Ok(()),
    }
}

/// Refuses while somebody is in the middle of a merge or a rebase, unless told.
pub(super) fn free_of_operation(
    row: &EnvironmentRow,
    beside: &Beside,
    force: bool,
    verb: &str,
) -> Result<(), Refusal> {
    match checkout::in_progress(&beside.tree.admin_dir) {
        Some(what) if !force => Err(Refusal::new(
            Code::Conflict,
            format!("{what} is under way in {}", row.path),
            format!("finish or abort it there, or kapell env {verb} {} --force", row.name),
        )),
        _ => Ok(()),
    }
}

/// The branch that is about to be moved, where another one is checked out now.
pub(super) fn keep_branch(beside: &Beside, branch: Option<&str>, beside_ref: &str) -> Result<(), Error> {
    let Some(branch) = branch else { return Ok(()) };
    if let Some(held) = refs::read(&beside.git, &format!("refs/heads/{branch}"))? {
        let name = beside_ref.trim_start_matches(KEPT);
        refs::update(&beside.git, &format!("{KEPT}{name}-branch"), &held, None, "kapell env restore")?;
    }
    Ok(())
}

fn damaged(backup: &Backup, what: &str) -> Refusal {
    let message = format!("the backup {} of {} is damaged: {what}", backup.backup, backup.name);
    let hint = format!("nothing was changed; kapell env backup {} --list shows others", backup.name);
    Refusal::new(Code::StoreDamaged, message, hint)
}

/// Its manifest, once its files are seen to be as they were written.
fn proved(backup: &Backup) -> Result<Value, Error> {
    let manifest = manifest(backup).ok_or_else(|| damaged(backup, "its manifest cannot be read"))?;
    for file in [TREE, DATABASES] {
        if !is_as_written(backup, &manifest, file) {
            return Err(damaged(backup, &format!("{file} is not as it was written")).into());
        }
    }
    Ok(manifest)
}

fn restore_databases(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    backup: &Backup,
) -> Result<Vec<PathBuf>, Error> {
    let own = own_folder(row);
    let back = own.join("restoring");
    let failed = |error| Error::system(format!("cannot restore into {}", own.display()), error);
    if back.exists() {
        worktree::delete_folder(&back).map_err(failed)?;
    }
    fs::create_dir_all(&own).map_err(failed)?;
    bundle::read_files(&ground.git, &backup.path.join(DATABASES), &back)?;
    let stamp = keeping::stamp();
    let mut aside = Vec::new();
    for sub in row.subs.iter().filter(|sub| back.join(&sub.name).is_file()) {
        aside.extend(put_aside(ground, row, &sub.name, "restore", &stamp)?);
        databases::remember(row, &sub.name, &back.join(&sub.name), Some(&backup.backup)).map_err(failed)?;
        fs::rename(back.join(&sub.name), database(row, &sub.name)).map_err(failed)?;
    }
    worktree::delete_folder(&back).map_err(failed)?;
    Ok(aside)
}

/// Renames a database, with its write-ahead log, by what is about to be done and when. Of those that were put
/// aside earlier the newest stay, as many as backups do, and all that have what is nowhere else.
pub(super) fn put_aside(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    sub: &str,
    why: &str,
    stamp: &str,
) -> Result<Option<PathBuf>, Error> {
    let own = own_folder(row);
    let failed = |error| Error::system(format!("cannot put {} aside", database(row, sub).display()), error);
    let name = databases::aside_name(sub, why, stamp);
    let mut is_there = false;
    let [file, wal, shm, journal] = databases::PARTS.map(|part| own.join(format!("{sub}.sqlite{part}")));
    let parts = [file, wal, shm, journal, databases::made_file(row, sub)];
    for (at, (from, to)) in parts.iter().zip(databases::aside_files(&name)).enumerate() {
        match fs::rename(from, own.join(to)) {
            Ok(()) => is_there |= at == 0,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    databases::note_damage(row, sub, None);
    let most = usize::try_from(ground.config.environments.backups).unwrap_or(usize::MAX);
    for old in databases::put_aside(row, sub).iter().skip(most.max(1)) {
        // What is nowhere else stays, however old it is.
        if databases::is_aside_kept(ground, row, sub, old) {
            for file in databases::aside_files(old) {
                // One that stays is looked at again the next time.
                let _ = fs::remove_file(own.join(file));
            }
        }
    }
    Ok(is_there.then(|| own.join(name)))
}

/// Stops what runs, or refuses and names it. Gives what ran.
pub(super) fn stop_or_refuse(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    force: bool,
    verb: &str,
) -> Result<Vec<String>, Error> {
    let mut losses = crate::domain::environment::Losses::default();
    viewing::running(ground, row, &mut losses);
    if !losses.running.is_empty() && !force {
        return Err(Refusal::new(
            Code::Conflict,
            format!("{} is in use: {}", row.name, losses.lines().join("; ")),
            format!("kapell env stop {0}, or kapell env {verb} {0} --force", row.name),
        )
        .into());
    }
    each(&row.subs, row.subs.len().max(1), |sub| running::stop_one(ground, row, sub))
        .into_iter()
        .collect::<Result<Vec<()>, _>>()?;
    Ok(losses.running.into_iter().map(|(sub, _)| sub).collect())
}
