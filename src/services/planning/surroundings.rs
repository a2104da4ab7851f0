//! Whether a plan fits the project around it: its configuration, its tree, the machine's programs.

use crate::base::sorting::Gather as _;
use std::collections::BTreeSet;
use std::path::Path;

use crate::base::ids::WorkerName;
use crate::base::paths::RepoPath;
use crate::domain::pattern::Pattern;
use crate::domain::plan::check::{KnownTarget, OnOverlap, Surroundings, TargetKind, Walls};
use crate::domain::plan::document;
use crate::domain::plan::problem::{Part, Places, Problem, ProblemCode};
use crate::domain::plan::{Plan, Spec, Task};
use crate::services::landing::full_name;
use crate::services::project::Project;
use crate::services::{Error, House, claiming, ground, pipelines};
use crate::sys::config::Config;
use crate::sys::config::resolved::{self, Isolation, Provider, Worker};
use crate::sys::git::{Worktree, checkout, read, refs};
use crate::sys::process::find::find_program;

/// What is known around a plan.
pub fn of(
    config: &Config,
    plan: &Plan,
    existing_specs: BTreeSet<String>,
    on_overlap: OnOverlap,
) -> Surroundings {
    let mut targets: Vec<KnownTarget> = config
        .targets()
        .into_iter()
        .map(|target| KnownTarget {
            name: target.name,
            kind: match target.kind {
                resolved::TargetKind::Worker => TargetKind::Worker,
                resolved::TargetKind::Group => TargetKind::Group,
                resolved::TargetKind::Provider => TargetKind::Provider,
            },
            protected: target.protected,
        })
        .collect();
    for role in ["planner", "judge", "oracle", "librarian"] {
        if let Some(player) = config.roles.get(role) {
            let protected = targets.iter().any(|target| target.name == player && target.protected);
            targets.push(KnownTarget { name: role.to_owned(), kind: TargetKind::Role, protected });
        }
    }
    // Standing sessions are known by the pattern of their group.
    let named = plan.tasks.iter().filter_map(|task| task.target.as_deref());
    for (name, placement) in named.filter_map(|name| Some((name, config.place(name)?))) {
        if !targets.iter().any(|target| target.name == name) {
            let protected = placement.protected;
            targets.push(KnownTarget { name: name.to_owned(), kind: TargetKind::Worker, protected });
        }
    }
    Surroundings {
        targets: Some(targets),
        integrator: config.integrator.iter().flat_map(|integrator| integrator.files.clone()).collect(),
        spec_first: config.rules.spec_first.unwrap_or(true),
        tdd: config.rules.tdd.unwrap_or(true),
        existing_specs,
        on_overlap,
        walls: match (config.wall, config.isolation) {
            (resolved::Wall::Strict, Isolation::Shared) => Walls::StrictInSharedFolder,
            (resolved::Wall::Strict, Isolation::Worktree) => Walls::Strict,
            _ => Walls::Any,
        },
    }
}

/// What is known around a plan whose configuration cannot be used: only what the plan says itself is asked of it.
pub fn unknown(existing_specs: BTreeSet<String>, on_overlap: OnOverlap) -> Surroundings {
    Surroundings {
        targets: None,
        integrator: Vec::new(),
        spec_first: false,
        tdd: false,
        existing_specs,
        on_overlap,
        walls: Walls::Any,
    }
}

/// The program of a provider, where it is not on the PATH that it would be looked for on.
pub fn absent_program<'p>(house: &House, provider: &'p Provider) -> Option<&'p str> {
    let path = provider.set_env.get("PATH").or_else(|| house.environment.get("PATH"));
    let program = provider.command.0.first()?;
    // A path within the tree is found there.
    let is_anywhere = !program.contains('/') || program.starts_with('/');
    (is_anywhere && find_program(program, path.map_or("", String::as_str)).is_none()).then_some(program)
}

/// That a program is lacking, in words.
pub fn not_there(program: &str) -> String {
    match program.contains('/') {
        true => format!("there is no program `{program}`"),
        false => format!("`{program}` is not on the PATH"),
    }
}

/// The programs of all who may do what is given to `target`, where none of them is on the PATH.
pub fn absent_programs(house: &House, config: &Config, target: &str) -> Option<Vec<String>> {
    let absent = |name: &str| {
        let (_, provider) = config.providers.iter().find(|(known, _)| known.as_str() == name)?;
        absent_program(house, provider).map(|program| format!("{name}: {}", not_there(program)))
    };
    let of_worker = |worker: &Worker| worker.provider.to_string();
    let worker = config.workers.iter().find(|(name, _)| name.as_str() == target).map(|(_, it)| of_worker(it));
    let group = config.groups.get(target).map(|group| group.members.iter());
    let members = group.into_iter().flatten().filter_map(|name| config.workers.get(name)).map(of_worker);
    let providers: BTreeSet<String> = match worker {
        Some(provider) => [provider].into_iter().gather(),
        None if config.groups.contains_key(target) => members.gather(),
        None => [target.to_owned()].into_iter().gather(),
    };
    let absent: Vec<String> = providers.iter().filter_map(|name| absent(name)).collect();
    (!providers.is_empty() && absent.len() == providers.len()).then_some(absent)
}

