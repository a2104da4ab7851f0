//! Whether a plan makes sense as a whole.

mod overlaps;
mod specs;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use crate::base::ids::TaskId;
use crate::base::paths::RepoPath;
use crate::base::sorting;
use crate::domain::budget::Money;
use crate::domain::pattern::{IsFile, Pattern, overlap};
use crate::domain::plan::dag::{Cycle, Dag};
use crate::domain::plan::problem::{Part, Places, Problem, ProblemCode, Problems, closest, quoted};
use crate::domain::plan::{Plan, Task};

pub use overlaps::serialize;
pub use specs::{SpecTasks, spec_tasks};

/// What becomes of tasks that own the same path without an order between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnOverlap {
    /// The plan is refused.
    #[default]
    Reject,
    /// [`serialize`] lets the later one wait for the earlier one.
    Serialize,
}

/// What the rest of the world says that a plan is checked against.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Everything that a task can be given to. `auto` is always one. Names that the
    /// configuration places by pattern are in it as far as the plan uses them. `None`
    /// where nobody knows who there is: then whoever is named may be.
    pub targets: Option<Vec<KnownTarget>>,
    /// What the integrator regenerates while landing.
    pub integrator: Vec<Pattern>,
    /// Whether specs come first in a plan that does not say.
    pub spec_first: bool,
    /// Whether tests come first in a plan that does not say.
    pub tdd: bool,
    /// Those of the plan's spec files that exist, called as in the plan.
    pub existing_specs: BTreeSet<String>,
    /// What becomes of overlaps.
    pub on_overlap: OnOverlap,
    /// What the workers' walls ask of a plan.
    pub walls: Walls,
}

/// What the wall around a worker asks of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Walls {
    /// Nothing.
    #[default]
    Any,
    /// It is built around what the task owns, as far as it names something.
    Strict,
    /// The same, and there is nothing else that a worker could be kept to.
    StrictInSharedFolder,
}

/// A name that a task can be given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTarget {
    /// The name.
    pub name: String,
    /// What it names.
    pub kind: TargetKind,
    /// It never gets a task.
    pub protected: bool,
}

/// What the name of a target names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// A kind of agent.
    Provider,
    /// A named seat.
    Worker,
    /// Several workers.
    Group,
    /// A part that somebody plays.
    Role,
}

/// Everything that is wrong with `plan`, by kind and then in the order of the plan.
/// `places` are those it was read with, and `is_file` says which paths are files where the plan begins.
///
/// With [`OnOverlap::Serialize`] overlaps are left to [`serialize`].
pub fn check(plan: &Plan, places: &Places, around: &Surroundings, is_file: &IsFile<'_>) -> Vec<Problem> {
    let dag = Dag::of(plan);
    let mut problems = Problems::default();
    if plan.tasks.is_empty() && !places.is_misread(Part::Plan, "tasks") {
        let problem = Problem::error(
            ProblemCode::Syntax,
            "the plan has no tasks",
            "add at least one: {\"id\": 1, \"task\": \"…\", \"files\": [\"…\"]}",
        );
        problems.add(problem.at(places.field(Part::Plan, "tasks")));
    }
    ids(plan, places, &dag, &mut problems);
    dependencies(plan, places, &dag, &mut problems);
    cycles(plan, places, &dag, &mut problems);
    files(plan, places, &mut problems);
    shared_files(plan, places, around, &mut problems);
    if around.on_overlap == OnOverlap::Reject {
        overlaps::report(plan, places, &dag, is_file, &mut problems);
    }
    walls(plan, places, around, &mut problems);
    targets(plan, places, around, &mut problems);
    budgets(plan, places, &mut problems);
    proofs(plan, places, around, &mut problems);
    specs::twins(plan, places, &mut problems);
    specs::mixed(plan, places, around, &mut problems);
    problems.into_vec()
}

