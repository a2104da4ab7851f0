//! Whether the agents are there, answer, and are signed in. Files and names of variables are
//! looked at, never what is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{ANSWER_LIMIT, Check, first_line, say};
use crate::services::{Session, local};
use crate::sys::config::resolved::{ProviderKind, Through};
use crate::sys::ollama;
use crate::sys::process::find::{find_program, native_program};

/// An agent that Kapell has an adapter for.
struct Agent {
    /// The program, and the name of the check.
    name: &'static str,
    /// How to install it.
    install: &'static str,
    /// How to sign in.
    sign_in: &'static str,
    /// Variables that sign it in.
    keys: &'static [&'static str],
    /// The variable that moves its folder, the folder below home, and the file in it that signs it in.
    credentials: (&'static str, &'static str, &'static str),
}

const AGENTS: [Agent; 3] = [
    Agent {
        name: "claude",
        install: "npm install -g @anthropic-ai/claude-code",
        sign_in: "start claude once and sign in, or set ANTHROPIC_API_KEY",
        keys: &[
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
        ],
        credentials: ("CLAUDE_CONFIG_DIR", ".claude", ".credentials.json"),
    },
    Agent {
        name: "codex",
        install: "npm install -g @openai/codex",
        sign_in: "codex login, or set CODEX_API_KEY",
        keys: &["CODEX_API_KEY", "OPENAI_API_KEY"],
        credentials: ("CODEX_HOME", ".codex", "auth.json"),
    },
    Agent {
        name: "opencode",
        install: "npm install -g opencode-ai",
        sign_in: "opencode auth login, or set the key of its provider",
        keys: &[
            "OPENCODE_API_KEY",
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
            "OPENROUTER_API_KEY",
            "GEMINI_API_KEY",
            "GOOGLE_GENERATIVE_AI_API_KEY",
        ],
        credentials: ("XDG_DATA_HOME", ".local/share", "opencode/auth.json"),
    },
];

/// A check for every agent that is there; one warning if none is.
pub fn all(session: &Session, scratch: &Path) -> Vec<Check> {
    let path = session.house.environment.get("PATH").map(String::as_str).unwrap_or_default();
    let found: Vec<(&Agent, PathBuf)> =
        AGENTS.iter().filter_map(|agent| Some((agent, find_program(agent.name, path)?))).collect();
    if found.is_empty() {
        return vec![Check::warn(
            "agents",
            "none of claude, codex, opencode is on PATH",
            format!("{}, or name a provider of your own in kapell.toml", AGENTS[0].install),
        )];
    }
    // Side by side: each may take its whole time.
    std::thread::scope(|scope| {
        let asked: Vec<_> = found
            .iter()
            .map(|(agent, program)| {
                (
                    agent.name,
                    scope.spawn(|| {
                        agent.check(program, &session.house.environment, &session.house.home, scratch)
                    }),
                )
            })
            .collect();
        asked
            .into_iter()
            .map(|(name, check)| {
                check
                    .join()
                    .unwrap_or_else(|_| Check::fail(name, "looking at it failed", "report this fault"))
            })
            .collect()
    })
}

/// Whether a model of this machine can be had.
pub fn local(session: &Session) -> Check {
    const NAME: &str = "ollama";
    let config = session.project().and_then(|project| session.config(&project));
    let named = config.into_iter().flat_map(|config| config.providers);
    let mut named = named.filter(|(_, provider)| provider.kind == ProviderKind::Ollama);
    // The one that is ready-made is always there; one that is configured says more.
    let Some((name, provider)) = named.by_ref().max_by_key(|(_, provider)| provider.is_available) else {
        return Check::ok(NAME, "not looked for, since the configuration cannot be used");
    };
    let through = provider.through.map_or("codex", Through::as_str);
    let path = session.house.environment.get("PATH").map(String::as_str).unwrap_or_default();
    let program = provider.command.0.first().map(String::as_str).unwrap_or_default();
    let found = local::address(&session.house, &provider).and_then(|address| Ok((address.look()?, address)));
    let (found, address) = match found {
        Ok(found) => found,
        Err(why) if provider.is_available => {
            let next = match why.starts_with(ollama::HOST) {
                true => "correct it, or set it in the provider's set_env".to_owned(),
                false => format!("start it with ollama serve; until then {name} gets no tasks"),
            };
            return Check::warn(NAME, why, next);
        }
        Err(why) => return Check::ok(NAME, format!("none here, and none is needed: {why}")),
    };
    let version = found.version.as_deref().map_or(String::new(), |version| format!("version {version} "));
    let models = match found.models.as_slice() {
        [] => "no models".to_owned(),
        models => models.join(", "),
    };
    let text = format!("{version}at {} with {models}", address.authority());
    if let Some(why) = local::mismatch(&provider, &found) {
        return Check::warn(NAME, format!("{text}; {why}"), "update Ollama, or set through = \"opencode\"");
    }
    match found.choose(provider.model.as_deref()) {
        Err(why) => Check::warn(NAME, format!("{text}; {why}"), "then it gets tasks, without a restart"),
        Ok(_) if find_program(program, path).is_none() => Check::warn(
            NAME,
            format!("{text}; no agent to work through: {program} is not on PATH"),
            AGENTS.iter().find(|agent| agent.name == through).map_or("", |agent| agent.install),
        ),
        Ok(model) => Check::ok(NAME, format!("{text}; provider {name} asks {model} through {through}")),
    }
}

impl Agent {
    fn check(
        &self,
        program: &Path,
        environment: &BTreeMap<String, String>,
        home: &Path,
        scratch: &Path,
    ) -> Check {
        let said = match say(program, &["--version"], scratch, environment, ANSWER_LIMIT) {
            Ok(said) => said,
            Err(error) => {
                return Check::fail(self.name, format!("{}: {error}", program.display()), self.reinstall());
            }
        };
        let mut found = format!("{} at {}", first_line(&said), program.display());
        if let Some(native) = native_program(program) {
            found.push_str(&format!(", a script that starts {}", native.display()));
        }
        match self.signed_in(environment, home) {
            Some(by) => Check::ok(self.name, format!("{found}; signed in by {by}")),
            // macOS keeps what signs Claude Code in in its keychain, where nobody may look.
            None if cfg!(target_os = "macos") && self.name == "claude" => Check::ok(self.name, found),
            None => {
                Check::warn(self.name, format!("{found}; not signed in, as far as can be seen"), self.sign_in)
            }
        }
    }

    /// What signs it in: the name of a variable, or a file.
    fn signed_in(&self, environment: &BTreeMap<String, String>, home: &Path) -> Option<String> {
        let set = |name: &&&str| environment.get(**name).is_some_and(|value| !value.is_empty());
        if let Some(key) = self.keys.iter().find(set) {
            return Some((*key).to_owned());
        }
        let (variable, folder, file) = self.credentials;
        let folder = environment
            .get(variable)
            .filter(|value| !value.is_empty())
            .map_or_else(|| home.join(folder), PathBuf::from);
        let file = folder.join(file);
        let is_there = file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 2);
        is_there.then(|| file.display().to_string())
    }

    fn reinstall(&self) -> String {
        format!("start it by hand to see why; {} installs it", self.install)
    }
}
