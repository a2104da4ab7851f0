//! The terminal: taken over, drawn on, and given back as it was, however this ends.

use std::fs::OpenOptions;
use std::io::{self, Stdout, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{
    self, DisableMouseCapture, EnableMouseCapture, Event as Told, KeyCode, KeyEvent, KeyEventKind,
    KeyModifiers, MouseButton, MouseEventKind,
};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use rustix::process::Signal;

use super::model::{Event, Input, Model};
use super::theme::Theme;

/// Whether the terminal is ours now.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);
/// Where errors went before.
static STDERR: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// The terminal, ours until this is dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes it over. What would be written to standard error goes to the file `log` meanwhile.
    ///
    /// # Errors
    /// The terminal cannot be set.
    pub fn take(log: &Path) -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Whichever thread it is: a panic is read on a terminal as it was.
            let was_taken = IS_TAKEN.load(Ordering::SeqCst);
            give_back();
            before(panic);
            if was_taken {
                std::process::exit(101);
            }
        }));
        IS_TAKEN.store(true, Ordering::SeqCst);
        let taken = || -> io::Result<Self> {
            quiet(log)?;
            Ok(Self { terminal: hold()? })
        };
        taken().inspect_err(|_| give_back())
    }

    /// Takes it over once more: whoever had it while this process was stopped set it in another way. `false` where
    /// somebody else has it: who sets it then is stopped by the system, before any signal is heard.
    ///
    /// # Errors
    /// It is gone.
    pub fn take_again(&mut self) -> io::Result<bool> {
        if !is_in_front() {
            return Ok(false);
        }
        // What it is to be given back as is what it was at first.
        disable_raw_mode()?;
        self.terminal = hold()?;
        Ok(true)
    }

    /// Gives it back and stops, with whoever was started along, until somebody has it go on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn suspend(&self) -> io::Result<()> {
        let_go();
        Ok(rustix::process::kill_current_process_group(Signal::TSTP)?)
    }

    /// Stops as whoever reads from a terminal that somebody else has.
    ///
    /// # Errors
    /// The system refuses.
    pub fn stop(&self) -> io::Result<()> {
        Ok(rustix::process::kill_current_process_group(Signal::TTIN)?)
    }

    /// Its columns and rows.
    ///
    /// # Errors
    /// It is gone.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Shows what is known. What was laid out for another size than it has by now is not shown: that size is told, and
    /// shown then.
    ///
    /// # Errors
    /// It is gone.
    pub fn draw(&mut self, model: &Model, theme: &Theme) -> io::Result<()> {
        self.terminal.draw(|frame| {
            let area = frame.area();
            if (area.width, area.height) == model.size {
                super::draw::draw(model, theme, frame.buffer_mut());
            }
        })?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Sends what would stand in the middle of the screen to a file.
fn quiet(log: &Path) -> io::Result<()> {
    let kept = rustix::io::fcntl_dupfd_cloexec(io::stderr(), 3)?;
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(log)?;
    rustix::stdio::dup2_stderr(&file)?;
    if let Ok(mut stderr) = STDERR.lock() {
        *stderr = Some(kept);
    }
    Ok(())
}

/// Sets it for us, and begins with an empty screen.
fn hold() -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All), EnableMouseCapture, cursor::Hide)?;
    Terminal::new(CrosstermBackend::new(io::stdout()))
}

/// Whether what is typed is for us. A terminal that has no groups is nobody else's.
fn is_in_front() -> bool {
    rustix::termios::tcgetpgrp(io::stdin()).map_or(true, |group| group == rustix::process::getpgrp())
}

/// Sets it as it was.
fn let_go() {
    // A terminal that is gone cannot be set, and need not be.
    let _ = execute!(io::stdout(), DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
}

/// Gives it back as it was; nothing where it was not taken.
fn give_back() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // Whoever has it now has set it already.
    if is_in_front() {
        let_go();
    }
    if let Ok(mut stderr) = STDERR.lock()
        && let Some(kept) = stderr.take()
    {
        let _ = rustix::stdio::dup2_stderr(&kept);
    }
}

/// Waits for the next key, the mouse or another size; nothing for what means nothing here. A key with Alt is what
/// a terminal says of Esc and that key, one right after the other, which is more often meant.
///
/// # Errors
/// The terminal is gone.
pub fn next() -> io::Result<Vec<Event>> {
    let one = match event::read()? {
        Told::Key(key) if key.kind == KeyEventKind::Release => None,
        Told::Key(key) if key.modifiers == KeyModifiers::ALT => {
            let both = [Some(Input::Esc), key_of(KeyEvent { modifiers: KeyModifiers::NONE, ..key })];
            return Ok(both.into_iter().flatten().map(Event::Input).collect());
        }
        Told::Key(key) => key_of(key).map(Event::Input),
        Told::Mouse(mouse) => {
            let (x, y) = (mouse.column, mouse.row);
            match mouse.kind {
                MouseEventKind::Down(MouseButton::Left) => Some(Event::Input(Input::Click(x, y))),
                MouseEventKind::ScrollDown => Some(Event::Input(Input::Wheel(x, y, 3))),
                MouseEventKind::ScrollUp => Some(Event::Input(Input::Wheel(x, y, -3))),
                _ => None,
            }
        }
        Told::Resize(columns, rows) => Some(Event::Resized(columns, rows)),
        _ => None,
    };
    Ok(one.into_iter().collect())
}

fn key_of(key: KeyEvent) -> Option<Input> {
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Input::Interrupt,
        KeyCode::Char('z') if key.modifiers.contains(KeyModifiers::CONTROL) => Input::Suspend,
        KeyCode::Char(_) if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
            return None;
        }
        KeyCode::Char(c) => Input::Char(c),
        KeyCode::Enter => Input::Enter,
        KeyCode::Esc => Input::Esc,
        KeyCode::Backspace => Input::Backspace,
        KeyCode::Tab => Input::Tab(false),
        KeyCode::BackTab => Input::Tab(true),
        KeyCode::Down => Input::Move(1),
        KeyCode::Up => Input::Move(-1),
        KeyCode::PageDown => Input::Page(1),
        KeyCode::PageUp => Input::Page(-1),
        KeyCode::Home => Input::Home,
        KeyCode::End => Input::End,
        _ => return None,
    })
}
