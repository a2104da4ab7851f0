//! Which files are tests, and how given ones are run.

use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet};

use super::{EcosystemKind, Runner, words};

/// Whether a path is one of tests by the customs of one tool.
pub(super) fn is_test_path(kind: EcosystemKind, path: &str) -> bool {
    let mut segments: Vec<&str> = path.split('/').collect();
    let name = segments.pop().unwrap_or_default();
    let in_folder = |names: &[&str]| segments.iter().any(|segment| names.contains(segment));
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    match kind {
        EcosystemKind::Cargo => {
            in_folder(&["tests"])
                || extension == "rs"
                    && (["test", "tests"].contains(&stem)
                        || stem.ends_with("_test")
                        || stem.ends_with("_tests"))
        }
        EcosystemKind::Npm | EcosystemKind::Pnpm | EcosystemKind::Yarn | EcosystemKind::Bun => {
            let is_script = ["js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts"].contains(&extension);
            in_folder(&["__tests__", "__mocks__", "__snapshots__", "test", "tests"])
                // What is to be built may be described in a folder of that name too.
                || is_script && in_folder(&["spec", "e2e"])
                || [".test.", ".spec."].iter().any(|mark| name.contains(mark))
                || kind == EcosystemKind::Bun && ["_test", "_spec"].iter().any(|mark| stem.ends_with(mark))
        }
        EcosystemKind::Python => {
            in_folder(&["tests", "test"])
                || name == "conftest.py"
                || extension == "py" && (stem.starts_with("test_") || stem.ends_with("_test"))
        }
        EcosystemKind::Go => in_folder(&["testdata"]) || name.ends_with("_test.go"),
        EcosystemKind::Maven | EcosystemKind::Gradle => is_jvm_test(&segments, stem, extension),
        // A makefile may stand for any language.
        EcosystemKind::Make | EcosystemKind::Unknown => [
            EcosystemKind::Cargo,
            EcosystemKind::Npm,
            EcosystemKind::Python,
            EcosystemKind::Go,
            EcosystemKind::Maven,
        ]
        .into_iter()
        .any(|kind| is_test_path(kind, path)),
    }
}

/// `src/test`, `src/integrationTest`, and classes called so.
fn is_jvm_test(segments: &[&str], stem: &str, extension: &str) -> bool {
    let is_source = ["java", "kt", "groovy", "scala"].contains(&extension);
    let in_source_set =
        segments.windows(2).any(|pair| pair[0] == "src" && (pair[1] == "test" || pair[1].ends_with("Test")));
    in_source_set
        || is_source && ["Test", "Tests", "TestCase", "IT", "Spec"].iter().any(|mark| stem.ends_with(mark))
}

/// The command that runs only these files.
pub(super) fn test_files_command(runner: &Runner, paths: &[&str]) -> Option<Vec<String>> {
    // A path that begins with a dash would be read as an option, an empty one as everything.
    let is_plain = |path: &&str| !path.is_empty() && !path.starts_with(['-', '/']);
    if paths.is_empty() || !paths.iter().all(is_plain) {
        return None;
    }
    let followed_by = |command: &[String], paths: Vec<String>| Some([command, &paths].concat());
    match runner {
        Runner::None => None,
        Runner::Paths(command) => followed_by(command, paths.iter().map(|path| (*path).to_owned()).collect()),
        Runner::DottedPaths(command) => {
            followed_by(command, paths.iter().map(|path| format!("./{path}")).collect())
        }
        Runner::Cargo { named, by_place } => cargo(named, *by_place, paths),
        Runner::Go => {
            let folder = |path: &&str| {
                path.ends_with("_test.go").then(|| match path.rsplit_once('/') {
                    Some((folder, _)) => format!("./{folder}"),
                    None => ".".to_owned(),
                })
            };
            let folders: Vec<String> = paths.iter().map(folder).collect::<Option<_>>()?;
            let folders: BTreeSet<String> = folders.into_iter().gather();
            followed_by(&words("go test").0, folders.into_iter().collect())
        }
        Runner::Maven(program) => {
            let classes: Vec<String> =
                paths.iter().map(|path| Some(jvm_class(path)?.1)).collect::<Option<_>>()?;
            let classes: BTreeSet<String> = classes.into_iter().gather();
            let chosen = format!("-Dtest={}", classes.into_iter().collect::<Vec<_>>().join(","));
            // Modules without these classes are no failure.
            let command =
                [program.as_str(), "-B", "test", &chosen, "-Dsurefire.failIfNoSpecifiedTests=false"];
            Some(command.map(str::to_owned).to_vec())
        }
        Runner::Gradle(program) => {
            let mut of_project: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for path in paths {
                let (module, class) = jvm_class(path)?;
                let task = if module.is_empty() {
                    ":test".to_owned()
                } else {
                    format!(":{}:test", module.replace('/', ":"))
                };
                of_project.entry(task).or_default().insert(class);
            }
            let mut command = vec![program.clone()];
            for (task, classes) in of_project {
                command.push(task);
                command.extend(classes.into_iter().flat_map(|class| ["--tests".to_owned(), class]));
            }
            Some(command)
        }
    }
}

/// `cargo test --test NAME`, all of one package.
fn cargo(named: &BTreeMap<String, String>, by_place: bool, paths: &[&str]) -> Option<Vec<String>> {
    let mut package = None;
    let mut names = BTreeSet::new();
    for path in paths {
        let (folder, name) = match named.get(*path) {
            Some(name) => ("", name.as_str()),
            None => {
                let (folder, file) = match path.strip_prefix("tests/") {
                    Some(file) => ("", file),
                    None => path.split_once("/tests/")?,
                };
                if folder.is_empty() && !by_place {
                    return None;
                }
                // Cargo takes `tests/NAME.rs` and `tests/NAME/main.rs`; anything else is part of another test.
                let name = file.strip_suffix("/main.rs").or_else(|| file.strip_suffix(".rs"))?;
                (folder, name)
            }
        };
        if name.is_empty() || name.contains('/') || *package.get_or_insert(folder) != folder {
            return None;
        }
        names.insert(name);
    }
    let mut command = words("cargo test").0;
    if let Some(folder) = package.filter(|folder| !folder.is_empty()) {
        command.extend(["--manifest-path".to_owned(), format!("{folder}/Cargo.toml")]);
    }
    command.extend(names.into_iter().flat_map(|name| ["--test".to_owned(), name.to_owned()]));
    Some(command)
}

/// Module folder and class name of a test source in its usual place.
fn jvm_class(path: &str) -> Option<(&str, String)> {
    let (module, rest) = match path.strip_prefix("src/test/") {
        Some(rest) => ("", rest),
        None => path.split_once("/src/test/")?,
    };
    let (_, file) = rest.split_once('/')?;
    let class =
        [".java", ".kt", ".groovy", ".scala"].iter().find_map(|extension| file.strip_suffix(extension))?;
    Some((module, class.replace('/', ".")))
}