/// Whose program is not on the PATH: found out now, it costs no try.
pub fn missing_programs(house: &House, config: &Config, plan: &Plan, places: &Places) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut told = BTreeSet::new();
    for (position, task) in plan.tasks.iter().enumerate() {
        // Who names nobody may dispatch elsewhere, or later.
        let Some(target) = task.target.as_deref().filter(|target| *target != "auto") else { continue };
        let Some(absent) = absent_programs(house, config, target) else { continue };
        if !told.insert(target) {
            continue;
        }
        let problem = Problem::warning(
            ProblemCode::UnknownAgent,
            format!("task {}: nobody can do it here ({})", task.id, absent.join(", ")),
            "install it, give its path in kapell.toml (providers.NAME.command), or choose another agent; kapell doctor tells what there is",
        );
        problems.push(problem.of(&task.id).at(places.field(Part::Task(position), "target")));
    }
    problems
}

/// The base is a commit.
pub fn missing_base(
    house: &House,
    project: &Project,
    plan: &Plan,
    places: &Places,
) -> Result<Option<Problem>, Error> {
    let Some(base) = plan.base.as_deref().filter(|_| project.repository.is_some()) else { return Ok(None) };
    if read::named(&ground::git(house, project)?, base)?.is_some() {
        return Ok(None);
    }
    let message = format!("`base` is {base:?}, which names no commit");
    let problem =
        Problem::error(ProblemCode::Syntax, message, "name a branch, tag or commit, or leave it out");
    Ok(Some(problem.at(places.field(Part::Plan, "base"))))
}

/// What a plan names and is not there yet: a target that is no branch, and environments.
pub fn misled(house: &House, project: &Project, plan: &Plan, places: &Places) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    if let Some(target) = plan.target.as_deref().filter(|_| project.repository.is_some()) {
        let git = ground::git(house, project)?;
        let has_commit = read::resolve(&git, "HEAD")?.is_some();
        if has_commit && refs::read(&git, &full_name(target))?.is_none() {
            let message = format!("there is no branch {target} yet: landing makes it");
            let hint = "git branch lists the branches; leave `target` out for the one that is checked out";
            let problem = Problem::warning(ProblemCode::Syntax, message, hint);
            problems.push(problem.at(places.field(Part::Plan, "target")));
        }
    }
    problems.extend(without_environment(house, project, plan, places)?);
    Ok(problems)
}

/// Tasks whose environment nobody has made yet: they fail if that is still so when they are to begin.
fn without_environment(
    house: &House,
    project: &Project,
    plan: &Plan,
    places: &Places,
) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    if plan.tasks.iter().all(|task| task.environment.is_none()) {
        return Ok(problems);
    }
    let rows = house.store()?.read(|tx| tx.environments(&project.id))?;
    for (position, task) in plan.tasks.iter().enumerate() {
        let Some(name) = &task.environment else { continue };
        if rows.iter().any(|row| row.name.eq_ignore_ascii_case(name)) {
            continue;
        }
        let message = format!("task {}: there is no environment {name} yet", task.id);
        let hint = format!("kapell env create {name} makes it; the task fails if it is to begin before that");
        let problem = Problem::warning(ProblemCode::Syntax, message, hint);
        problems.push(problem.of(&task.id).at(places.field(Part::Task(position), "environment")));
    }
    Ok(problems)
}

/// Tasks for one environment whose target works in another. Whoever takes over for it may get them all the same.
pub fn bound_elsewhere(config: &Config, plan: &Plan, places: &Places) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (position, task) in plan.tasks.iter().enumerate() {
        let (Some(needed), Some(target)) = (&task.environment, &task.target) else { continue };
        let is_meant = |(name, worker): &(&WorkerName, &Worker)| {
            name.as_str() == target || worker.groups.contains(target.as_str())
        };
        let mut own = Vec::new();
        for (name, worker) in config.workers.iter().filter(is_meant) {
            match &worker.environment {
                Some(environment) if !environment.eq_ignore_ascii_case(needed) => {
                    own.push(format!("{name} works in {environment}"));
                }
                // This one can do it.
                _ => {
                    own.clear();
                    break;
                }
            }
        }
        if own.is_empty() {
            continue;
        }
        let message = format!("task {}: {}, and the task is for {needed}", task.id, own.join(", "));
        let hint = "name a worker that works there or is bound to none, or leave out one of the two; as it is, only \
                    who takes over for the target could do it";
        let problem = Problem::warning(ProblemCode::Syntax, message, hint);
        problems.push(problem.of(&task.id).at(places.field(Part::Task(position), "environment")));
    }
    problems
}

