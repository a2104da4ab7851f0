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
    for command in ["rm -rf target", "rm -rf dist && npm run build", "cp -r src dist", "mv target dist"] {
        assert_eq!(ask(&bench, &bash(&bench, "a", command)), "", "{command}");
        // Whoever builds beside it makes them too.
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
        let done = tool(&bench, "b", "PostToolUse", "Bash", json!({"command": command}));
        assert_eq!(ask(&bench, &done), "", "{command}");
    }
    fs::rename(bench.project.join("target"), bench.project.join("dist")).unwrap();
    let done = tool(&bench, "b", "PostToolUse", "Bash", json!({"command": "mv target dist"}));
    assert_eq!(ask(&bench, &done), "");
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
    // In the person's checkout they may be the person's.
    let said = asked(&bash(&bench, "w", "cp src/lib.txt .env"), &bench.project);
    assert!(said.contains(".env is not among the files"), "{said}");
    worker.go();
    bench.settled();
}
