//! A person's desk: a home, a state folder, a project, and the built program.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Only a fault takes so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one line of JSON: {self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }
}

pub struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    /// An empty folder as the project.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("k").tempdir_in("/tmp").unwrap();
        for name in ["home", "bin", "project"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// A repository with a commit, and a provider `local` that writes into the files of its task.
    pub fn with_project() -> Self {
        let desk = Self::new();
        desk.program("worker", "#!/bin/sh\nfor file in $(echo \"$KAPELL_FILES\" | tr -d '[]\",'); do echo done > \"$file\"; done\n");
        let worker = desk.folder.path().join("bin/worker");
        let config = format!(
            "[providers.local]\nkind = \"command\"\ncommand = [\"{}\"]\ncapability = 3\n",
            worker.display()
        );
        std::fs::write(desk.project().join("kapell.toml"), config).unwrap();
        for args in [
            &["init", "-q", "-b", "main"][..],
            &["add", "-A"],
            &["-c", "user.name=p", "-c", "user.email=p@e", "commit", "-qm", "first"],
        ] {
            let mut git = desk.plain("git");
            git.args(args);
            assert!(git.status().unwrap().success(), "git {args:?}");
        }
        desk
    }

    pub fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Puts a program on the PATH.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.folder.path().join("bin").join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "folder and environment are named right here")]
    fn plain(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.project())
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.folder.path().join("bin").display()))
            .env("HOME", self.folder.path().join("home"))
            .env("KAPELL_HOME", self.state())
            .env("TMUX_TMPDIR", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null());
        command
    }

    /// `kapell WORDS…` in the project, with nothing else in its surroundings.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.plain(env!("CARGO_BIN_EXE_kapell"));
        command.args(words);
        command
    }

    /// Runs a command to its end.
    pub fn end(mut command: Command) -> Said {
        let output = command.output().unwrap();
        Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn run(&self, words: &[&str]) -> Said {
        Self::end(self.command(words))
    }

    /// Runs a command with this on its stdin.
    pub fn run_with(&self, words: &[&str], stdin: &[u8]) -> Said {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts a command that stays.
    pub fn start(&self, words: &[&str]) -> Running {
        let mut command = self.command(words);
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        Running { child, lines }
    }
}

/// A command that stays, read line by line.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Running {
    /// The next line, as JSON.
    #[track_caller]
    pub fn line(&mut self) -> Value {
        let line = self.lines.recv_timeout(DEADLINE).expect("a line in time");
        serde_json::from_str(&line).unwrap()
    }

    /// Ctrl-C, and the exit code.
    pub fn interrupt(self) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.end()
    }

    /// The exit code. Its stdout ends with it, which is waited for with the deadline.
    #[track_caller]
    pub fn end(mut self) -> Option<i32> {
        match self.lines.recv_timeout(DEADLINE) {
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => self.child.wait().unwrap().code(),
            other => panic!("it does not end: {other:?}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
