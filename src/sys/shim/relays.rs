//! The doors that a shim keeps open outside of the wall for its worker: one process for each
//! connection, which has that connection as its standard input and output.
//!
//! A relay ends by itself when its connection does, so with the last process of the worker. It
//! ends with its shim too, whatever ends that. Until then it is not the worker's: it is not
//! suspended, killed or counted with it, for it may be writing for everybody to read.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::ATTEMPT_VARIABLE;
use super::agent::{before_exec, bond_to};
use super::job::{Door, Relay};
use crate::sys::process::spawn;

/// The most at once. A worker needs one, and one more for each command that it runs.
const MOST: usize = 16;

/// How long a relay may take to finish what it does once its worker is gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The relays that run.
#[derive(Default)]
pub(super) struct Relays {
    pids: Vec<Pid>,
    kill_at: Option<Instant>,
}

impl Relays {
    /// Starts the door. The error is a sentence for the worker.
    pub(super) fn start(
        &mut self,
        relay: &Relay,
        door: Door,
        attempt: &str,
        stream: &UnixStream,
    ) -> Result<(), String> {
        if self.pids.len() >= MOST {
            return Err(format!("{MOST} connections of this worker are open already; end one"));
        }
        let failed = |error: io::Error| format!("the relay cannot be started: {error}");
        let end = || Ok(OwnedFd::from(stream.try_clone()?));
        let mut command = spawn::program(&relay.program, &relay.cwd);
        command.arg(door.as_str()).envs(&relay.env).env(ATTEMPT_VARIABLE, attempt).process_group(0);
        command.stdin(end().map_err(failed)?).stdout(end().map_err(failed)?);
        let shim = rustix::process::getpid();
        before_exec(&mut command, move || bond_to(shim));
        let child = command.spawn().map_err(failed)?;
        self.pids.push(Pid::from_child(&child));
        Ok(())
    }

    /// Their processes.
    pub(super) fn pids(&self) -> Vec<i32> {
        self.pids.iter().map(|pid| pid.as_raw_nonzero().get()).collect()
    }

    /// One has ended, if it is one.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.pids.retain(|relay| *relay != pid);
    }

    /// Their worker is gone: they have noticed, and are given a moment for what they do.
    pub(super) fn see_off(&mut self, now: Instant) {
        if *self.kill_at.get_or_insert(now + LAST_WORDS) <= now {
            for pid in &self.pids {
                // None is reaped that is in the list, so the number is still its own.
                let _ = rustix::process::kill_process_group(*pid, Signal::KILL);
            }
        }
    }
}
