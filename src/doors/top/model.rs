//! What is known and looked at. Pure: an event in, effects out; who draws it and who carries them out is
//! elsewhere.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;

use super::layout::{self, Layout};
use crate::api::wire::{ClaimStatus, ConductorStatus, EventStatus, Id, PlanStatus, TaskLine, WorkerStatus};
use crate::base::clock::{Time, Zone};
use crate::base::sorting;
use crate::services::watching::{Line, harmless};

/// As many events are kept to be scrolled back to.
const KEPT_EVENTS: usize = 1000;
/// As many lines of a log or diff are kept.
const KEPT_LINES: usize = 20_000;

/// A part of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Panel {
    /// All orchestrators.
    Plans,
    /// The selected plan's tasks.
    Tasks,
    /// The workers of its project.
    Workers,
    /// The claims of its project.
    Claims,
    /// What happens, everywhere.
    Events,
}

impl Panel {
    /// All, in the order of the keys 1 to 5.
    pub const ALL: [Self; 5] = [Self::Plans, Self::Tasks, Self::Workers, Self::Claims, Self::Events];
}

/// A key, or what the mouse does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A character.
    Char(char),
    /// Enter.
    Enter,
    /// Esc.
    Esc,
    /// Backspace.
    Backspace,
    /// Tab, or with Shift backwards.
    Tab(bool),
    /// So many lines down; up where negative.
    Move(i32),
    /// A page down or up.
    Page(i32),
    /// The first line.
    Home,
    /// The last.
    End,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// A click at a column and a row.
    Click(u16, u16),
    /// The wheel there.
    Wheel(u16, u16, i32),
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A key or the mouse.
    Input(Input),
    /// The terminal has another size.
    Resized(u16, u16),
    /// The store was looked at.
    Loaded(Box<Loaded>),
    /// The log grew.
    News(Vec<EventStatus>),
    /// A conductor died: nothing in the log tells so.
    Died,
    /// What came of a control.
    Steered(Result<String, String>),
    /// More of the log that is open.
    Lines(Vec<Line>),
    /// A text that was asked for.
    Text(Result<String, String>),
    /// Attempts printed something: which, and what they cost so far with their last lines.
    Printed(Vec<(String, String)>),
    /// Something cannot be read now.
    Trouble(String),
    /// The process goes on after it was stopped.
    Continued,
    /// It is time to end.
    Ended,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Look at the store, at this plan and its project.
    Load(Option<String>),
    /// Steer.
    Control {
        /// What to do.
        action: &'static str,
        /// To whom.
        target: String,
        /// At once.
        force: bool,
    },
    /// Read an attempt's diff.
    Diff(String),
    /// Follow an attempt's log.
    Log(String),
    /// The attempt whose log is followed has ended.
    LogOver,
    /// Follow it no more.
    LogClosed,
    /// Tell of what these attempts print, and of no others.
    Listen(Vec<String>),
    /// Give the terminal back and stop until somebody goes on.
    Suspend,
    /// Leave.
    Quit,
}

/// What a look at the store found.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Conductors, one for each plan, those at work first.
    pub plans: Vec<PlanRow>,
    /// The plan that was asked for, or the first.
    pub plan: Option<PlanStatus>,
    /// Workers of its project.
    pub workers: Vec<WorkerStatus>,
    /// Claims of its project.
    pub claims: Vec<ClaimStatus>,
    /// What needs somebody.
    pub warnings: Vec<String>,
}

/// An orchestrator in one line.
#[derive(Debug, Clone)]
pub struct PlanRow {
    /// The conductor.
    pub status: ConductorStatus,
    /// Its scheduling passes so far, where it answered.
    pub iteration: Option<u64>,
}

/// What has the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The panels.
    Panels,
    /// The filter is typed.
    Filter,
    /// Something is to be confirmed.
    Ask {
        /// What.
        question: String,
        /// What then happens.
        then: Effect,
    },
    /// A text over the whole screen.
    View,
}

/// A text over the whole screen.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// What it is.
    pub title: String,
    /// Its lines.
    pub lines: Vec<Line>,
    /// The first line that is shown.
    pub top: usize,
    /// Whether its end stays in sight.
    pub follows: bool,
    /// The attempt whose log it is.
    pub log_of: Option<String>,
}

