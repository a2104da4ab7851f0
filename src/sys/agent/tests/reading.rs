//! What no real program printed yet: garbage, lies, too much, nothing.

use proptest::prelude::*;

use super::super::*;
use super::recordings::{cases, reader, recording};
use crate::base::clock::Time;
use crate::domain::usage::Usage;

const GOOD: End = End { code: Some(0), signal: None, stopped_by_us: false, timed_out: false };

/// Reads these lines of stdout to a good end.
fn report(kind: AgentKind, lines: &[&str]) -> Report {
    let mut reader = reader(kind);
    for line in lines {
        reader.stdout(line.as_bytes(), false);
    }
    reader.finish(&GOOD)
}

#[test]
fn silence_is_a_failure_that_says_so() {
    for kind in [AgentKind::Claude, AgentKind::Codex, AgentKind::OpenCode] {
        let report = report(kind, &[]);
        let reason = "ended without a result: it printed nothing that tells why".to_owned();
        assert_eq!(report.ending, Ending::Failed { reason });
        assert_eq!((report.usage, report.session, report.text), (Usage::default(), None, None));
    }
    // Of any other program the exit status is the word.
    assert_eq!(report(AgentKind::Command, &[]).ending, Ending::Submitted);
}

#[test]
fn success_needs_all_three() {
    let done = r#"{"type":"result","subtype":"success","is_error":false,"result":"ok"}"#;
    let end = |end: End| {
        let mut reader = reader(AgentKind::Claude);
        reader.stdout(done.as_bytes(), false);
        reader.finish(&end).ending
    };
    assert_eq!(end(GOOD), Ending::Submitted);
    assert_eq!(end(End { stopped_by_us: true, ..GOOD }), Ending::Killed);
    assert_eq!(end(End { timed_out: true, ..GOOD }), Ending::Killed);
    assert!(matches!(end(End { code: Some(143), ..GOOD }), Ending::Failed { .. }));
    let signalled = end(End { code: None, signal: Some(9), ..GOOD });
    assert!(matches!(signalled, Ending::Failed { reason } if reason.starts_with("killed by signal 9: ")));
    // Cut in the middle of a character, as JavaScript cuts and writes it.
    let cut = r#"{"type":"result","subtype":"success","is_error":false,"result":"ok \ud83d"}"#;
    assert_eq!(report(AgentKind::Claude, &[cut]).ending, Ending::Submitted);
    for lie in [
        r#"{"type":"result","subtype":"success","is_error":true,"result":"x"}"#,
        r#"{"type":"result","subtype":"success","result":"x"}"#,
        r#"{"type":"result","subtype":"error_max_turns","is_error":false}"#,
        r#"{"type":"result"}"#,
    ] {
        assert!(matches!(report(AgentKind::Claude, &[lie]).ending, Ending::Failed { .. }), "{lie}");
    }
}

#[test]
fn a_limit_that_was_got_past_does_not_count() {
    let retry =
        r#"{"type":"system","subtype":"api_retry","attempt":1,"error_status":529,"error":"overloaded"}"#;
    let text = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"hi"}]}}"#;
    let stopped = |lines: &[&str]| {
        let mut reader = reader(AgentKind::Claude);
        for line in lines {
            reader.stdout(line.as_bytes(), false);
        }
        reader.finish(&End { stopped_by_us: true, ..GOOD }).ending
    };
    assert!(matches!(stopped(&[retry]), Ending::Limited(limit) if limit.kind == LimitKind::Overload));
    assert_eq!(stopped(&[retry, text]), Ending::Killed);
}

