//! Stages become tasks: when one begins, and when what it found is to be mended.

use std::path::Path;

use super::facts::{self, Facts, Finding};
use crate::base::ids::{PlanId, TaskId};
use crate::domain::overlap::overlap_of;
use crate::domain::pattern::Pattern;
use crate::domain::pipeline::Trigger;
use crate::domain::plan::Task;
use crate::domain::plan::read::check_id;
use crate::services::planning::{self, rows};
use crate::services::{Error, claiming, routing};
use crate::store::Tx;
use crate::store::pipelines::StageTask;
use crate::sys::config::Config;

/// Of so many findings that were mended the next round is told.
const TOLD: usize = 20;
/// An id has at most 64 characters, of which some are left for a number.
const LONGEST_ID: usize = 56;
/// Tasks that a new one is said to depend on; all of them are over.
const MOST_DEPENDENCIES: usize = 50;

/// The plan that a run is, with the tasks of each stage.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The plan.
    pub plan: &'a PlanId,
    /// The project's folder.
    pub top: &'a Path,
    /// The configuration as it is now.
    pub config: &'a Config,
}

/// Makes the tasks of a stage's next round, which is counted already. Those that are there (a plan's
/// own) are its tasks.
pub fn begin(tx: &Tx<'_>, ground: &Ground<'_>, facts: &Facts, at: usize) -> Result<(), Error> {
    let round = facts.now[at].round + 1;
    let tasks = tx.stage_tasks(ground.plan)?;
    if tasks.iter().any(|task| task.stage == at as i64 && task.round == round && !task.is_fix) {
        return Ok(());
    }
    let stage = &facts.stages[at];
    let request = facts.run.request.clone().unwrap_or_default();
    let text = stage.task.clone().unwrap_or_else(|| "{request}".to_owned());
    let before = before(facts, at, &tasks);
    let origins: Vec<Option<Task>> = match stage.fan_out {
        true => {
            let origins: Result<Vec<_>, Error> =
                before.iter().map(|task| planned(tx, ground.plan, &task.task).map(Some)).collect();
            Some(origins?).filter(|origins| !origins.is_empty()).unwrap_or_else(|| vec![None])
        }
        false => vec![None],
    };
    let depends_on: Vec<TaskId> =
        before.iter().take(MOST_DEPENDENCIES).map(|task| task.task.clone()).collect();
    let told = told(tx, ground.plan, facts, at)?;
    for origin in origins {
        let mut name = stage.name.clone();
        if let Some(origin) = &origin {
            name = format!("{name}-{}", origin.id);
        }
        if round > 1 {
            name = format!("{name}-r{round}");
        }
        let (for_text, for_files) = match &origin {
            Some(task) => {
                (task.text.clone(), task.files.iter().map(Pattern::as_str).collect::<Vec<_>>().join(" "))
            }
            None => (request.clone(), String::new()),
        };
        let text = filled(&text, &[("request", &request), ("task", &for_text), ("files", &for_files)]);
        let mut task = Task::new(free_id(tx, ground.plan, &name)?, format!("{text}{told}"), Vec::new());
        task.files = stage.files.iter().filter_map(|file| Pattern::parse(file).ok()).collect();
        task.target.clone_from(&stage.target);
        task.timeout_s = stage.timeout_s;
        task.depends_on = match &origin {
            Some(origin) => vec![origin.id.clone()],
            None => depends_on.clone(),
        };
        routing::prioritise(ground.config, &mut task);
        planning::insert_task(tx, ground.plan, &task, true)?;
        let origin = origin.as_ref().map(|task| task.id.as_str().to_owned());
        tx.insert_stage_task(ground.plan, &task.id, at as i64, round, false, origin.as_deref())?;
    }
    Ok(())
}

/// Makes a task of everything that a stage's round found, for those who mend it. How many.
pub fn fix(tx: &Tx<'_>, ground: &Ground<'_>, facts: &Facts, at: usize) -> Result<usize, Error> {
    let (stage, round) = (&facts.stages[at], facts.now[at].round);
    let fixer = stage.fixer.and_then(|fixer| facts.stages.get(fixer));
    let found = facts::findings(tx, ground.plan, at as i64, round)?;
    for (number, finding) in found.iter().enumerate() {
        let name = format!("{}-fix-{round}-{}", stage.name, number + 1);
        let mut task =
            Task::new(free_id(tx, ground.plan, &name)?, fix_text(stage, round, finding), Vec::new());
        task.files = files(ground, finding);
        task.target = fixer.and_then(|fixer| fixer.target.clone());
        task.timeout_s = fixer.and_then(|fixer| fixer.timeout_s);
        task.depends_on = vec![TaskId::text(&finding.task)];
        routing::prioritise(ground.config, &mut task);
        planning::insert_task(tx, ground.plan, &task, true)?;
        let origin = Some(finding.attempt.as_str());
        tx.insert_stage_task(ground.plan, &task.id, at as i64, round, true, origin)?;
    }
    Ok(found.len())
}

