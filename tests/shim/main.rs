//! The shim as a real process: real workers, real trees, real kills. Nothing here
//! sleeps: a test waits for a lock, for a pipe or for the end of a process.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use kapell::base::ids::{AttemptId, random_tail};
use kapell::sys::process::spawn;
use kapell::sys::process::tree::{Handle, Processes};
use kapell::sys::shim::client::{self, ClientError, Ended, Started};
use kapell::sys::shim::job::{Cause, Exit, FirstSignal, Job, PhaseName, Reply, Request};
use kapell::sys::wall::{Mode, Wall};
use rustix::fs::{CWD, FileType};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

mod askers;

const KAPELL: &str = env!("CARGO_BIN_EXE_kapell");

/// Far beyond what anything here takes, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Does what may block in a thread of its own, so that a test fails and does not hang.
fn in_time<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(act()));
    result.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what}: nothing happened"))
}

/// A run folder, and a folder to work in with a pipe from the worker and one to it.
struct Bench {
    top: TempDir,
    run: PathBuf,
    work: PathBuf,
    /// Both ends of the pipes are held here: nobody waits for the other to open them, and
    /// nothing is lost between two uses.
    up: Arc<Mutex<BufReader<File>>>,
    down: File,
}

impl Bench {
    fn new() -> Self {
        Self::named(OsStr::new("run"))
    }

    fn named(run: &OsStr) -> Self {
        let top = tempfile::tempdir().unwrap();
        let real = top.path().canonicalize().unwrap();
        let work = real.join("work");
        fs::create_dir(&work).unwrap();
        let [up, down] = ["up", "down"].map(|name| {
            let path = work.join(name);
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
            File::options().read(true).write(true).open(path).unwrap()
        });
        Self { run: real.join(run), work, top, up: Arc::new(Mutex::new(BufReader::new(up))), down }
    }

    fn attempt(&self) -> String {
        format!("a-{}", self.top.path().file_name().unwrap().display())
    }

