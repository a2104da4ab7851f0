//! Environments: checkouts beside the project, with services of Python's standard library.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use kapell::base::failpoint::Point;
use serde_json::{Value, json};

use crate::bench::{Bench, DEADLINE, KAPELL};

/// Counts its visits in its database, and tells which it is.
const SERVER: &str = r#"
import http.server, os, sqlite3, sys
port, database = int(sys.argv[1]), sys.argv[2]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with sqlite3.connect(database) as db:
            if self.path == '/visit':
                db.execute('insert into visits values (1)')
            count = db.execute('select count(*) from visits').fetchone()[0]
        body = f'{os.environ["KAPELL_ENVIRONMENT"]} {count}'.encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
print('serving', flush=True)
http.server.ThreadingHTTPServer(('127.0.0.1', port), Handler).serve_forever()
"#;

/// Makes its table, in a file that it is told.
const INIT: &str = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('create table visits (n)')";

/// A bench whose environments are configured, and whose services end with it.
pub struct Street {
    pub bench: Bench,
    base: u16,
}

impl Street {
    pub fn new(more: &str) -> Self {
        Self::with(more, &["python3", "server.py", "{port}", "{database}"])
    }

    pub fn with(more: &str, launch: &[&str]) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let bench = Bench::new();
        // Below the ports that the system hands out, and apart from those of other tests.
        let block = NEXT.fetch_add(1, Ordering::Relaxed) + (std::process::id() % 300) as u16;
        let base = 10_000 + (block % 300) * 60;
        bench.write("server.py", SERVER);
        bench.write(
            "kapell.toml",
            &format!(
                "[environments]\nbase_port = {base}\nlaunch = {}\nhealth = \"http://127.0.0.1:{{port}}/health\"\n\
                 init = [\"python3\", \"-c\", {:?}, \"{{database}}\"]\ngrace_s = 2\n{more}\n",
                json!(launch),
                INIT
            ),
        );
        bench.commit("a service");
        Self { bench, base }
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.bench.command(KAPELL).arg("env").args(words).arg("--json").output().unwrap()
    }

    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> Value {
        let output = self.run(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "env {words:?}: {said}{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The answer, whether all of it was done or not.
    pub fn ok_or_not(&self, words: &[&str]) -> Value {
        serde_json::from_slice(&self.run(words).stdout).unwrap()
    }

    /// What was refused, and its exit code.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) -> (Value, i32) {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "env {words:?}: {}", String::from_utf8_lossy(&output.stdout));
        let error =
            serde_json::from_str(&said).unwrap_or_else(|error| panic!("env {words:?}: {error}: {said}"));
        (error, output.status.code().unwrap())
    }

    #[track_caller]
    pub fn no(&self, words: &[&str], expected: &str) -> Value {
        let (error, _) = self.refused(words);
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(expected), "env {words:?}: {error:#}");
        assert!(!error["data"]["hint"].as_str().unwrap_or_default().is_empty(), "{error:#}");
        error
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let title = self.bench.project.file_name().unwrap().to_str().unwrap();
        self.bench.project.with_file_name(format!("{title}-{name}"))
    }

    /// git in an environment.
    #[track_caller]
    pub fn git_in(&self, name: &str, args: &[&str]) -> String {
        let mut command = self.bench.command("/usr/bin/git");
        command
            .arg("-C")
            .arg(self.folder(name))
            .args(["-c", "user.name=P", "-c", "user.email=p@e"])
            .args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    #[track_caller]
    pub fn status(&self, name: &str) -> Value {
        self.ok(&["status", name])["environments"][0].clone()
    }

    /// Its status once a service is in a state that nobody tells of.
    #[track_caller]
    pub fn until(&self, name: &str, service: &str, state: &str) -> Value {
        let until = Instant::now() + DEADLINE;
        loop {
            let status = self.status(name);
            if sub(&status, service)["state"] == state {
                return status;
            }
            assert!(Instant::now() < until, "{service} is not {state}: {status:#}");
        }
    }

    /// Folders that were on the way to be something else.
    fn rests(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.bench.root.as_path()).unwrap().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                name.ends_with(".part") || name.ends_with(".removed")
            })
            .collect()
    }
}

