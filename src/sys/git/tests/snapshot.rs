use super::super::change::{Change, ChangeKind, Mode};
use super::super::construct::{ConstructError, construct};
use super::super::shadow::Shadow;
use super::super::snapshot::SkipReason;
use super::super::worktree::{WorktreeError, check_saved};
use super::super::{change::changed_between, read, refs};
use super::*;
use crate::base::paths::RepoPath;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn every_kind_of_change() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let at = |path: &str| tree.path.join(path);
    write(&at("src/a.rs"), "fn a() { 1 }\n");
    write(&at("new/deep/file name"), "n");
    fs::remove_file(at("src/b.rs")).unwrap();
    make_executable(&at("README"));
    fs::remove_file(at("docs/x.md")).unwrap();
    symlink("/etc/passwd", at("docs/x.md")).unwrap();
    write(&at("target/out.o"), "ignored");
    write(&at("build.log"), "ignored");
    write(&at("empty"), "");
    let snapshot = bench.snap(&tree);
    assert_eq!(
        lines(&snapshot),
        [
            "Modified README",
            "TypeChanged docs/x.md",
            "Added empty",
            "Added new/deep/file name",
            "Modified src/a.rs",
            "Deleted src/b.rs",
        ]
    );
    assert_eq!(snapshot.changed[0].new_mode, Mode::Executable);
    assert_eq!(snapshot.changed[1].new_mode, Mode::Symlink);
    assert_eq!(snapshot.ignored, ["build.log".into(), "target/".into()]);
    assert_eq!((snapshot.nested.len(), snapshot.skipped.len()), (0, 0));
    assert_eq!(bench.file_at(&snapshot.commit, "docs/x.md").unwrap(), "/etc/passwd");
    assert_eq!(bench.file_at(&snapshot.commit, "src/b.rs"), None);
    assert_eq!(bench.file_at(&snapshot.commit, "src"), None, "a folder is no file");
    let log = git_in(&bench.top(), &["log", "-1", "--format=%an <%ae> %P %s", snapshot.commit.as_str()]);
    assert_eq!(log, format!("kapell <kapell@localhost> {} work", bench.base));
    // The worker's own git sees nothing of it.
    assert!(git_in(&tree.path, &["diff", "--cached", "--name-only"]).is_empty());
}

#[test]
fn names_that_break_parsers() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let names: [&[u8]; 10] = [
        b"new\nline",
        b"\xff\xfe.bin",
        b"tab\tquote\"back\\slash",
        b"-rf",
        b":(exclude)README",
        b"*",
        b" lead and trail ",
        "überÄ".as_bytes(),
        b"readme",
        b"1 .M N... fake",
    ];
    for name in names {
        write(&tree.path.join(OsStr::from_bytes(name)), name);
    }
    let snapshot = bench.snap(&tree);
    let mut found: Vec<&[u8]> = snapshot.changed.iter().map(|change| change.path.as_bytes()).collect();
    let mut expected = names.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for name in names {
        let content = read::show_file(&bench.git, &snapshot.commit, &RepoPath::from_bytes(name)).unwrap();
        assert_eq!(content.as_deref(), Some(name));
        let listed = read::ls_tree(&bench.git, &snapshot.commit, &[RepoPath::from_bytes(name)]).unwrap();
        assert_eq!(listed.len(), 1, "{name:?} stands for itself only");
    }
    let built = construct(&bench.git, &snapshot, &|_| true, "all", &bench.path("scratch")).unwrap();
    assert_eq!(read::tree_of(&bench.git, &built).unwrap(), snapshot.tree);
}

