//! A stage's command: run by Kapell itself in a clean checkout of what has landed, under a shim and
//! within the wall, its log kept.
//!
//! **Invariant:** what is recorded as running was begun at most once. A run folder is used once, and the
//! shim in it outlives the conductor; so whoever comes next finds it at work, ended, never begun, or
//! gone without a word, which is told as it is and not tried again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::desk::Desk;
use crate::base::clock::Time;
use crate::base::ids::AttemptId;
use crate::domain::pipeline::CommandState;
use crate::domain::plan::CommandLine;
use crate::services::Error;
use crate::services::judging::commands::{self, Launch};
use crate::services::pipelines::stages::{self, Stage};
use crate::store::pipelines::CommandRow;
use crate::sys::agent;
use crate::sys::config::resolved::Wall;
use crate::sys::git::Oid;
use crate::sys::git::worktree::{self, Ignored, Worktree};
use crate::sys::shim::client::{self, Ended};
use crate::sys::shim::job::{Cause, Exit, Request};

/// Carries a command that is recorded as running to its recorded end.
pub fn carry(desk: &Desk, command: &CommandRow) {
    if desk.is_stopping() && !client::was_started(&desk.session.house.run_dir(&command.id)) {
        // It is as if this conductor had died before it began.
        return;
    }
    let ended = carried(desk, command);
    let (state, reason, log) = match ended {
        Ok(end) => end,
        Err(error) => {
            tracing::error!(command = command.id, "{error}");
            let run_dir = desk.session.house.run_dir(&command.id);
            // Once a shim was started nobody can say what it did.
            let is_begun = client::was_started(&run_dir);
            let state = if is_begun { CommandState::Unknown } else { CommandState::Failed };
            let what = if is_begun { "cannot be followed" } else { "could not be started" };
            (state, format!("{what}: {error}"), None)
        }
    };
    let log = log.as_deref().map(Path::to_string_lossy);
    let recorded = desk.write(|tx| {
        tx.end_command(&desk.project.id, &desk.plan_id, &command.id, state, &reason, log.as_deref())
    });
    match recorded {
        Ok(_) => put_away(desk, &command.id),
        // It stands as running, and is taken up again.
        Err(error) => tracing::error!(command = command.id, "its end cannot be recorded: {error}"),
    }
}

/// Ends a command that runs; its end is recorded as any other.
pub fn stop(desk: &Desk, id: &str) {
    let run_dir = desk.session.house.run_dir(id);
    if client::is_alive(&run_dir) {
        // One that has ended meanwhile need not be told.
        let _ = client::send(&run_dir, Request::Stop { grace_ms: None });
    }
}

type End = (CommandState, String, Option<PathBuf>);

fn carried(desk: &Desk, command: &CommandRow) -> Result<End, Error> {
    let run = desk.store()?.read(|tx| tx.pipeline_run(&desk.plan_id))?;
    let run = run.ok_or_else(|| Error::Bug(format!("run {} vanished", desk.plan_id)))?;
    let stages = stages::stored(&run)?;
    let stage = usize::try_from(command.stage).ok().and_then(|at| stages.get(at));
    let stage = stage.ok_or_else(|| Error::Bug(format!("no stage {} in {}", command.stage, desk.plan_id)))?;
    let line = stage.command_line(command.is_rollback);
    let line = line.ok_or_else(|| Error::Bug(format!("stage {} has no such command", stage.name)))?;
    let run_dir = desk.session.house.run_dir(&command.id);
    if !client::was_started(&run_dir) && !start(desk, command, stage, &line, &run_dir)? {
        let reason = format!("was not run: there is no program {}", line.0[0]);
        return Ok((CommandState::Failed, reason, None));
    }
    let ended = client::wait(&run_dir)
        .map_err(|error| Error::system("cannot follow the command", std::io::Error::other(error)))?;
    let (state, reason) = match &ended {
        Ended::Exit(exit) if exit.ended == Cause::NotStarted => {
            let (state, reason) = told(exit);
            return Ok((state, reason, None));
        }
        Ended::Exit(exit) => {
            let (state, mut reason) = told(exit);
            let is_denied = || commands::output(&run_dir).to_lowercase().contains("permission denied");
            if state == CommandState::Failed && wall(desk, stage) != Wall::Off && is_denied() {
                reason.push_str(
                    "; behind the wall it may write in its checkout only, and reads no keys of yours: unwalled = true \
                     in the stage takes the wall away",
                );
            }
            (state, reason)
        }
        Ended::Vanished => {
            // Nothing of it shall go on unseen.
            client::kill_leftovers(&AttemptId::new(&command.id))
                .map_err(|error| Error::system("cannot end what is left of it", error))?;
            let why = "was begun, and who watched it was killed: whether it ran to its end is unknown";
            (CommandState::Unknown, why.to_owned())
        }
    };
    let log = keep_log(command, stage, &line, &run_dir, &reason)?;
    Ok((state, reason, Some(log)))
}

