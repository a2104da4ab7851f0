//! Environments: made, and looked at, against what git itself takes for that.

use std::fs;

use anyhow::{Result, ensure};

use super::Around;
use crate::figure::{Amount, Figure, Gate};
use crate::place::{KAPELL, Place};
use crate::rounds::{Rounds, Run, timed};

const CASE: &str = "environments";
/// Files of the repository.
const FILES: usize = 2000;
/// Environments at once.
const COUNT: usize = 5;

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let place = Place::new(&around.folder, FILES)?;
    let kapell = |words: &[&str]| -> Result<()> {
        let output = place.command(KAPELL, &[&["env"], words].concat()).output()?;
        ensure!(output.status.success(), "env {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    let count = COUNT.to_string();
    let create = || {
        let ((), time) = timed(|| kapell(&["create", "--count", &count]))?;
        for number in 1..=COUNT {
            kapell(&["remove", &format!("dev{number}")])?;
        }
        Ok(time)
    };
    let clones = place.project.with_file_name("clones");
    let clone = || {
        let ((), time) = timed(|| {
            for number in 0..COUNT {
                let to = clones.join(number.to_string()).to_string_lossy().into_owned();
                place.git(&["clone", "-q", "--local", ".", &to])?;
            }
            Ok(())
        })?;
        fs::remove_dir_all(&clones)?;
        Ok(time)
    };
    // The first of each warms what the system remembers.
    create()?;
    clone()?;
    let mut competitors: [Run<'_>; 2] = [Box::new(create), Box::new(clone)];
    let made = Rounds::take(around.rounds(10), 1, &mut competitors)?;
    kapell(&["create", "--count", &count])?;
    let status = || Ok(timed(|| kapell(&["status"]))?.1);
    let plain = || {
        let ((), time) = timed(|| {
            for number in 1..=COUNT {
                let at = place.project.with_file_name(format!("project-dev{number}"));
                place.git(&["-C", &at.to_string_lossy(), "status", "--porcelain"])?;
            }
            Ok(())
        })?;
        Ok(time)
    };
    status()?;
    plain()?;
    let mut competitors: [Run<'_>; 2] = [Box::new(status), Box::new(plain)];
    let looked = Rounds::take(around.rounds(20), 1, &mut competitors)?;
    let figure = |name: &str, rounds: &Rounds, peer: &str, most: f64| -> Result<Figure> {
        Ok(Figure::told(
            CASE,
            format!("{COUNT} environments of {FILES} files: {name}"),
            Amount::Time(rounds.median(0)?),
        )
        .against(
            peer,
            Amount::Time(rounds.median(1)?),
            Some(rounds.ratio_to(0, 1)?),
            Gate::TimesAtMost(most),
        ))
    };
    Ok(vec![
        figure("env create", &made, "5 git clone --local", 1.3)?,
        figure("env status", &looked, "5 git status", 2.0)?,
    ])
}
