//! A worktree for a worker, against what git itself takes for one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kapell::services::conductor::launching::{LINKED, link_dependencies};
use kapell::services::ground;
use kapell::sys::git::snapshot::{LARGEST_FILE, Request, snapshot};
use kapell::sys::git::worktree::check_saved;
use kapell::sys::git::{Git, Oid, Worktree, spare, worktree};

use super::Around;
use crate::figure::{Amount, Figure, Gate};
use crate::place::{Place, file_name};
use crate::rounds::{Rounds, Run, timed};

const CASE: &str = "worktree";

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let figures = [200, 2000].into_iter().map(|files| with_files(around, files));
    Ok(figures.collect::<Result<Vec<_>>>()?.concat())
}

fn with_files(around: &Around, files: usize) -> Result<Vec<Figure>> {
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
    // What a task landed meanwhile: one file in twenty.
    let next = changed(&place, files / 20)?;
    let spares = place.project.with_file_name("spares");
    std::fs::create_dir_all(&spares)?;
    let mut taken = 0;
    let mut spare = |commit: &Oid| {
        taken += 1;
        take(&git, &place, &head, commit, &spares, taken)
    };
    let spare = std::cell::RefCell::new(&mut spare);
    let spare = |commit: &Oid| (spare.borrow_mut())(commit);
    // The first of each warms what the system remembers.
    kapell()?;
    plain()?;
    spare(&head)?;
    let mut competitors: [Run<'_>; 4] =
        [Box::new(kapell), Box::new(plain), Box::new(|| spare(&head)), Box::new(|| spare(&next))];
    let rounds = Rounds::take(around.rounds(10), 1, &mut competitors)?;
    let mut figures = Vec::new();
    for (at, what, most) in
        [(0, "new", 1.15), (2, "a spare at the commit", 0.5), (3, "a spare, 1 file in 20 differs", 0.5)]
    {
        let name = format!("a worktree of {files} files: {what}");
        figures.push(Figure::told(CASE, name, Amount::Time(rounds.median(at)?)).against(
            "git worktree add",
            Amount::Time(rounds.median(1)?),
            Some(rounds.ratio_to(at, 1)?),
            Gate::TimesAtMost(most),
        ));
    }
    Ok(figures)
}

/// A commit on the project's with some files changed.
fn changed(place: &Place, count: usize) -> Result<Oid> {
    for number in 0..count {
        std::fs::write(place.project.join(file_name(number * 20)), format!("{number} has changed\n"))?;
    }
    place.configure("# another\n")?;
    Oid::parse(&place.git(&["rev-parse", "HEAD"])?).context("HEAD is a commit")
}

/// Taking a spare, as the conductor does it for the next attempt; making it one is not timed.
fn take(
    git: &Git,
    place: &Place,
    base: &Oid,
    commit: &Oid,
    spares: &Path,
    number: usize,
) -> Result<Duration> {
    let at = |what: &str| spares.join(format!("{what}{number}"));
    let tree = match Worktree::find(git, &spares.join(format!("taken{}", number - 1))) {
        Some(tree) => tree,
        None => worktree::add(git, git.turn()?, &at("first"), base)?,
    };
    for name in LINKED {
        // Most projects have none of them.
        let _ = std::fs::remove_file(tree.path.join(name));
    }
    let base_of_tree = tree.base().context("the tree is whole")?;
    let reference = format!("refs/kapell/tasks/bench/{number}");
    let request = Request {
        tree: &tree,
        base: &base_of_tree,
        reference: &reference,
        expected: None,
        message: "bench",
        scratch: spares,
        keeps_base: true,
        largest: LARGEST_FILE,
        is_exact: false,
    };
    let saved = check_saved(git, &tree, &snapshot(git, &request)?, spares)?;
    ensure!(spare::park(git, saved, base, 1)?.is_none(), "the tree became no spare");
    let ((), time) = timed(|| {
        let guard = git.turn()?;
        spare::take_or_add(git, guard, &at("taken"), commit)?;
        link_dependencies(&place.project, &at("taken"));
        Ok(())
    })?;
    Ok(time)
}

/// As the conductor does it; the removal is not timed.
#[expect(clippy::needless_pass_by_value, reason = "it is made for the call")]
fn add(git: &Git, place: &Place, head: &Oid, path: PathBuf) -> Result<Duration> {
    let (tree, time) = timed(|| {
        let guard = git.turn()?;
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
