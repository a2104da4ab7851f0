//! What sessions leave that vanished, where no commit can have it.

use std::fs;

use serde_json::Value;

use super::{ask, bash, edit, event, holders};
use crate::bench::{AGENT, Bench, KAPELL};

/// A session that claimed these files for its edits and vanished.
fn vanished(bench: &Bench, session: &str, paths: &[&str]) {
    vanished_after(bench, &paths.iter().map(|path| edit(bench, session, path)).collect::<Vec<_>>());
}

/// A session that was about to do this and vanished.
fn vanished_after(bench: &Bench, events: &[Value]) {
    let lines: Vec<String> = events
        .iter()
        .enumerate()
        .map(|(at, event)| {
            let file = bench.root.join(format!("event-{at}.json"));
            fs::write(&file, event.to_string()).unwrap();
            format!("run sh -c '\"{KAPELL}\" hook claude < {} ; true'", file.display())
        })
        .collect();
    assert!(bench.command(AGENT).arg("do").args(lines).status().unwrap().success());
}

fn left(bench: &Bench) -> Vec<String> {
    let told = bench.events(None).into_iter().filter(|(kind, _)| kind == "claim.left");
    told.map(|(_, text)| text).collect()
}

#[test]
fn what_git_ignores_is_kept_as_a_copy() {
    let bench = Bench::new();
    bench.write(".gitignore", ".env\nbuild/\n");
    bench.write(".env", "KEY=old\n");
    bench.write("build/other", "of somebody else\n");
    bench.git(["add", ".gitignore"]);
    bench.git(["commit", "-q", "-m", "ignored"]);
    vanished(&bench, "gone", &[".env", "build/made"]);
    bench.write(".env", "KEY=new\n");
    bench.write("build/made", "made\n");
    for path in [".env", "build/made"] {
        assert_eq!(ask(&bench, &edit(&bench, "b", path)), "");
    }
    assert_eq!(holders(&bench), ["agent claude-b .env", "agent claude-b build/made"]);
    bench.write(".env", "KEY=by b\n");
    let left = left(&bench);
    assert_eq!(left.len(), 2, "{left:?}");
    for (told, path, content) in [(&left[0], ".env", "KEY=new\n"), (&left[1], "build/made", "made\n")] {
        let (_, folder) = told.split_once("is kept in ").unwrap();
        let folder = folder.strip_suffix(" as far as git ignores it").unwrap();
        assert!(told.starts_with(&format!("claude-gone is gone; what it left in {path} ")), "{told}");
        assert_eq!(fs::read_to_string(format!("{folder}/{path}")).unwrap(), content);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "{folder}");
    }
    // A copy of what git ignores is in no object that somebody may push.
    assert_eq!(bench.git(["for-each-ref", "refs/kapell/left"]), "");
}

#[test]
fn an_ignored_file_that_is_as_it_was_is_not_kept() {
    let bench = Bench::new();
    bench.write(".gitignore", ".env\n");
    bench.write(".env", "KEY=old\n");
    vanished(&bench, "gone", &[".env"]);
    assert_eq!(ask(&bench, &edit(&bench, "b", ".env")), "");
    assert_eq!((left(&bench), holders(&bench)), (Vec::new(), vec!["agent claude-b .env".to_owned()]));
}

#[test]
fn what_cannot_be_kept_stays_claimed() {
    let bench = Bench::new();
    bench.write(".gitignore", "*.big\n");
    vanished(&bench, "gone", &["large", "ignored.big"]);
    for (path, length) in [("large", 1100 << 20), ("ignored.big", 65 << 20)] {
        fs::File::create(bench.project.join(path)).unwrap().set_len(length).unwrap();
        assert!(ask(&bench, &edit(&bench, "b", path)).contains("held by claude-gone"), "{path}");
        assert_eq!(left(&bench), Vec::<String>::new());
    }
    // Whoever has looked at it moves it away.
    for path in ["large", "ignored.big"] {
        fs::rename(bench.project.join(path), bench.root.join(path)).unwrap();
        assert_eq!(ask(&bench, &edit(&bench, "b", path)), "", "{path}");
    }
}

#[test]
fn a_repository_without_a_commit_keeps_what_is_left() {
    let bench = Bench::bare_machine();
    bench.git(["init", "-q", "-b", "main"]);
    vanished(&bench, "gone", &["first"]);
    bench.write("first", "work\n");
    assert_eq!(ask(&bench, &edit(&bench, "b", "first")), "");
    let left = left(&bench);
    let reference = left[0].rsplit(' ').next().unwrap();
    assert_eq!(bench.git(["show", &format!("{reference}:first")]), "work");
}

