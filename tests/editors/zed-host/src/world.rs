//! A person's machine: a repository with blanks in its path, a `PATH`, a state of its own, and what the person
//! has written into Zed's files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::talk::{Framing, Talk};
use crate::zed::{self, Env, Worktree};

/// The file that is owned, and a plan with a mistake.
pub const FILE: &str = "src/a b.rs";
pub const TEXT: &str = "fn a() {}\n";
pub const PLAN: &str = "my.plan.json";
const PLAN_TEXT: &str = "{\"tasks\": [{\"id\": 1, \"task\": \"x\", \"fils\": [\"a\"]}]}\n";

pub struct World {
    place: PathBuf,
    pub repo: PathBuf,
    /// Where the program lies that is on no `PATH`.
    pub tools: PathBuf,
    /// Where Zed keeps what an extension writes.
    pub work_dir: PathBuf,
    /// What a shell has in the repository: the program is on the `PATH`.
    pub env: Env,
    /// The same without the program.
    pub poor: Env,
}

impl World {
    pub fn new(program: &Path) -> Result<Self> {
        let place = std::env::temp_dir().join(format!("kapell zed {}", std::process::id()));
        let folder = |name: &str| {
            let folder = place.join(name);
            fs::create_dir_all(&folder)?;
            anyhow::Ok(folder)
        };
        let (repo, bin, tools) = (folder("my repo")?, folder("bin")?, folder("my tools")?);
        let work_dir = folder("work")?;
        symlink(program, bin.join("kapell"))?;
        symlink(program, tools.join("kapell"))?;
        let env = |path: String| {
            let text = |path: &Path| path.to_string_lossy().into_owned();
            [
                ("PATH", path),
                ("HOME", text(&place.join("home"))),
                ("KAPELL_HOME", text(&place.join("state"))),
                ("USER", "me".to_owned()),
                ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
                ("LC_ALL", "C.UTF-8".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
        };
        let poor = env("/usr/bin:/bin".to_owned());
        let env = env(format!("{}:/usr/bin:/bin", bin.display()));
        fs::create_dir_all(place.join("home"))?;
        fs::create_dir_all(repo.join("src"))?;
        fs::write(repo.join(FILE), TEXT)?;
        fs::write(repo.join(PLAN), PLAN_TEXT)?;
        let world = Self { place, repo, tools, work_dir, env, poor };
        world.run("git", &["init", "-q", "--initial-branch=main"])?;
        world.run("git", &["add", "-A"])?;
        world.run("git", &["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "first"])?;
        Ok(world)
    }

    /// Another process, in the repository.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let (_, path) = self.env.first().context("no PATH")?;
        let found = std::env::split_paths(path).map(|folder| folder.join(program)).find(|file| file.exists());
        let output = Command::new(found.context("there is no such program")?)
            .args(args)
            .current_dir(&self.repo)
            .env_clear()
            .envs(self.env.iter().cloned())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {args:?}: {text}{wrong}");
        Ok(text)
    }

    pub fn claims(&self) -> Result<String> {
        self.run("kapell", &["status", "--scope", "claims", "--json"])
    }

    pub fn worktree(&self) -> Worktree {
        Worktree { env: self.env.clone() }
    }

    /// The repository where the program is on no `PATH`.
    pub fn poor_worktree(&self) -> Worktree {
        Worktree { env: self.poor.clone() }
    }

    pub fn uri(&self, file: &str) -> String {
        format!("file://{}", self.repo.join(file).display()).replace(' ', "%20")
    }

    /// A language server that was started and greeted as Zed does it.
    pub fn greet(
        &self,
        command: &zed::Command,
        options: Option<Value>,
        configuration: Option<Value>,
    ) -> Result<Talk> {
        // Zed hands over the whole environment of the project, so nothing is inherited.
        let mut talk = Talk::start(command, &self.repo, &Env::new(), Framing::Lsp)?;
        talk.configuration = configuration.unwrap_or_else(|| json!({}));
        let root = self.uri("");
        let params = json!({
            "processId": std::process::id(),
            "rootUri": root,
            "workspaceFolders": [{"uri": root, "name": ""}],
            "initializationOptions": options,
            "clientInfo": {"name": "Zed", "version": "0.0.0"},
            "capabilities": {
                "general": {"positionEncodings": ["utf-16"]},
                "window": {"workDoneProgress": true},
                "workspace": {
                    "applyEdit": true,
                    "configuration": true,
                    "workspaceFolders": true,
                    "codeLens": {"refreshSupport": true},
                    "inlayHint": {"refreshSupport": true},
                    "didChangeConfiguration": {"dynamicRegistration": true},
                    "didChangeWatchedFiles": {"dynamicRegistration": true, "relativePatternSupport": true},
                },
                "textDocument": {
                    "formatting": {"dynamicRegistration": true},
                    "publishDiagnostics": {"relatedInformation": true},
                    "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["", "quickfix"]}}},
                },
            },
        });
        let answer = talk.request("initialize", params)?;
        ensure!(answer["serverInfo"]["name"] == "kapell", "it is another server: {answer}");
        talk.notify("initialized", json!({}))?;
        let settings = talk.configuration.clone();
        talk.notify("workspace/didChangeConfiguration", json!({"settings": settings}))?;
        Ok(talk)
    }

    pub fn open(&self, talk: &mut Talk, file: &str, language: &str) -> Result<()> {
        let text = fs::read_to_string(self.repo.join(file))?;
        let document = json!({"uri": self.uri(file), "languageId": language, "version": 0, "text": text});
        talk.notify("textDocument/didOpen", json!({"textDocument": document}))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What cannot be removed lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// The blocks below the heading of Zed in editors/README.md, each with the file that the text before it names.
pub fn documented(readme: &Path) -> Result<Vec<(String, Value)>> {
    let text = fs::read_to_string(readme)?;
    let (_, rest) = text.split_once("\n## Zed\n").context("no heading of Zed")?;
    let section = rest.split_once("\n## ").map_or(rest, |(section, _)| section);
    let mut found = Vec::new();
    let mut file = String::new();
    let mut parts = section.split("```");
    while let (Some(prose), block) = (parts.next(), parts.next()) {
        if let Some(name) = prose.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".json")).last()
        {
            file = name.to_owned();
        }
        let Some(block) = block.and_then(|block| block.strip_prefix("json\n")) else { continue };
        found.push((file.clone(), serde_json::from_str(block).context(block.to_owned())?));
    }
    Ok(found)
}