impl Drop for Street {
    fn drop(&mut self) {
        self.run(&["stop", "--all"]);
    }
}

/// The body that a service answers with.
#[track_caller]
pub fn get(port: u64, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.rsplit("\r\n\r\n").next().unwrap().to_owned()
}

pub fn sub<'v>(environment: &'v Value, name: &str) -> &'v Value {
    environment["subs"].as_array().unwrap().iter().find(|sub| sub["name"] == name).unwrap()
}

#[test]
fn fifteen_services_from_their_making_to_their_end() {
    let street = Street::new("names = [\"dev1\", \"dev2\"]");
    let made = street.ok(&["create", "--count", "5"]);
    let names: Vec<&str> =
        made["environments"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["dev1", "dev2", "dev3", "dev4", "dev5"]);
    assert_eq!(made["environments"][0]["branch"], "env/dev1");
    let mut ports: Vec<u64> = Vec::new();
    for environment in made["environments"].as_array().unwrap() {
        let path = Path::new(environment["path"].as_str().unwrap());
        assert!(path.join("server.py").is_file() && path.join(".env.local").is_file());
        assert_eq!(environment["dirty"], false, "its own files are none of git's: {environment:#}");
        ports.extend(environment["subs"].as_array().unwrap().iter().map(|sub| sub["port"].as_u64().unwrap()));
    }
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() == 15 && ports[0] >= u64::from(street.base));

    let launched = street.ok(&["launch", "--all"]);
    for environment in launched["environments"].as_array().unwrap() {
        for sub in environment["subs"].as_array().unwrap() {
            assert!(sub["state"] == "running" && sub["health"] == "ok", "{environment:#}");
            let body = get(sub["port"].as_u64().unwrap(), "/visit");
            assert_eq!(body, format!("{} 1", environment["name"].as_str().unwrap()));
        }
    }
    // Launched again, they are the same processes.
    let again = street.ok(&["launch", "dev1"]);
    assert_eq!(sub(&again["environments"][0], "dev")["pid"], sub(&launched["environments"][0], "dev")["pid"]);

    // A command at its top calls kapell, from wherever it is started.
    let script =
        street.bench.command(street.folder("dev3").join("status.sh")).arg("--json").current_dir("/").output();
    let script: Value = serde_json::from_slice(&script.unwrap().stdout).unwrap();
    assert_eq!(sub(&script["environments"][0], "qa")["state"], "running");

    // A conflict is shown, and leaves nothing behind.
    street.bench.write("src/lib.txt", "main\n");
    street.bench.commit("main goes on");
    let folder = street.folder("dev1");
    fs::write(folder.join("src/lib.txt"), "dev1\n").unwrap();
    street.ok(&["git", "dev1", "commit", "dev1 goes on"]);
    let head = street.git_in("dev1", &["rev-parse", "HEAD"]);
    let error = street.no(&["git", "dev1", "sync"], "src/lib.txt");
    assert_eq!(error["data"]["paths"], json!(["src/lib.txt"]));
    assert_eq!(street.git_in("dev1", &["rev-parse", "HEAD"]), head);
    assert_eq!(street.git_in("dev1", &["status", "--porcelain"]), "");
    assert!(!folder.join(".git/MERGE_HEAD").exists());
    let synced = street.ok(&["git", "dev2", "sync"]);
    assert_eq!(synced["git"][0]["commit"], street.bench.git(["rev-parse", "main"]));
    let status = street.status("dev1");
    assert_eq!((status["ahead"].as_u64(), status["behind"].as_u64()), (Some(1), Some(1)));

    // A backup while it runs; then its files and its database are spoiled, and brought back.
    fs::write(folder.join("half.txt"), "not committed\n").unwrap();
    let backed = street.ok(&["backup", "dev1"]);
    assert_eq!(backed["backups"][0]["name"], "dev1");
    let port = sub(&status, "dev")["port"].as_u64().unwrap();
    assert_eq!(get(port, "/visit"), "dev1 2");
    street.ok(&["stop", "dev1"]);
    let database = sub(&street.status("dev1"), "dev")["database"].as_str().unwrap().to_owned();
    fs::write(&database, vec![b'x'; 9000]).unwrap();
    fs::remove_file(folder.join("half.txt")).unwrap();
    fs::write(folder.join("src/lib.txt"), "spoiled\n").unwrap();
    let bad = street.run(&["monitor", "dev1"]);
    assert_eq!(bad.status.code(), Some(1));
    let bad: Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!(bad["environments"][0]["verdict"], "bad");
    assert!(
        bad["environments"][0]["reason"].as_str().unwrap().contains("the database of dev is damaged"),
        "{bad:#}"
    );
    let restored = street.ok(&["restore", "dev1"]);
    assert_eq!(fs::read_to_string(folder.join("half.txt")).unwrap(), "not committed\n");
    assert_eq!(fs::read_to_string(folder.join("src/lib.txt")).unwrap(), "dev1\n");
    let kept = restored["kept"][0].as_str().unwrap();
    assert_eq!(street.git_in("dev1", &["show", &format!("{kept}:src/lib.txt")]), "spoiled");
    street.ok(&["launch", "dev1", "dev"]);
    assert_eq!(get(port, "/"), "dev1 1");

    // It goes only when nothing would be lost, or when that is wanted; and even then it is kept.
    let error = street.no(&["remove", "dev1"], "would be lost");
    let losses = error["data"]["losses"].to_string();
    for expected in
        ["not committed: half.txt", "not pushed: 1 commit", "not merged: 1 commit", "running: dev"]
    {
        assert!(losses.contains(expected), "{expected}: {losses}");
    }
    assert!(folder.is_dir() && sub(&street.status("dev1"), "dev")["state"] == "running");
    let removed = street.ok(&["remove", "dev1", "--force"]);
    assert!(!folder.exists() && TcpStream::connect(("127.0.0.1", port as u16)).is_err());
    let kept: Vec<&str> = removed["kept"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let branch = kept.iter().find(|it| it.ends_with("heads/env/dev1")).unwrap();
    assert_eq!(street.bench.git(["rev-parse", branch]), head);
    let files = kept.iter().find(|it| it.ends_with("-removed")).unwrap();
    assert_eq!(street.bench.git(["show", &format!("{files}:half.txt")]), "not committed");

    street.ok(&["stop", "--all"]);
    street.no(&["remove", "dev2"], "not backed up: the database of dev, qa, staging");
    street.ok(&["backup"]);
    for name in ["dev2", "dev3", "dev4", "dev5"] {
        street.ok(&["remove", name]);
        assert!(!street.folder(name).exists());
    }
    assert_eq!(street.ok(&["status"])["environments"], json!([]));
    street.bench.quiet();
}

