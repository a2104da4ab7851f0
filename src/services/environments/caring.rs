//! Care: a verdict of each environment with its reason, beginning anew, and what is done at intervals.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::viewing::{self, SubView, View};
use super::{Failed, Ground, backing, databases, each, furnishing, git, guarding, keeping, working};
use crate::base::clock::Time;
use crate::domain::environment::{Care, Finding, Losses, verdict};
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, Session};
use crate::store::foreign::{self, Unsound};

/// An environment with its verdict.
#[derive(Debug, Clone)]
pub struct Checked {
    /// How it is.
    pub view: View,
    /// Of each sub-environment: `ok`, or what is wrong with its database.
    pub integrity: Vec<String>,
    /// `ok`, `attention` or `bad`.
    pub verdict: &'static str,
    /// Why it is not ok.
    pub reason: Option<String>,
}

/// Looks at one or all, also into their databases.
pub fn monitor(session: &Session, name: Option<&str>) -> Result<Vec<Checked>, Error> {
    let ground = Ground::of(session)?;
    let rows = ground.meant(name)?;
    let views = viewing::views(&ground, &rows)?;
    Ok(each(&views, super::at_once(), |view| checked(&ground, view)))
}

fn checked(ground: &Ground<'_>, view: &View) -> Checked {
    let sound = |sub: &SubView| match foreign::check(&sub.database) {
        Ok(()) if databases::is_emptied(&view.row, &sub.name) => {
            Err(Unsound::Damaged("somebody emptied the file".to_owned()))
        }
        other => other,
    };
    let sound: Vec<Result<(), Unsound>> = view.subs.iter().map(sound).collect();
    let integrity: Vec<String> = sound
        .iter()
        .map(|sound| sound.as_ref().err().map_or_else(|| "ok".to_owned(), ToString::to_string))
        .collect();
    let mut findings = Vec::new();
    let bad = |text: String| Finding::Bad(text);
    match (view.state(), &view.problem) {
        ("ready", None) => {}
        ("missing", _) => findings
            .push(bad(format!("its folder is gone: kapell env create {} makes it again", view.row.name))),
        (state, problem) => {
            let why = problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
            findings.push(bad(format!("it is {state}{why}")));
        }
    }
    for (sub, sound) in view.subs.iter().zip(&sound) {
        match (sub.state, &sub.reason, &sub.health) {
            ("crashed", Some(reason), _) => findings.push(bad(format!("{} crashed: {reason}", sub.name))),
            (_, _, Some(health)) if health != "ok" => {
                findings.push(bad(format!("{} is not well: {health}", sub.name)));
            }
            _ => {}
        }
        if view.state() != "ready" {
            continue;
        }
        let name = &view.row.name;
        match sound {
            Ok(()) => databases::note_damage(&view.row, &sub.name, None),
            Err(Unsound::Busy) => {
                findings.push(Finding::Note(format!("the database of {} is in use, and was not checked", sub.name)));
            }
            Err(Unsound::Gone) => findings.push(bad(format!(
                "the database of {} is gone: kapell env restore {name} brings it back, kapell env create {name} makes a new one",
                sub.name
            ))),
            Err(Unsound::Damaged(why)) => {
                databases::note_damage(&view.row, &sub.name, Some(why));
                findings.push(bad(format!(
                    "the database of {} is damaged: {why}; kapell env restore {name} brings an earlier one back",
                    sub.name
                )));
            }
        }
    }
    if let Some(look) = &view.look {
        let conflicts = look.changed.iter().filter(|file| file.how == "conflict").count();
        if conflicts > 0 {
            let what = view.under_way.unwrap_or("a merge");
            findings.push(bad(format!("{what} waits to be settled: {conflicts} conflicts")));
        }
        match (view.under_way, &look.branch) {
            (Some(what), _) => findings.push(Finding::Note(format!("{what} is under way"))),
            (None, None) => findings.push(Finding::Note("no branch is checked out".to_owned())),
            (None, Some(branch)) if look.head.is_none() => {
                findings.push(Finding::Note(format!("its branch {branch} has no commit yet")));
            }
            _ => {}
        }
        if !look.changed.is_empty() {
            findings.push(Finding::Note(format!("not committed: {}", look.changed.len())));
        }
    }
    findings.extend(view.unfetched_text().map(Finding::Note));
    if view.is_main_gone {
        let main = &view.row.main;
        findings.push(bad(format!("the branch {main}, which it follows, is gone from the project")));
    }
    if view.behind > 0 {
        findings.push(Finding::Note(format!("{} behind {}", view.behind, view.row.main)));
    }
    findings.extend(of_backups(ground, &view.row.name));
    let (verdict, reason) = verdict(&findings);
    Checked { view: view.clone(), integrity, verdict, reason }
}

