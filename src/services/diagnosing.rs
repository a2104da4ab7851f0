//! What stands in the way of working, found by trying it: git merges, a lock holds, a
//! database takes a row, a file's change is noticed, an agent answers.
//!
//! Nothing is changed: what is tried, is tried in a folder of its own that is removed again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::conductor::desk::effective_rules;
use super::planning::proving;
use super::project::Project;
use super::{Error, Session, windows};
use crate::base::clock::Time;
use crate::base::ids::{ProjectId, random_tail};
use crate::store::events::{EventFilter, NewEvent};
use crate::store::watch::{Watch, Woken};
use crate::store::{Store, StoreError, Tx};
use crate::sys::config::ecosystem;
use crate::sys::disk::{room, says_full};
use crate::sys::process::life::{self, Life};
use crate::sys::process::spawn::{self, End, Limits};
use crate::sys::wall::{self, WallSupport};

mod agents;
pub mod disk;
mod git;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Works, but somebody should know.
    Warn,
    /// Does not work.
    Fail,
}

impl Outcome {
    /// The word for scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found. Never a secret.
    pub found: String,
    /// The next step, where there is one to take.
    pub next: Option<String>,
}

impl Check {
    /// As it should be.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Ok, found: found.into(), next: None }
    }

    /// Without room nothing else is to be mended first, whatever it was that found none.
    fn with(name: &'static str, outcome: Outcome, found: String, next: String) -> Self {
        let next = if says_full(&found) { MAKE_ROOM.to_owned() } else { next };
        Self { name, outcome, found, next: Some(next) }
    }

    /// Works, with a reservation.
    pub fn warn(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::with(name, Outcome::Warn, found.into(), next.into())
    }

    /// Does not work.
    pub fn fail(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::with(name, Outcome::Fail, found.into(), next.into())
    }
}

/// What to do on a disk without room.
const MAKE_ROOM: &str = "make room; old worktrees are the largest part of the state folder";

/// The longest that a program may take to say its version.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The longest until a changed file is noticed; it takes milliseconds where it works.
const NOTICE_LIMIT: Duration = Duration::from_secs(5);
/// Worktrees and logs of one plan may need this much; below it, work ends soon.
const LITTLE_SPACE: u64 = 2 << 30;
/// Below this, not even the database is safe.
const NO_SPACE: u64 = 200 << 20;
/// Two clocks of one machine agree far better than this.
const CLOCK_SLACK_MS: i64 = 5_000;

/// Tries everything, telling `begin` what comes next.
pub fn diagnose(session: &Session, begin: &mut dyn FnMut(&str)) -> Vec<Check> {
    let mut checks = Vec::new();
    begin("the state folder");
    let root = &session.house.root;
    let scratch = match Scratch::make(&root.join("tmp")) {
        Ok(scratch) => {
            checks.push(locks(root, &scratch.0));
            checks.push(notices(&scratch.0));
            Ok(scratch)
        }
        Err(error) => {
            let next = "make it writable, or name another folder in KAPELL_HOME";
            checks.push(Check::fail("state folder", format!("{}: {error}", root.display()), next));
            // What does not rest on it is tried elsewhere.
            Scratch::make(&std::env::temp_dir())
        }
    };
    begin("the store");
    checks.push(store(session));
    if let Ok(scratch) = &scratch {
        checks.push(clock(session, &scratch.0));
    }
    let project = session.project();
    checks.push(disk::check(&session.house.root));
    checks.push(space("state disk", &session.house.root));
    if let Ok(Project { top: Some(top), .. }) = &project {
        checks.push(space("project disk", top));
    }
    begin("git");
    match &scratch {
        Ok(scratch) => checks.push(git::program(session, &scratch.0)),
        Err(error) => checks.push(Check::fail(
            "folder for trials",
            error.to_string(),
            "git, the wall and the agents were not tried: set TMPDIR to a folder that can be written",
        )),
    }
    checks.push(match project {
        Ok(project) => git::repository(session, &project),
        Err(error) => Check::fail(
            "project",
            error.to_string(),
            hint(&error, "start kapell in a folder that can be read"),
        ),
    });
    checks.push(configuration(session));
    checks.extend(tests(session));
    checks.extend(filters(session));
    checks.extend(tmux(session));
    if let Ok(scratch) = &scratch {
        begin("the wall");
        checks.push(wall_around(&scratch.0));
        begin("the agents");
        checks.extend(agents::all(session, &scratch.0));
    }
    checks.push(agents::local(session));
    checks
}

