//! `env`: the commands about environments.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::mpsc::channel;

use serde_json::json;

use super::args::{EnvCommand, Services};
use super::calls::{self, Desk, typed};
use super::screens;
use super::tame::{Tamer, whole};
use crate::api::ApiError;
use crate::api::wire::{EnvironmentsAction as Action, EnvironmentsParams, EnvironmentsResult, GitCommand};
use crate::base::notices::Notices;
use crate::services::Error;
use crate::services::following::Interest;
use crate::sys::plain;

/// Whether the command waits.
pub fn waits(command: &EnvCommand) -> bool {
    match command {
        EnvCommand::Status { watch, .. } | EnvCommand::Monitor { watch, .. } => *watch,
        EnvCommand::Logs { follow, .. } => *follow,
        EnvCommand::Launch(_) | EnvCommand::Restart(_) => true,
        _ => false,
    }
}

/// Whether the command goes on when it is told to end, until all is whole: half of it would lie in a checkout.
pub fn goes_on(command: &EnvCommand) -> bool {
    matches!(command, EnvCommand::Git { .. } | EnvCommand::Sync { .. } | EnvCommand::Maintain { .. })
}

fn with(action: Action, name: Option<String>) -> EnvironmentsParams {
    EnvironmentsParams { action, name, ..EnvironmentsParams::default() }
}

/// Carries a command out. Gives the exit code.
pub fn run(desk: &mut Desk<'_>, command: EnvCommand) -> Result<u8, ApiError> {
    let services = |action, args: Services| EnvironmentsParams {
        sub: args.sub,
        force: args.force,
        ..with(action, args.name)
    };
    let params = match command {
        EnvCommand::Create { names, count } => {
            EnvironmentsParams { names, count, ..with(Action::Create, None) }
        }
        EnvCommand::Status { name, sub, watch: true } => {
            return watch(desk, &EnvironmentsParams { sub, ..with(Action::Status, name) });
        }
        EnvCommand::Status { name, sub, watch: false } => {
            EnvironmentsParams { sub, ..with(Action::Status, name) }
        }
        EnvCommand::Launch(args) => services(Action::Launch, args),
        EnvCommand::Stop(args) => services(Action::Stop, args),
        EnvCommand::Restart(args) => services(Action::Restart, args),
        EnvCommand::Logs { name, sub, lines, follow } => {
            let params = EnvironmentsParams { sub, count: Some(lines), ..with(Action::Logs, Some(name)) };
            return logs(desk, params, follow);
        }
        EnvCommand::Sync { name } => with(Action::Sync, name),
        EnvCommand::Git { name, verb, args } => {
            EnvironmentsParams { git: Some(GitCommand { verb, args }), ..with(Action::Git, Some(name)) }
        }
        EnvCommand::Monitor { name, watch: true } => return watch(desk, &with(Action::Health, name)),
        EnvCommand::Monitor { name, watch: false } => with(Action::Health, name),
        EnvCommand::Backup { name, list } => {
            EnvironmentsParams { which: list.then(|| "list".to_owned()), ..with(Action::Backup, name) }
        }
        EnvCommand::Restore { name, backup, force } => {
            EnvironmentsParams { which: backup, force, ..with(Action::Restore, Some(name)) }
        }
        EnvCommand::Reset { name, force } => EnvironmentsParams { force, ..with(Action::Reset, Some(name)) },
        EnvCommand::Maintain { timer: Some(kind), .. } => {
            let value = desk.call("environments", with(Action::Export, None))?;
            let text = &value["export"]["timers"][kind.as_str()];
            match desk.out.is_json() {
                true => desk.out.json(&json!({"timer": text})),
                false => desk.out.result(text.as_str().unwrap_or_default()),
            }
            return Ok(0);
        }
        EnvCommand::Maintain { which, timer: None } => {
            EnvironmentsParams { which, ..with(Action::Maintain, None) }
        }
        EnvCommand::Export => {
            let value = desk.call("environments", with(Action::Export, None))?;
            desk.out.json(&value["export"]);
            return Ok(0);
        }
        EnvCommand::Remove { name, force } => {
            EnvironmentsParams { force, ..with(Action::Remove, Some(name)) }
        }
    };
    let value = desk.call("environments", params)?;
    let result = desk.show::<EnvironmentsResult>(&value, screens::environments)?;
    Ok(code(&result))
}

