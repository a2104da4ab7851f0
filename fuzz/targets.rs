//! What is fuzzed, and what must hold whatever comes. Driven by `tests/fuzz.rs` on every run of the
//! tests, and by libFuzzer as README.md says.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;

use globset::GlobBuilder;
use kapell::api::message::{self, Line};
use kapell::base::clock::Time;
use kapell::base::paths::RepoPath;
use kapell::domain::overlap::overlap;
use kapell::domain::pattern::{Pattern, PatternSet};
use kapell::domain::plan::check::{OnOverlap, Surroundings, Walls, check as check_plan};
use kapell::domain::plan::dag;
use kapell::domain::plan::document::{self, Format, Node, Place, Value};
use kapell::domain::plan::outline::{self, Item};
use kapell::domain::plan::problem::Problem;
use kapell::domain::plan::read::read_plan;
use kapell::domain::usage::Usage;
use kapell::domain::writes::{CONTENT, TOP, Write, of_command, of_diff, of_patch};
use kapell::sys::agent::{AgentKind, End, Ending, Event, Reader, Report};
use kapell::sys::config::check::{ConfigProblem, check, check_files};
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
    // What every reader of JSON takes, with the values that it finds.
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes)
        && let Ok(node) = document::read(&String::from_utf8_lossy(bytes), Format::Json)
    {
        assert!(is_value(&node, &value), "{node:?} is {value}");
    }
}

fn is_value(node: &Node, value: &serde_json::Value) -> bool {
    match &node.value {
        Value::Null => value.is_null(),
        Value::Bool(known) => value.as_bool() == Some(*known),
        // Of `-0` another reader keeps the sign.
        Value::Int(known) => value.as_i64() == Some(*known) || *known == 0 && value.as_f64() == Some(0.0),
        // The last digit of a float is the reader's.
        Value::Float(known) => {
            value.as_f64().is_some_and(|value| (value - known).abs() <= known.abs() * 1e-12)
        }
        Value::Text(known) => value.as_str() == Some(known),
        Value::List(known) => value.as_array().is_some_and(|values| {
            values.len() == known.len() && known.iter().zip(values).all(|(a, b)| is_value(a, b))
        }),
        Value::Map(known) => value.as_object().is_some_and(|values| {
            let is_there = |key: &str, node| values.get(key).is_some_and(|value| is_value(node, value));
            values.len() == known.len() && known.iter().all(|(key, node)| is_there(&key.text, node))
        }),
    }
}

/// A plan as YAML.
pub fn plan_yaml(bytes: &[u8]) {
    plan(bytes, Format::Yaml);
}

/// Whatever a document says, reading it ends, and a plan without errors can be put in order or is a circle.
fn plan(bytes: &[u8], format: Format) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A lone CR ends a line too.
    let lines = text.split(['\n', '\r']).count() as u32 + 1;
    let stands = |place: Option<Place>| place.is_none_or(|place| place.line <= lines && place.column > 0);
    let outline = outline::read(text, format);
    if let Some(root) = &outline {
        spans(root, text, &(0..text.len()));
        for offset in (0..=text.len()).take(500) {
            let _ = root.way_to(offset);
            let _ = root.starting_at(offset);
        }
    }
    let node = match document::read(text, format) {
        Err(error) => {
            assert!(stands(error.place) && !error.hint.is_empty(), "{error:?}");
            return;
        }
        Ok(node) => node,
    };
    // Where a text in JSON goes on in the next line, an outline ends it there: it may be half typed.
    let is_cut = format == Format::Json && has_lines(&node);
    let is_shown = outline.as_ref().is_some_and(|outline| is_cut || is_same(&node, outline));
    assert!(is_shown, "{node:?} is shown as {outline:?}");
    let reading = read_plan(&node);
    let Some(plan) = reading.plan else {
        assert!(!reading.problems.is_empty(), "no plan and no reason");
        return;
    };
    let checked = check_plan(&plan, &reading.places, &SURROUNDINGS, &|path| path.len() % 2 == 0);
    for problem in reading.problems.iter().chain(&checked) {
        let places = problem.related.iter().copied().map(Some).chain([problem.place]);
        assert!(places.into_iter().all(stands) && !problem.hint.is_empty(), "{problem:?}");
    }
    match dag::waves(&plan) {
        Ok(waves) => assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), plan.tasks.len()),
        Err(cycle) => assert!(checked.iter().any(Problem::is_error), "nobody is told of {cycle:?}"),
    }
}

