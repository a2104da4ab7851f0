//! Making, checking and storing plans.

pub mod proving;
pub mod request;
pub mod rows;
pub mod surroundings;

use crate::base::sorting::Gather as _;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use super::project::Project;
use super::{Error, Session, pipelines, routing};
use crate::base::ids::{PlanId, ProjectId, TaskId, random_tail};
use crate::base::paths::RepoPath;
use crate::domain::conducting::PlanState;
use crate::domain::pattern::{Pattern, PatternSet};
use crate::domain::plan::Plan;
use crate::domain::plan::check::{self, OnOverlap};
use crate::domain::plan::dag;
use crate::domain::plan::document::{self, Format, Node, SyntaxError};
use crate::domain::plan::problem::{Part, Places, Problem, ProblemCode};
use crate::domain::plan::read::{Patterns, read_plan_again};
use crate::domain::refusal::{Code, Refusal};
use crate::domain::task::TaskState;
use crate::store::Tx;
use crate::store::events::NewEvent;
use crate::store::plans::{NewTask, PlanRow};
use crate::sys::config::Config;
use crate::sys::config::resolved::Pipeline;
use crate::sys::{text, tree};

/// A plan file of more bytes is refused; ten thousand tasks need about three million.
const LARGEST_FILE: u64 = 16 << 20;

/// Where a plan comes from.
#[derive(Debug)]
pub enum Source {
    /// A document that came with the call.
    Document(Node),
    /// The text of one, which tells places.
    Text(String),
    /// A file in the project.
    File(String),
    /// Text for the planner agent to make a plan of.
    Request(String),
}

/// A wish for a plan.
#[derive(Debug)]
pub struct Wish {
    /// Where it comes from.
    pub source: Source,
    /// A name for it, before the one in the document.
    pub name: Option<String>,
    /// Do not store it.
    pub check_only: bool,
    /// What to do about tasks that own the same with no order between them.
    pub on_overlap: OnOverlap,
    /// The pipeline that it is for, before the one in the document.
    pub pipeline: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Planned {
    /// The stored plan; `None` if it has errors or was only checked.
    pub id: Option<PlanId>,
    /// Its name.
    pub name: String,
    /// The tasks that can run together, wave by wave; none where there is a cycle.
    pub waves: Vec<Vec<TaskId>>,
    /// The longest chain.
    pub critical_path: Vec<TaskId>,
    /// What each task owns and how many files that is now.
    pub ownership: Vec<(TaskId, Vec<Pattern>, u64)>,
    /// The specs and whether they exist.
    pub specs: Vec<(String, bool)>,
    /// All that is wrong.
    pub problems: Vec<Problem>,
}

/// A plan that was read and checked, ready to be stored if nothing is wrong.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    plan: Option<Plan>,
    specs: Vec<(String, bool)>,
    pub(crate) problems: Vec<Problem>,
    places: Places,
}

impl Checked {
    /// The plan, as far as it could be understood.
    pub(crate) fn into_plan(self) -> Option<Plan> {
        self.plan
    }
}

