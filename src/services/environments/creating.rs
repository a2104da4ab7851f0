//! Making environments. It can be done again at any moment: what is there stays, what is missing is made,
//! and what a killed process left half-done is done anew.

use crate::base::sorting::Gather as _;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::place::Place;
use super::viewing::{self, View};
use super::{Failed, Ground, at_once, each, furnishing, keeping};
use crate::base::clock::Time;
use crate::base::failpoint::Point;
use crate::domain::environment::{self as rules, Stage};
use crate::domain::refusal::{Code, Refusal};
use crate::domain::timer::Timer;
use crate::services::{Error, Session};
use crate::store::Tx;
use crate::store::environments::{EnvironmentRow, SubRow};
use crate::sys::git::environment::{self, Beside, Container};
use crate::sys::git::read::{self, Head};
use crate::sys::git::{Oid, land, refs};
use crate::sys::process::port;

/// Makes those that are named, or the first so many, or all that are configured.
pub fn create(
    session: &Session,
    names: &[String],
    count: Option<u32>,
) -> Result<(Vec<View>, Vec<Failed>), Error> {
    let ground = Ground::of(session)?;
    let names = rules::wanted(&ground.config.environments.names, names, count)?;
    let main = main_branch(&ground)?;
    room_for_branches(&ground)?;
    let (rows, mut failed) = record(&ground, &names, &main)?;
    Point::EnvironmentRecorded.reach()?;
    let make_one = |row: &EnvironmentRow| {
        ground.hold(&row.name).and_then(|_hold| make(&ground, &ground.row(&row.name)?))
    };
    let made = each(&rows, at_once(), |row| {
        let made = match make_one(row) {
            // Another call took it away while this one waited for it: that is over, and it is made anew.
            Err(Error::Refused(no)) if no.code == Code::NotFound && ground.row(&row.name).is_err() => {
                record(&ground, std::slice::from_ref(&row.name), &main).and_then(|(_, failed)| {
                    match failed.into_iter().next() {
                        Some(failed) => Err(*failed.error),
                        None => make_one(row),
                    }
                })
            }
            made => made,
        };
        made.map_err(|error| Failed { name: row.name.clone(), sub: None, error: Box::new(error) })
    });
    failed.extend(made.into_iter().filter_map(Result::err));
    let failed = super::or_all_failed(names.len(), failed)?;
    let rows = ground.rows()?.into_iter().filter(|row| names.contains(&row.name)).collect::<Vec<_>>();
    Ok((viewing::views(&ground, &rows)?, failed))
}

/// The branch that environments follow: the one that work lands on.
fn main_branch(ground: &Ground<'_>) -> Result<String, Error> {
    let name = match (&ground.config.target, read::head(&ground.git)?) {
        (Some(target), _) => target.trim_start_matches("refs/heads/").to_owned(),
        (None, Head::Branch { reference, .. }) => reference.trim_start_matches("refs/heads/").to_owned(),
        (None, Head::Detached(_)) => {
            return Err(Refusal::new(
                Code::Unsupported,
                "no branch is checked out in the project, so environments have none to follow",
                "check one out, or name it: target under [project] in kapell.toml",
            )
            .into());
        }
    };
    if refs::read(&ground.git, &format!("refs/heads/{name}"))?.is_none() {
        if ground.config.target.is_some() && read::resolve(&ground.git, "HEAD")?.is_some() {
            return Err(Refusal::new(
                Code::Unsupported,
                format!("the project has no branch {name}, which target under [project] names"),
                format!("git branch {name} makes it, or name another in kapell.toml"),
            )
            .into());
        }
        return Err(Refusal::new(
            Code::Unsupported,
            format!("the branch {name} has no commit yet"),
            "make a first one: git add -A && git commit -m first",
        )
        .into());
    }
    Ok(name)
}

