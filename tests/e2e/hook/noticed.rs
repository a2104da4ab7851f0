//! What sessions are told after a command of what it did to the files of others.

use super::reach::hold;
use super::*;

/// What a session is told after a command.
fn after(bench: &Bench, session: &str, command: &str) -> String {
    ask(bench, &tool(bench, session, "PostToolUse", "Bash", json!({"command": command})))
}

/// What happens while a command runs.
type Act<'a> = &'a dyn Fn();

/// What a session is told after a command of which the words say nothing.
#[track_caller]
fn run(bench: &Bench, command: &str, act: Act<'_>) -> String {
    assert_eq!(ask(bench, &bash(bench, "b", command)), "", "{command}");
    act();
    after(bench, "b", command)
}

#[test]
fn what_a_command_takes_away_from_others_is_told_once() {
    let bench = Bench::new();
    for path in ["src/lib.txt", "new.txt"] {
        assert_eq!(ask(&bench, &edit(&bench, "a", path)), "");
        bench.write(path, "mine\n");
    }
    bench.write("held/x", "x\n");
    bench.write("held/y", "y\n");
    hold(&bench, &["held/", "never.txt"]);
    let path = |name: &str| bench.project.join(name);
    assert_eq!(run(&bench, "./none.sh", &|| {}), "");
    for (name, told) in [
        ("src/lib.txt", "src/lib.txt (held by claude-a)"),
        ("new.txt", "new.txt (held by claude-a)"),
        ("held/x", "held/x (held by me)"),
    ] {
        let said = run(&bench, "./takes.sh", &|| fs::rename(path(name), bench.root.join("taken")).unwrap());
        assert!(said.contains(told), "{name}: {said}");
        // Whoever comes later did not do it.
        bench.write("other.txt", name);
        assert_eq!(run(&bench, "./later.sh", &|| bench.write("another.txt", name)), "", "{name}");
    }
    let said = run(&bench, "./links.sh", &|| {
        fs::remove_file(path("held/y")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", path("held/y")).unwrap();
    });
    assert!(said.contains("held/y (held by me)"), "{said}");
}

#[test]
fn what_goes_of_a_glob_or_is_new_is_told() {
    for pattern in ["src/*.txt", "**/lib.txt", "s*/", "{src,lib}/lib.txt", "src/lib.txt", "src/", "src/**"] {
        let bench = Bench::new();
        // Git knows nothing of it.
        bench.write("src/new/lib.txt", "new\n");
        let held = if pattern == "src/*.txt" { vec![pattern, "src/new/"] } else { vec![pattern] };
        hold(&bench, &held);
        let path = |name: &str| bench.project.join(name);
        let acts: [(&str, Act<'_>, Act<'_>); 4] = [
            ("./in-place.sh", &|| bench.write("src/lib.txt", "b\n"), &|| {}),
            ("./moves.sh", &|| fs::rename(path("src"), path("zz")).unwrap(), &|| {
                fs::rename(path("zz"), path("src")).unwrap();
            }),
            (
                "./replaces.sh",
                &|| {
                    fs::rename(path("src/lib.txt"), bench.root.join("lib.txt")).unwrap();
                    fs::create_dir(path("src/lib.txt")).unwrap();
                },
                &|| {
                    fs::remove_dir(path("src/lib.txt")).unwrap();
                    fs::rename(bench.root.join("lib.txt"), path("src/lib.txt")).unwrap();
                },
            ),
            ("./removes.sh", &|| fs::remove_dir_all(path("src")).unwrap(), &|| {}),
        ];
        for (command, act, undo) in acts {
            let said = run(&bench, command, act);
            assert!(said.contains("src/lib.txt (held by me)"), "{pattern} {command}: {said}");
            undo();
        }
    }
    // A new folder that goes as a whole, and a new file.
    let bench = Bench::new();
    hold(&bench, &["lib/", "new.txt"]);
    for file in ["lib/d/e", "new.txt"] {
        bench.write(file, "new\n");
    }
    let said = run(&bench, "./all.sh", &|| {
        fs::remove_dir_all(bench.project.join("lib")).unwrap();
        fs::remove_file(bench.project.join("new.txt")).unwrap();
    });
    assert!(said.contains("lib/d/e (held by me)") && said.contains("new.txt (held by me)"), "{said}");
    // And what a commit takes away.
    let bench = Bench::new();
    hold(&bench, &["src/lib.txt"]);
    let said = run(&bench, "./commits.sh", &|| {
        bench.git(["rm", "-q", "-f", "src/lib.txt"]);
        bench.git(["commit", "-q", "-m", "gone"]);
    });
    assert!(said.contains("src/lib.txt (held by me)"), "{said}");
    // A folder that stands in the place of another with files of the same names, which are older.
    let bench = Bench::new();
    bench.write("other/lib.txt", "other\n");
    hold(&bench, &["src/"]);
    let said = run(&bench, "./swaps.sh", &|| {
        fs::rename(bench.project.join("src"), bench.root.join("src")).unwrap();
        fs::rename(bench.project.join("other"), bench.project.join("src")).unwrap();
    });
    assert!(said.contains("src/lib.txt (held by me)"), "{said}");
}

#[test]
fn what_a_command_did_not_do_is_not_told_of_it() {
    let bench = Bench::new();
    let path = |name: &str| bench.project.join(name);
    // One is not written yet, one will lie in a folder that is not there yet, one its holder removed and committed.
    for file in ["new.txt", "docs/x/y.md", "src/lib.txt"] {
        assert_eq!(ask(&bench, &edit(&bench, "a", file)), "");
    }
    hold(&bench, &["never/", "never/*.rs", "held/"]);
    bench.write("held/x", "x\n");
    bench.git(["rm", "-q", "src/lib.txt"]);
    bench.git(["commit", "-q", "-m", "gone"]);
    let other = bench.root.join("other");
    bench.git(["worktree", "add", "-q", "-b", "other", other.to_str().unwrap()]);
    let mut elsewhere = edit(&bench, "c", other.join("only.txt").to_str().unwrap());
    elsewhere["cwd"] = other.to_str().into();
    assert_eq!(ask(&bench, &elsewhere), "");
    fs::write(other.join("only.txt"), "c\n").unwrap();
    let said = run(&bench, "./builds.sh", &|| {
        for file in ["zz.txt", "target/x", "src/mine.txt", "docs/mine.md"] {
            bench.write(file, "b\n");
        }
        fs::rename(path("held"), path("aside")).unwrap();
        fs::rename(path("aside"), path("held")).unwrap();
    });
    assert_eq!(said, "");
}

#[test]
#[cfg(target_os = "linux")]
fn a_change_of_a_name_that_is_no_text_is_told() {
    use std::os::unix::ffi::OsStrExt as _;
    let bench = Bench::new();
    bench.write("dir/x", "x\n");
    hold(&bench, &["dir/"]);
    let file = bench.project.join("dir").join(std::ffi::OsStr::from_bytes(b"\xff.txt"));
    for act in [&|| fs::write(&file, "x").unwrap(), &|| fs::remove_file(&file).unwrap()] as [Act<'_>; 2] {
        let said = run(&bench, "./x.sh", act);
        assert!(said.contains("dir/\\xff.txt (held by me)"), "{said}");
    }
}

/// A session uses its tool of edits on a file, from asking to the end.
fn edits(bench: &Bench, session: &str, path: &str, content: &str) {
    assert_eq!(ask(bench, &edit(bench, session, path)), "");
    bench.write(path, content);
    let input = json!({"file_path": path});
    assert_eq!(ask(bench, &tool(bench, session, "PostToolUse", "Edit", input)), "");
}

#[test]
fn what_a_holder_did_itself_is_not_told_of_another_ones_command() {
    let bench = Bench::new();
    edits(&bench, "a", "src/lib.txt", "one\n");
    // A file that it holds, and one that it claims meanwhile.
    let said = run(&bench, "./tests.sh", &|| {
        edits(&bench, "a", "src/lib.txt", "two\n");
        edits(&bench, "a", "new.txt", "new\n");
    });
    assert_eq!(said, "");
    // By a command, whether that has ended or not.
    let said = run(&bench, "./tests.sh", &|| {
        assert_eq!(ask(&bench, &bash(&bench, "a", "./writes.sh")), "");
        bench.write("src/lib.txt", "three\n");
        fs::remove_file(bench.project.join("new.txt")).unwrap();
        assert_eq!(after(&bench, "a", "./writes.sh"), "");
    });
    assert_eq!(said, "");
    let said = run(&bench, "./tests.sh", &|| {
        assert_eq!(ask(&bench, &bash(&bench, "a", "./writes.sh")), "");
        bench.write("src/lib.txt", "four\n");
    });
    assert_eq!(said, "");
    assert_eq!(after(&bench, "a", "./writes.sh"), "");
    assert_eq!(run(&bench, "./tests.sh", &|| {}), "");
    assert!(!bench.events(None).iter().any(|(kind, _)| kind == "hook.touched"));
}

#[test]
fn what_a_command_does_beside_its_holders_tools_is_told_to_both() {
    let bench = Bench::new();
    edits(&bench, "a", "src/lib.txt", "one\n");
    let looks = |bench: &Bench| {
        assert_eq!(ask(bench, &bash(bench, "a", "ls")), "");
        assert_eq!(after(bench, "a", "ls"), "");
    };
    let acts: [(&str, Act<'_>); 3] = [
        ("before", &|| {
            bench.write("src/lib.txt", "by b\n");
            looks(&bench);
        }),
        ("after", &|| {
            edits(&bench, "a", "src/lib.txt", "two\n");
            looks(&bench);
            bench.write("src/lib.txt", "by b\n");
        }),
        ("gone", &|| {
            edits(&bench, "a", "src/lib.txt", "three\n");
            fs::remove_file(bench.project.join("src/lib.txt")).unwrap();
            looks(&bench);
        }),
    ];
    for (name, act) in acts {
        let said = run(&bench, "./script.sh", act);
        assert!(said.contains("src/lib.txt (held by claude-a) changed while this command"), "{name}: {said}");
        let told = ask(&bench, &edit(&bench, "a", "src/lib.txt"));
        assert!(
            told.contains("claude-b says: src/lib.txt changed while this command of mine ran"),
            "{name}: {told}"
        );
        assert_eq!(ask(&bench, &edit(&bench, "a", "src/lib.txt")), "", "{name}: once");
    }
}

#[test]
fn what_somebody_put_aside_for_a_moment_stays_held() {
    let bench = Bench::new();
    let edited = |moment: &str| {
        let input = json!({"file_path": "src/lib.txt", "old_string": "a", "new_string": "b"});
        ask(&bench, &tool(&bench, "a", moment, "Edit", input))
    };
    assert_eq!(edited("PreToolUse"), "");
    bench.write("src/lib.txt", "PRECIOUS\n");
    assert_eq!(edited("PostToolUse"), "");
    bench.git(["stash", "-q"]);
    assert_eq!(ask(&bench, &event(&bench, "a", "Stop")), "");
    bench.git(["stash", "pop", "-q"]);
    assert!(ask(&bench, &edit(&bench, "b", "src/lib.txt")).contains("held by claude-a"));
    let said = ask(&bench, &bash(&bench, "a", "ls"));
    assert!(said.contains("none of your tools did that"), "{said}");
    // Where nobody brings it back it is held no longer than that.
    bench.git(["checkout", "-q", "src/lib.txt"]);
    for held in [1, 0] {
        assert_eq!(ask(&bench, &event(&bench, "a", "Stop")), "");
        assert_eq!(holders(&bench).len(), held);
    }
}

#[test]
fn what_a_worker_may_have_done_in_a_shared_folder_is_told() {
    let bench = Bench::new();
    bench.configure("[project]\nisolation = \"shared\"\n");
    hold(&bench, &["README"]);
    let lines =
        [&bench.meet_line("here"), "write a.txt a", "write src/lib.txt stolen", "write README stolen"]
            .map(ToString::to_string);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let plan = bench.start(&crate::bench::Plan::new([crate::bench::task("a", &["a.txt"], &lines)]));
    let worker = bench.meet("here");
    for (moment, path) in [("PreToolUse", "src/lib.txt"), ("PreToolUse", "own.txt")] {
        let input = json!({"file_path": path, "old_string": "a", "new_string": "b"});
        assert_eq!(ask(&bench, &tool(&bench, "a", moment, "Edit", input.clone())), "");
        bench.write(path, "PRECIOUS\n");
        assert_eq!(ask(&bench, &tool(&bench, "a", "PostToolUse", "Edit", input)), "");
    }
    worker.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let told: Vec<String> =
        bench.events(None).into_iter().filter(|(kind, _)| kind == "attempt.beside").map(|it| it.1).collect();
    let parts = [
        "src/lib.txt (held by claude-a)",
        "README (held by me)",
        " changed while task a ran in the same folder",
    ];
    assert!(told.len() == 1 && parts.iter().all(|part| told[0].contains(part)), "{told:?}");
    let said = ask(&bench, &bash(&bench, "a", "ls"));
    assert!(said.contains("src/lib.txt changed while my task a ran in this folder"), "{said}");
}