/// A plan is checked as if nobody had said anything yet.
static SURROUNDINGS: LazyLock<Surroundings> = LazyLock::new(|| Surroundings {
    targets: None,
    integrator: Pattern::parse("Cargo.lock").into_iter().collect(),
    spec_first: true,
    tdd: true,
    existing_specs: BTreeSet::new(),
    on_overlap: OnOverlap::Reject,
    walls: Walls::StrictInSharedFolder,
});

/// Every part of an outline lies within the text, between characters, and within what it is a part of.
fn spans(item: &Item, text: &str, around: &Range<usize>) {
    let fits = |span: &Range<usize>| {
        let is_within = around.start <= span.start && span.start <= span.end && span.end <= around.end;
        assert!(is_within && text.get(span.clone()).is_some(), "{span:?} in {around:?}");
    };
    fits(&item.span);
    item.items().iter().for_each(|inner| spans(inner, text, &item.span));
    for entry in item.entries() {
        fits(&entry.key_span);
        entry.value.iter().for_each(|value| spans(value, text, &item.span));
    }
}

/// Whether a text in it has more than one line.
fn has_lines(node: &Node) -> bool {
    let is_long = |text: &str| text.contains(['\n', '\r']);
    match &node.value {
        Value::Text(text) => is_long(text),
        Value::List(nodes) => nodes.iter().any(has_lines),
        Value::Map(nodes) => nodes.iter().any(|(key, node)| is_long(&key.text) || has_lines(node)),
        _ => false,
    }
}

/// Whether an outline has the parts that the document has. Half of a letter is shown as what it is.
fn is_same(node: &Node, item: &Item) -> bool {
    match &node.value {
        Value::List(nodes) => {
            nodes.len() == item.items().len() && nodes.iter().zip(item.items()).all(|(a, b)| is_same(a, b))
        }
        Value::Map(nodes) => {
            nodes.len() == item.entries().len()
                && nodes.iter().zip(item.entries()).all(|((key, node), entry)| {
                    (key.text == entry.key || entry.key.contains('\u{fffd}'))
                        && entry.value.as_ref().is_none_or(|item| is_same(node, item))
                })
        }
        _ => item.text().is_some(),
    }
}

/// A configuration is used or refused with a reason that stands in it.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let path = Path::new("kapell.toml");
    let problems = check(path, text);
    let lines = text.split('\n').count() as u32 + 1;
    for problem in &problems {
        let (start, end) = ((problem.line, problem.column), (problem.end_line, problem.end_column));
        assert!((1..=lines).contains(&problem.line) && problem.column > 0 && start <= end, "{problem:?}");
        // An editor reads it line by line.
        assert!(!problem.to_string().contains(['\n', '\r']), "{problem:?}");
    }
    let both = check_files(Some((path, text)), Some((Path::new("config.toml"), text)));
    assert!(both.iter().all(|problem| problem.line > 0), "{both:?}");
    let own = check_files(Some((path, text)), None);
    let loaded = load(Some((path, text)), None, &[ProviderKind::Claude]);
    assert_eq!(loaded.is_err(), own.iter().any(ConfigProblem::is_error), "{own:?} {loaded:?}");
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
    assert!(both.is_none() || !a.is_surely_apart(&b), "{a} and {b} are not apart");
    let set = PatternSet::new([a.clone(), b.clone()]);
    let as_globs = |path: &str, folds: bool| Some((glob(&a, path, folds)?, glob(&b, path, folds)?));
    if let Some(witness) = &both
        && let Some(owned) = as_globs(witness, true)
    {
        assert_eq!(owned, (true, true), "{a} and {b} do not both own {witness}");
    }
    // No file has a NUL in its name.
    for name in lines.filter(|name| !name.contains('\0')) {
        let path = RepoPath::from(name);
        let owned = (a.contains(&path), b.contains(&path));
        if let Some(expected) = as_globs(name, false) {
            assert_eq!(owned, expected, "{path} of {a} and {b}");
        }
        assert!(owned != (true, true) || both.is_some(), "{a} and {b} both own {path}");
        assert_eq!(set.contains(&path), owned.0 || owned.1, "{path} of {a} and {b} together");
        let owner = if owned.0 { Some(&a) } else { Some(&b).filter(|_| owned.1) };
        assert_eq!(set.owner_of(&path), owner, "{path} of {a} and {b} together");
        for own in [Pattern::of_path(name), Pattern::around_path(name)].into_iter().flatten() {
            let is_none = own.is_folder() || name.starts_with("./") || name.ends_with('/');
            assert!(own.contains(&path) || is_none, "{own} does not own {path}");
        }
    }
}

