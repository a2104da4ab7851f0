use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::super::refs;
use super::super::spare::{follow, is_pristine, park, sweep, take_or_add};
use super::super::worktree::check_saved;
use super::*;
use crate::base::clock::Time;

/// Saves what the worker left and puts the tree among the spares; whether it was taken.
fn put(bench: &Bench, tree: &Worktree, next: &Oid, most: usize) -> bool {
    let saved = bench.snap(tree);
    let saved = check_saved(&bench.git, tree, &saved, &bench.path("scratch")).unwrap();
    park(&bench.git, saved, next, most).unwrap().is_none()
}

fn take(bench: &Bench, name: &str, commit: &Oid) -> Worktree {
    let guard = bench.git.turn().unwrap();
    take_or_add(&bench.git, guard, &bench.path(name), commit).unwrap()
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

/// The names in the room that begin like this.
fn named(bench: &Bench, prefix: &str) -> Vec<String> {
    let names = fs::read_dir(bench.room.path()).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with(prefix)).collect()
}

/// It is what a new tree would be, with nothing of the one before.
fn is_as_new(bench: &Bench, tree: &Worktree, commit: &Oid) {
    assert_eq!(tree.base().as_ref(), Some(commit));
    assert_eq!(Worktree::find(&bench.git, &tree.path).as_ref(), Some(tree));
    assert_eq!(git_in(&tree.path, &["rev-parse", "HEAD"]), commit.as_str());
    assert_eq!(git_in(&tree.path, &["status", "--porcelain", "--ignored", "-uall"]), "");
    let fresh = take(bench, &format!("fresh-{}", tree.name()), commit);
    let list = |top: &Path| {
        let mut found = Vec::new();
        let mut folders = vec![top.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let (path, kind) = (entry.path(), entry.metadata().unwrap());
                found.push((path.strip_prefix(top).unwrap().to_owned(), kind.mode(), kind.nlink()));
                folders.extend(kind.is_dir().then_some(path));
            }
        }
        found.sort();
        found
    };
    assert_eq!(list(&tree.path), list(&fresh.path));
    let names = |tree: &Worktree| {
        let mut names: Vec<_> =
            fs::read_dir(&tree.admin_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(tree), names(&fresh));
    assert!(git_in(&bench.top(), &["worktree", "list"]).contains(&*tree.path.to_string_lossy()));
}

#[test]
fn a_spare_is_the_next_ones_tree_and_shows_nothing_of_the_last() {
    let bench = Bench::new();
    let next =
        bench.commit(&bench.base, &[("src/a.rs", Some("next\n")), ("docs/x.md", None), ("n/m", Some("m"))]);
    let first = bench.add("t1");
    let folder = inode(&first.path);
    write(&first.path.join("target/out"), "cache");
    write(&first.path.join("src/a.rs"), "mine\n");
    write(&first.path.join("new/file"), "new");
    fs::create_dir(first.path.join("empty")).unwrap();
    make_executable(&first.path.join("README"));
    git_in(&first.path, &["checkout", "-q", "-b", "workers-own"]);
    git_in(&first.path, &["commit", "-q", "--allow-empty", "-m", "the worker's own"]);
    let own = git_in(&first.path, &["rev-parse", "HEAD"]);
    write(&first.path.join(".git"), "gitdir: /nowhere\n");
    assert!(put(&bench, &first, &next, 1));
    assert!(!first.path.exists() && Worktree::find(&bench.git, &bench.path("t1")).is_none());

    // At the very commit.
    let second = take(&bench, "t2", &next);
    assert_eq!(inode(&second.path), folder);
    is_as_new(&bench, &second, &next);
    assert_eq!(second.name(), "t2");
    // At another one.
    assert!(put(&bench, &second, &next, 1));
    let third = take(&bench, "t3", &bench.base);
    assert_eq!(inode(&third.path), folder);
    is_as_new(&bench, &third, &bench.base);
    assert_eq!(bench.snap(&third).changed, []);
    // The commit that only its HEAD held.
    let kept = git_in(&bench.top(), &["for-each-ref", "--format=%(objectname)", "refs/kapell/trash/heads"]);
    assert!(kept.lines().any(|commit| commit == own), "{kept}");
}

