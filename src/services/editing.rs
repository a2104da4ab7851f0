//! Edits by agents: whether a tool may write what it is about to write.
//!
//! A worker keeps to its attempt's claim. A session that Kapell did not start claims each file with
//! its first edit, holds it as long as the agent's process lives, and lets go of it when the file is
//! as it was, or committed, at the end of a turn.

use std::path::{Path, PathBuf};

use super::claiming::leaving::{self, Gone};
use super::claiming::{DEFAULT_TTL_S, is_of_agent, near, waiting};
use super::lending::Lent;
use super::project::Project;
use super::{Error, House};
use crate::base::clock::Time;
use crate::base::ids::ClaimId;
use crate::base::paths::RepoPath;
use crate::domain::claim::{self, Conflict, Decision, Held, Holder, HolderKind, Mode};
use crate::domain::overlap::overlap;
use crate::domain::pattern::Pattern;
use crate::domain::refusal::Refusal;
use crate::domain::writes::{Reach, Write, as_glob};
use crate::store::Tx;
use crate::store::claims::NewClaims;
use crate::store::edits::EditRow;
use crate::store::events::NewEvent;
use crate::sys::git::discover::discover;
use crate::sys::process::life;

pub mod alias;
pub mod beside;
mod brought;
mod committed;
mod linked;
mod made;
pub mod marking;
mod naming;
pub mod person;
mod place;
mod refusing;
pub mod succeeding;
pub mod touching;
pub mod unended;
mod within;
use committed::{committed, is_changed};
use naming::Extent;
pub(super) use place::digest;
use place::{Place, places};
use refusing::{awaited, beyond, lent_out, refused};

/// About so many files of a worker's command that are not its own git is asked.
const MOST_ASKED: usize = 32;

/// A claim that a living process proves needs no clock; this is only what status shows.
const SESSION_LEASE_S: i64 = 24 * 3600;

/// Who edits.
#[derive(Debug, Clone)]
pub struct Editor {
    /// The session.
    pub holder: Holder,
    /// What proves that its agent lives; without one its claims run out as those of a script.
    pub alive: Option<String>,
}

/// The attempt that a worker makes, as its environment tells.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The attempt's id.
    pub attempt: String,
    /// What it owned from the start.
    pub files: Vec<String>,
    /// The folder it works in, if it was told.
    pub worktree: Option<PathBuf>,
    /// What it lent to children, or had lent once.
    pub lent: Vec<Lent>,
    /// Whether it is about to run a command.
    pub by_command: bool,
}

impl Worker {
    /// Whether nobody else works in its checkout, which then is called like it.
    fn is_in_own_tree(&self) -> bool {
        self.worktree.as_ref().is_some_and(|tree| tree.ends_with(&self.attempt))
    }

    /// Whether a command may write a file that is not the task's: one that was changed already, by a program that
    /// nobody could tell before. Only so it can be put back; what lands is another question.
    fn may_put_back(&self, asked: &Asked<'_>, project: &Project, place: &Place) -> bool {
        let is_file = matches!(place.extent, Extent::Whole | Extent::Known | Extent::Tree)
            && !place.path.is_empty()
            && place.is_in(project)
            && !place.file.is_dir();
        self.by_command
            && self.is_in_own_tree()
            && is_file
            && asked.house.is_some_and(|house| is_changed(house, &place.file))
    }

    /// The children to whom it lent this place, or something below it.
    fn borrowers<'a>(&'a self, place: &Place) -> impl Iterator<Item = &'a Lent> + use<'a> {
        let path = RepoPath::from(&*place.path);
        // Below a file there is nothing.
        let below = Pattern::of_path(&place.path).ok().filter(|_| place.file.is_dir());
        let is_top = place.path.is_empty();
        let is_lent = move |file: &Pattern| {
            is_top || file.contains(&path) || below.as_ref().is_some_and(|it| overlap(it, file).is_some())
        };
        self.lent.iter().filter(move |lent| lent.files.iter().any(&is_lent))
    }
}

