use super::super::exec::{Input, execute};
use super::super::worktree::{Ignored, WorktreeError, check_saved, delete_folder, remove, reset};
use super::super::{environment, queue, read};
use super::*;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

fn make_old(path: &Path) {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

fn lock(bench: &Bench) -> queue::Guard {
    bench.git.turn().unwrap()
}

#[test]
fn a_new_tree_is_as_git_makes_it() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    assert_eq!(tree.base().as_ref(), Some(&bench.base));
    assert_eq!(git_in(&tree.path, &["status", "--porcelain"]), "");
    assert_eq!(git_in(&tree.path, &["rev-parse", "HEAD"]), bench.base.as_str());
    assert_eq!(fs::read_to_string(tree.path.join("src/a.rs")).unwrap(), "fn a() {}\n");
    let listed = git_in(&bench.top(), &["worktree", "list", "--porcelain"]);
    let path = tree.path.display();
    assert!(
        listed.contains(&format!("worktree {path}\nHEAD {}\ndetached\nlocked kapell", bench.base)),
        "{listed}"
    );
    assert_eq!(find(&tree.path).unwrap().git_dir, tree.admin_dir);
    assert_eq!(Worktree::find(&bench.git, &bench.path("t1")), Some(tree));
    assert_eq!(Worktree::find(&bench.git, &bench.top()), None);
    git_in(&bench.top(), &["fsck", "--strict"]);
}

#[test]
fn equal_names_odd_names_and_occupied_places() {
    let bench = Bench::new();
    let places = ["x/t", "y/t", "z/t", "ü name.lock", "-rf", "new\nline/..t"];
    let trees: Vec<Worktree> = places.iter().map(|place| bench.add(place)).collect();
    let mut names: Vec<String> = trees.iter().map(Worktree::name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), places.len());
    for tree in &trees {
        assert_eq!(Worktree::find(&bench.git, &tree.path).as_ref(), Some(tree));
        assert_eq!(bench.snap(tree).changed, []);
    }
    write(&bench.path("full/file"), "f");
    for place in ["full", "x/t", "main"] {
        let result = trees::add(&bench.git, lock(&bench), &bench.path(place), &bench.base);
        assert!(matches!(result, Err(WorktreeError::Occupied { .. })), "{place}: {result:?}");
    }
    assert_eq!(fs::read_to_string(bench.path("full/file")).unwrap(), "f");
}

#[test]
fn an_add_that_was_killed_is_completed() {
    let bench = Bench::new();
    // Before git knew of it: a link to nothing.
    write(&bench.path("t1/.git"), format!("gitdir: {}/.git/worktrees/t1\n", bench.top().display()));
    // And a link that had not got its name.
    write(&bench.path("t1/.git.ab12cd"), "gitdir: ");
    assert_eq!(git_in(&bench.add("t1").path, &["status", "--porcelain"]), "");
    // While files were written: some files, an index lock, no index.
    let tree = bench.add("t2");
    for name in ["index", "kapell-index", "kapell-base"] {
        fs::remove_file(tree.admin_dir.join(name)).unwrap();
    }
    write(&tree.admin_dir.join("index.lock"), "");
    write(&tree.path.join("src/a.rs"), "half wri");
    fs::remove_file(tree.path.join("README")).unwrap();
    assert_eq!(tree.base(), None);
    assert_eq!(bench.add("t2"), tree);
    assert_eq!(git_in(&tree.path, &["status", "--porcelain"]), "");
}

/// Runs `work` on 16 threads while two more run `git gc` and `git worktree prune` without a pause.
fn torture<T: Send>(bench: &Bench, is_queued: bool, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = [&["gc", "-q"][..], &["worktree", "prune", "--expire=now"]].map(|args| {
            let is_done = &is_done;
            scope.spawn(move || {
                let mut rounds = 0;
                while !is_done.load(Ordering::Relaxed) || rounds == 0 {
                    let guard = is_queued.then(|| lock(bench));
                    git_in(&bench.top(), args);
                    drop(guard);
                    rounds += 1;
                }
            })
        });
        let work = &work;
        let threads: Vec<_> = (0..16).map(|i| scope.spawn(move || work(i))).collect();
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        is_done.store(true, Ordering::Relaxed);
        for other in others {
            other.join().unwrap();
        }
        results.into_iter().map(Result::unwrap).collect()
    })
}

