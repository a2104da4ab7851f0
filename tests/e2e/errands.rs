//! The git verbs of environments where a person is in the middle of something, and services that others
//! stop, follow or look at meanwhile.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use crate::bench::{DEADLINE, KAPELL};
use crate::environments::{Street, sub};

fn street() -> Street {
    let street = Street::new("subs = [\"dev\"]");
    street.ok(&["create", "a", "b"]);
    street
}

/// Goes on in the project.
fn main_goes_on(street: &Street, file: &str) {
    street.bench.write(file, "main\n");
    street.bench.commit("main goes on");
}

fn commit(street: &Street, name: &str, file: &str, text: &str) -> String {
    fs::write(street.folder(name).join(file), text).unwrap();
    street.ok(&["git", name, "commit", file])["git"][0]["commit"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_person_is_in_the_middle_of_is_left_to_them() {
    let street = street();
    commit(&street, "a", "mine.txt", "mine\n");
    main_goes_on(&street, "theirs.txt");
    street.git_in("a", &["fetch", "-q"]);
    street.git_in("a", &["merge", "-q", "--no-commit", "-s", "ours", "origin/main"]);
    let merging = street.folder("a").join(".git/MERGE_HEAD");
    for verb in [&["sync"][..], &["merge"], &["rebase"], &["reset"], &["feature", "x"]] {
        let (error, code) = street.refused(&[&["git", "a"], verb].concat());
        assert!(
            code == 1 && error["message"].as_str().unwrap().starts_with("a merge is under way"),
            "{error:#}"
        );
        assert!(merging.exists(), "{verb:?}");
    }
    let monitored = street.ok(&["monitor", "a"]);
    assert!(monitored["environments"][0]["reason"].as_str().unwrap().contains("a merge is under way"));
    street.no(&["reset", "a"], "under way: a merge");
    street.ok(&["backup", "a"]);
    street.no(&["restore", "a"], "a merge is under way");
    street.ok(&["restore", "a", "--force"]);
    assert!(!merging.exists());

    // A file in the way is named, and nothing else is touched.
    let head = street.git_in("a", &["rev-parse", "HEAD"]);
    fs::write(street.folder("a").join("theirs.txt"), "not main's\n").unwrap();
    for verb in ["sync", "rebase"] {
        let error = street.no(&["git", "a", verb], "theirs.txt would be written over");
        assert_eq!(error["data"]["paths"], json!(["theirs.txt"]));
        assert_eq!(street.git_in("a", &["rev-parse", "HEAD"]), head);
        assert_eq!(street.git_in("a", &["status", "--porcelain"]), "?? theirs.txt");
    }
}

#[test]
fn a_branch_is_pushed_over_what_was_here_and_over_nothing_else() {
    let street = street();
    let old = commit(&street, "a", "one.txt", "one\n");
    street.ok(&["git", "a", "push"]);
    main_goes_on(&street, "other.txt");
    street.ok(&["git", "a", "rebase"]);
    let pushed = street.ok(&["git", "a", "push"]);
    assert_eq!(street.bench.git(["rev-parse", "env/a"]), street.git_in("a", &["rev-parse", "HEAD"]));
    let kept = pushed["git"][0]["kept"].as_str().unwrap();
    assert_eq!(street.bench.git(["rev-parse", kept]), old);

    // What somebody else put there was never here.
    let tree = street.bench.git(["commit-tree", "-p", "env/a", "-m", "from elsewhere", "env/a^{tree}"]);
    street.bench.git(["update-ref", "refs/heads/env/a", &tree]);
    commit(&street, "a", "two.txt", "two\n");
    let (error, code) = street.refused(&["git", "a", "push"]);
    assert!(code == 1 && error["message"].as_str().unwrap().contains("never had"), "{error:#}");
    assert_eq!(street.bench.git(["rev-parse", "env/a"]), tree);
    street.ok(&["git", "a", "pull"]);
    street.ok(&["git", "a", "push"]);

    // A merge that does not fit leaves no branch in the project.
    commit(&street, "b", "other.txt", "b\n");
    let error = street.no(&["git", "b", "merge"], "other.txt");
    assert!(error["message"].as_str().unwrap().contains("nothing was changed"), "{error:#}");
    assert_eq!(street.bench.git(["for-each-ref", "refs/heads/env/b", "refs/kapell/lent/"]), "");

    // Names are the project's first: the clone's own main branch is an old one.
    street.ok(&["git", "b", "reset", "main"]);
    assert_eq!(street.git_in("b", &["rev-parse", "HEAD"]), street.bench.git(["rev-parse", "main"]));
    street.git_in("b", &["checkout", "-q", "--detach"]);
    fs::write(street.folder("b").join("x"), "x").unwrap();
    let gave = street.ok(&["git", "b", "commit", "x"]);
    assert!(gave["git"][0]["message"].as_str().unwrap().contains("no branch has"), "{gave:#}");
    street.ok(&["backup", "b"]);
    street.ok(&["restore", "b"]);
    street.ok(&["git", "b", "feature", "x/y"]);
    let (error, code) = street.refused(&["git", "b", "feature", "x"]);
    assert!(
        code == 1 && error["message"].as_str().unwrap().starts_with("git does not feature b"),
        "{error:#}"
    );
    let synced = street.ok_or_not(&["sync"]);
    assert!(synced["git"].as_array().is_some_and(|all| !all.is_empty()), "{synced:#}");

    street.bench.git(["branch", "-m", "main", "trunk"]);
    let bad = street.ok_or_not(&["monitor", "b"]);
    assert!(bad["environments"][0]["reason"].as_str().unwrap().contains("main, which it follows, is gone"));
    let other = Street::new("");
    other.bench.git(["branch", "env"]);
    other.no(&["create", "a"], "branch `env`");
}

#[test]
fn a_launch_that_waits_can_be_stopped_and_a_crash_is_told_as_it_was() {
    let street = Street::with(
        "launch_timeout_s = 60\nsubs = [\"dev\"]",
        &["python3", "-c", "import time; print('f\\u00fcr', flush=True); time.sleep(600)"],
    );
    street.ok(&["create", "a"]);
    let mut launch = street.bench.command(KAPELL);
    launch.args(["env", "launch", "a", "--json"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let launch = launch.spawn().unwrap();
    let until = Instant::now() + DEADLINE;
    while sub(&street.status("a"), "dev")["state"] != "running" {
        assert!(Instant::now() < until);
    }
    street.ok(&["git", "a", "status"]);
    street.ok(&["stop", "a"]);
    let said = launch.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("did not start: it was stopped"), "{said}");
    assert!(!street.folder("a").join(".kapell/dev.pid").exists());
    let (error, code) = street.refused(&["status", "a", "nope"]);
    assert!(code == 3, "{error:#}");

    // Its log, as lines for programs.
    let mut logs = street.bench.command(KAPELL);
    logs.args(["env", "logs", "a", "dev", "--follow", "--json"]).stdout(Stdio::piped());
    let mut logs = logs.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(logs.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), json!({"line": "für"}));
    logs.kill().unwrap();
    logs.wait().unwrap();
}

#[test]
fn a_program_that_cannot_be_started_is_told_as_it_is() {
    let street = Street::with("subs = [\"dev\"]", &["./server.py"]);
    street.ok(&["create", "a"]);
    let error = street.no(&["launch", "a"], "cannot be executed");
    assert!(error["data"]["hint"].as_str().unwrap().starts_with("chmod +x"), "{error:#}");
    fs::remove_file(street.folder("a").join("server.py")).unwrap();
    street.no(&["launch", "a"], "is not there");
}

#[test]
fn a_broken_configuration_keeps_nobody_from_looking_and_stopping() {
    let street = street();
    street.ok(&["launch", "a"]);
    let good = fs::read_to_string(street.bench.project.join("kapell.toml")).unwrap();
    street.bench.write("kapell.toml", "[environments\n");
    assert_eq!(sub(&street.status("a"), "dev")["state"], "running");
    let stopped = street.ok(&["stop", "a"]);
    assert_eq!(sub(&stopped["environments"][0], "dev")["state"], "stopped");
    street.no(&["launch", "a"], "kapell.toml");
    street.bench.write("kapell.toml", &good);
}

#[test]
fn a_change_that_nobody_tells_of_is_watched() {
    let street = street();
    let mut watch = street.bench.command(KAPELL);
    watch.args(["env", "status", "a", "--watch", "--json"]).stdout(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["environments"][0]["dirty"], false);
    fs::write(street.folder("a").join("server.py"), "edited").unwrap();
    assert_eq!(next()["environments"][0]["dirty"], true);
    watch.kill().unwrap();
    watch.wait().unwrap();
}
