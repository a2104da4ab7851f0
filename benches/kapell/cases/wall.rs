//! What the wall adds to the start of a worker: `true` under a shim, with a wall and without.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use kapell::services::walling::{Ground, Writes};
use kapell::services::{House, Session};
use kapell::sys::config::resolved::Wall as Wish;
use kapell::sys::shim::client::{self, Ended};
use kapell::sys::shim::job::{Cause, Job};
use kapell::sys::wall::Wall;

use super::Around;
use crate::figure::{Amount, Figure, Gate};
use crate::place::{KAPELL, Place};
use crate::rounds::{Rounds, timed};

const CASE: &str = "wall";

/// What the wall may add to a start.
const MOST: Duration = Duration::from_millis(1);

/// How many files and folders the person has in the home: each is granted by itself.
const IN_HOME: usize = 60;

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let place = Place::new(&around.folder, 3)?;
    let (session, _project) = place.session()?;
    let house = &session.house;
    for number in 0..IN_HOME {
        std::fs::create_dir_all(house.home.join(format!("folder-{number}")))?;
    }
    for folder in [".ssh", ".aws", ".gnupg", ".config/gh", ".local/share", ".claude", ".codex", ".cargo"] {
        std::fs::create_dir_all(house.home.join(folder))?;
    }
    let (plain, walled) = (Wall::off(), wall(&session, &place.project)?);
    let mut runs = 0;
    let rounds = {
        let mut started = |wall: &Wall| {
            runs += 1;
            start(house, &place.project, wall, runs)
        };
        let started = std::cell::RefCell::new(&mut started);
        let once = |wall: &Wall| (started.borrow_mut())(wall);
        once(&plain)?;
        once(&walled)?;
        Rounds::take(around.rounds(60), 3, &mut [Box::new(|| once(&walled)), Box::new(|| once(&plain))])?
    };
    let (with, without) = (rounds.median(0)?, rounds.median(1)?);
    Ok(vec![
        Figure::told(CASE, "`true` under a shim, walled", Amount::Time(with)).against(
            "without a wall",
            Amount::Time(without),
            Some(rounds.ratio_to(0, 1)?),
            Gate::None,
        ),
        Figure::told(CASE, "what the wall adds", Amount::Time(with.saturating_sub(without)))
            .limited(Amount::Time(MOST))
            .noting(format!("with {IN_HOME} folders in the home beside the secrets")),
    ])
}

/// The wall of an attempt as it is usual.
fn wall(session: &Session, folder: &Path) -> Result<Wall> {
    let ground = Ground {
        wish: Wish::Worktree,
        folder,
        writes: Writes::All,
        run_dir: &session.house.run_dir("a-bench"),
        caches: None,
    };
    ground.wall(&session.house).map_err(|refusal| anyhow::anyhow!("{}", refusal.message))
}

/// From the start of the shim to the end of what it ran.
fn start(house: &House, folder: &Path, wall: &Wall, number: usize) -> Result<Duration> {
    let name = format!("a-bench{number}");
    let run_dir = house.run_dir(&name);
    let mut job = Job::new(&name, vec!["/bin/true".into()], folder);
    job.wall = wall.clone();
    let (ended, time) = timed(|| {
        client::start(Path::new(KAPELL), &run_dir, &job)?.leave();
        Ok(client::wait(&run_dir)?)
    })?;
    match ended {
        Ended::Exit(exit) => ensure!((exit.ended, exit.code) == (Cause::Exited, Some(0)), "{exit:?}"),
        Ended::Vanished => anyhow::bail!("the shim vanished"),
    }
    std::fs::remove_dir_all(&run_dir)?;
    Ok(time)
}
