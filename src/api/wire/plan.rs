//! The plan object, as its schema describes it. Plans are read by `domain::plan`, which keeps the
//! place of every value; these types are for those who write plans.

use super::{Command, Id, Object, OneOrMany};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A plan of tasks that each own files.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct PlanDocument {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Branch, tag or commit to start from; where the target is, unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Branch to land on; the one checked out, unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Files that say what is to be built. One that does not exist becomes a task before all code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub specs: Vec<SpecDocument>,
    /// The work.
    pub tasks: Vec<TaskDocument>,
    /// How results are proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesDocument>,
    /// The pipeline that this plan is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Dollars that all its tries together may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
}

/// A specification file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct SpecDocument {
    /// Path in the repository.
    pub file: String,
    /// What it is to contain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// One piece of work.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskDocument {
    /// Its name in the plan: an integer, or letters, digits, dot, dash and underscore.
    pub id: Id,
    /// What is to be done, complete in itself.
    pub task: String,
    /// Paths or patterns that it alone changes, its tests included.
    pub files: Vec<String>,
    /// Tasks that must be done before it starts.
    #[serde(default)]
    pub depends_on: Vec<Id>,
    /// The same as `target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Worker, group, provider, or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// A role of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// 0 to 10 (10 first), or high, medium, low.
    #[serde(default, deserialize_with = "super::priority", skip_serializing_if = "Option::is_none")]
    pub priority: Option<Id>,
    /// Which of its files are tests; found by their names, unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<Vec<String>>,
    /// What it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<Vec<String>>,
    /// Seconds that one try may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// Dollars that one try may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
    /// Rules for this task alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesDocument>,
    /// The environment whose checkout it works in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// How hard it is: simple, normal or complex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complexity: Option<String>,
}

/// How results are proved. What is not said here is said by `kapell.toml`, then by the kind of project.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct RulesDocument {
    /// Specs exist before the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_first: Option<bool>,
    /// Tests that fail without the change and pass with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tdd: Option<bool>,
    /// Command of the lint gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lint: Option<Command>,
    /// Command that runs the tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Command>,
    /// Command of the build gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Command>,
    /// Further commands, each a gate of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<OneOrMany<Command>>,
    /// Tries before the task fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Provider of the review gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    /// Seconds that one try may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// Seconds that a worker may show no life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_after_s: Option<u64>,
}

impl PlanDocument {
    /// The plan as a call passes it.
    pub fn to_object(&self) -> Object {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => Object::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::read::read_plan;
    use crate::services::planning::rows::to_node;

    /// Every field of these types is one that the reader of plans knows, and takes.
    #[test]
    fn the_reader_takes_what_the_schema_promises() {
        let rules = RulesDocument {
            spec_first: Some(false),
            tdd: Some(true),
            lint: Some(OneOrMany::One("cargo clippy".to_owned())),
            test: Some(OneOrMany::Many(vec!["cargo".to_owned(), "test".to_owned()])),
            build: Some(OneOrMany::One("cargo build".to_owned())),
            custom: Some(OneOrMany::Many(vec![OneOrMany::One("make check".to_owned())])),
            max_attempts: Some(2),
            review: Some("claude".to_owned()),
            timeout_s: Some(60),
            stuck_after_s: Some(30),
        };
        let task = TaskDocument {
            id: Id::Number(1),
            task: "do it".to_owned(),
            files: vec!["src/a.rs".to_owned()],
            depends_on: Vec::new(),
            agent: None,
            target: Some("auto".to_owned()),
            role: Some("oracle".to_owned()),
            priority: Some(Id::Text("high".to_owned())),
            tests: Some(vec!["tests/a.rs".to_owned()]),
            reads: Some(vec!["docs/".to_owned()]),
            timeout_s: Some(10),
            budget_usd: Some(0.5),
            rules: Some(rules.clone()),
            environment: Some("dev1".to_owned()),
            complexity: Some("complex".to_owned()),
        };
        let with_agent = TaskDocument {
            id: Id::Text("b".to_owned()),
            agent: task.target.clone(),
            target: None,
            ..task.clone()
        };
        let plan = PlanDocument {
            name: Some("n".to_owned()),
            base: Some("main".to_owned()),
            target: Some("main".to_owned()),
            specs: vec![SpecDocument { file: "specs/a.md".to_owned(), description: "d".to_owned() }],
            tasks: vec![task, with_agent],
            rules: Some(rules),
            pipeline: Some("feature".to_owned()),
            budget_usd: Some(12.5),
        };
        let reading = read_plan(&to_node(&serde_json::Value::Object(plan.to_object())));
        assert!(reading.problems.is_empty(), "{:#?}", reading.problems);
        assert_eq!(reading.plan.unwrap().tasks.len(), 2);
    }
}
