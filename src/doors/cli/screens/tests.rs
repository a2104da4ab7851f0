//! Every screen on results made by hand, at three widths and in colour.

use serde_json::{Value, json};

use super::*;
use crate::api::wire::{
    ClaimFilesResult, ControlResult, DispatchResult, EnvironmentTotals, JudgeResult, PipelineResult,
    PlanResult, PlanStatus, ReleaseFilesResult, TaskLine,
};

fn view(width: Option<usize>, color: bool) -> View {
    View { look: Look { width, color }, now: Time::parse("2026-11-21T12:00:00Z").unwrap(), zone: Zone::Utc }
}

/// The screen at every width, then in colour, with the escape character made visible.
fn all_looks(screen: impl Fn(&View) -> String) -> String {
    let mut all = String::new();
    for width in [60, 80, 120] {
        let text = screen(&view(Some(width), false));
        for line in text.lines() {
            let wide = unicode_width::UnicodeWidthStr::width(line);
            assert!(wide <= width, "{wide} > {width}: {line}");
        }
        all.push_str(&format!("--- {width} columns\n{text}"));
    }
    let colored = screen(&view(Some(80), true));
    let plain = screen(&view(Some(80), false));
    assert_eq!(without_colors(&colored), plain, "colours change nothing else");
    all.push_str(&format!("--- 80 columns, in colour\n{}", colored.replace('\u{1b}', "␛")));
    // The narrowest terminal that is promised; what it looks like matters less.
    for line in screen(&view(Some(40), false)).lines() {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= 40, "{line}");
    }
    all
}

fn without_colors(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split('\u{1b}');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A snapshot without the long expression that made it.
macro_rules! snapshot {
    ($text:expr) => {
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!($text) })
    };
}

/// Through JSON and back, as it comes out of the table of methods.
fn status_screen(value: &Value) -> String {
    let result: StatusResult = typed(value.clone());
    assert_eq!(serde_json::to_value(&result).unwrap(), *value, "it was taken for another scope");
    all_looks(|view| status(view, &result))
}

fn attempt_json(number: u32) -> Value {
    json!({
        "attempt": format!("a-7k2m9q4x1{number}"), "task_id": "auth-3kq9zx/2", "number": number,
        "worker": "codex2", "provider": "codex", "state": "finished", "outcome": "submitted",
        "wall": "landlock 7, worktree", "worktree": "/home/ada/.local/state/kapell/worktrees/shop-1a2b3c4d5e/a-7k2m9q4x11",
        "ref": "refs/kapell/tasks/auth-3kq9zx/2/1",
        "usage": {"input_tokens": 48_213, "cached_tokens": 1_204_000, "output_tokens": 3_107, "usd": 0.412},
        "gates": [
            {"name": "ownership", "outcome": "pass", "why": "3 changed files, all within the claim", "evidence": null, "duration_ms": 12},
            {"name": "red-green", "outcome": "fail", "why": "the tests pass without the implementation, so they prove nothing",
             "evidence": "running 2 tests\n\u{1b}[32mok\u{1b}[0m accepts a token\nok\trejects a token\n\ntest result: ok. 2 passed", "duration_ms": 4_218},
            {"name": "lint", "outcome": "skipped", "why": "an earlier gate rejected the work", "evidence": null, "duration_ms": 0},
        ],
        "verdict": "rejected",
        "changed": ["src/api/auth.ts", "tests/api/auth.test.ts", "src/api/größe 日本.ts"],
        "outside_claim": ["package-lock.json"],
        "said": "I implemented JWT auth.\nAll tests pass.",
        "started_at": "2026-11-21T11:42:10Z", "ended_at": "2026-11-21T11:47:55Z",
    })
}

fn task_lines() -> Value {
    json!([
        {"id": "spec-api", "state": "done", "task": "Write specs/api.md", "attempts": 1, "attempt": "a-1", "worker": "claude",
         "commit": "0123456789abcdef0123456789abcdef01234567"},
        {"id": 1, "state": "running", "task": "Implement JWT auth\nwith rotation of keys, and tests for what happens at midnight",
         "attempts": 2, "attempt": "a-2", "worker": "codex2"},
        {"id": 2, "state": "rejected", "task": "Sessions", "attempts": 1, "attempt": "a-3", "worker": "opencode_long_name",
         "reason": "red-green: the tests pass without the implementation"},
        {"id": 3, "state": "waiting", "task": "Docs", "attempts": 0, "reason": "waits for 1, 2"},
    ])
}

