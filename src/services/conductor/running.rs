//! The conductor's loop: look, decide, start, wait for news.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::agenda::Agenda;
use super::attempt::{Stage, carry, carry_launched, launch_at_once};
use super::deploying;
use super::desk::Desk;
use super::lacking;
use super::reclaiming;
use super::recovering;
use super::stages::Stages;
use super::starting::{self, Begun};
use super::tidying;
use super::vitals::{Socket, Vitals};
use crate::base::clock::Time;
use crate::base::failpoint::Point;
use crate::base::ids::{AttemptId, ConductorId, PlanId, TaskId, random_tail};
use crate::base::threads;
use crate::domain::attempt::AttemptState;
use crate::domain::conducting::{ConductorState, PlanState};
use crate::domain::schedule::{self, Step};
use crate::domain::share::Pool;
use crate::domain::task::TaskState;
use crate::services::judging::commands;
use crate::services::project::Files;
use crate::services::spending::{Spent, questions};
use crate::services::{Error, Session, ground, landing, owning, querying};
use crate::store::events::NewEvent;
use crate::store::plans::{Pace, PlanRow, TaskLight};
use crate::store::watch::Watch;
use crate::sys::process::pages;
use crate::sys::shim::client;
use crate::sys::shim::job::Request;

mod entering;
mod waiting;
use entering::{register, take_plan};
use waiting::first_end;

/// A conductor says that it lives this often; after 60 s without it is taken for stale.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// By then it has begun what it can begin.
const BEGUN: Duration = Duration::from_secs(1);
/// Something that waits for a claim, a seat or a reset is tried again at least this often.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How the commands of gates are ended: with the time that a program gets to put its things away.
const STOP: Request = Request::Stop { grace_ms: None };
/// So often in a row the plan goes on after somebody killed a git of its conductor's.
const MOST_KILLED: usize = 5;
/// So many tasks are tried in vain before the conductor looks at everything else again.
const IN_VAIN_AT_ONCE: usize = 32;
/// Before the id of a stage's command, where a task's name stands for others; no task is called so.
const COMMAND: &str = "command:";

