//! The judge: gates with evidence, and the verdict that follows from them.

pub mod commands;
mod patience;
pub mod proofs;
pub mod review;
pub mod runs;
pub mod verify;

use std::path::PathBuf;
use std::time::Instant;

use crate::base::ids::{PlanId, TaskId};
use crate::base::paths::RepoPath;
use crate::domain::pattern::PatternSet;
use crate::domain::plan::{CommandLine, Rules, Spec};
use crate::domain::verdict::{GateOutcome, Verdict, conclude};
use crate::services::conductor::desk::Desk;
use crate::services::project::Project;
use crate::services::spending::questions::Of;
use crate::services::{Error, Session};
use crate::store::attempts::GateRow;
use crate::sys::config::{Config, Ecosystem};
use crate::sys::git::{Git, Oid, Snapshot};

/// The gates, in the order in which they run: the cheap and the decisive first.
pub const GATES: [&str; 8] =
    ["ownership", "specs", "tests-exist", "red-green", "lint", "build", "custom", "review"];

/// How it begins that is said of code which no test was run for, since none is known.
pub const UNPROVED: &str = "no test proved this work";

/// What is to be said of work wherever it is shown as accepted: that no test proved it.
pub fn unproved(gates: &[GateRow]) -> Option<&str> {
    let is_it = |gate: &&GateRow| gate.outcome == GateOutcome::Skipped && gate.why.starts_with(UNPROVED);
    gates.iter().find(is_it).map(|gate| gate.why.as_str())
}

/// What is judged.
#[derive(Debug)]
pub struct Case<'a> {
    /// The judge's own calls.
    pub session: &'a Session,
    /// The project.
    pub project: &'a Project,
    /// Its configuration.
    pub config: &'a Config,
    /// Its git.
    pub git: &'a Git,
    /// What the ecosystem offers.
    pub ecosystem: &'a Ecosystem,
    /// A name for this judgement: the attempt's id, or the run's.
    pub name: String,
    /// What was to be done.
    pub text: String,
    /// The tree as the worker left it.
    pub snapshot: &'a Snapshot,
    /// What was changed outside the claim, with the reason.
    pub outside: &'a [(RepoPath, String)],
    /// What changed beside it that nobody owns, and nobody knows by whom.
    pub unowned: &'a [RepoPath],
    /// Files within the claim that git ignores, so that they do not land.
    pub ignored: &'a [RepoPath],
    /// The commit that may land: the base and the changes within the claim.
    pub work: Oid,
    /// Which files are tests; `None`: by their names.
    pub tests: Option<PatternSet>,
    /// The rules, all layers laid over each other.
    pub rules: Rules,
    /// The specs of the plan.
    pub specs: &'a [Spec],
    /// Whether the work is the writing of a spec.
    pub is_spec: bool,
    /// Whether the task was sent without files: it may have asked for an answer and nothing else.
    pub is_open: bool,
    /// The tasks to which it was given in parts, and which are done.
    pub delegated: Vec<TaskId>,
    /// Only these gates.
    pub only: Option<Vec<String>>,
    /// Where the evidence is kept.
    pub evidence: PathBuf,
    /// The plan whose work it is, and its task.
    pub of: Option<(PlanId, Option<TaskId>)>,
    /// The conductor that waits where its reviewer cannot be asked now; nobody else does.
    pub waits: Option<&'a Desk>,
}

impl Case<'_> {
    /// For what its questions are asked.
    fn of(&self) -> Of<'_> {
        self.of.as_ref().map(|(plan, task)| (plan, task.as_ref()))
    }
}

/// What the judge found.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What follows from the gates.
    pub verdict: Verdict,
    /// The gates, in the order in which they ran.
    pub gates: Vec<GateRow>,
}

/// What one gate found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How it ended.
    pub outcome: GateOutcome,
    /// Why, in a sentence.
    pub why: String,
    /// What was seen, for a person or the worker to read.
    pub evidence: String,
}

impl Finding {
    /// A finding without more to show than its reason.
    pub fn new(outcome: GateOutcome, why: impl Into<String>) -> Self {
        Self { outcome, why: why.into(), evidence: String::new() }
    }

    /// A gate that does not apply.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self::new(GateOutcome::Skipped, why)
    }
}

