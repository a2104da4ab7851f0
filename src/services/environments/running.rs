//! Services of environments: started under a shim, which outlives its starter and ends the whole tree, and
//! asked whether they are well.

use crate::base::sorting::Gather as _;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::furnishing::{self, fill};
use super::viewing::{self, SubView, View};
use super::{Failed, Ground, database, databases, each, ending, log, own_folder};
use crate::base::failpoint::Point;
use crate::base::ids::{AttemptId, random_tail};
use crate::domain::environment::Stage;
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, House, Session};
use crate::store::environments::{EnvironmentRow, SubRow};
use crate::sys::plain;
use crate::sys::probe::Probe;
use crate::sys::process::port;
use crate::sys::process::tree::Handle;
use crate::sys::shim::client;
use crate::sys::shim::files;
use crate::sys::shim::job::{Cause, Exit, Job, Request};

/// A service that ends this soon did not start.
const SETTLING: Duration = Duration::from_millis(300);
/// How often one that was started is asked whether it is well.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long it may take to answer while it starts.
const ANSWER: Duration = Duration::from_secs(2);
/// A log that is longer is put aside at the next launch.
const LONG_LOG: u64 = 10 << 20;
/// Lines of a log that say why something ended.
const LAST_LINES: usize = 8;
/// The file of a run that says how long its log was before.
const LOG_FROM: &str = "log-from";
/// The file of a run that says why it was stopped, if nobody wanted that.
const WHY: &str = "why";
/// The file of a run whose service was seen to listen at its port.
const LISTENED: &str = "listened";
/// So many services are started at once.
const AT_ONCE: usize = 32;

/// What came of it: how the environments are now, and what failed while something else did not.
pub type Outcome = (Vec<View>, Vec<Failed>);

/// A sub-environment, and what began with it until somebody takes that to wait for it.
type Begun<'s, T> = (&'s SubRow, Mutex<Option<Result<T, Error>>>);

/// Starts the services that are meant and do not run. `anew` stops them first; `moves` gives one whose
/// port is taken by a stranger the next free one.
pub fn launch(
    session: &Session,
    name: Option<&str>,
    sub: Option<&str>,
    anew: bool,
    moves: bool,
) -> Result<Outcome, Error> {
    let ground = Ground::of(session)?;
    if ground.config.environments.launch.is_none() {
        return Err(Refusal::new(
            Code::Unsupported,
            "the configuration does not say how a service is started",
            "launch = [\"PROGRAM\", \"--port\", \"{port}\"] under [environments] in kapell.toml",
        )
        .into());
    }
    let begin = |row: &EnvironmentRow, subs: &[SubRow]| {
        each(subs, AT_ONCE, |sub| {
            if anew {
                stop_one(&ground, row, sub)?;
            }
            launch_one(&ground, row, sub, moves)
        })
    };
    act(&ground, name, sub, begin, |row, sub, launched: Option<Launched>| match launched {
        Some(launched) => {
            wait_until_well(&ground, row, sub, &launched)?;
            if launched.is_new {
                forget_run(&ground, sub.run.as_deref());
            }
            Ok(())
        }
        None => Ok(()),
    })
}

/// Stops the services that are meant: told first, killed after the grace, with all that they started.
pub fn stop(session: &Session, name: Option<&str>, sub: Option<&str>) -> Result<Outcome, Error> {
    let ground = Ground::of_any(session)?;
    let stop = |row: &EnvironmentRow, subs: &[SubRow]| each(subs, AT_ONCE, |sub| stop_one(&ground, row, sub));
    act(&ground, name, sub, stop, |_, _, ()| Ok(()))
}

