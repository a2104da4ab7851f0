use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::*;
use crate::domain::claim::HolderKind;
use crate::services::{Caller, Cancel, House};

/// A home with a project, and only those programs on PATH that a test puts there.
struct Ward {
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

impl Ward {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bin", "home", "project"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let path = folder.path().join("bin").display().to_string();
        Self { folder, environment: BTreeMap::from([("PATH".to_owned(), path)]) }
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.folder.path().join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The real git, behind a script that a test may make lie.
    fn git(&self, lie: &str) {
        let path = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin";
        let real = crate::sys::process::find::find_program("git", path).expect("the tests need git");
        self.program("git", &format!("#!/bin/sh\nPATH={path}\n{lie}\nexec {} \"$@\"\n", real.display()));
    }

    fn session(&self) -> Session {
        let root = self.folder.path();
        Session {
            house: Arc::new(House::new(
                root.join("state"),
                self.environment.clone(),
                root.join("bin/kapell"),
                root.join("home"),
                root.join("home/config.toml"),
                crate::store::Check::Header,
            )),
            caller: Caller::new(HolderKind::Person, "ada"),
            folder: root.join("project"),
            cancel: Cancel::default(),
        }
    }

    fn diagnose(&self) -> BTreeMap<&'static str, Check> {
        let checks = diagnose(&self.session(), &mut |_| {});
        checks.into_iter().map(|check| (check.name, check)).collect()
    }
}

#[test]
fn a_sound_machine_is_sound_and_nothing_stays_behind() {
    let ward = Ward::new();
    ward.git("");
    let checks = ward.diagnose();
    for name in ["state folder", "file notices", "store", "clock", "git", "configuration"] {
        assert_eq!(checks[name].outcome, Outcome::Ok, "{:?}", checks[name]);
    }
    assert_eq!(checks["project"].outcome, Outcome::Warn, "a plain folder");
    assert_eq!(checks["agents"].outcome, Outcome::Warn);
    assert_eq!(fs::read_dir(ward.folder.path().join("state/tmp")).unwrap().count(), 0);
    let session = ward.session();
    let events = session.store().unwrap().read(|tx| tx.newest_event()).unwrap();
    assert_eq!(events, 0, "the trial row was rolled back");
}

#[test]
fn a_state_folder_that_refuses_hides_nothing_else() {
    let ward = Ward::new();
    ward.git("");
    // Root is denied nothing, but no folder is made in a file.
    fs::create_dir(ward.folder.path().join("state")).unwrap();
    fs::write(ward.folder.path().join("state/tmp"), "a file").unwrap();
    let checks = ward.diagnose();
    assert_eq!(checks["state folder"].outcome, Outcome::Fail, "{:?}", checks["state folder"]);
    assert!(checks["state folder"].next.as_ref().unwrap().contains("KAPELL_HOME"));
    for name in ["git", "configuration", "clock", "state disk"] {
        assert!(checks[name].outcome != Outcome::Fail, "{:?}", checks[name]);
    }
    for name in ["wall", "agents", "project"] {
        assert!(checks.contains_key(name), "{name} was not tried: {checks:#?}");
    }
}

#[test]
fn git_is_judged_by_what_it_does() {
    for (lie, outcome, says) in [
        ("[ \"$1\" != --version ] || { echo git version 2.37.9; exit; }", Outcome::Fail, "too old"),
        ("[ \"$1\" != --version ] || { echo hello; exit; }", Outcome::Fail, "no version"),
        (
            "[ \"$1\" != merge-tree ] || { echo 'unknown option' >&2; exit 129; }",
            Outcome::Fail,
            "git merge-tree: unknown option",
        ),
        ("exit 1", Outcome::Fail, "git --version: nothing"),
    ] {
        let ward = Ward::new();
        ward.git(lie);
        let check = git::program(&ward.session(), &ward.folder.path().join("home"));
        assert_eq!(check.outcome, outcome, "{check:?}");
        assert!(check.found.contains(says), "{check:?}");
    }
    assert_eq!(Ward::new().diagnose()["git"].found, "not found on PATH");
}

#[test]
fn versions_of_git() {
    for (text, version) in [
        ("2.43.0", Some((2, 43))),
        ("2.39.5 (Apple Git-154)", Some((2, 39))),
        ("2.47.0.windows.1", Some((2, 47))),
        ("2.38-rc1", Some((2, 38))),
        ("two", None),
        ("", None),
    ] {
        assert_eq!(git::parse(text), version, "{text}");
    }
}