/// A strict wall is built around folders and files: what begins with a wildcard is all over the tree.
fn walls(plan: &Plan, places: &Places, around: &Surroundings, problems: &mut Problems) {
    if around.walls == Walls::Any {
        return;
    }
    for (position, task) in plan.tasks.iter().enumerate() {
        let part = Part::Task(position);
        if task.files.is_empty() && around.walls == Walls::StrictInSharedFolder {
            let problem = Problem::error(
                ProblemCode::NoFiles,
                format!(
                    "task {} names no files, so that no strict wall can be built in a shared folder",
                    task.id
                ),
                "give it files, or set isolation = \"worktree\" or wall = \"worktree\" under [project]",
            );
            problems.add(problem.of(&task.id).at(places.field(part, "files")));
        }
        for (index, pattern) in task.files.iter().enumerate().filter(|(_, pattern)| !pattern.can_be_walled())
        {
            let problem = Problem::error(
                ProblemCode::BadPath,
                format!(
                    "task {}: no strict wall can be built around {}: its first segment is a wildcard, so that it is all over the tree",
                    task.id,
                    pattern.as_str()
                ),
                "name its folder or its files, or set wall = \"worktree\" under [project]",
            );
            problems.add(problem.of(&task.id).at(places.item(part, "files", index)));
        }
    }
}

/// Nothing begins that may cost nothing, nor what may cost more than its whole plan.
fn budgets(plan: &Plan, places: &Places, problems: &mut Problems) {
    const FIELD: &str = "budget_usd";
    let mut refuse = |part, task: Option<&Task>, message: String, hint: &str| {
        let mut problem = Problem::error(ProblemCode::Syntax, message, hint).at(places.field(part, FIELD));
        problem.task = task.map(|task| task.id.clone());
        problems.add(problem);
    };
    let is_nothing = |usd: f64| Money::from_usd(usd) == Money::ZERO;
    let leave = "leave it out where there is no limit, or write what it may cost: 2.5";
    if plan.budget_usd.is_some_and(is_nothing) {
        refuse(
            Part::Plan,
            None,
            "the plan: `budget_usd` is 0, so none of its tasks could begin".to_owned(),
            leave,
        );
    }
    for (position, task) in plan.tasks.iter().enumerate() {
        let Some(usd) = task.budget_usd else { continue };
        let part = Part::Task(position);
        if is_nothing(usd) {
            let message = format!("task {}: `budget_usd` is 0, so it could not begin", task.id);
            refuse(part, Some(task), message, leave);
        } else if let Some(most) = plan.budget_usd.filter(|most| !is_nothing(*most) && usd > *most) {
            let message = format!(
                "task {}: `budget_usd` is {usd}, and the whole plan may cost {most}, so it could not begin",
                task.id
            );
            refuse(part, Some(task), message, "lower the task's or raise the plan's");
        }
    }
}

/// Ids name one task each, on every file system that keeps refs as files.
fn ids(plan: &Plan, places: &Places, dag: &Dag<'_>, problems: &mut Problems) {
    let mut folded: HashMap<String, usize> = HashMap::with_capacity(plan.tasks.len());
    for (position, task) in plan.tasks.iter().enumerate() {
        let id = &task.id;
        let same_but_case = *folded.entry(id.as_str().to_ascii_lowercase()).or_insert(position);
        let first = dag.position(id).filter(|&first| first != position).unwrap_or(same_but_case);
        if first == position {
            continue;
        }
        let other = &plan.tasks[first].id;
        let message = if other == id {
            format!("two tasks have the id {id}")
        } else {
            format!(
                "the ids {other} and {id} differ in case only; they become names in git, which cannot always tell them apart"
            )
        };
        let problem =
            Problem::error(ProblemCode::DuplicateId, message, "give one of the two tasks another id");
        let place = places.field(Part::Task(position), "id");
        problems.add(problem.of(id).at(place).related(places.field(Part::Task(first), "id")));
    }
}

fn dependencies(plan: &Plan, places: &Places, dag: &Dag<'_>, problems: &mut Problems) {
    /// Comparing with all ids takes time; who gets so many wrong did not mistype them.
    const SUGGESTIONS: usize = 50;
    let mut suggestions = 0;
    for (position, task) in plan.tasks.iter().enumerate() {
        for (index, id) in task.depends_on.iter().enumerate().filter(|(_, id)| dag.position(id).is_none()) {
            if problems.is_full() {
                return;
            }
            suggestions += 1;
            let ids = || plan.tasks.iter().map(|task| task.id.as_str());
            let meant = (suggestions <= SUGGESTIONS).then(|| closest(id.as_str(), ids())).flatten();
            let hint = match meant {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("the plan has the tasks {}", listed(ids())),
            };
            let message =
                format!("task {} depends on {}, which the plan does not have", task.id, quoted(id.as_str()));
            let place = places.item(Part::Task(position), "depends_on", index);
            problems
                .add(Problem::error(ProblemCode::UnknownDependency, message, hint).of(&task.id).at(place));
        }
    }
}

