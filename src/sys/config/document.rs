//! A file as it was read: what could be understood of it, with the place of every value.
//!
//! The text is held against the schema. What fits is kept, so that everything
//! else can still be looked into; what does not is reported and left out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{ConfigProblem, Severity};
use super::code::ConfigCode;
use super::schema::SCHEMA;
use super::values::Command;
use crate::base::sorting;
use crate::domain::pattern::Pattern;
use crate::domain::spelling::is_branch_name;

mod wording;

pub(super) use wording::{closest, join, listed, shown, suggestion};

/// A file as it was read.
pub(super) struct Document<'t> {
    file: &'t Path,
    text: &'t str,
    /// Offset of the first byte of every line.
    line_starts: Vec<usize>,
    /// Lines, from 0, that look like the heading of a table.
    headings: Vec<usize>,
    /// Lines, from 0, that are no TOML.
    broken_lines: BTreeSet<usize>,
    /// What fits the schema. Elements of arrays that do not fit are empty, so that the others keep their index.
    pub(super) value: Value,
    /// By key as it is shown, such as `groups.review.members[1]`.
    places: BTreeMap<String, Place>,
    problems: Vec<ConfigProblem>,
}

struct Place {
    /// Where its key stands; for an element of an array, the element.
    key: Range<usize>,
    value: Range<usize>,
    /// Whether the value fits the schema.
    fits: bool,
}