fn plan_json(state: &str) -> Value {
    json!({
        "seq": 412, "scope": "plan", "plan_id": "auth-3kq9zx", "name": "auth", "state": state,
        "base": "6a16f25608c35939e5fcc8498cda2f6bb4a31838", "target": "main", "integration": "kapell/auth-3kq9zx",
        "conductor": {"id": "c-q0xjbekc", "pid": 2152}, "done": 1, "total": 4, "running": 1, "failed": 1, "usd": 1.2345,
        "tasks": task_lines(),
    })
}

#[test]
fn overview_screen() {
    snapshot!(status_screen(&json!({
        "seq": 412, "scope": "overview",
        "plans": [
            {"plan_id": "auth-3kq9zx", "name": "auth", "state": "running", "done": 3, "total": 8, "running": 2, "failed": 1, "conductor": "c-q0xjbekc"},
            {"plan_id": "inbox-shop-1a2b3c", "name": "odd jobs", "state": "paused", "done": 0, "total": 0, "running": 0, "failed": 0},
            {"plan_id": "cleanup-zz81ab", "name": "cleanup", "state": "done", "done": 12, "total": 12, "running": 0, "failed": 0},
        ],
        "workers": {"busy": 2, "idle": 1, "unhealthy": 1},
        "claims": 5,
        "budget": [
            {"provider": "claude", "spent_usd": 12.4, "reserved_usd": 1.5, "limit_usd": 350.0, "state": "ok"},
            {"provider": "codex", "spent_usd": 0.004, "reserved_usd": 0.0, "limit_usd": null, "state": "rate-limited", "until": "2026-11-21T13:30:00Z"},
        ],
        "warnings": ["plan auth-3kq9zx: its conductor died, 1 worker goes on; dispatch it again to take it up"],
    })));
}

#[test]
fn empty_overview_screen() {
    snapshot!(status_screen(&json!({
        "seq": 0, "scope": "overview", "plans": [], "workers": {"busy": 0, "idle": 0, "unhealthy": 0},
        "claims": 0, "budget": [], "warnings": [],
    })));
}

#[test]
fn plan_screen() {
    snapshot!(status_screen(&plan_json("running")));
}

#[test]
fn task_screen() {
    snapshot!(status_screen(&json!({
        "seq": 412, "scope": "task", "task_id": "auth-3kq9zx/2", "state": "rejected",
        "task": "Implement JWT auth so that a token that has run out is refused with 401, and say in the answer's body when it ran out.",
        "files": ["src/api/auth.ts", "tests/api/auth.test.ts"], "depends_on": ["spec-api", 1],
        "reason": "red-green: the tests pass without the implementation",
        "attempts": [attempt_json(1)],
    })));
}

#[test]
fn cost_screen() {
    let line = |name: &str, usd: f64, limit: Option<f64>, percent: Option<u64>| {
        let mut line = json!({
            "name": name, "usd": usd, "reserved_usd": if percent == Some(82) { 1.5 } else { 0.0 }, "input_tokens": 48_213, "cached_tokens": 1_204_000,
            "output_tokens": 3_107, "attempts": 12, "untold": 0,
        });
        if let (Some(limit), Some(percent)) = (limit, percent) {
            (line["limit_usd"], line["percent"]) = (json!(limit), json!(percent));
        }
        line
    };
    let mut daily = line("comet", 30.0, None, Some(25));
    (daily["day_limit_usd"], daily["today_usd"], daily["percent"]) = (json!(20.0), json!(5.0), json!(25));
    let mut total = line("total", 307.004, None, None);
    (total["reserved_usd"], total["untold"]) = (json!(1.5), json!(2));
    let mut costs = json!({
        "seq": 412, "scope": "cost", "by": "provider", "since": "2026-11-01T00:00:00.000Z", "total": total,
        "cost": [
            line("claude", 287.0, Some(350.0), Some(82)),
            line("codex", 20.0, Some(20.0), Some(100)),
            daily,
            line("opencode, \"local\"", 0.004, None, None),
        ],
        "forecast": {"spent_usd": 307.004, "per_day_usd": 14.5, "days_left": 9, "total_usd": 437.504,
                     "how": "spent this month, and for each of the 9 days after today the mean of the last 7 days that cost something"},
        "savings": [
            {"provider": "claude", "model": "claude-opus-5-5", "would_usd": 402.1, "saved_usd": 95.1},
            {"provider": "codex", "would_usd": 300.0, "saved_usd": -7.0},
        ],
        "prices_as_of": "2026-11-27",
    });
    let mut all = status_screen(&costs);
    costs["by"] = json!("day");
    costs["cost"] = json!([
        line("2026-11-20", 8.0, None, None),
        line("2026-11-21", 2.0, None, None),
        line("2026-11-22", 0.0, None, None)
    ]);
    all.push_str(&status_screen(&costs));
    let result: StatusResult = typed(costs.clone());
    let StatusBody::Cost(day) = &result.body else { panic!("another scope") };
    all.push_str(&csv(day));
    costs["cost"] = json!([]);
    all.push_str(&status_screen(&costs));
    snapshot!(all);
}

