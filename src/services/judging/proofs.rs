//! Gates that are proved from git's facts and from running the tests.

use super::commands::{self, End};
use super::verify::VerifyTree;
use super::{Case, Finding, UNPROVED, is_from_ecosystem};
use crate::base::ids::TaskId;
use crate::base::paths::RepoPath;
use crate::domain::own_tests::{is_code_path, is_same_code, with_tests_of};
use crate::domain::plan::CommandLine;
use crate::domain::verdict::GateOutcome;
use crate::services::Error;
use crate::sys::git::change::{Change, Mode};
use crate::sys::git::{Oid, Snapshot, construct, read};

/// Nothing outside the claim was changed.
pub fn ownership(case: &Case<'_>) -> Finding {
    if case.outside.is_empty() {
        let ignored = case.ignored.iter().map(|path| format!("{path} (ignored by git: it does not land)"));
        let changed = case.snapshot.changed.iter().map(|change| change.path.to_string());
        let unowned =
            case.unowned.iter().map(|path| format!("{path} (owned by nobody, changed by somebody)"));
        let evidence = lines(changed.chain(ignored).chain(unowned));
        let mut left = match case.ignored {
            [] => String::new(),
            [one] => format!("; git ignores {one}, so it does not land"),
            [first, ..] => {
                format!("; git ignores {} files ({first} …), so they do not land", case.ignored.len())
            }
        };
        if let [first, more @ ..] = case.unowned {
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            left.push_str(&format!(
                "; meanwhile {first}{more} changed, which nobody owns: by this worker, another or a person"
            ));
        }
        let (outcome, why) = match (case.snapshot.changed.len(), &case.delegated[..]) {
            (0, []) if case.is_open => {
                (GateOutcome::Pass, "nothing was changed: what it was sent for is its answer".to_owned())
            }
            (0, []) => {
                (GateOutcome::Fail, format!("nothing was changed, so there is nothing to accept{left}"))
            }
            (0, done) => {
                let names: Vec<&str> = done.iter().map(TaskId::as_str).collect();
                (GateOutcome::Pass, format!("all of it was done by {}", names.join(", ")))
            }
            (1, _) => (GateOutcome::Pass, format!("1 changed file, within the claim{left}")),
            (count, _) => (GateOutcome::Pass, format!("{count} changed files, all within the claim{left}")),
        };
        return Finding { outcome, why, evidence };
    }
    let first = &case.outside[0];
    let more = match case.outside.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    Finding {
        outcome: GateOutcome::Fail,
        why: format!("{} {}{more}", first.0, first.1),
        evidence: lines(case.outside.iter().map(|(path, why)| format!("{path} {why}"))),
    }
}

/// The specs exist, are not empty, and came before the code.
pub fn specs(case: &Case<'_>) -> Result<Finding, Error> {
    // What writes a spec has no spec before it, but has to write one.
    if !case.is_spec && !case.rules.spec_first.unwrap_or(true) {
        return Ok(Finding::skipped("the rules do not want specs first"));
    }
    if case.specs.is_empty() {
        return Ok(Finding::skipped("the plan names no specs"));
    }
    // A spec that this very work writes is looked for in the work; all others must have been there before.
    let place = if case.is_spec { &case.work } else { &case.snapshot.base };
    for spec in case.specs {
        let path = RepoPath::from(spec.file.as_str());
        let written_here = case.snapshot.changed.iter().any(|change| change.path == path);
        if case.is_spec && !written_here {
            continue;
        }
        let content = read::show_file(case.git, place, &path)?;
        let problem = match content {
            None if case.is_spec => "does not exist",
            None => "did not exist before the code",
            Some(content) if content.iter().all(u8::is_ascii_whitespace) => "is empty",
            Some(_) => continue,
        };
        return Ok(Finding::new(GateOutcome::Fail, format!("the spec {} {problem}", spec.file)));
    }
    let is_meant = |file: &str| {
        !case.is_spec || case.snapshot.changed.iter().any(|change| change.path == RepoPath::from(file))
    };
    let names = case.specs.iter().map(|spec| spec.file.as_str()).filter(|file| is_meant(file));
    let names = names.collect::<Vec<_>>().join(", ");
    Ok(match (case.is_spec, names.is_empty()) {
        (true, true) => Finding::skipped("no spec was changed"),
        (true, false) => Finding::new(GateOutcome::Pass, format!("{names} is written")),
        (false, _) => Finding::new(GateOutcome::Pass, format!("{names} came before the code")),
    })
}

