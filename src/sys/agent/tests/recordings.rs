//! What the adapters make of every recorded run of the real programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::super::*;
use crate::base::clock::Time;
use crate::domain::usage::Usage;

/// Half an hour before the limits in the recordings end.
pub(super) const NOW: &str = "2026-11-21T00:30:00Z";

/// A recorded run: what it printed and how it ended.
pub(super) struct Recording {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub end: End,
}

pub(super) fn folder(kind: AgentKind) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings").join(kind.as_str())
}

/// The names of all recorded runs of a kind, from whichever of its files.
pub(super) fn cases(kind: AgentKind) -> BTreeSet<String> {
    let entries = fs::read_dir(folder(kind)).expect("recordings of each kind");
    let names = entries.map(|entry| entry.expect("an entry").path());
    names.map(|path| path.file_stem().expect("a name").to_str().expect("text").to_owned()).collect()
}

pub(super) fn recording(kind: AgentKind, case: &str) -> Recording {
    let file = |suffix: &str| folder(kind).join(format!("{case}.{suffix}"));
    let exit = fs::read(file("exit")).expect("how it ended");
    let exit: serde_json::Value = serde_json::from_slice(&exit).expect("JSON");
    let code = exit["exit"].as_i64().expect("an exit status") as i32;
    Recording {
        stdout: fs::read(file("stdout")).expect("its output"),
        // An empty one is not kept.
        stderr: fs::read(file("stderr")).unwrap_or_default(),
        end: End {
            code: (code >= 0).then_some(code),
            signal: (code < 0).then_some(-code),
            stopped_by_us: exit["stopped"] == true,
            timed_out: false,
        },
    }
}

/// Reads a whole run; also all events of it.
pub(super) fn read(mut reader: Reader, recording: &Recording) -> (Report, Vec<Event>) {
    let mut events = Vec::new();
    for line in recording.stdout.split(|byte| *byte == b'\n') {
        events.extend(reader.stdout(line, false));
    }
    for line in recording.stderr.split(|byte| *byte == b'\n') {
        events.extend(reader.stderr(line));
    }
    (reader.finish(&recording.end), events)
}

pub(super) fn reader(kind: AgentKind) -> Reader {
    Reader::new(kind, Time::parse(NOW).expect("a time"))
}

fn shown(usage: Usage) -> String {
    let Usage { input_tokens, cached_tokens, cache_write_tokens, output_tokens, usd } = usage;
    let usd = usd.map(|usd| format!(" ${usd:.6}")).unwrap_or_default();
    format!("{input_tokens}+{cached_tokens}+{cache_write_tokens}>{output_tokens}{usd}")
}

/// One line for each recorded run, and the laws that hold for all of them.
fn table(kind: AgentKind) -> String {
    let mut table = String::new();
    for case in cases(kind) {
        let (report, events) = read(reader(kind), &recording(kind, &case));
        let ending = match &report.ending {
            Ending::Submitted => "submitted".to_owned(),
            Ending::Killed => "killed".to_owned(),
            Ending::Failed { reason } => {
                assert!(!reason.ends_with(": "), "{case}: a failure says why");
                "failed".to_owned()
            }
            Ending::Limited(limit) => {
                let until = limit.resets_at.map(|at| format!(" until {at}")).unwrap_or_default();
                format!("limited: {}{until}", limit.kind.as_str())
            }
        };
        let told: Vec<Usage> = events
            .iter()
            .filter_map(|event| match event {
                Event::Usage(usage) => Some(*usage),
                _ => None,
            })
            .collect();
        assert!(told.is_sorted_by_key(|usage| usage.total_tokens()), "{case}: usage never falls");
        // Of one that was stopped before it told it is known what was sent.
        let last = told.last().copied().unwrap_or(Usage { output_tokens: 0, usd: None, ..report.usage });
        assert_eq!(last, report.usage, "{case}: the last usage is that of the run");
        let refused = events.iter().filter(|event| matches!(event, Event::ToolRefused(_))).count();
        assert_eq!(refused, report.refusals.len(), "{case}: each refusal is told");
        let retries = events.iter().filter(|event| matches!(event, Event::Retrying { .. })).count();
        let line =
            format!("{case:34} {ending:50} refused {refused} retried {retries:<3} {}", shown(report.usage));
        writeln!(table, "{}", line.trim_end()).expect("a string");
    }
    table
}

