//! The wall from the inside: a thread goes behind it and tries.

use std::os::unix::fs::symlink;

use super::*;

fn check_refused(wall: &Wall, expected: &str) {
    match wall.prepare(&[]) {
        Err(error @ WallError::Path { .. }) => {
            assert!(error.to_string().contains(expected), "{error} should say {expected}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a wall was built; expected: {expected}"),
    }
}

#[test]
fn the_probe_finds_out_by_trying_and_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    match probe(scratch.path()) {
        WallSupport::Holds { name, .. } => {
            assert!(name.starts_with("landlock ") || name == "seatbelt", "{name}");
        }
        WallSupport::Absent(why) => assert!(!why.is_empty()),
    }
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    // The thread that probed is gone, and this one is as free as before.
    std::fs::write(scratch.path().join("free"), "x").unwrap();
}

#[test]
fn the_probe_tells_why_there_is_none() {
    let support = probe(Path::new("/nonexistent/folder"));
    assert!(matches!(&support, WallSupport::Absent(why) if why.contains("/nonexistent")), "{support:?}");
}

#[test]
fn off_needs_no_path_to_exist() {
    let wall = Wall { writable: vec!["/nonexistent".into()], ..Wall::off() };
    assert_eq!(wall.prepare(&[]).unwrap().description(), "off");
}

#[cfg(target_os = "linux")]
#[test]
fn paths_that_are_not_what_they_seem_are_refused() {
    let top = tempfile::tempdir().unwrap();
    let top = top.path().canonicalize().unwrap();
    let folder = top.join("folder");
    let file = folder.join("file");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&file, "").unwrap();
    symlink(&folder, top.join("link")).unwrap();
    symlink(&file, top.join("file-link")).unwrap();
    std::fs::write(top.join("one"), "").unwrap();
    std::fs::hard_link(top.join("one"), top.join("two")).unwrap();
    let walled = Wall { mode: Mode::Strict, ..Wall::off() };

    let folders = [
        (top.join("link"), "link"),
        (top.join("link/.."), "link"),
        (top.join("missing"), "No such file"),
        (file, "is not a folder"),
        ("folder".into(), "absolute"),
    ];
    for (path, expected) in folders {
        check_refused(&Wall { writable: vec![path], ..walled.clone() }, expected);
    }
    let files = [
        (top.join("file-link"), "link"),
        (top.join("link/file"), "link"),
        (top.join("one"), "2 names"),
        (folder, "is not a plain file"),
    ];
    for (path, expected) in files {
        check_refused(&Wall { files: vec![path], ..walled.clone() }, expected);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_wall_says_what_it_is() {
    let top = tempfile::tempdir().unwrap();
    let top = top.path().canonicalize().unwrap();
    let wall = Wall { mode: Mode::Worktree, writable: vec![top.clone()], ..Wall::off() };
    let plain = wall.prepare(&[]).unwrap().description().to_owned();
    assert!(plain.starts_with("landlock ") && plain.contains(", worktree"), "{plain}");
    let subtracted = Wall { read_only: vec![top.join(".git")], ..wall };
    assert_eq!(subtracted.prepare(&[]).unwrap().description(), plain);
}

#[cfg(unix)]
#[test]
fn what_a_person_keeps_is_granted_by_its_real_path_as_far_as_it_exists() {
    let top = tempfile::tempdir().unwrap();
    let top = top.path().canonicalize().unwrap();
    let (folder, file) = (top.join("folder"), top.join("file"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&file, "").unwrap();
    symlink(&folder, top.join("folder-link")).unwrap();
    symlink(&file, top.join("file-link")).unwrap();
    symlink(top.join("missing"), top.join("dangling")).unwrap();
    let mut wall = Wall { mode: Mode::Worktree, ..Wall::off() };
    wall.grant_persons(
        &["folder-link", "file-link", "file", "missing", "dangling"].map(|name| top.join(name)),
    );
    assert_eq!((&wall.writable[..], &wall.files[..]), (&[folder][..], &[file.clone(), file][..]));
    #[cfg(target_os = "linux")]
    wall.prepare(&[]).unwrap();
}
