//! The commands that stay, on a contract that answers from a script.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::base::clock::Zone;
use crate::doors::cli::args::{Cli, Command};
use crate::doors::cli::print::Out;
use crate::services::Cancel;

/// What was written on a stream.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// One call that is expected, and its answer.
type Turn = (&'static str, Value);

struct Played {
    result: Result<u8, ApiError>,
    stdout: String,
    stderr: String,
    waits: usize,
}

/// Plays a command against the script. Ctrl-C comes during wait number `interrupt`, from 1.
fn play(words: &[&str], script: Vec<Turn>, interrupt: usize) -> Played {
    let cli = Cli::try_parse_from([&["kapell"], words].concat()).unwrap();
    let (stdout, stderr) = (Paper::default(), Paper::default());
    let mut out = Out::of_sinks(Box::new(stdout.clone()), Box::new(stderr.clone()), cli.global.json, false);
    let script = RefCell::new(VecDeque::from(script));
    let waits = RefCell::new(0);
    let cancel = Cancel::default();
    let mut desk = Desk {
        ask: Box::new(|method, params| {
            let (expected, answer) =
                script.borrow_mut().pop_front().unwrap_or_else(|| panic!("unexpected {method} {params}"));
            assert_eq!(method, expected);
            match answer.get("refused") {
                Some(_) => Err(Refusal::new(Code::Busy, "there is no room", "make room").into()),
                None => Ok(answer),
            }
        }),
        wait: Box::new(|_, _| {
            *waits.borrow_mut() += 1;
            if *waits.borrow() == interrupt {
                cancel.cancel();
            }
            Ok(())
        }),
        folder: PathBuf::from("/nowhere"),
        logs: PathBuf::from("/state/log"),
        cancel: cancel.clone(),
        out: &mut out,
        zone: Zone::Utc,
    };
    let result = calls::run(&mut desk, cli.command);
    drop(desk);
    assert!(script.borrow().is_empty() || result.is_err(), "not asked: {:?}", script.borrow());
    Played { result, stdout: stdout.text(), stderr: stderr.text(), waits: waits.into_inner() }
}

fn planned(problems: &Value) -> Turn {
    let id = if *problems == json!([]) { json!("demo-1") } else { Value::Null };
    (
        "plan",
        json!({"plan_id": id, "name": "demo", "state": null, "waves": [[1], [2]], "critical_path": [1, 2],
               "ownership": [], "specs": [], "problems": problems}),
    )
}

fn dispatched() -> Turn {
    ("dispatch", json!({"run_id": "r-1", "plan_id": "demo-1", "started": [], "waiting": []}))
}

fn plan_status(seq: i64, state: &str, tasks: &[(i64, &str)]) -> Turn {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|(id, state)| json!({"id": id, "state": state, "task": format!("do {id}"), "attempts": 1, "worker": "local"}))
        .collect();
    (
        "status",
        json!({"seq": seq, "scope": "plan", "plan_id": "demo-1", "name": "demo", "state": state, "done": 0,
               "total": 2, "running": 0, "failed": 0, "usd": 0.0, "tasks": tasks}),
    )
}

#[test]
fn a_run_tells_each_change_once_and_ends_with_its_plan() {
    let script = |end: &str| {
        vec![
            planned(&json!([])),
            dispatched(),
            plan_status(1, "draft", &[(1, "waiting"), (2, "waiting")]),
            plan_status(2, "running", &[(1, "ready"), (2, "waiting")]),
            plan_status(3, "running", &[(1, "running"), (2, "waiting")]),
            plan_status(4, "running", &[(1, "running"), (2, "waiting")]),
            plan_status(5, end, &[(1, "done"), (2, end)]),
        ]
    };
    let played = play(&["run", "plan.json"], script("done"), 0);
    assert_eq!(played.result.unwrap(), 0);
    assert_eq!(played.waits, 4);
    let lines: Vec<&str> = played.stdout.lines().take(5).collect();
    assert_eq!(
        lines[..4],
        ["demo-1  run r-1", "running    1  local  do 1", "done       1  do 1", "done       2  do 2"]
    );
    assert_eq!(played.stderr, "", "no progress where no terminal is");
    assert_eq!(play(&["run", "plan.json"], script("failed"), 0).result.unwrap(), 1);
    assert_eq!(play(&["run", "plan.json"], script("stopped"), 0).result.unwrap(), 1);
    // As JSON only the last status, whole.
    let played = play(&["run", "plan.json", "--json"], script("done"), 0);
    assert_eq!(played.stdout.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(&played.stdout).unwrap(), script("done")[6].1);
}

