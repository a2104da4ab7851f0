//! What is not to happen to environments: commits that go with a folder, checkouts that are left half-done, and
//! trouble that nobody is told of.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};

use crate::bench::KAPELL;
use crate::environments::{Street, get, sub};

fn street(more: &str) -> Street {
    Street::new(&format!("names = [\"dev1\"]\nsubs = [\"dev\"]\n{more}"))
}

fn commit(street: &Street, folder: &Path, file: &str) -> String {
    fs::write(folder.join(file), file).unwrap();
    let git = |args: &[&str]| {
        let mut command = street.bench.command("/usr/bin/git");
        command.arg("-C").arg(folder).args(["-c", "user.name=P", "-c", "user.email=p@e"]).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    git(&["add", "-A"]);
    git(&["commit", "--quiet", "-m", file]);
    git(&["rev-parse", "HEAD"])
}

/// The refs of the project that have a commit.
#[track_caller]
fn held(street: &Street, commit: &str) -> Vec<String> {
    let found = street.bench.git(["for-each-ref", "--format=%(refname)", "--contains", commit]);
    found.lines().map(str::to_owned).collect()
}

fn overview(street: &Street) -> Vec<String> {
    let output = street.bench.command(KAPELL).args(["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["warnings"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[test]
fn commits_of_a_worktree_outlive_its_folder() {
    for how in ["create", "remove"] {
        let street = street("worktree = true");
        street.ok(&["create", "dev1"]);
        let folder = street.folder("dev1");
        street.git_in("dev1", &["checkout", "--quiet", "--detach"]);
        let before = commit(&street, &folder, "before");
        street.git_in("dev1", &["reset", "--quiet", "--hard", "HEAD~1"]);
        let precious = commit(&street, &folder, "precious");
        fs::write(folder.join("staged"), "staged").unwrap();
        street.git_in("dev1", &["add", "staged"]);
        fs::rename(&folder, folder.with_extension("away")).unwrap();
        let answer = street.ok(&[how, "dev1"]);
        for commit in [&before, &precious] {
            let held = held(&street, commit);
            assert!(
                held.iter().any(|name| name.starts_with("refs/kapell/environments/dev1/")),
                "{how}: {held:?}"
            );
        }
        let refs = street.bench.refs("refs/kapell/environments/dev1/");
        let staged = refs.iter().find(|name| name.ends_with("/staged")).unwrap();
        assert_eq!(street.bench.git(["show", &format!("{staged}:staged")]), "staged");
        if how == "remove" {
            assert_eq!(answer["kept"].as_array().unwrap().len(), 3, "{answer:#}");
        }
    }
}

#[test]
fn a_removed_clone_leaves_the_commits_of_its_other_worktrees() {
    let street = street("");
    street.ok(&["create", "dev1"]);
    let side = street.folder("side");
    street.git_in("dev1", &["worktree", "add", "--quiet", "--detach", side.to_str().unwrap()]);
    let precious = commit(&street, &side, "precious");
    street.no(&["remove", "dev1"], "worktrees of its repository");
    street.ok(&["remove", "dev1", "--force"]);
    assert!(!held(&street, &precious).is_empty());
}

/// A pipe that this process holds open, so that nobody waits for its other end.
fn pipe(path: &Path) -> File {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    File::options().read(true).write(true).open(path).unwrap()
}

/// Has a checkout write `z` only when it is let to, and does a verb that is told to end in the midst of that.
#[track_caller]
fn interrupted(street: &Street, filtered: &Path, verb: &str, signal: Signal) {
    let [began, goes] =
        ["began", "goes"].map(|name| street.bench.root.as_path().join(format!("{name}-{verb}")));
    let (mut begins, mut lets) = (pipe(&began), pipe(&goes));
    let smudge = format!("echo >{}; read go <{}; cat", began.display(), goes.display());
    let mut git = street.bench.command("/usr/bin/git");
    git.arg("-C").arg(filtered).args(["config", "filter.slow.smudge", &smudge]);
    assert!(git.status().unwrap().success());
    let mut command = street.bench.command(KAPELL);
    command.args(["env", "git", "dev1", verb]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.process_group(0).spawn().unwrap();
    begins.read_exact(&mut [0]).unwrap();
    kill_process_group(Pid::from_child(&child), signal).unwrap();
    lets.write_all(b"\n\n\n\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{verb}: {:?}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_verb_that_is_told_to_end_comes_to_its_end() {
    let street = street("");
    street.bench.write(".gitattributes", "z filter=slow\n");
    street.bench.write("z", "one");
    street.bench.commit("slow");
    street.ok(&["create", "dev1"]);
    let (project, folder) = (street.bench.project.clone(), street.folder("dev1"));
    let clean = |folder: &Path| {
        let mut git = street.bench.command("/usr/bin/git");
        let output = git.arg("-C").arg(folder).args(["status", "--porcelain"]).output().unwrap();
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    };
    for (verb, signal) in [("sync", Signal::INT), ("rebase", Signal::HUP)] {
        if verb == "rebase" {
            commit(&street, &folder, "own");
        }
        street.bench.write("z", verb);
        street.bench.commit(verb);
        interrupted(&street, &folder, verb, signal);
        clean(&folder);
        assert_eq!(fs::read_to_string(folder.join("z")).unwrap(), verb);
    }
    street.git_in("dev1", &["config", "--unset", "filter.slow.smudge"]);
    fs::write(folder.join("z"), "merge").unwrap();
    street.ok(&["git", "dev1", "commit", "for all"]);
    // The checkout of the person.
    interrupted(&street, &project, "merge", Signal::TERM);
    clean(&project);
    assert_eq!(fs::read_to_string(project.join("z")).unwrap(), "merge");
}

#[test]
fn a_feature_has_a_way_back() {
    let street = street("");
    street.ok(&["create", "dev1"]);
    for words in [&["git", "dev1", "feature"][..], &["git", "dev1", "feature", "env/dev1"]] {
        street.ok(&["git", "dev1", "feature", "passkeys"]);
        let back = street.ok(words);
        assert_eq!(back["git"][0]["branch"], "env/dev1", "{back:#}");
    }
    street.no(&["git", "dev1", "feature", "a", "b"], "feature wants one argument");
    // What a killed git left is named with the way out.
    let lock = street.folder("dev1").join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let error = street.no(&["git", "dev1", "reset"], "index.lock' is there");
    assert!(error["data"]["hint"].as_str().unwrap().ends_with("-dev1/.git/index.lock'"), "{error:#}");
}

#[test]
fn backups_that_are_all_damaged_are_told() {
    let street = street("");
    street.ok(&["create", "dev1"]);
    let damage = |backup: &Value| {
        let path = PathBuf::from(backup["path"].as_str().unwrap()).join("databases.bundle");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    let first = street.ok(&["backup", "dev1"])["backups"][0].clone();
    assert_eq!(street.ok(&["monitor"])["environments"][0]["verdict"], "ok");
    damage(&first);
    let output = street.run(&["monitor"]);
    assert_eq!(output.status.code(), Some(1));
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reason = checked["environments"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("no backup is whole") && reason.contains(first["backup"].as_str().unwrap()),
        "{reason}"
    );
    let second = street.ok(&["backup", "dev1"])["backups"][0].clone();
    assert_eq!(street.ok(&["monitor"])["environments"][0]["verdict"], "ok");
    street.ok(&["backup", "dev1"]);
    let newest = street.ok(&["backup", "dev1"])["backups"][0].clone();
    damage(&newest);
    let checked = street.ok(&["monitor"])["environments"][0].clone();
    assert_eq!(checked["verdict"], "attention", "{checked:#}");
    assert!(second["backup"] != newest["backup"]);
}

#[test]
fn the_overview_tells_of_environments_that_need_somebody() {
    let street = street("");
    street.bench.configure(
        "[providers.p]\nkind = \"command\"\ncommand = [\"true\"]\n[workers.bound]\nprovider = \"p\"\nenvironment = \"dev1\"\n",
    );
    let told = overview(&street);
    assert!(told.iter().any(|it| it.contains("bound is bound to environment dev1")), "{told:?}");
    street.ok(&["create", "dev1"]);
    assert!(overview(&street).iter().all(|it| !it.contains("dev1")), "{:?}", overview(&street));
    let launched = street.ok(&["launch", "dev1"]);
    let pid = sub(&launched["environments"][0], "dev")["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    street.until("dev1", "dev", "crashed");
    let database = street.folder("dev1").join(".kapell/dev.sqlite");
    fs::write(&database, "no database at all").unwrap();
    let head = street.git_in("dev1", &["rev-parse", "HEAD"]);
    fs::write(street.folder("dev1").join(".git/MERGE_HEAD"), format!("{head}\n")).unwrap();
    let told = overview(&street);
    for expected in
        ["environment dev1/dev crashed: it died of signal 9", "a merge is under way", "no SQLite database"]
    {
        assert!(told.iter().any(|it| it.contains(expected)), "{expected}: {told:?}");
    }
    fs::remove_file(&database).unwrap();
    // An empty one in its place would look as if all were well.
    street.no(&["launch", "dev1"], "the database of dev1/dev is gone");
}

#[test]
fn a_stranger_at_the_port_is_not_taken_for_the_service() {
    const LEAVER: &str = r#"
import http.server, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()
        if self.path == '/leave':
            threading.Thread(target=server.shutdown).start()
server = http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
server.serve_forever()
server.server_close()
print('left', flush=True)
threading.Event().wait()
"#;
    let street = Street::with("names = [\"dev1\"]\nsubs = [\"dev\"]", &["python3", "leaver.py", "{port}"]);
    street.bench.write("leaver.py", LEAVER);
    street.bench.commit("a service that leaves its port");
    street.ok(&["create", "dev1"]);
    let launched = street.ok(&["launch", "dev1"]);
    let port = sub(&launched["environments"][0], "dev")["port"].as_u64().unwrap();
    assert_eq!(sub(&street.status("dev1"), "dev")["health"], "ok");
    get(port, "/leave");
    let listener = loop {
        // It says so in its log, and to nobody else.
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap())) {
            break listener;
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let health = sub(&street.status("dev1"), "dev")["health"].clone();
    let expected = format!("it listens no longer: at its port {port} answers process {}", std::process::id());
    assert!(health.as_str().unwrap().starts_with(&expected), "{health}");
}

#[test]
fn a_branch_without_a_commit_is_backed_up_and_comes_back() {
    for more in ["worktree = true", ""] {
        let street = street(more);
        street.ok(&["create", "dev1"]);
        let folder = street.folder("dev1");
        street.git_in("dev1", &["switch", "--quiet", "--orphan", "unborn"]);
        fs::write(folder.join("new"), "new").unwrap();
        let checked = street.ok(&["monitor"])["environments"][0].clone();
        assert!(checked["reason"].as_str().unwrap().contains("unborn has no commit yet"), "{checked:#}");
        street.no(&["git", "dev1", "log"], "dev1 has no commit");
        street.ok(&["backup", "dev1"]);
        fs::remove_file(folder.join("new")).unwrap();
        street.git_in("dev1", &["switch", "--quiet", "env/dev1"]);
        street.ok(&["restore", "dev1"]);
        assert_eq!(street.git_in("dev1", &["symbolic-ref", "HEAD"]), "refs/heads/unborn");
        assert_eq!(fs::read_to_string(folder.join("new")).unwrap(), "new");
        let files = json!(street.ok(&["git", "dev1", "status"])["git"][0]["files"]);
        assert_eq!(files, json!([{"path": "new", "state": "new"}]), "{more}");
    }
}
