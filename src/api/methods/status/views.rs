//! From what the services know to what goes over the wire.

use serde::Deserialize as _;

use std::collections::BTreeMap;
use std::path::Path;

use super::{AT_WORK, tail_of};
use crate::api::wire::{
    AttemptStatus, BudgetStatus, ClaimStatus, ConductorStatus, CostBy, CostLine, CostStatus, ForecastStatus,
    GateStatus, HealthCheck, HealthStatus, Id, JudgeResult, KnownThen, Landed, LandingStatus, PlanLine,
    Progress, QueuedStatus, ReplayStep, RunLine, SavingStatus, SessionStatus, TaskLine, UsageStatus,
    WorkerHealthStatus, WorkerStatus,
};
use crate::base::clock::Time;
use crate::domain::attempt::AttemptState;
use crate::domain::budget::Money;
use crate::domain::claim::Held;
use crate::domain::prices;
use crate::domain::task::TaskState;
use crate::services::costing::{CostView, Limits};
use crate::services::diagnosing::Check;
use crate::services::health::{Report, WorkerHealth};
use crate::services::judging::runs::Answer;
use crate::services::querying::{self, AttemptView, BudgetView, PlanView, QueuedView, TaskView, WorkerView};
use crate::services::registry::{self, Entry};
use crate::services::replaying::{Run, Step};
use crate::services::{Error, Session, admitting};
use crate::store::conductors::RunRow;
use crate::store::landings::LandingRow;
use crate::store::money::CostRow;

/// As much of a gate's evidence is shown with it.
const EVIDENCE: usize = 800;
/// As many paths are listed of one attempt.
const PATHS: usize = 100;

/// Dollars to the millionth: sums of what agents tell come out as 0.8999999999999999 else.
fn rounded(usd: f64) -> f64 {
    Money::from_usd(usd).usd()
}

pub(in crate::api) fn plan_line(view: &PlanView) -> PlanLine {
    PlanLine {
        plan_id: view.row.id.as_str().to_owned(),
        name: view.row.name.clone(),
        state: view.state.as_str().to_owned(),
        done: view.count(&[TaskState::Done]),
        total: view.total(),
        running: view.count(&AT_WORK),
        failed: view.count(&[TaskState::Failed, TaskState::Blocked]),
        blocked: view.count(&[TaskState::Blocked]),
        conductor: view.conductor.as_ref().map(|row| row.id.as_str().to_owned()),
        position: None,
    }
}

/// The same, with its place in the queue while it waits for room.
pub(in crate::api) fn placed_line(session: &Session, view: &PlanView) -> Result<PlanLine, Error> {
    Ok(PlanLine { position: admitting::position(session, view)?, ..plan_line(view) })
}

pub(super) fn task_line(view: &TaskView) -> TaskLine {
    let document = serde_json::from_str::<serde_json::Value>(&view.row.document).ok();
    let text = document.as_ref().and_then(|task| task.get("task")?.as_str()).unwrap_or_default();
    let depends_on = document.as_ref().and_then(|task| Vec::deserialize(task.get("depends_on")?).ok());
    let first: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
    let worker = view.last.as_ref().map(|attempt| attempt.worker.as_str().to_owned());
    TaskLine {
        id: Id::from(&view.row.id),
        state: view.row.state.as_str().to_owned(),
        task: first,
        attempts: view.attempts,
        attempt: view.last.as_ref().map(|attempt| attempt.id.as_str().to_owned()),
        worker,
        paused: view.last.as_ref().is_some_and(|attempt| attempt.state == AttemptState::Paused),
        reason: view.row.reason.as_ref().map(|reason| reason.chars().take(300).collect()),
        commit: view.row.committed.clone(),
        depends_on: depends_on.unwrap_or_default(),
    }
}

