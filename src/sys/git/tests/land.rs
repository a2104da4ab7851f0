use super::super::land::{Advance, Merge, advance, checked_out, merge};
use super::super::read::{self, Head};
use super::super::{Version, refs};
use super::*;
use crate::base::paths::RepoPath;

#[test]
fn merges() {
    type Files<'a> = &'a [(&'a str, Option<&'a str>)];
    let bench = Bench::with(&[
        ("a", "1\n2\n3\n4\n5\n"),
        ("d/x", "x1\nx2\nx3\nx4\nx5\nx6\n"),
        ("log", "base\n"),
        (".gitattributes", "log merge=union\n"),
    ]);
    let moved = "x1\nx2\nx3\nx4\nx5\nx6\n";
    let cases: [(&str, Files<'_>, Files<'_>, &[&str]); 9] = [
        ("apart", &[("b", Some("b"))], &[("c", Some("c"))], &[]),
        ("in one file", &[("a", Some("0\n2\n3\n4\n5\n"))], &[("a", Some("1\n2\n3\n4\n6\n"))], &[]),
        ("the same", &[("b", Some("b"))], &[("b", Some("b"))], &[]),
        ("the same line", &[("a", Some("o\n"))], &[("a", Some("w\n"))], &["a"]),
        ("both add", &[("b\nb", Some("o"))], &[("b\nb", Some("w"))], &["b\nb"]),
        ("deleted there", &[("a", None)], &[("a", Some("1\n2\n3\n4\n6\n"))], &["a"]),
        ("by attribute", &[("log", Some("base\no\n"))], &[("log", Some("base\nw\n"))], &[]),
        // git would follow these renames and write where the worker owns nothing.
        (
            "renamed there",
            &[("d/x", None), ("e", Some(moved))],
            &[("d/x", Some("x1\nx2\nx3\nx4\nx5\nWORK\n"))],
            &["e"],
        ),
        ("folder renamed there", &[("d/x", None), ("e/x", Some(moved))], &[("d/new", Some("n"))], &[]),
    ];
    let old =
        Git::new(&bench.program().pretend(Version { major: 2, minor: 38 }), bench.git.repository()).unwrap();
    for (name, onto, work, conflicts) in cases {
        let onto = bench.commit(&bench.base, onto);
        let work = bench.commit(&bench.base, work);
        for git in [&bench.git, &old] {
            if name == "by attribute" && git.version() < (Version { major: 2, minor: 41 }) {
                continue; // There attributes count only where there are files.
            }
            match merge(git, &onto, &work, &bench.base).unwrap() {
                Merge::Clean { tree } => {
                    assert!(conflicts.is_empty(), "{name}: clean");
                    if name == "by attribute" {
                        assert_eq!(bench.file_at(&tree, "log").unwrap(), "base\no\nw\n");
                    }
                    if name.starts_with("folder") {
                        assert_eq!(bench.file_at(&tree, "d/new").unwrap(), "n");
                    }
                }
                Merge::Conflict { paths, report } => {
                    let expected: Vec<RepoPath> = conflicts.iter().map(|path| (*path).into()).collect();
                    assert_eq!(paths, expected, "{name}: {report}");
                    assert!(report.starts_with("CONFLICT"), "{name}: {report:?}");
                }
            }
        }
    }
}

