//! What would keep a plan's work from being proved, told before it costs anything.

use std::collections::BTreeSet;

use crate::base::paths::RepoPath;
use crate::domain::overlap::overlap;
use crate::domain::own_tests::is_code_path;
use crate::domain::pattern::Pattern;
use crate::domain::plan::problem::{Part, Places, Problem, ProblemCode};
use crate::domain::plan::{CommandLine, Plan, Task};
use crate::services::conductor::desk::effective_rules;
use crate::services::project::Project;
use crate::services::{Error, House, ground};
use crate::sys::config::{Config, Ecosystem, ecosystem};
use crate::sys::git::read;
use crate::sys::process::find::find_program;

/// The program of a command that runs in the project, where it is not there.
pub fn missing_program<'c>(house: &House, command: &'c CommandLine) -> Option<&'c str> {
    let program = command.0.first()?;
    let path = house.environment.get("PATH").map_or("", String::as_str);
    // A script of the project's own may be what the plan is to write.
    let is_own = program.contains('/') && !program.starts_with('/');
    (!is_own && find_program(program, path).is_none()).then_some(program)
}

/// Tasks of code whose tests cannot be run here: of these none would be approved.
pub fn unrunnable_tests(
    house: &House,
    project: &Project,
    config: &Config,
    plan: &Plan,
    places: &Places,
) -> Result<Vec<Problem>, Error> {
    let top = project.top()?;
    let found = ecosystem::find(top);
    let mut told = BTreeSet::new();
    let mut problems = Vec::new();
    for (position, task) in plan.tasks.iter().enumerate() {
        let rules = effective_rules(&[&task.rules, &plan.rules, &config.rules], &found);
        let Some(command) = rules.test.filter(|_| may_be_code(task, &found)) else { continue };
        let Some(program) = missing_program(house, &command) else { continue };
        let shown = shell_words::join(&command.0);
        if !told.insert(shown.clone()) {
            continue;
        }
        let problem = Problem::warning(
            ProblemCode::NoTests,
            format!(
                "task {} is proved by `{shown}`, and there is no program {program} here: its work could not be judged",
                task.id
            ),
            "install it, give its folder in PATH, or set rules.test in kapell.toml",
        );
        problems.push(problem.of(&task.id).at(places.field(Part::Task(position), "files")));
    }
    Ok(problems)
}

/// Whether a task may change code: it names a folder or a wildcard, or a file that is code by its name.
fn may_be_code(task: &Task, found: &Ecosystem) -> bool {
    let is_prose = |pattern: &Pattern| {
        let path = pattern.literal_path();
        pattern.is_literal()
            && !pattern.is_folder()
            && has_end(path)
            && !is_code_path(path)
            && found.evidence.as_deref() != Some(path)
    };
    !task.files.iter().all(is_prose)
}

/// Whether a path is called as files are, with an end to its name.
fn has_end(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.trim_start_matches('.').contains('.'))
}

/// Specs that only the working copy has: whoever starts from the plan's base does not see them, so that the code
/// would be refused, whatever it is.
pub fn uncommitted_specs(
    house: &House,
    project: &Project,
    config: &Config,
    plan: &Plan,
    existing: &[(String, bool)],
    places: &Places,
) -> Result<Vec<Problem>, Error> {
    let by_plan = plan.rules.spec_first.or(config.rules.spec_first).unwrap_or(true);
    let are_wanted = plan.tasks.iter().any(|task| task.rules.spec_first.unwrap_or(by_plan));
    let is_asked = are_wanted && existing.iter().any(|(_, exists)| *exists);
    if !is_asked || project.repository.is_none() {
        return Ok(Vec::new());
    }
    let git = ground::git(house, project)?;
    let base = plan.base.as_deref().unwrap_or("HEAD");
    // That there is no commit is told elsewhere.
    let Some(commit) = read::named(&git, base)? else { return Ok(Vec::new()) };
    let mut problems = Vec::new();
    for (position, (file, _)) in existing.iter().enumerate().filter(|(_, (_, exists))| *exists) {
        let content = read::show_file(&git, &commit, &RepoPath::from(file.as_str()))?;
        if content.is_some_and(|content| !content.iter().all(u8::is_ascii_whitespace)) {
            continue;
        }
        let problem = Problem::error(
            ProblemCode::NoSpecs,
            format!(
                "the spec {file} is in the working copy, but not in the commit that the work starts from ({base})"
            ),
            format!("git add {file} && git commit, and plan again; or set rules.spec_first to false"),
        );
        problems.push(problem.about(file.as_str()).at(places.field(Part::Spec(position), "file")));
    }
    Ok(problems)
}

/// The files that pass through a filter of a person's git (LFS, for one), and which: the patterns of the attributes
/// at the top. Workers see what the repository holds of them, and land what they write as it is.
pub fn filters(project: &Project) -> Vec<(String, String)> {
    let Some(top) = &project.top else { return Vec::new() };
    let own = project.repository.as_ref().map(|repository| repository.common_dir.join("info/attributes"));
    let mut found = Vec::new();
    for file in std::iter::once(top.join(".gitattributes")).chain(own) {
        let text = crate::sys::text::read(&file).unwrap_or_default();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let mut words = line.split_whitespace();
            let Some(pattern) = words.next() else { continue };
            if let Some(filter) = words.find_map(|word| word.strip_prefix("filter=")) {
                found.push((pattern.to_owned(), filter.to_owned()));
            }
        }
    }
    found
}

/// Tasks that own files which pass through a filter.
pub fn filtered(project: &Project, plan: &Plan, places: &Places) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (names, filter) in filters(project) {
        let anywhere = match names.trim_end_matches('/').contains('/') {
            true => names.trim_start_matches('/').to_owned(),
            false => format!("**/{names}"),
        };
        let Ok(pattern) = Pattern::parse(&anywhere) else { continue };
        let owner = plan.tasks.iter().enumerate().find_map(|(position, task)| {
            // A name with an end is a file's, below which nothing lies.
            let is_file =
                |file: &Pattern| file.is_literal() && !file.is_folder() && has_end(file.literal_path());
            let meets = |file: &Pattern| match is_file(file) {
                true => pattern.contains(&RepoPath::from(file.literal_path())),
                false => overlap(file, &pattern).is_some(),
            };
            let index = task.files.iter().position(meets)?;
            Some((position, task, index))
        });
        let Some((position, task, index)) = owner else { continue };
        let problem = Problem::warning(
            ProblemCode::BadPath,
            format!(
                "task {}: {names} passes through the filter {filter} in your checkout, and not where workers are: they see what the repository holds of it, and what they write lands unfiltered",
                task.id
            ),
            "leave such files to a person, or narrow the task's files",
        );
        let place = places.item(Part::Task(position), "files", index);
        problems.push(problem.of(&task.id).about(task.files[index].as_str()).at(place));
    }
    problems
}
