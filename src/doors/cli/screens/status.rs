//! What is going on: the overview, a plan with its tasks, and the lists.

use super::*;
use crate::api::wire::{
    BudgetStatus, EventStatus, LandingStatus, Overview, PlanStatus, QueuedStatus, TaskLine, WorkerStatus,
};

/// Columns of a bar that shows how much is done.
const BAR: u64 = 8;

/// Scope `overview`.
pub fn overview(view: &View, overview: &Overview) -> String {
    view.page(|page| {
        warn(page, &overview.warnings);
        if overview.plans.is_empty() {
            page.line(&[span(Style::Faint, "no plans")]);
        } else {
            let mut table = Table::new(
                0,
                [
                    Column::new("PLAN", Give::Keep),
                    Column::new("STATE", Give::Keep),
                    Column::new("", Give::Drop(3)),
                    Column::number("DONE", Give::Keep),
                    Column::number("RUNNING", Give::Drop(4)),
                    Column::number("FAILED", Give::Drop(5)),
                    Column::new("NAME", Give::Drop(1)),
                    Column::new("CONDUCTOR", Give::Drop(2)),
                ],
            );
            for plan in &overview.plans {
                // An id begins with the name; saying both helps nobody.
                let name = if plan.plan_id.starts_with(&plan.name) { Cell::new() } else { plain(&plan.name) };
                let state = match plan.position {
                    Some(place) => vec![word("queued"), span(Style::Faint, format!(" #{place}"))],
                    None => vec![word(&plan.state)],
                };
                table.row([
                    cell(Style::Strong, &plan.plan_id),
                    state,
                    bar(plan.done, plan.total),
                    plain(format!("{}/{}", plan.done, plan.total)),
                    number(Style::Strong, plan.running),
                    number(Style::Bad, plan.failed),
                    name,
                    optional(plan.conductor.as_ref()),
                ]);
            }
            page.table(&table);
        }
        page.gap();
        let workers = overview.workers;
        let mut line = vec![
            span(Style::Faint, "workers  "),
            span(Style::Plain, format!("{} busy, {} idle", workers.busy, workers.idle)),
        ];
        if workers.unhealthy > 0 {
            line.push(span(Style::Bad, format!(", {} unhealthy", workers.unhealthy)));
        }
        page.line(&line);
        page.line(&[span(Style::Faint, "claims   "), span(Style::Plain, overview.claims.to_string())]);
        if !overview.budget.is_empty() {
            page.gap();
            page.table(&budget_table(view, &overview.budget));
        }
    })
}

/// How much is done, as a bar. Full only when all is.
pub(super) fn bar(done: u64, total: u64) -> Cell {
    let full = (done.min(total) * BAR).checked_div(total).unwrap_or(0) as usize;
    vec![span(Style::Good, "━".repeat(full)), span(Style::Faint, "─".repeat(BAR as usize - full))]
}

/// A number that nobody needs to see while it is nought.
pub(super) fn number(style: Style, number: u64) -> Cell {
    if number == 0 { Cell::new() } else { cell(style, number.to_string()) }
}

/// Scope `plan`.
pub fn plan(view: &View, plan: &PlanStatus, next_cursor: Option<&str>) -> String {
    view.page(|page| {
        plan_title(page, plan);
        let mut facts: Vec<(&str, String)> = Vec::new();
        if let Some(base) = &plan.base {
            facts.push(("base", base.clone()));
        }
        if let Some(target) = &plan.target {
            facts.push(("target", target.clone()));
        }
        if let Some(integration) = &plan.integration {
            facts.push(("lands in", integration.clone()));
        }
        if let Some(conductor) = &plan.conductor {
            facts.push(("conductor", format!("{}, process {}", conductor.id, conductor.pid)));
        }
        if let Some(position) = plan.position {
            let id = &plan.plan_id;
            facts.push((
                "waits",
                format!("for room, #{position} in the queue; kapell control launch {id} goes without"),
            ));
        }
        if plan.usd > 0.0 {
            facts.push(("spent", money(plan.usd)));
        }
        for (name, value) in facts {
            page.wrapped(&[span(Style::Faint, format!("  {name:9}  "))], Style::Plain, &value);
        }
        page.gap();
        page.table(&tasks_table(&plan.tasks));
        if let Some(cursor) = next_cursor {
            page.line(&[span(Style::Faint, format!("… more with --cursor {cursor}"))]);
        }
    })
}

fn plan_title(page: &mut Page, plan: &PlanStatus) {
    let mut title = vec![span(Style::Strong, &plan.plan_id), span(Style::Plain, "  "), word(&plan.state)];
    title.push(span(Style::Plain, format!("  {}/{} done", plan.done, plan.total)));
    if plan.running > 0 {
        title.push(span(Style::Plain, format!(", {} running", plan.running)));
    }
    // What others keep from being done is no failure of its own.
    let blocked = plan.tasks.iter().filter(|task| task.state == "blocked").count() as u64;
    if plan.failed > blocked {
        title.push(span(Style::Bad, format!(", {} failed", plan.failed - blocked)));
    }
    if blocked > 0 {
        title.push(span(Style::Bad, format!(", {blocked} blocked")));
    }
    page.line(&title);
    if let Some(reason) = &plan.reason {
        page.wrapped(&plain("  "), style_of(&plan.state), reason);
    }
}

