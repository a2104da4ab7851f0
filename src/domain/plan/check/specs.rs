//! Specs before code: a spec that does not exist yet becomes a task of its own.

use std::collections::{HashMap, HashSet};

use crate::base::ids::TaskId;
use crate::base::paths::RepoPath;
use crate::domain::pattern::Pattern;
use crate::domain::plan::check::Surroundings;
use crate::domain::plan::check::overlaps::Index;
use crate::domain::plan::dag::Dag;
use crate::domain::plan::problem::{Part, Places, Problem, ProblemCode, Problems};
use crate::domain::plan::{Plan, Spec, Task};

/// Of the plan's tasks, how many the task that writes a spec is told of.
const NAMED_TASKS: usize = 50;
/// Of the files of each, how many.
const NAMED_FILES: usize = 10;
/// Of the text of each, how many characters.
const LINE_CHARS: usize = 200;
/// The longest middle of an id, so that with its ends it stays one.
const SLUG_CHARS: usize = 48;

/// What a plan lacks for its specs to come first.
#[derive(Debug, Clone, Default)]
pub struct SpecTasks {
    /// A task for each spec that nobody writes yet.
    pub tasks: Vec<Task>,
    /// Who has to wait for whom: the position of a task in the plan, and the task that writes a spec.
    pub waits: Vec<(usize, TaskId)>,
}

impl SpecTasks {
    /// Adds all of it to the plan that it was made from. The new tasks come last, so
    /// that the places of the others stay true.
    pub fn add_to(self, plan: &mut Plan) {
        for (position, id) in self.waits {
            if let Some(task) = plan.tasks.get_mut(position) {
                task.depends_on.push(id);
            }
        }
        plan.tasks.extend(self.tasks);
    }
}

/// Makes a task of every spec that neither exists nor is owned by a task of the
/// plan, and lets all code tasks wait for whoever writes a missing spec, unless
/// that would make a cycle. Nothing where the rules do not want specs first.
pub fn spec_tasks(plan: &Plan, around: &Surroundings) -> SpecTasks {
    let by_plan = plan.rules.spec_first.unwrap_or(around.spec_first);
    let wants_specs = |task: &Task| task.rules.spec_first.unwrap_or(by_plan);
    let mut result = SpecTasks::default();
    if !by_plan && !plan.tasks.iter().any(wants_specs) {
        return result;
    }
    let spec_files = spec_files(plan);
    let code: Vec<usize> = (0..plan.tasks.len())
        .filter(|&position| wants_specs(&plan.tasks[position]) && is_code(&plan.tasks[position], &spec_files))
        .collect();
    let mut ids: HashSet<String> =
        plan.tasks.iter().map(|task| task.id.as_str().to_ascii_lowercase()).collect();
    let index = Index::of(plan);
    let mut dag = Dag::of(plan);
    let levels = dag.levels();
    let mut seen = HashSet::new();
    for spec in &plan.specs {
        if around.existing_specs.contains(&spec.file) || !seen.insert(spec.file.as_str()) {
            continue;
        }
        // What was read as a spec is a pattern; a plan made otherwise may hold anything.
        let Ok(pattern) = Pattern::parse(&spec.file) else { continue };
        let path = RepoPath::from(spec.file.as_str());
        let owners = index.related(&pattern).into_iter();
        let owners = owners.filter(|&(task, file)| plan.tasks[task].files[file].contains(&path));
        // Of several owners, which follow each other, the first one writes it.
        let level = |task: usize| levels.as_ref().map(|levels| levels[task]);
        match owners.map(|(task, _)| task).min_by_key(|&task| (level(task), task)) {
            None => {
                let task = writing(spec, pattern, free_id(&spec.file, &mut ids), plan, &code);
                result.waits.extend(code.iter().map(|&position| (position, task.id.clone())));
                result.tasks.push(task);
            }
            Some(writer) => {
                let needed = dag.ancestors(writer);
                for &task in code.iter().filter(|&&task| task != writer && !needed.contains(&task)) {
                    if dag.add(writer, task) {
                        result.waits.push((task, plan.tasks[writer].id.clone()));
                    }
                }
            }
        }
    }
    result
}

