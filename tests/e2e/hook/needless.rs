//! What is refused to nobody, since nothing of anybody's can be lost by it.

use super::reach::hold;
use super::*;
use crate::bench::plan::{Plan, task};

#[test]
fn what_builds_make_is_not_held_by_a_glob() {
    let bench = Bench::new();
    bench.write(".gitignore", "target/\ndist\nnode_modules\nlib/build\n");
    bench.write("build/notes.md", "tracked\n");
    bench.write("lib/build/known.md", "tracked\n");
    bench.git(["add", "-f", "lib/build/known.md"]);
    bench.commit("more");
    bench.write("target/a.md", "made\n");
    bench.write("node_modules/p/README.md", "made\n");
    hold(&bench, &["**/*.md", "node_modules/mine.js"]);
    for command in ["rm -rf target", "rm -rf dist && npm run build", "cp -r src dist"] {
        assert_eq!(ask(&bench, &bash(&bench, "a", command)), "", "{command}");
        // Whoever builds beside it makes them too.
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
        let done = tool(&bench, "b", "PostToolUse", "Bash", json!({"command": command}));
        assert_eq!(ask(&bench, &done), "", "{command}");
    }
    assert!(!holders(&bench).iter().any(|held| held.contains("claude")), "{:?}", holders(&bench));
    assert!(!bench.events(None).iter().any(|(kind, _)| kind == "hook.missed"));
    // What git does not ignore, what it knows of all the same, and what somebody names.
    for command in ["rm -rf build", "rm -rf lib/build", "rm -rf node_modules && npm ci", "cp -r src other"] {
        assert!(ask(&bench, &bash(&bench, "a", command)).contains("held by me"), "{command}");
    }
}

/// A worker at work in a checkout of its own on `src/`.
fn works_on_src(bench: &Bench) -> crate::bench::meeting::Guest {
    let here = bench.meet_line("here");
    bench.start(&Plan::new([task("a", &["src/"], &["write src/lib.txt two", &here])]));
    bench.meet("here")
}

#[test]
fn git_changes_a_checkout_while_workers_are_in_others() {
    let bench = Bench::new();
    let worker = works_on_src(&bench);
    for command in ["git stash", "git checkout .", "git reset --hard", "git clean -fdX", "git merge main"] {
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
    }
    // What would change its files here is refused as before.
    for command in ["touch src/lib.txt", "cargo fmt", "find . -name '*.txt' -delete", "git mv src lib"] {
        bench.write("src/x.rs", "x\n");
        assert!(ask(&bench, &bash(&bench, "b", command)).contains("is held by a-"), "{command}");
    }
    // And what a session in this checkout holds.
    assert_eq!(ask(&bench, &edit(&bench, "a", "README")), "");
    for command in ["git stash", "git checkout .", "git reset --hard"] {
        assert!(ask(&bench, &bash(&bench, "b", command)).contains("held by claude-a"), "{command}");
    }
    worker.go();
    bench.settled();
}

