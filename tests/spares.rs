//! Shims that wait for their jobs, as real processes.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use kapell::base::ids::random_tail;
use kapell::sys::process::spawn;
use kapell::sys::process::tree::{Handle, Processes};
use kapell::sys::shim::client::{self, Ended};
use kapell::sys::shim::job::{Cause, Exit, Job, Request};
use kapell::sys::shim::spare::{Berthed, MadeAhead, Spares};
use kapell::sys::wall::{self, Mode, Wall, WallSupport};
use rustix::process::Signal;
use tempfile::TempDir;

/// Far beyond what anything here takes, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Names the folder to the part of this file that another process plays.
const TOP: &str = "KAPELL_TEST_TOP";

struct Bench {
    top: PathBuf,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        Self { top, _folder: folder }
    }

    fn spares(&self, hidden: &[PathBuf], most: usize) -> Spares {
        let exe = PathBuf::from(env!("CARGO_BIN_EXE_kapell"));
        let hidden = hidden.to_vec();
        let ahead = MadeAhead { hidden, folders: &["private", "private/tmp"], files: &["prompt.md"] };
        Spares::new(&exe, &self.top.join("runs"), ahead, most, name)
    }

    /// The folder of a run that a spare waits for, and the spare.
    fn begin(&self, spares: &Spares) -> (PathBuf, Berthed) {
        let run = self.top.join("runs").join(spares.reserve().unwrap());
        let spare = spares.take(&run).unwrap();
        (run, spare)
    }

    fn sh(&self, script: &str) -> Job {
        let mut job = Job::new("a-test", ["/bin/sh", "-c", script].map(Into::into).to_vec(), &self.top);
        job.env = BTreeMap::from([("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())]);
        job
    }

    /// The spares that wait: each by its folder and its process.
    fn waiting(&self) -> Vec<(PathBuf, Handle)> {
        let folders: Vec<PathBuf> = fs::read_dir(self.top.join("runs"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        let processes = Processes::read();
        let children = processes.descendants(std::process::id() as i32);
        let mut found = Vec::new();
        for folder in folders {
            let is_its = |pid: i32| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                line.split(|byte| *byte == 0).any(|word| word == folder.as_os_str().as_encoded_bytes())
            };
            let process = children.iter().find(|process| is_its(process.pid));
            found.extend(process.and_then(|process| Some((folder.clone(), process.handle()?))));
        }
        found
    }

    fn left(&self) -> usize {
        fs::read_dir(self.top.join("runs")).map_or(0, Iterator::count)
    }
}

fn exit(run: &Path) -> Exit {
    let run = run.to_owned();
    in_time("end of the shim", move || match client::wait(&run).unwrap() {
        Ended::Exit(exit) => exit,
        Ended::Vanished => panic!("vanished: {:?}", fs::read_to_string(run.join("shim.log"))),
    })
}

fn stdout(run: &Path) -> String {
    fs::read_to_string(run.join("stdout")).unwrap()
}

fn name() -> String {
    format!("a-{}", random_tail(10))
}

fn in_time<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(act()));
    result.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what}: nothing happened"))
}

#[test]
fn a_spare_runs_a_job_as_any_shim_does() {
    let bench = Bench::new();
    let spares = bench.spares(&[], 2);
    assert_eq!(spares.reserve(), None);
    spares.refill();
    assert_eq!(bench.waiting().len(), 2);
    let (run, spare) = bench.begin(&spares);
    // It is alive before it has anything to do, and nobody else can have the run.
    assert!(client::is_alive(&run));
    assert!(client::start(Path::new("/bin/false"), &run, &bench.sh("")).is_err());
    let mut started = spare.start(&bench.sh("echo out; echo err >&2; pwd; exit 3")).unwrap();
    let ended = exit(&run);
    assert!(started.shim.wait().unwrap().success());
    assert_eq!((ended.ended, ended.code, ended.wall.as_str()), (Cause::Exited, Some(3), "off"));
    assert!(ended.started_at <= ended.ended_at);
    assert_eq!(stdout(&run), format!("out\n{}\n", bench.top.display()));
    assert_eq!(fs::read_to_string(run.join("stderr")).unwrap(), "err\n");
    assert!(client::has_ended(&run) && !client::is_alive(&run));
    assert_eq!(bench.waiting().len(), 1);
    drop(spares);
    assert_eq!(bench.left(), 1);
}

