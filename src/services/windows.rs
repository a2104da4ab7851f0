//! Windows of tmux in which a person can watch attempts.
//!
//! The attempt is its shim's: files, lock, wall and exit are as ever, and the window only shows what is in
//! the files. So it may be closed, and the server of tmux may die, and nothing happens to the work.

use std::path::Path;

use super::project::Project;
use super::{Error, House, Session};
use crate::domain::refusal::{Code, Refusal};
use crate::domain::standing::{Listed, project_names, shows_attempts, tmux_name};
use crate::store::attempts::AttemptRow;
use crate::store::events::EventFilter;
use crate::sys::agent::AgentKind;
use crate::sys::config::Config;
use crate::sys::config::resolved::Runtime;
use crate::sys::shim::client;
use crate::sys::tmux::{NewSession, Tmux, TmuxError};

/// So often is begun anew when somebody else was quicker.
const TRIES: usize = 5;

/// Where an attempt is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name of the session.
    pub session: String,
    /// Its number.
    pub session_id: String,
    /// The name of the window.
    pub window: String,
    /// Its number.
    pub window_id: String,
    /// Whether the window was made just now.
    pub is_new: bool,
}

impl Place {
    /// What tmux is told to show.
    pub fn target(&self) -> String {
        format!("{}:{}", self.session_id, self.window_id)
    }
}

/// tmux as the person has it.
pub fn tmux(house: &House) -> Result<Tmux, Error> {
    Tmux::find(&house.environment, &house.home).map_err(Error::from)
}

/// Whether any worker is to be shown in windows.
pub fn are_any_wanted(config: &Config) -> bool {
    config.workers.values().any(|worker| worker.runtime == Runtime::Tmux)
}

/// Whether attempts of the worker are to be shown in a window.
pub fn are_wanted(config: &Config, attempt: &AttemptRow) -> bool {
    config.workers.get(&attempt.worker).is_some_and(|worker| worker.runtime == Runtime::Tmux)
}

/// The window in which an attempt at work was shown last, as tmux names it.
pub fn told(session: &Session, config: &Config, attempt: &AttemptRow) -> Result<Option<String>, Error> {
    // Asked of the log, and so only where there may be one.
    if attempt.ended_at.is_some() || !are_wanted(config, attempt) {
        return Ok(None);
    }
    let filter = EventFilter {
        attempt: Some(attempt.id.as_str()),
        kind: Some("attempt.window"),
        ..EventFilter::default()
    };
    let told = session.store()?.read(|tx| tx.newest_events(&filter, 1))?.pop();
    let place = told.and_then(|event| serde_json::from_str::<serde_json::Value>(&event.data?).ok());
    Ok(place.and_then(|place| Some(format!("{}:{}", place["session"].as_str()?, place["window"].as_str()?))))
}

/// Opens the window of an attempt that runs, if it is not open.
///
/// # Errors
/// There is no tmux, or it cannot make the window.
pub fn open(session: &Session, project: &Project, kind: AgentKind, row: &AttemptRow) -> Result<Place, Error> {
    let tmux = tmux(&session.house)?;
    let name = tmux_name(&format!("{}-{}", row.worker, row.task));
    let title = format!("{}/{}, try {}, by {}", row.plan, row.task, row.number, row.worker);
    let program = session.house.program.to_string_lossy();
    let argv = [&*program, "window", &row.run_dir, kind.as_str(), &title].map(str::to_owned);
    let mut last = None;
    for _ in 0..TRIES {
        match try_to_open(&tmux, project, &name, row, &argv) {
            Ok(place) => return Ok(place),
            // Another conductor made the session, or the last window of it was just closed.
            Err(error @ (TmuxError::Taken | TmuxError::Gone(_))) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.unwrap_or(TmuxError::Silent).into())
}

fn try_to_open(
    tmux: &Tmux,
    project: &Project,
    name: &str,
    row: &AttemptRow,
    argv: &[String],
) -> Result<Place, TmuxError> {
    let sessions = tmux.sessions()?;
    let place = |session: &str, session_id: &str, window_id: &str, is_new| Place {
        session: session.to_owned(),
        session_id: session_id.to_owned(),
        window: name.to_owned(),
        window_id: window_id.to_owned(),
        is_new,
    };
    let made = match sessions.iter().find(|session| shows_attempts(session, &project.id)) {
        Some(session) => {
            if let Some(window) = tidy(tmux, session, row)? {
                return Ok(place(&session.name, &session.id, &window, false));
            }
            let opened = tmux.new_window(&session.id, name, argv)?;
            place(&session.name, &opened.session, &opened.window, true)
        }
        None => {
            let names = project_names(&project.title(), &project.id);
            let free = free_name(&names, &sessions).ok_or(TmuxError::Taken)?;
            let new =
                NewSession { name: free, window: name, project: project.id.as_str(), worker: None, argv };
            let opened = tmux.new_session(&new)?;
            place(free, &opened.session, &opened.window, true)
        }
    };
    // A window that lost its mark before it had one is closed by what runs in it, as any other.
    match tmux.mark_window(&made.window_id, row.id.as_str()) {
        Ok(()) | Err(TmuxError::Gone(_)) => Ok(made),
        Err(error) => Err(error),
    }
}

/// The first name that no session has.
pub fn free_name<'n>(names: &'n [String], sessions: &[Listed]) -> Option<&'n str> {
    names.iter().map(String::as_str).find(|name| sessions.iter().all(|session| session.name != *name))
}