/// Everything on the screen.
#[derive(Debug, Clone)]
pub struct Model {
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// The moment of the last event.
    pub now: Time,
    /// The person's time zone.
    pub zone: Zone,
    /// What is known.
    pub known: Loaded,
    /// Whether anything was looked at yet.
    pub is_loaded: bool,
    /// The plan that is looked at.
    pub selected: Option<String>,
    /// The log, oldest first.
    pub events: VecDeque<EventStatus>,
    /// By task: what its worker said last. By attempt: what it cost so far, and printed last.
    pub said: HashMap<String, String>,
    /// The panel with the keys.
    pub focus: Panel,
    /// By panel: the row that is looked at, counted among those shown. Of events from the newest.
    pub rows: HashMap<Panel, usize>,
    /// Plans that the person leaves waiting for room: nobody is asked about them again.
    pub left_waiting: BTreeSet<String>,
    /// Only rows with this text are shown.
    pub filter: String,
    /// Whether plans that ended are shown.
    pub shows_ended: bool,
    /// What has the keys.
    pub mode: Mode,
    /// The text over the screen.
    pub view: View,
    /// What came of the last thing done, and whether that is bad.
    pub notice: Option<(bool, String)>,
    /// What cannot be read now.
    pub trouble: Option<String>,
}

impl Model {
    /// Nothing is known yet; `plan` is to be looked at, if it is there.
    pub fn new(size: (u16, u16), zone: Zone, plan: Option<String>) -> Self {
        Self {
            size,
            now: Time::now(),
            zone,
            known: Loaded::default(),
            is_loaded: false,
            selected: plan,
            events: VecDeque::new(),
            said: HashMap::new(),
            focus: Panel::Plans,
            rows: HashMap::new(),
            left_waiting: BTreeSet::new(),
            filter: String::new(),
            shows_ended: true,
            mode: Mode::Panels,
            view: View::default(),
            notice: None,
            trouble: None,
        }
    }