#[test]
fn a_kill_in_the_middle_is_gone_on_from() {
    let points = [
        (Point::EnvironmentRecorded, "create"),
        (Point::EnvironmentCloned, "create"),
        (Point::EnvironmentPlaced, "create"),
        (Point::EnvironmentInitialised, "create"),
        (Point::EnvironmentMade, "create"),
        (Point::EnvironmentLaunching, "launch"),
        (Point::BackupWritten, "backup"),
        (Point::BackupProved, "backup"),
        (Point::RestoreKept, "restore"),
        (Point::RestoreTree, "restore"),
        (Point::EnvironmentKept, "remove"),
        (Point::EnvironmentAside, "remove"),
        (Point::EnvironmentGone, "remove"),
    ];
    for more in ["", "worktree = true"] {
        let street = Street::new(more);
        for (point, verb) in points {
            let words: &[&str] = match verb {
                "remove" => {
                    street.ok(&["create", "a"]);
                    &["remove", "a", "--force"]
                }
                "launch" => &["launch", "a", "dev"],
                "restore" => &["restore", "a", "--force"],
                verb => &[verb, "a"],
            };
            let log = street.bench.root.join(format!("killed-{}", point.name()));
            let mut command = street.bench.command(KAPELL);
            command.arg("env").args(words).env("KAPELL_FAILPOINT", format!("{}:kill", point.name()));
            let killed = command.env("KAPELL_FAILPOINT_LOG", &log).output().unwrap();
            use std::os::unix::process::ExitStatusExt as _;
            let said = String::from_utf8_lossy(&killed.stderr).into_owned();
            // What is made on another thread is killed with the process all the same.
            assert!(killed.status.signal() == Some(9), "{more} {}: {:?} {said}", point.name(), killed.status);
            if point == Point::EnvironmentGone || (point == Point::EnvironmentAside && verb == "remove") {
                street.ok(&["remove", "a", "--force"]);
                continue;
            }
            let status = street.run(&["status"]);
            assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
            street.ok(words);
            if verb == "create" {
                let status = street.status("a");
                assert!(
                    status["state"] == "ready" && status["dirty"] == false,
                    "{}: {status:#}",
                    point.name()
                );
                let databases = status["subs"].as_array().unwrap().iter();
                for database in databases.map(|sub| sub["database"].as_str().unwrap()) {
                    assert!(fs::metadata(database).unwrap().len() > 0);
                }
                assert_eq!(street.rests(), [""; 0].map(PathBuf::from));
                if point != Point::EnvironmentMade {
                    street.ok(&["remove", "a"]);
                }
            }
        }
        assert_eq!(street.rests(), [""; 0].map(PathBuf::from));
        assert_eq!(street.ok(&["status"])["environments"], json!([]));
    }
}