/// Refuses where a branch has the name of the folder that the branches of environments are in.
fn room_for_branches(ground: &Ground<'_>) -> Result<(), Error> {
    if refs::read(&ground.git, "refs/heads/env")?.is_none() {
        return Ok(());
    }
    let message = "the project has a branch `env`, so that it can have none that is called env/NAME";
    Err(Refusal::new(Code::Conflict, message, "git branch -m env OTHER gives it another name").into())
}

/// Records those that are not known yet, with their ports, all in one transaction. What cannot be made, since
/// something lies in its place, is not recorded, and told.
fn record(
    ground: &Ground<'_>,
    names: &[String],
    main: &str,
) -> Result<(Vec<EnvironmentRow>, Vec<Failed>), Error> {
    let store = ground.session.store()?;
    let mut failed = Vec::new();
    store.write(|tx| -> Result<(), Error> {
        ground.project.ensure(tx)?;
        let known = tx.environments(&ground.project.id)?;
        let mut positions: BTreeSet<u32> = known.iter().map(|row| row.position).gather();
        let mut ports: BTreeSet<u16> = tx.environment_ports()?.into_iter().gather();
        for name in names {
            match known.iter().find(|row| row.name.eq_ignore_ascii_case(name)) {
                Some(row) if row.name == *name => add_subs(ground, tx, row, &mut ports)?,
                Some(row) => {
                    let message = format!("there is an environment {} already", row.name);
                    return Err(Refusal::new(Code::Conflict, message, rules::ONE_CASE).into());
                }
                None => {
                    let position = rules::position(&ground.config.environments.names, &positions, name);
                    let row = new_row(ground, name, position, main, &mut ports)?;
                    let no = match ground.place(&row)? {
                        Place::Foreign(why) => Some(occupied(&row, &why)),
                        _ => branch_elsewhere(ground, &row)?,
                    };
                    if let Some(no) = no {
                        let error = Box::new(no.into());
                        failed.push(Failed { name: name.clone(), sub: None, error });
                        continue;
                    }
                    if let Some((_, other)) = tx.environment_at(&row.path)? {
                        let message =
                            format!("{} is the folder of environment {other} of another project", row.path);
                        return Err(Refusal::new(Code::Conflict, message, "choose another name").into());
                    }
                    positions.insert(position);
                    tx.insert_environment(&ground.project.id, &row)?;
                }
            }
        }
        Ok(())
    })?;
    Ok((ground.rows()?.into_iter().filter(|row| names.contains(&row.name)).collect(), failed))
}

fn new_row(
    ground: &Ground<'_>,
    name: &str,
    position: u32,
    main: &str,
    ports: &mut BTreeSet<u16>,
) -> Result<EnvironmentRow, Error> {
    let config = &ground.config.environments;
    let path = ground.place_of(name);
    let path = path.to_str().filter(|_| ground.top().to_str().is_some()).ok_or_else(|| {
        let message = format!("the path of the project is no text: {}", ground.top().display());
        Refusal::new(Code::Unsupported, message, "move the project to a folder whose name is UTF-8")
    })?;
    let mut row = EnvironmentRow {
        name: name.to_owned(),
        position,
        path: path.to_owned(),
        branch: format!("env/{name}"),
        main: main.to_owned(),
        is_worktree: config.worktree,
        stage: Stage::Creating,
        created_at: Time::now(),
        subs: Vec::new(),
    };
    for (at, sub) in config.subs.iter().enumerate() {
        let port = free_port(config.base_port, position, config.subs.len(), at, ports)?;
        row.subs.push(SubRow { name: sub.clone(), port, run: None, is_wanted: false });
    }
    Ok(row)
}

/// Adds what the configuration has got meanwhile.
fn add_subs(
    ground: &Ground<'_>,
    tx: &Tx<'_>,
    row: &EnvironmentRow,
    ports: &mut BTreeSet<u16>,
) -> Result<(), Error> {
    let config = &ground.config.environments;
    for (at, name) in config.subs.iter().enumerate().filter(|(_, name)| row.sub(name).is_none()) {
        let port = free_port(config.base_port, row.position, config.subs.len(), at, ports)?;
        let sub = SubRow { name: name.clone(), port, run: None, is_wanted: false };
        tx.insert_sub(&ground.project.id, &row.name, &sub)?;
    }
    Ok(())
}

