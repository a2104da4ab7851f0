//! What an attempt and a provider's program have in common before an adapter makes them its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{AgentKind, Local, environment};

/// What one attempt asks of an agent.
#[derive(Debug, Clone)]
pub struct Brief<'a> {
    /// What is to be done.
    pub prompt: &'a str,
    /// A regular file that holds the same text.
    pub prompt_file: &'a Path,
    /// The folder the agent works in; also its working directory.
    pub worktree: &'a Path,
    /// A folder for this attempt alone, outside the worktree. To resume a session, it must be
    /// the folder that the session was made with: the agents keep their sessions in it.
    pub private: &'a Path,
    /// The model, in the agent's own naming; before the program's.
    pub model: Option<&'a str>,
    /// The plan's id.
    pub plan: &'a str,
    /// The task's id.
    pub task: &'a str,
    /// The attempt's id.
    pub attempt: &'a str,
    /// Patterns of what it may change.
    pub files: &'a [String],
    /// A UUID for the new session, where the agent lets us choose.
    pub session: &'a str,
    /// The session to go on with.
    pub resume: Option<&'a str>,
    /// What the attempt may cost, in dollars. Only Claude Code holds it itself, and only between turns.
    pub budget_usd: Option<f64>,
    /// A JSON schema that the answer must fit. An attempt with one answers and changes nothing.
    pub answer_schema: Option<&'a str>,
    /// The command that is asked before each use of a tool.
    pub hook: Option<&'a [String]>,
    /// The socket to reach Kapell by.
    pub socket: Option<&'a Path>,
    /// The command of the server that speaks to that socket; its program's folder is on the `PATH`.
    pub server: Option<&'a [String]>,
    /// Whether the agent runs as root.
    pub is_root: bool,
    /// Whether a wall of ours is around it.
    pub walled: bool,
    /// The person's home folder.
    pub home: &'a Path,
    /// The environment of whoever started the plan.
    pub caller_env: &'a BTreeMap<String, String>,
}

/// A provider's program as configured.
#[derive(Debug, Clone)]
pub struct Program<'a> {
    /// Which adapter speaks to it.
    pub kind: AgentKind,
    /// The program and its first arguments.
    pub command: &'a [String],
    /// More arguments, after those of the adapter.
    pub args: &'a [String],
    /// Globs of the names that pass from the caller's environment. `None`: [`AgentKind::default_env`].
    pub env: Option<&'a [String]>,
    /// Variables set for it; they win over the caller's and over the adapter's defaults.
    pub set_env: &'a BTreeMap<String, String>,
    /// The model, in the agent's own naming.
    pub model: Option<&'a str>,
    /// The model server of this machine that it works with, instead of its own provider. Codex and opencode.
    pub local: Option<&'a Local>,
}

/// A process to start, and what must be there before. In this order: `folders`, `seeds`, `files`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Launch {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// What it reads on stdin: a regular file. `None` is `/dev/null`. Never a pipe: all three
    /// agents wait for ever on one that stays open.
    pub stdin: Option<PathBuf>,
    /// Folders to make first, mode 0700.
    pub folders: Vec<PathBuf>,
    /// Files of the person's to bring in, where they exist.
    pub seeds: Vec<Seed>,
    /// Files to write, mode 0600.
    pub files: Vec<(PathBuf, String)>,
    /// Folders of its own that it must be able to write besides its worktree.
    pub writable: Vec<PathBuf>,
    /// Folders and files of the person's that it must be able to write, where they exist.
    pub persons: Vec<PathBuf>,
    /// Whether it may write in its worktree. Where not, a wall must hold that: a walled codex has
    /// no sandbox of its own.
    pub writes_worktree: bool,
}

/// A file of the person's that the agent needs in its private folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Where it is; nothing is to be done when there is none.
    pub from: PathBuf,
    /// Where the agent looks for it.
    pub to: PathBuf,
    /// How it gets there.
    pub how: SeedHow,
}

/// How a [`Seed`] gets to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedHow {
    /// A copy: what the agent writes there stays there.
    Copy,
    /// A symbolic link, for credentials: a refreshed token must reach the person's own file, since
    /// the old one is void from then on and a copy would sign the person out.
    Link,
}

