//! From a document to a plan: every field, every mistake.

mod fields;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use crate::base::ids::TaskId;
use crate::domain::pattern::Pattern;
use crate::domain::plan::document::{Node, Value};
use crate::domain::plan::problem::{Part, Places, Problem, ProblemCode, quoted};
use crate::domain::plan::{Complexity, Plan, Priority, Rules, Spec, Task};
use crate::domain::spelling::is_branch_name;
pub use fields::Patterns;
use fields::{Fields, Notes};

/// The most tasks of one plan. The order of all pairs of them is then known in 50 MB.
pub const MAX_TASKS: usize = 20_000;

/// The most specs of one plan: every task may wait for every one of them.
pub const MAX_SPECS: usize = 200;

/// The longest time that can be set, in seconds: 366 days.
const MAX_SECONDS: u32 = 366 * 24 * 3600;

const PLAN: &[&str] = &["name", "base", "target", "specs", "tasks", "rules", "pipeline", "budget_usd"];
const SPEC: &[&str] = &["file", "description"];
const TASK: &[&str] = &[
    "id",
    "agent",
    "target",
    "task",
    "files",
    "depends_on",
    "role",
    "priority",
    "tests",
    "reads",
    "timeout_s",
    "budget_usd",
    "rules",
    "environment",
    "complexity",
];
const RULES: &[&str] = &[
    "rules.spec_first",
    "rules.tdd",
    "rules.lint",
    "rules.test",
    "rules.build",
    "rules.custom",
    "rules.max_attempts",
    "rules.review",
    "rules.timeout_s",
    "rules.stuck_after_s",
];

/// What a document says.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The plan, as far as it could be understood; `None` if there is none. With an
    /// error among the problems it serves for further checks only: tasks without
    /// a usable id and patterns that cannot be owned are not in it.
    pub plan: Option<Plan>,
    /// Where the parts of the plan stand.
    pub places: Places,
    /// Everything that is wrong with the document, in its order.
    pub problems: Vec<Problem>,
}

/// Reads a plan out of a document.
pub fn read_plan(document: &Node) -> Reading {
    read_plan_again(document, &mut Patterns::default())
}

/// The same, with the patterns at hand that the document had when it was read the last time.
pub fn read_plan_again(document: &Node, patterns: &mut Patterns) -> Reading {
    let mut notes = Notes { patterns: std::mem::take(patterns), ..Notes::default() };
    notes.patterns.turn();
    let plan = plan(document, &mut notes);
    *patterns = notes.patterns;
    Reading { plan, places: notes.places, problems: notes.problems.into_sorted() }
}

/// Whether `text` can be the id of a task: it becomes a part of git refs and of file names.
///
/// # Errors
/// The rule that it breaks, to stand after "the id …".
pub fn check_id(text: &str) -> Result<(), &'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() {
        Err("is empty")
    } else if text.len() > 64 {
        Err("is longer than 64 characters")
    } else if !text.chars().all(is_allowed) {
        Err("has characters other than letters, digits, dot, underscore and dash")
    } else if text.starts_with(['.', '-']) {
        Err("starts with a dot or a dash")
    } else if text.ends_with('.') || text.contains("..") {
        Err("ends with a dot or has two dots in a row")
    } else if text.to_ascii_lowercase().ends_with(".lock") {
        Err("ends with .lock")
    } else {
        Ok(())
    }
}

fn plan(document: &Node, notes: &mut Notes) -> Option<Plan> {
    notes.places.set_part(Part::Plan, document.place);
    let Value::Map(entries) = &document.value else {
        let hint = match document.value {
            Value::List(_) => "put the list under the key `tasks`: {\"tasks\": […]}",
            _ => "write {\"tasks\": [{\"id\": 1, \"task\": \"…\", \"files\": [\"…\"]}]}",
        };
        let message =
            format!("a plan must be a map with the key `tasks`, but this is {}", document.describe());
        notes.problems.add(Problem::error(ProblemCode::Syntax, message, hint).at(document.place));
        return None;
    };
    let fields =
        Fields { entries, place: document.place, part: Part::Plan, name: "the plan".to_owned(), task: None };
    let plan = Plan {
        name: label(&fields, "name", notes),
        base: git_ref(&fields, "base", notes),
        target: git_ref(&fields, "target", notes),
        specs: specs(&fields, notes),
        tasks: tasks(&fields, notes),
        rules: rules(&fields, notes),
        pipeline: label(&fields, "pipeline", notes),
        budget_usd: fields.amount("budget_usd", notes),
    };
    fields.warn_of_unknown(PLAN, notes);
    (!notes.places.is_misread(Part::Plan, "tasks")).then_some(plan)
}

