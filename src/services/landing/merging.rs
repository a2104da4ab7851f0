//! Merging what a plan landed with a target that moved on: the gates saw neither of them beside the other, so
//! the merge is proved before it lands, in a run of its own, as that takes as long as the tests.

use std::path::Path;

use super::bringing::{self, Brought};
use super::{branch_of, full_name, integrating, is_shared, proving, tip};
use crate::domain::pattern::PatternSet;
use crate::domain::plan::Rules;
use crate::domain::refusal::{Code, Refusal};
use crate::services::conductor::desk::{Desk, effective_rules};
use crate::services::judging::Case;
use crate::services::project::Project;
use crate::services::{Error, Session, dispatching};
use crate::store::plans::PlanRow;
use crate::sys::config::{Config, ecosystem};
use crate::sys::git::change::{Change, changed_between};
use crate::sys::git::{Git, Oid, Snapshot, construct, read, refs, snapshot};

/// The target may move meanwhile; a landing is tried so often, and then left to whoever asked.
pub const TRIES: usize = 5;

/// Whether bringing a plan's work to its target makes a merge that something can prove.
///
/// # Errors
/// The two conflict.
pub fn needs_proof(session: &Session, project: &Project, git: &Git, plan: &PlanRow) -> Result<bool, Error> {
    let Some((old, work)) = parted(git, plan)? else { return Ok(false) };
    let config = session.config_at_work(project)?;
    let (.., stored) = dispatching::load(session, &plan.id, None)?;
    let rules = effective_rules(&[&stored.rules, &config.rules], &ecosystem::find(project.top()?));
    if !proving::can_prove(&rules) && config.integrator.is_empty() {
        return Ok(false);
    }
    merged(git, &config, plan, &old, &work, &session.house.root.join("tmp"))?;
    Ok(true)
}

/// The target's commit and the plan's, where neither has the other.
fn parted(git: &Git, plan: &PlanRow) -> Result<Option<(Oid, Oid)>, Error> {
    let branch = branch_of(plan);
    if is_shared(&branch) {
        return Ok(None);
    }
    let (Some(target), Some(work)) = (plan.target.as_deref(), tip(git, &plan.id, &branch)?) else {
        return Ok(None);
    };
    bringing::refuse_moved(git, plan, &work)?;
    let Some(old) = refs::read(git, &full_name(target))? else { return Ok(None) };
    if read::is_ancestor(git, &work, &old)? || read::is_ancestor(git, &old, &work)? {
        return Ok(None);
    }
    Ok(Some((old, work)))
}

/// Merges, proves, and lands; or what is wrong with the merge. `name` is the run's.
pub fn prove_and_bring(desk: &Desk, name: &str, evidence: &Path) -> Result<Result<Brought, String>, Error> {
    let git = &desk.git;
    let row = desk.row()?;
    let plan = desk.plan();
    let rules = effective_rules(&[&plan.rules, &desk.config.rules], &desk.ecosystem);
    let mut verify = None;
    for _ in 0..TRIES {
        let Some((old, work)) = parted(git, &row)? else {
            match bringing::bring(git, &row)? {
                Some(brought) => return Ok(Ok(brought)),
                None => continue,
            }
        };
        let (merged, snapshot) = merged(git, &desk.config, &row, &old, &work, evidence)?;
        let case = case(desk, name, &snapshot, &merged, rules.clone(), evidence);
        let cases = [case];
        let new = match integrating::integrate(desk, &cases, &mut verify, &merged)? {
            Ok(new) => new,
            Err(why) => return Ok(Err(why)),
        };
        if let Some(why) = proving::prove(desk, &cases, &mut verify, &new)? {
            return Ok(Err(why));
        }
        if let Some(brought) = bringing::place(git, &row, &old, &new)? {
            return Ok(Ok(brought));
        }
    }
    Err(moved_too_often(&row))
}

/// The target did not stay for as long as a landing takes, several times in a row.
pub fn moved_too_often(plan: &PlanRow) -> Error {
    let target = plan.target.as_deref().unwrap_or_default();
    Refusal::new(
        Code::Busy,
        format!("{target} moved {TRIES} times while plan {} was to land there", plan.id),
        "land again when it is quieter there; the work stays where it is",
    )
    .into()
}

/// The merge as a commit, and what it changes of the target. What the integrator makes anew is left as the
/// target has it until then, and conflicts in nothing.
fn merged(
    git: &Git,
    config: &Config,
    plan: &PlanRow,
    old: &Oid,
    work: &Oid,
    scratch: &Path,
) -> Result<(Oid, Snapshot), Error> {
    let base = bringing::base_of(git, plan, old, work)?;
    let integrator = PatternSet::new(config.integrator.iter().flat_map(|it| it.files.clone()));
    let of_work = look(git, &base, work)?;
    let keep = |change: &Change| !integrator.contains(&change.path);
    let side = if of_work.changed.iter().all(keep) {
        work.clone()
    } else {
        construct::construct(git, &of_work, &keep, "kapell: without what is made anew", scratch)
            .map_err(Error::from_git)?
    };
    let commit = bringing::merge_with_target(git, plan, old, work, &side)?;
    let snapshot = look(git, old, &commit)?;
    Ok((commit, snapshot))
}

/// A commit beside another, as a judge looks at it.
fn look(git: &Git, base: &Oid, commit: &Oid) -> Result<Snapshot, Error> {
    let tree = read::tree_of(git, commit)?;
    Ok(Snapshot {
        changed: changed_between(git, base, &tree)?,
        tree,
        commit: commit.clone(),
        base: base.clone(),
        reference: String::new(),
        nested: Vec::new(),
        skipped: Vec::new(),
        ignored: Vec::new(),
        largest: snapshot::LARGEST_FILE,
    })
}

fn case<'a>(
    desk: &'a Desk,
    name: &str,
    snapshot: &'a Snapshot,
    merged: &Oid,
    rules: Rules,
    evidence: &Path,
) -> Case<'a> {
    Case {
        session: &desk.session,
        project: &desk.project,
        config: &desk.config,
        git: &desk.git,
        ecosystem: &desk.ecosystem,
        name: name.to_owned(),
        text: format!("the merge of plan {}", desk.plan_id),
        snapshot,
        outside: &[],
        ignored: &[],
        unowned: &[],
        work: merged.clone(),
        tests: None,
        rules,
        specs: &[],
        is_spec: false,
        is_open: false,
        delegated: Vec::new(),
        only: None,
        evidence: evidence.to_owned(),
        of: Some((desk.plan_id.clone(), None)),
        waits: None,
    }
}