#[test]
fn of_several_spares_the_one_at_the_commit_is_taken_and_more_than_enough_are_not_kept() {
    let bench = Bench::new();
    let next = bench.commit(&bench.base, &[("src/a.rs", Some("next\n"))]);
    let trees = ["t1", "t2", "t3"].map(|name| bench.add(name));
    let folders = trees.each_ref().map(|tree| inode(&tree.path));
    assert!(put(&bench, &trees[0], &bench.base, 2));
    assert!(put(&bench, &trees[1], &next, 2));
    assert!(!put(&bench, &trees[2], &next, 2));
    assert!(trees[2].path.exists());
    for (name, commit, folder) in [("t4", &next, folders[1]), ("t5", &next, folders[0])] {
        assert_eq!(inode(&take(&bench, name, commit).path), folder, "{name}");
    }
    assert!(!folders.contains(&inode(&take(&bench, "t6", &next).path)));
}

#[test]
fn spares_follow_what_lands() {
    let bench = Bench::new();
    let next = bench.commit(&bench.base, &[("src/a.rs", Some("next\n")), ("docs/x.md", None)]);
    let trees = ["t1", "t2"].map(|name| bench.add(name));
    for tree in &trees {
        assert!(put(&bench, tree, &bench.base, 2));
    }
    for commit in [&next, &next, &bench.base, &next] {
        follow(&bench.git, bench.room.path(), commit).unwrap();
        let bases: Vec<_> = Worktree::all(&bench.git).iter().map(Worktree::base).collect();
        assert_eq!(bases, [Some(commit.clone()), Some(commit.clone())]);
    }
    is_as_new(&bench, &take(&bench, "t3", &next), &next);
}