#[test]
fn what_does_not_start_is_told_and_leaves_nothing() {
    let street =
        Street::with("launch_timeout_s = 1\nsubs = [\"dev\"]", &["python3", "odd.py", "{name}", "{port}"]);
    let odd = "import os, socket, subprocess, sys, time
what, port = sys.argv[1], int(sys.argv[2])
print('this is', what, flush=True)
if what == 'ends': sys.exit(3)
if what == 'hangs': time.sleep(600)
if what == 'forks':
    subprocess.Popen(['sleep', '600'], start_new_session=True)
    sys.exit(0)
listener = socket.create_server(('127.0.0.1', port))
time.sleep(600)
";
    street.bench.write("odd.py", odd);
    street.bench.commit("odd services");
    street.ok(&["create", "ends", "hangs", "forks", "silent"]);
    let why = street.no(&["launch", "ends"], "ended with exit code 3");
    assert!(why["message"].as_str().unwrap().contains("this is ends"), "{why:#}");
    street.no(&["launch", "hangs"], "not well within 1 s");
    street.no(&["launch", "forks"], "stay in the foreground");
    street.no(&["launch", "silent"], "does not answer");
    for name in ["hangs", "forks", "silent"] {
        assert_eq!(street.status(name)["subs"][0]["state"], "crashed");
    }
    street.bench.quiet();

    // A stranger at the port is named, and gone around only where that is wanted.
    let port = street.status("ends")["subs"][0]["port"].as_u64().unwrap();
    let stranger = TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    let why = street.no(&["launch", "ends"], &format!("process {}", std::process::id()));
    assert_eq!(why["data"]["pid"], std::process::id());
    street.no(&["launch", "ends", "--force"], "exit code 3");
    let moved = street.status("ends")["subs"][0]["port"].as_u64().unwrap();
    assert!(moved > port);
    assert!(
        fs::read_to_string(street.folder("ends").join(".env.local"))
            .unwrap()
            .contains(&format!("DEV_PORT={moved}"))
    );
    drop(stranger);

    // All that cannot be meant.
    for (words, kind) in [
        (&["launch", "nobody"][..], "not-found"),
        (&["launch", "ends", "nothing"], "not-found"),
        (&["create", "../x"], "bad-path"),
        (&["create", "ENDS"], "conflict"),
        (&["remove", "../../etc"], "not-found"),
        (&["status", "/etc"], "not-found"),
        (&["restore", "ends", "../../x"], "not-found"),
        (&["logs", "ends", "../dev"], "not-found"),
        (&["git", "ends", "feature", "../../x y"], "bad-path"),
        (&["git", "ends", "push", "elsewhere"], "invalid-params"),
    ] {
        let (error, _) = street.refused(words);
        assert_eq!(error["data"]["kind"], kind, "{words:?}: {error:#}");
    }
    let stranger = street.folder("mine");
    fs::create_dir(&stranger).unwrap();
    fs::write(stranger.join("x"), "mine").unwrap();
    street.no(&["create", "mine"], "no environment of this project");
    assert_eq!(fs::read_to_string(stranger.join("x")).unwrap(), "mine");
}

