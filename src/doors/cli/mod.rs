//! The command line: every method as a command, and what a person needs around them.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 ok, 1 refused or
//! rejected, 2 usage, 3 not found, 4 store or system failure; 130 after Ctrl-C where work goes on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser as _};

mod args;
mod calls;
mod environments;
mod follow;
mod layout;
mod params;
mod print;
mod screens;
mod setup;
mod staging;
mod standing;
mod status_file;
mod tame;

pub use args::Serve;
use args::{Cli, Command};
use print::{Color, Out};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::{ApiError, open_api};
use crate::base::threads;
use crate::domain::refusal::{Code, Refusal};
use crate::services::diagnosing::disk;
use crate::services::{Caller, Cancel, Error, House, Session, dispatching, registry};
use crate::sys::process::signals;

/// Opens the screen of all orchestrations, which is a door of its own: in a folder, at a plan, in a theme.
pub type OpenTop = fn(&Arc<House>, PathBuf, Option<String>, String) -> Result<u8, ApiError>;

/// Serves over HTTP, which is a door of its own: in a folder, as asked for. Whoever started it is told the address.
pub type OpenServe = fn(&Arc<House>, PathBuf, Serve, &mut dyn FnMut(&Value)) -> Result<u8, ApiError>;

/// The doors that are opened from here.
#[derive(Debug, Clone, Copy)]
pub struct Doors {
    /// `kapell top`.
    pub top: OpenTop,
    /// `kapell serve`.
    pub serve: OpenServe,
}

/// Runs one command. `argv` begins with the program's name; `folder` is where it was started, if that is still there.
pub fn run(house: House, folder: io::Result<PathBuf>, argv: &[OsString], doors: Doors) -> u8 {
    // The parser's own `help` takes no flag, and whoever types one wants the same.
    let of_help = [OsString::from("kapell"), OsString::from("--help")];
    let asks_of_help =
        argv.len() == 3 && argv[1] == "help" && ["-h", "--help"].iter().any(|flag| argv[2] == *flag);
    let argv = if asks_of_help { &of_help[..] } else { argv };
    let cli = match Cli::try_parse_from(argv) {
        Ok(cli) => cli,
        Err(error) => return usage(&house.environment, argv, error),
    };
    let mut out = Out::of_process(cli.global.color, cli.global.json, &house.environment);
    let code = command(house, folder, cli, &mut out, doors).unwrap_or_else(|error| {
        out.error(&error);
        error.exit_code
    });
    out.finish(code)
}

/// Tells why no command can be run at all, as any other error.
pub fn refuse(environment: &BTreeMap<String, String>, argv: &[OsString], why: &str) -> u8 {
    let mut out = Out::of_process(Color::Auto, is_json(argv), environment);
    let error = ApiError {
        code: -32603,
        kind: "system",
        message: why.to_owned(),
        hint: "mend the environment that it is started with; nothing was begun".to_owned(),
        retryable: false,
        facts: Vec::new(),
        exit_code: 4,
    };
    out.error(&error);
    out.finish(error.exit_code)
}