pub(super) fn attempt(view: &AttemptView) -> AttemptStatus {
    let row = &view.row;
    let paths = |json: &Option<String>| -> Vec<String> {
        let all: Vec<String> =
            json.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let more = all.len().saturating_sub(PATHS);
        let mut shown: Vec<String> = all.into_iter().take(PATHS).collect();
        if more > 0 {
            shown.push(format!("… and {more} more"));
        }
        shown
    };
    AttemptStatus {
        attempt: row.id.as_str().to_owned(),
        task_id: format!("{}/{}", row.plan, row.task),
        number: row.number,
        worker: row.worker.as_str().to_owned(),
        provider: row.provider.as_str().to_owned(),
        state: view.state.as_str().to_owned(),
        outcome: view.state.outcome().map(|outcome| outcome.as_str().to_owned()),
        reason: row.reason.clone(),
        wall: row.wall.clone(),
        worktree: row.worktree.clone().filter(|folder| Path::new(folder).exists()),
        environment: row.environment.clone(),
        window: view.window.clone(),
        reference: row.reference.clone(),
        usage: UsageStatus {
            input_tokens: row.usage.input_tokens.saturating_add(row.usage.cache_write_tokens),
            cached_tokens: row.usage.cached_tokens,
            output_tokens: row.usage.output_tokens,
            usd: row.usage.usd.map(rounded),
        },
        gates: view
            .gates
            .iter()
            .map(|gate| {
                let is_bad = !matches!(gate.outcome.as_str(), "pass" | "flaky" | "skipped");
                let most = if is_bad { EVIDENCE } else { EVIDENCE / 4 };
                GateStatus {
                    name: gate.name.clone(),
                    outcome: gate.outcome.as_str().to_owned(),
                    why: gate.why.clone(),
                    evidence: gate.evidence.as_deref().and_then(|path| tail_of(path, most)),
                    duration_ms: gate.duration_ms,
                }
            })
            .collect(),
        verdict: row.verdict.map(|verdict| verdict.as_str().to_owned()),
        changed: paths(&row.changed),
        outside_claim: paths(&row.outside_claim),
        said: row.said.as_ref().map(|said| said.chars().take(500).collect()),
        started_at: row.started_at.to_string(),
        ended_at: row.ended_at.map(|at| at.to_string()),
    }
}

pub(in crate::api) fn claim(held: &Held, alive: Option<bool>) -> ClaimStatus {
    ClaimStatus {
        claim_id: held.id.0,
        pattern: held.pattern.as_str().to_owned(),
        mode: held.mode.as_str().to_owned(),
        holder: held.holder.name.as_str().to_owned(),
        holder_kind: held.holder.kind.as_str().to_owned(),
        task: held.task.clone(),
        reason: held.reason.clone(),
        since: held.since.to_string(),
        expires_at: held.expires_at.to_string(),
        alive,
    }
}

pub(super) fn conductor(entry: &Entry) -> ConductorStatus {
    let row = &entry.row;
    ConductorStatus {
        id: row.id.as_str().to_owned(),
        pid: row.pid,
        plan_id: row.plan.as_str().to_owned(),
        project: entry.place.clone(),
        worktree: entry.worktree.clone(),
        state: entry.state.as_str().to_owned(),
        // What a dead one left is nobody's, or somebody else's by now.
        socket: registry::socket(row).filter(|_| entry.state.should_live()).map(str::to_owned),
        started_at: row.started_at.to_string(),
        heartbeat_at: row.heartbeat_at.to_string(),
        fresh: entry.is_fresh,
        note: entry.note.clone(),
        progress: entry.plan.as_ref().map(progress),
        position: entry.position,
        lacks: entry.lacks.map(str::to_owned),
        plan_state: entry.plan.as_ref().map(|plan| plan.state.as_str().to_owned()),
    }
}

/// Where a plan's tasks are.
pub(in crate::api::methods) fn progress(plan: &PlanView) -> Progress {
    Progress {
        done: plan.count(&[TaskState::Done]),
        total: plan.total(),
        running: plan.count(&AT_WORK),
        failed: plan.count(&[TaskState::Failed, TaskState::Blocked]),
    }
}

pub(super) fn run(run: &Run) -> RunLine {
    let row = &run.plan.row;
    RunLine {
        plan_id: row.id.as_str().to_owned(),
        name: row.name.clone(),
        state: run.plan.state.as_str().to_owned(),
        reason: run.plan.reason.clone(),
        project: run.place.clone(),
        started_at: run.started_at.to_string(),
        ended_at: row.ended_at.map(|at| at.to_string()),
        progress: progress(&run.plan),
        attempts: run.attempts,
        conductors: run.conductors,
        usd: run.spent.usd(),
    }
}

