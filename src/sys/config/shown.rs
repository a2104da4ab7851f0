//! What both files say together, for people and programs that want to see it.

use serde_json::Value;
use toml::Table;

use super::check::{ConfigProblem, Source, check_files};

/// Both files as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// As TOML.
    pub toml: String,
    /// As JSON.
    pub json: Value,
}

/// What both files say together, without the defaults: tables key by key, the project's routes
/// before the person's, everything else from the project where both say it.
///
/// # Errors
///
/// All problems, if any is an error.
pub fn shown(project: Option<Source<'_>>, person: Option<Source<'_>>) -> Result<Shown, Vec<ConfigProblem>> {
    let problems = check_files(project, person);
    if problems.iter().any(ConfigProblem::is_error) {
        return Err(problems);
    }
    let mut whole = Table::new();
    for (_, text) in project.into_iter().chain(person) {
        // The check has parsed it already.
        if let Ok(table) = text.parse::<Table>() {
            lay_under(&mut whole, table, true);
        }
    }
    // A table that came out of TOML goes into it again, and into JSON: it has no keys but texts.
    let json = serde_json::to_value(&whole).unwrap_or_default();
    Ok(Shown { toml: toml::to_string_pretty(&whole).unwrap_or_default(), json })
}

fn lay_under(upper: &mut Table, lower: Table, is_top: bool) {
    for (key, value) in lower {
        match (upper.get_mut(&key), value) {
            (Some(toml::Value::Table(upper)), toml::Value::Table(lower)) => lay_under(upper, lower, false),
            (Some(toml::Value::Array(upper)), toml::Value::Array(lower)) if is_top && key == "routes" => {
                upper.extend(lower);
            }
            (Some(_), _) => {}
            (None, value) => {
                upper.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_project_lies_over_the_person() {
        let project = "[rules]\nlint = 'a'\n[[routes]]\nmatch = 'x'\nto = 'claude'\n";
        let person = "[rules]\nlint = 'b'\ntest = 'c'\n[[routes]]\nmatch = 'y'\nto = 'claude'\n";
        let both = shown(Some((Path::new("p"), project)), Some((Path::new("q"), person))).unwrap();
        let expected = serde_json::json!({
            "rules": {"lint": "a", "test": "c"},
            "routes": [{"match": "x", "to": "claude"}, {"match": "y", "to": "claude"}],
        });
        assert_eq!(both.json, expected);
        assert_eq!(serde_json::to_value(both.toml.parse::<Table>().unwrap()).unwrap(), expected);
        assert_eq!(shown(None, None).unwrap().json, serde_json::json!({}));
    }

    #[test]
    fn nothing_is_shown_of_what_cannot_be_used() {
        let broken = "[rules]\nlint = 'grün\n";
        let problems = shown(Some((Path::new("p"), broken)), None).unwrap_err();
        assert_eq!(
            problems.iter().map(|problem| (problem.line, problem.column)).collect::<Vec<_>>(),
            [(2, 13)]
        );
    }
}
