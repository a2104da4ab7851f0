//! How environments are: from git, from locks and from what answers, at this moment.

use crate::base::sorting::Gather as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::place::Place;
use super::{Ground, at_once, databases, each, keeping, running};
use crate::base::clock::Time;
use crate::domain::environment::{Losses, Stage, some_of};
use crate::services::project::Project;
use crate::services::{Error, Session, querying};
use crate::store::attempts::Occupant;
use crate::store::environments::EnvironmentRow;
use crate::store::foreign;
use crate::sys::git::environment::{Beside, Look};
use crate::sys::git::holdings::{Of, tips};
use crate::sys::git::{Oid, checkout, discover, refs};

/// How long a service may take to say whether it is well.
const ANSWER: Duration = Duration::from_secs(2);

/// So many are asked at once.
const MOST_ASKED: usize = 32;

/// An environment as it is.
#[derive(Debug, Clone)]
pub struct View {
    /// What is recorded of it.
    pub row: EnvironmentRow,
    /// How its checkout is; `None` where it cannot be looked at.
    pub look: Option<Look>,
    /// Commits that the main branch does not have.
    pub ahead: u64,
    /// Commits of the main branch that it does not have.
    pub behind: u64,
    /// Why its checkout cannot be looked at.
    pub problem: Option<String>,
    /// What somebody is in the middle of there: a merge, a rebase.
    pub under_way: Option<&'static str>,
    /// Whether the branch that it follows is gone from the project.
    pub is_main_gone: bool,
    /// Submodules that nobody has fetched there.
    pub unfetched: Vec<String>,
    /// Its sub-environments.
    pub subs: Vec<SubView>,
    /// The worker that is bound to it.
    pub worker: Option<String>,
    /// How that worker is.
    pub worker_state: Option<&'static str>,
    /// Who is at work in it.
    pub at_work: Option<Occupant>,
}

/// A sub-environment as it is.
#[derive(Debug, Clone)]
pub struct SubView {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// `stopped`, `running` or `crashed`.
    pub state: &'static str,
    /// The service's process.
    pub pid: Option<i32>,
    /// The process that all of the service are below.
    pub root: Option<i32>,
    /// Since when it runs, or when it ended.
    pub since: Option<Time>,
    /// `ok`, or why it is not well; `None` where nobody can be asked, or it does not run.
    pub health: Option<String>,
    /// Why it crashed.
    pub reason: Option<String>,
    /// Where it crashed, the last it said.
    pub last_lines: Vec<String>,
    /// The size of its database.
    pub bytes: u64,
    /// Its database.
    pub database: PathBuf,
    /// Its log.
    pub log: PathBuf,
}

impl View {
    /// That submodules are not fetched, with what fetches them: a service may need them.
    pub fn unfetched_text(&self) -> Option<String> {
        let path = shell_words::quote(&self.row.path);
        (!self.unfetched.is_empty()).then(|| {
            format!(
                "submodules are not fetched: {}; git -C {path} submodule update --init --recursive fetches them",
                some_of(&self.unfetched)
            )
        })
    }

    /// `ready`, `creating`, `removing`, `missing` (its folder is gone) or `broken`.
    pub fn state(&self) -> &'static str {
        match (self.row.stage, &self.problem) {
            (Stage::Ready, Some(_)) if !Path::new(&self.row.path).is_dir() => "missing",
            (Stage::Ready, Some(_)) => "broken",
            (stage, _) => stage.as_str(),
        }
    }
}

/// All environments, or one.
pub fn list(session: &Session, name: Option<&str>) -> Result<Vec<View>, Error> {
    let ground = Ground::of_any(session)?;
    let rows = match name {
        Some(name) => vec![ground.row(name)?],
        None => ground.rows()?,
    };
    views(&ground, &rows)
}

