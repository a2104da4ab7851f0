//! What is done to an environment from outside costs nothing that is only there: neither what git ignores, nor
//! what no snapshot can hold, nor what was put aside; and a backup is what it says.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use crate::bench::{DEADLINE, KAPELL};
use crate::environments::{Street, sub};

fn street(more: &str) -> Street {
    Street::new(&format!("subs = [\"dev\"]\n{more}"))
}

fn message(answer: &Value) -> &str {
    answer["git"][0]["message"].as_str().unwrap()
}

fn hint(error: &Value) -> String {
    error["data"]["hint"].as_str().unwrap().to_owned()
}

/// A file that git ignores in the environment.
fn ignored(street: &Street, name: &str) -> PathBuf {
    let file = street.folder("a").join("data").join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "mine\n").unwrap();
    file
}

/// Has the project track a file that its rules ignore.
fn track(street: &Street, name: &str) {
    street.bench.write(name, "theirs\n");
    street.bench.git(["add", "-f", name]);
    street.bench.git(["-c", "user.name=P", "-c", "user.email=p@e", "commit", "-q", "-m", "track"]);
}

fn add_row(street: &Street) {
    let rows = rusqlite::Connection::open(street.folder("a").join(".kapell/dev.sqlite")).unwrap();
    rows.execute("INSERT INTO visits VALUES (1)", []).unwrap();
}

fn rows_of(path: &Path) -> u32 {
    let rows = rusqlite::Connection::open(path).unwrap();
    rows.query_row("SELECT count(*) FROM visits", [], |row| row.get(0)).unwrap()
}

/// Ends within its time, whatever it answers.
#[track_caller]
fn ends(street: &Street, words: &[&str]) {
    let began = Instant::now();
    let mut command = street.bench.command("timeout");
    let output = command.args(["-k", "1", "30", KAPELL, "env"]).args(words).output().unwrap();
    assert_ne!(output.status.code(), Some(124), "env {words:?} hangs");
    assert!(began.elapsed() < DEADLINE, "env {words:?}");
}

#[test]
fn what_git_ignores_is_not_written_over() {
    let street = street("");
    street.bench.write(".gitignore", "data/\n*.local\n");
    street.bench.commit("rules");
    street.ok(&["create", "a"]);
    let own = street.folder("a").join("own.txt");

    let file = ignored(&street, "one");
    fs::write(&own, "own\n").unwrap();
    street.ok(&["git", "a", "commit", "own"]);
    track(&street, "data/one");
    for verb in ["sync", "rebase", "reset"] {
        let error = street.no(&["git", "a", verb], "data/one would be written over");
        assert_eq!(error["data"]["paths"], json!(["data/one"]));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine\n", "{verb}");
    }
    street.no(&["sync"], "data/one");
    let maintained = street.ok_or_not(&["maintain", "weekly"]);
    assert!(maintained["failed"].to_string().contains("data/one"), "{maintained:#}");
    street.no(&["reset", "a", "--force"], "data/one");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine\n");
    assert_eq!(street.git_in("a", &["status", "--porcelain"]), "");
    assert_eq!(
        street.git_in("a", &["for-each-ref", "refs/kapell/kept"]),
        "",
        "what was refused keeps nothing"
    );
    // What is the same is in nobody's way, and what was moved away is not either.
    fs::write(&file, "theirs\n").unwrap();
    street.ok(&["git", "a", "sync"]);

    // Forward only, and by another branch.
    let file = ignored(&street, "two");
    let head = street.git_in("a", &["rev-parse", "HEAD"]);
    street.ok(&["git", "a", "push"]);
    street.bench.git(["switch", "-q", "env/a"]);
    track(&street, "data/two");
    street.bench.git(["switch", "-q", "main"]);
    street.no(&["git", "a", "pull"], "data/two");
    street.git_in("a", &["fetch", "-q", "origin", "+env/a:feature/two"]);
    street.no(&["git", "a", "feature", "two"], "data/two");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine\n");
    assert_eq!(street.git_in("a", &["rev-parse", "HEAD"]), head);

    // A file in the place of a folder.
    fs::write(street.folder("a").join("x.local"), "mine\n").unwrap();
    track(&street, "x.local/deep");
    street.no(&["git", "a", "sync"], "x.local");
    fs::remove_file(street.folder("a").join("x.local")).unwrap();
    street.ok(&["git", "a", "sync"]);

    // What Kapell wrote makes way; a person's lines do not.
    let variables = street.folder("a").join(".env.local");
    let before = fs::read_to_string(&variables).unwrap();
    fs::write(&variables, format!("MYSECRET=1\n{before}")).unwrap();
    track(&street, ".env.local");
    street.no(&["git", "a", "sync"], ".env.local");
    assert!(fs::read_to_string(&variables).unwrap().contains("MYSECRET=1"));
    fs::write(&variables, before).unwrap();
    street.ok(&["git", "a", "sync"]);
    assert_eq!(fs::read_to_string(&variables).unwrap(), "theirs\n");

    let database = street.folder("a").join(".kapell/dev.sqlite");
    let held = fs::read(&database).unwrap();
    track(&street, ".kapell/dev.sqlite");
    let error = street.no(&["git", "a", "sync"], ".kapell/dev.sqlite");
    assert!(hint(&error).contains("no project's"), "{error:#}");
    assert_eq!(fs::read(&database).unwrap(), held);
}