impl<'t> Document<'t> {
    /// Reads a text, whatever it is.
    pub(super) fn read(file: &'t Path, text: &'t str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let lines = text.split('\n').enumerate();
        let headings =
            lines.filter(|(_, line)| line.trim_start().starts_with('[')).map(|(line, _)| line).collect();
        let mut document = Self {
            file,
            text,
            line_starts,
            headings,
            broken_lines: BTreeSet::new(),
            value: Value::Null,
            places: BTreeMap::new(),
            problems: Vec::new(),
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        document.syntax(errors);
        document.value = document.table(&SCHEMA, table.get_ref(), "");
        document
    }

    /// Whether all of it is TOML.
    pub(super) fn is_toml(&self) -> bool {
        self.broken_lines.is_empty()
    }

    /// Whether the file sets that key, be it wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Whether the key is set to something that was already reported.
    pub(super) fn is_reported(&self, key: &str) -> bool {
        self.places.get(key).is_some_and(|place| !place.fits)
    }

    /// Adds an error at a key.
    pub(super) fn error(
        &mut self,
        code: ConfigCode,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let at = self.places.get(key).map_or(0..0, |place| place.key.clone());
        self.report(at, Severity::Error, code, key, message, hint);
    }

    /// Adds an error at the value of a key.
    pub(super) fn value_error(
        &mut self,
        code: ConfigCode,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let at = self.places.get(key).map_or(0..0, |place| place.value.clone());
        self.report(at, Severity::Error, code, key, message, hint);
    }

    /// Adds a warning at the value of a key.
    pub(super) fn warning(
        &mut self,
        code: ConfigCode,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let at = self.places.get(key).map_or(0..0, |place| place.value.clone());
        self.report(at, Severity::Warning, code, key, message, hint);
    }

    /// What was found so far; the document forgets it.
    pub(super) fn take_problems(&mut self) -> Vec<ConfigProblem> {
        std::mem::take(&mut self.problems)
    }

    fn report(
        &mut self,
        span: Range<usize>,
        severity: Severity,
        code: ConfigCode,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let (line, column) = self.place_of(span.start);
        let (end_line, end_column) = self.place_of(span.end);
        self.problems.push(ConfigProblem {
            severity,
            code,
            file: self.file.to_owned(),
            line,
            column,
            end_line,
            end_column,
            key: key.to_owned(),
            message: message.into(),
            hint: hint.into(),
        });
    }

    /// Line and column, from 1, of an offset.
    fn place_of(&self, at: usize) -> (u32, u32) {
        let line = self.line_of(at);
        let before = self.text.get(self.line_starts[line]..at).unwrap_or_default();
        // A byte order mark takes no column.
        let column = before.trim_start_matches('\u{feff}').chars().count() + 1;
        (u32::try_from(line + 1).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }

    /// The line, from 0, of an offset.
    fn line_of(&self, at: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// Reports what is no TOML. A mistake often brings others in its wake, so a line is reported once.
    fn syntax(&mut self, mut errors: Vec<toml::de::Error>) {
        sorting::sort_by_key(&mut errors, |error| error.span().map_or(0, |span| span.start));
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            if !self.broken_lines.insert(self.line_of(span.start)) {
                continue;
            }
            let written = self.text.get(span.clone()).unwrap_or_default();
            let code = match error.message() {
                "duplicate key" => ConfigCode::DuplicateKey,
                _ => ConfigCode::Syntax,
            };
            let (message, hint) = match error.message() {
                "duplicate key" => (format!("`{}` is set twice", shown(written)), "keep one of the two"),
                "string values must be quoted, expected literal string" => {
                    let what =
                        if written.trim().is_empty() { "a value is missing" } else { "a string stands bare" };
                    (
                        what.to_owned(),
                        "write strings in quotes, lists in [ ], true and false in small letters",
                    )
                }
                other => (other.to_owned(), "TOML has one `key = value` a line, and [table] headings"),
            };
            self.report(span, Severity::Error, code, "", message, hint);
        }
    }

    /// Whether it stands where the text is no TOML, or under a heading that is none: then it says nothing.
    fn is_doubtful(&self, span: Range<usize>) -> bool {
        if self.broken_lines.is_empty() {
            return false;
        }
        let (first, last) = (self.line_of(span.start), self.line_of(span.end));
        let under = self.headings[..self.headings.partition_point(|&line| line <= first)].last();
        self.broken_lines.range(first..=last).next().is_some()
            || under.is_some_and(|line| self.broken_lines.contains(line))
    }

    fn table(&mut self, schema: &Value, table: &DeTable<'_>, path: &str) -> Value {
        let mut kept = Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let path = join(path, name);
            let place = Place { key: key.span(), value: value.span(), fits: true };
            self.places.insert(path.clone(), place);
            let (key_span, value_span) = (key.span(), value.span());
            // A table's keys speak for themselves.
            let whole = match value.get_ref() {
                DeValue::Table(_) => key_span,
                _ => key_span.start.min(value_span.start)..key_span.end.max(value_span.end),
            };
            let known = schema
                .get("properties")
                .and_then(|properties| properties.get(name))
                .or_else(|| schema.get("additionalProperties").filter(|rest| rest.is_object()));
            let fitting = match known {
                _ if self.is_doubtful(whole) => None,
                None => {
                    let (message, hint) = wording::unknown_key(schema, &path, name);
                    self.error(ConfigCode::UnknownKey, &path, message, hint);
                    None
                }
                Some(schema) => self.value(schema, value, &path),
            };
            if fitting.is_none() {
                self.unfit(&path);
            }
            // A table with a fault is still there: what names it is not wrong too.
            let is_table =
                || known.is_some_and(|schema| schema.get("type").is_some_and(|kind| kind == "object"));
            if let Some(value) = fitting.or_else(|| is_table().then(|| Value::Object(Map::new()))) {
                kept.insert(name.to_owned(), value);
            }
        }
        Value::Object(kept)
    }

    fn unfit(&mut self, path: &str) {
        if let Some(place) = self.places.get_mut(path) {
            place.fits = false;
        }
    }

    /// The value if it fits the schema; what is wrong is reported.
    fn value(&mut self, schema: &Value, value: &Spanned<DeValue<'_>>, path: &str) -> Option<Value> {
        let Some(alternative) = wording::fitting(schema, value.get_ref()) else {
            let (message, hint) = wording::wrong_type(schema, value.get_ref(), path);
            self.value_error(ConfigCode::WrongType, path, message, hint);
            return None;
        };
        let fitting = match value.get_ref() {
            DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
            DeValue::String(text) => self.string(alternative, text, value.span(), path),
            DeValue::Integer(number) => {
                let found = i64::from_str_radix(number.as_str(), number.radix()).map(Value::from);
                self.number(alternative, found.ok(), &number.to_string(), path)
            }
            DeValue::Float(number) => {
                // Infinity and "not a number" are no JSON and no limit either.
                let found = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
                self.number(alternative, found.map(Value::Number), number.as_str(), path)
            }
            DeValue::Datetime(_) => None,
            DeValue::Array(elements) => self.array(alternative, elements, path),
            DeValue::Table(table) => Some(self.table(alternative, table, path)),
        }?;
        if schema.get("format").is_some_and(|format| format == "command") {
            let command = Command::deserialize(&fitting).map_err(|error| error.to_string());
            if let Err(wrong) = command.and_then(|command| command.parse()) {
                let hint = match wrong.contains("a shell") {
                    true => "quote it, or have a shell run it: [\"sh\", \"-c\", \"…\"]",
                    false => {
                        "write the program and its arguments, such as [\"cargo\", \"test\"] or \"cargo test\""
                    }
                };
                self.value_error(ConfigCode::BadCommand, path, format!("`{path}` {wrong}"), hint);
                return None;
            }
        }
        Some(fitting)
    }

    fn array(&mut self, schema: &Value, elements: &toml::de::DeArray<'_>, path: &str) -> Option<Value> {
        let of_one = schema.get("uniqueItems").is_some_and(|unique| unique == true);
        let items = schema.get("items").unwrap_or(&Value::Null);
        let mut kept: Vec<Value> = Vec::with_capacity(elements.len());
        let mut seen = BTreeSet::new();
        for (index, element) in elements.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let at = element.span();
            self.places.insert(path.clone(), Place { key: at.clone(), value: at, fits: true });
            let fitting = self.value(items, element, &path);
            if fitting.is_none() {
                self.unfit(&path);
            }
            if let (true, Some(Value::String(text))) = (of_one, &fitting)
                && !seen.insert(text.clone())
            {
                self.value_error(
                    ConfigCode::DuplicateName,
                    &path,
                    format!("`{path}` repeats `{}`", shown(text)),
                    "name it once",
                );
            }
            kept.push(fitting.unwrap_or_else(|| wording::empty(items)));
        }
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        // An empty command has words of its own.
        if (kept.len() as u64) < least && items.get("minLength").is_some() {
            self.value_error(
                ConfigCode::BadValue,
                path,
                format!("`{path}` must not be empty"),
                "leave it out for the default",
            );
            return None;
        }
        Some(Value::Array(kept))
    }

