//! Which build tool a project uses, and with that the commands it did not configure.
//!
//! Files are read, nothing is run. What a file says decides; a command is only
//! named if it can exist.

use crate::base::sorting::Gather as _;
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::sorting;
use crate::domain::plan::CommandLine;

mod files;
mod node;
mod python;
mod tests_of;

#[cfg(test)]
mod tests;

/// A build tool. In this order the first that is found speaks for a project; one with a test
/// command comes before one without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EcosystemKind {
    /// `Cargo.toml`.
    Cargo,
    /// `package.json`, and no sign of the next three.
    Npm,
    /// `package.json` with `pnpm-lock.yaml` or `packageManager`.
    Pnpm,
    /// `package.json` with `yarn.lock` or `packageManager`.
    Yarn,
    /// `package.json` with `bun.lock` or `packageManager`.
    Bun,
    /// `pyproject.toml`, `setup.py`, `setup.cfg`, `requirements.txt`, `tox.ini` or `Pipfile`.
    Python,
    /// `go.mod` or `go.work`.
    Go,
    /// `pom.xml`.
    Maven,
    /// `build.gradle`, `settings.gradle`, in Groovy or Kotlin.
    Gradle,
    /// A makefile.
    Make,
    /// None of these.
    Unknown,
}

impl EcosystemKind {
    /// Its name for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cargo => "Cargo",
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "Yarn",
            Self::Bun => "Bun",
            Self::Python => "Python",
            Self::Go => "Go",
            Self::Maven => "Maven",
            Self::Gradle => "Gradle",
            Self::Make => "Make",
            Self::Unknown => "unknown",
        }
    }
}

/// The build tool of a project and its commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ecosystem {
    /// The tool that speaks for the project.
    pub kind: EcosystemKind,
    /// Finds faults of style.
    pub lint: Option<CommandLine>,
    /// Runs all tests.
    pub test: Option<CommandLine>,
    /// Builds everything.
    pub build: Option<CommandLine>,
    /// The file that told, relative to the top; `None` only where nothing was found.
    pub evidence: Option<String>,
    /// Tools that are there too.
    pub others: Vec<EcosystemKind>,
    /// How given test files are run.
    runner: Runner,
}

/// How given test files are run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Runner {
    /// Only all tests together.
    #[default]
    None,
    /// This command with the paths after it.
    Paths(Vec<String>),
    /// This command with the paths after it, each begun with `./`.
    DottedPaths(Vec<String>),
    /// `cargo test --test NAME`; names that differ from their files, by path; whether all others are found by place.
    Cargo { named: BTreeMap<String, String>, by_place: bool },
    /// `go test` of the folders.
    Go,
    /// `-Dtest=` of the classes.
    Maven(String),
    /// `--tests` of the classes.
    Gradle(String),
}

/// Looks at the files at the top of a project. Files that cannot be read count as absent.
pub fn find(top: &Path) -> Ecosystem {
    let finders = [cargo, node::find, python::find, go, maven, gradle, make];
    let mut found: Vec<Ecosystem> = finders.iter().filter_map(|find| find(top)).collect();
    sorting::sort_by_key(&mut found, |ecosystem| (ecosystem.test.is_none(), ecosystem.kind));
    let kinds: Vec<EcosystemKind> = found.iter().map(|ecosystem| ecosystem.kind).collect();
    match found.into_iter().next() {
        Some(first) => Ecosystem { others: kinds[1..].to_vec(), ..first },
        None => Ecosystem {
            kind: EcosystemKind::Unknown,
            lint: None,
            test: None,
            build: None,
            evidence: None,
            others: Vec::new(),
            runner: Runner::None,
        },
    }
}

impl Ecosystem {
    /// Whether a path (`/` between segments, from the top) is one of tests, by the customs of the tools
    /// found; by all customs where there is none but a makefile, which may stand for any language.
    pub fn is_test_path(&self, path: &str) -> bool {
        let speaks = |kind: &EcosystemKind| *kind != EcosystemKind::Make;
        let mut kinds =
            std::iter::once(self.kind).chain(self.others.iter().copied()).filter(speaks).peekable();
        match kinds.peek() {
            Some(_) => kinds.any(|kind| tests_of::is_test_path(kind, path)),
            None => tests_of::is_test_path(EcosystemKind::Unknown, path),
        }
    }

    /// The command that runs only these test files (paths from the top); `None` where the tool cannot, or a
    /// file is none that it could run by itself. Then run all tests.
    pub fn test_files_command(&self, paths: &[&str]) -> Option<CommandLine> {
        tests_of::test_files_command(&self.runner, paths).map(CommandLine)
    }

