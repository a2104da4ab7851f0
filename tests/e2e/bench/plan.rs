//! Plans, put together.

use serde_json::{Map, Value, json};

/// A plan for the method `plan`.
#[derive(Debug, Clone)]
pub struct Plan {
    object: Map<String, Value>,
}

/// A task of a plan.
#[derive(Debug, Clone)]
pub struct Task {
    object: Map<String, Value>,
}

/// A task that owns the files and does the lines.
pub fn task(id: &str, files: &[&str], lines: &[&str]) -> Task {
    let text = format!("# {id}\n{}", lines.join("\n"));
    let object = json!({"id": id, "task": text, "files": files, "agent": "fake"});
    Task { object: object.as_object().cloned().unwrap_or_default() }
}

impl Task {
    /// It waits for these.
    pub fn after(self, others: &[&str]) -> Self {
        self.with("depends_on", json!(others))
    }

    /// Any other field.
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.object.insert(field.to_owned(), value);
        self
    }
}

impl Plan {
    /// A plan whose rules want nothing but that the work lies within the claim.
    pub fn new(tasks: impl IntoIterator<Item = Task>) -> Self {
        let tasks: Vec<Value> = tasks.into_iter().map(|task| Value::Object(task.object)).collect();
        let object = json!({"tasks": tasks, "rules": {"spec_first": false, "tdd": false}});
        Self { object: object.as_object().cloned().unwrap_or_default() }
    }

    /// A rule for all of its tasks.
    pub fn rule(mut self, name: &str, value: Value) -> Self {
        self.object["rules"][name] = value;
        self
    }

    /// Any other field.
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.object.insert(field.to_owned(), value);
        self
    }

    /// The parameters of the call.
    pub fn params(&self) -> Value {
        json!({"plan": self.object})
    }
}
