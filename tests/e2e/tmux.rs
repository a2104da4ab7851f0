//! tmux: attempts in windows, and standing sessions. Every bench has a server of its own.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::{AGENT, Bench, DEADLINE, KAPELL, Plan, task};

/// A bench with workers in tmux; none where this machine has no tmux, and then it says so.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn bench() -> Option<Bench> {
    let bench = Bench::new();
    if bench.command("tmux").arg("-V").output().is_err() {
        eprintln!("skipped: there is no tmux on this machine");
        return None;
    }
    let recorder = recorder(&bench);
    bench.configure(&format!(
        "[workers.shown]\nprovider = \"fake\"\nruntime = \"tmux\"\ngroups = [\"shown\"]\n\
         [workers.\"a.b\"]\nprovider = \"talk\"\nprotected = true\ngroups = [\"talkers\"]\n\
         [workers.talk1]\nprovider = \"talk\"\nruntime = \"tmux\"\ngroups = [\"talkers\"]\n\
         [groups.talkers]\nmatch = 'pr_review\\d+'\n\
         [providers.talk]\nkind = \"command\"\ncommand = [\"{AGENT}\"]\nenv = [\"MY_*\"]\n\
         session = [\"python3\", \"{recorder}\", \"brackets\"]\n"
    ));
    Some(bench)
}