/// The map that `node` is, an item of the list `list` of the plan.
fn item<'a>(
    plan: &Fields<'_>,
    list: &'static str,
    index: usize,
    part: Part,
    node: &'a Node,
    notes: &mut Notes,
) -> Option<Fields<'a>> {
    let name = format!("{list}[{index}]");
    if let Value::Map(entries) = &node.value {
        notes.places.set_part(part, node.place);
        return Some(Fields { entries, place: node.place, part, name, task: None });
    }
    let message = format!("{}: `{name}` must be a map, but is {}", plan.name, node.describe());
    let hint = match list {
        "specs" => "write {\"file\": \"specs/api.md\", \"description\": \"…\"}",
        _ => "write {\"id\": 1, \"task\": \"…\", \"files\": [\"…\"]}",
    };
    notes.problems.add(Problem::error(ProblemCode::Syntax, message, hint).at(node.place));
    None
}

fn specs(plan: &Fields<'_>, notes: &mut Notes) -> Vec<Spec> {
    let mut specs = Vec::new();
    let nodes = plan.items("specs", "{\"file\": \"specs/api.md\"}", notes);
    if nodes.len() > MAX_SPECS {
        let what = format!("has {} specs, and a plan has at most {MAX_SPECS}", nodes.len());
        let place = notes.places.field(Part::Plan, "specs");
        plan.refuse("specs", place, &what, "put several into one file", notes);
        return specs;
    }
    for (index, node) in nodes.iter().enumerate() {
        let part = Part::Spec(specs.len());
        let Some(fields) = item(plan, "specs", index, part, node, notes) else { continue };
        let spec = spec(&fields, notes);
        fields.warn_of_unknown(SPEC, notes);
        match spec {
            Some(spec) => specs.push(spec),
            None => notes.places.forget(part),
        }
    }
    if !nodes.is_empty() && specs.is_empty() {
        notes.places.set_misread(Part::Plan, "specs");
    }
    specs
}

fn spec(fields: &Fields<'_>, notes: &mut Notes) -> Option<Spec> {
    let description = fields.text("description", notes).unwrap_or_default().to_owned();
    let Some(node) = fields.get("file", notes) else {
        fields.missing("file", "name the file of the spec: \"specs/api.md\"", notes);
        return None;
    };
    let file = fields.text("file", notes)?;
    match Pattern::parse(file) {
        // Of a quoted wildcard the path differs from the text; a spec is known by both.
        Ok(pattern) if pattern.is_literal() && pattern.literal_path() == pattern.as_str() => {
            Some(Spec { file: pattern.as_str().to_owned(), description })
        }
        Ok(_) => {
            let reason = format!("{} is not one file", quoted(file));
            fields.bad_path("file", node, file, &reason, "name one file, without wildcards", notes);
            None
        }
        Err(bad) => {
            fields.bad_path("file", node, file, &bad.reason, bad.hint, notes);
            None
        }
    }
}

fn tasks(plan: &Fields<'_>, notes: &mut Notes) -> Vec<Task> {
    let Some(node) = plan.get("tasks", notes) else {
        plan.missing("tasks", "write \"tasks\": [{\"id\": 1, \"task\": \"…\", \"files\": [\"…\"]}]", notes);
        return Vec::new();
    };
    let nodes = plan.items("tasks", "{\"id\": 1, …}", notes);
    if nodes.len() > MAX_TASKS {
        let what = format!("has {} tasks, and a plan has at most {MAX_TASKS}", nodes.len());
        plan.refuse("tasks", node.place, &what, "split it into several plans", notes);
        return Vec::new();
    }
    let mut tasks = Vec::with_capacity(nodes.len());
    // What tasks that are left out were called: who depends on them is not to blame.
    let mut refused = HashSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let part = Part::Task(tasks.len());
        let Some(mut fields) = item(plan, "tasks", index, part, node, notes) else { continue };
        let id = id(&mut fields, &mut refused, notes);
        let task = task(&fields, id, notes);
        fields.warn_of_unknown(TASK, notes);
        match task {
            Some(task) => tasks.push(task),
            None => notes.places.forget(part),
        }
    }
    if !nodes.is_empty() && tasks.is_empty() {
        // Every one is a problem already.
        notes.places.set_misread(Part::Plan, "tasks");
    }
    if !refused.is_empty() {
        for (at, task) in tasks.iter_mut().enumerate() {
            while let Some(index) = task.depends_on.iter().position(|id| refused.contains(id.as_str())) {
                notes.places.drop_item(Part::Task(at), "depends_on", index, task.depends_on.len());
                task.depends_on.remove(index);
            }
        }
    }
    tasks
}