fn tasks_table(tasks: &[TaskLine]) -> Table {
    let mut table = Table::new(
        2,
        [
            Column::new("TASK", Give::Shrink),
            Column::new("STATE", Give::Keep),
            Column::number("TRIES", Give::Drop(0)),
            Column::new("WORKER", Give::Drop(1)),
            Column::new("WHAT", Give::Shrink),
        ],
    );
    for task in tasks {
        let what = match &task.reason {
            Some(reason) => sentence(style_of(&task.state), reason),
            None => sentence(Style::Plain, &task.task),
        };
        table.row([
            plain(id_text(&task.id)),
            vec![word(&task.state)],
            number(Style::Plain, u64::from(task.attempts)),
            optional(task.worker.as_ref()),
            what,
        ]);
    }
    table
}

/// A task that changed, on one line.
pub fn task_change(view: &View, task: &TaskLine) -> String {
    view.page(|page| {
        let mut line = vec![
            span(style_of(&task.state), format!("{:9}", task.state)),
            span(Style::Plain, format!("  {}  ", id_text(&task.id))),
        ];
        if let Some(worker) = task.worker.as_ref().filter(|_| task.state == "running") {
            line.push(span(Style::Faint, format!("{worker}  ")));
        }
        match (&task.reason, &task.commit) {
            (Some(reason), Some(commit)) if task.state == "done" => {
                line.push(span(Style::Faint, format!("landed as {}; ", short(commit))));
                line.extend(sentence(Style::Warn, reason));
            }
            (Some(reason), _) => line.extend(sentence(Style::Plain, reason)),
            (None, Some(commit)) => line.push(span(Style::Faint, format!("landed as {}", short(commit)))),
            (None, None) => line.extend(sentence(Style::Plain, &task.task)),
        }
        page.line(&line);
    })
}

/// Enough of a commit's name for people.
fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

/// How a plan ended: what is done in one line, what is not in one line each.
pub fn run_summary(view: &View, plan: &PlanStatus, took_ms: u64) -> String {
    view.page(|page| {
        page.gap();
        plan_title(page, plan);
        let mut facts = duration(took_ms);
        if plan.usd > 0.0 {
            facts.push_str(&format!(", {}", money(plan.usd)));
        }
        if let Some(integration) = &plan.integration {
            match plan.done {
                0 => facts.push_str(", nothing landed"),
                _ => facts.push_str(&format!(", landed in {integration}")),
            }
        }
        page.wrapped(&plain("  "), Style::Faint, &facts);
        let left: Vec<TaskLine> = plan.tasks.iter().filter(|task| task.state != "done").cloned().collect();
        if !left.is_empty() {
            page.gap();
            page.table(&tasks_table(&left));
        }
    })
}

/// Scope `budget`.
pub fn budget(view: &View, budget: &[BudgetStatus]) -> String {
    view.page(|page| {
        if budget.is_empty() {
            page.line(&[span(Style::Faint, "nothing was spent, nothing is limited")]);
        }
        page.table(&budget_table(view, budget));
    })
}

fn budget_table(view: &View, budget: &[BudgetStatus]) -> Table {
    let has_tokens = budget.iter().any(|provider| provider.day_limit_tokens.is_some());
    let mut columns = vec![
        Column::new("PROVIDER", Give::Shrink),
        Column::new("STATE", Give::Keep),
        Column::number("SPENT", Give::Keep),
        Column::number("RESERVED", Give::Drop(1)),
        Column::number("LIMIT", Give::Drop(3)),
        Column::number("TODAY", Give::Drop(1)),
        Column::number("DAY LIMIT", Give::Drop(1)),
    ];
    columns.extend(has_tokens.then(|| Column::number("TOKENS TODAY", Give::Drop(2))));
    columns.extend([Column::number("%", Give::Drop(2)), Column::new("AGAIN", Give::Drop(2))]);
    let mut table = Table::new(0, columns);
    for provider in budget {
        let tokens = match (provider.today_tokens, provider.day_limit_tokens) {
            (used, Some(most)) => plain(format!("{} of {most}", used.unwrap_or_default())),
            _ => Cell::new(),
        };
        let mut row = vec![
            plain(&provider.provider),
            vec![word(&provider.state)],
            plain(money(provider.spent_usd)),
            if provider.reserved_usd > 0.0 { plain(money(provider.reserved_usd)) } else { Cell::new() },
            provider.limit_usd.map(|limit| plain(money(limit))).unwrap_or_default(),
            provider.today_usd.filter(|usd| *usd > 0.0).map(|usd| plain(money(usd))).unwrap_or_default(),
            provider.day_limit_usd.map(|limit| plain(money(limit))).unwrap_or_default(),
        ];
        row.extend(has_tokens.then_some(tokens));
        let again = provider.until.as_deref().or(provider.resets_at.as_deref());
        row.extend([
            provider.percent.map(|percent| plain(percent.to_string())).unwrap_or_default(),
            again.map(|until| plain(view.distance(until))).unwrap_or_default(),
        ]);
        table.row(row);
    }
    table
}