/// A program that reads key by key, asks for pastes in brackets if it is told to, and keeps each read and
/// its environment beside the file of its terminal's pane.
fn recorder(bench: &Bench) -> String {
    let path = bench.root.join("recorder.py");
    let text = format!(
        "import os, sys, tty\n\
         at = {root:?} + '/' + os.environ['TMUX_PANE'][1:]\n\
         os.path.exists(at + '.env') or open(at + '.env', 'w').write(' '.join(sorted(os.environ)))\n\
         tty.setraw(0)\n\
         os.write(1, b'\\x1b[?2004h' if 'brackets' in sys.argv else b'ready')\n\
         log = open(at + '.keys', 'ab', 0)\n\
         while (read := os.read(0, 1 << 20)): log.write(b'<' + read + b'>')\n",
        root = bench.root.to_str().unwrap()
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn tmux(bench: &Bench, args: &[&str]) -> Output {
    bench.command("tmux").arg("-u").args(args).output().unwrap()
}

#[track_caller]
fn tmux_ok(bench: &Bench, args: &[&str]) -> String {
    let output = tmux(bench, args);
    assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// `kapell fleet … --json` and how it ends.
fn fleet(bench: &Bench, args: &[&str]) -> (Value, i32) {
    let output = bench.command(KAPELL).arg("fleet").args(args).arg("--json").output().unwrap();
    let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let value = serde_json::from_slice(said).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (value, output.status.code().unwrap())
}

fn states(became: &Value) -> Vec<String> {
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or("-").to_owned();
    let all = became["sessions"].as_array().unwrap_or_else(|| panic!("{became:#}")).iter();
    all.map(|it| format!("{} {} {}", text(it, "worker"), text(it, "state"), text(it, "session"))).collect()
}

/// Sessions by name, in order.
fn sessions(bench: &Bench) -> Vec<String> {
    let output = tmux(bench, &["list-sessions", "-F", "#{session_name}"]);
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Asks until it is so. Of what happens on a screen nobody tells.
#[track_caller]
fn until<T>(bench: &Bench, what: &str, ask: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come\n{}", bench.story());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[track_caller]
fn until_shown(bench: &Bench, target: &str, text: &str) -> String {
    until(bench, text, || {
        let output = tmux(bench, &["capture-pane", "-p", "-J", "-t", target]);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        shown.contains(text).then_some(shown)
    })
}

/// What the recorder in the only pane of a session has read once it read Enter by itself.
#[track_caller]
fn keys(bench: &Bench, session: &str) -> String {
    let pane = tmux_ok(bench, &["display-message", "-p", "-t", &format!("={session}:"), "#{pane_id}"]);
    let file = bench.root.join(format!("{}.keys", &pane[1..]));
    until(bench, "Enter", || {
        let keys = fs::read_to_string(&file).ok()?;
        keys.ends_with("<\r>").then_some(keys)
    })
}

/// The project of a bench is called `my "project" é`.
const SHOWS: &str = "kapell-my__project__é";

#[test]
fn an_attempt_is_shown_in_a_window_and_survives_everything_that_becomes_of_it() {
    let Some(bench) = bench() else { return };
    let lines = ["say one \u{1b}]0;x\u{7}two", &bench.meet_line("in"), "write a.txt a"];
    let plan = bench.start(&Plan::new([task("a.1", &["a.txt"], &lines).with("agent", json!("shown"))]));
    let guest = bench.meet("in");
    let target = format!("={SHOWS}:shown-a_1");
    let shown = until_shown(&bench, &target, "one two");
    assert!(shown.contains(&format!("{plan}/a.1, try 1, by shown")), "{shown}");
    // Whoever wants to look is led there.
    let (attach, code) = fleet(&bench, &["attach", "shown"]);
    assert_eq!(
        (attach["session"].as_str(), attach["window"].as_str(), code),
        (Some(SHOWS), Some("shown-a_1"), 0)
    );
    assert_eq!(fleet(&bench, &["attach"]).0["session"], SHOWS);
    let told = bench.events(Some(&plan)).into_iter().any(|event| event.0 == "attempt.window");
    assert!(told, "{}", bench.story());
    // What is typed there, and its end, do not reach the worker.
    tmux_ok(&bench, &["send-keys", "-t", &target, "C-c"]);
    until(&bench, "the end of the window", || sessions(&bench).is_empty().then_some(()));
    // It can be had again, also of one that was to be shown nowhere.
    assert_eq!(fleet(&bench, &["attach", "shown"]).1, 0);
    until_shown(&bench, &target, "one two");
    tmux_ok(&bench, &["kill-server"]);
    guest.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "a.txt"), "a");
}

#[test]
fn the_window_tells_the_end_and_enter_closes_it() {
    let Some(bench) = bench() else { return };
    let plan =
        Plan::new([task("a", &["a.txt"], &["write a.txt a", "say done"]).with("agent", json!("shown"))]);
    let plan = bench.start(&plan);
    bench.task_is(&plan, "a", "done");
    let target = format!("={SHOWS}:");
    let shown = until_shown(&bench, &target, "ended with exit code 0");
    assert!(shown.contains("done"), "{shown}");
    tmux_ok(&bench, &["send-keys", "-t", &target, "Enter"]);
    until(&bench, "the end of the window", || sessions(&bench).is_empty().then_some(()));
    bench.quiet();
}

#[test]
fn two_plans_share_the_session_and_somebodys_own_is_left_alone() {
    let Some(bench) = bench() else { return };
    // By that name, and not Kapell's.
    tmux_ok(&bench, &["new-session", "-d", "-s", SHOWS, "-n", "own", "cat"]);
    let plans: Vec<String> = ["a", "b"]
        .iter()
        .map(|name| {
            let lines = [bench.meet_line(name)];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let agent = json!(if *name == "a" { "shown" } else { "talk1" });
            bench.plan(&Plan::new([task(name, &[&format!("{name}.txt")], &lines).with("agent", agent)]))
        })
        .collect();
    std::thread::scope(|scope| {
        for plan in &plans {
            scope.spawn(|| bench.dispatch(plan));
        }
    });
    let guests = ["a", "b"].map(|name| bench.meet(name));
    let format = "#{session_name} #{window_name}";
    let windows = until(&bench, "both windows", || {
        let windows = tmux_ok(&bench, &["list-windows", "-a", "-F", format]);
        let mut windows: Vec<String> = windows.lines().map(str::to_owned).collect();
        windows.sort();
        (windows.len() == 3).then_some(windows)
    });
    let names: Vec<&str> =
        windows.iter().filter_map(|window| window.split_once(' ')).map(|it| it.1).collect();
    let session = |at: usize| windows[at].split_once(' ').unwrap().0;
    assert_eq!(names.len(), 3, "{windows:?}");
    let ours: Vec<&String> = windows.iter().filter(|window| !window.ends_with(" own")).collect();
    assert!(ours.iter().all(|window| !window.starts_with(&format!("{SHOWS} "))), "{windows:?}");
    assert_eq!(sessions(&bench).len(), 2, "{windows:?} {}", session(0));
    guests.into_iter().for_each(crate::bench::Guest::go);
}

#[test]
fn without_tmux_it_is_said_and_what_to_do() {
    let bench = Bench::new();
    // A machine with git and python, and no tmux.
    for program in ["git", "sh"] {
        std::os::unix::fs::symlink(format!("/usr/bin/{program}"), bench.root.join("bin").join(program))
            .unwrap();
    }
    bench.configure("[workers.shown]\nprovider = \"fake\"\nruntime = \"tmux\"\n");
    let run = |args: &[&str]| {
        let output = bench.command(KAPELL).env("PATH", bench.root.join("bin")).args(args).output().unwrap();
        (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code().unwrap())
    };
    for args in [
        &["fleet", "up"][..],
        &["fleet", "down"],
        &["fleet", "attach"],
        &["fleet", "send", "shown", "x"],
        &["send", "# x", "--target", "shown", "--files", "a.txt"],
    ] {
        let (said, code) = run(args);
        assert!(said.contains("there is no tmux on the PATH") && said.contains("apt install tmux"), "{said}");
        assert_eq!(code, 1, "{args:?}: {said}");
    }
    assert_eq!(run(&["fleet"]).1, 0);
    assert_eq!(bench.events(None), [], "nothing was begun");
}

#[test]
fn sessions_are_started_once_found_by_name_and_ended_only_if_they_are_ours() {
    let Some(bench) = bench() else { return };
    for name in ["pr_review7", "notes"] {
        tmux_ok(&bench, &["new-session", "-d", "-s", name, "cat"]);
    }
    // Somebody has one by the name of a worker.
    tmux_ok(&bench, &["new-session", "-d", "-s", "talk1", "cat"]);
    let up = || fleet(&bench, &["up", "a.b", "talkers"]);
    let (became, code) = up();
    assert_eq!((states(&became), code), (vec!["a.b started a_b".into(), "talk1 found talk1".into()], 0));
    assert_eq!(states(&up().0), ["a.b running a_b", "talk1 found talk1"]);

    // Its environment is the allow-list's, and not the server's.
    let pane = tmux_ok(&bench, &["display-message", "-p", "-t", "=a_b:", "#{pane_id}"]);
    let environment = until(&bench, "the environment", || {
        fs::read_to_string(bench.root.join(format!("{}.env", &pane[1..])))
            .ok()
            .filter(|text| !text.is_empty())
    });
    let allowed = [
        "HOME",
        "KAPELL_CONFIG",
        "KAPELL_HOME",
        "PATH",
        "TERM",
        "TERM_PROGRAM",
        "TERM_PROGRAM_VERSION",
        "TMUX",
        "TMUX_PANE",
    ];
    assert!(
        environment.split(' ').all(|name| allowed.contains(&name) || name == "LC_CTYPE"),
        "{environment}"
    );

    // They stand beside their workers, in their groups.
    let (workers, _) = fleet(&bench, &[]);
    let session = |name: &str| {
        let found = workers["workers"].as_array().unwrap().iter().find(|worker| worker["worker"] == name);
        found.map(|worker| (worker["session"].clone(), worker["groups"].clone()))
    };
    assert_eq!(session("a.b").unwrap().0, json!({"name": "a_b", "started_by_kapell": true}));
    assert_eq!(session("pr_review7"), Some((json!({"name": "pr_review7"}), json!(["talkers"]))));
    assert_eq!(session("shown").unwrap().0, Value::Null);
    assert_eq!(session("notes"), None);

    // A window that somebody opened in one of ours is theirs.
    tmux_ok(&bench, &["new-window", "-d", "-t", "=a_b:", "-n", "theirs", "cat"]);
    let (became, code) = fleet(&bench, &["down"]);
    assert_eq!((states(&became), code), (vec!["a.b ended a_b".into()], 0));
    assert_eq!(tmux_ok(&bench, &["list-windows", "-t", "=a_b:", "-F", "#{window_name}"]), "theirs");
    let (became, code) = fleet(&bench, &["down", "talk1", "pr_review7"]);
    assert_eq!(code, 1);
    assert_eq!(states(&became), ["talk1 not-ours talk1", "pr_review7 not-ours pr_review7"]);
    assert_eq!(sessions(&bench).len(), 4);
    assert_eq!(fleet(&bench, &["up", "nobody"]).1, 3);
}

#[test]
fn two_who_start_the_fleet_at_once_start_it_once() {
    let Some(bench) = bench() else { return };
    let all: Vec<String> = std::thread::scope(|scope| {
        let both: Vec<_> =
            (0..3).map(|_| scope.spawn(|| states(&fleet(&bench, &["up", "talkers"]).0))).collect();
        both.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    let started = all.iter().filter(|state| state.contains(" started ")).count();
    let running = all.iter().filter(|state| state.contains(" running ")).count();
    assert_eq!((started, running), (2, 4), "{all:?}");
    assert_eq!(sessions(&bench), ["a_b", "talk1"]);
}

#[test]
fn a_program_that_ends_at_once_is_no_session() {
    let Some(bench) = bench() else { return };
    // The scripted agent wants a task.
    let (became, code) = fleet(&bench, &["up", "shown"]);
    assert_eq!(code, 1);
    assert_eq!(became["sessions"][0]["state"], "failed", "{became:#}");
    assert!(became["sessions"][0]["reason"].as_str().unwrap().contains("ended at once"), "{became:#}");
}

#[test]
fn a_text_is_pasted_nothing_in_it_is_a_key_and_enter_comes_once() {
    let Some(bench) = bench() else { return };
    assert_eq!(fleet(&bench, &["up", "talkers"]).1, 0);
    until_drawn(&bench, "a_b");
    let text = "one\r\n\ttwo \u{1b}[201~\u{3}\u{4};\n\n";
    let (sent, code) = fleet(&bench, &["send", "a.b", text]);
    assert_eq!((sent["sent"][0]["left_out"].as_u64(), code), (Some(3), 0), "{sent:#}");
    assert_eq!(keys(&bench, "a_b"), "<\u{1b}[200~one\r\ttwo [201~;\u{1b}[201~><\r>");
    assert_eq!(tmux_ok(&bench, &["list-buffers"]), "", "nothing of it stays");

    // Who scrolls there is not in the way. A group is typed to but for its protected members.
    until_drawn(&bench, "talk1");
    tmux_ok(&bench, &["copy-mode", "-t", "=talk1:"]);
    let long = "x".repeat(300_000);
    fs::write(bench.root.join("long"), &long).unwrap();
    let mut command = bench.command(KAPELL);
    command.args(["fleet", "send", "talkers", "-", "--json"]);
    command.stdin(Stdio::from(fs::File::open(bench.root.join("long")).unwrap()));
    let output = command.output().unwrap();
    let sent: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(sent["sent"].as_array().unwrap().len(), 1, "{sent:#}");
    let read = keys(&bench, "talk1");
    assert_eq!(read.matches('x').count(), long.len());
    assert_eq!(read.matches('\r').count(), 1);
    assert!(keys(&bench, "a_b").ends_with("[201~;\u{1b}[201~><\r>"), "the protected one got nothing");
    let told = bench.events(None).into_iter().filter(|event| event.0 == "session.typed").count();
    assert_eq!(told, 2);
}

#[test]
fn lines_stay_one_text_whatever_a_person_looks_at_in_the_pane() {
    let Some(bench) = bench() else { return };
    assert_eq!(fleet(&bench, &["up", "a.b"]).1, 0);
    until_drawn(&bench, "a_b");
    let paste = "<\u{1b}[200~one\rtwo\rthree\u{1b}[201~><\r>";
    for (at, modes) in [&["copy-mode"][..], &["clock-mode"], &["choose-tree"], &["copy-mode", "clock-mode"]]
        .iter()
        .enumerate()
    {
        for mode in *modes {
            tmux_ok(&bench, &[mode, "-t", "=a_b:"]);
        }
        assert_eq!(fleet(&bench, &["send", "a.b", "one\ntwo\nthree"]).1, 0);
        let read = until(&bench, "the last Enter", || {
            let read = keys(&bench, "a_b");
            (read.matches("three").count() == at + 1).then_some(read)
        });
        assert_eq!(apart(&read), paste.repeat(at + 1), "{modes:?}");
    }
    // A text that wants no brackets takes nobody out of what he looks at.
    tmux_ok(&bench, &["new-session", "-d", "-s", "pr_review7", "cat"]);
    tmux_ok(&bench, &["copy-mode", "-t", "=pr_review7:"]);
    assert_eq!(fleet(&bench, &["send", "pr_review7", "one\ntwo"]).1, 0);
    let mode = tmux_ok(&bench, &["display-message", "-p", "-t", "=pr_review7:", "#{pane_mode}"]);
    assert_eq!(mode, "copy-mode");
}

#[test]
fn a_session_whose_program_has_ended_is_down_whoever_else_has_a_pane_in_it() {
    let Some(bench) = bench() else { return };
    let own = |session: &str| tmux_ok(&bench, &["show-options", "-v", "-t", session, "@kapell_pane"]);
    let session = || {
        let (workers, _) = fleet(&bench, &[]);
        let all = workers["workers"].as_array().unwrap().iter();
        all.filter(|worker| worker["worker"] == "a.b").map(|worker| worker["session"]["name"].clone()).next()
    };
    let up = || states(&fleet(&bench, &["up", "a.b"]).0);
    assert_eq!(up(), ["a.b started a_b"]);
    until_drawn(&bench, "a_b");
    tmux_ok(&bench, &["split-window", "-d", "-t", "=a_b:", "cat"]);
    let (became, _) = fleet(&bench, &["down", "a.b"]);
    let told = became["sessions"][0]["reason"].as_str().unwrap();
    assert!(told.contains("1 pane of somebody's own stays in session a_b: tmux kill-session"), "{told}");
    assert_eq!(session(), Some(Value::Null));
    let (sent, code) = fleet(&bench, &["send", "a.b", "x"]);
    assert_eq!(code, 3, "{sent:#}");
    assert!(sent["data"]["hint"].as_str().is_some_and(|it| it.contains("kapell fleet up a.b")), "{sent:#}");
    assert_eq!(states(&fleet(&bench, &["down", "a.b"]).0), ["a.b not-running -"]);

    // It is started beside what is somebody's, and its program ends by itself.
    let second = &up()[0];
    let second = second.strip_prefix("a.b started ").unwrap_or_else(|| panic!("{second}"));
    assert_eq!(up(), [format!("a.b running {second}")]);
    assert_eq!(session(), Some(json!(second)));
    until_drawn(&bench, second);
    assert_eq!(fleet(&bench, &["send", "a.b", "x"]).1, 0);
    // Its pane is kept, as somebody may want it.
    tmux_ok(&bench, &["set-option", "-w", "-t", &format!("={second}:"), "remain-on-exit", "on"]);
    let pane = own(second);
    let pid = tmux_ok(&bench, &["display-message", "-p", "-t", &pane, "#{pane_pid}"]);
    assert!(bench.command("kill").arg(&pid).status().unwrap().success());
    let is_dead = || tmux_ok(&bench, &["display-message", "-p", "-t", &pane, "#{pane_dead}"]) == "1";
    until(&bench, "its end", || is_dead().then_some(()));
    assert_eq!(session(), Some(Value::Null));
    assert_eq!(up(), [format!("a.b started {second}")]);
    // What stands can be ended by a file that cannot be read; nothing can be started by it.
    bench.write("kapell.toml", "[workers\n");
    assert_eq!(fleet(&bench, &["up"]).1, 2);
    assert_eq!(states(&fleet(&bench, &["down"]).0), [format!("a.b ended {second}")]);
    assert_eq!(sessions(&bench), ["a_b"], "what is somebody's stays");
}

/// What was read, an Enter always by itself: a program that is slow reads it together with the text after it, which
/// is no matter; with the text before it would be.
fn apart(read: &str) -> String {
    read.replace("<\r\u{1b}", "<\r><\u{1b}")
}

#[test]
fn texts_of_several_at_once_are_entered_one_by_one() {
    let Some(bench) = bench() else { return };
    assert_eq!(fleet(&bench, &["up", "a.b"]).1, 0);
    until_drawn(&bench, "a_b");
    let texts = ["m0", "m1", "m2"];
    std::thread::scope(|scope| {
        for text in texts {
            let bench = &bench;
            scope.spawn(move || assert_eq!(fleet(bench, &["send", "a.b", text]).1, 0));
        }
    });
    let pane = tmux_ok(&bench, &["display-message", "-p", "-t", "=a_b:", "#{pane_id}"]);
    let file = bench.root.join(format!("{}.keys", &pane[1..]));
    let read = until(&bench, "the last Enter", || {
        let read = fs::read_to_string(&file).ok()?;
        (read.matches('\r').count() >= texts.len()).then_some(read)
    });
    let read = apart(&read);
    let mut entered: Vec<&str> = read.split_inclusive("<\r>").collect();
    entered.sort_unstable();
    let each = texts.map(|text| format!("<\u{1b}[200~{text}\u{1b}[201~><\r>"));
    assert_eq!(entered, each);
    // A turn leaves nothing behind.
    assert_eq!(fs::read_dir(bench.state().join("panes")).unwrap().count(), 0);
}

#[test]
fn what_a_send_that_was_killed_left_in_the_prompt_is_not_entered_with_the_next() {
    let Some(bench) = bench() else { return };
    assert_eq!(fleet(&bench, &["up", "a.b"]).1, 0);
    until_drawn(&bench, "a_b");
    let cut_off = |text: &str, how: &str| {
        let mut command = bench.command(KAPELL);
        command.env("KAPELL_FAILPOINT", format!("session.pasted:{how}"));
        command.args(["fleet", "send", "a.b", text, "--json"]).output().unwrap()
    };
    assert_eq!(cut_off("FIRST", "kill").status.code(), None);
    // For all who come, and not for the first alone: the second would not know of it.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let (sent, code) = fleet(&bench, &["send", "a.b", "SECOND"]);
                assert_eq!((sent["sent"][0]["sent"].as_bool(), code), (Some(false), 1), "{sent:#}");
                assert_eq!(sent["sent"][0]["code"], "conflict", "{sent:#}");
                let reason = sent["sent"][0]["reason"].as_str().unwrap();
                assert!(reason.contains("may stand in its prompt"), "{sent:#}");
                let hint = sent["sent"][0]["hint"].as_str().unwrap();
                assert!(hint.contains("kapell fleet attach a.b"), "{sent:#}");
                assert!(hint.contains("kapell fleet send --cleared a.b TEXT"), "{sent:#}");
            });
        }
    });
    // A person, or a script, enters it there and says so.
    tmux_ok(&bench, &["send-keys", "-t", "=a_b:", "Enter"]);
    assert_eq!(keys(&bench, "a_b"), "<\u{1b}[200~FIRST\u{1b}[201~><\r>");
    assert_eq!(fleet(&bench, &["send", "--cleared", "a.b", "THIRD"]).1, 0);
    assert_eq!(fleet(&bench, &["send", "a.b", "FOURTH"]).1, 0);
    let read = apart(&keys(&bench, "a_b"));
    let rest = "<\u{1b}[200~THIRD\u{1b}[201~><\r><\u{1b}[200~FOURTH\u{1b}[201~><\r>";
    assert_eq!(read, format!("<\u{1b}[200~FIRST\u{1b}[201~><\r>{rest}"));

    // Who fails in between tells of it himself, and a prompt that is new has nothing in it.
    let failed = String::from_utf8(cut_off("FIFTH", "error").stdout).unwrap();
    assert!(failed.contains("its prompt has the text, without Enter"), "{failed}");
    assert_eq!(fleet(&bench, &["send", "a.b", "SIXTH"]).1, 1);
    assert_eq!(fleet(&bench, &["down", "a.b"]).1, 0);
    assert_eq!(fleet(&bench, &["up", "a.b"]).1, 0);
    until_drawn(&bench, "a_b");
    assert_eq!(fleet(&bench, &["send", "a.b", "SEVENTH"]).1, 0);
    assert!(keys(&bench, "a_b").ends_with("<\u{1b}[200~SEVENTH\u{1b}[201~><\r>"));
}

