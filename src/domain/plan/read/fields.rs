//! Typed values out of a map, each mismatch noted as a problem with its place.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::base::ids::TaskId;
use crate::domain::pattern::{BadPattern, Pattern};
use crate::domain::plan::CommandLine;
use crate::domain::plan::document::{Key, Node, Place, Value};
use crate::domain::plan::problem::{Part, Places, Problem, ProblemCode, Problems, closest, quoted};
use crate::domain::spelling::shell_sign;

/// Patterns that were read before. Whoever reads a document again and again, as an editor does while it
/// is typed, does not make each of them anew; those that left the document are forgotten.
#[derive(Debug, Default)]
pub struct Patterns {
    before: HashMap<String, Pattern>,
    now: HashMap<String, Pattern>,
}

impl Patterns {
    /// What was not read since this was called the last time is forgotten.
    pub(super) fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    fn parse(&mut self, text: &str) -> Result<Pattern, BadPattern> {
        if let Some(known) = self.now.get(text) {
            return Ok(known.clone());
        }
        let (text, pattern) = match self.before.remove_entry(text) {
            Some(known) => known,
            None => (text.to_owned(), Pattern::parse(text)?),
        };
        self.now.insert(text, pattern.clone());
        Ok(pattern)
    }
}

/// What gathers while a document is read.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) patterns: Patterns,
    pub(super) places: Places,
    pub(super) problems: Problems,
}

/// A map of the document and what it stands for.
pub(super) struct Fields<'a> {
    pub(super) entries: &'a [(Key, Node)],
    pub(super) place: Option<Place>,
    pub(super) part: Part,
    /// What a sentence about it begins with: `task 3`.
    pub(super) name: String,
    pub(super) task: Option<TaskId>,
}

/// A field of a map within a part is named after both, as in `rules.lint`.
fn key_of(field: &str) -> &str {
    field.rsplit('.').next().unwrap_or(field)
}