#[test]
fn a_crash_is_shown_and_what_is_left_is_ended() {
    let street = Street::new("subs = [\"dev\", \"qa\"]");
    street.ok(&["create", "a"]);
    let launched = street.ok(&["launch", "a"]);
    let pid = |name: &str| sub(&launched["environments"][0], name)["pid"].as_i64().unwrap() as i32;
    let kill = |pid| {
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    };
    kill(pid("dev"));
    let crashed = street.until("a", "dev", "crashed");
    assert!(sub(&crashed, "dev")["reason"].as_str().unwrap().contains("signal 9"), "{crashed:#}");
    assert_eq!(sub(&crashed, "dev")["last_lines"], json!(["serving"]));
    assert_eq!(sub(&crashed, "qa")["state"], "running");
    assert_eq!(street.run(&["monitor"]).status.code(), Some(1));

    // Its watcher is killed: the service goes on, and is found and ended.
    let run = fs::read_dir(street.bench.state().join("run")).unwrap().flatten();
    let watcher = run.map(|run| run.file_name().into_string().unwrap()).find_map(|run| {
        let shims = street.bench.processes();
        let shim =
            shims.iter().find(|it| it.words.iter().any(|word| word.to_string_lossy().ends_with(&run)))?;
        Some(shim.pid)
    });
    kill(watcher.unwrap());
    street.until("a", "qa", "crashed");
    street.ok(&["launch", "a"]);
    let again = street.status("a");
    assert!(sub(&again, "qa")["health"] == "ok" && sub(&again, "qa")["pid"] != json!(pid("qa")), "{again:#}");
    street.ok(&["restart", "a", "qa"]);
    street.ok(&["stop", "a"]);
    assert_eq!(sub(&street.status("a"), "dev")["state"], "stopped");
    street.bench.quiet();
}

#[test]
fn each_verb_of_git_does_its_work() {
    let street = Street::new("subs = [\"dev\"]");
    street.ok(&["create", "a", "b"]);
    let verb = |words: &[&str]| street.ok(&[&["git", "a"], words].concat())["git"][0].clone();
    let write = |text: &str| fs::write(street.folder("a").join("new.txt"), text).unwrap();
    write("one\n");
    assert_eq!(verb(&["status"])["files"], json!([{"path": "new.txt", "state": "new"}]));
    street.no(&["git", "a", "commit", " "], "wants a message");
    assert_eq!(verb(&["feature", "passkeys"])["branch"], "feature/passkeys");
    let commit = verb(&["commit", "sign in\n\nwith passkeys"])["commit"].clone();
    street.no(&["git", "a", "commit", "again"], "nothing to commit");
    let log = verb(&["log", "1"]);
    assert!(log["commits"][0]["subject"] == "sign in" && log["commits"][0]["commit"] == commit, "{log:#}");
    assert!(verb(&["diff"])["diff"].as_str().unwrap().contains("+one"));
    let merged = verb(&["merge"]);
    assert!(merged["branch"] == "env/a" && merged["commit"] == commit, "{merged:#}");
    verb(&["push"]);
    assert_eq!(street.bench.git(["rev-parse", "env/a"]), commit.as_str().unwrap());

    // Into the main branch, which is checked out in the project: nothing of a person's is in the way.
    verb(&["merge"]);
    assert_eq!(fs::read_to_string(street.bench.project.join("new.txt")).unwrap(), "one\n");
    assert_eq!(verb(&["clean"])["branches"], json!(["feature/passkeys"]));
    street.ok(&["git", "b", "sync"]);
    assert!(street.folder("b").join("new.txt").is_file());

    // Rebased onto what others did; the old commits stay under a ref.
    street.bench.write("other.txt", "other\n");
    street.bench.commit("other");
    write("two\n");
    street.no(&["git", "a", "rebase"], "not committed");
    let old = verb(&["commit", "two"])["commit"].clone();
    let rebased = verb(&["rebase"]);
    assert_eq!(street.git_in("a", &["rev-parse", "HEAD~1"]), street.bench.git(["rev-parse", "main"]));
    assert_eq!(street.git_in("a", &["rev-parse", rebased["kept"].as_str().unwrap()]), old.as_str().unwrap());

    // Reset to the main branch; what was not committed stays under a ref too.
    write("three\n");
    let reset = verb(&["reset"]);
    assert_eq!(
        street.git_in("a", &["show", &format!("{}:new.txt", reset["kept"].as_str().unwrap())]),
        "three"
    );
    assert_eq!(street.git_in("a", &["rev-parse", "HEAD"]), street.bench.git(["rev-parse", "main"]));
    // Pulled from the project, after somebody else went on there.
    verb(&["push"]);
    let tree = street.bench.git(["commit-tree", "-p", "env/a", "-m", "from elsewhere", "env/a^{tree}"]);
    street.bench.git(["update-ref", "refs/heads/env/a", &tree]);
    assert_eq!(verb(&["pull"])["commit"], tree);
    street.no(&["git", "a", "wish"], "no verb");
}