    fn number(&mut self, schema: &Value, found: Option<Value>, written: &str, path: &str) -> Option<Value> {
        let (least, most) = wording::range(schema);
        let number = found.as_ref().and_then(Value::as_f64);
        if number.is_some_and(|number| {
            least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most)
        }) {
            return found;
        }
        let message =
            format!("`{path}` must be {}; found {}", wording::range_words(least, most), shown(written));
        let hint = "write such a number, or leave it out for the default";
        self.value_error(ConfigCode::BadValue, path, message, hint);
        None
    }

    fn string(&mut self, schema: &Value, text: &str, span: Range<usize>, path: &str) -> Option<Value> {
        let names = wording::names(schema);
        if !names.is_empty() && !names.contains(&text) {
            let hint = suggestion(text, names.iter().copied()).unwrap_or_default();
            let message = format!("`{path}` must be {}; found `{}`", listed(&names, "or"), shown(text));
            self.value_error(ConfigCode::BadValue, path, message, hint);
            return None;
        }
        if schema.get("minLength").is_some() && text.trim().is_empty() {
            // A command says so in its own words.
            self.value_error(
                ConfigCode::BadValue,
                path,
                format!("`{path}` must not be empty"),
                "leave it out for the default",
            );
            return None;
        }
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        let wrong = match format {
            "regex" => return self.regex(text, span, path).then(|| text.into()),
            "path-pattern" => Pattern::parse(text).err().map(|bad| (bad.reason, bad.hint)),
            "branch" if !is_branch_name(text) => Some((
                format!("`{path}` is no name of a branch: `{}`", shown(text)),
                "write a name that git takes, such as main or release/1.2".to_owned(),
            )),
            "env-pattern" if text.contains(|c: char| c == '=' || c.is_control() || c.is_whitespace()) => Some((
                format!("`{path}` is no name of a variable: `{}`", shown(text)),
                "write a name such as ANTHROPIC_API_KEY, with * for any letters; values belong in set_env".to_owned(),
            )),
            "cache-path" if !is_cache_path(text) => Some((
                format!("`{path}` is no path of a cache: `{}`", shown(text)),
                "write ~/.cache/tool, an absolute path, or a folder of the tree such as target".to_owned(),
            )),
            "url" if !["http://", "https://", "tcp://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())) => {
                Some((
                    format!("`{path}` is no address: `{}`", shown(text)),
                    "write http://127.0.0.1:{port}/health or the like".to_owned(),
                ))
            }
            _ => None,
        };
        match wrong {
            None => Some(text.into()),
            Some((message, hint)) => {
                let code = match format {
                    "path-pattern" | "cache-path" => ConfigCode::BadPath,
                    "env-pattern" | "branch" => ConfigCode::BadName,
                    _ => ConfigCode::BadValue,
                };
                self.value_error(code, path, message, hint);
                None
            }
        }
    }

    /// Whether it is a regular expression; if not, the mistake is reported where it stands.
    fn regex(&mut self, pattern: &str, span: Range<usize>, path: &str) -> bool {
        let (kind, at) = match regex_syntax::Parser::new().parse(pattern) {
            Ok(_) => match regex::Regex::new(pattern) {
                Ok(_) => return true,
                Err(error) => (error.to_string(), None),
            },
            Err(regex_syntax::Error::Parse(error)) => {
                (error.kind().to_string(), Some(error.span().start.offset..error.span().end.offset))
            }
            Err(regex_syntax::Error::Translate(error)) => {
                (error.kind().to_string(), Some(error.span().start.offset..error.span().end.offset))
            }
            Err(error) => (error.to_string(), None),
        };
        // Escapes in the string move the place; then the string itself is shown.
        let written = self.text.get(span.clone()).unwrap_or_default();
        let begin = written.find(pattern).map(|begin| span.start + begin);
        let within = match (begin, &at) {
            (Some(begin), Some(at)) => begin + at.start..begin + at.end,
            _ => span,
        };
        let before = at.and_then(|at| pattern.get(..at.start)).map(|before| before.chars().count());
        let inside = before.map(|before| format!(", at its character {}", before + 1)).unwrap_or_default();
        let message = format!("`{path}` is no regular expression: {kind}{inside}");
        let hint =
            "write patterns in 'single quotes', where a backslash is one, and \\ before a special character";
        self.report(within, Severity::Error, ConfigCode::BadPattern, path, message, hint);
        false
    }
}

/// Whether a text names something that can be a cache: below the root or the home, or in the tree.
fn is_cache_path(text: &str) -> bool {
    let inside = text.strip_prefix("~/").or_else(|| text.strip_prefix('/')).unwrap_or(text);
    let is_name = |name: &str| !matches!(name, "" | "." | ".." | "~") && !name.eq_ignore_ascii_case(".git");
    inside.trim_end_matches('/').split('/').all(is_name) && !text.contains(char::is_control)
}
