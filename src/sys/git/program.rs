//! The `git` program of this machine: where it is, how old, and what its person told it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::discover::Repository;
use super::exec::{Input, execute};
use super::queue::Queue;
use super::run::GitError;

/// The oldest git that has `merge-tree --write-tree`.
pub const OLDEST: Version = Version { major: 2, minor: 38 };

/// Variables that git gets when they are set. `PATH` is passed too, less its relative folders.
const PASSED: [&str; 11] = [
    "HOME",
    "USERPROFILE",
    "XDG_CONFIG_HOME",
    "TMPDIR",
    "TEMP",
    "TMP",
    "SYSTEMROOT",
    "USER",
    "LOGNAME",
    // A partial clone fetches objects that it lacks.
    "SSH_AUTH_SOCK",
    // git trusts the repositories of the person behind `sudo`.
    "SUDO_UID",
];

/// A version of git; what comes after the second number does not matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `2` of `2.47.3`.
    pub major: u32,
    /// `47` of `2.47.3`.
    pub minor: u32,
}

impl Version {
    /// From what `git version` prints, such as `git version 2.39.2 (Apple Git-143)`.
    pub fn parse(printed: &str) -> Option<Self> {
        let mut numbers = printed.trim().strip_prefix("git version ")?.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The `git` program, found and known to be new enough. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Program {
    found: Arc<Found>,
    queue: Option<Arc<Queue>>,
}

#[derive(Debug)]
struct Found {
    path: PathBuf,
    version: Version,
    environment: Vec<(OsString, OsString)>,
    excludes_file: Option<OsString>,
    safe_directories: Vec<String>,
}

impl Program {
    /// Finds git on the `PATH` of `environment` and asks its version and its person's
    /// `core.excludesFile` and `safe.directory` (two processes; do it once).
    pub fn find(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, GitError> {
        let mut search = OsString::new();
        let mut passed = Vec::new();
        for (name, value) in environment {
            if name == "PATH" {
                search = value;
            } else if PASSED.iter().any(|known| name == *known) {
                passed.push((name, value));
            }
        }
        // A relative folder would be looked up in the tree that git happens to run in.
        let folders: Vec<PathBuf> =
            std::env::split_paths(&search).filter(|folder| folder.is_absolute()).collect();
        let name = if cfg!(windows) { "git.exe" } else { "git" };
        let path = folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| GitError::Absent { path: search.to_string_lossy().into_owned() })?;
        let clean_path = std::env::join_paths(&folders).unwrap_or(search);
        passed.push(("PATH".into(), clean_path));
        passed.push(("LC_ALL".into(), "C".into()));

        let root = Path::new("/");
        let asked = execute(&path, &["version".into()], &passed, root, Input::Nothing)?;
        if asked.code != Some(0) {
            // It was ended, or cannot run: that says nothing of how old it is.
            let (args, stderr) = ("version".to_owned(), asked.stderr.trim().to_owned());
            return Err(GitError::Failed { args, status: asked.status, stderr });
        }
        let printed = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        let version = match Version::parse(&printed) {
            Some(version) if version >= OLDEST => version,
            _ => return Err(GitError::TooOld { path, found: printed }),
        };
        let settings = execute(
            &path,
            &[
                "config".into(),
                "-z".into(),
                "--get-regexp".into(),
                r"^(core\.excludesfile|safe\.directory)$".into(),
            ],
            &passed,
            root,
            Input::Nothing,
        )?;
        let home = passed.iter().find(|(name, _)| name == "HOME").map(|(_, value)| value.as_os_str());
        let (excludes_file, safe_directories) = read_settings(&settings.stdout, home);
        let found = Found { path, version, environment: passed, excludes_file, safe_directories };
        Ok(Self { found: Arc::new(found), queue: None })
    }

    /// The same program, which takes its turns in the git queue there.
    pub fn queueing(self, queue: Queue) -> Self {
        Self { queue: Some(Arc::new(queue)), ..self }
    }

    /// Where turns are taken; none: in the repository itself.
    pub(super) fn queue(&self) -> Option<&Arc<Queue>> {
        self.queue.as_ref()
    }

    /// Where the program is.
    pub fn path(&self) -> &Path {
        &self.found.path
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.found.version
    }

    /// The environment that every git gets.
    pub(super) fn environment(&self) -> &[(OsString, OsString)] {
        &self.found.environment
    }

    /// The person's own list of files to ignore, where it is not in the usual place.
    pub(super) fn excludes_file(&self) -> Option<&OsStr> {
        self.found.excludes_file.as_deref()
    }

    /// Files outside of repositories that say what is ignored, as far as there are any.
    pub(super) fn rules(&self) -> impl Iterator<Item = PathBuf> {
        let folder = |name: &str| self.environment().iter().find(|(known, _)| known == name);
        let folder = |name| folder(name).map(|(_, value)| PathBuf::from(value));
        let home = folder("HOME");
        let config = folder("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let config = config
            .into_iter()
            .flat_map(|folder| ["config", "ignore", "attributes"].map(|name| folder.join("git").join(name)));
        let own = home.map(|home| home.join(".gitconfig"));
        let told = self.excludes_file().map(PathBuf::from);
        own.into_iter().chain(config).chain(told).chain([PathBuf::from("/etc/gitconfig")])
    }

    /// The same program, taken for an older one, so that the ways around what it lacks are tested.
    #[cfg(test)]
    pub(super) fn pretend(&self, version: Version) -> Self {
        let Found { path, environment, excludes_file, safe_directories, .. } = &*self.found;
        let found = Found {
            path: path.clone(),
            version,
            environment: environment.clone(),
            excludes_file: excludes_file.clone(),
            safe_directories: safe_directories.clone(),
        };
        Self { found: Arc::new(found), queue: self.queue.clone() }
    }

    /// Whether this user owns the repository or told git to trust it. Naming the git directory
    /// switches git's own check off, and the configuration of a stranger's repository names programs.
    pub(super) fn trusts(&self, repository: &Repository) -> bool {
        let paths = [Some(repository.common_dir.as_path()), repository.top.as_deref()];
        let named = repository.top.as_deref().unwrap_or(&repository.common_dir);
        self.found.safe_directories.iter().any(|safe| covers(safe, named))
            || paths.into_iter().flatten().all(|path| self.owns(path))
    }

    #[cfg(unix)]
    fn owns(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Ok(metadata) = std::fs::metadata(path) else { return false };
        let own = rustix::process::geteuid().as_raw();
        let sudo = self.found.environment.iter().find(|(name, _)| name == "SUDO_UID");
        let sudo = sudo.and_then(|(_, value)| value.to_str()?.parse::<u32>().ok());
        metadata.uid() == own || (own == 0 && sudo == Some(metadata.uid()))
    }

    #[cfg(not(unix))]
    fn owns(&self, _path: &Path) -> bool {
        true
    }
}

/// Reads `NAME\nVALUE\0`…: the last excludes file, and the safe directories since the last reset.
fn read_settings(printed: &[u8], home: Option<&OsStr>) -> (Option<OsString>, Vec<String>) {
    let mut excludes_file = None;
    let mut safe = Vec::new();
    for setting in String::from_utf8_lossy(printed).split('\0') {
        match setting.split_once('\n') {
            Some(("core.excludesfile", value)) => {
                excludes_file = Some(match (value.strip_prefix("~/"), home) {
                    (Some(rest), Some(home)) => Path::new(home).join(rest).into_os_string(),
                    _ => value.into(),
                });
            }
            Some(("safe.directory", "")) => safe.clear(),
            Some(("safe.directory", value)) => safe.push(value.to_owned()),
            _ => {}
        }
    }
    (excludes_file, safe)
}

/// Whether a value of `safe.directory` names this folder: `*`, the folder, or `FOLDER/*` above it.
fn covers(safe: &str, folder: &Path) -> bool {
    safe == "*"
        || Path::new(safe) == folder
        || safe.strip_suffix("/*").is_some_and(|above| folder.starts_with(above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_vendor() {
        for (printed, expected) in [
            ("git version 2.47.3", Some((2, 47))),
            ("git version 2.39.2 (Apple Git-143)\n", Some((2, 39))),
            ("git version 2.38.0.windows.1", Some((2, 38))),
            ("git version 3.0-rc1", Some((3, 0))),
            ("git version 2.9", Some((2, 9))),
            ("hub version 2", None),
            ("", None),
        ] {
            let found = Version::parse(printed).map(|version| (version.major, version.minor));
            assert_eq!(found, expected, "{printed:?}");
        }
        assert!(Version { major: 2, minor: 9 } < OLDEST);
    }

    #[test]
    fn a_git_that_was_killed_is_not_told_as_old() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("git");
        let find = |script: &str| {
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            Program::find([("PATH".into(), folder.path().into())]).unwrap_err()
        };
        let killed = find("kill -9 $$");
        assert!(killed.to_string().starts_with("git version failed (signal: 9"), "{killed}");
        let broken = find("echo no library >&2; exit 127").to_string();
        assert!(broken.contains("exit status: 127") && broken.contains("no library"), "{broken}");
        let old = find("echo git version 2.37.9").to_string();
        assert!(old.contains("is too old (git version 2.37.9)"), "{old}");
    }

    #[test]
    fn settings_of_the_person() {
        let printed =
            b"core.excludesfile\n~/.ignore\0safe.directory\n/a\0safe.directory\n\0safe.directory\n/b/*\0";
        let (excludes, safe) = read_settings(printed, Some(OsStr::new("/home/u")));
        assert_eq!(excludes.as_deref(), Some(OsStr::new("/home/u/.ignore")));
        assert_eq!(safe, ["/b/*"]);
        assert!(covers("/b/*", Path::new("/b/c")) && !covers("/b/*", Path::new("/bc")));
        assert!(covers("*", Path::new("/")) && !covers("/b", Path::new("/b/c")));
    }
}
