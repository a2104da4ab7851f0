//! What the wall adds to the start of a worker: `true` under a shim, with a wall and without.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kapell::base::ids::random_tail;
use kapell::services::walling::{Ground, Writes};
use kapell::services::{House, Session};
use kapell::sys::config::resolved::Wall as Wish;
use kapell::sys::shim::client::{self, Ended};
use kapell::sys::shim::job::{Cause, Job};
use kapell::sys::shim::spare::{MadeAhead, Spares};
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
    let spares = |wall: &Wall| {
        let ahead = MadeAhead { hidden: wall.hidden.clone(), ..MadeAhead::default() };
        let name = || format!("a-bench{}", random_tail(8));
        Spares::new(Path::new(KAPELL), &house.run_dir(""), ahead, 1, name)
    };
    let (spare_plain, spare_walled) = (spares(&plain), spares(&walled));
    let runs = std::cell::Cell::new(0);
    let once = |wall: &Wall, spares: Option<&Spares>| {
        runs.set(runs.get() + 1);
        if let Some(spares) = spares {
            spares.refill();
            // As it is when the conductor has something to start.
            spares.settle()?;
        }
        start(house, &place.project, wall, runs.get(), spares)
    };
    let rounds = Rounds::take(
        around.rounds(60),
        3,
        &mut [
            Box::new(|| once(&walled, Some(&spare_walled))),
            Box::new(|| once(&plain, Some(&spare_plain))),
            Box::new(|| once(&walled, None)),
            Box::new(|| once(&plain, None)),
        ],
    )?;
    let mut figures = Vec::new();
    for (how, walled, plain, limit) in
        [("a spare shim", 0, 1, Some(MOST)), ("a shim started for it", 2, 3, None)]
    {
        let (with, without) = (rounds.median(walled)?, rounds.median(plain)?);
        figures.push(Figure::told(CASE, format!("`true` under {how}, walled"), Amount::Time(with)).against(
            "without a wall",
            Amount::Time(without),
            Some(rounds.ratio_to(walled, plain)?),
            Gate::None,
        ));
        let adds = format!("what the wall adds under {how}");
        let figure = Figure::told(CASE, adds, Amount::Time(with.saturating_sub(without)));
        figures.push(match limit {
            Some(most) => figure
                .limited(Amount::Time(most))
                .noting(format!("with {IN_HOME} folders in the home beside the secrets")),
            None => figure.noting("the first of a plan, or more at once than there are spares"),
        });
    }
    Ok(figures)
}

/// The wall of an attempt as it is usual.
fn wall(session: &Session, folder: &Path) -> Result<Wall> {
    let ground = Ground {
        wish: Wish::Worktree,
        folder,
        writes: Writes::All,
        run_dir: &session.house.run_dir("a-bench"),
        caches: None,
        kept: &[],
    };
    ground.wall(&session.house).map_err(|refusal| anyhow::anyhow!("{}", refusal.message))
}

/// From the start of the shim to the end of what it ran.
fn start(
    house: &House,
    folder: &Path,
    wall: &Wall,
    number: usize,
    spares: Option<&Spares>,
) -> Result<Duration> {
    let reserved = spares.map(|spares| spares.reserve().context("there is a spare")).transpose()?;
    let name = reserved.unwrap_or_else(|| format!("a-bench{number}"));
    let run_dir = house.run_dir(&name);
    let mut job = Job::new(&name, vec!["/bin/true".into()], folder);
    job.wall = wall.clone();
    let (ended, time) = timed(|| {
        let _ = match spares {
            Some(spares) => spares.take(&run_dir).context("there is a spare")?.start(&job)?.leave(),
            None => client::start(Path::new(KAPELL), &run_dir, &job)?.leave(),
        };
        Ok(client::wait(&run_dir)?)
    })?;
    match ended {
        Ended::Exit(exit) => ensure!((exit.ended, exit.code) == (Cause::Exited, Some(0)), "{exit:?}"),
        Ended::Vanished => anyhow::bail!("the shim vanished"),
    }
    std::fs::remove_dir_all(&run_dir)?;
    Ok(time)
}
