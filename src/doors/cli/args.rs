//! What can be typed: every command, its options, its help with examples.
//!
//! The options of a method are the method's own fields; [`Method::call`](super::calls) turns
//! them into its parameters.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::Value;

mod environments;
mod fleet;
mod methods;
mod pipeline;

pub use environments::{Env, EnvCommand, Services};
pub use fleet::{By, Fleet, FleetCommand, Health, Route};
pub use methods::*;
pub use pipeline::{Pipeline, PipelineCommand, PipelineRun};

use super::print::Color;
use crate::api::wire::{Id, Object};

/// Many coding agents and people in one repository, without destroying each other's work.
#[derive(Debug, Parser)]
#[command(
    name = "kapell",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = false,
    max_term_width = 100,
    after_help = "Examples:
  kapell init                      set up this project and the agents found
  kapell run plan.yaml             check a plan, start it, follow it to its end
  kapell status                    what is going on
  kapell list                      what runs, in all your projects
  kapell claim-files src/db        own files before changing them
  kapell send 'fix the typo' --files README.md

Exit codes: 0 ok, 1 refused or rejected, 2 usage, 3 not found, 4 store or system failure."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Work in this project instead of the one around the current folder
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub folder: Option<PathBuf>,
    /// Print the result as one line of JSON, and errors as one line on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Whether to colour: auto, always or never
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto, hide_default_value = true)]
    #[arg(hide_possible_values = true, global = true)]
    pub color: Color,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, check and store a plan of tasks that each own files
    Plan(Plan),
    /// Start a plan, some of its tasks, or one task
    Dispatch(Dispatch),
    /// Own files before changing them
    #[command(after_help = "Asking again renews. Ends with 1 if somebody else holds one of the paths.

Examples:
  kapell claim-files src/db docs/db.md
  kapell claim-files 'src/**/*.sql' --reason 'new index' --ttl-s 3600
  kapell claim-files src/db --wait-s 60
  kapell claim-files src/db/schema.sql --as me --ttl-s 7200
  kapell claim-files src/db/schema.sql --as me --take-over --reason 'mending it by hand'
  kapell claim-files src/db --check-only --json")]
    ClaimFiles(ClaimFiles),
    /// Let go of claimed files
    #[command(after_help = "Examples:
  kapell release-files src/db
  kapell release-files --claim-ids 12,13
  kapell release-files --all")]
    ReleaseFiles(ReleaseFiles),
    /// Save what a worker has done so far; for workers, inside their wall
    #[command(after_help = "Ends with 1 if something was changed that would not land.

Examples:
  kapell checkpoint
  kapell checkpoint --json")]
    Checkpoint,
    /// Tell what a worker found that is not its own to mend; for workers, inside their wall
    #[command(after_help = "Examples:
  kapell report 'the parser takes an empty file for an error' --files src/parse.rs --severity high")]
    Report(Report),
    /// What is going on
    Status(Status),
    /// What was spent, on what, and what the month will come to
    Cost(Cost),
    /// Prove work by gates
    Judge(Judge),
    /// Steer plans, tasks and workers
    #[command(after_help = "Examples:
  kapell control pause all
  kapell control retry auth-3kq9zx/2
  kapell control nudge claude1 --message 'the tests are in tests/api'")]
    Control(Control),
    /// Let nothing new start; with --force suspend what runs
    #[command(after_help = "Examples:
  kapell pause auth-3kq9zx
  kapell pause all --force")]
    Pause(Steer),
    /// Go on; of a worker that gets no tasks since it only crashed, let it have some again
    #[command(after_help = "Examples:
  kapell resume auth-3kq9zx
  kapell resume auth-3kq9zx --budget-usd 5
  kapell resume codex2")]
    Resume(Resume),
    /// End what runs, its work kept
    #[command(after_help = "Examples:
  kapell stop auth-3kq9zx
  kapell stop auth-3kq9zx/2 --force")]
    Stop(Steer),
    /// Call a task off
    #[command(after_help = "Examples:
  kapell cancel auth-3kq9zx/2 --message 'no longer wanted'")]
    Cancel(Steer),
    /// Try a task again
    #[command(after_help = "Examples:
  kapell retry auth-3kq9zx/2")]
    Retry(Steer),
    /// Accept work that the judge refused
    #[command(
        after_help = "What lies outside of the claim lands only where --path names it, and if nobody else holds it.
