//! Stages of a pipeline: their names, what starts them, and that they wait in no circle.

use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet};

use super::{Said, Thing};
use crate::domain::plan::read::check_id;
use crate::sys::config::code::ConfigCode;
use crate::sys::config::document::{join, shown, suggestion};
use crate::sys::config::types::{Findings, Pipeline, Stage, Worker};
use crate::sys::config::values::Name;

impl Said<'_, '_> {
    pub(super) fn pipeline(&mut self, name: &str, pipeline: &Pipeline) {
        let table = join("pipelines", name);
        let stages = pipeline.stages.as_deref().unwrap_or_default();
        let mut index_of: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, stage) in stages.iter().enumerate() {
            let key = format!("{table}.stages[{index}]");
            self.needs(&key, "name", stage.name.is_some(), "give the stage a name");
            let Some(name) = stage.name.as_ref().map(Name::as_str).filter(|name| !name.is_empty()) else {
                continue;
            };
            if let Err(rule) = check_id(name) {
                let message = format!("`{}` is no name of a stage: it {rule}", shown(name));
                let hint = "use letters, digits, `_`, `-` and `.`, a letter or digit first";
                self.document.value_error(ConfigCode::BadName, &join(&key, "name"), message, hint);
            } else if name == APPROVAL {
                let message = format!("`{APPROVAL}` is a person's among triggers and cannot be a stage");
                self.document.value_error(
                    ConfigCode::BadName,
                    &join(&key, "name"),
                    message,
                    "give the stage another name",
                );
            } else if index_of.contains_key(name) {
                let message = format!("stage `{}` is there twice", shown(name));
                self.document.value_error(
                    ConfigCode::DuplicateName,
                    &join(&key, "name"),
                    message,
                    "give each stage a name of its own",
                );
            } else {
                index_of.insert(name, index);
            }
        }
        if stages.is_empty() && !self.document.is_reported(&join(&table, "stages")) {
            let message = format!("pipeline `{}` has no stages", shown(name));
            self.document.error(
                ConfigCode::MissingKey,
                &table,
                message,
                "list at least one: stages = [{ name = \"build\", … }]",
            );
        }
        for (index, stage) in stages.iter().enumerate() {
            let key = format!("{table}.stages[{index}]");
            let target = stage.target.as_ref().filter(|target| target.as_str() != "auto");
            self.target(&join(&key, "target"), target);
            self.needs(
                &key,
                "target",
                stage.target.is_some() || stage.task.is_some() || stage.command.is_some(),
                "say who does it, what the task is, or which command is run",
            );
            let lists = [("triggers_on", &stage.triggers_on), ("triggers_on_any", &stage.triggers_on_any)];
            for (list, triggers) in lists {
                for (nth, trigger) in triggers.iter().flatten().enumerate() {
                    let key = format!("{key}.{list}[{nth}]");
                    self.trigger(&key, trigger.as_str(), &index_of);
                    if !index_of.contains_key(trigger.as_str()) {
                        self.does_something(&key, trigger.as_str(), index, stages);
                    }
                }
            }
            self.finds(&key, index, stages, &index_of);
            self.commands(&key, stage);
            let is_after = triggers(stage).any(|trigger| index_of.contains_key(trigger));
            if stage.fan_out == Some(true) && !(has_tasks(stage) && is_after) {
                let message = format!("`{key}` has nothing to be done for each of");
                let hint = "give it a task and, in triggers_on, a stage whose tasks it is done for";
                self.document.value_error(ConfigCode::BadStage, &join(&key, "fan_out"), message, hint);
            }
        }
        let found = circles(stages, &index_of);
        let starts = |stage: &Stage| triggers(stage).next().is_none();
        if found.is_empty() && !stages.is_empty() && !stages.iter().any(starts) {
            let message = format!("no stage of pipeline `{}` starts by itself", shown(name));
            self.document.error(
                ConfigCode::BadStage,
                &table,
                message,
                "leave triggers_on out of the first one",
            );
        }
        if found.is_empty() {
            self.circles_of_workers(&table, stages, &index_of);
        }
        for circle in found {
            let name = |&index: &usize| {
                stages[index].name.as_ref().map(|name| shown(name.as_str())).unwrap_or_default()
            };
            let way: Vec<String> = circle.iter().chain(circle.first()).map(name).collect();
            let Some(first) = circle.first() else { continue };
            let list = if stages[*first].triggers_on.is_some() { "triggers_on" } else { "triggers_on_any" };
            let key = format!("{table}.stages[{first}].{list}");
            let message = format!("stages wait for one another: {}", way.join(" ← "));
            self.document.value_error(
                ConfigCode::Cycle,
                &key,
                message,
                format!("take one of these out of {list}"),
            );
        }
    }

    fn trigger(&mut self, key: &str, name: &str, index_of: &BTreeMap<&str, usize>) {
        let is_known = index_of.contains_key(name)
            || name == APPROVAL
            || self.names.has(Thing::Worker, name)
            || self.names.has(Thing::Group, name);
        if !name.is_empty() && !is_known {
            let message = format!("`{key}` names `{}`, which is no stage, no worker, no group", shown(name));
            let hint = suggestion(name, index_of.keys().copied());
            let hint = hint.unwrap_or_else(|| "name a stage of this pipeline".to_owned());
            self.document.value_error(ConfigCode::UnknownName, key, message, hint);
        }
    }

    /// A worker or a group that a stage waits for does something before it.
    fn does_something(&mut self, key: &str, name: &str, index: usize, stages: &[Stage]) {
        let Some(meant) = self.meant(name).filter(|meant| !meant.is_empty()) else { return };
        if !self.done_by(&meant, index, stages).is_empty() {
            return;
        }
        let message = format!("`{key}` waits for `{}`, who does nothing in this pipeline", shown(name));
        let hint = "name a stage, or whoever a stage with tasks is for";
        self.document.value_error(ConfigCode::BadStage, key, message, hint);
    }

    /// The workers that a trigger means; none where that cannot be known.
    fn meant(&self, name: &str) -> Option<BTreeSet<String>> {
        match (self.merged.workers.contains_key(name), self.names.has(Thing::Group, name)) {
            (true, _) => Some([name.to_owned()].into_iter().gather()),
            (false, true) => self.members(name),
            (false, false) => None,
        }
    }

    /// Whoever belongs to a group by a pattern of names is not known before it is there.
    fn members(&self, group: &str) -> Option<BTreeSet<String>> {
        let table = self.merged.groups.get(group);
        if table.is_some_and(|group| group.r#match.is_some() || group.provider_by_name.is_some()) {
            return None;
        }
        let listed = table.and_then(|group| group.members.as_ref()).into_iter().flatten();
        let joins = |worker: &Worker| worker.groups.iter().flatten().any(|name| name.as_str() == group);
        let joined = self.merged.workers.iter().filter(|(_, worker)| joins(worker));
        Some(listed.map(|name| name.0.clone()).chain(joined.map(|(name, _)| name.clone())).gather())
    }

    /// The stages but `index` in which some of these workers may do something.
    fn done_by(&self, meant: &BTreeSet<String>, index: usize, stages: &[Stage]) -> Vec<usize> {
        let merged = self.merged;
        let is_free = |name: &String| merged.workers.get(name).is_none_or(|it| it.protected != Some(true));
        if !meant.iter().any(is_free) {
            return Vec::new();
        }
        let may = |stage: &Stage| match stage.target.as_ref().map(Name::as_str) {
            _ if !has_tasks(stage) => false,
            None | Some("auto") => true,
            Some(target) if self.names.has(Thing::Group, target) && !merged.workers.contains_key(target) => {
                self.members(target).is_none_or(|others| !others.is_disjoint(meant))
            }
            Some(target) => meant
                .iter()
                .any(|worker| worker == target || self.provider_of(worker).is_none_or(|own| own == target)),
        };
        (0..stages.len()).filter(|&other| other != index && may(&stages[other])).collect()
    }

    /// Stages that wait for one another by way of a worker or a group: whoever a stage waits for does something
    /// only in stages that wait for it.
    fn circles_of_workers(&mut self, table: &str, stages: &[Stage], index_of: &BTreeMap<&str, usize>) {
        // For each trigger the stages one of which must have begun; none where nothing keeps it from coming.
        let needs = |index: usize, trigger: &str| -> Vec<usize> {
            if let Some(&other) = index_of.get(trigger) {
                return vec![other];
            }
            let Some(meant) = self.meant(trigger) else { return Vec::new() };
            let own = self.done_by(&meant, index, stages);
            let finders = stages.iter().enumerate().filter(|(_, stage)| {
                let to = stage.findings_to.as_ref().and_then(|name| index_of.get(name.as_str()));
                to.is_some_and(|to| own.contains(to))
            });
            let finders: Vec<usize> = finders.map(|(finder, _)| finder).collect();
            [own, finders].concat()
        };
        let all = |names: &Option<Vec<Name>>, index: usize| -> Vec<(usize, Vec<usize>)> {
            let names = names.iter().flatten().enumerate();
            names.map(|(nth, name)| (nth, needs(index, name.as_str()))).collect()
        };
        let all_of: Vec<_> = (0..stages.len()).map(|at| all(&stages[at].triggers_on, at)).collect();
        let any_of: Vec<_> = (0..stages.len()).map(|at| all(&stages[at].triggers_on_any, at)).collect();
        let mut begins = vec![false; stages.len()];
        let comes =
            |begins: &[bool], needed: &[usize]| needed.is_empty() || needed.iter().any(|&at| begins[at]);
        while let Some(at) = (0..stages.len()).find(|&at| {
            let mut any_of = any_of[at].iter().peekable();
            !begins[at]
                && all_of[at].iter().all(|(_, needed)| comes(&begins, needed))
                && (any_of.peek().is_none() || any_of.any(|(_, needed)| comes(&begins, needed)))
        }) {
            begins[at] = true;
        }
        // The first that does not, and what keeps it, until one comes again.
        let Some(first) = begins.iter().position(|begins| !begins) else { return };
        let mut way: Vec<(usize, &str, usize, usize)> = Vec::new();
        let mut at = first;
        while !way.iter().any(|(seen, ..)| *seen == at) {
            let lists = [("triggers_on", &all_of[at]), ("triggers_on_any", &any_of[at])];
            let mut kept = lists.into_iter().flat_map(|(list, all)| all.iter().map(move |one| (list, one)));
            let Some((list, (nth, needed))) = kept.find(|(_, (_, needed))| !comes(&begins, needed)) else {
                return;
            };
            let Some(&next) = needed.first() else { return };
            way.push((at, list, *nth, next));
            at = next;
        }
        let circle = way.into_iter().skip_while(|(seen, ..)| *seen != at);
        let circle: Vec<(usize, &str, usize, usize)> = circle.collect();
        let name = |at: usize| stages[at].name.as_ref().map(|name| shown(name.as_str())).unwrap_or_default();
        let trigger = |at: usize, list: &str, nth: usize| {
            let stage = &stages[at];
            let list = if list == "triggers_on" { &stage.triggers_on } else { &stage.triggers_on_any };
            list.as_ref().and_then(|list| list.get(nth)).map(|name| shown(name.as_str())).unwrap_or_default()
        };
        let mut text = name(at);
        let mut fault = None;
        for (at, list, nth, next) in circle {
            let (waits_for, does) = (trigger(at, list, nth), name(next));
            text.push_str(&format!(" ← {does}"));
            if waits_for != does {
                text.push_str(&format!(" (what `{waits_for}` does)"));
                fault = fault.or(Some((format!("{table}.stages[{at}].{list}[{nth}]"), waits_for)));
            }
        }
        let Some((key, waits_for)) = fault else { return };
        let message = format!("stages wait for one another: {text}");
        let hint = format!("take `{waits_for}` out, or name a stage that comes before");
        self.document.value_error(ConfigCode::Cycle, &key, message, hint);
    }

    /// Somebody finds something, and somebody is there to mend it.
    fn finds(&mut self, key: &str, index: usize, stages: &[Stage], index_of: &BTreeMap<&str, usize>) {
        let stage = &stages[index];
        if stage.findings == Some(Findings::Tasks) && !has_tasks(stage) {
            let message = format!("nobody finds anything in `{key}`: it has a command and no task");
            let hint = "give it a task, or leave findings out";
            self.document.value_error(ConfigCode::BadStage, &join(key, "findings"), message, hint);
        }
        let to = join(key, "findings_to");
        match stage.findings_to.as_ref().map(Name::as_str).filter(|name| !name.is_empty()) {
            Some(name) => match index_of.get(name) {
                None => {
                    let message = format!("`{to}` names `{}`, which is no stage", shown(name));
                    let hint = suggestion(name, index_of.keys().copied())
                        .unwrap_or_else(|| "name a stage of this pipeline".to_owned());
                    self.document.value_error(ConfigCode::UnknownName, &to, message, hint);
                }
                Some(&other) if other == index || !has_tasks(&stages[other]) => {
                    let message = format!("`{to}` names `{}`, which mends nothing of it", shown(name));
                    self.document.value_error(
                        ConfigCode::BadStage,
                        &to,
                        message,
                        "name another stage, one that has tasks",
                    );
                }
                Some(_) => {}
            },
            None if stage.findings == Some(Findings::Tasks) && has_tasks(stage) => {
                let before = before(stages, index, index_of);
                // Triggers with an error were reported already.
                let is_sound = triggers(stage).all(|trigger| index_of.get(trigger) != Some(&index));
                if is_sound && !before.iter().any(|&other| other != index && has_tasks(&stages[other])) {
                    let message =
                        format!("nobody mends what `{key}` finds: no stage with tasks is before it");
                    let hint = "name a stage in triggers_on, or in findings_to";
                    self.document.value_error(ConfigCode::BadStage, &join(key, "findings"), message, hint);
                }
            }
            None => {}
        }
    }

    /// What belongs to a command has one.
    fn commands(&mut self, key: &str, stage: &Stage) {
        let table = [
            ("rollback", stage.rollback.is_some(), "command", stage.command.is_some()),
            ("env", stage.env.is_some(), "command", stage.command.is_some()),
            ("rollback_on", stage.rollback_on.is_some(), "rollback", stage.rollback.is_some()),
        ];
        for (said, is_said, needed, is_there) in table {
            if is_said && !is_there && !self.document.has(&join(key, needed)) {
                let message = format!("`{key}.{said}` is of no use without `{needed}`");
                self.document.value_error(
                    ConfigCode::UselessKey,
                    &join(key, said),
                    message,
                    format!("add {needed}, or leave {said} out"),
                );
            }
        }
    }
}

