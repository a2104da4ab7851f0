//! Plans as they lie in the database: the same JSON object that came in, written anew
//! from what was understood, so that what is stored is what was checked.

use serde_json::{Map, Value, json};

use crate::domain::pattern::Pattern;
use crate::domain::plan::document::{self, Format, Key, Node, SyntaxError, Value as Document};
use crate::domain::plan::read::read_plan;
use crate::domain::plan::{CommandLine, Complexity, Plan, Rules, Spec, Task};
use crate::services::Error;
use crate::store::plans::{PlanRow, TaskRow};

/// A JSON value as a document without places.
pub fn to_node(value: &Value) -> Node {
    Node::bare(match value {
        Value::Null => Document::Null,
        Value::Bool(value) => Document::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Document::Int(number),
            None => Document::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Document::Text(text.clone()),
        Value::Array(values) => Document::List(values.iter().map(to_node).collect()),
        Value::Object(fields) => {
            Document::Map(fields.iter().map(|(name, value)| (Key::bare(name), to_node(value))).collect())
        }
    })
}

/// The document that a text is, which says of itself neither that it is JSON nor that it is YAML.
///
/// # Errors
/// It is neither; told as of YAML unless it begins as JSON does.
pub fn document_of(text: &str) -> Result<Node, SyntaxError> {
    let is_json = text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[', '/']);
    let formats = if is_json { [Format::Json, Format::Yaml] } else { [Format::Yaml, Format::Json] };
    let [first, second] = formats.map(|format| document::read(text, format));
    // What is said of the other format would mislead whoever wrote in this one.
    first.or_else(|error| second.map_err(|_| error))
}

/// The plan object without its tasks.
pub fn plan_document(plan: &Plan) -> Value {
    let mut fields = Map::new();
    put(&mut fields, "name", plan.name.as_ref().map(|name| json!(name)));
    put(&mut fields, "base", plan.base.as_ref().map(|base| json!(base)));
    put(&mut fields, "target", plan.target.as_ref().map(|target| json!(target)));
    let spec = |spec: &Spec| {
        let mut fields = Map::new();
        put(&mut fields, "file", Some(json!(spec.file)));
        // What is empty was left out, and would be refused when it is read again.
        put(&mut fields, "description", (!spec.description.is_empty()).then(|| json!(spec.description)));
        Value::Object(fields)
    };
    let specs: Vec<Value> = plan.specs.iter().map(spec).collect();
    put(&mut fields, "specs", (!specs.is_empty()).then(|| json!(specs)));
    put(&mut fields, "rules", rules(&plan.rules));
    put(&mut fields, "pipeline", plan.pipeline.as_ref().map(|pipeline| json!(pipeline)));
    put(&mut fields, "budget_usd", plan.budget_usd.map(|usd| json!(usd)));
    Value::Object(fields)
}

/// One task object.
pub fn task_document(task: &Task) -> Value {
    let patterns = |patterns: &[Pattern]| json!(patterns.iter().map(Pattern::as_str).collect::<Vec<_>>());
    let id = |id: &crate::base::ids::TaskId| match id.as_str().parse::<i64>() {
        Ok(number) if id.is_number() => json!(number),
        _ => json!(id.as_str()),
    };
    let mut fields = Map::new();
    put(&mut fields, "id", Some(id(&task.id)));
    put(&mut fields, "task", Some(json!(task.text)));
    put(&mut fields, "files", Some(patterns(&task.files)));
    put(&mut fields, "depends_on", Some(json!(task.depends_on.iter().map(id).collect::<Vec<_>>())));
    put(&mut fields, "target", task.target.as_ref().map(|target| json!(target)));
    put(&mut fields, "role", task.role.as_ref().map(|role| json!(role)));
    put(&mut fields, "priority", task.priority.map(|priority| json!(priority.0)));
    put(&mut fields, "tests", task.tests.as_ref().map(|tests| patterns(tests)));
    put(&mut fields, "reads", (!task.reads.is_empty()).then(|| patterns(&task.reads)));
    put(&mut fields, "timeout_s", task.timeout_s.map(|seconds| json!(seconds)));
    put(&mut fields, "budget_usd", task.budget_usd.map(|usd| json!(usd)));
    put(&mut fields, "rules", rules(&task.rules));
    put(&mut fields, "environment", task.environment.as_ref().map(|environment| json!(environment)));
    let complexity = match task.complexity {
        Complexity::Simple => Some("simple"),
        Complexity::Normal => None,
        Complexity::Complex => Some("complex"),
    };
    put(&mut fields, "complexity", complexity.map(|complexity| json!(complexity)));
    Value::Object(fields)
}

/// What a stored task owns from its beginning.
pub fn stored_files(task: &TaskRow) -> Result<Vec<Pattern>, Error> {
    let damaged = |what: String| Error::Bug(format!("stored task {}: {what}", task.id));
    let document: Value = serde_json::from_str(&task.document).map_err(|error| damaged(error.to_string()))?;
    let texts = document["files"].as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(|text| Pattern::parse(text).map_err(|bad| damaged(bad.reason))).collect()
}

/// The plan that was stored, tasks in their order.
pub fn stored_plan(row: &PlanRow, tasks: &[TaskRow]) -> Result<Plan, Error> {
    let damaged = |what: String| Error::Bug(format!("stored plan {}: {what}", row.id));
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| damaged(error.to_string()));
    let mut document = parse(&row.document)?;
    let tasks = tasks.iter().map(|task| parse(&task.document)).collect::<Result<Vec<_>, _>>()?;
    if let Value::Object(fields) = &mut document {
        fields.insert("tasks".to_owned(), Value::Array(tasks));
    }
    let reading = read_plan(&to_node(&document));
    match reading.plan {
        Some(plan) if !reading.problems.iter().any(|problem| problem.is_error()) => Ok(plan),
        _ => Err(damaged(
            reading.problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; "),
        )),
    }
}

