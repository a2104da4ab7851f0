//! Claims: who owns what, granted all or nothing in one transaction.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::editing::person::REASON;
use super::project::Project;
use super::{Error, Session, inside, nudging, owning};
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, ClaimId, HolderName, PlanId, ProjectId, TaskId, random_tail};
use crate::base::sorting;
use crate::domain::claim::{self, Conflict, Decision, Held, Holder, HolderKind, Mode};
use crate::domain::pattern::Pattern;
use crate::domain::refusal::{Code, Refusal};
use crate::store::Tx;
use crate::store::claims::NewClaims;
use crate::store::watch::Watch;
use crate::sys::process::life::{self, Life};
use crate::sys::shim::files;

pub(super) mod leaving;
pub(super) mod misread;
mod taking;
pub mod waiting;
mod withdrawing;

pub use withdrawing::withdraw;

/// Seconds a claim lasts unless told; TOOLS.md names this figure.
pub const DEFAULT_TTL_S: u64 = 900;
/// A claim may be asked for a week at most; longer than that nobody remembers it.
pub const LONGEST_TTL_S: u64 = 7 * 24 * 3600;
/// A wait longer than this is a program that forgot; it should ask again.
pub const LONGEST_WAIT_S: u64 = 3600;

/// A wish for claims.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What is to be owned.
    pub patterns: Vec<Pattern>,
    /// Whether others may hold the same.
    pub mode: Mode,
    /// Who is to hold it.
    pub holder: Holder,
    /// Seconds until it runs out unless renewed.
    pub ttl_s: u64,
    /// Why.
    pub reason: Option<String>,
    /// Seconds to wait for it.
    pub wait_s: u64,
    /// Only look.
    pub check_only: bool,
    /// Take it from whoever holds it; for persons, who say why.
    pub take_over: bool,
}

/// What came of a wish.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The holder has these now.
    Granted(Vec<Held>),
    /// It was only asked, and it would be granted.
    Free,
    /// Somebody is in the way.
    Refused(Vec<Conflict>),
    /// Nobody holds it, but somebody asked for it before and waits.
    Behind(waiting::Before),
    /// The holder does not wait for it any more: it said so elsewhere.
    Withdrawn,
}

/// Parses patterns and looks at the tree for what no pattern may go through.
pub fn patterns(top: Option<&Path>, texts: &[String]) -> Result<Vec<Pattern>, Refusal> {
    if texts.is_empty() {
        return Err(Refusal::new(
            Code::Usage,
            "no paths were given",
            "name at least one path or pattern, such as src/db or docs/**",
        ));
    }
    texts
        .iter()
        .map(|text| {
            let pattern = Pattern::parse(text)
                .map_err(|bad| Refusal::new(Code::BadPath, bad.reason, bad.hint).with("path", text))?;
            if let Some(top) = top {
                refuse_detours(top, &pattern)?;
            }
            Ok(pattern)
        })
        .collect()
}

/// Patterns of what is to be let go of. Where one was written as a name of the tree is, what owns that name is
/// meant too: nothing else could be claimed for it.
pub fn to_let_go_of(top: Option<&Path>, texts: &[String]) -> Result<Vec<Pattern>, Refusal> {
    let mut patterns = patterns(None, texts)?;
    let named = |top: &Path| -> Vec<Pattern> {
        patterns.iter().filter_map(|pattern| Some(misread::meant(top, pattern)?.1)).collect()
    };
    let named = top.map(named).unwrap_or_default();
    patterns.extend(named);
    Ok(patterns)
}