fn fix_text(stage: &super::Stage, round: u32, finding: &Finding) -> String {
    let severity = finding.severity.as_ref().map_or_else(String::new, |how| format!(", severity {how}"));
    format!(
        "{}\n\n# Found by stage {} in round {round}{severity} (attempt {})",
        finding.text, stage.name, finding.attempt
    )
}

/// What a finding's task owns: the files that it names, where all of them can be owned; else what
/// it will change.
fn files(ground: &Ground<'_>, finding: &Finding) -> Vec<Pattern> {
    let integrator: Vec<&Pattern> = ground.config.integrator.iter().flat_map(|it| &it.files).collect();
    let own = |file: &String| {
        let pattern = Pattern::parse(file).ok()?;
        // A tester names files, also one whose name would be a pattern.
        let pattern = claiming::misread::meant(ground.top, &pattern).map_or(pattern, |(_, own)| own);
        claiming::refuse_detours(ground.top, &pattern).ok()?;
        let is_file = |path: &str| ground.top.join(path).symlink_metadata().is_ok_and(|it| !it.is_dir());
        let is_shared = integrator.iter().any(|other| overlap_of(other, &pattern, &is_file).is_some());
        (!is_shared).then_some(pattern)
    };
    let mut files = finding.files.iter().map(own).collect::<Option<Vec<Pattern>>>().unwrap_or_default();
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|file| seen.insert(file.as_str().to_owned()));
    files
}

/// What was found before and mended since, for whoever looks again.
fn told(tx: &Tx<'_>, plan: &PlanId, facts: &Facts, at: usize) -> Result<String, Error> {
    let round = facts.now[at].round;
    if round == 0 || !facts.stages[at].takes_findings {
        return Ok(String::new());
    }
    let found = facts::findings(tx, plan, at as i64, round)?;
    if found.is_empty() {
        return Ok(String::new());
    }
    let mut text = format!("\n\n# Round {}. What round {round} found was mended since:", round + 1);
    for finding in found.iter().take(TOLD) {
        text.push_str(&format!("\n# - {}", finding.text.lines().next().unwrap_or_default()));
    }
    Ok(text)
}

/// The tasks that are done of the stages that a stage waited for.
fn before<'t>(facts: &Facts, at: usize, tasks: &'t [StageTask]) -> Vec<&'t StageTask> {
    let machine = &facts.machine[at];
    let on: Vec<i64> = machine
        .all_of
        .iter()
        .chain(&machine.any_of)
        .filter_map(|trigger| match trigger {
            Trigger::Stage(on) => Some(*on as i64),
            Trigger::Workers(..) | Trigger::Approval => None,
        })
        .collect();
    // Of a stage that looked several times the last look counts.
    let last = |task: &StageTask| facts.now.get(task.stage as usize).map_or(0, |now| now.round);
    let counts = |task: &&StageTask| {
        on.contains(&task.stage)
            && !task.is_fix
            && task.round == last(task)
            && task.state == crate::domain::task::TaskState::Done
    };
    tasks.iter().filter(counts).collect()
}

fn planned(tx: &Tx<'_>, plan: &PlanId, task: &TaskId) -> Result<Task, Error> {
    let vanished = || Error::Bug(format!("task {plan}/{task} vanished"));
    let row = tx.plan(plan)?.ok_or_else(vanished)?;
    let task = tx.task(plan, task)?.ok_or_else(vanished)?;
    let plan = rows::stored_plan(&row, std::slice::from_ref(&task))?;
    plan.tasks.into_iter().next().ok_or_else(vanished)
}

/// That name, or the next like it that no task of the plan has.
fn free_id(tx: &Tx<'_>, plan: &PlanId, name: &str) -> Result<TaskId, Error> {
    let is_sound = |name: &&str| check_id(name).is_ok();
    let short: String = name.chars().take(LONGEST_ID).collect();
    let name = Some(short.trim_end_matches(['.', '-'])).filter(is_sound).unwrap_or("stage");
    let mut id = TaskId::text(name);
    let mut number = 2;
    while tx.task(plan, &id)?.is_some() {
        id = TaskId::text(format!("{name}-{number}"));
        number += 1;
    }
    Ok(id)
}

/// A text with its placeholders filled in. What is filled in is not looked at again.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let found = values.iter().find_map(|(name, value)| {
            rest.strip_prefix('{')?.strip_prefix(name)?.strip_prefix('}').map(|after| (*value, after))
        });
        match found {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_once() {
        let values = [("request", "{task} é"), ("task", "t")];
        let table = [
            ("do {request}", "do {task} é"),
            ("{task}{task}", "tt"),
            ("{other} { {task", "{other} { {task"),
            ("", ""),
            ("{{task}}", "{t}"),
        ];
        for (text, expected) in table {
            assert_eq!(filled(text, &values), expected);
        }
    }
}