/// Whether the tests that prove code can be run here.
fn tests(session: &Session) -> Option<Check> {
    const NAME: &str = "tests";
    const NEXT: &str = "install it, give its folder in PATH, or set rules.test in kapell.toml";
    let project = session.project().ok()?;
    let config = session.config(&project).ok()?;
    let rules = effective_rules(&[&config.rules], &ecosystem::find(project.top().ok()?));
    let Some(command) = rules.test else {
        let found = "no test command is known: what is written is run by nobody before it lands";
        return rules.tdd.unwrap_or(true).then(|| Check::warn(NAME, found, "set rules.test in kapell.toml"));
    };
    let shown = shell_words::join(&command.0);
    Some(match proving::missing_program(&session.house, &command) {
        Some(program) => Check::warn(
            NAME,
            format!("`{shown}` cannot be run, there is no program {program}: no code would be approved"),
            NEXT,
        ),
        None => Check::ok(NAME, format!("`{shown}` proves what is written")),
    })
}

/// Whether files of the project pass through filters, which workers do not have.
fn filters(session: &Session) -> Option<Check> {
    let found = proving::filters(&session.project().ok()?);
    let (names, filter) = found.first()?;
    let more = if found.len() > 1 { format!(" and {} more", found.len() - 1) } else { String::new() };
    Some(Check::warn(
        "filters",
        format!(
            "{names}{more} passes through the filter {filter} in your checkout, and not where workers are"
        ),
        "leave such files to a person: what a worker writes of them lands unfiltered",
    ))
}

/// tmux, where it is there or a worker wants it.
fn tmux(session: &Session) -> Option<Check> {
    let config = session.project().and_then(|project| session.config(&project)).ok();
    let is_wanted = config.as_ref().is_some_and(windows::are_any_wanted);
    if let Some(missing) = config.and_then(|config| windows::missing(&session.house, &config)) {
        let (found, next) = missing.split_once("; ").unwrap_or((&missing, "install tmux"));
        let found = format!("{found}, and a worker has runtime = \"tmux\"");
        return Some(Check::fail("tmux", found, next));
    }
    let tmux = windows::tmux(&session.house).ok()?;
    let listed = tmux.version().and_then(|version| Ok((version, tmux.sessions()?.len())));
    Some(match listed {
        Ok((version, _)) if is_wanted => Check::warn(
            "tmux",
            format!(
                "{version}, and a worker has runtime = \"tmux\": no wall holds sockets, so that it can reach the server"
            ),
            "where workers are not trusted, set runtime = \"process\" and run no tmux server beside them",
        ),
        Ok((version, 0)) => Check::ok("tmux", version),
        Ok((version, sessions)) => Check::ok("tmux", format!("{version}, sessions: {sessions}")),
        Err(error) => Check::warn("tmux", error.to_string(), "tmux ls shows whether tmux works by itself"),
    })
}