#[test]
fn what_a_model_says_is_no_error() {
    let said = "status 429 Too Many Requests: rate limit, quota exceeded, not logged in";
    for (kind, line) in [
        (
            AgentKind::Claude,
            serde_json::json!({"type":"assistant","message":{"content":[{"type":"text","text":said}]}}),
        ),
        (
            AgentKind::Codex,
            serde_json::json!({"type":"item.completed","item":{"type":"agent_message","text":said}}),
        ),
        (AgentKind::OpenCode, serde_json::json!({"type":"text","part":{"text":said}})),
        (AgentKind::Command, serde_json::json!({"kapell":"result","text":said})),
    ] {
        let mut reader = reader(kind);
        assert_eq!(reader.stdout(line.to_string().as_bytes(), false), [Event::Text(said.to_owned())]);
        let report = reader.finish(&End { code: Some(1), ..GOOD });
        assert!(matches!(report.ending, Ending::Failed { .. }), "{kind:?}");
    }
}

#[test]
fn a_session_cannot_pass_for_an_option() {
    for id in ["--dangerously-skip-permissions", "a b", "a\u{0}b", "", &"a".repeat(200)] {
        let line = serde_json::json!({"type":"thread.started","thread_id":id}).to_string();
        assert_eq!(report(AgentKind::Codex, &[&line]).session, None, "{id:?}");
    }
}

#[test]
fn a_line_that_is_too_long_is_passed_over() {
    let mut long = br#"{"type":"result","subtype":"success","is_error":false,"result":""#.to_vec();
    long.resize(MAX_LINE, b'a');
    let mut reader = reader(AgentKind::Claude);
    assert!(matches!(&reader.stdout(&long, true)[..], [Event::Warning(_)]));
    long.resize(3 * MAX_LINE, b'a');
    assert!(matches!(&reader.stdout(&long, false)[..], [Event::Warning(_)]));
    assert_eq!(reader.stderr(&long), []);
    let Ending::Failed { reason } = reader.finish(&GOOD).ending else { panic!("a failure") };
    assert!(reason.len() < 3000, "a reason is short");
}

#[test]
fn the_reason_is_the_end_of_stderr_without_colours() {
    let mut reader = reader(AgentKind::Claude);
    for line in 0..1000 {
        reader.stderr(format!("\u{1b}[91m\u{1b}[1mline {line}\u{1b}[0m  ").as_bytes());
    }
    reader.stderr(b"\xff\xfe broken \x1b[9");
    let Ending::Failed { reason } = reader.finish(&End { code: Some(2), ..GOOD }).ending else {
        panic!("a failure")
    };
    assert!(reason.starts_with("exit status 2: line 993\nline 994\n"), "{reason}");
    assert!(reason.ends_with("\nline 999\n\u{fffd}\u{fffd} broken"), "{reason}");
}

#[test]
fn figures_never_fall() {
    let result = |count: u64, usd: f64| {
        serde_json::json!({"type":"result","usage":{"input_tokens":count},"total_cost_usd":usd}).to_string()
    };
    let report = report(AgentKind::Claude, &[&result(10, 0.5), &result(3, 0.1), &result(4, -1.0)]);
    assert_eq!(report.usage, Usage { input_tokens: 10, usd: Some(0.5), ..Usage::default() });
}

