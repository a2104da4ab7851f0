//! What is fuzzed, and what must hold whatever comes. Driven by `tests/fuzz.rs` on every run of the
//! tests, and by libFuzzer: `cargo +nightly fuzz run TARGET`.

use std::path::Path;

use globset::GlobBuilder;
use kapell::api::message::{self, Line};
use kapell::base::clock::Time;
use kapell::base::paths::RepoPath;
use kapell::domain::overlap::overlap;
use kapell::domain::pattern::Pattern;
use kapell::domain::plan::dag;
use kapell::domain::plan::document::{self, Format};
use kapell::domain::plan::read::read_plan;
use kapell::domain::writes::{of_command, of_diff, of_patch};
use kapell::sys::agent::{AgentKind, End, Reader};
use kapell::sys::config::check::{ConfigProblem, check};
use kapell::sys::config::load::load;
use kapell::sys::config::types::ProviderKind;

/// A target: its name, which is that of its corpus too, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("plan_json", plan_json),
    ("plan_yaml", plan_yaml),
    ("config", config),
    ("pattern", pattern),
    ("rpc", rpc),
    ("claude", claude),
    ("codex", codex),
    ("opencode", opencode),
    ("command", command),
    ("shell", shell),
];

/// A plan as JSON.
pub fn plan_json(bytes: &[u8]) {
    plan(bytes, Format::Json);
}

/// A plan as YAML.
pub fn plan_yaml(bytes: &[u8]) {
    plan(bytes, Format::Yaml);
}

/// Whatever a document says, reading it ends, and a plan without errors can be put in order or is a circle.
fn plan(bytes: &[u8], format: Format) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = text.lines().count() as u32 + 1;
    match document::read(text, format) {
        Err(error) => assert!(error.place.is_none_or(|place| place.line <= lines), "{error:?}"),
        Ok(node) => {
            let reading = read_plan(&node);
            let Some(plan) = reading.plan else {
                assert!(!reading.problems.is_empty(), "no plan and no reason");
                return;
            };
            if let Ok(waves) = dag::waves(&plan) {
                assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), plan.tasks.len());
            }
        }
    }
}

/// A configuration is used or refused with a reason that stands in it.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let path = Path::new("kapell.toml");
    let problems = check(path, text);
    let lines = text.split('\n').count() as u32 + 1;
    for problem in &problems {
        assert!((1..=lines).contains(&problem.line) && problem.column > 0, "{problem:?}");
    }
    let loaded = load(Some((path, text)), None, &[ProviderKind::Claude]);
    assert_eq!(loaded.is_err(), problems.iter().any(ConfigProblem::is_error), "{problems:?} {loaded:?}");
}

/// Two patterns and paths, a line each: patterns agree with globset, and overlaps with the patterns.
pub fn pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let mut next = || Pattern::parse(lines.next().unwrap_or_default());
    let (Ok(a), Ok(b)) = (next(), next()) else { return };
    assert_eq!(Pattern::parse(a.as_str()).as_ref(), Ok(&a), "{a}");
    let both = overlap(&a, &b);
    assert_eq!(both.is_some(), overlap(&b, &a).is_some(), "{a} and {b}");
    assert!(overlap(&a, &a).is_some(), "{a}");
    let as_globs = |path: &str, folds: bool| Some((glob(&a, path, folds)?, glob(&b, path, folds)?));
    if let Some(witness) = &both
        && let Some(owned) = as_globs(witness, true)
    {
        assert_eq!(owned, (true, true), "{a} and {b} do not both own {witness}");
    }
    for path in lines {
        let owned = (a.contains(&RepoPath::from(path)), b.contains(&RepoPath::from(path)));
        if let Some(expected) = as_globs(path, false) {
            assert_eq!(owned, expected, "{path} of {a} and {b}");
        }
        assert!(owned != (true, true) || both.is_some(), "{a} and {b} both own {path}");
    }
}

/// Whether globset says that the pattern owns the path; `None` where they differ on purpose: names that
/// nobody owns, classes (globset lets them match `/`), letters beyond ASCII, and what is too big to decide.
fn glob(pattern: &Pattern, path: &str, folds: bool) -> Option<bool> {
    let text = pattern.as_str();
    let is_name = |name: &str| {
        let lower = name.to_ascii_lowercase();
        !matches!(name, "" | "." | "..") && !lower.contains("git") && !lower.contains([':', '\\'])
    };
    if !text.is_ascii() || !path.is_ascii() || text.len() > 40 || text.contains('[') {
        return None;
    }
    if !path.split('/').all(is_name) {
        return None;
    }
    let texts = match text.strip_suffix('/') {
        Some(folder) => vec![format!("{folder}/**")],
        None if pattern.is_literal() => vec![format!("{text}/**"), text.to_owned()],
        None => vec![text.to_owned()],
    };
    let mut is_owned = false;
    for text in texts {
        let mut glob = GlobBuilder::new(&text);
        glob.literal_separator(true).empty_alternates(true).case_insensitive(folds);
        is_owned |= glob.build().ok()?.compile_matcher().is_match(path);
    }
    Some(is_owned)
}

/// A line of JSON-RPC is read, or answered with an error that is JSON.
pub fn rpc(bytes: &[u8]) {
    let messages = match message::read(bytes) {
        None => return,
        Some(Line::One(message)) => vec![message],
        Some(Line::Batch(messages)) => messages,
    };
    for message in messages {
        let (id, outcome) = match message {
            Ok(request) => (request.id.unwrap_or_else(message::Id::null), request.params),
            Err((id, error)) => (id, Err(error)),
        };
        let answer = message::response(&id, &outcome);
        let parsed = serde_json::from_str::<serde_json::Value>(&answer);
        assert!(parsed.is_ok_and(|answer| answer["id"] == id.value()), "{answer}");
    }
}

/// What Claude Code prints.
pub fn claude(bytes: &[u8]) {
    agent(bytes, AgentKind::Claude);
}

/// What Codex prints.
pub fn codex(bytes: &[u8]) {
    agent(bytes, AgentKind::Codex);
}

/// What OpenCode prints.
pub fn opencode(bytes: &[u8]) {
    agent(bytes, AgentKind::OpenCode);
}

/// What any other command prints.
pub fn command(bytes: &[u8]) {
    agent(bytes, AgentKind::Command);
}

/// A shell's command, a patch or a diff: what it writes has a name, and there is an end to it.
pub fn shell(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let known = |name: &str| (name == "HOME").then(|| "/home/ada".to_owned());
    let of_diff = of_diff(text, 1).into_iter().map(|(write, _)| write).collect();
    let writes = [of_command(text, &known), of_patch(text), of_diff].concat();
    assert!(writes.iter().all(|write| !write.path.is_empty()), "{writes:?}");
}

/// Reading an agent ends, tells the same twice, and no cost is below nothing.
fn agent(bytes: &[u8], kind: AgentKind) {
    let read = || {
        let mut reader = Reader::new(kind, Time::from_millis(1_800_000_000_000)).wanting_answer();
        let mut told = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            told.extend(reader.stdout(line, false));
            told.extend(reader.stderr(line));
        }
        (format!("{told:?}"), reader.finish(&End { code: Some(0), ..End::default() }))
    };
    let (told, report) = read();
    assert_eq!((told, format!("{report:?}")), {
        let (told, report) = read();
        (told, format!("{report:?}"))
    });
    assert!(report.usage.usd.is_none_or(|usd| usd.is_finite() && usd >= 0.0), "{:?}", report.usage);
    assert!(report.refusals.len() <= 100 && report.findings.len() <= 1000);
}
