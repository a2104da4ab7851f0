//! `status`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(super) mod views;

use crate::api::ApiError;
use crate::api::methods::events;
use crate::api::wire::{
    CostBy, HealthStatus, Overview, PlanStatus, Scope, StatusBody, StatusParams, StatusResult, TaskStatus,
    ToApprove, WorkerCounts,
};
use crate::base::clock::Time;
use crate::base::ids::{AttemptId, PlanId, TaskId};
use crate::domain::budget::Money;
use crate::domain::conducting::PlanState;
use crate::domain::task::TaskState;
use crate::services::diagnosing::disk;
use crate::services::following::Interest;
use crate::services::project::Project;
use crate::services::querying::{self, AttemptView, BudgetView, PlanView, WorkerView};
use crate::services::room::Places;
use crate::services::{
    Session, admitting, costing, dispatching, health, planning, registry, replaying, spending, standing,
    windows,
};
use crate::store::claims::ClaimPage;
use crate::store::events::EventFilter;
use crate::store::money::GroupBy;

/// An answer is at most so many bytes, for models pay for every one.
const MOST_BYTES: usize = 16_000;
/// Items of a page unless told.
const PAGE: u32 = 40;
/// Items of a page at most.
const LARGEST_PAGE: u32 = 500;

/// What is asked about, once the names are resolved.
struct Question<'a> {
    session: &'a Session,
    project: &'a Project,
    scope: Scope,
    id: Option<String>,
    after: i64,
    kind: Option<String>,
}

/// Answers `status`.
#[expect(clippy::needless_pass_by_value, reason = "the table hands over the parameters of every method")]
pub fn call(session: &Session, params: StatusParams) -> Result<StatusResult, ApiError> {
    answer(session, &params, MOST_BYTES)
}

/// The same in at most so many bytes; what is beyond comes with the next page.
pub fn answer(session: &Session, params: &StatusParams, most_bytes: usize) -> Result<StatusResult, ApiError> {
    let (scope, id) = match &params.run_id {
        Some(run) => of_run(session, run)?,
        None => (params.scope, params.id.clone()),
    };
    let named = match &id {
        Some(id) if has_plan(scope) => Some(registry::meant(session, &session.project()?, id)?),
        _ => None,
    };
    // What is told of a plan is told by its own project.
    let (session, project, id) = match &named {
        Some(meant) => (&meant.session, meant.project.clone(), Some(meant.id.clone())),
        None => (session, session.project()?, id),
    };
    let scope = match (scope, &id) {
        (Scope::Overview, Some(id)) => scope_of(session, &project, id)?,
        _ => scope,
    };
    let after = match &params.cursor {
        None => None,
        Some(cursor) => Some(cursor.parse::<i64>().map_err(|_| {
            ApiError::invalid_params(
                format!("{cursor:?} is no cursor"),
                "pass next_cursor of the answer before, unchanged",
            )
        })?),
    };
    let first = if scope == Scope::Plan { -1 } else { 0 };
    let mut question = Question {
        session,
        project: &project,
        scope,
        id,
        after: after.unwrap_or(first),
        kind: params.kind.clone(),
    };
    if let Some(wait) = params.wait_ms.filter(|wait| *wait > 0) {
        wait_for(&question, params, Duration::from_millis(wait))?;
    }
    if scope == Scope::Events {
        question.after = after.or(params.since_seq).unwrap_or(-1);
    }
    let seq = querying::newest(session)?;
    let mut limit = params.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE) as usize;
    loop {
        let (body, next_cursor) = body(&question, params, limit)?;
        let result = StatusResult { seq, scope, next_cursor, body };
        let bytes = serde_json::to_vec(&result).map_or(0, |text| text.len());
        if bytes <= most_bytes || limit == 1 {
            return Ok(result);
        }
        limit = (limit * most_bytes / bytes).clamp(1, limit - 1);
    }
}

/// Whether every project is asked about by somebody who may: a worker knows its own.
fn sees_all(session: &Session, params: &StatusParams) -> bool {
    params.all_projects && session.caller.attempt.is_none()
}