/// Code comes with tests.
pub fn tests_exist(case: &Case<'_>) -> Result<Finding, Error> {
    let mut finding = tests_there(case)?;
    let is_gone = |change: &&Change| change.new_mode == Mode::Absent && is_test(case, &change.path);
    let gone: Vec<&Change> = case.snapshot.changed.iter().filter(is_gone).collect();
    if let Some(first) = gone.first() {
        let more = if gone.len() > 1 { format!(" and {} more", gone.len() - 1) } else { String::new() };
        finding.why.push_str(&format!("; deleted: {}{more}", first.path));
        finding.evidence.push_str(&lines(gone.iter().map(|change| format!("deleted {}", change.path))));
    }
    Ok(finding)
}

fn tests_there(case: &Case<'_>) -> Result<Finding, Error> {
    if case.is_spec {
        return Ok(Finding::skipped("a spec needs no tests"));
    }
    if !case.rules.tdd.unwrap_or(true) {
        return Ok(Finding::skipped("the rules do not want tests first"));
    }
    let is_code = |path: &&RepoPath| path.as_str().is_some_and(is_code_path);
    let code: Vec<&RepoPath> = changed(case).filter(|path| is_code(path) && !is_test(case, path)).collect();
    let tests: Vec<&RepoPath> = changed(case).filter(|path| is_test(case, path)).collect();
    if let Some(first) = tests.first() {
        let more = if tests.len() > 1 { format!(" and {} more", tests.len() - 1) } else { String::new() };
        return Ok(Finding {
            outcome: GateOutcome::Pass,
            why: format!("{first}{more} changed with the code"),
            evidence: lines(tests.iter().map(ToString::to_string)),
        });
    }
    let Some(first) = code.first() else { return Ok(Finding::skipped("no code was changed")) };
    if case.rules.test.is_none() && case.tests.is_none() {
        return Ok(Finding::skipped("no test command is known, so no test could be run"));
    }
    // Tests that the plan names and that are there already count: they were written before.
    if let Some(tests) = &case.tests {
        let entries = read::ls_tree(case.git, &case.work, &[])?;
        if let Some(entry) = entries.iter().find(|entry| tests.contains(&entry.path)) {
            return Ok(Finding::new(GateOutcome::Pass, format!("{} is there already", entry.path)));
        }
    }
    let own = own_tests(case)?;
    if let Some(OwnTests { path: first, .. }) = own.first() {
        let more = if own.len() > 1 { format!(", {} more files too", own.len() - 1) } else { String::new() };
        return Ok(Finding {
            outcome: GateOutcome::Pass,
            why: format!("{first} has tests of its own, which changed with it{more}"),
            evidence: lines(own.iter().map(|own| own.path.to_string())),
        });
    }
    Ok(Finding::new(GateOutcome::Fail, format!("{first} was changed without any test")))
}

/// A file of code that was changed with tests of its own in it.
struct OwnTests {
    path: RepoPath,
    /// As it was but for these tests; `None` where it was not there, and nobody would look for them.
    red: Option<Vec<u8>>,
    /// Whether nothing else changed in it.
    is_all: bool,
}

/// The files of code that were changed with tests of their own in them.
fn own_tests(case: &Case<'_>) -> Result<Vec<OwnTests>, Error> {
    let mut own = Vec::new();
    // Where the plan says what its tests are, nothing else is one.
    let changes = case.snapshot.changed.iter().filter(|_| case.tests.is_none());
    for Change { path, new_mode, old_mode, .. } in changes {
        let is_file = matches!(new_mode, Mode::File | Mode::Executable);
        if !is_file || !path.as_str().is_some_and(|path| path.ends_with(".rs")) || is_test(case, path) {
            continue;
        }
        let text = |place| -> Result<String, Error> {
            let content = read::show_file(case.git, place, path)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&content).into_owned())
        };
        let (base, work) = (text(&case.snapshot.base)?, text(&case.work)?);
        if let Some(red) = with_tests_of(&base, &work) {
            let red = (*old_mode != Mode::Absent).then(|| red.into_bytes());
            own.push(OwnTests { path: path.clone(), red, is_all: is_same_code(&base, &work) });
        }
    }
    Ok(own)
}

