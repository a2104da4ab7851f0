//! Projects with a `package.json`.

use std::path::Path;

use serde_json::Value;

use super::{Ecosystem, EcosystemKind, Runner, files, words};
use crate::domain::plan::CommandLine;

const FILE: &str = "package.json";

pub(super) fn find(top: &Path) -> Option<Ecosystem> {
    let text = files::text(top, FILE)?;
    let package: Value = serde_json::from_str(&text).unwrap_or_default();
    let kind = kind(top, &package);
    let (run, exec) = match kind {
        EcosystemKind::Pnpm => ("pnpm run", "pnpm exec"),
        EcosystemKind::Yarn => ("yarn run", "yarn run"),
        EcosystemKind::Bun => ("bun run", "bunx"),
        // Never fetches what is not installed.
        _ => ("npm run", "npx --no --"),
    };
    let script = |name: &str| {
        let script = package.get("scripts")?.get(name)?.as_str()?;
        // What `npm init` writes: it only fails.
        (!script.trim().is_empty() && !script.contains("no test specified")).then(|| script.to_owned())
    };
    let command = |name: &str| script(name).map(|_| words(&format!("{run} {name}")));
    let test = script("test");
    let runner = match &test {
        Some(script) => runner_of(script, exec),
        None => runner_installed(&package, kind, exec),
    };
    // Without a script, an installed runner can still run everything.
    // A script that stays and watches never ends; its runner without that does.
    let watches = test.as_ref().is_some_and(|script| script.contains("--watch"));
    let test = command("test").filter(|_| !watches).or_else(|| match &runner {
        Runner::Paths(command) | Runner::DottedPaths(command) => {
            let all = command.iter().filter(|word| *word != "--runTestsByPath");
            Some(CommandLine(all.cloned().collect()))
        }
        _ => None,
    });
    Some(Ecosystem {
        lint: command("lint"),
        test,
        build: command("build"),
        runner,
        ..Ecosystem::new(kind, FILE)
    })
}

/// The package manager: as `packageManager` says, else by its lock file.
fn kind(top: &Path, package: &Value) -> EcosystemKind {
    let named = package.get("packageManager").and_then(Value::as_str).unwrap_or_default();
    let name = named.split('@').next().unwrap_or_default();
    let of_name = [
        ("npm", EcosystemKind::Npm),
        ("pnpm", EcosystemKind::Pnpm),
        ("yarn", EcosystemKind::Yarn),
        ("bun", EcosystemKind::Bun),
    ];
    if let Some((_, kind)) = of_name.into_iter().find(|(known, _)| *known == name) {
        return kind;
    }
    match files::first(top, &["pnpm-lock.yaml", "bun.lock", "bun.lockb", "yarn.lock"]) {
        Some("pnpm-lock.yaml") => EcosystemKind::Pnpm,
        Some("yarn.lock") => EcosystemKind::Yarn,
        Some(_) => EcosystemKind::Bun,
        None => EcosystemKind::Npm,
    }
}

/// The program behind a test script, if it is plain enough to be called with files.
fn runner_of(script: &str, exec: &str) -> Runner {
    // Several commands, or variables before one: the script does more than run a runner.
    if script.contains(['&', '|', ';', '>', '<', '$', '`', '(', '\n']) {
        return Runner::None;
    }
    let Ok(said) = shell_words::split(script) else { return Runner::None };
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    match said.as_slice() {
        // Options before `--test` may load what the tests are written in.
        ["node", rest @ ..] => match rest.iter().position(|word| *word == "--test") {
            Some(at) => {
                let after = &rest[at + 1..];
                let is_option = |word: &&str| word.starts_with("--");
                // What follows an option may be its value, or a file in place of which others are wanted.
                if after
                    .windows(2)
                    .any(|pair| is_option(&pair[0]) && !pair[0].contains('=') && !is_option(&pair[1]))
                {
                    return Runner::None;
                }
                let options = after.iter().filter(|word| is_option(word));
                let command = std::iter::once(&"node").chain(&rest[..=at]).chain(options);
                Runner::Paths(command.map(|&word| word.to_owned()).collect())
            }
            None => Runner::None,
        },
        ["bun", "test"] => Runner::DottedPaths(words("bun test").0),
        [program, options @ ..] => {
            let options: Vec<&str> = options
                .iter()
                .copied()
                .filter(|word| *word != "run" && !word.starts_with("--watch"))
                .collect();
            if options.iter().all(|word| word.starts_with('-')) {
                installed(program, &options, exec)
            } else {
                Runner::None
            }
        }
        [] => Runner::None,
    }
}

/// The test runner among the dependencies.
fn runner_installed(package: &Value, kind: EcosystemKind, exec: &str) -> Runner {
    let has = |name: &str| {
        ["devDependencies", "dependencies"]
            .iter()
            .any(|list| package.get(list).is_some_and(|list| list.get(name).is_some()))
    };
    match ["vitest", "jest"].into_iter().find(|name| has(name)) {
        Some(name) => installed(name, &[], exec),
        None if kind == EcosystemKind::Bun => Runner::DottedPaths(words("bun test").0),
        None => Runner::None,
    }
}

/// A runner that the project has installed, with the options of its script.
fn installed(program: &str, options: &[&str], exec: &str) -> Runner {
    let (start, end) = match program {
        // Its own default is to stay and watch.
        "vitest" => ("vitest run", ""),
        // Otherwise paths are regular expressions.
        "jest" => ("jest", "--runTestsByPath"),
        "mocha" => ("mocha", ""),
        _ => return Runner::None,
    };
    let options = options.iter().map(|&option| option.to_owned());
    Runner::Paths(
        words(&format!("{exec} {start}")).0.into_iter().chain(options).chain(words(end).0).collect(),
    )
}