fn rules(rules: &Rules) -> Option<Value> {
    let command = |command: &CommandLine| json!(command.0);
    let mut fields = Map::new();
    put(&mut fields, "spec_first", rules.spec_first.map(|value| json!(value)));
    put(&mut fields, "tdd", rules.tdd.map(|value| json!(value)));
    put(&mut fields, "lint", rules.lint.as_ref().map(command));
    put(&mut fields, "test", rules.test.as_ref().map(command));
    put(&mut fields, "build", rules.build.as_ref().map(command));
    let custom =
        rules.custom.as_ref().map(|commands| json!(commands.iter().map(command).collect::<Vec<_>>()));
    put(&mut fields, "custom", custom);
    put(&mut fields, "max_attempts", rules.max_attempts.map(|value| json!(value)));
    put(&mut fields, "review", rules.review.as_ref().map(|value| json!(value)));
    put(&mut fields, "timeout_s", rules.timeout_s.map(|value| json!(value)));
    put(&mut fields, "stuck_after_s", rules.stuck_after_s.map(|value| json!(value)));
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn put(fields: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document as a JSON value, without its places.
    fn to_json(node: &Node) -> Value {
        match &node.value {
            Document::Null => Value::Null,
            Document::Bool(value) => json!(value),
            Document::Int(number) => json!(number),
            Document::Float(number) => json!(number),
            Document::Text(text) => json!(text),
            Document::List(nodes) => nodes.iter().map(to_json).collect(),
            Document::Map(fields) => {
                Value::Object(fields.iter().map(|(key, node)| (key.text.clone(), to_json(node))).collect())
            }
        }
    }

    #[test]
    fn a_text_of_either_format_is_a_document() {
        let plan = json!({"tasks": [{"id": 1, "task": "a: b", "files": ["a"], "depends_on": []}]});
        let texts = [
            plan.to_string(),
            "// said\n{\"tasks\": [{\"id\": 1, \"task\": \"a: b\", \"files\": [\"a\"], \"depends_on\": [],}]}".to_owned(),
            "tasks:\n  - id: 1\n    task: 'a: b'\n    files: [a]\n    depends_on: []\n".to_owned(),
            "{tasks: [{id: 1, task: 'a: b', files: [a], depends_on: []}]}".to_owned(),
        ];
        for text in texts {
            assert_eq!(document_of(&text).map(|node| to_json(&node)), Ok(plan.clone()), "{text}");
        }
        let said = |text: &str| document_of(text).unwrap_err().message;
        assert!(said("{\"tasks\": [").starts_with("not JSON: "), "{}", said("{\"tasks\": ["));
        assert!(said("tasks: [").starts_with("not YAML: "), "{}", said("tasks: ["));
        assert!(said("  \n").contains("empty"), "{}", said("  \n"));
    }
}