#[test]
fn files_and_folders_change_places() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let at = |path: &str| tree.path.join(path);
    fs::remove_file(at("README")).unwrap();
    write(&at("README/inside"), "i");
    fs::remove_dir_all(at("src")).unwrap();
    write(&at("src"), "a file now");
    // A folder behind a link keeps its names, but they are not files of this tree any more.
    fs::remove_dir_all(at("docs")).unwrap();
    write(&bench.path("outside/x.md"), "x\n");
    symlink(bench.path("outside"), at("docs")).unwrap();
    let snapshot = bench.snap(&tree);
    assert_eq!(
        lines(&snapshot),
        [
            "Deleted README",
            "Added README/inside",
            "Added docs",
            "Deleted docs/x.md",
            "Added src",
            "Deleted src/a.rs",
            "Deleted src/b.rs"
        ]
    );
    let scratch = bench.path("scratch");
    let all = construct(&bench.git, &snapshot, &|_| true, "all", &scratch).unwrap();
    assert_eq!(read::tree_of(&bench.git, &all).unwrap(), snapshot.tree);
    for keep in [
        |change: &Change| change.kind == ChangeKind::Added,
        |change: &Change| change.path == RepoPath::from("src"),
    ] {
        let clash = construct(&bench.git, &snapshot, &keep, "part", &scratch);
        assert!(matches!(clash, Err(ConstructError::Clash { .. })), "{clash:?}");
    }
    let deletions = |change: &Change| change.kind == ChangeKind::Deleted;
    construct(&bench.git, &snapshot, &deletions, "part", &scratch).unwrap();
}

#[test]
fn only_what_is_kept_lands() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    write(&tree.path.join("src/a.rs"), "mine");
    write(&tree.path.join("src/new.rs"), "mine too");
    write(&tree.path.join("docs/x.md"), "not mine");
    make_executable(&tree.path.join("README"));
    fs::remove_file(tree.path.join("src/b.rs")).unwrap();
    let snapshot = bench.snap(&tree);
    let mine = |change: &Change| change.path.as_bytes().starts_with(b"src/");
    let built = construct(&bench.git, &snapshot, &mine, "mine", &bench.path("scratch")).unwrap();
    let landed = changed_between(&bench.git, &bench.base, &built).unwrap();
    let expected: Vec<Change> = snapshot.changed.iter().filter(|change| mine(change)).cloned().collect();
    assert_eq!(landed, expected);
    assert_eq!(expected.len(), 3);
    let nothing = construct(&bench.git, &snapshot, &|_| false, "none", &bench.path("scratch")).unwrap();
    assert_eq!(read::tree_of(&bench.git, &nothing).unwrap(), read::tree_of(&bench.git, &bench.base).unwrap());
    assert_eq!(fs::read_dir(bench.path("scratch")).unwrap().count(), 0, "private indexes are deleted");
}

#[test]
fn checkpoints_follow_each_other_and_keep_the_earlier_ones() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let reference = "refs/kapell/tasks/T1/1";
    write(&tree.path.join("one"), "1");
    let first = bench.snap_as(&tree, reference, None).unwrap();
    let again = bench.snap_as(&tree, reference, Some(&first.commit)).unwrap();
    assert_eq!(first.commit, again.commit, "nothing changed");
    fs::remove_file(tree.path.join("one")).unwrap();
    write(&tree.path.join("two"), "2");
    let second = bench.snap_as(&tree, reference, Some(&first.commit)).unwrap();
    assert_eq!(lines(&second), ["Added two"], "the earlier state leaves nothing behind");
    assert!(read::is_ancestor(&bench.git, &first.commit, &second.commit).unwrap());
    for stale in [None, Some(&first.commit)] {
        let moved = bench.snap_as(&tree, reference, stale);
        let Err(SnapshotError::RefMoved { now, .. }) = moved else { panic!("{moved:?}") };
        assert_eq!(now.as_ref(), Some(&second.commit));
    }
    // Even after the ref went to the trash and everything unreachable was destroyed.
    let guard = bench.git.turn().unwrap();
    let trashed = refs::trash(&bench.git, &guard, reference).unwrap().unwrap();
    assert_eq!(trashed, "refs/kapell/trash/tasks/T1/1");
    assert_eq!(refs::read(&bench.git, reference).unwrap(), None);
    assert_eq!(refs::trash(&bench.git, &guard, reference).unwrap(), None);
    git_in(&bench.top(), &["reflog", "expire", "--expire=all", "--all"]);
    git_in(&bench.top(), &["gc", "-q", "--prune=now"]);
    assert_eq!(bench.file_at(&first.commit, "one").unwrap(), "1");
    assert!(!git_in(&bench.top(), &["for-each-ref", &trashed]).is_empty());
}