/// What is to be said of its backups: that they are there says nothing of whether they can be restored.
fn of_backups(ground: &Ground<'_>, name: &str) -> Option<Finding> {
    let backing::Soundness { newest, damaged } = backing::soundness(ground, name);
    let again = format!("kapell env backup {name} makes another");
    match (newest, damaged.as_slice()) {
        (_, []) => None,
        (Some(newest), damaged) => Some(Finding::Note(format!(
            "damaged backups: {}; {newest} is whole; {again}",
            damaged.join(", ")
        ))),
        (None, damaged) => {
            Some(Finding::Bad(format!("no backup is whole, damaged are {}; {again}", damaged.join(", "))))
        }
    }
}

/// One that began anew.
#[derive(Debug)]
pub struct Anew {
    /// How it is.
    pub view: View,
    /// The ref that keeps the files that were there.
    pub kept: String,
    /// The databases that were there.
    pub aside: Vec<PathBuf>,
    /// The sub-environments whose services were stopped for it.
    pub stopped: Vec<String>,
}

/// Begins anew: the branch at the main branch, no files that nobody knows, databases as init makes them.
/// What was there is kept under a ref, databases beside the new ones.
pub fn reset(session: &Session, name: &str, force: bool) -> Result<Anew, Error> {
    let ground = Ground::of(session)?;
    let _hold = ground.hold(name)?;
    let row = ground.row(name)?;
    working::nobody_at_work(&ground, name, "reset")?;
    let beside = ground.open(&row)?;
    furnishing::require_own(&row, &beside)?;
    let mut losses = Losses::default();
    viewing::work(&ground, &row, &beside, &mut losses)?;
    let lines = losses.lines();
    if !lines.is_empty() && !force {
        return Err(Refusal::new(
            Code::Conflict,
            format!("{name} is not reset, because this would be undone: {}", lines.join("; ")),
            format!(
                "commit, merge and back up first, or kapell env reset {name} --force (files are kept under a ref, databases beside the new ones)"
            ),
        )
        .into());
    }
    backing::branch_is_free(&row, &beside, Some(&row.branch))?;
    let stopped = backing::stop_or_refuse(&ground, &row, force, "reset")?;
    let main = ground.main_tip(&row)?;
    beside.fetch(&ground.git, &row.main)?;
    let kept = keeping::snapshot(&ground, &row, &beside, "reset")?;
    if let Err(no) = guarding::nothing_lost(&row, "reset", &beside, &kept, &main, true) {
        beside.forget(&kept.reference)?;
        return Err(no);
    }
    let (before, kept) = (beside.look()?.head, kept.reference);
    backing::keep_branch(&beside, Some(&row.branch), &kept)?;
    beside.quit_operation()?;
    beside.begin_anew(&row.branch, &main)?;
    if let Some(before) = before {
        // One that stays behind is told as changed.
        beside.follow(&ground.git, &before, &main)?;
    }
    let (stamp, mut aside) = (keeping::stamp(), Vec::new());
    for sub in &row.subs {
        aside.extend(backing::put_aside(&ground, &row, &sub.name, "reset", &stamp)?);
    }
    furnishing::furnish(&ground, &row, &beside)?;
    ground.session.store()?.write(|tx| {
        let text = format!("{name} begins anew; what it had is kept as {kept}");
        tx.tell_of_environment(&ground.project.id, name, None, "environment.reset", text)
    })?;
    let row = ground.row(name)?;
    let view = viewing::views(&ground, std::slice::from_ref(&row))?.remove(0);
    Ok(Anew { view, kept, aside, stopped })
}