#[test]
fn what_no_snapshot_can_hold_is_not_deleted() {
    let street = street("");
    street.ok(&["create", "a"]);
    street.ok(&["backup", "a"]);
    let large = street.folder("a").join("recording.bin");
    fs::File::create(&large).unwrap().set_len((1 << 30) + 1).unwrap();
    street.no(&["restore", "a"], "recording.bin (is too large");
    street.no(&["reset", "a", "--force"], "recording.bin (is too large");
    assert!(large.exists());
    // It is not in the way of what deletes nothing that git does not know.
    street.ok(&["git", "a", "reset"]);
    assert!(large.exists());
    fs::remove_file(&large).unwrap();
    street.ok(&["restore", "a"]);
}

#[test]
fn databases_that_were_put_aside_do_not_go_with_the_rest() {
    let street = street("backups = 1");
    street.ok(&["create", "a"]);
    street.ok(&["backup", "a"]);
    add_row(&street);
    let aside = street.ok(&["restore", "a"])["kept"][1].as_str().unwrap().to_owned();
    street.ok(&["restore", "a"]);
    street.ok(&["restore", "a"]);
    assert_eq!(rows_of(Path::new(&aside)), 1, "what is nowhere else outlives those that came later");
    street.no(&["remove", "a"], "put aside and in no backup: dev.sqlite.before-restore-");
    let removed = street.ok(&["remove", "a", "--force"]);
    let kept = removed["kept"].as_array().unwrap();
    let left = kept.iter().map(|it| it.as_str().unwrap()).find(|it| it.contains(".left-")).unwrap();
    let moved = Path::new(left).join(".kapell").join(Path::new(&aside).file_name().unwrap());
    assert_eq!(rows_of(&moved), 1);
}

#[test]
fn a_backup_without_its_databases_is_none_of_them() {
    let street = street("");
    street.ok(&["create", "a"]);
    add_row(&street);
    let backup = street.ok(&["backup", "a"])["backups"][0]["path"].as_str().unwrap().to_owned();
    street.ok(&["restore", "a"]);
    let bundle = Path::new(&backup).join("databases.bundle");
    let whole = fs::read(&bundle).unwrap();
    fs::write(&bundle, "x").unwrap();
    // As it came back from a backup that is damaged now.
    street.no(&["remove", "a"], "not backed up: the database of dev");
    let listed = street.ok(&["backup", "a", "--list"]);
    assert!(listed.to_string().contains("databases.bundle (it is not as it was written"), "{listed:#}");
    fs::write(&bundle, whole).unwrap();
    street.ok(&["remove", "a"]);
}

