//! Environments and what is a person's: nothing is done in a folder that is not theirs, and nothing that
//! somebody made goes without being named and kept.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::environments::Street;

fn street() -> Street {
    Street::new("subs = [\"dev\"]")
}

/// What is kept, as `remove`, `restore` and `reset` tell it.
fn kept(answer: &Value) -> Vec<String> {
    answer["kept"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

fn database(street: &Street, name: &str) -> std::path::PathBuf {
    street.folder(name).join(".kapell/dev.sqlite")
}

/// Adds rows to the database of an environment.
#[track_caller]
fn add_rows(street: &Street, name: &str, count: u32) {
    let rows = rusqlite::Connection::open(database(street, name)).unwrap();
    for _ in 0..count {
        rows.execute("INSERT INTO visits VALUES (1)", []).unwrap();
    }
}

#[track_caller]
fn rows_of(path: &Path) -> u32 {
    let rows = rusqlite::Connection::open(path).unwrap();
    rows.query_row("SELECT count(*) FROM visits", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_folder_that_is_not_its_checkout_is_left_alone() {
    let street = street();
    street.ok(&["create", "a", "b", "c"]);
    let project = street.bench.project.clone();
    let verbs: [&[&str]; 8] = [
        &["git", "a", "commit", "x"],
        &["git", "a", "feature", "x"],
        &["git", "a", "reset"],
        &["git", "a", "sync"],
        &["backup", "a"],
        &["reset", "a", "--force"],
        &["remove", "a", "--force"],
        &["create", "a"],
    ];
    let head = street.bench.git(["rev-parse", "HEAD"]);
    let spoilt = |how: &str| {
        let folder = street.folder("a");
        match fs::symlink_metadata(&folder) {
            Ok(it) if !it.is_dir() => fs::remove_file(&folder).unwrap(),
            Ok(_) => fs::remove_dir_all(&folder).unwrap(),
            Err(_) => {}
        }
        match how {
            "a link" => symlink(&project, &folder).unwrap(),
            "plain" => fs::create_dir(&folder).unwrap(),
            "a file" => fs::write(&folder, "x").unwrap(),
            "other" => {
                let from = street.folder("b");
                let copied = street.bench.command("/bin/cp").arg("-r").arg(from).arg(&folder).status();
                assert!(copied.unwrap().success());
            }
            _ => {
                street.bench.git(["clone", "--quiet", ".", folder.to_str().unwrap()]);
            }
        }
    };
    for how in ["a link", "plain", "a file", "other", "a clone"] {
        // The folder above them all is a repository too, as of somebody's dot-files.
        let above = street.bench.root.join(".git");
        if how == "plain" {
            let mut made = street.bench.command("/usr/bin/git");
            made.args(["init", "-q"]).current_dir(&*street.bench.root);
            assert!(made.status().unwrap().success());
        }
        street.bench.write("edited.txt", "not committed\n");
        spoilt(how);
        for words in verbs {
            let (error, code) = street.refused(words);
            assert!(code == 1 || code == 3, "{how} {words:?}: {error:#}");
            let message = error["message"].as_str().unwrap();
            let is_told = message.contains("not the checkout") || message.contains("there already");
            assert!(is_told || (how == "a file" && message.contains("gone")), "{how} {words:?}: {error:#}");
        }
        assert_eq!(street.status("a")["state"], if how == "a file" { "missing" } else { "broken" }, "{how}");
        assert_eq!(street.bench.git(["rev-parse", "HEAD"]), head);
        assert_eq!(street.bench.git(["status", "--porcelain"]), "?? edited.txt", "{how}");
        if above.exists() {
            assert!(!above.join("refs/heads/feature").exists() && !above.join("logs").exists());
            fs::remove_dir_all(&above).unwrap();
        }
    }
    // Moved away, it is made again.
    fs::rename(street.folder("a"), street.folder("other")).unwrap();
    street.ok(&["create", "a"]);
    street.ok(&["remove", "a"]);
}

#[test]
fn what_lies_in_the_place_of_a_new_one_is_not_taken_for_it() {
    for more in ["subs = [\"dev\"]", "subs = [\"dev\"]\nworktree = true"] {
        let street = Street::new(more);
        let folder = street.folder("mine");
        street.bench.git(["worktree", "add", "-q", "-b", "mine", folder.to_str().unwrap()]);
        fs::write(folder.join("ignored.txt"), "mine").unwrap();
        for _ in 0..2 {
            street.no(&["create", "mine"], "is there already");
        }
        // Nothing is recorded, so there is nothing to remove.
        let (error, code) = street.refused(&["remove", "mine", "--force"]);
        assert!(code == 3, "{error:#}");
        assert_eq!(fs::read_to_string(folder.join("ignored.txt")).unwrap(), "mine");
        // The others of the same call are made.
        let made = street.ok_or_not(&["create", "mine", "x"]);
        assert_eq!(made["environments"][0]["name"], "x", "{made:#}");
        assert_eq!(made["failed"][0]["name"], "mine", "{made:#}");
    }
}

#[test]
fn no_name_makes_a_file_elsewhere() {
    let street = street();
    let root = street.bench.root.as_path().to_owned();
    for verb in ["remove", "reset", "restore"] {
        for name in
            ["../../../evil", "../../../../evil", root.join("evil").to_str().unwrap(), "a/", "..", "a.lock"]
        {
            let (error, code) = street.refused(&[verb, name]);
            assert_eq!((code, &error["data"]["kind"]), (3, &json!("not-found")), "{verb} {name}: {error:#}");
        }
    }
    let locks = walkdir(&root).into_iter().filter(|path| path.to_string_lossy().ends_with(".lock"));
    let locks: Vec<_> = locks.filter(|path| path.file_name().is_some_and(|it| it != "index.lock")).collect();
    assert!(locks.iter().all(|path| path.starts_with(street.bench.state())), "{locks:?}");
    assert!(!locks.iter().any(|path| path.to_string_lossy().contains("evil")), "{locks:?}");
}

/// All files below a folder.
fn walkdir(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(walkdir(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

#[test]
fn nothing_that_git_was_told_to_hide_goes_unseen() {
    let street = street();
    street.bench.write("kept.txt", "1\n");
    street.bench.write("also.txt", "1\n");
    street.bench.write(".gitignore", "*.ign\nnode_modules/\n");
    street.bench.commit("files");
    street.ok(&["create", "a"]);
    let folder = street.folder("a");
    street.git_in("a", &["config", "status.showUntrackedFiles", "no"]);
    fs::write(folder.join("notes.txt"), "precious\n").unwrap();
    for (file, bit) in [("kept.txt", "--skip-worktree"), ("also.txt", "--assume-unchanged")] {
        fs::write(folder.join(file), "edited\n").unwrap();
        street.git_in("a", &["update-index", bit, file]);
    }
    fs::write(folder.join("my.ign"), "ignored\n").unwrap();
    fs::create_dir(folder.join("node_modules")).unwrap();
    fs::write(folder.join("node_modules/x"), "made\n").unwrap();
    fs::write(
        folder.join(".env.local"),
        format!("TOKEN=1\n{}", fs::read_to_string(folder.join(".env.local")).unwrap()),
    )
    .unwrap();
    add_rows(&street, "a", 2);
    let git = street.ok(&["git", "a", "status"]);
    assert_eq!(git["git"][0]["files"].as_array().unwrap().len(), 3, "{git:#}");
    let error = street.no(&["remove", "a"], "would be lost");
    let losses = error["data"]["losses"].to_string();
    for expected in ["notes.txt", "kept.txt", "also.txt", "my.ign", ".env.local", "the database of dev"] {
        assert!(losses.contains(expected), "{expected}: {losses}");
    }
    assert!(!losses.contains("node_modules") && !losses.contains("launch.sh"), "{losses}");

    let removed = kept(&street.ok(&["remove", "a", "--force"]));
    let files = removed.iter().find(|it| it.ends_with("-removed")).unwrap();
    for (file, text) in [("notes.txt", "precious"), ("kept.txt", "edited"), ("also.txt", "edited")] {
        assert_eq!(street.bench.git(["show", &format!("{files}:{file}")]), text);
    }
    let aside = Path::new(removed.last().unwrap());
    assert_eq!(fs::read_to_string(aside.join("my.ign")).unwrap(), "ignored\n");
    assert!(fs::read_to_string(aside.join(".env.local")).unwrap().starts_with("TOKEN=1\n"));
    assert_eq!(rows_of(&aside.join(".kapell/dev.sqlite")), 2);
    assert!(!aside.join("node_modules").exists() && !folder.exists());
}

#[test]
fn every_commit_is_counted_and_kept() {
    let street = street();
    street.ok(&["create", "a", "b"]);
    let commit = |message: &str| {
        street.git_in("a", &["commit", "-q", "--allow-empty", "-m", message]);
        street.git_in("a", &["rev-parse", "HEAD"])
    };
    street.git_in("a", &["checkout", "-q", "--detach"]);
    let tagged = commit("tagged");
    street.git_in("a", &["tag", "keepme"]);
    street.git_in("a", &["checkout", "-q", "env/a"]);
    street.no(&["remove", "a"], "not pushed: 1 commit");
    street.git_in("a", &["checkout", "-q", "--detach"]);
    let lost = commit("on no branch");
    street.git_in("a", &["checkout", "-q", "env/a"]);
    let mut stashed = Vec::new();
    for text in ["one", "two"] {
        fs::write(street.folder("a").join("server.py"), text).unwrap();
        street.git_in("a", &["stash", "-q"]);
        stashed.push(street.git_in("a", &["rev-parse", "stash"]));
    }
    // A repository inside of it, which git cannot keep.
    let nested = street.folder("a").join("nest");
    street.git_in("a", &["init", "-q", "nest"]);
    fs::write(nested.join("x"), "nested\n").unwrap();
    let backup = street.ok(&["backup", "a"]);
    assert!(backup["backups"][0]["left_out"][0].as_str().unwrap().starts_with("nest ("), "{backup:#}");
    let removed = kept(&street.ok(&["remove", "a", "--force"]));
    for oid in stashed.iter().chain([&tagged, &lost]) {
        let held = street.bench.git(["for-each-ref", "--contains", oid, "refs/kapell/environments/"]);
        assert!(!held.is_empty(), "{oid}: {removed:?}");
    }
    let aside = Path::new(removed.last().unwrap());
    assert_eq!(fs::read_to_string(aside.join("nest/x")).unwrap(), "nested\n");
    street.ok(&["remove", "b"]);
}

#[test]
fn a_removal_that_fails_can_be_taken_back() {
    let street = street();
    street.ok(&["create", "a"]);
    fs::write(street.folder("a").join("x.txt"), "x").unwrap();
    let mut command = street.bench.command(crate::bench::KAPELL);
    command.args(["env", "remove", "a", "--force"]).env("KAPELL_FAILPOINT", "environment.kept:enospc");
    assert!(!command.output().unwrap().status.success());
    assert_eq!(street.status("a")["state"], "ready");
    street.no(&["remove", "a"], "x.txt");
    street.ok(&["create", "a"]);
}

#[test]
fn a_file_of_variables_stays_a_persons() {
    let street = street();
    street.ok(&["create", "a", "b"]);
    let path = street.folder("a").join(".env.local");
    let ours = fs::read_to_string(&path).unwrap();
    for theirs in [&b"SECRET=abc\nNAME=M\xfcller\n"[..], b"A=1\r\n"] {
        fs::write(&path, [theirs, ours.as_bytes()].concat()).unwrap();
        street.ok(&["create", "a"]);
        assert_eq!(fs::read(&path).unwrap(), [theirs, ours.as_bytes()].concat());
    }
    // One that others share is not written through.
    let shared = street.bench.root.join("shared.env");
    fs::write(&shared, "TOKEN=1\n").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&shared, &path).unwrap();
    street.no(&["create", "a"], "symbolic link");
    assert_eq!(fs::read_to_string(&shared).unwrap(), "TOKEN=1\n");
    // What was before in its folder leads nowhere either.
    let log = street.folder("b").join(".kapell/dev.log");
    let outside = street.bench.root.join("outside");
    fs::write(&outside, "outside\n").unwrap();
    fs::remove_file(&log).unwrap();
    symlink(&outside, &log).unwrap();
    for words in [&["create", "b"][..], &["launch", "b"], &["backup", "b"], &["reset", "b", "--force"]] {
        street.no(words, "symbolic link");
    }
    assert_eq!(fs::read_to_string(&outside).unwrap(), "outside\n");
}

#[test]
fn the_own_folder_leads_nowhere_else() {
    let street = street();
    let outside = street.bench.root.join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, street.bench.project.join(".kapell")).unwrap();
    street.bench.git(["add", "-f", ".kapell"]);
    street.bench.commit("a link");
    street.no(&["create", "a"], "symbolic link");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn databases_that_are_done_over_stay() {
    let street = street();
    street.ok(&["create", "a"]);
    street.ok(&["backup", "a"]);
    add_rows(&street, "a", 4);
    street.no(&["reset", "a"], "the database of dev");
    let first = kept(&street.ok(&["restore", "a"]));
    assert_eq!(rows_of(Path::new(&first[1])), 4);
    let second = kept(&street.ok(&["restore", "a"]));
    assert_eq!((rows_of(Path::new(&first[1])), rows_of(Path::new(&second[1]))), (4, 0));
    // What a backup has needs no telling.
    add_rows(&street, "a", 1);
    street.ok(&["backup", "a"]);
    let reset = kept(&street.ok(&["reset", "a"]));
    assert_eq!((rows_of(Path::new(&reset[1])), rows_of(&database(&street, "a"))), (1, 0));

    // One that is gone, or emptied, is told, and takes no good backup's place.
    for spoil in ["gone", "emptied"] {
        match spoil {
            "gone" => fs::remove_file(database(&street, "a")).unwrap(),
            _ => fs::write(database(&street, "a"), "").unwrap(),
        }
        street.no(&["backup", "a"], spoil);
        let output = street.run(&["monitor", "a"]);
        let bad: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{bad:#}");
        let reason = bad["environments"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(spoil) && reason.contains("kapell env restore a"), "{reason}");
        street.ok(&["restore", "a"]);
    }
    let busy = rusqlite::Connection::open(database(&street, "a")).unwrap();
    busy.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let busy = street.ok(&["monitor", "a"]);
    assert_eq!(busy["environments"][0]["verdict"], "attention", "{busy:#}");
    assert!(busy["environments"][0]["reason"].as_str().unwrap().contains("in use"), "{busy:#}");
}

#[test]
fn worktrees_hide_nothing_in_the_project() {
    let street = Street::new("subs = [\"dev\"]\nworktree = true");
    let exclude = street.bench.project.join(".git/info/exclude");
    let before = fs::read_to_string(&exclude).unwrap_or_default();
    let made = street.ok(&["create", "a"]);
    assert_eq!(made["environments"][0]["dirty"], false, "{made:#}");
    assert_eq!(fs::read_to_string(&exclude).unwrap_or_default(), before);
    street.bench.write("launch.sh", "mine\n");
    assert_eq!(street.bench.git(["status", "--porcelain"]), "?? launch.sh");
    let script =
        street.bench.command(street.folder("a").join(".kapell/status.sh")).arg("--json").output().unwrap();
    assert!(script.status.success(), "{}", String::from_utf8_lossy(&script.stderr));
    // Lines that an earlier Kapell wrote go with the last.
    fs::create_dir_all(exclude.parent().unwrap()).unwrap();
    fs::write(&exclude, "*.mine\n# kapell env:\n/launch.sh\n/.kapell\n").unwrap();
    street.ok(&["remove", "a"]);
    assert_eq!(fs::read_to_string(&exclude).unwrap(), "*.mine\n");
}

#[test]
fn what_a_submodule_has_is_kept() {
    let street = street();
    let part = street.bench.root.join("part");
    let git = |args: &[&str]| {
        let mut command = street.bench.command("/usr/bin/git");
        let identity = ["-c", "user.name=P", "-c", "user.email=p@e", "-c", "protocol.file.allow=always"];
        let output = command.current_dir(&*street.bench.root).args(identity).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    let part = part.to_str().unwrap();
    git(&["init", "-q", part]);
    git(&["-C", part, "commit", "-q", "--allow-empty", "-m", "part"]);
    let project = street.bench.project.to_str().unwrap().to_owned();
    git(&["-C", &project, "submodule", "--quiet", "add", part, "part"]);
    git(&["-C", &project, "config", "-f", ".gitmodules", "submodule.part.ignore", "all"]);
    street.bench.commit("a submodule");
    street.ok(&["create", "a", "b"]);
    let inside = |name: &str| street.folder(name).join("part").to_str().unwrap().to_owned();
    for name in ["a", "b"] {
        git(&["-C", street.folder(name).to_str().unwrap(), "submodule", "--quiet", "update", "--init"]);
    }
    git(&["-C", &inside("a"), "commit", "-q", "--allow-empty", "-m", "only here"]);
    let oid = git(&["-C", &inside("a"), "rev-parse", "HEAD"]);
    street.no(&["remove", "a"], "not committed: part");
    let removed = kept(&street.ok(&["remove", "a", "--force"]));
    assert!(removed.iter().any(|it| it.contains("/modules/")), "{removed:?}");
    assert_eq!(git(&["-C", &project, "cat-file", "-t", &oid]), "commit");
    // One that has nothing of its own is no loss.
    street.ok(&["remove", "b"]);
}