/// Does something with the sub-environments that are meant, environment by environment at once, each held;
/// and then what has to be waited for, while others may do something with them.
fn act<T: Send + Sync>(
    ground: &Ground<'_>,
    name: Option<&str>,
    sub: Option<&str>,
    act: impl Fn(&EnvironmentRow, &[SubRow]) -> Vec<Result<T, Error>> + Sync,
    then: impl Fn(&EnvironmentRow, &SubRow, T) -> Result<(), Error> + Sync,
) -> Result<Outcome, Error> {
    let rows = ground.meant(name)?;
    if let Some(sub) = sub {
        rows.iter().try_for_each(|row| known_sub(row, sub).map(drop))?;
    }
    let outcomes = each(&rows, AT_ONCE, |row| -> Result<Vec<Failed>, Error> {
        let hold = ground.hold(&row.name)?;
        // As it is now that nobody else changes it.
        let row = ground.row(&row.name)?;
        let subs: Vec<SubRow> =
            row.subs.iter().filter(|it| sub.is_none_or(|sub| sub == it.name)).cloned().collect();
        let begun = act(&row, &subs);
        drop(hold);
        let begun: Vec<Begun<'_, T>> =
            subs.iter().zip(begun.into_iter().map(|it| Mutex::new(Some(it)))).collect();
        let done = each(&begun, AT_ONCE, |(sub, begun)| {
            match begun.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(Ok(begun)) => then(&row, sub, begun),
                Some(Err(error)) => Err(error),
                None => Ok(()),
            }
        });
        let failed = subs.iter().zip(done).filter_map(|(sub, done)| Some((sub, done.err()?)));
        Ok(failed
            .map(|(sub, error)| Failed {
                name: row.name.clone(),
                sub: Some(sub.name.clone()),
                error: Box::new(error),
            })
            .collect())
    });
    let mut failed = Vec::new();
    for outcome in outcomes {
        failed.extend(outcome?);
    }
    let all = rows.iter().map(|row| if sub.is_some() { 1 } else { row.subs.len() }).sum();
    let failed = super::or_all_failed(all, failed)?;
    let names: BTreeSet<String> = rows.into_iter().map(|row| row.name).gather();
    let rows: Vec<EnvironmentRow> =
        ground.rows()?.into_iter().filter(|row| names.contains(&row.name)).collect();
    Ok((viewing::views(ground, &rows)?, failed))
}

/// A sub-environment by its name.
pub fn known_sub<'r>(row: &'r EnvironmentRow, sub: &str) -> Result<&'r SubRow, Refusal> {
    row.sub(sub).ok_or_else(|| {
        let known: Vec<&str> = row.subs.iter().map(|sub| sub.name.as_str()).collect();
        let message = format!("{} has no sub-environment `{}`", row.name, sub.escape_debug());
        Refusal::new(Code::NotFound, message, format!("it has {}", known.join(", ")))
    })
}

/// A service that was started, and is not known to be well yet.
struct Launched {
    run: String,
    /// Whose end is its end: its shim, or, where somebody else started it, the service itself.
    pid: i32,
    port: u16,
    /// Whether it was started just now; one that ran before is not stopped again.
    is_new: bool,
    /// How long its log was.
    before: u64,
}

/// Starts one; where it runs, and can be asked whether it is well, it is only waited for.
fn launch_one(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    sub: &SubRow,
    moves: bool,
) -> Result<Option<Launched>, Error> {
    if row.stage != Stage::Ready {
        let message = format!("{} is not whole: it is {}", row.name, row.stage.as_str());
        let hint = format!("kapell env create {} goes on with it", row.name);
        return Err(Refusal::new(Code::Conflict, message, hint).into());
    }
    furnishing::require_own(row, &ground.open(row)?)?;
    if let Some(run) = &sub.run {
        let run_dir = ground.session.house.run_dir(run);
        if client::is_alive(&run_dir) {
            let state = client::send(&run_dir, Request::State).ok().and_then(|reply| reply.state);
            let can_be_asked = !ground.probes(row, &sub.name, sub.port).is_empty();
            let before = log_from(&run_dir);
            return Ok(state.filter(|_| can_be_asked).map(|state| Launched {
                run: run.clone(),
                pid: state.pid,
                port: sub.port,
                is_new: false,
                before,
            }));
        }
        end_rest(ground, run)?;
    }
    let port = free_or_other(ground, row, sub, moves)?;
    let argv = {
        let launch = ground.config.environments.launch.as_ref().map_or(&[][..], |launch| &launch.0);
        let argv = ground.command(launch, row, &sub.name, port, &database(row, &sub.name));
        match argv.first() {
            Some(program) if ground.program(row, program).is_some() => argv,
            program => return Err(no_program(row, sub, program.map_or("", String::as_str)).into()),
        }
    };
    if databases::is_gone(row, &sub.name) {
        // An empty one in its place would look as if all were well.
        return Err(Refusal::new(
            Code::Conflict,
            format!(
                "the database of {}/{} is gone: {}",
                row.name,
                sub.name,
                database(row, &sub.name).display()
            ),
            format!(
                "kapell env restore {0} brings an earlier one back, kapell env create {0} makes a new one",
                row.name
            ),
        )
        .into());
    }
    furnishing::make_database(ground, row, &sub.name, port)?;
    let run = format!("e-{}", random_tail(10));
    ground
        .session
        .store()?
        .write(|tx| tx.set_sub_run(&ground.project.id, &row.name, &sub.name, Some(&run)))?;
    Point::EnvironmentLaunching.reach()?;
    let (shim, before) = start(ground, row, sub, port, &run, argv)?;
    write_pid(row, sub, &ground.session.house.run_dir(&run));
    let pid = i32::try_from(shim).unwrap_or(0);
    Ok(Some(Launched { run, pid, port, is_new: true, before }))
}

