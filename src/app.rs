//! Wiring: reads the surroundings of the process once and opens the door that was asked for.

use crate::base::sorting::Gather as _;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::api::ApiError;
use crate::base::ids::PlanId;
use crate::domain::claim::HolderKind;
use crate::doors;
use crate::services::environments::ending;
use crate::services::judging::runs;
use crate::services::{Caller, Cancel, Error, House, Session, conductor, steering};
use crate::store::Check;
use crate::sys::process::{pages, signals, spawn};
use crate::sys::shim::job::Door;
use crate::sys::shim::relay;

/// The surroundings from the environment: `KAPELL_HOME` moves the state folder,
/// `KAPELL_CONFIG` names another configuration file of the person's.
pub fn house() -> anyhow::Result<House> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let environment = environment();
    let home = var("HOME").unwrap_or_else(|| PathBuf::from("/"));
    if let Some(relative) = var("KAPELL_HOME").filter(|path| path.is_relative()) {
        anyhow::bail!(
            "KAPELL_HOME is {}, which is another folder wherever one stands; give its whole path",
            relative.display()
        );
    }
    let root = var("KAPELL_HOME")
        .or_else(|| var("XDG_STATE_HOME").map(|state| state.join("kapell")))
        .unwrap_or_else(|| home.join(".local/state/kapell"));
    let root = real(&std::path::absolute(root).context("the state folder")?);
    if root.to_str().is_none() {
        anyhow::bail!(
            "the state folder {} has a name that is no UTF-8 text, and the database could not keep it; give \
             another one in KAPELL_HOME",
            root.display()
        );
    }
    let person_config = var("KAPELL_CONFIG").unwrap_or_else(|| {
        var("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("kapell/config.toml")
    });
    let person_config = std::path::absolute(person_config).context("the person's configuration")?;
    let program = std::env::current_exe().context("where kapell itself lies")?;
    Ok(House::new(root, environment, program, home, person_config, Check::Pages))
}

/// Values that are no text cannot be passed on as text; agents have no use for them.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .gather()
}

/// The real path of a folder that may not exist yet: walls are built around real paths, and a
/// home or a temporary folder is reached through a link on many systems.
fn real(path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|folder| Some((folder, folder.canonicalize().ok()?)))
        .and_then(|(folder, real)| Some(real.join(path.strip_prefix(folder).ok()?)))
        .unwrap_or_else(|| path.to_owned())
}

/// Runs the program and gives its exit code.
pub fn run() -> u8 {
    let mut words = std::env::args_os().skip(1);
    match (words.next(), words.next()) {
        // Whatever follows: an agent takes a usage error (2) for a refusal of everything it does.
        (Some(door), agent)
            if door == "hook" && agent.as_ref().is_none_or(|word| word != "--help" && word != "-h") =>
        {
            hook(agent.and_then(|agent| agent.into_string().ok()).as_deref())
        }
        _ => open(),
    }
}

/// Opens any other door. Apart from [`run`], since whoever calls it touches all the stack that one of them may need:
/// for a hook that is a dozen pages.
#[inline(never)]
fn open() -> u8 {
    let mut arguments = std::env::args_os().skip(1);
    let door = arguments.next();
    if door.as_ref().is_some_and(|door| door == "conduct") {
        let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
        return opened(|house| conduct(house, &words));
    }
    if door.as_ref().is_some_and(|door| door == ending::WORD) {
        let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
        return opened(|house| Ok(ending::tell(&house, &words).map(|()| 0)?));
    }
    if door.as_ref().is_some_and(|door| door == "window") {
        let words: Vec<OsString> = arguments.collect();
        return opened(|house| match &words[..] {
            [run_dir, kind, title] => {
                let (kind, title) = (kind.to_string_lossy(), title.to_string_lossy());
                Ok(doors::window::show(&house, Path::new(run_dir), &kind, &title))
            }
            _ => anyhow::bail!("window wants the folder of a run, the kind of its agent, and a title"),
        });
    }
    // An editor or agent starts these again and again: they do not wait for the command line's parser.
    match (door.as_ref().and_then(|door| door.to_str()), arguments.next()) {
        (Some("mcp"), None) => opened(|house| match house.shim_socket() {
            Some(shim) => stand_in(shim, Door::Mcp),
            None => {
                let folder = project_folder(&house)?;
                Ok(doors::mcp::serve(house, folder))
            }
        }),
        // Some editors say which of several ways they speak, and who they are; there is only this one way.
        (Some("lsp"), said)
            if said.iter().cloned().chain(arguments.by_ref()).all(|word| is_editors(&word)) =>
        {
            opened(|house| Ok(doors::lsp::serve(house, std::env::current_dir()?)))
        }
        (Some("rpc"), None) => opened(|house| match house.shim_socket() {
            Some(shim) => stand_in(shim, Door::Rpc),
            None => Ok(doors::rpc::serve(house, std::env::current_dir()?)),
        }),
        _ => command_line(),
    }
}

/// The door of people and scripts, which tells in its own way what is wrong with the surroundings.
fn command_line() -> u8 {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let house = match house() {
        Ok(house) => house,
        Err(error) => return doors::cli::refuse(&environment(), &argv, &format!("{error:#}")),
    };
    log(house.environment.get("KAPELL_LOG").map(String::as_str));
    let folder = std::env::current_dir();
    let doors = doors::cli::Doors {
        top: |house, folder, plan, theme| {
            doors::top::run(house, folder, doors::top::Options { plan, theme: Some(theme) })
        },
        serve: |house, folder, asked, tell| {
            let doors::cli::Serve { listen, token_file, names, cert, key, openapi: _ } = asked;
            let options = doors::http::serve::Options {
                listen: Some(listen),
                token_file,
                names,
                certificate: cert.zip(key),
            };
            doors::http::serve::run(house, folder, options, tell)
        },
    };
    doors::cli::run(house, folder, &argv, doors)
}