#[test]
fn what_git_ignores_in_its_own_checkout_is_a_workers_to_write() {
    let bench = Bench::new();
    bench.write(".gitignore", "target/\n*.log\n.env\n");
    bench.commit("ignored");
    let worker = works_on_src(&bench);
    let tree = bench.worktrees().into_iter().find(|tree| *tree != bench.project).unwrap();
    let attempt = tree.file_name().unwrap().to_owned();
    let asked = |event: &Value, tree: &Path| {
        let mut event = event.clone();
        event["cwd"] = tree.to_str().into();
        let mut command = bench.command(KAPELL);
        command.args(["hook", "claude"]).env("KAPELL_ATTEMPT", &attempt).env("KAPELL_WORKTREE", tree);
        answer_of(command.env("KAPELL_FILES", r#"["src/"]"#), event.to_string().as_bytes())
    };
    let commands =
        ["rm -rf target", "cargo build > build.log", "cp src/lib.txt .env", "mkdir x; cp -r src target"];
    for command in commands {
        assert_eq!(asked(&bash(&bench, "w", command), &tree), "", "{command}");
    }
    for command in ["touch README", "rm -rf other", "echo > log", "cp -r src target2", "echo > ../x.log"] {
        let said = asked(&bash(&bench, "w", command), &tree);
        assert!(command.contains("..") || said.contains("is not among the files"), "{command}: {said}");
    }
    // What a program changed that nobody could tell before may be put back.
    fs::write(tree.join("README"), "by accident\n").unwrap();
    fs::write(tree.join("stray"), "by accident\n").unwrap();
    for command in
        ["git show HEAD:README > README", "git checkout -- README", "rm stray", "rm -f stray README"]
    {
        assert_eq!(asked(&bash(&bench, "w", command), &tree), "", "{command}");
    }
    let said = asked(&edit(&bench, "w", "README"), &tree);
    assert!(said.contains("README is not among the files"), "{said}");
    let said = asked(&bash(&bench, "w", "rm -rf other; echo > log; rm stray"), &tree);
    assert!(said.contains("other is not among the files") && said.contains("git show HEAD:FILE"), "{said}");
    // In the person's checkout they may be the person's.
    let said = asked(&bash(&bench, "w", "cp src/lib.txt .env"), &bench.project);
    assert!(said.contains(".env is not among the files"), "{said}");
    worker.go();
    bench.settled();
}

#[test]
fn what_is_held_in_another_checkout_is_asked_about_by_who_goes_there() {
    let bench = Bench::new();
    bench.write(".gitignore", ".wt\n");
    bench.commit("more");
    let out = bench.root.join("out");
    let out = out.to_str().unwrap();
    bench.git(["worktree", "add", "-q", "-b", "out", out]);
    bench.git(["worktree", "add", "-q", "-b", "inner", ".wt/inner"]);
    // Somebody works in each of them on what is committed in the others.
    let mut event = edit(&bench, "a", &format!("{out}/src/lib.txt"));
    event["cwd"] = out.into();
    assert_eq!(ask(&bench, &event), "");
    fs::write(format!("{out}/src/lib.txt"), "PRECIOUS\n").unwrap();
    assert_eq!(ask(&bench, &edit(&bench, "c", ".wt/inner/README")), "");
    bench.write(".wt/inner/README", "PRECIOUS\n");
    for command in
        ["git reset --hard", "git stash -u", "git switch -f inner", "git checkout .", "git merge inner"]
    {
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
        for at in [out, ".wt/inner"] {
            let there = format!("cd {at} && {command}");
            if !command.contains("merge") {
                assert!(ask(&bench, &bash(&bench, "b", &there)).contains("held by claude-"), "{there}");
            }
        }
    }
    let there = format!("git -C {out} reset --hard");
    assert!(ask(&bench, &bash(&bench, "b", &there)).contains("held by claude-a"));
    // What was changed here meanwhile is not what is held there.
    assert_eq!(ask(&bench, &bash(&bench, "b", "./brings.sh")), "");
    bench.write("src/lib.txt", "here\n");
    assert_eq!(ask(&bench, &tool(&bench, "b", "PostToolUse", "Bash", json!({"command": "./brings.sh"}))), "");
}

#[test]
fn what_builds_make_is_held_by_who_names_it() {
    let made = || {
        let bench = Bench::new();
        bench.write(".gitignore", "dist\n");
        bench.commit("more");
        bench.write("dist/n.md", "made\n");
        bench
    };
    for pattern in ["dist/**", "dist/*.md", "{dist,out}/**", "dist/", "dist/n.md"] {
        let bench = made();
        hold(&bench, &[pattern]);
        for command in ["rm -rf dist", "mv dist other", "cp -r src dist/src"] {
            let said = ask(&bench, &bash(&bench, "b", command));
            assert!(said.contains("held by me") || command.starts_with("cp"), "{pattern} {command}: {said}");
        }
        assert_eq!(ask(&bench, &bash(&bench, "b", "./writes.sh")), "");
        bench.write("dist/n.md", pattern);
        let done = tool(&bench, "b", "PostToolUse", "Bash", json!({"command": "./writes.sh"}));
        assert!(ask(&bench, &done).contains("dist/n.md (held by me)"), "{pattern}");
    }
    // What is moved into it lies nowhere else.
    let bench = made();
    assert_eq!(ask(&bench, &bash(&bench, "a", "mv src dist/src")), "");
    assert!(ask(&bench, &bash(&bench, "b", "rm -rf dist")).contains("held by claude-a"));
}
