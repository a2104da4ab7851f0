//! The contract on behalf of the screen: looks at the store, follows the log and outputs, steers.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::Deserialize as _;
use serde_json::json;

use super::model::{Effect, Event, Loaded, PlanRow};
use crate::api::client::guard;
use crate::api::methods::events::event;
use crate::api::resources::Named;
use crate::api::wire::{
    ConductorStatus, ControlResult, PlanStatus, Progress, Scope, StatusBody, StatusParams, StatusResult,
};
use crate::api::{ApiError, Client, table};
use crate::base::notices::Notices;
use crate::base::threads;
use crate::services::following::{Follower, Interest, newest};
use crate::services::{Error, House, querying, reading, registry, watching};

/// As many events are shown of what was before.
const BEFORE: usize = 200;
/// As many tasks of a plan are shown.
const MOST_TASKS: usize = 1000;
/// As many workers or claims.
const MOST_ROWS: usize = 500;
/// Outputs are looked at so often.
const LISTENS: Duration = Duration::from_secs(1);
/// A log that cannot be read is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// Everything that is asked and followed.
pub struct Feed {
    desk: Arc<Desk>,
    loads: Sender<Effect>,
    /// Whom to listen to.
    heard: Sender<Effect>,
    /// Wakes whoever follows an output; without it that ends.
    log: Mutex<Option<Sender<Wake>>>,
}

struct Desk {
    house: Arc<House>,
    client: Arc<Client>,
    folder: PathBuf,
    tell: Sender<Event>,
}

/// Why to look at an output again.
enum Wake {
    Changed,
    Over,
}

impl Feed {
    /// Begins to follow the log, and waits for what is to be looked at.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn open(house: Arc<House>, folder: PathBuf, tell: Sender<Event>) -> Result<Self, ApiError> {
        let client = Client::new(Arc::clone(&house), folder.clone());
        client.introduce_person(house.person());
        let desk = Arc::new(Desk { house, client, folder, tell });
        let (loads, wanted) = channel();
        desk.spawn("looks", move |desk| desk.look(&wanted))?;
        desk.spawn("events", |desk| desk.follow())?;
        let (heard, whom) = channel();
        desk.spawn("outputs", move |desk| desk.listen(&whom))?;
        Ok(Self { desk, loads, heard, log: Mutex::new(None) })
    }

    /// Looks at the store; what is found is told.
    pub fn load(&self, effect: Effect) {
        // Whoever looks ends with the process.
        let _ = self.loads.send(effect);
    }

    /// Does everything else.
    pub fn carry_out(&self, effect: Effect) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let began = match effect {
            Effect::Control { action, target, force } => {
                self.desk.spawn("control", move |desk| desk.control(action, &target, force))
            }
            Effect::Diff(attempt) => self.desk.spawn("diff", move |desk| desk.diff(&attempt)),
            Effect::Log(attempt) => {
                let (wake, woken) = channel();
                *log = Some(wake.clone());
                self.desk.spawn("log", move |desk| desk.follow_log(&attempt, wake, &woken))
            }
            Effect::LogOver => {
                if let Some(log) = &*log {
                    let _ = log.send(Wake::Over);
                }
                Ok(())
            }
            Effect::LogClosed => {
                if let Some(log) = log.take() {
                    let _ = log.send(Wake::Over);
                }
                Ok(())
            }
            Effect::Listen(_) => {
                let _ = self.heard.send(effect);
                Ok(())
            }
            Effect::Load(_) | Effect::Suspend | Effect::Quit => Ok(()),
        };
        if let Err(error) = began {
            let _ = self.desk.tell.send(Event::Trouble(ApiError::from(error).message));
        }
    }
}