/// Why a service has no program.
fn no_program(row: &EnvironmentRow, sub: &SubRow, program: &str) -> Refusal {
    let of = format!("the program of {}/{}, {program},", row.name, sub.name);
    if !program.contains('/') {
        let hint = "install it, or put it on the PATH";
        return Refusal::new(Code::NotFound, format!("{of} was not found"), hint);
    }
    if Path::new(&row.path).join(program).is_file() {
        let hint = format!("chmod +x {}", shell_words::quote(program));
        return Refusal::new(Code::Unsupported, format!("{of} cannot be executed"), hint);
    }
    let hint =
        "mend launch under [environments] in kapell.toml: a name with a slash is looked for in the checkout";
    Refusal::new(Code::NotFound, format!("{of} is not there"), hint)
}

/// Takes away the run folder of an earlier launch; its log is elsewhere.
fn forget_run(ground: &Ground<'_>, run: Option<&str>) {
    if let Some(run) = run {
        // What stays of it is of no harm.
        let _ = fs::remove_dir_all(ground.session.house.run_dir(run));
    }
}

/// Its port where it is free, else the next one where that is wanted; else who has it.
fn free_or_other(ground: &Ground<'_>, row: &EnvironmentRow, sub: &SubRow, moves: bool) -> Result<u16, Error> {
    let holder = port::holder(sub.port)
        .map_err(|error| Error::system(format!("port {} cannot be used", sub.port), error))?;
    let Some(holder) = holder else { return Ok(sub.port) };
    if !moves {
        let mut refusal = Refusal::new(
            Code::Conflict,
            format!("port {} of {}/{} is taken by {holder}", sub.port, row.name, sub.name),
            format!(
                "end that, or kapell env launch {} {} --force takes the next free port",
                row.name, sub.name
            ),
        )
        .with("port", sub.port);
        if let port::Holder::Process { pid, .. } = holder {
            refusal = refusal.with("pid", pid);
        }
        return Err(refusal.into());
    }
    let port = ground.session.store()?.write(|tx| -> Result<u16, Error> {
        let mut taken: BTreeSet<u16> = tx.environment_ports()?.into_iter().gather();
        let port = super::creating::free_port(sub.port, 0, 1, 0, &mut taken)?;
        tx.set_sub_port(&ground.project.id, &row.name, &sub.name, port)?;
        Ok(port)
    })?;
    let row = ground.row(&row.name)?;
    furnishing::write_variables(&row, &ground.open(&row)?)?;
    Ok(port)
}

/// Starts its shim; the shim's process, and how long its log was.
fn start(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    sub: &SubRow,
    port: u16,
    run: &str,
    argv: Vec<String>,
) -> Result<(u32, u64), Error> {
    let house = &ground.session.house;
    let run_dir = house.run_dir(run);
    let log = log(row, &sub.name);
    let failed = |error| Error::system(format!("cannot prepare {}", log.display()), error);
    if fs::metadata(&log).is_ok_and(|log| log.len() > LONG_LOG) {
        fs::rename(&log, log.with_extension("log.1")).map_err(failed)?;
    }
    fs::File::options().append(true).create(true).open(&log).map_err(failed)?;
    let before = fs::metadata(&log).map_err(failed)?.len();
    fs::create_dir_all(&run_dir).map_err(failed)?;
    fs::write(run_dir.join(LOG_FROM), before.to_string()).map_err(failed)?;
    // Both streams are appended to the one log of the sub-environment.
    for stream in [files::STDOUT, files::STDERR] {
        symlink(&log, run_dir.join(stream)).map_err(failed)?;
    }
    let mut job = Job::new(run, argv.into_iter().map(Into::into).collect(), &row.path);
    job.env = ground.variables(row, &sub.name, port).into_iter().gather();
    job.grace_ms = ground.config.environments.grace_s.saturating_mul(1000);
    // A service has all the time that there is; its log is put aside when it is long.
    job.output_limit = u64::MAX / 4;
    job.errand = Some(ending::errand(ground, row, sub, run));
    let started = client::start(&house.program, &run_dir, &job).map_err(|error| {
        Error::system(format!("cannot start {}/{}", row.name, sub.name), std::io::Error::other(error))
    })?;
    let shim = started.shim.id();
    let _ = started.leave();
    Ok((shim, before))
}

