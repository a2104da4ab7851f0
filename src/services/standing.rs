//! Standing sessions: agents in tmux that people talk to, started and ended as a fleet, found where they
//! exist already, and typed into safely.

use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::project::Project;
use super::windows::{self, free_name, tmux};
use super::{Error, House, Session};
use crate::base::ids::{AttemptId, WorkerName};
use crate::base::sorting;
use crate::domain::refusal::{Code, Refusal};
use crate::domain::standing::{Listed, member, tmux_name, worker_names};
use crate::store::attempts::AttemptRow;
use crate::store::events::NewEvent;
use crate::sys::agent::{self, Program};
use crate::sys::config::Config;
use crate::sys::config::resolved::{Provider, ProviderKind, Runtime};
use crate::sys::process::find::find_program;
use crate::sys::process::tree::{self, Handle, Process};
use crate::sys::tmux::{NewSession, Opened, Tmux, TmuxError, stand::Stand};

mod roll;
mod typing;

pub use roll::add_sessions;
pub use typing::{Sent, send};

/// A program that ends this soon did not start.
const SETTLING: Duration = Duration::from_millis(300);
/// How long a program, and what it started, may take to end once its terminal is gone.
const GRACE: Duration = Duration::from_secs(5);

/// A session of the fleet that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The worker.
    pub worker: WorkerName,
    /// Whether Kapell started it for this project.
    pub is_ours: bool,
    /// The session.
    pub session: Listed,
}

impl Standing {
    /// The pane that is typed into: the one that Kapell started, else the one in front.
    fn pane(&self) -> String {
        let own = self.session.pane.clone().filter(|_| self.is_ours);
        own.unwrap_or_else(|| format!("{}:", self.session.id))
    }
}

/// What became of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Became {
    /// The worker.
    pub worker: String,
    /// The session's name, where there is or was one.
    pub session: Option<String>,
    /// `started`, `running`, `found` (somebody's own), `ended`, `not-running`, `not-ours` or `failed`.
    pub state: &'static str,
    /// Why, or what else is to know.
    pub why: Option<String>,
}

impl Became {
    fn new(worker: &WorkerName, session: Option<&str>, state: &'static str) -> Self {
        Self { worker: worker.to_string(), session: session.map(str::to_owned), state, why: None }
    }

    fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }
}

/// The sessions of the fleet that exist, ours first; none where there is no tmux.
pub fn found(session: &Session, project: &Project, config: &Config) -> Result<Vec<Standing>, Error> {
    match Tmux::find(&session.house.environment, &session.house.home) {
        Ok(tmux) => Ok(found_by(&tmux, project, config)?),
        Err(_) => Ok(Vec::new()),
    }
}

/// Those that are there for somebody: of Kapell's own, those whose program runs.
fn found_by(tmux: &Tmux, project: &Project, config: &Config) -> Result<Vec<Standing>, TmuxError> {
    let mut found = left_by(tmux, project, config)?;
    found.retain(|it| !it.is_ours || it.session.is_up);
    Ok(found)
}

/// Also those whose program ended, as long as its pane is kept. What has only panes of somebody's own is none.
fn left_by(tmux: &Tmux, project: &Project, config: &Config) -> Result<Vec<Standing>, TmuxError> {
    let is_placed = |name: &str| config.place(name).is_some();
    let mut found: Vec<Standing> = tmux
        .sessions()?
        .into_iter()
        .filter_map(|session| {
            let member = member(&session, &project.id, config.workers.keys(), is_placed)?;
            (!member.is_ours || session.pane.is_some()).then_some(Standing {
                worker: member.worker,
                is_ours: member.is_ours,
                session,
            })
        })
        .collect();
    sorting::sort_by_key(&mut found, |standing| !standing.is_ours);
    Ok(found)
}