/// Whether the id of a scope names a plan, or something of one.
fn has_plan(scope: Scope) -> bool {
    matches!(
        scope,
        Scope::Overview | Scope::Plan | Scope::Task | Scope::Attempt | Scope::Events | Scope::Replay
    )
}

/// What there is to tell of something of which only the id is known.
fn scope_of(session: &Session, project: &Project, id: &str) -> Result<Scope, ApiError> {
    if id.contains('/') {
        return Ok(Scope::Task);
    }
    let attempt = session.store()?.read(|tx| tx.attempt(&AttemptId::new(id)));
    if attempt.map_err(crate::services::Error::from)?.is_some() {
        return Ok(Scope::Attempt);
    }
    dispatching::find_plan(session, project, id)?;
    Ok(Scope::Plan)
}

/// A run of `dispatch` is its plan; one of `judge` is told by itself.
fn of_run(session: &Session, run: &str) -> Result<(Scope, Option<String>), ApiError> {
    let row = querying::run(session, run)?;
    Ok((Scope::Plan, row.plan))
}

fn wait_for(question: &Question<'_>, params: &StatusParams, wait: Duration) -> Result<(), ApiError> {
    let session = question.session;
    let plan = match (question.scope, &question.id) {
        (Scope::Plan, Some(id)) => Some(dispatching::find_plan(session, question.project, id)?.id),
        (Scope::Task, Some(id)) => id.split_once('/').map(|(plan, _)| PlanId::new(plan)),
        _ => None,
    };
    let attempt = (question.scope == Scope::Attempt).then(|| question.id.clone()).flatten();
    let judgement = match &params.run_id {
        Some(run) if querying::run(session, run)?.kind == "judge" => Some(run.clone()),
        _ => None,
    };
    let interest = Interest {
        plan: plan.as_ref().filter(|_| judgement.is_none()).map(|plan| plan.as_str().to_owned()),
        attempt: attempt.clone(),
        kind: if judgement.is_some() { Some("run.".to_owned()) } else { question.kind.clone() },
        all_projects: sees_all(session, params),
        ..Interest::default()
    };
    let scope = question.scope;
    let task = question.id.as_deref().and_then(|id| id.split_once('/')).map(|(_, task)| TaskId::text(task));
    let mut is_final = || -> Result<bool, crate::services::Error> {
        if let Some(run) = &judgement {
            return Ok(querying::run(session, run)?.state != "running");
        }
        match (scope, &plan, &attempt) {
            (Scope::Plan, Some(plan), _) => Ok(querying::plan(session, plan)?.state.is_at_rest()),
            (Scope::Task, Some(plan), _) => {
                let Some(task) = &task else { return Ok(true) };
                Ok(querying::task(session, plan, task)?.0.state.is_final())
            }
            (Scope::Attempt, _, Some(id)) => {
                Ok(querying::attempt(session, &AttemptId::new(id))?.row.state.outcome().is_some())
            }
            _ => Ok(false),
        }
    };
    // A judge that died says nothing any more: the wait ends with the deadline, and the answer tells.
    querying::wait_for_news(session, interest, params.since_seq, wait, Vec::new(), &mut is_final)?;
    Ok(())
}

