//! What can be typed about pipelines.

use clap::{ArgGroup, Args, Subcommand};

/// `pipeline`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Pipeline {
    /// What about it
    #[command(subcommand)]
    pub what: PipelineCommand,
}

/// What can be done about pipelines.
#[derive(Debug, Subcommand)]
pub enum PipelineCommand {
    /// The pipelines of kapell.toml, and their runs
    #[command(after_help = "Examples:
  kapell pipeline list
  kapell pipeline list --json")]
    List,
    /// Start one, for a request or for a plan whose tasks are the first stage's
    #[command(
        after_help = "Ends with 1 if the plan has errors, or with --follow if the run comes to no good end.

Examples:
  kapell pipeline run feature --request 'add sign-in with passkeys'
  kapell pipeline run feature --plan plan.yaml
  kapell pipeline run feature --plan auth-3kq9zx --follow"
    )]
    Run(PipelineRun),
    /// A run and how far it is, or a pipeline
    #[command(after_help = "Examples:
  kapell pipeline show feature
  kapell pipeline show feature-3kq9zx
  kapell pipeline show feature-3kq9zx --follow
  kapell pipeline show feature-3kq9zx --mermaid > run.mmd")]
    Show {
        /// A run, or the name of a pipeline
        what: String,
        /// As Mermaid
        #[arg(long, conflicts_with = "follow")]
        mermaid: bool,
        /// Show it again whenever something happens, until it ends or waits for you
        #[arg(long, short)]
        follow: bool,
    },
    /// Let a stage begin that waits for you, or refuse it
    #[command(after_help = "Examples:
  kapell pipeline approve feature-3kq9zx
  kapell pipeline approve feature-3kq9zx deploy --message 'after the freeze'
  kapell pipeline approve feature-3kq9zx deploy --refuse --message 'not on a Friday'")]
    Approve {
        /// The run
        run: String,
        /// The stage; needed where several wait
        stage: Option<String>,
        /// It may not begin
        #[arg(long)]
        refuse: bool,
        /// What is said with it
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// End a run, its work kept
    #[command(after_help = "Examples:
  kapell pipeline stop feature-3kq9zx")]
    Stop {
        /// The run
        run: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Undo what a stage's command did, with its rollback command
    #[command(after_help = "Examples:
  kapell pipeline rollback feature-3kq9zx
  kapell pipeline rollback feature-3kq9zx deploy")]
    Rollback {
        /// The run
        run: String,
        /// The stage; the last that can be undone, unless told
        stage: Option<String>,
    },
}

/// `pipeline run`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("for").required(true).args(["request", "plan"]))]
pub struct PipelineRun {
    /// The pipeline's name
    pub name: String,
    /// What is wanted; - reads it from stdin
    #[arg(long, value_name = "TEXT")]
    pub request: Option<String>,
    /// A plan file, or the id of a stored plan that was not started; - reads JSON or YAML from stdin
    #[arg(long, value_name = "FILE|ID")]
    pub plan: Option<String>,
    /// Follow it until it ends or waits for you
    #[arg(long, short)]
    pub follow: bool,
}
