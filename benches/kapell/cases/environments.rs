//! Environments: made, and looked at, against what git itself takes for that.

use std::cell::Cell;
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
    // What was made is removed at the end only: for five seconds ext4 gives away no number of a file that was
    // just deleted, and looks through all of them for each new file. Two that make files at once pay for
    // that twice, and that was half of the figure.
    let made = Cell::new(0);
    let create = || {
        let first = made.get() + 1;
        made.set(made.get() + COUNT);
        let names: Vec<String> = (first..first + COUNT).map(|number| format!("dev{number}")).collect();
        let words: Vec<&str> = std::iter::once("create").chain(names.iter().map(String::as_str)).collect();
        Ok(timed(|| kapell(&words))?.1)
    };
    let clones = place.project.with_file_name("clones");
    let cloned = Cell::new(0);
    let clone = || {
        let ((), time) = timed(|| {
            for _ in 0..COUNT {
                cloned.set(cloned.get() + 1);
                let to = clones.join(cloned.get().to_string()).to_string_lossy().into_owned();
                place.git(&["clone", "-q", "--local", ".", &to])?;
            }
            Ok(())
        })?;
        Ok(time)
    };
    // The first of each warms what the system remembers.
    create()?;
    clone()?;
    let mut competitors: [Run<'_>; 2] = [Box::new(create), Box::new(clone)];
    let rounds = Rounds::take(around.rounds(10), 1, &mut competitors)?;
    fs::remove_dir_all(&clones)?;
    for number in COUNT + 1..=made.get() {
        kapell(&["remove", &format!("dev{number}")])?;
    }
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
        figure("env create", &rounds, "5 git clone --local", 1.3)?,
        figure("env status", &looked, "5 git status", 2.0)?,
    ])
}