fn body(
    question: &Question<'_>,
    params: &StatusParams,
    limit: usize,
) -> Result<(StatusBody, Option<String>), ApiError> {
    let (session, project) = (question.session, question.project);
    if let Some(run) = &params.run_id {
        let row = querying::run(session, run)?;
        if row.kind == "judge" {
            let mut judged = views::judgement(&row);
            if judged.state != row.state {
                // It may have recorded its end after the row was read, and let go of its lock since.
                judged = views::judgement(&querying::run(session, run)?);
            }
            return Ok((StatusBody::Judgement(judged), None));
        }
    }
    let wanted = |what: &str| {
        ApiError::invalid_params(
            format!("scope {what} wants an id"),
            "status with scope overview shows the plans",
        )
    };
    let id = question.id.as_deref();
    Ok(match question.scope {
        Scope::Overview => (StatusBody::Overview(overview(session, project, limit)?), None),
        Scope::Plan => {
            let row = dispatching::find_plan(session, project, id.ok_or_else(|| wanted("plan"))?)?;
            plan_status(session, &row.id, question.after, limit)?
        }
        Scope::Task => {
            let (plan, task) = id.and_then(|id| id.split_once('/')).ok_or_else(|| {
                ApiError::invalid_params(
                    "scope task wants the id PLAN_ID/TASK_ID",
                    "status with scope plan lists the tasks",
                )
            })?;
            let plan = dispatching::find_plan(session, project, plan)?.id;
            (StatusBody::Task(task_status(session, project, &plan, &TaskId::text(task))?), None)
        }
        Scope::Attempt => {
            let mut view = querying::attempt(session, &AttemptId::new(id.ok_or_else(|| wanted("attempt"))?))?;
            view.window = window(session, project, &view);
            (StatusBody::Attempt(Box::new(views::attempt(&view))), None)
        }
        Scope::Workers => {
            let (mut workers, _) = fleet(session, project)?;
            standing::add_sessions(session, project, &session.config_at_work(project)?, &mut workers);
            let workers: Vec<_> = workers.iter().map(views::worker).collect();
            let (workers, next) = page(workers, question.after, limit);
            let missed = querying::count_missed(session, project)?;
            let warnings = session.why_kept(project).into_iter().collect();
            (StatusBody::Workers { workers, missed, warnings }, next)
        }
        Scope::Health => {
            let config = session.config_at_work(project)?;
            let report = health::report(session, project, &config)?;
            let workers = report.workers.iter().map(views::worker_health).collect();
            let (workers, next) = page(workers, question.after, limit);
            let warnings = session.why_kept(project).into_iter().collect();
            (StatusBody::Health(HealthStatus { warnings, ..views::health(&report, workers) }), next)
        }
        Scope::Claims => {
            let page = ClaimPage { after: question.after, limit: limit + 1 };
            let mut held = querying::claims(session, project, page)?;
            let next = (held.len() > limit).then(|| {
                held.truncate(limit);
                held.last().map(|(claim, _)| claim.id.to_string()).unwrap_or_default()
            });
            (
                StatusBody::Claims {
                    claims: held.iter().map(|(claim, alive)| views::claim(claim, *alive)).collect(),
                },
                next,
            )
        }
        Scope::Conductors => {
            let ended = params.kind.as_deref() == Some("all");
            let from = usize::try_from(question.after).unwrap_or(0);
            let mut entries = registry::entries(session, ended, from, limit + 1)?;
            let next = (entries.len() > limit).then(|| (from + limit).to_string());
            entries.truncate(limit);
            (StatusBody::Conductors { conductors: entries.iter().map(views::conductor).collect() }, next)
        }
        Scope::History => {
            let from = usize::try_from(question.after).unwrap_or(0);
            let of = (!sees_all(session, params)).then_some(project);
            let mut runs = replaying::history(session, of, from, limit + 1)?;
            let next = (runs.len() > limit).then(|| (from + limit).to_string());
            runs.truncate(limit);
            (StatusBody::History { runs: runs.iter().map(views::run).collect() }, next)
        }
        Scope::Replay => {
            let row = dispatching::find_plan(session, project, id.ok_or_else(|| wanted("replay"))?)?;
            let from = usize::try_from(question.after).unwrap_or(0);
            let mut steps = replaying::replay(session, &row.id, from, limit + 1)?;
            let next = (steps.len() > limit).then(|| (from + limit).to_string());
            steps.truncate(limit);
            (StatusBody::Replay { steps: steps.iter().map(views::step).collect() }, next)
        }
        Scope::Budget => {
            let config = session.config_at_work(project)?;
            let budget = querying::budget(session, &config)?.iter().map(views::budget).collect();
            let (budget, next) = page(budget, question.after, limit);
            (StatusBody::Budget { budget }, next)
        }
        Scope::Cost => {
            let now = Time::now();
            let by = params.by.unwrap_or_default();
            let default = if by == CostBy::Month { "all" } else { "month" };
            let since = params.since.as_deref().unwrap_or(default);
            let since = costing::since(since, now).ok_or_else(|| {
                ApiError::invalid_params(
                    format!("{since:?} is no time to begin at"),
                    "say a day (2026-11-01), a month (2026-11), 7d, today, month or all",
                )
            })?;
            let config = session.config_at_work(project)?;
            let view = costing::costs(session, &config, group_by(by), since, now)?;
            let limits = match by {
                CostBy::Provider => session.store()?.read(|tx| costing::limits(tx, &config, since, now))?,
                _ => BTreeMap::new(),
            };
            let (rows, next) = page(view.rows.clone(), question.after, limit);
            (StatusBody::Cost(Box::new(views::cost(&view, by, &limits, &rows))), next)
        }
        Scope::Queue => {
            let open = session
                .store()?
                .read(|tx| tx.open_landings(&project.id))
                .map_err(crate::services::Error::from)?;
            let from = usize::try_from(question.after).unwrap_or(0);
            let waiting = querying::queue(session, project, from, limit + 1)?;
            let more = (waiting.len() > limit).then(|| (from + limit).to_string());
            let (queue, next) = page(open.iter().map(views::landing).collect(), question.after, limit);
            let waiting = waiting.iter().take(limit).map(views::queued).collect();
            (StatusBody::Queue { queue, waiting }, more.or(next))
        }
        Scope::Environments => {
            let environments = super::environments::all(session)?;
            let mut workers = Vec::new();
            if project.repository.is_some() {
                standing::add_sessions(session, project, &session.config_at_work(project)?, &mut workers);
            }
            let totals = super::environments::totals(&environments, workers.len());
            (StatusBody::Environments { environments, totals }, None)
        }
        Scope::Events => {
            let filter = EventFilter {
                project: (!sees_all(session, params)).then_some(&project.id),
                plan: id,
                attempt: None,
                kind: question.kind.as_deref(),
            };
            let rows = session.store()?.read(|tx| match question.after {
                // Without a place to start from, the newest are what is meant.
                -1 => tx.newest_events(&filter, limit),
                after => tx.events_after(after, &filter, limit),
            });
            let rows = rows.map_err(crate::services::Error::from)?;
            let next = (question.after >= 0 && rows.len() == limit)
                .then(|| rows.last().map(|row| row.seq.to_string()))
                .flatten();
            (StatusBody::Events { events: rows.iter().map(events::event).collect() }, next)
        }
    })
}

