//! A plan: specs, tasks that form a DAG, rules.
//!
//! Its way: [`document`] reads a text into values that know their place, [`read`]
//! makes a plan of them, [`check`] says what is wrong with it as a whole, [`dag`]
//! in which order its tasks can run. Each reports [`problem`]s, all that there are.

pub mod check;
pub mod dag;
pub mod document;
pub mod outline;
pub mod problem;
pub mod read;

use crate::base::ids::TaskId;
use crate::domain::pattern::Pattern;

/// A plan as it was understood. Everything in it was parsed; whether it makes
/// sense as a whole is what [`check`] says.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// A name for people; also the start of the plan's id.
    pub name: Option<String>,
    /// The ref that attempts start from. `None`: where the target branch is.
    pub base: Option<String>,
    /// The branch to land on. `None`: as configured, else the one checked out.
    pub target: Option<String>,
    /// Files that say what is to be built.
    pub specs: Vec<Spec>,
    /// The work.
    pub tasks: Vec<Task>,
    /// Rules of the whole plan; a task's own rules come before them.
    pub rules: Rules,
    /// The pipeline that this plan is part of.
    pub pipeline: Option<String>,
    /// What all its attempts together may cost.
    pub budget_usd: Option<f64>,
}

/// A specification file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Path in the repository.
    pub file: String,
    /// What it is to contain.
    pub description: String,
}

/// One piece of work.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its name in the plan.
    pub id: TaskId,
    /// What is to be done, for the worker to read.
    pub text: String,
    /// What it alone may change.
    pub files: Vec<Pattern>,
    /// Tasks that must be done before it starts.
    pub depends_on: Vec<TaskId>,
    /// Worker, group or provider, or `auto` (`None` is `auto`). Plans may also call it `agent`.
    pub target: Option<String>,
    /// A role from the configuration.
    pub role: Option<String>,
    /// 0 to 10, 10 first; what [`Priority::default`] says where nothing does.
    pub priority: Option<Priority>,
    /// Which of its files are tests. `None`: found by name.
    pub tests: Option<Vec<Pattern>>,
    /// What it reads and must not be changed meanwhile.
    pub reads: Vec<Pattern>,
    /// How long one attempt may take.
    pub timeout_s: Option<u64>,
    /// What one attempt may cost.
    pub budget_usd: Option<f64>,
    /// Rules for this task alone.
    pub rules: Rules,
    /// The environment whose checkout it works in.
    pub environment: Option<String>,
    /// How hard it is; weak models do not get hard tasks.
    pub complexity: Complexity,
}

impl Task {
    /// A task of which only this much is told.
    pub fn new(id: TaskId, text: impl Into<String>, files: Vec<Pattern>) -> Self {
        Self {
            id,
            text: text.into(),
            files,
            depends_on: Vec::new(),
            target: None,
            role: None,
            priority: None,
            tests: None,
            reads: Vec::new(),
            timeout_s: None,
            budget_usd: None,
            rules: Rules::default(),
            environment: None,
            complexity: Complexity::default(),
        }
    }
}

/// 0 to 10, 10 first; 5 unless told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(pub u8);

impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

/// How hard a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Complexity {
    /// Any model will do.
    Simple,
    /// The usual.
    #[default]
    Normal,
    /// For the most capable only.
    Complex,
}

/// How results are proved. `None` is "not said here": the next wider place decides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// Specs exist before the code.
    pub spec_first: Option<bool>,
    /// Tests that fail before the change and pass after it.
    pub tdd: Option<bool>,
    /// Command of the lint gate.
    pub lint: Option<CommandLine>,
    /// Command that runs the tests.
    pub test: Option<CommandLine>,
    /// Command of the build gate.
    pub build: Option<CommandLine>,
    /// Further commands, each a gate `custom` of its own.
    pub custom: Option<Vec<CommandLine>>,
    /// Attempts before the task fails.
    pub max_attempts: Option<u32>,
    /// Provider of the review gate.
    pub review: Option<String>,
    /// How long one attempt may take.
    pub timeout_s: Option<u64>,
    /// How long an attempt may show no life.
    pub stuck_after_s: Option<u64>,
}

/// A program and its arguments; never given to a shell. Not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(pub Vec<String>);