#[test]
fn what_goes_wrong_loses_nothing() {
    let street = Street::new("subs = [\"dev\"]\nbackups = 2");
    let full = |words: &[&str], point: &str| {
        let mut command = street.bench.command(KAPELL);
        command.arg("env").args(words).env("KAPELL_FAILPOINT", format!("{point}:enospc"));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{words:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.to_lowercase().contains("no space left"), "{said}");
    };
    full(&["create", "a"], "environment.cloned");
    assert!(street.rests().is_empty() && !street.folder("a").exists());
    street.ok(&["create", "a"]);
    street.ok(&["backup", "a"]);
    full(&["backup", "a"], "backup.written");
    let backups = street.ok(&["backup", "a", "--list"]);
    assert_eq!(backups["backups"].as_array().unwrap().len(), 1);
    let folder = Path::new(backups["backups"][0]["path"].as_str().unwrap()).parent().unwrap().to_owned();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing half-done is left");
    for _ in 0..3 {
        street.ok(&["backup", "a"]);
    }
    let backups = street.ok(&["backup", "a", "--list"])["backups"].clone();
    assert_eq!(backups.as_array().unwrap().len(), 2);

    // A backup that is not as it was written is not restored.
    let bundle = Path::new(backups[0]["path"].as_str().unwrap()).join("databases.bundle");
    fs::write(&bundle, "x").unwrap();
    let (error, _) = street.refused(&["restore", "a"]);
    assert!(error["message"].as_str().unwrap().contains("damaged"), "{error:#}");
    street.ok(&["restore", "a", backups[1]["backup"].as_str().unwrap()]);

    // Its folder is gone: told, made again, and brought back.
    fs::write(street.folder("a").join("precious.txt"), "p").unwrap();
    street.ok(&["backup", "a"]);
    fs::remove_dir_all(street.folder("a")).unwrap();
    assert_eq!(street.status("a")["state"], "missing");
    street.no(&["launch", "a"], "is gone");
    street.no(&["git", "a", "sync"], "is gone");
    street.ok(&["restore", "a"]);
    assert_eq!(fs::read_to_string(street.folder("a").join("precious.txt")).unwrap(), "p");
    fs::remove_dir_all(street.folder("a")).unwrap();
    street.ok(&["create", "a"]);
    street.ok(&["launch", "a"]);

    // Begun anew, with what there was kept.
    fs::write(street.folder("a").join("kept.txt"), "k").unwrap();
    street.no(&["reset", "a"], "kept.txt");
    let reset = street.ok(&["reset", "a", "--force"]);
    assert!(!street.folder("a").join("kept.txt").exists());
    let kept = reset["kept"][0].as_str().unwrap();
    assert_eq!(street.git_in("a", &["show", &format!("{kept}:kept.txt")]), "k");

    let maintained = street.ok(&["maintain"]);
    assert!(
        maintained["message"].as_str().unwrap().contains("weekly: 1 of 1 synced, 1 of 1 backed up"),
        "{maintained:#}"
    );
    assert_eq!(street.ok(&["maintain"])["message"], "nothing is due");
    street.ok(&["maintain", "daily"]);
    fs::remove_dir_all(street.folder("a")).unwrap();
    street.ok(&["remove", "a"]);
}
