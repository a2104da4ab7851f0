//! A worktree for a worker, against what git itself takes for one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use kapell::services::conductor::launching::link_dependencies;
use kapell::services::ground;
use kapell::sys::git::{Git, GitQueue, Oid, worktree};

use super::Around;
use crate::figure::{Amount, Figure, Gate};
use crate::place::Place;
use crate::rounds::{Rounds, timed};

const CASE: &str = "worktree";

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    [200, 2000].into_iter().map(|files| with_files(around, files)).collect()
}

fn with_files(around: &Around, files: usize) -> Result<Figure> {
    let place = Place::new(&around.folder, files)?;
    let (session, project) = place.session()?;
    let git = ground::git(&session.house, &project)?;
    let head = Oid::parse(&place.git(&["rev-parse", "HEAD"])?).context("HEAD is a commit")?;
    let trees = place.project.with_file_name("trees");
    std::fs::create_dir_all(&trees)?;
    let mut made = 0;
    let mut kapell = || {
        made += 1;
        add(&git, &place, &head, trees.join(format!("kapell{made}")))
    };
    let mut plain_made = 0;
    let mut plain = || {
        plain_made += 1;
        add_plain(&place, &head, trees.join(format!("plain{plain_made}")))
    };
    // The first of each warms what the system remembers.
    kapell()?;
    plain()?;
    let rounds = Rounds::take(around.rounds(10), 1, &mut [Box::new(kapell), Box::new(plain)])?;
    Ok(Figure::told(CASE, format!("a worktree of {files} files"), Amount::Time(rounds.median(0)?)).against(
        "git worktree add",
        Amount::Time(rounds.median(1)?),
        Some(rounds.ratio_to(0, 1)?),
        Gate::TimesAtMost(1.15),
    ))
}

/// As the conductor does it; the removal is not timed.
#[expect(clippy::needless_pass_by_value, reason = "it is made for the call")]
fn add(git: &Git, place: &Place, head: &Oid, path: PathBuf) -> Result<Duration> {
    let (tree, time) = timed(|| {
        let guard = GitQueue::lock(git.repository())?;
        let tree = worktree::add(git, guard, &path, head)?;
        link_dependencies(&place.project, &path);
        Ok(tree)
    })?;
    std::fs::remove_dir_all(&tree.path)?;
    std::fs::remove_dir_all(&tree.admin_dir)?;
    Ok(time)
}

#[expect(clippy::needless_pass_by_value, reason = "it is made for the call")]
fn add_plain(place: &Place, head: &Oid, path: PathBuf) -> Result<Duration> {
    let path = path.to_string_lossy().into_owned();
    let ((), time) = timed(|| {
        place.git(&["worktree", "add", "-q", "--detach", &path, head.as_str()])?;
        Ok(())
    })?;
    place.git(&["worktree", "remove", "--force", &path])?;
    Ok(time)
}
