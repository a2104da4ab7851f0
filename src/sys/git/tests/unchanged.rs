//! Trees that nobody touched are recognised without git, and all others are not.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::symlink;
use std::time::UNIX_EPOCH;

use super::super::unchanged::{Look, Seen};
use super::*;
use crate::base::clock::Time;

/// A moment at which whatever was done in a test lies long enough ago.
fn later() -> Time {
    Time::now().plus_seconds(3600)
}

fn checkout(bench: &Bench) -> Worktree {
    Worktree::of_checkout(bench.git.repository()).unwrap()
}

#[test]
fn every_touch_is_seen() {
    let bench = Bench::new();
    let (top, tree) = (bench.top(), checkout(&bench));
    write(&top.join("deep/er/file"), "1234");
    let file = top.join("deep/er/file");
    let touches: [(&str, &dyn Fn()); 13] = [
        ("other text of the same length and time", &|| {
            let before = fs::metadata(&file).unwrap();
            fs::write(&file, "4321").unwrap();
            let times = FileTimes::new().set_modified(before.modified().unwrap());
            File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
        }),
        ("another mode", &|| make_executable(&file)),
        ("a new file", &|| write(&top.join("deep/new"), "")),
        ("a file gone", &|| fs::remove_file(top.join("deep/new")).unwrap()),
        ("another name", &|| fs::rename(&file, top.join("deep/er/other")).unwrap()),
        ("its own name again", &|| fs::rename(top.join("deep/er/other"), &file).unwrap()),
        ("a link in the place of a file", &|| {
            fs::remove_file(&file).unwrap();
            symlink("1234", &file).unwrap();
        }),
        ("an empty folder", &|| fs::create_dir(top.join("empty")).unwrap()),
        ("a hidden file", &|| write(&top.join(".hidden"), "")),
        ("a repository within", &|| write(&top.join("empty/.git/HEAD"), "ref: refs/heads/main\n")),
        ("the repository's ignore list", &|| write(&top.join(".git/info/exclude"), "*.log\n")),
        ("the repository's settings", &|| drop(git_in(&top, &["config", "core.fileMode", "false"]))),
        ("the person's ignore list", &|| write(&bench.path(".config/git/ignore"), "*.bak\n")),
    ];
    for (what, touch) in touches {
        let before = Look::as_of(&bench.git, &tree, later()).unwrap();
        assert_eq!(Look::as_of(&bench.git, &tree, later()), Some(before), "nothing was done: {what}");
        let before = Look::as_of(&bench.git, &tree, later());
        touch();
        assert_ne!(Look::as_of(&bench.git, &tree, later()), before, "{what}");
    }
    // What git does for itself is no touch.
    let before = Look::as_of(&bench.git, &tree, later());
    git_in(&top, &["update-ref", "refs/heads/another", "HEAD"]);
    assert_eq!(Look::as_of(&bench.git, &tree, later()), before);
}

#[test]
fn what_changed_just_now_or_is_large_is_gits_to_look_at() {
    let bench = Bench::new();
    let (top, tree) = (bench.top(), checkout(&bench));
    write(&top.join("new"), "");
    let changed = fs::metadata(top.join("new")).unwrap().modified().unwrap();
    let changed = changed.duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    for (after, what) in [(50, "just now"), (-60_000, "a clock set back")] {
        assert_eq!(Look::as_of(&bench.git, &tree, Time::from_millis(changed + after)), None, "{what}");
    }
    assert!(Look::as_of(&bench.git, &tree, Time::from_millis(changed + 200)).is_some());
    for number in 0..4100 {
        fs::write(top.join(format!("many-{number}")), "").unwrap();
    }
    assert_eq!(Look::as_of(&bench.git, &tree, later()), None);
}

#[test]
fn a_snapshot_of_an_untouched_checkout_is_the_one_before() {
    let bench = Bench::new();
    let (top, tree) = (bench.top(), checkout(&bench));
    write(&top.join(".git/info/exclude"), "*.log\n");
    write(&top.join("a.log"), "");
    let snap = |name: &str| {
        let reference = format!("refs/kapell/tasks/shared/{name}");
        let request = Request {
            tree: &tree,
            base: &bench.base,
            reference: &reference,
            expected: None,
            message: "work",
            scratch: &bench.path("scratch"),
            keeps_base: false,
            largest: LARGEST_FILE,
            is_exact: false,
        };
        snapshot(&bench.git, &request).unwrap()
    };
    // Until the last change lies long enough ago.
    while Look::at(&bench.git, &tree).is_none() {}
    let first = snap("1");
    assert_eq!((lines(&first), first.ignored.as_slice()), (vec![], &["a.log".into()][..]));
    assert!(bench.git.seen().is_some());
    // That git is not asked again shows by what it did not say.
    let told = vec!["told.log".into()];
    let look = Look::at(&bench.git, &tree).unwrap();
    *bench.git.seen() = Some(Seen::new(look, &tree, &bench.base, told.clone()));
    assert_eq!(snap("1"), Snapshot { ignored: told, ..first });
    // Another base, and a touched tree, are looked at anew.
    let other = bench.commit(&bench.base, &[("src/a.rs", Some("other"))]);
    let look = Look::at(&bench.git, &tree).unwrap();
    assert_eq!(bench.git.seen().as_ref().unwrap().ignored(&look, &tree, &other), None);
    write(&top.join("src/a.rs"), "changed");
    assert_eq!(lines(&snap("2")), ["Modified src/a.rs"]);
    while Look::at(&bench.git, &tree).is_none() {}
    assert_eq!(lines(&snap("3")), ["Modified src/a.rs"]);
}
