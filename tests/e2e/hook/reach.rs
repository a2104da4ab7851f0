//! How far a session reaches: into folders that are not there yet, through links, and into other projects.

use super::*;

/// Somebody claims them who needs no process for it.
pub(super) fn hold(bench: &Bench, paths: &[&str]) {
    let output =
        bench.command(KAPELL).arg("claim-files").args(paths).args(["--holder", "me"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_path_that_is_not_there_is_no_file_where_others_hold_what_is_to_lie_in_it() {
    let bench = Bench::new();
    hold(&bench, &["lib/"]);
    for path in ["pkg/mod.rs", "deep/er/x"] {
        assert_eq!(ask(&bench, &edit(&bench, "c", path)), "");
    }
    for (asked, held) in
        [("lib", "lib/"), ("pkg", "pkg/mod.rs"), ("Pkg", "pkg/mod.rs"), ("deep", "deep/er/x")]
    {
        for event in [edit(&bench, "d", asked), bash(&bench, "d", &format!("rm -rf {asked}"))] {
            let reason = ask(&bench, &event);
            assert!(reason.contains(" is held by ") && reason.contains(held), "{asked}: {reason}");
        }
    }
    // What is a file for all that is known holds nothing else back.
    let bench = Bench::new();
    hold(&bench, &["**/*.toml"]);
    assert_eq!(ask(&bench, &edit(&bench, "d", "new")), "");
}

#[test]
fn a_folder_that_is_not_there_is_not_granted_around_what_a_glob_may_own_in_it() {
    for glob in ["**/*.proto", "*/x.proto", "l[ab]b/x.proto", "{lab,lib}/x.proto", "l?b/**"] {
        let bench = Bench::new();
        fs::create_dir(bench.project.join("made")).unwrap();
        hold(&bench, &[glob]);
        // Of these a folder may come.
        for command in ["rm -rf lab", "mv made lab", "cp -r made lab", "echo x > lab; rm -r lab"] {
            let reason = ask(&bench, &bash(&bench, "d", command));
            assert!(
                reason.starts_with("kapell: lab/") && reason.contains("held by me"),
                "{command}: {reason}"
            );
        }
        // Of these comes a file, and of the last nothing.
        let commands = ["echo x > lab.txt", "cp README new.txt", "mv new.txt newer.txt", "rm -f none.txt"];
        for command in commands {
            assert_eq!(ask(&bench, &bash(&bench, "d", command)), "", "{glob}: {command}");
        }
        assert_eq!(ask(&bench, &edit(&bench, "d", "src/new.rs")), "", "{glob}");
    }
}

#[test]
fn what_was_granted_as_a_file_takes_nothing_of_others_away_when_it_is_a_folder() {
    let bench = Bench::new();
    bench.write("foo", "a file\n");
    hold(&bench, &["**/*.proto"]);
    // Both are files for all that is known.
    for path in ["gen", "foo"] {
        assert_eq!(ask(&bench, &edit(&bench, "d", path)), "");
    }
    assert_eq!(ask(&bench, &edit(&bench, "c", "foo/x")), "");
    fs::remove_file(bench.project.join("foo")).unwrap();
    bench.write("foo/x", "c\n");
    bench.write("gen/x.proto", "me\n");
    for (command, held) in [
        ("rm -rf gen", "gen/"),
        ("rm -r gen/", "gen/"),
        ("mv gen ../zz", "gen/"),
        ("rm -rf foo", "foo/"),
        ("mv foo ../zz", "foo/"),
    ] {
        let reason = ask(&bench, &bash(&bench, "d", command));
        let told = reason.starts_with(&format!("kapell: {held}")) && reason.contains(" is held by ");
        assert!(told, "{command}: {reason}");
    }
    // What nobody else holds anything of stays one's own, folder or not.
    let bench = Bench::new();
    hold(&bench, &["src/*.proto"]);
    assert_eq!(ask(&bench, &edit(&bench, "d", "gen")), "");
    bench.write("gen/x", "d\n");
    assert_eq!(ask(&bench, &bash(&bench, "d", "rm -rf gen")), "");
}

#[test]
fn a_link_that_leads_nowhere_yet_is_held_with_what_it_makes() {
    let bench = Bench::new();
    for (goal, link) in [("nowhere", "dang"), ("dang", "dang2"), ("round", "round")] {
        std::os::unix::fs::symlink(goal, bench.project.join(link)).unwrap();
    }
    assert_eq!(ask(&bench, &edit(&bench, "a", "dang")), "");
    for path in ["nowhere", "dang2", "dang"] {
        for event in [edit(&bench, "b", path), bash(&bench, "b", &format!("echo x > {path}"))] {
            assert!(ask(&bench, &event).contains("held by claude-a"), "{path}");
        }
    }
    assert_eq!(ask(&bench, &edit(&bench, "b", "round")), "");
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_are_no_text_are_held_too() {
    use std::os::unix::ffi::OsStrExt as _;
    let bench = Bench::new();
    let folder = bench.project.join("dir");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(std::ffi::OsStr::from_bytes(b"\xff.txt")), "x").unwrap();
    hold(&bench, &["dir/"]);
    for command in ["rm dir/*", "sed -i s/a/b/ dir/*.txt", "for f in dir/?.txt; do rm \"$f\"; done"] {
        let reason = ask(&bench, &bash(&bench, "b", command));
        assert!(reason.starts_with("kapell: dir/") && reason.contains("held by me"), "{command}: {reason}");
    }
    // Where nobody holds it, it is claimed as any other, and asked for again.
    let bench = Bench::new();
    let name = std::ffi::OsStr::from_bytes(b"\xfe.txt");
    fs::write(bench.project.join(name), "x").unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&bench, &bash(&bench, "a", "rm *.txt")), "");
    }
    assert!(ask(&bench, &bash(&bench, "b", "rm *.txt")).contains("held by claude-a"));
    assert_eq!(holders(&bench), ["agent claude-a ?.txt"]);
}