#[test]
fn sixteen_at_once_while_gc_and_prune_run() {
    let bench = Bench::new();
    // Adding disturbs nobody, not even a gc that knows nothing of the queue.
    let made = torture(&bench, false, |i| {
        (0..3).map(|round| bench.add(&format!("p{i}/t{round}"))).collect::<Vec<Worktree>>()
    });
    // A tree that goes while a gc lists the trees makes that gc fail, as with `git worktree remove`; so
    // a gc of ours waits for its turn.
    torture(&bench, true, |i| {
        for (round, tree) in made[i].iter().enumerate() {
            write(&tree.path.join("work"), format!("{i} {round}"));
            let saved = bench.snap_as(tree, &format!("refs/kapell/tasks/{i}/{round}"), None).unwrap();
            let proof = check_saved(&bench.git, tree, &saved, &bench.path("scratch")).unwrap();
            remove(&bench.git, &lock(&bench), proof, &bench.path("trash")).unwrap().unwrap();
        }
    });
    let listed = git_in(&bench.top(), &["for-each-ref", "refs/kapell/tasks"]);
    assert_eq!(listed.lines().count(), 48);
    assert_eq!(fs::read_dir(bench.top().join(".git/worktrees")).map_or(0, Iterator::count), 0);
    git_in(&bench.top(), &["fsck", "--strict"]);
}

#[test]
fn a_tree_goes_only_when_it_is_saved() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let scratch = bench.path("scratch");
    write(&tree.path.join("work"), "w");
    write(&tree.path.join("target/out"), "ignored");
    let saved = bench.snap(&tree);
    let check = |saved: &Snapshot| check_saved(&bench.git, &tree, saved, &scratch);
    let refused = |expected: &str| {
        let Err(WorktreeError::Unsaved { unsaved, .. }) = check(&saved) else { panic!("not refused") };
        assert_eq!(unsaved, [expected.into()]);
    };

    write(&tree.path.join("late"), "l");
    refused("late");
    fs::remove_file(tree.path.join("late")).unwrap();
    write(&tree.path.join("work"), "w2");
    refused("work");
    write(&tree.path.join("work"), "w");
    git_in(&tree.path, &["init", "-q", "nested"]);
    write(&tree.path.join("nested/work"), "n");
    refused("nested");
    fs::remove_dir_all(tree.path.join("nested")).unwrap();
    let unheld = Snapshot { reference: "refs/kapell/tasks/none/1".into(), ..saved.clone() };
    assert!(matches!(check(&unheld), Err(WorktreeError::Unheld { .. })));

    // A worker that could commit did: that commit stays too, though its file is gone.
    git_in(&tree.path, &["commit", "-q", "--allow-empty", "-m", "by the worker"]);
    let own = git_in(&tree.path, &["rev-parse", "HEAD"]);
    let proof = check(&saved).unwrap();
    assert_eq!(proof.ignored, ["target/".into()]);
    let trashed = remove(&bench.git, &lock(&bench), proof, &bench.path("trash")).unwrap().unwrap();
    assert!(!tree.path.exists() && !tree.admin_dir.exists());
    assert_eq!(fs::read_to_string(trashed.join("target/out")).unwrap(), "ignored");
    git_in(&bench.top(), &["reflog", "expire", "--expire=all", "--all"]);
    git_in(&bench.top(), &["gc", "-q", "--prune=now"]);
    assert_eq!(bench.file_at(&saved.commit, "work").unwrap(), "w");
    git_in(&bench.top(), &["cat-file", "-e", &own]);

    // Killed between the two renames: the folder is gone, git still knows it.
    let tree = bench.add("t2");
    let saved = bench.snap(&tree);
    delete_folder(&tree.path).unwrap();
    let found = Worktree::find(&bench.git, &bench.path("t2")).unwrap();
    let proof = check_saved(&bench.git, &found, &saved, &scratch).unwrap();
    assert_eq!(remove(&bench.git, &lock(&bench), proof, &bench.path("trash")).unwrap(), None);
    assert!(!tree.admin_dir.exists());
}

#[test]
fn folders_without_permission_are_deleted() {
    use std::os::unix::fs::PermissionsExt;
    let room = tempfile::tempdir().unwrap();
    let outside = room.path().join("outside/file");
    write(&outside, "stays");
    let folder = room.path().join("tree");
    write(&folder.join("a/b/c"), "c");
    symlink(room.path().join("outside"), folder.join("link")).unwrap();
    for closed in ["a/b", "a"] {
        fs::set_permissions(folder.join(closed), fs::Permissions::from_mode(0o100)).unwrap();
    }
    delete_folder(&folder).unwrap();
    assert!(!folder.exists());
    assert!(outside.exists(), "links are not followed");
}

