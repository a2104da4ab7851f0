//! The rules of the house, held by reading the source as text: floors, foreign crates, file sizes.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file with more lines than this has more than one subject.
const MOST_LINES: usize = 800;

/// For each floor, the floors that it may name. The order is that of the house, from the top.
const FLOORS: [(&str, &[&str]); 8] = [
    ("app", &["doors", "api", "services", "store", "sys", "domain", "base"]),
    ("doors", &["api", "services", "store", "sys", "domain", "base"]),
    ("api", &["services", "store", "sys", "domain", "base"]),
    ("services", &["store", "sys", "domain", "base"]),
    ("store", &["domain", "base"]),
    ("sys", &["domain", "base"]),
    ("domain", &["base"]),
    ("base", &[]),
];

/// Crates that have one place to live.
const CRATES: [(&str, &[&str]); 17] = [
    ("axum", &["doors/http/serve"]),
    ("ratatui", &["doors/top"]),
    ("rusqlite", &["store"]),
    ("rmcp", &["doors/mcp"]),
    ("jsonrpsee", &["doors/http"]),
    ("tower_lsp_server", &["doors/lsp/types"]),
    ("clap", &["doors/cli", "app"]),
    ("landlock", &["sys/wall"]),
    ("nix", &["sys"]),
    ("signal_hook", &["sys"]),
    ("jsonc_parser", &["domain/plan", "sys/agent"]),
    ("saphyr_parser", &["domain/plan"]),
    ("toml", &["sys/agent", "sys/config"]),
    ("globset", &["domain", "sys/agent", "sys/config"]),
    ("ignore", &["sys"]),
    ("anyhow", &["app", "doors/mcp"]),
    ("jiff", &["base", "sys/agent", "doors/cli"]),
];

#[derive(Debug)]
struct Source {
    /// Below `src`, without the ending: `doors/mcp/server`.
    name: String,
    lines: Vec<String>,
}

fn sources(root: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&root).unwrap().with_extension("");
                let text = fs::read_to_string(&path).unwrap();
                let lines = text.lines().map(str::to_owned).collect();
                found.push(Source { name: name.to_string_lossy().replace('\\', "/"), lines });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!found.is_empty(), "no sources below {}", root.display());
    found
}

/// The code of a line, without what stands in a comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The names that follow `prefix` in a line: `crate::store::Tx` and `crate::{a, b}` give the first segments.
fn named<'a>(line: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = Vec::new();
    for (at, _) in line.match_indices(prefix) {
        if line[..at].ends_with(|c: char| is_name(c) || c == ':') {
            continue;
        }
        let rest = &line[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(
                group.split(['}', ',']).map(|name| name.trim().split("::").next().unwrap_or_default()),
            ),
            None => names.push(rest.split(|c| !is_name(c)).next().unwrap_or_default()),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn imports_point_down() {
    let floors: BTreeMap<&str, &[&str]> = FLOORS.into_iter().collect();
    let mut wrong = Vec::new();
    for source in sources("src") {
        let floor = source.name.split('/').next().unwrap();
        if matches!(floor, "lib" | "main") {
            continue;
        }
        let allowed = floors.get(floor).unwrap_or_else(|| panic!("src/{floor} is no floor of the house"));
        for (number, line) in source.lines.iter().enumerate() {
            for name in named(code(line), "crate::") {
                if name != floor && !allowed.contains(&name) && floors.contains_key(name) {
                    wrong.push(format!("src/{}.rs:{}: {floor} names {name}", source.name, number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point up:\n{}", wrong.join("\n"));
}

#[test]
fn doors_do_not_know_each_other() {
    let mut wrong = Vec::new();
    for source in sources("src/doors") {
        let door = source.name.split('/').next().unwrap();
        for (number, line) in source.lines.iter().enumerate() {
            for name in named(code(line), "crate::doors::") {
                if door != "mod" && name != door {
                    wrong.push(format!("src/doors/{}.rs:{}: {door} names {name}", source.name, number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn foreign_crates_live_in_their_places() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        for (number, line) in source.lines.iter().enumerate() {
            for (name, places) in CRATES {
                let uses = code(line).match_indices(&format!("{name}::")).any(|(at, _)| {
                    !code(line)[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
                });
                if uses && !places.iter().any(|place| source.name.starts_with(place)) {
                    wrong.push(format!("src/{}.rs:{}: {name} lives in {places:?}", source.name, number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_domain_is_pure() {
    let banned = [
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "serde::",
        "Serialize",
        "Time::now",
        "Instant",
    ];
    let mut wrong = Vec::new();
    for source in sources("src/domain") {
        for (number, line) in source.lines.iter().enumerate() {
            if line.contains("#[cfg(test)]") || source.name.ends_with("tests") {
                break;
            }
            if let Some(banned) = banned.iter().find(|banned| code(line).contains(**banned)) {
                wrong.push(format!("src/domain/{}.rs:{}: {banned}", source.name, number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_have_one_subject() {
    let long: Vec<String> = ["src", "tests", "benches"]
        .into_iter()
        .flat_map(|root| sources(root).into_iter().map(move |source| (root, source)))
        .filter(|(_, source)| source.lines.len() > MOST_LINES)
        .map(|(root, source)| format!("{root}/{}.rs: {} lines", source.name, source.lines.len()))
        .collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = ["todo!", "unimplemented!", "FIXME", "// XXX", "#[ignore]"];
    let mut found = Vec::new();
    for root in ["src", "tests"] {
        for source in sources(root).into_iter().filter(|source| source.name != "tidy") {
            for (number, line) in source.lines.iter().enumerate() {
                if marks.iter().any(|mark| line.contains(mark)) {
                    found.push(format!("{root}/{}.rs:{}: {}", source.name, number + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