Examples:
  kapell approve auth-3kq9zx/2 --message 'the flaky test is known'
  kapell approve a-6q2m8x1c --path src/lib.rs --path README.md"
    )]
    Approve(Approve),
    /// Bring landed work to its target branch
    #[command(after_help = "Examples:
  kapell land
  kapell land auth-3kq9zx")]
    Land(Land),
    /// Check a plan, start it, and follow it to its end
    Run(Run),
    /// Stages that start one another: run them, approve, see how far they are
    #[command(after_help = "Examples:
  kapell pipeline list
  kapell pipeline run feature --request 'add sign-in with passkeys'
  kapell pipeline show feature-3kq9zx
  kapell pipeline approve feature-3kq9zx deploy")]
    Pipeline(Pipeline),
    /// Checkouts with services, databases and a git workflow of their own
    #[command(
        after_help = "Examples:
  kapell env create --count 2
  kapell env launch dev1
  kapell env status
  kapell env git dev1 sync
  kapell env backup dev1
  kapell env remove dev1",
        visible_alias = "environments"
    )]
    Env(Env),
    /// Give one task to a worker, without a plan
    #[command(after_help = "Examples:
  kapell send 'fix the typo in the first line' --files README.md
  kapell send 'speed up the parser' --files src/parse --target codex2 --priority high")]
    Send(Send),
    /// Tell to whom a task would go, and why
    #[command(after_help = "Nothing is started.

Examples:
  kapell route 'Review PR #123'
  kapell route 'fix the typo' --complexity simple --json")]
    Route(Route),
    /// Workers by group and what they do; their standing sessions: start, end, look, type
    #[command(after_help = "Examples:
  kapell fleet
  kapell fleet --by provider
  kapell fleet --watch
  kapell fleet up
  kapell fleet attach architect
  kapell fleet send architect 'look at the design of the parser'
  kapell fleet down")]
    Fleet(Fleet),
    /// What each worker shows of life, and what all of them need
    #[command(after_help = "Ends with 1 if somebody should look.

Examples:
  kapell health
  kapell health --watch
  kapell health --json")]
    Health(Health),
    /// List running orchestrations, of all your projects
    #[command(
        after_help = "A filled circle is one that lives and was heard of in the last minute, an empty one all others. Whether it lives \
is asked of its lock and its process, not of what it wrote last.

Examples:
  kapell list
  kapell list --all
  kapell list --json"
    )]
    List(List),
    /// Stop everything that runs in all your projects, its work kept
    #[command(after_help = "kapell stop all stops what runs in this project alone.

Examples:
  kapell shutdown-all
  kapell shutdown-all --force")]
    ShutdownAll(ShutdownAll),
    /// All orchestrations on one screen: watch, pause, stop, approve, land, open logs and diffs
    #[command(
        after_help = "Keys: 1 to 5 and Tab go from panel to panel, ? explains the others, q leaves; what runs goes on.
It needs a terminal of at least 60 columns and 16 rows. NO_COLOR is heeded.

Examples:
  kapell top
  kapell top auth-3kq9zx
  kapell top --theme light"
    )]
    Top(Top),
    /// Plans that were run, newest first
    #[command(after_help = "Examples:
  kapell history
  kapell history --limit 5 --json
  kapell history --all-projects")]
    History(History),
    /// Walk a plan event by event: what was known, and why it was decided so
    #[command(after_help = "Examples:
  kapell replay auth-3kq9zx
  kapell replay auth-3kq9zx --task 2
  kapell replay auth-3kq9zx --kind task. --json")]
    Replay(Replay),
    /// What happened, as it happens
    #[command(after_help = "Examples:
  kapell events
  kapell events --follow --kind task.
  kapell events --since 120 --plan auth-3kq9zx --json")]
    Events(Events),
    /// Set up this project and register with the agents found
    #[command(
        after_help = "Every change is shown and asked about first. What was changed is kept, so that --undo can restore it.