/// Starts the sessions of these workers and groups; of all that are meant for people where none is named.
/// One that exists is left as it is, whoever started it.
pub fn up(
    session: &Session,
    project: &Project,
    config: &Config,
    names: &[String],
) -> Result<Vec<Became>, Error> {
    refuse_inside(&session.house)?;
    let tmux = tmux(&session.house)?;
    let workers = if names.is_empty() { meant_for_people(config) } else { named(config, names)? };
    if workers.is_empty() {
        let message = "there is no worker to start a session for";
        let hint = "name some in kapell.toml: [workers.NAME]";
        return Err(Refusal::new(Code::NotFound, message, hint).into());
    }
    let mut became = Vec::new();
    let mut started: Vec<(usize, Opened)> = Vec::new();
    for worker in &workers {
        match start(&tmux, session, project, config, worker) {
            Ok((outcome, opened)) => {
                started.extend(opened.map(|opened| (became.len(), opened)));
                became.push(outcome);
            }
            // The others are started all the same.
            Err(error) => became.push(Became::new(worker, None, "failed").because(reason(&error))),
        }
    }
    let settled = Instant::now() + SETTLING;
    for (at, opened) in started {
        let left = settled.saturating_duration_since(Instant::now());
        let is_over = match Handle::open(opened.pid) {
            Ok(Some(program)) => program.wait_for_end(left).unwrap_or(false) && cfg!(target_os = "linux"),
            _ => true,
        };
        if is_over {
            let argv = workers.get(at).and_then(|worker| command(config, worker).ok()).unwrap_or_default();
            let why = format!("it ended at once; try it by hand: {}", shell_words::join(argv));
            became[at].state = "failed";
            became[at].why = Some(why);
        }
    }
    for outcome in became.iter().filter(|outcome| outcome.state == "started") {
        tell(session, project, "session.started", outcome, "started in tmux session")?;
    }
    Ok(became)
}

/// Those that are shown in tmux, and those that never get a task: people talk to them. Everybody, where
/// nobody is either.
fn meant_for_people(config: &Config) -> Vec<WorkerName> {
    let is_meant = |worker: &WorkerName| {
        config.workers.get(worker).is_some_and(|it| it.protected || it.runtime == Runtime::Tmux)
    };
    let meant: Vec<WorkerName> = config.workers.keys().filter(|worker| is_meant(worker)).cloned().collect();
    if !meant.is_empty() {
        return meant;
    }
    let is_there = |provider| config.providers.get(provider).is_some_and(|it| it.is_available);
    config.workers.iter().filter(|(_, it)| is_there(&it.provider)).map(|(name, _)| name.clone()).collect()
}

/// The workers that are named, by themselves or by their group. A name that a pattern places is one too.
fn named(config: &Config, names: &[String]) -> Result<Vec<WorkerName>, Refusal> {
    let mut found = Vec::new();
    for name in names {
        let worker = WorkerName::new(name.clone());
        if let Some(group) = config.groups.get(name) {
            found.extend(group.members.iter().cloned());
        } else if config.workers.contains_key(&worker)
            || config.place(name).is_some_and(|placement| placement.provider.is_some())
        {
            found.push(worker);
        } else {
            return Err(nobody(config, name));
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|worker| seen.insert(worker.clone()));
    Ok(found)
}

fn nobody(config: &Config, name: &str) -> Refusal {
    let known: Vec<&str> = config.workers.keys().map(WorkerName::as_str).take(12).collect();
    let hint = match known.is_empty() {
        true => "name some in kapell.toml: [workers.NAME]".to_owned(),
        false => format!("there are {}", known.join(", ")),
    };
    Refusal::new(Code::NotFound, format!("no worker and no group is called {name}"), hint)
}

/// The program of a worker's session, and its provider.
fn provider<'c>(config: &'c Config, worker: &WorkerName) -> Result<&'c Provider, Refusal> {
    let placed = || config.place(worker.as_str()).and_then(|placement| placement.provider);
    let name = config.workers.get(worker).map(|it| it.provider.clone()).or_else(placed);
    name.and_then(|name| config.providers.get(&name)).ok_or_else(|| nobody(config, worker.as_str()))
}

fn command(config: &Config, worker: &WorkerName) -> Result<Vec<String>, Refusal> {
    let provider = provider(config, worker)?;
    if let Some(session) = &provider.session {
        return Ok(session.0.clone());
    }
    if provider.kind == ProviderKind::Ollama {
        return Err(Refusal::new(
            Code::Unsupported,
            format!("{worker} is a model of this machine, which has no session of its own"),
            "say what people talk to: session = [\"PROGRAM\"] under its provider in kapell.toml",
        ));
    }
    let kind = super::conductor::launching::kind_of(provider);
    agent::standing_command(kind, &provider.command.0, &provider.args, provider.model.as_deref()).ok_or_else(
        || {
            Refusal::new(
                Code::Unsupported,
                format!(
                    "the command of {worker} is for a single task: {}",
                    shell_words::join(&provider.command.0)
                ),
                "say what people talk to: session = [\"PROGRAM\"] under its provider in kapell.toml",
            )
        },
    )
}