#[test]
fn what_git_does_not_look_at_makes_no_spare() {
    type Trick = fn(&Path);
    let tricks: [(&str, Trick); 5] = [
        ("two names of one file", |top| {
            fs::hard_link(top.join("README"), top.join("../outside")).unwrap();
        }),
        ("a file's mode", |top| {
            fs::set_permissions(top.join("README"), fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("a set-user-id bit", |top| {
            fs::set_permissions(top.join("README"), fs::Permissions::from_mode(0o4644)).unwrap();
        }),
        ("a folder's mode", |top| {
            fs::set_permissions(top.join("src"), fs::Permissions::from_mode(0o700)).unwrap();
        }),
        ("an attribute", |top| {
            let name = "user.kapell";
            rustix::fs::setxattr(top.join("README"), name, b"x", rustix::fs::XattrFlags::empty()).unwrap();
        }),
    ];
    for (what, trick) in tricks {
        let bench = Bench::new();
        let tree = bench.add("t1");
        assert!(is_pristine(&tree), "{what}");
        trick(&tree.path);
        assert!(!is_pristine(&tree), "{what}");
        // git writes a file anew that was touched in another second than it was written in. Then the
        // tree is as new, and may be a spare.
        if put(&bench, &tree, &bench.base, 9) {
            assert_ne!(what, "a folder's mode");
            let again = take(&bench, "t2", &bench.base);
            assert!(is_pristine(&again), "{what}");
            is_as_new(&bench, &again, &bench.base);
        } else {
            assert_eq!(named(&bench, "spare-"), Vec::<String>::new(), "{what}");
        }
    }
}

#[test]
fn a_kill_at_any_step_leaves_what_is_finished_or_swept() {
    let trash = |bench: &Bench| bench.path("trash");
    let sweep = |bench: &Bench| {
        let swept = sweep(&bench.git, bench.room.path(), &trash(bench), Time::from_seconds(0)).unwrap();
        (swept.len(), Worktree::all(&bench.git).len())
    };
    // Parking: renamed, and git looks for it at its old place.
    let bench = Bench::new();
    let tree = bench.add("t1");
    fs::rename(&tree.path, bench.path("spare-x")).unwrap();
    assert_eq!(sweep(&bench), (1, 0));
    assert_eq!(named(&bench, "spare-"), Vec::<String>::new());

    let spare = |bench: &Bench| {
        assert!(put(bench, &bench.add("t1"), &bench.base, 1));
        Worktree::all(&bench.git).remove(0)
    };
    // Taking, after each of its steps: the next try at the same place finishes it, and a sweep takes it away.
    type Step = fn(&Bench, &Worktree);
    let steps: [Step; 4] = [
        |_, spare| fs::remove_file(spare.admin_dir.join("kapell-base")).unwrap(),
        |bench, spare| {
            let link =
                format!("{}/.git\n", bench.path("t2").canonicalize().unwrap_or(bench.path("t2")).display());
            fs::write(spare.admin_dir.join("gitdir"), link).unwrap();
        },
        |bench, spare| fs::rename(&spare.path, bench.path("t2")).unwrap(),
        |bench, spare| fs::rename(&spare.admin_dir, bench.top().join(".git/worktrees/t2")).unwrap(),
    ];
    for done in 1..=steps.len() {
        for (is_swept, has_another) in [(false, false), (true, false), (false, true), (true, true)] {
            let bench = Bench::new();
            let spare = spare(&bench);
            if has_another {
                assert!(put(&bench, &bench.add("t3"), &bench.base, 2));
            }
            for step in &steps[..done] {
                step(&bench, &spare);
            }
            if is_swept {
                sweep(&bench);
            }
            let tree = take(&bench, "t2", &bench.base);
            is_as_new(&bench, &tree, &bench.base);
            sweep(&bench);
            assert_eq!(named(&bench, "spare-"), Vec::<String>::new(), "after {done}");
        }
    }
}

#[test]
fn a_git_that_is_killed_while_it_fills_a_used_tree_is_made_good() {
    for others in [0, 1] {
        let bench = Bench::new();
        let next = bench.commit(&bench.base, &[("src/a.rs", Some("next\n")), ("docs/x.md", None)]);
        let trees = ["t1", "o1"].map(|name| bench.add(name));
        for tree in &trees[..=others] {
            assert!(put(&bench, tree, &bench.base, 2));
        }
        // What it leaves: the tree in its new place, some files of both commits, its lock, and no mark.
        let tree = take(&bench, "t2", &next);
        fs::remove_file(tree.admin_dir.join("kapell-base")).unwrap();
        fs::write(tree.admin_dir.join("kapell-index.lock"), "").unwrap();
        write(&tree.path.join("src/a.rs"), "base\n");
        write(&tree.path.join("docs/x.md"), "base");
        let again = take(&bench, "t2", &next);
        assert_eq!(inode(&again.path), inode(&tree.path));
        is_as_new(&bench, &again, &next);
    }
}

#[test]
fn old_spares_go_and_trees_of_workers_stay() {
    let bench = Bench::new();
    let at_work = bench.add("t1");
    assert!(put(&bench, &bench.add("t2"), &bench.base, 1));
    let swept = |before| sweep(&bench.git, bench.room.path(), &bench.path("trash"), before).unwrap();
    assert_eq!(swept(Time::now().plus_seconds(-60)).len(), 0);
    assert_eq!(named(&bench, "spare-").len(), 1);
    assert_eq!(swept(Time::now().plus_seconds(60)).len(), 1);
    assert_eq!(named(&bench, "spare-").len(), 0);
    assert_eq!(Worktree::all(&bench.git), [at_work]);
    assert!(refs::read(&bench.git, "refs/kapell/tasks/t2/1").unwrap().is_some());
}
