//! Screens in several sizes, and what keys do.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::json;

use super::draw;
use super::layout::LEAST;
use super::model::{Effect, Event, Input, Loaded, Mode, Model, Panel, PlanRow, waves};
use super::theme::Palette;
use crate::api::wire::{
    ClaimStatus, ConductorStatus, EventStatus, PlanStatus, Progress, TaskLine, WorkerStatus,
};
use crate::base::clock::{Time, Zone};
use crate::services::watching::{Line, LineStyle};

const NOW: &str = "2026-11-21T09:30:00.000Z";

fn of_json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn plan_row(plan: &str, state: &str, done: u64, more: &serde_json::Value) -> PlanRow {
    let mut value = json!({
        "id": format!("c-{plan}"), "pid": 1000 + done, "plan_id": plan, "project": "/home/ada/shop",
        "state": state, "started_at": "2026-11-21T09:00:00.000Z",
        "heartbeat_at": NOW, "fresh": !matches!(state, "crashed" | "stopped"),
    });
    for (name, fact) in more.as_object().unwrap() {
        value[name] = fact.clone();
    }
    let mut status: ConductorStatus = of_json(value);
    status.progress = Some(Progress { done, total: 8, running: 2, failed: u64::from(state == "crashed") });
    PlanRow { status, iteration: (state == "running").then_some(42) }
}

fn task(id: &str, state: &str, after: &[&str]) -> TaskLine {
    of_json(json!({
        "id": id, "state": state, "task": format!("Do what {id} is about"), "attempts": u32::from(state != "waiting"),
        "attempt": (state != "waiting").then(|| format!("a-{id}")),
        "worker": (state == "running").then_some("codex2"),
        "depends_on": after,
    }))
}

fn loaded() -> Loaded {
    let tasks = vec![
        task("schema", "done", &[]),
        task("api", "running", &["schema"]),
        task("docs", "running", &["schema"]),
        task("login", "rejected", &["api", "docs"]),
        task("ship", "waiting", &["login"]),
    ];
    Loaded {
        plans: vec![
            plan_row("auth-3kq9zx", "running", 3, &json!({})),
            plan_row("nightly-77aa01", "queued", 0, &json!({"position": 1})),
            plan_row(
                "größe-日本-000001",
                "crashed",
                5,
                &json!({"note": "its process 1005 is gone; kapell resume größe-日本-000001 goes on"}),
            ),
            plan_row("old-000000", "stopped", 8, &json!({})),
        ],
        plan: Some(of_json::<PlanStatus>(json!({
            "plan_id": "auth-3kq9zx", "name": "auth", "state": "running", "done": 1, "total": 5, "running": 2,
            "failed": 0, "usd": 1.5, "tasks": tasks,
        }))),
        workers: vec![
            of_json::<WorkerStatus>(json!({"worker": "claude1", "provider": "claude", "state": "idle"})),
            of_json(json!({"worker": "codex2", "provider": "codex", "state": "busy", "usd_today": 1.5,
                           "tasks": ["auth-3kq9zx/api"]})),
            of_json(json!({"worker": "pr_review1", "provider": "claude", "state": "unhealthy",
                           "reason": "3 attempts failed at once"})),
        ],
        claims: vec![of_json::<ClaimStatus>(json!({
            "claim_id": 7, "pattern": "src/db/**", "mode": "exclusive", "holder": "a-api", "holder_kind": "attempt",
            "task": "auth-3kq9zx/api", "since": "2026-11-21T09:10:00.000Z", "expires_at": "2026-11-21T10:00:00.000Z"
        }))],
        warnings: vec!["codex: rate-limited until 2026-11-21T09:40:00.000Z".to_owned()],
    }
}

fn event(seq: i64, kind: &str, text: &str) -> EventStatus {
    of_json(json!({
        "seq": seq, "at": "2026-11-21T09:29:00.000Z", "kind": kind, "plan_id": "auth-3kq9zx", "task": "api",
        "attempt": "a-api", "text": text,
    }))
}

fn model(size: (u16, u16)) -> Model {
    let mut model = Model::new(size, Zone::Utc, None);
    model.now = Time::parse(NOW).unwrap();
    model.update(Event::Loaded(Box::new(loaded())));
    model.update(Event::News(vec![
        event(1, "attempt.started", "task api: try 1 by codex2"),
        event(2, "attempt.said", "reading the schema\u{1b}[31m now"),
    ]));
    model
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|key| model.update(Event::Input(Input::Char(key)))).collect()
}

fn screen(model: &Model, palette: Palette) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, model.size.0, model.size.1));
    draw::draw(model, &palette.theme(), &mut buffer);
    buffer
}

fn text(model: &Model) -> String {
    let buffer = screen(model, Palette::Dark);
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol).max(1)).unwrap();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[test]
fn how_a_plan_ended_is_shown_and_not_that_its_conductor_did() {
    let mut model = model((120, 40));
    let mut found = loaded();
    for (plan, state) in [("good-1", "done"), ("bad-1", "failed"), ("held-1", "stopped")] {
        found.plans.push(plan_row(plan, "stopped", 8, &json!({"plan_state": state})));
    }
    model.update(Event::Loaded(Box::new(found)));
    let screen = text(&model);
    for (plan, state) in [("good-1", "done"), ("bad-1", "failed"), ("held-1", "stopped")] {
        let line = screen.lines().find(|line| line.contains(plan)).unwrap_or_else(|| panic!("{screen}"));
        assert!(line.contains(state), "{line}");
    }
}