/// How it ended, to stand after the command in a sentence.
fn told(exit: &Exit) -> (CommandState, String) {
    let failed = |why: String| (CommandState::Failed, why);
    match (exit.ended, exit.code, exit.signal) {
        (Cause::Exited, Some(0), _) => (CommandState::Passed, "ended with exit code 0".to_owned()),
        (Cause::Exited, Some(code), _) => failed(format!("failed with exit code {code}")),
        (Cause::Exited, None, signal) => failed(format!("died of signal {}", signal.unwrap_or(0))),
        (Cause::NotStarted, ..) => failed(format!(
            "did not start: {}",
            exit.reason.clone().unwrap_or_else(|| "no reason told".to_owned())
        )),
        (Cause::TimedOut, ..) => failed("ran past its time and was ended".to_owned()),
        (Cause::OutputLimit, ..) => failed("printed more than it may and was ended".to_owned()),
        (Cause::OverBudget, ..) => failed("cost more than it may and was ended".to_owned()),
        (Cause::Stopped | Cause::Killed, ..) => failed("was stopped".to_owned()),
    }
}

/// The wall around its commands.
fn wall(desk: &Desk, stage: &Stage) -> Wall {
    if stage.unwalled { Wall::Off } else { desk.config.wall }
}

/// Starts it; `false`: there is no such program, and nothing was started.
fn start(
    desk: &Desk,
    command: &CommandRow,
    stage: &Stage,
    line: &CommandLine,
    run_dir: &Path,
) -> Result<bool, Error> {
    let house = &desk.session.house;
    let commit = Oid::parse(&command.commit)
        .ok_or_else(|| Error::Bug(format!("command {} has no commit", command.id)))?;
    let folder = check_out(desk, &command.id, &commit)?;
    let mut env: BTreeMap<String, String> = agent::passed(&stage.env, &house.environment)
        .map_err(|error| Error::Bug(format!("stage {}: {error}", stage.name)))?;
    let own = [
        ("KAPELL_PLAN", desk.plan_id.as_str()),
        ("KAPELL_RUN", desk.plan_id.as_str()),
        ("KAPELL_STAGE", stage.name.as_str()),
        ("KAPELL_COMMIT", commit.as_str()),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let launch = Launch {
        house,
        name: &command.id,
        run_dir,
        folder: &folder,
        command: line,
        timeout_s: stage.timeout_s.unwrap_or(commands::COMMAND_TIMEOUT_S),
        wall: wall(desk, stage),
        caches: desk.config.caches.as_deref(),
        env,
    };
    launch.start()
}

/// A checkout of its own, with nothing in it but what the commit has.
fn check_out(desk: &Desk, id: &str, commit: &Oid) -> Result<PathBuf, Error> {
    let git = &desk.git;
    let folder = desk.project.worktrees(&desk.session.house);
    std::fs::create_dir_all(&folder)
        .map_err(|error| Error::system(format!("cannot make {}", folder.display()), error))?;
    let path = folder.join(id);
    // One that a killed conductor made whole, in which nothing was run.
    let whole = Worktree::find(git, &path).filter(|tree| tree.base().is_some());
    match whole {
        Some(tree) => worktree::reset(git, &tree, commit, Ignored::Delete).map_err(Error::from_git)?,
        None => {
            let guard = git.turn()?;
            worktree::add(git, guard, &path, commit).map_err(Error::from_git)?;
        }
    }
    Ok(path)
}

/// Writes what was run, how it ended and what it printed where evidence is kept.
fn keep_log(
    command: &CommandRow,
    stage: &Stage,
    line: &CommandLine,
    run_dir: &Path,
    how: &str,
) -> Result<PathBuf, Error> {
    let what = if command.is_rollback { "rollback" } else { "command" };
    let folder = run_dir.join("evidence");
    let path = folder.join(format!("{what}.log"));
    let mut text = format!("{what} of stage {}: {}\n", stage.name, shell_words::join(&line.0));
    let _ = writeln!(text, "commit: {}\nbegun: {}\nended: {}", command.commit, command.began_at, Time::now());
    let _ = writeln!(text, "it {how}\n\n{}", commands::output(run_dir));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|error| Error::system(format!("cannot write {}", path.display()), error))?;
    Ok(path)
}

/// Takes its checkout away. Nothing here may fail a stage.
fn put_away(desk: &Desk, id: &str) {
    let folder = desk.project.worktrees(&desk.session.house);
    let away = || -> Result<(), Error> {
        let Some(tree) = Worktree::find(&desk.git, &folder.join(id)) else { return Ok(()) };
        let guard = desk.git.turn()?;
        let trashed = worktree::discard(&desk.git, &guard, &tree, &folder.join("trash"));
        drop(guard);
        if let Some(trashed) = trashed.map_err(Error::from_git)? {
            worktree::delete_folder(&trashed)
                .map_err(|error| Error::system(format!("cannot delete {}", trashed.display()), error))?;
        }
        Ok(())
    };
    if let Err(why) = away() {
        tracing::warn!(command = id, "its checkout stays: {why}");
    }
}

/// Puts away the checkout of a command whose conductor died after its end was recorded.
pub fn sweep(desk: &Desk, id: &str) -> Result<(), Error> {
    let command = desk.store()?.read(|tx| tx.stage_command(id))?;
    if command.is_some_and(|command| command.ended_at.is_some()) {
        put_away(desk, id);
    }
    Ok(())
}