#[test]
fn what_is_saved_adds_up_also_where_some_told_no_tokens() {
    let line = json!({"name": "total", "usd": 0.06, "reserved_usd": 0.0, "input_tokens": 1, "cached_tokens": 0,
                      "output_tokens": 1, "attempts": 2, "untold": 0});
    let costs = json!({
        "seq": 1, "scope": "cost", "by": "provider", "since": "2026-11-01T00:00:00.000Z", "total": line,
        "cost": [line], "prices_as_of": "2026-11-27",
        "forecast": {"spent_usd": 0.06, "per_day_usd": 0.0, "days_left": 3, "total_usd": 0.06, "how": "x"},
        "savings": [{"provider": "alpha", "would_usd": 3.0, "saved_usd": 2.99}],
    });
    let screen = status_screen(&costs);
    assert!(screen.contains("all by alpha: $3.00 instead of $0.01, $2.99 saved"), "{screen}");
    assert!(screen.contains("$0.05 came without tokens, and is not compared"), "{screen}");
}

#[test]
fn a_name_that_csv_would_misread_is_quoted() {
    let line = json!({"name": "a,\"b\"", "usd": 0.1, "reserved_usd": 0.0, "input_tokens": 1, "cached_tokens": 2,
        "output_tokens": 3, "attempts": 4, "untold": 5, "limit_usd": 1.5, "percent": 6, "day_limit_usd": 0.5});
    let costs = json!({"by": "worker", "since": "x", "total": line, "cost": [line], "savings": [], "prices_as_of": "",
        "forecast": {"spent_usd": 0.0, "per_day_usd": 0.0, "days_left": 0, "total_usd": 0.0, "how": ""}});
    assert_eq!(
        csv(&typed(costs)),
        "worker,usd,reserved_usd,input_tokens,cached_tokens,output_tokens,attempts,untold,limit_usd,percent,day_limit_usd,today_usd\n\"a,\"\"b\"\"\",0.1,0,1,2,3,4,5,1.5,6,0.5,\n"
    );
}