/// Makes, checks and, unless there are errors, stores a plan.
pub fn plan(session: &Session, project: &Project, wish: &Wish) -> Result<Planned, Error> {
    let config = session.config(project)?;
    let (mut checked, default_name) = match &wish.source {
        Source::Document(document) => (check_document(project, &config, document, wish.on_overlap)?, None),
        Source::Text(text) => {
            let read = rows::document_of(text);
            let patterns = &mut Patterns::default();
            (check_read(project, Some(&config), read, wish.on_overlap, patterns)?, None)
        }
        Source::File(file) => {
            let (text, format) = read_file(project, file)?;
            let stem = Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
            (check_text(project, &config, &text, format, wish.on_overlap)?, stem)
        }
        Source::Request(text) => {
            (request::ask_for_plan(session, project, &config, text, wish.on_overlap)?, None)
        }
    };
    if let Some(plan) = &checked.plan {
        checked.problems.extend(surroundings::missing_programs(
            &session.house,
            &config,
            plan,
            &checked.places,
        ));
        checked.problems.extend(surroundings::missing_base(&session.house, project, plan, &checked.places)?);
        checked.problems.extend(surroundings::misled(&session.house, project, plan, &checked.places)?);
        checked.problems.extend(surroundings::ignored(&session.house, project, plan, &checked.places)?);
        let house = &session.house;
        let places = &checked.places;
        checked.problems.extend(proving::filtered(project, plan, places));
        let unproved = proving::unrunnable_tests(house, project, &config, plan, places)?;
        checked.problems.extend(unproved);
        let unseen = proving::uncommitted_specs(house, project, &config, plan, &checked.specs, places)?;
        checked.problems.extend(unseen);
    }
    let said = checked.plan.as_ref().and_then(|plan| plan.name.as_deref());
    let name = first_name([wish.name.as_deref(), said, default_name.as_deref()]);
    if let (Some(pipeline), Some(plan)) = (&wish.pipeline, &mut checked.plan) {
        plan.pipeline = Some(pipeline.clone());
        checked.problems.retain(|problem| problem.code != ProblemCode::UnknownPipeline);
        checked.problems.extend(surroundings::outside_of_pipeline(&config, plan, None));
    }
    let is_sound = !checked.problems.iter().any(Problem::is_error);
    let mut planned = Planned {
        id: None,
        name,
        waves: Vec::new(),
        critical_path: Vec::new(),
        ownership: Vec::new(),
        specs: checked.specs,
        problems: checked.problems,
    };
    let Some(mut plan) = checked.plan else { return Ok(planned) };
    planned.waves = dag::waves(&plan).unwrap_or_default();
    planned.critical_path = dag::critical_path(&plan).unwrap_or_default();
    planned.ownership = ownership(project, &plan)?;
    plan.name = Some(planned.name.clone());
    let pipeline = made_to_be_stored(&config, &mut plan);
    if wish.check_only {
        let twin = session.store()?.read(|tx| twin_of(tx, project, &plan))?;
        planned.problems.extend(twin.as_ref().map(twin_problem));
    } else if is_sound {
        let id = new_id(&planned.name);
        let twin = session.store()?.write(|tx| -> Result<_, Error> {
            let twin = twin_of(tx, project, &plan)?;
            store(tx, project, &id, &plan)?;
            if let (Some(name), Some(pipeline)) = (&plan.pipeline, pipeline) {
                pipelines::enter(tx, project, &config, &id, name, pipeline, None)?;
                pipelines::adopt(tx, &id, &plan)?;
            }
            Ok(twin)
        })?;
        planned.problems.extend(twin.as_ref().map(twin_problem));
        planned.id = Some(id);
    }
    Ok(planned)
}

/// The first name that is one.
fn first_name<const N: usize>(names: [Option<&str>; N]) -> String {
    let mut names = names.into_iter().flatten().map(str::trim);
    names.find(|name| !name.is_empty()).unwrap_or("plan").to_owned()
}

/// Gives a plan what the configuration says of it, as it is stored, and gives its pipeline.
fn made_to_be_stored<'c>(config: &'c Config, plan: &mut Plan) -> Option<&'c Pipeline> {
    let pipeline = plan.pipeline.as_deref().and_then(|name| config.pipelines.get(name));
    if let Some(pipeline) = pipeline {
        pipelines::settle(plan, pipeline);
    }
    plan.tasks.iter_mut().for_each(|task| routing::prioritise(config, task));
    pipeline
}

/// The newest stored plan that came of this very text and is not over; where there is none, the newest of all if
/// it was stopped and can be resumed. `stem` names it where the text does not.
pub fn twin_to_steer(
    session: &Session,
    text: &str,
    format: Format,
    stem: Option<&str>,
) -> Result<Option<PlanRow>, Error> {
    let project = session.project()?;
    let config = session.config(&project)?;
    let checked = check_text(&project, &config, text, format, OnOverlap::Reject)?;
    let Some(mut plan) = checked.into_plan() else { return Ok(None) };
    plan.name = Some(first_name([plan.name.as_deref(), stem]));
    made_to_be_stored(&config, &mut plan);
    session.store()?.read(|tx| {
        if let Some(open) = twin_of(tx, &project, &plan)? {
            return Ok(Some(open));
        }
        // What was begun anew and came to its end since it was stopped leaves nothing to resume.
        let newest = twin_among(tx, &project, &plan, &|_| Ok(true))?;
        Ok(newest.filter(|row| row.state == PlanState::Stopped))
    })
}

/// A plan's id: its name, as far as it fits a file name, and a random tail.
pub(crate) fn new_id(name: &str) -> PlanId {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
        if slug.len() >= 24 {
            break;
        }
    }
    let slug = slug.trim_matches('-');
    PlanId::new(format!("{}-{}", if slug.is_empty() { "plan" } else { slug }, random_tail(6)))
}

