//! Files that a person has open: who holds them, and the person's own claim while they have
//! unsaved changes.

use std::path::{Path, PathBuf};

use super::place::places;
use super::{Asked, DEFAULT_TTL_S, Editor, SESSION_LEASE_S, leaving, others_alive};
use crate::base::clock::Time;
use crate::base::ids::ClaimId;
use crate::base::paths::RepoPath;
use crate::base::sorting;
use crate::domain::claim::{self, Conflict, Decision, Held, Holder, Mode};
use crate::domain::pattern::Pattern;
use crate::domain::writes::Write;
use crate::services::claiming::{is_gone, near, waiting};
use crate::services::project::Project;
use crate::services::{Error, House, ground};
use crate::store::claims::NewClaims;
use crate::sys::git::read;

/// What a claim for unsaved changes says of itself.
pub(in crate::services) const REASON: &str = "it has unsaved changes in an editor";

/// Where a file lies: its project, and what it is called there.
#[derive(Debug, Clone)]
pub struct Spot {
    /// The project.
    pub project: Project,
    /// The top of the checkout that the file lies in.
    pub top: PathBuf,
    /// Its path there; a symbolic link is a path of its own besides what it leads to.
    pub paths: Vec<String>,
    patterns: Vec<Pattern>,
}

impl Spot {
    /// What owns the file: the first of its paths as a pattern, in which nothing of its name is a wildcard.
    pub fn pattern(&self) -> Option<&Pattern> {
        self.patterns.first()
    }
}

/// Who holds a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Claims that are in the person's way.
    pub others: Vec<Held>,
    /// The person's own claims that own it.
    pub own: Vec<Held>,
    /// Whether the person asked for it and waits.
    pub asked: bool,
}

/// What came of claiming a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Hold {
    /// These claims are this editor's now.
    Taken(Vec<ClaimId>),
    /// A claim of the person's own covers it already.
    Covered,
    /// Somebody else is at it.
    Met(Vec<Conflict>),
}

/// Where a file lies. Nothing for one outside of every repository, and for what nobody can own.
pub fn spot(file: &Path) -> Option<Spot> {
    // A file that is new may lie in a folder that is new too.
    let folder = file.ancestors().skip(1).find(|folder| folder.is_dir())?;
    let project = Project::of(folder).ok().filter(|project| project.repository.is_some())?;
    let writes = [Write::at(file.to_str()?)];
    let found = places(&project, &Asked { house: None, folder, cwd: folder, writes: &writes });
    let mut top = None;
    let (mut paths, mut patterns) = (Vec::new(), Vec::new());
    for place in found {
        // What no pattern can say of a name is one character like any other.
        let Ok(pattern) = Pattern::around_path(&place.path) else { continue };
        top.get_or_insert_with(|| place.top().to_owned());
        patterns.push(pattern);
        paths.push(place.path);
    }
    Some(Spot { project, top: top?, paths, patterns })
}

/// What is edited is a file, also before it is saved for the first time.
fn is_file(spot: &Spot, path: &str) -> bool {
    spot.paths.iter().any(|own| own == path) || spot.project.is_file(path)
}

/// Who holds a file now.
pub fn standing(house: &House, person: &Holder, spot: &Spot) -> Result<Standing, Error> {
    let (held, asked) = house.store()?.read(|tx| -> Result<_, Error> {
        let held = near(tx, &spot.project.id, &spot.patterns)?;
        Ok((held, waiting::is_asked(tx, &spot.project.id, person, &spot.patterns)?))
    })?;
    let now = Time::now();
    let held: Vec<Held> = held.into_iter().filter(|claim| !is_gone(claim, now)).collect();
    let own = held.iter().filter(|claim| is_own(claim, person, spot)).cloned().collect();
    let others =
        match claim::decide(&spot.patterns, Mode::Exclusive, person, &held, &|path| is_file(spot, path)) {
            Decision::Grant { .. } => Vec::new(),
            Decision::Refuse(conflicts) => each_once(conflicts),
        };
    Ok(Standing { others, own, asked })
}