    /// Takes an event in, and gives what is to be done.
    pub fn update(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Input(input) => return super::keys::input(self, input),
            Event::Resized(columns, rows) => self.size = (columns, rows),
            Event::Loaded(loaded) => return self.take(*loaded),
            Event::News(events) => return self.hear(events),
            Event::Died => return vec![self.load()],
            Event::Steered(came_of_it) => {
                self.notice = Some(match came_of_it {
                    Ok(text) => (false, text),
                    Err(text) => (true, text),
                });
                return vec![self.load()];
            }
            Event::Lines(lines) => self.more(lines),
            Event::Text(text) => {
                let text = text.unwrap_or_else(|error| error);
                let line = |text: &str| Line { style: style_of_diff(text), text: harmless(text) };
                self.more(text.lines().map(line).collect());
            }
            Event::Printed(all) => self.said.extend(all),
            Event::Trouble(why) => self.trouble = Some(why),
            Event::Continued => {}
            Event::Ended => return vec![Effect::Quit],
        }
        Vec::new()
    }

    /// Asks for everything anew.
    pub fn load(&self) -> Effect {
        Effect::Load(self.selected.clone())
    }

    fn take(&mut self, loaded: Loaded) -> Vec<Effect> {
        let before = self.is_loaded.then(|| self.plan_row().map(|row| row.status.plan_id.clone())).flatten();
        self.known = loaded;
        self.is_loaded = true;
        self.trouble = None;
        // The row stays with its plan, wherever that is now.
        let found = self.known.plan.as_ref().map(|plan| plan.plan_id.clone());
        let wanted = before.or_else(|| found.clone());
        let at = wanted.and_then(|id| self.plans().iter().position(|row| row.status.plan_id == id));
        if let Some(at) = at {
            self.rows.insert(Panel::Plans, at);
        }
        for panel in Panel::ALL {
            self.step(panel, 0);
        }
        let looked_at = self.plan_row().map(|row| row.status.plan_id.clone());
        let is_other = found.is_some() && looked_at.is_some() && found != looked_at;
        self.selected = looked_at.or(found);
        if is_other { vec![self.load()] } else { Vec::new() }
    }

    fn hear(&mut self, events: Vec<EventStatus>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let (mut is_news, before) = (false, self.events().len());
        for mut event in events {
            event.text = harmless(&event.text);
            is_news |= !is_talk(&event.kind);
            if let (Some(plan), Some(task)) = (&event.plan_id, &event.task)
                && is_talk(&event.kind)
            {
                self.said.insert(format!("{plan}/{task}"), format!(": {}", event.text));
            }
            if event.kind == "attempt.finished"
                && event.attempt.is_some()
                && event.attempt == self.view.log_of
            {
                effects.push(Effect::LogOver);
            }
            self.events.push_back(event);
        }
        while self.events.len() > KEPT_EVENTS {
            self.events.pop_front();
        }
        // Who looks back is not moved on.
        let grown = self.events().len().saturating_sub(before);
        if let Some(row) = self.rows.get_mut(&Panel::Events).filter(|row| **row > 0) {
            *row += grown;
        }
        self.step(Panel::Events, 0);
        if is_news {
            effects.push(self.load());
        }
        effects
    }

    fn more(&mut self, lines: Vec<Line>) {
        let follows = self.view.follows;
        self.view.lines.extend(lines);
        let excess = self.view.lines.len().saturating_sub(KEPT_LINES);
        self.view.lines.drain(..excess);
        self.view.top = self.view.top.saturating_sub(excess);
        if follows {
            self.view.top = self.last_top();
        }
    }

    /// The first line when the last is at the bottom.
    pub fn last_top(&self) -> usize {
        self.view.lines.len().saturating_sub(layout::view_rows(self.size))
    }

    /// Opens a text over the screen.
    pub fn open(&mut self, title: String, follows: bool, log_of: Option<String>) {
        self.view = View { title, follows, log_of, ..View::default() };
        self.mode = Mode::View;
    }

    /// Where everything stands.
    pub fn layout(&self) -> Layout {
        layout::lay_out(self.size, self.focus, self.plans().len(), self.warnings().len())
    }

    /// The orchestrators that are shown.
    pub fn plans(&self) -> Vec<&PlanRow> {
        let shown = |row: &&PlanRow| {
            let status = &row.status;
            (self.shows_ended || !matches!(status.state.as_str(), "stopped"))
                && (!self.is_about_plans()
                    || self.matches(&[
                        &status.plan_id,
                        &status.state,
                        status.project.as_deref().unwrap_or(""),
                    ]))
        };
        self.known.plans.iter().filter(shown).collect()
    }

    /// The tasks that are shown, with the number of their wave, in the order of the waves.
    pub fn tasks(&self) -> Vec<(usize, &TaskLine)> {
        let Some(plan) = &self.known.plan else { return Vec::new() };
        let waves = waves(&plan.tasks);
        let mut tasks: Vec<(usize, &TaskLine)> = waves.into_iter().zip(&plan.tasks).collect();
        sorting::sort_by_key(&mut tasks, |(wave, _)| *wave);
        tasks.retain(|(_, task)| {
            let worker = task.worker.as_deref().unwrap_or("");
            self.is_about_plans() || self.matches(&[&id_text(&task.id), &task.state, &task.task, worker])
        });
        tasks
    }

    /// The workers that are shown, those at work first.
    pub fn workers(&self) -> Vec<&WorkerStatus> {
        let is_shown = |worker: &&WorkerStatus| {
            self.is_about_plans()
                || self.matches(&[&worker.worker, &worker.state, &worker.provider, &worker.tasks.join(" ")])
        };
        let mut workers: Vec<&WorkerStatus> = self.known.workers.iter().filter(is_shown).collect();
        sorting::sort_by_key(&mut workers, |worker| match worker.state.as_str() {
            "busy" => 0,
            "idle" => 2,
            _ => 1,
        });
        workers
    }

    /// The same with what they do: a row for each of their tries.
    pub fn seats(&self) -> Vec<(&WorkerStatus, Option<&String>)> {
        let mut seats = Vec::new();
        for worker in self.workers() {
            if worker.tasks.is_empty() {
                seats.push((worker, None));
            }
            seats.extend(worker.tasks.iter().map(|task| (worker, Some(task))));
        }
        seats
    }

    /// The attempt that is at work on a task, as far as its claims or its plan tell.
    pub fn try_at(&self, id: &str) -> Option<String> {
        let is_its =
            |claim: &&ClaimStatus| claim.holder_kind == "attempt" && claim.task.as_deref() == Some(id);
        let claim = self.known.claims.iter().find(is_its);
        claim.map(|claim| claim.holder.clone()).or_else(|| self.last_try_at(id))
    }

    /// The last attempt at a task of the plan that is looked at.
    fn last_try_at(&self, id: &str) -> Option<String> {
        let plan = self.known.plan.as_ref()?;
        let (of, task) = id.split_once('/')?;
        let line = plan.tasks.iter().find(|line| of == plan.plan_id && id_text(&line.id) == task)?;
        line.attempt.clone()
    }

    /// The attempts whose rows are in sight.
    pub fn in_sight(&self) -> Vec<String> {
        let layout = self.layout();
        let first = layout.first_row(Panel::Workers, self.row(Panel::Workers));
        let rows = self.seats().into_iter().skip(first).take(layout.rows_of(Panel::Workers));
        rows.filter_map(|(_, task)| self.try_at(task?)).collect()
    }

    /// The claims that are shown.
    pub fn claims(&self) -> Vec<&ClaimStatus> {
        let is_shown = |claim: &&ClaimStatus| {
            self.is_about_plans()
                || self.matches(&[&claim.pattern, &claim.holder, claim.task.as_deref().unwrap_or("")])
        };
        self.known.claims.iter().filter(is_shown).collect()
    }

    /// The events that are shown, newest first.
    pub fn events(&self) -> Vec<&EventStatus> {
        let is_shown = |event: &&EventStatus| {
            let plan = event.plan_id.as_deref().unwrap_or("");
            self.is_about_plans()
                || self.matches(&[plan, event.task.as_deref().unwrap_or(""), &event.kind, &event.text])
        };
        self.events.iter().rev().filter(is_shown).collect()
    }

    /// The name of the project that the workers and claims are of: the selected plan's.
    pub fn project(&self) -> Option<&str> {
        let plan = &self.known.plan.as_ref()?.plan_id;
        let row = self.known.plans.iter().find(|row| row.status.plan_id == *plan)?;
        Path::new(row.status.project.as_deref()?).file_name()?.to_str()
    }

    /// What needs somebody: each with the plan that can be launched, where one waits for room.
    pub fn warnings(&self) -> Vec<(String, Option<String>)> {
        let is_asked = |plan: &String| !self.left_waiting.contains(plan);
        let queued = self.known.plans.iter().filter_map(|row| {
            let place = row.status.position?;
            let plan = Some(row.status.plan_id.clone()).filter(is_asked)?;
            Some((format!("{plan} waits for room, #{place} in the queue"), Some(plan)))
        });
        let notes = self.known.plans.iter().filter_map(|row| {
            let (plan, note) = (&row.status.plan_id, row.status.note.as_ref()?);
            if row.status.lacks.is_none() {
                return Some((format!("{plan}: {note}"), None));
            }
            // How to launch it stands beside.
            let why = note.split("; ").next().unwrap_or(note);
            is_asked(plan).then(|| (format!("{plan}: {why}"), Some(plan.clone())))
        });
        // The overview says the same of this project's plans.
        let is_said = |text: &String| {
            let lacking = self.known.plans.iter().filter(|row| row.status.lacks.is_some());
            lacking
                .map(|row| &row.status.plan_id)
                .any(|plan| text.starts_with(&format!("plan {plan}: no worker starts")))
        };
        let told = self.known.warnings.iter().filter(|text| !is_said(text)).map(|text| (text.clone(), None));
        let mut seen = BTreeSet::new();
        let mut all: Vec<_> = queued.chain(notes).chain(told).collect();
        all.retain(|(text, _)| seen.insert(text.clone()));
        all
    }

    /// What is typed while the orchestrators have the keys is about these, else about everything else.
    fn matches(&self, texts: &[&str]) -> bool {
        let wanted = self.filter.to_lowercase();
        wanted.split_whitespace().all(|word| texts.iter().any(|text| text.to_lowercase().contains(word)))
    }

    fn is_about_plans(&self) -> bool {
        self.focus == Panel::Plans
    }

    /// How many rows a panel has.
    pub fn length(&self, panel: Panel) -> usize {
        match panel {
            Panel::Plans => self.plans().len(),
            Panel::Tasks => self.tasks().len(),
            Panel::Workers => self.seats().len(),
            Panel::Claims => self.claims().len(),
            Panel::Events => self.events().len(),
        }
    }

    /// The row of a panel that is looked at.
    pub fn row(&self, panel: Panel) -> usize {
        self.rows.get(&panel).copied().unwrap_or(0)
    }

    /// Moves within a panel.
    pub fn step(&mut self, panel: Panel, by: i32) {
        let last = self.length(panel).saturating_sub(1);
        let row = self.row(panel).saturating_add_signed(by as isize).min(last);
        self.rows.insert(panel, row);
    }

    /// The orchestrator that is looked at.
    pub fn plan_row(&self) -> Option<&PlanRow> {
        self.plans().get(self.row(Panel::Plans)).copied()
    }

    /// The task that is looked at.
    pub fn task_row(&self) -> Option<&TaskLine> {
        self.tasks().get(self.row(Panel::Tasks)).map(|(_, task)| *task)
    }

    /// `PLAN/TASK` of what is looked at, where that is a task or somebody at work on one.
    pub fn task_id(&self) -> Option<String> {
        let plan = self.known.plan.as_ref()?;
        match self.focus {
            Panel::Plans => None,
            Panel::Tasks => Some(format!("{}/{}", plan.plan_id, id_text(&self.task_row()?.id))),
            Panel::Workers => self.seats().get(self.row(Panel::Workers))?.1.cloned(),
            Panel::Claims => self.claims().get(self.row(Panel::Claims))?.task.clone(),
            Panel::Events => {
                let event = *self.events().get(self.row(Panel::Events))?;
                Some(format!("{}/{}", event.plan_id.as_ref()?, event.task.as_ref()?))
            }
        }
    }

    /// The attempt that is looked at: the last one at its task.
    pub fn attempt_id(&self) -> Option<String> {
        let of_task = |id: &str| self.last_try_at(id);
        match self.focus {
            Panel::Events => {
                let event = *self.events().get(self.row(Panel::Events))?;
                event.attempt.clone().or_else(|| of_task(&self.task_id()?))
            }
            Panel::Claims => {
                let claim = *self.claims().get(self.row(Panel::Claims))?;
                (claim.holder_kind == "attempt").then(|| claim.holder.clone())
            }
            _ => of_task(&self.task_id()?),
        }
    }
}