/// The table is kept beside the recordings; a recording that is not in it fails here too.
#[track_caller]
fn check(kind: AgentKind, expected: &str) {
    let found = table(kind);
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "each recording has its line");
}

#[test]
fn every_recording_of_claude() {
    check(AgentKind::Claude, include_str!("../../../../tests/data/recordings/claude.txt"));
}

#[test]
fn every_recording_of_codex() {
    check(AgentKind::Codex, include_str!("../../../../tests/data/recordings/codex.txt"));
}

#[test]
fn every_recording_of_opencode() {
    check(AgentKind::OpenCode, include_str!("../../../../tests/data/recordings/opencode.txt"));
}

#[track_caller]
fn refusals(kind: AgentKind, case: &str) -> Vec<(String, Option<String>, String)> {
    let (report, _) = read(reader(kind), &recording(kind, case));
    report.refusals.into_iter().map(|refused| (refused.tool, refused.path, refused.reason)).collect()
}

fn told(tool: &str, path: &str, reason: &str) -> (String, Option<String>, String) {
    (tool.to_owned(), Some(path.to_owned()), reason.to_owned())
}

#[test]
fn a_refusal_names_tool_path_and_reason() {
    use AgentKind::{Claude, Codex, OpenCode};
    let ours = "kapell: /home/dev/work/claude-denied_edit_hook/forbidden.txt is outside this task's file set \
                ['/home/dev/work/claude-denied_edit_hook/allowed.txt']";
    assert_eq!(
        refusals(Claude, "denied_edit_hook"),
        [told("Write", "/home/dev/work/claude-denied_edit_hook/forbidden.txt", ours)]
    );
    // A subagent's refusal is in no list at the end.
    let [refused] = &refusals(Claude, "subagent_hook")[..] else { panic!("one refusal") };
    assert_eq!(refused.1.as_deref(), Some("/home/dev/work/claude-subagent_hook/forbidden.txt"));
    // Somebody else's hook: told by the list at the end alone, with the reason from before.
    let [_, bash] = &refusals(Claude, "denied_dontask_allowlist")[..] else { panic!("two refusals") };
    assert_eq!(bash.0, "Bash");
    assert!(bash.2.starts_with("Permission to use Bash has been denied"));
    assert_eq!(
        refusals(Codex, "denied_edit_hook"),
        [told("apply_patch", "forbidden.txt", "kapell: outside the task's file set")]
    );
    assert_eq!(
        refusals(Codex, "denied_outside_workspace_write")[0],
        told(
            "shell",
            "/home/dev/work/outside-codex2.txt",
            "/bin/bash: line 1: /home/dev/work/outside-codex2.txt: Read-only file system"
        )
    );
    assert_eq!(
        refusals(Codex, "git_dir_protected")[1].1.as_deref(),
        Some("/home/dev/work/codex-git_dir_protected/.git/index.lock")
    );
    assert_eq!(
        refusals(OpenCode, "denied_edit_rules"),
        [told(
            "write",
            "/home/dev/work/opencode-denied_edit_rules/forbidden.txt",
            "The user has specified a rule which prevents you from using this specific tool call."
        )]
    );
    assert_eq!(refusals(OpenCode, "denied_edit_and_bash")[1].0, "bash");
}