fn store(tx: &Tx<'_>, project: &Project, id: &PlanId, plan: &Plan) -> Result<(), Error> {
    project.ensure(tx)?;
    let name = plan.name.as_deref().unwrap_or("plan");
    tx.insert_plan(&project.id, id, name, &rows::plan_document(plan).to_string())?;
    for task in &plan.tasks {
        insert_task(tx, id, task, false)?;
    }
    tx.append_event(
        &project.id,
        &NewEvent {
            kind: "plan.created",
            plan: Some(id),
            text: format!("plan {id}: {} tasks", plan.tasks.len()),
            ..NewEvent::default()
        },
    )?;
    Ok(())
}

/// The newest plan of the project that has this plan's name and tasks and is not over: whoever stores it
/// again may have forgotten the first, and would pay for its work twice.
fn twin_of(tx: &Tx<'_>, project: &Project, plan: &Plan) -> Result<Option<PlanRow>, Error> {
    let is_open =
        |row: &PlanRow| Ok(matches!(row.state, PlanState::Draft | PlanState::Running | PlanState::Paused));
    twin_among(tx, project, plan, &is_open)
}

/// The newest plan of the project that has this plan's name and tasks and is meant.
fn twin_among(
    tx: &Tx<'_>,
    project: &Project,
    plan: &Plan,
    is_meant: &dyn Fn(&PlanRow) -> Result<bool, Error>,
) -> Result<Option<PlanRow>, Error> {
    let document = rows::plan_document(plan).to_string();
    let tasks: Vec<String> = plan.tasks.iter().map(|task| rows::task_document(task).to_string()).collect();
    let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let name = plan.name.as_deref().unwrap_or("plan");
    twin_where(tx, &project.id, (name, &document, &tasks), is_meant)
}

/// The newest plan of a project that is meant and has this name and document and these tasks, as they are stored.
pub(super) fn twin_where(
    tx: &Tx<'_>,
    project: &ProjectId,
    (name, document, tasks): (&str, &str, &[&str]),
    is_meant: &dyn Fn(&PlanRow) -> Result<bool, Error>,
) -> Result<Option<PlanRow>, Error> {
    for row in tx.plans_called(project, name)? {
        if row.document == document && is_meant(&row)? {
            let stored = tx.tasks(&row.id, -1, usize::MAX >> 1)?;
            let own = stored.iter().filter(|task| task.parent.is_none());
            if own.map(|task| task.document.as_str()).eq(tasks.iter().copied()) {
                return Ok(Some(row));
            }
        }
    }
    Ok(None)
}

fn twin_problem(twin: &PlanRow) -> Problem {
    let id = &twin.id;
    let (what, hint) = match twin.state {
        PlanState::Draft => {
            ("waits to be dispatched", format!("kapell dispatch --plan-id {id} begins that one"))
        }
        PlanState::Paused => ("is paused", format!("kapell resume {id} goes on with that one")),
        _ => (
            "runs",
            format!(
                "kapell status --scope plan --id {id} --watch follows that one; dispatched, this one does it all again"
            ),
        ),
    };
    Problem::warning(ProblemCode::SamePlan, format!("plan {id} has the same tasks and {what}"), hint)
}

/// Appends a task to a stored plan.
pub(crate) fn insert_task(
    tx: &Tx<'_>,
    plan: &PlanId,
    task: &crate::domain::plan::Task,
    wanted: bool,
) -> Result<(), Error> {
    let document = rows::task_document(task).to_string();
    tx.insert_task(
        plan,
        &NewTask { id: &task.id, document: &document, state: TaskState::Waiting, wanted, parent: None },
    )?;
    Ok(())
}