fn start(
    tmux: &Tmux,
    session: &Session,
    project: &Project,
    config: &Config,
    worker: &WorkerName,
) -> Result<(Became, Option<Opened>), Error> {
    let house = &session.house;
    let provider = provider(config, worker)?;
    let mut argv = command(config, worker)?;
    let program = Program {
        kind: super::conductor::launching::kind_of(provider),
        command: &provider.command.0,
        args: &provider.args,
        env: (!provider.env.is_empty()).then_some(provider.env.as_slice()),
        set_env: &provider.set_env,
        model: provider.model.as_deref(),
        local: None,
    };
    let mut env = agent::standing_environment(&program, &house.home, &house.environment)
        .map_err(|bad| Error::system(format!("cannot start {worker}"), std::io::Error::other(bad)))?;
    let path = env.get("PATH").cloned().unwrap_or_default();
    match argv.first_mut() {
        Some(program) => match find_program(program, &path) {
            Some(found) => *program = found.to_string_lossy().into_owned(),
            None => {
                let message = format!("the program of {worker}, {program}, was not found");
                return Err(Refusal::new(Code::NotFound, message, "install it, or put it on the PATH").into());
            }
        },
        None => return Err(Error::Bug(format!("{worker} has an empty command"))),
    }
    // Its hooks find the same state, and its edits the same claims.
    env.insert("KAPELL_HOME".to_owned(), house.root.to_string_lossy().into_owned());
    env.insert("KAPELL_CONFIG".to_owned(), house.person_config.to_string_lossy().into_owned());
    let stand = Stand {
        argv: argv.into_iter().map(Into::into).collect(),
        env: env.into_iter().map(|(name, value)| (name.into(), value.into())).gather(),
        cwd: folder(project, config, worker)?,
    };
    let folder = house.root.join("standing").join(project.id.as_str()).join(tmux_name(worker.as_str()));
    let argv = [&house.program, Path::new("stand"), &folder].map(|word| word.to_string_lossy().into_owned());
    let names = worker_names(worker.as_str(), &project.title(), &project.id);
    // Again: another `fleet up` may come between.
    for _ in 0..4 {
        // Looked at first: what another `fleet up` starts after this is found, or its name is taken.
        let sessions = tmux.sessions()?;
        let left = left_by(tmux, project, config)?;
        if let Some(existing) = left.into_iter().find(|it| it.worker == *worker) {
            if existing.is_ours && !existing.session.is_up {
                // Looked at again: the name may be free then.
                end(tmux, &existing)?;
                continue;
            }
            let state = if existing.is_ours { "running" } else { "found" };
            return Ok((Became::new(worker, Some(&existing.session.name), state), None));
        }
        stand
            .write(&folder)
            .map_err(|error| Error::system(format!("cannot write {}", folder.display()), error))?;
        let Some(name) = free_name(&names, &sessions) else { return Err(TmuxError::Taken.into()) };
        let new = NewSession {
            name,
            window: &tmux_name(worker.as_str()),
            project: project.id.as_str(),
            worker: Some(worker.as_str()),
            argv: &argv,
        };
        match tmux.new_session(&new) {
            Ok(opened) => return Ok((Became::new(worker, Some(name), "started"), Some(opened))),
            Err(TmuxError::Taken) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(TmuxError::Taken.into())
}

/// The folder it works in: its environment's checkout beside the project, where there is one.
fn folder(project: &Project, config: &Config, worker: &WorkerName) -> Result<PathBuf, Refusal> {
    let top = project.top()?;
    let environment = config.workers.get(worker).and_then(|it| it.environment.as_deref());
    let beside = environment.and_then(|environment| {
        let name = top.file_name()?.to_string_lossy();
        Some(top.with_file_name(format!("{name}-{environment}"))).filter(|folder| folder.is_dir())
    });
    Ok(beside.unwrap_or_else(|| top.to_owned()))
}

/// Ends the sessions of these workers and groups, or all; only what Kapell started, and in a session in
/// which somebody opened windows of their own, only the window of Kapell's.
pub fn down(
    session: &Session,
    project: &Project,
    config: &Config,
    names: &[String],
) -> Result<Vec<Became>, Error> {
    refuse_inside(&session.house)?;
    let tmux = tmux(&session.house)?;
    let existing = left_by(&tmux, project, config)?;
    let ours =
        |worker: &WorkerName| existing.iter().filter(|it| it.is_ours && it.worker == *worker).collect();
    let wanted: Vec<(WorkerName, Vec<&Standing>)> = if names.is_empty() {
        existing.iter().filter(|it| it.is_ours).map(|it| (it.worker.clone(), vec![it])).collect()
    } else {
        // What is gone from the configuration is still ours to end.
        let is_ours = |name: &String| existing.iter().any(|it| it.is_ours && it.worker.as_str() == *name);
        let (left, known): (Vec<String>, Vec<String>) = names.iter().cloned().partition(is_ours);
        let left = left.into_iter().map(WorkerName::new);
        let mut all: Vec<WorkerName> = named_or_found(config, &existing, &known)?;
        all.extend(left);
        all.into_iter()
            .map(|worker| {
                let mine = ours(&worker);
                (worker, mine)
            })
            .collect()
    };
    let mut became = Vec::new();
    for (worker, mine) in wanted {
        let somebodys = existing.iter().find(|it| !it.is_ours && it.worker == worker);
        match (mine.is_empty(), somebodys) {
            (true, Some(other)) => {
                became.push(Became::new(&worker, Some(&other.session.name), "not-ours").because(format!(
                    "Kapell did not start it; tmux kill-session -t '={}' ends it",
                    other.session.name
                )));
            }
            (true, None) => became.push(Became::new(&worker, None, "not-running")),
            (false, _) => {
                for standing in mine {
                    let ended = end(&tmux, standing).unwrap_or_else(|error| {
                        let failed = Became::new(&worker, Some(&standing.session.name), "failed");
                        failed.because(error.to_string())
                    });
                    became.push(ended);
                }
            }
        }
    }
    for outcome in became.iter().filter(|outcome| outcome.state == "ended") {
        tell(session, project, "session.ended", outcome, "ended with its tmux session")?;
    }
    Ok(became)
}

/// The workers that are named, also those that only their sessions make known.
fn named_or_found(
    config: &Config,
    existing: &[Standing],
    names: &[String],
) -> Result<Vec<WorkerName>, Refusal> {
    let is_found = |name: &String| existing.iter().any(|it| it.worker.as_str() == *name);
    let (found, known): (Vec<String>, Vec<String>) =
        names.iter().cloned().partition(|name| is_found(name) && !config.groups.contains_key(name));
    let mut all = named(config, &known)?;
    all.extend(found.into_iter().map(WorkerName::new));
    Ok(all)
}

fn end(tmux: &Tmux, standing: &Standing) -> Result<Became, TmuxError> {
    let became = Became::new(&standing.worker, Some(&standing.session.name), "ended");
    let gone = || Became::new(&standing.worker, None, "not-running");
    let Some(own) = &standing.session.pane else { return Ok(gone()) };
    let pane = match tmux.pane(own) {
        Ok(pane) => pane,
        // What is left of the session is not ours.
        Err(TmuxError::Gone(_)) => return Ok(gone()),
        Err(error) => return Err(error),
    };
    let others = tmux.panes(&standing.session.id)?.len().saturating_sub(1);
    // Held before they are told to go, so that no other process is taken for one of them.
    let program = Handle::open(pane.pid).ok().flatten();
    let below = tree::descendants(pane.pid).into_iter().filter_map(Process::handle);
    // The number of one that has ended may be another's by now.
    let all: Vec<Handle> = program.into_iter().chain(below).filter(|_| !pane.is_dead).collect();
    match tmux.kill_pane(own) {
        Ok(()) | Err(TmuxError::Gone(_)) => {}
        Err(error) => return Err(error),
    }
    let deadline = Instant::now() + GRACE;
    for process in all {
        let left = deadline.saturating_duration_since(Instant::now());
        if !process.wait_for_end(left).unwrap_or(true) {
            // It has no terminal and takes no notice of it.
            let _ = process.signal(Signal::KILL);
        }
    }
    Ok(match others {
        0 => became,
        others => became.because(format!(
            "{others} pane{} of somebody's own stay{} in session {name}: tmux kill-session -t '={name}' ends that too",
            if others == 1 { "" } else { "s" },
            if others == 1 { "s" } else { "" },
            name = standing.session.name
        )),
    })
}

/// What a person comes to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The session's name.
    pub session: String,
    /// The window, of an attempt.
    pub window: Option<String>,
    /// The command that shows it.
    pub argv: Vec<String>,
}

/// The standing session of a worker of that name; or that of which it is the session's own name, which may look like
/// another worker's.
fn called<'s>(standing: &'s [Standing], config: &Config, name: &str) -> Option<&'s Standing> {
    let is_workers = config.workers.contains_key(&WorkerName::new(name));
    let by_worker = standing.iter().find(|it| it.worker.as_str() == name);
    by_worker.or_else(|| standing.iter().find(|it| !is_workers && it.session.name == name))
}