/// The changed tests fail without the implementation and pass with it.
pub fn red_green(case: &Case<'_>, verify: &mut Option<VerifyTree>) -> Result<Finding, Error> {
    if case.is_spec {
        return Ok(Finding::skipped("a spec is not run"));
    }
    let Some(command) = &case.rules.test else {
        // Of prose nothing is to be run; of code it is said that nothing did.
        let is_to_be_run = changed(case).any(|path| is_code(case, path) || is_test(case, path));
        return Ok(Finding::skipped(match is_to_be_run {
            true => format!("{UNPROVED}: no test command is known; set rules.test in kapell.toml"),
            false => "no test command is known".to_owned(),
        }));
    };
    let shown = shell_words::join(&command.0);
    let own = own_tests(case)?;
    let is_own = |path: &RepoPath| own.iter().any(|own| own.red.is_some() && own.path == *path);
    let is_all_tests = |path: &RepoPath| own.iter().any(|own| own.is_all && own.path == *path);
    let has_tests = changed(case).any(|path| is_test(case, path) || is_own(path));
    let has_code = changed(case).any(|path| !is_test(case, path) && !is_all_tests(path));
    let wants_red = case.rules.tdd.unwrap_or(true) && has_tests && has_code;
    let defining = defining(case, command)?;
    let by = defining.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut evidence = String::new();
    if wants_red {
        let tests_only = |change: &Change| {
            (is_test(case, &change.path) || is_own(&change.path))
                && !case.outside.iter().any(|(path, _)| *path == change.path)
        };
        let reds = own.iter().filter_map(|own| Some((own.path.clone(), own.red.clone()?)));
        let alone = construct::standing_in(case.git, case.snapshot, reds)?;
        let red = Red {
            name: "red",
            keep: &tests_only,
            message: "kapell: tests alone",
            heading: format!("the tests without the implementation: {shown}"),
            passes: format!("`{shown}` passes without the implementation: the new tests prove nothing"),
        };
        if let Some(finding) = red.stands(case, verify, &alone, command, &mut evidence)? {
            return Ok(finding);
        }
        let is_code_besides =
            changed(case).any(|path| !is_test(case, path) && !is_all_tests(path) && !defining.contains(path));
        if !defining.is_empty() && is_code_besides {
            // With what the work made of the command: one that passes whatever there is proves nothing.
            let with_command = |change: &Change| tests_only(change) || defining.contains(&change.path);
            let red = Red {
                name: "red-own",
                keep: &with_command,
                message: "kapell: tests and what runs them",
                heading: format!("the same with the work's own {by}"),
                passes: format!(
                    "`{shown}` passes without the implementation as soon as {by} is changed, which says what it runs: that proves nothing"
                ),
            };
            if let Some(finding) = red.stands(case, verify, &alone, command, &mut evidence)? {
                return Ok(finding);
            }
        }
    }
    let seen = commands::on_commit_twice(case, verify, &case.work, "green", command)?;
    evidence.push_str(&format!("== the tests with the implementation: {shown}\n{}\n", seen.output));
    Ok(match seen.end {
        End::Passed => {
            let mut why = if wants_red {
                format!("`{shown}` fails without the implementation and passes with it")
            } else {
                format!("`{shown}` passes")
            };
            if !by.is_empty() {
                why.push_str(&format!("; {by}, which says what it runs, was changed too"));
            }
            Finding { outcome: GateOutcome::Pass, why, evidence }
        }
        End::Flaky(how) => {
            let why = format!("`{shown}` {how} with the implementation, and passes when run again");
            Finding { outcome: GateOutcome::Flaky, why, evidence }
        }
        End::Failed(how) => {
            let why = format!("`{shown}` {how} with the implementation");
            Finding { outcome: GateOutcome::Fail, why, evidence }
        }
        End::Unknown(why) => unknown(case, command, &shown, &why, evidence),
    })
}

/// The work without its implementation, on which its tests must fail.
struct Red<'a> {
    /// The name of the run.
    name: &'a str,
    /// What of the change is in it.
    keep: &'a dyn Fn(&Change) -> bool,
    /// The message of its commit.
    message: &'a str,
    /// Above what the run printed.
    heading: String,
    /// What is found where they pass.
    passes: String,
}

