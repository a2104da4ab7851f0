//! What a person asks about the configuration: what is wrong with it, and what it says.
//!
//! Both functions take the texts of both files. They read TOML and know no keys.

use std::path::{Path, PathBuf};

/// A configuration file: where it is, and its text.
pub type Source<'a> = (&'a Path, &'a str);

/// One problem of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// The file that says it.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The key in question; empty where the text is no TOML.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

/// Everything wrong with the project's file and the person's.
pub fn check(project: Option<Source<'_>>, person: Option<Source<'_>>) -> Vec<Problem> {
    project.into_iter().chain(person).filter_map(|source| parse(source).err()).collect()
}

/// The project's file laid over the person's: tables key by key, everything else replaced.
///
/// # Errors
/// The problems of the files.
pub fn show(project: Option<Source<'_>>, person: Option<Source<'_>>) -> Result<toml::Table, Vec<Problem>> {
    let problems = check(project, person);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut whole = toml::Table::new();
    for source in project.into_iter().chain(person) {
        if let Ok(table) = parse(source) {
            lay_under(&mut whole, table);
        }
    }
    Ok(whole)
}

fn lay_under(upper: &mut toml::Table, lower: toml::Table) {
    for (key, value) in lower {
        match (upper.get_mut(&key), value) {
            (Some(toml::Value::Table(upper)), toml::Value::Table(lower)) => lay_under(upper, lower),
            (Some(_), _) => {}
            (None, value) => {
                upper.insert(key, value);
            }
        }
    }
}

fn parse((path, text): Source<'_>) -> Result<toml::Table, Problem> {
    text.parse().map_err(|error: toml::de::Error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        Problem {
            severity: "error",
            file: path.to_owned(),
            line,
            column,
            key: String::new(),
            message: error.message().to_owned(),
            hint: "toml.io describes the format".to_owned(),
        }
    })
}

/// Line and column, from 1, of a byte.
pub(super) fn place(text: &str, byte: usize) -> (u32, u32) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_its_place() {
        let project = (Path::new("kapell.toml"), "[rules]\nlint = 'grün\n");
        let person = (Path::new("config.toml"), "a = 1\na = 2\n");
        let found = check(Some(project), Some(person));
        let places: Vec<_> = found.iter().map(|p| (p.file.to_str().unwrap(), p.line, p.column)).collect();
        assert_eq!(places, [("kapell.toml", 2, 13), ("config.toml", 2, 1)]);
        assert!(show(Some(project), Some(person)).is_err());
        assert_eq!(check(None, None), []);
    }

    #[test]
    fn the_project_lies_over_the_person() {
        let project = (Path::new("p"), "[rules]\nlint = 'a'\n[roles]\njudge = 'x'");
        let person = (Path::new("q"), "[rules]\nlint = 'b'\ntest = 'c'\n");
        let shown = show(Some(project), Some(person)).unwrap();
        let expected: toml::Table = "[rules]\nlint = 'a'\ntest = 'c'\n[roles]\njudge = 'x'".parse().unwrap();
        assert_eq!(shown, expected);
    }
}
