//! Wiring: reads the surroundings of the process once and opens the door that was asked for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::doors;
use crate::services::House;
use crate::store::Check;

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
///
/// The first word chooses the door. Everything but the command line is told by that word alone
/// and never sees clap: a door that an agent starts answers within milliseconds.
pub fn run() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let opened = house().and_then(|house| {
        let folder = std::env::current_dir().context("the current folder")?;
        Ok((house, folder))
    });
    let (house, folder) = match opened {
        Ok(opened) => opened,
        Err(error) => return doors::cli::cannot_start(&format!("{error:#}")),
    };
    // The other doors and the inner processes open here, by `argv[1]`, when nothing or only
    // their own words follow (`--help` goes to the command line): mcp, rpc, shim, conduct, hook.
    doors::cli::run(house, folder, argv, |_session| {
        // The starter's text for the ecosystem found, and the wall's probe, are handed over here.
        doors::cli::Given {
            starter_text: "# Kapell in this project. Everything has a default.\n".to_owned(),
            checks: Vec::new(),
        }
    })
}