/// Finds what a name means to somebody who wants to look: a standing session, an attempt that runs or the
/// worker that does it; without a name the session that shows the attempts.
pub fn look(
    session: &Session,
    project: &Project,
    config: &Config,
    name: Option<&str>,
) -> Result<Attach, Error> {
    refuse_inside(&session.house)?;
    let tmux = tmux(&session.house)?;
    let surrounding =
        session.house.environment.get("TMUX").map(String::as_str).filter(|tmux| !tmux.is_empty());
    let attach = |name: &str, window: Option<String>, target: &str| Attach {
        session: name.to_owned(),
        window,
        argv: tmux.attach_argv(target, surrounding),
    };
    let Some(name) = name else {
        let sessions = tmux.sessions()?;
        let ours = sessions.iter().find(|it| crate::domain::standing::shows_attempts(it, &project.id));
        let ours = ours.ok_or_else(|| {
            Refusal::new(
                Code::NotFound,
                "no attempt of this project is shown in tmux",
                "runtime = \"tmux\" for a worker shows its attempts; kapell fleet attach NAME shows one that runs, or a standing session",
            )
        })?;
        return Ok(attach(&ours.name, None, &format!("{}:", ours.id)));
    };
    let standing = found_by(&tmux, project, config)?;
    if let Some(found) = called(&standing, config, name) {
        return Ok(attach(&found.session.name, None, &format!("{}:", found.session.id)));
    }
    let Some(row) = running(session, project, name)? else {
        let known: Vec<&str> = standing.iter().map(|it| it.worker.as_str()).take(12).collect();
        let there =
            if known.is_empty() { "none is up".to_owned() } else { format!("up are {}", known.join(", ")) };
        return Err(Refusal::new(
            Code::NotFound,
            format!("{name} is no standing session and runs no attempt"),
            format!("kapell fleet up {name} starts a session; {there}"),
        )
        .into());
    };
    let provider = config.providers.get(&row.provider).ok_or_else(|| {
        Refusal::new(
            Code::NotFound,
            format!("provider {} is gone from kapell.toml", row.provider),
            "name it again",
        )
    })?;
    let kind = super::conductor::launching::kind_of_run(Some(provider), Path::new(&row.run_dir));
    let place = windows::open(session, project, kind, &row)?;
    Ok(attach(&place.session, Some(place.window.clone()), &place.target()))
}