/// Scope `workers`.
pub fn workers(view: &View, workers: &[WorkerStatus], warnings: &[String]) -> String {
    view.page(|page| {
        warn(page, warnings);
        if workers.is_empty() {
            page.line(&[span(Style::Faint, "no workers")]);
            return;
        }
        let mut table = Table::new(
            0,
            [
                Column::new("WORKER", Give::Shrink),
                Column::new("STATE", Give::Keep),
                Column::new("PROVIDER", Give::Drop(2)),
                Column::new("TASKS", Give::Shrink),
                Column::new("GROUPS", Give::Drop(1)),
            ],
        );
        for worker in workers {
            let mut state = vec![word(&worker.state)];
            if worker.protected {
                state.push(span(Style::Faint, " protected"));
            }
            table.row([
                cell(Style::Strong, &worker.worker),
                state,
                plain(&worker.provider),
                fleet::tasks(worker),
                plain(worker.groups.join(" ")),
            ]);
        }
        page.table(&table);
    })
}

/// Scope `queue`.
pub fn queue(
    view: &View,
    queue: &[LandingStatus],
    waiting: &[QueuedStatus],
    next_cursor: Option<&str>,
) -> String {
    view.page(|page| {
        if waiting.is_empty() {
            page.line(&[span(Style::Faint, "nothing waits to start")]);
        } else {
            page.table(&waiting_table(view, waiting));
        }
        if let Some(cursor) = next_cursor {
            page.line(&[span(Style::Faint, format!("… more with --cursor {cursor}"))]);
        }
        page.gap();
        if queue.is_empty() {
            page.line(&[span(Style::Faint, "nothing waits to land")]);
            return;
        }
        let mut table = Table::new(
            0,
            [
                Column::number("", Give::Drop(0)),
                Column::new("TASK", Give::Shrink),
                Column::new("STATE", Give::Keep),
                Column::new("BRANCH", Give::Shrink),
                Column::new("ATTEMPT", Give::Drop(1)),
            ],
        );
        for (place, landing) in queue.iter().enumerate() {
            table.row([
                plain((place + 1).to_string()),
                cell(Style::Strong, &landing.task_id),
                vec![word(&landing.state)],
                plain(&landing.branch),
                plain(&landing.attempt),
            ]);
        }
        page.table(&table);
    })
}

fn waiting_table(view: &View, waiting: &[QueuedStatus]) -> Table {
    let mut table = Table::new(
        0,
        [
            Column::new("WAITS TO START", Give::Shrink),
            Column::number("PRIO", Give::Keep),
            Column::new("SINCE", Give::Drop(2)),
            Column::new("DEADLINE", Give::Keep),
            Column::new("FOR", Give::Shrink),
            Column::new("WHAT", Give::Drop(1)),
        ],
    );
    for task in waiting {
        let deadline = match &task.deadline {
            Some(at) if task.missed => cell(Style::Bad, format!("missed {}", view.distance(at))),
            Some(at) => plain(view.distance(at)),
            None => Cell::new(),
        };
        table.row([
            cell(Style::Strong, &task.task_id),
            plain(task.priority.to_string()),
            plain(view.distance(&task.since)),
            deadline,
            plain(format!("{}: {}", task.reason, task.on)),
            sentence(Style::Plain, &task.task),
        ]);
    }
    table
}

/// Scope `events`, and `kapell events`.
pub fn events(view: &View, events: &[EventStatus]) -> String {
    events.iter().map(|event| events_line(view, event)).collect()
}

/// One event on one line.
pub fn events_line(view: &View, event: &EventStatus) -> String {
    view.page(|page| {
        let mut line = vec![span(Style::Faint, format!("{:>5}  {}  ", event.seq, view.moment(&event.at)))];
        // On a narrow screen the sentence is worth more than its kind.
        if view.look.width.is_none_or(|width| width >= 72) {
            line.push(span(Style::Faint, format!("{:16}  ", event.kind)));
        }
        match (&event.plan_id, &event.task) {
            (Some(plan), Some(task)) => line.push(span(Style::Strong, format!("{plan}/{task}  "))),
            (Some(plan), None) => line.push(span(Style::Strong, format!("{plan}  "))),
            _ => {}
        }
        line.extend(sentence(Style::Plain, &event.text));
        page.line(&line);
    })
}
