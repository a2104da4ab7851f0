//! `kapell top`: all orchestrations on one screen, to be looked at and steered.
//!
//! What is known and looked at (`model`) is apart from how it is drawn (`draw`) and from the terminal
//! (`screen`) and the contract (`feed`). Nothing but the outputs of those at work is looked at again
//! because time has passed: the event log wakes it, and the ends of processes.

mod draw;
mod feed;
mod keys;
mod layout;
mod model;
mod screen;
#[cfg(test)]
mod tests;
mod theme;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use self::feed::Feed;
use self::model::{Effect, Event, Model};
use self::screen::Screen;
use self::theme::Palette;
use crate::api::ApiError;
use crate::base::clock::{Time, Zone};
use crate::base::threads;
use crate::domain::refusal::{Code, Refusal};
use crate::services::{Error, House};
use crate::sys::process::signals;

/// Two frames are at least this far apart.
const FRAME: Duration = Duration::from_millis(40);
/// Two looks at the store too, where nobody asks for another plan.
const LOOKS: Duration = Duration::from_millis(250);

/// Whoever is ended while it is stopped goes on for that: so soon the one signal is heard after the other.
const GRACE: Duration = Duration::from_secs(1);

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The plan to look at first.
    pub plan: Option<String>,
    /// `dark`, `light`, `mono`, or `auto`.
    pub theme: Option<String>,
}

/// Shows it until somebody leaves.
///
/// # Errors
/// There is no terminal, or the database cannot be used.
pub fn run(house: &Arc<House>, folder: PathBuf, options: Options) -> Result<u8, ApiError> {
    if house.shim_socket().is_some() {
        return Err(Refusal::new(
            Code::Unsupported,
            "inside a worker's wall there is nothing to watch",
            "kapell status tells what is going on",
        )
        .into());
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Refusal::new(
            Code::Usage,
            "kapell top needs a terminal",
            "kapell list, kapell status --watch and kapell events --follow go without",
        )
        .into());
    }
    // What is wrong with the database is told where it can be read.
    house.store()?;
    let set = |name: &str| house.environment.get(name).filter(|value| !value.is_empty());
    let palette = Palette::choose(
        options.theme.as_deref(),
        set("NO_COLOR").is_some(),
        set("COLORFGBG").map(String::as_str),
    );
    let failed = |error| Error::system("the terminal", error);
    let (tell, events) = channel();
    let ended = tell.clone();
    signals::on_end_of_screen(move || drop(ended.send(Event::Ended))).map_err(failed)?;
    let continued = tell.clone();
    signals::on_continue(move || drop(continued.send(Event::Continued))).map_err(failed)?;
    let log = house.root.join("log").join("top.log");
    let feed = Feed::open(Arc::clone(house), folder, tell.clone())?;
    let mut screen = Screen::take(&log).map_err(failed)?;
    let size = screen.size().map_err(failed)?;
    listen(tell).map_err(failed)?;
    let mut model = Model::new(size, Zone::System, options.plan);
    let theme = palette.theme();
    let mut looks = Looks::default();
    looks.want(model.load());
    let mut is_new = true;
    let mut heard = Vec::new();
    let mut drawn = None::<Instant>;
    // Until when somebody may say why it goes on although somebody else has the terminal.
    let mut away = None::<Instant>;
    loop {
        if away.is_some_and(|until| until <= Instant::now()) {
            screen.stop().map_err(failed)?;
            let Ok(until) = take_again(&mut screen, &mut model) else { return Ok(0) };
            away = until;
        }
        if let Some(effect) = looks.next() {
            feed.load(effect);
        }
        if is_new && away.is_none() && drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            // A terminal that is gone sends no more keys either.
            if screen.draw(&model, &theme).is_err() {
                return Ok(0);
            }
            (is_new, drawn) = (false, Some(Instant::now()));
        }
        let frame = drawn.filter(|_| is_new && away.is_none()).map(|drawn| drawn + FRAME);
        let wake = [frame, looks.due(), away].into_iter().flatten().min();
        for event in wait(&events, wake) {
            #[cfg(debug_assertions)]
            fall_if_told(house, &event);
            if matches!(event, Event::Loaded(_) | Event::Trouble(_)) {
                looks.is_under_way = false;
            }
            is_new = true;
            model.now = Time::now();
            if matches!(event, Event::Continued) {
                let Ok(until) = take_again(&mut screen, &mut model) else { return Ok(0) };
                away = until;
            }
            for effect in model.update(event) {
                match effect {
                    Effect::Quit => return Ok(0),
                    Effect::Suspend => {
                        let until = screen.suspend().and_then(|()| take_again(&mut screen, &mut model));
                        let Ok(until) = until else { return Ok(0) };
                        away = until;
                    }
                    load @ Effect::Load(_) => looks.want(load),
                    other => feed.carry_out(other),
                }
            }
        }
        let in_sight = model.in_sight();
        if heard != in_sight {
            feed.carry_out(Effect::Listen(in_sight.clone()));
            heard = in_sight;
        }
    }
}

/// Has the terminal again after a stop, in which it may have been given another size; until when somebody else may
/// say why it goes on, where that is not so.
fn take_again(screen: &mut Screen, model: &mut Model) -> std::io::Result<Option<Instant>> {
    if !screen.take_again()? {
        return Ok(Some(Instant::now() + GRACE));
    }
    model.size = screen.size()?;
    Ok(None)
}

/// Panics at the key `!`, where a test of debug builds asks for it.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "that is what is tested")]
fn fall_if_told(house: &House, event: &Event) {
    let is_armed = house.environment.contains_key("KAPELL_TOP_PANICS");
    if is_armed && matches!(event, Event::Input(model::Input::Char('!'))) {
        panic!("told to");
    }
}

/// Everything that happened, once something has or it is time.
fn wait(events: &Receiver<Event>, until: Option<Instant>) -> Vec<Event> {
    let first = match until {
        None => events.recv().unwrap_or(Event::Ended),
        Some(until) => match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return Vec::new(),
            Err(RecvTimeoutError::Disconnected) => Event::Ended,
        },
    };
    std::iter::once(first).chain(events.try_iter()).collect()
}

/// Passes on keys.
fn listen(tell: Sender<Event>) -> std::io::Result<()> {
    let keys = move || {
        loop {
            // A terminal that is gone has no keys.
            let (events, is_over) = match screen::next() {
                Ok(events) => (events, false),
                Err(_) => (vec![Event::Ended], true),
            };
            if events.into_iter().any(|event| tell.send(event).is_err()) || is_over {
                return;
            }
        }
    };
    threads::start("keys", Box::new(keys))?;
    Ok(())
}

/// When the store is looked at: at once for another plan, and not too often for the same.
#[derive(Debug, Default)]
struct Looks {
    wanted: Option<Effect>,
    last: Option<(Instant, Effect)>,
    is_under_way: bool,
}

impl Looks {
    fn want(&mut self, effect: Effect) {
        self.wanted = Some(effect);
    }

    /// When the next is due.
    fn due(&self) -> Option<Instant> {
        let wanted = self.wanted.as_ref().filter(|_| !self.is_under_way)?;
        Some(match &self.last {
            Some((at, last)) if last == wanted => *at + LOOKS,
            _ => Instant::now(),
        })
    }

    fn next(&mut self) -> Option<Effect> {
        if self.due()? > Instant::now() {
            return None;
        }
        let effect = self.wanted.take()?;
        self.last = Some((Instant::now(), effect.clone()));
        self.is_under_way = true;
        Some(effect)
    }
}