#[test]
fn lists_screen() {
    let mut all = String::new();
    for value in [
        json!({"seq": 1, "scope": "claims", "claims": [
            {"claim_id": 7, "pattern": "src/db", "mode": "exclusive", "holder": "codex2", "holder_kind": "attempt",
             "task": "auth-3kq9zx/2", "since": "2026-11-21T11:48:00Z", "expires_at": "2026-11-21T12:15:00Z", "alive": true},
            {"claim_id": 1204, "pattern": "docs/**/*.md", "mode": "shared", "holder": "ada", "holder_kind": "person",
             "reason": "rewording the\nguide", "since": "2026-11-20T09:00:00Z", "expires_at": "2026-11-21T11:59:59.5Z", "alive": false},
        ]}),
        json!({"seq": 1, "scope": "conductors", "conductors": [
            {"id": "c-q0xjbekc", "pid": 2152, "plan_id": "auth-3kq9zx", "project": "/home/ada/shop", "state": "running",
             "started_at": "2026-11-21T10:00:00Z", "heartbeat_at": "2026-11-21T11:59:55Z", "fresh": true},
            {"id": "c-00000000", "pid": 99, "plan_id": "old-000000", "state": "crashed",
             "started_at": "2026-11-19T10:00:00Z", "heartbeat_at": "2026-11-19T11:00:00Z", "fresh": false},
            {"id": "c-11111111", "pid": 98, "plan_id": "good-00000", "state": "stopped", "plan_state": "done",
             "started_at": "2026-11-19T10:00:00Z", "heartbeat_at": "2026-11-19T11:00:00Z", "fresh": false},
            {"id": "c-22222222", "pid": 97, "plan_id": "bad-000000", "state": "stopped", "plan_state": "failed",
             "started_at": "2026-11-19T10:00:00Z", "heartbeat_at": "2026-11-19T11:00:00Z", "fresh": false},
        ]}),
        json!({"seq": 1, "scope": "workers", "workers": [
            {"worker": "codex2", "provider": "codex", "groups": ["development", "review"], "state": "busy", "tasks": ["auth-3kq9zx/2"]},
            {"worker": "arch_prod", "provider": "claude", "protected": true, "state": "idle"},
        ]}),
        json!({"seq": 1, "scope": "queue", "waiting": [
            {"task_id": "inbox-x/t-1", "task": "Review PR #123", "priority": 9, "reason": "slot", "on": "pr_review1 is busy",
             "since": "2026-11-21T11:50:00Z", "deadline": "2026-11-21T11:50:00Z", "missed": true},
            {"task_id": "auth-3kq9zx/3", "task": "Make the pages", "priority": 5, "reason": "dependency",
             "on": "what it depends on", "since": "2026-11-21T11:59:00Z"}],
            "queue": [
            {"task_id": "auth-3kq9zx/2", "attempt": "a-7k2m9q4x11", "branch": "kapell/auth-3kq9zx", "state": "queued"},
        ]}),
        json!({"seq": 1, "scope": "budget", "budget": []}),
        json!({"seq": 1, "scope": "environments", "environments": [
            {"name": "dev1", "path": "/home/ada/shop-dev1", "branch": "env/dev1", "ahead": 2, "behind": 0, "dirty": true,
             "state": "ready", "worker": "dev1_worker", "subs": [
                {"name": "dev", "port": 8081, "state": "running", "pid": 4711, "since": "2026-11-21T11:50:00Z",
                 "health": "ok", "database": "/d", "bytes": 8192, "log": "/l"},
                {"name": "qa", "port": 8082, "state": "crashed", "since": "2026-11-21T11:59:00Z",
                 "reason": "it ended with exit code 3", "last_lines": ["no such table: visits"],
                 "database": "/q", "bytes": 0, "log": "/l"}]},
        ], "totals": {"directories": 1, "environments": 2, "running": 1, "workers": 1, "at_work": 0, "sessions": 0}}),
    ] {
        all.push_str(&status_screen(&value));
    }
    snapshot!(all);
}

#[test]
fn events_screen() {
    snapshot!(status_screen(&json!({"seq": 1204, "scope": "events", "events": [
        {"seq": 7, "at": "2026-11-20T23:59:59Z", "kind": "claim.granted", "holder": "ada", "text": "ada claims src/db"},
        {"seq": 411, "at": "2026-11-21T01:02:03.456Z", "kind": "task.state", "plan_id": "auth-3kq9zx", "task": "2",
         "text": "task 2: running → judging", "data": {"state": "judging"}},
        {"seq": 1204, "at": "2026-11-21T11:59:59Z", "kind": "provider.limited", "plan_id": "auth-3kq9zx",
         "text": "codex is limited: \u{1b}]0;owned\u{7} try again\nlater, when the window of five hours has passed"},
    ]})));
}

#[test]
fn checked_plan_screen() {
    let result: PlanResult = typed(json!({
        "plan_id": "auth-3kq9zx", "name": "auth", "state": "draft",
        "waves": [["spec-api"], [1, 2, "a-rather-long-task-name"], [3]], "critical_path": ["spec-api", 2, 3],
        "ownership": [
            {"task": "spec-api", "patterns": ["specs/api.md"], "existing_files": 0},
            {"task": 1, "patterns": ["src/api/auth.ts", "tests/api/auth.test.ts", "src/api/{login,logout}.ts", "docs/**/*.md"], "existing_files": 12},
        ],
        "specs": [{"file": "specs/api.md", "exists": false}, {"file": "specs/db.md", "exists": true}],
        "problems": [{"severity": "warning", "code": "no-tests", "message": "task 3 owns no tests", "hint": "name them in tests", "task": 3}],
    }));
    snapshot!(all_looks(|view| plan(view, &result)));
}

#[test]
fn refused_plan_screen() {
    let result: PlanResult = typed(json!({
        "plan_id": null, "name": "auth", "state": null, "waves": [], "critical_path": [], "ownership": [], "specs": [],
        "problems": [
            {"severity": "error", "code": "overlap", "message": "tasks 1 and 2 both own src/db/a.rs, and nothing says which goes first",
             "hint": "give the path to one of them, let one wait (\"depends_on\" of 2: 1), or plan with on_overlap \"serialize\"",
             "task": 2, "path": "src/db", "line": 12, "column": 5},
            {"severity": "error", "code": "cycle", "message": "1 → 2 → 1", "hint": "take one of the dependencies out", "line": 3},
        ],
    }));
    snapshot!(all_looks(|view| plan(view, &result)));
}