/// What of the environments of a project needs somebody, as far as that is seen at a glance: nobody is asked, and
/// nothing is read through.
pub fn warnings(session: &Session, project: &Project) -> Result<Vec<String>, Error> {
    let rows = session.store()?.read(|tx| tx.environments(&project.id))?;
    let mut warnings = Vec::new();
    for row in rows.iter().filter(|row| row.stage == Stage::Ready) {
        let name = &row.name;
        let Ok(repository) = discover(Path::new(&row.path)) else {
            warnings.push(format!(
                "environment {name}: its folder is gone; kapell env create {name} makes it again"
            ));
            continue;
        };
        if let Some(what) = checkout::in_progress(&repository.git_dir) {
            warnings.push(format!("environment {name}: {what} is under way in {}", row.path));
        }
        for sub in &row.subs {
            let of = format!("environment {name}/{}", sub.name);
            if sub.is_wanted {
                let view = running::look(&session.house, row, sub);
                if let Some(reason) = view.reason.filter(|_| view.state == "crashed") {
                    warnings.push(format!(
                        "{of} crashed: {reason}; kapell env logs {name} {} says more",
                        sub.name
                    ));
                }
            }
            let file = super::database(row, &sub.name);
            let damage = match file.exists() {
                false => Some("is gone".to_owned()),
                true if databases::is_emptied(row, &sub.name) => Some("was emptied".to_owned()),
                true if !foreign::is_one(&file) => Some("is no SQLite database any more".to_owned()),
                true => databases::noted_damage(row, &sub.name).map(|why| format!("is damaged: {why}")),
            };
            if let Some(what) = damage {
                warnings
                    .push(format!("{of}: its database {what}; kapell env restore {name} brings one back"));
            }
        }
    }
    Ok(warnings)
}

/// How these are.
pub(super) fn views(ground: &Ground<'_>, rows: &[EnvironmentRow]) -> Result<Vec<View>, Error> {
    let states = worker_states(ground)?;
    let mut views = each(rows, at_once(), |row| view(ground, row));
    ask_all(ground, &mut views);
    ground.session.store()?.read(|tx| -> Result<(), Error> {
        for view in &mut views {
            view.at_work = tx.attempt_in(&ground.project.id, &view.row.name)?;
        }
        Ok(())
    })?;
    for view in &mut views {
        view.worker_state = view.worker.as_ref().and_then(|worker| states.get(worker).copied());
    }
    Ok(views)
}

/// How the workers are that are bound to environments.
fn worker_states(ground: &Ground<'_>) -> Result<BTreeMap<String, &'static str>, Error> {
    let config = &ground.config;
    if config.workers.values().all(|worker| worker.environment.is_none()) {
        return Ok(BTreeMap::new());
    }
    let budget = querying::budget(ground.session, config)?;
    let workers = querying::workers(ground.session, &ground.project, config, &budget)?;
    Ok(workers.into_iter().map(|worker| (worker.worker, worker.state)).gather())
}

fn view(ground: &Ground<'_>, row: &EnvironmentRow) -> View {
    let mut view = View {
        row: row.clone(),
        look: None,
        ahead: 0,
        behind: 0,
        problem: None,
        under_way: None,
        is_main_gone: false,
        unfetched: Vec::new(),
        subs: Vec::with_capacity(row.subs.len()),
        worker: worker_of(ground, &row.name),
        worker_state: None,
        at_work: None,
    };
    if let Err(error) = look_at(ground, &mut view) {
        view.problem = Some(error.to_string());
    }
    if row.stage == Stage::Creating && ground.try_hold(&row.name).is_ok_and(|hold| hold.is_some()) {
        let why =
            format!("it is not made to its end; kapell env create {} goes on, or says why not", row.name);
        view.problem = Some(why);
    }
    view.subs = row.subs.iter().map(|sub| running::look(&ground.session.house, row, sub)).collect();
    view
}

/// Asks all services that run how they are, all at once: one that accepts and never answers costs the others
/// nothing.
fn ask_all(ground: &Ground<'_>, views: &mut [View]) {
    let all = views.iter().enumerate().flat_map(|(at, view)| {
        let subs = view.subs.iter().enumerate().filter(|(_, sub)| sub.state == "running");
        subs.map(move |(of, sub)| (at, of, ground.probes(&view.row, &sub.name, sub.port)))
    });
    let asked: Vec<_> = all.filter(|(_, _, probes)| !probes.is_empty()).collect();
    let answers = each(&asked, MOST_ASKED, |(at, of, probes)| {
        ground.ask(probes, ANSWER)?;
        let (view, sub) = (&views[*at], &views[*at].subs[*of]);
        let run = view.row.sub(&sub.name).and_then(|sub| sub.run.as_deref());
        match (run, sub.root) {
            (Some(run), Some(root)) => {
                running::stranger(&ground.session.house, run, sub.port, root).map_or(Ok(()), Err)
            }
            _ => Ok(()),
        }
    });
    for ((at, of, _), answer) in asked.iter().zip(answers) {
        views[*at].subs[*of].health = Some(answer.err().unwrap_or_else(|| "ok".to_owned()));
    }
}

fn look_at(ground: &Ground<'_>, view: &mut View) -> Result<(), Error> {
    let beside = ground.open(&view.row)?;
    let look = beside.look()?;
    view.under_way = checkout::in_progress(&beside.tree.admin_dir);
    view.unfetched = beside.unfetched()?.iter().map(ToString::to_string).collect();
    let tip = refs::read(&ground.git, &format!("refs/heads/{}", view.row.main))?;
    view.is_main_gone = tip.is_none();
    if let (Some(ours), Some(theirs)) = (&look.head, &tip) {
        (view.ahead, view.behind) = beside.apart(&ground.git, ours, theirs)?;
    }
    view.look = Some(look);
    Ok(())
}

fn worker_of(ground: &Ground<'_>, name: &str) -> Option<String> {
    let mut bound = ground
        .config
        .workers
        .iter()
        .filter(|(_, it)| it.environment.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name)));
    bound.next().map(|(worker, _)| worker.to_string())
}