/// The id of a task, from which on the task is called by it.
fn id(fields: &mut Fields<'_>, refused: &mut HashSet<String>, notes: &mut Notes) -> Option<TaskId> {
    const HINT: &str = "give it a number or a short name: \"id\": 1 or \"id\": \"auth-api\"";
    let Some(node) = fields.get("id", notes) else {
        fields.missing("id", HINT, notes);
        return None;
    };
    let Some(id) = id_in(node) else {
        fields.mismatch(
            "id",
            node,
            "a whole number or a text",
            "put quotes around it, or choose a whole number",
            notes,
        );
        return None;
    };
    if let Err(rule) = check_id(id.as_str()) {
        let what = format!("{} {rule}", quoted(id.as_str()));
        fields.refuse("id", node.place, &what, HINT, notes);
        refused.insert(id.as_str().to_owned());
        return None;
    }
    fields.name = format!("task {id}");
    fields.task = Some(id.clone());
    Some(id)
}

fn id_in(node: &Node) -> Option<TaskId> {
    match &node.value {
        Value::Int(number) => Some(TaskId::number(*number)),
        Value::Text(text) => Some(TaskId::text(text)),
        _ => None,
    }
}

/// The task, if it has an id; its fields are read in any case, for their mistakes.
fn task(fields: &Fields<'_>, id: Option<TaskId>, notes: &mut Notes) -> Option<Task> {
    let text = fields.text("task", notes).unwrap_or_default().to_owned();
    if text.is_empty() && !notes.places.is_misread(fields.part, "task") {
        fields.missing("task", "say what is to be done: \"task\": \"Implement …\"", notes);
    }
    let files = fields.patterns("files", notes);
    let depends_on = depends_on(fields, notes);
    let target = target(fields, notes);
    let role = label(fields, "role", notes);
    let priority = priority(fields, notes);
    let tests = fields.patterns("tests", notes);
    let has_tests = fields.get("tests", notes).is_some();
    let task = Task {
        id: id?,
        text,
        files,
        depends_on,
        target,
        role,
        priority,
        tests: has_tests.then_some(tests),
        reads: fields.patterns("reads", notes),
        timeout_s: fields.count("timeout_s", 1..=MAX_SECONDS, notes).map(u64::from),
        budget_usd: fields.amount("budget_usd", notes),
        rules: rules(fields, notes),
        environment: label(fields, "environment", notes),
        complexity: complexity(fields, notes).unwrap_or_default(),
    };
    Some(task)
}

fn depends_on(fields: &Fields<'_>, notes: &mut Notes) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for node in fields.items("depends_on", "1", notes) {
        if let Some(id) = id_in(node) {
            notes.places.set_item(fields.part, "depends_on", ids.len(), node.place);
            ids.push(id);
        } else {
            fields.mismatch("depends_on", node, "a list of ids", "an id is a whole number or a text", notes);
        }
    }
    ids
}

/// `target` and `agent` are two words for one thing.
fn target(fields: &Fields<'_>, notes: &mut Notes) -> Option<String> {
    let agent = label(fields, "agent", notes);
    let target = label(fields, "target", notes);
    match (agent, target) {
        (Some(agent), Some(target)) if agent != target => {
            let what = format!(
                "is {}, but `agent`, which is the same thing, is {}",
                quoted(&target),
                quoted(&agent)
            );
            let place = notes.places.field(fields.part, "target");
            fields.refuse("target", place, &what, "keep one of the two", notes);
            None
        }
        (Some(agent), None) => {
            // Checks look for it under one name.
            let place = notes.places.field(fields.part, "agent");
            notes.places.set_field(fields.part, "target", place);
            Some(agent)
        }
        (_, target) => target,
    }
}