fn cycles(plan: &Plan, places: &Places, dag: &Dag<'_>, problems: &mut Problems) {
    for cycle in dag.cycles() {
        let ids = Cycle(cycle.iter().map(|&task| plan.tasks[task].id.clone()).collect());
        // Where each task of the cycle says that it waits for the next.
        let mut steps = cycle.iter().zip(cycle.iter().cycle().skip(1)).map(|(&task, &next)| {
            let next = &plan.tasks[next].id;
            let index = plan.tasks[task].depends_on.iter().position(|id| id == next).unwrap_or(0);
            places.item(Part::Task(task), "depends_on", index)
        });
        let place = steps.next().flatten();
        let (message, hint) = match cycle.as_slice() {
            [_] => {
                (format!("task {} depends on itself: {ids}", ids.0[0]), "remove it from its own `depends_on`")
            }
            _ => (
                format!("tasks wait for each other, each for the next: {ids}"),
                "remove one of these dependencies; what both need can become a task before both",
            ),
        };
        let mut problem = Problem::error(ProblemCode::Cycle, message, hint).at(place);
        problem.task = ids.0.into_iter().next();
        problem.related.extend(steps.flatten());
        problems.add(problem);
    }
}

fn files(plan: &Plan, places: &Places, problems: &mut Problems) {
    for (position, task) in plan.tasks.iter().enumerate() {
        let part = Part::Task(position);
        if task.files.is_empty() && !places.is_misread(part, "files") {
            let problem = Problem::error(
                ProblemCode::NoFiles,
                format!("task {} owns no files, so it could change nothing", task.id),
                "list what it may change: \"files\": [\"src/a.rs\", \"tests/\"]",
            );
            problems.add(problem.of(&task.id).at(places.field(part, "files")));
        }
    }
}

fn shared_files(plan: &Plan, places: &Places, around: &Surroundings, problems: &mut Problems) {
    if around.integrator.is_empty() {
        return;
    }
    let index = overlaps::Index::of(plan);
    let mut found: Vec<_> = around
        .integrator
        .iter()
        .flat_map(|shared| index.related(shared).into_iter().map(move |owner| (owner, shared)))
        .collect();
    sorting::sort_by_key(&mut found, |(owner, _)| *owner);
    for ((position, file), shared) in found {
        let task = &plan.tasks[position];
        let pattern = &task.files[file];
        if !holds(shared, pattern) && !holds(pattern, shared) {
            // Two wildcards meet in names that nobody may ever use: `lib/` is not refused for `**/index.ts`.
            continue;
        }
        let Some(witness) = overlap(pattern, shared) else { continue };
        let message = format!(
            "task {} owns {witness}, which belongs to the integrator ({}) and is regenerated while landing",
            task.id,
            shared.as_str()
        );
        let hint = "remove it from `files`: change what it is generated from, and landing writes it anew";
        let problem = Problem::error(ProblemCode::SharedFile, message, hint);
        let place = places.item(Part::Task(position), "files", file);
        problems.add(problem.of(&task.id).about(witness).at(place));
    }
}

/// Whether `outer` owns what `inner` says by name: all of it, or the path that it is.
fn holds(outer: &Pattern, inner: &Pattern) -> bool {
    outer.is_literal() && inner.key().starts_with(&outer.key())
        || inner.is_literal() && outer.contains(&RepoPath::from(inner.literal_path()))
}

