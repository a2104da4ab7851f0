//! What keys and the mouse mean.

use super::draw::{LAUNCH, QUEUE};
use super::model::{Effect, Input, Mode, Model, Panel};
use crate::services::watching::{Line, LineStyle};

/// What can be pressed, for the help: the keys, and what they do.
pub const HELP: [(&str, &str); 26] = [
    ("1 … 5, Tab", "go to a panel: plans, tasks, workers, claims, events"),
    ("↑ ↓ j k", "move; PgUp, PgDn, Home, End farther"),
    ("Enter", "on a plan: look at it; on anything else: its log"),
    ("p", "pause: nothing new starts"),
    ("P", "pause, and suspend what runs"),
    ("r", "resume"),
    ("s", "stop: end what runs, its work kept"),
    ("f", "stop at once, without grace"),
    ("t", "retry: the task, or all of the plan that failed"),
    ("a", "approve: accept work that the judge refused, or a stage that waits"),
    ("c", "cancel: call the task off"),
    ("n", "land the plan on its target branch"),
    ("g", "launch anyway the plan that is looked at and waits for room"),
    ("w", "leave it in the queue, and do not ask again"),
    ("l", "open the log of the attempt, and follow it"),
    ("d", "open the diff of the attempt"),
    ("/", "show only what has these words in it; Esc shows all again"),
    ("e", "show or hide plans that ended"),
    ("R", "look at everything anew"),
    ("?", "this"),
    ("q, Ctrl-C", "leave; what runs goes on"),
    ("Ctrl-Z", "stop this screen; fg goes on with it"),
    ("", ""),
    ("mouse", "click a row, a panel, [launch anyway] or [queue]; the wheel moves"),
    ("", ""),
    ("", "Esc or q closes this."),
];

/// Takes a key or the mouse.
pub fn input(model: &mut Model, input: Input) -> Vec<Effect> {
    if input == Input::Interrupt {
        return vec![Effect::Quit];
    }
    if input == Input::Suspend {
        return vec![Effect::Suspend];
    }
    match &model.mode {
        Mode::Panels => panels(model, input),
        Mode::Filter => filter(model, input),
        Mode::Ask { then, .. } => {
            let then = then.clone();
            model.mode = Mode::Panels;
            match input {
                Input::Char('y' | 'Y') => vec![then],
                _ => {
                    model.notice = Some((false, "not done".to_owned()));
                    Vec::new()
                }
            }
        }
        Mode::View => view(model, input),
    }
}

fn panels(model: &mut Model, input: Input) -> Vec<Effect> {
    let focus = model.focus;
    // What came of the key before was read by now.
    model.notice = None;
    match input {
        Input::Char('q') => return vec![Effect::Quit],
        Input::Char('?') => help(model),
        Input::Char('/') => model.mode = Mode::Filter,
        Input::Esc => model.filter.clear(),
        Input::Char(digit @ '1'..='5') => {
            model.focus = Panel::ALL[digit as usize - '1' as usize];
        }
        Input::Tab(back) => {
            let at = Panel::ALL.iter().position(|panel| *panel == focus).unwrap_or(0);
            model.focus = Panel::ALL[(at + if back { 4 } else { 1 }) % 5];
        }
        Input::Char('j') => return step(model, focus, 1),
        Input::Char('k') => return step(model, focus, -1),
        Input::Move(by) => return step(model, focus, by),
        Input::Page(by) => {
            let rows = i32::try_from(model.layout().rows_of(focus).max(2) - 1).unwrap_or(1);
            return step(model, focus, by * rows);
        }
        Input::Home => return step(model, focus, i32::MIN + 1),
        Input::End => return step(model, focus, i32::MAX),
        Input::Char('R') => return vec![model.load()],
        Input::Char('e') => {
            model.shows_ended = !model.shows_ended;
            return step(model, Panel::Plans, 0);
        }
        Input::Char('p') => return steer(model, "pause", false),
        Input::Char('P') => return ask(model, "pause", true, "suspend what runs"),
        Input::Char('r') => return steer(model, "resume", false),
        Input::Char('s') => return ask(model, "stop", false, "end what runs, its work kept"),
        Input::Char('f') => return ask(model, "stop", true, "end it at once, without grace"),
        Input::Char('t') => return steer(model, "retry", false),
        Input::Char('a') => return ask(model, "approve", false, "accept it"),
        Input::Char('c') => return ask(model, "cancel", false, "call it off for good"),
        Input::Char('n') => return ask(model, "land", false, "bring it to its target branch"),
        Input::Char('g') => return launch(model),
        Input::Char('w') => leave(model),
        Input::Char('d') => return diff(model),
        Input::Char('l') => return log(model),
        Input::Enter if focus == Panel::Plans => model.focus = Panel::Tasks,
        Input::Enter => return log(model),
        Input::Click(x, y) => return click(model, x, y),
        Input::Wheel(x, y, by) => {
            if let Some((panel, _)) = model.layout().at(x, y) {
                // Events are counted from the newest, which stands below.
                return step_shown(model, panel, by);
            }
        }
        Input::Char(_) | Input::Backspace | Input::Interrupt | Input::Suspend => {}
    }
    Vec::new()
}