    fn new(kind: EcosystemKind, evidence: &str) -> Self {
        Self {
            kind,
            lint: None,
            test: None,
            build: None,
            evidence: Some(evidence.to_owned()),
            others: Vec::new(),
            runner: Runner::None,
        }
    }
}

/// A command of words between blanks.
fn words(line: &str) -> CommandLine {
    CommandLine(line.split_whitespace().map(str::to_owned).collect())
}

fn cargo(top: &Path) -> Option<Ecosystem> {
    const FILE: &str = "Cargo.toml";
    let text = files::text(top, FILE)?;
    // Someone else's error: a manifest that is no TOML is still one of Cargo's.
    let manifest: toml::Table = text.parse().unwrap_or_default();
    let all = if manifest.contains_key("workspace") { " --workspace" } else { "" };
    let tests = manifest.get("test").and_then(toml::Value::as_array).into_iter().flatten();
    let named = tests.filter_map(|test| {
        let name = test.get("name")?.as_str()?;
        let path = test.get("path").and_then(toml::Value::as_str);
        Some((path.map_or_else(|| format!("tests/{name}.rs"), str::to_owned), name.to_owned()))
    });
    let autotests = manifest.get("package").and_then(|package| package.get("autotests"));
    let runner = Runner::Cargo {
        named: named.gather(),
        by_place: autotests.and_then(toml::Value::as_bool).unwrap_or(true),
    };
    Some(Ecosystem {
        lint: Some(words(&format!("cargo clippy{all} -- -D warnings"))),
        test: Some(words(&format!("cargo test{all}"))),
        build: Some(words(&format!("cargo build{all}"))),
        runner,
        ..Ecosystem::new(EcosystemKind::Cargo, FILE)
    })
}

fn go(top: &Path) -> Option<Ecosystem> {
    let evidence = files::first(top, &["go.mod", "go.work"])?;
    let configured =
        files::first(top, &[".golangci.yml", ".golangci.yaml", ".golangci.toml", ".golangci.json"]);
    // In a workspace `./...` at the top matches no module unless the top is one.
    let has_module = evidence == "go.mod";
    Some(Ecosystem {
        lint: has_module
            .then(|| words(if configured.is_some() { "golangci-lint run" } else { "go vet ./..." })),
        test: has_module.then(|| words("go test ./...")),
        build: has_module.then(|| words("go build ./...")),
        runner: if has_module { Runner::Go } else { Runner::None },
        ..Ecosystem::new(EcosystemKind::Go, evidence)
    })
}

fn maven(top: &Path) -> Option<Ecosystem> {
    let evidence = files::first(top, &["pom.xml"])?;
    let program = if files::is_file(top, "mvnw") { "./mvnw" } else { "mvn" };
    Some(Ecosystem {
        test: Some(words(&format!("{program} -B test"))),
        build: Some(words(&format!("{program} -B package -DskipTests"))),
        runner: Runner::Maven(program.to_owned()),
        ..Ecosystem::new(EcosystemKind::Maven, evidence)
    })
}

fn gradle(top: &Path) -> Option<Ecosystem> {
    let names = ["build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle"];
    let evidence = files::first(top, &names)?;
    let program = if files::is_file(top, "gradlew") { "./gradlew" } else { "gradle" };
    Some(Ecosystem {
        test: Some(words(&format!("{program} test"))),
        build: Some(words(&format!("{program} assemble"))),
        runner: Runner::Gradle(program.to_owned()),
        ..Ecosystem::new(EcosystemKind::Gradle, evidence)
    })
}

fn make(top: &Path) -> Option<Ecosystem> {
    // The order in which make itself looks.
    let evidence = files::first(top, &["GNUmakefile", "makefile", "Makefile"])?;
    let text = files::text(top, evidence)?;
    let target = |name: &str| {
        let is_rule = |line: &str| {
            let Some((targets, rest)) = line.split_once(':') else { return false };
            !line.starts_with(['\t', '#'])
                && !rest.starts_with('=')
                && !rest.starts_with(":=")
                && !targets.contains('=')
                && targets.split_whitespace().any(|target| target == name)
        };
        text.lines().any(is_rule).then(|| words(&format!("make {name}")))
    };
    Some(Ecosystem {
        lint: target("lint"),
        test: target("test").or_else(|| target("check")),
        build: target("build").or_else(|| target("all")),
        ..Ecosystem::new(EcosystemKind::Make, evidence)
    })
}
