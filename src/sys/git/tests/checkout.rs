use super::super::checkout::{Forward, fast_forward, mend};
use super::super::refs;
use super::*;

const MAIN: &str = "refs/heads/main";

/// A bench with a commit ahead of the checkout: a file changed, one added, one deleted, one now a folder.
fn ahead() -> (Bench, Oid) {
    let bench = Bench::new();
    let new = bench.commit(
        &bench.base,
        &[
            ("src/a.rs", Some("new a\n")),
            ("src/b.rs", None),
            ("lib/new.rs", Some("new\n")),
            ("docs/x.md/part", Some("part\n")),
        ],
    );
    (bench, new)
}

fn go(bench: &Bench, new: &Oid) -> Forward {
    let guard = bench.git.turn().unwrap();
    fast_forward(&bench.git, &guard, &bench.top(), MAIN, &bench.base, new).unwrap()
}

/// Everything of the checkout that a refusal must leave alone.
fn state(bench: &Bench) -> (String, String, String) {
    let top = bench.top();
    let status = git_in(&top, &["status", "--porcelain", "-uall", "--ignored"]);
    let staged = git_in(&top, &["diff", "--cached"]);
    (git_in(&top, &["rev-parse", "HEAD"]), status, staged)
}

fn is_forwarded(bench: &Bench, new: &Oid) {
    let (head, status, _) = state(bench);
    assert_eq!((head.as_str(), status.as_str()), (new.as_str(), ""));
    assert_eq!(fs::read_to_string(bench.top().join("docs/x.md/part")).unwrap(), "part\n");
    assert!(!bench.top().join("src/b.rs").exists());
    let leftovers: Vec<_> = fs::read_dir(bench.top().join(".git"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("kapell-") || name == "index.lock")
        .collect();
    assert_eq!(leftovers, [""; 0]);
}

#[test]
fn a_clean_checkout_moves() {
    let (bench, new) = ahead();
    write(&bench.top().join("untracked"), "stays");
    assert_eq!(go(&bench, &new), Forward::Forwarded);
    assert_eq!(fs::read_to_string(bench.top().join("untracked")).unwrap(), "stays");
    fs::remove_file(bench.top().join("untracked")).unwrap();
    is_forwarded(&bench, &new);
    assert!(git_in(&bench.top(), &["reflog", "-1"]).contains("kapell land"));
    assert_eq!(go(&bench, &new), Forward::Forwarded, "a second time");
}

#[test]
fn what_is_the_persons_is_not_touched() {
    type Disturb = fn(&Path);
    let cases: [(&str, Disturb, &[&str]); 11] = [
        (
            "changed, and said to be unchanged",
            |top| {
                git_in(top, &["update-index", "--assume-unchanged", "src/a.rs"]);
                write(&top.join("src/a.rs"), "theirs");
            },
            &["src/a.rs"],
        ),
        (
            "changed, and left out of the checkout",
            |top| {
                git_in(top, &["update-index", "--skip-worktree", "src/a.rs"]);
                write(&top.join("src/a.rs"), "theirs");
            },
            &["src/a.rs"],
        ),
        ("changed", |top| write(&top.join("src/a.rs"), "theirs"), &["src/a.rs"]),
        ("changed elsewhere", |top| write(&top.join("README"), "theirs"), &["README"]),
        ("deleted", |top| fs::remove_file(top.join("README")).unwrap(), &["README"]),
        ("made executable", |top| make_executable(&top.join("README")), &["README"]),
        (
            "staged",
            |top| {
                write(&top.join("staged"), "theirs");
                git_in(top, &["add", "staged"]);
            },
            &["staged"],
        ),
        ("untracked in the way", |top| write(&top.join("lib/new.rs"), "theirs"), &["lib/new.rs"]),
        ("a file where a folder comes", |top| write(&top.join("lib"), "theirs"), &["lib"]),
        ("a folder where a file comes", |top| write(&top.join("lib/new.rs/x"), "theirs"), &["lib/new.rs/x"]),
        (
            "ignored in the way",
            |top| {
                write(&top.join(".git/info/exclude"), "lib\n");
                write(&top.join("lib/new.rs"), "theirs");
            },
            &["lib/new.rs"],
        ),
    ];
    for (name, disturb, expected) in cases {
        let (bench, new) = ahead();
        disturb(&bench.top());
        let before = state(&bench);
        let paths = expected.iter().map(|path| (*path).into()).collect();
        assert_eq!(go(&bench, &new), Forward::Dirty { paths }, "{name}");
        assert_eq!(state(&bench), before, "{name}");
        assert_eq!(refs::read(&bench.git, MAIN).unwrap(), Some(bench.base.clone()), "{name}");
    }
}

#[test]
fn other_reasons_not_to_move() {
    let (bench, new) = ahead();
    let git_dir = bench.top().join(".git");
    let side = bench.commit(&bench.base, &[("side", Some("s"))]);
    let guard = bench.git.turn().unwrap();
    let diverged = fast_forward(&bench.git, &guard, &bench.top(), MAIN, &side, &new).unwrap();
    assert_eq!(diverged, Forward::Diverged);
    drop(guard);
    write(&git_dir.join("MERGE_HEAD"), "");
    assert_eq!(go(&bench, &new), Forward::InProgress { what: "a merge" });
    fs::remove_file(git_dir.join("MERGE_HEAD")).unwrap();
    write(&git_dir.join("index.lock"), "");
    let lock = fs::canonicalize(&git_dir).unwrap().join("index.lock");
    assert_eq!(go(&bench, &new), Forward::Locked { lock: lock.clone() });
    assert!(lock.exists(), "it is not ours to delete");
    fs::remove_file(lock).unwrap();
    git_in(&bench.top(), &["commit", "-q", "--allow-empty", "-m", "meanwhile"]);
    let now = refs::read(&bench.git, MAIN).unwrap();
    assert_eq!(go(&bench, &new), Forward::Moved { now });
    git_in(&bench.top(), &["checkout", "-q", "-b", "other"]);
    assert!(matches!(go(&bench, &new), Forward::OtherHead(_)));
}

const MARK: &str = "kapell moves this checkout forward; if it was killed, `kapell land` finishes it\n";

#[test]
fn a_kill_between_any_two_steps_is_repaired() {
    // The lock was taken; some files were written; all were; the index was replaced; the branch was moved.
    for step in 0..5 {
        let (bench, new) = ahead();
        let top = bench.top();
        let git_dir = top.join(".git");
        let old_index = fs::read(git_dir.join("index")).unwrap();
        write(&git_dir.join("kapell-forward-0123456789"), "half an index");
        if step == 1 {
            write(&top.join("src/a.rs"), "new a\n");
            fs::remove_file(top.join("src/b.rs")).unwrap();
            fs::remove_file(top.join("docs/x.md")).unwrap();
            write(&top.join("lib/new.rs"), "new\n");
        }
        if step >= 2 {
            git_in(&top, &["read-tree", "-m", "-u", bench.base.as_str(), new.as_str()]);
        }
        if step == 4 {
            git_in(&top, &["update-ref", MAIN, new.as_str()]);
        }
        if step < 3 {
            write(&git_dir.join("index"), &old_index);
        }
        write(&git_dir.join("index.lock"), MARK);
        assert_eq!(go(&bench, &new), Forward::Forwarded, "step {step}");
        is_forwarded(&bench, &new);
    }
}

#[test]
fn edits_after_a_kill_are_not_overwritten() {
    let (bench, new) = ahead();
    let top = bench.top();
    write(&top.join("lib/new.rs"), "new\n");
    write(&top.join("src/a.rs"), "the person saw the new one and went on\n");
    write(&top.join(".git/index.lock"), MARK);
    assert_eq!(go(&bench, &new), Forward::Dirty { paths: vec!["src/a.rs".into()] });
    assert!(fs::read_to_string(top.join("src/a.rs")).unwrap().starts_with("the person"));
    assert!(!top.join(".git/index.lock").exists(), "the person can work on");

    // After the index was replaced, the edit is simply an edit.
    let (bench, new) = ahead();
    let top = bench.top();
    git_in(&top, &["read-tree", "-m", "-u", bench.base.as_str(), new.as_str()]);
    write(&top.join("src/a.rs"), "went on\n");
    write(&top.join(".git/index.lock"), MARK);
    assert_eq!(go(&bench, &new), Forward::Forwarded);
    assert_eq!(git_in(&top, &["status", "--porcelain"]), " M src/a.rs");
}

#[test]
fn a_lock_of_ours_that_was_left_is_let_go_and_no_other() {
    let (bench, _) = ahead();
    let git_dir = bench.top().join(".git");
    let guard = bench.git.turn().unwrap();
    write(&git_dir.join("index.lock"), "");
    assert_eq!(mend(&bench.git, &guard), [""; 0].map(PathBuf::from));
    assert!(git_dir.join("index.lock").exists());
    write(&git_dir.join("index.lock"), MARK);
    write(&git_dir.join("kapell-forward-0123456789"), "half an index");
    assert_eq!(mend(&bench.git, &guard), [fs::canonicalize(&git_dir).unwrap()]);
    assert!(!git_dir.join("index.lock").exists() && !git_dir.join("kapell-forward-0123456789").exists());
}

#[test]
fn a_linked_checkout_moves_too() {
    let (bench, new) = ahead();
    git_in(&bench.top(), &["checkout", "-q", "--detach"]);
    let linked = bench.path("linked");
    git_in(&bench.top(), &["worktree", "add", "-q", linked.to_str().unwrap(), "main"]);
    let guard = bench.git.turn().unwrap();
    let found = super::super::land::checked_out(&bench.git, MAIN).unwrap().unwrap();
    assert_eq!(found, fs::canonicalize(&linked).unwrap());
    let moved = fast_forward(&bench.git, &guard, &found, MAIN, &bench.base, &new).unwrap();
    assert_eq!(moved, Forward::Forwarded);
    assert_eq!(git_in(&linked, &["status", "--porcelain"]), "");
    assert!(git_in(&linked, &["reflog", "-1", "HEAD"]).contains("kapell land"));
    assert_eq!(git_in(&bench.top(), &["rev-parse", "HEAD"]), bench.base.as_str());
}

#[test]
fn a_branch_that_is_checked_out_twice_moves_in_neither() {
    let (bench, new) = ahead();
    let linked = bench.path("linked");
    git_in(&bench.top(), &["worktree", "add", "-q", "--force", linked.to_str().unwrap(), "main"]);
    let before = state(&bench);
    assert_eq!(go(&bench, &new), Forward::Twice { other: fs::canonicalize(&linked).unwrap() });
    assert_eq!(state(&bench), before);
    fs::remove_dir_all(&linked).unwrap();
    assert_eq!(go(&bench, &new), Forward::Forwarded, "one that is gone is left behind by nothing");
}

#[test]
fn what_git_is_not_to_look_at_is_no_obstacle_where_it_is_unchanged() {
    for mark in ["--assume-unchanged", "--skip-worktree"] {
        let (bench, new) = ahead();
        git_in(&bench.top(), &["update-index", mark, "src/a.rs"]);
        assert_eq!(go(&bench, &new), Forward::Forwarded, "{mark}");
        is_forwarded(&bench, &new);
    }
}

#[test]
fn what_git_wrote_before_it_failed_is_taken_back() {
    let bench = Bench::new();
    // No file system takes such a name; the files before and after it are written.
    let long = format!("lib/{}", "n".repeat(300));
    let new = bench.commit(
        &bench.base,
        &[
            ("src/a.rs", Some("new a\n")),
            ("src/b.rs", None),
            ("lib/a.rs", Some("new\n")),
            (&long, Some("x")),
            ("lib/z.rs", Some("new\n")),
        ],
    );
    let before = state(&bench);
    let guard = bench.git.turn().unwrap();
    fast_forward(&bench.git, &guard, &bench.top(), MAIN, &bench.base, &new).unwrap_err();
    assert_eq!(state(&bench), before);
}