fn priority(fields: &Fields<'_>, notes: &mut Notes) -> Option<Priority> {
    let node = fields.get("priority", notes)?;
    let priority = match &node.value {
        Value::Int(number) => u8::try_from(*number).ok().filter(|number| *number <= 10),
        Value::Text(text) => match text.as_str() {
            "high" => Some(9),
            "medium" => Some(5),
            "low" => Some(2),
            _ => None,
        },
        _ => None,
    };
    if priority.is_none() {
        let expected = "a whole number from 0 to 10, or high, medium or low";
        fields.mismatch("priority", node, expected, "10 goes first; high is 9, medium 5, low 2", notes);
    }
    priority.map(Priority)
}

fn complexity(fields: &Fields<'_>, notes: &mut Notes) -> Option<Complexity> {
    let node = fields.get("complexity", notes)?;
    match &node.value {
        Value::Text(text) if text == "simple" => Some(Complexity::Simple),
        Value::Text(text) if text == "normal" => Some(Complexity::Normal),
        Value::Text(text) if text == "complex" => Some(Complexity::Complex),
        _ => {
            let hint = "weak models do not get complex tasks";
            fields.mismatch("complexity", node, "simple, normal or complex", hint, notes);
            None
        }
    }
}

fn rules(owner: &Fields<'_>, notes: &mut Notes) -> Rules {
    let Some(node) = owner.get("rules", notes) else { return Rules::default() };
    let Value::Map(entries) = &node.value else {
        owner.mismatch("rules", node, "a map", "write {\"tdd\": true, \"test\": \"cargo test\"}", notes);
        return Rules::default();
    };
    let fields = Fields {
        entries,
        place: node.place,
        part: owner.part,
        name: owner.name.clone(),
        task: owner.task.clone(),
    };
    let rules = Rules {
        spec_first: fields.flag("rules.spec_first", notes),
        tdd: fields.flag("rules.tdd", notes),
        lint: fields.command("rules.lint", notes),
        test: fields.command("rules.test", notes),
        build: fields.command("rules.build", notes),
        custom: fields.commands("rules.custom", notes),
        max_attempts: fields.count("rules.max_attempts", 1..=20, notes),
        review: label(&fields, "rules.review", notes),
        timeout_s: fields.count("rules.timeout_s", 1..=MAX_SECONDS, notes).map(u64::from),
        stuck_after_s: fields.count("rules.stuck_after_s", 1..=MAX_SECONDS, notes).map(u64::from),
    };
    fields.warn_of_unknown(RULES, notes);
    rules
}

/// A name of something: one line without blanks around it.
fn label(fields: &Fields<'_>, field: &'static str, notes: &mut Notes) -> Option<String> {
    let text = fields.text(field, notes)?.trim();
    if text.contains(char::is_control) {
        let place = notes.places.field(fields.part, field);
        fields.refuse(field, place, "is more than one line", "write a short name", notes);
        return None;
    }
    Some(text.to_owned())
}

/// A branch, tag or commit. Whether it exists is for git to say; here it must
/// not be what git could take for an option or for something else than a name.
fn git_ref(fields: &Fields<'_>, field: &'static str, notes: &mut Notes) -> Option<String> {
    let text = fields.text(field, notes)?;
    // A place to land on is a branch; one to start from may be counted back (`HEAD~2`).
    if field == "target" && is_branch_name(text) {
        return Some(text.to_owned());
    }
    let is_name = field == "base"
        && !text.starts_with(['-', '/'])
        && !text.ends_with(['/', '.'])
        && !text.contains("..")
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || ":?*[\\".contains(c));
    if is_name {
        return Some(text.to_owned());
    }
    let place = notes.places.field(fields.part, field);
    fields.refuse(
        field,
        place,
        &format!(
            "{} is no {}",
            quoted(text),
            if field == "base" { "name in git" } else { "name of a branch" }
        ),
        "write a branch, such as \"main\"",
        notes,
    );
    None
}