#[test]
fn what_lies_in_a_folder_that_git_ignores_is_kept_too() {
    let bench = Bench::new();
    bench.write(".gitignore", "secret/\nnode_modules\n");
    bench.write("other/x", "x\n");
    bench.commit("more");
    bench.write("secret/before", "of somebody else\n");
    vanished_after(&bench, &[bash(&bench, "gone", "cp -r src secret/src")]);
    bench.write("secret/src/lib.txt", "PRECIOUS\n");
    bench.write("secret/src/node_modules/p/index.js", "made\n");
    assert_eq!(ask(&bench, &edit(&bench, "b", "secret/src/lib.txt")), "");
    let told = left(&bench);
    let folder =
        told[0].rsplit_once("is kept in ").unwrap().1.strip_suffix(" as far as git ignores it").unwrap();
    assert_eq!(fs::read_to_string(format!("{folder}/secret/src/lib.txt")).unwrap(), "PRECIOUS\n");
    // What builds make they make again.
    assert!(!std::path::Path::new(&format!("{folder}/secret/src/node_modules")).exists());
}

#[test]
fn a_file_at_which_git_does_not_look_is_changed_all_the_same() {
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let bench = Bench::new();
        bench.git(["update-index", flag, "README"]);
        bench.git(["update-index", flag, "src/lib.txt"]);
        assert_eq!(ask(&bench, &edit(&bench, "a", "README")), "");
        assert_eq!(ask(&bench, &edit(&bench, "a", "src/lib.txt")), "");
        bench.write("README", "PRECIOUS\n");
        ask(&bench, &event(&bench, "a", "Stop"));
        assert_eq!(holders(&bench), ["agent claude-a README"], "{flag}");
        bench.write("README", "a project\n");
        ask(&bench, &event(&bench, "a", "Stop"));
        assert_eq!(holders(&bench), Vec::<String>::new(), "{flag}");

        vanished(&bench, "gone", &["README"]);
        bench.write("README", "PRECIOUS\n");
        assert_eq!(ask(&bench, &edit(&bench, "b", "README")), "", "{flag}");
        let told = left(&bench);
        let reference = told[0].rsplit(' ').next().unwrap();
        assert_eq!(bench.git(["show", &format!("{reference}:README")]), "PRECIOUS", "{flag}");
    }
}

#[test]
fn one_path_that_a_session_edits_in_two_checkouts_is_held_for_both() {
    for is_killed in [false, true] {
        let bench = Bench::new();
        bench.write(".gitignore", ".wt\n");
        bench.commit("ignored");
        bench.git(["worktree", "add", "-q", "-b", "other", ".wt/w"]);
        let inner = ".wt/w/src/lib.txt";
        if is_killed {
            vanished(&bench, "a", &["src/lib.txt", inner, "src/lib.txt"]);
        } else {
            for path in ["src/lib.txt", inner, "src/lib.txt"] {
                assert_eq!(ask(&bench, &edit(&bench, "a", path)), "", "{path}");
            }
        }
        bench.write(inner, "PRECIOUS\n");
        // What is in the project's own checkout is as it was; what lies in the other one is nowhere else.
        if is_killed {
            assert_eq!(ask(&bench, &edit(&bench, "b", inner)), "");
            let told = left(&bench);
            let reference = told[0].rsplit(' ').next().unwrap();
            assert_eq!(bench.git(["show", &format!("{reference}:src/lib.txt")]), "PRECIOUS", "{told:?}");
        } else {
            ask(&bench, &event(&bench, "a", "Stop"));
            assert_eq!(holders(&bench), ["agent claude-a src/lib.txt"]);
            assert!(ask(&bench, &edit(&bench, "b", inner)).contains("held by claude-a"));
            bench.git(["-C", ".wt/w", "checkout", "-q", "."]);
            ask(&bench, &event(&bench, "a", "Stop"));
            assert_eq!(holders(&bench), Vec::<String>::new());
        }
    }
}

#[test]
fn a_session_that_is_back_goes_on_with_what_it_holds() {
    for first in ["README", "src/lib.txt", "git stash"] {
        let bench = Bench::new();
        vanished(&bench, "a", &["README", "src/lib.txt"]);
        bench.write("README", "PRECIOUS\n");
        bench.write("src/lib.txt", "PRECIOUS\n");
        let event = if first.contains(' ') { bash(&bench, "a", first) } else { edit(&bench, "a", first) };
        assert_eq!(ask(&bench, &event), "", "{first}");
        ask(&bench, &super::event(&bench, "a", "Stop"));
        assert_eq!(holders(&bench), ["agent claude-a README", "agent claude-a src/lib.txt"], "{first}");
        assert_eq!(left(&bench), Vec::<String>::new(), "{first}");
    }
}