#[test]
fn a_warm_tree_is_as_good_as_a_new_one() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let next =
        bench.commit(&bench.base, &[("src/a.rs", Some("next\n")), ("docs/x.md", None), ("n/m", Some("m"))]);
    let at = |path: &str| tree.path.join(path);
    write(&at("README"), "changed");
    write(&at("src/b.rs"), "fn B() {}\n"); // The same size.
    make_executable(&at("src/a.rs"));
    write(&at("untracked/x"), "u");
    write(&at("target/out"), "cache");
    write(&at("n"), "in the way of n/m");
    git_in(&tree.path, &["init", "-q", "nested"]);
    fs::remove_dir_all(at("docs")).unwrap();
    symlink(bench.top().join("docs"), at("docs")).unwrap();
    git_in(&tree.path, &["update-index", "--assume-unchanged", "README"]);
    git_in(&tree.path, &["checkout", "-q", "-b", "workers-own"]);
    write(&at(".git"), "gitdir: /nowhere\n");
    reset(&bench.git, &tree, &next, Ignored::Keep).unwrap();
    assert_eq!(git_in(&tree.path, &["status", "--porcelain"]), "");
    assert_eq!(git_in(&tree.path, &["rev-parse", "HEAD"]), next.as_str());
    assert_eq!(git_in(&tree.path, &["branch", "--show-current"]), "");
    assert_eq!(fs::read_to_string(at("README")).unwrap(), "read me\n");
    assert_eq!(fs::read_to_string(at("src/b.rs")).unwrap(), "fn b() {}\n");
    assert_eq!(fs::read_to_string(at("target/out")).unwrap(), "cache");
    assert!(!at("untracked").exists() && !at("nested").exists());
    assert!(fs::symlink_metadata(at("docs")).is_err());
    assert!(bench.top().join("docs/x.md").exists(), "what a link led to is not touched");
    reset(&bench.git, &tree, &bench.base, Ignored::Delete).unwrap();
    assert!(!at("target").exists());
    assert_eq!(bench.snap(&tree).changed, []);
    assert_eq!(tree.base(), Some(bench.base));
}

#[test]
fn refs_that_are_no_files_work_too() {
    let bench = Bench::new();
    if bench.git.version() < (super::super::Version { major: 2, minor: 45 }) {
        return; // That git knows only files.
    }
    let bench = Bench::init(&[("README", "r\n"), ("out/side", "o\n")], &["--ref-format=reftable"]);
    // There git makes the worktree, and takes over what the person's checkout leaves out.
    git_in(&bench.top(), &["sparse-checkout", "set", "in"]);
    let tree = bench.add("t1");
    assert_eq!(Worktree::find(&bench.git, &tree.path).as_ref(), Some(&tree));
    write(&tree.path.join("w"), "w");
    let saved = bench.snap(&tree);
    assert_eq!(lines(&saved), ["Added w"]);
    assert!(tree.path.join("out/side").exists());
    assert_eq!(git_in(&tree.path, &["rev-parse", "HEAD"]), bench.base.as_str());
    reset(&bench.git, &tree, &saved.commit, Ignored::Keep).unwrap();
    assert_eq!(git_in(&tree.path, &["rev-parse", "HEAD"]), saved.commit.as_str());
    let proof = check_saved(&bench.git, &tree, &saved, &bench.path("scratch")).unwrap();
    remove(&bench.git, &lock(&bench), proof, &bench.path("trash")).unwrap().unwrap();
    assert!(!git_in(&bench.top(), &["worktree", "list"]).contains("t1"));
    assert_eq!(read::resolve(&bench.git, &saved.reference).unwrap(), Some(saved.commit));
}

#[test]
fn locks_of_killed_gits() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let persons = bench.path("theirs");
    git_in(&bench.top(), &["worktree", "add", "-q", "--detach", persons.to_str().unwrap()]);
    let git_dir = fs::canonicalize(bench.top().join(".git")).unwrap();
    let ours = [git_dir.join("packed-refs.lock"), tree.admin_dir.join("index.lock")];
    write(&git_dir.join("kapell/new-0123456789/HEAD"), "half made");
    write(&git_dir.join("kapell/old-t-012345/HEAD"), "half gone");
    let theirs = [git_dir.join("worktrees/theirs/index.lock"), git_dir.join("index.lock")];
    for lock in ours.iter().chain(&theirs) {
        write(lock, "half an index");
    }
    let young = lock(&bench).recovered().clone();
    assert_eq!(young, queue::Recovered::default(), "a young lock may have a living holder");
    assert_eq!(fs::read_dir(git_dir.join("kapell")).unwrap().count(), 0);
    for lock in ours.iter().chain(&theirs) {
        make_old(lock);
    }
    let recovered = lock(&bench).recovered().clone();
    let stale = |path: &PathBuf| PathBuf::from(format!("{}.stale", path.display()));
    assert_eq!(recovered.moved, ours.iter().map(stale).collect::<Vec<_>>());
    assert_eq!(recovered.left, theirs);
    assert_eq!(fs::read_to_string(&recovered.moved[0]).unwrap(), "half an index");
    assert!(theirs.iter().all(|lock| lock.exists()) && ours.iter().all(|lock| !lock.exists()));
}