/// What a worker says while it works; nothing else changes by it.
fn is_talk(kind: &str) -> bool {
    matches!(kind, "attempt.said" | "attempt.tool" | "attempt.retrying" | "attempt.warning")
}

fn style_of_diff(line: &str) -> crate::services::watching::LineStyle {
    use crate::services::watching::LineStyle;
    match line.as_bytes().first() {
        Some(b'+') => LineStyle::Done,
        Some(b'-') => LineStyle::Aside,
        _ => LineStyle::Said,
    }
}

/// An id as it was written.
pub fn id_text(id: &Id) -> String {
    match id {
        Id::Number(number) => number.to_string(),
        Id::Text(text) => text.clone(),
    }
}

/// For each task the wave in which it can begin, from 1: one after the last of those that it waits for.
pub fn waves(tasks: &[TaskLine]) -> Vec<usize> {
    let places: HashMap<String, usize> =
        tasks.iter().enumerate().map(|(at, task)| (id_text(&task.id), at)).collect();
    let mut waves = vec![1; tasks.len()];
    // A plan has no circle; as many rounds as there are tasks would find the end of one all the same.
    for _ in 0..tasks.len() {
        let mut is_settled = true;
        for (at, task) in tasks.iter().enumerate() {
            let before = task.depends_on.iter().filter_map(|id| places.get(&id_text(id)));
            let wave = before.map(|before| waves[*before] + 1).max().unwrap_or(1).min(tasks.len());
            if wave > waves[at] {
                waves[at] = wave;
                is_settled = false;
            }
        }
        if is_settled {
            break;
        }
    }
    waves
}