/// Moves down on the screen: of events, which stand with the newest below, towards the newest.
fn step(model: &mut Model, panel: Panel, by: i32) -> Vec<Effect> {
    step_shown(model, panel, by)
}

fn step_shown(model: &mut Model, panel: Panel, by: i32) -> Vec<Effect> {
    model.step(panel, if panel == Panel::Events { -by } else { by });
    looked_at(model)
}

/// Another plan that is looked at is loaded.
fn looked_at(model: &mut Model) -> Vec<Effect> {
    let plan = model.plan_row().map(|row| row.status.plan_id.clone());
    if plan.is_some() && plan != model.selected {
        model.selected = plan;
        // Until it is there, no key may reach what is another plan's.
        model.known.plan = None;
        return vec![model.load()];
    }
    Vec::new()
}

fn click(model: &mut Model, x: u16, y: u16) -> Vec<Effect> {
    let layout = model.layout();
    if layout.warnings.contains((x, y).into()) {
        let at = usize::from(y - layout.warnings.y);
        let plan = model.warnings().get(at).and_then(|(_, plan)| plan.clone());
        let Some(plan) = plan else { return Vec::new() };
        let from_right = usize::from(layout.warnings.right().saturating_sub(x));
        if from_right <= QUEUE.len() {
            left(model, plan);
        } else if from_right <= QUEUE.len() + LAUNCH.len() {
            return launched(plan);
        }
        return Vec::new();
    }
    let Some((panel, row)) = layout.at(x, y) else { return Vec::new() };
    model.focus = panel;
    let Some(row) = row.map(usize::from) else { return Vec::new() };
    let first = layout.first_row(panel, model.row(panel));
    let at = match panel {
        // The newest stands in the last row.
        Panel::Events => {
            let shown = layout.rows_of(panel).min(model.length(panel).saturating_sub(first));
            match (first + shown).checked_sub(row + 1) {
                Some(at) => at,
                None => return Vec::new(),
            }
        }
        _ => first + row,
    };
    if at < model.length(panel) {
        model.rows.insert(panel, at);
    }
    looked_at(model)
}

/// What a key steers: the task that is looked at, or the plan.
fn target(model: &Model, action: &str) -> Option<String> {
    let plan = || Some(model.plan_row()?.status.plan_id.clone());
    match (action, model.focus) {
        ("land", _) | (_, Panel::Plans) => plan(),
        _ => model.task_id(),
    }
}

fn steer(model: &mut Model, action: &'static str, force: bool) -> Vec<Effect> {
    match target(model, action) {
        Some(target) => {
            model.notice = Some((false, format!("{action} {target} …")));
            vec![Effect::Control { action, target, force }]
        }
        None => {
            model.notice = Some((true, format!("nothing to {action} is selected")));
            Vec::new()
        }
    }
}

