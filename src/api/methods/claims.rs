//! `claim-files` and `release-files`.

use serde::Serialize;

use super::status::views;
use crate::api::ApiError;
use crate::api::wire::{
    ClaimConflict, ClaimFilesParams, ClaimFilesResult, ClaimMode, ClaimStatus, GrantedClaim,
    ReleaseFilesParams, ReleaseFilesResult,
};
use crate::base::ids::{AttemptId, ClaimId, HolderName};
use crate::domain::claim::{Conflict, Held, Holder, HolderKind, Mode};
use crate::services::claiming::{self, Answer, Which, Wish};
use crate::services::{Session, inside, owning, querying};
use crate::store::claims::ClaimPage;

/// Answers `claim-files`.
pub fn claim_files(session: &Session, params: ClaimFilesParams) -> Result<ClaimFilesResult, ApiError> {
    let project = session.project()?;
    let holder = match params.holder {
        Some(name) => Holder { kind: session.caller.holder.kind, name: holder_name(&name)? },
        None => session.caller.holder.clone(),
    };
    let wish = Wish {
        patterns: claiming::patterns(project.top.as_deref(), &params.paths)?,
        mode: match params.mode {
            ClaimMode::Exclusive => Mode::Exclusive,
            ClaimMode::Shared => Mode::Shared,
        },
        holder,
        ttl_s: params.ttl_s.unwrap_or(claiming::DEFAULT_TTL_S),
        reason: params.reason,
        wait_s: params.wait_s.unwrap_or(0),
        check_only: params.check_only,
        take_over: params.take_over,
    };
    if wish.ttl_s == 0 {
        return Err(ApiError::invalid_params(
            "ttl_s is 0: the claim would have run out when it is granted",
            "leave ttl_s out for 900 seconds; check_only looks without claiming, release-files lets go",
        ));
    }
    let mut notes = cut(session, &wish);
    Ok(match claiming::claim(session, &project, &wish)? {
        Answer::Granted(held) => ClaimFilesResult {
            granted: true,
            note: {
                notes.extend(kept_mode(&wish, &held));
                notes.extend(inside::strictness(session, &held));
                (!notes.is_empty()).then(|| notes.join("; "))
            },
            claims: held.iter().map(granted).collect(),
            ..ClaimFilesResult::default()
        },
        Answer::Free => ClaimFilesResult { granted: true, ..ClaimFilesResult::default() },
        Answer::Refused(conflicts) => {
            notes.extend(owning::why_they_stay(session, &conflicts)?);
            ClaimFilesResult {
                granted: false,
                conflicts: conflicts.iter().map(conflict).collect(),
                note: (!notes.is_empty()).then(|| notes.join("; ")),
                ..ClaimFilesResult::default()
            }
        }
        Answer::Withdrawn => {
            notes.push("the wait was withdrawn with release-files".to_owned());
            ClaimFilesResult { granted: false, note: Some(notes.join("; ")), ..ClaimFilesResult::default() }
        }
        Answer::Behind(before) => {
            let (witness, who) = (&before.witness, &before.holder.name);
            notes.push(format!(
                "nobody holds {witness}, but {who} asked for it before and waits: wait_s waits in line behind"
            ));
            ClaimFilesResult { granted: false, note: Some(notes.join("; ")), ..ClaimFilesResult::default() }
        }
    })
}

/// What of a wish was more than there is. A worker's claim lives as long as its attempt, whatever it says.
fn cut(session: &Session, wish: &Wish) -> Vec<String> {
    let (longest_ttl, longest_wait) = (claiming::LONGEST_TTL_S, claiming::LONGEST_WAIT_S);
    let mut notes = Vec::new();
    if wish.ttl_s > longest_ttl && session.caller.attempt.is_none() {
        notes.push(format!(
            "ttl_s {} is more than the {longest_ttl} seconds that a claim lasts at most: asking again renews it",
            wish.ttl_s
        ));
    }
    if wish.wait_s > longest_wait {
        notes.push(format!(
            "wait_s {} is more than the {longest_wait} seconds that anybody waits at most: ask again",
            wish.wait_s
        ));
    }
    notes
}

/// Says where what is owned stays owned, though only a look at it was asked for.
fn kept_mode(wish: &Wish, granted: &[Held]) -> Option<String> {
    let kept: Vec<&str> =
        granted.iter().filter(|claim| claim.mode != wish.mode).map(|claim| claim.pattern.as_str()).collect();
    (!kept.is_empty()).then(|| {
        format!(
            "{} stays exclusive: it is what this attempt owns; release-files lets go of it",
            kept.join(", ")
        )
    })
}