#[test]
fn a_spare_can_be_spoken_to_like_any_shim() {
    let bench = Bench::new();
    let spares = bench.spares(&[], 1);
    spares.refill();
    let (run, spare) = bench.begin(&spares);
    let _started = spare.start(&bench.sh("sleep 1000")).unwrap();
    let reply = client::send(&run, Request::State).unwrap();
    assert_eq!(reply.state.unwrap().attempt, "a-test");
    assert!(client::send(&run, Request::Stop { grace_ms: None }).unwrap().ok);
    assert_eq!(exit(&run).ended, Cause::Stopped);
}

#[test]
fn a_name_is_for_one_run_alone() {
    let bench = Bench::new();
    let spares = bench.spares(&[], 2);
    spares.refill();
    let (first, second) = (spares.reserve().unwrap(), spares.reserve().unwrap());
    assert_ne!(first, second);
    assert_eq!(spares.reserve(), None);
    spares.give_back(&first);
    assert_eq!(spares.reserve().as_ref(), Some(&first));
    // The two that are spoken for are no spares any more.
    spares.refill();
    assert_eq!(bench.waiting().len(), 4);
    assert!(spares.take(&bench.top.join("runs/a-other")).is_none());
    assert!(spares.take(&bench.top.join("runs").join(&second)).is_some());
}

#[test]
fn a_run_that_does_not_come_about_has_not_begun() {
    let bench = Bench::new();
    let spares = bench.spares(&[], 1);
    spares.refill();
    let process = bench.waiting().remove(0).1;
    let (run, spare) = bench.begin(&spares);
    fs::write(run.join("prompt.md"), "kept").unwrap();
    drop(spare);
    assert!(process.wait_for_end(DEADLINE).unwrap());
    assert!(!client::was_started(&run));
    let left: Vec<_> = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["prompt.md"]);
    let exe = Path::new(env!("CARGO_BIN_EXE_kapell"));
    client::start(exe, &run, &bench.sh("echo after all")).unwrap().leave();
    assert_eq!((exit(&run).code, stdout(&run).as_str()), (Some(0), "after all\n"));
}