#[test]
fn the_lock_of_a_killed_git_is_in_nobodys_way() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let reference = "refs/kapell/tasks/T1/1";
    write(&bench.top().join(format!(".git/{reference}.lock")), "");
    write(&tree.path.join("one"), "1");
    let saved = bench.snap_as(&tree, reference, None).unwrap();
    assert_eq!(refs::read(&bench.git, reference).unwrap(), Some(saved.commit));
    // Whatever lies below refs/ is a ref to git.
    git_in(&bench.top(), &["gc", "-q", "--prune=now"]);
    git_in(&bench.top(), &["fsck", "--strict"]);
    // A branch of the person's is not ours to unlock.
    let lock = bench.top().join(".git/refs/heads/theirs.lock");
    write(&lock, "");
    refs::update(&bench.git, "refs/heads/theirs", &bench.base, None, "test").unwrap_err();
    assert!(lock.exists());
}

#[test]
fn a_base_that_is_not_what_was_checked_out() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let ahead = bench.commit(&bench.base, &[("src/c.rs", Some("c")), ("README", None)]);
    write(&tree.path.join("src/a.rs"), "changed");
    let bench = Bench { base: ahead, ..bench };
    let snapshot = bench.snap(&tree);
    assert_eq!(lines(&snapshot), ["Added README", "Modified src/a.rs", "Deleted src/c.rs"]);
}

#[test]
fn what_cannot_be_saved_is_reported() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let at = |path: &str| tree.path.join(path);
    fs::remove_file(at("README")).unwrap();
    fifo(&at("README"));
    fifo(&at("untracked.pipe"));
    let _socket = std::os::unix::net::UnixListener::bind(at("sock")).unwrap();
    let large = fs::File::create(at("large.bin")).unwrap();
    large.set_len(3 << 30).unwrap();
    git_in(&tree.path, &["init", "-q", "nested"]);
    write(&at("nested/work"), "w");
    git_in(&tree.path, &["init", "-q", "committed"]);
    write(&at("committed/work"), "w");
    git_in(&at("committed"), &["add", "."]);
    git_in(&at("committed"), &["commit", "-q", "-m", "inner"]);
    write(&at("src/a.rs"), "changed");
    // Not a repository by any rule of git's, which passes over it all the same.
    fs::create_dir_all(at("hollow/.git")).unwrap();
    write(&at("odd/.git"), "gitdir: /nowhere\n");
    write(&at("odd/y"), "y");
    git_in(&tree.path, &["init", "-q", "docs"]);
    // What git ignores is not missed.
    fifo(&at("pipe.log"));
    fifo(&at("target/deep/pipe"));
    write(&at("target/copy/.git"), "gitdir: /nowhere\n");
    let snapshot = bench.snap(&tree);
    assert_eq!(lines(&snapshot), ["Added odd/y", "Modified src/a.rs"]);
    assert_eq!(snapshot.nested, ["committed".into(), "nested".into()]);
    assert_eq!(
        skipped(&snapshot),
        [
            ("README".into(), SkipReason::Special),
            ("docs/.git".into(), SkipReason::Name),
            ("hollow/.git".into(), SkipReason::Name),
            ("large.bin".into(), SkipReason::TooLarge(3 << 30)),
            ("odd/.git".into(), SkipReason::Name),
            ("sock".into(), SkipReason::Special),
            ("untracked.pipe".into(), SkipReason::Special),
        ]
    );
}