#[test]
fn a_run_that_is_stopped_is_told_when_its_workers_have_ended() {
    let ending = |seq, tasks| {
        let mut turn = plan_status(seq, "stopped", tasks);
        turn.1["conductor"] = json!({"id": "c-1", "pid": 1});
        turn
    };
    let script = vec![
        planned(&json!([])),
        dispatched(),
        plan_status(1, "running", &[(1, "running")]),
        ending(2, &[(1, "running")]),
        plan_status(3, "stopped", &[(1, "waiting")]),
    ];
    let played = play(&["run", "plan.json"], script, 0);
    assert_eq!((played.result.unwrap(), played.waits), (1, 2));
    assert!(played.stdout.contains("waiting    1"), "{}", played.stdout);
}

#[test]
fn a_plan_that_is_not_started_is_kept_and_named() {
    let refused = |state: &str| {
        let script =
            vec![planned(&json!([])), ("dispatch", json!({"refused": true})), plan_status(1, state, &[])];
        play(&["run", "plan.json"], script, 0).result.unwrap_err().hint
    };
    let kept = "make room; the plan is kept as the draft demo-1: kapell dispatch --plan-id demo-1 starts it";
    assert_eq!(refused("draft"), kept);
    assert_eq!(refused("running"), "make room");
}

#[test]
fn an_interrupted_run_goes_on_and_says_how_to_follow_it() {
    let script =
        vec![planned(&json!([])), dispatched(), plan_status(1, "running", &[(1, "running"), (2, "waiting")])];
    let played = play(&["run", "plan.json"], script, 1);
    assert_eq!(played.result.unwrap(), INTERRUPTED);
    insta::assert_snapshot!(played.stderr, @r"
    demo-1 goes on in the background
     watch: kapell status --scope plan --id demo-1 --watch
      stop: kapell stop demo-1
    ");
}

#[test]
fn a_refused_plan_is_not_started() {
    let problem = json!([{"severity": "error", "code": "cycle", "message": "1 → 1", "hint": "", "task": 1}]);
    let played = play(&["run", "plan.json"], vec![planned(&problem)], 0);
    assert_eq!(played.result.unwrap(), 1);
    assert!(played.stdout.starts_with("demo  not stored"), "{}", played.stdout);
}

#[test]
fn a_detached_run_does_not_wait() {
    let played = play(&["run", "plan.json", "--detach"], vec![planned(&json!([])), dispatched()], 0);
    assert_eq!((played.result.unwrap(), played.waits), (0, 0));
}

#[test]
fn a_plan_of_many_pages_is_read_whole() {
    let mut first = plan_status(7, "done", &[(1, "done")]);
    first.1["next_cursor"] = json!("1");
    let second = plan_status(8, "done", &[(2, "done")]);
    let played =
        play(&["run", "plan.json", "--json"], vec![planned(&json!([])), dispatched(), first, second], 0);
    let value: Value = serde_json::from_str(&played.stdout).unwrap();
    assert_eq!((value["seq"].as_i64(), value["tasks"].as_array().unwrap().len()), (Some(7), 2));
    assert_eq!(value.get("next_cursor"), None);
}

fn judging(state: &str, verdict: Option<&str>) -> Value {
    let mut value = json!({"run_id": "r-1", "state": state, "gates": [], "changed": [], "outside_claim": []});
    if let Some(verdict) = verdict {
        value["verdict"] = json!(verdict);
    }
    value
}

fn judgement(seq: i64, state: &str, verdict: Option<&str>) -> Turn {
    let mut value = json!({"seq": seq, "scope": "plan"});
    for (name, field) in judging(state, verdict).as_object().unwrap() {
        value[name] = field.clone();
    }
    ("status", value)
}

#[test]
fn a_judge_is_waited_for_and_its_verdict_is_the_exit_code() {
    for (verdict, code) in [("approved", 0), ("rejected", 1), ("error", 4)] {
        let script = vec![
            ("judge", judging("running", None)),
            judgement(1, "running", None),
            judgement(2, "running", None),
            judgement(3, "done", Some(verdict)),
        ];
        let played = play(&["judge", "--plan-id", "demo-1", "--json"], script, 0);
        assert_eq!((played.result.unwrap(), played.waits), (code, 2));
        assert_eq!(serde_json::from_str::<Value>(&played.stdout).unwrap(), judging("done", Some(verdict)));
    }
    let died = vec![("judge", judging("running", None)), judgement(1, "failed", None)];
    assert_eq!(play(&["judge", "--path", "."], died, 0).result.unwrap(), 4);
    let played =
        play(&["judge", "--attempt", "a-1", "--no-wait"], vec![("judge", judging("running", None))], 0);
    assert_eq!((played.result.unwrap(), played.waits), (0, 0));
    let script = vec![("judge", judging("running", None)), judgement(1, "running", None)];
    let played = play(&["judge", "--attempt", "a-1"], script, 1);
    assert_eq!(played.result.unwrap(), INTERRUPTED);
    assert!(played.stderr.contains("kapell status --run-id r-1"));
}

fn overview(seq: i64, claims: u64) -> Turn {
    (
        "status",
        json!({"seq": seq, "scope": "overview", "plans": [], "workers": {"busy": 0, "idle": 0, "unhealthy": 0},
               "claims": claims, "budget": [], "warnings": []}),
    )
}

#[test]
fn a_watch_shows_only_what_changed_until_ctrl_c() {
    let script = vec![overview(1, 0), overview(2, 0), overview(3, 1), overview(4, 2)];
    let played = play(&["status", "--watch", "--json"], script, 4);
    assert_eq!(played.result.unwrap(), 0);
    let shown: Vec<Value> = played.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let claims: Vec<_> = shown.iter().map(|value| value["claims"].as_u64().unwrap()).collect();
    assert_eq!(claims, [0, 1, 2]);
}

#[test]
fn a_watch_of_what_has_ended_ends() {
    let script = vec![plan_status(1, "running", &[(1, "running")]), plan_status(2, "done", &[(1, "done")])];
    let played = play(&["status", "--scope", "plan", "--id", "demo-1", "--watch"], script, 0);
    assert_eq!((played.result.unwrap(), played.waits), (0, 1));
    let played =
        play(&["status", "--run-id", "r-1", "--watch"], vec![judgement(1, "done", Some("rejected"))], 0);
    assert_eq!(played.result.unwrap(), 0);
}

#[test]
fn only_what_waits_listens_for_ctrl_c() {
    for (words, waits) in [
        (&["status"][..], false),
        (&["status", "--watch"], true),
        (&["claim-files", "a"], false),
        (&["claim-files", "a", "--wait-s", "0"], false),
        (&["claim-files", "a", "--wait-s", "5"], true),
        (&["judge", "--path", "."], true),
        (&["judge", "--path", ".", "--no-wait"], false),
        (&["run", "p"], true),
        (&["run", "p", "--detach"], false),
        (&["events"], false),
        (&["events", "-f"], true),
    ] {
        let command: Command = Cli::try_parse_from([&["kapell"], words].concat()).unwrap().command;
        assert_eq!(calls::waits(&command), waits, "{words:?}");
    }
}

/// Asked what becomes of a run: what was typed, and what the contract answers then.
fn left(typed: &[&str], script: Vec<Turn>) -> (Result<Result<String, Left>, ApiError>, String) {
    let (said, answers) = std::sync::mpsc::channel();
    for answer in typed {
        said.send(((*answer).to_owned(), false)).unwrap();
    }
    let (stdout, stderr) = (Paper::default(), Paper::default());
    let mut out = Out::of_sinks(Box::new(stdout), Box::new(stderr.clone()), false, true);
    let script = RefCell::new(VecDeque::from(script));
    let mut desk = Desk {
        ask: Box::new(|method, _| {
            let (expected, answer) = script.borrow_mut().pop_front().unwrap();
            assert_eq!(method, expected);
            match answer.get("refused") {
                Some(_) => Err(Refusal::new(Code::Conflict, "it is done", "nothing to stop").into()),
                None => Ok(answer),
            }
        }),
        wait: Box::new(|_, _| Ok(())),
        folder: PathBuf::from("/nowhere"),
        logs: PathBuf::from("/state/log"),
        cancel: Cancel::default(),
        out: &mut out,
        zone: Zone::Utc,
    };
    let left = leaving::decide(&mut desk, "demo-1", &answers);
    drop(desk);
    assert!(script.borrow().is_empty(), "not asked: {:?}", script.borrow());
    (left.map(|left| left.map(|(_, status)| status.state)), stderr.text())
}

#[test]
fn a_run_that_ends_while_its_person_is_asked_needs_no_answer() {
    let running = || plan_status(1, "running", &[(1, "running")]);
    let done = || plan_status(2, "done", &[(1, "done")]);
    let (ended, told) = left(&[], vec![running(), done()]);
    assert_eq!(ended.unwrap(), Ok("done".to_owned()));
    assert!(told.contains("[d]etach") && told.contains("it is done meanwhile"), "{told}");
    // It ended after the answer, and before that was heard.
    let refused = || ("control", json!({"refused": true}));
    let (ended, _) = left(&["what?\n", "s\n"], vec![refused(), done()]);
    assert_eq!(ended.unwrap(), Ok("done".to_owned()));
    let (ended, _) = left(&["s\n"], vec![refused(), running()]);
    assert!(ended.is_err(), "what was refused for another reason is said");
    // What a stop is answered is told too: it may take its time.
    let stopping = json!({"ack": true, "state": "stopped", "message": "1 worker is being ended"});
    let (stopped, told) = left(&["s\n"], vec![("control", stopping)]);
    assert_eq!(stopped.unwrap(), Err(Left::Stopped));
    assert!(told.contains("1 worker is being ended"), "{told}");
    let (left, _) = left(&["p\n"], vec![("control", json!({"ack": true, "state": "paused", "message": ""}))]);
    assert_eq!(left.unwrap(), Err(Left::Paused));
}