/// What a tool is about to do, or did.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Where git is found, if what commits bring is asked too.
    pub house: Option<&'a House>,
    /// A folder of the project that the session is about.
    pub folder: &'a Path,
    /// The folder that relative paths start from.
    pub cwd: &'a Path,
    /// What it writes.
    pub writes: &'a [Write],
}

/// Whether a worker may write that; a refusal says how to ask for more. `held` tells what the attempt
/// holds by now, which is asked once and only for a file that was not its own from the start; `is_open`
/// whether a child is still at work, which is asked only for a file that was lent to it.
pub fn by_worker(
    worker: &Worker,
    asked: &Asked<'_>,
    held: impl FnOnce() -> Vec<Pattern>,
    is_open: impl Fn(&Lent) -> bool,
) -> Result<Option<Refusal>, Error> {
    let project = Project::of(worker.worktree.as_deref().unwrap_or(asked.folder))?;
    let mut claim: Vec<Pattern> = worker.files.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
    let mut held = Some(held);
    let mut left = MOST_ASKED;
    for place in places(&project, asked) {
        // Whether any of these would be changed, and which, nobody knows; the landing will.
        if matches!(place.extent, Extent::Found(_)) {
            continue;
        }
        let is_own = |claim: &[Pattern]| {
            let is_folder = place.file.is_dir();
            let path = RepoPath::from(&*place.path);
            place.is_in(&project)
                && claim.iter().any(|own| own.contains(&path) || is_folder && owns_below(own, &place.path))
        };
        if !is_own(&claim) {
            claim.extend(held.take().map(|held| held()).unwrap_or_default());
            // Git takes milliseconds for each; of what is beyond the landing will tell.
            if !is_own(&claim) && left == 0 {
                continue;
            }
            left -= usize::from(!is_own(&claim));
            let is_private = || worker.is_in_own_tree() && made::is_ignored(asked.house, &project, &place);
            if !is_own(&claim) && !is_private() && !worker.may_put_back(asked, &project, &place) {
                return Ok(Some(beyond(&project, &place, &claim)));
            }
        }
        // Whatever a command finds in the checkout: what the child does lies in another one.
        if matches!(place.extent, Extent::Whole | Extent::Known | Extent::Tree | Extent::Moved)
            && let Some(lent) = worker.borrowers(&place).find(|lent| is_open(lent))
        {
            return Ok(Some(lent_out(&place, lent)));
        }
    }
    Ok(None)
}

/// Whether a claim owns all below a folder.
fn owns_below(own: &Pattern, folder: &str) -> bool {
    // No file is called so by accident.
    let below = if folder.is_empty() { "\u{1}".to_owned() } else { format!("{folder}/\u{1}") };
    let is_whole = own.is_literal() || own.as_str() == "**" || own.as_str().ends_with("/**");
    is_whole && own.contains(&RepoPath::from(&*below))
}

/// Claims what a session is about to write; a refusal names who holds it.
pub fn by_session(house: &House, editor: &Editor, asked: &Asked<'_>) -> Result<Option<Refusal>, Error> {
    in_each_project(house, editor, asked, |project, asked, elsewhere| {
        claimed(house, editor, project, asked, elsewhere)
    })
}