/// What a snapshot does not hold, in the order of the names.
fn skipped(snapshot: &Snapshot) -> Vec<(String, SkipReason)> {
    let mut skipped: Vec<_> = snapshot.skipped.iter().map(|s| (s.path.to_string(), s.why)).collect();
    skipped.sort_by(|a, b| a.0.cmp(&b.0));
    skipped
}

/// The name of a folder that makes a path too long with twenty more.
fn long_name() -> String {
    "d".repeat(250)
}

#[test]
fn a_file_deeper_than_paths_can_be_is_reported() {
    use rustix::fs::{Mode, OFlags, mkdirat, openat};
    let bench = Bench::new();
    let tree = bench.add("t1");
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = rustix::fs::open(tree.path.join("src"), flags, Mode::empty()).unwrap();
    for _ in 0..20 {
        mkdirat(&folder, long_name(), Mode::RWXU).unwrap();
        folder = openat(&folder, long_name(), flags, Mode::empty()).unwrap();
    }
    openat(&folder, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR | Mode::WUSR).unwrap();
    let saved = bench.snap(&tree);
    let skipped = skipped(&saved);
    assert!(
        matches!(&skipped[..], [(path, SkipReason::Unreadable)] if path.starts_with("src/ddd")),
        "{skipped:?}"
    );
    let unsaved = check_saved(&bench.git, &tree, &saved, &bench.path("scratch"));
    assert!(matches!(unsaved, Err(WorktreeError::Unsaved { .. })), "{unsaved:?}");
}

#[test]
fn folders_that_nobody_may_enter_are_reported_and_can_be_opened() {
    if again_without_privileges(
        "sys::git::tests::snapshot::folders_that_nobody_may_enter_are_reported_and_can_be_opened",
    ) {
        return;
    }
    let bench = Bench::new();
    for (name, mode) in [("a", 0o644), ("b", 0o600), ("c", 0o400), ("d", 0o000), ("e", 0o300), ("f", 0o500)] {
        let tree = bench.add(name);
        let at = |path: &str| tree.path.join(path);
        // Changed, new, below another such folder, ignored, and of a name that git does not repeat.
        let closed = ["docs/x\u{1}y", "docs", "new/sub", "new", "src", "target"];
        write(&at("src/a.rs"), "changed\n");
        for path in ["docs/x\u{1}y/file", "new/sub/file", "new/file", "target/made"] {
            write(&at(path), "new\n");
        }
        let set = |path: &str, mode| fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
        let whole = bench.snap_as(&tree, &format!("refs/kapell/tasks/{name}/whole"), None).unwrap();
        set("target", mode);
        let without = bench.snap_as(&tree, &format!("refs/kapell/tasks/{name}/without"), None).unwrap();
        assert_eq!((without.tree, without.skipped), (whole.tree, Vec::new()), "{name}");
        for path in closed {
            set(path, mode);
        }
        let all = ["Added docs/x\u{1}y/file", "Added new/file", "Added new/sub/file", "Modified src/a.rs"];
        let all = all.map(|line| line.replace('\u{1}', "\\x01"));
        let saved = bench.snap(&tree);
        // Who may not write may look.
        if mode == 0o500 {
            assert_eq!((lines(&saved), skipped(&saved)), (all.to_vec(), Vec::new()), "{name}");
        } else {
            // Who may list it knows what is new in it.
            let names: &[&str] = match mode & 0o400 {
                0 => &["docs", "new", "src"],
                _ => &["docs", "new", "new/file", "src"],
            };
            let names: Vec<_> =
                names.iter().map(|path| ((*path).to_owned(), SkipReason::Unreadable)).collect();
            // Who knows a name may open it.
            let known = if mode == 0o300 { vec!["Modified src/a.rs".to_owned()] } else { Vec::new() };
            assert_eq!((lines(&saved), skipped(&saved)), (known, names), "{name}");
            let unsaved = check_saved(&bench.git, &tree, &saved, &bench.path("scratch"));
            assert!(matches!(unsaved, Err(WorktreeError::Unsaved { .. })), "{unsaved:?}");
            let closed: Vec<_> = saved.skipped.iter().map(|skipped| skipped.path.clone()).collect();
            assert!(tree.open_up(&closed), "{name}");
            let reference = format!("refs/kapell/tasks/{name}/2");
            let opened = bench.snap_as(&tree, &reference, None).unwrap();
            assert_eq!((lines(&opened), skipped(&opened)), (all.to_vec(), Vec::new()), "{name}");
            assert!(!tree.open_up(&closed), "{name}");
        }
        set("target", 0o755);
    }
}

