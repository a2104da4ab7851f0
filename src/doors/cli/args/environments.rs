//! What can be typed about environments.

use clap::{Args, Subcommand};

/// `env`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Env {
    /// What about them
    #[command(subcommand)]
    pub what: EnvCommand,
}

/// What can be done about environments.
#[derive(Debug, Subcommand)]
pub enum EnvCommand {
    /// Make them: checkouts beside the project, with ports, databases, and commands that call kapell
    #[command(after_help = "What is there stays; what is missing, or was left half-done, is made.

Examples:
  kapell env create
  kapell env create dev1 dev2
  kapell env create --count 5")]
    Create {
        /// Their names; all that kapell.toml names, unless told
        names: Vec<String>,
        /// So many, those that kapell.toml names first
        #[arg(long, value_name = "N", conflicts_with = "names", allow_negative_numbers = true)]
        count: Option<u32>,
    },
    /// How they are: branch, changes, services
    #[command(after_help = "Examples:
  kapell env status
  kapell env status dev1 --json
  kapell env status --watch")]
    Status {
        /// Which; all, unless told
        name: Option<String>,
        /// Which sub-environment; all, unless told
        sub: Option<String>,
        /// Show it again whenever something happens
        #[arg(long)]
        watch: bool,
    },
    /// Start services, and wait until they are well
    #[command(
        after_help = "Services go on when the terminal is closed. They see PORT, DATABASE, DATABASE_URL, KAPELL_ENVIRONMENT and KAPELL_SUB, and few other variables: a service that wants more reads .env.local. One that does not come up is stopped, and its last lines are shown.

Examples:
  kapell env launch dev1
  kapell env launch dev1 qa
  kapell env launch dev1 qa --force
  kapell env launch --all"
    )]
    Launch(Services),
    /// Stop services with all that they started: told first, killed after the grace
    #[command(after_help = "Examples:
  kapell env stop dev1
  kapell env stop dev1 qa
  kapell env stop --all")]
    Stop(Services),
    /// Stop services and start them again
    #[command(after_help = "Examples:
  kapell env restart dev1 qa")]
    Restart(Services),
    /// What a service printed
    #[command(after_help = "Examples:
  kapell env logs dev1 qa
  kapell env logs dev1 qa --lines 200 --follow")]
    Logs {
        /// Which
        name: String,
        /// Which sub-environment; needed where there are several
        sub: Option<String>,
        /// So many lines from the end
        #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
        lines: u32,
        /// Go on until Ctrl-C
        #[arg(long, short)]
        follow: bool,
    },
    /// Bring the main branch into one or all
    #[command(after_help = "A conflict is shown, and nothing is left half-done.

Examples:
  kapell env sync
  kapell env sync dev1 --json")]
    Sync {
        /// Which; all, unless told
        name: Option<String>,
    },
    /// Work with git in one
    #[command(after_help = "Verbs:
  status          what is not committed
  sync            bring in the main branch; a conflict is shown, and nothing is left half-done
  feature NAME    a branch of its own, or back to it; without a name back to the environment's branch
  commit MESSAGE  all changes
  push            the branch into the project
  pull            the branch from the project
  log [N]         the last commits
  diff            what differs from the main branch, also what is not committed
  rebase          onto the main branch
  reset [COMMIT]  to the main branch or that commit; what was there is kept under a ref
  clean           delete branches that are merged
  merge           a feature into the environment's branch, or that into the project's main branch

Commits are made without hooks and signatures, whatever the configuration of git says.

Examples:
  kapell env git dev1 sync
  kapell env git dev1 feature passkeys
  kapell env git dev1 commit 'sign in with passkeys'
  kapell env git dev1 log 5 --json")]
    Git {
        /// Which environment
        name: String,
        /// What to do
        verb: String,
        /// A name, a message, a number, a commit
        args: Vec<String>,
    },
    /// A verdict of each, with the reason: checkout, services, databases, worker
    #[command(
        after_help = "Ends with 1 if the verdict of one is bad: somebody should look. What only deserves attention ends with 0.

Examples:
  kapell env monitor
  kapell env monitor dev1 --json
  kapell env monitor --watch"
    )]
    Monitor {
        /// Which; all, unless told
        name: Option<String>,
        /// Show it again whenever something happens
        #[arg(long)]
        watch: bool,
    },
    /// Copy files and databases as they are, compressed, and prove the copy by restoring it elsewhere
    #[command(
        after_help = "Services may run meanwhile. The oldest go when there are more than `backups` of [environments].

Examples:
  kapell env backup dev1
  kapell env backup --list"
    )]
    Backup {
        /// Which; all, unless told
        name: Option<String>,
        /// Only show those that there are
        #[arg(long)]
        list: bool,
    },
    /// Bring files and databases back from a backup; what is there now is kept under a ref
    #[command(after_help = "Examples:
  kapell env restore dev1
  kapell env restore dev1 20261121T120000123-3kq9")]
    Restore {
        /// Which
        name: String,
        /// The backup; the newest, unless told
        backup: Option<String>,
        /// Stop services first
        #[arg(long)]
        force: bool,
    },
    /// Begin anew: at the main branch, with empty databases
    #[command(
        after_help = "With --force files that were not committed are kept under a ref, and databases beside the new ones.

Examples:
  kapell env reset dev1
  kapell env reset dev1 --force"
    )]
    Reset {
        /// Which
        name: String,
        /// Also where something would be lost
        #[arg(long)]
        force: bool,
    },
    /// Do what is due: daily health, weekly sync and backup, monthly clean
    #[command(
        after_help = "Ends with 1 if somebody should look. --timer prints what runs it every day: a line for crontab -e, or a script for sh that writes units for systemd and starts the timer.

Examples:
  kapell env maintain
  kapell env maintain weekly
  kapell env maintain --timer systemd
  kapell env maintain --timer cron"
    )]
    Maintain {
        /// daily, weekly or monthly; what is due, unless told
        #[arg(value_parser = ["daily", "weekly", "monthly"])]
        which: Option<String>,
        /// Print units for systemd, or a line for cron, and do nothing
        #[arg(long, value_name = "KIND", value_parser = ["systemd", "cron"], conflicts_with = "which")]
        timer: Option<String>,
    },
    /// Everything about them, as JSON
    #[command(after_help = "Examples:
  kapell env export > environments.json")]
    Export,
    /// Take one away, if nothing would be lost
    #[command(
        after_help = "With --force its commits and files are kept all the same, under refs/kapell/environments of the project; databases that no backup has, files that git ignores and repositories inside of it are moved to a folder beside it.

Examples:
  kapell env remove dev1
  kapell env remove dev1 --force"
    )]
    Remove {
        /// Which
        name: String,
        /// Also where something would be lost
        #[arg(long)]
        force: bool,
    },
}

/// Services that are meant.
#[derive(Debug, Args)]
pub struct Services {
    /// Which environment
    #[arg(required_unless_present = "all")]
    pub name: Option<String>,
    /// Which sub-environment; all, unless told
    pub sub: Option<String>,
    /// Every environment
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// With launch: on the next free port, where somebody has its own
    #[arg(long)]
    pub force: bool,
}
