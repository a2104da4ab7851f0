//! Wiring: reads the surroundings of the process once and opens the door that was asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;

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
pub fn run() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
