//! What can be typed about the fleet.

use clap::{Args, Subcommand};

use super::methods::COMPLEXITIES;
use super::one_of;
use crate::api::wire::Complexity;

/// `route`.
#[derive(Debug, Args)]
pub struct Route {
    /// What is to be done; - reads it from stdin
    pub text: String,
    /// Worker, group, provider, or auto
    #[arg(long)]
    pub target: Option<String>,
    /// How hard it is: simple, normal or complex
    #[arg(long, value_parser = one_of::<Complexity>(&COMPLEXITIES), value_name = "HOW")]
    pub complexity: Option<Complexity>,
}

/// `fleet`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Fleet {
    /// What to do with its standing sessions; without it they are shown
    #[command(subcommand)]
    pub what: Option<FleetCommand>,
    /// By what to sort the workers
    #[arg(long, value_enum, default_value_t = By::Group, value_name = "WHAT")]
    pub by: By,
    /// Show it again whenever something happens, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// What can be done with standing sessions.
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// Start standing sessions in tmux, each by the name of its worker
    #[command(
        after_help = "Starts those with runtime = \"tmux\" and those that are protected, since people talk to these; where no \
worker is either, all. What exists already, by name, is left as it is, whoever started it.
Ends with 1 if one could not be started.

Examples:
  kapell fleet up
  kapell fleet up architect pr_review
  tmux attach -t architect"
    )]
    Up(Names),
    /// End the standing sessions that Kapell started
    #[command(
        after_help = "Sessions that somebody else started stay, and so do windows that were opened in one of Kapell's.
Attempts are not concerned: kapell stop ends these.
Ends with 1 if one that was named is not Kapell's.

Examples:
  kapell fleet down
  kapell fleet down pr_review"
    )]
    Down(Names),
    /// Look at a standing session, or at an attempt that runs
    #[command(
        after_help = "Without a name: all windows of this project's attempts, tmux session kapell-PROJECT. Ctrl-b d leaves it again.
With --json the command is told and nothing shown.

Examples:
  kapell fleet attach
  kapell fleet attach architect
  kapell fleet attach codex2        # the attempt that codex2 is at
  kapell fleet attach a-6q2m8x1c"
    )]
    Attach {
        /// A worker, a session, or an attempt
        name: Option<String>,
    },
    /// Type a text into a standing session, and press Enter once
    #[command(
        after_help = "The text is pasted, so that nothing in it acts as a key: control characters are left out, and lines do not \
submit early. Where a program reads line by line, its lines are made one. Agents and shells take a paste as one; a program that \
reads key by key and does not (no bracketed paste, as some prompts have it) sees the end of each line as Enter, and tmux tells \
of that since 3.6 only. Who scrolls there is brought back to the prompt. Texts that several send at once come one after the other.
A group means the sessions of all its workers but the protected; those are typed to by their own name.
One that is killed before it came to Enter leaves its text in the prompt: the next is refused, until it says by --cleared that \
the prompt was seen to. A session that is started anew has a new prompt.
Ends with 1 if a session could not be typed into. For a task use kapell send.

Examples:
  kapell fleet send architect 'look at the design of the parser'
  kapell fleet send pr_review 'main has moved, please rebase'
  git log -3 | kapell fleet send architect -"
    )]
    Send {
        /// A worker, a session, or a group
        name: String,
        /// What to type; - reads it from stdin
        #[arg(allow_hyphen_values = true)]
        text: String,
        /// Send it though a send before was cut off: what that one left in the prompt was cleared or entered
        #[arg(long)]
        cleared: bool,
    },
}

/// Whom of the fleet it is about.
#[derive(Debug, Args)]
pub struct Names {
    /// Workers and groups
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// `health`.
#[derive(Debug, Args)]
pub struct Health {
    /// Show it again whenever something happens, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// By what workers are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Their groups; one of several groups is shown in each.
    Group,
    /// Their providers.
    Provider,
    /// The environments that they work in.
    Environment,
}