/// Refuses a spec with two descriptions, of which one would be lost, and specs whose names are one where the case of letters, or how they are composed, does not count: two
/// tasks would write one file.
pub(super) fn twins(plan: &Plan, places: &Places, problems: &mut Problems) {
    let mut seen: HashMap<String, &Spec> = HashMap::new();
    for (position, spec) in plan.specs.iter().enumerate() {
        let Ok(pattern) = Pattern::parse(&spec.file) else { continue };
        let Spec { file: first, description } = *seen.entry(pattern.key()).or_insert(spec);
        if *first == spec.file && *description != spec.description {
            let message = format!("the spec {first} is described twice, each time otherwise");
            let problem = Problem::error(ProblemCode::Overlap, message, "say all of it in one description");
            problems.add(problem.at(places.field(Part::Spec(position), "file")));
        } else if *first != spec.file {
            let message =
                format!("the specs {first} and {} are one file where case does not count", spec.file);
            let problem = Problem::error(ProblemCode::Overlap, message, "give one of them another name");
            problems.add(problem.at(places.field(Part::Spec(position), "file")));
        }
    }
}

/// Refuses a task that would write a missing spec together with its code: no code of it would have had a spec before.
pub(super) fn mixed(plan: &Plan, places: &Places, around: &Surroundings, problems: &mut Problems) {
    let by_plan = plan.rules.spec_first.unwrap_or(around.spec_first);
    let spec_files = spec_files(plan);
    for (position, task) in plan.tasks.iter().enumerate() {
        if !task.rules.spec_first.unwrap_or(by_plan) || !is_code(task, &spec_files) {
            continue;
        }
        for (index, pattern) in task.files.iter().enumerate().filter(|(_, pattern)| pattern.is_literal()) {
            let file = pattern.literal_path();
            let is_another =
                |other: &Task| other.id != task.id && other.files.iter().any(|it| it.as_str() == file);
            if !spec_files.contains(file)
                || around.existing_specs.contains(file)
                || plan.tasks.iter().any(is_another)
            {
                continue;
            }
            let problem = Problem::error(
                ProblemCode::NoSpecs,
                format!(
                    "task {} is to write the spec {file} and code, but specs come before the code",
                    task.id
                ),
                format!(
                    "take {file} out of its `files`: a task of its own then writes it first; or set the task's rules.spec_first to false"
                ),
            );
            problems.add(problem.of(&task.id).about(file).at(places.item(
                Part::Task(position),
                "files",
                index,
            )));
        }
    }
}

/// The files of the plan's specs.
pub(super) fn spec_files(plan: &Plan) -> HashSet<&str> {
    plan.specs.iter().map(|spec| spec.file.as_str()).collect()
}

/// Whether a task makes more than specs.
pub(super) fn is_code(task: &Task, spec_files: &HashSet<&str>) -> bool {
    !task.files.iter().all(|pattern| pattern.is_literal() && spec_files.contains(pattern.literal_path()))
}

/// The task that writes `spec` for the tasks at the positions `code`.
fn writing(spec: &Spec, pattern: Pattern, id: TaskId, plan: &Plan, code: &[usize]) -> Task {
    let mut text = format!("Write the specification {}", spec.file);
    if !spec.description.is_empty() {
        text.push_str(&format!(": {}", spec.description));
    }
    text.push_str(".\nWrite this file only, no code. Others work from it at the same time and without asking, so be exact.\n");
    if !code.is_empty() {
        text.push_str("\nIt must hold what these tasks need:\n");
    }
    for &position in code.iter().take(NAMED_TASKS) {
        let task = &plan.tasks[position];
        let files: Vec<&str> = task.files.iter().take(NAMED_FILES).map(Pattern::as_str).collect();
        let more = if task.files.len() > NAMED_FILES { ", …" } else { "" };
        text.push_str(&format!("- {}: {} ({}{more})\n", task.id, first_line(&task.text), files.join(", ")));
    }
    if code.len() > NAMED_TASKS {
        text.push_str(&format!("- and {} more tasks of the plan\n", code.len() - NAMED_TASKS));
    }
    let mut task = Task::new(id, text, vec![pattern]);
    task.rules.spec_first = Some(false);
    task.rules.tdd = Some(false);
    task
}

/// The first line of a text, of a length that fits into a list.
fn first_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let mut shown: String = line.chars().take(LINE_CHARS).collect();
    if shown.len() < text.trim().len() {
        shown.push('…');
    }
    shown
}

/// An id for the task that writes `file`, such as `spec-api`; it is then taken.
fn free_id(file: &str, taken: &mut HashSet<String>) -> TaskId {
    let name = file.rsplit('/').next().unwrap_or(file);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let words = stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    slug.truncate(SLUG_CHARS);
    let base =
        if slug.is_empty() { "spec".to_owned() } else { format!("spec-{}", slug.trim_end_matches('-')) };
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    let free = std::iter::once(base.clone()).chain(numbered).find(|id| taken.insert(id.clone()));
    TaskId::text(free.unwrap_or(base))
}
