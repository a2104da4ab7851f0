//! Where measuring happens: a folder on the disk that is meant, repositories, state folders.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use kapell::api::Client;
use kapell::domain::claim::HolderKind;
use kapell::services::project::Project;
use kapell::services::{Caller, Cancel, House, Session};
use kapell::store::Check;
use kapell::sys::process::spawn;

/// The program that is measured.
pub const KAPELL: &str = env!("CARGO_BIN_EXE_kapell");
/// The server that does the least.
pub const FLOOR: &str = env!("CARGO_BIN_EXE_floor-server");

/// A project with a state folder of its own. All of it goes when this is dropped.
#[derive(Debug)]
pub struct Place {
    /// The state folder.
    pub state: PathBuf,
    /// The project, a git repository.
    pub project: PathBuf,
    home: PathBuf,
    path: String,
    _folder: tempfile::TempDir,
}

impl Place {
    /// A fresh place below `folder`: a repository with `files` files in it, and an empty state folder.
    pub fn new(folder: &Path, files: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kapell-bench-").tempdir_in(folder)?;
        let (state, project, home) =
            (folder.path().join("state"), folder.path().join("project"), folder.path().join("home"));
        for made in [&project, &home] {
            std::fs::create_dir(made)?;
        }
        let place = Self { state, project, home, path: search_path(), _folder: folder };
        place.git(&["init", "-q", "-b", "main"])?;
        for number in 0..files {
            let path = place.project.join(file_name(number));
            std::fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
            // About 6 KiB, as source files have; no two alike, so that each is an object of its own.
            let text: String =
                (0..150).map(|line| format!("line {line} of file number {number}, as it was\n")).collect();
            std::fs::write(path, text)?;
        }
        std::fs::write(place.project.join("README.md"), "A repository to measure with.\n")?;
        place.commit_all("first")?;
        Ok(place)
    }

    /// Puts programs of these names, which do nothing, on the PATH before all others: a measuring asks
    /// who would be chosen, and whose program is missing is passed over.
    pub fn stand_in(&mut self, programs: &[&str]) -> Result<()> {
        let folder = self.home.join("bin");
        std::fs::create_dir_all(&folder)?;
        for program in programs {
            std::os::unix::fs::symlink("/bin/true", folder.join(program))?;
        }
        self.path = format!("{}:{}", folder.to_string_lossy(), search_path());
        Ok(())
    }

    /// Writes the project's `kapell.toml` and commits it, as one does.
    pub fn configure(&self, text: &str) -> Result<()> {
        std::fs::write(self.project.join("kapell.toml"), text)?;
        self.commit_all("configure")
    }

    fn commit_all(&self, message: &str) -> Result<()> {
        self.git(&["add", "-A"])?;
        self.git(&[
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@localhost",
            "commit",
            "-q",
            "-m",
            message,
        ])?;
        Ok(())
    }

    /// Runs git in the project and gives what it prints.
    pub fn git(&self, args: &[&str]) -> Result<String> {
        let output = self.command("git", args).output()?;
        ensure!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// A program in the project, with the surroundings of this place.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = spawn::program(program, &self.project);
        command.args(args).envs(self.environment());
        command
    }

    /// The environment of everything that is started here.
    fn environment(&self) -> BTreeMap<String, String> {
        let text = |value: &Path| value.to_string_lossy().into_owned();
        [
            ("PATH", self.path.clone()),
            ("HOME", text(&self.home)),
            ("KAPELL_HOME", text(&self.state)),
            ("TMUX_TMPDIR", text(&self.home)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The surroundings as the services want them.
    pub fn house(&self) -> House {
        House::new(
            self.state.clone(),
            self.environment(),
            PathBuf::from(KAPELL),
            self.home.clone(),
            self.home.join("config.toml"),
            Check::Pages,
        )
    }

    /// A client within this process.
    pub fn client(&self) -> Arc<Client> {
        Client::new(Arc::new(self.house()), self.project.clone())
    }

    /// A call of a service within this process, and the project that it is about.
    pub fn session(&self) -> Result<(Session, Project)> {
        let session = Session {
            house: Arc::new(self.house()),
            caller: Caller::new(HolderKind::Agent, "bench"),
            folder: self.project.clone(),
            cancel: Cancel::default(),
        };
        let project = session.project()?;
        Ok((session, project))
    }
}

/// The path of the file of that number in a repository of ours: twenty files to a folder.
pub fn file_name(number: usize) -> String {
    format!("src/part{:03}/file{number:05}.rs", number / 20)
}

/// Where programs are looked up.
pub fn search_path() -> String {
    let path = std::env::vars_os().find(|(name, _)| name == "PATH").map(|(_, value)| value);
    path.unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin")).to_string_lossy().into_owned()
}
