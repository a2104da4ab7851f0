//! Care: a verdict of each environment with its reason, beginning anew, and what is done at intervals.

use super::viewing::{self, View};
use super::{Failed, Ground, backing, each, furnishing, git, keeping, working};
use crate::base::clock::Time;
use crate::domain::environment::{Care, Finding, Losses, verdict};
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, Session};
use crate::store::foreign;

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
    Ok(each(&views, super::at_once(), checked))
}

fn checked(view: &View) -> Checked {
    let integrity: Vec<String> = view
        .subs
        .iter()
        .map(|sub| foreign::check(&sub.database).err().unwrap_or_else(|| "ok".to_owned()))
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
    for (sub, integrity) in view.subs.iter().zip(&integrity) {
        match (sub.state, &sub.reason, &sub.health) {
            ("crashed", Some(reason), _) => findings.push(bad(format!("{} crashed: {reason}", sub.name))),
            (_, _, Some(health)) if health != "ok" => {
                findings.push(bad(format!("{} is not well: {health}", sub.name)));
            }
            _ => {}
        }
        if integrity != "ok" && view.state() == "ready" {
            findings.push(bad(format!("the database of {} is damaged: {integrity}", sub.name)));
        }
    }
    if let Some(look) = &view.look {
        let conflicts = look.changed.iter().filter(|file| file.how == "conflict").count();
        if conflicts > 0 {
            findings.push(bad(format!("a merge waits to be settled: {conflicts} conflicts")));
        }
        if look.branch.is_none() {
            findings.push(Finding::Note("no branch is checked out".to_owned()));
        }
        if !look.changed.is_empty() {
            findings.push(Finding::Note(format!("not committed: {}", look.changed.len())));
        }
    }
    if view.behind > 0 {
        findings.push(Finding::Note(format!("{} behind {}", view.behind, view.row.main)));
    }
    let (verdict, reason) = verdict(&findings);
    Checked { view: view.clone(), integrity, verdict, reason }
}

/// Begins anew: the branch at the main branch, no files that nobody knows, databases as init makes them.
/// What was there is kept under a ref, databases beside the new ones. Gives that ref.
pub fn reset(session: &Session, name: &str, force: bool) -> Result<(View, String), Error> {
    let ground = Ground::of(session)?;
    let _hold = ground.hold(name)?;
    let row = ground.row(name)?;
    working::nobody_at_work(&ground, name, "reset")?;
    let beside = ground.open(&row)?;
    let mut losses = Losses::default();
    viewing::work(&ground, &row, &beside, &mut losses)?;
    let lines = losses.lines();
    if !lines.is_empty() && !force {
        return Err(Refusal::new(
            Code::Conflict,
            format!("{name} is not reset, because this would be undone: {}", lines.join("; ")),
            format!(
                "commit and merge first, or kapell env reset {name} --force (all of it is kept under a ref)"
            ),
        )
        .into());
    }
    backing::stop_or_refuse(&ground, &row, force, "reset")?;
    let main = ground.main_tip(&row)?;
    beside.fetch(&ground.git, &row.main)?;
    let kept = keeping::snapshot(&ground, &row, &beside, "reset")?.0;
    backing::keep_branch(&beside, Some(&row.branch), &kept)?;
    beside.begin_anew(&row.branch, &main)?;
    for sub in &row.subs {
        backing::put_aside(&row, &sub.name, "before-reset")?;
    }
    furnishing::furnish(&ground, &row, &beside)?;
    ground.session.store()?.write(|tx| {
        let text = format!("{name} begins anew; what it had is kept as {kept}");
        tx.tell_of_environment(&ground.project.id, name, None, "environment.reset", text)
    })?;
    let row = ground.row(name)?;
    Ok((viewing::views(&ground, std::slice::from_ref(&row))?.remove(0), kept))
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
    ground.meant(None)?;
    let named = match which {
        None => None,
        Some(word) => Some(Care::ALL.into_iter().find(|care| care.as_str() == word).ok_or_else(|| {
            let message = format!("`{}` is not done at intervals", word.escape_debug());
            Refusal::new(Code::Usage, message, "daily, weekly and monthly are")
        })?),
    };
    let mut maintained = Maintained { done: Vec::new(), checked: Vec::new(), failed: Vec::new() };
    // Health last: it is told as it is after all the rest.
    for care in [Care::Weekly, Care::Monthly, Care::Daily] {
        let last = session.store()?.read(|tx| tx.cared_at(&ground.project.id, care))?;
        let is_due = last.is_none_or(|last| care.is_due(Time::now().millis_since(last)));
        if named.map_or(is_due, |named| named == care) {
            one(&ground, care, &mut maintained)?;
            session.store()?.write(|tx| tx.set_cared(&ground.project.id, care))?;
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
            let mut branches = 0;
            for row in ground.rows()? {
                let cleaned = ground.hold(&row.name).and_then(|_hold| git::done(ground, &row, "clean", &[]));
                match cleaned {
                    Ok(gave) => branches += gave.branches.len(),
                    Err(error) => {
                        maintained.failed.push(Failed { name: row.name, sub: None, error: Box::new(error) });
                    }
                }
            }
            maintained.done.push(format!("monthly: {branches} merged branches deleted"));
        }
    }
    Ok(())
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
