//! What a worker can put into its tree to make Kapell's git run, hang or look away.

use super::super::snapshot::SkipReason;
use super::super::worktree::{Ignored, check_saved, reset};
use super::*;
use std::os::unix::fs::symlink;

/// A configuration that writes `marker` wherever git lets a configuration name a program.
fn evil_config(marker: &Path) -> String {
    let script = marker.with_extension("sh");
    write(&script, format!("#!/bin/sh\ntouch {}\n", marker.display()));
    make_executable(&script);
    let touch = script.display();
    format!(
        "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {touch}\n\thooksPath = {0}\n\tsshCommand = {touch}\n\
         [filter \"evil\"]\n\tclean = {touch}; cat\n\tsmudge = {touch}; cat\n\tprocess = {touch}\n\trequired = true\n\
         [diff]\n\texternal = {touch}\n[diff \"evil\"]\n\tcommand = {touch}\n\ttextconv = {touch}\n",
        marker.parent().unwrap().join("hooks").display(),
    )
}

#[test]
fn a_swapped_git_file_runs_nothing() {
    let bench = Bench::new();
    let marker = bench.path("marker");
    let hook = bench.path("hooks/post-index-change");
    write(&hook, format!("#!/bin/sh\ntouch {}\n", marker.display()));
    make_executable(&hook);
    // Three ways: a file that leads to an evil repository, a folder that is one, a link to one.
    for way in 0..3 {
        let tree = bench.add(&format!("t{way}"));
        let link = tree.path.join(".git");
        fs::remove_file(&link).unwrap();
        let evil = if way == 1 { link.clone() } else { bench.path(&format!("evil{way}")) };
        git_in(&bench.path(""), &["init", "-q", evil.to_str().unwrap(), "--bare"]);
        write(&evil.join("config"), evil_config(&marker));
        match way {
            0 => write(&link, format!("gitdir: {}\n", evil.display())),
            1 => {}
            _ => symlink(&evil, &link).unwrap(),
        }
        write(&tree.path.join(".gitattributes"), "* filter=evil diff=evil\n");
        write(&tree.path.join("src/a.rs"), "changed\n");
        // The attack is real: git by discovery runs the command.
        if way == 0 {
            let _ = person(&tree.path).args(["status"]).output().unwrap();
            assert!(marker.exists(), "the attack does not work on this git; test another");
            fs::remove_file(&marker).unwrap();
        }
        let saved = bench.snap(&tree);
        assert_eq!(lines(&saved), ["Added .gitattributes", "Modified src/a.rs"]);
        super::super::read::diff_text(&bench.git, &bench.base, &saved.commit, &[], 1 << 20).unwrap();
        check_saved(&bench.git, &tree, &saved, &bench.path("scratch")).unwrap();
        reset(&bench.git, &tree, &saved.commit, Ignored::Delete).unwrap();
        assert!(!marker.exists(), "way {way}");
    }
}

#[test]
fn hooks_and_monitors_of_the_repository_itself_are_not_run() {
    let bench = Bench::new();
    let marker = bench.path("marker");
    let script = format!("#!/bin/sh\ntouch {}\n", marker.display());
    for hook in ["post-checkout", "post-index-change", "reference-transaction", "post-commit", "monitor"] {
        write(&bench.path("hooks").join(hook), &script);
        make_executable(&bench.path("hooks").join(hook));
    }
    let set = |key: &str, value: PathBuf| git_in(&bench.top(), &["config", key, value.to_str().unwrap()]);
    let tree = bench.add("t1");
    set("core.hooksPath", bench.path("hooks"));
    let saved = bench.snap(&tree);
    reset(&bench.git, &tree, &saved.commit, Ignored::Keep).unwrap();
    assert!(!marker.exists(), "a hook ran");
    set("core.fsmonitor", bench.path("hooks/monitor"));
    write(&tree.path.join("w"), "w");
    bench.snap_as(&tree, "refs/kapell/tasks/m/1", None).unwrap();
    assert!(!marker.exists(), "the monitor ran");
}

#[test]
fn a_filter_that_the_person_configured_is_not_run_on_a_workers_files() {
    let bench = Bench::new();
    let marker = bench.path("marker");
    // A common setting: the driver is a script of the tree, which a worker may rewrite.
    for key in ["clean", "smudge"] {
        git_in(&bench.top(), &["config", &format!("filter.nb.{key}"), "sh ./strip.sh"]);
    }
    git_in(&bench.top(), &["config", "filter.nb.required", "true"]);
    let tree = bench.add("t1");
    write(&tree.path.join("strip.sh"), format!("touch {}\ncat\n", marker.display()));
    write(&tree.path.join(".gitattributes"), "*.nb filter=nb\n");
    write(&tree.path.join("a.nb"), "content\n");
    let saved = bench.snap(&tree);
    reset(&bench.git, &tree, &saved.commit, Ignored::Keep).unwrap();
    assert!(!marker.exists());
    assert_eq!(bench.file_at(&saved.commit, "a.nb").unwrap(), "content\n");
}