#[test]
fn what_was_sent_counts_where_no_end_is_told() {
    let block = |id: &str, cached: u64| {
        let usage = format!(r#"{{"input_tokens":10,"cache_read_input_tokens":{cached},"output_tokens":1}}"#);
        format!(r#"{{"type":"assistant","message":{{"id":"{id}","content":[],"usage":{usage}}}}}"#)
    };
    let lines = [block("a", 100), block("a", 100), block("b", 200), block("a", 100)];
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let sent = Usage { input_tokens: 20, cached_tokens: 300, ..Usage::default() };
    assert_eq!(report(AgentKind::Claude, &lines).usage, sent);
    // What it told itself is right.
    lines.push(r#"{"type":"result","subtype":"success","is_error":false,"usage":{"input_tokens":7},"total_cost_usd":0.5}"#);
    let told = Usage { input_tokens: 7, usd: Some(0.5), ..Usage::default() };
    assert_eq!(report(AgentKind::Claude, &lines).usage, told);
}

#[test]
fn absurd_figures_have_a_sum_that_is_a_figure() {
    let dear = r#"{"kapell":"usage","usd":1.7e308}"#;
    assert_eq!(report(AgentKind::Command, &[dear, dear]).usage.usd, Some(f64::MAX));
}

#[test]
fn who_talks_much_in_one_step_is_not_read_again_with_every_word() {
    let word = format!(r#"{{"type":"text","part":{{"text":"{}"}}}}"#, "x".repeat(500));
    let started = std::time::Instant::now();
    let report = report(AgentKind::OpenCode, &vec![word.as_str(); 20_000]);
    assert_eq!(report.text.map(|text| text.len()), Some(500 * 20_000));
    assert!(started.elapsed().as_secs() < 4, "{:?}", started.elapsed());
}

#[test]
fn a_command_reports_by_lines_with_a_key() {
    let lines = [
        "starting",
        r#"{"level":"info"}"#,
        r#"{"kapell":"progress","text":"half"}"#,
        r#"{"kapell":"usage","input_tokens":100,"output_tokens":7,"usd":0.25}"#,
        r#"{"kapell":"usage","input_tokens":10,"output_tokens":3,"usd":0.25}"#,
        r#"{"kapell":"finding","text":"a bug","files":["a.rs",3],"severity":"high"}"#,
        r#"{"kapell":"dance"}"#,
        r#"{"kapell":7}"#,
        r#"{"kapell":"result","text":"```json\n{\"ok\":true}\n```"}"#,
    ];
    let mut reader = reader(AgentKind::Command).wanting_answer();
    let events: Vec<Event> = lines.iter().flat_map(|line| reader.stdout(line.as_bytes(), false)).collect();
    let used = |input_tokens, output_tokens, usd| {
        Event::Usage(Usage { input_tokens, output_tokens, usd: Some(usd), ..Usage::default() })
    };
    let finding = Finding { text: "a bug".into(), files: vec!["a.rs".into()], severity: Some("high".into()) };
    assert_eq!(
        events,
        [
            Event::Progress("half".into()),
            used(100, 7, 0.25),
            used(110, 10, 0.5),
            Event::Finding(finding.clone()),
            Event::Warning(r#""dance" is no report that Kapell knows"#.into()),
            Event::Text("```json\n{\"ok\":true}\n```".into()),
        ]
    );
    let report = reader.finish(&GOOD);
    assert_eq!(report.ending, Ending::Submitted);
    assert_eq!(report.findings, [finding]);
    assert_eq!(report.structured, Some(serde_json::json!({"ok": true})));
}

#[test]
fn a_report_of_use_that_makes_no_sense_is_told_once() {
    let lines = [
        r#"{"kapell":"usage","input_tokens":-5,"output_tokens":"many","cached_tokens":null,"usd":0.25}"#,
        r#"{"kapell":"usage","input_tokens":1.5,"usd":"free"}"#,
        r#"{"kapell":"usage","input_tokens":10,"usd":20000}"#,
    ];
    let read = |lines: &[&str]| -> Vec<Event> {
        let mut reader = reader(AgentKind::Command);
        lines.iter().flat_map(|line| reader.stdout(line.as_bytes(), false)).collect()
    };
    let warnings = |events: &[Event]| -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Warning(text) => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(text).collect()
    };
    let told = warnings(&read(&lines));
    assert_eq!(
        told,
        [
            r#"its report of what it used has no number in input_tokens -5, output_tokens "many": that counts as nothing"#
        ]
    );
    for (line, says) in [(lines[1], "input_tokens 1.5, usd \"free\""), (lines[2], "usd 20000")] {
        let told = warnings(&read(&[line]));
        assert!(told.len() == 1 && told[0].contains(says), "{told:?}");
    }
    // What is not told is no nonsense.
    assert_eq!(warnings(&read(&[r#"{"kapell":"usage","usd":0.5}"#])), [""; 0]);
}

#[test]
fn a_command_that_reports_a_limit_is_limited_unless_it_ends_well() {
    let limited = r#"{"kapell":"rate-limited","resets_at":"2026-11-21T02:00:00Z"}"#;
    let result = r#"{"kapell":"result","text":"bye"}"#;
    for lines in [&[limited, result][..], &[result, limited], &[limited]] {
        assert_eq!(report(AgentKind::Command, lines).ending, Ending::Submitted, "{lines:?}");
    }
    let mut failing = reader(AgentKind::Command);
    let _ = failing.stdout(limited.as_bytes(), false);
    let Ending::Limited(limit) = failing.finish(&End { code: Some(1), ..GOOD }).ending else {
        panic!("a limit")
    };
    assert_eq!(limit.resets_at, Time::parse("2026-11-21T02:00:00Z"));
    assert_eq!(limit.kind, LimitKind::RateLimit);
    let failed = reader(AgentKind::Command).finish(&End { code: Some(3), ..GOOD });
    assert!(matches!(failed.ending, Ending::Failed { .. }));
}

#[test]
fn the_end_of_a_limit_may_be_told_in_milliseconds() {
    for at in ["1795222664", "1795222664000"] {
        let line = format!(
            r#"{{"type":"rate_limit_event","rate_limit_info":{{"status":"rejected","resetsAt":{at}}}}}"#
        );
        let [Event::Limited(limit)] = &reader(AgentKind::Claude).stdout(line.as_bytes(), false)[..] else {
            panic!("a limit")
        };
        assert_eq!(limit.resets_at, Some(Time::from_seconds(1_795_222_664)), "{at}");
    }
}

#[test]
fn the_end_of_a_limit_is_told_from_now() {
    let line = br#"{"type":"error","message":"rate limit exceeded: Please try again in 2s."}"#;
    let mut reader = reader(AgentKind::Codex);
    let later = Time::parse("2026-11-21T09:00:00Z").expect("a time");
    reader.now_is(later);
    let [Event::Limited(limit)] = &reader.stdout(line, false)[..] else { panic!("a limit") };
    assert_eq!(limit.resets_at, Some(later.plus_seconds(2)));
}

/// Lines that look like those of the programs: a recorded line, some of its bytes changed or cut off.
fn bent_line() -> impl Strategy<Value = (AgentKind, Vec<u8>)> {
    let lines: Vec<(AgentKind, Vec<u8>)> = AgentKind::ALL
        .into_iter()
        .filter(|kind| *kind != AgentKind::Command)
        .flat_map(|kind| cases(kind).into_iter().map(move |case| (kind, recording(kind, &case))))
        .flat_map(|(kind, recording)| {
            let all = [recording.stdout, recording.stderr].concat();
            all.split(|byte| *byte == b'\n').map(|line| (kind, line.to_vec())).collect::<Vec<_>>()
        })
        .filter(|(_, line)| line.len() < 4000)
        .collect();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(lines), edits, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |((kind, mut line), edits, cut, is_cut)| {
            for (at, byte) in edits.iter().filter(|_| !line.is_empty()).collect::<Vec<_>>() {
                let at = at.index(line.len());
                line[at] = *byte;
            }
            if is_cut && !line.is_empty() {
                line.truncate(cut.index(line.len()));
            }
            (kind, line)
        },
    )
}

/// JSON objects with the members the programs use, and anything at all in them.
fn odd_object() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        "type",
        "subtype",
        "message",
        "content",
        "item",
        "part",
        "state",
        "error",
        "data",
        "kapell",
        "usage",
        "result",
        "tokens",
        "text",
        "changes",
        "input",
        "session_id",
        "timestamp",
        "files",
    ]);
    let words = prop::sample::select(vec![
        "result",
        "assistant",
        "user",
        "system",
        "api_retry",
        "rate_limit_event",
        "item.completed",
        "error",
        "turn.failed",
        "turn.completed",
        "step_start",
        "step_finish",
        "tool_use",
        "text",
        "finding",
        "usage",
        "rate-limited",
        "file_change",
        "Reconnecting... 1/5",
        "Reconnecting... ",
        "try again at ä",
        "unknown",
    ]);
    let leaf = prop_oneof![
        words.prop_map(serde_json::Value::from),
        ".{0,20}".prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((names.clone(), inner), 0..6).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    });
    value.prop_map(|value| value.to_string().into_bytes())
}

/// Feeds a line to a fresh run three times on both streams, and ends it in every way.
fn survives(kind: AgentKind, lines: &[Vec<u8>]) -> Result<(), TestCaseError> {
    for (code, signal) in [(Some(0), None), (None, Some(9))] {
        let mut reader =
            reader(kind).wanting_answer().resuming(Usage { input_tokens: 5, ..Usage::default() });
        let mut used = Usage::default();
        for line in lines.iter().chain(lines) {
            let mut events = reader.stdout(line, false);
            events.extend(reader.stderr(line));
            for event in events {
                if let Event::Usage(usage) = event {
                    prop_assert!(usage.total_tokens() >= used.total_tokens());
                    prop_assert!(usage.usd.unwrap_or(0.0) >= used.usd.unwrap_or(0.0));
                    used = usage;
                }
            }
        }
        let report = reader.finish(&End { code, signal, ..End::default() });
        // What was sent is told at the end, where nothing else was told.
        prop_assert!(report.usage == used || used == Usage::default() && report.usage.usd.is_none());
        prop_assert!(signal.is_none() || report.ending != Ending::Submitted);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_survived(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..5)) {
        for kind in AgentKind::ALL {
            survives(kind, &lines)?;
        }
    }

    #[test]
    fn any_objects_are_survived(lines in prop::collection::vec(odd_object(), 0..5)) {
        for kind in AgentKind::ALL {
            survives(kind, &lines)?;
        }
    }
}

#[test]
fn bent_lines_are_survived() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(2000));
    runner.run(&bent_line(), |(kind, line)| survives(kind, &[line])).expect("no panic");
}

#[test]
fn codex_that_waits_for_the_network_is_limited_and_says_so_again_and_again() {
    let mut reader = reader(AgentKind::Codex);
    let line = r#"{"type":"error","message":"Reconnecting... waiting for network (Connection failed: error sending request)"}"#;
    for _ in 0..3 {
        let events = reader.stdout(line.as_bytes(), false);
        let [Event::Retrying { limit, of, hopeless, why, .. }] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((*limit, *of, *hopeless), (Some(LimitKind::Unreachable), None, false));
        assert_eq!(why, "Connection failed: error sending request");
    }
    let stopped = End { code: None, signal: Some(15), stopped_by_us: true, timed_out: false };
    assert!(
        matches!(reader.finish(&stopped).ending, Ending::Limited(limit) if limit.kind == LimitKind::Unreachable)
    );
}

#[test]
fn what_opencode_did_before_a_refusal_and_prints_after_it_does_not_end_the_limit() {
    let refused = r#"timestamp=2026-11-27T09:55:11.860Z level=ERROR message="stream error" error.error="AI_APICallError: Rate limit reached""#;
    let tool = |end: i64| {
        format!(
            r#"{{"type":"tool_use","part":{{"type":"tool","tool":"write","state":{{"status":"completed","input":{{}},"time":{{"start":1,"end":{end}}}}}}}}}"#
        )
    };
    let before = Time::parse("2026-11-27T09:55:11.700Z").unwrap().as_millis();
    let mut reader = reader(AgentKind::OpenCode);
    let told = reader.stderr(refused.as_bytes());
    assert!(matches!(told.as_slice(), [Event::Retrying { attempt: 1, .. }]), "{told:?}");
    let told = reader.stdout(tool(before).as_bytes(), false);
    // Whoever takes a tool for a sign of life hears of the refusal again.
    assert!(matches!(told.as_slice(), [Event::Tool { .. }, Event::Retrying { attempt: 1, .. }]), "{told:?}");
    let stopped = End { code: None, signal: Some(15), stopped_by_us: true, timed_out: false };
    let told = reader.stdout(tool(before + 5000).as_bytes(), false);
    assert!(matches!(told.as_slice(), [Event::Tool { .. }]), "{told:?}");
    assert_eq!(reader.finish(&stopped).ending, Ending::Killed, "it got past it");
}