/// What was done, and how all are.
#[derive(Debug)]
pub struct Maintained {
    /// Each thing in a line.
    pub done: Vec<String>,
    /// How they are; empty where that was not looked at.
    pub checked: Vec<Checked>,
    /// What could not be done.
    pub failed: Vec<Failed>,
}

/// Does what is due, or what is named.
pub fn maintain(session: &Session, which: Option<&str>) -> Result<Maintained, Error> {
    let ground = Ground::of(session)?;
    let named = match which {
        None => None,
        Some(word) => Some(Care::ALL.into_iter().find(|care| care.as_str() == word).ok_or_else(|| {
            let message = format!("`{}` is not done at intervals", word.escape_debug());
            Refusal::new(Code::Usage, message, "daily, weekly and monthly are")
        })?),
    };
    let mut maintained = Maintained { done: Vec::new(), checked: Vec::new(), failed: Vec::new() };
    if ground.rows()?.is_empty() {
        maintained.done.push("nothing is due: this project has no environments".to_owned());
        return Ok(maintained);
    }
    // Health last: it is told as it is after all the rest.
    for care in [Care::Weekly, Care::Monthly, Care::Daily] {
        let last = session.store()?.read(|tx| tx.cared_at(&ground.project.id, care))?;
        let is_due = last.is_none_or(|last| care.is_due(Time::now().millis_since(last)));
        if named.map_or(is_due, |named| named == care) {
            let before = maintained.failed.len();
            one(&ground, care, &mut maintained)?;
            // What failed is due again the next time.
            if maintained.failed.len() == before {
                session.store()?.write(|tx| tx.set_cared(&ground.project.id, care))?;
            }
        }
    }
    if maintained.done.is_empty() {
        maintained.done.push("nothing is due".to_owned());
    }
    Ok(maintained)
}

fn one(ground: &Ground<'_>, care: Care, maintained: &mut Maintained) -> Result<(), Error> {
    let all = ground.rows()?.len();
    match care {
        Care::Daily => {
            maintained.checked = monitor(ground.session, None)?;
            let bad = maintained.checked.iter().filter(|it| it.verdict == "bad").count();
            maintained.done.push(format!("daily: {all} looked at, {bad} need somebody"));
        }
        Care::Weekly => {
            let synced = gather(all, maintained, git::sync(ground.session, None).map(|(_, failed)| failed));
            let backed =
                gather(all, maintained, backing::backup(ground.session, None).map(|(_, failed)| failed));
            maintained.done.push(format!("weekly: {synced} of {all} synced, {backed} of {all} backed up"));
        }
        Care::Monthly => {
            let (mut branches, mut logs) = (0, 0);
            for row in ground.rows()? {
                logs += row.subs.iter().filter(|sub| drop_old_log(&super::log(&row, &sub.name))).count();
                let cleaned = ground.hold(&row.name).and_then(|_hold| git::done(ground, &row, "clean", &[]));
                match cleaned {
                    Ok(gave) => branches += gave.branches.len(),
                    Err(error) => {
                        maintained.failed.push(Failed { name: row.name, sub: None, error: Box::new(error) });
                    }
                }
            }
            maintained.done.push(format!("monthly: {branches} merged branches and {logs} old logs deleted"));
        }
    }
    Ok(())
}

/// Deletes what was put aside of a log, once nobody wrote to it for a month; whether it did.
fn drop_old_log(log: &Path) -> bool {
    const MONTH: Duration = Duration::from_secs(28 * 24 * 3600);
    let old = log.with_extension("log.1");
    let written = std::fs::symlink_metadata(&old).and_then(|it| it.modified());
    let is_old = written.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > MONTH));
    is_old && std::fs::remove_file(&old).is_ok()
}

/// What failed for some, or for all: care goes on either way. Gives for how many of all it did not.
fn gather(all: usize, maintained: &mut Maintained, outcome: Result<Vec<Failed>, Error>) -> usize {
    match outcome {
        Ok(failed) => {
            let count = failed.len();
            maintained.failed.extend(failed);
            all.saturating_sub(count)
        }
        Err(error) => {
            maintained.failed.push(Failed { name: "all".to_owned(), sub: None, error: Box::new(error) });
            0
        }
    }
}