#[test]
fn a_submodules_folder_runs_nothing_and_hides_nothing() {
    let bench = Bench::new();
    let marker = bench.path("marker");
    let index_line = format!("160000,{},sub", bench.base);
    git_in(&bench.top(), &["update-index", "--add", "--cacheinfo", &index_line]);
    git_in(&bench.top(), &["commit", "-q", "-m", "with a submodule"]);
    let base = super::super::read::resolve(&bench.git, "HEAD").unwrap().unwrap();
    let bench = Bench { base, ..bench };
    let tree = bench.add("t1");
    assert_eq!(bench.snap(&tree).nested, []);
    // Without a repository in it git shows nothing of the folder.
    write(&tree.path.join("sub/hidden work"), "h");
    let hidden = bench.snap_as(&tree, "refs/kapell/tasks/h/1", None).unwrap();
    assert_eq!(hidden.nested, ["sub".into()]);
    // With one, git starts another git in it, which reads its configuration.
    let sub = tree.path.join("sub");
    git_in(&sub, &["init", "-q"]);
    write(&sub.join(".gitattributes"), "* filter=evil\n");
    git_in(&sub, &["add", "."]);
    git_in(&sub, &["commit", "-q", "-m", "inner"]);
    write(&sub.join("hidden work"), "H");
    write(&sub.join(".git/config"), evil_config(&marker));
    let saved = bench.snap_as(&tree, "refs/kapell/tasks/h/2", None).unwrap();
    assert!(!marker.exists());
    assert_eq!((lines(&saved).len(), saved.nested), (0, vec!["sub".into()]));
}

#[test]
fn pipes_where_git_reads_rules_do_not_hang_it() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let pipes = ["new/.gitattributes", "sub/.gitignore", "repo/.git/HEAD"];
    write(&tree.path.join("new/file"), "f");
    for pipe in pipes {
        fifo(&tree.path.join(pipe));
    }
    fs::create_dir_all(tree.path.join("repo/.git/objects")).unwrap();
    fs::create_dir_all(tree.path.join("repo/.git/refs")).unwrap();
    fifo(&tree.path.join("harmless"));
    let saved = bench.snap(&tree);
    assert!(lines(&saved).contains(&"Added new/file".to_owned()));
    let mut removed: Vec<String> =
        saved.skipped.iter().filter(|s| s.why == SkipReason::Removed).map(|s| s.path.to_string()).collect();
    removed.sort();
    assert_eq!(removed, ["new/.gitattributes", "repo/.git/HEAD", "sub/.gitignore"]);
    assert!(fs::symlink_metadata(tree.path.join("harmless")).is_ok());
}

#[test]
fn flags_in_the_workers_index_hide_nothing() {
    let bench = Bench::new();
    git_in(&bench.top(), &["config", "core.ignoreStat", "true"]);
    let tree = bench.add("t1");
    write(&tree.path.join("src/a.rs"), "hidden\n");
    write(&tree.path.join("src/b.rs"), "hidden\n");
    git_in(&tree.path, &["update-index", "--assume-unchanged", "src/a.rs"]);
    git_in(&tree.path, &["update-index", "--skip-worktree", "src/b.rs"]);
    assert_eq!(lines(&bench.snap(&tree)), ["Modified src/a.rs", "Modified src/b.rs"]);
}

#[test]
fn a_sparse_checkout_of_the_person_deletes_nothing() {
    let bench = Bench::new();
    git_in(&bench.top(), &["sparse-checkout", "set", "src"]);
    assert!(!bench.top().join("docs").exists());
    let tree = bench.add("t1");
    assert!(tree.path.join("docs/x.md").exists());
    assert_eq!(bench.snap(&tree).changed, []);
}

#[test]
fn the_callers_environment_does_not_leak_in() {
    let bench = Bench::new();
    let other = Bench::with(&[("other", "o")]);
    let evil = [
        ("GIT_DIR", other.top().join(".git").into_os_string()),
        ("GIT_INDEX_FILE", bench.path("index").into_os_string()),
        ("GIT_OBJECT_DIRECTORY", bench.path("objects").into_os_string()),
        ("GIT_CONFIG_COUNT", "1".into()),
        ("GIT_TRACE", bench.path("trace").into_os_string()),
    ];
    let path = std::env::vars_os().filter(|(name, _)| name == "PATH");
    let environment = path.chain(evil.map(|(name, value)| (name.into(), value)));
    let git = Git::new(&Program::find(environment).unwrap(), bench.git.repository()).unwrap();
    let bench = Bench { git, ..bench };
    let tree = bench.add("t1");
    write(&tree.path.join("w"), "w");
    assert_eq!(lines(&bench.snap(&tree)), ["Added w"]);
    assert!(!bench.path("trace").exists());
}
