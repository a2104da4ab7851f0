//! `kapell top`, driven by keys in a terminal of its own: a window of tmux, whose screen is read as text.

use std::fs;
use std::process::Output;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::bench::{Bench, DEADLINE, KAPELL, Plan, task};

/// A screen of `kapell top` and what was before and after it.
struct Top<'a> {
    bench: &'a Bench,
}

impl<'a> Top<'a> {
    /// Opens it, in so many columns and rows. `None` where this machine has no tmux, and then it says so.
    fn open(bench: &'a Bench, size: (u16, u16), environment: &str) -> Option<Self> {
        Self::run(bench, size, &format!("{environment} {KAPELL} top"))
    }

    /// The same with another command.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn run(bench: &'a Bench, size: (u16, u16), command: &str) -> Option<Self> {
        if bench.command("tmux").arg("-V").output().is_err() {
            eprintln!("skipped: there is no tmux on this machine");
            return None;
        }
        let root = bench.root.display();
        let script = format!(
            "#!/bin/sh\ntrap : INT\necho a person was here\nstty -g > {root}/before\n{command}\n\
             echo $? > {root}/code\nstty -g > {root}/after\necho left\nexec sleep 1000\n"
        );
        let path = bench.root.join("in-the-window");
        fs::write(&path, script).unwrap();
        let top = Self { bench };
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        let command = format!("sh {}", path.display());
        let words = ["new-session", "-d", "-s", "top", "-x", &columns, "-y", &rows, &command];
        let opened = top.tmux(&words);
        assert!(opened.status.success(), "{opened:?}");
        Some(top)
    }

    /// A tmux server of its own.
    fn tmux(&self, words: &[&str]) -> Output {
        self.bench.command("tmux").args(["-u", "-L", "top", "-f", "/dev/null"]).args(words).output().unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        let sent = self.tmux(&[&["send-keys", "-t", "top"], keys].concat());
        assert!(sent.status.success(), "{sent:?}");
    }

    fn ask(&self, format: &str) -> String {
        let said = self.tmux(&["display-message", "-p", "-t", "top", format]);
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    fn screen(&self) -> String {
        let shown = self.tmux(&["capture-pane", "-p", "-t", "top"]);
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    /// Waits until the screen is so. Of what happens on a screen nobody tells.
    #[track_caller]
    fn shows(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{what} is not shown:\n{screen}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn has(&self, text: &str) -> String {
        self.shows(text, |screen| screen.contains(text))
    }

    /// The process, which is the one below the window's shell.
    fn pid(&self) -> Pid {
        let shell = self.ask("#{pane_pid}");
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap()).unwrap()
    }

    /// It has left, and the terminal is as it was.
    #[track_caller]
    fn left(&self, code: &str) -> String {
        self.has("\nleft");
        let whole = self.tmux(&["capture-pane", "-p", "-S", "-", "-t", "top"]);
        let screen = String::from_utf8_lossy(&whole.stdout).into_owned();
        let read = |name: &str| fs::read_to_string(self.bench.root.join(name)).unwrap();
        assert_eq!(read("code").trim(), code, "{screen}");
        assert_eq!(read("before"), read("after"), "the terminal is set as it was");
        let flags = self.ask("#{alternate_on} #{mouse_any_flag} #{cursor_flag}");
        assert_eq!(flags, "0 0 1", "no other screen, no mouse, a cursor");
        assert!(screen.contains("a person was here"), "{screen}");
        screen
    }
}

impl Drop for Top<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// A plan of three tasks: two at work that meet the test, one after them.
fn plan(bench: &Bench) -> Plan {
    Plan::new([
        task(
            "one",
            &["one.txt"],
            &[
                "say {\"kapell\":\"progress\",\"text\":\"half of one\"}",
                "write one.txt 1",
                &bench.meet_line("one"),
            ],
        ),
        task("two", &["two.txt"], &["say plain words", "write two.txt 2", &bench.meet_line("two")]),
        task("three", &["three.txt"], &["write three.txt 3"]).after(&["one", "two"]),
    ])
    .with("name", json!("trio"))
}

#[test]
fn everything_is_seen_and_steered_by_keys() {
    let bench = Bench::new();
    let Some(top) = Top::open(&bench, (120, 32), "") else { return };
    top.has("nothing runs");
    let id = bench.start(&plan(&bench));
    let (one, two) = (bench.meet("one"), bench.meet("two"));
    // It was told of all that by the log.
    let screen = top.shows("the plan at work", |screen| {
        screen.contains(&format!("● {id}  running"))
            && screen.contains("half of one")
            && screen.contains("2 at work")
    });
    assert!(screen.contains("  1┌ one    running") && screen.contains("   └ two    running"), "{screen}");
    assert!(screen.contains("  2╶ three  waiting    ← one,two"), "{screen}");
    assert!(screen.contains("fake        busy") || screen.contains("fake  busy"), "{screen}");
    assert!(screen.contains(&format!("one.txt  {id}/one")), "{screen}");
    assert!(screen.contains("attempt.started"), "{screen}");
    // A row for each try, with what it printed last, whether that is a report or not.
    let screen = top.shows("both outputs", |screen| {
        screen.contains("one: half of one") && screen.contains("two: plain words")
    });
    let rows = screen.lines().filter(|line| line.contains("fake") && line.contains("busy")).count();
    assert_eq!(rows, 2, "{screen}");
    assert!(screen.contains("pass "), "{screen}");

    top.keys(&["p"]);
    top.has(&format!("● {id}  paused"));
    top.keys(&["r"]);
    top.has(&format!("● {id}  running"));
    // The log of the second task, and its diff when there is one.
    top.keys(&["2", "j", "l"]);
    top.has("plain words");
    two.go();
    top.keys(&["Escape"]);
    top.has("task two: landing → done");
    top.keys(&["d"]);
    top.has("+2");
    top.keys(&["Escape"]);
    top.keys(&["/", "t", "h", "r", "Enter"]);
    top.shows("only the third", |screen| screen.contains("╶ three") && !screen.contains("┌ one"));
    top.keys(&["Escape", "?"]);
    top.has("approve: accept work");
    top.keys(&["q"]);
    // A conductor that is killed writes nothing.
    bench.conductor(&id).kill();
    top.has(&format!("○ {id}  crashed"));
    top.keys(&["1", "r"]);
    top.has(&format!("● {id}  running"));
    one.go();
    top.has(&format!("○ {id}  done        ━━━━━━━━━━     3/3"));
    top.keys(&["n"]);
    top.has(&format!("land {id}: bring it to its target branch?  y / n"));
    top.keys(&["y"]);
    top.has("landed, main is at");
    assert_eq!(bench.git(["show", "main:three.txt"]), "3");
    top.keys(&["q"]);
    top.left("0");
}

#[test]
fn a_question_stops_nothing_until_it_is_answered_and_a_click_selects() {
    let bench = Bench::new();
    let id = bench.start(&plan(&bench));
    let guests = [bench.meet("one"), bench.meet("two")];
    let Some(top) = Top::open(&bench, (100, 30), "NO_COLOR=1") else { return };
    top.has(&format!("● {id}  running"));
    // The second task, by the mouse: a press and a release in its row, as the terminal says them.
    let screen = top.has("└ two");
    let row = screen.lines().position(|line| line.contains("└ two")).unwrap() + 1;
    top.keys(&["-l", &format!("\u{1b}[<0;10;{row}M\u{1b}[<0;10;{row}m")]);
    top.keys(&["s"]);
    top.has(&format!("stop {id}/two: end what runs"));
    top.keys(&["x"]);
    top.has("not done");
    assert_eq!(bench.task(&id, "two")["state"], "running");
    let styled = top.tmux(&["capture-pane", "-p", "-e", "-t", "top"]);
    let styled = String::from_utf8_lossy(&styled.stdout).into_owned();
    let numbers = styled.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m'));
    let numbers: Vec<u8> =
        numbers.flat_map(|(all, _)| all.split(';').filter_map(|it| it.parse().ok())).collect();
    // 39 and 49 are the terminal's own.
    let is_colour = |number: &u8| matches!(number, 30..=38 | 40..=48 | 90..=107);
    assert!(numbers.contains(&1) && !numbers.iter().any(is_colour), "{styled:?}");
    top.keys(&["1", "f", "y"]);
    top.has(&format!("○ {id}  stopped"));
    for guest in guests {
        guest.gone();
    }
    top.keys(&["C-c"]);
    top.left("0");
}

#[test]
fn it_says_when_it_has_no_room_and_takes_it_when_it_has() {
    let bench = Bench::new();
    let Some(top) = Top::open(&bench, (50, 10), "") else { return };
    top.has("50x10, needs 60x16");
    top.tmux(&["resize-window", "-t", "top", "-x", "60", "-y", "16"]);
    top.has("1 orchestrators");
    top.tmux(&["resize-window", "-t", "top", "-x", "130", "-y", "40"]);
    top.shows("all panels", |screen| screen.contains("3 workers") && screen.contains("5 events"));
    // Told to end, it gives the terminal back.
    kill_process(top.pid(), Signal::TERM).unwrap();
    top.left("0");
}

#[test]
fn who_goes_on_after_a_stop_has_the_terminal_again() {
    let bench = Bench::new();
    let Some(top) = Top::open(&bench, (100, 30), "") else { return };
    top.has("1 orchestrators");
    let pid = top.pid();
    kill_process(pid, Signal::STOP).unwrap();
    // As a shell leaves it that takes over from who was stopped.
    let terminal = top.ask("#{pane_tty}");
    let set = bench.command("stty").args(["-F", &terminal, "sane"]).output().unwrap();
    assert!(set.status.success(), "{set:?}");
    kill_process(pid, Signal::CONT).unwrap();
    top.keys(&["?"]);
    top.has("approve: accept work");
    top.keys(&["Escape"]);
    top.has("1 orchestrators");
    top.keys(&["q"]);
    top.left("0");
}

#[test]
fn ctrl_z_gives_the_terminal_to_the_shell_until_fg() {
    let bench = Bench::new();
    let Some(top) = Top::run(&bench, (100, 30), "bash --norc --noprofile -i") else { return };
    top.keys(&["-l", &format!("{KAPELL} top")]);
    top.keys(&["Enter"]);
    top.has("1 orchestrators");
    top.keys(&["C-z"]);
    let screen =
        top.shows("the shell", |screen| screen.contains("Stopped") && screen.contains("a person was here"));
    assert!(!screen.contains("orchestrators"), "{screen}");
    assert_eq!(top.ask("#{alternate_on} #{mouse_any_flag} #{cursor_flag}"), "0 0 1");
    top.keys(&["fg", "Enter"]);
    top.has("1 orchestrators");
    top.keys(&["?"]);
    top.has("approve: accept work");
    // It may have another size by then.
    top.keys(&["Escape"]);
    top.has("1 orchestrators");
    top.keys(&["C-z"]);
    top.shows("the shell", |screen| !screen.contains("orchestrators"));
    top.tmux(&["resize-window", "-t", "top", "-x", "70", "-y", "20"]);
    top.keys(&["fg", "Enter"]);
    top.has("1 orchestrators");
    // Ended while it is stopped and the shell has the terminal, it ends.
    top.keys(&["C-z"]);
    top.shows("the shell", |screen| !screen.contains("orchestrators"));
    // Told at once what becomes of its jobs, the shell need not be asked.
    top.keys(&["-l", "set -b; kill %1"]);
    top.keys(&["Enter"]);
    top.has("Done");
    top.keys(&["exit", "Enter"]);
    top.left("0");
}

#[test]
fn a_fault_leaves_the_terminal_as_it_was() {
    let bench = Bench::new();
    let Some(top) = Top::open(&bench, (100, 30), "KAPELL_TOP_PANICS=1") else { return };
    top.has("1 orchestrators");
    top.keys(&["!"]);
    let screen = top.left("101");
    assert!(screen.contains("told to"), "{screen}");
}

#[test]
fn without_a_terminal_it_says_what_goes_without() {
    let bench = Bench::new();
    let output = bench.command(KAPELL).arg("top").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("needs a terminal") && said.contains("kapell status --watch"), "{said}");
    let output = bench.command(KAPELL).args(["top", "nothing"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_end_of_a_conductor_and_of_its_workers_is_shown_at_once() {
    let bench = Bench::new();
    let Some(top) = Top::open(&bench, (120, 32), "") else { return };
    let id = bench.start(&plan(&bench));
    let guests = [bench.meet("one"), bench.meet("two")];
    top.has("1 running, 2 at work");
    // Who is suspended is not shown as running.
    bench.control("pause", &guests[0].attempt);
    top.shows("one is paused", |screen| {
        screen.lines().any(|it| it.contains(" one ") && it.contains(" paused "))
    });
    bench.control("resume", &guests[0].attempt);
    bench.conductor(&id).kill();
    top.has("0 running, 2 at work");
    guests.into_iter().for_each(crate::bench::Guest::go);
    top.has("0 running, 0 at work");
    top.keys(&["q"]);
    top.left("0");
}

#[test]
fn ctrl_c_of_a_run_asks_what_becomes_of_the_work() {
    let bench = Bench::new();
    let file = bench.root.join("trio.json");
    fs::write(&file, plan(&bench).params()["plan"].to_string()).unwrap();
    let file_of_status = bench.root.join("status.json");
    for (keys, told, state) in [
        (&["nonsense", "Enter", "p", "Enter"][..], "is paused:", "paused"),
        (&["Enter"], "goes on in the", "running"),
        (&["s", "Enter"], "is stopped, its", "stopped"),
    ] {
        let [file, status] = [&file, &file_of_status].map(|path| path.display());
        let command = format!("{KAPELL} run {file} --status-file {status}");
        let Some(top) = Top::run(&bench, (100, 30), &command) else { return };
        let guests = [bench.meet("one"), bench.meet("two")];
        top.has("0/3 done, 2 running");
        top.keys(&["C-c"]);
        let screen = top.has("[d]etach and let it go on, [p]ause, or [s]top it? [d]");
        let at = screen.find("trio-").unwrap();
        let id = screen[at..].split_whitespace().next().unwrap().to_owned();
        top.keys(keys);
        top.has(told);
        assert_eq!(
            top.left("130").matches("[d]etach").count(),
            1 + keys.len() / 4,
            "asked until it was answered"
        );
        let status = bench.rpc().ok("status", json!({"scope": "plan", "id": id}));
        assert_eq!(status["state"], state);
        // The file's last word is what is so when nobody writes it any more.
        let told: Value = serde_json::from_str(&fs::read_to_string(&file_of_status).unwrap()).unwrap();
        let running = if state == "stopped" { 0 } else { 2 };
        assert_eq!((&told["state"], &told["running"]), (&json!(state), &json!(running)), "{told:#}");
        assert_eq!((&told["followed"], told["conductor"].is_null()), (&json!(false), state == "stopped"));
        bench.rpc().ok("control", json!({"action": "stop", "target": "all", "force": true}));
        guests.into_iter().for_each(crate::bench::Guest::gone);
        // The bench waits for all processes in its surroundings, and the terminal is one.
        drop(top);
        bench.at_rest(&id);
    }
}