/// A folder to try things in, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn make(within: &Path) -> Result<Self, StoreError> {
        let path = within.join(format!("kapell-doctor-{}", random_tail(10)));
        crate::store::connection::private_folder(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_open_to_others(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Whether a lock that is held cannot be taken, and one that was let go can.
fn locks(root: &Path, scratch: &Path) -> Check {
    const NAME: &str = "state folder";
    let path = scratch.join("lock");
    let next = "put the state folder on a local file system: KAPELL_HOME names another";
    let tried = (|| {
        let held = Life::take(&path)?;
        let second = Life::take(&path)?;
        let seen = life::is_held(&path);
        drop(held);
        let freed = Life::take(&path)?;
        std::io::Result::Ok((second.is_none() && seen, freed.is_some()))
    })();
    match tried {
        Ok((true, true)) if is_open_to_others(root) => Check::fail(
            NAME,
            format!("others may look into {}", root.display()),
            format!("chmod 700 '{}'", root.display()),
        ),
        Ok((true, true)) => {
            Check::ok(NAME, format!("{} is private to you, and locks hold in it", root.display()))
        }
        Ok(_) => Check::fail(NAME, format!("locks do not hold in {}", root.display()), next),
        Err(error) => Check::fail(NAME, format!("locking in {}: {error}", root.display()), next),
    }
}

/// Whether a change of the database is noticed.
fn notices(scratch: &Path) -> Check {
    const NAME: &str = "file notices";
    let next = "raise fs.inotify.max_user_instances and max_user_watches, or use a local file system";
    // A database of its own, so that it is known who changed it.
    let tried = Store::open(scratch, crate::store::Check::Header).and_then(|store| {
        let watch = Watch::new(scratch)?;
        let began = Instant::now();
        store.write(append_trial)?;
        Ok((watch.wait(Some(began + NOTICE_LIMIT)), began.elapsed(), watch.is_told()))
    });
    match tried {
        Ok((Woken::Deadline, ..)) => {
            Check::fail(NAME, format!("a change was not noticed within {} s", NOTICE_LIMIT.as_secs()), next)
        }
        Ok((_, took, false)) => Check::warn(
            NAME,
            format!("the system tells of none: a change was found after {} ms", took.as_millis()),
            next,
        ),
        Ok((_, took, true)) => Check::ok(NAME, format!("a change was noticed after {} ms", took.as_millis())),
        Err(error) => Check::fail(NAME, error.to_string(), next),
    }
}

/// Whether a worker can be kept to its folder by the system itself.
fn wall_around(scratch: &Path) -> Check {
    const NAME: &str = "wall";
    match wall::probe(scratch) {
        WallSupport::Holds { name, not_strict: None } => Check::ok(
            NAME,
            format!(
                "{name}, also strict: it kept foreign files unwritten, secrets unread, processes unsignalled"
            ),
        ),
        WallSupport::Holds { name, not_strict: Some(why) } => Check::warn(
            NAME,
            format!("{name} keeps foreign files unwritten and secrets unread; no strict wall: {why}"),
            "with wall = \"strict\" nothing would start; worktree and auto work",
        ),
        WallSupport::Absent(why) => Check::warn(
            NAME,
            format!("none: {why}"),
            "with wall = \"auto\" workers run unwalled, and what they change outside their claims is still refused when it lands; with \"worktree\" and \"strict\" none starts",
        ),
    }
}

/// Whether the configuration can be used.
fn configuration(session: &Session) -> Check {
    const NAME: &str = "configuration";
    let person = &session.house.person_config;
    let is_named = session.house.environment.get("KAPELL_CONFIG").is_some_and(|name| !name.is_empty());
    match session.project().and_then(|project| session.config(&project)) {
        Ok(_) if is_named && !person.exists() => Check::warn(
            NAME,
            format!(
                "KAPELL_CONFIG names {}, where there is nothing, so nothing is set by it",
                person.display()
            ),
            "correct the variable, or unset it",
        ),
        Ok(config) if config.warnings.is_empty() => Check::ok(NAME, "it can be used"),
        Ok(config) => Check::warn(
            NAME,
            format!("it can be used; warnings: {}", config.warnings.len()),
            "kapell config check explains them",
        ),
        Err(error) => Check::fail(NAME, error.to_string(), hint(&error, "kapell config check explains it")),
    }
}

/// How a trial transaction ends: never with a commit.
enum Trial {
    Written,
    Failed(StoreError),
}

impl From<StoreError> for Trial {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Whether every page of the database is sound, and whether it takes a row.
fn store(session: &Session) -> Check {
    const NAME: &str = "store";
    let store = match session.store() {
        Ok(store) => store,
        Err(error) => {
            return Check::fail(NAME, error.to_string(), hint(&error, "the message names the file"));
        }
    };
    let damaged = "move the file away and put a backup in its place; nothing was changed";
    match store.integrity() {
        Ok(faults) if faults.is_empty() => {}
        Ok(faults) => {
            return Check::fail(
                NAME,
                format!("{} is damaged: {}", store.path().display(), faults.join("; ")),
                damaged,
            );
        }
        Err(error) => return Check::fail(NAME, error.to_string(), damaged),
    }
    match write_and_roll_back(store) {
        Ok(took) => Check::ok(
            NAME,
            format!("{} is sound and took a row in {} ms", store.path().display(), took.as_millis()),
        ),
        Err(error) => {
            Check::fail(NAME, error.to_string(), "look at the space and the permissions of the state folder")
        }
    }
}

fn append_trial(tx: &Tx<'_>) -> Result<(), StoreError> {
    let project = ProjectId::new("kapell-doctor");
    tx.ensure_project(&project, "kapell doctor", None)?;
    let event = NewEvent { kind: "doctor.trial", text: "a trial".to_owned(), ..NewEvent::default() };
    tx.append_event(&project, &event)?;
    Ok(())
}

fn write_and_roll_back(store: &Store) -> Result<Duration, StoreError> {
    let began = Instant::now();
    let trial: Result<(), Trial> = store.write(|tx| {
        append_trial(tx)?;
        Err(Trial::Written)
    });
    match trial {
        Err(Trial::Failed(error)) => Err(error),
        Ok(()) | Err(Trial::Written) => Ok(began.elapsed()),
    }
}

/// Whether the clock agrees with the file system's and is not behind what was recorded.
fn clock(session: &Session, scratch: &Path) -> Check {
    let newest = session.store().and_then(|store| {
        store.read(|tx| -> Result<_, Error> { Ok(tx.newest_events(&EventFilter::default(), 1)?.pop()) })
    });
    // A store that cannot be read was told of already.
    let recorded = newest.ok().flatten().map(|event| event.at);
    let path = scratch.join("clock");
    let modified = match fs::write(&path, "now").and_then(|()| fs::metadata(&path)?.modified()) {
        Err(error) if says_full(&error.to_string()) => {
            return Check::fail("clock", error.to_string(), MAKE_ROOM);
        }
        modified => modified,
    };
    let modified = modified.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let modified = modified.and_then(|at| i64::try_from(at.as_millis()).ok()).map(Time::from_millis);
    judge_clock(Time::now(), recorded, modified)
}

fn judge_clock(now: Time, recorded: Option<Time>, modified: Option<Time>) -> Check {
    const NAME: &str = "clock";
    let ahead = recorded.map_or(0, |recorded| recorded.millis_since(now));
    if ahead > CLOCK_SLACK_MS {
        return Check::warn(
            NAME,
            format!("it was set back: the newest event was recorded {} s from now", ahead / 1000),
            "set the clock right; until then claims last longer than they say",
        );
    }
    let Some(modified) = modified else {
        return Check::warn(NAME, "the file system tells no time of a change", "use a local file system");
    };
    let apart = modified.millis_since(now).abs();
    if apart > CLOCK_SLACK_MS {
        return Check::warn(
            NAME,
            format!("the file system's clock differs by {} s", apart / 1000),
            "set both clocks by the network, or use a local file system",
        );
    }
    Check::ok(NAME, "it agrees with the file system and with what was recorded")
}

/// Whether there is room on the disk of a folder.
pub(super) fn space(name: &'static str, path: &Path) -> Check {
    match room(path) {
        Ok((bytes, files)) => judge_space(name, path, bytes, files),
        Err(error) => Check::warn(name, format!("{}: {error}", path.display()), "look with df"),
    }
}

fn judge_space(name: &'static str, path: &Path, bytes: u64, files: u64) -> Check {
    let gib = bytes as f64 / f64::from(1 << 30);
    let found = format!("{gib:.1} GiB free on the disk of {}", path.display());
    // Some file systems count no files and say 0.
    if bytes < NO_SPACE {
        Check::fail(name, found, MAKE_ROOM)
    } else if bytes < LITTLE_SPACE {
        Check::warn(name, found, MAKE_ROOM)
    } else if (1..10_000).contains(&files) {
        Check::warn(name, format!("{found}, but room for {files} files only"), MAKE_ROOM)
    } else {
        Check::ok(name, found)
    }
}

/// The next step that an error names, or `otherwise`.
fn hint(error: &Error, otherwise: &str) -> String {
    match error {
        Error::Refused(refusal) => refusal.hint.clone(),
        _ => otherwise.to_owned(),
    }
}

/// What a program printed, or why it failed: its first words of complaint.
pub(super) fn say(
    program: &Path,
    args: &[&str],
    cwd: &Path,
    environment: &BTreeMap<String, String>,
    limit: Duration,
) -> Result<String, String> {
    let mut command = spawn::program(program, cwd);
    command.args(args).envs(environment);
    let limits = Limits { timeout: Some(limit), grace: Duration::from_secs(1), max_output: 1 << 20 };
    let output = spawn::run(&mut command, b"", &limits).map_err(|error| error.to_string())?;
    let (stdout, stderr) = (output.stdout.to_text(), output.stderr.to_text());
    match output.end {
        End::Exited(0) => Ok(stdout.trim().to_owned()),
        End::TimedOut => Err(format!("no answer within {} s", limit.as_secs())),
        End::Exited(status) => Err(format!("{} (exit {status})", first_line(&format!("{stderr}\n{stdout}")))),
        End::Signaled(signal) => {
            Err(format!("{} (signal {signal})", first_line(&format!("{stderr}\n{stdout}"))))
        }
    }
}

/// The first line that is not empty, for people.
fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing")
}

#[cfg(test)]
mod tests;
