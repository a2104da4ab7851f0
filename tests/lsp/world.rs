//! A repository, a state folder, and other processes that claim things.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::client::{Editor, uri};

/// A state folder and a repository, removed in the end.
pub struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// A repository with a commit of these files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(world.project()).unwrap();
        for (path, text) in files {
            world.write(path, text);
        }
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["add", "-A"],
            &["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", "first"],
        ] {
            let output = world.program("git").args(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        }
        world
    }

    /// The real path of the project.
    pub fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.project().join(path)
    }

    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A program in the project with an environment of its own.
    pub fn program(&self, program: impl AsRef<Path>) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the environment and the folder are set right here")]
        let mut command = Command::new(program.as_ref());
        command.current_dir(self.project()).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("HOME", self.root()).env("KAPELL_HOME", self.root().join("state")).env("USER", "ann");
        command.env("TMUX_TMPDIR", self.root());
        command
    }

    pub fn kapell(&self) -> Command {
        self.program(env!("CARGO_BIN_EXE_kapell"))
    }

    /// What an editor says of itself.
    pub fn hello(&self) -> Value {
        json!({
            "processId": null,
            "rootUri": uri(&self.project()),
            "capabilities": {"window": {"workDoneProgress": true}, "workspace": {"codeLens": {"refreshSupport": true}, "inlayHint": {"refreshSupport": true}}},
            "workspaceFolders": [{"uri": uri(&self.project()), "name": "project"}],
        })
    }

    /// An editor after the handshake, once it was told of claims for the first time.
    pub fn editor(&self) -> Editor {
        let mut editor = self.quiet_editor(self.hello());
        editor.told("kapell/claims", |_| true);
        editor
    }

    /// An editor after the handshake.
    pub fn quiet_editor(&self, hello: Value) -> Editor {
        let mut command = self.kapell();
        command.arg("lsp");
        let mut editor = Editor::start(command);
        editor.initialize(hello);
        editor
    }

    /// Runs a command to its end and gives the JSON that it prints.
    pub fn run(&self, arguments: &[&str]) -> Value {
        let output = self.output(arguments);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.kapell().args(arguments).arg("--json").stdin(Stdio::null()).output().unwrap()
    }

    /// Another agent claims something, in a process of its own that ends.
    pub fn claim(&self, who: &str, path: &str) -> i64 {
        let mut command = self.kapell();
        let answer = ask(
            command.arg("rpc"),
            &json!({"jsonrpc": "2.0", "id": 1, "method": "claim-files",
                "params": {"paths": [path], "holder": who, "reason": "at work"}}),
        );
        assert_eq!(answer["result"]["granted"], true, "{answer}");
        answer["result"]["claims"][0]["claim_id"].as_i64().unwrap()
    }

    /// The agent lets go of all.
    pub fn release(&self, who: &str) {
        let mut command = self.kapell();
        let answer = ask(
            command.arg("rpc"),
            &json!({"jsonrpc": "2.0", "id": 1, "method": "release-files", "params": {"all": true, "holder": who}}),
        );
        assert!(answer.get("error").is_none(), "{answer}");
    }

    /// The live claims: who holds what.
    pub fn claims(&self) -> Vec<(String, String, String)> {
        let status = self.run(&["status", "--scope", "claims"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let claims = status["claims"].as_array().unwrap().iter();
        claims
            .filter(|claim| claim["alive"] != false)
            .map(|claim| (text(&claim["holder"]), text(&claim["holder_kind"]), text(&claim["pattern"])))
            .collect()
    }
}

/// Asks a server one thing.
fn ask(command: &mut Command, request: &Value) -> Value {
    use std::io::Write;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{request}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