Examples:
  kapell init
  kapell init --yes --no-agents
  kapell init --dry-run
  kapell init --undo"
    )]
    Init(Init),
    /// Look for what stands in the way, by trying it
    #[command(after_help = "Ends with 1 if a check fails.

Examples:
  kapell doctor
  kapell doctor --json")]
    Doctor,
    /// The configuration: kapell.toml over the person's own
    #[command(after_help = "Examples:
  kapell config check
  kapell config show --json
  kapell config schema")]
    Config(Config),
    /// Completions for a shell, from the same definition as this help
    #[command(after_help = "Examples:
  kapell completions bash > ~/.local/share/bash-completion/completions/kapell
  kapell completions zsh > ~/.zfunc/_kapell
  kapell completions fish > ~/.config/fish/completions/kapell.fish")]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Serve agents over MCP on stdin and stdout
    #[command(after_help = "Examples:
  claude mcp add kapell -- kapell mcp")]
    Mcp,
    /// Serve scripts: JSON-RPC 2.0 on stdin and stdout, a line each
    #[command(after_help = r#"Examples:
  echo '{"jsonrpc":"2.0","id":1,"method":"status"}' | kapell rpc"#)]
    Rpc,
    /// Serve programs and the board in a browser: HTTP and WebSocket on this machine, or by TLS on any
    #[command(
        after_help = r#"It listens on the loopback interface, and whoever asks needs the token: it is made once and lies in a
file that only you can read. What is printed as board opens the board; the token stands behind the #, which
stays in the browser. Ctrl-C ends it; what runs goes on. From another machine ssh -L 7777:127.0.0.1:7777 HOST
leads there; with a certificate and its key it listens on other interfaces too, and speaks TLS only.

Examples:
  kapell serve
  kapell serve --listen 127.0.0.1:7777
  kapell serve --json                        # {"url", "board", "token_file", "pid"} once it answers
  kapell serve --openapi > openapi.json      # what can be asked
  kapell serve --listen 0.0.0.0:7777 --name a.example --cert chain.pem --key key.pem
  TOKEN=$(cat ~/.local/state/kapell/serve.token)
  curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:7777/api/plans"#
    )]
    Serve(Serve),
    /// Serve an editor: the Language Server Protocol on stdin and stdout
    #[command(
        after_help = "Who holds a file shows where it is open, and what you change is yours until it is saved.
Plans and kapell.toml are checked and completed as they are typed.

Examples:
  kapell lsp
  vim.lsp.config('kapell', { cmd = { 'kapell', 'lsp' }, root_markers = { '.git' } })   # Neovim"
    )]
    Lsp {
        /// Speak on stdin and stdout; there is no other way, but some editors say so
        #[arg(long)]
        stdio: bool,
    },
    /// Answer an agent's hook: an event on stdin, a refusal or nothing on stdout
    #[command(
        after_help = r#"An agent calls it before each use of a tool that writes; kapell init and the plugin register it.
It always ends with 0; what went wrong stands in hook.log in the state folder.

Examples:
  cat event.json | kapell hook codex
  cat event.json | kapell hook

An event:
  {"hook_event_name": "PreToolUse", "session_id": "s", "cwd": ".",
   "tool_name": "Edit", "tool_input": {"file_path": "a"}}"#
    )]
    Hook {
        /// Whose events these are: claude (also where nothing is said) or codex
        agent: Option<String>,
    },
    /// The process that runs one plan
    #[command(hide = true)]
    Conduct(Inside),
    /// The process around one worker
    #[command(hide = true)]
    Shim(Inside),
    /// What the process around a service becomes at its end
    #[command(hide = true)]
    Ended(Inside),
    /// What shows an attempt in a window
    #[command(hide = true)]
    Window(Inside),
    /// What becomes the program of a standing session
    #[command(hide = true)]
    Stand(Inside),
}

/// What Kapell's own processes are given; their doors read it.
#[derive(Debug, Args)]
pub struct Inside {
    /// As the process was started
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Those that ended too
    #[arg(long)]
    pub all: bool,
}