/// How long the log of a run was when it began.
pub(super) fn log_from(run_dir: &Path) -> u64 {
    let text = fs::read_to_string(run_dir.join(LOG_FROM)).ok();
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Waits until it is well, or has ended; one that was started now and is not well in its time is stopped.
fn wait_until_well(
    ground: &Ground<'_>,
    row: &EnvironmentRow,
    sub: &SubRow,
    launched: &Launched,
) -> Result<(), Error> {
    let Launched { run, pid, port, is_new, before } = launched;
    let (port, before) = (*port, *before);
    let config = &ground.config.environments;
    let probes = ground.probes(row, &sub.name, port);
    let process = Handle::open(*pid).ok().flatten();
    // The pause between two questions ends at once when it does.
    let has_ended_within = |pause: Duration| match &process {
        Some(process) => process.wait_for_end(pause).unwrap_or(false) && cfg!(target_os = "linux"),
        None => true,
    };
    let run_dir = ground.session.house.run_dir(run);
    let until = Instant::now() + Duration::from_secs(config.launch_timeout_s);
    let mut pause = if probes.is_empty() { SETTLING } else { ASK_AGAIN / 4 };
    loop {
        if has_ended_within(pause) {
            // Of one that somebody else started, the shim ends after it.
            let _ = client::wait(&run_dir);
            let exit = client::read_exit(&run_dir).ok().flatten();
            let how = exit.as_ref().map_or_else(|| "its watcher was killed".to_owned(), ended);
            let how = fs::read_to_string(run_dir.join(WHY)).unwrap_or(how);
            forget_pid(row, &sub.name);
            return Err(did_not_start(row, sub, &how, before).into());
        }
        pause = ASK_AGAIN;
        let asked = ground.ask(&probes, ANSWER);
        let Err(why) = asked else {
            if *is_new && port::is_held_by(port, *pid) {
                // Where that cannot be written, a stranger that takes its place later is not told from it.
                let _ = fs::write(run_dir.join(LISTENED), "");
            }
            return Ok(());
        };
        let is_cancelled = ground.session.cancel.is_cancelled();
        if is_cancelled || Instant::now() >= until {
            if !is_new {
                let within = match is_cancelled {
                    true => "when the launch was interrupted".to_owned(),
                    false => format!("within {} s", config.launch_timeout_s),
                };
                return Err(Refusal::new(
                    Code::Conflict,
                    format!("{}/{} ran already, and was not well {within}: {why}", row.name, sub.name),
                    format!(
                        "kapell env logs {0} {1} says more, kapell env restart {0} {1} starts it anew",
                        row.name, sub.name
                    ),
                )
                .into());
            }
            let how = match is_cancelled {
                true => format!("the launch was interrupted before it was well, and it was stopped: {why}"),
                false => {
                    format!("it was not well within {} s, and was stopped: {why}", config.launch_timeout_s)
                }
            };
            // Whoever looks later is told the same.
            let _ = fs::write(run_dir.join(WHY), &how);
            stop_run(ground, run)?;
            forget_pid(row, &sub.name);
            return Err(did_not_start(row, sub, &how, before).into());
        }
    }
}

/// Keeps the process where scripts look for it.
fn write_pid(row: &EnvironmentRow, sub: &SubRow, run_dir: &Path) {
    if let Some(state) = client::send(run_dir, Request::State).ok().and_then(|reply| reply.state) {
        // For scripts only: Kapell itself asks the shim.
        let _ = fs::write(own_folder(row).join(format!("{}.pid", sub.name)), format!("{}\n", state.pid));
    }
}

/// Takes the record of a process away: its number may be another's soon.
fn forget_pid(row: &EnvironmentRow, sub: &str) {
    let _ = fs::remove_file(own_folder(row).join(format!("{sub}.pid")));
}

fn did_not_start(row: &EnvironmentRow, sub: &SubRow, how: &str, before: u64) -> Refusal {
    let lines = last_lines(&log(row, &sub.name), before);
    let said =
        if lines.is_empty() { "; it printed nothing".to_owned() } else { format!("\n{}", lines.join("\n")) };
    // By somebody else: there is nothing to mend.
    let mend = if how == STOPPED { "" } else { "mend it, then " };
    Refusal::new(
        Code::Conflict,
        format!("{}/{} did not start: {how}{said}", row.name, sub.name),
        format!("{mend}kapell env launch {} {}", row.name, sub.name),
    )
}

/// The last lines that a log got since it was that long.
pub(super) fn last_lines(log: &Path, since: u64) -> Vec<String> {
    let length = fs::metadata(log).map_or(0, |log| log.len());
    let new = usize::try_from(length.saturating_sub(since)).unwrap_or(usize::MAX);
    let bytes = plain::tail(log, new.min(8 << 10)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

/// What is said of one that somebody stopped.
const STOPPED: &str = "it was stopped";

/// How a service ended, as it stands after "did not start:" and the like.
pub(super) fn ended(exit: &Exit) -> String {
    let mut how = match (exit.ended, exit.code, exit.signal) {
        (Cause::NotStarted, ..) => {
            exit.reason.clone().unwrap_or_else(|| "it could not be started".to_owned())
        }
        (Cause::Stopped | Cause::Killed, ..) => STOPPED.to_owned(),
        (_, Some(code), _) => format!("it ended with exit code {code}"),
        (_, None, Some(signal)) => format!("it died of signal {signal}"),
        _ => "it ended".to_owned(),
    };
    if exit.ended == Cause::Exited && exit.leftovers > 0 {
        how.push_str(&format!(
            " and left {} in the background, ended too: have it stay in the foreground",
            if exit.leftovers == 1 {
                "a process".to_owned()
            } else {
                format!("{} processes", exit.leftovers)
            }
        ));
    }
    how
}

/// [`ended`], or why it was stopped though nobody wanted that.
pub(super) fn why_ended(run_dir: &Path, exit: &Exit) -> String {
    match exit.ended {
        Cause::Stopped | Cause::Killed => {
            fs::read_to_string(run_dir.join(WHY)).unwrap_or_else(|_| ended(exit))
        }
        _ => ended(exit),
    }
}

/// Stops one, and records that it is to be so.
pub(super) fn stop_one(ground: &Ground<'_>, row: &EnvironmentRow, sub: &SubRow) -> Result<(), Error> {
    let Some(run) = &sub.run else { return Ok(()) };
    if sub.is_wanted {
        // First what is wanted: whoever dies in between is asked again.
        ground.session.store()?.write(|tx| tx.set_sub_run(&ground.project.id, &row.name, &sub.name, None))?;
    }
    let run_dir = ground.session.house.run_dir(run);
    let had_watcher = client::is_alive(&run_dir) || !sub.is_wanted;
    stop_run(ground, run)?;
    forget_pid(row, &sub.name);
    still_held(row, sub, run_dir.as_path(), had_watcher)
}

/// Refuses to call a service stopped whose watcher was killed while a process of it may hold the port.
fn still_held(row: &EnvironmentRow, sub: &SubRow, run_dir: &Path, had_watcher: bool) -> Result<(), Error> {
    if had_watcher || client::has_ended(run_dir) {
        return Ok(());
    }
    let Ok(Some(holder @ port::Holder::Process { pid, .. })) = port::holder(sub.port) else { return Ok(()) };
    Err(Refusal::new(
        Code::Conflict,
        format!(
            "{}/{} is stopped as far as it could be found, but its port {} is still held by {holder}",
            row.name, sub.name, sub.port
        ),
        format!("look whether that is a process of it (ps -p {pid}), and end it"),
    )
    .with("pid", pid)
    .into())
}

fn stop_run(ground: &Ground<'_>, run: &str) -> Result<(), Error> {
    let run_dir = ground.session.house.run_dir(run);
    if client::is_alive(&run_dir) {
        let grace_ms = Some(ground.config.environments.grace_s.saturating_mul(1000));
        // One that has ended meanwhile need not be told.
        let _ = client::send(&run_dir, Request::Stop { grace_ms });
        client::wait(&run_dir)
            .map_err(|error| Error::system("cannot wait for its end", std::io::Error::other(error)))?;
    }
    end_rest(ground, run)
}

/// Ends what a killed shim left running.
fn end_rest(ground: &Ground<'_>, run: &str) -> Result<(), Error> {
    let run_dir = ground.session.house.run_dir(run);
    // Where somebody deleted the run's folder, what it started is found all the same.
    if !run_dir.exists() || client::was_started(&run_dir) && !client::has_ended(&run_dir) {
        client::kill_leftovers(&AttemptId::new(run))
            .map_err(|error| Error::system("cannot end what is left of it", error))?;
    }
    Ok(())
}

/// How a sub-environment is, without asking whether it is well.
pub(super) fn look(house: &House, row: &EnvironmentRow, sub: &SubRow) -> SubView {
    let database = database(row, &sub.name);
    let mut view = SubView {
        name: sub.name.clone(),
        port: sub.port,
        state: "stopped",
        pid: None,
        root: None,
        since: None,
        health: None,
        reason: None,
        last_lines: Vec::new(),
        bytes: fs::metadata(&database).map_or(0, |file| file.len()),
        database,
        log: log(row, &sub.name),
    };
    let Some(run) = &sub.run else { return view };
    let run_dir = house.run_dir(run);
    if client::is_alive(&run_dir) {
        let state = client::send(&run_dir, Request::State).ok().and_then(|reply| reply.state);
        view.state = "running";
        view.pid = state.as_ref().map(|state| state.pid);
        view.root = state.as_ref().map(|state| if state.shim > 0 { state.shim } else { state.pid });
        view.since = state.map(|state| state.started_at);
        return view;
    }
    if !sub.is_wanted {
        return view;
    }
    let reason = match client::read_exit(&run_dir) {
        Ok(None) if !run_dir.exists() && client::has_leftovers(&AttemptId::new(run)) => {
            "its run folder is gone, and nobody watches it; stop ends it".to_owned()
        }
        // Somebody recorded that it is to be started, and died over it.
        Ok(None) if !client::was_started(&run_dir) => return view,
        Ok(Some(exit)) => {
            view.since = Some(exit.ended_at);
            forget_pid(row, &sub.name);
            why_ended(&run_dir, &exit)
        }
        Ok(None) => "who watched it was killed; stop ends what is left of it".to_owned(),
        Err(error) => format!("how it ended cannot be read: {error}"),
    };
    view.state = "crashed";
    view.reason = Some(reason);
    view.last_lines = last_lines(&view.log, log_from(&run_dir));
    view
}

/// Who answers at the port of a service that was seen to listen there, and does so no longer.
pub(super) fn stranger(house: &House, run: &str, port: u16, root: i32) -> Option<String> {
    if !house.run_dir(run).join(LISTENED).exists() || port::is_held_by(port, root) {
        return None;
    }
    let holder = port::holder(port).ok().flatten();
    let who = holder.map_or_else(|| "somebody else".to_owned(), |holder| holder.to_string());
    Some(format!("it listens no longer: at its port {port} answers {who}"))
}

impl Ground<'_> {
    /// The address at which one answers whether it is well.
    pub(super) fn health_url(&self, row: &EnvironmentRow, sub: &str, port: u16) -> Option<String> {
        let url = self.config.environments.health.as_ref()?;
        Some(fill(url, row, sub, port, &database(row, sub)))
    }

    /// How one is started.
    pub(super) fn launch_line(&self, row: &EnvironmentRow, sub: &str, port: u16) -> Option<Vec<String>> {
        let launch = self.config.environments.launch.as_ref()?;
        Some(launch.0.iter().map(|word| fill(word, row, sub, port, &database(row, sub))).collect())
    }

    /// What is asked whether one is well.
    pub(super) fn probes(&self, row: &EnvironmentRow, sub: &str, port: u16) -> Vec<Probe> {
        let config = &self.config.environments;
        let address =
            self.health_url(row, sub, port).map(|url| Probe::Address { url, insecure: config.insecure_tls });
        let program = config.health_command.as_ref().map(|command| Probe::Program {
            argv: self.command(&command.0, row, sub, port, &database(row, sub)),
            env: self.variables(row, sub, port),
            cwd: row.path.clone().into(),
        });
        address.into_iter().chain(program).collect()
    }

    /// Asks all of them.
    pub(super) fn ask(&self, probes: &[Probe], limit: Duration) -> Result<(), String> {
        let path = self.session.house.environment.get("PATH").map_or("", String::as_str);
        probes.iter().try_for_each(|probe| probe.ask(path, limit))
    }
}

/// So many bytes of a log are read for its last lines.
const LONGEST_LOG: usize = 1 << 20;

/// The last lines of what is left of a log after its first `before` bytes. Where more was asked for than that has,
/// the first line says how much is not shown.
fn last_of(bytes: &[u8], before: u64, lines: usize, path: &Path) -> String {
    // What is left begins in the middle of a line, which is shown only where it is all that there is.
    let first = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    let is_all_one_line = first == bytes.len();
    let cut = match before {
        0 => 0,
        // Not in the middle of a letter, either.
        _ if is_all_one_line => bytes.iter().position(|byte| byte & 0xc0 != 0x80).unwrap_or(0),
        _ => first,
    };
    let text = String::from_utf8_lossy(&bytes[cut..]);
    let all: Vec<&str> = text.lines().collect();
    let mut shown = String::new();
    if before > 0 && (all.len() < lines || is_all_one_line) && lines > 0 {
        let left = before + cut as u64;
        let of = if is_all_one_line { " of this line, or lines before it," } else { "" };
        shown.push_str(&format!("[... {left} bytes{of} are left out: {} has all ...]\n", path.display()));
    }
    for line in &all[all.len().saturating_sub(lines)..] {
        shown.push_str(line);
        shown.push('\n');
    }
    shown
}

/// The last lines of a log.
pub fn logs(session: &Session, name: &str, sub: Option<&str>, lines: usize) -> Result<(View, String), Error> {
    let ground = Ground::of_any(session)?;
    let row = ground.row(name)?;
    let sub = match (sub, row.subs.as_slice()) {
        (Some(sub), _) => known_sub(&row, sub)?,
        (None, [only]) => only,
        (None, _) => {
            let known: Vec<&str> = row.subs.iter().map(|sub| sub.name.as_str()).collect();
            let message = format!("{name} has several logs");
            return Err(Refusal::new(Code::Usage, message, format!("say which: {}", known.join(", "))).into());
        }
    };
    let path = log(&row, &sub.name);
    let bytes = plain::tail(&path, LONGEST_LOG).unwrap_or_default();
    let before = fs::metadata(&path).map_or(0, |log| log.len()).saturating_sub(bytes.len() as u64);
    let last = last_of(&bytes, before, lines, &path);
    let mut view = viewing::views(&ground, std::slice::from_ref(&row))?.remove(0);
    view.subs.retain(|view| view.name == sub.name);
    Ok((view, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_of_a_log_is_left_out_is_said() {
        let path = Path::new("/dev.log");
        let shown = |text: &str, before, lines| last_of(text.as_bytes(), before, lines, path);
        assert_eq!(shown("", 0, 5), "");
        assert_eq!(shown("one\ntwo\n", 0, 5), "one\ntwo\n");
        assert_eq!(shown("one\ntwo\nthree", 0, 2), "two\nthree\n");
        // More than was asked for is there.
        assert_eq!(shown("e\ntwo\nthree\n", 7, 2), "two\nthree\n");
        assert_eq!(
            shown("e\ntwo\nthree\n", 7, 5),
            "[... 9 bytes are left out: /dev.log has all ...]\ntwo\nthree\n"
        );
        // The end of a line that is longer than all that is read.
        for end in ["", "\n"] {
            let text = format!("nd of a long line{end}");
            let left = "[... 7 bytes of this line, or lines before it, are left out: /dev.log has all ...]\n";
            assert_eq!(shown(&text, 7, 1), format!("{left}nd of a long line\n"));
        }
        assert!(last_of(&"é!".as_bytes()[1..], 9, 1, path).starts_with("[... 10 bytes of this line"));
    }
}
