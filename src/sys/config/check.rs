//! Every problem of a configuration, each with its place.

use crate::base::sorting;
use std::fmt;
use std::path::{Path, PathBuf};

use super::code::ConfigCode;
use super::document::Document;
use super::load::merged;
use super::references;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but this is probably not what was meant.
    Warning,
}

impl Severity {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// How bad it is.
    pub severity: Severity,
    /// Its stable code.
    pub code: ConfigCode,
    /// The file that says it.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The line in which it ends, from 1.
    pub end_line: u32,
    /// The column behind its last character, from 1.
    pub end_column: u32,
    /// The key in question, such as `groups.review.members[1]`; empty where the text is no TOML.
    pub key: String,
    /// What is wrong, naming the thing.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl ConfigProblem {
    /// Whether the configuration cannot be used because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for ConfigProblem {
    /// One line in the form that editors find places in: `file:line:column: severity: message; hint`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, file, line, column, message, hint, .. } = self;
        write!(f, "{}:{line}:{column}: {}: {message}", file.display(), severity.as_str())?;
        if hint.is_empty() { Ok(()) } else { write!(f, "; {hint}") }
    }
}

impl std::error::Error for ConfigProblem {}

/// A configuration file: where it is, and its text.
pub type Source<'a> = (&'a Path, &'a str);

/// All problems of one file by itself, in the order of their places.
///
/// Names that the other file defines are unknown here, and which of the two it is does not matter:
/// where both are at hand, use [`check_files`].
pub fn check(path: &Path, text: &str) -> Vec<ConfigProblem> {
    sorted(check_documents(&mut [Document::read(path, text)]))
}

/// All problems of the project's file and the person's together.
pub fn check_files(project: Option<Source<'_>>, person: Option<Source<'_>>) -> Vec<ConfigProblem> {
    sorted(check_documents(&mut documents(project, person)))
}

/// Reads what there is, the project's file first.
pub(super) fn documents<'t>(project: Option<Source<'t>>, person: Option<Source<'t>>) -> Vec<Document<'t>> {
    let project = project.map(|(path, text)| {
        let mut document = Document::read(path, text);
        if document.has("machine") {
            document.error(
                ConfigCode::PersonOnly,
                "machine",
                "the limits of the machine cannot be set by a project",
                "move [machine] to the person's file, $XDG_CONFIG_HOME/kapell/config.toml",
            );
        }
        document
    });
    let person = person.map(|(path, text)| Document::read(path, text));
    project.into_iter().chain(person).collect()
}

/// What the documents found in themselves, and what their names lead to.
pub(super) fn check_documents(documents: &mut [Document<'_>]) -> Vec<ConfigProblem> {
    // In a text that is half understood, names would seem to be missing that are not.
    if documents.iter().all(Document::is_toml) {
        match (merged(documents), documents.first_mut()) {
            (Ok(merged), _) => references::check(documents, &merged),
            (Err(message), Some(document)) => {
                document.error(
                    ConfigCode::Internal,
                    "",
                    message,
                    "this is a fault of the checker: report it",
                );
            }
            (Err(_), None) => {}
        }
    }
    documents.iter_mut().flat_map(Document::take_problems).collect()
}

/// By place within each file; files stay in their order.
pub(super) fn sorted(mut problems: Vec<ConfigProblem>) -> Vec<ConfigProblem> {
    let mut files: Vec<PathBuf> = problems.iter().map(|problem| problem.file.clone()).collect();
    // Each document's problems are together; there are two documents at most.
    files.dedup();
    let rank = |file: &PathBuf| files.iter().position(|other| other == file);
    sorting::sort_by_key(&mut problems, |problem| {
        (rank(&problem.file), problem.line, problem.column, problem.severity)
    });
    problems
}