fn group_by(by: CostBy) -> GroupBy {
    match by {
        CostBy::Provider => GroupBy::Provider,
        CostBy::Plan => GroupBy::Plan,
        CostBy::Task => GroupBy::Task,
        CostBy::Worker => GroupBy::Worker,
        CostBy::Day => GroupBy::Day,
        CostBy::Month => GroupBy::Month,
    }
}

/// A page of a list that is made as a whole; the cursor is the number of items before it.
fn page<T>(items: Vec<T>, after: i64, limit: usize) -> (Vec<T>, Option<String>) {
    let from = usize::try_from(after).unwrap_or(0);
    let total = items.len();
    let page: Vec<T> = items.into_iter().skip(from).take(limit).collect();
    let next = (from + page.len() < total).then(|| (from + page.len()).to_string());
    (page, next)
}

/// The workers and the money of their providers; the configuration is read once for both.
fn fleet(
    session: &Session,
    project: &Project,
) -> Result<(Vec<WorkerView>, Vec<BudgetView>), crate::services::Error> {
    let config = session.config_at_work(project)?;
    let budget = querying::budget(session, &config)?;
    Ok((querying::workers(session, project, &config, &budget)?, budget))
}

/// So many tasks that wait for a person are named among the warnings.
const MOST_WAITING: u32 = 5;

