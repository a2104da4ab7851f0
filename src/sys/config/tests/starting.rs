//! The first file, as it is written and with everything opened.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{check, load, schema, told};
use crate::sys::config::ecosystem;
use crate::sys::config::starter;
use crate::sys::config::types::ProviderKind::{self, Claude, Codex, Command, Opencode};

/// Takes the `#` from every line that is a setting.
fn opened(text: &str) -> String {
    let open = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with([' ', '#']) => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(open).collect()
}

/// Every key below a schema, names of one's own as `*`.
fn keys(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(format!("{path}.{name}"));
        keys(below, &format!("{path}.{name}"), found);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            keys(&schema[inner], &format!("{path}.*"), found);
        }
    }
}

/// Every key that a text sets, in the same form.
fn keys_set(value: &toml::Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let (below, name) = match schema["properties"].get(name) {
                    Some(below) => (below, name.as_str()),
                    None => (&schema["additionalProperties"], "*"),
                };
                found.insert(format!("{path}.{name}"));
                keys_set(value, below, &format!("{path}.{name}"), found);
            }
        }
        toml::Value::Array(values) => {
            for value in values {
                keys_set(value, &schema["items"], &format!("{path}.*"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn it_is_clean_closed_and_opened_for_every_surrounding() {
    let projects: [(&str, &str); 4] = [
        ("Cargo.toml", "[package]\nname = 'x'"),
        ("package.json", r#"{"scripts": {"test": "vitest", "lint": "eslint ."}}"#),
        ("Makefile", "test:\n\techo\n"),
        ("README", ""),
    ];
    let agents: [&[ProviderKind]; 6] =
        [&[], &[Claude], &[Opencode], &[Codex, Claude], &[Claude, Codex, Opencode], &[Command, Codex, Codex]];
    for (name, text) in projects {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        let ecosystem = ecosystem::find(folder.path());
        for agents in agents {
            let closed = starter(&ecosystem, agents);
            let opened = opened(&closed);
            let path = Path::new("kapell.toml");
            assert_eq!(told(&check(path, &closed)), [""; 0], "{closed}");
            assert_eq!(told(&check(path, &opened)), [""; 0], "{opened}");
            assert!(load(Some((path, &opened)), None, agents).is_ok());
            // Closed, it changes nothing.
            assert!(closed.parse::<toml::Table>().unwrap().is_empty());
            assert!(closed.lines().all(|line| line.len() <= 130), "{closed}");
        }
    }
}

#[test]
fn it_has_every_key_of_a_project() {
    let folder = tempfile::tempdir().unwrap();
    let text = opened(&starter(&ecosystem::find(folder.path()), &[Claude]));
    let schema = schema();
    let (mut all, mut set) = (BTreeSet::new(), BTreeSet::new());
    keys(&schema, "", &mut all);
    // The person's alone.
    all.retain(|key| !key.starts_with(".machine"));
    keys_set(&toml::Value::Table(text.parse().unwrap()), &schema, "", &mut set);
    let missing: Vec<_> = all.difference(&set).collect();
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn its_defaults_are_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let text = opened(&starter(&ecosystem::find(folder.path()), &[Claude, Codex]));
    let path = Path::new("kapell.toml");
    let said = load(Some((path, &text)), None, &[Claude, Codex]).unwrap();
    let silent = load(None, None, &[Claude, Codex]).unwrap();
    assert_eq!((said.isolation, said.wall), (silent.isolation, silent.wall));
    assert_eq!((said.max_workers, said.max_conductors), (silent.max_workers, silent.max_conductors));
    assert_eq!(said.failover.chain, silent.failover.chain);
    assert_eq!(said.failover.alert_at, silent.failover.alert_at);
    assert_eq!((&said.roles.planner, &said.roles.judge), (&silent.roles.planner, &silent.roles.judge));
    assert_eq!(said.health, silent.health);
    assert_eq!(said.rules.max_attempts, silent.rules.max_attempts);
    assert_eq!(
        (said.rules.timeout_s, said.rules.stuck_after_s),
        (silent.rules.timeout_s, silent.rules.stuck_after_s)
    );
    assert_eq!(
        (said.rules.spec_first, said.rules.tdd, &said.rules.review),
        (silent.rules.spec_first, silent.rules.tdd, &silent.rules.review)
    );
    assert_eq!(
        (said.environments.base_port, &said.environments.subs),
        (silent.environments.base_port, &silent.environments.subs)
    );
    let of = |config: &crate::sys::config::Config| config.providers[&"claude".into()].clone();
    assert_eq!(
        (of(&said).max_parallel, of(&said).capability),
        (of(&silent).max_parallel, of(&silent).capability)
    );
    assert_eq!((of(&said).command, of(&said).args), (of(&silent).command, of(&silent).args));
}
