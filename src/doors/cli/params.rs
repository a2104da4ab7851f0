//! From what was typed to the parameters of the methods.

use super::args::{
    Approve, ClaimFiles, Control, Dispatch, Judge, Land, Plan, ReleaseFiles, Report, Resume, Route, Run,
    Send, ShutdownAll, Start, Status, Steer,
};
use crate::api::wire::{
    Action, ClaimFilesParams, ControlParams, DispatchParams, JudgeParams, Object, PlanParams,
    ReleaseFilesParams, ReportParams, StatusParams,
};

/// Whom `--as` names; who types is `me`, and needs no name.
fn named(person: Option<String>) -> Option<String> {
    person.filter(|name| name != "me")
}

impl From<ClaimFiles> for ClaimFilesParams {
    fn from(args: ClaimFiles) -> Self {
        Self {
            paths: args.paths,
            mode: args.mode.unwrap_or_default(),
            ttl_s: args.ttl_s,
            reason: args.reason,
            wait_s: args.wait_s,
            check_only: args.check_only,
            take_over: args.take_over,
            holder: args.holder.or_else(|| named(args.person)),
        }
    }
}

impl From<ReleaseFiles> for ReleaseFilesParams {
    fn from(args: ReleaseFiles) -> Self {
        Self {
            claim_ids: args.claim_ids,
            paths: args.paths,
            all: args.all,
            holder: args.holder.or_else(|| named(args.person)),
        }
    }
}

impl From<Report> for ReportParams {
    fn from(args: Report) -> Self {
        Self { text: args.text, files: args.files, severity: args.severity }
    }
}

impl From<Status> for StatusParams {
    fn from(args: Status) -> Self {
        Self {
            scope: args.scope.unwrap_or_default(),
            id: args.what.or(args.id),
            run_id: args.run_id,
            since_seq: args.since_seq,
            wait_ms: args.wait_ms,
            limit: args.limit,
            cursor: args.cursor,
            kind: args.kind,
            by: args.by,
            since: args.since,
            all_projects: args.all_projects,
        }
    }
}

impl From<Dispatch> for DispatchParams {
    fn from(args: Dispatch) -> Self {
        Self {
            plan_id: args.plan.or(args.plan_id),
            tasks: args.tasks,
            task: args.task,
            files: args.single.files,
            target: args.single.target,
            complexity: args.single.complexity,
            priority: args.single.priority,
            rules: rules_of(&args.start, args.rules),
            dry_run: args.dry_run,
            ..of_start(&args.start)
        }
    }
}

impl From<Send> for DispatchParams {
    fn from(args: Send) -> Self {
        Self {
            task: Some(args.text),
            files: args.single.files,
            target: args.single.target,
            complexity: args.single.complexity,
            priority: args.single.priority,
            ..Self::default()
        }
    }
}

impl From<Route> for DispatchParams {
    fn from(args: Route) -> Self {
        Self {
            task: Some(args.text),
            target: args.target,
            complexity: args.complexity,
            dry_run: true,
            ..Self::default()
        }
    }
}

impl From<Judge> for JudgeParams {
    fn from(args: Judge) -> Self {
        Self {
            plan_id: args.plan_id,
            task: args.task,
            attempt: args.attempt,
            path: args.path,
            paths: args.paths,
            gates: args.gates,
            review: args.review,
            land: (args.land || args.no_land).then_some(args.land),
        }
    }
}

impl From<Control> for ControlParams {
    fn from(args: Control) -> Self {
        Self {
            paths: args.approve.paths,
            budget_usd: args.budget_usd,
            ..steer(args.action, args.approve.steer)
        }
    }
}

impl From<Land> for ControlParams {
    fn from(args: Land) -> Self {
        Self {
            action: Action::Land,
            target: args.plan,
            force: false,
            message: None,
            paths: Vec::new(),
            budget_usd: None,
        }
    }
}

impl From<ShutdownAll> for ControlParams {
    fn from(args: ShutdownAll) -> Self {
        Self {
            action: Action::Stop,
            target: "all-projects".to_owned(),
            force: args.force,
            message: None,
            paths: Vec::new(),
            budget_usd: None,
        }
    }
}

/// A short form of `control`.
pub fn steer(action: Action, args: Steer) -> ControlParams {
    ControlParams {
        action,
        target: args.target,
        force: args.force,
        message: args.message,
        paths: Vec::new(),
        budget_usd: None,
    }
}

/// `resume`.
pub fn resume(args: Resume) -> ControlParams {
    ControlParams { budget_usd: args.budget_usd, ..steer(Action::Resume, args.steer) }
}

/// `approve`.
pub fn approve(args: Approve) -> ControlParams {
    ControlParams { paths: args.paths, ..steer(Action::Approve, args.steer) }
}

/// Parameters of `plan`; a plan that was read already takes the place of its file.
pub fn plan(args: Plan, read: Option<String>) -> PlanParams {
    PlanParams {
        plan: None,
        file: args.file.filter(|_| read.is_none()),
        text: read,
        request: args.request,
        name: args.name,
        check_only: args.check_only,
        on_overlap: args.on_overlap.unwrap_or_default(),
    }
}

/// The first half of `run`.
pub fn plan_of_run(args: &Run, file: String, read: Option<String>) -> PlanParams {
    PlanParams {
        file: read.is_none().then_some(file),
        text: read,
        name: args.name.clone(),
        on_overlap: args.on_overlap.unwrap_or_default(),
        ..PlanParams::default()
    }
}

/// The second half of `run`.
pub fn dispatch_of_run(args: &Run, plan_id: String) -> DispatchParams {
    let rules = rules_of(&args.start, None);
    DispatchParams { plan_id: Some(plan_id), rules, alone: true, ..of_start(&args.start) }
}

/// How a plan starts.
fn of_start(start: &Start) -> DispatchParams {
    DispatchParams {
        max_parallel: start.max_parallel,
        batch_size: start.batch_size,
        run_timeout_s: start.run_timeout_s,
        when_full: start.when_full.unwrap_or_default(),
        ..DispatchParams::default()
    }
}

/// Rules that have an option of their own, over those given as an object.
fn rules_of(start: &Start, given: Option<Object>) -> Option<Object> {
    let options = [
        ("max_attempts", start.max_attempts.map(u64::from)),
        ("timeout_s", start.timeout_s),
        ("stuck_after_s", start.stuck_after_s),
    ];
    let mut rules = given.unwrap_or_default();
    rules.extend(options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    (!rules.is_empty()).then_some(rules)
}