    fn job(&self, argv: &[&str]) -> Job {
        let mut job = Job::new(self.attempt(), argv.iter().map(OsString::from).collect(), &self.work);
        job.env = BTreeMap::from([("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())]);
        job
    }

    fn sh(&self, script: &str) -> Job {
        self.job(&["/bin/sh", "-c", script])
    }

    /// A worker that plays one of the [`part`]s of this file.
    fn player(&self, part: &str) -> Job {
        let exe = std::env::current_exe().unwrap();
        let mut job = self.job(&[exe.to_str().unwrap(), "--exact", "part", "--ignored", "--nocapture"]);
        job.env.insert(PART.into(), part.into());
        job.env.insert(TOP.into(), self.top.path().canonicalize().unwrap().into());
        job
    }

    fn start(&self, job: &Job) -> Started {
        client::start(&kapell(), &self.run, job).unwrap()
    }

    /// The next line that the worker writes into its pipe `up`.
    fn hear(&self) -> String {
        let up = Arc::clone(&self.up);
        in_time("line from the worker", move || {
            let mut line = String::new();
            up.lock().unwrap().read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        })
    }

    fn hear_pid(&self) -> i32 {
        self.hear().parse().unwrap()
    }

    /// Lets a worker go on that reads from its pipe `down`.
    fn tell(&self) {
        (&self.down).write_all(b"go\n").unwrap();
    }

    fn ask(&self, request: Request) -> Reply {
        let reply = client::send(&self.run, request).unwrap();
        assert!(reply.ok, "{request:?}: {reply:?}");
        reply
    }

    fn end(&self) -> Ended {
        let run = self.run.clone();
        in_time("end of the shim", move || client::wait(&run).unwrap())
    }

    fn exit(&self) -> Exit {
        match self.end() {
            Ended::Exit(exit) => exit,
            Ended::Vanished => panic!("vanished: {:?}", fs::read_to_string(self.run.join("shim.log"))),
        }
    }

    fn run(&self, job: &Job) -> Exit {
        let mut started = self.start(job);
        let exit = self.exit();
        assert!(started.shim.wait().unwrap().success());
        exit
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.run.join("stdout")).unwrap()).into_owned()
    }
}

impl Drop for Bench {
    /// A test that fails leaves nobody behind.
    fn drop(&mut self) {
        let _ = client::send(&self.run, Request::Kill);
    }
}

fn check_gone(pid: i32) {
    if let Some(handle) = Handle::open(pid).unwrap() {
        assert!(handle.wait_for_end(DEADLINE).unwrap(), "process {pid} lives on");
    }
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('T')
}

#[test]
fn a_worker_gets_what_its_job_says_and_no_more() {
    let bench = Bench::new();
    fs::create_dir_all(&bench.run).unwrap();
    fs::write(bench.run.join("prompt"), "the prompt").unwrap();
    let mut job =
        bench.sh("cat; pwd; echo err >&2; ls /proc/self/fd | wc -l; umask; env | grep -v ^PWD | sort");
    job.stdin = Some("prompt".into());
    let exit = bench.run(&job);

    assert_eq!((exit.code, exit.signal, exit.ended, exit.leftovers), (Some(0), None, Cause::Exited, 0));
    assert_eq!((exit.wall.as_str(), exit.reason), ("off", None));
    assert!(exit.max_rss_kb > 0 && exit.ended_at >= exit.started_at);
    let mask = rustix::process::umask(0o022.into());
    rustix::process::umask(mask);
    // The three streams, and the folder that `ls` reads.
    let expected = format!(
        "the prompt{}\n4\n{:04o}\nKAPELL_ATTEMPT={}\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n",
        bench.work.display(),
        mask.as_raw_mode(),
        bench.attempt()
    );
    assert_eq!(bench.stdout(), expected);
    assert_eq!(fs::read_to_string(bench.run.join("stderr")).unwrap(), "err\n");

    let mut left: Vec<_> =
        fs::read_dir(&bench.run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["exit.json", "job.json", "lock", "prompt", "shim.log", "stderr", "stdout"]);
    assert_eq!(fs::read_to_string(bench.run.join("shim.log")).unwrap(), "");
    for private in ["", "exit.json", "job.json", "stdout"] {
        let mode = fs::metadata(bench.run.join(private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{private:?} {mode:o}");
    }
}

#[test]
fn a_worker_ends_as_it_ends() {
    let cases = [
        ("exit 7", Some(7), None),
        ("kill -9 $$", None, Some(9)),
        ("kill -TERM $$", None, Some(15)),
        // Signals that the shim catches are the worker's own affair.
        ("kill -INT $$", None, Some(2)),
        ("kill -HUP $$", None, Some(1)),
    ];
    for (script, code, signal) in cases {
        let bench = Bench::new();
        let exit = bench.run(&bench.sh(script));
        assert_eq!((exit.code, exit.signal, exit.ended), (code, signal, Cause::Exited), "{script}");
    }
}

#[test]
fn a_worker_that_cannot_start_has_a_record_that_says_why() {
    type Spoil = fn(&mut Job, &Bench);
    let cases: [(&str, Spoil); 9] = [
        ("`no-such-program`", |job, _| job.argv[0] = "no-such-program".into()),
        ("cannot be started: Permission denied", |job, bench| {
            fs::write(bench.work.join("text"), "").unwrap();
            job.argv[0] = bench.work.join("text").into();
        }),
        ("/no/folder to run in cannot be used", |job, _| job.cwd = "/no/folder".into()),
        ("/dev/null to run in is not a folder", |job, _| job.cwd = "/dev/null".into()),
        ("names no program", |job, _| job.argv.clear()),
        ("nul byte", |job, _| job.argv.push(OsString::from_vec(b"a\0b".to_vec()))),
        ("input /no/file", |job, _| job.stdin = Some("/no/file".into())),
        ("up: is not a plain file", |job, bench| job.stdin = Some(bench.work.join("up"))),
        ("/no/claim: No such file", |job, _| {
            job.wall = Wall { mode: Mode::Strict, writable: vec!["/no/claim".into()], ..Wall::off() };
        }),
    ];
    for (expected, spoil) in cases {
        let bench = Bench::new();
        let mut job = bench.sh("exit 0");
        spoil(&mut job, &bench);
        let exit = bench.run(&job);
        assert_eq!((exit.ended, exit.code, exit.signal), (Cause::NotStarted, None, None), "{expected}");
        let reason = exit.reason.unwrap();
        assert!(reason.contains(expected), "{reason} should contain {expected}");
    }
}

#[test]
fn bytes_that_are_no_text_come_through_and_long_folders_can_be_spoken_to() {
    let mut name = b"run \xff'\"\n".to_vec();
    name.resize(200, b'x');
    let bench = Bench::named(OsStr::from_bytes(&name));
    let odd = OsStr::from_bytes(b"odd \xfe\n");
    fs::create_dir(bench.work.join(odd)).unwrap();
    let mut job = bench.sh("printf '%s|%s' \"$1\" \"$ODD\"; : > here; echo x > ../up; read line < ../down");
    job.argv.extend([OsString::from("sh"), odd.to_owned()]);
    job.env.insert("ODD".into(), odd.to_owned());
    job.env.insert(OsString::from_vec(b"NAME\xff".to_vec()), "x".into());
    job.cwd = bench.work.join(odd);
    let _shim = bench.start(&job);
    bench.hear();
    assert_eq!(bench.ask(Request::State).state.unwrap().attempt, bench.attempt());
    bench.tell();
    assert_eq!(bench.exit().code, Some(0));
    assert_eq!(fs::read(bench.run.join("stdout")).unwrap(), b"odd \xfe\n|odd \xfe\n");
    assert!(bench.work.join(odd).join("here").exists());
}

#[test]
fn a_stop_ends_also_who_left_the_session_and_the_family() {
    // In a session of its own, its parent gone, without our mark, deaf to signals.
    let daemon = "setsid sh -c '(env -i sh -c \"trap \\\"\\\" TERM INT HUP; echo \\$\\$ > up; while :; do sleep 1; done\" &)' & wait; sleep 1000";
    let bench = Bench::new();
    let mut shim = bench.start(&bench.sh(daemon));
    let pid = bench.hear_pid();
    bench.ask(Request::Stop { grace_ms: Some(50) });
    let exit = bench.exit();
    assert!(shim.shim.wait().unwrap().success());
    assert_eq!((exit.ended, exit.signal), (Cause::Stopped, Some(15)));
    assert!(exit.leftovers >= 1, "{exit:?}");
    // The record is the promise that nobody is left; no waiting here.
    assert!(!Processes::read().contains(pid), "process {pid} lives on");
}

#[test]
fn leftovers_of_a_worker_that_ended_are_killed_and_counted() {
    let bench = Bench::new();
    let exit = bench.run(&bench.sh("setsid sleep 1000 & echo $!"));
    assert_eq!((exit.ended, exit.code, exit.leftovers), (Cause::Exited, Some(0), 1));
    assert!(!Processes::read().contains(bench.stdout().trim().parse().unwrap()));
}

#[test]
fn leftovers_that_may_finish_do() {
    let bench = Bench::new();
    let mut job = bench.sh("setsid sh -c 'read line < down; echo late; exit 1' & exit 5");
    job.keep_leftovers_ms = u64::MAX;
    let _shim = bench.start(&job);
    bench.tell();
    let exit = bench.exit();
    assert_eq!((exit.ended, exit.code, exit.leftovers), (Cause::Exited, Some(5), 0));
    assert_eq!(bench.stdout(), "late\n");
}

#[test]
fn deaf_workers_are_killed_after_their_grace() {
    for first_signal in [FirstSignal::Term, FirstSignal::Int] {
        let bench = Bench::new();
        let mut job = bench.sh("trap '' TERM INT; echo $$ > up; while :; do sleep 1; done");
        job.first_signal = first_signal;
        job.grace_ms = 50;
        let _shim = bench.start(&job);
        let pid = bench.hear_pid();
        bench.ask(Request::Stop { grace_ms: None });
        let exit = bench.exit();
        assert_eq!((exit.ended, exit.code, exit.signal), (Cause::Stopped, None, Some(9)));
        assert!(!Processes::read().contains(pid));
    }
}

#[test]
fn a_worker_is_told_by_the_signal_it_wants() {
    // The second of each would be told by SIGTERM, later or never.
    for (first_signal, code) in [(FirstSignal::Int, 2), (FirstSignal::Term, 15)] {
        let bench = Bench::new();
        let mut job =
            bench.sh("trap 'exit 2' INT; trap 'exit 15' TERM; echo x > up; while :; do sleep 0.01; done");
        job.first_signal = first_signal;
        job.grace_ms = u64::MAX;
        let _shim = bench.start(&job);
        bench.hear();
        bench.ask(Request::Stop { grace_ms: None });
        let exit = bench.exit();
        assert_eq!((exit.ended, exit.code), (Cause::Stopped, Some(code)));
    }
}

#[test]
fn the_time_limit_holds() {
    let bench = Bench::new();
    let mut job = bench.sh("sleep 1000");
    job.timeout_ms = Some(30);
    let exit = bench.run(&job);
    assert_eq!((exit.ended, exit.signal), (Cause::TimedOut, Some(15)));
}

#[test]
fn a_paused_tree_stands_still_and_its_time_too() {
    let bench = Bench::new();
    let mut job = bench.sh("setsid sh -c 'echo $$ > up; read line < down' & wait; echo done > up");
    job.timeout_ms = Some(600_000);
    let _shim = bench.start(&job);
    let child = bench.hear_pid();
    let state = bench.ask(Request::Pause).state.unwrap();
    assert_eq!(state.phase, PhaseName::Paused);
    assert!(is_stopped(state.pid) && is_stopped(child));
    let later = bench.ask(Request::Pause).state.unwrap();
    assert_eq!(later.time_left_ms, state.time_left_ms);

    let resumed = bench.ask(Request::Resume).state.unwrap();
    assert_eq!(resumed.phase, PhaseName::Running);
    assert!(resumed.time_left_ms <= state.time_left_ms);
    let extended = bench.ask(Request::Extend { timeout_ms: 9_000_000 }).state.unwrap();
    assert!(extended.time_left_ms > Some(8_000_000), "{extended:?}");
    bench.tell();
    assert_eq!(bench.hear(), "done");
    assert_eq!(bench.exit().code, Some(0));
}

#[test]
fn a_paused_worker_can_be_stopped_and_killed() {
    for (request, ended, signal) in
        [(Request::Stop { grace_ms: None }, Cause::Stopped, 15), (Request::Kill, Cause::Killed, 9)]
    {
        let bench = Bench::new();
        let mut job = bench.sh("echo x > up; exec sleep 1000");
        job.grace_ms = u64::MAX;
        let _shim = bench.start(&job);
        bench.hear();
        bench.ask(Request::Pause);
        bench.ask(request);
        let exit = bench.exit();
        assert_eq!((exit.ended, exit.signal), (ended, Some(signal)));
    }
}

#[test]
fn an_ending_worker_cannot_be_paused_or_given_time() {
    let bench = Bench::new();
    let _shim = bench.start(&bench.sh("trap '' TERM; echo x > up; while :; do sleep 1; done"));
    bench.hear();
    let state = bench.ask(Request::Stop { grace_ms: Some(600_000) }).state.unwrap();
    assert_eq!(state.phase, PhaseName::Ending);
    for request in [Request::Pause, Request::Resume, Request::Extend { timeout_ms: 1 }] {
        let reply = client::send(&bench.run, request).unwrap();
        assert!(!reply.ok && reply.error.unwrap().contains("ending"), "{request:?}");
    }
    // A second stop may only shorten the grace.
    bench.ask(Request::Stop { grace_ms: Some(u64::MAX) });
    bench.ask(Request::Stop { grace_ms: Some(0) });
    assert_eq!(bench.exit().signal, Some(9));
}

#[test]
fn of_the_signals_to_the_shim_only_sigterm_ends_it_and_orderly() {
    let bench = Bench::new();
    let mut shim =
        bench.start(&bench.sh("echo x > up; read line < down; echo went on; echo x > up; sleep 1000"));
    bench.hear();
    kill(shim.shim.id(), Signal::HUP);
    kill(shim.shim.id(), Signal::INT);
    bench.tell();
    bench.hear();
    kill(shim.shim.id(), Signal::TERM);
    assert_eq!(bench.exit().ended, Cause::Stopped);
    assert!(shim.shim.wait().unwrap().success());
    assert_eq!(bench.stdout(), "went on\n");
}

#[test]
fn a_worker_that_prints_too_much_is_stopped() {
    const LIMIT: u64 = 200 << 20;
    let bench = Bench::new();
    let mut job = bench.sh("trap '' TERM; cat /dev/zero >&2");
    job.output_limit = LIMIT;
    job.grace_ms = u64::MAX;
    let exit = bench.run(&job);
    assert_eq!(exit.ended, Cause::OutputLimit);
    let size = fs::metadata(bench.run.join("stderr")).unwrap().len();
    assert!(size > LIMIT && size < 20 * LIMIT, "{size}");
}

#[test]
fn requests_that_are_none_are_answered_and_harm_nobody() {
    use std::os::unix::net::UnixStream;
    let bench = Bench::new();
    let _shim = bench.start(&bench.sh("echo x > up; read line < down"));
    bench.hear();
    let socket = bench.run.join("ctl.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"hello\n{\"op\":\"sing\"}\n\xff\n{\"op\":\"state\"}\n").unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for ok in [false, false, false, true] {
        let reply: Reply = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(reply.ok, ok, "{reply:?}");
    }
    // A line without an end is cut off, not collected.
    let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    assert!(lines.next().is_none_or(|line| line.is_err()));
    // More at once than it keeps, all of them silent.
    let _crowd: Vec<_> = (0..100).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    bench.ask(Request::State);
    bench.tell();
    assert_eq!(bench.exit().code, Some(0));
    assert!(matches!(client::send(&bench.run, Request::State), Err(ClientError::NotRunning { .. })));
}

#[test]
fn a_run_happens_once() {
    let bench = Bench::new();
    let second = || {
        let mut command = spawn::program(KAPELL, Path::new("/"));
        command.arg("shim").arg(&bench.run).status().unwrap().code()
    };
    let mut shim = bench.start(&bench.sh("echo x > up; read line < down"));
    bench.hear();
    assert_eq!(second(), Some(3));
    let again = client::start(&kapell(), &bench.run, &bench.sh("exit 1"));
    assert!(matches!(again, Err(ClientError::AlreadyStarted { .. })), "{again:?}");
    bench.tell();
    let exit = bench.exit();
    shim.shim.wait().unwrap();
    assert_eq!(second(), Some(3));
    assert_eq!((bench.exit(), exit.code), (exit, Some(0)));
}

#[test]
fn of_many_starters_one_starts() {
    let bench = Bench::new();
    let job = bench.sh("echo once");
    let started: Vec<_> = std::thread::scope(|scope| {
        let start = || client::start(&kapell(), &bench.run, &job);
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
    });
    assert_eq!(started.len(), 1);
    assert_eq!(bench.exit().code, Some(0));
    assert_eq!(bench.stdout(), "once\n");
}

#[test]
fn a_shim_can_be_started_by_hand() {
    let bench = Bench::new();
    fs::create_dir(&bench.run).unwrap();
    fs::write(bench.run.join("job.json"), serde_json::to_vec(&bench.sh("echo x > up; sleep 1000")).unwrap())
        .unwrap();
    assert!(!client::is_alive(&bench.run));
    assert_eq!(client::wait(&bench.run).unwrap(), Ended::Vanished);
    let mut command = spawn::program(KAPELL, Path::new("/"));
    let mut shim = command.arg("shim").arg(&bench.run).spawn().unwrap();
    bench.hear();
    assert!(client::is_alive(&bench.run));
    bench.ask(Request::Kill);
    assert_eq!(bench.exit().ended, Cause::Killed);
    assert!(shim.wait().unwrap().success());
    assert!(!client::is_alive(&bench.run));

    let usage = spawn::program(KAPELL, Path::new("/")).arg("shim").status().unwrap();
    assert_eq!(usage.code(), Some(2));
    let nowhere = spawn::program(KAPELL, Path::new("/")).args(["shim", "/no/folder"]).status().unwrap();
    assert_eq!(nowhere.code(), Some(1));
}

#[test]
fn a_run_is_alive_from_the_moment_its_start_returns() {
    for _ in 0..20 {
        let bench = Bench::new();
        let _shim = bench.start(&bench.sh("read line < down"));
        assert!(client::is_alive(&bench.run));
        bench.ask(Request::Kill);
        assert_eq!(bench.exit().ended, Cause::Killed);
    }
}

#[test]
fn a_job_that_is_none_is_recorded() {
    let bench = Bench::new();
    fs::create_dir(&bench.run).unwrap();
    fs::write(bench.run.join("job.json"), "{}").unwrap();
    let status = spawn::program(KAPELL, Path::new("/")).arg("shim").arg(&bench.run).status().unwrap();
    assert!(status.success());
    let exit = bench.exit();
    assert!(exit.ended == Cause::NotStarted && exit.reason.unwrap().starts_with("job.json: missing field"));
}

#[test]
fn a_killed_starter_leaves_the_shim_at_work() {
    let bench = Bench::new();
    let job = bench.sh("echo $PPID > up; read line < down; exit 4");
    fs::write(bench.top.path().join("job"), serde_json::to_vec(&job).unwrap()).unwrap();
    let part = bench.player("starter");
    let mut starter = spawn::program(&part.argv[0], Path::new("/"));
    let mut starter = starter.args(&part.argv[1..]).envs(&part.env).spawn().unwrap();
    let shim = bench.hear_pid();
    starter.kill().unwrap();
    starter.wait().unwrap();
    assert!(client::is_alive(&bench.run));
    assert_eq!(bench.ask(Request::State).state.unwrap().phase, PhaseName::Running);
    bench.tell();
    assert_eq!(bench.exit().code, Some(4));
    check_gone(shim);
}

#[test]
fn a_killed_shim_is_noticed_at_once_and_what_it_leaves_is_found() {
    let bench = Bench::new();
    // One that carries the mark, and one below it that does not.
    let script = "setsid sh -c 'env -i sleep 1000 & echo $$ $! > up; wait' & wait";
    let mut shim = bench.start(&bench.sh(script));
    let pids: Vec<i32> = bench.hear().split(' ').map(|pid| pid.parse().unwrap()).collect();
    let program = bench.ask(Request::State).state.unwrap().pid;
    kill(shim.shim.id(), Signal::KILL);
    assert_eq!(bench.end(), Ended::Vanished);
    assert!(!client::is_alive(&bench.run));
    shim.shim.wait().unwrap();
    // Its program went with it, by itself.
    check_gone(program);
    assert!(pids.iter().all(|pid| Processes::read().contains(*pid)), "{pids:?}");

    let other = AttemptId::new(format!("{}-not", bench.attempt()));
    assert_eq!(client::kill_leftovers(&other).unwrap(), 0);
    assert_eq!(client::kill_leftovers(&AttemptId::new(bench.attempt())).unwrap(), 2);
    for pid in pids {
        check_gone(pid);
    }
    assert_eq!(client::kill_leftovers(&AttemptId::new(bench.attempt())).unwrap(), 0);
    let again = client::start(&kapell(), &bench.run, &bench.sh("exit 0"));
    assert!(matches!(again, Err(ClientError::AlreadyStarted { .. })));
}

#[test]
fn a_worker_has_no_say_over_its_own_shim() {
    let bench = Bench::new();
    let mut job = bench.player("asker");
    job.cwd = "/".into();
    let exit = bench.run(&job);
    assert_eq!((exit.ended, exit.code), (Cause::Exited, Some(0)), "{}", bench.stdout());
}

#[test]
fn the_wall_holds() {
    walled(&Bench::new());
}

#[test]
fn the_wall_holds_for_a_user_without_privileges() {
    if !rustix::process::getuid().is_root() {
        // The test above was one already.
        return;
    }
    let bench = Bench::new();
    let part = bench.player("unprivileged");
    std::os::unix::fs::chown(bench.top.path(), Some(65534), Some(65534)).unwrap();
    // The programs may lie where only their owner may go.
    let (test, kapell) = (bench.top.path().join("test"), bench.top.path().join("kapell"));
    for (from, to) in [(part.argv[0].as_os_str(), &test), (KAPELL.as_ref(), &kapell)] {
        // By another process: what another thread starts meanwhile would have this one's file open for writing, and
        // such a file is no program.
        let copied = spawn::program("/bin/cp", Path::new("/")).arg(from).arg(to).status().unwrap();
        assert!(copied.success(), "{copied}");
    }
    let mut command: Command = spawn::program(&test, Path::new("/"));
    command.args(&part.argv[1..]).envs(&part.env).env("TMPDIR", bench.top.path()).env(PROGRAM, &kapell);
    let output = spawn::run(command.uid(65534).gid(65534), b"", &spawn::Limits::default()).unwrap();
    assert!(output.end.is_success(), "{}\n{}", output.stdout.to_text(), output.stderr.to_text());
}

/// Runs the part `intruder` behind a wall around `own` and the file `claimed`.
fn walled(bench: &Bench) {
    let top = bench.top.path().canonicalize().unwrap();
    for folder in ["own/a", "own/b", "foreign/empty"] {
        fs::create_dir_all(top.join(folder)).unwrap();
    }
    for file in ["foreign/file", "foreign/other", "foreign/claimed"] {
        fs::write(top.join(file), "kept").unwrap();
    }
    let mut job = bench.player("intruder");
    job.env.insert("TEST_PID".into(), std::process::id().to_string().into());
    job.wall = Wall {
        mode: Mode::Strict,
        writable: vec![top.join("own")],
        files: vec![top.join("foreign/claimed")],
        ..Wall::off()
    };
    let exit = bench.run(&job);
    assert_eq!((exit.ended, exit.code), (Cause::Exited, Some(0)), "{}", bench.stdout());
    assert!(exit.wall.starts_with("landlock") && exit.wall.ends_with(" strict"), "{}", exit.wall);

    let mut foreign: Vec<_> =
        fs::read_dir(top.join("foreign")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    foreign.sort();
    assert_eq!(foreign, ["claimed", "empty", "file", "other"]);
    for file in ["file", "other"] {
        assert_eq!(fs::read_to_string(top.join("foreign").join(file)).unwrap(), "kept");
    }
    assert_eq!(fs::read_to_string(top.join("foreign/claimed")).unwrap(), "mine");
}

const PROGRAM: &str = "TEST_KAPELL";
const PART: &str = "TEST_PART";
const TOP: &str = "TEST_TOP";

#[expect(clippy::disallowed_methods, reason = "how a part of a test learns what it plays")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// The program under test: where it was built, or where a part that may not go there finds it.
#[expect(clippy::disallowed_methods, reason = "how a part of a test learns where the program is")]
fn kapell() -> PathBuf {
    std::env::var_os(PROGRAM).map_or_else(|| PathBuf::from(KAPELL), PathBuf::from)
}

/// The other processes of the tests above, played by this program.
#[test]
#[ignore = "a part in other tests"]
fn part() {
    let top = PathBuf::from(variable(TOP));
    match variable(PART).as_str() {
        "starter" => {
            let job = serde_json::from_slice(&fs::read(top.join("job")).unwrap()).unwrap();
            let _shim = client::start(&kapell(), &top.join("run"), &job).unwrap();
            std::thread::park();
        }
        "asker" => {
            let ask = |request| client::send(&top.join("run"), request).unwrap();
            assert!(ask(Request::State).ok);
            for request in [Request::Extend { timeout_ms: 1 }, Request::Pause, Request::Kill] {
                let reply = ask(request);
                assert!(!reply.ok && reply.error.unwrap().contains("no say"), "{request:?}");
            }
        }
        "unprivileged" => walled(&Bench::new()),
        "intruder" => intrude(&top),
        other => panic!("{other}"),
    }
}

/// Tries every way around the wall, from behind it, and all that must still work there.
fn intrude(top: &Path) {
    let [own, foreign] = ["own", "foreign"].map(|name| top.join(name));
    let append =
        |path: PathBuf| File::options().append(true).open(path).and_then(|mut file| file.write_all(b"x"));
    let file = foreign.join("file");
    symlink(&file, own.join("link")).unwrap();
    symlink(&foreign, own.join("folder-link")).unwrap();
    fs::write(own.join("new"), "new").unwrap();
    let through_root = Path::new("/proc/self/root").join(file.strip_prefix("/").unwrap());
    let other_root = PathBuf::from(format!("/proc/{}/root", variable("TEST_PID")));
    let shim = rustix::process::getppid().unwrap();
    let tester = Pid::from_raw(variable("TEST_PID").parse().unwrap()).unwrap();

    let refused = [
        ("create", File::create_new(foreign.join("new")).map(drop)),
        ("create in the run folder", fs::write(top.join("run/exit.json"), "{}")),
        ("write", append(file.clone())),
        ("truncate", File::create(&file).map(drop)),
        ("remove", fs::remove_file(&file)),
        ("remove a folder", fs::remove_dir(foreign.join("empty"))),
        ("make a folder", fs::create_dir(foreign.join("new"))),
        ("make a link", symlink("x", foreign.join("new"))),
        (
            "make a pipe",
            rustix::fs::mknodat(CWD, foreign.join("new"), FileType::Fifo, 0o600.into(), 0)
                .map_err(Into::into),
        ),
        (
            "make a device",
            rustix::fs::mknodat(CWD, own.join("disk"), FileType::BlockDevice, 0o600.into(), 0)
                .map_err(Into::into),
        ),
        ("write through a link", append(own.join("link"))),
        ("create through a link", File::create_new(own.join("folder-link/new")).map(drop)),
        ("write through /proc/self/root", append(through_root)),
        ("write through another's root", append(other_root.join(file.strip_prefix("/").unwrap()))),
        ("link a foreign file to an own name", fs::hard_link(&file, own.join("hard"))),
        ("link an own file to a foreign name", fs::hard_link(own.join("new"), foreign.join("new"))),
        ("rename a foreign file to an own name", fs::rename(&file, own.join("taken"))),
        ("rename an own file over a foreign one", fs::rename(own.join("new"), &file)),
        ("rename among foreign names", fs::rename(&file, foreign.join("other"))),
        ("remove a claimed file", fs::remove_file(foreign.join("claimed"))),
        ("replace a claimed file", fs::rename(own.join("new"), foreign.join("claimed"))),
        ("truncate the own log", File::create("/dev/stderr").map(drop)),
        ("signal the test", kill_process(tester, Signal::CONT).map_err(Into::into)),
        ("signal the shim", kill_process(shim, Signal::CONT).map_err(Into::into)),
    ];
    for (what, result) in refused {
        let error = result.err().unwrap_or_else(|| panic!("{what}: done"));
        let number = error.raw_os_error().map(Errno::from_raw_os_error);
        assert!(matches!(number, Some(Errno::ACCESS | Errno::PERM | Errno::XDEV)), "{what}: {error}");
    }

    let nested = own.join("a/x/y");
    let mut child = spawn::program("/bin/sleep", Path::new("/")).arg("1000").spawn().unwrap();
    let granted = [
        ("make folders", fs::create_dir_all(&nested)),
        ("create", fs::write(nested.join("file"), "x")),
        ("truncate", fs::write(nested.join("file"), "")),
        ("rename across folders", fs::rename(nested.join("file"), own.join("b/file"))),
        ("link", fs::hard_link(own.join("b/file"), own.join("a/file"))),
        ("remove", fs::remove_file(own.join("b/file"))),
        ("remove folders", fs::remove_dir_all(own.join("a"))),
        ("write a claimed file in place", fs::write(foreign.join("claimed"), "mine")),
        ("read a foreign file", fs::read(&file).map(drop)),
        ("throw away", fs::write("/dev/null", "x")),
        ("append to the own log", append("/dev/stderr".into())),
        ("share memory", {
            let name = format!("/dev/shm/kapell-{}", random_tail(8));
            fs::write(&name, "x").and_then(|()| fs::remove_file(name))
        }),
        ("signal an own child", child.kill()),
    ];
    for (what, result) in granted {
        result.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    child.wait().unwrap();
}
