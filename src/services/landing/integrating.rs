//! The integrator: files that no task owns are made anew by their commands while work lands.

use super::proving::end_of;
use crate::base::paths::RepoPath;
use crate::domain::pattern::PatternSet;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Error;
use crate::services::conductor::desk::Desk;
use crate::services::judging::Case;
use crate::services::judging::commands::{End, on_commit};
use crate::services::judging::verify::VerifyTree;
use crate::sys::config::resolved::{Integrator, Isolation};
use crate::sys::git::change::Change;
use crate::sys::git::{Oid, Snapshot, construct, refs, snapshot};

/// The commit with everything made anew that the configuration tells, or `top` itself where that
/// changed nothing. What else a command changed is left out. `Err`: a command failed, and how.
pub(super) fn integrate(
    desk: &Desk,
    cases: &[Case<'_>],
    verify: &mut Option<VerifyTree>,
    top: &Oid,
) -> Result<Result<Oid, String>, Error> {
    let mut tip = top.clone();
    let Some(case) = cases.first() else { return Ok(Ok(tip)) };
    if desk.config.isolation == Isolation::Shared {
        return Ok(Ok(tip));
    }
    for (at, integrator) in desk.config.integrator.iter().enumerate() {
        let seen = on_commit(case, verify, &tip, &format!("integrate-{at}"), &integrator.command)?;
        let shown = shell_words::join(&integrator.command.0);
        match seen.end {
            End::Passed | End::Flaky(_) => {}
            End::Failed(how) => {
                let output = end_of(&seen.output);
                return Ok(Err(format!("making {} anew, `{shown}` {how}:\n{output}", files(integrator))));
            }
            End::Unknown(why) => {
                return Err(Refusal::new(
                    Code::Conflict,
                    format!("`{shown}`, which makes {} anew, cannot be run: {why}", files(integrator)),
                    "correct project.integrator in kapell.toml, then control approve tries it again",
                )
                .into());
            }
        }
        if let Some(tree) = verify.as_ref() {
            tip = made_anew(desk, case, tree, &tip, integrator)?;
        }
    }
    Ok(Ok(tip))
}

/// The commit on `tip` with the integrator's files as they are in the verify worktree.
fn made_anew(
    desk: &Desk,
    case: &Case<'_>,
    verify: &VerifyTree,
    tip: &Oid,
    integrator: &Integrator,
) -> Result<Oid, Error> {
    let saved = looked_at(desk, case, verify, tip)?;
    let owned = PatternSet::new(integrator.files.clone());
    let keep = |change: &Change| owned.contains(&change.path);
    let paths: Vec<&RepoPath> = saved.changed.iter().filter(|it| keep(it)).map(|it| &it.path).collect();
    let Some(first) = paths.first() else { return Ok(tip.clone()) };
    let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
    let message = format!("Make {first}{more} anew\n\nKapell-Plan: {}\n", desk.plan_id);
    construct::construct(&desk.git, &saved, &keep, &message, &case.evidence).map_err(Error::from_git)
}

/// What the verify worktree holds. The ref keeps it until the next look.
fn looked_at(desk: &Desk, case: &Case<'_>, verify: &VerifyTree, tip: &Oid) -> Result<Snapshot, Error> {
    let git = &desk.git;
    let Some(tree) = verify.worktree() else {
        return Err(Error::Bug(format!("{} is no worktree", verify.path.display())));
    };
    let reference = format!("refs/kapell/integrated/{}", desk.plan_id);
    let expected = refs::read(git, &reference)?;
    let request = snapshot::Request {
        tree,
        base: tip,
        reference: &reference,
        expected: expected.as_ref(),
        message: "kapell: made anew",
        scratch: &case.evidence,
        keeps_base: true,
        largest: snapshot::LARGEST_FILE,
        is_exact: false,
    };
    snapshot::snapshot(git, &request).map_err(Error::from_git)
}

fn files(integrator: &Integrator) -> String {
    let names: Vec<&str> = integrator.files.iter().map(|pattern| pattern.as_str()).collect();
    names.join(", ")
}
