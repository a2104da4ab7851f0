//! Stages of a pipeline: their names, what starts them, and that they wait in no circle.

use std::collections::{BTreeMap, BTreeSet};

use super::{Said, Thing};
use crate::sys::config::document::{join, shown, suggestion};
use crate::sys::config::types::{Pipeline, Stage};
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
            if index_of.contains_key(name) {
                let message = format!("stage `{}` is there twice", shown(name));
                self.document.value_error(&join(&key, "name"), message, "give each stage a name of its own");
            } else {
                index_of.insert(name, index);
            }
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
            for (nth, trigger) in stage.triggers_on.iter().flatten().enumerate() {
                let name = trigger.as_str();
                let is_known = index_of.contains_key(name)
                    || self.names.has(Thing::Worker, name)
                    || self.names.has(Thing::Group, name);
                if !name.is_empty() && !is_known {
                    let key = format!("{key}.triggers_on[{nth}]");
                    let message =
                        format!("`{key}` names `{}`, which is no stage, no worker, no group", shown(name));
                    let hint = suggestion(name, index_of.keys().copied());
                    let hint = hint.unwrap_or_else(|| "name a stage of this pipeline".to_owned());
                    self.document.value_error(&key, message, hint);
                }
            }
        }
        for circle in circles(stages, &index_of) {
            let name = |&index: &usize| {
                stages[index].name.as_ref().map(|name| shown(name.as_str())).unwrap_or_default()
            };
            let way: Vec<String> = circle.iter().chain(circle.first()).map(name).collect();
            let Some(first) = circle.first() else { continue };
            let key = format!("{table}.stages[{first}].triggers_on");
            let message = format!("stages wait for one another: {}", way.join(" ← "));
            self.document.value_error(&key, message, "take one of these out of triggers_on");
        }
    }
}

/// Circles of stages that wait for one another, each as indices in which every one waits for the
/// next; no stage is in two of them.
fn circles(stages: &[Stage], index_of: &BTreeMap<&str, usize>) -> Vec<Vec<usize>> {
    let waits_for: Vec<Vec<usize>> = stages
        .iter()
        .map(|stage| {
            let triggers = stage.triggers_on.iter().flatten();
            triggers.filter_map(|trigger| index_of.get(trigger.as_str()).copied()).collect()
        })
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
