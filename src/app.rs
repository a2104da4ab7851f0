//! Wiring: reads the surroundings of the process once and opens the door that was asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use crate::base::ids::PlanId;
use crate::domain::claim::HolderKind;
use crate::services::judging::runs;
use crate::services::{Caller, Cancel, House, Session, conductor};
use crate::store::Check;
use crate::sys::process::spawn;

/// The surroundings from the environment: `KAPELL_HOME` moves the state folder,
/// `KAPELL_CONFIG` names another configuration file of the person's.
pub fn house() -> anyhow::Result<House> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // Values that are no text cannot be passed on as text; agents have no use for them.
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let home = var("HOME").unwrap_or_else(|| PathBuf::from("/"));
    let root = var("KAPELL_HOME")
        .or_else(|| var("XDG_STATE_HOME").map(|state| state.join("kapell")))
        .unwrap_or_else(|| home.join(".local/state/kapell"));
    let root = std::path::absolute(root).context("the state folder")?;
    let person_config = var("KAPELL_CONFIG").unwrap_or_else(|| {
        var("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("kapell/config.toml")
    });
    let program = std::env::current_exe().context("where kapell itself lies")?;
    Ok(House::new(root, environment, program, home, person_config, Check::Pages))
}

/// Runs the program and gives its exit code.
pub fn run() -> ExitCode {
    let argv: Vec<String> = std::env::args().collect();
    match argv.get(1).map(String::as_str) {
        Some("conduct") => finish(conduct(&argv[2..])),
        _ => ExitCode::SUCCESS,
    }
}

/// The conductor of a plan: `conduct PLAN_ID [--launch]`, or the judge of a run: `conduct --judge RUN_ID QUESTION`.
fn conduct(args: &[String]) -> anyhow::Result<ExitCode> {
    spawn::become_session_leader();
    logging();
    let house = Arc::new(house()?);
    let folder = std::env::current_dir().context("the current folder")?;
    let caller = Caller::new(HolderKind::Agent, "conductor");
    let session = Session { house, caller, folder, cancel: Cancel::default() };
    match args {
        [flag, run, question] if flag == "--judge" => {
            let question = serde_json::from_str(question).context("the question to judge")?;
            runs::carry_out(&session, run, &question)?;
        }
        [plan, rest @ ..] => {
            let launch_anyway = rest.iter().any(|flag| flag == "--launch");
            conductor::conduct(&session, &PlanId::new(plan), None, launch_anyway)?;
        }
        [] => anyhow::bail!("conduct wants a plan"),
    }
    Ok(ExitCode::SUCCESS)
}

fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        ExitCode::from(4)
    })
}

/// Logs go to stderr; `KAPELL_LOG` says how much, `warn` unless told.
fn logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KAPELL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}