/// The first refusal of the session's project, and of others into which it reaches: a file is held in its own,
/// whoever comes from where. `ask` is told which claims are about files that lie elsewhere.
fn in_each_project(
    house: &House,
    editor: &Editor,
    asked: &Asked<'_>,
    ask: impl Fn(&Project, &Asked<'_>, &[ClaimId]) -> Result<Option<Refusal>, Error>,
) -> Result<Option<Refusal>, Error> {
    let own = Project::of(asked.folder)?;
    // These first: nothing is claimed there, and who is refused has claimed nothing elsewhere either.
    for inner in within::checkouts(house, editor, &own, asked)? {
        let writes = [Write { path: ".".to_owned(), inside: None, reach: inner.reach }];
        let asked = Asked { folder: &inner.top, cwd: &inner.top, writes: &writes, ..*asked };
        if let Some(refusal) = ask(&inner.project, &asked, &inner.elsewhere)? {
            return Ok(Some(refusal));
        }
    }
    if let Some(refusal) = ask(&own, asked, &[])? {
        return Ok(Some(refusal));
    }
    for top in place::elsewhere(&own, asked) {
        if let Some(refusal) = ask(&Project::of(&top)?, asked, &[])? {
            return Ok(Some(refusal));
        }
    }
    Ok(None)
}

fn claimed(
    house: &House,
    editor: &Editor,
    project: &Project,
    asked: &Asked<'_>,
    elsewhere: &[ClaimId],
) -> Result<Option<Refusal>, Error> {
    let Wanted { named: mut wanted, whole, of_git, by: by_whom } = wanted(project, asked);
    made::let_go(house, project, editor, &mut wanted)?;
    if wanted.is_empty() && whole.is_empty() {
        return Ok(None);
    }
    // What git finds and brings is about the files of one checkout, whoever holds the same in others.
    let mut tops: Vec<&PathBuf> = of_git.iter().map(|(_, top)| top).collect();
    tops.dedup();
    let mut of_others = Vec::with_capacity(tops.len());
    for top in tops {
        of_others.push((top, within::held_elsewhere(house, editor, &project.id, top)?.claims));
    }
    let is_elsewhere = |conflict: &Conflict| {
        let id = &conflict.held.id;
        let mut tops = of_git.iter().filter(|(pattern, _)| *pattern == conflict.pattern).peekable();
        let is_in_none = tops.peek().is_some()
            && tops.all(|(_, at)| of_others.iter().any(|(top, claims)| *top == at && claims.contains(id)));
        elsewhere.contains(id) || is_in_none
    };
    let store = house.store()?;
    let links = linked::held(house, project, editor, &wanted)?;
    wanted.extend(links.iter().map(|link| (link.other.clone(), link.pattern.clone())));
    let patterns: Vec<Pattern> = wanted.iter().map(|(_, pattern)| pattern.clone()).collect();
    let all: Vec<Pattern> = patterns.iter().chain(&whole).cloned().collect();
    let gone = store.read(|tx| -> Result<Option<Vec<Gone>>, Error> {
        let now = Time::now();
        let held = near(tx, &project.id, &patterns)?;
        // A claim of a file that was made a folder since owns all below, and some of that may be held by others.
        let is_own = |place: &Place, pattern: &Pattern| {
            let path = RepoPath::from(&*place.path);
            let below = below(place, pattern);
            let is_met = |claim: &Held| {
                claim.pattern.contains(&path)
                    || below.as_ref().is_some_and(|below| overlap(below, &claim.pattern).is_some())
            };
            held.iter().any(|claim| covers(claim, editor, place, now) && is_here(tx, claim, place))
                && !held.iter().any(|claim| claim.holder != editor.holder && is_met(claim))
        };
        // Nearly always it is the second edit of a file, which writes nothing.
        if whole.is_empty() && wanted.iter().all(|(place, pattern)| is_own(place, pattern)) {
            return Ok(None);
        }
        leaving::gone(tx, project, &all).map(Some)
    })?;
    let Some(mut gone) = gone else { return Ok(None) };
    // A session that is back is not gone: its new process goes on with what it holds.
    gone.retain(|gone| *gone.holder() != editor.holder);
    let kept = leaving::save(house, project, &gone)?;
    // Read before the others are kept waiting.
    let before: Vec<String> = wanted.iter().map(|(place, _)| digest(&place.file)).collect();
    let mut by = None;
    let mut first = None;
    let conflicts = store.write(|tx| -> Result<Vec<Conflict>, Error> {
        let held = others_alive(tx, project, editor, &all, &kept)?;
        // What is about to be written is a file, also where it is not there yet and nobody holds what is to lie in it.
        let is_file = |path: &str| {
            let is_folder = |place: &Place| {
                place.file.is_dir() || becomes_folder(place) || is_folder_of_others(path, &held, editor)
            };
            wanted.iter().any(|(place, _)| *place.path == *path && !is_folder(place)) || project.is_file(path)
        };
        if let Decision::Refuse(mut conflicts) =
            claim::decide(&whole, Mode::Exclusive, &editor.holder, &held, &is_file)
        {
            conflicts.retain(|conflict| is_met(project, conflict) && !is_elsewhere(conflict));
            if !conflicts.is_empty() {
                by = by_whom;
                return Ok(conflicts);
            }
        }
        // Beside what a twin holds: the file stays held until both have ended.
        let beside =
            |claim: &&Held| claim.holder != editor.holder || !is_twins(claim.alive.as_deref(), editor);
        let held: Vec<Held> = held.iter().filter(beside).cloned().collect();
        let insert = match claim::decide(&patterns, Mode::Exclusive, &editor.holder, &held, &is_file) {
            Decision::Refuse(conflicts) => return Ok(named(conflicts, &wanted)),
            Decision::Grant { insert, .. } => insert,
        };
        // One's own claim of a folder does not give what others hold in it.
        let below: Vec<Pattern> =
            wanted.iter().filter_map(|(place, pattern)| below(place, pattern)).collect();
        if let Decision::Refuse(mut conflicts) =
            claim::decide(&below, Mode::Exclusive, &editor.holder, &held, &is_file)
        {
            conflicts.retain(|conflict| is_met(project, conflict));
            if !conflicts.is_empty() {
                return Ok(conflicts);
            }
        }
        first = waiting::before(tx, project, &editor.holder, Mode::Exclusive, &insert)?;
        if first.is_some() {
            return Ok(Vec::new());
        }
        project.ensure(tx)?;
        let lease = if editor.alive.is_some() { SESSION_LEASE_S } else { DEFAULT_TTL_S as i64 };
        let expires_at = Time::now().plus_seconds(lease);
        succeeding::resume(tx, &project.id, editor, expires_at)?;
        // What it holds for another checkout says nothing of what the file was in this one.
        let is_own = |at: usize| {
            let (place, _) = &wanted[at];
            let path = RepoPath::from(&*place.path);
            let is_it = |claim: &Held| claim.holder == editor.holder && claim.pattern.contains(&path);
            held.iter().any(|claim| is_it(claim) && is_here(tx, claim, place))
        };
        let mut new_ones = Vec::new();
        for pattern in &insert {
            new_ones.extend((0..wanted.len()).filter(|at| wanted[*at].1 == *pattern));
        }
        new_ones.extend((0..wanted.len()).filter(|at| !insert.contains(&wanted[*at].1) && !is_own(*at)));
        if new_ones.is_empty() {
            return Ok(Vec::new());
        }
        let new = NewClaims {
            holder: &editor.holder,
            mode: Mode::Exclusive,
            task: None,
            reason: Some("it is being edited"),
            alive: editor.alive.as_deref(),
            expires_at,
        };
        for at in new_ones {
            let (place, pattern) = &wanted[at];
            let id = tx.insert_claim(&project.id, pattern, &new)?;
            // A name that is no text cannot be recorded; such a file stays held until its session has ended.
            if place.file.to_str().is_some() {
                tx.insert_edit(id, &place.file, &before[at])?;
            }
        }
        Ok(Vec::new())
    })?;
    if let Some(first) = first {
        return Ok(Some(awaited(&first)));
    }
    let link = links.iter().find(|link| conflicts.first().is_some_and(|it| it.pattern == link.pattern));
    Ok(refused(&conflicts, by.as_deref()).map(|refusal| match link {
        Some(link) => {
            Refusal { message: format!("{}; {} is the same file", refusal.message, link.named), ..refusal }
        }
        None => refusal,
    }))
}

/// Looks after a tool whether what it wrote was asked about before. What was not is recorded, and
/// claimed if it is free; else the answer says whose file was written.
pub fn written_by_session(
    house: &House,
    editor: &Editor,
    asked: &Asked<'_>,
    is_command: bool,
) -> Result<Option<Refusal>, Error> {
    // What a glob stood for, and what was there, is another thing by now.
    let is_named = |reach: &Reach| {
        matches!(
            reach,
            Reach::Path | Reach::Name | Reach::Tree | Reach::Like(_) | Reach::Moved(_) | Reach::Own
        )
    };
    let mut writes: Vec<Write> =
        asked.writes.iter().filter(|write| is_named(&write.reach)).cloned().collect();
    if is_command {
        // And so is a link: the command may have made it.
        let is_link = |write: &Write| asked.cwd.join(&write.path).is_symlink();
        writes.retain(|write| write.inside.is_none() || !is_link(write));
        for write in &mut writes {
            write.reach = Reach::Tree;
        }
    }
    let asked = &Asked { writes: &writes, ..*asked };
    in_each_project(house, editor, asked, |project, asked, _| written(house, editor, project, asked))
}

fn written(
    house: &House,
    editor: &Editor,
    project: &Project,
    asked: &Asked<'_>,
) -> Result<Option<Refusal>, Error> {
    let mut wanted = wanted(project, asked).named;
    made::let_go(house, project, editor, &mut wanted)?;
    if wanted.is_empty() {
        return Ok(None);
    }
    let store = house.store()?;
    let missed = store.read(|tx| -> Result<Vec<String>, Error> {
        let patterns: Vec<Pattern> = wanted.iter().map(|(_, pattern)| pattern.clone()).collect();
        let held = near(tx, &project.id, &patterns)?;
        let is_asked = |place: &Place| {
            held.iter().any(|claim| {
                claim.holder == editor.holder && claim.pattern.contains(&RepoPath::from(&*place.path))
            })
        };
        Ok(wanted.iter().filter(|(place, _)| !is_asked(place)).map(|(place, _)| place.path.clone()).collect())
    })?;
    if missed.is_empty() {
        return Ok(None);
    }
    store.write(|tx| -> Result<(), Error> {
        project.ensure(tx)?;
        let text = format!(
            "{} wrote {} without an answer of kapell hook: it was not called, or it failed",
            editor.holder.name,
            missed.join(" ")
        );
        tell(tx, project, editor, "hook.missed", text)
    })?;
    claimed(house, editor, project, asked, &[])
}

/// The end of a turn or of a session: lets go of the files that are as they were when it claimed
/// them, or committed. Others stay until they are, or until the agent's process has ended.
pub fn rest(house: &House, editor: &Editor) -> Result<(), Error> {
    let store = house.store()?;
    let mut edits = store.read(|tx| tx.edits_of(&editor.holder))?;
    edits.retain(|edit| !is_twins(edit.alive.as_deref(), editor));
    let is_back = |edit: &EditRow| {
        let now = digest(&edit.path);
        now == edit.before && now != place::FOLDER
    };
    let (back, others): (Vec<EditRow>, Vec<EditRow>) = edits.into_iter().partition(is_back);
    let paths: Vec<&Path> = others.iter().map(|edit| &*edit.path).collect();
    let are_committed = committed(house, &paths);
    // Whoever put a file aside may be about to bring it back.
    let put_back = marking::put_back(house, editor, back.iter().map(|edit| &*edit.path))?;
    let back = back.into_iter().filter(|edit| !put_back.contains(&edit.path));
    let committed = others.into_iter().zip(are_committed).filter(|(_, is_so)| *is_so);
    let done: Vec<(EditRow, &str)> = back
        .map(|edit| (edit, "the file is as it was"))
        .chain(committed.map(|(edit, _)| (edit, "the file is committed")))
        .collect();
    if done.is_empty() {
        return Ok(());
    }
    store.write(|tx| -> Result<(), Error> {
        for (edit, why) in &done {
            let claim = tx.claim(&edit.project, edit.claim)?;
            if let Some(claim) = claim.filter(|claim| claim.holder == editor.holder) {
                tx.release_claim(&edit.project, &claim, why)?;
            }
        }
        Ok(())
    })?;
    marking::forget(house, editor)
}

/// Whether what a command finds can be what somebody holds: a claim of `a.txt` is one of all below too,
/// but below a file there is nothing.
fn is_met(project: &Project, conflict: &Conflict) -> bool {
    let held = &conflict.held.pattern;
    let path = held.literal_path();
    let is_file = held.is_literal()
        && !held.is_folder()
        && project.top.as_ref().is_none_or(|top| !top.join(path).is_dir());
    !is_file || conflict.pattern.contains(&RepoPath::from(path))
}

/// What a tool is about to write.
#[derive(Debug, Default)]
struct Wanted {
    /// What is to be claimed.
    named: Vec<(Place, Pattern)>,
    /// What is only to be free, because a command changes whatever it finds there.
    whole: Vec<Pattern>,
    /// What of that git finds and brings, and to which checkout.
    of_git: Vec<(Pattern, PathBuf)>,
    /// How a command comes by its files, if that is known.
    by: Option<String>,
}

fn wanted(project: &Project, asked: &Asked<'_>) -> Wanted {
    let Wanted { named: mut wanted, mut whole, mut of_git, mut by } = Wanted::default();
    for place in places(project, asked) {
        if let Extent::Found(name) = &place.extent {
            let folder = if place.path.is_empty() { String::new() } else { as_glob(&place.path) + "/" };
            whole.extend(Pattern::parse(&format!("{folder}**/{name}")));
            by.get_or_insert("the command finds its files by itself, and may find this one".to_owned());
        } else if let Extent::Brought(command) = &place.extent {
            by.get_or_insert(format!("{command} changes it"));
            of_git.extend(Pattern::around_path(&place.path).map(|it| (it, place.top().to_owned())));
        } else if place.path.is_empty() {
            let all = Pattern::parse("**").ok();
            if let Extent::Checkout(command) = &place.extent {
                by = Some(format!("{command} changes whatever it finds"));
                of_git.extend(all.map(|it| (it, place.top().to_owned())));
            } else if place.extent == Extent::Known {
                of_git.extend(all.map(|it| (it, place.top().to_owned())));
            } else {
                whole.extend(all);
            }
        } else if let Ok(pattern) = Pattern::around_path(&place.path) {
            // What no claim can own (`.git`, say) is not for us to hold.
            let is_known = |(at, known): &&mut (Place, Pattern)| *known == pattern && at.top() == place.top();
            match wanted.iter_mut().find(is_known) {
                None => wanted.push((place, pattern)),
                // Of several ways to write it the one that reaches furthest.
                Some((known, _)) if matches!(place.extent, Extent::Tree | Extent::Moved) => {
                    known.extent = place.extent;
                }
                Some(_) => {}
            }
        }
    }
    // By its name a program may find what git does not.
    of_git.retain(|(pattern, _)| !whole.contains(pattern));
    whole.extend(of_git.iter().map(|(pattern, _)| pattern.clone()));
    Wanted { named: wanted, whole, of_git, by }
}

/// Conflicts told by the files that were asked for, rather than by any name that both patterns mean.
fn named(mut conflicts: Vec<Conflict>, wanted: &[(Place, Pattern)]) -> Vec<Conflict> {
    for conflict in &mut conflicts {
        let asked = wanted.iter().find(|(_, pattern)| *pattern == conflict.pattern).map(|(place, _)| place);
        if let Some(place) = asked
            && conflict.held.pattern.contains(&RepoPath::from(&*place.path))
        {
            conflict.witness.clone_from(&place.path);
        }
    }
    conflicts
}

/// Whether a place is not there, and what comes of it may be a folder.
fn becomes_folder(place: &Place) -> bool {
    matches!(place.extent, Extent::Tree | Extent::Moved) && place.file.symlink_metadata().is_err()
}

/// What lies below a place that is a folder by now, or may become one.
fn below(place: &Place, pattern: &Pattern) -> Option<Pattern> {
    let is_folder = place.file.symlink_metadata().is_ok_and(|found| found.is_dir()) || becomes_folder(place);
    let below = is_folder.then(|| format!("{}/**", pattern.as_str().trim_end_matches('/')))?;
    Pattern::parse(&below).ok()
}

/// Whether others hold something that is to lie below a path, or the path as a folder.
fn is_folder_of_others(path: &str, held: &[Held], editor: &Editor) -> bool {
    let Ok(folder) = Pattern::of_path(path) else { return false };
    held.iter().filter(|claim| claim.holder != editor.holder).any(|Held { pattern, .. }| {
        let key = pattern.key();
        let below = key.strip_prefix(&folder.key());
        below.is_some_and(|below| !below.is_empty() || pattern.is_folder() || !pattern.is_literal())
    })
}

/// Whether the session holds that path by a claim that needs no renewal.
fn covers(claim: &Held, editor: &Editor, place: &Place, now: Time) -> bool {
    claim.holder == editor.holder
        && claim.mode == Mode::Exclusive
        && claim.alive == editor.alive
        && (claim.alive.is_some() || claim.expires_at > now.plus_seconds(DEFAULT_TTL_S as i64 / 2))
        && claim.pattern.contains(&RepoPath::from(&*place.path))
}

/// Whether a claim was not made for a file of another checkout.
fn is_here(tx: &Tx<'_>, claim: &Held, place: &Place) -> bool {
    // What cannot be read is asked about once more, and fails there.
    tx.edited_for(claim.id).is_ok_and(|edited| edited.is_none_or(|edited| place.file.starts_with(edited)))
}

/// Whether a claim of the session lives by another living process than this editor's: the same session was
/// resumed twice. Each of them holds its files for itself, so that the end of one leaves those of the other.
fn is_twins(alive: Option<&str>, editor: &Editor) -> bool {
    alive.is_some_and(|alive| Some(alive) != editor.alive.as_deref() && life::holds(alive))
}

/// Whether the session's own agent made a claim by a command in its shell: such a holder is called by the agent's
/// process, which is all that a command knows of it.
fn is_of_its_shell(claim: &Held, editor: &Editor) -> bool {
    let Some(pid) = editor.alive.as_deref().and_then(|alive| alive.split(' ').nth(1)) else { return false };
    let name = claim.holder.name.as_str();
    claim.alive == editor.alive && name.rsplit_once('-').is_some_and(|(_, called)| called == pid)
}

/// The claims near the patterns without those of the dead, which are released, and without those of
/// the server that works for the same agent.
fn others_alive(
    tx: &Tx<'_>,
    project: &Project,
    editor: &Editor,
    patterns: &[Pattern],
    kept: &[ClaimId],
) -> Result<Vec<Held>, Error> {
    super::claiming::free_the_dead(tx, &project.id, patterns, kept)?;
    let mut held = near(tx, &project.id, patterns)?;
    held.retain(|claim| {
        let is_servers = claim.holder.kind == HolderKind::Agent
            && claim.holder != editor.holder
            && !claim.alive.as_deref().is_some_and(life::is_of_process);
        !(is_servers && is_of_agent(claim, editor.alive.as_deref()) || is_of_its_shell(claim, editor))
    });
    Ok(held)
}

fn tell(
    tx: &Tx<'_>,
    project: &Project,
    editor: &Editor,
    kind: &'static str,
    text: String,
) -> Result<(), Error> {
    let holder = Some(editor.holder.name.as_str());
    tx.append_event(&project.id, &NewEvent { kind, holder, text, ..NewEvent::default() })?;
    Ok(())
}
