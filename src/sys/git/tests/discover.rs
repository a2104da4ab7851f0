use super::super::{DiscoverError, Repository};
use super::*;

#[test]
fn every_kind_of_checkout() {
    let bench = Bench::new();
    let top = fs::canonicalize(bench.top()).unwrap();
    let linked = bench.path("linked");
    git_in(&top, &["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    let bare = bench.path("bare.git");
    git_in(&top, &["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let url = top.to_str().unwrap();
    git_in(&top, &["-c", "protocol.file.allow=always", "submodule", "add", "-q", url, "sub"]);
    git_in(&bench.path(""), &["init", "-q", "--separate-git-dir", "apart.git", "apart"]);
    let room = fs::canonicalize(bench.room.path()).unwrap();
    let git_dir = top.join(".git");
    std::os::unix::fs::symlink(&top, bench.path("link")).unwrap();

    let expect = |start: &str, common: &Path, own: &Path, at: Option<&Path>| {
        let expected = Repository {
            common_dir: common.to_path_buf(),
            git_dir: own.to_path_buf(),
            top: at.map(Path::to_path_buf),
        };
        assert_eq!(find(&bench.path(start)).unwrap(), expected, "{start}");
    };
    expect("main", &git_dir, &git_dir, Some(&top));
    expect("main/src", &git_dir, &git_dir, Some(&top));
    expect("main/src/a.rs", &git_dir, &git_dir, Some(&top));
    expect("main/.git/refs", &git_dir, &git_dir, Some(&top));
    expect("link/src", &git_dir, &git_dir, Some(&top));
    expect("linked", &git_dir, &git_dir.join("worktrees/linked"), Some(&room.join("linked")));
    expect(
        "main/.git/worktrees/linked",
        &git_dir,
        &git_dir.join("worktrees/linked"),
        Some(&room.join("linked")),
    );
    let module = git_dir.join("modules/sub");
    expect("main/sub/src", &module, &module, Some(&top.join("sub")));
    expect("bare.git", &room.join("bare.git"), &room.join("bare.git"), None);
    expect("apart", &room.join("apart.git"), &room.join("apart.git"), Some(&room.join("apart")));
    assert!(matches!(find(&bare).unwrap().require_top(), Err(DiscoverError::Bare { .. })));

    // A bare repository that has only linked worktrees.
    git_in(&top, &["config", "core.bare", "true"]);
    expect("main", &git_dir, &git_dir, None);
    expect("linked", &git_dir, &git_dir.join("worktrees/linked"), Some(&room.join("linked")));
}

#[test]
fn what_is_no_repository_says_why() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name);
    fs::create_dir_all(at("plain/.git")).unwrap();
    write(&at("garbage/.git"), "nonsense");
    write(&at("empty/.git"), "");
    write(&at("dangling/.git"), "gitdir: ../nowhere\n");
    fs::create_dir_all(at("headless/.git/objects")).unwrap();
    fs::create_dir_all(at("half/.git/objects")).unwrap();
    write(&at("half/.git/HEAD"), "ref: refs/heads/main\n");
    fs::create_dir(at("looped")).unwrap();
    std::os::unix::fs::symlink(".git", at("looped/.git")).unwrap();
    for (name, expected) in [
        ("plain", "is not inside a git repository"),
        ("garbage", "it is a file without a line `gitdir: PATH`"),
        ("empty", "it is a file without a line `gitdir: PATH`"),
        ("dangling", "nowhere, which does not exist"),
        ("headless", "HEAD is missing"),
        ("half", "the folder refs is missing"),
        ("looped", "cannot read"),
        ("missing", "cannot read"),
    ] {
        let said = find(&at(name)).unwrap_err().to_string();
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn strangers_repositories_are_not_run() {
    if !rustix::process::geteuid().is_root() {
        return; // Giving a folder away needs root.
    }
    let bench = Bench::new();
    let stranger = Some(12_345);
    if std::os::unix::fs::chown(bench.top().join(".git"), stranger, None).is_err() {
        return; // Root, without its powers.
    }
    let repository = find(&bench.top()).unwrap();
    let said = Git::new(&bench.program(), &repository).unwrap_err().to_string();
    assert!(said.contains("safe.directory"), "{said}");
    let top = repository.top.as_ref().unwrap().display().to_string();
    write(&bench.path(".gitconfig"), format!("[safe]\n\tdirectory = {top}\n"));
    Git::new(&bench.program(), &repository).unwrap();
}

#[test]
fn a_missing_or_old_git_is_named() {
    let room = tempfile::tempdir().unwrap();
    let search = |folder: &Path| Program::find([("PATH".into(), folder.as_os_str().to_owned())]);
    let said = search(room.path()).unwrap_err().to_string();
    assert!(said.contains("install git 2.38"), "{said}");
    write(&room.path().join("git"), "#!/bin/sh\necho git version 2.34.1\n");
    make_executable(&room.path().join("git"));
    let said = search(room.path()).unwrap_err().to_string();
    assert!(said.contains("too old (git version 2.34.1)"), "{said}");
    // A relative folder on the path would be looked up in a worker's tree.
    assert!(Program::find([("PATH".into(), ".".into())]).is_err());
}