#[test]
fn a_folder_elsewhere_is_not_opened_by_a_link() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let elsewhere = bench.path("elsewhere/inner");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o500)).unwrap();
    fs::create_dir(tree.path.join("own")).unwrap();
    fs::set_permissions(tree.path.join("own"), fs::Permissions::from_mode(0o500)).unwrap();
    symlink(&elsewhere, tree.path.join("own.link")).unwrap();
    symlink(bench.path("elsewhere"), tree.path.join("src/link")).unwrap();
    assert!(!tree.open_up(&["own.link".into(), "src".into(), "README".into()]));
    assert!(tree.open_up(&["".into()]));
    assert_eq!(fs::metadata(&elsewhere).unwrap().permissions().mode() & 0o777, 0o500);
    let checkout = Worktree::of_checkout(bench.git.repository()).unwrap();
    fs::set_permissions(bench.top().join("src"), fs::Permissions::from_mode(0o500)).unwrap();
    assert!(!checkout.open_up(&["".into()]), "a person's own checkout stays as it is");
}

#[test]
fn a_tree_that_is_closed_is_told_in_words_of_our_own() {
    if again_without_privileges(
        "sys::git::tests::snapshot::a_tree_that_is_closed_is_told_in_words_of_our_own",
    ) {
        return;
    }
    let bench = Bench::new();
    let tree = bench.add("t1");
    write(&tree.path.join("README"), "changed\n");
    for mode in [0o000, 0o600, 0o300] {
        fs::set_permissions(&tree.path, fs::Permissions::from_mode(mode)).unwrap();
        let error = bench.snap_as(&tree, "refs/kapell/tasks/closed/1", None).unwrap_err();
        assert!(error.to_string().ends_with("gives no permission to look into it"), "{error}");
        assert!(tree.open_up(&["".into()]));
        assert_eq!(
            lines(&bench.snap_as(&tree, &format!("refs/kapell/tasks/o/{mode}"), None).unwrap()),
            ["Modified README"]
        );
    }
}

#[test]
fn unreadable_files_do_not_stop_it() {
    // Root reads everything; without its capabilities it does not.
    let bench = Bench::new();
    let tree = bench.add("t1");
    let at = |path: &str| tree.path.join(path);
    write(&at("secret"), "s");
    write(&at("closed/inside"), "i");
    write(&at("open"), "o");
    fs::set_permissions(at("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(at("secret")).is_ok() {
        fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o755)).unwrap();
        let snapshot = bench.snap(&tree);
        assert_eq!(lines(&snapshot), ["Added closed/inside", "Added open", "Added secret"]);
        return;
    }
    let snapshot = bench.snap(&tree);
    assert_eq!(lines(&snapshot), ["Added open"]);
    let mut skipped: Vec<_> = snapshot.skipped.iter().map(|s| (s.path.to_string(), s.why)).collect();
    skipped.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        skipped,
        [("closed".into(), SkipReason::Unreadable), ("secret".into(), SkipReason::Unreadable)]
    );
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_tree_that_is_gone() {
    let bench = Bench::new();
    let gone = |tree: &Worktree, expected: &str| {
        let result = bench.snap_as(tree, "refs/kapell/tasks/gone/1", None);
        let Err(error @ SnapshotError::TreeGone { .. }) = result else { panic!("{result:?}") };
        assert!(error.to_string().ends_with(expected), "{error}");
    };
    let tree = bench.add("t1");
    fs::rename(&tree.path, bench.path("moved")).unwrap();
    gone(&tree, "does not exist any more");
    symlink(bench.path("moved"), &tree.path).unwrap();
    gone(&tree, "is a symbolic link now");
    fs::remove_file(&tree.path).unwrap();
    write(&tree.path, "file");
    gone(&tree, "is a file now");
    fs::remove_file(&tree.path).unwrap();
    fs::create_dir(&tree.path).unwrap();
    gone(&tree, "is empty");
    assert_eq!(refs::read(&bench.git, "refs/kapell/tasks/gone/1").unwrap(), None);
}