fn code(result: &EnvironmentsResult) -> u8 {
    u8::from(!result.failed.is_empty() || result.healthy == Some(false))
}

/// Shows it again whenever something happened, until Ctrl-C.
fn watch(desk: &mut Desk<'_>, params: &EnvironmentsParams) -> Result<u8, ApiError> {
    let mut last = None;
    loop {
        let seq = calls::newest(desk)?;
        let value = desk.call("environments", params)?;
        let result: EnvironmentsResult = typed(&value)?;
        if last.as_ref() != Some(&value) {
            if desk.out.is_json() {
                desk.out.json(&value);
            } else {
                let text = screens::environments(&desk.view(), &result);
                desk.out.redraw(&text);
            }
        }
        last = Some(value);
        if desk.cancel.is_cancelled() || desk.out.is_closed() {
            return Ok(code(&result));
        }
        (desk.wait)(Interest { all_projects: true, is_untold: true, ..Interest::default() }, seq)?;
        if desk.cancel.is_cancelled() {
            return Ok(code(&result));
        }
    }
}

/// The last lines, and what comes after them.
fn logs(desk: &mut Desk<'_>, params: EnvironmentsParams, follow: bool) -> Result<u8, ApiError> {
    let value = desk.call("environments", params)?;
    let result: EnvironmentsResult = typed(&value)?;
    if desk.out.is_json() && !follow {
        desk.out.json(&value);
        return Ok(0);
    }
    let text = result.log.as_deref().unwrap_or_default();
    let mut printed = Printed::default();
    printed.print(desk, text.as_bytes());
    let sub = result.environments.first().and_then(|environment| environment.subs.first());
    match sub.and_then(|sub| sub.log.clone()).filter(|_| follow) {
        Some(path) => follow_log(desk, Path::new(&path), printed),
        None => Ok(0),
    }
}

/// What of a log was printed.
#[derive(Default)]
struct Printed {
    tamer: Tamer,
    /// Of a line or a character that is not whole.
    rest: Vec<u8>,
}

impl Printed {
    /// Prints a piece: as it is; without what would steer a terminal on one; line by line for programs.
    fn print(&mut self, desk: &mut Desk<'_>, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
        let is_json = desk.out.is_json();
        let whole = match is_json {
            true => self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
            false => whole(&self.rest),
        };
        let piece: Vec<u8> = self.rest.drain(..whole).collect();
        if is_json {
            for line in piece.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                desk.out.json(&json!({"line": String::from_utf8_lossy(line)}));
            }
        } else if desk.out.is_terminal() {
            desk.out.bytes(&self.tamer.tame(&piece));
        } else {
            desk.out.bytes(&piece);
        }
    }
}

/// Prints what is appended to a log, woken by the system. A log that is put aside is left for the new one.
fn follow_log(desk: &mut Desk<'_>, path: &Path, mut printed: Printed) -> Result<u8, ApiError> {
    let failed = |error| Error::system(format!("cannot follow {}", path.display()), error);
    let (sender, changes) = channel();
    let interrupted = sender.clone();
    desk.cancel.on_cancel(move || {
        // Nobody listens any more where that fails.
        let _ = interrupted.send(());
    });
    let folder = path.parent().unwrap_or(path);
    let _notices = Notices::of(folder, move |_| {
        let _ = sender.send(());
    })
    .map_err(failed)?;
    // One that is gone is followed from its beginning, once there is one again.
    let mut at = std::fs::symlink_metadata(path).map_or(0, |log| log.len());
    if !path.exists() {
        desk.out.note("the log was deleted; what the service prints is seen again after the next launch");
    }
    loop {
        let length = std::fs::symlink_metadata(path).map_or(0, |log| log.len());
        if length < at {
            at = 0;
        }
        if length > at
            && let Ok(mut file) = plain::open(path)
        {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(at)).map_err(failed)?;
            file.take(length - at).read_to_end(&mut bytes).map_err(failed)?;
            at += bytes.len() as u64;
            printed.print(desk, &bytes);
        }
        if desk.out.is_closed() || changes.recv().is_err() || desk.cancel.is_cancelled() {
            return Ok(0);
        }
        while changes.try_recv().is_ok() {}
    }
}