#[test]
fn the_screen_in_several_sizes() {
    let mut all = String::new();
    for size in [(40, 8), LEAST, (80, 24), (100, 24), (140, 40)] {
        all.push_str(&format!("--- {}x{}\n{}", size.0, size.1, text(&model(size))));
    }
    insta::assert_snapshot!("sizes", all);
}

#[test]
fn panels_texts_and_questions() {
    let mut all = String::new();
    let mut show = |what: &str, model: &Model| all.push_str(&format!("--- {what}\n{}", text(model)));
    show("nothing yet", &Model { now: Time::parse(NOW).unwrap(), ..Model::new(LEAST, Zone::Utc, None) });
    for (keys, what) in
        [("3", "workers"), ("4", "claims"), ("5", "events"), ("s", "a question"), ("/lo", "a filter")]
    {
        let mut model = model(LEAST);
        press(&mut model, keys);
        show(what, &model);
    }
    let mut help = model((80, 30));
    press(&mut help, "?");
    show("help", &help);
    let mut log = model(LEAST);
    press(&mut log, "2jl");
    let line = |style, text: &str| Line { style, text: text.to_owned() };
    log.update(Event::Lines(vec![
        line(LineStyle::Said, "I begin."),
        line(LineStyle::Aside, "warning: slow"),
    ]));
    show("a log", &log);
    insta::assert_snapshot!("parts", all);
}

#[test]
fn colours_are_the_palettes_and_none_where_none_are_wanted() {
    let colours = |palette| {
        let buffer = screen(&model((120, 30)), palette);
        let mut colours: Vec<String> = buffer.content.iter().map(|cell| format!("{:?}", cell.fg)).collect();
        colours.sort();
        colours.dedup();
        assert!(buffer.content.iter().all(|cell| format!("{:?}", cell.bg) == "Reset"));
        colours.join(" ")
    };
    assert_eq!(colours(Palette::Mono), "Reset");
    assert_eq!(colours(Palette::Dark), "Cyan Green LightRed Reset Yellow");
    assert_eq!(colours(Palette::Light), "Blue DarkGray Green Magenta Red Reset");
}

#[test]
fn tasks_stand_in_waves() {
    let tasks = loaded().plan.unwrap().tasks;
    assert_eq!(waves(&tasks), [1, 2, 2, 3, 4]);
    // What no plan has ends all the same.
    let circle =
        [task("a", "waiting", &["b"]), task("b", "waiting", &["a"]), task("c", "waiting", &["nobody"])];
    assert!(waves(&circle).iter().all(|wave| (1..=3).contains(wave)));
    assert_eq!(waves(&[]), Vec::<usize>::new());
}

#[test]
fn keys_steer_what_is_looked_at() {
    let control =
        |action, target: &str, force| vec![Effect::Control { action, target: target.to_owned(), force }];
    for (keys, effects) in [
        ("p", control("pause", "auth-3kq9zx", false)),
        ("r", control("resume", "auth-3kq9zx", false)),
        ("s", vec![]),
        ("sn", vec![]),
        ("sy", control("stop", "auth-3kq9zx", false)),
        ("fy", control("stop", "auth-3kq9zx", true)),
        ("Py", control("pause", "auth-3kq9zx", true)),
        ("ny", control("land", "auth-3kq9zx", false)),
        ("2ny", control("land", "auth-3kq9zx", false)),
        ("2jt", control("retry", "auth-3kq9zx/api", false)),
        ("2jjjay", control("approve", "auth-3kq9zx/login", false)),
        ("3sy", control("stop", "auth-3kq9zx/api", false)),
        // Of a plan that nobody looks at nothing is done.
        ("g", vec![]),
        ("4l", vec![Effect::Log("a-api".to_owned())]),
        ("5d", vec![Effect::Diff("a-api".to_owned())]),
        ("2jjjjl", vec![]),
        ("q", vec![Effect::Quit]),
        ("?q", vec![]),
        ("R", vec![Effect::Load(Some("auth-3kq9zx".to_owned()))]),
    ] {
        assert_eq!(press(&mut model((120, 40)), keys), effects, "{keys}");
    }
    let mut model = model((120, 40));
    assert_eq!(press(&mut model, "j"), [Effect::Load(Some("nightly-77aa01".to_owned()))]);
    assert_eq!(press(&mut model, "g"), control("launch", "nightly-77aa01", false));
    // Before that is there, nothing of the plan before is steered.
    assert_eq!(press(&mut model, "2jt"), []);
    assert_eq!(model.update(Event::Input(Input::Interrupt)), [Effect::Quit]);
}