/// A pattern that passes through a symbolic link or into another repository would own
/// something else than it says.
pub(super) fn refuse_detours(top: &Path, pattern: &Pattern) -> Result<(), Refusal> {
    misread::refuse(top, pattern)?;
    let mut path = top.to_owned();
    let segments: Vec<&str> =
        pattern.literal_path().split('/').filter(|segment| !segment.is_empty()).collect();
    for (at, segment) in segments.iter().enumerate() {
        path.push(segment);
        let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
        let last = at + 1 == segments.len();
        if metadata.is_symlink() && !(last && pattern.is_literal()) {
            let goal = std::fs::read_link(&path).map(|goal| goal.display().to_string()).unwrap_or_default();
            return Err(Refusal::new(
                Code::BadPath,
                format!("{} goes through the symbolic link {}", pattern.as_str(), segments[..=at].join("/")),
                format!("claim what it points to instead: {goal}"),
            )
            .with("path", pattern.as_str()));
        }
        if metadata.is_dir()
            && path.join(".git").symlink_metadata().is_ok()
            && !(last && pattern.is_literal())
        {
            return Err(Refusal::new(
                Code::BadPath,
                format!("{} is inside the repository {}", pattern.as_str(), segments[..=at].join("/")),
                "a submodule is one path for its parent; claim inside it by starting kapell there",
            )
            .with("path", pattern.as_str()));
        }
    }
    Ok(())
}