impl<'a> Fields<'a> {
    /// The value of `field`; what is null counts as not written.
    pub(super) fn get(&self, field: &'static str, notes: &mut Notes) -> Option<&'a Node> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.text == key_of(field))?;
        notes.places.set_field(self.part, field, node.place);
        (node.value != Value::Null).then_some(node)
    }

    /// Notes an error about `field`, which stands at `place`.
    pub(super) fn refuse(
        &self,
        field: &'static str,
        place: Option<Place>,
        what: &str,
        hint: impl Into<String>,
        notes: &mut Notes,
    ) {
        let problem =
            Problem::error(ProblemCode::Syntax, format!("{}: `{field}` {what}", self.name), hint).at(place);
        self.note(field, problem, notes);
    }

    fn note(&self, field: &'static str, mut problem: Problem, notes: &mut Notes) {
        problem.task.clone_from(&self.task);
        notes.problems.add(problem);
        notes.places.set_misread(self.part, field);
    }

    /// Notes that `field` holds `node` where `expected` belongs.
    pub(super) fn mismatch(
        &self,
        field: &'static str,
        node: &Node,
        expected: &str,
        hint: impl Into<String>,
        notes: &mut Notes,
    ) {
        let what = format!("must be {expected}, but is {}", node.describe());
        self.refuse(field, node.place, &what, hint, notes);
    }

    /// Notes that `field` is not there.
    pub(super) fn missing(&self, field: &'static str, hint: &str, notes: &mut Notes) {
        self.refuse(field, self.place, "is missing", hint, notes);
    }

    /// Warns of keys that are not among the `known` fields.
    pub(super) fn warn_of_unknown(&self, known: &[&'static str], notes: &mut Notes) {
        let known: Vec<&str> = known.iter().map(|field| key_of(field)).collect();
        for (key, _) in self.entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            let hint = match closest(&key.text, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`? As it is, the key is ignored"),
                None => format!("the key is ignored; known here are {}", known.join(", ")),
            };
            let message = format!("{}: the key {} is not known", self.name, quoted(&key.text));
            let mut problem = Problem::warning(ProblemCode::Syntax, message, hint).at(key.place);
            problem.task.clone_from(&self.task);
            notes.problems.add(problem);
        }
    }

    /// A text that is not blank.
    pub(super) fn text(&self, field: &'static str, notes: &mut Notes) -> Option<&'a str> {
        let node = self.get(field, notes)?;
        self.text_in(field, node, notes)
    }

    fn text_in(&self, field: &'static str, node: &'a Node, notes: &mut Notes) -> Option<&'a str> {
        match &node.value {
            // No argument and no variable of a program can carry one.
            Value::Text(text) if text.contains('\0') => {
                self.refuse(field, node.place, "holds a NUL character", "take it out", notes);
            }
            Value::Text(text) if !text.trim().is_empty() => return Some(text),
            Value::Text(_) => {
                self.refuse(field, node.place, "is empty", "write what belongs here, or leave it out", notes);
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                self.mismatch(field, node, "a text", "put quotes around it", notes);
            }
            _ => self.mismatch(field, node, "a text", "write it as one text in quotes", notes),
        }
        None
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, field: &'static str, notes: &mut Notes) -> Option<bool> {
        let node = self.get(field, notes)?;
        if let Value::Bool(flag) = node.value {
            return Some(flag);
        }
        self.mismatch(field, node, "true or false", "write true or false, without quotes", notes);
        None
    }

    /// A whole number within `range`.
    pub(super) fn count(
        &self,
        field: &'static str,
        range: RangeInclusive<u32>,
        notes: &mut Notes,
    ) -> Option<u32> {
        let node = self.get(field, notes)?;
        if let Value::Int(number) = node.value
            && let Ok(number) = u32::try_from(number)
            && range.contains(&number)
        {
            return Some(number);
        }
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.mismatch(field, node, &expected, "write the number without quotes or a unit", notes);
        None
    }

    /// An amount that is not negative.
    pub(super) fn amount(&self, field: &'static str, notes: &mut Notes) -> Option<f64> {
        let node = self.get(field, notes)?;
        let amount = match node.value {
            #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 dollars")]
            Value::Int(number) => number as f64,
            Value::Float(number) => number,
            _ => f64::NAN,
        };
        if amount.is_finite() && amount >= 0.0 {
            return Some(amount);
        }
        self.mismatch(field, node, "a number, 0 or more", "write the dollars as a number: 2.5", notes);
        None
    }

    /// The items of a list; none if it is missing or no list.
    pub(super) fn items(&self, field: &'static str, of: &str, notes: &mut Notes) -> &'a [Node] {
        match self.get(field, notes) {
            None => &[],
            Some(Node { value: Value::List(items), .. }) => items,
            Some(node) => {
                let hint = format!("write it in brackets, even a single one: [{of}]");
                self.mismatch(field, node, "a list", hint, notes);
                &[]
            }
        }
    }

    /// Patterns that can be owned; the others are noted as `bad-path`.
    pub(super) fn patterns(&self, field: &'static str, notes: &mut Notes) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        for node in self.items(field, "\"src/a.rs\"", notes) {
            let Value::Text(text) = &node.value else {
                self.mismatch(field, node, "a list of texts", "each pattern is a text in quotes", notes);
                continue;
            };
            match notes.patterns.parse(text) {
                Ok(pattern) => {
                    notes.places.set_item(self.part, field, patterns.len(), node.place);
                    patterns.push(pattern);
                }
                Err(bad) => self.bad_path(field, node, text, &bad.reason, bad.hint, notes),
            }
        }
        patterns
    }

    /// Notes that the path or pattern `text` in `field` cannot be owned.
    pub(super) fn bad_path(
        &self,
        field: &'static str,
        node: &Node,
        text: &str,
        reason: &str,
        hint: impl Into<String>,
        notes: &mut Notes,
    ) {
        let message = format!("{}: `{field}`: {reason}", self.name);
        self.note(
            field,
            Problem::error(ProblemCode::BadPath, message, hint).about(text).at(node.place),
            notes,
        );
    }

    /// A command: a list of texts, or one text that is split as a shell would.
    pub(super) fn command(&self, field: &'static str, notes: &mut Notes) -> Option<CommandLine> {
        let node = self.get(field, notes)?;
        self.command_in(field, node, notes)
    }

    /// A command, or a list of commands. A list that holds lists, or begins with a
    /// text that has blanks in it, is a list of commands; any other is one command.
    pub(super) fn commands(&self, field: &'static str, notes: &mut Notes) -> Option<Vec<CommandLine>> {
        let node = self.get(field, notes)?;
        let Value::List(items) = &node.value else {
            return self.command_in(field, node, notes).map(|command| vec![command]);
        };
        let begins_with_a_line = matches!(items.first(), Some(Node { value: Value::Text(text), .. }) if text.trim().contains(char::is_whitespace));
        if begins_with_a_line || items.iter().any(|item| matches!(item.value, Value::List(_))) {
            return Some(items.iter().filter_map(|item| self.command_in(field, item, notes)).collect());
        }
        let command = self.command_in(field, node, notes)?;
        if command.0.len() > 1 {
            let message = format!(
                "{}: `{field}` is read as the one command {}",
                self.name,
                shell_words::join(&command.0)
            );
            let mut problem = Problem::warning(
                ProblemCode::Syntax,
                message,
                "if it is meant so, write [[\"program\", \"argument\"]]; for several commands [[\"first\"], [\"second\"]]",
            )
            .at(node.place);
            problem.task.clone_from(&self.task);
            notes.problems.add(problem);
        }
        Some(vec![command])
    }

    fn command_in(&self, field: &'static str, node: &'a Node, notes: &mut Notes) -> Option<CommandLine> {
        const EXPECTED: &str = "a command: a list of texts, or one text";
        const HINT: &str = "write [\"cargo\", \"test\"] or \"cargo test\"";
        let words = match &node.value {
            Value::Text(line) => match shell_words::split(line) {
                Ok(_) if shell_sign(line).is_some() => {
                    let sign = shell_sign(line).unwrap_or_default();
                    let what =
                        format!("has `{sign}` in it, which only a shell understands, and none reads it");
                    let hint = "quote it, or have a shell run it: [\"sh\", \"-c\", \"…\"]";
                    self.refuse(field, node.place, &what, hint, notes);
                    return None;
                }
                Ok(words) => words,
                Err(_) => {
                    self.refuse(
                        field,
                        node.place,
                        "has a quote that is never closed",
                        "close it, or write the command as a list: [\"program\", \"argument\"]",
                        notes,
                    );
                    return None;
                }
            },
            Value::List(items) => {
                let mut words = Vec::with_capacity(items.len());
                for item in items {
                    let Value::Text(word) = &item.value else {
                        self.mismatch(field, item, "a command of texts only", "put quotes around it", notes);
                        return None;
                    };
                    words.push(word.clone());
                }
                words
            }
            _ => {
                self.mismatch(field, node, EXPECTED, HINT, notes);
                return None;
            }
        };
        let what = match words.first() {
            None => "is an empty command",
            Some(program) if program.trim().is_empty() => "names no program",
            Some(_) if words.iter().any(|word| word.contains('\0')) => "has a NUL in it",
            Some(_) => return Some(CommandLine(words)),
        };
        self.refuse(field, node.place, what, HINT, notes);
        None
    }
}
