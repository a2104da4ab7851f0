//! The ground that a plan stands on: git, where it starts, where it lands.

use std::ffi::OsString;

use super::landing::{full_name, integration_branch, short_name};
use super::project::Project;
use super::{Error, House};
use crate::base::ids::PlanId;
use crate::domain::plan::Plan;
use crate::domain::refusal::{Code, Refusal};
use crate::store::events::NewEvent;
use crate::store::plans::PlanRow;
use crate::store::{Check, Store};
use crate::sys::config::Config;
use crate::sys::config::resolved::Isolation;
use crate::sys::git::read::Head;
use crate::sys::git::refs::Update;
use crate::sys::git::shadow::Shadow;
use crate::sys::git::{Git, Oid, Program, Queue, Worktree, land, read, refs, snapshot};

/// Git for a project. A plain folder has a private repository in the state folder, so that
/// what workers do there is saved and compared all the same.
pub fn git(house: &House, project: &Project) -> Result<Git, Error> {
    let environment =
        house.environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let program = Program::find(environment).map_err(Error::from_git)?.queueing(queue(house, project));
    match &project.repository {
        Some(repository) => Ok(Git::new(&program, repository)?),
        None => {
            let git_dir = house.root.join("shadow").join(format!("{}.git", project.id));
            Ok(Shadow::open(&program, &git_dir, project.top()?)?.git)
        }
    }
}

/// Git for a project, and the checkout that is its own.
///
/// # Errors
/// It is no repository, or git cannot be had.
pub fn checkout(house: &House, project: &Project) -> Result<(Git, Worktree), Error> {
    let tree = Worktree::of_checkout(project.repository()?).map_err(Error::from_git)?;
    Ok((git(house, project)?, tree))
}

/// The git queue of this state folder, where no worker can open its locks.
fn queue(house: &House, project: &Project) -> Queue {
    let (root, project) = (house.root.clone(), project.clone());
    Queue::new(house.root.join("queue"), move |waited| {
        let who = match waited.holder {
            Some(pid) => format!("process {pid}, or a git that it started"),
            None => "another process".to_owned(),
        };
        let text = format!(
            "waiting for the git queue of {} since {} s: {who} has the turn; if that hangs, end it",
            waited.common_dir.display(),
            waited.seconds
        );
        tracing::warn!("{text}");
        // By a connection of its own: whoever waits may hold the other.
        let told = Store::open(&root, Check::Header).map_err(Error::from).and_then(|store| {
            store.write(|tx| -> Result<(), Error> {
                project.ensure(tx)?;
                tx.append_event(&project.id, &NewEvent { kind: "git.waiting", text, ..NewEvent::default() })?;
                Ok(())
            })
        });
        if let Err(error) = told {
            tracing::warn!("that cannot be recorded: {error}");
        }
    })
}

/// Where a plan starts and lands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The commit that attempts start from.
    pub base: Oid,
    /// The branch to land on, without `refs/heads/`; none on a detached head.
    pub target: Option<String>,
    /// The branch that collects its work.
    pub integration: String,
}