/// Grants, renews, or names who is in the way; waits if that was wished.
pub fn claim(session: &Session, project: &Project, wish: &Wish) -> Result<Answer, Error> {
    taking::check(wish)?;
    let store = session.store()?;
    let claimant = Claimant::of(session, wish)?;
    let patron = claimant.alive.as_deref().and_then(life::on_behalf_of);
    let attempt = |tx: &Tx<'_>, is_next: bool| -> Result<Answer, Error> {
        // Nobody would hear of the claim.
        if session.cancel.is_given_up() {
            return Ok(Answer::Refused(Vec::new()));
        }
        let mut held = near(tx, &project.id, &wish.patterns)?;
        if wish.check_only {
            // Whoever asks to have it finds it freed.
            let now = Time::now();
            held.retain(|claim| !is_gone(claim, now));
        }
        // What its agent edits, the agent holds under the name of its session.
        held.retain(|claim| claim.holder == wish.holder || !is_of_agent(claim, patron));
        let is_file = |path: &str| project.is_file(path);
        let decision = claim::decide(&wish.patterns, wish.mode, &wish.holder, &held, &is_file);
        let (mut renew, mut insert, mut replace) = match decision {
            Decision::Refuse(conflicts) => return Ok(Answer::Refused(conflicts)),
            Decision::Grant { renew, insert, replace } => (renew, insert, replace),
        };
        // What is free is for who waits for it, also where that one waits for more: else it might wait for ever.
        if !is_next
            && !wish.take_over
            && let Some(before) = waiting::before(tx, project, &wish.holder, wish.mode, &insert)?
        {
            return Ok(Answer::Behind(before));
        }
        if wish.check_only {
            return Ok(Answer::Free);
        }
        project.ensure(tx)?;
        // What an editor holds for unsaved changes goes with them; what is asked for stays as long as is asked.
        for claim in held.iter().filter(|claim| claim.reason.as_deref() == Some(REASON)) {
            if let Some(at) = renew.iter().position(|id| *id == claim.id) {
                replace.push(renew.swap_remove(at));
                insert.push(claim.pattern.clone());
            }
        }
        let task = claimant.task(tx)?;
        let now = Time::now();
        // Counted from now: who waited for it has not held it meanwhile.
        let expires_at = claimant.expires_at();
        let mut granted = Vec::new();
        for claim in held.iter().filter(|claim| replace.contains(&claim.id)) {
            tx.release_claim(&project.id, claim, &format!("asked for again as {}", wish.mode.as_str()))?;
        }
        for id in renew {
            tx.renew_claim(id, expires_at, wish.reason.as_deref())?;
            granted.extend(held.iter().find(|claim| claim.id == id).map(|claim| {
                let reason = wish.reason.clone().or_else(|| claim.reason.clone());
                Held { expires_at, reason, ..claim.clone() }
            }));
        }
        let new = NewClaims {
            holder: &wish.holder,
            mode: wish.mode,
            task: task.as_ref().map(|(plan, task)| (plan, task)),
            reason: wish.reason.as_deref(),
            alive: claimant.alive.as_deref(),
            expires_at,
        };
        for pattern in insert {
            let id = tx.insert_claim(&project.id, &pattern, &new)?;
            granted.push(Held {
                id,
                pattern,
                mode: wish.mode,
                holder: wish.holder.clone(),
                task: task.as_ref().map(|(plan, task)| format!("{plan}/{task}")),
                reason: wish.reason.clone(),
                since: now,
                expires_at,
                alive: claimant.alive.clone(),
            });
        }
        Ok(Answer::Granted(granted))
    };
    if wish.check_only {
        return store.read(|tx| attempt(tx, false));
    }
    let kept = leaving::keep(&session.house, project, &wish.patterns)?;
    let first = store.write(|tx| -> Result<Answer, Error> {
        free_the_dead(tx, &project.id, &wish.patterns, &kept)?;
        taking::granted(tx, project, wish, |tx| attempt(tx, false))
    })?;
    let conflicts = match &first {
        Answer::Refused(conflicts) => conflicts.as_slice(),
        Answer::Behind(_) => &[],
        Answer::Granted(_) | Answer::Free | Answer::Withdrawn => return Ok(first),
    };
    let mut wait_s = wish.wait_s;
    if wish.take_over && taking::stop_attempts(session, project, wish, conflicts)? && wait_s == 0 {
        wait_s = taking::STOPPING_S;
    }
    if wait_s == 0 {
        return Ok(first);
    }
    // The watch begins before the second look, so that no release is missed.
    let deadline = Instant::now() + Duration::from_secs(wait_s.min(LONGEST_WAIT_S));
    let watch = Watch::new(&session.house.root)?;
    // The wait lives as long as this: whoever is killed meanwhile waits no longer, nor does who gives up, from then
    // on, and not only once this thread has come to it.
    let name = format!("wait-{}-{}", std::process::id(), random_tail(6));
    let life = Life::take(&session.house.life_file(&name));
    let life = life.map_err(|error| Error::system("cannot wait for a claim", error))?;
    let life_file = life.as_ref().map(|life| life.path().to_string_lossy().into_owned());
    let life = Arc::new(Mutex::new(life));
    let (wake, lives) = (watch.waker().on_call(), Arc::downgrade(&life));
    session.cancel.on_cancel(move || {
        if let Some(life) = lives.upgrade() {
            life.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        wake();
    });
    let (place, joined_at) = store.write(|tx| -> Result<(i64, i64), Error> {
        let place = tx.join_claim_queue(
            &project.id,
            &wish.holder,
            wish.mode,
            &wish.patterns,
            life_file.as_deref(),
            wait_s,
        )?;
        // Whoever closes the circle is refused, not those who wait already; an attempt that is being stopped
        // for this waits for nobody any more.
        if !wish.take_over {
            waiting::refuse_deadlock(tx, project, &waiting::queue(tx, &project.id)?, &wish.holder)?;
            project.ensure(tx)?;
            let held = taking::each_once(conflicts);
            if !held.is_empty() {
                tx.tell_asked(&project.id, &wish.holder, &wish.patterns, &held, wish.reason.as_deref())?;
            }
        }
        Ok((place, tx.newest_event()?))
    })?;
    if !wish.take_over {
        let held: Vec<Held> = taking::each_once(conflicts).into_iter().cloned().collect();
        if let Err(error) = nudging::ask(session, project, &held, &wish.holder, wish.reason.as_deref()) {
            // It is waited for all the same.
            tracing::warn!("who holds it is not told: {error}");
        }
    }
    let answer = loop {
        let kept = leaving::keep(&session.house, project, &wish.patterns)?;
        let answer = store.write(|tx| -> Result<Answer, Error> {
            free_the_dead(tx, &project.id, &wish.patterns, &kept)?;
            let queue = waiting::queue(tx, &project.id)?;
            if queue.iter().all(|wait| wait.place != place)
                && waiting::is_withdrawn(tx, &project.id, joined_at, place)?
            {
                return Ok(Answer::Withdrawn);
            }
            let before = queue.iter().filter(|wait| wait.place < place);
            let before = waiting::first(project, before, wish.mode, &wish.patterns);
            let answer = match before {
                // Who gave up does not want it any more; nobody would hear of the claim.
                None if !session.cancel.is_cancelled() => {
                    taking::granted(tx, project, wish, |tx| attempt(tx, true))?
                }
                before => in_the_way(tx, project, wish, before)?,
            };
            match &answer {
                Answer::Granted(_) => tx.leave_claim_queue(place)?,
                // Looked for each time: what was granted since may have closed a circle too.
                Answer::Refused(_) | Answer::Behind(_) if !wish.take_over => {
                    waiting::refuse_deadlock(tx, project, &queue, &wish.holder)?;
                }
                _ => {}
            }
            Ok(answer)
        });
        let in_the_way: &[Conflict] = match &answer {
            Ok(Answer::Refused(conflicts)) => conflicts,
            _ => &[],
        };
        match &answer {
            Ok(Answer::Refused(_) | Answer::Behind(_))
                if Instant::now() < deadline && !session.cancel.is_cancelled() =>
            {
                // A lease may run out without anybody writing a word about it.
                let runs_out = in_the_way.iter().map(|conflict| conflict.held.expires_at).min();
                // One that ran out and is kept by a living holder ends with that holder, which no commit tells.
                let until = runs_out.map(|time| time.millis_since(Time::now()).max(1000).unsigned_abs());
                let until = until
                    .map_or(deadline, |millis| deadline.min(Instant::now() + Duration::from_millis(millis)));
                watch.wait(Some(until));
            }
            _ => break answer,
        }
    };
    if !matches!(answer, Ok(Answer::Granted(_) | Answer::Withdrawn)) {
        store.write(|tx| tx.leave_claim_queue(place))?;
    }
    if !wish.take_over {
        let held: Vec<Held> = taking::each_once(conflicts).into_iter().cloned().collect();
        if let Err(error) = nudging::unask(session, &held, &wish.holder, wish.reason.as_deref()) {
            tracing::warn!("who holds it is told all the same: {error}");
        }
    }
    answer
}