/// Closes windows of the same worker whose attempts have ended, where nobody looks. The window of this
/// attempt, if there is one.
fn tidy(tmux: &Tmux, session: &Listed, row: &AttemptRow) -> Result<Option<String>, TmuxError> {
    let runs = Path::new(&row.run_dir).parent();
    let windows = tmux.windows(&session.id)?;
    let shows_this = |attempt: &Option<String>| attempt.as_deref() == Some(row.id.as_str());
    let of_worker = format!("{}-", tmux_name(row.worker.as_str()));
    let is_over = |attempt: &str| runs.is_some_and(|runs| !client::is_alive(&runs.join(attempt)));
    for window in windows.iter().filter(|it| !it.is_seen && it.name.starts_with(&of_worker)) {
        if !shows_this(&window.attempt) && window.attempt.as_deref().is_some_and(is_over) {
            match tmux.kill_window(&window.id) {
                Ok(()) | Err(TmuxError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(windows.into_iter().find(|window| shows_this(&window.attempt)).map(|window| window.id))
}

/// Why workers of the configuration that are to be shown in tmux get nothing here; none where they do.
pub fn missing(house: &House, config: &Config) -> Option<String> {
    (are_any_wanted(config) && tmux(house).is_err()).then(|| format!("{NO_TMUX}; {INSTALL_OR}"))
}

/// Refuses work for a worker by name that is to be shown in tmux, where there is none.
pub fn refuse_without<'t>(
    house: &House,
    config: &Config,
    targets: impl IntoIterator<Item = &'t str>,
) -> Result<(), Refusal> {
    if missing(house, config).is_none() {
        return Ok(());
    }
    for target in targets {
        if config.workers.get(&target.into()).is_some_and(|worker| worker.runtime == Runtime::Tmux) {
            let message = format!("{target} has runtime = \"tmux\", and {NO_TMUX}");
            return Err(Refusal::new(Code::Unsupported, message, INSTALL_OR));
        }
    }
    Ok(())
}

const NO_TMUX: &str = "there is no tmux on the PATH";
const INSTALL_OR: &str =
    "install tmux (apt install tmux, brew install tmux), or set runtime = \"process\" in kapell.toml";

impl From<TmuxError> for Error {
    fn from(error: TmuxError) -> Self {
        match &error {
            TmuxError::Absent => Refusal::new(
                Code::Unsupported,
                NO_TMUX,
                "install it (apt install tmux, brew install tmux); workers with runtime = \"process\" need none",
            )
            .into(),
            TmuxError::Gone(_) => {
                Refusal::new(Code::NotFound, error.to_string(), "kapell fleet shows what there is").into()
            }
            TmuxError::Taken => Refusal::new(
                Code::Conflict,
                error.to_string(),
                "tmux ls shows whose it is; end it or call the worker otherwise",
            )
            .into(),
            TmuxError::Failed(_) | TmuxError::CutOff => {
                Refusal::new(Code::Conflict, error.to_string(), "tmux ls shows whether tmux works by itself").into()
            }
            TmuxError::Spawn(_) | TmuxError::Silent => {
                Self::system("tmux", std::io::Error::other(error))
            }
        }
    }
}