/// Shows it to the person at this terminal. Only returns where that cannot be.
pub fn attach(session: &Session, attach: &Attach) -> Error {
    match tmux(&session.house) {
        Ok(tmux) => Error::system("cannot start tmux", tmux.attach(&attach.argv, &session.house.environment)),
        Err(error) => error,
    }
}

/// The attempt of that id, or the newest that a worker of that name does now.
fn running(session: &Session, project: &Project, name: &str) -> Result<Option<AttemptRow>, Error> {
    let is_meant = |row: &AttemptRow| row.id == AttemptId::new(name) || row.worker.as_str() == name;
    let live = session.store()?.read(|tx| tx.all_live_attempts())?;
    Ok(live.into_iter().rev().find(|row| row.project == project.id && is_meant(row)))
}

/// The fleet is people's: a worker neither starts nor ends nor types into anything.
pub fn refuse_inside(house: &House) -> Result<(), Refusal> {
    match house.shim_socket() {
        None => Ok(()),
        Some(_) => Err(Refusal::new(
            Code::NotAllowed,
            "standing sessions are people's; a worker has no say in them",
            "kapell dispatch gives part of a task away, kapell report tells what was found",
        )),
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::Refused(refusal) => format!("{}; {}", refusal.message, refusal.hint),
        other => other.to_string(),
    }
}

fn tell(
    session: &Session,
    project: &Project,
    kind: &'static str,
    outcome: &Became,
    what: &str,
) -> Result<(), Error> {
    let name = outcome.session.as_deref().unwrap_or_default();
    let facts: BTreeMap<&str, &str> =
        [("worker", outcome.worker.as_str()), ("session", name)].into_iter().gather();
    session.store()?.write(|tx| -> Result<(), Error> {
        project.ensure(tx)?;
        tx.append_event(
            &project.id,
            &NewEvent {
                kind,
                holder: Some(session.caller.holder.name.as_str()),
                text: format!("{} {what} {name}", outcome.worker),
                data: Some(json!(facts).to_string()),
                ..NewEvent::default()
            },
        )?;
        Ok(())
    })
}