/// Waits until the recorder has its terminal as it wants it.
#[track_caller]
fn until_drawn(bench: &Bench, session: &str) {
    let pane = tmux_ok(bench, &["display-message", "-p", "-t", &format!("={session}:"), "#{pane_id}"]);
    until(bench, "the recorder", || bench.root.join(format!("{}.keys", &pane[1..])).exists().then_some(()));
}

#[test]
fn who_reads_line_by_line_gets_one_line() {
    let Some(bench) = bench() else { return };
    tmux_ok(&bench, &["new-session", "-d", "-s", "pr_review7", "cat"]);
    let (sent, _) = fleet(&bench, &["send", "pr_review7", "one\n\n  two\tthree"]);
    assert_eq!(sent["sent"][0]["joined"], true, "{sent:#}");
    let shown = until_shown(&bench, "=pr_review7:", "one two three\none two three");
    assert_eq!(shown.matches("one").count(), 2);
    let (sent, code) = fleet(&bench, &["send", "pr_review7", &"y".repeat(5000)]);
    assert_eq!((sent["sent"][0]["sent"].as_bool(), code), (Some(false), 1));
    assert!(sent["sent"][0]["reason"].as_str().unwrap().contains("line by line"), "{sent:#}");
    for (name, code) in [("nobody", 3), ("shown", 3)] {
        assert_eq!(fleet(&bench, &["send", name, "x"]).1, code);
    }
    assert_eq!(fleet(&bench, &["send", "pr_review7", "\u{1b}\n"]).1, 2);
}

#[test]
fn a_worker_has_no_say_in_standing_sessions() {
    let Some(bench) = bench() else { return };
    tmux_ok(&bench, &["new-session", "-d", "-s", "pr_review7", "cat"]);
    let lines =
        ["kapell not-allowed fleet send pr_review7 x", "kapell not-allowed fleet down", "write a.txt a"];
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &lines)]));
    bench.task_is(&plan, "a", "done");
    assert!(!Path::new(&bench.state().join("standing")).exists());
}
