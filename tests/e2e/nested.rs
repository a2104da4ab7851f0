//! Repositories inside of a folder that is not a worker's alone: what lay there before is not its doing, what it
//! does there is told, and what a person's next git reads there is none of its business.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::bench::{Bench, KAPELL, Plan, task};

const SHARED: &str = "[project]\nisolation = \"shared\"\n";

/// A project with a submodule `part`, repositories `src/own` (with a commit) and `bare` (without one), and a
/// worktree `.trees/one`, none of which git knows but the first.
fn bench(more: &str) -> Bench {
    let bench = Bench::new();
    bench.configure(more);
    let part = bench.root.join("part");
    sh(&bench, &bench.root, "git init -q part && cd part && echo l > l && git add l && git commit -qm part");
    bench.git([
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        part.to_str().unwrap(),
        "part",
    ]);
    bench.commit("a submodule");
    sh(
        &bench,
        &bench.project,
        "git init -q src/own && cd src/own && echo o > o && git add o && git commit -qm own && cd ../.. &&
         git init -q bare && echo b > bare/b && git worktree add -q .trees/one -b one && mkdir ../away &&
         git init -q ../away/old && cd ../away/old && echo f > f && git add f && git commit -qm old",
    );
    bench
}

#[track_caller]
fn sh(bench: &Bench, folder: &Path, script: &str) -> String {
    let mut command = bench.command("/bin/sh");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "P").env(format!("GIT_{who}_EMAIL"), "p@e");
    }
    let output = command.current_dir(folder).args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// How a try ended, what of it lay outside of its claim, and why the gate of ownership decided as it did.
fn tried(bench: &Bench, id: &str, files: &[&str], lines: &[&str]) -> (Value, Value, String) {
    let plan = bench.start(&Plan::new([task(id, files, lines)]).rule("max_attempts", json!(1)));
    let state = bench.at_rest(&plan)["state"].clone();
    let task = bench.task(&plan, id);
    let attempt = &task["attempts"][0];
    let told = bench.rpc().ok("status", json!({"scope": "attempt", "id": attempt["attempt"]}));
    let gates = told["gates"].as_array().cloned().unwrap_or_default();
    let why = gates.iter().find(|gate| gate["name"] == "ownership").map(|gate| gate["why"].to_string());
    (state, attempt["outside_claim"].clone(), why.unwrap_or_else(|| task["reason"].to_string()))
}

#[test]
fn repositories_that_lay_in_a_shared_folder_before_are_nobodys_violation() {
    let bench = bench(SHARED);
    let ok = |id: &str, lines: &[&str]| {
        let (state, outside, why) = tried(&bench, id, &["src/"], lines);
        assert_eq!((state, &outside), (json!("done"), &json!([])), "{id}: {why}: {}", bench.story());
        why
    };
    let why = ok("plain", &["write src/n one"]);
    assert!(!why.contains("part") && !why.contains("own"), "{why}");
    // Wherever the person left them.
    sh(&bench, &bench.project, "git -C part commit -q --allow-empty -m two; echo d >> part/l");
    ok("moved", &["write src/n two"]);
    // What others do in another worktree is told, and so is what a build leaves beside a submodule's files.
    let why = ok(
        "elsewhere",
        &[
            "write src/n three",
            "run git -C .trees/one -c user.name=P -c user.email=p@e commit -q --allow-empty -m x",
        ],
    );
    assert!(why.contains(".trees/one changed, which nobody owns"), "{why}");
    let why = ok("inside", &["write src/n four", "run mkdir -p part/target", "write part/target/x x"]);
    assert!(!why.contains("part"), "{why}");
    let why = ok("inside-2", &["write src/n five", "write part/l changed"]);
    assert!(why.contains("part/l changed, which nobody owns"), "{why}");
    assert_eq!(fs::read_to_string(bench.project.join("part/l")).unwrap(), "changed\n");
    // Afterwards that is how it is.
    let why = ok("after", &["write src/n six"]);
    assert!(!why.contains("part"), "{why}");
}

#[test]
fn what_a_worker_of_a_shared_folder_does_to_repositories_in_it_is_a_violation() {
    let bench = bench(SHARED);
    let identity = "-c user.name=P -c user.email=p@e";
    for (id, files, line, expected) in [
        ("made", "src/", "git init -q src/made", "src/made"),
        ("made-2", "README", "cp -r part/../src/own new", "new"),
        ("brought", "README", "mv ../away/old here", "here"),
        ("brought-2", "README", "mv ../away deep", "deep/old"),
        ("committed", "src/", &format!("git {identity} -C part commit -q --allow-empty -m x"), "part"),
        (
            "committed-2",
            "README",
            &format!("git {identity} -C src/own commit -q --allow-empty -m x"),
            "src/own",
        ),
        ("configured", "README", "git -C src/own config core.fsmonitor true", "src/own"),
        ("swapped", "README", "sh -c 'echo gitdir: ../.git/modules/part > part/.git'", "part"),
        ("removed", "README", "rm part/.git", "part"),
        ("edited", "src/", "sh -c 'echo more >> src/own/o'", "src/own"),
    ] {
        if id == "brought-2" {
            sh(&bench, &bench.project, "mkdir -p ../away && mv here ../away/old");
        }
        let (state, outside, why) = tried(&bench, id, &[files], &["write README r", &format!("run {line}")]);
        let told = outside.as_array().unwrap().iter().any(|path| path == expected);
        assert!(state == "failed" && told, "{id}: {state} {outside} {why}: {}", bench.story());
        sh(&bench, &bench.project, "rm -rf src/made new; git checkout -q -- README");
    }
}

