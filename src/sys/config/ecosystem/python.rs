//! Projects in Python.

use std::path::Path;

use super::{Ecosystem, EcosystemKind, Runner, files, words};
use crate::domain::plan::CommandLine;

/// Test files that are looked into for what they import.
const LOOKED_INTO: usize = 20;

pub(super) fn find(top: &Path) -> Option<Ecosystem> {
    let evidence = files::first(
        top,
        &["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "tox.ini", "Pipfile", "pytest.ini"],
    )?;
    let text = |name: &str| files::text(top, name).unwrap_or_default();
    let project = text("pyproject.toml");
    // What runs a program inside the project's own environment.
    let inside = match files::first(top, &["uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"]) {
        Some("uv.lock") => "uv run",
        Some("poetry.lock") => "poetry run",
        Some("pdm.lock") => "pdm run",
        Some(_) => "pipenv run",
        None => "",
    };
    let tests = test_files(top);
    let runner = if uses_pytest(top, &tests) {
        Some(words(&if inside.is_empty() {
            "python3 -m pytest".to_owned()
        } else {
            format!("{inside} pytest")
        }))
    } else if tests.is_empty() {
        None
    } else {
        Some(words(&if inside.is_empty() {
            "python3 -m unittest".to_owned()
        } else {
            format!("{inside} python -m unittest")
        }))
    };
    let tool = |command: &str| Some(words(&format!("{inside} {command}")));
    let lint = if project.contains("[tool.ruff") || files::first(top, &["ruff.toml", ".ruff.toml"]).is_some()
    {
        tool("ruff check .")
    } else if files::is_file(top, ".flake8")
        || ["setup.cfg", "tox.ini"].iter().any(|name| text(name).contains("[flake8]"))
    {
        tool("flake8")
    } else {
        None
    };
    Some(Ecosystem {
        lint,
        // Without files, unittest looks for all.
        test: runner.clone(),
        runner: runner.map_or(Runner::None, |CommandLine(command)| Runner::Paths(command)),
        ..Ecosystem::new(EcosystemKind::Python, evidence)
    })
}

/// Test files at the top and in the test folders, relative to the top.
fn test_files(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "tests", "test"] {
        for name in files::names_in(&top.join(folder)) {
            let is_test = name.ends_with("_test.py") || name.starts_with("test_") && name.ends_with(".py");
            if is_test || name == "conftest.py" {
                found.push(if folder.is_empty() { name } else { format!("{folder}/{name}") });
            }
        }
    }
    found
}

/// Whether it is configured, required, or what the tests are written for.
fn uses_pytest(top: &Path, tests: &[String]) -> bool {
    let says = |name: &str, what: &str| files::text(top, name).is_some_and(|text| text.contains(what));
    files::is_file(top, "pytest.ini")
        || tests.iter().any(|name| name.ends_with("conftest.py"))
        || ["pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "Pipfile", "requirements.txt", "requirements-dev.txt"]
            .iter()
            .any(|name| says(name, "pytest"))
        // Tests that are functions mean nothing to unittest.
        || tests.iter().take(LOOKED_INTO).any(|name| says(name, "import pytest") || says(name, "\ndef test_"))
}
