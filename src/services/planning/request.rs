//! Plans made by the planner agent from a request.

use super::{Checked, check_document, rows};
use crate::base::ids::ProviderName;
use crate::domain::plan::check::OnOverlap;
use crate::domain::plan::problem::Problem;
use crate::domain::refusal::{Code, Refusal};
use crate::services::asking::{Question, TIMEOUT_S, ask};
use crate::services::project::Project;
use crate::services::{Error, Session};
use crate::sys::config::Config;
use crate::sys::config::resolved::TargetKind;

/// The planner hears of its mistakes this often before the plan is given back with them.
const CORRECTIONS: usize = 2;

/// The plan object as the planner is to answer.
pub fn plan_schema() -> serde_json::Value {
    let text = |description: &str| serde_json::json!({"type": "string", "description": description});
    serde_json::json!({
        "type": "object",
        "required": ["specs", "tasks"],
        "properties": {
            "name": text("a short name"),
            "specs": {"type": "array", "items": {
                "type": "object", "required": ["file", "description"],
                "properties": {"file": text("path of the specification file"), "description": text("what it says")}}},
            "tasks": {"type": "array", "minItems": 1, "items": {
                "type": "object", "required": ["id", "task", "files", "depends_on"],
                "properties": {
                    "id": {"type": "integer"},
                    "agent": text("worker, group or provider; auto if any will do"),
                    "task": text("what is to be done, complete in itself"),
                    "files": {"type": "array", "items": {"type": "string"}, "minItems": 1,
                              "description": "paths or patterns that this task alone changes, tests included"},
                    "depends_on": {"type": "array", "items": {"type": "integer"}}
                }}}
        }
    })
}

/// Asks the planner for a plan, and tells it what is wrong with its answer up to twice.
pub(super) fn ask_for_plan(
    session: &Session,
    project: &Project,
    config: &Config,
    request: &str,
    on_overlap: OnOverlap,
) -> Result<Checked, Error> {
    let who = config.roles.planner.clone().ok_or_else(|| {
        Refusal::new(
            Code::Unsupported,
            "nobody plays the part of the planner, and no agent was found on PATH",
            "name one in kapell.toml under [roles]: planner = \"claude\"; or pass a plan yourself",
        )
    })?;
    let schema = plan_schema().to_string();
    let mut prompt = first_prompt(config, request);
    for correction in 0..=CORRECTIONS {
        let question = Question {
            part: "planner",
            who: &who,
            of: None,
            prompt: &prompt,
            schema: &schema,
            folder: project.top()?,
            run: None,
            timeout_s: TIMEOUT_S,
        };
        let answer = match ask(session, project, config, &question)? {
            Ok(answer) => answer,
            Err(words) if correction == CORRECTIONS => return Err(words.into()),
            Err(words) => {
                prompt = format!(
                    "{}\n\nYou were asked before: {}. Answer with the plan as one JSON object of the schema, and \
                     nothing else.",
                    first_prompt(config, request),
                    words.message,
                );
                continue;
            }
        };
        let checked = check_document(project, config, &rows::to_node(&answer), on_overlap)?;
        if correction == CORRECTIONS || !checked.problems.iter().any(Problem::is_error) {
            return Ok(checked);
        }
        prompt = format!(
            "{}\n\nYour plan was:\n{answer}\n\nIt cannot be used:\n{}\nAnswer with the whole corrected plan.",
            first_prompt(config, request),
            listed(&checked.problems),
        );
    }
    Err(Error::Bug("the planner was asked without end".to_owned()))
}

fn first_prompt(config: &Config, request: &str) -> String {
    // Nobody is to plan with an agent that is not there.
    let is_there =
        |name: &str| config.providers.get(&ProviderName::from(name)).is_none_or(|it| it.is_available);
    let targets = config.targets().into_iter().filter(|target| {
        !target.protected && (target.kind != TargetKind::Provider || is_there(&target.name))
    });
    let targets: Vec<String> = targets.map(|target| target.name).collect();
    format!(
        "{request}\n\n---\nMake a plan for this in the repository of the current folder; change nothing yourself. \
         Split it into tasks that different workers do at the same time, each in its own copy. No two tasks that can \
         run at the same time may own the same file: split the files, or let one task depend on the other. Every task \
         owns the files it creates or changes, its tests included, and its text says everything its worker must know. \
         Specifications come first: list the files that specify what is built. Workers: {}, or auto.",
        targets.join(", ")
    )
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().filter(|problem| problem.is_error()).fold(String::new(), |mut text, problem| {
        text.push_str(&format!("- {} ({}): {}\n", problem.message, problem.code.as_str(), problem.hint));
        text
    })
}