#[test]
fn dispatch_screen() {
    let result: DispatchResult = typed(json!({
        "run_id": "r-mdxkh63f", "plan_id": "auth-3kq9zx",
        "conductor": {"id": "c-q0xjbekc", "pid": 2152, "socket": "/run/c"},
        "started": [{"task": 1, "attempt": "a-7k2m9q4x11", "worker": "codex2", "provider": "codex", "claims": ["src/api/auth.ts", "tests/api"]}],
        "waiting": [{"task": 3, "reason": "dependency", "on": "task 1"}, {"task": "long", "reason": "claim", "on": "ada holds src/db since 11:48"}],
    }));
    snapshot!(all_looks(|view| dispatch(view, &result)));
}

#[test]
fn claims_screen() {
    let conflict: ClaimFilesResult = typed(json!({"granted": false, "claims": [], "conflicts": [
        {"pattern": "src/**/*.rs", "held_pattern": "src/db", "witness": "src/db/a.rs", "holder": "codex2", "holder_kind": "attempt",
         "task": "auth-3kq9zx/2", "since": "2026-11-21T11:48:00Z", "expires_at": "2026-11-21T12:15:00Z"},
        {"pattern": "docs", "held_pattern": "docs", "witness": "docs", "holder": "ada", "holder_kind": "person",
         "reason": "rewording the guide before the release, which will take until the evening", "since": "2026-11-21T09:00:00Z",
         "expires_at": "2026-11-21T12:00:30Z"},
    ]}));
    let granted: ClaimFilesResult = typed(json!({"granted": true, "claims": [
        {"claim_id": 7, "pattern": "src/db", "mode": "exclusive", "fencing": 7, "expires_at": "2026-11-21T12:15:00Z"},
        {"claim_id": 1204, "pattern": "a path with\nodd \u{202e}characters", "mode": "shared", "fencing": 1204, "expires_at": "2026-11-28T12:00:00Z"},
    ], "conflicts": []}));
    let free = ClaimFilesResult { granted: true, ..ClaimFilesResult::default() };
    let queued = ClaimFilesResult::default();
    let all = [&conflict, &granted, &free, &queued].map(|result| all_looks(|view| claim_files(view, result)));
    snapshot!(all.join(""));
}

#[test]
fn release_screen() {
    let shown = |result: &ReleaseFilesResult| release_files(&view(Some(80), false), result);
    let text =
        |ids: &[i64]| shown(&ReleaseFilesResult { released: ids.to_vec(), ..ReleaseFilesResult::default() });
    let others: ReleaseFilesResult = typed(json!({"released": [], "still_held": [
        {"pattern": "src/db", "held_pattern": "src/", "witness": "src/db", "holder": "claude-1", "holder_kind": "agent",
         "reason": "it is being edited", "since": "2026-11-21T11:48:00Z", "expires_at": "2026-11-21T12:15:00Z"},
    ]}));
    let told = shown(&others);
    assert!(
        told.starts_with(
            "nothing was released\nstill held\n  src/db\n    held for 12 min by claude-1 (agent) through src/"
        ),
        "{told}"
    );
    assert_eq!(text(&[]), "nothing of that was held\n");
    assert_eq!(text(&[7]), "released claim 7\n");
    assert_eq!(text(&[7, 8]), "released claims 7, 8\n");
}

#[test]
fn verdict_screen() {
    let attempt = attempt_json(1);
    let rejected: JudgeResult = typed(json!({
        "run_id": "r-pcapr95d", "state": "done", "verdict": "rejected", "gates": attempt["gates"],
        "changed": (1..=20).map(|n| format!("src/{n}.rs")).collect::<Vec<_>>(), "outside_claim": ["package-lock.json"],
    }));
    let approved: JudgeResult = typed(json!({
        "run_id": "r-pcapr95d", "state": "done", "verdict": "approved", "gates": [attempt["gates"][0]],
        "changed": ["src/a.rs"], "outside_claim": [], "landed": {"commit": "0123456789abcdef", "branch": "kapell/auth-3kq9zx"},
    }));
    let error: JudgeResult = typed(json!({
        "run_id": "r-pcapr95d", "state": "failed", "reason": "its process died before the verdict",
    }));
    let all = [rejected, approved, error].map(|result| all_looks(|view| judge(view, &result)));
    snapshot!(all.join(""));
}