/// What a holder's kind makes of a claim.
struct Claimant {
    /// What proves that the holder lives.
    alive: Option<String>,
    /// Seconds until the claim runs out unless renewed; none for an attempt's, which lasts as long as that.
    ttl_s: Option<i64>,
    /// The attempt, where a worker claims for itself.
    attempt: Option<AttemptId>,
}

impl Claimant {
    /// A worker's claim is its attempt's: it lives as long as that, and lands with it.
    fn of(session: &Session, wish: &Wish) -> Result<Self, Error> {
        let caller = &session.caller;
        if let Some(id) = &caller.attempt {
            if wish.holder != caller.holder {
                return Err(Refusal::new(
                    Code::NotAllowed,
                    format!("a worker claims for itself, not for {}", wish.holder.name),
                    "leave holder out",
                )
                .into());
            }
            let lock = session.house.run_dir(id).join(files::LOCK);
            return Ok(Self {
                alive: Some(lock.to_string_lossy().into_owned()),
                ttl_s: None,
                attempt: Some(AttemptId::new(id)),
            });
        }
        let alive = caller.alive.as_ref().filter(|_| wish.holder == caller.holder);
        Ok(Self { alive: alive.cloned(), ttl_s: Some(wish.ttl_s.min(LONGEST_TTL_S) as i64), attempt: None })
    }

    /// When a claim that is granted now runs out.
    fn expires_at(&self) -> Time {
        self.ttl_s.map_or_else(owning::expiry, |seconds| Time::now().plus_seconds(seconds))
    }

    /// The plan and the task that the claim is for. Asked in the transaction that grants: an attempt
    /// that has ended by then claims nothing more.
    fn task(&self, tx: &Tx<'_>) -> Result<Option<(PlanId, TaskId)>, Error> {
        let Some(id) = &self.attempt else { return Ok(None) };
        let row = inside::live(tx, id)?;
        Ok(Some((row.plan, TaskId::text(row.task))))
    }
}

