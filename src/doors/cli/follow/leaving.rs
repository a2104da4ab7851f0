//! Leaving a run that goes on: what a person wants done with it after Ctrl-C, unless it ends before they say so.

use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{is_over, whole_plan};
use crate::api::ApiError;
use crate::api::wire::{Action, ControlParams, PlanStatus};
use crate::base::threads;
use crate::doors::cli::calls::Desk;
use crate::doors::cli::status_file::StatusFile;
use crate::services::Cancel;
use crate::services::following::Interest;

/// How long the end of a plan that was told to stop is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a run is left by Ctrl-C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It goes on.
    Runs,
    /// Nothing new begins.
    Paused,
    /// It is ended.
    Stopped,
}

/// A plan that has ended, as it is told and as it is read.
type Ended = (Value, PlanStatus);

/// A line that was typed, and whether it was the last.
type Answer = (String, bool);

/// Asks a person what becomes of the work; without one it goes on. A second Ctrl-C ends the process. A plan that
/// ends meanwhile needs no answer.
pub fn what_now(desk: &mut Desk<'_>, plan_id: &str) -> Result<Result<Ended, Left>, ApiError> {
    if desk.cancel.is_given_up()
        || desk.out.is_json()
        || !desk.out.can_ask()
        || !std::io::stdin().is_terminal()
    {
        return Ok(Err(Left::Runs));
    }
    let answers = answers(desk.cancel.clone());
    decide(desk, plan_id, &answers)
}

/// What is typed, line by line; each ends a wait.
fn answers(cancel: Cancel) -> Receiver<Answer> {
    let (said, answers) = channel();
    // It ends with the process.
    let listen = move || {
        loop {
            let mut answer = String::new();
            let is_last = std::io::stdin().read_line(&mut answer).unwrap_or(0) == 0;
            let is_heard = said.send((answer, is_last)).is_ok();
            cancel.cancel();
            if is_last || !is_heard {
                return;
            }
        }
    };
    let _ = threads::start("answers", Box::new(listen));
    answers
}

pub(super) fn decide(
    desk: &mut Desk<'_>,
    plan_id: &str,
    answers: &Receiver<Answer>,
) -> Result<Result<Ended, Left>, ApiError> {
    let (action, left) = loop {
        desk.out.ask(&format!("{plan_id} is at work. [d]etach and let it go on, [p]ause, or [s]top it? [d]"));
        let (answer, is_last) = match answer_or_end(desk, plan_id, answers)? {
            Ok(answer) => answer,
            Err(ended) => {
                // The question stands in a line that nobody has ended.
                desk.out.note("");
                desk.out.note(&format!("it is {} meanwhile, and needs no answer", ended.1.state));
                return Ok(Ok(ended));
            }
        };
        match Left::of_answer(&answer, is_last) {
            Some(Left::Runs) => return Ok(Err(Left::Runs)),
            Some(Left::Paused) => break (Action::Pause, Left::Paused),
            Some(Left::Stopped) => break (Action::Stop, Left::Stopped),
            None => {}
        }
    };
    let params = ControlParams {
        action,
        target: plan_id.to_owned(),
        force: false,
        message: None,
        paths: Vec::new(),
        budget_usd: None,
    };
    let error = match desk.call("control", params) {
        Ok(done) => {
            if left == Left::Stopped {
                desk.out.note(done["message"].as_str().unwrap_or_default());
            }
            return Ok(Err(left));
        }
        Err(error) => error,
    };
    // It may have ended before it was told.
    let (value, _, status) = whole_plan(desk, plan_id)?;
    if is_over(&status) { Ok(Ok((value, status))) } else { Err(error) }
}

/// What was typed next, or how the plan ended before that.
fn answer_or_end(
    desk: &Desk<'_>,
    plan_id: &str,
    answers: &Receiver<Answer>,
) -> Result<Result<Answer, Ended>, ApiError> {
    loop {
        desk.cancel.take_back();
        if let Ok(answer) = answers.try_recv() {
            return Ok(Ok(answer));
        }
        // Who is told to end waits for no answer.
        if desk.cancel.is_given_up() {
            return Ok(Ok((String::new(), true)));
        }
        let (value, seq, status) = whole_plan(desk, plan_id)?;
        if is_over(&status) {
            return Ok(Err((value, status)));
        }
        (desk.wait)(Interest { plan: Some(plan_id.to_owned()), ..Interest::default() }, seq)?;
    }
}

/// Waits until a plan that was told to stop has come to it, not for ever: its conductor may hang. Gives how the plan is
/// then.
pub fn until_stopped(
    desk: &mut Desk<'_>,
    plan_id: &str,
    mut file: Option<&mut StatusFile>,
) -> Result<PlanStatus, ApiError> {
    let deadline = Instant::now() + PATIENCE;
    desk.cancel.take_back();
    loop {
        let (_, seq, status) = whole_plan(desk, plan_id)?;
        if is_over(&status) || desk.cancel.is_cancelled() || Instant::now() >= deadline {
            return Ok(status);
        }
        // Another Ctrl-C ends this at any moment.
        if let Some(file) = &mut file {
            file.leave(desk.out, &status);
        }
        desk.out.progress(&format!("stopping: {} running", status.running));
        // In short waits, for the sake of the deadline.
        let interest = Interest { plan: Some(plan_id.to_owned()), is_untold: true, ..Interest::default() };
        (desk.wait)(interest, seq)?;
    }
}

impl Left {
    /// From what was typed; `None` for what is no answer. Nothing at all lets it go on.
    pub(super) fn of_answer(answer: &str, is_over: bool) -> Option<Self> {
        match answer.trim().to_lowercase().as_str() {
            "" | "d" | "detach" => Some(Self::Runs),
            "p" | "pause" => Some(Self::Paused),
            "s" | "stop" => Some(Self::Stopped),
            _ if is_over => Some(Self::Runs),
            _ => None,
        }
    }
}
