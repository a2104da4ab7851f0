//! What is wrong with a plan, and where.

use std::collections::HashMap;

use crate::base::ids::TaskId;
use crate::base::sorting;
use crate::domain::plan::document::Place;

/// Whether a plan can be stored in spite of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but this is probably not what was meant.
    Warning,
}

impl Severity {
    /// The severity's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// The stable code of a problem; scripts and tests may rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemCode {
    /// Two tasks have one id.
    DuplicateId,
    /// A task depends on one that the plan does not have.
    UnknownDependency,
    /// Tasks wait for each other.
    Cycle,
    /// Two tasks own the same path, and nothing says which goes first.
    Overlap,
    /// A task owns nothing.
    NoFiles,
    /// A pattern or a path that cannot be owned.
    BadPath,
    /// A task owns what the integrator regenerates.
    SharedFile,
    /// A target, role or reviewer that the configuration does not have.
    UnknownAgent,
    /// A pipeline that the configuration does not have, or that has no place for a plan's tasks.
    UnknownPipeline,
    /// Specs come first, but there are none.
    NoSpecs,
    /// Tests come first, but a task owns none.
    NoTests,
    /// The target never gets a task.
    ProtectedWorker,
    /// A plan with the same tasks is stored, and not over.
    SamePlan,
    /// The document cannot be read, or says something a plan cannot say.
    Syntax,
}

impl ProblemCode {
    /// All codes.
    pub const ALL: [Self; 14] = [
        Self::DuplicateId,
        Self::UnknownDependency,
        Self::Cycle,
        Self::Overlap,
        Self::NoFiles,
        Self::BadPath,
        Self::SharedFile,
        Self::UnknownAgent,
        Self::UnknownPipeline,
        Self::NoSpecs,
        Self::NoTests,
        Self::ProtectedWorker,
        Self::SamePlan,
        Self::Syntax,
    ];

    /// The code's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DuplicateId => "duplicate-id",
            Self::UnknownDependency => "unknown-dependency",
            Self::Cycle => "cycle",
            Self::Overlap => "overlap",
            Self::NoFiles => "no-files",
            Self::BadPath => "bad-path",
            Self::SharedFile => "shared-file",
            Self::UnknownAgent => "unknown-agent",
            Self::UnknownPipeline => "unknown-pipeline",
            Self::NoSpecs => "no-specs",
            Self::NoTests => "no-tests",
            Self::ProtectedWorker => "protected-worker",
            Self::SamePlan => "same-plan",
            Self::Syntax => "syntax",
        }
    }
}

/// One thing that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether it keeps the plan from being stored.
    pub severity: Severity,
    /// Its stable code.
    pub code: ProblemCode,
    /// What is wrong, naming the thing.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The task it is about.
    pub task: Option<TaskId>,
    /// The path or pattern it is about.
    pub path: Option<String>,
    /// Where it stands; `None` for a plan that came from no text.
    pub place: Option<Place>,
    /// Where the other parts of it stand: the first use of an id, the other pattern, the rest of a cycle.
    pub related: Vec<Place>,
}

impl Problem {
    /// A problem that keeps the plan from being stored.
    pub fn error(code: ProblemCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            hint: hint.into(),
            task: None,
            path: None,
            place: None,
            related: Vec::new(),
        }
    }

    /// A problem that does not.
    pub fn warning(code: ProblemCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, hint) }
    }

    /// Whether it keeps the plan from being stored.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Says which task it is about.
    #[must_use]
    pub fn of(mut self, task: &TaskId) -> Self {
        self.task = Some(task.clone());
        self
    }

    /// Says which path it is about.
    #[must_use]
    pub fn about(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Says where it stands.
    #[must_use]
    pub fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// Says where another part of it stands.
    #[must_use]
    pub fn related(mut self, place: Option<Place>) -> Self {
        self.related.extend(place);
        self
    }
}

/// The most problems of one severity that one reading or check lists. A document
/// of a few megabytes can hold millions, and whoever mends these sees the rest.
const MAX_LISTED: usize = 1000;

/// Problems as they are found.
#[derive(Debug, Default)]
pub(super) struct Problems {
    listed: Vec<Problem>,
    errors: usize,
    warnings: usize,
}