#[test]
fn a_file_that_became_a_folder_gives_nothing_that_others_hold() {
    let bench = Bench::new();
    bench.write("thing", "a file\n");
    assert_eq!(ask(&bench, &edit(&bench, "a", "thing")), "");
    // Nothing lies below a file, so the other may have it.
    hold(&bench, &["thing/x"]);
    fs::remove_file(bench.project.join("thing")).unwrap();
    fs::create_dir(bench.project.join("thing")).unwrap();
    assert_eq!(ask(&bench, &edit(&bench, "a", "thing/y")), "");
    let reason = ask(&bench, &edit(&bench, "a", "thing/x"));
    assert!(reason.starts_with("kapell: thing/x is held by me"), "{reason}");
}

#[test]
fn a_file_is_held_in_its_own_project_whoever_comes_from_where() {
    let bench = Bench::new();
    let nested = bench.project.join("nested");
    let make = |folder: &Path| {
        fs::create_dir_all(folder).unwrap();
        let made = bench.command("/usr/bin/git").args(["init", "-q"]).arg(folder).status().unwrap();
        assert!(made.success());
    };
    make(&nested);
    let other = bench.root.join("other");
    make(&other);
    hold(&bench, &["src/lib.txt"]);
    for folder in [&nested, &other] {
        let mut claim = bench.command(KAPELL);
        claim.args(["claim-files", "a.rs", "--holder", "me"]).current_dir(folder);
        assert!(claim.output().unwrap().status.success());
    }
    let from = |cwd: &Path, path: &Path| {
        let mut event = edit(&bench, "s", path.to_str().unwrap());
        event["cwd"] = cwd.to_str().into();
        ask(&bench, &event)
    };
    for (cwd, file) in [
        (&*bench.root, bench.project.join("src/lib.txt")),
        (&other, bench.project.join("src/lib.txt")),
        (&bench.project, other.join("a.rs")),
        (&bench.project, nested.join("a.rs")),
        (&*bench.root, nested.join("a.rs")),
    ] {
        let reason = from(cwd, &file);
        assert!(reason.contains(" is held by me"), "{} from {}: {reason}", file.display(), cwd.display());
    }
    // What is free is claimed there, and let go of at the end of the turn as anywhere.
    let free = other.join("b.rs");
    assert_eq!(from(&bench.project, &free), "");
    let claims = || {
        let mut status = bench.command(KAPELL);
        let output = status.args(["status", "--scope", "claims", "--json"]).current_dir(&other).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert!(claims().contains("b.rs"), "{}", claims());
    assert_eq!(ask(&bench, &event(&bench, "s", "Stop")), "");
    assert!(!claims().contains("b.rs"), "{}", claims());
}

#[test]
fn half_a_character_opens_nothing() {
    let bench = Bench::new();
    hold(&bench, &["src/lib.txt"]);
    let path = json!(bench.project.join("src/lib.txt"));
    let input = format!(r#"{{"file_path":{path},"content":"\ud83d"}}"#);
    for (moment, input, tool) in [
        ("PreToolUse", input.as_str(), "Write"),
        ("PreToolUse", r#"{"command":"echo \udc00 > src/lib.txt"}"#, "Bash"),
        ("PostToolUse", input.as_str(), "Write"),
    ] {
        let event = format!(
            r#"{{"session_id":"s","hook_event_name":"{moment}","cwd":{},"tool_name":"{tool}","tool_input":{input}}}"#,
            json!(bench.project)
        );
        let said = answer_of(bench.command(KAPELL).args(["hook", "claude"]), event.as_bytes());
        assert!(said.contains("src/lib.txt is held by me"), "{moment} {tool}: {said}");
    }
}

#[test]
#[cfg(unix)]
fn what_is_done_to_a_link_is_not_done_to_what_it_leads_to() {
    let bench = Bench::new();
    let path = |name: &str| bench.project.join(name);
    let link = |goal: &str, at: &str| std::os::unix::fs::symlink(goal, path(at)).unwrap();
    bench.write("other/x", "x\n");
    assert_eq!(ask(&bench, &edit(&bench, "a", "src/lib.txt")), "");
    let post =
        |command: &str| ask(&bench, &tool(&bench, "b", "PostToolUse", "Bash", json!({"command": command})));
    for (command, goal, at) in [
        ("ln -s ../src/lib.txt other/link", "../src/lib.txt", "other/link"),
        ("ln -sf ../src/lib.txt other/link", "../src/lib.txt", "other/link"),
        ("cp -a other/link other/second", "../src/lib.txt", "other/second"),
        ("ln -s src current", "src", "current"),
    ] {
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
        let _ = fs::remove_file(path(at));
        link(goal, at);
        assert_eq!(post(command), "", "{command}");
    }
    for command in ["mv other/link other/third", "rm other/second", "rm -rf current", "unlink other/third"] {
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
        match command.strip_prefix("mv ") {
            Some(_) => fs::rename(path("other/link"), path("other/third")).unwrap(),
            None => fs::remove_file(path(command.rsplit(' ').next().unwrap())).unwrap(),
        }
        assert_eq!(post(command), "", "{command}");
    }
    assert_eq!(fs::read_to_string(path("src/lib.txt")).unwrap(), "one\n");
    let held = holders(&bench);
    assert!(held.contains(&"agent claude-a src/lib.txt".to_owned()), "{held:?}");
    assert!(held.iter().all(|claim| !claim.contains("claude-b src/")), "{held:?}");
    assert!(!bench.events(None).iter().any(|(kind, _)| kind == "hook.missed"));
    // With a slash at its end it is what it leads to.
    link("src", "current");
    for command in ["rm -rf current/", "rm -r ./current/", "rm -rf current//"] {
        assert!(ask(&bench, &bash(&bench, "b", command)).contains("held by claude-a"), "{command}");
    }
    assert_eq!(ask(&bench, &bash(&bench, "b", "ln -sfn other current")), "");
    assert!(holders(&bench).contains(&"agent claude-b current".to_owned()), "{:?}", holders(&bench));
    // Who writes through one writes what it leads to.
    link("../src/lib.txt", "other/link");
    for command in ["echo x > other/link", "ln other/link hard", "cp other/x other/link"] {
        assert!(ask(&bench, &bash(&bench, "b", command)).contains("held by claude-a"), "{command}");
    }
}