/// Why an attempt cannot be put into a command line.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadCommand {
    /// No program.
    #[error("the command of this {} provider is empty; set `command` to the program to run", .0.as_str())]
    NoProgram(AgentKind),
    /// Nothing to do.
    #[error("the prompt is blank; say what is to be done")]
    BlankPrompt,
    /// A path that is no text.
    #[error("the path {0:?} is no UTF-8 text, and an agent's environment must be; choose another folder")]
    NotText(PathBuf),
    /// An argument or variable that the system cannot pass on.
    #[error("no process can be given {0}: it has a NUL byte, or a `=` in its name; remove it")]
    Unpassable(String),
    /// A glob of the allow-list that cannot be read.
    #[error("`{glob}` in the provider's `env` is no pattern of names ({why}); use names with `*`")]
    BadGlob {
        /// As configured.
        glob: String,
        /// What is wrong with it.
        why: String,
    },
    /// `{model}` without a model.
    #[error("the command uses {{model}}, and the provider names none; set `model`")]
    NoModel,
    /// A session that no agent gave.
    #[error("{0:?} is no session id; start without `resume`")]
    BadSession(String),
    /// No money to spend.
    #[error("a budget of {0} dollars buys nothing; raise it or leave it out")]
    BadBudget(f64),
    /// The caller's inline configuration is broken.
    #[error("OPENCODE_CONFIG_CONTENT in the environment is no JSON object ({0}); correct or unset it")]
    BadInlineConfig(String),
}

impl Launch {
    /// What is the same for all kinds: the program itself, the environment, the private temporary folder.
    pub(super) fn base(program: &Program<'_>, brief: &Brief<'_>) -> Result<Self, BadCommand> {
        if program.command.first().is_none_or(String::is_empty) {
            return Err(BadCommand::NoProgram(program.kind));
        }
        if brief.prompt.trim().is_empty() {
            return Err(BadCommand::BlankPrompt);
        }
        for session in [Some(brief.session), brief.resume].into_iter().flatten() {
            if !is_session(session) {
                return Err(BadCommand::BadSession(session.to_owned()));
            }
        }
        if let Some(usd) = brief.budget_usd.filter(|usd| !usd.is_finite() || *usd <= 0.0) {
            return Err(BadCommand::BadBudget(usd));
        }
        let tmp = brief.private.join("tmp");
        Ok(Self {
            argv: program.command.to_vec(),
            env: environment::of(program, brief, &tmp)?,
            folders: vec![tmp.clone()],
            writable: vec![tmp],
            writes_worktree: brief.answer_schema.is_none(),
            ..Self::default()
        })
    }

    /// Sets a variable unless the configuration or the caller did.
    pub(super) fn default_env(&mut self, name: &str, value: &str) {
        self.env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// Gives the agent a folder of its own by way of a variable.
    pub(super) fn own_folder(&mut self, variable: &str, folder: &Path) -> Result<(), BadCommand> {
        self.env.insert(variable.to_owned(), text(folder)?.to_owned());
        self.folders.push(folder.to_path_buf());
        self.writable.push(folder.to_path_buf());
        Ok(())
    }

    /// Brings in a file of the person's. A linked one is the agent's to write too.
    pub(super) fn seed(&mut self, how: SeedHow, from: PathBuf, to: PathBuf) {
        if how == SeedHow::Link {
            self.persons.push(from.clone());
        }
        self.seeds.push(Seed { from, to, how });
    }

    /// The launch, if a process can be given all of it.
    pub(super) fn checked(self) -> Result<Self, BadCommand> {
        if let Some(at) = self.argv.iter().position(|argument| argument.contains('\0')) {
            return Err(BadCommand::Unpassable(format!("argument {at} of {:?}", self.argv[0])));
        }
        match self.env.iter().find(|(name, value)| name.contains(['\0', '=']) || value.contains('\0')) {
            Some((name, _)) => Err(BadCommand::Unpassable(format!("the environment variable {name:?}"))),
            None => Ok(self),
        }
    }
}

impl Brief<'_> {
    /// Where the person keeps an agent's files: told by a variable, else a folder in the home.
    pub(super) fn persons(&self, program: &Program<'_>, variable: &str, in_home: &str) -> PathBuf {
        let told = program.set_env.get(variable).or_else(|| self.caller_env.get(variable));
        match told {
            Some(folder) if !folder.is_empty() => PathBuf::from(folder),
            _ => self.home.join(in_home),
        }
    }

    /// The model to ask for, if any.
    pub(super) fn model<'a>(&'a self, program: &Program<'a>) -> Option<&'a str> {
        self.model.or(program.model)
    }
}

/// Whether a text can be a session's id. A session's id comes from what a worker printed, so it
/// must not be able to pass for an option.
pub(super) fn is_session(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A path as an argument or a variable.
pub(super) fn text(path: &Path) -> Result<&str, BadCommand> {
    path.to_str().ok_or_else(|| BadCommand::NotText(path.to_path_buf()))
}

/// `["--model", "m"]` as strings.
pub(super) fn words<const N: usize>(words: [&str; N]) -> [String; N] {
    words.map(str::to_owned)
}
