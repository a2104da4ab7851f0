//! What a command changed that nobody could tell from its words: files of others, found out afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::marking::Doings;
use super::{Editor, Held, HolderKind, is_of_agent, is_of_its_shell, linked, made, near, tell};
use crate::base::ids::{ClaimId, HolderName};
use crate::base::paths::RepoPath;
use crate::base::sorting::Gather as _;
use crate::domain::pattern::Pattern;
use crate::domain::refusal::{Code, Refusal};
use crate::services::project::Project;
use crate::services::{Error, House, nudging};
use crate::sys::process::life;

/// So many files in folders that others hold are looked at: a hook has to answer in milliseconds.
pub(super) const LOOKED_AT: usize = 5000;

/// So many are named.
const NAMED: usize = 5;

/// The file whose time tells when a session used its last tool.
pub(super) fn stamp(house: &House, holder: &HolderName) -> PathBuf {
    let name: String = holder
        .as_str()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    house.root.join("hook").join(name)
}

/// A file of somebody else's that was there when a session was about to use its tool.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    claim: ClaimId,
    inode: u64,
    path: RepoPath,
}

/// As they stand in the stamp: a number, a number and the bytes of a path, which ends with a NUL.
fn written(seen: &[Seen]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Seen { claim, inode, path } in seen {
        bytes.extend_from_slice(format!("{claim} {inode} ").as_bytes());
        bytes.extend_from_slice(path.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// From the bytes of a stamp. What is none of it is left out.
fn read(bytes: &[u8]) -> Vec<Seen> {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
    let seen = |line: &[u8]| {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let claim = ClaimId(i64::try_from(number(parts.next()?)?).ok()?);
        Some(Seen { claim, inode: number(parts.next()?)?, path: RepoPath::from_bytes(parts.next()?) })
    };
    bytes.split(|byte| *byte == 0).filter_map(seen).collect()
}

/// Notes that a session is about to use a tool, and which files of others are there before it does.
pub fn note(house: &House, editor: &Editor, folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if !house.root.is_dir() {
        return Ok(());
    }
    // Without it only what the command takes away goes unseen.
    let seen = seen(house, editor, folder).unwrap_or_default();
    let (path, bytes) = (stamp(house, &editor.holder.name), written(&seen));
    let noted = fs::write(&path, &bytes);
    if noted.is_ok() {
        return noted;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(house.root.join("hook"))?;
    fs::write(&path, &bytes)
}

/// The files of others that are there.
fn seen(house: &House, editor: &Editor, folder: &Path) -> Result<Vec<Seen>, Error> {
    let project = Project::of(folder)?;
    let Some(top) = &project.top else { return Ok(Vec::new()) };
    let mut left = LOOKED_AT;
    let mut seen = Vec::new();
    for Held { id, pattern, .. } in others(house, editor, &project)? {
        let owned = linked::owned(top, &pattern, &mut left).into_iter();
        seen.extend(owned.map(|(path, inode)| Seen { claim: id, inode, path }));
    }
    Ok(seen)
}

/// What others hold whose files lie in the checkout.
fn others(house: &House, editor: &Editor, project: &Project) -> Result<Vec<Held>, Error> {
    let Ok(all) = Pattern::parse("**") else { return Ok(Vec::new()) };
    let mut held = house.store()?.read(|tx| -> Result<Vec<Held>, Error> {
        let mut held = near(tx, &project.id, &[all])?;
        // What is edited in another checkout is not what lies here under the same name.
        if let Some(top) = &project.top {
            held.retain(|it| {
                let edited = tx.edited_for(it.id).ok().flatten();
                edited.is_none_or(|edited| edited == top.join(it.pattern.literal_path()))
            });
        }
        Ok(held)
    })?;
    // Attempts work in checkouts of their own, or in a shared one all the time, so that nobody knows what was not
    // their doing; and a server's claims are its agent's.
    held.retain(|claim| {
        if is_of_its_shell(claim, editor) {
            return false;
        }
        claim.holder.kind != HolderKind::Attempt
            && claim.holder != editor.holder
            && (claim.alive.as_deref().is_some_and(life::is_of_process)
                || !is_of_agent(claim, editor.alive.as_deref()))
    });
    Ok(held)
}

/// Forgets it at the end of a turn.
pub fn forget(house: &House, editor: &Editor) {
    // One that used no tool left none.
    let _ = fs::remove_file(stamp(house, &editor.holder.name));
}

/// Tells of the files of others that changed since the session was about to use its tool: `command` says which
/// of its commands that was.
pub fn touched(
    house: &House,
    editor: &Editor,
    folder: &Path,
    command: &str,
) -> Result<Option<Refusal>, Error> {
    let project = Project::of(folder)?;
    let (Some(began), Some(top)) = (since(house, &editor.holder.name), &project.top) else {
        return Ok(None);
    };
    let seen = read(&fs::read(stamp(house, &editor.holder.name)).unwrap_or_default());
    let held = others(house, editor, &project)?;
    let mut before: BTreeMap<(ClaimId, RepoPath), u64> =
        seen.into_iter().map(|seen| ((seen.claim, seen.path), seen.inode)).gather();
    let mut left = LOOKED_AT;
    let mut changed: Vec<(RepoPath, &Held)> = Vec::new();
    let mut doings = BTreeMap::<&HolderName, Doings>::new();
    for claim in &held {
        for (path, inode) in linked::owned(top, &claim.pattern, &mut left) {
            let file = top.join(path.to_path_buf());
            let known = (claim.id, path);
            let is_other = before.remove(&known).is_some_and(|before| before != inode);
            if is_other || file.symlink_metadata().is_ok_and(|it| changed_at(&it) >= began) {
                changed.push((known.1, claim));
            }
        }
    }
    // What was there and is not, or is a folder by now.
    let is_gone =
        |path: &RepoPath| top.join(path.to_path_buf()).symlink_metadata().map_or(true, |it| it.is_dir());
    let gone = before.into_keys().filter(|(_, path)| is_gone(path)).filter_map(|(claim, path)| {
        let claim = held.iter().find(|it| it.id == claim)?;
        Some((path, claim))
    });
    changed.extend(gone);
    // What the tools of its holder did meanwhile, this command did not.
    let is_doer = |doer: &Held, claim: &Held| {
        doer.holder == claim.holder || doer.alive.is_some() && is_of_agent(claim, doer.alive.as_deref())
    };
    changed.retain(|(path, claim)| {
        let file = top.join(path.to_path_buf());
        let mut doers = held.iter().filter(|doer| is_doer(doer, claim)).map(|doer| &doer.holder.name);
        !doers.any(|doer| doings.entry(doer).or_insert_with(|| Doings::of(house, doer)).explain(&file))
    });
    let names: Vec<RepoPath> = changed.iter().map(|(path, _)| path.clone()).collect();
    let made = made::of_builds(house, &project, &names)?;
    // Of what builds make nobody holds anything who does not name it.
    changed.retain(|(path, claim)| made::means(&claim.pattern, &made, path));
    let Some((_, first)) = changed.first() else { return Ok(None) };
    let names: Vec<String> = changed
        .iter()
        .take(NAMED)
        .map(|(path, claim)| format!("{path} (held by {})", claim.holder.name))
        .collect();
    let more = changed.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!("{}{more} changed while {command} of {} ran", names.join(", "), editor.holder.name);
    house.store()?.write(|tx| tell(tx, &project, editor, "hook.touched", text.clone()))?;
    // An editor and a person follow the events.
    let agents = changed.iter().filter(|(_, claim)| claim.holder.kind == HolderKind::Agent);
    let agents: BTreeSet<&HolderName> = agents.map(|(_, claim)| &claim.holder.name).collect();
    for agent in agents {
        let theirs = changed.iter().filter(|(_, claim)| claim.holder.name == *agent).take(NAMED);
        let names: Vec<String> = theirs.map(|(path, _)| path.to_string()).collect();
        let names = names.join(", ");
        let text = format!("{names} changed while {command} of mine ran; look at it before you go on");
        nudging::say(house, agent, &editor.holder.name, &text)?;
    }
    let hint = format!(
        "if the command did it, put back what was there, and ask {} first; if not, go on",
        first.holder.name
    );
    Ok(Some(Refusal::new(Code::Conflict, text, hint)))
}

/// When a session was last about to run a command.
pub(super) fn since(house: &House, holder: &HolderName) -> Option<SystemTime> {
    fs::metadata(stamp(house, holder)).and_then(|stamp| stamp.modified()).ok()
}

/// When a file was last changed, its name and rights too: what is unpacked brings its own time with it.
pub(super) fn changed_at(found: &fs::Metadata) -> SystemTime {
    let seconds = std::time::Duration::from_secs(u64::try_from(found.ctime()).unwrap_or(0));
    let nanos = std::time::Duration::from_nanos(u64::try_from(found.ctime_nsec()).unwrap_or(0));
    SystemTime::UNIX_EPOCH + seconds + nanos
}