#[test]
fn the_persons_ignore_list_counts() {
    let bench = Bench::new();
    write(&bench.path("mine.ignore"), "*.swp\n");
    write(&bench.path(".gitconfig"), "[core]\n\texcludesFile = ~/mine.ignore\n");
    write(&bench.path(".config/git/ignore"), "*.swp\n");
    let git = Git::new(&bench.program(), bench.git.repository()).unwrap();
    let bench = Bench { git, ..bench };
    let tree = bench.add("t1");
    write(&tree.path.join(".a.swp"), "s");
    write(&tree.path.join("b"), "b");
    assert_eq!(lines(&bench.snap(&tree)), ["Added b"]);
}

#[test]
fn a_plain_folder_has_snapshots_too() {
    let room = tempfile::tempdir().unwrap();
    let folder = room.path().join("notes");
    write(&folder.join("a/b.txt"), "1");
    let program = program(room.path());
    let shadow = Shadow::open(&program, &room.path().join("state/shadow.git"), &folder).unwrap();
    let base = crate::sys::git::land::empty_commit(&shadow.git).unwrap();
    let reference = "refs/kapell/tasks/T/1";
    let scratch = room.path().join("scratch");
    let take = |shadow: &Shadow, base: &Oid, expected: Option<&Oid>| {
        let tree = &shadow.tree;
        let request = Request {
            tree,
            base,
            reference,
            expected,
            message: "m",
            scratch: &scratch,
            keeps_base: true,
            largest: LARGEST_FILE,
            is_exact: false,
        };
        snapshot(&shadow.git, &request).unwrap()
    };
    let first = take(&shadow, &base, None);
    assert_eq!(lines(&first), ["Added a/b.txt"]);
    write(&folder.join("a/b.txt"), "2");
    let shadow = Shadow::open(&program, &room.path().join("state/shadow.git"), &folder).unwrap();
    let second = take(&shadow, &first.commit, Some(&first.commit));
    assert_eq!(lines(&second), ["Modified a/b.txt"]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing of ours is in the folder");
}

#[test]
fn a_persons_own_checkout_is_saved_as_that_person_would() {
    let bench = Bench::new();
    let top = bench.top();
    git_in(&top, &["config", "filter.up.clean", "tr a-z A-Z"]);
    write(&top.join(".gitattributes"), "*.up filter=up\n");
    write(&top.join("a.up"), "shout");
    write(&top.join("src/a.rs"), "staged");
    git_in(&top, &["add", "src/a.rs"]);
    let before = fs::read(top.join(".git/index")).unwrap();
    let tree = Worktree::of_checkout(bench.git.repository()).unwrap();
    let saved = bench.snap_as(&tree, "refs/kapell/tasks/shared/1", None).unwrap();
    assert_eq!(lines(&saved), ["Added .gitattributes", "Added a.up", "Modified src/a.rs"]);
    assert_eq!(bench.file_at(&saved.commit, "a.up").unwrap(), "SHOUT");
    assert_eq!(fs::read(top.join(".git/index")).unwrap(), before);
}