#[test]
fn branches_move_by_compare_and_swap() {
    let bench = Bench::new();
    let guard = bench.git.turn().unwrap();
    let commits: Vec<Oid> =
        (0..8).map(|i| bench.commit(&bench.base, &[("n", Some(&format!("{i}")))])).collect();
    let go =
        |branch: &str, new: &Oid, old: Option<&Oid>| advance(&bench.git, &guard, branch, new, old).unwrap();
    let branch = "refs/heads/kapell/p1";
    let elsewhere = Advance::Moved { now: None };
    assert_eq!(go(branch, &commits[0], Some(&bench.base)), elsewhere, "it does not exist");
    assert_eq!(go(branch, &bench.base, None), Advance::Advanced);
    assert_eq!(go(branch, &bench.base, None), Advance::Advanced, "a second time after a kill");
    assert_eq!(go(branch, &commits[0], None), Advance::Moved { now: Some(bench.base.clone()) });
    let Advance::CheckedOut { path } = go("refs/heads/main", &commits[0], Some(&bench.base)) else {
        panic!()
    };
    assert_eq!(path, fs::canonicalize(bench.top()).unwrap());
    assert_eq!(checked_out(&bench.git, branch).unwrap(), None);

    // Many at once, without the queue: one wins, the others learn what it is now.
    let outcomes: Vec<refs::Update> = std::thread::scope(|scope| {
        let run = |new| refs::update(&bench.git, branch, new, Some(&bench.base), "race");
        let threads: Vec<_> = commits.iter().map(|new| scope.spawn(move || run(new))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    let winner = refs::read(&bench.git, branch).unwrap();
    for (outcome, new) in outcomes.iter().zip(&commits) {
        if winner.as_ref() == Some(new) {
            assert_eq!(*outcome, refs::Update::Done);
        } else {
            assert_eq!(*outcome, refs::Update::Moved { now: winner.clone() });
        }
    }
    assert!(advance(&bench.git, &guard, "refs/heads/..bad name", &bench.base, None).is_err());
}

#[test]
fn refs_are_read_as_git_reads_them() {
    let bench = Bench::new();
    let set = |name: &str, rev: &str| git_in(&bench.top(), &["update-ref", name, rev]);
    set("refs/kapell/tasks/t/1", "HEAD");
    git_in(&bench.top(), &["pack-refs", "--all"]);
    git_in(&bench.top(), &["commit", "-q", "--allow-empty", "-m", "second"]);
    set("refs/kapell/tasks/u/1", "HEAD");
    set("refs/heads/loose", "HEAD");
    git_in(&bench.top(), &["symbolic-ref", "refs/heads/symbolic", "refs/heads/loose"]);
    set("refs/heads/gone", "HEAD");
    git_in(&bench.top(), &["pack-refs", "--all"]);
    git_in(&bench.top(), &["update-ref", "-d", "refs/heads/gone"]);
    // Packed with the first commit, a file with the second.
    git_in(&bench.top(), &["commit", "-q", "--allow-empty", "-m", "third"]);
    for name in [
        "refs/heads/main",
        "refs/heads/loose",
        "refs/heads/symbolic",
        "refs/heads/gone",
        "refs/heads/ain",
        "refs/heads",
        "refs/kapell/tasks/t",
        "refs/kapell/tasks/t/1",
        "refs/kapell/tasks/t/1/2",
        "refs/kapell/tasks/u/1",
        "refs/heads/../heads/main",
        "refs/heads/",
        "main",
    ] {
        let said = bench.git.call("rev-parse").args(["--verify", "--quiet", "--end-of-options", name]);
        let said = said.accept(&[0, 1, 128]).finish().unwrap().stdout;
        let expected = Oid::parse(String::from_utf8_lossy(&said).trim_end());
        assert_eq!(refs::read(&bench.git, name).unwrap(), expected, "{name}");
    }
}

#[test]
fn questions() {
    let bench = Bench::new();
    let git = &bench.git;
    let next = bench.commit(&bench.base, &[("n", Some("n"))]);
    for (rev, expected) in [
        ("HEAD", Some(&bench.base)),
        ("main", Some(&bench.base)),
        ("refs/heads/main", Some(&bench.base)),
        (next.as_str(), Some(&next)),
        ("", None),
        ("nothing", None),
        ("--all", None),
        ("-h", None),
        ("HEAD:README", None),
        ("main\nmain", None),
        ("main..main", None),
        ("@{-1}", None),
    ] {
        assert_eq!(read::resolve(git, rev).unwrap().as_ref(), expected, "{rev:?}");
    }
    assert!(read::is_ancestor(git, &bench.base, &next).unwrap());
    assert!(!read::is_ancestor(git, &next, &bench.base).unwrap());
    let branch = Head::Branch { reference: "refs/heads/main".into(), commit: Some(bench.base.clone()) };
    assert_eq!(read::head(git).unwrap(), branch);
    git_in(&bench.top(), &["checkout", "-q", "--detach"]);
    assert_eq!(read::head(git).unwrap(), Head::Detached(bench.base.clone()));
    git_in(&bench.top(), &["checkout", "-q", "--orphan", "new"]);
    assert_eq!(read::head(git).unwrap(), Head::Branch { reference: "refs/heads/new".into(), commit: None });

    for (path, expected) in [("README", Some("read me\n")), ("src", None), ("none", None), ("README/x", None)]
    {
        assert_eq!(bench.file_at(&bench.base, path).as_deref(), expected, "{path}");
    }
    let diff = |limit| read::diff_text(git, &bench.base, &next, &[], limit).unwrap();
    let whole = diff(1 << 20);
    assert!(String::from_utf8_lossy(&whole.text).contains("+++ b/n\n") && !whole.is_cut);
    let cut = diff(10);
    assert_eq!((cut.text.len(), cut.is_cut), (10, true));
    let elsewhere = read::diff_text(git, &bench.base, &next, &["src".into()], 1 << 20).unwrap();
    assert_eq!(elsewhere.text, b"");
    let below: Vec<String> = read::ls_tree(git, &bench.base, &["src".into()])
        .unwrap()
        .iter()
        .map(|e| e.path.to_string())
        .collect();
    assert_eq!(below, ["src/a.rs", "src/b.rs"]);

    std::os::unix::fs::symlink("src", bench.top().join("link")).unwrap();
    git_in(&bench.top(), &["add", "-A"]);
    let gitlink = format!("160000,{},deep/sub", bench.base);
    git_in(&bench.top(), &["update-index", "--add", "--cacheinfo", &gitlink]);
    git_in(&bench.top(), &["commit", "-q", "-m", "barriers"]);
    let commit = read::resolve(git, "HEAD").unwrap().unwrap();
    let barriers = read::barriers(git, &commit).unwrap();
    assert_eq!(barriers.symlinks, ["link".into()].into());
    assert_eq!(barriers.gitlinks, ["deep/sub".into()].into());
    let kept = refs::quarantine(git, "T1/1", &next).unwrap();
    assert_eq!(kept, "refs/kapell/quarantine/T1/1");
    assert_eq!(refs::quarantine(git, "T1/1", &next).unwrap(), kept);
    assert_ne!(refs::quarantine(git, "T1/1", &commit).unwrap(), kept, "nothing is overwritten");
}

#[test]
fn errors_name_the_command_and_what_git_said() {
    let bench = Bench::new();
    let missing = Oid::parse(&"1".repeat(40)).unwrap();
    let said = read::ls_tree(&bench.git, &missing, &[]).unwrap_err().to_string();
    assert!(said.starts_with("git ls-tree -r -z") && said.contains("exit status: 128"), "{said}");
    for bad in ["", "HEAD", "1234567", &"1".repeat(41), &"G".repeat(40), &"A".repeat(40)] {
        assert_eq!(Oid::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_checkout_whose_configuration_does_not_say_bare_is_one() {
    let bench = Bench::new();
    git_in(&bench.top(), &["config", "--unset", "core.bare"]);
    let found = checked_out(&bench.git, "refs/heads/main").unwrap();
    assert_eq!(found, Some(fs::canonicalize(bench.top()).unwrap()));
    assert_eq!(checked_out(&bench.git, "refs/heads/other").unwrap(), None);
}

#[test]
fn a_branch_in_the_middle_of_a_rebase_or_a_bisect_is_not_moved() {
    for what in ["a rebase", "a bisect"] {
        let bench = Bench::new();
        let top = bench.top();
        let guard = bench.git.turn().unwrap();
        let new = bench.commit(&bench.base, &[("n", Some("n"))]);
        write(&top.join("README"), "more\n");
        git_in(&top, &["commit", "-qam", "more"]);
        let tip = Oid::parse(&git_in(&top, &["rev-parse", "HEAD"])).unwrap();
        let linked = bench.path("linked");
        if what == "a rebase" {
            git_in(&top, &["checkout", "-q", "--detach"]);
            git_in(&top, &["worktree", "add", "-q", linked.to_str().unwrap(), "main"]);
            // It stops at once, and leaves `HEAD` on no branch.
            git_in(&linked, &["-c", "sequence.editor=sed -i s/^pick/edit/", "rebase", "-q", "-i", "HEAD~1"]);
        } else {
            git_in(&top, &["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
            git_in(&top, &["bisect", "start"]);
            git_in(&top, &["checkout", "-q", "--detach"]);
        }
        let here = if what == "a rebase" { linked } else { top };
        assert_eq!(
            advance(&bench.git, &guard, "refs/heads/main", &new, Some(&tip)).unwrap(),
            Advance::InProgress { path: fs::canonicalize(here).unwrap(), what },
        );
        assert_eq!(refs::read(&bench.git, "refs/heads/main").unwrap(), Some(tip));
    }
}

/// A checkout whose `.git` is a file, and a commit that its `main` is to move to.
fn with_a_file_for_git(is_submodule: bool) -> (Bench, Git, PathBuf, Oid) {
    let bench = Bench::new();
    let top = match is_submodule {
        true => {
            let above = bench.path("above");
            fs::create_dir(&above).unwrap();
            git_in(&above, &["init", "-q", "-b", "main"]);
            let from = bench.top();
            let add = ["-c", "protocol.file.allow=always", "submodule", "add", "-q"];
            git_in(&above, &[&add[..], &[from.to_str().unwrap(), "sub"]].concat());
            above.join("sub")
        }
        false => {
            git_in(&bench.top(), &["init", "-q", "--separate-git-dir", bench.path("gd").to_str().unwrap()]);
            bench.top()
        }
    };
    assert!(top.join(".git").is_file());
    let git = Git::new(&bench.program(), &find(&top).unwrap()).unwrap();
    let tree = read::tree_of(&git, &bench.base).unwrap();
    let new = super::super::land::commit_tree(&git, &tree, &[&bench.base], "more").unwrap();
    (bench, git, fs::canonicalize(top).unwrap(), new)
}

#[test]
fn a_checkout_whose_git_is_a_file_is_found_and_moved() {
    for is_submodule in [false, true] {
        let (bench, git, top, new) = with_a_file_for_git(is_submodule);
        assert_eq!(checked_out(&git, "refs/heads/main").unwrap().as_ref(), Some(&top));
        assert_eq!(checked_out(&git, "refs/heads/other").unwrap(), None);
        // From another checkout of it, which knows the first by what the configuration says.
        let linked = bench.path("linked");
        git_in(&top, &["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
        let beside = Git::new(&bench.program(), &find(&linked).unwrap()).unwrap();
        let known = if is_submodule { &top } else { &git.repository().common_dir };
        assert_eq!(checked_out(&beside, "refs/heads/main").unwrap().as_ref(), Some(known));
        let guard = git.turn().unwrap();
        let found = checked_out(&git, "refs/heads/main").unwrap().unwrap();
        let forward = super::super::checkout::fast_forward;
        let moved = forward(&git, &guard, &found, "refs/heads/main", &bench.base, &new).unwrap();
        assert_eq!(moved, super::super::checkout::Forward::Forwarded);
        assert_eq!(git_in(&top, &["rev-parse", "HEAD"]), new.as_str());
        assert_eq!(git_in(&top, &["status", "--porcelain"]), "");
    }
}

#[test]
fn a_rebase_where_git_is_a_file_is_told_with_its_folder() {
    let (bench, git, top, new) = with_a_file_for_git(false);
    git_in(&top, &["checkout", "-q", "--detach"]);
    write(&git.repository().common_dir.join("rebase-merge/head-name"), "refs/heads/main\n");
    let guard = git.turn().unwrap();
    let told = advance(&git, &guard, "refs/heads/main", &new, Some(&bench.base)).unwrap();
    assert_eq!(told, Advance::InProgress { path: top, what: "a rebase" });
}