#[test]
fn run_screens() {
    let lines: Vec<TaskLine> = typed(task_lines());
    let StatusBody::Plan(stopped) = typed::<StatusResult>(plan_json("stopped")).body else {
        panic!("no plan")
    };
    let mut done: PlanStatus = stopped.clone();
    done.state = "done".into();
    done.tasks.retain(|task| task.state == "done");
    (done.done, done.running, done.failed) = (4, 0, 0);
    snapshot!(all_looks(|view| {
        let mut all: String = lines.iter().map(|task| task_change(view, task)).collect();
        all.push_str(&run_summary(view, &stopped, 754_000));
        all.push_str(&run_summary(view, &done, 7_500_000));
        all
    }));
}

#[test]
fn control_screen() {
    let text = |ack| {
        let result = ControlResult {
            ack,
            state: "paused".into(),
            message: "plan auth-3kq9zx is paused".into(),
            run_ids: Vec::new(),
        };
        control(&view(None, false), &result)
    };
    assert_eq!(text(true), "paused  plan auth-3kq9zx is paused\n");
    assert_eq!(text(false), "not done  plan auth-3kq9zx is paused\n");
}

#[test]
fn nothing_is_cut_where_no_terminal_is() {
    let result: StatusResult = typed(plan_json("running"));
    let text = status(&view(None, false), &result);
    assert!(
        text.contains("Implement JWT auth with rotation of keys, and tests for what happens at midnight")
    );
    assert!(text.contains("opencode_long_name") && !text.contains('…'));
}

