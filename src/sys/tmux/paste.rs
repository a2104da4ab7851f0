//! Typing a text into a pane: pasted, never as keys, and then one Enter.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::termios::LocalModes;

use super::pasting::Pasting;
use super::{Pane, Tmux, TmuxError};
use crate::base::failpoint::Point;
use crate::base::ids::random_tail;
use crate::domain::standing::Typed;
use crate::sys::process::life::{self, Life};

/// A terminal that hands over whole lines takes no longer one (`MAX_CANON` of Linux), and drops the rest.
const LONGEST_LINE: usize = 4095;

/// How long a program may take to read what was pasted before Enter is sent all the same.
const READING: Duration = Duration::from_secs(3);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(20);
/// What an agent gets for taking in what it read: an Enter that comes in the same read as the end of a
/// paste is a part of it to some.
const TAKING_IN: Duration = Duration::from_millis(150);

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pasted {
    /// Characters, without Enter.
    pub characters: usize,
    /// Whether its lines were made one, because the program there would take each for itself.
    pub is_joined: bool,
}

/// How a program reads its terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Key by key, and told where a paste begins and ends.
    Brackets,
    /// Key by key or line by line: the end of a line is Enter.
    Keys,
    /// Line by line, by the system's own means.
    Lines,
}

impl Tmux {
    /// Pastes the text into the pane and then presses Enter, once.
    ///
    /// It goes straight to the pane's program, past the key tables of tmux. A mode in which a person scrolls there
    /// is left where the text needs brackets. Texts for one pane wait for one another, in whichever processes: each is entered
    /// before the next is pasted. Their turns are taken in the folder `turns`. Where somebody was killed between
    /// the two, the next is refused, until one comes with `is_cleared`: its caller has seen to the prompt.
    ///
    /// # Errors
    /// The pane has ended, takes no input, or cannot take that much, or another text may stand there; then nothing
    /// was typed. Or Enter could not be sent: that is said, and who comes next is refused as well.
    pub fn type_into(
        &self,
        pane: &str,
        typed: &Typed,
        turns: &Path,
        is_cleared: bool,
    ) -> Result<Pasted, TmuxError> {
        let pane = self.pane(pane)?;
        let turn = turn(turns, &pane.tty)?;
        // It may have become another one while others typed.
        let pane = &self.pane(&pane.id)?;
        if pane.is_dead {
            return Err(TmuxError::Gone(format!("the program in pane {} has ended", pane.id)));
        }
        if pane.is_off {
            let why = format!("input to pane {} is switched off (select-pane -d)", pane.id);
            return Err(TmuxError::Failed(why));
        }
        let reading = reading(pane);
        let is_joined = reading != Reading::Brackets && !typed.is_plain();
        let typed = if is_joined { typed.joined() } else { typed.clone() };
        if reading == Reading::Lines && typed.text.len() > LONGEST_LINE {
            return Err(TmuxError::Failed(format!(
                "the program in pane {} reads line by line and takes at most {LONGEST_LINE} bytes; the text has {}",
                pane.id,
                typed.text.len()
            )));
        }
        let pasting = Pasting::begin(turn.path(), pane, is_cleared)?;
        match self.paste(pane, typed.text.as_bytes(), reading != Reading::Lines) {
            Ok(()) => {}
            // Nobody knows what came of it.
            Err(error @ (TmuxError::Silent | TmuxError::Spawn(_))) => return Err(error),
            Err(error) => {
                pasting.end();
                return Err(error);
            }
        }
        let stands =
            |why: String| TmuxError::Failed(format!("its prompt has the text, without Enter: {why}"));
        Point::SessionPasted.reach().map_err(|fault| stands(fault.to_string()))?;
        if reading != Reading::Lines {
            await_reading(&pane.tty);
        }
        // Enter is a carriage return to every program; as a key it would go to a mode of tmux that may be on.
        self.paste(pane, b"\r", false).map_err(|error| match error {
            // Its prompt went with it.
            TmuxError::Gone(_) => error,
            error => stands(error.to_string()),
        })?;
        pasting.end();
        Ok(Pasted { characters: typed.text.chars().count(), is_joined })
    }

    /// By way of a buffer of its own: no argument has a length or a meaning then.
    fn paste(&self, pane: &Pane, bytes: &[u8], in_brackets: bool) -> Result<(), TmuxError> {
        let buffer = format!("kapell-{}", random_tail(10));
        self.call(&[&["load-buffer", "-b", &buffer, "-"]], bytes)?;
        // Whether there are to be brackets is asked of what the pane shows, and a mode that shows something else
        // wants none: every line would be an Enter. So it is left, in the same breath as what follows.
        let leave = format!("copy-mode -q -t {}", pane.id);
        let leave = ["if-shell", "-F", "-t", &pane.id, "#{pane_in_mode}", &leave];
        let how = if in_brackets { "-dp" } else { "-dr" };
        let paste = ["paste-buffer", how, "-b", &buffer, "-t", &pane.id];
        let commands: [&[&str]; 2] = [&leave, &paste];
        let commands = if in_brackets { &commands[..] } else { &commands[1..] };
        self.call(commands, b"").map(drop).inspect_err(|_| {
            // What nobody got is nobody's.
            let _ = self.call(&[&["delete-buffer", "-b", &buffer]], b"");
        })
    }
}

/// Waits until nobody else types into a terminal. A turn ends with its process at the latest.
fn turn(turns: &Path, tty: &Path) -> Result<Life, TmuxError> {
    // No other pane has the same terminal, whichever server it is of.
    let name = tty.to_string_lossy().trim_start_matches('/').replace('/', "-");
    let path = turns.join(format!("{name}.turn"));
    let proof = path.to_string_lossy();
    loop {
        let taken = Life::take(&path);
        let taken = taken.map_err(|error| TmuxError::Failed(format!("{}: {error}", path.display())))?;
        match taken {
            Some(turn) => return Ok(turn),
            None if life::wait_for_end(&proof) => {}
            None => return Err(TmuxError::Failed(format!("{} cannot be waited for", path.display()))),
        }
    }
}

/// tmux tells of brackets since 3.6 only. Before, the terminal tells enough: every agent and every shell
/// that reads key by key asks for them, and a program that has lines handed to it cannot know of any.
fn reading(pane: &Pane) -> Reading {
    let lines = open(&pane.tty)
        .and_then(|tty| rustix::termios::tcgetattr(&tty).ok())
        .is_some_and(|modes| modes.local_modes.contains(LocalModes::ICANON));
    match (lines, pane.brackets) {
        (true, _) => Reading::Lines,
        (false, Some(false)) => Reading::Keys,
        (false, _) => Reading::Brackets,
    }
}

/// Waits until the program has read what is there. The system tells of no such moment, so it is looked for.
fn await_reading(tty: &Path) {
    let deadline = Instant::now() + READING;
    // It takes a moment to get there.
    thread::park_timeout(LOOK);
    let Some(tty) = open(tty) else { return };
    while Instant::now() < deadline && rustix::io::ioctl_fionread(&tty).is_ok_and(|waiting| waiting > 0) {
        thread::park_timeout(LOOK);
    }
    thread::park_timeout(TAKING_IN);
}

/// The terminal, to look at: it does not become this process's own.
fn open(tty: &Path) -> Option<File> {
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    File::options().read(true).custom_flags(flags.bits() as i32).open(tty).ok()
}