/// Whether globset says that the pattern owns the path; `None` where they differ on purpose: names that
/// nobody owns, classes (globset lets them match `/`), letters beyond ASCII, and what is too big to decide.
fn glob(pattern: &Pattern, path: &str, folds: bool) -> Option<bool> {
    let text = pattern.as_str();
    let is_name = |name: &str| {
        let lower = name.to_ascii_lowercase();
        !matches!(name, "" | "." | "..") && !lower.contains("git") && !lower.contains([':', '\\', '\0'])
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
        let is_answer = |answer: serde_json::Value| {
            answer["jsonrpc"] == "2.0"
                && answer["id"] == id.value()
                && answer.get("result").is_some() != answer.get("error").is_some()
        };
        assert!(parsed.is_ok_and(is_answer), "{answer}");
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
    let known = |name: &str| match name {
        "HOME" => Some("/home/ada".to_owned()),
        TOP => Some("/p".to_owned()),
        name => name.starts_with(CONTENT).then(|| "one\ntwo words\n".to_owned()),
    };
    let told = of_command(text, &known);
    let mut once = told.clone();
    once.sort();
    once.dedup();
    assert!(once.len() == told.len() && told.len() <= 1024, "{} told, {}", told.len(), once.len());
    let diffs = [0, 1, usize::MAX].map(|strip| of_diff(text, strip));
    let of_diffs = diffs.into_iter().flatten().map(|(write, _)| write).collect();
    let writes = [told, of_patch(text), of_diffs].concat();
    assert!(writes.iter().all(|write| !write.path.is_empty()), "{writes:?}");
    // A name in quotes is that name, whatever is in it.
    if (1..1000).contains(&text.len()) && !text.contains(['\'', '\0']) && !text.starts_with("/proc/") {
        assert_eq!(of_command(&format!("echo x > '{text}'"), &known), [Write::at(text)]);
    }
}

/// Reading an agent ends, tells the same twice, no figure falls, and no cost is below nothing.
fn agent(bytes: &[u8], kind: AgentKind) {
    let read = |end: &End| {
        let mut reader = Reader::new(kind, Time::from_millis(1_800_000_000_000)).wanting_answer();
        let mut told = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            told.extend(reader.stdout(line, false));
            told.extend(reader.stderr(line));
        }
        (told, reader.finish(end))
    };
    let (told, report) = read(&End { code: Some(0), ..End::default() });
    let (again, killed) = read(&End { stopped_by_us: true, ..End::default() });
    assert_eq!(format!("{told:?}"), format!("{again:?}"));
    assert!(matches!(killed.ending, Ending::Killed | Ending::Limited(_)), "{:?}", killed.ending);
    assert_eq!(format!("{report:?}"), format!("{:?}", Report { ending: report.ending.clone(), ..killed }));
    let mut last = Usage::default();
    for event in &told {
        match event {
            Event::Usage(now) => {
                let figures =
                    |it: &Usage| [it.input_tokens, it.cached_tokens, it.cache_write_tokens, it.output_tokens];
                assert!(
                    figures(&last).iter().zip(figures(now)).all(|(old, now)| *old <= now),
                    "{last:?} {now:?}"
                );
                assert!(last.usd.unwrap_or(0.0) <= now.usd.unwrap_or(0.0), "{last:?} {now:?}");
                last = *now;
            }
            Event::Session(id) => assert!(!id.is_empty() && !id.starts_with('-'), "{id:?}"),
            _ => {}
        }
    }
    // Of one that told nothing it is known at the end what was sent.
    let only_sent = format!("{last:?}") == format!("{:?}", Usage::default())
        && report.usage.usd.is_none()
        && report.usage.output_tokens == 0;
    assert!(only_sent || format!("{last:?}") == format!("{:?}", report.usage), "{last:?} {:?}", report.usage);
    assert!(report.usage.usd.is_none_or(|usd| usd.is_finite() && usd >= 0.0), "{:?}", report.usage);
    assert!(report.structured.as_ref().is_none_or(serde_json::Value::is_object), "{:?}", report.structured);
    assert!(report.refusals.len() <= 100 && report.findings.len() <= 1000);
}