/// What an editor's library puts behind the command that it was told.
fn is_editors(word: &OsString) -> bool {
    word.to_str().is_some_and(|word| word == "--stdio" || word.starts_with("--clientProcessId="))
}

/// An agent gives a hook ten seconds, as its settings say, and hears nothing from one that takes longer.
const HOOK_PATIENCE: Duration = Duration::from_secs(7);

/// A tool of an agent waits for this one: nothing is set up that it can do without. It always ends
/// well, since an agent takes a failed hook for none.
fn hook(agent: Option<&str>) -> u8 {
    pages::have_at_once();
    let output = &mut std::io::stdout().lock();
    match house() {
        Ok(mut house) => {
            // Whoever keeps the database open has looked at its pages.
            house.check = Check::Header;
            house.patience = Some(HOOK_PATIENCE);
            doors::hook::answer(&house, agent, &mut std::io::stdin().lock(), output);
            house.leave();
        }
        Err(error) => doors::hook::unanswered(&format!("{error:#}"), &mut std::io::stdin().lock(), output),
    }
    0
}

/// Opens a door with the surroundings, or says what is wrong with them.
fn opened(open: impl FnOnce(House) -> anyhow::Result<u8>) -> u8 {
    house()
        .and_then(|house| {
            log(house.environment.get("KAPELL_LOG").map(String::as_str));
            open(house)
        })
        .unwrap_or_else(|error| {
            let (told, code) = match error.downcast::<Error>() {
                Ok(error @ Error::Refused(_)) => {
                    let refused = ApiError::from(error);
                    (format!("{}; {}", refused.message, refused.hint), refused.exit_code)
                }
                Ok(error) => (error.to_string(), 4),
                Err(error) => (format!("{error:#}"), 4),
            };
            // With nobody to read it the exit code has to do.
            let _ = writeln!(std::io::stderr(), "kapell: {told}");
            code
        })
}

/// A worker's door: its shim opens the real one outside of the wall, and this passes on what is said.
fn stand_in(shim: &Path, door: Door) -> anyhow::Result<u8> {
    relay::stand_in(shim, door).with_context(|| format!("no way out of the wall by {}", shim.display()))?;
    Ok(0)
}

/// The conductor of a plan: `conduct PLAN_ID [--launch]`, or the judge of a run: `conduct --judge RUN_ID QUESTION`.
fn conduct(house: House, words: &[String]) -> anyhow::Result<u8> {
    spawn::become_session_leader();
    pages::share_heaps();
    let folder = std::env::current_dir().context("the current folder")?;
    let caller = Caller::new(HolderKind::Agent, "conductor");
    let session = Session { house: Arc::new(house), caller, folder, cancel: Cancel::default() };
    match words {
        [flag, run, question] if flag == "--judge" => {
            let question = serde_json::from_str(question).context("the question to judge")?;
            runs::carry_out(&session, run, &question)?;
        }
        [flag, ..] if flag.starts_with('-') => {
            anyhow::bail!(
                "a conductor is started by kapell itself: kapell dispatch --plan-id PLAN; kapell --help tells all"
            );
        }
        [plan, rest @ ..] => {
            let launch_anyway = rest.iter().any(|flag| flag == "--launch");
            // The first signal ends the attempts, saves them and stops the plan. The second leaves them no time
            // for that. After a third they go on by themselves, and the next conductor takes them up.
            let cancel = session.cancel.clone();
            let (insistent, id) = (session.clone(), PlanId::new(plan));
            let kill = move || steering::kill_workers(&insistent, &id);
            signals::on_first_and_second(move || cancel.cancel(), kill).context("waiting for signals")?;
            conductor::conduct(&session, &PlanId::new(plan), launch_anyway, |vitals| {
                let served =
                    doors::http::serve(session.house.clone(), session.folder.clone(), vitals.clone());
                // The socket is a convenience; the plan is not kept waiting for it.
                served.inspect_err(|error| tracing::warn!("the socket of plan {plan}: {error}")).ok()
            })?;
        }
        [] => anyhow::bail!("conduct wants the id of a plan"),
    }
    Ok(0)
}

/// The folder that an agent's session is about: Claude Code names it, others start us in it.
fn project_folder(house: &House) -> anyhow::Result<PathBuf> {
    let named = house.environment.get("CLAUDE_PROJECT_DIR").map(PathBuf::from);
    match named.filter(|folder| folder.is_dir()) {
        Some(folder) => Ok(folder),
        None => std::env::current_dir().context("the current folder"),
    }
}

/// Writes what happens to standard error, from warnings on unless `wanted` says otherwise: a
/// level, or levels by module such as `kapell=debug,rmcp=info`. A panic is told with its backtrace.
fn log(wanted: Option<&str>) {
    // A client's mistakes are answered to the client; they need no line here each time.
    let usual = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("rmcp", LevelFilter::OFF)
        .with_target("tower_lsp_server", LevelFilter::OFF);
    let targets = match wanted.filter(|wanted| !wanted.is_empty()).map(str::parse::<Targets>) {
        Some(Ok(targets)) => targets,
        Some(Err(_)) | None => usual,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // Only a second call could fail.
    let _ = tracing_subscriber::registry().with(lines.with_filter(targets)).try_init();
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("bug: {panic}\n{}", std::backtrace::Backtrace::force_capture());
    }));
}