/// A port that neither an environment has nor anybody listens at.
pub(super) fn free_port(
    base: u16,
    position: u32,
    subs: usize,
    at: usize,
    taken: &mut BTreeSet<u16>,
) -> Result<u16, Refusal> {
    let is_free = |port| !taken.contains(&port) && port::is_free(port).unwrap_or(false);
    let port = rules::port(base, position, subs, at, is_free).ok_or_else(|| {
        let message = format!("there is no free port from {base} on");
        Refusal::new(Code::Busy, message, "choose a smaller base_port under [environments] in kapell.toml")
    })?;
    taken.insert(port);
    Ok(port)
}

/// Makes what is missing of one.
pub(super) fn make(ground: &Ground<'_>, row: &EnvironmentRow) -> Result<(), Error> {
    // One whose removal was begun and did not get far is taken back; of one that is on its way, the rest goes.
    if row.stage == Stage::Removing && !matches!(ground.place(row)?, Place::Ours(_)) {
        return Err(Refusal::new(
            Code::Conflict,
            format!("{} is being removed", row.name),
            format!("kapell env remove {} finishes that", row.name),
        )
        .into());
    }
    let beside = check_out(ground, row)?;
    Point::EnvironmentPlaced.reach()?;
    furnishing::furnish(ground, row, &beside)?;
    Point::EnvironmentMade.reach()?;
    ground.session.store()?.write(|tx| {
        let text = format!("environment {} is made: {}", row.name, row.path);
        tx.set_environment_stage(&ground.project.id, &row.name, Stage::Ready, text)
    })?;
    Ok(())
}

/// Its checkout, made where it is missing.
fn check_out(ground: &Ground<'_>, row: &EnvironmentRow) -> Result<Beside, Error> {
    let dest = Path::new(&row.path);
    let mark = ground.mark(row);
    match ground.place(row)? {
        Place::Ours(beside) => {
            environment::unlock(&beside.tree.admin_dir, &row.name)?;
            return Ok(*beside);
        }
        Place::Nothing | Place::Half => {}
        Place::Foreign(why) => return Err(occupied(row, &why).into()),
    }
    let base = base(ground, row)?;
    if row.is_worktree {
        let guard = ground.git.turn()?;
        let prefix = keeping::project_prefix(ground, row)?;
        let kept = environment::prune_worktree(&ground.git, &guard, dest, &prefix)?;
        if !kept.is_empty() {
            ground.session.store()?.write(|tx| {
                let text =
                    format!("the folder of {} was gone; what it had is kept: {}", row.name, kept.join(", "));
                tx.tell_of_environment(&ground.project.id, &row.name, None, "environment.kept", text)
            })?;
        }
        if let Some(no) = branch_elsewhere(ground, row)? {
            return Err(no.into());
        }
        environment::add_worktree(&ground.git, &guard, dest, &row.branch, &base, &row.name)?;
        let beside = Beside::open(&ground.git, dest)?;
        Point::EnvironmentCloned.reach()?;
        beside.mark(&mark)?;
        environment::unlock(&beside.tree.admin_dir, &row.name)?;
        return Ok(beside);
    }
    let part = Container::of(dest, ".part");
    let failed = |error| Error::system(format!("cannot make {}", row.path), error);
    part.make().map_err(failed)?;
    let tree = part.tree();
    let cloned = || -> Result<(), Error> {
        environment::clone(&ground.git, &tree, &row.branch, &base)?;
        let beside = Beside::open(&ground.git, &tree)?;
        beside.mark(&mark)?;
        Point::EnvironmentCloned.reach()?;
        fs::rename(&tree, dest).map_err(failed)
    };
    let cloned = cloned();
    // A full disk is no fuller for it.
    part.delete().map_err(failed)?;
    cloned?;
    Ok(Beside::open(&ground.git, dest)?)
}