/// `top`.
#[derive(Debug, Args)]
pub struct Top {
    /// The plan to look at first: its id, or its beginning
    #[arg(value_name = "ID")]
    pub plan: Option<String>,
    /// For which ground its colours are; without colours: mono
    #[arg(long, value_name = "WHICH", value_parser = ["auto", "dark", "light", "mono"], default_value = "auto")]
    pub theme: String,
}

/// `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where to listen: an address and a port, or a port alone; 0 is a free one. Without --cert on this machine only
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub listen: String,
    /// Where the token lies, which is made there if there is none; serve.token in the state folder unless told
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A further name in the Host header that is ours, such as the certificate's or a proxy's
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,
    /// Speak TLS with this certificate, and those that vouch for it behind it (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Only print the OpenAPI document of what is served
    #[arg(long)]
    pub openapi: bool,
}

/// `history`.
#[derive(Debug, Args)]
pub struct History {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    pub limit: u64,
    /// Of every project of yours
    #[arg(long)]
    pub all_projects: bool,
}

/// `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The plan, or its conductor; the beginning of an id is enough where it is the only one
    #[arg(value_name = "ID")]
    pub plan: String,
    /// What concerns this task only
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
    /// Events of kinds that begin so
    #[arg(long)]
    pub kind: Option<String>,
}

/// `shutdown-all`.
#[derive(Debug, Args)]
pub struct ShutdownAll {
    /// At once, without grace
    #[arg(long)]
    pub force: bool,
}

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Go on until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// Only what is newer than this event number; without it the last 50, or with --follow the last 10 and then
    /// what is new
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..), allow_negative_numbers = true)]
    pub since: Option<i64>,
    /// Of this plan only: its id, its name, or the beginning of its id
    #[arg(long, value_name = "ID")]
    pub plan: Option<String>,
    /// Of kinds that begin so
    #[arg(long)]
    pub kind: Option<String>,
    /// Of every project of yours
    #[arg(long)]
    pub all_projects: bool,
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Make every change without asking
    #[arg(long, short)]
    pub yes: bool,
    /// Only kapell.toml, no agent's configuration
    #[arg(long)]
    pub no_agents: bool,
    /// Only show what would change
    #[arg(long, conflicts_with_all = ["yes", "undo"])]
    pub dry_run: bool,
    /// Restore what init changed, where nobody changed it since
    #[arg(long, conflicts_with = "no_agents")]
    pub undo: bool,
    /// With --undo: also what was changed since
    #[arg(long, requires = "undo")]
    pub force: bool,
}

/// `config`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Config {
    /// What about it
    #[command(subcommand)]
    pub what: ConfigCommand,
}

/// What can be asked about the configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Explain every error with its place
    #[command(after_help = "Ends with 1 if there is an error.

Examples:
  kapell config check
  kapell config check --json")]
    Check,
    /// What both files say together, without the defaults
    #[command(after_help = "Examples:
  kapell config show
  kapell config show --json")]
    Show,
    /// JSON Schema of kapell.toml, for editors
    #[command(after_help = "Examples:
  kapell config schema > kapell.schema.json")]
    Schema,
}

/// One of the words that the contract knows, as its type.
fn one_of<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + std::marker::Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| serde_json::from_value::<T>(Value::String(word)))
}

/// An id as a plan may write it. Infallible, but clap wants to know.
fn id(text: &str) -> Result<Id, std::convert::Infallible> {
    Ok(match text.parse::<i64>() {
        // `007` is a name.
        Ok(number) if number.to_string() == text => Id::Number(number),
        _ => Id::Text(text.to_owned()),
    })
}

/// An amount of dollars; not a number and infinity are none, though they can be read as numbers.
fn dollars(text: &str) -> Result<f64, String> {
    let usd = text.parse::<f64>().ok().filter(|usd| usd.is_finite());
    usd.ok_or_else(|| "that is no amount of dollars; say it as 2.50".to_owned())
}

fn object(text: &str) -> Result<Object, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON object: {error}"))
}