#[test]
fn lengths_and_numbers() {
    for (millis, shown) in [
        (0, "0.0 s"),
        (4_218, "4.2 s"),
        (59_999, "59 s"),
        (899_000, "15 min"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (200_000_000, "2 d"),
    ] {
        assert_eq!(duration(millis), shown);
    }
    for (number, shown) in [(0, "0"), (999, "999"), (48_213, "48.2k"), (1_204_000, "1.2M")] {
        assert_eq!(count(number), shown);
    }
    for (usd, shown) in [(0.0, "$0.00"), (0.004, "<$0.01"), (1.2345, "$1.23"), (350.0, "$350.00")] {
        assert_eq!(money(usd), shown);
    }
}

#[test]
fn fleet_screen() {
    let workers: Vec<crate::api::wire::WorkerStatus> = typed(json!([
        {"worker": "architect", "provider": "claude", "groups": ["high-level"], "protected": true, "state": "idle"},
        {"worker": "dev1_worker", "provider": "claude", "groups": ["environments"], "state": "busy",
         "tasks": ["inbox-shop-12ab34cd56/t-3kq9zx"], "environment": "dev1", "usd_today": 3.4},
        {"worker": "helper", "provider": "local", "state": "unhealthy", "until": "2026-11-21T12:01:00Z",
         "reason": "3 attempts in a row failed within 10 s, the last: exit status 1: no such model"},
        {"worker": "pr_review1", "provider": "codex", "groups": ["review", "tests"], "state": "rate-limited"},
    ]));
    let places = |by| {
        let names = vec!["dev1".to_owned(), "dev2".to_owned()];
        let totals = EnvironmentTotals { directories: 2, environments: 6, running: 3, ..Default::default() };
        (by == By::Environment).then_some(Places { names, totals })
    };
    let whole = Fleet { workers, missed: 2, ..Fleet::default() };
    let all = [By::Group, By::Provider, By::Environment]
        .map(|by| all_looks(|view| fleet(view, &whole, by, places(by).as_ref())));
    snapshot!(all.concat());
    let none = Fleet { warnings: vec!["kapell.toml:1:1: broken".to_owned()], ..Fleet::default() };
    let shown = fleet(&view(None, false), &none, By::Group, None);
    assert_eq!(shown, "warning: kapell.toml:1:1: broken\n\nno workers\n");
}

#[test]
fn environments_screen() {
    let sub = |name: &str, port: u16, state: &str| json!({"name": name, "port": port, "state": state, "bytes": 8192});
    let result: StatusResult = typed(json!({
        "seq": 9, "scope": "environments",
        "environments": [
            {"name": "dev1", "path": "/src/shop-dev1", "branch": "env/dev1", "ahead": 1, "dirty": true,
             "state": "ready", "worker": "codex2", "worker_state": "busy",
             "at_work": {"attempt": "a-1", "worker": "codex2", "plan_id": "auth-3kq9zx", "task": "2"},
             "subs": [sub("dev", 8081, "running"), sub("qa", 8082, "stopped")]},
            {"name": "dev2", "path": "/src/shop-dev2", "branch": "env/dev2", "state": "ready",
             "at_work": {"attempt": "a-2", "worker": "claude", "plan_id": "auth-3kq9zx", "task": "3"},
             "subs": [sub("dev", 8084, "stopped")]},
            {"name": "dev3", "path": "/src/shop-dev3", "state": "missing", "problem": "the folder of dev3 is gone",
             "worker": "pi", "worker_state": "idle", "subs": []},
        ],
        "totals": {"directories": 2, "environments": 3, "running": 1, "workers": 2, "at_work": 2, "sessions": 1},
    }));
    snapshot!(all_looks(|view| status(view, &result)));
}

#[test]
fn health_screen() {
    let sick = json!({"seq": 9, "scope": "health", "healthy": false,
        "checks": [
            {"name": "store", "outcome": "ok", "found": "/home/ada/.local/state/kapell/kapell.db is sound"},
            {"name": "state disk", "outcome": "warn", "found": "1.2 GiB free on the disk of /home/ada/.local/state/kapell",
             "next": "make room; old worktrees are the largest part of the state folder"},
            {"name": "memory", "outcome": "fail", "found": "for 41 % of the last 10 s programs waited for memory (limit 25 %), 310 MiB are free",
             "next": "no worker starts until this is over; what runs goes on"},
            {"name": "conductors", "outcome": "ok", "found": "1 runs, and says so every 10 s"}],
        "health": [
            {"worker": "codex1", "provider": "codex", "state": "busy", "verdict": "ok", "task": "auth-3kq9zx/1", "attempt": "a-1",
             "since": "2026-11-21T11:40:00Z", "last_output_at": "2026-11-21T11:59:57Z", "cpu_ms": 48_300,
             "tool": "Bash cargo test --workspace --all-features", "tool_at": "2026-11-21T11:58:00Z"},
            {"worker": "codex2", "provider": "codex", "state": "busy", "verdict": "stuck", "task": "auth-3kq9zx/2", "attempt": "a-2",
             "since": "2026-11-21T11:40:00Z", "last_output_at": "2026-11-21T11:51:00Z", "cpu_ms": 900, "nudged_at": "2026-11-21T11:56:00Z",
             "reason": "no output and no work for 540 s; nudged 240 s ago, and stopped in 60 s unless it shows life"},
            {"worker": "helper", "provider": "local", "state": "unhealthy", "verdict": "quarantined",
             "since": "2026-11-21T11:59:30Z", "until": "2026-11-21T12:00:30Z",
             "reason": "3 attempts in a row failed within 10 s, the last: exit status 1: no such model"},
            {"worker": "pr_review1", "provider": "claude", "state": "rate-limited", "verdict": "limited",
             "until": "2026-11-21T13:30:00Z", "reason": "You've hit your usage limit"},
            {"worker": "pr_review2", "provider": "claude", "state": "idle", "verdict": "ok"}]});
    let well = json!({"seq": 9, "scope": "health", "healthy": true, "checks": [
        {"name": "store", "outcome": "ok", "found": "it is sound"}], "health": []});
    snapshot!([sick, well].map(|status| status_screen(&status)).concat());
}

#[test]
fn route_screen() {
    let goes: DispatchResult = typed(
        json!({"run_id": null, "plan_id": "inbox-x", "started": [], "waiting": [], "route": {
        "rules": [
            {"rule": "target", "taken": false, "found": "the target is auto"},
            {"rule": "environment", "taken": false, "found": "no environment is named that has a worker"},
            {"rule": "route", "taken": true, "found": "route 3 ((?i)\\breview\\b.*\\bPR\\b) leads to group review"}],
        "candidates": [
            {"worker": "pr_review2", "provider": "claude", "why_not": "pr_review2 is busy"},
            {"worker": "pr_review1", "provider": "claude"},
            {"worker": "general1", "provider": "codex", "takes_over": true}],
        "worker": "pr_review1", "provider": "claude", "priority": 9}}),
    );
    let waits: DispatchResult =
        typed(json!({"run_id": null, "plan_id": "inbox-x", "started": [], "waiting": [], "route": {
        "rules": [{"rule": "target", "taken": true, "found": "the task names group integration"}],
        "candidates": [{"worker": "integrator1", "provider": "claude", "why_not": "integrator1 is busy"}],
        "reason": "slot", "on": "integrator1 is busy", "priority": 5}}));
    let all = [&goes, &waits].map(|result| all_looks(|view| route(view, result)));
    snapshot!(all.concat());
}

#[test]
fn pipeline_screens() {
    let run: PipelineResult = typed(json!({
        "name": "feature", "run": "feature-3kq9zx", "plan_id": "feature-3kq9zx", "state": "paused",
        "reason": "approval: stage deploy waits for a person: kapell pipeline approve feature-3kq9zx deploy",
        "request": "add sign-in with passkeys",
        "stages": [
            {"stage": "build", "state": "done", "target": "development",
             "tasks": [{"task": "build", "state": "done", "round": 1}]},
            {"stage": "test", "state": "done", "target": "testing", "triggers_on": ["build"],
             "findings_become_tasks": true, "findings_to": "build", "round": 2, "max_rounds": 3,
             "tasks": [{"task": "test", "state": "done", "round": 1},
                       {"task": "test-fix-1-1", "state": "done", "round": 1, "fix": true},
                       {"task": "test-r2", "state": "done", "round": 2}],
             "findings": [{"text": "the button does nothing\nsecond line", "files": ["src/button.ts"],
                           "severity": "high", "task": "test"}]},
            {"stage": "docs", "state": "blocked", "triggers_on_any": ["test", "crew"], "fan_out": true,
             "reason": "crew did nothing in this run that it could wait for"},
            {"stage": "deploy", "state": "failed", "triggers_on": ["test"], "approval": true, "decision": "approved",
             "decided_by": "ann", "decided_at": "2026-11-21T11:57:00Z", "message": "go", "command": ["./deploy.sh"],
             "commands": [{"kind": "command", "state": "failed", "commit": "0123456789abcdef", "reason": "failed with exit code 3",
                           "log": "/state/run/d-1/evidence/command.log", "began_at": "2026-11-21T11:58:00Z"}]},
        ],
    }));
    snapshot!(all_looks(|view| pipeline(view, &run)));
    let list: PipelineResult = typed(json!({
        "pipelines": [{"name": "feature", "stages": ["build", "test", "deploy"]}, {"name": "fix", "stages": ["fix"]}],
        "runs": [{"run": "feature-3kq9zx", "name": "feature", "state": "paused", "done": 2, "total": 3,
                  "to_approve": ["deploy"], "request": "add sign-in with passkeys", "created_at": "2026-11-21T11:00:00Z"}],
    }));
    snapshot!(all_looks(|view| pipelines(view, &list)));
    snapshot!(all_looks(|view| pipelines(view, &typed(json!({})))));
}

#[test]
fn a_stage_stands_below_what_starts_it() {
    let run: PipelineResult = typed(json!({"name": "p", "stages": [
        {"stage": "build"}, {"stage": "docs"},
        {"stage": "review", "triggers_on": ["build"]},
        {"stage": "any", "triggers_on_any": ["docs", "review"]},
        {"stage": "deploy", "triggers_on": ["review"]},
        {"stage": "docs2", "triggers_on": ["docs"]},
        {"stage": "tidy", "triggers_on": ["crew"]},
        {"stage": "last", "triggers_on": ["tidy", "approval"]},
    ]}));
    let text = pipeline(&view(Some(80), false), &run);
    let lines: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "  ○ build",
            "  └─▶ ○ review  after build",
            "      └─▶ ○ any  after docs or review",
            "      └─▶ ○ deploy  after review",
            "  ○ docs",
            "  └─▶ ○ docs2  after docs",
            "  crew",
            "  └─▶ ○ tidy  after crew",
            "      └─▶ ○ last  after tidy and approval",
        ]
    );
}

#[test]
fn a_refusal_is_told_once_and_findings_with_their_rounds() {
    let run: PipelineResult = typed(json!({
        "name": "feature", "run": "f-1", "plan_id": "f-1", "state": "failed",
        "stages": [
            {"stage": "test", "state": "done", "round": 2,
             "tasks": [{"task": "test", "state": "done", "round": 1}, {"task": "test-r2", "state": "done", "round": 2}],
             "findings": [{"text": "a", "task": "test"}, {"text": "a", "task": "test-r2"}]},
            {"stage": "deploy", "state": "refused", "approval": true, "decision": "refused", "decided_by": "ann",
             "decided_at": "2026-11-21T11:57:00Z", "message": "no way", "reason": "refused by ann: no way"},
        ],
    }));
    let screen = all_looks(|view| pipeline(view, &run));
    assert!(screen.contains("found in round 1: a") && screen.contains("found in round 2: a"), "{screen}");
    assert!(!screen.contains("refused by ann: no way"), "{screen}");
}