fn command(
    house: House,
    folder: io::Result<PathBuf>,
    cli: Cli,
    out: &mut Out,
    doors: Doors,
) -> Result<u8, ApiError> {
    let folder = match (cli.global.folder, folder) {
        (Some(other), _) if other.is_absolute() => other,
        (Some(other), Ok(folder)) => folder.join(other),
        (None, Ok(folder)) => folder,
        (_, Err(error)) => {
            return Err(Refusal::new(
                Code::NotFound,
                format!("the folder that this was started in cannot be used: {error}"),
                "change to one that exists, or name the folder of a project with -C",
            )
            .into());
        }
    };
    if !folder.is_dir() {
        return Err(Refusal::new(
            Code::NotFound,
            format!("there is no folder {}", folder.display()),
            "-C names the folder of a project",
        )
        .into());
    }
    let session = Session {
        caller: Caller::at_the_command_line(&house),
        house: Arc::new(house),
        folder,
        cancel: Cancel::default(),
    };
    if calls::waits(&cli.command) {
        end_on_interrupt(&session.cancel)?;
    }
    if calls::goes_on(&cli.command) {
        // At the second it ends at once.
        signals::on_end_of_screen(|| {}).map_err(|error| Error::system("listening for Ctrl-C", error))?;
    }
    if matches!(cli.command, Command::Run(_) | Command::Dispatch(_) | Command::List(_))
        && session.house.shim_socket().is_none()
        && let Some(warning) = disk::warning(&session.house.root)
    {
        out.note(&format!("warning: {warning}"));
    }
    match cli.command {
        Command::Init(_) | Command::Doctor if session.house.shim_socket().is_some() => Err(Refusal::new(
            Code::Unsupported,
            "inside a worker's wall nothing of the machine can be looked at or set up: state, agents and git's own \
             folder lie behind it",
            "kapell status and kapell status --scope workers are answered here; kapell report tells a person what is \
             wrong, who runs kapell doctor outside",
        )
        .into()),
        Command::Init(args) => setup::init(&session, out, &args),
        Command::Doctor => Ok(setup::doctor(&session, out)),
        Command::Config(args) => setup::config(&session, out, args.what),
        Command::Completions { shell } => {
            setup::completions(out, shell);
            Ok(0)
        }
        Command::Mcp => Err(not_first("mcp")),
        Command::Rpc => Err(not_first("rpc")),
        Command::Lsp { .. } => Err(not_first("lsp")),
        Command::Conduct(_) => Err(not_first("conduct")),
        Command::Hook { .. } => Err(not_first("hook")),
        Command::Shim(_) => Err(not_first("shim")),
        Command::Ended(_) => Err(not_first("ended")),
        Command::Window(_) => Err(not_first("window")),
        Command::Stand(_) => Err(not_first("stand")),
        Command::Fleet(args::Fleet { what: Some(what), .. }) => standing::run(&session, out, what),
        Command::Top(args) => {
            // One that nobody knows is told of where it can be read.
            if let Some(plan) = &args.plan {
                let meant = registry::meant(&session, &session.project()?, plan)?;
                dispatching::find_plan(&meant.session, &meant.project, &meant.id)?;
            }
            let theme = match cli.global.color {
                Color::Never => "mono".to_owned(),
                Color::Auto | Color::Always => args.theme,
            };
            (doors.top)(&session.house, session.folder, args.plan, theme)
        }
        Command::Serve(args) if args.openapi => {
            out.result(open_api::text());
            Ok(0)
        }
        Command::Serve(mut args) => {
            args.token_file = args.token_file.map(|file| session.folder.join(file));
            (doors.serve)(&session.house, session.folder.clone(), args, &mut |ready| served(out, ready))
        }
        Command::Events(args) if session.house.shim_socket().is_some() => {
            follow::events_inside(&mut calls::Desk::new(&session, out), args)
        }
        Command::Events(args) => follow::events(&mut calls::Desk::new(&session, out), &session, args),
        command => calls::run(&mut calls::Desk::new(&session, out), command),
    }
}

/// Where it can be reached.
fn served(out: &mut Out, ready: &Value) {
    if out.is_json() {
        return out.json(ready);
    }
    let text = |name: &str| ready[name].as_str().unwrap_or_default();
    out.result(&format!(
        "serving     {}\nboard       {}\ntoken file  {}\n",
        text("url"),
        text("board"),
        text("token_file")
    ));
    out.tip("open the board in a browser; Ctrl-C ends this, and what runs goes on");
}

/// The other doors are opened by the first word alone, before anything else is read.
fn not_first(door: &str) -> ApiError {
    ApiError::invalid_params(
        format!("{door} is not opened by this command line"),
        format!("make it the first word and give it nothing else: kapell {door}"),
    )
}