/// What whoever is not first in the queue learns: who holds it, else who is before it.
fn in_the_way(
    tx: &Tx<'_>,
    project: &Project,
    wish: &Wish,
    before: Option<waiting::Before>,
) -> Result<Answer, Error> {
    let held = near(tx, &project.id, &wish.patterns)?;
    let is_file = |path: &str| project.is_file(path);
    Ok(match (claim::decide(&wish.patterns, wish.mode, &wish.holder, &held, &is_file), before) {
        (Decision::Refuse(conflicts), _) => Answer::Refused(conflicts),
        (Decision::Grant { .. }, Some(before)) => Answer::Behind(before),
        (Decision::Grant { .. }, None) => Answer::Refused(Vec::new()),
    })
}

/// The live claims that may touch the patterns, each once.
pub(super) fn near(tx: &Tx<'_>, project: &ProjectId, patterns: &[Pattern]) -> Result<Vec<Held>, Error> {
    let mut held: Vec<Held> = Vec::new();
    for pattern in patterns {
        held.extend(tx.claims_near(project, pattern)?);
    }
    if patterns.len() > 1 {
        sorting::sort_by_key(&mut held, |claim| claim.id);
        held.dedup_by_key(|claim| claim.id);
    }
    Ok(held)
}

/// Releases claims in the way that ran out and whose holder does not live, as far as what it left was
/// `kept`. An attempt's claims are its conductor's to release, which saves its work first.
pub(super) fn free_the_dead(
    tx: &Tx<'_>,
    project: &ProjectId,
    patterns: &[Pattern],
    kept: &[ClaimId],
) -> Result<(), Error> {
    if kept.is_empty() {
        return Ok(());
    }
    let now = Time::now();
    for claim in near(tx, project, patterns)? {
        if kept.contains(&claim.id) && is_gone(&claim, now) {
            let agent = claim.alive.as_deref().and_then(life::on_behalf_of);
            let why = if agent.is_some_and(|agent| !life::holds(agent)) {
                "its process has ended"
            } else {
                "its lease ran out"
            };
            tx.release_claim(project, &claim, why)?;
        }
    }
    Ok(())
}

/// What a living agent or a person holds is nobody else's to let go of. A script's claim, which nothing proves,
/// is anybody's who knows its name or number.
fn refuse_living(claim: &Held) -> Result<(), Refusal> {
    let is_persons = claim.holder.kind == HolderKind::Person;
    if !is_persons && !claim.alive.as_deref().is_some_and(life::holds) {
        return Ok(());
    }
    let (id, name, pattern) = (claim.id, &claim.holder.name, claim.pattern.as_str());
    let who = if is_persons { "a person" } else { "alive" };
    Err(Refusal::new(
        Code::NotAllowed,
        format!("claim {id} on {pattern} belongs to {name}, who is {who}"),
        "wait for it with claim-files and wait_s; a person takes it over, in a terminal of their own: kapell claim-files --as me --take-over --reason WHY PATH",
    )
    .with("holder", name))
}

/// Whether a claim holds nobody back any more, though nobody has needed its files since. An attempt's
/// stays until its work is saved.
pub(super) fn is_gone(claim: &Held, now: Time) -> bool {
    claim.holder.kind != HolderKind::Attempt && is_abandoned(claim, now)
}

/// Whether a claim's holder is gone. An agent loses its claims with the end of its process, also those that a
/// server made for it; whatever else was claimed through a server lives as long as that does, and then until
/// its lease runs out.
fn is_abandoned(claim: &Held, now: Time) -> bool {
    let Some(proof) = &claim.alive else { return claim.expires_at <= now };
    match life::on_behalf_of(proof) {
        Some(agent) if !life::holds(agent) => true,
        Some(_) if life::is_of_process(proof) => false,
        // Who comes again through another server, as a script does at each call, finds its claims as they were.
        _ => claim.expires_at <= now && !life::is_held(Path::new(life::file(proof))),
    }
}

