//! What goes in and out of `environments`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Parameters of `environments`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentsParams {
    /// What to do.
    #[serde(default)]
    pub action: EnvironmentsAction,
    /// Which; else all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which sub-environment; else all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// With create: how many; with logs: lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// With create: several names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// With git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitCommand>,
    /// With restore: which backup, the newest unless told; with maintain: daily, weekly or monthly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub which: Option<String>,
    /// Though something would be lost; with launch: on another port.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// What to do about environments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentsAction {
    /// How they are.
    #[default]
    List,
    /// Make them.
    Create,
    /// Start services.
    Launch,
    /// Stop services.
    Stop,
    /// Stop and start them.
    Restart,
    /// How they are.
    Status,
    /// The last lines of a log.
    Logs,
    /// Follow the main branch.
    Sync,
    /// A copy of files and databases.
    Backup,
    /// Bring a backup back.
    Restore,
    /// Begin anew: the main branch, empty databases.
    Reset,
    /// Take one away.
    Remove,
    /// A verb of git: status, sync, feature, commit, push, pull, log, diff, rebase, reset, clean, merge.
    Git,
    /// A verdict of each, with the reason.
    Health,
    /// What is due: daily health, weekly sync and backup, monthly clean.
    Maintain,
    /// Everything, for programs.
    Export,
}

/// A verb of git.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitCommand {
    /// status, sync, feature, commit, push, pull, log, diff, rebase, reset, clean or merge.
    pub verb: String,
    /// What it takes; feature alone goes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// What `environments` answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentsResult {
    /// Those that it is about, as they are now.
    #[serde(default)]
    pub environments: Vec<EnvironmentStatus>,
    /// What was done, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What could not be done, while other things could.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<EnvironmentFailure>,
    /// What a verb of git gave, for each environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub git: Vec<GitOutcome>,
    /// Backups that were made or used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<BackupStatus>,
    /// The refs that keep what was removed or done over, then files and folders that were moved aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// With restore and reset: the sub-environments whose services were stopped for it, and are to be launched again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<String>,
    /// The lines that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Value>,
    /// With health: false if somebody should look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
}

/// An environment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentStatus {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: String,
    /// The branch that is checked out there; none on a detached head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Commits that the main branch does not have.
    #[serde(default)]
    pub ahead: u64,
    /// Commits of the main branch that it does not have.
    #[serde(default)]
    pub behind: u64,
    /// Whether something is not committed.
    #[serde(default)]
    pub dirty: bool,
    /// `ready`, `creating`, `removing`, `missing` or `broken`.
    #[serde(default)]
    pub state: String,
    /// Why it cannot be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Submodules that are not fetched there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfetched: Vec<String>,
    /// What fetches them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Its sub-environments.
    #[serde(default)]
    pub subs: Vec<SubEnvironmentStatus>,
    /// The worker that is bound to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// How that worker is: `idle`, `busy`, `rate-limited`, `over-budget`, `unhealthy` or `stopped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_state: Option<String>,
    /// Who is at work in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_work: Option<AtWork>,
    /// With health: `ok`, `attention` or `bad`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Why it is not ok.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An attempt that has an environment: it runs there, or what it left there has not landed yet.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct AtWork {
    /// The attempt.
    pub attempt: String,
    /// Its worker.
    pub worker: String,
    /// Its plan.
    pub plan_id: String,
    /// Its task.
    pub task: String,
}

/// All environments in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentTotals {
    /// Checkouts that are there.
    pub directories: u64,
    /// Their sub-environments.
    pub environments: u64,
    /// Sub-environments whose service runs.
    pub running: u64,
    /// Workers that are bound to one.
    pub workers: u64,
    /// Checkouts in which an attempt is at work.
    pub at_work: u64,
    /// Standing sessions of the project's workers.
    pub sessions: u64,
}

/// A sub-environment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct SubEnvironmentStatus {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// `stopped`, `running` or `crashed`.
    pub state: String,
    /// The service's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Since when it runs, or when it crashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// `ok`, or why it is not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// Why it crashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last that it said before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
    /// Its database.
    #[serde(default)]
    pub database: String,
    /// The size of the database.
    #[serde(default)]
    pub bytes: u64,
    /// With health: `ok`, or what is wrong with the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<String>,
    /// Its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// Something that could not be done.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentFailure {
    /// The environment.
    pub name: String,
    /// The sub-environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Why.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What a verb of git gave.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct GitOutcome {
    /// The environment.
    pub name: String,
    /// The verb.
    pub verb: String,
    /// In a sentence.
    pub message: String,
    /// The branch that is checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit that is checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The ref that keeps what was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// With status: files that are not as the commit has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<GitFile>,
    /// With log: the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<GitCommit>,
    /// With clean: the branches that went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
    /// With diff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// A file that is not as the commit has it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GitFile {
    /// Which.
    pub path: String,
    /// `staged`, `changed`, `new`, `conflict`, or `hidden`: changed, and git was told not to look.
    pub state: String,
}

/// A commit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GitCommit {
    /// Its name.
    pub commit: String,
    /// Who made it.
    pub author: String,
    /// When.
    pub at: String,
    /// The first line of its message.
    pub subject: String,
}

/// A backup.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BackupStatus {
    /// The environment.
    pub name: String,
    /// Its own name, which tells when it was made.
    pub backup: String,
    /// Its folder.
    pub path: String,
    /// Its size, compressed.
    pub bytes: u64,
    /// What of the checkout is not in it, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}
