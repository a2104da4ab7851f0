//! What is told of environments to who follows them from afar, and how they get on with what a project has besides:
//! submodules, branches of others, a person's name.

use std::fs;

use serde_json::{Value, json};

use crate::bench::{Bench, KAPELL};
use crate::environments::{Street, sub};

fn street(more: &str) -> Street {
    Street::new(&format!("subs = [\"dev\"]\n{more}"))
}

fn hint(error: &Value) -> &str {
    error["data"]["hint"].as_str().unwrap()
}

fn kill(pid: &Value) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid.as_i64().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn crashes(bench: &Bench) -> Vec<String> {
    let events = bench.events(None).into_iter();
    events.filter(|(kind, _)| kind == "environment.crashed").map(|(_, text)| text).collect()
}

#[test]
fn who_follows_is_told_of_a_crash_at_once_and_once() {
    let street = street("");
    street.ok(&["create", "a"]);
    let mut follower = street.bench.rpc();
    follower.ok("events.subscribe", json!({"kind": "environment."}));
    let launched = street.ok(&["launch", "a"]);
    // Nobody looks at it from here on.
    kill(&sub(&launched["environments"][0], "dev")["pid"]);
    let events = follower.events_until(|event| event["kind"] == "environment.crashed");
    let crash = events.last().unwrap();
    assert_eq!(crash["text"], "a/dev crashed: it died of signal 9; the last it said: serving");
    let data = &crash["data"];
    assert_eq!(
        (&data["environment"], &data["sub"], &data["signal"]),
        (&json!("a"), &json!("dev"), &json!(9))
    );
    assert_eq!((&data["code"], &data["last_line"]), (&Value::Null, &json!("serving")), "{crash:#}");

    // Whoever does the same again says nothing new, and nobody is told of one that was stopped.
    let run = street.bench.state().join("run").join(data["run"].as_str().unwrap());
    let job: Value = serde_json::from_slice(&fs::read(run.join("job.json")).unwrap()).unwrap();
    let words: Vec<&str> =
        job["errand"]["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let again = || assert!(street.bench.command(words[0]).args(&words[1..]).status().unwrap().success());
    again();
    street.ok(&["launch", "a"]);
    again();
    street.ok(&["restart", "a"]);
    street.ok(&["stop", "a"]);
    street.bench.quiet();
    assert_eq!(crashes(&street.bench).len(), 1, "{}", street.bench.story());

    // One that never began to serve is shown as crashed, and so is told as that.
    fs::write(street.folder("a").join("server.py"), "import sys; print('no port'); sys.exit(3)").unwrap();
    street.no(&["launch", "a"], "exit code 3");
    street.bench.quiet();
    let told = crashes(&street.bench);
    assert_eq!(told.last().unwrap(), "a/dev crashed: it ended with exit code 3; the last it said: no port");
    assert_eq!(told.len(), 2, "{}", street.bench.story());
}

#[test]
fn what_a_killed_making_left_goes_with_the_next() {
    let street = street("");
    street.ok(&["create", "a"]);
    // Its init went on alone, and began this after the database was made anew.
    let left = street.folder("a").join(".kapell/dev.sqlite.part-x1y2z3");
    fs::write(&left, "half").unwrap();
    street.ok(&["create", "a"]);
    assert!(!left.exists() && street.folder("a").join(".kapell/dev.sqlite").is_file());
}

#[test]
fn names_that_differ_in_case_alone_are_refused() {
    let street = street("");
    let no = street.no(&["create", "yed", "YED"], "differ in case alone");
    assert!(hint(&no).contains("differs in more than"), "{no:#}");
    assert_eq!(street.ok(&["status"])["environments"], json!([]));
}

#[test]
fn submodules_are_told_and_can_be_fetched() {
    let street = street("");
    let bench = &street.bench;
    let library = bench.root.join("library");
    fs::create_dir(&library).unwrap();
    let git_in = |folder: &std::path::Path, args: &[&str]| {
        let mut command = bench.command("/usr/bin/git");
        command.arg("-C").arg(folder).args(["-c", "user.name=P", "-c", "user.email=p@e"]);
        let output = command.args(["-c", "protocol.file.allow=always"]).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    git_in(&library, &["init", "-q", "-b", "main"]);
    fs::write(library.join("lib.txt"), "lib\n").unwrap();
    git_in(&library, &["add", "-A"]);
    git_in(&library, &["commit", "-q", "-m", "lib"]);
    bench.git(["remote", "add", "origin", bench.project.to_str().unwrap()]);
    git_in(&bench.project, &["submodule", "--quiet", "add", "../library", "lib"]);
    bench.commit("a library");

    let made = street.ok(&["create", "a"])["environments"][0].clone();
    assert_eq!(made["unfetched"], json!(["lib"]));
    let fetch = "submodule update --init --recursive";
    assert!(made["hint"].as_str().unwrap().contains(fetch), "{made:#}");
    let watched = street.ok(&["monitor", "a"])["environments"][0].clone();
    assert_eq!(watched["verdict"], "attention");
    assert!(watched["reason"].as_str().unwrap().contains(fetch), "{watched:#}");
    let text = bench.command(KAPELL).args(["env", "status"]).output().unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("submodules are not fetched: lib"), "{text:?}");
    git_in(&street.folder("a"), &["submodule", "--quiet", "update", "--init", "--recursive"]);
    assert_eq!(fs::read_to_string(street.folder("a").join("lib/lib.txt")).unwrap(), "lib\n");
    let fetched = street.ok(&["monitor", "a"])["environments"][0].clone();
    assert_eq!((&fetched["unfetched"], &fetched["verdict"]), (&Value::Null, &json!("ok")), "{fetched:#}");

    // Its git folder elsewhere; and none but that.
    let project = bench.project.to_str().unwrap();
    let store = bench.root.join("store.git");
    bench.git(["init", "-q", "--separate-git-dir", store.to_str().unwrap()]);
    street.ok(&["create", "b"]);
    assert_eq!(street.git_in("b", &["remote", "get-url", "origin"]), project);
    street.git_in("b", &["fetch", "-q"]);
    let bare = bench.root.join("bare.git");
    bench.git(["clone", "-q", "--bare", project, bare.to_str().unwrap()]);
    let output = bench.command(KAPELL).current_dir(&bare).args(["env", "create", "c"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    git_in(&bench.root.join("bare.git-c"), &["fetch", "-q"]);
}

#[test]
fn a_branch_that_another_checkout_has_makes_no_half_worktree() {
    let street = street("worktree = true");
    let other = street.bench.root.join("other");
    street.bench.git(["worktree", "add", "-q", "-b", "env/a", other.to_str().unwrap()]);
    let no = street.no(&["create", "a"], &format!("env/a is checked out in {}", other.display()));
    assert!(hint(&no).contains("check something else out there"), "{no:#}");
    assert_eq!(street.ok(&["status"])["environments"], json!([]));
    assert!(!street.folder("a").exists());
    // Its folder went away meanwhile, and somebody took its branch.
    street.bench.git(["worktree", "remove", other.to_str().unwrap()]);
    street.ok(&["create", "a"]);
    fs::remove_dir_all(street.folder("a")).unwrap();
    street.bench.git(["worktree", "prune"]);
    street.bench.git(["worktree", "add", "-q", other.to_str().unwrap(), "env/a"]);
    street.no(&["create", "a"], "env/a is checked out in");
    street.bench.git(["worktree", "remove", other.to_str().unwrap()]);
    street.ok(&["create", "a"]);
}

#[test]
fn what_others_pushed_is_begun_from_and_told() {
    let street = street("");
    let bench = &street.bench;
    bench.git(["config", "user.name", "Ada"]);
    bench.git(["config", "user.email", "ada@example.com"]);
    street.ok(&["create", "a", "b"]);
    let verb = |words: &[&str]| street.ok(&[&["git"], words].concat())["git"][0].clone();
    verb(&["a", "feature", "x"]);
    fs::write(street.folder("a").join("x.txt"), "x\n").unwrap();
    let commit = verb(&["a", "commit", "x"])["commit"].clone();
    // Who a person is in the project, that is who they are here.
    assert_eq!(street.git_in("a", &["log", "-1", "--format=%an <%ae> %cn"]), "Ada <ada@example.com> Ada");
    verb(&["a", "push"]);
    let taken = verb(&["b", "feature", "x"]);
    assert_eq!((&taken["branch"], &taken["commit"]), (&json!("feature/x"), &commit));
    assert!(taken["message"].as_str().unwrap().contains("begins where the project's is"), "{taken:#}");
    fs::write(street.folder("b").join("y.txt"), "y\n").unwrap();
    verb(&["b", "commit", "y"]);
    verb(&["b", "push"]);
    verb(&["b", "feature"]);

    // Somebody went on with its branch in the project.
    let tree = bench.git(["commit-tree", "-p", "main", "-m", "from elsewhere", "main^{tree}"]);
    bench.git(["update-ref", "refs/heads/env/b", &tree]);
    fs::write(street.folder("b").join("z.txt"), "z\n").unwrap();
    verb(&["b", "commit", "z"]);
    let no = street.no(&["git", "b", "merge"], "has commits that b never had");
    assert_eq!(hint(&no), "kapell env git b pull, then merge again");
    verb(&["b", "pull"]);
    verb(&["b", "merge"]);

    // Each file of a conflict by itself, whatever is in its name.
    fs::write(street.folder("a").join("one\ntwo"), "a\n").unwrap();
    fs::write(street.folder("a").join("z.txt"), "a\n").unwrap();
    verb(&["a", "feature"]);
    verb(&["a", "commit", "mine"]);
    bench.write("one\ntwo", "b\n");
    bench.commit("theirs");
    let no = street.no(&["git", "a", "sync"], "conflicts with origin/main");
    assert_eq!(no["data"]["paths"], json!(["one\\x0atwo", "z.txt"]), "{no:#}");
    let no = street.no(&["remove", "a"], "would be lost");
    let losses = no["data"]["losses"].as_array().unwrap();
    assert!(losses.len() > 1 && losses.iter().all(|line| !line.as_str().unwrap().contains('\n')), "{no:#}");
}

#[test]
fn what_force_stopped_is_told_with_what_starts_it() {
    let street = street("");
    street.ok(&["create", "a"]);
    street.ok(&["launch", "a"]);
    street.ok(&["backup", "a"]);
    for verb in ["restore", "reset"] {
        street.ok(&["launch", "a"]);
        let done = street.ok(&[verb, "a", "--force"]);
        assert_eq!(done["stopped"], json!(["dev"]), "{done:#}");
        let message = done["message"].as_str().unwrap();
        assert!(
            message.ends_with("stopped for that: dev; to start again: kapell env launch a dev"),
            "{message}"
        );
        let again = street.ok(&[verb, "a", "--force"]);
        assert!(
            again["stopped"].is_null() && !again["message"].as_str().unwrap().contains("stopped"),
            "{again:#}"
        );
    }
}

#[test]
fn a_newest_backup_without_a_manifest_is_not_passed_over() {
    let street = street("");
    street.ok(&["create", "a"]);
    let old = street.ok(&["backup", "a"])["backups"][0]["backup"].as_str().unwrap().to_owned();
    let new = street.ok(&["backup", "a"])["backups"][0].clone();
    let manifest = std::path::Path::new(new["path"].as_str().unwrap()).join("manifest.json");
    for left in [Some("{}"), None] {
        match left {
            Some(text) => fs::write(&manifest, text).unwrap(),
            None => fs::remove_file(&manifest).unwrap(),
        }
        let no = street.no(&["restore", "a"], new["backup"].as_str().unwrap());
        assert!(hint(&no).contains(&format!("kapell env restore a {old}")), "{no:#}");
        let watched = street.ok(&["monitor", "a"])["environments"][0].clone();
        assert!(watched["reason"].as_str().unwrap().contains("damaged backups"), "{watched:#}");
    }
}