#[test]
fn a_spare_that_was_killed_is_passed_over_and_swept_away() {
    let bench = Bench::new();
    let spares = bench.spares(&[], 2);
    spares.refill();
    for (_, process) in bench.waiting() {
        process.signal(Signal::KILL).unwrap();
        assert!(process.wait_for_end(DEADLINE).unwrap());
    }
    assert_eq!(spares.reserve(), None);
    assert_eq!(bench.left(), 2);
    let kept = bench.top.join("runs/a-kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("job.json"), "{}").unwrap();
    spares.refill();
    spares.sweep();
    assert_eq!((bench.waiting().len(), bench.left()), (2, 3));
    assert!(kept.exists());
    bench.begin(&spares);
}

#[test]
fn a_spare_that_is_killed_while_its_run_begins_is_seen_as_any_killed_shim() {
    let bench = Bench::new();
    let spares = bench.spares(&[], 1);
    spares.refill();
    spares.settle().unwrap();
    let (run, spare) = bench.begin(&spares);
    let process = bench.waiting().remove(0).1;
    process.signal(Signal::KILL).unwrap();
    assert!(process.wait_for_end(DEADLINE).unwrap());
    let _started = spare.start(&bench.sh("echo never")).unwrap();
    assert_eq!(client::wait(&run).unwrap(), Ended::Vanished);
    assert_eq!(stdout(&run), "");
}

#[test]
fn a_spare_that_is_told_to_end_leaves_nothing() {
    let bench = Bench::new();
    let spares = bench.spares(&[], 1);
    spares.refill();
    spares.settle().unwrap();
    let process = bench.waiting().remove(0).1;
    process.signal(Signal::TERM).unwrap();
    assert!(process.wait_for_end(DEADLINE).unwrap());
    assert_eq!(bench.left(), 0);
    assert_eq!(spares.reserve(), None);
}

#[test]
fn a_wall_that_was_begun_ahead_hides_what_is_to_be_hidden_now() {
    let bench = Bench::new();
    if !matches!(wall::probe(&bench.top), WallSupport::Holds { not_strict: None, .. }) {
        return;
    }
    let (home, tree) = (bench.top.join("home"), bench.top.join("tree"));
    fs::create_dir(&home).unwrap();
    fs::create_dir(&tree).unwrap();
    for name in ["key", "other", "before"] {
        fs::write(home.join(name), name).unwrap();
    }
    let hidden = [home.join("key"), home.join("later")];
    let script = "cd home; cat before after; cat key || echo no key; cat later || echo none; cat other || echo no; \
                  echo x > new || echo no new; echo x > ../tree/new && cat ../tree/new";
    let out = "before\nafter\nno key\nnone\nother\nno new\nx\n";
    for (number, (ahead, hidden, expected)) in [
        (hidden.to_vec(), hidden.to_vec(), out.to_owned()),
        (hidden.to_vec(), hidden.to_vec(), out.to_owned()),
        // What was laid is for another wall.
        (
            vec![home.join("key")],
            vec![home.join("other")],
            out.replace("no key", "key").replace("other", "no"),
        ),
        (Vec::new(), hidden.to_vec(), out.to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let _ = fs::remove_file(home.join("after"));
        let _ = fs::remove_file(home.join("later"));
        let spares = bench.spares(&ahead, 1);
        spares.refill();
        if number > 0 {
            spares.settle().unwrap();
        }
        let (run, spare) = bench.begin(&spares);
        // Whether the spare has laid its foundation by now or not, this is noticed.
        fs::write(home.join("after"), "after\n").unwrap();
        fs::write(home.join("before"), "before\n").unwrap();
        fs::write(home.join("key"), "key\n").unwrap();
        fs::write(home.join("other"), "other\n").unwrap();
        fs::write(home.join("later"), "later\n").unwrap();
        let expected = if hidden.len() == 1 { expected.replace("none", "later") } else { expected };
        let mut job = bench.sh(script);
        job.wall = Wall { mode: Mode::Strict, writable: vec![tree.clone()], hidden, ..Wall::off() };
        let _started = spare.start(&job).unwrap();
        let ended = exit(&run);
        assert!(ended.wall.starts_with("landlock ") && ended.wall.ends_with(", strict"), "{ended:?}");
        assert_eq!(stdout(&run), expected, "{number}");
    }
}

#[test]
fn a_killed_starter_leaves_neither_spares_nor_runs_that_have_not_begun() {
    let bench = Bench::new();
    let exe = std::env::current_exe().unwrap();
    let mut command = spawn::program(exe, &bench.top);
    command.args(["--exact", "starter", "--ignored", "--nocapture"]).env(TOP, &bench.top);
    let mut starter = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(starter.stdout.take().unwrap()).lines();
    in_time("the starter to be ready", move || lines.find(|line| line.as_ref().unwrap() == "ready").unwrap())
        .unwrap();
    let shims: Vec<Handle> = Processes::read()
        .descendants(starter.id() as i32)
        .into_iter()
        .map(|process| process.handle().unwrap())
        .collect();
    assert_eq!(shims.len(), 3);
    assert_eq!(bench.left(), 3);
    starter.kill().unwrap();
    starter.wait().unwrap();
    for shim in shims {
        assert!(shim.wait_for_end(DEADLINE).unwrap());
    }
    assert_eq!(bench.left(), 0);
}

#[expect(clippy::disallowed_methods, reason = "a part is told by its environment")]
fn top() -> Option<PathBuf> {
    std::env::var_os(TOP).map(PathBuf::from)
}

/// The part of a process that is killed.
#[test]
#[ignore = "played by another process"]
fn starter() {
    let Some(top) = top() else { return };
    let exe = Path::new(env!("CARGO_BIN_EXE_kapell"));
    let spares = Spares::new(exe, &top.join("runs"), MadeAhead::default(), 3, name);
    spares.refill();
    let run = top.join("runs").join(spares.reserve().unwrap());
    let _berthed = spares.take(&run).unwrap();
    println!("ready");
    loop {
        std::thread::park();
    }
}