#[test]
fn a_submodule_in_an_environment_is_no_violation() {
    let bench = bench("[environments]\nbase_port = 23000\nnames = [\"dev1\"]\n");
    sh(&bench, &bench.project, "rm -rf bare src/own; git worktree remove .trees/one");
    let made = bench.command(KAPELL).args(["env", "create", "dev1"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let title = bench.project.file_name().unwrap().to_str().unwrap();
    let folder = bench.project.with_file_name(format!("{title}-dev1"));
    sh(&bench, &folder, "git -c protocol.file.allow=always submodule --quiet update --init");
    let link = fs::read_to_string(folder.join("part/.git")).unwrap();
    let there = |id: &str, files: &[&str], lines: &[&str]| {
        let task = task(id, files, lines).with("environment", json!("dev1"));
        let plan = bench.start(&Plan::new([task]).rule("max_attempts", json!(1)));
        let state = bench.at_rest(&plan)["state"].clone();
        (state, bench.task(&plan, id)["attempts"][0].clone())
    };
    let (state, attempt) = there(
        "a",
        &["src/"],
        &["write src/n n", "run sh -c 'echo gitdir: ../src > part/.git; rm part/.git; mv part away'"],
    );
    assert_eq!(state, "done", "{attempt:#}: {}", bench.story());
    assert_eq!(fs::read_to_string(folder.join("part/.git")).unwrap(), link);
    assert_eq!(attempt["outside_claim"], json!([]));
    assert_eq!(sh(&bench, &folder, "git status --porcelain"), "");
}

#[test]
fn a_wall_in_a_shared_folder_keeps_the_git_of_others_out() {
    let bench = bench(&format!("{SHARED}wall = \"worktree\"\n"));
    // As old gits kept them: a repository in a repository, of which only a commit of the outer one tells.
    sh(
        &bench,
        &bench.project,
        "mkdir vendor; git init -q vendor/in && git -C vendor/in commit -q --allow-empty -m in &&
         git add vendor/in && git commit -qm vendored; echo x > vendor/beside; echo x > part/x",
    );
    let refused = |line: &str| format!("run sh -c '{line} && echo got >> src/got'");
    let lines = [
        "write src/n n".to_owned(),
        "run sh -c 'echo y > part/x && mkdir -p src/deep && echo y > vendor/beside && echo y > bare/b'"
            .to_owned(),
        refused("echo gitdir: ../src > part/.git"),
        refused("rm part/.git"),
        refused("mv part away"),
        refused("mv src/n part/.git"),
        refused("touch bare/.git/hooks/post-commit"),
        refused("echo x >> bare/.git/config"),
        refused("echo x >> vendor/in/.git/config"),
        refused("mv vendor/in/.git vendor/in/git"),
        refused("echo gitdir: /tmp > .trees/one/.git"),
        refused("echo x > .trees/one/README"),
        refused("echo x > .trees/one/new"),
        refused("mv .trees/one .trees/two"),
        refused("echo x > .git/modules/part/config"),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (state, outside, why) = tried(&bench, "a", &["src/", "vendor/"], &lines);
    assert_eq!(state, "done", "{outside} {why}: {}", bench.story());
    let read = |path: &str| fs::read_to_string(bench.project.join(path)).unwrap_or_default();
    assert_eq!(read("src/got"), "");
    for path in ["part/x", "vendor/beside", "bare/b"] {
        assert_eq!(read(path), "y\n", "{path}");
    }
    assert!(bench.project.join("src/deep").is_dir() && why.contains("bare/b and 1 more changed"), "{why}");
}

#[test]
fn an_environment_of_a_submodule_lies_beside_its_checkout() {
    let bench = bench("[environments]\nbase_port = 23000\nnames = [\"dev1\"]\n");
    let part = bench.project.join("part");
    sh(&bench, &part, "git checkout -q -B main");
    let env = |folder: &Path, words: &[&str]| {
        let mut command = bench.command(KAPELL);
        let output = command.current_dir(folder).arg("env").args(words).arg("--json").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    env(&part, &["create", "dev1"]);
    let folder = bench.project.join("part-dev1");
    assert_eq!(sh(&bench, &folder, "git rev-parse --abbrev-ref HEAD"), "env/dev1");
    assert!(!bench.project.join(".git/modules/part-dev1").exists());
    // It is known from within, too.
    for place in [&part, &folder] {
        assert!(env(place, &["status"]).to_string().contains("part-dev1"));
    }
    env(&folder, &["git", "dev1", "sync"]);
    env(&part, &["remove", "dev1"]);
    assert!(!folder.exists());
}