#[test]
fn the_clock_decides_nothing_about_backups() {
    let street = street("backups = 2");
    street.ok(&["create", "a"]);
    for _ in 0..2 {
        let made = street.ok(&["backup", "a"]);
        let path = PathBuf::from(made["backups"][0]["path"].as_str().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        fs::rename(&path, path.with_file_name(format!("2999{}", &name[4..]))).unwrap();
    }
    add_row(&street);
    let made = street.ok(&["backup", "a"])["backups"][0].clone();
    assert!(Path::new(made["path"].as_str().unwrap()).is_dir());
    let all = street.ok(&["backup", "a", "--list"])["backups"].clone();
    assert_eq!((all.as_array().unwrap().len(), &all[0]["backup"]), (2, &made["backup"]), "{all:#}");
    assert_eq!(street.ok(&["restore", "a"])["backups"][0]["backup"], made["backup"]);
}

#[test]
fn a_newest_backup_that_cannot_be_read_is_not_passed_over() {
    let street = street("");
    street.ok(&["create", "a"]);
    let old = street.ok(&["backup", "a"])["backups"][0]["backup"].as_str().unwrap().to_owned();
    add_row(&street);
    let new = street.ok(&["backup", "a"])["backups"][0].clone();
    fs::write(Path::new(new["path"].as_str().unwrap()).join("manifest.json"), "{").unwrap();
    let no = street.no(&["restore", "a"], new["backup"].as_str().unwrap());
    assert!(hint(&no).contains(&format!("kapell env restore a {old}")), "{no:#}");
    assert_eq!(street.ok(&["restore", "a", &old, "--force"])["backups"][0]["backup"], old);
}

#[test]
fn what_a_worktree_had_is_named_when_it_goes() {
    let street = street("worktree = true");
    street.ok(&["create", "a"]);
    fs::write(street.folder("a").join("new.txt"), "mine\n").unwrap();
    let removed = street.ok(&["remove", "a", "--force"]);
    let kept: Vec<&str> = removed["kept"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(
        kept.iter().all(|name| !name.starts_with("refs/") || name.starts_with("refs/kapell/environments/a/"))
    );
    let mine = |name: &&&str| {
        let output = street.bench.command("/usr/bin/git").args(["show", &format!("{name}:new.txt")]).output();
        output.unwrap().stdout == b"mine\n"
    };
    assert_eq!(kept.iter().filter(mine).count(), 1, "{removed:#}");
}

#[test]
fn a_making_that_did_not_end_says_so() {
    let street = street("");
    street.bench.write("kapell.toml", "[environments]\nbase_port = 9000\ninit = [\"false\"]\n");
    street.bench.commit("an init that fails");
    street.no(&["create", "a"], "init ended with 1");
    let view = street.status("a");
    assert_eq!(view["state"], "creating", "{view:#}");
    assert!(view["problem"].as_str().unwrap().contains("kapell env create a goes on"), "{view:#}");
}

#[test]
fn a_submodule_follows_what_is_brought_in() {
    let street = street("");
    let part = street.bench.root.join("part");
    let git = |folder: &Path, args: &[&str]| {
        let mut command = street.bench.command("/usr/bin/git");
        let identity = ["-c", "user.name=P", "-c", "user.email=p@e", "-c", "protocol.file.allow=always"];
        let output = command.arg("-C").arg(folder).args(identity).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    let project = street.bench.project.to_path_buf();
    fs::create_dir(&part).unwrap();
    git(&part, &["init", "-q"]);
    git(&part, &["commit", "-q", "--allow-empty", "-m", "one"]);
    git(&project, &["submodule", "--quiet", "add", part.to_str().unwrap(), "vendor"]);
    street.bench.commit("a submodule");
    street.ok(&["create", "a"]);
    let folder = street.folder("a");
    git(&folder, &["submodule", "--quiet", "update", "--init"]);
    let bump = || {
        git(&project.join("vendor"), &["commit", "-q", "--allow-empty", "-m", "more"]);
        street.bench.commit("bump");
        git(&project.join("vendor"), &["rev-parse", "HEAD"])
    };
    let now = bump();
    street.ok(&["git", "a", "sync"]);
    assert_eq!(git(&folder.join("vendor"), &["rev-parse", "HEAD"]), now);
    assert_eq!(git(&folder, &["status", "--porcelain"]), "");

    // Where it cannot follow, that is told, and no commit takes it back.
    let modules = project.join(".git/modules/vendor");
    let now = bump();
    fs::rename(&modules, modules.with_file_name("elsewhere")).unwrap();
    let synced = street.ok(&["git", "a", "sync"]);
    assert!(message(&synced).contains("not at its commit: vendor"), "{synced:#}");
    fs::write(folder.join("f"), "f\n").unwrap();
    let committed = street.ok(&["git", "a", "commit", "add f"]);
    assert!(message(&committed).contains("not at its commit: vendor"), "{committed:#}");
    assert_eq!(git(&folder, &["rev-parse", "HEAD:vendor"]), now);
    street.no(&["git", "a", "commit", "again"], "nothing to commit");
}

#[test]
fn who_waits_for_a_service_is_told_that_it_is_not_well() {
    let street = Street::with("subs = [\"dev\"]\nlaunch_timeout_s = 1", &["sleep", "1000"]);
    street.ok(&["create", "a"]);
    // Its starter is killed while it waits.
    let mut command = street.bench.command(KAPELL);
    let mut first = command.args(["env", "launch", "a"]).spawn().unwrap();
    while street.status("a")["subs"][0]["state"] != "running" {}
    first.kill().unwrap();
    first.wait().unwrap();
    let error = street.no(&["launch", "a"], "ran already, and was not well within 1 s");
    assert!(hint(&error).contains("restart a dev"), "{error:#}");
    let status = street.status("a");
    assert_eq!(sub(&status, "dev")["state"], "running", "it is not stopped by who only waits: {status:#}");
}

#[test]
fn shallow_repositories_and_those_of_long_names_are_backed_up() {
    let street = street("");
    let root = street.bench.root.to_path_buf();
    let project = street.bench.project.to_path_buf();
    let git = |folder: &Path, args: &[&str]| {
        let mut command = street.bench.command("/usr/bin/git");
        let output = command
            .arg("-C")
            .arg(folder)
            .args(["-c", "user.name=P", "-c", "user.email=p@e"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    street.bench.write("more.txt", "more\n");
    street.bench.commit("more");
    let [shallow, long] = ["shallow", "long"].map(|name| root.join(name));
    let from = format!("file://{}", project.display());
    git(&root, &["clone", "-q", "--depth", "1", &from, shallow.to_str().unwrap()]);
    git(&root, &["init", "-q", "--object-format=sha256", "-b", "main", long.to_str().unwrap()]);
    fs::copy(project.join("kapell.toml"), long.join("kapell.toml")).unwrap();
    git(&long, &["add", "-A"]);
    git(&long, &["commit", "-q", "-m", "first"]);
    for (at, folder) in [&shallow, &long].into_iter().enumerate() {
        let name = format!("r{at}");
        let run = |words: &[&str]| {
            let mut command = street.bench.command(KAPELL);
            let output = command.arg("-C").arg(folder).arg("env").args(words).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{} {words:?}: {said}", folder.display());
        };
        run(&["create", &name]);
        let checkout =
            folder.with_file_name(format!("{}-{name}", folder.file_name().unwrap().to_str().unwrap()));
        fs::write(checkout.join("half.txt"), "half\n").unwrap();
        run(&["backup", &name]);
        fs::remove_dir_all(&checkout).unwrap();
        run(&["restore", &name]);
        assert_eq!(fs::read_to_string(checkout.join("half.txt")).unwrap(), "half\n");
        git(&checkout, &["fsck", "--connectivity-only"]);
        run(&["remove", &name, "--force"]);
    }
}

#[test]
fn pipes_and_links_in_a_checkout_stop_nobody() {
    let street = street("");
    street.ok(&["create", "a", "b"]);
    let folder = street.folder("a");
    let pipe = |name: &str| {
        let made = street.bench.command("mkfifo").arg(folder.join(name)).status().unwrap();
        assert!(made.success());
    };
    pipe(".gitattributes");
    fs::write(folder.join("server.py"), "changed\n").unwrap();
    for words in [&["status"][..], &["git", "a", "status"], &["export"]] {
        ends(&street, words);
    }
    fs::write(folder.join("new.txt"), "new\n").unwrap();
    ends(&street, &["git", "a", "commit", "x"]);
    for name in [".kapell/dev.log", ".kapell/dev.made", ".kapell/dev.pid", "launch.sh"] {
        let _ = fs::remove_file(folder.join(name));
        pipe(name);
        for words in [
            &["logs", "a", "dev"][..],
            &["create", "a"],
            &["launch", "a"],
            &["stop", "a"],
            &["reset", "a", "--force"],
            &["remove", "a"],
        ] {
            ends(&street, words);
        }
        let _ = fs::remove_file(folder.join(name));
        street.ok(&["create", "a"]);
    }
    pipe(".kapell/dev.log.x");
    street.no(&["launch", "a"], "a pipe or a device");
    fs::remove_file(folder.join(".kapell/dev.log.x")).unwrap();

    // A log is no way to the files of whoever reads it.
    let secret = street.bench.root.join("secret");
    fs::write(&secret, "token\n").unwrap();
    let log = folder.join(".kapell/dev.log");
    let _ = fs::remove_file(&log);
    symlink(&secret, &log).unwrap();
    let logs = street.run(&["logs", "a", "dev"]);
    assert!(!String::from_utf8_lossy(&logs.stdout).contains("token"));
}

#[test]
fn a_worktree_leaves_nothing_and_takes_no_branch_of_a_persons() {
    let street = street("worktree = true");
    street.ok(&["create", "a"]);
    let backed = street.ok(&["backup", "a"]);
    assert_eq!(backed["backups"][0]["left_out"].as_array().map_or(0, Vec::len), 0, "{backed:#}");
    street.bench.git(["branch", "feature/mine"]);
    street.ok(&["git", "a", "feature", "ours"]);
    street.ok(&["git", "a", "merge"]);
    assert_eq!(street.ok(&["git", "a", "clean"])["git"][0]["branches"], json!(["feature/ours"]));
    street.bench.git(["rev-parse", "feature/mine"]);
    let removed = street.ok(&["remove", "a"]);
    let kept = removed["kept"].as_array().unwrap();
    assert!(kept.iter().all(|it| it.as_str().unwrap().starts_with("refs/")), "{removed:#}");
}

#[test]
fn files_come_back_byte_for_byte() {
    let street = street("");
    street.bench.write(".gitattributes", "* text=auto\n*.crlf text eol=crlf\n");
    street.bench.write("x.crlf", "one\n");
    street.bench.commit("rules");
    street.ok(&["create", "a"]);
    let folder = street.folder("a");
    let files: [(&str, &[u8]); 3] =
        [("new.txt", b"one\r\ntwo\n"), ("x.crlf", b"one\r\ntwo\nthree\r\n"), ("two words", b"a\r\n")];
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    street.bench.command("chmod").arg("+x").arg(folder.join("new.txt")).status().unwrap();
    street.ok(&["backup", "a"]);
    for (name, _) in files {
        fs::remove_file(folder.join(name)).unwrap();
    }
    street.ok(&["restore", "a"]);
    for (name, bytes) in files {
        assert_eq!(fs::read(folder.join(name)).unwrap(), bytes, "{name}");
    }
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(folder.join("new.txt")).unwrap().permissions().mode() & 0o111, 0o111);
}

#[test]
fn small_care() {
    let street = street("");
    assert_eq!(street.run(&["maintain"]).status.code(), Some(0), "nothing is due where nothing is");
    street.ok(&["create", "a"]);
    // Whoever has other worktrees of the checkout is told before it goes.
    let other = street.bench.root.join("other");
    street.git_in("a", &["worktree", "add", "-q", other.to_str().unwrap(), "-b", "wtb"]);
    street.no(&["remove", "a"], "worktrees of its repository");
    street.git_in("a", &["worktree", "remove", other.to_str().unwrap()]);

    // A locked database is no reason to bring an old one back.
    let locked = rusqlite::Connection::open(street.folder("a").join(".kapell/dev.sqlite")).unwrap();
    locked.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = street.no(&["backup", "a"], "holds it locked");
    assert!(hint(&error).contains("wait until"), "{error:#}");
    drop(locked);

    // Whatever a person has in their configuration.
    street.git_in("a", &["config", "diff.noprefix", "true"]);
    street.git_in("a", &["config", "merge.verifySignatures", "true"]);
    fs::write(street.folder("a").join("server.py"), "x\n".repeat(700_000)).unwrap();
    let diff = street.ok(&["git", "a", "diff"]);
    let text = diff["git"][0]["diff"].as_str().unwrap();
    assert!(text.starts_with("diff --git a/server.py b/server.py\n") && text.ends_with("\n"), "{diff:.200}");
    assert!(message(&diff).contains("cut after"), "{}", message(&diff));
    street.git_in("a", &["checkout", "-q", "server.py"]);
    street.bench.write("main.txt", "main\n");
    street.bench.commit("main");
    fs::write(street.folder("a").join("own.txt"), "own\n").unwrap();
    street.ok(&["git", "a", "commit", "own"]);
    street.ok(&["git", "a", "sync"]);

    // What killed calls lent is taken back by the next.
    street.bench.git(["update-ref", "refs/kapell/lent/abc", "HEAD"]);
    street.git_in("a", &["update-ref", "refs/kapell/lent/abd", "HEAD"]);
    street.ok(&["git", "a", "push"]);
    assert_eq!(street.bench.git(["for-each-ref", "refs/kapell/lent"]), "");
    assert_eq!(street.git_in("a", &["for-each-ref", "refs/kapell/lent"]), "");
}