/// Refuses a place that is somebody else's.
fn occupied(row: &EnvironmentRow, why: &str) -> Refusal {
    Refusal::new(
        Code::Conflict,
        format!("{} is there already, and is no environment of this project: {why}", row.path),
        "move it away, or choose another name",
    )
}

/// That another checkout has the branch of a worktree: git checks one out only once.
fn branch_elsewhere(ground: &Ground<'_>, row: &EnvironmentRow) -> Result<Option<Refusal>, Error> {
    if !row.is_worktree {
        return Ok(None);
    }
    let found = land::checked_out(&ground.git, &format!("refs/heads/{}", row.branch))?;
    Ok(found.filter(|path| path != Path::new(&row.path)).map(|path| {
        let hint = match path.exists() {
            true => "check something else out there",
            false => "nothing is there any more: git worktree prune forgets it",
        };
        let message =
            format!("{} cannot be made: {} is checked out in {}", row.name, row.branch, path.display());
        Refusal::new(Code::Conflict, message, format!("{hint}, then kapell env create {}", row.name))
    }))
}

/// Where it begins: at its branch, where the project has that with work that is not merged; else where
/// the main branch is.
fn base(ground: &Ground<'_>, row: &EnvironmentRow) -> Result<Oid, Error> {
    let main = ground.main_tip(row)?;
    let own = refs::read(&ground.git, &format!("refs/heads/{}", row.branch))?;
    Ok(match own {
        Some(own) if !read::is_ancestor(&ground.git, &own, &main)? => own,
        _ => main,
    })
}

/// Everything about the environments of a project, for other programs.
pub fn export(session: &Session) -> Result<Value, Error> {
    let ground = Ground::of(session)?;
    let rows = ground.rows()?;
    let views = viewing::views(&ground, &rows)?;
    let environments: Vec<Value> = views.iter().map(|view| exported(&ground, view)).collect();
    Ok(json!({
        "project": ground.top().to_string_lossy(),
        "base_port": ground.config.environments.base_port,
        "exported_at": Time::now().to_string(),
        "environments": environments,
        "timers": timers(&ground),
    }))
}

/// What runs the care of a project every day.
fn timers(ground: &Ground<'_>) -> Value {
    let house = &ground.session.house;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (program, folder) = (text(&house.program), text(&ground.top()));
    let all = [("KAPELL_HOME", text(&house.root)), ("KAPELL_CONFIG", text(&house.person_config))];
    let told = all.iter().filter(|(name, _)| house.environment.get(*name).is_some_and(|it| !it.is_empty()));
    let variables: Vec<(&str, &str)> = told.map(|(name, value)| (*name, value.as_str())).collect();
    let timer =
        Timer { program: &program, folder: &folder, id: ground.project.id.as_str(), variables: &variables };
    json!({"cron": timer.cron(), "systemd": timer.systemd()})
}

fn exported(ground: &Ground<'_>, view: &View) -> Value {
    let row = &view.row;
    let subs: Vec<Value> = view
        .subs
        .iter()
        .map(|sub| {
            json!({
                "name": sub.name, "port": sub.port, "state": sub.state, "pid": sub.pid,
                "database": sub.database.to_string_lossy(), "bytes": sub.bytes, "log": sub.log.to_string_lossy(),
                "health": ground.health_url(row, &sub.name, sub.port),
                "launch": ground.launch_line(row, &sub.name, sub.port),
            })
        })
        .collect();
    json!({
        "name": row.name, "path": row.path, "branch": row.branch, "main": row.main,
        "kind": if row.is_worktree { "worktree" } else { "clone" }, "state": view.state(),
        "head": view.look.as_ref().and_then(|look| look.head.as_ref()).map(Oid::as_str),
        "created_at": row.created_at.to_string(), "worker": view.worker, "subs": subs,
    })
}