/// Runs a plan until it comes to rest. `Ok(false)`: another conductor has it.
///
/// `open` opens its socket, once the plan is surely this conductor's and before anybody can
/// read the socket's path in the registry. It is closed while the plan is still this conductor's.
pub fn conduct<S: Socket>(
    session: &Session,
    plan: &PlanId,
    launch_anyway: bool,
    open: impl FnOnce(&Arc<Vitals>) -> Option<S>,
) -> Result<bool, Error> {
    if session.store()?.read(|tx| tx.plan(plan))?.is_none() {
        return Err(querying::no_such("plan", plan.as_str()));
    }
    let life_file = session.house.life_file(&format!("plan-{plan}"));
    let Some(mut life) = take_plan(session, plan, &life_file)? else { return Ok(false) };
    Point::ConductorLocked.reach()?;
    session.store()?.share_one_connection();
    let project = session.project()?;
    let config = session.take_up_config(&project).or_else(|error| {
        tracing::warn!("the configuration by which others went on is used: {error}");
        session.config_at_work(&project)
    })?;
    let git = ground::git(&session.house, &project)?;
    let id = ConductorId::new(format!("c-{}", random_tail(8)));
    let vitals = Arc::new(Vitals::new(id.clone(), plan.clone()));
    let mut socket = open(&vitals);
    let path = socket.as_ref().map(|socket| socket.path().to_owned());
    let admission = (&config, launch_anyway);
    let fencing = register(session, &project.id, plan, &id, &life, path, admission)?;
    Point::ConductorRegistered.reach()?;
    let project_id = project.id.clone();
    let mut tend = || {
        // What somebody removed or put in its place while it runs.
        if let Err(error) = life.mend() {
            tracing::warn!("the lock of plan {plan} is gone: {error}");
        }
        if let Some(socket) = &mut socket {
            socket.tend();
        }
    };
    let lay_out = || -> Result<Conductor<'_>, Error> {
        let desk = Desk::new(session.clone(), project, config, git, plan.clone(), id.clone(), fencing)?;
        let files = Files::of(session, &desk.project);
        Ok(Conductor {
            agenda: Agenda::new(&desk),
            stages: Stages::of(&desk)?,
            is_configured: files.has_own(),
            files,
            desk: Arc::new(desk),
            vitals,
            watch: Watch::new(&session.house.root)?,
            at_work: HashMap::new(),
            ended: channel(),
            // The first comes after a second: what it took to begin is let go of with it.
            last_beat: Instant::now().checked_sub(HEARTBEAT - BEGUN).unwrap_or_else(Instant::now),
            told: HashMap::new(),
            has_more: false,
            launch_anyway,
            is_admitted: false,
            waits_for_reset: false,
            ends_at: None,
            unpaid: HashMap::new(),
            document: String::new(),
            is_short_of_memory: false,
            // What an earlier conductor left at work is a batch.
            left_of_batch: 0,
            awaits: None,
            has_begun: false,
            tend: &mut tend,
        })
    };
    let ended = lay_out().and_then(|mut conductor| {
        session.cancel.on_cancel(conductor.watch.waker().on_call());
        let desk = Arc::clone(&conductor.desk);
        // The first worker need not wait for it, and can do without.
        let spares = move || {
            desk.spares.sweep();
            desk.spares.refill();
        };
        let _ = threads::start("kapell-spares", Box::new(spares));
        tidying::save_the_rest(&conductor.desk);
        tidying::sweep(&conductor.desk);
        conductor.run_on()?;
        while conductor.is_needed_again()? {
            conductor.run_on()?;
        }
        Ok(())
    });
    if session.store()?.read(|tx| tx.fencing(plan))? != fencing {
        // Its workers go on, and the other has taken them up.
        tracing::warn!("plan {plan} was taken over by another conductor, and this one leaves");
        return Ok(false);
    }
    let state = if ended.is_ok() { ConductorState::Stopped } else { ConductorState::Crashed };
    if let Err(error) = &ended {
        let why = error.to_string();
        session.store()?.write(|tx| -> Result<(), Error> {
            // What had come to rest by then is not undone.
            if tx.plan(plan)?.is_some_and(|row| !row.state.is_at_rest()) {
                tx.set_plan_state(&project_id, plan, PlanState::Failed, Some(&why))?;
            }
            Ok(())
        })?;
    }
    session.store()?.write(|tx| tx.set_conductor_state(&id, state))?;
    ended.map(|()| true)
}

struct Conductor<'a> {
    desk: Arc<Desk>,
    agenda: Agenda,
    /// Where the plan is a run of a pipeline: what its stages are about.
    stages: Stages,
    /// The files of the configuration, as they were read last.
    files: Files,
    /// Whether what goes by now came from a file of the project's.
    is_configured: bool,
    vitals: Arc<Vitals>,
    watch: Watch,
    at_work: HashMap<String, JoinHandle<()>>,
    /// Tasks whose thread is about to end; it wakes the watch after it has said so.
    ended: (Sender<String>, Receiver<String>),
    last_beat: Instant,
    /// What the shims were told last.
    told: HashMap<AttemptId, AttemptState>,
    /// Not everything that may start was looked at yet.
    has_more: bool,
    launch_anyway: bool,
    is_admitted: bool,
    /// Whether a task waits for the next day's or month's money.
    waits_for_reset: bool,
    /// When the first of the limits and quarantines ends for which tasks wait.
    ends_at: Option<Time>,
    /// Tasks that the plan's own money does not do for.
    unpaid: HashMap<TaskId, Spent>,
    /// The plan without its tasks, as it was read last.
    document: String,
    /// Whether it was told that no worker starts for want of memory.
    is_short_of_memory: bool,
    /// Where tasks are begun in batches: so many may still be begun before all that are at work have ended.
    left_of_batch: u32,
    /// The seats that it is noted to wait for.
    awaits: Option<Pool>,
    /// Whether it began an attempt.
    has_begun: bool,
    /// Sees to what proves that it lives and where it is spoken to, at each heartbeat.
    tend: &'a mut dyn FnMut(),
}

