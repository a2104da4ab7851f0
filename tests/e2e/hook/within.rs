//! Who takes a folder takes what is held in the checkouts in it.

use super::*;

/// Runs git in a folder.
#[track_caller]
fn git(bench: &Bench, folder: &Path, words: &[&str]) {
    let who = ["-c", "user.name=p", "-c", "user.email=p@example.org"];
    let done = bench.command("/usr/bin/git").args(who).args(words).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{words:?}: {done:?}");
}

/// A repository with a committed file, in which session `a` has changed that file.
fn worked_on(bench: &Bench, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    git(bench, folder, &["init", "-q"]);
    fs::write(folder.join("a.rs"), "old\n").unwrap();
    git(bench, folder, &["add", "a.rs"]);
    git(bench, folder, &["commit", "-q", "-m", "first"]);
    works(bench, folder);
}

/// Session `a` changes a file of a checkout.
fn works(bench: &Bench, folder: &Path) {
    let mut event = edit(bench, "a", folder.join("a.rs").to_str().unwrap());
    event["cwd"] = folder.to_str().into();
    assert_eq!(ask(bench, &event), "");
    fs::write(folder.join("a.rs"), "work\n").unwrap();
}

#[test]
fn who_takes_a_folder_takes_what_is_held_in_the_repositories_in_it() {
    let bench = Bench::new();
    worked_on(&bench, &bench.project.join("sub"));
    worked_on(&bench, &bench.project.join("all/of/them"));
    for command in [
        "git -C sub reset --hard",
        "cd sub && git stash",
        "cd sub && git checkout .",
        "cd sub && git restore .",
        "cd sub && git clean -fdx",
        "(cd sub; git reset --hard)",
        "git --git-dir=sub/.git --work-tree=sub checkout .",
        "rm -rf sub",
        "rm -rf ./sub/",
        "rm -rf \"$PWD/sub\"",
        "rm -rf *",
        "rm -rf all",
        "rm -rf all/of",
        "mv all some",
        "mv sub some",
        "find all -name '*.rs' -delete",
        "find . -name a.rs -delete",
        "find sub -delete",
        "git clean -ffdx",
        "git clean -ffdx all",
        "git rm -rf sub",
        "git submodule deinit -f --all",
        "git submodule update --force",
        "git submodule foreach git reset --hard",
        "git reset --hard --recurse-submodules",
    ] {
        let reason = ask(&bench, &bash(&bench, "b", command));
        assert!(reason.contains("a.rs is held by claude-a"), "{command}: {reason}");
    }
    // Also from a folder that is in no project, and from within the other one.
    for (folder, command) in [(&*bench.root, "rm -rf all *"), (&bench.project.join("sub"), "rm -rf ../all")] {
        let mut event = bash(&bench, "b", command);
        event["cwd"] = folder.to_str().into();
        let reason = ask(&bench, &event);
        assert!(reason.contains("a.rs is held by claude-a"), "{}: {reason}", folder.display());
    }
    // Nothing of theirs is lost by these, nor by what the holder does.
    fs::create_dir_all(bench.project.join("free")).unwrap();
    for (session, command) in [
        ("b", "git reset --hard"),
        ("b", "git checkout ."),
        ("b", "git clean -fdx"),
        ("b", "git submodule update"),
        ("b", "git submodule foreach git status"),
        ("b", "rm -rf free"),
        ("b", "find all -name '*.txt' -delete"),
        ("a", "rm -rf all"),
        ("a", "git -C sub reset --hard"),
    ] {
        assert_eq!(ask(&bench, &bash(&bench, session, command)), "", "{session}: {command}");
    }
}

#[test]
fn who_takes_a_worktree_takes_what_is_held_in_it_and_nothing_else() {
    let bench = Bench::new();
    fs::write(bench.project.join("a.rs"), "old\n").unwrap();
    git(&bench, &bench.project, &["add", "a.rs"]);
    git(&bench, &bench.project, &["commit", "-q", "-m", "more"]);
    let beside = bench.root.join("beside");
    for path in [".claude/worktrees/w", ".claude/worktrees/free", beside.to_str().unwrap()] {
        git(&bench, &bench.project, &["worktree", "add", "-q", "--detach", path]);
    }
    let removals = ["git worktree remove --force ../beside", "git worktree remove -f beside"];
    let inner = [
        "git worktree remove --force .claude/worktrees/w",
        "git worktree remove -f w",
        "git worktree move .claude/worktrees/w x",
        "rm -rf .claude",
        "rm -rf .claude/worktrees/w",
        "mv .claude x",
    ];
    let told = |command: &str| ask(&bench, &bash(&bench, "b", command));
    let is_held = |command: &str| {
        let reason = told(command);
        assert!(reason.contains("a.rs is held by claude-a"), "{command}: {reason}");
    };
    works(&bench, &bench.project.join(".claude/worktrees/w"));
    inner.iter().for_each(|command| is_held(command));
    for command in removals {
        assert_eq!(told(command), "", "{command}");
    }
    assert_eq!(told("git worktree remove --force .claude/worktrees/free"), "");
    assert_eq!(told("git worktree remove ../beside"), "");
    // The file was claimed there, and is changed here too.
    fs::write(beside.join("a.rs"), "more work\n").unwrap();
    removals.iter().for_each(|command| is_held(command));
}