#[track_caller]
fn reason(kind: AgentKind, case: &str) -> String {
    match read(reader(kind), &recording(kind, case)).0.ending {
        Ending::Failed { reason } => reason,
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn a_failure_says_what_was_seen_last() {
    use AgentKind::{Claude, Codex, OpenCode};
    for (kind, case, expected) in [
        (Claude, "max_budget", "exit status 1: error_max_budget_usd: Reached maximum budget ($0.5)"),
        (Claude, "error_400", "exit status 1: API Error: 400 bad request (fake)"),
        (
            Claude,
            "resume_same_id",
            "exit status 1: Error: Session ID 11111111-2222-4333-8444-555555555555 is already in use.",
        ),
        (Claude, "success_text", "ended without a result: Created a.txt."),
        (
            Codex,
            "no_git",
            "exit status 1: Not inside a trusted directory and --skip-git-repo-check was not specified.",
        ),
        (
            Codex,
            "stream_drop",
            "exit status 1: stream disconnected before completion: stream closed before response.completed",
        ),
        (OpenCode, "resume_unknown", "exit status 1: Error: Session not found"),
        (
            OpenCode,
            "ask_edit",
            "ended without a result: ! permission requested: edit (allowed.txt); auto-rejecting",
        ),
        (
            OpenCode,
            "bad_model",
            "exit status 1: UnknownError: Unexpected server error. Check server logs for details.",
        ),
    ] {
        assert_eq!(reason(kind, case), expected, "{case}");
    }
}

#[test]
fn a_retry_that_cannot_help_says_so() {
    for (kind, case, hopeless) in [
        (AgentKind::Claude, "auth_401", true),
        (AgentKind::Claude, "ratelimit_429_default_retries_25s", false),
        (AgentKind::Codex, "auth_401", true),
        (AgentKind::Codex, "stream_drop", false),
        (AgentKind::OpenCode, "stream_drop", false),
    ] {
        let (_, events) = read(reader(kind), &recording(kind, case));
        let retries = events.iter().filter_map(|event| match event {
            Event::Retrying { attempt, hopeless, .. } => Some((*attempt, *hopeless)),
            _ => None,
        });
        for (index, retry) in retries.enumerate() {
            assert_eq!(retry, (index as u32 + 1, hopeless), "{case}");
        }
    }
}

#[test]
fn a_good_run_is_told_step_by_step() {
    let path = |kind: &str| Some(format!("/home/dev/work/{kind}-success/a.txt"));
    for (kind, tool) in
        [(AgentKind::Claude, "Write"), (AgentKind::Codex, "apply_patch"), (AgentKind::OpenCode, "write")]
    {
        let (report, events) = read(reader(kind), &recording(kind, "success"));
        let told: Vec<&Event> =
            events.iter().filter(|event| !matches!(event, Event::Usage(_) | Event::Warning(_))).collect();
        let [Event::Session(session), rest @ ..] = &told[..] else { panic!("{kind:?}: {told:?}") };
        assert_eq!(Some(session), report.session.as_ref());
        let expected = [
            Event::Text("I will create it.".to_owned()),
            Event::Tool { name: tool.to_owned(), target: path(kind.as_str()) },
            Event::Text("Created a.txt.".to_owned()),
        ];
        assert_eq!(rest.iter().map(|event| (*event).clone()).collect::<Vec<_>>(), expected, "{kind:?}");
        assert_eq!(report.text.as_deref(), Some("Created a.txt."));
        assert_eq!(report.structured, None);
    }
}

#[test]
fn a_near_limit_is_a_warning_alone() {
    let (_, events) =
        read(reader(AgentKind::Claude), &recording(AgentKind::Claude, "ratelimit_warning_subscription"));
    let warning = "the five hour limit is at 92 %, resets at 2026-11-21T00:57:44.000Z";
    assert!(events.contains(&Event::Warning(warning.to_owned())));
    assert!(!events.iter().any(|event| matches!(event, Event::Limited(_) | Event::Retrying { .. })));
}

#[test]
fn an_answer_is_an_object() {
    for (kind, case, expected) in [
        (AgentKind::Claude, "json_schema", Some(r#"{"ok":true,"files":["a.txt"]}"#)),
        (AgentKind::Claude, "json_schema_bad", None),
        (AgentKind::Codex, "output_schema", Some(r#"{"ok":true}"#)),
        (AgentKind::Codex, "output_schema_bad", None),
    ] {
        let (report, _) = read(reader(kind).wanting_answer(), &recording(kind, case));
        assert_eq!(report.structured.map(|answer| answer.to_string()).as_deref(), expected, "{case}");
    }
}

#[test]
fn a_resumed_run_of_codex_does_not_pay_twice() {
    let (first, _) = read(reader(AgentKind::Codex), &recording(AgentKind::Codex, "resume_1"));
    let resumed = reader(AgentKind::Codex).resuming(first.session_usage);
    let (second, _) = read(resumed, &recording(AgentKind::Codex, "resume_2"));
    assert_eq!(second.usage, first.usage, "the same work");
    assert_eq!(second.session_usage, first.usage.plus(second.usage));
    assert_eq!(second.session, first.session);
}