fn ask(model: &mut Model, action: &'static str, force: bool, what: &str) -> Vec<Effect> {
    let Some(target) = target(model, action) else { return steer(model, action, force) };
    let question = format!("{action} {target}: {what}?");
    model.mode = Mode::Ask { question, then: Effect::Control { action, target, force } };
    Vec::new()
}

fn launch(model: &mut Model) -> Vec<Effect> {
    match waiting(model) {
        Some(plan) => launched(plan),
        None => Vec::new(),
    }
}

/// Leaves the plan that is looked at in the queue.
fn leave(model: &mut Model) {
    if let Some(plan) = waiting(model) {
        left(model, plan);
    }
}

fn left(model: &mut Model, plan: String) {
    model.notice = Some((false, format!("{plan} begins by itself as soon as there is room")));
    model.left_waiting.insert(plan);
}

/// The plan that is looked at, where it waits for room; of another nothing is done unasked.
fn waiting(model: &mut Model) -> Option<String> {
    let waits = model.plan_row().filter(|row| row.status.position.is_some() || row.status.lacks.is_some());
    if let Some(row) = waits {
        return Some(row.status.plan_id.clone());
    }
    let other =
        model.known.plans.iter().find(|row| row.status.position.is_some() || row.status.lacks.is_some());
    let why = match other {
        Some(row) => format!("{} waits for room: go to it first", row.status.plan_id),
        None => "no plan waits for room".to_owned(),
    };
    model.notice = Some((true, why));
    None
}

fn launched(target: String) -> Vec<Effect> {
    vec![Effect::Control { action: "launch", target, force: false }]
}

fn diff(model: &mut Model) -> Vec<Effect> {
    let Some(attempt) = model.attempt_id() else { return no_attempt(model) };
    model.open(format!("diff of attempt {attempt}"), false, None);
    vec![Effect::Diff(attempt)]
}

fn log(model: &mut Model) -> Vec<Effect> {
    let Some(attempt) = model.attempt_id() else { return no_attempt(model) };
    model.open(format!("log of attempt {attempt}"), true, Some(attempt.clone()));
    vec![Effect::Log(attempt)]
}

fn no_attempt(model: &mut Model) -> Vec<Effect> {
    model.notice = Some((true, "no attempt is selected: go to a task that was tried".to_owned()));
    Vec::new()
}

fn help(model: &mut Model) {
    model.open("kapell top".to_owned(), false, None);
    let line =
        |(key, what): &(&str, &str)| Line { style: LineStyle::Said, text: format!("  {key:12}  {what}") };
    model.view.lines = HELP.iter().map(line).collect();
}

fn filter(model: &mut Model, input: Input) -> Vec<Effect> {
    match input {
        Input::Char(c) => model.filter.push(c),
        Input::Backspace => drop(model.filter.pop()),
        Input::Enter => model.mode = Mode::Panels,
        Input::Esc => {
            model.filter.clear();
            model.mode = Mode::Panels;
        }
        _ => {}
    }
    for panel in Panel::ALL {
        model.step(panel, 0);
    }
    looked_at(model)
}

fn view(model: &mut Model, input: Input) -> Vec<Effect> {
    let page = i32::try_from(super::layout::view_rows(model.size).max(2) - 1).unwrap_or(1);
    let by = match input {
        Input::Char('q') | Input::Esc => {
            let was_log = model.view.log_of.is_some();
            model.mode = Mode::Panels;
            model.view = super::model::View::default();
            return if was_log { vec![Effect::LogClosed] } else { Vec::new() };
        }
        Input::Char('j') => 1,
        Input::Char('k') => -1,
        Input::Move(by) | Input::Wheel(_, _, by) => by,
        Input::Page(by) => by * page,
        Input::Char(' ') => page,
        Input::Home | Input::Char('g') => i32::MIN + 1,
        Input::End | Input::Char('G') => i32::MAX,
        _ => return Vec::new(),
    };
    let last = model.last_top();
    let top = model.view.top.saturating_add_signed(by as isize).min(last);
    model.view.top = top;
    // Who scrolls to the end of a log sees what comes.
    model.view.follows = model.view.log_of.is_some() && top == last;
    Vec::new()
}