pub(super) fn step(step: &Step) -> ReplayStep {
    let Step { event, known, .. } = step;
    ReplayStep {
        step: step.number,
        seq: event.seq,
        at: event.at.to_string(),
        after_ms: step.after_ms,
        kind: event.kind.clone(),
        task: event.task.clone(),
        attempt: event.attempt.clone(),
        text: event.text.chars().take(PATHS * 4).collect(),
        why: step.why.clone(),
        known: KnownThen {
            plan: known.plan.clone(),
            waiting: known.waiting,
            at_work: known.at_work,
            done: known.done,
            failed: known.failed,
            workers: known.workers.clone(),
        },
    }
}

pub(super) fn budget(view: &BudgetView) -> BudgetStatus {
    BudgetStatus {
        provider: view.provider.clone(),
        spent_usd: view.spent.spent.usd(),
        reserved_usd: view.spent.reserved.usd(),
        limit_usd: view.limit_usd,
        today_usd: Some(view.today.spent.usd()),
        day_limit_usd: view.day_limit_usd,
        today_tokens: view.day_limit_tokens.map(|_| view.today.tokens),
        day_limit_tokens: view.day_limit_tokens,
        percent: view.percent,
        reason: view.reason.clone(),
        resets_at: view.resets_at.map(|at| at.to_string()),
        state: view.state.to_owned(),
        until: view.cooldown.as_ref().map(|cooldown| cooldown.until.to_string()),
    }
}

/// A sum of costs, with the limits of the provider whose it is. How much is spent is told of the month's
/// limit, else of the day's.
fn cost_line(row: &CostRow, limits: Option<&Limits>) -> CostLine {
    let limit_usd = limits.and_then(|limits| limits.month_usd);
    let day = limits.and_then(|limits| Some((limits.day_usd?, limits.today)));
    let of_month = limit_usd.map(|limit| row.spent.percent_of(Money::from_usd(limit)));
    let of_day = day.map(|(limit, today)| today.percent_of(Money::from_usd(limit)));
    CostLine {
        name: row.name.clone(),
        usd: row.spent.usd(),
        reserved_usd: row.reserved.usd(),
        input_tokens: row.used.input_tokens.saturating_add(row.used.cache_write_tokens),
        cached_tokens: row.used.cached_tokens,
        output_tokens: row.used.output_tokens,
        attempts: row.count,
        untold: row.untold,
        limit_usd,
        day_limit_usd: day.map(|(limit, _)| limit),
        today_usd: day.map(|(_, today)| today.usd()),
        percent: of_month.or(of_day).flatten(),
    }
}

/// How what was spent in so many days is extended to those that are left.
fn extended(days: u32, left: u32) -> String {
    let counted = |days: u32| if days == 1 { "day".to_owned() } else { format!("{days} days") };
    let left = match left {
        _ if days == 0 => return "nothing was spent yet that could be extended".to_owned(),
        0 => return "spent this month, of which today is the last day".to_owned(),
        1 => "the day after today".to_owned(),
        left => format!("each of the {left} days after today"),
    };
    format!("spent this month, and for {left} the mean of the last {} that cost something", counted(days))
}

pub(super) fn cost(
    view: &CostView,
    by: CostBy,
    limits: &BTreeMap<String, Limits>,
    rows: &[CostRow],
) -> CostStatus {
    let month = &view.month;
    CostStatus {
        by,
        since: view.since.to_string(),
        total: cost_line(&view.total, None),
        cost: rows.iter().map(|row| cost_line(row, limits.get(&row.name))).collect(),
        forecast: ForecastStatus {
            spent_usd: month.spent.usd(),
            per_day_usd: month.per_day.usd(),
            days_left: month.days_left,
            total_usd: month.total.usd(),
            how: extended(month.days, month.days_left),
        },
        savings: view
            .savings
            .iter()
            .map(|saving| SavingStatus {
                provider: saving.provider.clone(),
                model: saving.model.clone(),
                would_usd: saving.would.usd(),
                saved_usd: (saving.would.micros() - saving.did.micros()) as f64 / 1e6,
            })
            .collect(),
        prices_as_of: prices::AS_OF.to_owned(),
    }
}