/// One task that is in no plan yet, from a task object, checked as it would be in one.
pub fn single(
    project: &Project,
    config: &Config,
    object: serde_json::Map<String, serde_json::Value>,
) -> Result<crate::domain::plan::Task, Error> {
    // Its id is made up, and tells nobody anything.
    let named = object.get("id").and_then(|id| id.as_str()).map(|id| format!("task {id}: "));
    let tasks = vec![serde_json::Value::Object(object)];
    let is_open = !object_has_files(&tasks);
    let document = serde_json::json!({"rules": {"spec_first": false}, "tasks": tasks});
    let checked = check_document(project, config, &rows::to_node(&document), OnOverlap::Reject)?;
    // One that is sent without files owns what it changes, as far as nobody else does.
    let is_meant = |problem: &&Problem| is_open && problem.code == ProblemCode::NoFiles;
    // Nobody reads the warnings of a task that is sent: a rule that is not known is refused.
    let is_wrong = |problem: &&Problem| problem.is_error() || problem.code == ProblemCode::Syntax;
    let problem = checked.problems.iter().find(|problem| is_wrong(problem) && !is_meant(problem));
    if let Some(first) = problem {
        let code = match first.code {
            ProblemCode::ProtectedWorker => Code::ProtectedWorker,
            _ => Code::PlanInvalid,
        };
        let hint =
            first.hint.replace("the key is ignored; ", "").replace("? As it is, the key is ignored", "?");
        let message = named.and_then(|named| first.message.strip_prefix(named.as_str()));
        return Err(Refusal::new(code, message.unwrap_or(&first.message), hint)
            .with("problem", first.code.as_str())
            .into());
    }
    let task = checked.into_plan().and_then(|plan| plan.tasks.into_iter().next());
    task.ok_or_else(|| Error::Bug("a checked task vanished".to_owned()))
}

fn object_has_files(tasks: &[serde_json::Value]) -> bool {
    tasks.iter().any(|task| task.get("files").is_some())
}

/// A stored task as it is understood.
pub fn stored_task(
    session: &Session,
    plan: &PlanId,
    task: &crate::store::plans::TaskRow,
) -> Result<crate::domain::plan::Task, Error> {
    let row = session.store()?.read(|tx| tx.plan(plan))?;
    let row = row.ok_or_else(|| Error::Bug(format!("no plan {plan}")))?;
    let plan = rows::stored_plan(&row, std::slice::from_ref(task))?;
    plan.tasks.into_iter().next().ok_or_else(|| Error::Bug(format!("no task {}", task.id)))
}

/// Reads a plan file of the project.
fn read_file(project: &Project, file: &str) -> Result<(String, Format), Error> {
    let path = project.top()?.join(file);
    let not_found = |why: String| {
        Refusal::new(
            Code::NotFound,
            format!("the plan file {file} cannot be read: {why}"),
            "give its path from the top of the repository, or pass the plan itself",
        )
    };
    let unfit = |why: String, hint: &str| {
        Refusal::new(Code::BadPath, format!("the plan file {file} cannot be read: {why}"), hint)
            .with("path", file)
    };
    let no_file = || {
        unfit(
            "it is no file".to_owned(),
            "name the file itself, such as plan.json, or pass the plan on stdin: -",
        )
    };
    let opened = text::open(&path).map_err(|error| not_found(error.to_string()))?;
    let opened = opened.ok_or_else(no_file)?;
    let mut bytes = Vec::new();
    opened.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| not_found(error.to_string()))?;
    if bytes.len() as u64 > LARGEST_FILE {
        let why = format!("it has more than {} MB", LARGEST_FILE >> 20);
        return Err(unfit(why, "make several plans of it").into());
    }
    let text =
        String::from_utf8(bytes).map_err(|_| unfit("it is not UTF-8 text".to_owned(), "save it as UTF-8"))?;
    Ok((text, format_of(file)))
}

/// Whether the project's configuration calls that file a plan.
pub fn is_named_plan(session: &Session, file: &Path) -> bool {
    let named = || {
        let project = session.project().ok()?;
        let path = file.strip_prefix(project.top.as_deref()?).ok()?.to_str()?.to_owned();
        let config = session.config(&project).ok()?;
        Some(config.plans.iter().any(|pattern| pattern.contains(&RepoPath::from(path.as_str()))))
    };
    named().unwrap_or(false)
}

/// The format that a file's name promises; JSON unless it says YAML.
pub fn format_of(file: &str) -> Format {
    match Path::new(file).extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => Format::Yaml,
        _ => Format::Json,
    }
}

/// Reads and checks the text of a plan.
pub(crate) fn check_text(
    project: &Project,
    config: &Config,
    text: &str,
    format: Format,
    on_overlap: OnOverlap,
) -> Result<Checked, Error> {
    check_text_again(project, Some(config), text, format, on_overlap, &mut Patterns::default())
}

fn check_text_again(
    project: &Project,
    config: Option<&Config>,
    text: &str,
    format: Format,
    on_overlap: OnOverlap,
    patterns: &mut Patterns,
) -> Result<Checked, Error> {
    check_read(project, config, document::read(text, format), on_overlap, patterns)
}

