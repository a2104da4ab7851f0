use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::*;
use crate::domain::claim::HolderKind;
use crate::services::{Caller, Cancel, House};
use crate::store::Check;

/// A person's home with a project in it and all three agents on PATH.
struct Desk {
    folder: tempfile::TempDir,
    session: Session,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["bin", "project", "home/.codex"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for agent in ["claude", "codex", "opencode"] {
            let path = root.join("bin").join(agent);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let environment = BTreeMap::from([("PATH".to_owned(), root.join("bin").display().to_string())]);
        let house = House::new(
            root.join("state"),
            environment,
            root.join("bin/kapell"),
            root.join("home"),
            root.join("home/config.toml"),
            Check::Header,
        );
        let session = Session {
            house: Arc::new(house),
            caller: Caller::new(HolderKind::Person, "ada"),
            folder: root.join("project"),
            cancel: Cancel::default(),
        };
        Self { folder, session }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn prepare(&self) -> Result<Prepared, Error> {
        prepare(&self.session, true)
    }

    fn init(&self) -> Prepared {
        let prepared = self.prepare().unwrap();
        apply(&self.session, &prepared.changes).unwrap();
        prepared
    }

    /// Every file below the project and the home, with its text.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    files.insert(path.clone(), fs::read_to_string(&path).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(&self.path("project"), &mut files);
        walk(&self.path("home"), &mut files);
        files
    }
}

#[test]
fn an_empty_project_gets_everything_once_and_loses_it_again() {
    let desk = Desk::new();
    assert_eq!(desk.init().changes.len(), 5);
    assert!(desk.text("project/kapell.toml").contains("Agents found: claude, codex, opencode"));
    insta::assert_snapshot!(desk.text("project/.mcp.json"), @r#"
    {
      "mcpServers": {
        "kapell": {
          "type": "stdio",
          "command": "kapell",
          "args": ["mcp"]
        }
      }
    }
    "#);
    insta::assert_snapshot!(desk.text("project/opencode.json"), @r#"
    {
      "$schema": "https://opencode.ai/config.json",
      "mcp": {
        "kapell": {
          "type": "local",
          "command": ["kapell", "mcp"],
          "enabled": true
        }
      }
    }
    "#);
    insta::assert_snapshot!(desk.text("home/.codex/config.toml"), @r#"
    [mcp_servers.kapell]
    command = "kapell"
    args = ["mcp"]

    [[hooks.PreToolUse]]
    matcher = ".*"
    [[hooks.PreToolUse.hooks]]
    type = "command"
    command = "kapell hook codex"
    timeout = 10
    [[hooks.PostToolUse]]
    matcher = ".*"
    [[hooks.PostToolUse.hooks]]
    type = "command"
    command = "kapell hook codex"
    timeout = 10
    [[hooks.Stop]]
    [[hooks.Stop.hooks]]
    type = "command"
    command = "kapell hook codex"
    timeout = 10
    [[hooks.SessionEnd]]
    [[hooks.SessionEnd.hooks]]
    type = "command"
    command = "kapell hook codex"
    timeout = 3
    "#);
    let settings: serde_json::Value =
        serde_json::from_str(&desk.text("project/.claude/settings.json")).unwrap();
    let plugin = include_str!("../../../editors/claude-code/hooks/hooks.json");
    let plugin: serde_json::Value = serde_json::from_str(plugin).unwrap();
    assert_eq!(settings["hooks"], plugin["hooks"]);
    let again = desk.init();
    assert_eq!((again.changes.len(), again.in_place.len()), (0, 5));
    let undone = undo(&desk.session, false).unwrap();
    assert_eq!((undone.restored.len(), undone.left.len()), (5, 0));
    assert_eq!(desk.files(), BTreeMap::new());
    assert!(matches!(undo(&desk.session, false), Err(Error::Refused(no)) if no.code == Code::NotFound));
}

#[test]
fn what_stands_in_the_files_stays() {
    let desk = Desk::new();
    desk.write(
        "project/.mcp.json",
        "{\n\t\"mcpServers\": {\n\t\t\"other\": {\"command\": \"grüße\"}\n\t},\n\t\"x\": [1,2]\n}",
    );
    desk.write("project/opencode.jsonc", "// mine\r\n{\r\n  \"model\": \"a/b\", // cheap\r\n}\r\n");
    let codex = "model = \"o\" # fast\n\n[[hooks.Stop]]\n\n[mcp_servers.other]\ncommand = 'x'";
    desk.write("home/.codex/config.toml", codex);
    let settings = "{\n\t\"model\": \"x\",\n\t\"hooks\": {\"Stop\": [{\"hooks\": []}]}\n}";
    fs::create_dir(desk.path("project/.claude")).unwrap();
    desk.write("project/.claude/settings.json", settings);
    let before = desk.files();
    desk.init();
    assert_eq!(
        desk.text("project/.mcp.json"),
        "{\n\t\"mcpServers\": {\n\t\t\"other\": {\"command\": \"grüße\"},\n\t\t\"kapell\": {\n\t\t\t\"type\": \"stdio\",\n\t\t\t\"command\": \"kapell\",\n\t\t\t\"args\": [\"mcp\"]\n\t\t}\n\t},\n\t\"x\": [1,2]\n}"
    );
    let opencode = desk.text("project/opencode.jsonc");
    assert!(
        opencode.starts_with("// mine\r\n{\r\n  \"model\": \"a/b\", // cheap\r\n  \"mcp\": {\r\n"),
        "{opencode:?}"
    );
    assert!(!desk.path("project/opencode.json").exists());
    let added = desk.text("home/.codex/config.toml");
    let added = added.strip_prefix(codex).unwrap();
    assert!(
        added.starts_with("\n\n[mcp_servers.kapell]\ncommand = \"kapell\"\nargs = [\"mcp\"]\n\n[[hooks."),
        "{added}"
    );
    let added: serde_json::Value = serde_json::from_str(&desk.text("project/.claude/settings.json")).unwrap();
    assert_eq!((&added["model"], added["hooks"]["Stop"].as_array().map(Vec::len)), (&"x".into(), Some(2)));
    assert_eq!(desk.init().changes, []);
    undo(&desk.session, false).unwrap();
    assert_eq!(desk.files(), before);
}

#[test]
fn a_broken_file_is_refused_with_its_place_and_nothing_is_touched() {
    for (file, text, place) in [
        ("project/.mcp.json", "{\n  \"mcpServers\": {,}\n}\n", ":2:18: "),
        ("project/.mcp.json", "{} // comment\n", ":1:4: "),
        ("project/.mcp.json", "[]", "is no object"),
        ("project/.mcp.json", "{\"mcpServers\": 3}", "mcpServers in "),
        ("project/opencode.json", "{\"mcp\"", "opencode.json:1:"),
        ("home/.codex/config.toml", "a = 1\na = 2\n", ":2:1: "),
        ("home/.codex/config.toml", "mcp_servers = { a = { command = 'x' } }\n", "nothing can be added"),
        ("home/.codex/config.toml", "hooks = { Stop = [] }\n", "nothing can be added"),
        ("project/.claude/settings.json", "{\"hooks\": []}", "hooks in "),
        ("project/.claude/settings.json", "{\"hooks\": {\"Stop\": 1}}", "Stop in "),
    ] {
        let desk = Desk::new();
        fs::create_dir(desk.path("project/.claude")).unwrap();
        desk.write(file, text);
        let before = desk.files();
        let error = desk.prepare().unwrap_err();
        assert!(matches!(&error, Error::Refused(no) if no.message.contains(place)), "{text:?}: {error}");
        assert_eq!(desk.files(), before);
    }
}

#[test]
fn hooks_hear_of_failures_where_claude_tells_of_them() {
    for (version, is_told) in [
        ("2.1.197 (Claude Code)", true),
        ("2.0.60 (Claude Code)", true),
        ("3.0", true),
        ("2.0.45 (Claude Code)", false),
        ("hello", false),
    ] {
        let desk = Desk::new();
        desk.write("bin/claude", &format!("#!/bin/sh\n[ \"$1\" != --version ] || echo '{version}'\n"));
        desk.init();
        let settings = desk.text("project/.claude/settings.json");
        assert!(settings.contains("\"PostToolUse\""), "{version}: {settings}");
        assert_eq!(settings.contains("\"PostToolUseFailure\""), is_told, "{version}: {settings}");
    }
}

#[test]
fn a_file_that_is_no_text_or_leads_nowhere_is_refused() {
    let desk = Desk::new();
    fs::write(desk.path("project/.mcp.json"), b"{\"a\": \"\xff\"}").unwrap();
    assert!(desk.prepare().unwrap_err().to_string().contains("at byte 7"));
    fs::remove_file(desk.path("project/.mcp.json")).unwrap();
    std::os::unix::fs::symlink("nowhere", desk.path("project/.mcp.json")).unwrap();
    assert!(desk.prepare().unwrap_err().to_string().contains("symbolic link to nothing"));
}

#[test]
fn what_the_person_registered_their_own_way_is_left_alone() {
    let desk = Desk::new();
    desk.write("project/kapell.toml", "");
    desk.write("project/.mcp.json", "{\"mcpServers\":{\"kapell\":{\"command\":\"/opt/kapell\"}}}");
    desk.write("home/.codex/config.toml", "[mcp_servers]\nkapell.command = '/opt/kapell'\n");
    let prepared = desk.prepare().unwrap();
    let changed: Vec<What> = prepared.changes.iter().map(|change| change.what).collect();
    assert_eq!(changed, [What::ClaudeHooks, What::Codex, What::OpenCode]);
    // Of Codex the hooks alone.
    desk.init();
    assert_eq!(desk.text("home/.codex/config.toml").matches("/opt/kapell").count(), 1);
    assert!(!desk.text("home/.codex/config.toml").contains("[mcp_servers.kapell]"));
}

#[test]
fn the_file_behind_a_link_is_changed_and_keeps_its_permissions() {
    let desk = Desk::new();
    desk.write("home/shared.toml", "# mine\n");
    fs::set_permissions(desk.path("home/shared.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("../shared.toml", desk.path("home/.codex/config.toml")).unwrap();
    desk.init();
    assert!(desk.path("home/.codex/config.toml").is_symlink());
    assert!(desk.text("home/shared.toml").starts_with("# mine\n\n[mcp_servers.kapell]"));
    let mode = fs::metadata(desk.path("home/shared.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn undo_leaves_alone_what_was_changed_since_unless_forced() {
    let desk = Desk::new();
    desk.init();
    desk.write("project/kapell.toml", "[rules]\n");
    let undone = undo(&desk.session, false).unwrap();
    assert_eq!((undone.restored.len(), undone.left), (4, vec![desk.path("project/kapell.toml")]));
    assert_eq!(desk.text("project/kapell.toml"), "[rules]\n");
    let undone = undo(&desk.session, true).unwrap();
    assert_eq!(undone.restored, [desk.path("project/kapell.toml")]);
    assert!(!desk.path("project/kapell.toml").exists());
}

#[test]
fn two_inits_undo_to_before_the_first() {
    let desk = Desk::new();
    desk.write("project/.mcp.json", "{}");
    desk.init();
    // As a later kapell with another entry would.
    let text = desk.text("project/.mcp.json");
    let second = Change {
        what: What::Claude,
        path: desk.path("project/.mcp.json"),
        before: Some(text.clone()),
        after: format!("{text}\n"),
        new_folder: false,
    };
    apply(&desk.session, &[second]).unwrap();
    undo(&desk.session, false).unwrap();
    assert_eq!(desk.text("project/.mcp.json"), "{}");
}

#[test]
fn a_file_changed_between_question_and_answer_is_not_overwritten() {
    let desk = Desk::new();
    let prepared = desk.prepare().unwrap();
    desk.write("project/.mcp.json", "{\"mine\": 1}");
    assert!(
        matches!(apply(&desk.session, &prepared.changes), Err(Error::Refused(no)) if no.code == Code::Conflict)
    );
    assert_eq!(desk.files(), BTreeMap::from([(desk.path("project/.mcp.json"), "{\"mine\": 1}".to_owned())]));
}

#[test]
fn one_at_a_time() {
    let desk = Desk::new();
    let prepared = desk.prepare().unwrap();
    let _other = take_turn(&desk.session).unwrap();
    assert!(
        matches!(apply(&desk.session, &prepared.changes), Err(Error::Refused(no)) if no.code == Code::Busy)
    );
}

#[test]
fn a_project_whose_path_is_no_text_is_set_up_and_taken_back() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut desk = Desk::new();
    let odd = desk.path("project").join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir_all(&odd).unwrap();
    desk.session.folder = odd.clone();
    apply(&desk.session, &prepare(&desk.session, false).unwrap().changes).unwrap();
    assert!(odd.join("kapell.toml").exists());
    assert_eq!(undo(&desk.session, false).unwrap().restored, [odd.join("kapell.toml")]);
    assert!(!odd.join("kapell.toml").exists());
}

#[test]
fn what_fails_in_the_middle_tells_what_was_written_and_only_that_is_taken_back() {
    let desk = Desk::new();
    // A link that leads nowhere: nothing can be written through it.
    std::os::unix::fs::symlink("/nowhere/at/all", desk.path("project/.claude")).unwrap();
    let changes = prepare(&desk.session, true).unwrap().changes;
    let error = apply(&desk.session, &changes).unwrap_err();
    let Error::Refused(refusal) = &error else { panic!("{error}") };
    assert!(refusal.message.contains("kapell.toml") && refusal.hint.contains("--undo"), "{refusal:?}");
    let undone = undo(&desk.session, false).unwrap();
    assert!(undone.restored.contains(&desk.path("project/kapell.toml")), "{undone:?}");
    assert!(!undone.restored.iter().any(|path| path.ends_with("settings.json")), "{undone:?}");
    assert_eq!(undone.left, [""; 0].map(PathBuf::from));
}