pub(super) fn worker(view: &WorkerView) -> WorkerStatus {
    WorkerStatus {
        worker: view.worker.clone(),
        provider: view.provider.clone(),
        groups: view.groups.clone(),
        protected: view.protected,
        state: view.state.to_owned(),
        reason: view.quarantine.as_ref().map(|it| it.reason.clone()).or_else(|| view.away.clone()),
        until: view.quarantine.as_ref().map(|quarantine| quarantine.until.to_string()),
        model: view.model.clone(),
        tasks: view.tasks.clone(),
        environment: view.environment.clone(),
        usd_today: rounded(view.usd_today),
        session: view.standing.as_ref().map(|standing| SessionStatus {
            name: standing.session.name.clone(),
            started_by_kapell: standing.is_ours,
            attached: standing.session.is_attached,
        }),
    }
}

pub(super) fn worker_health(view: &WorkerHealth) -> WorkerHealthStatus {
    let (tool, tool_at) = view.tool.clone().unzip();
    let text = |time: Option<Time>| time.map(|time| time.to_string());
    WorkerHealthStatus {
        worker: view.worker.clone(),
        provider: view.provider.clone(),
        state: view.state.to_owned(),
        verdict: view.verdict.as_str().to_owned(),
        reason: view.reason.clone(),
        task: view.task.clone(),
        attempt: view.attempt.clone(),
        since: text(view.since),
        until: text(view.until),
        last_output_at: text(view.last_output),
        cpu_ms: view.cpu.map(|cpu| u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX)),
        tool,
        tool_at: text(tool_at.flatten()),
        nudged_at: text(view.nudged_at),
    }
}

pub(super) fn health(report: &Report, workers: Vec<WorkerHealthStatus>) -> HealthStatus {
    let check = |check: &Check| HealthCheck {
        name: check.name.to_owned(),
        outcome: check.outcome.as_str().to_owned(),
        found: check.found.clone(),
        next: check.next.clone(),
    };
    HealthStatus {
        healthy: report.is_healthy(),
        checks: report.checks.iter().map(check).collect(),
        health: workers,
        warnings: Vec::new(),
    }
}

pub(super) fn queued(view: &QueuedView) -> QueuedStatus {
    let row = &view.row;
    QueuedStatus {
        task_id: format!("{}/{}", row.plan, row.id),
        task: row.text.lines().next().unwrap_or_default().chars().take(80).collect(),
        priority: row.priority,
        reason: view.reason.clone(),
        on: view.on.chars().take(200).collect(),
        since: row.since.to_string(),
        deadline: view.deadline.map(|deadline| deadline.to_string()),
        missed: view.is_missed(Time::now()),
    }
}

pub(super) fn landing(row: &LandingRow) -> LandingStatus {
    LandingStatus {
        task_id: format!("{}/{}", row.plan, row.task),
        attempt: row.attempt.as_str().to_owned(),
        branch: row.branch.trim_start_matches("refs/heads/").to_owned(),
        state: row.state.as_str().to_owned(),
    }
}

pub(super) fn judgement(row: &RunRow) -> JudgeResult {
    let answer: Answer =
        row.result.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let died = row.state == "running"
        && row.alive.as_deref().is_some_and(|file| Path::new(file).exists() && !querying::is_held(file));
    JudgeResult {
        run_id: row.id.clone(),
        state: if died { "failed".to_owned() } else { row.state.clone() },
        verdict: answer.verdict,
        gates: answer
            .gates
            .into_iter()
            .map(|(name, outcome, why, evidence, duration_ms)| GateStatus {
                evidence: evidence.as_deref().and_then(|path| tail_of(path, EVIDENCE)),
                name,
                outcome,
                why,
                duration_ms,
            })
            .collect(),
        changed: answer.changed,
        outside_claim: answer.outside_claim,
        landed: answer.landed.map(|(commit, branch)| Landed { commit, branch }),
        reason: if died { Some("the judging process died; judge again".to_owned()) } else { answer.reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_day_is_told_as_one() {
        let mean = "the mean of the last 2 days that cost something";
        assert_eq!(
            extended(2, 9),
            format!("spent this month, and for each of the 9 days after today {mean}")
        );
        assert_eq!(extended(2, 1), format!("spent this month, and for the day after today {mean}"));
        assert!(extended(1, 3).ends_with("the last day that cost something"));
        assert_eq!(extended(2, 0), "spent this month, of which today is the last day");
        assert_eq!(extended(0, 0), "nothing was spent yet that could be extended");
    }
}