/// Runs the gates. After a gate that rejects, only those that cost nothing still run: the
/// worker should hear everything at once that is cheap to know.
pub fn judge(case: &Case<'_>) -> Result<Judgement, Error> {
    std::fs::create_dir_all(&case.evidence)
        .map_err(|error| Error::system(format!("cannot make {}", case.evidence.display()), error))?;
    let mut gates: Vec<GateRow> = Vec::new();
    let mut verify = None;
    for gate in GATES {
        if case.only.as_ref().is_some_and(|only| !only.iter().any(|name| name == gate)) {
            continue;
        }
        let is_rejected = gates.iter().any(|gate| gate.outcome == GateOutcome::Fail);
        let is_cheap = matches!(gate, "ownership" | "specs" | "tests-exist");
        let began = Instant::now();
        let findings = match gate {
            _ if is_rejected && !is_cheap => vec![Finding::skipped("an earlier gate rejected the work")],
            "ownership" => vec![proofs::ownership(case)],
            "specs" => vec![proofs::specs(case)?],
            "tests-exist" => vec![proofs::tests_exist(case)?],
            "red-green" => vec![proofs::red_green(case, &mut verify)?],
            "lint" => vec![command_gate(case, &mut verify, "lint", case.rules.lint.as_ref())?],
            "build" => vec![command_gate(case, &mut verify, "build", case.rules.build.as_ref())?],
            "custom" => {
                let commands = case.rules.custom.clone().unwrap_or_default();
                let mut findings = Vec::new();
                if commands.is_empty() {
                    findings.push(command_gate(case, &mut verify, "custom", None)?);
                }
                for command in &commands {
                    findings.push(command_gate(case, &mut verify, "custom", Some(command))?);
                }
                findings
            }
            _ => vec![review::review(case)?],
        };
        let duration_ms = began.elapsed().as_millis() as u64;
        for finding in findings {
            let evidence = keep_evidence(case, gate, gates.len(), &finding)?;
            gates.push(GateRow {
                name: gate.to_owned(),
                outcome: finding.outcome,
                why: finding.why,
                evidence,
                duration_ms,
            });
        }
    }
    let verdict = conclude(gates.iter().map(|gate| gate.outcome));
    Ok(Judgement { verdict, gates })
}

/// What a rejected worker is told: each gate that failed, with the end of what was seen.
pub fn feedback(judgement: &Judgement) -> String {
    const SHOWN: usize = 6000;
    let mut text = String::new();
    for gate in
        judgement.gates.iter().filter(|gate| matches!(gate.outcome, GateOutcome::Fail | GateOutcome::Error))
    {
        text.push_str(&format!("Gate {}: {}\n", gate.name, gate.why));
        let seen = gate.evidence.as_deref().and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        let seen = String::from_utf8_lossy(&seen);
        let from = seen.len().saturating_sub(SHOWN);
        let from = (from..seen.len()).find(|&at| seen.is_char_boundary(at)).unwrap_or(seen.len());
        if !seen[from..].trim().is_empty() {
            text.push_str(seen[from..].trim());
            text.push('\n');
        }
    }
    text
}

fn command_gate(
    case: &Case<'_>,
    verify: &mut Option<verify::VerifyTree>,
    gate: &str,
    command: Option<&CommandLine>,
) -> Result<Finding, Error> {
    let Some(command) = command else { return Ok(Finding::skipped(format!("no {gate} command is known"))) };
    let seen = commands::on_commit_twice(case, verify, &case.work, gate, command)?;
    let shown = shell_words::join(&command.0);
    Ok(match seen.end {
        commands::End::Passed => {
            Finding { outcome: GateOutcome::Pass, why: format!("`{shown}` succeeds"), evidence: seen.output }
        }
        commands::End::Flaky(how) => Finding {
            outcome: GateOutcome::Flaky,
            why: format!("`{shown}` {how}, and succeeds when run again"),
            evidence: seen.output,
        },
        commands::End::Failed(_) if lacks_its_tool(case, verify, gate, command)? => {
            Finding::skipped(format!("`{shown}`, usual here, is not installed"))
        }
        commands::End::Failed(how) => {
            Finding { outcome: GateOutcome::Fail, why: format!("`{shown}` {how}"), evidence: seen.output }
        }
        commands::End::Unknown(why) if is_from_ecosystem(case, command) => {
            Finding::skipped(format!("`{shown}`, usual here, cannot be run: {why}"))
        }
        commands::End::Unknown(why) => Finding {
            outcome: GateOutcome::Error,
            why: format!("`{shown}` cannot be run: {why}"),
            evidence: seen.output,
        },
    })
}

/// Whether a usual command failed because the subcommand of Cargo that it is was never installed:
/// distributions have Clippy in a package of its own, and rustup's minimal profile leaves it out.
pub(crate) fn lacks_its_tool(
    case: &Case<'_>,
    verify: &mut Option<verify::VerifyTree>,
    gate: &str,
    command: &CommandLine,
) -> Result<bool, Error> {
    let is_clippy = command.0.iter().map(String::as_str).take(2).eq(["cargo", "clippy"]);
    if !is_clippy || !is_from_ecosystem(case, command) {
        return Ok(false);
    }
    let version = CommandLine(["cargo", "clippy", "--version"].map(str::to_owned).to_vec());
    let seen = commands::on_commit(case, verify, &case.work, gate, &version)?;
    Ok(!matches!(seen.end, commands::End::Passed))
}

/// Whether nobody configured the command: it was found by the kind of project this is.
pub(crate) fn is_from_ecosystem(case: &Case<'_>, command: &CommandLine) -> bool {
    let found = [&case.ecosystem.lint, &case.ecosystem.test, &case.ecosystem.build];
    found.into_iter().flatten().any(|other| other == command)
        && case.config.rules.lint.as_ref() != Some(command)
        && case.config.rules.test.as_ref() != Some(command)
        && case.config.rules.build.as_ref() != Some(command)
}

fn keep_evidence(
    case: &Case<'_>,
    gate: &str,
    ordinal: usize,
    finding: &Finding,
) -> Result<Option<String>, Error> {
    if finding.evidence.is_empty() {
        return Ok(None);
    }
    let path = case.evidence.join(format!("{ordinal}-{gate}.txt"));
    std::fs::write(&path, &finding.evidence)
        .map_err(|error| Error::system(format!("cannot write {}", path.display()), error))?;
    Ok(Some(path.to_string_lossy().into_owned()))
}