/// Claims a file for its unsaved changes.
pub fn hold(house: &House, editor: &Editor, spot: &Spot) -> Result<Hold, Error> {
    let kept = leaving::keep(house, &spot.project, &spot.patterns)?;
    house.store()?.write(|tx| {
        let held = others_alive(tx, &spot.project, editor, &spot.patterns, &kept)?;
        let insert = match claim::decide(&spot.patterns, Mode::Exclusive, &editor.holder, &held, &|path| {
            is_file(spot, path)
        }) {
            Decision::Refuse(conflicts) => return Ok(Hold::Met(conflicts)),
            Decision::Grant { .. } => {
                let is_covered = |path: &str| {
                    held.iter().any(|claim| {
                        claim.holder == editor.holder
                            && lasts(claim)
                            && claim.pattern.contains(&RepoPath::from(path))
                    })
                };
                spot.patterns.iter().zip(&spot.paths).filter(move |(_, path)| !is_covered(path))
            }
        };
        let mut taken = Vec::new();
        let lease = if editor.alive.is_some() { SESSION_LEASE_S } else { DEFAULT_TTL_S as i64 };
        let new = NewClaims {
            holder: &editor.holder,
            mode: Mode::Exclusive,
            task: None,
            reason: Some(REASON),
            alive: editor.alive.as_deref(),
            expires_at: Time::now().plus_seconds(lease),
        };
        for (pattern, _) in insert {
            if taken.is_empty() {
                spot.project.ensure(tx)?;
            }
            taken.push(tx.insert_claim(&spot.project.id, pattern, &new)?);
        }
        Ok(if taken.is_empty() { Hold::Covered } else { Hold::Taken(taken) })
    })
}

/// Lets go of claims that this editor took.
pub fn let_go(
    house: &House,
    editor: &Editor,
    project: &Project,
    claims: &[ClaimId],
    why: &str,
) -> Result<(), Error> {
    house.store()?.write(|tx| {
        for id in claims {
            let claim = tx.claim(&project.id, *id)?;
            if let Some(claim) = claim.filter(|claim| claim.holder == editor.holder) {
                tx.release_claim(&project.id, &claim, why)?;
            }
        }
        Ok(())
    })
}

/// Lets go of what editors of this person held that have ended, so that whoever watches hears of it.
pub fn bury(house: &House, person: &Holder, project: &Project) -> Result<(), Error> {
    let store = house.store()?;
    let now = Time::now();
    let is_dead = |claim: &Held| claim.reason.as_deref() == Some(REASON) && is_gone(claim, now);
    let dead = store.read(|tx| tx.claims_of(&project.id, person))?;
    if !dead.iter().any(is_dead) {
        return Ok(());
    }
    store.write(|tx| {
        for claim in tx.claims_of(&project.id, person)?.iter().filter(|claim| is_dead(claim)) {
            tx.release_claim(&project.id, claim, "its editor has ended")?;
        }
        Ok(())
    })
}

/// What the last commit has at the place of a file; nothing where it has no such text.
pub fn committed(house: &House, spot: &Spot) -> Result<Option<String>, Error> {
    let git = ground::git(house, &spot.project)?;
    let Some(commit) = read::resolve(&git, "HEAD")? else { return Ok(None) };
    for path in &spot.paths {
        if let Some(content) = read::show_file(&git, &commit, &RepoPath::from(path.as_str()))? {
            return Ok(String::from_utf8(content).ok());
        }
    }
    Ok(None)
}

/// Whether a claim of the person's lives as long as a process, and not only until its lease runs out: changes may
/// stay unsaved for longer than that.
pub fn lasts(claim: &Held) -> bool {
    claim.alive.is_some()
}

fn is_own(claim: &Held, person: &Holder, spot: &Spot) -> bool {
    claim.holder == *person
        && spot.paths.iter().any(|path| claim.pattern.contains(&RepoPath::from(path.as_str())))
}

fn each_once(conflicts: Vec<Conflict>) -> Vec<Held> {
    let mut held: Vec<Held> = conflicts.into_iter().map(|conflict| conflict.held).collect();
    sorting::sort_by_key(&mut held, |claim| claim.id);
    held.dedup_by_key(|claim| claim.id);
    held
}