/// What a person's approval is called among triggers.
pub const APPROVAL: &str = "approval";

fn has_tasks(stage: &Stage) -> bool {
    stage.task.is_some() || stage.command.is_none()
}

fn triggers(stage: &Stage) -> impl Iterator<Item = &str> {
    stage.triggers_on.iter().chain(&stage.triggers_on_any).flatten().map(Name::as_str)
}

/// The stages that a stage waits for, and those that they wait for, each once.
fn before(stages: &[Stage], index: usize, index_of: &BTreeMap<&str, usize>) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    let mut left = vec![index];
    while let Some(at) = left.pop() {
        for on in triggers(&stages[at]).filter_map(|trigger| index_of.get(trigger).copied()) {
            if !found.contains(&on) {
                found.push(on);
                left.push(on);
            }
        }
    }
    found
}

/// Circles of stages that wait for one another, each as indices in which every one waits for the
/// next; no stage is in two of them.
fn circles(stages: &[Stage], index_of: &BTreeMap<&str, usize>) -> Vec<Vec<usize>> {
    let waits_for: Vec<Vec<usize>> = stages
        .iter()
        .map(|stage| triggers(stage).filter_map(|trigger| index_of.get(trigger).copied()).collect())
        .collect();
    let mut circles = Vec::new();
    let mut done: BTreeSet<usize> = BTreeSet::new();
    for start in 0..stages.len() {
        // A walk along what each waits for, with its own stack: a file may be as long as it likes.
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((at, next)) = way.pop() {
            if done.contains(&at) {
                continue;
            }
            let Some(&to) = waits_for[at].get(next) else {
                done.insert(at);
                continue;
            };
            way.push((at, next + 1));
            if let Some(begin) = way.iter().position(|(on, _)| *on == to) {
                let circle: Vec<usize> = way[begin..].iter().map(|(on, _)| *on).collect();
                done.extend(&circle);
                // It is told from its stage that stands first in the file.
                let first =
                    circle.iter().enumerate().min_by_key(|(_, index)| **index).map_or(0, |(at, _)| at);
                circles.push([&circle[first..], &circle[..first]].concat());
            } else if !done.contains(&to) {
                way.push((to, 0));
            }
        }
    }
    circles
}
