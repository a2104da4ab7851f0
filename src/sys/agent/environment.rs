//! The environment of a worker: built from nothing, never inherited.

use crate::base::sorting::Gather as _;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::NUDGES;
use super::launch::{BadCommand, Brief, Program, text};

/// What passes from the caller to every worker: where things are, which language, how the network is reached.
const SAFE: [&str; 11] = [
    "PATH",
    "LANG",
    "LC_*",
    "USER",
    "LOGNAME",
    "SHELL",
    "TZ",
    "SSL_CERT_*",
    "NODE_EXTRA_CA_CERTS",
    "*_PROXY",
    "*_proxy",
];

/// What never passes, though an allow-list names it: marks of the session that the caller itself
/// runs in, which would make a worker think it is part of it, and what would undo our own settings.
const NEVER: [&str; 16] = [
    "KAPELL_*",
    "CLAUDECODE",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_PROJECT_DIR",
    "CLAUDE_ENV_FILE",
    "CLAUDE_PLUGIN_*",
    "CODEX_SANDBOX*",
    "CODEX_THREAD_ID",
    "OPENCODE",
    "OPENCODE_PID",
    "OPENCODE_CLIENT",
    "OPENCODE_DB",
    "OPENCODE_PERMISSION",
    "OPENCODE_SERVER_*",
];

/// The variables that every kind of worker gets, before its adapter adds its own.
pub(super) fn of(
    program: &Program<'_>,
    brief: &Brief<'_>,
    tmp: &Path,
) -> Result<BTreeMap<String, String>, BadCommand> {
    let mut env = allowed(program, brief.caller_env)?;

    let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
    set("HOME", text(brief.home)?);
    set("TMPDIR", text(tmp)?);
    set("TERM", "dumb");
    set("NO_COLOR", "1");
    // The repository is read-only to a worker: `git status` must not try to refresh its index,
    // and nobody is there to type a password.
    set("GIT_OPTIONAL_LOCKS", "0");
    set("GIT_TERMINAL_PROMPT", "0");
    for (name, value) in program.set_env {
        set(name, value);
    }
    set("KAPELL_PLAN", brief.plan);
    set("KAPELL_TASK", brief.task);
    set("KAPELL_ATTEMPT", brief.attempt);
    set("KAPELL_PROMPT_FILE", text(brief.prompt_file)?);
    set("KAPELL_WORKTREE", text(brief.worktree)?);
    set("KAPELL_FILES", &serde_json::Value::from(brief.files.to_vec()).to_string());
    if let Some(socket) = brief.socket {
        set("KAPELL_SOCKET", text(socket)?);
        set("KAPELL_NUDGES", text(&socket.with_file_name(NUDGES))?);
    }
    // Last, so that it hides no program of the person's.
    let kapell = brief.server.and_then(|server| Path::new(server.first()?).parent());
    if let (Some(kapell), Some(path)) = (kapell, env.get_mut("PATH")) {
        path.push(':');
        path.push_str(text(kapell)?);
    }
    Ok(env)
}

/// What of the caller's variables passes to a program.
pub(super) fn allowed(
    program: &Program<'_>,
    caller: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, BadCommand> {
    // Compiling them takes longer than starting a program, so what is the same each time is done once.
    static ALWAYS: LazyLock<Result<[GlobSet; 2], BadCommand>> =
        LazyLock::new(|| Ok([globs(SAFE)?, globs(NEVER)?]));
    let [safe, never] = ALWAYS.as_ref().map_err(Clone::clone)?;
    let configured = match program.env {
        Some(configured) => globs(configured.iter().map(String::as_str))?,
        None => globs(program.kind.default_env().iter().copied())?,
    };
    let is_allowed = |name: &str| (safe.is_match(name) || configured.is_match(name)) && !never.is_match(name);
    let mut env: BTreeMap<String, String> = caller
        .iter()
        .filter(|(name, _)| is_allowed(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .gather();
    env.entry("PATH".to_owned()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    Ok(env)
}

/// The caller's variables that these patterns let pass to a command that is no worker.
pub fn passed(
    patterns: &[String],
    caller: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, BadCommand> {
    let allowed = globs(patterns.iter().map(String::as_str))?;
    let never = globs(NEVER)?;
    let is_passed = |name: &str| allowed.is_match(name) && !never.is_match(name);
    let named = caller.iter().filter(|(name, _)| is_passed(name));
    Ok(named.map(|(name, value)| (name.clone(), value.clone())).gather())
}

fn globs<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<GlobSet, BadCommand> {
    let bad = |glob: &str, error: &globset::Error| BadCommand::BadGlob {
        glob: glob.to_owned(),
        why: error.kind().to_string(),
    };
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(Glob::new(glob).map_err(|error| bad(glob, &error))?);
    }
    set.build().map_err(|error| bad(error.glob().unwrap_or_default(), &error))
}