impl Red<'_> {
    /// Runs them; what is found unless they fail.
    fn stands(
        &self,
        case: &Case<'_>,
        verify: &mut Option<VerifyTree>,
        alone: &Snapshot,
        command: &CommandLine,
        evidence: &mut String,
    ) -> Result<Option<Finding>, Error> {
        let commit = construct::construct(case.git, alone, self.keep, self.message, &case.evidence)
            .map_err(Error::from_git)?;
        let seen = commands::on_commit(case, verify, &commit, self.name, command)?;
        evidence.push_str(&format!("== {}\n{}\n", self.heading, seen.output));
        let (why, evidence) = match seen.end {
            End::Failed(_) => return Ok(None),
            End::Passed | End::Flaky(_) => (self.passes.clone(), std::mem::take(evidence)),
            End::Unknown(why) => {
                let shown = shell_words::join(&command.0);
                return Ok(Some(unknown(case, command, &shown, &why, std::mem::take(evidence))));
            }
        };
        Ok(Some(Finding { outcome: GateOutcome::Fail, why, evidence }))
    }
}

/// The changed files, tests aside, that say what a test command runs: a script that it names, the scripts of
/// `package.json`, a makefile.
fn defining(case: &Case<'_>, command: &CommandLine) -> Result<Vec<RepoPath>, Error> {
    let words = &command.0;
    let program = words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word));
    let mut defining = Vec::new();
    for path in changed(case).filter(|path| !is_test(case, path)) {
        let Some(name) = path.as_str() else { continue };
        let is_named = words.iter().any(|word| word.strip_prefix("./").unwrap_or(word) == name);
        let is_makes = matches!(program, "make" | "gmake")
            && (matches!(name, "GNUmakefile" | "makefile" | "Makefile") || name.ends_with(".mk"));
        let is_nodes = matches!(program, "npm" | "pnpm" | "yarn" | "bun") && name == "package.json";
        if is_named
            || is_makes
            || is_nodes && scripts(case, &case.snapshot.base, path)? != scripts(case, &case.work, path)?
        {
            defining.push(path.clone());
        }
    }
    Ok(defining)
}

/// The scripts of a `package.json` in a commit.
fn scripts(case: &Case<'_>, commit: &Oid, path: &RepoPath) -> Result<Option<serde_json::Value>, Error> {
    let content = read::show_file(case.git, commit, path)?.unwrap_or_default();
    let package: Option<serde_json::Value> = serde_json::from_slice(&content).ok();
    Ok(package.and_then(|package| package.get("scripts").cloned()))
}

fn unknown(case: &Case<'_>, command: &CommandLine, shown: &str, why: &str, evidence: String) -> Finding {
    if !is_from_ecosystem(case, command) || !why.starts_with("there is no program") {
        return Finding {
            outcome: GateOutcome::Error,
            why: format!("`{shown}` cannot be run: {why}"),
            evidence,
        };
    }
    let why = format!("`{shown}`, usual here, cannot be run: {why}");
    // Prose needs no program. Of code nothing is known before something ran it, whatever the other gates say.
    let is_proved_by_running = |change: &Change| is_code(case, &change.path) || is_test(case, &change.path);
    if !case.snapshot.changed.iter().any(is_proved_by_running) {
        return Finding::skipped(why);
    }
    let next = "install it, give its folder in PATH, or set rules.test in kapell.toml";
    Finding { outcome: GateOutcome::Error, why: format!("{why}; {next}"), evidence }
}

fn changed<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a RepoPath> {
    case.snapshot.changed.iter().filter(|change| change.new_mode != Mode::Absent).map(|change| &change.path)
}

/// Whether a file is a test: as the plan says, else by its name.
fn is_test(case: &Case<'_>, path: &RepoPath) -> bool {
    match &case.tests {
        Some(tests) => tests.contains(path),
        None => path.as_str().is_some_and(|path| case.ecosystem.is_test_path(path)),
    }
}

/// Whether a file is code, or says how the project's code is built and tested.
fn is_code(case: &Case<'_>, path: &RepoPath) -> bool {
    path.as_str().is_some_and(|path| is_code_path(path) || case.ecosystem.evidence.as_deref() == Some(path))
}

fn lines(items: impl Iterator<Item = String>) -> String {
    items.fold(String::new(), |mut text, item| {
        text.push_str(&item);
        text.push('\n');
        text
    })
}