/// Whether a claim is of the agent that a proof names, under whatever name.
pub(super) fn is_of_agent(claim: &Held, agent: Option<&str>) -> bool {
    agent.is_some() && claim.alive.as_deref().and_then(life::on_behalf_of) == agent
}

/// Which claims are to be released.
#[derive(Debug, Clone)]
pub enum Which {
    /// By number.
    Ids(Vec<ClaimId>),
    /// The holder's own with these patterns.
    Patterns(Vec<Pattern>),
    /// All of the holder's own.
    All,
}

/// Releases claims and gives those that are free now. A number that is free
/// already is passed over; a worker's claim is refused, somebody else's when `holder` was named, and that of
/// a living agent or a person unless a person lets go of it.
pub fn release(
    session: &Session,
    project: &Project,
    which: &Which,
    holder: Option<&HolderName>,
) -> Result<Vec<Held>, Error> {
    if let Some(attempt) = &session.caller.attempt {
        return inside::release(session, project, attempt, which, holder);
    }
    let name = holder.unwrap_or(&session.caller.holder.name);
    let patron = session.caller.alive.as_deref().and_then(life::on_behalf_of);
    session.store()?.write(|tx| {
        let own = |tx: &Tx<'_>| -> Result<Vec<Held>, Error> {
            let mut own = Vec::new();
            for kind in [HolderKind::Agent, HolderKind::Person] {
                own.extend(tx.claims_of(&project.id, &Holder { kind, name: name.clone() })?);
            }
            // What its agent edited is held under the name of the agent's session, and as much its own.
            if let (None, Some(patron)) = (holder, patron) {
                let taken = tx.claims_living_by(&project.id, patron)?.into_iter();
                own.extend(taken.filter(|claim| claim.holder.kind != HolderKind::Attempt));
            }
            Ok(own)
        };
        let claims = match which {
            Which::All => own(tx)?,
            Which::Patterns(patterns) => {
                own(tx)?.into_iter().filter(|claim| patterns.contains(&claim.pattern)).collect()
            }
            Which::Ids(ids) => {
                let mut claims = Vec::new();
                for id in ids {
                    let Some(claim) = tx.claim(&project.id, *id)? else { continue };
                    // Whoever knows the number may let go of it, unless it is a worker's.
                    let foreign = holder.is_some_and(|holder| claim.holder.name != *holder);
                    if claim.holder.kind == HolderKind::Attempt || foreign {
                        return Err(Refusal::new(
                            Code::NotAllowed,
                            format!("claim {id} on {} belongs to {}", claim.pattern.as_str(), claim.holder.name),
                            "only its holder lets go of it; a worker's claims end with its attempt (control stop)",
                        )
                        .with("holder", &claim.holder.name)
                        .into());
                    }
                    claims.push(claim);
                }
                claims
            }
        };
        let caller = &session.caller.holder;
        let is_own = |claim: &Held| claim.holder == *caller || is_of_agent(claim, patron);
        let mut released = Vec::new();
        for claim in claims {
            let is_own = is_own(&claim);
            if !is_own && caller.kind != HolderKind::Person {
                refuse_living(&claim)?;
            }
            let why = if is_own { "released".to_owned() } else { format!("released by {}", caller.name) };
            if tx.release_claim(&project.id, &claim, &why)? {
                released.push(claim);
            }
        }
        sorting::sort_by_key(&mut released, |claim| claim.id);
        Ok(released)
    })
}

/// What still owns something of patterns that were to be let go of: somebody else's claims, or claims of the
/// holder's own under another pattern.
pub fn still_held(
    session: &Session,
    project: &Project,
    asked: &[Pattern],
    released: &[Held],
) -> Result<Vec<Conflict>, Error> {
    let left: Vec<Pattern> =
        asked.iter().filter(|asked| released.iter().all(|it| it.pattern != **asked)).cloned().collect();
    let now = Time::now();
    let mut held = session.store()?.read(|tx| near(tx, &project.id, &left))?;
    held.retain(|claim| !is_gone(claim, now));
    Ok(claim::touching(&left, &held, &|path| project.is_file(path)))
}