/// Answers `release-files`.
pub fn release_files(session: &Session, params: ReleaseFilesParams) -> Result<ReleaseFilesResult, ApiError> {
    let project = session.project()?;
    let which = match (params.claim_ids, params.paths, params.all) {
        (Some(ids), None, false) => Which::Ids(ids.into_iter().map(ClaimId).collect()),
        (None, Some(paths), false) => {
            Which::Patterns(claiming::to_let_go_of(project.top.as_deref(), &paths)?)
        }
        (None, None, true) => Which::All,
        _ => {
            return Err(ApiError::invalid_params(
                "release-files wants exactly one of claim_ids, paths, all",
                "claim_ids are what claim-files answered with; status with scope claims shows them",
            ));
        }
    };
    let holder = params.holder.map(|name| holder_name(&name)).transpose()?;
    let released = claiming::release(session, &project, &which, holder.as_ref())?;
    let (withdrawn, still_held) = match &which {
        Which::Patterns(asked) => {
            let withdrawn = claiming::withdraw(session, &project, asked, &released, holder.as_ref())?;
            let asked: Vec<_> = asked.iter().filter(|it| !withdrawn.contains(it)).cloned().collect();
            let still_held = claiming::still_held(session, &project, &asked, &released)?;
            (withdrawn, still_held)
        }
        Which::Ids(_) | Which::All => (Vec::new(), Vec::new()),
    };
    Ok(ReleaseFilesResult {
        released: released.into_iter().map(|claim| claim.id.0).collect(),
        withdrawn: withdrawn.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        still_held: still_held.iter().map(conflict).collect(),
    })
}

fn holder_name(name: &str) -> Result<HolderName, ApiError> {
    if name.trim().is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err(ApiError::invalid_params(
            format!("{name:?} is no name for a holder"),
            "use 1 to 200 visible characters",
        ));
    }
    Ok(HolderName::new(name))
}

fn granted(held: &Held) -> GrantedClaim {
    GrantedClaim {
        claim_id: held.id.0,
        pattern: held.pattern.as_str().to_owned(),
        mode: held.mode.as_str().to_owned(),
        fencing: held.id.0,
        expires_at: held.expires_at.to_string(),
    }
}

fn conflict(conflict: &Conflict) -> ClaimConflict {
    let held = &conflict.held;
    ClaimConflict {
        pattern: conflict.pattern.as_str().to_owned(),
        held_pattern: held.pattern.as_str().to_owned(),
        witness: conflict.witness.clone(),
        holder: held.holder.name.as_str().to_owned(),
        holder_kind: held.holder.kind.as_str().to_owned(),
        task: held.task.clone(),
        reason: held.reason.clone(),
        since: held.since.to_string(),
        expires_at: held.expires_at.to_string(),
    }
}

/// A claim as editors are told of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClaimView {
    /// As `status` with scope `claims` tells it.
    #[serde(flatten)]
    pub status: ClaimStatus,
    /// Whether it is the caller's.
    pub own: bool,
    /// The attempt that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// The seat of that attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

/// A claim as `me` is told of it.
pub fn view(session: &Session, held: &Held, alive: Option<bool>) -> ClaimView {
    let attempt = (held.holder.kind == HolderKind::Attempt).then(|| held.holder.name.as_str().to_owned());
    let row = attempt.as_ref().and_then(|id| {
        let store = session.store().ok()?;
        // Whoever cannot be named by their seat is named by their attempt.
        store.read(|tx| tx.attempt(&AttemptId::new(id))).ok().flatten()
    });
    ClaimView {
        status: views::claim(held, alive),
        own: held.holder == session.caller.holder,
        attempt,
        worker: row.map(|row| row.worker.as_str().to_owned()),
    }
}

/// The number of the newest event about claims of the project.
pub fn newest(session: &Session) -> Result<i64, ApiError> {
    Ok(querying::newest_claim_event(session, &session.project()?)?)
}

/// The project's live claims, at most `limit` of them, and how many there are.
pub fn all(session: &Session, limit: usize) -> Result<(Vec<ClaimView>, u64), ApiError> {
    let project = session.project()?;
    let held = querying::claims(session, &project, ClaimPage { after: 0, limit })?;
    let total = querying::count_claims(session, &project)?;
    Ok((held.iter().map(|(claim, alive)| view(session, claim, *alive)).collect(), total))
}