/// Finds where a plan starts and lands, and makes the ref that collects its work.
pub fn lay(
    house: &House,
    git: &Git,
    config: &Config,
    id: &PlanId,
    plan: &Plan,
    row: &PlanRow,
) -> Result<Ground, Error> {
    if config.isolation == Isolation::Shared {
        return lay_shared(house, git, id, row);
    }
    let head = read::head(git)?;
    let named = plan.target.clone().or_else(|| config.target.clone());
    let target = match (&named, &head) {
        (Some(name), _) => Some(name.trim_start_matches("refs/heads/").to_owned()),
        (None, Head::Branch { reference, .. }) => {
            Some(reference.trim_start_matches("refs/heads/").to_owned())
        }
        (None, Head::Detached(_)) => None,
    };
    let no_commit = || {
        Refusal::new(
            Code::Unsupported,
            "the repository has no commit yet",
            "make a first one: git add -A && git commit -m first",
        )
    };
    let base = match &plan.base {
        Some(rev) => read::named(git, rev)?.ok_or_else(|| {
            Refusal::new(
                Code::NotFound,
                format!("the base {rev} names no commit"),
                "name a branch, tag or commit",
            )
        })?,
        None => {
            let of_target = match &target {
                Some(target) => refs::read(git, &full_name(target))?,
                None => None,
            };
            match (of_target, head) {
                (Some(commit), _) => commit,
                (None, Head::Detached(commit)) => commit,
                (None, Head::Branch { commit: Some(commit), .. }) if named.is_some() => commit,
                (None, Head::Branch { .. }) => return Err(no_commit().into()),
            }
        }
    };
    let integration = row.integration.clone().unwrap_or_else(|| integration_branch(id));
    // One who was killed before this was recorded, or another at this moment, has made the branch: the plan begins
    // where that does, whatever its target gained since. A merge takes away what is in the base and not in the branch.
    let begun = match refs::read(git, &integration)? {
        Some(begun) => Some(begun),
        // Git's names of branches are paths, and what is a branch is no folder.
        None if let Some((folder, _)) = integration.rsplit_once('/')
            && refs::read(git, folder)?.is_some() =>
        {
            let branch = folder.trim_start_matches("refs/heads/");
            return Err(Refusal::new(
                Code::Conflict,
                format!("the branch {branch} is in the way of the plan's own, {branch}/{id}"),
                format!("rename it: git branch -m {branch} ANOTHER-NAME"),
            )
            .into());
        }
        None => match refs::update(git, &integration, &base, None, "kapell: plan started")? {
            Update::Done => None,
            Update::Moved { now } => now,
        },
    };
    Ok(Ground { base: begun.unwrap_or(base), target, integration })
}

/// Whether the commit that a plan began from is still in the repository. One that was made anew at its place, or
/// whose history was rewritten and tidied up, has others.
pub fn is_there(git: &Git, row: &PlanRow) -> Result<bool, Error> {
    let Some(base) = &row.base else { return Ok(true) };
    Ok(read::resolve(git, base)?.is_some())
}

/// Lets the inbox, which never ends, start from where its target is now, once all that it landed
/// is part of that. Where both have what the other lacks, new tasks do not see what the target gained: that
/// is told.
pub fn follow_target(git: &Git, row: &PlanRow) -> Result<Option<String>, Error> {
    let (Some(branch), Some(target)) = (&row.integration, &row.target) else { return Ok(None) };
    let (Some(old), Some(new)) = (refs::read(git, branch)?, refs::read(git, &full_name(target))?) else {
        return Ok(None);
    };
    if old == new || read::is_ancestor(git, &new, &old)? {
        return Ok(None);
    }
    if read::is_ancestor(git, &old, &new)? {
        // Should somebody have moved it meanwhile, it stays where that one put it.
        refs::update(git, branch, &new, Some(&old), "kapell: the inbox follows its target")?;
        return Ok(None);
    }
    Ok(Some(format!(
        "it begins from {}, whose work {target} lacks, without what {target} gained since; kapell land {} brings both together",
        short_name(branch),
        row.id
    )))
}

/// In a shared folder workers start from the files as they lie there, and what they do is there
/// already when it is accepted: the ref only says what was accepted so far, no branch moves.
fn lay_shared(house: &House, git: &Git, id: &PlanId, row: &PlanRow) -> Result<Ground, Error> {
    let integration = row.integration.clone().unwrap_or_else(|| format!("refs/kapell/shared/{id}"));
    if let Some(base) = refs::read(git, &integration)? {
        return Ok(Ground { base, target: None, integration });
    }
    let tree = Worktree::of_checkout(git.repository()).map_err(Error::from_git)?;
    let head = read::resolve(git, "HEAD")?;
    let before = match head {
        Some(head) => head,
        None => land::empty_commit(git)?,
    };
    let scratch = house.run_dir(&format!("ground-{id}"));
    std::fs::create_dir_all(&scratch)
        .map_err(|error| Error::system(format!("cannot make {}", scratch.display()), error))?;
    let request = snapshot::Request {
        tree: &tree,
        base: &before,
        reference: &integration,
        expected: None,
        message: &format!("kapell: the folder when plan {id} started"),
        scratch: &scratch,
        keeps_base: true,
        largest: snapshot::LARGEST_FILE,
        is_exact: false,
    };
    let saved = snapshot::snapshot(git, &request).map_err(Error::from_git)?;
    Ok(Ground { base: saved.commit, target: None, integration })
}