impl Problems {
    /// Adds a problem; the last one that is listed says so. Warnings never keep an
    /// error from being listed.
    pub(super) fn add(&mut self, mut problem: Problem) {
        let (count, kind) = match problem.severity {
            Severity::Error => (&mut self.errors, "errors"),
            Severity::Warning => (&mut self.warnings, "warnings"),
        };
        *count += 1;
        if *count == MAX_LISTED {
            problem.message.push_str(&format!("; further {kind} are not listed"));
        }
        if *count <= MAX_LISTED {
            self.listed.push(problem);
        }
    }

    /// Whether further errors would not be listed.
    pub(super) fn is_full(&self) -> bool {
        self.errors >= MAX_LISTED
    }

    /// As they were found.
    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.listed
    }

    /// In the order of the document.
    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        sorting::sort_by_key(&mut self.listed, |problem| problem.place);
        self.listed
    }
}

/// A part of a plan that has fields. Tasks and specs are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The plan itself.
    Plan,
    /// One of its specs.
    Spec(usize),
    /// One of its tasks.
    Task(usize),
}

/// Where the parts of a plan stand in its document. Indexes are those of the
/// plan as it was read; tasks and dependencies added later have no place.
#[derive(Debug, Clone, Default)]
pub struct Places {
    parts: HashMap<Part, Spots>,
}

/// Where one part and its fields stand.
#[derive(Debug, Clone, Default)]
struct Spots {
    start: Option<Place>,
    fields: HashMap<(&'static str, Option<usize>), Place>,
    misread: Vec<&'static str>,
}

impl Places {
    /// Where `part` starts.
    pub fn part(&self, part: Part) -> Option<Place> {
        self.parts.get(&part)?.start
    }

    /// Where the value of `field` starts, else where `part` starts. A rule's field is `rules.lint`.
    pub fn field(&self, part: Part, field: &'static str) -> Option<Place> {
        self.spot(part, field, None).or_else(|| self.part(part))
    }

    /// Where the item `index` of the list `field` starts, else where the list does.
    pub fn item(&self, part: Part, field: &'static str, index: usize) -> Option<Place> {
        self.spot(part, field, Some(index)).or_else(|| self.field(part, field))
    }

    /// Whether the document said something in `field` that could not be read. It is
    /// a problem already, so nobody needs to complain that the field is empty.
    pub fn is_misread(&self, part: Part, field: &'static str) -> bool {
        self.parts.get(&part).is_some_and(|spots| spots.misread.contains(&field))
    }

    fn spot(&self, part: Part, field: &'static str, index: Option<usize>) -> Option<Place> {
        self.parts.get(&part)?.fields.get(&(field, index)).copied()
    }

    pub(super) fn set_part(&mut self, part: Part, place: Option<Place>) {
        self.parts.entry(part).or_default().start = place;
    }

    pub(super) fn set_field(&mut self, part: Part, field: &'static str, place: Option<Place>) {
        self.set(part, field, None, place);
    }

    pub(super) fn set_item(&mut self, part: Part, field: &'static str, index: usize, place: Option<Place>) {
        self.set(part, field, Some(index), place);
    }

    pub(super) fn set_misread(&mut self, part: Part, field: &'static str) {
        self.parts.entry(part).or_default().misread.push(field);
    }

    /// Forgets a part that did not become one of the plan; the next takes its index.
    pub(super) fn forget(&mut self, part: Part) {
        self.parts.remove(&part);
    }

    /// An item of a list is left out, and those behind it take its place.
    pub(super) fn drop_item(&mut self, part: Part, field: &'static str, index: usize, many: usize) {
        let Some(spots) = self.parts.get_mut(&part) else { return };
        for at in index..many {
            match spots.fields.get(&(field, Some(at + 1))).copied() {
                Some(next) => spots.fields.insert((field, Some(at)), next),
                None => spots.fields.remove(&(field, Some(at))),
            };
        }
    }

    fn set(&mut self, part: Part, field: &'static str, index: Option<usize>, place: Option<Place>) {
        if let Some(place) = place {
            self.parts.entry(part).or_default().fields.insert((field, index), place);
        }
    }
}

/// `text` in quotes and on one line, cut where it is known again.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The candidate that `text` was probably meant to be: it differs in case only,
/// or by a slip in at most every third letter.
pub(super) fn closest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// No name is longer; comparing costs the square of the length.
    const LONGEST: usize = 64;
    let length = text.chars().count();
    if length > LONGEST {
        return None;
    }
    let text = text.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (strsim::osa_distance(&text, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= length / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