fn overview(session: &Session, project: &Project, limit: usize) -> Result<Overview, ApiError> {
    let plans = querying::plans(session, project, limit.min(20))?;
    let mut warnings: Vec<String> = disk::warning(&session.house.root).into_iter().collect();
    warnings.extend(session.why_kept(project));
    let lack = Places { root: &session.house.root, place: Some(&project.place) }.lacking();
    let lack = lack.map(|lack| lack.sentence());
    warnings.extend(lack.clone());
    for plan in &plans {
        // What all plans lack is told once.
        if let Some(trouble) = plan.trouble.as_ref().filter(|trouble| Some(*trouble) != lack.as_ref()) {
            warnings.push(format!("plan {}: {trouble}", plan.row.id));
        }
    }
    for plan in plans.iter().filter(|plan| !plan.row.state.is_at_rest() && plan.conductor.is_none()) {
        warnings.push(format!(
            "plan {}: {}",
            plan.row.id,
            plan.reason.as_deref().unwrap_or("nobody runs it")
        ));
    }
    for plan in plans.iter().filter(|plan| plan.row.state == PlanState::Paused && plan.conductor.is_some()) {
        if let Some(why) = &plan.row.reason {
            warnings.push(format!("plan {} is paused: {why}", plan.row.id));
        }
    }
    for plan in plans.iter().filter(|plan| plan.conductor.is_some()) {
        if let Some((_, why)) = admitting::kept_back(session, plan)? {
            let id = &plan.row.id;
            warnings.push(format!("plan {id}: {why}; control launch {id} begins all the same"));
        }
    }
    let lines = plans.iter().map(|plan| views::placed_line(session, plan)).collect::<Result<Vec<_>, _>>()?;
    // A broken configuration must not hide everything else.
    let (workers, budget) = fleet(session, project).unwrap_or_else(|error| {
        warnings.push(ApiError::from(error).message);
        (Vec::new(), Vec::new())
    });
    warnings.extend(crate::services::environments::viewing::warnings(session, project)?);
    let made =
        session.store()?.read(|tx| tx.environments(&project.id)).map_err(crate::services::Error::from)?;
    for worker in &workers {
        let Some(bound) = &worker.environment else { continue };
        if !made.iter().any(|row| row.name.eq_ignore_ascii_case(bound)) {
            warnings.push(format!(
                "{} is bound to environment {bound}, which nobody made, and works elsewhere; kapell env create {bound} makes it",
                worker.worker
            ));
        }
    }
    match querying::count_missed(session, project)? {
        0 => {}
        1 => warnings.push("1 task waits past its deadline: status with scope queue".to_owned()),
        n => warnings.push(format!("{n} tasks wait past their deadlines: status with scope queue")),
    }
    let mut needing = querying::needing_a_person(session, project, MOST_WAITING + 1)?;
    let has_more = needing.len() > MOST_WAITING as usize;
    needing.truncate(MOST_WAITING as usize);
    warnings.extend(needing.iter().map(|wait| format!("task {wait}")));
    if has_more {
        warnings.push("more tasks than these wait for a person: each plan's status has its own".to_owned());
    }
    for quarantine in workers.iter().filter_map(|worker| worker.quarantine.as_ref()) {
        let worker = &quarantine.worker;
        warnings.push(format!(
            "{worker} gets no tasks until {}: {}; control resume {worker} lets it go on",
            quarantine.until, quarantine.reason
        ));
    }
    let config = session.config_at_work(project).ok();
    let unpriced =
        config.map(|config| session.store()?.read(|tx| spending::unpriced(tx, &config, Time::now())));
    for (provider, tries) in unpriced.transpose()?.unwrap_or_default() {
        warnings.push(format!(
            "{provider}: its limit in dollars holds nothing: {} told no dollars this month, and its tokens have no price; say prices in kapell.toml, or limit tokens_per_day",
            if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") }
        ));
    }
    for limited in budget.iter().filter(|view| view.state != "ok") {
        let until = limited.cooldown.as_ref().map(|it| format!(" until {}", it.until)).unwrap_or_default();
        warnings.push(format!("{}: {}{until}", limited.provider, limited.state));
    }
    let to_approve = session
        .store()?
        .read(|tx| tx.stages_to_approve(&project.id))
        .map_err(crate::services::Error::from)?;
    let unnamed = to_approve.len().saturating_sub(MOST_WAITING as usize);
    if unnamed > 0 {
        let stages = if unnamed == 1 { "1 more stage waits" } else { &format!("{unnamed} more stages wait") };
        warnings.push(format!("{stages} for a person: kapell pipeline list has all"));
    }
    let count =
        |states: &[&str]| workers.iter().filter(|worker| states.contains(&worker.state)).count() as u64;
    Ok(Overview {
        workers: WorkerCounts {
            busy: count(&["busy"]),
            idle: count(&["idle"]),
            unhealthy: count(&["unhealthy", "rate-limited", "over-budget"]),
        },
        claims: querying::count_claims(session, project)?,
        budget: budget
            .iter()
            .filter(|view| view.percent.is_some() || view.spent.spent > Money::ZERO)
            .map(views::budget)
            .collect(),
        plans: lines,
        warnings,
        to_approve: to_approve
            .into_iter()
            .take(MOST_WAITING as usize)
            .map(|(run, stage)| ToApprove { run: run.as_str().to_owned(), stage })
            .collect(),
    })
}