impl Conductor<'_> {
    /// Runs, and goes on where that failed for want of room or of the repository, as soon as it is there.
    fn run_on(&mut self) -> Result<(), Error> {
        let mut teller = lacking::Teller::default();
        let mut killed = 0;
        loop {
            let Err(error) = self.run() else { return Ok(()) };
            if self.desk.is_superseded()? {
                return Ok(());
            }
            let is_told_to_stop = self.desk.session.cancel.is_cancelled();
            if error.is_of_killed_git() && killed < MOST_KILLED && !is_told_to_stop {
                tracing::warn!("gone on: {error}");
                killed += 1;
                continue;
            }
            let Some(what) = lacking::what(&self.desk, &error).filter(|_| !is_told_to_stop) else {
                return Err(error);
            };
            teller.tell(&self.desk, None, &what, &error);
            self.watch.wait(Some(Instant::now() + lacking::AGAIN));
        }
    }

    fn run(&mut self) -> Result<(), Error> {
        self.desk.set_stopping(false);
        let mut is_first = true;
        loop {
            if self.desk.is_superseded()? {
                // It ends as if it had been killed: what is at work is the other's.
                self.desk.set_stopping(true);
                return Ok(());
            }
            self.beat()?;
            self.gather();
            let row = self.desk.row()?;
            self.follow_configuration()?;
            self.follow_budget(&row)?;
            self.desk.take_in_the_pace(row.pace);
            if self.is_out_of_time(&row)? {
                continue;
            }
            self.agenda.refresh(&self.desk)?;
            if self.desk.session.cancel.is_cancelled() || row.state == PlanState::Stopped {
                return self.stop(&row.state);
            }
            // A worker of a task that was called off meanwhile: nobody else would end it and save what it did.
            let is_unattended = self.obey()?;
            self.end_gates_of_the_cancelled()?;
            // What an earlier conductor left, and what a person approved meanwhile.
            let is_left =
                |task: &TaskLight| task.state.is_active() && !self.at_work.contains_key(task.id.as_str());
            if is_unattended || self.agenda.lights.iter().any(is_left) {
                self.take_up()?;
            }
            if row.state == PlanState::Running {
                if self.admitted()? {
                    self.advance()?;
                    self.take_steps()?;
                    self.vitals.count_pass();
                }
                if std::mem::take(&mut is_first) && !self.has_begun {
                    // Whoever sent the plan waits for this; what it began would have told it by itself.
                    self.desk.write(|tx| tx.heartbeat(&self.desk.conductor))?;
                }
                let may_rest = || schedule::conclusion(&self.agenda.views).is_some();
                if self.at_work.is_empty() && may_rest() && self.rest()? {
                    Point::ConductorRested.reach()?;
                    return Ok(());
                }
            } else if self.at_work.is_empty() && (row.state != PlanState::Paused || self.is_through()?) {
                return Ok(());
            }
            if !std::mem::take(&mut self.has_more) {
                let rest = TRY_AGAIN.min(HEARTBEAT.saturating_sub(self.last_beat.elapsed()));
                let rest = self.until_reset().map_or(rest, |reset| reset.min(rest));
                let rest = self.ends_at.map_or(rest, |at| at.from_now().min(rest));
                let rest = row.stop_at.map_or(rest, |at| at.from_now().min(rest));
                self.watch.wait(Some(Instant::now() + rest));
            }
        }
    }

    /// Stops the plan when the time is up that whoever started it gave it.
    fn is_out_of_time(&self, row: &PlanRow) -> Result<bool, Error> {
        if row.stop_at.is_none_or(|at| Time::now() < at) || row.state.is_at_rest() {
            return Ok(false);
        }
        let desk = &self.desk;
        let why = format!("its time is up; kapell resume {} goes on", desk.plan_id);
        desk.write(|tx| -> Result<(), Error> {
            tx.set_plan_state(&desk.project.id, &desk.plan_id, PlanState::Stopped, Some(&why))?;
            Ok(())
        })?;
        Ok(true)
    }

    /// How long it is until budgets begin anew, where that is waited for. Each month begins with a day.
    fn until_reset(&self) -> Option<Duration> {
        let now = Time::now();
        let millis = now.next_day().millis_since(now);
        self.waits_for_reset.then(|| Duration::from_millis(millis.unsigned_abs()))
    }

    /// Takes leave of the threads that have ended, also of one that died of a bug.
    fn gather(&mut self) {
        let said: Vec<String> = self.ended.1.try_iter().collect();
        let is_over = |task: &String, worker: &JoinHandle<()>| said.contains(task) || worker.is_finished();
        for (task, worker) in self.at_work.extract_if(|task, worker| is_over(task, worker)) {
            if worker.join().is_err() {
                tracing::error!("bug: the thread of task {task} died");
            }
        }
    }

    /// Goes on with the attempts that nobody is at work on any more.
    fn take_up(&mut self) -> Result<(), Error> {
        for (attempt, stage) in recovering::unfinished(&self.desk)? {
            if !self.at_work.contains_key(&attempt.task) && reclaiming::holds(&self.desk, &attempt, stage)? {
                self.spawn(attempt, stage)?;
            }
        }
        Ok(())
    }

    /// Lets the stages go on, and sees to their commands.
    fn advance(&mut self) -> Result<(), Error> {
        if !self.stages.is_run {
            return Ok(());
        }
        for command in self.stages.advance(&self.desk)? {
            let name = format!("{COMMAND}{}", command.id);
            if !self.at_work.contains_key(&name) {
                self.work(name, move |desk| deploying::carry(desk, &command))?;
            }
        }
        self.agenda.refresh(&self.desk)?;
        Ok(())
    }

    fn take_steps(&mut self) -> Result<(), Error> {
        let desk = Arc::clone(&self.desk);
        let steps = schedule::steps(&self.agenda.views);
        if !steps.is_empty() {
            let id = |at: usize| &self.agenda.lights[at].id;
            desk.write(|tx| -> Result<(), Error> {
                for step in &steps {
                    let (at, state, reason) = match step {
                        Step::MakeReady(at) => (*at, TaskState::Ready, None),
                        Step::MakeWait(at) => (*at, TaskState::Waiting, None),
                        Step::Block { task, on } => {
                            (*task, TaskState::Blocked, Some(format!("task {} is not done", id(*on))))
                        }
                    };
                    tx.move_task(&desk.project.id, &desk.plan_id, id(at), state, reason.as_deref())?;
                }
                Ok(())
            })?;
            self.agenda.refresh(&desk)?;
        }
        self.agenda.look_at_the_clock();
        if schedule::first(&self.agenda.views, |_| true).is_some() {
            self.start(&desk)?;
            self.note_missed(&desk)?;
        } else {
            self.note_seat_wait(&desk, None)?;
            self.ends_at = None;
            self.pause_where_unpaid(&desk, false)?;
        }
        Ok(())
    }

    /// Starts what may start, the foremost first. A task whose workers are all busy keeps nobody back
    /// who waits for others.
    fn start(&mut self, desk: &Arc<Desk>) -> Result<(), Error> {
        let Pace { max_parallel, batch_size, .. } = desk.row()?.pace;
        let most = max_parallel.map_or(usize::MAX, |most| most.max(1) as usize);
        if self.at_work.is_empty() {
            self.left_of_batch = batch_size.map_or(u32::MAX, |size| size.max(1));
        }
        // With a new day comes new money, and with the end of an attempt what was set aside for it.
        let is_over = self.ends_at.take_if(|at| *at <= Time::now()).is_some();
        self.agenda.try_again(desk, std::mem::take(&mut self.waits_for_reset) || is_over)?;
        let mut base = None;
        let mut in_vain = 0;
        let mut waits_for_end = false;
        let closed = loop {
            let closed = self.agenda.closed_lanes(desk)?;
            if self.at_work.len() >= most || batch_size.is_some() && self.left_of_batch == 0 {
                break closed;
            }
            if in_vain >= IN_VAIN_AT_ONCE {
                self.has_more = true;
                break closed;
            }
            let agenda = &self.agenda;
            let next = schedule::first(&agenda.views, |at| agenda.may_be_tried(at, &closed));
            let Some(at) = next else { break closed };
            if self.at_work.contains_key(agenda.lights[at].id.as_str()) {
                // Its last try is about to take its leave, and wakes this: nobody gets its seat before that.
                break closed;
            }
            let task = desk.task(&agenda.lights[at].id)?;
            tracing::info!(task = %task.id, "its task is to start");
            self.unpaid.remove(&task.id);
            if base.is_none() {
                base = Some(self.base()?);
            }
            match starting::begin(desk, &task, base.as_ref().and_then(Option::as_deref))? {
                Begun::Attempt(attempt) => {
                    self.has_begun = true;
                    self.left_of_batch = self.left_of_batch.saturating_sub(1);
                    match launch_at_once(desk, &attempt, &task) {
                        Some(launched) => self.work(attempt.task.clone(), move |desk| {
                            carry_launched(desk, &attempt, launched);
                        })?,
                        None => self.spawn(*attempt, Stage::Launch)?,
                    }
                }
                begun => {
                    self.waits_for_reset |= matches!(begun, Begun::Waits("budget", _));
                    waits_for_end |= matches!(begun, Begun::Waits("rate-limit" | "unhealthy", _));
                    if let Begun::Unpaid(spent) = begun {
                        self.unpaid.insert(task.id.clone(), spent);
                    }
                    self.agenda.was_in_vain(at);
                    in_vain += 1;
                }
            }
            self.agenda.refresh(desk)?;
        };
        self.waits_for_reset |= closed.iter().flatten().any(|(reason, _)| *reason == "budget");
        waits_for_end |= closed.iter().flatten().any(|(why, _)| matches!(*why, "rate-limit" | "unhealthy"));
        if waits_for_end {
            self.ends_at = first_end(desk)?;
        }
        let may_more = self.at_work.len() < most && !(batch_size.is_some() && self.left_of_batch == 0);
        self.note_seat_wait(desk, self.agenda.awaits(&closed).filter(|_| may_more))?;
        self.tell_why(desk, &closed)?;
        self.note_memory(desk, &closed)?;
        self.pause_where_unpaid(desk, may_more)
    }

    /// Takes up a configuration that was changed: what begins from now on goes by it. One that cannot
    /// be used is told of, and the old one stays.
    fn follow_configuration(&mut self) -> Result<(), Error> {
        let session = self.desk.session.clone();
        let files = Files::of(&session, &self.desk.project);
        if files == self.files {
            return Ok(());
        }
        let is_gone = self.is_configured && !files.has_own();
        self.files = files;
        let taken = match is_gone {
            true => session.config(&self.desk.project),
            false => session.take_up_config(&self.desk.project),
        };
        let (kind, text) = match taken {
            // Whoever moves a checkout or an editor that writes anew does not mean that nothing is configured.
            Ok(_) if is_gone => (
                "config.broken",
                "the old configuration stays: kapell.toml is gone; put it back, or begin the plan anew without it"
                    .to_owned(),
            ),
            Ok(config) => {
                self.is_configured = self.files.has_own();
                self.desk = Arc::new(self.desk.with_config(config));
                self.agenda.forget_lanes(&self.desk);
                (
                    "config.changed",
                    "the configuration was changed; what begins from now on goes by it".to_owned(),
                )
            }
            Err(error) => ("config.broken", format!("the old configuration stays: {error}")),
        };
        let desk = &self.desk;
        desk.write(|tx| -> Result<(), Error> {
            tx.append_event(
                &desk.project.id,
                &NewEvent { kind, plan: Some(&desk.plan_id), text, ..NewEvent::default() },
            )?;
            Ok(())
        })
    }

    /// Takes up a budget of the plan that somebody changed: what waited for money is tried again.
    fn follow_budget(&mut self, row: &PlanRow) -> Result<(), Error> {
        if self.document == row.document {
            return Ok(());
        }
        self.document.clone_from(&row.document);
        if self.desk.take_in_the_budget(row)? {
            self.unpaid.clear();
            self.agenda.try_again(&self.desk, true)?;
        }
        Ok(())
    }

    /// The commit that a new attempt starts from: what the plan has landed so far.
    fn base(&self) -> Result<Option<String>, Error> {
        let row = self.desk.row()?;
        let git = &self.desk.git;
        let branch = row.integration.clone().unwrap_or_default();
        Ok(landing::tip(git, &self.desk.plan_id, &branch)?.map(|oid| oid.to_string()).or(row.base))
    }

    fn spawn(&mut self, attempt: crate::store::attempts::AttemptRow, stage: Stage) -> Result<(), Error> {
        self.work(attempt.task.clone(), move |desk| carry(desk, &attempt, stage))
    }

    /// Has a thread of its own do something, under the name of what it is done for.
    fn work(&mut self, name: String, what: impl FnOnce(&Arc<Desk>) + Send + 'static) -> Result<(), Error> {
        let desk = Arc::clone(&self.desk);
        let (ended, waker) = (self.ended.0.clone(), self.watch.waker());
        let said = name.clone();
        let work = move || {
            what(&desk);
            let _ = ended.send(said);
            waker.wake();
        };
        let worker = threads::start(&format!("kapell-{name}"), Box::new(work))
            .map_err(|error| Error::system("cannot start a thread", error))?;
        self.at_work.insert(name, worker);
        Ok(())
    }

    /// Does to the shims what was recorded for their attempts. Whether nobody here follows one of these.
    fn obey(&mut self) -> Result<bool, Error> {
        let live = self.desk.store()?.read(|tx| tx.live_attempts(&self.desk.plan_id))?;
        let is_unattended = live.iter().any(|attempt| !self.at_work.contains_key(&attempt.task));
        self.told.retain(|id, _| live.iter().any(|attempt| attempt.id == *id));
        for attempt in live {
            let run_dir = PathBuf::from(&attempt.run_dir);
            let request = match attempt.state {
                AttemptState::Stopping => Request::Stop { grace_ms: None },
                AttemptState::Paused => Request::Pause,
                // One that runs is not told at every look that it may.
                AttemptState::Running if self.told.get(&attempt.id) == Some(&attempt.state) => continue,
                AttemptState::Running => Request::Resume,
                AttemptState::Starting | AttemptState::Finished(_) => continue,
            };
            // One that has ended cannot be told anything, and need not.
            if client::send(&run_dir, request).is_ok() {
                self.told.insert(attempt.id, attempt.state);
            }
        }
        Ok(is_unattended)
    }

    /// Ends the commands that judge work which nobody wants any more.
    fn end_gates_of_the_cancelled(&self) -> Result<(), Error> {
        let is_over = |task: &&TaskLight| {
            task.state == TaskState::Cancelled && self.at_work.contains_key(task.id.as_str())
        };
        for task in self.agenda.lights.iter().filter(is_over) {
            let tried = self.desk.store()?.read(|tx| tx.attempts_at(&self.desk.plan_id, &task.id))?;
            if let Some(last) = tried.last() {
                commands::end_all(&self.desk.session.house, last.id.as_str(), STOP);
            }
        }
        Ok(())
    }

    /// Ends the commands of gates that run; their verdicts are left to the next conductor.
    fn end_gates(&self) -> Result<(), Error> {
        for task in self.at_work.keys() {
            if let Some(command) = task.strip_prefix(COMMAND) {
                deploying::stop(&self.desk, command);
                continue;
            }
            let tried =
                self.desk.store()?.read(|tx| tx.attempts_at(&self.desk.plan_id, &TaskId::text(task)))?;
            if let Some(attempt) = tried.last() {
                commands::end_all(&self.desk.session.house, attempt.id.as_str(), STOP);
            }
        }
        Ok(())
    }

    fn beat(&mut self) -> Result<(), Error> {
        if self.last_beat.elapsed() >= HEARTBEAT {
            (self.tend)();
            self.desk.write(|tx| tx.heartbeat(&self.desk.conductor))?;
            questions::settle_the_dead(&self.desk.session)?;
            self.last_beat = Instant::now();
            // It may wait for hours, and what it ran once need not lie in memory for so long.
            pages::let_go_of_code();
        }
        Ok(())
    }

    /// Notes the end, unless somebody dispatched work meanwhile, who found this conductor alive and
    /// relies on it.
    fn is_needed_again(&self) -> Result<bool, Error> {
        let desk = &self.desk;
        desk.write(|tx| -> Result<bool, Error> {
            let has_ended = tx.conductor(&desk.conductor)?.is_none_or(|row| !row.state.should_live());
            let row = tx.plan(&desk.plan_id)?;
            if has_ended || row.is_none_or(|row| row.state != PlanState::Running) {
                tx.set_conductor_state(&desk.conductor, ConductorState::Stopped)?;
                return Ok(false);
            }
            tx.set_conductor_state(&desk.conductor, ConductorState::Running)?;
            Ok(true)
        })
    }

    /// Brings the plan to rest if nothing more can happen by itself. Decided and recorded in one
    /// transaction, so that a task that is dispatched at this moment is not overlooked.
    fn rest(&self) -> Result<bool, Error> {
        let desk = &self.desk;
        let agenda = &self.agenda;
        desk.write(|tx| -> Result<bool, Error> {
            let lights = tx.task_lights(&desk.plan_id)?;
            if lights.len() != agenda.views.len() {
                return Ok(false);
            }
            let mut views = agenda.views.clone();
            for (view, light) in views.iter_mut().zip(&lights) {
                (view.state, view.is_wanted) = (light.state, light.wanted);
            }
            let Some(of_tasks) = schedule::conclusion(&views) else { return Ok(false) };
            let concluded = self.stages.conclude(tx, &desk.plan_id, of_tasks)?;
            let Some((state, of_stages)) = concluded else { return Ok(false) };
            let failed: Vec<&str> = lights
                .iter()
                .filter(|light| light.state == TaskState::Failed)
                .map(|light| light.id.as_str())
                .collect();
            let of_tasks = (!failed.is_empty()).then(|| format!("failed: {}", failed.join(", ")));
            let reason = of_stages.or(of_tasks);
            tx.set_plan_state(&desk.project.id, &desk.plan_id, state, reason.as_deref())?;
            tx.set_conductor_state(&desk.conductor, ConductorState::Stopped)?;
            Ok(true)
        })
    }

    /// Ends every attempt, with its tree saved, and leaves.
    fn stop(&mut self, state: &PlanState) -> Result<(), Error> {
        let desk = Arc::clone(&self.desk);
        desk.set_stopping(true);
        desk.write(|tx| -> Result<(), Error> {
            tx.set_conductor_state(&desk.conductor, ConductorState::Stopping)?;
            for attempt in tx.live_attempts(&desk.plan_id)? {
                tx.set_attempt_state(&attempt.id, AttemptState::Stopping)?;
            }
            if *state != PlanState::Stopped {
                tx.set_plan_state(
                    &desk.project.id,
                    &desk.plan_id,
                    PlanState::Stopped,
                    Some("its conductor was told to stop"),
                )?;
            }
            Ok(())
        })?;
        // Also the workers of a conductor that died: nobody else would end them.
        self.take_up()?;
        while !self.at_work.is_empty() {
            if desk.is_superseded()? {
                return Ok(());
            }
            self.obey()?;
            self.end_gates()?;
            self.watch.wait(Some(Instant::now() + Duration::from_secs(1)));
            self.beat()?;
            self.gather();
        }
        desk.write(|tx| owning::leave_stopped(tx, &desk.project.id, &desk.plan_id, desk.config.isolation))
    }
}