#[test]
fn the_mouse_reaches_rows_panels_and_what_is_offered() {
    let mut model = model((120, 40));
    let layout = model.layout();
    let (_, tasks) = *layout.panels.iter().find(|(panel, _)| *panel == Panel::Tasks).unwrap();
    model.update(Event::Input(Input::Click(tasks.x + 5, tasks.y + 3)));
    assert_eq!(
        (model.focus, model.task_row().map(|task| super::model::id_text(&task.id))),
        (Panel::Tasks, Some("docs".to_owned()))
    );
    let (_, events) = *layout.panels.iter().find(|(panel, _)| *panel == Panel::Events).unwrap();
    model.update(Event::Input(Input::Click(events.x, events.y + 1)));
    assert_eq!((model.focus, model.row(Panel::Events)), (Panel::Events, 1));
    let warning = layout.warnings;
    let launched = model.update(Event::Input(Input::Click(warning.right() - 10, warning.y)));
    assert!(matches!(&launched[..], [Effect::Control { action: "launch", .. }]), "{launched:?}");
    assert_eq!(model.update(Event::Input(Input::Click(warning.x, warning.y))), []);
    let asked = model.warnings().len();
    assert_eq!(model.update(Event::Input(Input::Click(warning.right() - 3, warning.y))), []);
    assert_eq!(model.warnings().len(), asked - 1, "who leaves it in the queue is not asked again");
    model.update(Event::Input(Input::Wheel(1, 2, 3)));
    assert_eq!(model.row(Panel::Plans), 3);
    // Beside everything.
    assert_eq!(model.update(Event::Input(Input::Click(500, 500))), []);
}

#[test]
fn a_log_follows_until_somebody_scrolls_back() {
    let mut model = model((80, 20));
    press(&mut model, "2jl");
    let lines = |count: usize| {
        (0..count).map(|at| Line { style: LineStyle::Said, text: at.to_string() }).collect::<Vec<_>>()
    };
    model.update(Event::Lines(lines(100)));
    assert_eq!((model.view.top, model.view.follows), (82, true));
    model.update(Event::Input(Input::Page(-1)));
    model.update(Event::Lines(lines(10)));
    assert_eq!((model.view.top, model.view.follows), (65, false));
    model.update(Event::Input(Input::End));
    assert!(model.view.follows);
    assert_eq!(model.update(Event::News(vec![event(3, "attempt.finished", "over")]))[0], Effect::LogOver);
    assert_eq!(model.update(Event::Input(Input::Esc)), [Effect::LogClosed]);
    assert_eq!(model.mode, Mode::Panels);
}

#[test]
fn a_row_stays_with_its_plan_and_who_looks_back_is_not_moved_on() {
    let mut model = model((120, 40));
    press(&mut model, "jj");
    let mut again = loaded();
    again.plans.rotate_left(1);
    again.plan.as_mut().unwrap().plan_id = "größe-日本-000001".to_owned();
    assert_eq!(model.update(Event::Loaded(Box::new(again))), []);
    assert_eq!(model.plan_row().unwrap().status.plan_id, "größe-日本-000001");
    press(&mut model, "5k");
    let before = model.events()[model.row(Panel::Events)].seq;
    model.update(Event::News(vec![event(9, "attempt.said", "more"), event(10, "attempt.said", "and more")]));
    assert_eq!(model.events()[model.row(Panel::Events)].seq, before);
    // What is said is no reason to look at the store, what changes is.
    assert_eq!(model.update(Event::News(vec![event(11, "attempt.tool", "ls")])), []);
    assert!(matches!(
        &model.update(Event::News(vec![event(12, "task.state", "done")]))[..],
        [Effect::Load(_)]
    ));
}

#[test]
fn whatever_is_known_is_drawn_in_any_size() {
    for size in [(0, 0), (1, 1), (59, 16), (60, 15), (61, 17), (99, 23), (100, 24), (300, 100)] {
        let mut model = model(size);
        for keys in ["1", "2", "3", "4", "5", "/zzz", "?"] {
            let _ = screen(&model, Palette::Light);
            press(&mut model, keys);
        }
        let _ = screen(&model, Palette::Mono);
    }
}

#[test]
fn each_try_of_a_seat_has_a_row_with_what_it_printed_last() {
    let mut model = model((140, 40));
    let mut found = loaded();
    found.workers[1].tasks = vec!["auth-3kq9zx/api".to_owned(), "auth-3kq9zx/docs".to_owned()];
    model.update(Event::Loaded(Box::new(found)));
    assert_eq!(model.in_sight(), ["a-api", "a-docs"]);
    let printed = vec![("a-docs".to_owned(), " $0.25: page 3 of 9".to_owned())];
    model.update(Event::Printed(printed));
    let screen = text(&model);
    for row in [
        "codex2      busy      $1.50  api: reading the schema now",
        "codex2      busy       docs $0.25: page 3 of 9",
    ] {
        assert!(screen.contains(row), "{screen}");
    }
    model.update(Event::Input(Input::Char('3')));
    model.update(Event::Input(Input::Move(1)));
    assert_eq!(model.attempt_id().as_deref(), Some("a-docs"));
    assert_eq!(model.update(Event::Input(Input::Suspend)), [Effect::Suspend]);
}