fn plan_status(
    session: &Session,
    id: &PlanId,
    after: i64,
    limit: usize,
) -> Result<(StatusBody, Option<String>), ApiError> {
    let view: PlanView = querying::plan(session, id)?;
    let mut tasks = querying::tasks(session, id, after, limit + 1)?;
    let next = (tasks.len() > limit).then(|| {
        tasks.truncate(limit);
        tasks.last().map(|task| task.row.ordinal.to_string()).unwrap_or_default()
    });
    let standing = session.store()?.read(|tx| tx.plan_standing(id)).map_err(crate::services::Error::from)?;
    let line = views::plan_line(&view);
    let position = admitting::position(session, &view)?;
    let status = PlanStatus {
        position,
        plan_id: line.plan_id,
        name: line.name,
        state: line.state,
        reason: view.reason.clone(),
        base: view.row.base.clone(),
        target: view.row.target.clone(),
        integration: view
            .row
            .integration
            .as_ref()
            .map(|branch| branch.trim_start_matches("refs/heads/").to_owned()),
        conductor: view.conductor.as_ref().map(super::dispatch::conductor_ref),
        done: line.done,
        total: line.total,
        running: line.running,
        failed: line.failed,
        blocked: line.blocked,
        usd: standing.spent.usd(),
        tasks: tasks.iter().map(views::task_line).collect(),
    };
    Ok((StatusBody::Plan(status), next))
}

/// The window of tmux that shows an attempt. A broken configuration hides no more than that.
fn window(session: &Session, project: &Project, view: &AttemptView) -> Option<String> {
    let config = session.config_at_work(project).ok()?;
    windows::told(session, &config, &view.row).ok().flatten()
}

fn task_status(
    session: &Session,
    project: &Project,
    plan: &PlanId,
    id: &TaskId,
) -> Result<TaskStatus, ApiError> {
    let (row, mut attempts) = querying::task(session, plan, id)?;
    for attempt in attempts.iter_mut().filter(|attempt| attempt.row.ended_at.is_none()) {
        attempt.window = window(session, project, attempt);
    }
    let parsed = planning::stored_task(session, plan, &row)?;
    Ok(TaskStatus {
        task_id: format!("{plan}/{}", row.id),
        state: row.state.as_str().to_owned(),
        task: parsed.text.chars().take(2000).collect(),
        files: parsed.files.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        depends_on: parsed.depends_on.iter().map(crate::api::wire::Id::from).collect(),
        reason: row.reason.clone(),
        commit: row.committed,
        attempts: attempts.iter().map(views::attempt).collect(),
    })
}

/// States in which somebody is at work on a task.
pub(super) const AT_WORK: [TaskState; 4] =
    [TaskState::Running, TaskState::Judging, TaskState::Approved, TaskState::Landing];

/// The end of a file as text, for evidence that is shown.
pub(super) fn tail_of(path: &str, most: usize) -> Option<String> {
    let bytes = crate::services::judging::commands::tail(Path::new(path), most).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