/// What would be lost if an environment went.
pub(super) fn losses(ground: &Ground<'_>, row: &EnvironmentRow, place: &Place) -> Result<Losses, Error> {
    let mut losses = Losses::default();
    running(ground, row, &mut losses);
    let by = ground.session.store()?.read(|tx| tx.attempt_in(&ground.project.id, &row.name))?;
    losses.workers.extend(by.map(|by| format!("{}, at {}/{}", by.worker, by.plan, by.task)));
    let Place::Ours(beside) = place else { return Ok(losses) };
    work(ground, row, beside, &mut losses)?;
    losses.aside = databases::unkept_aside(ground, row);
    losses.worktrees = beside.other_worktrees(&ground.git);
    let ignored = keeping::precious(beside, beside.ignored()?);
    losses.ignored = ignored.iter().map(ToString::to_string).collect();
    Ok(losses)
}

/// What of it runs.
pub(super) fn running(ground: &Ground<'_>, row: &EnvironmentRow, losses: &mut Losses) {
    for sub in &row.subs {
        let view = running::look(&ground.session.house, row, sub);
        if view.state == "running" {
            losses.running.push((sub.name.clone(), view.pid));
        }
    }
}

/// What of its work is nowhere else.
pub(super) fn work(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    beside: &Beside,
    losses: &mut Losses,
) -> Result<(), Error> {
    let look = beside.look()?;
    losses.under_way = checkout::in_progress(&beside.tree.admin_dir);
    losses.changed = look.changed.iter().map(|file| file.path.clone()).collect();
    let scratch = keeping::Scratch::new(ground)?;
    losses.changed.extend(beside.hidden(&scratch.0)?);
    for path in
        look.head.iter().map(|head| beside.modules_at_work(head)).collect::<Result<Vec<_>, _>>()?.concat()
    {
        let path = path.to_string();
        if !losses.changed.contains(&path) {
            losses.changed.push(path);
        }
    }
    let all: Vec<Oid> = tips(&ground.git)?;
    losses.unpushed = beside.outside(&ground.git, &all, look.head.as_ref(), Of::All)?;
    let main = refs::read(&ground.git, &format!("refs/heads/{}", row.main))?;
    losses.unmerged = beside.outside(&ground.git, main.as_slice(), look.head.as_ref(), Of::Work)?;
    losses.databases = databases::unkept(ground, row);
    Ok(())
}
