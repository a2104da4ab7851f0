//! Shims that wait for their jobs, as real processes.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use kapell::sys::process::spawn;
use kapell::sys::process::tree::{Handle, Processes};
use kapell::sys::shim::client::{self, Ended};
use kapell::sys::shim::job::{Cause, Exit, Job, Request};
use kapell::sys::shim::spare::{MadeAhead, Spares};
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
        Spares::new(&exe, &self.top.join("spare"), ahead, most)
    }

    fn run(&self) -> PathBuf {
        self.top.join("runs/a-test")
    }

    fn sh(&self, script: &str) -> Job {
        let mut job = Job::new("a-test", ["/bin/sh", "-c", script].map(Into::into).to_vec(), &self.top);
        job.env = BTreeMap::from([("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())]);
        job
    }

    /// The spares that wait: each by its folder and its process.
    fn waiting(&self) -> Vec<(PathBuf, Handle)> {
        let folders: Vec<PathBuf> = fs::read_dir(self.top.join("spare"))
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
            let process = children.iter().find(|process| is_its(process.pid)).unwrap();
            found.push((folder, process.handle().unwrap()));
        }
        found
    }

    fn exit(&self) -> Exit {
        let run = self.run();
        match in_time("end of the shim", move || client::wait(&run).unwrap()) {
            Ended::Exit(exit) => exit,
            Ended::Vanished => panic!("vanished: {:?}", fs::read_to_string(self.run().join("shim.log"))),
        }
    }

    fn stdout(&self) -> String {
        fs::read_to_string(self.run().join("stdout")).unwrap()
    }

    fn left(&self) -> usize {
        fs::read_dir(self.top.join("spare")).map_or(0, Iterator::count)
    }
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
    assert!(spares.take(&bench.run()).is_none());
    spares.refill();
    assert_eq!(bench.waiting().len(), 2);
    let spare = spares.take(&bench.run()).unwrap();
    // It is alive before it has anything to do, and nobody else can have the run.
    assert!(client::is_alive(&bench.run()));
    assert!(client::start(Path::new("/bin/false"), &bench.run(), &bench.sh("")).is_err());
    let mut started = spare.start(&bench.sh("echo out; echo err >&2; pwd; exit 3")).unwrap();
    let exit = bench.exit();
    assert!(started.shim.wait().unwrap().success());
    assert_eq!((exit.ended, exit.code, exit.wall.as_str()), (Cause::Exited, Some(3), "off"));
    assert!(exit.started_at <= exit.ended_at);
    assert_eq!(bench.stdout(), format!("out\n{}\n", bench.top.display()));
    assert_eq!(fs::read_to_string(bench.run().join("stderr")).unwrap(), "err\n");
    assert!(client::has_ended(&bench.run()) && !client::is_alive(&bench.run()));
    assert_eq!(bench.waiting().len(), 1);
    drop(spares);
    assert_eq!(bench.left(), 0);
}

#[test]
fn a_spare_can_be_spoken_to_like_any_shim() {
    let bench = Bench::new();
    let spares = bench.spares(&[], 1);
    spares.refill();
    let spare = spares.take(&bench.run()).unwrap();
    let _started = spare.start(&bench.sh("sleep 1000")).unwrap();
    let reply = client::send(&bench.run(), Request::State).unwrap();
    assert_eq!(reply.state.unwrap().attempt, "a-test");
    assert!(client::send(&bench.run(), Request::Stop { grace_ms: None }).unwrap().ok);
    assert_eq!(bench.exit().ended, Cause::Stopped);
}

#[test]
fn a_run_that_does_not_come_about_has_not_begun() {
    let bench = Bench::new();
    let spares = bench.spares(&[], 1);
    spares.refill();
    let process = bench.waiting().remove(0).1;
    let spare = spares.take(&bench.run()).unwrap();
    fs::write(bench.run().join("prompt.md"), "kept").unwrap();
    drop(spare);
    assert!(process.wait_for_end(DEADLINE).unwrap());
    assert!(!client::was_started(&bench.run()));
    let left: BTreeSet<_> =
        fs::read_dir(bench.run()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["private", "prompt.md"].into_iter().map(Into::into).collect());
    let exe = Path::new(env!("CARGO_BIN_EXE_kapell"));
    client::start(exe, &bench.run(), &bench.sh("echo after all")).unwrap().leave();
    assert_eq!((bench.exit().code, bench.stdout().as_str()), (Some(0), "after all\n"));
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
    assert!(spares.take(&bench.run()).is_none());
    assert!(!bench.run().exists());
    assert_eq!(bench.left(), 2);
    spares.refill();
    spares.sweep();
    assert_eq!(bench.waiting().len(), 2);
    assert!(spares.take(&bench.run()).is_some());
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
    assert!(spares.take(&bench.run()).is_none());
}

#[test]
fn a_run_folder_that_is_there_already_gets_no_spare() {
    let bench = Bench::new();
    let spares = bench.spares(&[], 1);
    spares.refill();
    fs::create_dir_all(bench.run()).unwrap();
    fs::write(bench.run().join("prompt.md"), "of an earlier conductor").unwrap();
    assert!(spares.take(&bench.run()).is_none());
    assert_eq!(bench.waiting().len(), 1);
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
        let run = bench.top.join(format!("runs/a-{number}"));
        if number > 0 {
            spares.settle().unwrap();
        }
        let spare = spares.take(&run).unwrap();
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
        let ended = {
            let run = run.clone();
            in_time("end of the shim", move || client::wait(&run).unwrap())
        };
        let Ended::Exit(exit) = ended else { panic!("vanished") };
        assert!(exit.wall.starts_with("landlock ") && exit.wall.ends_with(", strict"), "{exit:?}");
        assert_eq!(fs::read_to_string(run.join("stdout")).unwrap(), expected, "{number}");
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
    assert!(client::is_alive(&bench.run()));
    starter.kill().unwrap();
    starter.wait().unwrap();
    for shim in shims {
        assert!(shim.wait_for_end(DEADLINE).unwrap());
    }
    assert_eq!(bench.left(), 0);
    assert!(!client::was_started(&bench.run()));
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
    let spares =
        Spares::new(Path::new(env!("CARGO_BIN_EXE_kapell")), &top.join("spare"), MadeAhead::default(), 3);
    spares.refill();
    let _berthed = spares.take(&top.join("runs/a-test")).unwrap();
    println!("ready");
    loop {
        std::thread::park();
    }
}