/// Help and version on stdout; what was typed wrongly as any other error.
fn usage(environment: &BTreeMap<String, String>, argv: &[OsString], error: clap::Error) -> u8 {
    let json = is_json(argv);
    let mut out = Out::of_process(Color::Auto, json, environment);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = error.render();
            let text = if out.look().color { text.ansi().to_string() } else { text.to_string() };
            out.result(&text);
            out.finish(0)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !json => {
            let text = error.render().to_string();
            out.aside(|page| {
                for line in text.lines() {
                    page.line(&layout::cell(layout::Style::Plain, line));
                }
            });
            out.finish(2)
        }
        _ => {
            let error = usage_error(error, argv);
            out.error(&error);
            out.finish(error.exit_code)
        }
    }
}

/// What was typed is not understood, but this much of it may be.
fn is_json(argv: &[OsString]) -> bool {
    argv.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// From clap's page (what is wrong, tips, the usage) to one error with one hint.
fn usage_error(mut error: clap::Error, argv: &[OsString]) -> ApiError {
    let known = Cli::command();
    // What Kapell starts by itself is not for people, and so it is not proposed.
    if let Some(ContextValue::Strings(mut similar)) = error.remove(ContextKind::SuggestedSubcommand) {
        similar.retain(|word| known.find_subcommand(word).is_none_or(|it| !it.is_hide_set()));
        if !similar.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(similar));
        }
    }
    let rendered = error.render().to_string();
    let mut message = Vec::new();
    let mut tips = Vec::new();
    let mut usage = None;
    for line in rendered.lines() {
        let line = line.trim();
        if let Some(tip) = line.strip_prefix("tip: ") {
            tips.push(tip.to_owned());
        } else if let Some(text) = line.strip_prefix("Usage: ") {
            usage = Some(text.to_owned());
        } else if usage.is_none() && tips.is_empty() && !line.starts_with("For more information") {
            message.push(line.strip_prefix("error: ").unwrap_or(line).to_owned());
        }
    }
    // A page without the usage is about a command all the same.
    let typed = || {
        argv.iter()
            .skip(1)
            .filter_map(|word| word.to_str())
            .find(|word| known.find_subcommand(word).is_some())
    };
    let usage = usage.unwrap_or_else(|| format!("kapell {}", typed().unwrap_or_default()));
    // The command's own words: those before the first option, placeholder or bracket.
    let command: Vec<&str> =
        usage.split(' ').take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect();
    let help = format!("{} --help", command.join(" "));
    let hint = tips.first().map_or_else(|| help.clone(), |tip| format!("{tip}; {help}"));
    let message = message.join(" ");
    ApiError::invalid_params(message.split_whitespace().collect::<Vec<_>>().join(" "), hint)
}

/// What was told to end has this long to come to a good end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// From now on Ctrl-C ends the wait that is under way; a second one, the end of the terminal and SIGTERM end the
/// process.
fn end_on_interrupt(cancel: &Cancel) -> Result<(), ApiError> {
    let failed = |error| Error::system("listening for Ctrl-C", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    // Before anything is started, so that no Ctrl-C is missed.
    let [mut interrupts, mut ends, mut hangups] = {
        let _inside = runtime.enter();
        let on = |kind| signal(kind).map_err(failed);
        [on(SignalKind::interrupt())?, on(SignalKind::terminate())?, on(SignalKind::hangup())?]
    };
    let cancel = cancel.clone();
    let listen = move || {
        runtime.block_on(async {
            let mut end = async |code| {
                tokio::select! { _ = ends.recv() => code + 15, _ = hangups.recv() => code + 1 }
            };
            let mut code = 130;
            tokio::select! {
                _ = interrupts.recv() => {
                    cancel.cancel();
                    tokio::select! { _ = interrupts.recv() => {} told = end(128) => code = told }
                }
                told = end(128) => code = told,
            }
            // Whoever keeps a file of how it is says there that nobody does any more.
            cancel.give_up();
            let _ = tokio::time::timeout(LAST_WORDS, interrupts.recv()).await;
            std::process::exit(code);
        });
    };
    threads::start("interrupts", Box::new(listen)).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests;