/// What git is asked about a pattern: the file, or the folder in which all that it owns lies.
fn place_of(pattern: &Pattern) -> RepoPath {
    let path = pattern.literal_path();
    RepoPath::from(if pattern.is_bare() { path.to_owned() } else { format!("{path}/") }.as_str())
}

/// Files and folders of tasks that git ignores: what is written there cannot land.
pub fn ignored(
    house: &House,
    project: &Project,
    plan: &Plan,
    places: &Places,
) -> Result<Vec<Problem>, Error> {
    let named = || {
        plan.tasks.iter().enumerate().flat_map(|(position, task)| {
            let placed =
                task.files.iter().enumerate().filter(|(_, pattern)| !pattern.literal_path().is_empty());
            placed.map(move |(index, pattern)| (position, task, index, pattern))
        })
    };
    let (Some(repository), Some(_)) = (&project.repository, &project.top) else { return Ok(Vec::new()) };
    let paths: Vec<RepoPath> = named().map(|(.., pattern)| place_of(pattern)).collect();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let tree = Worktree::of_checkout(repository).map_err(Error::from_git)?;
    let ignored = checkout::ignored(&ground::git(house, project)?, &tree, &paths)?;
    let problem = |(position, task, index, pattern): (usize, &Task, usize, &Pattern)| {
        let message = format!("task {}: git ignores {}, so nothing of it lands", task.id, pattern.as_str());
        let hint = "take it out of .gitignore, or leave it to whoever runs the program";
        let problem = Problem::warning(ProblemCode::BadPath, message, hint).of(&task.id);
        problem.about(pattern.as_str()).at(places.item(Part::Task(position), "files", index))
    };
    let is_ignored = |pattern: &Pattern| ignored.contains(&place_of(pattern));
    Ok(named().filter(|(.., pattern)| is_ignored(pattern)).map(problem).collect())
}

/// The pipeline is there, and the plan's tasks have a place in it.
pub fn outside_of_pipeline(config: &Config, plan: &Plan, place: Option<document::Place>) -> Option<Problem> {
    let name = plan.pipeline.as_deref()?;
    let (what, hint) = match config.pipelines.get(name) {
        Some(pipeline) => {
            let hint = "run that pipeline for a request, or give it a first stage with a task";
            (pipelines::unfit(pipeline, name)?, hint.to_owned())
        }
        None => {
            let known: Vec<&str> = config.pipelines.keys().map(String::as_str).collect();
            let hint = match known.is_empty() {
                true => "define it in kapell.toml: [pipelines.NAME]".to_owned(),
                false => format!("the configuration has {}", known.join(", ")),
            };
            (format!("the plan names the pipeline {name}, which is none"), hint)
        }
    };
    Some(Problem::error(ProblemCode::UnknownPipeline, what, hint).at(place))
}

/// Specs that cannot be files, since folders are in their place.
pub fn folders_for_specs(top: &Path, plan: &Plan, places: &Places) -> Vec<Problem> {
    let specs = plan.specs.iter().enumerate();
    let folders = specs.filter(|(_, spec)| top.join(&spec.file).is_dir());
    let problem = |(position, spec): (usize, &Spec)| {
        let message = format!("the spec {} is a folder, and its task would own all in it", spec.file);
        let hint = format!("name a file, such as {}/spec.md", spec.file.trim_end_matches('/'));
        let problem = Problem::error(ProblemCode::BadPath, message, hint).about(spec.file.as_str());
        problem.at(places.field(Part::Spec(position), "file"))
    };
    folders.map(problem).collect()
}

/// Patterns that pass through a symbolic link or into another repository.
pub fn detours(top: &Path, plan: &Plan, places: &Places) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (position, task) in plan.tasks.iter().enumerate() {
        for (index, pattern) in task.files.iter().enumerate() {
            if let Err(refusal) = claiming::refuse_detours(top, pattern) {
                problems.push(
                    Problem::error(ProblemCode::BadPath, refusal.message, refusal.hint)
                        .of(&task.id)
                        .about(pattern.as_str())
                        .at(places.item(Part::Task(position), "files", index)),
                );
            }
        }
    }
    problems
}