/// Checks what was read of a text; why it could not be read is a problem like any other.
fn check_read(
    project: &Project,
    config: Option<&Config>,
    read: Result<Node, SyntaxError>,
    on_overlap: OnOverlap,
    patterns: &mut Patterns,
) -> Result<Checked, Error> {
    match read {
        Ok(document) => check_document_again(project, config, &document, on_overlap, patterns),
        Err(error) => Ok(Checked { problems: vec![Problem::from(error)], ..Checked::default() }),
    }
}

/// What is wrong with the text of a plan.
#[derive(Debug)]
pub struct Findings {
    /// Every problem that was found.
    pub problems: Vec<Problem>,
    /// Why the configuration cannot be used, if it cannot: then nothing was found that hangs on it.
    pub unused: Option<Error>,
}

/// Everything that is wrong with the text of a plan, be it stored or not. `patterns` are those of the
/// same plan as it was a moment ago.
pub fn problems_of(
    session: &Session,
    text: &str,
    format: Format,
    patterns: &mut Patterns,
) -> Result<Findings, Error> {
    let project = session.project()?;
    let (config, unused) = match session.config(&project) {
        Ok(config) => (Some(config), None),
        Err(error) => (None, Some(error)),
    };
    let checked = check_text_again(&project, config.as_ref(), text, format, OnOverlap::Reject, patterns)?;
    Ok(Findings { problems: checked.problems, unused })
}

/// Reads and checks a plan: its own sense, and whether it fits this project.
pub(crate) fn check_document(
    project: &Project,
    config: &Config,
    document: &Node,
    on_overlap: OnOverlap,
) -> Result<Checked, Error> {
    check_document_again(project, Some(config), document, on_overlap, &mut Patterns::default())
}

/// Without a configuration all that does not hang on it.
fn check_document_again(
    project: &Project,
    config: Option<&Config>,
    document: &Node,
    on_overlap: OnOverlap,
    patterns: &mut Patterns,
) -> Result<Checked, Error> {
    let reading = read_plan_again(document, patterns);
    let mut problems = reading.problems;
    let Some(mut plan) = reading.plan else { return Ok(Checked { problems, ..Checked::default() }) };
    let top = project.top()?;
    let exists = |file: &str| {
        std::fs::metadata(top.join(file)).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
    };
    let existing_specs: BTreeSet<String> =
        plan.specs.iter().map(|spec| spec.file.clone()).filter(|file| exists(file)).gather();
    let specs = plan.specs.iter().map(|spec| (spec.file.clone(), exists(&spec.file))).collect();
    let around = match config {
        Some(config) => surroundings::of(config, &plan, existing_specs, on_overlap),
        None => surroundings::unknown(existing_specs, on_overlap),
    };
    // Asked of the checkout, as what specs exist is: it costs no git at each keystroke of an editor.
    let is_file = |path: &str| project.is_file(path);
    problems.extend(check::check(&plan, &reading.places, &around, &is_file));
    problems.extend(surroundings::detours(top, &plan, &reading.places));
    problems.extend(surroundings::folders_for_specs(top, &plan, &reading.places));
    let pipeline = reading.places.field(Part::Plan, "pipeline");
    problems.extend(config.and_then(|config| surroundings::outside_of_pipeline(config, &plan, pipeline)));
    problems.extend(
        config
            .map(|config| surroundings::bound_elsewhere(config, &plan, &reading.places))
            .unwrap_or_default(),
    );
    if !problems.iter().any(Problem::is_error) {
        check::spec_tasks(&plan, &around).add_to(&mut plan);
        if on_overlap == OnOverlap::Serialize {
            problems.extend(check::serialize(&mut plan, &reading.places, &is_file));
        }
    }
    Ok(Checked { plan: Some(plan), specs, problems, places: reading.places })
}

/// How many files each task owns now, as git sees the tree (ignored files do not count).
fn ownership(project: &Project, plan: &Plan) -> Result<Vec<(TaskId, Vec<Pattern>, u64)>, Error> {
    let files = tree::files(project.top()?);
    Ok(plan
        .tasks
        .iter()
        .map(|task| {
            let set = PatternSet::new(task.files.clone());
            let count = files.iter().filter(|file| set.contains(file)).count() as u64;
            (task.id.clone(), task.files.clone(), count)
        })
        .collect())
}