/// Targets, roles and reviewers are known, and may be given work.
fn targets(plan: &Plan, places: &Places, around: &Surroundings, problems: &mut Problems) {
    let Some(targets) = &around.targets else { return };
    let known: HashMap<&str, &KnownTarget> =
        targets.iter().map(|target| (target.name.as_str(), target)).collect();
    let mut check = |part: Part, field: &'static str, name: Option<&String>, task: Option<&TaskId>| {
        let Some(name) = name else { return };
        let is_role = field == "role";
        // What the program chooses, and no such gate.
        if matches!((field, name.as_str()), ("target", "auto") | ("rules.review", "none")) {
            return;
        }
        let fits = |target: &KnownTarget| !is_role || target.kind == TargetKind::Role;
        let whose = task.map_or_else(|| "the plan".to_owned(), |id| format!("task {id}"));
        let mut problem = match known.get(name.as_str()).filter(|target| fits(target)) {
            Some(target) if target.protected => Problem::error(
                ProblemCode::ProtectedWorker,
                match target.kind {
                    TargetKind::Worker => {
                        format!("{whose} is given to {name}, which is protected and never gets a task")
                    }
                    _ => format!(
                        "{whose} is given to {name}, whose workers are all protected and never get a task"
                    ),
                },
                "choose another target, or leave it out: `auto` never chooses a protected worker",
            ),
            Some(_) => return,
            None => {
                let what = if is_role { "role" } else { "provider, worker, group or role" };
                let candidates = || {
                    let fitting = targets.iter().filter(|target| fits(target) && !target.protected);
                    fitting
                        .map(|target| target.name.as_str())
                        .chain((field == "target").then_some("auto"))
                        .chain((field == "rules.review").then_some("none"))
                };
                let hint = match closest(name, candidates()) {
                    Some(meant) => format!("did you mean {meant}? Known are {}", listed(candidates())),
                    None => format!("known are {}; kapell.toml can name more", listed(candidates())),
                };
                let message = format!("{whose}: `{field}` is {}, and no {what} is called so", quoted(name));
                Problem::error(ProblemCode::UnknownAgent, message, hint)
            }
        };
        problem.task = task.cloned();
        problems.add(problem.at(places.field(part, field)));
    };
    check(Part::Plan, "rules.review", plan.rules.review.as_ref(), None);
    for (position, task) in plan.tasks.iter().enumerate() {
        let part = Part::Task(position);
        check(part, "target", task.target.as_ref(), Some(&task.id));
        check(part, "role", task.role.as_ref(), Some(&task.id));
        check(part, "rules.review", task.rules.review.as_ref(), Some(&task.id));
    }
}

/// What the rules want to see before the code is there to be seen: specs and tests.
fn proofs(plan: &Plan, places: &Places, around: &Surroundings, problems: &mut Problems) {
    let spec_first =
        |task: &Task| task.rules.spec_first.or(plan.rules.spec_first).unwrap_or(around.spec_first);
    let wants_specs = plan.tasks.iter().any(spec_first);
    if wants_specs && plan.specs.is_empty() && !places.is_misread(Part::Plan, "specs") {
        let problem = Problem::warning(
            ProblemCode::NoSpecs,
            "specs come first by the rules, but the plan names none",
            "add \"specs\": [{\"file\": \"specs/….md\", \"description\": \"…\"}], or set rules.spec_first to false",
        );
        problems.add(problem.at(places.field(Part::Plan, "specs")));
    }
    let spec_files = specs::spec_files(plan);
    for (position, task) in plan.tasks.iter().enumerate() {
        let tdd = task.rules.tdd.or(plan.rules.tdd).unwrap_or(around.tdd);
        if tdd && specs::is_code(task, &spec_files) && !has_tests(task) {
            let problem = Problem::warning(
                ProblemCode::NoTests,
                format!("task {} is to be proved by tests, but nothing it owns looks like one", task.id),
                "add its tests to `files`, name them in `tests`, or set the task's rules.tdd to false",
            );
            problems.add(problem.of(&task.id).at(places.field(Part::Task(position), "files")));
        }
    }
}

fn has_tests(task: &Task) -> bool {
    task.tests.as_ref().is_some_and(|tests| !tests.is_empty())
        || task.files.iter().any(|pattern| looks_like_test(pattern.as_str()))
}

/// Whether a path or pattern is called as tests are by the custom of some language.
fn looks_like_test(pattern: &str) -> bool {
    const FOLDERS: [&str; 4] = ["test", "tests", "spec", "__tests__"];
    if pattern.split('/').any(|segment| FOLDERS.contains(&segment)) {
        return true;
    }
    let name = pattern.rsplit('/').next().unwrap_or(pattern);
    let (stem, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
    stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem.ends_with("_spec")
        || stem.ends_with(".test")
        || stem.ends_with(".spec")
        || suffix == "java" && (stem.ends_with("Test") || stem.ends_with("Tests"))
}

/// The names in a row, and how many more there are; `none` if there are none.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