impl Desk {
    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce(&Self) + Send + 'static) -> Result<(), Error> {
        let desk = Arc::clone(self);
        threads::start(name, Box::new(move || work(&desk)))
            .map(drop)
            .map_err(|error| Error::system("a thread for the screen", error))
    }

    /// Looks whenever it is wanted, until nobody wants any more.
    fn look(&self, wanted: &Receiver<Effect>) {
        let mut _vigil = None;
        while let Ok(effect) = wanted.recv() {
            let Effect::Load(plan) = effect else { continue };
            // Before the look: whoever is gone in it is not waited for.
            let ends = querying::living(&self.client.begin().session(), None).unwrap_or_default();
            let tell = self.tell.clone();
            _vigil = querying::keep(ends, move || drop(tell.send(Event::Died)));
            let found = match self.everything(plan.as_deref()) {
                Ok(loaded) => Event::Loaded(Box::new(loaded)),
                Err(error) => Event::Trouble(error.message),
            };
            if self.tell.send(found).is_err() {
                return;
            }
        }
    }

    fn everything(&self, plan: Option<&str>) -> Result<Loaded, ApiError> {
        let mut plans = self.plans()?;
        let wanted = plan.or_else(|| plans.first().map(|row| row.status.plan_id.as_str()));
        let plan = wanted.map(|id| self.plan(id)).transpose()?.flatten();
        if let Some(plan) =
            plan.as_ref().filter(|it| plans.iter().all(|row| row.status.plan_id != it.plan_id))
        {
            plans.push(PlanRow { status: without_conductor(plan), iteration: None });
        }
        let row = plan.as_ref().and_then(|plan| plans.iter().find(|row| row.status.plan_id == plan.plan_id));
        let folder = row.and_then(|row| row.status.project.as_ref()).map(PathBuf::from);
        let folder = folder.filter(|folder| folder.is_dir()).unwrap_or_else(|| self.folder.clone());
        let (mut workers, mut claims, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        self.pages(Scope::Workers, &folder, |body| match body {
            StatusBody::Workers { workers: more, .. } => {
                workers.extend(more);
                workers.len()
            }
            _ => MOST_ROWS,
        })?;
        self.pages(Scope::Claims, &folder, |body| match body {
            StatusBody::Claims { claims: more } => {
                claims.extend(more);
                claims.len()
            }
            _ => MOST_ROWS,
        })?;
        let params = StatusParams { limit: Some(1), ..StatusParams::default() };
        if let StatusBody::Overview(overview) = self.status(&params, &folder)?.body {
            warnings = overview.warnings;
        }
        Ok(Loaded { plans, plan, workers, claims, warnings })
    }

    /// One conductor of each plan, those at work first, and the newest of those that ended.
    fn plans(&self) -> Result<Vec<PlanRow>, ApiError> {
        let mut all: Vec<ConductorStatus> = Vec::new();
        self.pages(Scope::Conductors, &self.folder, |body| match body {
            StatusBody::Conductors { conductors } => {
                all.extend(conductors);
                all.len()
            }
            _ => MOST_ROWS,
        })?;
        let ended = StatusParams {
            scope: Scope::Conductors,
            kind: Some("all".to_owned()),
            ..StatusParams::default()
        };
        if let StatusBody::Conductors { conductors } = self.status(&ended, &self.folder)?.body {
            all.extend(conductors);
        }
        let mut plans: Vec<PlanRow> = Vec::new();
        for status in all {
            if plans.iter().all(|row| row.status.plan_id != status.plan_id) {
                let iteration = status
                    .socket
                    .as_ref()
                    .filter(|_| status.fresh)
                    .and_then(|socket| registry::passes(Path::new(socket)));
                plans.push(PlanRow { status, iteration });
            }
        }
        Ok(plans)
    }

    fn plan(&self, id: &str) -> Result<Option<PlanStatus>, ApiError> {
        let mut params = StatusParams {
            scope: Scope::Plan,
            id: Some(id.to_owned()),
            limit: Some(MOST_ROWS as u32),
            ..StatusParams::default()
        };
        let mut whole: Option<PlanStatus> = None;
        loop {
            let status = match self.status(&params, &self.folder) {
                Ok(status) => status,
                // Its project may be gone; everything else is still to be seen.
                Err(error) if error.kind == "not-found" => return Ok(whole),
                Err(error) => return Err(error),
            };
            let StatusBody::Plan(page) = status.body else { return Ok(whole) };
            match &mut whole {
                None => whole = Some(page),
                Some(whole) => whole.tasks.extend(page.tasks),
            }
            params.cursor = status.next_cursor;
            if params.cursor.is_none() || whole.as_ref().is_some_and(|it| it.tasks.len() >= MOST_TASKS) {
                return Ok(whole);
            }
        }
    }

    /// Page after page, until `take` has enough.
    fn pages(
        &self,
        scope: Scope,
        folder: &Path,
        mut take: impl FnMut(StatusBody) -> usize,
    ) -> Result<(), ApiError> {
        let mut params = StatusParams { scope, limit: Some(MOST_ROWS as u32), ..StatusParams::default() };
        loop {
            let status = self.status(&params, folder)?;
            params.cursor = status.next_cursor;
            if take(status.body) >= MOST_ROWS || params.cursor.is_none() {
                return Ok(());
            }
        }
    }

    fn status(&self, params: &StatusParams, folder: &Path) -> Result<StatusResult, ApiError> {
        let value = self.call("status", &json!(params), folder)?;
        StatusResult::deserialize(&value).map_err(|error| ApiError::bug(format!("the status: {error}")))
    }

    fn call(
        &self,
        method: &str,
        params: &serde_json::Value,
        folder: &Path,
    ) -> Result<serde_json::Value, ApiError> {
        let method = table::find(method).ok_or_else(|| ApiError::unknown_method(method))?;
        self.client.begin().in_folder(folder.to_owned()).run(method, params.clone())
    }

    /// Passes on what happens, everywhere.
    fn follow(&self) {
        let (_kept, never) = channel::<()>();
        loop {
            if let Err(error) = self.follow_on() {
                if self.tell.send(Event::Trouble(error.message)).is_err() {
                    return;
                }
                // The database says nothing while it cannot be read.
                if never.recv_timeout(AGAIN) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        }
    }

    fn follow_on(&self) -> Result<(), ApiError> {
        let session = self.client.begin().session();
        let interest = Interest { all_projects: true, ..Interest::default() };
        let (mut rows, seq) = newest(&session, &interest, BEFORE)?;
        let mut follower = Follower::new(&session, interest, Some(seq))?;
        loop {
            if self.tell.send(Event::News(rows.iter().map(event).collect())).is_err() {
                return Ok(());
            }
            rows = follower.next(None)?;
        }
    }

    fn control(&self, action: &str, target: &str, force: bool) {
        let params = json!({"action": action, "target": target, "force": force});
        let done = self.call("control", &params, &self.folder).and_then(|value| {
            ControlResult::deserialize(&value).map_err(|error| ApiError::bug(format!("the answer: {error}")))
        });
        let told = match done {
            Ok(result) => Ok(format!("{target}: {}, {}", result.state, result.message)),
            Err(error) if error.hint.is_empty() => Err(error.message),
            Err(error) => Err(format!("{}; {}", error.message, error.hint)),
        };
        let _ = self.tell.send(Event::Steered(told));
    }

    /// A folder of the project that an attempt belongs to.
    fn home_of(&self, attempt: &str) -> PathBuf {
        let home = reading::home_of(&self.house, attempt).ok().flatten();
        home.unwrap_or_else(|| self.folder.clone())
    }

    fn diff(&self, attempt: &str) {
        let call = self.client.begin().in_folder(self.home_of(attempt));
        let text = Named::Diff(attempt.to_owned()).read(&call).map(|content| match content.text.is_empty() {
            true => "it changed nothing".to_owned(),
            false => content.text,
        });
        let _ =
            self.tell.send(Event::Text(text.map_err(|error| format!("{}\n{}", error.message, error.hint))));
    }

    /// Passes on the last lines of whoever is to be listened to. To be told of each file would take as many watches as
    /// all programs of a person have, so they are looked at, as often as somebody reads a line.
    fn listen(&self, whom: &Receiver<Effect>) {
        let mut heard: Vec<(String, watching::Watched)> = Vec::new();
        loop {
            let wanted = match heard.is_empty() {
                true => whom.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => whom.recv_timeout(LISTENS),
            };
            match wanted {
                Ok(Effect::Listen(wanted)) => {
                    heard.retain(|(attempt, _)| wanted.contains(attempt));
                    for attempt in wanted {
                        if heard.iter().any(|(other, _)| *other == attempt) {
                            continue;
                        }
                        let session = self.client.begin().in_folder(self.home_of(&attempt)).session();
                        // One that cannot be looked at has nothing to show.
                        if let Ok((watched, ..)) = watching::of_attempt(&session, &attempt) {
                            heard.push((attempt, watched));
                        }
                    }
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let mut news = Vec::new();
            for (attempt, watched) in &mut heard {
                let lines = watched.news(false).unwrap_or_default();
                let last = lines.into_iter().rfind(|line| !line.text.trim().is_empty());
                if let Some(last) = last {
                    let cost = self.cost_of(attempt).map(|usd| format!(" ${usd:.2}")).unwrap_or_default();
                    news.push((attempt.clone(), format!("{cost}: {}", last.text)));
                }
            }
            if !news.is_empty() && self.tell.send(Event::Printed(news)).is_err() {
                return;
            }
        }
    }

    /// What an attempt cost so far.
    fn cost_of(&self, attempt: &str) -> Option<f64> {
        let params =
            StatusParams { scope: Scope::Attempt, id: Some(attempt.to_owned()), ..StatusParams::default() };
        match self.status(&params, &self.folder).ok()?.body {
            StatusBody::Attempt(attempt) => attempt.usage.usd,
            _ => None,
        }
    }

    /// Passes on what an attempt prints, until its end or until nobody looks.
    fn follow_log(&self, attempt: &str, wake: Sender<Wake>, woken: &Receiver<Wake>) {
        let session = self.client.begin().in_folder(self.home_of(attempt)).session();
        let follow = || -> Result<(), ApiError> {
            let (mut watched, folder, is_over) = watching::of_attempt(&session, attempt)?;
            let failed = |error| Error::system("cannot read what it printed", error);
            // It may be tidied up already; without its folder there is nothing to wait for.
            let _notices = match is_over || !folder.is_dir() {
                true => None,
                false => Some(Notices::of(&folder, move |_| drop(wake.send(Wake::Changed))).map_err(failed)?),
            };
            let mut is_last = is_over;
            loop {
                let lines = watched.news(is_last).map_err(failed)?;
                if !lines.is_empty() && self.tell.send(Event::Lines(lines)).is_err() || is_last {
                    return Ok(());
                }
                match woken.recv() {
                    Ok(Wake::Changed) => {}
                    Ok(Wake::Over) => is_last = true,
                    Err(_) => return Ok(()),
                }
                is_last |= woken.try_iter().any(|wake| matches!(wake, Wake::Over));
            }
        };
        if let Err(error) = guard("log", follow) {
            let _ = self.tell.send(Event::Text(Err(error.message)));
        }
    }
}

/// A plan that no conductor ever ran, or too long ago.
fn without_conductor(plan: &PlanStatus) -> ConductorStatus {
    ConductorStatus {
        id: String::new(),
        pid: 0,
        plan_id: plan.plan_id.clone(),
        project: None,
        worktree: None,
        state: plan.state.clone(),
        socket: None,
        started_at: String::new(),
        heartbeat_at: String::new(),
        fresh: false,
        note: None,
        progress: Some(Progress {
            done: plan.done,
            total: plan.total,
            running: plan.running,
            failed: plan.failed,
        }),
        position: None,
        lacks: None,
        plan_state: Some(plan.state.clone()),
    }
}