#[test]
fn agents_are_asked_and_their_secrets_are_not_told() {
    let mut ward = Ward::new();
    ward.program("claude", "#!/bin/sh\necho '2.1.197 (Claude Code)'\n");
    ward.program("codex", "#!/bin/sh\necho 'cannot find module' >&2\nexit 1\n");
    ward.program("opencode", "#!/bin/sh\necho 1.18.33\n");
    ward.environment.insert("ANTHROPIC_AUTH_TOKEN".into(), "sk-secret".into());
    let checks = ward.diagnose();
    let claude = &checks["claude"];
    assert_eq!(claude.outcome, Outcome::Ok, "{claude:?}");
    assert!(claude.found.starts_with("2.1.197 (Claude Code) at "), "{claude:?}");
    assert!(claude.found.ends_with("; signed in by ANTHROPIC_AUTH_TOKEN"), "{claude:?}");
    assert_eq!(checks["codex"].outcome, Outcome::Fail);
    assert!(checks["codex"].found.ends_with(": cannot find module (exit 1)"));
    assert_eq!(checks["opencode"].outcome, Outcome::Warn, "not signed in");
    assert!(!format!("{checks:?}").contains("sk-secret"));

    ward.environment.insert("XDG_DATA_HOME".into(), ward.folder.path().join("data").display().to_string());
    fs::create_dir_all(ward.folder.path().join("data/opencode")).unwrap();
    fs::write(ward.folder.path().join("data/opencode/auth.json"), "{\"key\":\"sk-other\"}").unwrap();
    let checks = ward.diagnose();
    assert_eq!(checks["opencode"].outcome, Outcome::Ok, "{:?}", checks["opencode"]);
    assert!(!format!("{checks:?}").contains("sk-other"));
}

#[test]
fn a_clock_that_disagrees_is_told() {
    let now = Time::from_seconds(1_000_000);
    let at = |seconds: i64| Some(now.plus_seconds(seconds));
    for (recorded, modified, outcome, says) in [
        (None, at(0), Outcome::Ok, "agrees"),
        (at(-3600), at(1), Outcome::Ok, "agrees"),
        (at(3), at(-3), Outcome::Ok, "agrees"),
        (at(86_400), at(0), Outcome::Warn, "set back: the newest event was recorded 86400 s"),
        (at(-1), at(60), Outcome::Warn, "differs by 60 s"),
        (at(-1), at(-60), Outcome::Warn, "differs by 60 s"),
        (None, None, Outcome::Warn, "tells no time"),
    ] {
        let check = judge_clock(now, recorded, modified);
        assert_eq!(check.outcome, outcome, "{check:?}");
        assert!(check.found.contains(says), "{check:?}");
    }
}

#[test]
fn a_damaged_store_and_a_closed_folder_are_failures() {
    let ward = Ward::new();
    fs::create_dir(ward.folder.path().join("state")).unwrap();
    fs::write(ward.folder.path().join("state/kapell.db"), "no database").unwrap();
    let checks = ward.diagnose();
    assert_eq!(checks["store"].outcome, Outcome::Fail);
    assert!(checks["store"].next.is_some());

    let ward = Ward::new();
    fs::write(ward.folder.path().join("state"), "a file").unwrap();
    let checks = ward.diagnose();
    for name in ["state folder", "store"] {
        assert_eq!(checks[name].outcome, Outcome::Fail, "{:?}", checks[name]);
        assert!(checks[name].next.is_some());
    }
    assert!(!checks.contains_key("file notices"), "it is tried in the state folder alone");
}

#[test]
fn little_space_is_told_before_there_is_none() {
    let path = Path::new("/x");
    for (bytes, files, outcome) in [
        (10 << 30, 1_000_000, Outcome::Ok),
        (10 << 30, 0, Outcome::Ok),
        (10 << 30, 12, Outcome::Warn),
        (1 << 30, 1_000_000, Outcome::Warn),
        (1 << 20, 1_000_000, Outcome::Fail),
    ] {
        assert_eq!(judge_space("disk", path, bytes, files).outcome, outcome, "{bytes} {files}");
    }
}