#[test]
fn the_queue_lasts_as_long_as_a_git_that_was_started_in_it() {
    let bench = Bench::new();
    let repository = bench.git.repository();
    let guard = lock(&bench);
    assert!(bench.git.try_turn().unwrap().is_none());
    let is_lock = ["-c".into(), "test /dev/stdin -ef kapell.lock".into()];
    let lock_folder = &repository.common_dir;
    let given = Input::Lock(&guard);
    let finished = execute(Path::new("/bin/sh"), &is_lock, &[], lock_folder, given).unwrap();
    assert_eq!(finished.code, Some(0), "the child has the lock file");
    // A git that outlives the guard, as after a kill of this process: it has the lock as its stdin.
    let pipe = bench.path("pipe");
    fifo(&pipe);
    let mut child = person(&bench.top())
        .args(["-c", &format!("alias.wait=!cat {} #", pipe.display()), "wait"])
        .stdin(guard.share().unwrap())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    drop(guard);
    assert!(bench.git.try_turn().unwrap().is_none());
    fs::write(&pipe, "end").unwrap();
    child.wait().unwrap();
    // Waited for rather than tried: a program that another test starts at this moment has a copy
    // of the lock between its fork and its exec.
    drop(bench.git.turn().unwrap());
}

#[test]
fn objects_that_somebodys_gc_deleted_are_written_again() {
    let bench = Bench::new();
    let tree = bench.add("t1");
    let scratch = bench.path("scratch");
    write(&tree.path.join("work"), "precious");
    let first = bench.snap(&tree);
    let change = &first.changed[0];
    for lost in [change.new_oid.as_str(), first.tree.as_str(), first.commit.as_str()] {
        fs::remove_file(bench.top().join(".git/objects").join(&lost[..2]).join(&lost[2..])).unwrap();
        let unsaved = check_saved(&bench.git, &tree, &first, &scratch);
        assert!(unsaved.is_err(), "a tree went though its snapshot is not whole");
        let again = bench.snap_as(&tree, &first.reference, Some(&first.commit)).unwrap();
        check_saved(&bench.git, &tree, &again, &scratch).unwrap();
        assert_eq!(bench.file_at(&again.commit, "work").unwrap(), "precious");
        // A reflog remembers the commit that was lost.
        git_in(&bench.top(), &["fsck", "--strict", "--no-reflogs"]);
        if lost != first.commit.as_str() {
            git_in(&bench.top(), &["update-ref", &first.reference, first.commit.as_str()]);
        }
    }
}

#[test]
fn a_tag_that_is_called_like_a_branch_misleads_nobody() {
    let bench = Bench::new();
    let git = &bench.git;
    let next = bench.commit(&bench.base, &[("n", Some("n"))]);
    git_in(&bench.top(), &["tag", "main", next.as_str()]);
    git_in(&bench.top(), &["branch", "env/a", next.as_str()]);
    // A tag may even be of a file.
    git_in(&bench.top(), &["tag", "env/a", "HEAD:README"]);
    for (rev, expected) in [
        ("main", &bench.base),
        ("refs/heads/main", &bench.base),
        ("refs/tags/main", &next),
        ("main~0", &bench.base),
        ("main^{commit}", &bench.base),
        ("env/a", &next),
        ("env/a~1", &bench.base),
        ("HEAD", &bench.base),
        (next.as_str(), &next),
    ] {
        assert_eq!(read::named(git, rev).unwrap().as_ref(), Some(expected), "{rev}");
    }
    for rev in ["", "-h", "nothing", "..", "a b", "main..main", "/", "main:README", "@{-1}"] {
        assert_eq!(read::named(git, rev).unwrap(), None, "{rev}");
    }
    let guard = lock(&bench);
    let path = bench.path("environment");
    environment::add_worktree(git, &guard, &path, "env/a", &bench.base, "a").unwrap();
    drop(guard);
    let there = Git::new(&bench.program(), &find(&path).unwrap()).unwrap();
    let branch = read::Head::Branch { reference: "refs/heads/env/a".into(), commit: Some(next) };
    assert_eq!(read::head(&there).unwrap(), branch);
    assert_eq!(fs::read_to_string(path.join("n")).unwrap(), "n");
    assert_eq!(person(&path).args(["status", "--porcelain"]).output().unwrap().stdout, b"");
}
