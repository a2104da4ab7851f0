//! What runs in a window of tmux that shows an attempt: `kapell window RUN_DIR KIND TITLE`.
//!
//! It only reads. Whoever closes it, or ends it with Ctrl-C, ends nothing but it.

use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::base::notices::Notices;
use crate::base::threads;
use crate::services::House;
use crate::services::watching::{self, Line, LineStyle, Watched};
use crate::sys::agent::AgentKind;
use crate::sys::shim::client::{self, Ended};
use crate::sys::tmux::Tmux;

/// How long the window of an ended attempt stays, and longer where somebody looks at it.
const STAYS: Duration = Duration::from_secs(60);

enum News {
    Printed,
    Ended(Ended),
    Enter,
}

/// Shows the run until its window is closed.
pub fn show(house: &House, run_dir: &Path, kind: &str, title: &str) -> u8 {
    match watch(house, run_dir, kind, title) {
        Ok(()) => 0,
        Err(error) => {
            say(&format!("\u{1b}[31m{}: {error}\u{1b}[0m", run_dir.display()));
            1
        }
    }
}

fn watch(house: &House, run_dir: &Path, kind: &str, title: &str) -> io::Result<()> {
    let kind = AgentKind::parse(kind).unwrap_or(AgentKind::Command);
    say(&format!(
        "\u{1b}[1m{}\u{1b}[0m\n\u{1b}[2mKeys do not reach the worker. To close this window ends nothing.\u{1b}[0m\n",
        watching::harmless(title)
    ));
    let (tell, news) = mpsc::channel();
    // Before the first look, so that nothing is missed between the two.
    let changed = tell.clone();
    let _notices = Notices::of(run_dir, move |_| drop(changed.send(News::Printed)))?;
    let (folder, ended) = (run_dir.to_owned(), tell.clone());
    threads::start(
        "end",
        Box::new(move || {
            let how = client::wait(&folder).unwrap_or(Ended::Vanished);
            let _ = ended.send(News::Ended(how));
        }),
    )?;
    let mut watched = Watched::new(run_dir, kind);
    watched.news(false)?.iter().for_each(print);
    let how = loop {
        match news.recv() {
            Ok(News::Printed) => watched.news(false)?.iter().for_each(print),
            Ok(News::Ended(how)) => break how,
            Ok(News::Enter) => {}
            Err(_) => return Ok(()),
        }
    };
    watched.news(true)?.iter().for_each(print);
    say(&format!("\n\u{1b}[1mIt {}.\u{1b}[0m", watching::ended(&how)));
    linger(house, &tell, &news)
}

/// Stays for whoever wants to read it.
fn linger(house: &House, tell: &Sender<News>, news: &mpsc::Receiver<News>) -> io::Result<()> {
    say(&format!(
        "\u{1b}[2mEnter closes this window; it closes by itself {} s after nobody looks.\u{1b}[0m",
        STAYS.as_secs()
    ));
    let entered = tell.clone();
    threads::start(
        "keys",
        Box::new(move || {
            // Nothing to read is no wish to close: whoever started it without a terminal waits for the time.
            if io::stdin().lock().read_line(&mut String::new()).is_ok_and(|read| read > 0) {
                let _ = entered.send(News::Enter);
            }
        }),
    )?;
    loop {
        match news.recv_timeout(STAYS) {
            Ok(News::Enter) => return Ok(()),
            // Files of the run are still being written to when it is tidied up.
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) if is_looked_at(house) => {}
            Err(_) => return Ok(()),
        }
    }
}

/// Whether somebody has this window before them.
fn is_looked_at(house: &House) -> bool {
    let pane = house.environment.get("TMUX_PANE");
    let tmux = Tmux::find(&house.environment, &house.home).ok();
    pane.zip(tmux).is_some_and(|(pane, tmux)| tmux.is_seen(pane).unwrap_or(false))
}

fn print(line: &Line) {
    let Line { style, text } = line;
    match style {
        LineStyle::Said => say(text),
        LineStyle::Done => say(&format!("\u{1b}[36m· {text}\u{1b}[0m")),
        LineStyle::Aside => say(&format!("\u{1b}[33m{text}\u{1b}[0m")),
    }
}

fn say(text: &str) {
    // A window that is gone sends SIGHUP.
    let _ = writeln!(io::stdout(), "{text}");
}
